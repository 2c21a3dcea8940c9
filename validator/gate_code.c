/*
 * gate_code - a T-Union QR code at the kerb (JT/T 1179 family, docs/keys.md): who made it, may it be used here and
 * now, was it used before, what does the ride cost.
 *
 * The invariant: a code rides once at this gate. What another gate took within the same minute is found by the
 * clearing house, which sees both records.
 */
#include "validator/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct code_gate {
	struct gate *gate;
	struct qr_verifier *verifier;
	const struct code_list *list;
	struct code_used used[CODES_USED_MAX];
};

size_t code_gate_size(void) { return sizeof(struct code_gate); }

void code_gate_init(struct code_gate *c, struct gate *g, struct qr_verifier *v, const struct code_list *list)
{
	memset(c, 0, sizeof(*c));
	c->gate = g;
	c->verifier = v;
	c->list = list;
}

int code_gate_new(struct gate *g, struct qr_verifier *v, const struct code_list *list, struct code_gate **ret_gate)
{
	struct code_gate *c = malloc(sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	code_gate_init(c, g, v, list);
	*ret_gate = c;
	return 0;
}

void code_gate_free(struct code_gate *c) { free(c); }

/* ---- used codes ------------------------------------------------------------------------------------------- */

struct code_used *code_used_place(struct code_used used[CODES_USED_MAX], const uint8_t key[QR_REPLAY_BYTES], int64_t now_s, bool *ret_room)
{
	struct code_used *place = NULL;

	for (size_t i = 0; i < CODES_USED_MAX; i++) {
		if (used[i].until_s < now_s)
			place = place == NULL ? &used[i] : place;
		else if (memcmp(used[i].key, key, sizeof(used[i].key)) == 0)
			return NULL;
	}
	*ret_room = place != NULL;
	return place;
}

/* ---- a code ------------------------------------------------------------------------------------------------- */

static enum gate_answer answer_of(enum qr_verdict verdict)
{
	switch (verdict) {
	case QR_GOOD: return GATE_GO;
	case QR_CERT_EXPIRED:
	case QR_AUTH_EXPIRED:
	case QR_CODE_EXPIRED: return GATE_CODE_EXPIRED;
	case QR_MALFORMED:
	case QR_VERSION:
	case QR_CERT_SIGNATURE:
	case QR_UNKNOWN_CA:
	case QR_ISSUER_SIGNATURE:
	case QR_USER_SIGNATURE:
	case QR_ACCOUNT_TYPE: return GATE_CODE_REFUSED;
	}
	return GATE_CODE_REFUSED;
}

static enum gate_answer code_allowed(const struct code_gate *c, const struct gate_setting *s, const struct qr_code *code, int64_t now_ms)
{
	int32_t day = day_of_ms(now_ms);

	if (!code_list_has(c->list, CODE_ISSUER, code->issuer, day) || !code_list_has(c->list, CODE_PLATFORM, code->platform, day) ||
	    memcmp(code->cert_issuer, code->issuer, 4) != 0)
		return GATE_CODE_REFUSED;
	return s->hotlist != NULL && hotlist_has(s->hotlist, code->pan) ? GATE_BLACKLISTED : GATE_GO;
}

enum gate_answer code_gate_show(struct code_gate *c, const struct gate_setting *s, const uint8_t *p, size_t n, uint32_t serial, int64_t now_ms,
				struct tap *ret_tap, enum qr_verdict *ret_verdict)
{
	struct tap t = { .kind = TAP_QR, .medium = MEDIUM_QR, .card_class = 1, .terminal_serial = serial, .qr = { p, (uint32_t)n } };
	uint8_t key[QR_REPLAY_BYTES];
	struct rider_state after;
	enum gate_answer answer;
	struct qr_code code;
	struct code_used *place;
	bool room = true;

	*ret_verdict = qr_verify(c->verifier, p, n, now_ms / 1000, &code);
	answer = answer_of(*ret_verdict);
	if (answer == GATE_GO)
		answer = code_allowed(c, s, &code, now_ms);
	if (answer != GATE_GO)
		return answer;
	qr_replay_key(&code, key);
	place = code_used_place(c->used, key, now_ms / 1000, &room);
	if (place == NULL)
		return room ? GATE_CODE_USED : GATE_TAP_AGAIN;
	memcpy(t.pan, code.pan, 10);
	memcpy(t.issuer, code.issuer, 4);
	t.card_city = (uint32_t)code.issuer[2] << 8 | code.issuer[3];
	gate_record_place(c->gate, s, now_ms, &t);
	answer = gate_price(c->gate, s, &t, &after);
	if (answer == GATE_GO && t.amount_fen > code.ride_limit_fen)
		answer = GATE_CODE_LIMIT;
	if (answer != GATE_GO)
		return answer;
	memcpy(place->key, key, sizeof(place->key));
	place->until_s = (int64_t)code.generated_s + code.validity_s;
	*gate_rider(c->gate, t.pan) = after;
	*ret_tap = t;
	return GATE_GO;
}
