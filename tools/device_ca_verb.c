/*
 * qingfen device init-ca, revoke, crl - the CA and what it takes back. A revocation is told in the register, and a new
 * list with the next number follows at once; clearingd reads the file and closes the device's connection.
 */
#include "tools/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
	"用法 usage: qingfen device init-ca --name TITLE --passphrase-file FILE --persons CSV --by NAME --key FILE [--ca DIR]\n"
	"            qingfen device revoke DEVICE --reason key-compromise|cessation|superseded|unspecified --passphrase-file FILE --by NAME --key FILE\n"
	"                        [--out FILE] [--with FILE] [--days N] [--ca DIR]\n"
	"            qingfen device crl --passphrase-file FILE --by NAME --key FILE [--out FILE] [--with FILE] [--days N] [--ca DIR]\n"
	"  init-ca: 建立设备证书机构  revoke: 吊销并立即签发新的吊销列表  crl: 重新签发吊销列表 (默认 7 天)\n"
	"  --out: 同时写入该文件 (clearingd 的 tls_client_crl)  --with: 附上另一机构的吊销列表  lists of another CA to append\n";

#define LIST_DAYS 7

/* ---- init-ca ------------------------------------------------------------------------------------------ */

struct named { const char *name, *pem; };

static void ca_fields(struct jsonw *j, void *arg)
{
	const struct named *n = arg;

	jsonw_kstr(j, "name", n->name);
	jsonw_kstr(j, "certificate", n->pem);
}

static int folder_make(const struct device_options *o)
{
	char path[PATH_MAX];
	int fd;

	if (mkdir(o->ca, 0700) != 0 && errno != EEXIST) {
		complain("%s: %s", o->ca, strerror(errno));
		return EXIT_STORE;
	}
	device_path(o, "codes", path);
	mkdir(path, 0700);
	device_path(o, "register.jsonl", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		complain("%s: %s", path, errno == EEXIST ? "there is a CA in this folder already" : strerror(errno));
		return errno == EEXIST ? EXIT_RULE : EXIT_STORE;
	}
	close(fd);
	return EXIT_OK;
}

static int persons_copy(const struct device_options *o)
{
	char path[PATH_MAX];
	size_t n = 0;
	char *text = device_file_get(o->persons, &n);
	int ret;

	device_path(o, "persons.csv", path);
	ret = text == NULL ? -errno : device_file_put(path, text, n, 0644);
	free(text);
	if (ret != 0)
		complain("%s: %s", o->persons, strerror(-ret));
	return ret == 0 ? EXIT_OK : EXIT_CONFIG;
}

static int init_ca(const struct device_options *o)
{
	struct device_register *r = NULL;
	char path[PATH_MAX], *pem = NULL;
	int ret = folder_make(o);

	if (ret != EXIT_OK)
		return ret;
	ret = persons_copy(o);
	if (ret == EXIT_OK)
		ret = ca_make(o, &pem);
	if (ret == EXIT_OK)
		ret = register_open(o, true, &r);
	if (ret == EXIT_OK)
		ret = register_add(r, o, "ca", ca_fields, &(struct named){ o->name, pem });
	register_close(r);
	free(pem);
	if (ret == EXIT_OK) {
		device_path(o, "ca.crt", path);
		printf("%s\n", path);
		return EXIT_OK;
	}
	for (int i = 0; i < 3; i++) {		/* nothing was issued: as if it had not been tried */
		device_path(o, (const char *const[]){ "register.jsonl", "ca.key", "ca.crt" }[i], path);
		unlink(path);
	}
	return ret;
}

/* ---- lists ------------------------------------------------------------------------------------------------ */

struct listed { uint64_t number; int64_t next_ms; size_t revoked; char sha256[2 * DIGEST_BYTES + 1]; };

static void list_fields(struct jsonw *j, void *arg)
{
	const struct listed *l = arg;

	jsonw_kint(j, "number", (int64_t)l->number);
	jsonw_kint(j, "next_ms", l->next_ms);
	jsonw_kint(j, "revoked", (int64_t)l->revoked);
	jsonw_kstr(j, "sha256", l->sha256);
}

/* The list, and behind it what --with has, for a file that clearingd reads whole. */
static int list_out(const struct device_options *o, const char *pem)
{
	size_t n = 0, with = 0;
	char *others = o->with != NULL ? device_file_get(o->with, &with) : NULL, *both;
	int ret = 0;

	if (o->with != NULL && others == NULL) {
		complain("%s: %s", o->with, strerror(errno));
		return EXIT_CONFIG;
	}
	n = strlen(pem);
	both = malloc(n + with + 1);
	if (both != NULL) {
		memcpy(both, pem, n);
		memcpy(both + n, others != NULL ? others : "", with);
		ret = device_file_put(o->out, both, n + with, 0644);
	}
	free(both);
	free(others);
	if (both == NULL || ret != 0)
		complain("%s: %s", o->out, strerror(ret != 0 ? -ret : ENOMEM));
	return both != NULL && ret == 0 ? EXIT_OK : EXIT_STORE;
}

