/*
 * device_ca - the keys and signatures of a device CA: its own certificate, those of devices, and revocation lists. ECDSA
 * on P-256 with SHA-256, as TLS 1.3 stacks of validators have it. The CA's key lies encrypted (PKCS #8, scrypt, AES-256)
 * under the first line of a passphrase file.
 */
#include "tools/device.h"
#include "tools/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define SCRYPT_N 16384		/* 16 MiB with r 8, the most OpenSSL takes by itself */
#define BACK_DATED_S 300	/* clocks of vehicles are not exact */
#define CA_DAYS 3650

struct device_ca { X509 *cert; EVP_PKEY *key; };

static int crypto_failed(const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	complain("%s: %s", what, why != NULL ? why : "failed");
	ERR_clear_error();
	return EXIT_STORE;
}

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

static int passphrase_read(const struct device_options *o, char ret[PASSPHRASE_BYTES])
{
	if (o->passphrase_file == NULL) {
		complain("--passphrase-file is needed: its first line opens the CA's key");
		return EXIT_USAGE;
	}
	if (line_read(o->passphrase_file, ret, PASSPHRASE_BYTES) == 0 && ret[0] != '\0')
		return EXIT_OK;
	complain("%s: a file with a passphrase in its first line is needed", o->passphrase_file);
	return EXIT_CONFIG;
}

/* ---- what certificates have in common ---------------------------------------------------------------- */

static bool extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;
	bool good;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = e != NULL && X509_add_ext(cert, e, -1) == 1;
	X509_EXTENSION_free(e);
	return good;
}

static bool serial_set(X509 *cert, char ret_text[SERIAL_TEXT_BYTES + 1])
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *n = NULL;
	bool good = RAND_bytes(bytes, sizeof(bytes)) == 1;

	bytes[0] = (uint8_t)(bytes[0] & 0x7F) | 0x40;		/* positive, and of one length */
	hex_encode(bytes, sizeof(bytes), ret_text);
	n = good ? BN_bin2bn(bytes, sizeof(bytes), NULL) : NULL;
	good = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
	BN_free(n);
	return good;
}

static bool times_set(X509 *cert, int64_t now_ms, int64_t until_ms)
{
	time_t from = (time_t)(now_ms / 1000) - BACK_DATED_S, until = (time_t)(until_ms / 1000);

	return ASN1_TIME_set(X509_getm_notBefore(cert), from) != NULL && ASN1_TIME_set(X509_getm_notAfter(cert), until) != NULL;
}

static char *certificate_text(X509 *cert)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *pem = b != NULL && PEM_write_bio_X509(b, cert) == 1 ? text_of(b) : NULL;

	BIO_free(b);
	return pem;
}

/* ---- the CA itself -------------------------------------------------------------------------------------- */

static X509 *authority_build(const char *name, EVP_PKEY *key, int64_t until_ms)
{
	X509 *cert = X509_new();
	char serial[SERIAL_TEXT_BYTES + 1];
	X509_NAME *subject = cert != NULL ? X509_get_subject_name(cert) : NULL;

	if (cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && serial_set(cert, serial) && times_set(cert, device_now_ms(), until_ms) &&
	    X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1 &&
	    X509_set_issuer_name(cert, subject) == 1 && X509_set_pubkey(cert, key) == 1 &&
	    extension_add(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	    extension_add(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") && extension_add(cert, cert, NID_subject_key_identifier, "hash") &&
	    X509_sign(cert, key, EVP_sha256()) > 0)
		return cert;
	X509_free(cert);
	return NULL;
}

static int key_put(const char *path, EVP_PKEY *key, const char *passphrase)
{
	PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(key);
	X509_ALGOR *by = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, SCRYPT_N, 8, 1);
	X509_SIG *sealed = plain != NULL && by != NULL ? PKCS8_set0_pbe(passphrase, (int)strlen(passphrase), plain, by) : NULL;
	BIO *b = BIO_new(BIO_s_mem());
	char *text = sealed != NULL && b != NULL && PEM_write_bio_PKCS8(b, sealed) == 1 ? text_of(b) : NULL;
	int ret = text == NULL ? -EIO : device_file_put(path, text, strlen(text), 0600);

	if (sealed == NULL)
		X509_ALGOR_free(by);	/* else the sealed key's */
	PKCS8_PRIV_KEY_INFO_free(plain);
	X509_SIG_free(sealed);
	BIO_free(b);
	free(text);
	return ret;
}

int ca_make(const struct device_options *o, char **ret_pem)
{
	char passphrase[PASSPHRASE_BYTES] = "", path[PATH_MAX], *pem = NULL;
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int ret = passphrase_read(o, passphrase);

	if (ret == EXIT_OK) {
		key = EVP_EC_gen("P-256");
		cert = key != NULL ? authority_build(o->name, key, device_now_ms() + (int64_t)CA_DAYS * 86400000) : NULL;
		pem = cert != NULL ? certificate_text(cert) : NULL;
		ret = pem != NULL ? EXIT_OK : crypto_failed("the CA's certificate");
	}
	device_path(o, "ca.key", path);
	if (ret == EXIT_OK && key_put(path, key, passphrase) != 0)
		ret = crypto_failed(path);
	device_path(o, "ca.crt", path);
	if (ret == EXIT_OK && device_file_put(path, pem, strlen(pem), 0644) != 0)
		ret = crypto_failed(path);
	key_wipe(passphrase, sizeof(passphrase));
	X509_free(cert);
	EVP_PKEY_free(key);
	if (ret == EXIT_OK)
		*ret_pem = pem;
	else
		free(pem);
	return ret;
}

void ca_close(struct device_ca *ca)
{
	if (ca == NULL)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca);
}

