/*
 * tariff_texts - the lines, vehicles, cards and riders of a trial as numbers: equal ones have one number, so a ride is
 * small and comparing is cheap. Nothing is ever taken out; numbers stay what they are.
 */
#include "tools/tariff_trial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

static int slots_grow(uint32_t **slot, uint32_t *mask, uint32_t size)
{
	uint32_t *wide = calloc(size, sizeof(*wide));

	if (wide == NULL)
		return -ENOMEM;
	free(*slot);
	*slot = wide;
	*mask = size - 1;
	return 0;
}

static uint32_t text_slot(const struct texts *t, const char *text)
{
	uint32_t at = (uint32_t)XXH3_64bits(text, strlen(text)) & t->slot_mask;

	while (t->slot[at] != 0 && strcmp(t->bytes + t->at[t->slot[at]], text) != 0)
		at = (at + 1) & t->slot_mask;
	return at;
}

static int texts_room(struct texts *t, size_t n)
{
	if (t->used + n > t->space) {
		size_t space = (t->space + n) * 2 + 4096;
		char *wide = realloc(t->bytes, space);

		if (wide == NULL)
			return -ENOMEM;
		t->bytes = wide;
		t->space = space;
	}
	if (t->count + 1 >= t->at_space) {
		uint32_t space = t->at_space * 2 + 1024;
		uint32_t *wide = realloc(t->at, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		t->at = wide;
		t->at_space = space;
	}
	if (t->slot == NULL || t->count * 2 > t->slot_mask) {
		if (slots_grow(&t->slot, &t->slot_mask, t->slot == NULL ? 4096 : (t->slot_mask + 1) * 4) != 0)
			return -ENOMEM;
		for (uint32_t i = 1; i <= t->count; i++)
			t->slot[text_slot(t, t->bytes + t->at[i])] = i;
	}
	return 0;
}

int texts_add(struct texts *t, const char *text, uint32_t *ret_number)
{
	size_t n = strlen(text) + 1;
	uint32_t slot;

	*ret_number = 0;
	if (text[0] == '\0')
		return 0;
	if (texts_room(t, n) != 0 || t->used + n > UINT32_MAX)
		return -ENOMEM;
	slot = text_slot(t, text);
	if (t->slot[slot] == 0) {
		t->at[++t->count] = (uint32_t)t->used;
		memcpy(t->bytes + t->used, text, n);
		t->used += n;
		t->slot[slot] = t->count;
	}
	*ret_number = t->slot[slot];
	return 0;
}

const char *texts_get(const struct texts *t, uint32_t number) { return number == 0 ? "" : t->bytes + t->at[number]; }

void texts_free(struct texts *t)
{
	free(t->bytes);
	free(t->at);
	free(t->slot);
	*t = (struct texts){ 0 };
}

/* Only what is set in a rider: padding must not make equals differ. */
static bool rider_same(const struct rider *a, const struct rider *b)
{
	if (a->birth != b->birth || a->issued != b->issued || a->home != b->home || a->hold_count != b->hold_count ||
	    a->grant_count != b->grant_count || a->grant[0].units != b->grant[0].units)
		return false;
	for (uint8_t i = 0; i < a->hold_count; i++)
		if (a->hold[i].group != b->hold[i].group || a->hold[i].grade != b->hold[i].grade ||
		    a->hold[i].from != b->hold[i].from || a->hold[i].to != b->hold[i].to ||
		    a->hold[i].verified_to != b->hold[i].verified_to)
			return false;
	return true;
}

static uint32_t rider_slot(const struct trial *t, const struct rider *r)
{
	uint64_t h = (uint64_t)(uint32_t)r->birth * 0x9E3779B97F4A7C15u ^ (uint64_t)r->home << 20 ^
		     (uint64_t)(uint32_t)r->issued << 7 ^ r->grant[0].units;
	uint32_t at;

	for (uint8_t i = 0; i < r->hold_count; i++)
		h = (h ^ r->hold[i].group ^ (uint64_t)(uint32_t)r->hold[i].from << 16 ^ (uint64_t)r->hold[i].grade << 48) *
		    0x100000001B3u;
	h = (h ^ h >> 31) * 0x9E3779B97F4A7C15u;
	at = (uint32_t)(h >> 32) & t->rider_slot_mask;
	while (t->rider_slot[at] != 0 && !rider_same(&t->rider[t->rider_slot[at] - 1], r))
		at = (at + 1) & t->rider_slot_mask;
	return at;
}

int trial_rider(struct trial *t, const struct rider *r, uint32_t *ret)
{
	uint32_t slot;

	if (t->rider_slot == NULL || t->rider_count * 2 > t->rider_slot_mask) {
		if (slots_grow(&t->rider_slot, &t->rider_slot_mask,
			       t->rider_slot == NULL ? 1024 : (t->rider_slot_mask + 1) * 4) != 0)
			return -ENOMEM;
		for (uint32_t i = 0; i < t->rider_count; i++)
			t->rider_slot[rider_slot(t, &t->rider[i])] = i + 1;
	}
	slot = rider_slot(t, r);
	if (t->rider_slot[slot] == 0) {
		if (t->rider_count == t->rider_space) {
			struct rider *wide = realloc(t->rider, (t->rider_space = t->rider_space * 2 + 256) * sizeof(*wide));

			if (wide == NULL)
				return -ENOMEM;
			t->rider = wide;
		}
		t->rider[t->rider_count++] = *r;
		t->rider_slot[slot] = t->rider_count;
	}
	*ret = t->rider_slot[slot] - 1;
	return 0;
}
