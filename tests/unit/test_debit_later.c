/*
 * What becomes of debits later: a ride that is another amount since is debited further or given back, a card's first rides
 * that nobody pays are borne as the contract says.
 */
#include "tests/unit/bank_house.h"

/* ---- rides that became another amount since ----------------------------------------------------------------------- */

static int64_t refunds_owed(void) { return balance_of(&h, ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_BANK)); }
static int64_t cash_moved(void) { return -balance_of(&h, ACCOUNT(ACCOUNT_CASH, 1)); }

static char *told_of(const struct tap *tap)
{
	uint8_t at[TAP_KEY_BYTES];
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	tap_key(tap, at);
	assert_int_equal(explain_tap(h.store, at, false, f), 0);
	fclose(f);
	return text;
}

static void a_ride_that_became_cheaper_is_given_back_by_an_item_of_its_own_once(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1], pay[8][LAYOUT_BYTES_MAX + 1];
	struct tap b = bank_at(1, DAY0, 500, "B", 300), late = bank_at(1, DAY0, 480, "A", 200);
	char id[36], *text;

	(void)state;
	send(&b);
	day_end(&h);
	build(DAY0);
	answer(DAY0, "0000");
	assert_int_equal(cash_moved(), 0);	/* the answer is of the open day */
	send(&late);				/* so the other was a transfer: 100 less */
	day_end(&h);
	assert_int_equal(paid_of(&h, &b), 200);
	assert_int_equal(refunds_owed(), 100);
	assert_int_equal(cash_moved(), 300);
	build(DAY0 + 1);
	assert_int_equal(lines_of_kind(DAY0 + 1, "DSPY", pay), 1);
	assert_int_equal(layout_get_number(layout_of("bank", "DSPY"), pay[0], "amount"), 100);
	item_of(pay[0], id);
	assert_memory_equal(id, "QR", 2);
	assert_int_equal(lines_of(DAY0 + 1, line), 1);	/* the late ride itself */
	assert_int_equal(amount_of(line[0]), 200);
	text = told_of(&b);
	assert_non_null(strstr(text, id));
	assert_non_null(strstr(text, "银行退款"));
	free(text);
	answer(DAY0 + 1, "0000");
	answer_kind(DAY0 + 1, "DSPY", "0000");
	day_end(&h);
	assert_int_equal(refunds_owed(), 0);
	assert_int_equal(cash_moved(), 400);		/* 300 and 200 in, 100 out: what the rides cost */
	build(DAY0 + 2);
	assert_int_equal(lines_of_kind(DAY0 + 2, "DSPY", pay), 0);
	all_holds(&h);
}

static void a_ride_that_became_dearer_is_debited_further_and_no_more_than_its_rider_was_shown(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1];
	struct tap a = bank_at(1, DAY0, 480, "A", 200), b = bank_at(1, DAY0, 520, "B", 300), late = bank_at(1, DAY0, 500, "B", 300);
	struct tap c = bank_at(2, DAY0, 480, "A", 200), d = bank_at(2, DAY0, 520, "B", 250), late2 = bank_at(2, DAY0, 500, "B", 300);
	unsigned further = 0;
	char id[36];

	(void)state;
	send(&a);
	send(&b);
	send(&c);
	send(&d);
	day_end(&h);
	build(DAY0);
	assert_int_equal(paid_of(&h, &b), 200);
	answer(DAY0, "0000");
	send(&late);				/* it takes the transfer; the ride behind it is of its own line */
	send(&late2);
	day_end(&h);
	assert_int_equal(paid_of(&h, &b), 300);
	assert_int_equal(refunds_owed(), -150);	/* 100 of the first, 50 of the second: it was shown 250 */
	build(DAY0 + 1);
	assert_int_equal(lines_of(DAY0 + 1, line), 4);
	for (int i = 0; i < 4; i++) {
		item_of(line[i], id);
		if (memcmp(id, "QA", 2) != 0)
			continue;
		further++;
		assert_true(amount_of(line[i]) == 100 || amount_of(line[i]) == 50);
	}
	assert_int_equal(further, 2);
	answer(DAY0 + 1, "0000");
	day_end(&h);
	assert_int_equal(refunds_owed(), 0);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_BANK, 1)), 0);
	assert_int_equal(cash_moved(), 200 + 200 + 300 + 200 + 200 + 250);
	all_holds(&h);
}

