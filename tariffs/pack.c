/*
 * pack - see pack.h; and tariff_compile, which reads a pack directory and lays the tables out.
 */
#include "tariffs/pack.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

void problem(struct pack *p, const char *file, unsigned line, unsigned column, const char *format, ...)
{
	char text[768];
	va_list ap;
	int n = snprintf(text, sizeof(text), "%s:%u:%u: ", file, line, column);

	va_start(ap, format);
	if (n > 0 && (size_t)n < sizeof(text))
		vsnprintf(text + n, sizeof(text) - (size_t)n, format, ap);
	va_end(ap);
	p->problems++;
	p->report(p->arg, text);
}

uint32_t row_add(struct pack *p, enum blob_table t, const void *row, size_t bytes)
{
	struct table *table = &p->table[t];

	if ((table->count + 1) * bytes > table->space) {
		size_t space = table->space ? table->space * 2 : 4096;

		while (space < (table->count + 1) * bytes)
			space *= 2;
		table->p = realloc(table->p, space);
		if (table->p == NULL)
			abort();
		table->space = space;
	}
	memcpy(table->p + table->count * bytes, row, bytes);
	return (uint32_t)table->count++;
}

uint32_t text_add(struct pack *p, const char *text)
{
	struct table *table = &p->table[T_TEXT];
	size_t n = strlen(text) + 1, at = 0;

	while (at < table->count) {
		size_t here = strlen((char *)table->p + at) + 1;

		if (here == n && memcmp(table->p + at, text, n) == 0)
			return (uint32_t)at;
		at += here;
	}
	for (size_t i = 0; i < n; i++)
		row_add(p, T_TEXT, text + i, 1);
	return (uint32_t)at;
}

const char *text_at(const struct pack *p, uint32_t offset) { return (const char *)p->table[T_TEXT].p + offset; }

uint16_t rule_add(struct pack *p, const char *id, const char *title, const char *basis, const char *kind, const char *file, unsigned line)
{
	const char *base = strrchr(file, '/');
	struct row_rule row = { .line = line };

	for (uint32_t i = 0; i < p->table[T_RULE].count; i++)
		if (strcmp(text_at(p, ROW(p, T_RULE, struct row_rule, i)->id), id) == 0)
			problem(p, file, line, 1, "the id \"%s\" is used twice", id);
	row.id = text_add(p, id);
	row.title = text_add(p, title);
	row.basis = text_add(p, basis);
	row.kind = text_add(p, kind);
	row.file = text_add(p, base != NULL ? base + 1 : file);
	return (uint16_t)row_add(p, T_RULE, &row, sizeof(row));
}

void path_of(const struct pack *p, const char *file, char *ret_path, size_t bytes) { snprintf(ret_path, bytes, "%s/%s", p->dir, file); }

/* ---- typed fields ------------------------------------------------------------------------------- */

static const struct node *setting_find(const struct pack *p, const char *name)
{
	const struct node *found = NULL;

	for (int i = 0; i < FILE_COUNT_; i++) {
		const struct node *root = p->doc[i] != NULL ? yaml_root(p->doc[i]) : NULL;
		const struct node *settings = root != NULL ? node_get(root, "settings") : NULL, *n = settings != NULL ? node_get(settings, name) : NULL;

		if (n != NULL)
			found = n;	/* the overlay comes last */
	}
	return found;
}

/* "$name" stands for the value of a setting. */
static const struct node *resolved(struct fields *f, const struct node *n)
{
	const struct node *value;

	if (n == NULL || n->kind != NODE_SCALAR || n->quoted || n->text[0] != '$')
		return n;
	value = setting_find(f->pack, n->text + 1);
	if (value == NULL)
		problem(f->pack, f->file, n->line, n->column, "settings has no \"%s\"", n->text + 1);
	return value != NULL ? value : n;
}

/* Is the entry wanted by its "when"? */
static bool wanted(struct pack *p, const char *path, const struct node *entry)
{
	const struct node *when = entry->kind == NODE_MAP ? node_get(entry, "when") : NULL;

	for (size_t i = 0; when != NULL && when->kind == NODE_MAP && i < when->count; i++) {
		const struct node *value = setting_find(p, when->key[i]), *want = when->item[i];
		bool found = false;

		if (value == NULL || value->kind != NODE_SCALAR) {
			problem(p, path, when->key_line[i], when->key_column[i], "when: settings has no \"%s\"", when->key[i]);
			return false;
		}
		for (size_t k = 0; k < (want->kind == NODE_LIST ? want->count : 1); k++)
			found = found || strcmp((want->kind == NODE_LIST ? want->item[k] : want)->text, value->text) == 0;
		if (!found)
			return false;
	}
	return true;
}

