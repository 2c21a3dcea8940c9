/*
 * writer - the one thread that changes the inbox. It takes everything that waits, judges it provisionally,
 * appends it in one transaction, commits, and only then lets receipts go: acknowledge after commit.
 *
 * An I/O error in a commit is final: the process stops with code 20 and the devices send again. A full disk or
 * map is not: nothing was promised, the devices are told to come back.
 */
#include "clearing/code_route.h"
#include "clearing/daemon.h"
#include "clearing/deny_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_STORAGE 20
#define SLOW_NS 20000000u	/* a commit that receipts notice */

static bool space_is_short(int code) { return code == MDB_MAP_FULL || code == -ENOSPC || code == MDB_TXN_FULL; }

/* ---- what other threads may know ---------------------------------------------------------------------- */

static void tell(struct daemon *d)
{
	pthread_mutex_lock(&d->told_lock);
	d->told = (struct told){ .totals = *live_totals(d->live), .stat = d->stat, .stages = d->stages, .open_day = d->open_day };
	pthread_mutex_unlock(&d->told_lock);
}

void writer_told(struct daemon *d, struct told *ret)
{
	pthread_mutex_lock(&d->told_lock);
	*ret = d->told;
	pthread_mutex_unlock(&d->told_lock);
}

/* ---- replay --------------------------------------------------------------------------------------- */

static int replay_batch(struct daemon *d, struct txn *t, const struct event *e)
{
	static struct batch batch;
	struct event_batch b;
	struct receipt r;

	if (!event_batch_read(e, &b) || batch_decode(b.batch, b.batch_bytes, &batch) != 0 || batch.count != b.count)
		return CLEARING_E_STORE;
	d->stat.replay_taps += b.count;
	return live_judge(d->live, d->ref, t, d->open_day, b.device, &batch, b.marks, e->seq, &r);
}

/* Where replay of batches starts: the day before the open one, so that answers of yesterday are known too. */
static uint64_t replay_start(struct txn *t, int32_t open_day, int32_t *ret_day)
{
	struct day_row row;

	for (int32_t day = open_day - 1; day <= open_day; day++)
		if (day_get(t, day, &row)) {
			*ret_day = day;
			return row.first_seq;
		}
	*ret_day = open_day;
	return 0;
}

/* Of any day. */
static int replay_reference(struct daemon *d, struct txn *t, const struct event *e)
{
	char error[256];
	int ret = refdata_apply(d->ref, e, t, error, sizeof(error));

	live_entitlements_changed(d->live);
	if (e->type == EVENT_CODE_ANSWER)
		code_asks_event(live_asks(d->live), e->body, e->bytes);
	return ret;
}

/* Of the open day and the one before. */
static int replay_event(struct daemon *d, struct txn *t, const struct event *e)
{
	int ret = 0;

	if (e->type == EVENT_BATCH)
		return replay_batch(d, t, e);
	if (e->type == EVENT_RECHECK)
		return live_recheck(d->live, d->ref, t, d->open_day, e);
	if (e->type == EVENT_DAY_CUT) {
		d->open_day++;
		live_reset_day(d->live);
		return 0;
	}
	ret = replay_reference(d, t, e);
	return ret == 0 && e->type == EVENT_DEVICE ? live_released(d->live, t, e) : ret;
}

static int replay(struct daemon *d, struct txn *t)
{
	int32_t open_day = day_open_get(t);
	uint64_t from = replay_start(t, open_day, &d->open_day), start = clock_ns();
	struct inbox_iter it;
	struct event e;
	int ret = 0;

	inbox_open_others(t, 1, from, &it);
	for (; ret == 0 && inbox_next(&it, &e); d->stat.replay_events++)
		ret = replay_reference(d, t, &e);
	inbox_close(&it);
	inbox_open(t, from + 1, UINT64_MAX, &it);
	for (; ret == 0 && inbox_next(&it, &e); d->stat.replay_events++)
		ret = replay_event(d, t, &e);
	inbox_close(&it);
	__atomic_store_n(&d->codes_waiting, code_asks_count(live_asks(d->live)), __ATOMIC_RELAXED);
	d->open_day = open_day;
	d->stat.replay_ns = clock_ns() - start;
	return ret != 0 ? ret : t->error;
}

static int first_day(struct daemon *d)
{
	struct txn t;
	int ret = txn_begin(d->store, true, &t);

	if (ret != 0)
		return ret;
	if (day_open_get(&t) == DAY_NONE)
		day_open_init(&t, d->conf.open_day != DAY_NONE ? d->conf.open_day : service_day_of_ms(clock_ms(), DAY_CUT_S_DEFAULT));
	return txn_commit(&t);
}

