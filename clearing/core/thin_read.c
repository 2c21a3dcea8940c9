/* thin_read - a thin batch back as it was. */
#include "clearing/core/thin.h"

#include "clearing/core/thin_form.h"

/* ---- one record ------------------------------------------------------------------------------------------------------ */

static size_t row_read(const uint8_t *p, const struct group *g, const uint8_t *own, uint8_t *out)
{
	const uint8_t *same = p + g->same;

	for (const uint8_t *run = p + g->runs, *end = same; run < end; run += 2) {
		memcpy(out, same, 16);
		out += run[0];
		same += run[0];
		memcpy(out, own, 16);
		out += run[1];
		own += run[1];
	}
	return g->length;
}

/* A record of the first group, edited. */
static size_t odd_read(const uint8_t *p, const uint8_t *odd, uint8_t *out)
{
	const struct group first = group_read(p, 0);
	size_t n = be16_get(odd + 2), done = 0, from = 0;
	uint8_t like[THIN_RECORD_ROOM];

	row_read(p, &first, odd + ODD_HEAD_BYTES, like);
	for (const uint8_t *edit = odd + ODD_HEAD_BYTES + first.stride - first.lead; done < n; edit += EDIT_BYTES + edit[1]) {
		if (edit[0] > 0)
			copy_wide(out + done, like + from, edit[0]);
		copy_wide(out + done + edit[0], edit + EDIT_BYTES, edit[1]);
		done += (size_t)edit[0] + edit[1];
		from += (size_t)edit[0] + edit[2];
	}
	return n;
}

size_t thin_record(const void *bytes, uint16_t at, uint8_t out[THIN_RECORD_ROOM])
{
	const uint8_t *p = bytes;

	for (unsigned k = 0; k < p[1]; k++) {
		const struct group g = group_read(p, k);

		if (at >= g.rows && at < g.rows + g.count * g.stride)
			return row_read(p, &g, p + at + g.lead, out);
	}
	return odd_read(p, p + at, out);
}

/* ---- records in turn ------------------------------------------------------------------------------------------------- */

/* Of a row's bytes those behind from are the record's from at on. */
static void own_add(struct thin_row_group *g, uint16_t at, uint16_t from, uint8_t bytes)
{
	for (uint8_t done = 0; done < bytes; done += 8) {
		uint8_t octets[8] = { 0 };
		uint64_t mask;

		if (g->pieces <= THIN_PIECES_MAX)
			g->pieces++;
		if (g->pieces > THIN_PIECES_MAX)
			return;
		memset(octets, 0xFF, bytes - done < 8 ? bytes - done : 8);
		memcpy(&mask, octets, sizeof(mask));
		g->piece[g->pieces - 1] = (struct thin_piece){ mask, (uint16_t)(at + done), (uint16_t)(from + done) };
	}
}

static void group_start(const uint8_t *p, const struct group *g, struct thin_row_group *ret)
{
	uint16_t at = 0, from = g->lead;

	ret->from = g->rows;
	ret->to = (uint16_t)(g->rows + g->count * g->stride);
	ret->pieces = 0;
	for (const uint8_t *run = p + g->runs; run < p + g->same; run += 2) {
		at += run[0];
		own_add(ret, at, from, run[1]);
		at += run[1];
		from += run[1];
	}
	row_read(p, g, p + g->rows + g->lead, ret->room);
}

void thin_rows_start(const struct thin *t, struct thin_rows *ret)
{
	ret->p = t->p;
	ret->groups = t->p[1];
	for (unsigned k = 0; k < ret->groups; k++) {
		const struct group g = group_read(t->p, k);

		group_start(t->p, &g, &ret->group[k]);
	}
}

/* Bytes beside a piece's own are written as they were. */
static inline void piece_put(const struct thin_piece *piece, const uint8_t *row, uint8_t *room)
{
	uint64_t own, there;

	memcpy(&own, row + piece->from, sizeof(own));
	memcpy(&there, room + piece->to, sizeof(there));
	there ^= (there ^ own) & piece->mask;
	memcpy(room + piece->to, &there, sizeof(there));
}

