/*
 * clear_persons - the persons of a day rated side by side. A person's rides are rated one after the other, and no person's
 * with another's; so the sorted rides are cut between persons into portions, several for each thread, which takes the next one when
 * it is done with one: those of registered persons, who come last, cost more. What portions leave is put together in their order.
 */
#include "clearing/clear.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PART_RIDES_MIN 64
#define PORTIONS_PER_THREAD (CUTS_MAX / PARTS_MAX)

/* What was made of one: states by person, adjustments. */
struct portion { const struct state_kept **state; size_t states; struct adjustment *adjust; size_t adjusts; };
/* Of the rides and of those asked for: what each portion has; what became of it; the next one to be rated. And what each thread has made:
 * results, and the memory behind the states. */
struct portions {
	struct cut ride; size_t asked[CUTS_MAX + 1];
	struct portion made[CUTS_MAX];
	atomic_uint next;
	struct results *results[PARTS_MAX]; struct arena arena[PARTS_MAX];
};

/* What rows say of records that are no rides. Any part of the records as they were collected. */
static int others_say(struct job *own, size_t from, size_t end)
{
	int ret = 0;

	for (size_t i = from; ret == 0 && i < end; i++) {
		struct work *w = &own->work[i];
		const struct tap *tap = NULL;
		struct cleared row;
		struct tap read;

		if (w->rated)
			continue;
		assert(!rateable(w));
		if (work_tap(w, &read))
			tap = &read;
		row_start(own, w, tap, &row);
		ret = results_add(own->results, &row, tap, &w->result);
	}
	return ret;
}

static int portion_rate(struct job *own, struct portions *p, unsigned nth)
{
	size_t share = own->count / p->ride.parts;
	int ret;

	own->state = NULL;
	own->adjust = NULL;
	own->state_count = own->state_space = own->adjust_count = own->adjust_space = 0;
	ret = persons_rate(own, p->ride.at[nth], p->ride.at[nth + 1], p->asked[nth], p->asked[nth + 1]);
	if (ret == 0)
		ret = others_say(own, share * nth, nth + 1 == p->ride.parts ? own->count : share * (nth + 1));
	p->made[nth] = (struct portion){ own->state, own->state_count, own->adjust, own->adjust_count };
	return ret;
}

static int portions_rate(struct job *own, void *arg, unsigned thread)
{
	struct portions *p = arg;
	unsigned nth;
	int ret;

	own->results = NULL;
	ret = results_new(&own->results);
	while (ret == 0 && (nth = atomic_fetch_add(&p->next, 1)) < p->ride.parts)
		ret = portion_rate(own, p, nth);
	if (ret != 0)
		atomic_store(&p->next, CUTS_MAX);	/* nobody begins another */
	p->results[thread] = own->results;
	p->arena[thread] = own->arena;
	return ret;
}

static size_t asked_from(const struct job *j, uint64_t person)
{
	size_t low = 0, high = j->asked_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (j->asked[mid] < person)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool same_person(const struct work *a, const struct work *b) { return a->person == b->person; }

/* Between persons. Those asked for who have no new rides go with the portion before the next person that has. */
static void portions_cut(const struct job *j, unsigned threads, struct portions *p)
{
	list_cut(j->ride, j->ride_count, threads > 1 ? threads * PORTIONS_PER_THREAD : 1, same_person, &p->ride);
	for (unsigned i = 1; i <= p->ride.parts; i++)
		p->asked[i] = p->ride.at[i] == j->ride_count ? j->asked_count : asked_from(j, j->ride[p->ride.at[i]]->person);
}

/* One list behind the other. The memory of one alone is taken as it is. */
static int states_join(struct job *j, struct portions *p)
{
	size_t count = 0;

	for (unsigned i = 0; i < p->ride.parts; i++)
		count += p->made[i].states;
	if (p->ride.parts == 1) {
		j->state = p->made[0].state;
		p->made[0].state = NULL;
	} else {
		j->state = malloc((count + 1) * sizeof(j->state[0]));
		if (j->state == NULL)
			return -ENOMEM;
		for (unsigned i = 0; i < p->ride.parts; i++) {
			if (p->made[i].states > 0)
				memcpy(j->state + j->state_count, p->made[i].state, p->made[i].states * sizeof(j->state[0]));
			j->state_count += p->made[i].states;
		}
	}
	j->state_space = j->state_count = count;
	return 0;
}

static int adjusts_join(struct job *j, struct portions *p)
{
	for (unsigned i = 0; i < p->ride.parts; i++) {
		const struct portion *m = &p->made[i];
		struct adjustment *wide = grown(j->adjust, &j->adjust_space, j->adjust_count + m->adjusts, sizeof(*wide));

		if (wide == NULL && m->adjusts > 0)
			return -ENOMEM;
		j->adjust = wide;
		if (m->adjusts > 0)
			memcpy(j->adjust + j->adjust_count, m->adjust, m->adjusts * sizeof(*wide));
		j->adjust_count += m->adjusts;
	}
	return 0;
}

static int arenas_join(struct job *j, const struct portions *p)
{
	int ret = 0;

	for (unsigned i = 0; i < PARTS_MAX; i++) {
		const struct arena *a = &p->arena[i];
		struct span *wide = a->count > 0 ? realloc(j->arena.chunk, (j->arena.count + a->count) * sizeof(*wide)) : NULL;

		for (size_t k = 0; wide == NULL && k < a->count; k++)
			span_free(j, &a->chunk[k]);
		if (wide != NULL) {
			memcpy(wide + j->arena.count, a->chunk, a->count * sizeof(*wide));
			j->arena.chunk = wide;
			j->arena.count += a->count;
		} else if (a->count > 0) {
			ret = -ENOMEM;
		}
		free(a->chunk);
	}
	return ret;
}

/* Into the whole job; the first error. */
static int portions_join(struct job *j, struct portions *p)
{
	int ret = arenas_join(j, p), code = states_join(j, p);

	ret = ret != 0 ? ret : code;
	if (ret == 0)
		ret = adjusts_join(j, p);
	for (unsigned i = 0; i < p->ride.parts; i++) {
		free(p->made[i].state);
		free(p->made[i].adjust);
	}
	for (unsigned i = 0; i < PARTS_MAX; i++) {
		j->part[i] = p->results[i];
		if (ret == 0 && j->part[i] != NULL)
			ret = results_join(j->results, j->part[i]);
	}
	return ret;
}

int clear_rate(struct job *j)
{
	struct portions p = { 0 };
	int ret = rides_collect(j), code;
	unsigned threads;

	if (ret == 0)
		ret = clear_asked(j);
	if (ret != 0)
		return ret;
	threads = parts_wanted(j->ride_count, PART_RIDES_MIN);
	portions_cut(j, threads, &p);
	ret = parts_run(j, threads, portions_rate, &p);
	code = portions_join(j, &p);
	return ret != 0 ? ret : code;
}
