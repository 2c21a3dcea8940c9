/* qingfen load - reference data into the running house: terminals, issuers, black list, entitlements, tariffs. */
#include "tools/tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen load terminals|issuers|blacklist|riders|bureaus|media|cards|contract|persons FILE.csv [--version N] [--socket PATH] [--json]\n"
	"            qingfen load tariff PACKDIR [--socket PATH] [--json]\n"
	"  整个文件检查通过后作为一个事件生效; 黑名单须给版本号\n"
	"  The whole file is checked and takes effect as one event; a black list needs its version.\n";

static int file_read(const char *path, char **ret_p, size_t *ret_n)
{
	FILE *f = fopen(path, "re");
	char *p = NULL;
	size_t n = 0, space = 0, got;

	if (f == NULL)
		return -errno;
	do {
		if (n == space) {
			char *wide = realloc(p, space = space ? space * 2 : 65536);

			if (wide == NULL)
				break;
			p = wide;
		}
		got = fread(p + n, 1, space - n, f);
		n += got;
	} while (got > 0);
	fclose(f);
	*ret_p = p;
	*ret_n = n;
	return 0;
}

static void report(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static int load_tariff(const struct options *o, const char *dir)
{
	char request[256];
	struct tariff *t;
	void *blob;
	size_t n;
	int ret = tariff_compile(dir, report, NULL, &blob, &n);

	if (ret != 0)
		return EXIT_CONFIG;
	ret = tariff_open(blob, n, &t);
	if (ret == 0) {
		snprintf(request, sizeof(request), "{\"cmd\":\"load\",\"what\":\"tariff\",\"version\":%lld,\"bytes\":%zu}", (long long)tariff_valid_from_ms(t), n);
		ret = daemon_call(o, request, blob, n, false);
		tariff_close(t);
	}
	free(blob);
	return ret;
}

int verb_load(int argc, char **argv)
{
	struct options o;
	char request[256], *p = NULL;
	size_t n = 0;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 2 != argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[o.first], "tariff") == 0)
		return load_tariff(&o, argv[o.first + 1]);
	ret = file_read(argv[o.first + 1], &p, &n);
	if (ret != 0) {
		complain("%s: %s", argv[o.first + 1], strerror(-ret));
		return EXIT_ABSENT;
	}
	snprintf(request, sizeof(request), "{\"cmd\":\"load\",\"what\":\"%.20s\",\"version\":%lld,\"bytes\":%zu}", argv[o.first], (long long)o.version, n);
	ret = daemon_call(&o, request, p, n, false);
	free(p);
	return ret;
}