static void a_further_debit_that_is_refused_is_arrears_and_a_refund_that_is_stays_owed(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1];
	struct tap a = bank_at(1, DAY0, 480, "A", 200), b = bank_at(1, DAY0, 520, "B", 300), late = bank_at(1, DAY0, 500, "B", 300);
	struct tap c = bank_at(2, DAY0, 500, "B", 300), late2 = bank_at(2, DAY0, 480, "A", 200);
	char csv[160], error[256], id[36];
	struct denied list[8];
	uint64_t version;

	(void)state;
	send(&a);
	send(&b);
	send(&c);
	day_end(&h);
	build(DAY0);
	answer(DAY0, "0000");
	send(&late);
	send(&late2);
	day_end(&h);
	build(DAY0 + 1);
	answer(DAY0 + 1, "AM04");
	answer_kind(DAY0 + 1, "DSPY", "AC04");
	day_end(&h);
	assert_int_equal(refunds_owed(), 100);	/* the refund; the further debit is arrears now */
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_BANK, 2)), -(200 + 100 + 200));
	assert_int_equal(denied(list, &version), 3);	/* two debits and a further one; nobody for a refund */
	assert_int_equal(lines_of_kind(DAY0 + 1, "DSPY", line), 1);
	item_of(line[0], id);
	snprintf(csv, sizeof(csv), "action,pan,item,fen\npaid,,%s,100\n", id);
	assert_int_equal(event_of_cards(csv, error), CLEARING_E_REFERENCE);
	all_holds(&h);
}

/* ---- first rides that nobody pays ---------------------------------------------------------------------------------- */

#define BEARER ACCOUNT(ACCOUNT_BANK, 3)

static int contract_add(const char *rows)
{
	uint8_t head[CONTRACT_HEAD_BYTES];
	char csv[512];

	contract_head(head);
	snprintf(csv, sizeof(csv), "prefix,first_fen,account,title,from,to\n%s", rows);
	return event_try(&h, EVENT_RISK, head, sizeof(head), csv, strlen(csv));
}

/* Both ride, and what was to be debited for them is refused. */
static void both_refused(const struct tap *a, const struct tap *b)
{
	send(a);
	send(b);
	day_end(&h);
	build(DAY0);
	answer(DAY0, "AM04");
	day_end(&h);
}

static void a_cards_first_debit_that_is_refused_is_borne_as_the_contract_says(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1];
	struct tap a = bank_at(1, DAY0, 480, "A", 200), b = bank_at(1, DAY0, 700, "B", 300);
	struct denied list[8];
	char *text = NULL, id[36];
	uint64_t version;
	size_t n = 0;
	FILE *f;

	(void)state;
	assert_int_equal(contract_add(",300,3000003,首乘协议,2025-01-01,\n"), 0);
	both_refused(&a, &b);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_BANK, 1)), 0);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_BANK, 2)), 0);	/* no arrears: it is lost */
	assert_int_equal(balance_of(&h, BEARER), -300);			/* the first ride whole, of the second what is left */
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_OPERATOR, 101)), 500 - 200);
	assert_int_equal(denied(list, &version), 1);
	assert_int_equal(list[0].reason, DENY_RISK);
	text = told_of(&b);
	assert_non_null(strstr(text, "依合同 首乘协议 由 应收银行代收款 3 承担 +1.00, 企业承担 +2.00"));
	free(text);
	f = open_memstream(&text, &n);
	assert_int_equal(report_write(h.store, DAY0 + 1, "D-08", "json", f), 0);
	fclose(f);
	assert_non_null(strstr(text, "\"bearer\":\"首乘协议\",\"rides\":2,\"lost_fen\":300"));
	assert_non_null(strstr(text, "\"kind\":\"企业承担\""));
	assert_null(strstr(text, "\"holds\":false"));
	free(text);
	assert_int_equal(lines_of(DAY0, line), 1);
	item_of(line[0], id);
	build(DAY0 + 1);
	all_holds(&h);
}

