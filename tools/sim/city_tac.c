/*
 * The code of a purse's record, made with the card's key, which is derived when it is needed: a key kept for each of tens of
 * millions of cards would be most of what they take.
 */
#include "city.h"

#include "tools/tools.h"

static bool tac_of_card(const struct city_card *card, const struct tap *tap)
{
	return tap->kind != TAP_QR && tap->kind != TAP_BANK && tap_kind_is_ride((uint8_t)tap->kind) &&
	       card->medium != CARD_PAPER;
}

bool city_tac_due(const struct city_card *card, const struct tap *tap)
{
	return card->has_key && tac_of_card(card, tap);
}

int city_tac_make(const struct city *c, struct mac_engine *mac, const struct city_card *card, struct tap *tap)
{
	uint8_t key[KEY_BYTES], pan[10];
	struct purchase p;
	int ret;

	city_card_number(c, card, pan); /* what the record says may be a planted lie */
	ret = keyring_card_key(c->ring, mac, KEY_TAC, tap->issuer, card->key_version, card->alg_id, c->midnight_ms, pan, key);
	tap_purchase(tap, &p);
	if (ret == 0)
		ret = mac_purchase_tac(mac, (enum key_alg)card->alg_id, key, &p, tap->tac);
	key_wipe(key, sizeof(key));
	return ret;
}

void city_tac(struct city *c, const struct city_card *card, struct tap *tap)
{
	if (!tac_of_card(card, tap))
		return;
	if (card->has_key) {
		if (city_tac_make(c, c->mac, card, tap) != 0)
			complain("sim city: a TAC could not be made");
		return;
	}
	city_random_bytes(&c->rng, tap->tac, sizeof(tap->tac)); /* another centre's secret: any code, never grey */
	tap->tac[0] = (uint8_t)(tap->tac[0] % 254 + 1);
}
