/*
 * rate - the parts of rate(): one ride being rated, and the functions each part gives the others. Private to
 * tariffs/. All are pure and bounded: they read the opened pack and the ride, and write into struct rating.
 */
#ifndef TARIFFS_RATE_H
#define TARIFFS_RATE_H

#include "tariffs/blob.h"

/* An amount between two steps, exact: num / den fen. A rate multiplies den by 10000; two rates and a band
 * keep num within 10^6 fen x 10^12. */
struct exact { int64_t num, den; };
static inline struct exact exact_of_fen(int64_t fen) { return (struct exact){ fen, 1 }; }

#define PRICE_NONE (-1)			/* no concession: the published fare */
struct choice {
	int index;			/* concession that gives the price; PRICE_NONE */
	int via;			/* the one that led to it when it is a fallback, else index */
	struct exact price;		/* on the published fare */
	enum rule_miss because;		/* why it is a fallback; 0 when not */
};

struct span { uint32_t m; uint16_t stops, zones; };	/* ridden; 0: unknown */

struct rating {
	const struct tariff *t;
	const struct rider *rider;
	const struct ride *ride;
	const struct rider_state *before;	/* may be what is written: a ride is remembered when all that asks about */
	struct rider_state *after;		/* the past has been asked, each part by the functions named _remember, _open and _charge */
	struct fare *fare;
	struct rate_notes *notes;
	const struct row_line *line;
	int64_t clock_ms;		/* the event that hours and dates look at: entry for rides with tap-off */
	int64_t end_ms;			/* end of the ride */
	int64_t published_fen;
	struct span ridden, far;	/* between the taps; from the tap-on to the farther end of the line */
	int32_t day;
	uint8_t day_kind;
	uint16_t minute;
	uint32_t seasons;
	uint32_t line_hash, vehicle_hash, operator_id;	/* vehicle 0: unknown */
	uint64_t class_bit;		/* of the line's class */
	uint32_t kind_bits;		/* of the ride's medium, guest class and mode, where a condition has its masks of them */
	uint64_t groups;		/* groups the rider is in on this day */
	uint64_t lapsed;		/* groups whose yearly check has lapsed */
	uint64_t excluded;		/* concessions a lock has taken out */
	bool escort;			/* the card is an escort's */
	bool escorted;			/* and the person it is tied to is on board: it is in a group of escorts */
	uint64_t alone;			/* groups of escorts it is not in */
	bool closes;			/* the tap-off of the open ride */
	bool complete;			/* both ends of the ride are known, or it has only one tap */
};

void note_add(struct rate_notes *notes, uint16_t rule, enum rule_miss miss);
static inline void note(struct rating *r, uint16_t rule, enum rule_miss miss)
{
	if (r->notes != NULL)
		note_add(r->notes, rule, miss);
}
void step(struct fare *f, enum fare_step_kind kind, uint16_t rule, int64_t delta_fen);

/* rate_find.c: the ride and the rider */
enum fare_reject ride_find(struct rating *r);	/* line, clocks, day, seasons, groups */
enum asking { ASK_ALL, ASK_STATIC };		/* static: not who, guest, product: is the rule for such a ride at all */
enum rule_miss cond_ask(const struct rating *r, const struct row_cond *c, enum asking asking);	/* 0: it holds */

static inline uint32_t cond_kinds(const struct row_cond *c)
{
	return (uint32_t)c->medium_mask | (uint32_t)c->guest_mask << 8 | (uint32_t)c->mode_mask << 16;
}

/* A condition that asks no more than this: it holds as a whole. */
static inline bool plain_holds(const struct rating *r, const struct row_cond *c)
{
	return (c->who == 0 || (c->who & r->groups) != 0) && (c->who_not & r->groups) == 0 && (c->class_mask & r->class_bit) != 0 &&
	       (cond_kinds(c) & r->kind_bits) == r->kind_bits && r->clock_ms >= c->from_ms && r->clock_ms < c->to_ms &&
	       (r->ride->known_ms == 0 || r->ride->known_ms >= c->published_ms);
}

static inline enum rule_miss cond_miss(const struct rating *r, uint16_t cond, enum asking asking)
{
	const struct row_cond *c = &r->t->cond[cond];

	return cond_plain(r->t, cond) && plain_holds(r, c) ? 0 : cond_ask(r, c, asking);
}
bool slots_hit(const struct rating *r, const struct row_slots *s);
int64_t published_by_kind(const struct rating *r, const struct span *ridden);
static inline int64_t published_find(const struct rating *r, const struct span *ridden)	/* fen, negative: none */
{
	return r->line->fare_kind == FARE_FLAT ? r->line->fare_fen : published_by_kind(r, ridden);
}

