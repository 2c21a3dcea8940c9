/*
 * brief - see brief.h. Numbers are as short as the bounds by which a record can be read. Whatever a brief has, brief_make() and brief_take()
 * name: a field that is asked for and not named there would be zero.
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
	ret->time_ms = tap->time_ms;
	ret->start_ms = tap->start_ms;
	ret->end_ms = tap->end_ms;
	ret->balance_before = (int32_t)tap->balance_before;
	ret->balance_after = (int32_t)tap->balance_after;
	ret->terminal_serial = tap->terminal_serial;
	ret->amount_fen = tap->amount_fen;
	ret->list_fen = tap->list_fen;
	ret->operator_id = tap->operator_id;
	ret->distance_m = tap->distance_m;
	ret->card_counter = (uint16_t)tap->card_counter;
	ret->card_subtype = (uint16_t)tap->card_subtype;
	ret->stop = (uint16_t)tap->stop;
	ret->stop_on = (uint16_t)tap->stop_on;
	ret->flags = (uint16_t)tap->flags;
	memcpy(ret->pan, tap->pan, sizeof(ret->pan));
	memcpy(ret->issuer, tap->issuer, sizeof(ret->issuer));
	memcpy(ret->tac, tap->tac, sizeof(ret->tac));
	memcpy(ret->terminal, tap->terminal, sizeof(ret->terminal));
	memcpy(ret->psam, tap->psam, sizeof(ret->psam));
	ret->kind = (uint8_t)tap->kind;
	ret->medium = (uint8_t)tap->medium;
	ret->card_class = (uint8_t)tap->card_class;
	ret->direction = (uint8_t)tap->direction;
	ret->key_version = (uint8_t)tap->key_version;
	ret->key_index = (uint8_t)tap->key_index;
	ret->alg_id = (uint8_t)tap->alg_id;
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
	ret->time_ms = b->time_ms;
	ret->start_ms = b->start_ms;
	ret->end_ms = b->end_ms;
	ret->balance_before = b->balance_before;
	ret->balance_after = b->balance_after;
	ret->terminal_serial = b->terminal_serial;
	ret->amount_fen = b->amount_fen;
	ret->list_fen = b->list_fen;
	ret->operator_id = b->operator_id;
	ret->distance_m = b->distance_m;
	ret->card_counter = b->card_counter;
	ret->card_subtype = b->card_subtype;
	ret->stop = b->stop;
	ret->stop_on = b->stop_on;
	ret->flags = b->flags;
	memcpy(ret->pan, b->pan, sizeof(b->pan));
	memcpy(ret->issuer, b->issuer, sizeof(b->issuer));
	memcpy(ret->tac, b->tac, sizeof(b->tac));
	memcpy(ret->terminal, b->terminal, sizeof(b->terminal));
	memcpy(ret->psam, b->psam, sizeof(b->psam));
	ret->kind = b->kind;
	ret->medium = b->medium;
	ret->card_class = b->card_class;
	ret->direction = b->direction;
	ret->key_version = b->key_version;
	ret->key_index = b->key_index;
	ret->alg_id = b->alg_id;
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
