/*
 * conf - clearingd's configuration: one table of options with type, bounds, default and the sentence for the
 * manual. Strict YAML; relative paths are relative to the file. Every mistake is reported in one run.
 */
#include "clearing/daemon.h"

#include "clearing/code_route.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum option_type { OPTION_PATH, OPTION_INT, OPTION_LISTEN, OPTION_DAY, OPTION_TEXT };
struct option {
	const char *name;
	enum option_type type;
	size_t offset;
	int64_t min, max;	/* of OPTION_TEXT, bytes */
	const char *fallback;	/* NULL: required */
	const char *sentence;
};
#define AT(field) offsetof(struct conf, field)
static const struct option options[] = {
	{ "listen", OPTION_LISTEN, AT(listen_host), 0, 0, "127.0.0.1:7443", "address and port for validators, TLS 1.3 with client certificates" },
	{ "store", OPTION_PATH, AT(store), 0, 0, NULL, "directory of the store" },
	{ "tls_cert", OPTION_PATH, AT(tls_cert), 0, 0, NULL, "server certificate, PEM" },
	{ "tls_key", OPTION_PATH, AT(tls_key), 0, 0, NULL, "its private key, PEM" },
	{ "tls_client_ca", OPTION_PATH, AT(tls_client_ca), 0, 0, NULL, "CAs of the validators' certificates, PEM, several while one follows another; the common name is the device" },
	{ "tls_client_crl", OPTION_PATH, AT(tls_client_crl), 0, 0, "", "revocation lists of those CAs, PEM, one each; empty: nothing is ever revoked" },
	{ "crl_sweep_s", OPTION_INT, AT(crl_sweep_s), 1, 50, "20", "seconds between looks at the certificate files and at the live connections" },
	{ "crl_grace_h", OPTION_INT, AT(crl_grace_h), 0, 8760, "24", "hours an expired revocation list is still used, with alarms" },
	{ "crl_stale_accept", OPTION_INT, AT(crl_stale_accept), 0, 1, "0", "after the grace, new connections are 0: refused, 1: accepted" },
	{ "device_binding", OPTION_INT, AT(device_binding), 0, 1, "0", "1: a certificate must name its terminal and PSAM; 0: one that names none is accepted" },
	{ "renewals", OPTION_PATH, AT(renewals), 0, 0, "", "directory where devices' requests for certificates wait and the certificates are found; empty: they are not taken" },
	{ "unproven_fen_max", OPTION_INT, AT(unproven_fen_max), 0, 1000000000000, "0", "fen a device may bring in a day that no key has proven; what comes beyond is set aside; 0: no cap" },
	{ "keyring", OPTION_PATH, AT(keyring), 0, 0, NULL, "encrypted keyring with the issuer's TAC roots" },
	{ "passphrase_file", OPTION_PATH, AT(passphrase_file), 0, 0, NULL, "file whose first line opens the keyring" },
	{ "test_keys", OPTION_INT, AT(test_keys), 0, 1, "0", "1: a keyring with test keys is taken, with a warning; 0: it is refused" },
	{ "key_backend", OPTION_TEXT, AT(key_backend), 0, 15, "software", "who keeps the keys: software (the keyring itself), pkcs11 or sdf (a key device)" },
	{ "key_module", OPTION_PATH, AT(key_module), 0, 0, "", "the device's library" },
	{ "key_token", OPTION_TEXT, AT(key_token), 0, 32, "", "pkcs11: label of the token" },
	{ "key_pin_file", OPTION_PATH, AT(key_pin_file), 0, 0, "", "pkcs11: file whose first line is the user's PIN" },
	{ "key_kek", OPTION_INT, AT(key_kek), 1, 65535, "1", "sdf: number of the key-encrypting key of the keys in the ring" },
	{ "key_deadline_ms", OPTION_INT, AT(key_deadline_ms), 10, 60000, "500", "how long a batch waits for the device; then its records are receipted and wait" },
	{ "key_retry_ms", OPTION_INT, AT(key_retry_ms), 10, 600000, "1000", "pause before a device that was slow, absent or lying is tried again" },
	{ "qr_ca", OPTION_PATH, AT(qr_ca), 0, 0, "", "CA public keys for T-Union QR codes; empty: QR taps stay pending" },
	{ "bank_scheme_keys", OPTION_PATH, AT(bank_scheme_keys), 0, 0, "", "scheme keys of bank cards that terminals may have believed; empty: any" },
	{ "bank_token_key", OPTION_PATH, AT(bank_token_key), 0, 0, "", "file with the city's token key, 32 hex digits; empty: no deny list of bank cards" },
	{ "bank_list_key", OPTION_PATH, AT(bank_list_key), 0, 0, "", "file with the SM2 secret that signs the deny list, 64 hex digits" },
	{ "code_formats", OPTION_PATH, AT(code_formats), 0, 0, "", "formats of ride codes and identity codes, docs/codes.md; empty: their records are not looked at, only their platforms are asked" },
	{ "control_socket", OPTION_PATH, AT(control_socket), 0, 0, "clearingd.sock", "Unix socket for qingfen load, day, status" },
	{ "open_day", OPTION_DAY, AT(open_day), 0, 0, "", "first settlement day of a new store, YYYY-MM-DD; empty: today" },
	{ "threads", OPTION_INT, AT(threads), 1, THREADS_MAX, "2", "front threads" },
	{ "clear_threads", OPTION_INT, AT(clear_threads), 0, 8, "0", "threads that clear a day; 0: one a processor" },
	{ "clear_memory_mib", OPTION_INT, AT(clear_memory_mib), 0, 1 << 22, "0", "memory for the records of a day being cleared, MiB; what is more lies in files beside the store meanwhile; 0: no bound" },
	{ "map_mib", OPTION_INT, AT(map_mib), 16, 1 << 22, "16384", "address space of the store, MiB" },
	{ "connections_max", OPTION_INT, AT(connections_max), 1, 1000000, "12000", "connections at once" },
	{ "handshake_s", OPTION_INT, AT(handshake_s), 1, 600, "10", "seconds for the TLS handshake and the hello" },
	{ "idle_s", OPTION_INT, AT(idle_s), 1, 86400, "300", "seconds without a whole frame before a connection is closed" },
	{ "queue_mib", OPTION_INT, AT(queue_mib), 1, 65536, "64", "batches waiting for the writer, MiB; beyond it validators are told busy" },
	{ "memory_ready_mib", OPTION_INT, AT(memory_ready_mib), 0, 16000, "64", "memory for the open day that is zeroed ahead of need, MiB" },
	{ "commit_batches", OPTION_INT, AT(commit_batches), 1, 4096, "256", "batches in one commit at most" },
	{ "checkpoint_taps", OPTION_INT, AT(checkpoint_taps), 0, 1000000000, "2000000", "taps after which an image of the writer's memory is made again when no batch waits, or after twice as many, so that a start need not read them; 0: never" },
	{ "pack_after_days", OPTION_INT, AT(pack_after_days), 0, 3650, "14", "days after a cleared day until its batches are packed, while nothing else is to be done; 0: never" },
	{ "verify_lanes", OPTION_INT, AT(verify_lanes), 0, 1, "1", "1: many TACs at once where the processor can; 0: OpenSSL only" },
	{ "kerb_ask_ms", OPTION_INT, AT(kerb_ask_ms), 0, 5000, "300", "longest a code platform has to answer while a rider stands at a gate; 0: gates are not answered" },
	{ "poll_ms", OPTION_INT, AT(poll_ms), 50, 3600000, "5000", "pause between rounds of delivery to partners" },
};
#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

