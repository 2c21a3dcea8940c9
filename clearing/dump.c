/*
 * dump - the business rows of closed days as text, sorted by business key, with everything that tells only how
 * and when they arrived left out. Two houses that were given the same taps print the same bytes.
 */
#include "clearing/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/grown.h"

static void hex_str(struct jsonw *j, const char *key, const uint8_t *p, size_t n)
{
	char text[2 * DIGEST_BYTES + 1];

	hex_encode(p, n, text);
	jsonw_kstr(j, key, text);
}

static void dump_postings(struct jsonw *j, const struct posting *p, uint8_t count)
{
	jsonw_key(j, "postings");
	jsonw_array(j);
	for (uint8_t i = 0; i < count; i++) {
		jsonw_array(j);
		jsonw_int(j, p[i].debit);
		jsonw_int(j, p[i].credit);
		jsonw_int(j, p[i].amount.fen);
		jsonw_int(j, p[i].reason);
		jsonw_int(j, p[i].rule);
		jsonw_array_end(j);
	}
	jsonw_array_end(j);
}

static void dump_fare(struct jsonw *j, const struct cleared *c)
{
	jsonw_kint(j, "published_fen", c->fare.published.fen);
	jsonw_kint(j, "rated_fen", c->fare.paid.fen);
	jsonw_kint(j, "absorbed_fen", c->fare.absorbed.fen);
	jsonw_key(j, "funders");
	jsonw_array(j);
	for (uint8_t i = 0; i < c->fare.funder_count; i++) {
		jsonw_array(j);
		jsonw_int(j, c->fare.funder[i].treasury);
		jsonw_int(j, c->fare.funder[i].amount.fen);
		jsonw_array_end(j);
	}
	jsonw_array_end(j);
	jsonw_kint(j, "group", c->fare.group);
	jsonw_kint(j, "rule", c->fare.rule);
	jsonw_kbool(j, "transfer", c->fare.transfer);
	jsonw_kint(j, "tariff_version", c->tariff_version);
}

static int said_make(const struct cleared *row, struct said_text *ret)
{
	FILE *out = open_memstream(&ret->p, &ret->n);
	struct jsonw json, *j = &json;

	if (out == NULL)
		return -ENOMEM;
	jsonw_init(j, out, false);
	jsonw_object(j);
	jsonw_kstr(j, "verdict", verdict_info((enum verdict)row->verdict)->name);
	jsonw_kstr(j, "check", key_check_name((enum key_check)row->check));
	jsonw_kint(j, "scheme", row->scheme);
	jsonw_kint(j, "operator", row->operator_id);
	jsonw_kint(j, "charged_fen", row->priced.charged.fen);
	if (row->priced.hold.fen != 0)
		jsonw_kint(j, "hold_fen", row->priced.hold.fen);
	if (row->priced.reason != 0) {
		jsonw_kstr(j, "difference", difference_info((enum difference_reason)row->priced.reason)->name);
		jsonw_kint(j, "overcharge_fen", row->priced.overcharge.fen);
		jsonw_kint(j, "undercharge_fen", row->priced.undercharge.fen);
		jsonw_kint(j, "kept_fen", row->priced.kept.fen);
	}
	dump_fare(j, row);
	dump_postings(j, row->priced.posting, row->priced.posting_count);
	if (fclose(out) != 0)
		return -ENOMEM;
	digest_once(ret->p + 1, ret->n - 1, ret->digest);
	return 0;
}

