/*
 * clearing - the daemon's library, and what tools need of it: the store, the inbox, reference data,
 * the clear, settlement, reports, explanations. The core decides (core/core.h), this shell acts.
 *
 * One LMDB environment, one writing process. Keys are big-endian so that iteration order is report
 * order. "inbox" and "meta" are the truth, all else can be rebuilt from them. Errors: 0 good, negative
 * CLEARING_E_* (-4xxx), -errno, or LMDB's own -307xx.
 */
#ifndef CLEARING_CLEARING_H
#define CLEARING_CLEARING_H

#include <lmdb.h>
#include <stdio.h>

#include "clearing/core/core.h"
#include "clearing/entitlement.h"
#include "clearing/evidence.h"
#include "clearing/layout.h"
#include "keys/octets.h"

#define CLEARING_MUST_CHECK __attribute__((warn_unused_result))

enum clearing_error {
	CLEARING_E_STORE = -4001,	/* damaged: a record does not hold what its kind demands */
	CLEARING_E_NEWER = -4002,	/* store format of a newer version */
	CLEARING_E_STATE = -4003,	/* the day is not in a state that allows this */
	CLEARING_E_NO_DAY = -4004,
	CLEARING_E_BUSY = -4005,
	CLEARING_E_REFERENCE = -4006,	/* reference data refused; text given */
	CLEARING_E_DIFFERS = -4007,	/* recompute gave other bytes */
	CLEARING_E_PARTNER_FILE = -4008,/* a partner's file was refused whole; text given */
	CLEARING_E_NO_TARIFF = -4009,	/* no tariff pack in force */
	CLEARING_E_OLDER = -4010,	/* store format of an older version, which this one does not read */
	CLEARING_E_PACKED = -4011,	/* damaged: packed batches do not unpack to what was packed */
};
const char *clearing_strerror(int code);	/* every code of every folder, LMDB and errno */

/* ---- store --------------------------------------------------------------------------------- */

enum db {				/* named databases; keys in docs/store.md */
	DB_META,	/* text -> value */
	DB_INBOX,	/* seq u64 -> event */
	DB_DAY,		/* day u32 -> struct day_row packed */
	DB_TAPKEY,	/* terminal 6 | day u32 -> serials u32 u32: lowest and highest whose records that day decided (rows.h) */
	DB_CLEARED,	/* day u32 | class u8 | business key 18 or content digest 18 | n u16 of its first row -> block of rows (rows.h) */
	DB_PERSON,	/* pan 10 | seq u64 -> person u64, and from the media register medium u8, from u32, to u32 */
	DB_RIDER,	/* person u64 | seq u64 -> struct rider packed */
	DB_POSTING,	/* day u32 | debit u32 | credit u32 | scheme u8 | reason u8 | rule u16 | tariff version u32 -> count, sum, digest */
	DB_CUBE,	/* day u32 | verdict u8 | operator u32 | scheme, medium, card class u8 | group, rule, fund rule u16 | tariff version u32 | line text, and 0 | reason of a difference u8 -> measures */
	DB_OUTBOX,	/* id u64 -> delivery row */
	DB_FILE,	/* day u32 | name -> bytes: reports, partner files */
	DB_ITEM,	/* scheme u8 | item id -> business key, state: open items at partners */
	DB_ADJUST,	/* day u32 | business key 18 | n u16 -> adjustment of a ride that an earlier day settled */
	DB_ADJUSTED,	/* business key 18 | n u16 | day u32 -> nothing: where a ride's adjustments are */
	DB_RERATE,	/* person u64, 0 everyone | day u32 | from u32 -> to u32, cause u8: rides rated again with what that day knew */
	DB_HOLDER,	/* bureau 16 | person u64 -> seq u64: who holds something of a bureau now */
	DB_TOUCHED,	/* seq u64 | person u64 -> first day u32: whom an entitlement event touched */
	DB_WAITING,	/* seq u64 of a batch | place in it u16 -> nothing: records whose key device has not answered yet */
	DB_CARD,	/* pan 10 | seq u64 | row u32 -> at u64, change u8, counted u8, counter u16, valid_to u64: changes of a card's life */
	DB_CODE,	/* code 15 (tap_code_key) | day u32 -> business key 18, key check u8: which record a code rode with */
	DB_ANSWER,	/* business key 18 -> day u32 | code answer: what a platform said of a record, by the day that cleared it */
	DB_DEBIT,	/* item id | 0 | cleared key 25 -> fen i64: the rides of a debit */
	DB_DEBITED,	/* cleared key 25 -> item id: a ride's debit */
	DB_DENY,	/* pan 10 | reason u8 | item id -> seq u64 | fen i64: bank cards that ride no more */
	DB_CONFIRMED,	/* business key 18 -> day u32, decision u8, names 32 and 32, seq u64: a distrusted tap two persons decided about, by the day that booked it */
	DB_RIDDEN,	/* person u64 | day u32 -> a person's day, of days cleared up to format 5: nothing is put here any more */
	DB_CONTRACT,	/* seq u64 | row u16 -> first_fen i64, account u32, from u32, to u32, prefix 21, title 64: who bears lost first rides */
	DB_OTHER,	/* seq u64 -> type u8: events that are no batches */
	DB_BUNDLE,	/* day u32 | bundle u32 from 1 -> batches packed together (bundle.h); bundle 0 -> what is packed of the day */
	DB_PERSON_DAY,	/* day u32 | first person u64 -> persons' rider states at that day's close, counters, records: clearing/person_blocks.h, clearing/ridden.h */
	DB_PERSON_LAST,	/* first person u64 -> persons' newest days there: clearing/person_blocks.h */
	DB_COUNT_
};
#define DAYS_KEPT 8	/* in struct txn: of DB_PERSON_DAY, places in so many days */
struct store;
/* Creates when absent (unless read_only); fsyncs the directory. map_bytes: address space, 0 = 16 GiB. One of format 2 becomes one of
 * this format, by one walk over its inbox; read_only, it is refused (CLEARING_E_OLDER). One of format 3 and later is read as it is. */
int store_open(const char *dir, bool read_only, size_t map_bytes, struct store **ret_store) CLEARING_MUST_CHECK;
void store_close(struct store *s);
const char *store_path(const struct store *s);		/* the store's own */
/* A compacted snapshot into an existing empty directory, from a running store. */
int store_copy(struct store *s, const char *dir) CLEARING_MUST_CHECK;
uint64_t store_used_bytes(struct store *s);
size_t store_page_bytes(struct store *s);
/* Of those, bytes of pages that hold nothing and are filled next. */
uint64_t store_free_bytes(struct store *s);
/* Transactions remember their first error: a run of puts is straight code with one look at commit. */
struct row_block;
struct unpacked;
struct wholes;
struct txn { struct store *store; MDB_txn *mdb; int error; bool write; struct row_block *block;	/* block: rows.c, read last */
	struct unpacked *unpacked;	/* packed.c: bundles read last */
	struct wholes *wholes;		/* whole.c: thin batches read last */
	bool keep;			/* what is read of batches from here on stays to the end; see inbox_open() */
	struct entry_note { uint64_t person; size_t next; } *note, once;	/* of the entry found by txn_get_last_at(), for him who reads on in it; 0 at first and once the entry is another */
	bool rising; struct last_at *last_at[2][DB_COUNT_ + DAYS_KEPT];	/* txn_get_last_at() is asked of rising keys: where it stands, kept. Not while writing */
	MDB_cursor *next_at; enum db next_db; unsigned next_flags;	/* txn_put_next() */
	uint64_t asked, any;		/* reading only: databases that were asked about, those of them that have a row */
	uint64_t rows; int rows_db; };	/* the same of the one counted last, and which that is, from 1; 0: none */
