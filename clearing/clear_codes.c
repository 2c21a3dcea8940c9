/*
 * clear_codes - a code rides once. Two records with one code are one code shown twice, at two gates or at one whose
 * memory was lost: the first in time keeps it, and a code that is verified before one that nobody could judge, so that a
 * forgery never makes the true record the repeated one. What earlier days took is never taken back.
 *
 * Only records that passed the key check speak: a bad signature holds no code. A record refused for another reason (its
 * amount, its issuer) does hold it, as it was shown.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HOLDER_BYTES (TAP_KEY_BYTES + 1)

static bool verified(uint8_t check) { return check == KEY_CHECK_GOOD; }

static bool speaks_for_code(const struct work *w)
{
	return w->coded && w->keyed && !w->released && w->verdict != VERDICT_DUPLICATE && w->verdict != VERDICT_CONFLICT && w->verdict != VERDICT_EVENT;
}

struct coded { uint8_t code[TAP_CODE_BYTES]; struct work *work; };

static int code_compare(const void *pa, const void *pb)
{
	const struct coded *a = pa, *b = pb;
	int order = memcmp(a->code, b->code, TAP_CODE_BYTES);

	if (order != 0)
		return order;
	if (verified(a->work->check) != verified(b->work->check))
		return verified(a->work->check) ? -1 : 1;
	if (work_time(a->work) != work_time(b->work))
		return work_time(a->work) < work_time(b->work) ? -1 : 1;
	return memcmp(a->work->key, b->work->key, TAP_KEY_BYTES);
}

/* An unverified record gives way to a verified one. */
bool code_taken_before(struct txn *t, const uint8_t code[TAP_CODE_BYTES], const uint8_t key[TAP_KEY_BYTES], uint8_t check, int32_t day)
{
	struct iter it;
	bool taken = false;

	iter_open(t, DB_CODE, code, TAP_CODE_BYTES, &it);
	while (!taken && iter_next(&it))
		taken = it.key_bytes == TAP_CODE_BYTES + 4 && it.val_bytes == HOLDER_BYTES && (int32_t)(be32_get(it.key + TAP_CODE_BYTES) ^ 0x80000000u) < day &&
			memcmp(it.val, key, TAP_KEY_BYTES) != 0 && (verified(it.val[TAP_KEY_BYTES]) || !verified(check));
	iter_close(&it);
	return taken;
}

bool code_held(struct txn *t, const uint8_t code[TAP_CODE_BYTES], const uint8_t key[TAP_KEY_BYTES], int32_t day)
{
	struct iter it;
	bool held = false;

	iter_open(t, DB_CODE, code, TAP_CODE_BYTES, &it);
	while (!held && iter_next(&it))
		held = it.key_bytes == TAP_CODE_BYTES + 4 && it.val_bytes == HOLDER_BYTES && (int32_t)(be32_get(it.key + TAP_CODE_BYTES) ^ 0x80000000u) <= day &&
		       memcmp(it.val, key, TAP_KEY_BYTES) == 0;
	iter_close(&it);
	return held;
}

struct codes { struct coded *list; size_t count, space; };
struct listing { unsigned parts; struct codes part[PARTS_MAX]; };

/* Those of a part that speak for a code. */
static int codes_part(struct job *own, void *arg, unsigned part)
{
	struct listing *l = arg;
	struct codes c = { 0 };
	size_t end = slice(own->count, l->parts, part + 1);
	int ret = 0;

	for (size_t i = slice(own->count, l->parts, part); ret == 0 && i < end; i++) {
		uint8_t room[THIN_RECORD_ROOM];
		struct coded *wide;
		struct tap tap;

		if (!speaks_for_code(&own->work[i]) || !work_tap(&own->work[i], room, &tap))
			continue;
		wide = grown(c.list, &c.space, c.count + 1, sizeof(*wide));
		ret = wide == NULL ? -ENOMEM : 0;
		c.list = wide == NULL ? c.list : wide;
		if (ret == 0 && tap_code_key(&tap, c.list[c.count].code))
			c.list[c.count++].work = &own->work[i];
	}
	l->part[part] = c;
	return ret;
}

static int codes_list(struct job *j)
{
	struct listing l = { .parts = parts_wanted(j->count, PART_RECORDS_MIN) };
	int ret = parts_run(j, l.parts, codes_part, &l);
	size_t count = 0;

	for (unsigned i = 0; i < l.parts; i++)
		count += l.part[i].count;
	j->coded = malloc((count + 1) * sizeof(*j->coded));
	if (j->coded == NULL)
		ret = -ENOMEM;
	for (unsigned i = 0; i < l.parts; i++) {
		if (ret == 0 && l.part[i].count > 0)
			memcpy(j->coded + j->coded_count, l.part[i].list, l.part[i].count * sizeof(*j->coded));
		j->coded_count += ret == 0 ? l.part[i].count : 0;
		free(l.part[i].list);
	}
	return ret;
}

int judge_codes(struct job *j)
{
	int ret = codes_list(j);

	if (j->coded_count > 1)
		qsort(j->coded, j->coded_count, sizeof(j->coded[0]), code_compare);
	for (size_t i = 0; ret == 0 && i < j->coded_count; i++) {
		const struct coded *c = &j->coded[i];
		bool again = i > 0 && memcmp(c[-1].code, c->code, TAP_CODE_BYTES) == 0;
		uint8_t room[THIN_RECORD_ROOM];
		struct tap tap;

		if ((again || code_taken_before(&j->txn, c->code, c->work->key, c->work->check, j->day.day)) && work_tap(c->work, room, &tap))
			c->work->verdict = (uint8_t)judge_work(j, c->work, &tap, SEEN_CODE);
	}
	return ret != 0 ? ret : j->txn.error;
}

/* Which record each code rode with, in the order of the codes. */
int codes_write(struct job *j)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < j->coded_count; i++) {
		const struct work *w = j->coded[i].work;
		uint8_t key[TAP_CODE_BYTES + 4], val[HOLDER_BYTES];

		if (w->verdict == VERDICT_CODE_REPEATED)
			continue;
		memcpy(key, j->coded[i].code, TAP_CODE_BYTES);
		be32_put(key + TAP_CODE_BYTES, (uint32_t)j->day.day ^ 0x80000000u);
		memcpy(val, w->key, TAP_KEY_BYTES);
		val[TAP_KEY_BYTES] = w->check;
		ret = j->sink->put(j->sink, DB_CODE, key, sizeof(key), val, sizeof(val));
	}
	return ret;
}
