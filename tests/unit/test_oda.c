/*
 * Offline data authentication: what a scheme's key says of a card is believed only when every bit of it is right. Keys
 * are made here, of the lengths that put part of a key beyond its certificate and of those that do not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "keys/keys.h"

#define AT_MS 1762128000000LL		/* 2025-11-03 08:00 */
static const uint8_t rid[5] = { 0xA0, 0x00, 0x00, 0x03, 0x33 };
static const uint8_t pan[10] = { 0x62, 0x17, 0x99, 0x99, 0x00, 0x00, 0x00, 0x00, 0x17, 0xFF };
static const uint8_t bank_id[4] = { 0x62, 0x17, 0x99, 0xFF }, serial[3] = { 1, 2, 3 }, mmyy[2] = { 0x12, 0x30 };
static const uint8_t records[] = "5A0A62179999000000001 7FF5F2403301231 and what else the issuer signed";

struct chain {				/* scheme, bank, card */
	struct oda_signer *ca, *bank, *card;
	struct oda_key ca_key, bank_key, card_key;
	struct oda_certificate bank_cert, card_cert;
	uint8_t static_signature[ODA_KEY_BYTES_MAX];
	struct oda_keys *keys;
	struct oda_card view;
};

static void chain_make(struct chain *c, size_t ca_bytes, size_t bank_bytes, size_t card_bytes, uint32_t exponent)
{
	char line[ODA_LINE_BYTES], error[256];

	assert_int_equal(oda_signer_new(ca_bytes, exponent, &c->ca), 0);
	assert_int_equal(oda_signer_new(bank_bytes, exponent, &c->bank), 0);
	assert_int_equal(oda_signer_new(card_bytes, 3, &c->card), 0);
	oda_signer_key(c->ca, &c->ca_key);
	oda_signer_key(c->bank, &c->bank_key);
	oda_signer_key(c->card, &c->card_key);
	assert_int_equal(oda_make_issuer(c->ca, bank_id, mmyy, serial, &c->bank_key, &c->bank_cert), 0);
	assert_int_equal(oda_make_card(c->bank, pan, mmyy, serial, &c->card_key, (struct oda_bytes){ records, sizeof(records) }, &c->card_cert), 0);
	assert_int_equal(oda_make_static(c->bank, (const uint8_t *)"\xDA\xC0", (struct oda_bytes){ records, sizeof(records) }, c->static_signature), 0);
	assert_int_equal(oda_key_line(rid, 8, &c->ca_key, "2030-12-31", line), 0);
	assert_int_equal(oda_keys_parse("keys.txt", line, strlen(line), &c->keys, error, sizeof(error)), 0);
	c->view = (struct oda_card){ .ca_index = 8,
		.issuer_cert = { c->bank_cert.p, c->bank_cert.n }, .issuer_remainder = { c->bank_cert.remainder, c->bank_cert.remainder_bytes },
		.issuer_exponent = { c->bank_cert.exponent, c->bank_cert.exponent_bytes }, .card_cert = { c->card_cert.p, c->card_cert.n },
		.card_remainder = { c->card_cert.remainder, c->card_cert.remainder_bytes }, .card_exponent = { c->card_cert.exponent, c->card_cert.exponent_bytes },
		.static_signature = { c->static_signature, bank_bytes }, .static_data = { records, sizeof(records) }, .at_ms = AT_MS };
	memcpy(c->view.rid, rid, 5);
	memcpy(c->view.pan, pan, 10);
}

static void chain_done(struct chain *c)
{
	oda_signer_free(c->ca);
	oda_signer_free(c->bank);
	oda_signer_free(c->card);
	oda_keys_free(c->keys);
}

static struct chain shared;

static int shared_make(void **state)
{
	(void)state;
	chain_make(&shared, 144, 128, 96, 65537);
	return 0;
}

static int shared_done(void **state)
{
	(void)state;
	chain_done(&shared);
	return 0;
}

/* The whole way of a card by each method. */
static enum oda_verdict issuer_of(const struct chain *c, const struct oda_card *view, struct oda_key *ret) { return oda_issuer_key(c->keys, view, ret); }

static enum oda_verdict card_of(const struct chain *c, const struct oda_card *view, struct oda_key *ret)
{
	struct oda_key bank;
	enum oda_verdict v = issuer_of(c, view, &bank);

	return v != ODA_GOOD ? v : oda_card_key(&bank, view, ret);
}

static enum oda_verdict static_of(const struct chain *c, const struct oda_card *view)
{
	struct oda_key bank;
	uint8_t code[2];
	enum oda_verdict v = issuer_of(c, view, &bank);

