/* Taps of a compromised key: two persons decide, once; the open day books it, and the closed day keeps its bytes. */
#include "tests/unit/house.h"

static int64_t moment(int32_t day, int minute) { return (int64_t)day * 86400000 - CIVIL_OFFSET_MS + minute * 60000LL; }

static void persons_add(struct house *h)
{
	char csv[512], hex[2][131];

	for (int i = 0; i < 2; i++) {
		uint8_t point[65];

		qr_key_point(key[i], point);
		hex_encode(point, sizeof(point), hex[i]);
	}
	snprintf(csv, sizeof(csv), "name,title,key\nzhang,,%s\nli,,%s\n", hex[0], hex[1]);
	event_add(h, EVENT_PERSONS, "", 0, csv, strlen(csv));
}

static void distrust(struct house *h, int64_t from_ms)
{
	struct tap t = sample_tap();
	struct distrust d = { .alg = (uint8_t)t.alg_id, .version = (uint8_t)t.key_version, .index = (uint8_t)t.key_index, .from_ms = from_ms, .by = "zhang" };
	uint8_t body[DISTRUST_BYTES];
	char text[PUBLISH_TEXT_BYTES];

	memcpy(d.issuer, t.issuer, 4);
	distrust_encode(&d, body);
	assert_int_equal(sm2_sign(key[0], text, distrust_text(&d, text), body + 40), 0);
	event_add(h, EVENT_DISTRUST, body, sizeof(body), "", 0);
}

static int decide(struct house *h, const struct tap *tap, enum confirm_decision decision, const char *by, int who)
{
	struct confirm c = { .decision = (uint8_t)decision };
	uint8_t signature[64], body[CONFIRM_BYTES];
	char text[PUBLISH_TEXT_BYTES];
	struct cleared row;
	struct txn t;

	tap_key(tap, c.key);
	snprintf(c.by[0], sizeof(c.by[0]), "%s", by);
	assert_int_equal(txn_begin(h->store, false, &t), 0);
	assert_true(distrusted_find(&t, c.key, &c.day, &row));
	assert_int_equal(digest_sha256(row.raw, row.raw_bytes, c.digest), 0);
	txn_abort(&t);
	assert_int_equal(sm2_sign(key[who], text, confirm_text(&c, text), signature), 0);
	confirm_event(&c, signature, body);
	return event_try(h, EVENT_RISK, body, sizeof(body), "", 0);
}

static struct house h;

/* Two taps wait since the first day: one with a subsidy. */
static struct tap full, elder;

static int waiting_house(void **state)
{
	(void)state;
	house_open(&h);
	persons_add(&h);
	elders_add(&h);
	distrust(&h, moment(DAY0, 0));
	full = tap_at(7, DAY0, 480, "A", 200);
	elder = tap_at(1, DAY0, 490, "B", 150);
	tap_send(&h, &full);
	tap_send(&h, &elder);
	day_end(&h);
	return 0;
}

static int close_house(void **state) { (void)state; house_close(&h); return 0; }

static int64_t operators_get(void) { return balance_of(&h, ACCOUNT(ACCOUNT_OPERATOR, 101)); }
static int64_t pending_get(void) { return balance_of(&h, ACCOUNT(ACCOUNT_OPERATOR_PENDING, 101)); }

static void two_persons_make_a_distrusted_tap_firm_on_the_open_day_once(void **state)
{
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];

	(void)state;
	assert_int_equal(day_digest(h.store, DAY0, before), 0);
	assert_int_equal(pending_get(), 500);
	assert_int_equal(decide(&h, &elder, CONFIRM_GOOD, "zhang", 0), 0);
	day_end(&h);			/* one person alone moves nothing */
	assert_int_equal(operators_get(), 0);
	assert_int_equal(decide(&h, &elder, CONFIRM_GOOD, "li", 1), 0);
	assert_int_equal(decide(&h, &elder, CONFIRM_GOOD, "li", 1), CLEARING_E_REFERENCE);
	assert_int_equal(decide(&h, &elder, CONFIRM_GOOD, "zhang", 0), CLEARING_E_REFERENCE);
	day_end(&h);
	assert_int_equal(operators_get(), 300);		/* 150 of the card, 150 of two treasuries */
	assert_int_equal(pending_get(), 200);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_PURSE, 1)), -150);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_TREASURY, 1)) + balance_of(&h, ACCOUNT(ACCOUNT_TREASURY, 2)), -150);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_PENDING, SCHEME_PURSE)), -200);
	tap_send(&h, &elder);		/* the record again is nothing */
	day_end(&h);
	assert_int_equal(operators_get(), 300);
	assert_int_equal(day_digest(h.store, DAY0, after), 0);
	assert_memory_equal(before, after, DIGEST_BYTES);
	all_holds(&h);
}

