/*
 * day - the settlement day's row: which part of the inbox it is, and how far it has come. A day is cut by an
 * event, so its borders are recorded facts and never a process's clock.
 */
#include "clearing/clearing.h"

#include <string.h>

#define DAY_ROW_BYTES (4 + 1 + 8 + 8 + 8 + DIGEST_BYTES + 1)
#define DAY_ROW_4_BYTES (DAY_ROW_BYTES - 1)	/* up to format 4: sealed by the dump's text */

static void day_key(int32_t day, uint8_t key[4]) { be32_put(key, (uint32_t)day ^ 0x80000000u); }

bool day_decode(const uint8_t *p, size_t n, struct day_row *ret_row)
{
	if (n != DAY_ROW_BYTES && n != DAY_ROW_4_BYTES)
		return false;
	*ret_row = (struct day_row){ .day = (int32_t)be32_get(p), .state = p[4], .first_seq = be64_get(p + 5), .cut_seq = be64_get(p + 13),
				     .tap_count = be64_get(p + 21), .seal = n == DAY_ROW_BYTES ? p[DAY_ROW_4_BYTES] : DAY_SEAL_TEXT };
	memcpy(ret_row->digest, p + 29, DIGEST_BYTES);
	return true;
}

bool day_get(struct txn *t, int32_t day, struct day_row *ret_row)
{
	uint8_t key[4];
	const void *val;
	size_t n;

	day_key(day, key);
	return txn_get(t, DB_DAY, key, 4, &val, &n) && day_decode(val, n, ret_row);
}

void day_put(struct txn *t, const struct day_row *row)
{
	uint8_t key[4], val[DAY_ROW_BYTES];

	day_key(row->day, key);
	be32_put(val, (uint32_t)row->day);
	val[4] = row->state;
	be64_put(val + 5, row->first_seq);
	be64_put(val + 13, row->cut_seq);
	be64_put(val + 21, row->tap_count);
	memcpy(val + 29, row->digest, DIGEST_BYTES);
	val[DAY_ROW_4_BYTES] = row->seal;
	txn_put(t, DB_DAY, key, 4, val, sizeof(val));
}

int32_t day_open_get(struct txn *t)
{
	const void *val;
	size_t n;

	return txn_get(t, DB_META, "open_day", 8, &val, &n) && n == 4 ? (int32_t)be32_get(val) : DAY_NONE;
}

int32_t day_of_seq(struct txn *t, uint64_t seq)
{
	int32_t day = DAY_NONE;
	struct day_row row;
	struct iter it;

	iter_open(t, DB_DAY, NULL, 0, &it);
	while (day == DAY_NONE && iter_next(&it))
		if (day_decode(it.val, it.val_bytes, &row) && seq > row.first_seq && (row.state == DAY_OPEN || seq <= row.cut_seq))
			day = row.day;
	iter_close(&it);
	return day;
}

void day_open_init(struct txn *t, int32_t day)
{
	struct day_row row = { .day = day, .state = DAY_OPEN, .first_seq = inbox_last(t) };
	uint8_t val[4];

	be32_put(val, (uint32_t)day);
	txn_put(t, DB_META, "open_day", 8, val, sizeof(val));
	day_put(t, &row);
}

int day_cut(struct txn *t, int32_t day, int64_t at_ms)
{
	struct day_row row;
	uint8_t body[4];
	const void *part = body;
	size_t bytes = sizeof(body);

	if (day_open_get(t) != day)
		return day_get(t, day, &row) ? CLEARING_E_STATE : CLEARING_E_NO_DAY;
	if (!day_get(t, day, &row) || row.state != DAY_OPEN)
		return CLEARING_E_STATE;
	be32_put(body, (uint32_t)day);
	row.cut_seq = inbox_append(t, EVENT_DAY_CUT, at_ms, &part, &bytes, 1);
	row.state = DAY_CUT;
	day_put(t, &row);
	day_open_init(t, day + 1);
	return t->error;
}
