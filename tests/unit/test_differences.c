/* What terminals charged otherwise, in the books: every reason in one day, its policy, and the forms that tell of it. */
#define HOUSE_RULES \
	"groups:\n  - {name: pupil, title: 学生卡, code: 2, source: 教育, class: [2]}\n" \
	"concessions:\n  - {id: pupil, title: 学生六折, basis: 例, from: 2025-01-01, who: [pupil], precedence: 5, price: 60%%, fund: discount}\n" \
	"  - {id: guest, title: 外地卡九折, basis: 例, from: 2025-01-01, guest: [other], precedence: 3, price: 90%%, fund: discount}\n" \
	"differences:\n  - {id: kept, title: 取整差归企业, basis: 差一号, reason: [rounding], owed: absorb}\n" \
	"  - {id: small, title: 不足一元不退, basis: 差二号, reason: [undiscounted, as-ordinary], refund_from_fen: 100}\n"
#include "tests/unit/house.h"

/* ---- one day ---------------------------------------------------------------------------------------------------------- */

enum { ROUNDING, OLD, HOLD, FIRST, LOST, GUEST, MANUAL, LIST, PUPIL, OTHER, ON, OFF, TAPS };
static struct tap sent[TAPS];

/* The tariff of 40 % is in force; terminals have it too, but one. */
static void day_make(void)
{
	sent[ROUNDING] = tap_at(1, DAY0, 400, "R", 83);		/* 82.4 */
	sent[OLD] = tap_at(1, DAY0, 600, "A", 100);		/* half, as before */
	sent[HOLD] = tap_at(1, DAY0, 800, "A", 200);		/* nobody told it of the hold */
	sent[FIRST] = tap_at(5, DAY0, 500, "A", 200);
	sent[LOST] = tap_at(5, DAY0, 530, "B", 300);		/* 200 as a transfer */
	sent[GUEST] = tap_at(6, DAY0, 500, "A", 200);		/* 180 */
	sent[MANUAL] = tap_at(0, DAY0, 510, "A", 150);		/* 50 short */
	sent[LIST] = tap_at(7, DAY0, 500, "A", 250);		/* 200 */
	sent[PUPIL] = tap_at(8, DAY0, 500, "A", 200);		/* 120 */
	sent[OTHER] = tap_at(9, DAY0, 500, "A", 190);		/* 10 short */
	sent[ON] = tap_at(10, DAY0, 500, "K", 300);
	sent[OFF] = tap_at(10, DAY0, 520, "K", 0);		/* fare 200: 100 of the hold come back */
	for (int i = 0; i < TAPS; i++) {
		sent[i].tariff_version = i == OLD ? 1 : 2;
		sent[i].list_fen = i == LIST || i == PUPIL ? 250 : i == LOST ? 300 : 200;
	}
	memcpy(sent[GUEST].issuer, "\x09\x99\x00\x01", 4);
	sent[MANUAL].kind = TAP_MANUAL;
	sent[MANUAL].medium = MEDIUM_MANUAL;
	sent[PUPIL].card_class = 2;
	sent[ON].kind = TAP_BOARD;
	sent[ON].stop = 1;
	sent[OFF].kind = TAP_ALIGHT;
	sent[OFF].stop_on = 1;
	sent[OFF].stop = 5;
	sent[OFF].distance_m = 3000;
}

/* Backwards: the same taps once more, the last first. */
static void day_send(struct house *h, bool backwards)
{
	static const char issuers[] = "issuer,ours,valid_from,valid_to,name\n02184280,yes,2000-01-01,,ours\n09990001,no,2000-01-01,,theirs\n";

	house_open(h);
	elders_add(h);
	event_add(h, EVENT_ISSUERS, "", 0, issuers, strlen(issuers));
	tariff_add(h, 1, DAY0);
	if (!backwards)
		day_make();
	for (int i = 0; i < TAPS; i++)
		tap_send(h, &sent[backwards ? TAPS - 1 - i : i]);
	day_end(h);
}

static struct cleared row_for(struct house *h, int i)
{
	struct cleared row;
	int32_t day;
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	row_of(&t, &sent[i], &row, &day);
	row.raw = NULL;		/* of the transaction */
	txn_abort(&t);
	return row;
}

