/* Why a terminal charged otherwise than is rated: every reason by the ride rated without what the terminal did not know. */
#include "tariffs/tariffs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char pack_yaml[] =
	"name: differ\ntitle: 差异\nversion: %d\nvalid_from: 2025-01-01\npublished_on: 2025-01-01\nbasis: 例\nhome_issuer: \"02184280\"\n"
	"regions:\n  - {issuer: 02020002, guest: region, title: 邻市}\n"
	"order: [concession, transfer]\nrounding: {mode: half-up, unit_fen: 1}\nstacking: unique\n"
	"groups:\n  - {name: elder, title: 老年, code: 1, source: 民政, hold: yes}\n  - {name: veteran, title: 退役军人, code: 2, source: 退役, hold: yes}\n"
	"  - {name: aged, title: 八十, code: 3, source: 公安, age: [80, \"\"]}\n  - {name: pupil, title: 学生卡, code: 4, source: 教育, class: [2]}\n"
	"funding:\n  - {id: discount, title: 企业让利, basis: 例, gap: none}\n"
	"classes:\n  - {name: flat, title: 一票制}\n  - {name: far, title: 里程}\n"
	"fares:\n  - {id: way, title: 里程, basis: 例, class: [far], flat_fen: 200}\n"
	"concessions:\n  - {id: ordinary, title: 普通, basis: 例, from: 2025-01-01, price: %s, fund: discount}\n"
	"  - {id: elder, title: 老年半价, basis: 例, from: 2025-01-01, who: [elder], price: 50%%, precedence: 10, fund: discount}\n"
	"  - {id: veteran, title: 军人免费, basis: 例, from: 2025-01-01, who: [veteran], price: free, precedence: 20, fund: discount}\n"
	"  - {id: aged, title: 高龄, basis: 例, from: 2025-01-01, who: [aged], price: 30%%, precedence: 15, fund: discount}\n"
	"  - {id: pupil, title: 学生, basis: 例, from: 2025-01-01, who: [pupil], price: 60%%, precedence: 5, fund: discount}\n"
	"  - {id: near, title: 邻市卡, basis: 例, from: 2025-01-01, guest: [region], price: 95%%, precedence: 1, fund: discount}\n"
	"transfers:\n  - {id: city, title: 换乘, basis: 例, class: [flat], minutes: 90, same_line: no, minus_fen: 40, fund: discount}\n"
	"open_rides:\n  - {id: open, title: 两次刷卡, basis: 例, class: [far], hold: 300, unfinished: keep-hold, same_line: yes}\n"
	"late: {owed: absorb}\n"
	"differences:\n  - {id: kept, title: 取整差归企业, basis: 例, reason: [rounding], owed: absorb}\n"
	"  - {id: small, title: 小额不退, basis: 例, reason: [guest, unknown-hold], refund_from_fen: 50}\n"
	"  - {id: back, title: 迟到权益退还, basis: 例, reason: [late-hold], owed: refund}\n"
	"  - {id: rest, title: 其余, basis: 例, refund_from_fen: 7}\n";
static const char lines_csv[] = "line,class,fare\nA,flat,flat:200\nB,flat,flat:300\nK,far,class\n";
static struct { void *blob; size_t bytes; struct tariff *t; } pack[2];

static void told(void *arg, const char *text) { (void)arg; print_message("# %s\n", text); }

static void write_file(const char *dir, const char *name, const char *format, int version, const char *price)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, format, version, price);
	fclose(f);
}

static int packs_make(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		char dir[] = "/tmp/differ.XXXXXX", path[64];

		if (mkdtemp(dir) == NULL)
			return -1;
		write_file(dir, "pack.yaml", pack_yaml, i + 1, i == 0 ? "83.3%" : "70%");
		write_file(dir, "lines.csv", lines_csv, 0, "");
		if (tariff_compile(dir, told, NULL, &pack[i].blob, &pack[i].bytes) != 0 || tariff_open(pack[i].blob, pack[i].bytes, &pack[i].t) != 0)
			return -1;
		snprintf(path, sizeof(path), "%s/pack.yaml", dir);
		unlink(path);
		snprintf(path, sizeof(path), "%s/lines.csv", dir);
		unlink(path);
		rmdir(dir);
	}
	return 0;
}

static int packs_free(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		tariff_close(pack[i].t);
		free(pack[i].blob);
	}
	return 0;
}

