/*
 * clear_order - the records of a day put in an order. Records lie all over memory and a comparison of two looks at both;
 * so they are sorted by two numbers of each, side by side, and only those whose numbers are the same are looked at.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RUN 16			/* sorted by insertion */

struct ranked { struct rank rank; struct work *work; };
typedef int (*compare_fn)(const void *, const void *);

static bool below(const struct ranked *a, const struct ranked *b, compare_fn compare)
{
	if (a->rank.high != b->rank.high)
		return a->rank.high < b->rank.high;
	if (a->rank.low != b->rank.low)
		return a->rank.low < b->rank.low;
	return compare(&a->work, &b->work) < 0;
}

static void insertion(struct ranked *e, size_t n, compare_fn compare)
{
	for (size_t i = 1; i < n; i++) {
		struct ranked x = e[i];
		size_t k = i;

		for (; k > 0 && below(&x, &e[k - 1], compare); k--)
			e[k] = e[k - 1];
		e[k] = x;
	}
}

static void merge(const struct ranked *a, size_t n, const struct ranked *b, size_t m, struct ranked *to, compare_fn compare)
{
	size_t i = 0, k = 0;

	while (i < n && k < m)
		*to++ = below(&b[k], &a[i], compare) ? b[k++] : a[i++];
	memcpy(to, a + i, (n - i) * sizeof(*a));
	memcpy(to + (n - i), b + k, (m - k) * sizeof(*b));
}

/* Runs, then runs twice as long, from one half of the memory into the other. Returns the half that is sorted. */
static struct ranked *runs_sort(struct ranked *from, struct ranked *to, size_t n, compare_fn compare)
{
	for (size_t i = 0; i < n; i += RUN)
		insertion(from + i, n - i < RUN ? n - i : RUN, compare);
	for (size_t run = RUN; run < n; run *= 2) {
		struct ranked *was = from;

		for (size_t i = 0; i < n; i += 2 * run) {
			size_t left = n - i < run ? n - i : run, right = n - i - left < run ? n - i - left : run;

			merge(from + i, left, from + i + left, right, to + i, compare);
		}
		from = to;
		to = was;
	}
	return from;
}

int works_sort(struct work **list, size_t count, rank_fn rank, compare_fn compare)
{
	struct ranked *memory, *sorted;

	if (count < 2)
		return 0;
	memory = malloc(2 * count * sizeof(*memory));
	if (memory == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		memory[i] = (struct ranked){ rank(list[i]), list[i] };
	sorted = runs_sort(memory, memory + count, count, compare);
	for (size_t i = 0; i < count; i++)
		list[i] = sorted[i].work;
	free(memory);
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