	return v != ODA_GOOD ? v : oda_static(&bank, view, code);
}

static void keys_come_out_of_certificates_whether_they_fit_or_not(void **state)
{
	static const struct { size_t ca, bank, card; uint32_t exponent; } sizes[] = { { 144, 128, 96, 3 }, { 176, 128, 112, 65537 }, { 248, 176, 128, 3 }, { 128, 128, 128, 3 } };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct oda_key bank, card;
		struct chain c;
		uint8_t code[2];

		chain_make(&c, sizes[i].ca, sizes[i].bank, sizes[i].card, sizes[i].exponent);
		assert_int_equal(issuer_of(&c, &c.view, &bank), ODA_GOOD);
		assert_int_equal(bank.bytes, sizes[i].bank);
		assert_memory_equal(bank.modulus, c.bank_key.modulus, bank.bytes);
		assert_int_equal(oda_card_key(&bank, &c.view, &card), ODA_GOOD);
		assert_memory_equal(card.modulus, c.card_key.modulus, card.bytes);
		assert_memory_equal(card.serial, serial, 3);
		assert_int_equal(oda_static(&bank, &c.view, code), ODA_GOOD);
		assert_memory_equal(code, "\xDA\xC0", 2);
		chain_done(&c);
	}
}

/* Every bit of p turned over, one at a time: ask must never say good. */
static void every_bit(uint8_t *p, size_t n, enum oda_verdict (*ask)(void))
{
	for (size_t at = 0; at < n; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			p[at] ^= (uint8_t)(1u << bit);
			if (ask() == ODA_GOOD)
				fail_msg("byte %zu bit %u changed and still good", at, bit);
			p[at] ^= (uint8_t)(1u << bit);
		}
	assert_int_equal(ask(), ODA_GOOD);
}

static enum oda_verdict ask_card(void)
{
	struct oda_key card;

	return card_of(&shared, &shared.view, &card);
}

static enum oda_verdict ask_static(void) { return static_of(&shared, &shared.view); }

static void no_bit_of_the_issuers_certificate_can_change(void **state)
{
	(void)state;
	every_bit(shared.bank_cert.p, shared.bank_cert.n, ask_static);
	every_bit(shared.bank_cert.remainder, shared.bank_cert.remainder_bytes, ask_static);
	every_bit(shared.bank_cert.exponent, shared.bank_cert.exponent_bytes, ask_static);
}

static void no_bit_of_the_cards_certificate_can_change(void **state)
{
	(void)state;
	every_bit(shared.card_cert.p, shared.card_cert.n, ask_card);
	every_bit(shared.card_cert.remainder, shared.card_cert.remainder_bytes, ask_card);
	every_bit(shared.card_cert.exponent, shared.card_cert.exponent_bytes, ask_card);
}

static void no_bit_of_signed_static_data_or_its_records_can_change(void **state)
{
	static uint8_t copy[sizeof(records)];

	(void)state;
	memcpy(copy, records, sizeof(copy));
	shared.view.static_data.p = copy;
	every_bit(shared.static_signature, shared.bank_key.bytes, ask_static);
	every_bit(copy, sizeof(copy), ask_static);
	every_bit(copy, sizeof(copy), ask_card);
	shared.view.static_data.p = records;
}

static struct { uint8_t signature[ODA_KEY_BYTES_MAX], data[12], transaction[40], cid; } answer;

static enum oda_verdict ask_dynamic(void)
{
	struct oda_answer a;

	return oda_dynamic(&shared.card_key, (struct oda_bytes){ answer.signature, shared.card_key.bytes }, (struct oda_bytes){ answer.data, sizeof(answer.data) }, &a);
}

static enum oda_verdict ask_combined(void)
{
	struct oda_answer a;

	return oda_combined(&shared.card_key, (struct oda_bytes){ answer.signature, shared.card_key.bytes }, answer.data, (struct oda_bytes){ answer.transaction, sizeof(answer.transaction) },
			    answer.cid, &a);
}

