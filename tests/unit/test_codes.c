/* A code rides once: whichever gates it is shown at, in whatever order and on whatever days the records come. */
#include "clearing/clear.h"
#include "clearing/code_route.h"
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
		assert_int_equal(day_digest(h.store, DAY0, digest[round != 0]), 0);
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
	assert_int_equal(live_judge(live, h->ref, &txn, h->open, "V-1", &b, NULL, marks, 1, &r), 0);
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

/* ---- what platforms say ----------------------------------------------------------------------------------------------- */

static struct tap waiting_tap(enum tap_kind kind, unsigned account, int32_t day, int minute)
{
	struct tap t = tap_at(account, day, minute, "A", 200);

	assert_true(payload_count < CODES_MAX);
	t.kind = kind;
	t.medium = kind == TAP_IDENTITY ? MEDIUM_QR : MEDIUM_BANK_QR;
	t.balance_before = t.balance_after = 0;
	t.qr.p = payload[payload_count];
	t.qr.n = (uint32_t)snprintf((char *)payload[payload_count], QR_BYTES_MAX, "UPR1-%zu-%d", payload_count, minute);
	payload_count++;
	return t;
}

static struct code_answer said_of(const struct tap *t, enum code_result result)
{
	struct code_answer a = { .result = (uint8_t)result, .amount_fen = t->kind == TAP_BANK_QR ? t->amount_fen : 0, .reference = "R1", .reason = "" };

	tap_key(t, a.key);
	memcpy(a.record_pan, t->pan, 10);
	return a;
}

static void say(struct house *h, enum scheme scheme, const struct code_answer *a)
{
	uint8_t head[CODE_EVENT_HEAD_BYTES] = { (uint8_t)scheme, 0, 0, 1 }, row[CODE_ANSWER_BYTES];

	code_answer_put(a, row);
	event_add(h, EVENT_CODE_ANSWER, head, sizeof(head), row, sizeof(row));
}

static void an_answer_before_the_cut_decides_and_a_second_one_changes_nothing(void **state)
{
	struct tap good = waiting_tap(TAP_BANK_QR, 1, DAY0, 480), bad = waiting_tap(TAP_BANK_QR, 2, DAY0, 481), silent = waiting_tap(TAP_BANK_QR, 3, DAY0, 482),
		   other = waiting_tap(TAP_BANK_QR, 4, DAY0, 483);
	struct code_answer a = said_of(&good, CODE_GOOD), again = said_of(&good, CODE_REFUSED), b = said_of(&bad, CODE_REFUSED), c = said_of(&other, CODE_GOOD);
	struct house h;

	(void)state;
	c.amount_fen++;			/* debited another amount than was asked */
	house_open(&h);
	send_checked(&h, &good, KEY_CHECK_FOREIGN);
	send_checked(&h, &bad, KEY_CHECK_FOREIGN);
	send_checked(&h, &silent, KEY_CHECK_FOREIGN);
	send_checked(&h, &other, KEY_CHECK_FOREIGN);
	say(&h, SCHEME_RIDE_CODE, &a);
	say(&h, SCHEME_RIDE_CODE, &b);
	say(&h, SCHEME_RIDE_CODE, &c);
	say(&h, SCHEME_RIDE_CODE, &again);
	day_end(&h);
	assert_int_equal(verdict_of(&h, &good), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &bad), VERDICT_PLATFORM_REFUSED);
	assert_int_equal(verdict_of(&h, &silent), VERDICT_PENDING);
	assert_int_equal(verdict_of(&h, &other), VERDICT_PENDING);
	assert_int_equal(operators_get(&h), 200);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_CODE, SCHEME_RIDE_CODE)), -200);
	say(&h, SCHEME_RIDE_CODE, &again);	/* a day later */
	day_end(&h);
	assert_int_equal(operators_get(&h), 200);
	all_holds(&h);
	house_close(&h);
}

static void an_answer_after_the_cut_makes_firm_or_takes_back_and_the_closed_day_stays(void **state)
{
	struct tap good = waiting_tap(TAP_BANK_QR, 1, DAY0, 480), bad = waiting_tap(TAP_BANK_QR, 2, DAY0, 481);
	struct code_answer a = said_of(&good, CODE_GOOD), b = said_of(&bad, CODE_REFUSED);
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
	struct house h;

	(void)state;
	house_open(&h);
	send_checked(&h, &good, KEY_CHECK_FOREIGN);
	send_checked(&h, &bad, KEY_CHECK_FOREIGN);
	day_end(&h);
	assert_int_equal(day_digest(h.store, DAY0, before), 0);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_PENDING, SCHEME_RIDE_CODE)), -400);
	send_checked(&h, &good, KEY_CHECK_FOREIGN);	/* sent again on the day of the answer */
	say(&h, SCHEME_RIDE_CODE, &a);
	say(&h, SCHEME_RIDE_CODE, &b);
	say(&h, SCHEME_RIDE_CODE, &a);
	day_end(&h);
	say(&h, SCHEME_RIDE_CODE, &a);
	day_end(&h);
	assert_int_equal(day_digest(h.store, DAY0, after), 0);
	assert_memory_equal(before, after, DIGEST_BYTES);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_PENDING, SCHEME_RIDE_CODE)), 0);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_OPERATOR_PENDING, 101)), 0);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_CODE, SCHEME_RIDE_CODE)), -200);
	assert_int_equal(operators_get(&h), 200);
	all_holds(&h);
	house_close(&h);
}

