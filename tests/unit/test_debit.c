/*
 * Debits of bank cards: the rides of a card and day in one item, what the bank says of it, and what becomes of the card.
 * Whole houses with the pack of the other tests: a transfer within 90 minutes costs 100 fen less.
 */
#include "tests/unit/bank_house.h"

static void three_rides_with_transfers_are_one_debit_of_what_is_due(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1];
	struct tap a = bank_at(1, DAY0, 480, "A", 200), b = bank_at(1, DAY0, 500, "B", 300), c = bank_at(1, DAY0, 540, "A", 200), other = bank_at(2, DAY0, 490, "A", 200);

	(void)state;
	send(&c);
	send(&other);
	send(&a);
	send(&b);
	day_end(&h);
	build(DAY0);
	assert_int_equal(paid_of(&h, &a), 200);
	assert_int_equal(paid_of(&h, &b), 200);	/* a transfer */
	assert_int_equal(paid_of(&h, &c), 100);	/* and another */
	assert_int_equal(lines_of(DAY0, line), 2);
	assert_int_equal(amount_of(line[0]) + amount_of(line[1]), 700);
	assert_true(amount_of(line[0]) == 500 || amount_of(line[1]) == 500);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_BANK, 1)), -700);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_BANK)), 0);
	all_holds(&h);
}

static void the_debit_leads_to_its_rides_and_each_ride_to_the_debit(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1];
	struct tap a = bank_at(1, DAY0, 480, "A", 200), b = bank_at(1, DAY0, 700, "B", 300);
	uint8_t at[TAP_KEY_BYTES];
	char id[36], tap_text[TAP_ID_BYTES], *text = NULL;
	size_t n = 0;
	FILE *f;

	(void)state;
	send(&a);
	send(&b);
	day_end(&h);
	build(DAY0);
	assert_int_equal(lines_of(DAY0, line), 1);
	item_of(line[0], id);
	f = open_memstream(&text, &n);
	assert_int_equal(explain_debit(h.store, id, true, f), 0);
	fclose(f);
	tap_key(&a, at);
	tap_id_format(at, tap_text);
	assert_non_null(strstr(text, tap_text));
	tap_key(&b, at);
	tap_id_format(at, tap_text);
	assert_non_null(strstr(text, tap_text));
	assert_non_null(strstr(text, "\"amount_fen\":500"));
	assert_null(strstr(text, "621799990000"));	/* the number is masked */
	free(text);
	f = open_memstream(&text, &n);
	assert_int_equal(explain_tap(h.store, at, true, f), 0);
	fclose(f);
	assert_non_null(strstr(text, id));
	free(text);
	assert_int_equal(explain_debit(h.store, "QF0000", true, stdout), -ENOENT);
}

static void a_ride_that_comes_after_the_debit_makes_its_own(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1];
	struct tap a = bank_at(1, DAY0, 480, "A", 200), late = bank_at(1, DAY0, 500, "B", 300), today = bank_at(1, DAY0 + 1, 480, "A", 200);
	char first[36], id[36];
	struct txn t;
	const void *p;
	size_t n, n_after;
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
	char name[32];

	(void)state;
	send(&a);
	day_end(&h);
	build(DAY0);
	assert_int_equal(lines_of(DAY0, line), 1);
	item_of(line[0], first);
	name_of(DAY0, "DSCL", name);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	assert_true(file_get(&t, DAY0, name, &p, &n));
	assert_int_equal(digest_sha256(p, n, before), 0);
	txn_abort(&t);
	send(&late);
	send(&today);
	day_end(&h);
	build(DAY0 + 1);
	assert_int_equal(lines_of(DAY0 + 1, line), 2);	/* one a fare day */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(amount_of(line[i]), 200);	/* the late one is a transfer: 300 - 100 */
		item_of(line[i], id);
		assert_string_not_equal(id, first);
	}
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	assert_true(file_get(&t, DAY0, name, &p, &n_after));
	assert_int_equal(digest_sha256(p, n_after, after), 0);
	txn_abort(&t);
	assert_memory_equal(before, after, DIGEST_BYTES);
	all_holds(&h);
}

static void two_houses_with_the_same_rides_in_another_order_send_the_same_bytes(void **state)
{
	static char one[8][LAYOUT_BYTES_MAX + 1], two[8][LAYOUT_BYTES_MAX + 1];
	struct tap tap[9];
	unsigned count;

	(void)state;
	for (unsigned i = 0; i < 9; i++)
		tap[i] = bank_at(i % 3, DAY0, 420 + (int)(i * 37), i % 2 ? "A" : "B", 300);
	for (unsigned i = 0; i < 9; i++)
		send(&tap[i]);
	day_end(&h);
	build(DAY0);
	count = lines_of(DAY0, one);
	assert_int_equal(count, 3);
	house_close(&h);
	house_open(&h);
	for (unsigned i = 9; i-- > 0;)
		send(&tap[i]);
	day_end(&h);
	build(DAY0);
	assert_int_equal(lines_of(DAY0, two), count);
	for (unsigned i = 0; i < count; i++)
		assert_string_equal(one[i], two[i]);
}

