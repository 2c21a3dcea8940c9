/*
 * oda_keys - the scheme keys a terminal trusts and the issuer certificates it no longer does, as one text. A key whose
 * checksum does not fit refuses the whole file: half a list would refuse good cards, or take bad ones.
 */
#include "keys/keys.h"
#include "keys/oda_rsa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES (ODA_LINE_BYTES + 64)
#define FIELDS_MAX 7

struct scheme_key { uint8_t rid[5], index; struct oda_key key; int64_t end_ms; };
struct revoked { uint8_t rid[5], index, serial[3]; };
struct oda_keys { size_t count, revoked_count; struct scheme_key key[ODA_KEYS_MAX]; struct revoked revoked[ODA_REVOKED_MAX]; };

/* ---- one line ------------------------------------------------------------------------------------------- */

struct fields { char *at[FIELDS_MAX]; size_t count; const char *line; };
struct fault { unsigned column; const char *reason; };

static bool refuse(struct fault *f, const struct fields *x, size_t i, const char *reason)
{
	f->column = i < x->count ? (unsigned)(x->at[i] - x->line) + 1 : 1;
	f->reason = reason;
	return false;
}

static bool hex_exact(const struct fields *x, size_t i, uint8_t *ret, size_t n)
{
	return i < x->count && strlen(x->at[i]) == 2 * n && hex_decode(x->at[i], ret, n);
}

static int checksum(const struct scheme_key *k, uint8_t ret[SHA1_BYTES])
{
	uint8_t exponent[3];
	const struct oda_bytes piece[] = { { k->rid, 5 }, { &k->index, 1 }, { k->key.modulus, k->key.bytes }, { exponent, oda_exponent_put(k->key.exponent, exponent) } };

	return oda_hash(piece, 4, ret);
}

/* The last millisecond of a day YYYY-MM-DD, local time. */
static bool day_end(const char *text, int64_t *ret_ms)
{
	struct mac_time t = { { 0, 0, 0, 0, 0x23, 0x59, 0x59 } };
	char digits[9];
	int64_t ms;

	if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
		return false;
	snprintf(digits, sizeof(digits), "%.4s%.2s%.2s", text, text + 5, text + 8);
	if (!hex_decode(digits, t.bcd, 4) || !mac_time_to_ms(&t, &ms))
		return false;
	*ret_ms = ms + 1000;
	return true;
}

static bool key_read(const struct fields *x, struct scheme_key *k, struct fault *f)
{
	uint8_t stated[SHA1_BYTES], sum[SHA1_BYTES];
	size_t digits;

	if (x->count != 7)
		return refuse(f, x, 0, "key,RID,index,exponent,modulus,last day,checksum are needed");
	if (!hex_exact(x, 1, k->rid, 5))
		return refuse(f, x, 1, "a RID of 10 hex digits is needed");
	if (!hex_exact(x, 2, &k->index, 1))
		return refuse(f, x, 2, "an index of 2 hex digits is needed");
	k->key.exponent = strcmp(x->at[3], "03") == 0 ? 3 : strcmp(x->at[3], "010001") == 0 ? 65537 : 0;
	if (k->key.exponent == 0)
		return refuse(f, x, 3, "the exponent is 03 or 010001");
	digits = strlen(x->at[4]);
	if (digits % 2 != 0 || digits < 2 * 128 || digits > 2 * ODA_KEY_BYTES_MAX || !hex_decode(x->at[4], k->key.modulus, digits / 2) || k->key.modulus[0] == 0 ||
	    (k->key.modulus[digits / 2 - 1] & 1) == 0)
		return refuse(f, x, 4, "a modulus of 128 to 248 bytes in hex, odd and not beginning with 00, is needed");
	k->key.bytes = digits / 2;
	if (!day_end(x->at[5], &k->end_ms))
		return refuse(f, x, 5, "the last day of the key, YYYY-MM-DD, is needed");
	if (!hex_exact(x, 6, stated, sizeof(stated)))
		return refuse(f, x, 6, "a checksum of 40 hex digits is needed");
	if (checksum(k, sum) != 0 || memcmp(sum, stated, sizeof(sum)) != 0)
		return refuse(f, x, 6, "the checksum is not that of this key: RID, index, modulus or exponent was mistyped");
	return true;
}

static const struct scheme_key *key_find(const struct oda_keys *k, const uint8_t rid[5], uint8_t index)
{
	for (size_t i = 0; i < k->count; i++)
		if (k->key[i].index == index && memcmp(k->key[i].rid, rid, 5) == 0)
			return &k->key[i];
	return NULL;
}

static bool line_add(struct oda_keys *k, const struct fields *x, struct fault *f)
{
	if (strcmp(x->at[0], "key") == 0) {
		struct scheme_key key = { 0 };

		if (!key_read(x, &key, f))
			return false;
		if (key_find(k, key.rid, key.index) != NULL)
			return refuse(f, x, 2, "this RID and index stand here twice");
		if (k->count == ODA_KEYS_MAX)
			return refuse(f, x, 0, "more than 64 keys");
		k->key[k->count++] = key;
		return true;
	}
	if (strcmp(x->at[0], "revoked") == 0) {
		struct revoked r;

		if (x->count != 4 || !hex_exact(x, 1, r.rid, 5))
			return refuse(f, x, x->count != 4 ? 0 : 1, "revoked,RID,index,certificate serial of 6 hex digits are needed");
		if (!hex_exact(x, 2, &r.index, 1))
			return refuse(f, x, 2, "an index of 2 hex digits is needed");
		if (!hex_exact(x, 3, r.serial, 3))
			return refuse(f, x, 3, "a certificate serial of 6 hex digits is needed");
		if (k->revoked_count == ODA_REVOKED_MAX)
			return refuse(f, x, 0, "more than 4096 revoked certificates");
		k->revoked[k->revoked_count++] = r;
		return true;
	}
	return refuse(f, x, 0, "a line begins with key or revoked");
}

