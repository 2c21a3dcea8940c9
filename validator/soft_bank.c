/*
 * soft_bank - a bank card in software behind the reader interface: directory, application, records, certificates made
 * when the card is, and signatures over what the terminal sends, with keys of a test scheme. As on silicon, the counter
 * rises with every GPO, whatever becomes of the tap.
 */
#include "validator/validator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 6

struct record { uint8_t sfi, number, p[256]; size_t n; };
struct soft_bank {
	struct reader reader;
	struct bank_issue issue;
	struct oda_key key;
	struct oda_signer *other;	/* a clone's own key */
	struct record record[RECORDS];
	size_t records;
	uint16_t atc;
	bool selected, ready;		/* application chosen | GPO answered */
	uint8_t pdol[64]; size_t pdol_bytes;
	uint8_t card_random[4];
	unsigned left;
};

/* What GPO asks for: qualifiers 4, amount 6, number 4, currency 2, date 3. GENERATE AC: amount, number, date, results. */
static const uint8_t pdol[] = { 0x9F, 0x66, 0x04, 0x9F, 0x02, 0x06, 0x9F, 0x37, 0x04, 0x5F, 0x2A, 0x02, 0x9A, 0x03 };
#define PDOL_DATA 19
#define PDOL_AMOUNT 4
#define PDOL_RANDOM 10
#define PDOL_CURRENCY 14
static const uint8_t cdol[] = { 0x9F, 0x02, 0x06, 0x9F, 0x37, 0x04, 0x9A, 0x03, 0x95, 0x05 };
#define CDOL_DATA 18
#define CDOL_RANDOM 6

/* ---- objects ------------------------------------------------------------------------------------------- */

static void object(uint8_t *p, size_t *n, uint32_t tag, const void *value, size_t bytes)
{
	for (int shift = 16; shift >= 0; shift -= 8)
		if (tag >> shift != 0)
			p[(*n)++] = (uint8_t)(tag >> shift);
	if (bytes > 0x7F)
		p[(*n)++] = 0x81;
	p[(*n)++] = (uint8_t)bytes;
	if (bytes > 0)
		memcpy(p + *n, value, bytes);
	*n += bytes;
}

static void record_object(struct record *r, uint32_t tag, const void *value, size_t bytes) { object(r->p, &r->n, tag, value, bytes); }

static struct record *record_new(struct soft_bank *c, uint8_t sfi, uint8_t number)
{
	struct record *r = &c->record[c->records++];

	r->sfi = sfi;
	r->number = number;
	return r;
}

static int status(uint8_t *ret, uint16_t sw)
{
	ret[0] = (uint8_t)(sw >> 8);
	ret[1] = (uint8_t)sw;
	return 2;
}

/* One template around objects, and 9000. */
static int give(uint8_t *ret, uint32_t tag, const uint8_t *p, size_t bytes)
{
	size_t n = 0;

	object(ret, &n, tag, p, bytes);
	return (int)n + status(ret + n, 0x9000);
}

/* ---- making ---------------------------------------------------------------------------------------------- */

/* Digits from the left, filled with F. */
static void number_left(const uint8_t pan[10], uint8_t ret[10])
{
	char digits[21], text[21];
	const char *p = digits;

	pan_digits(pan, digits);
	while (*p == '0')
		p++;
	memset(text, 'F', 20);
	text[20] = '\0';
	memcpy(text, p, strlen(p));
	hex_decode(text, ret, 10);
}

/* File 1 record 1 is what the issuer signs: number, expiry, sequence, CDOL1. */
static size_t data_record(struct soft_bank *c, const uint8_t left[10])
{
	struct record *r = record_new(c, 1, 1);
	size_t n = 10;

	while (n > 0 && left[n - 1] == 0xFF)
		n--;
	record_object(r, 0x5A, left, n);
	record_object(r, 0x5F24, c->issue.expiry, 3);
	record_object(r, 0x5F34, "\x01", 1);
	record_object(r, 0x8C, cdol, sizeof(cdol));
	return r->n;
}

static const uint8_t *aip_of(const struct soft_bank *c)
{
	static const uint8_t bits[4] = { 0, 0x40, 0x20, 0x21 };
	static _Thread_local uint8_t aip[2];

	aip[0] = bits[c->issue.method & 3];
	return aip;
}