struct reading { const char *path; unsigned problems; };

static void problem(struct reading *r, unsigned line, unsigned column, const char *what, const char *word)
{
	fprintf(stderr, "%s:%u:%u: %s%s%s\n", r->path, line, column, what, word != NULL ? ": " : "", word != NULL ? word : "");
	r->problems++;
}

static void path_set(struct reading *r, const char *text, char *ret)
{
	const char *slash = strrchr(r->path, '/');

	if (text[0] == '\0' || text[0] == '/' || slash == NULL)
		snprintf(ret, PATH_MAX, "%s", text);
	else
		snprintf(ret, PATH_MAX, "%.*s/%s", (int)(slash - r->path), r->path, text);
}

static bool listen_set(const char *text, struct conf *c)
{
	const char *colon = strrchr(text, ':');
	char *end;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(c->listen_host))
		return false;
	snprintf(c->listen_host, sizeof(c->listen_host), "%.*s", (int)(colon - text), text);
	c->listen_port = strtol(colon + 1, &end, 10);
	return *end == '\0' && end != colon + 1 && c->listen_port >= 0 && c->listen_port <= 65535;
}

static bool int_set(const struct option *o, const char *text, int64_t *ret)
{
	char *end;

	*ret = strtoll(text, &end, 10);
	return *end == '\0' && end != text && *ret >= o->min && *ret <= o->max;
}

