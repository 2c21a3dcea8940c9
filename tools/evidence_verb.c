/* qingfen evidence, verify - a closed day as a pack, and the pack checked with no store. */
#include "tools/tools.h"

#include "tools/sim/conformance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int verb_evidence(int argc, char **argv)
{
	static const char usage[] = "用法 usage: qingfen evidence DATE --to FILE.qfe [--key FILE] [--store DIR]\n"
				    "  --key: 签名用 SM2 私钥, 64 位十六进制 SM2 secret, 64 hex digits, in a file\n";
	struct qr_key *key = NULL;
	char hex[80] = "";
	uint8_t secret[32];
	struct options o;
	struct store *s;
	int32_t day;
	FILE *f;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 1 != argc || !day_parse(argv[o.first], &day) || o.to == NULL) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (o.key != NULL) {
		f = fopen(o.key, "re");
		if (f == NULL || fscanf(f, "%64s", hex) != 1 || !hex_decode(hex, secret, 32) || qr_key_of_secret(secret, &key) != 0)
			ret = EXIT_CONFIG;
		if (f != NULL)
			fclose(f);
		key_wipe(secret, sizeof(secret));
		key_wipe(hex, sizeof(hex));
		if (ret != 0) {
			complain("%s: an SM2 secret of 64 hex digits is needed", o.key);
			return ret;
		}
	}
	if (store_open_reading(&o, &s) != 0) {
		qr_key_free(key);
		return EXIT_STORE;
	}
	f = fopen(o.to, "we");
	ret = f == NULL ? -errno : evidence_write(s, day, key, f);
	if (f != NULL && fclose(f) != 0 && ret == 0)
		ret = -EIO;
	store_close(s);
	qr_key_free(key);
	if (ret != 0)
		complain("%s: %s", o.to, clearing_strerror(ret));
	else if (o.json)
		printf("{\"schema\":\"qingfen.evidence\",\"version\":1,\"file\":\"%s\"}\n", o.to);
	return exit_of_error(ret);
}

int verb_verify(int argc, char **argv)
{
	static const char usage[] = "用法 usage: qingfen verify FILE [--trust FILE] [--json]\n"
				    "  不需要存储; --trust: 签名者 SM2 公钥 04|x|y 十六进制\n";
	uint8_t point[65], *p = NULL;
	char hex[160] = "";
	struct options o;
	long n = 0;
	FILE *f, *out;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 1 != argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (o.trust != NULL) {
		f = fopen(o.trust, "re");
		ret = f == NULL || fscanf(f, "%130s", hex) != 1 || !hex_decode(hex, point, 65);
		if (f != NULL)
			fclose(f);
		if (ret != 0) {
			complain("%s: an SM2 public key 04|x|y of 130 hex digits is needed", o.trust);
			return EXIT_CONFIG;
		}
	}
	f = fopen(argv[o.first], "re");
	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0 || (p = malloc((size_t)n + 1)) == NULL || fseek(f, 0, SEEK_SET) != 0 ||
	    fread(p, 1, (size_t)n, f) != (size_t)n) {
		complain("%s: cannot be read", argv[o.first]);
		free(p);
		if (f != NULL)
			fclose(f);
		return EXIT_ABSENT;
	}
	fclose(f);
	out = o.json ? fopen("/dev/null", "we") : stdout;
	if (out == NULL)
		ret = -errno;
	else if (conformance_is(p, (size_t)n))
		ret = conformance_verify(p, (size_t)n, o.trust != NULL ? point : NULL, out);
	else
		ret = evidence_verify(p, (size_t)n, o.trust != NULL ? point : NULL, out);
	if (o.json) {
		printf("{\"schema\":\"qingfen.verify\",\"version\":1,\"holds\":%s}\n", ret == 0 ? "true" : "false");
		if (out != NULL)
			fclose(out);
	}
	free(p);
	return exit_of_error(ret);
}
