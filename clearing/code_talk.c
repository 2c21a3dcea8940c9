/*
 * code_talk - what is said to a code platform and what it says (docs/codes.md). A question names its record by an id for ever
 * and may be asked again, so a lost answer costs a question and never a second debit. An answer about nothing that was asked,
 * given twice, or of another amount is told in the log and not taken.
 */
#include "clearing/code_talk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

void question_of_tap(const struct tap *tap, struct question *ret)
{
	ret->tap = *tap;
	memcpy(ret->code, tap->qr.p, tap->qr.n);
	ret->tap.qr.p = ret->code;
	tap_key(tap, ret->waiting.key);
	code_id(ret->waiting.key, ret->id);
}

static char *questions_text(const struct talk *t)
{
	json_t *list = json_array(), *whole = json_pack("{s:o}", "asks", list);
	char *text;

	for (size_t i = 0; i < t->count; i++) {
		const struct question *q = &t->question[i];
		char code[2 * TAP_QR_BYTES_MAX + 1];

		hex_encode(q->code, q->tap.qr.n, code);
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "id", q->id, "code", code, "amount_fen",
						      (json_int_t)(t->route->debits ? q->tap.amount_fen : 0), "time_ms", (json_int_t)q->tap.time_ms));
	}
	text = json_dumps(whole, JSON_COMPACT);
	json_decref(whole);
	return text;
}

static const struct question *question_find(const struct talk *t, const char *id)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->question[i].id, id) == 0)
			return &t->question[i];
	return NULL;
}

const struct code_answer *talk_answer(const struct talk *t, const uint8_t key[TAP_KEY_BYTES])
{
	for (size_t i = 0; i < t->answers; i++)
		if (memcmp(t->answer[i].key, key, TAP_KEY_BYTES) == 0)
			return &t->answer[i];
	return NULL;
}

/* NULL: taken; else why not. */
static const char *answer_take(struct talk *t, const struct code_said *said)
{
	const struct question *q = question_find(t, said->id);
	struct code_answer a = { .result = said->result, .amount_fen = said->amount_fen };

	if (q == NULL)
		return "nobody asked this";
	if (talk_answer(t, q->waiting.key) != NULL)
		return "it was answered before";
	memcpy(a.key, q->waiting.key, TAP_KEY_BYTES);
	memcpy(a.record_pan, q->tap.pan, sizeof(a.record_pan));
	memcpy(a.pan, said->pan, sizeof(a.pan));
	memcpy(a.reference, said->reference, sizeof(a.reference));
	memcpy(a.reason, said->reason, sizeof(a.reason));
	if (!code_answer_fits(t->route, &a, &q->tap))
		return "its amount is not what was asked";
	t->answer[t->answers++] = a;
	return NULL;
}

static int answers_read(struct talk *t, const char *text, size_t n)
{
	struct code_reply *reply;
	int ret = code_reply_open(text, n, &reply);

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < code_reply_count(reply); i++) {
		struct code_said said = { .id = "-" };
		const char *why = code_reply_row(reply, i, &said) ? answer_take(t, &said) : "it has another form";

		if (why != NULL)
			log_event("code-answer-refused", "partner=%s row=%zu id=%s reason=\"%s\"", t->route->name, i + 1, said.id, why);
	}
	code_reply_close(reply);
	return 0;
}

int talk_ask(struct talk *t, const struct partner_conf *p, long ms)
{
	char *text = questions_text(t), *answer = NULL;
	size_t n = 0;
	int ret = text == NULL ? -ENOMEM : partner_post(p, "/ask", text, strlen(text), ms, &answer, &n);

	if (ret == 0)
		ret = answers_read(t, answer, n);
	free(text);
	free(answer);
	return ret;
}
