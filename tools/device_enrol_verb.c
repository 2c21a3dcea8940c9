/*
 * qingfen device enrol, renew - certificates of devices. A code is given once for a device with its terminal and PSAM; the
 * device's request proves it and becomes a certificate with that binding. A renewal is signed with the key in use and
 * needs nobody: renew --in takes whatever requests lie in a folder.
 */
#include "tools/device.h"
#include "tools/keys.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"用法 usage: qingfen device enrol --device NAME --terminal T --psam P --by NAME --key FILE [--days N] [--ca DIR] [--json]\n"
	"            qingfen device enrol --csr FILE --passphrase-file FILE --by NAME --key FILE [--out FILE] [--days N] [--ca DIR]\n"
	"            qingfen device renew --csr FILE | --in DIR --passphrase-file FILE --by NAME --key FILE [--out FILE|DIR] [--days N] [--ca DIR]\n"
	"  enrol --device: 为一台设备生成一次性注册码 (默认 7 天有效)  one-time code, bound to terminal and PSAM\n"
	"  enrol --csr: 核对注册码, 签发证书 (默认 365 天)  renew: 设备用现有密钥签名的续期请求; --in: 目录内全部请求\n";

#define CODE_DAYS 7
#define CERTIFICATE_DAYS 365

bool device_name_good(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= DEVICE_BYTES_MAX && name[0] != '.' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") == n;
}

int device_days(const struct device_options *o, int fallback)
{
	char *end = NULL;
	long days = o->days != NULL ? strtol(o->days, &end, 10) : fallback;

	if (days >= 1 && days <= 3650 && (end == NULL || *end == '\0'))
		return (int)days;
	complain("--days %s: a whole number from 1 to 3650 is needed", o->days);
	return 0;
}

static void code_path(const struct device_options *o, const char *device, char ret_path[PATH_MAX])
{
	char name[32];

	snprintf(name, sizeof(name), "codes/%.15s", device);
	device_path(o, name, ret_path);
}

static void binding_fields(struct jsonw *j, const char *device, const uint8_t terminal[6], const uint8_t psam[6])
{
	char t[13], p[13];

	hex_encode(terminal, 6, t);
	hex_encode(psam, 6, p);
	jsonw_kstr(j, "device", device);
	jsonw_kstr(j, "terminal", t);
	jsonw_kstr(j, "psam", p);
}

/* ---- a code -------------------------------------------------------------------------------------------- */

static void invite_fields(struct jsonw *j, void *arg)
{
	const struct device_invite *i = arg;
	char hex[2 * DIGEST_BYTES + 1];

	binding_fields(j, i->device, i->terminal, i->psam);
	hex_encode(i->digest, DIGEST_BYTES, hex);
	jsonw_kstr(j, "code_key_sha256", hex);
	jsonw_kint(j, "until_ms", i->until_ms);
}

static bool invite_read(const struct device_options *o, struct device_invite *ret)
{
	if (!device_name_good(o->device) || strspn(o->terminal, "0123456789") != 12 || strspn(o->psam, "0123456789") != 12 ||
	    !hex_decode(o->terminal, ret->terminal, 6) || !hex_decode(o->psam, ret->psam, 6)) {
		complain("a device of at most 15 letters, digits, dashes, dots and underscores, and 12 digits of terminal and PSAM are needed");
		return false;
	}
	snprintf(ret->device, sizeof(ret->device), "%s", o->device);
	return true;
}

/* Another device with a certificate for this terminal or PSAM that holds. */
static const struct device_cert *bound_to_another(const struct device_register *r, const struct device_invite *i)
{
	for (size_t k = 0; k < r->certs; k++) {
		const struct device_cert *c = &r->cert[k];

		if (c->revoked_ms == 0 && c->until_ms > device_now_ms() && strcmp(c->device, i->device) != 0 &&
		    (memcmp(c->terminal, i->terminal, 6) == 0 || memcmp(c->psam, i->psam, 6) == 0))
			return c;
	}
	return NULL;
}

