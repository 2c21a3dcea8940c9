/*
 * tap_codec - the tap record to bytes and back, driven by the one field table in validator.h.
 *
 * Decoding is verify-as-received: nothing is re-encoded to be checked. A record of a later version has
 * more fields; they are skipped; one of version 1 has fewer, and tells nothing of them. docs/tap-format.md shows the bytes.
 */
#include "validator/cursor.h"

#include "keys/octets.h"

#include <assert.h>
#include <endian.h>
#include <stddef.h>
#include <string.h>

#include "validator/tap_sane.h"

#define TAP_PUT_UINT(name, arg)	put_uint(&c, tap->name);
#define TAP_PUT_INT(name, arg)	put_int(&c, tap->name);
#define TAP_PUT_BIN(name, arg)	put_bin(&c, tap->name, arg);
#define TAP_PUT_VAR(name, arg) \
	if (tap->name.n > (arg)) \
		return TAP_E_RANGE; \
	put_bin(&c, tap->name.p, tap->name.n);
#define TAP_PUT_STR(name, arg)	put_str(&c, tap->name);
#define TAP_PUT_FIELD(name, type, arg, text) TAP_PUT_##type(name, arg)

int tap_encode(const struct tap *tap, uint8_t *out, size_t out_bytes)
{
	struct writer_cursor c = { out, out + out_bytes, 0 };

	put_array(&c, TAP_FIELD_COUNT);
	TAP_FIELDS(TAP_PUT_FIELD)
	return c.error != 0 ? c.error : (int)(c.p - out);
}

#define TAP_GET_UINT(name, arg)	t.name = (uint32_t)cursor_uint(&c, arg);
#define TAP_GET_INT(name, arg)	t.name = cursor_int(&c);
#define TAP_GET_BIN(name, arg)	cursor_bin_exact(&c, t.name, arg);
#define TAP_GET_VAR(name, arg)	t.name.p = cursor_bin(&c, &t.name.n, arg);
#define TAP_GET_STR(name, arg)	cursor_str(&c, t.name, arg);
#define TAP_GET_FIELD(name, type, arg, text) \
	if (c.error == 0) { \
		TAP_GET_##type(name, arg) \
		if (c.error != 0) \
			field = #name; \
	}

/* ---- as our encoder writes ------------------------------------------------------------------------------------ */

/*
 * A record of the newest fields in short forms, as nearly all are: read by a pointer that nothing else sees, so that it stays in a
 * register. False for whatever is otherwise, be it right or wrong: the readers of cursor.h tell that.
 *
 * It is read from a copy with bytes behind it that no msgpack value begins with. So whoever runs over the end by one value, of which the
 * longest is a text, stops at the next, and where the record ends is asked once. The code has a length of its own and is looked at as it is read.
 */
#define QUICK static inline __attribute__((always_inline)) bool

#define QUICK_TEXT_MAX 31
#define QUICK_NEVER 0xC1
#define QUICK_OVER 64

QUICK quick_int(const uint8_t **p, uint64_t *ret)
{
	const uint8_t *q = *p;

	if (q[0] <= 0x7F) {
		*ret = q[0];
		*p = q + 1;
	} else if (q[0] == 0xCD) {
		*ret = be16_get(q + 1);
		*p = q + 3;
	} else if (q[0] == 0xCF) {
		*ret = be64_get(q + 1);
		*p = q + 9;
		return *ret <= INT64_MAX;
	} else if (q[0] == 0xCC) {
		*ret = q[1];
		*p = q + 2;
	} else {
		*ret = be32_get(q + 1);
		*p = q + 5;
		return q[0] == 0xCE;
	}
	return true;
}

/* max is known where this is inlined: numbers of one or two bytes are within most. */
QUICK quick_uint(const uint8_t **p, uint64_t max, uint32_t *ret)
{
	const uint8_t *q = *p;

	if (__builtin_expect(q[0] <= 0x7F, 1)) {
		*ret = q[0];
		*p = q + 1;
		return q[0] <= max;
	}
	if (__builtin_expect(q[0] == 0xCD, 1)) {
		*ret = be16_get(q + 1);
		*p = q + 3;
	} else if (q[0] == 0xCE) {
		*ret = be32_get(q + 1);
		*p = q + 5;
	} else {
		*ret = q[1];
		*p = q + 2;
		return q[0] == 0xCC && *ret <= max;
	}
	return *ret <= max;
}

QUICK quick_bin(const uint8_t **p, uint8_t *out, uint32_t n)
{
	const uint8_t *q = *p;

	if (be16_get(q) != (0xC400 | n))
		return false;
	memcpy(out, q + 2, n);
	*p = q + n + 2;
	return true;
}

QUICK quick_var(const uint8_t **p, const uint8_t *end, const uint8_t **ret, uint32_t *ret_bytes)
{
	const uint8_t *q = *p;

	if (q[0] != 0xC4 || end - q - 2 < q[1])
		return false;
	*ret = q + 2;
	*ret_bytes = q[1];
	*p = q + 2 + q[1];
	return true;
}

/* Which of sixteen bytes are a text's: those of a place here n before the middle. */
static const uint8_t text_mask[32] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };

