/* fold - sums of a day's rows by posting and by cube. Private to clearing/. */
#ifndef CLEARING_FOLD_H
#define CLEARING_FOLD_H

#include "clearing/clearing.h"

struct fold;
int fold_new(int32_t day, struct fold **ret);
void fold_free(struct fold *f);
/* Add one cleared row; rows come in canonical order, so that the digests of postings are canonical. */
int fold_row(struct fold *f, const struct cleared *c, const struct tap *tap, const uint8_t key[TAP_KEY_BYTES]);
/* What of a record is summed beside what its row says; any: the record can be read. */
struct summed_with { bool any; uint8_t medium, card_class; char line[LINE_BYTES_MAX + 1]; };
struct summed_with summed_of(const struct tap *tap);		/* NULL: it cannot */
/* The same in steps, for rows that say the same: where they are summed, valid as long as the fold, once; then each row's key,
 * in canonical order; how many they were, once. */
struct cell;
struct fold_cells { struct cell *cube, *posting[POSTINGS_PER_TAP_MAX]; };
int fold_cells(struct fold *f, const struct cleared *c, const struct summed_with *with, struct fold_cells *ret);
void fold_key(const struct fold_cells *cells, uint8_t postings, const uint8_t key[TAP_KEY_BYTES]);
void fold_count(const struct fold_cells *cells, const struct cleared *c, uint64_t rows);
int fold_posting(struct fold *f, const struct posting *p, enum scheme scheme, uint32_t tariff_version, const uint8_t key[TAP_KEY_BYTES]);
/* The postings of one adjustment; they come in canonical order too. */
int fold_adjustment(struct fold *f, const struct adjustment *a);
/* All rows into a sink, in key order. */
int fold_write(struct fold *f, struct sink *sink);

#endif