/* What proofs are checked with lies in a file of its own until the code is used; the register has its digest. */
static int code_keep(const struct device_options *o, const char *device, const uint8_t key[ENROL_PROOF_BYTES])
{
	char path[PATH_MAX], hex[2 * ENROL_PROOF_BYTES + 1];
	int ret;

	code_path(o, device, path);
	hex_encode(key, ENROL_PROOF_BYTES, hex);
	ret = device_file_put(path, hex, strlen(hex), 0600);
	key_wipe(hex, sizeof(hex));
	if (ret != 0)
		complain("%s: %s", path, strerror(-ret));
	return ret == 0 ? EXIT_OK : EXIT_STORE;
}

static void code_print(const struct device_options *o, const struct device_invite *i, const char *code)
{
	char until[32];
	struct jsonw j;

	time_format(i->until_ms, until);
	if (!o->json) {
		printf("%s\n", code);
		fprintf(stderr, "%s: 注册码, 一次有效, 至 %s (one-time code for this device)\n", i->device, until);
		return;
	}
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.device.code");
	jsonw_kint(&j, "version", 1);
	binding_fields(&j, i->device, i->terminal, i->psam);
	jsonw_kstr(&j, "code", code);
	jsonw_kstr(&j, "until", until);
	jsonw_object_end(&j);
	putchar('\n');
}

static int invite(const struct device_options *o)
{
	struct device_register *r = NULL;
	struct device_invite i = { 0 };
	const struct device_cert *other;
	char code[ENROL_CODE_BYTES + 1];
	uint8_t key[ENROL_PROOF_BYTES];
	int days = device_days(o, CODE_DAYS), ret;

	if (days == 0 || !invite_read(o, &i))
		return EXIT_USAGE;
	i.until_ms = device_now_ms() + (int64_t)days * 86400000;
	ret = register_open(o, true, &r);
	if (ret != EXIT_OK)
		return ret;
	other = bound_to_another(r, &i);
	if (other != NULL) {
		complain("%s: %s has a certificate for this terminal or PSAM; revoke it first", i.device, other->device);
		ret = EXIT_RULE;
	}
	if (ret == EXIT_OK && (enrol_code_new(code) != 0 || !enrol_code_key(code, key) || digest_sha256(key, sizeof(key), i.digest) != 0))
		ret = EXIT_STORE;
	if (ret == EXIT_OK)
		ret = code_keep(o, i.device, key);
	if (ret == EXIT_OK)
		ret = register_add(r, o, "invite", invite_fields, &i);
	register_close(r);
	if (ret == EXIT_OK)
		code_print(o, &i, code);
	key_wipe(key, sizeof(key));
	key_wipe(code, sizeof(code));
	return ret;
}

/* ---- certificates ------------------------------------------------------------------------------------------ */

struct issue { const struct device_cert *cert; const char *how; };

static void issue_fields(struct jsonw *j, void *arg)
{
	const struct issue *i = arg;

	binding_fields(j, i->cert->device, i->cert->terminal, i->cert->psam);
	jsonw_kstr(j, "how", i->how);
	jsonw_kstr(j, "serial", i->cert->serial);
	jsonw_kint(j, "from_ms", i->cert->from_ms);
	jsonw_kint(j, "until_ms", i->cert->until_ms);
	jsonw_kstr(j, "certificate", i->cert->pem);
}

static int certificate_out(const char *path, const char *pem)
{
	int ret = 0;

	if (path == NULL)
		fputs(pem, stdout);
	else
		ret = device_file_put(path, pem, strlen(pem), 0644);
	if (ret != 0)
		complain("%s: %s; qingfen device show --out writes it again", path, strerror(-ret));
	return ret == 0 ? EXIT_OK : EXIT_STORE;
}

struct work { const struct device_options *o; struct device_register *r; struct device_ca *ca; int days; };

