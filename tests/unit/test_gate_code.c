/* The code side of the gate: a code rides once, within its windows, from institutions on the list, unchanged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/tap_sample.h"

#define NOW_MS SAMPLE_TIME_MS
#define NOW_S (NOW_MS / 1000)
#define VALIDITY_S 60

static struct keyring *ring;
static struct soft_psam *psam;
static struct gate *gate;
static struct tariff *tariff;
static void *blob;
static struct gate_setting setting;
static struct qr_key *ca, *issuer, *user;
static struct qr_verifier *verifier;
static struct code_list *list;
static struct code_gate *codes;
static struct qr_account account;
static uint8_t cert[117], auth[QR_BYTES_MAX], code[QR_BYTES_MAX];
static size_t auth_bytes, code_bytes;
static struct tap tap;
static enum qr_verdict verdict;

static void fault(void *arg, const char *text)
{
	(void)arg;
	print_error("%s\n", text);
}

static void list_set(const char *text)
{
	char error[200] = "";

	code_list_free(list);
	list = NULL;
	assert_int_equal(code_list_parse("codes.txt", text, strlen(text), &list, error, sizeof(error)), 0);
	code_gate_free(codes);
	assert_int_equal(code_gate_new(gate, verifier, list, &codes), 0);
}

static void code_at(int64_t at_s)
{
	assert_int_equal(qr_make_auth(cert, issuer, &account, user, auth, &auth_bytes), 0);
	assert_int_equal(qr_make_code(auth, auth_bytes, user, (uint32_t)at_s, code, &code_bytes), 0);
}

static enum gate_answer show(int64_t at_ms) { return code_gate_show(codes, &setting, code, code_bytes, 77, at_ms, &tap, &verdict); }

static int group_setup(void **state)
{
	struct key_entry e = { .purpose = KEY_PURCHASE, .issuer = { 2, 0x18, 0x42, 0x80 }, .version = 1, .levels = 2, .valid_to_ms = INT64_MAX };
	static const uint8_t root[KEY_BYTES] = { 1 }, terminal[6] = { 0x42, 0x80, 0, 0, 0, 0x17 };
	uint8_t point[65];
	size_t n;

	(void)state;
	assert_int_equal(keyring_new(&ring) | keyring_add(ring, &e, root) | soft_psam_new(ring, terminal, 1, &psam), 0);
	assert_int_equal(gate_new(soft_psam_reader(psam), &gate), 0);
	assert_int_equal(tariff_compile("tariffs/packs/ganzhou", fault, NULL, &blob, &n), 0);
	assert_int_equal(tariff_open(blob, n, &tariff), 0);
	assert_int_equal(qr_key_new(&ca) | qr_key_new(&issuer) | qr_key_new(&user) | qr_verifier_new(&verifier), 0);
	qr_key_point(ca, point);
	return qr_verifier_add_ca(verifier, 3, point);
}

static int group_teardown(void **state)
{
	(void)state;
	gate_free(gate);
	soft_psam_free(psam);
	keyring_free(ring);
	tariff_close(tariff);
	free(blob);
	qr_key_free(ca);
	qr_key_free(issuer);
	qr_key_free(user);
	qr_verifier_free(verifier);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	setting = (struct gate_setting){ .tariff = tariff, .operator_id = 101, .city = 0x4280, .stop = 1, .line = "18", .vehicle = "B1" };
	account = (struct qr_account){ .pay_account = "4280000001", .pan = { 3, 0x10, 0x47, 0x30, 0x10, 0, 0, 0, 0, 0x17 }, .issuer = { 2, 0x18, 0x42, 0x80 },
				       .platform = { 3, 0x66, 0x45, 0x30 }, .account_type = 1, .ride_limit_fen = 1000, .auth_expiry_s = (uint32_t)NOW_S + 86400,
				       .validity_s = VALIDITY_S };
	assert_int_equal(qr_make_cert(ca, 3, account.issuer, (const uint8_t[]){ 0x12, 0x28 }, issuer, cert), 0);
	list_set("# 互通名单\nissuer,02184280\nplatform,03664530,2020-01-01,2030-12-31\n");
	code_at(NOW_S);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	code_gate_free(codes);
	code_list_free(list);
	codes = NULL;
	list = NULL;
	return 0;
}

static void a_code_rides_once(void **state)
{
	(void)state;
	assert_int_equal(show(NOW_MS), GATE_GO);
	assert_int_equal(tap.kind, TAP_QR);
	assert_int_equal(tap.terminal_serial, 77);
	assert_int_equal(tap.amount_fen, 90);
	assert_memory_equal(tap.pan, account.pan, 10);
	assert_ptr_equal(tap.qr.p, code);
	assert_int_equal(show(NOW_MS + 1000), GATE_CODE_USED);
	assert_int_equal(show(NOW_MS + VALIDITY_S * 1000), GATE_CODE_USED);
	assert_int_equal(show(NOW_MS + VALIDITY_S * 1000 + 1000), GATE_CODE_EXPIRED);
}

static void a_code_signed_again_is_still_the_same_code(void **state)
{
	(void)state;
	assert_int_equal(show(NOW_MS), GATE_GO);
	code_at(NOW_S);			/* another signature over the same second */
	assert_int_equal(show(NOW_MS), GATE_CODE_USED);
	code_at(NOW_S + 1);
	assert_int_equal(show(NOW_MS + 1000), GATE_GO);
}

