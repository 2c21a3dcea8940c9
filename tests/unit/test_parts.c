/* A day cleared by several threads, in bounded memory: the same rows, states, ledger and dump as by one. */
#include "tests/unit/house.h"

#include <stdio.h>
#include <time.h>

#define DAYS 3
#define TAPS (320 * SENT_MAX)	/* a day: more than one thread sorts alone */
#define CARDS 60
#define RUNS 5

static uint64_t seed;

static void days_ride(struct house *h)
{
	static const char *const line[] = { "A", "B", "C", "K", "R" };
	uint64_t x = seed;

	for (int32_t day = DAY0; day < DAY0 + DAYS; day++) {
		for (uint32_t i = 0; i < TAPS; i++) {
			static struct tap t[SENT_MAX];
			int32_t of;

			x = x * 6364136223846793005u + 1442695040888963407u;
			of = x >> 60 == 0 && day > DAY0 ? day - 1 : day;	/* some come a day late and change other rides */
			t[i / SENT_MAX % 3 != 0 ? i % SENT_MAX : SENT_MAX - 1 - i % SENT_MAX] = tap_at((unsigned)(x >> 20) % CARDS + 1, of, 300 + (int)((x >> 30) % 1000), line[(x >> 40) % 5], 100 + (uint32_t)((x >> 45) % 3) * 100);
			if (i % SENT_MAX == SENT_MAX - 1)	/* some batches backwards */
				taps_send(h, t, i % SENT_MAX + 1, "V-1", KEY_CHECK_GOOD);
		}
		day_end(h);
	}
}

/* Records of one terminal, line and kind of card differ in their amounts: each row has its record's own. */
static uint64_t amounts_own(const struct house *h)
{
	uint64_t rated = 0;
	struct row_iter it;
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	for (rows_open_day(&t, DAY0, &it); rows_next(&it); rated += it.row.verdict == VERDICT_ACCEPTED) {
		const char *field;
		struct tap tap;

		assert_int_equal(tap_decode(it.row.raw, it.row.raw_bytes, &tap, &field), 0);
		assert_int_equal(it.row.priced.charged.fen, tap.amount_fen);
	}
	rows_close(&it);
	txn_abort(&t);
	return rated;
}

static void test_one_two_and_eight_threads_leave_the_same_rows_and_the_same_digest_in_memory_and_in_files(void **state)
{
	static const struct { unsigned threads; uint64_t memory; } run[] = { { 1, 0 }, { 2, 0 }, { 8, 0 }, { 1, 1 }, { 2, 3 << 20 } };
	uint8_t rows[RUNS][DAYS][DIGEST_BYTES], text[RUNS][DAYS][DIGEST_BYTES];
	uint64_t adjusted = 0;

	(void)state;
	seed = (uint64_t)time(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	for (size_t i = 0; i < RUNS; i++) {
		struct house h;
		struct txn t;

		clear_threads(run[i].threads);
		clear_memory(run[i].memory);
		serials = 0;
		house_open(&h);
		elders_add(&h);
		days_ride(&h);
		for (int d = 0; d < DAYS; d++) {
			rows_digest(&h, DAY0 + d, rows[i][d]);
			assert_int_equal(day_digest(h.store, DAY0 + d, text[i][d]), 0);
			assert_memory_equal(rows[i][d], rows[0][d], DIGEST_BYTES);
			assert_memory_equal(text[i][d], text[0][d], DIGEST_BYTES);
		}
		clear_threads(run[RUNS - 1 - i].threads);	/* cleared again by another number: every row, state and sum as it lies there */
		for (int d = 0; d < DAYS; d++) {
			FILE *out = fopen("/dev/null", "we");

			assert_non_null(out);
			assert_int_equal(day_recompute(h.store, DAY0 + d, out), 0);
			fclose(out);
		}
		assert_true(amounts_own(&h) > TAPS / 2);
		assert_int_equal(txn_begin(h.store, false, &t), 0);
		adjusted += txn_rows(&t, DB_ADJUST);
		txn_abort(&t);
		house_close(&h);
	}
	assert_true(adjusted > 30);
	clear_threads(0);
	clear_memory(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_two_and_eight_threads_leave_the_same_rows_and_the_same_digest_in_memory_and_in_files) };

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