/* ---- one ride ------------------------------------------------------------------------------------------------ */

static const struct rider nobody = { .birth = DAY_NONE, .issued = DAY_NONE };
static const struct rider_state no_ride;

static struct ride ride_at(int minute, const char *line)
{
	struct ride r = { .time_ms = 1762131600000LL + minute * 60000LL, .event = RIDE_SINGLE, .medium = MEDIUM_PURSE, .card_class = 1, .issuer = 0x02184280,
			  .list = money_of_fen(line[0] == 'B' ? 300 : 200) };

	snprintf(r.line, sizeof(r.line), "%s", line);
	snprintf(r.vehicle, sizeof(r.vehicle), "V%s", line);
	r.guest = tariff_guest_of(pack[0].t, r.issuer);
	return r;
}

static struct rider with_holds(unsigned first, unsigned second)
{
	struct rider r = nobody;

	r.hold[r.hold_count++] = (struct hold){ .group = (uint16_t)first, .to = INT32_MAX, .verified_to = INT32_MAX };
	if (second != 0)
		r.hold[r.hold_count++] = (struct hold){ .group = (uint16_t)second, .to = INT32_MAX, .verified_to = INT32_MAX };
	return r;
}

static struct difference asked(const struct rider *rider, const struct rider_state *state, const struct ride *ride, int64_t charged)
{
	struct difference_ask ask = { .t = pack[0].t, .rider = rider, .state = state, .ride = ride, .charged_fen = charged };

	return tariff_differ(&ask);
}

static struct rider_state after_ride(const struct rider *rider, const struct ride *ride)
{
	struct rider_state s = { 0 };
	struct fare f;

	rate(pack[0].t, rider, &s, ride, &s, &f, NULL);
	return s;
}

/* ---- reasons ------------------------------------------------------------------------------------------------- */

static void what_is_rated_is_no_difference(void **state)
{
	struct ride r = ride_at(0, "A");

	(void)state;
	assert_int_equal(asked(&nobody, &no_ride, &r, 167).reason, DIFFER_NONE);
	assert_int_equal(asked(&nobody, &no_ride, &r, 137).reason, DIFFER_OTHER);
}

static void a_fen_that_another_rounding_gives_is_rounding(void **state)
{
	struct ride r = ride_at(0, "A");
	struct difference d = asked(&nobody, &no_ride, &r, 166);

	(void)state;
	assert_int_equal(d.reason, DIFFER_ROUNDING);
	assert_int_equal(d.round_mode, ROUND_FLOOR);
	assert_int_equal(asked(&nobody, &no_ride, &r, 168).reason, DIFFER_OTHER);	/* a fen that no rounding gives */
}

static void what_the_pack_of_the_record_gives_is_old_parameters(void **state)
{
	struct ride r = ride_at(0, "A");
	struct difference_ask ask = { .t = pack[0].t, .rider = &nobody, .state = &no_ride, .ride = &r, .charged_fen = 140, .terminal = pack[1].t };

	(void)state;
	assert_int_equal(tariff_differ(&ask).reason, DIFFER_OLD_PARAMETERS);
	ask.charged_fen = 141;
	assert_int_equal(tariff_differ(&ask).reason, DIFFER_OTHER);
	ask.terminal = NULL;
	ask.terminal_unknown = true;
	assert_int_equal(tariff_differ(&ask).reason, DIFFER_OLD_PARAMETERS);
	ask.charged_fen = 166;	/* proven by rounding, so not laid on a pack nobody knows */
	assert_int_equal(tariff_differ(&ask).reason, DIFFER_ROUNDING);
}

static void the_ride_without_an_entitlement_names_the_hold(void **state)
{
	struct rider veteran = with_holds(1, 2), elder = with_holds(1, 0), aged = nobody;
	struct ride r = ride_at(0, "A");
	struct difference d = asked(&veteran, &no_ride, &r, 100);

	(void)state;
	assert_int_equal(d.reason, DIFFER_UNKNOWN_HOLD);
	assert_int_equal(d.group, 2);
	d = asked(&elder, &no_ride, &r, 167);
	assert_int_equal(d.reason, DIFFER_UNKNOWN_HOLD);
	assert_int_equal(d.group, 1);
	d = asked(&veteran, &no_ride, &r, 167);
	assert_int_equal(d.reason, DIFFER_UNKNOWN_HOLD);
	assert_int_equal(d.group, 0);
	aged.birth = day_of_civil(1940, 1, 1);
	assert_int_equal(asked(&aged, &no_ride, &r, 167).reason, DIFFER_UNKNOWN_HOLD);
	assert_int_equal(asked(&nobody, &no_ride, &r, 100).reason, DIFFER_OTHER);
}

