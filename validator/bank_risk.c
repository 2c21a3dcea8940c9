/*
 * bank_risk - what each bank card rode here that the centre has not answered for, and the last counter it showed. A
 * card is known once a ride of it was receipted as good; until then its first rides are somebody's risk.
 *
 * The invariant: a card with unanswered rides is never forgotten. When all places are taken by such cards, a new one is
 * refused.
 */
#include "validator/bank_risk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x51465242u		/* "QFRB" */
#define ROW_BYTES (BANK_TOKEN_BYTES + 4 + 2 + 1)

struct bank_risk { uint64_t turn; struct risk_card card[BANK_RISK_CARDS_MAX]; };

int bank_risk_new(struct bank_risk **ret_risk)
{
	struct bank_risk *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	*ret_risk = r;
	return 0;
}

void bank_risk_free(struct bank_risk *r) { free(r); }

struct risk_card *risk_find(struct bank_risk *r, const uint8_t token[BANK_TOKEN_BYTES])
{
	for (size_t i = 0; i < BANK_RISK_CARDS_MAX; i++)
		if (r->card[i].used && memcmp(r->card[i].token, token, BANK_TOKEN_BYTES) == 0)
			return &r->card[i];
	return NULL;
}

/* A free place, else that of the card that was here longest ago with nothing unanswered. */
struct risk_card *risk_place(struct bank_risk *r, const uint8_t token[BANK_TOKEN_BYTES])
{
	struct risk_card *place = risk_find(r, token);

	for (size_t i = 0; place == NULL && i < BANK_RISK_CARDS_MAX; i++)
		if (!r->card[i].used)
			place = &r->card[i];
	if (place == NULL)
		for (size_t i = 0; i < BANK_RISK_CARDS_MAX; i++)
			if (r->card[i].fen == 0 && (place == NULL || r->card[i].turn < place->turn))
				place = &r->card[i];
	if (place == NULL)
		return NULL;
	if (!place->used || memcmp(place->token, token, BANK_TOKEN_BYTES) != 0) {
		*place = (struct risk_card){ .used = true };
		memcpy(place->token, token, BANK_TOKEN_BYTES);
	}
	place->turn = ++r->turn;
	return place;
}

void bank_risk_answered(struct bank_risk *r, const struct bank_policy *policy, const struct tap *tap, bool good)
{
	uint8_t token[BANK_TOKEN_BYTES];
	struct risk_card *c;

	if (tap->kind != TAP_BANK || bank_token(policy->token_key, tap->pan, token) != 0)
		return;
	c = risk_find(r, token);
	if (c == NULL)
		return;
	c->fen -= c->fen < tap->amount_fen ? c->fen : tap->amount_fen;
	c->known = c->known || good;
}

size_t bank_risk_count(const struct bank_risk *r)
{
	size_t n = 0;

	for (size_t i = 0; i < BANK_RISK_CARDS_MAX; i++)
		n += r->card[i].used;
	return n;
}

/* ---- over a restart ------------------------------------------------------------------------------------- */

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

/* magic 4 | count 4 | rows by turn: token, fen 4, counter 2, known 1 | SHA-256 of all before */
int bank_risk_save(const struct bank_risk *r, uint8_t **ret_p, size_t *ret_n)
{
	size_t count = bank_risk_count(r), n = 8 + count * ROW_BYTES + DIGEST_BYTES;
	uint8_t *p = malloc(n), *at = p + 8;
	uint64_t last = 0;
	int ret;

	if (p == NULL)
		return -ENOMEM;
	put32(p, MAGIC);
	put32(p + 4, (uint32_t)count);
	for (size_t k = 0; k < count; k++) {
		const struct risk_card *next = NULL;

		for (size_t i = 0; i < BANK_RISK_CARDS_MAX; i++)
			if (r->card[i].used && r->card[i].turn > last && (next == NULL || r->card[i].turn < next->turn))
				next = &r->card[i];
		last = next->turn;
		memcpy(at, next->token, BANK_TOKEN_BYTES);
		put32(at + BANK_TOKEN_BYTES, next->fen);
		at[BANK_TOKEN_BYTES + 4] = (uint8_t)(next->atc >> 8);
		at[BANK_TOKEN_BYTES + 5] = (uint8_t)next->atc;
		at[BANK_TOKEN_BYTES + 6] = next->known;
		at += ROW_BYTES;
	}
	ret = digest_sha256(p, n - DIGEST_BYTES, at);
	if (ret != 0) {
		free(p);
		return ret;
	}
	*ret_p = p;
	*ret_n = n;
	return 0;
}

bool bank_risk_load(struct bank_risk *r, const uint8_t *p, size_t n)
{
	uint8_t digest[DIGEST_BYTES];
	uint32_t count;

	if (n < 8 + DIGEST_BYTES || get32(p) != MAGIC)
		return false;
	count = get32(p + 4);
	if (count > BANK_RISK_CARDS_MAX || n != 8 + (size_t)count * ROW_BYTES + DIGEST_BYTES)
		return false;
	if (digest_sha256(p, n - DIGEST_BYTES, digest) != 0 || memcmp(digest, p + n - DIGEST_BYTES, DIGEST_BYTES) != 0)
		return false;
	*r = (struct bank_risk){ 0 };
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *at = p + 8 + (size_t)i * ROW_BYTES;
		struct risk_card *c = &r->card[i];

		*c = (struct risk_card){ .used = true, .turn = ++r->turn, .fen = get32(at + BANK_TOKEN_BYTES), .known = at[BANK_TOKEN_BYTES + 6] != 0,
					 .atc = (uint16_t)(at[BANK_TOKEN_BYTES + 4] << 8 | at[BANK_TOKEN_BYTES + 5]) };
		memcpy(c->token, at, BANK_TOKEN_BYTES);
	}
	return true;
}
