/*
 * rate - the fare of one ride: published fare, one concession, transfer, ladder, cap in the order the pack
 * declares, exact until they are rounded, then the split of the gap.
 *
 * Pure and bounded: it reads the opened pack and its arguments and writes its results. The same code runs in
 * the validator, the ingest, the clear and the tests, so they cannot disagree. What a rule needs of the past is
 * in the rider's state; what it decided, and on request why others did not apply, is in the result.
 */
#include "tariffs/rate.h"

#include <assert.h>
#include <string.h>

#define FARE_FEN_MAX 1000000

void note_add(struct rate_notes *notes, uint16_t rule, enum rule_miss miss)
{
	if (notes->count < sizeof(notes->note) / sizeof(notes->note[0])) {
		notes->note[notes->count].rule = rule;
		notes->note[notes->count].miss = miss;
		notes->count++;
	}
}

void step(struct fare *f, enum fare_step_kind kind, uint16_t rule, int64_t delta_fen)
{
	if (f->step_count < FARE_STEPS_MAX)
		f->step[f->step_count++] = (struct fare_step){ .kind = (uint8_t)kind, .rule = rule, .delta_fen = (int32_t)delta_fen };
}

/* ---- the steps in their order --------------------------------------------------------------------------- */

/* What each step took off, in whole fen that sum to published - paid: cumulated prices are rounded, not parts. */
struct priced {
	int64_t paid, leg_fen;			/* leg: before the transfer step */
	int64_t less[ORDER_ROUND + 1];		/* by enum order_step */
	uint16_t ladder_rule, ladder_fund, cap_rule, cap_fund;
};

/* The amount that was rounded last: most steps leave it as it is. */
struct rounded { struct exact of; int64_t fen; };

static int64_t rounded(const struct rating *r, struct rounded *last, struct exact now)
{
	if (now.num != last->of.num || now.den != last->of.den)
		*last = (struct rounded){ now, exact_round(r, now) };
	return last->fen;
}

/* On the published fare the choice has it already. */
static struct exact concession_step(const struct rating *r, const struct choice *choice, struct exact now)
{
	bool published = now.den == 1 && now.num == r->published_fen;

	return published && choice->price.den != 0 ? choice->price : concession_price(r, choice->index, now);
}

/* All there is to do where no transfer follows and no other step has a rule. */
static void concession_alone(struct rating *r, const struct choice *choice, struct priced *ret)
{
	int64_t fen = exact_round(r, choice->price.den != 0 ? choice->price : concession_price(r, choice->index, exact_of_fen(r->published_fen)));

	*ret = (struct priced){ .paid = fen, .leg_fen = fen };
	ret->less[ORDER_CONCESSION] = r->published_fen - fen;
}

/* Take the steps for a concession and a transfer price. Caps only where the ride is the rider's own. */
static void all_steps_take(struct rating *r, const struct choice *choice, const struct row_transfer_price *transfer, bool with_caps, struct priced *ret)
{
	struct exact now = exact_of_fen(r->published_fen);
	struct priced p = { .leg_fen = r->published_fen };
	struct rounded last = { 0 };
	bool drop = transfer != NULL && (transfer->instead || transfer->effect == EFFECT_PRICE);
	const uint8_t *order = r->t->head->order;

	p.paid = r->published_fen;
	for (size_t i = 0; i < ORDER_MAX && order[i] != ORDER_END; i++) {
		int64_t before = p.paid;

		switch ((enum order_step)order[i]) {
		case ORDER_CONCESSION:
			if (!drop)
				now = concession_step(r, choice, now);
			break;
		case ORDER_TRANSFER:
			p.leg_fen = rounded(r, &last, now);
			if (drop)
				now = exact_of_fen(r->published_fen);
			if (transfer != NULL)
				now = transfer_apply(r, transfer, now);
			break;
		case ORDER_LADDER:
			if (!r->escort)
				now = ladders_apply(r, choice, now, &p.ladder_rule, &p.ladder_fund);
			break;
		case ORDER_CAP:
			if (with_caps)
				now = exact_of_fen(caps_apply(r, exact_round(r, now), &p.cap_rule, &p.cap_fund));
			break;
		case ORDER_ROUND: now = exact_of_fen(exact_round(r, now)); break;
		case ORDER_END: break;
		}
		p.paid = rounded(r, &last, now);
		p.less[order[i]] += before - p.paid;
	}
	if (drop) {		/* the concession was taken back: all of it is the transfer's */
		p.less[ORDER_TRANSFER] += p.less[ORDER_CONCESSION];
		p.less[ORDER_CONCESSION] = 0;
	}
	*ret = p;
}

