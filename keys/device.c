/*
 * device - a key backend behind a worker thread and a deadline.
 *
 * Callers hand over copies and wait no longer than their deadline; what comes later is dropped. The worker alone talks to
 * the backend, so a call that hangs hangs nobody else: while it does, and for retry_ms after any fault, questions are
 * answered at once by "unavailable". Trust is by known answers: of every key when the device is opened, of each key a
 * batch asks for before and after it, in time. A code found wrong is computed twice, since a device that lies would
 * otherwise refuse good taps. Waits are by the monotonic clock; the time of day is nothing here.
 */
#include "keys/keyring.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_BYTES 256
#define FREE_WAIT_S 2		/* for a call in progress when the device is freed */

struct record { struct purchase purchase; uint8_t issuer[4], pan[10], tac[MAC_BYTES]; };
struct job {
	struct job *next;
	size_t n;
	bool done, abandoned;	/* abandoned: the caller is gone, the worker frees it */
	struct record *record;
	struct tac_question *question;
	enum key_check *check;
};
struct key_device {
	const struct key_backend *backend;
	const struct keyring *ring;
	char module[TEXT_BYTES], token[TEXT_BYTES], pin[TEXT_BYTES];
	struct key_backend_conf at;
	int64_t deadline_ms, retry_ms;
	pthread_t worker;
	pthread_mutex_t lock;
	pthread_cond_t work, answered;
	struct job *first, **last;
	bool stopping, looked, up, stuck;	/* looked: at the device, once at least */
	struct key_device_status status;
	/* the worker's own */
	void *self;
};

/* ---- time --------------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct timespec moment(int64_t ms) { return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }; }

/* ---- jobs ----------------------------------------------------------------------------------------- */

static void job_free(struct job *j)
{
	if (j == NULL)
		return;
	free(j->record);
	free(j->question);
	free(j->check);
	free(j);
}

static struct job *job_new(size_t n)
{
	struct job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	j->record = calloc(n, sizeof(*j->record));
	j->question = calloc(n, sizeof(*j->question));
	j->check = calloc(n, sizeof(*j->check));
	if (j->record == NULL || j->question == NULL || j->check == NULL) {
		job_free(j);
		return NULL;
	}
	return j;
}

static void job_add(struct job *j, const struct tac_question *q)
{
	struct record *r = &j->record[j->n];

	r->purchase = *q->purchase;
	memcpy(r->issuer, q->issuer, sizeof(r->issuer));
	memcpy(r->pan, q->pan, sizeof(r->pan));
	memcpy(r->tac, q->tac, sizeof(r->tac));
	j->question[j->n] = *q;
	j->question[j->n].purchase = &r->purchase;
	j->question[j->n].issuer = r->issuer;
	j->question[j->n].pan = r->pan;
	j->question[j->n].tac = r->tac;
	j->check[j->n++] = KEY_CHECK_UNAVAILABLE;
}

/* ---- the worker's side ------------------------------------------------------------------------------ */

enum trust { TRUST_GOOD, TRUST_FAULT, TRUST_LIE, TRUST_SLOW };

static enum trust known_answer(struct key_device *d, size_t key)
{
	const struct key_entry *e = keyring_entry(d->ring, key);
	uint8_t kcv[3];

	if (d->backend->card_check(d->self, key, e->known_pan, kcv) != 0)
		return TRUST_FAULT;
	return mac_equal(kcv, e->known_kcv, sizeof(kcv)) ? TRUST_GOOD : TRUST_LIE;
}

/* Every key the device keeps for us, in time; asked for by the name a record of its first moment would give. */
static enum trust known_answers(struct key_device *d)
{
	int64_t start = now_ms();

	for (size_t i = 0; i < keyring_count(d->ring); i++) {
		const struct key_entry *e = keyring_entry(d->ring, i);
		const struct tac_question q = { .scheme = e->scheme, .issuer = e->issuer, .key_version = e->version, .key_index = e->index, .alg_id = (uint8_t)e->alg,
						.at_ms = e->valid_from_ms };
		enum trust t;
		size_t key;

		if (e->purpose != KEY_TAC || (e->flags & KEY_FLAG_IN_DEVICE) == 0 || d->backend->find(d->self, &q, &key) != 0)
			continue;
		t = known_answer(d, key);
		if (t != TRUST_GOOD)
			return t;
	}
	return now_ms() - start < d->deadline_ms ? TRUST_GOOD : TRUST_SLOW;
}