static BIO *file_bio(const struct device_options *o, const char *name, char ret_path[PATH_MAX])
{
	device_path(o, name, ret_path);
	return BIO_new_file(ret_path, "r");
}

int ca_open(const struct device_options *o, struct device_ca **ret_ca)
{
	struct device_ca *ca = calloc(1, sizeof(*ca));
	char passphrase[PASSPHRASE_BYTES] = "", path[PATH_MAX];
	int ret = ca == NULL ? EXIT_STORE : passphrase_read(o, passphrase);
	BIO *b;

	if (ret == EXIT_OK) {
		b = file_bio(o, "ca.crt", path);
		ca->cert = b != NULL ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
		BIO_free(b);
		ret = ca->cert != NULL ? EXIT_OK : crypto_failed(path);
	}
	if (ret == EXIT_OK) {
		b = file_bio(o, "ca.key", path);
		ca->key = b != NULL ? PEM_read_bio_PrivateKey(b, NULL, NULL, passphrase) : NULL;
		BIO_free(b);
		if (ca->key == NULL || X509_check_private_key(ca->cert, ca->key) != 1) {
			complain("%s: the passphrase does not open it, or it is not the key of ca.crt", path);
			ret = EXIT_CONFIG;
		}
	}
	ERR_clear_error();
	key_wipe(passphrase, sizeof(passphrase));
	if (ret == EXIT_OK)
		*ret_ca = ca;
	else
		ca_close(ca);
	return ret;
}

/* ---- certificates of devices ------------------------------------------------------------------------------ */

static bool request_key_set(X509 *cert, const struct enrol_request *request)
{
	const unsigned char *p = request->key;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)request->key_bytes);
	bool good = key != NULL && X509_set_pubkey(cert, key) == 1;

	EVP_PKEY_free(key);
	return good;
}

static bool device_fill(const struct device_ca *ca, X509 *cert, const struct device_cert *c)
{
	char uri[DEVICE_URI_BYTES + 1], names[sizeof(uri) + 4];
	X509_NAME *subject = X509_get_subject_name(cert);

	device_uri_format(c->terminal, c->psam, uri);
	snprintf(names, sizeof(names), "URI:%s", uri);
	return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, (const unsigned char *)c->device, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1 && extension_add(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
	       extension_add(cert, ca->cert, NID_key_usage, "critical,digitalSignature") && extension_add(cert, ca->cert, NID_ext_key_usage, "clientAuth") &&
	       extension_add(cert, ca->cert, NID_subject_alt_name, names) && extension_add(cert, ca->cert, NID_subject_key_identifier, "hash") &&
	       extension_add(cert, ca->cert, NID_authority_key_identifier, "keyid:always");
}

/* The CA's own end, ms: no certificate outlives it. */
static int64_t end_of(const struct device_ca *ca)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(ca->cert), &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

int ca_issue(struct device_ca *ca, const struct enrol_request *request, int days, struct device_cert *cert)
{
	X509 *x = X509_new();
	char *pem = NULL;

	cert->from_ms = device_now_ms();
	cert->until_ms = cert->from_ms + (int64_t)days * 86400000;
	if (cert->until_ms > end_of(ca))
		cert->until_ms = end_of(ca);
	if (x != NULL && X509_set_version(x, X509_VERSION_3) == 1 && serial_set(x, cert->serial) && times_set(x, cert->from_ms, cert->until_ms) &&
	    request_key_set(x, request) && device_fill(ca, x, cert) && X509_sign(x, ca->key, EVP_sha256()) > 0)
		pem = certificate_text(x);
	X509_free(x);
	if (pem == NULL)
		return crypto_failed("the certificate");
	cert->pem = pem;
	return EXIT_OK;
}

bool ca_has_key(const char *pem, const struct enrol_request *request)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509 *cert = b != NULL ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
	unsigned char *der = NULL;
	int n = cert != NULL ? i2d_PUBKEY(X509_get0_pubkey(cert), &der) : 0;
	bool same = n > 0 && (size_t)n == request->key_bytes && memcmp(der, request->key, (size_t)n) == 0;

	OPENSSL_free(der);
	X509_free(cert);
	BIO_free(b);
	ERR_clear_error();
	return same;
}

