/*
 * gate_platform - codes at the kerb that only their platform can judge (docs/codes.md). A gate with a network asks it in
 * between; without an answer a code that looks right may ride at the operator's risk, until the centre has its record and
 * asks. How much may be at risk is data.
 *
 * The invariant: a code rides once at this gate, and no more rides wait unasked than its format allows.
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

static enum gate_answer code_allowed(const struct gate_setting *s, const struct code_format *f, const uint8_t *p, int64_t now_ms, uint8_t ret_pan[10])
{
	switch (code_format_check(f, p, now_ms / 1000, ret_pan)) {
	case CODE_EXPIRED: return GATE_CODE_EXPIRED;
	case CODE_WRONG: return GATE_CODE_REFUSED;
	case CODE_SOUND: break;
	}
	return s->hotlist != NULL && hotlist_has(s->hotlist, ret_pan) ? GATE_BLACKLISTED : GATE_GO;
}

enum gate_answer platform_gate_look(struct platform_gate *g, const struct gate_setting *s, const uint8_t *p, size_t n, uint32_t serial, int64_t now_ms,
				    struct platform_ride *ret_ride)
{
	const struct code_format *f = code_format_of(g->formats, p, n);
	struct platform_ride r = { .tap = { .card_class = 1, .terminal_serial = serial, .qr = { p, (uint32_t)n } }, .format = f };
	enum gate_answer answer;
	bool room = true;

	if (f == NULL || digest_sha256(p, n, r.digest) != 0)
		return GATE_CODE_REFUSED;
	answer = code_allowed(s, f, p, now_ms, r.tap.pan);
	if (answer != GATE_GO)
		return answer;
	r.place = code_used_place(g->used, r.digest, now_ms / 1000, &room);
	if (r.place == NULL)
		return room ? GATE_CODE_USED : GATE_TAP_AGAIN;
	r.room = g->waiting[f - g->formats->row] < f->waiting_max;
	r.tap.kind = f->kind;
	r.tap.medium = f->kind == TAP_BANK_QR ? MEDIUM_BANK_QR : MEDIUM_QR;
	r.tap.card_city = s->city;
	memcpy(r.tap.issuer, f->issuer, sizeof(r.tap.issuer));
	gate_record_place(g->gate, s, now_ms, &r.tap);
	answer = gate_price(g->gate, s, &r.tap, &r.after);
	if (answer == GATE_GO && r.tap.amount_fen > f->limit_fen)
		answer = GATE_CODE_LIMIT;
	if (answer == GATE_GO)
		*ret_ride = r;
	return answer;
}

enum gate_answer platform_gate_asked(struct platform_ride *r, enum kerb_answer said, bool unasked_rides)
{
	switch (said) {
	case KERB_GOOD: r->tap.flags |= TAP_ASKED; return GATE_GO;
	case KERB_REFUSED: return GATE_PLATFORM_REFUSED;
	case KERB_REPEATED: return GATE_CODE_USED;
	case KERB_NOT_REACHED: break;
	}
	r->tap.flags |= TAP_OFFLINE;
	return !unasked_rides ? GATE_NOT_REACHED : r->room ? GATE_GO : GATE_FIRST_RIDES;
}

void platform_gate_ride(struct platform_gate *g, const struct platform_ride *r, int64_t now_ms, bool unproven)
{
	memcpy(r->place->key, r->digest, sizeof(r->place->key));
	r->place->until_s = now_ms / 1000 + 2 * (int64_t)r->format->validity_s;
	g->waiting[r->format - g->formats->row] += unproven;
	*gate_rider(g->gate, r->tap.pan) = r->after;
}

enum gate_answer platform_gate_show(struct platform_gate *g, const struct gate_setting *s, const uint8_t *p, size_t n, uint32_t serial, int64_t now_ms,
				    struct tap *ret_tap)
{
	struct platform_ride r;
	enum gate_answer answer = platform_gate_look(g, s, p, n, serial, now_ms, &r);

	if (answer == GATE_GO && !r.room)
		answer = GATE_FIRST_RIDES;
	if (answer != GATE_GO)
		return answer;
	platform_gate_ride(g, &r, now_ms, true);
	*ret_tap = r.tap;
	return GATE_GO;
}
