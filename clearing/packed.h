/*
 * packed - events whose bodies lie in bundles (bundle.h), read as if they lay in the inbox. DB_INBOX keeps the head of such
 * an event and the place of its body; whoever asks for the event gets the bytes that were received. Bundles unpacked last
 * are kept by the transaction. Private to clearing/.
 */
#ifndef CLEARING_PACKED_H
#define CLEARING_PACKED_H

#include "clearing/bundle.h"

/* Where the body of a packed batch lies, and what is asked of it most. In DB_INBOX: head of the event, in which version is
 * PACKED_VERSION and the six bytes after it taps 2, unanswered 2, zero 2; then day 4, bundle 4, place 2. */
#define PACKED_VERSION 2
#define PACKED_BYTES (EVENT_HEAD_BYTES + 10)
struct packed_at { int32_t day; uint32_t bundle; uint16_t place, taps, unanswered; };
bool packed_is(const void *val, size_t n);	/* a row of DB_INBOX whose body lies elsewhere */
bool packed_at_read(const void *val, size_t n, struct packed_at *ret);
void packed_at_write(const struct packed_at *at, int64_t received_ms, uint8_t out[PACKED_BYTES]);

/* DB_BUNDLE: day 4, bundle 4 from 1; bundle 0 is what struct packed says of the day. */
#define BUNDLE_KEY_BYTES 8
void bundle_key(int32_t day, uint32_t bundle, uint8_t ret[BUNDLE_KEY_BYTES]);
void packed_put(struct txn *t, int32_t day, const struct packed *p);

/* The body of an event, by its row of DB_INBOX. False: the transaction's error says why. */
bool packed_body(struct txn *t, uint64_t seq, const struct packed_at *at, const uint8_t **ret, size_t *ret_bytes);
/* Of this process from here on, 1 to 128: bundles kept by a transaction that is not told to keep them all. For tests. */
void packed_window(size_t bundles);
/* Bundles of at most so many bytes, unless one batch has more. For tests. */
void packing_limit(struct packing *p, size_t bytes);
/* How many bundles were let go again: what was read of a bundle before lies there while this stays the same. */
uint64_t packed_gone(const struct txn *t);
void unpacked_free(struct unpacked *u);		/* NULL is fine; the store ends a transaction with it */

#endif
