/*
 * rate_find - what a rule may ask about: who the rider is on the day, what the line publishes, which hours,
 * seasons and kinds of day the ride falls in. Conditions are answered here and nowhere else.
 */
#include "tariffs/rate.h"

#include <string.h>

/* ---- the rider ------------------------------------------------------------------------------------ */

/* First day on which a person is so many years old, by the pack's settings. */
static int32_t birthday_of(const struct tariff *t, const struct civil *birth, int years)
{
	int32_t year = birth->year + years, day;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	if (birth->month == 2 && birth->day == 29 && !leap)
		day = t->head->feb29_feb28 ? day_of_civil(year, 2, 28) : day_of_civil(year, 3, 1);
	else
		day = day_of_civil(year, birth->month, birth->day);
	return day + t->head->birthday_after;
}

static struct civil born(const struct rider *rider) { return civil_of_ms((int64_t)rider->birth * 86400000 - CIVIL_OFFSET_MS); }

/* Is the rider so many years old? The calendar is asked only around the birthday: a year has 365 days or 366. */
static bool reached(const struct rating *r, int years)
{
	int64_t lived = (int64_t)r->day - r->rider->birth;
	struct civil birth;

	if (lived < 365LL * years)
		return false;
	if (lived >= 366LL * years + r->t->head->birthday_after)
		return true;
	birth = born(r->rider);
	return r->day >= birthday_of(r->t, &birth, years);
}

/* The upper age ends with the eve of the next birthday, or with a date of the year in which that age is reached. */
static bool passed(const struct rating *r, const struct row_group *g)
{
	int32_t year;

	if (g->ends == END_BIRTHDAY)
		return reached(r, g->age_to + 1);
	year = born(r->rider).year + g->age_to;
	return r->day > (g->ends == END_YEAR ? day_of_civil(year, 12, 31) : day_of_civil(year, g->ends_mmdd / 100, g->ends_mmdd % 100));
}

static bool region_within(uint32_t region, uint32_t prefix)
{
	while (region > prefix)
		region /= 100;
	return region == prefix;
}

static bool group_by_age(const struct rating *r, const struct row_group *g)
{
	if (r->rider->birth == DAY_NONE || (g->home != 0 && !region_within(r->rider->home, g->home)))
		return false;
	return (g->age_from < 0 || reached(r, g->age_from)) && (g->age_to < 0 || !passed(r, g));
}

static bool group_by_hold(const struct rating *r, const struct row_group *g, bool *ret_lapsed)
{
	for (uint8_t i = 0; i < r->rider->hold_count && i < RIDER_HOLDS_MAX; i++) {
		const struct hold *h = &r->rider->hold[i];

		if (h->group != g->code || r->day < h->from || r->day > h->to)
			continue;
		if ((g->grade_max != 0 && (h->grade == 0 || h->grade > g->grade_max)) || h->grade < g->grade_min)
			continue;
		if (g->checked && r->day > h->verified_to) {
			*ret_lapsed = true;
			continue;
		}
		return true;
	}
	return false;
}

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

static bool marks_believed(const struct rating *r, const struct row_group *g) { return (g->marks_of >> (r->ride->guest & 3) & 1) != 0; }

static bool group_by_class(const struct rating *r, const struct row_group *g)
{
	return marks_believed(r, g) && r->ride->card_class < 16 && (g->card_classes >> r->ride->card_class & 1) != 0;
}

static bool group_by_product(const struct rating *r, const struct row_group *g)
{
	return r->ride->product[0] != '\0' && marks_believed(r, g) && text_listed(r->t, g->product, g->product_count, r->ride->product);
}

/* The person an escort's card is tied to has just tapped in this vehicle, and nobody has come along with that tap yet. */
static bool group_by_escort(const struct rating *r, const struct row_group *g)
{
	const struct rider_state *s = r->before;
	int64_t gap = r->ride->time_ms - s->last_ms;

	return r->escort && r->day >= r->rider->escort_from && r->day <= r->rider->escort_to && r->vehicle_hash != 0 &&
	       r->vehicle_hash == s->last_vehicle && s->escorted_ms != s->last_ms && gap >= 0 && gap <= g->escort_min * 60000LL;
}

/* The marks are the card's own; holds and age are the person's and count for no escort. */
static bool group_of_escort(const struct rating *r, const struct row_group *g)
{
	bool yes = false, no = g->by_hold || g->age_from >= 0 || g->age_to >= 0;

	if (g->card_classes != 0)
		*(group_by_class(r, g) ? &yes : &no) = true;
	if (g->product_count != 0)
		*(group_by_product(r, g) ? &yes : &no) = true;
	if (g->escort_min != 0)
		*(group_by_escort(r, g) ? &yes : &no) = true;
	return yes && !(g->all && no);
}

