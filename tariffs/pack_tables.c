/*
 * pack_tables - the CSV tables of a pack: operators, lines, section fares, calendar; and the checks that need
 * the whole pack: rules that overlap, rules nobody can reach, calendar years that are missing.
 */
#include "tariffs/pack.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 12

struct reading {
	struct pack *pack;
	char path[PATH_MAX];
	struct csv *csv;
	int column[COLUMNS_MAX];
	const char *const *field;
	unsigned line;
};

/* Opens a table; every column of names must be there and no other. False: problem reported. */
static bool table_open(struct reading *r, struct pack *p, const char *file, const char *const *names, size_t count)
{
	char error[512];

	*r = (struct reading){ .pack = p };
	path_of(p, file, r->path, sizeof(r->path));
	if (csv_open(r->path, &r->csv, error, sizeof(error)) != 0) {
		p->problems++;
		p->report(p->arg, error);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		r->column[i] = csv_column(r->csv, names[i]);
		if (r->column[i] < 0)
			problem(p, r->path, 1, 1, "column \"%s\" is missing", names[i]);
	}
	for (size_t i = 0; i < csv_columns(r->csv); i++) {
		size_t k = 0;

		while (k < count && strcmp(names[k], csv_header(r->csv, i)) != 0)
			k++;
		if (k == count) {
			const char *near = word_suggest(csv_header(r->csv, i), names, count);

			problem(p, r->path, 1, (unsigned)i + 1, "unknown column \"%s\"%s%s", csv_header(r->csv, i), near ? ", did you mean " : "", near ? near : "");
		}
	}
	if (p->problems == 0)
		return true;
	csv_close(r->csv);
	return false;
}

static bool row_next(struct reading *r)
{
	char error[512];
	int ret = csv_next(r->csv, &r->field, &r->line, error, sizeof(error));

	if (ret < 0) {
		r->pack->problems++;
		r->pack->report(r->pack->arg, error);
	}
	return ret == 1;
}

static const char *cell(const struct reading *r, size_t i) { return r->field[r->column[i]]; }

static void bad_cell(struct reading *r, size_t i, const char *reason)
{
	problem(r->pack, r->path, r->line, csv_field_column(r->csv, (size_t)r->column[i]), "%s: \"%s\"", reason, cell(r, i));
}

static int64_t cell_int(struct reading *r, size_t i, int64_t min, int64_t max)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(cell(r, i), &end, 10);
	if (cell(r, i)[0] == '\0' || *end != '\0' || errno != 0 || v < min || v > max) {
		bad_cell(r, i, "not a number in range");
		return min;
	}
	return v;
}

static int64_t cell_day_ms(struct reading *r, size_t i, int64_t fallback_ms)
{
	int32_t day;

	if (cell(r, i)[0] == '\0')
		return fallback_ms;
	if (!day_parse(cell(r, i), &day)) {
		bad_cell(r, i, "not a date YYYY-MM-DD that exists");
		return 0;
	}
	return (int64_t)day * 86400000 - CIVIL_OFFSET_MS;
}

void pack_read_operators(struct pack *p)
{
	static const char *const names[] = { "id", "code", "title" };
	struct reading r;

	if (!table_open(&r, p, "operators.csv", names, 3))
		return;
	while (row_next(&r)) {
		struct row_operator row = { .id = (uint32_t)cell_int(&r, 0, 1, 999999) };

		if (operator_find(p, cell(&r, 1)) >= 0)
			bad_cell(&r, 1, "operator twice");
		row.code = text_add(p, cell(&r, 1));
		row.title = text_add(p, cell(&r, 2));
		row_add(p, T_OPERATOR, &row, sizeof(row));
	}
	csv_close(r.csv);
}

enum { L_LINE, L_TITLE, L_OPERATOR, L_CLASS, L_MODE, L_FARE, L_COUNTY, L_FROM, L_TO, L_COUNT };

