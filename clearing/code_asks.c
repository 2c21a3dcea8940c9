/*
 * code_asks - the records that wait for their platform's word. All of it follows from the inbox and the items of cleared
 * days, so it is memory and rebuilt by replay; an answer is taken only for a record that is here, so none counts twice.
 */
#include "clearing/code_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "clearing/settle.h"
#include "clearing/table.h"

#define PLACES_FIRST 1024

struct place { struct code_waiting w; uint8_t state; };	/* 0 never used, 1 waits, 2 gone */
struct code_asks { struct place *place; size_t mask, used, count, made; };	/* made: how often anew, with other places */

int code_asks_new(struct code_asks **ret)
{
	struct code_asks *a = calloc(1, sizeof(*a));

	if (a != NULL)
		a->place = calloc(PLACES_FIRST, sizeof(*a->place));
	if (a == NULL || a->place == NULL) {
		free(a);
		return -ENOMEM;
	}
	a->mask = PLACES_FIRST - 1;
	*ret = a;
	return 0;
}

void code_asks_free(struct code_asks *a)
{
	if (a == NULL)
		return;
	free(a->place);
	free(a);
}

/* The record's place, or the first that was never used. */
static struct place *place_of(struct place *place, size_t mask, const uint8_t key[TAP_KEY_BYTES])
{
	size_t at = XXH3_64bits(key, TAP_KEY_BYTES) & mask;

	while (place[at].state != 0 && memcmp(place[at].w.key, key, TAP_KEY_BYTES) != 0)
		at = (at + 1) & mask;
	return &place[at];
}

/* Places of those that are gone are given back when the table is made anew. */
int code_asks_room(struct code_asks *a)
{
	size_t mask = a->count * 4 > a->mask ? a->mask * 2 + 1 : a->mask;
	struct place *wide;

	if (a->used * 2 < a->mask)
		return 0;
	wide = calloc(mask + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	for (size_t i = 0; i <= a->mask; i++)
		if (a->place[i].state == 1)
			*place_of(wide, mask, a->place[i].w.key) = a->place[i];
	free(a->place);
	a->place = wide;
	a->mask = mask;
	a->used = a->count;
	a->made++;
	return 0;
}

void code_asks_add(struct code_asks *a, const struct code_waiting *w)
{
	struct place *p = place_of(a->place, a->mask, w->key);

	if (p->state == 1)
		return;
	a->used += p->state == 0;
	*p = (struct place){ *w, 1 };
	a->count++;
}

bool code_asks_has(const struct code_asks *a, const uint8_t key[TAP_KEY_BYTES], unsigned scheme)
{
	const struct place *p = place_of(a->place, a->mask, key);

	return p->state == 1 && p->w.scheme == scheme;
}

void code_asks_drop(struct code_asks *a, const uint8_t key[TAP_KEY_BYTES])
{
	struct place *p = place_of(a->place, a->mask, key);

	if (p->state != 1)
		return;
	p->state = 2;
	a->count--;
}

size_t code_asks_count(const struct code_asks *a) { return a->count; }

bool code_asks_walk(const struct code_asks *a, struct table_walk *w, struct code_waiting *ret)
{
	if (w->bits != a->made)
		w->at = 0;
	w->bits = a->made;
	for (w->ended = w->at > a->mask; !w->ended && w->budget > 0; w->ended = w->at > a->mask) {
		const struct place *p = &a->place[w->at++];

		w->budget--;
		if (p->state == 1) {
			*ret = p->w;
			return true;
		}
	}
	return false;
}

size_t code_asks_list(const struct code_asks *a, unsigned scheme, size_t *at, struct code_waiting *ret, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; n < max && i <= a->mask; i++, *at = (*at + 1) & a->mask) {
		const struct place *p = &a->place[*at & a->mask];

		if (p->state == 1 && p->w.scheme == scheme)
			ret[n++] = p->w;
	}
	return n;
}

void code_asks_event(struct code_asks *a, const uint8_t *body, size_t n)
{
	const struct code_route *r;
	struct code_answer answer;

	for (size_t i = 0; code_event_answer(body, n, i, &answer, &r); i++)
		code_asks_drop(a, answer.key);
}

static int item_load(struct code_asks *a, struct txn *t, const uint8_t *cleared_key)
{
	struct code_waiting w = { .scheme = 0 };
	struct code_answer answer;
	struct cleared row;
	int32_t day;
	int ret = code_asks_room(a);

	memcpy(w.key, cleared_key + 5, TAP_KEY_BYTES);
	if (ret != 0 || code_answer_find(t, w.key, &answer, &day))
		return ret;
	if (!row_get(t, cleared_key, &row))
		return CLEARING_E_STORE;
	w.scheme = row.scheme;
	w.seq = row.seq;
	code_asks_add(a, &w);
	return 0;
}

int code_asks_load(struct code_asks *a, struct txn *t)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < code_route_count; i++) {
		const uint8_t scheme = (uint8_t)code_routes[i].scheme;
		struct iter it;

		iter_open(t, DB_ITEM, &scheme, 1, &it);
		while (ret == 0 && iter_next(&it))
			if (it.val_bytes == ITEM_VALUE_BYTES && it.val[0] == ITEM_WAITING)
				ret = item_load(a, t, it.val + 13);
		iter_close(&it);
	}
	return ret != 0 ? ret : t->error;
}

int code_asks_built(struct code_asks *a, struct txn *t, uint64_t cut_seq)
{
	size_t before = a->count;
	int ret = code_asks_load(a, t);
	struct inbox_iter it;
	struct event e;

	if (ret != 0 || a->count == before)
		return ret;
	inbox_open_others(t, cut_seq + 1, UINT64_MAX, &it);
	while (inbox_next(&it, &e))
		if (e.type == EVENT_CODE_ANSWER)
			code_asks_event(a, e.body, e.bytes);
	inbox_close(&it);
	return t->error;
}
