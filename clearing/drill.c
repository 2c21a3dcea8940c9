/*
 * drill - what the compromise of a key touches, without touching anything. Of a cleared day the rows tell; of the days
 * after it the records are judged as the clear would, with what is known now, so that the answer is that of the books.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int row_add(struct drill *d, const struct drill_row *row)
{
	if (d->count == d->space) {
		size_t space = d->space != 0 ? d->space * 2 : 1024;
		struct drill_row *wide = realloc(d->row, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		d->row = wide;
		d->space = space;
	}
	d->row[d->count++] = *row;
	return 0;
}

static int row_compare(const void *pa, const void *pb)
{
	const struct drill_row *a = pa, *b = pb;
	int order;

	if (a->day != b->day)
		return a->day < b->day ? -1 : 1;
	if (a->operator_id != b->operator_id)
		return a->operator_id < b->operator_id ? -1 : 1;
	if (a->standing != b->standing)
		return a->standing < b->standing ? -1 : 1;
	order = memcmp(a->pan, b->pan, sizeof(a->pan));
	return order != 0 ? order : memcmp(a->key, b->key, sizeof(a->key));
}

/* 0: not touched. A record whose key device did not answer waits, whoever has the key. What is refused for another reason is no money of this key. */
static uint8_t standing_of(enum verdict v, enum key_check check, bool cleared)
{
	if (v == VERDICT_BAD_MAC)
		return DRILL_WRONG;
	if (v == VERDICT_PENDING_TAC)
		return DRILL_WAITING;
	if ((v == VERDICT_PENDING || v == VERDICT_QUARANTINED) && check == KEY_CHECK_DISTRUSTED)
		return cleared ? DRILL_WAITING : DRILL_OPEN;
	return v == VERDICT_ACCEPTED && check == KEY_CHECK_GOOD ? (cleared ? DRILL_SETTLED : DRILL_OPEN) : 0;
}

static void row_of_tap(const struct tap *tap, int32_t day, uint32_t operator_id, uint8_t standing, struct drill_row *ret)
{
	*ret = (struct drill_row){ .day = day, .operator_id = operator_id, .standing = standing, .charged_fen = tap->amount_fen };
	memcpy(ret->pan, tap->pan, sizeof(ret->pan));
	tap_key(tap, ret->key);
}

/* Rows of rides have their time in the key: most are passed by without a look inside. */
static bool row_too_early(const struct row_iter *it, const struct distrust *key)
{
	return it->key[4] == CLEARED_RIDE && (int64_t)be64_get(it->key + 15) < key->from_ms;
}

static int cleared_day(struct txn *t, const struct distrust *key, int32_t day, struct drill *d)
{
	struct row_iter it;
	int ret = 0;

	rows_open_day(t, day, &it);
	while (ret == 0 && rows_next(&it)) {
		const struct cleared c = it.row;
		struct confirmed decided;
		struct drill_row row;
		const char *field;
		uint8_t standing;
		struct tap tap;

		if (row_too_early(&it, key))
			continue;
		standing = standing_of((enum verdict)c.verdict, (enum key_check)c.check, true);
		if (standing == 0 || tap_decode(c.raw, c.raw_bytes, &tap, &field) != 0 || !distrust_names(key, &tap))
			continue;
		if (c.verdict == VERDICT_PENDING_TAC && !waiting_has(t, c.seq, c.raw, c.raw_bytes))
			continue;	/* answered since: the day of the answer tells */
		if (standing == DRILL_WAITING && confirmed_find(t, it.key + 5, &decided)) {
			if (decided.decision != CONFIRM_GOOD)
				continue;
			standing = DRILL_SETTLED;
		}
		row_of_tap(&tap, day, c.operator_id, standing, &row);
		for (uint8_t i = 0; standing != DRILL_WRONG && i < c.fare.funder_count; i++)
			row.subsidy_fen += c.fare.funder[i].amount.fen;
		ret = row_add(d, &row);
	}
	rows_close(&it);
	return ret != 0 ? ret : t->error;
}

/* A day not cleared yet: judged as if it were cut now. Fares are the clear's, so no subsidy is told. */
static int waiting_day(struct store *s, const struct distrust *key, const struct day_row *day, struct drill *d)
{
	struct job j = { .store = s, .day = *day };
	int ret = txn_begin(s, false, &j.txn);

	if (ret != 0)
		return ret;
	if (j.day.state == DAY_OPEN)
		j.day.cut_seq = inbox_last(&j.txn);
	ret = refdata_new(&j.ref);
	if (ret == 0)
		ret = refdata_replay(j.ref, &j.txn, j.day.cut_seq);
	if (ret == 0)
		ret = clear_collect(&j);
	if (ret == 0)
		ret = clear_judge(&j);
	if (ret == 0)
		ret = judge_caps(&j);
	for (size_t i = 0; ret == 0 && i < j.count; i++) {
		const struct work *w = &j.work[i];
		uint8_t standing = standing_of((enum verdict)w->verdict, (enum key_check)w->check, false);
		const struct terminal_row *terminal;
		uint8_t room[THIN_RECORD_ROOM];
		struct drill_row row;
		struct tap tap;

		if (standing == 0 || !work_tap(w, room, &tap) || !distrust_names(key, &tap))
			continue;
		terminal = refdata_terminal(j.ref, tap.terminal, tap.time_ms);
		row_of_tap(&tap, day->day, terminal != NULL ? terminal->operator_id : 0, standing, &row);
		ret = row_add(d, &row);
	}
	job_done(&j);
	return ret;
}

int key_drill(struct store *s, const struct distrust *key, struct drill *ret_drill)
{
	struct drill d = { 0 };
	struct iter days;
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	iter_open(&t, DB_DAY, NULL, 0, &days);
	while (ret == 0 && iter_next(&days)) {
		struct day_row day;

		if (!day_decode(days.val, days.val_bytes, &day))
			ret = CLEARING_E_STORE;
		else if (day.state >= DAY_CLEARED)
			ret = cleared_day(&t, key, day.day, &d);
		else
			ret = waiting_day(s, key, &day, &d);
	}
	iter_close(&days);
	if (ret == 0)
		ret = t.error;
	txn_abort(&t);
	if (ret != 0) {
		free(d.row);
		return ret;
	}
	if (d.count > 1)
		qsort(d.row, d.count, sizeof(d.row[0]), row_compare);
	*ret_drill = d;
	return 0;
}
