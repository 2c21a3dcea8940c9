/*
 * clear_order - the records of a day put in an order. Records lie all over memory and a comparison of two looks at both;
 * so they are sorted by two numbers of each, side by side, and only those whose numbers are the same are looked at. The
 * numbers go into buckets first, each small enough for the processor's cache, and the buckets are sorted by several threads.
 */
#include "clearing/clear.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/pages.h"

#define RUN 16			/* sorted by insertion */
#define LITTLE 4096		/* sorted by one thread, in one bucket: starting another takes as long */
#define PART_MIN 256
#define BUCKET_RECORDS 512
#define BUCKETS_MAX 4096
#define SAMPLES_PER_BUCKET 8	/* from which the bounds are chosen */
#define FIRST_BITS 13		/* twice as many as there are bounds */

struct by { struct work *work; compare_fn compare; };

static struct ranked ranked_of(const struct by *by, struct work *w, rank_fn rank)
{
	const struct rank r = rank(w);

	return (struct ranked){ r.high, r.low, (uint32_t)(w - by->work) };
}

static bool below_looked(const struct ranked *a, const struct ranked *b, const struct by *by)
{
	const struct work *wa = by->work + a->place, *wb = by->work + b->place;

	return by->compare(&wa, &wb) < 0;
}

/* Without a branch where the numbers differ: which is below is not to be foreseen. */
static inline bool below(const struct ranked *a, const struct ranked *b, const struct by *by)
{
	__extension__ typedef unsigned __int128 wide;
	const wide x = (wide)a->high << 32 | a->low, y = (wide)b->high << 32 | b->low;

	return __builtin_expect(x == y, 0) ? below_looked(a, b, by) : x < y;
}

static void insertion(struct ranked *e, size_t n, const struct by *by)
{
	for (size_t i = 1; i < n; i++) {
		struct ranked x = e[i];
		size_t k = i;

		for (; k > 0 && below(&x, &e[k - 1], by); k--)
			e[k] = e[k - 1];
		e[k] = x;
	}
}

static void merge(const struct ranked *a, size_t n, const struct ranked *b, size_t m, struct ranked *to, const struct by *by)
{
	const struct ranked *a_end = a + n, *b_end = b + m;

	while (a < a_end && b < b_end) {
		bool second = below(b, a, by);

		*to++ = *(second ? b : a);
		b += second;
		a += !second;
	}
	memcpy(to, a, (size_t)(a_end - a) * sizeof(*a));
	memcpy(to + (a_end - a), b, (size_t)(b_end - b) * sizeof(*b));
}

/* Runs, then runs twice as long, from one half of the memory into the other. Returns the half that is sorted. */
static struct ranked *runs_sort(struct ranked *from, struct ranked *to, size_t n, const struct by *by)
{
	for (size_t i = 0; i < n; i += RUN)
		insertion(from + i, n - i < RUN ? n - i : RUN, by);
	for (size_t run = RUN; run < n; run *= 2) {
		struct ranked *was = from;

		for (size_t i = 0; i < n; i += 2 * run) {
			size_t left = n - i < run ? n - i : run, right = n - i - left < run ? n - i - left : run;

			merge(from + i, left, from + i + left, right, to + i, by);
		}
		from = to;
		to = was;
	}
	return from;
}

struct ranked *ranks_sort(struct ranked *e, struct ranked *room, size_t count) { return runs_sort(e, room, count, &(struct by){ 0 }); }

/* Numbers spread evenly go to places by how far they are between the lowest and the highest, and hardly one has to be moved from there.
 * False: they are not spread evenly enough. room: for as many places. */
#define CROWD 24

static bool spread_sort(const struct ranked *from, struct ranked *to, size_t n, uint32_t *room, const struct by *by)
{
	__extension__ typedef unsigned __int128 wide;
	uint64_t low = from[0].high, high = low, scale;

	for (size_t i = 1; i < n; i++) {
		low = from[i].high < low ? from[i].high : low;
		high = from[i].high > high ? from[i].high : high;
	}
	if (high - low < n)
		return false;
	scale = (uint64_t)(((wide)n << 64) / ((wide)(high - low) + 1));
	memset(room, 0, n * sizeof(*room));
	for (size_t i = 0; i < n; i++)
		if (++room[(size_t)((wide)(from[i].high - low) * scale >> 64)] > CROWD)
			return false;
	for (size_t i = 0, at = 0; i < n; i++) {
		at += room[i];
		room[i] = (uint32_t)(at - room[i]);
	}
	for (size_t i = 0; i < n; i++)
		to[room[(size_t)((wide)(from[i].high - low) * scale >> 64)]++] = from[i];
	insertion(to, n, by);
	return true;
}

