/*
 * clear_write - what a clear leaves beside the rows and the persons' days: adjustments, the partners' postings, and the folds of it all. Every write goes through the job's sink, in key order.
 */
#include "clearing/clear.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_PER_CHECKPOINT 20000

int rows_put(struct job *j, size_t rows)
{
	j->put += rows;
	if (j->put < ROWS_PER_CHECKPOINT)
		return 0;
	j->put = 0;
	return j->sink->checkpoint(j->sink);
}

static int checkpoint_at(struct job *j, size_t i) { return i % ROWS_PER_CHECKPOINT == ROWS_PER_CHECKPOINT - 1 ? j->sink->checkpoint(j->sink) : 0; }

static int adjust_compare(const void *pa, const void *pb)
{
	const struct adjustment *a = pa, *b = pb;
	int order = memcmp(a->key, b->key, TAP_KEY_BYTES);

	return order != 0 ? order : (int)a->nth - (int)b->nth;
}

static int adjust_write(struct job *j, const struct adjustment *a)
{
	uint8_t key[ADJUST_KEY_BYTES], row[ADJUST_ROW_BYTES_MAX];
	int n = adjust_encode(a, row, sizeof(row)), ret = n < 0 ? n : 0;

	adjust_key(a, key);
	if (ret == 0)
		ret = j->sink->put(j->sink, DB_ADJUST, key, sizeof(key), row, (size_t)n);
	return ret == 0 ? fold_adjustment(j->fold, a) : ret;
}

/* Where each ride's adjustments are: the ride first, then the day. */
static int adjusted_write(struct job *j, const struct adjustment *a)
{
	uint8_t key[TAP_KEY_BYTES + 6];

	memcpy(key, a->key, TAP_KEY_BYTES);
	be16_put(key + TAP_KEY_BYTES, a->nth);
	be32_put(key + TAP_KEY_BYTES + 2, (uint32_t)a->day ^ 0x80000000u);
	return j->sink->put(j->sink, DB_ADJUSTED, key, sizeof(key), "", 0);
}

static int adjustments_write(struct job *j)
{
	int ret = 0;

	if (j->adjust_count > 1)
		qsort(j->adjust, j->adjust_count, sizeof(j->adjust[0]), adjust_compare);
	for (size_t i = 0; ret == 0 && i < j->adjust_count; i++) {
		ret = adjust_write(j, &j->adjust[i]);
		if (ret == 0)
			ret = checkpoint_at(j, i);
	}
	for (size_t i = 0; ret == 0 && i < j->adjust_count; i++) {
		ret = adjusted_write(j, &j->adjust[i]);
		if (ret == 0)
			ret = checkpoint_at(j, i);
	}
	j->stats.adjustments = j->adjust_count;
	return ret;
}

int rerate_compare(const void *pa, const void *pb)
{
	const struct rerate *a = pa, *b = pb;

	if (a->person != b->person)
		return a->person < b->person ? -1 : 1;
	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	return a->to != b->to ? (a->to < b->to ? -1 : 1) : (int)a->cause - (int)b->cause;
}

/* What was asked for is remembered: rides it covers are known as of this day from now on. */
static int rerates_write(struct job *j)
{
	int ret = 0;

	if (j->rerates.count > 1)
		qsort(j->rerates.list, j->rerates.count, sizeof(j->rerates.list[0]), rerate_compare);
	for (size_t i = 0; ret == 0 && i < j->rerates.count; i++) {
		const struct rerate *r = &j->rerates.list[i];
		uint8_t key[16], value[5];

		if (i + 1 < j->rerates.count && r[1].person == r->person && r[1].from == r->from)
			continue;	/* the last of one beginning reaches furthest */
		be64_put(key, r->person);
		be32_put(key + 8, (uint32_t)j->day.day ^ 0x80000000u);
		be32_put(key + 12, (uint32_t)r->from ^ 0x80000000u);
		be32_put(value, (uint32_t)r->to ^ 0x80000000u);
		value[4] = r->cause;
		ret = j->sink->put(j->sink, DB_RERATE, key, sizeof(key), value, sizeof(value));
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
	struct partner_arg said = { .fold = j->fold };
	int ret = answers_write(j, partner_emit, &said);

	if (ret == 0)
		ret = confirms_write(j, partner_emit, &said);
	if (ret == 0)
		ret = said.error;

	for (size_t i = 0; ret == 0 && i < j->partner_count; i++) {
		struct partner_arg arg = { .fold = j->fold };
		const struct partner_event *p = &j->partner[i];

		ret = p->bank_cards ? bank_event_post(&j->txn, p->p, p->n, partner_emit, &arg)
				    : partner_file_post(&j->txn, p->partner, p->name, p->p, p->n, partner_emit, &arg);
		if (ret == 0)
			ret = arg.error;
	}
	return ret;
}

int clear_write(struct job *j)
{
	int ret = rows_write(j);

	if (ret == 0)
		ret = codes_write(j);
	if (ret == 0)
		ret = adjustments_write(j);
	if (ret == 0)
		ret = rerates_write(j);
	if (ret == 0)
		ret = partners_post(j);
	if (ret == 0)
		ret = fold_write(j->fold, j->sink);
	return ret;
}
