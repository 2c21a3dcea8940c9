/*
 * A slab is a chunk cut into blocks of one kind. Slabs stay until the process ends, and their blocks in a list of the thread
 * that gave them back last: what is in use at once is bounded by connections and the queue, and so are slabs.
 */
#include "clearing/blocks.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <openssl/crypto.h>

#include "clearing/pages.h"

#define KINDS 6
#define BLOCK_BYTES_MIN 8192u	/* smaller ones are the heap's */
#define SLABS_MAX 256u		/* four gigabytes; more is the heap's */
#define PLACES 1024u

/* What goes with a batch (struct item) | what the writer asks of a usual batch | a TLS record's buffer | a usual batch, and as it lies in
 * the inbox | a part of an event buffer that takes a record in, what TLS reads ahead | a large batch. */
static const size_t kind_bytes[KINDS] = { 10752, 14848, 18432, 28672, 36864, BLOCK_BYTES_MAX };
struct block { struct block *next; };
struct own { struct block *given; uint8_t *slab; size_t used; };	/* of a kind: given back, and the slab that is being cut */
static _Thread_local struct own own[KINDS];
static unsigned slabs;			/* taken; under lock */
static pthread_mutex_t slabs_lock = PTHREAD_MUTEX_INITIALIZER;
/* Slabs by their address, which is a multiple of their size: written under lock, read by anybody. frame 0: none. */
static struct { uintptr_t frame; unsigned kind; } place[PLACES];

static size_t place_first(uintptr_t frame) { return (frame * 0x9E3779B97F4A7C15u >> 32) % PLACES; }

/* The kind of a block's slab; KINDS: it is the heap's. */
static unsigned kind_of(const void *block)
{
	uintptr_t frame = (uintptr_t)block / CHUNK_BYTES, there;

	for (size_t i = place_first(frame);; i = (i + 1) % PLACES) {
		there = __atomic_load_n(&place[i].frame, __ATOMIC_ACQUIRE);
		if (there == frame)
			return place[i].kind;
		if (there == 0)
			return KINDS;
	}
}

static void place_add(const void *start, unsigned kind)
{
	uintptr_t frame = (uintptr_t)start / CHUNK_BYTES;
	size_t i = place_first(frame);

	while (place[i].frame != 0)
		i = (i + 1) % PLACES;
	place[i].kind = kind;
	__atomic_store_n(&place[i].frame, frame, __ATOMIC_RELEASE);
}

/* NULL: no memory, or there are enough. */
static uint8_t *slab_take(unsigned kind)
{
	uint8_t *start;

	pthread_mutex_lock(&slabs_lock);
	start = slabs < SLABS_MAX ? chunk_take() : NULL;
	if (start != NULL) {
		place_add(start, kind);
		slabs++;
	}
	pthread_mutex_unlock(&slabs_lock);
	return start;
}

static void *block_cut(unsigned kind)
{
	struct own *o = &own[kind];
	uint8_t *block;

	if (o->slab == NULL || o->used + kind_bytes[kind] > CHUNK_BYTES) {
		block = slab_take(kind);
		if (block == NULL)
			return malloc(kind_bytes[kind]);
		o->slab = block;
		o->used = 0;
	}
	block = o->slab + o->used;
	o->used += kind_bytes[kind];
	return block;
}

void *block_take(size_t bytes)
{
	struct block *block;
	unsigned kind = 0;

	if (bytes < BLOCK_BYTES_MIN || bytes > BLOCK_BYTES_MAX)
		return malloc(bytes);
	while (kind_bytes[kind] < bytes)
		kind++;
	block = own[kind].given;
	if (block == NULL)
		return block_cut(kind);
	own[kind].given = block->next;
	return block;
}

void block_give(void *p)
{
	unsigned kind = p != NULL ? kind_of(p) : KINDS;
	struct block *block = p;

	if (kind == KINDS) {
		free(p);
		return;
	}
	block->next = own[kind].given;
	own[kind].given = block;
}

static void *block_resize(void *block, size_t bytes)
{
	unsigned kind = block != NULL ? kind_of(block) : KINDS;
	void *wide;

	if (kind == KINDS)
		return realloc(block, bytes);
	if (bytes <= kind_bytes[kind])
		return block;
	wide = block_take(bytes);
	if (wide == NULL)
		return NULL;
	memcpy(wide, block, kind_bytes[kind]);
	block_give(block);
	return wide;
}

static void *crypto_take(size_t bytes, const char *file, int line)
{
	(void)file;
	(void)line;
	return block_take(bytes);
}

static void *crypto_resize(void *block, size_t bytes, const char *file, int line)
{
	(void)file;
	(void)line;
	return block_resize(block, bytes);
}

static void crypto_give(void *block, const char *file, int line)
{
	(void)file;
	(void)line;
	block_give(block);
}

void blocks_kept(void)
{
	CRYPTO_set_mem_functions(crypto_take, crypto_resize, crypto_give);
	event_set_mem_functions(block_take, block_resize, block_give);
}
