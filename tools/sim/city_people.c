/*
 * People and their cards: who they are (age, pupil, disabled, veteran), which card they hold, and
 * the reference files that tell the clearing house so. A few people hold two cards; most riders of
 * an ordinary card are registered nowhere and are their own person.
 */
#include "city.h"

#include <stdlib.h>
#include <string.h>

#include "tools/tools.h"

#define FOREIGN_COUNT  (sizeof(foreign) / sizeof(foreign[0]))
#define HOME_REGION    360702
#define QR_CARDS_UP_TO 80000 /* half a per cent of these: SM2 authorisations take time */

struct issuer {
	const char *iin, *issuer, *name;
	uint16_t city;
};
static const struct issuer ours = {"31047301", "02184280", "赣州通", 0x4280};
/* Others on the white list; from the public T-Union tables. */
static const struct issuer foreign[] = {
	{"31047300", "03554210", "洪城一卡通", 0x4210},
	{"31047309", "03634350", "吉安通", 0x4350},
	{"31047308", "03624330", "上饶公交IC卡", 0x4330},
	{"31047307", "03614310", "明月通", 0x4310},
	{"31051700", "01011000", "北京互通卡", 0x1000},
	{"31047700", "02002900", "上海公共交通卡", 0x2900},
	{"31048703", "02205810", "羊城通", 0x5810},
	{"31048704", "02215840", "深圳通", 0x5840},
	{"31048300", "00083010", "南京市民卡", 0x3010},
	{"31048801", "01663310", "杭州通", 0x3310},
	{"31051400", "03765210", "武汉通", 0x5210},
	{"31047800", "04176510", "天府通", 0x6510},
};
static const struct issuer unknown = {"31099999", "05999999", "", 0x9999};
static const struct issuer bank = {"62179999", "01050000", "代收银行", 0};

/* Share of local riders in 10,000, by kind of entitlement. */
struct kind {
	uint32_t share;
	const char *group;
	uint8_t card_class, grade;
	int age_from, age_to;
};
static const struct kind kinds[] = {
	{6800, NULL, 1, 0, 19, 64},	{1500, "elder65", 3, 0, 66, 88},
	{1200, "pupil", 2, 0, 7, 17},	{250, "disabled", 1, 2, 20, 64},
	{250, "veteran", 1, 0, 30, 64},
};

static void card_identity(struct city *c, struct city_card *card, const struct issuer *of)
{
	char digits[20];

	snprintf(digits, sizeof(digits), "%s%03u%08u", of->iin, city_below(&c->rng, 1000),
		 c->card_count + 1);
	if (!pan_parse(digits, card->pan) || !hex_decode(of->issuer, card->issuer, 4))
		abort(); /* the tables above are ours */
	card->city = of->city;
}

/* The generator is the card's factory: it derives the card's TAC key once. */
static void card_key(struct city *c, struct city_card *card)
{
	card->alg_id = c->purses		     ? c->purse_alg
		       : city_chance(&c->rng, 4000) ? KEY_ALG_SM4
						     : KEY_ALG_3DES;
	card->key_version = 1;
	card->has_key =
		keyring_card_key(c->ring, c->mac, KEY_TAC, card->issuer, card->key_version,
				 card->alg_id, c->midnight_ms, card->pan, card->tac_key) == 0;
}

static struct city_card *card_add(struct city *c)
{
	if (c->card_count == c->card_room) {
		c->card_room = c->card_room * 2 + 1024;
		c->card = city_grow(c->card, sizeof(*c->card), c->card_room);
	}
	c->card[c->card_count] =
		(struct city_card){.card_class = 1,
				   .counter = (uint16_t)city_between(&c->rng, 1, 5000),
				   .balance_fen = city_between(&c->rng, 1000, 30000)};
	return &c->card[c->card_count];
}

uint32_t city_card_new(struct city *c, uint32_t person, enum card_medium medium)
{
	struct city_card *card = card_add(c);

	card->person = person;
	card->medium = (uint8_t)medium;
	card->ours = medium != CARD_BANK;
	card_identity(c, card, medium == CARD_BANK ? &bank : &ours);
	if (medium == CARD_PURSE || medium == CARD_SSC)
		card_key(c, card);
	return c->card_count++;
}

static uint32_t person_add(struct city *c)
{
	if (c->person_count == c->person_room) {
		c->person_room = c->person_room * 2 + 1024;
		c->person = city_grow(c->person, sizeof(*c->person), c->person_room);
	}
	c->person[c->person_count] =
		(struct city_person){.id = 1000001 + c->person_count,
				     .birth = DAY_NONE,
				     .issued = DAY_NONE,
				     .home_line = city_below(&c->rng, c->line_count),
				     .other_line = city_below(&c->rng, c->line_count)};
	return c->person_count++;
}

uint32_t city_card_spare(struct city *c)
{
	return city_card_new(c, person_add(c), CARD_PURSE);
}

uint32_t city_card_foreign(struct city *c, bool known)
{
	uint32_t person = person_add(c);
	struct city_card *card = card_add(c);

	card->person = person;
	card->medium = CARD_PURSE;
	card->key_version = 1;
	card_identity(c, card, known ? &foreign[city_below(&c->rng, FOREIGN_COUNT)] : &unknown);
	return c->card_count++;
}

static const struct kind *kind_draw(struct city *c)
{
	uint32_t at = city_below(&c->rng, 10000);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (at < kinds[i].share)
			return &kinds[i];
		at -= kinds[i].share;
	}
	return &kinds[0];
}