static void option_set(struct reading *r, const struct option *o, const char *text, unsigned line, unsigned column, struct conf *c)
{
	char *field = (char *)c + o->offset, reason[160];

	switch (o->type) {
	case OPTION_PATH:
		path_set(r, text, field);
		return;
	case OPTION_INT:
		snprintf(reason, sizeof(reason), "%s: a whole number from %lld to %lld is needed", o->name, (long long)o->min, (long long)o->max);
		if (!int_set(o, text, (int64_t *)(void *)field))
			problem(r, line, column, reason, text);
		return;
	case OPTION_LISTEN:
		if (!listen_set(text, c))
			problem(r, line, column, "listen: host:port is needed", text);
		return;
	case OPTION_TEXT:
		snprintf(reason, sizeof(reason), "%s: at most %lld bytes are possible", o->name, (long long)o->max);
		if (strlen(text) > (size_t)o->max)
			problem(r, line, column, reason, text);
		else
			strcpy(field, text);
		return;
	case OPTION_DAY:
		c->open_day = DAY_NONE;
		if (text[0] != '\0' && !day_parse(text, &c->open_day))
			problem(r, line, column, "open_day: a date YYYY-MM-DD that exists is needed", text);
		return;
	}
}

static void partner_read(struct reading *r, const struct node *n, struct conf *c)
{
	static const char *const known[] = { "name", "url", "ca" };
	const struct node *name = node_get(n, "name"), *url = node_get(n, "url"), *ca = node_get(n, "ca");
	struct partner_conf *p = &c->partner[c->partner_count];

	for (size_t i = 0; n->kind == NODE_MAP && i < n->count; i++)
		if (word_suggest(n->key[i], known, 3) == NULL || strcmp(word_suggest(n->key[i], known, 3), n->key[i]) != 0)
			problem(r, n->key_line[i], n->key_column[i], "unknown key in a partner; name, url and ca are known", n->key[i]);
	if (name == NULL || url == NULL || ca == NULL || name->kind != NODE_SCALAR || url->kind != NODE_SCALAR || ca->kind != NODE_SCALAR) {
		problem(r, n->line, n->column, "a partner needs name, url and ca", NULL);
		return;
	}
	if (c->partner_count == PARTNERS_MAX || (strcmp(name->text, "tunion") != 0 && strcmp(name->text, "bank") != 0 && code_route_of_name(name->text) == NULL)) {
		problem(r, n->line, n->column, "partners are called tunion, bank, ridecode and identity", name->text);
		return;
	}
	if (strncmp(url->text, "https://", 8) != 0 || strlen(url->text) >= sizeof(p->url))
		problem(r, url->line, url->column, "url: https only", url->text);
	snprintf(p->name, sizeof(p->name), "%s", name->text);
	snprintf(p->url, sizeof(p->url), "%s", url->text);
	path_set(r, ca->text, p->ca);
	c->partner_count++;
}

