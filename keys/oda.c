/*
 * oda - see oda.h. A signature is opened with the key above it; what comes out says what it is, how long its parts are
 * and their hash. Nothing of it is believed before header, trailer, format, padding and hash were right.
 */
#include "keys/keys.h"
#include "keys/oda_rsa.h"

#include "keys/octets.h"

#include <string.h>

#include <openssl/evp.h>

#define ISSUER_FIXED 36			/* of N bytes, those of an issuer certificate that are not its key */
#define CARD_FIXED 42
#define STATIC_FIXED 26
#define DYNAMIC_FIXED 25

int oda_hash(const struct oda_bytes *piece, size_t count, uint8_t ret[SHA1_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx != NULL && EVP_DigestInit_ex2(ctx, EVP_sha1(), NULL) == 1;

	for (size_t i = 0; good && i < count; i++)
		good = piece[i].n == 0 || EVP_DigestUpdate(ctx, piece[i].p, piece[i].n) == 1;
	good = good && EVP_DigestFinal_ex(ctx, ret, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return good ? 0 : KEYS_E_CRYPTO;
}

int digest_sha1(const void *p, size_t n, uint8_t ret_digest[20]) { return oda_hash(&(struct oda_bytes){ p, n }, 1, ret_digest); }

size_t oda_exponent_put(uint32_t exponent, uint8_t ret[3])
{
	if (exponent == 3) {
		ret[0] = 3;
		return 1;
	}
	memcpy(ret, "\x01\x00\x01", 3);
	return 3;
}

/* The book allows two (Annex B2.1). */
static bool exponent_read(struct oda_bytes e, uint32_t *ret)
{
	if (e.n != 1 && e.n != 3)
		return false;
	*ret = be_read(e.p, e.n);
	return (*ret == 3 && e.n == 1) || *ret == 65537;
}

/* ret = signature ^ exponent mod modulus, as long as the modulus. False: not below the modulus, or the library failed. */
static bool power(const struct oda_key *key, const uint8_t *signature, uint8_t *ret)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *s = BN_bin2bn(signature, (int)key->bytes, NULL), *n = BN_bin2bn(key->modulus, (int)key->bytes, NULL), *e = BN_new(), *out = BN_new();
	bool good = ctx != NULL && s != NULL && n != NULL && e != NULL && out != NULL && BN_set_word(e, key->exponent) == 1 && BN_is_odd(n) &&
		    BN_cmp(s, n) < 0 && BN_mod_exp(out, s, e, n, ctx) == 1 && BN_bn2binpad(out, ret, (int)key->bytes) == (int)key->bytes;

	BN_free(s);
	BN_free(n);
	BN_free(e);
	BN_free(out);
	BN_CTX_free(ctx);
	return good;
}

/*
 * Annex A2.1: header, format, fields, hash, trailer. tail: what the hash covers beyond the recovered part. On success
 * ret holds key->bytes bytes.
 */
static bool recover(const struct oda_key *key, struct oda_bytes signature, enum oda_format format, const struct oda_bytes *tail, size_t tails,
		    uint8_t ret[ODA_KEY_BYTES_MAX])
{
	struct oda_bytes piece[4];
	uint8_t hash[SHA1_BYTES];
	size_t n = key->bytes;

	if (signature.n != n || !power(key, signature.p, ret) || ret[0] != ODA_HEADER || ret[1] != format || ret[n - 1] != ODA_TRAILER)
		return false;
	piece[0] = (struct oda_bytes){ ret + 1, n - 2 - SHA1_BYTES };
	memcpy(piece + 1, tail, tails * sizeof(*tail));
	return oda_hash(piece, tails + 1, hash) == 0 && memcmp(hash, ret + n - 1 - SHA1_BYTES, SHA1_BYTES) == 0;
}

/* MMYY: good to the last day of the month, local time. YY from 50 on is of the last century. */
static bool month_over(const uint8_t mmyy[2], int64_t at_ms)
{
	unsigned month = (mmyy[0] >> 4) * 10u + (mmyy[0] & 15), year = (mmyy[1] >> 4) * 10u + (mmyy[1] & 15);
	struct mac_time first = { { 0x20, 0, 0, 0x01, 0, 0, 0 } };
	int64_t end;

	if (!bcd_valid(mmyy, 2) || month < 1 || month > 12 || year >= 50)
		return true;
	year += month == 12;
	month = month % 12 + 1;
	first.bcd[1] = (uint8_t)(year / 10 << 4 | year % 10);
	first.bcd[2] = (uint8_t)(month / 10 << 4 | month % 10);
	return !mac_time_to_ms(&first, &end) || at_ms >= end;
}

/* Three to eight digits of the card number, the rest F. */
static bool issuer_of_pan(const uint8_t id[4], const uint8_t pan[10])
{
	size_t digits = 0;

	for (size_t i = 0; i < 8; i++) {
		unsigned ours = i % 2 == 0 ? id[i / 2] >> 4 : id[i / 2] & 15, cards = i % 2 == 0 ? pan[i / 2] >> 4 : pan[i / 2] & 15;

		if (ours == 15)
			continue;
		if (ours > 9 || ours != cards || digits != i)
			return false;
		digits++;
	}
	return digits >= 3;
}

/* The key inside a certificate and beyond it in the remainder; what of the room it does not fill is BB. */
static bool key_join(const uint8_t *in, size_t room, struct oda_bytes remainder, size_t bytes, uint32_t exponent, struct oda_key *ret)
{
	size_t inside = bytes < room ? bytes : room;

	if (remainder.n != bytes - inside || !octets_all(in + inside, room - inside, ODA_PAD))
		return false;
	memcpy(ret->modulus, in, inside);
	if (remainder.n > 0)
		memcpy(ret->modulus + inside, remainder.p, remainder.n);
	ret->bytes = bytes;
	ret->exponent = exponent;
	return ret->modulus[0] != 0 && (ret->modulus[bytes - 1] & 1) != 0;
}

/* Book 2, table 6. */
enum oda_verdict oda_issuer_key_of(const struct oda_key *ca, const struct oda_card *c, struct oda_key *ret_key)
{
	const struct oda_bytes tail[2] = { c->issuer_remainder, c->issuer_exponent };
	uint8_t x[ODA_KEY_BYTES_MAX];
	struct oda_key key = { 0 };
	uint32_t exponent;

	if (c->issuer_cert.n == 0 || c->issuer_exponent.n == 0)
		return ODA_MISSING;
	if (c->issuer_cert.n != ca->bytes || c->issuer_remainder.n > ODA_KEY_BYTES_MAX || !exponent_read(c->issuer_exponent, &exponent))
		return ODA_FORM;
	if (!recover(ca, c->issuer_cert, ODA_FORMAT_ISSUER, tail, 2, x))
		return ODA_ISSUER_CERT;
	if (x[11] != ODA_HASH_SHA1 || x[12] != ODA_RSA || x[13] < ODA_KEY_BYTES_MIN || x[13] > ca->bytes || x[14] != c->issuer_exponent.n ||
	    !key_join(x + 15, ca->bytes - ISSUER_FIXED, c->issuer_remainder, x[13], exponent, &key))
		return ODA_FORM;
	if (!issuer_of_pan(x + 2, c->pan))
		return ODA_ISSUER_PAN;
	if (month_over(x + 6, c->at_ms))
		return ODA_ISSUER_EXPIRED;
	memcpy(key.serial, x + 8, 3);
	*ret_key = key;
	return ODA_GOOD;
}

/* Book 2, table 7. */
enum oda_verdict oda_static(const struct oda_key *issuer, const struct oda_card *c, uint8_t ret_code[2])
{
	uint8_t x[ODA_KEY_BYTES_MAX];

	if (c->static_signature.n == 0 || c->static_data.n == 0)
		return ODA_MISSING;
	if (c->static_signature.n != issuer->bytes)
		return ODA_FORM;
	if (!recover(issuer, c->static_signature, ODA_FORMAT_STATIC, &c->static_data, 1, x))
		return ODA_STATIC;
	if (x[2] != ODA_HASH_SHA1 || !octets_all(x + 5, issuer->bytes - STATIC_FIXED, ODA_PAD))
		return ODA_FORM;
	memcpy(ret_code, x + 3, 2);
	return ODA_GOOD;
}

/* Book 2, table 14. */
enum oda_verdict oda_card_key(const struct oda_key *issuer, const struct oda_card *c, struct oda_key *ret_key)
{
	const struct oda_bytes tail[3] = { c->card_remainder, c->card_exponent, c->static_data };
	uint8_t x[ODA_KEY_BYTES_MAX];
	struct oda_key key = { 0 };
	uint32_t exponent;

	if (c->card_cert.n == 0 || c->card_exponent.n == 0 || c->static_data.n == 0)
		return ODA_MISSING;
	if (c->card_cert.n != issuer->bytes || c->card_remainder.n > ODA_KEY_BYTES_MAX || !exponent_read(c->card_exponent, &exponent))
		return ODA_FORM;
	if (!recover(issuer, c->card_cert, ODA_FORMAT_CARD, tail, 3, x))
		return ODA_CARD_CERT;
	if (x[17] != ODA_HASH_SHA1 || x[18] != ODA_RSA || x[19] < ODA_KEY_BYTES_MIN || x[19] > issuer->bytes || x[20] != c->card_exponent.n ||
	    !key_join(x + 21, issuer->bytes - CARD_FIXED, c->card_remainder, x[19], exponent, &key))
		return ODA_FORM;
	if (memcmp(x + 2, c->pan, 10) != 0)
		return ODA_CARD_PAN;
	if (month_over(x + 12, c->at_ms))
		return ODA_CARD_EXPIRED;
	memcpy(key.serial, x + 14, 3);
	*ret_key = key;
	return ODA_GOOD;
}

/* Book 2, table 17: the card's dynamic data out of its signature. */
static enum oda_verdict dynamic_recover(const struct oda_key *card, struct oda_bytes signature, struct oda_bytes tail, uint8_t x[ODA_KEY_BYTES_MAX],
					struct oda_answer *ret)
{
	if (signature.n == 0)
		return ODA_MISSING;
	if (signature.n != card->bytes)
		return ODA_FORM;
	if (!recover(card, signature, ODA_FORMAT_DYNAMIC, &tail, 1, x))
		return ODA_DYNAMIC;
	if (x[2] != ODA_HASH_SHA1 || x[3] > card->bytes - DYNAMIC_FIXED || !octets_all(x + 4 + x[3], card->bytes - DYNAMIC_FIXED - x[3], ODA_PAD))
		return ODA_FORM;
	if (x[3] < 1 || x[4] < 2 || x[4] > 8 || x[3] < 1 + x[4])
		return ODA_FORM;
	ret->number_bytes = x[4];
	memcpy(ret->number, x + 5, x[4]);
	return ODA_GOOD;
}

enum oda_verdict oda_dynamic(const struct oda_key *card, struct oda_bytes signature, struct oda_bytes terminal_data, struct oda_answer *ret)
{
	struct oda_answer answer = { 0 };
	uint8_t x[ODA_KEY_BYTES_MAX];
	enum oda_verdict v = dynamic_recover(card, signature, terminal_data, x, &answer);

	if (v == ODA_GOOD)
		*ret = answer;
	return v;
}

/* Book 2, table 19: number, cryptogram information, cryptogram 8, hash of the transaction 20. */
enum oda_verdict oda_combined(const struct oda_key *card, struct oda_bytes signature, const uint8_t random[4], struct oda_bytes transaction, uint8_t cid,
			      struct oda_answer *ret)
{
	struct oda_answer answer = { 0 };
	uint8_t x[ODA_KEY_BYTES_MAX], hash[SHA1_BYTES];
	const uint8_t *p;
	enum oda_verdict v = dynamic_recover(card, signature, (struct oda_bytes){ random, 4 }, x, &answer);

	if (v != ODA_GOOD)
		return v;
	if (x[3] != 1 + answer.number_bytes + 1 + 8 + SHA1_BYTES)
		return ODA_FORM;
	p = x + 5 + answer.number_bytes;
	if (oda_hash(&transaction, 1, hash) != 0)
		return ODA_FAILED;
	if (p[0] != cid || memcmp(p + 9, hash, SHA1_BYTES) != 0)
		return ODA_CRYPTOGRAM;
	answer.cid = p[0];
	memcpy(answer.cryptogram, p + 1, 8);
	*ret = answer;
	return ODA_GOOD;
}

const char *oda_method_name(enum oda_method m)
{
	switch (m) {
	case ODA_NONE: return "none";
	case ODA_SDA: return "SDA";
	case ODA_DDA: return "DDA";
	case ODA_CDA: return "CDA";
	}
	return "?";
}

const char *oda_verdict_name(enum oda_verdict v)
{
	switch (v) {
	case ODA_GOOD: return "good";
	case ODA_MISSING: return "data-missing";
	case ODA_FORM: return "form";
	case ODA_CA_UNKNOWN: return "scheme-key-unknown";
	case ODA_CA_EXPIRED: return "scheme-key-expired";
	case ODA_ISSUER_CERT: return "issuer-certificate";
	case ODA_ISSUER_EXPIRED: return "issuer-certificate-expired";
	case ODA_ISSUER_REVOKED: return "issuer-certificate-revoked";
	case ODA_ISSUER_PAN: return "issuer-of-another-card";
	case ODA_CARD_CERT: return "card-certificate";
	case ODA_CARD_EXPIRED: return "card-certificate-expired";
	case ODA_CARD_PAN: return "certificate-of-another-card";
	case ODA_STATIC: return "static-signature";
	case ODA_DYNAMIC: return "dynamic-signature";
	case ODA_CRYPTOGRAM: return "cryptogram";
	case ODA_FAILED: return "library";
	}
	return "?";
}
