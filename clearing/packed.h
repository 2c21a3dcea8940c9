/*
 * packed - batches that do not lie in the inbox as they were received, read as if they did: thin ones (core/thin.h), and those
 * whose bodies lie in bundles (bundle.h), of which DB_INBOX keeps the head of the event and the place of its body. Whoever asks
 * for the event gets the bytes that were received. Bundles unpacked last and bodies put together last are kept by the
 * transaction. Private to clearing/.
 */
#ifndef CLEARING_PACKED_H
#define CLEARING_PACKED_H

#include "clearing/bundle.h"
#include "clearing/core/thin.h"

/* How a batch lies in DB_INBOX is the version of its event. Of all but PLAIN the six bytes after it are taps 2, unanswered 2, zero 2. */
enum batch_version { BATCH_PLAIN = 1, BATCH_PACKED = 2, BATCH_THIN = 3 };

/* Where the body of a packed batch lies, and what is asked of it most. In DB_INBOX: head of the event, then day 4, bundle 4, place 2. */
#define PACKED_BYTES (EVENT_HEAD_BYTES + 10)
struct packed_at { int32_t day; uint32_t bundle; uint16_t place, taps, unanswered; };
bool packed_at_read(const void *val, size_t n, struct packed_at *ret);
void packed_at_write(const struct packed_at *at, int64_t received_ms, uint8_t out[PACKED_BYTES]);

/* DB_BUNDLE: day 4, bundle 4 from 1; bundle 0 is what struct packed says of the day. */
#define BUNDLE_KEY_BYTES 8
void bundle_key(int32_t day, uint32_t bundle, uint8_t ret[BUNDLE_KEY_BYTES]);
void packed_put(struct txn *t, int32_t day, const struct packed *p);

/* The body of an event, by its row of DB_INBOX, thin when the transaction is told to keep what it reads: a day's are then held in a
 * quarter of the memory. NULL: the transaction's error says why. */
const struct bundle_part *packed_part(struct txn *t, uint64_t seq, const struct packed_at *at);
/* Of this process from here on, 1 to 32: bundles, and bodies of thin batches, kept by a transaction that is not told to keep them all.
 * For tests. */
void packed_window(size_t many);
/* Bundles of at most so many bytes, unless one batch has more. For tests. */
void packing_limit(struct packing *p, size_t bytes);
/* How many bundles and bodies were let go again: what was read of them before lies there while this stays the same. */
uint64_t packed_gone(const struct txn *t);
void unpacked_free(struct unpacked *u);		/* NULL is fine; the store ends a transaction with it */

/* whole.c: the body of a thin batch of so many bytes in the store. False: the transaction's error says why. */
bool whole_body(struct txn *t, uint64_t seq, const uint8_t *thin, size_t n, const uint8_t **ret, size_t *ret_bytes);
void wholes_window(size_t bodies);
uint64_t wholes_gone(const struct wholes *w);	/* NULL is fine, here and below */
void wholes_free(struct wholes *w);

#endif
