/*
 * table - entries lie one after the other in the order they came, 64 in a run, and each has two bytes in the slots of its part, with
 * open addressing: so what a table has too many of, as any that grows, are slots of two bytes and not whole entries. Parts are found
 * by the first bits of the hash: the more parts, the more bits. A part that is full is cut in two by the next bit, which moves some
 * hundred entries within the processor's cache; nothing else moves. A table that doubled moved all it had at once, and a million
 * entries took a tenth of a second in which nobody had a receipt.
 *
 * The hash has a secret of each process, so that nobody who chooses keys can choose where they come to lie.
 */
#include "clearing/table.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "clearing/pages.h"

#define SLOTS 1024u		/* of a part */
#define RUN_ENTRIES 64u
#define RUNS_MAX 14u
#define LINE_BYTES 64u		/* parts and runs begin at a multiple, and are told by it */
#define CHUNK_LINES ((size_t)CHUNK_BYTES / LINE_BYTES)
#define BITS_MAX 30

/*
 * One cache line, then the slots. Of a part: entries; at how many it is cut; bits of the hash that all of them share; where its runs lie.
 * A slot: 0, or six bits of the hash, so that hardly any other key is looked at, and above 0 which entry.
 */
struct table_part { uint16_t count, full, bits, unused; uint32_t run[RUNS_MAX]; uint16_t slot[SLOTS]; };
#define FULL_MAX (RUNS_MAX * RUN_ENTRIES)
static_assert(offsetof(struct table_part, slot) == LINE_BYTES && sizeof(struct table_part) % LINE_BYTES == 0, "what is asked of a part is one line and a slot's");
static_assert(FULL_MAX == SLOTS / 8 * 7, "slots of a part are never all taken");
#define PART_LINES (sizeof(struct table_part) / LINE_BYTES)

static uint64_t secret;

static void secret_draw(void)
{
	if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
		secret = (uintptr_t)&secret;	/* where the system put us is a secret too */
}

/* ---- lines of chunks ------------------------------------------------------------------------------ */

static void *line_at(const struct table *t, uint32_t line) { return t->chunk[line / CHUNK_LINES] + line % CHUNK_LINES * LINE_BYTES; }

/* None lies in two chunks. Room was made. */
static uint32_t lines_take(struct table *t, size_t lines)
{
	uint32_t line;

	if (t->lines % CHUNK_LINES + lines > CHUNK_LINES)
		t->lines += CHUNK_LINES - t->lines % CHUNK_LINES;
	line = (uint32_t)t->lines;
	t->lines += lines;
	assert(t->lines <= t->chunks * CHUNK_LINES && t->lines <= UINT32_MAX);
	return line;
}

/* A run given back is all zero but for where the next of them lies, which is in its first key: whoever kept the address of an
 * entry finds it not used. Line 0 is no run's. */
static uint32_t run_take(struct table *t)
{
	uint32_t run = t->free;

	t->runs++;
	if (run == 0)
		return lines_take(t, t->run_lines);
	memcpy(&t->free, line_at(t, run), sizeof(t->free));
	memset(line_at(t, run), 0, sizeof(t->free));
	return run;
}

static void run_give(struct table *t, uint32_t run)
{
	memset(line_at(t, run), 0, t->run_lines * LINE_BYTES);
	memcpy(line_at(t, run), &t->free, sizeof(t->free));
	t->free = run;
	t->runs--;
}

static int chunk_add(struct table *t)
{
	uint8_t **wide = realloc(t->chunk, (t->chunks + 1) * sizeof(*wide));

	if (wide == NULL)
		return -ENOMEM;
	t->chunk = wide;
	wide[t->chunks] = t->chunks == 0 ? chunk_untouched() : chunk_take();	/* most tables stay small */
	if (wide[t->chunks] == NULL)
		return -ENOMEM;
	t->chunks++;
	return 0;
}

/* ---- parts --------------------------------------------------------------------------------------- */

