#include "clearing/seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/pages.h"
#include "clearing/rows.h"
#include "clearing/table.h"

#define BLOCK_MARKS SEEN_RUN_MARKS
#define CHUNK_BLOCKS (CHUNK_BYTES / sizeof(struct block))
#define SINCE_MAX (UINT64_C(1) << 30)	/* ms: twelve days, of which the first mark is in the middle */

struct block { int64_t from_ms; struct seen_mark mark[BLOCK_MARKS]; };
struct place { uint8_t key[10], used; uint32_t block; };	/* terminal 6, serial / BLOCK_MARKS */
struct other { uint8_t key[TAP_KEY_BYTES], used; struct seen_mark mark; };	/* a serial used again at another time, or at one far from its neighbours' */
struct terminal { uint8_t key[6], used; bool decided; uint32_t serial_max; };	/* of decided taps */
struct seen {
	struct table place, other, terminal;
	struct block **chunk; size_t chunks, blocks;
	uint8_t last_key[10]; struct block *last;	/* of the tap before: mostly this one's too; NULL: none */
	struct terminal asked;		/* the terminal asked about last, as it is in the table; used 0: none */
	uint64_t decided_rows;		/* of the index when the terminals were looked up */
};

int seen_new(struct seen **ret_seen)
{
	struct seen *s = calloc(1, sizeof(*s));
	int ret = s == NULL ? -ENOMEM : table_open(&s->place, sizeof(((struct place *)0)->key), sizeof(struct place));

	if (ret == 0)
		ret = table_open(&s->other, TAP_KEY_BYTES, sizeof(struct other));
	if (ret == 0)
		ret = table_open(&s->terminal, sizeof(((struct terminal *)0)->key), sizeof(struct terminal));
	if (ret != 0)
		seen_free(s);
	else
		*ret_seen = s;
	return ret;
}

void seen_free(struct seen *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->chunks; i++)
		chunk_give(s->chunk[i]);
	free(s->chunk);
	table_close(&s->place);
	table_close(&s->other);
	table_close(&s->terminal);
	free(s);
}

static void terminals_forget(struct seen *s)
{
	table_clear(&s->terminal);
	s->asked.used = 0;
}

void seen_reset(struct seen *s)
{
	table_clear(&s->place);
	table_clear(&s->other);
	terminals_forget(s);
	s->blocks = 0;
	s->last = NULL;
}

size_t seen_bytes(const struct seen *s)
{
	return s->blocks * sizeof(struct block) + table_bytes(&s->place) + table_bytes(&s->other) + table_bytes(&s->terminal);
}

static int blocks_room(struct seen *s, size_t blocks)
{
	struct block **wide;

	while (s->blocks + blocks > s->chunks * CHUNK_BLOCKS) {
		wide = realloc(s->chunk, (s->chunks + 1) * sizeof(*wide));
		if (wide == NULL)
			return -ENOMEM;
		s->chunk = wide;
		s->chunk[s->chunks] = chunk_take();
		if (s->chunk[s->chunks] == NULL)
			return -ENOMEM;
		s->chunks++;
	}
	return 0;
}

int seen_room(struct seen *s, size_t marks)
{
	int ret = blocks_room(s, marks);

	if (ret == 0)
		ret = table_room(&s->place, marks);
	if (ret == 0)
		ret = table_room(&s->other, marks);
	return ret == 0 ? table_room(&s->terminal, marks) : ret;
}

static struct block *block_of(struct seen *s, const struct tap *tap)
{
	struct block *block;
	struct place *place;
	uint8_t key[10];
	bool new;

	memcpy(key, tap->terminal, 6);
	be32_put(key + 6, tap->terminal_serial / BLOCK_MARKS);
	if (s->last != NULL && memcmp(s->last_key, key, sizeof(key)) == 0)
		return s->last;
	place = table_at(&s->place, key, &new);
	if (new)
		place->block = (uint32_t)s->blocks++;
	block = &s->chunk[place->block / CHUNK_BLOCKS][place->block % CHUNK_BLOCKS];
	if (new) {
		memset(block, 0, sizeof(*block));
		block->from_ms = (int64_t)((uint64_t)tap->time_ms - SINCE_MAX / 2);
	}
	memcpy(s->last_key, key, sizeof(key));
	s->last = block;
	return block;
}

struct seen_mark *seen_at(struct seen *s, const struct tap *tap)
{
	struct block *block = block_of(s, tap);
	struct seen_mark *mark = &block->mark[tap->terminal_serial % BLOCK_MARKS];
	uint64_t since = (uint64_t)tap->time_ms - (uint64_t)block->from_ms;
	uint8_t key[TAP_KEY_BYTES];
	bool new;

	if (!mark->used && since < SINCE_MAX)
		mark->since = (uint32_t)since;
	if (mark->since == since)
		return mark;
	tap_key(tap, key);
	return &((struct other *)table_at(&s->other, key, &new))->mark;
}

/* What is known of a terminal holds as long as the index has as many rows: a clear adds some. */
static const struct terminal *terminal_of(struct seen *s, struct txn *t, const struct tap *tap)
{
	uint64_t rows = txn_rows(t, DB_TAPKEY);
	struct terminal *terminal;
	bool new;

	if (rows != s->decided_rows)
		terminals_forget(s);
	s->decided_rows = rows;
	if (s->asked.used && memcmp(s->asked.key, tap->terminal, sizeof(s->asked.key)) == 0)
		return &s->asked;
	terminal = table_at(&s->terminal, tap->terminal, &new);
	if (new)
		terminal->decided = terminal_decided(t, tap->terminal, &terminal->serial_max);
	s->asked = *terminal;
	return terminal;
}

bool seen_earlier(struct seen *s, struct txn *t, const struct tap *tap, int32_t day)
{
	const struct terminal *terminal = terminal_of(s, t, tap);
	uint8_t key[TAP_KEY_BYTES];
	int32_t decided;

	if (!terminal->decided || tap->terminal_serial > terminal->serial_max)
		return false;
	tap_key(tap, key);
	return key_decided(t, key, day, &decided);
}

/* ---- for an image --------------------------------------------------------------------------------------------- */

bool seen_walk(const struct seen *s, bool others, struct table_walk *w, struct seen_run *ret)
{
	const struct place *place = others ? NULL : table_walk(&s->place, w);
	const struct other *other = others ? table_walk(&s->other, w) : NULL;

	if (place != NULL) {
		const struct block *block = &s->chunk[place->block / CHUNK_BLOCKS][place->block % CHUNK_BLOCKS];

		*ret = (struct seen_run){ .serial = be32_get(place->key + 6) * BLOCK_MARKS, .count = BLOCK_MARKS, .from_ms = block->from_ms, .mark = block->mark };
		memcpy(ret->terminal, place->key, 6);
	}
	if (other != NULL) {
		*ret = (struct seen_run){ .serial = be32_get(other->key + 6), .count = 1, .from_ms = (int64_t)be64_get(other->key + 10),
					  .mark = &other->mark };
		memcpy(ret->terminal, other->key, 6);
	}
	return place != NULL || other != NULL;
}

void seen_sizes(const struct seen *s, uint64_t *ret_runs, uint64_t *ret_others)
{
	*ret_runs = s->place.count;
	*ret_others = s->other.count;
}

int seen_room_of(struct seen *s, uint64_t runs, uint64_t others)
{
	int ret = table_room(&s->place, (size_t)runs);

	return ret == 0 ? table_room(&s->other, (size_t)others) : ret;
}
