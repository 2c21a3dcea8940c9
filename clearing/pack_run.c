/*
 * pack_run - the daemon packs closed days (pack.c) pack_after_days after them: while no batch waits for the writer, a
 * bundle at a time, and at most a fifth of the time. A person may ask for a day at once. What was asked for and what
 * runs by itself take turns bundle by bundle; a day begun goes on at the next start.
 */
#include "clearing/control.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_MS 60000		/* between looks at the days */
#define BUSY_MS 20		/* until the writer has nothing to do */
#define FAILED_MS 600000
#define SHARE 4			/* pauses to a bundle's time */

struct pack_run {
	struct daemon *daemon;
	pthread_t thread;
	pthread_mutex_t lock, turn;	/* turn: one bundle is made at a time */
	pthread_cond_t wake;
	bool stopping;
};

/* False: it is time to stop. */
static bool pause_run(struct pack_run *r, int64_t ms)
{
	struct timespec until;
	bool stopping;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&r->lock);
	while (!r->stopping && pthread_cond_timedwait(&r->wake, &r->lock, &until) != ETIMEDOUT)
		;
	stopping = r->stopping;
	pthread_mutex_unlock(&r->lock);
	return !stopping;
}

/* What the disk did not take is final here too: LMDB would let the writer go on. */
static bool disk_failed(int code) { return code == -EIO || code == MDB_PANIC || code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND; }

static int turn_take(struct pack_run *r, struct packing *p)
{
	int ret;

	pthread_mutex_lock(&r->turn);
	ret = packing_step(p);
	pthread_mutex_unlock(&r->turn);
	if (disk_failed(ret))
		storage_failed("pack", ret);
	return ret;
}

static void day_told(struct daemon *d, int32_t day, uint64_t began, struct packed *ret)
{
	char text[11];
	struct txn t;

	*ret = (struct packed){ 0 };
	if (txn_begin(d->store, false, &t) != 0)
		return;
	day_packed(&t, day, ret);
	txn_abort(&t);
	day_format(day, text);
	log_event("day-packed", "day=%s batches=%llu bundles=%u bytes_before=%llu bytes_after=%llu ms=%llu", text, (unsigned long long)ret->batches, ret->bundles,
		  (unsigned long long)ret->bytes_before, (unsigned long long)ret->bytes_after, (unsigned long long)((clock_ns() - began) / 1000000));
}

/* ---- by itself ------------------------------------------------------------------------------------------------------ */

/* The first day that is old enough and not whole. */
static bool day_find(struct daemon *d, int32_t *ret_day)
{
	int32_t open_day;
	bool found = false;
	struct day_row row;
	struct packed p;
	struct iter it;
	struct txn t;

	if (txn_begin(d->store, false, &t) != 0)
		return false;
	open_day = day_open_get(&t);
	iter_open(&t, DB_DAY, NULL, 0, &it);
	while (!found && iter_next(&it)) {
		if (!day_decode(it.val, it.val_bytes, &row) || row.day + d->conf.pack_after_days >= open_day || row.day >= open_day - 1)
			break;
		found = row.state >= DAY_CLEARED && !(day_packed(&t, row.day, &p) && p.whole);
		*ret_day = row.day;
	}
	iter_close(&it);
	txn_abort(&t);
	return found;
}

/* 0: the day is whole; 1: it is time to stop. */
static int day_run(struct pack_run *r, struct packing *p)
{
	int ret = 1;

	while (ret > 0) {
		uint64_t began;

		while (!queue_idle(&r->daemon->queue))
			if (!pause_run(r, BUSY_MS))
				return 1;
		began = clock_ns();
		ret = turn_take(r, p);
		if (ret >= 0 && !pause_run(r, (int64_t)((clock_ns() - began) * SHARE / 1000000) + 1))
			return 1;
	}
	return ret;
}

