/*
 * brief - see brief.h.
 */
#include "clearing/brief.h"

#include <assert.h>
#include <string.h>

#include <xxhash.h>

static_assert(sizeof(struct brief) <= 128, "two cache lines");

size_t briefs_bytes(uint32_t count) { return sizeof(struct briefs) + count * sizeof(struct brief); }

/* A text of less than sixteen bytes, as most are, by these: in a record behind its end there may be anything. */
static bool short_is(const char *a, const char *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return x[0] == y[0] && x[1] == y[1] && a[15] == '\0';
}

static bool text_is(const struct brief_text *text, const struct tap *tap)
{
	return (short_is(text->line, tap->line) || strcmp(text->line, tap->line) == 0) &&
	       (short_is(text->vehicle, tap->vehicle) || strcmp(text->vehicle, tap->vehicle) == 0) &&
	       (short_is(text->series, tap->series) || strcmp(text->series, tap->series) == 0);
}

/* Which they are; BRIEF_TEXTS_MAX: others than all before, and there is no room. The last are the most likely. */
static uint8_t text_of(struct briefs *b, const struct tap *tap)
{
	struct brief_text *text;

	for (uint32_t i = b->texts; i-- > 0;)
		if (text_is(&b->text[i], tap))
			return (uint8_t)i;
	if (b->texts == BRIEF_TEXTS_MAX)
		return BRIEF_TEXTS_MAX;
	text = &b->text[b->texts];
	memcpy(text->line, tap->line, sizeof(text->line));
	memcpy(text->vehicle, tap->vehicle, sizeof(text->vehicle));
	memcpy(text->series, tap->series, sizeof(text->series));
	return (uint8_t)b->texts++;
}

static void brief_make(const struct tap *tap, struct brief *ret)
{
#define NUMBER(type, name) ret->name = (type)tap->name;
#define BYTES(n, name) memcpy(ret->name, tap->name, n);
	BRIEF_NUMBERS(NUMBER)
	BRIEF_BYTES(BYTES)
#undef BYTES
#undef NUMBER
}

void briefs_make(const struct batch *b, const struct batch_taps *taps, struct briefs *ret)
{
	ret->texts = 0;
	for (uint32_t i = 0; i < b->count; i++) {
		const struct tap *tap = &taps->tap[i];
		struct brief *brief = &ret->brief[i];

		brief->form = BRIEF_NONE;
		brief->content = XXH3_64bits(b->tap[i].p, b->tap[i].n);
		if (!taps->good[i])
			continue;
		brief_make(tap, brief);
		brief->text = text_of(ret, tap);
		brief->form = tap->qr.n > 0 || brief->text == BRIEF_TEXTS_MAX ? BRIEF_WHOLE : BRIEF_KEPT;
	}
}

static void brief_take(const struct brief *b, struct tap *ret)
{
#define NUMBER(type, name) ret->name = b->name;
#define BYTES(n, name) memcpy(ret->name, b->name, n);
	BRIEF_NUMBERS(NUMBER)
	BRIEF_BYTES(BYTES)
#undef BYTES
#undef NUMBER
}

static void text_take(const struct brief_text *text, struct tap *ret)
{
	memcpy(ret->line, text->line, sizeof(text->line));
	memcpy(ret->vehicle, text->vehicle, sizeof(text->vehicle));
	memcpy(ret->series, text->series, sizeof(text->series));
}

void brief_begin(struct brief_reader *r) { r->text = NULL; }

const struct tap *brief_read(struct brief_reader *r, const struct briefs *b, const struct batch *batch, uint32_t i)
{
	const struct brief *brief = &b->brief[i];
	const char *field;

	if (brief->form == BRIEF_NONE)
		return NULL;
	if (brief->form == BRIEF_WHOLE)
		return tap_read(batch->tap[i].p, batch->tap[i].n, &r->whole, &field) == 0 ? &r->whole : NULL;
	brief_take(brief, &r->tap);
	if (r->text != &b->text[brief->text]) {
		r->text = &b->text[brief->text];
		text_take(r->text, &r->tap);
	}
	return &r->tap;
}
