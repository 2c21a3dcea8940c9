/*
 * A ring of jobs, each what one batch brought. Everything a job's records need is fetched from memory one step for all
 * before the next step looks at it: the filter of cards, places of riders, where their entries are told, these, then their states. Nothing
 * but addresses is computed between two fetches of a step, so that the processor has many on their way.
 */
#include "clearing/rater.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clearing/live.h"
#include "clearing/ridden.h"

#define JOBS 16u	/* the writer waits when so many are in hand */
#define JOBS_AT_ONCE 8u	/* between two looks at what the writer handed over */

struct ask { uint8_t pan[10]; uint64_t seq; const struct tariff *tariff; struct ride ride; };
struct job { struct ask ask[BATCH_TAPS_MAX]; unsigned count; int32_t open_day; };
struct rater {
	struct riding *riding; struct known *known;
	struct image_out *image;
	struct job *job;		/* JOBS of them; of the writer the one at handed */
	struct known_card card[BATCH_TAPS_MAX]; struct riding_key key[BATCH_TAPS_MAX];	/* of the asks of the job that is rated */
	uint64_t added;			/* records; the writer's */
	struct rated now;		/* whose turn it is */
	pthread_t thread; bool started;
	struct store *store; rater_told *told; void *arg;
	pthread_mutex_t lock;
	pthread_cond_t more, less;	/* under lock: */
	uint64_t handed, done;		/* jobs */
	bool stopping, asleep, waited;	/* the thread waits for more; the writer for less */
};

int rater_new(struct riding *riding, struct known *known, struct rater **ret_rater)
{
	struct rater *r = calloc(1, sizeof(*r));

	if (r != NULL)
		r->job = calloc(JOBS, sizeof(*r->job));
	if (r == NULL || r->job == NULL) {
		free(r);
		return -ENOMEM;
	}
	r->riding = riding;
	r->known = known;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->more, NULL);
	pthread_cond_init(&r->less, NULL);
	*ret_rater = r;
	return 0;
}

/* ---- rating ------------------------------------------------------------------------------------------ */

static void state_of_last_close(struct txn *t, uint64_t person, int32_t open_day, struct rider_state *ret)
{
	*ret = (struct rider_state){ 0 };
	if (ridden_any(t) && ridden_state(t, person, open_day - 1, ret) != 0)
		*ret = (struct rider_state){ 0 };	/* the clear will say so */
}

/* Entitlement by look-up, the person's rides so far in memory. Taps out of order make it differ from the clear's. */
static void ask_rate(struct rater *r, struct txn *t, int32_t open_day, const struct ask *a, const struct known_card *card, struct riding_key key)
{
	struct rider_state state;
	struct rider rider;
	struct fare fare;
	uint64_t person = known_rider_by(r->known, t, card, a->pan, a->seq, &rider);

	if (person != key.person)
		key = riding_key(r->riding, person);
	if (!riding_get(r->riding, key, &state))
		state_of_last_close(t, person, open_day, &state);
	rate(a->tariff, &rider, &state, &a->ride, &state, &fare, NULL);
	riding_put(r->riding, key, &state);
	image_rider(r->image, person, &state);
	if (fare.reject != FARE_OK)
		return;
	r->now.published_fen += fare.published.fen;
	r->now.rated_fen += fare.paid.fen;
	for (uint8_t i = 0; i < fare.funder_count; i++)
		r->now.subsidy_fen += fare.funder[i].amount.fen;
}

static int job_rate(struct rater *r, struct txn *t, struct job *j)
{
	uint64_t began = clock_ns();
	int ret = known_follow(r->known, t);

	if (ret == 0)
		ret = riding_room(r->riding, j->count);
	if (ret != 0)
		return ret;
	for (unsigned i = 0; i < j->count; i++)
		r->card[i] = known_card(r->known, j->ask[i].pan);
	for (unsigned i = 0; i < j->count; i++)
		known_prefetch(r->known, &r->card[i]);
	for (unsigned i = 0; i < j->count; i++)
		r->key[i] = riding_key(r->riding, known_person_by(r->known, &r->card[i], j->ask[i].pan));
	for (unsigned i = 0; i < j->count; i++)
		riding_prefetch(r->riding, r->key[i]);
	for (unsigned i = 0; i < j->count; i++)
		riding_prefetch_entry(r->riding, r->key[i]);
	for (unsigned i = 0; i < j->count; i++)
		riding_prefetch_state(r->riding, &r->key[i]);
	for (unsigned i = 0; i < j->count; i++)
		ask_rate(r, t, j->open_day, &j->ask[i], &r->card[i], r->key[i]);
	r->now.records += j->count;
	r->now.ns += clock_ns() - began;
	return t->error;
}

static struct job *job_at(struct rater *r, uint64_t n) { return &r->job[n % JOBS]; }