static int64_t days_run(struct pack_run *r)
{
	struct packing *p;
	struct packed told;
	int32_t day;
	int ret;

	while (day_find(r->daemon, &day)) {
		uint64_t began = clock_ns();

		ret = packing_open(r->daemon->store, day, &p);
		if (ret == 0) {
			ret = day_run(r, p);
			packing_close(p);
		}
		if (ret > 0)
			return LOOK_MS;
		if (ret < 0) {
			log_event("day-pack-failed", "alarm=1 day=%d reason=\"%s\"", (int)day, clearing_strerror(ret));
			return FAILED_MS;
		}
		day_told(r->daemon, day, began, &told);
	}
	return LOOK_MS;
}

static void *pack_main(void *arg)
{
	struct pack_run *r = arg;
	int64_t ms = 1000;

	while (pause_run(r, ms))
		ms = r->daemon->conf.pack_after_days > 0 ? days_run(r) : LOOK_MS;
	return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------------------------- */

int pack_start(struct daemon *d)
{
	struct pack_run *r = calloc(1, sizeof(*r));
	pthread_condattr_t monotonic;
	int ret;

	if (r == NULL)
		return -ENOMEM;
	r->daemon = d;
	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->turn, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	ret = -pthread_create(&r->thread, NULL, pack_main, r);
	if (ret != 0) {
		free(r);
		return ret;
	}
	d->pack = r;
	return 0;
}

void pack_stop(struct daemon *d)
{
	struct pack_run *r = d->pack;

	if (r == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	pthread_mutex_destroy(&r->lock);
	pthread_mutex_destroy(&r->turn);
	pthread_cond_destroy(&r->wake);
	free(r);
	d->pack = NULL;
}

/* ---- asked for ----------------------------------------------------------------------------------------------------------- */

void control_pack(struct daemon *d, const struct request *q, FILE *out)
{
	uint64_t began = clock_ns();
	struct packing *p;
	struct packed told;
	struct jsonw j;
	int32_t day;
	int ret;

	if (!day_parse(request_text(q, "day"), &day)) {
		answer_error(out, CLEARING_E_NO_DAY, "day: YYYY-MM-DD is needed");
		return;
	}
	ret = packing_open(d->store, day, &p);
	if (ret != 0) {
		answer_error(out, ret, ret == CLEARING_E_STATE ? "only a cleared day is packed, and not the one before the open day, which a start reads again" : "");
		return;
	}
	do
		ret = daemon_stopping(d) ? -ESHUTDOWN : turn_take(d->pack, p);
	while (ret > 0);
	packing_close(p);
	if (ret != 0) {
		answer_error(out, ret, ret == -ESHUTDOWN ? "the daemon ends; what is packed stays, ask again" : "");
		return;
	}
	day_told(d, day, began, &told);
	answer_begin(&j, out);
	jsonw_kint(&j, "batches", (int64_t)told.batches);
	jsonw_kint(&j, "bundles", told.bundles);
	jsonw_kint(&j, "bytes_before", (int64_t)told.bytes_before);
	jsonw_kint(&j, "bytes_after", (int64_t)told.bytes_after);
	jsonw_object_end(&j);
}

static struct packed packed_told(struct daemon *d)
{
	struct packed p = { 0 };
	struct txn t;

	if (txn_begin(d->store, false, &t) == 0) {
		days_packed(&t, &p);
		txn_abort(&t);
	}
	return p;
}

void control_pack_status(struct daemon *d, struct jsonw *j)
{
	struct packed p = packed_told(d);

	jsonw_kint(j, "store_free_bytes", (int64_t)store_free_bytes(d->store));
	jsonw_kint(j, "packed_days", p.days);
	jsonw_kint(j, "packed_bytes_before", (int64_t)p.bytes_before);
	jsonw_kint(j, "packed_bytes_after", (int64_t)p.bytes_after);
}

void control_pack_metrics(struct daemon *d, FILE *f)
{
	struct packed p = packed_told(d);

	metric(f, "qingfen_store_free_bytes", "gauge", store_free_bytes(d->store));
	metric(f, "qingfen_packed_days", "gauge", p.days);
	metric(f, "qingfen_packed_bytes_before", "gauge", p.bytes_before);
	metric(f, "qingfen_packed_bytes_after", "gauge", p.bytes_after);
}
