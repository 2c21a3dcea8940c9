/* What a tap record tells rating: card, stops, both ends of a ride, the paid area; from its bytes to the fare. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/tap_sample.h"

static void print_problem(void *arg, const char *text)
{
	(void)arg;
	print_message("# %s\n", text);
}

#define PACK_HEAD \
	"name: s\ntitle: s\nversion: 1\nvalid_from: 2020-01-01\npublished_on: 2020-01-01\nbasis: s\norder: [concession, transfer]\n" \
	"rounding: {mode: half-up, unit_fen: 1}\nguest_default: local\nclasses: [{name: c, title: c}]\n" \
	"funding: [{id: none, title: n, basis: s, gap: none}]\n"
/* 100 fen to 2 stops, 50 more for every 2 after; one free ride a day and card. */
static const char *const stops_pack[2] = {
	PACK_HEAD "fares: [{id: f, title: f, basis: s, by: stops, steps: [{upto: 2, fen: 100}, {each: 2, fen: 50}]}]\n"
	"quotas: [{id: q, title: q, basis: s, limit: 1, per: day, of: card}]\n"
	"concessions: [{id: first, title: t, basis: s, from: 2020-01-01, price: free, quota: q, quota_empty: published, fund: none}]\n",
	"line,class,fare\n7,c,class\n",
};

static struct tariff *pack_open(const char *const text[2], void **ret_blob)
{
	char dir[] = "/tmp/tap_ride_XXXXXX", path[64];
	static const char *const files[] = { "pack.yaml", "lines.csv" };
	struct tariff *t = NULL;
	size_t n;

	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < 2; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		f = fopen(path, "w");
		assert_non_null(f);
		fputs(text[i], f);
		fclose(f);
	}
	assert_int_equal(tariff_compile(dir, print_problem, NULL, ret_blob, &n), 0);
	assert_int_equal(tariff_open(*ret_blob, n, &t), 0);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
	return t;
}

static int64_t alight(const struct tariff *t, struct rider_state *state, uint8_t card, unsigned from, unsigned to)
{
	struct rider rider = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct tap tap = { .kind = TAP_ALIGHT, .medium = MEDIUM_PURSE, .time_ms = SAMPLE_TIME_MS, .line = "7", .stop_on = from, .stop = to };
	struct ride ride;
	struct fare fare;

	tap.pan[9] = card;
	tap_ride(&tap, t, &ride);
	rate(t, &rider, state, &ride, state, &fare, NULL);
	assert_int_equal(fare.reject, FARE_OK);
	return fare.paid.fen;
}

static void a_record_tells_rating_its_card_and_the_stops_ridden(void **state)
{
	struct rider_state rider = { 0 };
	void *blob;
	struct tariff *t = pack_open(stops_pack, &blob);

	(void)state;
	assert_int_equal(alight(t, &rider, 1, 3, 5), 0);
	assert_int_equal(alight(t, &rider, 1, 3, 5), 100);
	assert_int_equal(alight(t, &rider, 2, 3, 6), 0);	/* the person's other card has its own free ride */
	assert_int_equal(alight(t, &rider, 2, 3, 6), 150);
	assert_int_equal(alight(t, &rider, 2, 9, 4), 200);	/* the way back */
	tariff_close(t);
	free(blob);
}

/* ---- both ends of a ride, and the paid area ------------------------------------------------------------------- */

#define MINUTE_MS 60000LL
#define EIGHT_MS 1735862400000LL	/* 2025-01-03 08:00 +08:00, a Friday */
/* Metro 300, its own peak price by the hour of entry; bus 200, 50 less within 60 minutes of the metro's exit, metro to metro 100 inside. */
static const char *const metro_pack[2] = {
	PACK_HEAD "fares: [{id: peak, title: p, basis: s, hours: [\"07:00-09:00\"], flat_fen: 400}, {id: f, title: f, basis: s, flat_fen: 300}]\n"
	"open_rides: [{id: o, title: o, basis: s, mode: [metro], hold: 500, unfinished: 600}]\n"
	"transfers: [{id: x, title: x, basis: s, minutes: 60, same_line: yes, fund: none,\n"
	"  prices: [{inside: yes, pairs: [metro-metro], minus_fen: 100}, {pairs: [metro-bus, bus-metro], minus_fen: 50}]}]\n",
	"line,class,fare,mode\nM,c,class,metro\nN,c,class,metro\nB,c,flat:200,bus\n",
};

static struct tap at(enum tap_kind kind, const char *line, int minute)
{
	struct tap t = sample_tap();

	t.kind = (uint32_t)kind;
	t.time_ms = EIGHT_MS + minute * MINUTE_MS;
	snprintf(t.line, sizeof(t.line), "%s", line);
	t.vehicle[0] = '\0';
	t.stop = 0;
	return t;
}

/* Written, read, rated: what the tap moves. */
static int64_t moved(const struct tariff *t, struct rider_state *state, const struct tap *tap)
{
	struct rider nobody = { .birth = DAY_NONE, .issued = DAY_NONE };
	uint8_t bytes[TAP_ENCODED_BYTES_MAX];
	int n = sample_encode(tap, bytes);
	const char *field = "";
	struct ride ride;
	struct fare fare;
	struct tap back;

	assert_int_equal(tap_decode(bytes, (size_t)n, &back, &field), 0);
	tap_ride(&back, t, &ride);
	rate(t, &nobody, state, &ride, state, &fare, NULL);
	assert_int_equal(fare.reject, FARE_OK);
	return fare.moved.fen;
}