/* Told in the register before anybody gets it. *cert has device and binding; its pem is the caller's to free. */
static int issue(struct work *w, const struct enrol_request *request, const char *how, struct device_cert *cert)
{
	int ret = ca_issue(w->ca, request, w->days, cert);

	return ret == EXIT_OK ? register_add(w->r, w->o, "issue", issue_fields, &(struct issue){ cert, how }) : ret;
}

static int request_get(const char *path, struct enrol_request *ret)
{
	size_t n = 0;
	char *text = device_file_get(path, &n);
	const char *why = text == NULL ? strerror(errno) : enrol_request_read(text, n, ret);

	free(text);
	if (why == NULL && !device_name_good(ret->device)) {
		enrol_request_done(ret);
		why = "the device's name has characters that are not allowed";
	}
	if (why != NULL)
		complain("%s: %s", path, why);
	return why == NULL ? EXIT_OK : EXIT_RULE;
}

static bool code_proved(const struct device_options *o, const struct device_invite *i, const struct enrol_request *request)
{
	uint8_t key[ENROL_PROOF_BYTES], digest[DIGEST_BYTES];
	char path[PATH_MAX], hex[2 * ENROL_PROOF_BYTES + 2] = "";
	bool good;

	code_path(o, i->device, path);
	good = line_read(path, hex, sizeof(hex)) == 0 && hex_decode(hex, key, sizeof(key)) && digest_sha256(key, sizeof(key), digest) == 0 &&
	       memcmp(digest, i->digest, DIGEST_BYTES) == 0 && enrol_proved(request, key);
	key_wipe(hex, sizeof(hex));
	key_wipe(key, sizeof(key));
	return good;
}

/* A device that enrols anew has lost its key: the certificates it had are taken back. */
static int enrol_request(struct work *w, const struct enrol_request *request)
{
	const struct device_invite *i = register_invite(w->r, request->device, device_now_ms());
	struct device_cert cert = { 0 };
	char path[PATH_MAX];
	int ret, before;

	if (i == NULL || !code_proved(w->o, i, request)) {
		complain("%s: %s", request->device, i == NULL ? "no open code for this device; qingfen device enrol --device gives one" :
								"the request does not prove the code that was given for this device");
		return EXIT_RULE;
	}
	memcpy(cert.device, i->device, sizeof(cert.device));
	memcpy(cert.terminal, i->terminal, 6);
	memcpy(cert.psam, i->psam, 6);
	ret = issue(w, request, "code", &cert);
	if (ret == EXIT_OK) {
		code_path(w->o, cert.device, path);
		unlink(path);
		before = device_revoke(w->o, w->r, cert.device, cert.serial, "superseded");
		if (before != 0)
			ret = before < 0 ? -before : device_list_issue(&(struct device_options){ .ca = w->o->ca, .persons = w->o->persons, .by = w->o->by, .key = w->o->key }, w->ca, w->r);
	}
	if (ret == EXIT_OK)
		ret = certificate_out(w->o->out, cert.pem);
	free(cert.pem);
	return ret;
}

/* Signed by the key of a certificate of this device that holds. */
static const struct device_cert *renewed_by(const struct device_register *r, const struct enrol_request *request)
{
	for (size_t i = r->certs; i-- > 0;) {
		const struct device_cert *c = &r->cert[i];

		if (strcmp(c->device, request->device) == 0 && c->revoked_ms == 0 && c->until_ms > device_now_ms() && enrol_renews(request, c->pem))
			return c;
	}
	return NULL;
}

/* The same request again gets the same certificate. */
static int renew_request(struct work *w, const struct enrol_request *request, const char *out)
{
	const struct device_cert *old = renewed_by(w->r, request), *now = register_current(w->r, request->device, device_now_ms());
	struct device_cert cert = { 0 };
	int ret;

	if (old == NULL) {
		complain("%s: not signed with the key of a certificate that holds; enrol the device anew", request->device);
		return EXIT_RULE;
	}
	if (now != NULL && ca_has_key(now->pem, request))
		return certificate_out(out, now->pem);
	memcpy(cert.device, old->device, sizeof(cert.device));
	memcpy(cert.terminal, old->terminal, 6);
	memcpy(cert.psam, old->psam, 6);
	ret = issue(w, request, "renewal", &cert);
	if (ret == EXIT_OK)
		ret = certificate_out(out, cert.pem);
	free(cert.pem);
	return ret;
}

