/*
 * bundle_read - a bundle unpacked. Nothing it says is believed before it is compared with what is there: it may be of a
 * disk that lies. All that comes out is at most BUNDLE_BYTES_MAX, and its digest is that of what went in.
 */
#include "clearing/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#define SHORT_BYTES 16		/* most pieces: copied at once, whatever they have */

struct in { const uint8_t *p, *end; bool bad; };
struct table { const uint8_t *p; uint32_t width; size_t left; };		/* values of one length, those not taken yet */
struct column { struct table table[BUNDLE_LENGTHS_MAX]; const uint8_t *lengths; size_t count, taken; unsigned kinds; };
struct unbundler {
	ZSTD_DCtx *zstd;
	uint8_t *arena;			/* what streams gave */
	uint8_t *laid;			/* what zstd gave, before it is laid out as it was */
	size_t space;			/* of each */
};
struct reading {
	struct in in;
	size_t bytes;			/* of all parts */
	size_t used;			/* of the arena */
	struct unbundler *u;
	struct in shape, frame, odd;
	struct column column[BUNDLE_COLUMNS_MAX];
};

static uint64_t number(struct in *in)
{
	uint64_t v = 0;

	for (unsigned shift = 0; in->p < in->end && shift < 64; shift += 7) {
		uint8_t b = *in->p++;

		v |= (uint64_t)(b & 0x7F) << shift;
		if ((b & 0x80) == 0)
			return v;
	}
	in->bad = true;
	return 0;
}

/* n bytes, or NULL and in is bad. */
static const uint8_t *take(struct in *in, size_t n)
{
	const uint8_t *p = in->p;

	if (in->bad || (size_t)(in->end - in->p) < n) {
		in->bad = true;
		return NULL;
	}
	in->p += n;
	return p;
}

/* ---- values ------------------------------------------------------------------------------------------------------------- */

static uint8_t *arena_take(struct reading *r, size_t n)
{
	uint8_t *p = r->u->arena + r->used;

	if (n > r->u->space - r->used) {
		r->in.bad = true;
		return NULL;
	}
	r->used += n;
	return p;
}

/* Back from planes. */
static void values_lay(const uint8_t *from, uint8_t *to, size_t n, size_t width, bool steps)
{
	size_t count = n / width;

	for (size_t plane = 0; plane < width; plane++) {
		uint8_t before = 0;

		for (size_t i = 0; i < count; i++) {
			uint8_t v = *from++;

			before = steps ? (uint8_t)(before + v) : v;
			to[i * width + plane] = before;
		}
	}
}

static bool expand(struct reading *r, uint8_t *to, size_t n)
{
	uint64_t packed = number(&r->in);
	const uint8_t *from = packed <= (size_t)(r->in.end - r->in.p) ? take(&r->in, (size_t)packed) : NULL;

	return from != NULL && ZSTD_decompressDCtx(r->u->zstd, to, n, from, (size_t)packed) == n;
}

/* n bytes of values of a width; NULL: r is bad. */
static const uint8_t *values_read(struct reading *r, size_t n, size_t width)
{
	uint8_t *to = arena_take(r, n);
	const uint8_t *p;

	if (n == 0 || to == NULL)
		return to;
	p = take(&r->in, 1);
	if (p == NULL || width == 0 || n % width != 0 || *p >= BUNDLE_METHODS) {
		r->in.bad = true;
		return NULL;
	}
	switch ((enum bundle_method)*p) {
	case BUNDLE_STORED:
		p = take(&r->in, n);
		if (p != NULL)
			memcpy(to, p, n);
		break;
	case BUNDLE_SAME:
		p = take(&r->in, width);
		for (size_t i = 0; p != NULL && i < n; i += width)
			memcpy(to + i, p, width);
		break;
	case BUNDLE_ROWS:
		r->in.bad = r->in.bad || !expand(r, to, n);
		break;
	case BUNDLE_PLANES:
	case BUNDLE_STEPS:
		r->in.bad = r->in.bad || !expand(r, r->u->laid, n);
		if (!r->in.bad)
			values_lay(r->u->laid, to, n, width, *p == BUNDLE_STEPS);
		break;
	case BUNDLE_METHODS:
		break;
	}
	return r->in.bad ? NULL : to;
}

/* ---- columns ------------------------------------------------------------------------------------------------------------ */

static void wide_read(struct reading *r, struct column *c)
{
	size_t sum = 0;

	c->lengths = values_read(r, c->count * 2, 2);
	for (size_t i = 0; c->lengths != NULL && i < c->count; i++)
		sum += be16_get(c->lengths + 2 * i);
	c->table[0] = (struct table){ c->lengths != NULL && sum <= r->bytes ? values_read(r, sum, 1) : NULL, 0, sum };
	r->in.bad = r->in.bad || c->table[0].p == NULL;
}

