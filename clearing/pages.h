/*
 * pages - zeroed memory from the system, in large pages where it has them. Whoever fills memory as it goes takes chunks
 * of one size: those of a day are touched ahead of need by a thread of the daemon, since the system zeroes a page when
 * it is touched first, and two milliseconds for a large one are not the writer's to spend. Private to clearing/.
 */
#ifndef CLEARING_PAGES_H
#define CLEARING_PAGES_H

#include <stddef.h>

#define CHUNK_BYTES ((size_t)16 << 20)

/* Given back with the same size; NULL: no memory. */
void *pages_take(size_t bytes);
void pages_give(void *pages, size_t bytes);

/* A chunk of CHUNK_BYTES, given back with pages_give; touched already when one is ready. Any thread. */
void *chunk_take(void);
/* From here on one is always made ready, once one was taken. 0, or a negative errno: none is, and all works without. */
int chunks_ready(void);
void chunks_ready_stop(void);

#endif