static void line_fare(struct reading *r, struct row_line *row)
{
	const char *fare = cell(r, L_FARE);
	char *end;
	long v;

	if (strcmp(fare, "tap") == 0) {
		row->fare_kind = FARE_TAP;
		return;
	}
	row->fare_kind = strncmp(fare, "section:", 8) == 0 ? FARE_SECTION : FARE_FLAT;
	if (row->fare_kind == FARE_FLAT && strncmp(fare, "flat:", 5) != 0) {
		bad_cell(r, L_FARE, "flat:FEN, section:FEN or tap is needed");
		return;
	}
	v = strtol(strchr(fare, ':') + 1, &end, 10);
	if (*end != '\0' || end == strchr(fare, ':') + 1 || v < 1 || v > 100000)
		bad_cell(r, L_FARE, "a fare from 1 to 100000 fen is needed");
	row->fare_fen = (int32_t)v;
}

static void read_line(struct reading *r)
{
	static const char *const modes[] = { "bus", "metro", "brt", "ferry" };
	struct pack *p = r->pack;
	struct row_line row = { 0 };
	int class_at = class_find(p, cell(r, L_CLASS)), op = operator_find(p, cell(r, L_OPERATOR)), treasury = treasury_find(p, cell(r, L_COUNTY));

	if (cell(r, L_LINE)[0] == '\0' || strlen(cell(r, L_LINE)) > LINE_BYTES_MAX)
		bad_cell(r, L_LINE, "a line name of 1 to 47 bytes is needed");
	if (class_at < 0)
		bad_cell(r, L_CLASS, cell(r, L_CLASS)[0] == '\0' ? "a line needs a class" : "rules.yaml has no such class");
	if (op < 0 && strcmp(cell(r, L_LINE), "*") != 0)
		bad_cell(r, L_OPERATOR, "operators.csv has no such operator");
	if (treasury < 0 && p->uses_county)
		bad_cell(r, L_COUNTY, "no treasury has this county's name, and a funding rule asks for it");
	while (row.mode < MODE_COUNT_ && strcmp(modes[row.mode], cell(r, L_MODE)) != 0)
		row.mode++;
	if (row.mode == MODE_COUNT_)
		bad_cell(r, L_MODE, "bus, metro, brt or ferry is needed");
	row.name = text_add(p, cell(r, L_LINE));
	row.title = text_add(p, cell(r, L_TITLE));
	row.county = text_add(p, cell(r, L_COUNTY));
	row.county_treasury = (uint16_t)(treasury < 0 ? 1 : treasury + 1);
	row.operator_id = op < 0 ? 0 : ROW(p, T_OPERATOR, struct row_operator, op)->id;
	row.class_index = (uint8_t)(class_at < 0 ? 0 : class_at);
	line_fare(r, &row);
	row.from_ms = cell_day_ms(r, L_FROM, 0);
	row.to_ms = cell_day_ms(r, L_TO, INT64_MAX / 2);
	if (row.from_ms >= row.to_ms)
		bad_cell(r, L_TO, "the end is not after the start");
	row_add(p, T_LINE, &row, sizeof(row));
}

static const struct pack *sorting;	/* qsort has no argument; compiling is one thread's desk work */

static int line_compare(const void *a, const void *b)
{
	const struct row_line *x = a, *y = b;
	int order = strcmp(text_at(sorting, x->name), text_at(sorting, y->name));

	return order != 0 ? order : x->from_ms < y->from_ms ? -1 : x->from_ms > y->from_ms;
}

static void read_lines(struct pack *p)
{
	static const char *const names[L_COUNT] = { "line", "title", "operator", "class", "mode", "fare", "county", "from", "to" };
	struct reading r;

	if (!table_open(&r, p, "lines.csv", names, L_COUNT))
		return;
	while (row_next(&r))
		read_line(&r);
	csv_close(r.csv);
	sorting = p;
	if (p->table[T_LINE].count > 1)
		qsort(p->table[T_LINE].p, p->table[T_LINE].count, sizeof(struct row_line), line_compare);
	for (uint32_t i = 1; i < p->table[T_LINE].count; i++) {
		const struct row_line *row = ROW(p, T_LINE, struct row_line, i);

		if (row->name == row[-1].name && row->from_ms < row[-1].to_ms)
			problem(p, r.path, 1, 1, "line \"%s\": two rows are valid at once", text_at(p, row->name));
	}
}

