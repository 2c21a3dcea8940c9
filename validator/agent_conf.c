/*
 * agent_conf - validatord's configuration: one table of options with type, bounds, default and the sentence
 * for the manual. Strict YAML; relative paths are relative to the file; every mistake is told in one run.
 */
#include "validator/agent.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum option_type { OPTION_TEXT, OPTION_PATH, OPTION_INT, OPTION_BCD };
struct option {
	const char *name;
	enum option_type type;
	size_t offset, bytes;
	int64_t min, max;
	const char *fallback;		/* NULL: required */
	const char *sentence;
};
#define FIELD(field) offsetof(struct agent_conf, field), sizeof(((struct agent_conf *)NULL)->field)
#define TEXT(name, field, fallback, sentence) { name, OPTION_TEXT, FIELD(field), 0, 0, fallback, sentence }
#define FILE_(name, field, fallback, sentence) { name, OPTION_PATH, FIELD(field), 0, 0, fallback, sentence }
#define BCD(name, field, fallback, sentence) { name, OPTION_BCD, FIELD(field), 0, 0, fallback, sentence }
#define INT(name, field, min, max, fallback, sentence) \
	{ name, OPTION_INT, FIELD(field), min, max, fallback, sentence }
static const struct option options[] = {
	TEXT("device", device, NULL, "device name, the common name of its certificate, at most 15 bytes"),
	BCD("terminal", terminal, NULL, "terminal number, 12 digits; also the PSAM's"),
	FILE_("spool", spool, NULL, "directory where taps wait for their receipt"),
	TEXT("host", host, "127.0.0.1", "clearingd's name or address"),
	INT("port", port, 1, 65535, "7443", "its port"),
	TEXT("server_name", server_name, "", "name the server's certificate must show; empty: host"),
	FILE_("tls_cert", tls_cert, NULL, "the device's certificate, PEM"),
	FILE_("tls_key", tls_key, NULL, "its private key, PEM"),
	FILE_("tls_ca", tls_ca, NULL, "CA of the server's certificate, PEM"),
	FILE_("keyring", keyring, "", "encrypted keyring for the software PSAM; empty: no gate"),
	FILE_("passphrase_file", passphrase_file, "", "file whose first line opens the keyring"),
	FILE_("qr_ca", qr_ca, "", "CA public keys for T-Union QR codes; empty: none is taken"),
	FILE_("code_list", code_list, "", "issuers and platforms whose T-Union QR codes are taken; empty: none is"),
	FILE_("code_formats", code_formats, "", "formats of ride codes and identity codes; empty: none is taken"),
	INT("code_ask_ms", code_ask_ms, 0, 5000, "400", "milliseconds the platform of an identity code has to answer while the rider stands there; 0: it is not asked here"),
	INT("code_unasked", code_unasked, 0, 1, "1", "1: a code whose platform did not answer in time rides within its format's limits; 0: it does not"),
	FILE_("tariff", tariff, "tariff.blob", "compiled tariff, replaced by what the daemon sends"),
	FILE_("blacklist", blacklist, "blacklist.txt", "black list, replaced by what the daemon sends"),
	FILE_("bank_scheme_keys", bank_scheme_keys, "", "scheme keys of bank cards; empty: bank cards are not taken"),
	FILE_("bank_token_key", bank_token_key, "", "the city's token key, 32 hex digits: how the deny list names cards"),
	FILE_("bank_list_point", bank_list_point, "", "public key of whoever signs the deny list, 04|x|y in hex"),
	FILE_("denylist", denylist, "denylist.txt", "deny list of bank cards, replaced by what the daemon sends"),
	INT("bank_sda", bank_sda, 0, 1, "0", "1: cards with static authentication alone are taken; they can be copied"),
	INT("bank_first_fen", bank_first_fen, 0, 1000000, "500", "fen a bank card rides here before the centre has answered for it once"),
	INT("bank_card_fen", bank_card_fen, 0, 1000000, "2000", "fen a bank card the centre knows rides here between two answers"),
	INT("operator", operator_id, 0, UINT32_MAX, "0", "operator of the vehicle"),
	TEXT("line", line, "", "line, as in the tariff's lines.csv"),
	INT("direction", direction, 0, 1, "0", "0 up, 1 down"),
	TEXT("vehicle", vehicle, "", "plate or fleet number, at most 15 bytes"),
	INT("stop", stop, 0, 65535, "0", "stop now, from 1; 0 unknown"),
	INT("inside", inside, 0, 1, "0", "1: riders change here without leaving the paid area"),
	INT("ride_end", ride_end, 0, 2, "0", "of a card: 0 one tap a ride; where both ends are tapped 1 an entry, 2 an exit"),
	INT("driver", driver, 0, UINT32_MAX, "0", "driver number"),
	BCD("acquirer", acquirer, "00000000", "acceptance institution, 8 digits"),
	BCD("city", city, "0000", "acceptance city, 4 digits"),
	INT("batch_taps", batch_taps, 1, BATCH_TAPS_MAX, "256", "taps in one batch at most"),
	INT("back_off_s", back_off_s, 1, 3600, "60", "longest pause between two attempts to connect"),
	INT("renew_days", renew_days, 0, 3650, "30", "days before its certificate ends that the next is asked for; 0: never by itself"),
	INT("renew_check_s", renew_check_s, 1, 86400, "3600", "seconds between two looks at that"),
	INT("answer_s", answer_s, 1, 3600, "30", "seconds without an answer before connecting again"),
};
#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

