/*
 * qingfen tariff publish, withdraw, person, versions - a tariff takes effect by the SM2 signatures of two persons
 * over the compiled pack and its first moment, and is taken back by a signed event; nothing is edited. The second
 * person runs the same command on a copy of the pack: it must compile to the same bytes.
 */
#include "tools/signed_call.h"
#include "tools/tariff.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"用法 usage: qingfen tariff publish PACK --from TIME --by NAME --key FILE [--socket PATH] [--json]\n"
	"            qingfen tariff withdraw VERSION [--from TIME] --by NAME --key FILE [--socket PATH] [--json]\n"
	"            qingfen tariff versions [--socket PATH] [--json]\n"
	"            qingfen tariff person NAME --to KEYFILE\n"
	"  publish: 第一人签名成为提案, 第二人签名后生效; 例子须全部通过, 生效时刻须在将来\n"
	"  withdraw: 撤回一个版本, 之前的版本重新生效  person: 生成签名私钥, 打印 persons.csv 的一行\n";

/* ---- keys ------------------------------------------------------------------------------------------------ */

static int key_read(const char *path, struct qr_key **ret)
{
	char hex[80] = "";
	uint8_t secret[32];
	FILE *f = fopen(path, "re");
	bool good = f != NULL && fscanf(f, "%64s", hex) == 1 && hex_decode(hex, secret, 32) && qr_key_of_secret(secret, ret) == 0;

	if (f != NULL)
		fclose(f);
	key_wipe(secret, sizeof(secret));
	key_wipe(hex, sizeof(hex));
	if (!good)
		complain("%s: an SM2 secret of 64 hex digits is needed; qingfen tariff person makes one", path);
	return good ? EXIT_OK : EXIT_CONFIG;
}

static int secret_write(const char *path, const uint8_t secret[32])
{
	char hex[66];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), ret = fd < 0 ? -errno : 0;

	hex_encode(secret, 32, hex);
	hex[64] = '\n';
	if (ret == 0 && (write(fd, hex, 65) != 65 || fsync(fd) != 0))
		ret = -EIO;
	if (fd >= 0)
		close(fd);
	key_wipe(hex, sizeof(hex));
	return ret;
}

static int person_make(const struct options *o, const char *name)
{
	struct qr_key *key = NULL;
	uint8_t secret[32], point[65];
	char hex[131];
	int ret;

	if (name[0] == '\0' || strlen(name) > PERSON_NAME_BYTES_MAX || strpbrk(name, ",\"\r\n") != NULL) {
		complain("a name of 1 to 31 bytes without commas and quotes is needed");
		return EXIT_USAGE;
	}
	do		/* a secret beyond the group's order is refused, about once in 2^32 */
		ret = getrandom(secret, sizeof(secret), 0) == sizeof(secret) ? qr_key_of_secret(secret, &key) : -EIO;
	while (ret != 0 && ret != -EIO && ret != -ENOMEM);
	if (ret == 0)
		ret = secret_write(o->to, secret);
	key_wipe(secret, sizeof(secret));
	if (ret != 0) {
		complain("%s: %s", o->to, strerror(ret < 0 && ret > -1000 ? -ret : EIO));
		qr_key_free(key);
		return EXIT_STORE;
	}
	qr_key_point(key, point);
	hex_encode(point, sizeof(point), hex);
	qr_key_free(key);
	printf("name,title,key\n%s,,%s\n", name, hex);
	return EXIT_OK;
}

/* ---- requests ---------------------------------------------------------------------------------------------- */

static bool moment_read(const char *text, int64_t *ret_ms)
{
	int32_t day;

	if (day_parse(text, &day)) {
		*ret_ms = (int64_t)day * 86400000 - CIVIL_OFFSET_MS;
		return true;
	}
	return time_parse(text, ret_ms);
}

int secret_sign(const char *key_path, const void *p, size_t n, uint8_t ret_signature[64], uint8_t *ret_point)
{
	struct qr_key *key = NULL;
	int ret = key_read(key_path, &key);

	if (ret == EXIT_OK && sm2_sign(key, p, n, ret_signature) != 0)
		ret = EXIT_CONFIG;
	if (ret == EXIT_OK && ret_point != NULL)
		qr_key_point(key, ret_point);
	qr_key_free(key);
	return ret;
}

static int request_send(const struct options *o, const char *cmd, int64_t from_ms, uint32_t version, const char *text, size_t n, const void *bulk,
			size_t bulk_bytes)
{
	struct signed_call c;
	int ret = signed_begin(&c, cmd);

	if (ret != EXIT_OK)
		return ret;
	jsonw_kint(&c.json, "from", from_ms);
	jsonw_kint(&c.json, "version", version);
	return signed_send(&c, o, text, n, bulk, bulk_bytes);
}

static void report(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static int cases_pass(const struct open_pack *p)
{
	int run = 0, failed = tariff_run_cases(p->dir, p->tariff, report, NULL, &run);

	if (failed == 0 && run > 0)
		return EXIT_OK;
	complain("%s: %d of %d cases fail; a pack is published when it has cases and all pass", p->dir, failed, run);
	return EXIT_CONFIG;
}

static int publish(const struct options *o, const char *dir)
{
	char text[PUBLISH_TEXT_BYTES];
	uint8_t digest[DIGEST_BYTES];
	struct open_pack p = { 0 };
	int64_t from_ms;
	int ret;

	if (!moment_read(o->from, &from_ms)) {
		complain("--from %s: a date or a time is needed", o->from);
		return EXIT_USAGE;
	}
	if (from_ms <= (int64_t)time(NULL) * 1000) {
		complain("--from %s: a tariff takes effect in the future, never in the past", o->from);
		return EXIT_RULE;
	}
	ret = open_pack_read(dir, &p);
	if (ret == EXIT_OK)
		ret = cases_pass(&p);
	if (ret == EXIT_OK && digest_sha256(p.blob, p.bytes, digest) != 0)
		ret = EXIT_STORE;
	if (ret == EXIT_OK)
		ret = request_send(o, "publish", from_ms, tariff_version(p.tariff), text, publish_text(digest, from_ms, text), p.blob, p.bytes);
	open_pack_done(&p);
	return ret;
}

static int withdraw(const struct options *o, const char *version_text)
{
	char text[PUBLISH_TEXT_BYTES], *end;
	unsigned long version = strtoul(version_text, &end, 10);
	int64_t from_ms = (int64_t)time(NULL) * 1000;

	if (*end != '\0' || version == 0 || version > UINT32_MAX || (o->from != NULL && !moment_read(o->from, &from_ms))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return request_send(o, "withdraw", from_ms, (uint32_t)version, text, withdraw_text((uint32_t)version, from_ms, text), NULL, 0);
}

int tariff_publish(int argc, char **argv)
{
	struct options o;
	int ret = options_read(argc, argv, usage, &o), words;
	const char *what = argv[0], *name;

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	words = argc - o.first;
	name = words == 1 ? argv[o.first] : NULL;
	if (strcmp(what, "versions") == 0 && words == 0)
		return daemon_call(&o, "{\"cmd\":\"tariffs\"}", NULL, 0, false);
	if (strcmp(what, "person") == 0 && name != NULL && o.to != NULL)
		return person_make(&o, name);
	if (strcmp(what, "publish") == 0 && name != NULL && o.from != NULL && o.by != NULL && o.key != NULL)
		return publish(&o, name);
	if (strcmp(what, "withdraw") == 0 && name != NULL && o.by != NULL && o.key != NULL)
		return withdraw(&o, name);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