static void read_sections(struct pack *p)
{
	static const char *const names[] = { "line", "from_stop", "to_stop", "fen" };
	char path[PATH_MAX];
	struct reading r;
	FILE *f;

	path_of(p, "sections.csv", path, sizeof(path));
	f = fopen(path, "re");
	if (f == NULL)
		return;		/* a city without section fares has no such table */
	fclose(f);
	if (!table_open(&r, p, "sections.csv", names, 4))
		return;
	while (row_next(&r)) {
		struct row_section row = { (uint16_t)cell_int(&r, 1, 1, 999), (uint16_t)cell_int(&r, 2, 1, 999), (int32_t)cell_int(&r, 3, 1, 100000) };
		uint32_t at = row_add(p, T_SECTION, &row, sizeof(row));
		bool found = false;

		for (uint32_t i = 0; i < p->table[T_LINE].count; i++) {
			struct row_line *line = ROW(p, T_LINE, struct row_line, i);

			if (strcmp(text_at(p, line->name), cell(&r, 0)) != 0)
				continue;
			found = true;
			if (line->section_count == 0)
				line->section = at;
			if (line->section + line->section_count != at)
				bad_cell(&r, 0, "rows of one line must stand together");
			line->section_count++;
		}
		if (!found)
			bad_cell(&r, 0, "lines.csv has no such line");
	}
	csv_close(r.csv);
}

static int calendar_compare(const void *a, const void *b)
{
	const struct row_calendar *x = a, *y = b;

	return x->day < y->day ? -1 : x->day > y->day;
}

static void read_calendar(struct pack *p)
{
	static const char *const names[] = { "date", "kind", "note" };
	struct reading r;

	if (!table_open(&r, p, "calendar.csv", names, 3))
		return;
	while (row_next(&r)) {
		struct row_calendar row = { 0 };

		if (!day_parse(cell(&r, 0), &row.day))
			bad_cell(&r, 0, "not a date YYYY-MM-DD that exists");
		row.kind = strcmp(cell(&r, 1), "workday") == 0 ? DAY_WORK : DAY_REST;
		if (row.kind == DAY_REST && strcmp(cell(&r, 1), "holiday") != 0)
			bad_cell(&r, 1, "holiday or workday is needed");
		row_add(p, T_CALENDAR, &row, sizeof(row));
	}
	csv_close(r.csv);
	if (p->table[T_CALENDAR].count > 1)
		qsort(p->table[T_CALENDAR].p, p->table[T_CALENDAR].count, sizeof(struct row_calendar), calendar_compare);
}

void pack_read_tables(struct pack *p)
{
	read_lines(p);
	read_sections(p);
	read_calendar(p);
}

/* ---- the whole pack -------------------------------------------------------------------------------- */

static bool groups_meet(const struct row_concession *a, const struct row_concession *b)
{
	if (a->group_mask == 0 || b->group_mask == 0)
		return true;
	return (a->group_mask & b->group_mask) != 0;
}

static bool line_lists_apart(const struct pack *p, const struct row_concession *a, const struct row_concession *b)
{
	if (a->line_count == 0 || b->line_count == 0)
		return false;
	for (uint32_t i = 0; i < a->line_count; i++)
		for (uint32_t k = 0; k < b->line_count; k++)
			if (*ROW(p, T_LIST, uint32_t, a->line + i) == *ROW(p, T_LIST, uint32_t, b->line + k))
				return false;
	return true;
}