static void a_transfer_charged_as_a_first_ride_is_not_given(void **state)
{
	struct ride first = ride_at(0, "A"), second = ride_at(30, "B");
	struct rider_state s = after_ride(&nobody, &first);

	(void)state;
	assert_int_equal(asked(&nobody, &s, &second, 210).reason, DIFFER_NONE);
	assert_int_equal(asked(&nobody, &s, &second, 250).reason, DIFFER_TRANSFER_NOT_GIVEN);
	assert_int_equal(asked(&nobody, &no_ride, &second, 210).reason, DIFFER_OTHER);
}

static void a_reduction_without_a_ride_before_is_unmarked_where_one_may_be_assumed(void **state)
{
	struct ride first = ride_at(0, "A"), second = ride_at(30, "B");
	struct rider_state s = after_ride(&nobody, &first);
	struct difference_ask ask = { .t = pack[0].t, .rider = &nobody, .state = &no_ride, .ride = &second, .charged_fen = 210, .assumed = &s };

	(void)state;
	assert_int_equal(tariff_differ(&ask).reason, DIFFER_TRANSFER_UNMARKED);
}

static void a_guest_taken_for_another_is_guest_and_a_local_card_never_is(void **state)
{
	struct ride near = ride_at(0, "A"), far = near, local = near;

	(void)state;
	near.issuer = 0x02020002;
	far.issuer = 0x09990001;
	near.guest = tariff_guest_of(pack[0].t, near.issuer);
	far.guest = tariff_guest_of(pack[0].t, far.issuer);
	assert_int_equal(asked(&nobody, &no_ride, &near, 190).reason, DIFFER_NONE);
	assert_int_equal(asked(&nobody, &no_ride, &near, 167).reason, DIFFER_GUEST);
	assert_int_equal(asked(&nobody, &no_ride, &near, 200).reason, DIFFER_GUEST);
	assert_int_equal(asked(&nobody, &no_ride, &far, 200).reason, DIFFER_NONE);
	assert_int_equal(asked(&nobody, &no_ride, &far, 190).reason, DIFFER_GUEST);
	assert_int_equal(asked(&nobody, &no_ride, &local, 190).reason, DIFFER_OTHER);
}

static void papers_and_list_prices_and_cards_not_read_have_their_reasons(void **state)
{
	struct ride paper = ride_at(0, "A"), list = ride_at(0, "A"), pupil = ride_at(0, "A");

	(void)state;
	paper.medium = MEDIUM_MANUAL;
	assert_int_equal(asked(&nobody, &no_ride, &paper, 50).reason, DIFFER_MANUAL);
	assert_int_equal(asked(&nobody, &no_ride, &list, 200).reason, DIFFER_UNDISCOUNTED);
	pupil.card_class = 2;
	assert_int_equal(asked(&nobody, &no_ride, &pupil, 120).reason, DIFFER_NONE);
	assert_int_equal(asked(&nobody, &no_ride, &pupil, 167).reason, DIFFER_AS_ORDINARY);
	list.line[0] = 'Z';
	assert_int_equal(asked(&nobody, &no_ride, &list, 200).reason, DIFFER_REJECTED);
}

static void a_hold_that_was_more_than_the_fare_is_no_fault_of_the_terminal(void **state)
{
	struct ride on = ride_at(0, "K"), off = ride_at(20, "K");
	struct rider_state s;

	(void)state;
	on.event = RIDE_ON;
	off.event = RIDE_OFF;
	s = after_ride(&nobody, &on);
	assert_int_equal(asked(&nobody, &no_ride, &on, 300).reason, DIFFER_NONE);
	assert_int_equal(asked(&nobody, &s, &off, 0).reason, DIFFER_HOLD_BACK);
	assert_int_equal(asked(&nobody, &s, &off, 167).reason, DIFFER_OTHER);
}

