/* qingfen card parse - the files of a T-Union card, hex in, named fields out. A part that cannot be read is named
 * with its reason; the others are printed all the same. */
#include "tools/tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static const char usage[] = "用法 usage: qingfen card parse [FILE] [--json]\n"
			    "  {\"15\":\"HEX\",\"17\":\"HEX\",\"18\":[\"HEX\"...],\"1E\":[\"HEX\"...]} -> JSON\n"
			    "  有无法解析的部分时退出码 1 exit 1 when a part cannot be read\n";

struct parsing { struct jsonw *j; const char *file[64], *reason[64]; size_t index[64]; size_t faults; };

static void fault(struct parsing *p, const char *file, size_t index, const char *reason)
{
	if (p->faults == 64)
		return;
	p->file[p->faults] = file;
	p->index[p->faults] = index;
	p->reason[p->faults++] = reason;
}

/* Hex text to bytes; -1 when it is none. */
static int bytes_of(const json_t *v, uint8_t *ret, size_t space)
{
	const char *text = json_string_value(v);
	size_t n = text != NULL ? strlen(text) / 2 : 0;

	return text != NULL && n <= space && hex_decode(text, ret, n) ? (int)n : -1;
}

static void hex_key(struct jsonw *j, const char *key, const uint8_t *p, size_t n)
{
	char text[64];

	hex_encode(p, n, text);
	jsonw_kstr(j, key, text);
}

static void time_key(struct jsonw *j, const char *key, int64_t ms)
{
	char text[32];

	time_format(ms, text);
	jsonw_kstr(j, key, text);
}

static void print_info(struct parsing *p, const json_t *root)
{
	static const char *const classes[] = { "unknown", "ordinary", "student", "elderly", "test", "soldier" };
	struct card_info c = { 0 };
	const char *reason;
	uint8_t bytes[128];
	char text[24];
	int n = bytes_of(json_object_get(root, "15"), bytes, sizeof(bytes));

	if (json_object_get(root, "15") != NULL && (n < 0 || card_parse_15(bytes, (size_t)n, &c, &reason) != 0)) {
		fault(p, "15", 0, n < 0 ? "not hex" : reason);
	} else if (n >= 0) {
		hex_key(p->j, "issuer", c.issuer, 4);
		jsonw_kint(p->j, "application_type", c.app_type);
		jsonw_kint(p->j, "application_version", c.app_version);
		hex_encode(c.pan, 10, text);
		jsonw_kstr(p->j, "pan", text + (text[0] == '0'));
		day_format(c.start, text);
		jsonw_kstr(p->j, "start", text);
		day_format(c.expiry, text);
		jsonw_kstr(p->j, "expiry", text);
		hex_key(p->j, "subtype", (uint8_t[]){ (uint8_t)(c.subtype >> 8), (uint8_t)c.subtype }, 2);
	}
	n = bytes_of(json_object_get(root, "17"), bytes, sizeof(bytes));
	if (json_object_get(root, "17") != NULL && (n < 0 || card_parse_17(bytes, (size_t)n, &c, &reason) != 0)) {
		fault(p, "17", 0, n < 0 ? "not hex" : reason);
	} else if (n >= 0) {
		snprintf(text, sizeof(text), "%08X", c.country);
		jsonw_kstr(p->j, "country", text);
		snprintf(text, sizeof(text), "%04X", c.province);
		jsonw_kstr(p->j, "province", text);
		snprintf(text, sizeof(text), "%04X", c.city);
		jsonw_kstr(p->j, "city", text);
		jsonw_kbool(p->j, "interoperable", c.interop == 1);
		jsonw_kint(p->j, "card_class", c.card_class);
		jsonw_kstr(p->j, "card_class_name", c.card_class < 6 ? classes[c.card_class] : "unknown");
	}
}

static const char *purse_type(uint8_t type)
{
	switch (type) {
	case 0x01: return "ed-load";
	case 0x02: return "load";
	case 0x05: return "ed-purchase";
	case 0x06: return "purchase";
	case 0x09: return "composite-purchase";
	default: return "other";
	}
}

static void print_18(struct parsing *p, const json_t *v, size_t i)
{
	struct card_log c;
	const char *reason;
	uint8_t bytes[64];
	int n = bytes_of(v, bytes, sizeof(bytes));

	if (n < 0 || card_parse_18(bytes, (size_t)n, &c, &reason) != 0) {
		fault(p, "18", i, n < 0 ? "not hex" : reason);
		return;
	}
	jsonw_object(p->j);
	jsonw_kint(p->j, "counter", c.counter);
	jsonw_kint(p->j, "overdraft_fen", c.overdraft_fen);
	jsonw_kint(p->j, "amount_fen", c.amount_fen);
	jsonw_kint(p->j, "type", c.type);
	jsonw_kstr(p->j, "type_name", purse_type(c.type));
	hex_key(p->j, "terminal", c.terminal, 6);
	time_key(p->j, "time", c.time_ms);
	jsonw_object_end(p->j);
}

static void print_1e(struct parsing *p, const json_t *v, size_t i)
{
	static const char *const types[] = { "initial", "ec-board", "ec-alight", "ep-board", "ep-alight", "ec-single", "ep-single", "ec-make-up", "ep-make-up", "ec-load", "ep-load" };
	static const char *const industries[] = { "", "metro", "bus", "water-bus", "taxi", "rental-car", "public-bike", "parking", "coach", "ferry", "intercity-rail", "aviation",
		"expressway", "", "suburban-rail" };
	struct card_transit c;
	const char *reason;
	uint8_t bytes[64];
	char city[8];
	int n = bytes_of(v, bytes, sizeof(bytes));

	if (n < 0 || card_parse_1e(bytes, (size_t)n, &c, &reason) != 0) {
		fault(p, "1E", i, n < 0 ? "not hex" : reason);
		return;
	}
	snprintf(city, sizeof(city), "%04X", c.city);
	jsonw_object(p->j);
	jsonw_kint(p->j, "type", c.type);
	jsonw_kstr(p->j, "type_name", c.type < 11 ? types[c.type] : "other");
	hex_key(p->j, "terminal", c.terminal, 8);
	jsonw_kint(p->j, "industry", c.industry);
	jsonw_kstr(p->j, "industry_name", c.industry < 15 ? industries[c.industry] : "other");
	hex_key(p->j, "place", c.place, 7);
	jsonw_kint(p->j, "amount_fen", c.amount_fen);
	jsonw_kint(p->j, "balance_fen", c.balance_fen);
	time_key(p->j, "time", c.time_ms);
	jsonw_kstr(p->j, "city", city);
	hex_key(p->j, "acquirer", c.acquirer, 8);
	jsonw_object_end(p->j);
}

static void print_list(struct parsing *p, const json_t *root, const char *file, const char *key, void (*print)(struct parsing *, const json_t *, size_t))
{
	const json_t *list = json_object_get(root, file);

	if (list == NULL)
		return;
	jsonw_key(p->j, key);
	jsonw_array(p->j);
	for (size_t i = 0; i < json_array_size(list); i++)
		print(p, json_array_get(list, i), i);
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
	int ret = options_read(argc, argv, usage, &o), words;

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
	print_info(&p, root);
	print_list(&p, root, "18", "purse_log", print_18);
	print_list(&p, root, "1E", "transit_log", print_1e);
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
