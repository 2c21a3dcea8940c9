/*
 * mac - diversification and the purse codes MAC1, MAC2 and TAC, in 3DES and SM4.
 *
 * One engine per thread holds four contexts whose ciphers were fetched once; rekeying a context costs a
 * fraction of making one. Single DES is DES-EDE with both halves equal, so the legacy provider is never
 * needed. MAC: ISO/IEC 9797-1 algorithm 1, padding 2, IV 0, leftmost 4 bytes. docs/keys.md has the tables.
 */
#include "keys/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define MAC_INPUT_BYTES_MAX 48

enum { CTX_DES_ECB, CTX_DES_CBC, CTX_SM4_ECB, CTX_SM4_CBC, CTX_COUNT };
static const char *const cipher_names[CTX_COUNT] = { "DES-EDE-ECB", "DES-EDE-CBC", "SM4-ECB", "SM4-CBC" };

struct mac_engine {
	EVP_CIPHER *cipher[CTX_COUNT];
	EVP_CIPHER_CTX *ctx[CTX_COUNT];
};

static int engine_context(struct mac_engine *e, int i)
{
	static const uint8_t zero[KEY_BYTES];

	e->cipher[i] = EVP_CIPHER_fetch(NULL, cipher_names[i], NULL);
	e->ctx[i] = EVP_CIPHER_CTX_new();
	if (e->cipher[i] == NULL || e->ctx[i] == NULL)
		return KEYS_E_CRYPTO;
	if (EVP_EncryptInit_ex2(e->ctx[i], e->cipher[i], zero, zero, NULL) != 1)
		return KEYS_E_CRYPTO;
	EVP_CIPHER_CTX_set_padding(e->ctx[i], 0);
	return 0;
}

int mac_engine_new(struct mac_engine **ret_engine)
{
	struct mac_engine *e = calloc(1, sizeof(*e));
	int ret = 0;

	if (e == NULL)
		return -ENOMEM;
	for (int i = 0; ret == 0 && i < CTX_COUNT; i++)
		ret = engine_context(e, i);
	if (ret != 0) {
		mac_engine_free(e);
		return ret;
	}
	*ret_engine = e;
	return 0;
}

void mac_engine_free(struct mac_engine *engine)
{
	if (engine == NULL)
		return;
	for (int i = 0; i < CTX_COUNT; i++) {
		EVP_CIPHER_CTX_free(engine->ctx[i]);
		EVP_CIPHER_free(engine->cipher[i]);
	}
	free(engine);
}

bool key_alg_of_id(uint8_t alg_id, enum key_alg *ret_alg)
{
	if (alg_id > KEY_ALG_SM4)
		return false;
	*ret_alg = alg_id == 0 ? KEY_ALG_3DES : KEY_ALG_SM4;
	return true;
}

static int encrypt(struct mac_engine *e, int which, const uint8_t key[KEY_BYTES], const uint8_t *in, size_t n, uint8_t *out)
{
	static const uint8_t iv[KEY_BYTES];
	int got = 0;

	if (EVP_EncryptInit_ex2(e->ctx[which], NULL, key, iv, NULL) != 1)
		return KEYS_E_CRYPTO;
	if (EVP_EncryptUpdate(e->ctx[which], out, &got, in, (int)n) != 1 || (size_t)got != n)
		return KEYS_E_CRYPTO;
	return 0;
}

int key_diversify(struct mac_engine *engine, enum key_alg alg, const uint8_t parent[KEY_BYTES],
		  const uint8_t factor[KEY_FACTOR_BYTES], uint8_t ret_key[KEY_BYTES])
{
	uint8_t in[KEY_BYTES], out[KEY_BYTES];
	int ret;

	for (size_t i = 0; i < KEY_FACTOR_BYTES; i++) {
		in[i] = factor[i];
		in[KEY_FACTOR_BYTES + i] = (uint8_t)~factor[i];
	}
	ret = encrypt(engine, alg == KEY_ALG_3DES ? CTX_DES_ECB : CTX_SM4_ECB, parent, in, sizeof(in), out);
	if (ret == 0)
		memcpy(ret_key, out, sizeof(out));
	key_wipe(out, sizeof(out));
	return ret;
}