static void a_terminal_that_gives_a_serial_twice_loses_no_debit(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1];
	struct tap a = bank_at(1, DAY0, 480, "A", 200), b = bank_at(2, DAY0, 490, "A", 200);
	char first[36], second[36];

	(void)state;
	b.terminal_serial = a.terminal_serial;
	send(&a);
	send(&b);
	day_end(&h);
	build(DAY0);
	assert_int_equal(lines_of(DAY0, line), 2);
	item_of(line[0], first);
	item_of(line[1], second);
	assert_string_not_equal(first, second);
	all_holds(&h);
}

static void a_copied_counter_is_no_second_ride(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1];
	struct tap a = bank_at(1, DAY0, 480, "A", 200), b = bank_at(1, DAY0, 700, "A", 200);

	(void)state;
	b.card_counter = a.card_counter;
	b.tac[0] ^= 0x55;
	send(&a);
	send(&b);
	day_end(&h);
	build(DAY0);
	assert_int_equal(lines_of(DAY0, line), 1);
	assert_int_equal(amount_of(line[0]), 200);
}

static void a_debit_the_bank_refuses_is_arrears_and_denies_the_card_until_it_is_paid(void **state)
{
	static char line[8][LAYOUT_BYTES_MAX + 1];
	struct tap a = bank_at(1, DAY0, 480, "A", 200), b = bank_at(1, DAY0, 700, "B", 300);
	char id[36], csv[160], error[256];
	struct denied list[8];
	uint64_t version, later;

	(void)state;
	send(&a);
	send(&b);
	day_end(&h);
	build(DAY0);
	assert_int_equal(denied(list, &version), 0);
	assert_int_equal(version, 0);
	answer(DAY0, "AM04");
	assert_int_equal(denied(list, &version), 1);
	assert_true(version > 0);
	assert_int_equal(list[0].reason, DENY_ARREARS);
	assert_int_equal(list[0].fen, 500);
	assert_memory_equal(list[0].pan, a.pan, 10);
	assert_int_equal(lines_of(DAY0, line), 1);
	item_of(line[0], id);
	assert_string_equal(list[0].item, id);
	day_end(&h);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_BANK, 1)), 0);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_BANK, 2)), -500);
	snprintf(csv, sizeof(csv), "action,pan,item,fen\npaid,,%s,499\n", id);
	assert_int_equal(event_of_cards(csv, error), CLEARING_E_REFERENCE);
	assert_non_null(strstr(error, "bank.csv:2:"));
	snprintf(csv, sizeof(csv), "action,pan,item,fen\npaid,,%s,500\npaid,,%s,500\n", id, id);
	assert_int_equal(event_of_cards(csv, error), CLEARING_E_REFERENCE);
	snprintf(csv, sizeof(csv), "action,pan,item,fen\npaid,,%s,500\n", id);
	assert_int_equal(event_of_cards(csv, error), 0);
	assert_int_equal(denied(list, &later), 0);
	assert_true(later > version);
	assert_int_equal(event_of_cards(csv, error), CLEARING_E_REFERENCE);
	assert_non_null(strstr(error, "paid before"));
	day_end(&h);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_BANK, 2)), 0);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_CASH, 1)), -500);
	all_holds(&h);
}

static void a_debit_that_is_booked_denies_nobody(void **state)
{
	struct tap a = bank_at(1, DAY0, 480, "A", 200);
	struct denied list[8];
	uint64_t version;

	(void)state;
	send(&a);
	day_end(&h);
	build(DAY0);
	answer(DAY0, "0000");
	assert_int_equal(denied(list, &version), 0);
	day_end(&h);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_CASH, 1)), -200);
	all_holds(&h);
}

static void a_banks_list_denies_and_allows_cards(void **state)
{
	struct denied list[8];
	uint64_t version;
	char error[256];

	(void)state;
	assert_int_equal(event_of_cards("action,pan,item,fen\ndeny,6217999900000001,,\ndeny,6217999900000002,,\n", error), 0);
	assert_int_equal(denied(list, &version), 2);
	assert_int_equal(list[0].reason, DENY_BANK);
	assert_int_equal(event_of_cards("action,pan,item,fen\nallow,6217999900000003,,\n", error), CLEARING_E_REFERENCE);
	assert_null(strstr(error, "6217999900000003"));	/* no number in an error */
	assert_int_equal(event_of_cards("action,pan,item,fen\nallow,6217999900000001,,\n", error), 0);
	assert_int_equal(denied(list, &version), 1);
	assert_int_equal(event_of_cards("action,pan,item,fen\nburn,6217999900000001,,\n", error), CLEARING_E_REFERENCE);
	assert_non_null(strstr(error, "bank.csv:2:1: deny, allow or paid is needed"));
	assert_int_equal(event_of_cards("action,pan,item,fen\npaid,,QF1,100\n", error), CLEARING_E_REFERENCE);
	assert_int_equal(event_of_cards("action,pan,item\n", error), CLEARING_E_REFERENCE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(three_rides_with_transfers_are_one_debit_of_what_is_due),
		T(the_debit_leads_to_its_rides_and_each_ride_to_the_debit),
		T(a_ride_that_comes_after_the_debit_makes_its_own),
		T(two_houses_with_the_same_rides_in_another_order_send_the_same_bytes),
		T(a_terminal_that_gives_a_serial_twice_loses_no_debit),
		T(a_copied_counter_is_no_second_ride),
		T(a_debit_the_bank_refuses_is_arrears_and_denies_the_card_until_it_is_paid),
		T(a_debit_that_is_booked_denies_nobody),
		T(a_banks_list_denies_and_allows_cards),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
