/*
 * clear - what the files of the clear share: the records of a day and the job that carries them through collect,
 * judge, rate and write. Private to clearing/.
 */
#ifndef CLEARING_CLEAR_H
#define CLEARING_CLEAR_H

#include "clearing/fold.h"
#include "clearing/rows.h"

struct work {				/* one record of the day */
	const uint8_t *raw; uint32_t raw_bytes;
	uint8_t check, bits, verdict;
	bool keyed;			/* takes part in the search for duplicates, under its business key */
	uint8_t key[TAP_KEY_BYTES];	/* business key; else digest of the content */
	uint8_t pan[10]; uint16_t counter; uint8_t tac[4];
	bool coded; uint8_t code[TAP_CODE_BYTES];	/* a record with a code: which */
	bool refused;			/* its platform answered no */
	int64_t time_ms;
	uint64_t person, seq, raw_seq;	/* seq: event that brought it here; raw_seq: that has its bytes */
	uint16_t at;			/* place in its batch */
	int32_t arrived;		/* the day its batch belongs to: an earlier one, when its key was asked again after the cut */
	const char *device;
	struct row_result *result;		/* of a record that was rated; NULL: made when it is written */
	uint16_t nth;			/* among records of one key */
	uint8_t card, generation;	/* enum card_standing; which physical card of its number */
	bool rated;			/* went to the tariff, whatever came of it */
	bool alone;			/* came beyond the window: rated by itself, changes no other ride */
	bool repeated;			/* an earlier day has its counter with another TAC */
	uint32_t bearer;		/* of its card number: place in the job's, from 1; 0: not looked up */
	bool released;			/* set aside on an earlier day, and a person's signature in this one lets it settle */
};
struct said;				/* clear_answers.c: what a platform said of a record */
struct arena { uint8_t **chunk; size_t count, used; };
struct bearer {				/* a card number of the day and whose it is now */
	uint8_t pan[10]; uint16_t highest;	/* counter of any earlier day; 0 none */
	int32_t day; uint64_t person;
	const uint8_t *val; uint32_t val_bytes;	/* the person's row before this day, of that day; NULL none */
};
struct job {
	struct store *store;
	struct txn txn;			/* read only, one snapshot for the whole clear */
	struct day_row day;
	struct refdata *ref;
	bool cards, ridden;		/* the card register is not empty; some day has been cleared */
	struct work *work; size_t count, space;
	struct recheck *recheck; size_t recheck_count;	/* answers of the day, rising */
	struct work **order;
	struct partner_event { bool bank_cards; char partner[17], name[65]; const uint8_t *p; size_t n; } *partner; size_t partner_count;
	struct said *said; size_t said_count, said_space;	/* answers of the day; settled: by record, one each */
	struct arena arena;		/* of states */
	struct results *results, **part; size_t parts;	/* part: of the threads, whose results rows still name */
	struct fold *fold;
	struct sink *sink;
	struct clear_stats stats;
	struct { uint64_t person; const uint8_t *p; uint16_t n; } *state; size_t state_count, state_space;	/* at the close, by person, in the arena */
	struct bearer *bearer; size_t bearer_count, bearer_space;	/* by card number */
	int32_t cut_day; uint64_t cut_seq;	/* the last asked of seq_at_cut(); 0: none was */
	struct work **ride; size_t ride_count;	/* what was rated, by person and time */
	struct rerates rerates, everyone;	/* asked for in this day, sorted by rerate_compare; for everyone on earlier days */
	uint64_t *asked; size_t asked_count, asked_space;	/* persons to rate again without new rides, rising */
	struct adjustment *adjust; size_t adjust_count, adjust_space;
};

void job_done(struct job *j);
int rerate_compare(const void *pa, const void *pb);	/* of struct rerate: person, from */
/* clear_collect.c: the day's events as records. */
bool work_tap(const struct work *w, struct tap *ret);
int clear_collect(struct job *j);
/* clear_order.c: by two numbers, those of the same by compare (of struct work pointers). */
struct rank { uint64_t high, low; };
typedef struct rank (*rank_fn)(const struct work *w);
int works_sort(struct work **list, size_t count, rank_fn rank, int (*compare)(const void *, const void *)) CLEARING_MUST_CHECK;
void works_prefetch(struct work *const *list, size_t i, size_t n);	/* in a walk over a sorted list: those soon to come */
/* clear_judge.c: each record by itself, then among those of its business key, then among those of its card's counter. */
int clear_judge(struct job *j);
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
/* clear_parts.c: fares by person and time, by several threads. */
int clear_rate(struct job *j);
/* clear_rate.c: what is to be rated, by person and time; some persons' rides, and those asked for between them. Results are made here, those of
 * records that are no rides in clear_write.c. */
int rides_collect(struct job *j);
int persons_rate(struct job *j, size_t ride, size_t ride_end, size_t asked, size_t asked_end);
/* Into the person's state; one ride with what was known on a day; what a fare makes of a verdict. */
int ride_rate(struct job *j, struct work *w, const struct rider *rider, struct rider_state *state);
struct ride ride_of(const struct tap *tap, const struct tariff *t, uint32_t operator_id, int32_t known_day);
/* tariff_differ() with the pack the record names, where that is another one. */
struct difference tap_differ(const struct refdata *ref, const struct tap *tap, const struct difference_ask *ask);
enum verdict verdict_of_fare(const struct fare *fare, enum verdict rated);
void state_load(struct job *j, uint64_t person, int32_t day, struct rider_state *ret);	/* at the close of a day or the last before */
struct cleared row_start(const struct job *j, const struct work *w, const struct tap *tap);
/* clear_adjust.c: who is asked for in this day; a person's rides rated again, new ones among them, when a settled ride
 * has another past (*ret_done). */
int clear_asked(struct job *j);
int clear_replay(struct job *j, uint64_t person, struct work *const *list, size_t count, struct rider_state *state, bool *ret_done);
/* clear_ridden.c: a card number's person and highest counter, once for all its records of the day; those of them whose counter
 * an earlier day has with another TAC; the persons' rows of the day. */
int bearer_add(struct job *j, const uint8_t pan[10]);
int counters_look(struct job *j, struct work *const *list, size_t count);	/* all of the bearer added last */
int bearer_state(struct job *j, const struct work *w, struct rider_state *ret);	/* of w's person at the close before this day */
int ridden_write(struct job *j);
int rides_sort(struct work **list, size_t count) CLEARING_MUST_CHECK;	/* by person, time, business key */
int ride_compare(const void *pa, const void *pb);
/* clear_write.c: rows, indexes, states and the partners' answers into the sink and the folds. */
int clear_write(struct job *j);

#endif
