/* The core: each verdict at its limit and one past it, precedence, and postings that always cover the fare. */
#include "clearing/core/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tap tap;
static struct terminal_row terminal;
static struct issuer_row issuer;
static struct judge_input in;

static int set_up(void **state)
{
	(void)state;
	tap = (struct tap){ .version = 1, .kind = TAP_PURCHASE, .card_class = 1, .amount_fen = 90, .list_fen = 100, .balance_before = 1000, .balance_after = 910,
			    .time_ms = (int64_t)day_of_civil(2025, 11, 3) * 86400000 + 4 * 3600000 };
	terminal = (struct terminal_row){ .device = "V-1", .operator_id = 101, .valid_to_ms = INT64_MAX };
	issuer = (struct issuer_row){ .issuer = 0x02184280, .ours = true, .valid_to_ms = INT64_MAX };
	in = (struct judge_input){ .tap = &tap, .check = KEY_CHECK_GOOD, .device = "V-1", .terminal = &terminal, .issuer = &issuer,
				   .open_day = day_of_civil(2025, 11, 3), .cut_s = 3 * 3600, .limits = &judge_limits_default };
	return 0;
}

static void a_sane_tap_is_accepted(void **state)
{
	(void)state;
	assert_int_equal(judge(&in), VERDICT_ACCEPTED);
}

static void each_single_fault_has_its_verdict(void **state)
{
	(void)state;
	in.tap = NULL;
	assert_int_equal(judge(&in), VERDICT_MALFORMED);
	set_up(NULL);
	in.terminal = NULL;
	assert_int_equal(judge(&in), VERDICT_TERMINAL_UNKNOWN);
	set_up(NULL);
	in.device = "V-2";
	assert_int_equal(judge(&in), VERDICT_TERMINAL_MISMATCH);
	set_up(NULL);
	tap.psam[5] = 1;
	assert_int_equal(judge(&in), VERDICT_TERMINAL_MISMATCH);
	set_up(NULL);
	tap.card_class = 4;
	assert_int_equal(judge(&in), VERDICT_TEST);
	set_up(NULL);
	in.check = KEY_CHECK_BAD;
	assert_int_equal(judge(&in), VERDICT_BAD_MAC);
	set_up(NULL);
	in.check = KEY_CHECK_GREY;
	assert_int_equal(judge(&in), VERDICT_GREY);
	in.seen = SEEN_GREY_RECOVERED;
	assert_int_equal(judge(&in), VERDICT_GREY_SUPERSEDED);
	set_up(NULL);
	in.seen = SEEN_SAME;
	assert_int_equal(judge(&in), VERDICT_DUPLICATE);
	in.seen = SEEN_OTHER;
	assert_int_equal(judge(&in), VERDICT_CONFLICT);
	in.seen = SEEN_COUNTER;
	assert_int_equal(judge(&in), VERDICT_COUNTER_REPEATED);
	set_up(NULL);
	in.issuer = NULL;
	assert_int_equal(judge(&in), VERDICT_ISSUER_UNKNOWN);
	set_up(NULL);
	in.future = true;
	assert_int_equal(judge(&in), VERDICT_FUTURE);
	set_up(NULL);
	in.blacklisted = true;
	assert_int_equal(judge(&in), VERDICT_BLACKLISTED);
	set_up(NULL);
	in.check = KEY_CHECK_FOREIGN;
	assert_int_equal(judge(&in), VERDICT_PENDING);
	for (int check = KEY_CHECK_NO_KEY; check < 32; check++)	/* nothing unverified is settled, nor what a later release calls by a new number */
		if (check != KEY_CHECK_DEVICE && check != KEY_CHECK_UNAVAILABLE) {
			in.check = (enum key_check)check;
			assert_int_equal(judge(&in), VERDICT_PENDING);
		}
	in.check = KEY_CHECK_UNAVAILABLE;	/* also of one that looks like a copy: nothing is known of its code */
	for (int seen = SEEN_NO; seen <= SEEN_GREY_RECOVERED; seen++) {
		in.seen = (enum seen_before)seen;
		assert_int_equal(judge(&in), VERDICT_PENDING_TAC);
	}
	set_up(NULL);
	tap.kind = TAP_SIGN_ON;
	assert_int_equal(judge(&in), VERDICT_EVENT);
}

