/* An escort's card is tied to the card it escorts: by rate() itself, and in the books whatever order taps come in. */
#include "clearing/entitlement.h"
#include "tests/unit/house.h"

static const char escort_yaml[] =
	"name: escort\ntitle: 陪护\nversion: %d\nvalid_from: 2025-01-01\npublished_on: 2025-01-01\nbasis: 例\n"
	"home_issuer: \"02184280\"\norder: [concession, transfer, ladder, cap]\nrounding: {mode: half-up, unit_fen: 1}\nstacking: unique\n"
	"groups:\n  - {name: disabled, title: 残疾, code: 1, source: 残联, hold: yes}\n  - {name: beside, title: 陪护人, code: 2, source: 残联, escort: %d}\n"
	"treasuries:\n  - {name: city, title: 市财政}\n"
	"funding:\n  - {id: full, title: 财政, basis: 例, gap: published, share: {city: 1}}\n"
	"classes:\n  - {name: flat, title: 一票制}\n  - {name: far, title: 里程}\n"
	"fares:\n  - {id: by-way, title: 里程, basis: 例, class: [far], by: m, steps: [{upto: 5000, fen: 200}, {each: 5000, fen: 100}]}\n"
	"quotas:\n  - {id: two, title: 每日两次, basis: 例, limit: 2, per: day, of: card}\n"
	"concessions:\n  - {id: half, title: 残疾半价, basis: 例, from: 2025-01-01, who: [disabled], price: 50%%, fund: full}\n"
	"  - {id: beside, title: 陪护免费, basis: 例, from: 2025-01-01, who: [beside], price: free, quota: two, quota_empty: published, fund: full}\n"
	"transfers:\n  - {id: x, title: 换乘, basis: 例, minutes: 90, minus_fen: 50, fund: full}\n"
	"ladders:\n  - {id: many, title: 累计, basis: 例, count: rides, per: month, reading: before, steps: [{from: 0, rate: 100%%}, {from: 2, rate: 50%%}], fund: full}\n"
	"caps:\n  - {id: day, title: 日封顶, basis: 例, per: day, limits: [{from: 2025-01-01, fen: 1000}], fund: full}\n"
	"open_rides:\n  - {id: open, title: 未刷下车, basis: 例, class: [far], hold: 300, unfinished: 400, same_line: yes}\n%s";
static const char no_lock[] = "", locked[] = "locks:\n  - {id: lock, title: 连刷, basis: 例, minutes: 10, with: all, then: refuse}\n";

static struct { void *p; size_t n; struct tariff *t; } plain, lock;

static void pack_make(const char *locks, void **ret_p, size_t *ret_n, struct tariff **ret_t)
{
	char dir[] = "/tmp/escort.XXXXXX", path[64];
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/pack.yaml", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, escort_yaml, 3, 5, locks);
	fclose(f);
	file_write(dir, "lines.csv", lines_csv, 0, 0);
	assert_int_equal(tariff_compile(dir, problem_told, NULL, ret_p, ret_n), 0);
	assert_int_equal(tariff_open(*ret_p, *ret_n, ret_t), 0);
	dir_remove(dir);
}

static int set_up(void **state)
{
	if (packs_make(state) != 0)
		return -1;
	pack_make(no_lock, &plain.p, &plain.n, &plain.t);
	pack_make(locked, &lock.p, &lock.n, &lock.t);
	return 0;
}

static int tear_down(void **state)
{
	tariff_close(plain.t);
	tariff_close(lock.t);
	free(plain.p);
	free(lock.p);
	return packs_free(state);
}

/* ---- rate() ------------------------------------------------------------------------------------------------------ */

#define NOON_MS ((int64_t)DAY0 * 86400000 - CIVIL_OFFSET_MS + 43200000LL)
enum who { PERSON, ESCORT };