static void steps_take(struct rating *r, const struct choice *choice, const struct row_transfer_price *transfer, bool with_caps, struct priced *ret)
{
	if (transfer == NULL && r->t->two_steps)
		concession_alone(r, choice, ret);
	else
		all_steps_take(r, choice, transfer, with_caps, ret);
}

/* ---- who pays the gap ----------------------------------------------------------------------------------------- */

static void funder_add(struct fare *f, uint16_t treasury, int64_t fen)
{
	if (fen == 0)
		return;
	for (uint8_t i = 0; i < f->funder_count; i++)
		if (f->funder[i].treasury == treasury) {
			f->funder[i].amount.fen += fen;
			return;
		}
	assert(f->funder_count < FARE_FUNDERS_MAX);
	f->funder[f->funder_count].treasury = treasury;
	f->funder[f->funder_count++].amount.fen = fen;
}

static int64_t unit_of(const struct rating *r, const struct row_fund *f)
{
	for (uint32_t i = 0; i < f->unit_count; i++)
		if ((r->seasons >> r->t->list[f->unit + 2 * i] & 1) != 0)
			return r->t->list[f->unit + 2 * i + 1];
	return f->unit_fen;
}

static int64_t owed_fen(const struct rating *r, const struct row_fund *f, int64_t less_fen, int64_t card_gap_fen)
{
	switch ((enum gap_kind)f->gap) {
	case GAP_PUBLISHED: return less_fen;
	case GAP_CARD_PRICE: return card_gap_fen;
	case GAP_UNIT: return less_fen > 0 ? unit_of(r, f) : 0;
	case GAP_OWN: return (r->line->own_fen > 0 ? r->line->own_fen : r->published_fen) - (r->published_fen - less_fen);
	case GAP_NONE:
	case GAP_LUMP:
	case GAP_COUNT_: break;
	}
	return 0;
}

__attribute__((noinline)) static void owed_split(const struct rating *r, const struct row_fund *f, int64_t owed)
{
	struct money part[FARE_FUNDERS_MAX + 1];
	uint32_t weight[FARE_FUNDERS_MAX + 1];
	size_t n = f->share_count;

	memcpy(weight, f->weight, sizeof(f->weight));
	weight[n] = f->operator_weight;
	money_split(money_of_fen(owed), weight, n + 1, part);
	for (size_t i = 0; i < n; i++)
		funder_add(r->fare, f->treasury[i] == TREASURY_OF_COUNTY ? r->line->county_treasury : f->treasury[i], part[i].fen);
}

/* Fund what a step took off; card_gap_fen is the ordinary card price of this ride less what is paid. */
static inline void fund(const struct rating *r, uint16_t index, int64_t less_fen, int64_t card_gap_fen)
{
	const struct row_fund *f = &r->t->fund[index];
	int64_t owed = owed_fen(r, f, less_fen, card_gap_fen);

	if (owed > 0)
		owed_split(r, f, owed);
}

static int64_t funded_fen(const struct fare *f)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < f->funder_count; i++)
		sum += f->funder[i].amount.fen;
	return sum;
}