static const char *trust_text(enum trust t)
{
	switch (t) {
	case TRUST_GOOD: return "";
	case TRUST_FAULT: return "a call failed";
	case TRUST_LIE: return "a known answer came back wrong: the device is not believed";
	case TRUST_SLOW: return "slower than the deadline";
	}
	return "";
}

static void device_down(struct key_device *d, enum trust t)
{
	if (t == TRUST_FAULT) {	/* its session may be gone */
		d->backend->close(d->self);
		d->self = NULL;
	}
	pthread_mutex_lock(&d->lock);
	d->up = false;
	d->status.lies += t == TRUST_LIE;
	snprintf(d->status.text, sizeof(d->status.text), "%s", trust_text(t));
	pthread_mutex_unlock(&d->lock);
}

static void device_try(struct key_device *d)
{
	char text[sizeof(d->status.text)] = "";
	enum trust t;

	if (d->self == NULL && d->backend->open(&d->at, d->ring, &d->self) != 0) {
		d->self = NULL;
		pthread_mutex_lock(&d->lock);
		snprintf(d->status.text, sizeof(d->status.text), "cannot be opened: library, token, PIN or a key is not there");
		pthread_mutex_unlock(&d->lock);
		return;
	}
	t = known_answers(d);
	if (t != TRUST_GOOD) {
		device_down(d, t);
		return;
	}
	d->backend->status(d->self, text, sizeof(text));
	pthread_mutex_lock(&d->lock);
	d->up = true;
	d->status.opened++;
	memcpy(d->status.text, text, sizeof(text));
	pthread_mutex_unlock(&d->lock);
}

/* Scratch of a job. again: what was found wrong, asked about once more. */
struct asking { const struct tac_question **q, **again; uint8_t (*tac)[MAC_BYTES], (*tac_again)[MAC_BYTES]; size_t *at, *key; enum key_check *check; };

/*
 * What was wrong is asked again, the last first and without its neighbours, so that a lie that hangs on a place is another
 * lie: twice the same is a wrong code, twice something else a device that lies.
 */
static enum trust wrong_again(struct key_device *d, size_t key, const struct asking *a, size_t n)
{
	size_t wrong = 0, k = 0;

	for (size_t i = n; i-- > 0;)
		if (!mac_equal(a->tac[i], a->q[i]->tac, MAC_BYTES))
			a->again[wrong++] = a->q[i];
	if (wrong == 0)
		return TRUST_GOOD;
	if (d->backend->tacs(d->self, key, a->again, wrong, a->tac_again) != 0)
		return TRUST_FAULT;
	for (size_t i = n; i-- > 0;)
		if (!mac_equal(a->tac[i], a->q[i]->tac, MAC_BYTES) && !mac_equal(a->tac[i], a->tac_again[k++], MAC_BYTES))
			return TRUST_LIE;
	return TRUST_GOOD;
}

static enum trust key_run(struct key_device *d, size_t key, const struct asking *a, size_t n)
{
	enum trust t = known_answer(d, key);

	if (t != TRUST_GOOD)
		return t;
	if (d->backend->tacs(d->self, key, a->q, n, a->tac) != 0)
		return TRUST_FAULT;
	t = wrong_again(d, key, a, n);
	return t == TRUST_GOOD ? known_answer(d, key) : t;
}

/* All records of a job, key by key. The answers count only when all of it was trusted. */
static enum trust job_keys(struct key_device *d, struct job *j, struct asking *a)
{
	for (size_t i = 0; i < j->n; i++)
		if (d->backend->find(d->self, &j->question[i], &a->key[i]) != 0)
			a->key[i] = SIZE_MAX;
	for (size_t i = 0; i < j->n; i++) {
		size_t key = a->key[i], n = 0;
		enum trust t;

		if (key == SIZE_MAX)
			continue;
		for (size_t k = i; k < j->n; k++)
			if (a->key[k] == key) {
				a->q[n] = &j->question[k];
				a->at[n++] = k;
				a->key[k] = SIZE_MAX;
			}
		t = key_run(d, key, a, n);
		if (t != TRUST_GOOD)
			return t;
		for (size_t k = 0; k < n; k++)
			a->check[a->at[k]] = mac_equal(a->tac[k], a->q[k]->tac, MAC_BYTES) ? KEY_CHECK_GOOD : KEY_CHECK_BAD;
	}
	return TRUST_GOOD;
}