static struct fare ride(const struct tariff *t, struct rider_state *s, enum who who, int64_t after_ms, const char *line, const char *vehicle)
{
	struct rider rider = { .birth = DAY_NONE, .issued = DAY_NONE, .hold_count = 1, .escort = who == ESCORT, .escort_from = DAY0, .escort_to = DAY0 };
	struct ride r = { .time_ms = NOON_MS + after_ms, .event = RIDE_SINGLE, .medium = MEDIUM_PURSE, .card = 7 + who };
	struct fare f;

	rider.hold[0] = (struct hold){ .group = 1, .from = 0, .to = INT32_MAX, .verified_to = INT32_MAX };
	snprintf(r.line, sizeof(r.line), "%s", line);
	snprintf(r.vehicle, sizeof(r.vehicle), "%s", vehicle);
	rate(t, &rider, s, &r, s, &f, NULL);
	return f;
}

static int64_t paid(struct rider_state *s, enum who who, int64_t after_ms, const char *line, const char *vehicle)
{
	struct fare f = ride(plain.t, s, who, after_ms, line, vehicle);

	assert_int_equal(f.reject, FARE_OK);
	return f.paid.fen;
}

static void an_escort_rides_free_only_right_after_its_persons_tap_in_the_same_vehicle(void **state)
{
	struct { int64_t after_ms; const char *vehicle; int64_t fen; } cases[] = {
		{ 0, "V1", 0 }, { 300000, "V1", 0 }, { 300001, "V1", 200 }, { -1, "V1", 200 }, { 60000, "V2", 200 }, { 60000, "", 200 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rider_state s = { 0 };

		assert_int_equal(paid(&s, PERSON, 0, "A", "V1"), 100);
		assert_int_equal(paid(&s, ESCORT, cases[i].after_ms, "A", cases[i].vehicle), cases[i].fen);
		s = (struct rider_state){ 0 };
		assert_int_equal(paid(&s, ESCORT, cases[i].after_ms, "A", cases[i].vehicle), 200);	/* alone, and not half: the hold is the person's */
	}
}

static void one_ride_of_the_person_takes_one_escort(void **state)
{
	struct rider_state s = { 0 };

	(void)state;
	paid(&s, PERSON, 0, "A", "V1");
	assert_int_equal(paid(&s, ESCORT, 60000, "A", "V1"), 0);
	assert_int_equal(paid(&s, ESCORT, 61000, "A", "V1"), 200);
	paid(&s, PERSON, 7200000, "B", "V2");
	assert_int_equal(paid(&s, ESCORT, 7260000, "B", "V2"), 0);
}

static void an_escort_has_its_cards_own_quota(void **state)
{
	struct rider_state s = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		int64_t at = i * 7200000LL;

		paid(&s, PERSON, at, "A", "V1");
		assert_int_equal(paid(&s, ESCORT, at + 60000, "A", "V1"), i < 2 ? 0 : 200);
	}
}

static void an_escorts_card_is_one_on_the_days_of_the_register(void **state)
{
	struct rider_state s = { 0 };

	(void)state;
	for (int day = -1; day <= 1; day++) {
		paid(&s, PERSON, day * 86400000LL, "A", "V1");
		assert_int_equal(paid(&s, ESCORT, day * 86400000LL + 60000, "A", "V1"), day == 0 ? 0 : 200);
	}
}

static void an_escorts_rides_leave_the_persons_fares_alone(void **state)
{
	static const struct { int64_t after_ms; const char *line, *vehicle; } rides[] = {
		{ 0, "A", "V1" }, { 3600000, "B", "V2" }, { 7200000, "A", "V1" }, { 20000000, "C", "V3" },
	};
	struct rider_state with = { 0 }, without = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rides) / sizeof(rides[0]); i++) {
		int64_t fen = paid(&without, PERSON, rides[i].after_ms, rides[i].line, rides[i].vehicle);

		assert_int_equal(paid(&with, PERSON, rides[i].after_ms, rides[i].line, rides[i].vehicle), fen);
		paid(&with, ESCORT, rides[i].after_ms + 60000, rides[i].line, rides[i].vehicle);
		paid(&with, ESCORT, rides[i].after_ms + 70000, "B", "V9");
	}
}

