/*
 * refdata_rider - persons and their entitlements in LMDB, each version under the inbox position that brought
 * it: what was known when a day was cut can be asked again years later. Nothing personal but category,
 * validity and a pseudonymous handle is kept.
 */
#include "clearing/refdata.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HOLD_BYTES (2 + 1 + 4 + 4 + 4 + 4)
#define RIDER_BYTES (4 + 4 + 4 + 1 + RIDER_HOLDS_MAX * HOLD_BYTES)

enum { R_PAN, R_PERSON, R_BIRTH, R_ISSUED, R_HOME, R_GROUP, R_GRADE, R_FROM, R_TO, R_VERIFIED, R_COUNT };
static const char *const rider_columns[R_COUNT] = { "pan", "person", "birth", "issued", "home", "group", "grade", "from", "to", "verified_to" };

struct rider_line { uint8_t pan[10]; uint64_t person; struct rider rider; bool has_hold; struct hold hold; };

static size_t rider_pack(const struct rider *r, uint8_t *p)
{
	be32_put(p, (uint32_t)r->birth);
	be32_put(p + 4, (uint32_t)r->issued);
	be32_put(p + 8, r->home);
	p[12] = r->hold_count;
	for (uint8_t i = 0; i < r->hold_count; i++) {
		uint8_t *q = p + 13 + i * HOLD_BYTES;

		be16_put(q, r->hold[i].group);
		q[2] = r->hold[i].grade;
		be32_put(q + 3, (uint32_t)r->hold[i].from);
		be32_put(q + 7, (uint32_t)r->hold[i].to);
		be32_put(q + 11, (uint32_t)r->hold[i].verified_to);
		be32_put(q + 15, r->hold[i].batch);
	}
	return 13 + (size_t)r->hold_count * HOLD_BYTES;
}

static bool rider_unpack(const uint8_t *p, size_t n, struct rider *ret)
{
	struct rider r = { 0 };

	if (n < 13 || p[12] > RIDER_HOLDS_MAX || n != 13 + (size_t)p[12] * HOLD_BYTES)
		return false;
	r.birth = (int32_t)be32_get(p);
	r.issued = (int32_t)be32_get(p + 4);
	r.home = be32_get(p + 8);
	r.hold_count = p[12];
	for (uint8_t i = 0; i < r.hold_count; i++) {
		const uint8_t *q = p + 13 + i * HOLD_BYTES;

		r.hold[i] = (struct hold){ .group = be16_get(q), .grade = q[2], .from = (int32_t)be32_get(q + 3), .to = (int32_t)be32_get(q + 7),
					   .verified_to = (int32_t)be32_get(q + 11), .batch = be32_get(q + 15) };
	}
	*ret = r;
	return true;
}

static int cell_day(const struct ref_reading *r, int column, int32_t fallback, int32_t *ret)
{
	*ret = fallback;
	if (ref_cell(r, column)[0] == '\0' || day_parse(ref_cell(r, column), ret))
		return 0;
	return ref_refuse(r, column, "a date YYYY-MM-DD that exists is needed");
}

static int cell_number(const struct ref_reading *r, int column, uint64_t max, uint64_t fallback, uint64_t *ret)
{
	char *end;

	*ret = fallback;
	if (ref_cell(r, column)[0] == '\0')
		return 0;
	errno = 0;
	*ret = strtoull(ref_cell(r, column), &end, 10);
	if (errno != 0 || *end != '\0' || ref_cell(r, column)[0] == '-' || *ret > max)
		return ref_refuse(r, column, "a whole number in range is needed");
	return 0;
}

