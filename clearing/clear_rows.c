/*
 * clear_rows - the rows of a day in canonical order. Blocks of them are made by several threads, with what the day's digest has of
 * each; what has to go in order, the digests and the sums, is done as they are taken one after the other.
 */
#include "clearing/clear.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct buffer { char *p; size_t n, space; };
struct block_piece {
	uint8_t key[CLEARED_KEY_BYTES];		/* of the first row */
	struct buffer block;
	uint8_t seal[ROWS_PER_BLOCK * ROW_SEAL_BYTES];
	size_t rows;
	struct { struct row_result *result; bool decides; uint8_t key[TAP_KEY_BYTES]; } row[ROWS_PER_BLOCK];
};
struct block_tool { struct block_writer *writer; struct row_packer *packer; struct said_list said; };
struct taking { struct job *job; struct decided_list decided; struct row_result **seen; size_t seens; };

static int buffer_room(struct buffer *b, size_t n)
{
	char *wide = grown(b->p, &b->space, b->n + n, 1);

	if (wide == NULL)
		return -ENOMEM;
	b->p = wide;
	return 0;
}

/* ---- made --------------------------------------------------------------------------------------------------------- */

static int tool_new(const struct job *own, void *arg, void **ret)
{
	bool before = own->day.state >= DAY_CLEARED && own->day.seal == DAY_SEAL_TEXT;
	struct block_tool *t = calloc(1, sizeof(*t));
	int code = t == NULL ? -ENOMEM : block_writer_new(before ? BLOCK_VERSION_4 : BLOCK_VERSION, &t->writer);

	(void)arg;
	*ret = t;
	return code == 0 ? row_packer_new(&t->packer) : code;
}

static void tool_free(void *tool)
{
	struct block_tool *t = tool;

	if (t == NULL)
		return;
	said_free(&t->said);
	block_writer_free(t->writer);
	row_packer_free(t->packer);
	free(t);
}

static void piece_done(void *piece)
{
	struct block_piece *p = piece;

	free(p->block.p);
}

/* The first of its key, and no copy of what an earlier day decided; of one released, that day did. */
static bool decides(const struct work *w)
{
	return w->nth == 0 && w->keyed && !w->released && w->check != KEY_CHECK_GREY && w->verdict != VERDICT_DUPLICATE;
}

static int seal_make(struct block_tool *t, const struct row_new *row, enum cleared_class class, const struct work *w, uint8_t ret[ROW_SEAL_BYTES])
{
	const struct said_text *said;
	uint8_t room[THIN_RECORD_ROOM];
	int code = said_text_of(&t->said, row->result->place, &row->result->row, &said);

	if (code == 0)
		row_seal(class, w->key, w->nth, said, work_raw(w, room), row->raw_bytes, ret);
	return code;
}

static int row_make(struct job *own, struct block_tool *t, const struct work *w, struct block_piece *p)
{
	struct row_new row = { .person = w->person, .seq = w->from->seq, .raw_seq = w->from->raw_seq,
			       .device = w->from->device, .raw_at = work_lie(w)->raw_at, .raw_bytes = work_lie(w)->raw_bytes, .decides = decides(w) };
	enum cleared_class class = w->verdict == VERDICT_MALFORMED ? CLEARED_OTHER : CLEARED_RIDE;
	int ret;

	assert(w->result != NULL && w->result->same != NULL);	/* rated, or said by others_say() */
	row.result = w->result->same;
	row_new_key(&row, own->day.day, class, w->key, w->nth);
	if (p->rows == 0)
		memcpy(p->key, row.key, sizeof(p->key));
	p->row[p->rows].result = w->result->same;
	p->row[p->rows].decides = row.decides;
	memcpy(p->row[p->rows++].key, w->key, TAP_KEY_BYTES);
	ret = block_add(t->writer, &row);
	return ret == 0 && own->sink->seal != NULL ? seal_make(t, &row, class, w, p->seal + (p->rows - 1) * ROW_SEAL_BYTES) : ret;
}

