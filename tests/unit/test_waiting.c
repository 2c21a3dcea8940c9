/* Records whose key device did not answer: they post nothing, wait, and are settled once when it does. */
#include "tests/unit/house.h"

static uint64_t unanswered(struct house *h, const struct tap *t)
{
	struct txn txn;
	uint64_t seq;

	tap_send_as(h, t, "V-1", KEY_CHECK_UNAVAILABLE);
	assert_int_equal(txn_begin(h->store, false, &txn), 0);
	seq = inbox_last(&txn);
	txn_abort(&txn);
	return seq;
}

static bool answer_all(struct house *h, const struct recheck *answer, size_t n)
{
	struct event e;
	struct txn t;
	bool taken;

	assert_int_equal(txn_begin(h->store, true, &t), 0);
	taken = recheck_append(&t, 0, answer, n, &e);
	if (taken)
		assert_int_equal(e.type, EVENT_RECHECK);
	assert_int_equal(txn_commit(&t), 0);
	return taken;
}

static bool answer(struct house *h, uint64_t seq, enum key_check check)
{
	const struct recheck one = { .seq = seq, .check = (uint8_t)check };

	return answer_all(h, &one, 1);
}

static uint64_t waiting(struct house *h)
{
	struct txn t;
	uint64_t n;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	n = txn_rows(&t, DB_WAITING);
	txn_abort(&t);
	return n;
}

/* Rows of all days with a verdict. */
static unsigned rows(struct house *h, enum verdict verdict)
{
	unsigned n = 0;
	struct row_iter it;
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	rows_open(&t, NULL, 0, &it);
	while (rows_next(&it)) {
		n += it.row.verdict == verdict;
		if (it.row.verdict == VERDICT_PENDING_TAC)
			assert_int_equal(it.row.priced.posting_count, 0);
	}
	assert_int_equal(t.error, 0);
	rows_close(&it);
	txn_abort(&t);
	return n;
}

static void *explained(struct house *h, const struct tap *tap)
{
	uint8_t id[TAP_KEY_BYTES];
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	tap_key(tap, id);
	assert_int_equal(explain_tap(h->store, id, true, f), 0);
	fclose(f);
	return text;
}

/* ---- once --------------------------------------------------------------------------------------------------- */

static void an_unanswered_tap_posts_nothing_and_waits(void **state)
{
	struct tap t = tap_at(1, DAY0, 480, "A", 200);
	struct house h;

	(void)state;
	house_open(&h);
	unanswered(&h, &t);
	day_end(&h);
	assert_int_equal(rows(&h, VERDICT_PENDING_TAC), 1);
	assert_int_equal(waiting(&h), 1);
	for (size_t i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++)
		assert_int_equal(balance_of(&h, accounts[i]), 0);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_PENDING, SCHEME_PURSE)), 0);
	all_holds(&h);
	house_close(&h);
}

static void an_answer_before_the_cut_takes_the_place_of_the_mark(void **state)
{
	struct tap t[40];
	struct house asked, answered;
	struct recheck late[40];
	uint8_t a[DIGEST_BYTES], b[DIGEST_BYTES];
	size_t n = 0;

	(void)state;
	house_open(&asked);
	house_open(&answered);
	for (unsigned i = 0; i < 40; i++) {
		enum key_check check = sample_below(5) == 0 ? KEY_CHECK_BAD : KEY_CHECK_GOOD;
		uint32_t serial = serials;

		t[i] = tap_at(1 + sample_below(5), DAY0, 300 + (int)sample_below(900), i % 2 == 0 ? "A" : "B", 200);
		tap_send_as(&answered, &t[i], "V-1", check);
		serials = serial + 1;
		if (sample_below(2) == 0)
			tap_send_as(&asked, &t[i], "V-1", check);
		else
			late[n++] = (struct recheck){ .seq = unanswered(&asked, &t[i]), .check = (uint8_t)check };
	}
	assert_int_equal(waiting(&asked), n);
	for (size_t i = n; i-- > 0;)
		assert_true(answer_all(&asked, &late[i], 1));
	assert_int_equal(waiting(&asked), 0);
	day_end(&asked);
	day_end(&answered);
	rows_digest(&asked, DAY0, a);
	rows_digest(&answered, DAY0, b);
	assert_memory_equal(a, b, DIGEST_BYTES);
	all_holds(&asked);
	house_close(&asked);
	house_close(&answered);
}

