/*
 * Planted faults. Each one uses a card of its own, so that what it does to that card's history
 * touches nobody else, and each record it causes has exactly one expected verdict in the plan.
 */
#include "city.h"

#include <string.h>

#define DAY_MS	    86400000LL
#define FUTURE_DAYS 4383 /* ahead of any clock this will ever run under: 12 years */

/* A validator on a flat line with concessions: no tap-off belongs to the planted record. */
static uint32_t flat_device(struct city *c)
{
	uint32_t device = city_below(&c->rng, c->device_count);

	for (uint32_t i = 0; i < c->device_count; i++, device = (device + 1) % c->device_count) {
		const struct city_line *l = &c->line[c->device[device].line];

		if (!l->section && !l->express)
			break;
	}
	return device;
}

static uint32_t elder_card(struct city *c)
{
	uint32_t card = city_card_spare(c);
	struct city_person *p = &c->person[c->card[card].person];

	city_person_elder(c, p);
	c->card[card].card_class = 3;
	return card;
}

static void fault_ride(struct city *c, enum city_fault fault, uint32_t card)
{
	struct city_ride r = {.card = card,
			      .device = flat_device(c),
			      .kind = TAP_PURCHASE,
			      .fault = (uint8_t)fault};

	r.time_ms = c->midnight_ms + 7 * 3600000LL + city_below(&c->rng, 14 * 3600000u);
	if (fault == FAULT_CLONE || fault == FAULT_REPEAT_TAP) {
		r.fault = FAULT_NONE;
		city_ride_add(c, &r);
		r.fault = (uint8_t)fault;
		r.time_ms += fault == FAULT_CLONE ? 17 * 60000 : 40000;
		if (fault == FAULT_CLONE && r.device < c->device_count - c->line_count)
			r.device += c->line_count; /* same line, a later terminal */
	}
	if (fault == FAULT_QR_FORGED)
		r.kind = TAP_QR;
	city_ride_add(c, &r);
}

static uint32_t fault_card(struct city *c, enum city_fault fault, uint32_t qr_card)
{
	if (fault == FAULT_ISSUER_UNKNOWN)
		return city_card_foreign(c, false);
	if (fault == FAULT_REPEAT_TAP)
		return elder_card(c);
	return fault == FAULT_QR_FORGED ? qr_card : city_card_spare(c);
}

static bool fault_is_ride(int fault)
{
	return fault != FAULT_NONE && fault != FAULT_DUPLICATE && fault != FAULT_BATCH_AGAIN &&
	       fault != FAULT_BATCH_NEW_SERIAL;
}

void city_faults_plan(struct city *c)
{
	uint32_t qr = city_card_spare(c);

	c->card[qr].medium = CARD_QR;
	for (int f = 0; f < FAULT_COUNT_; f++) {
		uint32_t wanted = fault_wanted(c, (enum city_fault)f);

		for (uint32_t i = 0; fault_is_ride(f) && i < wanted; i++)
			fault_ride(c, (enum city_fault)f, fault_card(c, (enum city_fault)f, qr));
	}
}

void city_fault_before(struct city *c, const struct city_ride *ride, struct tap *tap)
{
	if (ride->fault == FAULT_LATE_3)
		tap->time_ms -= 3 * DAY_MS;
	if (ride->fault == FAULT_LATE_15)
		tap->time_ms -= 15 * DAY_MS;
	if (ride->fault == FAULT_LATE_40)
		tap->time_ms -= 40 * DAY_MS;
	if (ride->fault == FAULT_FUTURE)
		tap->time_ms += FUTURE_DAYS * DAY_MS;
	if (ride->fault == FAULT_LINE_UNKNOWN)
		snprintf(tap->line, sizeof(tap->line), "X%u", city_below(&c->rng, 1000));
	if (ride->fault == FAULT_TEST_CARD && city_chance(&c->rng, 5000))
		tap->flags |= TAP_TEST;
	else if (ride->fault == FAULT_TEST_CARD)
		tap->card_class = 4;
	if (ride->fault == FAULT_SERIAL_GAP)
		c->device[ride->device].serial += (uint32_t)city_between(&c->rng, 1, 3);
}

static void grey_emit(struct city *c, const struct city_ride *r, struct tap *tap)
{
	struct tap grey = *tap;

	grey.flags |= TAP_GREY;
	memset(grey.tac, r->fault == FAULT_TAC_ZERO ? 0 : 0xff, sizeof(grey.tac));
	if (r->fault != FAULT_GREY_RECOVERED) {
		city_emit(c, r->device, &grey, VERDICT_GREY, false, SEND_NOW);
		return;
	}
	tap->flags |= TAP_RECOVERED;
	city_emit(c, r->device, &grey, VERDICT_GREY_SUPERSEDED, false, SEND_NOW);
	city_emit(c, r->device, tap, VERDICT_ACCEPTED, false, SEND_LATER);
}