int txn_begin(struct store *s, bool write, struct txn *ret_txn) CLEARING_MUST_CHECK;
uint64_t txn_rows(struct txn *t, enum db db);	/* how many a database has */
/* 0 only when everything since begin is durable. An I/O error here is final: the caller stops. */
int txn_commit(struct txn *t) CLEARING_MUST_CHECK;
void txn_abort(struct txn *t);
void txn_put(struct txn *t, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes);
/* The same for keys that rise from call to call of one database: each is looked for from where the one before went. */
void txn_put_next(struct txn *t, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes);
void txn_append(struct txn *t, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes); /* keys rising */
/* Append with the value left for the caller to fill before anything else is written; NULL: the error is set. */
void *txn_reserve_append(struct txn *t, enum db db, const void *key, size_t key_bytes, size_t val_bytes);
void txn_del(struct txn *t, enum db db, const void *key, size_t key_bytes);	/* absent is fine */
bool txn_any(struct txn *t, enum db db);	/* the database has at least one row */
/* true: found, bytes valid until the transaction ends or writes. */
bool txn_get(struct txn *t, enum db db, const void *key, size_t key_bytes, const void **ret_val, size_t *ret_bytes);
/* Cursor: iter_first(prefix) positions at the first key >= prefix; iter_next while keys start with it. */
struct iter { MDB_cursor *cursor; struct txn *txn; uint8_t prefix[64]; size_t prefix_bytes;
	const uint8_t *key; size_t key_bytes; const uint8_t *val; size_t val_bytes; bool on; };
void iter_open(struct txn *t, enum db db, const void *prefix, size_t prefix_bytes, struct iter *ret_iter);
bool iter_next(struct iter *it);	/* the first call gives the first row; false: end */
/* Position at the first key >= key, within the iterator's prefix. */
bool iter_seek(struct iter *it, const void *key, size_t key_bytes);
void iter_close(struct iter *it);
/* Largest key <= key that starts with the first prefix_bytes of key ("latest version at"). */
bool txn_get_last_at(struct txn *t, enum db db, const void *key, size_t key_bytes, size_t prefix_bytes,
		     const uint8_t **ret_key, const void **ret_val, size_t *ret_bytes);
/* Numbers of keys and rows: be16_put() and its like, keys/octets.h. */

/* ---- inbox: the only truth -------------------------------------------------------------------- */

enum event_type {			/* on disk */
	EVENT_BATCH = 1,		/* body: device 16 | file_serial u32 | count u16 | per tap: check u8 | bits u8;
					 * then the batch bytes exactly as received. How it lies in the store, thin mostly: docs/store.md */
	EVENT_TERMINALS = 2,		/* body: CSV text, terminal register: replaces or adds rows */
	EVENT_ISSUERS = 3,		/* CSV: issuer white list, whole */
	EVENT_BLACKLIST = 4,		/* version u32 | CSV: pan,from,to,action; whole list */
	EVENT_RIDERS = 5,		/* CSV: entitlement batch: pan,person,birth,group,grade,from,to,verified_to,... */
	EVENT_TARIFF = 6,		/* valid_from i64 | compiled pack blob */
	EVENT_DAY_CUT = 7,		/* day u32 */
	EVENT_PARTNER = 8,		/* partner 16 | name 64 | file bytes */
	EVENT_DECISION = 9,		/* a person's decision: JSON */
	EVENT_DAY_STATE = 10,		/* day u32 | from u8 | to u8 | who text */
	EVENT_PERSONS = 11,		/* CSV: name,title,key: who may publish tariffs, whole list */
	EVENT_PUBLISH = 12,		/* from i64 | name 32 | SM2 signature 64 | SHA-256 32 | compiled pack; the second signature has no pack */
	EVENT_WITHDRAW = 13,		/* from i64 | name 32 | SM2 signature 64 | tariff version u32 */
	EVENT_RERATE = 16,		/* from u32 | to u32 | name 32 | SM2 signature 64 | open day u32: one of two persons who ask for it */
	EVENT_BUREAUS = 17,		/* CSV: bureau,title,key,groups,facts,withdraw_max,late_holds: who may grant what, whole list */
	EVENT_FEED = 18,		/* a bureau's signed batch: FEED_EVENT_HEAD_BYTES, then the file as received */
	EVENT_MEDIA = 19,		/* CSV: pan,person,medium,from,to: media register, adds and replaces */
	EVENT_RECHECK = 20,		/* per record: seq u64 of its batch | place in it u16 | key check u8, rising: what a key device said later */
	EVENT_DISTRUST = 21,		/* from i64 | name 32 | SM2 signature 64 | issuer 4 | scheme u8 | alg u8 | key version u8 | index u8 */
	EVENT_CARDS = 22,		/* CSV: pan,state,at,valid_to,counter: changes of cards' lives, adds */
	EVENT_DEVICE = 23,		/* kind u8 1 | zero 7 | fen i64: the cap on unproven value from here on;
					 * kind u8 2 | zero 3 | day u32 | name 32 | SM2 signature 64 | business key 18 | zero 2 | SHA-256 32: a
					 * person releases a record that was set aside on that day */
	EVENT_CODE_ANSWER = 24,		/* answers of a code platform: clearing/code_route.h, docs/codes.md */
	EVENT_BANK = 25,		/* CSV: action,pan,item,fen: a bank's list of cards, arrears paid */
	EVENT_RISK = 27,		/* kind u8 1 | decision u8 | zero 2 | day u32 | name 32 | SM2 signature 64 | business key 18 | zero 2 |
					 * SHA-256 32: one of two persons decides about a distrusted tap of that day;
					 * kind u8 2 | zero 7 | CSV prefix,first_fen,account,title,from,to: who bears lost first rides */
};
#define EVENT_BATCH_HEAD_BYTES 22
#define EVENT_HEAD_BYTES 16		/* type u8 | version u8 | reserved 6 | received_ms i64, big-endian */
#define EVENT_BIT_FUTURE 1		/* tap was ahead of our clock at arrival */
struct event { uint64_t seq; uint8_t type; int64_t received_ms; const uint8_t *body; size_t bytes;
	bool headed, packed; uint16_t taps, unanswered;	/* headed: read by inbox_open_heads(), without its body; packed: which lies in a bundle */
	const uint8_t *thin; size_t thin_bytes; };	/* read by inbox_open_stored(): instead of its body, as it lies there (core/thin.h) */
