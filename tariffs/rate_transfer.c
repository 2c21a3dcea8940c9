/*
 * rate_transfer - is this ride a transfer, at what price, and what does it leave of the window.
 *
 * A rider has one window, of one scheme: the ride its limit counts from, the ride before, how many transfers were
 * given. A scheme is the first whose conditions hold for the ride; rides outside of every scheme leave the window
 * alone. Everything is recomputed from the rider's own rides, never taken from a mark on the record.
 */
#include "tariffs/rate.h"

static bool concession_listed(uint64_t mask, bool published, int index)
{
	return index == PRICE_NONE ? published : (mask >> index & 1) != 0;
}

static uint32_t window_of(const struct row_transfer *x, int64_t start_ms)
{
	struct civil c = { 0 };
	uint16_t minute;

	if (x->hour_count > 0)
		c = civil_of_ms(start_ms);
	minute = (uint16_t)(c.hour * 60 + c.minute);

	for (uint8_t i = 0; i < x->hour_count; i++) {
		bool over_midnight = x->hour_from[i] > x->hour_to[i], after = minute >= x->hour_from[i], early = minute < x->hour_to[i];

		if (over_midnight ? after || early : after && early)
			return x->hour_minutes[i] * 60000u;
	}
	return x->window_ms;
}

static inline bool window_open(const struct rating *r, const struct row_transfer *x)
{
	const struct rider_state *s = r->before;
	uint32_t window_ms;
	int64_t gap;

	if (s->window_rule != x->scheme || s->window_ms == 0)
		return false;
	gap = r->clock_ms - s->window_ms;
	window_ms = window_of(x, s->window_ms);
	return gap >= 0 && (window_ms == WINDOW_NONE || gap < window_ms || (gap == window_ms && x->included));
}

bool transfer_window_open(const struct rating *r)
{
	for (uint32_t i = 0; i < r->t->transfer_count; i++)
		if (window_open(r, &r->t->transfer[i]))
			return true;
	return false;
}

static bool price_fits(const struct rating *r, const struct row_transfer *x, const struct row_transfer_price *p, int index)
{
	const struct rider_state *s = r->before;
	int64_t gap = r->clock_ms - s->window_ms;

	if (p->within_ms != 0 && (gap > p->within_ms || (gap == p->within_ms && !x->included)))
		return false;
	if ((p->pairs >> (s->prev_mode % MODE_COUNT_ * MODE_COUNT_ + r->line->mode) & 1) == 0)
		return false;
	if (p->use_mask != 0 && (p->use_mask >> (s->window_uses < 31 ? s->window_uses : 31) & 1) == 0)
		return false;
	if (!p->with_any && !concession_listed(p->with, p->with_published, index))
		return false;
	return (!p->inside || r->ride->inside) && cond_miss(r, p->cond, ASK_ALL) == 0;
}

static const struct row_transfer_price *price_find(const struct rating *r, const struct row_transfer *x, int index)
{
	for (uint32_t i = 0; i < x->price_count; i++)
		if (price_fits(r, x, &r->t->transfer_price[x->price + i], index))
			return &r->t->transfer_price[x->price + i];
	return NULL;
}

const struct row_transfer_price *transfer_price_for(const struct rating *r, const struct transfer *x, int index)
{
	return x->price == NULL ? NULL : price_find(r, x->scheme, index);
}

static bool same_vehicle(const struct rating *r)
{
	return r->vehicle_hash != 0 && (r->vehicle_hash == r->before->prev_vehicle || r->vehicle_hash == r->before->window_vehicle);
}

static bool same_line(const struct rating *r, const struct row_transfer *x)
{
	if (x->same_line == SAME_YES || r->before->prev_line != r->line_hash)
		return false;
	return x->same_line == SAME_NO || r->clock_ms - r->before->window_ms < x->same_line_ms;
}

/* Inside an open window: a transfer with its price, or what the ride does instead. */
static enum rule_miss inside_window(struct rating *r, const struct row_transfer *x, const struct choice *choice, struct transfer *ret)
{
	ret->action = (enum transfer_action)x->too_soon;
	if (r->clock_ms - r->before->window_ms < x->gap_ms)
		return MISS_GAP;
	ret->action = (enum transfer_action)x->used_up;
	if (x->uses != 0 && r->before->window_uses >= x->uses)
		return MISS_USES;
	ret->action = (enum transfer_action)x->miss;
	if (same_line(r, x))
		return MISS_SAME_LINE;
	if (!x->same_vehicle && same_vehicle(r))
		return MISS_SAME_VEHICLE;
	if (x->both_taps && (r->before->prev_flags & RIDER_PREV_COMPLETE) == 0)
		return MISS_FIRST_RIDE;
	ret->price = price_find(r, x, choice->index);
	return ret->price != NULL ? 0 : MISS_PAIR;
}

