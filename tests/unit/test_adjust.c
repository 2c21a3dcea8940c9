/* Corrections: whatever day a tap arrives on, rows and adjustments together are what one rating in order gives. */
#include <errno.h>

#include "tests/unit/house.h"

/* ---- late taps ------------------------------------------------------------------------------------------------------- */

static void a_late_tap_makes_the_ride_after_it_a_transfer_by_an_adjustment(void **state)
{
	struct tap first = tap_at(1, DAY0, 480, "A", 200), middle = tap_at(1, DAY0, 560, "B", 300), last = tap_at(1, DAY0, 640, "A", 200);
	struct house late, ordered;
	struct adjustment a;
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES], id[TAP_KEY_BYTES];
	struct fare f;

	(void)state;
	house_open(&late);
	tap_send(&late, &first);
	tap_send(&late, &last);
	day_end(&late);
	assert_int_equal(paid_of(&late, &last), 200);
	rows_digest(&late, DAY0, before);
	tap_send(&late, &middle);
	day_end(&late);
	assert_int_equal(stands(&late, &last, &f, &a), 1);
	assert_int_equal(f.paid.fen, 100);
	tap_key(&middle, id);
	assert_int_equal(a.cause, ADJUST_LATE_TAP);
	assert_memory_equal(a.cause_key, id, TAP_KEY_BYTES);
	assert_int_equal(a.day, DAY0 + 1);
	assert_int_equal(stands(&late, &first, &f, NULL), 0);
	assert_int_equal(paid_of(&late, &middle), 200);
	rows_digest(&late, DAY0, after);
	assert_memory_equal(before, after, DIGEST_BYTES);

	house_open(&ordered);
	tap_send(&ordered, &first);
	tap_send(&ordered, &middle);
	tap_send(&ordered, &last);
	day_end(&ordered);
	day_end(&ordered);
	same_books(&late, &ordered);
	assert_int_equal(balance_of(&late, ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_PURSE)), 200);
	all_holds(&late);
	all_holds(&ordered);
	house_close(&late);
	house_close(&ordered);
}

static void a_late_tap_off_takes_back_what_was_charged_as_unfinished(void **state)
{
	struct tap on = tap_at(2, DAY0, 480, "K", 0), off = tap_at(2, DAY0, 500, "K", 200), next = tap_at(2, DAY0 + 1, 480, "A", 400);
	struct house h;
	struct fare f;
	int64_t unfinished;

	(void)state;
	on.kind = TAP_BOARD;
	on.stop = 1;
	off.kind = TAP_ALIGHT;
	off.stop_on = 1;
	off.stop = 5;
	off.distance_m = 3000;
	house_open(&h);
	tap_send(&h, &on);
	day_end(&h);
	tap_send(&h, &next);
	day_end(&h);
	unfinished = paid_of(&h, &next) - 200;
	tap_send(&h, &off);
	day_end(&h);
	assert_int_equal(paid_of(&h, &off), 200);
	assert_int_equal(stands(&h, &next, &f, NULL), unfinished != 0);
	assert_int_equal(f.paid.fen, 200);
	all_holds(&h);
	house_close(&h);
}

static void a_tap_beyond_the_window_is_rated_alone_and_changes_nothing(void **state)
{
	struct tap last = tap_at(1, DAY0, 600, "A", 200), late = tap_at(1, DAY0, 560, "B", 300), next = tap_at(1, DAY0 + 11, 640, "A", 200);
	struct house h;
	struct fare f;

	(void)state;
	house_open(&h);
	tap_send(&h, &last);
	days_end(&h, DAY0 + 10);
	tap_send(&h, &late);
	tap_send(&h, &next);
	day_end(&h);
	assert_int_equal(paid_of(&h, &late), 300);
	assert_int_equal(stands(&h, &last, &f, NULL), 0);
	assert_int_equal(f.paid.fen, 200);
	all_holds(&h);
	house_close(&h);
}

static void the_last_day_of_the_window_still_adjusts(void **state)
{
	struct tap last = tap_at(1, DAY0, 600, "A", 200), late = tap_at(1, DAY0, 560, "B", 300);
	struct house h;

	(void)state;
	house_open(&h);
	tap_send(&h, &last);
	days_end(&h, DAY0 + 9);
	tap_send(&h, &late);
	day_end(&h);
	assert_int_equal(paid_of(&h, &last), 100);
	all_holds(&h);
	house_close(&h);
}

static void a_tap_beyond_the_hard_limit_is_kept_with_its_verdict(void **state)
{
	struct tap last = tap_at(1, DAY0, 600, "A", 200), late = tap_at(1, DAY0, 560, "B", 300);
	struct cleared row;
	struct house h;
	struct fare f;
	struct txn t;
	int32_t day;

	(void)state;
	house_open(&h);
	tap_send(&h, &last);
	days_end(&h, DAY0 + 30);
	tap_send(&h, &late);
	day_end(&h);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	row_of(&t, &late, &row, &day);
	assert_int_equal(row.verdict, VERDICT_TOO_OLD);
	assert_int_equal(day, DAY0 + 31);
	txn_abort(&t);
	assert_int_equal(stands(&h, &last, &f, NULL), 0);
	all_holds(&h);
	house_close(&h);
}

struct dying_sink { struct sink sink; struct store *store; int left; };

