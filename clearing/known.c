/*
 * known - riders that the writer looked up before. Most cards ride again within the day, and the second look-up then
 * reads one cache line instead of walking two trees of the store.
 *
 * The answers are rider_find's own and hold until entitlements change; then all are forgotten at once, so that nobody
 * has to know whom an event touched. The memory is fixed: a card takes the place of the one that lay there.
 */
#include "clearing/clearing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "clearing/table.h"

#define HOLDS_MAX 1	/* who has more is asked for each time */

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

struct known { struct place *place; size_t mask; uint32_t since; };	/* zeroed pages, touched as they fill */

int known_new(size_t places, struct known **ret_known)
{
	struct known *k = calloc(1, sizeof(*k));

	assert(places > 0 && (places & (places - 1)) == 0);
	if (k == NULL)
		return -ENOMEM;
	*k = (struct known){ .place = pages_take(places * sizeof(*k->place)), .mask = places - 1, .since = 1 };
	if (k->place == NULL) {
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
	pages_give(k->place, (k->mask + 1) * sizeof(*k->place));
	free(k);
}

void known_forget(struct known *k)
{
	if (++k->since != 0)
		return;
	memset(k->place, 0, (k->mask + 1) * sizeof(*k->place));
	k->since = 1;
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

void known_prefetch(const struct known *k, const uint8_t pan[10]) { __builtin_prefetch(&k->place[XXH3_64bits(pan, 10) & k->mask]); }

uint64_t known_person(const struct known *k, const uint8_t pan[10])
{
	const struct place *p = &k->place[XXH3_64bits(pan, 10) & k->mask];

	return p->since == k->since && memcmp(p->pan, pan, sizeof(p->pan)) == 0 ? p->person : card_person(pan);
}

uint64_t known_rider(struct known *k, struct txn *t, const uint8_t pan[10], uint64_t seq, struct rider *ret_rider)
{
	struct place *p = &k->place[XXH3_64bits(pan, 10) & k->mask];
	uint64_t person;

	if (p->since == k->since && memcmp(p->pan, pan, sizeof(p->pan)) == 0) {
		place_take(p, ret_rider);
		return p->person;
	}
	person = rider_find(t, pan, seq, ret_rider);
	if (t->error == 0 && ret_rider->hold_count <= HOLDS_MAX && ret_rider->grant_count == 0)
		place_put(p, pan, person, ret_rider, k->since);
	return person;
}
