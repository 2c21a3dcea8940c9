#include "clearing/keyed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

uint64_t keyed_hash(const uint8_t *key, size_t n) { return XXH3_64bits(key, n); }

struct keyed *keyed_find(const struct keyed_list *l, const uint8_t *key, size_t n, uint64_t hash)
{
	if (l->space == 0)
		return NULL;
	for (size_t at = hash & l->mask; l->slot[at] != 0; at = (at + 1) & l->mask) {
		struct keyed *item = l->item[l->slot[at] - 1];

		if (item->hash == hash && item->key_bytes == n && memcmp(item->key, key, n) == 0)
			return item;
	}
	return NULL;
}

static void slot_take(uint32_t *slot, size_t mask, uint64_t hash, size_t place)
{
	size_t at = hash & mask;

	while (slot[at] != 0)
		at = (at + 1) & mask;
	slot[at] = (uint32_t)place + 1;
}

static int room(struct keyed_list *l)
{
	size_t space = l->space ? l->space * 2 : 256, mask = space * 2 - 1;
	struct keyed **wide;
	uint32_t *slot;

	if (l->count < l->space)
		return 0;
	wide = realloc(l->item, space * sizeof(*wide));
	slot = calloc(mask + 1, sizeof(*slot));
	if (wide != NULL)
		l->item = wide;
	if (wide == NULL || slot == NULL) {
		free(slot);
		return -ENOMEM;
	}
	for (size_t i = 0; i < l->count; i++)
		slot_take(slot, mask, l->item[i]->hash, i);
	free(l->slot);
	l->slot = slot;
	l->mask = mask;
	l->space = space;
	return 0;
}

int keyed_add(struct keyed_list *l, struct keyed *item)
{
	int ret = room(l);

	if (ret != 0)
		return ret;
	slot_take(l->slot, l->mask, item->hash, l->count);
	l->item[l->count++] = item;
	return 0;
}

void keyed_done(struct keyed_list *l)
{
	free(l->item);
	free(l->slot);
	*l = (struct keyed_list){ 0 };
}
