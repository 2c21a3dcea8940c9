/*
 * table - parts of one size, each with open addressing of its own, found by the first bits of the hash: the more parts,
 * the more bits. A part that is full is cut in two by the next bit, which moves some hundred entries within the
 * processor's cache; nothing else moves. A table that doubled moved all it had at once, and a million entries took a
 * tenth of a second in which nobody had a receipt.
 *
 * The hash has a secret of each process, so that nobody who chooses keys can choose where they come to lie.
 */
#include "clearing/table.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "clearing/pages.h"

#define PART_BYTES_MAX 65536u	/* stays in the second cache while it is cut */
#define BITS_MAX 30

/* Of a part: entries; bits of the hash that all of them share; at how many entries it is cut. */
struct head { uint32_t count, bits, full, unused; };

static uint64_t secret;

static void secret_draw(void)
{
	if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
		secret = (uintptr_t)&secret;	/* where the system put us is a secret too */
}

/* ---- parts --------------------------------------------------------------------------------------- */

static size_t chunk_parts(const struct table *t) { return CHUNK_BYTES / t->part_bytes; }

static uint8_t *part_at(const struct table *t, size_t i) { return t->chunk[i / chunk_parts(t)] + i % chunk_parts(t) * t->part_bytes; }

static struct head *head_of(uint8_t *part) { return (struct head *)(void *)part; }

/* Parts fill alike, and would all be cut within a few hundredths of a day's entries, which receipts notice as well. So each
 * is full at a number of its own between five and seven eighths of its places: at most 2.3 places an entry, when many were just cut. */
static void full_set(const struct table *t, struct head *head, uint64_t hash)
{
	uint64_t first = head->bits > 0 ? hash >> (64 - head->bits) : 0;

	head->full = (uint32_t)(t->slots / 8 * 5 + ((first << 6 | head->bits) * 0x9E3779B97F4A7C15u >> 32) % (t->slots / 4));
}

