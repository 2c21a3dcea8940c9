/*
 * blocks - the large blocks of TLS and of event buffers, kept by each thread and used again. A connection has them only
 * while a record is on its way (SSL_MODE_RELEASE_BUFFERS), so that ten thousand idle ones are small; for each batch they
 * would be cut from the heap and joined to it again, a tenth of a front's time. Private to clearing/.
 */
#ifndef CLEARING_BLOCKS_H
#define CLEARING_BLOCKS_H

/* From here on OpenSSL and libevent take their memory so. Before either is used, in a process of one thread. */
void blocks_kept(void);
/* At the end of a thread: gives back what it kept. */
void blocks_drop(void);

#endif
