/*
 * mac - diversification and the purse codes MAC1, MAC2 and TAC, in 3DES and SM4.
 *
 * One engine per thread. Everything is ECB of single blocks, chained here where a MAC asks for it, so that a context whose
 * key is asked for again needs nothing at all: setting a key costs as much as two blocks. A few contexts of each algorithm
 * keep the keys that come back (a root, an issuer's), the least used takes the next card's. Single DES is DES-EDE with
 * both halves equal, so the legacy provider is never needed. MAC: ISO/IEC 9797-1 algorithm 1, padding 2, IV 0, leftmost
 * 4 bytes. docs/keys.md has the tables.
 */
#include "keys/keyring.h"
#include "keys/sm4_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define MAC_INPUT_BYTES_MAX 48
#define SLOTS 4
#define KEPT 8

static const char *const cipher_names[2] = { "DES-EDE-ECB", "SM4-ECB" };	/* by enum key_alg */

struct keyed { EVP_CIPHER_CTX *ctx; uint8_t key[KEY_BYTES]; bool is_keyed; uint64_t used; };
struct kept { uint8_t parent[KEY_BYTES], factor[KEY_FACTOR_BYTES], key[KEY_BYTES]; uint8_t alg; bool is_there; };
struct mac_engine {
	EVP_CIPHER *cipher[2];
	struct keyed slot[2][SLOTS];
	uint64_t uses;
	bool sm4_block_good;		/* sm4_block.c answers as OpenSSL does */
	struct kept kept[KEPT]; unsigned kept_next;	/* levels above the card, which every card of an issuer asks for */
};

static int engine_context(struct mac_engine *e, int alg)
{
	static const uint8_t zero[KEY_BYTES];

	e->cipher[alg] = EVP_CIPHER_fetch(NULL, cipher_names[alg], NULL);
	if (e->cipher[alg] == NULL)
		return KEYS_E_CRYPTO;
	for (size_t i = 0; i < SLOTS; i++) {
		struct keyed *s = &e->slot[alg][i];

		s->ctx = EVP_CIPHER_CTX_new();
		if (s->ctx == NULL || EVP_EncryptInit_ex2(s->ctx, e->cipher[alg], zero, NULL, NULL) != 1)
			return KEYS_E_CRYPTO;
		EVP_CIPHER_CTX_set_padding(s->ctx, 0);
	}
	return 0;
}

/* Some keys and blocks, each made of the one before: every round and every place of the table is met. */
static bool sm4_block_compare(struct mac_engine *e)
{
	uint8_t key[KEY_BYTES] = "known answers..", text[KEY_BYTES] = { 0 }, theirs[KEY_BYTES];
	EVP_CIPHER_CTX *ctx = e->slot[KEY_ALG_SM4][0].ctx;
	struct sm4_key k;
	bool same = true;

	for (unsigned i = 0; same && i < 24; i++) {
		same = EVP_EncryptInit_ex2(ctx, NULL, key, NULL, NULL) == 1 && EVP_Cipher(ctx, theirs, text, KEY_BYTES) > 0;
		sm4_block_set(key, &k);
		sm4_block(&k, text, text);
		same = same && memcmp(text, theirs, KEY_BYTES) == 0;
		memcpy(key, theirs, KEY_BYTES);
	}
	return same;
}

int mac_engine_new(struct mac_engine **ret_engine)
{
	struct mac_engine *e = calloc(1, sizeof(*e));
	int ret = 0;

	if (e == NULL)
		return -ENOMEM;
	for (int alg = 0; ret == 0 && alg < 2; alg++)
		ret = engine_context(e, alg);
	e->sm4_block_good = ret == 0 && sm4_block_compare(e);
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
	for (int alg = 0; alg < 2; alg++) {
		for (size_t i = 0; i < SLOTS; i++)
			EVP_CIPHER_CTX_free(engine->slot[alg][i].ctx);
		EVP_CIPHER_free(engine->cipher[alg]);
	}
	key_wipe(engine, sizeof(*engine));
	free(engine);
}

