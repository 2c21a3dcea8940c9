/* Records read by the forms of others: whatever comes after whatever, tap_like_read() says what tap_read() says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keys/octets.h"
#include "tests/unit/tap_sample.h"

static struct tap_forms forms;

static void forget(void) { memset(&forms, 0, sizeof(forms)); }

static unsigned forms_known(void)
{
	unsigned known = 0;

	for (unsigned i = 0; i < TAP_FORM_SETS; i++)
		for (unsigned k = 0; k < TAP_FORMS_OF_SET; k++)
			known += forms.set[i].bytes[k] != 0;
	return known;
}

/* ---- what both say --------------------------------------------------------------------------------------------- */

#define SAME_UINT(name)	assert_int_equal(a->name, b->name);
#define SAME_INT(name)	assert_true(a->name == b->name);
#define SAME_BIN(name)	assert_memory_equal(a->name, b->name, sizeof(a->name));
#define SAME_VAR(name)	assert_ptr_equal(a->name.p, b->name.p); assert_int_equal(a->name.n, b->name.n);
#define SAME_STR(name)	assert_string_equal(a->name, b->name);
#define SAME(name, type, arg, text) SAME_##type(name)

static void taps_same(const struct tap *a, const struct tap *b)
{
	TAP_FIELDS(SAME)
}

#define PLAIN_UINT(name)
#define PLAIN_INT(name)	if (t->name < 0) return false;
#define PLAIN_BIN(name)
#define PLAIN_VAR(name)	if (t->name.n > 255) return false;
#define PLAIN_STR(name)	if (strlen(t->name) > 31) return false;
#define PLAIN(name, type, arg, text) PLAIN_##type(name)

/* Read the usual way by tap_read() itself: what it leaves behind short texts is known. */
static bool is_plain(const struct tap *t, const uint8_t *p, size_t n)
{
	uint8_t again[TAP_ENCODED_BYTES_MAX];

	TAP_FIELDS(PLAIN)
	return t->version == TAP_VERSION && sample_encode(t, again) == (int)n && memcmp(again, p, n) == 0;
}

static void ends_same(const struct tap *a, const struct tap *b)
{
	assert_memory_equal(a->line, b->line, 16);
	assert_memory_equal(a->vehicle, b->vehicle, 16);
	assert_memory_equal(a->series, b->series, 16);
}

/* Of exactly its bytes, so that a sanitizer sees a read past them; what lies in the memory before is no one's. */
static int both_read(const uint8_t *p, size_t n)
{
	uint8_t *exact = malloc(n > 0 ? n : 1);
	const char *a_field = "", *b_field = "";
	struct tap a, b;
	int code;

	assert_non_null(exact);
	memcpy(exact, p, n);
	memset(&a, 0x5A, sizeof(a));
	memset(&b, 0xA5, sizeof(b));
	code = tap_read(exact, n, &a, &a_field);
	assert_int_equal(tap_like_read(&forms, exact, n, &b, &b_field), code);
	if (code == 0) {
		taps_same(&a, &b);
		if (is_plain(&a, exact, n))
			ends_same(&a, &b);
	} else {
		assert_string_equal(a_field, b_field);
	}
	free(exact);
	return code;
}

/* ---- records that change --------------------------------------------------------------------------------------- */

/* About where a number takes more bytes, or is one too many. */
static uint64_t number_draw(void)
{
	static const uint64_t border[] = { 0, 15, 128, 256, 65536, 0x80000000, 0x100000000, SAMPLE_TIME_MS, 946684800000, 4102444800000, 0x8000000000000000 };
	uint64_t v = border[sample_random() % (sizeof(border) / sizeof(border[0]))];

	return v + sample_below(4) - 2;
}

static void text_draw(char *out, size_t room)
{
	static const char *const text[] = { "", "1", "2", "105区间", "赣B12345", "赣B54321", "京A12345", "abcdefghi", "abcdefghijklmno", "\xed\xa0\x80", "\xc3(", "\xe4\xb8",
					    "a line of seventeen", "a line of 17 bytes", "the longest that is short: here.", "one of more than thirty-one bytes, that is." };

	snprintf(out, room, "%s", text[sample_random() % (sizeof(text) / sizeof(text[0]))]);
}

