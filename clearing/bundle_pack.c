/*
 * bundle_pack - batches into a bundle: what belongs to records is taken apart into columns, each column is compressed the
 * way that makes it smallest.
 */
#include "clearing/bundle.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "clearing/grown.h"

#define LEVEL 3

struct buffer { uint8_t *p; size_t n, space; };
struct piece { const uint8_t *p; uint32_t n; };
struct column { struct piece *list; size_t count, space; };
struct bundler {
	ZSTD_CCtx *zstd;
	int error;
	struct buffer shape, frame, odd, out, values, laid, trial, best;
	struct column column[BUNDLE_COLUMNS_MAX];
	struct batch batch;
};

int bundler_new(struct bundler **ret)
{
	struct bundler *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return -ENOMEM;
	b->zstd = ZSTD_createCCtx();
	if (b->zstd == NULL || ZSTD_isError(ZSTD_CCtx_setParameter(b->zstd, ZSTD_c_compressionLevel, LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(b->zstd, ZSTD_c_contentSizeFlag, 0))) {
		bundler_free(b);
		return -ENOMEM;
	}
	*ret = b;
	return 0;
}

void bundler_free(struct bundler *b)
{
	if (b == NULL)
		return;
	ZSTD_freeCCtx(b->zstd);
	for (size_t i = 0; i < BUNDLE_COLUMNS_MAX; i++)
		free(b->column[i].list);
	free(b->shape.p);
	free(b->frame.p);
	free(b->odd.p);
	free(b->out.p);
	free(b->values.p);
	free(b->laid.p);
	free(b->trial.p);
	free(b->best.p);
	free(b);
}

void bundle_digest(const struct bundle_part *part, size_t parts, uint8_t ret_digest[DIGEST_BYTES])
{
	struct digest d;

	digest_reset(&d);
	for (size_t i = 0; i < parts; i++) {
		uint8_t head[12];

		be64_put(head, part[i].seq);
		be32_put(head + 8, part[i].n);
		digest_add(&d, head, sizeof(head));
		digest_add(&d, part[i].p, part[i].n);
	}
	digest_end(&d, ret_digest);
}

void bundle_seal(const uint8_t *packed, size_t n, uint8_t ret_digest[DIGEST_BYTES])
{
	struct digest d;

	digest_reset(&d);
	digest_add(&d, packed, BUNDLE_HEAD_BYTES - DIGEST_BYTES);
	digest_add(&d, packed + BUNDLE_HEAD_BYTES, n - BUNDLE_HEAD_BYTES);
	digest_end(&d, ret_digest);
}

/* ---- bytes that grow; the first error is remembered ---------------------------------------------------------- */

static bool room(struct bundler *b, struct buffer *to, size_t n)
{
	uint8_t *wide = grown(to->p, &to->space, to->n + n, 1);

	if (wide == NULL) {
		b->error = -ENOMEM;
		return false;
	}
	to->p = wide;
	return b->error == 0;
}

static void put(struct bundler *b, struct buffer *to, const void *p, size_t n)
{
	if (n == 0 || !room(b, to, n))
		return;
	memcpy(to->p + to->n, p, n);
	to->n += n;
}

static void put_byte(struct bundler *b, struct buffer *to, unsigned v)
{
	uint8_t byte = (uint8_t)v;

	put(b, to, &byte, 1);
}

static void put_number(struct bundler *b, struct buffer *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		put_byte(b, to, (unsigned)(v & 0x7F) | 0x80);
	put_byte(b, to, (unsigned)v);
}

/* ---- records taken apart ------------------------------------------------------------------------------------------- */

/* Of the value that begins here; 0: it is none by itself, or runs past the end. */
static size_t piece_bytes(const uint8_t *p, size_t left)
{
	static const uint8_t of[32] = { 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9, 3, 4, 6, 10, 18, 0, 0, 0, 0, 0, 0, 0 };
	size_t n = 0;

	if (left == 0)
		return 0;
	if (*p < 0x80 || *p >= 0xE0)
		return 1;
	if (*p >= 0xA0 && *p < 0xC0)
		n = 1u + (*p & 0x1F);
	else if (*p >= 0xC0)
		n = of[*p - 0xC0];
	if ((*p == 0xC4 || *p == 0xD9) && left >= 2)
		n = 2u + p[1];
	else if ((*p == 0xC5 || *p == 0xDA) && left >= 3)
		n = 3u + be16_get(p + 1);
	return n <= left ? n : 0;
}

/* The pieces of a record: the head of its array, and each element. 0: it is no array of plain values. */
static size_t pieces_find(const uint8_t *p, size_t n, struct piece ret[BUNDLE_COLUMNS_MAX])
{
	size_t count, at;

	if (n > 0 && p[0] >= 0x90 && p[0] < 0xA0) {
		at = 1;
		count = p[0] & 0x0F;
	} else if (n >= 3 && p[0] == 0xDC) {
		at = 3;
		count = be16_get(p + 1);
	} else {
		return 0;
	}
	if (count >= BUNDLE_COLUMNS_MAX)
		return 0;
	ret[0] = (struct piece){ p, (uint32_t)at };
	for (size_t i = 1; i <= count; i++) {
		size_t bytes = piece_bytes(p + at, n - at);

		if (bytes == 0)
			return 0;
		ret[i] = (struct piece){ p + at, (uint32_t)bytes };
		at += bytes;
	}
	return at == n ? count + 1 : 0;
}

static void column_add(struct bundler *b, struct column *c, const struct piece *piece)
{
	struct piece *wide = grown(c->list, &c->space, c->count + 1, sizeof(*wide));

	if (wide == NULL) {
		b->error = -ENOMEM;
		return;
	}
	c->list = wide;
	c->list[c->count++] = *piece;
}

static void record_add(struct bundler *b, const uint8_t *p, uint32_t n)
{
	struct piece piece[BUNDLE_COLUMNS_MAX];
	size_t pieces = pieces_find(p, n, piece);

	put_number(b, &b->shape, pieces);
	if (pieces == 0) {
		put_number(b, &b->shape, n);
		put(b, &b->odd, p, n);
	}
	for (size_t i = 0; i < pieces && b->error == 0; i++)
		column_add(b, &b->column[i], &piece[i]);
}

static void part_add(struct bundler *b, const struct bundle_part *part, uint64_t before)
{
	struct event e = { .seq = part->seq, .type = EVENT_BATCH, .body = part->p, .bytes = part->n };
	struct batch *batch = &b->batch;
	const uint8_t *at = part->p;
	uint64_t step = part->seq - before;
	struct event_batch head;

	if (!event_batch_read(&e, &head) || batch_decode(head.batch, head.batch_bytes, batch) != 0)
		batch->count = 0;
	put_number(b, &b->shape, step << 1 ^ (0 - (step >> 63)));
	put_number(b, &b->shape, part->n);
	put_number(b, &b->shape, batch->count);
	for (uint32_t i = 0; i < batch->count && b->error == 0; i++) {
		put_number(b, &b->shape, (uint64_t)(batch->tap[i].p - at));
		put(b, &b->frame, at, (size_t)(batch->tap[i].p - at));
		record_add(b, batch->tap[i].p, batch->tap[i].n);
		at = batch->tap[i].p + batch->tap[i].n;
	}
	put(b, &b->frame, at, (size_t)(part->p + part->n - at));
}

/* ---- values laid out and compressed ------------------------------------------------------------------------------- */

/* The first byte of each value, then the second of each; by steps: what each differs by from the one before it. */
static void planes_lay(struct bundler *b, const struct buffer *values, size_t width, bool steps)
{
	size_t count = values->n / width;
	uint8_t *to;

	b->laid.n = 0;
	if (!room(b, &b->laid, values->n))
		return;
	to = b->laid.p;
	for (size_t plane = 0; plane < width; plane++) {
		uint8_t before = 0;

		for (size_t i = 0; i < count; i++) {
			uint8_t v = values->p[i * width + plane];

			*to++ = steps ? (uint8_t)(v - before) : v;
			before = v;
		}
	}
	b->laid.n = values->n;
}

static void trial(struct bundler *b, const struct buffer *from, enum bundle_method method, enum bundle_method *best)
{
	struct buffer swap;
	size_t n;

	b->trial.n = 0;
	if (!room(b, &b->trial, ZSTD_compressBound(from->n)))
		return;
	n = ZSTD_compress2(b->zstd, b->trial.p, b->trial.space, from->p, from->n);
	if (ZSTD_isError(n)) {
		b->error = CLEARING_E_STORE;
		return;
	}
	b->trial.n = n;
	if (b->trial.n >= b->best.n)
		return;
	swap = b->best;
	b->best = b->trial;
	b->trial = swap;
	*best = method;
}

static bool all_same(const struct buffer *values, size_t width)
{
	return values->n >= width && memcmp(values->p, values->p + width, values->n - width) == 0;
}

/* Method, length and bytes; how many come out is known to who reads. */
static void values_put(struct bundler *b, const struct buffer *values, size_t width)
{
	enum bundle_method method = BUNDLE_STORED;

	if (values->n == 0)
		return;
	if (all_same(values, width)) {
		put_byte(b, &b->out, BUNDLE_SAME);
		put(b, &b->out, values->p, width);
		return;
	}
	b->best.n = 0;
	put(b, &b->best, values->p, values->n);
	trial(b, values, BUNDLE_ROWS, &method);
	for (unsigned steps = 0; b->error == 0 && values->n > width && steps < 2; steps++) {
		planes_lay(b, values, width, steps);
		trial(b, &b->laid, steps ? BUNDLE_STEPS : BUNDLE_PLANES, &method);
	}
	put_byte(b, &b->out, method);
	if (method != BUNDLE_STORED)
		put_number(b, &b->out, b->best.n);
	put(b, &b->out, b->best.p, b->best.n);
}

/* ---- columns ---------------------------------------------------------------------------------------------------------- */

/* Lengths that occur, in the order they first do; more than BUNDLE_LENGTHS_MAX: too many. */
static size_t lengths_find(const struct column *c, uint32_t length[BUNDLE_LENGTHS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < c->count; i++) {
		size_t k = 0;

		while (k < count && length[k] != c->list[i].n)
			k++;
		if (k < count)
			continue;
		if (count == BUNDLE_LENGTHS_MAX)
			return count + 1;
		length[count++] = c->list[i].n;
	}
	return count;
}

static void pieces_put(struct bundler *b, const struct column *c, const uint32_t *only)
{
	b->values.n = 0;
	for (size_t i = 0; i < c->count; i++)
		if (only == NULL || c->list[i].n == *only)
			put(b, &b->values, c->list[i].p, c->list[i].n);
	if (b->error == 0)
		values_put(b, &b->values, only != NULL ? *only : 1);
}

/* Pieces of a length are a table; which piece has which length is a list of its own when there are several. */
static void column_put(struct bundler *b, const struct column *c)
{
	uint32_t length[BUNDLE_LENGTHS_MAX];
	size_t lengths = lengths_find(c, length);

	put_byte(b, &b->out, (unsigned)lengths);
	b->values.n = 0;
	for (size_t i = 0; lengths > 1 && i < c->count; i++) {
		uint32_t k = 0;

		while (lengths <= BUNDLE_LENGTHS_MAX && length[k] != c->list[i].n)
			k++;
		if (lengths > BUNDLE_LENGTHS_MAX)
			put_byte(b, &b->values, c->list[i].n >> 8);
		put_byte(b, &b->values, lengths > BUNDLE_LENGTHS_MAX ? c->list[i].n : k);
	}
	for (size_t k = 0; lengths <= BUNDLE_LENGTHS_MAX && k < lengths; k++)
		put_number(b, &b->out, length[k]);
	if (lengths > 1 && b->error == 0)
		values_put(b, &b->values, lengths > BUNDLE_LENGTHS_MAX ? 2 : 1);
	if (lengths > BUNDLE_LENGTHS_MAX)
		pieces_put(b, c, NULL);
	for (size_t k = 0; lengths <= BUNDLE_LENGTHS_MAX && k < lengths && b->error == 0; k++)
		pieces_put(b, c, &length[k]);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

static void stream_put(struct bundler *b, const struct buffer *values)
{
	put_number(b, &b->out, values->n);
	if (b->error == 0)
		values_put(b, values, 1);
}

int bundle_pack(struct bundler *b, const struct bundle_part *part, size_t parts, const void **ret, size_t *ret_bytes)
{
	uint8_t head[BUNDLE_HEAD_BYTES] = { BUNDLE_VERSION };
	size_t bytes = 0;

	assert(parts > 0 && parts <= BUNDLE_PARTS_MAX);
	b->error = 0;
	b->shape.n = b->frame.n = b->odd.n = b->out.n = 0;
	for (size_t i = 0; i < BUNDLE_COLUMNS_MAX; i++)
		b->column[i].count = 0;
	for (size_t i = 0; i < parts && b->error == 0; i++) {
		part_add(b, &part[i], i > 0 ? part[i - 1].seq : 0);
		bytes += part[i].n;
	}
	assert(bytes <= BUNDLE_BYTES_MAX);
	be16_put(head + 1, (uint16_t)parts);
	be32_put(head + 3, (uint32_t)bytes);
	bundle_digest(part, parts, head + 7);
	put(b, &b->out, head, sizeof(head));
	stream_put(b, &b->shape);
	stream_put(b, &b->frame);
	stream_put(b, &b->odd);
	for (size_t i = 0; i < BUNDLE_COLUMNS_MAX && b->error == 0 && b->column[i].count > 0; i++)
		column_put(b, &b->column[i]);
	if (b->error == 0)
		bundle_seal(b->out.p, b->out.n, b->out.p + BUNDLE_HEAD_BYTES - DIGEST_BYTES);
	*ret = b->out.p;
	*ret_bytes = b->out.n;
	return b->error;
}
