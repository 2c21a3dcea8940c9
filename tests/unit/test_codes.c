/* A code rides once: whichever gates it is shown at, in whatever order and on whatever days the records come. */
#include "clearing/daemon.h"

#define event_add house_event_add	/* libevent has one of this name */
#include "tests/unit/house.h"

static struct qr_key *ca, *issuer, *user;
static uint8_t cert[117];
#define CODES_MAX 64
static uint8_t payload[CODES_MAX][QR_BYTES_MAX];
static size_t payload_count;

/* A ride with a T-Union code of this account made at that minute; terminal 1 or 2. */
static struct tap code_tap(unsigned account, unsigned terminal, int32_t day, int minute, int made_minute)
{
	struct tap t = tap_at(account, day, minute, "A", 200);
	struct qr_account a = { .pay_account = "4280", .account_type = 1, .ride_limit_fen = 1000, .auth_expiry_s = UINT32_MAX, .validity_s = 60 };
	uint8_t auth[QR_BYTES_MAX];
	size_t auth_bytes, n;

	assert_true(payload_count < CODES_MAX);
	memcpy(a.pan, t.pan, 10);
	memcpy(a.issuer, t.issuer, 4);
	memcpy(a.platform, t.issuer, 4);
	assert_int_equal(qr_make_auth(cert, issuer, &a, user, auth, &auth_bytes), 0);
	assert_int_equal(qr_make_code(auth, auth_bytes, user, (uint32_t)((int64_t)day * 86400 - CIVIL_OFFSET_MS / 1000 + made_minute * 60), payload[payload_count], &n), 0);
	t.kind = TAP_QR;
	t.medium = MEDIUM_QR;
	t.terminal[5] = t.psam[5] = (uint8_t)terminal;
	t.balance_before = t.balance_after = 0;
	t.qr.p = payload[payload_count++];
	t.qr.n = (uint32_t)n;
	return t;
}

static void send_checked(struct house *h, const struct tap *t, enum key_check check)
{
	static uint8_t record[TAP_ENCODED_BYTES_MAX], out[BATCH_BYTES_MAX];
	struct batch b = { .device = "V-1", .file_serial = ++serials, .count = 1 };
	uint8_t head[EVENT_BATCH_HEAD_BYTES + 2] = "V-1";
	int n = tap_encode(t, record, sizeof(record));

	assert_true(n > 0);
	b.tap[0].p = record;
	b.tap[0].n = (uint32_t)n;
	assert_int_equal(batch_seal(&b), 0);
	n = batch_encode(&b, out, sizeof(out));
	be32_put(head + 16, b.file_serial);
	be16_put(head + 20, 1);
	head[22] = (uint8_t)check;
	event_add(h, EVENT_BATCH, head, sizeof(head), out, (size_t)n);
}

static enum verdict verdict_of(struct house *h, const struct tap *t)
{
	struct cleared row = { 0 };
	int32_t day;
	struct txn txn;

	assert_int_equal(txn_begin(h->store, false, &txn), 0);
	row_of(&txn, t, &row, &day);
	txn_abort(&txn);
	return (enum verdict)row.verdict;
}

static int64_t operators_get(struct house *h) { return balance_of(h, ACCOUNT(ACCOUNT_OPERATOR, 101)) + balance_of(h, ACCOUNT(ACCOUNT_OPERATOR, 102)); }

static int group_setup(void **state)
{
	static const uint8_t number[4] = { 2, 0x18, 0x42, 0x80 };

	if (packs_make(state) != 0 || qr_key_new(&ca) != 0 || qr_key_new(&issuer) != 0 || qr_key_new(&user) != 0)
		return -1;
	return qr_make_cert(ca, 3, number, (const uint8_t[]){ 0x12, 0x45 }, issuer, cert);
}

static int group_teardown(void **state)
{
	qr_key_free(ca);
	qr_key_free(issuer);
	qr_key_free(user);
	return packs_free(state);
}

static int set_up(void **state)
{
	(void)state;
	payload_count = 0;
	return 0;
}

/* ---- in the clear ------------------------------------------------------------------------------------------------ */