static void asking_changes_nothing_and_gives_the_same_answer_again(void **state)
{
	struct rider veteran = with_holds(1, 2), copy = veteran;
	struct ride first = ride_at(0, "A");
	struct rider_state s = after_ride(&veteran, &first), kept = s;
	unsigned seed = 20251103;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int i = 0; i < 3000; i++) {
		struct ride r = ride_at(10 + rand_r(&seed) % 200, i % 3 == 0 ? "A" : "B");
		struct difference_ask ask = { .t = pack[0].t, .rider = &veteran, .state = &s, .ride = &r, .charged_fen = rand_r(&seed) % 320,
					      .terminal = i % 2 == 0 ? pack[1].t : NULL };
		struct difference a = tariff_differ(&ask), b = tariff_differ(&ask);

		assert_int_equal(a.reason, b.reason);
		assert_int_equal(a.group, b.group);
		assert_memory_equal(&copy, &veteran, sizeof(copy));
		assert_memory_equal(&kept, &s, sizeof(kept));
	}
}

static void every_reason_has_a_name_of_its_own_and_two_sentences(void **state)
{
	(void)state;
	for (int i = 0; i < DIFFERENCE_COUNT; i++) {
		const struct difference_info *a = difference_info((enum difference_reason)i);

		assert_true(a->name[0] != '\0' && a->zh[0] != '\0' && a->en[0] != '\0');
		for (int k = 0; k < i; k++)
			assert_string_not_equal(a->name, difference_info((enum difference_reason)k)->name);
	}
}

/* ---- policies ------------------------------------------------------------------------------------------------ */

static void each_reason_has_the_policy_of_the_entry_that_names_it_else_of_the_rest(void **state)
{
	const struct tariff *t = pack[0].t;
	struct tariff_rule rule;

	(void)state;
	assert_true(tariff_policy(t, DIFFER_ROUNDING).absorb);
	assert_true(tariff_rule(t, tariff_policy(t, DIFFER_ROUNDING).rule, &rule));
	assert_string_equal(rule.id, "kept");
	assert_string_equal(rule.kind, "difference");
	assert_false(tariff_policy(t, DIFFER_GUEST).absorb);
	assert_int_equal(tariff_policy(t, DIFFER_GUEST).refund_from_fen, 50);
	assert_int_equal(tariff_policy(t, DIFFER_UNKNOWN_HOLD).refund_from_fen, 50);
	assert_int_equal(tariff_policy(t, DIFFER_OTHER).refund_from_fen, 7);
	assert_int_equal(tariff_policy(t, DIFFER_MANUAL).refund_from_fen, 7);
}

static void a_ride_rated_anew_follows_late_unless_an_entry_names_its_cause(void **state)
{
	const struct tariff *t = pack[0].t;

	(void)state;
	assert_true(tariff_policy(t, DIFFER_LATE_TAP).absorb);
	assert_true(tariff_policy(t, DIFFER_RERATE).absorb);
	assert_false(tariff_policy(t, DIFFER_LATE_HOLD).absorb);
	assert_int_equal(tariff_policy(t, DIFFER_LATE_TAP).rule, 0);
	assert_int_not_equal(tariff_policy(t, DIFFER_LATE_HOLD).rule, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_rated_is_no_difference),
		cmocka_unit_test(a_fen_that_another_rounding_gives_is_rounding),
		cmocka_unit_test(what_the_pack_of_the_record_gives_is_old_parameters),
		cmocka_unit_test(the_ride_without_an_entitlement_names_the_hold),
		cmocka_unit_test(a_transfer_charged_as_a_first_ride_is_not_given),
		cmocka_unit_test(a_reduction_without_a_ride_before_is_unmarked_where_one_may_be_assumed),
		cmocka_unit_test(a_guest_taken_for_another_is_guest_and_a_local_card_never_is),
		cmocka_unit_test(papers_and_list_prices_and_cards_not_read_have_their_reasons),
		cmocka_unit_test(a_hold_that_was_more_than_the_fare_is_no_fault_of_the_terminal),
		cmocka_unit_test(asking_changes_nothing_and_gives_the_same_answer_again),
		cmocka_unit_test(every_reason_has_a_name_of_its_own_and_two_sentences),
		cmocka_unit_test(each_reason_has_the_policy_of_the_entry_that_names_it_else_of_the_rest),
		cmocka_unit_test(a_ride_rated_anew_follows_late_unless_an_entry_names_its_cause),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