static inline uint64_t octets8(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* Tops of bytes that are above 0x7F or 0, and of none before the first of them. */
static inline uint64_t not_ascii(uint64_t v) { return (v | (v - 0x0101010101010101)) & 0x8080808080808080; }

/* Of n bytes, 16 at most, of as many as there are to be read: signs of one byte, before them one Chinese sign, as plates have, or none. They
 * and nothing else are put out, where there is room for 16. */
QUICK quick_text(const uint8_t *p, uint32_t n, char *out)
{
	uint64_t of[2] = { octets8(text_mask + 16 - n), octets8(text_mask + 24 - n) }, v[2] = { octets8(p) & of[0], octets8(p + 8) & of[1] };
	uint64_t low = not_ascii(v[0]) & of[0], high = not_ascii(v[1]) & of[1], text[2] = { htole64(v[0]), htole64(v[1]) };

	memcpy(out, text, sizeof(text));
	if ((low | high) == 0)
		return true;
	if (n < 3 || (v[0] & 0xC0C0F0) != 0x8080E0 || (v[0] & 0xFF) < 0xE4 || (v[0] & 0xFF) > 0xE9)
		return false;
	return (low >> 24 | high) == 0;
}

/* A short text lies there with nothing behind it but zeros. */
QUICK quick_str(const uint8_t **p, char *out, uint32_t bytes_max)
{
	const uint8_t *q = *p;
	uint32_t n = q[0] ^ 0xA0u;

	if (n == 0) {
		memset(out, 0, 16);
		*p = q + 1;
		return true;
	}
	if (n > QUICK_TEXT_MAX || n > bytes_max)
		return false;
	if (n <= 16) {
		if (!quick_text(q + 1, n, out) && !utf8_valid(q + 1, n))
			return false;
	} else {
		if (!utf8_valid(q + 1, n))
			return false;
		memcpy(out, q + 1, n);
	}
	out[n] = '\0';
	*p = q + 1 + n;
	return true;
}

#define TAP_QUICK_UINT(name, arg)	if (!quick_uint(&p, arg, &t->name)) return false;
#define TAP_QUICK_INT(name, arg)	if (!quick_int(&p, &v)) return false; t->name = (int64_t)v;
#define TAP_QUICK_BIN(name, arg)	if (!quick_bin(&p, t->name, arg)) return false;
#define TAP_QUICK_VAR(name, arg)	if (!quick_var(&p, end, &t->name.p, &t->name.n)) return false; t->name.p = raw + (t->name.p - copy);
#define TAP_QUICK_STR(name, arg)	static_assert(sizeof(t->name) >= 16, "room for 16"); if (!quick_str(&p, t->name, arg)) return false;
#define TAP_QUICK_FIELD(name, type, arg, text) TAP_QUICK_##type(name, arg)

static_assert(TAP_FIELD_COUNT > 15 && TAP_FIELD_COUNT < 256, "an array of two bytes of length");

static bool tap_quick(const uint8_t *raw, size_t n, struct tap *t)
{
	uint8_t copy[TAP_ENCODED_BYTES_MAX + QUICK_OVER];
	const uint8_t *p = copy + 3, *end;
	uint64_t v;

	if (n < 3 || n > TAP_ENCODED_BYTES_MAX || raw[0] != 0xDC || be16_get(raw + 1) != TAP_FIELD_COUNT)
		return false;
	end = copy + n;
	memcpy(copy, raw, n);
	memset(copy + n, QUICK_NEVER, QUICK_OVER);
	TAP_FIELDS(TAP_QUICK_FIELD)
	return p == end && t->version == TAP_VERSION;
}

/* ---- whatever came -------------------------------------------------------------------------------------------- */

#define TAP_ZERO_FIELD(name, type, arg, text) t.name = 0;

static int decode_any(const uint8_t *p, size_t n, struct tap *ret_tap, const char **ret_field)
{
	struct reader_cursor c = { p, p + n, 0 };
	const char *field = "array";
	uint32_t count = cursor_array(&c), known = count < TAP_FIELD_COUNT ? TAP_FIELD_COUNT_1 : TAP_FIELD_COUNT;
	struct tap t;

	if (c.error == 0 && count < TAP_FIELD_COUNT_1)
		c.error = TAP_E_SYNTAX;
	TAP_FIELDS_1(TAP_GET_FIELD)
	if (known == TAP_FIELD_COUNT) {
		TAP_FIELDS_2(TAP_GET_FIELD)
	} else {
		TAP_FIELDS_2(TAP_ZERO_FIELD)
	}
	if (c.error == 0 && (t.version < 1 || (t.version > 1 && count < TAP_FIELD_COUNT) || (t.version > TAP_VERSION && count == TAP_FIELD_COUNT))) {
		c.error = TAP_E_VERSION;
		field = "version";
	}
	for (uint32_t i = known; c.error == 0 && i < count; i++) {
		field = "later field";
		cursor_skip(&c);
	}
	if (c.error == 0 && c.p != c.end) {
		c.error = TAP_E_TRAILING;
		field = "end";
	}
	*ret_field = field;
	if (c.error == 0)
		*ret_tap = t;
	return c.error;
}

int tap_read(const uint8_t *p, size_t n, struct tap *ret_tap, const char **ret_field)
{
	int ret = tap_quick(p, n, ret_tap) ? 0 : decode_any(p, n, ret_tap, ret_field);
	const char *fault = ret == 0 ? tap_fault(ret_tap) : NULL;

	if (fault == NULL)
		return ret;
	*ret_field = fault;
	return TAP_E_RANGE;
}

int tap_decode(const uint8_t *p, size_t n, struct tap *ret_tap, const char **ret_field)
{
	struct tap t;
	int ret = tap_read(p, n, &t, ret_field);

	if (ret == 0)
		*ret_tap = t;
	return ret;
}
