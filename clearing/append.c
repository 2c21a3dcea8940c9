/*
 * append - the thread that makes judged batches durable: a group in one transaction, its receipts only after the commit.
 * While it writes and syncs, the writer judges the next group; one more may wait between them. Groups are committed in
 * the order they were judged in, and a batch gets the number in the inbox that the writer gave it.
 *
 * An I/O error in a commit is final: the process stops with code 20 and the devices send again. A full disk or map is
 * not: nothing was promised, the devices are told to come back. So are those of all groups judged after it, since the
 * writer's memory was ahead of the inbox then, until the writer has built its memory again.
 */
#include "clearing/daemon.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_STORAGE 20
#define SLOW_NS 20000000u	/* a commit that receipts notice */

struct append {
	struct daemon *daemon;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t handed, done;
	/* under lock */
	struct item *group; struct told told;	/* judged, waits; what the writer tells with it */
	bool running, stopping;			/* a group is in hand | no more will come */
	int failed;				/* why groups are not committed until the writer has asked; 0: they are */
	struct writer_stat stat; struct stages stages;	/* commits, of this thread */
};

bool space_is_short(int code) { return code == MDB_MAP_FULL || code == -ENOSPC || code == MDB_TXN_FULL; }

void storage_failed(const char *what, int code)
{
	log_event("storage-failed", "what=%s code=%d text=\"%s\" action=stop", what, code, clearing_strerror(code));
	_exit(EXIT_STORAGE);
}

/* ---- one group ------------------------------------------------------------------------------------ */

static int batch_append(struct txn *t, const struct item *item)
{
	uint8_t head[EVENT_BATCH_HEAD_BYTES];
	const struct batch_parts parts = { head, item->marks, item->bytes, item->bytes_count, (uint16_t)item->batch.count };
	uint64_t seq;

	event_batch_head(item->device, item->batch.file_serial, parts.count, head);
	seq = inbox_append_batch(t, item->received_ms, &parts, item->thin, item->thin_bytes);
	assert(t->error != 0 || seq == item->seq);
	waiting_add(t, item->seq, item->marks, (uint16_t)item->batch.count);
	return t->error;
}

static void commit_count(struct append *a, uint64_t ns, uint64_t batches)
{
	struct writer_stat *s = &a->stat;

	s->commits++;
	s->commit_ns += ns;
	s->commits_slow += ns >= SLOW_NS;
	if (ns > s->commit_ns_max)
		s->commit_ns_max = ns;
	s->commit_batches += batches;
	if (batches > s->commit_batches_max)
		s->commit_batches_max = batches;
}

static int group_commit(struct append *a, const struct item *group)
{
	uint64_t start = clock_ns(), taken, ended, batches = 0;
	struct txn t;
	int ret = txn_begin(a->daemon->store, true, &t);

	if (ret != 0)
		return ret;
	for (const struct item *i = group; i != NULL; i = i->next, batches++)
		if (ret == 0 && i->seq != 0)
			ret = batch_append(&t, i);
	taken = clock_ns();
	if (ret != 0)
		txn_abort(&t);
	else
		ret = txn_commit(&t);
	ended = clock_ns();
	pthread_mutex_lock(&a->lock);
	stage_end(&a->stages, STAGE_APPEND, start, taken);
	stage_end(&a->stages, STAGE_COMMIT, taken, ended);
	commit_count(a, ended - start, batches);
	pthread_mutex_unlock(&a->lock);
	return ret;
}

/* Each front gets its own at once: it is woken once a group. */
static void batches_answer(struct item *group)
{
	while (group != NULL) {
		struct item *mine = group, *mine_last = group, *others = NULL, **others_last = &others, *next;

		for (struct item *i = group->next; i != NULL; i = next) {
			next = i->next;
			if (i->front == mine->front) {
				mine_last->next = i;
				mine_last = i;
			} else {
				*others_last = i;
				others_last = &i->next;
			}
		}
		*others_last = NULL;
		front_answer(mine, mine_last);
		group = others;
	}
}

static void group_busy(struct append *a, struct item *group)
{
	for (struct item *i = group; i != NULL; i = i->next)
		i->busy = true;
	pthread_mutex_lock(&a->lock);
	a->stat.busy++;
	pthread_mutex_unlock(&a->lock);
}

