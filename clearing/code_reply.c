/*
 * code_reply - what a code platform answers to /ask, as it came (docs/codes.md): JSON of a stranger. What is taken out of it
 * is bounded and plain, since it goes into events, logs and files of fixed lines: a name of ours, digits, printable ASCII.
 */
#include "clearing/code_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define ROWS_MAX 1024			/* far more than is asked at once */

struct code_reply { json_t *whole, *list; };

int code_reply_open(const void *text, size_t n, struct code_reply **ret_reply)
{
	struct code_reply *r = calloc(1, sizeof(*r));
	json_error_t error;
	int ret = r == NULL ? -ENOMEM : 0;

	if (ret == 0) {
		r->whole = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
		r->list = json_object_get(r->whole, "answers");
		if (!json_is_array(r->list) || json_array_size(r->list) > ROWS_MAX)
			ret = -EPROTO;
	}
	if (ret == 0) {
		*ret_reply = r;
		r = NULL;
	}
	code_reply_close(r);
	return ret;
}

void code_reply_close(struct code_reply *r)
{
	if (r == NULL)
		return;
	json_decref(r->whole);
	free(r);
}

size_t code_reply_count(const struct code_reply *r) { return json_array_size(r->list); }

/* Printable ASCII that fits; a longer one is not cut, since it would name something else. */
static bool text_take(const char *text, char *ret, size_t bytes)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
			return false;
	if (n >= bytes)
		return false;
	memcpy(ret, text, n + 1);
	return true;
}

static bool id_take(const char *id, char ret[CODE_ID_BYTES])
{
	return strspn(id, "0123456789ABCDEF") == strlen(id) && text_take(id, ret, CODE_ID_BYTES);
}

bool code_reply_row(const struct code_reply *r, size_t i, struct code_said *ret)
{
	const char *id = NULL, *result = NULL, *reference = "", *reason = "", *number = "";
	json_int_t amount = 0;
	struct code_said s = { 0 };

	if (json_unpack(json_array_get(r->list, i), "{s:s, s:s, s?I, s?s, s?s, s?s}", "id", &id, "result", &result, "amount_fen", &amount, "reference",
			&reference, "reason", &reason, "number", &number) != 0)
		return false;
	s.result = strcmp(result, "good") == 0 ? CODE_GOOD : strcmp(result, "refused") == 0 ? CODE_REFUSED : 0;
	s.amount_fen = amount;
	if (s.result == 0 || !id_take(id, s.id) || !text_take(reference, s.reference, sizeof(s.reference)) || !text_take(reason, s.reason, sizeof(s.reason)) ||
	    (number[0] != '\0' && !pan_parse(number, s.pan)))
		return false;
	*ret = s;
	return true;
}
