/* settle - items and files, shared by settle.c and partner_file.c. Private to clearing/. */
#ifndef CLEARING_SETTLE_H
#define CLEARING_SETTLE_H

#include "clearing/clearing.h"
#include "clearing/layout.h"

enum item_state { ITEM_OPEN = 0, ITEM_CONFIRMED = 1, ITEM_REFUSED = 2, ITEM_PAID = 3, ITEM_WAITING = 4 };	/* paid: arrears, otherwise than by the
				 * bank; waiting: not claimed, its platform has not answered */
#define ITEM_KEY_BYTES_MAX 40
#define ITEM_VALUE_BYTES (1 + 4 + 8 + CLEARED_KEY_BYTES)
/* One claim at a partner. Everything but state is fixed when the day is built. */
struct item_row { uint8_t scheme, state; char id[36]; int32_t day; int64_t amount_fen; uint8_t cleared_key[CLEARED_KEY_BYTES]; };
size_t item_key(uint8_t scheme, const char *id, uint8_t key[ITEM_KEY_BYTES_MAX]);
void item_put(struct txn *t, const struct item_row *row);
bool item_get(struct txn *t, uint8_t scheme, const char *id, struct item_row *ret);
/* debit.c: rides of bank cards, collected while a day is built, and what becomes one item each. */
#define DEBIT_ID_BYTES 36
struct debit_ride { uint8_t pan[10], cleared_key[CLEARED_KEY_BYTES]; int32_t fare_day; bool single; int64_t fen; };
struct debits { struct debit_ride *ride; size_t count, space; bool refunds; };
struct debit { char id[DEBIT_ID_BYTES]; const struct debit_ride *ride; size_t rides; int64_t fen; };	/* first ride in canonical order */
int debits_add(struct debits *d, const uint8_t cleared_key[CLEARED_KEY_BYTES], const struct tap *tap, int64_t fen);
/* In canonical order of their first rides; they point into d. *ret_list is malloc'ed. */
int debits_make(struct debits *d, const char yymmdd[7], struct debit **ret_list, size_t *ret_count);
void debits_done(struct debits *d);
void debit_link(struct txn *t, const struct debit *d);	/* debit to rides and back, into the store */
bool debit_of_ride(struct txn *t, const uint8_t cleared_key[CLEARED_KEY_BYTES], char ret_id[DEBIT_ID_BYTES]);
void debit_rides_open(struct txn *t, const char *id, struct iter *ret_iter);
bool debit_rides_next(struct iter *it, uint8_t ret_cleared_key[CLEARED_KEY_BYTES], int64_t *ret_fen);
bool debit_card(struct txn *t, const struct item_row *item, struct tap *ret_tap);	/* its first ride */
/* The row of a ride; of an adjustment, that of the ride it adjusts. */
bool debit_row(struct txn *t, const uint8_t cleared_key[CLEARED_KEY_BYTES], struct cleared *ret);
void debit_adjust_key(const struct adjustment *a, uint8_t ret_cleared_key[CLEARED_KEY_BYTES]);
/* The adjustment an item is about; false: it is about rides. *ret_fen: collected, or below 0 given back. */
bool debit_adjustment(struct txn *t, const uint8_t cleared_key[CLEARED_KEY_BYTES], struct adjustment *ret, int64_t *ret_fen);
/* risk.c: a refused debit that is a card's first: what of each of its rides the contract's party bears, and what its operator. In the order
 * of the rides; the party bears the first. */
struct risk_ride { uint8_t key[TAP_KEY_BYTES]; int64_t time_ms, fen, party_fen; uint32_t operator_id; };
struct risk { struct contract contract; struct risk_ride *ride; size_t rides; int64_t party_fen, operator_fen; };
/* 0, and ret->rides 0: none of this kind. From what is unchanging of the item and of rows before it, whatever its state. */
int risk_of(struct txn *t, const struct item_row *item, struct risk *ret) CLEARING_MUST_CHECK;
void risk_done(struct risk *r);
/* From arrears to who bears it; back: it was paid after all. */
void risk_post(const struct risk *r, bool back, posting_fn emit, void *arg);
/* bank_cards.c: the bank refused this item; its card rides no more until it is paid. */
void bank_refused(struct txn *t, const struct item_row *item);
/* A file of a day goes out once; building again changes its bytes only to the same bytes. outbox_ack: its partner has it. */
void outbox_add(struct txn *t, int32_t day, const char *partner, const char *name);
void outbox_ack(struct txn *t, const char *name);
void file_put(struct txn *t, int32_t day, const char *name, const void *p, size_t n);

#endif
