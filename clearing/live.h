/*
 * live - what is in the writer's memory, and how it goes into an image and comes back. Private to live.c and live_image.c;
 * daemon.h has what others may do with it.
 */
#ifndef CLEARING_LIVE_H
#define CLEARING_LIVE_H

#include "clearing/answers.h"
#include "clearing/brief.h"
#include "clearing/code_route.h"
#include "clearing/daemon.h"
#include "clearing/image.h"
#include "clearing/rater.h"
#include "clearing/riding.h"
#include "clearing/seen.h"
#include "clearing/table.h"
#include "clearing/unproven.h"

#define COUNTER_BYTES 13
struct counted { uint8_t key[COUNTER_BYTES], used, tac[4]; };	/* card number, generation, counter */
struct coded { uint8_t code[TAP_CODE_BYTES], used; bool verified; };
/* A terminal or an issuer of a batch, and how long it stays as it is. */
struct recent { uint8_t number[6]; struct span_ms stays; const void *row; };
struct live {
	struct seen *seen;
	struct riding *riding;
	struct table counted, coded;
	struct table answer[2];		/* receipts of the open day and of the one before; older batches are told by their taps */
	struct known *known;
	struct rater *rater;
	struct unproven *unproven;
	struct code_asks *asks;
	struct live_totals totals;	/* without the provisional fares, which are the rater's */
	struct image_out *image, *riders;	/* what changes goes there too, riders' states to the second; NULL: no image is being made */
	struct batch_taps taps; struct briefs *briefs;	/* of a batch that comes without: decoded here */
	struct brief_reader reader;
	uint64_t hash[BATCH_TAPS_MAX];	/* of the batch in hand: of each record's counter's place */
	struct recent terminal, issuer;	/* of the record before */
};

/* ---- live_image.c: rows of what changed; o NULL: nothing is to be done -------------------------------------- */

void image_mark(struct image_out *o, const struct tap *tap, const struct seen_mark *mark);
void image_rider(struct image_out *o, uint64_t person, const struct rider_state *state);
void image_counter(struct image_out *o, const struct counted *c);
void image_code(struct image_out *o, const struct coded *c);
void image_answer(struct image_out *o, unsigned before, const struct answer *a);	/* before: 1 of the day before */
void image_device(struct image_out *o, const char *device, int64_t fen);
void image_ask(struct image_out *o, const struct code_waiting *w);

/* ---- the whole of it, piece by piece ------------------------------------------------------------------------- */

struct live_walk { unsigned section; struct table_walk at; };
/* What changes from here on goes into the image as well, until live_image_stop. Rows of riders go to an out of their own, since
 * the rater's thread writes them; without one both may be the same. */
void live_image_start(struct live *l, struct image_out *o, struct image_out *riders, struct live_walk *ret_walk);
/* So many places more; false: everything is in the image. Between two events, never inside one. */
bool live_image_walk(struct live *l, struct live_walk *w, size_t places);
/* The last row: as of event seq. Where its digest of IMAGE_DIGEST_BYTES is to go before the row goes anywhere; NULL: failed. */
uint8_t *live_image_end(struct live *l, uint64_t seq);
void live_image_stop(struct live *l);
/* The rows of an image into a memory that has nothing yet. What it is refused for; NULL: taken, and so is the end. */
const char *live_image_read(struct live *l, struct image_in *in, int32_t day, uint64_t *ret_seq, uint8_t ret_event[IMAGE_DIGEST_BYTES]);

#endif
