/* old_formats - persons' days as stores of formats 5 and 6 have them. 6: each row by itself, the state ahead of the card numbers. 5: by person,
 * then day, and no row says which is before it. */
#ifndef TESTS_UNIT_OLD_FORMATS_H
#define TESTS_UNIT_OLD_FORMATS_H

#include "clearing/person_blocks.h"
#include "tests/unit/house.h"

/* A row of version 3 as one of 2; as many bytes. */
static inline void row_as_format_6(uint64_t person, int32_t day, uint8_t *bytes, size_t n)
{
	uint8_t *was = malloc(n);
	struct ridden r;
	size_t cards;

	assert_non_null(was);
	memcpy(was, bytes, n);
	assert_true(ridden_open(person, day, was, n, &r) && r.version == 3);
	cards = r.card_end - r.count_at;
	bytes[0] = (uint8_t)((was[0] & 0x80) | 2);
	memcpy(bytes + r.count_at, was + r.card_end, r.state_bytes);
	memcpy(bytes + r.count_at + r.state_bytes, was + r.count_at, cards);
	free(was);
}

/* A row of version 2 as one of 1. */
static inline size_t row_as_format_5(uint8_t *bytes, size_t n)
{
	uint64_t ago;
	size_t used = varnum_get(bytes + 1, n - 1, &ago);

	bytes[0] = (uint8_t)((bytes[0] & 0x80) | 1);
	memmove(bytes + 1, bytes + 1 + used, n - 1 - used);
	return n - used;
}

/* A row of this version as a store of the older format has it, and in its list of newest days. */
static inline void row_put_as_format(struct txn *t, int format, uint64_t person, int32_t day, uint8_t *bytes, size_t n)
{
	uint8_t at[RIDDEN_KEY_BYTES], last[8], newest[4];

	row_as_format_6(person, day, bytes, n);
	if (format == 5) {
		be64_put(at, person);
		be32_put(at + 8, (uint32_t)day ^ 0x80000000u);
		txn_put(t, DB_RIDDEN, at, sizeof(at), bytes, row_as_format_5(bytes, n));
		return;
	}
	ridden_key(person, day, at);
	txn_put(t, DB_PERSON_DAY, at, sizeof(at), bytes, n);
	be64_put(last, person);
	be32_put(newest, (uint32_t)day ^ 0x80000000u);
	txn_put(t, DB_PERSON_LAST, last, sizeof(last), newest, sizeof(newest));
}

static inline void all_del(struct txn *t, enum db db)
{
	for (bool any = true; any; ) {
		uint8_t at[16];
		struct iter it;
		size_t n = 0;

		iter_open(t, db, NULL, 0, &it);
		any = iter_next(&it);
		if (any)
			memcpy(at, it.key, n = it.key_bytes);
		iter_close(&it);
		if (any)
			txn_del(t, db, at, n);
	}
}

/* All rows of persons' days. */
static inline void persons_as_before(struct house *h, int format)
{
	struct { uint64_t person; int32_t day; uint8_t *bytes; size_t n; } row[256];
	size_t count = 0;
	struct iter it;
	struct txn t;

	assert_int_equal(txn_begin(h->store, true, &t), 0);
	iter_open(&t, DB_PERSON_DAY, NULL, 0, &it);
	while (iter_next(&it)) {
		struct block_persons w;

		for (persons_open(DB_PERSON_DAY, be64_get(it.key + 4), it.val, it.val_bytes, &w); persons_next(&w); count++) {
			assert_true(count < sizeof(row) / sizeof(row[0]));
			row[count].person = w.person;
			row[count].day = row_day(it.key);
			row[count].n = w.row_bytes;
			row[count].bytes = malloc(w.row_bytes);
			assert_non_null(row[count].bytes);
			memcpy(row[count].bytes, w.row, w.row_bytes);
		}
		assert_false(w.damaged);
	}
	iter_close(&it);
	assert_true(count > 0);
	all_del(&t, DB_PERSON_DAY);
	all_del(&t, DB_PERSON_LAST);
	for (size_t i = 0; i < count; i++) {
		row_put_as_format(&t, format, row[i].person, row[i].day, row[i].bytes, row[i].n);
		free(row[i].bytes);
	}
	assert_int_equal(txn_commit(&t), 0);
}

#endif
