/* qingfen entitlements - bureaus' signed batches: prepared and signed at the bureau, loaded and looked at in the house. */
#include "tools/entitlements.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen entitlements load FILE --sig FILE [--force] [--socket PATH] [--json]\n"
	"            qingfen entitlements status [--date D] [--store DIR] [--json]\n"
	"            qingfen entitlements show HANDLE | --pan PAN [--store DIR] [--json]\n"
	"  委办局一侧 at the bureau:\n"
	"            qingfen entitlements prepare FILE.csv --city-key FILE --bureau NAME --sequence N --kind full|increment\n"
	"                        --issued D --to FILE [--birth] [--ndjson]\n"
	"            qingfen entitlements handle --city-key FILE        (身份证号逐行读自标准输入 numbers on standard input)\n"
	"            qingfen entitlements sign FILE --key FILE [--to FILE.sig]\n"
	"  权益批次由委办局签名, 身份证号只在委办局一侧换成假名; 格式见 docs/entitlements.md\n";

static int options_take(int argc, char **argv, struct entitlement_options *ret)
{
	static const struct { const char *name; size_t at; } texts[] = { { "sig", offsetof(struct entitlement_options, sig) },
		{ "key", offsetof(struct entitlement_options, key) }, { "city-key", offsetof(struct entitlement_options, city_key) },
		{ "to", offsetof(struct entitlement_options, to) }, { "bureau", offsetof(struct entitlement_options, bureau) },
		{ "sequence", offsetof(struct entitlement_options, sequence) }, { "kind", offsetof(struct entitlement_options, kind) },
		{ "issued", offsetof(struct entitlement_options, issued) }, { "pan", offsetof(struct entitlement_options, pan) },
		{ "date", offsetof(struct entitlement_options, date) }, { "store", offsetof(struct entitlement_options, store) },
		{ "socket", offsetof(struct entitlement_options, socket) } };
	enum { TEXTS = sizeof(texts) / sizeof(texts[0]), FORCE = 300, BIRTH, NDJSON, JSON };
	struct option longs[TEXTS + 6] = { 0 };
	int c;

	for (int i = 0; i < TEXTS; i++)
		longs[i] = (struct option){ texts[i].name, required_argument, NULL, 256 + i };
	longs[TEXTS] = (struct option){ "force", no_argument, NULL, FORCE };
	longs[TEXTS + 1] = (struct option){ "birth", no_argument, NULL, BIRTH };
	longs[TEXTS + 2] = (struct option){ "ndjson", no_argument, NULL, NDJSON };
	longs[TEXTS + 3] = (struct option){ "json", no_argument, NULL, JSON };
	longs[TEXTS + 4] = (struct option){ "help", no_argument, NULL, 'h' };
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c >= 256 && c < 256 + TEXTS)
			*(const char **)(void *)((char *)ret + texts[c - 256].at) = optarg;
		else if (c == FORCE)
			ret->force = true;
		else if (c == BIRTH)
			ret->birth = true;
		else if (c == NDJSON)
			ret->ndjson = true;
		else if (c == JSON)
			ret->json = true;
		else if (c == 'h')
			return fputs(usage, stdout), -1;
		else
			return fputs(usage, stderr), EXIT_USAGE;
	}
	for (int i = optind; i < argc && ret->words < 2; i++)
		ret->word[ret->words++] = argv[i];
	return argc - optind > 2 ? EXIT_USAGE : EXIT_OK;
}

int bytes_read(const char *path, char **ret_p, size_t *ret_n)
{
	FILE *f = fopen(path, "re");
	char *p = NULL, *wide;
	size_t n = 0, space = 0, got;
	int code = f != NULL ? 0 : errno;

	while (f != NULL && code == 0) {
		if (n == space) {
			wide = realloc(p, space = space != 0 ? space * 2 : 65536);
			if (wide == NULL) {
				code = ENOMEM;
				break;
			}
			p = wide;
		}
		got = fread(p + n, 1, space - n, f);
		n += got;
		if (got == 0) {
			code = ferror(f) ? EIO : 0;
			break;
		}
	}
	if (f != NULL)
		fclose(f);
	if (code != 0) {
		complain("%s: %s", path, strerror(code));
		free(p);
		return code == ENOENT ? EXIT_ABSENT : EXIT_STORE;
	}
	*ret_p = p;
	*ret_n = n;
	return EXIT_OK;
}

static int signature_read(const char *path, char ret_hex[129])
{
	FILE *f = fopen(path, "re");
	bool good = f != NULL && fscanf(f, "%128s", ret_hex) == 1 && strlen(ret_hex) == 128 && strspn(ret_hex, "0123456789ABCDEFabcdef") == 128;

	if (f != NULL)
		fclose(f);
	if (!good)
		complain("%s: a signature of 128 hex digits is needed; qingfen entitlements sign makes one", path);
	return good ? EXIT_OK : EXIT_CONFIG;
}

static int request_send(const struct entitlement_options *o, const char *path, const char *hex, const char *p, size_t n)
{
	const struct options call = { .socket = o->socket, .json = o->json };
	const char *slash = strrchr(path, '/');
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);
	struct jsonw j;
	int ret;

	if (f == NULL)
		return EXIT_STORE;
	jsonw_init(&j, f, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "cmd", "entitlements");
	jsonw_kstr(&j, "file", slash != NULL ? slash + 1 : path);
	jsonw_kstr(&j, "signature", hex);
	jsonw_kbool(&j, "force", o->force);
	jsonw_kint(&j, "bytes", (int64_t)n);
	jsonw_object_end(&j);
	fclose(f);
	ret = daemon_call(&call, text, p, n, false);
	free(text);
	return ret;
}

static int load(const struct entitlement_options *o)
{
	char hex[129] = "", *p = NULL;
	size_t n = 0;
	int ret;

	if (o->words != 2 || o->sig == NULL)
		return EXIT_USAGE;
	ret = bytes_read(o->word[1], &p, &n);
	if (ret == EXIT_OK)
		ret = signature_read(o->sig, hex);
	if (ret == EXIT_OK)
		ret = request_send(o, o->word[1], hex, p, n);
	free(p);
	return ret;
}

int verb_entitlements(int argc, char **argv)
{
	static const struct { const char *name; int (*run)(const struct entitlement_options *); } what[] = { { "load", load },
		{ "status", entitlements_status }, { "show", entitlements_show }, { "prepare", entitlements_prepare },
		{ "handle", entitlements_handle }, { "sign", entitlements_sign } };
	struct entitlement_options o = { 0 };
	int ret = options_take(argc, argv, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	for (size_t i = 0; o.words > 0 && i < sizeof(what) / sizeof(what[0]); i++)
		if (strcmp(what[i].name, o.word[0]) == 0) {
			ret = what[i].run(&o);
			if (ret == EXIT_USAGE)
				complain("entitlements %s: a word or an option is missing; see qingfen entitlements --help", what[i].name);
			return ret;
		}
	fputs(usage, stderr);
	return EXIT_USAGE;
}