static void a_late_tap_is_money_until_it_is_too_old_after_thirty_days(void **state)
{
	static const struct { int days; enum verdict v; } row[] = { { 0, VERDICT_ACCEPTED }, { 10, VERDICT_ACCEPTED }, { 11, VERDICT_ACCEPTED }, { 30, VERDICT_ACCEPTED },
		{ 31, VERDICT_TOO_OLD } };
	int64_t today = tap.time_ms;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		tap.time_ms = today - row[i].days * 86400000LL;
		assert_int_equal(judge(&in), row[i].v);
	}
}

static void a_tap_before_the_cut_hour_is_of_the_day_before(void **state)
{
	(void)state;
	tap.time_ms = (int64_t)day_of_civil(2025, 10, 4) * 86400000 - CIVIL_OFFSET_MS + 3 * 3600000 - 1;
	assert_int_equal(judge(&in), VERDICT_TOO_OLD);
	tap.time_ms++;
	assert_int_equal(judge(&in), VERDICT_ACCEPTED);
}

static void amounts_at_the_limit_pass_and_one_past_do_not(void **state)
{
	(void)state;
	tap.amount_fen = 50000;
	tap.balance_before = 100000;
	tap.balance_after = 50000;
	assert_int_equal(judge(&in), VERDICT_ACCEPTED);
	tap.amount_fen = 50001;
	tap.balance_after = 49999;
	assert_int_equal(judge(&in), VERDICT_AMOUNT);
	set_up(NULL);
	tap.balance_before = 100001;
	tap.balance_after = tap.balance_before - tap.amount_fen;
	assert_int_equal(judge(&in), VERDICT_AMOUNT);
	set_up(NULL);
	tap.balance_after++;
	assert_int_equal(judge(&in), VERDICT_AMOUNT);
	tap.kind = TAP_BANK;
	assert_int_equal(judge(&in), VERDICT_ACCEPTED);
}

static void the_first_in_precedence_is_the_answer(void **state)
{
	(void)state;
	in.blacklisted = true;
	in.future = true;
	tap.balance_after = 0;
	assert_int_equal(judge(&in), VERDICT_FUTURE);
	in.issuer = NULL;
	assert_int_equal(judge(&in), VERDICT_ISSUER_UNKNOWN);
	in.seen = SEEN_SAME;
	assert_int_equal(judge(&in), VERDICT_DUPLICATE);
	in.check = KEY_CHECK_BAD;
	assert_int_equal(judge(&in), VERDICT_BAD_MAC);
	in.terminal = NULL;
	assert_int_equal(judge(&in), VERDICT_TERMINAL_UNKNOWN);
}

static void every_verdict_has_a_name_and_two_sentences(void **state)
{
	(void)state;
	for (int v = 0; v < VERDICT_COUNT; v++) {
		const struct verdict_info *i = verdict_info((enum verdict)v);

		assert_non_null(i->name);
		assert_true(i->zh[0] != '\0' && i->en[0] != '\0' && strlen(i->code) == 6);
		assert_int_equal(i->money, v == VERDICT_ACCEPTED || v == VERDICT_PENDING);
	}
}

static int64_t credited(const struct priced *p, unsigned account_class)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < p->posting_count; i++)
		sum += ACCOUNT_CLASS(p->posting[i].credit) == account_class ? p->posting[i].amount.fen : 0;
	return sum;
}

