/*
 * control_rerate - the request to rate settled rides again at the control socket: one event for each of the two who
 * sign, taken only while the day they signed for is open.
 */
#include "clearing/control.h"

#include <string.h>

struct asking { struct load load; int32_t day; bool agreed; };

static int rerate_call(struct txn *t, void *arg)
{
	struct asking *a = arg;
	struct rerate_state s;
	int ret;

	if (day_open_get(t) != a->day) {
		snprintf(a->load.error, sizeof(a->load.error), "rerate: signed for a day that is not the open one");
		return CLEARING_E_STATE;
	}
	ret = load_call(t, &a->load);
	for (size_t i = 0; ret == 0 && refdata_rerate(a->load.daemon->ref, i, &s); i++)
		a->agreed = a->agreed || s.agreed_seq == a->load.seq;
	return ret;
}

void control_rerate(struct daemon *d, const struct request *q, FILE *out)
{
	uint8_t head[RERATE_BYTES] = { 0 };
	const char *by = request_text(q, "by"), *signature = request_text(q, "signature");
	struct asking a = { .load = { .daemon = d, .type = EVENT_RERATE, .head = head, .head_bytes = sizeof(head), .body = "" } };
	struct jsonw j;
	int32_t from, to;
	int ret;

	if (!day_parse(request_text(q, "from"), &from) || !day_parse(request_text(q, "to"), &to) ||
	    !day_parse(request_text(q, "open_day"), &a.day) || by[0] == '\0' || strlen(by) > PERSON_NAME_BYTES_MAX || strlen(signature) != 128 ||
	    !hex_decode(signature, head + 40, 64)) {
		answer_error(out, CLEARING_E_REFERENCE, "rerate: from, to, open_day, by and signature (128 hex digits) are needed");
		return;
	}
	be32_put(head, (uint32_t)from);
	be32_put(head + 4, (uint32_t)to);
	memcpy(head + 8, by, strlen(by));
	be32_put(head + 104, (uint32_t)a.day);
	ret = writer_call(d, rerate_call, &a);
	if (ret != 0) {
		answer_error(out, ret, a.load.error);
		return;
	}
	log_event(a.agreed ? "rerate-agreed" : "rerate-proposed", "by=%s from=%s to=%s seq=%llu", by, request_text(q, "from"), request_text(q, "to"),
		  (unsigned long long)a.load.seq);
	answer_begin(&j, out);
	jsonw_kstr(&j, "state", a.agreed ? "agreed" : "proposed");
	jsonw_kint(&j, "seq", (int64_t)a.load.seq);
	jsonw_object_end(&j);
}
