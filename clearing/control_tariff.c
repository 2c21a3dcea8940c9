/*
 * control_tariff - publish, withdraw and list tariffs at the control socket. Here is the clock's part: a tariff takes
 * effect in the future, a withdrawal not in the past; everything else about them is judged where the event is applied,
 * so that a replay judges the same.
 */
#include "clearing/control.h"

#include <errno.h>
#include <string.h>

#define WITHDRAW_PAST_MS (10 * 60000)	/* a clock at the office may be slow */

bool signed_head(const struct request *q, FILE *out, uint8_t *head, size_t head_bytes)
{
	const char *by = request_text(q, "by"), *signature = request_text(q, "signature");

	memset(head, 0, head_bytes);
	be64_put(head, (uint64_t)request_number(q, "from"));
	if (by[0] == '\0' || strlen(by) > PERSON_NAME_BYTES_MAX || strlen(signature) != 128 ||
	    !hex_decode(signature, head + 40, 64)) {
		answer_error(out, CLEARING_E_REFERENCE, "by and signature (128 hex digits) are needed");
		return false;
	}
	memcpy(head + 8, by, strlen(by));
	return true;
}

bool control_signs(struct daemon *d)
{
	bool yes;

	pthread_rwlock_rdlock(&d->ref_lock);
	yes = refdata_signed(d->ref);
	pthread_rwlock_unlock(&d->ref_lock);
	return yes;
}

static int publish_call(struct txn *t, void *arg)
{
	struct load *l = arg;
	const uint8_t *head = l->head;

	if (refdata_proposed(l->daemon->ref, head + 104, (int64_t)be64_get(head)))
		l->bytes = 0;		/* the pack is here since the first signature */
	return load_call(t, l);
}

void control_publish(struct daemon *d, const struct request *q, FILE *out)
{
	uint8_t head[PUBLISH_HEAD_BYTES];
	struct load l = { .daemon = d,
			 .type = EVENT_PUBLISH,
			 .head = head,
			 .head_bytes = sizeof(head),
			 .body = q->bulk,
			 .bytes = q->bulk_bytes };
	struct jsonw j;
	int ret;

	if (!signed_head(q, out, head, sizeof(head)))
		return;
	if (request_number(q, "from") <= clock_ms()) {
		answer_error(out, CLEARING_E_REFERENCE, "tariff: from must lie in the future");
		return;
	}
	ret = digest_sha256(q->bulk, q->bulk_bytes, head + 104);
	if (ret == 0)
		ret = writer_call(d, publish_call, &l);
	if (ret != 0) {
		answer_error(out, ret, l.error);
		return;
	}
	log_event(l.bytes != 0 ? "tariff-proposed" : "tariff-published", "by=%s from_ms=%lld seq=%llu",
		  request_text(q, "by"), (long long)request_number(q, "from"), (unsigned long long)l.seq);
	answer_begin(&j, out);
	jsonw_kstr(&j, "state", l.bytes != 0 ? "proposed" : "published");
	jsonw_kint(&j, "seq", (int64_t)l.seq);
	jsonw_object_end(&j);
}

void control_withdraw(struct daemon *d, const struct request *q, FILE *out)
{
	uint8_t head[PUBLISH_HEAD_BYTES];
	struct load l = { .daemon = d, .type = EVENT_WITHDRAW, .head = head, .head_bytes = WITHDRAW_BYTES, .body = "" };
	struct jsonw j;
	int ret;

	if (!signed_head(q, out, head, sizeof(head)))
		return;
	if (request_number(q, "from") < clock_ms() - WITHDRAW_PAST_MS) {
		answer_error(out, CLEARING_E_REFERENCE,
			     "tariff: rides of the past keep their tariff; from must not lie in the past");
		return;
	}
	be32_put(head + 104, (uint32_t)request_number(q, "version"));
	ret = writer_call(d, load_call, &l);
	if (ret != 0) {
		answer_error(out, ret, l.error);
		return;
	}
	log_event("tariff-withdrawn", "by=%s version=%lld seq=%llu", request_text(q, "by"),
		  (long long)request_number(q, "version"), (unsigned long long)l.seq);
	answer_begin(&j, out);
	jsonw_kstr(&j, "state", "withdrawn");
	jsonw_kint(&j, "seq", (int64_t)l.seq);
	jsonw_object_end(&j);
}

void control_tariffs(struct daemon *d, FILE *out)
{
	struct tariff_state s;
	struct jsonw j;

	answer_begin(&j, out);
	jsonw_key(&j, "tariffs");
	jsonw_array(&j);
	pthread_rwlock_rdlock(&d->ref_lock);
	for (size_t i = 0; refdata_tariff_state(d->ref, i, &s); i++) {
		char from[32], to[32] = "";

		time_format(s.from_ms, from);
		if (s.to_ms != INT64_MAX)
			time_format(s.to_ms, to);
		jsonw_object(&j);
		jsonw_kint(&j, "version", s.version);
		jsonw_kstr(&j, "name", s.name);
		jsonw_kstr(&j, "from", from);
		jsonw_kstr(&j, "withdrawn_from", to);
		jsonw_kstr(&j, "proposed_by", s.by != NULL ? s.by : "");
		jsonw_object_end(&j);
	}
	pthread_rwlock_unlock(&d->ref_lock);
	jsonw_array_end(&j);
	jsonw_object_end(&j);
}
