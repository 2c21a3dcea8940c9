/*
 * tap_codec - the tap record to bytes and back, driven by the one field table in validator.h.
 *
 * Decoding is verify-as-received: nothing is re-encoded to be checked. A record of a later version has
 * more fields; they are skipped; one of version 1 has fewer, and tells nothing of them. docs/tap-format.md shows the bytes.
 */
#include "validator/cursor.h"

#include "keys/octets.h"

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

int tap_decode(const uint8_t *p, size_t n, struct tap *ret_tap, const char **ret_field)
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
	if (c.error == 0 && (field = tap_fault(&t)) != NULL)
		c.error = TAP_E_RANGE;
	if (c.error != 0) {
		*ret_field = field;
		return c.error;
	}
	*ret_tap = t;
	return 0;
}
