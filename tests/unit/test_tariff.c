/* The engine on the Ganzhou pack: the identity of every fare, purity, and a blob that can never be read beyond. */
#include "tariffs/tariffs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void *blob;
static size_t blob_bytes;
static struct tariff *tariff;

static void to_message(void *arg, const char *text)
{
	(void)arg;
	print_message("# %s\n", text);
}

static int set_up(void **state)
{
	(void)state;
	return tariff_compile("tariffs/packs/ganzhou", to_message, NULL, &blob, &blob_bytes) != 0 || tariff_open(blob, blob_bytes, &tariff) != 0;
}

static int tear_down(void **state)
{
	(void)state;
	tariff_close(tariff);
	free(blob);
	return 0;
}

static void random_rider(unsigned *seed, struct rider *r)
{
	*r = (struct rider){ .birth = rand_r(seed) % 3 == 0 ? DAY_NONE : day_of_civil(1940 + rand_r(seed) % 80, 1 + (unsigned)rand_r(seed) % 12, 1), .issued = DAY_NONE,
			     .home = rand_r(seed) % 2 ? 360702 : 440300, .hold_count = (uint8_t)(rand_r(seed) % 3) };
	for (uint8_t i = 0; i < r->hold_count; i++)
		r->hold[i] = (struct hold){ .group = (uint16_t)(1 + rand_r(seed) % 7), .grade = (uint8_t)(rand_r(seed) % 4), .from = 0, .to = INT32_MAX,
					    .verified_to = rand_r(seed) % 2 ? INT32_MAX : 0 };
}

static void random_ride(unsigned *seed, struct ride *r)
{
	static const char *const lines[] = { "18", "101", "102", "S1", "S6", "D1", "D8", "N1", "N20", "Y4", "R20", "ZZ" };

	*r = (struct ride){ .time_ms = 1762131600000LL + rand_r(seed) % 86400000, .event = (enum ride_event)(1 + rand_r(seed) % 3), .medium = (enum ride_medium)(1 + rand_r(seed) % 6),
			    .guest = (enum guest_class)(rand_r(seed) % 3), .card_class = (uint8_t)(rand_r(seed) % 6), .stop_on = (uint16_t)(rand_r(seed) % 14), .stop_off = (uint16_t)(rand_r(seed) % 14) };
	strcpy(r->line, lines[rand_r(seed) % 12]);
	strcpy(r->vehicle, rand_r(seed) % 2 ? "V1" : "V2");
}

static void every_fare_splits_into_rider_treasuries_and_operator(void **state)
{
	struct rider_state s[16] = { 0 };
	unsigned seed = 42;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int i = 0; i < 300000; i++) {
		struct rider rider;
		struct ride ride;
		struct fare f;
		int64_t funded = 0;

		random_rider(&seed, &rider);
		random_ride(&seed, &ride);
		rate(tariff, &rider, &s[i % 16], &ride, &s[i % 16], &f, NULL);
		for (uint8_t k = 0; k < f.funder_count; k++) {
			assert_true(f.funder[k].amount.fen > 0);
			funded += f.funder[k].amount.fen;
		}
		assert_int_equal(f.published.fen, f.paid.fen + funded + f.absorbed.fen);
		assert_true(f.paid.fen >= 0 && f.paid.fen <= f.published.fen);
		assert_true(f.reject == FARE_OK || (f.published.fen == 0 && funded == 0));
	}
}

