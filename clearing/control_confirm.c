/*
 * control_confirm - a person decides about a tap whose key is distrusted. What is signed names the record, the day that left
 * it waiting, its content and the decision; the second of two makes it money of the open day, or takes it back.
 */
#include "clearing/control.h"

#include <errno.h>
#include <string.h>

struct deciding { struct load load; struct confirm confirm; uint8_t signature[64]; bool decided; };

static int confirm_call(struct txn *t, void *arg)
{
	struct deciding *d = arg;
	uint8_t body[CONFIRM_BYTES];
	struct confirmed booked;
	const struct confirm *now;
	struct cleared row;
	int ret;

	if (!distrusted_find(t, d->confirm.key, &d->confirm.day, &row)) {
		snprintf(d->load.error, sizeof(d->load.error), "keys confirm: no cleared day has left this tap waiting for its distrusted key");
		return -ENOENT;
	}
	if (confirmed_find(t, d->confirm.key, &booked)) {
		snprintf(d->load.error, sizeof(d->load.error), "keys confirm: %s and %s have decided about this tap already", booked.by[0], booked.by[1]);
		return CLEARING_E_REFERENCE;
	}
	ret = digest_sha256(row.raw, row.raw_bytes, d->confirm.digest);
	if (ret != 0)
		return ret;
	confirm_event(&d->confirm, d->signature, body);
	d->load.head = body;
	d->load.head_bytes = sizeof(body);
	ret = load_call(t, &d->load);
	now = ret == 0 ? refdata_confirm(d->load.daemon->ref, d->confirm.key) : NULL;
	d->decided = now != NULL && now->seq == d->load.seq;
	return ret;
}

void control_confirm(struct daemon *d, const struct request *q, FILE *out)
{
	const char *signature = request_text(q, "signature"), *by = request_text(q, "by"), *decision = request_text(q, "decision");
	struct deciding c = { .load = { .daemon = d, .type = EVENT_RISK, .body = "" } };
	char day[11];
	struct jsonw j;
	int ret;

	c.confirm.decision = strcmp(decision, "good") == 0 ? CONFIRM_GOOD : strcmp(decision, "refused") == 0 ? CONFIRM_REFUSED : 0;
	if (!tap_id_parse(request_text(q, "tap"), c.confirm.key) || by[0] == '\0' || strlen(by) > PERSON_NAME_BYTES_MAX || c.confirm.decision == 0 ||
	    strlen(signature) != 128 || !hex_decode(signature, c.signature, 64)) {
		answer_error(out, CLEARING_E_REFERENCE, "tap-confirm: tap, decision (good or refused), by and signature (128 hex digits) are needed");
		return;
	}
	snprintf(c.confirm.by[0], sizeof(c.confirm.by[0]), "%s", by);
	ret = writer_call(d, confirm_call, &c);
	if (ret != 0) {
		answer_error(out, ret, c.load.error);
		return;
	}
	day_format(d->open_day, day);
	log_event("tap-confirm", "by=%s tap=%s decision=%s decided=%d seq=%llu", by, request_text(q, "tap"), decision, c.decided, (unsigned long long)c.load.seq);
	answer_begin(&j, out);
	jsonw_kstr(&j, "state", c.decided ? "decided" : "proposed");
	jsonw_kstr(&j, "settles", c.decided ? day : "");
	jsonw_kint(&j, "seq", (int64_t)c.load.seq);
	jsonw_object_end(&j);
}