/* CBC-MAC; the key is 16 bytes for both algorithms (3DES: K|K is single DES). */
static int cbc_mac(struct mac_engine *e, enum key_alg alg, const uint8_t key[KEY_BYTES], const uint8_t *in, size_t n,
		   uint8_t ret_mac[MAC_BYTES])
{
	size_t block = alg == KEY_ALG_3DES ? 8 : 16, padded = (n / block + 1) * block;
	uint8_t text[MAC_INPUT_BYTES_MAX] = { 0 }, out[MAC_INPUT_BYTES_MAX];
	int ret;

	if (padded > sizeof(text))
		return KEYS_E_CRYPTO;
	memcpy(text, in, n);
	text[n] = 0x80;
	ret = encrypt(e, alg == KEY_ALG_3DES ? CTX_DES_CBC : CTX_SM4_CBC, key, text, padded, out);
	if (ret == 0)
		memcpy(ret_mac, out + padded - block, MAC_BYTES);
	return ret;
}

static uint8_t *put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
	return p + 4;
}

static uint8_t *put_bytes(uint8_t *p, const void *from, size_t n)
{
	memcpy(p, from, n);
	return p + n;
}

/* Session key of a purchase: random 4 | card counter 2 | terminal serial right 2 under DPK. 3DES gives 8
 * bytes, doubled; SM4 takes the same 8 bytes and their complement, as in diversification. */
static int session_key(struct mac_engine *e, enum key_alg alg, const uint8_t dpk[KEY_BYTES], const struct purchase *p,
		       uint8_t ret_key[KEY_BYTES])
{
	uint8_t in[8];
	int ret;

	memcpy(in, p->random, 4);
	in[4] = (uint8_t)(p->card_counter >> 8);
	in[5] = (uint8_t)p->card_counter;
	in[6] = (uint8_t)(p->terminal_serial >> 8);
	in[7] = (uint8_t)p->terminal_serial;
	if (alg == KEY_ALG_SM4)
		return key_diversify(e, alg, dpk, in, ret_key);
	ret = encrypt(e, CTX_DES_ECB, dpk, in, sizeof(in), ret_key);
	if (ret == 0)
		memcpy(ret_key + 8, ret_key, 8);
	return ret;
}

int mac_purchase_mac1(struct mac_engine *engine, enum key_alg alg, const uint8_t dpk[KEY_BYTES],
		      const struct purchase *p, uint8_t ret_mac[MAC_BYTES])
{
	uint8_t key[KEY_BYTES], in[18], *q;
	int ret = session_key(engine, alg, dpk, p, key);

	q = put_be32(in, p->amount_fen);
	*q++ = p->txn_type;
	q = put_bytes(q, p->terminal, sizeof(p->terminal));
	put_bytes(q, p->time.bcd, sizeof(p->time.bcd));
	if (ret == 0)
		ret = cbc_mac(engine, alg, key, in, sizeof(in), ret_mac);
	key_wipe(key, sizeof(key));
	return ret;
}

int mac_purchase_mac2(struct mac_engine *engine, enum key_alg alg, const uint8_t dpk[KEY_BYTES],
		      const struct purchase *p, uint8_t ret_mac[MAC_BYTES])
{
	uint8_t key[KEY_BYTES], in[4];
	int ret = session_key(engine, alg, dpk, p, key);

	put_be32(in, p->amount_fen);
	if (ret == 0)
		ret = cbc_mac(engine, alg, key, in, sizeof(in), ret_mac);
	key_wipe(key, sizeof(key));
	return ret;
}

