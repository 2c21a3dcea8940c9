/*
 * clear_write - what a clear leaves: rows in canonical order, the indexes of keys and counters, states, and the folds
 * of it all. Every write goes through the job's sink, in key order.
 */
#include "clearing/clear.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_PER_CHECKPOINT 20000

static void row_key(const struct job *j, const struct work *w, uint8_t key[CLEARED_KEY_BYTES])
{
	be32_put(key, (uint32_t)j->day.day ^ 0x80000000u);
	key[4] = w->verdict == VERDICT_MALFORMED ? CLEARED_OTHER : CLEARED_RIDE;
	memcpy(key + 5, w->key, TAP_KEY_BYTES);
	be16_put(key + 23, w->nth);
}

static void count_row(struct clear_stats *s, const struct cleared *c)
{
	s->taps++;
	s->verdict[c->verdict]++;
	if (!verdict_info((enum verdict)c->verdict)->money)
		return;
	s->charged_fen += c->priced.charged.fen;
	s->published_fen += c->priced.published.fen;
	s->absorbed_fen += c->priced.absorbed.fen;
	for (uint8_t i = 0; i < c->fare.funder_count; i++)
		s->subsidy_fen += c->fare.funder[i].amount.fen;
}

static int checkpoint_at(struct job *j, size_t i) { return i % ROWS_PER_CHECKPOINT == ROWS_PER_CHECKPOINT - 1 ? j->sink->checkpoint(j->sink) : 0; }

static int rows_write(struct job *j)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < j->count; i++) {
		struct work *w = j->order[i];
		uint8_t key[CLEARED_KEY_BYTES];
		struct cleared c;
		struct tap tap;
		bool decoded = work_tap(w, &tap);

		if (w->row == NULL) {
			c = row_start(j, w, decoded ? &tap : NULL);
			ret = row_make(j, w, &c);
		}
		if (ret == 0 && !cleared_decode(w->row, w->row_bytes, &c))
			ret = CLEARING_E_STORE;
		if (ret == 0)
			ret = fold_row(j->fold, &c, decoded ? &tap : NULL, w->key);
		row_key(j, w, key);
		if (ret == 0)
			ret = j->sink->put(j->sink, DB_CLEARED, key, sizeof(key), w->row, w->row_bytes);
		count_row(&j->stats, &c);
		if (ret == 0)
			ret = checkpoint_at(j, i);
	}
	return ret;
}

static int keys_write(struct job *j)
{
	uint8_t day[4 + TAP_KEY_BYTES];
	int ret = 0;

	be32_put(day, (uint32_t)j->day.day);
	for (size_t i = 0; ret == 0 && i < j->count; i++) {
		struct work *w = j->order[i];

		if (w->nth == 0 && w->keyed && w->check != KEY_CHECK_GREY && w->verdict != VERDICT_DUPLICATE)
			ret = j->sink->put(j->sink, DB_TAPKEY, w->key, TAP_KEY_BYTES, day, 4);
		if (ret == 0)
			ret = checkpoint_at(j, i);
	}
	if (j->count > 1)
		qsort(j->order, j->count, sizeof(struct work *), counter_compare);
	for (size_t i = 0; ret == 0 && i < j->count; i++) {
		struct work *w = j->order[i];
		uint8_t key[16];

		if (!counts_for_counter(w) || w->verdict == VERDICT_COUNTER_REPEATED)
			continue;
		memcpy(key, w->pan, 10);
		be16_put(key + 10, w->counter);
		memcpy(key + 12, w->tac, 4);
		memcpy(day + 4, w->key, TAP_KEY_BYTES);
		ret = j->sink->put(j->sink, DB_COUNTER, key, sizeof(key), day, sizeof(day));
		if (ret == 0)
			ret = checkpoint_at(j, i);
	}
	return ret;
}

static int states_write(struct job *j)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < j->state_count; i++) {
		uint8_t key[12];

		be64_put(key, j->state[i].person);
		be32_put(key + 8, (uint32_t)j->day.day ^ 0x80000000u);
		ret = j->sink->put(j->sink, DB_STATE, key, sizeof(key), j->state[i].bytes, RIDER_STATE_BYTES);
		if (ret == 0)
			ret = checkpoint_at(j, i);
	}
	return ret;
}

struct partner_arg { struct fold *fold; int error; };

static void partner_emit(void *arg, const struct posting *p, enum scheme scheme, const uint8_t tap_key_bytes[TAP_KEY_BYTES])
{
	struct partner_arg *a = arg;

	if (a->error == 0)
		a->error = fold_posting(a->fold, p, scheme, 0, tap_key_bytes);
}

static int partners_post(struct job *j)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < j->partner_count; i++) {
		struct partner_arg arg = { .fold = j->fold };
		const struct partner_event *p = &j->partner[i];

		ret = partner_file_post(&j->txn, p->partner, p->name, p->p, p->n, partner_emit, &arg);
		if (ret == 0)
			ret = arg.error;
	}
	return ret;
}

int clear_write(struct job *j)
{
	int ret = rows_write(j);

	if (ret == 0)
		ret = keys_write(j);
	if (ret == 0)
		ret = states_write(j);
	if (ret == 0)
		ret = partners_post(j);
	if (ret == 0)
		ret = fold_write(j->fold, j->sink);
	return ret;
}
