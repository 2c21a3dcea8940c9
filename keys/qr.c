/*
 * qr - the T-Union QR payload: parse, verify, and make (for the simulated code platform).
 *
 * Three SM2 signatures stand behind a code: the CA's over the issuer certificate, the issuer's over the
 * authorisation, the user's over the code of this moment. Certificates and authorisations repeat, so
 * each verifier remembers the ones it found good: a code seen in a queue costs one verification.
 * Byte layout and signed ranges: docs/keys.md.
 */
#include "keys/sm2.h"

#include "keys/octets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CERT_BYTES 117
#define SIG_BYTES 65
#define SIG_MARK 0x15
#define FIXED_BYTES 332
/* offsets in the payload */
enum { OFF_LENGTH = 1, OFF_CERT = 3, OFF_PAY = 120, OFF_PAN = 136, OFF_ISSUER = 146, OFF_PLATFORM = 150, OFF_TYPE = 154,
	OFF_LIMIT = 155, OFF_USER_KEY = 158, OFF_EXPIRY = 191, OFF_VALIDITY = 195, OFF_CUSTOM_BYTES = 197, OFF_CUSTOM = 198 };
/* offsets in the certificate */
enum { CERT_CA_INDEX = 5, CERT_FORMAT = 6, CERT_ISSUER = 7, CERT_EXPIRY = 11, CERT_SERIAL = 13, CERT_KEY_BYTES = 19, CERT_KEY = 20, CERT_SIG = 53 };

#define CA_MAX 16
#define CERT_CACHE 16
#define AUTH_CACHE 4096		/* direct mapped; 128 KiB a thread */

struct qr_verifier {
	struct { bool used; EVP_PKEY *key; } ca[256];
	struct { bool used; uint8_t cert[CERT_BYTES]; EVP_PKEY *key; } cert[CERT_CACHE];
	unsigned cert_next;
	uint8_t auth[AUTH_CACHE][DIGEST_BYTES];
};

/* Head of the record and service number: the only bytes of a certificate, with the CA's index, that no signature of
 * the CA covers. */
static const uint8_t cert_head[] = { 0x24, 0x01, 0x01, 0x00, 0x00 };

static const char *parse_fault(const uint8_t *p, size_t n)
{
	if (n < FIXED_BYTES)
		return "shorter than 332 bytes";
	if (be_read(p + OFF_LENGTH, 2) != n - 3)
		return "length field does not match";
	if (n != (size_t)FIXED_BYTES + p[OFF_CUSTOM_BYTES])
		return "custom data length does not match";
	if (memcmp(p + OFF_CERT, cert_head, sizeof(cert_head)) != 0 || p[OFF_CERT + CERT_FORMAT] != 0x12 || p[OFF_CERT + CERT_KEY_BYTES] != 0x21)
		return "issuer certificate has another layout";
	if (!bcd_valid(p + OFF_PAN, 10) || !bcd_valid(p + OFF_ISSUER, 8))
		return "account or institution number is not BCD";
	for (size_t i = 0; i < 16; i++)
		if (p[OFF_PAY + i] < 0x20 || p[OFF_PAY + i] > 0x7E)
			return "payment account is not ASCII";
	return NULL;
}

bool qr_parse(const uint8_t *p, size_t n, struct qr_code *ret_code, const char **ret_reason)
{
	const char *fault = parse_fault(p, n);
	const uint8_t *tail;

	if (fault != NULL) {
		*ret_reason = fault;
		return false;
	}
	tail = p + OFF_CUSTOM + p[OFF_CUSTOM_BYTES] + SIG_BYTES;
	*ret_code = (struct qr_code){
		.version = p[0], .ca_index = p[OFF_CERT + CERT_CA_INDEX], .account_type = p[OFF_TYPE],
		.ride_limit_fen = be_read(p + OFF_LIMIT, 3), .auth_expiry_s = be_read(p + OFF_EXPIRY, 4),
		.validity_s = (uint16_t)be_read(p + OFF_VALIDITY, 2), .generated_s = be_read(tail, 4),
		.custom = p + OFF_CUSTOM, .custom_bytes = p[OFF_CUSTOM_BYTES],
	};
	memcpy(ret_code->cert_issuer, p + OFF_CERT + CERT_ISSUER, 4);
	memcpy(ret_code->pay_account, p + OFF_PAY, 16);
	memcpy(ret_code->pan, p + OFF_PAN, 10);
	memcpy(ret_code->issuer, p + OFF_ISSUER, 4);
	memcpy(ret_code->platform, p + OFF_PLATFORM, 4);
	memcpy(ret_code->user_key, p + OFF_USER_KEY, 33);
	return true;
}

