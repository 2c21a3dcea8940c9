/*
 * jsonw - JSON written as it is produced: keys in the order given, integers exact, no floating point, so that
 * the same facts give the same bytes.
 */
#include "clearing/clearing.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

void jsonw_init(struct jsonw *j, FILE *out, bool pretty) { *j = (struct jsonw){ .out = out, .pretty = pretty }; }

static void line_start(struct jsonw *j)
{
	if (!j->pretty)
		return;
	fputc('\n', j->out);
	for (unsigned i = 0; i < j->depth; i++)
		fputs("  ", j->out);
}

/* Before a value: the comma of a list, nothing after a key. */
static void separate(struct jsonw *j)
{
	if (j->depth == 0)
		return;
	if (j->first[j->depth] == 2) {
		j->first[j->depth] = 0;
		return;
	}
	if (j->first[j->depth] == 0)
		fputc(',', j->out);
	j->first[j->depth] = 0;
	line_start(j);
}

static void open_level(struct jsonw *j, char c)
{
	separate(j);
	fputc(c, j->out);
	j->depth++;
	assert(j->depth < sizeof(j->first));
	j->first[j->depth] = 1;
}

static void close_level(struct jsonw *j, char c)
{
	bool empty = j->first[j->depth] == 1;

	j->depth--;
	if (!empty)
		line_start(j);
	fputc(c, j->out);
}

void jsonw_object(struct jsonw *j) { open_level(j, '{'); }
void jsonw_object_end(struct jsonw *j) { close_level(j, '}'); }
void jsonw_array(struct jsonw *j) { open_level(j, '['); }
void jsonw_array_end(struct jsonw *j) { close_level(j, ']'); }

static void quoted(struct jsonw *j, const char *text)
{
	fputc('"', j->out);
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			fprintf(j->out, "\\%c", *p);
		else if (*p < 0x20)
			fprintf(j->out, "\\u%04x", *p);
		else
			fputc(*p, j->out);
	}
	fputc('"', j->out);
}

void jsonw_key(struct jsonw *j, const char *key)
{
	separate(j);
	quoted(j, key);
	fputs(j->pretty ? ": " : ":", j->out);
	j->first[j->depth] = 2;
}

void jsonw_str(struct jsonw *j, const char *text)
{
	separate(j);
	quoted(j, text);
}

void jsonw_int(struct jsonw *j, int64_t v)
{
	separate(j);
	fprintf(j->out, "%" PRId64, v);
}

void jsonw_bool(struct jsonw *j, bool v)
{
	separate(j);
	fputs(v ? "true" : "false", j->out);
}

void jsonw_null(struct jsonw *j)
{
	separate(j);
	fputs("null", j->out);
}

void jsonw_kstr(struct jsonw *j, const char *key, const char *text)
{
	jsonw_key(j, key);
	jsonw_str(j, text);
}

void jsonw_kint(struct jsonw *j, const char *key, int64_t v)
{
	jsonw_key(j, key);
	jsonw_int(j, v);
}

void jsonw_kbool(struct jsonw *j, const char *key, bool v)
{
	jsonw_key(j, key);
	jsonw_bool(j, v);
}