static void asking_why_changes_nothing(void **state)
{
	unsigned seed = 43;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int i = 0; i < 50000; i++) {
		struct rider_state s = { 0 }, a, b;
		struct rate_notes notes;
		struct rider rider;
		struct ride ride;
		struct fare f, g;

		random_rider(&seed, &rider);
		random_ride(&seed, &ride);
		s.last_ms = s.window_ms = ride.time_ms - rand_r(&seed) % 7200000;
		rate(tariff, &rider, &s, &ride, &a, &f, NULL);
		rate(tariff, &rider, &s, &ride, &b, &g, &notes);
		assert_memory_equal(&f, &g, sizeof(f));
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

static void a_refused_ride_leaves_the_state_alone(void **state)
{
	struct rider_state s = { .last_ms = 5, .acc = { { 1, 2, 3 } } }, after;
	struct rider rider = { .birth = DAY_NONE };
	struct ride ride = { .time_ms = 1762131600000LL, .event = RIDE_SINGLE, .medium = MEDIUM_PURSE, .line = "no such line" };
	struct fare f;

	(void)state;
	rate(tariff, &rider, &s, &ride, &after, &f, NULL);
	assert_int_equal(f.reject, FARE_LINE_UNKNOWN);
	assert_memory_equal(&s, &after, sizeof(s));
}

static void a_state_packs_and_unpacks_to_itself(void **state)
{
	struct rider_state s = { .last_ms = 1, .window_ms = -2, .prev_line = 3, .open_ms = 4, .window_uses = 5, .open_hold_fen = -6, .other_ms = 7, .other_vehicle = 11, .acc = { [7] = { 8, 9, 1, -10 } } }, back;
	uint8_t bytes[RIDER_STATE_BYTES_MAX];
	size_t n = rider_state_pack(&s, 0, bytes);

	(void)state;
	assert_int_equal(rider_state_unpack(bytes, n, 0, &back), n);
	assert_int_equal(back.window_ms, -2);
	assert_int_equal(back.acc[7].value, -10);
	assert_int_equal(back.other_ms, 7);
	assert_int_equal(back.other_vehicle, 11);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(rider_state_unpack(bytes, cut, 0, &back), 0);
}

static void a_changed_blob_is_refused(void **state)
{
	uint8_t *copy = malloc(blob_bytes);
	struct tariff *t;
	unsigned seed = 44;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int i = 0; i < 2000; i++) {
		memcpy(copy, blob, blob_bytes);
		copy[(size_t)rand_r(&seed) % blob_bytes] ^= (uint8_t)(1u << rand_r(&seed) % 8);
		assert_int_equal(tariff_open(copy, blob_bytes, &t), TARIFF_E_BLOB);
	}
	assert_int_equal(tariff_open(blob, blob_bytes - 8, &t), TARIFF_E_BLOB);
	free(copy);
}

static void the_same_pack_compiles_to_the_same_bytes(void **state)
{
	void *again;
	size_t n;

	(void)state;
	assert_int_equal(tariff_compile("tariffs/packs/ganzhou", to_message, NULL, &again, &n), 0);
	assert_int_equal(n, blob_bytes);
	assert_memory_equal(again, blob, n);
	free(again);
}

/* Chengdu's counts: free for two hours in other vehicles, in the first vehicle from the purse as long as that lasts. */
static void a_lock_of_the_window_holds_to_its_last_second(void **state)
{
	struct rider rider = { .birth = DAY_NONE, .issued = DAY_NONE, .grant_count = 1 };
	struct ride ride = { .time_ms = 1717372800000LL, .event = RIDE_SINGLE, .medium = MEDIUM_PURSE, .card_class = 1, .line = "B", .vehicle = "V1" };
	struct rider_state s = { 0 };
	struct tariff *counts;
	struct fare f;
	void *bytes;
	size_t n;

	(void)state;
	assert_int_equal(tariff_compile("tariffs/packs/cd-count", to_message, NULL, &bytes, &n), 0);
	assert_int_equal(tariff_open(bytes, n, &counts), 0);
	rider.grant[0] = (struct grant){ tariff_quota_code(counts, NULL), 10 };
	rate(counts, &rider, &s, &ride, &s, &f, NULL);
	assert_int_equal(f.paid.fen, 100);
	ride.time_ms += 7200000;
	rate(counts, &rider, &s, &ride, &s, &f, NULL);
	assert_true(f.companion);
	assert_int_equal(f.paid.fen, 180);
	ride.time_ms += 1000;
	rate(counts, &rider, &s, &ride, &s, &f, NULL);
	assert_false(f.companion);
	assert_int_equal(f.paid.fen, 100);
	tariff_close(counts);
	free(bytes);
}