static void a_code_is_good_for_its_validity_before_and_after_in_utc(void **state)
{
	(void)state;
	code_at(NOW_S + VALIDITY_S);
	assert_int_equal(show(NOW_MS), GATE_GO);
	code_at(NOW_S + VALIDITY_S + 1);
	assert_int_equal(show(NOW_MS), GATE_CODE_EXPIRED);
	code_at(NOW_S - VALIDITY_S);
	assert_int_equal(show(NOW_MS), GATE_GO);
	code_at(NOW_S - VALIDITY_S - 1);
	assert_int_equal(show(NOW_MS), GATE_CODE_EXPIRED);
	code_at(NOW_S - 8 * 3600);		/* a platform that writes local time */
	assert_int_equal(show(NOW_MS), GATE_CODE_EXPIRED);
	account.auth_expiry_s = (uint32_t)NOW_S;
	code_at(NOW_S);
	assert_int_equal(show(NOW_MS), GATE_GO);
	account.auth_expiry_s = (uint32_t)NOW_S - 1;
	code_at(NOW_S + 2);
	assert_int_equal(show(NOW_MS), GATE_CODE_EXPIRED);
	assert_int_equal(verdict, QR_AUTH_EXPIRED);
}

static void institutions_not_on_the_list_that_day_are_refused(void **state)
{
	(void)state;
	list_set("issuer,02184280\n");
	assert_int_equal(show(NOW_MS), GATE_CODE_REFUSED);
	assert_int_equal(verdict, QR_GOOD);
	list_set("platform,03664530\nissuer,02184281\n");
	assert_int_equal(show(NOW_MS), GATE_CODE_REFUSED);
	list_set("platform,03664530,2020-01-01,2020-12-31\nissuer,02184280\n");
	assert_int_equal(show(NOW_MS), GATE_CODE_REFUSED);
}

static void a_certificate_vouches_for_its_own_issuer_only(void **state)
{
	static const uint8_t other[4] = { 2, 0x18, 0x42, 0x99 };

	(void)state;
	assert_int_equal(qr_make_cert(ca, 3, other, (const uint8_t[]){ 0x12, 0x28 }, issuer, cert), 0);
	code_at(NOW_S);
	assert_int_equal(show(NOW_MS), GATE_CODE_REFUSED);
	assert_int_equal(verdict, QR_GOOD);
}

static void a_black_listed_account_and_a_dear_ride_are_refused(void **state)
{
	struct hotlist *hot;
	char error[100];

	(void)state;
	assert_int_equal(hotlist_parse("black", "3104730100000000017\n", 20, &hot, error, sizeof(error)), 0);
	setting.hotlist = hot;
	assert_int_equal(show(NOW_MS), GATE_BLACKLISTED);
	setting.hotlist = NULL;
	hotlist_free(hot);
	account.ride_limit_fen = 89;
	code_at(NOW_S);
	assert_int_equal(show(NOW_MS), GATE_CODE_LIMIT);
	account.ride_limit_fen = 90;
	code_at(NOW_S);
	assert_int_equal(show(NOW_MS), GATE_GO);	/* the refused one was not used up */
}

