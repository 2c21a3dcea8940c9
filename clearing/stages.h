/*
 * stages - where the time of a tap goes: nanoseconds by stage since the start, counted once a batch and always on. One
 * thread adds to its own, any may read them. Private to clearing/.
 *
 * What a front's thread uses beyond its stages is TLS, the handshakes and the event loop: docs/clearingd.8, METRICS.
 */
#ifndef CLEARING_STAGES_H
#define CLEARING_STAGES_H

#include <stdint.h>

enum stage {
	STAGE_DECODE,	/* front: out of the connection's buffer, batch and records decoded; made thin */
	STAGE_CHECK,	/* front: digest, serials and total against the header */
	STAGE_VERIFY,	/* front: codes, a key device's answers included */
	STAGE_RECEIPT,	/* front: receipt or refusal made and written into the connection */
	STAGE_WAIT,	/* in the queue, until the writer takes the batch: no processor time */
	STAGE_APPEND,	/* append: into the inbox */
	STAGE_JUDGE,	/* writer: duplicates, lists */
	STAGE_COMMIT,	/* append: written and synced */
	STAGE_RATE,	/* rater: riders, provisional fare */
	STAGE_COUNT
};
struct stages { uint64_t ns[STAGE_COUNT], batches, taps; };

static inline void stage_count(uint64_t *counter, uint64_t more) { __atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED); }
static inline uint64_t stage_read(const uint64_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }

/* A stage that began at a time of clock_ns() ends at another, which is where the next begins. */
static inline uint64_t stage_end(struct stages *s, enum stage stage, uint64_t began, uint64_t now)
{
	stage_count(&s->ns[stage], now - began);
	return now;
}

#endif