/* What the holder of an ordinary card would have paid for this ride, the same transfer included. */
static int64_t card_price_fen(struct rating *r, const struct transfer *x)
{
	for (uint32_t i = 0; i < r->t->head->card_price_count; i++) {
		struct choice ordinary = { .index = (int)r->t->list[r->t->head->card_price + i] };
		struct priced p;

		if (cond_miss(r, r->t->concession[ordinary.index].cond, ASK_STATIC) != 0)
			continue;
		steps_take(r, &ordinary, transfer_price_for(r, x, ordinary.index), false, &p);
		return p.paid;
	}
	return r->published_fen;
}

static void fund_all(struct rating *r, const struct choice *choice, const struct transfer *x, const struct priced *p)
{
	struct fare *f = r->fare;

	if (choice->index != PRICE_NONE) {
		const struct row_concession *c = &r->t->concession[choice->index];
		const struct row_fund *by = &r->t->fund[c->fund];

		f->fund_rule = by->rule;
		if (by->gap == GAP_CARD_PRICE)
			fund(r, c->fund, 0, card_price_fen(r, x) - p->paid);
		else if (p->less[ORDER_CONCESSION] > 0)
			fund(r, c->fund, p->less[ORDER_CONCESSION], 0);
	}
	if (x->price != NULL)
		fund(r, x->scheme->fund, p->less[ORDER_TRANSFER], p->less[ORDER_TRANSFER]);
	if (p->ladder_rule != 0)
		fund(r, p->ladder_fund, p->less[ORDER_LADDER], p->less[ORDER_LADDER]);
	if (p->cap_rule != 0)
		fund(r, p->cap_fund, p->less[ORDER_CAP], p->less[ORDER_CAP]);
}

/* ---- repeat taps ------------------------------------------------------------------------------------------- */

/* Milliseconds since the rider's last ride that the lock looks at: of any kind, or in this vehicle, which may be one of the
 * last two or the one that started the transfer window. -1: none. */
static int64_t lock_gap(const struct rating *r, const struct row_lock *l)
{
	const struct rider_state *s = r->before;
	bool here = r->vehicle_hash != 0;

	if (s->last_ms == 0)
		return -1;
	if (!l->same_vehicle || (here && r->vehicle_hash == s->last_vehicle))
		return r->ride->time_ms - s->last_ms;
	if (here && s->other_ms != 0 && r->vehicle_hash == s->other_vehicle)
		return r->ride->time_ms - s->other_ms;
	return here && s->window_ms != 0 && r->vehicle_hash == s->window_vehicle ? r->ride->time_ms - s->window_ms : -1;
}

static const struct row_lock *lock_find(struct rating *r, const struct choice *choice)
{
	if (r->escorted)	/* the tap before is the person's, and no repeat */
		return NULL;
	for (uint32_t i = 0; i < r->t->lock_count; i++) {
		const struct row_lock *l = &r->t->lock[i];
		bool with = choice->index == PRICE_NONE ? l->with_published : (l->with >> choice->index & 1) != 0;
		int64_t gap = with ? lock_gap(r, l) : -1;

		if (gap >= 0 && (l->ms == LOCK_WINDOW ? transfer_window_open(r) : gap < l->ms))
			return l;
	}
	return NULL;
}

/* False: the tap is refused. */
static bool lock_obey(struct rating *r, struct choice slot[2], const struct choice **choice)
{
	const struct row_lock *l = lock_find(r, *choice);

	if (l == NULL)
		return true;
	if (l->then == LOCK_REFUSE) {
		r->fare->reject = FARE_REPEAT_TAP;
		r->fare->rule = l->rule;
		return false;
	}
	step(r->fare, FARE_STEP_LOCK, l->rule, 0);
	r->fare->companion = r->escort || l->then != LOCK_PASSENGER;
	if (l->then == LOCK_OTHER) {
		r->excluded = l->with;
		*choice = concession_choose(r, slot);
	} else {
		*choice = published_choice(r, slot);
	}
	return true;
}

/* ---- a ride that has its price ------------------------------------------------------------------------------- */