static void postings_cover_the_charge_and_the_subsidies(void **state)
{
	unsigned seed = 20251103;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int i = 0; i < 100000; i++) {
		int64_t published = rand_r(&seed) % 1000, paid = published > 0 ? rand_r(&seed) % (published + 1) : 0, subsidy = 0;
		struct fare fare = { .published = money_of_fen(published), .paid = money_of_fen(paid), .moved = money_of_fen(paid), .funder_count = (uint8_t)(rand_r(&seed) % 4) };
		bool pending = rand_r(&seed) % 4 == 0;
		enum scheme scheme = (enum scheme)(1 + rand_r(&seed) % 4);
		struct priced p;

		for (uint8_t k = 0; k < fare.funder_count; k++) {
			int64_t left = published - paid - subsidy;

			fare.funder[k].treasury = (uint16_t)(k + 1);
			fare.funder[k].amount = money_of_fen(left > 0 ? rand_r(&seed) % (left + 1) : 0);
			subsidy += fare.funder[k].amount.fen;
		}
		fare.absorbed = money_of_fen(published - paid - subsidy);
		tap.amount_fen = (uint32_t)(rand_r(&seed) % 3 == 0 ? rand_r(&seed) % 1000 : paid);
		post_fare(&fare, &tap, scheme, pending, 101, NULL, &p);
		assert_int_equal(credited(&p, pending ? ACCOUNT_OPERATOR_PENDING : ACCOUNT_OPERATOR), (tap.amount_fen < paid ? tap.amount_fen : paid) + subsidy);
		assert_int_equal(credited(&p, ACCOUNT_RIDER_REFUND), tap.amount_fen > paid ? tap.amount_fen - paid : 0);
		assert_int_equal(p.charged.fen, p.rated.fen + p.overcharge.fen - p.undercharge.fen);
	}
}

static void a_bank_card_is_debited_what_is_due_and_never_more_than_was_shown(void **state)
{
	static const struct { int64_t shown, due, debited; } cases[] = { { 200, 200, 200 }, { 200, 100, 100 }, { 200, 0, 0 }, { 100, 200, 100 }, { 200, -50, 0 }, { 0, 0, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fare fare = { .published = { 200 }, .paid = { cases[i].due > 0 ? cases[i].due : 0 }, .moved = { cases[i].due } };
		struct priced p;

		fare.absorbed.fen = 200 - fare.paid.fen;
		tap.kind = TAP_BANK;
		tap.amount_fen = (uint32_t)cases[i].shown;
		post_fare(&fare, &tap, SCHEME_BANK, false, 101, NULL, &p);
		assert_int_equal(p.charged.fen, cases[i].debited);
		assert_int_equal(p.undercharge.fen, cases[i].shown < cases[i].due ? cases[i].due - cases[i].shown : 0);
		assert_int_equal(credited(&p, ACCOUNT_OPERATOR), cases[i].debited);
		tap.kind = TAP_PURCHASE;		/* a purse has paid what it has paid */
		post_fare(&fare, &tap, SCHEME_PURSE, false, 101, NULL, &p);
		assert_int_equal(p.charged.fen, cases[i].shown);
	}
}

static int64_t net(const struct priced *p, account_t account)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < p->posting_count; i++) {
		sum += p->posting[i].credit == account ? p->posting[i].amount.fen : 0;
		sum -= p->posting[i].debit == account ? p->posting[i].amount.fen : 0;
	}
	return sum;
}

static void of_an_overcharge_the_policy_leaves_all_or_little_with_the_operator(void **state)
{
	account_t operator = ACCOUNT(ACCOUNT_OPERATOR, 101), rider = ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_PURSE), waits = ACCOUNT(ACCOUNT_OPERATOR_PENDING, 101);
	struct charge_policy refund = { .reason = DIFFER_OTHER }, absorb = { .reason = DIFFER_ROUNDING, .absorb = true },
			     from_30 = { .reason = DIFFER_GUEST, .refund_from_fen = 30 };
	struct fare fare = { .published = { 200 }, .paid = { 200 }, .moved = { 200 } }, off = { .published = { 200 }, .paid = { 200 }, .moved = { -100 } };
	struct priced p;

	(void)state;
	tap.amount_fen = 229;
	post_fare(&fare, &tap, SCHEME_PURSE, false, 101, &refund, &p);
	assert_int_equal(net(&p, operator), 200);
	assert_int_equal(net(&p, rider), 29);
	assert_int_equal(p.reason, DIFFER_OTHER);
	post_fare(&fare, &tap, SCHEME_PURSE, false, 101, &absorb, &p);
	assert_int_equal(net(&p, operator), 229);
	assert_int_equal(net(&p, rider), 0);
	assert_int_equal(p.kept.fen, 29);
	post_fare(&fare, &tap, SCHEME_PURSE, false, 101, &from_30, &p);
	assert_int_equal(p.kept.fen, 29);
	tap.amount_fen = 230;
	post_fare(&fare, &tap, SCHEME_PURSE, false, 101, &from_30, &p);
	assert_int_equal(p.kept.fen, 0);
	assert_int_equal(net(&p, rider), 30);
	post_fare(&fare, &tap, SCHEME_PURSE, true, 101, &absorb, &p);
	assert_int_equal(net(&p, waits), 230);
	tap.amount_fen = 0;	/* a hold comes back whatever the policy */
	post_fare(&off, &tap, SCHEME_PURSE, false, 101, &absorb, &p);
	assert_int_equal(net(&p, rider), 100);
	assert_int_equal(p.kept.fen, 0);
	tap.amount_fen = 200;
	post_fare(&fare, &tap, SCHEME_PURSE, false, 101, &absorb, &p);
	assert_int_equal(p.reason, DIFFER_NONE);
}