/* Writes through, so many times, then dies. */
static int dying_put(struct sink *sink, enum db db, const void *at, size_t at_bytes, const void *val, size_t val_bytes)
{
	struct dying_sink *s = (struct dying_sink *)(void *)sink;
	struct txn t;

	if (s->left-- == 0)
		return -EIO;
	assert_int_equal(txn_begin(s->store, true, &t), 0);
	txn_put(&t, db, at, at_bytes, val, val_bytes);
	return txn_commit(&t);
}

static int dying_checkpoint(struct sink *sink) { (void)sink; return 0; }

static void a_clear_that_died_at_any_write_is_run_again_to_the_same_adjustments(void **state)
{
	struct tap last = tap_at(1, DAY0, 640, "A", 200), late = tap_at(1, DAY0, 560, "B", 300);
	struct clear_stats stats;
	struct house h, undisturbed;
	uint8_t a[DIGEST_BYTES], b[DIGEST_BYTES];
	struct txn t;
	int ret = -EIO, deaths = 0;

	(void)state;
	house_open(&h);
	house_open(&undisturbed);
	tap_send(&h, &last);
	tap_send(&undisturbed, &last);
	day_end(&h);
	day_end(&undisturbed);
	tap_send(&h, &late);
	tap_send(&undisturbed, &late);
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	assert_int_equal(day_cut(&t, DAY0 + 1, 0), 0);
	assert_int_equal(txn_commit(&t), 0);
	for (int n = 0; ret != 0; n++) {
		struct dying_sink sink = { { dying_put, dying_checkpoint }, h.store, n };

		ret = clear_day(h.store, DAY0 + 1, &sink.sink, &stats);
		assert_true(ret == 0 || ret == -EIO);
		deaths += ret != 0;
	}
	assert_true(deaths > 5);
	assert_int_equal(day_clear(h.store, DAY0 + 1, &stats), 0);
	h.open++;
	day_end(&undisturbed);
	assert_int_equal(stats.adjustments, 1);
	assert_int_equal(day_digest(h.store, DAY0 + 1, a), 0);
	assert_int_equal(day_digest(undisturbed.store, DAY0 + 1, b), 0);
	assert_memory_equal(a, b, DIGEST_BYTES);
	all_holds(&h);
	house_close(&h);
	house_close(&undisturbed);
}

/* ---- any order ---------------------------------------------------------------------------------------------------------- */

#define RIDES_MAX 160
static struct { struct tap tap; int32_t service, arrives; } ride[RIDES_MAX];

static void rides_make(size_t count)
{
	static const char *const lines[] = { "A", "B", "C", "K" };

	for (size_t i = 0; i < count; i++) {
		int32_t service = DAY0 + (int32_t)sample_below(5);
		const char *line = lines[sample_below(4)];

		ride[i].tap = tap_at(1 + sample_below(6), service, 360 + (int)sample_below(200), line, 100 * sample_below(4));
		ride[i].tap.terminal[5] = ride[i].tap.psam[5] = (uint8_t)(1 + sample_below(2));
		if (line[0] == 'K') {
			ride[i].tap.kind = sample_below(2) != 0 ? TAP_BOARD : TAP_ALIGHT;
			ride[i].tap.distance_m = sample_below(20000);
			ride[i].tap.stop_on = 1;
			ride[i].tap.stop = ride[i].tap.kind == TAP_BOARD ? 1 : 7;
		}
		ride[i].service = service;
		ride[i].arrives = service + (sample_below(3) == 0 ? (int32_t)sample_below(6) : 0);
	}
}

static void any_order_of_arrival_over_days_ends_in_the_same_books(void **state)
{
	int adjusted = 0;

	(void)state;
	for (int round = 0; round < 4; round++) {
		size_t count = 60 + sample_below(100);
		struct house any, ordered;

		rides_make(count);
		house_open(&any);
		house_open(&ordered);
		elders_add(&any);
		elders_add(&ordered);
		for (int32_t day = DAY0; day < DAY0 + 11; day++) {
			for (size_t i = 0; i < count; i++) {
				if (ride[i].arrives == day)
					tap_send(&any, &ride[i].tap);
				if (ride[i].service == day)
					tap_send(&ordered, &ride[i].tap);
			}
			day_end(&any);
			day_end(&ordered);
		}
		for (size_t i = 0; i < count; i++) {
			struct fare x, y;

			adjusted += stands(&any, &ride[i].tap, &x, NULL);
			assert_int_equal(stands(&ordered, &ride[i].tap, &y, NULL), 0);
			assert_int_equal(x.paid.fen, y.paid.fen);
			assert_int_equal(x.published.fen, y.published.fen);
			assert_int_equal(x.absorbed.fen, y.absorbed.fen);
		}
		same_books(&any, &ordered);
		all_holds(&any);
		house_close(&any);
		house_close(&ordered);
	}
	assert_true(adjusted > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_late_tap_makes_the_ride_after_it_a_transfer_by_an_adjustment),
		cmocka_unit_test(a_late_tap_off_takes_back_what_was_charged_as_unfinished),
		cmocka_unit_test(a_tap_beyond_the_window_is_rated_alone_and_changes_nothing),
		cmocka_unit_test(the_last_day_of_the_window_still_adjusts),
		cmocka_unit_test(a_tap_beyond_the_hard_limit_is_kept_with_its_verdict),
		cmocka_unit_test(a_clear_that_died_at_any_write_is_run_again_to_the_same_adjustments),
		cmocka_unit_test(any_order_of_arrival_over_days_ends_in_the_same_books),
	};

	return cmocka_run_group_tests_name("adjust", tests, packs_make, packs_free);
}
