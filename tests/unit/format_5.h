/* format_5 - persons' days as a store of format 5 has them: by person, then day, and no row says which is before it. */
#ifndef TESTS_UNIT_FORMAT_5_H
#define TESTS_UNIT_FORMAT_5_H

#include "clearing/ridden.h"
#include "tests/unit/house.h"

static inline size_t bytes_before_format_6(uint8_t *bytes, size_t n)
{
	uint64_t ago;
	size_t used = varnum_get(bytes + 1, n - 1, &ago);

	bytes[0] = (uint8_t)((bytes[0] & 0x80) | 1);
	memmove(bytes + 1, bytes + 1 + used, n - 1 - used);
	return n - used;
}

static inline void key_before_format_6(uint64_t person, int32_t day, uint8_t ret[RIDDEN_KEY_BYTES])
{
	be64_put(ret, person);
	be32_put(ret + 8, (uint32_t)day ^ 0x80000000u);
}

/* All that lies by day, as a store of format 5 has it. */
static inline void persons_as_before(struct house *h)
{
	struct { uint8_t key[RIDDEN_KEY_BYTES], *bytes; size_t n; } row[256];
	size_t count = 0;
	struct iter it;
	struct txn t;

	assert_int_equal(txn_begin(h->store, true, &t), 0);
	iter_open(&t, DB_PERSON_DAY, NULL, 0, &it);
	while (iter_next(&it)) {
		assert_true(count < sizeof(row) / sizeof(row[0]) && it.key_bytes == RIDDEN_KEY_BYTES);
		memcpy(row[count].key, it.key, it.key_bytes);
		row[count].bytes = malloc(it.val_bytes);
		assert_non_null(row[count].bytes);
		memcpy(row[count].bytes, it.val, it.val_bytes);
		row[count++].n = it.val_bytes;
	}
	iter_close(&it);
	assert_true(count > 0);
	while (count-- > 0) {
		uint8_t at[RIDDEN_KEY_BYTES];

		key_before_format_6(be64_get(row[count].key + 4), (int32_t)(be32_get(row[count].key) ^ 0x80000000u), at);
		txn_put(&t, DB_RIDDEN, at, sizeof(at), row[count].bytes, bytes_before_format_6(row[count].bytes, row[count].n));
		txn_del(&t, DB_PERSON_DAY, row[count].key, sizeof(row[count].key));
		txn_del(&t, DB_PERSON_LAST, row[count].key + 4, 8);
		free(row[count].bytes);
	}
	assert_int_equal(txn_commit(&t), 0);
}

#endif
