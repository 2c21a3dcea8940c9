#include "clearing/riding.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/pages.h"
#include "clearing/table.h"

#define WORDS (sizeof(struct rider_state) / sizeof(uint64_t))
#define UNIT 8u				/* places are so many bytes or a multiple */
#define HEAD_BYTES (2 * sizeof(uint64_t))	/* at most: which low halves of words follow, and which high ones */
#define BASE_BIT 58			/* above the words of the first mask: times told from base, one bit each */
#define HIGH_BIT 63			/* there is a second mask */
#define WORDS_MASK ((UINT64_C(1) << BASE_BIT) - 1)
#define UNITS_MAX ((HEAD_BYTES + WORDS * sizeof(uint64_t) + UNIT - 1) / UNIT)
#define CHUNK_UNITS ((unsigned)(CHUNK_BYTES / UNIT))
#define NO_PLACE UINT32_MAX
static_assert(sizeof(struct rider_state) % sizeof(uint64_t) == 0 && WORDS <= BASE_BIT && UNITS_MAX <= UINT8_MAX, "a mask of one word tells which halves follow");

/* Moments, which are half a word long by their distance from another: as words of a state. */
#define TIME_WORD(field) offsetof(struct rider_state, field) / sizeof(uint64_t)
static const uint8_t time_word[] = { TIME_WORD(last_ms), TIME_WORD(other_ms), TIME_WORD(window_ms), TIME_WORD(open_ms), TIME_WORD(escorted_ms) };
#define TIMES (sizeof(time_word) / sizeof(time_word[0]))
static_assert(BASE_BIT + TIMES <= HIGH_BIT, "a bit for each time");

struct entry { uint64_t person; uint8_t used, units; uint32_t place; };
struct riding {
	struct table entry;
	uint8_t **chunk; size_t chunks, units;	/* units taken of all chunks */
	uint32_t free[UNITS_MAX + 1];		/* places given back, by size: each begins with the next */
	uint64_t base;				/* what moments are told from; 0: not chosen yet */
};

int riding_new(struct riding **ret_riding)
{
	struct riding *r = calloc(1, sizeof(*r));

	if (r == NULL || table_open(&r->entry, sizeof(uint64_t), sizeof(struct entry)) != 0) {
		free(r);
		return -ENOMEM;
	}
	memset(r->free, 0xFF, sizeof(r->free));
	*ret_riding = r;
	return 0;
}

void riding_free(struct riding *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->chunks; i++)
		chunk_give(r->chunk[i]);
	free(r->chunk);
	table_close(&r->entry);
	free(r);
}

void riding_reset(struct riding *r)
{
	table_clear(&r->entry);
	memset(r->free, 0xFF, sizeof(r->free));
	r->base = 0;
	r->units = 0;
}

size_t riding_bytes(const struct riding *r) { return r->units * UNIT; }

int riding_room(struct riding *r, size_t puts)
{
	uint8_t **wide;

	while (r->units + (puts + 1) * UNITS_MAX > r->chunks * CHUNK_UNITS) {	/* one more for what is left of a chunk */
		wide = realloc(r->chunk, (r->chunks + 1) * sizeof(*wide));
		if (wide == NULL)
			return -ENOMEM;
		r->chunk = wide;
		r->chunk[r->chunks] = chunk_take();
		if (r->chunk[r->chunks] == NULL)
			return -ENOMEM;
		r->chunks++;
	}
	return table_room(&r->entry, puts);
}

static uint8_t *place_at(const struct riding *r, uint32_t place) { return r->chunk[place / CHUNK_UNITS] + (size_t)(place % CHUNK_UNITS) * UNIT; }

static void place_give(struct riding *r, uint32_t place, unsigned units)
{
	memcpy(place_at(r, place), &r->free[units], sizeof(uint32_t));
	r->free[units] = place;
}

static uint32_t place_take(struct riding *r, unsigned units)
{
	uint32_t place = r->free[units];

	if (place != NO_PLACE) {
		memcpy(&r->free[units], place_at(r, place), sizeof(uint32_t));
		return place;
	}
	if (r->units % CHUNK_UNITS + units > CHUNK_UNITS) {	/* no place lies in two chunks: the rest of this one is given away */
		unsigned rest = (unsigned)(CHUNK_UNITS - r->units % CHUNK_UNITS);

		place_give(r, (uint32_t)r->units, rest);
		r->units += rest;
	}
	place = (uint32_t)r->units;
	r->units += units;
	return place;
}

struct riding_key riding_key(const struct riding *r, uint64_t person) { return (struct riding_key){ person, table_hash(&r->entry, &person) }; }

void riding_prefetch(const struct riding *r, struct riding_key key) { table_prefetch_by(&r->entry, key.hash); }

void riding_prefetch_state(const struct riding *r, struct riding_key key)
{
	const struct entry *e = table_find_by(&r->entry, key.hash, &key.person);

	if (e == NULL)
		return;
	for (unsigned at = 0; at < e->units * UNIT; at += 64)
		touch(place_at(r, e->place) + at);
}

