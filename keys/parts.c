/*
 * parts - a key made of components, each in one custodian's hands: none of them, nor all but one, says anything about
 * the key. Components and keys that protect nothing are refused here, whoever brings them.
 */
#include "keys/keys.h"

#include <string.h>

#include <openssl/rand.h>

/* Roots of public test vectors; a card or a key that uses one of these is anybody's. */
static const char *const published[] = {
	"0123456789ABCDEFFEDCBA9876543210", "404142434445464748494A4B4C4D4E4F", "11223344556677888877665544332211",
	"00112233445566778899AABBCCDDEEFF", "000102030405060708090A0B0C0D0E0F", "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
	"00000000000000000000000000000000", "11111111111111111111111111111111", "3F013F013F013F013F013F013F013F01",
};

bool key_published(const uint8_t key[KEY_BYTES])
{
	uint8_t known[KEY_BYTES];

	for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++)
		if (hex_decode(published[i], known, KEY_BYTES) && mac_equal(known, key, KEY_BYTES))
			return true;
	return false;
}

static bool zero(const uint8_t p[KEY_BYTES])
{
	static const uint8_t none[KEY_BYTES];

	return mac_equal(p, none, KEY_BYTES);
}

/* Parity bits are no part of a DES key: halves that differ in them alone are equal. */
static bool halves_equal(const uint8_t key[KEY_BYTES])
{
	uint8_t differ = 0;

	for (size_t i = 0; i < KEY_BYTES / 2; i++)
		differ |= (key[i] ^ key[KEY_BYTES / 2 + i]) & 0xFE;
	return differ == 0;
}

int key_parts_combine(enum key_alg alg, const uint8_t (*part)[KEY_BYTES], size_t parts, uint8_t ret_key[KEY_BYTES])
{
	uint8_t key[KEY_BYTES] = { 0 };
	int ret = parts < 2 || parts > KEY_PARTS_MAX ? KEYS_E_WEAK : 0;

	for (size_t i = 0; ret == 0 && i < parts; i++) {
		if (zero(part[i]))
			ret = KEYS_E_WEAK;
		for (size_t k = 0; k < i; k++)
			if (mac_equal(part[i], part[k], KEY_BYTES))
				ret = KEYS_E_WEAK;
		for (size_t k = 0; k < KEY_BYTES; k++)
			key[k] ^= part[i][k];
	}
	if (ret == 0 && (key_published(key) || (alg == KEY_ALG_3DES && halves_equal(key))))
		ret = KEYS_E_WEAK;
	if (ret == 0)
		memcpy(ret_key, key, KEY_BYTES);
	key_wipe(key, sizeof(key));
	return ret;
}

int key_part_new(uint8_t ret_part[KEY_BYTES])
{
	uint8_t part[KEY_BYTES];

	if (RAND_priv_bytes(part, sizeof(part)) != 1)
		return KEYS_E_CRYPTO;
	memcpy(ret_part, part, sizeof(part));
	key_wipe(part, sizeof(part));
	return 0;
}