/* ---- buckets ------------------------------------------------------------------------------------------------------- */

struct sorting {
	struct by by;
	const struct ranked *from; struct work **list; size_t count; unsigned parts;
	struct ranked *to;				/* in buckets */
	uint64_t split[BUCKETS_MAX]; size_t buckets;	/* split: the least high number that is above a bucket */
	uint64_t low; unsigned shift;			/* of the splits: the first, and which bits tell some of them apart */
	uint16_t first[(1 << FIRST_BITS) + 2];		/* by these bits the first split that may be above */
	size_t (*place)[BUCKETS_MAX];			/* by part: how many of each bucket, then where they go */
	size_t end[BUCKETS_MAX], largest;
	struct { struct ranked *beside; uint32_t *room; } own[PARTS_MAX];	/* for the largest bucket */
};

/* Which of the places a number is at, before that of the first split or behind the last one's. */
static size_t first_at(const struct sorting *s, uint64_t high)
{
	uint64_t at = high < s->low ? 0 : ((high - s->low) >> s->shift) + 1;

	return at <= 1 << FIRST_BITS ? (size_t)at : (1 << FIRST_BITS) + 1;
}

static void firsts_make(struct sorting *s)
{
	size_t n = s->buckets - 1, at = 0;

	s->low = s->split[0];
	s->shift = 0;
	while (n > 0 && (s->split[n - 1] - s->low) >> s->shift >= 1 << FIRST_BITS)
		s->shift++;
	for (size_t i = 0; i < sizeof(s->first) / sizeof(s->first[0]); i++) {
		while (at < n && first_at(s, s->split[at]) < i)
			at++;
		s->first[i] = (uint16_t)at;
	}
}

/* The numbers of some, evenly spread, sorted: of them the bounds. Called while nothing is in the buckets yet. */
static void splits_choose(struct sorting *s)
{
	size_t n = s->buckets * SAMPLES_PER_BUCKET < s->count / 2 ? s->buckets * SAMPLES_PER_BUCKET : s->count / 2, each = n / s->buckets;
	struct ranked *sample = s->to, *sorted;

	for (size_t i = 0; i < n; i++)
		sample[i] = s->from[s->count / n * i];
	sorted = runs_sort(sample, sample + n, n, &s->by);
	for (size_t i = 0; i + 1 < s->buckets; i++)
		s->split[i] = sorted[(i + 1) * each].high;
	s->split[s->buckets - 1] = UINT64_MAX;
	firsts_make(s);
}

/* How many bounds are not above it: all of one high number are in one bucket. */
static size_t bucket_of(const struct sorting *s, uint64_t high)
{
	size_t at = first_at(s, high), from = s->first[at], n = (at <= 1 << FIRST_BITS ? s->first[at + 1] : s->buckets - 1) - from;

	while (n > 0) {
		size_t half = (n + 1) / 2, more = half & (0 - (size_t)(s->split[from + half - 1] <= high));	/* no branch: which way is not to be foreseen */

		from += more;
		n -= half;
	}
	return from;
}

static int buckets_part(struct job *own, void *arg, unsigned part)
{
	struct sorting *s = arg;
	size_t end = slice(s->count, s->parts, part + 1);

	(void)own;
	for (size_t i = slice(s->count, s->parts, part); i < end; i++)
		s->place[part][bucket_of(s, s->from[i].high)]++;
	return 0;
}

static size_t bucket_from(const struct sorting *s, size_t b) { return b > 0 ? s->end[b - 1] : 0; }

static void places_count(struct sorting *s)
{
	size_t at = 0;

	for (size_t b = 0; b < s->buckets; b++) {
		for (unsigned p = 0; p < s->parts; p++) {
			size_t n = s->place[p][b];

			s->place[p][b] = at;
			at += n;
		}
		s->largest = at - bucket_from(s, b) > s->largest ? at - bucket_from(s, b) : s->largest;
		s->end[b] = at;
	}
}

