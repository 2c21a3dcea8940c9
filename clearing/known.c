/*
 * known - riders by card without walking the store. Three things spare the writer the two walks of rider_find: a filter
 * over all card numbers that anybody registered, so that most cards, which nobody did, are told apart by one cache line;
 * places of one cache line for riders looked up before; and, when there is nothing else to do, the looking up of those who
 * have not ridden yet.
 *
 * The answers are rider_find's own and hold until entitlements change; then all riders are forgotten at once, so that
 * nobody has to know whom an event touched. The filter only grows: what it says of a card is true of every earlier
 * position too. Every change of entitlements is a new row of DB_PERSON or DB_RIDER, so their counts tell whether one came.
 */
#include "clearing/clearing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/pages.h"

#define HOLDS_MAX 1	/* who has more is asked for each time */
#define WINDOW 4	/* a card lies in one of so many places from its own on */
#define PLACES_FIRST 4096u
#define FILTER_WORDS_FIRST 1024u
#define FILTER_BITS 10	/* of the filter for a card at least: one in a hundred of the others passes, at 20 one in a thousand */

struct place {
	uint64_t person;
	uint32_t since;		/* value of known.since when it was put; 0: never */
	int32_t birth, issued;
	uint32_t home;
	struct hold hold[HOLDS_MAX];
	int32_t escort_from, escort_to;
	uint8_t pan[10], hold_count;
	bool escort;
} __attribute__((aligned(64)));
static_assert(sizeof(struct place) == 64, "one cache line a card");

struct filter { uint64_t *word; size_t mask, count; };	/* four bits of one word say that a card may be in it */
struct known {
	struct place *place; size_t mask, places_max;	/* zeroed pages, touched as they fill */
	uint32_t since;
	bool followed;			/* the filter has every card */
	struct filter filter;
	uint64_t persons, riders;	/* rows when they were last looked at */
	uint64_t touched_seq;		/* cards that events up to this one brought are in the filter */
	uint8_t next[18]; bool warm;	/* where looking up ahead goes on; it came to the end */
};

/* ---- the filter ------------------------------------------------------------------------------------ */

static uint64_t mixed(uint64_t card)
{
	card ^= card >> 32;
	card *= 0x9E3779B97F4A7C15u;
	card ^= card >> 29;
	card *= 0xBF58476D1CE4E5B9u;
	return card ^ card >> 32;
}

static uint64_t filter_bits(uint64_t hash)
{
	return UINT64_C(1) << (hash >> 40 & 63) | UINT64_C(1) << (hash >> 46 & 63) | UINT64_C(1) << (hash >> 52 & 63) | UINT64_C(1) << (hash >> 58);
}

static int filter_open(struct filter *f, uint64_t cards)
{
	size_t words = FILTER_WORDS_FIRST;

	while (words * 64 / (2 * FILTER_BITS) < cards)
		words *= 2;
	*f = (struct filter){ .word = pages_take(words * sizeof(*f->word)), .mask = words - 1 };
	return f->word != NULL ? 0 : -ENOMEM;
}

static void filter_close(struct filter *f) { pages_give(f->word, (f->mask + 1) * sizeof(*f->word)); }

static void filter_add(struct filter *f, uint64_t card)
{
	uint64_t hash = mixed(card), bits = filter_bits(hash), *word = &f->word[hash & f->mask];

	f->count += (*word & bits) != bits;
	*word |= bits;
}

static bool filter_full(const struct filter *f) { return f->count > (f->mask + 1) * 64 / FILTER_BITS; }

/* Every card that DB_PERSON has, in the order it lies there. */
static int filter_read(struct known *k, struct txn *t)
{
	struct filter f;
	struct iter it;
	int ret = filter_open(&f, txn_rows(t, DB_PERSON));

	if (ret != 0)
		return ret;
	iter_open(t, DB_PERSON, NULL, 0, &it);
	while (iter_next(&it)) {
		if (it.key_bytes != 18) {
			t->error = CLEARING_E_STORE;
			break;
		}
		filter_add(&f, card_person(it.key));
	}
	iter_close(&it);
	filter_close(&k->filter);
	k->filter = f;
	return t->error;
}

