/*
 * entitlement - who may ride for less: batches that bureaus sign, and the register of a person's media.
 * docs/entitlements.md is the format for the bureau's engineer. Included by clearing.h.
 *
 * A person is a handle: 63 bits of SM3-HMAC over the identity number with the city's key, made at the bureau's side
 * (qingfen entitlements prepare). The identity number never comes here.
 */
#ifndef CLEARING_ENTITLEMENT_H
#define CLEARING_ENTITLEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys/keys.h"
#include "tariffs/tariffs.h"

struct refdata;
struct txn;
struct event;

/* ---- a batch as a file: CSV or NDJSON, read row by row -------------------------------------------------- */

#define BUREAU_NAME_BYTES_MAX 15
#define GROUP_NAME_BYTES_MAX 31
#define FEED_LINE_BYTES_MAX 512		/* a full row has about 110 */
#define FEED_ROWS_MAX 2000000		/* more than a city of nine million has concession holders */

enum feed_kind { FEED_FULL = 1, FEED_INCREMENT = 2 };	/* on disk */
struct feed_head { char bureau[BUREAU_NAME_BYTES_MAX + 1]; uint32_t sequence; uint8_t kind; int32_t issued; uint32_t count; };
enum feed_column { FEED_HANDLE, FEED_GROUP, FEED_GRADE, FEED_VALID_FROM, FEED_VALID_TO, FEED_VERIFIED_TO, FEED_WITHDRAWN, FEED_BIRTH,
	FEED_HOME, FEED_COLUMNS };
extern const char *const feed_column_name[FEED_COLUMNS];
struct feed_row {
	uint64_t handle; char group[GROUP_NAME_BYTES_MAX + 1]; uint8_t grade;
	int32_t from, to, verified_to;	/* to, verified_to: INT32_MAX when empty */
	int32_t withdrawn;		/* first day it holds no more; DAY_NONE: it stands */
	int32_t birth; uint32_t home;	/* DAY_NONE, 0: not told */
};
struct feed_cell { const char *p; size_t n; unsigned column; };
/* Private to the reader, except line (of the last row) and head. The bytes stay the caller's. */
struct feed_reader { const char *name, *p, *end; bool json; unsigned line, width; int8_t order[FEED_COLUMNS]; struct feed_head head;
	struct feed_cell cell[FEED_COLUMNS]; char *error; size_t error_bytes; };
/* Head line and columns. 0, or CLEARING_E_REFERENCE with "name:line:column: reason" in error. */
int feed_open(struct feed_reader *r, const char *name, const void *p, size_t n, char *error, size_t error_bytes);
int feed_next(struct feed_reader *r, struct feed_row *ret);	/* 1 a row, 0 the end, CLEARING_E_REFERENCE */
/* The refusal of a cell of the last row. Texts long enough for an identity or card number are never quoted. */
int feed_refuse(const struct feed_reader *r, enum feed_column column, const char *reason);

/* ---- handles ---------------------------------------------------------------------------------------------- */

/* 18 characters, upper case, of an identity number of 15 or 18 (15: with century 19 and check digit); false: not one. */
bool identity_normal(const char *text, char ret_identity[19]);
int handle_make(const uint8_t key[32], const char *identity, uint64_t *ret_handle) KEYS_MUST_CHECK;	/* never 0, top bit 0 */
void handle_format(uint64_t handle, char ret_text[17]);		/* 16 hex digits */
bool handle_parse(const char *text, uint64_t *ret_handle);	/* exactly 16 hex digits */

/* ---- what is registered, what was taken ---------------------------------------------------------------------- */

#define BUREAUS_MAX 64
struct bureau {
	char name[BUREAU_NAME_BYTES_MAX + 1], title[64]; uint8_t key[65];
	char groups[512];		/* names, each with a space behind */
	bool facts;			/* may tell birth and home */
	bool adjusts;			/* late_holds: adjust, not from-receipt */
	uint8_t withdraw_max;		/* percent of its holders that one full batch may leave without */
};
struct feed_batch {
	uint64_t seq; int64_t received_ms; struct feed_head head;
	bool forced, adjusts;		/* adjusts: the bureau's policy when it was taken */
	uint8_t digest[DIGEST_BYTES];	/* SM3 */
};
size_t refdata_bureau_count(const struct refdata *r);
const struct bureau *refdata_bureau_at(const struct refdata *r, size_t i);
const struct bureau *refdata_bureau(const struct refdata *r, const char *name);		/* NULL: not registered */
size_t refdata_feed_count(const struct refdata *r);
const struct feed_batch *refdata_feed_at(const struct refdata *r, size_t i);		/* rising seq */
const struct feed_batch *refdata_feed_of(const struct refdata *r, uint64_t seq);	/* by its event; NULL: not a feed */
const struct feed_batch *refdata_feed_last(const struct refdata *r, const char *bureau);	/* NULL: none yet */

/* EVENT_FEED's body: bureau 16 | sequence u32 | kind u8 | forced u8 | 0 u16 | issued i32 | count u32 | SM3 32 |
 * SM2 signature 64 | the file as received. */
#define FEED_EVENT_HEAD_BYTES 128
struct feed_counts { uint64_t persons, added, changed, withdrawn; bool repeated; };
/* The head made from the file. Refusals as feed_open. */
int feed_event_head(const char *name, const void *p, size_t n, const uint8_t signature[64], bool force,
		    uint8_t ret_head[FEED_EVENT_HEAD_BYTES], char *error, size_t error_bytes);
/* All rules but those that need the store. repeated: this batch was taken before, byte for byte. */
int feed_check(const struct refdata *ref, const char *name, const uint8_t *body, size_t n, int64_t received_ms, bool *ret_repeated,
	       char *error, size_t error_bytes);
/* A batch into the store under its event, in a write transaction that a refusal must abort. name: in refusals;
 * counts may be NULL. refdata_apply does the same for EVENT_FEED. */
int feed_apply(struct refdata *ref, struct txn *t, const struct event *e, const char *name, struct feed_counts *ret_counts,
	       char *error, size_t error_bytes) KEYS_MUST_CHECK;

/* ---- a person, for people and for late holds ------------------------------------------------------------------- */

struct medium_row { uint8_t pan[10]; uint64_t handle; uint8_t medium; int32_t from, to; uint64_t seq; };	/* medium 0: not told */
#define MEDIUM_OF_ESCORT 5		/* a card of whoever comes along with the person */
const char *medium_name(uint8_t medium);			/* purse, ssc, qr, bank, escort; "" */
bool medium_find(struct txn *t, const uint8_t pan[10], uint64_t seq, struct medium_row *ret);
/* The value of a row of DB_PERSON: is the card an escort's? Then *rider says so, with its days. */
#define REGISTRATION_BYTES_MIN 8	/* a card's row of so many says whose it is, and nothing else */
bool medium_escorts(const void *val, size_t n, struct rider *rider);
bool rider_of(struct txn *t, uint64_t handle, uint64_t seq, struct rider *ret);	/* as known at seq; false: unknown */
/*
 * Each person that an entitlement event touched, and the first day whose rides it can price otherwise (0: all): what
 * the event changed against what was known before, or a card that became another person's. person is as rider_find
 * gives it; for a card that was nobody's, the card's own too. Rising by person. 0, or what fn returned.
 */
typedef int (*touched_fn)(void *arg, uint64_t person, int32_t first_day);
int entitlement_touched(struct txn *t, uint64_t seq, touched_fn fn, void *arg);

#endif