/* ---- a state as bytes ------------------------------------------------------------------------------------------ */

#define GROUP 4
static bool group_zero(const uint64_t *word) { return (word[0] | word[1] | word[2] | word[3]) == 0; }

/* A mask, mostly one, and the halves of words that are not zero, low ones first: some sixty bytes for a rider with a transfer
 * window and a counter. */
static size_t state_pack(const struct riding *r, const struct rider_state *state, uint8_t *p)
{
	uint64_t word[WORDS + GROUP] = { 0 }, low = 0, high = 0;
	uint8_t *to = p + sizeof(low);
	uint32_t half;

	memcpy(word, state, sizeof(*state));
	for (size_t i = 0; i < TIMES; i++) {
		uint64_t since = word[time_word[i]] - r->base;

		if (r->base != 0 && since != 0 && since <= UINT32_MAX) {
			word[time_word[i]] = since;
			low |= UINT64_C(1) << (BASE_BIT + i);
		}
	}
	for (size_t i = 0; i < WORDS; i += GROUP) {
		if (group_zero(&word[i]))
			continue;
		for (size_t k = i; k < i + GROUP; k++) {
			low |= (uint64_t)((uint32_t)word[k] != 0) << k;
			high |= (uint64_t)(word[k] >> 32 != 0) << k;
		}
	}
	if (high != 0) {
		low |= UINT64_C(1) << HIGH_BIT;
		memcpy(to, &high, sizeof(high));
		to += sizeof(high);
	}
	for (uint64_t mask = low & WORDS_MASK; mask != 0; mask &= mask - 1, to += sizeof(half)) {
		half = (uint32_t)word[__builtin_ctzll(mask)];
		memcpy(to, &half, sizeof(half));
	}
	for (uint64_t mask = high; mask != 0; mask &= mask - 1, to += sizeof(half)) {
		half = (uint32_t)(word[__builtin_ctzll(mask)] >> 32);
		memcpy(to, &half, sizeof(half));
	}
	memcpy(p, &low, sizeof(low));
	return (size_t)(to - p);
}

static void state_of(const struct riding *r, const struct entry *e, struct rider_state *ret_state)
{
	uint64_t low, high = 0, word[WORDS] = { 0 };
	const uint8_t *p = place_at(r, e->place);
	uint32_t half;

	memcpy(&low, p, sizeof(low));
	p += sizeof(low);
	if ((low >> HIGH_BIT) != 0) {
		memcpy(&high, p, sizeof(high));
		p += sizeof(high);
	}
	for (uint64_t mask = low & WORDS_MASK; mask != 0; mask &= mask - 1, p += sizeof(half)) {
		memcpy(&half, p, sizeof(half));
		word[__builtin_ctzll(mask)] = half;
	}
	for (; high != 0; high &= high - 1, p += sizeof(half)) {
		memcpy(&half, p, sizeof(half));
		word[__builtin_ctzll(high)] |= (uint64_t)half << 32;
	}
	for (size_t i = 0; i < TIMES; i++)
		if ((low >> (BASE_BIT + i) & 1) != 0)
			word[time_word[i]] += r->base;
	memcpy(ret_state, word, sizeof(word));
}

bool riding_get(const struct riding *r, struct riding_key key, struct rider_state *ret_state)
{
	const struct entry *e = table_find_by(&r->entry, key.hash, &key.person);

	if (e == NULL)
		return false;
	state_of(r, e, ret_state);
	return true;
}

bool riding_walk(const struct riding *r, struct table_walk *w, uint64_t *ret_person, struct rider_state *ret_state)
{
	const struct entry *e = table_walk(&r->entry, w);

	if (e == NULL)
		return false;
	*ret_person = e->person;
	state_of(r, e, ret_state);
	return true;
}

size_t riding_count(const struct riding *r) { return r->entry.count; }

int riding_room_of(struct riding *r, uint64_t persons) { return table_room(&r->entry, (size_t)persons); }

void riding_put(struct riding *r, struct riding_key key, const struct rider_state *state)
{
	uint8_t bytes[UNITS_MAX * UNIT];
	unsigned units;
	struct entry *e;
	size_t n;
	bool new;

	if (r->base == 0 && state->last_ms > INT32_MAX)
		r->base = (uint64_t)state->last_ms - INT32_MAX;	/* 25 days before and after the first */
	n = state_pack(r, state, bytes);
	units = (unsigned)((n + UNIT - 1) / UNIT);
	e = table_at_by(&r->entry, key.hash, &key.person, &new);
	if (!new && e->units != units)
		place_give(r, e->place, e->units);
	if (new || e->units != units)
		e->place = place_take(r, units);
	e->units = (uint8_t)units;
	memcpy(place_at(r, e->place), bytes, n);
}
