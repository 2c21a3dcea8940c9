/*
 * rate_account - counts and sums of a rider over periods: quotas, ladders, caps. An account carries the stamp
 * of its period; a stale stamp means zero, so nothing has to be reset at midnight. Accounts are named by the
 * hash of their rule's id, which stays through versions of a pack.
 */
#include "tariffs/rate.h"

#include <string.h>

/* Number of whole years between the card's issue and the day, so that each card-year has its own stamp. */
static uint32_t card_year(const struct rating *r)
{
	struct civil now = civil_of_ms((int64_t)r->day * 86400000 - CIVIL_OFFSET_MS), from;

	if (r->rider->issued == DAY_NONE)
		return (uint32_t)now.year;
	from = civil_of_ms((int64_t)r->rider->issued * 86400000 - CIVIL_OFFSET_MS);
	return (uint32_t)(now.year - from.year - (now.month < from.month || (now.month == from.month && now.day < from.day)));
}

/* Hours run from the first use: the stamp is its second, kept while they last. */
static uint32_t rolling_stamp(const struct rating *r, const struct row_period *p, const struct rider_acc *acc)
{
	int64_t now = r->clock_ms / 1000;

	if (acc != NULL && now >= (int64_t)acc->stamp && now < (int64_t)acc->stamp + (int64_t)p->length * 3600)
		return acc->stamp;
	return (uint32_t)now;
}

static int32_t fare_day(const struct rating *r, const struct row_period *p)
{
	return service_day_of_ms(r->clock_ms, (int32_t)(p->length != 0 ? p->length - 1 : r->t->head->fare_day_cut_s));
}

uint32_t period_stamp(const struct rating *r, const struct row_period *p, const struct rider_acc *acc)
{
	struct civil c;

	switch ((enum period)p->period) {
	case PERIOD_DAY: return (uint32_t)fare_day(r, p);
	case PERIOD_MONTH: c = civil_of_ms(r->clock_ms); return (uint32_t)c.year * 100 + c.month;
	case PERIOD_YEAR: return (uint32_t)civil_of_ms(r->clock_ms).year;
	case PERIOD_CARD_YEAR: return card_year(r);
	case PERIOD_HOURS: return rolling_stamp(r, p, acc);
	case PERIOD_COUNT_: break;
	}
	return 0;
}

static uint32_t owner_of(const struct rating *r, const struct row_period *p) { return p->of_card ? r->ride->card : 0; }

static struct rider_acc *account_find(struct rider_state *s, uint16_t id, uint32_t card)
{
	for (size_t i = 0; i < RIDER_ACC_MAX; i++)
		if (s->acc[i].id == id && s->acc[i].card == card)
			return &s->acc[i];
	return NULL;
}

int64_t account_value(const struct rating *r, const struct row_period *p)
{
	struct rider_acc *acc = account_find(r->after, p->acc, owner_of(r, p));

	return acc != NULL && acc->stamp == period_stamp(r, p, acc) ? acc->value : 0;
}

/* A free place, else that of an older card of the same account, else the first. */
static struct rider_acc *account_place(struct rider_state *s, uint16_t id)
{
	struct rider_acc *same = NULL;

	for (size_t i = 0; i < RIDER_ACC_MAX; i++) {
		if (s->acc[i].id == 0)
			return &s->acc[i];
		if (s->acc[i].id == id && same == NULL)
			same = &s->acc[i];
	}
	return same != NULL ? same : &s->acc[0];
}

void account_add(struct rating *r, const struct row_period *p, int64_t amount)
{
	uint32_t card = owner_of(r, p), stamp;
	struct rider_acc *acc = account_find(r->after, p->acc, card);

	stamp = period_stamp(r, p, acc);
	if (acc == NULL)
		acc = account_place(r->after, p->acc);
	if (acc->id != p->acc || acc->card != card || acc->stamp != stamp)
		*acc = (struct rider_acc){ .id = p->acc, .stamp = stamp, .card = card };
	acc->value += amount;
}

static int64_t quota_limit(const struct rating *r, const struct row_quota *q)
{
	int64_t limit = q->limit;

	for (uint8_t i = 0; q->granted && i < r->rider->grant_count && i < RIDER_GRANTS_MAX; i++)
		if (r->rider->grant[i].quota == q->per.acc)
			limit += r->rider->grant[i].units;
	return limit;
}

int64_t quota_left(const struct rating *r, const struct row_quota *q) { return quota_limit(r, q) - account_value(r, &q->per); }