static int issuer_record(struct soft_bank *c, const uint8_t left[10])
{
	uint8_t id[4];
	struct oda_certificate cert;
	struct record *r = record_new(c, 2, 1);
	struct oda_key key;
	int ret;

	memcpy(id, left, 4);
	oda_signer_key(c->issue.issuer, &key);
	ret = oda_make_issuer(c->issue.ca, id, (const uint8_t[]){ 0x12, 0x40 }, (const uint8_t[]){ 0, 0, 1 }, &key, &cert);
	if (ret != 0)
		return ret;
	record_object(r, 0x8F, &c->issue.ca_index, 1);
	record_object(r, 0x90, cert.p, cert.n);
	r = record_new(c, 2, 2);
	record_object(r, 0x9F32, cert.exponent, cert.exponent_bytes);
	if (cert.remainder_bytes > 0)
		record_object(r, 0x92, cert.remainder, cert.remainder_bytes);
	record_object(r, 0x9F4A, "\x82", 1);
	return 0;
}

static int card_records(struct soft_bank *c, const uint8_t left[10], const uint8_t *fixed, size_t n)
{
	struct record *r = record_new(c, 2, 3);
	uint8_t signature[ODA_KEY_BYTES_MAX];
	struct oda_certificate cert;
	struct oda_key issuer;
	int ret;

	if (c->issue.method == ODA_SDA) {
		oda_signer_key(c->issue.issuer, &issuer);
		ret = oda_make_static(c->issue.issuer, (const uint8_t *)"\xDA\xC0", (struct oda_bytes){ fixed, n }, signature);
		record_object(r, 0x93, signature, issuer.bytes);
		return ret;
	}
	ret = oda_make_card(c->issue.issuer, left, (const uint8_t[]){ 0x12, 0x40 }, c->issue.pan + 7, &c->key, (struct oda_bytes){ fixed, n }, &cert);
	if (ret != 0)
		return ret;
	record_object(r, 0x9F46, cert.p, cert.n);
	r = record_new(c, 2, 4);
	record_object(r, 0x9F47, cert.exponent, cert.exponent_bytes);
	if (cert.remainder_bytes > 0)
		record_object(r, 0x9F48, cert.remainder, cert.remainder_bytes);
	if (c->issue.fast) {
		uint8_t own[7] = { 0x01 };	/* version, card's random 4, qualifiers 2 */

		memcpy(own + 1, c->card_random, 4);
		record_object(r, 0x9F69, own, sizeof(own));
	} else {
		record_object(r, 0x9F49, "\x9F\x37\x04", 3);
	}
	return 0;
}

static int personalise(struct soft_bank *c)
{
	uint8_t left[10], fixed[256 + 2];
	size_t n;
	int ret;

	number_left(c->issue.pan, left);
	n = data_record(c, left);
	memcpy(fixed, c->record[0].p, n);
	memcpy(fixed + n, aip_of(c), 2);
	ret = issuer_record(c, left);
	return ret != 0 ? ret : card_records(c, left, fixed, n + 2);
}

/* ---- answering --------------------------------------------------------------------------------------------- */

static int select_answer(struct soft_bank *c, const uint8_t *d, size_t n, uint8_t *ret)
{
	uint8_t entry[64], inner[96], list[96], fci[128];
	size_t k = 0, m = 0, x = 0, f = 0;

	c->selected = c->ready = false;
	if (n == 14 && memcmp(d, "2PAY.SYS.DDF01", 14) == 0) {
		object(entry, &k, 0x4F, c->issue.aid, c->issue.aid_bytes);
		object(entry, &k, 0x50, "TEST BANK", 9);
		object(entry, &k, 0x87, "\x01", 1);
		object(inner, &m, 0x61, entry, k);
		object(list, &x, 0xBF0C, inner, m);
	} else if (n == c->issue.aid_bytes && memcmp(d, c->issue.aid, n) == 0) {
		object(list, &x, 0x50, "TEST BANK", 9);
		object(list, &x, 0x9F38, pdol, sizeof(pdol));
		c->selected = true;
	} else {
		return status(ret, 0x6A82);
	}
	object(fci, &f, 0x84, d, n);
	object(fci, &f, 0xA5, list, x);
	return give(ret, 0x6F, fci, f);
}

static const struct oda_signer *signer_of(const struct soft_bank *c) { return c->issue.clone ? c->other : c->issue.card; }

