/*
 * clear - what the files of the clear share: the records of a day and the job that carries them through collect,
 * judge, rate and write. Private to clearing/.
 */
#ifndef CLEARING_CLEAR_H
#define CLEARING_CLEAR_H

#include <assert.h>

#include "clearing/core/thin.h"
#include "clearing/fold.h"
#include "clearing/grown.h"
#include "clearing/person_blocks.h"
#include "clearing/rows.h"

#define CLEAR_THREADS_MAX 8
#define PARTS_PER_THREAD 16
#define PARTS_MAX (CLEAR_THREADS_MAX * PARTS_PER_THREAD)
#define SPARES 4
#define PART_RECORDS_MIN 256		/* fewer are not worth a thread */
#define TOUCHED 128			/* records ahead of a walk: as many as stay in the processor's cache with all that is asked of them */

struct span { void *p; size_t bytes; bool on_file, in_chunks; };	/* clear_memory.c */

struct source {				/* an event that brought records */
	uint64_t seq, raw_seq;		/* the event; the one that has the records' bytes */
	const uint8_t *body;		/* of that one; NULL: thin is what there is of it */
	const uint8_t *thin; size_t thin_bytes;	/* in the store */
	const char *device;
	int32_t arrived;		/* the day its batch belongs to: an earlier one, when its key was asked again after the cut */
	uint32_t count;
	const uint8_t *marks, *batch; size_t batch_bytes;	/* of a batch of this day that has a body */
	size_t first;			/* of its records */
	struct work *work; struct lie *lie;	/* they themselves */
};
/*
 * A record of the day in two parts. What it is sorted, judged and walked by is one line of the processor's cache, for most walks are in no
 * order of addresses; where its bytes lie, and what it tells beside others that are alike, is looked at where they are read or rated.
 */
struct lie {
	struct { uint16_t stop, stop_on, amount_fen, list_fen; } told;	/* with alike: by this record */
	uint32_t raw_at;		/* in the event's body, there or not */
	uint16_t raw_bytes, thin_at;	/* thin_at: in from->thin */
};
struct work {
	const struct source *from;
	union {
		const struct alike *alike;	/* until it is rated; NULL: what it says is read from its bytes */
		struct row_result *result;	/* then: of the part that made it */
	};
	uint64_t person;
	uint32_t bearer;		/* of its card number: place in the job's, from 1; 0: not looked up */
	uint16_t nth, counter;		/* nth: among records of one key */
	uint8_t key[TAP_KEY_BYTES];	/* business key; else digest of the content */
	uint8_t pan[10];
	uint8_t check, generation;	/* generation: which physical card of its number */
	uint8_t verdict : 5;
	bool rated : 1;			/* went to the tariff, whatever came of it */
	bool alone : 1;			/* came beyond the window: rated by itself, changes no other ride */
	bool future : 1;		/* ahead of our clock when it came */
	uint8_t : 0;			/* while one thread rates it another may look at what follows */
	uint8_t card : 3;		/* enum card_standing */
	bool keyed : 1;			/* takes part in the search for duplicates, under its business key; such a one is in the list by person */
	bool coded : 1;			/* has a code */
	bool refused : 1;		/* its platform answered no */
	bool repeated : 1;		/* an earlier day has its counter with another TAC */
	bool released : 1;		/* set aside on an earlier day, and a person's signature in this one lets it settle */
};
static_assert(sizeof(struct work) == 64 && VERDICT_COUNT <= 32 && CARD_STANDS_OLD < 8, "a line of the cache, and it holds them");
struct said;				/* clear_answers.c: what a platform said of a record */
struct coded;				/* clear_codes.c: a record and its code */
struct bearer {				/* a card number of the day and whose it is now */
	uint8_t pan[10]; uint16_t highest;	/* counter of any earlier day; 0 none */
	int32_t day; uint64_t person;
	const uint8_t *val; uint32_t val_bytes;	/* the person's row before this day, of that day; NULL none */
	uint16_t registration_bytes; const void *registration;	/* what makes it that person's; NULL: nobody registered it */
	uint64_t registered_seq;	/* the event that brought that */
};
struct job {
	struct store *store;
	struct txn txn;			/* read only, one snapshot for the whole clear */
	struct day_row day;
	struct refdata *ref;
	bool cards, ridden;		/* the card register is not empty; some day has been cleared */
	struct source *source; size_t sources;
	struct work *work; struct lie *lie; size_t count;
	struct work **order;			/* canonical */
	struct recheck *recheck; size_t recheck_count;	/* answers of the day, rising */
	struct span spare[SPARES];	/* freed, kept for the next stage */
	struct span works, lies, orders, numbers, bearers;	/* the memory of work, lie, order, number, bearer */
	struct partner_event { bool bank_cards; char partner[17], name[65]; const uint8_t *p; size_t n; } *partner; size_t partner_count;
	struct coded *coded; size_t coded_count;	/* records that speak for a code, by code */
	struct said *said; size_t said_count, said_space;	/* answers of the day; settled: by record, one each */
	struct alikes *alikes[CLEAR_THREADS_MAX];	/* of each thread that collected */
	struct results *results, *part[CLEAR_THREADS_MAX];	/* of all; of each thread that rated: a record names its thread's, which names the same of all */
	unsigned thread;		/* which it is, in a part or piece */
	struct fold *fold;
	struct sink *sink; size_t put;	/* NULL: of a trial, whose persons' rows go nowhere (rerate.c); put: rows since the last checkpoint */
	struct person_block persons;	/* their rows, not in the sink yet */
	struct clear_stats stats;
	struct bearer *bearer;		/* by card number, those of each part that looked them up side by side */
	int32_t cut_day; uint64_t cut_seq;	/* the last asked of seq_at_cut(); 0: none was */
	struct ranked *ranked; struct work **number; size_t number_count;	/* those keyed: what they are sorted by; where it lay, by card number, then by person and time */
	struct rerates rerates, everyone;	/* asked for in this day, sorted by rerate_compare; for everyone on earlier days */
	uint64_t *asked; size_t asked_count, asked_space;	/* persons to rate again without new rides, rising */
	struct adjustment *adjust; size_t adjust_count, adjust_space;
};