static void group_name(struct rating *r, const struct choice *choice)
{
	uint64_t who = choice->via == PRICE_NONE || r->groups == 0 ? 0 : r->t->cond[r->t->concession[choice->via].cond].who & r->groups;

	if (who != 0)
		r->fare->group = r->t->group[__builtin_ctzll(who)].code;
}

static void steps_tell(struct rating *r, const struct choice *choice, const struct transfer *x, const struct priced *p)
{
	struct fare *f = r->fare;

	if (choice->index != PRICE_NONE && (p->less[ORDER_CONCESSION] != 0 || x->price == NULL)) {
		f->rule = r->t->concession[choice->index].rule;
		step(f, FARE_STEP_CONCESSION, f->rule, -p->less[ORDER_CONCESSION]);
	}
	if (x->price != NULL)
		step(f, FARE_STEP_TRANSFER, x->scheme->rule, -p->less[ORDER_TRANSFER]);
	if (p->ladder_rule != 0)
		step(f, FARE_STEP_LADDER, p->ladder_rule, -p->less[ORDER_LADDER]);
	if (p->cap_rule != 0)
		step(f, FARE_STEP_CAP, p->cap_rule, -p->less[ORDER_CAP]);
}

static void refund_find(struct rating *r, const struct choice *choice)
{
	for (uint32_t i = 0; i < r->t->refund_count; i++) {
		const struct row_refund *x = &r->t->refund[i];
		enum rule_miss miss = choice->index != PRICE_NONE && (x->not_with >> choice->index & 1) != 0 ? MISS_NOT_FOR : cond_miss(r, x->cond, ASK_ALL);
		int64_t beyond;

		if (miss != 0) {
			note(r, x->rule, miss);
			continue;
		}
		beyond = r->fare->paid.fen - exact_round(r, exact_scale(exact_of_fen(r->published_fen), x->rate));
		if (beyond <= 0)
			return;
		r->fare->refund = money_of_fen(beyond);
		r->fare->refund_rule = x->rule;
		r->fare->refund_due = x->due;
		step(r->fare, FARE_STEP_REFUND, x->rule, -beyond);
		return;
	}
}

/* The last two vehicles stay known, so that a tap in the first is a repeat even when one elsewhere came between. */
static void vehicle_remember(struct rating *r)
{
	struct rider_state *s = r->after;

	if (s->last_vehicle != r->vehicle_hash) {
		s->other_ms = s->last_ms;
		s->other_vehicle = s->last_vehicle;
	}
	s->last_ms = r->ride->time_ms;
	s->last_vehicle = r->vehicle_hash;
}

/* An escort's ride takes from its concession's quota, and only one comes along with a ride of the person's. */
static void escort_remember(struct rating *r, const struct choice *choice)
{
	quota_remember(r, choice);
	if (r->escorted)
		r->after->escorted_ms = r->before->last_ms;
}

/* False: refused, nothing was decided. */
static bool ride_price(struct rating *r)
{
	struct choice slot[2];
	const struct choice *choice = concession_choose(r, slot);
	struct fare *f = r->fare;
	struct transfer x = { 0 };
	struct priced p;

	step(f, FARE_STEP_PUBLISHED, 0, r->published_fen);
	f->companion = r->escort;
	if (!lock_obey(r, slot, &choice))
		return false;
	if (!f->companion)
		transfer_find(r, choice, &x);
	steps_take(r, choice, x.price, !f->companion, &p);
	f->published = money_of_fen(r->published_fen);
	f->paid = money_of_fen(p.paid);
	f->transfer = x.price != NULL;
	group_name(r, choice);
	steps_tell(r, choice, &x, &p);
	fund_all(r, choice, &x, &p);
	f->absorbed = money_of_fen(r->published_fen - p.paid - funded_fen(f));
	refund_find(r, choice);
	if (r->escort)
		escort_remember(r, choice);
	if (f->companion)
		return true;
	accounts_remember(r, choice, x.price != NULL);
	transfer_remember(r, &x, choice, p.leg_fen);
	vehicle_remember(r);
	return true;
}

