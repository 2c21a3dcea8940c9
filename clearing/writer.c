/*
 * writer - the one thread that decides what comes into the inbox and in which order. It takes everything that waits, judges
 * it provisionally and hands it to append.c, which commits it and only then lets receipts go: acknowledge after commit.
 *
 * Batches are judged with the store as of the last commit, which is enough: what they look up in it only calls change, and
 * a call stands alone, after everything before it is durable.
 */
#include "clearing/checkpoint.h"
#include "clearing/code_route.h"
#include "clearing/deny_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- what other threads may know ---------------------------------------------------------------------- */

static struct told told_now(const struct daemon *d)
{
	return (struct told){ .totals = *live_totals(d->live), .stat = d->stat, .stages = d->stages, .open_day = d->open_day,
			      .rated_due = live_rated_due(d->live) };
}

void writer_told(struct daemon *d, struct told *ret)
{
	pthread_mutex_lock(&d->told_lock);
	while (d->rated.records < d->told.rated_due)
		pthread_cond_wait(&d->rated_more, &d->told_lock);
	*ret = d->told;
	ret->rated = d->rated;
	pthread_mutex_unlock(&d->told_lock);
	ret->totals.published_fen = ret->rated.published_fen;
	ret->totals.rated_fen = ret->rated.rated_fen;
	ret->totals.subsidy_fen = ret->rated.subsidy_fen;
	ret->stages.ns[STAGE_RATE] = ret->rated.ns;
}

static void rated_tell(void *arg, const struct rated *now)
{
	struct daemon *d = arg;

	pthread_mutex_lock(&d->told_lock);
	d->rated = *now;
	pthread_cond_broadcast(&d->rated_more);
	pthread_mutex_unlock(&d->told_lock);
}

/* While the rater has nothing in hand. */
static void tell(struct daemon *d)
{
	const struct told told = told_now(d);
	const struct rated rated = live_rated(d->live);

	append_tell(d, &told);
	rated_tell(d, &rated);
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
	return live_judge(d->live, d->ref, t, d->open_day, b.device, &batch, NULL, b.marks, e->seq, &r);
}

/* Where replay of batches starts without an image: the day before the open one, so that answers of yesterday are known too. */
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

/* The memory is that after event from, on d->open_day: what an image has, or nothing. */
static int replay(struct daemon *d, struct txn *t, uint64_t from)
{
	int32_t open_day = day_open_get(t);
	uint64_t start = clock_ns();
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
	d->seq = inbox_last(t);
	d->stat.replay_from = from;
	d->stat.replay_ns = clock_ns() - start;
	return ret != 0 ? ret : t->error;
}

/* Written once in a store's life: memory that is built again must not wait for whoever writes to the store. */
static int first_day(struct daemon *d)
{
	struct txn t;
	int ret = txn_begin(d->store, false, &t);
	bool there;

	if (ret != 0)
		return ret;
	there = day_open_get(&t) != DAY_NONE;
	ret = t.error;
	txn_abort(&t);
	if (ret != 0 || there)
		return ret;
	ret = txn_begin(d->store, true, &t);
	if (ret != 0)
		return ret;
	day_open_init(&t, d->conf.open_day != DAY_NONE ? d->conf.open_day : service_day_of_ms(clock_ms(), DAY_CUT_S_DEFAULT));
	return txn_commit(&t);
}

