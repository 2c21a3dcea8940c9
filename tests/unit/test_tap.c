/* The tap record: bytes there and back, every refusal with its field, keys and text forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <msgpack.h>

#include "tests/unit/tap_sample.h"

static uint8_t bytes[TAP_ENCODED_BYTES_MAX];

static int decode(const uint8_t *p, size_t n, struct tap *ret, const char **ret_field)
{
	*ret_field = "";
	return tap_decode(p, n, ret, ret_field);
}

/* Codes lie in the bytes that were decoded. */
static bool taps_equal(const struct tap *a, const struct tap *b)
{
	uint8_t x[TAP_ENCODED_BYTES_MAX], y[TAP_ENCODED_BYTES_MAX];
	int n = sample_encode(a, x), m = sample_encode(b, y);

	return n > 0 && n == m && memcmp(x, y, (size_t)n) == 0;
}

static void what_was_encoded_is_decoded(void **state)
{
	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct tap tap = sample_random_tap(), back;
		const char *field;
		int n = sample_encode(&tap, bytes);

		assert_true(n > 0);
		assert_int_equal(decode(bytes, (size_t)n, &back, &field), 0);
		assert_true(taps_equal(&tap, &back));
	}
}

#define PACK_UINT(name, arg)	msgpack_pack_uint32(&pk, t->name);
#define PACK_INT(name, arg)	msgpack_pack_int64(&pk, t->name);
#define PACK_BIN(name, arg)	msgpack_pack_bin(&pk, arg); msgpack_pack_bin_body(&pk, t->name, arg);
#define PACK_VAR(name, arg)	msgpack_pack_bin(&pk, t->name.n); msgpack_pack_bin_body(&pk, t->name.p, t->name.n);
#define PACK_STR(name, arg)	msgpack_pack_str(&pk, strlen(t->name)); msgpack_pack_str_body(&pk, t->name, strlen(t->name));
#define PACK_FIELD(name, type, arg, text) PACK_##type(name, arg)

static void pack_with_library(const struct tap *t, msgpack_sbuffer *out)
{
	msgpack_packer pk;

	msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
	msgpack_pack_array(&pk, TAP_FIELD_COUNT);
	TAP_FIELDS(PACK_FIELD)
}

/* The version in two bytes instead of one: the usual way of reading does not take such a record. */
static size_t widened(const uint8_t *p, size_t n, uint8_t *out)
{
	memcpy(out, p, 3);
	out[3] = 0xCC;
	memcpy(out + 4, p + 3, n - 3);
	return n + 1;
}

/* Texts of all lengths and kinds, among them some that are none, and codes. */
static void texts_vary(struct tap *tap)
{
	static const char *const plate[] = { "赣B12345", "赣", "", "京A1", "é1", "abcdefgh", "赣赣赣赣赣", "abcdefghijklmno", "1234567赣", "\xe4\xb8", "\xe9\xbf\xbf\xe4",
					     "\xe4\x80\x80\x01", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x90\x80\x80", "\xe3\x80\x80", "\xef\xbf\xbf" };
	static uint8_t code[300];

	snprintf(tap->vehicle, sizeof(tap->vehicle), "%s", plate[sample_random() % (sizeof(plate) / sizeof(plate[0]))]);
	memset(tap->line, 'x', sizeof(tap->line));
	tap->line[sample_random() % sizeof(tap->line)] = '\0';
	tap->qr.p = code;
	tap->qr.n = sample_below(sample_random() % 4 == 0 ? sizeof(code) : 8);
}

static void the_usual_way_of_reading_says_what_the_other_says_also_of_damaged_records(void **state)
{
	unsigned taken = 0, refused = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		static uint8_t wide[TAP_ENCODED_BYTES_MAX + 1];
		struct tap tap = sample_random_tap(), a, b;
		const char *a_field, *b_field;
		int a_code, b_code;
		size_t n;

		if (i % 2 == 0)
			texts_vary(&tap);
		n = (size_t)sample_encode(&tap, bytes);
		for (uint64_t k = sample_random() % 3; k > 0; k--)
			bytes[4 + sample_random() % (n - 4)] = (uint8_t)sample_random();
		n -= sample_random() % 8 == 0 ? sample_random() % (n / 2) : 0;
		a_code = decode(bytes, n, &a, &a_field);
		b_code = decode(wide, widened(bytes, n, wide), &b, &b_field);
		assert_int_equal(a_code, b_code);
		assert_string_equal(a_field, b_field);
		taken += a_code == 0;
		refused += a_code != 0;
		if (a_code == 0)
			assert_true(taps_equal(&a, &b));
	}
	assert_true(taken > 50000 && refused > 50000);
}

