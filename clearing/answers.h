/*
 * answers - which receipt a batch was given, for two days. Most batches have every tap accepted: of the others their verdicts are
 * kept as they follow each other, how many of one and then of the next. What a receipt counts follows from them. Private to
 * clearing/.
 */
#ifndef CLEARING_ANSWERS_H
#define CLEARING_ANSWERS_H

#include "clearing/clearing.h"
#include "clearing/table.h"

/* An entry of a table; seq and count are the receipt's, told is what answers.c keeps of its verdicts. */
struct answer { char device[DEVICE_BYTES_MAX + 1]; uint8_t file_serial[4], used; uint8_t digest[DIGEST_BYTES]; uint16_t count; uint64_t seq; uint8_t *told; };
int answers_open(struct table *t) CLEARING_MUST_CHECK;	/* -ENOMEM; close it with table_close */
/* What its entries have beside them goes: before the table is emptied or closed. One that is not open is fine. */
void answers_drop(struct table *t);
struct answer answer_key(const char *device, uint32_t file_serial);	/* without a digest */
/* A receipt under its key, which has the batch's digest; the one before of that key goes. -ENOMEM. */
int answer_put(struct table *t, const struct answer *key, const struct receipt *r) CLEARING_MUST_CHECK;
void answer_receipt(const struct answer *a, struct receipt *ret_receipt);
void receipt_count(struct receipt *r, enum verdict v);	/* one more of that verdict in its sums */

#endif
