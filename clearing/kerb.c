/* kerb - see kerb.h. */
#include "clearing/kerb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/table.h"

#define KERB_THREADS 3			/* a platform that is slow with one group stops no other */
#define WAITING_MAX 1024		/* questions not asked yet: more are answered as not reached */
#define GENERATION_MS (3600 * 1000)	/* no code is valid longer (code_formats): two generations outlive every one */
#define CODES_MAX (1u << 20)

/* One code, by what makes it one of a kind. */
struct held {
	uint8_t code[TAP_CODE_BYTES], used;
	bool rides, answered;		/* somebody rides with it, or was told that he may; the answer is there */
	uint8_t key[TAP_KEY_BYTES];	/* of the record that does, or will */
	struct code_answer answer;
};
struct kerb {
	struct daemon *daemon;
	const struct code_route *route;
	const struct partner_conf *partner;
	pthread_mutex_t lock;
	pthread_cond_t signal;
	struct item *first, **last; size_t waiting;
	struct table held[2];		/* of this hour and of the one before */
	int64_t since_ms;
	bool stopping;
	pthread_t thread[KERB_THREADS]; size_t threads;
	uint64_t said[KERB_REPEATED + 1];
};

/* ---- what is remembered: under lock ------------------------------------------------------------------------------- */

static void generations_turn(struct kerb *k, int64_t now_ms)
{
	struct table before = k->held[1];

	if (now_ms - k->since_ms < GENERATION_MS)
		return;
	table_clear(&before);
	k->held[1] = k->held[0];
	k->held[0] = before;
	k->since_ms = now_ms;
}

static struct held *held_find(struct kerb *k, const uint8_t code[TAP_CODE_BYTES])
{
	struct held *h = table_find(&k->held[0], code);

	return h != NULL ? h : table_find(&k->held[1], code);
}

/* NULL: no room; nothing is forgotten early. */
static struct held *held_at(struct kerb *k, const uint8_t code[TAP_CODE_BYTES])
{
	struct held *h = held_find(k, code);
	bool new;

	if (h != NULL || k->held[0].count >= CODES_MAX || table_room(&k->held[0], 1) != 0)
		return h;
	return table_at(&k->held[0], code, &new);
}

/* Another terminal's. The same one has its own memory of what rode there, and may have missed our answer. */
static bool rides_elsewhere(const struct held *h, const uint8_t key[TAP_KEY_BYTES]) { return h != NULL && h->rides && memcmp(h->key, key, 6) != 0; }

/* What the gate is told: good to one terminal only. */
static enum kerb_answer answer_hold(struct kerb *k, const struct question *q, const struct code_answer *a)
{
	uint8_t code[TAP_CODE_BYTES];
	struct held *h = tap_code_key(&q->tap, code) ? held_at(k, code) : NULL;

	if (h == NULL)
		return KERB_NOT_REACHED;
	if (rides_elsewhere(h, q->waiting.key))
		return KERB_REPEATED;
	memcpy(h->key, q->waiting.key, TAP_KEY_BYTES);
	h->answer = *a;
	h->answered = true;
	h->rides = a->result == CODE_GOOD;
	return a->result == CODE_GOOD ? KERB_GOOD : KERB_REFUSED;
}

bool kerb_rode(struct kerb *k, const struct question *q, struct code_answer *ret_answer)
{
	uint8_t code[TAP_CODE_BYTES];
	struct held *h = NULL;
	bool bound = false;

	if (k == NULL || q->tap.kind != k->route->kind || !tap_code_key(&q->tap, code))
		return false;
	pthread_mutex_lock(&k->lock);
	h = held_at(k, code);
	if (h != NULL && !h->rides) {
		h->rides = true;
		h->answered = h->answered && memcmp(h->key, q->waiting.key, TAP_KEY_BYTES) == 0;
		memcpy(h->key, q->waiting.key, TAP_KEY_BYTES);
	}
	bound = h != NULL && h->answered && memcmp(h->key, q->waiting.key, TAP_KEY_BYTES) == 0;
	if (bound)
		*ret_answer = h->answer;
	pthread_mutex_unlock(&k->lock);
	if (bound)	/* the gate's question had no card number; the record has its stand-in */
		memcpy(ret_answer->record_pan, q->tap.pan, sizeof(ret_answer->record_pan));
	return bound;
}