static void our_bytes_are_those_of_the_msgpack_library(void **state)
{
	uint8_t code[300];

	(void)state;
	memset(code, 0x5A, sizeof(code));
	for (int i = 0; i < 500; i++) {
		struct tap tap = sample_random_tap();
		msgpack_sbuffer out;
		int n;

		tap.qr.p = code;
		tap.qr.n = i % 3 == 0 ? sample_below(sizeof(code)) : 0;
		n = sample_encode(&tap, bytes);
		msgpack_sbuffer_init(&out);
		pack_with_library(&tap, &out);
		assert_int_equal(n, out.size);
		assert_memory_equal(bytes, out.data, out.size);
		msgpack_sbuffer_destroy(&out);
	}
}

static void the_example_of_the_document_is_this_record(void **state)
{
	uint8_t example[TAP_ENCODED_BYTES_MAX];
	struct tap tap = sample_tap();
	size_t n = sample_document_hex("docs/tap-format.md", "## Worked example", example, sizeof(example));

	(void)state;
	assert_int_equal(sample_encode(&tap, bytes), n);
	assert_memory_equal(bytes, example, n);
}

#define DOCUMENT_ROW(name, type, arg, text) "| `" #name "` | " #type " |",

static void the_document_lists_every_field_in_wire_order(void **state)
{
	static const char *const rows[] = { TAP_FIELDS(DOCUMENT_ROW) };
	char text[65536], row[96];
	FILE *f = fopen("docs/tap-format.md", "re");
	size_t n;
	const char *at = text;

	(void)state;
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	for (size_t i = 0; i < TAP_FIELD_COUNT; i++) {
		snprintf(row, sizeof(row), "| %zu %s", i, rows[i]);
		at = strstr(at, row);
		if (at == NULL)
			print_error("missing in the document, or out of order: %s\n", row);
		assert_non_null(at);
	}
}

static void a_record_cut_at_any_byte_is_refused(void **state)
{
	struct tap tap = sample_tap(), back;
	int n = sample_encode(&tap, bytes);
	const char *field;

	(void)state;
	for (int cut = 0; cut < n; cut++) {
		uint8_t *exact = malloc((size_t)cut + 1);	/* so that a sanitizer sees an overrun */

		memcpy(exact, bytes, (size_t)cut);
		assert_true(decode(exact, (size_t)cut, &back, &field) < 0);
		free(exact);
	}
}

static void fields_of_a_later_version_are_skipped(void **state)
{
	static const uint8_t later[] = { 0x93, 1, 0xA1, 'x', 0xC4, 2, 9, 9, 0xCB, 0, 0, 0, 0, 0, 0, 0, 0 };	/* [1,"x",bin] and a float */
	struct tap tap = sample_tap(), back;
	const char *field;
	int n;

	(void)state;
	tap.version = TAP_VERSION + 1;
	n = sample_encode(&tap, bytes);
	assert_int_equal(bytes[0], 0xDC);
	bytes[2] = (uint8_t)(bytes[2] + 2);
	memcpy(bytes + n, later, sizeof(later));
	assert_int_equal(decode(bytes, (size_t)n + sizeof(later), &back, &field), 0);
	assert_int_equal(back.version, TAP_VERSION + 1);
	assert_int_equal(back.amount_fen, tap.amount_fen);
}

static void a_later_version_without_later_fields_is_refused(void **state)
{
	struct tap tap = sample_tap(), back;
	const char *field;

	(void)state;
	for (uint32_t version = 0; version <= TAP_VERSION + 1; version += TAP_VERSION + 1) {
		tap.version = version;
		assert_int_equal(decode(bytes, (size_t)sample_encode(&tap, bytes), &back, &field), TAP_E_VERSION);
		assert_string_equal(field, "version");
	}
}

/* The sample as version 1 wrote it: without the two fields, each a byte, that version 2 appended. */
static size_t sample_of_version_1(uint32_t version)
{
	struct tap tap = sample_tap();
	int n;

	tap.version = version;
	n = sample_encode(&tap, bytes);
	assert_int_equal(bytes[2], TAP_FIELD_COUNT);
	bytes[2] = TAP_FIELD_COUNT_1;
	return (size_t)n - 2;
}

