/*
 * oda_make - the other side of oda.c: key pairs, certificates and signatures of test cards. What it makes is worth
 * nothing outside a test: the scheme keys of real cards are nobody's but the schemes'.
 */
#include "keys/keys.h"
#include "keys/oda_rsa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

struct oda_signer { EVP_PKEY *pkey; struct oda_key key; BIGNUM *n, *d; };

void oda_signer_free(struct oda_signer *s)
{
	if (s == NULL)
		return;
	EVP_PKEY_free(s->pkey);
	BN_free(s->n);
	BN_clear_free(s->d);
	free(s);
}

/* Takes the key pair. */
static int signer_of(EVP_PKEY *pkey, struct oda_signer **ret)
{
	struct oda_signer *s = calloc(1, sizeof(*s));
	BIGNUM *e = NULL;
	bool good;

	if (s == NULL) {
		EVP_PKEY_free(pkey);
		return -ENOMEM;
	}
	s->pkey = pkey;
	good = pkey != NULL && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &s->n) == 1 && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_D, &s->d) == 1 &&
	       EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1;
	if (good) {
		s->key.bytes = (size_t)BN_num_bytes(s->n);
		s->key.exponent = (uint32_t)BN_get_word(e);
		good = s->key.bytes <= ODA_KEY_BYTES_MAX && s->key.bytes >= ODA_KEY_BYTES_MIN && BN_bn2bin(s->n, s->key.modulus) == (int)s->key.bytes;
	}
	BN_free(e);
	if (!good) {
		oda_signer_free(s);
		return KEYS_E_CRYPTO;
	}
	*ret = s;
	return 0;
}

int oda_signer_new(size_t bytes, uint32_t exponent, struct oda_signer **ret_signer)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *pkey = NULL;
	BIGNUM *e = BN_new();
	bool good = ctx != NULL && e != NULL && BN_set_word(e, exponent) == 1 && EVP_PKEY_keygen_init(ctx) == 1 &&
		    EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)(8 * bytes)) == 1 && EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) == 1 && EVP_PKEY_generate(ctx, &pkey) == 1;

	BN_free(e);
	EVP_PKEY_CTX_free(ctx);
	return good ? signer_of(pkey, ret_signer) : KEYS_E_CRYPTO;
}

void oda_signer_key(const struct oda_signer *s, struct oda_key *ret_key) { *ret_key = s->key; }

int oda_signer_write(const struct oda_signer *s, FILE *f) { return PEM_write_PrivateKey(f, s->pkey, NULL, NULL, 0, NULL, NULL) == 1 ? 0 : KEYS_E_CRYPTO; }

int oda_signer_read(FILE *f, struct oda_signer **ret_signer)
{
	EVP_PKEY *pkey = PEM_read_PrivateKey(f, NULL, NULL, NULL);

	return pkey != NULL ? signer_of(pkey, ret_signer) : KEYS_E_FORMAT;
}

/* x ^ d mod n; x has the signer's length. */
static int sign(const struct oda_signer *s, const uint8_t *x, uint8_t *ret)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *in = BN_bin2bn(x, (int)s->key.bytes, NULL), *out = BN_new();
	bool good = ctx != NULL && in != NULL && out != NULL && BN_mod_exp_mont_consttime(out, in, s->d, s->n, ctx, NULL) == 1 &&
		    BN_bn2binpad(out, ret, (int)s->key.bytes) == (int)s->key.bytes;

	BN_free(in);
	BN_free(out);
	BN_CTX_free(ctx);
	return good ? 0 : KEYS_E_CRYPTO;
}

/* Header, format, hash over the fields that stand in x from 2 on and the tail, trailer; then signed. */
static int seal(const struct oda_signer *s, enum oda_format format, uint8_t *x, const struct oda_bytes *tail, size_t tails, uint8_t *ret)
{
	struct oda_bytes piece[4] = { { x + 1, s->key.bytes - 2 - SHA1_BYTES } };
	int code;

	x[0] = ODA_HEADER;
	x[1] = (uint8_t)format;
	memcpy(piece + 1, tail, tails * sizeof(*tail));
	code = oda_hash(piece, tails + 1, x + s->key.bytes - 1 - SHA1_BYTES);
	x[s->key.bytes - 1] = ODA_TRAILER;
	return code != 0 ? code : sign(s, x, ret);
}

