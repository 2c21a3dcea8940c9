/*
 * Rides become records, in time order, so that card counters, balances and fares are what a gate
 * would have written: the fare is rate()'s answer for this person at that moment, the same that the
 * clearing house will give. Planted faults are handed to city_faults.c.
 */
#include "city.h"

#include <errno.h>
#include <string.h>

#include "tools/tools.h"

#define TOP_UP_BELOW_FEN 1000
#define TOP_UP_FEN	 10000
static const uint8_t acquirer[4] = {0x12, 0x18, 0x42, 0x80};

static void taps_add(struct city_taps *list, struct city_tap tap)
{
	if (list->count == list->room) {
		list->room = list->room * 2 + 64;
		list->tap = city_grow(list->tap, sizeof(*list->tap), list->room);
	}
	list->tap[list->count++] = tap;
}

void city_emit_bytes(struct city *c, uint32_t device, const uint8_t *p, size_t n,
		     enum verdict verdict, bool plain, enum city_when when)
{
	struct city_device *d = &c->device[device];
	struct city_tap tap = {.at = c->arena_used, .bytes = (uint32_t)n, .plain = plain};

	if (c->arena_room - c->arena_used < n) {
		c->arena_room = c->arena_room * 2 + (1u << 20);
		c->arena = city_grow(c->arena, 1, c->arena_room);
	}
	memcpy(c->arena + c->arena_used, p, n);
	c->arena_used += n;
	taps_add(when == SEND_NOW ? &d->now : &d->later, tap);
	c->plan.sent++;
	c->plan.verdict[verdict]++;
}

void city_emit(struct city *c, uint32_t device, const struct tap *tap, enum verdict verdict,
	       bool plain, enum city_when when)
{
	uint8_t out[TAP_ENCODED_BYTES_MAX];
	int n = tap_encode(tap, out, sizeof(out));

	if (n < 0) { /* our own record: a mistake of this program */
		complain("sim city: a record does not encode: %s", tap_strerror(n));
		return;
	}
	if (verdict == VERDICT_ACCEPTED || verdict == VERDICT_PENDING)
		c->plan.charged_fen += tap->amount_fen;
	c->plan.medium[tap->medium & 15]++;
	city_emit_bytes(c, device, out, (size_t)n, verdict, plain, when);
}

void city_tac(struct city *c, const struct city_card *card, struct tap *tap)
{
	struct purchase p;

	if (tap->kind == TAP_QR || tap->kind == TAP_BANK || !tap_kind_is_ride((uint8_t)tap->kind) ||
	    card->medium == CARD_PAPER)
		return;
	if (!card->has_key) { /* another centre's secret: any code, never grey */
		city_random_bytes(&c->rng, tap->tac, sizeof(tap->tac));
		tap->tac[0] = (uint8_t)(tap->tac[0] % 254 + 1);
		return;
	}
	tap_purchase(tap, &p);
	if (mac_purchase_tac(c->mac, (enum key_alg)card->alg_id, card->tac_key, &p, tap->tac) != 0)
		complain("sim city: a TAC could not be made");
}

/* Where and on what: the device's side of the record. */
static void tap_device(const struct city *c, const struct city_ride *r, struct tap *tap)
{
	const struct city_device *d = &c->device[r->device];
	const struct city_line *l = &c->line[d->line];

	tap->version = TAP_VERSION;
	memcpy(tap->terminal, d->terminal, sizeof(tap->terminal));
	memcpy(tap->psam, d->psam, sizeof(tap->psam));
	tap->time_ms = r->time_ms;
	tap->operator_id = l->operator_id;
	memcpy(tap->line, l->name, sizeof(tap->line));
	tap->direction = r->direction;
	memcpy(tap->vehicle, d->vehicle, sizeof(tap->vehicle));
	tap->driver = d->driver;
	memcpy(tap->acquirer, acquirer, sizeof(tap->acquirer));
	tap->accept_city = 0x4280;
	tap->list_version = 1;
	tap->tariff_version = tariff_version(c->tariff);
}

static uint32_t medium_of(const struct city_card *card)
{
	static const uint8_t medium[] = {[CARD_PURSE] = MEDIUM_PURSE,
					 [CARD_SSC] = MEDIUM_SSC,
					 [CARD_QR] = MEDIUM_QR,
					 [CARD_BANK] = MEDIUM_BANK,
					 [CARD_PAPER] = MEDIUM_MANUAL};

	return medium[card->medium];
}

