/* The batch: sealing, each mismatch with its own code, bad records that harm only themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/tap_sample.h"

static uint8_t record[BATCH_TAPS_MAX + 1][TAP_ENCODED_BYTES_MAX], bytes[BATCH_BYTES_MAX];
static struct batch batch, back;

static void batch_of(uint32_t count)
{
	memset(&batch, 0, sizeof(batch));
	strcpy(batch.device, "V-00017");
	batch.file_serial = 7;
	batch.count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct tap tap = sample_tap();

		tap.terminal_serial = 100 + i;
		batch.tap[i].p = record[i];
		batch.tap[i].n = (uint32_t)sample_encode(&tap, record[i]);
	}
	assert_int_equal(batch_seal(&batch), 0);
}

static int encoded(void)
{
	int n = batch_encode(&batch, bytes, sizeof(bytes));

	assert_true(n > 0);
	return n;
}

/* As it is checked with its records decoded for others too. */
static int checked(const struct batch *b)
{
	static struct batch_taps taps;
	int ret = batch_check(b);

	if (b->count <= BATCH_TAPS_MAX) {
		batch_taps_decode(b, &taps);
		assert_int_equal(batch_check_taps(b, &taps), ret);
	}
	return ret;
}

static void a_sealed_batch_passes_its_check(void **state)
{
	static const uint32_t counts[] = { 0, 1, 3, 15, 16, BATCH_TAPS_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		batch_of(counts[i]);
		assert_int_equal(batch_decode(bytes, (size_t)encoded(), &back), 0);
		assert_int_equal(checked(&back), 0);
		assert_int_equal(back.count, counts[i]);
		assert_string_equal(back.device, "V-00017");
		assert_int_equal(back.first_serial, counts[i] ? 100 : 0);
		assert_int_equal(back.last_serial, counts[i] ? 99 + counts[i] : 0);
		assert_int_equal(back.amount_total_fen, 180 * counts[i]);
	}
}

static void each_mismatch_has_its_own_code_and_place_in_the_order(void **state)
{
	(void)state;
	batch_of(4);
	batch.amount_total_fen++;
	assert_int_equal(checked(&batch), TAP_E_TOTAL);
	batch.last_serial++;
	assert_int_equal(checked(&batch), TAP_E_SERIALS);
	batch.digest[31] ^= 1;
	assert_int_equal(checked(&batch), TAP_E_DIGEST);
	batch.count = BATCH_TAPS_MAX + 1;
	assert_int_equal(checked(&batch), TAP_E_COUNT);
	assert_int_equal(batch_seal(&batch), TAP_E_RANGE);
	assert_int_equal(batch_encode(&batch, bytes, sizeof(bytes)), TAP_E_RANGE);
}

static void a_wrong_count_in_the_header_is_refused(void **state)
{
	uint8_t *at;
	int n;

	(void)state;
	batch_of(5);
	n = encoded();
	at = memmem(bytes, (size_t)n, "\x64\x68\x05", 3);	/* serials 100 and 104, count 5 */
	assert_non_null(at);
	at[2] = 6;
	assert_int_equal(batch_decode(bytes, (size_t)n, &back), TAP_E_COUNT);
	assert_int_equal(back.file_serial, 7);			/* the refusal can name it */
}

static void one_bad_record_leaves_the_others_whole(void **state)
{
	const char *field;
	struct tap tap;

	(void)state;
	batch_of(3);
	record[1][0] = 0xC1;
	assert_int_equal(batch_seal(&batch), 0);
	assert_int_equal(batch.first_serial, 100);
	assert_int_equal(batch.last_serial, 102);
	assert_int_equal(batch.amount_total_fen, 360);
	assert_int_equal(batch_decode(bytes, (size_t)encoded(), &back), 0);
	assert_int_equal(checked(&back), 0);
	assert_int_equal(tap_decode(back.tap[0].p, back.tap[0].n, &tap, &field), 0);
	assert_true(tap_decode(back.tap[1].p, back.tap[1].n, &tap, &field) < 0);
	assert_int_equal(tap_decode(back.tap[2].p, back.tap[2].n, &tap, &field), 0);
}

