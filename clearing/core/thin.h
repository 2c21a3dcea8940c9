/*
 * thin - a batch in less room. Records that one device sealed into a batch have most bytes in common: terminal, line, issuer,
 * type, the high bytes of times. So what all records of one length have alike is said once, and of each record only the bytes
 * at the places where they differ. The exact bytes come back: of the whole, or of one record by its place in the thin form,
 * for which nothing but that form is looked at. No memory is taken, no byte is compressed, nothing is known of a record but
 * that it is bytes.
 *
 * What is made thin is: a head (of the caller, THIN_HEAD_BYTES_MIN or more), two bytes of marks a record, and the frame, a batch
 * as it was received. Not everything can be: a batch in which thin is not smaller, whose records do not stand one behind
 * the other, each behind its length in msgpack's shortest form, or which would take more than THIN_BYTES_MAX. thin_make() says
 * so by 0, and the caller keeps it as it is.
 *
 * Layout: docs/store.md, "Thin batches". Reading believes nothing: bytes that thin_open() took lead thin_record() and thin_body()
 * nowhere else, whatever they are.
 */
#ifndef CLEARING_CORE_THIN_H
#define CLEARING_CORE_THIN_H

#include "validator/validator.h"

#define THIN_HEAD_BYTES_MIN 16
#define THIN_BYTES_MAX UINT16_MAX	/* places are of two bytes */
#define THIN_SLACK 16			/* written, or read of what is the form's own, beyond the end: pieces go by sixteen bytes */
#define THIN_RECORD_ROOM (TAP_ENCODED_BYTES_MAX + THIN_SLACK)

struct thin_of {			/* all the caller's */
	const uint8_t *head; size_t head_bytes;		/* at most 255 */
	const uint8_t *marks;				/* two a record */
	const uint8_t *frame; size_t frame_bytes;	/* the batch as received */
	const struct batch *batch;			/* frame, decoded: its records point into it */
};
/* Room for the thin form of so many bytes in all, head, marks and frame. */
static inline size_t thin_room(size_t bytes) { return bytes + THIN_SLACK; }
/* Into out, which has thin_room(), or THIN_BYTES_MAX + THIN_SLACK when that is less; bytes of it that are the form, fewer than went in. 0: it is to be kept as it is. */
size_t thin_make(const struct thin_of *of, uint8_t *out);

/* A record: where in the thin form, where in what went in; marks. */
struct thin_place { uint32_t body_at; uint16_t at, bytes; uint8_t marks[2]; };
struct thin {				/* borrows the bytes */
	const uint8_t *p; uint16_t n;
	const uint8_t *head; uint16_t head_bytes, prefix_bytes;	/* of the frame before its records; behind the head */
	uint16_t count;
	uint32_t body_bytes;		/* of what went in */
	struct thin_place record[BATCH_TAPS_MAX];
};
/* False: not what thin_make() made. */
bool thin_open(const void *p, size_t n, struct thin *ret);
/* The head of one that was not opened yet; NULL: it has none of so many bytes. */
const uint8_t *thin_head(const void *p, size_t n, size_t head_bytes);
/* What went in, into body_bytes + THIN_SLACK. */
void thin_body(const struct thin *t, uint8_t *out);
/* One record of a form that thin_open() took once, and its length. at: of its thin_place. */
size_t thin_record(const void *p, uint16_t at, uint8_t out[THIN_RECORD_ROOM]);
/* Records of a form that thin_open() took, for who reads most of them: what those of one length have alike is put together once, and for each
 * only its own bytes are put there. The caller's memory, used for one form after another. It borrows the form. */
#define THIN_GROUPS_MAX 4
#define THIN_PIECES_MAX 40		/* of up to eight bytes; records with more of their own are read one by one */
struct thin_piece { uint64_t mask; uint16_t to, from; };
struct thin_row_group {
	uint16_t from, to, pieces;			/* where in the form its rows lie; what of them goes where in the room */
	struct thin_piece piece[THIN_PIECES_MAX];
	uint8_t room[THIN_RECORD_ROOM];
};
struct thin_rows { const uint8_t *p; unsigned groups; struct thin_row_group group[THIN_GROUPS_MAX]; uint8_t odd[THIN_RECORD_ROOM]; };
void thin_rows_start(const struct thin *t, struct thin_rows *ret);
/* The record of this place, as by thin_record(), until the next is read. */
const uint8_t *thin_rows_read(struct thin_rows *r, uint16_t at);
/* The bytes of msgpack that say a record's length before it. */
static inline size_t thin_length_bytes(size_t record_bytes) { return record_bytes < 256 ? 2 : 3; }

#endif
