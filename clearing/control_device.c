/*
 * control_device - the cap on what a device may bring unproven becomes an event of the inbox at the start, and a person
 * releases a record that was set aside. What is signed names the record, the day that set it aside, and its content.
 */
#include "clearing/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int device_cap_start(struct daemon *d)
{
	uint8_t body[DEVICE_CAP_BYTES];
	struct load l = { .daemon = d, .type = EVENT_DEVICE, .head = body, .head_bytes = sizeof(body), .body = "" };
	int ret;

	if (refdata_cap_fen(d->ref) == d->conf.unproven_fen_max)
		return 0;
	device_cap_event(d->conf.unproven_fen_max, body);
	ret = writer_call(d, load_call, &l);
	if (ret == 0)
		log_event("device-cap", "fen=%lld seq=%llu", (long long)d->conf.unproven_fen_max, (unsigned long long)l.seq);
	return ret;
}

struct releasing { struct load load; uint8_t key[TAP_KEY_BYTES], signature[64]; const char *by; };

static int release_call(struct txn *t, void *arg)
{
	struct releasing *r = arg;
	uint8_t digest[DIGEST_BYTES], body[DEVICE_RELEASE_BYTES];
	struct cleared row;
	int32_t day;
	int ret;

	if (!set_aside_find(t, r->key, &day, &row)) {
		snprintf(r->load.error, sizeof(r->load.error), "release: no cleared day has set this record aside");
		return -ENOENT;
	}
	ret = digest_sha256(row.raw, row.raw_bytes, digest);
	if (ret != 0)
		return ret;
	release_event(r->key, day, digest, r->by, r->signature, body);
	r->load.head = body;
	r->load.head_bytes = sizeof(body);
	ret = load_call(t, &r->load);
	return ret != 0 ? ret : live_released(r->load.daemon->live, t, &(struct event){ .seq = r->load.seq, .type = EVENT_DEVICE, .body = body, .bytes = sizeof(body) });
}

void control_device_release(struct daemon *d, const struct request *q, FILE *out)
{
	const char *signature = request_text(q, "signature");
	struct releasing r = { .load = { .daemon = d, .type = EVENT_DEVICE, .body = "" }, .by = request_text(q, "by") };
	char day[11];
	struct jsonw j;
	int ret;

	if (!tap_id_parse(request_text(q, "tap"), r.key) || r.by[0] == '\0' || strlen(r.by) > PERSON_NAME_BYTES_MAX || strlen(signature) != 128 ||
	    !hex_decode(signature, r.signature, 64)) {
		answer_error(out, CLEARING_E_REFERENCE, "device-release: tap, by and signature (128 hex digits) are needed");
		return;
	}
	ret = writer_call(d, release_call, &r);
	if (ret != 0) {
		answer_error(out, ret, r.load.error);
		return;
	}
	day_format(d->open_day, day);
	log_event("device-released", "by=%s tap=%s seq=%llu", r.by, request_text(q, "tap"), (unsigned long long)r.load.seq);
	answer_begin(&j, out);
	jsonw_kstr(&j, "state", "released");
	jsonw_kstr(&j, "settles", day);
	jsonw_kint(&j, "seq", (int64_t)r.load.seq);
	jsonw_object_end(&j);
}