/* A card that becomes somebody's touches itself, as the person it was: the number without the mark of a handle. */
static int filter_note(struct known *k, struct txn *t)
{
	uint8_t from[16];
	struct iter it;
	bool on;

	be64_put(from, k->touched_seq + 1);
	be64_put(from + 8, 0);
	iter_open(t, DB_TOUCHED, NULL, 0, &it);
	for (on = iter_seek(&it, from, sizeof(from)); on; on = iter_next(&it))
		if (it.key_bytes == 16 && (it.key[8] & 0x80) == 0)
			filter_add(&k->filter, be64_get(it.key + 8));
	iter_close(&it);
	return t->error;
}

/* ---- places ----------------------------------------------------------------------------------------------- */

static int places_open(struct known *k, uint64_t cards)
{
	size_t places = k->places_max < PLACES_FIRST ? k->places_max : PLACES_FIRST;
	struct place *place;

	while (places < cards + cards / 2 && places < k->places_max)
		places *= 2;
	if (k->place != NULL && places <= k->mask + 1)
		return 0;
	place = pages_take((places + WINDOW - 1) * sizeof(*place));
	if (place == NULL)
		return -ENOMEM;
	pages_give(k->place, (k->mask + WINDOW) * sizeof(*k->place));
	k->place = place;
	k->mask = places - 1;
	return 0;
}

int known_new(size_t places, struct known **ret_known)
{
	struct known *k = calloc(1, sizeof(*k));

	assert(places > 0 && (places & (places - 1)) == 0);
	if (k == NULL)
		return -ENOMEM;
	*k = (struct known){ .places_max = places, .since = 1 };
	if (places_open(k, 0) != 0) {
		free(k);
		return -ENOMEM;
	}
	*ret_known = k;
	return 0;
}

void known_free(struct known *k)
{
	if (k == NULL)
		return;
	pages_give(k->place, (k->mask + WINDOW) * sizeof(*k->place));
	filter_close(&k->filter);
	free(k);
}

void known_forget(struct known *k)
{
	memset(k->next, 0, sizeof(k->next));
	k->warm = false;
	if (++k->since != 0)
		return;
	memset(k->place, 0, (k->mask + WINDOW) * sizeof(*k->place));
	k->since = 1;
}

int known_follow(struct known *k, struct txn *t)
{
	uint64_t persons = txn_rows(t, DB_PERSON), riders = txn_rows(t, DB_RIDER);
	int ret;

	if (t->error != 0 || (k->followed && persons == k->persons && riders == k->riders))
		return t->error;
	ret = k->followed ? filter_note(k, t) : 0;
	if (ret == 0 && (!k->followed || filter_full(&k->filter)))
		ret = filter_read(k, t);
	if (ret == 0)
		ret = places_open(k, persons);
	if (ret != 0)
		return ret;
	known_forget(k);
	k->followed = true;
	k->persons = persons;
	k->riders = riders;
	k->touched_seq = inbox_last(t);
	return t->error;
}

static struct place *place_find(const struct known *k, const uint8_t pan[10], uint64_t hash)
{
	struct place *p = &k->place[hash & k->mask];

	for (unsigned i = 0; i < WINDOW; i++, p++)
		if (p->since == k->since && memcmp(p->pan, pan, sizeof(p->pan)) == 0)
			return p;
	return NULL;
}

/* One that is free; else one of the others gives way. */
static struct place *place_for(const struct known *k, uint64_t hash)
{
	struct place *p = &k->place[hash & k->mask];

	for (unsigned i = 0; i < WINDOW; i++)
		if (p[i].since != k->since)
			return &p[i];
	return &p[(hash >> 32) % WINDOW];
}

static void place_take(const struct place *p, struct rider *ret)
{
	*ret = (struct rider){ .birth = p->birth, .issued = p->issued, .home = p->home, .hold_count = p->hold_count,
				.escort = p->escort, .escort_from = p->escort_from, .escort_to = p->escort_to };
	memcpy(ret->hold, p->hold, sizeof(p->hold));
}