static void an_identity_code_rides_with_its_persons_entitlements_and_is_charged_what_is_due(void **state)
{
	struct tap elder = waiting_tap(TAP_IDENTITY, 91, DAY0, 480), stranger = waiting_tap(TAP_IDENTITY, 92, DAY0, 481);
	struct code_answer a = said_of(&elder, CODE_GOOD), b = said_of(&stranger, CODE_GOOD);
	struct house h;

	(void)state;
	static const char media[] = "pan,person,medium,from,to\n4280190000000000001,0000000000002329,identity,2025-01-01,\n";	/* 9001 */

	assert_true(pan_parse("4280190000000000001", a.pan));
	assert_true(pan_parse("3104730150000000099", b.pan));
	house_open(&h);
	elders_add(&h);
	event_add(&h, EVENT_MEDIA, "", 0, media, strlen(media));
	send_checked(&h, &elder, KEY_CHECK_FOREIGN);
	send_checked(&h, &stranger, KEY_CHECK_FOREIGN);
	say(&h, SCHEME_IDENTITY, &a);
	say(&h, SCHEME_IDENTITY, &b);
	day_end(&h);
	assert_int_equal(verdict_of(&h, &elder), VERDICT_ACCEPTED);
	assert_int_equal(paid_of(&h, &elder), 100);
	assert_int_equal(paid_of(&h, &stranger), 200);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_CODE, SCHEME_IDENTITY)), -300);	/* 100 and 200, nothing to give back */
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_IDENTITY)), 0);
	assert_int_equal(operators_get(&h), 400);
	all_holds(&h);
	house_close(&h);
}

static void what_waits_is_known_again_after_a_restart_until_it_is_answered(void **state)
{
	struct tap t = waiting_tap(TAP_BANK_QR, 1, DAY0, 480);
	struct code_answer a = said_of(&t, CODE_GOOD);
	struct code_waiting list[4];
	struct code_asks *asks;
	size_t at = 0;
	struct txn txn;
	struct house h;

	(void)state;
	house_open(&h);
	send_checked(&h, &t, KEY_CHECK_FOREIGN);
	day_end(&h);
	assert_int_equal(day_build(h.store, DAY0), 0);
	assert_int_equal(code_asks_new(&asks) | txn_begin(h.store, false, &txn), 0);
	assert_int_equal(code_asks_load(asks, &txn), 0);
	txn_abort(&txn);
	assert_int_equal(code_asks_list(asks, SCHEME_RIDE_CODE, &at, list, 4), 1);
	assert_memory_equal(list[0].key, a.key, TAP_KEY_BYTES);
	code_asks_free(asks);
	say(&h, SCHEME_RIDE_CODE, &a);
	day_end(&h);
	assert_int_equal(code_asks_new(&asks) | txn_begin(h.store, false, &txn), 0);
	assert_int_equal(code_asks_load(asks, &txn), 0);
	txn_abort(&txn);
	assert_int_equal(code_asks_count(asks), 0);
	code_asks_free(asks);
	assert_int_equal(day_build(h.store, DAY0 + 1), 0);
	all_holds(&h);
	house_close(&h);
}

static void what_a_day_left_waiting_is_asked_about_when_it_is_built(void **state)
{
	struct tap silent = waiting_tap(TAP_BANK_QR, 1, DAY0, 480), answered = waiting_tap(TAP_BANK_QR, 2, DAY0, 481);
	struct code_answer a = said_of(&answered, CODE_GOOD);
	struct code_waiting list[4];
	struct code_asks *asks;
	uint8_t id[TAP_KEY_BYTES];
	struct day_row day;
	size_t at = 0;
	struct txn txn;
	struct house h;

	(void)state;
	house_open(&h);
	send_checked(&h, &silent, KEY_CHECK_FOREIGN);
	send_checked(&h, &answered, KEY_CHECK_FOREIGN);
	day_end(&h);
	say(&h, SCHEME_RIDE_CODE, &a);
	assert_int_equal(day_build(h.store, DAY0), 0);
	assert_int_equal(code_asks_new(&asks) | txn_begin(h.store, false, &txn), 0);	/* on arrival neither looked as if it waited */
	assert_true(day_get(&txn, DAY0, &day));
	assert_int_equal(code_asks_built(asks, &txn, day.cut_seq), 0);
	txn_abort(&txn);
	assert_int_equal(code_asks_list(asks, SCHEME_RIDE_CODE, &at, list, 4), 1);
	tap_key(&silent, id);
	assert_memory_equal(list[0].key, id, TAP_KEY_BYTES);
	code_asks_free(asks);
	house_close(&h);
}

