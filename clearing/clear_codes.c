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

static int code_compare(const void *pa, const void *pb)
{
	const struct work *a = *(struct work *const *)pa, *b = *(struct work *const *)pb;
	int order = memcmp(a->code, b->code, TAP_CODE_BYTES);

	if (order != 0)
		return order;
	if (verified(a->check) != verified(b->check))
		return verified(a->check) ? -1 : 1;
	if (a->time_ms != b->time_ms)
		return a->time_ms < b->time_ms ? -1 : 1;
	return memcmp(a->key, b->key, TAP_KEY_BYTES);
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

int judge_codes(struct job *j)
{
	struct work **list = malloc((j->count + 1) * sizeof(struct work *));
	size_t n = 0;

	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < j->count; i++)
		if (speaks_for_code(&j->work[i]))
			list[n++] = &j->work[i];
	if (n > 1)
		qsort(list, n, sizeof(struct work *), code_compare);
	for (size_t i = 0; i < n; i++) {
		struct work *w = list[i];
		bool again = i > 0 && memcmp(list[i - 1]->code, w->code, TAP_CODE_BYTES) == 0;
		struct tap tap;

		if ((again || code_taken_before(&j->txn, w->code, w->key, w->check, j->day.day)) && work_tap(w, &tap))
			w->verdict = (uint8_t)judge_work(j, w, &tap, SEEN_CODE);
	}
	free(list);
	return j->txn.error;
}

/* Which record each code rode with, in the order of the codes. */
int codes_write(struct job *j)
{
	int ret = 0;

	if (j->count > 1)
		qsort(j->order, j->count, sizeof(struct work *), code_compare);
	for (size_t i = 0; ret == 0 && i < j->count; i++) {
		const struct work *w = j->order[i];
		uint8_t key[TAP_CODE_BYTES + 4], val[HOLDER_BYTES];

		if (!speaks_for_code(w) || w->verdict == VERDICT_CODE_REPEATED)
			continue;
		memcpy(key, w->code, TAP_CODE_BYTES);
		be32_put(key + TAP_CODE_BYTES, (uint32_t)j->day.day ^ 0x80000000u);
		memcpy(val, w->key, TAP_KEY_BYTES);
		val[TAP_KEY_BYTES] = w->check;
		ret = j->sink->put(j->sink, DB_CODE, key, sizeof(key), val, sizeof(val));
	}
	return ret;
}
