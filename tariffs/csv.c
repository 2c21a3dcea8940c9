/*
 * csv - RFC 4180 tables that come from spreadsheets: UTF-8 with or without BOM (files: or GB18030), CRLF or LF, quoted fields,
 * a header row. Every row must be as wide as the header; a bare quote or a stray width is refused with its
 * position, since a shifted column is a silent money error.
 */
#include "tariffs/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CSV_BYTES_MAX (4ULL << 30)
#define CSV_COLUMNS_MAX 64

struct csv {
	char *name, *text, *at, *end;
	unsigned line;
	size_t columns;
	char *header[CSV_COLUMNS_MAX];
	const char *field[CSV_COLUMNS_MAX + 1];
	unsigned column[CSV_COLUMNS_MAX + 1];
};

static int refuse(const struct csv *c, unsigned line, unsigned column, const char *reason, char *ret_error, size_t error_bytes)
{
	snprintf(ret_error, error_bytes, "%s:%u:%u: %s", c->name, line, column, reason);
	return TARIFF_E_SYNTAX;
}

/* A quoted field, unescaped in place; NULL: no closing quote. */
static char *quoted_end(struct csv *c, char *p)
{
	char *out = p;

	for (p++; p < c->end; p++) {
		if (*p == '"' && p + 1 < c->end && p[1] == '"')
			p++;
		else if (*p == '"')
			break;
		if (*p == '\n')
			c->line++;
		*out++ = *p;
	}
	if (p >= c->end)
		return NULL;
	*out = '\0';
	return p + 1;
}

/* One row into field[]; the text is cut in place. 1, 0 at the end, or an error. */
static int row_read(struct csv *c, size_t *ret_count, unsigned *ret_line, char *ret_error, size_t error_bytes)
{
	char *start = c->at, *p = c->at;
	unsigned line = c->line;
	size_t n = 0;

	if (p >= c->end)
		return 0;
	for (;;) {
		char *field = p, stop;

		if (n == CSV_COLUMNS_MAX)
			return refuse(c, line, 1, "more than 64 columns", ret_error, error_bytes);
		c->column[n] = (unsigned)(field - start) + 1;
		if (p < c->end && *p == '"') {
			p = quoted_end(c, p);
			if (p == NULL)
				return refuse(c, line, c->column[n], "quote never closed", ret_error, error_bytes);
			if (p < c->end && *p == '\r' && p + 1 < c->end && p[1] == '\n')
				p++;
			if (p < c->end && *p != ',' && *p != '\n')
				return refuse(c, line, (unsigned)(p - start) + 1, "text after a closing quote", ret_error, error_bytes);
		} else {
			while (p < c->end && *p != ',' && *p != '\n' && *p != '"' && *p != '\0')
				p++;
			if (p < c->end && (*p == '"' || *p == '\0'))
				return refuse(c, line, (unsigned)(p - start) + 1, "quote or NUL inside a plain field", ret_error, error_bytes);
			if (p > field && p[-1] == '\r' && (p == c->end || *p == '\n'))
				p[-1] = '\0';
		}
		stop = p < c->end ? *p : '\n';
		*p = '\0';	/* the buffer has one byte more than the text */
		c->field[n++] = field;
		p++;
		if (stop == '\n')
			break;
	}
	c->at = p < c->end ? p : c->end;
	c->line++;
	*ret_count = n;
	*ret_line = line;
	return 1;
}

static int header_read(struct csv *c, char *ret_error, size_t error_bytes)
{
	unsigned line;
	int ret = row_read(c, &c->columns, &line, ret_error, error_bytes);

	if (ret == 0)
		return refuse(c, 1, 1, "a header row is needed", ret_error, error_bytes);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < c->columns; i++) {
		c->header[i] = (char *)(uintptr_t)c->field[i];
		for (size_t k = 0; k < i; k++)
			if (strcmp(c->header[k], c->header[i]) == 0)
				return refuse(c, 1, c->column[i], "the same column twice", ret_error, error_bytes);
	}
	return 0;
}

static int csv_take(const char *name, char *text, size_t n, struct csv **ret_csv, char *ret_error, size_t error_bytes)
{
	struct csv *c = calloc(1, sizeof(*c));
	int ret = -ENOMEM;

	if (c == NULL || (c->name = strdup(name)) == NULL) {
		free(text);
		free(c);
		return -ENOMEM;
	}
	c->text = c->at = text;
	c->end = text + n;
	c->line = 1;
	if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		c->at += 3;
	ret = header_read(c, ret_error, error_bytes);
	if (ret != 0) {
		csv_close(c);
		return ret;
	}
	*ret_csv = c;
	return 0;
}

int csv_parse(const char *name, const void *p, size_t n, struct csv **ret_csv, char *ret_error, size_t error_bytes)
{
	char *text = malloc(n + 1);

	if (text == NULL)
		return -ENOMEM;
	if (n > 0)
		memcpy(text, p, n);
	text[n] = '\0';
	return csv_take(name, text, n, ret_csv, ret_error, error_bytes);
}

int csv_open(const char *path, struct csv **ret_csv, char *ret_error, size_t error_bytes)
{
	char *p = NULL, *text;
	size_t n = 0;
	int ret = text_file_read(path, CSV_BYTES_MAX, &p, &n, ret_error, error_bytes);

	if (ret == 0)
		ret = text_to_utf8(path, &p, &n, ret_error, error_bytes);
	if (ret != 0) {
		free(p);
		return ret;
	}
	text = realloc(p, n + 1);
	if (text == NULL) {
		free(p);
		return -ENOMEM;
	}
	text[n] = '\0';
	return csv_take(path, text, n, ret_csv, ret_error, error_bytes);
}

int csv_column(const struct csv *csv, const char *name)
{
	for (size_t i = 0; i < csv->columns; i++)
		if (strcmp(csv->header[i], name) == 0)
			return (int)i;
	return -1;
}

size_t csv_columns(const struct csv *csv) { return csv->columns; }

const char *csv_header(const struct csv *csv, size_t i) { return csv->header[i]; }

int csv_next(struct csv *csv, const char *const **ret_fields, unsigned *ret_line, char *ret_error, size_t error_bytes)
{
	size_t count = 0;
	unsigned line = csv->line;
	int ret;

	do {
		ret = row_read(csv, &count, &line, ret_error, error_bytes);
	} while (ret == 1 && count == 1 && csv->field[0][0] == '\0' && csv->columns > 1);
	if (ret != 1)
		return ret;
	if (count != csv->columns)
		return refuse(csv, line, 1, count < csv->columns ? "fewer fields than the header" : "more fields than the header",
			      ret_error, error_bytes);
	*ret_fields = csv->field;
	*ret_line = line;
	return 1;
}

unsigned csv_field_column(const struct csv *csv, size_t i) { return csv->column[i]; }

void csv_close(struct csv *csv)
{
	if (csv == NULL)
		return;
	free(csv->text);
	free(csv->name);
	free(csv);
}
