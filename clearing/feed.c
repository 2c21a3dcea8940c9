/*
 * feed - a bureau's entitlement batch as a file, read row by row: CSV or NDJSON, one head line, then rows. Foreign
 * bytes: every cell is bounded by its line, nothing is copied, and a refusal has line and column. Cells need no
 * quotes or escapes, so none are allowed. Nothing here knows the store (feed_apply.c does).
 */
#include "clearing/clearing.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const feed_column_name[FEED_COLUMNS] = { "handle", "group", "grade", "from", "to", "verified_to", "withdrawn", "birth", "home" };
enum { H_SCHEMA, H_VERSION, H_BUREAU, H_SEQUENCE, H_KIND, H_ISSUED, H_COUNT, H_CELLS };
static const char *const head_name[H_CELLS] = { "schema", "version", "bureau", "sequence", "kind", "issued", "count" };
static_assert((int)H_CELLS <= (int)FEED_COLUMNS, "the head's cells fit where a row's are");

#define QUOTED_BYTES_MAX 14	/* an identity number has 15 or 18 characters, a card number 16 to 20 */

static int refuse_at(const struct feed_reader *r, unsigned column, const char *reason, const char *p, size_t n)
{
	bool plain = n > 0 && n <= QUOTED_BYTES_MAX;

	for (size_t i = 0; plain && i < n; i++)
		plain = p[i] >= 0x20 && p[i] < 0x7F;
	snprintf(r->error, r->error_bytes, plain ? "%s:%u:%u: %s: \"%.*s\"" : "%s:%u:%u: %s", r->name, r->line, column, reason,
		 plain ? (int)n : 0, p);
	return CLEARING_E_REFERENCE;
}

static int cell_refuse(const struct feed_reader *r, int i, const char *reason)
{
	return refuse_at(r, r->cell[i].column != 0 ? r->cell[i].column : 1, reason, r->cell[i].p, r->cell[i].n);
}

int feed_refuse(const struct feed_reader *r, enum feed_column column, const char *reason) { return cell_refuse(r, (int)column, reason); }

/* ---- lines and cells --------------------------------------------------------------------------------- */

/* 1: a line without its end, 0: no more, or a refusal. */
static int line_take(struct feed_reader *r, const char **ret_p, const char **ret_end)
{
	const char *stop;

	if (r->p == r->end)
		return 0;
	r->line++;
	stop = memchr(r->p, '\n', (size_t)(r->end - r->p));
	if (stop == NULL)
		return refuse_at(r, 1, "the file ends inside this line; is it complete?", NULL, 0);
	if (stop - r->p > FEED_LINE_BYTES_MAX)
		return refuse_at(r, FEED_LINE_BYTES_MAX, "the line is longer than 512 bytes", NULL, 0);
	*ret_p = r->p;
	*ret_end = stop > r->p && stop[-1] == '\r' ? stop - 1 : stop;
	r->p = stop + 1;
	return 1;
}

static void cells_reset(struct feed_reader *r)
{
	for (int i = 0; i < FEED_COLUMNS; i++)
		r->cell[i] = (struct feed_cell){ "", 0, 0 };
}

/* Cells of a CSV line in the order given; as many as there are columns. */
static int csv_cells(struct feed_reader *r, const char *p, const char *end, const int8_t *order, unsigned width)
{
	const char *start = p, *comma;

	for (unsigned i = 0; i < width; i++) {
		comma = memchr(p, ',', (size_t)(end - p));
		if ((comma == NULL) != (i + 1 == width))
			return refuse_at(r, (unsigned)(p - start) + 1,
					 comma == NULL ? "cells are missing behind this one" : "more cells than columns", NULL, 0);
		r->cell[order[i]] = (struct feed_cell){ p, (size_t)((comma != NULL ? comma : end) - p), (unsigned)(p - start) + 1 };
		if (memchr(p, '"', r->cell[order[i]].n) != NULL)
			return refuse_at(r, (unsigned)(p - start) + 1, "no quotes are needed in this file", NULL, 0);
		p = comma != NULL ? comma + 1 : end;
	}
	return 0;
}

