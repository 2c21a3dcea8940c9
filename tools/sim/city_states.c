/*
 * What rating keeps of tens of millions of riders, packed: places in one block of memory, in units of four bytes, so that
 * a place is named by four. A state that outgrows its place moves, and the place it had serves the next of that size.
 */
#include "city.h"

#include <stdlib.h>
#include <string.h>

#define UNIT	   4
#define HEAD_BYTES 2 /* nine bits its bytes, seven its units */
#define UNITS_MIN  2 /* a free place names the next one */
#define UNITS_MAX  ((HEAD_BYTES + RIDER_STATE_BYTES_MAX + UNIT - 1) / UNIT)
static_assert(RIDER_STATE_BYTES_MAX < 1 << 9 && UNITS_MAX < 1 << 7, "the head");

struct city_states {
	uint8_t *p;
	size_t used, room;	      /* units; the first is nobody's, so that place 0 is none */
	uint32_t free[UNITS_MAX + 1]; /* by size: the first free place, which names the next one behind its head */
};

struct city_states *city_states_new(void)
{
	struct city_states *s = city_grow(NULL, sizeof(*s), 1);

	s->room = 4096;
	s->p = city_grow(NULL, UNIT, s->room);
	s->used = 1;
	return s;
}

void city_states_free(struct city_states *s)
{
	if (s == NULL)
		return;
	free(s->p);
	free(s);
}

static uint8_t *place_at(const struct city_states *s, uint32_t place)
{
	return s->p + (size_t)place * UNIT;
}

static void head_put(struct city_states *s, uint32_t place, uint32_t units, size_t n)
{
	uint16_t head = (uint16_t)(units << 9 | n);

	memcpy(place_at(s, place), &head, sizeof(head));
}

static uint32_t place_units(const struct city_states *s, uint32_t place, size_t *ret_bytes)
{
	uint16_t head;

	memcpy(&head, place_at(s, place), sizeof(head));
	*ret_bytes = head & 511;
	return head >> 9;
}

static uint32_t place_new(struct city_states *s, uint32_t units)
{
	uint32_t place = s->free[units];

	if (place != 0) {
		memcpy(&s->free[units], place_at(s, place) + HEAD_BYTES, sizeof(place));
		return place;
	}
	if (s->room - s->used < units) {
		s->room *= 2;
		s->p = city_grow(s->p, UNIT, s->room);
	}
	place = (uint32_t)s->used;
	s->used += units;
	return place;
}

static void place_free(struct city_states *s, uint32_t place, uint32_t units)
{
	memcpy(place_at(s, place) + HEAD_BYTES, &s->free[units], sizeof(place));
	s->free[units] = place;
}

void city_state_put(struct city_states *s, uint32_t *place, const uint8_t *bytes, size_t n)
{
	uint32_t units = (uint32_t)(HEAD_BYTES + n + UNIT - 1) / UNIT, had = 0;
	size_t before;

	units = units < UNITS_MIN ? UNITS_MIN : units;
	if (*place != 0)
		had = place_units(s, *place, &before);
	if (had < units) {
		if (had != 0)
			place_free(s, *place, had);
		*place = place_new(s, units);
		had = units;
	}
	head_put(s, *place, had, n);
	memcpy(place_at(s, *place) + HEAD_BYTES, bytes, n);
}

void city_state_ahead(const struct city_states *s, uint32_t place)
{
	__builtin_prefetch(place_at(s, place));
}

const uint8_t *city_state_at(const struct city_states *s, uint32_t place, size_t *ret_bytes)
{
	place_units(s, place, ret_bytes);
	return place_at(s, place) + HEAD_BYTES;
}
