/*
 * state - a rider's state as bytes that are the same on every machine: fixed order, big-endian.
 */
#include "tariffs/tariffs.h"

#include <assert.h>
#include <string.h>

#define STATE_VERSION 2

static uint8_t *put(uint8_t *p, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	return p + n;
}

static uint64_t get(const uint8_t **p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | *(*p)++;
	return v;
}

/* X(field, bytes): the order on disk. */
#define STATE_FIELDS(X) \
	X(last_ms, 8) X(last_vehicle, 4) X(window_rule, 2) X(window_uses, 2) X(window_ms, 8) X(window_vehicle, 4) X(window_dearest_fen, 8) \
	X(prev_line, 4) X(prev_vehicle, 4) X(prev_mode, 1) X(prev_flags, 1) X(prev_published_fen, 8) \
	X(open_ms, 8) X(open_line, 4) X(open_stop, 2) X(open_hold_fen, 8) X(open_unfinished_fen, 8)

void rider_state_pack(const struct rider_state *s, uint8_t ret_bytes[RIDER_STATE_BYTES])
{
	uint8_t *p = ret_bytes;

	memset(p, 0, RIDER_STATE_BYTES);
	*p++ = STATE_VERSION;
#define X(field, n) p = put(p, (uint64_t)s->field, n);
	STATE_FIELDS(X)
#undef X
	for (size_t i = 0; i < RIDER_ACC_MAX; i++) {
		p = put(p, s->acc[i].id, 2);
		p = put(p, s->acc[i].stamp, 4);
		p = put(p, s->acc[i].card, 4);
		p = put(p, (uint64_t)s->acc[i].value, 8);
	}
	p = put(p, (uint64_t)s->other_ms, 8);	/* behind the accounts: zero in states written before they were kept */
	p = put(p, s->other_vehicle, 4);
	p = put(p, (uint64_t)s->escorted_ms, 8);
	assert(p <= ret_bytes + RIDER_STATE_BYTES);
}

bool rider_state_unpack(const uint8_t bytes[RIDER_STATE_BYTES], struct rider_state *ret_state)
{
	const uint8_t *p = bytes;
	struct rider_state s;

	if (*p++ != STATE_VERSION)
		return false;
#define X(field, n) s.field = (__typeof__(s.field))get(&p, n);
	STATE_FIELDS(X)
#undef X
	for (size_t i = 0; i < RIDER_ACC_MAX; i++) {
		s.acc[i].id = (uint16_t)get(&p, 2);
		s.acc[i].stamp = (uint32_t)get(&p, 4);
		s.acc[i].card = (uint32_t)get(&p, 4);
		s.acc[i].value = (int64_t)get(&p, 8);
	}
	s.other_ms = (int64_t)get(&p, 8);
	s.other_vehicle = (uint32_t)get(&p, 4);
	s.escorted_ms = (int64_t)get(&p, 8);
	*ret_state = s;
	return true;
}
