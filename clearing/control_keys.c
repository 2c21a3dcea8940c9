/*
 * control_keys - keys at the control socket: who keeps them, the ring taken again, a compromised key told. The clock's part
 * of a compromise is here: from lies in the past. All else is judged where the event is applied, so that a replay judges
 * the same.
 */
#include "clearing/control.h"

#include <string.h>

#define AHEAD_MS (10 * 60000)	/* a clock at the office may be fast */

static bool byte_of(const struct request *q, const char *name, uint8_t *ret)
{
	int64_t v = request_number(q, name);

	*ret = (uint8_t)v;
	return v >= 0 && v <= 255;
}

/* False: answered. */
static bool key_of(const struct request *q, FILE *out, struct distrust *ret)
{
	const char *alg = request_text(q, "alg");

	ret->alg = strcmp(alg, "sm4") == 0 ? KEY_ALG_SM4 : KEY_ALG_3DES;
	if (hex_decode(request_text(q, "issuer"), ret->issuer, 4) && (ret->alg == KEY_ALG_SM4 || strcmp(alg, "3des") == 0) && byte_of(q, "scheme", &ret->scheme) &&
	    byte_of(q, "version", &ret->version) && byte_of(q, "index", &ret->index))
		return true;
	answer_error(out, CLEARING_E_REFERENCE, "keys compromise: issuer (8 digits), alg (3des or sm4), scheme, version and index are needed");
	return false;
}

void control_compromise(struct daemon *d, const struct request *q, FILE *out)
{
	uint8_t head[DISTRUST_BYTES], body[DISTRUST_BYTES];
	struct load l = { .daemon = d, .type = EVENT_DISTRUST, .head = body, .head_bytes = sizeof(body), .body = "" };
	struct distrust key = { .from_ms = request_number(q, "from") };
	struct jsonw j;
	int ret;

	if (!signed_head(q, out, head, sizeof(head)) || !key_of(q, out, &key))
		return;
	if (key.from_ms > clock_ms() + AHEAD_MS) {
		answer_error(out, CLEARING_E_REFERENCE, "keys compromise: from must not lie in the future");
		return;
	}
	snprintf(key.by, sizeof(key.by), "%s", request_text(q, "by"));
	distrust_encode(&key, body);
	memcpy(body + 40, head + 40, 64);
	ret = writer_call(d, load_call, &l);
	if (ret != 0) {
		answer_error(out, ret, l.error);
		return;
	}
	log_event("key-compromised", "by=%s issuer=%s alg=%s version=%u index=%u from_ms=%lld seq=%llu", key.by, request_text(q, "issuer"), request_text(q, "alg"),
		  key.version, key.index, (long long)key.from_ms, (unsigned long long)l.seq);
	answer_begin(&j, out);
	jsonw_kstr(&j, "state", "distrusted");
	jsonw_kint(&j, "seq", (int64_t)l.seq);
	jsonw_object_end(&j);
}

/* ---- the ring in force --------------------------------------------------------------------------------- */

static void state_write(struct jsonw *j, const struct secrets_state *s)
{
	jsonw_kint(j, "keyring_generation", (int64_t)s->generation);
	jsonw_kint(j, "keyring_keys", (int64_t)s->keys);
	jsonw_kint(j, "keyring_taken_ms", s->taken_ms);
	jsonw_kint(j, "keyrings_unwiped", (int64_t)s->unwiped);
}

void control_keys_reload(struct daemon *d, FILE *out)
{
	struct secrets_state s;
	char error[640];
	struct jsonw j;
	int ret = secrets_reload(d, &s, error, sizeof(error));

	if (ret != 0) {
		answer_error(out, ret, error);
		return;
	}
	answer_begin(&j, out);
	jsonw_kstr(&j, "state", "in force");
	state_write(&j, &s);
	jsonw_object_end(&j);
}

static void device_status(struct daemon *d, struct key_device_status *ret)
{
	const struct secrets *held = secrets_take(d);

	*ret = (struct key_device_status){ .backend = "software", .up = true };
	if (held->device != NULL)
		key_device_status(held->device, ret);
	secrets_give(d, held);
}

/* Who keeps the keys, which ring, and how many records wait for him. */
void control_keys_status(struct daemon *d, struct jsonw *j)
{
	struct key_device_status s;
	struct secrets_state ring;

	device_status(d, &s);
	secrets_state(d, &ring);
	state_write(j, &ring);
	jsonw_kint(j, "keyring_refused", (int64_t)ring.refused);
	jsonw_kint(j, "taps_waiting", (int64_t)recheck_waiting(d));
	jsonw_kstr(j, "key_backend", s.backend);
	if (strcmp(s.backend, "software") == 0) {
		jsonw_kstr(j, "key_warning", SECRETS_WARNING);
		return;
	}
	jsonw_kstr(j, "key_device", s.up ? "up" : "down");
	jsonw_kstr(j, "key_device_text", s.text);
	jsonw_kint(j, "key_device_asked", (int64_t)s.asked);
	jsonw_kint(j, "key_device_unanswered", (int64_t)s.unanswered);
	jsonw_kint(j, "key_device_opened", (int64_t)s.opened);
	jsonw_kint(j, "key_device_lies", (int64_t)s.lies);
}

void control_keys_metrics(struct daemon *d, FILE *f)
{
	struct key_device_status s;
	struct secrets_state ring;

	device_status(d, &s);
	secrets_state(d, &ring);
	metric(f, "qingfen_keyring_generation", "gauge", ring.generation);
	metric(f, "qingfen_keyring_keys", "gauge", ring.keys);
	metric(f, "qingfen_keyring_taken_ms", "gauge", (uint64_t)ring.taken_ms);
	metric(f, "qingfen_keyring_refused_total", "counter", ring.refused);
	metric(f, "qingfen_keyrings_unwiped", "gauge", ring.unwiped);
	fprintf(f, "# TYPE qingfen_key_device_up gauge\nqingfen_key_device_up{backend=\"%s\"} %d\n", s.backend, s.up);
	metric(f, "qingfen_key_device_asked_total", "counter", s.asked);
	metric(f, "qingfen_key_device_unanswered_total", "counter", s.unanswered);
	metric(f, "qingfen_key_device_lies_total", "counter", s.lies);
	metric(f, "qingfen_taps_waiting", "gauge", recheck_waiting(d));
}