static void no_bit_of_a_dynamic_signature_or_what_it_is_over_can_change(void **state)
{
	static const uint8_t number[] = { 2, 0x00, 0x2A };
	struct oda_answer a;

	(void)state;
	memset(answer.data, 0x5A, sizeof(answer.data));
	assert_int_equal(oda_make_dynamic(shared.card, (struct oda_bytes){ number, sizeof(number) }, (struct oda_bytes){ answer.data, sizeof(answer.data) }, answer.signature), 0);
	assert_int_equal(oda_dynamic(&shared.card_key, (struct oda_bytes){ answer.signature, 96 }, (struct oda_bytes){ answer.data, sizeof(answer.data) }, &a), ODA_GOOD);
	assert_int_equal(a.number_bytes, 2);
	assert_memory_equal(a.number, "\x00\x2A", 2);
	every_bit(answer.signature, shared.card_key.bytes, ask_dynamic);
	every_bit(answer.data, sizeof(answer.data), ask_dynamic);
}

/* number 2, cid, cryptogram 8, hash 20 */
static void combined_make(uint8_t dynamic[32])
{
	static const uint8_t head[] = { 2, 0x00, 0x2B, 0x80, 1, 2, 3, 4, 5, 6, 7, 8 };

	memset(answer.transaction, 0x77, sizeof(answer.transaction));
	answer.cid = 0x80;
	memcpy(dynamic, head, sizeof(head));
	assert_int_equal(digest_sha1(answer.transaction, sizeof(answer.transaction), dynamic + sizeof(head)), 0);
	assert_int_equal(oda_make_dynamic(shared.card, (struct oda_bytes){ dynamic, 32 }, (struct oda_bytes){ answer.data, 4 }, answer.signature), 0);
}

static void no_bit_of_a_combined_signature_its_transaction_or_its_kind_can_change(void **state)
{
	uint8_t dynamic[32];
	struct oda_answer a;

	(void)state;
	combined_make(dynamic);
	assert_int_equal(oda_combined(&shared.card_key, (struct oda_bytes){ answer.signature, 96 }, answer.data, (struct oda_bytes){ answer.transaction, sizeof(answer.transaction) }, 0x80, &a), ODA_GOOD);
	assert_memory_equal(a.cryptogram, "\1\2\3\4\5\6\7\10", 8);
	every_bit(answer.signature, shared.card_key.bytes, ask_combined);
	every_bit(answer.data, 4, ask_combined);
	every_bit(answer.transaction, sizeof(answer.transaction), ask_combined);
	every_bit(&answer.cid, 1, ask_combined);
}

static void a_number_from_dda_is_no_cryptogram(void **state)
{
	uint8_t dynamic[32];

	(void)state;
	combined_make(dynamic);
	dynamic[0] = 1;		/* a number shorter than two bytes */
	assert_int_equal(oda_make_dynamic(shared.card, (struct oda_bytes){ dynamic, 32 }, (struct oda_bytes){ answer.data, 4 }, answer.signature), 0);
	assert_int_equal(ask_combined(), ODA_FORM);
	dynamic[0] = 9;
	assert_int_equal(oda_make_dynamic(shared.card, (struct oda_bytes){ dynamic, 32 }, (struct oda_bytes){ answer.data, 4 }, answer.signature), 0);
	assert_int_equal(ask_combined(), ODA_FORM);
	dynamic[0] = 2;
	assert_int_equal(oda_make_dynamic(shared.card, (struct oda_bytes){ dynamic, 3 }, (struct oda_bytes){ answer.data, 4 }, answer.signature), 0);
	assert_int_equal(ask_combined(), ODA_FORM);
}

static void lengths_are_exact(void **state)
{
	struct oda_card v;
	struct oda_key key;

	(void)state;
	for (int d = -1; d <= 1; d += 2) {
		v = shared.view;
		v.issuer_cert.n += (size_t)d;
		assert_int_equal(static_of(&shared, &v), ODA_FORM);
		v = shared.view;
		v.card_cert.n += (size_t)d;
		assert_int_equal(card_of(&shared, &v, &key), ODA_FORM);
		v = shared.view;
		v.static_signature.n += (size_t)d;
		assert_int_equal(static_of(&shared, &v), ODA_FORM);
		v = shared.view;
		v.issuer_remainder.n += (size_t)d;
		assert_int_not_equal(static_of(&shared, &v), ODA_GOOD);
		v = shared.view;
		v.static_data.n += (size_t)d;
		if (d < 0)
			assert_int_equal(card_of(&shared, &v, &key), ODA_CARD_CERT);
	}
	v = shared.view;
	v.issuer_exponent.n = 2;
	assert_int_equal(static_of(&shared, &v), ODA_FORM);
	v = shared.view;
	v.card_cert.n = 0;
	assert_int_equal(card_of(&shared, &v, &key), ODA_MISSING);
	v = shared.view;
	v.static_signature.n = 0;
	assert_int_equal(static_of(&shared, &v), ODA_MISSING);
}