int device_list_issue(const struct device_options *o, struct device_ca *ca, struct device_register *r)
{
	int days = device_days(o, LIST_DAYS), ret = days == 0 ? EXIT_USAGE : EXIT_OK;
	struct listed l = { .number = r->crl_number + 1, .next_ms = device_now_ms() + (int64_t)days * 86400000 };
	uint8_t digest[DIGEST_BYTES];
	char path[PATH_MAX], *pem = NULL;

	for (size_t i = 0; i < r->certs; i++)
		l.revoked += r->cert[i].revoked_ms != 0 && r->cert[i].until_ms > device_now_ms();
	if (ret == EXIT_OK)
		ret = ca_list(ca, r, l.number, l.next_ms, &pem);
	if (ret == EXIT_OK && digest_sha256(pem, strlen(pem), digest) != 0)
		ret = EXIT_STORE;
	if (ret == EXIT_OK)
		hex_encode(digest, sizeof(digest), l.sha256);
	if (ret == EXIT_OK)
		ret = register_add(r, o, "crl", list_fields, &l);
	device_path(o, "crl.pem", path);
	if (ret == EXIT_OK && device_file_put(path, pem, strlen(pem), 0644) != 0) {
		complain("%s: %s", path, strerror(errno));
		ret = EXIT_STORE;
	}
	if (ret == EXIT_OK && o->out != NULL)
		ret = list_out(o, pem);
	if (ret == EXIT_OK)
		fprintf(stderr, "吊销列表 revocation list %llu: %zu\n", (unsigned long long)l.number, l.revoked);
	free(pem);
	return ret;
}

static int list_issue(const struct device_options *o)
{
	struct device_register *r = NULL;
	struct device_ca *ca = NULL;
	int ret = register_open(o, true, &r);

	if (ret == EXIT_OK)
		ret = ca_open(o, &ca);
	if (ret == EXIT_OK)
		ret = device_list_issue(o, ca, r);
	ca_close(ca);
	register_close(r);
	return ret;
}

/* ---- revoke -------------------------------------------------------------------------------------------------- */

struct taken_back { const char *device, *serial, *reason; };

static void revoke_fields(struct jsonw *j, void *arg)
{
	const struct taken_back *t = arg;

	jsonw_kstr(j, "device", t->device);
	jsonw_kstr(j, "serial", t->serial);
	jsonw_kstr(j, "reason", t->reason);
}

int device_revoke(const struct device_options *o, struct device_register *r, const char *device, const char *but_serial, const char *reason)
{
	int64_t now = device_now_ms();
	int count = 0;

	for (size_t i = 0; i < r->certs; i++) {
		const struct device_cert *c = &r->cert[i];
		int ret;

		if (strcmp(c->device, device) != 0 || c->revoked_ms != 0 || c->until_ms <= now || (but_serial != NULL && strcmp(c->serial, but_serial) == 0))
			continue;
		ret = register_add(r, o, "revoke", revoke_fields, &(struct taken_back){ device, c->serial, reason });
		if (ret != EXIT_OK)
			return -ret;
		count++;
	}
	return count;
}

static int revoke_all(const struct device_options *o, const char *device)
{
	struct device_register *r = NULL;
	struct device_ca *ca = NULL;
	char name[32], path[PATH_MAX];
	int count, ret;

	if (!ca_reason(o->reason, NULL) || !device_name_good(device)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret = register_open(o, true, &r);
	if (ret == EXIT_OK)
		ret = ca_open(o, &ca);
	count = ret == EXIT_OK ? device_revoke(o, r, device, NULL, o->reason) : -ret;
	snprintf(name, sizeof(name), "codes/%s", device);
	device_path(o, name, path);
	if (count >= 0 && unlink(path) == 0)
		count++;		/* a code that was not used yet is of no use now */
	if (count == 0)
		complain("%s: has no certificate that holds and no open code; qingfen device list shows them", device);
	ret = count < 0 ? -count : count == 0 ? EXIT_ABSENT : device_list_issue(o, ca, r);
	ca_close(ca);
	register_close(r);
	return ret;
}

int device_ca_verb(int argc, char **argv)
{
	struct device_options o;
	int ret = device_options_read(argc, argv, usage, &o), words;
	bool signs;

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	words = argc - o.first;
	signs = o.by != NULL && o.key != NULL && o.passphrase_file != NULL;
	if (strcmp(argv[0], "init-ca") == 0 && words == 0 && signs && o.name != NULL && o.persons != NULL)
		return init_ca(&o);
	if (strcmp(argv[0], "revoke") == 0 && words == 1 && signs && o.reason != NULL)
		return revoke_all(&o, argv[o.first]);
	if (strcmp(argv[0], "crl") == 0 && words == 0 && signs)
		return list_issue(&o);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
