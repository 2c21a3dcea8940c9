#include "clearing/table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_FIRST 4096
#define LARGE_BYTES (2u << 20)	/* of a large page */

void *pages_take(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (bytes >= LARGE_BYTES)
		madvise(p, bytes, MADV_HUGEPAGE);	/* refused: the pages are small ones */
	return p;
}

void pages_give(void *pages, size_t bytes)
{
	if (pages != NULL)
		munmap(pages, bytes);
}

static size_t bytes_of(const struct table *t) { return (t->mask + 1) * t->entry_bytes; }

int table_open(struct table *t, size_t key_bytes, size_t entry_bytes)
{
	assert(entry_bytes > key_bytes);
	*t = (struct table){ .key_bytes = key_bytes, .entry_bytes = entry_bytes, .mask = SLOTS_FIRST - 1 };
	t->memory = pages_take(bytes_of(t));
	return t->memory != NULL ? 0 : -ENOMEM;
}

void table_close(struct table *t)
{
	if (t->memory == NULL)
		return;
	pages_give(t->memory, bytes_of(t));
	t->memory = NULL;
}

void table_clear(struct table *t)
{
	if (madvise(t->memory, bytes_of(t), MADV_DONTNEED) != 0)
		memset(t->memory, 0, bytes_of(t));
	t->count = 0;
}

static size_t place_of(const struct table *t, const void *key) { return XXH3_64bits(key, t->key_bytes) & t->mask; }

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

static uint8_t *slot_of(const struct table *t, const void *key)
{
	uint8_t *slot;

	for (size_t at = place_of(t, key);; at = (at + 1) & t->mask) {
		slot = t->memory + at * t->entry_bytes;
		if (slot[t->key_bytes] == 0 || same(slot, key, t->key_bytes))
			return slot;
	}
}

int table_room(struct table *t, size_t entries)
{
	struct table wide = *t;

	while ((t->count + entries) * 2 > wide.mask + 1)
		wide.mask = wide.mask * 2 + 1;
	if (wide.mask == t->mask)
		return 0;
	wide.memory = pages_take(bytes_of(&wide));
	if (wide.memory == NULL)
		return -ENOMEM;
	for (size_t at = 0; at <= t->mask; at++) {
		const uint8_t *slot = t->memory + at * t->entry_bytes;

		if (slot[t->key_bytes] != 0)
			memcpy(slot_of(&wide, slot), slot, t->entry_bytes);
	}
	table_close(t);
	*t = wide;
	return 0;
}

void *table_find(const struct table *t, const void *key)
{
	uint8_t *slot = slot_of(t, key);

	return slot[t->key_bytes] != 0 ? slot : NULL;
}

void *table_at(struct table *t, const void *key, bool *ret_new)
{
	uint8_t *slot = slot_of(t, key);

	*ret_new = slot[t->key_bytes] == 0;
	if (!*ret_new)
		return slot;
	assert(t->count < t->mask);
	memcpy(slot, key, t->key_bytes);
	slot[t->key_bytes] = 1;
	t->count++;
	return slot;
}

void table_prefetch(const struct table *t, const void *key)
{
	__builtin_prefetch(t->memory + place_of(t, key) * t->entry_bytes);
}

void *table_next(const struct table *t, size_t *at)
{
	while (*at <= t->mask) {
		uint8_t *slot = t->memory + (*at)++ * t->entry_bytes;

		if (slot[t->key_bytes] != 0)
			return slot;
	}
	return NULL;
}