static void a_signature_not_below_its_modulus_is_refused(void **state)
{
	struct oda_card v = shared.view;
	uint8_t high[ODA_KEY_BYTES_MAX];

	(void)state;
	memset(high, 0xFF, sizeof(high));
	v.issuer_cert.p = high;
	assert_int_equal(static_of(&shared, &v), ODA_ISSUER_CERT);
	v = shared.view;
	v.static_signature.p = shared.bank_key.modulus;
	assert_int_equal(static_of(&shared, &v), ODA_STATIC);
}

static void certificates_end_with_their_month_and_scheme_keys_with_their_day(void **state)
{
	struct oda_card v = shared.view;

	(void)state;
	v.at_ms = 1924963199999LL;	/* 2030-12-31 23:59:59.999 +08:00 */
	assert_int_equal(static_of(&shared, &v), ODA_GOOD);
	v.at_ms++;
	assert_int_equal(static_of(&shared, &v), ODA_CA_EXPIRED);
}

static void an_expired_certificate_is_said_to_be_that(void **state)
{
	struct oda_certificate old;
	struct oda_card v = shared.view;
	struct oda_key key;

	(void)state;
	assert_int_equal(oda_make_issuer(shared.ca, bank_id, (const uint8_t[]){ 0x10, 0x25 }, serial, &shared.bank_key, &old), 0);
	v.issuer_cert.p = old.p;
	assert_int_equal(static_of(&shared, &v), ODA_ISSUER_EXPIRED);
	v.at_ms = 1761926399999LL;	/* the last moment of October 2025 */
	assert_int_equal(static_of(&shared, &v), ODA_GOOD);
	v.at_ms++;
	assert_int_equal(static_of(&shared, &v), ODA_ISSUER_EXPIRED);
	assert_int_equal(oda_make_issuer(shared.ca, bank_id, (const uint8_t[]){ 0x12, 0x99 }, serial, &shared.bank_key, &old), 0);
	assert_int_equal(static_of(&shared, &v), ODA_ISSUER_EXPIRED);
	v = shared.view;
	assert_int_equal(oda_make_card(shared.bank, pan, (const uint8_t[]){ 0x09, 0x25 }, serial, &shared.card_key, v.static_data, &old), 0);
	v.card_cert.p = old.p;
	assert_int_equal(card_of(&shared, &v, &key), ODA_CARD_EXPIRED);
	assert_int_equal(oda_make_card(shared.bank, pan, (const uint8_t[]){ 0x13, 0x30 }, serial, &shared.card_key, v.static_data, &old), 0);
	assert_int_equal(card_of(&shared, &v, &key), ODA_CARD_EXPIRED);
}

static void a_certificate_of_another_card_or_bank_is_refused(void **state)
{
	struct oda_card v = shared.view;
	struct oda_certificate other;
	struct oda_key key;

	(void)state;
	v.pan[8] ^= 1;
	assert_int_equal(card_of(&shared, &v, &key), ODA_CARD_PAN);
	assert_int_equal(static_of(&shared, &v), ODA_GOOD);	/* static data says which records, not which number they carry */
	v = shared.view;
	v.pan[2] = 0x98;
	assert_int_equal(static_of(&shared, &v), ODA_ISSUER_PAN);
	v = shared.view;
	assert_int_equal(oda_make_issuer(shared.ca, (const uint8_t[]){ 0x62, 0xFF, 0xFF, 0xFF }, mmyy, serial, &shared.bank_key, &other), 0);
	v.issuer_cert.p = other.p;
	assert_int_equal(static_of(&shared, &v), ODA_ISSUER_PAN);	/* two digits are no bank */
	assert_int_equal(oda_make_issuer(shared.ca, (const uint8_t[]){ 0x62, 0x1F, 0x99, 0xFF }, mmyy, serial, &shared.bank_key, &other), 0);
	assert_int_equal(static_of(&shared, &v), ODA_ISSUER_PAN);	/* digits behind filling */
}

