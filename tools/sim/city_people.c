/*
 * People and their cards: who they are (age, pupil, disabled, veteran), which card they hold, and
 * the reference files that tell the clearing house so. A few people hold two cards; most riders of
 * an ordinary card are registered nowhere and are their own person. There may be tens of millions:
 * what can be made again of a card's place or of a table is not kept.
 */
#include "city.h"

#include <stdlib.h>
#include <string.h>

#include "tools/tools.h"

#define HOME_REGION    360702
#define QR_CARDS_UP_TO 80000 /* half a per cent of these: SM2 authorisations take time */

struct issuer {
	uint32_t iin;
	uint32_t issuer; /* BCD */
	const char *name;
	uint16_t city;
};
enum { ISSUER_OURS, ISSUER_BANK, ISSUER_UNKNOWN, ISSUER_FOREIGN }; /* the last and all behind it: on the white list */
static const struct issuer issuers[] = { /* foreign ones from the public T-Union tables */
	{31047301, 0x02184280, "赣州通", 0x4280},
	{62179999, 0x01050000, "代收银行", 0},
	{31099999, 0x05999999, "", 0x9999},
	{31047300, 0x03554210, "洪城一卡通", 0x4210},
	{31047309, 0x03634350, "吉安通", 0x4350},
	{31047308, 0x03624330, "上饶公交IC卡", 0x4330},
	{31047307, 0x03614310, "明月通", 0x4310},
	{31051700, 0x01011000, "北京互通卡", 0x1000},
	{31047700, 0x02002900, "上海公共交通卡", 0x2900},
	{31048703, 0x02205810, "羊城通", 0x5810},
	{31048704, 0x02215840, "深圳通", 0x5840},
	{31048300, 0x00083010, "南京市民卡", 0x3010},
	{31048801, 0x01663310, "杭州通", 0x3310},
	{31051400, 0x03765210, "武汉通", 0x5210},
	{31047800, 0x04176510, "天府通", 0x6510},
};
#define ISSUER_COUNT  (sizeof(issuers) / sizeof(issuers[0]))
#define FOREIGN_COUNT (ISSUER_COUNT - ISSUER_FOREIGN)
static_assert(ISSUER_COUNT <= 16, "a card has four bits for it");

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
#define KIND_ELDER 1

static void card_identity(struct city *c, struct city_card *card, uint32_t issuer)
{
	card->issuer = issuer & 15;
	card->digits = city_below(&c->rng, 1000) & 1023;
}

/* Its number: the issuer's eight digits, three at random, and eight of its place among all cards. */
void city_card_number(const struct city *c, const struct city_card *card, uint8_t ret_pan[10])
{
	uint64_t n = (issuers[card->issuer].iin * 1000ull + card->digits) * 100000000 + (uint64_t)(card - c->card) + 1;

	for (int i = 9; i >= 0; i--, n /= 100)
		ret_pan[i] = (uint8_t)(n % 100 / 10 << 4 | n % 10);
}

void city_card_face(const struct city *c, const struct city_card *card, struct tap *tap)
{
	if (card->medium != CARD_PAPER)
		city_card_number(c, card, tap->pan);
	be32_put(tap->issuer, issuers[card->issuer].issuer);
	tap->card_city = issuers[card->issuer].city;
	tap->card_class = card->card_class;
	tap->key_version = card->key_version;
	tap->alg_id = card->alg_id;
	tap->product = card->product;
	tap->product_left = card->product != 0 ? 30 : 0;
}

/* The generator is the card's factory: a card of ours has a TAC key, derived when a code is made. */
static void card_key(struct city *c, struct city_card *card)
{
	card->alg_id = (c->purses		     ? c->purse_alg
			: city_chance(&c->rng, 4000) ? KEY_ALG_SM4
						      : KEY_ALG_3DES) & 1;
	card->key_version = 1;
	card->has_key = true;
}

static struct city_card *card_add(struct city *c)
{
	struct city_card *card;

	if (c->card_count == c->card_room) {
		c->card_room = c->card_room * 2 + 1024;
		c->card = city_grow(c->card, sizeof(*c->card), c->card_room);
	}
	card = &c->card[c->card_count];
	*card = (struct city_card){.card_class = 1};
	card->counter = (uint16_t)city_between(&c->rng, 1, 5000);
	card->balance_fen = city_between(&c->rng, 1000, 30000);
	return card;
}