static void a_record_of_version_1_is_read_and_tells_neither_end_of_its_ride(void **state)
{
	struct tap tap = sample_tap(), back;
	const char *field;

	(void)state;
	memset(&back, 0xFF, sizeof(back));
	assert_int_equal(decode(bytes, sample_of_version_1(1), &back, &field), 0);
	assert_int_equal(back.version, 1);
	assert_int_equal(back.start_ms, 0);
	assert_int_equal(back.end_ms, 0);
	back.version = tap.version;
	assert_true(taps_equal(&tap, &back));
	assert_int_equal(decode(bytes, sample_of_version_1(2), &back, &field), TAP_E_VERSION);
	assert_string_equal(field, "version");
}

static void a_missing_field_is_refused(void **state)
{
	struct tap back;
	const char *field;
	size_t n = sample_of_version_1(1);

	(void)state;
	bytes[2]--;		/* one field less is claimed ... */
	assert_int_equal(decode(bytes, n - 1, &back, &field), TAP_E_SYNTAX);	/* ... and the last, an empty string, gone */
}

static void bytes_after_the_record_are_refused(void **state)
{
	struct tap tap = sample_tap(), back;
	const char *field;
	int n = sample_encode(&tap, bytes);

	(void)state;
	bytes[n] = 0xC0;
	assert_int_equal(decode(bytes, (size_t)n + 1, &back, &field), TAP_E_TRAILING);
}

static void refused(struct tap tap, const char *expected)
{
	struct tap back;
	const char *field;
	int n = sample_encode(&tap, bytes);

	assert_true(n > 0);
	assert_int_equal(decode(bytes, (size_t)n, &back, &field), TAP_E_RANGE);
	assert_string_equal(field, expected);
}

static void a_value_outside_its_bounds_names_its_field(void **state)
{
	struct tap t;

	(void)state;
	t = sample_tap(); t.kind = 11; refused(t, "kind");
	t = sample_tap(); t.kind = 300; refused(t, "kind");
	t = sample_tap(); t.medium = 0; refused(t, "medium");
	t = sample_tap(); t.medium = 7; refused(t, "medium");
	t = sample_tap(); t.flags = 65536; refused(t, "flags");
	t = sample_tap(); t.pan[9] = 0x1A; refused(t, "pan");
	t = sample_tap(); t.issuer[0] = 0xF2; refused(t, "issuer");
	t = sample_tap(); t.terminal[5] = 0x0F; refused(t, "terminal");
	t = sample_tap(); t.amount_fen = 0x80000000; refused(t, "amount_fen");
	t = sample_tap(); t.balance_before = INT64_MIN; refused(t, "balance_before");
	t = sample_tap(); t.balance_after = 0x80000000LL; refused(t, "balance_after");
	t = sample_tap(); t.time_ms = 946684800000LL - 1; refused(t, "time_ms");
	t = sample_tap(); t.time_ms = 4102444800000LL; refused(t, "time_ms");
	t = sample_tap(); t.start_ms = t.time_ms + 1; refused(t, "start_ms");
	t = sample_tap(); t.start_ms = t.time_ms - TAP_RIDE_MS_MAX - 1; refused(t, "start_ms");
	t = sample_tap(); t.end_ms = t.time_ms - 1; refused(t, "end_ms");
	t = sample_tap(); t.end_ms = t.time_ms + TAP_RIDE_MS_MAX + 1; refused(t, "end_ms");
	t = sample_tap(); memcpy(t.line, "\xC3(", 3); refused(t, "line");
	t = sample_tap(); memcpy(t.vehicle, "\xED\xA0\x80", 4); refused(t, "vehicle");
}

static void values_at_their_bounds_pass(void **state)
{
	struct tap t = sample_tap(), back;
	const char *field;

	(void)state;
	t.flags = 65535;
	t.amount_fen = 0x7fffffff;
	t.balance_before = 0x7fffffff;
	t.balance_after = -0x7fffffffLL;
	t.time_ms = 4102444800000LL - 1;
	memset(t.line, 'L', 47);
	memset(t.vehicle, 'V', 15);
	memset(t.series, 'S', 15);
	assert_int_equal(decode(bytes, (size_t)sample_encode(&t, bytes), &back, &field), 0);
	t.time_ms = 946684800000LL;
	t.start_ms = t.time_ms - TAP_RIDE_MS_MAX;
	t.end_ms = t.time_ms + TAP_RIDE_MS_MAX;
	assert_int_equal(decode(bytes, (size_t)sample_encode(&t, bytes), &back, &field), 0);
}

