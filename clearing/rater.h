/*
 * rater - fares as they look on arrival, behind the writer: for the running totals, and for what memory knows of a rider.
 * No receipt waits for them and nothing is promised by them; the clear rates in canonical order. Private to clearing/.
 *
 * The writer adds what it accepted of a batch and hands it on. Once there is a thread it rates, in the order things were
 * handed over, while the writer judges what comes next; before, the writer does it itself.
 * Riders' states and what is known of riders are the rater's while something is in hand: rater_wait before anything that
 * reads or changes them, the reference data included.
 */
#ifndef CLEARING_RATER_H
#define CLEARING_RATER_H

#include "clearing/daemon.h"
#include "clearing/image.h"
#include "clearing/riding.h"

struct rater;
/* riding and known stay the caller's and must outlive it. -ENOMEM. */
int rater_new(struct riding *riding, struct known *known, struct rater **ret_rater) CLEARING_MUST_CHECK;
void rater_free(struct rater *r);	/* what is in hand is rated first; NULL is fine */
/* A thread from now on. It tells, each time, what was rated so far; told NULL: nobody. Errors of pthread_create. */
int rater_start(struct rater *r, struct store *s, rater_told *told, void *arg) CLEARING_MUST_CHECK;
/* One record of the batch in hand, BATCH_TAPS_MAX at most, as seen from event seq. What it needs of the tap is copied. */
void rater_add(struct rater *r, const struct tap *tap, const struct tariff *tariff, uint32_t operator_id, uint64_t seq);
/* The batch is complete: it is rated with t, or handed to the thread, which ends the process when it cannot. */
int rater_hand(struct rater *r, struct txn *t, int32_t open_day) CLEARING_MUST_CHECK;
uint64_t rater_handed(const struct rater *r);	/* records so far; once rated.records is as many, all are rated */
void rater_wait(struct rater *r);	/* until all are */
bool rater_idle(struct rater *r);	/* all are */
void rater_image(struct rater *r, struct image_out *o);	/* what is in hand is rated first; states that change then go there too. NULL: no longer */
/* While nothing is in hand: */
struct rated rater_sums(const struct rater *r);
void rater_sums_set(struct rater *r, int64_t published_fen, int64_t rated_fen, int64_t subsidy_fen);

#endif