/* Any of the ways a group names is enough, or all of them where it says so; that of escorts is nobody else's. */
static bool group_holds(const struct rating *r, const struct row_group *g, bool *ret_lapsed)
{
	bool by_age = g->age_from >= 0 || g->age_to >= 0, yes = false, no = false;

	if (g->by_hold)
		*(group_by_hold(r, g, ret_lapsed) ? &yes : &no) = true;
	if (by_age)
		*(group_by_age(r, g) ? &yes : &no) = true;
	if (g->card_classes != 0)
		*(group_by_class(r, g) ? &yes : &no) = true;
	if (g->product_count != 0)
		*(group_by_product(r, g) ? &yes : &no) = true;
	return yes && !(g->all && (no || g->escort_min != 0));
}

static void escort_find(struct rating *r)
{
	for (uint32_t i = 0; i < r->t->group_count; i++) {
		const struct row_group *g = &r->t->group[i];

		if (group_of_escort(r, g)) {
			r->groups |= 1ULL << i;
			r->escorted = r->escorted || g->escort_min != 0;
		} else if (g->escort_min != 0) {
			r->alone |= 1ULL << i;
		}
	}
}

/* A group is looked at when the rider or the card has what one of its ways asks for. */
static void groups_find(struct rating *r)
{
	const struct tariff *t = r->t;
	uint64_t left = groups_by_class(t, r->ride->card_class);

	if (r->ride->product[0] != '\0')
		left |= t->groups_by.product;
	if (r->rider->birth != DAY_NONE)
		left |= t->groups_by.age;
	for (uint8_t i = 0; i < r->rider->hold_count && i < RIDER_HOLDS_MAX; i++)
		left |= groups_by_hold(t, r->rider->hold[i].group);
	for (; left != 0; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		bool lapsed = false;

		if (group_holds(r, &t->group[i], &lapsed))
			r->groups |= 1ULL << i;
		else if (lapsed)
			r->lapsed |= 1ULL << i;
	}
}

/* ---- time ------------------------------------------------------------------------------------------- */

static uint32_t seasons_of(const struct tariff *t, int32_t day)
{
	struct civil c = civil_of_ms((int64_t)day * 86400000 - CIVIL_OFFSET_MS);
	uint32_t mmdd = c.month * 100u + c.day, mask = 0;

	for (uint32_t i = 0; i < t->season_count; i++)
		for (uint32_t k = 0; k < t->season[i].range_count; k++)
			if (season_range_holds(t->list[t->season[i].range + k], mmdd))
				mask |= 1u << i;
	return mask;
}

bool slots_hit(const struct rating *r, const struct row_slots *s)
{
	bool rest = (r->day_kind & DAY_REST) != 0;

	switch ((enum days_wanted)s->days) {
	case DAYS_ALL: break;
	case DAYS_WORK: if (rest) return false; break;
	case DAYS_REST: if (!rest) return false; break;
	case DAYS_SCHOOL: if (rest || (r->day_kind & DAY_NO_SCHOOL) != 0) return false; break;
	}
	for (uint8_t i = 0; i < s->count; i++) {
		bool over_midnight = s->from[i] > s->to[i], after = r->minute >= s->from[i], early = r->minute < s->to[i];

		if (over_midnight ? after || early : after && early)
			return true;
	}
	return s->count == 0;
}

/* ---- conditions --------------------------------------------------------------------------------------- */

static enum rule_miss who_miss(const struct rating *r, const struct row_cond *c)
{
	bool member = c->who == 0 || (c->who & r->groups) != 0;

	if (!member && (c->who & r->lapsed) == 0)
		return (c->who & r->alone) != 0 ? MISS_ESCORT : MISS_GROUP;
	if ((c->who_not & r->groups) != 0)
		return MISS_NOT_GROUP;
	if ((c->guest_mask >> (r->ride->guest & 3) & 1) == 0)
		return MISS_GUEST;
	if (c->product_count > 0 && !text_listed(r->t, c->product, c->product_count, r->ride->product))
		return MISS_PRODUCT;
	return member ? 0 : MISS_CHECK_LAPSED;	/* it alone stands between the rider and the rule */
}

