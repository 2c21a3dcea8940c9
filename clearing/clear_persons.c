/*
 * clear_persons - the persons of a day rated side by side. A person's rides are rated one after the other, and no person's
 * with another's; so the sorted rides are cut between persons into parts, one for each thread, and what the parts leave
 * is put together in their order.
 */
#include "clearing/clear.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PART_RIDES_MIN 64

/* Of the rides and of those asked for: what each part has; and the part's job when it is done, with what it made. */
struct portions { struct cut ride; size_t asked[PARTS_MAX + 1]; struct job made[PARTS_MAX]; };

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

static int portion_rate(struct job *own, void *arg, unsigned part)
{
	struct portions *p = arg;
	size_t share = own->count / p->ride.parts;
	int ret = results_new(&own->results);

	if (ret == 0)
		ret = persons_rate(own, p->ride.at[part], p->ride.at[part + 1], p->asked[part], p->asked[part + 1]);
	if (ret == 0)
		ret = others_say(own, share * part, part + 1 == p->ride.parts ? own->count : share * (part + 1));
	p->made[part] = *own;
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

/* Between persons. Those asked for who have no new rides go with the part before the next person that has. */
static void portions_cut(const struct job *j, struct portions *p)
{
	list_cut(j->ride, j->ride_count, parts_wanted(j->ride_count, PART_RIDES_MIN), same_person, &p->ride);
	for (unsigned i = 1; i <= p->ride.parts; i++)
		p->asked[i] = p->ride.at[i] == j->ride_count ? j->asked_count : asked_from(j, j->ride[p->ride.at[i]]->person);
}

/* Behind what is there; the first list is taken as it is. */
static int list_join(void **to, size_t *to_count, size_t *to_space, void **from, size_t count, size_t bytes)
{
	void *wide;

	if (*to_count == 0) {
		free(*to);
		*to = *from;
		*from = NULL;
		*to_space = *to_count = count;
		return 0;
	}
	if (count == 0)
		return 0;
	wide = realloc(*to, (*to_count + count) * bytes);
	if (wide == NULL)
		return -ENOMEM;
	memcpy((uint8_t *)wide + *to_count * bytes, *from, count * bytes);
	*to = wide;
	*to_space = *to_count += count;
	return 0;
}

/* Into the whole job: states by person, adjustments, results, and the memory behind them. */
static int portion_join(struct job *j, struct job *own, unsigned part)
{
	size_t space = 0;
	int ret = list_join((void **)&j->state, &j->state_count, &j->state_space, (void **)&own->state, own->state_count, sizeof(own->state[0]));

	if (ret == 0)
		ret = list_join((void **)&j->adjust, &j->adjust_count, &j->adjust_space, (void **)&own->adjust, own->adjust_count, sizeof(own->adjust[0]));
	if (ret == 0)
		ret = list_join((void **)&j->arena.chunk, &j->arena.count, &space, (void **)&own->arena.chunk, own->arena.count, sizeof(own->arena.chunk[0]));
	for (size_t i = 0; ret != 0 && i < own->arena.count; i++)
		span_free(j, &own->arena.chunk[i]);
	free(own->arena.chunk);
	free(own->state);
	free(own->adjust);
	j->part[part] = own->results;
	return ret == 0 && own->results != NULL ? results_join(j->results, own->results) : ret;
}

int clear_rate(struct job *j)
{
	struct portions p = { 0 };
	int ret = rides_collect(j), code;

	if (ret == 0)
		ret = clear_asked(j);
	if (ret != 0)
		return ret;
	portions_cut(j, &p);
	ret = parts_run(j, p.ride.parts, portion_rate, &p);
	for (unsigned i = 0; i < p.ride.parts; i++) {
		code = portion_join(j, &p.made[i], i);
		ret = ret != 0 ? ret : code;
	}
	return ret;
}