static struct tariff *laid_over(const char *pack, const struct tariff_overlay *overlay, void **ret_blob)
{
	struct tariff *t;
	size_t n;

	assert_int_equal(tariff_compile_with(pack, overlay, to_message, NULL, ret_blob, &n), 0);
	assert_int_equal(tariff_open(*ret_blob, n, &t), 0);
	return t;
}

/* At 07:30 an old person pays half on a workday and nothing on a holiday. */
static void a_holiday_counts_however_long_after_the_first_of_the_calendar(void **state)
{
	static const int after[] = { 0, 1, 63, 64, 2046, 2047, 2048, 2049, 4000 };
	const int32_t first = day_of_civil(2020, 1, 6);
	struct rider rider = { .birth = day_of_civil(1940, 1, 1), .issued = DAY_NONE };
	struct ride ride = { .event = RIDE_SINGLE, .medium = MEDIUM_PURSE, .card_class = 1, .line = "1" };
	char text[256] = "date,kind\n", date[11];
	struct tariff *t;
	void *bytes;

	(void)state;
	for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
		day_format(first + after[i], date);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s,holiday\n", date);
	}
	t = laid_over("tests/golden/peak-fallback/pack", &(struct tariff_overlay){ .calendar_csv = text }, &bytes);
	for (int32_t day = day_of_civil(2025, 1, 1); day < first + 4010; day++) {
		bool rest = day_of_week(day) > 5;
		struct rider_state s = { 0 };
		struct fare f;

		for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++)
			rest = rest || day == first + after[i];
		ride.time_ms = day * 86400000LL + 27000000 - CIVIL_OFFSET_MS;
		rate(t, &rider, &s, &ride, &s, &f, NULL);
		assert_int_equal(f.paid.fen, rest ? 0 : 100);
	}
	tariff_close(t);
	free(bytes);
}

/* Three hundred refunds on lines that are not ridden, and one on all lines behind them. */
static void the_last_of_three_hundred_rules_applies_like_the_first(void **state)
{
	static char text[302 * 160];
	struct rider rider = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct ride ride = { .time_ms = 1762131600000LL, .event = RIDE_SINGLE, .medium = MEDIUM_PURSE, .card_class = 1, .line = "1" };
	struct rider_state s = { 0 };
	struct tariff *t;
	struct fare f;
	void *bytes;
	int n = snprintf(text, sizeof(text), "refunds:\n");

	(void)state;
	for (int i = 0; i <= 300; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "  - {id: r%d, title: 返还, basis: 例, %sfrom: 2025-01-01, rate: 90%%, per: month, due: 1, fund: discount}\n", i,
			      i < 300 ? "class: [express], " : "");
	t = laid_over("tests/golden/cap-partial/pack", &(struct tariff_overlay){ .yaml = text }, &bytes);
	rate(t, &rider, &s, &ride, &s, &f, NULL);
	assert_int_equal(f.paid.fen, 600);
	assert_int_equal(f.refund.fen, 60);
	tariff_close(t);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fare_splits_into_rider_treasuries_and_operator),
		cmocka_unit_test(asking_why_changes_nothing),
		cmocka_unit_test(a_refused_ride_leaves_the_state_alone),
		cmocka_unit_test(a_state_packs_and_unpacks_to_itself),
		cmocka_unit_test(a_changed_blob_is_refused),
		cmocka_unit_test(the_same_pack_compiles_to_the_same_bytes),
		cmocka_unit_test(a_lock_of_the_window_holds_to_its_last_second),
		cmocka_unit_test(a_holiday_counts_however_long_after_the_first_of_the_calendar),
		cmocka_unit_test(the_last_of_three_hundred_rules_applies_like_the_first),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