static int renew_one(struct work *w, const char *path, const char *out)
{
	struct enrol_request request;
	int ret = request_get(path, &request);

	if (ret != EXIT_OK)
		return ret;
	ret = renew_request(w, &request, out);
	enrol_request_done(&request);
	return ret;
}

/* DEVICE.request becomes DEVICE.crt; what is refused is told, and its request put aside. */
static int renew_folder(struct work *w)
{
	DIR *d = opendir(w->o->in);
	unsigned good = 0, bad = 0;
	struct dirent *e;

	if (d == NULL) {
		complain("%s: %s", w->o->in, strerror(errno));
		return EXIT_CONFIG;
	}
	while ((e = readdir(d)) != NULL) {
		char from[PATH_MAX], to[PATH_MAX], refused[PATH_MAX + 16], device[DEVICE_BYTES_MAX + 1];
		const char *dot = strrchr(e->d_name, '.');
		size_t n = dot != NULL ? (size_t)(dot - e->d_name) : 0;

		if (n < 1 || n > DEVICE_BYTES_MAX || strcmp(dot, ".request") != 0)
			continue;
		snprintf(device, sizeof(device), "%.*s", (int)n, e->d_name);
		snprintf(from, sizeof(from), "%s/%s.request", w->o->in, device);
		snprintf(to, sizeof(to), "%s/%s.crt", w->o->out != NULL ? w->o->out : w->o->in, device);
		if (renew_one(w, from, to) == EXIT_OK) {
			good++;
			unlink(from);
		} else {
			bad++;
			snprintf(refused, sizeof(refused), "%s.refused", from);
			if (rename(from, refused) != 0)
				complain("%s: %s", from, strerror(errno));
		}
	}
	closedir(d);
	printf("续期 renewed %u, 拒绝 refused %u\n", good, bad);
	return bad == 0 ? EXIT_OK : good > 0 ? EXIT_PARTLY : EXIT_RULE;
}

static int certificates(const struct device_options *o, bool renewal)
{
	struct work w = { .o = o, .days = device_days(o, CERTIFICATE_DAYS) };
	struct enrol_request request;
	int ret = w.days == 0 ? EXIT_USAGE : register_open(o, true, &w.r);

	if (ret == EXIT_OK)
		ret = ca_open(o, &w.ca);
	if (ret == EXIT_OK && o->in != NULL) {
		ret = renew_folder(&w);
	} else if (ret == EXIT_OK && renewal) {
		ret = renew_one(&w, o->csr, o->out);
	} else if (ret == EXIT_OK) {
		ret = request_get(o->csr, &request);
		if (ret == EXIT_OK) {
			ret = enrol_request(&w, &request);
			enrol_request_done(&request);
		}
	}
	ca_close(w.ca);
	register_close(w.r);
	return ret;
}

int device_enrol_verb(int argc, char **argv)
{
	struct device_options o;
	int ret = device_options_read(argc, argv, usage, &o);
	bool renewal = strcmp(argv[0], "renew") == 0, signs, certifies;

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	signs = o.by != NULL && o.key != NULL && o.first == argc;
	certifies = signs && o.passphrase_file != NULL && o.device == NULL;
	if (!renewal && signs && o.device != NULL && o.terminal != NULL && o.psam != NULL && o.csr == NULL)
		return invite(&o);
	if (certifies && o.csr != NULL && o.in == NULL)
		return certificates(&o, renewal);
	if (certifies && renewal && o.in != NULL && o.csr == NULL)
		return certificates(&o, true);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
