/*
 * clear - stage B: a day that was cut becomes rows, states, postings and cubes.
 *
 * The result is a function of the inbox up to the cut: every record of the day is judged again, in canonical
 * order, with the reference data as of the cut and the states of the last close. Arrival order, batching and
 * restarts leave no trace. Records lie in the store's map and are decoded where they are needed.
 */
#include "clearing/clear.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void job_done(struct job *j)
{
	for (size_t i = 0; i < CLEAR_THREADS_MAX; i++)
		results_free(j->part[i]);
	for (size_t i = 0; i < CLEAR_THREADS_MAX; i++)
		alikes_free(j->alikes[i]);
	results_free(j->results);
	span_free(j, &j->works);
	span_free(j, &j->lies);
	span_free(j, &j->orders);
	span_free(j, &j->numbers);
	span_free(j, &j->bearers);
	spares_free(j);
	free(j->source);
	free(j->coded);
	free(j->recheck);
	free(j->partner);
	free(j->said);
	free(j->rerates.list);
	free(j->everyone.list);
	free(j->asked);
	free(j->adjust);
	free(j->persons.p);
	fold_free(j->fold);
	refdata_free(j->ref);
	txn_abort(&j->txn);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int late_hold_add(void *arg, uint64_t person, int32_t first_day)
{
	struct job *j = arg;

	return first_day <= j->day.day ? rerates_add(&j->rerates, person, first_day, j->day.day, ADJUST_LATE_HOLD) : 0;
}

/* Whom the day's batches touched, of bureaus whose late holds are booked back by adjustment. */
static int late_holds_collect(struct job *j)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < refdata_feed_count(j->ref); i++) {
		const struct feed_batch *b = refdata_feed_at(j->ref, i);

		if (b->adjusts && b->seq > j->day.first_seq && b->seq <= j->day.cut_seq)
			ret = entitlement_touched(&j->txn, b->seq, late_hold_add, j);
	}
	return ret;
}

/* Requests whose second signature is an event of this day. */
static int rerates_collect(struct job *j)
{
	struct rerate_state s;
	int ret = 0;

	for (size_t i = 0; ret == 0 && refdata_rerate(j->ref, i, &s); i++)
		if (s.day == j->day.day && s.agreed_seq > j->day.first_seq && s.agreed_seq <= j->day.cut_seq)
			ret = rerates_add(&j->rerates, 0, s.from, s.to, ADJUST_RERATE);
	if (ret == 0)
		ret = late_holds_collect(j);
	if (j->rerates.count > 1)
		qsort(j->rerates.list, j->rerates.count, sizeof(j->rerates.list[0]), rerate_compare);
	return ret;
}

static int collect(struct job *j)
{
	int ret = clear_collect(j);

	return ret == 0 ? answers_apply(j) : ret;
}

static int judge_all(struct job *j)
{
	int ret = clear_judge(j);

	if (ret == 0)
		ret = judge_codes(j);
	return ret == 0 ? judge_caps(j) : ret;
}

static int clear_run(struct job *j)
{
	static int (*const stage[])(struct job *j) = { [CLEAR_COLLECT] = collect, [CLEAR_JUDGE] = judge_all, [CLEAR_RATE] = clear_rate, [CLEAR_WRITE] = clear_write };
	int ret = refdata_replay(j->ref, &j->txn, j->day.cut_seq);

	if (ret == 0)
		ret = rerates_collect(j);
	for (size_t i = 0; ret == 0 && i < sizeof(stage) / sizeof(stage[0]); i++) {
		uint64_t start = now_ns();

		ret = stage[i](j);
		j->stats.stage_ns[i] = now_ns() - start;
	}
	return ret;
}

int clear_day(struct store *s, int32_t day, struct sink *sink, struct clear_stats *ret_stats)
{
	struct job j = { .store = s, .sink = sink };
	uint64_t start = now_ns();
	int ret = txn_begin(s, false, &j.txn);

	if (ret != 0)
		return ret;
	if (!day_get(&j.txn, day, &j.day))
		ret = j.txn.error != 0 ? j.txn.error : CLEARING_E_NO_DAY;
	else if (j.day.state == DAY_OPEN)
		ret = CLEARING_E_STATE;
	if (ret == 0)
		ret = refdata_new(&j.ref);
	if (ret == 0)
		ret = fold_new(day, &j.fold);
	if (ret == 0)
		ret = results_new(&j.results);
	if (ret == 0)
		ret = clear_run(&j);
	job_done(&j);
	if (ret == 0) {
		*ret_stats = j.stats;
		ret_stats->ns = now_ns() - start;
	}
	return ret;
}

/* ---- into the store ------------------------------------------------------------------------------------------------ */

static int state_check(struct store *s, int32_t day)
{
	struct day_row row;
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	if (!day_get(&t, day, &row))
		ret = CLEARING_E_NO_DAY;
	else if (row.state != DAY_CUT)
		ret = CLEARING_E_STATE;
	txn_abort(&t);
	return ret;
}

/* The last transaction flips the state: a clear killed before it is simply run again over its own rows. */
static int state_flip(struct store *s, int32_t day, struct digest *rows, const struct clear_stats *stats)
{
	struct day_row row;
	struct txn t;
	uint8_t digest[DIGEST_BYTES];
	int ret = day_digest_end(s, day, rows, digest);

	if (ret == 0)
		ret = txn_begin(s, true, &t);
	if (ret != 0)
		return ret;
	if (!day_get(&t, day, &row) || row.state != DAY_CUT) {
		txn_abort(&t);
		return CLEARING_E_STATE;
	}
	row.state = DAY_CLEARED;
	row.tap_count = stats->taps;
	memcpy(row.digest, digest, sizeof(row.digest));
	row.seal = DAY_SEAL_ROWS;
	day_put(&t, &row);
	return txn_commit(&t);
}

int day_clear(struct store *s, int32_t day, struct clear_stats *ret_stats)
{
	struct store_sink *sink;
	struct clear_stats stats;
	struct digest rows;
	int ret = state_check(s, day);

	if (ret == 0)
		ret = store_sink_open(s, day, &sink);
	if (ret != 0)
		return ret;
	ret = clear_day(s, day, store_sink_of(sink), &stats);
	ret = store_sink_close(sink, ret, &rows);
	if (ret == 0)
		ret = state_flip(s, day, &rows, &stats);
	if (ret == 0)
		*ret_stats = stats;
	return ret;
}