static void a_lock_lets_the_first_escort_pass_and_refuses_the_second_by_its_rule(void **state)
{
	struct rider_state s = { 0 };
	struct tariff_rule rule;
	struct fare f;

	(void)state;
	assert_int_equal(ride(lock.t, &s, PERSON, 0, "A", "V1").reject, FARE_OK);
	assert_int_equal(ride(lock.t, &s, ESCORT, 1000, "A", "V1").paid.fen, 0);
	f = ride(lock.t, &s, ESCORT, 2000, "A", "V1");
	assert_int_equal(f.reject, FARE_REPEAT_TAP);
	assert_true(tariff_rule(lock.t, f.rule, &rule));
	assert_string_equal(rule.id, "lock");
}

static void an_escorts_taps_at_both_ends_leave_the_persons_open_ride_open(void **state)
{
	struct rider rider = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct ride on = { .time_ms = NOON_MS, .event = RIDE_ON, .medium = MEDIUM_PURSE, .card = 7, .line = "K", .vehicle = "V1" }, off = on;
	struct rider_state s = { 0 };
	struct fare f;

	(void)state;
	off.event = RIDE_OFF;
	off.distance_m = 3000;
	rate(plain.t, &rider, &s, &on, &s, &f, NULL);
	assert_int_equal(f.moved.fen, 300);
	rider.escort = true;
	rider.escort_from = rider.escort_to = DAY0;
	rate(plain.t, &rider, &s, &on, &s, &f, NULL);
	assert_int_equal(f.moved.fen, 0);
	off.time_ms += 1200000;
	rate(plain.t, &rider, &s, &off, &s, &f, NULL);		/* before the person: alone */
	assert_int_equal(f.moved.fen, 200);
	assert_int_equal(s.open_ms, NOON_MS);
	rider.escort = false;
	rate(plain.t, &rider, &s, &off, &s, &f, NULL);
	assert_int_equal(f.moved.fen, -100);
	rider.escort = true;
	off.time_ms += 30000;
	rate(plain.t, &rider, &s, &off, &s, &f, NULL);		/* behind the person */
	assert_int_equal(f.moved.fen, 0);
	assert_int_equal(f.published.fen, 200);
}

/* ---- in the books -------------------------------------------------------------------------------------------------- */

static void escort_house_of(struct house *h, const void *pack, size_t n)
{
	static const char media[] = "pan,person,medium,from,to\n31047301500000000001,00000000000000AA,purse,,\n31047301500000000002,00000000000000AA,escort,2025-11-01,2025-11-30\n";
	uint8_t head[8];

	house_open(h);
	be64_put(head, (uint64_t)((int64_t)(DAY0 - 2) * 86400000 - CIVIL_OFFSET_MS));
	event_add(h, EVENT_TARIFF, head, 8, pack, n);
	event_add(h, EVENT_MEDIA, "", 0, media, strlen(media));
}

static void escort_house(struct house *h) { escort_house_of(h, plain.p, plain.n); }

static struct tap card_at(unsigned card, int32_t day, int minute, uint32_t charged)
{
	struct tap t = tap_at(card, day, minute, "A", charged);

	assert_true(pan_parse(card == 1 ? "31047301500000000001" : "31047301500000000002", t.pan));
	return t;
}

static void the_register_ties_an_escorts_card_and_both_look_ups_know_it(void **state)
{
	struct rider found, remembered, person;
	struct known *known;
	struct house h;
	uint8_t pan[10];
	struct txn t;

	(void)state;
	escort_house(&h);
	assert_int_equal(known_new(8, &known), 0);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	assert_true(pan_parse("31047301500000000002", pan));
	uint64_t handle = rider_find(&t, pan, UINT64_MAX, &found);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(known_rider(known, &t, pan, UINT64_MAX, &remembered), handle);
		assert_true(remembered.escort && found.escort);
		assert_int_equal(remembered.escort_from, day_of_civil(2025, 11, 1));
		assert_int_equal(remembered.escort_to, day_of_civil(2025, 11, 30));
	}
	assert_true(pan_parse("31047301500000000001", pan));
	assert_int_equal(rider_find(&t, pan, UINT64_MAX, &person), handle);
	assert_false(person.escort);
	txn_abort(&t);
	known_free(known);
	house_close(&h);
}

