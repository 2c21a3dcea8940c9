/*
 * refdata_distrust - keys that are compromised, as events. What a key verified was found true once and for all and
 * stays in the inbox; whether that is still worth anything is known at the cut of the day that clears the tap. So a day
 * cleared before the event keeps its bytes, and the ring may change without changing any day.
 */
#include "clearing/refdata.h"

#include <inttypes.h>
#include <string.h>

size_t distrust_text(const struct distrust *d, char ret_text[PUBLISH_TEXT_BYTES])
{
	char issuer[9];

	hex_encode(d->issuer, 4, issuer);
	return (size_t)snprintf(ret_text, PUBLISH_TEXT_BYTES, "qingfen keys compromise\nissuer %s\nscheme %u\nalg %s\nversion %u\nindex %u\nfrom_ms %" PRId64 "\n",
				issuer, d->scheme, d->alg == KEY_ALG_SM4 ? "sm4" : "3des", d->version, d->index, d->from_ms);
}

void distrust_encode(const struct distrust *d, uint8_t ret_body[DISTRUST_BYTES])
{
	memset(ret_body, 0, DISTRUST_BYTES);
	be64_put(ret_body, (uint64_t)d->from_ms);
	memcpy(ret_body + 8, d->by, strlen(d->by));
	memcpy(ret_body + 104, d->issuer, 4);
	ret_body[108] = d->scheme;
	ret_body[109] = d->alg;
	ret_body[110] = d->version;
	ret_body[111] = d->index;
}

static void body_read(const uint8_t *p, struct distrust *ret)
{
	*ret = (struct distrust){ .from_ms = (int64_t)be64_get(p), .scheme = p[108], .alg = p[109], .version = p[110], .index = p[111] };
	memcpy(ret->by, p + 8, PERSON_NAME_BYTES_MAX);
	memcpy(ret->issuer, p + 104, 4);
}

static bool same_key(const struct distrust *a, const struct distrust *b)
{
	return memcmp(a->issuer, b->issuer, 4) == 0 && a->scheme == b->scheme && a->alg == b->alg && a->version == b->version && a->index == b->index;
}

static int refuse(char *error, size_t error_bytes, const char *text)
{
	snprintf(error, error_bytes, "keys compromise: %s", text);
	return CLEARING_E_REFERENCE;
}

int distrust_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	struct distrust d, *was = NULL;
	char text[PUBLISH_TEXT_BYTES];
	int ret;

	if (n != DISTRUST_BYTES || p[109] > KEY_ALG_SM4)
		return refuse(error, error_bytes, "the event has another length or an unknown algorithm");
	body_read(p, &d);
	ret = signature_check(ref, "keys compromise", p, text, distrust_text(&d, text), error, error_bytes);
	if (ret != 0)
		return ret;
	for (size_t i = 0; was == NULL && i < ref->distrust_count; i++)
		if (same_key(&ref->distrust[i], &d))
			was = &ref->distrust[i];
	if (was != NULL && was->from_ms <= d.from_ms)
		return refuse(error, error_bytes, "this key is distrusted from that time or an earlier one already");
	if (was == NULL && ref->distrust_count == DISTRUSTS_MAX)
		return refuse(error, error_bytes, "more than 64 keys");
	if (dry)
		return 0;
	if (was == NULL)
		was = &ref->distrust[ref->distrust_count++];
	*was = d;
	return 0;
}

static bool in_purse(const struct tap *tap) { return tap->kind >= TAP_PURCHASE && tap->kind <= TAP_PRODUCT; }

/* Records name no scheme: theirs is 0. */
bool distrust_names(const struct distrust *d, const struct tap *tap)
{
	enum key_alg alg;

	return tap->time_ms >= d->from_ms && in_purse(tap) && d->scheme == 0 && key_alg_of_id((uint8_t)tap->alg_id, &alg) && alg == d->alg &&
	       tap->key_version == d->version && (d->index == 0 || tap->key_index == d->index) && memcmp(tap->issuer, d->issuer, 4) == 0;
}

const struct distrust *refdata_distrust(const struct refdata *r, const struct tap *tap)
{
	for (size_t i = 0; i < r->distrust_count; i++)
		if (distrust_names(&r->distrust[i], tap))
			return &r->distrust[i];
	return NULL;
}

const struct distrust *refdata_distrust_of(const struct refdata *r, const struct distrust *key)
{
	for (size_t i = 0; i < r->distrust_count; i++)
		if (same_key(&r->distrust[i], key))
			return &r->distrust[i];
	return NULL;
}

enum key_check refdata_check_of(const struct refdata *r, const struct tap *tap, enum key_check mark)
{
	return mark == KEY_CHECK_GOOD && refdata_distrust(r, tap) != NULL ? KEY_CHECK_DISTRUSTED : mark;
}