struct reading { const char *path; unsigned problems; };

static void problem(struct reading *r, unsigned line, unsigned column, const char *name, const char *what)
{
	fprintf(stderr, "%s:%u:%u: %s: %s\n", r->path, line, column, name, what);
	r->problems++;
}

static bool text_set(const struct option *o, const char *text, char *field)
{
	if (strlen(text) >= o->bytes)
		return false;
	memcpy(field, text, strlen(text) + 1);
	return true;
}

static bool path_set(const char *conf, const char *text, char *field)
{
	const char *slash = strrchr(conf, '/');
	int n;

	if (text[0] == '\0' || text[0] == '/' || slash == NULL)
		n = snprintf(field, PATH_MAX, "%s", text);
	else
		n = snprintf(field, PATH_MAX, "%.*s/%s", (int)(slash - conf), conf, text);
	return n >= 0 && n < PATH_MAX;
}

static bool int_set(const struct option *o, const char *text, int64_t *field)
{
	size_t n = strlen(text);

	if (n < 1 || n > 18 || strspn(text, "0123456789") != n)
		return false;
	*field = strtoll(text, NULL, 10);
	return *field >= o->min && *field <= o->max;
}

static bool bcd_set(const struct option *o, const char *text, uint8_t *field)
{
	return strlen(text) == 2 * o->bytes && strspn(text, "0123456789") == 2 * o->bytes && hex_decode(text, field, o->bytes);
}

static void option_set(struct reading *r, const struct option *o, const struct node *n, const char *text, struct agent_conf *c)
{
	void *field = (char *)c + o->offset;
	unsigned line = n != NULL ? n->line : 1, column = n != NULL ? n->column : 1;
	char what[96] = "";

	switch (o->type) {
	case OPTION_TEXT:
		if (!text_set(o, text, field))
			snprintf(what, sizeof(what), "at most %zu bytes", o->bytes - 1);
		break;
	case OPTION_PATH:
		if (!path_set(r->path, text, field))
			snprintf(what, sizeof(what), "the path is too long");
		break;
	case OPTION_INT:
		if (!int_set(o, text, field))
			snprintf(what, sizeof(what), "a whole number from %lld to %lld is needed", (long long)o->min, (long long)o->max);
		break;
	case OPTION_BCD:
		if (!bcd_set(o, text, field))
			snprintf(what, sizeof(what), "%zu digits are needed", 2 * o->bytes);
		break;
	}
	if (what[0] != '\0')
		problem(r, line, column, o->name, what);
}

static void unknown_key(struct reading *r, const struct node *root, size_t i)
{
	const char *names[OPTION_COUNT], *near;
	char what[96];

	for (size_t k = 0; k < OPTION_COUNT; k++)
		names[k] = options[k].name;
	near = word_suggest(root->key[i], names, OPTION_COUNT);
	snprintf(what, sizeof(what), "unknown key%s%s%s", near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	problem(r, root->key_line[i], root->key_column[i], root->key[i], what);
}

static const struct option *option_find(const char *name)
{
	for (size_t k = 0; k < OPTION_COUNT; k++)
		if (strcmp(options[k].name, name) == 0)
			return &options[k];
	return NULL;
}

static void root_read(struct reading *r, const struct node *root, struct agent_conf *c)
{
	for (size_t i = 0; i < root->count; i++) {
		const struct option *o = option_find(root->key[i]);
		const struct node *n = root->item[i];

		if (o == NULL)
			unknown_key(r, root, i);
		else if (n->kind != NODE_SCALAR)
			problem(r, n->line, n->column, o->name, "a plain value is needed");
		else
			option_set(r, o, n, n->text, c);
	}
	for (size_t k = 0; k < OPTION_COUNT; k++) {
		if (node_get(root, options[k].name) != NULL)
			continue;
		if (options[k].fallback != NULL)
			option_set(r, &options[k], NULL, options[k].fallback, c);
		else
			problem(r, root->line, root->column, options[k].name, "required and missing");
	}
}

int agent_conf_read(const char *path, struct agent_conf *ret_conf)
{
	struct reading r = { .path = path };
	struct agent_conf conf = { 0 };
	struct yaml_doc *doc = NULL;
	char error[512];
	int ret = yaml_open(path, &doc, error, sizeof(error));

	if (ret != 0) {
		fprintf(stderr, "%s\n", error);
		return ret;
	}
	if (yaml_root(doc) == NULL || yaml_root(doc)->kind != NODE_MAP)
		problem(&r, 1, 1, "file", "a mapping of options is needed");
	else
		root_read(&r, yaml_root(doc), &conf);
	yaml_close(doc);
	if (r.problems != 0)
		return TARIFF_E_SYNTAX;
	if (conf.server_name[0] == '\0')
		memcpy(conf.server_name, conf.host, sizeof(conf.server_name));
	*ret_conf = conf;
	return 0;
}

void agent_conf_print(FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		fprintf(out, "%s\t%s\t%s\n", options[i].name, options[i].fallback != NULL ? options[i].fallback : "(required)",
			options[i].sentence);
}