static int hold_read(const struct ref_reading *r, const struct refdata *ref, uint64_t seq, struct rider_line *line)
{
	const struct tariff *t = ref->pack_count > 0 ? ref->pack[ref->pack_count - 1].tariff : NULL;
	uint64_t grade;
	int ret;

	line->has_hold = ref_cell(r, R_GROUP)[0] != '\0';
	if (!line->has_hold)
		return 0;
	line->hold = (struct hold){ .batch = (uint32_t)seq };
	line->hold.group = t != NULL ? tariff_group_code(t, ref_cell(r, R_GROUP)) : 0;
	if (line->hold.group == 0)
		return ref_refuse(r, R_GROUP, "the newest tariff pack has no such group");
	ret = cell_number(r, R_GRADE, 10, 0, &grade);
	line->hold.grade = (uint8_t)grade;
	if (ret == 0)
		ret = cell_day(r, R_FROM, INT32_MIN + 1, &line->hold.from);
	if (ret == 0)
		ret = cell_day(r, R_TO, INT32_MAX, &line->hold.to);
	if (ret == 0)
		ret = cell_day(r, R_VERIFIED, INT32_MAX, &line->hold.verified_to);
	if (ret == 0 && line->hold.from > line->hold.to)
		ret = ref_refuse(r, R_TO, "the end lies before the start");
	return ret;
}

static int line_read(const struct ref_reading *r, const struct refdata *ref, uint64_t seq, struct rider_line *line)
{
	uint64_t home;
	int ret;

	if (!pan_parse(ref_cell(r, R_PAN), line->pan))
		return ref_refuse_unquoted(r, R_PAN, "a card number of at most 20 digits is needed");
	ret = cell_number(r, R_PERSON, UINT64_MAX, 0, &line->person);
	if (ret == 0 && line->person == 0)
		return ref_refuse(r, R_PERSON, "a person handle above 0 is needed");
	if (ret == 0)
		ret = cell_day(r, R_BIRTH, DAY_NONE, &line->rider.birth);
	if (ret == 0)
		ret = cell_day(r, R_ISSUED, DAY_NONE, &line->rider.issued);
	if (ret == 0)
		ret = cell_number(r, R_HOME, 999999, 0, &home);
	if (ret != 0)
		return ret;
	line->rider.home = (uint32_t)home;
	line->rider.hold_count = 0;
	return hold_read(r, ref, seq, line);
}

/* Replace a hold of the same group that starts the same day, else add. */
static bool hold_merge(struct rider *rider, const struct hold *hold)
{
	for (uint8_t i = 0; i < rider->hold_count; i++)
		if (rider->hold[i].group == hold->group && rider->hold[i].from == hold->from) {
			rider->hold[i] = *hold;
			return true;
		}
	if (rider->hold_count == RIDER_HOLDS_MAX)
		return false;
	rider->hold[rider->hold_count++] = *hold;
	return true;
}

static bool rider_get(struct txn *t, uint64_t person, uint64_t seq, struct rider *ret)
{
	const uint8_t *found;
	const void *val;
	uint8_t key[16];
	size_t n;

	be64_put(key, person);
	be64_put(key + 8, seq);
	return txn_get_last_at(t, DB_RIDER, key, 16, 8, &found, &val, &n) && rider_unpack(val, n, ret);
}

bool rider_of(struct txn *t, uint64_t handle, uint64_t seq, struct rider *ret) { return rider_get(t, handle, seq, ret); }

bool rider_same(const struct rider *a, const struct rider *b)
{
	uint8_t pa[RIDER_BYTES], pb[RIDER_BYTES];
	size_t n = rider_pack(a, pa);

	return n == rider_pack(b, pb) && memcmp(pa, pb, n) == 0;
}

void rider_write(struct txn *t, uint64_t handle, uint64_t seq, const struct rider *rider)
{
	uint8_t key[16], val[RIDER_BYTES];

	be64_put(key, handle);
	be64_put(key + 8, seq);
	txn_put(t, DB_RIDER, key, 16, val, rider_pack(rider, val));
}