/* Parts fill alike, and would all be cut within a few hundredths of a day's entries, which receipts notice as well. So each
 * is full at a number of its own between five and seven eighths of its slots: at most 2.3 slots an entry, when many were just cut. */
static void full_set(struct table_part *part, uint64_t hash)
{
	uint64_t first = part->bits > 0 ? hash >> (64 - part->bits) : 0;

	part->full = (uint16_t)(SLOTS / 8 * 5 + ((first << 6 | part->bits) * 0x9E3779B97F4A7C15u >> 32) % (SLOTS / 4));
}

/* It is touched here, not under the first receipt. */
static struct table_part *part_add(struct table *t)
{
	struct table_part *part = line_at(t, lines_take(t, PART_LINES));

	memset(part, 0, sizeof(*part));
	t->part[t->parts++] = part;
	return part;
}

static void part_first(struct table *t)
{
	t->parts = t->count = t->lines = t->runs = t->free = t->bits = 0;
	t->place[0] = part_add(t);
	full_set(t->place[0], 0);
}

static int list_room(struct table_part ***list, size_t *room, size_t parts)
{
	size_t n = *room != 0 ? *room : 1;
	struct table_part **wide;

	while (n < parts)
		n *= 2;
	if (n == *room)
		return 0;
	wide = realloc(*list, n * sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	*list = wide;
	*room = n;
	return 0;
}

int table_open(struct table *t, size_t key_bytes, size_t entry_bytes)
{
	static pthread_once_t drawn = PTHREAD_ONCE_INIT;

	assert(entry_bytes > key_bytes && key_bytes >= sizeof(t->free));
	pthread_once(&drawn, secret_draw);
	*t = (struct table){ .key_bytes = key_bytes, .entry_bytes = entry_bytes, .run_lines = (RUN_ENTRIES * entry_bytes + LINE_BYTES - 1) / LINE_BYTES };
	if (list_room(&t->place, &t->places, 4) != 0 || list_room(&t->part, &t->part_room, 4) != 0 || chunk_add(t) != 0) {
		table_close(t);
		return -ENOMEM;
	}
	part_first(t);
	return 0;
}

void table_close(struct table *t)
{
	for (size_t i = 0; i < t->chunks; i++)
		chunk_give(t->chunk[i]);
	free(t->chunk);
	free(t->place);
	free(t->part);
	*t = (struct table){ .place = NULL };
}

void table_clear(struct table *t)
{
	if (t->count == 0)
		return;
	while (t->chunks > 1)
		chunk_give(t->chunk[--t->chunks]);
	if (madvise(t->chunk[0], CHUNK_BYTES, MADV_DONTNEED) != 0)
		memset(t->chunk[0], 0, CHUNK_BYTES);
	part_first(t);
}

size_t table_bytes(const struct table *t) { return t->lines * LINE_BYTES + (((size_t)1 << t->bits) + t->parts) * sizeof(*t->place); }

/* ---- entries --------------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct table *t, const void *key) { return XXH3_64bits_withSeed(key, t->key_bytes, secret); }

static size_t place_of(const struct table *t, uint64_t hash) { return hash >> 1 >> (63 - t->bits); }

static uint8_t *entry_at(const struct table *t, const struct table_part *part, unsigned i)
{
	return (uint8_t *)line_at(t, part->run[i / RUN_ENTRIES]) + i % RUN_ENTRIES * t->entry_bytes;
}

static unsigned slot_bits(uint64_t hash) { return (unsigned)(hash >> 24) % (65536 / SLOTS) * SLOTS; }

static bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint64_t x, y;

	for (; n >= sizeof(x); n -= sizeof(x), a += sizeof(x), b += sizeof(x)) {
		memcpy(&x, a, sizeof(x));
		memcpy(&y, b, sizeof(y));
		if (x != y)
			return false;
	}
	while (n > 0 && *a == *b)
		n--, a++, b++;
	return n == 0;
}

/* The key's slot, or the free one where it goes; *ret_entry: NULL when it has none. */
static uint16_t *slot_of(const struct table *t, struct table_part *part, uint64_t hash, const void *key, uint8_t **ret_entry)
{
	const unsigned bits = slot_bits(hash);
	unsigned slot;

	for (size_t at = hash % SLOTS;; at = (at + 1) % SLOTS) {
		slot = part->slot[at];
		*ret_entry = NULL;
		if (slot == 0)
			return &part->slot[at];
		if ((slot ^ bits) >= SLOTS)
			continue;
		*ret_entry = entry_at(t, part, slot % SLOTS - 1);
		if (same(*ret_entry, key, t->key_bytes))
			return &part->slot[at];
	}
}

static void slot_put(struct table_part *part, uint64_t hash, unsigned entry)
{
	size_t at = hash % SLOTS;

	while (part->slot[at] != 0)
		at = (at + 1) % SLOTS;
	part->slot[at] = (uint16_t)(slot_bits(hash) + entry + 1);
}

/* Room for one more behind the last. */
static uint8_t *entry_add(struct table *t, struct table_part *part)
{
	unsigned i = part->count++;

	assert(i < FULL_MAX);
	if (i % RUN_ENTRIES == 0)
		part->run[i / RUN_ENTRIES] = run_take(t);
	return entry_at(t, part, i);
}

/* Every other place is a copy of the one before it. */
static void places_double(struct table *t)
{
	assert(t->bits < BITS_MAX && (size_t)2 << t->bits <= t->places);
	for (size_t i = (size_t)1 << t->bits; i-- > 0;)
		t->place[2 * i] = t->place[2 * i + 1] = t->place[i];
	t->bits++;
}

/* Places of the part's second half are another's from now on. */
static struct table_part *part_beside(struct table *t, struct table_part *part, uint64_t hash)
{
	struct table_part *other = part_add(t);
	unsigned bits = ++part->bits;
	size_t half, first;

	if (bits > t->bits)
		places_double(t);
	half = (size_t)1 << (t->bits - bits);
	first = place_of(t, hash) / (2 * half) * (2 * half) + half;
	for (size_t i = 0; i < half; i++)
		t->place[first + i] = other;
	other->bits = (uint16_t)bits;
	full_set(part, hash & ~(UINT64_C(1) << (64 - bits)));
	full_set(other, hash | UINT64_C(1) << (64 - bits));
	return other;
}

/* Behind the last entry all is zero. */
static void runs_give(struct table *t, struct table_part *part, unsigned count_before)
{
	unsigned runs = (part->count + RUN_ENTRIES - 1) / RUN_ENTRIES, end = runs * RUN_ENTRIES;

	for (unsigned i = runs; i * RUN_ENTRIES < count_before; i++)
		run_give(t, part->run[i]);
	if (end > count_before)
		end = count_before;
	if (end > part->count)
		memset(entry_at(t, part, part->count), 0, (end - part->count) * t->entry_bytes);
}

/* Entries whose next bit is set go to a part of their own, and those that stay move up. */
static void part_cut(struct table *t, struct table_part *part, uint64_t hash)
{
	struct table_part *other = part_beside(t, part, hash);
	unsigned count = part->count, bits = part->bits;

	part->count = 0;
	memset(part->slot, 0, sizeof(part->slot));
	for (unsigned i = 0; i < count; i++) {
		uint8_t *from = entry_at(t, part, i), *to;

		hash = hash_of(t, from);
		if ((hash >> (64 - bits) & 1) != 0) {
			slot_put(other, hash, other->count);
			to = entry_add(t, other);
		} else {
			slot_put(part, hash, part->count);
			to = entry_at(t, part, part->count++);
		}
		if (to != from)
			memcpy(to, from, t->entry_bytes);
	}
	runs_give(t, part, count);
}

/*
 * Each entry may find its part full, and a part that was cut takes an eighth of its slots more at least. An entry may begin a run,
 * and so may a cut; but no more runs are begun than all entries fill, and one for each part. While a part is cut it has its runs still.
 */
int table_room(struct table *t, size_t entries)
{
	size_t cuts = (entries < t->parts ? entries : t->parts) + entries / (SLOTS / 8) + 1;
	size_t runs = entries + cuts, most = (t->count + entries) / RUN_ENTRIES + t->parts + cuts - t->runs, lines;
	int ret = list_room(&t->part, &t->part_room, t->parts + cuts);

	lines = cuts * PART_LINES + ((runs < most ? runs : most) + RUNS_MAX) * t->run_lines;
	lines += (lines / CHUNK_LINES + 1) * (PART_LINES + t->run_lines);	/* what is left of a chunk */
	while (ret == 0 && t->lines + lines > t->chunks * CHUNK_LINES)
		ret = chunk_add(t);
	return ret == 0 ? list_room(&t->place, &t->places, 8 * (t->parts + cuts)) : ret;
}

void *table_find_by(const struct table *t, uint64_t hash, const void *key)
{
	uint8_t *entry;

	slot_of(t, t->place[place_of(t, hash)], hash, key, &entry);
	return entry;
}

void *table_at_by(struct table *t, uint64_t hash, const void *key, bool *ret_new)
{
	struct table_part *part = t->place[place_of(t, hash)];
	uint8_t *entry;
	uint16_t *slot = slot_of(t, part, hash, key, &entry);

	*ret_new = entry == NULL;
	if (!*ret_new)
		return entry;
	if (part->count >= part->full) {
		part_cut(t, part, hash);
		part = t->place[place_of(t, hash)];
		slot = slot_of(t, part, hash, key, &entry);
	}
	*slot = (uint16_t)(slot_bits(hash) + part->count + 1);
	entry = entry_add(t, part);
	memcpy(entry, key, t->key_bytes);
	entry[t->key_bytes] = 1;
	t->count++;
	return entry;
}

/* Slots are looked through from the hash's own on: mostly they lie in its line. */
void table_prefetch_by(const struct table *t, uint64_t hash)
{
	const struct table_part *part = t->place[place_of(t, hash)];

	touch(part);
	touch(&part->slot[hash % SLOTS]);
}

void table_prefetch_entry_by(const struct table *t, uint64_t hash)
{
	const struct table_part *part = t->place[place_of(t, hash)];
	const unsigned bits = slot_bits(hash);

	for (size_t at = hash % SLOTS; part->slot[at] != 0; at = (at + 1) % SLOTS)
		if ((part->slot[at] ^ bits) < SLOTS) {
			touch(entry_at(t, part, part->slot[at] % SLOTS - 1));
			return;
		}
}

uint64_t table_hash(const struct table *t, const void *key) { return hash_of(t, key); }
void *table_find(const struct table *t, const void *key) { return table_find_by(t, hash_of(t, key), key); }
void *table_at(struct table *t, const void *key, bool *ret_new) { return table_at_by(t, hash_of(t, key), key, ret_new); }
void table_prefetch(const struct table *t, const void *key) { table_prefetch_by(t, hash_of(t, key)); }

void *table_next(const struct table *t, size_t *at)
{
	for (; *at < t->parts * SLOTS; *at += SLOTS - *at % SLOTS) {
		const struct table_part *part = t->part[*at / SLOTS];

		if (*at % SLOTS < part->count)
			return entry_at(t, part, (unsigned)((*at)++ % SLOTS));
	}
	return NULL;
}

/* A cut leaves what is behind this part behind it, and what is before it comes again, further on; within the part everything
 * may lie elsewhere. */
void *table_walk(const struct table *t, struct table_walk *w)
{
	size_t end = t->parts * SLOTS;

	if (w->at % SLOTS != 0 && w->at < end && t->part[w->at / SLOTS]->bits != w->bits)
		w->at -= w->at % SLOTS;
	while (w->at < end && w->budget > 0) {
		const struct table_part *part = t->part[w->at / SLOTS];

		w->budget--;
		w->bits = part->bits;
		if (w->at % SLOTS < part->count)
			return entry_at(t, part, (unsigned)(w->at++ % SLOTS));
		w->at += SLOTS - w->at % SLOTS;
	}
	w->ended = w->at >= end;
	return NULL;
}