static void a_qr_payload_is_borrowed_and_bounded(void **state)
{
	static uint8_t code[TAP_QR_BYTES_MAX + 1];
	struct tap t = sample_tap(), back;
	const char *field;
	int n;

	(void)state;
	t.kind = TAP_QR;
	t.medium = MEDIUM_QR;
	t.qr.p = code;
	t.qr.n = TAP_QR_BYTES_MAX;
	n = sample_encode(&t, bytes);
	assert_true(n > 0);
	assert_int_equal(decode(bytes, (size_t)n, &back, &field), 0);
	assert_int_equal(back.qr.n, TAP_QR_BYTES_MAX);
	assert_true(back.qr.p > bytes && back.qr.p < bytes + n);
	t.qr.n++;
	assert_int_equal(sample_encode(&t, bytes), TAP_E_RANGE);
}

static void the_longest_record_fits_its_bound(void **state)
{
	static uint8_t code[TAP_QR_BYTES_MAX];
	struct tap t;

	(void)state;
	memset(&t, 0xFF, sizeof(t));
	memset(t.line, 'L', 47);
	t.line[47] = t.vehicle[15] = t.series[15] = '\0';
	t.qr.p = code;
	t.qr.n = sizeof(code);
	t.balance_before = t.balance_after = t.time_ms = t.prev_time_ms = t.start_ms = t.end_ms = INT64_MIN;
	assert_true(sample_encode(&t, bytes) > 0);
}

static void a_short_buffer_is_never_overrun(void **state)
{
	struct tap t = sample_tap();
	int n = sample_encode(&t, bytes);

	(void)state;
	for (int room = 0; room < n; room++) {
		uint8_t *exact = malloc((size_t)room + 1);

		assert_int_equal(tap_encode(&t, exact, (size_t)room), TAP_E_SPACE);
		free(exact);
	}
}

static void bombs_are_refused_without_allocation(void **state)
{
	static const struct { uint8_t p[8]; size_t n; } bomb[] = {
		{ { 0xDD, 0x0F, 0xFF, 0xFF, 0xFF }, 5 }, { { 0xDF, 0x0F, 0xFF, 0xFF, 0xFF }, 5 }, { { 0xDC, 0xFF, 0xFF }, 3 },
		{ { 0xC6, 0xFF, 0xFF, 0xFF, 0xFF }, 5 }, { { 0xDB, 0xFF, 0xFF, 0xFF, 0xFF }, 5 }, { { 0xC9, 0xFF, 0xFF, 0xFF, 0xFF, 1 }, 6 },
	};
	struct tap back;
	const char *field;

	(void)state;
	for (size_t i = 0; i < sizeof(bomb) / sizeof(bomb[0]); i++) {
		assert_true(msgpack_walk(bomb[i].p, bomb[i].n, 8) < 0);
		assert_true(decode(bomb[i].p, bomb[i].n, &back, &field) < 0);
	}
}

static void the_walk_bounds_depth_and_takes_exactly_one_value(void **state)
{
	static const uint8_t deep[] = { 0x91, 0x91, 0x91, 0xC0 }, two[] = { 1, 2 }, never[] = { 0xC1 };
	static const uint8_t every[] = { 0x9F, 0xC0, 0xC3, 0xCA, 0, 0, 0, 0, 0xCB, 0, 0, 0, 0, 0, 0, 0, 0, 0xD4, 1, 2, 0xD8, 1, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xC7, 1, 5, 6, 0x81, 1, 2, 0xDE, 0, 1, 3, 4, 0xA1, 'a', 0xD9, 1, 'b',
		0xC4, 1, 7, 0xFF, 0xD3, 0, 0, 0, 0, 0, 0, 0, 1, 0xDD, 0, 0, 0, 1, 9 };

	(void)state;
	assert_int_equal(msgpack_walk(deep, sizeof(deep), 3), 0);
	assert_int_equal(msgpack_walk(deep, sizeof(deep), 2), TAP_E_DEPTH);
	assert_int_equal(msgpack_walk(two, sizeof(two), 3), TAP_E_TRAILING);
	assert_int_equal(msgpack_walk(never, sizeof(never), 3), TAP_E_SYNTAX);
	assert_int_equal(msgpack_walk(every, sizeof(every), 3), 0);
	assert_int_equal(msgpack_walk(every, 0, 3), TAP_E_TRUNCATED);
}

