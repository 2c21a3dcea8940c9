/*
 * clear_order - the records of a day put in an order. Records lie all over memory and a comparison of two looks at both;
 * so they are sorted by one number of each first, side by side, and only those of one number are looked at.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>

struct ranked { uint64_t rank; struct work *work; };

static int rank_compare(const void *pa, const void *pb)
{
	uint64_t a = ((const struct ranked *)pa)->rank, b = ((const struct ranked *)pb)->rank;

	return a < b ? -1 : a > b;
}

int works_sort(struct work **list, size_t count, rank_fn rank, int (*compare)(const void *, const void *))
{
	struct ranked *ranked = malloc((count + 1) * sizeof(*ranked));

	if (ranked == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		ranked[i] = (struct ranked){ rank(list[i]), list[i] };
	if (count > 1)
		qsort(ranked, count, sizeof(*ranked), rank_compare);
	for (size_t i = 0; i < count; i++)
		list[i] = ranked[i].work;
	for (size_t i = 0, n; i < count; i += n) {
		for (n = 1; i + n < count && ranked[i + n].rank == ranked[i].rank; n++)
			;
		if (n > 1)
			qsort(&list[i], n, sizeof(struct work *), compare);
	}
	free(ranked);
	return 0;
}

void works_prefetch(struct work *const *list, size_t i, size_t n)
{
	if (i + 16 < n) {
		__builtin_prefetch(list[i + 16]);
		__builtin_prefetch((const char *)list[i + 16] + 64);
		__builtin_prefetch((const char *)list[i + 16] + 128);
	}
	if (i + 8 < n)
		for (uint32_t at = 0; at < list[i + 8]->raw_bytes; at += 64)
			__builtin_prefetch(list[i + 8]->raw + at);
}
