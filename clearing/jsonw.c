/*
 * jsonw - JSON written as it is produced: keys in the order given, integers exact, no floating point, so that
 * the same facts give the same bytes. A stream has one writer, so it is not locked for each character: the digest of a
 * day of a million taps passes through here.
 */
#include "clearing/clearing.h"

#include <assert.h>
#include <string.h>

void jsonw_init(struct jsonw *j, FILE *out, bool pretty) { *j = (struct jsonw){ .out = out, .pretty = pretty }; }

static void line_start(struct jsonw *j)
{
	if (!j->pretty)
		return;
	putc_unlocked('\n', j->out);
	for (unsigned i = 0; i < j->depth; i++)
		fputs_unlocked("  ", j->out);
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
		putc_unlocked(',', j->out);
	j->first[j->depth] = 0;
	line_start(j);
}

static void open_level(struct jsonw *j, char c)
{
	separate(j);
	putc_unlocked(c, j->out);
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
	putc_unlocked(c, j->out);
}

void jsonw_object(struct jsonw *j) { open_level(j, '{'); }
void jsonw_object_end(struct jsonw *j) { close_level(j, '}'); }
void jsonw_array(struct jsonw *j) { open_level(j, '['); }
void jsonw_array_end(struct jsonw *j) { close_level(j, ']'); }

static void quoted(struct jsonw *j, const char *text)
{
	const char *p = text;

	putc_unlocked('"', j->out);
	for (size_t n; *p != '\0'; p += n) {
		for (n = 0; (unsigned char)p[n] >= 0x20 && p[n] != '"' && p[n] != '\\'; n++)
			;
		if (n > 0)
			fwrite_unlocked(p, 1, n, j->out);
		else if (*p == '"' || *p == '\\')
			fprintf(j->out, "\\%c", *p);
		else
			fprintf(j->out, "\\u%04x", (unsigned char)*p);
		n += n == 0;
	}
	putc_unlocked('"', j->out);
}

void jsonw_key(struct jsonw *j, const char *key)
{
	separate(j);
	quoted(j, key);
	fputs_unlocked(j->pretty ? ": " : ":", j->out);
	j->first[j->depth] = 2;
}

void jsonw_str(struct jsonw *j, const char *text)
{
	separate(j);
	quoted(j, text);
}

void jsonw_int(struct jsonw *j, int64_t v)
{
	char text[20], *p = text + sizeof(text);
	uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	separate(j);
	do
		*--p = (char)('0' + left % 10);
	while ((left /= 10) != 0);
	if (v < 0)
		*--p = '-';
	fwrite_unlocked(p, 1, (size_t)(text + sizeof(text) - p), j->out);
}

void jsonw_bool(struct jsonw *j, bool v)
{
	separate(j);
	fputs_unlocked(v ? "true" : "false", j->out);
}

void jsonw_null(struct jsonw *j)
{
	separate(j);
	fputs_unlocked("null", j->out);
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
