/*
 * clear_parts - the persons of a day rated side by side. A person's rides are rated one after the other, and no person's
 * with another's; so the sorted rides are cut between persons into parts, one for each thread, and what the parts leave
 * is put together in their order: the rows are the same, however many there were.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PART_RIDES_MIN 64
#define PARTS_MAX 8

static unsigned threads_set;

void clear_threads(unsigned threads) { threads_set = threads; }

static size_t parts_wanted(size_t rides)
{
	long processors = threads_set > 0 ? (long)threads_set : sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = processors < 1 ? 1 : processors > PARTS_MAX ? PARTS_MAX : (size_t)processors;

	return rides / PART_RIDES_MIN < n ? rides / PART_RIDES_MIN + 1 : n;
}

/* The job as the part sees it: what it only reads is shared, what it makes is its own. */
struct portion { struct job job; size_t ride, ride_end, asked, asked_end; int result; bool started; pthread_t thread; };

static void *part_run(void *arg)
{
	struct portion *p = arg;
	struct job *j = &p->job;

	p->result = txn_begin(j->store, false, &j->txn);
	if (p->result == 0)
		p->result = results_new(&j->results);
	if (p->result == 0)
		p->result = persons_rate(j, p->ride, p->ride_end, p->asked, p->asked_end);
	txn_abort(&j->txn);
	return NULL;
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

/* Between persons. Those asked for who have no new rides go with the part before the next person that has. */
static void part_cut(const struct job *j, struct portion *list, size_t parts)
{
	for (size_t i = 0; i < parts; i++) {
		size_t end = i + 1 == parts ? j->ride_count : j->ride_count / parts * (i + 1);

		while (end > 0 && end < j->ride_count && j->ride[end]->person == j->ride[end - 1]->person)
			end++;
		list[i] = (struct portion){ .job = *j, .ride = i == 0 ? 0 : list[i - 1].ride_end, .asked = i == 0 ? 0 : list[i - 1].asked_end };
		list[i].ride_end = end < list[i].ride ? list[i].ride : end;
		list[i].asked_end = end == j->ride_count ? j->asked_count : asked_from(j, j->ride[end]->person);
		list[i].job.txn = (struct txn){ 0 };
	}
}

static int list_join(void **to, size_t *to_count, size_t *to_space, const void *from, size_t count, size_t bytes)
{
	void *wide;

	if (count == 0)
		return 0;
	wide = realloc(*to, (*to_count + count) * bytes);
	if (wide == NULL)
		return -ENOMEM;
	memcpy((uint8_t *)wide + *to_count * bytes, from, count * bytes);
	*to = wide;
	*to_space = *to_count += count;
	return 0;
}

/* Into the whole job: states by person, adjustments, and the memory behind both and behind the results. */
static int part_join(struct job *j, struct portion *p)
{
	struct job *own = &p->job;
	size_t space = 0;
	int ret = p->result;

	if (ret == 0)
		ret = list_join((void **)&j->state, &j->state_count, &j->state_space, own->state, own->state_count, sizeof(own->state[0]));
	if (ret == 0)
		ret = list_join((void **)&j->adjust, &j->adjust_count, &j->adjust_space, own->adjust, own->adjust_count, sizeof(own->adjust[0]));
	if (ret == 0)
		ret = list_join((void **)&j->arena.chunk, &j->arena.count, &space, own->arena.chunk, own->arena.count, sizeof(own->arena.chunk[0]));
	j->arena.used = SIZE_MAX / 2;		/* nothing more goes into its last piece */
	if (ret == 0)
		own->arena.count = 0;
	if (ret == 0)
		ret = list_join((void **)&j->part, &j->parts, &space, &own->results, own->results != NULL, sizeof(own->results));
	if (ret == 0)
		own->results = NULL;
	for (size_t i = 0; i < own->arena.count; i++)
		free(own->arena.chunk[i]);
	free(own->arena.chunk);
	free(own->state);
	free(own->adjust);
	results_free(own->results);
	return ret;
}

int clear_rate(struct job *j)
{
	struct portion list[PARTS_MAX];
	size_t parts;
	int ret = rides_collect(j), code;

	if (ret == 0)
		ret = clear_asked(j);
	if (ret != 0)
		return ret;
	parts = parts_wanted(j->ride_count);
	if (parts == 1)
		return persons_rate(j, 0, j->ride_count, 0, j->asked_count);
	part_cut(j, list, parts);
	for (size_t i = 1; i < parts; i++)
		list[i].started = pthread_create(&list[i].thread, NULL, part_run, &list[i]) == 0;
	for (size_t i = 0; i < parts; i++)
		if (!list[i].started)
			part_run(&list[i]);
	for (size_t i = 0; i < parts; i++) {
		if (list[i].started)
			pthread_join(list[i].thread, NULL);
		code = part_join(j, &list[i]);
		ret = ret != 0 ? ret : code;
	}
	return ret;
}
