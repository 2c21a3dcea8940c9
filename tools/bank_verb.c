/* qingfen bank - bank cards: which ride no more and why; the bank's list and paid arrears into the running house. */
#include "tools/tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)

static const char usage[] =
	"用法 usage: qingfen bank list [--store DIR] [--json]\n"
	"            qingfen bank load FILE.csv [--socket PATH] [--json]\n"
	"  list: 不得乘车的银行卡及原因 bank cards that ride no more, and why\n"
	"  load: 列 action,pan,item,fen: 银行名单 (deny, allow) 与已付欠费 (paid), 整个文件检查通过后生效\n"
	"        the bank's list and arrears that were paid; checked whole, one event\n";

static int bank_list(const struct options *o)
{
	struct store *s;
	int ret;

	if (store_open_reading(o, &s) != 0)
		return EXIT_STORE;
	ret = denied_list(s, o->json, stdout);
	store_close(s);
	if (ret != 0)
		complain("bank list: %s", clearing_strerror(ret));
	return exit_of_error(ret);
}

static int bank_load(const struct options *o, const char *path)
{
	char request[96], *p = malloc(FILE_BYTES_MAX);
	FILE *f = fopen(path, "re");
	size_t n = f != NULL && p != NULL ? fread(p, 1, FILE_BYTES_MAX, f) : 0;
	int ret = EXIT_ABSENT;

	if (f == NULL || p == NULL) {
		complain("%s: %s", path, strerror(errno));
	} else if (n == FILE_BYTES_MAX) {
		complain("%s: a file of at most 1 MiB is needed", path);
		ret = EXIT_RULE;
	} else {
		snprintf(request, sizeof(request), "{\"cmd\":\"bank\",\"bytes\":%zu}", n);
		ret = daemon_call(o, request, p, n, false);
	}
	if (f != NULL)
		fclose(f);
	free(p);
	return ret;
}

int verb_bank(int argc, char **argv)
{
	struct options o;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 1 == argc && strcmp(argv[o.first], "list") == 0)
		return bank_list(&o);
	if (o.first + 2 == argc && strcmp(argv[o.first], "load") == 0)
		return bank_load(&o, argv[o.first + 1]);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