int writer_open(struct daemon *d)
{
	uint64_t from;
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
	from = replay_start(&t, day_open_get(&t), &d->open_day);
	ret = checkpoint_load(d, &t, from, &from, &d->open_day);
	if (ret == 0)
		ret = code_asks_load(live_asks(d->live), &t);
	if (ret == 0)
		ret = replay(d, &t, from);
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
static int batch_judge(struct daemon *d, struct txn *t, struct item *item, uint64_t began, uint64_t *ret_ended)
{
	uint64_t beyond;
	bool before, differs;
	int ret;

	item->seq = 0;
	before = live_answer(d->live, item->device, &item->batch, &item->receipt, &differs);
	if (differs) {
		refuse(d, item, TAP_E_DIGEST, "this file serial was used with other content", false);
		return 0;
	}
	if (before) {
		item->receipt.repeated = true;
		live_note_repeated(d->live);
		return 0;
	}
	item->seq = ++d->seq;
	beyond = live_totals(d->live)->devices_beyond;
	ret = live_judge(d->live, d->ref, t, d->open_day, item->device, &item->batch, item->briefs, item->marks, item->seq, &item->receipt);
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

static int group_judge(struct daemon *d, struct item *group)
{
	uint64_t began = clock_ns();
	struct txn t;
	int ret = txn_begin(d->store, false, &t);

	if (ret != 0)
		return ret;
	for (struct item *i = group; i != NULL; i = i->next)
		stage_end(&d->stages, STAGE_WAIT, i->queued_ns, began);
	for (struct item *i = group; ret == 0 && i != NULL; i = i->next)
		ret = batch_judge(d, &t, i, began, &began);
	txn_abort(&t);
	return ret;
}

/* After a failed group the memory of it must go too: rebuild it from what is durable. */
static int memory_rebuild(struct daemon *d)
{
	int ret;

	checkpoint_cancel(d);
	live_free(d->live);
	d->live = NULL;
	pthread_rwlock_wrlock(&d->ref_lock);	/* until it is whole again: fronts and people ask for it meanwhile */
	refdata_free(d->ref);
	d->ref = NULL;
	ret = writer_open(d);
	pthread_rwlock_unlock(&d->ref_lock);
	return ret == 0 ? live_start(d->live, d->store, rated_tell, d) : ret;
}

/* Everything handed over is durable, or its devices were told to come back and memory knows nothing of it. */
static void group_settle(struct daemon *d)
{
	int failed = append_wait(d), ret = 0;

	live_wait(d->live);
	if (failed != 0)
		ret = memory_rebuild(d);
	if (ret != 0)
		storage_failed("memory", ret);
}

/* A call has a transaction of its own: its failure harms no batch. One that could not be committed may have
 * changed memory already, so memory is rebuilt from what is durable. */
static void call_run(struct daemon *d, struct item *item)
{
	int ret, committed = 0;
	struct txn t;
	uint64_t seq;

	group_settle(d);
	ret = txn_begin(d->store, true, &t);
	if (ret == 0) {
		pthread_rwlock_wrlock(&d->ref_lock);
		ret = item->call(&t, item->arg);
		pthread_rwlock_unlock(&d->ref_lock);
		seq = inbox_last(&t);
		if (ret != 0)
			txn_abort(&t);
		else
			ret = committed = txn_commit(&t);
		if (ret == 0)
			d->seq = seq;
	}
	if (committed != 0 && (!space_is_short(committed) || memory_rebuild(d) != 0))
		storage_failed("call", committed);
	if (ret == 0 && deny_list_refresh(d) != 0)
		log_event("deny-list", "reason=\"cannot be made; the one before stays\"");
	tell(d);
	call_finish(item, ret);
}

static void batches_run(struct daemon *d, struct item *group)
{
	struct told told;
	int ret;

	if (append_failed(d))
		group_settle(d);
	ret = group_judge(d, group);
	if (ret != 0)
		storage_failed("judge", ret);
	told = told_now(d);
	append_hand(d, group, &told);
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

/* While nothing waits: an image goes on, riders are looked up ahead of their first ride. */
static void idle_run(struct daemon *d)
{
	bool more = true;
	struct txn t;

	while (queue_idle(&d->queue) && checkpoint_idle(d))
		;
	while (more && queue_idle(&d->queue) && live_idle(d->live) && txn_begin(d->store, false, &t) == 0) {
		more = live_warm(d->live, &t);
		txn_abort(&t);
	}
}

static void *writer_main(void *arg)
{
	struct daemon *d = arg;
	struct item *group;
	uint64_t began;

	pthread_setname_np(pthread_self(), "writer");
	idle_run(d);
	while ((group = queue_take(&d->queue, (size_t)d->conf.commit_batches)) != NULL) {
		began = clock_ns();
		group_run(d, group);
		checkpoint_step(d, clock_ns() - began);
		idle_run(d);
	}
	append_stop(d);
	return NULL;
}

int writer_start(struct daemon *d)
{
	int ret = append_start(d);

	if (ret == 0)
		ret = live_start(d->live, d->store, rated_tell, d);
	return ret == 0 ? -pthread_create(&d->writer, NULL, writer_main, d) : ret;
}

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
