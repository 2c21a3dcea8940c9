/*
 * rate_price - exact prices and the one concession of a ride: highest precedence, then cheapest for the rider,
 * then one without a quota, then the first in the file. A concession that cannot be used (shut hours, empty
 * quota, lapsed check) leads to the fallback it names; a fallback leads no further than one more step.
 */
#include "tariffs/rate.h"

#include <string.h>

/* The usual way without looking at what only others ask. */
int64_t exact_round_parts(const struct rating *r, struct exact a)
{
	const struct blob_head *h = r->t->head;

	if (h->round_mode == ROUND_HALF_UP && h->round_unit_fen == 1 && a.num >= 0 && a.num < INT64_MAX / 4 && a.den < INT64_MAX / 4)
		return (2 * a.num + a.den) / (2 * a.den);
	return money_scale(money_of_fen(a.num), 1, a.den, (enum money_round)h->round_mode, h->round_unit_fen).fen;
}

/* a < b, amounts of one ride: cross products stay within 128 bits. */
static bool exact_less(struct exact a, struct exact b)
{
	__extension__ typedef __int128 wide;

	return (wide)a.num * b.den < (wide)b.num * a.den;
}

static struct exact exact_min(struct exact a, struct exact b) { return exact_less(b, a) ? b : a; }

static struct exact banded(const struct rating *r, const struct row_price *p, struct exact base)
{
	struct exact sum = { 0, base.den * 10000 };
	int64_t from = 0;

	for (uint32_t i = 0; i < p->band_count && from < base.num; i++) {
		const struct row_band *b = &r->t->band[p->band + i];
		int64_t end = b->upto_fen * base.den, to = end < base.num ? end : base.num;

		sum.num += (to - from) * b->rate;
		from = to;
	}
	sum.num += (base.num - from) * 10000;
	return sum;
}

static struct exact units_price(const struct rating *r, const struct row_price *p, uint16_t quota)
{
	return exact_of_fen(quota != 0 ? (int64_t)p->num * r->t->quota[quota - 1].unit_fen : 0);
}

struct exact price_of_kind(const struct rating *r, const struct row_price *p, uint16_t quota, struct exact base)
{
	struct exact price = base;

	switch ((enum price_kind)p->kind) {
	case PRICE_FREE: price = exact_of_fen(0); break;
	case PRICE_RATE: price = exact_scale(base, p->num); break;
	case PRICE_FIXED: price = exact_min(exact_of_fen(p->num), base); break;
	case PRICE_MINUS: price = base.num > p->num * base.den ? (struct exact){ base.num - p->num * base.den, base.den } : exact_of_fen(0); break;
	case PRICE_BANDS: price = banded(r, p, base); break;
	case PRICE_OWN: price = exact_min(exact_of_fen(r->line->own_fen > 0 ? r->line->own_fen : r->published_fen), base); break;
	case PRICE_UNITS: price = exact_min(units_price(r, p, quota), base); break;
	case PRICE_PUBLISHED:
	case PRICE_COUNT_: break;
	}
	if (p->round_mode != ROUND_OF_PACK)
		price = exact_of_fen(money_scale(money_of_fen(price.num), 1, price.den, (enum money_round)p->round_mode, p->round_unit_fen).fen);
	if (p->at_most_own && r->line->own_fen > 0)
		price = exact_min(price, exact_of_fen(r->line->own_fen));
	return price;
}

static inline bool resolve(struct rating *r, int index, int depth, struct choice *ret);

/* What a rule names for when it cannot be used itself. False: the next rule that applies. */
__attribute__((noinline)) static bool fallback(struct rating *r, int16_t then, int via, enum rule_miss because, int depth, struct choice *ret)
{
	bool found = false;

	note(r, r->t->concession[via].rule, because);
	if (then == THEN_PUBLISHED) {
		*ret = (struct choice){ .index = PRICE_NONE, .price = exact_of_fen(r->published_fen) };
		found = true;
	} else if (then >= 0 && depth < 2 && cond_miss(r, r->t->concession[then].cond, ASK_STATIC) == 0) {
		found = resolve(r, then, depth + 1, ret);
	}
	ret->via = via;
	ret->because = because;
	return found;
}