/* Append in the caller's write transaction; the sequence number it got. A batch that becomes smaller is kept thin. */
uint64_t inbox_append(struct txn *t, uint8_t type, int64_t received_ms, const void *const *part, const size_t *part_bytes, size_t parts);
/* The same of a batch whose thin form is there already: 0 bytes, it has none. The three are what event_batch_read() gives again. */
struct batch_parts { const uint8_t *head, *marks, *frame; size_t frame_bytes; uint16_t count; };
uint64_t inbox_append_batch(struct txn *t, int64_t received_ms, const struct batch_parts *b, const void *thin, size_t thin_bytes);
uint64_t inbox_last(struct txn *t);	/* 0: empty */
void inbox_list(struct txn *t, uint64_t seq, uint8_t type);	/* into DB_OTHER, rising, unless it is a batch; inbox_append() does */
/* Events from..to (both included) in order; body valid until the transaction ends. The body of a batch, which mostly has to be put
 * together, is so only while the transaction is told to keep; else until many others were read (thirty), or the next call. */
struct inbox_iter { struct iter it; uint64_t from, to; bool started, others, heads, stored; };
void inbox_open(struct txn *t, uint64_t from, uint64_t to, struct inbox_iter *ret);
/* The same without the batches, none of which is looked at. */
void inbox_open_others(struct txn *t, uint64_t from, uint64_t to, struct inbox_iter *ret);
/* The same with all events, but nothing is put together: a thin or packed batch has no body, only how many taps and unanswered marks
 * it has. */
void inbox_open_heads(struct txn *t, uint64_t from, uint64_t to, struct inbox_iter *ret);
/* The same with all bodies but those of thin batches, and of packed ones in a transaction that is told to keep: of these the thin form,
 * valid until the transaction ends. */
void inbox_open_stored(struct txn *t, uint64_t from, uint64_t to, struct inbox_iter *ret);
/* One event. False: there is none, or the transaction's error says why. */
bool inbox_get(struct txn *t, uint64_t seq, struct event *ret_event);
bool inbox_next(struct inbox_iter *it, struct event *ret_event);
void inbox_close(struct inbox_iter *it);
/* The parts of an EVENT_BATCH. false: damaged. */
void event_batch_head(const char *device, uint32_t file_serial, uint16_t count, uint8_t out[EVENT_BATCH_HEAD_BYTES]);
struct event_batch { char device[DEVICE_BYTES_MAX + 1]; uint32_t file_serial; uint16_t count; const uint8_t *marks; const uint8_t *batch; size_t batch_bytes; };
bool event_batch_read(const struct event *e, struct event_batch *ret);
/* Taps of an EVENT_BATCH, and how many of them are marked KEY_CHECK_UNAVAILABLE; also of one without its body. */
bool event_batch_count(const struct event *e, uint16_t *ret_taps, uint16_t *ret_unanswered);

/* ---- packing: closed days take less room, and nothing else changes ---------------------------------- */

/* What is packed of a day, or of all. Bytes are with the pages they fill; before and after of what is packed. */
struct packed { uint32_t days, bundles; uint64_t batches, bytes_before, bytes_after; bool whole; };
bool day_packed(struct txn *t, int32_t day, struct packed *ret);	/* false: nothing of it */
void days_packed(struct txn *t, struct packed *ret);
/* The bodies of a cleared day's batches into bundles, one in each transaction, which holds the writer for milliseconds: each is read
 * back from the store and compared before the batches give up their bytes. Where another left off is where it goes on.
 * CLEARING_E_NO_DAY; CLEARING_E_STATE: not cleared, or the open day or the one before it, which a start reads. */
struct packing;
int packing_open(struct store *s, int32_t day, struct packing **ret) CLEARING_MUST_CHECK;
int packing_step(struct packing *p) CLEARING_MUST_CHECK;	/* 1: there is more; 0: the day is whole */
void packing_close(struct packing *p);		/* NULL is fine */
int day_pack(struct store *s, int32_t day) CLEARING_MUST_CHECK;
/* Thin batches against what their events say of them, bundles against the rows that name them: each broken one is a line on out. Number
 * broken. */
int packed_check(struct txn *t, FILE *out);

/* ---- records whose key device did not answer: waiting.c ------------------------------------------ */

/*
 * A record marked KEY_CHECK_UNAVAILABLE has its receipt, is pending-tac and posts nothing. It waits in DB_WAITING until its
 * key was asked again; the answer is an event. In the clear of the day its batch belongs to, an answer before the cut takes
 * the place of the mark; an answer of a later day takes the record in again on that day, as a tap that came late but with
 * the age it had when it arrived. An answered record waits no longer, so that no second answer can come.
 */
#define RECHECK_BYTES 11
struct recheck { uint64_t seq; uint16_t nth; uint8_t check; };	/* batch, place in it from 0, enum key_check */
/* How many an EVENT_RECHECK has; -1: damaged. */
int64_t rechecks_count(const struct event *e);
struct recheck recheck_at(const struct event *e, size_t i);
int recheck_compare(const void *a, const void *b);	/* of struct recheck: by batch, then place in it */
/* In the transaction that appends a batch: those of its marks that wait from now on. */
void waiting_add(struct txn *t, uint64_t seq, const uint8_t *marks, uint16_t count);
/* The next ones after a place, at most max, rising. */
size_t waiting_next(struct txn *t, const struct recheck *after, struct recheck *ret, size_t max);
/* Appends the answers to records that still wait, rising; *ret_event is what was appended. False: there were none.
 * KEY_CHECK_UNAVAILABLE and KEY_CHECK_NONE are no answers. */
bool recheck_append(struct txn *t, int64_t at_ms, const struct recheck *answer, size_t n, struct event *ret_event);
bool waiting_has(struct txn *t, uint64_t seq, const uint8_t *raw, uint32_t raw_bytes);	/* a record of that batch with these bytes still waits */
/* Marks, waiting records and answers agree: each broken one is a line on out. Number broken. */
int waiting_check(struct txn *t, FILE *out);
/* Single records of batches; the batch read last is remembered. Bytes are valid until the transaction ends. */
struct record { const uint8_t *raw; uint32_t raw_bytes; const char *device; int64_t received_ms; int32_t day; uint8_t check, bits; };
struct records;
int records_new(struct txn *t, struct records **ret) CLEARING_MUST_CHECK;
void records_free(struct records *r);		/* NULL is fine */
/* day: the settlement day the batch belongs to. False: no such record. */
bool records_get(struct records *r, uint64_t seq, uint16_t nth, struct record *ret);