/* The issuer's own business: some code over counter and what the terminal sent. */
static void cryptogram_make(const struct soft_bank *c, const uint8_t *d, size_t n, uint8_t ret[8])
{
	uint8_t data[12 + 64] = { (uint8_t)(c->atc >> 8), (uint8_t)c->atc }, digest[DIGEST_BYTES] = { 0 };

	memcpy(data + 2, c->issue.pan, 10);
	memcpy(data + 12, d, n < 64 ? n : 64);
	if (digest_sm3(data, 12 + (n < 64 ? n : 64), digest) == 0)
		memcpy(ret, digest, 8);
}

static void counters_put(const struct soft_bank *c, uint8_t *p, size_t *n)
{
	object(p, n, 0x9F27, "\x80", 1);
	object(p, n, 0x9F36, (uint8_t[]){ (uint8_t)(c->atc >> 8), (uint8_t)c->atc }, 2);
}

static int fast_options(struct soft_bank *c, uint8_t *objects, size_t *n)
{
	uint8_t data[4 + 6 + 2 + 7], dynamic[3] = { 2, (uint8_t)(c->atc >> 8), (uint8_t)c->atc }, signature[ODA_KEY_BYTES_MAX], ac[8] = { 0 };
	int ret;

	memcpy(data, c->pdol + PDOL_RANDOM, 4);
	memcpy(data + 4, c->pdol + PDOL_AMOUNT, 6);
	memcpy(data + 10, c->pdol + PDOL_CURRENCY, 2);
	data[12] = 0x01;
	memcpy(data + 13, c->card_random, 4);
	memset(data + 17, 0, 2);
	ret = oda_make_dynamic(signer_of(c), (struct oda_bytes){ dynamic, 3 }, (struct oda_bytes){ data, sizeof(data) }, signature);
	cryptogram_make(c, c->pdol, c->pdol_bytes, ac);
	counters_put(c, objects, n);
	object(objects, n, 0x9F26, ac, 8);
	object(objects, n, 0x9F10, "\x07\x01\x01\x03\xA0\x00\x00", 7);
	object(objects, n, 0x9F4B, signature, c->key.bytes);
	return ret;
}

static int options_answer(struct soft_bank *c, const uint8_t *d, size_t n, uint8_t *ret)
{
	uint8_t objects[250], afl[8] = { 1 << 3, 1, 1, 1, 2 << 3, 1, c->issue.method == ODA_SDA ? 3 : 4, 0 };
	size_t k = 0;

	if (!c->selected || n != PDOL_DATA + 2 || d[0] != 0x83 || d[1] != PDOL_DATA)
		return status(ret, 0x6985);
	memcpy(c->pdol, d + 2, PDOL_DATA);
	c->pdol_bytes = PDOL_DATA;
	c->atc++;
	c->ready = true;
	object(objects, &k, 0x82, aip_of(c), 2);
	object(objects, &k, 0x94, afl, sizeof(afl));
	if (c->issue.fast && fast_options(c, objects, &k) != 0)
		return status(ret, 0x6F00);
	return give(ret, 0x77, objects, k);
}

static int record_answer(const struct soft_bank *c, uint8_t number, uint8_t p2, uint8_t *ret)
{
	for (size_t i = 0; c->ready && i < c->records; i++)
		if (c->record[i].number == number && c->record[i].sfi == p2 >> 3)
			return give(ret, 0x70, c->record[i].p, c->record[i].n);
	return status(ret, c->ready ? 0x6A83 : 0x6985);
}

static int authenticate_answer(const struct soft_bank *c, const uint8_t *d, size_t n, uint8_t *ret)
{
	uint8_t dynamic[3] = { 2, (uint8_t)(c->atc >> 8), (uint8_t)c->atc }, signature[ODA_KEY_BYTES_MAX];

	if (!c->ready || n != 4 || oda_make_dynamic(signer_of(c), (struct oda_bytes){ dynamic, 3 }, (struct oda_bytes){ d, n }, signature) != 0)
		return status(ret, 0x6985);
	return give(ret, 0x80, signature, c->key.bytes);
}