static void row_put(struct thin_row_group *g, const uint8_t *row)
{
	for (const struct thin_piece *piece = g->piece, *end = piece + g->pieces; piece < end; piece++)
		piece_put(piece, row, g->room);
}

const uint8_t *thin_rows_read(struct thin_rows *r, uint16_t at)
{
	const uint8_t *row = r->p + at;

	for (unsigned k = 0; k < r->groups; k++) {
		struct thin_row_group *g = &r->group[k];

		if (at < g->from || at >= g->to)
			continue;
		if (g->pieces <= THIN_PIECES_MAX)
			row_put(g, row);
		else
			thin_record(r->p, at, g->room);
		return g->room;
	}
	odd_read(r->p, row, r->odd);
	return r->odd;
}

/* ---- a form checked ----------------------------------------------------------------------------------------------------- */

struct checking { struct thin *t; uint16_t odd, rest; bool taken[BATCH_TAPS_MAX]; };

/* Runs, what is alike and rows lie one behind the other, and fit together. */
static bool group_sound(const struct checking *c, const struct group *g, unsigned k, uint16_t from)
{
	const uint8_t *p = c->t->p;
	size_t same = 0, own = 0, lead = g->lead - (k > 0 ? 2u : 0u);

	if (g->runs != from || g->same <= g->runs || (g->same - g->runs) % 2 != 0 || g->same > c->odd || g->count == 0 ||
	    g->length > TAP_ENCODED_BYTES_MAX || (lead != 0 && lead != 2))
		return false;
	for (uint32_t i = g->runs; i < g->same; i += 2) {
		if (p[i] > RUN_MAX || p[i + 1] > RUN_MAX)
			return false;
		same += p[i];
		own += p[i + 1];
	}
	return same + own == g->length && g->rows == g->same + same && g->stride > 0 && g->stride == g->lead + own &&
	       g->rows + (size_t)g->count * g->stride <= c->odd;
}

static bool place_take(struct checking *c, size_t place, uint16_t at, uint16_t bytes, const uint8_t marks[2])
{
	if (place >= c->t->count || c->taken[place])
		return false;
	c->taken[place] = true;
	c->t->record[place] = (struct thin_place){ .at = at, .bytes = bytes, .marks = { marks[0], marks[1] } };
	return true;
}

/* Rows of the first group take the places that are left. */
static bool rows_take(struct checking *c, const struct group *g, unsigned k)
{
	const uint8_t *p = c->t->p;
	size_t place = 0;

	for (uint16_t i = 0; i < g->count; i++) {
		uint16_t at = (uint16_t)(g->rows + i * g->stride);
		const uint8_t *marks = g->lead - (k > 0 ? 2 : 0) > 0 ? p + at + g->lead - 2 : g->marks;

		if (k > 0)
			place = be16_get(p + at);
		else
			while (place < c->t->count && c->taken[place])
				place++;
		if (!place_take(c, place, at, g->length, marks))
			return false;
	}
	return true;
}

/* One odd record from at on; where the next begins, 0: it is none. */
static uint32_t odd_take(struct checking *c, const struct group *first, uint32_t at)
{
	const uint8_t *p = c->t->p;
	uint32_t i = at + ODD_HEAD_BYTES + first->stride - first->lead, done = 0, from = 0, bytes;

	if (i > c->rest)
		return 0;
	bytes = be16_get(p + at + 2);
	if (bytes > TAP_ENCODED_BYTES_MAX || !place_take(c, be16_get(p + at), (uint16_t)at, (uint16_t)bytes, p + at + 4))
		return 0;
	while (done < bytes) {
		if (i + EDIT_BYTES > c->rest)
			return 0;
		done += (uint32_t)p[i] + p[i + 1];
		from += p[i];
		if (done > bytes || (p[i] > 0 && from > first->length) || i + EDIT_BYTES + p[i + 1] > c->rest)
			return 0;
		from += p[i + 2];
		i += EDIT_BYTES + p[i + 1];
	}
	return i;
}