/* ---- reference data: terminals, issuers, black list, riders, tariffs ---------------------------- */

/* Built by applying events in order; a function of the inbox up to a position. Riders and persons stay
 * in LMDB, versioned by inbox position; the rest is memory. */
struct refdata;
int refdata_new(struct refdata **ret) CLEARING_MUST_CHECK;
void refdata_free(struct refdata *r);
/* Apply one event (batches are ignored). Text of a refusal in ret_error. When txn is a write
 * transaction, EVENT_RIDERS rows are written to DB_PERSON and DB_RIDER under this event's seq. */
int refdata_apply(struct refdata *r, const struct event *e, struct txn *t, char *ret_error, size_t error_bytes) CLEARING_MUST_CHECK;
/* Dry parse for the control socket, before the event is appended. */
int refdata_check(const struct refdata *r, uint8_t type, const void *body, size_t n, char *ret_error, size_t error_bytes) CLEARING_MUST_CHECK;
/* Everything up to and including seq. */
int refdata_replay(struct refdata *r, struct txn *t, uint64_t to_seq) CLEARING_MUST_CHECK;
const struct terminal_row *refdata_terminal(const struct refdata *r, const uint8_t terminal[6], int64_t at_ms);
const struct issuer_row *refdata_issuer(const struct refdata *r, const uint8_t issuer[4], int64_t at_ms);
/* The same; *stays is narrowed to the times around it at which the answer is the same one. */
struct span_ms { int64_t from_ms, to_ms; };	/* to_ms is not in it */
const struct terminal_row *refdata_terminal_while(const struct refdata *r, const uint8_t terminal[6], int64_t at_ms, struct span_ms *stays);
const struct issuer_row *refdata_issuer_while(const struct refdata *r, const uint8_t issuer[4], int64_t at_ms, struct span_ms *stays);
bool refdata_blacklisted(const struct refdata *r, const uint8_t pan[10], int64_t at_ms);
uint32_t refdata_list_version(const struct refdata *r);
const void *refdata_blacklist_text(const struct refdata *r, size_t *ret_bytes);	/* for validators: one PAN a line */
const struct tariff *refdata_tariff(const struct refdata *r, int64_t at_ms);	/* version valid at tap time; NULL */
const struct tariff *refdata_tariff_known(const struct refdata *r, int64_t at_ms, uint64_t seq);	/* the same among those that had come by event seq */
const void *refdata_tariff_blob(const struct refdata *r, uint32_t *ret_version, size_t *ret_bytes); /* newest */
/* For validators: the one in force at a time; before the first is, the newest. */
const void *refdata_tariff_blob_at(const struct refdata *r, int64_t at_ms, uint32_t *ret_version, size_t *ret_bytes);
const struct tariff *refdata_tariff_version(const struct refdata *r, uint32_t version);	/* NULL unknown */
/* Publishing a tariff takes the SM2 signatures of two persons over the same text; withdrawing takes one. */
#define PERSON_NAME_BYTES_MAX 31
#define PUBLISH_HEAD_BYTES (8 + 32 + 64 + DIGEST_BYTES)
#define WITHDRAW_BYTES (8 + 32 + 64 + 4)
#define PUBLISH_TEXT_BYTES 160
size_t publish_text(const uint8_t digest[DIGEST_BYTES], int64_t from_ms, char ret_text[PUBLISH_TEXT_BYTES]);
size_t withdraw_text(uint32_t version, int64_t from_ms, char ret_text[PUBLISH_TEXT_BYTES]);
bool refdata_signed(const struct refdata *r);	/* persons and a tariff are loaded: tariffs come by signatures */
bool refdata_proposed(const struct refdata *r, const uint8_t digest[DIGEST_BYTES], int64_t from_ms);	/* one has signed */
/* Packs and what waits for a second signature, for people; the reason a pack is no longer used is its end. */
struct tariff_state { uint32_t version; const char *name; int64_t from_ms, to_ms; const char *by; };	/* by: who proposed; NULL: in force */
bool refdata_tariff_state(const struct refdata *r, size_t i, struct tariff_state *ret);	/* packs, then proposals */
/* Settled rides are rated again when two persons sign for the same service days in the same open day. */
#define RERATE_BYTES (4 + 4 + 32 + 64 + 4)
size_t rerate_text(int32_t from, int32_t to, int32_t open_day, char ret_text[PUBLISH_TEXT_BYTES]);
/* What was asked for, oldest first; agreed_seq: event of the second signature, 0 none yet. False: no more. */
struct rerate_state { int32_t from, to, day; const char *by; uint64_t agreed_seq; };
bool refdata_rerate(const struct refdata *r, size_t i, struct rerate_state *ret);
/*
 * A TAC key that is compromised: what it verified proves nothing about taps of its time or later, though the mark in the
 * inbox says good; they are distrusted and wait for a person. One person's signature is enough, for it only withholds
 * money; a later time for the same key is refused. Days cut before the event stay as they are.
 */
#define DISTRUST_BYTES (8 + 32 + 64 + 8)
struct distrust { uint8_t issuer[4], scheme, alg, version, index; int64_t from_ms; char by[PERSON_NAME_BYTES_MAX + 1]; };	/* index 0: every one */
size_t distrust_text(const struct distrust *d, char ret_text[PUBLISH_TEXT_BYTES]);
void distrust_encode(const struct distrust *d, uint8_t ret_body[DISTRUST_BYTES]);	/* signature left zero, at 40 */
bool distrust_names(const struct distrust *d, const struct tap *tap);	/* a purse record of that key, of its time or later */
const struct distrust *refdata_distrust(const struct refdata *r, const struct tap *tap);	/* NULL: none */
const struct distrust *refdata_distrust_of(const struct refdata *r, const struct distrust *key);	/* the same key's; NULL: none */
/* What the mark of an event is worth by now: GOOD of a compromised key is DISTRUSTED, anything else stays. */
enum key_check refdata_check_of(const struct refdata *r, const struct tap *tap, enum key_check mark);
/*
 * A distrusted tap waits for two persons: both sign the record, its day and the same decision. The clear of the day that has
 * the second signature books it, once: firm, or back.
 */
#define CONFIRM_BYTES (8 + 32 + 64 + TAP_KEY_BYTES + 2 + DIGEST_BYTES)
enum confirm_decision { CONFIRM_GOOD = 1, CONFIRM_REFUSED = 2 };	/* on disk */
struct confirm { uint8_t key[TAP_KEY_BYTES], used, decision; int32_t day; uint8_t digest[DIGEST_BYTES]; char by[2][PERSON_NAME_BYTES_MAX + 1]; uint8_t point[65];
	uint64_t seq; };	/* used: by the table; day: that left it waiting; point: the first signer's; seq: of the second signature, 0 none yet */