static void a_late_tap_of_the_person_makes_the_escorts_settled_ride_free_by_an_adjustment(void **state)
{
	struct tap person = card_at(1, DAY0, 480, 200), escort = card_at(2, DAY0, 481, 200), other = card_at(2, DAY0, 500, 200);
	struct house late, ordered;
	struct adjustment a;
	struct fare f;

	(void)state;
	escort_house(&late);
	tap_send(&late, &other);
	tap_send(&late, &escort);
	day_end(&late);
	assert_int_equal(paid_of(&late, &escort), 200);
	tap_send(&late, &person);
	day_end(&late);
	assert_int_equal(stands(&late, &escort, &f, &a), 1);
	assert_int_equal(f.paid.fen, 0);
	assert_int_equal(f.group, 2);
	assert_int_equal(a.cause, ADJUST_LATE_TAP);
	assert_int_equal(paid_of(&late, &other), 200);
	assert_int_equal(paid_of(&late, &person), 200);

	escort_house(&ordered);
	tap_send(&ordered, &person);
	tap_send(&ordered, &escort);
	tap_send(&ordered, &other);
	day_end(&ordered);
	day_end(&ordered);
	assert_int_equal(paid_of(&ordered, &escort), 0);
	same_books(&late, &ordered);
	all_holds(&late);
	all_holds(&ordered);
	house_close(&late);
	house_close(&ordered);
}

static char *explained(struct house *h, const struct tap *tap, bool json)
{
	uint8_t id[TAP_KEY_BYTES];
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	tap_key(tap, id);
	assert_int_equal(explain_tap(h->store, id, json, f), 0);
	fclose(f);
	return text;
}

static void a_refused_tap_is_explained_by_the_rule_that_refused_it(void **state)
{
	struct tap first = card_at(1, DAY0, 480, 200), again = card_at(1, DAY0, 481, 200);
	struct house h;
	char *text;

	(void)state;
	escort_house(&h);
	tap_send(&h, &first);
	tap_send(&h, &again);
	day_end(&h);
	text = explained(&h, &again, false);
	assert_null(strstr(text, "拒绝依规则"));	/* this pack has no lock */
	free(text);
	house_close(&h);
	escort_house_of(&h, lock.p, lock.n);
	tap_send(&h, &first);
	tap_send(&h, &again);
	day_end(&h);
	text = explained(&h, &again, false);
	assert_non_null(strstr(text, "拒绝依规则 连刷  依据: 例"));
	free(text);
	text = explained(&h, &again, true);
	assert_non_null(strstr(text, "\"refused_by\":{\"rule\":\"lock\""));
	free(text);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_escort_rides_free_only_right_after_its_persons_tap_in_the_same_vehicle),
		cmocka_unit_test(one_ride_of_the_person_takes_one_escort),
		cmocka_unit_test(an_escort_has_its_cards_own_quota),
		cmocka_unit_test(an_escorts_card_is_one_on_the_days_of_the_register),
		cmocka_unit_test(an_escorts_rides_leave_the_persons_fares_alone),
		cmocka_unit_test(a_lock_lets_the_first_escort_pass_and_refuses_the_second_by_its_rule),
		cmocka_unit_test(an_escorts_taps_at_both_ends_leave_the_persons_open_ride_open),
		cmocka_unit_test(the_register_ties_an_escorts_card_and_both_look_ups_know_it),
		cmocka_unit_test(a_refused_tap_is_explained_by_the_rule_that_refused_it),
		cmocka_unit_test(a_late_tap_of_the_person_makes_the_escorts_settled_ride_free_by_an_adjustment),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
