/*
 * seen - which business keys the open day has brought, and whether a day before decided one. Terminals number their taps
 * one after the other, so marks lie in blocks by terminal and serial and those of a batch beside each other. Private to
 * clearing/.
 */
#ifndef CLEARING_SEEN_H
#define CLEARING_SEEN_H

#include "clearing/clearing.h"

/* content: hash of the record; used, grey: the owner's; since: its time, by those beside it. One for each tap of the day: 12 bytes. */
struct seen_mark { uint32_t since : 30, used : 1, grey : 1; uint64_t content; } __attribute__((packed, aligned(4)));
struct seen;
struct table_walk;
int seen_new(struct seen **ret_seen) CLEARING_MUST_CHECK;
void seen_free(struct seen *s);		/* NULL is fine */
void seen_reset(struct seen *s);	/* another day */
size_t seen_bytes(const struct seen *s);	/* taken so far */
int seen_room(struct seen *s, size_t marks) CLEARING_MUST_CHECK;	/* for so many more; -ENOMEM */
/* The mark of a tap's business key, not used when it is new; room was made. Holds until the next call. */
struct seen_mark *seen_at(struct seen *s, const struct tap *tap);
/*
 * Whether a settlement day before this one decided the tap's business key. Serials rise: one above all that were decided
 * for its terminal is new without a look into the index.
 */
bool seen_earlier(struct seen *s, struct txn *t, const struct tap *tap, int32_t day);
/*
 * The marks for an image, as table_walk: first those that lie beside each other, then (others) the single ones. Of a run,
 * those that are used count, and each one's time is since after from_ms. serial: the first one's. Of a single mark: its own and from_ms its time.
 */
struct seen_run { uint8_t terminal[6]; uint32_t serial, count; int64_t from_ms; const struct seen_mark *mark; };
bool seen_walk(const struct seen *s, bool others, struct table_walk *w, struct seen_run *ret);
#define SEEN_RUN_MARKS 64u
/* How many runs and single marks there are, about. */
void seen_sizes(const struct seen *s, uint64_t *ret_runs, uint64_t *ret_others);
int seen_room_of(struct seen *s, uint64_t runs, uint64_t others) CLEARING_MUST_CHECK;	/* -ENOMEM */

#endif
