/*
 * rate - the fare of one ride: published fare, candidates, one concession, transfer, round, split.
 *
 * Pure and bounded: it reads the opened pack and its arguments and writes its results. The same code runs in
 * the validator, the ingest, the clear and the tests, so they cannot disagree. What a rule needs of the past is
 * in the rider's state; what it decided, and on request why others did not apply, is in the result.
 */
#include "tariffs/blob.h"

#include <assert.h>
#include <string.h>

struct rating {
	const struct tariff *t;
	const struct rider *rider;
	const struct ride *ride;
	const struct rider_state *before;
	struct rider_state *after;
	struct fare *fare;
	struct rate_notes *notes;
	const struct row_line *line;
	int64_t clock_ms;		/* the event that hours and windows look at: entry for tap-off rides */
	int32_t day;
	uint8_t day_kind;
	uint16_t minute;
	uint32_t line_hash, vehicle_hash, operator_id;
	uint64_t groups;		/* groups the rider is in on this day */
	uint64_t lapsed;		/* groups whose yearly check has lapsed */
};

static void note(struct rating *r, uint16_t rule, enum rule_miss miss)
{
	if (r->notes != NULL && r->notes->count < sizeof(r->notes->note) / sizeof(r->notes->note[0])) {
		r->notes->note[r->notes->count].rule = rule;
		r->notes->note[r->notes->count].miss = miss;
		r->notes->count++;
	}
}

static void step(struct fare *f, enum fare_step_kind kind, uint16_t rule, int64_t delta_fen)
{
	assert(f->step_count < FARE_STEPS_MAX);
	f->step[f->step_count++] = (struct fare_step){ .kind = (uint8_t)kind, .rule = rule, .delta_fen = (int32_t)delta_fen };
}

/* ---- who the rider is ---------------------------------------------------------------------------- */

/* Whole years on a day; the birthday itself counts, 29 February falls on 1 March in common years. */
static int age_on(int32_t birth, int32_t day)
{
	struct civil b = civil_of_ms((int64_t)birth * 86400000 - CIVIL_OFFSET_MS), d = civil_of_ms((int64_t)day * 86400000 - CIVIL_OFFSET_MS);
	int years = d.year - b.year;

	return years - (d.month < b.month || (d.month == b.month && d.day < b.day));
}

static bool group_by_hold(const struct rating *r, const struct row_group *g, bool *ret_lapsed)
{
	for (uint8_t i = 0; i < r->rider->hold_count && i < RIDER_HOLDS_MAX; i++) {
		const struct hold *h = &r->rider->hold[i];

		if (h->group != g->code || r->day < h->from || r->day > h->to || (g->grade_max != 0 && (h->grade == 0 || h->grade > g->grade_max)))
			continue;
		if (g->checked && r->day > h->verified_to) {
			*ret_lapsed = true;
			continue;
		}
		return true;
	}
	return false;
}

static bool region_within(uint32_t region, uint32_t prefix)
{
	while (region > prefix)
		region /= 100;
	return region == prefix;
}

static bool group_by_age(const struct rating *r, const struct row_group *g)
{
	int age;

	if ((g->age_from < 0 && g->age_to < 0) || r->rider->birth == DAY_NONE)
		return false;
	if (g->home != 0 && !region_within(r->rider->home, g->home))
		return false;
	age = age_on(r->rider->birth, r->day);
	return (g->age_from < 0 || age >= g->age_from) && (g->age_to < 0 || age <= g->age_to);
}

static bool group_by_product(const struct rating *r, const struct row_group *g)
{
	if (g->card_classes != 0 && r->ride->card_class < 16 && (g->card_classes >> r->ride->card_class & 1) != 0)
		return true;
	for (uint32_t i = 0; r->ride->product[0] != '\0' && i < g->product_count; i++)
		if (strcmp(r->t->text + r->t->list[g->product + i], r->ride->product) == 0)
			return true;
	return false;
}

