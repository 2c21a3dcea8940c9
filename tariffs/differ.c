/*
 * differ - why a terminal charged another amount than the rules give. What a terminal may not have known is taken away
 * piece by piece and the ride rated again by the same rate(): the alternative that gives exactly the charged amount is
 * the reason, the first in a fixed order. So the reason is a calculation, the same on any machine and any day.
 */
#include "tariffs/blob.h"

#include <assert.h>
#include <string.h>

static const struct difference_info infos[DIFFERENCE_COUNT] = {
	[DIFFER_NONE] = { "given-back", "一致", "the rules give the charged amount to the fen" },
	[DIFFER_MANUAL] = { "manual", "司机录入的金额", "a person entered the amount" },
	[DIFFER_OLD_PARAMETERS] = { "old-parameters", "终端参数为旧版本", "the terminal had another version of the parameters" },
	[DIFFER_GUEST] = { "guest", "异地卡类别不同", "another city's card taken for another class of guests" },
	[DIFFER_ROUNDING] = { "rounding", "取整方式不同", "rounded another way" },
	[DIFFER_UNKNOWN_HOLD] = { "unknown-hold", "终端不知持卡人权益", "an entitlement the terminal did not know" },
	[DIFFER_TRANSFER_UNMARKED] = { "transfer-unmarked", "实收含换乘优惠, 但前一程不在记录中",
				       "charged with the transfer reduction, but without its mark and without an earlier ride" },
	[DIFFER_TRANSFER_NOT_GIVEN] = { "transfer-not-given", "有前一程, 但终端未给换乘优惠", "an earlier ride is there, the terminal gave no reduction" },
	[DIFFER_UNDISCOUNTED] = { "undiscounted", "按标价全额扣款 (商务车厢等无优惠)", "charged at list price, as first class is" },
	[DIFFER_AS_ORDINARY] = { "as-ordinary", "按普通卡扣款, 未按该卡系列的优惠", "charged as an ordinary card, not by its series" },
	[DIFFER_REJECTED] = { "rejected", "规则拒绝此笔", "the rules refuse the ride" },
	[DIFFER_OTHER] = { "other", "其他", "no rule explains the amount" },
	[DIFFER_HOLD_BACK] = { "hold-back", "上车预扣多于票款", "more was held at the tap-on than the ride costs" },
	[DIFFER_LATE_TAP] = { "late-tap", "迟到记录", "a tap that came late" },
	[DIFFER_RERATE] = { "rerate", "追溯调价", "rules changed back in time" },
	[DIFFER_LATE_HOLD] = { "late-hold", "迟到权益", "an entitlement learned of after the ride" },
};

const struct difference_info *difference_info(enum difference_reason reason)
{
	assert((unsigned)reason < DIFFERENCE_COUNT);
	return &infos[reason];
}

/* What a terminal that knows this much takes; -1: it lets nobody ride. */
static int64_t taken(const struct difference_ask *a, const struct tariff *t, const struct rider *rider, const struct rider_state *state,
		     const struct ride *ride)
{
	struct rider_state after;
	struct fare fare;

	rate(t, rider, state, ride, &after, &fare, NULL);
	if (fare.reject != FARE_OK)
		return -1;
	return a->whole ? fare.paid.fen : fare.moved.fen > 0 ? fare.moved.fen : 0;
}

static bool gives(const struct difference_ask *a, const struct tariff *t, const struct rider *rider, const struct rider_state *state,
		  const struct ride *ride)
{
	return taken(a, t, rider, state, ride) == a->charged_fen;
}

static bool by_old_parameters(const struct difference_ask *a)
{
	struct ride ride = *a->ride;

	if (a->terminal == NULL)
		return false;
	ride.guest = tariff_guest_of(a->terminal, ride.issuer);
	return gives(a, a->terminal, a->rider, a->state, &ride);
}

/* A city's own cards are known by their issuer; only guests can be taken for others. */
static bool by_guest(const struct difference_ask *a)
{
	struct ride ride = *a->ride;

	for (int g = GUEST_LOCAL; a->ride->guest != GUEST_LOCAL && g <= GUEST_OTHER; g++) {
		ride.guest = (enum guest_class)g;
		if (ride.guest != a->ride->guest && gives(a, a->t, a->rider, a->state, &ride))
			return true;
	}
	return false;
}

/* The pack with another rounding: its head and its concessions, which may round by themselves, are copied. */
#define CONCESSIONS_MAX 64
struct rounded { struct tariff t; struct blob_head head; struct row_concession concession[CONCESSIONS_MAX]; };

static void rounded_make(const struct tariff *t, enum money_round mode, uint32_t unit_fen, struct rounded *ret)
{
	ret->t = *t;
	ret->head = *t->head;
	ret->head.round_mode = (uint8_t)mode;
	ret->head.round_unit_fen = unit_fen;
	ret->t.head = &ret->head;
	assert(t->concession_count <= CONCESSIONS_MAX);
	memcpy(ret->concession, t->concession, t->concession_count * sizeof(ret->concession[0]));
	for (uint32_t i = 0; i < t->concession_count; i++)
		if (ret->concession[i].price.round_mode != ROUND_OF_PACK)
			ret->concession[i].price.round_mode = (uint8_t)mode;
	ret->t.concession = ret->concession;
}

