/*
 * code_route - the media whose records wait for a platform's word (docs/codes.md): one row each, and what an answer of a
 * platform is. Everything that differs between them is in the row; formats and files are data. Private to clearing/.
 */
#ifndef CLEARING_CODE_ROUTE_H
#define CLEARING_CODE_ROUTE_H

#include "clearing/clearing.h"

struct code_route {
	const char *name;		/* of the partner and of its profile */
	uint8_t kind;			/* of its records, enum tap_kind */
	enum scheme scheme;
	bool debits;			/* the answer is a debit of the record's amount; else it says whose code it is */
	char claim[5], result[5];	/* kinds of its files, out and in */
	const char *receiver;
};
extern const struct code_route code_routes[];
extern const size_t code_route_count;
const struct code_route *code_route_of_kind(uint32_t kind);	/* NULL: waits for nobody */
const struct code_route *code_route_of_scheme(unsigned scheme);
const struct code_route *code_route_of_name(const char *name);

/* One row of an EVENT_CODE_ANSWER. */
enum code_result { CODE_GOOD = 1, CODE_REFUSED = 2 };	/* on disk */
struct code_answer {
	uint8_t key[TAP_KEY_BYTES];	/* of the record asked about */
	uint8_t result;
	int64_t amount_fen;		/* debited; 0 of a platform that does not debit */
	uint8_t record_pan[10];		/* as the record has it: a token when its code is opaque */
	uint8_t pan[10];		/* whose: a number of the media register; 0: not told */
	char reference[25], reason[9];	/* the platform's own serial; why it refused */
};
#define CODE_ANSWER_BYTES (TAP_KEY_BYTES + 1 + 8 + 10 + 10 + 24 + 8)
#define CODE_EVENT_HEAD_BYTES 4		/* scheme u8 | zero | count u16 */
#define CODE_ANSWERS_MAX 64		/* in one event */
void code_answer_put(const struct code_answer *a, uint8_t out[CODE_ANSWER_BYTES]);
bool code_answer_get(const uint8_t *p, size_t n, struct code_answer *ret);
/* The i-th answer of an event's body; false: there is none, or the body is damaged. */
bool code_event_answer(const uint8_t *body, size_t n, size_t i, struct code_answer *ret, const struct code_route **ret_route);
/* What a stored answer says of a record, and the day that cleared it; false: none. */
bool code_answer_find(struct txn *t, const uint8_t key[TAP_KEY_BYTES], struct code_answer *ret, int32_t *ret_day);
/* The answer is about this record and its amount: only then it counts. */
bool code_answer_fits(const struct code_route *r, const struct code_answer *a, const struct tap *tap);
/* An opaque code's record is from here on of the person whose number the platform told (event at seq). */
int code_answers_apply(struct txn *t, uint64_t seq, const uint8_t *body, size_t n);
/* A pending row that was answered on a later day: firm or reversed. */
void code_answer_post(const struct code_route *r, const struct code_answer *a, const struct cleared *row, posting_fn emit, void *arg);
/* The row of a record that an earlier day left pending; false: none. */
bool code_pending_row(struct txn *t, const struct code_route *r, const uint8_t key[TAP_KEY_BYTES], int32_t day, struct cleared *ret,
		      uint8_t ret_cleared_key[CLEARED_KEY_BYTES]);
/* Names a record to its platform and in files, for ever: terminal, serial and second without dashes. */
#define CODE_ID_BYTES 36
void code_id(const uint8_t key[TAP_KEY_BYTES], char ret[CODE_ID_BYTES]);

/* code_reply.c: a platform's answers as they came. -EPROTO: not a list of answers. Free with code_reply_close (NULL is fine). */
struct code_reply;
struct code_said { char id[CODE_ID_BYTES]; uint8_t result; int64_t amount_fen; uint8_t pan[10]; char reference[25], reason[9]; };	/* as in code_answer */
int code_reply_open(const void *text, size_t n, struct code_reply **ret_reply) CLEARING_MUST_CHECK;
void code_reply_close(struct code_reply *r);
size_t code_reply_count(const struct code_reply *r);
bool code_reply_row(const struct code_reply *r, size_t i, struct code_said *ret);	/* false: it has another form */

/* code_file.c: claims of a day into files and items; result files, in the three steps of partner_file_check. */
int code_files_build(struct txn *t, int32_t day) CLEARING_MUST_CHECK;
int code_file_check(struct txn *t, const struct code_route *r, const char *name, const void *p, size_t n, char *ret_error, size_t error_bytes) CLEARING_MUST_CHECK;
int code_file_apply(struct txn *t, const struct code_route *r, const char *name, const void *p, size_t n) CLEARING_MUST_CHECK;
int code_file_post(struct txn *t, const struct code_route *r, const char *name, const void *p, size_t n, posting_fn emit, void *arg) CLEARING_MUST_CHECK;

/* code_asks.c: the records that wait for their platform's word, in memory: rebuilt by replay. */
struct code_asks;
struct code_waiting { uint8_t key[TAP_KEY_BYTES]; uint8_t scheme; uint64_t seq; };	/* inbox event that brought it */
int code_asks_new(struct code_asks **ret) CLEARING_MUST_CHECK;
void code_asks_free(struct code_asks *a);
int code_asks_room(struct code_asks *a) CLEARING_MUST_CHECK;	/* for one more */
void code_asks_add(struct code_asks *a, const struct code_waiting *w);	/* there already is fine */
bool code_asks_has(const struct code_asks *a, const uint8_t key[TAP_KEY_BYTES], unsigned scheme);
void code_asks_drop(struct code_asks *a, const uint8_t key[TAP_KEY_BYTES]);
size_t code_asks_count(const struct code_asks *a);
struct table_walk;
bool code_asks_walk(const struct code_asks *a, struct table_walk *w, struct code_waiting *ret);	/* for an image, as table_walk */
/* Up to max of a scheme, from *at on; *at goes on where this ended, so that one that is never answered stops no other. */
size_t code_asks_list(const struct code_asks *a, unsigned scheme, size_t *at, struct code_waiting *ret, size_t max);
void code_asks_event(struct code_asks *a, const uint8_t *body, size_t n);	/* answered */
/* Those that cleared days left waiting: items that wait and no answer of a cleared day. */
int code_asks_load(struct code_asks *a, struct txn *t) CLEARING_MUST_CHECK;
/* The same when a day was built, whose events end at cut_seq: what its clear left waiting and arrival had not; answers since are kept. */
int code_asks_built(struct code_asks *a, struct txn *t, uint64_t cut_seq) CLEARING_MUST_CHECK;

#endif