static enum rule_miss line_miss(const struct rating *r, const struct row_cond *c)
{
	if ((c->class_mask >> r->line->class_index & 1) == 0 || (c->mode_mask >> r->line->mode & 1) == 0)
		return MISS_CLASS;
	if (c->line_count > 0 && !text_listed(r->t, c->line, c->line_count, r->ride->line))
		return MISS_LINE;
	if (c->not_line_count > 0 && text_listed(r->t, c->not_line, c->not_line_count, r->ride->line))
		return MISS_LINE;
	if ((c->op_count > 0 && !number_listed(r->t, c->op, c->op_count, r->operator_id)) ||
	    number_listed(r->t, c->not_op, c->not_op_count, r->operator_id))
		return MISS_OPERATOR;
	if ((c->fare_min > 0 && r->published_fen < c->fare_min) || (c->fare_max > 0 && r->published_fen > c->fare_max))
		return MISS_FARE;
	return 0;
}

enum rule_miss cond_ask(const struct rating *r, const struct row_cond *c, enum asking asking)
{
	enum rule_miss miss = asking == ASK_ALL ? who_miss(r, c) : 0;

	if (miss == 0)
		miss = line_miss(r, c);
	if (miss != 0)
		return miss;
	if ((c->medium_mask >> (r->ride->medium & 7) & 1) == 0)
		return MISS_MEDIUM;
	if (r->clock_ms < c->from_ms || r->clock_ms >= c->to_ms)
		return MISS_DATE;
	if (r->ride->known_ms != 0 && r->ride->known_ms < c->published_ms)
		return MISS_UNPUBLISHED;
	if (c->season_mask != 0 && (c->season_mask & r->seasons) == 0)
		return MISS_SEASON;
	return slots_hit(r, &c->slots) ? 0 : MISS_HOURS;
}

/* ---- the published fare --------------------------------------------------------------------------------- */

/* Price between two stops, either way, by the first row that has them. Negative: none. */
static int64_t section_between(const struct rating *r, uint16_t a, uint16_t b)
{
	const struct row_section *s = r->t->section + r->line->section, *end = s + r->line->section_count;
	const uint32_t there = a | (uint32_t)b << 16, back = b | (uint32_t)a << 16;

	for (; s < end; s++) {
		uint32_t stops = s->from_stop | (uint32_t)s->to_stop << 16;

		if (stops == there || stops == back)
			return s->fen;
	}
	return -1;
}

static int64_t section_fen(const struct rating *r)
{
	uint16_t a = r->ride->stop_on, b = r->ride->stop_off;
	int64_t dearest = -1;

	if (a != 0 && b != 0)
		return section_between(r, a, b);
	for (const struct row_section *s = r->t->section + r->line->section, *end = s + r->line->section_count; s < end; s++)
		if ((s->from_stop == a || s->to_stop == a) && s->fen > dearest)
			dearest = s->fen;
	return dearest >= 0 ? dearest : r->line->fare_fen;
}

static int64_t stepped_fen(const struct tariff *t, const struct row_fare *f, uint32_t ridden)
{
	uint32_t from = 0;
	int64_t fen = 0;

	for (uint32_t i = 0; i < f->step_count; i++) {
		const struct row_fare_step *s = &t->fare_step[f->step + i];
		uint32_t part;

		if (i > 0 && ridden <= from)
			break;
		part = (ridden < s->upto ? ridden : s->upto) - from;
		fen += s->each == 0 ? s->fen : (int64_t)s->fen * ((part + s->each - 1) / s->each);
		from = s->upto;
	}
	return fen;
}

static int64_t class_fen(const struct rating *r, const struct span *s)
{
	for (uint32_t i = 0; i < r->t->fare_count; i++) {
		const struct row_fare *f = &r->t->fare[i];
		uint32_t ridden = f->by == BY_METRES ? s->m : f->by == BY_STOPS ? s->stops : s->zones;
		int64_t fen = f->flat_fen;

		if (cond_miss(r, f->cond, ASK_ALL) != 0)
			continue;
		if (f->by != BY_FLAT && ridden == 0 && r->ride->event == RIDE_SINGLE)
			return -1;
		if (f->by != BY_FLAT)
			fen = stepped_fen(r->t, f, ridden);
		if (f->round_mode != ROUND_OF_PACK)
			fen = money_scale(money_of_fen(fen), 1, 1, (enum money_round)f->round_mode, f->round_unit_fen).fen;
		return fen;
	}
	return -1;
}

int64_t published_by_kind(const struct rating *r, const struct span *ridden)
{
	switch (r->line->fare_kind) {
	case FARE_SECTION: return section_fen(r);
	case FARE_TAP: return r->ride->list.fen;
	case FARE_CLASS: return class_fen(r, ridden);
	default: return r->line->fare_fen;
	}
}

/* ---- how far ---------------------------------------------------------------------------------------------- */

static const struct row_stop *stop_at(const struct rating *r, uint16_t stop)
{
	for (uint32_t i = 0; stop != 0 && i < r->line->stop_count; i++)
		if (r->t->stop[r->line->stop + i].stop == stop)
			return &r->t->stop[r->line->stop + i];
	return NULL;
}

