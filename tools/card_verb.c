/* qingfen card parse - the files of a T-Union card, hex in, named fields out; the fields are in card_print.c. */
#include "tools/card.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "用法 usage: qingfen card parse [FILE] [--json]\n"
			    "  {\"15\":\"HEX\",\"17\":\"HEX\",\"18\":[\"HEX\"...],\"1E\":[\"HEX\"...]} -> JSON\n"
			    "  还可以有 and also: fci, 16, ssse (EF05 记录 records 1-6), 19, 1A\n"
			    "            qingfen card show --help     qingfen card stopped --help\n"
			    "  有无法解析的部分时退出码 1 exit 1 when a part cannot be read\n";

/* What may stand in the object beside files 15 and 17, under which name it is printed. */
static const struct card_part { const char *file, *key; bool (*print)(struct parsing *, const json_t *, size_t); bool list; } parts[] = {
	{ "fci", "fci", card_print_fci, false }, { "16", "holder", card_print_16, false }, { "18", "purse_log", card_print_18, true },
	{ "19", "city_records", card_print_19, true }, { "1A", "journeys", card_print_1a, true }, { "1E", "transit_log", card_print_1e, true },
	{ "ssse", "social_security", NULL, true },
};

static bool keys_known(const json_t *root, const char *file)
{
	const char *known[2 + sizeof(parts) / sizeof(parts[0])] = { "15", "17" }, *key, *near;
	const size_t count = sizeof(known) / sizeof(known[0]);
	json_t *v;

	for (size_t i = 2; i < count; i++)
		known[i] = parts[i - 2].file;
	json_object_foreach((json_t *)(uintptr_t)root, key, v) {
		size_t i = 0;

		while (i < count && strcmp(known[i], key) != 0)
			i++;
		if (i < count)
			continue;
		near = word_suggest(key, known, count);
		complain("%s: unknown file \"%s\"%s%s%s; known are 15, 16, 17, 18, 19, 1A, 1E, fci and ssse", file, key, near != NULL ? ", did you mean \"" : "",
			 near != NULL ? near : "", near != NULL ? "\"?" : "");
		return false;
	}
	return true;
}

static void part_print(struct parsing *p, const json_t *root, const struct card_part *part)
{
	const json_t *v = json_object_get(root, part->file);

	if (v == NULL)
		return;
	jsonw_key(p->j, part->key);
	if (part->print == NULL) {
		card_print_ssse(p, v);
		return;
	}
	if (!part->list) {
		if (!part->print(p, v, 0))
			jsonw_null(p->j);
		return;
	}
	jsonw_array(p->j);
	for (size_t i = 0; i < json_array_size(v); i++)
		part->print(p, json_array_get(v, i), i);
	jsonw_array_end(p->j);
}

int verb_card(int argc, char **argv)
{
	struct parsing p = { 0 };
	struct options o;
	json_error_t error;
	struct jsonw j;
	json_t *root;
	FILE *in;
	int ret, words;

	if (argc > 1 && strcmp(argv[1], "show") == 0)
		return card_show(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "stopped") == 0)
		return card_stopped(argc - 1, argv + 1);
	ret = options_read(argc, argv, usage, &o);
	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	words = argc - o.first;
	if (words < 1 || words > 2 || strcmp(argv[o.first], "parse") != 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	in = words == 2 ? fopen(argv[o.first + 1], "re") : stdin;
	if (in == NULL) {
		complain("%s: %s", argv[o.first + 1], strerror(errno));
		return EXIT_ABSENT;
	}
	root = json_loadf(in, JSON_REJECT_DUPLICATES, &error);
	if (in != stdin)
		fclose(in);
	if (root != NULL && !keys_known(root, words == 2 ? argv[o.first + 1] : "(stdin)")) {
		json_decref(root);
		return EXIT_USAGE;
	}
	if (!json_is_object(root)) {
		complain("%s:%d:%d: %s", words == 2 ? argv[o.first + 1] : "(stdin)", error.line, error.column, root == NULL ? error.text : "an object is needed");
		json_decref(root);
		return EXIT_USAGE;
	}
	p.j = &j;
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.card");
	jsonw_kint(&j, "version", 1);
	card_print_info(&p, root);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		part_print(&p, root, &parts[i]);
	jsonw_key(&j, "errors");
	jsonw_array(&j);
	for (size_t i = 0; i < p.faults; i++) {
		jsonw_object(&j);
		jsonw_kstr(&j, "file", p.file[i]);
		jsonw_kint(&j, "index", (int64_t)p.index[i]);
		jsonw_kstr(&j, "reason", p.reason[i]);
		jsonw_object_end(&j);
	}
	jsonw_array_end(&j);
	jsonw_object_end(&j);
	putchar('\n');
	json_decref(root);
	return p.faults > 0 ? EXIT_NO : EXIT_OK;
}