int qr_verifier_new(struct qr_verifier **ret_verifier)
{
	struct qr_verifier *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return -ENOMEM;
	*ret_verifier = v;
	return 0;
}

void qr_verifier_free(struct qr_verifier *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < 256; i++)
		EVP_PKEY_free(v->ca[i].key);
	for (size_t i = 0; i < CERT_CACHE; i++)
		EVP_PKEY_free(v->cert[i].key);
	free(v);
}

int qr_verifier_add_ca(struct qr_verifier *v, uint8_t index, const uint8_t point[65])
{
	EVP_PKEY *key = sm2_public(point, 65);

	if (key == NULL)
		return KEYS_E_FORMAT;
	EVP_PKEY_free(v->ca[index].key);
	v->ca[index].key = key;
	v->ca[index].used = true;
	return 0;
}

int qr_verifier_load_ca(struct qr_verifier *v, const char *path, char *ret_error, size_t error_bytes)
{
	FILE *f = fopen(path, "re");
	char line[256], hex[160];
	unsigned number = 0, index;
	int ret = 0;

	if (f == NULL) {
		snprintf(ret_error, error_bytes, "%s: cannot be opened", path);
		return -errno;
	}
	while (ret == 0 && fgets(line, sizeof(line), f) != NULL) {
		uint8_t point[65];

		number++;
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (sscanf(line, "%u %159s", &index, hex) != 2 || index > 255 || !hex_decode(hex, point, 65))
			ret = KEYS_E_FORMAT;
		else
			ret = qr_verifier_add_ca(v, (uint8_t)index, point);
		if (ret != 0)
			snprintf(ret_error, error_bytes, "%s:%u:1: \"index hex\" of a CA point 04|x|y on the SM2 curve is needed", path, number);
	}
	fclose(f);
	return ret;
}

/* Last second of the month MMYY; 0 when it is no month. */
static int64_t expiry_s(const uint8_t mmyy[2])
{
	unsigned month = (mmyy[0] >> 4) * 10u + (mmyy[0] & 15), year = (mmyy[1] >> 4) * 10u + (mmyy[1] & 15);
	struct mac_time first = { { 0x20, 0, 0, 0x01, 0, 0, 0 } };
	int64_t ms;

	if (!bcd_valid(mmyy, 2) || month < 1 || month > 12)
		return 0;
	year += month == 12;
	month = month % 12 + 1;
	first.bcd[1] = (uint8_t)(year / 10 << 4 | year % 10);
	first.bcd[2] = (uint8_t)(month / 10 << 4 | month % 10);
	return mac_time_to_ms(&first, &ms) ? ms / 1000 - 1 : 0;
}

static EVP_PKEY *cert_cached(const struct qr_verifier *v, const uint8_t *cert)
{
	for (size_t i = 0; i < CERT_CACHE; i++)
		if (v->cert[i].used && memcmp(v->cert[i].cert, cert, CERT_BYTES) == 0)
			return v->cert[i].key;
	return NULL;
}

static enum qr_verdict cert_verify(struct qr_verifier *v, const uint8_t *cert, int64_t at_s, EVP_PKEY **ret_key)
{
	EVP_PKEY *key = cert_cached(v, cert);
	unsigned slot = v->cert_next % CERT_CACHE;

