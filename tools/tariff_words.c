/*
 * tariff_words - what two packs say, compared word by word: every value of their YAML files and every cell of their
 * tables under a path such as concessions/pupil/price or lines.csv/18/fare. It complements the price book, which
 * shows what a first ride costs: a changed transfer window or quota shows here.
 *
 * Entries of lists are found by their id, name, from or position, rows of tables by their key columns, so a moved
 * entry is no difference. Two rows of one key are told apart by their number.
 */
#include "tools/tariff_words.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 256

/* ---- a growing list of path and value ----------------------------------------------------------------- */

static int word_add(struct words *w, const char *path, const char *value)
{
	if (w->count == w->space) {
		size_t space = w->space ? w->space * 2 : 256;
		struct word *wide = realloc(w->word, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		w->word = wide;
		w->space = space;
	}
	w->word[w->count] = (struct word){ strdup(path), strdup(value), (unsigned)w->count };
	w->count++;
	return w->word[w->count - 1].path == NULL || w->word[w->count - 1].value == NULL ? -ENOMEM : 0;
}

void words_free(struct words *w)
{
	for (size_t i = 0; i < w->count; i++) {
		free(w->word[i].path);
		free(w->word[i].value);
	}
	free(w->word);
	*w = (struct words){ 0 };
}

/* ---- YAML ------------------------------------------------------------------------------------------------ */

/* The name of a list entry: what people call it by. */
static const char *entry_name(const struct node *n)
{
	static const char *const keys[] = { "id", "name", "issuer" };

	for (size_t i = 0; n->kind == NODE_MAP && i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct node *v = node_get(n, keys[i]);

		if (v != NULL && v->kind == NODE_SCALAR)
			return v->text;
	}
	return NULL;
}

static bool scalars_only(const struct node *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->item[i]->kind != NODE_SCALAR)
			return false;
	return true;
}

static int list_words(struct words *w, const struct node *n, const char *path)
{
	char text[1024] = "";
	size_t at = 0;

	for (size_t i = 0; i < n->count && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? ", " : "", n->item[i]->text);
	return word_add(w, path, text);
}

static int node_words(struct words *w, const struct node *n, const char *path)
{
	char below[PATH_BYTES];
	int ret = 0;

	if (n->kind == NODE_SCALAR)
		return word_add(w, path, n->text);
	if (n->kind == NODE_LIST && scalars_only(n))
		return list_words(w, n, path);
	for (size_t i = 0; ret == 0 && i < n->count; i++) {
		const char *name = n->kind == NODE_MAP ? n->key[i] : entry_name(n->item[i]);

		if (name != NULL)
			snprintf(below, sizeof(below), "%s%s%s", path, path[0] != '\0' ? "/" : "", name);
		else
			snprintf(below, sizeof(below), "%s/%zu", path, i + 1);
		ret = node_words(w, n->item[i], below);
	}
	return ret;
}

static int yaml_words(struct words *w, const char *dir, const char *file)
{
	struct yaml_doc *doc = NULL;
	char path[PATH_MAX], error[512];
	int ret;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	if (access(path, F_OK) != 0)
		return 0;
	ret = yaml_open(path, &doc, error, sizeof(error));
	if (ret == 0)
		ret = node_words(w, yaml_root(doc), "");
	yaml_close(doc);
	return ret;
}

/* ---- tables ------------------------------------------------------------------------------------------------ */

struct table { const char *file; const char *key[3]; };

static bool is_key(const struct table *t, const char *column)
{
	for (size_t i = 0; i < 3 && t->key[i] != NULL; i++)
		if (strcmp(t->key[i], column) == 0)
			return true;
	return false;
}

static int row_words(struct words *w, const struct table *t, const struct csv *csv, const char *const *field)
{
	char row[PATH_BYTES], path[PATH_BYTES + 64];
	size_t at = (size_t)snprintf(row, sizeof(row), "%s", t->file);
	int ret = 0;

	for (size_t i = 0; i < 3 && t->key[i] != NULL && at < sizeof(row); i++) {
		int column = csv_column(csv, t->key[i]);

		if (column >= 0 && field[column][0] != '\0')
			at += (size_t)snprintf(row + at, sizeof(row) - at, "/%s", field[column]);
	}
	ret = word_add(w, row, "");
	for (size_t i = 0; ret == 0 && i < csv_columns(csv); i++) {
		if (is_key(t, csv_header(csv, i)) || field[i][0] == '\0')
			continue;
		snprintf(path, sizeof(path), "%s/%s", row, csv_header(csv, i));
		ret = word_add(w, path, field[i]);
	}
	return ret;
}

static int table_words(struct words *w, const char *dir, const struct table *t)
{
	char path[PATH_MAX], error[512];
	const char *const *field;
	struct csv *csv = NULL;
	unsigned line;
	int ret, more;

	snprintf(path, sizeof(path), "%s/%s", dir, t->file);
	if (access(path, F_OK) != 0)
		return 0;
	ret = csv_open(path, &csv, error, sizeof(error));
	if (ret != 0)
		return ret;
	while (ret == 0 && (more = csv_next(csv, &field, &line, error, sizeof(error))) != 0)
		ret = more < 0 ? more : row_words(w, t, csv, field);
	csv_close(csv);
	return ret;
}

/* ---- both ---------------------------------------------------------------------------------------------------- */

static int word_compare(const void *pa, const void *pb)
{
	const struct word *a = pa, *b = pb;
	int order = strcmp(a->path, b->path);

	return order != 0 ? order : a->nth < b->nth ? -1 : a->nth > b->nth;
}

int words_read(const char *dir, struct words *ret)
{
	static const char *const files[] = { "pack.yaml", "groups.yaml", "funding.yaml", "rules.yaml" };
	static const struct table tables[] = { { "operators.csv", { "id" } }, { "lines.csv", { "line", "from" } },
					       { "sections.csv", { "line", "from_stop", "to_stop" } }, { "stops.csv", { "line", "stop" } }, { "calendar.csv", { "date", "until" } } };
	struct words w = { 0 };
	int code = 0;

	for (size_t i = 0; code == 0 && i < sizeof(files) / sizeof(files[0]); i++)
		code = yaml_words(&w, dir, files[i]);
	for (size_t i = 0; code == 0 && i < sizeof(tables) / sizeof(tables[0]); i++)
		code = table_words(&w, dir, &tables[i]);
	if (code != 0) {
		words_free(&w);
		return code;
	}
	if (w.count > 1)
		qsort(w.word, w.count, sizeof(w.word[0]), word_compare);
	*ret = w;
	return 0;
}

size_t words_differ(const struct words *a, const struct words *b,
		    void (*found)(void *arg, const char *path, const char *old, const char *new), void *arg)
{
	size_t i = 0, k = 0, n = 0;

	while (i < a->count || k < b->count) {
		int order = i == a->count ? 1 : k == b->count ? -1 : strcmp(a->word[i].path, b->word[k].path);

		if (order == 0 && strcmp(a->word[i].value, b->word[k].value) == 0) {
			i++, k++;
			continue;
		}
		n++;
		found(arg, order <= 0 ? a->word[i].path : b->word[k].path, order <= 0 ? a->word[i].value : NULL,
		      order >= 0 ? b->word[k].value : NULL);
		i += order <= 0;
		k += order >= 0;
	}
	return n;
}
