/*
 * yaml - the strict subset of YAML that people write here, as a tree in one arena. libyaml does the lexing;
 * we refuse what makes YAML treacherous: anchors, aliases, tags, duplicate keys, several documents, and all
 * implicit typing: every scalar stays text with its position.
 */
#include "tariffs/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#define YAML_BYTES_MAX (8u << 20)
#define YAML_DEPTH_MAX 16
#define CHUNK_BYTES 65536

struct yaml_doc {
	struct chunk { struct chunk *next; size_t used, space; } *chunks;
	struct node *root;
};

struct build {
	struct yaml_doc *doc;
	yaml_parser_t parser;
	const char *name;
	char *error;
	size_t error_bytes;
};

static void *arena(struct yaml_doc *doc, size_t n)
{
	struct chunk *c = doc->chunks;

	n = (n + 15) & ~(size_t)15;
	if (c == NULL || c->space - c->used < n) {
		size_t space = n > CHUNK_BYTES ? n : CHUNK_BYTES;

		c = calloc(1, sizeof(*c) + 16 + space);
		if (c == NULL)
			return NULL;
		c->next = doc->chunks;
		c->space = space;
		doc->chunks = c;
	}
	c->used += n;
	return (char *)c + ((sizeof(*c) + 15) & ~(size_t)15) + c->used - n;
}

static int refuse(struct build *b, const yaml_mark_t *mark, const char *reason, const char *word)
{
	snprintf(b->error, b->error_bytes, "%s:%zu:%zu: %s%s%s", b->name, mark->line + 1, mark->column + 1, reason,
		 word != NULL ? ": " : "", word != NULL ? word : "");
	return TARIFF_E_SYNTAX;
}

static int event_next(struct build *b, yaml_event_t *ret)
{
	if (yaml_parser_parse(&b->parser, ret))
		return 0;
	return refuse(b, &b->parser.problem_mark, b->parser.problem != NULL ? b->parser.problem : "not YAML", NULL);
}

static struct node *node_new(struct build *b, enum node_kind kind, const yaml_mark_t *mark)
{
	struct node *n = arena(b->doc, sizeof(*n));

	if (n != NULL)
		*n = (struct node){ .kind = kind, .line = (unsigned)mark->line + 1, .column = (unsigned)mark->column + 1, .text = "" };
	return n;
}

static const char *text_copy(struct build *b, const yaml_event_t *e)
{
	size_t n = e->data.scalar.length;
	char *p = arena(b->doc, n + 1);

	if (p != NULL) {
		memcpy(p, e->data.scalar.value, n);
		p[n] = '\0';
	}
	return p;
}

static int node_read(struct build *b, yaml_event_t *e, unsigned depth, struct node **ret);

/* Room for one more; arrays grow to twice their size inside the arena. */
static bool grow(struct build *b, struct node *n, size_t *space)
{
	size_t wide = *space ? *space * 2 : 8;
	struct node **item = arena(b->doc, wide * sizeof(*item));
	const char **key = arena(b->doc, wide * sizeof(*key));
	unsigned *line = arena(b->doc, wide * sizeof(*line)), *column = arena(b->doc, wide * sizeof(*column));

	if (item == NULL || key == NULL || line == NULL || column == NULL)
		return false;
	if (n->count > 0) {
		memcpy(item, n->item, n->count * sizeof(*item));
		memcpy(key, n->key, n->count * sizeof(*key));
		memcpy(line, n->key_line, n->count * sizeof(*line));
		memcpy(column, n->key_column, n->count * sizeof(*column));
	}
	n->item = item;
	n->key = key;
	n->key_line = line;
	n->key_column = column;
	*space = wide;
	return true;
}