static void groups_find(struct rating *r)
{
	for (uint32_t i = 0; i < r->t->group_count; i++) {
		const struct row_group *g = &r->t->group[i];
		bool lapsed = false;

		if ((g->by_hold && group_by_hold(r, g, &lapsed)) || group_by_age(r, g) || group_by_product(r, g))
			r->groups |= 1ULL << i;
		else if (lapsed)
			r->lapsed |= 1ULL << i;
	}
}

/* ---- published fare --------------------------------------------------------------------------------- */

static int64_t section_fen(const struct rating *r)
{
	uint16_t a = r->ride->stop_on, b = r->ride->stop_off;
	int64_t dearest = -1;

	for (uint32_t i = 0; i < r->line->section_count; i++) {
		const struct row_section *s = &r->t->section[r->line->section + i];

		if ((s->from_stop == a && s->to_stop == b) || (s->from_stop == b && s->to_stop == a))
			return s->fen;
		if ((s->from_stop == a || s->to_stop == a) && s->fen > dearest)
			dearest = s->fen;
	}
	if (b != 0 && a != 0)
		return -1;
	return dearest >= 0 ? dearest : r->line->fare_fen;
}

static int64_t published_fen(const struct rating *r)
{
	switch (r->line->fare_kind) {
	case FARE_SECTION: return section_fen(r);
	case FARE_TAP: return r->ride->list.fen;
	default: return r->line->fare_fen;
	}
}

static int64_t price_of(const struct rating *r, uint8_t kind, int32_t num, uint32_t band, uint32_t band_count, int64_t published)
{
	struct money sum = { 0 };
	int64_t from = 0;

	switch ((enum price_kind)kind) {
	case PRICE_FREE: return 0;
	case PRICE_FIXED: return num < published ? num : published;
	case PRICE_MINUS: return published > num ? published - num : 0;
	case PRICE_PUBLISHED: return published;
	case PRICE_RATE:
		return money_scale(money_of_fen(published), num, 10000, (enum money_round)r->t->head->round_mode, r->t->head->round_unit_fen).fen;
	case PRICE_BANDS:
		break;
	}
	for (uint32_t i = 0; i < band_count && from < published; i++) {
		const struct row_band *b = &r->t->band[band + i];
		int64_t to = b->upto_fen < published ? b->upto_fen : published;

		sum.fen += (to - from) * b->rate;
		from = to;
	}
	sum.fen += (published - from) * 10000;
	return money_scale(sum, 1, 10000, (enum money_round)r->t->head->round_mode, r->t->head->round_unit_fen).fen;
}

/* ---- concessions ---------------------------------------------------------------------------------------- */

static bool text_listed(const struct tariff *t, uint32_t first, uint32_t count, const char *text)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(t->text + t->list[first + i], text) == 0)
			return true;
	return false;
}

static bool number_listed(const struct tariff *t, uint32_t first, uint32_t count, uint32_t number)
{
	for (uint32_t i = 0; i < count; i++)
		if (t->list[first + i] == number)
			return true;
	return false;
}

/* Why a concession is not for this ride; 0: it is. Hours and quota are looked at afterwards. */
static enum rule_miss concession_miss(const struct rating *r, const struct row_concession *c, int64_t published)
{
	if (c->group_mask != 0 && (c->group_mask & r->groups) == 0)
		return (c->group_mask & r->lapsed) != 0 ? MISS_CHECK_LAPSED : MISS_GROUP;
	if ((c->absent_mask & r->groups) != 0)
		return MISS_OUTRANKED;
	if ((c->class_mask >> r->line->class_index & 1) == 0 || (c->mode_mask >> r->line->mode & 1) == 0)
		return MISS_CLASS;
	if ((c->medium_mask >> (r->ride->medium & 7) & 1) == 0)
		return MISS_MEDIUM;
	if ((c->guest_mask >> (r->ride->guest & 3) & 1) == 0)
		return MISS_GUEST;
	if (r->clock_ms < c->from_ms || r->clock_ms >= c->to_ms)
		return MISS_DATE;
	if ((c->line_count > 0 && !text_listed(r->t, c->line, c->line_count, r->ride->line)) ||
	    text_listed(r->t, c->not_line, c->not_line_count, r->ride->line) || (c->list_fen_max > 0 && published > c->list_fen_max))
		return MISS_LINE;
	if ((c->operator_count > 0 && !number_listed(r->t, c->operators, c->operator_count, r->operator_id)) ||
	    number_listed(r->t, c->not_operator, c->not_operator_count, r->operator_id))
		return MISS_OPERATOR;
	return 0;
}