static void two_persons_take_a_distrusted_tap_back(void **state)
{
	(void)state;
	assert_int_equal(decide(&h, &full, CONFIRM_REFUSED, "li", 1), 0);
	assert_int_equal(decide(&h, &full, CONFIRM_REFUSED, "zhang", 0), 0);
	day_end(&h);
	assert_int_equal(operators_get(), 0);
	assert_int_equal(pending_get(), 300);
	all_holds(&h);
}

static void the_second_is_another_person_with_the_same_decision(void **state)
{
	(void)state;
	assert_int_equal(decide(&h, &full, CONFIRM_GOOD, "zhang", 1), CLEARING_E_REFERENCE);	/* another's key */
	assert_int_equal(decide(&h, &full, CONFIRM_GOOD, "zhang", 0), 0);
	assert_int_equal(decide(&h, &full, CONFIRM_GOOD, "zhang", 0), CLEARING_E_REFERENCE);
	assert_int_equal(decide(&h, &full, CONFIRM_REFUSED, "li", 1), CLEARING_E_REFERENCE);
	assert_int_equal(decide(&h, &full, CONFIRM_REFUSED, "zhang", 0), 0);	/* he thinks again */
	assert_int_equal(decide(&h, &full, CONFIRM_REFUSED, "li", 1), 0);
	day_end(&h);
	assert_int_equal(operators_get(), 0);
	assert_int_equal(pending_get(), 300);
	all_holds(&h);
}

static void only_a_tap_that_waits_for_its_distrusted_key_can_be_decided(void **state)
{
	struct tap early = tap_at(9, DAY0 - 1, 1430, "A", 200);
	uint8_t id[TAP_KEY_BYTES];
	struct cleared row;
	int32_t day;
	struct txn t;

	(void)state;
	early.time_ms = moment(DAY0, 0) - 1000;		/* of before the compromise: settled */
	tap_send(&h, &early);
	day_end(&h);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	tap_key(&early, id);
	assert_false(distrusted_find(&t, id, &day, &row));
	tap_key(&full, id);
	assert_true(distrusted_find(&t, id, &day, &row));
	id[3] ^= 1;
	assert_false(distrusted_find(&t, id, &day, &row));
	txn_abort(&t);
}

static void it_is_explained_with_both_names_and_the_drill_counts_it_as_settled(void **state)
{
	struct tap sample = sample_tap();
	struct distrust d = { .alg = (uint8_t)sample.alg_id, .version = (uint8_t)sample.key_version, .index = (uint8_t)sample.key_index, .from_ms = moment(DAY0, 0) };
	uint8_t id[TAP_KEY_BYTES];
	unsigned settled = 0, waiting = 0;
	struct drill drill;
	char *text = NULL;
	size_t n = 0;
	FILE *f;

	(void)state;
	memcpy(d.issuer, sample.issuer, 4);
	assert_int_equal(decide(&h, &full, CONFIRM_GOOD, "zhang", 0), 0);
	assert_int_equal(decide(&h, &full, CONFIRM_GOOD, "li", 1), 0);
	day_end(&h);
	tap_key(&full, id);
	f = open_memstream(&text, &n);
	assert_int_equal(explain_tap(h.store, id, false, f), 0);
	fclose(f);
	assert_non_null(strstr(text, "由 zhang、li 两人签名确认入账, 记入 2025-11-04"));
	free(text);
	f = open_memstream(&text, &n);
	assert_int_equal(explain_tap(h.store, id, true, f), 0);
	fclose(f);
	assert_non_null(strstr(text, "\"decided_by\":[\"zhang\",\"li\"]"));
	free(text);
	assert_int_equal(key_drill(h.store, &d, &drill), 0);
	for (size_t i = 0; i < drill.count; i++) {
		settled += drill.row[i].standing == DRILL_SETTLED;
		waiting += drill.row[i].standing == DRILL_WAITING;
	}
	free(drill.row);
	assert_int_equal(settled, 1);
	assert_int_equal(waiting, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_persons_make_a_distrusted_tap_firm_on_the_open_day_once, waiting_house, close_house),
		cmocka_unit_test_setup_teardown(two_persons_take_a_distrusted_tap_back, waiting_house, close_house),
		cmocka_unit_test_setup_teardown(the_second_is_another_person_with_the_same_decision, waiting_house, close_house),
		cmocka_unit_test_setup_teardown(only_a_tap_that_waits_for_its_distrusted_key_can_be_decided, waiting_house, close_house),
		cmocka_unit_test_setup_teardown(it_is_explained_with_both_names_and_the_drill_counts_it_as_settled, waiting_house, close_house),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
