/*
 * clear_sink - the store as a clear writes it. A thread of its own puts and commits what lies between two checkpoints, so that
 * the rows after them are made and digested while the disk is waited for; and the store's one write transaction is open only
 * while there is something to put, so that receipts go on meanwhile.
 */
#include "clearing/clear.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LOADS 3				/* one is filled, one is put, one waits */
#define LOAD_BYTES_MAX (8u << 20)	/* beyond, it is put before its checkpoint */

struct load_put { enum db db; uint32_t key_bytes, val_bytes; };		/* then the key and the value */
struct load { uint8_t *p; size_t n, space; bool commit, last; };
struct store_sink {
	struct sink sink;
	struct store *store;
	struct txn txn;			/* the thread's */
	struct digest rows;
	bool persons, leftover; uint8_t person_key[RIDDEN_KEY_BYTES];	/* some were put; there were such before; the last, or the day alone */
	struct newest *newest; size_t newests, newest_space;		/* of the load that is put */
	struct load load[LOADS];
	size_t handed, done;		/* loads so far, each at its number modulo LOADS */
	bool ending;
	int result;			/* the first error */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
};

/* ---- the thread --------------------------------------------------------------------------------------------------- */

/* A clear of the day that was interrupted left some, which may begin elsewhere than those of this one. */
static bool day_begun(struct store_sink *s, const uint8_t *key)
{
	struct iter it;
	bool any;

	iter_open(&s->txn, DB_PERSON_DAY, key, 4, &it);
	any = iter_next(&it);
	iter_close(&it);
	return any;
}

/* What was left between the block put before and this key gives way. */
static void persons_up_to(struct store_sink *s, const uint8_t *key)
{
	if (!s->persons) {
		s->leftover = day_begun(s, key);
		be32_put(s->person_key, be32_get(key));
	}
	s->persons = true;
	if (s->leftover)
		person_days_del(&s->txn, s->person_key, key);
	memcpy(s->person_key, key, sizeof(s->person_key));
}

static void persons_end(struct store_sink *s)
{
	uint8_t key[RIDDEN_KEY_BYTES];

	memcpy(key, s->person_key, sizeof(key));
	be64_put(key + 4, UINT64_MAX);
	persons_up_to(s, key);
}

/* All but a few come in key order. */
static void put_it(struct store_sink *s, const uint8_t *key, const struct load_put *put)
{
	if (put->db == DB_PERSON_DAY)
		persons_up_to(s, key);
	txn_put_next(&s->txn, put->db, key, put->key_bytes, key + put->key_bytes, put->val_bytes);
}

static int newest_note(struct store_sink *s, const uint8_t *key, const struct load_put *put)
{
	struct block_persons w;

	for (persons_open(DB_PERSON_DAY, be64_get(key + 4), key + put->key_bytes, put->val_bytes, &w); persons_next(&w); ) {
		struct newest *wide = grown(s->newest, &s->newest_space, s->newests + 1, sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		s->newest = wide;
		s->newest[s->newests++] = (struct newest){ w.person, row_day(key) };
	}
	return 0;
}

static int load_write(struct store_sink *s, const struct load *l)
{
	bool any = l->n > 0 || (l->last && s->leftover);
	int ret = s->txn.mdb != NULL || !any ? 0 : txn_begin(s->store, true, &s->txn);

	s->newests = 0;
	for (size_t at = 0; ret == 0 && at < l->n; ) {
		struct load_put put;

		memcpy(&put, l->p + at, sizeof(put));
		at += sizeof(put);
		put_it(s, l->p + at, &put);
		ret = put.db == DB_PERSON_DAY ? newest_note(s, l->p + at, &put) : 0;
		at += put.key_bytes + put.val_bytes;
		ret = ret != 0 ? ret : s->txn.error;
	}
	if (ret == 0)
		newest_put(&s->txn, s->newest, s->newests);
	if (ret == 0 && l->last && s->leftover)
		persons_end(s);
	ret = ret != 0 ? ret : s->txn.error;
	return ret == 0 && l->commit && s->txn.mdb != NULL ? txn_commit(&s->txn) : ret;
}

static void *sink_run(void *arg)
{
	struct store_sink *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		int ret;

		while (s->done == s->handed && !s->ending)
			pthread_cond_wait(&s->change, &s->lock);
		if (s->done == s->handed)
			break;
		pthread_mutex_unlock(&s->lock);
		ret = s->result == 0 ? load_write(s, &s->load[s->done % LOADS]) : 0;
		pthread_mutex_lock(&s->lock);
		s->result = s->result != 0 ? s->result : ret;
		s->done++;
		pthread_cond_broadcast(&s->change);
	}
	pthread_mutex_unlock(&s->lock);
	txn_abort(&s->txn);
	return NULL;
}

/* ---- the clear's side ----------------------------------------------------------------------------------------------- */

static struct load *load_now(struct store_sink *s) { return &s->load[s->handed % LOADS]; }

/* What is in hand goes to the thread; the next is empty. */
static int load_hand(struct store_sink *s, bool commit, bool last)
{
	int ret;

	pthread_mutex_lock(&s->lock);
	load_now(s)->commit = commit;
	load_now(s)->last = last;
	s->handed++;
	pthread_cond_broadcast(&s->change);
	while (s->handed - s->done == LOADS)
		pthread_cond_wait(&s->change, &s->lock);
	ret = s->result;
	pthread_mutex_unlock(&s->lock);
	load_now(s)->n = 0;
	return ret;
}

static int store_put(struct sink *sink, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes)
{
	struct store_sink *s = (struct store_sink *)(void *)sink;
	const struct load_put put = { db, (uint32_t)key_bytes, (uint32_t)val_bytes };
	struct load *l = load_now(s);
	uint8_t *wide = grown(l->p, &l->space, l->n + sizeof(put) + key_bytes + val_bytes, 1);

	if (wide == NULL)
		return -ENOMEM;
	l->p = wide;
	memcpy(l->p + l->n, &put, sizeof(put));
	memcpy(l->p + l->n + sizeof(put), key, key_bytes);
	memcpy(l->p + l->n + sizeof(put) + key_bytes, val, val_bytes);
	l->n += sizeof(put) + key_bytes + val_bytes;
	return l->n >= LOAD_BYTES_MAX ? load_hand(s, false, false) : 0;
}

static int store_checkpoint(struct sink *sink) { return load_hand((struct store_sink *)(void *)sink, true, false); }

static void store_seal(struct sink *sink, const void *p, size_t n) { digest_add(&((struct store_sink *)(void *)sink)->rows, p, n); }

int store_sink_open(struct store *store, int32_t day, struct store_sink **ret)
{
	struct store_sink *s = calloc(1, sizeof(*s));
	int code;

	if (s == NULL)
		return -ENOMEM;
	s->sink = (struct sink){ store_put, store_checkpoint, true, store_seal };
	s->store = store;
	seal_start(&s->rows, day);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->change, NULL);
	code = pthread_create(&s->thread, NULL, sink_run, s);
	if (code != 0) {
		free(s);
		return -code;
	}
	*ret = s;
	return 0;
}

struct sink *store_sink_of(struct store_sink *s) { return &s->sink; }

int store_sink_close(struct store_sink *s, int result, struct digest *ret_rows)
{
	int ret = result == 0 ? load_hand(s, true, true) : result;

	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_broadcast(&s->change);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	ret = ret != 0 ? ret : s->result;
	*ret_rows = s->rows;
	for (size_t i = 0; i < LOADS; i++)
		free(s->load[i].p);
	free(s->newest);
	pthread_cond_destroy(&s->change);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return ret;
}
