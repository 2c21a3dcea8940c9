/*
 * params - a terminals' table as it is read, and the pack that is made of it. Private to tariffs/: params.c reads rows,
 * import.c lays them over the axes of a price book, import_rules.c finds the rules, import_write.c writes them down.
 */
#ifndef TARIFFS_PARAMS_H
#define TARIFFS_PARAMS_H

#include <stdio.h>

#include "tariffs/tariffs.h"

#define PARAMS_ROWS_MAX 5000		/* a city with twelve groups and fifty lines has some hundreds */
#define PARAMS_HOURS_MAX 8
#define MEDIA_COUNT 7
#define GUEST_COUNT 3
#define PARAMS_MEDIA_ALL 0x7F
#define PARAMS_GUESTS_ALL 0x7
#define SIDES (MEDIA_COUNT * GUEST_COUNT)	/* bit medium * 3 + guest */

enum limit_of { LIMIT_SLOT, LIMIT_DAY, LIMIT_MONTH, LIMITS };
struct params_row {
	unsigned line, column[PARAMS_COLUMNS];	/* where each cell stands; 1 where the table has no such column */
	char *text[PARAMS_COLUMNS];		/* never NULL */
	int code;				/* card class where the type is a number; 0: a word */
	uint8_t media, guests, hours;		/* bits; hours 0: the whole day */
	bool over_midnight;
	struct { uint16_t from, to; } hour[PARAMS_HOURS_MAX];	/* minutes, [from, to), never over midnight */
	int32_t published, percent, price, limit[LIMITS];	/* negative: not told */
};
struct params {
	const char *name;
	tariff_report_fn report;
	void *arg;
	unsigned problems;
	bool has[PARAMS_COLUMNS];
	struct params_row *row;
	size_t count;
};

