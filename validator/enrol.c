/*
 * enrol - requests for a device's certificate: made on the device, read at the centre. A PKCS#10 request of a fresh P-256
 * key whose subject is the device. The first carries, as challenge password, an HMAC of the new key under the enrolment
 * code, so that whoever sees the request cannot put another key in its place; a renewal has a second PEM block, the
 * signature of the key in use over the request.
 */
#include "validator/validator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";	/* Crockford's: none is mistaken for another */
static const char renewal_block[] = "QINGFEN RENEWAL", purpose[] = "qingfen enrol 1\n";
#define LETTERS_IN_CODE 20

/* ---- the code ------------------------------------------------------------------------------------- */

int enrol_code_new(char ret_code[ENROL_CODE_BYTES + 1])
{
	unsigned char random[LETTERS_IN_CODE];
	size_t n = 0;

	if (RAND_bytes(random, sizeof(random)) != 1)
		return KEYS_E_CRYPTO;
	for (size_t i = 0; i < LETTERS_IN_CODE; i++) {
		if (i > 0 && i % 4 == 0)
			ret_code[n++] = '-';
		ret_code[n++] = letters[random[i] & 31];
	}
	ret_code[n] = '\0';
	key_wipe(random, sizeof(random));
	return 0;
}

bool enrol_code_key(const char *code, uint8_t ret_key[ENROL_PROOF_BYTES])
{
	char text[sizeof(purpose) + LETTERS_IN_CODE];
	size_t n = sizeof(purpose) - 1, end = n + LETTERS_IN_CODE;
	bool good = true;

	memcpy(text, purpose, n);
	for (; *code != '\0' && *code != '\r' && *code != '\n'; code++) {
		char c = *code >= 'a' && *code <= 'z' ? (char)(*code - 'a' + 'A') : *code;

		if (c == '-' || c == ' ')
			continue;
		good = good && n < end && strchr(letters, c) != NULL;
		if (good)
			text[n++] = c;
	}
	good = good && n == end && digest_sha256(text, end, ret_key) == 0;
	key_wipe(text, sizeof(text));
	return good;
}

/* ---- PEM text ----------------------------------------------------------------------------------------- */

static char *text_of(BIO *b)
{
	char *from, *text;
	long n = BIO_get_mem_data(b, &from);

	text = n < 0 ? NULL : malloc((size_t)n + 1);
	if (text != NULL) {
		memcpy(text, from, (size_t)n);
		text[n] = '\0';
	}
	return text;
}

static EVP_PKEY *key_of(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = b != NULL ? PEM_read_bio_PrivateKey(b, NULL, NULL, (void *)(uintptr_t)"") : NULL;

	BIO_free(b);
	ERR_clear_error();
	return key;
}

static X509 *certificate_of(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509 *cert = b != NULL ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;

	BIO_free(b);
	ERR_clear_error();
	return cert;
}

int enrol_key_new(char **ret_key)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *b = BIO_new(BIO_s_secmem());
	char *text = NULL;

	if (key != NULL && b != NULL && PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1)
		text = text_of(b);
	EVP_PKEY_free(key);
	BIO_free(b);
	if (text == NULL)
		return KEYS_E_CRYPTO;
	*ret_key = text;
	return 0;
}

/* ---- making ------------------------------------------------------------------------------------------- */

static bool proof_of(const uint8_t *key, size_t n, const char *device, const uint8_t code_key[ENROL_PROOF_BYTES], uint8_t ret[ENROL_PROOF_BYTES])
{
	uint8_t both[512];
	unsigned bytes = 0;
	size_t d = strlen(device);

	if (n + d > sizeof(both))
		return false;
	memcpy(both, key, n);
	memcpy(both + n, device, d);
	return HMAC(EVP_sha256(), code_key, ENROL_PROOF_BYTES, both, n + d, ret, &bytes) != NULL && bytes == ENROL_PROOF_BYTES;
}

static bool proof_add(X509_REQ *r, EVP_PKEY *key, const char *device, const uint8_t code_key[ENROL_PROOF_BYTES])
{
	char hex[2 * ENROL_PROOF_BYTES + 1];
	uint8_t proof[ENROL_PROOF_BYTES];
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(key, &der);
	bool good = n > 0 && proof_of(der, (size_t)n, device, code_key, proof);

	OPENSSL_free(der);
	hex_encode(proof, sizeof(proof), hex);
	return good && X509_REQ_add1_attr_by_NID(r, NID_pkcs9_challengePassword, MBSTRING_ASC, (const unsigned char *)hex, (int)strlen(hex)) == 1;
}

