/*
 * qingfen device aside, release - records beyond their device's cap: listed as they wait, and released one by one by
 * the signature of a person, who has seen why the device brought so much.
 */
#include "tools/device.h"
#include "tools/tariff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen device aside [--date DATE] [--store DIR] [--json]\n"
	"            qingfen device release ID --by NAME --key FILE [--store DIR] [--socket PATH] [--json]\n"
	"  aside: 超过设备限额、被隔离且未放行的记录  records set aside and not released\n"
	"  release: 人员核实后签名放行一笔, 计入当前结算日, 仅一次  one record settles on the open day, once\n";

struct listing { struct txn *t; const struct refdata *ref; bool json; uint64_t count; int64_t fen; };

static void row_print(struct listing *l, int32_t day, const uint8_t key[TAP_KEY_BYTES], const struct cleared *row)
{
	char id[TAP_ID_BYTES], date[11];
	struct jsonw j;

	tap_id_format(key, id);
	day_format(day, date);
	l->count++;
	l->fen += row->priced.charged.fen;
	if (!l->json) {
		printf("%s  %-15s  %s  %8" PRId64 " 分  %s\n", date, row->device, id, row->priced.charged.fen, key_check_name((enum key_check)row->check));
		return;
	}
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.device.aside");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "day", date);
	jsonw_kstr(&j, "device", row->device);
	jsonw_kstr(&j, "tap", id);
	jsonw_kstr(&j, "check", key_check_name((enum key_check)row->check));
	jsonw_kint(&j, "amount_fen", row->priced.charged.fen);
	jsonw_object_end(&j);
	putchar('\n');
}

/* The day's cubes tell whether it is worth looking at its rows. */
static bool day_has_some(struct txn *t, int32_t day)
{
	uint8_t prefix[5];
	struct iter it;
	bool found;

	be32_put(prefix, (uint32_t)day ^ 0x80000000u);
	prefix[4] = VERDICT_QUARANTINED;
	iter_open(t, DB_CUBE, prefix, sizeof(prefix), &it);
	found = iter_next(&it);
	iter_close(&it);
	return found;
}

static int day_list(struct listing *l, int32_t day)
{
	struct row_iter it;

	rows_open_day(l->t, day, &it);
	while (rows_next(&it))
		if (it.row.verdict == VERDICT_QUARANTINED && refdata_release(l->ref, it.key + 5) == NULL)
			row_print(l, day, it.key + 5, &it.row);
	rows_close(&it);
	return l->t->error;
}

static int days_list(struct listing *l, int32_t only)
{
	struct iter it;
	int ret = 0;

	iter_open(l->t, DB_DAY, NULL, 0, &it);
	while (ret == 0 && iter_next(&it)) {
		struct day_row day;

		if (!day_decode(it.val, it.val_bytes, &day))
			ret = CLEARING_E_STORE;
		else if ((only == DAY_NONE || only == day.day) && day.state >= DAY_CLEARED && day_has_some(l->t, day.day))
			ret = day_list(l, day.day);
	}
	iter_close(&it);
	return ret != 0 ? ret : l->t->error;
}

static int aside(const struct options *o)
{
	struct refdata *ref = NULL;
	struct listing l = { .json = o->json };
	int32_t only = DAY_NONE;
	struct store *s;
	struct txn t;
	int ret;

	if (o->date != NULL && !day_parse(o->date, &only)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(o, &s) != 0)
		return EXIT_STORE;
	ret = txn_begin(s, false, &t);
	if (ret == 0) {
		ret = refdata_new(&ref);
		if (ret == 0)
			ret = refdata_replay(ref, &t, inbox_last(&t));
		l.t = &t;
		l.ref = ref;
		if (ret == 0)
			ret = days_list(&l, only);
		refdata_free(ref);
		txn_abort(&t);
	}
	store_close(s);
	if (ret != 0)
		complain("%s", clearing_strerror(ret));
	else if (!o->json)
		printf("%" PRIu64 " 笔待放行, 记录金额 %" PRId64 " 分 records wait\n", l.count, l.fen);
	return exit_of_error(ret);
}

/* What is signed: the record, the day that set it aside, and what it holds. */
static int text_of(const struct options *o, const char *id, char ret_text[PUBLISH_TEXT_BYTES], size_t *ret_bytes)
{
	uint8_t key[TAP_KEY_BYTES], digest[DIGEST_BYTES];
	struct cleared row;
	struct store *s;
	struct txn t;
	int32_t day;
	int ret;

	if (!tap_id_parse(id, key)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(o, &s) != 0)
		return EXIT_STORE;
	ret = txn_begin(s, false, &t);
	if (ret == 0) {
		ret = set_aside_find(&t, key, &day, &row) ? digest_sha256(row.raw, row.raw_bytes, digest) : -ENOENT;
		if (ret == 0)
			*ret_bytes = release_text(key, day, digest, ret_text);
		txn_abort(&t);
	}
	store_close(s);
	if (ret != 0)
		complain("%s: %s", id, ret == -ENOENT ? "no cleared day has set this record aside; qingfen device aside lists them" : clearing_strerror(ret));
	return exit_of_error(ret);
}

static int release(const struct options *o, const char *id)
{
	char text[PUBLISH_TEXT_BYTES], hex[129], *request = NULL;
	uint8_t signature[64];
	size_t n = 0, bytes = 0;
	struct jsonw j;
	FILE *f;
	int ret = text_of(o, id, text, &n);

	if (ret == EXIT_OK)
		ret = secret_sign(o->key, text, n, signature, NULL);
	if (ret != EXIT_OK)
		return ret;
	hex_encode(signature, sizeof(signature), hex);
	f = open_memstream(&request, &bytes);
	if (f == NULL)
		return EXIT_STORE;
	jsonw_init(&j, f, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "cmd", "device-release");
	jsonw_kstr(&j, "tap", id);
	jsonw_kstr(&j, "by", o->by);
	jsonw_kstr(&j, "signature", hex);
	jsonw_object_end(&j);
	fclose(f);
	ret = daemon_call(o, request, NULL, 0, false);
	free(request);
	return ret;
}

int device_aside(int argc, char **argv)
{
	struct options o;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (strcmp(argv[0], "aside") == 0 && o.first == argc)
		return aside(&o);
	if (strcmp(argv[0], "release") == 0 && o.first + 1 == argc && o.by != NULL && o.key != NULL)
		return release(&o, argv[o.first]);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
