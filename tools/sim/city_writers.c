/*
 * Threads that make lots of records, each with an engine of its own, a few lots ahead of the one who takes them, in their
 * order: codes are most of the work, and one file is written.
 */
#include "city.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define THREADS 2
#define AHEAD	4 /* lots made and not taken yet */

struct slot {
	bool ready;
	int ret;
	struct city_lot lot;
};
struct city_writers {
	struct city *city;
	pthread_mutex_t lock;
	pthread_cond_t change;
	uint32_t next, taken, lots; /* next to be made; taken so far */
	bool stop;
	struct slot slot[AHEAD];
	struct city_writer {
		struct city_writers *all;
		struct mac_engine *mac;
		pthread_t thread;
	} writer[THREADS];
	uint32_t writers;
};

/* The lot that is to be made next; false: none. */
static bool lot_wait(struct city_writers *w, uint32_t *ret_lot)
{
	bool any;

	pthread_mutex_lock(&w->lock);
	while (!w->stop && w->next < w->lots && w->next >= w->taken + AHEAD)
		pthread_cond_wait(&w->change, &w->lock);
	any = !w->stop && w->next < w->lots;
	if (any)
		*ret_lot = w->next++;
	pthread_mutex_unlock(&w->lock);
	return any;
}

static void *writer_run(void *arg)
{
	struct city_writer *me = arg;
	struct city_writers *w = me->all;
	uint32_t i;

	while (lot_wait(w, &i)) {
		struct slot made = {.ready = true};

		made.ret = city_lot_make(w->city, me->mac, i, &made.lot);
		pthread_mutex_lock(&w->lock);
		w->slot[i % AHEAD] = made;
		pthread_cond_broadcast(&w->change);
		pthread_mutex_unlock(&w->lock);
	}
	return NULL;
}

int city_writers_start(struct city *c, struct city_writers **ret_writers)
{
	struct city_writers *w = city_grow(NULL, sizeof(*w), 1);
	int ret = 0;

	w->city = c;
	w->lots = city_lots(c);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->change, NULL);
	for (; ret == 0 && w->writers < THREADS; w->writers += ret == 0) {
		struct city_writer *me = &w->writer[w->writers];

		me->all = w;
		ret = mac_engine_new(&me->mac);
		if (ret == 0)
			ret = -pthread_create(&me->thread, NULL, writer_run, me);
		if (ret != 0)
			mac_engine_free(me->mac);
	}
	if (ret != 0)
		city_writers_stop(w);
	else
		*ret_writers = w;
	return ret;
}

int city_writers_next(struct city_writers *w, struct city_lot *ret_lot)
{
	struct slot *s = &w->slot[w->taken % AHEAD];
	int ret;

	pthread_mutex_lock(&w->lock);
	while (!s->ready)
		pthread_cond_wait(&w->change, &w->lock);
	s->ready = false;
	w->taken++;
	ret = s->ret;
	if (ret == 0)
		*ret_lot = s->lot;
	pthread_cond_broadcast(&w->change);
	pthread_mutex_unlock(&w->lock);
	return ret;
}

void city_writers_stop(struct city_writers *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->change);
	pthread_mutex_unlock(&w->lock);
	for (uint32_t i = 0; i < w->writers; i++) {
		pthread_join(w->writer[i].thread, NULL);
		mac_engine_free(w->writer[i].mac);
	}
	for (int i = 0; i < AHEAD; i++)
		if (w->slot[i].ready && w->slot[i].ret == 0)
			city_lot_done(&w->slot[i].lot);
	pthread_cond_destroy(&w->change);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