static void an_answer_after_the_cut_settles_the_tap_at_its_own_place(void **state)
{
	struct tap first = tap_at(1, DAY0, 480, "A", 200), middle = tap_at(1, DAY0, 560, "B", 300), last = tap_at(1, DAY0, 640, "A", 200);
	struct house h, late;
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
	uint64_t seq;
	char *text;

	(void)state;
	house_open(&h);
	tap_send(&h, &first);
	seq = unanswered(&h, &middle);
	tap_send(&h, &last);
	day_end(&h);
	rows_digest(&h, DAY0, before);
	day_end(&h);
	assert_true(answer(&h, seq, KEY_CHECK_GOOD));
	assert_false(answer(&h, seq, KEY_CHECK_GOOD));	/* it waits no longer */
	day_end(&h);
	rows_digest(&h, DAY0, after);
	assert_memory_equal(before, after, DIGEST_BYTES);
	assert_int_equal(rows(&h, VERDICT_ACCEPTED), 3);
	text = explained(&h, &middle);
	assert_non_null(strstr(text, "\"verdict\":\"accepted\",\"check\":\"good\""));
	assert_non_null(strstr(text, "\"checks\":[{\"check\":\"unavailable\""));
	assert_non_null(strstr(text, "{\"check\":\"good\",\"inbox_seq\":"));
	free(text);

	house_open(&late);
	tap_send(&late, &first);
	tap_send(&late, &last);
	days_end(&late, DAY0 + 1);
	tap_send(&late, &middle);
	day_end(&late);
	same_books(&h, &late);
	all_holds(&h);
	house_close(&h);
	house_close(&late);
}

static void a_device_that_is_out_for_longer_than_a_tap_may_be_late_loses_none(void **state)
{
	struct tap first = tap_at(1, DAY0, 480, "A", 200), middle = tap_at(1, DAY0, 560, "B", 300), last = tap_at(1, DAY0, 640, "A", 200);
	struct house h, ordered;
	uint64_t seq;

	(void)state;
	house_open(&h);
	house_open(&ordered);
	tap_send(&h, &first);
	tap_send(&ordered, &first);
	seq = unanswered(&h, &middle);
	tap_send(&ordered, &middle);
	tap_send(&h, &last);
	tap_send(&ordered, &last);
	days_end(&h, DAY0 + 40);
	assert_true(answer(&h, seq, KEY_CHECK_GOOD));
	day_end(&h);
	day_end(&ordered);
	assert_int_equal(rows(&h, VERDICT_ACCEPTED), 3);
	same_books(&h, &ordered);
	all_holds(&h);
	house_close(&h);
	house_close(&ordered);
}

/* ---- copies and forgeries ---------------------------------------------------------------------------------------- */

static void a_forgery_that_waits_beside_the_true_tap_is_refused_and_the_true_one_settled(void **state)
{
	struct tap t = tap_at(1, DAY0, 480, "A", 200), forged = t;
	uint64_t seq[2];
	struct house h;
	char *text;

	(void)state;
	forged.amount_fen = 100;
	forged.balance_after = forged.balance_before - 100;
	for (int after_cut = 0; after_cut < 2; after_cut++) {
		house_open(&h);
		seq[0] = unanswered(&h, &forged);
		seq[1] = unanswered(&h, &t);
		if (after_cut)
			day_end(&h);
		assert_true(answer(&h, seq[0], KEY_CHECK_BAD));
		assert_true(answer(&h, seq[1], KEY_CHECK_GOOD));
		day_end(&h);
		assert_int_equal(rows(&h, VERDICT_ACCEPTED), 1);
		assert_int_equal(rows(&h, VERDICT_BAD_MAC), 1);
		assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_PURSE, 1)), -200);
		text = explained(&h, &t);
		assert_non_null(strstr(text, "\"verdict\":\"accepted\""));
		free(text);
		all_holds(&h);
		house_close(&h);
	}
}

static void a_copy_that_came_while_the_first_waited_is_settled_once(void **state)
{
	struct tap t = tap_at(1, DAY0, 480, "A", 200);
	struct house h;

	(void)state;
	for (int answered = DAY0; answered < DAY0 + 3; answered++)	/* before the copy comes, on its day, after it */
		for (int waits = 0; waits < 2; waits++) {
			uint64_t first, second = 0;

			house_open(&h);
			first = unanswered(&h, &t);
			for (int32_t day = DAY0; day < DAY0 + 4; day++) {
				if (day == DAY0 + 1 && waits)
					second = unanswered(&h, &t);
				else if (day == DAY0 + 1)
					tap_send(&h, &t);
				if (day == answered)
					assert_true(answer(&h, first, KEY_CHECK_GOOD));
				if (day == DAY0 + 3 && waits)
					assert_true(answer(&h, second, KEY_CHECK_GOOD));
				day_end(&h);
			}
			assert_int_equal(rows(&h, VERDICT_ACCEPTED), 1);
			assert_int_equal(rows(&h, VERDICT_DUPLICATE), 1);
			assert_int_equal(waiting(&h), 0);
			assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_PURSE, 1)), -200);
			all_holds(&h);
			house_close(&h);
		}
}