size_t confirm_text(const struct confirm *c, char ret_text[PUBLISH_TEXT_BYTES]);
void confirm_event(const struct confirm *c, const uint8_t signature[64], uint8_t out[CONFIRM_BYTES]);	/* by[0] signs */
const struct confirm *refdata_confirm(const struct refdata *r, const uint8_t key[TAP_KEY_BYTES]);	/* NULL: nobody has signed */
const struct confirm *refdata_confirm_next(const struct refdata *r, size_t *at);	/* in no order, from *at = 0; NULL: no more */
/* What a cleared day has booked; false: not decided. */
struct confirmed { int32_t day; uint8_t decision; char by[2][PERSON_NAME_BYTES_MAX + 1]; uint64_t seq; };
#define CONFIRMED_BYTES (4 + 1 + 32 + 32 + 8)
void confirmed_put(const struct confirm *c, int32_t day, uint8_t out[CONFIRMED_BYTES]);
bool confirmed_find(struct txn *t, const uint8_t key[TAP_KEY_BYTES], struct confirmed *ret);
/*
 * How much value that no key has proven a device may bring in a settlement day; 0: no cap. What comes beyond it is set
 * aside, until a person signs that one record may settle: it does on the day that has the event, once.
 */
#define DEVICE_CAP_BYTES 16
#define DEVICE_RELEASE_BYTES (8 + 32 + 64 + TAP_KEY_BYTES + 2 + DIGEST_BYTES)
int64_t refdata_cap_fen(const struct refdata *r);
void device_cap_event(int64_t fen, uint8_t out[DEVICE_CAP_BYTES]);
size_t release_text(const uint8_t key[TAP_KEY_BYTES], int32_t day, const uint8_t digest[DIGEST_BYTES], char ret_text[PUBLISH_TEXT_BYTES]);
struct release { uint8_t key[TAP_KEY_BYTES]; int32_t day; char by[PERSON_NAME_BYTES_MAX + 1]; uint64_t seq; };	/* day: set aside on */
void release_event(const uint8_t key[TAP_KEY_BYTES], int32_t day, const uint8_t digest[DIGEST_BYTES], const char *by, const uint8_t signature[64],
		   uint8_t out[DEVICE_RELEASE_BYTES]);
/* Of an EVENT_DEVICE; false: it is no release. */
bool release_read(const struct event *e, struct release *ret);
const struct release *refdata_release(const struct refdata *r, const uint8_t key[TAP_KEY_BYTES]);	/* NULL: not released */
const struct release *refdata_release_at(const struct refdata *r, size_t i);	/* by business key; NULL: no more */
size_t refdata_terminal_count(const struct refdata *r);
const struct terminal_row *refdata_terminal_at(const struct refdata *r, size_t i);	/* sorted by terminal */
/* Person of a card and its rider record as known at inbox position seq. A card nobody registered is its
 * own person: the PAN's digits as a number. ret_rider is always filled (empty when unknown). */
uint64_t rider_find(struct txn *t, const uint8_t pan[10], uint64_t seq, struct rider *ret_rider);
uint64_t card_person(const uint8_t pan[10]);	/* the person of a card nobody registered */
/* Only the person; and the row that says so, val NULL: none does, good until the transaction ends. The rider of that person by such a row. */
struct registration { const void *val; size_t bytes; uint64_t seq; };	/* seq: the event that brought it */
uint64_t card_bearer(struct txn *t, const uint8_t pan[10], uint64_t seq, struct registration *ret);
void rider_registered(struct txn *t, uint64_t person, const void *registration, size_t n, uint64_t seq, struct rider *ret_rider);
/* What rating remembers of a person at the close of a day or the last before that has something of his; all zero when none
 * has, and on error: CLEARING_E_STORE when the row cannot be read. */
int ridden_state(struct txn *t, uint64_t person, int32_t day, struct rider_state *ret_state) CLEARING_MUST_CHECK;
/* The highest counter of the newest day that saw a card number; false: none did, or txn.error is set. */
bool card_counted(struct txn *t, const uint8_t pan[10], uint16_t *ret_counter, int32_t *ret_day);
/* The same answers for one who asks for the same cards again, from memory of a fixed size (places: a power of two, 64
 * bytes each). They hold as long as no event between two askings changes a card's person or a record: after one that
 * may have, known_forget. */
/* A card's life up to a time, from what the inbox said up to seq; false: nothing, *ret_life is all zero. */
#define CARD_CHANGES_MAX 64		/* of one card: a load that would bring more is refused */
struct card_change_row { struct card_event event; uint64_t seq; };
bool card_life_at(struct txn *t, const uint8_t pan[10], uint64_t seq, int64_t at_ms, struct card_life *ret_life);
/* All of them in order; how many. */
size_t card_changes(struct txn *t, const uint8_t pan[10], uint64_t seq, struct card_change_row ret_row[CARD_CHANGES_MAX]);
struct known;
int known_new(size_t places, struct known **ret_known) CLEARING_MUST_CHECK;	/* places at most; fewer while few cards are registered */
void known_free(struct known *k);		/* NULL is fine */
void known_forget(struct known *k);
/* In a transaction before its questions: forgets when a row of DB_PERSON or DB_RIDER came since, and from the first time on
 * a card that nobody registered is told without a look into the store. */
int known_follow(struct known *k, struct txn *t) CLEARING_MUST_CHECK;
/* Looks up the next so many registered cards ahead of their first ride. False: all are, or they do not fit. */
bool known_warm(struct known *k, struct txn *t, unsigned cards);
uint64_t known_rider(struct known *k, struct txn *t, const uint8_t pan[10], uint64_t seq, struct rider *ret_rider);
/* For who asks several times between two known_follow, of many cards one step for all before the next: where the filter and what
 * is remembered have it; what the filter says. */
struct known_card { uint64_t number, hash; bool registered; };	/* false: surely not */
struct known_card known_card(const struct known *k, const uint8_t pan[10]);
void known_prefetch(const struct known *k, struct known_card *card);	/* soon asked for */
/* As remembered; else as if nobody had registered the card. */
uint64_t known_person_by(const struct known *k, const struct known_card *card, const uint8_t pan[10]);
uint64_t known_rider_by(struct known *k, struct txn *t, const struct known_card *card, const uint8_t pan[10], uint64_t seq, struct rider *ret_rider);

/* ---- the URI of a device's certificate, in its subjectAltName ---------------------------------------- */

#define DEVICE_URI_BYTES 51	/* without the NUL */
void device_uri_format(const uint8_t terminal[6], const uint8_t psam[6], char ret_uri[DEVICE_URI_BYTES + 1]);
/* False: not exactly that URI. p need not end in NUL. */
bool device_uri_parse(const void *p, size_t n, uint8_t ret_terminal[6], uint8_t ret_psam[6]);

/* ---- settlement day ------------------------------------------------------------------------------ */