static bool asking_init(struct asking *a, size_t n)
{
	*a = (struct asking){ .q = calloc(n, sizeof(*a->q)), .again = calloc(n, sizeof(*a->again)), .tac = calloc(n, sizeof(*a->tac)),
			      .tac_again = calloc(n, sizeof(*a->tac_again)), .at = calloc(n, sizeof(*a->at)), .key = calloc(n, sizeof(*a->key)),
			      .check = calloc(n, sizeof(*a->check)) };
	return a->q != NULL && a->again != NULL && a->tac != NULL && a->tac_again != NULL && a->at != NULL && a->key != NULL && a->check != NULL;
}

static void asking_done(struct asking *a)
{
	free(a->q);
	free(a->again);
	free(a->tac);
	free(a->tac_again);
	free(a->at);
	free(a->key);
	free(a->check);
}

static void job_run(struct key_device *d, struct job *j)
{
	struct asking a;
	bool room = asking_init(&a, j->n);	/* without it the job stays unanswered: no fault of the device */
	enum trust t = room ? job_keys(d, j, &a) : TRUST_GOOD;

	for (size_t i = 0; room && t == TRUST_GOOD && i < j->n; i++)
		if (a.check[i] != KEY_CHECK_NONE)
			j->check[i] = a.check[i];
	asking_done(&a);
	if (t != TRUST_GOOD)
		device_down(d, t);
}

/* Nothing was asked for a while: the device is looked at, so that its state is known before the next record comes. */
static void device_idle(struct key_device *d)
{
	enum trust t = known_answers(d);

	if (t != TRUST_GOOD)
		device_down(d, t);
}

/* Under the lock. The next job, or NULL: time to look at the device, or to stop. */
static struct job *job_wait(struct key_device *d)
{
	struct timespec until = moment(now_ms() + d->retry_ms);
	struct job *j;

	while (!d->stopping && d->first == NULL)
		if (pthread_cond_timedwait(&d->work, &d->lock, &until) == ETIMEDOUT)
			break;
	j = d->stopping ? NULL : d->first;
	if (j != NULL) {
		d->first = j->next;
		if (d->first == NULL)
			d->last = &d->first;
	}
	return j;
}

static void *worker_main(void *arg)
{
	struct key_device *d = arg;

	device_try(d);
	pthread_mutex_lock(&d->lock);
	d->looked = true;
	pthread_cond_broadcast(&d->answered);
	while (!d->stopping) {
		struct job *j = job_wait(d);
		bool up = d->up, asked = j != NULL && !j->abandoned, idle = j == NULL && !d->stopping;

		pthread_mutex_unlock(&d->lock);
		if (asked && up)
			job_run(d, j);
		else if (idle && up)
			device_idle(d);
		else if (idle)
			device_try(d);
		pthread_mutex_lock(&d->lock);
		if (j == NULL)
			continue;
		j->done = true;
		if (j->abandoned) {
			job_free(j);
			d->stuck = d->up = false;	/* it came back, late: first its known answers again */
			snprintf(d->status.text, sizeof(d->status.text), "%s", trust_text(TRUST_SLOW));
		} else {
			pthread_cond_broadcast(&d->answered);
		}
	}
	pthread_mutex_unlock(&d->lock);
	d->backend->close(d->self);
	d->self = NULL;
	return NULL;
}

/* ---- the callers' side --------------------------------------------------------------------------------- */

static struct job *job_of_open(const struct tac_question *q, size_t n, const enum key_check *check)
{
	struct job *j = job_new(n);

	for (size_t i = 0; j != NULL && i < n; i++)
		if (check[i] == KEY_CHECK_UNAVAILABLE)
			job_add(j, &q[i]);
	return j;
}