static void a_code_shown_at_two_gates_is_money_once(void **state)
{
	struct tap first = code_tap(1, 1, DAY0, 480, 480), second = code_tap(1, 2, DAY0, 481, 480), other = code_tap(1, 2, DAY0, 482, 482);
	struct house h;

	(void)state;
	house_open(&h);
	tap_send(&h, &second);
	tap_send(&h, &first);
	tap_send(&h, &other);
	day_end(&h);
	assert_int_equal(verdict_of(&h, &first), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &second), VERDICT_CODE_REPEATED);
	assert_int_equal(verdict_of(&h, &other), VERDICT_ACCEPTED);
	assert_int_equal(operators_get(&h), 400);
	all_holds(&h);
	house_close(&h);
}

static void a_code_shown_twice_at_one_gate_is_money_once_and_a_record_sent_twice_is_a_duplicate(void **state)
{
	struct tap first = code_tap(1, 1, DAY0, 480, 480), again = code_tap(1, 1, DAY0, 480, 480);
	struct house h;

	(void)state;
	again.time_ms += 5000;
	house_open(&h);
	tap_send(&h, &first);
	tap_send(&h, &again);
	tap_send(&h, &first);
	day_end(&h);
	assert_int_equal(verdict_of(&h, &first), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &again), VERDICT_CODE_REPEATED);
	assert_int_equal(operators_get(&h), 200);
	day_end(&h);
	tap_send(&h, &first);		/* and a day later */
	day_end(&h);
	assert_int_equal(operators_get(&h), 200);
	all_holds(&h);
	house_close(&h);
}

static void the_same_second_of_two_accounts_is_two_codes(void **state)
{
	struct tap a = code_tap(1, 1, DAY0, 480, 480), b = code_tap(2, 1, DAY0, 480, 480);
	struct house h;

	(void)state;
	house_open(&h);
	tap_send(&h, &a);
	tap_send(&h, &b);
	day_end(&h);
	assert_int_equal(operators_get(&h), 400);
	house_close(&h);
}

static void what_an_earlier_day_took_is_not_taken_back(void **state)
{
	struct tap early = code_tap(1, 1, DAY0, 480, 480), late = code_tap(1, 2, DAY0, 481, 480);
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
	struct house h;

	(void)state;
	house_open(&h);
	tap_send(&h, &late);
	day_end(&h);
	rows_digest(&h, DAY0, before);
	tap_send(&h, &early);		/* earlier in time, arrives a day later */
	day_end(&h);
	rows_digest(&h, DAY0, after);
	assert_memory_equal(before, after, DIGEST_BYTES);
	assert_int_equal(verdict_of(&h, &late), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &early), VERDICT_CODE_REPEATED);
	assert_int_equal(operators_get(&h), 200);
	all_holds(&h);
	house_close(&h);
}

static void a_forgery_holds_no_code_and_an_unverified_one_gives_way(void **state)
{
	struct tap forged = code_tap(1, 1, DAY0, 480, 480), unknown = code_tap(1, 1, DAY0, 481, 480), good = code_tap(1, 2, DAY0, 482, 480);
	struct tap foreign = code_tap(2, 1, DAY0, 480, 480), known = code_tap(2, 2, DAY0, 481, 480);
	struct house h;

	(void)state;
	house_open(&h);
	send_checked(&h, &forged, KEY_CHECK_BAD);
	send_checked(&h, &unknown, KEY_CHECK_FOREIGN);
	send_checked(&h, &good, KEY_CHECK_GOOD);
	send_checked(&h, &foreign, KEY_CHECK_FOREIGN);
	day_end(&h);
	send_checked(&h, &known, KEY_CHECK_GOOD);
	day_end(&h);
	assert_int_equal(verdict_of(&h, &forged), VERDICT_BAD_MAC);
	assert_int_equal(verdict_of(&h, &unknown), VERDICT_CODE_REPEATED);
	assert_int_equal(verdict_of(&h, &good), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &foreign), VERDICT_PENDING);
	assert_int_equal(verdict_of(&h, &known), VERDICT_ACCEPTED);
	all_holds(&h);
	house_close(&h);
}

