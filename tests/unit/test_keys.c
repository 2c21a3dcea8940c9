/* Codes, keyrings, QR codes: published vectors come back, and what was changed by one bit is refused. */
#include "keys/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct mac_engine *engine;

static int set_up(void **state)
{
	(void)state;
	return mac_engine_new(&engine);
}

static int tear_down(void **state)
{
	(void)state;
	mac_engine_free(engine);
	return 0;
}

static void hex(const char *text, uint8_t *p) { assert_true(hex_decode(text, p, strlen(text) / 2)); }

static struct keyring *ring_of(enum key_alg alg, const char *root)
{
	struct key_entry e = { .purpose = KEY_TAC, .alg = alg, .version = 1, .levels = 2, .valid_from_ms = 1000, .valid_to_ms = 2000 };
	struct keyring *ring;
	uint8_t key[16];

	hex("02184280", e.issuer);
	hex(root, key);
	assert_int_equal(keyring_new(&ring), 0);
	assert_int_equal(keyring_add(ring, &e, key), 0);
	assert_int_equal(keyring_add(ring, &e, key), KEYS_E_DUPLICATE);
	return ring;
}

static void the_end_to_end_tac_comes_back_and_altered_cards_fail(void **state)
{
	struct keyring *ring = ring_of(KEY_ALG_3DES, "404142434445464748494A4B4C4D4E4F");
	struct purchase p = { .amount_fen = 0x8C, .txn_type = 9, .terminal_serial = 0xABCD };
	uint8_t pan[10], issuer[4], tac[4];
	struct tac_question q = { .purchase = &p, .issuer = issuer, .pan = pan, .key_version = 1, .at_ms = 1000, .tac = tac };

	(void)state;
	hex("428000000017", p.terminal);
	hex("20250308071530", p.time.bcd);
	hex("03104730100000000017", pan);
	hex("02184280", issuer);
	hex("8FE775D7", tac);
	assert_int_equal(tac_verify(engine, ring, &q), KEY_CHECK_GOOD);
	pan[9] ^= 0x01;
	assert_int_equal(tac_verify(engine, ring, &q), KEY_CHECK_BAD);
	pan[9] ^= 0x01;
	p.amount_fen++;
	assert_int_equal(tac_verify(engine, ring, &q), KEY_CHECK_BAD);
	p.amount_fen--;
	q.at_ms = 2000;
	assert_int_equal(tac_verify(engine, ring, &q), KEY_CHECK_NO_KEY);
	q.at_ms = 1000;
	q.alg_id = 9;
	assert_int_equal(tac_verify(engine, ring, &q), KEY_CHECK_NO_KEY);
	q.alg_id = 0;
	issuer[3] ^= 1;
	assert_int_equal(tac_verify(engine, ring, &q), KEY_CHECK_FOREIGN);
	memset(tac, 0, 4);
	assert_int_equal(tac_verify(engine, ring, &q), KEY_CHECK_GREY);
	memset(tac, 0xFF, 4);
	assert_int_equal(tac_verify(engine, ring, &q), KEY_CHECK_GREY);
	keyring_free(ring);
}

/* make random-tacs sets QINGFEN_TACS to ten million. */
static unsigned long tacs_wanted(void) { return getenv("QINGFEN_TACS") != NULL ? strtoul(getenv("QINGFEN_TACS"), NULL, 10) : 65536; }

static void no_random_tac_is_accepted(void **state)
{
	struct keyring *ring = ring_of(KEY_ALG_SM4, "0123456789ABCDEFFEDCBA9876543210");
	struct purchase p = { .amount_fen = 100, .txn_type = 9, .time = { { 0x20, 0x25, 0x11, 0x03, 0x08, 0, 0 } } };
	uint8_t pan[10] = { 3, 0x10 }, issuer[4], tac[4];
	struct tac_question q = { .purchase = &p, .issuer = issuer, .pan = pan, .key_version = 1, .alg_id = 1, .at_ms = 1500, .tac = tac };
	unsigned seed = 11, good = 0;

	(void)state;
	print_message("# seed %u\n", seed);
	hex("02184280", issuer);
	for (unsigned long i = 0; i < tacs_wanted(); i++) {
		for (int k = 0; k < 4; k++)
			tac[k] = (uint8_t)rand_r(&seed);
		good += tac_verify(engine, ring, &q) == KEY_CHECK_GOOD;
	}
	assert_int_equal(good, 0);
	keyring_free(ring);
}

static void check_values_are_those_of_the_published_keys(void **state)
{
	uint8_t key[16], kcv[3], expected[3];

	(void)state;
	hex("404142434445464748494A4B4C4D4E4F", key);
	hex("8BAF47", expected);
	assert_int_equal(key_check_value(engine, KEY_ALG_3DES, key, kcv), 0);
	assert_memory_equal(kcv, expected, 3);
}

