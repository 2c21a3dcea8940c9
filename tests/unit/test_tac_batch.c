/* The batch verifier answers as the one by one verifier does, on every path this processor has. */
#include "keys/keyring.h"
#include "keys/lanes.h"
#include "keys/sm4_block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BATCH_MAX 2600

static struct mac_engine *engine;
static uint64_t seed;

static uint32_t rnd(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) ^ (uint32_t)seed << 7;
}

static void fill(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)(rnd() >> 8);
}

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

static void key_add(struct keyring *ring, enum key_alg alg, uint8_t issuer, uint8_t version, uint8_t levels)
{
	struct key_entry e = { .purpose = KEY_TAC, .alg = alg, .issuer = { 2, 0x18, 0x42, issuer }, .version = version, .levels = levels,
			       .valid_from_ms = 1000, .valid_to_ms = version == 3 ? 500000 : INT64_MAX };
	uint8_t key[KEY_BYTES];

	fill(key, sizeof(key));
	assert_int_equal(keyring_add(ring, &e, key), 0);
}

static struct keyring *ring_make(void)
{
	struct keyring *ring;

	assert_int_equal(keyring_new(&ring), 0);
	for (uint8_t alg = 0; alg < 2; alg++) {
		key_add(ring, (enum key_alg)alg, 0x80, 1, 2);
		key_add(ring, (enum key_alg)alg, 0x80, 2, 1);
		key_add(ring, (enum key_alg)alg, 0x81, 1, 2);
		key_add(ring, (enum key_alg)alg, 0x81, 3, 2);
	}
	return ring;
}

struct record { struct purchase purchase; uint8_t issuer[4], pan[10], tac[4]; };

/* Mostly good codes; some of unknown issuers, versions and algorithms, grey ones, and ones with a bit changed. */
static void record_make(const struct keyring *ring, struct record *r, struct tac_question *q)
{
	uint8_t dtk[KEY_BYTES];

	fill(r, sizeof(*r));
	memcpy(r->issuer, (uint8_t[]){ 2, 0x18, 0x42, (uint8_t)(0x80 + rnd() % 20 / 9) }, 4);
	*q = (struct tac_question){ .purchase = &r->purchase, .issuer = r->issuer, .pan = r->pan, .tac = r->tac, .at_ms = 1 + rnd() % 1000000 };
	q->key_version = (uint8_t)(1 + rnd() % 40 / 13);
	q->alg_id = (uint8_t)(rnd() % 41 / 20);
	if (keyring_card_key(ring, engine, KEY_TAC, q->issuer, q->key_version, q->alg_id, q->at_ms, q->pan, dtk) == 0 && rnd() % 8 != 0)
		assert_int_equal(mac_purchase_tac(engine, q->alg_id == 0 ? KEY_ALG_3DES : KEY_ALG_SM4, dtk, &r->purchase, r->tac), 0);
	if (rnd() % 8 == 0)
		r->tac[rnd() % 4] ^= (uint8_t)(1u << rnd() % 8);
	if (rnd() % 50 == 0)
		memset(r->tac, rnd() % 2 == 0 ? 0xFF : 0, 4);
}

/* make differential sets QINGFEN_RECORDS to ten million. */
static size_t records_wanted(void) { return getenv("QINGFEN_RECORDS") != NULL ? strtoul(getenv("QINGFEN_RECORDS"), NULL, 10) : 60000; }

static void compare_all(bool lanes)
{
	static struct record record[BATCH_MAX];
	static struct tac_question q[BATCH_MAX];
	static enum key_check answer[BATCH_MAX];
	size_t seen[KEY_CHECK_DEVICE + 1] = { 0 };
	struct keyring *ring;
	struct tac_batch *b;

	seed = 7;
	print_message("# seed 7\n");
	ring = ring_make();
	assert_int_equal(tac_batch_new(lanes, &b), 0);
	print_message("# paths: 3DES %s, SM4 %s\n", tac_batch_path(b, KEY_ALG_3DES), tac_batch_path(b, KEY_ALG_SM4));
	assert_string_not_equal(tac_batch_path(b, KEY_ALG_3DES), "self-test-failed");
	assert_string_not_equal(tac_batch_path(b, KEY_ALG_SM4), "self-test-failed");
	for (size_t done = 0, n; done < records_wanted(); done += n) {
		n = rnd() % 3 == 0 ? 1 + rnd() % 40 : 1 + rnd() % BATCH_MAX;
		for (size_t i = 0; i < n; i++)
			record_make(ring, &record[i], &q[i]);
		tac_batch_verify(b, ring, q, n, answer);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(answer[i], tac_verify(engine, ring, &q[i]));
			seen[answer[i]]++;
		}
	}
	for (enum key_check c = KEY_CHECK_GOOD; c <= KEY_CHECK_NO_KEY; c++)
		assert_true(seen[c] > 100);
	tac_batch_free(b);
	keyring_free(ring);
}

static void lanes_answer_as_one_by_one(void **state)
{
	(void)state;
	compare_all(true);
}

