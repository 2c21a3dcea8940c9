/*
 * refdata_media - a person's media over time: social security card, its electronic form, bank cards, escorts' cards. A replaced or
 * additional medium is another row of the same person, so entitlements, quotas, transfer windows and arrears, which are
 * the person's, go on. And whom an entitlement event touched, for late holds.
 */
#include "clearing/refdata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const medium_names[] = { "", "purse", "ssc", "qr", "bank", "escort", "ride-code", "identity" };
enum { M_PAN, M_PERSON, M_MEDIUM, M_FROM, M_TO, M_COUNT };
static const char *const medium_columns[M_COUNT] = { "pan", "person", "medium", "from", "to" };
#define MEDIUM_BYTES 17

const char *medium_name(uint8_t medium) { return medium < sizeof(medium_names) / sizeof(medium_names[0]) ? medium_names[medium] : ""; }

static int cell_day(const struct ref_reading *r, int column, int32_t fallback, int32_t *ret)
{
	*ret = fallback;
	if (ref_cell(r, column)[0] == '\0' || day_parse(ref_cell(r, column), ret))
		return 0;
	return ref_refuse(r, column, "a date YYYY-MM-DD that exists is needed");
}

static int medium_read(const struct ref_reading *r, struct medium_row *ret)
{
	struct medium_row m = { 0 };
	int code;

	if (!pan_parse(ref_cell(r, M_PAN), m.pan))
		return ref_refuse_unquoted(r, M_PAN, "a card number of at most 20 digits is needed");
	if (!handle_parse(ref_cell(r, M_PERSON), &m.handle))
		return ref_refuse_unquoted(r, M_PERSON, "a person's handle of 16 hex digits is needed");
	for (m.medium = 1; m.medium < sizeof(medium_names) / sizeof(medium_names[0]) && strcmp(ref_cell(r, M_MEDIUM), medium_names[m.medium]) != 0;)
		m.medium++;
	if (medium_name(m.medium)[0] == '\0')
		return ref_refuse(r, M_MEDIUM, "purse, ssc, qr, bank, escort, ride-code or identity is needed");
	code = cell_day(r, M_FROM, INT32_MIN, &m.from);
	if (code == 0)
		code = cell_day(r, M_TO, INT32_MAX, &m.to);
	if (code == 0 && m.to < m.from)
		code = ref_refuse(r, M_TO, "the end lies before the start");
	if (code == 0)
		*ret = m;
	return code;
}

static bool medium_decode(const void *val, size_t n, struct medium_row *ret)
{
	const uint8_t *p = val;

	if (n != REGISTRATION_BYTES_MIN && n != MEDIUM_BYTES)
		return false;
	*ret = (struct medium_row){ .handle = be64_get(p), .from = INT32_MIN, .to = INT32_MAX };
	if (n == MEDIUM_BYTES) {
		ret->medium = p[8];
		ret->from = (int32_t)be32_get(p + 9);
		ret->to = (int32_t)be32_get(p + 13);
	}
	return true;
}

bool medium_find(struct txn *t, const uint8_t pan[10], uint64_t seq, struct medium_row *ret)
{
	const uint8_t *found;
	const void *val;
	uint8_t key[18];
	size_t n;

	memcpy(key, pan, 10);
	be64_put(key + 10, seq);
	if (!txn_get_last_at(t, DB_PERSON, key, 18, 10, &found, &val, &n) || !medium_decode(val, n, ret))
		return false;
	memcpy(ret->pan, pan, 10);
	ret->seq = be64_get(found + 10);
	return true;
}

/* Rides can be priced otherwise: another person's, or an escort's card on other days than before. */
static bool medium_differs(const struct medium_row *a, const struct medium_row *b)
{
	if (a->handle != b->handle || (a->medium == MEDIUM_OF_ESCORT) != (b->medium == MEDIUM_OF_ESCORT))
		return true;
	return a->medium == MEDIUM_OF_ESCORT && (a->from != b->from || a->to != b->to);
}

bool medium_escorts(const void *val, size_t n, struct rider *rider)
{
	struct medium_row m;

	if (n == REGISTRATION_BYTES_MIN || !medium_decode(val, n, &m) || m.medium != MEDIUM_OF_ESCORT)
		return false;
	rider->escort = true;
	rider->escort_from = m.from;
	rider->escort_to = m.to;
	return true;
}

