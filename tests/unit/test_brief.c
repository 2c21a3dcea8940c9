/* Briefs: what the writer is told of records is what these say, whatever they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clearing/brief.h"
#include "tests/unit/tap_sample.h"

#define RECORDS 200

static uint8_t bytes[RECORDS][TAP_ENCODED_BYTES_MAX];
static struct batch batch;
static struct batch_taps taps;
static struct brief_reader reader;
static struct briefs *briefs;

static void record_add(const struct tap *tap)
{
	batch.tap[batch.count].p = bytes[batch.count];
	batch.tap[batch.count].n = (uint32_t)sample_encode(tap, bytes[batch.count]);
	batch.count++;
}

static void made(void)
{
	batch_taps_decode(&batch, &taps);
	briefs_make(&batch, &taps, briefs);
	brief_begin(&reader);
}

static const struct tap *read_at(uint32_t i) { return brief_read(&reader, briefs, &batch, i); }

/* Less what nobody asks a brief for. */
static struct tap asked(const struct tap *tap)
{
	struct tap t = *tap;

	t.version = t.card_city = t.txn_type = t.driver = t.prev_counter = t.prev_amount_fen = t.prev_type = t.accept_city = 0;
	t.list_version = t.tariff_version = t.product = t.product_left = t.oda = 0;
	t.prev_time_ms = 0;
	memset(t.random, 0, sizeof(t.random));
	memset(t.prev_terminal, 0, sizeof(t.prev_terminal));
	memset(t.acquirer, 0, sizeof(t.acquirer));
	memset(t.cryptogram, 0, sizeof(t.cryptogram));
	return t;
}

static void same(const struct tap *a, const struct tap *b)
{
	uint8_t one[TAP_ENCODED_BYTES_MAX], two[TAP_ENCODED_BYTES_MAX];
	struct tap x = asked(a), y = asked(b);
	int n = sample_encode(&x, one);

	assert_true(n > 0);
	assert_int_equal(sample_encode(&y, two), n);
	assert_memory_equal(one, two, n);
}

static void a_brief_has_what_is_asked_of_a_record(void **state)
{
	(void)state;
	batch.count = 0;
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct tap tap = sample_random_tap();

		if (i % 4 == 0) {	/* as far as a record that can be read goes */
			tap.balance_before = 0x7FFFFFFF;
			tap.balance_after = -0x7FFFFFFF;
		}
		tap.stop_on = sample_below(65536);
		tap.key_version = sample_below(256);
		tap.list_fen = sample_below(10000);
		tap.start_ms = sample_below(2) == 0 ? 0 : tap.time_ms - sample_below(1000000);
		tap.end_ms = sample_below(2) == 0 ? 0 : tap.time_ms + sample_below(1000000);
		record_add(&tap);
	}
	made();
	for (uint32_t i = 0; i < RECORDS; i++) {
		assert_int_equal(briefs->brief[i].form, BRIEF_KEPT);
		same(read_at(i), &taps.tap[i]);
	}
}

static void records_with_codes_or_many_texts_are_read_whole(void **state)
{
	static const uint8_t code[] = "a code";
	uint32_t whole = 0;

	(void)state;
	batch.count = 0;
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct tap tap = sample_random_tap();

		snprintf(tap.vehicle, sizeof(tap.vehicle), "%u", i % 7);
		snprintf(tap.line, sizeof(tap.line), "1");
		tap.qr.p = i % 5 == 0 ? code : NULL;
		tap.qr.n = i % 5 == 0 ? sizeof(code) : 0;
		record_add(&tap);
	}
	made();
	assert_int_equal(briefs->texts, BRIEF_TEXTS_MAX);
	for (uint32_t i = 0; i < RECORDS; i++) {
		whole += briefs->brief[i].form == BRIEF_WHOLE;
		same(read_at(i), &taps.tap[i]);
		assert_int_equal(read_at(i)->qr.n, taps.tap[i].qr.n);
	}
	assert_in_range(whole, RECORDS / 5 + 1, RECORDS - 1);
}

static void a_record_that_cannot_be_read_is_told_and_others_stay(void **state)
{
	(void)state;
	batch.count = 0;
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct tap tap = sample_random_tap();

		record_add(&tap);
		if (i % 3 == 1)
			batch.tap[i].n--;
	}
	made();
	for (uint32_t i = 0; i < RECORDS; i++) {
		if (i % 3 == 1)
			assert_null(read_at(i));
		else
			same(read_at(i), &taps.tap[i]);
	}
}

static void content_tells_records_apart(void **state)
{
	struct tap tap = sample_tap();

	(void)state;
	batch.count = 0;
	record_add(&tap);
	record_add(&tap);
	tap.driver++;
	record_add(&tap);
	made();
	assert_true(briefs->brief[0].content == briefs->brief[1].content);
	assert_true(briefs->brief[0].content != briefs->brief[2].content);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_brief_has_what_is_asked_of_a_record),
		cmocka_unit_test(records_with_codes_or_many_texts_are_read_whole),
		cmocka_unit_test(a_record_that_cannot_be_read_is_told_and_others_stay),
		cmocka_unit_test(content_tells_records_apart),
	};
	int ret;

	briefs = malloc(briefs_bytes(RECORDS));
	ret = briefs != NULL ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	free(briefs);
	return ret;
}