void mac_engine_forget(struct mac_engine *e)
{
	static const uint8_t zero[KEY_BYTES];

	for (int alg = 0; alg < 2; alg++)
		for (size_t i = 0; i < SLOTS; i++) {
			struct keyed *s = &e->slot[alg][i];

			if (EVP_EncryptInit_ex2(s->ctx, NULL, zero, NULL, NULL) != 1)
				EVP_CIPHER_CTX_reset(s->ctx);	/* of no use any more: encrypt fails, which is never a verdict */
			key_wipe(s->key, sizeof(s->key));
			s->is_keyed = false;
			s->used = 0;
		}
	key_wipe(e->kept, sizeof(e->kept));
}

bool key_alg_of_id(uint8_t alg_id, enum key_alg *ret_alg)
{
	if (alg_id > KEY_ALG_SM4)
		return false;
	*ret_alg = alg_id == 0 ? KEY_ALG_3DES : KEY_ALG_SM4;
	return true;
}

/* The context that has this key, or the one longest unused, keyed anew. */
static struct keyed *keyed_for(struct mac_engine *e, enum key_alg alg, const uint8_t key[KEY_BYTES])
{
	struct keyed *slot = e->slot[alg], *oldest = slot;

	e->uses++;
	for (size_t i = 0; i < SLOTS; i++) {
		if (slot[i].is_keyed && CRYPTO_memcmp(slot[i].key, key, KEY_BYTES) == 0) {
			slot[i].used = e->uses;
			return &slot[i];
		}
		if (slot[i].used < oldest->used)
			oldest = &slot[i];
	}
	oldest->is_keyed = EVP_EncryptInit_ex2(oldest->ctx, NULL, key, NULL, NULL) == 1;
	memcpy(oldest->key, key, KEY_BYTES);
	oldest->used = e->uses;
	return oldest->is_keyed ? oldest : NULL;
}

/* Whole blocks by ECB; EVP_Cipher is the cipher itself, without the buffering of an update. */
static int encrypt(struct mac_engine *e, enum key_alg alg, const uint8_t key[KEY_BYTES], const uint8_t *in, size_t n, uint8_t *out)
{
	struct keyed *slot = keyed_for(e, alg, key);

	return slot != NULL && EVP_Cipher(slot->ctx, out, in, (unsigned)n) > 0 ? 0 : KEYS_E_CRYPTO;
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
	ret = encrypt(engine, alg, parent, in, sizeof(in), out);
	if (ret == 0)
		memcpy(ret_key, out, sizeof(out));
	key_wipe(out, sizeof(out));
	return ret;
}

int key_diversify_kept(struct mac_engine *engine, enum key_alg alg, const uint8_t parent[KEY_BYTES],
		       const uint8_t factor[KEY_FACTOR_BYTES], uint8_t ret_key[KEY_BYTES])
{
	struct kept *k;
	int ret;

	for (size_t i = 0; i < KEPT; i++) {
		k = &engine->kept[i];
		if (k->is_there && k->alg == alg && memcmp(k->factor, factor, KEY_FACTOR_BYTES) == 0 && CRYPTO_memcmp(k->parent, parent, KEY_BYTES) == 0) {
			memcpy(ret_key, k->key, KEY_BYTES);
			return 0;
		}
	}
	k = &engine->kept[engine->kept_next++ % KEPT];
	k->is_there = false;
	memcpy(k->parent, parent, KEY_BYTES);
	memcpy(k->factor, factor, KEY_FACTOR_BYTES);
	k->alg = (uint8_t)alg;
	ret = key_diversify(engine, alg, parent, factor, k->key);
	k->is_there = ret == 0;
	if (ret == 0)
		memcpy(ret_key, k->key, KEY_BYTES);
	return ret;
}