/* ---- asking ----------------------------------------------------------------------------------------------------------- */

static void item_say(struct kerb *k, struct item *item, enum kerb_answer answer, const char *reason)
{
	item->said = (struct kerb_said){ .number = item->ask.number, .answer = (uint8_t)answer };
	snprintf(item->said.reason, sizeof(item->said.reason), "%s", reason);
	if (k != NULL)
		__atomic_add_fetch(&k->said[answer], 1, __ATOMIC_RELAXED);
	if (answer == KERB_REPEATED)
		log_event("code-repeated-at-gate", "alarm=1 device=%s note=\"another terminal rides with this code\"", item->device);
	front_answer(item, item);
}

static void tap_of_ask(const struct kerb_ask *m, struct tap *ret)
{
	*ret = (struct tap){ .kind = m->kind, .terminal_serial = m->serial, .time_ms = m->time_ms, .qr = { m->p, m->n } };
	memcpy(ret->terminal, m->terminal, sizeof(ret->terminal));
}

void kerb_take(struct kerb *k, struct item *item)
{
	uint8_t code[TAP_CODE_BYTES], key[TAP_KEY_BYTES];
	bool repeated, full;
	struct tap tap;

	tap_of_ask(&item->ask, &tap);
	tap_key(&tap, key);
	if (k == NULL || item->ask.kind != k->route->kind || !tap_code_key(&tap, code)) {
		item_say(k, item, KERB_NOT_REACHED, "no code of this kind is asked about here");
		return;
	}
	pthread_mutex_lock(&k->lock);
	generations_turn(k, item->received_ms);
	repeated = rides_elsewhere(held_find(k, code), key);
	full = k->waiting >= WAITING_MAX || k->stopping;
	if (!repeated && !full) {
		item->next = NULL;
		*k->last = item;
		k->last = &item->next;
		k->waiting++;
		pthread_cond_signal(&k->signal);
	}
	pthread_mutex_unlock(&k->lock);
	if (repeated || full)
		item_say(k, item, repeated ? KERB_REPEATED : KERB_NOT_REACHED, repeated ? "" : "too many questions at once");
}

/* The next questions, at most max; waits for one. 0: stopping. */
static size_t group_take(struct kerb *k, struct item **ret, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&k->lock);
	while (k->first == NULL && !k->stopping)
		pthread_cond_wait(&k->signal, &k->lock);
	for (; n < max && k->first != NULL; n++) {
		ret[n] = k->first;
		k->first = k->first->next;
		k->waiting--;
	}
	if (k->first == NULL)
		k->last = &k->first;
	pthread_mutex_unlock(&k->lock);
	return n;
}

/* Until when the gate waits; nobody waits longer than the configuration says. */
static int64_t deadline_of(const struct kerb *k, const struct item *item)
{
	int64_t within = item->ask.within_ms < k->daemon->conf.kerb_ask_ms ? item->ask.within_ms : k->daemon->conf.kerb_ask_ms;

	return item->received_ms + within;
}

