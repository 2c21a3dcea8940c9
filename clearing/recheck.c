/*
 * recheck - asks again about the records whose key device did not answer when they came, as soon as it does.
 *
 * Records are asked about in the order they arrived, some at a time, outside any lock; what is found goes to the writer
 * as a call, which appends it as an event between the batches and the day cuts. A record still unanswered keeps waiting.
 */
#include "clearing/daemon.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define PORTION 256		/* records asked about together; BATCH_TAPS_MAX at most */
#define PAUSE_MS_MAX 60000	/* between looks at records that a device which answers has no key for */

struct recheck_run {
	struct daemon *daemon;
	struct verifier *verifier;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping, again, told, up;	/* again: another ring is in force | told: of the device's state, which was up */
	int64_t pause_ms;
	struct recheck after;		/* the pass goes on behind it */
	uint64_t answered;		/* in this pass */
	struct recheck list[PORTION];
	size_t count;
	struct batch batch;
	struct batch_taps taps;		/* its records */
	uint8_t marks[2 * BATCH_TAPS_MAX];
};

static_assert(PORTION <= BATCH_TAPS_MAX, "a portion is verified as a batch");

uint64_t recheck_waiting(struct daemon *d)
{
	struct txn t;
	uint64_t n;

	if (txn_begin(d->store, false, &t) != 0)
		return 0;
	n = txn_rows(&t, DB_WAITING);
	txn_abort(&t);
	return n;
}

/* ---- a portion ------------------------------------------------------------------------------------------- */

static int records_load(struct recheck_run *k, struct txn *t)
{
	struct records *records;
	int ret = records_new(t, &records);

	k->count = k->batch.count = 0;
	if (ret != 0)
		return ret;
	t->keep = true;
	k->count = waiting_next(t, &k->after, k->list, PORTION);
	for (size_t i = 0; ret == 0 && i < k->count; i++) {
		struct record r;

		if (!records_get(records, k->list[i].seq, k->list[i].nth, &r))
			ret = CLEARING_E_STORE;
		else {
			k->batch.tap[i].p = r.raw;
			k->batch.tap[i].n = r.raw_bytes;
		}
	}
	k->batch.count = (uint32_t)k->count;
	records_free(records);
	return ret != 0 ? ret : t->error;
}

/* The next records that wait, and what is found of them now. */
static int portion_ask(struct recheck_run *k)
{
	struct txn t;
	int ret = txn_begin(k->daemon->store, false, &t);

	if (ret != 0)
		return ret;
	ret = records_load(k, &t);
	if (ret == 0 && k->count > 0) {
		batch_taps_decode(&k->batch, &k->taps);
		verifier_marks(k->verifier, &k->taps, k->batch.count, INT64_MAX / 2, k->marks);	/* ahead of the clock or not was seen on arrival */
		for (size_t i = 0; i < k->count; i++)
			k->list[i].check = k->marks[2 * i];
		k->after = k->list[k->count - 1];
	}
	txn_abort(&t);
	return ret;
}

static int answers_take(struct txn *t, void *arg)
{
	struct recheck_run *k = arg;
	struct daemon *d = k->daemon;
	struct event e;

	if (!recheck_append(t, clock_ms(), k->list, k->count, &e))
		return t->error;
	return live_recheck(d->live, d->ref, t, d->open_day, &e);
}

static int answers_give(struct recheck_run *k)
{
	uint64_t found = 0;
	int ret = 0;

	for (size_t i = 0; i < k->count; i++)
		found += k->list[i].check != KEY_CHECK_UNAVAILABLE;
	if (found > 0)
		ret = writer_call(k->daemon, answers_take, k);
	if (ret == 0)
		k->answered += found;
	return ret;
}

/* ---- passes --------------------------------------------------------------------------------------------------- */

/* Its state, said when it changes. */
static bool device_answers(struct recheck_run *k)
{
	const struct secrets *held = secrets_take(k->daemon);
	struct key_device_status s = { .up = true };

	if (held->device != NULL)
		key_device_status(held->device, &s);
	secrets_give(k->daemon, held);
	if (s.backend == NULL)
		return true;
	if (!k->told || s.up != k->up) {
		log_event("key-device", "backend=%s state=%s device=\"%s\" waiting=%llu", s.backend, s.up ? "up" : "down", s.text,
			  (unsigned long long)recheck_waiting(k->daemon));
		k->pause_ms = k->daemon->conf.key_retry_ms;
	}
	k->told = true;
	k->up = s.up;
	return s.up;
}

/* After the last record that waits. Records that nothing is found of are looked at more and more seldom. */
static void pass_end(struct recheck_run *k)
{
	if (k->answered > 0)
		log_event("rechecked", "records=%llu waiting=%llu", (unsigned long long)k->answered, (unsigned long long)recheck_waiting(k->daemon));
	k->pause_ms = k->answered > 0 || k->count == 0 ? k->daemon->conf.key_retry_ms : 2 * k->pause_ms < PAUSE_MS_MAX ? 2 * k->pause_ms : PAUSE_MS_MAX;
	k->after = (struct recheck){ 0 };
	k->answered = 0;
}

/* True: there is more to ask at once. */
static bool portion_run(struct recheck_run *k)
{
	int ret;

	if (!device_answers(k))
		return false;
	ret = portion_ask(k);
	if (ret == 0)
		ret = answers_give(k);
	if (ret != 0 && ret != -ESHUTDOWN)
		log_event("recheck-failed", "reason=\"%s\"", clearing_strerror(ret));
	if (ret == 0 && k->count == PORTION)
		return true;
	pass_end(k);
	return false;
}

static bool pause_run(struct recheck_run *k)
{
	struct timespec until;
	bool stopping;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += k->pause_ms / 1000;
	until.tv_nsec += k->pause_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&k->lock);
	while (!k->stopping && !k->again && pthread_cond_timedwait(&k->wake, &k->lock, &until) != ETIMEDOUT)
		;
	stopping = k->stopping;
	k->again = false;
	pthread_mutex_unlock(&k->lock);
	verifier_follow(k->verifier);
	return !stopping;
}

static bool going_on(struct recheck_run *k)
{
	bool stopping;

	pthread_mutex_lock(&k->lock);
	stopping = k->stopping;
	pthread_mutex_unlock(&k->lock);
	return !stopping;
}

static void *recheck_main(void *arg)
{
	struct recheck_run *k = arg;

	while (pause_run(k))
		while (going_on(k) && portion_run(k))
			;
	return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

int recheck_start(struct daemon *d)
{
	struct recheck_run *k = calloc(1, sizeof(*k));
	pthread_condattr_t monotonic;
	int ret = k == NULL ? -ENOMEM : verifier_new(d, &k->verifier);

	if (ret != 0) {
		free(k);
		return ret;
	}
	k->daemon = d;
	k->pause_ms = d->conf.key_retry_ms;
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&k->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	ret = -pthread_create(&k->thread, NULL, recheck_main, k);
	if (ret != 0) {
		verifier_free(k->verifier);
		free(k);
		return ret;
	}
	d->recheck = k;
	return 0;
}

void recheck_wake(struct daemon *d)
{
	struct recheck_run *k = d->recheck;

	if (k == NULL)
		return;
	pthread_mutex_lock(&k->lock);
	k->again = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
}

void recheck_stop(struct daemon *d)
{
	struct recheck_run *k = d->recheck;

	if (k == NULL)
		return;
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	verifier_free(k->verifier);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->wake);
	free(k);
	d->recheck = NULL;
}
