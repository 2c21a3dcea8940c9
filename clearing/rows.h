/*
 * rows - the cleared rows of days as the store keeps them: in blocks of up to ROWS_PER_BLOCK rows in key order, each
 * under the key of its first row. Most rows of a block say the same of a record but for whose it was and when, so a
 * block says each result once and each row names its own. A record's bytes stay where the inbox has them: a row
 * names the event and the place in it.
 *
 * A block's bytes are a function of its rows; how the store packs them (zstd) is not part of what a clear says.
 */
#ifndef CLEARING_ROWS_H
#define CLEARING_ROWS_H

#include "clearing/fold.h"
#include "clearing/keyed.h"

#define ROWS_PER_BLOCK 512

void row_block_free(struct row_block *b);	/* NULL is fine; the store ends a transaction with it */
/* key_decided() for many keys: the days of the terminal asked about last are remembered, in one transaction and with one
 * before_day. Zero at first; done frees. */
struct decided { uint8_t terminal[6]; bool known; struct { int32_t day; uint32_t serial_min, serial_max; } *day; size_t count, space; };
bool decided_before(struct txn *t, struct decided *d, const uint8_t key[TAP_KEY_BYTES], int32_t before_day, int32_t *ret_day);
void decided_done(struct decided *d);
/* The highest serial of a terminal that any day decided; false: none. */
bool terminal_decided(struct txn *t, const uint8_t terminal[6], uint32_t *ret_serial_max);

/* ---- made by a clear ------------------------------------------------------------------------------------------- */

/*
 * A result: what cleared_encode() makes of a row, n bytes, together with what else of its record is summed: its key. Equal
 * results of one clear are one; cells are where they are summed, empty until then; mark and at are the writer's; same
 * is the equal one of the whole clear, for one made by a thread of its own.
 */
struct row_result { struct keyed head; uint32_t n, mark, at; struct cleared row; struct fold_cells cells; struct row_result *same; };
struct results;
int results_new(struct results **ret) CLEARING_MUST_CHECK;
void results_free(struct results *r);		/* NULL is fine */
/* tap: the record, NULL when it cannot be read. */
int results_add(struct results *r, const struct cleared *c, const struct tap *tap, struct row_result **ret) CLEARING_MUST_CHECK;
/* The equal one of r for a result of another table; made when there is none. */
int results_same(struct results *r, struct row_result *other, struct row_result **ret) CLEARING_MUST_CHECK;

/* Rows in rising key order into blocks, those into a sink (DB_CLEARED), what they decided too (DB_TAPKEY) at the end. */
struct row_writer;
struct row_new { uint8_t key[CLEARED_KEY_BYTES]; struct row_result *result; uint64_t person, seq; const char *device;
		 uint64_t raw_seq; uint32_t raw_at, raw_bytes;	/* the event whose body has the record, and where */
		 bool decides; };		/* its business key */
int row_writer_new(struct sink *sink, int32_t day, struct row_writer **ret) CLEARING_MUST_CHECK;
void row_writer_free(struct row_writer *w);	/* NULL is fine */
int row_writer_add(struct row_writer *w, const struct row_new *row) CLEARING_MUST_CHECK;
int row_writer_end(struct row_writer *w) CLEARING_MUST_CHECK;	/* the last block, and what was decided */

/* A block as it lies in the store, and back; packer is kept by who calls often. */
struct row_packer;
int row_packer_new(struct row_packer **ret) CLEARING_MUST_CHECK;
void row_packer_free(struct row_packer *p);	/* NULL is fine */
/* *ret points into the packer until its next call. unpack refuses what was not packed so: CLEARING_E_STORE. */
int row_pack(struct row_packer *p, const void *block, size_t n, const void **ret, size_t *ret_bytes) CLEARING_MUST_CHECK;
int row_unpack(struct row_packer *p, const void *packed, size_t n, const void **ret, size_t *ret_bytes) CLEARING_MUST_CHECK;
size_t block_rows(const void *block, size_t n);	/* rows in an unpacked block */

/*
 * A block: version 1, rows 2, results 2; each result: length 2 and its bytes; then the rows. A row begins with what it
 * has (below), then, numbers as varints, differences to the row before zigzag: result, [terminal 6,] serial, time [or the
 * digest 18], [nth,] [device 16,] person (of which the top bit goes last), event, [event that has the record,] place in
 * that event's body, length.
 */
#define BLOCK_VERSION 1
#define BLOCK_HEAD_BYTES 5
enum row_has { ROW_OTHER = 1, ROW_TERMINAL = 2, ROW_NTH = 4, ROW_DEVICE = 8, ROW_ELSEWHERE = 16, ROW_DECIDES = 32 };
#define ROW_HAS_ALL 63

#endif