/* Every row; what is no such table is reported with its place. False: something was. params_done in any case. */
bool params_read(struct csv *csv, struct params *p);
void params_done(struct params *p);
void params_problem(struct params *p, const struct params_row *row, enum params_column c, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The next word of a list separated by spaces or 、; false: no more, or it is longer. */
bool params_word_next(const char **at, char *ret_word, size_t bytes);

/* ---- the table over the axes of a price book: import.c -------------------------------------------------------- */

#define IMPORT_TYPES_MAX 62
#define IMPORT_LINES_MAX 2000
#define IMPORT_SEASONS_MAX 11
#define IMPORT_DATES_MAX 20
#define IMPORT_DAYS_MAX 32		/* kinds of days */
#define IMPORT_SLOTS_MAX 63
#define IMPORT_JOURNEYS_MAX 200
#define IMPORT_CELLS_MAX (8u << 20)
#define IMPORT_RULES_MAX 64		/* concessions of a pack */

enum import_base { BASE_WORK, BASE_REST, BASE_NO_SCHOOL, BASE_ALL };
struct import_type { const char *name, *title; int code; char made[24]; };	/* type 0: everybody */
struct import_line { const char *name; int class, family; };
struct import_journey { enum journey_kind kind; char unit; uint32_t at; const char *text; };	/* unit: m, s(tops), z(ones) */
/* Lines that the same rows are about. */
struct import_family {
	int class;
	size_t first, lines;		/* first: one of its lines */
	struct import_journey journey[IMPORT_JOURNEYS_MAX]; size_t journeys;
	uint16_t *cell;			/* row + 1 by type, journey, day, slot, side; 0: no row */
	int32_t *published;		/* by journey, day, slot, side; -1: not told */
	uint32_t taken;			/* sides that some row is about */
	int era_from, era_to;		/* the eras it has rows in, [from, to) */
};
struct import_spec { bool fixed; int32_t value, limit[LIMITS]; uint16_t from, to; };	/* percent or fen, and limits; hours where rides of a slot are limited */
struct import {
	struct params table;
	const char *name;
	int32_t first_day, today;
	struct import_type type[IMPORT_TYPES_MAX + 1]; size_t types;
	const char *class[64]; size_t classes; bool class_made;
	struct import_line *line; size_t lines; bool lines_made;	/* made: the table names none */
	struct import_family *family; size_t families;
	bool by_work, no_school, plain_season;	/* plain: some days are in no season */
	char season[IMPORT_SEASONS_MAX][44]; size_t seasons;
	int32_t date[IMPORT_DATES_MAX]; size_t dates;
	size_t bases, season_places, days;	/* days = (dates + 1) * season_places * bases */
	uint16_t minute[IMPORT_SLOTS_MAX + 1]; size_t slots;	/* slot i is [minute[i], minute[i + 1]) */
	uint32_t *row_days;
	size_t *row_type;
	struct import_spec *spec; size_t specs; uint16_t *row_spec;
	enum money_round round_mode; int64_t round_unit; bool round_told;
	size_t cells;
};

bool import_lay(struct import *im);	/* false: reported */
bool import_no_memory(struct import *im);	/* reports it; false */
/* Parts of laying, in this order: import_axes.c, import_lines.c. False: reported. */
bool import_types_lay(struct import *im);
bool import_days_lay(struct import *im);
bool import_first_day_lay(struct import *im);
bool import_hours_lay(struct import *im);
bool import_lines_lay(struct import *im);
bool import_journeys_lay(struct import *im, struct import_family *f);
bool import_row_at(const struct import *im, const struct params_row *row, size_t slot);	/* is the row about these hours, this line? */
bool import_row_names(const struct import *im, const struct params_row *row, const struct import_line *line);
bool import_journey_read(const char *text, struct import_journey *ret);	/* false: none; "" is every journey */
void import_done(struct import *im);
size_t import_cell(const struct import *im, const struct import_family *f, size_t type, size_t journey, size_t day, size_t slot);	/* of side 0 */
size_t import_price(const struct import *im, size_t journey, size_t day, size_t slot);
/* Parts of a kind of day. */
size_t import_base_of(const struct import *im, size_t day);
size_t import_season_of(const struct import *im, size_t day);	/* seasons: in none */
size_t import_era_of(const struct import *im, size_t day);
bool import_layered(const struct import *im);	/* some days are those that others leave: rules for them stand behind */

/* ---- rules: import_boxes.c, import_fares.c, import_rules.c ------------------------------------------------------------------------------------------ */

/* A set of days, hours, media and guests as the conditions of one entry. */
struct import_box {
	int32_t since, until;		/* DAY_NONE: no bound */
	uint32_t seasons;		/* bits; 0: any */
	const char *days;		/* NULL: all */
	unsigned rank;			/* of entries that others leave days to: higher goes first */
	uint8_t media, guests, hours;
	uint16_t from[4], to[4];
};
typedef void (*import_box_fn)(void *arg, const struct import_box *box);
/* The boxes of a mask of sides by day * slots + slot. */
void import_boxes(const struct import *im, const uint32_t *grid, import_box_fn each, void *arg);
/* Conditions as they stand in an entry: lines of these families, a box but its first day, a day. */
void import_lines_write(const struct import *im, FILE *out, const bool *family);
void import_box_write(const struct import *im, FILE *out, const struct import_box *box, bool all_guests);	/* all_guests: when absent all are meant */
void import_date_write(FILE *out, const char *key, int32_t day);
/* The lists fares; quotas and concessions, each with its heading. False: more than a pack can hold, which was reported. */
bool import_fares_write(struct import *im, FILE *out);
bool import_rules_write(struct import *im, FILE *out);
void import_scalar(FILE *out, const char *text);	/* a YAML scalar, quoted where needed */
enum import_fare { IMPORT_FLAT, IMPORT_TAP, IMPORT_SECTION, IMPORT_CLASS };	/* how lines.csv prices a line */
enum import_fare import_fare_of(const struct import *im, const struct import_family *f, int32_t *ret_fen);
int64_t import_round(const struct import *im, int64_t fen, int64_t percent);

/* ---- texts: import_write.c -------------------------------------------------------------------------------------------- */

bool import_texts(struct import *im, struct tariff_import *ret);

#endif