/* CBC-MAC; the key is 16 bytes for both algorithms (3DES: K|K is single DES). */
static int cbc_mac(struct mac_engine *e, enum key_alg alg, const uint8_t key[KEY_BYTES], const uint8_t *in, size_t n,
		   uint8_t ret_mac[MAC_BYTES])
{
	size_t block = alg == KEY_ALG_3DES ? 8 : 16, padded = (n / block + 1) * block;
	uint8_t text[MAC_INPUT_BYTES_MAX] = { 0 }, chain[KEY_BYTES] = { 0 };
	struct keyed *slot;

	if (padded > sizeof(text))
		return KEYS_E_CRYPTO;
	memcpy(text, in, n);
	text[n] = 0x80;
	slot = keyed_for(e, alg, key);
	if (slot == NULL)
		return KEYS_E_CRYPTO;
	for (size_t at = 0; at < padded; at += block) {
		for (size_t i = 0; i < block; i++)
			chain[i] ^= text[at + i];
		if (EVP_Cipher(slot->ctx, chain, chain, (unsigned)block) <= 0)
			return KEYS_E_CRYPTO;
	}
	memcpy(ret_mac, chain, MAC_BYTES);
	return 0;
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
	ret = encrypt(e, alg, dpk, in, sizeof(in), ret_key);
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

#define TAC_TEXT_BYTES 22

static void tac_text(const struct purchase *p, uint8_t ret[TAC_TEXT_BYTES])
{
	uint8_t *q = put_be32(ret, p->amount_fen);

	*q++ = p->txn_type;
	q = put_bytes(q, p->terminal, sizeof(p->terminal));
	q = put_be32(q, p->terminal_serial);
	put_bytes(q, p->time.bcd, sizeof(p->time.bcd));
}

int mac_tac_once(struct mac_engine *engine, enum key_alg alg, const uint8_t dtk[KEY_BYTES], const struct purchase *p, uint8_t ret_tac[MAC_BYTES])
{
	uint8_t text[2 * KEY_BYTES] = { 0 }, chain[KEY_BYTES];
	struct sm4_key k;

	if (alg != KEY_ALG_SM4 || !engine->sm4_block_good)
		return mac_purchase_tac(engine, alg, dtk, p, ret_tac);
	tac_text(p, text);
	text[TAC_TEXT_BYTES] = 0x80;
	sm4_block_set(dtk, &k);
	sm4_block(&k, text, chain);
	for (size_t i = 0; i < KEY_BYTES; i++)
		chain[i] ^= text[KEY_BYTES + i];
	sm4_block(&k, chain, chain);
	memcpy(ret_tac, chain, MAC_BYTES);
	key_wipe(&k, sizeof(k));
	return 0;
}

int mac_purchase_tac(struct mac_engine *engine, enum key_alg alg, const uint8_t dtk[KEY_BYTES],
		     const struct purchase *p, uint8_t ret_tac[MAC_BYTES])
{
	uint8_t key[KEY_BYTES], in[TAC_TEXT_BYTES];
	int ret;

	for (size_t i = 0; i < KEY_BYTES; i++)
		key[i] = alg == KEY_ALG_SM4 ? dtk[i] : dtk[i % 8] ^ dtk[8 + i % 8];
	tac_text(p, in);
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
		ret = encrypt(engine, alg, alg == KEY_ALG_SM4 || at + block == padded ? key : left, chain, block, chain);
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
	int ret = encrypt(e, KEY_ALG_SM4, key, zero, sizeof(zero), l);

	for (size_t i = 0; i < KEY_BYTES; i++)
		k1[i] = (uint8_t)(l[i] << 1 | (i + 1 < KEY_BYTES ? l[i + 1] >> 7 : 0));
	if ((l[0] & 0x80) != 0)
		k1[KEY_BYTES - 1] ^= 0x87;
	return ret != 0 ? ret : encrypt(e, KEY_ALG_SM4, key, k1, sizeof(k1), ret_mac);
}

int key_check_value(struct mac_engine *engine, enum key_alg alg, const uint8_t key[KEY_BYTES], uint8_t ret_kcv[3])
{
	uint8_t zero[8] = { 0 }, out[KEY_BYTES];
	int ret = alg == KEY_ALG_SM4 ? cmac_zero(engine, key, out) : encrypt(engine, KEY_ALG_3DES, key, zero, 8, out);

	if (ret == 0)
		memcpy(ret_kcv, out, 3);
	return ret;
}

bool mac_equal(const uint8_t *a, const uint8_t *b, size_t n) { return CRYPTO_memcmp(a, b, n) == 0; }

void key_wipe(void *p, size_t n) { OPENSSL_cleanse(p, n); }