/* The first is where entries wait while their part is cut. Both are touched here, not under the first receipt. */
static void part_first(struct table *t)
{
	memset(part_at(t, 0), 0, t->part_bytes);
	memset(part_at(t, 1), 0, t->part_bytes);
	t->parts = 2;
	t->bits = 0;
	t->count = 0;
	t->place[0] = part_at(t, 1);
	full_set(t, head_of(t->place[0]), 0);
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

static int places_room(struct table *t, size_t places)
{
	size_t n = t->places != 0 ? t->places : 1;
	uint8_t **wide;

	while (n < places)
		n *= 2;
	if (n == t->places)
		return 0;
	wide = realloc(t->place, n * sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	t->place = wide;
	t->places = n;
	return 0;
}

int table_open(struct table *t, size_t key_bytes, size_t entry_bytes)
{
	static pthread_once_t drawn = PTHREAD_ONCE_INIT;

	assert(entry_bytes > key_bytes);
	pthread_once(&drawn, secret_draw);
	*t = (struct table){ .key_bytes = key_bytes, .entry_bytes = entry_bytes, .slots = 4 };
	while (sizeof(struct head) + t->slots * 2 * entry_bytes <= PART_BYTES_MAX)
		t->slots *= 2;
	t->part_bytes = (sizeof(struct head) + t->slots * entry_bytes + 2 * 63) / 64 * 64;	/* the last one's next line is its own too */
	if (places_room(t, 4) != 0 || chunk_add(t) != 0) {
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

size_t table_bytes(const struct table *t) { return t->parts * t->part_bytes + t->places * sizeof(*t->place); }

/* ---- entries --------------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct table *t, const void *key) { return XXH3_64bits_withSeed(key, t->key_bytes, secret); }

static size_t place_of(const struct table *t, uint64_t hash) { return hash >> 1 >> (63 - t->bits); }

static uint8_t *slot_at(const struct table *t, uint8_t *part, size_t i) { return part + sizeof(struct head) + i * t->entry_bytes; }

/* The byte after a key that is there has some bits of its hash, so that hardly any other key is compared. */
static uint8_t used_of(uint64_t hash) { return (uint8_t)(hash >> 24 | 1); }

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

static uint8_t *slot_of(const struct table *t, uint8_t *part, uint64_t hash, const void *key)
{
	const uint8_t used = used_of(hash);
	uint8_t *slot;

	for (size_t at = hash & (t->slots - 1);; at = (at + 1) & (t->slots - 1)) {
		slot = slot_at(t, part, at);
		if (slot[t->key_bytes] == 0 || (slot[t->key_bytes] == used && same(slot, key, t->key_bytes)))
			return slot;
	}
}

/* Every other place is a copy of the one before it. */
static void places_double(struct table *t)
{
	assert(t->bits < BITS_MAX && (size_t)2 << t->bits <= t->places);
	for (size_t i = (size_t)1 << t->bits; i-- > 0;)
		t->place[2 * i] = t->place[2 * i + 1] = t->place[i];
	t->bits++;
}

/* Entries whose next bit is set go to a part of their own. */
static void part_cut(struct table *t, uint8_t *part, uint64_t hash)
{
	uint8_t *from = part_at(t, 0), *other = part_at(t, t->parts++), *slot, *to;
	unsigned bits = ++head_of(part)->bits;
	size_t half, first;

	if (bits > t->bits)
		places_double(t);
	half = (size_t)1 << (t->bits - bits);
	first = place_of(t, hash) / (2 * half) * (2 * half) + half;
	for (size_t i = 0; i < half; i++)
		t->place[first + i] = other;
	memcpy(from, part, t->part_bytes);
	memset(part, 0, t->part_bytes);
	head_of(part)->bits = head_of(other)->bits = bits;
	full_set(t, head_of(part), hash & ~(UINT64_C(1) << (64 - bits)));
	full_set(t, head_of(other), hash | UINT64_C(1) << (64 - bits));
	for (size_t i = 0; i < t->slots; i++) {
		slot = slot_at(t, from, i);
		if (slot[t->key_bytes] == 0)
			continue;
		hash = hash_of(t, slot);
		to = (hash >> (64 - bits) & 1) != 0 ? other : part;
		memcpy(slot_of(t, to, hash, slot), slot, t->entry_bytes);
		head_of(to)->count++;
	}
}

/* Each entry may find its part full, and a part that was cut takes an eighth of its places more at least. */
int table_room(struct table *t, size_t entries)
{
	size_t cuts = (entries < t->parts ? entries : t->parts) + entries / (t->slots / 8) + 1;
	int ret = 0;

	while (ret == 0 && t->parts + cuts > t->chunks * chunk_parts(t))
		ret = chunk_add(t);
	return ret == 0 ? places_room(t, 8 * (t->parts + cuts)) : ret;
}

void *table_find_by(const struct table *t, uint64_t hash, const void *key)
{
	uint8_t *slot = slot_of(t, t->place[place_of(t, hash)], hash, key);

	return slot[t->key_bytes] != 0 ? slot : NULL;
}

void *table_at_by(struct table *t, uint64_t hash, const void *key, bool *ret_new)
{
	uint8_t *part = t->place[place_of(t, hash)], *slot = slot_of(t, part, hash, key);

	*ret_new = slot[t->key_bytes] == 0;
	if (!*ret_new)
		return slot;
	if (head_of(part)->count >= head_of(part)->full) {
		part_cut(t, part, hash);
		part = t->place[place_of(t, hash)];
		slot = slot_of(t, part, hash, key);
	}
	head_of(part)->count++;
	assert(head_of(part)->count < t->slots);
	memcpy(slot, key, t->key_bytes);
	slot[t->key_bytes] = used_of(hash);
	t->count++;
	return slot;
}

/* Entries are looked through from their place on: mostly they lie in its line or the next. */
void table_prefetch_by(const struct table *t, uint64_t hash)
{
	const uint8_t *slot = slot_at(t, t->place[place_of(t, hash)], hash & (t->slots - 1));

	touch(slot);
	touch(slot + 63);
}

uint64_t table_hash(const struct table *t, const void *key) { return hash_of(t, key); }
void *table_find(const struct table *t, const void *key) { return table_find_by(t, hash_of(t, key), key); }
void *table_at(struct table *t, const void *key, bool *ret_new) { return table_at_by(t, hash_of(t, key), key, ret_new); }
void table_prefetch(const struct table *t, const void *key) { table_prefetch_by(t, hash_of(t, key)); }

void *table_next(const struct table *t, size_t *at)
{
	for (; t->count > 0 && *at < (t->parts - 1) * t->slots; ++*at) {
		uint8_t *slot = slot_at(t, part_at(t, 1 + *at / t->slots), *at % t->slots);

		if (slot[t->key_bytes] != 0) {
			++*at;
			return slot;
		}
	}
	return NULL;
}

/* A cut leaves what is behind this part behind it, and what is before it comes again, further on; within the part everything
 * may lie elsewhere. */
void *table_walk(const struct table *t, struct table_walk *w)
{
	size_t end = t->count > 0 ? (t->parts - 1) * t->slots : 0;

	if (w->at % t->slots != 0 && w->at < end && head_of(part_at(t, 1 + w->at / t->slots))->bits != w->bits)
		w->at -= w->at % t->slots;
	for (; w->at < end && w->budget > 0; w->at++, w->budget--) {
		uint8_t *part = part_at(t, 1 + w->at / t->slots), *slot = slot_at(t, part, w->at % t->slots);

		w->bits = head_of(part)->bits;
		if (slot[t->key_bytes] != 0) {
			w->at++;
			w->budget--;
			return slot;
		}
	}
	w->ended = w->at >= end;
	return NULL;
}