static void place_put(struct place *p, const uint8_t pan[10], uint64_t person, const struct rider *r, uint32_t since)
{
	*p = (struct place){ .person = person, .since = since, .birth = r->birth, .issued = r->issued, .home = r->home, .hold_count = r->hold_count,
			      .escort = r->escort, .escort_from = r->escort_from, .escort_to = r->escort_to };
	memcpy(p->hold, r->hold, r->hold_count * sizeof(p->hold[0]));
	memcpy(p->pan, pan, sizeof(p->pan));
}

/* ---- asking -------------------------------------------------------------------------------------------------- */

static bool registered(const struct known *k, uint64_t hash)
{
	uint64_t bits = filter_bits(hash);

	return !k->followed || (k->filter.word[hash & k->filter.mask] & bits) == bits;
}

static struct known_card card_of(const uint8_t pan[10])
{
	uint64_t number = card_person(pan);

	return (struct known_card){ .number = number, .hash = mixed(number) };
}

struct known_card known_card(const struct known *k, const uint8_t pan[10])
{
	struct known_card card = card_of(pan);

	if (k->followed)
		touch(&k->filter.word[card.hash & k->filter.mask]);
	return card;
}

/* Without a branch that would be guessed wrong for every other card: nobody's card touches the first place. */
void known_prefetch(const struct known *k, struct known_card *card)
{
	card->registered = registered(k, card->hash);
	touch(&k->place[card->hash & k->mask & -(size_t)card->registered]);
}

uint64_t known_person_by(const struct known *k, const struct known_card *card, const uint8_t pan[10])
{
	const struct place *p = card->registered ? place_find(k, pan, card->hash) : NULL;

	return p != NULL ? p->person : card->number;
}

static uint64_t look_up(struct known *k, struct txn *t, const uint8_t pan[10], uint64_t hash, uint64_t seq, struct rider *ret_rider)
{
	uint64_t person = rider_find(t, pan, seq, ret_rider);

	if (t->error == 0 && ret_rider->hold_count <= HOLDS_MAX && ret_rider->grant_count == 0)
		place_put(place_for(k, hash), pan, person, ret_rider, k->since);
	return person;
}

uint64_t known_rider_by(struct known *k, struct txn *t, const struct known_card *card, const uint8_t pan[10], uint64_t seq, struct rider *ret_rider)
{
	static const struct rider nobody = { .birth = DAY_NONE, .issued = DAY_NONE };
	const struct place *p;

	if (!card->registered) {
		*ret_rider = nobody;
		return card->number;
	}
	p = place_find(k, pan, card->hash);
	if (p == NULL)
		return look_up(k, t, pan, card->hash, seq, ret_rider);
	place_take(p, ret_rider);
	return p->person;
}

uint64_t known_rider(struct known *k, struct txn *t, const uint8_t pan[10], uint64_t seq, struct rider *ret_rider)
{
	struct known_card card = card_of(pan);

	card.registered = registered(k, card.hash);
	return known_rider_by(k, t, &card, pan, seq, ret_rider);
}

bool known_warm(struct known *k, struct txn *t, unsigned cards)
{
	uint8_t pan[10];
	struct iter it;
	bool on;

	if (k->warm || !k->followed || k->persons > k->places_max)
		return false;
	iter_open(t, DB_PERSON, NULL, 0, &it);
	for (on = iter_seek(&it, k->next, sizeof(k->next)); on && cards > 0; cards--) {
		uint64_t hash;
		struct rider rider;

		memcpy(pan, it.key, sizeof(pan));
		hash = mixed(card_person(pan));
		if (place_find(k, pan, hash) == NULL && place_for(k, hash)->since != k->since)
			look_up(k, t, pan, hash, UINT64_MAX, &rider);
		while (on && memcmp(it.key, pan, sizeof(pan)) == 0)
			on = iter_next(&it);
	}
	if (on)
		memcpy(k->next, it.key, sizeof(k->next));
	k->warm = !on;
	iter_close(&it);
	return on && t->error == 0;
}
