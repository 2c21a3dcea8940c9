/*
 * state - a rider's state as few bytes that are the same on every machine. Most of a state is zero, and much of the
 * rest is said twice: a mask tells which fields follow and which are those of the last ride; times are counted from
 * near the day they are stored under, in seconds where they are whole ones.
 */
#include "tariffs/tariffs.h"

#include <assert.h>
#include <string.h>

struct in { const uint8_t *p, *end; bool bad; };

static inline uint8_t *put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v;
	return p + 2;
}

static inline uint8_t *put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8), p[3] = (uint8_t)v;
	return p + 4;
}

/* The next n bytes; where there are fewer, some that are zero. */
static inline const uint8_t *take(struct in *in, size_t n)
{
	static const uint8_t none[4];
	const uint8_t *p = in->p;

	if ((size_t)(in->end - p) < n) {
		in->bad = true;
		return none;
	}
	in->p += n;
	return p;
}

static inline uint16_t get16(struct in *in)
{
	const uint8_t *p = take(in, 2);

	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get32(struct in *in)
{
	const uint8_t *p = take(in, 4);

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Seven bits a byte, the low ones first; the top bit says that more follow. */
size_t varnum_put_long(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	do {
		p[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	} while (v >= 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

size_t varnum_get_long(const uint8_t *p, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n && i < VARNUM_BYTES_MAX; i++) {
		v |= (uint64_t)(p[i] & 0x7F) << (7 * i);
		if (p[i] < 0x80) {
			if ((i > 0 && p[i] == 0) || (i == 9 && p[i] > 1))
				return 0;	/* one number has one form */
			*ret = v;
			return i + 1;
		}
	}
	return 0;
}

/* A time as its distance from another: whole seconds, and the rest only where there is one. */
size_t moment_put(uint8_t *p, int64_t ms, int64_t from_ms)
{
	int64_t d = (int64_t)((uint64_t)ms - (uint64_t)from_ms), s = d / 1000, rest = d % 1000;
	size_t n;

	if (rest < 0)
		s--, rest += 1000;
	n = varnum_put(p, zigzag(s) << 1 | (rest != 0));
	return rest != 0 ? (size_t)(put16(p + n, (uint16_t)rest) - p) : n;
}

size_t moment_get(const uint8_t *p, size_t n, int64_t from_ms, int64_t *ret_ms)
{
	uint64_t v, rest = 0;
	size_t used = varnum_get(p, n, &v);

	if (used == 0)
		return 0;
	if (v & 1) {
		if (n - used < 2)
			return 0;
		rest = (uint64_t)p[used] << 8 | p[used + 1];
		used += 2;
		if (rest == 0 || rest > 999)
			return 0;
	}
	*ret_ms = (int64_t)((uint64_t)from_ms + (uint64_t)zigzag_back(v >> 1) * 1000 + rest);
	return used;
}

/* ---- a state ------------------------------------------------------------------------------------------------ */

/*
 * X(field, kind): the order of bits in the mask and of what follows it, the usual ones first; a new field comes last.
 * SAME says that the field, which follows further down, is what the last ride left in another one.
 */
#define STATE_FIELDS(X, SAME) \
	X(last_ms, TIME) X(last_vehicle, HASH) X(window_rule, SHORT) SAME(window_ms, last_ms) SAME(window_vehicle, last_vehicle) \
	SAME(prev_vehicle, last_vehicle) X(window_dearest_fen, FEN) X(prev_line, HASH) X(prev_flags, COUNT) X(prev_published_fen, FEN) \
	X(other_ms, TIME) X(other_vehicle, HASH) X(window_uses, COUNT) ACCOUNTS \
	X(prev_mode, COUNT) X(window_ms, TIME) X(window_vehicle, HASH) X(prev_vehicle, HASH) X(open_ms, TIME) X(open_line, HASH) \
	X(open_stop, COUNT) X(open_hold_fen, FEN) X(open_unfinished_fen, FEN) X(escorted_ms, TIME)
#define ACCOUNTS BIT(accounts)

enum state_bit {
#define BIT(name) BIT_##name,
#define X(field, kind) BIT_##field,
#define SAME(field, as) SAME_##field,
	STATE_FIELDS(X, SAME)
#undef BIT
#undef X
#undef SAME
	STATE_BITS
};
static_assert(STATE_BITS <= 28, "the mask is at most four bytes of a number");

enum kind { TIME, HASH, SHORT, COUNT, FEN };

static inline uint8_t *field_put(uint8_t *p, enum kind kind, int64_t v, int64_t near_ms)
{
	switch (kind) {
	case TIME: return p + moment_put(p, v, near_ms);
	case HASH: return put32(p, (uint32_t)v);
	case SHORT: return put16(p, (uint16_t)v);
	case COUNT: return p + varnum_put(p, (uint64_t)v);
	case FEN: return p + varnum_put(p, zigzag(v));
	}
	return p;
}

static inline uint64_t number(struct in *in)
{
	uint64_t v = 0;
	size_t n;

	n = varnum_get(in->p, (size_t)(in->end - in->p), &v);
	in->bad = in->bad || n == 0;
	in->p += n;
	return v;
}

static inline int64_t field_get(struct in *in, enum kind kind, int64_t near_ms)
{
	int64_t ms = 0;
	size_t n;

	switch (kind) {
	case TIME:
		n = moment_get(in->p, (size_t)(in->end - in->p), near_ms, &ms);
		in->bad = in->bad || n == 0;
		in->p += n;
		return ms;
	case HASH: return get32(in);
	case SHORT: return get16(in);
	case COUNT: return (int64_t)number(in);
	case FEN: return zigzag_back(number(in));
	}
	return 0;
}

static uint8_t *accounts_put(uint8_t *p, const struct rider_state *s, size_t count)
{
	*p++ = (uint8_t)count;
	for (size_t i = 0; i < count; i++) {
		p = put16(p, s->acc[i].id);
		p += varnum_put(p, (uint64_t)s->acc[i].stamp << 1 | (s->acc[i].card != 0));
		if (s->acc[i].card != 0)
			p = put32(p, s->acc[i].card);
		p += varnum_put(p, zigzag(s->acc[i].value));
	}
	return p;
}

static void accounts_get(struct in *in, struct rider_state *s)
{
	size_t count = in->p < in->end ? *in->p++ : 0;

	in->bad = in->bad || count == 0 || count > RIDER_ACC_MAX;
	for (size_t i = 0; !in->bad && i < count; i++) {
		uint64_t stamp;

		s->acc[i].id = get16(in);
		stamp = number(in);
		s->acc[i].stamp = (uint32_t)(stamp >> 1);
		in->bad = in->bad || stamp >> 33 != 0;
		if (stamp & 1)
			s->acc[i].card = get32(in);
		s->acc[i].value = zigzag_back(number(in));
	}
}

static bool account_zero(const struct rider_acc *a) { return (a->id | a->stamp | a->card) == 0 && a->value == 0; }

/* Most riders have none, which is soon seen. */
unsigned rider_state_accounts(const struct rider_state *s)
{
	static const struct rider_acc none[RIDER_ACC_MAX];
	unsigned n = memcmp(s->acc, none, sizeof(none)) == 0 ? 0 : RIDER_ACC_MAX;

	while (n > 0 && account_zero(&s->acc[n - 1]))
		n--;
	return n;
}

size_t rider_state_pack(const struct rider_state *s, int64_t near_ms, uint8_t ret_bytes[RIDER_STATE_BYTES_MAX])
{
	size_t accounts = rider_state_accounts(s);
	uint32_t mask = 0;
	uint8_t *p;

#define BIT(name) mask |= (uint32_t)(accounts > 0) << BIT_##name;
#define X(field, kind) mask |= (uint32_t)(s->field != 0) << BIT_##field;
#define SAME(field, as) mask |= (uint32_t)(s->field != 0 && s->field == s->as) << SAME_##field;
	STATE_FIELDS(X, SAME)
#undef BIT
#undef X
#undef SAME
#define BIT(name)
#define X(field, kind)
#define SAME(field, as) if (mask & 1u << SAME_##field) mask &= ~(1u << BIT_##field);
	STATE_FIELDS(X, SAME)
#undef BIT
#undef X
#undef SAME
	p = ret_bytes + varnum_put(ret_bytes, mask);
#define BIT(name) if (mask & 1u << BIT_##name) p = accounts_put(p, s, accounts);
#define X(field, kind) if (mask & 1u << BIT_##field) p = field_put(p, kind, (int64_t)s->field, near_ms);
#define SAME(field, as)
	STATE_FIELDS(X, SAME)
#undef BIT
#undef X
#undef SAME
	assert(p <= ret_bytes + RIDER_STATE_BYTES_MAX);
	return (size_t)(p - ret_bytes);
}

size_t rider_state_unpack(const uint8_t *bytes, size_t n, int64_t near_ms, struct rider_state *ret_state)
{
	struct in in = { bytes, bytes + n, false };
	uint64_t mask = number(&in);
	struct rider_state s;

	memset(&s, 0, sizeof(s));
	if (mask >> STATE_BITS != 0)
		return 0;
#define BIT(name) if (mask & 1u << BIT_##name) accounts_get(&in, &s);
#define X(field, kind) if (mask & 1u << BIT_##field) s.field = (__typeof__(s.field))field_get(&in, kind, near_ms);
#define SAME(field, as) if (mask & 1u << SAME_##field) s.field = s.as;
	STATE_FIELDS(X, SAME)
#undef BIT
#undef X
#undef SAME
	if (in.bad)
		return 0;
	*ret_state = s;
	return (size_t)(in.p - bytes);
}