static void unknown_key(struct reading *r, const struct node *root, size_t i)
{
	const char *names[OPTION_COUNT + 1], *near;
	char text[160];

	for (size_t k = 0; k < OPTION_COUNT; k++)
		names[k] = options[k].name;
	names[OPTION_COUNT] = "partners";
	near = word_suggest(root->key[i], names, OPTION_COUNT + 1);
	snprintf(text, sizeof(text), "unknown key \"%s\"%s%s%s", root->key[i], near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	problem(r, root->key_line[i], root->key_column[i], text, NULL);
}

static void root_read(struct reading *r, const struct node *root, struct conf *c)
{
	for (size_t i = 0; i < root->count; i++) {
		size_t k = 0;

		while (k < OPTION_COUNT && strcmp(options[k].name, root->key[i]) != 0)
			k++;
		if (k < OPTION_COUNT && root->item[i]->kind == NODE_SCALAR)
			option_set(r, &options[k], root->item[i]->text, root->item[i]->line, root->item[i]->column, c);
		else if (k < OPTION_COUNT)
			problem(r, root->item[i]->line, root->item[i]->column, "a plain value is needed", root->key[i]);
		else if (strcmp(root->key[i], "partners") == 0 && root->item[i]->kind == NODE_LIST)
			for (size_t p = 0; p < root->item[i]->count; p++)
				partner_read(r, root->item[i]->item[p], c);
		else
			unknown_key(r, root, i);
	}
	for (size_t k = 0; k < OPTION_COUNT; k++) {
		if (node_get(root, options[k].name) != NULL)
			continue;
		if (options[k].fallback != NULL)
			option_set(r, &options[k], options[k].fallback, 1, 1, c);
		else
			problem(r, root->line, root->column, "required and missing", options[k].name);
	}
}

/* What a key device needs, at the place where it is asked for. */
static void device_check(struct reading *r, const struct node *root, const struct conf *c)
{
	const struct node *at = node_get(root, "key_backend");

	if (at == NULL || at->kind != NODE_SCALAR || strcmp(c->key_backend, "software") == 0)
		return;
	if (key_backend_of(c->key_backend) == NULL)
		problem(r, at->line, at->column, "key_backend: software, pkcs11 or sdf is needed", at->text);
	else if (c->key_module[0] == '\0')
		problem(r, at->line, at->column, "key_backend: the device's library is needed too, as key_module", at->text);
	else if (strcmp(c->key_backend, "pkcs11") == 0 && c->key_token[0] == '\0')
		problem(r, at->line, at->column, "key_backend: the token's label is needed too, as key_token", at->text);
}

int conf_read(const char *path, struct conf *ret_conf)
{
	struct reading r = { .path = path };
	struct yaml_doc *doc = NULL;
	char error[512];
	int ret = yaml_open(path, &doc, error, sizeof(error));

	if (ret != 0) {
		fprintf(stderr, "%s\n", error);
		return ret;
	}
	memset(ret_conf, 0, sizeof(*ret_conf));
	if (yaml_root(doc) == NULL || yaml_root(doc)->kind != NODE_MAP)
		problem(&r, 1, 1, "a mapping of options is needed", NULL);
	else
		root_read(&r, yaml_root(doc), ret_conf);
	if (r.problems == 0)
		device_check(&r, yaml_root(doc), ret_conf);
	yaml_close(doc);
	return r.problems == 0 ? 0 : TARIFF_E_SYNTAX;
}

void conf_print_options(FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		fprintf(out, "%s\t%s\t%s\n", options[i].name, options[i].fallback != NULL ? options[i].fallback : "(required)", options[i].sentence);
}
