/*
 * clear_threads - a stage of the clear by several threads. What is made does not depend on how many there are: either a list
 * is cut into parts where nothing goes over the cut, threads take them, and what the parts leave is put together in their
 * order; or pieces are made by whoever is free and taken one after the other.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned threads_set;

void clear_threads(unsigned threads) { threads_set = threads; }

unsigned parts_threads(size_t parts)
{
	long processors = threads_set > 0 ? (long)threads_set : sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = processors < 1 ? 1 : processors > CLEAR_THREADS_MAX ? CLEAR_THREADS_MAX : (size_t)processors;

	return (unsigned)(parts < n ? parts : n);
}

unsigned parts_wanted(size_t count, size_t least)
{
	size_t most = count / least + 1, parts = (size_t)parts_threads(most) * PARTS_PER_THREAD;

	return (unsigned)(parts < most ? parts : most);
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

/* The first parts are the threads' own; the others are whose who is free, for no two processors are as fast as each other. */
struct crew { struct job job; part_fn fn; void *arg; unsigned parts; atomic_uint next; int result[PARTS_MAX]; };	/* job: as it was, for who takes pieces changes it */
struct worker { struct job job; struct crew *crew; bool started; pthread_t thread; };

/* The job as it is, but for what is the thread's. */
static void job_again(struct job *own, const struct job *j)
{
	const struct job before = *own;

	*own = *j;
	own->txn = before.txn;
	memcpy(own->spare, before.spare, sizeof(own->spare));
	own->thread = before.thread;
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct crew *c = w->crew;

	for (unsigned part = w->job.thread; part < c->parts; part = atomic_fetch_add(&c->next, 1)) {
		job_again(&w->job, &c->job);
		c->result[part] = c->fn(&w->job, c->arg, part);
		if (c->result[part] == 0)
			c->result[part] = w->job.txn.error;
	}
	return NULL;
}

static void workers_start(struct worker *worker, unsigned threads)
{
	for (unsigned i = 1; i < threads; i++)
		worker[i].started = pthread_create(&worker[i].thread, NULL, worker_run, &worker[i]) == 0;
	for (unsigned i = 0; i < threads; i++)
		if (!worker[i].started)
			worker_run(&worker[i]);
	for (unsigned i = 1; i < threads; i++)
		if (worker[i].started)
			pthread_join(worker[i].thread, NULL);
}

int parts_run(struct job *j, unsigned parts, part_fn fn, void *arg)
{
	struct crew c = { .job = *j, .fn = fn, .arg = arg, .parts = parts };
	struct worker worker[CLEAR_THREADS_MAX] = { 0 };
	unsigned threads = parts_threads(parts);
	int ret = 0;

	atomic_init(&c.next, threads);
	for (unsigned i = 0; i < threads; i++) {
		worker[i].job.thread = i;
		worker[i].crew = &c;
	}
	for (unsigned i = 0; i < SPARES; i++)		/* each has some of what was kept, and the job what comes back */
		worker[i % threads].job.spare[i / threads] = j->spare[i];
	memset(j->spare, 0, sizeof(j->spare));
	for (unsigned i = 0; ret == 0 && i < threads; i++)
		if ((ret = txn_begin(j->store, false, &worker[i].job.txn)) == 0)
			worker[i].job.txn.rising = true;	/* of persons and card numbers, sorted */
	if (ret == 0)
		workers_start(worker, threads);
	for (unsigned i = 0; i < threads; i++) {
		txn_abort(&worker[i].job.txn);
		for (unsigned k = 0; k < SPARES; k++)
			span_free(j, &worker[i].job.spare[k]);
	}
	for (unsigned i = 0; ret == 0 && i < parts; i++)
		ret = c.result[i];
	return ret;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

#define PIECES_PER_THREAD 12	/* made ahead of the one that is taken: some milliseconds, for which its maker may not have the processor */
#define PIECES_MAX (PIECES_PER_THREAD * CLEAR_THREADS_MAX)

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
	int ret = q->by->tool_new(own, q->arg, &tool);

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
	unsigned threads = parts_threads(count / 2 + 1);
	int ret;

	q.slots = threads == 1 ? 1 : threads * PIECES_PER_THREAD;
	ret = slots_new(&q);
	pthread_mutex_init(&q.lock, NULL);
	pthread_cond_init(&q.change, NULL);
	if (ret == 0)
		ret = parts_run(j, threads, pipe_part, &q);
	pthread_cond_destroy(&q.change);
	pthread_mutex_destroy(&q.lock);
	slots_free(&q);
	return ret != 0 ? ret : q.result;
}
