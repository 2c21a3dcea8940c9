/*
 * refdata_device - what the inbox says about devices: the cap on value that no key has proven, and the records beyond
 * it that a person has released. A record is released once; the clear of the day that has the event settles it.
 */
#include "clearing/refdata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum device_kind { DEVICE_CAP = 1, DEVICE_RELEASE = 2 };	/* on disk */
#define CAP_FEN_MAX 1000000000000LL
#define KEY_AT (8 + 32 + 64)
#define DIGEST_AT (KEY_AT + TAP_KEY_BYTES + 2)

static int refuse(char *error, size_t error_bytes, const char *text)
{
	snprintf(error, error_bytes, "device: %s", text);
	return CLEARING_E_REFERENCE;
}

/* ---- the cap -------------------------------------------------------------------------------------- */

int64_t refdata_cap_fen(const struct refdata *r) { return r->cap_fen; }

void device_cap_event(int64_t fen, uint8_t out[DEVICE_CAP_BYTES])
{
	memset(out, 0, DEVICE_CAP_BYTES);
	out[0] = DEVICE_CAP;
	be64_put(out + 8, (uint64_t)fen);
}

static int cap_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	int64_t fen = n == DEVICE_CAP_BYTES ? (int64_t)be64_get(p + 8) : -1;

	if (fen < 0 || fen > CAP_FEN_MAX)
		return refuse(error, error_bytes, "a cap of 0 to 1000000000000 fen is needed");
	if (!dry)
		ref->cap_fen = fen;
	return 0;
}

/* ---- releases --------------------------------------------------------------------------------------- */

size_t release_text(const uint8_t key[TAP_KEY_BYTES], int32_t day, const uint8_t digest[DIGEST_BYTES], char ret_text[PUBLISH_TEXT_BYTES])
{
	char id[TAP_ID_BYTES], date[11], hex[2 * DIGEST_BYTES + 1];

	tap_id_format(key, id);
	day_format(day, date);
	hex_encode(digest, DIGEST_BYTES, hex);
	return (size_t)snprintf(ret_text, PUBLISH_TEXT_BYTES, "qingfen device release\ntap %s\nday %s\nsha256 %s\n", id, date, hex);
}

void release_event(const uint8_t key[TAP_KEY_BYTES], int32_t day, const uint8_t digest[DIGEST_BYTES], const char *by, const uint8_t signature[64],
		   uint8_t out[DEVICE_RELEASE_BYTES])
{
	memset(out, 0, DEVICE_RELEASE_BYTES);
	out[0] = DEVICE_RELEASE;
	be32_put(out + 4, (uint32_t)day);
	memcpy(out + 8, by, strnlen(by, PERSON_NAME_BYTES_MAX));
	memcpy(out + 40, signature, 64);
	memcpy(out + KEY_AT, key, TAP_KEY_BYTES);
	memcpy(out + DIGEST_AT, digest, DIGEST_BYTES);
}

bool release_read(const struct event *e, struct release *ret)
{
	if (e->type != EVENT_DEVICE || e->bytes != DEVICE_RELEASE_BYTES || e->body[0] != DEVICE_RELEASE)
		return false;
	*ret = (struct release){ .day = (int32_t)be32_get(e->body + 4), .seq = e->seq };
	memcpy(ret->by, e->body + 8, PERSON_NAME_BYTES_MAX);
	memcpy(ret->key, e->body + KEY_AT, TAP_KEY_BYTES);
	return true;
}

/* Where a key is or would be. */
static size_t release_place(const struct refdata *r, const uint8_t key[TAP_KEY_BYTES])
{
	size_t low = 0, high = r->release_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(r->release[mid].key, key, TAP_KEY_BYTES) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct release *refdata_release(const struct refdata *r, const uint8_t key[TAP_KEY_BYTES])
{
	size_t at = release_place(r, key);

	return at < r->release_count && memcmp(r->release[at].key, key, TAP_KEY_BYTES) == 0 ? &r->release[at] : NULL;
}

const struct release *refdata_release_at(const struct refdata *r, size_t i) { return i < r->release_count ? &r->release[i] : NULL; }

static int release_add(struct refdata *r, const struct release *add)
{
	size_t at = release_place(r, add->key);

	if (r->release_count == r->release_space) {
		size_t space = r->release_space ? r->release_space * 2 : 64;
		struct release *wide = realloc(r->release, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		r->release = wide;
		r->release_space = space;
	}
	memmove(&r->release[at + 1], &r->release[at], (r->release_count++ - at) * sizeof(*r->release));
	r->release[at] = *add;
	return 0;
}

static int release_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	struct event e = { .seq = ref->seq, .type = EVENT_DEVICE, .body = p, .bytes = n };
	char text[PUBLISH_TEXT_BYTES];
	struct release r;
	int ret;

	if (!release_read(&e, &r))
		return refuse(error, error_bytes, "the event has another length");
	ret = signature_check(ref, "release", p, text, release_text(r.key, r.day, p + DIGEST_AT, text), error, error_bytes);
	if (ret == 0 && refdata_release(ref, r.key) != NULL)
		ret = refuse(error, error_bytes, "this record was released already");
	return ret == 0 && !dry ? release_add(ref, &r) : ret;
}

int device_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	switch (n > 0 ? p[0] : 0) {
	case DEVICE_CAP: return cap_apply(ref, p, n, dry, error, error_bytes);
	case DEVICE_RELEASE: return release_apply(ref, p, n, dry, error, error_bytes);
	default: return refuse(error, error_bytes, "an event of a kind this version does not know");
	}
}

/* ---- what was set aside -------------------------------------------------------------------------------- */

bool set_aside_find(struct txn *t, const uint8_t key[TAP_KEY_BYTES], int32_t *ret_day, struct cleared *ret_row)
{
	uint8_t at[CLEARED_KEY_BYTES];
	struct cleared row;
	int32_t day;

	if (!key_decided(t, key, INT32_MAX, &day))
		return false;
	row_key(day, CLEARED_RIDE, key, 0, at);		/* the first of its key: the others are copies */
	if (!row_get(t, at, &row) || row.verdict != VERDICT_QUARANTINED)
		return false;
	*ret_day = day;
	*ret_row = row;
	return true;
}