static void tables_read(struct reading *r, struct column *c)
{
	for (unsigned k = 0; k < c->kinds; k++) {
		uint64_t width = number(&r->in);

		r->in.bad = r->in.bad || width == 0 || width > UINT16_MAX;
		c->table[k].width = (uint32_t)width;
	}
	if (c->kinds > 1)
		c->lengths = values_read(r, c->count, 1);
	for (size_t i = 0; !r->in.bad && i < c->count; i++) {
		unsigned k = c->kinds > 1 ? c->lengths[i] : 0;

		r->in.bad = k >= c->kinds;
		if (!r->in.bad)
			c->table[k].left += c->table[k].width;
	}
	for (unsigned k = 0; !r->in.bad && k < c->kinds; k++)
		c->table[k].p = values_read(r, c->table[k].left, c->table[k].width);
}

static void column_read(struct reading *r, struct column *c)
{
	const uint8_t *p = take(&r->in, 1);

	if (p == NULL || *p == 0 || *p > BUNDLE_LENGTHS_MAX + 1) {
		r->in.bad = true;
		return;
	}
	c->kinds = *p;
	if (c->kinds > BUNDLE_LENGTHS_MAX)
		wide_read(r, c);
	else
		tables_read(r, c);
}

/* The next piece of a column into to, which has room for left bytes; its length. */
static size_t piece_copy(struct reading *r, struct column *c, uint8_t *to, size_t left)
{
	bool wide = c->kinds > BUNDLE_LENGTHS_MAX;
	struct table *t = &c->table[!wide && c->kinds > 1 ? c->lengths[c->taken] : 0];
	size_t n = wide ? be16_get(c->lengths + 2 * c->taken) : t->width;

	c->taken++;
	if (n > left || n > t->left) {
		r->in.bad = true;
		return 0;
	}
	if (n <= SHORT_BYTES && left >= SHORT_BYTES && t->left >= SHORT_BYTES)
		memcpy(to, t->p, SHORT_BYTES);	/* what is too much is written over by the next */
	else
		memcpy(to, t->p, n);
	t->p += n;
	t->left -= n;
	return n;
}

/* ---- the shape ------------------------------------------------------------------------------------------------------------ */

/* How many pieces each column has. The shape is walked twice: here, and when the records are put together. */
static void shape_count(struct reading *r, size_t parts)
{
	struct in in = r->shape;
	size_t records = 0;

	for (size_t i = 0; i < parts && !in.bad; i++) {
		uint64_t count;

		number(&in);
		number(&in);
		count = number(&in);
		records += count <= BATCH_TAPS_MAX ? count : r->bytes + 1;
		for (; records <= r->bytes && count > 0 && !in.bad; count--) {
			uint64_t pieces;

			number(&in);
			pieces = number(&in);
			if (pieces == 0)
				number(&in);
			in.bad = in.bad || pieces > BUNDLE_COLUMNS_MAX;
			for (size_t k = 0; !in.bad && k < pieces; k++)
				r->column[k].count++;
		}
		in.bad = in.bad || records > r->bytes;
	}
	r->in.bad = r->in.bad || in.bad || in.p != in.end;
}

static uint8_t *copy(struct reading *r, struct in *from, size_t n, uint8_t *to, const uint8_t *end)
{
	const uint8_t *p = n <= (size_t)(end - to) ? take(from, n) : NULL;

	if (p == NULL) {
		r->in.bad = true;
		return to;
	}
	memcpy(to, p, n);
	return to + n;
}

static uint8_t *record_write(struct reading *r, uint8_t *to, const uint8_t *end)
{
	uint64_t pieces = number(&r->shape);

	if (pieces == 0)
		return copy(r, &r->odd, (size_t)number(&r->shape), to, end);
	for (size_t k = 0; k < pieces && !r->in.bad; k++)
		to += piece_copy(r, &r->column[k], to, (size_t)(end - to));
	return to;
}

