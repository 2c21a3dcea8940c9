/*
 * What rating keeps of tens of millions of riders, packed: places in one block of memory, each in units of eight bytes, so
 * that a place is named by four. A state that outgrows its place moves, and the place it had serves the next of that size.
 */
#include "city.h"

#include <stdlib.h>
#include <string.h>

#define UNIT	   8
#define HEAD_BYTES 3 /* bytes u16 | units u8 */
#define UNITS_MAX  ((HEAD_BYTES + RIDER_STATE_BYTES_MAX + UNIT - 1) / UNIT)

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
	place_at(s, place)[2] = (uint8_t)units;
	return place;
}

static void place_free(struct city_states *s, uint32_t place)
{
	uint32_t units = place_at(s, place)[2];

	memcpy(place_at(s, place) + HEAD_BYTES, &s->free[units], sizeof(place));
	s->free[units] = place;
}

void city_state_put(struct city_states *s, uint32_t *place, const uint8_t *bytes, size_t n)
{
	uint32_t units = (uint32_t)(HEAD_BYTES + n + UNIT - 1) / UNIT;
	uint16_t count = (uint16_t)n;

	if (*place == 0 || place_at(s, *place)[2] < units) {
		if (*place != 0)
			place_free(s, *place);
		*place = place_new(s, units);
	}
	memcpy(place_at(s, *place), &count, sizeof(count));
	memcpy(place_at(s, *place) + HEAD_BYTES, bytes, n);
}

void city_state_ahead(const struct city_states *s, uint32_t place)
{
	__builtin_prefetch(place_at(s, place));
}

const uint8_t *city_state_at(const struct city_states *s, uint32_t place, size_t *ret_bytes)
{
	uint16_t count;

	memcpy(&count, place_at(s, place), sizeof(count));
	*ret_bytes = count;
	return place_at(s, place) + HEAD_BYTES;
}
