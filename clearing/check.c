/*
 * check - the money invariants, counted again from the rows and the inbox, independently of the folds that
 * reports are made of. Silent and 0 when all hold; each broken one is a line that names the day and the figures.
 */
#include "clearing/clear.h"
#include "clearing/settle.h"

#include <inttypes.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct checking { struct store *store; struct txn *t; FILE *out; const char *name; int broken; };

static void broken(struct checking *c, int32_t day, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void broken(struct checking *c, int32_t day, const char *format, ...)
{
	char text[11];
	va_list ap;

	day_format(day, text);
	fprintf(c->out, "%s: %s: ", c->name, text);
	va_start(ap, format);
	vfprintf(c->out, format, ap);
	va_end(ap);
	fputc('\n', c->out);
	c->broken++;
}

/* Every cleared row of a day. */
typedef void (*row_fn)(struct checking *c, const struct day_row *day, const uint8_t *key, const struct cleared *row, void *arg);

static void each_row(struct checking *c, const struct day_row *day, row_fn fn, void *arg)
{
	struct row_iter it;

	rows_open_day(c->t, day->day, &it);
	while (rows_next(&it))
		fn(c, day, it.key, &it.row, arg);
	rows_close(&it);
	if (c->t->error == CLEARING_E_STORE) {
		c->t->error = 0;
		broken(c, day->day, "cleared rows cannot be read");
	}
}

static void each_day(struct checking *c, void (*fn)(struct checking *, const struct day_row *))
{
	struct iter it;

	iter_open(c->t, DB_DAY, NULL, 0, &it);
	while (iter_next(&it)) {
		struct day_row day;

		if (!day_decode(it.val, it.val_bytes, &day))
			broken(c, 0, "a day row cannot be read");
		else if (day.state >= DAY_CLEARED)
			fn(c, &day);
	}
	iter_close(&it);
}

/* ---- I1, I3, I5: each row ------------------------------------------------------------------------- */

static int64_t subsidy_of(const struct cleared *row)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < row->fare.funder_count; i++)
		sum += row->fare.funder[i].amount.fen;
	return sum;
}

static void legs_row(struct checking *c, const struct day_row *day, const uint8_t *key, const struct cleared *row, void *arg)
{
	(void)key;
	(void)arg;
	for (uint8_t i = 0; i < row->priced.posting_count; i++) {
		const struct posting *p = &row->priced.posting[i];

		if (p->debit == p->credit || p->amount.fen <= 0)
			broken(c, day->day, "a posting debits and credits one account, or has no amount");
	}
}

static void check_legs(struct checking *c, const struct day_row *day) { each_row(c, day, legs_row, NULL); }

static void split_row(struct checking *c, const struct day_row *day, const uint8_t *key, const struct cleared *row, void *arg)
{
	(void)key;
	(void)arg;
	if (row->fare.published.fen != row->fare.paid.fen + subsidy_of(row) + row->fare.absorbed.fen)
		broken(c, day->day, "published %" PRId64 " is not rated + subsidies + absorbed", row->fare.published.fen);
}

static void check_split(struct checking *c, const struct day_row *day) { each_row(c, day, split_row, NULL); }

static void once_row(struct checking *c, const struct day_row *day, const uint8_t *key, const struct cleared *row, void *arg)
{
	int64_t posted = 0;
	bool money = verdict_info((enum verdict)row->verdict)->money;

	(void)key;
	(void)arg;
	for (uint8_t i = 0; i < row->priced.posting_count; i++)
		if (ACCOUNT_CLASS(row->priced.posting[i].credit) != ACCOUNT_RIDER_REFUND || ACCOUNT_CLASS(row->priced.posting[i].debit) != ACCOUNT_OPERATOR)
			posted += row->priced.posting[i].amount.fen;
	if (posted != (money ? row->priced.charged.fen + subsidy_of(row) : 0))
		broken(c, day->day, "a tap posted %" PRId64 " fen, its charge and subsidies are %" PRId64, posted, row->priced.charged.fen + subsidy_of(row));
}

