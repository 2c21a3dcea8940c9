/* code_route - see code_route.h. */
#include "clearing/code_route.h"

#include <stdlib.h>
#include <string.h>

#include "clearing/refdata.h"

const struct code_route code_routes[] = {
	{ "ridecode", TAP_BANK_QR, SCHEME_RIDE_CODE, true, "RCCL", "RCRS", "RIDECODE" },
	{ "identity", TAP_IDENTITY, SCHEME_IDENTITY, false, "IDCL", "IDRS", "IDENTITY" },
};
const size_t code_route_count = sizeof(code_routes) / sizeof(code_routes[0]);

const struct code_route *code_route_of_kind(uint32_t kind)
{
	for (size_t i = 0; i < code_route_count; i++)
		if (code_routes[i].kind == kind)
			return &code_routes[i];
	return NULL;
}

const struct code_route *code_route_of_scheme(unsigned scheme)
{
	for (size_t i = 0; i < code_route_count; i++)
		if (code_routes[i].scheme == scheme)
			return &code_routes[i];
	return NULL;
}

const struct code_route *code_route_of_name(const char *name)
{
	for (size_t i = 0; i < code_route_count; i++)
		if (strcmp(code_routes[i].name, name) == 0)
			return &code_routes[i];
	return NULL;
}

void code_id(const uint8_t key[TAP_KEY_BYTES], char ret[CODE_ID_BYTES])
{
	char text[TAP_ID_BYTES];

	tap_id_format(key, text);
	snprintf(ret, CODE_ID_BYTES, "%.12s%.8s%.14s", text, text + 13, text + 22);
}

/* ---- answers ---------------------------------------------------------------------------------------------- */

void code_answer_put(const struct code_answer *a, uint8_t out[CODE_ANSWER_BYTES])
{
	memset(out, 0, CODE_ANSWER_BYTES);
	memcpy(out, a->key, TAP_KEY_BYTES);
	out[18] = a->result;
	be64_put(out + 19, (uint64_t)a->amount_fen);
	memcpy(out + 27, a->record_pan, 10);
	memcpy(out + 37, a->pan, 10);
	memcpy(out + 47, a->reference, strnlen(a->reference, 24));
	memcpy(out + 71, a->reason, strnlen(a->reason, 8));
}

bool code_answer_get(const uint8_t *p, size_t n, struct code_answer *ret)
{
	if (n != CODE_ANSWER_BYTES || (p[18] != CODE_GOOD && p[18] != CODE_REFUSED))
		return false;
	*ret = (struct code_answer){ .result = p[18], .amount_fen = (int64_t)be64_get(p + 19) };
	memcpy(ret->key, p, TAP_KEY_BYTES);
	memcpy(ret->record_pan, p + 27, 10);
	memcpy(ret->pan, p + 37, 10);
	memcpy(ret->reference, p + 47, 24);
	memcpy(ret->reason, p + 71, 8);
	return true;
}

bool code_event_answer(const uint8_t *body, size_t n, size_t i, struct code_answer *ret, const struct code_route **ret_route)
{
	if (n < CODE_EVENT_HEAD_BYTES || i >= be16_get(body + 2) || n != CODE_EVENT_HEAD_BYTES + (size_t)be16_get(body + 2) * CODE_ANSWER_BYTES)
		return false;
	*ret_route = code_route_of_scheme(body[0]);
	return *ret_route != NULL && code_answer_get(body + CODE_EVENT_HEAD_BYTES + i * CODE_ANSWER_BYTES, CODE_ANSWER_BYTES, ret);
}

bool code_answer_find(struct txn *t, const uint8_t key[TAP_KEY_BYTES], struct code_answer *ret, int32_t *ret_day)
{
	const void *val;
	size_t n;

	if (!txn_get(t, DB_ANSWER, key, TAP_KEY_BYTES, &val, &n) || n != 4 + CODE_ANSWER_BYTES)
		return false;
	*ret_day = (int32_t)be32_get(val);
	return code_answer_get((const uint8_t *)val + 4, n - 4, ret);
}

bool code_answer_fits(const struct code_route *r, const struct code_answer *a, const struct tap *tap)
{
	if (tap->kind != r->kind)
		return false;
	return a->result == CODE_REFUSED || a->amount_fen == (r->debits ? (int64_t)tap->amount_fen : 0);
}

/* ---- whose code it was --------------------------------------------------------------------------------------- */

/* The card number of such a record is a stand-in (validator/code_format.c): from here on it is of the person whose number the
 * platform told, when the media register knows that number. */
int code_answers_apply(struct txn *t, uint64_t seq, const uint8_t *body, size_t n)
{
	const struct code_route *r;
	struct code_answer a;

	for (size_t i = 0; code_event_answer(body, n, i, &a, &r); i++) {
		struct medium_row m = { .from = INT32_MIN, .to = INT32_MAX, .seq = seq }, known;

		if (r->debits || a.result != CODE_GOOD || memcmp(a.pan, a.record_pan, 10) == 0 || !medium_find(t, a.pan, seq, &known))
			continue;
		memcpy(m.pan, a.record_pan, 10);
		m.handle = known.handle;
		medium_write(t, &m);
	}
	return t->error;
}

/* ---- a pending row ---------------------------------------------------------------------------------------------- */

/* A record that its day set aside, and a person released, has its pending row on the day of the release. */
bool code_pending_row(struct txn *t, const struct code_route *r, const uint8_t key[TAP_KEY_BYTES], int32_t day, struct cleared *ret,
		      uint8_t ret_cleared_key[CLEARED_KEY_BYTES])
{
	int32_t settled;

	if (!key_decided(t, key, day, &settled))
		return false;
	for (; settled < day; settled++) {
		row_key(settled, CLEARED_RIDE, key, 0, ret_cleared_key);
		if (row_get(t, ret_cleared_key, ret) && ret->verdict != VERDICT_QUARANTINED)
			return ret->pending && ret->scheme == r->scheme;
	}
	return false;
}

void code_answer_post(const struct code_route *r, const struct code_answer *a, const struct cleared *row, posting_fn emit, void *arg)
{
	struct posting p[RESOLVE_POSTINGS_MAX];
	uint8_t n = post_resolve(&row->priced, r->scheme, a->result == CODE_GOOD, p);

	for (uint8_t i = 0; i < n; i++)
		emit(arg, &p[i], r->scheme, a->key);
}