/* What riders.csv says of the person, in the form rating wants. */
static void person_register(struct city *c, struct city_person *p, const struct kind *k)
{
	p->registered = true;
	p->group =
		k->group != NULL && tariff_group_code(c->tariff, k->group) != 0 ? k->group : NULL;
	p->birth = c->day - city_between(&c->rng, k->age_from * 366, k->age_to * 365);
	p->issued = day_of_civil(2025, 1, 1) + city_between(&c->rng, 0, 200);
	if (p->group == NULL)
		return;
	p->hold =
		(struct hold){.group = tariff_group_code(c->tariff, k->group),
			      .grade = k->grade,
			      .from = day_of_civil(2025, 1, 1),
			      .to = INT32_MAX,
			      .verified_to = city_chance(&c->rng, 300) ? c->day - 30 : INT32_MAX};
}

struct rider city_person_rider(const struct city_person *p)
{
	struct rider r = {.birth = p->birth, .issued = p->issued};

	if (p->registered)
		r.home = HOME_REGION;
	if (p->group != NULL) {
		r.hold_count = 1;
		r.hold[0] = p->hold;
	}
	return r;
}

void city_person_elder(struct city *c, struct city_person *p)
{
	person_register(c, p, &kinds[1]);
}

static void local_make(struct city *c)
{
	uint32_t person = person_add(c), card;
	const struct kind *k = kind_draw(c);
	bool ssc = city_chance(&c->rng, k->group != NULL ? 5000 : 2000);

	if (k->group != NULL || ssc)
		person_register(c, &c->person[person], k);
	card = city_card_new(c, person, ssc ? CARD_SSC : CARD_PURSE);
	c->card[card].card_class = k->card_class;
	if (k->group == NULL && city_chance(&c->rng, 250))
		c->card[card].product = 1;
	if (ssc && city_chance(&c->rng, 500))
		city_card_new(c, person, CARD_PURSE); /* the same person's second card */
}

void city_people_make(struct city *c)
{
	uint32_t cards = c->cards_wanted != 0 ? c->cards_wanted : c->taps_wanted * 2 / 5 + 40;

	for (uint32_t i = 0; i < cards; i++) {
		uint32_t at = c->purses ? 10000 : city_below(&c->rng, 10000);

		if (at < 500)
			city_card_foreign(c, true);
		else if (at < 550 && i < QR_CARDS_UP_TO)
			city_card_new(c, person_add(c), CARD_QR);
		else if (at < 850)
			city_card_new(c, person_add(c), CARD_BANK);
		else
			local_make(c);
	}
}

/* ---- reference files --------------------------------------------------------------------------
 */

static void day_print(FILE *f, int32_t day, const char *after)
{
	struct civil v = civil_of_ms(day * 86400000LL - CIVIL_OFFSET_MS);

	if (day != INT32_MAX && day != DAY_NONE)
		fprintf(f, "%04d-%02u-%02u", v.year, v.month, v.day);
	fputs(after, f);
}

static int riders_write(const struct city *c)
{
	FILE *f = city_create(c, "riders.csv");
	char pan[21];

	if (f == NULL)
		return -1;
	fputs("pan,person,birth,issued,home,group,grade,from,to,verified_to\n", f);
	for (uint32_t i = 0; i < c->card_count; i++) {
		const struct city_person *p = &c->person[c->card[i].person];
		const struct hold *h = &p->hold;

		if (!p->registered)
			continue;
		pan_digits(c->card[i].pan, pan);
		fprintf(f, "%s,%llu,", pan, (unsigned long long)p->id);
		day_print(f, p->birth, ",");
		day_print(f, p->issued, ",");
		fprintf(f, "%u,%s,", HOME_REGION, p->group != NULL ? p->group : "");
		if (p->group == NULL) {
			fputs(",,,\n", f);
			continue;
		}
		fprintf(f, "%u,", h->grade);
		day_print(f, h->from, ",");
		day_print(f, h->to, ",");
		day_print(f, h->verified_to, "\n");
	}
	return city_close(c, "riders.csv", f) ? 0 : -1;
}

static int issuers_write(const struct city *c)
{
	FILE *f = city_create(c, "issuers.csv");

	if (f == NULL)
		return -1;
	fputs("issuer,ours,valid_from,valid_to,name\n", f);
	fprintf(f, "%s,yes,2020-01-01,,%s\n", ours.issuer, ours.name);
	fprintf(f, "%s,no,2020-01-01,,%s\n", bank.issuer, bank.name);
	for (size_t i = 0; i < FOREIGN_COUNT; i++)
		fprintf(f, "%s,no,2020-01-01,,%s\n", foreign[i].issuer, foreign[i].name);
	return city_close(c, "issuers.csv", f) ? 0 : -1;
}

/* Every card of a planted black-listed tap, from a month before the day. */
static int blacklist_write(const struct city *c)
{
	FILE *f = city_create(c, "blacklist.csv");
	char pan[21];

	if (f == NULL)
		return -1;
	fputs("pan,from,to,action\n", f);
	for (size_t i = 0; i < c->ride_count; i++) {
		if (c->ride[i].fault != FAULT_BLACKLISTED)
			continue;
		pan_digits(c->card[c->ride[i].card].pan, pan);
		fprintf(f, "%s,2025-01-01T00:00:00+08:00,,refuse\n", pan);
	}
	return city_close(c, "blacklist.csv", f) ? 0 : -1;
}

int city_people_write(const struct city *c)
{
	return riders_write(c) == 0 && issuers_write(c) == 0 && blacklist_write(c) == 0 ? 0 : -1;
}
