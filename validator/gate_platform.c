/*
 * gate_platform - codes at the kerb that only their platform can judge (docs/codes.md). The bus does not wait for it: a code
 * that looks right rides, at the operator's risk, until the centre has its record and asks. How much may be at risk is data.
 *
 * The invariant: a code rides once at this gate, and no more rides wait than its format allows.
 */
#include "validator/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct platform_gate {
	struct gate *gate;
	const struct code_formats *formats;
	struct code_used used[CODES_USED_MAX];
	uint32_t waiting[CODE_FORMATS_MAX];
};

int platform_gate_new(struct gate *g, const struct code_formats *formats, uint32_t waiting, struct platform_gate **ret_gate)
{
	struct platform_gate *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	p->gate = g;
	p->formats = formats;
	for (size_t i = 0; i < CODE_FORMATS_MAX; i++)
		p->waiting[i] = waiting;
	*ret_gate = p;
	return 0;
}

void platform_gate_free(struct platform_gate *p) { free(p); }

void platform_gate_receipted(struct platform_gate *g) { memset(g->waiting, 0, sizeof(g->waiting)); }

static enum gate_answer code_allowed(const struct platform_gate *g, const struct gate_setting *s, const struct code_format *f, const uint8_t *p, int64_t now_ms,
				     uint8_t ret_pan[10])
{
	switch (code_format_check(f, p, now_ms / 1000, ret_pan)) {
	case CODE_EXPIRED: return GATE_CODE_EXPIRED;
	case CODE_WRONG: return GATE_CODE_REFUSED;
	case CODE_SOUND: break;
	}
	if (s->hotlist != NULL && hotlist_has(s->hotlist, ret_pan))
		return GATE_BLACKLISTED;
	return g->waiting[f - g->formats->row] < f->waiting_max ? GATE_GO : GATE_FIRST_RIDES;
}

enum gate_answer platform_gate_show(struct platform_gate *g, const struct gate_setting *s, const uint8_t *p, size_t n, uint32_t serial, int64_t now_ms,
				    struct tap *ret_tap)
{
	const struct code_format *f = code_format_of(g->formats, p, n);
	struct tap t = { .card_class = 1, .terminal_serial = serial, .qr = { p, (uint32_t)n } };
	uint8_t digest[DIGEST_BYTES];
	struct rider_state after;
	struct code_used *place;
	enum gate_answer answer;
	bool room = true;

	if (f == NULL || digest_sha256(p, n, digest) != 0)
		return GATE_CODE_REFUSED;
	answer = code_allowed(g, s, f, p, now_ms, t.pan);
	if (answer != GATE_GO)
		return answer;
	place = code_used_place(g->used, digest, now_ms / 1000, &room);
	if (place == NULL)
		return room ? GATE_CODE_USED : GATE_TAP_AGAIN;
	t.kind = f->kind;
	t.medium = f->kind == TAP_BANK_QR ? MEDIUM_BANK_QR : MEDIUM_QR;
	t.card_city = s->city;
	memcpy(t.issuer, f->issuer, sizeof(t.issuer));
	gate_record_place(g->gate, s, now_ms, &t);
	answer = gate_price(g->gate, s, &t, &after);
	if (answer == GATE_GO && t.amount_fen > f->limit_fen)
		answer = GATE_CODE_LIMIT;
	if (answer != GATE_GO)
		return answer;
	memcpy(place->key, digest, sizeof(place->key));
	place->until_s = now_ms / 1000 + 2 * (int64_t)f->validity_s;
	g->waiting[f - g->formats->row]++;
	*gate_rider(g->gate, t.pan) = after;
	*ret_tap = t;
	return GATE_GO;
}