/* rate_price.c: prices and the one concession */
static inline struct exact exact_scale(struct exact a, int32_t rate)
{
	if (a.num == 0 || rate == 10000)
		return a;
	return rate == 0 ? exact_of_fen(0) : (struct exact){ a.num * rate, a.den * 10000 };
}

int64_t exact_round_parts(const struct rating *r, struct exact a);
static inline int64_t exact_round(const struct rating *r, struct exact a)	/* by the pack */
{
	return a.den == 1 && r->t->head->round_unit_fen == 1 ? a.num : exact_round_parts(r, a);
}
struct exact price_of_kind(const struct rating *r, const struct row_price *p, uint16_t quota, struct exact base);

/* Mostly a part of the fare, and nothing more is asked. quota: whose units are meant, index + 1. */
static inline struct exact price_on(const struct rating *r, const struct row_price *p, uint16_t quota, struct exact base)
{
	if (p->kind == PRICE_RATE && p->round_mode == ROUND_OF_PACK && !p->at_most_own)
		return exact_scale(base, p->num);
	return price_of_kind(r, p, quota, base);
}

static inline struct exact concession_price(const struct rating *r, int index, struct exact base)
{
	const struct row_concession *c = &r->t->concession[index];

	return index == PRICE_NONE ? base : price_on(r, &c->price, c->quota, base);
}

static inline struct choice *published_choice(const struct rating *r, struct choice *c)	/* no concession */
{
	*c = (struct choice){ .index = PRICE_NONE, .via = PRICE_NONE, .price = exact_of_fen(r->published_fen) };
	return c;
}
/* Which of the two slots holds it: the better of two is not copied. */
const struct choice *concession_choose(struct rating *r, struct choice slot[2]);

/* rate_transfer.c */
struct transfer {
	const struct row_transfer *scheme;	/* NULL: the ride is outside of every scheme */
	const struct row_transfer_price *price;	/* NULL: not a transfer */
	enum transfer_action action;		/* what the ride does to the window when it is not */
};
bool transfer_window_open(const struct rating *r);	/* of any scheme, at this ride */
void transfer_find(struct rating *r, const struct choice *choice, struct transfer *ret);
/* Price entry a ride at another concession would get in the same place; for the ordinary card price. */
const struct row_transfer_price *transfer_price_for(const struct rating *r, const struct transfer *x, int index);
struct exact transfer_apply(const struct rating *r, const struct row_transfer_price *p, struct exact now);
void transfer_remember(struct rating *r, const struct transfer *x, const struct choice *choice, int64_t leg_fen);

/* rate_account.c: counts and sums */
struct row_period;
uint32_t period_stamp(const struct rating *r, const struct row_period *p, const struct rider_acc *acc);
int64_t account_value(const struct rating *r, const struct row_period *p);
void account_add(struct rating *r, const struct row_period *p, int64_t amount);
int64_t quota_left(const struct rating *r, const struct row_quota *q);
bool quotas_suffice(const struct rating *r, const struct row_concession *c);	/* of a concession with a quota: each has enough left */
struct exact ladders_apply(struct rating *r, const struct choice *choice, struct exact now, uint16_t *ret_rule, uint16_t *ret_fund);
int64_t caps_apply(struct rating *r, int64_t fen, uint16_t *ret_rule, uint16_t *ret_fund);
void quotas_take(struct rating *r, const struct row_concession *c);
static inline void quota_remember(struct rating *r, const struct choice *choice)	/* what the concession takes */
{
	if (choice->index != PRICE_NONE && r->t->concession[choice->index].quota != 0)
		quotas_take(r, &r->t->concession[choice->index]);
}
void sums_remember(struct rating *r, const struct choice *choice);	/* of ladders and caps */
static inline void accounts_remember(struct rating *r, const struct choice *choice, bool transferred)
{
	if (!transferred)
		quota_remember(r, choice);
	if (r->t->ladder_count + r->t->cap_count > 0)
		sums_remember(r, choice);
}
/* What an unfinished ride owed, for caps that count it. */
void unfinished_remember(struct rating *r, int64_t fen);

#endif