void job_done(struct job *j);
int rerate_compare(const void *pa, const void *pb);	/* of struct rerate: person, from */
/* clear_threads.c: how many parts a list is worth, of at least so many each; fn once for each part, by threads that take the next when they are free.
 * A part sees the job as it was when they were started, with its thread's transaction; what it changes in it is lost. 0, or the first part's error. */
typedef int (*part_fn)(struct job *own, void *arg, unsigned part);
unsigned parts_wanted(size_t count, size_t least);
unsigned parts_threads(size_t parts);		/* how many threads so many parts are made by */
static inline size_t slice(size_t count, unsigned parts, unsigned part) { return part == parts ? count : count / parts * part; }	/* where a part begins */
int parts_run(struct job *j, unsigned parts, part_fn fn, void *arg) CLEARING_MUST_CHECK;
/* Pieces 0 to count - 1, each made by some thread and then taken by the caller's, in their order. A tool is a thread's own and goes from
 * piece to piece; a piece's memory, zero at first, is used again, and piece_done frees what is in it. */
struct pieces {
	int (*tool_new)(const struct job *own, void *arg, void **ret_tool); void (*tool_free)(void *tool);	/* freed also when it could not be made whole; NULL is fine */
	int (*make)(struct job *own, void *arg, void *tool, size_t nth, void *piece);
	int (*take)(void *arg, void *piece);
	size_t piece_bytes; void (*piece_done)(void *piece);
};
int pieces_run(struct job *j, const struct pieces *by, void *arg, size_t count) CLEARING_MUST_CHECK;
/* clear_memory.c: memory as large as the day, with whatever was there before. What is freed is kept for the job's next. */
int span_new(struct job *j, size_t bytes, struct span *ret) CLEARING_MUST_CHECK;
void span_free(struct job *j, struct span *s);	/* empty is fine */
void spares_free(struct job *j);		/* what was kept */
/* clear_collect.c: the day's events as records, each judged alone. */
/* What it says; its code, when it has one, lies in the store or in room, which is the caller's. False: it cannot be read. */
bool work_tap(const struct work *w, uint8_t room[THIN_RECORD_ROOM], struct tap *ret);
static inline struct lie *work_lie(const struct work *w) { return w->from->lie + (w - w->from->work); }
static inline struct lie *lie_of(const struct job *j, const struct work *w) { return j->lie + (w - j->work); }	/* the same, and from is not looked at */
/* Its raw_bytes bytes: in the store, or put together in room, which is the caller's. */
static inline const uint8_t *work_raw(const struct work *w, uint8_t room[THIN_RECORD_ROOM])
{
	if (w->from->thin == NULL)
		return w->from->body + work_lie(w)->raw_at;
	thin_record(w->from->thin, work_lie(w)->thin_at, room);
	return room;
}
/* Where in the store they are, or what only they have of them. */
static inline const uint8_t *work_lies(const struct work *w) { return w->from->thin == NULL ? w->from->body + work_lie(w)->raw_at : w->from->thin + work_lie(w)->thin_at; }
/* Two card numbers, two business keys: most are looked at only to see that they are others. */
static inline bool pan_same(const uint8_t a[10], const uint8_t b[10]) { return be64_get(a) == be64_get(b) && be16_get(a + 8) == be16_get(b + 8); }
static inline bool key_same(const uint8_t a[TAP_KEY_BYTES], const uint8_t b[TAP_KEY_BYTES])
{
	return be64_get(a + 8) == be64_get(b + 8) && be64_get(a) == be64_get(b) && be16_get(a + 16) == be16_get(b + 16);
}
static inline int key_order(const uint8_t a[TAP_KEY_BYTES], const uint8_t b[TAP_KEY_BYTES])
{
	uint64_t x = be64_get(a), y = be64_get(b);

	if (x == y && (x = be64_get(a + 8)) == (y = be64_get(b + 8)))
		return (int)be16_get(a + 16) - (int)be16_get(b + 16);
	return x < y ? -1 : 1;
}
static inline int64_t work_time(const struct work *w) { return (int64_t)be64_get(w->key + 10); }	/* of one that can be read */
int clear_collect(struct job *j);
/* clear_alike.c: what many records say alike, kept once: of a list of so many; and what each tells beside it. w->alike NULL: it is not kept,
 * and nothing is wrong. */
