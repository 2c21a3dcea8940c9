/*
 * pack - building a compiled pack from what people wrote: growing tables, interned texts, and a list of
 * problems that is never cut short: one run shows every mistake. Private to tariffs/.
 */
#ifndef TARIFFS_PACK_H
#define TARIFFS_PACK_H

#include <limits.h>

#include "tariffs/blob.h"

struct table { uint8_t *p; size_t count, space; };
struct where { const char *file; unsigned line, column; };
enum pack_file { FILE_PACK, FILE_GROUPS, FILE_FUNDING, FILE_RULES, FILE_OVERLAY, FILE_COUNT_ };
struct pack {
	const char *dir;
	const struct tariff_overlay *overlay;	/* NULL: the pack as it is */
	tariff_report_fn report;
	void *arg;
	unsigned problems;
	struct blob_head head;
	struct table table[T_COUNT_];
	bool cheapest;			/* stacking: cheapest is declared for rules of equal precedence */
	bool uses_calendar;		/* some rule asks for workdays */
	bool uses_county;		/* some funding asks for the line's county */
	struct yaml_doc *doc[FILE_COUNT_];	/* kept while names are needed; NULL: no such file */
	char path[FILE_COUNT_][PATH_MAX];
	const char *concession_id[64];	/* known before concessions are read, so that rules can name later ones */
	struct where at_concession[64];
	size_t concession_count;
};

#define ROW(pack, t, type, i) ((type *)(void *)((pack)->table[t].p) + (i))

void problem(struct pack *p, const char *file, unsigned line, unsigned column, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* Append a row; its index. Allocation failure stops the program: compiling happens at the desk, not in the daemon's path. */
uint32_t row_add(struct pack *p, enum blob_table t, const void *row, size_t bytes);
uint32_t text_add(struct pack *p, const char *text);	/* interned; offset */
const char *text_at(const struct pack *p, uint32_t offset);
/* Next rule number. */
uint16_t rule_add(struct pack *p, const char *id, const char *title, const char *basis, const char *kind, const char *file, unsigned line);
void path_of(const struct pack *p, const char *file, char *ret_path, size_t bytes);

/* Typed reading of a mapping: every key asked for is known, the rest are problems with a suggestion. */
struct fields { struct pack *pack; const char *file; const struct node *map; const char *known[64]; size_t known_count; };
void fields_open(struct fields *f, struct pack *p, const char *file, const struct node *map);
void fields_close(struct fields *f);	/* reports unknown keys */
const struct node *field(struct fields *f, const char *key);	/* NULL absent */
const char *field_text(struct fields *f, const char *key, const char *fallback);	/* fallback NULL: required */
int64_t field_int(struct fields *f, const char *key, int64_t min, int64_t max, int64_t fallback);	/* INT64_MIN: required */
bool field_bool(struct fields *f, const char *key, bool fallback);	/* yes / no */
int field_word(struct fields *f, const char *key, const char *const *words, size_t count, int fallback);	/* -1: required */
/* What to say behind a word that is not known: the one that was meant, else all there are ("; there is: a, b"). */
#define HINT_BYTES 240
const char *word_hint(const char *word, const char *const *known, size_t count, char *ret_hint, size_t bytes);
int64_t field_day(struct fields *f, const char *key, int64_t fallback_ms);	/* start of that day, ms; INT64_MIN: required */
/* Each item of a list (or a single scalar) as text. */
size_t field_list(struct fields *f, const char *key);
const struct node *field_item(struct fields *f, const char *key, size_t i);

int group_find(const struct pack *p, const char *name);
int class_find(const struct pack *p, const char *name);
int fund_find(const struct pack *p, const char *id);
int concession_find(const struct pack *p, const char *id);
int quota_find(const struct pack *p, const char *id);
int treasury_find(const struct pack *p, const char *name);
int operator_find(const struct pack *p, const char *code);

int season_find(const struct pack *p, const char *name);
/* The same for a name that one of these did not find. */
typedef int (*name_find)(const struct pack *p, const char *name);
const char *name_hint(const struct pack *p, name_find find, const char *word, char *ret_hint, size_t bytes);

/* pack_cond.c: what several kinds of rules share */
enum guests_absent { GUESTS_LOCAL = 1 << GUEST_LOCAL, GUESTS_ALL = 7 };
uint16_t cond_read(struct fields *f, enum guests_absent guests);	/* the conditions of an entry; index of its row */
bool cut_read(struct fields *f, uint32_t *ret_s);	/* fare_day_cut; false: absent or wrong */
void slots_read(struct fields *f, const char *key, const char *days_key, struct row_slots *ret);
bool slot_parse(const char *text, uint16_t *ret_from, uint16_t *ret_to);
bool percent_parse(const char *text, int32_t *ret);
void price_read(struct fields *f, const char *key, struct row_price *ret);
void rounding_read(struct fields *f, uint8_t *ret_mode, uint32_t *ret_unit);	/* absent: ROUND_OF_PACK */
uint64_t name_mask(struct fields *f, const char *key, name_find find, const char *what);
uint32_t word_mask(struct fields *f, const char *key, const char *const *words, size_t count, uint32_t all);
/* Concessions by id; "published" stands for none. Absent: all of them. */
uint64_t concession_mask(struct fields *f, const char *key, uint64_t absent, bool *ret_published);
int16_t then_read(struct fields *f, const char *key, int16_t absent);	/* other, published or a concession's id */
uint16_t fund_read(struct fields *f);
uint32_t text_list(struct fields *f, const char *key, uint32_t *ret_count);
extern const char *const mode_words[MODE_COUNT_];

/* Each entry of a list, in all files, whose "when" holds. */
typedef void (*entry_read)(struct pack *p, const char *path, const struct node *n);
void each_entry(struct pack *p, const char *section, entry_read read);

void pack_read_files(struct pack *p);	/* open the YAML files, check their top keys */
void pack_read_operators(struct pack *p);	/* operators.csv: rules may name operators */
void pack_read_head(struct pack *p);	/* pack.yaml's own keys, seasons, groups, treasuries, funding, classes */
void pack_read_rules(struct pack *p);	/* fares to open rides */
void pack_read_differences(struct pack *p);	/* what becomes of differences between charged and rated: pack_differ.c */
void pack_read_tables(struct pack *p);	/* lines, sections, calendar */
void pack_check(struct pack *p);	/* overlaps, unreachable rules, calendar years */
bool slots_minute_in(const struct row_slots *s, unsigned minute);	/* whatever the day */
bool concession_named(const struct pack *p, int16_t index);	/* as a fallback, or as the ordinary card price */
void pack_gaps(struct pack *p);	/* prices that are missing, rules that are always outranked: pack_gaps.c */
void line_problem(struct pack *p, const char *file, const char *name, const char *text);	/* at its row of a table */
void pack_cells(struct pack *p);	/* the decision table */

#endif