static int block_pack(struct block_tool *t, struct buffer *block)
{
	const void *packed;
	size_t n;
	int ret = row_pack(t->packer, block->p, block->n, &packed, &n);

	block->n = 0;
	if (ret == 0)
		ret = buffer_room(block, n);
	if (ret == 0)
		memcpy(block->p, packed, block->n = n);
	return ret;
}

static int block_make(struct job *own, void *arg, void *tool, size_t nth, void *piece)
{
	size_t from = nth * ROWS_PER_BLOCK, end = from + ROWS_PER_BLOCK < own->count ? from + ROWS_PER_BLOCK : own->count;
	struct block_piece *p = piece;
	struct block_tool *t = tool;
	int ret = 0;

	(void)arg;
	p->rows = p->block.n = 0;
	works_touch_raw(own->order + from, end - from);
	for (size_t i = from; ret == 0 && i < end; i++)
		ret = row_make(own, t, own->order[i], p);
	if (ret == 0)
		ret = buffer_room(&p->block, block_bytes(t->writer));
	if (ret != 0)
		return ret;
	p->block.n = block_bytes(t->writer);
	block_end(t->writer, (uint8_t *)p->block.p);
	return own->sink->packed ? block_pack(t, &p->block) : 0;
}

/* ---- taken -------------------------------------------------------------------------------------------------------- */

/* A result that is seen first gets its place in the sums: their order is that of the rows, whichever thread rated them. */
static int result_see(struct taking *t, struct row_result *r)
{
	const struct summed_with with = result_summed(r);

	t->seen[t->seens++] = r;
	return fold_cells(t->job->fold, &r->row, &with, &r->cells);
}

static int block_take(void *arg, void *piece)
{
	struct taking *t = arg;
	struct block_piece *p = piece;
	struct sink *sink = t->job->sink;
	int ret = sink->put(sink, DB_CLEARED, p->key, sizeof(p->key), p->block.p, p->block.n);

	if (ret == 0 && sink->seal != NULL)
		sink->seal(sink, p->seal, p->rows * ROW_SEAL_BYTES);
	for (size_t i = 0; ret == 0 && i < p->rows; i++) {
		struct row_result *r = p->row[i].result;

		if (r->taps++ == 0)
			ret = result_see(t, r);
		if (ret == 0)
			fold_key(&r->cells, r->row.priced.posting_count, p->row[i].key);
		if (ret == 0 && p->row[i].decides)
			ret = decided_add(&t->decided, p->row[i].key);
	}
	return ret == 0 ? rows_put(t->job, p->rows) : ret;
}

static void result_count(struct clear_stats *s, const struct row_result *r)
{
	const struct cleared *c = &r->row;
	int64_t taps = (int64_t)r->taps;

	s->taps += r->taps;
	s->verdict[c->verdict] += r->taps;
	if (!verdict_info((enum verdict)c->verdict)->money)
		return;
	s->charged_fen += c->priced.charged.fen * taps;
	s->published_fen += c->priced.published.fen * taps;
	s->absorbed_fen += c->priced.absorbed.fen * taps;
	for (uint8_t i = 0; i < c->fare.funder_count; i++)
		s->subsidy_fen += c->fare.funder[i].amount.fen * taps;
}

int rows_write(struct job *j)
{
	static const struct pieces blocks = { tool_new, tool_free, block_make, block_take, sizeof(struct block_piece), piece_done };
	struct taking t = { .job = j, .seen = malloc((results_count(j->results) + 1) * sizeof(struct row_result *)) };
	int ret = t.seen == NULL ? -ENOMEM : pieces_run(j, &blocks, &t, (j->count + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK);

	for (size_t i = 0; ret == 0 && i < t.seens; i++) {
		fold_count(&t.seen[i]->cells, &t.seen[i]->row, t.seen[i]->taps);
		result_count(&j->stats, t.seen[i]);
	}
	if (ret == 0)
		ret = decided_write(&t.decided, j->sink, j->day.day);
	free(t.decided.list);
	free(t.seen);
	return ret;
}
