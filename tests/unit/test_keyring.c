/* Key blocks and the rings of them: what was changed is refused, what a record names is found, what is retired is not. */
#include "keys/keyring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct mac_engine *engine;
static const uint8_t storage[2 * STORAGE_KEY_BYTES] = { 9, 8, 7, 6, 5 };

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

static struct key_entry entry_of(enum key_purpose purpose, enum key_alg alg, uint8_t version)
{
	struct key_entry e = { .purpose = purpose, .alg = alg, .version = version, .levels = 2, .valid_from_ms = 1000, .valid_to_ms = 2000 };

	hex("02184280", e.issuer);
	return e;
}

static void key_put(struct keyring *ring, struct key_entry e, const char *root)
{
	uint8_t key[KEY_BYTES];

	hex(root, key);
	assert_int_equal(keyring_add(ring, &e, key), 0);
}

#define ROOT_A "404142434445464748494A4B4C4D4E4F"
#define ROOT_B "0123456789ABCDEFFEDCBA9876543210"

/* ---- blocks and files --------------------------------------------------------------------------- */

static struct keyring *ring_of_two(void)
{
	struct key_entry e = entry_of(KEY_LOCK, KEY_ALG_SM4, 3);
	struct keyring *ring;

	assert_int_equal(keyring_new(&ring), 0);
	key_put(ring, entry_of(KEY_TAC, KEY_ALG_3DES, 1), ROOT_A);
	assert_true(key_factors_of("line=00000000000000A1,area=0791FFFFFFFFFFFF,card", &e));
	e.scheme = 4;
	e.index = 7;
	e.flags = KEY_FLAG_TEST | KEY_FLAG_DISTRUSTED;
	e.distrust_from_ms = 1500;
	memset(e.act, 0xAB, sizeof(e.act));
	key_put(ring, e, ROOT_B);
	return ring;
}