static void the_batch_answers_alike_with_the_lanes_switched_off(void **state)
{
	(void)state;
	compare_all(false);
}

static void a_code_under_a_key_used_once_is_openssls(void **state)
{
	(void)state;
	seed = 13;
	print_message("# seed 13\n");
	for (unsigned i = 0; i < 40000; i++) {
		enum key_alg alg = i % 8 == 0 ? KEY_ALG_3DES : KEY_ALG_SM4;
		uint8_t key[KEY_BYTES], a[MAC_BYTES], b[MAC_BYTES];
		struct purchase p;

		fill(key, sizeof(key));
		fill(&p, sizeof(p));
		assert_int_equal(mac_purchase_tac(engine, alg, key, &p, a), 0);
		assert_int_equal(mac_tac_once(engine, alg, key, &p, b), 0);
		assert_memory_equal(a, b, MAC_BYTES);
	}
}

/* GB/T 32907-2016, A.1 and A.2: one block, and the same block a million times. */
static void single_blocks_are_those_of_the_standard(void **state)
{
	static const uint8_t key[KEY_BYTES] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10 };
	uint8_t text[KEY_BYTES], expected[KEY_BYTES];
	struct sm4_key k;

	(void)state;
	memcpy(text, key, sizeof(text));
	sm4_block_set(key, &k);
	sm4_block(&k, text, text);
	assert_true(hex_decode("681EDF34D206965E86B3E94F536E4246", expected, sizeof(expected)));
	assert_memory_equal(text, expected, sizeof(text));
	for (unsigned i = 1; i < 1000000; i++)
		sm4_block(&k, text, text);
	assert_true(hex_decode("595298C7C6FD271F0402F804C33D3F66", expected, sizeof(expected)));
	assert_memory_equal(text, expected, sizeof(text));
}

/* Each kind of lanes this processor has, for every count up to two registers and every single wrong bit. */
static void each_bit_of_a_code_counts_in_every_lane(void **state)
{
	static struct lane lane[1100];
	static uint8_t good[1100];
	uint8_t parent[KEY_BYTES], dtk[KEY_BYTES], tac[4], pan[8], text[24];
	bool has[] = { false, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes"),
		       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("gfni") };

	(void)state;
	seed = 11;
	print_message("# seed 11\n");
	fill(parent, sizeof(parent));
	for (int alg = 0; alg < 2; alg++)
		for (enum lanes_kind kind = LANES_AVX2; kind <= LANES_AVX512; kind++) {
			for (size_t i = 0; i < 1100; i++) {
				struct purchase p = { .amount_fen = rnd(), .txn_type = 6, .terminal_serial = rnd() };

				fill(pan, sizeof(pan));
				fill(p.terminal, 6);
				fill(p.time.bcd, 7);
				assert_int_equal(key_diversify(engine, (enum key_alg)alg, parent, pan, dtk), 0);
				assert_int_equal(mac_purchase_tac(engine, (enum key_alg)alg, dtk, &p, tac), 0);
				for (int k = 0; k < 4; k++) {
					text[k] = (uint8_t)(p.amount_fen >> (24 - 8 * k));
					text[11 + k] = (uint8_t)(p.terminal_serial >> (24 - 8 * k));
				}
				text[4] = 6;
				memcpy(text + 5, p.terminal, 6);
				memcpy(text + 15, p.time.bcd, 7);
				text[22] = 0x80;
				text[23] = 0;
				for (int k = 0; k < 6; k++)
					lane[i].text[k] = (uint32_t)text[4 * k] << 24 | (uint32_t)text[4 * k + 1] << 16 | (uint32_t)text[4 * k + 2] << 8 | text[4 * k + 3];
				for (int k = 0; k < 2; k++)
					lane[i].factor[k] = (uint32_t)pan[4 * k] << 24 | (uint32_t)pan[4 * k + 1] << 16 | (uint32_t)pan[4 * k + 2] << 8 | pan[4 * k + 3];
				lane[i].tac = (uint32_t)tac[0] << 24 | (uint32_t)tac[1] << 16 | (uint32_t)tac[2] << 8 | tac[3];
			}
			if (!has[kind])
				continue;
			for (size_t n = 1; n <= 1100; n += n < 70 ? 1 : 103) {
				size_t wrong = rnd() % n;

				lane[wrong].tac ^= 1u << n % 32;
				(alg == 0 ? lanes_des_tac : lanes_sm4_tac)(kind, parent, lane, n, good);
				lane[wrong].tac ^= 1u << n % 32;
				for (size_t i = 0; i < n; i++)
					assert_int_equal(good[i], i != wrong);
			}
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lanes_answer_as_one_by_one),
		cmocka_unit_test(single_blocks_are_those_of_the_standard),
		cmocka_unit_test(a_code_under_a_key_used_once_is_openssls),
		cmocka_unit_test(the_batch_answers_alike_with_the_lanes_switched_off),
		cmocka_unit_test(each_bit_of_a_code_counts_in_every_lane),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