static void each_difference_of_a_day_has_its_reason_in_the_row(void **state)
{
	static const struct { int tap; enum difference_reason reason; int64_t over, under, kept; } want[] = {
		{ ROUNDING, DIFFER_ROUNDING, 1, 0, 1 }, { OLD, DIFFER_OLD_PARAMETERS, 20, 0, 0 }, { HOLD, DIFFER_UNKNOWN_HOLD, 120, 0, 0 },
		{ FIRST, DIFFER_NONE, 0, 0, 0 }, { LOST, DIFFER_TRANSFER_NOT_GIVEN, 100, 0, 0 }, { GUEST, DIFFER_GUEST, 20, 0, 0 },
		{ MANUAL, DIFFER_MANUAL, 0, 50, 0 }, { LIST, DIFFER_UNDISCOUNTED, 50, 0, 50 }, { PUPIL, DIFFER_AS_ORDINARY, 80, 0, 80 },
		{ OTHER, DIFFER_OTHER, 0, 10, 0 }, { ON, DIFFER_NONE, 0, 0, 0 }, { OFF, DIFFER_HOLD_BACK, 100, 0, 0 },
	};
	struct house h;

	(void)state;
	day_send(&h, false);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct cleared row = row_for(&h, want[i].tap);

		print_message("# tap %d: %s\n", want[i].tap, difference_info((enum difference_reason)row.priced.reason)->name);
		assert_int_equal(row.priced.reason, want[i].reason);
		assert_int_equal(row.priced.overcharge.fen, want[i].over);
		assert_int_equal(row.priced.undercharge.fen, want[i].under);
		assert_int_equal(row.priced.kept.fen, want[i].kept);
	}
	all_holds(&h);
	house_close(&h);
}

static int64_t posted(struct house *h, uint8_t reason, account_t credit)
{
	int64_t sum = 0;
	struct iter it;
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	iter_open(&t, DB_POSTING, NULL, 0, &it);
	while (iter_next(&it)) {
		struct posting_row p;

		assert_true(posting_decode(it.key, it.key_bytes, it.val, it.val_bytes, &p));
		sum += p.reason == reason && p.credit == credit ? p.sum_fen : 0;
	}
	iter_close(&it);
	txn_abort(&t);
	return sum;
}

static void the_ledger_tells_what_riders_are_owed_from_what_operators_keep(void **state)
{
	account_t operator = ACCOUNT(ACCOUNT_OPERATOR, 101), rider = ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_PURSE);
	struct house h;

	(void)state;
	day_send(&h, false);
	assert_int_equal(posted(&h, POST_KEPT, operator), 1 + 50 + 80);
	assert_int_equal(posted(&h, POST_OVERCHARGE, rider), 20 + 120 + 100);
	assert_int_equal(posted(&h, POST_HOLD_BACK, rider), 100);
	assert_int_equal(posted(&h, POST_OVERCHARGE, ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_TUNION)), 20);
	house_close(&h);
}

static void a_day_gives_the_same_reasons_in_whatever_order_it_came(void **state)
{
	struct house a, b;

	(void)state;
	day_send(&a, false);
	day_send(&b, true);
	same_books(&a, &b);
	for (int i = 0; i < TAPS; i++)
		assert_int_equal(row_for(&a, i).priced.reason, row_for(&b, i).priced.reason);
	all_holds(&b);
	house_close(&a);
	house_close(&b);
}

/* ---- told --------------------------------------------------------------------------------------------------------------- */

static char *report_of(struct house *h, const char *form)
{
	char *p = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&p, &n);

	assert_non_null(f);
	assert_int_equal(report_write(h->store, DAY0, form, "json", f), 0);
	fclose(f);
	return p;
}

static char *explained(struct house *h, int tap, bool json)
{
	uint8_t id[TAP_KEY_BYTES];
	char *p = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&p, &n);

	assert_non_null(f);
	tap_key(&sent[tap], id);
	assert_int_equal(explain_tap(h->store, id, json, f), 0);
	fclose(f);
	return p;
}

static void says(char *text, const char *what)
{
	if (strstr(text, what) == NULL)
		fail_msg("\"%s\" is not in: %s", what, text);
	free(text);
}