static int combined_answer(const struct soft_bank *c, const uint8_t *d, size_t n, const uint8_t ac[8], uint8_t *ret)
{
	uint8_t objects[250], dynamic[32] = { 2, (uint8_t)(c->atc >> 8), (uint8_t)c->atc, 0x80 }, data[64 + CDOL_DATA + 64], signature[ODA_KEY_BYTES_MAX];
	size_t k = 0, all = c->pdol_bytes;

	counters_put(c, objects, &k);
	object(objects, &k, 0x9F10, "\x07\x01\x01\x03\xA0\x00\x00", 7);
	memcpy(data, c->pdol, all);
	memcpy(data + all, d, n);
	memcpy(data + all + n, objects, k);
	memcpy(dynamic + 4, ac, 8);
	if (digest_sha1(data, all + n + k, dynamic + 12) != 0 ||
	    oda_make_dynamic(signer_of(c), (struct oda_bytes){ dynamic, 32 }, (struct oda_bytes){ d + CDOL_RANDOM, 4 }, signature) != 0)
		return status(ret, 0x6F00);
	object(objects, &k, 0x9F4B, signature, c->key.bytes);
	return give(ret, 0x77, objects, k);
}

static int generate_answer(const struct soft_bank *c, uint8_t kind, const uint8_t *d, size_t n, uint8_t *ret)
{
	uint8_t ac[8] = { 0 }, form[18] = { 0x80, (uint8_t)(c->atc >> 8), (uint8_t)c->atc };

	if (!c->ready || n != CDOL_DATA)
		return status(ret, 0x6985);
	cryptogram_make(c, d, n, ac);
	if ((kind & 0x10) != 0)
		return combined_answer(c, d, n, ac, ret);
	memcpy(form + 3, ac, 8);
	memcpy(form + 11, "\x07\x01\x01\x03\xA0\x00\x00", 7);
	return give(ret, 0x80, form, sizeof(form));
}

static int answer(struct soft_bank *c, const uint8_t *a, size_t n, uint8_t *ret)
{
	size_t lc = n > 5 ? a[4] : 0;

	if (lc > n - 5)
		return status(ret, 0x6700);
	switch (a[0] << 8 | a[1]) {
	case 0x00A4: return select_answer(c, a + 5, lc, ret);
	case 0x80A8: return options_answer(c, a + 5, lc, ret);
	case 0x00B2: return record_answer(c, a[2], a[3], ret);
	case 0x0088: return authenticate_answer(c, a + 5, lc, ret);
	case 0x80AE: return generate_answer(c, a[2], a + 5, lc, ret);
	default: return status(ret, 0x6D00);
	}
}

static int card_transmit(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct soft_bank *c = (struct soft_bank *)(void *)r;
	int got;

	if (n < 5 || ret_bytes < 260)
		return -EINVAL;
	got = answer(c, apdu, n, ret);
	if (c->left != 0 && --c->left == 0) {
		c->selected = c->ready = false;
		return -EIO;
	}
	return got;
}

/* A record and an answer hold 256 bytes. */
static bool keys_fit(const struct bank_issue *issue)
{
	const struct oda_signer *signers[3] = { issue->ca, issue->issuer, issue->card };
	struct oda_key key;

	for (size_t i = 0; i < 3; i++) {
		oda_signer_key(signers[i], &key);
		if (key.bytes > 176)
			return false;
	}
	return issue->aid_bytes >= 5 && issue->aid_bytes <= 16;
}

int soft_bank_new(const struct bank_issue *issue, struct soft_bank **ret_card)
{
	struct soft_bank *c = calloc(1, sizeof(*c));
	int ret = c == NULL ? -ENOMEM : 0;

	if (ret != 0)
		return ret;
	*c = (struct soft_bank){ .reader.transmit = card_transmit, .issue = *issue, .atc = issue->atc };
	memcpy(c->card_random, issue->pan + 6, 4);
	oda_signer_key(issue->card, &c->key);
	if (!keys_fit(issue))
		ret = KEYS_E_FORMAT;
	else if (issue->clone)
		ret = oda_signer_new(c->key.bytes, 3, &c->other);
	if (ret == 0)
		ret = personalise(c);
	if (ret != 0) {
		soft_bank_free(c);
		return ret;
	}
	*ret_card = c;
	return 0;
}

void soft_bank_free(struct soft_bank *c)
{
	if (c == NULL)
		return;
	oda_signer_free(c->other);
	free(c);
}

struct reader *soft_bank_reader(struct soft_bank *c) { return &c->reader; }
void soft_bank_tear_after(struct soft_bank *c, unsigned apdus) { c->left = apdus; }
uint16_t soft_bank_atc(const struct soft_bank *c) { return c->atc; }