static bool places_sound(struct checking *c, unsigned groups)
{
	struct group g[GROUPS_MAX];
	uint32_t at = FORM_HEAD_BYTES + groups * GROUP_BYTES;

	for (unsigned k = 0; k < groups; k++) {
		g[k] = group_read(c->t->p, k);
		if (!group_sound(c, &g[k], k, (uint16_t)at) || (k > 0 && !rows_take(c, &g[k], k)))
			return false;
		at = g[k].rows + (uint32_t)g[k].count * g[k].stride;
	}
	if (at != c->odd)
		return false;
	while (at != 0 && at < c->rest)
		at = odd_take(c, &g[0], at);
	return at == c->rest && rows_take(c, &g[0], 0) && memchr(c->taken, false, c->t->count) == NULL;
}

/* What went in had so many bytes as the form says. */
static bool bytes_sound(struct thin *t, size_t rest)
{
	size_t at = t->head_bytes + 2u * t->count + t->prefix_bytes;

	if ((size_t)t->head_bytes + t->prefix_bytes > rest)
		return false;
	for (uint16_t i = 0; i < t->count; i++) {
		at += thin_length_bytes(t->record[i].bytes);
		t->record[i].body_at = (uint32_t)at;
		at += t->record[i].bytes;
	}
	return at + (rest - t->head_bytes - t->prefix_bytes) == t->body_bytes;
}

bool thin_open(const void *bytes, size_t n, struct thin *ret)
{
	const uint8_t *p = bytes;
	struct checking c = { .t = ret };

	if (n < FORM_HEAD_BYTES || n > THIN_BYTES_MAX || p[0] != THIN_VERSION || p[1] == 0 || p[1] > GROUPS_MAX ||
	    FORM_HEAD_BYTES + p[1] * (size_t)GROUP_BYTES > n)
		return false;
	ret->p = p;
	ret->n = (uint16_t)n;
	ret->count = be16_get(p + 2);
	ret->body_bytes = be32_get(p + 4);
	c.odd = be16_get(p + 8);
	c.rest = be16_get(p + 10);
	ret->prefix_bytes = be16_get(p + 12);
	ret->head_bytes = p[14];
	ret->head = p + c.rest;
	return ret->count <= BATCH_TAPS_MAX && ret->head_bytes >= THIN_HEAD_BYTES_MIN && c.odd <= c.rest && c.rest <= n && places_sound(&c, p[1]) &&
	       bytes_sound(ret, n - c.rest);
}

const uint8_t *thin_head(const void *bytes, size_t n, size_t head_bytes)
{
	const uint8_t *p = bytes;

	if (n < FORM_HEAD_BYTES || p[0] != THIN_VERSION || p[14] != head_bytes || be16_get(p + 10) + head_bytes > n)
		return NULL;
	return p + be16_get(p + 10);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------- */

void thin_body(const struct thin *t, uint8_t *out)
{
	const uint8_t *prefix = t->head + t->head_bytes, *suffix = prefix + t->prefix_bytes;

	memcpy(out, t->head, t->head_bytes);
	out += t->head_bytes;
	for (uint16_t i = 0; i < t->count; i++, out += 2)
		memcpy(out, t->record[i].marks, 2);
	memcpy(out, prefix, t->prefix_bytes);
	out += t->prefix_bytes;
	for (uint16_t i = 0; i < t->count; i++) {
		uint16_t n = t->record[i].bytes;

		if (n < 256) {
			*out++ = 0xC4;
		} else {
			*out++ = 0xC5;
			*out++ = (uint8_t)(n >> 8);
		}
		*out++ = (uint8_t)n;
		thin_record(t->p, t->record[i].at, out);
		out += n;
	}
	memcpy(out, suffix, (size_t)(t->p + t->n - suffix));
}