void each_entry(struct pack *p, const char *section, entry_read read)
{
	for (int i = 0; i < FILE_COUNT_; i++) {
		const struct node *root = p->doc[i] != NULL ? yaml_root(p->doc[i]) : NULL, *list = root != NULL ? node_get(root, section) : NULL;

		if (list != NULL && list->kind != NODE_LIST)
			problem(p, p->path[i], list->line, list->column, "%s: a list is needed", section);
		for (size_t k = 0; list != NULL && list->kind == NODE_LIST && k < list->count; k++)
			if (wanted(p, p->path[i], list->item[k]))
				read(p, p->path[i], list->item[k]);
	}
}

void fields_open(struct fields *f, struct pack *p, const char *file, const struct node *map)
{
	*f = (struct fields){ .pack = p, .file = file, .map = map };
	if (map->kind != NODE_MAP)
		problem(p, file, map->line, map->column, "a mapping is needed here");
	f->known[f->known_count++] = "when";
}

const struct node *field(struct fields *f, const char *key)
{
	size_t i = 0;

	while (i < f->known_count && strcmp(f->known[i], key) != 0)
		i++;
	if (i == f->known_count && i < sizeof(f->known) / sizeof(f->known[0]))
		f->known[f->known_count++] = key;
	return resolved(f, node_get(f->map, key));
}

void fields_close(struct fields *f)
{
	for (size_t i = 0; f->map->kind == NODE_MAP && i < f->map->count; i++) {
		const char *near;
		bool known = false;

		for (size_t k = 0; k < f->known_count; k++)
			known = known || strcmp(f->known[k], f->map->key[i]) == 0;
		if (known)
			continue;
		near = word_suggest(f->map->key[i], f->known, f->known_count);
		if (near != NULL)
			problem(f->pack, f->file, f->map->key_line[i], f->map->key_column[i], "unknown key \"%s\", did you mean \"%s\"?", f->map->key[i], near);
		else
			problem(f->pack, f->file, f->map->key_line[i], f->map->key_column[i], "unknown key \"%s\"", f->map->key[i]);
	}
}

static void missing(struct fields *f, const char *key)
{
	problem(f->pack, f->file, f->map->line, f->map->column, "\"%s\" is missing", key);
}

const char *field_text(struct fields *f, const char *key, const char *fallback)
{
	const struct node *n = field(f, key);

	if (n == NULL) {
		if (fallback == NULL)
			missing(f, key);
		return fallback != NULL ? fallback : "";
	}
	if (n->kind != NODE_SCALAR || n->text[0] == '\0') {
		problem(f->pack, f->file, n->line, n->column, "%s: a text is needed", key);
		return "";
	}
	return n->text;
}

int64_t field_int(struct fields *f, const char *key, int64_t min, int64_t max, int64_t fallback)
{
	const struct node *n = field(f, key);
	int64_t v;

	if (n == NULL) {
		if (fallback == INT64_MIN)
			missing(f, key);
		return fallback == INT64_MIN ? min : fallback;
	}
	if (!node_int(n, &v) || v < min || v > max) {
		problem(f->pack, f->file, n->line, n->column, "%s: a whole number from %lld to %lld is needed", key, (long long)min, (long long)max);
		return min;
	}
	return v;
}

const char *word_hint(const char *word, const char *const *known, size_t count, char *ret_hint, size_t bytes)
{
	const char *near = word_suggest(word, known, count);
	size_t n = 0;

	if (near != NULL) {
		snprintf(ret_hint, bytes, "; did you mean %s", near);
		return ret_hint;
	}
	snprintf(ret_hint, bytes, "; there is none");
	for (size_t i = 0; i < count; i++) {
		if (known[i][0] == '\0')
			continue;
		if (n + strlen(known[i]) + 16 > bytes) {
			snprintf(ret_hint + n, bytes - n, " ...");
			break;
		}
		n += (size_t)snprintf(ret_hint + n, bytes - n, "%s%s", n == 0 ? "; there is: " : ", ", known[i]);
	}
	return ret_hint;
}