static bool was_set_aside(struct checking *c, int32_t day, const uint8_t key[TAP_KEY_BYTES])
{
	uint8_t at[CLEARED_KEY_BYTES];
	struct cleared row;

	row_key(day, CLEARED_RIDE, key, 0, at);
	return row_get(c->t, at, &row) && row.verdict == VERDICT_QUARANTINED;
}

/* A business key is money on the day that decided it, or after that day set it aside, and on no other. */
static void once_key(struct checking *c, const struct day_row *day, const uint8_t key[TAP_KEY_BYTES])
{
	int32_t decided;

	if (!key_decided(c->t, key, INT32_MAX, &decided)) {
		broken(c, day->day, "a tap is money whose business key no day decided");
		return;
	}
	if (decided != day->day && (decided > day->day || !was_set_aside(c, decided, key)))
		broken(c, day->day, "a tap is money on a day that did not decide its business key");
}

/* What is over is owed or kept, and whatever is over or under has a reason. */
static void differ_row(struct checking *c, const struct day_row *day, const uint8_t *key, const struct cleared *row, void *arg)
{
	const struct priced *p = &row->priced;
	int64_t refund = 0;

	(void)key;
	(void)arg;
	for (uint8_t i = 0; i < p->posting_count; i++)
		refund += ACCOUNT_CLASS(p->posting[i].credit) == ACCOUNT_RIDER_REFUND ? p->posting[i].amount.fen : 0;
	if (verdict_info((enum verdict)row->verdict)->money && refund != p->overcharge.fen - p->kept.fen)
		broken(c, day->day, "a tap owes the rider %" PRId64 " fen, charged beyond and not kept are %" PRId64, refund, p->overcharge.fen - p->kept.fen);
	if (p->reason != 0 && (p->overcharge.fen > 0) == (p->undercharge.fen > 0))
		broken(c, day->day, "a tap has the reason of a difference, and is not charged otherwise");
}

static void check_differences(struct checking *c, const struct day_row *day) { each_row(c, day, differ_row, NULL); }

/* Also: of the rows of one business key, of this day and of all days, at most one is money, so nothing is settled twice. */
static void check_once(struct checking *c, const struct day_row *day)
{
	uint8_t last[TAP_KEY_BYTES] = { 0 };
	bool last_money = false;
	struct row_iter it;

	each_row(c, day, once_row, NULL);
	rows_open_day(c->t, day->day, &it);
	while (rows_next(&it)) {
		bool money = verdict_info((enum verdict)it.row.verdict)->money;
		bool same = memcmp(last, it.key + 5, TAP_KEY_BYTES) == 0;

		if (money)
			once_key(c, day, it.key + 5);
		if (same && money && last_money)
			broken(c, day->day, "one business key is money twice");
		last_money = money || (same && last_money);
		memcpy(last, it.key + 5, TAP_KEY_BYTES);
	}
	rows_close(&it);
}

/* ---- a code is money once --------------------------------------------------------------------------- */

static void codes_row(struct checking *c, const struct day_row *day, const uint8_t *key, const struct cleared *row, void *arg)
{
	uint8_t code[TAP_CODE_BYTES];
	const char *field;
	struct tap tap;

	(void)arg;
	if (!verdict_info((enum verdict)row->verdict)->money || tap_decode(row->raw, row->raw_bytes, &tap, &field) != 0 || !tap_code_key(&tap, code))
		return;
	if (!code_held(c->t, code, key + 5, day->day))
		broken(c, day->day, "a code is money with a record that does not hold it");
	if (code_taken_before(c->t, code, key + 5, row->check, day->day))
		broken(c, day->day, "a code is money on two days");
}

static void check_codes(struct checking *c, const struct day_row *day) { each_row(c, day, codes_row, NULL); }

/* ---- I4: received = every verdict ------------------------------------------------------------------- */

static void count_row(struct checking *c, const struct day_row *day, const uint8_t *key, const struct cleared *row, void *arg)
{
	(void)c;
	(void)day;
	(void)key;
	(void)row;
	++*(uint64_t *)arg;
}

