/*
 * clear_threads - a stage of the clear by several threads. What is made does not depend on how many there are: either each
 * thread has a part of a list, cut where nothing goes over the cut, and what the parts leave is put together in their
 * order; or pieces are made by whoever is free and taken one after the other.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned threads_set;

void clear_threads(unsigned threads) { threads_set = threads; }

unsigned parts_wanted(size_t count, size_t least)
{
	long processors = threads_set > 0 ? (long)threads_set : sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = processors < 1 ? 1 : processors > PARTS_MAX ? PARTS_MAX : (size_t)processors;

	return (unsigned)(count / least < n ? count / least + 1 : n);
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

struct worker { struct job job; part_fn fn; void *arg; unsigned nth; int result; bool started; pthread_t thread; };

static void *part_run(void *arg)
{
	struct worker *p = arg;

	p->result = p->fn(&p->job, p->arg, p->nth);
	if (p->result == 0)
		p->result = p->job.txn.error;
	return NULL;
}

static int parts_start(struct worker *part, unsigned parts)
{
	for (unsigned i = 1; i < parts; i++)
		part[i].started = pthread_create(&part[i].thread, NULL, part_run, &part[i]) == 0;
	for (unsigned i = 0; i < parts; i++)
		if (!part[i].started)
			part_run(&part[i]);
	for (unsigned i = 1; i < parts; i++)
		if (part[i].started)
			pthread_join(part[i].thread, NULL);
	for (unsigned i = 0; i < parts; i++)
		if (part[i].result != 0)
			return part[i].result;
	return 0;
}

int parts_run(struct job *j, unsigned parts, part_fn fn, void *arg)
{
	struct worker part[PARTS_MAX];
	int ret = 0;

	for (unsigned i = 0; i < parts; i++) {
		part[i] = (struct worker){ .job = *j, .fn = fn, .arg = arg, .nth = i };
		part[i].job.txn = (struct txn){ 0 };
		memset(part[i].job.spare, 0, sizeof(part[i].job.spare));
	}
	for (unsigned i = 0; i < SPARES; i++)		/* each has some of what was kept, and the job what comes back */
		part[i % parts].job.spare[i / parts] = j->spare[i];
	memset(j->spare, 0, sizeof(j->spare));
	for (unsigned i = 0; ret == 0 && i < parts; i++)
		if ((ret = txn_begin(j->store, false, &part[i].job.txn)) == 0)
			part[i].job.txn.rising = true;		/* of persons and card numbers, sorted */
	if (ret == 0)
		ret = parts_start(part, parts);
	for (unsigned i = 0; i < parts; i++) {
		txn_abort(&part[i].job.txn);
		for (unsigned k = 0; k < SPARES; k++)
			span_free(j, &part[i].job.spare[k]);
	}
	return ret;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

#define PIECES_PER_THREAD 12	/* made ahead of the one that is taken: some milliseconds, for which its maker may not have the processor */
#define PIECES_MAX (PIECES_PER_THREAD * PARTS_MAX)

struct slot { void *piece; bool ready; int result; };
struct pipe {
	const struct pieces *by; void *arg;
	size_t count, made, taken;		/* made: those somebody has begun */
	unsigned slots;
	struct slot slot[PIECES_MAX];
	int result;
	pthread_mutex_t lock;
	pthread_cond_t change;
};

/* The next piece, if one may be begun. Called with the lock, which is open while it is made. */
static bool piece_make(struct pipe *q, struct job *own, void *tool)
{
	size_t nth = q->made;
	struct slot *s = &q->slot[nth % q->slots];
	int ret;

	if (q->result != 0 || nth == q->count || nth - q->taken == q->slots)
		return false;
	q->made++;
	pthread_mutex_unlock(&q->lock);
	ret = q->by->make(own, q->arg, tool, nth, s->piece);
	pthread_mutex_lock(&q->lock);
	s->result = ret;
	s->ready = true;
	pthread_cond_broadcast(&q->change);
	return true;
}

static int maker_run(struct job *own, struct pipe *q, void *tool)
{
	pthread_mutex_lock(&q->lock);
	while (q->result == 0 && q->made < q->count)
		if (!piece_make(q, own, tool))
			pthread_cond_wait(&q->change, &q->lock);
	pthread_mutex_unlock(&q->lock);
	return 0;
}

/* Pieces in their order; one that is not ready is waited for while another can be made meanwhile. */
static int taker_run(struct job *own, struct pipe *q, void *tool)
{
	pthread_mutex_lock(&q->lock);
	while (q->result == 0 && q->taken < q->count) {
		struct slot *s = &q->slot[q->taken % q->slots];

		if (!s->ready) {
			if (!piece_make(q, own, tool))
				pthread_cond_wait(&q->change, &q->lock);
			continue;
		}
		s->ready = false;
		q->result = s->result;
		if (q->result == 0) {
			int ret;

			pthread_mutex_unlock(&q->lock);
			ret = q->by->take(q->arg, s->piece);
			pthread_mutex_lock(&q->lock);
			q->result = ret;
		}
		q->taken++;
		pthread_cond_broadcast(&q->change);
	}
	pthread_mutex_unlock(&q->lock);
	return q->result;
}

static int pipe_part(struct job *own, void *arg, unsigned nth)
{
	struct pipe *q = arg;
	void *tool = NULL;
	int ret = q->by->tool_new(q->arg, &tool);

	if (ret != 0) {
		pthread_mutex_lock(&q->lock);
		q->result = ret;
		pthread_cond_broadcast(&q->change);
		pthread_mutex_unlock(&q->lock);
	} else {
		ret = nth == 0 ? taker_run(own, q, tool) : maker_run(own, q, tool);
	}
	q->by->tool_free(tool);
	return ret;
}

/* A piece shares no line of the cache, nor the one fetched with it, with another: both are written all the time, by two processors. */
#define APART_BYTES 128

static int slots_new(struct pipe *q)
{
	size_t bytes = (q->by->piece_bytes + APART_BYTES - 1) / APART_BYTES * APART_BYTES;

	for (unsigned i = 0; i < q->slots; i++) {
		q->slot[i].piece = aligned_alloc(APART_BYTES, bytes);
		if (q->slot[i].piece == NULL)
			return -ENOMEM;
		memset(q->slot[i].piece, 0, bytes);
	}
	return 0;
}

static void slots_free(struct pipe *q)
{
	for (unsigned i = 0; i < q->slots; i++) {
		if (q->slot[i].piece != NULL)
			q->by->piece_done(q->slot[i].piece);
		free(q->slot[i].piece);
	}
}

int pieces_run(struct job *j, const struct pieces *by, void *arg, size_t count)
{
	struct pipe q = { .by = by, .arg = arg, .count = count };
	unsigned parts = parts_wanted(count, 2);
	int ret;

	q.slots = parts == 1 ? 1 : parts * PIECES_PER_THREAD;
	ret = slots_new(&q);
	pthread_mutex_init(&q.lock, NULL);
	pthread_cond_init(&q.change, NULL);
	if (ret == 0)
		ret = parts_run(j, parts, pipe_part, &q);
	pthread_cond_destroy(&q.change);
	pthread_mutex_destroy(&q.lock);
	slots_free(&q);
	return ret != 0 ? ret : q.result;
}