static int scatter_part(struct job *own, void *arg, unsigned part)
{
	struct sorting *s = arg;
	size_t end = slice(s->count, s->parts, part + 1);

	(void)own;
	for (size_t i = slice(s->count, s->parts, part); i < end; i++)
		s->to[s->place[part][bucket_of(s, s->from[i].high)]++] = s->from[i];
	return 0;
}

static void bucket_sort(struct sorting *s, size_t b, struct ranked *beside, uint32_t *room)
{
	size_t from = bucket_from(s, b), n = s->end[b] - from;
	const struct ranked *sorted = n > RUN && spread_sort(s->to + from, beside, n, room, &s->by) ? beside : runs_sort(s->to + from, beside, n, &s->by);

	for (size_t i = 0; i < n; i++)
		s->list[from + i] = s->by.work + sorted[i].place;
}

/* The buckets that begin in the part's share of the list. */
static int sort_part(struct job *own, void *arg, unsigned part)
{
	struct sorting *s = arg;
	size_t share = slice(s->count, s->parts, part), share_end = slice(s->count, s->parts, part + 1);

	(void)own;
	for (size_t b = 0; b < s->buckets; b++)
		if (bucket_from(s, b) >= share && bucket_from(s, b) < share_end)
			bucket_sort(s, b, s->own[part].beside, s->own[part].room);
	return 0;
}

static int buckets_sort(struct job *j, struct sorting *s)
{
	size_t each = s->largest * (sizeof(struct ranked) + sizeof(uint32_t)) / 8 * 8 + 8;
	struct span memory;
	int ret = span_new(j, s->parts * each, &memory);

	if (ret != 0)
		return ret;
	for (unsigned i = 0; i < s->parts; i++) {
		s->own[i].beside = (struct ranked *)(void *)((uint8_t *)memory.p + i * each);
		s->own[i].room = (uint32_t *)(s->own[i].beside + s->largest);
	}
	ret = parts_run(j, s->parts, sort_part, s);
	span_free(j, &memory);
	return ret;
}

static int sort_run(struct job *j, struct sorting *s)
{
	int ret;

	splits_choose(s);
	ret = parts_run(j, s->parts, buckets_part, s);
	if (ret != 0)
		return ret;
	places_count(s);
	ret = parts_run(j, s->parts, scatter_part, s);
	return ret == 0 ? buckets_sort(j, s) : ret;
}

static int large_sort(struct job *j, const struct ranked *from, size_t count, compare_fn compare, struct work **list)
{
	struct sorting *s = calloc(1, sizeof(*s));
	struct span memory;
	int ret = s == NULL ? -ENOMEM : span_new(j, count * sizeof(struct ranked), &memory);

	if (ret != 0) {
		free(s);
		return ret;
	}
	s->by = (struct by){ j->work, compare };
	s->from = from;
	s->list = list;
	s->count = count;
	s->parts = parts_wanted(count, PART_MIN);
	s->buckets = count / BUCKET_RECORDS + 1 < BUCKETS_MAX ? count / BUCKET_RECORDS + 1 : BUCKETS_MAX;
	s->to = memory.p;
	s->place = calloc(s->parts, sizeof(*s->place));
	ret = s->place == NULL ? -ENOMEM : sort_run(j, s);
	free(s->place);
	span_free(j, &memory);
	free(s);
	return ret;
}

int ranked_sort(struct job *j, struct ranked *e, size_t count, compare_fn compare, struct work **list)
{
	const struct by by = { j->work, compare };
	const struct ranked *sorted;
	struct ranked *room;

	if (count > LITTLE)
		return large_sort(j, e, count, compare, list);
	room = malloc((count + 1) * sizeof(*room));
	if (room == NULL)
		return -ENOMEM;
	sorted = runs_sort(e, room, count, &by);
	if (sorted == e)	/* the list may lie there */
		sorted = memcpy(room, e, count * sizeof(*room));
	for (size_t i = 0; i < count; i++)
		list[i] = by.work + sorted[i].place;
	free(room);
	return 0;
}