/* A part at to, of what is left of all. */
static void part_write(struct reading *r, uint64_t before, uint8_t *to, size_t left, struct bundle_part *ret)
{
	uint64_t step = number(&r->shape), n = number(&r->shape), records = number(&r->shape);
	const uint8_t *end = to + (n <= left ? n : 0);

	*ret = (struct bundle_part){ .seq = before + (step >> 1 ^ (0 - (step & 1))), .p = to, .n = (uint32_t)n };
	r->in.bad = r->in.bad || n > left;
	for (; records > 0 && !r->in.bad; records--) {
		to = copy(r, &r->frame, (size_t)number(&r->shape), to, end);
		if (!r->in.bad)
			to = record_write(r, to, end);
	}
	if (!r->in.bad)
		copy(r, &r->frame, (size_t)(end - to), to, end);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------- */

static struct in stream_read(struct reading *r, size_t most)
{
	uint64_t n = number(&r->in);
	const uint8_t *p;

	r->in.bad = r->in.bad || n > most;
	p = r->in.bad ? NULL : values_read(r, (size_t)n, 1);
	return p == NULL ? (struct in){ .bad = n > 0 } : (struct in){ .p = p, .end = p + n };
}

static void columns_read(struct reading *r)
{
	for (size_t i = 0; i < BUNDLE_COLUMNS_MAX && !r->in.bad && r->column[i].count > 0; i++)
		column_read(r, &r->column[i]);
	r->in.bad = r->in.bad || r->in.p != r->in.end;
}

static bool all_taken(const struct reading *r)
{
	bool all = r->shape.p == r->shape.end && r->frame.p == r->frame.end && r->odd.p == r->odd.end;

	for (size_t i = 0; i < BUNDLE_COLUMNS_MAX; i++)
		for (unsigned k = 0; k < BUNDLE_LENGTHS_MAX; k++)
			all = all && r->column[i].table[k].left == 0;
	return all;
}

static bool parts_write(struct reading *r, struct bundle *b)
{
	uint8_t *bytes = (uint8_t *)&b->part[b->parts];
	size_t at = 0;

	for (uint32_t i = 0; i < b->parts && !r->in.bad; i++) {
		part_write(r, i > 0 ? b->part[i - 1].seq : 0, bytes + at, r->bytes - at, &b->part[i]);
		at += r->in.bad ? 0 : b->part[i].n;
	}
	return !r->in.bad && at == r->bytes && all_taken(r);
}

/* What the streams of a bundle of so many bytes can take at most. */
static size_t shape_most(size_t bytes, size_t parts) { return bytes * 4 + parts * 16; }

static int reading_run(struct reading *r, const uint8_t digest[DIGEST_BYTES], struct bundle *b)
{
	uint8_t found[DIGEST_BYTES];

	r->shape = stream_read(r, shape_most(r->bytes, b->parts));
	r->frame = stream_read(r, r->bytes);
	r->odd = stream_read(r, r->bytes);
	if (!r->in.bad)
		shape_count(r, b->parts);
	columns_read(r);
	if (r->in.bad || !parts_write(r, b))
		return CLEARING_E_PACKED;
	bundle_digest(b->part, b->parts, found);
	return memcmp(found, digest, DIGEST_BYTES) == 0 ? 0 : CLEARING_E_PACKED;
}

int unbundler_new(struct unbundler **ret)
{
	struct unbundler *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return -ENOMEM;
	u->zstd = ZSTD_createDCtx();
	if (u->zstd == NULL) {
		free(u);
		return -ENOMEM;
	}
	*ret = u;
	return 0;
}

void unbundler_free(struct unbundler *u)
{
	if (u == NULL)
		return;
	ZSTD_freeDCtx(u->zstd);
	free(u->arena);
	free(u->laid);
	free(u);
}

static int unbundler_room(struct unbundler *u, size_t n)
{
	uint8_t *arena = u->space < n ? realloc(u->arena, n) : u->arena, *laid;

	if (arena == NULL)
		return -ENOMEM;
	u->arena = arena;
	laid = u->space < n ? realloc(u->laid, n) : u->laid;
	if (laid == NULL)
		return -ENOMEM;
	u->laid = laid;
	if (u->space < n)
		u->space = n;
	return 0;
}

int bundle_unpack(struct unbundler *u, const void *packed, size_t n, struct bundle **ret)
{
	const uint8_t *p = packed;
	struct reading r = { .in = { p, p + n, false }, .u = u };
	struct bundle *b;
	uint8_t seal[DIGEST_BYTES];
	size_t parts;
	int code;

	if (n < BUNDLE_HEAD_BYTES || p[0] != BUNDLE_VERSION || be32_get(p + 3) > BUNDLE_BYTES_MAX)
		return CLEARING_E_PACKED;
	bundle_seal(p, n, seal);
	if (memcmp(seal, p + BUNDLE_HEAD_BYTES - DIGEST_BYTES, DIGEST_BYTES) != 0)
		return CLEARING_E_PACKED;
	parts = be16_get(p + 1);
	r.bytes = be32_get(p + 3);
	r.in.p += BUNDLE_HEAD_BYTES;
	/* the shape; frame, odd and values are the bytes themselves; two bytes a length */
	code = unbundler_room(u, shape_most(r.bytes, parts) + 3 * r.bytes + 1);
	b = code == 0 ? malloc(sizeof(*b) + parts * sizeof(b->part[0]) + r.bytes) : NULL;
	if (b == NULL)
		return -ENOMEM;
	b->parts = (uint32_t)parts;
	code = reading_run(&r, p + 7, b);
	if (code == 0)
		*ret = b;
	else
		free(b);
	return code;
}