/* More keys than contexts and more issuers than are kept, in any order: what is remembered is never another's. */
static void an_engine_that_remembers_keys_answers_as_a_new_one(void **state)
{
	enum { ISSUERS = 12, ASKED = 400 };
	struct mac_engine *fresh;
	struct keyring *ring;
	unsigned seed = 17;

	(void)state;
	print_message("# seed %u\n", seed);
	assert_int_equal(keyring_new(&ring), 0);
	for (uint8_t i = 0; i < ISSUERS; i++) {
		struct key_entry e = { .purpose = KEY_TAC, .alg = i % 2 == 0 ? KEY_ALG_3DES : KEY_ALG_SM4, .version = i / 2 % 2, .issuer = { 2, 0x18, 0x42, i / 4 }, .levels = 2,
				       .valid_to_ms = INT64_MAX };
		uint8_t root[KEY_BYTES] = { i / 4, 1, 2, 3, i, 5, 6, 7, 8, 9 };

		assert_int_equal(keyring_add(ring, &e, root), 0);
	}
	for (int n = 0; n < ASKED; n++) {
		unsigned i = (unsigned)rand_r(&seed) % ISSUERS;
		const uint8_t issuer[4] = { 2, 0x18, 0x42, (uint8_t)(i / 4) };
		uint8_t pan[10] = { 3, 0x10, 0x47, 0x30, 0, 0, 0, 0, 0, (uint8_t)(rand_r(&seed) % 6) }, a[KEY_BYTES], b[KEY_BYTES], tac_a[MAC_BYTES], tac_b[MAC_BYTES];
		struct purchase p = { .amount_fen = (uint32_t)n, .txn_type = 9 };
		enum key_alg alg = i % 2 == 0 ? KEY_ALG_3DES : KEY_ALG_SM4;

		assert_int_equal(mac_engine_new(&fresh), 0);
		assert_int_equal(keyring_card_key(ring, engine, KEY_TAC, issuer, i / 2 % 2, (uint8_t)alg, 1, pan, a), 0);
		assert_int_equal(keyring_card_key(ring, fresh, KEY_TAC, issuer, i / 2 % 2, (uint8_t)alg, 1, pan, b), 0);
		assert_memory_equal(a, b, KEY_BYTES);
		mac_engine_free(fresh);
		assert_int_equal(mac_engine_new(&fresh), 0);
		assert_int_equal(mac_purchase_tac(engine, alg, a, &p, tac_a), 0);
		assert_int_equal(mac_purchase_tac(fresh, alg, b, &p, tac_b), 0);
		assert_memory_equal(tac_a, tac_b, MAC_BYTES);
		mac_engine_free(fresh);
	}
	keyring_free(ring);
}

static void digests_come_back(void **state)
{
	uint8_t d[32], expected[32];

	(void)state;
	hex("66C7F0F462EEEDD9D1F2D46BDC10E4E24167C4875CF2F7A2297DA02B8F4BA8E0", expected);
	assert_int_equal(digest_sm3("abc", 3, d), 0);
	assert_memory_equal(d, expected, 32);
	hex("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", expected);
	assert_int_equal(digest_sha256("abc", 3, d), 0);
	assert_memory_equal(d, expected, 32);
}

static void a_digest_made_at_once_is_that_of_the_pieces_and_its_hex_that_of_each_byte(void **state)
{
	uint8_t bytes[400], at_once[32], pieces[32];
	char text[2 * sizeof(bytes) + 1], one[3];
	struct digest d;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 3) * 31);
	for (size_t n = 0; n < sizeof(bytes); n++) {
		digest_once(bytes, n, at_once);
		digest_reset(&d);
		digest_add(&d, bytes, n / 3);
		digest_add(&d, bytes + n / 3, n - n / 3);
		digest_end(&d, pieces);
		assert_memory_equal(at_once, pieces, 32);
		hex_encode(bytes, n, text);
		assert_int_equal(strlen(text), 2 * n);
		for (size_t i = 0; i < n; i++) {
			snprintf(one, sizeof(one), "%02X", bytes[i]);
			assert_memory_equal(text + 2 * i, one, 2);
		}
	}
}

static void the_published_sm2_signature_verifies_and_a_changed_one_does_not(void **state)
{
	uint8_t point[65] = { 4 }, sig[64];

	(void)state;
	hex("09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020", point + 1);
	hex("CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13", point + 33);
	hex("F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3", sig);
	hex("B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA", sig + 32);
	assert_true(sm2_verify(point, "message digest", 14, sig));
	assert_false(sm2_verify(point, "message digesu", 14, sig));
	for (int i = 0; i < 64; i += 3) {
		sig[i] ^= 4;
		assert_false(sm2_verify(point, "message digest", 14, sig));
		sig[i] ^= 4;
	}
}

