/*
 * sm2 - SM2 key pairs and raw r|s signatures over SM3 with the default distinguishing id. Raw, because
 * CMS with an SM2 key fails in OpenSSL 3.0; and because the QR code carries r and s as they are.
 */
#include "keys/sm2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>

static char default_id[] = "1234567812345678";

struct qr_key {
	EVP_PKEY *pkey;
	uint8_t point[65];
};

EVP_PKEY *sm2_public(const uint8_t *point, size_t n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "SM2", NULL);
	EVP_PKEY *pkey = NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char[]){ "SM2" }, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point, n),
		OSSL_PARAM_construct_end(),
	};

	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static int signing_context(EVP_MD_CTX *ctx, EVP_PKEY *pkey, bool sign)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_DIST_ID, default_id, sizeof(default_id) - 1),
		OSSL_PARAM_construct_end(),
	};

	EVP_PKEY_CTX *pkey_ctx = NULL;
	int good = sign ? EVP_DigestSignInit_ex(ctx, &pkey_ctx, "SM3", NULL, NULL, pkey, NULL)
			: EVP_DigestVerifyInit_ex(ctx, &pkey_ctx, "SM3", NULL, NULL, pkey, NULL);

	/* The id is set after the start: up to 3.0.19 OpenSSL refuses it among the parameters of the start. */
	return good == 1 ? EVP_PKEY_CTX_set_params(pkey_ctx, params) : good;
}

bool sm2_verify_key(EVP_PKEY *pkey, const void *p, size_t n, const uint8_t sig[64])
{
	ECDSA_SIG *s = ECDSA_SIG_new();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	BIGNUM *r_part = BN_bin2bn(sig, 32, NULL), *s_part = BN_bin2bn(sig + 32, 32, NULL);
	unsigned char *der = NULL;
	bool good = false;
	int der_bytes;

	if (s == NULL || ctx == NULL || r_part == NULL || s_part == NULL || ECDSA_SIG_set0(s, r_part, s_part) != 1)
		goto out;
	r_part = s_part = NULL;
	der_bytes = i2d_ECDSA_SIG(s, &der);
	if (der_bytes > 0 && signing_context(ctx, pkey, false) == 1)
		good = EVP_DigestVerify(ctx, der, (size_t)der_bytes, p, n) == 1;
out:
	BN_free(r_part);
	BN_free(s_part);
	OPENSSL_free(der);
	ECDSA_SIG_free(s);
	EVP_MD_CTX_free(ctx);
	return good;
}

bool sm2_verify(const uint8_t point[65], const void *p, size_t n, const uint8_t sig[64])
{
	EVP_PKEY *pkey = sm2_public(point, 65);
	bool good = pkey != NULL && sm2_verify_key(pkey, p, n, sig);

	EVP_PKEY_free(pkey);
	return good;
}

int sm2_sign(const struct qr_key *key, const void *p, size_t n, uint8_t ret_sig[64])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[80];
	const uint8_t *q = der;
	size_t der_bytes = sizeof(der);
	ECDSA_SIG *s = NULL;
	int ret = KEYS_E_CRYPTO;

	if (ctx == NULL || signing_context(ctx, key->pkey, true) != 1 || EVP_DigestSign(ctx, der, &der_bytes, p, n) != 1)
		goto out;
	s = d2i_ECDSA_SIG(NULL, &q, (long)der_bytes);
	if (s == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(s), ret_sig, 32) != 32 || BN_bn2binpad(ECDSA_SIG_get0_s(s), ret_sig + 32, 32) != 32)
		goto out;
	ret = 0;
out:
	ECDSA_SIG_free(s);
	EVP_MD_CTX_free(ctx);
	return ret;
}

static int key_of_number(const BIGNUM *d, struct qr_key **ret_key)
{
	struct qr_key *key = calloc(1, sizeof(*key));
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_sm2);
	EC_POINT *point = group != NULL ? EC_POINT_new(group) : NULL;
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "SM2", NULL);
	int ret = KEYS_E_CRYPTO;

	if (key == NULL || point == NULL || build == NULL || ctx == NULL)
		goto out;
	if (EC_POINT_mul(group, point, d, NULL, NULL, NULL) != 1 ||
	    EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, key->point, 65, NULL) != 65)
		goto out;
	if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "SM2", 0) != 1 ||
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, d) != 1 ||
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, key->point, 65) != 1)
		goto out;
	params = OSSL_PARAM_BLD_to_param(build);
	if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key->pkey, EVP_PKEY_KEYPAIR, params) != 1)
		goto out;
	*ret_key = key;
	key = NULL;
	ret = 0;
out:
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	EC_POINT_free(point);
	EC_GROUP_free(group);
	qr_key_free(key);
	return ret;
}

int qr_key_of_secret(const uint8_t d[32], struct qr_key **ret_key)
{
	BIGNUM *number = BN_secure_new();
	int ret = KEYS_E_CRYPTO;

	if (number != NULL && BN_bin2bn(d, 32, number) != NULL && !BN_is_zero(number))
		ret = key_of_number(number, ret_key);
	BN_clear_free(number);
	return ret;
}

int qr_key_new(struct qr_key **ret_key)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_sm2);
	BIGNUM *d = BN_secure_new(), *bound = group != NULL ? BN_dup(EC_GROUP_get0_order(group)) : NULL;
	int ret = KEYS_E_CRYPTO;

	/* 1 <= d < order - 1, as SM2 asks */
	if (d != NULL && bound != NULL && BN_sub_word(bound, 2) == 1 && BN_priv_rand_range(d, bound) == 1 && BN_add_word(d, 1) == 1)
		ret = key_of_number(d, ret_key);
	BN_clear_free(d);
	BN_free(bound);
	EC_GROUP_free(group);
	return ret;
}

void qr_key_free(struct qr_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

void qr_key_point(const struct qr_key *key, uint8_t ret_point[65]) { memcpy(ret_point, key->point, 65); }

void qr_key_compressed(const struct qr_key *key, uint8_t ret_point[33])
{
	ret_point[0] = 0x02 | (key->point[64] & 1);
	memcpy(ret_point + 1, key->point + 1, 32);
}