/* 0, or why it is not durable. */
static int group_run(struct append *a, struct item *group, const struct told *told, int failed)
{
	int ret = failed != 0 ? failed : group_commit(a, group);

	if (ret != 0 && !space_is_short(ret))
		storage_failed("commit", ret);
	if (ret != 0 && failed == 0)
		log_event("storage-full", "code=%d text=\"%s\" action=busy", ret, clearing_strerror(ret));
	if (ret != 0)
		group_busy(a, group);
	else
		append_tell(a->daemon, told);
	batches_answer(group);
	return ret;
}

static void *append_main(void *arg)
{
	struct append *a = arg;

	pthread_setname_np(pthread_self(), "append");
	pthread_mutex_lock(&a->lock);
	while (a->group != NULL || !a->stopping) {
		struct item *group = a->group;
		struct told told;
		int failed = a->failed;

		if (group == NULL) {
			pthread_cond_wait(&a->handed, &a->lock);
			continue;
		}
		told = a->told;
		a->group = NULL;
		a->running = true;
		pthread_cond_signal(&a->done);
		pthread_mutex_unlock(&a->lock);
		failed = group_run(a, group, &told, failed);
		pthread_mutex_lock(&a->lock);
		a->failed = failed;
		a->running = false;
		pthread_cond_signal(&a->done);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* ---- the writer's side --------------------------------------------------------------------------------- */

int append_open(struct daemon *d)
{
	struct append *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return -ENOMEM;
	a->daemon = d;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->handed, NULL);
	pthread_cond_init(&a->done, NULL);
	d->append = a;
	return 0;
}

int append_start(struct daemon *d) { return -pthread_create(&d->append->thread, NULL, append_main, d->append); }

void append_stop(struct daemon *d)
{
	pthread_mutex_lock(&d->append->lock);
	d->append->stopping = true;
	pthread_cond_signal(&d->append->handed);
	pthread_mutex_unlock(&d->append->lock);
	pthread_join(d->append->thread, NULL);
}

void append_close(struct daemon *d)
{
	free(d->append);
	d->append = NULL;
}

void append_hand(struct daemon *d, struct item *group, const struct told *told)
{
	struct append *a = d->append;

	pthread_mutex_lock(&a->lock);
	while (a->group != NULL)
		pthread_cond_wait(&a->done, &a->lock);
	a->group = group;
	a->told = *told;
	pthread_cond_signal(&a->handed);
	pthread_mutex_unlock(&a->lock);
}

bool append_failed(struct daemon *d)
{
	bool failed;

	pthread_mutex_lock(&d->append->lock);
	failed = d->append->failed != 0;
	pthread_mutex_unlock(&d->append->lock);
	return failed;
}

int append_wait(struct daemon *d)
{
	struct append *a = d->append;
	int failed;

	pthread_mutex_lock(&a->lock);
	while (a->group != NULL || a->running)
		pthread_cond_wait(&a->done, &a->lock);
	failed = a->failed;
	a->failed = 0;
	pthread_mutex_unlock(&a->lock);
	return failed;
}

void append_tell(struct daemon *d, const struct told *told)
{
	struct append *a = d->append;
	struct told all = *told;

	pthread_mutex_lock(&a->lock);
	all.stat.commits = a->stat.commits;
	all.stat.commit_ns = a->stat.commit_ns;
	all.stat.commit_ns_max = a->stat.commit_ns_max;
	all.stat.commits_slow = a->stat.commits_slow;
	all.stat.commit_batches = a->stat.commit_batches;
	all.stat.commit_batches_max = a->stat.commit_batches_max;
	all.stat.busy = a->stat.busy;
	all.stages.ns[STAGE_APPEND] = a->stages.ns[STAGE_APPEND];
	all.stages.ns[STAGE_COMMIT] = a->stages.ns[STAGE_COMMIT];
	pthread_mutex_unlock(&a->lock);
	pthread_mutex_lock(&d->told_lock);
	d->told = all;
	pthread_cond_broadcast(&d->rated_more);
	pthread_mutex_unlock(&d->told_lock);
}

uint64_t append_cpu_ns(const struct daemon *d) { return thread_cpu_ns(d->append->thread); }