int field_word(struct fields *f, const char *key, const char *const *words, size_t count, int fallback)
{
	const struct node *n = field(f, key);
	const char *word = n != NULL && n->kind == NODE_SCALAR ? n->text : "";
	char hint[HINT_BYTES];

	if (n == NULL) {
		if (fallback < 0)
			missing(f, key);
		return fallback < 0 ? 0 : fallback;
	}
	for (size_t i = 0; n->kind == NODE_SCALAR && i < count; i++)
		if (strcmp(n->text, words[i]) == 0)
			return (int)i;
	problem(f->pack, f->file, n->line, n->column, "%s: \"%s\" is not one of its words%s", key, word, word_hint(word, words, count, hint, sizeof(hint)));
	return 0;
}

bool field_bool(struct fields *f, const char *key, bool fallback)
{
	static const char *const words[] = { "no", "yes" };

	return field_word(f, key, words, 2, fallback) == 1;
}

int64_t field_day(struct fields *f, const char *key, int64_t fallback_ms)
{
	const struct node *n = field(f, key);
	int64_t ms;
	int32_t day;

	if (n == NULL) {
		if (fallback_ms == INT64_MIN)
			missing(f, key);
		return fallback_ms == INT64_MIN ? 0 : fallback_ms;
	}
	if (n->kind == NODE_SCALAR && day_parse(n->text, &day))
		return (int64_t)day * 86400000 - CIVIL_OFFSET_MS;
	if (n->kind == NODE_SCALAR && time_parse(n->text, &ms))
		return ms;
	problem(f->pack, f->file, n->line, n->column, "%s: a date YYYY-MM-DD that exists is needed", key);
	return 0;
}

size_t field_list(struct fields *f, const char *key)
{
	const struct node *n = field(f, key);

	return n == NULL ? 0 : n->kind == NODE_LIST ? n->count : 1;
}

const struct node *field_item(struct fields *f, const char *key, size_t i)
{
	const struct node *n = field(f, key);

	return resolved(f, n->kind == NODE_LIST ? n->item[i] : n);
}

/* ---- finding rows by name ---------------------------------------------------------------------------- */

