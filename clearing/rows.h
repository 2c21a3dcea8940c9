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
 * results of one table are one, at its place; same is the equal one of the table it was joined into; cells are where its
 * rows are summed, taps how many they are: the clear's.
 */
struct row_result { struct keyed head; uint32_t n, place; struct cleared row; struct row_result *same; struct fold_cells cells; uint64_t taps; };
struct results;
int results_new(struct results **ret) CLEARING_MUST_CHECK;
void results_free(struct results *r);		/* NULL is fine */
/* tap: the record, NULL when it cannot be read. */
int results_add(struct results *r, const struct cleared *c, const struct tap *tap, struct row_result **ret) CLEARING_MUST_CHECK;
/* Of a row whose postings are not made yet, only what was charged: the result added last that may be its own, if that was charged the same
 * and no difference came of it; what is posted follows from that. NULL: it is not known. */
struct row_result *results_recent(const struct results *r, const struct cleared *c, const struct tap *tap);
size_t results_count(const struct results *r);
struct row_result *results_at(const struct results *r, size_t i);
int results_join(struct results *r, struct results *from) CLEARING_MUST_CHECK;	/* every result of another table: its same */
struct summed_with result_summed(const struct row_result *r);	/* of what was given to results_add as tap */

/* Rows in rising key order, at most ROWS_PER_BLOCK, into the bytes of a block. All results are of one table. */
struct block_writer;
struct row_new { uint8_t key[CLEARED_KEY_BYTES]; uint64_t terminal, time; uint32_t serial;	/* by row_new_key(); its parts, as numbers */
		 const struct row_result *result; uint64_t person, seq; const char *device;
		 uint64_t raw_seq; uint32_t raw_at, raw_bytes;	/* the event whose body has the record, and where */
		 bool decides; };		/* its business key */
void row_new_key(struct row_new *row, int32_t day, enum cleared_class class, const uint8_t key[TAP_KEY_BYTES], uint16_t nth);
int block_writer_new(uint8_t version, struct block_writer **ret) CLEARING_MUST_CHECK;	/* BLOCK_VERSION, or one before it: of a day that has such blocks */
void block_writer_free(struct block_writer *w);	/* NULL is fine */
int block_add(struct block_writer *w, const struct row_new *row) CLEARING_MUST_CHECK;	/* the device's name stays the caller's until the end */
size_t block_bytes(const struct block_writer *w);
void block_end(struct block_writer *w, uint8_t *out);	/* block_bytes(); the next one begins */

/* The serials that a day decided, by terminal; keys rising. Zero at first; the list is freed by free(). */
struct decided_serials;
struct decided_list { struct decided_serials *list; size_t count, space; };
int decided_add(struct decided_list *d, const uint8_t key[TAP_KEY_BYTES]) CLEARING_MUST_CHECK;
int decided_write(const struct decided_list *d, struct sink *sink, int32_t day) CLEARING_MUST_CHECK;	/* DB_TAPKEY */

/* A row as the canonical dump has it. day: as day_format(). said: what all rows of one result say alike, made once for its place in a
 * list that is the caller's; zero at first. digest: SHA-256 of it without its brace. */
struct said_text { char *p; size_t n; uint8_t digest[DIGEST_BYTES]; };
struct said_list { struct said_text *text; size_t space; };
int said_text_of(struct said_list *l, size_t place, const struct cleared *row, const struct said_text **ret) CLEARING_MUST_CHECK;
void said_free(struct said_list *l);
#define ROW_TEXT_BYTES 256			/* beside what is said, which is without its brace */
size_t row_text(const char *day, const uint8_t key[CLEARED_KEY_BYTES], const char *said, size_t said_bytes, const uint8_t record[DIGEST_BYTES], char *out);

/* Each row of a day, in order, or of all (DAY_NONE); what comes behind the rows of a dump; both. */
typedef int (*row_each_fn)(void *arg, const struct row_iter *it, const struct said_text *said);
int rows_each(struct txn *t, int32_t day, row_each_fn fn, void *arg) CLEARING_MUST_CHECK;
int dump_rest(struct txn *t, int32_t day, FILE *out) CLEARING_MUST_CHECK;
int dump_day(struct txn *t, int32_t day, FILE *out) CLEARING_MUST_CHECK;

/* seal.c: what a day's digest has of a row; how it begins; day_digest() of a day whose rows are in it already. */
#define ROW_SEAL_BYTES (CLEARED_KEY_BYTES - 4 + 2 * DIGEST_BYTES)
void row_seal(enum cleared_class class, const uint8_t key[TAP_KEY_BYTES], uint16_t nth, const struct said_text *said, const uint8_t *raw, size_t raw_bytes,
	      uint8_t ret[ROW_SEAL_BYTES]);
void seal_start(struct digest *d, int32_t day);
int day_digest_end(struct store *s, int32_t day, struct digest *rows, uint8_t ret_digest[DIGEST_BYTES]) CLEARING_MUST_CHECK;

/* A block as it lies in the store, packed where that saves pages, and back; packer is kept by who calls often. */
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
 * that event's body, length. One that comes next (ROW_NEXT, from version 2 on) is the row before's next serial and lies in the same event,
 * as long as that and behind it, ROW_GAP_BYTES for its length in msgpack between: it has no serial, event, place and length.
 */
#define BLOCK_VERSION 2
#define BLOCK_VERSION_4 1		/* of days cleared up to format 4 of the store */
#define BLOCK_HEAD_BYTES 5
#define ROW_GAP_BYTES 2
enum row_has { ROW_OTHER = 1, ROW_TERMINAL = 2, ROW_NTH = 4, ROW_DEVICE = 8, ROW_ELSEWHERE = 16, ROW_DECIDES = 32, ROW_NEXT = 64 };
#define ROW_HAS_ALL 127
#define ROW_HAS_ALL_4 63

#endif