/* ---- rides with tap-on and tap-off ------------------------------------------------------------------------------ */

static const struct row_open *open_rule(const struct rating *r)
{
	for (uint32_t i = 0; i < r->t->open_count; i++)
		if (cond_miss(r, r->t->open[i].cond, ASK_ALL) == 0)
			return &r->t->open[i];
	return NULL;
}

/* What was held at the tap-on goes against what is owed now. */
static void hold_settle(struct rating *r)
{
	r->fare->moved.fen -= r->before->open_hold_fen;
	if (r->before->open_hold_fen != 0)
		step(r->fare, FARE_STEP_SETTLE, 0, -r->before->open_hold_fen);
}

/* The open ride gets no tap-off any more: what it owes is charged with this tap, its hold goes against it. */
static void unfinished_charge(struct rating *r)
{
	int64_t owed = r->before->open_unfinished_fen;

	if (r->before->open_ms == 0)
		return;
	r->after->open_ms = 0;
	r->fare->unfinished = money_of_fen(owed);
	r->fare->published.fen += owed;
	r->fare->paid.fen += owed;
	r->fare->moved.fen += owed;
	if (owed != 0)
		step(r->fare, FARE_STEP_UNFINISHED, 0, owed);
	hold_settle(r);
	unfinished_remember(r, owed);
}

static int64_t unfinished_fen(struct rating *r, const struct row_open *o, int64_t hold_fen)
{
	struct choice slot[2];
	const struct choice *choice;
	int64_t fen = 0;

	switch ((enum open_unfinished)o->unfinished) {
	case UNFINISHED_NONE: return 0;
	case UNFINISHED_FAR_END: fen = published_find(r, &r->far); break;
	case UNFINISHED_KEEP_HOLD: fen = hold_fen; break;
	case UNFINISHED_FEN: fen = o->unfinished_fen; break;
	}
	if (fen <= 0 || fen > FARE_FEN_MAX)
		return 0;
	r->published_fen = fen;
	choice = concession_choose(r, slot);
	return choice->index != PRICE_NONE && (o->free_with >> choice->index & 1) != 0 ? 0 : fen;
}

static void ride_open(struct rating *r)
{
	const struct row_open *o = open_rule(r);
	int64_t hold = 0;

	if (o != NULL && o->hold == HOLD_MAX)
		hold = r->line->hold_fen;
	else if (o != NULL && o->hold == HOLD_FEN)
		hold = o->hold_fen;
	r->after->open_ms = r->ride->time_ms;
	r->after->open_line = r->line_hash;
	r->after->open_stop = r->ride->stop_on;
	r->after->open_hold_fen = hold;
	r->after->open_unfinished_fen = o != NULL ? unfinished_fen(r, o, hold) : 0;
	r->fare->moved.fen += hold;
	step(r->fare, FARE_STEP_HOLD, o != NULL ? o->rule : 0, hold);
}

/* A tap-off too late for its ride: the ride is charged as unfinished and is over. */
static bool too_late(const struct rating *r)
{
	const struct row_open *o = open_rule(r);

	return o != NULL && o->complete_ms != 0 && r->ride->time_ms - r->before->open_ms > o->complete_ms;
}

static enum fare_reject ride_finish(struct rating *r)
{
	if (r->ride->event == RIDE_ON) {
		if (r->escort)		/* priced by its tap-off; the open ride is the person's */
			return FARE_OK;
		unfinished_charge(r);
		ride_open(r);
		return FARE_OK;
	}
	if (r->closes && too_late(r)) {
		unfinished_charge(r);
		return FARE_OK;
	}
	r->published_fen = published_find(r, &r->ridden);
	if (r->published_fen < 0 || r->published_fen > FARE_FEN_MAX)
		return FARE_NO_PRICE;
	if (!ride_price(r))
		return r->fare->reject;
	r->fare->moved = r->fare->paid;
	if (r->closes) {
		r->after->open_ms = 0;
		hold_settle(r);
	} else if (!r->escort && (r->ride->event == RIDE_SINGLE || r->ride->in_ms != 0)) {	/* a ride of its own */
		unfinished_charge(r);
	}
	return FARE_OK;
}