#define FIND(function, t, type, expression) \
	static const char *function##_name(const struct pack *p, size_t i) \
	{ \
		const type *row = ROW(p, t, type, i); \
		return text_at(p, expression); \
	} \
	int function(const struct pack *p, const char *name) \
	{ \
		for (uint32_t i = 0; i < p->table[t].count; i++) \
			if (strcmp(function##_name(p, i), name) == 0) \
				return (int)i; \
		return -1; \
	}
FIND(group_find, T_GROUP, struct row_group, row->name)
FIND(class_find, T_CLASS, struct row_class, row->name)
FIND(treasury_find, T_TREASURY, struct row_treasury, row->name)
FIND(operator_find, T_OPERATOR, struct row_operator, row->code)
FIND(fund_find, T_FUND, struct row_fund, ROW(p, T_RULE, struct row_rule, row->rule)->id)
FIND(season_find, T_SEASON, struct row_season, row->name)
FIND(quota_find, T_QUOTA, struct row_quota, ROW(p, T_RULE, struct row_rule, row->rule)->id)

int concession_find(const struct pack *p, const char *id)
{
	for (size_t i = 0; i < p->concession_count; i++)
		if (strcmp(p->concession_id[i], id) == 0)
			return (int)i;
	return -1;
}

static const char *concession_find_name(const struct pack *p, size_t i) { return p->concession_id[i]; }

const char *name_hint(const struct pack *p, name_find find, const char *word, char *ret_hint, size_t bytes)
{
#define NAMES(function, t) { function, function##_name, t }
	static const struct { name_find find; const char *(*name)(const struct pack *p, size_t i); enum blob_table table; } kinds[] = {
		NAMES(group_find, T_GROUP), NAMES(class_find, T_CLASS), NAMES(treasury_find, T_TREASURY), NAMES(operator_find, T_OPERATOR),
		NAMES(fund_find, T_FUND), NAMES(season_find, T_SEASON), NAMES(quota_find, T_QUOTA), NAMES(concession_find, T_CONCESSION),
	};
	const char *known[64];
	size_t count = 0;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		/* concessions are named before their rows are read */
		size_t rows = kinds[k].table == T_CONCESSION ? p->concession_count : p->table[kinds[k].table].count;

		for (size_t i = 0; kinds[k].find == find && i < rows && count < 64; i++)
			known[count++] = kinds[k].name(p, i);
	}
	return word_hint(word, known, count, ret_hint, bytes);
}

/* ---- laying out ------------------------------------------------------------------------------------------ */

static void hash_lines(struct pack *p)
{
	uint32_t size = 64, count = (uint32_t)p->table[T_LINE].count, zero = 0, *slot;

	while (size < 2 * count + 2)
		size *= 2;
	for (uint32_t i = 0; i < size; i++)
		row_add(p, T_LINE_HASH, &zero, 4);
	slot = ROW(p, T_LINE_HASH, uint32_t, 0);
	for (uint32_t i = 0; i < count; i++) {
		const struct row_line *row = ROW(p, T_LINE, struct row_line, i);
		uint32_t at = text_hash(text_at(p, row->name)) & (size - 1);

		if (i > 0 && row->name == row[-1].name)
			continue;
		while (slot[at] != 0)
			at = (at + 1) & (size - 1);
		slot[at] = i + 1;
	}
}

static int lay_out(struct pack *p, void **ret_blob, size_t *ret_bytes)
{
	size_t at = (sizeof(p->head) + 7) & ~(size_t)7;
	uint8_t *blob;

	memcpy(p->head.magic, BLOB_MAGIC, 8);
	for (int i = 0; i < T_COUNT_; i++) {
		p->head.table[i] = (struct blob_span){ (uint32_t)at, (uint32_t)p->table[i].count };
		at = (at + p->table[i].count * blob_row_bytes[i] + 7) & ~(size_t)7;
	}
	if (at > BLOB_BYTES_MAX)
		return TARIFF_E_PACK;
	blob = calloc(1, at);
	if (blob == NULL)
		return TARIFF_E_PACK;
	p->head.bytes = (uint32_t)at;
	memcpy(blob, &p->head, sizeof(p->head));
	for (int i = 0; i < T_COUNT_; i++)
		if (p->table[i].count > 0)
			memcpy(blob + p->head.table[i].offset, p->table[i].p, p->table[i].count * blob_row_bytes[i]);
	((struct blob_head *)(void *)blob)->checksum = XXH3_64bits(blob + 16, at - 16);
	*ret_blob = blob;
	*ret_bytes = at;
	return 0;
}

int tariff_compile_with(const char *pack_dir, const struct tariff_overlay *overlay, tariff_report_fn report, void *arg, void **ret_blob,
			size_t *ret_bytes)
{
	struct pack *p = calloc(1, sizeof(*p));
	struct tariff *t;
	int ret = TARIFF_E_PACK;

	if (p == NULL)
		return TARIFF_E_PACK;
	*p = (struct pack){ .dir = pack_dir, .overlay = overlay, .report = report, .arg = arg };
	text_add(p, "");
	rule_add(p, "published", "票面价", "", "published", "", 0);
	pack_read_files(p);
	pack_read_operators(p);
	pack_read_head(p);
	pack_read_rules(p);
	pack_read_differences(p);
	pack_read_tables(p);
	if (p->problems == 0)
		pack_check(p);
	if (p->problems == 0) {
		pack_cells(p);
		hash_lines(p);
		ret = lay_out(p, ret_blob, ret_bytes);
	}
	if (ret == 0) {
		ret = tariff_open(*ret_blob, *ret_bytes, &t);
		if (ret == 0) {
			tariff_close(t);
		} else {
			problem(p, p->path[FILE_PACK], 1, 1, "the compiled pack does not hold together: more than %d treasuries in one fare, or a value out of range",
				FARE_FUNDERS_MAX);
			free(*ret_blob);
		}
	}
	for (size_t i = 0; i < FILE_COUNT_; i++)
		if (p->doc[i] != NULL)
			yaml_close(p->doc[i]);
	for (int i = 0; i < T_COUNT_; i++)
		free(p->table[i].p);
	free(p);
	return ret;
}

int tariff_compile(const char *pack_dir, tariff_report_fn report, void *arg, void **ret_blob, size_t *ret_bytes)
{
	return tariff_compile_with(pack_dir, NULL, report, arg, ret_blob, ret_bytes);
}