/* A few: by insertion, where they lie. */
static void few_sort(struct work **list, size_t count, compare_fn compare)
{
	for (size_t i = 1; i < count; i++) {
		struct work *x = list[i];
		size_t k = i;

		for (; k > 0 && compare(&x, &list[k - 1]) < 0; k--)
			list[k] = list[k - 1];
		list[k] = x;
	}
}

/* room: of twice as many. */
static void little_sort(const struct by *by, struct work **list, size_t count, rank_fn rank, struct ranked *room)
{
	const struct ranked *sorted;

	for (size_t i = 0; i < count; i++)
		room[i] = ranked_of(by, list[i], rank);
	sorted = runs_sort(room, room + count, count, by);
	for (size_t i = 0; i < count; i++)
		list[i] = by->work + sorted[i].place;
}

/* The numbers of a list: a part each. */
struct ranking { struct work *const *list; size_t count; unsigned parts; rank_fn rank; struct ranked *to; };

static int ranked_part(struct job *own, void *arg, unsigned part)
{
	const struct ranking *r = arg;
	const struct by by = { own->work, NULL };
	size_t i = slice(r->count, r->parts, part), end = slice(r->count, r->parts, part + 1), touched = i;

	for (; i < end; i++) {
		if (i == touched)
			touched = works_touch(r->list, i, TOUCHED, end);
		r->to[i] = ranked_of(&by, r->list[i], r->rank);
	}
	return 0;
}

int works_sort(struct job *j, struct work **list, size_t count, rank_fn rank, compare_fn compare)
{
	struct ranking r = { .list = list, .count = count, .parts = parts_wanted(count, PART_MIN), .rank = rank };
	struct span memory;
	int ret;

	assert(j->count <= UINT32_MAX);
	if (count <= RUN) {
		few_sort(list, count, compare);
		return 0;
	}
	ret = span_new(j, count * sizeof(*r.to), &memory);
	if (ret != 0)
		return ret;
	r.to = memory.p;
	ret = parts_run(j, r.parts, ranked_part, &r);
	if (ret == 0)
		ret = ranked_sort(j, r.to, count, compare, list);
	span_free(j, &memory);
	return ret;
}

/* ---- what is sorted for the most part --------------------------------------------------------------------------- */

/*
 * A terminal sends its records in their order, so that each batch is a run. Those of one terminal lie one behind the other; a run
 * that went on into the next batch would reach over the terminals between theirs, and the whole day be sorted.
 */
#define RUN_RECORDS_MIN 8		/* on the average: shorter ones are not worth it */
struct run { struct work *first, *last; };
struct runs { struct run *list; size_t count, space; };
struct finding { compare_fn compare; unsigned parts; struct runs part[PARTS_MAX]; };

static int run_compare(const void *pa, const void *pb, void *compare)
{
	const struct run *a = pa, *b = pb;

	return (*(compare_fn *)compare)(&a->first, &b->first);
}