static void no_key_block_with_a_bit_flipped_is_opened(void **state)
{
	struct keyring *ring = ring_of_two();
	uint8_t block[KEY_BLOCK_BYTES];
	struct slot back;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		assert_int_equal(key_block_seal(storage, &ring->slot[k], block), 0);
		assert_int_equal(key_block_open(storage, block, &back), 0);
		assert_memory_equal(back.key, ring->slot[k].key, KEY_BYTES);
		assert_memory_equal(back.entry.act, ring->slot[k].entry.act, sizeof(back.entry.act));
		assert_int_equal(back.entry.distrust_from_ms, ring->slot[k].entry.distrust_from_ms);
		for (size_t bit = 0; bit < 8 * sizeof(block); bit++) {
			block[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(key_block_open(storage, block, &back), KEYS_E_BLOCK);
			block[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_int_equal(key_block_open(storage + 1, block, &back), KEYS_E_BLOCK);
	}
	keyring_free(ring);
}

static void no_ring_with_a_bit_flipped_a_block_moved_or_a_byte_missing_is_opened(void **state)
{
	static uint8_t file[KEY_FILE_BYTES_MAX], moved[KEY_FILE_BYTES_MAX];
	struct keyring *ring = ring_of_two(), *back;
	size_t n;

	(void)state;
	memcpy(file, "QFKEYS02", 8);
	assert_int_equal(key_file_seal(storage, ring, file, &n), 0);
	assert_int_equal(keyring_new(&back), 0);
	assert_int_equal(key_file_open(storage, file, n, back), 0);
	assert_int_equal(keyring_count(back), 2);
	keyring_free(back);
	assert_int_equal(keyring_new(&back), 0);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		file[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_true(key_file_open(storage, file, n, back) < 0);
		assert_int_equal(keyring_count(back), 0);
		file[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t cut = KEY_FILE_HEAD_BYTES; cut < n; cut++)
		assert_true(key_file_open(storage, file, cut, back) < 0);
	memcpy(moved, file, n);
	memcpy(moved + KEY_FILE_HEAD_BYTES, file + KEY_FILE_HEAD_BYTES + KEY_BLOCK_BYTES, KEY_BLOCK_BYTES);
	memcpy(moved + KEY_FILE_HEAD_BYTES + KEY_BLOCK_BYTES, file + KEY_FILE_HEAD_BYTES, KEY_BLOCK_BYTES);
	assert_int_equal(key_file_open(storage, moved, n, back), KEYS_E_PASSPHRASE);
	assert_int_equal(keyring_count(back), 0);
	keyring_free(back);
	keyring_free(ring);
}

static void a_keyring_opens_with_its_passphrase_only_and_shows_no_secret(void **state)
{
	char path[] = "/tmp/qingfen-ring-XXXXXX";
	struct keyring *ring = ring_of_two(), *back;
	uint8_t whole[1024];
	int fd = mkstemp(path);
	ssize_t n;

	(void)state;
	assert_int_equal(keyring_save(ring, path, "one"), 0);
	assert_int_equal(keyring_open(path, "one", &back), 0);
	assert_memory_equal(keyring_entry(back, 1), keyring_entry(ring, 1), sizeof(struct key_entry));
	keyring_free(back);
	assert_int_equal(keyring_open(path, "two", &back), KEYS_E_PASSPHRASE);
	close(fd);
	FILE *f = fopen(path, "rb");
	n = (ssize_t)fread(whole, 1, sizeof(whole), f);
	fclose(f);
	for (size_t k = 0; k < 2; k++)
		assert_null(memmem(whole, (size_t)n, ring->slot[k].key, 8));
	unlink(path);
	keyring_free(ring);
}

/* ---- the hierarchy ----------------------------------------------------------------------------------- */

static void two_and_three_levels_give_the_keys_of_their_factors(void **state)
{
	struct key_entry e = entry_of(KEY_PURCHASE, KEY_ALG_3DES, 1), three = entry_of(KEY_UNLOCK, KEY_ALG_3DES, 1);
	uint8_t pan[10], key[KEY_BYTES], expected[KEY_BYTES], factor[KEY_FACTOR_BYTES];
	char text[KEY_FACTORS_TEXT_BYTES];
	struct keyring *ring;

	(void)state;
	hex("03104730100000000017", pan);
	assert_int_equal(keyring_new(&ring), 0);
	key_put(ring, e, ROOT_B);
	assert_int_equal(keyring_card_key(ring, engine, KEY_PURCHASE, e.issuer, 1, 0, 1500, pan, key), 0);
	hex("BE73F90E665E20908DB183619756C9CE", expected);
	assert_memory_equal(key, expected, KEY_BYTES);
	e.version = 2;	/* the issuer's own key gives the same card key */
	assert_true(key_factors_of("card", &e));
	key_put(ring, e, "E0A972CA170B5E2D79922A3DC6D0DF3B");
	assert_int_equal(keyring_card_key(ring, engine, KEY_PURCHASE, e.issuer, 2, 0, 1500, pan, key), 0);
	assert_memory_equal(key, expected, KEY_BYTES);
	assert_true(key_factors_of("line=00000000000000A1,area=0791FFFFFFFFFFFF,card", &three));
	key_factors_text(&three, text);
	assert_string_equal(text, "line=00000000000000A1,area=0791FFFFFFFFFFFF,card");
	key_put(ring, three, ROOT_A);
	assert_int_equal(keyring_card_key(ring, engine, KEY_UNLOCK, e.issuer, 1, 0, 1500, pan, key), 0);
	hex(ROOT_A, expected);
	hex("00000000000000A1", factor);
	assert_int_equal(key_diversify(engine, KEY_ALG_3DES, expected, factor, expected), 0);
	hex("0791FFFFFFFFFFFF", factor);
	assert_int_equal(key_diversify(engine, KEY_ALG_3DES, expected, factor, expected), 0);
	assert_int_equal(key_diversify(engine, KEY_ALG_3DES, expected, pan + 2, expected), 0);
	assert_memory_equal(key, expected, KEY_BYTES);
	for (size_t i = 0; i < 6; i++) {
		static const char *const wrong[] = { "", "issuer", "card,issuer", "issuer,issuer,issuer,card", "area,card", "line=12,card" };

		assert_false(key_factors_of(wrong[i], &three));
	}
	keyring_free(ring);
}

static enum key_check check_of(struct keyring *ring, const struct key_entry *named, int64_t at_ms, uint8_t index, const char *root)
{
	struct purchase p = { .amount_fen = 200, .txn_type = 9 };
	uint8_t pan[10], key[KEY_BYTES], tac[4], factor[KEY_FACTOR_BYTES];
	struct tac_question q = { .purchase = &p, .issuer = named->issuer, .pan = pan, .scheme = named->scheme, .key_version = named->version,
				  .key_index = index, .alg_id = (uint8_t)named->alg, .at_ms = at_ms, .tac = tac };

	hex("03104730100000000017", pan);
	hex(root, key);
	key_factor_bytes(named, 0, factor);
	assert_int_equal(key_diversify(engine, named->alg, key, factor, key), 0);
	assert_int_equal(key_diversify(engine, named->alg, key, pan + 2, key), 0);
	assert_int_equal(mac_purchase_tac(engine, named->alg, key, &p, tac), 0);
	return tac_verify(engine, ring, &q);
}

static void both_versions_are_good_in_a_rotation_until_the_old_ones_retirement(void **state)
{
	struct key_entry old = entry_of(KEY_TAC, KEY_ALG_SM4, 1), new = entry_of(KEY_TAC, KEY_ALG_SM4, 2), other = entry_of(KEY_TAC, KEY_ALG_SM4, 1);
	struct keyring *ring;

	(void)state;
	other.issuer[3] = 0x81;
	new.valid_from_ms = 1400;
	old.valid_to_ms = new.valid_to_ms = INT64_MAX;
	assert_int_equal(keyring_new(&ring), 0);
	key_put(ring, old, ROOT_A);
	key_put(ring, new, ROOT_B);
	key_put(ring, other, ROOT_B);
	assert_int_equal(keyring_retire(ring, 0, 1800), 0);
	assert_int_equal(keyring_retire(ring, 0, 1900), KEYS_E_FORMAT);	/* never lengthened */
	for (int64_t at = 1400; at < 1800; at++) {
		assert_int_equal(check_of(ring, &old, at, 0, ROOT_A), KEY_CHECK_GOOD);
		assert_int_equal(check_of(ring, &new, at, 0, ROOT_B), KEY_CHECK_GOOD);
	}
	assert_int_equal(check_of(ring, &new, 1399, 0, ROOT_B), KEY_CHECK_NO_KEY);
	assert_int_equal(check_of(ring, &old, 1800, 0, ROOT_A), KEY_CHECK_NO_KEY);
	assert_int_equal(check_of(ring, &new, 1800, 0, ROOT_B), KEY_CHECK_GOOD);
	assert_int_equal(check_of(ring, &old, 1500, 0, ROOT_B), KEY_CHECK_BAD);
	assert_int_equal(check_of(ring, &other, 1500, 0, ROOT_B), KEY_CHECK_GOOD);
	other.issuer[3] = 0x82;
	assert_int_equal(check_of(ring, &other, 1500, 0, ROOT_B), KEY_CHECK_FOREIGN);
	keyring_free(ring);
}

static void index_and_scheme_name_a_key_and_zero_is_every_index(void **state)
{
	struct key_entry five = entry_of(KEY_TAC, KEY_ALG_3DES, 1), six = five, metro = five;
	uint8_t key[KEY_BYTES] = { 1 };
	struct keyring *ring;

	(void)state;
	five.index = 5;
	six.index = 6;
	metro.scheme = 2;
	assert_int_equal(keyring_new(&ring), 0);
	key_put(ring, five, ROOT_A);
	key_put(ring, six, ROOT_B);
	key_put(ring, metro, ROOT_B);
	assert_int_equal(check_of(ring, &five, 1500, 5, ROOT_A), KEY_CHECK_GOOD);
	assert_int_equal(check_of(ring, &six, 1500, 6, ROOT_B), KEY_CHECK_GOOD);
	assert_int_equal(check_of(ring, &five, 1500, 6, ROOT_A), KEY_CHECK_BAD);
	assert_int_equal(check_of(ring, &five, 1500, 7, ROOT_A), KEY_CHECK_NO_KEY);
	assert_int_equal(check_of(ring, &metro, 1500, 9, ROOT_B), KEY_CHECK_GOOD);
	five.index = 0;
	assert_int_equal(keyring_add(ring, &five, key), KEYS_E_DUPLICATE);	/* would mean both */
	keyring_free(ring);
}

static void a_compromised_version_proves_nothing_from_then_on(void **state)
{
	struct key_entry e = entry_of(KEY_TAC, KEY_ALG_3DES, 1);
	struct keyring *ring;

	(void)state;
	assert_int_equal(keyring_new(&ring), 0);
	key_put(ring, e, ROOT_A);
	keyring_distrust(ring, 0, 1600);
	assert_int_equal(check_of(ring, &e, 1599, 0, ROOT_A), KEY_CHECK_GOOD);
	assert_int_equal(check_of(ring, &e, 1600, 0, ROOT_A), KEY_CHECK_DISTRUSTED);
	assert_int_equal(check_of(ring, &e, 1600, 0, ROOT_B), KEY_CHECK_DISTRUSTED);
	keyring_distrust(ring, 0, 1700);	/* trust never grows again */
	assert_int_equal(check_of(ring, &e, 1650, 0, ROOT_A), KEY_CHECK_DISTRUSTED);
	keyring_free(ring);
}

/* ---- ceremonies ------------------------------------------------------------------------------------------ */

static void a_key_is_used_only_after_its_known_answer(void **state)
{
	struct key_entry e = entry_of(KEY_TAC, KEY_ALG_3DES, 1);
	uint8_t pan[10], dtk[KEY_BYTES], kcv[3];
	struct keyring *ring;

	(void)state;
	e.flags = KEY_FLAG_INACTIVE;
	hex("03104730100000000017", pan);
	hex("3B60BE32A72E38AA38D58A1C5A98EC05", dtk);
	assert_int_equal(key_check_value(engine, KEY_ALG_3DES, dtk, kcv), 0);
	assert_int_equal(keyring_new(&ring), 0);
	key_put(ring, e, ROOT_A);
	assert_int_equal(check_of(ring, &e, 1500, 0, ROOT_A), KEY_CHECK_NO_KEY);
	kcv[1] ^= 1;
	assert_int_equal(keyring_activate(ring, 0, pan, kcv), KEYS_E_ANSWER);
	assert_int_equal(check_of(ring, &e, 1500, 0, ROOT_A), KEY_CHECK_NO_KEY);
	kcv[1] ^= 1;
	assert_int_equal(keyring_activate(ring, 0, pan, kcv), 0);
	assert_int_equal(check_of(ring, &e, 1500, 0, ROOT_A), KEY_CHECK_GOOD);
	keyring_free(ring);
}

static void components_that_protect_nothing_are_refused(void **state)
{
	uint8_t part[4][KEY_BYTES], key[KEY_BYTES];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(key_part_new(part[i]), 0);
	assert_memory_not_equal(part[0], part[1], KEY_BYTES);
	assert_int_equal(key_parts_combine(KEY_ALG_3DES, (const uint8_t (*)[KEY_BYTES])part, 1, key), KEYS_E_WEAK);
	assert_int_equal(key_parts_combine(KEY_ALG_3DES, (const uint8_t (*)[KEY_BYTES])part, 4, key), KEYS_E_WEAK);
	assert_int_equal(key_parts_combine(KEY_ALG_3DES, (const uint8_t (*)[KEY_BYTES])part, 3, key), 0);
	for (size_t k = 0; k < KEY_BYTES; k++)
		assert_int_equal(key[k], part[0][k] ^ part[1][k] ^ part[2][k]);
	memcpy(part[1], part[0], KEY_BYTES);
	assert_int_equal(key_parts_combine(KEY_ALG_SM4, (const uint8_t (*)[KEY_BYTES])part, 3, key), KEYS_E_WEAK);
	memset(part[1], 0, KEY_BYTES);
	assert_int_equal(key_parts_combine(KEY_ALG_SM4, (const uint8_t (*)[KEY_BYTES])part, 3, key), KEYS_E_WEAK);
	hex(ROOT_A, part[1]);
	for (size_t k = 0; k < KEY_BYTES; k++)
		part[1][k] ^= part[0][k];
	assert_int_equal(key_parts_combine(KEY_ALG_SM4, (const uint8_t (*)[KEY_BYTES])part, 2, key), KEYS_E_WEAK);
	for (size_t k = 0; k < KEY_BYTES; k++)	/* halves that differ in parity alone */
		part[1][k] = part[0][k] ^ (uint8_t)(0x10 * (k % 8) + (k >= 8));
	assert_int_equal(key_parts_combine(KEY_ALG_3DES, (const uint8_t (*)[KEY_BYTES])part, 2, key), KEYS_E_WEAK);
	assert_int_equal(key_parts_combine(KEY_ALG_SM4, (const uint8_t (*)[KEY_BYTES])part, 2, key), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_key_block_with_a_bit_flipped_is_opened),
		cmocka_unit_test(no_ring_with_a_bit_flipped_a_block_moved_or_a_byte_missing_is_opened),
		cmocka_unit_test(a_keyring_opens_with_its_passphrase_only_and_shows_no_secret),
		cmocka_unit_test(two_and_three_levels_give_the_keys_of_their_factors),
		cmocka_unit_test(both_versions_are_good_in_a_rotation_until_the_old_ones_retirement),
		cmocka_unit_test(index_and_scheme_name_a_key_and_zero_is_every_index),
		cmocka_unit_test(a_compromised_version_proves_nothing_from_then_on),
		cmocka_unit_test(a_key_is_used_only_after_its_known_answer),
		cmocka_unit_test(components_that_protect_nothing_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
