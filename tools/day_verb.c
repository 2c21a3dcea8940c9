/* qingfen day - settlement days: list and show from the store, close and settle through the daemon. */
#include "tools/tools.h"

#include <inttypes.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen day list [--store DIR] [--json]\n"
	"            qingfen day show DATE [--store DIR] [--json]\n"
	"            qingfen day close DATE [--socket PATH] [--json]    切日并清分 cut and clear\n"
	"            qingfen day settle DATE [--socket PATH] [--json]   结算: 生成、发送、对账 build, send, reconcile\n"
	"            qingfen day pack DATE [--socket PATH] [--json]     打包已清分日的批次 pack the batches of a cleared day\n";

static void print_day(const struct day_row *row, const struct packed *packed, bool json)
{
	char day[11], digest[2 * DIGEST_BYTES + 1];
	struct jsonw j;

	day_format(row->day, day);
	hex_encode(row->digest, DIGEST_BYTES, digest);
	if (!json) {
		printf("%s  %-10s  taps %10" PRIu64 "  inbox %" PRIu64 "..%" PRIu64 "  %.16s%s\n", day, day_state_name((enum day_state)row->state), row->tap_count,
		       row->first_seq + 1, row->cut_seq, row->state >= DAY_CLEARED ? digest : "-", packed->whole ? "  packed" : "");
		return;
	}
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.day");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "day", day);
	jsonw_kstr(&j, "state", day_state_name((enum day_state)row->state));
	jsonw_kint(&j, "taps", (int64_t)row->tap_count);
	jsonw_kint(&j, "first_seq", (int64_t)row->first_seq);
	jsonw_kint(&j, "cut_seq", (int64_t)row->cut_seq);
	jsonw_kstr(&j, "sha256", row->state >= DAY_CLEARED ? digest : "");
	jsonw_kstr(&j, "sha256_of", row->state < DAY_CLEARED ? "" : row->seal == DAY_SEAL_TEXT ? "dump" : "rows");
	jsonw_kbool(&j, "packed", packed->whole);
	jsonw_kint(&j, "packed_bytes_before", (int64_t)packed->bytes_before);
	jsonw_kint(&j, "packed_bytes_after", (int64_t)packed->bytes_after);
	jsonw_object_end(&j);
	putchar('\n');
}

static int days_print(const struct options *o, int32_t only)
{
	struct store *s;
	struct txn t;
	struct iter it;
	bool found = false;

	if (store_open_reading(o, &s) != 0)
		return EXIT_STORE;
	if (txn_begin(s, false, &t) != 0) {
		store_close(s);
		return EXIT_STORE;
	}
	iter_open(&t, DB_DAY, NULL, 0, &it);
	while (iter_next(&it)) {
		struct packed packed = { 0 };
		struct day_row row;

		if (day_decode(it.val, it.val_bytes, &row) && (only == DAY_NONE || row.day == only)) {
			day_packed(&t, row.day, &packed);
			print_day(&row, &packed, o->json);
			found = true;
		}
	}
	iter_close(&it);
	txn_abort(&t);
	store_close(s);
	if (!found && only != DAY_NONE)
		complain("no such settlement day");
	return found || only == DAY_NONE ? EXIT_OK : EXIT_ABSENT;
}

int verb_day(int argc, char **argv)
{
	struct options o;
	char request[128];
	int32_t day = DAY_NONE;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 1 == argc && strcmp(argv[o.first], "list") == 0)
		return days_print(&o, DAY_NONE);
	if (o.first + 2 != argc || !day_parse(argv[o.first + 1], &day)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[o.first], "show") == 0)
		return days_print(&o, day);
	if (strcmp(argv[o.first], "close") != 0 && strcmp(argv[o.first], "settle") != 0 && strcmp(argv[o.first], "pack") != 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	snprintf(request, sizeof(request), "{\"cmd\":\"day-%s\",\"day\":\"%s\"}", argv[o.first], argv[o.first + 1]);
	return daemon_call(&o, request, NULL, 0, false);
}
