/*
 * Debits of bank cards: the rides of a card and day in one item, what the bank says of it, and what becomes of the card.
 * Whole houses with the pack of the other tests: a transfer within 90 minutes costs 100 fen less.
 */
#include <stddef.h>
#include <stdint.h>

#include <errno.h>

#include "tests/unit/house.h"

#include "clearing/settle.h"

static struct house h;

static int open_house(void **state) { (void)state; house_open(&h); return 0; }
static int close_house(void **state) { (void)state; house_close(&h); return 0; }

static uint32_t counters;

static struct tap bank_at(unsigned card, int32_t day, int minute, const char *line, uint32_t shown)
{
	struct tap t = tap_at(card, day, minute, line, shown);

	t.kind = TAP_BANK;
	t.medium = MEDIUM_BANK;
	t.oda = ODA_CDA;
	t.balance_before = t.balance_after = 0;
	t.card_counter = ++counters;
	memcpy(t.pan, "\x00\x62\x17\x99\x99\x00\x00\x00\x00", 9);
	t.pan[9] = (uint8_t)(card / 10 << 4 | card % 10);
	return t;
}

static void send(const struct tap *t) { tap_send_as(&h, t, "V-1", KEY_CHECK_DEVICE); }

static void build(int32_t day) { assert_int_equal(day_build(h.store, day), 0); }

static void name_of(int32_t day, const char *kind, char ret[32])
{
	char text[11];

	day_format(day, text);
	snprintf(ret, 32, "%.4s%.4s%.2s%.2s%08u", kind, text, text + 5, text + 8, strcmp(kind, "DSPY") == 0 || strlen(kind) > 4 ? 2u : 1u);
}

/* The bank's file of a day: its D lines. */
static unsigned lines_of_kind(int32_t day, const char *kind, char ret[8][LAYOUT_BYTES_MAX + 1])
{
	unsigned count = 0;
	const void *p;
	char name[32];
	struct txn t;
	size_t n;

	assert_int_equal(txn_begin(h.store, false, &t), 0);
	name_of(day, kind, name);
	assert_true(file_get(&t, day, name, &p, &n));
	for (const char *at = p, *end = at + n; at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		assert_non_null(stop);
		if (*at == 'D' && count < 8)
			snprintf(ret[count++], LAYOUT_BYTES_MAX + 1, "%.*s", (int)(stop - at - 1), at);
		at = stop + 1;
	}
	txn_abort(&t);
	return count;
}

static unsigned lines_of(int32_t day, char ret[8][LAYOUT_BYTES_MAX + 1]) { return lines_of_kind(day, "DSCL", ret); }

static uint64_t amount_of(const char *line) { return layout_get_number(layout_of("bank", "DSCL"), line, "amount"); }
static void item_of(const char *line, char ret[36]) { layout_get_text(layout_of("bank", "DSCL"), line, "item", ret, 36); }