static void a_qr_code_lives_its_minute_and_no_changed_bit_of_it_or_its_certificate_passes(void **state)
{
	struct qr_account a = { .pay_account = "4280000001", .account_type = 1, .ride_limit_fen = 1000, .auth_expiry_s = 1900000000, .validity_s = 60,
				.custom = (const uint8_t *)"abc", .custom_bytes = 3 };
	uint8_t cert[117], auth[QR_BYTES_MAX], code[QR_BYTES_MAX], point[65];
	struct qr_key *ca, *issuer, *user;
	struct qr_verifier *v;
	size_t auth_bytes, n;
	struct qr_code out;

	(void)state;
	hex("02184280", a.issuer);
	hex("03104730100000000017", a.pan);
	assert_int_equal(qr_key_new(&ca) | qr_key_new(&issuer) | qr_key_new(&user) | qr_verifier_new(&v), 0);
	assert_int_equal(qr_make_cert(ca, 3, a.issuer, (const uint8_t[]){ 0x12, 0x28 }, issuer, cert), 0);
	assert_int_equal(qr_make_auth(cert, issuer, &a, user, auth, &auth_bytes), 0);
	assert_int_equal(qr_make_code(auth, auth_bytes, user, 1762131600, code, &n), 0);
	assert_int_equal(n, 335);
	assert_int_equal(qr_verify(v, code, n, 1762131600, &out), QR_UNKNOWN_CA);
	qr_key_point(ca, point);
	assert_int_equal(qr_verifier_add_ca(v, 3, point), 0);
	assert_int_equal(qr_verify(v, code, n, 1762131660, &out), QR_GOOD);
	assert_memory_equal(out.pan, a.pan, 10);
	assert_int_equal(qr_verify(v, code, n, 1762131661, &out), QR_CODE_EXPIRED);
	assert_int_equal(qr_verify(v, code, n, 1900000001, &out), QR_CERT_EXPIRED);
	assert_int_equal(qr_verify(v, code, n - 1, 1762131660, &out), QR_MALFORMED);
	for (size_t at = 0; at < n; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			code[at] ^= (uint8_t)(1u << bit);
			if (qr_verify(v, code, n, 1762131600, &out) == QR_GOOD)
				fail_msg("byte %zu bit %u changed and still good", at, bit);
			code[at] ^= (uint8_t)(1u << bit);
		}
	assert_int_equal(qr_verify(v, code, n, 1762131600, &out), QR_GOOD);
	/* an institution that changes its own certificate and signs anew what it signs */
	for (size_t at = 0; at < sizeof(cert); at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			cert[at] ^= (uint8_t)(1u << bit);
			if (qr_make_auth(cert, issuer, &a, user, auth, &auth_bytes) == 0 && qr_make_code(auth, auth_bytes, user, 1762131600, code, &n) == 0 &&
			    qr_verify(v, code, n, 1762131600, &out) == QR_GOOD)
				fail_msg("byte %zu bit %u of the certificate changed and still good", at, bit);
			cert[at] ^= (uint8_t)(1u << bit);
		}
	qr_key_free(ca);
	qr_key_free(issuer);
	qr_key_free(user);
	qr_verifier_free(v);
}

static void times_are_strict_bcd(void **state)
{
	struct mac_time t = mac_time_of_ms(1741389330000LL), bad = t;
	uint8_t expected[7];
	int64_t ms;

	(void)state;
	hex("20250308071530", expected);
	assert_memory_equal(t.bcd, expected, 7);
	assert_true(mac_time_to_ms(&t, &ms));
	assert_int_equal(ms, 1741389330000LL);
	bad.bcd[3] = 0x3A;
	assert_false(mac_time_to_ms(&bad, &ms));
	bad.bcd[3] = 0x32;
	assert_false(mac_time_to_ms(&bad, &ms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_to_end_tac_comes_back_and_altered_cards_fail),
		cmocka_unit_test(no_random_tac_is_accepted),
		cmocka_unit_test(check_values_are_those_of_the_published_keys),
		cmocka_unit_test(an_engine_that_remembers_keys_answers_as_a_new_one),
		cmocka_unit_test(digests_come_back),
		cmocka_unit_test(a_digest_made_at_once_is_that_of_the_pieces_and_its_hex_that_of_each_byte),
		cmocka_unit_test(the_published_sm2_signature_verifies_and_a_changed_one_does_not),
		cmocka_unit_test(a_qr_code_lives_its_minute_and_no_changed_bit_of_it_or_its_certificate_passes),
		cmocka_unit_test(times_are_strict_bcd),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