static bool by_rounding(const struct difference_ask *a, int64_t rated_fen, uint8_t *ret_mode)
{
	uint32_t units[2] = { a->t->head->round_unit_fen, 1 };
	int64_t apart = a->charged_fen > rated_fen ? a->charged_fen - rated_fen : rated_fen - a->charged_fen, unit = units[0];
	struct rounded r;

	for (uint32_t i = 0; i < a->t->concession_count; i++)
		if (a->t->concession[i].price.round_mode != ROUND_OF_PACK && a->t->concession[i].price.round_unit_fen > unit)
			unit = a->t->concession[i].price.round_unit_fen;
	if (apart > 2 * unit)		/* two roundings at most differ by a unit each */
		return false;
	for (size_t u = 0; u < (units[0] == 1 ? 1 : 2); u++)
		for (int mode = ROUND_HALF_UP; mode <= ROUND_CEIL; mode++) {
			rounded_make(a->t, (enum money_round)mode, units[u], &r);
			*ret_mode = (uint8_t)mode;
			if (gives(a, &r.t, a->rider, a->state, a->ride))
				return true;
		}
	return false;
}

/* An escort's card taken for anybody's: nothing of the person it is tied to is known of it. */
static bool by_unknown_escort(const struct difference_ask *a, struct rider nobody)
{
	static const struct rider_state none;

	nobody.escort = false;
	return gives(a, a->t, &nobody, &none, a->ride);
}

/* One hold is missing, or all of them, or age and home as well. */
static bool by_unknown_hold(const struct difference_ask *a, uint16_t *ret_group)
{
	struct rider less = *a->rider;

	for (uint8_t i = 0; i < a->rider->hold_count; i++) {
		less.hold_count = 0;
		for (uint8_t k = 0; k < a->rider->hold_count; k++)
			if (k != i)
				less.hold[less.hold_count++] = a->rider->hold[k];
		*ret_group = a->rider->hold[i].group;
		if (gives(a, a->t, &less, a->state, a->ride))
			return true;
	}
	*ret_group = 0;
	less.hold_count = 0;
	if (a->rider->hold_count > 1 && gives(a, a->t, &less, a->state, a->ride))
		return true;
	less.birth = DAY_NONE;
	less.home = 0;
	if ((a->rider->birth != DAY_NONE || a->rider->home != 0) && gives(a, a->t, &less, a->state, a->ride))
		return true;
	return a->rider->escort && by_unknown_escort(a, less);
}

/* Without a window to change in; then without anything of the past but a ride that waits for its tap-off. */
static bool by_first_ride(const struct difference_ask *a)
{
	const struct rider_state *s = a->state;
	struct rider_state first = *s, none = { .open_ms = s->open_ms, .open_line = s->open_line, .open_stop = s->open_stop,
						.open_hold_fen = s->open_hold_fen, .open_unfinished_fen = s->open_unfinished_fen };

	if (s->window_rule == 0)
		return false;
	first.window_rule = first.window_uses = 0;
	first.window_ms = 0;
	return gives(a, a->t, a->rider, &first, a->ride) || gives(a, a->t, a->rider, &none, a->ride);
}

static bool by_ordinary(const struct difference_ask *a)
{
	struct ride ordinary = *a->ride;

	if (ordinary.product[0] == '\0' && ordinary.card_class <= 1)
		return false;
	ordinary.product[0] = '\0';
	ordinary.card_class = 1;
	return gives(a, a->t, a->rider, a->state, &ordinary) ||
	       (a->assumed != NULL && gives(a, a->t, a->rider, a->assumed, &ordinary));
}

static enum difference_reason reason_of(const struct difference_ask *a, const struct fare *fare, int64_t rated_fen, struct difference *d)
{
	if (!a->whole && a->charged_fen == 0 && fare->moved.fen < 0)
		return DIFFER_HOLD_BACK;
	if (a->ride->medium == MEDIUM_MANUAL)
		return DIFFER_MANUAL;
	d->proven = by_old_parameters(a);
	if (d->proven)
		return DIFFER_OLD_PARAMETERS;
	if (by_guest(a))
		return DIFFER_GUEST;
	if (by_rounding(a, rated_fen, &d->round_mode))
		return DIFFER_ROUNDING;
	if (by_unknown_hold(a, &d->group))
		return DIFFER_UNKNOWN_HOLD;
	if (a->assumed != NULL && gives(a, a->t, a->rider, a->assumed, a->ride))
		return DIFFER_TRANSFER_UNMARKED;
	if (by_first_ride(a))
		return DIFFER_TRANSFER_NOT_GIVEN;
	if (a->charged_fen == (a->ride->list.fen > 0 ? a->ride->list.fen : fare->published.fen))
		return DIFFER_UNDISCOUNTED;
	if (by_ordinary(a))
		return DIFFER_AS_ORDINARY;
	return a->terminal_unknown ? DIFFER_OLD_PARAMETERS : DIFFER_OTHER;
}

struct difference tariff_differ(const struct difference_ask *ask)
{
	struct difference d = { .reason = DIFFER_NONE };
	struct rider_state after;
	struct fare fare;
	int64_t rated;

	rate(ask->t, ask->rider, ask->state, ask->ride, &after, &fare, NULL);
	rated = ask->whole ? fare.paid.fen : fare.moved.fen;
	if (fare.reject != FARE_OK)
		d.reason = DIFFER_REJECTED;
	else if (rated != ask->charged_fen)
		d.reason = reason_of(ask, &fare, rated, &d);
	return d;
}

struct tariff_policy tariff_policy(const struct tariff *t, enum difference_reason reason)
{
	struct tariff_late late = tariff_late(t);
	bool anew = reason >= DIFFER_LATE_TAP;
	struct tariff_policy rest = { .absorb = anew && late.absorb, .refund_from_fen = anew ? late.refund_from_fen : 0 };

	for (uint32_t i = 0; i < t->difference_count; i++) {
		const struct row_difference *row = &t->difference[i];
		struct tariff_policy p = { .absorb = row->absorb, .refund_from_fen = row->refund_from_fen, .rule = row->rule };

		if ((row->reasons >> reason & 1) != 0)
			return p;
		if (row->reasons == 0 && !anew)
			rest = p;
	}
	return rest;
}
