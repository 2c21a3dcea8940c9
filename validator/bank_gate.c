/*
 * bank_gate - a bank card at the kerb: read and authenticated, on no list, within the risk, priced; then a record with
 * its proof. The card has paid nothing: the centre debits the day.
 *
 * The invariant: GATE_GO is one record over one fresh number; a card that is refused leaves none.
 */
#include "validator/bank_risk.h"
#include "validator/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bank_gate {
	struct gate *gate;
	const struct oda_keys *keys;
	struct bank_policy policy;
	struct bank_risk *risk;
	uint8_t proof[BANK_PROOF_BYTES_MAX];
};

int bank_gate_new(struct gate *g, const struct oda_keys *keys, const struct bank_policy *policy, struct bank_risk *risk, struct bank_gate **ret_gate)
{
	struct bank_gate *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return -ENOMEM;
	*b = (struct bank_gate){ .gate = g, .keys = keys, .policy = *policy, .risk = risk };
	*ret_gate = b;
	return 0;
}

void bank_gate_free(struct bank_gate *b)
{
	if (b == NULL)
		return;
	key_wipe(b, sizeof(*b));
	free(b);
}

static enum gate_answer answer_of(enum bank_answer a)
{
	switch (a) {
	case BANK_GOOD: return GATE_GO;
	case BANK_GONE: return GATE_TAP_AGAIN;
	case BANK_EXPIRED: return GATE_EXPIRED;
	case BANK_FORGED: return GATE_FORGED;
	case BANK_NOT_TAKEN:
	case BANK_INCOMPLETE:
	case BANK_DECLINED: break;
	}
	return GATE_CARD_REFUSED;
}

static enum gate_answer lists_ask(const struct gate_setting *s, const struct deny_list *deny, const uint8_t pan[10], const uint8_t token[BANK_TOKEN_BYTES])
{
	enum deny_reason reason;

	if (s->hotlist != NULL && hotlist_has(s->hotlist, pan))
		return GATE_BLACKLISTED;
	return deny != NULL && deny_has(deny, token, &reason) ? GATE_DENIED : GATE_GO;
}

static enum gate_answer risk_ask(const struct bank_policy *p, const struct risk_card *c, uint32_t fen)
{
	uint32_t limit = c->known ? p->card_fen : p->first_fen;

	return fen <= limit && c->fen <= limit - fen ? GATE_GO : GATE_FIRST_RIDES;
}

static struct tap record_start(const struct bank_gate *b, const struct gate_setting *s, const struct bank_card *c, const uint8_t random[4], uint32_t serial, int64_t now_ms)
{
	struct tap t = { .kind = TAP_BANK, .medium = MEDIUM_BANK, .card_class = 1, .terminal_serial = serial, .oda = c->method, .card_counter = c->atc,
			 .key_index = c->ca_index };
	char digits[21];
	const char *p = digits;

	gate_record_place(b->gate, s, now_ms, &t);
	memcpy(t.pan, c->pan, 10);
	pan_digits(c->pan, digits);
	while (*p == '0')
		p++;
	digits[p - digits + 8] = '\0';
	hex_decode(p, t.issuer, 4);		/* the first eight digits: whose card it is */
	memcpy(t.random, random, 4);
	memcpy(t.cryptogram, c->cryptogram, 8);
	memcpy(t.tac, c->cryptogram, 4);
	return t;
}

/* Everything after the card was believed. */
static enum gate_answer ride(struct bank_gate *b, const struct gate_setting *s, const struct deny_list *deny, const struct bank_terminal *terminal,
			     const struct bank_card *c, struct tap *t)
{
	uint8_t token[BANK_TOKEN_BYTES];
	struct risk_card *card;
	struct rider_state after;
	enum gate_answer answer;
	int n;

	if (bank_token(b->policy.token_key, c->pan, token) != 0)
		return GATE_CARD_ERROR;
	card = risk_find(b->risk, token);
	if (card != NULL && c->atc <= card->atc)
		return GATE_FORGED;		/* an answer that was given before */
	answer = lists_ask(s, deny, c->pan, token);
	if (answer == GATE_GO)
		answer = gate_price(b->gate, s, t, &after);
	if (answer != GATE_GO)
		return answer;
	card = risk_place(b->risk, token);
	if (card == NULL)
		return GATE_FIRST_RIDES;
	answer = risk_ask(&b->policy, card, t->amount_fen);
	n = bank_proof_put(c, terminal, t, b->proof, sizeof(b->proof));
	if (answer != GATE_GO || n < 0)
		return answer != GATE_GO ? answer : GATE_CARD_ERROR;
	t->qr.p = b->proof;
	t->qr.n = (uint32_t)n;
	card->fen += t->amount_fen;
	card->atc = c->atc;
	*gate_rider(b->gate, t->pan) = after;
	return GATE_GO;
}

enum gate_answer bank_gate_tap(struct bank_gate *b, struct reader *card, const struct gate_setting *s, const struct deny_list *deny, uint32_t serial,
			       int64_t now_ms, struct tap *ret_tap, struct bank_card *ret_card)
{
	struct bank_terminal terminal = { .keys = b->keys, .country = b->policy.country, .currency = b->policy.currency, .least = b->policy.least,
					  .now_ms = now_ms / 1000 * 1000 };
	enum gate_answer answer;
	struct tap t;

	*ret_card = (struct bank_card){ .verdict = ODA_MISSING };
	if (getentropy(terminal.random, sizeof(terminal.random)) != 0)
		return GATE_CARD_ERROR;		/* a number that can be guessed can be answered in advance */
	answer = answer_of(bank_read(card, &terminal, ret_card));
	if (answer != GATE_GO)
		return answer;
	t = record_start(b, s, ret_card, terminal.random, serial, now_ms);
	answer = ride(b, s, deny, &terminal, ret_card, &t);
	if (answer == GATE_GO)
		*ret_tap = t;
	return answer;
}