static void scheme_keys_are_found_by_rid_and_index_and_certificates_can_be_revoked(void **state)
{
	char text[2 * ODA_LINE_BYTES], error[256];
	struct chain c = shared;
	struct oda_card v = shared.view;

	(void)state;
	v.ca_index = 9;
	assert_int_equal(static_of(&shared, &v), ODA_CA_UNKNOWN);
	v = shared.view;
	v.rid[4] ^= 1;
	assert_int_equal(static_of(&shared, &v), ODA_CA_UNKNOWN);
	assert_int_equal(oda_key_line(rid, 8, &shared.ca_key, "2030-12-31", text), 0);
	strcat(text, "\nrevoked,A000000333,08,010203\n# comment\n");
	assert_int_equal(oda_keys_parse("keys.txt", text, strlen(text), &c.keys, error, sizeof(error)), 0);
	assert_int_equal(static_of(&c, &shared.view), ODA_ISSUER_REVOKED);
	assert_true(oda_keys_has(c.keys, rid, 8, AT_MS) && !oda_keys_has(c.keys, rid, 7, AT_MS) && !oda_keys_has(c.keys, rid, 8, 1924963200000LL));
	oda_keys_free(c.keys);
}

static void a_mistake_in_the_key_list_is_named_with_its_place(void **state)
{
	char good[ODA_LINE_BYTES], text[2 * ODA_LINE_BYTES + 8], error[256];
	struct oda_keys *k = NULL;
	size_t n;
	static const struct { const char *text, *at; } cases[] = {
		{ "kez,A000000333", "keys.txt:1:1: " }, { "key,A00000033,08,03,AA,2030-12-31,00", "keys.txt:1:5: " }, { "key,A000000333,8,03,AA,2030-12-31,00", "keys.txt:1:16: " },
		{ "key,A000000333,08,05,AA,2030-12-31,00", "keys.txt:1:19: " }, { "key,A000000333,08,03,AA,2030-12-31,00", "keys.txt:1:22: " }, { "key,A000000333,08", "keys.txt:1:1: " },
		{ "#\n\nrevoked,A000000333,08,0102", "keys.txt:3:23: " }, { "revoked,A000000333,0x,010203", "keys.txt:1:20: " }, { "a,b,c,d,e,f,g,h", "keys.txt:1:1: " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_not_equal(oda_keys_parse("keys.txt", cases[i].text, strlen(cases[i].text), &k, error, sizeof(error)), 0);
		if (strncmp(error, cases[i].at, strlen(cases[i].at)) != 0)
			fail_msg("%s: %s", cases[i].text, error);
	}
	assert_int_equal(oda_key_line(rid, 8, &shared.ca_key, "2030-12-31", good), 0);
	n = strlen(good);
	/* each digit of the modulus, the checksum, the RID and the index mistyped */
	for (size_t at = 4; at < n; at++) {
		char kept = good[at];

		if (kept == ',' || (at >= n - 51 && at < n - 41) || (at >= 18 && at < 25))	/* the day; the exponent has its own case */
			continue;
		good[at] = kept == '7' ? '8' : '7';
		assert_int_not_equal(oda_keys_parse("keys.txt", good, n, &k, error, sizeof(error)), 0);
		good[at] = kept;
	}
	snprintf(text, sizeof(text), "%s\n%s\n", good, good);
	assert_int_not_equal(oda_keys_parse("keys.txt", text, strlen(text), &k, error, sizeof(error)), 0);
	assert_non_null(strstr(error, "keys.txt:2:16: "));
	good[n - 42] = 'x';
	assert_int_not_equal(oda_keys_parse("keys.txt", good, n, &k, error, sizeof(error)), 0);
	assert_non_null(strstr(error, "YYYY-MM-DD"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_come_out_of_certificates_whether_they_fit_or_not),
		cmocka_unit_test(no_bit_of_the_issuers_certificate_can_change),
		cmocka_unit_test(no_bit_of_the_cards_certificate_can_change),
		cmocka_unit_test(no_bit_of_signed_static_data_or_its_records_can_change),
		cmocka_unit_test(no_bit_of_a_dynamic_signature_or_what_it_is_over_can_change),
		cmocka_unit_test(no_bit_of_a_combined_signature_its_transaction_or_its_kind_can_change),
		cmocka_unit_test(a_number_from_dda_is_no_cryptogram),
		cmocka_unit_test(lengths_are_exact),
		cmocka_unit_test(a_signature_not_below_its_modulus_is_refused),
		cmocka_unit_test(certificates_end_with_their_month_and_scheme_keys_with_their_day),
		cmocka_unit_test(an_expired_certificate_is_said_to_be_that),
		cmocka_unit_test(a_certificate_of_another_card_or_bank_is_refused),
		cmocka_unit_test(scheme_keys_are_found_by_rid_and_index_and_certificates_can_be_revoked),
		cmocka_unit_test(a_mistake_in_the_key_list_is_named_with_its_place),
	};

	return cmocka_run_group_tests(tests, shared_make, shared_done);
}