struct day_row {
	int32_t day; uint8_t state;
	uint64_t first_seq, cut_seq;	/* inbox events of the day: (first_seq, cut_seq] */
	uint64_t tap_count;
	uint8_t digest[DIGEST_BYTES];	/* from CLEARED on: what it was closed with */
	uint8_t seal;			/* enum day_seal: of what */
};
/* SHA-256 of the canonical dump's text, as days were closed up to format 4; over the rows and what they say, docs/store.md. */
enum day_seal { DAY_SEAL_NONE, DAY_SEAL_TEXT, DAY_SEAL_ROWS };
bool day_get(struct txn *t, int32_t day, struct day_row *ret_row);
void day_put(struct txn *t, const struct day_row *row);
bool day_decode(const uint8_t *p, size_t n, struct day_row *ret_row);
int32_t day_open_get(struct txn *t);	/* the day being filled; DAY_NONE in a new store */
int32_t day_of_seq(struct txn *t, uint64_t seq);	/* the day an event of the inbox belongs to; DAY_NONE */
void day_open_init(struct txn *t, int32_t day);	/* first start: this day is being filled */
/* End the open day: appends EVENT_DAY_CUT, opens the next day. CLEARING_E_STATE when cut already. */
int day_cut(struct txn *t, int32_t day, int64_t at_ms) CLEARING_MUST_CHECK;
#define DAY_CUT_S_DEFAULT (3 * 3600)	/* 03:00, settlement.md: common cut-over of city systems */

/* ---- clear (stage B) ------------------------------------------------------------------------------- */

enum cleared_class { CLEARED_RIDE = 1, CLEARED_OTHER = 2, CLEARED_ADJUSTMENT = 3 };	/* by business key | by content digest, first 18 bytes | of items and
				 * debits only: an adjustment of that day */
#define CLEARED_KEY_BYTES 25		/* day 4 | class 1 | key 18 | n 2: one key may have several records */
/* One cleared row (rows.h); raw: the record in the inbox. */
struct cleared {
	uint8_t verdict, check, scheme; bool pending;
	uint64_t person; uint32_t operator_id; uint32_t tariff_version; uint64_t seq;	/* inbox event: arrival metadata */
	char device[DEVICE_BYTES_MAX + 1];
	struct fare fare; struct priced priced;
	const uint8_t *raw; uint32_t raw_bytes;
	bool decides;			/* its business key: a later record under it is a copy */
};
/*
 * One row of DB_ADJUST: a ride settled on an earlier day whose fare is another by what was learned since. The
 * cleared row stays as it is; the newest adjustment before a day is what that day starts from. Amounts are
 * differences only in the postings: before and after are both whole fares.
 */
enum adjust_cause {			/* on disk */
	ADJUST_LATE_TAP = 1,		/* a tap that came late: cause_key is its business key */
	ADJUST_RERATE = 2,		/* rules changed back in time, asked for by two persons */
	ADJUST_LATE_HOLD = 3,		/* an entitlement learned of after the ride */
};
struct adjustment {
	int32_t day, settled_day;	/* booked in | the cleared row's */
	uint8_t key[TAP_KEY_BYTES]; uint16_t nth;
	uint8_t cause, cause_key[TAP_KEY_BYTES];
	uint8_t was, verdict;		/* enum verdict before and after */
	uint8_t scheme; uint32_t operator_id, was_version, tariff_version;
	int64_t charged_fen, refund_fen;	/* the record's debit | owed to the rider after this, as booked */
	struct fare before, fare;
	uint8_t posting_count; struct posting posting[ADJUST_POSTINGS_MAX];
	uint8_t pan[10];		/* only where it is made, not stored */
};
#define ADJUST_KEY_BYTES (4 + TAP_KEY_BYTES + 2)
#define ADJUST_ROW_BYTES_MAX 1024
const char *adjust_cause_name(enum adjust_cause cause);	/* late-tap, rerate, late-hold */
const char *adjust_cause_zh(enum adjust_cause cause);
void adjust_key(const struct adjustment *a, uint8_t out[ADJUST_KEY_BYTES]);
int adjust_encode(const struct adjustment *a, uint8_t *out, size_t out_bytes);
bool adjust_decode(const uint8_t *key, size_t key_bytes, const uint8_t *val, size_t val_bytes, struct adjustment *ret);
/* The newest adjustment of a ride booked on a day before this one; false: none. */
bool adjust_before(struct txn *t, const uint8_t key[TAP_KEY_BYTES], uint16_t nth, int32_t day, struct adjustment *ret);
/*
 * Rides to be rated again in the clear that collects: those of a person (0: everyone) whose service day is from..to,
 * with all that is known at the cut. person is the handle the rides were settled under: card_person() for a card that
 * nobody had registered then. Booked as adjustments of the day, its later rides included when they change by it.
 */
struct rerates { struct rerate { uint64_t person; int32_t day, from, to; uint8_t cause; } *list; size_t count, space; };
int rerates_add(struct rerates *r, uint64_t person, int32_t from, int32_t to, enum adjust_cause cause) CLEARING_MUST_CHECK;
/* What rating the rides of a person (0: everyone) of service days from..to again would book if the open day were cut now; nothing is written. */
#define RERATE_TREASURIES_MAX 64
struct rerate_effect { uint64_t rides, cards; int64_t rider_fen, operator_fen;	/* more owed to riders, to operators */
	struct { uint16_t treasury; int64_t fen; } treasury[RERATE_TREASURIES_MAX]; size_t treasuries; };
int rerate_try(struct store *s, uint64_t person, int32_t from, int32_t to, struct rerate_effect *ret_effect) CLEARING_MUST_CHECK;
/* Cleared rows, read; how they lie in the store: rows.h. */
/* Key of a row. key: business key, or the content's digest for CLEARED_OTHER. */
void row_key(int32_t day, enum cleared_class class, const uint8_t key[TAP_KEY_BYTES], uint16_t nth, uint8_t ret[CLEARED_KEY_BYTES]);
int32_t row_day(const uint8_t key[4]);		/* the day that a key begins with */
/* One row. ret->raw points into the inbox and is good until the transaction ends. False: there is none, or txn.error is set. */
bool row_get(struct txn *t, const uint8_t key[CLEARED_KEY_BYTES], struct cleared *ret);

struct row_iter {
	struct txn *txn;
	uint8_t key[CLEARED_KEY_BYTES];		/* of the row the iterator stands on */
	struct cleared row;
	uint32_t blocks; uint16_t result;	/* blocks so far; in the last, rows with the same result say the same of their records */
	struct iter it; struct row_block *block; size_t at; bool on;
	uint8_t prefix[CLEARED_KEY_BYTES]; uint8_t prefix_bytes;
};
/* The rows whose key begins so, in key order; 0 bytes: all. Close it always. */
void rows_open(struct txn *t, const void *prefix, size_t prefix_bytes, struct row_iter *ret);
void rows_open_day(struct txn *t, int32_t day, struct row_iter *ret);
/* False: no more, or txn.error is set: CLEARING_E_STORE for a block that cannot be read. */
bool rows_next(struct row_iter *it);
void rows_close(struct row_iter *it);

