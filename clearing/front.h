/*
 * front - what the files of a front share: its connections (front.c) and the batches on their way through it
 * (front_batch.c). All of it is the front's thread's own, but what the writer hands back. Private to clearing/.
 */
#ifndef CLEARING_FRONT_H
#define CLEARING_FRONT_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "clearing/core/thin.h"
#include "clearing/daemon.h"

#define PART_BYTES_MAX (128 * 1024)

struct conn {
	struct conn *next, *prev;
	struct front *front;
	struct bufferevent *bev;
	struct event *deadline;
	char device[DEVICE_BYTES_MAX + 1];
	bool greeted;			/* hello seen */
	struct item *item;		/* its batch that is with the writer; NULL: none */
	struct item *ask;		/* its question about a code that is with kerb.c; NULL: none */
};
struct front {
	struct daemon *daemon;
	pthread_t thread;
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *wake, *resume, *sweep;
	int wake_fd, reserve_fd;
	struct trust *trust;
	struct verifier *verifier;
	struct conn *conns;
	uint64_t count;			/* of conns; as the counts below, read by others too */
	struct front_counts counts;
	struct item *spare;		/* to be used again: as many as were on their way at once */
	struct batch_taps taps;		/* of the batch in hand */
	pthread_mutex_t lock;
	struct item *answered;		/* by the writer, under lock */
	bool stopping;
	uint8_t thin[THIN_BYTES_MAX + THIN_SLACK];	/* a batch's while it is made */
	uint8_t out[FRAME_HEAD_BYTES + PART_BYTES_MAX + 256];
};

/* What out holds, n bytes of it; negative: it could not be made. */
void conn_send(struct conn *c, int n);
void send_refuse(struct conn *c, uint32_t file_serial, int code, const char *text, bool retry);
void conn_read(struct conn *c);		/* takes what has come; the connection may be gone after */

/* A batch's frame is in, its body of so many bytes begins it: taken out, looked at, handed to the writer or refused. */
void batch_arrived(struct conn *c, struct evbuffer *in, size_t bytes);
bool ask_arrived(struct conn *c, const struct frame *f);	/* a question about a code; false: it is none */
void batches_answered(evutil_socket_t fd, short what, void *arg);	/* the writer wrote to wake_fd; arg: the front */
void items_free(struct front *f);

#endif