static void a_ride_told_at_its_end_is_looked_at_by_its_entry_and_its_window_runs_from_its_exit(void **state)
{
	enum tap_kind kinds[] = { TAP_PURCHASE, TAP_ALIGHT };
	void *blob;
	struct tariff *t = pack_open(metro_pack, &blob);

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct rider_state rider = { 0 };
		struct tap metro = at(kinds[k], "M", 90), bus = at(TAP_PURCHASE, "B", 150);

		metro.start_ms = EIGHT_MS + 55 * MINUTE_MS;		/* 08:55 to 09:30: the peak's price */
		assert_int_equal(moved(t, &rider, &metro), 400);
		assert_int_equal(moved(t, &rider, &bus), 150);		/* 10:30, an hour after the exit */
		rider = (struct rider_state){ 0 };
		metro.start_ms = 0;					/* not told: 09:30 is all there is */
		assert_int_equal(moved(t, &rider, &metro), 300);
	}
	tariff_close(t);
	free(blob);
}

static void a_ride_told_at_its_start_opens_its_window_at_its_end(void **state)
{
	struct rider_state rider = { 0 };
	struct tap metro = at(TAP_PURCHASE, "M", 55), bus = at(TAP_PURCHASE, "B", 150);
	void *blob;
	struct tariff *t = pack_open(metro_pack, &blob);

	(void)state;
	metro.end_ms = EIGHT_MS + 90 * MINUTE_MS;
	assert_int_equal(moved(t, &rider, &metro), 400);
	assert_int_equal(moved(t, &rider, &bus), 150);
	rider = (struct rider_state){ 0 };
	metro.end_ms = 0;
	assert_int_equal(moved(t, &rider, &metro), 400);
	assert_int_equal(moved(t, &rider, &bus), 200);
	tariff_close(t);
	free(blob);
}

static void a_record_tells_that_its_rider_changed_inside_the_paid_area(void **state)
{
	struct rider_state rider = { 0 };
	struct tap first = at(TAP_PURCHASE, "M", 130), second = at(TAP_PURCHASE, "N", 150);
	void *blob;
	struct tariff *t = pack_open(metro_pack, &blob);

	(void)state;
	assert_int_equal(moved(t, &rider, &first), 300);
	assert_int_equal(moved(t, &rider, &second), 300);	/* out through the gates and in again */
	rider = (struct rider_state){ 0 };
	second.flags |= TAP_INSIDE;
	assert_int_equal(moved(t, &rider, &first), 300);
	assert_int_equal(moved(t, &rider, &second), 200);
	tariff_close(t);
	free(blob);
}

static void an_exit_that_tells_its_entry_settles_that_entry_and_no_other(void **state)
{
	struct rider_state rider = { 0 };
	struct tap entry = at(TAP_BOARD, "M", 0), leave = at(TAP_ALIGHT, "M", 20), other = at(TAP_ALIGHT, "N", 200);
	void *blob;
	struct tariff *t = pack_open(metro_pack, &blob);

	(void)state;
	entry.time_ms += 321;				/* the card keeps the second of it */
	leave.start_ms = EIGHT_MS;
	assert_int_equal(moved(t, &rider, &entry), 500);
	assert_int_equal(moved(t, &rider, &leave), -100);
	assert_int_equal(moved(t, &rider, &leave), 400);	/* nothing is open any more */
	rider = (struct rider_state){ 0 };
	other.start_ms = EIGHT_MS + 180 * MINUTE_MS;
	assert_int_equal(moved(t, &rider, &entry), 500);
	assert_int_equal(moved(t, &rider, &other), 300 + 600 - 500);	/* the first ride had no tap-off */
	assert_int_equal(rider.open_ms, 0);
	tariff_close(t);
	free(blob);
}

static void what_a_records_stops_and_list_fare_say_is_all_that_two_records_differ_in_which_say_the_rest_alike(void **state)
{
	void *blob;
	struct tariff *t = pack_open(metro_pack, &blob);

	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct tap first = sample_random_tap(), second = first;
		struct ride of_first, of_second;

		memset(&of_first, 0, sizeof(of_first));
		memset(&of_second, 0, sizeof(of_second));
		second.stop = sample_below(4) * 7;
		second.stop_on = sample_below(4) * 5;
		second.list_fen = sample_below(70000);
		second.amount_fen = sample_below(70000);
		tap_ride(&first, t, &of_first);
		tap_ride(&second, t, &of_second);
		tap_ride_told(&second, &of_first);
		assert_memory_equal(&of_first, &of_second, sizeof(of_first));
	}
	tariff_close(t);
	free(blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_tells_rating_its_card_and_the_stops_ridden),
		cmocka_unit_test(a_ride_told_at_its_end_is_looked_at_by_its_entry_and_its_window_runs_from_its_exit),
		cmocka_unit_test(a_ride_told_at_its_start_opens_its_window_at_its_end),
		cmocka_unit_test(a_record_tells_that_its_rider_changed_inside_the_paid_area),
		cmocka_unit_test(an_exit_that_tells_its_entry_settles_that_entry_and_no_other),
		cmocka_unit_test(what_a_records_stops_and_list_fare_say_is_all_that_two_records_differ_in_which_say_the_rest_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