static bool hours_shut(const struct rating *r, const struct row_concession *c)
{
	if (c->shut_count == 0 || (c->shut_days >> r->day_kind & 1) == 0)
		return false;
	for (uint8_t i = 0; i < c->shut_count; i++)
		if (r->minute >= c->shut_from[i] && r->minute < c->shut_to[i])
			return true;
	return false;
}

static uint32_t period_stamp(uint8_t period, int32_t day)
{
	struct civil c = civil_of_ms((int64_t)day * 86400000 - CIVIL_OFFSET_MS);

	switch ((enum period)period) {
	case PERIOD_DAY: return (uint32_t)day;
	case PERIOD_MONTH: return (uint32_t)c.year * 100 + c.month;
	case PERIOD_YEAR: return (uint32_t)c.year;
	}
	return 0;
}

/* The accumulator of a quota in the state after this ride; a stale stamp means zero. */
static struct rider_acc *acc_find(struct rider_state *s, uint16_t id, uint32_t stamp)
{
	struct rider_acc *unused = NULL;

	for (size_t i = 0; i < RIDER_ACC_MAX; i++) {
		if (s->acc[i].id == id) {
			if (s->acc[i].stamp != stamp)
				s->acc[i] = (struct rider_acc){ .id = id, .stamp = stamp };
			return &s->acc[i];
		}
		if (s->acc[i].id == 0 && unused == NULL)
			unused = &s->acc[i];
	}
	if (unused != NULL)
		*unused = (struct rider_acc){ .id = id, .stamp = stamp };
	return unused;
}

static bool quota_left(const struct rating *r, const struct row_quota *q)
{
	uint32_t stamp = period_stamp(q->period, r->day);

	for (size_t i = 0; i < RIDER_ACC_MAX; i++)
		if (r->before->acc[i].id == q->acc && r->before->acc[i].stamp == stamp)
			return r->before->acc[i].value < q->limit;
	return true;
}

struct choice { const struct row_concession *c; uint32_t index; int64_t fen; bool shut; };

/* Price of one applicable concession; false: shut or used up with nothing in its place here. */
static bool candidate(struct rating *r, uint32_t index, int64_t published, struct choice *ret)
{
	const struct row_concession *c = &r->t->concession[index];

	*ret = (struct choice){ .c = c, .index = index, .shut = hours_shut(r, c) };
	if (ret->shut) {
		note(r, c->rule, MISS_HOURS);
		if (c->shut_price == 255)
			return false;
		ret->fen = price_of(r, c->shut_price, c->price_num, 0, 0, published);
		return true;
	}
	if (c->quota != 0 && !quota_left(r, &r->t->quota[c->quota - 1])) {
		note(r, c->rule, MISS_QUOTA);
		return false;
	}
	ret->fen = price_of(r, c->price, c->price_num, c->band, c->band_count, published);
	return true;
}

/* Precedence, then the cheapest for the rider, then the first in the file. */
static bool better(const struct choice *a, const struct choice *b)
{
	if (b->c == NULL || a->c->precedence != b->c->precedence)
		return b->c == NULL || a->c->precedence > b->c->precedence;
	return a->fen < b->fen;
}

static struct choice choose(struct rating *r, int64_t published)
{
	struct choice best = { 0 };