static void the_form_of_differences_sums_to_the_days_over_and_undercharge(void **state)
{
	struct house h;
	char *form;

	(void)state;
	day_send(&h, false);
	form = report_of(&h, "D-07");
	assert_null(strstr(form, "\"holds\":false"));
	free(form);
	says(report_of(&h, "D-07"), "\"total\":{\"taps\":10,\"charged_fen\":1673,\"due_fen\":1242,\"overcharge_fen\":491,\"undercharge_fen\":60,\"kept_fen\":131,\"refund_fen\":360}");
	says(report_of(&h, "D-07"), "{\"reason\":\"rounding\",\"text\":\"取整方式不同\",\"policy\":\"取整差归企业\",\"basis\":\"差一号\",\"operator\":\"101\",\"taps\":1,"
				    "\"charged_fen\":83,\"due_fen\":82,\"overcharge_fen\":1,\"undercharge_fen\":0,\"kept_fen\":1,\"refund_fen\":0}");
	says(report_of(&h, "D-01"), "\"overcharge_fen\":491,\"undercharge_fen\":60");
	house_close(&h);
}

static void an_explanation_gives_the_reason_what_proves_it_and_the_policy(void **state)
{
	struct house h;

	(void)state;
	day_send(&h, false);
	says(explained(&h, ROUNDING, false), "差异  多扣 0.01  留企业 0.01\n    原因 取整方式不同 (rounding): 按进一取整即为实收\n    处理 取整差归企业  依据: 差一号");
	says(explained(&h, OLD, false), "原因 终端参数为旧版本 (old-parameters): 按终端版本 1 计价即为实收");
	says(explained(&h, HOLD, false), "差异  多扣 1.20  应退乘客 1.20\n    原因 终端不知持卡人权益 (unknown-hold): 不计老年即为实收");
	says(explained(&h, OTHER, false), "差异  少扣, 企业承担, 不追 0.10\n    原因 其他 (other)");
	says(explained(&h, LOST, true), "\"difference\":{\"reason\":\"transfer-not-given\",\"proof\":\"\",\"overcharge_fen\":100,\"undercharge_fen\":0,\"refund_fen\":100,\"kept_fen\":0,\"policy\":\"\"}");
	says(explained(&h, LIST, true), "\"reason\":\"undiscounted\",\"proof\":\"\",\"overcharge_fen\":50,\"undercharge_fen\":0,\"refund_fen\":0,\"kept_fen\":50,\"policy\":\"small\"");
	house_close(&h);
}

static void the_evidence_of_the_day_proves_the_form_of_differences(void **state)
{
	struct house h;
	char *p = NULL, *at;
	size_t n = 0;
	FILE *f = open_memstream(&p, &n), *out = fopen("/dev/null", "we");

	(void)state;
	day_send(&h, false);
	assert_int_equal(evidence_write(h.store, DAY0, NULL, f), 0);
	fclose(f);
	assert_non_null(memmem(p, n, "\"difference\":\"unknown-hold\",\"overcharge_fen\":120", 46));
	assert_int_equal(evidence_verify((uint8_t *)p, n, NULL, out), 0);
	at = memmem(p, n, "\"difference\":\"unknown-hold\",\"overcharge_fen\":120", 46);
	at[45] = '9';
	assert_int_not_equal(evidence_verify((uint8_t *)p, n, NULL, out), 0);
	fclose(out);
	free(p);
	house_close(&h);
}

/* ---- and rated anew ----------------------------------------------------------------------------------------------------- */

static void what_stays_with_the_operator_stays_there_when_the_ride_is_rated_anew(void **state)
{
	struct tap last = tap_at(12, DAY0, 600, "B", 350), late = tap_at(12, DAY0, 570, "A", 200);
	struct adjustment a;
	struct house h;
	struct fare f;

	(void)state;
	last.list_fen = 350;
	last.tariff_version = late.tariff_version = 1;
	house_open(&h);
	tap_send(&h, &last);
	day_end(&h);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_PURSE)), 0);
	tap_send(&h, &late);
	day_end(&h);
	assert_int_equal(stands(&h, &last, &f, &a), 1);
	assert_int_equal(f.paid.fen, 200);
	assert_int_equal(a.refund_fen, 100);	/* 350 were charged, 50 of them are kept */
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_PURSE)), 100);
	all_holds(&h);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_difference_of_a_day_has_its_reason_in_the_row),
		cmocka_unit_test(the_ledger_tells_what_riders_are_owed_from_what_operators_keep),
		cmocka_unit_test(a_day_gives_the_same_reasons_in_whatever_order_it_came),
		cmocka_unit_test(the_form_of_differences_sums_to_the_days_over_and_undercharge),
		cmocka_unit_test(an_explanation_gives_the_reason_what_proves_it_and_the_policy),
		cmocka_unit_test(the_evidence_of_the_day_proves_the_form_of_differences),
		cmocka_unit_test(what_stays_with_the_operator_stays_there_when_the_ride_is_rated_anew),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
