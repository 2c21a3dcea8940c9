/*
 * deny - bank cards that ride no more: tokens in rising order under the centre's signature, looked up by bisection.
 * A list is taken whole or not at all; the version is inside what is signed, so an older list cannot be passed off as
 * the newest.
 */
#include "validator/validator.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "qingfen-deny 1 "
#define TAIL "signature "
#define TOKEN_DIGITS (2 * BANK_TOKEN_BYTES)

struct deny_list { uint32_t version; size_t count; struct deny_row row[]; };

static const struct { enum deny_reason reason; const char *name; } reasons[] = { { DENY_BANK, "bank" }, { DENY_ARREARS, "arrears" }, { DENY_RISK, "risk" } };

int bank_token(const uint8_t key[BANK_TOKEN_KEY_BYTES], const uint8_t pan[10], uint8_t ret_token[BANK_TOKEN_BYTES])
{
	uint8_t digest[DIGEST_BYTES];
	int ret = hmac_sm3(key, BANK_TOKEN_KEY_BYTES, pan, 10, digest);

	if (ret == 0)
		memcpy(ret_token, digest, BANK_TOKEN_BYTES);
	return ret;
}

const char *deny_reason_name(enum deny_reason r)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].reason == r)
			return reasons[i].name;
	return "?";
}

/* ---- reading ----------------------------------------------------------------------------------------- */

struct reading { const char *at, *end; unsigned line, column; const char *reason; };

static bool fault(struct reading *r, unsigned column, const char *reason)
{
	r->column = column;
	r->reason = reason;
	return false;
}

/* The next line without its end; a text that does not end in one is cut. */
static bool line_next(struct reading *r, char *ret, size_t bytes)
{
	const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
	size_t n = stop != NULL ? (size_t)(stop - r->at) : 0;

	r->line++;
	if (stop == NULL || n >= bytes || memchr(r->at, '\0', n) != NULL)
		return fault(r, 1, "the list ends too early, or a line is too long");
	memcpy(ret, r->at, n);
	ret[n] = '\0';
	r->at = stop + 1;
	return true;
}

static bool number_next(const char **p, char stop, uint32_t max, uint32_t *ret)
{
	char *end;
	unsigned long v = **p >= '0' && **p <= '9' ? strtoul(*p, &end, 10) : (end = NULL, 0);

	if (end == NULL || *end != stop || v > max)
		return false;
	*p = end + (stop != '\0');
	*ret = (uint32_t)v;
	return true;
}

static bool head_read(struct reading *r, uint32_t *ret_version, uint32_t *ret_count)
{
	char line[64];
	const char *p = line + strlen(HEAD);

	if (!line_next(r, line, sizeof(line)))
		return false;
	if (strncmp(line, HEAD, strlen(HEAD)) != 0 || !number_next(&p, ' ', UINT32_MAX, ret_version) || !number_next(&p, '\0', DENY_ROWS_MAX, ret_count))
		return fault(r, 1, "\"qingfen-deny 1 VERSION COUNT\" is needed, at most 4000000 rows");
	return (size_t)(r->end - r->at) / (TOKEN_DIGITS + 1) >= *ret_count || fault(r, 1, "fewer lines than the count says");
}

static bool row_read(struct reading *r, const struct deny_row *before, struct deny_row *ret)
{
	char line[64], token[TOKEN_DIGITS + 1];

	if (!line_next(r, line, sizeof(line)))
		return false;
	snprintf(token, sizeof(token), "%.32s", line);
	if (strlen(line) < TOKEN_DIGITS + 1 || line[TOKEN_DIGITS] != ',' || !hex_decode(token, ret->token, BANK_TOKEN_BYTES))
		return fault(r, 1, "a token of 32 hex digits and a reason are needed");
	ret->reason = 0;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (strcmp(line + TOKEN_DIGITS + 1, reasons[i].name) == 0)
			ret->reason = (uint8_t)reasons[i].reason;
	if (ret->reason == 0)
		return fault(r, TOKEN_DIGITS + 2, "the reason is bank, arrears or risk");
	return before == NULL || memcmp(before->token, ret->token, BANK_TOKEN_BYTES) < 0 || fault(r, 1, "tokens do not rise");
}

