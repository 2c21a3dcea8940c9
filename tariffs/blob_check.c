/*
 * blob_check - is every index, offset and range of a compiled pack within its tables? rate() indexes without
 * looking again, so whatever passes here must be safe for every ride.
 */
#include "tariffs/blob.h"

#include <string.h>

#define FEN_MAX 1000000

static bool text_ok(const struct tariff *t, uint32_t offset) { return offset < t->text_bytes; }
static bool range_ok(uint32_t first, uint32_t count, uint32_t all) { return first <= all && count <= all - first; }
static bool fen_ok(int64_t fen) { return fen >= 0 && fen <= FEN_MAX; }
static bool rule_ok(const struct tariff *t, uint16_t rule) { return rule < t->rule_count; }
static bool round_ok(uint8_t mode, uint32_t unit) { return mode == ROUND_OF_PACK || (mode <= ROUND_CEIL && unit >= 1 && unit <= 1000); }

static bool text_list_ok(const struct tariff *t, uint32_t first, uint32_t count)
{
	if (!range_ok(first, count, t->list_count))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!text_ok(t, t->list[first + i]))
			return false;
	return true;
}

static bool names_ok(const struct tariff *t)
{
	for (uint32_t i = 0; i < t->rule_count; i++)
		if (!text_ok(t, t->rule[i].id) || !text_ok(t, t->rule[i].title) || !text_ok(t, t->rule[i].basis) ||
		    !text_ok(t, t->rule[i].kind) || !text_ok(t, t->rule[i].file))
			return false;
	for (uint32_t i = 0; i < t->op_count; i++)
		if (!text_ok(t, t->op[i].code) || !text_ok(t, t->op[i].title))
			return false;
	for (uint32_t i = 0; i < t->treasury_count; i++)
		if (!text_ok(t, t->treasury[i].name) || !text_ok(t, t->treasury[i].title))
			return false;
	for (uint32_t i = 0; i < t->class_count; i++)
		if (!text_ok(t, t->class[i].name) || !text_ok(t, t->class[i].title))
			return false;
	return t->rule_count > 0 && text_ok(t, t->head->name) && text_ok(t, t->head->title);
}

static bool lines_ok(const struct tariff *t)
{
	uint32_t size = t->line_hash_count;

	if (size == 0 || (size & (size - 1)) != 0 || size <= t->line_count || t->class_count > 64)
		return false;
	for (uint32_t i = 0; i < size; i++)
		if (t->line_hash[i] > t->line_count)
			return false;
	for (uint32_t i = 0; i < t->line_count; i++) {
		const struct row_line *l = &t->line[i];

		if (l->county_treasury > t->treasury_count || !text_ok(t, l->name) || !text_ok(t, l->title) || !text_ok(t, l->county))
			return false;
		if (l->class_index >= t->class_count || l->mode >= MODE_COUNT_ || l->fare_kind > FARE_CLASS || !fen_ok(l->fare_fen) ||
		    !fen_ok(l->own_fen) || !fen_ok(l->hold_fen) || !range_ok(l->section, l->section_count, t->section_count) ||
		    !range_ok(l->stop, l->stop_count, t->stop_count))
			return false;
	}
	for (uint32_t i = 0; i < t->section_count; i++)
		if (!fen_ok(t->section[i].fen))
			return false;
	return true;
}

static bool then_ok(const struct tariff *t, int16_t then) { return then >= THEN_PUBLISHED && (then < 0 || (uint32_t)then < t->concession_count); }

static bool groups_ok(const struct tariff *t)
{
	if (t->group_count > 64 || t->season_count > 32)
		return false;
	for (uint32_t i = 0; i < t->group_count; i++) {
		const struct row_group *g = &t->group[i];

		if (!text_ok(t, g->name) || !text_ok(t, g->title) || !text_list_ok(t, g->product, g->product_count) || g->ends > END_DATE ||
		    g->ends_mmdd % 100 > 31 || g->ends_mmdd / 100 > 12 || g->age_from > 150 || g->age_to > 150 || !then_ok(t, g->lapsed))
			return false;
		if (t->concession_count < 64 && g->concessions >> t->concession_count != 0)
			return false;
	}
	for (uint32_t i = 0; i < t->season_count; i++)
		if (!text_ok(t, t->season[i].name) || !range_ok(t->season[i].range, t->season[i].range_count, t->list_count))
			return false;
	return true;
}

static bool conds_ok(const struct tariff *t)
{
	for (uint32_t i = 0; i < t->cond_count; i++) {
		const struct row_cond *c = &t->cond[i];

		if (!text_list_ok(t, c->line, c->line_count) || !text_list_ok(t, c->not_line, c->not_line_count) ||
		    !text_list_ok(t, c->product, c->product_count) || !range_ok(c->op, c->op_count, t->list_count) ||
		    !range_ok(c->not_op, c->not_op_count, t->list_count) || c->slots.count > SLOTS_MAX || c->slots.days > DAYS_SCHOOL)
			return false;
	}
	return true;
}