/* Key from x on, room bytes; the rest of it into the remainder. */
static void key_put(const struct oda_key *key, uint8_t *x, size_t room, struct oda_certificate *ret)
{
	size_t inside = key->bytes < room ? key->bytes : room;

	memset(x, ODA_PAD, room);
	memcpy(x, key->modulus, inside);
	ret->remainder_bytes = key->bytes - inside;
	memcpy(ret->remainder, key->modulus + inside, ret->remainder_bytes);
	ret->exponent_bytes = oda_exponent_put(key->exponent, ret->exponent);
}

int oda_make_issuer(const struct oda_signer *ca, const uint8_t id[4], const uint8_t mmyy[2], const uint8_t serial[3], const struct oda_key *issuer,
		    struct oda_certificate *ret)
{
	uint8_t x[ODA_KEY_BYTES_MAX] = { 0 };
	struct oda_certificate c = { .n = ca->key.bytes };
	int code;

	memcpy(x + 2, id, 4);
	memcpy(x + 6, mmyy, 2);
	memcpy(x + 8, serial, 3);
	x[11] = ODA_HASH_SHA1;
	x[12] = ODA_RSA;
	x[13] = (uint8_t)issuer->bytes;
	key_put(issuer, x + 15, ca->key.bytes - 36, &c);
	x[14] = (uint8_t)c.exponent_bytes;
	code = seal(ca, ODA_FORMAT_ISSUER, x, (struct oda_bytes[]){ { c.remainder, c.remainder_bytes }, { c.exponent, c.exponent_bytes } }, 2, c.p);
	if (code == 0)
		*ret = c;
	return code;
}

int oda_make_card(const struct oda_signer *issuer, const uint8_t pan[10], const uint8_t mmyy[2], const uint8_t serial[3], const struct oda_key *card,
		  struct oda_bytes static_data, struct oda_certificate *ret)
{
	uint8_t x[ODA_KEY_BYTES_MAX] = { 0 };
	struct oda_certificate c = { .n = issuer->key.bytes };
	int code;

	memcpy(x + 2, pan, 10);
	memcpy(x + 12, mmyy, 2);
	memcpy(x + 14, serial, 3);
	x[17] = ODA_HASH_SHA1;
	x[18] = ODA_RSA;
	x[19] = (uint8_t)card->bytes;
	key_put(card, x + 21, issuer->key.bytes - 42, &c);
	x[20] = (uint8_t)c.exponent_bytes;
	code = seal(issuer, ODA_FORMAT_CARD, x, (struct oda_bytes[]){ { c.remainder, c.remainder_bytes }, { c.exponent, c.exponent_bytes }, static_data }, 3, c.p);
	if (code == 0)
		*ret = c;
	return code;
}

int oda_make_static(const struct oda_signer *issuer, const uint8_t code[2], struct oda_bytes static_data, uint8_t *ret)
{
	uint8_t x[ODA_KEY_BYTES_MAX] = { 0 };

	x[2] = ODA_HASH_SHA1;
	memcpy(x + 3, code, 2);
	memset(x + 5, ODA_PAD, issuer->key.bytes - 26);
	return seal(issuer, ODA_FORMAT_STATIC, x, &static_data, 1, ret);
}

int oda_make_dynamic(const struct oda_signer *card, struct oda_bytes dynamic, struct oda_bytes terminal_data, uint8_t *ret)
{
	uint8_t x[ODA_KEY_BYTES_MAX] = { 0 };

	if (dynamic.n > card->key.bytes - 25)
		return KEYS_E_FORMAT;
	x[2] = ODA_HASH_SHA1;
	x[3] = (uint8_t)dynamic.n;
	memcpy(x + 4, dynamic.p, dynamic.n);
	memset(x + 4 + dynamic.n, ODA_PAD, card->key.bytes - 25 - dynamic.n);
	return seal(card, ODA_FORMAT_DYNAMIC, x, &terminal_data, 1, ret);
}
