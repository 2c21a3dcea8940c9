/*
 * unproven - value that a device brings and no key has proven: what a record is worth at most, and how much of it each
 * device has brought in a day so far. Private to clearing/.
 */
#ifndef CLEARING_UNPROVEN_H
#define CLEARING_UNPROVEN_H

#include "clearing/clearing.h"

/*
 * What a record may cost anybody, fen: the most of what it debited, the list fare it shows, and the published fare of its
 * ride for somebody without a concession and without rides before; so a free ride that a treasury pays for counts in
 * full, and a record cannot make itself small. tariff NULL: no fare is known. day: the settlement day.
 */
int64_t unproven_value(const struct tap *tap, const struct tariff *tariff, uint32_t operator_id, int32_t day);
/* Whether it counts: accepted or pending, and check_unproven. */
bool unproven_counts(enum verdict verdict, enum key_check check);

/* Sums of a day by device. */
struct unproven;
struct table_walk;
int unproven_new(struct unproven **ret_unproven) CLEARING_MUST_CHECK;
void unproven_free(struct unproven *u);		/* NULL is fine */
void unproven_reset(struct unproven *u);	/* another day */
int unproven_room(struct unproven *u) CLEARING_MUST_CHECK;	/* for one device more; -ENOMEM */
/* Add to a device's sum, which is the answer; room was made. */
int64_t unproven_add(struct unproven *u, const char *device, int64_t fen);
/* The sums for an image, as table_walk; and one put back, room was made. */
bool unproven_walk(const struct unproven *u, struct table_walk *w, const char **ret_device, int64_t *ret_fen);
void unproven_set(struct unproven *u, const char *device, int64_t fen);

/* Why a record was set aside on a day: what its device had brought by then, itself included, and the cap. clear_cap.c. */
struct cap_reached { int64_t cap_fen, sum_fen, value_fen; uint64_t records; };
int cap_explain(struct txn *t, const struct refdata *ref, const struct day_row *day, const char *device, const struct tap *tap,
		const uint8_t key[TAP_KEY_BYTES], struct cap_reached *ret);

#endif