static const char *spaces_skip(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

/* A string without escapes, digits or null; NULL: none of these. */
static const char *value_take(const char *p, const char *end, struct feed_cell *ret)
{
	const char *stop = p;

	if (p < end && *p == '"') {
		stop = memchr(p + 1, '"', (size_t)(end - p - 1));
		if (stop == NULL || memchr(p + 1, '\\', (size_t)(stop - p - 1)) != NULL)
			return NULL;
		*ret = (struct feed_cell){ p + 1, (size_t)(stop - p - 1), ret->column };
		return stop + 1;
	}
	if (end - p >= 4 && memcmp(p, "null", 4) == 0) {
		*ret = (struct feed_cell){ p, 0, ret->column };
		return p + 4;
	}
	while (stop < end && *stop >= '0' && *stop <= '9')
		stop++;
	*ret = (struct feed_cell){ p, (size_t)(stop - p), ret->column };
	return stop > p ? stop : NULL;
}

static int name_index(const struct feed_cell *c, const char *const *names, int count)
{
	int i = 0;

	while (i < count && (strlen(names[i]) != c->n || memcmp(names[i], c->p, c->n) != 0))
		i++;
	return i < count ? i : -1;
}

/* One flat JSON object with members of these names, each at most once. */
static int json_cells(struct feed_reader *r, const char *p, const char *end, const char *const *names, int count)
{
	const char *start = p;
	struct feed_cell key, value;

	p = spaces_skip(p, end);
	if (p == end || *p != '{')
		return refuse_at(r, 1, "one JSON object a line is needed", NULL, 0);
	do {
		int i;

		p = spaces_skip(p + 1, end);
		key.column = (unsigned)(p - start) + 1;
		p = p < end && *p == '"' ? value_take(p, end, &key) : NULL;
		p = p != NULL ? spaces_skip(p, end) : NULL;
		if (p == NULL || p == end || *p != ':')
			return refuse_at(r, key.column, "a member \"name\": value is needed", NULL, 0);
		i = name_index(&key, names, count);
		if (i < 0 || r->cell[i].column != 0)
			return refuse_at(r, key.column, i < 0 ? "no such member is known" : "the member stands here twice", key.p, key.n);
		p = spaces_skip(p + 1, end);
		value.column = (unsigned)(p - start) + 1;
		p = value_take(p, end, &value);
		if (p == NULL)
			return refuse_at(r, value.column, "a text without \\, a whole number or null is needed", NULL, 0);
		r->cell[i] = value;
		p = spaces_skip(p, end);
	} while (p < end && *p == ',');
	if (p == end || *p != '}' || spaces_skip(p + 1, end) != end)
		return refuse_at(r, (unsigned)(p - start) + 1, "the object's end } and nothing behind it is needed", NULL, 0);
	return 0;
}

/* ---- values ----------------------------------------------------------------------------------------------- */

static bool cell_text(const struct feed_cell *c, char *ret, size_t space)
{
	if (c->n >= space || memchr(c->p, '\0', c->n) != NULL)
		return false;
	memcpy(ret, c->p, c->n);
	ret[c->n] = '\0';
	return true;
}

static int cell_number(const struct feed_reader *r, int i, uint32_t max, uint32_t *ret)
{
	uint64_t v = 0;

	for (size_t k = 0; k < r->cell[i].n; k++) {
		if (!isdigit((unsigned char)r->cell[i].p[k]) || (v = v * 10 + (uint64_t)(r->cell[i].p[k] - '0')) > max)
			return cell_refuse(r, i, "a whole number in range is needed");
	}
	*ret = (uint32_t)v;
	return 0;
}

static int cell_day(const struct feed_reader *r, int i, int32_t fallback, int32_t *ret)
{
	char text[16];

	*ret = fallback;
	if (r->cell[i].n == 0 || (cell_text(&r->cell[i], text, sizeof(text)) && day_parse(text, ret)))
		return 0;
	return cell_refuse(r, i, "a date YYYY-MM-DD that exists is needed");
}

/* ---- head --------------------------------------------------------------------------------------------------- */

static bool cell_is(const struct feed_cell *c, const char *text) { return c->n == strlen(text) && memcmp(c->p, text, c->n) == 0; }

static int head_read(struct feed_reader *r)
{
	struct feed_head *h = &r->head;
	int ret;

	if (!cell_is(&r->cell[H_SCHEMA], "qingfen.entitlements"))
		return cell_refuse(r, H_SCHEMA, "qingfen.entitlements is needed: this is another kind of file");
	if (!cell_is(&r->cell[H_VERSION], "1"))
		return cell_refuse(r, H_VERSION, "format version 1 is needed");
	if (!cell_text(&r->cell[H_BUREAU], h->bureau, sizeof(h->bureau)) || h->bureau[0] == '\0')
		return cell_refuse(r, H_BUREAU, "a bureau's name of 1 to 15 bytes is needed");
	h->kind = cell_is(&r->cell[H_KIND], "full") ? FEED_FULL : cell_is(&r->cell[H_KIND], "increment") ? FEED_INCREMENT : 0;
	if (h->kind == 0)
		return cell_refuse(r, H_KIND, "full or increment is needed");
	ret = cell_number(r, H_SEQUENCE, UINT32_MAX, &h->sequence);
	if (ret == 0 && h->sequence == 0)
		ret = cell_refuse(r, H_SEQUENCE, "a sequence number from 1 on is needed");
	if (ret == 0)
		ret = cell_day(r, H_ISSUED, DAY_NONE, &h->issued);
	if (ret == 0 && h->issued == DAY_NONE)
		ret = cell_refuse(r, H_ISSUED, "the day of issue is needed");
	if (ret == 0 && r->cell[H_COUNT].n == 0)
		ret = cell_refuse(r, H_COUNT, "the count of rows is needed");
	return ret != 0 ? ret : cell_number(r, H_COUNT, FEED_ROWS_MAX, &h->count);
}

static int columns_read(struct feed_reader *r)
{
	const char *p, *end, *start, *comma;
	bool seen[FEED_COLUMNS] = { false };
	int ret = line_take(r, &p, &end);

	if (ret != 1)
		return ret < 0 ? ret : refuse_at(r, 1, "a line of column names is needed behind this one", NULL, 0);
	for (start = p; p != NULL; p = comma != NULL ? comma + 1 : NULL) {
		struct feed_cell c = { p, 0, (unsigned)(p - start) + 1 };
		int i;

		comma = memchr(p, ',', (size_t)(end - p));
		c.n = (size_t)((comma != NULL ? comma : end) - p);
		i = name_index(&c, feed_column_name, FEED_COLUMNS);
		if (i < 0 || seen[i])
			return refuse_at(r, c.column, i < 0 ? "no such column is known" : "the column stands here twice", c.p, c.n);
		seen[i] = true;
		r->order[r->width++] = (int8_t)i;
	}
	for (int i = FEED_HANDLE; i <= FEED_VALID_FROM; i++)
		if (!seen[i] && i != FEED_GRADE)
			return refuse_at(r, 1, i == FEED_HANDLE ? "column \"handle\" is missing" : i == FEED_GROUP ? "column \"group\" is missing" :
												    "column \"from\" is missing", NULL, 0);
	return 0;
}

int feed_open(struct feed_reader *r, const char *name, const void *bytes, size_t n, char *error, size_t error_bytes)
{
	static const int8_t in_order[H_CELLS] = { 0, 1, 2, 3, 4, 5, 6 };
	const char *p = bytes, *end;
	int ret;

	if (n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) {	/* spreadsheets write a mark of byte order */
		p += 3;
		n -= 3;
	}
	*r = (struct feed_reader){ .name = name, .p = p, .end = p + n, .json = n > 0 && *p == '{', .error = error, .error_bytes = error_bytes };
	cells_reset(r);
	ret = line_take(r, &p, &end);
	if (ret == 0)
		r->line = 1;
	if (ret == 0)
		return refuse_at(r, 1, "the file is empty", NULL, 0);
	if (ret == 1)
		ret = r->json ? json_cells(r, p, end, head_name, H_CELLS) : csv_cells(r, p, end, in_order, H_CELLS);
	if (ret == 0)
		ret = head_read(r);
	return ret != 0 || r->json ? ret : columns_read(r);
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

static int row_read(const struct feed_reader *r, struct feed_row *ret)
{
	struct feed_row row = { 0 };
	uint32_t grade;
	char text[17];
	int code;

	if (!cell_text(&r->cell[FEED_HANDLE], text, sizeof(text)) || !handle_parse(text, &row.handle))
		return cell_refuse(r, FEED_HANDLE, "a handle of 16 hex digits, as qingfen entitlements prepare makes it, is needed");
	if (!cell_text(&r->cell[FEED_GROUP], row.group, sizeof(row.group)) || row.group[0] == '\0')
		return cell_refuse(r, FEED_GROUP, "a group's name is needed");
	code = cell_number(r, FEED_GRADE, 10, &grade);
	row.grade = (uint8_t)grade;
	if (code == 0)
		code = cell_day(r, FEED_VALID_FROM, DAY_NONE, &row.from);
	if (code == 0 && row.from == DAY_NONE)
		code = cell_refuse(r, FEED_VALID_FROM, "the first day is needed");
	if (code == 0)
		code = cell_day(r, FEED_VALID_TO, INT32_MAX, &row.to);
	if (code == 0 && row.to < row.from)
		code = cell_refuse(r, FEED_VALID_TO, "the end lies before the start");
	if (code == 0)
		code = cell_day(r, FEED_VERIFIED_TO, INT32_MAX, &row.verified_to);
	if (code == 0)
		code = cell_day(r, FEED_WITHDRAWN, DAY_NONE, &row.withdrawn);
	if (code == 0)
		code = cell_day(r, FEED_BIRTH, DAY_NONE, &row.birth);
	if (code == 0)
		code = cell_number(r, FEED_HOME, 999999, &row.home);
	if (code == 0)
		*ret = row;
	return code;
}

int feed_next(struct feed_reader *r, struct feed_row *ret)
{
	const char *p, *end;
	int code = line_take(r, &p, &end);

	if (code != 1)
		return code;
	cells_reset(r);
	code = r->json ? json_cells(r, p, end, feed_column_name, FEED_COLUMNS) : csv_cells(r, p, end, r->order, r->width);
	if (code == 0)
		code = row_read(r, ret);
	return code != 0 ? code : 1;
}
