/*
 * digest - SHA-256, SM3, hex, and the date a MAC covers. SM3 is fetched once for the process.
 */
#define OPENSSL_SUPPRESS_DEPRECATED	/* SHA256_Init and its like */
#include "keys/keys.h"
#include "keys/octets.h"

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

static EVP_MD *sm3;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void) { sm3 = EVP_MD_fetch(NULL, "SM3", NULL); }

int digest_sm3(const void *p, size_t n, uint8_t ret_digest[DIGEST_BYTES])
{
	pthread_once(&fetched, fetch);
	return sm3 == NULL || EVP_Digest(p, n, ret_digest, NULL, sm3, NULL) != 1 ? KEYS_E_CRYPTO : 0;
}

int hmac_sm3(const void *key, size_t key_bytes, const void *p, size_t n, uint8_t ret_digest[DIGEST_BYTES])
{
	uint8_t out[DIGEST_BYTES];
	size_t bytes = 0;

	if (EVP_Q_mac(NULL, "HMAC", NULL, "SM3", NULL, key, key_bytes, p, n, out, sizeof(out), &bytes) == NULL || bytes != DIGEST_BYTES)
		return KEYS_E_CRYPTO;
	memcpy(ret_digest, out, DIGEST_BYTES);
	return 0;
}

/* The plain functions, not EVP: EVP of OpenSSL 3 takes memory at every start, and a terminal seals batches without any. */
static_assert(sizeof(SHA256_CTX) <= sizeof(struct digest), "the state of SHA-256 fits");

static SHA256_CTX *sha_of(struct digest *d) { return (SHA256_CTX *)(void *)d->words; }

void digest_reset(struct digest *d) { SHA256_Init(sha_of(d)); }
void digest_add(struct digest *d, const void *p, size_t n) { SHA256_Update(sha_of(d), p, n); }
void digest_end(struct digest *d, uint8_t ret_digest[DIGEST_BYTES]) { SHA256_Final(ret_digest, sha_of(d)); }

#define BLOCK_BYTES 64
#define LENGTH_BYTES 8

/* What is left of the last block goes to the end of the message by hand: whole blocks are digested where they lie, and the state is the digest. */
void digest_once(const void *p, size_t n, uint8_t ret_digest[DIGEST_BYTES])
{
	uint8_t last[2 * BLOCK_BYTES] = { 0 };
	size_t rest = n % BLOCK_BYTES, bytes = rest + 1 + LENGTH_BYTES > BLOCK_BYTES ? 2 * BLOCK_BYTES : BLOCK_BYTES;
	SHA256_CTX sha;

	SHA256_Init(&sha);
	if (n > rest)
		SHA256_Update(&sha, p, n - rest);
	if (rest > 0)
		memcpy(last, (const uint8_t *)p + n - rest, rest);
	last[rest] = 0x80;
	be64_put(last + bytes - LENGTH_BYTES, (uint64_t)n * 8);
	SHA256_Update(&sha, last, bytes);
	for (size_t i = 0; i < DIGEST_BYTES / 4; i++)
		be32_put(ret_digest + 4 * i, sha.h[i]);
}

int digest_sha256(const void *p, size_t n, uint8_t ret_digest[DIGEST_BYTES])
{
	digest_once(p, n, ret_digest);
	return 0;
}

int digest_new(struct digest **ret_digest)
{
	struct digest *d = OPENSSL_zalloc(sizeof(*d));

	if (d == NULL)
		return KEYS_E_CRYPTO;
	digest_reset(d);
	*ret_digest = d;
	return 0;
}

void digest_free(struct digest *d) { OPENSSL_free(d); }

static int hex_nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool hex_decode(const char *text, uint8_t *ret_bytes, size_t n)
{
	if (strlen(text) != 2 * n)
		return false;
	for (size_t i = 0; i < 2 * n; i++)
		if (hex_nibble(text[i]) < 0)
			return false;
	for (size_t i = 0; i < n; i++)
		ret_bytes[i] = (uint8_t)(hex_nibble(text[2 * i]) << 4 | hex_nibble(text[2 * i + 1]));
	return true;
}

/* Four bytes at once: a nibble into each of eight, seven more for those above 9. */
static void hex_of_four(const uint8_t *p, char *ret)
{
	uint64_t v = be32_get(p);

	v = (v | v << 16) & 0x0000FFFF0000FFFF;
	v = (v | v << 8) & 0x00FF00FF00FF00FF;
	v = (v | v << 4) & 0x0F0F0F0F0F0F0F0F;
	v = htobe64(v + 0x3030303030303030 + ((v + 0x0606060606060606) >> 4 & 0x0101010101010101) * 7);
	memcpy(ret, &v, sizeof(v));
}