static void bytes_draw(uint8_t *p, size_t n)
{
	sample_bcd(p, n);
	if (sample_below(20) == 0)
		p[sample_below((uint32_t)n)] = (uint8_t)sample_random();
}

static uint8_t code_bytes[TAP_QR_BYTES_MAX];

#define DRAW_UINT(name)	t->name = (uint32_t)number_draw();
#define DRAW_INT(name)	t->name = (int64_t)number_draw();
#define DRAW_BIN(name)	bytes_draw(t->name, sizeof(t->name));
#define DRAW_VAR(name)	t->name.p = code_bytes; t->name.n = sample_below(8) == 0 ? sample_below(sizeof(code_bytes)) : 0;
#define DRAW_STR(name)	text_draw(t->name, sizeof(t->name));
#define DRAW(name, type, arg, text) if (nth-- == 0) { DRAW_##type(name) }

static void field_draw(struct tap *t)
{
	uint32_t nth = sample_below(TAP_FIELD_COUNT);

	TAP_FIELDS(DRAW)
}

/* How many widths above what it needs each number is written in. */
static uint8_t wider[TAP_FIELD_COUNT];

static uint8_t *number_put(uint8_t *p, int64_t v, unsigned more)
{
	unsigned need = v < 0 ? 4 : v <= 0x7F ? 0 : v <= 0xFF ? 1 : v <= 0xFFFF ? 2 : v <= 0xFFFFFFFF ? 3 : 4, k = need + more < 4 ? need + more : 4;

	*p++ = k == 0 ? (uint8_t)v : v < 0 ? 0xD3 : (uint8_t)(0xCB + k);
	for (int i = k == 0 ? -1 : (1 << (k - 1)) - 1; i >= 0; i--)
		*p++ = (uint8_t)((uint64_t)v >> 8 * i);
	return p;
}

static uint8_t *bytes_put(uint8_t *p, const void *from, size_t n, bool text)
{
	if (text && n < 32) {
		*p++ = (uint8_t)(0xA0 + n);
	} else if (n < 256) {
		*p++ = text ? 0xD9 : 0xC4;
		*p++ = (uint8_t)n;
	} else {
		*p++ = 0xC5;
		be16_put(p, (uint16_t)n);
		p += 2;
	}
	if (n > 0)
		memcpy(p, from, n);
	return p + n;
}

#define WIDE_UINT(name)	p = number_put(p, t->name, wider[i]);
#define WIDE_INT(name)	p = number_put(p, t->name, wider[i]);
#define WIDE_BIN(name)	p = bytes_put(p, t->name, sizeof(t->name), false);
#define WIDE_VAR(name)	p = bytes_put(p, t->name.p, t->name.n, false);
#define WIDE_STR(name)	p = bytes_put(p, t->name, strlen(t->name), true);
#define WIDE(name, type, arg, text) WIDE_##type(name) i++;

/* As another encoder may write it. */
static int wide_encode(const struct tap *t, uint8_t *out)
{
	uint8_t *p = out;
	unsigned i = 0;

	*p++ = 0xDC;
	be16_put(p, TAP_FIELD_COUNT);
	p += 2;
	TAP_FIELDS(WIDE)
	return (int)(p - out);
}

/* As the next of the same device mostly is. */
static void usual_draw(struct tap *t)
{
	t->terminal_serial++;
	t->time_ms += sample_below(60000);
	t->card_counter = sample_below(sample_below(2) == 0 ? 300 : 65536);
	t->balance_before = sample_below(sample_below(2) == 0 ? 300 : 100000);
	t->amount_fen = sample_below(300);
	sample_bcd(t->pan, sizeof(t->pan));
	for (size_t i = 0; i < sizeof(t->tac); i++)
		t->tac[i] = (uint8_t)sample_random();
}