void transfer_find(struct rating *r, const struct choice *choice, struct transfer *ret)
{
	*ret = (struct transfer){ 0 };
	for (uint32_t i = 0; i < r->t->transfer_count; i++) {
		const struct row_transfer *x = &r->t->transfer[i];
		enum rule_miss miss = cond_miss(r, x->cond, ASK_ALL);

		if (miss == 0 && concession_listed(x->not_with, x->not_with_published, choice->index))
			miss = MISS_NOT_FOR;
		if (miss != 0) {
			note(r, x->rule, miss);
			continue;
		}
		ret->scheme = x;
		if (window_open(r, x))
			miss = inside_window(r, x, choice, ret);
		else
			miss = r->before->window_ms == 0 ? MISS_FIRST_RIDE : MISS_WINDOW;
		if (miss != 0)
			note(r, x->rule, miss);
		return;
	}
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static struct exact minus(const struct rating *r, const struct row_transfer_price *p, struct exact now)
{
	int64_t fen = p->minus_fen;

	if (p->least_previous)
		fen = least(fen, r->before->prev_published_fen);
	if (p->least_own)
		fen = least(fen, r->published_fen);
	return now.num > fen * now.den ? (struct exact){ now.num - fen * now.den, now.den } : exact_of_fen(0);
}

struct exact transfer_apply(const struct rating *r, const struct row_transfer_price *p, struct exact now)
{
	struct exact published = exact_of_fen(r->published_fen);

	switch ((enum transfer_effect)p->effect) {
	case EFFECT_PRICE: return price_on(r, &p->price, 0, published);
	case EFFECT_DEAREST:
		if (now.num <= r->before->window_dearest_fen * now.den)
			return exact_of_fen(0);
		return (struct exact){ now.num - r->before->window_dearest_fen * now.den, now.den };
	case EFFECT_MINUS: break;
	}
	return minus(r, p, p->instead ? published : now);
}

static void window_start(struct rating *r, const struct row_transfer *x, int64_t leg_fen)
{
	struct rider_state *s = r->after;
	bool at_end = (x->end_modes >> r->line->mode & 1) != 0;

	s->window_rule = x->scheme;
	s->window_uses = 0;
	s->window_ms = at_end ? r->end_ms : r->clock_ms;
	s->window_vehicle = r->vehicle_hash;
	s->window_dearest_fen = leg_fen;
}

static void previous_set(struct rating *r)
{
	struct rider_state *s = r->after;

	s->prev_line = r->line_hash;
	s->prev_vehicle = r->vehicle_hash;
	s->prev_mode = r->line->mode;
	s->prev_flags = r->complete ? RIDER_PREV_COMPLETE : 0;
	s->prev_published_fen = r->published_fen;
}

static bool may_start(const struct rating *r, const struct row_transfer *x, const struct choice *choice)
{
	if (x->starts_paid && r->fare->paid.fen - r->fare->unfinished.fen <= 0)
		return false;
	return concession_listed(x->starts, x->starts_published, choice->index);
}

/* leg_fen: price of the ride before this step, for "up to the dearest". */
void transfer_remember(struct rating *r, const struct transfer *x, const struct choice *choice, int64_t leg_fen)
{
	struct rider_state *s = r->after;

	if (x->scheme == NULL)
		return;
	if (x->price == NULL) {
		if (x->action == ACTION_CLOSE)
			s->window_ms = 0;
		if (x->action == ACTION_RESTART && may_start(r, x->scheme, choice)) {
			window_start(r, x->scheme, leg_fen);
			previous_set(r);
		}
		return;
	}
	if (!x->scheme->of_first || (x->price->moves_window && leg_fen > s->window_dearest_fen)) {
		uint16_t uses = s->window_uses;
		int64_t dearest = s->window_dearest_fen;

		window_start(r, x->scheme, leg_fen > dearest ? leg_fen : dearest);
		s->window_uses = uses;
	} else if (leg_fen > s->window_dearest_fen) {
		s->window_dearest_fen = leg_fen;
	}
	if (s->window_uses < UINT16_MAX)
		s->window_uses++;
	previous_set(r);
}