/* Those from one up to another; what they add up to is told once. */
static int jobs_run(struct rater *r, uint64_t from, uint64_t to)
{
	struct timespec cpu;
	struct txn t;
	int ret = txn_begin(r->store, false, &t);

	if (ret != 0)
		return ret;
	for (; ret == 0 && from < to; from++)
		ret = job_rate(r, &t, job_at(r, from));
	txn_abort(&t);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	r->now.cpu_ns = (uint64_t)cpu.tv_sec * 1000000000 + (uint64_t)cpu.tv_nsec;
	if (ret == 0 && r->told != NULL)
		r->told(r->arg, &r->now);
	return ret;
}

/* ---- the thread ----------------------------------------------------------------------------------------- */

static void *rater_main(void *arg)
{
	struct rater *r = arg;
	uint64_t from, to;
	int ret;

	pthread_setname_np(pthread_self(), "rater");
	pthread_mutex_lock(&r->lock);
	while (r->done != r->handed || !r->stopping) {
		if (r->done == r->handed) {
			r->asleep = true;
			pthread_cond_wait(&r->more, &r->lock);
			r->asleep = false;
			continue;
		}
		from = r->done;
		to = r->handed - from < JOBS_AT_ONCE ? r->handed : from + JOBS_AT_ONCE;
		pthread_mutex_unlock(&r->lock);
		ret = jobs_run(r, from, to);
		if (ret != 0)
			storage_failed("rate", ret);
		pthread_mutex_lock(&r->lock);
		r->done = to;
		if (r->waited)
			pthread_cond_signal(&r->less);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int rater_start(struct rater *r, struct store *s, rater_told *told, void *arg)
{
	int ret;

	r->store = s;
	r->told = told;
	r->arg = arg;
	ret = -pthread_create(&r->thread, NULL, rater_main, r);
	r->started = ret == 0;
	if (ret == 0 && told != NULL)
		told(arg, &r->now);
	return ret;
}

/* Until at most so many jobs are in hand. Under lock. */
static void jobs_wait(struct rater *r, uint64_t jobs)
{
	r->waited = true;
	while (r->handed - r->done > jobs)
		pthread_cond_wait(&r->less, &r->lock);
	r->waited = false;
}

void rater_wait(struct rater *r)
{
	pthread_mutex_lock(&r->lock);
	jobs_wait(r, 0);
	pthread_mutex_unlock(&r->lock);
}

bool rater_idle(struct rater *r)
{
	bool idle;

	pthread_mutex_lock(&r->lock);
	idle = r->handed == r->done;
	pthread_mutex_unlock(&r->lock);
	return idle;
}

void rater_free(struct rater *r)
{
	if (r == NULL)
		return;
	if (r->started) {
		pthread_mutex_lock(&r->lock);
		r->stopping = true;
		pthread_cond_signal(&r->more);
		pthread_mutex_unlock(&r->lock);
		pthread_join(r->thread, NULL);
	}
	free(r->job);
	free(r);
}

/* ---- the writer's side ------------------------------------------------------------------------------------ */

static struct job *job_in_hand(struct rater *r) { return job_at(r, r->handed); }

void rater_add(struct rater *r, const struct tap *tap, const struct tariff *tariff, uint32_t operator_id, uint64_t seq)
{
	struct job *j = job_in_hand(r);
	struct ask *a = &j->ask[j->count++];

	memcpy(a->pan, tap->pan, sizeof(a->pan));
	a->seq = seq;
	a->tariff = tariff;
	tap_ride(tap, tariff, &a->ride);
	a->ride.operator_id = operator_id;
	r->added++;
}

static void hand(struct rater *r)
{
	pthread_mutex_lock(&r->lock);
	jobs_wait(r, JOBS - 2);	/* then the next one is free as well */
	r->handed++;
	if (r->asleep)
		pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->lock);
	job_in_hand(r)->count = 0;
}

int rater_hand(struct rater *r, struct txn *t, int32_t open_day)
{
	struct job *j = job_in_hand(r);
	int ret;

	if (j->count == 0)
		return 0;
	j->open_day = open_day;
	if (r->started) {
		hand(r);
		return 0;
	}
	ret = job_rate(r, t, j);
	j->count = 0;
	if (ret == 0 && r->told != NULL)
		r->told(r->arg, &r->now);
	return ret;
}

uint64_t rater_handed(const struct rater *r) { return r->added; }

void rater_image(struct rater *r, struct image_out *o)
{
	rater_wait(r);
	r->image = o;
}

struct rated rater_sums(const struct rater *r) { return r->now; }

void rater_sums_set(struct rater *r, int64_t published_fen, int64_t rated_fen, int64_t subsidy_fen)
{
	r->now.published_fen = published_fen;
	r->now.rated_fen = rated_fen;
	r->now.subsidy_fen = subsidy_fen;
}