static int key_read(struct build *b, struct node *map, yaml_event_t *e)
{
	const char *key;

	if (e->type != YAML_SCALAR_EVENT)
		return refuse(b, &e->start_mark, "a key must be plain text", NULL);
	if (e->data.scalar.anchor != NULL || (e->data.scalar.tag != NULL && e->data.scalar.tag[0] != '\0'))
		return refuse(b, &e->start_mark, "anchors and tags are not allowed", NULL);
	key = text_copy(b, e);
	if (key == NULL)
		return -ENOMEM;
	if (strlen(key) != e->data.scalar.length)
		return refuse(b, &e->start_mark, "NUL byte in text", NULL);
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->key[i], key) == 0)
			return refuse(b, &e->start_mark, "duplicate key", key);
	map->key[map->count] = key;
	map->key_line[map->count] = (unsigned)e->start_mark.line + 1;
	map->key_column[map->count] = (unsigned)e->start_mark.column + 1;
	return 0;
}

static int children_read(struct build *b, struct node *n, unsigned depth)
{
	yaml_event_type_t end = n->kind == NODE_LIST ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT;
	size_t space = 0;

	for (;;) {
		yaml_event_t e;
		bool done;
		int ret = event_next(b, &e);

		if (ret != 0)
			return ret;
		done = e.type == end;
		if (!done && n->count == space && !grow(b, n, &space))
			ret = -ENOMEM;
		if (!done && ret == 0 && n->kind == NODE_MAP) {
			ret = key_read(b, n, &e);
			yaml_event_delete(&e);
			if (ret == 0)
				ret = event_next(b, &e);
			if (ret != 0)
				return ret;
		}
		if (!done && ret == 0)
			ret = node_read(b, &e, depth + 1, &n->item[n->count]);
		yaml_event_delete(&e);
		if (ret != 0 || done)
			return ret;
		n->count++;
	}
}

static int node_read(struct build *b, yaml_event_t *e, unsigned depth, struct node **ret)
{
	struct node *n;
	bool tagged;

	if (depth > YAML_DEPTH_MAX)
		return refuse(b, &e->start_mark, "nested deeper than 16", NULL);
	switch ((int)e->type) {
	case YAML_ALIAS_EVENT:
		return refuse(b, &e->start_mark, "aliases are not allowed", NULL);
	case YAML_SCALAR_EVENT:
		tagged = e->data.scalar.anchor != NULL || (e->data.scalar.tag != NULL && e->data.scalar.tag[0] != '\0');
		n = node_new(b, NODE_SCALAR, &e->start_mark);
		if (n != NULL)
			n->text = text_copy(b, e);
		if (n != NULL && n->text != NULL && strlen(n->text) != e->data.scalar.length)
			return refuse(b, &e->start_mark, "NUL byte in text", NULL);
		if (n != NULL)
			n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
		break;
	case YAML_SEQUENCE_START_EVENT:
		tagged = e->data.sequence_start.anchor != NULL || e->data.sequence_start.tag != NULL;
		n = node_new(b, NODE_LIST, &e->start_mark);
		break;
	case YAML_MAPPING_START_EVENT:
		tagged = e->data.mapping_start.anchor != NULL || e->data.mapping_start.tag != NULL;
		n = node_new(b, NODE_MAP, &e->start_mark);
		break;
	default:
		return refuse(b, &e->start_mark, "a value is needed", NULL);
	}
	if (n == NULL || n->text == NULL)
		return -ENOMEM;
	if (tagged)
		return refuse(b, &e->start_mark, "anchors and tags are not allowed", NULL);
	*ret = n;
	return n->kind == NODE_SCALAR ? 0 : children_read(b, n, depth);
}

static int stream_read(struct build *b)
{
	int ret = 0;
	unsigned documents = 0;
	bool done = false;

	while (ret == 0 && !done) {
		yaml_event_t e;

		ret = event_next(b, &e);
		if (ret != 0)
			return ret;
		switch ((int)e.type) {
		case YAML_STREAM_END_EVENT:
			done = true;
			break;
		case YAML_DOCUMENT_START_EVENT:
			if (++documents > 1)
				ret = refuse(b, &e.start_mark, "a second document is not allowed", NULL);
			break;
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		default:
			ret = node_read(b, &e, 0, &b->doc->root);
		}
		yaml_event_delete(&e);
	}
	return ret;
}

