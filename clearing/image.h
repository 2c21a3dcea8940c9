/*
 * image - the writer's memory as one flat file: a head, rows one after the other, an end, and a digest over all before it.
 * docs/store.md has the bytes. A row says what is so from there on, so a later row of the same thing takes the place of an
 * earlier one, and a file may be written piece by piece while the memory goes on changing. Private to clearing/.
 *
 * It is a cache: whoever cannot read one reads the inbox again. Numbers lie as in this machine's memory.
 */
#ifndef CLEARING_IMAGE_H
#define CLEARING_IMAGE_H

#include "clearing/clearing.h"

#define IMAGE_FORMAT 1
#define IMAGE_IDENTITY_BYTES 16
#define IMAGE_ROW_BYTES_MAX 4096
#define IMAGE_DIGEST_BYTES 16

enum image_kind {		/* in the file */
	IMAGE_SIZES = 1,	/* how much there is about to be, for the room it takes; only a hint */
	IMAGE_BLOCK = 2,	/* marks of one terminal's serials beside each other */
	IMAGE_MARK = 3,		/* one mark */
	IMAGE_RIDER = 4,
	IMAGE_COUNTER = 5,
	IMAGE_CODE = 6,
	IMAGE_ANSWER = 7,
	IMAGE_DEVICE = 8,	/* unproven value it brought */
	IMAGE_ASK = 9,		/* a record that waits for its platform's word */
	IMAGE_END = 10,
};

/* ---- writing: rows into a buffer of the owner's -------------------------------------------------------- */

struct image_out {
	uint8_t *p; size_t n, space;			/* filled so far, of how much */
	bool (*more)(struct image_out *o);		/* gives another buffer for a full one; false: there is none, and no more rows are taken */
	bool failed;
	int32_t day;
};
/* Where a row's body goes, at most IMAGE_ROW_BYTES_MAX; NULL: no more rows are taken. */
uint8_t *image_row(struct image_out *o, enum image_kind kind, size_t bytes);
#define IMAGE_HEAD_BYTES 40
struct image_head { uint8_t identity[IMAGE_IDENTITY_BYTES]; int32_t day; };	/* day: the open one */
void image_head_put(const struct image_head *h, uint8_t ret_bytes[IMAGE_HEAD_BYTES]);

/* ---- reading: foreign bytes ------------------------------------------------------------------------------ */

struct image_in;
/* What it is refused for, in the words that the log has; NULL: taken. *ret_in: close it with image_close. The file stays the
 * caller's. */
const char *image_open(int fd, struct image_head *ret_head, struct image_in **ret_in) CLEARING_MUST_CHECK;
void image_close(struct image_in *in);	/* NULL is fine */
uint64_t image_bytes(const struct image_in *in);	/* of the whole file: nothing in it is larger */
/* The next row, its body valid until the next call: 1; 0: it was the last, and the digest is right; -1: refused, *ret_why. */
int image_next(struct image_in *in, uint8_t *ret_kind, const uint8_t **ret_body, size_t *ret_bytes, const char **ret_why);
/* Few rows were looked at that are not taken: time to look at more, many together. */
bool image_ahead_due(const struct image_in *in);
/* A row further on, as far as it is read already, for whoever fetches ahead; looks at each row once. False: none now. Not checked. */
bool image_ahead(struct image_in *in, uint8_t *ret_kind, const uint8_t **ret_body, size_t *ret_bytes);

#endif