static void no_code_with_a_changed_bit_rides(void **state)
{
	uint8_t changed[QR_BYTES_MAX];

	(void)state;
	for (size_t at = 0; at < code_bytes; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(changed, code, code_bytes);
			changed[at] ^= (uint8_t)(1u << bit);
			assert_int_not_equal(code_gate_show(codes, &setting, changed, code_bytes, 1, NOW_MS, &tap, &verdict), GATE_GO);
		}
	assert_int_equal(show(NOW_MS), GATE_GO);
}

static void no_certificate_with_a_changed_bit_vouches_for_a_code(void **state)
{
	uint8_t good[117];

	(void)state;		/* the issuer signs each of them, as if it had been given such a certificate */
	memcpy(good, cert, sizeof(good));
	for (size_t at = 0; at < sizeof(cert); at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(cert, good, sizeof(cert));
			cert[at] ^= (uint8_t)(1u << bit);
			assert_int_equal(qr_make_auth(cert, issuer, &account, user, auth, &auth_bytes), 0);
			assert_int_equal(qr_make_code(auth, auth_bytes, user, (uint32_t)NOW_S, code, &code_bytes), 0);
			assert_int_not_equal(show(NOW_MS), GATE_GO);
		}
	memcpy(cert, good, sizeof(cert));
}

static void a_full_memory_of_used_codes_refuses_instead_of_forgetting(void **state)
{
	(void)state;
	account.validity_s = 5000;
	assert_int_equal(qr_make_auth(cert, issuer, &account, user, auth, &auth_bytes), 0);
	setting.line[0] = '1';
	for (uint32_t i = 0; i < CODES_USED_MAX; i++) {
		assert_int_equal(qr_make_code(auth, auth_bytes, user, (uint32_t)NOW_S + i, code, &code_bytes), 0);
		assert_int_equal(show(NOW_MS), GATE_GO);
	}
	assert_int_equal(qr_make_code(auth, auth_bytes, user, (uint32_t)NOW_S + CODES_USED_MAX, code, &code_bytes), 0);
	assert_int_equal(show(NOW_MS), GATE_TAP_AGAIN);
	assert_int_equal(show(NOW_MS + 5001000), GATE_GO);	/* the first is over */
}

static void a_list_with_a_mistake_is_refused_with_its_place(void **state)
{
	static const struct { const char *text, *at; } wrong[] = {
		{ "issuer,02184280\nbank,02184280\n", "codes.txt:2:1:" },	{ "issuer,0218428\n", "codes.txt:1:8:" },
		{ "issuer,0218428A\n", "codes.txt:1:8:" },		{ "issuer,02184280,2025-02-30\n", "codes.txt:1:17:" },
		{ "issuer,02184280,2025-02-01,2025-01-01\n", "codes.txt:1:28:" }, { "issuer,02184280,,,\n", "codes.txt:1:18:" },
		{ "issuer\n", "codes.txt:1:1:" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct code_list *l = NULL;
		char error[200];

		assert_int_not_equal(code_list_parse("codes.txt", wrong[i].text, strlen(wrong[i].text), &l, error, sizeof(error)), 0);
		assert_null(l);
		assert_memory_equal(error, wrong[i].at, strlen(wrong[i].at));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_code_rides_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_code_signed_again_is_still_the_same_code, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_code_is_good_for_its_validity_before_and_after_in_utc, set_up, tear_down),
		cmocka_unit_test_setup_teardown(institutions_not_on_the_list_that_day_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_certificate_vouches_for_its_own_issuer_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_black_listed_account_and_a_dear_ride_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_code_with_a_changed_bit_rides, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_certificate_with_a_changed_bit_vouches_for_a_code, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_memory_of_used_codes_refuses_instead_of_forgetting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_list_with_a_mistake_is_refused_with_its_place, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
