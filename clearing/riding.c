#include "clearing/riding.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/pages.h"
#include "clearing/table.h"

#define UNIT 16u			/* places are so many bytes or a multiple: few sizes, so that those given back are soon taken again */
#define UNITS_MIN 2u			/* most states grow to so many with the second ride */
#define BITS_BYTES sizeof(uint16_t)
#define UNITS_MAX ((BITS_BYTES + sizeof(struct rider_state) + UNIT - 1) / UNIT)
#define CHUNK_UNITS ((unsigned)(CHUNK_BYTES / UNIT))
#define NO_PLACE UINT32_MAX
static_assert(UNITS_MAX <= UINT8_MAX, "an entry has its units in a byte");

struct riding_entry { uint64_t person; uint8_t used, units; uint32_t place; } __attribute__((packed));
struct riding {
	struct table entry;
	uint8_t **chunk; size_t chunks, units;	/* units taken of all chunks */
	uint32_t free[UNITS_MAX + 1];		/* places given back, by size: each begins with the next */
};

int riding_new(struct riding **ret_riding)
{
	struct riding *r = calloc(1, sizeof(*r));

	if (r == NULL || table_open(&r->entry, sizeof(uint64_t), sizeof(struct riding_entry)) != 0) {
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
	r->units = 0;
}

size_t riding_bytes(const struct riding *r) { return r->units * UNIT + table_bytes(&r->entry); }

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

struct riding_key riding_key(const struct riding *r, uint64_t person) { return (struct riding_key){ person, table_hash(&r->entry, &person), NULL }; }

void riding_prefetch(const struct riding *r, struct riding_key key) { table_prefetch_by(&r->entry, key.hash); }

void riding_prefetch_entry(const struct riding *r, struct riding_key key) { table_prefetch_entry_by(&r->entry, key.hash); }

void riding_prefetch_state(const struct riding *r, struct riding_key *key)
{
	const struct riding_entry *e = table_find_by(&r->entry, key->hash, &key->person);

	key->entry = (struct riding_entry *)e;
	if (e == NULL)
		return;
	for (unsigned at = 0; at < e->units * UNIT; at += 64)
		touch(place_at(r, e->place) + at);
	touch(place_at(r, e->place) + e->units * UNIT - 1);	/* places do not begin with a line */
}

/* ---- a state as bytes ------------------------------------------------------------------------------------------ */

/*
 * First bits that tell what a state has, then that. Numbers are as short as those of riders are; a state with any other is kept
 * as it is. A ride that started its window left its moment and its vehicle in several fields: they follow once.
 */
enum has { HAS_OTHER = 1, HAS_WINDOW = 2, WINDOW_IS_LAST = 4, HAS_OPEN = 8, HAS_ESCORTED = 16, HAS_CARDS = 32, AS_IT_IS = 64, HAS_DEAR = 128 };
#define ACCOUNTS_SHIFT 8		/* above: how many accounts */
#define ACCOUNT_BYTES 14
#define SHORT_BYTES_MAX (BITS_BYTES + 65 + RIDER_ACC_MAX * ACCOUNT_BYTES)
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first bytes of a number are its low ones");
static_assert(SHORT_BYTES_MAX <= UNITS_MAX * UNIT && RIDER_ACC_MAX < 1 << (16 - ACCOUNTS_SHIFT), "the longest is a state as it is");

/* beyond: bits of numbers that did not fit. */
struct out { uint8_t *p; uint64_t beyond; };

static inline void put(struct out *o, uint64_t v, size_t bytes)
{
	memcpy(o->p, &v, bytes);
	o->p += bytes;
	o->beyond |= v >> (8 * bytes);
}

/* Five bytes are four and one: a number put together in memory is read after it was written there. */
static inline uint64_t get(const uint8_t **p, size_t bytes)
{
	uint64_t v = 0;

	memcpy(&v, *p, bytes == 5 ? 4 : bytes);
	v |= bytes == 5 ? (uint64_t)(*p)[4] << 32 : 0;
	*p += bytes;
	return v;
}

/* A moment from 2015 to 2049 in five bytes, 0 as it is. */
#define MS_BYTES 5
#define MS_FROM UINT64_C(1420041600000)
static inline void ms_put(struct out *o, int64_t ms)
{
	uint64_t since = ms != 0 ? (uint64_t)ms - MS_FROM : 0;

	put(o, since, MS_BYTES);
	o->beyond |= since == 0 && ms != 0;
}

static inline int64_t ms_get(const uint8_t **p)
{
	uint64_t since = get(p, MS_BYTES);

	return since != 0 ? (int64_t)(since + MS_FROM) : 0;
}

/* Two numbers of less than sixteen in a byte. */
static inline void pair_put(struct out *o, unsigned low, unsigned high)
{
	put(o, low | high << 4, 1);
	o->beyond |= (low | high) >> 4;
}

static unsigned window_bits(const struct rider_state *s)
{
	bool last = s->window_ms == s->last_ms && s->window_vehicle == s->last_vehicle && s->prev_vehicle == s->last_vehicle;
	bool any = s->window_rule != 0 || s->window_uses != 0 || s->window_ms != 0 || s->window_vehicle != 0 || s->window_dearest_fen != 0 ||
		   s->prev_line != 0 || s->prev_vehicle != 0 || s->prev_mode != 0 || s->prev_flags != 0 || s->prev_published_fen != 0;

	return any ? HAS_WINDOW | (last ? WINDOW_IS_LAST : 0) : 0;
}

static unsigned state_bits(const struct rider_state *s)
{
	const int64_t fares = s->window_dearest_fen | s->prev_published_fen | s->open_hold_fen | s->open_unfinished_fen;
	unsigned bits = window_bits(s) | rider_state_accounts(s) << ACCOUNTS_SHIFT | ((uint64_t)fares > UINT16_MAX ? HAS_DEAR : 0);

	if (s->other_ms != 0 || s->other_vehicle != 0)
		bits |= HAS_OTHER;
	if (s->open_ms != 0 || s->open_line != 0 || s->open_stop != 0 || s->open_hold_fen != 0 || s->open_unfinished_fen != 0)
		bits |= HAS_OPEN;
	if (s->escorted_ms != 0)
		bits |= HAS_ESCORTED;
	for (unsigned i = 0; i < bits >> ACCOUNTS_SHIFT; i++)
		if (s->acc[i].card != 0)
			bits |= HAS_CARDS;
	return bits;
}

static inline void fare_put(struct out *o, int64_t fen, unsigned bits)
{
	if ((bits & HAS_DEAR) != 0)
		put(o, (uint64_t)fen, 4);
	else
		put(o, (uint64_t)fen, 2);
}

static inline int64_t fare_get(const uint8_t **p, unsigned bits) { return (int64_t)((bits & HAS_DEAR) != 0 ? get(p, 4) : get(p, 2)); }

static void window_put(struct out *o, const struct rider_state *s, unsigned bits)
{
	put(o, s->window_rule, 2);
	put(o, s->window_uses, 1);
	fare_put(o, s->window_dearest_fen, bits);
	put(o, s->prev_line, 4);
	pair_put(o, s->prev_mode, s->prev_flags);
	fare_put(o, s->prev_published_fen, bits);
	if ((bits & WINDOW_IS_LAST) != 0)
		return;
	ms_put(o, s->window_ms);
	put(o, s->window_vehicle, 4);
	put(o, s->prev_vehicle, 4);
}

static void window_get(const uint8_t **p, unsigned bits, struct rider_state *s)
{
	s->window_rule = (uint16_t)get(p, 2);
	s->window_uses = (uint16_t)get(p, 1);
	s->window_dearest_fen = fare_get(p, bits);
	s->prev_line = (uint32_t)get(p, 4);
	s->prev_mode = **p & 15;
	s->prev_flags = (uint8_t)(get(p, 1) >> 4);
	s->prev_published_fen = fare_get(p, bits);
	s->window_ms = (bits & WINDOW_IS_LAST) != 0 ? s->last_ms : ms_get(p);
	s->window_vehicle = (bits & WINDOW_IS_LAST) != 0 ? s->last_vehicle : (uint32_t)get(p, 4);
	s->prev_vehicle = (bits & WINDOW_IS_LAST) != 0 ? s->last_vehicle : (uint32_t)get(p, 4);
}

static void open_put(struct out *o, const struct rider_state *s, unsigned bits)
{
	ms_put(o, s->open_ms);
	put(o, s->open_line, 4);
	put(o, s->open_stop, 2);
	fare_put(o, s->open_hold_fen, bits);
	fare_put(o, s->open_unfinished_fen, bits);
}

static void open_get(const uint8_t **p, unsigned bits, struct rider_state *s)
{
	s->open_ms = ms_get(p);
	s->open_line = (uint32_t)get(p, 4);
	s->open_stop = (uint16_t)get(p, 2);
	s->open_hold_fen = fare_get(p, bits);
	s->open_unfinished_fen = fare_get(p, bits);
}

static void accounts_put(struct out *o, const struct rider_state *s, unsigned bits)
{
	for (unsigned i = 0; i < bits >> ACCOUNTS_SHIFT; i++) {
		put(o, s->acc[i].id, 2);
		put(o, s->acc[i].stamp, 4);
		put(o, (uint64_t)s->acc[i].value, 4);
		if ((bits & HAS_CARDS) != 0)
			put(o, s->acc[i].card, 4);
	}
}

static void accounts_get(const uint8_t **p, unsigned bits, struct rider_state *s)
{
	for (unsigned i = 0; i < bits >> ACCOUNTS_SHIFT; i++) {
		s->acc[i].id = (uint16_t)get(p, 2);
		s->acc[i].stamp = (uint32_t)get(p, 4);
		s->acc[i].value = (int64_t)get(p, 4);
		if ((bits & HAS_CARDS) != 0)
			s->acc[i].card = (uint32_t)get(p, 4);
	}
}

static size_t state_as_it_is(const struct rider_state *s, uint8_t *p)
{
	const uint16_t bits = AS_IT_IS;

	memcpy(p, &bits, sizeof(bits));
	memcpy(p + BITS_BYTES, s, sizeof(*s));
	return BITS_BYTES + sizeof(*s);
}

static size_t state_pack(const struct rider_state *s, uint8_t *p)
{
	struct out o = { .p = p };
	unsigned bits = state_bits(s);

	put(&o, bits, BITS_BYTES);
	ms_put(&o, s->last_ms);
	put(&o, s->last_vehicle, 4);
	if ((bits & HAS_WINDOW) != 0)
		window_put(&o, s, bits);
	if ((bits & HAS_OTHER) != 0) {
		ms_put(&o, s->other_ms);
		put(&o, s->other_vehicle, 4);
	}
	if ((bits & HAS_OPEN) != 0)
		open_put(&o, s, bits);
	if ((bits & HAS_ESCORTED) != 0)
		ms_put(&o, s->escorted_ms);
	accounts_put(&o, s, bits);
	return o.beyond == 0 ? (size_t)(o.p - p) : state_as_it_is(s, p);
}

static void state_of(const struct riding *r, const struct riding_entry *e, struct rider_state *ret_state)
{
	const uint8_t *p = place_at(r, e->place);
	unsigned bits = (unsigned)get(&p, BITS_BYTES);

	if ((bits & AS_IT_IS) != 0) {
		memcpy(ret_state, p, sizeof(*ret_state));
		return;
	}
	*ret_state = (struct rider_state){ 0 };
	ret_state->last_ms = ms_get(&p);
	ret_state->last_vehicle = (uint32_t)get(&p, 4);
	if ((bits & HAS_WINDOW) != 0)
		window_get(&p, bits, ret_state);
	if ((bits & HAS_OTHER) != 0) {
		ret_state->other_ms = ms_get(&p);
		ret_state->other_vehicle = (uint32_t)get(&p, 4);
	}
	if ((bits & HAS_OPEN) != 0)
		open_get(&p, bits, ret_state);
	if ((bits & HAS_ESCORTED) != 0)
		ret_state->escorted_ms = ms_get(&p);
	accounts_get(&p, bits, ret_state);
}

/* An entry moves when its part of the table is cut: then another person's is there, or none. */
static struct riding_entry *entry_found(struct riding_key key)
{
	return key.entry != NULL && key.entry->used != 0 && key.entry->person == key.person ? key.entry : NULL;
}

bool riding_get(const struct riding *r, struct riding_key key, struct rider_state *ret_state)
{
	const struct riding_entry *e = entry_found(key);

	if (e == NULL)
		e = table_find_by(&r->entry, key.hash, &key.person);
	if (e == NULL)
		return false;
	state_of(r, e, ret_state);
	return true;
}

bool riding_walk(const struct riding *r, struct table_walk *w, uint64_t *ret_person, struct rider_state *ret_state)
{
	const struct riding_entry *e = table_walk(&r->entry, w);

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
	size_t n = state_pack(state, bytes);
	unsigned units = n > UNITS_MIN * UNIT ? (unsigned)((n + UNIT - 1) / UNIT) : UNITS_MIN;
	struct riding_entry *e = entry_found(key);
	bool new = false;

	if (e == NULL)
		e = table_at_by(&r->entry, key.hash, &key.person, &new);
	if (!new && e->units != units)
		place_give(r, e->place, e->units);
	if (new || e->units != units)
		e->place = place_take(r, units);
	e->units = (uint8_t)units;
	memcpy(place_at(r, e->place), bytes, n);
}