int yaml_parse(const char *name, const void *p, size_t n, struct yaml_doc **ret_doc, char *ret_error, size_t error_bytes)
{
	struct build b = { .name = name, .error = ret_error, .error_bytes = error_bytes };
	int ret;

	if (n > YAML_BYTES_MAX) {
		snprintf(ret_error, error_bytes, "%s:1:1: larger than 8 MiB", name);
		return TARIFF_E_SYNTAX;
	}
	b.doc = calloc(1, sizeof(*b.doc));
	if (b.doc == NULL || !yaml_parser_initialize(&b.parser)) {
		free(b.doc);
		return -ENOMEM;
	}
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, p, n);
	ret = stream_read(&b);
	yaml_parser_delete(&b.parser);
	if (ret != 0) {
		yaml_close(b.doc);
		return ret;
	}
	*ret_doc = b.doc;
	return 0;
}

/* A whole file in memory, at most max bytes. */
int text_file_read(const char *path, size_t max, char **ret_p, size_t *ret_n, char *ret_error, size_t error_bytes)
{
	FILE *f = fopen(path, "re");
	char *p = NULL;
	size_t n = 0, space = 0;
	int ret = 0;

	if (f == NULL) {
		ret = -errno;
		snprintf(ret_error, error_bytes, "%s: %s", path, strerror(-ret));
		return ret;
	}
	for (;;) {
		size_t got;

		if (n == space) {
			char *q = n > max ? NULL : realloc(p, space = space ? space * 2 : 4096);

			if (q == NULL) {
				snprintf(ret_error, error_bytes, "%s:1:1: too large", path);
				ret = TARIFF_E_SYNTAX;
				break;
			}
			p = q;
		}
		got = fread(p + n, 1, space - n, f);
		if (got == 0)
			break;
		n += got;
	}
	if (ret == 0 && ferror(f)) {
		snprintf(ret_error, error_bytes, "%s: cannot be read", path);
		ret = -EIO;
	}
	fclose(f);
	if (ret != 0) {
		free(p);
		return ret;
	}
	*ret_p = p;
	*ret_n = n;
	return 0;
}

int yaml_open(const char *path, struct yaml_doc **ret_doc, char *ret_error, size_t error_bytes)
{
	char *p = NULL;
	size_t n = 0;
	int ret = text_file_read(path, YAML_BYTES_MAX, &p, &n, ret_error, error_bytes);

	if (ret == 0)
		ret = yaml_parse(path, p, n, ret_doc, ret_error, error_bytes);
	free(p);
	return ret;
}

const struct node *yaml_root(const struct yaml_doc *doc) { return doc->root; }

void yaml_close(struct yaml_doc *doc)
{
	if (doc == NULL)
		return;
	while (doc->chunks != NULL) {
		struct chunk *c = doc->chunks;

		doc->chunks = c->next;
		free(c);
	}
	free(doc);
}

const struct node *node_get(const struct node *map, const char *key)
{
	if (map == NULL || map->kind != NODE_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->key[i], key) == 0)
			return map->item[i];
	return NULL;
}

bool node_int(const struct node *n, int64_t *ret_value)
{
	char *end;
	long long v;

	if (n == NULL || n->kind != NODE_SCALAR || n->text[0] == '\0' || n->text[0] == ' ' || n->text[0] == '+')
		return false;
	errno = 0;
	v = strtoll(n->text, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	*ret_value = v;
	return true;
}

/* Levenshtein distance of short words; longer ones are never near. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[33];
	size_t n = strlen(a), m = strlen(b);

	if (n > 32 || m > 32)
		return 99;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned above = row[j], best = corner + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			corner = above;
			row[j] = best;
		}
	}
	return row[m];
}

const char *word_suggest(const char *word, const char *const *known, size_t count)
{
	const char *near = NULL;
	unsigned best = 3;

	for (size_t i = 0; i < count; i++) {
		unsigned d = distance(word, known[i]);

		if (d < best && d < strlen(known[i])) {
			best = d;
			near = known[i];
		}
	}
	return near;
}