/* The day before the given one that decided this key (verified or pending, no copy of another record). False: none did. */
bool key_decided(struct txn *t, const uint8_t key[TAP_KEY_BYTES], int32_t before_day, int32_t *ret_day);
/* What a row says of its record, without whose it was, whence it came and its bytes; those are not decoded either. */
int cleared_encode(const struct cleared *c, uint8_t *out, size_t out_bytes);
bool cleared_decode(const uint8_t *p, size_t n, struct cleared *ret);
bool cleared_same(const struct cleared *a, const struct cleared *b);	/* cleared_encode() would make the same bytes */
bool cleared_rated_same(const struct cleared *a, const struct cleared *b);	/* all but what is priced and posted is the same */
/* A record that its day set aside (VERDICT_QUARANTINED), and that day; false: there is none. */
bool set_aside_find(struct txn *t, const uint8_t key[TAP_KEY_BYTES], int32_t *ret_day, struct cleared *ret_row);
/* A cleared tap that waits because its key is distrusted, and its day; false: there is none. */
bool distrusted_find(struct txn *t, const uint8_t key[TAP_KEY_BYTES], int32_t *ret_day, struct cleared *ret_row);
/* One row of DB_CUBE: the fold the reports are made of. Every tap of the day is in exactly one. */
struct cube {
	int32_t day; uint8_t verdict; uint32_t operator_id; uint8_t scheme, medium, card_class; uint16_t group, rule, fund_rule;
	uint32_t tariff_version;	/* rule numbers are of this pack */
	char line[LINE_BYTES_MAX + 1];
	uint8_t reason;			/* enum difference_reason */
	uint64_t taps, transfers;
	int64_t published_fen, charged_fen, rated_fen, absorbed_fen, overcharge_fen, undercharge_fen, hold_fen;
	int64_t kept_fen;		/* of the overcharge: stays with the operator */
	struct { uint16_t treasury; int64_t fen; } funder[FARE_FUNDERS_MAX]; uint8_t funder_count;
};
#define CUBE_KEY_BYTES_MAX (24 + LINE_BYTES_MAX)
#define CUBE_VALUE_BYTES_MAX (81 + FARE_FUNDERS_MAX * 10)
size_t cube_key(const struct cube *c, uint8_t out[CUBE_KEY_BYTES_MAX]);
size_t cube_value(const struct cube *c, uint8_t out[CUBE_VALUE_BYTES_MAX]);
bool cube_decode(const uint8_t *key, size_t key_bytes, const uint8_t *val, size_t val_bytes, struct cube *ret);
/* One row of DB_POSTING. digest: SHA-256 over the business keys of the taps under it, in canonical order. */
struct posting_row {
	int32_t day; account_t debit, credit; uint8_t scheme, reason; uint16_t rule; uint32_t tariff_version;
	uint64_t count; int64_t sum_fen; uint8_t digest[DIGEST_BYTES];
};
#define POSTING_KEY_BYTES 20
#define POSTING_VALUE_BYTES (16 + DIGEST_BYTES)
void posting_key(const struct posting_row *r, uint8_t out[POSTING_KEY_BYTES]);
void posting_value(const struct posting_row *r, uint8_t out[POSTING_VALUE_BYTES]);
bool posting_decode(const uint8_t *key, size_t key_bytes, const uint8_t *val, size_t val_bytes, struct posting_row *ret);
/* Where the clear writes: the store, or a comparison for recompute. The two last may be left out: blocks of rows come as they lie in
 * the store, not unpacked (row_pack); what the day's digest has of the rows comes besides, in order. */
struct sink { int (*put)(struct sink *s, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes);
	int (*checkpoint)(struct sink *s);	/* a good moment to commit */
	bool packed;
	void (*seal)(struct sink *s, const void *p, size_t n); };
enum clear_stage { CLEAR_COLLECT, CLEAR_JUDGE, CLEAR_RATE, CLEAR_WRITE, CLEAR_STAGES };
struct clear_stats { uint64_t taps, verdict[VERDICT_COUNT]; int64_t charged_fen, published_fen, subsidy_fen, absorbed_fen; uint64_t adjustments, ns;
	uint64_t stage_ns[CLEAR_STAGES]; };	/* of ns */
/* Clear a day that is CUT: read its events, judge in canonical order, rate by person and time, post, fold.
 * Output is a function of the inbox up to the cut. */
int clear_day(struct store *s, int32_t day, struct sink *sink, struct clear_stats *ret_stats) CLEARING_MUST_CHECK;
/* clear_day into the store, state CUT -> CLEARED, digest kept. Running it twice changes nothing. */
int day_clear(struct store *s, int32_t day, struct clear_stats *ret_stats) CLEARING_MUST_CHECK;
/* Threads of the clears of this process from here on, at most 8; 0, as at the start: one a processor. The rows are the same. */
void clear_threads(unsigned threads);
/* Bytes of memory that the records of the days being cleared may take before they go into files beside the store; 0, as at the
 * start: no bound. */
void clear_memory(uint64_t bytes);
/* Clear again beside the store and compare every byte. */
int day_recompute(struct store *s, int32_t day, FILE *out) CLEARING_MUST_CHECK;
/* All business rows of a day sorted by business key, arrival metadata left out; day DAY_NONE: all. */
int dump_canonical(struct store *s, int32_t day, FILE *out) CLEARING_MUST_CHECK;
/* What a day that is cleared ought to have been closed with, by its rows; the same (DAY_SEAL_ROWS) by the lines of its dump, n bytes;
 * false: they are no such lines. */
int day_digest(struct store *s, int32_t day, uint8_t ret_digest[DIGEST_BYTES]) CLEARING_MUST_CHECK;
bool seal_of_lines(int32_t day, const char *p, size_t n, uint8_t ret_digest[DIGEST_BYTES]);

/* ---- settle, report, answer (stages C, D) -------------------------------------------------------------- */

/* CLEARED -> BUILT: partner files, statements, claims, reports D-01..D-05 into DB_FILE, outbox rows. */
int day_build(struct store *s, int32_t day) CLEARING_MUST_CHECK;
/*
 * A partner's answer file (T-Union FB CL CR BP LD, bank return), in three steps. check: whole file, on
 * arrival, before it is appended to the inbox; refused: CLEARING_E_PARTNER_FILE and the reason, zero
 * effect. apply: open items change state, in the transaction that appends the event. post: the postings
 * it means, from the file and the items' unchanging part only; called by clear_day for each EVENT_PARTNER
 * of the day, so that they are booked in the day the answer arrived in and recompute sees them.
 */
int partner_file_check(struct txn *t, const char *partner, const char *name, const void *p, size_t n,
		       char *ret_error, size_t error_bytes) CLEARING_MUST_CHECK;