bool quotas_suffice(const struct rating *r, const struct row_concession *c)
{
	bool enough = quota_left(r, &r->t->quota[c->quota - 1]) >= c->takes;

	for (size_t i = 0; i < CONCESSION_QUOTAS_MAX - 1 && c->also[i] != 0; i++)
		enough = enough && quota_left(r, &r->t->quota[c->also[i] - 1]) >= c->takes;
	return enough;
}

static bool listed(uint64_t mask, const struct choice *choice) { return choice->index != PRICE_NONE && (mask >> choice->index & 1) != 0; }

/* ---- ladders -------------------------------------------------------------------------------------------- */

static const struct row_ladder_step *step_of(const struct rating *r, const struct row_ladder *l, int64_t total)
{
	const struct row_ladder_step *found = &r->t->ladder_step[l->step];

	for (uint32_t i = 1; i < l->step_count; i++)
		if (total >= r->t->ladder_step[l->step + i].from)
			found = &r->t->ladder_step[l->step + i];
	return found;
}

__extension__ typedef __int128 wide;

/* num / den as quarters of a fen, with every fraction between two quarters as 1 or 3: that is all that rounding
 * to whole fen or more can ask. */
static struct exact quarters(wide num, wide den)
{
	wide whole = num / den, rest = num % den;
	int quarter = rest == 0 ? 0 : 2 * rest < den ? 1 : 2 * rest == den ? 2 : 3;

	return (struct exact){ (int64_t)whole * 4 + quarter, 4 };
}

/* A ride over one or more steps: each part pays the rate of its step. Where the total counts what is paid, a step
 * that is c fen away is reached after c / rate of the published part; den is widened so that this stays exact. */
static struct exact split(const struct rating *r, const struct row_ladder *l, struct exact now, int64_t total)
{
	const struct row_ladder_step *s = step_of(r, l, total), *last = &r->t->ladder_step[l->step + l->step_count - 1];
	wide left = now.num, den = now.den, paid = 0;

	for (int crossed = 0; s < last && crossed < 4; s++, crossed++) {
		wide room = (wide)(s[1].from - total) * den, takes = l->count == COUNT_PAID ? s->rate : 10000;

		if (left * takes <= room * 10000)
			break;
		paid = paid * takes + room * (l->count == COUNT_PAID ? takes : s->rate);
		left = left * takes - room * 10000;
		den *= takes;
		total = s[1].from;
	}
	return quarters(paid * 10000 + left * s->rate, den * 10000);
}

struct exact ladders_apply(struct rating *r, const struct choice *choice, struct exact now, uint16_t *ret_rule, uint16_t *ret_fund)
{
	for (uint32_t i = 0; i < r->t->ladder_count; i++) {
		const struct row_ladder *l = &r->t->ladder[i];
		enum rule_miss miss = listed(l->not_with, choice) ? MISS_NOT_FOR : cond_miss(r, l->cond, ASK_ALL);
		int64_t total;

		if (miss != 0) {
			note(r, l->rule, miss);
			continue;
		}
		total = account_value(r, &l->per);
		if (l->split)
			now = split(r, l, now, total);
		else
			now = exact_scale(now, step_of(r, l, total)->rate);
		*ret_rule = l->rule;
		*ret_fund = l->fund;
	}
	return now;
}

/* ---- caps ------------------------------------------------------------------------------------------------ */

/* Start of the period the ride is in. */
static int64_t period_began(const struct rating *r, const struct row_period *p)
{
	struct civil c = civil_of_ms(r->clock_ms), first = { .year = c.year, .month = 1, .day = 1 };

	switch ((enum period)p->period) {
	case PERIOD_DAY: return (int64_t)fare_day(r, p) * 86400000 - CIVIL_OFFSET_MS;
	case PERIOD_MONTH: first.month = c.month; break;
	case PERIOD_YEAR: break;
	case PERIOD_CARD_YEAR:
		if (r->rider->issued != DAY_NONE) {
			first = civil_of_ms((int64_t)r->rider->issued * 86400000 - CIVIL_OFFSET_MS);
			first.year += (int32_t)card_year(r);
		}
		break;
	case PERIOD_HOURS: return (int64_t)rolling_stamp(r, p, account_find(r->after, p->acc, owner_of(r, p))) * 1000;
	case PERIOD_COUNT_: break;
	}
	return ms_of_civil(&first);
}