int said_text_of(struct said_list *l, size_t place, const struct cleared *row, const struct said_text **ret)
{
	size_t before = l->space;
	struct said_text *wide;

	if (place < l->space && l->text[place].p != NULL) {
		*ret = &l->text[place];
		return 0;
	}
	wide = grown(l->text, &l->space, place + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	l->text = wide;
	memset(wide + before, 0, (l->space - before) * sizeof(*wide));
	*ret = &l->text[place];
	return l->text[place].p == NULL ? said_make(row, &l->text[place]) : 0;
}

void said_free(struct said_list *l)
{
	for (size_t i = 0; i < l->space; i++)
		free(l->text[i].p);
	free(l->text);
	*l = (struct said_list){ 0 };
}

static char *text_put(char *p, const char *text, size_t n) { return (char *)memcpy(p, text, n) + n; }

/* As jsonw would, with what was made before in the middle, without its brace. */
size_t row_text(const char *day, const uint8_t key[CLEARED_KEY_BYTES], const char *said, size_t said_bytes, const uint8_t record[DIGEST_BYTES], char *out)
{
	char id[TAP_ID_BYTES + 2 * TAP_KEY_BYTES], *p = out;
	uint16_t nth = be16_get(key + 23);
	bool ride = key[4] == CLEARED_RIDE;

	if (ride)
		tap_id_format(key + 5, id);
	else
		hex_encode(key + 5, TAP_KEY_BYTES, id);
	p = text_put(p, "{\"day\":\"", 8);
	p = text_put(p, day, strlen(day));
	p = ride ? text_put(p, "\",\"tap\":\"", 9) : text_put(p, "\",\"content\":\"", 13);
	p = text_put(p, id, strlen(id));
	p = text_put(p, "\",\"nth\":", 8);
	p = nth == 0 ? text_put(p, "0,", 2) : p + sprintf(p, "%u,", nth);
	p = text_put(p, said, said_bytes);
	p = text_put(p, ",\"record_sha256\":\"", 18);
	hex_encode(record, DIGEST_BYTES, p);
	p = text_put(p + 2 * DIGEST_BYTES, "\"}\n", 3);
	return (size_t)(p - out);
}

static int dump_cleared(void *arg, const struct row_iter *it, const struct said_text *said)
{
	char day[11], *text = malloc(ROW_TEXT_BYTES + said->n);
	uint8_t record[DIGEST_BYTES];

	if (text == NULL)
		return -ENOMEM;
	day_format(row_day(it->key), day);
	digest_once(it->row.raw, it->row.raw_bytes, record);
	fwrite(text, 1, row_text(day, it->key, said->p + 1, said->n - 1, record, text), arg);
	free(text);
	return 0;
}

static void dump_side(struct jsonw *j, const char *name, uint8_t verdict, uint32_t version, const struct fare *f)
{
	jsonw_key(j, name);
	jsonw_object(j);
	jsonw_kstr(j, "is", verdict_info((enum verdict)verdict)->name);
	jsonw_kint(j, "published_fen", f->published.fen);
	jsonw_kint(j, "rated_fen", f->paid.fen);
	if (f->moved.fen != f->paid.fen)
		jsonw_kint(j, "hold_fen", f->moved.fen - f->paid.fen);
	jsonw_kint(j, "absorbed_fen", f->absorbed.fen);
	jsonw_key(j, "funders");
	jsonw_array(j);
	for (uint8_t i = 0; i < f->funder_count; i++) {
		jsonw_array(j);
		jsonw_int(j, f->funder[i].treasury);
		jsonw_int(j, f->funder[i].amount.fen);
		jsonw_array_end(j);
	}
	jsonw_array_end(j);
	jsonw_kint(j, "rule", f->rule);
	jsonw_kbool(j, "transfer", f->transfer);
	jsonw_kint(j, "tariff_version", version);
	jsonw_object_end(j);
}

/* A ride of an earlier day that this day rates anew. */
static int dump_adjustment(struct jsonw *j, const struct iter *it)
{
	char id[TAP_ID_BYTES], day[11];
	struct adjustment a;

	if (!adjust_decode(it->key, it->key_bytes, it->val, it->val_bytes, &a))
		return CLEARING_E_STORE;
	jsonw_object(j);
	day_format(a.day, day);
	jsonw_kstr(j, "day", day);
	tap_id_format(a.key, id);
	jsonw_kstr(j, "adjusts", id);
	jsonw_kint(j, "nth", a.nth);
	day_format(a.settled_day, day);
	jsonw_kstr(j, "settled", day);
	jsonw_kstr(j, "cause", adjust_cause_name((enum adjust_cause)a.cause));
	tap_id_format(a.cause_key, id);
	jsonw_kstr(j, "cause_tap", a.cause == ADJUST_LATE_TAP ? id : "");
	jsonw_kint(j, "charged_fen", a.charged_fen);
	jsonw_kint(j, "refund_fen", a.refund_fen);
	dump_side(j, "before", a.was, a.was_version, &a.before);
	dump_side(j, "after", a.verdict, a.tariff_version, &a.fare);
	dump_postings(j, a.posting, a.posting_count);
	jsonw_object_end(j);
	return 0;
}

static int dump_posting(struct jsonw *j, const struct iter *it)
{
	struct posting_row r;
	char day[11];

	if (!posting_decode(it->key, it->key_bytes, it->val, it->val_bytes, &r))
		return CLEARING_E_STORE;
	day_format(r.day, day);
	jsonw_object(j);
	jsonw_kstr(j, "day", day);
	jsonw_kint(j, "debit", r.debit);
	jsonw_kint(j, "credit", r.credit);
	jsonw_kint(j, "scheme", r.scheme);
	jsonw_kint(j, "reason", r.reason);
	jsonw_kint(j, "rule", r.rule);
	jsonw_kint(j, "count", (int64_t)r.count);
	jsonw_kint(j, "sum_fen", r.sum_fen);
	hex_str(j, "taps_sha256", r.digest, DIGEST_BYTES);
	jsonw_object_end(j);
	return 0;
}

static int dump_rows(struct txn *t, enum db db, int32_t day, FILE *out, int (*row)(struct jsonw *, const struct iter *))
{
	struct jsonw j;
	struct iter it;
	uint8_t prefix[4];
	int ret = 0;

	be32_put(prefix, (uint32_t)day ^ 0x80000000u);
	iter_open(t, db, prefix, day == DAY_NONE ? 0 : sizeof(prefix), &it);
	while (ret == 0 && iter_next(&it)) {
		jsonw_init(&j, out, false);
		ret = row(&j, &it);
		fputc('\n', out);
	}
	iter_close(&it);
	return ret != 0 ? ret : t->error;
}

/* What rows say of their records is made once for all rows of a block that say it. */
int rows_each(struct txn *t, int32_t day, row_each_fn fn, void *arg)
{
	struct said_list list = { 0 };
	const struct said_text *said;
	uint32_t block = 0;
	struct row_iter it;
	int ret = 0;

	if (day == DAY_NONE)
		rows_open(t, NULL, 0, &it);
	else
		rows_open_day(t, day, &it);
	while (ret == 0 && rows_next(&it)) {
		if (block != it.blocks)
			said_free(&list);
		block = it.blocks;
		ret = said_text_of(&list, it.result, &it.row, &said);
		if (ret == 0)
			ret = fn(arg, &it, said);
	}
	rows_close(&it);
	said_free(&list);
	return ret != 0 ? ret : t->error;
}

int dump_rest(struct txn *t, int32_t day, FILE *out)
{
	int ret = dump_rows(t, DB_ADJUST, day, out, dump_adjustment);

	return ret == 0 ? dump_rows(t, DB_POSTING, day, out, dump_posting) : ret;
}

int dump_day(struct txn *t, int32_t day, FILE *out)
{
	int ret = rows_each(t, day, dump_cleared, out);

	return ret == 0 ? dump_rest(t, day, out) : ret;
}

int dump_canonical(struct store *s, int32_t day, FILE *out)
{
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	ret = dump_day(&t, day, out);
	txn_abort(&t);
	return ret != 0 ? ret : ferror(out) ? -EIO : 0;
}
