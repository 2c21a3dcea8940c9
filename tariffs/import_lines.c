/*
 * import_lines - the lines of a terminals' table and their journeys. Lines of one class that the same rows are about are one
 * family; a table that names no line is about all of them.
 */
#include "tariffs/params.h"

#include <stdlib.h>
#include <string.h>

/* ---- lines --------------------------------------------------------------------------------------------------------------------- */

static int class_place(struct import *im, const struct params_row *row)
{
	const char *name = row->text[PARAMS_CLASS];

	if (name[0] == '\0')
		return -1;
	for (size_t i = 0; i < im->classes; i++)
		if (strcmp(im->class[i], name) == 0)
			return (int)i;
	if (im->classes == 64) {
		params_problem(&im->table, row, PARAMS_CLASS, "more than 64 classes of lines");
		return -1;
	}
	im->class[im->classes] = name;
	return (int)im->classes++;
}

static struct import_line *line_find(struct import *im, const char *name)
{
	for (size_t i = 0; i < im->lines; i++)
		if (strcmp(im->line[i].name, name) == 0)
			return &im->line[i];
	return NULL;
}

static struct import_line *line_add(struct import *im, const char *name, int class)
{
	char *copy = im->lines < IMPORT_LINES_MAX ? strdup(name) : NULL;

	if (copy == NULL)
		return NULL;
	im->line[im->lines] = (struct import_line){ copy, class, 0 };
	return &im->line[im->lines++];
}

static bool row_lines_add(struct import *im, const struct params_row *row)
{
	const char *at = row->text[PARAMS_LINES];
	int class = class_place(im, row);
	char word[LINE_BYTES_MAX + 1];

	while (params_word_next(&at, word, sizeof(word))) {
		struct import_line *line = line_find(im, word);

		if (line == NULL && (line = line_add(im, word, class)) == NULL) {
			params_problem(&im->table, row, PARAMS_LINES, "more than %d lines", IMPORT_LINES_MAX);
			return false;
		}
		if (line->class < 0)
			line->class = class;
		if (class >= 0 && line->class != class) {
			params_problem(&im->table, row, PARAMS_LINES, "line \"%s\" is of class \"%s\" in another row", word, im->class[line->class]);
			return false;
		}
	}
	if (at[strspn(at, " ")] != '\0') {
		params_problem(&im->table, row, PARAMS_LINES, "names of lines of at most %d bytes are needed", LINE_BYTES_MAX);
		return false;
	}
	return true;
}

/* A table that names no line is about all of them; a class without lines gets one of its own name. */
static bool lines_complete(struct import *im)
{
	for (size_t c = 0; c < im->classes; c++) {
		bool any = false;
		char name[LINE_BYTES_MAX + 1];

		for (size_t i = 0; i < im->lines; i++)
			any = any || im->line[i].class == (int)c;
		if (any)
			continue;
		snprintf(name, sizeof(name), "%.40s", im->class[c]);
		while (strlen(name) > 0 && ((unsigned char)name[strlen(name) - 1] & 0x80) != 0 && strlen(im->class[c]) > 40)
			name[strlen(name) - 1] = '\0';		/* no half of a character */
		if (line_find(im, name) != NULL || name[0] == '\0' || line_add(im, name, (int)c) == NULL)
			return import_no_memory(im);
		im->lines_made = true;
	}
	if (im->lines == 0) {
		if (line_add(im, "*", -1) == NULL)
			return import_no_memory(im);
		im->lines_made = true;
	}
	for (size_t i = 0; i < im->lines; i++) {
		if (im->line[i].class >= 0)
			continue;
		if (!im->class_made && im->classes == 64)
			return import_no_memory(im);
		if (!im->class_made)
			im->class[im->classes++] = "all";
		im->class_made = true;
		im->line[i].class = (int)im->classes - 1;
	}
	return true;
}

bool import_row_names(const struct import *im, const struct params_row *row, const struct import_line *line)
{
	const char *at = row->text[PARAMS_LINES];
	char word[LINE_BYTES_MAX + 1];
	bool any = false;

	if (row->text[PARAMS_CLASS][0] != '\0' && strcmp(row->text[PARAMS_CLASS], im->class[line->class]) != 0)
		return false;
	while (params_word_next(&at, word, sizeof(word))) {
		if (strcmp(word, line->name) == 0)
			return true;
		any = true;
	}
	return !any;
}