/* The bytes of a record, harmed or of another version, and how many they are now. */
static size_t harm(uint8_t *p, size_t n)
{
	switch (sample_below(5)) {
	case 0:
		for (uint32_t k = 1 + sample_below(3); k > 0; k--)
			p[sample_below((uint32_t)n)] = (uint8_t)sample_random();
		return n;
	case 1:
		p[sample_below((uint32_t)n)] ^= (uint8_t)(1 << sample_below(8));
		return n;
	case 2:
		return sample_below((uint32_t)n);
	case 3:
		p[n] = (uint8_t)sample_random();
		p[2] = (uint8_t)(p[2] + sample_below(2));
		p[3] = (uint8_t)(p[3] + sample_below(2));
		return n + 1;
	default:
		p[2] = TAP_FIELD_COUNT_1;
		p[3] = (uint8_t)sample_below(3);
		return n - 2;
	}
}

static void any_record_after_any_other_says_what_it_says_alone(void **state)
{
	unsigned good = 0, bad = 0;
	struct tap tap = sample_tap();

	(void)state;
	forget();
	for (unsigned i = 0; i < 1200000; i++) {
		uint8_t p[2 * TAP_ENCODED_BYTES_MAX];
		struct tap next = tap;
		int n, code;

		usual_draw(&next);
		if (sample_below(4) == 0)
			field_draw(&next);
		if (sample_below(300) == 0)
			memset(wider, 0, sizeof(wider));
		if (sample_below(100) == 0)
			wider[sample_below(TAP_FIELD_COUNT)] = (uint8_t)sample_below(3);
		n = wide_encode(&next, p);
		code = both_read(p, sample_below(6) == 0 ? harm(p, (size_t)n) : (size_t)n);
		good += code == 0;
		bad += code != 0;
		if (code == 0)
			tap = next;
		if (sample_below(200) == 0)
			tap = sample_below(2) == 0 ? sample_tap() : sample_random_tap();
	}
	print_message("# %u good, %u bad\n", good, bad);
	assert_true(good > 600000 && bad > 100000);
}

static void each_bit_of_a_record_flipped_says_what_it_says_alone(void **state)
{
	struct tap tap = sample_tap();
	uint8_t p[TAP_ENCODED_BYTES_MAX];

	(void)state;
	for (int run = 0; run < 20; run++) {
		int n = sample_encode(&tap, p);

		forget();
		for (int i = 0; i < 20; i++)
			assert_int_equal(both_read(p, (size_t)n), 0);
		for (int bit = 0; bit < 8 * n; bit++) {
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			both_read(p, (size_t)n);
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(both_read(p, (size_t)n), 0);
		}
		usual_draw(&tap);
		if (run % 3 == 2)
			snprintf(tap.line, sizeof(tap.line), "%.*s", run + 11, "0123456789abcdefghijklmnopqrstuvwxyz");
	}
}

/* Records of a device are read by few forms, those of others with other texts by the same. */
static void devices_that_differ_in_their_texts_share_their_forms(void **state)
{
	uint8_t p[TAP_ENCODED_BYTES_MAX];
	struct tap tap = sample_tap();
	unsigned known;

	(void)state;
	forget();
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(tap.vehicle, sizeof(tap.vehicle), "赣B%05u", i / 10);
		snprintf(tap.line, sizeof(tap.line), "%u", 100 + i % 7);
		tap.time_ms++;
		assert_int_equal(both_read(p, (size_t)sample_encode(&tap, p)), 0);
	}
	known = forms_known();
#ifdef __x86_64__
	if (__builtin_cpu_supports("ssse3"))
		assert_int_equal(known, 1);
#endif
	assert_true(known <= 1);
}

static void nothing_at_all_is_refused_whatever_was_before(void **state)
{
	uint8_t p[TAP_ENCODED_BYTES_MAX];
	struct tap tap = sample_tap();

	(void)state;
	forget();
	tap.balance_after = -1;		/* of which there is no form */
	for (unsigned i = 0; i < 1000; i++) {
		usual_draw(&tap);
		both_read(p, (size_t)sample_encode(&tap, p));
		assert_int_equal(both_read(p, 0), TAP_E_TRUNCATED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_record_after_any_other_says_what_it_says_alone),
		cmocka_unit_test(each_bit_of_a_record_flipped_says_what_it_says_alone),
		cmocka_unit_test(devices_that_differ_in_their_texts_share_their_forms),
		cmocka_unit_test(nothing_at_all_is_refused_whatever_was_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