int writer_open(struct daemon *d)
{
	struct txn t;
	int ret = refdata_new(&d->ref);

	if (ret == 0)
		ret = live_new(&d->live);
	if (ret == 0)
		ret = first_day(d);
	if (ret == 0)
		ret = txn_begin(d->store, false, &t);
	if (ret != 0)
		return ret;
	ret = code_asks_load(live_asks(d->live), &t);
	if (ret == 0)
		ret = replay(d, &t);
	txn_abort(&t);
	if (ret == 0)
		tell(d);
	return ret;
}

/* ---- one group ---------------------------------------------------------------------------------------- */

static void refuse(struct daemon *d, struct item *item, int code, const char *text, bool retry)
{
	item->refused = true;
	item->refuse = (struct refuse){ .file_serial = item->batch.file_serial, .code = code, .retry = retry };
	snprintf(item->refuse.text, sizeof(item->refuse.text), "%s", text);
	d->stat.refused_batches++;
}

/* began: when the writer came to it; *ret_ended: when it was done with it. */
static int batch_take(struct daemon *d, struct txn *t, struct item *item, uint64_t began, uint64_t *ret_ended)
{
	uint8_t head[EVENT_BATCH_HEAD_BYTES] = { 0 };
	const void *part[3] = { head, item->marks, item->bytes };
	const size_t bytes[3] = { sizeof(head), 2u * item->batch.count, item->bytes_count };
	const struct receipt *before;
	uint64_t seq, beyond;
	bool differs;
	int ret;

	before = live_answer(d->live, item->device, &item->batch, &differs);
	if (differs) {
		refuse(d, item, TAP_E_DIGEST, "this file serial was used with other content", false);
		return 0;
	}
	if (before != NULL) {
		item->receipt = *before;
		item->receipt.repeated = true;
		live_note_repeated(d->live);
		return 0;
	}
	memcpy(head, item->device, strlen(item->device));
	be32_put(head + 16, item->batch.file_serial);
	be16_put(head + 20, (uint16_t)item->batch.count);
	seq = inbox_append(t, EVENT_BATCH, item->received_ms, part, bytes, 3);
	waiting_add(t, seq, item->marks, (uint16_t)item->batch.count);
	if (t->error != 0)
		return t->error;
	began = stage_end(&d->stages, STAGE_APPEND, began, clock_ns());
	beyond = live_totals(d->live)->devices_beyond;
	ret = live_judge(d->live, d->ref, t, d->open_day, item->device, &item->batch, item->marks, seq, &item->receipt);
	*ret_ended = stage_end(&d->stages, STAGE_JUDGE, began, clock_ns());
	d->stages.batches++;
	d->stages.taps += item->batch.count;
	if (live_totals(d->live)->devices_beyond > beyond)
		log_event("device-beyond-cap", "alarm=1 device=%s cap_fen=%lld note=\"what it brings that no key has proven is set aside\"", item->device,
			  (long long)refdata_cap_fen(d->ref));
	return ret;
}

static void call_finish(struct item *item, int result)
{
	pthread_mutex_lock(item->lock);
	item->result = item->result != 0 ? item->result : result;
	item->done = true;
	pthread_cond_signal(item->signal);
	pthread_mutex_unlock(item->lock);
}

static int group_take(struct daemon *d, struct txn *t, struct item *group, uint64_t began)
{
	uint64_t count = 0;
	int ret = 0;

	for (struct item *i = group; i != NULL; i = i->next, count++)
		stage_end(&d->stages, STAGE_WAIT, i->queued_ns, began);
	d->stat.commit_batches += count;
	if (count > d->stat.commit_batches_max)
		d->stat.commit_batches_max = count;
	for (struct item *i = group; ret == 0 && i != NULL; i = i->next)
		ret = batch_take(d, t, i, began, &began);
	return ret != 0 ? ret : t->error;
}

/* After a failed group the memory of it must go too: rebuild it from what is durable. */
static int memory_rebuild(struct daemon *d)
{
	live_free(d->live);
	d->live = NULL;
	pthread_rwlock_wrlock(&d->ref_lock);
	refdata_free(d->ref);
	d->ref = NULL;
	pthread_rwlock_unlock(&d->ref_lock);
	return writer_open(d);
}

static void group_busy(struct daemon *d, struct item *group)
{
	for (struct item *i = group; i != NULL; i = i->next)
		i->busy = true;
	d->stat.busy++;
}