static void a_batch_cut_at_any_byte_is_refused(void **state)
{
	int n;

	(void)state;
	batch_of(3);
	n = encoded();
	for (int cut = 0; cut < n; cut++) {
		uint8_t *exact = malloc((size_t)cut + 1);

		memcpy(exact, bytes, (size_t)cut);
		assert_true(batch_decode(exact, (size_t)cut, &back) < 0);
		free(exact);
	}
}

static void no_flipped_bit_passes_decode_and_check_with_another_meaning(void **state)
{
	int n;

	(void)state;
	batch_of(2);
	n = encoded();
	for (int bit = 0; bit < 8 * n; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (batch_decode(bytes, (size_t)n, &back) == 0 && checked(&back) == 0) {
			/* device and file serial are judged against certificate and memory, not here */
			assert_int_equal(back.amount_total_fen, batch.amount_total_fen);
			assert_memory_equal(back.digest, batch.digest, DIGEST_BYTES);
			assert_int_equal(back.count, batch.count);
		}
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void fields_of_a_later_batch_are_skipped(void **state)
{
	int n;

	(void)state;
	batch_of(1);
	n = encoded();
	bytes[0]++;
	bytes[n++] = 0xC3;
	assert_int_equal(batch_decode(bytes, (size_t)n, &back), 0);
	bytes[1] = 2;
	assert_int_equal(batch_decode(bytes, (size_t)n, &back), TAP_E_VERSION);
}

static void too_many_taps_too_many_bytes_and_bombs_are_refused(void **state)
{
	static const uint8_t bomb[] = { 0xDD, 0x0F, 0xFF, 0xFF, 0xFF };
	uint8_t *at;
	int n;

	(void)state;
	assert_int_equal(batch_decode(bomb, sizeof(bomb), &back), TAP_E_DEPTH);
	assert_int_equal(batch_decode(bytes, BATCH_BYTES_MAX + 1, &back), TAP_E_RANGE);
	batch_of(1);
	n = encoded();
	at = bytes + n - batch.tap[0].n - 3;		/* array head of the taps | bin head | record */
	assert_int_equal(*at, 0x91);
	*at = 0xDD;
	assert_true(batch_decode(bytes, (size_t)n, &back) < 0);
}

static void the_example_of_the_document_is_this_frame(void **state)
{
	uint8_t example[2048];
	size_t n = sample_document_hex("docs/protocol.md", "## Worked example", example, sizeof(example)), used;
	struct frame frame;

	(void)state;
	batch_of(1);
	assert_int_equal(frame_next(example, n, &frame, &used), 1);
	assert_int_equal(used, n);
	assert_int_equal(frame.type, FRAME_BATCH);
	assert_int_equal(encoded(), frame.bytes);
	assert_memory_equal(bytes, frame.body, frame.bytes);
	assert_int_equal(batch_decode(frame.body, frame.bytes, &back), 0);
	assert_int_equal(checked(&back), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sealed_batch_passes_its_check),
		cmocka_unit_test(each_mismatch_has_its_own_code_and_place_in_the_order),
		cmocka_unit_test(a_wrong_count_in_the_header_is_refused),
		cmocka_unit_test(one_bad_record_leaves_the_others_whole),
		cmocka_unit_test(a_batch_cut_at_any_byte_is_refused),
		cmocka_unit_test(no_flipped_bit_passes_decode_and_check_with_another_meaning),
		cmocka_unit_test(fields_of_a_later_batch_are_skipped),
		cmocka_unit_test(too_many_taps_too_many_bytes_and_bombs_are_refused),
		cmocka_unit_test(the_example_of_the_document_is_this_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