	if (at_s > expiry_s(cert + CERT_EXPIRY))
		return QR_CERT_EXPIRED;
	if (key == NULL) {
		if (!v->ca[cert[CERT_CA_INDEX]].used)
			return QR_UNKNOWN_CA;
		if (!sm2_verify_key(v->ca[cert[CERT_CA_INDEX]].key, cert + CERT_FORMAT, CERT_SIG - CERT_FORMAT, cert + CERT_SIG))
			return QR_CERT_SIGNATURE;
		key = sm2_public(cert + CERT_KEY, 33);
		if (key == NULL)
			return QR_CERT_SIGNATURE;
		EVP_PKEY_free(v->cert[slot].key);
		v->cert[slot].key = key;
		v->cert[slot].used = true;
		memcpy(v->cert[slot].cert, cert, CERT_BYTES);
		v->cert_next++;
	}
	*ret_key = key;
	return QR_GOOD;
}

static bool auth_verify(struct qr_verifier *v, EVP_PKEY *issuer, const uint8_t *p, size_t signed_bytes)
{
	const uint8_t *sig = p + OFF_CERT + signed_bytes;
	uint8_t digest[DIGEST_BYTES];
	size_t slot;

	if (sig[0] != SIG_MARK || digest_sha256(p + OFF_CERT, signed_bytes + SIG_BYTES, digest) != 0)
		return false;
	slot = be_read(digest, 4) % AUTH_CACHE;
	if (memcmp(v->auth[slot], digest, sizeof(digest)) == 0)
		return true;
	if (!sm2_verify_key(issuer, p + OFF_CERT, signed_bytes, sig + 1))
		return false;
	memcpy(v->auth[slot], digest, sizeof(digest));
	return true;
}

static bool user_verify(const struct qr_code *code, const uint8_t *p, size_t n)
{
	const uint8_t *sig = p + n - SIG_BYTES;
	EVP_PKEY *key = sm2_public(code->user_key, 33);
	bool good = key != NULL && sig[0] == SIG_MARK && sm2_verify_key(key, p, n - SIG_BYTES, sig + 1);

	EVP_PKEY_free(key);
	return good;
}

enum qr_verdict qr_verify(struct qr_verifier *v, const uint8_t *p, size_t n, int64_t at_s, struct qr_code *ret_code)
{
	const char *reason;
	enum qr_verdict verdict;
	EVP_PKEY *issuer;
	int64_t age;

	if (!qr_parse(p, n, ret_code, &reason))
		return QR_MALFORMED;
	if (ret_code->version != 0x81)
		return QR_VERSION;
	verdict = cert_verify(v, p + OFF_CERT, at_s, &issuer);
	if (verdict != QR_GOOD)
		return verdict;
	if (at_s > ret_code->auth_expiry_s)
		return QR_AUTH_EXPIRED;
	age = at_s - (int64_t)ret_code->generated_s;
	if (age > ret_code->validity_s || age < -(int64_t)ret_code->validity_s)
		return QR_CODE_EXPIRED;
	if (!auth_verify(v, issuer, p, (size_t)OFF_CUSTOM - OFF_CERT + ret_code->custom_bytes))
		return QR_ISSUER_SIGNATURE;
	if (!user_verify(ret_code, p, n))
		return QR_USER_SIGNATURE;
	return ret_code->account_type == 0xDD ? QR_ACCOUNT_TYPE : QR_GOOD;
}