static void a_tap_found_wrong_after_the_cut_is_explained_by_what_was_found(void **state)
{
	struct tap t = tap_at(1, DAY0, 480, "A", 200);
	struct house h;
	uint64_t seq;
	char *text;

	(void)state;
	house_open(&h);
	seq = unanswered(&h, &t);
	day_end(&h);
	text = explained(&h, &t);
	assert_non_null(strstr(text, "\"verdict\":\"pending-tac\",\"check\":\"unavailable\""));
	free(text);
	assert_true(answer(&h, seq, KEY_CHECK_BAD));
	day_end(&h);
	text = explained(&h, &t);
	assert_non_null(strstr(text, "\"verdict\":\"bad-mac\",\"check\":\"bad\""));
	free(text);
	all_holds(&h);
	house_close(&h);
}

static void a_key_drill_counts_a_tap_that_waits_once_wherever_it_stands(void **state)
{
	struct tap t = tap_at(1, DAY0, 480, "A", 200);
	struct distrust leaked = { .alg = (uint8_t)t.alg_id, .version = (uint8_t)t.key_version };
	static const uint8_t standing[] = { DRILL_WAITING, DRILL_WAITING, DRILL_OPEN, DRILL_SETTLED };
	struct drill d;
	struct house h;
	uint64_t seq;

	(void)state;
	memcpy(leaked.issuer, t.issuer, sizeof(leaked.issuer));
	house_open(&h);
	seq = unanswered(&h, &t);
	for (int step = 0; step < 4; step++) {
		if (step == 1 || step == 3)
			day_end(&h);
		if (step == 2)
			assert_true(answer(&h, seq, KEY_CHECK_GOOD));
		assert_int_equal(key_drill(h.store, &leaked, &d), 0);
		assert_int_equal(d.count, 1);
		assert_int_equal(d.row[0].standing, standing[step]);
		free(d.row);
	}
	house_close(&h);
}

/* ---- the check --------------------------------------------------------------------------------------------------- */

static void a_record_that_is_lost_or_answered_twice_is_found_by_the_check(void **state)
{
	struct tap t = tap_at(1, DAY0, 480, "A", 200);
	uint8_t body[2 * RECHECK_BYTES] = { 0 }, place[10];
	struct house h;
	struct txn txn;
	uint64_t seq;
	FILE *out = fopen("/dev/null", "we");

	(void)state;
	house_open(&h);
	seq = unanswered(&h, &t);
	assert_int_equal(check_run(h.store, "waiting", out), 0);
	be64_put(place, seq);
	be16_put(place + 8, 0);
	assert_int_equal(txn_begin(h.store, true, &txn), 0);
	txn_del(&txn, DB_WAITING, place, sizeof(place));
	assert_int_equal(txn_commit(&txn), 0);
	assert_true(check_run(h.store, "waiting", out) > 0);
	memcpy(body, place, sizeof(place));
	body[10] = KEY_CHECK_GOOD;
	event_add(&h, EVENT_RECHECK, body, RECHECK_BYTES, "", 0);
	assert_int_equal(check_run(h.store, "waiting", out), 0);
	event_add(&h, EVENT_RECHECK, body, RECHECK_BYTES, "", 0);
	assert_true(check_run(h.store, "waiting", out) > 0);
	event_add(&h, EVENT_RECHECK, body, RECHECK_BYTES - 1, "", 0);
	assert_true(check_run(h.store, "waiting", out) > 2);
	fclose(out);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unanswered_tap_posts_nothing_and_waits),
		cmocka_unit_test(an_answer_before_the_cut_takes_the_place_of_the_mark),
		cmocka_unit_test(an_answer_after_the_cut_settles_the_tap_at_its_own_place),
		cmocka_unit_test(a_device_that_is_out_for_longer_than_a_tap_may_be_late_loses_none),
		cmocka_unit_test(a_forgery_that_waits_beside_the_true_tap_is_refused_and_the_true_one_settled),
		cmocka_unit_test(a_copy_that_came_while_the_first_waited_is_settled_once),
		cmocka_unit_test(a_tap_found_wrong_after_the_cut_is_explained_by_what_was_found),
		cmocka_unit_test(a_key_drill_counts_a_tap_that_waits_once_wherever_it_stands),
		cmocka_unit_test(a_record_that_is_lost_or_answered_twice_is_found_by_the_check),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