	for (uint32_t i = 0; i < r->t->concession_count; i++) {
		const struct row_concession *c = &r->t->concession[i];
		enum rule_miss miss;
		struct choice now;

		if (r->notes == NULL && ((c->class_mask >> r->line->class_index & 1) == 0 || (c->group_mask != 0 && (c->group_mask & r->groups) == 0)))
			continue;
		miss = concession_miss(r, c, published);
		if (miss != 0) {
			note(r, c->rule, miss);
			continue;
		}
		if (!candidate(r, i, published, &now))
			continue;
		if (better(&now, &best)) {
			if (best.c != NULL)
				note(r, best.c->rule, MISS_OUTRANKED);
			best = now;
		} else {
			note(r, c->rule, MISS_OUTRANKED);
		}
	}
	return best;
}

/* ---- transfers ---------------------------------------------------------------------------------------------- */

static enum rule_miss transfer_miss(const struct rating *r, const struct row_transfer *x, const struct choice *choice)
{
	const struct rider_state *s = r->before;
	int64_t start = x->of_first ? s->window_ms : s->last_out_ms, gap = r->clock_ms - start;

	if (s->last_ms == 0 || start == 0)
		return MISS_FIRST_RIDE;
	if (r->clock_ms < x->from_ms || r->clock_ms >= x->to_ms)
		return MISS_DATE;
	if ((x->medium_mask >> (r->ride->medium & 7) & 1) == 0)
		return MISS_MEDIUM;
	if ((x->guest_mask >> (r->ride->guest & 3) & 1) == 0)
		return MISS_GUEST;
	if (choice->c != NULL && (x->not_with >> choice->index & 1) != 0)
		return MISS_NOT_FOR;
	if (number_listed(r->t, x->not_operator, x->not_operator_count, r->operator_id))
		return MISS_OPERATOR;
	if (gap < 0 || gap > x->window_ms || (gap == x->window_ms && !x->included) || gap < x->gap_ms)
		return MISS_WINDOW;
	if ((x->pairs >> (s->last_mode * MODE_COUNT_ + r->line->mode) & 1) == 0)
		return MISS_PAIR;
	if (!x->same_line && s->last_line == r->line_hash)
		return MISS_SAME_LINE;
	if (!x->same_vehicle && s->last_vehicle == r->vehicle_hash && r->vehicle_hash != 1)
		return MISS_SAME_VEHICLE;
	if (x->uses != 0 && s->window_rule == x->rule && s->window_uses >= x->uses)
		return MISS_USES;
	return 0;
}

static const struct row_transfer *transfer_find(struct rating *r, const struct choice *choice)
{
	const struct row_transfer *found = NULL;

	for (uint32_t i = 0; i < r->t->transfer_count; i++) {
		const struct row_transfer *x = &r->t->transfer[i];
		enum rule_miss miss = transfer_miss(r, x, choice);

		if (miss != 0)
			note(r, x->rule, miss);
		else if (found == NULL)
			found = x;
		else
			note(r, x->rule, MISS_OUTRANKED);
	}
	return found;
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

/* Fund a gap of gap_fen; card_gap_fen is the part above the ordinary card price. */
static void fund(const struct rating *r, uint16_t index, int64_t gap_fen, int64_t card_gap_fen)
{
	const struct row_fund *f = &r->t->fund[index];
	struct money part[FARE_FUNDERS_MAX + 1];
	uint32_t weight[FARE_FUNDERS_MAX + 1];
	int64_t owed = 0;
	size_t n = f->share_count;

	switch ((enum gap_kind)f->gap) {
	case GAP_NONE: break;
	case GAP_PUBLISHED: owed = gap_fen; break;
	case GAP_CARD_PRICE: owed = card_gap_fen > 0 ? card_gap_fen : 0; break;
	case GAP_UNIT: owed = gap_fen > 0 ? f->unit_fen : 0; break;
	}
	if (owed == 0)
		return;
	memcpy(weight, f->weight, sizeof(f->weight));
	weight[n] = f->operator_weight;
	money_split(money_of_fen(owed), weight, n + 1, part);
	for (size_t i = 0; i < n; i++)
		funder_add(r->fare, f->treasury[i] == TREASURY_OF_COUNTY ? r->line->county_treasury : f->treasury[i], part[i].fen);
}

static int64_t funded_fen(const struct fare *f)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < f->funder_count; i++)
		sum += f->funder[i].amount.fen;
	return sum;
}