static void the_order_of_arrival_leaves_no_trace(void **state)
{
	enum { N = 12 };
	uint8_t digest[2][DIGEST_BYTES];
	unsigned seed = 20251103;
	struct tap tap[N];

	(void)state;
	print_message("# seed %u\n", seed);
	payload_count = 0;
	for (unsigned i = 0; i < N; i++)	/* four codes, each shown three times */
		tap[i] = code_tap(1 + i % 2, 1 + i % 3 % 2, DAY0, 480 + (int)(i / 4), 480 + (int)(i % 4 / 2));
	for (int round = 0; round < 4; round++) {
		struct house h;

		house_open(&h);
		for (unsigned i = N; i > 1; i--) {
			struct tap swap = tap[i - 1];
			unsigned at = (seed = seed * 1103515245u + 12345u) / 65536 % i;

			tap[i - 1] = tap[at];
			tap[at] = swap;
		}
		for (unsigned i = 0; i < N; i++)
			tap_send(&h, &tap[i]);
		day_end(&h);
		assert_int_equal(dump_digest(h.store, DAY0, digest[round != 0]), 0);
		if (round != 0)
			assert_memory_equal(digest[0], digest[1], DIGEST_BYTES);
		assert_int_equal(operators_get(&h), 4 * 200);
		all_holds(&h);
		house_close(&h);
	}
}

/* ---- at the arrival ------------------------------------------------------------------------------------------------ */

static enum verdict on_arrival(struct house *h, struct live *live, const struct tap *t)
{
	static uint8_t record[TAP_ENCODED_BYTES_MAX];
	const uint8_t marks[2] = { KEY_CHECK_GOOD, 0 };
	struct batch b = { .device = "V-1", .file_serial = ++serials, .count = 1 };
	struct receipt r;
	struct txn txn;
	int n = tap_encode(t, record, sizeof(record));

	assert_true(n > 0);
	b.tap[0].p = record;
	b.tap[0].n = (uint32_t)n;
	assert_int_equal(batch_seal(&b), 0);
	assert_int_equal(txn_begin(h->store, false, &txn), 0);
	assert_int_equal(live_judge(live, h->ref, &txn, h->open, "V-1", &b, marks, 1, &r), 0);
	txn_abort(&txn);
	return (enum verdict)r.verdict[0];
}

static void the_receipt_already_says_that_a_code_rode_before(void **state)
{
	struct tap first = code_tap(1, 1, DAY0, 480, 480), second = code_tap(1, 2, DAY0, 481, 480), other = code_tap(1, 2, DAY0, 481, 481);
	struct tap settled = code_tap(2, 1, DAY0, 480, 480), again = code_tap(2, 2, DAY0, 481, 480);
	struct live *live;
	struct house h;

	(void)state;
	house_open(&h);
	tap_send(&h, &settled);
	day_end(&h);
	assert_int_equal(live_new(&live), 0);
	assert_int_equal(on_arrival(&h, live, &first), VERDICT_ACCEPTED);
	assert_int_equal(on_arrival(&h, live, &first), VERDICT_DUPLICATE);
	assert_int_equal(on_arrival(&h, live, &second), VERDICT_CODE_REPEATED);
	assert_int_equal(on_arrival(&h, live, &other), VERDICT_ACCEPTED);
	assert_int_equal(on_arrival(&h, live, &again), VERDICT_CODE_REPEATED);
	live_free(live);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_code_shown_at_two_gates_is_money_once, set_up),
		cmocka_unit_test_setup(a_code_shown_twice_at_one_gate_is_money_once_and_a_record_sent_twice_is_a_duplicate, set_up),
		cmocka_unit_test_setup(the_same_second_of_two_accounts_is_two_codes, set_up),
		cmocka_unit_test_setup(what_an_earlier_day_took_is_not_taken_back, set_up),
		cmocka_unit_test_setup(a_forgery_holds_no_code_and_an_unverified_one_gives_way, set_up),
		cmocka_unit_test(the_order_of_arrival_leaves_no_trace),
		cmocka_unit_test_setup(the_receipt_already_says_that_a_code_rode_before, set_up),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
