/*
 * code_ask - asks code platforms about the records that wait, and takes their answers as events (docs/codes.md). A question
 * names its record by an id for ever and is asked again until it is answered, so a lost answer costs a question and never a
 * second debit. An answer about nothing that waits, given before, or of another amount is told in the log and not taken.
 */
#include "clearing/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "clearing/code_route.h"

#define ASK_SECONDS_MAX 10

struct question { struct code_waiting waiting; char id[CODE_ID_BYTES]; struct tap tap; uint8_t code[TAP_QR_BYTES_MAX]; };
struct round {
	struct daemon *daemon;
	const struct code_route *route;
	size_t *at;
	struct question question[CODE_ANSWERS_MAX]; size_t count;
	struct code_answer answer[CODE_ANSWERS_MAX]; size_t answers;
	uint64_t seq;
};

/* ---- what waits ----------------------------------------------------------------------------------------------- */

/* A record that a person released: its own day has it. */
static bool released_read(struct txn *t, const struct event *e, struct question *ret)
{
	const char *field;
	struct cleared row;
	struct release r;
	int32_t day;

	return release_read(e, &r) && set_aside_find(t, r.key, &day, &row) && tap_decode(row.raw, row.raw_bytes, &ret->tap, &field) == 0;
}

/* The record of a business key in the batch that brought it, or in the event that released it. */
static bool record_find(struct txn *t, const struct code_waiting *w, struct question *ret)
{
	static _Thread_local struct batch batch;
	struct event_batch b;
	struct inbox_iter it;
	struct event e;
	bool found = false;

	inbox_open(t, w->seq, w->seq, &it);
	if (!inbox_next(&it, &e))
		found = false;
	else if (e.type == EVENT_DEVICE)
		found = released_read(t, &e, ret);
	else if (event_batch_read(&e, &b) && batch_decode(b.batch, b.batch_bytes, &batch) == 0)
		for (uint32_t i = 0; !found && i < batch.count; i++) {
			uint8_t key[TAP_KEY_BYTES];
			const char *field;

			if (tap_decode(batch.tap[i].p, batch.tap[i].n, &ret->tap, &field) != 0)
				continue;
			tap_key(&ret->tap, key);
			found = memcmp(key, w->key, TAP_KEY_BYTES) == 0 && code_route_of_kind(ret->tap.kind) != NULL;
		}
	inbox_close(&it);
	if (!found)
		return false;
	memcpy(ret->code, ret->tap.qr.p, ret->tap.qr.n);
	ret->tap.qr.p = ret->code;
	ret->waiting = *w;
	code_id(w->key, ret->id);
	return true;
}

static int questions_call(struct txn *t, void *arg)
{
	struct round *r = arg;
	struct code_waiting waiting[CODE_ANSWERS_MAX];
	size_t n = code_asks_list(live_asks(r->daemon->live), r->route->scheme, r->at, waiting, CODE_ANSWERS_MAX);

	for (size_t i = 0; i < n; i++)
		r->count += record_find(t, &waiting[i], &r->question[r->count]);
	return t->error;
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static char *questions_text(const struct round *r)
{
	json_t *list = json_array(), *whole = json_pack("{s:o}", "asks", list);
	char *text;

	for (size_t i = 0; i < r->count; i++) {
		const struct question *q = &r->question[i];
		char code[2 * TAP_QR_BYTES_MAX + 1];

		hex_encode(q->code, q->tap.qr.n, code);
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "id", q->id, "code", code, "amount_fen",
						      (json_int_t)(r->route->debits ? q->tap.amount_fen : 0), "time_ms", (json_int_t)q->tap.time_ms));
	}
	text = json_dumps(whole, JSON_COMPACT);
	json_decref(whole);
	return text;
}

static const struct question *question_of(const struct round *r, const char *id)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->question[i].id, id) == 0)
			return &r->question[i];
	return NULL;
}

static bool answered_before(const struct round *r, const uint8_t key[TAP_KEY_BYTES])
{
	for (size_t i = 0; i < r->answers; i++)
		if (memcmp(r->answer[i].key, key, TAP_KEY_BYTES) == 0)
			return true;
	return false;
}

/* NULL: taken; else why not. */
static const char *answer_take(struct round *r, const struct code_said *said)
{
	const struct question *q = question_of(r, said->id);
	struct code_answer a = { .result = said->result, .amount_fen = said->amount_fen };

	if (q == NULL)
		return "nobody asked this";
	if (answered_before(r, q->waiting.key))
		return "it was answered before";
	memcpy(a.key, q->waiting.key, TAP_KEY_BYTES);
	memcpy(a.record_pan, q->tap.pan, sizeof(a.record_pan));
	memcpy(a.pan, said->pan, sizeof(a.pan));
	memcpy(a.reference, said->reference, sizeof(a.reference));
	memcpy(a.reason, said->reason, sizeof(a.reason));
	if (!code_answer_fits(r->route, &a, &q->tap))
		return "its amount is not what was asked";
	r->answer[r->answers++] = a;
	return NULL;
}

static int answers_read(struct round *r, const char *text, size_t n)
{
	struct code_reply *reply;
	int ret = code_reply_open(text, n, &reply);

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < code_reply_count(reply); i++) {
		struct code_said said = { .id = "-" };
		const char *why = code_reply_row(reply, i, &said) ? answer_take(r, &said) : "it has another form";

		if (why != NULL)
			log_event("code-answer-refused", "partner=%s row=%zu id=%s reason=\"%s\"", r->route->name, i + 1, said.id, why);
	}
	code_reply_close(reply);
	return 0;
}

/* ---- taking ------------------------------------------------------------------------------------------------------- */

static int answers_call(struct txn *t, void *arg)
{
	struct round *r = arg;
	struct code_asks *asks = live_asks(r->daemon->live);
	uint8_t head[CODE_EVENT_HEAD_BYTES] = { (uint8_t)r->route->scheme }, rows[CODE_ANSWERS_MAX * CODE_ANSWER_BYTES], body[sizeof(head) + sizeof(rows)];
	const void *part[2] = { head, rows };
	size_t count = 0, bytes[2] = { sizeof(head), 0 };
	char error[128];
	struct event e;
	int ret;

	for (size_t i = 0; i < r->answers; i++)
		if (code_asks_has(asks, r->answer[i].key, r->route->scheme))
			code_answer_put(&r->answer[i], rows + count++ * CODE_ANSWER_BYTES);
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
	char *text = NULL, *answer = NULL;
	size_t n = 0;
	int ret = r == NULL ? -ENOMEM : 0;

	if (ret == 0) {
		*r = (struct round){ .daemon = d, .route = route, .at = at };
		ret = writer_call(d, questions_call, r);
	}
	if (ret == 0 && r->count > 0) {
		text = questions_text(r);
		ret = text == NULL ? -ENOMEM : partner_post(p, "/ask", text, strlen(text), ASK_SECONDS_MAX, &answer, &n);
		if (ret == 0)
			ret = answers_read(r, answer, n);
		if (ret == 0 && r->answers > 0)
			ret = writer_call(d, answers_call, r);
		if (ret == 0 || !was_out)
			log_event(ret == 0 ? "codes-asked" : "codes-not-asked", "partner=%s asked=%zu answers=%zu seq=%llu code=%d", route->name, r->count,
				  r->answers, (unsigned long long)r->seq, ret);
	}
	free(text);
	free(answer);
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
