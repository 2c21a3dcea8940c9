/*
 * Who rides when: commuters with peaks at 07:30 and 17:45, old people in the morning, everybody at
 * noon; a quarter of the rides goes on with another line. Rides of one person never overlap.
 */
#include "city.h"

#include <stdlib.h>

#include "tools/tools.h"

#define MINUTE_MS	   60000LL
#define FIRST_MS	   (6 * 60 * MINUTE_MS)
#define LAST_MS		   (22 * 60 * MINUTE_MS + 30 * MINUTE_MS)
#define TRANSFER_PER_10000 2500

/* Bins are of times that follow each other, the first and the last without an end, so that sorting each sorts all. */
void city_ride_add(struct city *c, const struct city_ride *ride)
{
	int64_t bin = (ride->time_ms - c->midnight_ms) / (86400000 / CITY_RIDE_BINS);

	bin = bin < 0 ? 0 : bin >= CITY_RIDE_BINS ? CITY_RIDE_BINS - 1 : bin;
	bins_put(c->rides, (uint32_t)bin, ride, sizeof(*ride));
	c->ride_count++;
}

/* A time of the day in ms after midnight: around a peak (triangle, +-75 min) or anywhere. */
static int64_t time_draw(struct city *c, int peak_minute)
{
	int64_t span = 75 * MINUTE_MS;

	if (peak_minute < 0)
		return FIRST_MS + (int64_t)(city_random(&c->rng) % (uint64_t)(LAST_MS - FIRST_MS));
	return peak_minute * MINUTE_MS - span + city_below(&c->rng, (uint32_t)span) +
	       city_below(&c->rng, (uint32_t)span);
}

static bool card_composite(const struct city_card *card)
{
	return (card->medium == CARD_PURSE || card->medium == CARD_SSC) && card->product == 0;
}

/* The line itself, or the next flat one for media that do not tap off. */
static uint32_t line_for(const struct city *c, const struct city_card *card, uint32_t line)
{
	for (uint32_t i = 0; i < c->line_count; i++, line = (line + 1) % c->line_count)
		if (card_composite(card) || !c->line[line].section)
			return line;
	return line;
}

static uint8_t kind_of(const struct city_card *card)
{
	switch ((enum card_medium)card->medium) {
	case CARD_PURSE:
	case CARD_SSC:
		return card->product != 0 ? TAP_PRODUCT : TAP_PURCHASE;
	case CARD_QR:
		return TAP_QR;
	case CARD_BANK:
		return TAP_BANK;
	case CARD_PAPER:
		return TAP_MANUAL;
	}
	return TAP_PURCHASE;
}

/* One ride from this time on, later when the person is still under way. False: the day is over. */
static bool ride_plan(struct city *c, uint32_t card, uint32_t line, int64_t at_ms)
{
	struct city_person *p = &c->person[c->card[card].person];
	const struct city_line *l;
	struct city_ride r = {.card = card,
			      .kind = kind_of(&c->card[card]),
			      .direction = (uint8_t)city_below(&c->rng, 2)};

	if (at_ms < p->at + 4 * MINUTE_MS)
		at_ms = p->at + city_between(&c->rng, 5, 30) * MINUTE_MS +
			city_below(&c->rng, 60000);
	if (at_ms < FIRST_MS || at_ms > LAST_MS)
		return false;
	line = line_for(c, &c->card[card], line);
	l = &c->line[line];
	r.device = line + c->line_count * city_below(&c->rng, l->device_count);
	r.time_ms = c->midnight_ms + at_ms;
	r.stop = (uint16_t)city_between(&c->rng, 1, l->stops - 1);
	p->at = (uint32_t)at_ms;
	if (!l->section) {
		city_ride_add(c, &r);
		return true;
	}
	r.kind = TAP_BOARD;
	city_ride_add(c, &r);
	r.kind = TAP_ALIGHT;
	r.stop_on = r.stop;
	r.stop = (uint16_t)city_between(&c->rng, r.stop_on + 1, l->stops);
	r.time_ms += (r.stop - r.stop_on) * 2 * MINUTE_MS + city_below(&c->rng, 60000);
	p->at = (uint32_t)(r.time_ms - c->midnight_ms);
	city_ride_add(c, &r);
	return true;
}

