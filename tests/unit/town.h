/*
 * town - made-up riders and a week and a half of their rides for any pack: everyone belongs to groups of the pack or
 * to none, rides lines of the pack between stops that have a price, changes within minutes or comes back after hours.
 * The same pack and seed give the same town.
 */
#ifndef TESTS_UNIT_TOWN_H
#define TESTS_UNIT_TOWN_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tariffs/tariffs.h"

#define TOWN_PEOPLE 12
#define TOWN_RIDES 240
#define TOWN_DAYS 9			/* from 3 June 2025 on: a week later no month, year or holiday has begun */
#define PACKS_DIR "tariffs/packs"
#define PACKS_MAX 128

struct town {
	struct rider rider[TOWN_PEOPLE];
	struct ride card[TOWN_PEOPLE];	/* what every ride of a person says of his card */
	struct ride ride[TOWN_RIDES];	/* in order of time, no two at one second */
	unsigned who[TOWN_RIDES];
	size_t count;
};
struct opened { char name[64]; void *blob; size_t bytes; struct tariff *t; };

static struct opened packs[PACKS_MAX];
static size_t pack_count;

static void to_message(void *arg, const char *text)
{
	(void)arg;
	print_message("# %s\n", text);
}

static int packs_open(void **state)
{
	struct dirent **entry;
	int n = scandir(PACKS_DIR, &entry, NULL, alphasort);

	(void)state;
	for (int i = 0; i < n; i++) {
		struct opened *p = &packs[pack_count];
		char path[512];

		snprintf(path, sizeof(path), PACKS_DIR "/%s", entry[i]->d_name);
		if (entry[i]->d_name[0] != '.' && pack_count < PACKS_MAX && strlen(entry[i]->d_name) < sizeof(p->name)) {
			strcpy(p->name, entry[i]->d_name);
			if (tariff_compile(path, to_message, NULL, &p->blob, &p->bytes) != 0 || tariff_open(p->blob, p->bytes, &p->t) != 0)
				return -1;
			pack_count++;
		}
		free(entry[i]);
	}
	free(entry);
	return pack_count >= 2 ? 0 : -1;
}

static int packs_close(void **state)
{
	(void)state;
	for (size_t i = 0; i < pack_count; i++) {
		tariff_close(packs[i].t);
		free(packs[i].blob);
	}
	return 0;
}

static unsigned town_roll(unsigned *seed, unsigned sides) { return (unsigned)rand_r(seed) % sides; }

static void town_person(const struct tariff *t, unsigned *seed, int32_t day, struct rider *r, struct ride *card)
{
	struct tariff_group g;

	*r = (struct rider){ .birth = DAY_NONE, .issued = day_of_civil(2023, 1, 20), .home = town_roll(seed, 2) ? 360702 : 440300 };
	*card = (struct ride){ .medium = (enum ride_medium)(1 + town_roll(seed, 7)), .card_class = 1, .card = 1 + town_roll(seed, 1u << 30),
			       .guest = town_roll(seed, 4) == 0 ? (enum guest_class)town_roll(seed, 3) : GUEST_LOCAL };
	if (town_roll(seed, 2))
		card->medium = MEDIUM_PURSE;
	for (unsigned groups = town_roll(seed, 4); groups > 0 && groups < 3 && tariff_group_count(t) > 0; groups--) {
		if (!tariff_group_at(t, town_roll(seed, (unsigned)tariff_group_count(t)), day, &g))
			continue;
		if (g.member.birth != DAY_NONE)
			r->birth = day_of_civil(civil_of_ms(g.member.birth * 86400000LL).year, 1, 1);
		if (g.member.home != 0)
			r->home = g.member.home;
		if (g.member.hold_count > 0)
			r->hold[r->hold_count++] = g.member.hold[0];
		card->card_class = g.card_class;
		if (g.product != NULL)
			snprintf(card->product, sizeof(card->product), "%s", g.product);
	}
	r->grant_count = tariff_granted_quotas(t, town_roll(seed, 9), r->grant);
}

/* What the ride says beyond its card: a line of the pack in force then, a journey on it, a vehicle, the taps it had. */
static void town_ride(const struct tariff *t, unsigned *seed, int64_t at, struct ride *r)
{
	struct tariff_journey journey[24];
	struct tariff_line line = { .line = "*" };
	size_t n;

	for (int tries = 0; tries < 50; tries++)
		if (tariff_line_at(t, town_roll(seed, (unsigned)tariff_line_count(t)), at, &line))
			break;
	r->time_ms = at;
	r->event = town_roll(seed, 3) ? RIDE_SINGLE : town_roll(seed, 2) ? RIDE_ON : RIDE_OFF;
	snprintf(r->line, sizeof(r->line), "%s", line.line[0] == '*' ? "7" : line.line);
	snprintf(r->vehicle, sizeof(r->vehicle), "V%u", town_roll(seed, 4));
	n = tariff_journeys(t, line.line, at, journey, 24);
	r->list = money_of_fen(100 + 50 * town_roll(seed, 9));
	if (n > 0) {
		const struct tariff_journey *j = &journey[town_roll(seed, (unsigned)n)];

		r->stop_on = j->stop_on;
		r->stop_off = j->stop_off;
		r->stops = j->stops;
		r->zones = j->zones;
		r->distance_m = j->distance_m;
	}
	r->far_m = r->distance_m + 7000;
	if (r->event == RIDE_SINGLE && town_roll(seed, 4) == 0)
		r->out_ms = at + 1000 * (60 + town_roll(seed, 2400));
	if (r->event != RIDE_ON && r->out_ms == 0 && town_roll(seed, 5) == 0)
		r->in_ms = at - 1000 * (60 + town_roll(seed, 2400));
	r->inside = town_roll(seed, 6) == 0;
}

static void town_make(const struct tariff *t, unsigned seed, struct town *ret)
{
	static const int gap_s[] = { 20, 179, 180, 299, 600, 900, 1800, 3599, 3600, 5400, 5401, 7200, 14400 };
	int32_t first = day_of_civil(2025, 6, 3);
	int64_t start = first * 86400000LL - CIVIL_OFFSET_MS, at = start;
	unsigned who = 0;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < TOWN_PEOPLE; i++)
		town_person(t, &seed, first, &ret->rider[i], &ret->card[i]);
	for (size_t n = 0; n < TOWN_RIDES; n++) {
		at += 1000LL * gap_s[town_roll(&seed, 13)];
		if (at >= start + TOWN_DAYS * 86400000LL)
			break;
		who = town_roll(&seed, 3) ? who : town_roll(&seed, TOWN_PEOPLE);
		ret->who[n] = who;
		ret->ride[n] = ret->card[who];
		town_ride(t, &seed, at, &ret->ride[n]);
		ret->count = n + 1;
	}
}

/* Every ride in the order of the town. ret_fare has room for all; ret_state, where wanted, for everyone. */
static void town_rate(const struct tariff *t, const struct town *town, struct fare *ret_fare, struct rider_state *ret_state)
{
	struct rider_state state[TOWN_PEOPLE] = { 0 };

	for (size_t i = 0; i < town->count; i++) {
		struct rider_state *s = &state[town->who[i]];

		rate(t, &town->rider[town->who[i]], s, &town->ride[i], s, &ret_fare[i], NULL);
	}
	if (ret_state != NULL)
		memcpy(ret_state, state, sizeof(state));
}

#endif
