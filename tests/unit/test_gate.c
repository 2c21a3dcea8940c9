/* The gate: the whole purchase against a software card and PSAM, torn at every step, and recovery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>

#include <cmocka.h>

#include "tests/unit/tap_sample.h"

#define NOW_MS SAMPLE_TIME_MS
#define MINUTE_MS 60000
#define FARE_FEN 90		/* line 1: flat 1.00, ordinary card 10 % off */
#define APDUS_MAX 16

/* Stands between gate and card: loses the card before the APDU of that number reaches it, and counts. */
struct spy { struct reader reader, *card; unsigned count, lose_before; bool gone; };

static struct keyring *ring;
static struct mac_engine *engine;
static struct soft_psam *psam;
static struct gate *gate;
static struct tariff *tariff;
static void *blob;
static struct gate_setting setting;
static struct tap taps[2];
static unsigned count;

static int spy_transmit(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct spy *s = (struct spy *)(void *)r;

	if (s->gone || ++s->count == s->lose_before) {
		s->gone = true;
		return -EIO;
	}
	return s->card->transmit(s->card, apdu, n, ret, ret_bytes);
}

static struct spy spy_of(struct soft_card *card)
{
	return (struct spy){ .reader.transmit = spy_transmit, .card = soft_card_reader(card) };
}

static void ring_add(enum key_purpose purpose, enum key_alg alg)
{
	struct key_entry e = { .purpose = purpose, .alg = alg, .issuer = { 0x02, 0x18, 0x42, 0x80 }, .version = 1, .levels = 2,
			       .valid_to_ms = INT64_MAX };
	uint8_t key[KEY_BYTES];

	memset(key, (int)purpose * 16 + (int)alg + 1, sizeof(key));
	assert_int_equal(keyring_add(ring, &e, key), 0);
}

static void tariff_fault(void *arg, const char *text)
{
	(void)arg;
	print_error("%s\n", text);
}

static int group_setup(void **state)
{
	size_t n;

	(void)state;
	assert_int_equal(keyring_new(&ring), 0);
	for (int alg = KEY_ALG_3DES; alg <= KEY_ALG_SM4; alg++) {
		ring_add(KEY_PURCHASE, (enum key_alg)alg);
		ring_add(KEY_TAC, (enum key_alg)alg);
	}
	assert_int_equal(mac_engine_new(&engine), 0);
	assert_int_equal(tariff_compile("tariffs/packs/ganzhou", tariff_fault, NULL, &blob, &n), 0);
	return tariff_open(blob, n, &tariff);
}

static int group_teardown(void **state)
{
	(void)state;
	tariff_close(tariff);
	free(blob);
	mac_engine_free(engine);
	keyring_free(ring);
	return 0;
}