/* A way of one or two rides. */
static void way_plan(struct city *c, uint32_t card, int64_t at_ms)
{
	const struct city_person *p = &c->person[c->card[card].person];

	if (!ride_plan(c, card, p->home_line, at_ms))
		return;
	if (city_chance(&c->rng, TRANSFER_PER_10000))
		ride_plan(c, card, p->other_line,
			  p->at + city_between(&c->rng, 8, 45) * MINUTE_MS);
}

static void day_plan(struct city *c, uint32_t card)
{
	bool elder = c->card[card].card_class == 3;

	way_plan(c, card, time_draw(c, elder ? 8 * 60 + 30 : 7 * 60 + 30));
	if (city_chance(&c->rng, 2500))
		way_plan(c, card, time_draw(c, 12 * 60 + 30));
	if (city_chance(&c->rng, 8500))
		way_plan(c, card, time_draw(c, elder ? 10 * 60 + 45 : 17 * 60 + 45));
	if (city_chance(&c->rng, 1000))
		way_plan(c, card, time_draw(c, -1));
	for (int i = 0; c->card[card].medium == CARD_QR && i < 3; i++)
		way_plan(c, card, time_draw(c, -1));
}

static int ride_compare(const void *a, const void *b)
{
	const struct city_ride *x = a, *y = b;

	if (x->time_ms != y->time_ms)
		return x->time_ms < y->time_ms ? -1 : 1;
	return (x->device > y->device) - (x->device < y->device);
}

/* Papers shown to the driver: no card, so all of them are one nobody. */
static void manual_plan(struct city *c)
{
	uint32_t card = city_card_spare(c);
	struct city_card *paper = &c->card[card];

	*paper = (struct city_card){.medium = CARD_PAPER,
				    .ours = true,
				    .person = paper->person,
				    .issuer = paper->issuer};
	for (uint32_t i = 0; i < c->taps_wanted / 1000; i++) {
		struct city_ride r = {.card = card, .kind = TAP_MANUAL};
		uint32_t line = line_for(c, paper, city_below(&c->rng, c->line_count));

		r.device = line + c->line_count * city_below(&c->rng, c->line[line].device_count);
		r.time_ms = c->midnight_ms + time_draw(c, -1);
		city_ride_add(c, &r);
	}
}

int city_rides_plan(struct city *c)
{
	uint32_t cards = c->card_count;
	int ret = bins_open(c->dir, CITY_RIDE_BINS, &c->rides);

	if (ret != 0) {
		complain("sim city: %s: %s", c->dir, clearing_strerror(ret));
		return ret;
	}
	for (uint32_t i = 0; i < cards && c->ride_count < c->taps_wanted; i++)
		day_plan(c, i);
	for (uint32_t tries = 0; c->ride_count < c->taps_wanted && tries < c->taps_wanted; tries++)
		way_plan(c, city_below(&c->rng, cards), time_draw(c, -1));
	if (!c->purses)
		manual_plan(c);
	city_faults_plan(c);
	city_people_ready(c);
	ret = bins_error(c->rides);
	if (ret != 0)
		complain("sim city: %s: rides: %s", c->dir, clearing_strerror(ret));
	return ret;
}

int city_rides_take(struct city *c, uint32_t bin, struct city_ride **ret_ride, size_t *ret_count)
{
	uint8_t *p;
	size_t n;
	int ret = bins_take(c->rides, bin, &p, &n);

	if (ret != 0)
		return ret;
	*ret_ride = (struct city_ride *)(void *)p;
	*ret_count = n / sizeof(struct city_ride);
	qsort(*ret_ride, *ret_count, sizeof(struct city_ride), ride_compare);
	return 0;
}