int alikes_new(size_t records, struct alikes **ret) CLEARING_MUST_CHECK;
void alikes_free(struct alikes *a);		/* NULL is fine */
int alike_find(const struct job *j, struct alikes *l, const struct tap *tap, struct work *w) CLEARING_MUST_CHECK;
/* Of a record that can be read, before it is rated: what rating asks of it beside its card and time, which may be missing, as counters,
 * codes and balances are. Lies in room, or where it is kept; NULL: it cannot be read. */
const struct tap *work_ride_tap(const struct job *j, const struct work *w, struct tap *room);
void work_ride(const struct work *w, const struct tap *tap, const struct tariff *t, struct ride *ret);	/* tap_ride() of it */
/* Its terminal and its issuer at its time; NULL: none is in force. */
void work_reference(const struct job *j, const struct work *w, const struct tap *tap, const struct terminal_row **ret_terminal,
		    const struct issuer_row **ret_issuer);
void work_whose(const struct job *j, const struct work *w, const struct tap *tap, uint32_t *ret_operator, uint8_t *ret_scheme);	/* by them */
size_t rides_touch(const struct job *j, struct work *const *list, size_t count);	/* all that rating asks of some records and their persons */
/* clear_order.c: by two numbers, those of the same by compare (of struct work pointers). */
struct rank { uint64_t high; uint32_t low; };
typedef struct rank (*rank_fn)(const struct work *w);
typedef int (*compare_fn)(const void *, const void *);
int works_sort(struct job *j, struct work **list, size_t count, rank_fn rank, compare_fn compare) CLEARING_MUST_CHECK;
/* The same of numbers that were noted while the records were looked at; they are spoilt, and the list may lie where they did. */
struct ranked { uint64_t high; uint32_t low, place; };	/* place: among the day's records */
static_assert(sizeof(struct ranked) == 16, "as small as can be");
int ranked_sort(struct job *j, struct ranked *e, size_t count, compare_fn compare, struct work **list) CLEARING_MUST_CHECK;
struct ranked *ranks_sort(struct ranked *e, struct ranked *room, size_t count);	/* no two alike, and place is the caller's; e or room, whichever is sorted then */
/* The records as they were collected into order, where they lie sorted for the most part. */
int works_order(struct job *j, rank_fn rank, compare_fn compare) CLEARING_MUST_CHECK;
/* In a walk over a sorted list: so many from i on, of a list that ends at end, are fetched; where that ended. Some, and their bytes too. */
size_t works_touch(struct work *const *list, size_t i, size_t count, size_t end);
void works_touch_raw(struct work *const *list, size_t count);
/* A list in parts of about the same size, each moved on while two neighbours are of one thing. Part i is at[i] to at[i + 1] - 1. */
typedef bool (*same_fn)(const struct work *a, const struct work *b);
struct cut { struct work *const *list; unsigned parts; size_t at[PARTS_MAX + 1]; };
void list_cut(struct work *const *list, size_t count, unsigned parts, same_fn same, struct cut *ret);
/* clear_judge.c: each record by itself, then among those of its business key, then among those of its card's counter. */
int clear_judge(struct job *j);
void judge_alone(struct job *j, struct work *w, const struct tap *tap);
/* clear_numbers.c: those of each card number by its counter; then the list by person and time. */
int numbers_judge(struct job *j);
struct ranked number_ranked(const struct job *j, const struct work *w);	/* what it does that by */
bool counts_for_counter(const struct work *w);
/* clear_cap.c: what a device brought beyond the cap on value that no key has proven. After all other verdicts. */
int judge_caps(struct job *j);
enum verdict judge_work(const struct job *j, const struct work *w, const struct tap *tap, enum seen_before seen);
/* clear_codes.c: each code once. Another record of an earlier day rode with it (check: of the record asked about); this record of the
 * day or an earlier one holds it. */