static void no_flipped_bit_makes_the_decoder_read_outside(void **state)
{
	struct tap tap = sample_tap(), back;
	int n = sample_encode(&tap, bytes);
	uint8_t *exact = malloc((size_t)n);
	const char *field;

	(void)state;
	memcpy(exact, bytes, (size_t)n);
	for (int bit = 0; bit < 8 * n; bit++) {
		exact[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (decode(exact, (size_t)n, &back, &field) != 0)
			assert_true(field[0] != '\0');
		exact[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	free(exact);
}

static void a_failed_decode_leaves_the_result_alone(void **state)
{
	struct tap tap = sample_tap(), back, before;
	const char *field;
	int n = sample_encode(&tap, bytes);

	(void)state;
	memset(&back, 0x77, sizeof(back));
	memcpy(&before, &back, sizeof(back));
	assert_int_equal(decode(bytes, (size_t)n - 1, &back, &field), TAP_E_TRUNCATED);
	assert_memory_equal(&back, &before, sizeof(back));
}

static void key_and_id_name_the_same_tap(void **state)
{
	uint8_t key[TAP_KEY_BYTES], back[TAP_KEY_BYTES];
	char id[TAP_ID_BYTES];

	(void)state;
	for (int i = 0; i < 500; i++) {
		struct tap tap = sample_random_tap();

		sample_bcd(tap.terminal, sizeof(tap.terminal));
		tap_key(&tap, key);
		tap_id_format(key, id);
		assert_true(tap_id_parse(id, back));
		assert_memory_equal(key, back, sizeof(key));
	}
	assert_false(tap_id_parse("", key));
	assert_false(tap_id_parse("428000000017-0000ABCD-20251303071530", key));
	assert_false(tap_id_parse("428000000017-0000ABCD-2025110307153", key));
	assert_false(tap_id_parse("42800000001G-0000ABCD-20251103071530", key));
	assert_true(tap_id_parse("428000000017-0000ABCD-20251103071530", key));
}

static void card_numbers_are_masked_for_people(void **state)
{
	uint8_t pan[10];
	char text[24], digits[21];

	(void)state;
	assert_true(pan_parse("3104730150000000017", pan));
	pan_masked(pan, text);
	assert_string_equal(text, "310473*********0017");
	pan_digits(pan, digits);
	assert_string_equal(digits, "03104730150000000017");
	assert_false(pan_parse("", pan));
	assert_false(pan_parse("123456789012345678901", pan));
	assert_false(pan_parse("12a4", pan));
}

static void a_record_is_read_in_well_under_a_microsecond(void **state)
{
	struct tap tap = sample_tap(), back;
	int n = sample_encode(&tap, bytes), rounds = 200000;
	struct timespec a, b;
	const char *field;
	uint64_t sum = 0;
	int64_t ns;

	(void)state;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (int i = 0; i < rounds; i++) {
		bytes[n - 1] = 0;
		if (tap_decode(bytes, (size_t)n, &back, &field) == 0)
			sum += back.amount_fen;
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	ns = ((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec) / rounds;
	print_message("# tap_decode %d bytes %" PRId64 " ns\n", n, ns);
	assert_int_equal(sum, (uint64_t)rounds * tap.amount_fen);
	assert_true(ns < 20000);	/* sanitizers and a busy machine included */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_encoded_is_decoded),
		cmocka_unit_test(the_usual_way_of_reading_says_what_the_other_says_also_of_damaged_records),
		cmocka_unit_test(our_bytes_are_those_of_the_msgpack_library),
		cmocka_unit_test(the_example_of_the_document_is_this_record),
		cmocka_unit_test(the_document_lists_every_field_in_wire_order),
		cmocka_unit_test(a_record_cut_at_any_byte_is_refused),
		cmocka_unit_test(fields_of_a_later_version_are_skipped),
		cmocka_unit_test(a_later_version_without_later_fields_is_refused),
		cmocka_unit_test(a_record_of_version_1_is_read_and_tells_neither_end_of_its_ride),
		cmocka_unit_test(a_missing_field_is_refused),
		cmocka_unit_test(bytes_after_the_record_are_refused),
		cmocka_unit_test(a_value_outside_its_bounds_names_its_field),
		cmocka_unit_test(values_at_their_bounds_pass),
		cmocka_unit_test(a_qr_payload_is_borrowed_and_bounded),
		cmocka_unit_test(the_longest_record_fits_its_bound),
		cmocka_unit_test(a_short_buffer_is_never_overrun),
		cmocka_unit_test(bombs_are_refused_without_allocation),
		cmocka_unit_test(the_walk_bounds_depth_and_takes_exactly_one_value),
		cmocka_unit_test(no_flipped_bit_makes_the_decoder_read_outside),
		cmocka_unit_test(a_failed_decode_leaves_the_result_alone),
		cmocka_unit_test(key_and_id_name_the_same_tap),
		cmocka_unit_test(card_numbers_are_masked_for_people),
		cmocka_unit_test(a_record_is_read_in_well_under_a_microsecond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
