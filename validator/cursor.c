/*
 * cursor - see cursor.h. Every length is compared with the bytes that are there before it is believed:
 * five bytes that claim 268 million elements are refused, not reserved.
 */
#include "validator/cursor.h"

#include <endian.h>
#include <string.h>

static void fail(struct reader_cursor *c, int error)
{
	if (c->error == 0)
		c->error = error;
}

static inline bool have(struct reader_cursor *c, uint64_t n)
{
	if (c->error != 0)
		return false;
	if ((uint64_t)(c->end - c->p) < n) {
		fail(c, TAP_E_TRUNCATED);
		return false;
	}
	return true;
}

/* n is 1, 2, 4 or 8, mostly known where this is inlined. */
static inline uint64_t take(struct reader_cursor *c, unsigned n)
{
	const uint8_t *p = c->p;
	uint64_t v = 0;

	if (!have(c, n))
		return 0;
	c->p += n;
	switch (n) {
	case 1: return p[0];
	case 2: return (uint64_t)p[0] << 8 | p[1];
	case 4: return (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
	default:
		memcpy(&v, p, sizeof(v));
		return be64toh(v);
	}
}

uint32_t cursor_array(struct reader_cursor *c)
{
	uint8_t b = (uint8_t)take(c, 1);
	uint64_t n;

	if (c->error != 0)
		return 0;
	if ((b & 0xF0) == 0x90)
		n = b & 15;
	else if (b == 0xDC)
		n = take(c, 2);
	else if (b == 0xDD)
		n = take(c, 4);
	else
		return fail(c, TAP_E_SYNTAX), 0;
	if (c->error == 0 && n > (uint64_t)(c->end - c->p))
		fail(c, TAP_E_DEPTH);
	return c->error == 0 ? (uint32_t)n : 0;
}

int64_t cursor_int_any(struct reader_cursor *c)
{
	uint8_t b = (uint8_t)take(c, 1);
	uint64_t v;

	if (c->error != 0)
		return 0;
	if (b <= 0x7F)
		return b;
	if (b >= 0xE0)
		return (int8_t)b;
	switch (b) {
	case 0xCC: return (int64_t)take(c, 1);
	case 0xCD: return (int64_t)take(c, 2);
	case 0xCE: return (int64_t)take(c, 4);
	case 0xCF:
		v = take(c, 8);
		if (v > INT64_MAX)
			fail(c, TAP_E_RANGE);
		return c->error == 0 ? (int64_t)v : 0;
	case 0xD0: return (int8_t)take(c, 1);
	case 0xD1: return (int16_t)take(c, 2);
	case 0xD2: return (int32_t)take(c, 4);
	case 0xD3: return (int64_t)take(c, 8);
	default:
		fail(c, TAP_E_SYNTAX);
		return 0;
	}
}

uint64_t cursor_uint_any(struct reader_cursor *c, uint64_t max)
{
	int64_t v = cursor_int_any(c);

	if (c->error == 0 && (v < 0 || (uint64_t)v > max))
		fail(c, TAP_E_RANGE);
	return c->error == 0 ? (uint64_t)v : 0;
}

const uint8_t *cursor_bin(struct reader_cursor *c, uint32_t *ret_bytes, uint32_t max)
{
	uint8_t b = (uint8_t)take(c, 1);
	const uint8_t *p = c->p;
	uint64_t n;

	*ret_bytes = 0;
	if (c->error != 0)
		return p;
	if (b < 0xC4 || b > 0xC6)
		return fail(c, TAP_E_SYNTAX), p;
	n = take(c, 1u << (b - 0xC4));
	if (!have(c, n))
		return p;
	if (n > max)
		return fail(c, TAP_E_RANGE), p;
	p = c->p;
	c->p += n;
	*ret_bytes = (uint32_t)n;
	return p;
}

void cursor_bin_any(struct reader_cursor *c, uint8_t *out, uint32_t n)
{
	uint32_t got;
	const uint8_t *p = cursor_bin(c, &got, n);

	if (c->error == 0 && got != n)
		fail(c, TAP_E_RANGE);
	if (c->error == 0)
		memcpy(out, p, n);
}

bool utf8_valid(const uint8_t *p, size_t n)
{
	size_t i = 0;
	uint64_t v;

	for (; n - i >= sizeof(v); i += sizeof(v)) {	/* eight bytes of ASCII, none of them NUL */
		memcpy(&v, p + i, sizeof(v));
		if (((v | (v - 0x0101010101010101)) & 0x8080808080808080) != 0)
			break;
	}
	while (i < n) {
		uint8_t b = p[i];
		unsigned more;

		if (b > 0 && b < 0x80) {
			i++;
			continue;
		}
		more = b < 0x80 ? 0 : b >= 0xC2 && b <= 0xDF ? 1 : (b & 0xF0) == 0xE0 ? 2 : b >= 0xF0 && b <= 0xF4 ? 3 : 9;

		if (b == 0 || more == 9 || more >= n - i)
			return false;
		for (unsigned k = 1; k <= more; k++)
			if ((p[i + k] & 0xC0) != 0x80)
				return false;
		if ((b == 0xE0 && p[i + 1] < 0xA0) || (b == 0xED && p[i + 1] > 0x9F) || (b == 0xF0 && p[i + 1] < 0x90) ||
		    (b == 0xF4 && p[i + 1] > 0x8F))
			return false;
		i += more + 1;
	}
	return true;
}

void cursor_str(struct reader_cursor *c, char *out, uint32_t bytes_max)
{
	uint8_t b = (uint8_t)take(c, 1);
	uint64_t n;

	if (c->error != 0)
		return;
	if ((b & 0xE0) == 0xA0)
		n = b & 31;
	else if (b >= 0xD9 && b <= 0xDB)
		n = take(c, 1u << (b - 0xD9));
	else {
		fail(c, TAP_E_SYNTAX);
		return;
	}
	if (!have(c, n))
		return;
	if (n > bytes_max || !utf8_valid(c->p, n)) {
		fail(c, TAP_E_RANGE);
		return;
	}
	memcpy(out, c->p, n);
	out[n] = '\0';
	c->p += n;
}

bool cursor_bool(struct reader_cursor *c)
{
	uint8_t b = (uint8_t)take(c, 1);

	if (c->error == 0 && b != 0xC2 && b != 0xC3)
		fail(c, TAP_E_SYNTAX);
	return b == 0xC3;
}

/* Bytes a value's head says it has, and how many values follow inside it. */
static bool head(struct reader_cursor *c, uint64_t *ret_bytes, uint64_t *ret_values)
{
	uint8_t b = (uint8_t)take(c, 1);
	static const uint8_t fixed[] = { /* ca */ 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17 };

	*ret_bytes = 0;
	*ret_values = 0;
	if (c->error != 0)
		return false;
	if (b <= 0x7F || b >= 0xE0 || b == 0xC0 || b == 0xC2 || b == 0xC3)
		return true;
	if (b <= 0x8F)
		*ret_values = 2u * (b & 15);
	else if (b <= 0x9F)
		*ret_values = b & 15;
	else if (b <= 0xBF)
		*ret_bytes = b & 31;
	else if (b == 0xC1)
		fail(c, TAP_E_SYNTAX);
	else if (b <= 0xC6)
		*ret_bytes = take(c, 1u << (b - 0xC4));
	else if (b <= 0xC9)
		*ret_bytes = take(c, 1u << (b - 0xC7)) + 1;
	else if (b <= 0xD8)
		*ret_bytes = fixed[b - 0xCA];
	else if (b <= 0xDB)
		*ret_bytes = take(c, 1u << (b - 0xD9));
	else if (b <= 0xDD)
		*ret_values = take(c, b == 0xDC ? 2 : 4);
	else
		*ret_values = 2 * take(c, b == 0xDE ? 2 : 4);
	return c->error == 0;
}

#define WALK_DEPTH_MAX 8

static void walk(struct reader_cursor *c, unsigned depth_max)
{
	uint64_t left[WALK_DEPTH_MAX + 1] = { 1 };
	unsigned depth = 0;

	while (c->error == 0) {
		uint64_t bytes, values;

		while (left[depth] == 0) {
			if (depth == 0)
				return;
			depth--;
		}
		left[depth]--;
		if (!head(c, &bytes, &values) || !have(c, bytes))
			return;
		c->p += bytes;
		if (values == 0)
			continue;
		if (depth == depth_max || values > (uint64_t)(c->end - c->p)) {
			fail(c, TAP_E_DEPTH);
			return;
		}
		left[++depth] = values;
	}
}

void cursor_skip(struct reader_cursor *c) { walk(c, WALK_DEPTH_MAX); }

int msgpack_walk(const uint8_t *p, size_t n, unsigned depth_max)
{
	struct reader_cursor c = { p, p + n, 0 };

	walk(&c, depth_max < WALK_DEPTH_MAX ? depth_max : WALK_DEPTH_MAX);
	return c.error != 0 ? c.error : c.p == c.end ? 0 : TAP_E_TRAILING;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void put_raw(struct writer_cursor *c, const void *p, size_t n)
{
	if (c->error == 0 && (size_t)(c->end - c->p) < n)
		c->error = TAP_E_SPACE;
	if (c->error != 0 || n == 0)
		return;
	memcpy(c->p, p, n);
	c->p += n;
}

static void put_head(struct writer_cursor *c, uint8_t b, uint64_t v, unsigned n)
{
	uint8_t head_bytes[9] = { b };

	for (unsigned i = 0; i < n; i++)
		head_bytes[1 + i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	put_raw(c, head_bytes, n + 1);
}

void put_array(struct writer_cursor *c, uint32_t count)
{
	if (count < 16)
		put_head(c, (uint8_t)(0x90 | count), 0, 0);
	else if (count <= 0xFFFF)
		put_head(c, 0xDC, count, 2);
	else
		put_head(c, 0xDD, count, 4);
}

void put_uint(struct writer_cursor *c, uint64_t v)
{
	if (v <= 0x7F)
		put_head(c, (uint8_t)v, 0, 0);
	else if (v <= 0xFF)
		put_head(c, 0xCC, v, 1);
	else if (v <= 0xFFFF)
		put_head(c, 0xCD, v, 2);
	else if (v <= 0xFFFFFFFF)
		put_head(c, 0xCE, v, 4);
	else
		put_head(c, 0xCF, v, 8);
}

void put_int(struct writer_cursor *c, int64_t v)
{
	if (v >= 0)
		put_uint(c, (uint64_t)v);
	else if (v >= -32)
		put_head(c, (uint8_t)v, 0, 0);
	else if (v >= INT8_MIN)
		put_head(c, 0xD0, (uint64_t)v, 1);
	else if (v >= INT16_MIN)
		put_head(c, 0xD1, (uint64_t)v, 2);
	else if (v >= INT32_MIN)
		put_head(c, 0xD2, (uint64_t)v, 4);
	else
		put_head(c, 0xD3, (uint64_t)v, 8);
}

void put_bin(struct writer_cursor *c, const void *p, uint32_t n)
{
	put_head(c, n <= 0xFF ? 0xC4 : n <= 0xFFFF ? 0xC5 : 0xC6, n, n <= 0xFF ? 1 : n <= 0xFFFF ? 2 : 4);
	put_raw(c, p, n);
}

void put_str(struct writer_cursor *c, const char *text)
{
	size_t n = strlen(text);

	if (n < 32)
		put_head(c, (uint8_t)(0xA0 | n), 0, 0);
	else
		put_head(c, n <= 0xFF ? 0xD9 : 0xDA, n, n <= 0xFF ? 1 : 2);
	put_raw(c, text, n);
}

void put_bool(struct writer_cursor *c, bool v) { put_head(c, v ? 0xC3 : 0xC2, 0, 0); }