static int line_write(struct txn *t, uint64_t seq, const struct rider_line *line)
{
	struct medium_row medium = { .handle = line->person, .from = INT32_MIN, .to = INT32_MAX, .seq = seq };
	struct rider rider = { 0 }, before;

	memcpy(medium.pan, line->pan, 10);
	medium_write(t, &medium);
	if (!rider_get(t, line->person, seq, &rider))
		rider = (struct rider){ .birth = DAY_NONE, .issued = DAY_NONE };
	before = rider;
	if (line->rider.birth != DAY_NONE)
		rider.birth = line->rider.birth;
	if (line->rider.issued != DAY_NONE)
		rider.issued = line->rider.issued;
	if (line->rider.home != 0)
		rider.home = line->rider.home;
	if (line->has_hold && !hold_merge(&rider, &line->hold))
		return CLEARING_E_REFERENCE;
	rider_write(t, line->person, seq, &rider);
	touched_put(t, seq, line->person | 1ULL << 63, rider_first_difference(&before, &rider));
	return t->error;
}

int riders_apply(const struct refdata *ref, struct txn *t, uint64_t seq, const void *p, size_t n, char *error, size_t error_bytes)
{
	struct ref_reading r;
	struct rider_line line;
	int ret = ref_open(&r, "riders.csv", p, n, rider_columns, R_COUNT, error, error_bytes);

	if (ret != 0)
		return ret;
	while ((ret = ref_next(&r)) == 1) {
		ret = line_read(&r, ref, seq, &line);
		if (ret == 0 && t != NULL)
			ret = line_write(t, seq, &line);
		if (ret == CLEARING_E_REFERENCE && error[0] == '\0')
			ref_refuse(&r, R_GROUP, "more than 8 entitlements for one person");
		if (ret != 0)
			break;
	}
	csv_close(r.csv);
	return ret;
}

/* Eight bytes at once: digits to numbers below 100, then two, four and eight of them to one. */
uint64_t card_person(const uint8_t pan[10])
{
	uint64_t v, high = (pan[0] >> 4) * 1000u + (pan[0] & 15) * 100u + (pan[1] >> 4) * 10u + (pan[1] & 15);

	memcpy(&v, pan + 2, sizeof(v));
	v = be64toh(v);
	v -= (v >> 4 & 0x0F0F0F0F0F0F0F0F) * 6;
	v = (v >> 8 & 0x00FF00FF00FF00FF) * 100 + (v & 0x00FF00FF00FF00FF);
	v = (v >> 16 & 0x0000FFFF0000FFFF) * 10000 + (v & 0x0000FFFF0000FFFF);
	v = (v >> 32) * 100000000 + (v & 0xFFFFFFFF);
	return (high * 10000000000000000 + v) & ~(1ULL << 63);
}

/* The card's newest registration, if it has one. */
static bool registration_find(struct txn *t, const uint8_t pan[10], uint64_t seq, struct registration *ret)
{
	const uint8_t *found;
	uint8_t key[18];
	const void *val;
	size_t n;

	memcpy(key, pan, 10);
	be64_put(key + 10, seq);
	*ret = (struct registration){ 0 };
	if (!txn_get_last_at(t, DB_PERSON, key, 18, 10, &found, &val, &n) || n < REGISTRATION_BYTES_MIN)
		return false;
	*ret = (struct registration){ val, n, be64_get(found + 10) };
	return true;
}

uint64_t card_bearer(struct txn *t, const uint8_t pan[10], uint64_t seq, struct registration *ret)
{
	return registration_find(t, pan, seq, ret) ? be64_get(ret->val) | 1ULL << 63 : card_person(pan);
}

void rider_registered(struct txn *t, uint64_t person, const void *registration, size_t n, uint64_t seq, struct rider *ret_rider)
{
	*ret_rider = (struct rider){ .birth = DAY_NONE, .issued = DAY_NONE };
	rider_get(t, person & ~(1ULL << 63), seq, ret_rider);
	medium_escorts(registration, n, ret_rider);
}

uint64_t rider_find(struct txn *t, const uint8_t pan[10], uint64_t seq, struct rider *ret_rider)
{
	struct registration r;

	*ret_rider = (struct rider){ .birth = DAY_NONE, .issued = DAY_NONE };
	if (!registration_find(t, pan, seq, &r))
		return card_person(pan);
	rider_registered(t, be64_get(r.val), r.val, r.bytes, seq, ret_rider);
	return be64_get(r.val) | 1ULL << 63;
}
