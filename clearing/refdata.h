/* refdata - what refdata.c and refdata_rider.c share. Private to clearing/. */
#ifndef CLEARING_REFDATA_H
#define CLEARING_REFDATA_H

#include "clearing/clearing.h"

#include "clearing/table.h"

#define PACKS_MAX 64
struct black_row { uint8_t pan[10]; int64_t from_ms, to_ms; };
struct terminals { struct terminal_row *row; size_t count; uint32_t *slot; size_t slot_mask; };
struct blacklist { uint32_t version; struct black_row *row; size_t count; uint32_t *slot; size_t slot_mask; char *text; size_t text_bytes; };
#define PROPOSALS_MAX 8
#define PERSONS_MAX 64
struct ref_pack { int64_t valid_from_ms, to_ms; uint64_t seq; void *blob; size_t bytes; struct tariff *tariff; };
/* Who may publish tariffs, and what one of them has signed and a second has not yet. */
struct person_row { char name[PERSON_NAME_BYTES_MAX + 1], title[64]; uint8_t key[65]; };
struct proposal { int64_t from_ms; uint8_t digest[DIGEST_BYTES]; char by[PERSON_NAME_BYTES_MAX + 1]; uint8_t key[65]; void *blob; size_t bytes; };
#define RERATES_MAX 32
struct rerate_ask { int32_t from, to, day; char by[PERSON_NAME_BYTES_MAX + 1]; uint8_t key[65]; uint64_t agreed_seq; };
#define DISTRUSTS_MAX 64
struct refdata {
	uint64_t seq;			/* event being applied */
	struct terminals terminal;
	struct issuer_row *issuer; size_t issuer_count;
	struct blacklist blacklist;
	struct ref_pack pack[PACKS_MAX]; size_t pack_count;
	struct person_row person[PERSONS_MAX]; size_t person_count;
	struct proposal proposal[PROPOSALS_MAX]; size_t proposal_count;
	struct rerate_ask rerate[RERATES_MAX]; size_t rerate_count;
	struct distrust distrust[DISTRUSTS_MAX]; size_t distrust_count;
	struct bureau *bureau; size_t bureau_count;
	int64_t cap_fen;
	struct release *release; size_t release_count, release_space;	/* by business key */
	struct table confirm;		/* of struct confirm; opened by the first */
	struct feed_batch *feed; size_t feed_count, feed_space;	/* taken, rising seq */
};

/* A reference CSV being read: refusals carry name:line:column and the offending text. */
struct ref_reading { const char *name; struct csv *csv; int column[16]; const char *const *field; unsigned line; char *error; size_t error_bytes; };
int ref_open(struct ref_reading *r, const char *name, const void *p, size_t n, const char *const *names, int count, char *error, size_t error_bytes);
int ref_next(struct ref_reading *r);	/* 1, 0, or CLEARING_E_REFERENCE */
const char *ref_cell(const struct ref_reading *r, int column);
int ref_refuse(const struct ref_reading *r, int column, const char *reason);
int ref_refuse_unquoted(const struct ref_reading *r, int column, const char *reason);	/* for cells with card numbers */

/* A compiled pack in force from a time on; the blob is copied. dry: only whether it could be. */
int packs_add(struct refdata *ref, int64_t from_ms, const void *blob, size_t n, bool dry, char *error, size_t error_bytes);
/* refdata_publish.c */
int persons_apply(struct refdata *ref, const void *p, size_t n, bool dry, char *error, size_t error_bytes);
int publish_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes);
/* Name and signature 8 bytes into an event, over a text; what: for the refusal. */
int signature_check(const struct refdata *ref, const char *what, const uint8_t *p, const char *text, size_t n, char *error, size_t error_bytes);
const struct person_row *person_find(const struct person_row *list, size_t count, const char *name);	/* NULL: none */
/* refdata_rerate.c */
int rerate_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes);
/* refdata_device.c */
int device_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes);
/* refdata_contract.c: false: the event is no contract. t NULL: only check. */
bool contract_is(const uint8_t *p, size_t n);
int contracts_apply(struct txn *t, uint64_t seq, const uint8_t *p, size_t n, char *error, size_t error_bytes);
/* refdata_confirm.c */
int risk_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes);
/* refdata_publish.c */
int withdraw_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes);

/* refdata_distrust.c */
int distrust_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes);

/* Entitlement batch into DB_PERSON and DB_RIDER under seq; t NULL: only check. */
int riders_apply(const struct refdata *r, struct txn *t, uint64_t seq, const void *p, size_t n, char *error, size_t error_bytes);


/* Whom an event touches, while it is applied: DB_TOUCHED under its seq; the earliest day of several counts. */
void touched_put(struct txn *t, uint64_t seq, uint64_t person, int32_t first_day);
/* The first day on which two records of one person can price otherwise; INT32_MAX: none. */
int32_t rider_first_difference(const struct rider *before, const struct rider *after);
bool rider_same(const struct rider *a, const struct rider *b);	/* the same bytes in the store */
void rider_write(struct txn *t, uint64_t handle, uint64_t seq, const struct rider *rider);
/* A card's person from this event on, and whom that touches. medium 0 and open days: only who. */
void medium_write(struct txn *t, const struct medium_row *m);
/* bureau.c, feed_apply.c, refdata_media.c. feed_apply is in entitlement.h. */
int bureaus_apply(struct refdata *ref, const void *p, size_t n, bool dry, char *error, size_t error_bytes);
int feed_note(struct refdata *ref, uint64_t seq, int64_t received_ms, const uint8_t *body, size_t n);	/* that it was taken */
int cards_apply(struct txn *t, uint64_t seq, const void *p, size_t n, char *error, size_t error_bytes);	/* refdata_card.c; t NULL: only check */
int media_apply(struct txn *t, uint64_t seq, const void *p, size_t n, char *error, size_t error_bytes);	/* t NULL: only check */

#endif
