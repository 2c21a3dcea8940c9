/*
 * pack_tables - the CSV tables of a pack: operators, lines, section fares, calendar.
 */
#include "tariffs/pack.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS_MAX 12

struct reading {
	struct pack *pack;
	char path[PATH_MAX];
	struct csv *csv;
	int column[COLUMNS_MAX];
	const char *const *field;
	unsigned line;
};

static int text_open(struct reading *r, const char *file, const char *text, char *error, size_t error_bytes)
{
	if (text == NULL) {
		path_of(r->pack, file, r->path, sizeof(r->path));
		return csv_open(r->path, &r->csv, error, error_bytes);
	}
	snprintf(r->path, sizeof(r->path), "(%s of the overlay)", file);
	return csv_parse(r->path, text, strlen(text), &r->csv, error, error_bytes);
}

/* Opens a table, or its text where one is laid over it; the first columns of names must be there, the others may,
 * and no further one. False: problem reported. */
static bool table_open(struct reading *r, struct pack *p, const char *file, const char *text, const char *const *names, size_t count, size_t needed)
{
	char error[512];
	unsigned before = p->problems;

	*r = (struct reading){ .pack = p };
	if (text_open(r, file, text, error, sizeof(error)) != 0) {
		p->problems++;
		p->report(p->arg, error);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		r->column[i] = csv_column(r->csv, names[i]);
		if (r->column[i] < 0 && i < needed)
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
	if (p->problems == before)
		return true;
	csv_close(r->csv);
	return false;
}

/* A pack without such a table: not every city has section fares or rules that ask for workdays. */
static bool table_absent(const struct pack *p, const char *file, const char *text)
{
	char path[PATH_MAX];

	path_of(p, file, path, sizeof(path));
	return text == NULL && access(path, F_OK) != 0;
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

static const char *cell(const struct reading *r, size_t i) { return r->column[i] >= 0 ? r->field[r->column[i]] : ""; }

static void bad_cell(struct reading *r, size_t i, const char *reason)
{
	problem(r->pack, r->path, r->line, r->column[i] >= 0 ? csv_field_column(r->csv, (size_t)r->column[i]) : 1, "%s: \"%s\"", reason, cell(r, i));
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

	if (table_absent(p, "operators.csv", NULL) || !table_open(&r, p, "operators.csv", NULL, names, 3, 3))
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

enum { L_LINE, L_CLASS, L_FARE, L_TITLE, L_OPERATOR, L_MODE, L_COUNTY, L_FROM, L_TO, L_OWN, L_HOLD, L_COUNT };
#define L_NEEDED 3

static void line_fare(struct reading *r, struct row_line *row)
{
	const char *fare = cell(r, L_FARE);
	char *end;
	long v;

	if (strcmp(fare, "tap") == 0 || strcmp(fare, "class") == 0) {
		row->fare_kind = fare[0] == 't' ? FARE_TAP : FARE_CLASS;
		return;
	}
	row->fare_kind = strncmp(fare, "section:", 8) == 0 ? FARE_SECTION : FARE_FLAT;
	if (row->fare_kind == FARE_FLAT && strncmp(fare, "flat:", 5) != 0) {
		bad_cell(r, L_FARE, "flat:FEN, section:FEN, class or tap is needed");
		return;
	}
	v = strtol(strchr(fare, ':') + 1, &end, 10);
	if (*end != '\0' || end == strchr(fare, ':') + 1 || v < 1 || v > 100000)
		bad_cell(r, L_FARE, "a fare from 1 to 100000 fen is needed");
	row->fare_fen = (int32_t)v;
}

static void read_line(struct reading *r)
{
	const char *mode = cell(r, L_MODE)[0] != '\0' ? cell(r, L_MODE) : mode_words[MODE_BUS];
	struct pack *p = r->pack;
	struct row_line row = { 0 };
	int class_at = class_find(p, cell(r, L_CLASS)), op = operator_find(p, cell(r, L_OPERATOR)), treasury = treasury_find(p, cell(r, L_COUNTY));

	if (cell(r, L_LINE)[0] == '\0' || strlen(cell(r, L_LINE)) > LINE_BYTES_MAX)
		bad_cell(r, L_LINE, "a line name of 1 to 47 bytes is needed");
	if (class_at < 0)
		bad_cell(r, L_CLASS, cell(r, L_CLASS)[0] == '\0' ? "a line needs a class" : "classes has no such class");
	if (op < 0 && cell(r, L_OPERATOR)[0] != '\0')
		bad_cell(r, L_OPERATOR, "operators.csv has no such operator");
	if (treasury < 0 && p->uses_county && (p->overlay == NULL || p->overlay->lines_csv == NULL))
		bad_cell(r, L_COUNTY, "no treasury has this county's name, and a funding rule asks for it");
	while (row.mode < MODE_COUNT_ && strcmp(mode_words[row.mode], mode) != 0)
		row.mode++;
	if (row.mode == MODE_COUNT_)
		bad_cell(r, L_MODE, "bus, metro, brt or ferry is needed");
	row.name = text_add(p, cell(r, L_LINE));
	row.title = text_add(p, cell(r, L_TITLE)[0] != '\0' ? cell(r, L_TITLE) : cell(r, L_LINE));
	row.county = text_add(p, cell(r, L_COUNTY));
	row.county_treasury = (uint16_t)(treasury >= 0 ? treasury + 1 : p->table[T_TREASURY].count > 0 ? 1 : 0);
	row.operator_id = op < 0 ? 0 : ROW(p, T_OPERATOR, struct row_operator, op)->id;
	row.class_index = (uint8_t)(class_at < 0 ? 0 : class_at);
	line_fare(r, &row);
	if (cell(r, L_OWN)[0] != '\0')
		row.own_fen = (int32_t)cell_int(r, L_OWN, 1, 1000000);
	if (cell(r, L_HOLD)[0] != '\0')
		row.hold_fen = (int32_t)cell_int(r, L_HOLD, 1, 1000000);
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
	static const char *const names[L_COUNT] = { "line", "class", "fare", "title", "operator", "mode", "county", "from", "to", "own_fen",
		"hold_fen" };
	struct reading r;

	if (!table_open(&r, p, "lines.csv", p->overlay != NULL ? p->overlay->lines_csv : NULL, names, L_COUNT, L_NEEDED))
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
			line_problem(p, "lines.csv", text_at(p, row->name), "two rows are valid at once");
	}
}

/* A row of a table that belongs to a line: every row of lines.csv of that name has it. */
static void line_row_add(struct reading *r, enum blob_table table, const void *row, size_t bytes)
{
	struct pack *p = r->pack;
	uint32_t at = row_add(p, table, row, bytes);
	bool found = false;

	for (uint32_t i = 0; i < p->table[T_LINE].count; i++) {
		struct row_line *line = ROW(p, T_LINE, struct row_line, i);
		uint32_t *first = table == T_STOP ? &line->stop : &line->section, *count = table == T_STOP ? &line->stop_count : &line->section_count;

		if (strcmp(text_at(p, line->name), cell(r, 0)) != 0)
			continue;
		found = true;
		if (*count == 0)
			*first = at;
		if (*first + *count != at)
			bad_cell(r, 0, "rows of one line must stand together");
		++*count;
	}
	if (!found)
		bad_cell(r, 0, "lines.csv has no such line");
}

static void read_sections(struct pack *p)
{
	static const char *const names[] = { "line", "from_stop", "to_stop", "fen" };
	struct reading r;

	if (p->overlay != NULL && p->overlay->lines_csv != NULL)
		return;		/* the lines are a case's own */
	if (table_absent(p, "sections.csv", NULL) || !table_open(&r, p, "sections.csv", NULL, names, 4, 4))
		return;
	while (row_next(&r)) {
		struct row_section row = { (uint16_t)cell_int(&r, 1, 1, 999), (uint16_t)cell_int(&r, 2, 1, 999), (int32_t)cell_int(&r, 3, 1, 100000) };

		line_row_add(&r, T_SECTION, &row, sizeof(row));
	}
	csv_close(r.csv);
}

/* Places of stops: what a record with two stops does not tell of metres and zones is measured here. */
static void read_stops(struct pack *p)
{
	static const char *const names[] = { "line", "stop", "m", "zone" };
	char before[LINE_BYTES_MAX + 1] = "";
	struct row_stop last = { 0 };
	struct reading r;

	if (p->overlay != NULL && p->overlay->lines_csv != NULL)
		return;
	if (table_absent(p, "stops.csv", NULL) || !table_open(&r, p, "stops.csv", NULL, names, 4, 3))
		return;
	while (row_next(&r)) {
		struct row_stop row = { .stop = (uint16_t)cell_int(&r, 1, 1, 999), .m = (uint32_t)cell_int(&r, 2, 0, 1000000) };
		bool same = strcmp(before, cell(&r, 0)) == 0;

		if (cell(&r, 3)[0] != '\0')
			row.zone = (uint16_t)cell_int(&r, 3, 1, 999);
		if (same && row.stop <= last.stop)
			bad_cell(&r, 1, "the stops of a line rise");
		if (same && row.m < last.m)
			bad_cell(&r, 2, "metres from the first stop do not fall");
		if (same && (row.zone == 0) != (last.zone == 0))
			bad_cell(&r, 3, "each stop of a line has a zone, or none has");
		line_row_add(&r, T_STOP, &row, sizeof(row));
		last = row;
		snprintf(before, sizeof(before), "%s", cell(&r, 0));
	}
	csv_close(r.csv);
}

static int calendar_compare(const void *a, const void *b)
{
	const struct row_calendar *x = a, *y = b;

	return x->day < y->day ? -1 : x->day > y->day;
}

/* One day may stand twice, as a holiday without school: the kinds are joined. */
static void calendar_join(struct pack *p)
{
	struct table *t = &p->table[T_CALENDAR];
	struct row_calendar *row = ROW(p, T_CALENDAR, struct row_calendar, 0);
	size_t kept = 0;

	if (t->count < 2)
		return;
	qsort(t->p, t->count, sizeof(struct row_calendar), calendar_compare);
	for (size_t i = 1; i < t->count; i++)
		if (row[i].day == row[kept].day)
			row[kept].kind |= row[i].kind;
		else
			row[++kept] = row[i];
	t->count = kept + 1;
}

static void read_calendar(struct pack *p)
{
	static const char *const names[] = { "date", "kind", "note", "until" }, *const kinds[] = { "workday", "holiday", "no-school" };
	const char *text = p->overlay != NULL ? p->overlay->calendar_csv : NULL;
	struct reading r;

	if (table_absent(p, "calendar.csv", text) || !table_open(&r, p, "calendar.csv", text, names, 4, 2))
		return;
	while (row_next(&r)) {
		struct row_calendar row = { 0 };
		int32_t until;
		size_t k = 0;

		if (!day_parse(cell(&r, 0), &row.day))
			bad_cell(&r, 0, "not a date YYYY-MM-DD that exists");
		until = row.day;
		if (cell(&r, 3)[0] != '\0' && (!day_parse(cell(&r, 3), &until) || until < row.day || until > row.day + 366))
			bad_cell(&r, 3, "not a date within a year after the first");
		while (k < 3 && strcmp(cell(&r, 1), kinds[k]) != 0)
			k++;
		if (k == 3)
			bad_cell(&r, 1, "holiday, workday or no-school is needed");
		for (row.kind = 1u << k; row.day <= until; row.day++)
			row_add(p, T_CALENDAR, &row, sizeof(row));
	}
	csv_close(r.csv);
	calendar_join(p);
}

void pack_read_tables(struct pack *p)
{
	read_lines(p);
	read_sections(p);
	read_stops(p);
	read_calendar(p);
}