/* The card's side of the record. */
static void tap_card(struct city *c, const struct city_card *card, const struct city_ride *r,
		     struct tap *tap)
{
	tap->kind = r->kind;
	tap->medium = medium_of(card);
	memcpy(tap->pan, card->pan, sizeof(tap->pan));
	memcpy(tap->issuer, card->issuer, sizeof(tap->issuer));
	tap->card_city = card->city;
	tap->card_class = card->card_class;
	tap->card_counter = card->counter;
	tap->txn_type = r->kind == TAP_BOARD || r->kind == TAP_ALIGHT ? 0x09 : 0x06;
	tap->key_version = card->key_version;
	tap->alg_id = card->alg_id;
	tap->stop = r->stop;
	tap->stop_on = r->stop_on;
	tap->product = card->product;
	tap->product_left = card->product != 0 ? 30 : 0;
	tap->prev_counter = card->prev.counter;
	tap->prev_amount_fen = card->prev.amount_fen;
	tap->prev_type = card->prev.type;
	memcpy(tap->prev_terminal, card->prev.terminal, sizeof(tap->prev_terminal));
	tap->prev_time_ms = card->prev.time_ms;
	if (card->medium != CARD_PAPER)
		city_random_bytes(&c->rng, tap->random, sizeof(tap->random));
	if (card->medium == CARD_BANK) {
		tap->oda = ODA_CDA;
		tap->key_index = 8;
		city_random_bytes(&c->rng, tap->cryptogram, sizeof(tap->cryptogram));
		memcpy(tap->tac, tap->cryptogram, sizeof(tap->tac));
	}
}

static void state_keep(struct city *c, struct city_person *p, const struct rider_state *state)
{
	uint8_t bytes[RIDER_STATE_BYTES_MAX];

	p->state_bytes = (uint16_t)rider_state_pack(state, c->midnight_ms, bytes);
	if (p->state_bytes > p->state_room) {
		p->state_room = (uint16_t)((p->state_bytes + 15) / 16 * 16);
		p->state = city_grow(p->state, 1, p->state_room);
	}
	memcpy(p->state, bytes, p->state_bytes);
}

/* Price by the pack; false: the gate refuses this ride and writes no record. */
static bool tap_price(struct city *c, struct city_person *p, struct tap *tap, struct fare *ret_fare)
{
	struct rider rider = city_person_rider(p);
	struct rider_state state = {0};
	struct ride ride;

	tap_ride(tap, c->tariff, &ride);
	if (p->state != NULL)
		rider_state_unpack(p->state, p->state_bytes, c->midnight_ms, &state);
	rate(c->tariff, &rider, &state, &ride, &state, ret_fare, NULL);
	state_keep(c, p, &state);
	if (ret_fare->reject != FARE_OK)
		return false;
	tap->list_fen = (uint32_t)ret_fare->published.fen;
	tap->amount_fen = (uint32_t)ret_fare->paid.fen;
	return true;
}

static void tap_purse(struct city_card *card, struct tap *tap)
{
	if (card->medium != CARD_PURSE && card->medium != CARD_SSC)
		return;
	if (card->balance_fen < TOP_UP_BELOW_FEN)
		card->balance_fen += TOP_UP_FEN;
	tap->balance_before = card->balance_fen;
	tap->balance_after = card->balance_fen - tap->amount_fen;
}

static void card_after(struct city_card *card, const struct tap *tap)
{
	if (card->medium == CARD_PURSE || card->medium == CARD_SSC)
		card->balance_fen = tap->balance_after;
	card->prev.counter = card->counter;
	card->prev.amount_fen = tap->amount_fen;
	card->prev.type = (uint8_t)tap->txn_type;
	memcpy(card->prev.terminal, tap->terminal, sizeof(card->prev.terminal));
	card->prev.time_ms = tap->time_ms;
}

static enum verdict verdict_expected(const struct city_card *card)
{
	return card->ours || card->medium == CARD_BANK ? VERDICT_ACCEPTED : VERDICT_PENDING;
}

/* The amount a planted fare difference asks for. */
static void charge_differently(enum city_fault fault, struct tap *tap)
{
	if (fault == FAULT_CHARGED_MORE)
		tap->amount_fen += 10;
	if (fault == FAULT_CHARGED_LESS && tap->amount_fen >= 10)
		tap->amount_fen -= 10;
	if (fault == FAULT_AMOUNT)
		tap->amount_fen = 60000;
}

