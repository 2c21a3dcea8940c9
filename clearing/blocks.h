/*
 * blocks - large blocks of TLS, of event buffers and of batches on their way, cut from chunks (pages.h) and used again by
 * each thread. A connection has them only while a record is on its way (SSL_MODE_RELEASE_BUFFERS), so that ten thousand
 * idle ones are small; from the heap they would be cut and joined for each batch, in small pages that the system zeroes one
 * by one, a tenth of a front's time. Private to clearing/.
 */
#ifndef CLEARING_BLOCKS_H
#define CLEARING_BLOCKS_H

#include <stddef.h>

/* From here on OpenSSL and libevent take their memory so. Before either is used, in a process of one thread. */
void blocks_kept(void);
/* So many bytes, as malloc gives them: not zeroed, NULL: no memory. From the heap what is small or larger than this. */
#define BLOCK_BYTES_MAX 49152u
void *block_take(size_t bytes);
void block_give(void *block);		/* by any thread; NULL is fine */

#endif