/* Lines of one class that the same rows are about are one family. */
static bool families_lay(struct import *im)
{
	uint8_t *about = calloc(im->lines, im->table.count);

	im->family = calloc(im->lines, sizeof(*im->family));
	if (about == NULL || im->family == NULL) {
		free(about);
		return import_no_memory(im);
	}
	for (size_t i = 0; i < im->lines; i++) {
		size_t k = 0;

		for (size_t r = 0; r < im->table.count; r++)
			about[i * im->table.count + r] = import_row_names(im, &im->table.row[r], &im->line[i]);
		while (k < im->families && (im->family[k].class != im->line[i].class ||
					    memcmp(about + im->family[k].first * im->table.count, about + i * im->table.count, im->table.count) != 0))
			k++;
		if (k == im->families)
			im->family[im->families++] = (struct import_family){ .class = im->line[i].class, .first = i };
		im->family[k].lines++;
		im->line[i].family = (int)k;
	}
	free(about);
	return true;
}

bool import_lines_lay(struct import *im)
{
	im->line = calloc(IMPORT_LINES_MAX, sizeof(*im->line));
	if (im->line == NULL)
		return import_no_memory(im);
	for (size_t i = 0; i < im->table.count; i++)
		if (!row_lines_add(im, &im->table.row[i]))
			return false;
	return lines_complete(im) && families_lay(im);
}

/* ---- journeys --------------------------------------------------------------------------------------------------------------------- */

/* "分段 4.00", "机具价 2.00", "10 站", "6000 米", "3 区" */
bool import_journey_read(const char *text, struct import_journey *ret)
{
	static const struct { const char *zh; char unit; } units[] = { { "站", 's' }, { "米", 'm' }, { "区", 'z' } };
	unsigned yuan, fen;
	int n = 0;

	*ret = (struct import_journey){ .kind = JOURNEY_FLAT, .text = text };
	if (text[0] == '\0')
		return true;
	if (sscanf(text, "分段 %4u.%2u%n", &yuan, &fen, &n) == 2 && text[n] == '\0') {
		ret->kind = JOURNEY_SECTION;
		ret->at = yuan * 100 + fen;
		return ret->at > 0 && ret->at <= 100000;
	}
	if (strcmp(text, "机具价 2.00") == 0) {
		ret->kind = JOURNEY_TAP;
		return true;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (sscanf(text, "%8u%n", &ret->at, &n) == 1 && text[0] >= '1' && text[0] <= '9' && text[n] == ' ' && strcmp(text + n + 1, units[i].zh) == 0) {
			ret->kind = JOURNEY_STEP;
			ret->unit = units[i].unit;
			return ret->at <= (ret->unit == 'm' ? 10000000u : 60000u);
		}
	return false;
}

static int journey_compare(const void *a, const void *b)
{
	const struct import_journey *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static bool journey_add(struct import *im, struct import_family *f, const struct params_row *row)
{
	struct import_journey j;

	if (!import_journey_read(row->text[PARAMS_JOURNEY], &j)) {
		params_problem(&im->table, row, PARAMS_JOURNEY, "such as 分段 4.00, 10 站, 6000 米, 3 区, 机具价 2.00; \"%.40s\" is none", row->text[PARAMS_JOURNEY]);
		return false;
	}
	if (j.text[0] == '\0')
		return true;
	for (size_t i = 0; i < f->journeys; i++) {
		if (f->journey[i].kind == j.kind && f->journey[i].unit == j.unit && f->journey[i].at == j.at)
			return true;
		if (f->journey[i].kind != j.kind || f->journey[i].unit != j.unit) {
			params_problem(&im->table, row, PARAMS_JOURNEY, "\"%.40s\" and \"%.40s\" on one line: its fare goes by one of them", j.text, f->journey[i].text);
			return false;
		}
	}
	if (f->journeys == IMPORT_JOURNEYS_MAX - 1) {
		params_problem(&im->table, row, PARAMS_JOURNEY, "more than %d journeys on one line", IMPORT_JOURNEYS_MAX - 1);
		return false;
	}
	f->journey[f->journeys++] = j;
	return true;
}

bool import_journeys_lay(struct import *im, struct import_family *f)
{
	for (size_t r = 0; r < im->table.count; r++)
		if (import_row_names(im, &im->table.row[r], &im->line[f->first]) && !journey_add(im, f, &im->table.row[r]))
			return false;
	if (f->journeys == 0)
		f->journey[f->journeys++] = (struct import_journey){ .kind = JOURNEY_FLAT, .text = "" };
	if (f->journeys > 1)
		qsort(f->journey, f->journeys, sizeof(f->journey[0]), journey_compare);
	return true;
}
