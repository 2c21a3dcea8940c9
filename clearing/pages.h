/*
 * pages - zeroed memory from the system, in large pages where it has them. Whoever fills memory as it goes takes chunks
 * of one size: a thread of the daemon touches some ahead of need, since the system zeroes a page when it is touched first,
 * and two milliseconds for a large one are not the writer's to spend; and it keeps some of a day that was cut for the next
 * one. Private to clearing/.
 */
#ifndef CLEARING_PAGES_H
#define CLEARING_PAGES_H

#include <stddef.h>
#include <stdint.h>

#define CHUNK_BYTES ((size_t)16 << 20)

/* Fetched, by a read that nothing waits for: a prefetch into a page that the processor has to search for is dropped. A loop
 * of these and little else has many on their way at once. */
static inline void touch(const void *p) { (void)*(const volatile uint8_t *)p; }

/* Given back with the same size; NULL: no memory. */
void *pages_take(size_t bytes);
void pages_give(void *pages, size_t bytes);

/* A chunk of CHUNK_BYTES at a multiple of them, zeroed; touched already when one is ready. NULL: no memory. Any thread. */
void *chunk_take(void);
void *chunk_untouched(void);		/* the same, its pages asked for when they are touched: for what mostly stays small */
void chunk_give(void *chunk);	/* it may be made ready again; NULL is fine */
/* So many beside each other, each given back by itself, with whatever was there before: of those given back and of those ready, but
 * half of what is wanted ready is left, then of pages asked for when they are touched. NULL: no memory. Any thread. */
void *chunks_take(size_t count);
/* From here on so many are made ready, fewer than CHUNKS_READY_MAX, and again so many when half of them were taken. 0, or a
 * negative errno: none are, and all works without. */
#define CHUNKS_READY_MAX 1024
int chunks_ready(size_t chunks);
size_t chunks_ready_now(void);
void chunks_ready_stop(void);

#endif