static bool cells_ok(const struct tariff *t)
{
	uint64_t all = t->concession_count >= 64 ? ~0ULL : (1ULL << t->concession_count) - 1;

	if (t->concession_count > 64 || t->cell_count != cell_at(t->class_count, 0, 0) || (t->head->everyone & ~all) != 0)
		return false;
	for (uint32_t i = 0; i < t->cell_count; i++)
		if ((t->cell[i] & ~all) != 0)
			return false;
	return true;
}

static bool price_ok(const struct tariff *t, const struct row_price *p)
{
	return p->kind < PRICE_COUNT_ && fen_ok(p->num) && range_ok(p->band, p->band_count, t->band_count) && round_ok(p->round_mode, p->round_unit_fen);
}

static bool fares_ok(const struct tariff *t)
{
	for (uint32_t i = 0; i < t->fare_count; i++) {
		const struct row_fare *f = &t->fare[i];

		if (!rule_ok(t, f->rule) || f->cond >= t->cond_count || f->by > BY_ZONES || !fen_ok(f->flat_fen) ||
		    !round_ok(f->round_mode, f->round_unit_fen) || !range_ok(f->step, f->step_count, t->fare_step_count) || f->step_count > 64)
			return false;
		for (uint32_t k = 0; k < f->step_count; k++) {
			const struct row_fare_step *s = &t->fare_step[f->step + k];

			if (!fen_ok(s->fen) || (k > 0 && s[-1].upto >= s->upto))
				return false;
		}
	}
	return true;
}

static bool concessions_ok(const struct tariff *t)
{
	for (uint32_t i = 0; i < t->concession_count; i++) {
		const struct row_concession *c = &t->concession[i];

		if (!rule_ok(t, c->rule) || c->fund >= t->fund_count || c->cond >= t->cond_count || c->quota > t->quota_count || c->also[0] > t->quota_count ||
		    c->also[1] > t->quota_count || (c->quota == 0 && (c->also[0] != 0 || c->also[1] != 0)) || !price_ok(t, &c->price) ||
		    !then_ok(t, c->shut_then) || !then_ok(t, c->quota_then) || c->shut.count > SLOTS_MAX || c->shut.days > DAYS_SCHOOL)
			return false;
	}
	for (uint32_t i = 0; i < t->band_count; i++)
		if (t->band[i].upto_fen <= 0 || t->band[i].rate < 0 || t->band[i].rate > 10000)
			return false;
	for (uint32_t i = 0; i < t->head->card_price_count; i++)
		if (!range_ok(t->head->card_price, t->head->card_price_count, t->list_count) || t->list[t->head->card_price + i] >= t->concession_count)
			return false;
	return true;
}

static bool period_ok(const struct row_period *p) { return p->period < PERIOD_COUNT_ && p->length <= (p->period == PERIOD_DAY ? 86400 : 100000); }

static bool transfers_ok(const struct tariff *t)
{
	for (uint32_t i = 0; i < t->transfer_count; i++) {
		const struct row_transfer *x = &t->transfer[i];

		if (!rule_ok(t, x->rule) || x->fund >= t->fund_count || x->cond >= t->cond_count || x->hour_count > SLOTS_MAX ||
		    x->too_soon > ACTION_CLOSE || x->miss > ACTION_CLOSE || x->used_up > ACTION_CLOSE || x->same_line > SAME_AFTER ||
		    !range_ok(x->price, x->price_count, t->transfer_price_count))
			return false;
	}
	for (uint32_t i = 0; i < t->transfer_price_count; i++) {
		const struct row_transfer_price *p = &t->transfer_price[i];

		if (p->cond >= t->cond_count || p->effect > EFFECT_DEAREST || !fen_ok(p->minus_fen) || !price_ok(t, &p->price))
			return false;
	}
	return true;
}

static bool accounts_ok(const struct tariff *t)
{
	for (uint32_t i = 0; i < t->quota_count; i++)
		if (!rule_ok(t, t->quota[i].rule) || !period_ok(&t->quota[i].per) || !fen_ok(t->quota[i].unit_fen))
			return false;
	for (uint32_t i = 0; i < t->ladder_count; i++) {
		const struct row_ladder *l = &t->ladder[i];

		if (!rule_ok(t, l->rule) || l->cond >= t->cond_count || l->fund >= t->fund_count || !period_ok(&l->per) || l->count > COUNT_PUBLISHED ||
		    l->step_count == 0 || !range_ok(l->step, l->step_count, t->ladder_step_count))
			return false;
	}
	for (uint32_t i = 0; i < t->ladder_step_count; i++)
		if (t->ladder_step[i].rate < 0 || t->ladder_step[i].rate > 10000 || t->ladder_step[i].from < 0 || t->ladder_step[i].from > 1000000000)
			return false;
	for (uint32_t i = 0; i < t->cap_count; i++) {
		const struct row_cap *c = &t->cap[i];

		if (!rule_ok(t, c->rule) || c->cond >= t->cond_count || c->fund >= t->fund_count || !period_ok(&c->per) || c->limit_count == 0 ||
		    !range_ok(c->limit, c->limit_count, t->cap_limit_count))
			return false;
	}
	for (uint32_t i = 0; i < t->cap_limit_count; i++)
		if (t->cap_limit[i].fen < 0 || t->cap_limit[i].fen > 1000000000)
			return false;
	return true;
}

