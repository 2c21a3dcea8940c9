/*
 * code_format - the codes that only their platform can judge (docs/codes.md): how one is recognised when it is scanned,
 * and what can be known of it without asking. Formats are lines of a list, since the platforms' own are not public.
 *
 * Such a code is text. What is known offline is less than of a T-Union code: a ride code names its account and its second
 * and may be signed; an identity code says nothing, so its record carries a token in place of a card number.
 */
#include "validator/validator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 256
#define FIELDS 11
#define SIGNATURE_DIGITS 128		/* r | s as hex, at the end of the code */
#define TIME_DIGITS 10			/* Unix seconds UTC */
enum { F_KIND, F_PREFIX, F_BYTES, F_NUMBER_AT, F_NUMBER_DIGITS, F_TIME_AT, F_VALIDITY, F_LIMIT, F_WAITING, F_ISSUER, F_KEY };

static bool number(const char *text, long min, long max, long *ret)
{
	char *end;

	errno = 0;
	*ret = strtol(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *ret >= min && *ret <= max;
}

/* What lies where must lie within the code and not in its signature. */
static bool places_fit(const struct code_format *f)
{
	int end = f->bytes - (f->has_key ? SIGNATURE_DIGITS : 0), prefix = (int)strlen(f->prefix);

	if (f->has_key && f->bytes <= SIGNATURE_DIGITS)
		return false;
	if (f->number_digits != 0 && (f->number_at < prefix || f->number_at + f->number_digits > end))
		return false;
	return prefix < end && (f->time_at == 0 || (f->time_at >= prefix && f->time_at + TIME_DIGITS <= end));
}

/* The field at fault, from 0; FIELDS: none. */
static int line_read(char *field[FIELDS], struct code_format *ret)
{
	static const struct { int field; long min, max; } bounds[] = { { F_BYTES, 8, TAP_QR_BYTES_MAX }, { F_NUMBER_AT, 0, TAP_QR_BYTES_MAX },
		{ F_NUMBER_DIGITS, 0, 20 }, { F_TIME_AT, 0, TAP_QR_BYTES_MAX }, { F_VALIDITY, 1, 3600 }, { F_LIMIT, 0, 1000000 }, { F_WAITING, 0, 60000 } };
	struct code_format f = { 0 };
	long v[FIELDS] = { 0 };

	if (strcmp(field[F_KIND], "ride-code") != 0 && strcmp(field[F_KIND], "identity") != 0)
		return F_KIND;
	f.kind = field[F_KIND][0] == 'r' ? TAP_BANK_QR : TAP_IDENTITY;
	if (strlen(field[F_PREFIX]) < 2 || strlen(field[F_PREFIX]) >= sizeof(f.prefix))
		return F_PREFIX;
	snprintf(f.prefix, sizeof(f.prefix), "%s", field[F_PREFIX]);
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		if (!number(field[bounds[i].field], bounds[i].min, bounds[i].max, &v[bounds[i].field]))
			return bounds[i].field;
	f.bytes = (uint16_t)v[F_BYTES];
	f.number_at = (uint16_t)v[F_NUMBER_AT];
	f.number_digits = (uint16_t)v[F_NUMBER_DIGITS];
	f.time_at = (uint16_t)v[F_TIME_AT];
	f.validity_s = (uint16_t)v[F_VALIDITY];
	f.limit_fen = (uint32_t)v[F_LIMIT];
	f.waiting_max = (uint16_t)v[F_WAITING];
	if (field[F_ISSUER][0] != '\0' && (strspn(field[F_ISSUER], "0123456789") != 8 || !hex_decode(field[F_ISSUER], f.issuer, 4)))
		return F_ISSUER;
	f.has_key = field[F_KEY][0] != '\0';
	if (f.has_key && !hex_decode(field[F_KEY], f.key, sizeof(f.key)))
		return F_KEY;
	if (!places_fit(&f) || (f.kind == TAP_BANK_QR && f.number_digits == 0))
		return F_BYTES;
	*ret = f;
	return FIELDS;
}

static bool line_split(char *line, char *field[FIELDS])
{
	static char empty[1];		/* no key */
	size_t n = 1;

	field[0] = line;
	for (char *p = line; *p != '\0'; p++)
		if (*p == ',') {
			if (n == FIELDS)
				return false;
			*p = '\0';
			field[n++] = p + 1;
		}
	if (n == FIELDS - 1)
		field[n++] = empty;
	return n == FIELDS;
}

int code_formats_parse(const char *name, const void *p, size_t n, struct code_formats *ret, char *ret_error, size_t error_bytes)
{
	struct code_formats all = { 0 };
	const char *at = p;
	unsigned line_number = 0;

	while (n > 0) {
		const char *stop = memchr(at, '\n', n);
		size_t bytes = stop != NULL ? (size_t)(stop - at) : n, whole = bytes + (stop != NULL);
		char line[LINE_BYTES], *field[FIELDS];
		int fault = F_KIND;
		unsigned column = 1;

		line_number++;
		if (bytes > 0 && at[bytes - 1] == '\r')
			bytes--;
		if (bytes > 0 && at[0] != '#') {
			if (bytes < sizeof(line) && memchr(at, '\0', bytes) == NULL && all.count < CODE_FORMATS_MAX) {
				memcpy(line, at, bytes);
				line[bytes] = '\0';
				fault = line_split(line, field) ? line_read(field, &all.row[all.count]) : F_KIND;
				if (fault != FIELDS && fault != F_KIND)
					column = (unsigned)(field[fault] - line) + 1;
			}
			if (fault != FIELDS) {
				snprintf(ret_error, error_bytes, "%s:%u:%u: ride-code or identity, prefix, bytes, number at, its digits, time at, validity s, limit fen, "
					 "rides waiting, issuer, key: eleven fields are needed that fit each other, at most %d lines", name, line_number, column, CODE_FORMATS_MAX);
				return -EINVAL;
			}
			all.count++;
		}
		at += whole;
		n -= whole;
	}
	*ret = all;
	return 0;
}

const struct code_format *code_format_of(const struct code_formats *all, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < all->count; i++)
		if (n == all->row[i].bytes && memcmp(p, all->row[i].prefix, strlen(all->row[i].prefix)) == 0)
			return &all->row[i];
	return NULL;
}