static void storage_failed(const char *what, int code)
{
	log_event("storage-failed", "what=%s code=%d text=\"%s\" action=stop", what, code, clearing_strerror(code));
	_exit(EXIT_STORAGE);
}

static int group_commit(struct daemon *d, struct item *group)
{
	struct txn t;
	uint64_t start = clock_ns(), taken, ns;
	int ret = txn_begin(d->store, true, &t);

	if (ret != 0)
		return ret;
	ret = group_take(d, &t, group, start);
	taken = clock_ns();
	if (ret != 0)
		txn_abort(&t);
	else
		ret = txn_commit(&t);
	stage_end(&d->stages, STAGE_COMMIT, taken, clock_ns());
	ns = clock_ns() - start;
	d->stat.commits++;
	d->stat.commit_ns += ns;
	d->stat.commits_slow += ns >= SLOW_NS;
	if (ns > d->stat.commit_ns_max)
		d->stat.commit_ns_max = ns;
	return ret;
}

/* A call has a transaction of its own: its failure harms no batch. One that could not be committed may have
 * changed memory already, so memory is rebuilt from what is durable. */
static void call_run(struct daemon *d, struct item *item)
{
	struct txn t;
	int ret = txn_begin(d->store, true, &t), committed = 0;

	if (ret == 0) {
		pthread_rwlock_wrlock(&d->ref_lock);
		ret = item->call(&t, item->arg);
		pthread_rwlock_unlock(&d->ref_lock);
		if (ret != 0)
			txn_abort(&t);
		else
			ret = committed = txn_commit(&t);
	}
	if (committed != 0 && (!space_is_short(committed) || memory_rebuild(d) != 0))
		storage_failed("call", committed);
	if (ret == 0 && deny_list_refresh(d) != 0)
		log_event("deny-list", "reason=\"cannot be made; the one before stays\"");
	tell(d);
	call_finish(item, ret);
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

static void batches_run(struct daemon *d, struct item *group)
{
	int ret = group_commit(d, group);

	if (space_is_short(ret)) {
		log_event("storage-full", "code=%d text=\"%s\" action=busy", ret, clearing_strerror(ret));
		group_busy(d, group);
		ret = memory_rebuild(d);
	}
	if (ret != 0)
		storage_failed("commit", ret);
	tell(d);
	batches_answer(group);
}

/* For the thread that asks platforms: whether there is anything to ask. */
static void waiting_tell(struct daemon *d)
{
	__atomic_store_n(&d->codes_waiting, code_asks_count(live_asks(d->live)), __ATOMIC_RELAXED);
}

/* Runs of batches are committed together; a call stands between them in its order of arrival. */
static void group_run(struct daemon *d, struct item *group)
{
	while (group != NULL) {
		struct item *first = group, *last = group;

		if (first->kind == ITEM_CALL) {
			group = first->next;
			call_run(d, first);
			waiting_tell(d);
			continue;
		}
		while (last->next != NULL && last->next->kind == ITEM_BATCH)
			last = last->next;
		group = last->next;
		last->next = NULL;
		batches_run(d, first);
		waiting_tell(d);
	}
}

/* While nothing waits: riders are looked up ahead of their first ride. */
static void idle_run(struct daemon *d)
{
	bool more = true;
	struct txn t;

	while (more && queue_idle(&d->queue) && txn_begin(d->store, false, &t) == 0) {
		more = live_warm(d->live, &t);
		txn_abort(&t);
	}
}

static void *writer_main(void *arg)
{
	struct daemon *d = arg;
	struct item *group;

	pthread_setname_np(pthread_self(), "writer");
	idle_run(d);
	while ((group = queue_take(&d->queue, (size_t)d->conf.commit_batches)) != NULL) {
		group_run(d, group);
		idle_run(d);
	}
	return NULL;
}

int writer_start(struct daemon *d) { return -pthread_create(&d->writer, NULL, writer_main, d); }

int writer_call(struct daemon *d, int (*call)(struct txn *, void *), void *arg)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t signal = PTHREAD_COND_INITIALIZER;
	struct item *item = calloc(1, sizeof(*item));
	int ret;

	if (item == NULL)
		return -ENOMEM;
	*item = (struct item){ .kind = ITEM_CALL, .call = call, .arg = arg, .lock = &lock, .signal = &signal };
	if (!queue_put(&d->queue, item)) {
		free(item);
		return -ESHUTDOWN;
	}
	pthread_mutex_lock(&lock);
	while (!item->done)
		pthread_cond_wait(&signal, &lock);
	pthread_mutex_unlock(&lock);
	ret = item->result;
	free(item);
	return ret;
}