static int setup(void **state)
{
	static const uint8_t terminal[6] = { 0x42, 0x80, 0, 0, 0, 0x17 };

	(void)state;
	assert_int_equal(soft_psam_new(ring, terminal, 100, &psam), 0);
	assert_int_equal(gate_new(soft_psam_reader(psam), &gate), 0);
	setting = (struct gate_setting){ .tariff = tariff, .operator_id = 101, .line = "1", .vehicle = "赣B12345", .stop = 1,
					 .acquirer = { 0x12, 0x18, 0x42, 0x80 }, .city = 0x4280, .list_version = 1 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gate_free(gate);
	soft_psam_free(psam);
	return 0;
}

static struct card_info person(unsigned number)
{
	struct card_info info = { .issuer = { 0x02, 0x18, 0x42, 0x80 }, .app_type = 2, .app_version = 1,
				  .pan = { 0x03, 0x10, 0x47, 0x30, 0x15, 0, 0, 0, 0, (uint8_t)number },
				  .start = day_of_civil(2020, 1, 1), .expiry = day_of_civil(2040, 12, 31), .city = 0x4280, .interop = 1,
				  .card_class = 1 };
	return info;
}

static struct soft_card *card_of(const struct card_info *info, uint8_t alg_id, uint32_t balance_fen)
{
	struct soft_card *card;

	assert_int_equal(soft_card_new(ring, info, 1, alg_id, balance_fen, 7, &card), 0);
	return card;
}

static struct soft_card *card(unsigned number)
{
	struct card_info info = person(number);

	return card_of(&info, 0, 5000);
}

static enum gate_answer present(struct soft_card *c, int64_t at_ms)
{
	return gate_tap(gate, soft_card_reader(c), &setting, at_ms, taps, &count);
}

static enum key_check judged(const struct tap *tap)
{
	struct purchase p;
	struct tac_question q = { .purchase = &p, .issuer = tap->issuer, .pan = tap->pan, .key_version = (uint8_t)tap->key_version,
				  .alg_id = (uint8_t)tap->alg_id, .at_ms = tap->time_ms, .tac = tap->tac };

	tap_purchase(tap, &p);
	return tac_verify(engine, ring, &q);
}

static void encodes_and_decodes(const struct tap *tap)
{
	uint8_t bytes[TAP_ENCODED_BYTES_MAX];
	const char *field = "";
	struct tap back;
	int n = sample_encode(tap, bytes);

	assert_true(n > 0);
	assert_int_equal(tap_decode(bytes, (size_t)n, &back, &field), 0);
}

static void same_key(const struct tap *a, const struct tap *b)
{
	uint8_t x[TAP_KEY_BYTES], y[TAP_KEY_BYTES];

	tap_key(a, x);
	tap_key(b, y);
	assert_memory_equal(x, y, TAP_KEY_BYTES);
}

static void a_purchase_makes_a_record_whose_code_is_good(void **state)
{
	(void)state;
	for (uint8_t alg = 0; alg <= 1; alg++) {
		struct card_info info = person(17u + alg);
		struct soft_card *c = card_of(&info, alg, 5000);

		assert_int_equal(present(c, NOW_MS + 123), GATE_GO);
		assert_int_equal(count, 1);
		assert_int_equal(taps[0].amount_fen, FARE_FEN);
		assert_int_equal(taps[0].list_fen, 100);
		assert_int_equal(taps[0].balance_before, 5000);
		assert_int_equal(taps[0].balance_after, 5000 - FARE_FEN);
		assert_int_equal(soft_card_balance(c), 5000 - FARE_FEN);
		assert_int_equal(taps[0].time_ms, NOW_MS);
		assert_int_equal(judged(&taps[0]), KEY_CHECK_GOOD);
		encodes_and_decodes(&taps[0]);
		soft_card_free(c);
	}
}

static void the_next_record_copies_the_previous_transaction(void **state)
{
	struct soft_card *c = card(17);
	struct tap first;

	(void)state;
	assert_int_equal(present(c, NOW_MS), GATE_GO);
	first = taps[0];
	assert_int_equal(first.prev_counter, 0);
	assert_int_equal(present(c, NOW_MS + 120 * MINUTE_MS), GATE_GO);
	assert_int_equal(taps[0].prev_counter, first.card_counter);
	assert_int_equal(taps[0].prev_amount_fen, first.amount_fen);
	assert_int_equal(taps[0].prev_time_ms, first.time_ms);
	assert_int_equal(taps[0].prev_type, first.txn_type);
	assert_memory_equal(taps[0].prev_terminal, first.terminal, 6);
	assert_int_equal(taps[0].terminal_serial, first.terminal_serial + 1);
	soft_card_free(c);
}

static void refused(struct card_info info, uint32_t balance, enum gate_answer expected)
{
	struct soft_card *c = card_of(&info, 0, balance);

	assert_int_equal(present(c, NOW_MS), expected);
	assert_int_equal(count, 0);
	assert_int_equal(soft_card_balance(c), balance);
	soft_card_free(c);
}

static void cards_that_may_not_ride_are_refused_without_a_debit(void **state)
{
	struct hotlist *list;
	char error[128];
	struct card_info info;

	(void)state;
	info = person(1); info.expiry = day_of_civil(2025, 11, 2); refused(info, 5000, GATE_EXPIRED);
	info = person(1); info.start = day_of_civil(2025, 11, 4); refused(info, 5000, GATE_EXPIRED);
	info = person(1); info.card_class = 6; refused(info, 5000, GATE_CARD_REFUSED);
	info = person(1); info.app_version = 2; refused(info, 5000, GATE_CARD_REFUSED);
	info = person(1); info.city = 0x1000; info.interop = 0; refused(info, 5000, GATE_CARD_REFUSED);
	info = person(1); refused(info, FARE_FEN - 1, GATE_LOW_BALANCE);
	assert_int_equal(hotlist_parse("list", "3104730150000000001\n", 20, &list, error, sizeof(error)), 0);
	setting.hotlist = list;
	info = person(1); refused(info, 5000, GATE_BLACKLISTED);
	setting.hotlist = NULL;
	hotlist_free(list);
	strcpy(setting.line, "no such line");
	info = person(1); refused(info, 5000, GATE_NO_PRICE);
}

static void a_card_valid_to_today_with_the_exact_fare_rides(void **state)
{
	struct card_info info = person(1);
	struct soft_card *c;

	(void)state;
	info.expiry = day_of_civil(2025, 11, 3);
	c = card_of(&info, 0, FARE_FEN);
	assert_int_equal(present(c, NOW_MS), GATE_GO);
	assert_int_equal(soft_card_balance(c), 0);
	soft_card_free(c);
}

static void a_test_card_is_marked(void **state)
{
	struct card_info info = person(1);
	struct soft_card *c;

	(void)state;
	info.card_class = 4;
	c = card_of(&info, 0, 5000);
	assert_int_equal(present(c, NOW_MS), GATE_GO);
	assert_int_equal(taps[0].flags & TAP_TEST, TAP_TEST);
	soft_card_free(c);
}

/* Number of APDUs of an untorn purchase, found by counting: the last one is the debit. */
static unsigned apdus_of_a_purchase(void)
{
	struct soft_card *c = card(0x90);
	struct spy spy = spy_of(c);

	assert_int_equal(gate_tap(gate, &spy.reader, &setting, NOW_MS, taps, &count), GATE_GO);
	soft_card_free(c);
	return spy.count;
}

static void torn_before_the_debit_leaves_no_record_and_no_debt(void **state)
{
	unsigned last = apdus_of_a_purchase();

	(void)state;
	for (unsigned at = 1; at < last; at++) {
		struct soft_card *c = card(at);

		soft_card_tear_after(c, at);
		assert_int_equal(present(c, NOW_MS), GATE_TAP_AGAIN);
		assert_int_equal(count, 0);
		assert_int_equal(soft_card_balance(c), 5000);
		assert_int_equal(present(c, NOW_MS + 2000), GATE_GO);
		assert_int_equal(count, 1);
		assert_int_equal(soft_card_balance(c), 5000 - FARE_FEN);
		soft_card_free(c);
	}
}

static void torn_after_the_debit_is_grey_now_and_recovered_when_the_card_returns(void **state)
{
	struct soft_card *c = card(17);
	struct tap grey;

	(void)state;
	soft_card_tear_after(c, apdus_of_a_purchase());
	assert_int_equal(present(c, NOW_MS), GATE_TAP_AGAIN);
	assert_int_equal(count, 1);
	grey = taps[0];
	assert_int_equal(grey.flags & TAP_GREY, TAP_GREY);
	assert_int_equal(judged(&grey), KEY_CHECK_GREY);
	encodes_and_decodes(&grey);
	assert_int_equal(present(c, NOW_MS + 3000), GATE_GO);
	assert_int_equal(count, 1);
	assert_int_equal(taps[0].flags & (TAP_GREY | TAP_RECOVERED), TAP_RECOVERED);
	same_key(&grey, &taps[0]);
	assert_int_equal(judged(&taps[0]), KEY_CHECK_GOOD);
	assert_int_equal(soft_card_balance(c), 5000 - FARE_FEN);	/* paid once */
	soft_card_free(c);
}

static void a_card_back_on_a_later_ride_recovers_and_pays_again(void **state)
{
	struct soft_card *c = card(17);
	struct tap grey;

	(void)state;
	soft_card_tear_after(c, apdus_of_a_purchase());
	assert_int_equal(present(c, NOW_MS), GATE_TAP_AGAIN);
	grey = taps[0];
	assert_int_equal(present(c, NOW_MS + 120 * MINUTE_MS), GATE_GO);
	assert_int_equal(count, 2);
	same_key(&grey, &taps[0]);
	assert_int_equal(judged(&taps[0]), KEY_CHECK_GOOD);
	assert_int_equal(taps[1].flags, 0);
	assert_int_equal(judged(&taps[1]), KEY_CHECK_GOOD);
	assert_int_equal(taps[1].card_counter, grey.card_counter + 1);
	assert_int_equal(soft_card_balance(c), 5000 - FARE_FEN - (int)taps[1].amount_fen);
	soft_card_free(c);
}

static void a_debit_the_card_never_saw_is_grey_and_the_passenger_pays_anew(void **state)
{
	unsigned last = apdus_of_a_purchase();
	struct soft_card *c = card(17);
	struct spy spy = spy_of(c);
	struct tap grey;

	(void)state;
	spy.lose_before = last;
	assert_int_equal(gate_tap(gate, &spy.reader, &setting, NOW_MS, taps, &count), GATE_TAP_AGAIN);
	assert_int_equal(count, 1);
	grey = taps[0];
	assert_int_equal(grey.flags & TAP_GREY, TAP_GREY);
	assert_int_equal(soft_card_balance(c), 5000);
	assert_int_equal(present(c, NOW_MS + 3000), GATE_GO);
	assert_int_equal(count, 1);
	assert_int_equal(taps[0].flags, 0);
	assert_int_equal(taps[0].terminal_serial, grey.terminal_serial + 1);
	assert_int_equal(soft_card_balance(c), 5000 - FARE_FEN);
	assert_int_equal(present(c, NOW_MS + 120 * MINUTE_MS), GATE_GO);
	assert_int_equal(count, 1);		/* the grey one stays unconfirmed for ever */
	soft_card_free(c);
}

static void a_card_lost_during_recovery_is_asked_again(void **state)
{
	unsigned last = apdus_of_a_purchase();
	struct soft_card *c = card(17);

	(void)state;
	soft_card_tear_after(c, last);
	assert_int_equal(present(c, NOW_MS), GATE_TAP_AGAIN);
	for (unsigned at = 1; at <= 5; at++) {
		struct spy spy = spy_of(c);

		spy.lose_before = at;
		assert_int_equal(gate_tap(gate, &spy.reader, &setting, NOW_MS + 1000, taps, &count), GATE_TAP_AGAIN);
		assert_int_equal(count, 0);
	}
	assert_int_equal(present(c, NOW_MS + 2000), GATE_GO);
	assert_int_equal(count, 1);
	assert_int_equal(judged(&taps[0]), KEY_CHECK_GOOD);
	assert_int_equal(soft_card_balance(c), 5000 - FARE_FEN);
	soft_card_free(c);
}

static void another_terminals_purchase_never_completes_our_grey_record(void **state)
{
	static const uint8_t elsewhere[6] = { 0x42, 0x80, 0, 0, 0, 0x18 };
	unsigned last = apdus_of_a_purchase();
	struct soft_card *c = card(17);
	struct spy spy = spy_of(c);
	struct soft_psam *psam2;
	struct gate *gate2;

	(void)state;
	spy.lose_before = last;
	assert_int_equal(gate_tap(gate, &spy.reader, &setting, NOW_MS, taps, &count), GATE_TAP_AGAIN);
	assert_int_equal(soft_psam_new(ring, elsewhere, 1, &psam2), 0);
	assert_int_equal(gate_new(soft_psam_reader(psam2), &gate2), 0);
	assert_int_equal(gate_tap(gate2, soft_card_reader(c), &setting, NOW_MS + 60 * MINUTE_MS, taps, &count), GATE_GO);
	assert_int_equal(present(c, NOW_MS + 180 * MINUTE_MS), GATE_GO);
	assert_int_equal(count, 1);
	assert_int_equal(taps[0].flags & TAP_RECOVERED, 0);
	assert_int_equal(judged(&taps[0]), KEY_CHECK_GOOD);
	gate_free(gate2);
	soft_psam_free(psam2);
	soft_card_free(c);
}

static void a_free_rides_repeat_is_refused_by_the_tariffs_lock(void **state)
{
	struct card_info info = person(17);
	struct soft_card *c;

	(void)state;
	info.card_class = 5;		/* soldier: free, and the free concessions are locked for ten minutes */
	c = card_of(&info, 0, 5000);
	assert_int_equal(present(c, NOW_MS), GATE_GO);
	assert_int_equal(taps[0].amount_fen, 0);
	assert_int_equal(judged(&taps[0]), KEY_CHECK_GOOD);
	assert_int_equal(present(c, NOW_MS + 60000), GATE_REPEAT);
	assert_int_equal(count, 0);
	assert_int_equal(present(c, NOW_MS + 11 * MINUTE_MS), GATE_GO);
	soft_card_free(c);
}

/* Xiamen's rapid transit: the highest fare is held at the entry. */
static void what_a_tap_moves_is_taken_a_hold_at_the_entry_and_no_fen_too_much_at_the_exit(void **state)
{
	struct soft_card *c = card(17);
	struct tariff *t;
	void *bytes;
	size_t n;

	(void)state;
	assert_int_equal(tariff_compile("tariffs/packs/xm-brt", tariff_fault, NULL, &bytes, &n), 0);
	assert_int_equal(tariff_open(bytes, n, &t), 0);
	setting.tariff = t;
	snprintf(setting.line, sizeof(setting.line), "BRT1");
	setting.event = RIDE_ON;
	assert_int_equal(present(c, NOW_MS), GATE_GO);
	assert_int_equal(taps[0].kind, TAP_BOARD);
	assert_int_equal(taps[0].amount_fen, 330);
	assert_int_equal(judged(&taps[0]), KEY_CHECK_GOOD);
	setting.event = RIDE_OFF;
	assert_int_equal(present(c, NOW_MS + 20 * MINUTE_MS), GATE_GO);
	assert_int_equal(taps[0].kind, TAP_ALIGHT);
	assert_int_equal(taps[0].list_fen, 30);
	assert_int_equal(taps[0].amount_fen, 0);
	assert_int_equal(soft_card_balance(c), 5000 - 330);
	soft_card_free(c);
	tariff_close(t);
	free(bytes);
}

static void an_ordinary_card_may_pay_for_a_companion(void **state)
{
	struct soft_card *c = card(17);
	uint32_t serial;

	(void)state;
	assert_int_equal(present(c, NOW_MS), GATE_GO);
	serial = taps[0].terminal_serial;
	assert_int_equal(present(c, NOW_MS + 2000), GATE_GO);
	assert_int_equal(taps[0].terminal_serial, serial + 1);
	assert_int_equal(soft_card_balance(c), 5000 - 2 * FARE_FEN);
	soft_card_free(c);
}

/* A card that answers rubbish: no crash, no record without a debit. */
static int rubbish_transmit(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct spy *s = (struct spy *)(void *)r;
	int got = s->card->transmit(s->card, apdu, n, ret, ret_bytes);

	if (++s->count != s->lose_before)
		return got;
	got = (int)sample_below(70);
	for (int i = 0; i < got; i++)
		ret[i] = (uint8_t)sample_random();
	if (got >= 2 && sample_below(2) == 0) {
		ret[got - 2] = 0x90;
		ret[got - 1] = 0x00;
	}
	return got;
}

static void rubbish_answers_never_lose_a_paid_ride(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct soft_card *c = card(17);
		struct spy spy = { .reader.transmit = rubbish_transmit, .card = soft_card_reader(c), .lose_before = 1 + i % 8 };

		gate_tap(gate, &spy.reader, &setting, NOW_MS + i * 1000 * MINUTE_MS, taps, &count);
		for (unsigned k = 0; k < count; k++)
			encodes_and_decodes(&taps[k]);
		if (count == 0 && soft_card_balance(c) != 5000)
			assert_int_equal(spy.lose_before, spy.count);	/* only when the debit's own answer was a refusal */
		soft_card_free(c);
	}
}