uint32_t city_card_new(struct city *c, uint32_t person, enum card_medium medium)
{
	struct city_card *card = card_add(c);

	card->person = person;
	card->medium = medium & 7;
	card->ours = medium != CARD_BANK;
	card_identity(c, card, medium == CARD_BANK ? ISSUER_BANK : ISSUER_OURS);
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
		(struct city_person){.registered = false};
	c->person[c->person_count].home_line = (uint16_t)city_below(&c->rng, c->line_count);
	c->person[c->person_count].other_line = (uint16_t)city_below(&c->rng, c->line_count);
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
	card_identity(c, card, known ? ISSUER_FOREIGN + city_below(&c->rng, FOREIGN_COUNT) : ISSUER_UNKNOWN);
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

static bool person_holds(const struct city *c, const struct city_person *p)
{
	return p->registered && c->group_code[p->kind] != 0;
}

/* What riders.csv says of the person. */
static void person_register(struct city *c, struct city_person *p, const struct kind *k)
{
	p->registered = true;
	p->kind = (k - kinds) & 15;
	p->age_days = (uint16_t)city_between(&c->rng, k->age_from * 366, k->age_to * 365);
	p->issued = (uint8_t)city_between(&c->rng, 0, 200);
	if (person_holds(c, p))
		p->unverified = city_chance(&c->rng, 300);
}

static int32_t person_birth(const struct city *c, const struct city_person *p)
{
	return p->registered ? c->day - p->age_days : DAY_NONE;
}

static int32_t person_issued(const struct city_person *p)
{
	return p->registered ? day_of_civil(2025, 1, 1) + p->issued : DAY_NONE;
}

static struct hold person_hold(const struct city *c, const struct city_person *p)
{
	return (struct hold){.group = c->group_code[p->kind],
			     .grade = kinds[p->kind].grade,
			     .from = day_of_civil(2025, 1, 1),
			     .to = INT32_MAX,
			     .verified_to = p->unverified ? c->day - 30 : INT32_MAX};
}

struct rider city_person_rider(const struct city *c, const struct city_person *p)
{
	struct rider r = {.birth = person_birth(c, p), .issued = person_issued(p)};

	if (p->registered)
		r.home = HOME_REGION;
	if (person_holds(c, p)) {
		r.hold_count = 1;
		r.hold[0] = person_hold(c, p);
	}
	return r;
}

void city_person_elder(struct city *c, struct city_person *p)
{
	person_register(c, p, &kinds[KIND_ELDER]);
}

static void local_make(struct city *c)
{
	uint32_t person = person_add(c), card;
	const struct kind *k = kind_draw(c);
	bool ssc = city_chance(&c->rng, k->group != NULL ? 5000 : 2000);

	if (k->group != NULL || ssc)
		person_register(c, &c->person[person], k);
	card = city_card_new(c, person, ssc ? CARD_SSC : CARD_PURSE);
	c->card[card].card_class = k->card_class & 15;
	if (k->group == NULL && city_chance(&c->rng, 250))
		c->card[card].product = 1;
	if (ssc && city_chance(&c->rng, 500))
		city_card_new(c, person, CARD_PURSE); /* the same person's second card */
}

void city_people_make(struct city *c)
{
	uint32_t cards = c->cards_wanted != 0 ? c->cards_wanted : c->taps_wanted * 2 / 5 + 40;

	static_assert(sizeof(kinds) / sizeof(kinds[0]) <= sizeof(c->group_code) / sizeof(c->group_code[0]), "kinds");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		c->group_code[i] = kinds[i].group != NULL ? tariff_group_code(c->tariff, kinds[i].group) : 0;
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

void city_people_ready(struct city *c)
{
	for (uint32_t i = 0; i < c->person_count; i++)
		c->person[i].at = 0;
	c->states = city_states_new();
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

static void rider_print(FILE *f, const struct city *c, const struct city_card *card)
{
	const struct city_person *p = &c->person[card->person];
	struct hold h = person_hold(c, p);
	char digits[21];
	uint8_t pan[10];

	city_card_number(c, card, pan);
	pan_digits(pan, digits);
	fprintf(f, "%s,%llu,", digits, 1000001ull + card->person);
	day_print(f, person_birth(c, p), ",");
	day_print(f, person_issued(p), ",");
	if (!person_holds(c, p)) {
		fprintf(f, "%u,,,,,\n", HOME_REGION);
		return;
	}
	fprintf(f, "%u,%s,%u,", HOME_REGION, kinds[p->kind].group, h.grade);
	day_print(f, h.from, ",");
	day_print(f, h.to, ",");
	day_print(f, h.verified_to, "\n");
}

static int riders_write(const struct city *c)
{
	FILE *f = city_create(c, "riders.csv");

	if (f == NULL)
		return -1;
	fputs("pan,person,birth,issued,home,group,grade,from,to,verified_to\n", f);
	for (uint32_t i = 0; i < c->card_count; i++)
		if (c->person[c->card[i].person].registered)
			rider_print(f, c, &c->card[i]);
	return city_close(c, "riders.csv", f) ? 0 : -1;
}

static int issuers_write(const struct city *c)
{
	FILE *f = city_create(c, "issuers.csv");

	if (f == NULL)
		return -1;
	fputs("issuer,ours,valid_from,valid_to,name\n", f);
	for (size_t i = 0; i < ISSUER_COUNT; i++)
		if (i != ISSUER_UNKNOWN)
			fprintf(f, "%08x,%s,2020-01-01,,%s\n", issuers[i].issuer, i == ISSUER_OURS ? "yes" : "no",
				issuers[i].name);
	return city_close(c, "issuers.csv", f) ? 0 : -1;
}

/* Every card of a planted black-listed tap, from a month before the day. */
static int blacklist_write(const struct city *c)
{
	FILE *f = city_create(c, "blacklist.csv");
	char digits[21];
	uint8_t pan[10];

	if (f == NULL)
		return -1;
	fputs("pan,from,to,action\n", f);
	for (uint32_t i = 0; i < c->black_count; i++) {
		city_card_number(c, &c->card[c->black[i]], pan);
		pan_digits(pan, digits);
		fprintf(f, "%s,2025-01-01T00:00:00+08:00,,refuse\n", digits);
	}
	return city_close(c, "blacklist.csv", f) ? 0 : -1;
}

int city_people_write(const struct city *c)
{
	return riders_write(c) == 0 && issuers_write(c) == 0 && blacklist_write(c) == 0 ? 0 : -1;
}
