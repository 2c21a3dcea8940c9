/* fold - sums of a day's rows by posting and by cube. Private to clearing/. */
#ifndef CLEARING_FOLD_H
#define CLEARING_FOLD_H

#include "clearing/clearing.h"

struct fold;
int fold_new(int32_t day, struct fold **ret);
void fold_free(struct fold *f);
/* Add one cleared row; rows come in canonical order, so that the digests of postings are canonical. */
int fold_row(struct fold *f, const struct cleared *c, const struct tap *tap, const uint8_t key[TAP_KEY_BYTES]);
/* The same in two steps, the first once for rows that say the same: where such a row is summed, valid as long as the fold. */
struct cell;
struct fold_cells { struct cell *cube, *posting[POSTINGS_PER_TAP_MAX]; };
int fold_cells(struct fold *f, const struct cleared *c, const struct tap *tap, struct fold_cells *ret);
void fold_count(const struct fold_cells *cells, const struct cleared *c, const uint8_t key[TAP_KEY_BYTES]);
int fold_posting(struct fold *f, const struct posting *p, enum scheme scheme, uint32_t tariff_version, const uint8_t key[TAP_KEY_BYTES]);
/* The postings of one adjustment; they come in canonical order too. */
int fold_adjustment(struct fold *f, const struct adjustment *a);
/* All rows into a sink, in key order. */
int fold_write(struct fold *f, struct sink *sink);

#endif