int judge_codes(struct job *j);
bool code_taken_before(struct txn *t, const uint8_t code[TAP_CODE_BYTES], const uint8_t key[TAP_KEY_BYTES], uint8_t check, int32_t day);
bool code_held(struct txn *t, const uint8_t code[TAP_CODE_BYTES], const uint8_t key[TAP_KEY_BYTES], int32_t day);
int codes_write(struct job *j);
/* clear_answers.c: an event's answers; into the records of this day, before they are judged; into postings and the index of answers. */
int answers_collect(struct job *j, const struct event *e);
int answers_apply(struct job *j);
int answers_write(struct job *j, posting_fn emit, void *arg);
/* clear_confirm.c: distrusted taps whose second signature is of this day, into postings and DB_CONFIRMED. */
int confirms_write(struct job *j, posting_fn emit, void *arg);
/* clear_persons.c: fares and persons' rows of the day, by several threads. */
int clear_rate(struct job *j);
/* clear_rate.c: a person's records, marked as rides or not, and whether he is asked for; one asked for who has none. *ret_has: the state at
 * the close of the day is another one, *ret_state. */
static inline bool rateable(const struct work *w) { return w->verdict == VERDICT_ACCEPTED || w->verdict == VERDICT_PENDING; }
bool is_alone(const struct job *j, const struct work *w);
int person_rate(struct job *j, struct work *const *list, size_t count, bool asked, struct rider_state *ret_state, bool *ret_has);
int asked_rate(struct job *j, uint64_t person, struct rider_state *ret_state, bool *ret_has);
/* Into the person's state; one ride with what was known on a day; what a fare makes of a verdict. */
int ride_rate(struct job *j, struct work *w, const struct rider *rider, const struct rider_state *state, struct rider_state *ret_state);	/* two states */
struct ride ride_of(const struct tap *tap, const struct tariff *t, uint32_t operator_id, int32_t known_day);
/* tariff_differ() with the pack the record names, where that is another one. */
struct difference tap_differ(const struct refdata *ref, const struct tap *tap, const struct difference_ask *ask);
enum verdict verdict_of_fare(const struct fare *fare, enum verdict rated);
void state_load(struct job *j, uint64_t person, int32_t day, struct rider_state *ret);	/* at the close of a day or the last before */
void row_start(const struct job *j, const struct work *w, const struct tap *tap, struct cleared *ret);	/* of one without a fare */
/* clear_adjust.c: who is asked for in this day; a person's rides rated again, new ones among them, when a settled ride
 * has another past (*ret_done). */
int clear_asked(struct job *j);
int clear_replay(struct job *j, uint64_t person, struct work *const *list, size_t count, struct rider_state *state, bool *ret_done);
/* clear_ridden.c: a card number's person and highest counter, once for all its records of the day; those of them whose counter
 * an earlier day has with another TAC; the persons' rows of the day. */
int bearer_find(struct job *j, struct work *const *list, size_t count, uint32_t place);	/* whose a number is, of all its records; place: from 1 */
int bearer_look(struct job *j, struct work *const *list, size_t count);	/* then: what days before know of it, and which counters of theirs come again */
int bearer_state(struct job *j, const struct work *w, struct rider_state *ret);	/* of w's person at the close before this day */
/* A person's row of this day, if it has one: of his records, as they were rated, and his state (NULL: as before). Added to rows, which go
 * into the sink in their order. The maker is a thread's own; free: NULL is fine. */
struct ridden_maker;
struct ridden_rows { uint8_t *p; size_t n, space; };	/* person 8, length 4, row, each */
int ridden_maker_new(struct ridden_maker **ret);
void ridden_maker_free(struct ridden_maker *m);
int ridden_make(struct job *j, struct ridden_maker *m, uint64_t person, struct work *const *list, size_t count, const struct rider_state *state,
		struct ridden_rows *to);
int ridden_put(struct job *j, const struct ridden_rows *rows);
int ridden_put_end(struct job *j);		/* those that wait to be put together with more */
/* clear_sink.c: the store, written by a thread of its own. close: the result so far is 0: all is committed; and the rows' part of the day's
 * digest. 0, or the first error; what was not committed by then is not. */
struct store_sink;
int store_sink_open(struct store *s, int32_t day, struct store_sink **ret) CLEARING_MUST_CHECK;
struct sink *store_sink_of(struct store_sink *s);
int store_sink_close(struct store_sink *s, int result, struct digest *ret_rows) CLEARING_MUST_CHECK;
/* clear_rows.c: rows in canonical order, what they decided, and the folds of them. */
int rows_write(struct job *j) CLEARING_MUST_CHECK;
/* clear_write.c: so many rows more were put, of whatever kind: a checkpoint, if it is time for one. */
int rows_put(struct job *j, size_t rows) CLEARING_MUST_CHECK;
/* clear_write.c: rows, indexes, states and the partners' answers into the sink and the folds. */
int clear_write(struct job *j);

#endif
