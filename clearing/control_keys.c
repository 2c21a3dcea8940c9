/*
 * control_keys - a compromised key is told at the control socket. The clock's part is here: from lies in the past. All
 * else is judged where the event is applied, so that a replay judges the same.
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
