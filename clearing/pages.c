#include "clearing/pages.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
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

/* Addresses for chunks, cut out of one more; what is behind them comes from the system as it is touched, in large pages, or nothing is. */
static uint8_t *addresses_take(size_t bytes, int protection)
{
	uint8_t *p = mmap(NULL, bytes + CHUNK_BYTES, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before = p != MAP_FAILED ? -(uintptr_t)p % CHUNK_BYTES : 0;

	if (p == MAP_FAILED)
		return NULL;
	if (before > 0)
		munmap(p, before);
	munmap(p + before + bytes, CHUNK_BYTES - before);
	if (protection != PROT_NONE)
		madvise(p + before, bytes, MADV_HUGEPAGE);
	return p + before;
}

void *chunk_untouched(void) { return addresses_take(CHUNK_BYTES, PROT_READ | PROT_WRITE); }

/* ---- chunks, some of them ready ------------------------------------------------------------------------- */

struct used { struct used *next; };	/* a chunk given back, not zeroed yet: begins with the next one */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	pthread_t thread;
	void *chunk[CHUNKS_READY_MAX];
	struct used *used;
	size_t count, uses, wants;	/* ready; used ones; of both so many are kept */
	bool running, stopping, filling, short_of;	/* short_of: the system had no memory; not before the next one is asked for */
} ready = { .lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER };

/* One page after the other, never the whole at once: somebody else may wait for the same address space. */
static void *chunk_touched(void)
{
	uint8_t *p = chunk_untouched();

	for (size_t at = 0; p != NULL && at < CHUNK_BYTES; at += SMALL_BYTES)
		((volatile uint8_t *)p)[at] = 0;
	return p;
}

static void *chunk_zeroed(void *chunk) { return memset(chunk, 0, CHUNK_BYTES); }

/* Fewer than half are ready, or there are not as many as are wanted since. A peak that needs less than half waits for nobody. */
static bool chunks_wanted(void)
{
	if (ready.count >= ready.wants || ready.short_of)
		ready.filling = false;
	else if (ready.count < (ready.wants + 1) / 2)
		ready.filling = true;
	return ready.filling;
}

/* Those given back come first: their pages need not be asked for again. */
static void *ready_main(void *arg)
{
	struct used *used;
	void *chunk;

	(void)arg;
	pthread_setname_np(pthread_self(), "pages");
	pthread_mutex_lock(&ready.lock);
	while (!ready.stopping) {
		used = ready.used;
		if (used == NULL && !chunks_wanted()) {
			pthread_cond_wait(&ready.wanted, &ready.lock);
			continue;
		}
		if (used != NULL) {
			ready.used = used->next;
			ready.uses--;
		}
		pthread_mutex_unlock(&ready.lock);
		chunk = used != NULL ? chunk_zeroed(used) : chunk_touched();
		pthread_mutex_lock(&ready.lock);
		ready.short_of = chunk == NULL;
		if (chunk != NULL)
			ready.chunk[ready.count++] = chunk;
	}
	pthread_mutex_unlock(&ready.lock);
	return NULL;
}

void *chunk_take(void)
{
	void *chunk;

	pthread_mutex_lock(&ready.lock);
	chunk = ready.count > 0 ? ready.chunk[--ready.count] : NULL;
	ready.short_of = false;
	pthread_cond_signal(&ready.wanted);
	pthread_mutex_unlock(&ready.lock);
	return chunk != NULL ? chunk : chunk_untouched();
}

/* One for who does not ask for zeros; NULL: none to spare. */
static void *chunk_spare(void)
{
	void *chunk = NULL;

	pthread_mutex_lock(&ready.lock);
	if (ready.used != NULL) {
		chunk = ready.used;
		ready.used = ready.used->next;
		ready.uses--;
	} else if (ready.count > (ready.wants + 1) / 2) {
		chunk = ready.chunk[--ready.count];
	}
	pthread_mutex_unlock(&ready.lock);
	return chunk;
}

/* A chunk keeps its pages when it gets another address. */
void *chunks_take(size_t count)
{
	uint8_t *p = addresses_take(count * CHUNK_BYTES, PROT_NONE), *at = p;
	void *chunk;

	for (; p != NULL && at < p + count * CHUNK_BYTES && (chunk = chunk_spare()) != NULL; at += CHUNK_BYTES)
		if (mremap(chunk, CHUNK_BYTES, CHUNK_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED) {
			chunk_give(chunk);
			break;
		}
	if (p == NULL || at == p + count * CHUNK_BYTES)
		return p;
	if (mprotect(at, (size_t)(p + count * CHUNK_BYTES - at), PROT_READ | PROT_WRITE) != 0) {
		munmap(p, count * CHUNK_BYTES);
		return NULL;
	}
	madvise(at, (size_t)(p + count * CHUNK_BYTES - at), MADV_HUGEPAGE);
	return p;
}

void chunk_give(void *chunk)
{
	struct used *used = chunk;
	bool kept;

	if (chunk == NULL)
		return;
	assert((uintptr_t)chunk % CHUNK_BYTES == 0);
	pthread_mutex_lock(&ready.lock);
	kept = ready.running && ready.count + ready.uses < ready.wants;
	if (kept) {
		used->next = ready.used;
		ready.used = used;
		ready.uses++;
		pthread_cond_signal(&ready.wanted);
	}
	pthread_mutex_unlock(&ready.lock);
	if (!kept)
		pages_give(chunk, CHUNK_BYTES);
}

int chunks_ready(size_t chunks)
{
	int ret;

	pthread_mutex_lock(&ready.lock);
	ready.wants = chunks < CHUNKS_READY_MAX ? chunks : CHUNKS_READY_MAX - 1;
	ready.stopping = false;
	ready.filling = true;
	ret = -pthread_create(&ready.thread, NULL, ready_main, NULL);
	ready.running = ret == 0;
	pthread_mutex_unlock(&ready.lock);
	return ret;
}

size_t chunks_ready_now(void)
{
	size_t count;

	pthread_mutex_lock(&ready.lock);
	count = ready.count;
	pthread_mutex_unlock(&ready.lock);
	return count;
}

void chunks_ready_stop(void)
{
	struct used *used, *next;

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
	while (ready.count > 0)
		pages_give(ready.chunk[--ready.count], CHUNK_BYTES);
	for (used = ready.used; used != NULL; used = next) {
		next = used->next;
		pages_give(used, CHUNK_BYTES);
	}
	ready.used = NULL;
	ready.uses = 0;
}