static void a_hold_is_settled_by_the_tap_off_to_the_fen(void **state)
{
	static const int64_t fares[] = { 200, 300, 500 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		int64_t rest = fares[i] - 300, taken = rest > 0 ? rest : 0;
		struct fare on = { .moved = { 300 } }, off = { .published = { fares[i] }, .paid = { fares[i] }, .moved = { rest } };
		account_t operator = ACCOUNT(ACCOUNT_OPERATOR, 101), rider = ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_PURSE);
		struct priced a, b;

		tap.amount_fen = 300;
		post_fare(&on, &tap, SCHEME_PURSE, false, 101, NULL, &a);
		tap.amount_fen = (uint32_t)taken;
		post_fare(&off, &tap, SCHEME_PURSE, false, 101, NULL, &b);
		assert_int_equal(net(&a, operator) + net(&b, operator), fares[i]);
		assert_int_equal(net(&a, rider) + net(&b, rider), 300 + taken - fares[i]);
		assert_int_equal(a.hold.fen + b.hold.fen, 0);
		assert_int_equal(b.charged.fen, b.rated.fen + b.hold.fen + b.overcharge.fen - b.undercharge.fen);
	}
}

static void days_move_one_step_and_never_back(void **state)
{
	(void)state;
	for (int from = DAY_OPEN; from <= DAY_RECONCILED; from++)
		for (int to = DAY_OPEN; to <= DAY_RECONCILED; to++)
			assert_int_equal(day_may_move((enum day_state)from, (enum day_state)to), to == from + 1);
}

/* ---- adjustments ------------------------------------------------------------------------------------------ */

static struct fare fare_of(int64_t published, int64_t paid, int64_t first, int64_t second)
{
	struct fare f = { .published = { published }, .paid = { paid }, .moved = { paid }, .absorbed = { published - paid - first - second } };

	if (first != 0)
		f.funder[f.funder_count++] = (__typeof__(f.funder[0])){ 1, { first } };
	if (second != 0)
		f.funder[f.funder_count++] = (__typeof__(f.funder[0])){ 2, { second } };
	return f;
}

/* Credits less debits. */
static int64_t moved_to(const struct posting *p, uint8_t count, account_t account)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < count; i++) {
		assert_true(p[i].amount.fen > 0 && p[i].debit != p[i].credit);
		sum += p[i].credit == account ? p[i].amount.fen : 0;
		sum -= p[i].debit == account ? p[i].amount.fen : 0;
	}
	return sum;
}

static void an_adjustment_posts_only_what_two_fares_differ_by(void **state)
{
	struct fare before = fare_of(200, 200, 0, 0), after = fare_of(200, 100, 60, 40);
	struct adjust_input a = { .before = &before, .after = &after, .charged_fen = 200, .scheme = SCHEME_PURSE, .operator_id = 101 };
	struct posting p[ADJUST_POSTINGS_MAX];
	account_t operator = ACCOUNT(ACCOUNT_OPERATOR, 101), rider = ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_PURSE);
	int64_t refund;
	uint8_t n = post_adjust(&a, p, &refund);

	(void)state;
	assert_int_equal(refund, 100);
	assert_int_equal(moved_to(p, n, rider), 100);
	assert_int_equal(moved_to(p, n, operator), 0);
	assert_int_equal(moved_to(p, n, ACCOUNT(ACCOUNT_TREASURY, 1)), -60);
	assert_int_equal(moved_to(p, n, ACCOUNT(ACCOUNT_TREASURY, 2)), -40);
	a.before = &after;
	a.after = &before;
	a.refund_fen = refund;
	n = post_adjust(&a, p, &refund);
	assert_int_equal(refund, 0);
	assert_int_equal(moved_to(p, n, rider), -100);
	assert_int_equal(moved_to(p, n, ACCOUNT(ACCOUNT_TREASURY, 1)), 60);
	a.after = &after;
	a.refund_fen = 100;
	assert_int_equal(post_adjust(&a, p, &refund), 0);
}