void key_device_verify(struct key_device *d, const struct tac_question *q, size_t n, int64_t deadline_ms, enum key_check *io_check)
{
	struct timespec until = moment(now_ms() + deadline_ms);
	struct job *j = job_of_open(q, n, io_check);
	size_t k = 0;

	if (j == NULL || j->n == 0) {
		job_free(j);
		return;
	}
	pthread_mutex_lock(&d->lock);
	d->status.asked += j->n;
	if (d->up && !d->stuck) {
		*d->last = j;
		d->last = &j->next;
		pthread_cond_signal(&d->work);
		while (!j->done && pthread_cond_timedwait(&d->answered, &d->lock, &until) != ETIMEDOUT)
			;
		if (!j->done) {
			d->stuck = j->abandoned = true;
			d->status.unanswered += j->n;
			snprintf(d->status.text, sizeof(d->status.text), "%s", trust_text(TRUST_SLOW));
			pthread_mutex_unlock(&d->lock);
			return;		/* the worker's now */
		}
	}
	for (size_t i = 0; i < n; i++)
		if (io_check[i] == KEY_CHECK_UNAVAILABLE) {
			io_check[i] = j->check[k++];
			d->status.unanswered += io_check[i] == KEY_CHECK_UNAVAILABLE;
		}
	pthread_mutex_unlock(&d->lock);
	job_free(j);
}

bool key_device_wait(struct key_device *d, int64_t wait_ms)
{
	struct timespec until = moment(now_ms() + wait_ms);
	bool up;

	pthread_mutex_lock(&d->lock);
	while (!d->looked && pthread_cond_timedwait(&d->answered, &d->lock, &until) != ETIMEDOUT)
		;
	up = d->up && !d->stuck;
	pthread_mutex_unlock(&d->lock);
	return up;
}

void key_device_status(struct key_device *d, struct key_device_status *ret_status)
{
	pthread_mutex_lock(&d->lock);
	*ret_status = d->status;
	ret_status->up = d->up && !d->stuck;
	pthread_mutex_unlock(&d->lock);
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static void text_keep(char kept[TEXT_BYTES], const char *text, const char **ret)
{
	*ret = NULL;
	if (text == NULL)
		return;
	snprintf(kept, TEXT_BYTES, "%s", text);
	*ret = kept;
}

int key_device_new(const struct key_device_conf *conf, const struct keyring *ring, struct key_device **ret_device)
{
	struct key_device *d = calloc(1, sizeof(*d));
	pthread_condattr_t monotonic;

	if (d == NULL)
		return -ENOMEM;
	d->backend = conf->backend;
	d->ring = ring;
	d->deadline_ms = conf->deadline_ms;
	d->retry_ms = conf->retry_ms;
	d->last = &d->first;
	d->at.kek = conf->at.kek;
	text_keep(d->module, conf->at.module, &d->at.module);
	text_keep(d->token, conf->at.token, &d->at.token);
	text_keep(d->pin, conf->at.pin, &d->at.pin);
	d->status.backend = conf->backend->name;
	snprintf(d->status.text, sizeof(d->status.text), "not yet opened");
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&d->work, &monotonic);
	pthread_cond_init(&d->answered, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (pthread_create(&d->worker, NULL, worker_main, d) != 0) {
		key_wipe(d, sizeof(*d));
		free(d);
		return -EAGAIN;
	}
	*ret_device = d;
	return 0;
}

bool key_device_free(struct key_device *d)
{
	struct timespec until;

	if (d == NULL)
		return true;
	pthread_mutex_lock(&d->lock);
	d->stopping = true;
	pthread_cond_signal(&d->work);
	pthread_mutex_unlock(&d->lock);
	until = moment(now_ms() + FREE_WAIT_S * 1000);
	if (pthread_clockjoin_np(d->worker, NULL, CLOCK_MONOTONIC, &until) != 0) {
		pthread_detach(d->worker);	/* still inside the device: it keeps what it uses */
		return false;
	}
	for (struct job *j = d->first, *next; j != NULL; j = next) {
		next = j->next;
		job_free(j);
	}
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->work);
	pthread_cond_destroy(&d->answered);
	key_wipe(d, sizeof(*d));
	free(d);
	return true;
}