static bool signature_read(struct reading *r, const char *whole, const uint8_t point[65])
{
	size_t n = (size_t)(r->at - whole);
	uint8_t signature[64];
	char line[160];

	if (!line_next(r, line, sizeof(line)))
		return false;
	if (strncmp(line, TAIL, strlen(TAIL)) != 0 || strlen(line) != strlen(TAIL) + 128 || !hex_decode(line + strlen(TAIL), signature, 64))
		return fault(r, 1, "\"signature\" and 128 hex digits are needed");
	if (r->at != r->end)
		return fault(r, 1, "something follows the signature");
	return sm2_verify(point, whole, n, signature) || fault(r, 11, "the signature is not the centre's, or the list was changed");
}

int deny_parse(const char *name, const void *p, size_t n, const uint8_t point[65], struct deny_list **ret_list, char *ret_error, size_t error_bytes)
{
	struct reading r = { .at = p, .end = (const char *)p + n, .column = 1, .reason = "out of memory" };
	uint32_t version = 0, count = 0;
	struct deny_list *d = NULL;
	bool good = head_read(&r, &version, &count);

	if (good)
		d = malloc(sizeof(*d) + count * sizeof(d->row[0]));
	good = d != NULL;
	for (uint32_t i = 0; good && i < count; i++)
		good = row_read(&r, i > 0 ? &d->row[i - 1] : NULL, &d->row[i]);
	good = good && signature_read(&r, p, point);
	if (!good) {
		snprintf(ret_error, error_bytes, "%s:%u:%u: %s", name, r.line > 0 ? r.line : 1, r.column, r.reason);
		free(d);
		return -EINVAL;
	}
	d->version = version;
	d->count = count;
	*ret_list = d;
	return 0;
}

void deny_free(struct deny_list *d) { free(d); }
uint32_t deny_version(const struct deny_list *d) { return d != NULL ? d->version : 0; }
size_t deny_count(const struct deny_list *d) { return d->count; }

bool deny_has(const struct deny_list *d, const uint8_t token[BANK_TOKEN_BYTES], enum deny_reason *ret_reason)
{
	size_t low = 0, high = d->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = memcmp(d->row[mid].token, token, BANK_TOKEN_BYTES);

		if (order == 0) {
			*ret_reason = (enum deny_reason)d->row[mid].reason;
			return true;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* ---- making -------------------------------------------------------------------------------------------- */

/* Of one token the gravest reason comes first. */
static int row_compare(const void *pa, const void *pb)
{
	const struct deny_row *a = pa, *b = pb;
	int order = memcmp(a->token, b->token, BANK_TOKEN_BYTES);

	return order != 0 ? order : (int)a->reason - (int)b->reason;
}

int deny_seal(const struct qr_key *key, uint32_t version, struct deny_row *row, size_t count, char **ret_text, size_t *ret_n)
{
	char token[TOKEN_DIGITS + 1], hex[129], *text = NULL;
	uint8_t signature[64];
	size_t kept = 0, n = 0;
	FILE *f;
	int ret;

	if (count > 1)
		qsort(row, count, sizeof(row[0]), row_compare);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || memcmp(row[kept - 1].token, row[i].token, BANK_TOKEN_BYTES) != 0)
			row[kept++] = row[i];
	f = open_memstream(&text, &n);
	if (f == NULL || kept > DENY_ROWS_MAX) {
		if (f != NULL)
			fclose(f);
		free(text);
		return f == NULL ? -ENOMEM : -E2BIG;
	}
	fprintf(f, HEAD "%" PRIu32 " %zu\n", version, kept);
	for (size_t i = 0; i < kept; i++) {
		hex_encode(row[i].token, BANK_TOKEN_BYTES, token);
		fprintf(f, "%s,%s\n", token, deny_reason_name((enum deny_reason)row[i].reason));
	}
	fflush(f);
	ret = sm2_sign(key, text, n, signature);
	hex_encode(signature, 64, hex);
	fprintf(f, TAIL "%s\n", hex);
	if (fclose(f) != 0 && ret == 0)
		ret = -ENOMEM;
	if (ret != 0) {
		free(text);
		return ret;
	}
	*ret_text = text;
	*ret_n = n;
	return 0;
}