static int64_t card_price_fen(const struct rating *r, int64_t published)
{
	const struct row_concession *c;

	if (r->t->head->card_price == 0)
		return published;
	c = &r->t->concession[r->t->head->card_price - 1];
	if ((c->class_mask >> r->line->class_index & 1) == 0)
		return published;
	return price_of(r, c->price, c->price_num, c->band, c->band_count, published);
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static bool locked(struct rating *r, const struct choice *choice)
{
	const struct blob_head *h = r->t->head;
	int64_t gap = r->ride->time_ms - r->before->last_ms;

	if (h->lock_ms == 0 || choice->c == NULL || (h->lock_concessions >> choice->index & 1) == 0 || choice->shut)
		return false;
	if (r->before->last_ms == 0 || gap < 0 || gap >= h->lock_ms)
		return false;
	return !h->lock_same_vehicle || r->before->last_vehicle == r->vehicle_hash;
}

static void remember(struct rating *r, const struct choice *choice, const struct row_transfer *transfer)
{
	struct rider_state *s = r->after;

	if (transfer != NULL) {
		s->window_uses = s->window_rule == transfer->rule ? (uint16_t)(s->window_uses + 1) : 1;
		s->window_rule = transfer->rule;
	} else {
		s->window_ms = r->ride->time_ms;
		s->window_uses = 0;
		s->window_rule = 0;
		s->window_dearest_fen = r->fare->paid.fen;
	}
	s->last_ms = s->last_out_ms = r->ride->time_ms;
	s->last_line = r->line_hash;
	s->last_vehicle = r->vehicle_hash;
	s->last_operator = r->operator_id;
	s->last_mode = r->line->mode;
	s->last_paid_fen = r->fare->paid.fen;
	s->last_published_fen = r->fare->published.fen;
	if (r->ride->event == RIDE_OFF)
		s->open_ms = 0;
	if (choice->c != NULL && choice->c->quota != 0 && !choice->shut) {
		const struct row_quota *q = &r->t->quota[choice->c->quota - 1];
		struct rider_acc *acc = acc_find(s, q->acc, period_stamp(q->period, r->day));

		if (acc != NULL)
			acc->value++;
		step(r->fare, FARE_STEP_QUOTA, q->rule, 0);
	}
}

static void ride_open(struct rating *r)
{
	r->after->open_ms = r->ride->time_ms;
	r->after->open_line = r->line_hash;
	r->after->open_vehicle = r->vehicle_hash;
	r->after->open_stop = r->ride->stop_on;
	step(r->fare, FARE_STEP_HOLD, 0, 0);
}

static void price(struct rating *r, int64_t published)
{
	struct fare *f = r->fare;
	struct choice choice = choose(r, published);
	const struct row_transfer *transfer;
	int64_t fen = choice.c != NULL ? choice.fen : published, less = 0;

	if (locked(r, &choice)) {
		f->reject = FARE_REPEAT_TAP;
		f->rule = r->t->head->lock_rule;
		return;
	}
	f->published = money_of_fen(published);
	step(f, FARE_STEP_PUBLISHED, 0, published);
	if (choice.c != NULL) {
		f->rule = choice.c->rule;
		step(f, FARE_STEP_CONCESSION, choice.c->rule, fen - published);
		for (uint32_t i = 0; i < r->t->group_count; i++)
			if (f->group == 0 && (choice.c->group_mask & r->groups & 1ULL << i) != 0)
				f->group = r->t->group[i].code;
	}
	transfer = transfer_find(r, &choice);
	if (transfer != NULL) {
		if (transfer->before_rate && choice.c != NULL) {
			int64_t base = published > transfer->minus_fen ? published - transfer->minus_fen : 0;

			less = fen - price_of(r, choice.c->price, choice.c->price_num, choice.c->band, choice.c->band_count, base);
		} else {
			less = fen < transfer->minus_fen ? fen : transfer->minus_fen;
		}
		f->transfer = true;
		step(f, FARE_STEP_TRANSFER, transfer->rule, -less);
	}
	f->paid = money_of_fen(fen - less);
	if (choice.c != NULL && !choice.shut) {
		fund(r, choice.c->fund, published - fen, card_price_fen(r, published) - fen);
		f->fund_rule = r->t->fund[choice.c->fund].rule;
	}
	if (transfer != NULL)
		fund(r, transfer->fund, less, less);
	f->absorbed = money_of_fen(published - f->paid.fen - funded_fen(f));
	remember(r, &choice, transfer);
}

static enum fare_reject prepare(struct rating *r)
{
	const struct ride *ride = r->ride;
	struct civil c;

	if (ride->time_ms < r->t->head->valid_from_ms)
		return FARE_NOT_IN_FORCE;
	r->line = line_at(r->t, ride->line, ride->time_ms);
	if (r->line == NULL)
		return FARE_LINE_UNKNOWN;
	r->clock_ms = ride->event == RIDE_OFF && r->before->open_ms != 0 ? r->before->open_ms : ride->time_ms;
	c = civil_of_ms(r->clock_ms);
	r->day = day_of_ms(r->clock_ms);
	r->minute = (uint16_t)(c.hour * 60 + c.minute);
	r->day_kind = day_kind_of(r->t, r->day);
	r->line_hash = text_hash(ride->line);
	r->vehicle_hash = ride->vehicle[0] != '\0' ? text_hash(ride->vehicle) : 1;
	r->operator_id = ride->operator_id != 0 ? ride->operator_id : r->line->operator_id;
	r->fare->line = (uint16_t)(r->line - r->t->line + 1);
	return FARE_OK;
}

void rate(const struct tariff *t, const struct rider *rider, const struct rider_state *state, const struct ride *ride,
	  struct rider_state *ret_state, struct fare *ret_fare, struct rate_notes *notes)
{
	struct rider_state before = *state, after = *state;
	struct rating r = { .t = t, .rider = rider, .ride = ride, .before = &before, .after = &after, .fare = ret_fare, .notes = notes };
	int64_t published;

	*ret_fare = (struct fare){ 0 };
	if (notes != NULL)
		notes->count = 0;
	ret_fare->reject = prepare(&r);
	if (ret_fare->reject == FARE_OK && ride->event == RIDE_ON) {
		ride_open(&r);
		*ret_state = after;
		return;
	}
	published = ret_fare->reject == FARE_OK ? published_fen(&r) : 0;
	if (published < 0 || published > 1000000)
		ret_fare->reject = FARE_NO_PRICE;
	if (ret_fare->reject == FARE_OK) {
		groups_find(&r);
		price(&r, published);
	}
	if (ret_fare->reject != FARE_OK) {
		*ret_state = before;
		return;
	}
	assert(ret_fare->published.fen == ret_fare->paid.fen + funded_fen(ret_fare) + ret_fare->absorbed.fen);
	assert(ret_fare->paid.fen >= 0);
	*ret_state = after;
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
	case MISS_AGE: return "年龄不符";
	case MISS_CLASS: return "该类线路不适用";
	case MISS_LINE: return "该线路不适用";
	case MISS_OPERATOR: return "该企业车辆不适用";
	case MISS_MEDIUM: return "该支付介质不适用";
	case MISS_GUEST: return "非本地卡, 不适用";
	case MISS_DATE: return "不在规则有效期内";
	case MISS_HOURS: return "限制时段内";
	case MISS_CHECK_LAPSED: return "年审已过期";
	case MISS_QUOTA: return "次数已用完";
	case MISS_WINDOW: return "超出换乘时限";
	case MISS_SAME_LINE: return "同一线路不算换乘";
	case MISS_SAME_VEHICLE: return "同一车辆不算换乘";
	case MISS_PAIR: return "该换乘方式不适用";
	case MISS_USES: return "换乘次数已用完";
	case MISS_OUTRANKED: return "另有更优先或更优惠的规则";
	case MISS_FIRST_RIDE: return "无前一程";
	case MISS_NOT_FOR: return "已享受的优待不与换乘叠加";
	}
	return "";
}