void medium_write(struct txn *t, const struct medium_row *m)
{
	struct medium_row before;
	struct rider none;
	uint8_t key[18], val[MEDIUM_BYTES];
	int32_t first = m->from;
	uint64_t was;
	bool known = medium_find(t, m->pan, m->seq, &before);

	was = known ? before.handle | 1ULL << 63 : rider_find(t, m->pan, m->seq, &none);
	if (known && before.from < first)
		first = before.from;
	memcpy(key, m->pan, 10);
	be64_put(key + 10, m->seq);
	be64_put(val, m->handle);
	val[8] = m->medium;
	be32_put(val + 9, (uint32_t)m->from);
	be32_put(val + 13, (uint32_t)m->to);
	txn_put(t, DB_PERSON, key, 18, val, m->medium != 0 ? MEDIUM_BYTES : REGISTRATION_BYTES_MIN);
	if (known && !medium_differs(&before, m))
		return;
	touched_put(t, m->seq, was, first);
	touched_put(t, m->seq, m->handle | 1ULL << 63, first);
}

int media_apply(struct txn *t, uint64_t seq, const void *p, size_t n, char *error, size_t error_bytes)
{
	struct ref_reading r;
	struct medium_row m;
	int ret = ref_open(&r, "media.csv", p, n, medium_columns, M_COUNT, error, error_bytes);

	if (ret != 0)
		return ret;
	while ((ret = ref_next(&r)) == 1 && (ret = medium_read(&r, &m)) == 0) {
		m.seq = seq;
		if (t != NULL)
			medium_write(t, &m);
	}
	csv_close(r.csv);
	return ret != 0 || t == NULL ? ret : t->error;
}

/* ---- whom an event touched ------------------------------------------------------------------------------ */

void touched_put(struct txn *t, uint64_t seq, uint64_t person, int32_t first_day)
{
	uint8_t key[16], day[4];
	const void *val;
	size_t n;

	if (first_day == INT32_MAX)
		return;
	if (first_day < 0)
		first_day = 0;
	be64_put(key, seq);
	be64_put(key + 8, person);
	if (txn_get(t, DB_TOUCHED, key, 16, &val, &n) && n == 4 && (int32_t)be32_get(val) <= first_day)
		return;
	be32_put(day, (uint32_t)first_day);
	txn_put(t, DB_TOUCHED, key, 16, day, 4);
}

/* Where a hold and what became of it differ first; other NULL: it is only in one of the records. */
static int32_t hold_difference(const struct hold *a, const struct hold *other)
{
	int32_t first = INT32_MAX;

	if (other == NULL || a->grade != other->grade)
		return a->from;
	if (a->to != other->to)
		first = (a->to < other->to ? a->to : other->to) + 1;
	if (a->verified_to != other->verified_to) {
		int32_t day = (a->verified_to < other->verified_to ? a->verified_to : other->verified_to) + 1;

		first = day < first ? day : first;
	}
	return first > a->from ? first : a->from;
}

static int32_t holds_difference(const struct rider *a, const struct rider *b)
{
	int32_t first = INT32_MAX, day;

	for (uint8_t i = 0; i < a->hold_count; i++) {
		const struct hold *same = NULL;

		for (uint8_t k = 0; same == NULL && k < b->hold_count; k++)
			if (b->hold[k].group == a->hold[i].group && b->hold[k].from == a->hold[i].from)
				same = &b->hold[k];
		day = hold_difference(&a->hold[i], same);
		first = day < first ? day : first;
	}
	return first;
}

int32_t rider_first_difference(const struct rider *before, const struct rider *after)
{
	int32_t a, b;

	if (before->birth != after->birth || before->home != after->home || before->issued != after->issued)
		return INT32_MIN;
	a = holds_difference(before, after);
	b = holds_difference(after, before);
	return a < b ? a : b;
}

int entitlement_touched(struct txn *t, uint64_t seq, touched_fn fn, void *arg)
{
	uint8_t prefix[8];
	struct iter it;
	int ret = 0;

	be64_put(prefix, seq);
	iter_open(t, DB_TOUCHED, prefix, sizeof(prefix), &it);
	while (ret == 0 && iter_next(&it))
		ret = it.key_bytes == 16 && it.val_bytes == 4 ? fn(arg, be64_get(it.key + 8), (int32_t)be32_get(it.val)) : CLEARING_E_STORE;
	iter_close(&it);
	return ret != 0 ? ret : t->error;
}