static X509_REQ *request_build(const char *device, EVP_PKEY *key, const uint8_t *code_key)
{
	X509_REQ *r = X509_REQ_new();

	if (r != NULL && X509_REQ_set_version(r, X509_REQ_VERSION_1) == 1 &&
	    X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(r), NID_commonName, MBSTRING_UTF8, (const unsigned char *)device, -1, -1, 0) == 1 &&
	    X509_REQ_set_pubkey(r, key) == 1 && (code_key == NULL || proof_add(r, key, device, code_key)) && X509_REQ_sign(r, key, EVP_sha256()) > 0)
		return r;
	X509_REQ_free(r);
	return NULL;
}

static bool sign(EVP_PKEY *key, const uint8_t *p, size_t n, uint8_t *ret, size_t *ret_bytes)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 && EVP_DigestSign(ctx, ret, ret_bytes, p, n) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

static bool renewal_write(BIO *b, X509_REQ *r, EVP_PKEY *in_use)
{
	uint8_t signature[256];
	size_t bytes = sizeof(signature);
	unsigned char *der = NULL;
	int n = i2d_X509_REQ(r, &der);
	bool good = n > 0 && sign(in_use, der, (size_t)n, signature, &bytes) && PEM_write_bio(b, renewal_block, "", signature, (long)bytes) > 0;

	OPENSSL_free(der);
	return good;
}

static int request_text(const char *device, const char *key_text, const uint8_t *code_key, const char *in_use_text, char **ret)
{
	EVP_PKEY *key = key_of(key_text), *in_use = in_use_text != NULL ? key_of(in_use_text) : NULL;
	X509_REQ *r = key != NULL ? request_build(device, key, code_key) : NULL;
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;

	if (r != NULL && b != NULL && PEM_write_bio_X509_REQ(b, r) == 1 && (in_use_text == NULL || (in_use != NULL && renewal_write(b, r, in_use))))
		text = text_of(b);
	BIO_free(b);
	X509_REQ_free(r);
	EVP_PKEY_free(in_use);
	EVP_PKEY_free(key);
	ERR_clear_error();
	if (text == NULL)
		return KEYS_E_CRYPTO;
	*ret = text;
	return 0;
}

int enrol_request_new(const char *device, const char *key, const uint8_t code_key[ENROL_PROOF_BYTES], char **ret_request)
{
	return request_text(device, key, code_key, NULL, ret_request);
}

int enrol_renewal_new(const char *device, const char *key, const char *key_in_use, char **ret_request)
{
	return request_text(device, key, NULL, key_in_use, ret_request);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static bool is_p256(EVP_PKEY *key)
{
	char group[32] = "";
	size_t n = 0;

	return key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, group, sizeof(group), &n) == 1 &&
	       strcmp(group, "prime256v1") == 0;
}

static void proof_read(X509_REQ *r, struct enrol_request *ret)
{
	int at = X509_REQ_get_attr_by_NID(r, NID_pkcs9_challengePassword, -1);
	X509_ATTRIBUTE *attribute = at >= 0 ? X509_REQ_get_attr(r, at) : NULL;
	const ASN1_TYPE *value = attribute != NULL ? X509_ATTRIBUTE_get0_type(attribute, 0) : NULL;
	char hex[2 * ENROL_PROOF_BYTES + 1] = "";

	if (value == NULL || (value->type != V_ASN1_PRINTABLESTRING && value->type != V_ASN1_UTF8STRING && value->type != V_ASN1_IA5STRING) ||
	    ASN1_STRING_length(value->value.asn1_string) != 2 * ENROL_PROOF_BYTES)
		return;
	memcpy(hex, ASN1_STRING_get0_data(value->value.asn1_string), 2 * ENROL_PROOF_BYTES);
	ret->proves = hex_decode(hex, ret->proof, ENROL_PROOF_BYTES);
}