/* ---- revocation lists ---------------------------------------------------------------------------------------- */

bool ca_reason(const char *name, int *ret_code)
{
	static const struct { const char *name; int code; } reasons[] = { { "unspecified", 0 }, { "key-compromise", 1 }, { "superseded", 4 }, { "cessation", 5 } };

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (strcmp(reasons[i].name, name) == 0) {
			if (ret_code != NULL)
				*ret_code = reasons[i].code;
			return true;
		}
	return false;
}

static bool revoked_add(X509_CRL *crl, const struct device_cert *c)
{
	X509_REVOKED *row = X509_REVOKED_new();
	ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
	ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)(c->revoked_ms / 1000));
	ASN1_INTEGER *serial = NULL;
	BIGNUM *n = NULL;
	int code = 0;
	bool good = row != NULL && reason != NULL && at != NULL && BN_hex2bn(&n, c->serial) == SERIAL_TEXT_BYTES;

	ca_reason(c->reason, &code);
	serial = good ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
	good = serial != NULL && X509_REVOKED_set_serialNumber(row, serial) == 1 && X509_REVOKED_set_revocationDate(row, at) == 1 &&
	       ASN1_ENUMERATED_set(reason, code) == 1 && (code == 0 || X509_REVOKED_add1_ext_i2d(row, NID_crl_reason, reason, 0, 0) == 1) &&
	       X509_CRL_add0_revoked(crl, row) == 1;
	if (!good)
		X509_REVOKED_free(row);
	ASN1_ENUMERATED_free(reason);
	ASN1_INTEGER_free(serial);
	ASN1_TIME_free(at);
	BN_free(n);
	return good;
}

static bool list_head(struct device_ca *ca, X509_CRL *crl, uint64_t number, int64_t next_ms)
{
	ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)(device_now_ms() / 1000)), *until = ASN1_TIME_set(NULL, (time_t)(next_ms / 1000));
	ASN1_INTEGER *n = ASN1_INTEGER_new();
	X509_EXTENSION *authority = NULL;
	X509V3_CTX ctx;
	bool good;

	X509V3_set_ctx(&ctx, ca->cert, NULL, NULL, crl, 0);
	authority = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
	good = from != NULL && until != NULL && n != NULL && authority != NULL && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
	       X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert)) == 1 && X509_CRL_set1_lastUpdate(crl, from) == 1 &&
	       X509_CRL_set1_nextUpdate(crl, until) == 1 && ASN1_INTEGER_set_uint64(n, number) == 1 &&
	       X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, 0) == 1 && X509_CRL_add_ext(crl, authority, -1) == 1;
	X509_EXTENSION_free(authority);
	ASN1_INTEGER_free(n);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	return good;
}

int ca_list(struct device_ca *ca, const struct device_register *r, uint64_t number, int64_t next_ms, char **ret_pem)
{
	X509_CRL *crl = X509_CRL_new();
	BIO *b = BIO_new(BIO_s_mem());
	bool good = crl != NULL && b != NULL && list_head(ca, crl, number, next_ms);
	char *pem = NULL;

	for (size_t i = 0; good && i < r->certs; i++)
		if (r->cert[i].revoked_ms != 0 && r->cert[i].until_ms > device_now_ms())
			good = revoked_add(crl, &r->cert[i]);
	if (good && X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0 && PEM_write_bio_X509_CRL(b, crl) == 1)
		pem = text_of(b);
	X509_CRL_free(crl);
	BIO_free(b);
	if (pem == NULL)
		return crypto_failed("the revocation list");
	*ret_pem = pem;
	return EXIT_OK;
}
