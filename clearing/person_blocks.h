/*
 * person_blocks - what the store has by person, put together: a row of a person's day is some fifty bytes, a newest day four, and an entry of
 * the store each would cost more to find than to read. Private to clearing/.
 *
 * A block is a value of DB_PERSON_DAY (key: day, first person) or of DB_PERSON_LAST (key: first person). Its persons rise; numbers as
 * varnum_put() writes them:
 *   DB_PERSON_DAY: version 4; each person: how far from the one before (the first: 0, the key names him), bytes of his row, row (ridden.h)
 *   DB_PERSON_LAST: version 1, a day 4 (top bit flipped); each person: how far from the one before, how many days before that day his newest is
 * No two blocks of a day, or of the list, overlap. Up to format 6 each value was one person's, a row of version 1 or 2, or a day of four bytes.
 * Such are read as what they are, and those of the list are put together with others once one near them changes.
 */
#ifndef CLEARING_PERSON_BLOCKS_H
#define CLEARING_PERSON_BLOCKS_H

#include "clearing/clearing.h"
#include "clearing/ridden.h"

#define PERSON_DAY_BYTES 2018	/* of a block with more than one row, at most: two lie in a page of the store */
#define PERSON_LAST_BYTES 490	/* the same: eight */

/* The persons of a block in turn. Good while the value is. */
struct block_persons {
	enum db db;
	const uint8_t *p; size_t n, next; int32_t base;
	bool alone, damaged;			/* one person's value; it is cut, or not what a block is */
	uint64_t person;			/* then: of him */
	const uint8_t *row; size_t row_bytes;	/* of DB_PERSON_DAY */
	int32_t day;				/* of DB_PERSON_LAST */
};
void persons_open(enum db db, uint64_t first, const void *val, size_t n, struct block_persons *ret);
bool persons_next(struct block_persons *w);		/* false: no more, or damaged */
/* The person in the list of newest days, or of a day (of the list the day says nothing). False: he is not there; a damaged block sets txn.error. */
bool block_find(struct txn *t, enum db db, int32_t day, uint64_t person, struct block_persons *ret);

/* Rows of a day, persons rising, put together. Zero is an empty one; free(p) when done. */
struct person_block { uint64_t first, last; size_t rows, n, space; uint8_t *p; };
bool person_block_takes(const struct person_block *b, uint64_t person, size_t row_bytes);
int person_block_add(struct person_block *b, uint64_t person, const uint8_t *row, size_t row_bytes) CLEARING_MUST_CHECK;
void person_block_empty(struct person_block *b);	/* its memory is kept */
void person_days_del(struct txn *t, const uint8_t above[RIDDEN_KEY_BYTES], const uint8_t below[RIDDEN_KEY_BYTES]);	/* of one day: what begins between, neither of both */

/* These persons' newest day, persons rising, into the list. */
struct newest { uint64_t person; int32_t day; };
void newest_put(struct txn *t, const struct newest *list, size_t count);

#endif
