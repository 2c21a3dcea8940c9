/*
 * tariff - tools for the person who edits fares, sub-verbs of qingfen tariff: what each file of tools/tariff_*.c
 * gives the dispatcher and the others. A price book is every price a first ride can have, found by asking rate();
 * a trial is past rides rated under two packs at once.
 */
#ifndef TOOLS_TARIFF_H
#define TOOLS_TARIFF_H

#include "tools/tools.h"

/* Sub-verbs: argv[0] is the sub-verb's own name; an exit code. */
int tariff_book(int argc, char **argv);
int tariff_diff(int argc, char **argv);
int tariff_whatif(int argc, char **argv);
int tariff_publish(int argc, char **argv);	/* publish, withdraw, versions, person */
int tariff_gtfs(int argc, char **argv);
int tariff_params(int argc, char **argv);

/* ---- an opened pack (tariff_book.c) ------------------------------------------------------------------- */

struct open_pack { const char *dir; void *blob; size_t bytes; struct tariff *tariff; };
/* A pack directory, or a compiled pack; complains. EXIT_OK, EXIT_ABSENT, EXIT_CONFIG. */
int open_pack_read(const char *path, struct open_pack *ret);
void open_pack_done(struct open_pack *p);

/* ---- price book (tariff_price.c; words in tariff_book.c) ------------------------------------------------------------------------------------------ */

#define BOOK_DAYS_MAX 32
#define BOOK_SLOTS_MAX 64
#define BOOK_GROUPS_MAX 63			/* and everyone, who is number 0 */
#define BOOK_JOURNEYS_MAX 200
#define BOOK_CELLS_MAX (32u << 20)	/* of one family: half a gigabyte; a city has some thousands */
#define BOOK_MEDIA 7
#define BOOK_GUESTS 3
enum book_state { BOOK_ABSENT = 0, BOOK_PRICED = 1, BOOK_REFUSED = 2 };	/* absent: no such line or group in this pack */
struct book_price { uint8_t state, reject; uint16_t rule; int32_t published, paid, subsidy; };
struct book_axes {
	size_t days, slots, groups;
	struct tariff_day day[BOOK_DAYS_MAX];
	uint16_t minute[BOOK_SLOTS_MAX + 1];	/* slot i is [minute[i], minute[i + 1]) */
	struct { const char *name, *title; } group[BOOK_GROUPS_MAX + 1];
};
/* Lines of one class on which every price is the same. */
struct book_family {
	struct tariff_line line;		/* the first of them; its class */
	const char *class_title;
	const char **lines; size_t line_count;
	struct tariff_journey journey[BOOK_JOURNEYS_MAX]; size_t journeys;
	struct book_price *price[2];		/* journeys x groups x days x slots x media x guests; [1] of the other pack */
	size_t cells;
};
/* cut: an axis had more members than its limit; the book is not whole and must say so (book_warn). */
struct book { const struct tariff *pack[2]; struct book_axes axes; struct book_family *family; size_t count; bool cut; };
/* The book of one pack (b NULL) or of two over the union of their axes. -E2BIG: more than BOOK_CELLS_MAX. */
int book_make(const struct tariff *a, const struct tariff *b, int32_t day, struct book *ret);
void book_warn(const struct book *book);
void book_free(struct book *book);
/* The cell of these members: an index into price[0] and price[1]. */
size_t book_cell(const struct book *book, size_t journey, size_t group, size_t day, size_t slot, size_t medium, size_t guest);
/* The rider and ride of a group's member on a day, as the book asks; false: the pack has no such group. */
bool book_member(const struct book *book, const struct tariff *t, size_t group, int32_t day, struct rider *ret_rider, struct ride *ret_ride);
void book_journey(struct ride *ride, const struct tariff_journey *j);
/* Cells joined where they cost the same: bits are members of each axis. */
struct book_row { uint16_t journey; uint8_t media, guests; uint32_t days; uint64_t slots, groups; struct book_price price[2]; };
/* Join groups too; only cells whose two prices differ; leave out members of groups who pay what anybody pays. */
enum book_join { BOOK_JOIN_GROUPS = 1, BOOK_DIFFERING = 2, BOOK_SHORT = 4 };
/* *ret_row is malloc'ed; the caller frees it. */
int book_rows(const struct book *book, const struct book_family *f, unsigned how, struct book_row **ret_row, size_t *ret_count);
/* The words of a row: groups, media, guests, days with slots; malloc'ed, freed with book_words_free. */
struct book_words { char *groups, *media, *guests, *days, *slots; };
int book_words_make(const struct book *book, const struct book_row *row, const char *between, struct book_words *ret);
void book_words_free(struct book_words *w);
const char *book_days_all(const struct book *book);	/* the word for every kind of day */
const char *book_rule_id(const struct tariff *t, const struct book_price *p);
const char *book_rule_title(const struct tariff *t, const struct book_price *p);
bool book_same(const struct book *book, const struct book_price *a, const struct book_price *b);
extern const char *const book_media_names[BOOK_MEDIA], *const book_guest_names[BOOK_GUESTS];

/* A terminals' table against the book, every difference on stdout with its place; an exit code (tariff_params_read.c). */
int params_compare(const char *path, const struct book *book);

/* A first pack made of a terminals' table, in a directory that is not there yet; an exit code (tariff_import.c). Day
 * DAY_NONE: from 1 January of this year. */
int params_import(const char *path, const char *dir, int32_t day);

/* ---- a trial: past rides under two packs (tariff_trial.c) --------------------------------------------------- */

struct trial;
/* Rides from a file in the format of tariff rate, or from cleared days of a store. From day: rated as if the first
 * ride had been on that day (DAY_NONE: when it was). Complains. */
int trial_read(const char *taps_path, struct trial **ret);
int trial_read_store(struct store *s, int32_t from, int32_t to, struct trial **ret);
void trial_shift(struct trial *t, int32_t day);
/* Every ride whose fare differs goes to list as CSV while running; the caller closes it. */
void trial_list(struct trial *t, FILE *list);
/* NULL live: the packs the store had in force. */
int trial_run(struct trial *t, const struct tariff *live, const struct tariff *draft);
void trial_print(const struct trial *t, FILE *out);
void trial_json(const struct trial *t, struct jsonw *j);
void trial_free(struct trial *t);

/* ---- signing (tariff_publish.c) ----------------------------------------------------------------------------------- */

/* SM2 over bytes with the secret in a file of 64 hex digits; complains. ret_point 04|x|y of the signer, NULL: not wanted. */
int secret_sign(const char *key_path, const void *p, size_t n, uint8_t ret_signature[64], uint8_t *ret_point);

/* ---- small words ------------------------------------------------------------------------------------------------ */

/* Text and blanks up to so many columns; a Chinese character takes two. */
void columns_print(FILE *out, const char *text, unsigned columns);
void columns_print_right(FILE *out, const char *text, unsigned columns);	/* blanks before */
const char *yuan_text(int64_t fen, char ret[24]);		/* 1.00 */
void csv_print(FILE *out, const char *text, bool last);	/* RFC 4180, quoted where needed */

#endif