static void put(uint8_t *p, uint32_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

void qr_replay_key(const struct qr_code *code, uint8_t ret_key[QR_REPLAY_BYTES])
{
	memcpy(ret_key, code->pan, 10);
	put(ret_key + 10, code->generated_s, 4);
}

const char *qr_verdict_name(enum qr_verdict verdict)
{
	switch (verdict) {
	case QR_GOOD: return "good";
	case QR_MALFORMED: return "malformed";
	case QR_VERSION: return "version";
	case QR_CERT_EXPIRED: return "certificate-expired";
	case QR_CERT_SIGNATURE: return "certificate-signature";
	case QR_UNKNOWN_CA: return "unknown-ca";
	case QR_AUTH_EXPIRED: return "authorisation-expired";
	case QR_CODE_EXPIRED: return "code-expired";
	case QR_ISSUER_SIGNATURE: return "issuer-signature";
	case QR_USER_SIGNATURE: return "user-signature";
	case QR_ACCOUNT_TYPE: return "account-type";
	}
	return "unknown";
}

/* ---- making codes ------------------------------------------------------------------------------ */

int qr_make_cert(const struct qr_key *ca, uint8_t ca_index, const uint8_t issuer[4], const uint8_t expiry_mmyy[2],
		 const struct qr_key *issuer_key, uint8_t ret_cert[CERT_BYTES])
{
	uint8_t *c = ret_cert;

	memset(c, 0, CERT_BYTES);
	memcpy(c, cert_head, sizeof(cert_head));
	c[CERT_CA_INDEX] = ca_index;
	c[CERT_FORMAT] = 0x12;
	memcpy(c + CERT_ISSUER, issuer, 4);
	memcpy(c + CERT_EXPIRY, expiry_mmyy, 2);
	c[CERT_SERIAL + 2] = 0x01;
	c[16] = 0x04;
	c[17] = 0x04;
	c[CERT_KEY_BYTES] = 0x21;
	qr_key_compressed(issuer_key, c + CERT_KEY);
	return sm2_sign(ca, c + CERT_FORMAT, CERT_SIG - CERT_FORMAT, c + CERT_SIG);
}

int qr_make_auth(const uint8_t cert[CERT_BYTES], const struct qr_key *issuer_key, const struct qr_account *account,
		 const struct qr_key *user_key, uint8_t *ret_auth, size_t *ret_bytes)
{
	uint8_t *p = ret_auth;
	size_t n = (size_t)OFF_CUSTOM + account->custom_bytes, pay = strnlen(account->pay_account, 16);

	p[0] = 0x81;
	put(p + OFF_LENGTH, (uint32_t)(FIXED_BYTES + account->custom_bytes - 3), 2);
	memcpy(p + OFF_CERT, cert, CERT_BYTES);
	memset(p + OFF_PAY, '0', 16);
	memcpy(p + OFF_PAY + 16 - pay, account->pay_account, pay);
	memcpy(p + OFF_PAN, account->pan, 10);
	memcpy(p + OFF_ISSUER, account->issuer, 4);
	memcpy(p + OFF_PLATFORM, account->platform, 4);
	p[OFF_TYPE] = account->account_type;
	put(p + OFF_LIMIT, account->ride_limit_fen, 3);
	qr_key_compressed(user_key, p + OFF_USER_KEY);
	put(p + OFF_EXPIRY, account->auth_expiry_s, 4);
	put(p + OFF_VALIDITY, account->validity_s, 2);
	p[OFF_CUSTOM_BYTES] = account->custom_bytes;
	if (account->custom_bytes > 0)
		memcpy(p + OFF_CUSTOM, account->custom, account->custom_bytes);
	p[n] = SIG_MARK;
	*ret_bytes = n + SIG_BYTES;
	return sm2_sign(issuer_key, p + OFF_CERT, n - OFF_CERT, p + n + 1);
}

int qr_make_code(const uint8_t *auth, size_t auth_bytes, const struct qr_key *user_key, uint32_t generated_s,
		 uint8_t *ret_code, size_t *ret_bytes)
{
	memcpy(ret_code, auth, auth_bytes);
	put(ret_code + auth_bytes, generated_s, 4);
	ret_code[auth_bytes + 4] = SIG_MARK;
	*ret_bytes = auth_bytes + 4 + SIG_BYTES;
	return sm2_sign(user_key, ret_code, auth_bytes + 4, ret_code + auth_bytes + 5);
}
