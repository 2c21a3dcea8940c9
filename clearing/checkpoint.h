/*
 * checkpoint - an image of the writer's memory beside the store, made from time to time while receipts go on, so that a start
 * reads it and only what came after it. docs/store.md tells the file. Private to the daemon.
 *
 * It is a cache and never the truth: one that is torn, damaged, of another store, format or history is refused with a reason
 * in the log, and the start reads the inbox as if there were none.
 */
#ifndef CLEARING_CHECKPOINT_H
#define CLEARING_CHECKPOINT_H

#include "clearing/daemon.h"

struct checkpoint_stat {
	uint64_t seq;		/* the newest image stands at; 0: there is none */
	int64_t taken_ms;	/* when it was done; 0: there is none */
	uint64_t bytes, ns;	/* of the newest: its size, how long it took */
	uint64_t writer_ns, step_ns;	/* of which the writer gave; the longest it gave at once */
	uint64_t count, failures;	/* since the start */
	uint64_t loaded_seq, loaded_ns;	/* the image this start read; 0: none */
};

/* Before writer_open. checkpoint_taps 0: d->checkpoint stays NULL, and everything below does nothing. */
int checkpoint_open(struct daemon *d);
void checkpoint_close(struct daemon *d);
/* An image into d->live, which is new; when it is refused, another new one takes its place. Taken, *ret_seq is the event after
 * which the memory is, not before oldest, and *ret_day the day that was open then; else both stay. */
int checkpoint_load(struct daemon *d, struct txn *t, uint64_t oldest, uint64_t *ret_seq, int32_t *ret_day);
int checkpoint_start(struct daemon *d);		/* its thread */
/* The writer, after a group that took so long: a millisecond's work, up to five after long ones, when an image is due or in the
 * making. Due is one after checkpoint_taps when no batch waits, after twice as many in any case. */
void checkpoint_step(struct daemon *d, uint64_t group_ns);
bool checkpoint_idle(struct daemon *d);		/* the same while nothing waits; false: nothing to do */
void checkpoint_cancel(struct daemon *d);	/* d->live is about to be another */
void checkpoint_stop(struct daemon *d);		/* after the writer: the last image, and the end of its thread */
void checkpoint_told(struct daemon *d, struct checkpoint_stat *ret);

#endif
