/*
 * pack - building a compiled pack from what people wrote: growing tables, interned texts, and a list of
 * problems that is never cut short: one run shows every mistake. Private to tariffs/.
 */
#ifndef TARIFFS_PACK_H
#define TARIFFS_PACK_H

#include "tariffs/blob.h"

struct table { uint8_t *p; size_t count, space; };
struct where { const char *file; unsigned line, column; };
struct pack {
	const char *dir;
	tariff_report_fn report;
	void *arg;
	unsigned problems;
	struct blob_head head;
	struct table table[T_COUNT_];
	bool cheapest;			/* stacking: cheapest is declared for rules of equal precedence */
	bool uses_calendar;		/* some rule asks for workdays */
	bool uses_county;		/* some funding asks for the line's county */
	const char *card_price, *lock_with;	/* resolved when all rules are known */
	struct yaml_doc *doc[4];	/* kept while names are needed */
	struct where at_concession[64];
	bool has_lock;
	const struct node *lock_node;
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
struct fields { struct pack *pack; const char *file; const struct node *map; const char *known[40]; size_t known_count; };
void fields_open(struct fields *f, struct pack *p, const char *file, const struct node *map);
void fields_close(struct fields *f);	/* reports unknown keys */
const struct node *field(struct fields *f, const char *key);	/* NULL absent */
const char *field_text(struct fields *f, const char *key, const char *fallback);	/* fallback NULL: required */
int64_t field_int(struct fields *f, const char *key, int64_t min, int64_t max, int64_t fallback);	/* INT64_MIN: required */
bool field_bool(struct fields *f, const char *key, bool fallback);	/* yes / no */
int field_word(struct fields *f, const char *key, const char *const *words, size_t count, int fallback);	/* -1: required */
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

void pack_read_operators(struct pack *p);	/* operators.csv: rules may name operators */
void pack_read_rules(struct pack *p);	/* pack.yaml, groups.yaml, funding.yaml, rules.yaml */
void pack_read_tables(struct pack *p);	/* lines, sections, calendar */
void pack_check(struct pack *p);	/* overlaps, unreachable rules, calendar years */

#endif
