/*
 * code_ask - asks code platforms about the records that wait, and takes their answers as events (docs/codes.md). What a platform
 * said while the rider stood at the gate is bound to the record and not asked again (kerb.h). An answer is taken only for
 * a record that still waits, so none counts twice.
 */
#include "clearing/code_talk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clearing/kerb.h"

#define ASK_MS_MAX 10000

struct round { struct daemon *daemon; struct talk talk; size_t *at; uint64_t seq; };

/* ---- what waits ----------------------------------------------------------------------------------------------- */

/* A record that a person released: its own day has it. */
static bool released_read(struct txn *t, const struct event *e, struct tap *ret)
{
	const char *field;
	struct cleared row;
	struct release r;
	int32_t day;

	return release_read(e, &r) && set_aside_find(t, r.key, &day, &row) && tap_decode(row.raw, row.raw_bytes, ret, &field) == 0;
}

/* The record of a business key in the batch that brought it, or in the event that released it. */
static bool record_find(struct txn *t, const struct code_waiting *w, struct question *ret)
{
	static _Thread_local struct batch batch;
	struct event_batch b;
	struct inbox_iter it;
	struct event e;
	struct tap tap;
	bool found = false;

	inbox_open(t, w->seq, w->seq, &it);
	if (!inbox_next(&it, &e))
		found = false;
	else if (e.type == EVENT_DEVICE)
		found = released_read(t, &e, &tap);
	else if (event_batch_read(&e, &b) && batch_decode(b.batch, b.batch_bytes, &batch) == 0)
		for (uint32_t i = 0; !found && i < batch.count; i++) {
			uint8_t key[TAP_KEY_BYTES];
			const char *field;

			if (tap_decode(batch.tap[i].p, batch.tap[i].n, &tap, &field) != 0)
				continue;
			tap_key(&tap, key);
			found = memcmp(key, w->key, TAP_KEY_BYTES) == 0 && code_route_of_kind(tap.kind) != NULL;
		}
	inbox_close(&it);
	if (!found)
		return false;
	question_of_tap(&tap, ret);
	ret->waiting = *w;
	return true;
}

static int questions_call(struct txn *t, void *arg)
{
	struct round *r = arg;
	struct talk *k = &r->talk;
	struct code_waiting waiting[CODE_ANSWERS_MAX];
	size_t n = code_asks_list(live_asks(r->daemon->live), k->route->scheme, r->at, waiting, CODE_ANSWERS_MAX);

	for (size_t i = 0; i < n; i++)
		k->count += record_find(t, &waiting[i], &k->question[k->count]);
	return t->error;
}

/* Those that a gate has asked about already; how many. The others are codes that rode unasked. */
static size_t kerb_bind(struct round *r)
{
	struct talk *t = &r->talk;
	size_t kept = 0, bound = 0;

	for (size_t i = 0; i < t->count; i++) {
		if (kerb_rode(r->daemon->kerb, &t->question[i], &t->answer[t->answers])) {
			t->answers++;
			bound++;
			continue;
		}
		if (kept != i) {
			t->question[kept] = t->question[i];
			t->question[kept].tap.qr.p = t->question[kept].code;
		}
		kept++;
	}
	t->count = kept;
	return bound;
}

/* ---- taking ------------------------------------------------------------------------------------------------------- */

static int answers_call(struct txn *t, void *arg)
{
	struct round *r = arg;
	struct talk *k = &r->talk;
	struct code_asks *asks = live_asks(r->daemon->live);
	uint8_t head[CODE_EVENT_HEAD_BYTES] = { (uint8_t)k->route->scheme }, rows[CODE_ANSWERS_MAX * CODE_ANSWER_BYTES], body[sizeof(head) + sizeof(rows)];
	const void *part[2] = { head, rows };
	size_t count = 0, bytes[2] = { sizeof(head), 0 };
	char error[128];
	struct event e;
	int ret;

	for (size_t i = 0; i < k->answers; i++)
		if (code_asks_has(asks, k->answer[i].key, k->route->scheme))
			code_answer_put(&k->answer[i], rows + count++ * CODE_ANSWER_BYTES);
	if (count == 0)
		return 0;
	be16_put(head + 2, (uint16_t)count);
	bytes[1] = count * CODE_ANSWER_BYTES;
	memcpy(body, head, sizeof(head));
	memcpy(body + sizeof(head), rows, bytes[1]);
	e = (struct event){ .type = EVENT_CODE_ANSWER, .received_ms = clock_ms(), .body = body, .bytes = sizeof(head) + bytes[1] };
	e.seq = r->seq = inbox_append(t, EVENT_CODE_ANSWER, e.received_ms, part, bytes, 2);
	ret = t->error != 0 ? t->error : refdata_apply(r->daemon->ref, &e, t, error, sizeof(error));
	if (ret == 0)
		code_asks_event(asks, body, e.bytes);
	return ret;
}

/* 0 good; -ECONNREFUSED and the like: the platform is out. */
static int route_ask(struct daemon *d, const struct code_route *route, const struct partner_conf *p, size_t *at, bool was_out)
{
	struct round *r = calloc(1, sizeof(*r));
	size_t bound = 0, asked = 0;
	int ret = r == NULL ? -ENOMEM : 0, taken = 0;

	if (ret == 0) {
		*r = (struct round){ .daemon = d, .talk.route = route, .at = at };
		ret = writer_call(d, questions_call, r);
	}
	if (ret == 0) {
		bound = kerb_bind(r);
		asked = r->talk.count;
		if (asked > 0)
			ret = talk_ask(&r->talk, p, ASK_MS_MAX);
		if (r->talk.answers > 0)	/* what gates were told counts whether the platform is out now or not */
			taken = writer_call(d, answers_call, r);
		ret = ret != 0 ? ret : taken;
		if (bound > 0)
			log_event("codes-bound", "partner=%s answers=%zu seq=%llu", route->name, bound, (unsigned long long)r->seq);
		if (asked > 0 && (ret == 0 || !was_out))
			log_event(ret == 0 ? "codes-asked" : "codes-not-asked", "partner=%s asked=%zu answers=%zu seq=%llu code=%d", route->name, asked,
				  r->talk.answers - bound, (unsigned long long)r->seq, ret);
	}
	free(r);
	return ret;
}

static void *code_ask_main(void *arg)
{
	struct daemon *d = arg;
	struct { size_t at; bool out; } route[8] = { 0 };

	while (!daemon_stopping(d)) {
		for (size_t i = 0; i < code_route_count && !daemon_stopping(d) && __atomic_load_n(&d->codes_waiting, __ATOMIC_RELAXED) > 0; i++) {
			const struct partner_conf *p = partner_find(d, code_routes[i].name);

			if (p != NULL)
				route[i].out = route_ask(d, &code_routes[i], p, &route[i].at, route[i].out) != 0;
		}
		for (int64_t waited = 0; waited < d->conf.poll_ms && !daemon_stopping(d); waited += 50)
			usleep(50000);
	}
	return NULL;
}

int code_ask_start(struct daemon *d) { return -pthread_create(&d->code_ask, NULL, code_ask_main, d); }