typedef int8_t octets16 __attribute__((vector_size(16)));

static octets16 digits_of(octets16 nibbles) { return nibbles + '0' + ((nibbles > 9) & ('A' - '9' - 1)); }

/* Sixteen bytes at once: their upper nibbles and their lower ones, one after the other. */
static void hex_of_sixteen(const uint8_t *p, char *ret)
{
	octets16 v, high, low, text;

	memcpy(&v, p, sizeof(v));
	high = digits_of(v >> 4 & 15);
	low = digits_of(v & 15);
	text = __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	memcpy(ret, &text, sizeof(text));
	text = __builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
	memcpy(ret + sizeof(text), &text, sizeof(text));
}

/* Fewer than sixteen. */
static __attribute__((noinline)) void hex_of_few(const uint8_t *p, size_t n, char *ret)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
		hex_of_four(p + i, ret + 2 * i);
	for (; i < n; i++) {
		ret[2 * i] = digits[p[i] >> 4];
		ret[2 * i + 1] = digits[p[i] & 15];
	}
}

void hex_encode(const uint8_t *p, size_t n, char *ret_text)
{
	size_t i = 0;

	for (; i + 16 <= n; i += 16)
		hex_of_sixteen(p + i, ret_text + 2 * i);
	if (i < n)
		hex_of_few(p + i, n - i, ret_text + 2 * i);
	ret_text[2 * n] = '\0';
}

/* Civil date from days since 1970-01-01 (proleptic Gregorian, years counted from March). */
static void civil_of_days(int64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*ret_day = doy - (153 * mp + 2) / 5 + 1;
	*ret_month = mp < 10 ? mp + 3 : mp - 9;
	*ret_year = (unsigned)(yoe + era * 400) + (*ret_month <= 2);
}

static int64_t days_of_civil(unsigned year, unsigned month, unsigned day)
{
	int64_t y = (int64_t)year - (month <= 2), era = y / 400;
	unsigned yoe = (unsigned)(y - era * 400), doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

#define LOCAL_OFFSET_S (8 * 3600)
static uint8_t bcd(unsigned v) { return (uint8_t)(v / 10 << 4 | v % 10); }

#define DAY_S 86400
/* A civil day's first second, and its date as a MAC has it. */
struct civil_day { int64_t from_s; uint8_t bcd[4]; };

static struct civil_day day_of_s(int64_t s)
{
	int64_t days = s / DAY_S - (s % DAY_S < 0);
	unsigned year, month, day;

	civil_of_days(days, &year, &month, &day);
	return (struct civil_day){ days * DAY_S, { bcd(year / 100 % 100), bcd(year % 100), bcd(month), bcd(day) } };
}

struct mac_time mac_time_of_ms(int64_t time_ms)
{
	static _Thread_local struct civil_day day = { .from_s = INT64_MAX };	/* codes are asked about day by day */
	int64_t s = time_ms / 1000 - (time_ms % 1000 < 0) + LOCAL_OFFSET_S;
	unsigned left;

	if (s < day.from_s || s - day.from_s >= DAY_S)
		day = day_of_s(s);
	left = (unsigned)(s - day.from_s);
	return (struct mac_time){ { day.bcd[0], day.bcd[1], day.bcd[2], day.bcd[3], bcd(left / 3600), bcd(left / 60 % 60), bcd(left % 60) } };
}

bool mac_time_to_ms(const struct mac_time *t, int64_t *ret_ms)
{
	static const unsigned month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	unsigned v[7], year, leap;

	for (size_t i = 0; i < 7; i++) {
		if (t->bcd[i] >> 4 > 9 || (t->bcd[i] & 15) > 9)
			return false;
		v[i] = (t->bcd[i] >> 4) * 10u + (t->bcd[i] & 15);
	}
	year = v[0] * 100 + v[1];
	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (year < 1970 || v[2] < 1 || v[2] > 12 || v[3] < 1 || v[3] > month_days[v[2] - 1] + (v[2] == 2 ? leap : 0))
		return false;
	if (v[4] > 23 || v[5] > 59 || v[6] > 59)
		return false;
	*ret_ms = (days_of_civil(year, v[2], v[3]) * 86400 + v[4] * 3600 + v[5] * 60 + v[6] - LOCAL_OFFSET_S) * 1000;
	return true;
}
