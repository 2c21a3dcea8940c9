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

#define PIECES_PER_THREAD 4	/* made ahead of the one that is taken */
#define PIECES_MAX (PIECES_PER_THREAD * PARTS_MAX)

struct slot { void *piece[2]; unsigned kind; bool ready; int result; };
struct pipe {
	const struct piecework *work;
	size_t count, made, taken;		/* made: those somebody has begun */
	unsigned slots;
	struct slot slot[PIECES_MAX];
	int result;
	pthread_mutex_t lock;
	pthread_cond_t change;
};

/* Which kind a piece is of, and its number among those. */
static unsigned piece_kind(const struct pipe *q, size_t nth, size_t *ret_nth)
{
	size_t seconds = q->work[1].count, before = nth * seconds / q->count;
	bool second = (nth + 1) * seconds / q->count > before;

	*ret_nth = second ? before : nth - before;
	return second;
}

/* The next piece, if one may be begun. Called with the lock, which is open while it is made. */
static bool piece_make(struct pipe *q, struct job *own, void *const tool[2])
{
	size_t nth = q->made, of_kind;
	struct slot *s = &q->slot[nth % q->slots];
	const struct piecework *w;
	int ret;

	if (q->result != 0 || nth == q->count || nth - q->taken == q->slots)
		return false;
	q->made++;
	pthread_mutex_unlock(&q->lock);
	s->kind = piece_kind(q, nth, &of_kind);
	w = &q->work[s->kind];
	ret = w->by->make(own, w->arg, tool[s->kind], of_kind, s->piece[s->kind]);
	pthread_mutex_lock(&q->lock);
	s->result = ret;
	s->ready = true;
	pthread_cond_broadcast(&q->change);
	return true;
}

static int maker_run(struct job *own, struct pipe *q, void *const tool[2])
{
	pthread_mutex_lock(&q->lock);
	while (q->result == 0 && q->made < q->count)
		if (!piece_make(q, own, tool))
			pthread_cond_wait(&q->change, &q->lock);
	pthread_mutex_unlock(&q->lock);
	return 0;
}

/* Pieces in their order; one that is not ready is waited for while another can be made meanwhile. */
static int taker_run(struct job *own, struct pipe *q, void *const tool[2])
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
			ret = q->work[s->kind].by->take(q->work[s->kind].arg, s->piece[s->kind]);
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
	void *tool[2] = { NULL };
	int ret = 0;

	for (unsigned k = 0; ret == 0 && k < 2; k++)
		ret = q->work[k].by->tool_new(q->work[k].arg, &tool[k]);
	if (ret != 0) {
		pthread_mutex_lock(&q->lock);
		q->result = ret;
		pthread_cond_broadcast(&q->change);
		pthread_mutex_unlock(&q->lock);
	} else {
		ret = nth == 0 ? taker_run(own, q, tool) : maker_run(own, q, tool);
	}
	for (unsigned k = 0; k < 2; k++)
		q->work[k].by->tool_free(tool[k]);
	return ret;
}

static int slots_new(struct pipe *q)
{
	for (unsigned i = 0; i < q->slots; i++)
		for (unsigned k = 0; k < 2; k++) {
			q->slot[i].piece[k] = calloc(1, q->work[k].by->piece_bytes);
			if (q->slot[i].piece[k] == NULL)
				return -ENOMEM;
		}
	return 0;
}

static void slots_free(struct pipe *q)
{
	for (unsigned i = 0; i < q->slots; i++)
		for (unsigned k = 0; k < 2; k++) {
			if (q->slot[i].piece[k] != NULL)
				q->work[k].by->piece_done(q->slot[i].piece[k]);
			free(q->slot[i].piece[k]);
		}
}

int pieces_run(struct job *j, const struct piecework work[2])
{
	struct pipe q = { .work = work, .count = work[0].count + work[1].count };
	unsigned parts = parts_wanted(q.count, 2);
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