static inline enum rule_miss unusable(struct rating *r, const struct row_concession *c)
{
	if (c->shut.count > 0 && slots_hit(r, &c->shut))
		return MISS_HOURS;
	return c->quota != 0 && !quotas_suffice(r, c) ? MISS_QUOTA : 0;
}

/* A concession whose conditions hold: itself, or its fallback when the hours are shut or the quota is empty. */
static inline bool resolve(struct rating *r, int index, int depth, struct choice *ret)
{
	const struct row_concession *c = &r->t->concession[index];
	enum rule_miss miss = unusable(r, c);

	if (miss != 0)
		return fallback(r, miss == MISS_HOURS ? c->shut_then : c->quota_then, index, miss, depth, ret);
	*ret = (struct choice){ .index = index, .via = index, .price = concession_price(r, index, exact_of_fen(r->published_fen)) };
	return true;
}

static int16_t lapsed_then(const struct rating *r, const struct row_cond *c)
{
	for (uint32_t i = 0; i < r->t->group_count; i++)
		if ((c->who & r->lapsed & 1ULL << i) != 0)
			return r->t->group[i].lapsed;
	return THEN_OTHER;
}

static bool candidate(struct rating *r, int index, struct choice *ret)
{
	const struct row_concession *c = &r->t->concession[index];
	enum rule_miss miss = c->fallback_only ? MISS_FALLBACK : cond_miss(r, c->cond, ASK_ALL);

	if (miss == 0)
		return resolve(r, index, 0, ret);
	if (miss == MISS_CHECK_LAPSED && cond_miss(r, c->cond, ASK_STATIC) == 0)
		return fallback(r, lapsed_then(r, &r->t->cond[c->cond]), index, miss, 0, ret);
	note(r, c->rule, miss);
	return false;
}

static bool counted(const struct rating *r, const struct choice *c) { return c->index != PRICE_NONE && r->t->concession[c->index].quota != 0; }

static bool better(const struct rating *r, const struct choice *a, const struct choice *b)
{
	int pa = r->t->concession[a->via].precedence, pb = r->t->concession[b->via].precedence;

	if (pa != pb)
		return pa > pb;
	if (exact_less(a->price, b->price) || exact_less(b->price, a->price))
		return exact_less(a->price, b->price);
	return !counted(r, a) && counted(r, b);
}

/* Concessions worth looking at: the cell of the table, those without a group and those of the rider's groups. */
static uint64_t candidates(const struct rating *r)
{
	uint64_t mask = r->t->head->everyone, groups = r->groups | r->lapsed;

	while (groups != 0) {
		mask |= r->t->group[__builtin_ctzll(groups)].concessions;
		groups &= groups - 1;
	}
	return mask & r->t->cell[cell_at(r->line->class_index, r->ride->medium, r->ride->guest)];
}

const struct choice *concession_choose(struct rating *r, struct choice slot[2])
{
	struct choice *best = published_choice(r, &slot[0]), *now = &slot[1], *worse;
	uint64_t mask = r->notes == NULL ? candidates(r) : r->t->concession_count < 64 ? (1ULL << r->t->concession_count) - 1 : ~0ULL;

	for (mask &= ~r->excluded; mask != 0; mask &= mask - 1) {
		if (!candidate(r, __builtin_ctzll(mask), now))
			continue;
		worse = now;
		if (best->via == PRICE_NONE || better(r, now, best)) {
			worse = best;
			best = now;
			now = worse;
		}
		if (worse->via != PRICE_NONE)
			note(r, r->t->concession[worse->via].rule, MISS_OUTRANKED);
	}
	return best;
}