static bool others_ok(const struct tariff *t)
{
	for (uint32_t i = 0; i < t->refund_count; i++)
		if (!rule_ok(t, t->refund[i].rule) || t->refund[i].cond >= t->cond_count || t->refund[i].fund >= t->fund_count || t->refund[i].rate < 0 ||
		    t->refund[i].rate > 10000)
			return false;
	for (uint32_t i = 0; i < t->lock_count; i++)
		if (!rule_ok(t, t->lock[i].rule) || t->lock[i].then > LOCK_PASSENGER)
			return false;
	for (uint32_t i = 0; i < t->open_count; i++) {
		const struct row_open *o = &t->open[i];

		if (!rule_ok(t, o->rule) || o->cond >= t->cond_count || o->hold > HOLD_FEN || o->unfinished > UNFINISHED_FEN || !fen_ok(o->hold_fen) ||
		    !fen_ok(o->unfinished_fen))
			return false;
	}
	return true;
}

static bool fund_ok(const struct tariff *t, const struct row_fund *f)
{
	uint64_t weight = f->operator_weight;

	if (!rule_ok(t, f->rule) || f->gap >= GAP_COUNT_ || f->share_count > FARE_FUNDERS_MAX || !fen_ok(f->unit_fen) || f->unit_count > 32 ||
	    !range_ok(f->unit, f->unit_count * 2, t->list_count))
		return false;
	for (uint32_t i = 0; i < f->unit_count; i++)
		if (t->list[f->unit + 2 * i] >= 32 || !fen_ok(t->list[f->unit + 2 * i + 1]))
			return false;
	for (uint32_t k = 0; k < f->share_count; k++) {
		bool county = f->treasury[k] == TREASURY_OF_COUNTY && t->treasury_count > 0;

		if ((!county && (f->treasury[k] < 1 || f->treasury[k] > t->treasury_count)) || f->weight[k] > 10000)
			return false;
		weight += f->weight[k];
	}
	return f->gap == GAP_NONE || f->gap == GAP_LUMP || (weight > 0 && f->share_count > 0 && weight <= 100000);
}


static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Every step of a fare may be funded by another rule: together they must not name more treasuries than fit. */
static bool funders_fit(const struct tariff *t)
{
	size_t concession = 0, transfer = 0, ladder = 0, cap = 0, distinct = 0;
	uint16_t seen[FARE_FUNDERS_MAX];

	for (uint32_t i = 0; i < t->concession_count; i++)
		concession = larger(concession, t->fund[t->concession[i].fund].share_count);
	for (uint32_t i = 0; i < t->transfer_count; i++)
		transfer = larger(transfer, t->fund[t->transfer[i].fund].share_count);
	for (uint32_t i = 0; i < t->ladder_count; i++)
		ladder = larger(ladder, t->fund[t->ladder[i].fund].share_count);
	for (uint32_t i = 0; i < t->cap_count; i++)
		cap = larger(cap, t->fund[t->cap[i].fund].share_count);
	if (concession + transfer + ladder + cap <= FARE_FUNDERS_MAX)
		return true;
	for (uint32_t i = 0; i < t->fund_count; i++)
		for (uint32_t k = 0; k < t->fund[i].share_count; k++) {
			size_t m = 0;

			while (m < distinct && seen[m] != t->fund[i].treasury[k])
				m++;
			if (m == FARE_FUNDERS_MAX)
				return false;
			if (m == distinct)
				seen[distinct++] = t->fund[i].treasury[k];
		}
	return true;
}

static bool funds_ok(const struct tariff *t)
{
	for (uint32_t i = 0; i < t->fund_count; i++)
		if (!fund_ok(t, &t->fund[i]))
			return false;
	return funders_fit(t);
}

static bool head_ok(const struct blob_head *h)
{
	for (size_t i = 0; i < ORDER_MAX; i++)
		if (h->order[i] > ORDER_ROUND)
			return false;
	return h->round_mode <= ROUND_CEIL && h->round_unit_fen >= 1 && h->round_unit_fen <= 1000 && h->guest_default <= GUEST_OTHER &&
	       h->fare_day_cut_s < 86400;
}

static bool differences_ok(const struct tariff *t)
{
	for (uint32_t i = 0; i < t->difference_count; i++)
		if (!rule_ok(t, t->difference[i].rule) || t->difference[i].reasons >> DIFFERENCE_COUNT != 0 || !fen_ok(t->difference[i].refund_from_fen))
			return false;
	return true;
}

bool blob_check(const struct tariff *t)
{
	return head_ok(t->head) && names_ok(t) && lines_ok(t) && groups_ok(t) && conds_ok(t) && cells_ok(t) && fares_ok(t) && concessions_ok(t) &&
	       transfers_ok(t) && accounts_ok(t) && others_ok(t) && funds_ok(t) && differences_ok(t);
}