/* Records of earlier days that the day took in again: their key device answered in it. */
static uint64_t taken_again(struct checking *c, const struct day_row *day, const struct event *e)
{
	int64_t n = rechecks_count(e);
	uint64_t taken = 0;

	if (n < 0)
		broken(c, day->day, "inbox event %" PRIu64 " is not a list of answers", e->seq);
	for (int64_t i = 0; i < n; i++)
		taken += recheck_at(e, (size_t)i).seq <= day->first_seq;
	return taken;
}

static void check_received(struct checking *c, const struct day_row *day)
{
	uint64_t received = 0, rows = 0;
	struct release release;		/* a record of another day that settles in this one */
	struct inbox_iter it;
	struct event e;

	inbox_open_heads(c->t, day->first_seq + 1, day->cut_seq, &it);
	while (inbox_next(&it, &e)) {
		uint16_t taps, unanswered;

		if (e.type == EVENT_BATCH && event_batch_count(&e, &taps, &unanswered))
			received += taps;
		else if (e.type == EVENT_BATCH)
			broken(c, day->day, "inbox event %" PRIu64 " is not a batch", e.seq);
		else if (e.type == EVENT_RECHECK)
			received += taken_again(c, day, &e);
		received += release_read(&e, &release);
	}
	inbox_close(&it);
	each_row(c, day, count_row, &rows);
	if (received != rows || rows != day->tap_count)
		broken(c, day->day, "received %" PRIu64 " taps, cleared rows %" PRIu64 ", day says %" PRIu64, received, rows, day->tap_count);
}

/* ---- I2, I7: the folds ---------------------------------------------------------------------------------- */

struct fold_sink { struct sink sink; struct checking *c; int32_t day; uint64_t rows[DB_COUNT_]; };

static int fold_compare(struct sink *sink, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes)
{
	struct fold_sink *s = (struct fold_sink *)(void *)sink;
	const void *found;
	size_t n;

	s->rows[db]++;
	if (!txn_get(s->c->t, db, key, key_bytes, &found, &n) || n != val_bytes || memcmp(found, val, n) != 0)
		broken(s->c, s->day, "a %s is not the sum of its rows", db == DB_CUBE ? "cube" : "posting");
	return 0;
}

static int fold_checkpoint(struct sink *sink)
{
	(void)sink;
	return 0;
}

static void fold_add(struct checking *c, const struct day_row *day, const uint8_t *key, const struct cleared *row, void *arg)
{
	const char *field;
	struct tap tap;
	bool decoded = tap_decode(row->raw, row->raw_bytes, &tap, &field) == 0;

	if (fold_row(arg, row, decoded ? &tap : NULL, key + 5) != 0)
		broken(c, day->day, "rows cannot be summed");
}

static bool from_taps(const struct posting_row *p)
{
	return (p->reason >= POST_FARE && p->reason <= POST_PENDING) || (p->reason >= POST_ADJUST_FARE && p->reason <= POST_HOLD_BACK) ||
	       p->reason == POST_KEPT;
}

/* Every adjustment booked in a day. */
typedef void (*adjust_fn)(struct checking *c, const struct day_row *day, const struct adjustment *a, void *arg);

static void each_adjustment(struct checking *c, const struct day_row *day, adjust_fn fn, void *arg)
{
	uint8_t prefix[4];
	struct iter it;

	be32_put(prefix, (uint32_t)day->day ^ 0x80000000u);
	iter_open(c->t, DB_ADJUST, prefix, sizeof(prefix), &it);
	while (iter_next(&it)) {
		struct adjustment a;

		if (adjust_decode(it.key, it.key_bytes, it.val, it.val_bytes, &a))
			fn(c, day, &a, arg);
		else
			broken(c, day->day, "an adjustment cannot be read");
	}
	iter_close(&it);
}

static void fold_adjust(struct checking *c, const struct day_row *day, const struct adjustment *a, void *arg)
{
	if (fold_adjustment(arg, a) != 0)
		broken(c, day->day, "adjustments cannot be summed");
}