static int runs_part(struct job *own, void *arg, unsigned part)
{
	struct finding *f = arg;
	struct runs *r = &f->part[part];
	struct work *w = own->work + slice(own->count, f->parts, part), *end = own->work + slice(own->count, f->parts, part + 1);

	for (struct work *before = NULL; w < end; before = w++) {
		struct run *wide;

		if (before != NULL && before->from == w->from && f->compare(&before, &w) < 0) {
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

/* Those of all parts; a run that a part's end cuts is two. */
static int runs_find(struct job *j, compare_fn compare, struct runs *ret)
{
	struct finding f = { .compare = compare, .parts = parts_wanted(j->count, PART_MIN) };
	int code = parts_run(j, f.parts, runs_part, &f);

	for (unsigned i = 0; i < f.parts; i++)
		ret->space += f.part[i].count;
	ret->list = malloc((ret->space + 1) * sizeof(*ret->list));
	if (ret->list == NULL)
		code = -ENOMEM;
	for (unsigned i = 0; i < f.parts; i++) {
		if (code == 0 && f.part[i].count > 0)
			memcpy(ret->list + ret->count, f.part[i].list, f.part[i].count * sizeof(*ret->list));
		ret->count += f.part[i].count;
		free(f.part[i].list);
	}
	return code;
}

/* Some places of the order whose runs reach into each other: they are sorted, each by some thread. */
struct tangle { size_t from, count; };
struct tangles { struct tangle *list; size_t count, space; rank_fn rank; compare_fn compare; atomic_size_t next; };

static int tangle_add(struct tangles *t, size_t from, size_t count)
{
	struct tangle *wide = grown(t->list, &t->space, t->count + 1, sizeof(*wide));

	if (wide == NULL)
		return -ENOMEM;
	t->list = wide;
	t->list[t->count++] = (struct tangle){ from, count };
	return 0;
}

static int tangles_part(struct job *own, void *arg, unsigned part)
{
	struct tangles *t = arg;
	const struct by by = { own->work, t->compare };
	struct ranked *room = malloc(2 * LITTLE * sizeof(*room));
	size_t i;

	(void)part;
	while (room != NULL && (i = atomic_fetch_add(&t->next, 1)) < t->count)
		little_sort(&by, own->order + t->list[i].from, t->list[i].count, t->rank, room);
	free(room);
	return room == NULL ? -ENOMEM : 0;
}

/* Runs one behind the other; where some reach into each other, that is a tangle, and a large one is sorted at once. */
static int runs_lay(struct job *j, const struct runs *r, struct tangles *t)
{
	size_t n = 0;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < r->count; ) {
		struct work *last = r->list[i].last;
		size_t from = n, runs = 0;

		do {
			for (struct work *w = r->list[i].first; w <= r->list[i].last; w++)
				j->order[n++] = w;
			if (t->compare(&last, &r->list[i].last) < 0)
				last = r->list[i].last;
			i++;
			runs++;
		} while (i < r->count && t->compare(&last, &r->list[i].first) > 0);
		if (runs > 1 && n - from <= LITTLE)
			ret = tangle_add(t, from, n - from);
		else if (runs > 1)
			ret = works_sort(j, j->order + from, n - from, t->rank, t->compare);
	}
	return ret;
}

static int runs_order(struct job *j, struct runs *r, rank_fn rank, compare_fn compare)
{
	struct tangles t = { .rank = rank, .compare = compare };
	int ret;

	if (r->count > 1)
		qsort_r(r->list, r->count, sizeof(r->list[0]), run_compare, &compare);
	ret = runs_lay(j, r, &t);
	if (ret == 0 && t.count > 0)
		ret = parts_run(j, parts_wanted(t.count, 4), tangles_part, &t);
	free(t.list);
	return ret;
}

int works_order(struct job *j, rank_fn rank, compare_fn compare)
{
	struct runs r = { 0 };
	int ret = runs_find(j, compare, &r);

	if (ret == 0 && r.count > j->count / RUN_RECORDS_MIN) {
		for (size_t i = 0; i < j->count; i++)
			j->order[i] = &j->work[i];
		ret = works_sort(j, j->order, j->count, rank, compare);
	} else if (ret == 0) {
		ret = runs_order(j, &r, rank, compare);
	}
	free(r.list);
	return ret;
}

/* ---- walks ---------------------------------------------------------------------------------------------------------- */

/* By reads that nothing waits for, in a loop that has many of them on their way at once: the processor searches for the page of each. */
size_t works_touch(struct work *const *list, size_t i, size_t count, size_t end)
{
	const size_t to = end - i < count ? end : i + count;

	for (; i < to; i++)
		touch(list[i]);
	return to;
}

/* Of a thin record: what its batch's records have alike, which is said first, and its own. */
static void lies_touch(const struct work *w)
{
	const struct source *s = w->from;
	const uint8_t *first = work_lies(w);

	touch(first);
	if (s->thin == NULL) {
		for (uint32_t at = 64; at < work_lie(w)->raw_bytes; at += 64)
			__builtin_prefetch(first + at);
		return;
	}
	for (uint32_t at = 0; at < 256; at += 64)
		__builtin_prefetch(s->thin + at);
	__builtin_prefetch(first + 48);
}

void works_touch_raw(struct work *const *list, size_t count)
{
	works_touch(list, 0, count, count);
	for (size_t i = 0; i < count; i++)
		touch(work_lie(list[i]));
	for (size_t i = 0; i < count; i++)
		lies_touch(list[i]);
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