static void group_ask(struct kerb *k, struct talk *t, struct item **item, size_t n)
{
	int64_t now = clock_ms(), until = INT64_MAX;
	enum kerb_answer said[CODE_ANSWERS_MAX] = { KERB_NOT_REACHED };
	int ret;

	t->route = k->route;
	t->count = t->answers = 0;
	for (size_t i = 0; i < n; i++) {
		int64_t end = deadline_of(k, item[i]);
		struct tap tap;

		if (end <= now)
			continue;	/* the gate has given up */
		until = end < until ? end : until;
		tap_of_ask(&item[i]->ask, &tap);
		question_of_tap(&tap, &t->question[t->count++]);
	}
	ret = t->count > 0 ? talk_ask(t, k->partner, (long)(until - now)) : 0;
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0, q = 0; i < n; i++) {
		const struct code_answer *a;

		if (deadline_of(k, item[i]) <= now)
			continue;
		a = talk_answer(t, t->question[q].waiting.key);
		said[i] = a != NULL ? answer_hold(k, &t->question[q], a) : KERB_NOT_REACHED;
		q++;
	}
	pthread_mutex_unlock(&k->lock);
	for (size_t i = 0; i < n; i++) {
		const struct code_answer *a;
		uint8_t key[TAP_KEY_BYTES];
		struct tap tap;

		tap_of_ask(&item[i]->ask, &tap);
		tap_key(&tap, key);
		a = talk_answer(t, key);
		item_say(k, item[i], said[i], said[i] == KERB_REFUSED && a != NULL ? a->reason : said[i] == KERB_NOT_REACHED && ret != 0 ? "the platform did not answer" : "");
	}
}

static void *kerb_main(void *arg)
{
	struct kerb *k = arg;
	struct item *group[CODE_ANSWERS_MAX];
	struct talk *t = calloc(1, sizeof(*t));
	size_t n;

	while (t != NULL && (n = group_take(k, group, CODE_ANSWERS_MAX)) > 0)
		group_ask(k, t, group, n);
	free(t);
	return NULL;
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

static void kerb_free(struct kerb *k)
{
	table_close(&k->held[0]);
	table_close(&k->held[1]);
	free(k);
}

/* A platform that debits is not asked at the gate: money would move for a rider who was then not let in. */
static const struct code_route *route_asked(const struct daemon *d, const struct partner_conf **ret_partner)
{
	for (size_t i = 0; i < code_route_count; i++)
		if (!code_routes[i].debits && (*ret_partner = partner_find(d, code_routes[i].name)) != NULL)
			return &code_routes[i];
	return NULL;
}

int kerb_start(struct daemon *d)
{
	const struct partner_conf *partner = NULL;
	const struct code_route *route = d->conf.kerb_ask_ms > 0 ? route_asked(d, &partner) : NULL;
	struct kerb *k = route != NULL ? calloc(1, sizeof(*k)) : NULL;
	int ret = 0;

	if (route == NULL)
		return 0;
	if (k == NULL || table_open(&k->held[0], TAP_CODE_BYTES, sizeof(struct held)) != 0 || table_open(&k->held[1], TAP_CODE_BYTES, sizeof(struct held)) != 0) {
		if (k != NULL)
			kerb_free(k);
		return -ENOMEM;
	}
	k->daemon = d;
	k->route = route;
	k->partner = partner;
	k->last = &k->first;
	k->since_ms = clock_ms();
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->signal, NULL);
	for (; ret == 0 && k->threads < KERB_THREADS; k->threads += ret == 0)
		ret = -pthread_create(&k->thread[k->threads], NULL, kerb_main, k);
	d->kerb = k;
	return ret;
}

void kerb_stop(struct daemon *d)
{
	struct kerb *k = d->kerb;

	if (k == NULL)
		return;
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	pthread_cond_broadcast(&k->signal);
	pthread_mutex_unlock(&k->lock);
	for (size_t i = 0; i < k->threads; i++)
		pthread_join(k->thread[i], NULL);
}

void kerb_close(struct daemon *d)
{
	if (d->kerb != NULL)
		kerb_free(d->kerb);
	d->kerb = NULL;
}

void kerb_status(struct kerb *k, struct jsonw *j)
{
	static const char *const names[] = { "gate_asks_unreached", "gate_asks_good", "gate_asks_refused", "gate_asks_repeated" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		jsonw_kint(j, names[i], k != NULL ? (int64_t)__atomic_load_n(&k->said[i], __ATOMIC_RELAXED) : 0);
}
