/*
 * refdata_confirm - what persons decide about taps whose key is distrusted. One alone moves no money: the second signs the
 * same record, day and decision, and the clear of the day that has his event books it.
 *
 * The invariant: a record is decided once, by two persons of the list.
 */
#include "clearing/refdata.h"

#include <string.h>

enum risk_kind { RISK_CONFIRM = 1 };	/* on disk; 2: refdata_contract.c */
#define KEY_AT (8 + 32 + 64)
#define DIGEST_AT (KEY_AT + TAP_KEY_BYTES + 2)

static int refuse(char *error, size_t error_bytes, const char *text)
{
	snprintf(error, error_bytes, "keys confirm: %s", text);
	return CLEARING_E_REFERENCE;
}

size_t confirm_text(const struct confirm *c, char ret_text[PUBLISH_TEXT_BYTES])
{
	char id[TAP_ID_BYTES], date[11], hex[2 * DIGEST_BYTES + 1];

	tap_id_format(c->key, id);
	day_format(c->day, date);
	hex_encode(c->digest, DIGEST_BYTES, hex);
	return (size_t)snprintf(ret_text, PUBLISH_TEXT_BYTES, "qingfen keys %s\ntap %s\nday %s\nsha256 %s\n", c->decision == CONFIRM_GOOD ? "confirm" : "refuse",
				id, date, hex);
}

void confirm_event(const struct confirm *c, const uint8_t signature[64], uint8_t out[CONFIRM_BYTES])
{
	memset(out, 0, CONFIRM_BYTES);
	out[0] = RISK_CONFIRM;
	out[1] = c->decision;
	be32_put(out + 4, (uint32_t)c->day);
	memcpy(out + 8, c->by[0], strnlen(c->by[0], PERSON_NAME_BYTES_MAX));
	memcpy(out + 40, signature, 64);
	memcpy(out + KEY_AT, c->key, TAP_KEY_BYTES);
	memcpy(out + DIGEST_AT, c->digest, DIGEST_BYTES);
}

static void body_read(const uint8_t *p, struct confirm *ret)
{
	*ret = (struct confirm){ .decision = p[1], .day = (int32_t)be32_get(p + 4) };
	memcpy(ret->by[0], p + 8, PERSON_NAME_BYTES_MAX);
	memcpy(ret->key, p + KEY_AT, TAP_KEY_BYTES);
	memcpy(ret->digest, p + DIGEST_AT, DIGEST_BYTES);
}

const struct confirm *refdata_confirm(const struct refdata *r, const uint8_t key[TAP_KEY_BYTES])
{
	return r->confirm.place != NULL ? table_find(&r->confirm, key) : NULL;
}

const struct confirm *refdata_confirm_next(const struct refdata *r, size_t *at)
{
	return r->confirm.place != NULL ? table_next(&r->confirm, at) : NULL;
}

static bool same_decision(const struct confirm *a, const struct confirm *b)
{
	return a->decision == b->decision && a->day == b->day && memcmp(a->digest, b->digest, DIGEST_BYTES) == 0;
}

/* A first signer may think again until a second has signed; then it is decided. */
static int second_check(const struct refdata *ref, const struct confirm *first, const struct confirm *c, char *error, size_t error_bytes)
{
	const struct person_row *person = person_find(ref->person, ref->person_count, first->by[0]);

	if (first->seq != 0)
		return refuse(error, error_bytes, "two persons have decided about this tap already");
	if (strcmp(first->by[0], c->by[0]) == 0)
		return same_decision(first, c) ? refuse(error, error_bytes, "signed by this person already, a second person is needed") : 0;
	if (person == NULL || memcmp(person->key, first->point, sizeof(first->point)) != 0)
		return 0;	/* he is no longer on the list: this one is the first */
	return same_decision(first, c) ? 0 : refuse(error, error_bytes, "the first person decided otherwise; let him sign anew, or sign the same");
}

