/*
 * control_feed - a bureau's batch over the control socket: signature and rules first, then one event. A batch that was
 * taken before is answered so and appended no second time, so a sender who saw no answer sends again without harm.
 */
#include "clearing/control.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct taking { struct daemon *daemon; const struct request *q; char name[64]; uint8_t *body; size_t bytes; uint64_t seq; struct feed_counts counts;
	char error[512]; };

static int take_call(struct txn *t, void *arg)
{
	struct taking *k = arg;
	const void *part = k->body;
	struct event e = { .type = EVENT_FEED, .received_ms = clock_ms(), .body = k->body, .bytes = k->bytes };
	int ret = feed_check(k->daemon->ref, k->name, k->body, k->bytes, e.received_ms, &k->counts.repeated, k->error, sizeof(k->error));

	if (ret != 0 || k->counts.repeated)
		return ret;
	e.seq = k->seq = inbox_append(t, EVENT_FEED, e.received_ms, &part, &k->bytes, 1);
	return t->error != 0 ? t->error : feed_apply(k->daemon->ref, t, &e, k->name, &k->counts, k->error, sizeof(k->error));
}

/* The file's name in refusals: as the sender calls it, without what would break a line. */
static void name_set(struct taking *k)
{
	const char *name = request_text(k->q, "file");

	snprintf(k->name, sizeof(k->name), "%s", name[0] != '\0' ? name : "feed");
	for (char *p = k->name; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
}

static void answer_taken(const struct taking *k, const uint8_t *head, FILE *out)
{
	struct jsonw j;

	answer_begin(&j, out);
	jsonw_kstr(&j, "state", k->counts.repeated ? "already taken" : "taken");
	jsonw_kstr(&j, "bureau", (const char *)head);
	jsonw_kint(&j, "sequence", be32_get(head + 16));
	jsonw_kint(&j, "seq", (int64_t)k->seq);
	jsonw_kint(&j, "persons", (int64_t)k->counts.persons);
	jsonw_kint(&j, "added", (int64_t)k->counts.added);
	jsonw_kint(&j, "changed", (int64_t)k->counts.changed);
	jsonw_kint(&j, "withdrawn", (int64_t)k->counts.withdrawn);
	jsonw_object_end(&j);
}

void control_entitlements(struct daemon *d, const struct request *q, FILE *out)
{
	struct taking k = { .daemon = d, .q = q, .bytes = FEED_EVENT_HEAD_BYTES + q->bulk_bytes };
	const char *hex = request_text(q, "signature");
	bool force = json_is_true(json_object_get(q->root, "force"));
	uint8_t signature[64];
	uint64_t start = clock_ns();
	int ret;

	if (strlen(hex) != 128 || !hex_decode(hex, signature, 64)) {
		answer_error(out, CLEARING_E_REFERENCE, "signature: 128 hex digits are needed");
		return;
	}
	name_set(&k);
	k.body = malloc(k.bytes);
	if (k.body == NULL) {
		answer_error(out, -ENOMEM, "");
		return;
	}
	memcpy(k.body + FEED_EVENT_HEAD_BYTES, q->bulk, q->bulk_bytes);
	ret = feed_event_head(k.name, q->bulk, q->bulk_bytes, signature, force, k.body, k.error, sizeof(k.error));
	if (ret == 0)
		ret = writer_call(d, take_call, &k);
	if (ret != 0)
		answer_error(out, ret, k.error);
	else
		answer_taken(&k, k.body, out);
	if (ret == 0)
		log_event("entitlements", "bureau=%s sequence=%u state=%s persons=%llu forced=%d seq=%llu ms=%llu", (const char *)k.body,
			  be32_get(k.body + 16), k.counts.repeated ? "repeated" : "taken", (unsigned long long)k.counts.persons, force,
			  (unsigned long long)k.seq, (unsigned long long)((clock_ns() - start) / 1000000));
	free(k.body);
}
