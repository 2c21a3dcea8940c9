/*
 * qingfen taps - foreign historical taps: compare rates them with a pack, import loads them into a store.
 */
#include "tools/taps.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen taps compare --map MAP.yaml [--json] FILE.csv[.zst]\n"
	"            qingfen taps import  --map MAP.yaml [--store DIR] [--clear] [--json] FILE.csv[.zst]\n"
	"  compare  用映射所指的票价包计价, 按原因列出差异; 最后一行为一致率\n"
	"           rates the taps with the map's pack, lists differences by reason\n"
	"  import   装入存储 (清分服务未运行时), 每个结算日切日; --clear 随即清分\n"
	"           loads them into a store no daemon has open, cuts each settlement day;\n"
	"           with --clear each day is cleared as well\n"
	"  map file: taps-map(5)\n";

struct taps_options { const char *map, *store, *file; bool json, clear; };

static int taps_options_read(int argc, char **argv, struct taps_options *ret)
{
	static const struct option longs[] = { { "map", required_argument, NULL, 'm' }, { "store", required_argument, NULL, 's' },
		{ "clear", no_argument, NULL, 'c' }, { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'm': ret->map = optarg; break;
		case 's': ret->store = optarg; break;
		case 'c': ret->clear = true; break;
		case 'j': ret->json = true; break;
		case 'h': fputs(usage, stdout); return -1;
		default: fputs(usage, stderr); return EXIT_USAGE;
		}
	}
	if (optind != argc - 1 || ret->map == NULL) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret->file = argv[optind];
	return 0;
}

static void report(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static int taps_run(const struct taps_options *o, bool import)
{
	struct taps_map map = { 0 };
	struct taps_file file = { 0 };
	struct tariff *t = NULL;
	void *blob = NULL;
	size_t blob_bytes = 0;
	char error[512] = "";
	int ret = taps_map_open(o->map, &map, error, sizeof(error)), status = EXIT_CONFIG;

	if (ret == 0) {
		ret = tariff_compile(map.pack_dir, report, NULL, &blob, &blob_bytes);
		if (ret != 0)
			snprintf(error, sizeof(error), "%s: the pack has errors, see above", map.pack_dir);
	}
	if (ret == 0)
		ret = tariff_open(blob, blob_bytes, &t);
	if (ret == 0)
		ret = taps_file_open(o->file, &map, &file, error, sizeof(error));
	if (ret != 0) {
		complain("%s", error[0] != '\0' ? error : clearing_strerror(ret));
		goto out;
	}
	taps_file_sort(&file);
	status = import ? taps_import(&map, blob, blob_bytes, t, &file, store_dir(o->store), o->clear, o->json)
			: taps_compare(&map, t, &file, o->json);
out:
	taps_file_close(&file);
	tariff_close(t);
	free(blob);
	taps_map_close(&map);
	return status;
}

int verb_taps(int argc, char **argv)
{
	struct taps_options o = { 0 };
	int ret;

	if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return EXIT_OK;
	}
	if (argc < 2 || (strcmp(argv[1], "compare") != 0 && strcmp(argv[1], "import") != 0)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret = taps_options_read(argc - 1, argv + 1, &o);
	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	return taps_run(&o, strcmp(argv[1], "import") == 0);
}