static void a_lost_first_ride_denies_the_card_until_it_is_allowed(void **state)
{
	struct tap a = bank_at(1, DAY0, 480, "A", 200), again = bank_at(1, DAY0 + 2, 480, "A", 200);
	struct denied list[8];
	uint64_t version, later;
	char error[256];

	(void)state;
	assert_int_equal(contract_add("62,500,3000003,首乘协议,,\n"), 0);
	send(&a);
	day_end(&h);
	build(DAY0);
	answer(DAY0, "AM04");
	assert_int_equal(denied(list, &version), 1);
	assert_int_equal(event_of_cards("action,pan,item,fen\nallow,621799990000000002,,\n", error), CLEARING_E_REFERENCE);
	assert_int_equal(event_of_cards("action,pan,item,fen\nallow,621799990000000001,,\n", error), 0);
	assert_int_equal(denied(list, &later), 0);
	assert_true(later > version);
	day_end(&h);
	send(&again);
	day_end(&h);
	build(DAY0 + 2);
	answer(DAY0 + 2, "AM04");		/* no first ride any more: arrears, as of every card */
	day_end(&h);
	assert_int_equal(denied(list, &later), 1);
	assert_int_equal(list[0].reason, DENY_ARREARS);
	assert_int_equal(balance_of(&h, BEARER), -200);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_BANK, 2)), -200);
	all_holds(&h);
}

static void a_lost_first_ride_that_is_paid_after_all_goes_back_to_those_who_bore_it(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1];
	struct tap a = bank_at(1, DAY0, 480, "A", 200), b = bank_at(1, DAY0, 700, "B", 300);
	char csv[160], error[256], id[36], *text;
	struct denied list[8];
	uint64_t version;

	(void)state;
	assert_int_equal(contract_add(",300,3000003,首乘协议,,\n"), 0);
	both_refused(&a, &b);
	assert_int_equal(lines_of(DAY0, line), 1);
	item_of(line[0], id);
	snprintf(csv, sizeof(csv), "action,pan,item,fen\npaid,,%s,500\n", id);
	assert_int_equal(event_of_cards(csv, error), 0);
	assert_int_equal(denied(list, &version), 0);
	day_end(&h);
	assert_int_equal(balance_of(&h, BEARER), 0);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_OPERATOR, 101)), 500);
	assert_int_equal(cash_moved(), 500);
	text = told_of(&a);
	assert_non_null(strstr(text, "后已付清, 退还承担方"));
	free(text);
	all_holds(&h);
}

static void only_what_was_agreed_when_the_card_rode_is_borne(void **state)
{
	struct tap early = bank_at(1, DAY0, 480, "A", 200), known = bank_at(2, DAY0, 480, "A", 200), other = bank_at(2, DAY0 + 1, 480, "A", 200);
	struct denied list[8];
	uint64_t version;

	(void)state;
	send(&early);
	send(&known);
	day_end(&h);
	build(DAY0);
	assert_int_equal(contract_add(",500,3000003,首乘协议,,\n"), 0);	/* after the day was cut */
	answer(DAY0, "AM04");
	assert_int_equal(denied(list, &version), 2);
	assert_int_equal(list[0].reason, DENY_ARREARS);
	send(&other);				/* a card that rode before, and whose debit was refused then */
	day_end(&h);
	build(DAY0 + 1);
	answer(DAY0 + 1, "AM04");
	day_end(&h);
	assert_int_equal(balance_of(&h, BEARER), 0);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_BANK, 2)), -600);
	all_holds(&h);
}

static void a_contract_that_names_no_bearer_or_no_amount_is_refused_with_its_place(void **state)
{
	static const char *const wrong[] = { ",300,3000001,协议,,\n", ",300,3000002,协议,,\n", ",300,8000003,协议,,\n", ",-1,3000003,协议,,\n", ",1000001,3000003,协议,,\n",
		"6a,300,3000003,协议,,\n", ",300,3000003,,,\n", ",300,3000003,协议,2025-02-30,\n", ",300,3000003,协议,2025-02-02,2025-02-01\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(contract_add(wrong[i]), CLEARING_E_REFERENCE);
	assert_int_equal(contract_add("62,300,5000001,协议,2025-02-01,2025-02-01\n,0,6000101,别的,,\n"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_ride_that_became_cheaper_is_given_back_by_an_item_of_its_own_once),
		T(a_ride_that_became_dearer_is_debited_further_and_no_more_than_its_rider_was_shown),
		T(a_further_debit_that_is_refused_is_arrears_and_a_refund_that_is_stays_owed),
		T(a_cards_first_debit_that_is_refused_is_borne_as_the_contract_says),
		T(a_lost_first_ride_denies_the_card_until_it_is_allowed),
		T(a_lost_first_ride_that_is_paid_after_all_goes_back_to_those_who_bore_it),
		T(only_what_was_agreed_when_the_card_rode_is_borne),
		T(a_contract_that_names_no_bearer_or_no_amount_is_refused_with_its_place),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
