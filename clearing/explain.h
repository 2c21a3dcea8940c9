/* explain - what the files of an explanation share. Private to clearing/. */
#ifndef CLEARING_EXPLAIN_H
#define CLEARING_EXPLAIN_H

#include "clearing/clearing.h"

/* What a terminal charged otherwise than is rated: how much, why, and what became of it. again: found once more from the
 * state before the ride, for what a row does not hold; NULL: it could not be. Nothing where there is no difference. */
struct difference_told { const struct cleared *row; const struct tap *tap; const struct tariff *tariff; const struct difference *again; };
void difference_print(const struct difference_told *d, FILE *out);
void difference_json(const struct difference_told *d, struct jsonw *j);
/* explain_after.c: what became of the ride since; nothing when nothing did. */
void confirmed_print(struct txn *t, const uint8_t key[TAP_KEY_BYTES], FILE *out);
void confirmed_json(struct txn *t, const uint8_t key[TAP_KEY_BYTES], struct jsonw *j);
void debit_print(struct txn *t, const uint8_t cleared_key[CLEARED_KEY_BYTES], FILE *out);
void debit_json(struct txn *t, const uint8_t cleared_key[CLEARED_KEY_BYTES], struct jsonw *j);	/* "debit" always */

#endif