static int confirm_add(struct refdata *ref, const struct confirm *c)
{
	const struct person_row *person;
	struct confirm *place;
	uint8_t used;
	bool new;
	int ret = ref->confirm.place == NULL ? table_open(&ref->confirm, TAP_KEY_BYTES, sizeof(struct confirm)) : 0;

	if (ret == 0)
		ret = table_room(&ref->confirm, 1);
	if (ret != 0)
		return ret;
	place = table_at(&ref->confirm, c->key, &new);
	person = new ? NULL : person_find(ref->person, ref->person_count, place->by[0]);
	if (person != NULL && memcmp(person->key, place->point, sizeof(place->point)) == 0 && strcmp(place->by[0], c->by[0]) != 0) {
		memcpy(place->by[1], c->by[0], sizeof(place->by[1]));
		place->seq = ref->seq;
		return 0;
	}
	used = place->used;		/* the table's */
	*place = *c;
	place->used = used;
	return 0;
}

static int confirm_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	const struct confirm *first;
	char text[PUBLISH_TEXT_BYTES];
	struct confirm c;
	int ret;

	if (n != CONFIRM_BYTES || (p[1] != CONFIRM_GOOD && p[1] != CONFIRM_REFUSED))
		return refuse(error, error_bytes, "the event has another length or decision");
	body_read(p, &c);
	ret = signature_check(ref, "keys confirm", p, text, confirm_text(&c, text), error, error_bytes);
	if (ret != 0)
		return ret;
	memcpy(c.point, person_find(ref->person, ref->person_count, c.by[0])->key, sizeof(c.point));
	first = refdata_confirm(ref, c.key);
	if (first != NULL)
		ret = second_check(ref, first, &c, error, error_bytes);
	return ret == 0 && !dry ? confirm_add(ref, &c) : ret;
}

int risk_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	switch (n > 0 ? p[0] : 0) {
	case RISK_CONFIRM: return confirm_apply(ref, p, n, dry, error, error_bytes);
	default: return refuse(error, error_bytes, "an event of a kind this version does not know");
	}
}

/* ---- what waits, what is booked -------------------------------------------------------------------------- */

bool distrusted_find(struct txn *t, const uint8_t key[TAP_KEY_BYTES], int32_t *ret_day, struct cleared *ret_row)
{
	uint8_t at[CLEARED_KEY_BYTES];
	struct cleared row;
	int32_t day;

	if (!key_decided(t, key, INT32_MAX, &day))
		return false;
	row_key(day, CLEARED_RIDE, key, 0, at);
	/* what another house's centre answers is not ours to decide */
	if (!row_get(t, at, &row) || !row.pending || row.check != KEY_CHECK_DISTRUSTED || row.scheme != SCHEME_PURSE)
		return false;
	*ret_day = day;
	*ret_row = row;
	return true;
}

bool confirmed_find(struct txn *t, const uint8_t key[TAP_KEY_BYTES], struct confirmed *ret)
{
	const uint8_t *p;
	const void *val;
	size_t n;

	if (!txn_get(t, DB_CONFIRMED, key, TAP_KEY_BYTES, &val, &n) || n != CONFIRMED_BYTES)
		return false;
	p = val;
	*ret = (struct confirmed){ .day = (int32_t)be32_get(p), .decision = p[4], .seq = be64_get(p + 69) };
	memcpy(ret->by[0], p + 5, PERSON_NAME_BYTES_MAX);
	memcpy(ret->by[1], p + 37, PERSON_NAME_BYTES_MAX);
	return true;
}

void confirmed_put(const struct confirm *c, int32_t day, uint8_t out[CONFIRMED_BYTES])
{
	memset(out, 0, CONFIRMED_BYTES);
	be32_put(out, (uint32_t)day);
	out[4] = c->decision;
	memcpy(out + 5, c->by[0], PERSON_NAME_BYTES_MAX);
	memcpy(out + 37, c->by[1], PERSON_NAME_BYTES_MAX);
	be64_put(out + 69, c->seq);
}