static void check_folds(struct checking *c, const struct day_row *day)
{
	struct fold_sink sink = { .sink = { fold_compare, fold_checkpoint }, .c = c, .day = day->day };
	uint64_t postings = 0, cubes = 0;
	uint8_t prefix[4];
	struct fold *fold;
	struct iter it;

	if (fold_new(day->day, &fold) != 0)
		return;
	each_row(c, day, fold_add, fold);
	each_adjustment(c, day, fold_adjust, fold);
	if (fold_write(fold, &sink.sink) != 0)
		broken(c, day->day, "folds cannot be written");
	fold_free(fold);
	be32_put(prefix, (uint32_t)day->day ^ 0x80000000u);
	iter_open(c->t, DB_POSTING, prefix, sizeof(prefix), &it);
	while (iter_next(&it)) {
		struct posting_row p;

		postings += posting_decode(it.key, it.key_bytes, it.val, it.val_bytes, &p) && from_taps(&p);
	}
	iter_close(&it);
	iter_open(c->t, DB_CUBE, prefix, sizeof(prefix), &it);
	while (iter_next(&it))
		cubes++;
	iter_close(&it);
	if (postings != sink.rows[DB_POSTING] || cubes != sink.rows[DB_CUBE])
		broken(c, day->day, "the store has %" PRIu64 " postings and %" PRIu64 " cubes, the rows give %" PRIu64 " and %" PRIu64, postings, cubes,
		       sink.rows[DB_POSTING], sink.rows[DB_CUBE]);
}

/* ---- adjustments ------------------------------------------------------------------------------------------------ */

static int64_t parts_of(const struct fare *f)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < f->funder_count; i++)
		sum += f->funder[i].amount.fen;
	return sum;
}

/* What a side of an adjustment makes due to the operator: the charge less what is the rider's, and the subsidies. */
static int64_t operator_due(uint8_t verdict, const struct fare *f, int64_t charged_fen, int64_t refund_fen)
{
	return verdict_info((enum verdict)verdict)->money ? charged_fen - refund_fen + parts_of(f) : 0;
}

/* From where the ride stood: its last adjustment, or its row. */
static bool stood_before(struct checking *c, const struct adjustment *a, struct adjustment *ret)
{
	uint8_t key[CLEARED_KEY_BYTES];
	struct cleared row;

	if (adjust_before(c->t, a->key, a->nth, a->day, ret))
		return true;
	row_key(a->settled_day, CLEARED_RIDE, a->key, a->nth, key);
	if (!row_get(c->t, key, &row))
		return false;
	*ret = (struct adjustment){ .verdict = row.verdict, .fare = row.fare, .charged_fen = row.priced.charged.fen,
				    .refund_fen = verdict_info((enum verdict)row.verdict)->money ? row.priced.overcharge.fen - row.priced.kept.fen : 0 };
	return true;
}

static void adjust_row(struct checking *c, const struct day_row *day, const struct adjustment *a, void *arg)
{
	int64_t operator = 0, rider = 0;
	struct adjustment was;

	(void)arg;
	if (!stood_before(c, a, &was)) {
		broken(c, day->day, "an adjustment of a ride that is not there");
		return;
	}
	if (was.verdict != a->was || was.charged_fen != a->charged_fen || was.fare.paid.fen != a->before.paid.fen ||
	    was.fare.published.fen != a->before.published.fen || parts_of(&was.fare) != parts_of(&a->before))
		broken(c, day->day, "an adjustment does not begin where the ride stood");
	if (a->fare.published.fen != a->fare.paid.fen + parts_of(&a->fare) + a->fare.absorbed.fen)
		broken(c, day->day, "an adjusted fare does not split exactly");
	for (uint8_t i = 0; i < a->posting_count; i++) {
		const struct posting *p = &a->posting[i];

		operator += ACCOUNT_CLASS(p->credit) == ACCOUNT_OPERATOR ? p->amount.fen : 0;
		operator -= ACCOUNT_CLASS(p->debit) == ACCOUNT_OPERATOR ? p->amount.fen : 0;
		rider += ACCOUNT_CLASS(p->credit) == ACCOUNT_RIDER_REFUND ? p->amount.fen : 0;
		rider -= ACCOUNT_CLASS(p->debit) == ACCOUNT_RIDER_REFUND ? p->amount.fen : 0;
	}
	if (operator != operator_due(a->verdict, &a->fare, a->charged_fen, a->refund_fen) -
				operator_due(was.verdict, &was.fare, was.charged_fen, was.refund_fen) ||
	    rider != a->refund_fen - was.refund_fen)
		broken(c, day->day, "an adjustment posted other amounts than its fares differ by");
}