/* Copied by plain moves. Structs of this size that are cleared where they lie take the processor's own loop, which costs more
 * to start than they do: a sixth of a ride. */
static const struct rating fresh;
static const struct fare no_fare;

void rate(const struct tariff *t, const struct rider *rider, const struct rider_state *state, const struct ride *ride,
	  struct rider_state *ret_state, struct fare *ret_fare, struct rate_notes *notes)
{
	struct rating r = fresh;

	r.t = t, r.rider = rider, r.ride = ride, r.before = state, r.after = ret_state, r.fare = ret_fare, r.notes = notes;
	if (ret_state != state)
		*ret_state = *state;
	*ret_fare = no_fare;
	if (notes != NULL)
		notes->count = 0;
	ret_fare->reject = ride_find(&r);
	if (ret_fare->reject == FARE_OK)
		ret_fare->reject = ride_finish(&r);
	if (ret_fare->reject != FARE_OK) {	/* before anything was remembered */
		*ret_fare = (struct fare){ .reject = ret_fare->reject, .rule = ret_fare->rule, .line = ret_fare->line };
		return;
	}
	assert(ret_fare->published.fen == ret_fare->paid.fen + funded_fen(ret_fare) + ret_fare->absorbed.fen);
	assert(ret_fare->paid.fen >= 0);
}

const char *fare_reject_name(enum fare_reject reject)
{
	switch (reject) {
	case FARE_OK: return "ok";
	case FARE_LINE_UNKNOWN: return "line-unknown";
	case FARE_NO_PRICE: return "no-price";
	case FARE_REPEAT_TAP: return "repeat-tap";
	case FARE_NOT_IN_FORCE: return "not-in-force";
	}
	return "unknown";
}

const char *rule_miss_text(enum rule_miss miss)
{
	switch (miss) {
	case MISS_GROUP: return "不属于该优待人群";
	case MISS_NOT_GROUP: return "属于该规则排除的人群";
	case MISS_AGE: return "年龄不符";
	case MISS_CLASS: return "该类线路不适用";
	case MISS_LINE: return "该线路不适用";
	case MISS_OPERATOR: return "该企业车辆不适用";
	case MISS_MEDIUM: return "该支付介质不适用";
	case MISS_PRODUCT: return "该卡种不适用";
	case MISS_GUEST: return "非本地卡, 不适用";
	case MISS_DATE: return "不在规则有效期内";
	case MISS_UNPUBLISHED: return "计价时规则尚未公布";
	case MISS_SEASON: return "不在适用季节";
	case MISS_HOURS: return "限制时段内";
	case MISS_FARE: return "票面价不在适用范围";
	case MISS_CHECK_LAPSED: return "年审已过期";
	case MISS_QUOTA: return "次数已用完";
	case MISS_WINDOW: return "超出换乘时限";
	case MISS_GAP: return "距上次刷卡太近";
	case MISS_SAME_LINE: return "同一线路不算换乘";
	case MISS_SAME_VEHICLE: return "同一车辆不算换乘";
	case MISS_PAIR: return "该换乘方式不适用";
	case MISS_USES: return "换乘次数已用完";
	case MISS_OUTRANKED: return "另有更优先或更优惠的规则";
	case MISS_FIRST_RIDE: return "无前一程";
	case MISS_NOT_FOR: return "已享受的优待不叠加";
	case MISS_FALLBACK: return "仅在其他规则指定时使用";
	case MISS_ESCORT: return "陪护卡: 被陪护人未在本车刚刷过卡, 或该卡不在有效期内";
	}
	return "";
}