int partner_file_apply(struct txn *t, const char *partner, const char *name, const void *p, size_t n) CLEARING_MUST_CHECK;
typedef void (*posting_fn)(void *arg, const struct posting *p, enum scheme scheme, const uint8_t tap_key[TAP_KEY_BYTES]);
int partner_file_post(struct txn *t, const char *partner, const char *name, const void *p, size_t n,
		      posting_fn emit, void *arg) CLEARING_MUST_CHECK;
/* Outbox: what waits for delivery; the daemon delivers and marks. Rising ids, never reused. */
struct outbox_row { uint64_t id; int32_t day; char partner[16]; char name[64]; uint8_t state; uint32_t tries; };
enum outbox_state { OUTBOX_WAITING = 0, OUTBOX_SENT = 1, OUTBOX_ACKED = 2 };
bool outbox_next(struct txn *t, uint64_t after_id, struct outbox_row *ret_row);	/* first with id > after_id */
void outbox_put(struct txn *t, const struct outbox_row *row);
/* Bytes of a built file (DB_FILE). */
bool file_get(struct txn *t, int32_t day, const char *name, const void **ret_p, size_t *ret_n);
/* BUILT -> APPROVED; SENT when the outbox of the day is delivered, ACKED when partners acknowledged, RECONCILED
 * when no item of the day is open. Moves as far as the facts allow; *ret_state is where the day is. */
int day_advance(struct txn *t, int32_t day, enum day_state *ret_state) CLEARING_MUST_CHECK;
extern const char *const report_forms[];	/* D-01 to D-08, M-02, S-01 */
extern const size_t report_form_count;
/* One form of a day; format "json" or "csv". CLEARING_E_NO_DAY, CLEARING_E_STATE. */
int report_write(struct store *s, int32_t day, const char *form, const char *format, FILE *out) CLEARING_MUST_CHECK;
/* The same of the days first to last, summed: rows with the same texts are one. Days not cleared yet are left out and counted
 * in *ret_open. CLEARING_E_NO_DAY when none is cleared. */
int report_month(struct store *s, int32_t first, int32_t last, const char *form, const char *format, FILE *out, uint32_t *ret_open) CLEARING_MUST_CHECK;
int explain_tap(struct store *s, const uint8_t key[TAP_KEY_BYTES], bool json, FILE *out) CLEARING_MUST_CHECK;
/* A debit at the bank: card masked, state, its rides. -ENOENT: none of this number. */
int explain_debit(struct store *s, const char *id, bool json, FILE *out) CLEARING_MUST_CHECK;
/* Bank cards that ride no more, one a line (JSON: NDJSON), numbers masked. */
int denied_list(struct store *s, bool json, FILE *out) CLEARING_MUST_CHECK;
/* An event of bank cards: deny and allow by the bank's list, arrears that were paid. As partner files, in three steps:
 * check before it is appended (CLEARING_E_REFERENCE and the reason), apply in the transaction that appends it, post in
 * the clear of its day. */
int bank_event_check(struct txn *t, const void *p, size_t n, char *ret_error, size_t error_bytes) CLEARING_MUST_CHECK;
int bank_event_apply(struct txn *t, const void *p, size_t n) CLEARING_MUST_CHECK;
int bank_event_post(struct txn *t, const void *p, size_t n, posting_fn emit, void *arg) CLEARING_MUST_CHECK;
/*
 * Lost first rides (risk.c): the bank refuses the debit with which a card rode here for the first time, so nobody could know better.
 * A contract says who bears how much of it for cards of a prefix; the rest is its operators'. In force is what had come by the cut
 * of the day that booked the rides, so that no later contract moves a loss. account: as in docs/ledger.md.
 */
struct contract { char prefix[21], title[64]; int64_t first_fen; account_t account; int32_t from, to; };
bool contract_at(struct txn *t, uint64_t seq, const uint8_t pan[10], int32_t day, struct contract *ret);
bool contract_title(struct txn *t, uint64_t seq, account_t account, char ret_title[64]);	/* the newest that names an account */
#define CONTRACT_HEAD_BYTES 8
void contract_head(uint8_t out[CONTRACT_HEAD_BYTES]);	/* before the CSV, in an EVENT_RISK */
/* The denied cards, over DB_DENY; the version changes with them. */
struct denied { uint8_t pan[10]; enum deny_reason reason; char item[36]; uint64_t seq; int64_t fen; };
bool denied_next(struct iter *it, struct denied *ret);
uint64_t deny_table_version(struct txn *t);	/* 0: never any */
/*
 * What a compromise of a key from a time on touches: every tap it verified or was waiting on, of cleared days from their
 * rows and of the others as they would be judged now. Nothing is written. Free rows with free().
 */
enum drill_standing { DRILL_SETTLED = 1, DRILL_OPEN = 2, DRILL_WAITING = 3, DRILL_WRONG = 4 }; /* money | will wait | waits | code wrong */
struct drill_row { int32_t day; uint32_t operator_id; uint8_t standing, pan[10], key[TAP_KEY_BYTES]; int64_t charged_fen, subsidy_fen; };
struct drill { struct drill_row *row; size_t count, space; };	/* by day, operator, standing, card */
int key_drill(struct store *s, const struct distrust *key, struct drill *ret) CLEARING_MUST_CHECK;
/* Money invariants; NULL: all. Each broken one is a line on out. Number broken, or negative error. */
struct check_info { const char *name, *text; };
extern const struct check_info check_list[];
extern const size_t check_count;
int check_run(struct store *s, const char *name, FILE *out) CLEARING_MUST_CHECK;

/* ---- JSON out: streaming, canonical (keys in the order written, integers exact, '\n') --------------------- */

struct jsonw { FILE *out; unsigned depth; uint8_t first[16]; bool pretty; };
void jsonw_init(struct jsonw *j, FILE *out, bool pretty);
void jsonw_object(struct jsonw *j); void jsonw_object_end(struct jsonw *j);
void jsonw_array(struct jsonw *j); void jsonw_array_end(struct jsonw *j);
void jsonw_key(struct jsonw *j, const char *key);
void jsonw_str(struct jsonw *j, const char *text); void jsonw_int(struct jsonw *j, int64_t v); void jsonw_bool(struct jsonw *j, bool v); void jsonw_null(struct jsonw *j);
void jsonw_kstr(struct jsonw *j, const char *key, const char *text); void jsonw_kint(struct jsonw *j, const char *key, int64_t v); void jsonw_kbool(struct jsonw *j, const char *key, bool v);

/* ---- control socket client ---------------------------------------------------------------------------------- */

/* Unix socket, one JSON object a line each way: {"cmd":"day-close","day":"2025-11-03"}. Bulk text follows
 * as {"cmd":"load","what":"terminals","bytes":N}\n and N bytes. docs/control.md lists the commands. */
int ctl_call(const char *socket_path, const char *request_line, const void *bulk, size_t bulk_bytes,
	     char **ret_answer) CLEARING_MUST_CHECK;	/* malloc'ed; -ENOENT/-ECONNREFUSED when no daemon */

#endif