static void check_adjust(struct checking *c, const struct day_row *day) { each_adjustment(c, day, adjust_row, NULL); }

/* ---- debits: each ride of a bank card is in one, and each is the sum of its rides ------------------------------------- */

static void debit_of_row(struct checking *c, const struct day_row *day, const uint8_t *key, const struct cleared *row, void *arg)
{
	uint8_t other[CLEARED_KEY_BYTES];
	char id[DEBIT_ID_BYTES];
	struct item_row item;
	bool inside = false;
	int64_t sum = 0, fen;
	struct iter rides;

	(void)arg;
	if (row->scheme != SCHEME_BANK || !verdict_info((enum verdict)row->verdict)->money || row->priced.charged.fen <= 0)
		return;
	if (!debit_of_ride(c->t, key, id)) {
		broken(c, day->day, "a ride of a bank card is in no debit");
		return;
	}
	debit_rides_open(c->t, id, &rides);
	while (debit_rides_next(&rides, other, &fen)) {
		inside = inside || (memcmp(other, key, sizeof(other)) == 0 && fen == row->priced.charged.fen);
		sum += fen;
	}
	iter_close(&rides);
	if (!inside || !item_get(c->t, SCHEME_BANK, id, &item) || item.amount_fen != sum || item.day != day->day)
		broken(c, day->day, "debit %s is not the sum of its rides", id);
}

static void debit_adjusted(struct checking *c, const struct day_row *day, const struct adjustment *a, void *arg)
{
	int64_t fen = a->scheme == SCHEME_BANK ? adjust_collect_fen(a->posting, a->posting_count, SCHEME_BANK) : 0;
	uint8_t key[CLEARED_KEY_BYTES];
	char id[DEBIT_ID_BYTES];
	struct item_row item;

	(void)arg;
	debit_adjust_key(a, key);
	if (fen != 0 && (!debit_of_ride(c->t, key, id) || !item_get(c->t, SCHEME_BANK, id, &item) || item.amount_fen != (fen > 0 ? fen : -fen) ||
			 memcmp(item.cleared_key, key, sizeof(key)) != 0))
		broken(c, day->day, "an adjusted ride of a bank card has no item of its difference");
}

static void check_debits(struct checking *c, const struct day_row *day)
{
	if (day->state < DAY_BUILT)
		return;
	each_row(c, day, debit_of_row, NULL);
	each_adjustment(c, day, debit_adjusted, NULL);
}

/* ---- I6, I8 --------------------------------------------------------------------------------------------------- */

static void check_digest(struct checking *c, const struct day_row *day)
{
	uint8_t digest[DIGEST_BYTES];

	if (day_digest(c->store, day->day, digest) != 0 || memcmp(digest, day->digest, DIGEST_BYTES) != 0)
		broken(c, day->day, "its rows have another digest than at the close");
}

/* What a start and each clear read instead of the whole inbox. */
static void check_others(struct checking *c, const struct day_row *day, uint64_t others)
{
	uint64_t listed = 0;
	struct inbox_iter it;
	struct event e;

	inbox_open_others(c->t, day->first_seq + 1, day->cut_seq, &it);
	while (inbox_next(&it, &e))
		listed += e.type != EVENT_BATCH;
	inbox_close(&it);
	if (listed != others)
		broken(c, day->day, "of %" PRIu64 " events that are no batches %" PRIu64 " are listed", others, listed);
}

static void check_inbox(struct checking *c, const struct day_row *day)
{
	uint64_t expected = day->first_seq + 1, others = 0;
	struct inbox_iter it;
	struct event e;

	inbox_open_heads(c->t, expected, day->cut_seq, &it);
	while (inbox_next(&it, &e)) {
		if (e.seq != expected)
			broken(c, day->day, "inbox event %" PRIu64 " is missing", expected);
		expected = e.seq + 1;
		others += e.type != EVENT_BATCH;
		if (e.seq == day->cut_seq && (e.type != EVENT_DAY_CUT || e.bytes != 4 || (int32_t)be32_get(e.body) != day->day))
			broken(c, day->day, "the day's last event is not its cut");
	}
	inbox_close(&it);
	if (expected != day->cut_seq + 1)
		broken(c, day->day, "the inbox ends before the cut");
	check_others(c, day, others);
}