/* An opaque code's stand-in for a card number: 99 and seventeen digits of its SHA-256. */
static bool token_of(const uint8_t *p, size_t n, uint8_t ret_pan[10])
{
	uint8_t digest[DIGEST_BYTES];
	char digits[21] = "099";

	if (digest_sha256(p, n, digest) != 0)
		return false;
	for (size_t i = 3; i < 20; i++)
		digits[i] = (char)('0' + digest[i] % 10);
	digits[20] = '\0';
	return pan_parse(digits, ret_pan);
}

static bool digits_at(const uint8_t *p, size_t n, char *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		ret[i] = (char)p[i];
	}
	ret[n] = '\0';
	return true;
}

static bool signature_good(const struct code_format *f, const uint8_t *p)
{
	char text[SIGNATURE_DIGITS + 1];
	uint8_t signature[64];

	memcpy(text, p + f->bytes - SIGNATURE_DIGITS, SIGNATURE_DIGITS);
	text[SIGNATURE_DIGITS] = '\0';
	return hex_decode(text, signature, sizeof(signature)) && sm2_verify(f->key, p, f->bytes - SIGNATURE_DIGITS, signature);
}

enum code_fault code_format_check(const struct code_format *f, const uint8_t *p, int64_t at_s, uint8_t ret_pan[10])
{
	char digits[21];

	if (f->time_at != 0) {
		int64_t made;

		if (!digits_at(p + f->time_at, TIME_DIGITS, digits))
			return CODE_WRONG;
		made = strtoll(digits, NULL, 10);
		if (at_s - made > f->validity_s || made - at_s > f->validity_s)
			return CODE_EXPIRED;
	}
	if (f->has_key && !signature_good(f, p))
		return CODE_WRONG;
	if (f->number_digits == 0)
		return token_of(p, f->bytes, ret_pan) ? CODE_SOUND : CODE_WRONG;
	return digits_at(p + f->number_at, f->number_digits, digits) && pan_parse(digits, ret_pan) ? CODE_SOUND : CODE_WRONG;
}
