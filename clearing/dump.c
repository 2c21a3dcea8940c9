/*
 * dump - the business rows of closed days as text, sorted by business key, with everything that tells only how
 * and when they arrived left out. Two houses that were given the same taps print the same bytes.
 */
#include "clearing/clearing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* What a row says of its record, made once for all rows of a block that say it. */
struct said_text { char *p; size_t n; };
struct rows_dump { struct said_text *text; size_t space; uint32_t block; struct digest *digest; };

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
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

static int said_of(struct rows_dump *d, const struct row_iter *it, const struct said_text **ret)
{
	if (d->block != it->blocks) {
		for (size_t i = 0; i < d->space; i++) {
			free(d->text[i].p);
			d->text[i] = (struct said_text){ 0 };
		}
		d->block = it->blocks;
	}
	if (it->result >= d->space) {
		size_t space = it->result + 64u;
		struct said_text *wide = realloc(d->text, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		memset(wide + d->space, 0, (space - d->space) * sizeof(*wide));
		d->text = wide;
		d->space = space;
	}
	*ret = &d->text[it->result];
	return d->text[it->result].p == NULL ? said_make(&it->row, &d->text[it->result]) : 0;
}

static int dump_cleared(struct rows_dump *d, const struct row_iter *it, FILE *out)
{
	char id[TAP_ID_BYTES + 2 * TAP_KEY_BYTES], day[11], hex[2 * DIGEST_BYTES + 1];
	const struct said_text *said;
	uint8_t digest[DIGEST_BYTES];
	bool ride = it->key[4] == CLEARED_RIDE;
	int ret = said_of(d, it, &said);

	if (ret != 0)
		return ret;
	digest_reset(d->digest);
	digest_add(d->digest, it->row.raw, it->row.raw_bytes);
	digest_end(d->digest, digest);
	hex_encode(digest, DIGEST_BYTES, hex);
	day_format(row_day(it->key), day);
	if (ride)
		tap_id_format(it->key + 5, id);
	else
		hex_encode(it->key + 5, TAP_KEY_BYTES, id);
	/* as jsonw would, with what was made before in the middle, without its brace */
	fprintf(out, "{\"day\":\"%s\",\"%s\":\"%s\",\"nth\":%u,", day, ride ? "tap" : "content", id, be16_get(it->key + 23));
	fwrite(said->p + 1, 1, said->n - 1, out);
	fprintf(out, ",\"record_sha256\":\"%s\"}\n", hex);
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

static int dump_day(struct txn *t, int32_t day, FILE *out)
{
	struct rows_dump d = { 0 };
	struct row_iter it;
	int ret = digest_new(&d.digest);

	if (ret != 0)
		return ret;
	if (day == DAY_NONE)
		rows_open(t, NULL, 0, &it);
	else
		rows_open_day(t, day, &it);
	while (ret == 0 && rows_next(&it))
		ret = dump_cleared(&d, &it, out);
	rows_close(&it);
	for (size_t i = 0; i < d.space; i++)
		free(d.text[i].p);
	free(d.text);
	digest_free(d.digest);
	return ret != 0 ? ret : t->error;
}

int dump_canonical(struct store *s, int32_t day, FILE *out)
{
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	ret = dump_day(&t, day, out);
	if (ret == 0)
		ret = dump_rows(&t, DB_ADJUST, day, out, dump_adjustment);
	if (ret == 0)
		ret = dump_rows(&t, DB_POSTING, day, out, dump_posting);
	txn_abort(&t);
	return ret != 0 ? ret : ferror(out) ? -EIO : 0;
}

static ssize_t digest_write(void *cookie, const char *p, size_t n)
{
	digest_add(cookie, p, n);
	return (ssize_t)n;
}

int dump_digest(struct store *s, int32_t day, uint8_t ret_digest[DIGEST_BYTES])
{
	struct digest *d = NULL;
	FILE *out = NULL;
	int ret = digest_new(&d);

	if (ret == 0) {
		out = fopencookie(d, "w", (cookie_io_functions_t){ .write = digest_write });
		ret = out == NULL ? -ENOMEM : dump_canonical(s, day, out);
	}
	if (out != NULL && fclose(out) != 0 && ret == 0)
		ret = -EIO;
	if (ret == 0)
		digest_end(d, ret_digest);
	digest_free(d);
	return ret;
}
