/*
 * adjust - adjustments of settled rides as they lie in the store, and the list of rides that a clear is asked to
 * rate again. An adjustment is found by its day or by its ride; neither it nor what it adjusts is ever edited.
 */
#include "clearing/clearing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *adjust_cause_name(enum adjust_cause cause)
{
	switch (cause) {
	case ADJUST_LATE_TAP: return "late-tap";
	case ADJUST_RERATE: return "rerate";
	case ADJUST_LATE_HOLD: return "late-hold";
	}
	return "?";
}

const char *adjust_cause_zh(enum adjust_cause cause)
{
	switch (cause) {
	case ADJUST_LATE_TAP: return "迟到记录";
	case ADJUST_RERATE: return "追溯调价";
	case ADJUST_LATE_HOLD: return "迟到权益";
	}
	return "?";
}

bool adjust_before(struct txn *t, const uint8_t key[TAP_KEY_BYTES], uint16_t nth, int32_t day, struct adjustment *ret)
{
	uint8_t at[TAP_KEY_BYTES + 6], row[ADJUST_KEY_BYTES];
	const uint8_t *found;
	const void *val;
	size_t n;

	memcpy(at, key, TAP_KEY_BYTES);
	be16_put(at + TAP_KEY_BYTES, nth);
	be32_put(at + TAP_KEY_BYTES + 2, (uint32_t)(day - 1) ^ 0x80000000u);
	if (!txn_get_last_at(t, DB_ADJUSTED, at, sizeof(at), TAP_KEY_BYTES + 2, &found, &val, &n))
		return false;
	memcpy(row, found + TAP_KEY_BYTES + 2, 4);
	memcpy(row + 4, found, TAP_KEY_BYTES + 2);
	if (txn_get(t, DB_ADJUST, row, sizeof(row), &val, &n) && adjust_decode(row, sizeof(row), val, n, ret))
		return true;
	if (t->error == 0)
		t->error = CLEARING_E_STORE;
	return false;
}

int rerates_add(struct rerates *r, uint64_t person, int32_t from, int32_t to, enum adjust_cause cause)
{
	if (r->count == r->space) {
		size_t space = r->space ? r->space * 2 : 64;
		struct rerate *wide = realloc(r->list, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		r->list = wide;
		r->space = space;
	}
	r->list[r->count++] = (struct rerate){ .person = person, .from = from, .to = to, .cause = (uint8_t)cause };
	return 0;
}