/* A code record beyond its device's cap: set aside, and released on the day after by a person. */
static void set_aside_and_release(struct house *h, const struct tap *t)
{
	uint8_t cap[DEVICE_CAP_BYTES], point[65], id[TAP_KEY_BYTES], digest[DIGEST_BYTES], signature[64], body[DEVICE_RELEASE_BYTES];
	char csv[256], hex[131], text[PUBLISH_TEXT_BYTES];
	struct cleared row;
	int32_t day;
	struct txn txn;

	qr_key_point(key[0], point);
	hex_encode(point, sizeof(point), hex);
	snprintf(csv, sizeof(csv), "name,title,key\nzhang,,%s\n", hex);
	event_add(h, EVENT_PERSONS, "", 0, csv, strlen(csv));
	device_cap_event(100, cap);
	event_add(h, EVENT_DEVICE, cap, sizeof(cap), "", 0);
	send_checked(h, t, KEY_CHECK_FOREIGN);
	day_end(h);
	assert_int_equal(verdict_of(h, t), VERDICT_QUARANTINED);
	tap_key(t, id);
	assert_int_equal(txn_begin(h->store, false, &txn), 0);
	assert_true(set_aside_find(&txn, id, &day, &row));
	assert_int_equal(digest_sha256(row.raw, row.raw_bytes, digest), 0);
	txn_abort(&txn);
	assert_int_equal(sm2_sign(key[0], text, release_text(id, day, digest, text), signature), 0);
	release_event(id, day, digest, "zhang", signature, body);
	event_add(h, EVENT_DEVICE, body, sizeof(body), "", 0);
}

static void a_code_released_from_a_cap_is_asked_about_at_once(void **state)
{
	struct tap t = waiting_tap(TAP_BANK_QR, 1, DAY0, 480);
	struct code_waiting list[4];
	struct inbox_iter it;
	struct event e = { 0 }, last = { 0 };
	struct live *live;
	uint8_t id[TAP_KEY_BYTES];
	struct txn txn;
	struct house h;
	size_t at = 0;

	(void)state;
	house_open(&h);
	set_aside_and_release(&h, &t);
	assert_int_equal(live_new(&live) | txn_begin(h.store, false, &txn), 0);
	inbox_open(&txn, inbox_last(&txn), UINT64_MAX, &it);
	while (inbox_next(&it, &e))
		last = e;
	inbox_close(&it);
	assert_int_equal(live_released(live, &txn, &last), 0);
	txn_abort(&txn);
	assert_int_equal(code_asks_list(live_asks(live), SCHEME_RIDE_CODE, &at, list, 4), 1);
	tap_key(&t, id);
	assert_memory_equal(list[0].key, id, TAP_KEY_BYTES);
	live_free(live);
	house_close(&h);
}

static void an_answer_about_a_released_code_counts_before_the_cut_and_after(void **state)
{
	struct tap before = waiting_tap(TAP_BANK_QR, 1, DAY0, 480), after = waiting_tap(TAP_BANK_QR, 2, DAY0, 481);
	struct code_answer a = said_of(&before, CODE_GOOD), b = said_of(&after, CODE_GOOD);
	struct cleared row;
	uint8_t id[TAP_KEY_BYTES], at[CLEARED_KEY_BYTES];
	struct txn txn;
	struct house h;

	(void)state;
	house_open(&h);
	set_aside_and_release(&h, &before);
	say(&h, SCHEME_RIDE_CODE, &a);
	day_end(&h);
	assert_int_equal(operators_get(&h), 200);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_PENDING, SCHEME_RIDE_CODE)), 0);
	all_holds(&h);
	house_close(&h);

	house_open(&h);
	set_aside_and_release(&h, &after);
	day_end(&h);
	assert_int_equal(operators_get(&h), 0);
	tap_key(&after, id);
	assert_int_equal(txn_begin(h.store, false, &txn), 0);
	assert_true(code_pending_row(&txn, code_route_of_kind(TAP_BANK_QR), id, DAY0 + 2, &row, at));
	txn_abort(&txn);
	say(&h, SCHEME_RIDE_CODE, &b);
	day_end(&h);
	assert_int_equal(operators_get(&h), 200);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_CODE, SCHEME_RIDE_CODE)), -200);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_PENDING, SCHEME_RIDE_CODE)), 0);
	assert_int_equal(day_build(h.store, DAY0 + 1), 0);
	assert_int_equal(day_build(h.store, DAY0 + 2), 0);
	all_holds(&h);
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
		cmocka_unit_test_setup(an_answer_before_the_cut_decides_and_a_second_one_changes_nothing, set_up),
		cmocka_unit_test_setup(an_answer_after_the_cut_makes_firm_or_takes_back_and_the_closed_day_stays, set_up),
		cmocka_unit_test_setup(an_identity_code_rides_with_its_persons_entitlements_and_is_charged_what_is_due, set_up),
		cmocka_unit_test_setup(what_waits_is_known_again_after_a_restart_until_it_is_answered, set_up),
		cmocka_unit_test_setup(what_a_day_left_waiting_is_asked_about_when_it_is_built, set_up),
		cmocka_unit_test_setup(a_code_released_from_a_cap_is_asked_about_at_once, set_up),
		cmocka_unit_test_setup(an_answer_about_a_released_code_counts_before_the_cut_and_after, set_up),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