static int64_t limit_of(const struct rating *r, const struct row_cap *c)
{
	int64_t began = c->limit_count > 1 ? period_began(r, &c->per) : 0, fen = r->t->cap_limit[c->limit].fen;

	for (uint32_t i = 1; i < c->limit_count; i++)
		if (began >= r->t->cap_limit[c->limit + i].from_ms)
			fen = r->t->cap_limit[c->limit + i].fen;
	return fen;
}

int64_t caps_apply(struct rating *r, int64_t fen, uint16_t *ret_rule, uint16_t *ret_fund)
{
	for (uint32_t i = 0; i < r->t->cap_count; i++) {
		const struct row_cap *c = &r->t->cap[i];
		enum rule_miss miss = cond_miss(r, c->cond, ASK_ALL);
		int64_t left;

		if (miss != 0) {
			note(r, c->rule, miss);
			continue;
		}
		left = limit_of(r, c) - account_value(r, &c->per);
		if (left < 0)
			left = 0;
		if (fen > left) {
			fen = left;
			*ret_rule = c->rule;
			*ret_fund = c->fund;
		}
	}
	return fen;
}

/* ---- after the ride ---------------------------------------------------------------------------------------- */

static void quota_take(struct rating *r, const struct row_quota *q, uint16_t takes)
{
	account_add(r, &q->per, takes);
	step(r->fare, FARE_STEP_QUOTA, q->rule, 0);
}

void quotas_take(struct rating *r, const struct row_concession *c)
{
	quota_take(r, &r->t->quota[c->quota - 1], c->takes);
	for (size_t i = 0; i < CONCESSION_QUOTAS_MAX - 1 && c->also[i] != 0; i++)
		quota_take(r, &r->t->quota[c->also[i] - 1], c->takes);
}

void sums_remember(struct rating *r, const struct choice *choice)
{
	int64_t paid = r->fare->paid.fen;

	for (uint32_t i = 0; i < r->t->ladder_count; i++) {
		const struct row_ladder *l = &r->t->ladder[i];

		if (!listed(l->not_with, choice) && cond_miss(r, l->cond, ASK_ALL) == 0)
			account_add(r, &l->per, l->count == COUNT_RIDES ? 1 : l->count == COUNT_PAID ? paid : r->published_fen);
	}
	for (uint32_t i = 0; i < r->t->cap_count; i++) {
		const struct row_cap *c = &r->t->cap[i];

		if (paid > 0 && cond_miss(r, c->cond, ASK_ALL) == 0)
			account_add(r, &c->per, paid);
	}
}

void unfinished_remember(struct rating *r, int64_t fen)
{
	for (uint32_t i = 0; i < r->t->cap_count; i++) {
		const struct row_cap *c = &r->t->cap[i];

		if (c->count_unfinished && fen > 0 && cond_miss(r, c->cond, ASK_ALL) == 0)
			account_add(r, &c->per, fen);
	}
}

/* ---- explaining ------------------------------------------------------------------------------------------- */

struct counters { struct rating now; struct rider_state before, after; struct tariff_counter *ret; size_t count, max; };

static void counter_add(struct counters *c, uint16_t rule, bool fen, int64_t limit, const struct row_period *per)
{
	struct tariff_counter one = { .rule = rule, .fen = fen, .limit = limit };

	c->now.after = &c->before;
	one.before = account_value(&c->now, per);
	c->now.after = &c->after;
	one.after = account_value(&c->now, per);
	if ((one.before != 0 || one.after != 0) && c->count < c->max)
		c->ret[c->count++] = one;
}

size_t tariff_counters(const struct tariff *t, const struct rider *rider, const struct ride *ride, const struct rider_state *before,
		       const struct rider_state *after, struct tariff_counter *ret_counter, size_t max)
{
	struct counters c = { .before = *before, .after = *after, .ret = ret_counter, .max = max };
	struct fare unused = { 0 };

	c.now = (struct rating){ .t = t, .rider = rider, .ride = ride, .before = &c.before, .after = &c.after, .fare = &unused };
	if (ride_find(&c.now) != FARE_OK)
		return 0;
	for (uint32_t i = 0; i < t->quota_count; i++)
		counter_add(&c, t->quota[i].rule, false, quota_limit(&c.now, &t->quota[i]), &t->quota[i].per);
	for (uint32_t i = 0; i < t->ladder_count; i++)
		counter_add(&c, t->ladder[i].rule, t->ladder[i].count != COUNT_RIDES, 0, &t->ladder[i].per);
	for (uint32_t i = 0; i < t->cap_count; i++)
		counter_add(&c, t->cap[i].rule, true, limit_of(&c.now, &t->cap[i]), &t->cap[i].per);
	return c.count;
}