/* The same terminal, serial and time on two cards. */
static void conflict_emit(struct city *c, const struct city_ride *r, struct tap *tap)
{
	struct tap other = *tap;
	uint32_t spare = city_card_spare(c); /* may move c->card */
	struct city_card *card = &c->card[spare];

	city_card_face(c, card, &other);
	other.card_counter = card->counter;
	city_tac(c, card, &other);
	city_emit(c, r->device, tap, VERDICT_ACCEPTED, false, SEND_NOW);
	city_emit(c, r->device, &other, VERDICT_CONFLICT, false, SEND_LATER);
}

/* Bytes that are no tap record: cut short, noise, or an array that claims four billion items. */
static void malformed_emit(struct city *c, const struct city_ride *r, const struct tap *tap)
{
	uint8_t out[TAP_ENCODED_BYTES_MAX];
	static const uint8_t bomb[] = {0xdd, 0xff, 0xff, 0xff, 0xff, 0x01, 0x02};
	int n = tap_encode(tap, out, sizeof(out));

	switch (city_below(&c->rng, 3)) {
	case 0:
		n = n > 40 ? 40 : n;
		break;
	case 1:
		n = 60;
		city_random_bytes(&c->rng, out, (size_t)n);
		out[0] = 0xc1; /* a byte msgpack never uses */
		break;
	default:
		n = (int)sizeof(bomb) + 4;
		memcpy(out, bomb, sizeof(bomb));
		city_random_bytes(&c->rng, out + sizeof(bomb), 4);
		break;
	}
	city_emit_bytes(c, r->device, out, (size_t)n, VERDICT_MALFORMED, false, SEND_NOW);
}

static void terminal_emit(struct city *c, const struct city_ride *r, struct tap *tap)
{
	const struct city_device *other = &c->device[(r->device + 1) % c->device_count];

	if (r->fault == FAULT_TERMINAL_UNKNOWN)
		tap->terminal[2] = tap->psam[2] = 0x99;
	else
		memcpy(tap->terminal, other->terminal, sizeof(tap->terminal));
	tap->terminal_serial |= 0x40000000; /* not a serial the other one uses */
	city_tac(c, &c->card[r->card], tap);
	city_emit(c, r->device, tap, fault_list[r->fault].verdict, false, SEND_NOW);
}

void city_fault_emit(struct city *c, const struct city_ride *ride, struct tap *tap)
{
	enum city_fault fault = (enum city_fault)ride->fault;
	uint8_t forged[QR_BYTES_MAX];

	if (fault == FAULT_GREY_LOST || fault == FAULT_GREY_RECOVERED || fault == FAULT_TAC_ZERO) {
		grey_emit(c, ride, tap);
	} else if (fault == FAULT_CONFLICT) {
		conflict_emit(c, ride, tap);
	} else if (fault == FAULT_MALFORMED) {
		malformed_emit(c, ride, tap);
	} else if (fault == FAULT_TERMINAL_UNKNOWN || fault == FAULT_TERMINAL_OTHER) {
		terminal_emit(c, ride, tap);
	} else {
		if (fault == FAULT_TAC_WRONG)
			tap->tac[1] ^= 0x5a;
		if (fault == FAULT_PAN_ALTERED)
			tap->pan[9] ^= 0x01; /* one digit; never leaves BCD */
		if (fault == FAULT_QR_FORGED) {
			memcpy(forged, tap->qr.p, tap->qr.n);
			forged[tap->qr.n - 5] ^= 0x01;
			tap->qr.p = forged;
		}
		city_emit(c, ride->device, tap, fault_list[fault].verdict, false, SEND_NOW);
	}
	city_plan_fault(&c->plan, fault, fault == FAULT_MALFORMED ? NULL : tap);
}

static bool plain_take(struct city_device *d, uint32_t index)
{
	uint64_t bit = (uint64_t)1 << index % 64;
	bool plain = (d->plain[index / 64] & bit) != 0;

	d->plain[index / 64] &= ~bit; /* once is enough */
	return plain;
}

static void again_add(struct city *c, uint32_t device, uint32_t index)
{
	struct city_device *d = &c->device[device];

	c->again[c->again_count++] = (struct city_again){.device = device, .index = index};
	if (d->again == 0)
		d->again = c->again_count;
	else
		c->again[d->again_last - 1].next = c->again_count;
	d->again_last = c->again_count;
	d->later++;
	c->plan.sent++;
	c->plan.verdict[VERDICT_DUPLICATE]++;
	c->plan.fault[FAULT_DUPLICATE]++;
}

void city_faults_again(struct city *c)
{
	uint32_t wanted = fault_wanted(c, FAULT_DUPLICATE);

	c->again = city_grow(NULL, sizeof(*c->again), wanted + 1);
	for (uint32_t tries = 0; c->again_count < wanted && tries < wanted * 20; tries++) {
		uint32_t device = city_below(&c->rng, c->device_count);
		struct city_device *d = &c->device[device];
		uint32_t index;

		if (d->now == 0)
			continue;
		index = city_below(&c->rng, d->now);
		if (plain_take(d, index))
			again_add(c, device, index);
	}
}