static struct span between(const struct row_stop *a, const struct row_stop *b)
{
	const struct row_stop *low = a->stop < b->stop ? a : b, *high = low == a ? b : a;
	int zones = high->zone - low->zone;

	return (struct span){ .m = high->m - low->m, .stops = (uint16_t)(high->stop - low->stop), .zones = low->zone == 0 ? 0 : (uint16_t)((zones < 0 ? -zones : zones) + 1) };
}

/* What the record itself tells goes before what the line's stops measure. */
static void told(struct span *s, uint32_t m, uint16_t stops, uint16_t zones)
{
	if (m != 0)
		s->m = m;
	if (stops != 0)
		s->stops = stops;
	if (zones != 0)
		s->zones = zones;
}

static void spans_find(struct rating *r)
{
	const struct ride *ride = r->ride;
	bool open_here = r->closes && r->before->open_line == r->line_hash;
	const struct row_stop *on, *off;

	if (r->line->stop_count == 0) {
		r->ridden = (struct span){ ride->distance_m, ride->stops, ride->zones };
		r->far = (struct span){ ride->far_m, ride->stops, ride->zones };
		return;
	}
	on = stop_at(r, ride->stop_on == 0 && open_here ? r->before->open_stop : ride->stop_on);
	off = stop_at(r, ride->stop_off);
	if (on != NULL && off != NULL)
		r->ridden = between(on, off);
	if (on != NULL) {
		const struct row_stop *first = &r->t->stop[r->line->stop], *last = first + r->line->stop_count - 1;

		r->far = between(first, on).m > between(on, last).m ? between(first, on) : between(on, last);
	}
	told(&r->ridden, ride->distance_m, ride->stops, ride->zones);
	told(&r->far, ride->far_m, ride->stops, ride->zones);
}

/* ---- the ride ---------------------------------------------------------------------------------------------- */

/* A tap-off belongs to the open ride, unless it tells another start, or the line's rule asks for one line and this is
 * another. Cards keep the second of a start. */
static bool closes_open(const struct rating *r)
{
	if (r->ride->event != RIDE_OFF || r->escort || r->before->open_ms == 0 || r->ride->time_ms < r->before->open_ms)
		return false;
	if (r->ride->in_ms != 0 && r->ride->in_ms / 1000 != r->before->open_ms / 1000)
		return false;
	for (uint32_t i = 0; i < r->t->open_count; i++)
		if (cond_miss(r, r->t->open[i].cond, ASK_STATIC) == 0)
			return !r->t->open[i].same_line || r->before->open_line == r->line_hash;
	return true;
}

static void clock_set(struct rating *r, int64_t clock_ms)
{
	r->clock_ms = clock_ms;
	r->day = day_of_ms(clock_ms);
	r->minute = (uint16_t)((uint64_t)(clock_ms + CIVIL_OFFSET_MS - (int64_t)r->day * 86400000) / 60000);
	r->day_kind = day_kind_of(r->t, r->day);
	r->seasons = r->t->season_count > 0 ? seasons_of(r->t, r->day) : 0;
}

enum fare_reject ride_find(struct rating *r)
{
	const struct ride *ride = r->ride;

	if (ride->time_ms < r->t->head->valid_from_ms)
		return FARE_NOT_IN_FORCE;
	r->line_hash = text_hash(ride->line);
	r->line = line_hashed(r->t, ride->line, r->line_hash, ride->time_ms);
	if (r->line == NULL)
		return FARE_LINE_UNKNOWN;
	r->class_bit = 1ULL << r->line->class_index;
	r->kind_bits = 1u << (ride->medium & 7) | 1u << (8 + (ride->guest & 3)) | 1u << (16 + r->line->mode);
	r->vehicle_hash = ride->vehicle[0] != '\0' ? text_hash(ride->vehicle) | 1 : 0;
	r->operator_id = ride->operator_id != 0 ? ride->operator_id : r->line->operator_id;
	clock_set(r, ride->time_ms);
	r->escort = r->rider->escort;
	r->closes = closes_open(r);
	r->complete = ride->event != RIDE_OFF || r->closes || ride->in_ms != 0;
	if (r->closes)
		clock_set(r, r->before->open_ms);
	else if (ride->event != RIDE_ON && ride->in_ms != 0)
		clock_set(r, ride->in_ms);
	r->end_ms = ride->out_ms > ride->time_ms ? ride->out_ms : ride->time_ms;
	r->fare->line = (uint16_t)(r->line - r->t->line + 1);
	spans_find(r);
	if (r->escort)
		escort_find(r);
	else
		groups_find(r);
	return FARE_OK;
}