int mac_purchase_tac(struct mac_engine *engine, enum key_alg alg, const uint8_t dtk[KEY_BYTES],
		     const struct purchase *p, uint8_t ret_tac[MAC_BYTES])
{
	uint8_t key[KEY_BYTES], in[22], *q;
	int ret;

	for (size_t i = 0; i < KEY_BYTES; i++)
		key[i] = alg == KEY_ALG_SM4 ? dtk[i] : dtk[i % 8] ^ dtk[8 + i % 8];
	q = put_be32(in, p->amount_fen);
	*q++ = p->txn_type;
	q = put_bytes(q, p->terminal, sizeof(p->terminal));
	q = put_be32(q, p->terminal_serial);
	put_bytes(q, p->time.bcd, sizeof(p->time.bcd));
	ret = cbc_mac(engine, alg, key, in, sizeof(in), ret_tac);
	key_wipe(key, sizeof(key));
	return ret;
}

/* ISO/IEC 9797-1 algorithm 3 with padding 2 for 3DES: single DES but for the last block, which takes both halves. */
int mac_command(struct mac_engine *engine, enum key_alg alg, const uint8_t key[KEY_BYTES], const uint8_t random[4], const uint8_t *in, size_t n,
		uint8_t ret_mac[MAC_BYTES])
{
	size_t block = alg == KEY_ALG_3DES ? 8 : 16, padded = (n / block + 1) * block;
	uint8_t text[MAC_INPUT_BYTES_MAX] = { 0 }, chain[KEY_BYTES] = { 0 }, left[KEY_BYTES];
	int ret = 0;

	if (padded > sizeof(text))
		return KEYS_E_CRYPTO;
	memcpy(text, in, n);
	text[n] = 0x80;
	memcpy(chain, random, 4);
	memcpy(left, key, 8);
	memcpy(left + 8, key, 8);
	for (size_t at = 0; ret == 0 && at < padded; at += block) {
		for (size_t i = 0; i < block; i++)
			chain[i] ^= text[at + i];
		if (alg == KEY_ALG_SM4)
			ret = encrypt(engine, CTX_SM4_ECB, key, chain, block, chain);
		else
			ret = encrypt(engine, CTX_DES_ECB, at + block < padded ? left : key, chain, block, chain);
	}
	if (ret == 0)
		memcpy(ret_mac, chain, MAC_BYTES);
	key_wipe(left, sizeof(left));
	return ret;
}

/* CMAC of one block of zeros (NIST SP 800-38B): subkey K1 = dbl(E(0)), MAC = E(0 xor K1). */
static int cmac_zero(struct mac_engine *e, const uint8_t key[KEY_BYTES], uint8_t ret_mac[KEY_BYTES])
{
	uint8_t zero[KEY_BYTES] = { 0 }, l[KEY_BYTES], k1[KEY_BYTES];
	int ret = encrypt(e, CTX_SM4_ECB, key, zero, sizeof(zero), l);

	for (size_t i = 0; i < KEY_BYTES; i++)
		k1[i] = (uint8_t)(l[i] << 1 | (i + 1 < KEY_BYTES ? l[i + 1] >> 7 : 0));
	if ((l[0] & 0x80) != 0)
		k1[KEY_BYTES - 1] ^= 0x87;
	return ret != 0 ? ret : encrypt(e, CTX_SM4_ECB, key, k1, sizeof(k1), ret_mac);
}

int key_check_value(struct mac_engine *engine, enum key_alg alg, const uint8_t key[KEY_BYTES], uint8_t ret_kcv[3])
{
	uint8_t zero[8] = { 0 }, out[KEY_BYTES];
	int ret = alg == KEY_ALG_SM4 ? cmac_zero(engine, key, out) : encrypt(engine, CTX_DES_ECB, key, zero, 8, out);

	if (ret == 0)
		memcpy(ret_kcv, out, 3);
	return ret;
}

bool mac_equal(const uint8_t *a, const uint8_t *b, size_t n) { return CRYPTO_memcmp(a, b, n) == 0; }

void key_wipe(void *p, size_t n) { OPENSSL_cleanse(p, n); }
