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
 * A record of the newest fields in the shortest forms, as nearly all are: read by a pointer that nothing else sees, so that it
 * stays in a register. False for whatever is otherwise, be it right or wrong: the readers of cursor.h tell that.
 */
#define QUICK static inline __attribute__((always_inline)) bool

QUICK quick_int(const uint8_t **p, const uint8_t *end, int64_t *ret)
{
	const uint8_t *q = *p;
	uint64_t v;

	if (q < end && q[0] <= 0x7F) {
		*ret = q[0];
		*p = q + 1;
		return true;
	}
	if (end - q >= 2 && q[0] == 0xCC) {
		*ret = q[1];
		*p = q + 2;
		return true;
	}
	if (end - q >= 3 && q[0] == 0xCD) {
		*ret = q[1] << 8 | q[2];
		*p = q + 3;
		return true;
	}
	if (end - q >= 5 && q[0] == 0xCE) {
		*ret = be_read(q + 1, 4);
		*p = q + 5;
		return true;
	}
	if (end - q < 9 || q[0] != 0xCF || q[1] > 0x7F)
		return false;
	memcpy(&v, q + 1, sizeof(v));
	*ret = (int64_t)be64toh(v);
	*p = q + 9;
	return true;
}

QUICK quick_uint(const uint8_t **p, const uint8_t *end, uint64_t max, uint32_t *ret)
{
	int64_t v;

	if (!quick_int(p, end, &v) || (uint64_t)v > max)
		return false;
	*ret = (uint32_t)v;
	return true;
}

QUICK quick_bin(const uint8_t **p, const uint8_t *end, uint8_t *out, uint32_t n)
{
	const uint8_t *q = *p;

	if (end - q < (ptrdiff_t)n + 2 || q[0] != 0xC4 || q[1] != n)
		return false;
	memcpy(out, q + 2, n);
	*p = q + n + 2;
	return true;
}

QUICK quick_var(const uint8_t **p, const uint8_t *end, const uint8_t **ret, uint32_t *ret_bytes)
{
	const uint8_t *q = *p;

	if (end - q < 2 || q[0] != 0xC4 || end - q - 2 < q[1])
		return false;
	*ret = q + 2;
	*ret_bytes = q[1];
	*p = q + 2 + q[1];
	return true;
}

/* Of at most 31 bytes. */
QUICK quick_str(const uint8_t **p, const uint8_t *end, char *out, uint32_t bytes_max)
{
	const uint8_t *q = *p;
	uint32_t n = q < end ? q[0] ^ 0xA0u : 32;

	if (n > 31 || n > bytes_max || end - q - 1 < (ptrdiff_t)n)
		return false;
	if (!utf8_valid(q + 1, n))
		return false;
	memcpy(out, q + 1, n);
	out[n] = '\0';
	*p = q + 1 + n;
	return true;
}

#define TAP_QUICK_UINT(name, arg)	if (!quick_uint(&p, end, arg, &v)) return false; t->name = v;
#define TAP_QUICK_INT(name, arg)	if (!quick_int(&p, end, &t->name)) return false;
#define TAP_QUICK_BIN(name, arg)	if (!quick_bin(&p, end, t->name, arg)) return false;
#define TAP_QUICK_VAR(name, arg)	if (!quick_var(&p, end, &t->name.p, &t->name.n)) return false;
#define TAP_QUICK_STR(name, arg)	if (!quick_str(&p, end, t->name, arg)) return false;
#define TAP_QUICK_FIELD(name, type, arg, text) TAP_QUICK_##type(name, arg)

static_assert(TAP_FIELD_COUNT > 15 && TAP_FIELD_COUNT < 256, "an array of two bytes of length");

static bool tap_quick(const uint8_t *p, const uint8_t *end, struct tap *t)
{
	uint32_t v;

	if (end - p < 3 || p[0] != 0xDC || p[1] != 0 || p[2] != TAP_FIELD_COUNT)
		return false;
	p += 3;
	TAP_FIELDS(TAP_QUICK_FIELD)
	return p == end && t->version == TAP_VERSION;
}

/* ---- whatever came -------------------------------------------------------------------------------------------- */

#define TIME_MS_MIN 946684800000LL	/* 2000-01-01 */
#define TIME_MS_MAX 4102444800000LL	/* 2100-01-01 */

#define BALANCE_FEN_MAX	0x7fffffffLL	/* a purse answers 4 bytes, the top one is no money */

static bool balance_valid(int64_t fen) { return fen >= -BALANCE_FEN_MAX && fen <= BALANCE_FEN_MAX; }

/* What the types alone cannot say. NULL: sane; else the field at fault. */
static const char *tap_fault(const struct tap *t)
{
	if (!tap_kind_is_ride((uint8_t)t->kind) && t->kind != TAP_LOCK && (t->kind < TAP_SIGN_ON || t->kind > TAP_LINE_ON))
		return "kind";
	if (t->medium > MEDIUM_MANUAL || (t->medium == 0 && tap_kind_is_ride((uint8_t)t->kind)))
		return "medium";
	if (!bcd_valid(t->pan, sizeof(t->pan)))
		return "pan";
	if (!bcd_valid(t->issuer, sizeof(t->issuer)))
		return "issuer";
	if (!bcd_valid(t->terminal, sizeof(t->terminal)))
		return "terminal";
	if (!balance_valid(t->balance_before))
		return "balance_before";
	if (!balance_valid(t->balance_after))
		return "balance_after";
	if (t->time_ms < TIME_MS_MIN || t->time_ms >= TIME_MS_MAX)
		return "time_ms";
	if (t->start_ms != 0 && (t->start_ms > t->time_ms || t->start_ms < t->time_ms - TAP_RIDE_MS_MAX))
		return "start_ms";
	if (t->end_ms != 0 && (t->end_ms < t->time_ms || t->end_ms > t->time_ms + TAP_RIDE_MS_MAX))
		return "end_ms";
	return NULL;
}

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

int tap_decode(const uint8_t *p, size_t n, struct tap *ret_tap, const char **ret_field)
{
	struct tap t;
	int ret = tap_quick(p, p + n, &t) ? 0 : decode_any(p, n, &t, ret_field);
	const char *fault = ret == 0 ? tap_fault(&t) : NULL;

	if (fault != NULL) {
		*ret_field = fault;
		return TAP_E_RANGE;
	}
	if (ret == 0)
		*ret_tap = t;
	return ret;
}