/* What a gate would have kept of a bank card that it authenticated. */
static int tap_proof(const struct tap *tap, uint8_t *payload)
{
	struct bank_card card = {.aid = {0xA0, 0x00, 0x00, 0x03, 0x33, 0x01, 0x01, 0x01},
				 .aid_bytes = 8,
				 .ca_index = (uint8_t)tap->key_index,
				 .aip = {0x21, 0x00},
				 .method = (enum oda_method)tap->oda,
				 .issuer_serial = {0, 0, 1},
				 .card_serial = {0, 0, 2},
				 .atc = (uint16_t)tap->card_counter,
				 .cid = 0x80};
	struct bank_terminal terminal = {.country = 0x0156, .currency = 0x0156};

	memcpy(card.cryptogram, tap->cryptogram, sizeof(card.cryptogram));
	memcpy(terminal.random, tap->random, sizeof(terminal.random));
	return bank_proof_put(&card, &terminal, tap, payload, QR_BYTES_MAX);
}

/* The code or proof of this moment, kept in payload while the record is made. */
static int tap_code(struct city *c, struct city_card *card, struct tap *tap, uint8_t *payload)
{
	size_t bytes;
	int ret;

	if (tap->kind == TAP_BANK) {
		ret = tap_proof(tap, payload);
		if (ret < 0)
			return ret;
		tap->qr.p = payload;
		tap->qr.n = (uint32_t)ret;
		return 0;
	}
	if (tap->kind != TAP_QR)
		return 0;
	ret = city_qr_code(c, card, tap->time_ms, payload, &bytes);
	if (ret != 0)
		return ret;
	tap->qr.p = payload;
	tap->qr.n = (uint32_t)bytes;
	return 0;
}

static int ride_make(struct city *c, const struct city_ride *r)
{
	struct city_card *card = &c->card[r->card];
	enum city_fault fault = (enum city_fault)r->fault;
	struct tap tap = {.version = TAP_VERSION};
	uint8_t payload[QR_BYTES_MAX];
	struct fare fare;
	bool priced;
	int ret;

	if (fault != FAULT_CLONE && card->medium != CARD_PAPER)
		card->counter++;
	tap_device(c, r, &tap);
	tap_card(c, card, r, &tap);
	city_fault_before(c, r, &tap);
	priced = tap_price(c, &c->person[card->person], &tap, &fare);
	if (!priced && fault == FAULT_NONE) {
		card->counter -= card->medium != CARD_PAPER;
		return 0;
	}
	if (priced && fault == FAULT_REPEAT_TAP)
		fault = FAULT_NONE; /* this line has no lock */
	charge_differently(fault, &tap);
	tap_purse(card, &tap);
	tap.terminal_serial = ++c->device[r->device].serial;
	ret = tap_code(c, card, &tap, payload);
	if (ret != 0)
		return ret;
	city_tac(c, card, &tap);
	card_after(card, &tap);
	if (fault == FAULT_NONE)
		city_emit(c, r->device, &tap, verdict_expected(card), true, SEND_NOW);
	else
		city_fault_emit(c, r, &tap); /* may make cards: card is gone from here */
	return 0;
}

static void event_emit(struct city *c, uint32_t device, enum tap_kind kind, int64_t time_ms)
{
	struct city_ride r = {.device = device, .time_ms = time_ms};
	struct tap tap = {.kind = kind, .medium = MEDIUM_MANUAL};

	tap_device(c, &r, &tap);
	tap.kind = kind;
	tap.terminal_serial = ++c->device[device].serial;
	city_emit(c, device, &tap, VERDICT_EVENT, false, SEND_NOW);
}

int city_taps_make(struct city *c)
{
	int64_t hour_ms = 3600000;
	int ret = 0;

	for (uint32_t i = 0; i < c->device_count; i++) {
		event_emit(c, i, TAP_SIGN_ON, c->midnight_ms + 5 * hour_ms + i % 1000);
		event_emit(c, i, TAP_LINE_ON, c->midnight_ms + 5 * hour_ms + 60000 + i % 1000);
	}
	for (size_t i = 0; i < c->ride_count && ret == 0; i++)
		ret = ride_make(c, &c->ride[i]);
	for (uint32_t i = 0; i < c->device_count; i++)
		event_emit(c, i, TAP_SIGN_OFF, c->midnight_ms + 23 * hour_ms + i % 1000);
	if (ret != 0)
		complain("sim city: QR codes: %s", clearing_strerror(ret));
	city_faults_again(c);
	return ret;
}