/* The bank's answer to a day's file: every item with one result. */
static void answer_kind(int32_t day, const char *kind, const char *result)
{
	const struct layout *hd = layout_of("bank", "header"), *from = layout_of("bank", "DSCL"), *to = layout_of("bank", "DSRT"), *x = layout_of("bank", "trailer");
	static char in[8][LAYOUT_BYTES_MAX + 1];
	char line[LAYOUT_BYTES_MAX + 1], text[40], hex[65], name[64] = "", partner[16] = "bank", error[256] = "", *whole = NULL;
	const void *part[3] = { partner, name, NULL };
	size_t bytes[3] = { 16, 64, 0 }, n = 0;
	unsigned count = lines_of_kind(day, kind, in);
	uint8_t digest[DIGEST_BYTES];
	uint64_t sum = 0;
	FILE *f = open_memstream(&whole, &n);
	struct txn t;

	assert_non_null(f);
	layout_blank(hd, line);
	layout_text(hd, line, "kind", "H");
	layout_text(hd, line, "file_type", "DSRT");
	fprintf(f, "%s\r\n", line);
	for (unsigned i = 0; i < count; i++) {
		bool good = strcmp(result, "0000") == 0;

		layout_blank(to, line);
		layout_text(to, line, "kind", "D");
		layout_number(to, line, "line", i + 1);
		layout_get_text(from, in[i], "item", text, sizeof(text));
		layout_text(to, line, "item", text);
		layout_number(to, line, "amount", amount_of(in[i]));
		layout_text(to, line, "result", result);
		layout_number(to, line, "booked", good ? amount_of(in[i]) : 0);
		sum += amount_of(in[i]);
		fprintf(f, "%s\r\n", line);
	}
	fflush(f);
	assert_int_equal(digest_sha256(whole, n, digest), 0);
	hex_encode(digest, DIGEST_BYTES, hex);
	layout_blank(x, line);
	layout_text(x, line, "kind", "T");
	layout_number(x, line, "count", count);
	layout_number(x, line, "amount", sum);
	layout_text(x, line, "digest", hex);
	fprintf(f, "%s\r\n", line);
	fclose(f);
	name_of(day, strcmp(kind, "DSPY") == 0 ? "DSRT2" : "DSRT", name);
	part[2] = whole;
	bytes[2] = n;
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	if (partner_file_check(&t, partner, name, whole, n, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	inbox_append(&t, EVENT_PARTNER, 0, part, bytes, 3);
	assert_int_equal(partner_file_apply(&t, partner, name, whole, n), 0);
	assert_int_equal(txn_commit(&t), 0);
	free(whole);
}

static void answer(int32_t day, const char *result) { answer_kind(day, "DSCL", result); }

static int event_of_cards(const char *csv, char error[256])
{
	const void *part = csv;
	size_t n = strlen(csv);
	struct txn t;
	int ret;

	error[0] = '\0';
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	ret = bank_event_check(&t, csv, n, error, 256);
	if (ret != 0) {
		txn_abort(&t);
		return ret;
	}
	inbox_append(&t, EVENT_BANK, 0, &part, &n, 1);
	assert_int_equal(bank_event_apply(&t, csv, n), 0);
	assert_int_equal(txn_commit(&t), 0);
	return 0;
}

static unsigned denied(struct denied ret[8], uint64_t *ret_version)
{
	unsigned count = 0;
	struct iter it;
	struct txn t;

	assert_int_equal(txn_begin(h.store, false, &t), 0);
	iter_open(&t, DB_DENY, NULL, 0, &it);
	while (count < 8 && denied_next(&it, &ret[count]))
		count++;
	iter_close(&it);
	*ret_version = deny_table_version(&t);
	txn_abort(&t);
	return count;
}

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

#define T(name) cmocka_unit_test_setup_teardown(name, open_house, close_house)

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
	send(&a);
	send(&b);
	day_end(&h);
	build(DAY0);
	answer(DAY0, "AM04");
	day_end(&h);
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
	send(&a);
	send(&b);
	day_end(&h);
	build(DAY0);
	answer(DAY0, "AM04");
	day_end(&h);
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
		T(three_rides_with_transfers_are_one_debit_of_what_is_due),
		T(the_debit_leads_to_its_rides_and_each_ride_to_the_debit),
		T(a_ride_that_comes_after_the_debit_makes_its_own),
		T(two_houses_with_the_same_rides_in_another_order_send_the_same_bytes),
		T(a_terminal_that_gives_a_serial_twice_loses_no_debit),
		T(a_copied_counter_is_no_second_ride),
		T(a_debit_the_bank_refuses_is_arrears_and_denies_the_card_until_it_is_paid),
		T(a_debit_that_is_booked_denies_nobody),
		T(a_banks_list_denies_and_allows_cards),
		cmocka_unit_test_setup_teardown(a_ride_that_became_cheaper_is_given_back_by_an_item_of_its_own_once, open_house, close_house),
		cmocka_unit_test_setup_teardown(a_ride_that_became_dearer_is_debited_further_and_no_more_than_its_rider_was_shown, open_house, close_house),
		cmocka_unit_test_setup_teardown(a_further_debit_that_is_refused_is_arrears_and_a_refund_that_is_stays_owed, open_house, close_house),
		cmocka_unit_test_setup_teardown(a_cards_first_debit_that_is_refused_is_borne_as_the_contract_says, open_house, close_house),
		cmocka_unit_test_setup_teardown(a_lost_first_ride_denies_the_card_until_it_is_allowed, open_house, close_house),
		cmocka_unit_test_setup_teardown(a_lost_first_ride_that_is_paid_after_all_goes_back_to_those_who_bore_it, open_house, close_house),
		cmocka_unit_test_setup_teardown(only_what_was_agreed_when_the_card_rode_is_borne, open_house, close_house),
		cmocka_unit_test_setup_teardown(a_contract_that_names_no_bearer_or_no_amount_is_refused_with_its_place, open_house, close_house),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
