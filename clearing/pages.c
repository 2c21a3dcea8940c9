#include "clearing/pages.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#define LARGE_BYTES ((size_t)2 << 20)	/* of a large page */
#define SMALL_BYTES ((size_t)4096)

void *pages_take(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (bytes >= LARGE_BYTES)
		madvise(p, bytes, MADV_HUGEPAGE);	/* refused: the pages are small ones */
	return p;
}

void pages_give(void *pages, size_t bytes)
{
	if (pages != NULL)
		munmap(pages, bytes);
}

/* ---- chunks, one of them ready ------------------------------------------------------------------------ */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	pthread_t thread;
	void *chunk;		/* ready */
	bool running, stopping, used;	/* used: one was taken */
} ready = { .lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER };

/* One page after the other, never the whole at once: somebody else may wait for the same address space. */
static void *chunk_touched(void)
{
	uint8_t *p = pages_take(CHUNK_BYTES);

	for (size_t at = 0; p != NULL && at < CHUNK_BYTES; at += SMALL_BYTES)
		((volatile uint8_t *)p)[at] = 0;
	return p;
}

static void *ready_main(void *arg)
{
	void *chunk;

	(void)arg;
	pthread_setname_np(pthread_self(), "pages");
	pthread_mutex_lock(&ready.lock);
	while (!ready.stopping) {
		if (!ready.used || ready.chunk != NULL) {
			pthread_cond_wait(&ready.wanted, &ready.lock);
			continue;
		}
		pthread_mutex_unlock(&ready.lock);
		chunk = chunk_touched();
		pthread_mutex_lock(&ready.lock);
		ready.chunk = chunk;
		if (chunk == NULL)
			ready.used = false;	/* no memory: not before the next one is asked for */
	}
	pthread_mutex_unlock(&ready.lock);
	return NULL;
}

void *chunk_take(void)
{
	void *chunk;

	pthread_mutex_lock(&ready.lock);
	chunk = ready.chunk;
	ready.chunk = NULL;
	ready.used = true;
	pthread_cond_signal(&ready.wanted);
	pthread_mutex_unlock(&ready.lock);
	return chunk != NULL ? chunk : pages_take(CHUNK_BYTES);
}

int chunks_ready(void)
{
	int ret;

	ready.stopping = false;
	ret = -pthread_create(&ready.thread, NULL, ready_main, NULL);
	pthread_mutex_lock(&ready.lock);
	ready.running = ret == 0;
	pthread_mutex_unlock(&ready.lock);
	return ret;
}

void chunks_ready_stop(void)
{
	pthread_mutex_lock(&ready.lock);
	if (!ready.running) {
		pthread_mutex_unlock(&ready.lock);
		return;
	}
	ready.running = false;
	ready.stopping = true;
	pthread_cond_signal(&ready.wanted);
	pthread_mutex_unlock(&ready.lock);
	pthread_join(ready.thread, NULL);
	pages_give(ready.chunk, CHUNK_BYTES);
	ready.chunk = NULL;
}