/* Reports kept with the day are still what the rows give. */
static void check_reports(struct checking *c, const struct day_row *day)
{

	for (size_t i = 0; i < report_form_count; i++) {
		char name[32], *p = NULL;
		const void *kept;
		size_t n = 0, kept_bytes;
		FILE *f;

		snprintf(name, sizeof(name), "%s.json", report_forms[i]);
		if (!file_get(c->t, day->day, name, &kept, &kept_bytes))
			continue;
		f = open_memstream(&p, &n);
		if (f == NULL)
			return;
		if (report_write(c->store, day->day, report_forms[i], "json", f) != 0)
			broken(c, day->day, "%s cannot be made again", report_forms[i]);
		fclose(f);
		if (n != kept_bytes || memcmp(p, kept, n) != 0)
			broken(c, day->day, "%s differs from the kept one", report_forms[i]);
		if (p != NULL && strstr(p, "\"holds\":false") != NULL)
			broken(c, day->day, "%s: a balance relation does not hold", report_forms[i]);
		free(p);
	}
}

const struct check_info check_list[] = {
	{ "packed", "精简、打包的批次与收件箱相符 thin and packed batches are what the inbox says of them" },
	{ "legs", "每笔分录借贷两方, 金额为正 every posting has two accounts and an amount" },
	{ "fare-split", "应收票价 = 规则应付 + 补贴 + 企业承担 published = rated + subsidies + absorbed" },
	{ "once", "每笔恰好入账一次 each accepted tap is posted exactly once" },
	{ "codes", "一码只入账一次 a code is money once" },
	{ "differences", "多扣 = 应退 + 留企业, 差异均有原因 overcharges are owed or kept, differences have their reason" },
	{ "received", "收到 = 各类判定之和 received = sum over the verdicts" },
	{ "folds", "总账与汇总 = 逐笔之和 postings and cubes are the sums of the rows" },
	{ "adjust", "调整分录 = 调整前后之差 adjustments post what their fares differ by" },
	{ "debits", "银行卡每次乘车恰在一笔扣款中, 扣款 = 乘车之和 each ride of a bank card is in one debit, which is their sum" },
	{ "digest", "已清分日的摘要不变 a cleared day's digest never changes" },
	{ "inbox", "收件箱无缺号 the inbox has no gap" },
	{ "waiting", "待验记录 = 未验 - 已补验 what waits is what was not checked and not checked again" },
	{ "reports", "报表与总账一致 reports equal the ledger" },
};
const size_t check_count = sizeof(check_list) / sizeof(check_list[0]);

int check_run(struct store *s, const char *name, FILE *out)
{
	/* NULL: of the whole inbox; the first, since damage there ends the others */
	static void (*const run[])(struct checking *, const struct day_row *) = { NULL, check_legs, check_split, check_once, check_codes,
		check_differences, check_received, check_folds, check_adjust, check_debits, check_digest, check_inbox, NULL, check_reports };
	struct txn t;
	struct checking c = { .store = s, .t = &t, .out = out };
	bool found = false;
	int ret = txn_begin(s, false, &t), all = 0;

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < check_count; i++) {
		if (name != NULL && strcmp(name, check_list[i].name) != 0)
			continue;
		found = true;
		c.name = check_list[i].name;
		if (run[i] != NULL) {
			each_day(&c, run[i]);
			continue;
		}
		all = strcmp(c.name, "packed") == 0 ? packed_check(&t, out) : waiting_check(&t, out);
		if (all < 0)
			break;
		c.broken += all;
	}
	ret = t.error != 0 ? t.error : all < 0 ? all : 0;
	txn_abort(&t);
	if (!found)
		return -ENOENT;
	return ret != 0 ? ret : c.broken;
}
