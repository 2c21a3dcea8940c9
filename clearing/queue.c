/* queue - batches and calls on their way to the one writer: a list under a lock, taken whole. */
#include "clearing/daemon.h"

void queue_init(struct queue *q)
{
	*q = (struct queue){ 0 };
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->signal, NULL);
	q->last = &q->first;
}

bool queue_put(struct queue *q, struct item *item)
{
	bool put;

	item->next = NULL;
	pthread_mutex_lock(&q->lock);
	put = !q->stopping;
	if (put) {
		*q->last = item;
		q->last = &item->next;
		__atomic_store_n(&q->bytes, q->bytes + item->bytes_count, __ATOMIC_RELAXED);
		__atomic_store_n(&q->count, q->count + 1, __ATOMIC_RELAXED);
		pthread_cond_signal(&q->signal);
	}
	pthread_mutex_unlock(&q->lock);
	return put;
}

struct item *queue_take(struct queue *q, size_t items_max)
{
	struct item *first, *item;

	pthread_mutex_lock(&q->lock);
	while (q->first == NULL && !q->stopping)
		pthread_cond_wait(&q->signal, &q->lock);
	first = item = q->first;
	for (size_t i = 0; item != NULL; i++) {
		__atomic_store_n(&q->bytes, q->bytes - item->bytes_count, __ATOMIC_RELAXED);
		__atomic_store_n(&q->count, q->count - 1, __ATOMIC_RELAXED);
		if (i + 1 == items_max || item->next == NULL)
			break;
		item = item->next;
	}
	if (item != NULL) {
		q->first = item->next;
		item->next = NULL;
		if (q->first == NULL)
			q->last = &q->first;
	}
	pthread_mutex_unlock(&q->lock);
	return first;
}

size_t queue_bytes(struct queue *q) { return __atomic_load_n(&q->bytes, __ATOMIC_RELAXED); }
size_t queue_count(struct queue *q) { return __atomic_load_n(&q->count, __ATOMIC_RELAXED); }

bool queue_idle(struct queue *q)
{
	bool idle;

	pthread_mutex_lock(&q->lock);
	idle = q->first == NULL && !q->stopping;
	pthread_mutex_unlock(&q->lock);
	return idle;
}

void queue_stop(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_cond_broadcast(&q->signal);
	pthread_mutex_unlock(&q->lock);
}