/* Name and key of a request that is signed with its own key. */
static const char *subject_read(X509_REQ *r, struct enrol_request *ret)
{
	char name[DEVICE_BYTES_MAX + 2];
	int n = X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(r), NID_commonName, name, sizeof(name));
	EVP_PKEY *key = X509_REQ_get0_pubkey(r);
	unsigned char *der = NULL;

	if (n < 1 || n > DEVICE_BYTES_MAX || strlen(name) != (size_t)n)
		return "the request names no device";
	if (!is_p256(key))
		return "the request's key is not of P-256";
	if (X509_REQ_verify(r, key) != 1)
		return "the request is not signed with its own key";
	memcpy(ret->device, name, (size_t)n + 1);
	n = i2d_PUBKEY(key, &der);
	ret->key = der;
	ret->key_bytes = n > 0 ? (size_t)n : 0;
	der = NULL;
	n = i2d_X509_REQ(r, &der);
	ret->der = der;
	ret->der_bytes = n > 0 ? (size_t)n : 0;
	proof_read(r, ret);
	return ret->key != NULL && ret->der != NULL ? NULL : "out of memory";
}

static void renewal_read(BIO *b, struct enrol_request *ret)
{
	char *name = NULL, *header = NULL;
	unsigned char *p = NULL;
	long n = 0;

	if (PEM_read_bio(b, &name, &header, &p, &n) == 1 && strcmp(name, renewal_block) == 0 && n > 0) {
		ret->signature = p;
		ret->signature_bytes = (size_t)n;
		p = NULL;
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(p);
}

const char *enrol_request_read(const char *text, size_t n, struct enrol_request *ret_request)
{
	struct enrol_request got = { 0 };
	BIO *b = n <= ENROL_REQUEST_BYTES_MAX ? BIO_new_mem_buf(text, (int)n) : NULL;
	X509_REQ *r = b != NULL ? PEM_read_bio_X509_REQ(b, NULL, NULL, NULL) : NULL;
	const char *why = n > ENROL_REQUEST_BYTES_MAX ? "more than 4096 bytes" : r == NULL ? "not a certificate request in PEM" : subject_read(r, &got);

	if (why == NULL)
		renewal_read(b, &got);
	X509_REQ_free(r);
	BIO_free(b);
	ERR_clear_error();
	if (why == NULL)
		*ret_request = got;
	else
		enrol_request_done(&got);
	return why;
}

void enrol_request_done(struct enrol_request *r)
{
	OPENSSL_free(r->key);
	OPENSSL_free(r->der);
	OPENSSL_free(r->signature);
	*r = (struct enrol_request){ 0 };
}

bool enrol_proved(const struct enrol_request *r, const uint8_t code_key[ENROL_PROOF_BYTES])
{
	uint8_t proof[ENROL_PROOF_BYTES];

	return r->proves && proof_of(r->key, r->key_bytes, r->device, code_key, proof) && mac_equal(proof, r->proof, sizeof(proof));
}

bool enrol_renews(const struct enrol_request *r, const char *certificate)
{
	X509 *cert = r->signature != NULL ? certificate_of(certificate) : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = cert != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, X509_get0_pubkey(cert)) == 1 &&
		    EVP_DigestVerify(ctx, r->signature, r->signature_bytes, r->der, r->der_bytes) == 1;

	EVP_MD_CTX_free(ctx);
	X509_free(cert);
	ERR_clear_error();
	return good;
}

const char *enrol_certificate_fits(const char *certificate, const char *key, const char *device, int64_t at_ms, int64_t *ret_end_ms)
{
	X509 *cert = certificate_of(certificate);
	EVP_PKEY *pair = key_of(key);
	char name[DEVICE_BYTES_MAX + 2] = "";
	time_t at = (time_t)(at_ms / 1000);
	const char *why = NULL;
	struct tm end;

	if (cert == NULL || pair == NULL)
		why = cert == NULL ? "the certificate cannot be read" : "the key cannot be read";
	else if (X509_check_private_key(cert, pair) != 1)
		why = "the certificate is not of this key";
	else if (X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof(name)) < 1 || strcmp(name, device) != 0)
		why = "the certificate is of another device";
	else if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) != 1 || X509_cmp_time(X509_get0_notAfter(cert), &at) < 0)
		why = "the certificate has expired";
	if (why == NULL)
		*ret_end_ms = (int64_t)timegm(&end) * 1000;
	X509_free(cert);
	EVP_PKEY_free(pair);
	ERR_clear_error();
	return why;
}
