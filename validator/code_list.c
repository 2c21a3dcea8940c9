/*
 * code_list - the issuers and code platforms whose QR codes this city takes, as a validator holds them. Text in, one
 * institution a line with the days it is good for; refused whole with a position when a line is wrong.
 */
#include "validator/validator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSTITUTIONS_MAX 4096		/* the national white list has some hundred */
#define LINE_BYTES 80

struct institution { uint8_t role, number[4]; int32_t from, to; };
struct code_list { size_t count; struct institution row[INSTITUTIONS_MAX]; };

/* role,NUMBER[,from[,to]]; the column of the first mistake, 0: none. */
static unsigned line_parse(char *line, struct institution *ret)
{
	char *field[4] = { line, NULL, NULL, NULL };
	struct institution row = { .from = INT32_MIN, .to = INT32_MAX };
	size_t fields = 1;

	for (char *p = line; *p != '\0'; p++)
		if (*p == ',') {
			if (fields == 4)
				return (unsigned)(p - line) + 1;
			*p = '\0';
			field[fields++] = p + 1;
		}
	if (strcmp(field[0], "issuer") != 0 && strcmp(field[0], "platform") != 0)
		return 1;
	row.role = field[0][0] == 'i' ? CODE_ISSUER : CODE_PLATFORM;
	if (field[1] == NULL || strspn(field[1], "0123456789") != 8 || !hex_decode(field[1], row.number, 4))
		return field[1] == NULL ? 1 : (unsigned)(field[1] - line) + 1;
	if (field[2] != NULL && field[2][0] != '\0' && !day_parse(field[2], &row.from))
		return (unsigned)(field[2] - line) + 1;
	if (field[3] != NULL && field[3][0] != '\0' && (!day_parse(field[3], &row.to) || row.to < row.from))
		return (unsigned)(field[3] - line) + 1;
	*ret = row;
	return 0;
}

static unsigned line_add(struct code_list *l, const char *p, size_t bytes)
{
	struct institution row;
	char line[LINE_BYTES];
	unsigned column;

	if (bytes > 0 && p[bytes - 1] == '\r')
		bytes--;
	if (bytes == 0 || p[0] == '#')
		return 0;
	if (bytes >= sizeof(line) || memchr(p, '\0', bytes) != NULL || l->count == INSTITUTIONS_MAX)
		return 1;
	memcpy(line, p, bytes);
	line[bytes] = '\0';
	column = line_parse(line, &row);
	if (column == 0)
		l->row[l->count++] = row;
	return column;
}

int code_list_parse(const char *name, const void *p, size_t n, struct code_list **ret_list, char *ret_error, size_t error_bytes)
{
	struct code_list *l = calloc(1, sizeof(*l));
	const char *at = p;
	unsigned number = 0, column = 0;

	if (l == NULL) {
		snprintf(ret_error, error_bytes, "%s:1:1: out of memory", name);
		return -ENOMEM;
	}
	while (column == 0 && n > 0) {
		const char *stop = memchr(at, '\n', n);
		size_t bytes = stop != NULL ? (size_t)(stop - at) : n, whole = bytes + (stop != NULL);

		number++;
		column = line_add(l, at, bytes);
		at += whole;
		n -= whole;
	}
	if (column != 0) {
		snprintf(ret_error, error_bytes, "%s:%u:%u: \"issuer\" or \"platform\", a number of eight digits, and days from and to are needed, at most %d lines",
			 name, number, column, INSTITUTIONS_MAX);
		code_list_free(l);
		return -EINVAL;
	}
	*ret_list = l;
	return 0;
}

void code_list_free(struct code_list *l) { free(l); }

bool code_list_has(const struct code_list *l, enum code_role role, const uint8_t number[4], int32_t day)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->row[i].role == role && memcmp(l->row[i].number, number, 4) == 0 && day >= l->row[i].from && day <= l->row[i].to)
			return true;
	return false;
}
