/* settle - items and files, shared by settle.c and partner_file.c. Private to clearing/. */
#ifndef CLEARING_SETTLE_H
#define CLEARING_SETTLE_H

#include "clearing/clearing.h"
#include "clearing/layout.h"

enum item_state { ITEM_OPEN = 0, ITEM_CONFIRMED = 1, ITEM_REFUSED = 2 };
#define ITEM_KEY_BYTES_MAX 40
#define ITEM_VALUE_BYTES (1 + 4 + 8 + CLEARED_KEY_BYTES)
/* One claim at a partner. Everything but state is fixed when the day is built. */
struct item_row { uint8_t scheme, state; char id[36]; int32_t day; int64_t amount_fen; uint8_t cleared_key[CLEARED_KEY_BYTES]; };
size_t item_key(uint8_t scheme, const char *id, uint8_t key[ITEM_KEY_BYTES_MAX]);
void item_put(struct txn *t, const struct item_row *row);
bool item_get(struct txn *t, uint8_t scheme, const char *id, struct item_row *ret);
void file_put(struct txn *t, int32_t day, const char *name, const void *p, size_t n);

#endif
