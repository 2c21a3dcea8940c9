/*
 * ridden - a person's settlement days: what rating remembers at the close of each, the highest counter seen of each card
 * number of the person's, and the records of the day that were rated or count for a card's counter. One row a person
 * and day, made by the day's clear and never edited. Private to clearing/.
 *
 * They lie by day, then person, so that a day's are behind all there are, and what was written is not written again; those of some persons put
 * together (person_blocks.h). A row names the person's row before it, and DB_PERSON_LAST his newest. Numbers as varnum_put() writes them:
 *   version 3: 1, with 0x80 where no ride of the day went into the person's state: then the state is that of the row before
 *   how many days ago the row before is; 0: there is none
 *   card numbers: how many; each its age (days since a record of it last counted here) * 2 + 1 when its digits follow,
 *     else they are the person's handle; card number 10; highest counter 2
 *   state: rider_state_pack(), near the day
 *   records: how many, by time and business key; each flags 1, time after the one before (the first: after the day),
 *     terminal 6, serial 4, with RIDDEN_NTH its number among records of one key, with RIDDEN_COUNTS how far the counter
 *     is from the highest, with RIDDEN_OTHER_CARD besides which card number it is of
 * Rows of days cleared up to format 6 are of version 2 and have the state ahead of the card numbers. Those up to format 5 lie in DB_RIDDEN by
 * person, then day, are of version 1 and do not say which row is before either.
 */
#ifndef CLEARING_RIDDEN_H
#define CLEARING_RIDDEN_H

#include "clearing/clearing.h"

#define RIDDEN_KEY_BYTES 12

/* Flags of a record, on disk. */
#define RIDDEN_RATED 1			/* went to the tariff; else it only counts */
#define RIDDEN_ALONE 2			/* came beyond the window: no other ride is rated with it */
#define RIDDEN_COUNTS 4			/* holds its card's counter */
#define RIDDEN_NTH 8			/* in bytes only, as the next */
#define RIDDEN_OTHER_CARD 16

struct ridden_card { uint8_t pan[10]; uint16_t highest; int32_t day; };	/* day: that last saw the number counted here */
struct ridden_ride {
	int64_t time_ms;
	uint8_t key[TAP_KEY_BYTES]; uint16_t nth;
	uint8_t flags;
	uint16_t counter;		/* with RIDDEN_COUNTS, and of which card number of the row */
	uint32_t card;
};

/* A row to be written; the caller keeps all of it. */
struct ridden_row {
	uint64_t person; int32_t day, before;		/* before: the day of the person's row before; DAY_NONE: none */
	const struct rider_state *state;		/* NULL: none */
	const struct ridden_card *card; size_t cards;
	const struct ridden_ride *ride; size_t rides;	/* by time, then key */
};
int64_t ridden_near_ms(int32_t day);
void ridden_key(uint64_t person, int32_t day, uint8_t ret_key[RIDDEN_KEY_BYTES]);
size_t ridden_bytes_max(const struct ridden_row *row);
size_t ridden_encode(const struct ridden_row *row, uint8_t *out);	/* into ridden_bytes_max(); bytes taken */

/* A row as it lies in the store. Good while val is. */
struct ridden {
	uint64_t person; int32_t day, before;	/* before: as it says; of version 1 DAY_NONE */
	uint8_t version;
	const uint8_t *val; size_t bytes;
	size_t count_at, card_at, card_end;	/* of the card numbers: how many, the first, behind the last */
	size_t state_at, state_bytes, ride_at;	/* state_at 0: none */
	uint32_t cards, rides;
	size_t next; uint32_t left; int64_t time_ms;	/* ridden_next */
};
/* Checked as a whole: what follows cannot fail. False: cut or damaged. */
bool ridden_open(uint64_t person, int32_t day, const uint8_t *val, size_t n, struct ridden *ret);
/* Checked up to the card numbers: of those behind, only the state is to be asked for. */
bool ridden_open_head(uint64_t person, int32_t day, const uint8_t *val, size_t n, struct ridden *ret);
bool ridden_row_state(const struct ridden *r, struct rider_state *ret);	/* of one that has a state; false: it is damaged */
struct ridden_card ridden_card_at(const struct ridden *r, uint32_t i);
bool ridden_card_of(const struct ridden *r, const uint8_t pan[10], struct ridden_card *ret);
bool ridden_next(struct ridden *r, struct ridden_ride *ret);	/* the records in turn */

/* The person's newest row of that day or before it, opened as by ridden_open_head(). False: none; a damaged one sets txn.error. */
bool ridden_before(struct txn *t, uint64_t person, int32_t day, struct ridden *ret);
bool ridden_any(struct txn *t);			/* some day left rows */
/* The person's rows up to a day, the oldest first, until fn answers other than 0, which is returned; or the error. Everyone's: each person's
 * one after the other. */
typedef int (*ridden_fn)(void *arg, struct ridden *row);
int ridden_each(struct txn *t, uint64_t person, int32_t day, ridden_fn fn, void *arg) CLEARING_MUST_CHECK;
int ridden_everyone(struct txn *t, int32_t day, ridden_fn fn, void *arg) CLEARING_MUST_CHECK;
/* Of a key and value for DB_PERSON_DAY: the store has each of the rows, or what a day cleared before format 6 had instead; how many there are. */
bool ridden_stored(struct txn *t, const uint8_t key[RIDDEN_KEY_BYTES], const void *val, size_t n, uint64_t *ret_rows);
uint64_t ridden_count(struct txn *t, int32_t day);	/* rows of a day that lie by day; a damaged block sets txn.error */
/* Every handle whose rides a card number's may be, as known at inbox position seq: the number itself, and the person of
 * each registration in turn. Stops at the first that is not 0, and returns it. */
typedef int (*handle_fn)(void *arg, uint64_t handle);
int card_handles(struct txn *t, const uint8_t pan[10], uint64_t seq, handle_fn fn, void *arg);

#endif