static bool line_split(char *line, struct fields *ret)
{
	*ret = (struct fields){ .at = { line }, .count = 1, .line = line };
	for (char *p = line; *p != '\0'; p++)
		if (*p == ',') {
			if (ret->count == FIELDS_MAX)
				return false;
			*p = '\0';
			ret->at[ret->count++] = p + 1;
		}
	return true;
}

static bool line_take(struct oda_keys *k, const char *p, size_t n, struct fault *f)
{
	char line[LINE_BYTES];
	struct fields x;

	if (n > 0 && p[n - 1] == '\r')
		n--;
	if (n == 0 || p[0] == '#')
		return true;
	*f = (struct fault){ 1, "a line too long, or with a NUL, or of too many fields" };
	if (n >= sizeof(line) || memchr(p, '\0', n) != NULL)
		return false;
	memcpy(line, p, n);
	line[n] = '\0';
	return line_split(line, &x) && line_add(k, &x, f);
}

/* ---- the list ---------------------------------------------------------------------------------------------- */

int oda_keys_parse(const char *name, const void *p, size_t n, struct oda_keys **ret_keys, char *ret_error, size_t error_bytes)
{
	struct oda_keys *k = calloc(1, sizeof(*k));
	struct fault f = { 1, "out of memory" };
	const char *at = p;
	unsigned number = 1;
	bool good = k != NULL;

	for (; good && n > 0; number++) {
		const char *stop = memchr(at, '\n', n);
		size_t bytes = stop != NULL ? (size_t)(stop - at) : n, whole = bytes + (stop != NULL);

		good = line_take(k, at, bytes, &f);
		if (!good)
			break;
		at += whole;
		n -= whole;
	}
	if (!good) {
		snprintf(ret_error, error_bytes, "%s:%u:%u: %s", name, number, f.column, f.reason);
		oda_keys_free(k);
		return k == NULL ? -ENOMEM : KEYS_E_FORMAT;
	}
	*ret_keys = k;
	return 0;
}

void oda_keys_free(struct oda_keys *k) { free(k); }

size_t oda_keys_count(const struct oda_keys *k) { return k->count; }

bool oda_keys_has_rid(const struct oda_keys *k, const uint8_t rid[5])
{
	for (size_t i = 0; i < k->count; i++)
		if (memcmp(k->key[i].rid, rid, 5) == 0)
			return true;
	return false;
}

bool oda_keys_has(const struct oda_keys *k, const uint8_t rid[5], uint8_t index, int64_t at_ms)
{
	const struct scheme_key *key = key_find(k, rid, index);

	return key != NULL && at_ms < key->end_ms;
}

static bool is_revoked(const struct oda_keys *k, const struct scheme_key *ca, const uint8_t serial[3])
{
	for (size_t i = 0; i < k->revoked_count; i++)
		if (k->revoked[i].index == ca->index && memcmp(k->revoked[i].rid, ca->rid, 5) == 0 && memcmp(k->revoked[i].serial, serial, 3) == 0)
			return true;
	return false;
}

enum oda_verdict oda_issuer_key(const struct oda_keys *k, const struct oda_card *c, struct oda_key *ret_key)
{
	const struct scheme_key *ca = key_find(k, c->rid, c->ca_index);
	struct oda_key key;
	enum oda_verdict v;

	if (ca == NULL)
		return ODA_CA_UNKNOWN;
	if (c->at_ms >= ca->end_ms)
		return ODA_CA_EXPIRED;
	v = oda_issuer_key_of(&ca->key, c, &key);
	if (v != ODA_GOOD)
		return v;
	if (is_revoked(k, ca, key.serial))
		return ODA_ISSUER_REVOKED;
	*ret_key = key;
	return ODA_GOOD;
}

int oda_key_line(const uint8_t rid[5], uint8_t index, const struct oda_key *key, const char *last_day, char ret_line[ODA_LINE_BYTES])
{
	struct scheme_key k = { .index = index, .key = *key };
	char rid_text[11], modulus[2 * ODA_KEY_BYTES_MAX + 1], sum_text[2 * SHA1_BYTES + 1];
	uint8_t sum[SHA1_BYTES];
	int ret;

	memcpy(k.rid, rid, 5);
	ret = checksum(&k, sum);
	if (ret != 0)
		return ret;
	hex_encode(rid, 5, rid_text);
	hex_encode(key->modulus, key->bytes, modulus);
	hex_encode(sum, sizeof(sum), sum_text);
	snprintf(ret_line, ODA_LINE_BYTES, "key,%s,%02X,%s,%s,%.10s,%s", rid_text, index, key->exponent == 3 ? "03" : "010001", modulus, last_day, sum_text);
	return 0;
}