static int odd_psam_transmit(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	static const uint8_t answer[] = { 0x42, 0x80, 0xAB, 0, 0, 0x17, 0x90, 0x00 };

	(void)r;
	(void)apdu;
	(void)n;
	assert_true(ret_bytes >= sizeof(answer));
	memcpy(ret, answer, sizeof(answer));
	return (int)sizeof(answer);
}

/* Every record of it would be refused at the centre, and its ride with it. */
static void a_psam_whose_number_has_no_digits_makes_no_gate(void **state)
{
	struct reader odd = { .transmit = odd_psam_transmit };
	struct gate *other = NULL;

	(void)state;
	assert_int_equal(gate_new(&odd, &other), -EIO);
	assert_null(other);
}

static void a_log_entry_with_an_amount_no_purse_has_is_none(void **state)
{
	uint8_t record[23] = { 0, 41, 0, 0, 0, 0x80, 0, 0, 0, 9, 0x42, 0x80, 0, 0, 0, 9, 0x20, 0x25, 0x11, 0x02, 0x08, 0x00, 0x00 };
	const char *reason;
	struct card_log log;

	(void)state;
	assert_int_not_equal(card_parse_18(record, sizeof(record), &log, &reason), 0);
	assert_string_equal(reason, "the amount is none a purse can have moved");
	record[5] = 0x7F;
	assert_int_equal(card_parse_18(record, sizeof(record), &log, &reason), 0);
	assert_int_equal(log.amount_fen, 0x7F000000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_purchase_makes_a_record_whose_code_is_good),
		TEST(the_next_record_copies_the_previous_transaction),
		TEST(cards_that_may_not_ride_are_refused_without_a_debit),
		TEST(a_card_valid_to_today_with_the_exact_fare_rides),
		TEST(a_test_card_is_marked),
		TEST(torn_before_the_debit_leaves_no_record_and_no_debt),
		TEST(torn_after_the_debit_is_grey_now_and_recovered_when_the_card_returns),
		TEST(a_card_back_on_a_later_ride_recovers_and_pays_again),
		TEST(a_debit_the_card_never_saw_is_grey_and_the_passenger_pays_anew),
		TEST(a_card_lost_during_recovery_is_asked_again),
		TEST(another_terminals_purchase_never_completes_our_grey_record),
		TEST(a_free_rides_repeat_is_refused_by_the_tariffs_lock),
		TEST(what_a_tap_moves_is_taken_a_hold_at_the_entry_and_no_fen_too_much_at_the_exit),
		TEST(an_ordinary_card_may_pay_for_a_companion),
		TEST(a_psam_whose_number_has_no_digits_makes_no_gate),
		TEST(a_log_entry_with_an_amount_no_purse_has_is_none),
		TEST(rubbish_answers_never_lose_a_paid_ride),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
