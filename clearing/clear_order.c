/*
 * clear_order - the records of a day put in an order. Records lie all over memory and a comparison of two looks at both;
 * so they are sorted by two numbers of each, side by side, and only those whose numbers are the same are looked at. The
 * numbers go into buckets first, each small enough for the processor's cache, and the buckets are sorted by several threads.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RUN 16			/* sorted by insertion */
#define PART_MIN 256
#define BUCKET_RECORDS 512
#define BUCKETS_MAX 1024
#define SAMPLES 4096		/* from which the bounds are chosen */

struct ranked { struct rank rank; struct work *work; };

static int rank_compare(const struct rank *a, const struct rank *b)
{
	if (a->high != b->high)
		return a->high < b->high ? -1 : 1;
	return a->low < b->low ? -1 : a->low > b->low;
}

static bool below(const struct ranked *a, const struct ranked *b, compare_fn compare)
{
	int order = rank_compare(&a->rank, &b->rank);

	return order != 0 ? order < 0 : compare(&a->work, &b->work) < 0;
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

/* ---- buckets ------------------------------------------------------------------------------------------------------- */

struct sorting {
	struct work **list; size_t count; unsigned parts;
	rank_fn rank; compare_fn compare;
	struct ranked *from, *to; uint16_t *bucket;	/* as listed; in buckets; which bucket each is in */
	struct rank split[BUCKETS_MAX]; size_t buckets;	/* split: the least that is above a bucket */
	size_t (*place)[BUCKETS_MAX];			/* by part: how many of each bucket, then where they go */
	size_t end[BUCKETS_MAX];
};

static size_t slice(size_t count, unsigned parts, unsigned part) { return part == parts ? count : count / parts * part; }

static int ranks_part(struct job *own, void *arg, unsigned part)
{
	struct sorting *s = arg;
	size_t end = slice(s->count, s->parts, part + 1);

	(void)own;
	for (size_t i = slice(s->count, s->parts, part); i < end; i++) {
		works_prefetch(s->list, i, end);
		s->from[i] = (struct ranked){ s->rank(s->list[i]), s->list[i] };
	}
	return 0;
}

/* The numbers of some, evenly spread, sorted: of them the bounds. */
static void splits_choose(struct sorting *s)
{
	struct ranked sample[2 * SAMPLES], *sorted;
	size_t each = SAMPLES / s->buckets, n = each * s->buckets;

	for (size_t i = 0; i < n; i++)
		sample[i] = s->from[s->count / n * i];
	sorted = runs_sort(sample, sample + n, n, s->compare);
	for (size_t i = 0; i + 1 < s->buckets; i++)
		s->split[i] = sorted[(i + 1) * each].rank;
	s->split[s->buckets - 1] = (struct rank){ UINT64_MAX, UINT64_MAX };
}

static size_t bucket_of(const struct sorting *s, const struct rank *r)
{
	size_t low = 0, high = s->buckets - 1;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (rank_compare(&s->split[mid], r) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int buckets_part(struct job *own, void *arg, unsigned part)
{
	struct sorting *s = arg;
	size_t end = slice(s->count, s->parts, part + 1);

	(void)own;
	for (size_t i = slice(s->count, s->parts, part); i < end; i++) {
		s->bucket[i] = (uint16_t)bucket_of(s, &s->from[i].rank);
		s->place[part][s->bucket[i]]++;
	}
	return 0;
}

static void places_count(struct sorting *s)
{
	size_t at = 0;

	for (size_t b = 0; b < s->buckets; b++) {
		for (unsigned p = 0; p < s->parts; p++) {
			size_t n = s->place[p][b];

			s->place[p][b] = at;
			at += n;
		}
		s->end[b] = at;
	}
}

static int scatter_part(struct job *own, void *arg, unsigned part)
{
	struct sorting *s = arg;
	size_t end = slice(s->count, s->parts, part + 1);

	(void)own;
	for (size_t i = slice(s->count, s->parts, part); i < end; i++)
		s->to[s->place[part][s->bucket[i]]++] = s->from[i];
	return 0;
}

/* The buckets that begin in the part's share of the list. */
static int sort_part(struct job *own, void *arg, unsigned part)
{
	struct sorting *s = arg;
	size_t share = slice(s->count, s->parts, part), share_end = slice(s->count, s->parts, part + 1);

	(void)own;
	for (size_t b = 0; b < s->buckets; b++) {
		size_t from = b > 0 ? s->end[b - 1] : 0, n = s->end[b] - from;
		const struct ranked *sorted;

		if (from < share || from >= share_end)
			continue;
		sorted = runs_sort(s->to + from, s->from + from, n, s->compare);
		for (size_t i = 0; i < n; i++)
			s->list[from + i] = sorted[i].work;
	}
	return 0;
}

static int sort_run(struct job *j, struct sorting *s)
{
	int ret = parts_run(j, s->parts, ranks_part, s);

	if (ret != 0)
		return ret;
	splits_choose(s);
	ret = parts_run(j, s->parts, buckets_part, s);
	if (ret == 0) {
		places_count(s);
		ret = parts_run(j, s->parts, scatter_part, s);
	}
	return ret == 0 ? parts_run(j, s->parts, sort_part, s) : ret;
}

int works_sort(struct job *j, struct work **list, size_t count, rank_fn rank, compare_fn compare)
{
	struct sorting s = { .list = list, .count = count, .parts = parts_wanted(count, PART_MIN), .rank = rank, .compare = compare };
	struct span memory;
	int ret;

	if (count < 2)
		return 0;
	s.buckets = count / BUCKET_RECORDS + 1 < BUCKETS_MAX ? count / BUCKET_RECORDS + 1 : BUCKETS_MAX;
	ret = span_new(j, count * (2 * sizeof(struct ranked) + sizeof(uint16_t)), &memory);
	if (ret != 0)
		return ret;
	s.from = memory.p;
	s.to = s.from + count;
	s.bucket = (uint16_t *)(s.to + count);
	s.place = calloc(s.parts, sizeof(*s.place));
	ret = s.place == NULL ? -ENOMEM : sort_run(j, &s);
	free(s.place);
	span_free(j, &memory);
	return ret;
}

/* ---- what is sorted for the most part --------------------------------------------------------------------------- */

/* A terminal sends its records in their order: the records of a day are runs, most of them one behind the other. */
struct run { struct work *first, *last; };
struct runs { struct run *list; size_t count, space; };

static int run_compare(const void *pa, const void *pb, void *compare)
{
	const struct run *a = pa, *b = pb;

	return (*(compare_fn *)compare)(&a->first, &b->first);
}

static int runs_find(const struct job *j, compare_fn compare, struct runs *r)
{
	for (size_t i = 0; i < j->count; i++) {
		struct work *w = &j->work[i], *before = w - 1;
		struct run *wide;

		if (i > 0 && compare(&before, &w) < 0) {
			r->list[r->count - 1].last = w;
			continue;
		}
		wide = grown(r->list, &r->space, r->count + 1, sizeof(*wide));
		if (wide == NULL)
			return -ENOMEM;
		r->list = wide;
		r->list[r->count++] = (struct run){ w, w };
	}
	return 0;
}

/* Runs that reach into each other are sorted together, the others are laid behind each other. */
static int runs_lay(struct job *j, const struct runs *r, rank_fn rank, compare_fn compare)
{
	size_t n = 0;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < r->count; ) {
		struct work *last = r->list[i].last;
		size_t from = n, runs = 0;

		do {
			for (struct work *w = r->list[i].first; w <= r->list[i].last; w++)
				j->order[n++] = w;
			if (compare(&last, &r->list[i].last) < 0)
				last = r->list[i].last;
			i++;
			runs++;
		} while (i < r->count && compare(&last, &r->list[i].first) > 0);
		if (runs > 1)
			ret = works_sort(j, j->order + from, n - from, rank, compare);
	}
	return ret;
}

int works_order(struct job *j, rank_fn rank, compare_fn compare)
{
	struct runs r = { 0 };
	int ret = runs_find(j, compare, &r);

	if (ret == 0) {
		if (r.count > 1)
			qsort_r(r.list, r.count, sizeof(r.list[0]), run_compare, &compare);
		ret = runs_lay(j, &r, rank, compare);
	}
	free(r.list);
	return ret;
}

/* ---- walks ---------------------------------------------------------------------------------------------------------- */

void works_prefetch(struct work *const *list, size_t i, size_t n)
{
	if (i + 32 < n) {
		__builtin_prefetch(list[i + 32]);
		__builtin_prefetch((const char *)list[i + 32] + 64);
	}
}

/* Records lie in small pages all over the map, and the processor drops a prefetch into a page it does not know where to find: so
 * the first byte of eight to come is read, one search for a page beside the other. */
void works_prefetch_raw(struct work *const *list, size_t i, size_t n)
{
	works_prefetch(list, i, n);
	if (i % 8 == 0)
		for (size_t k = i + 12; k < i + 20 && k < n; k++)
			(void)*(const volatile uint8_t *)work_raw(list[k]);
	if (i + 8 < n)
		for (uint32_t at = 0; at < list[i + 8]->raw_bytes; at += 64)
			__builtin_prefetch(work_raw(list[i + 8]) + at);
}

void list_cut(struct work *const *list, size_t count, unsigned parts, same_fn same, struct cut *ret)
{
	ret->list = list;
	ret->parts = parts;
	ret->at[0] = 0;
	for (unsigned i = 1; i <= parts; i++) {
		size_t end = slice(count, parts, i);

		while (end > 0 && end < count && same(list[end - 1], list[end]))
			end++;
		ret->at[i] = end;
	}
}
