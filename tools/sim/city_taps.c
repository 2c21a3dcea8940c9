/*
 * Rides become records, in time order, so that card counters, balances and fares are what a gate
 * would have written: the fare is rate()'s answer for this person at that moment, the same that the
 * clearing house will give. Planted faults are handed to city_faults.c.
 */
#include "city.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tools.h"

#define TOP_UP_BELOW_FEN 1000
#define TOP_UP_FEN	 10000
static const uint8_t acquirer[4] = {0x12, 0x18, 0x42, 0x80};

/* Where and on what: the device's side of the record. */
void city_tap_device(const struct city *c, const struct city_ride *r, struct tap *tap)
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
void city_tap_card(const struct city *c, const struct city_card *card, const struct city_ride *r, struct tap *tap)
{
	tap->kind = r->kind;
	tap->medium = medium_of(card);
	city_card_face(c, card, tap);
	tap->txn_type = r->kind == TAP_BOARD || r->kind == TAP_ALIGHT ? 0x09 : 0x06;
	tap->stop = r->stop;
	tap->stop_on = r->stop_on;
}

/* What happened to the card so far, and what it draws for this record. */
static void tap_life(struct city *c, const struct city_card *card, struct tap *tap)
{
	tap->card_counter = card->counter;
	tap->prev_counter = card->prev_counter;
	tap->prev_amount_fen = card->prev_amount_fen;
	tap->prev_type = card->prev_type;
	if (card->prev_type != 0) {
		memcpy(tap->prev_terminal, c->device[card->prev_device].terminal, sizeof(tap->prev_terminal));
		tap->prev_time_ms = c->midnight_ms + card->prev_s * 1000LL + card->prev_milli;
	}
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
	size_t n = rider_state_pack(state, c->midnight_ms, bytes);

	city_state_put(c->states, &p->at, bytes, n);
}

/* Price by the pack; false: the gate refuses this ride and writes no record. */
static bool tap_price(struct city *c, struct city_person *p, struct tap *tap, struct fare *ret_fare)
{
	struct rider rider = city_person_rider(c, p);
	struct rider_state state = {0};
	struct ride ride;

	tap_ride(tap, c->tariff, &ride);
	if (p->at != 0) {
		size_t n;
		const uint8_t *bytes = city_state_at(c->states, p->at, &n);

		rider_state_unpack(bytes, n, c->midnight_ms, &state);
	}
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
	tap->balance_after = (int64_t)card->balance_fen - tap->amount_fen;
}

static void card_after(const struct city *c, struct city_card *card, const struct tap *tap, uint32_t device)
{
	int64_t ms = tap->time_ms - c->midnight_ms, s = ms / 1000 - (ms % 1000 < 0);

	if (card->medium == CARD_PURSE || card->medium == CARD_SSC)
		card->balance_fen = (int32_t)tap->balance_after;
	card->prev_counter = card->counter;
	card->prev_amount_fen = tap->amount_fen;
	card->prev_type = tap->txn_type & 255;
	card->prev_device = device & 0x1ffff;
	card->prev_s = (int32_t)s;
	card->prev_milli = (uint16_t)(ms - s * 1000);
}

/* Its code and bytes can be made later: nothing of them is drawn. */
static bool noted(const struct city_card *card, enum city_fault fault)
{
	return fault == FAULT_NONE && (card->medium == CARD_PURSE || card->medium == CARD_SSC);
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

static void black_note(struct city *c, uint32_t card)
{
	c->black = city_grow(c->black, sizeof(*c->black), c->black_count + 1);
	c->black[c->black_count++] = card;
}

static int ride_make(struct city *c, const struct city_ride *r)
{
	struct city_card *card = &c->card[r->card];
	enum city_fault fault = (enum city_fault)r->fault;
	struct tap tap = {.version = TAP_VERSION};
	uint8_t payload[QR_BYTES_MAX];
	uint32_t prev_device = card->prev_device;
	struct fare fare;
	bool priced;
	int ret;

	if (fault == FAULT_BLACKLISTED)
		black_note(c, r->card);
	if (fault != FAULT_CLONE && card->medium != CARD_PAPER)
		card->counter++;
	city_tap_device(c, r, &tap);
	city_tap_card(c, card, r, &tap);
	tap_life(c, card, &tap);
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
	if (!noted(card, fault) || !city_tac_due(card, &tap))
		city_tac(c, card, &tap);
	card_after(c, card, &tap, r->device);
	if (noted(card, fault))
		city_emit_note(c, r, &tap, prev_device, verdict_expected(card));
	else if (fault == FAULT_NONE)
		city_emit(c, r->device, &tap, verdict_expected(card), true, SEND_NOW);
	else
		city_fault_emit(c, r, &tap); /* may make cards: card is gone from here */
	return 0;
}

static void event_emit(struct city *c, uint32_t device, enum tap_kind kind, int64_t time_ms)
{
	struct city_ride r = {.device = device, .time_ms = time_ms};
	struct tap tap = {.kind = kind, .medium = MEDIUM_MANUAL};

	city_tap_device(c, &r, &tap);
	tap.kind = kind;
	tap.terminal_serial = ++c->device[device].serial;
	city_emit(c, device, &tap, VERDICT_EVENT, false, SEND_NOW);
}

/* Rides come in no order of cards: what the next ones need is fetched while one is made. */
static void rides_ahead(const struct city *c, const struct city_ride *ride, size_t left)
{
	if (left > 24)
		__builtin_prefetch(&c->card[ride[24].card]);
	if (left > 16)
		__builtin_prefetch(&c->person[c->card[ride[16].card].person]);
	if (left > 8)
		city_state_ahead(c->states, c->person[c->card[ride[8].card].person].at);
}

static int rides_make(struct city *c, uint32_t bin)
{
	struct city_ride *ride = NULL;
	size_t count = 0;
	int ret = city_rides_take(c, bin, &ride, &count);

	for (size_t i = 0; i < count && ret == 0; i++) {
		rides_ahead(c, ride + i, count - i);
		ret = ride_make(c, &ride[i]);
	}
	free(ride);
	return ret;
}

int city_taps_make(struct city *c)
{
	int64_t hour_ms = 3600000;
	int ret = city_records_open(c);

	if (ret != 0)
		return ret;
	for (uint32_t i = 0; i < c->device_count; i++) {
		event_emit(c, i, TAP_SIGN_ON, c->midnight_ms + 5 * hour_ms + i % 1000);
		event_emit(c, i, TAP_LINE_ON, c->midnight_ms + 5 * hour_ms + 60000 + i % 1000);
	}
	for (uint32_t bin = 0; bin < CITY_RIDE_BINS && ret == 0; bin++)
		ret = rides_make(c, bin);
	for (uint32_t i = 0; i < c->device_count; i++)
		event_emit(c, i, TAP_SIGN_OFF, c->midnight_ms + 23 * hour_ms + i % 1000);
	if (ret == 0)
		ret = bins_error(c->records);
	if (ret != 0)
		complain("sim city: %s: records: %s", c->dir, clearing_strerror(ret));
	city_states_free(c->states); /* nobody rides any more */
	c->states = NULL;
	city_faults_again(c);
	return ret;
}