/* Two rules of equal precedence that one ride of one rider can hit. */
static bool overlap(const struct pack *p, const struct row_concession *a, const struct row_concession *b)
{
	return a->precedence == b->precedence && groups_meet(a, b) && (a->class_mask & b->class_mask) != 0 && (a->medium_mask & b->medium_mask) != 0 &&
	       (a->guest_mask & b->guest_mask) != 0 && (a->mode_mask & b->mode_mask) != 0 && a->from_ms < b->to_ms && b->from_ms < a->to_ms &&
	       !line_lists_apart(p, a, b);
}

static void check_overlaps(struct pack *p, const char *path)
{
	size_t n = p->table[T_CONCESSION].count;

	for (uint32_t i = 0; i < n && !p->cheapest; i++)
		for (uint32_t k = i + 1; k < n; k++) {
			const struct row_concession *a = ROW(p, T_CONCESSION, struct row_concession, i), *b = ROW(p, T_CONCESSION, struct row_concession, k);

			if (overlap(p, a, b))
				problem(p, path, p->at_concession[k].line, p->at_concession[k].column,
					"\"%s\" and \"%s\" (line %u) have equal precedence and can apply to one ride; give one a higher precedence, or say stacking: cheapest in pack.yaml",
					text_at(p, ROW(p, T_RULE, struct row_rule, b->rule)->id), text_at(p, ROW(p, T_RULE, struct row_rule, a->rule)->id),
					p->at_concession[i].line);
		}
}

static void check_reach(struct pack *p, const char *path)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < p->table[T_LINE].count; i++)
		used |= 1ULL << ROW(p, T_LINE, struct row_line, i)->class_index;
	for (uint32_t i = 0; i < p->table[T_CONCESSION].count; i++) {
		const struct row_concession *c = ROW(p, T_CONCESSION, struct row_concession, i);
		const char *id = text_at(p, ROW(p, T_RULE, struct row_rule, c->rule)->id);

		if ((c->class_mask & used) == 0)
			problem(p, path, p->at_concession[i].line, p->at_concession[i].column, "\"%s\" can never apply: no line is of its classes", id);
		if (c->from_ms >= c->to_ms)
			problem(p, path, p->at_concession[i].line, p->at_concession[i].column, "\"%s\" can never apply: it ends before it starts", id);
		for (uint32_t k = 0; k < c->line_count; k++) {
			const char *line = text_at(p, *ROW(p, T_LIST, uint32_t, c->line + k));
			bool found = false;

			for (uint32_t m = 0; m < p->table[T_LINE].count; m++)
				found = found || strcmp(text_at(p, ROW(p, T_LINE, struct row_line, m)->name), line) == 0;
			if (!found)
				problem(p, path, p->at_concession[i].line, p->at_concession[i].column, "\"%s\" names line \"%s\", which lines.csv does not have", id, line);
		}
	}
}

static void check_calendar(struct pack *p)
{
	struct civil from = civil_of_ms(p->head.valid_from_ms);
	char path[PATH_MAX];

	path_of(p, "calendar.csv", path, sizeof(path));
	for (int32_t year = from.year; p->uses_calendar && year <= from.year + 1; year++) {
		bool found = false;

		for (uint32_t i = 0; i < p->table[T_CALENDAR].count; i++) {
			int32_t day = ROW(p, T_CALENDAR, struct row_calendar, i)->day;

			found = found || (day >= day_of_civil(year, 1, 1) && day <= day_of_civil(year, 12, 31));
		}
		if (!found)
			problem(p, path, 1, 1, "the holidays of %d are missing, and a rule asks for workdays", (int)year);
	}
}

void pack_check(struct pack *p)
{
	char path[PATH_MAX];

	path_of(p, "rules.yaml", path, sizeof(path));
	if (p->table[T_LINE].count == 0)
		problem(p, path, 1, 1, "lines.csv has no line");
	check_overlaps(p, path);
	check_reach(p, path);
	check_calendar(p);
}