static void a_ride_refused_after_all_gives_its_charge_and_subsidies_back(void **state)
{
	struct fare before = fare_of(200, 100, 60, 40);
	struct adjust_input a = { .before = &before, .charged_fen = 120, .refund_fen = 20, .scheme = SCHEME_BANK, .operator_id = 101 };
	struct posting p[ADJUST_POSTINGS_MAX];
	int64_t refund;
	uint8_t n = post_adjust(&a, p, &refund);

	(void)state;
	assert_int_equal(refund, 0);
	assert_int_equal(moved_to(p, n, ACCOUNT(ACCOUNT_BANK, 1)), 120);
	assert_int_equal(moved_to(p, n, ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_BANK)), -20);
	assert_int_equal(moved_to(p, n, ACCOUNT(ACCOUNT_OPERATOR, 101)), -200);
	assert_int_equal(moved_to(p, n, ACCOUNT(ACCOUNT_TREASURY, 1)) + moved_to(p, n, ACCOUNT(ACCOUNT_TREASURY, 2)), 100);
}

static void the_policy_decides_whether_a_rider_is_owed_and_nobody_is_chased(void **state)
{
	struct fare dear = fare_of(200, 200, 0, 0), cheap = fare_of(200, 150, 0, 0);
	struct adjust_input a = { .before = &dear, .after = &cheap, .charged_fen = 200, .scheme = SCHEME_PURSE, .operator_id = 101 };
	struct posting p[ADJUST_POSTINGS_MAX];
	int64_t refund;

	(void)state;
	a.policy.refund_from_fen = 50;
	assert_int_equal(post_adjust(&a, p, &refund), 1);
	assert_int_equal(refund, 50);
	a.policy.refund_from_fen = 51;
	assert_int_equal(post_adjust(&a, p, &refund), 0);
	assert_int_equal(refund, 0);
	a.policy = (struct adjust_policy){ .absorb = true };
	assert_int_equal(post_adjust(&a, p, &refund), 0);
	a = (struct adjust_input){ .before = &cheap, .after = &dear, .charged_fen = 150, .scheme = SCHEME_PURSE, .operator_id = 101 };
	assert_int_equal(post_adjust(&a, p, &refund), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_sane_tap_is_accepted, set_up),
		cmocka_unit_test_setup(each_single_fault_has_its_verdict, set_up),
		cmocka_unit_test_setup(a_late_tap_is_money_until_it_is_too_old_after_thirty_days, set_up),
		cmocka_unit_test_setup(a_tap_before_the_cut_hour_is_of_the_day_before, set_up),
		cmocka_unit_test_setup(amounts_at_the_limit_pass_and_one_past_do_not, set_up),
		cmocka_unit_test_setup(the_first_in_precedence_is_the_answer, set_up),
		cmocka_unit_test_setup(every_verdict_has_a_name_and_two_sentences, set_up),
		cmocka_unit_test_setup(postings_cover_the_charge_and_the_subsidies, set_up),
		cmocka_unit_test_setup(a_bank_card_is_debited_what_is_due_and_never_more_than_was_shown, set_up),
		cmocka_unit_test_setup(of_an_overcharge_the_policy_leaves_all_or_little_with_the_operator, set_up),
		cmocka_unit_test_setup(a_hold_is_settled_by_the_tap_off_to_the_fen, set_up),
		cmocka_unit_test(days_move_one_step_and_never_back),
		cmocka_unit_test(an_adjustment_posts_only_what_two_fares_differ_by),
		cmocka_unit_test(a_ride_refused_after_all_gives_its_charge_and_subsidies_back),
		cmocka_unit_test(the_policy_decides_whether_a_rider_is_owed_and_nobody_is_chased),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
