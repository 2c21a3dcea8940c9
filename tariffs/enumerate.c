/*
 * enumerate - what a pack holds, one by one: classes, groups, lines, rules, and where in the day and in the year
 * its rules change. With these and rate() a price book can be made from outside without knowing any rule.
 */
#include "tariffs/blob.h"

#include <stdio.h>
#include <string.h>

#define DAYS_AHEAD 366
#define DATES_MAX 24

size_t tariff_class_count(const struct tariff *t) { return t->class_count; }
size_t tariff_group_count(const struct tariff *t) { return t->group_count; }
size_t tariff_line_count(const struct tariff *t) { return t->line_count; }
size_t tariff_rule_count(const struct tariff *t) { return t->rule_count; }

bool tariff_class_at(const struct tariff *t, size_t i, struct tariff_class *ret_class)
{
	if (i >= t->class_count)
		return false;
	*ret_class = (struct tariff_class){ t->text + t->class[i].name, t->text + t->class[i].title };
	return true;
}

bool tariff_line_at(const struct tariff *t, size_t i, int64_t at_ms, struct tariff_line *ret_line)
{
	if (i >= t->line_count || at_ms < t->line[i].from_ms || at_ms >= t->line[i].to_ms)
		return false;
	return tariff_line_find(t, t->text + t->line[i].name, at_ms, ret_line);
}

/* ---- groups ------------------------------------------------------------------------------------------ */

/* Half a year past the birthday of that age: inside it by any reading of birthdays. */
static int32_t birth_for(int age, int32_t day)
{
	struct civil c = civil_of_ms((int64_t)day * 86400000 - CIVIL_OFFSET_MS);

	return day_of_civil(c.year - age, c.month, c.month == 2 && c.day == 29 ? 28 : c.day) - 183;
}

static void member_by_hold(const struct row_group *g, struct rider *rider)
{
	uint8_t grade = g->grade_max != 0 ? g->grade_max : g->grade_min;

	rider->hold[rider->hold_count++] = (struct hold){
		.group = g->code, .grade = grade, .from = INT32_MIN + 1, .to = INT32_MAX, .verified_to = INT32_MAX };
}

void tariff_beside(const struct ride *ride, struct rider_state *ret_state)
{
	*ret_state = (struct rider_state){ .last_ms = ride->time_ms, .last_vehicle = text_hash(ride->vehicle) | 1 };
}

bool tariff_group_at(const struct tariff *t, size_t i, int32_t day, struct tariff_group *ret_group)
{
	struct tariff_group out = { .member = { .birth = DAY_NONE, .issued = DAY_NONE }, .card_class = 1 };
	const struct row_group *g = &t->group[i];
	bool enough;

	if (i >= t->group_count)
		return false;
	out.name = t->text + g->name;
	out.title = t->text + g->title;
	out.code = g->code;
	out.product = "";
	if (g->by_hold)
		member_by_hold(g, &out.member);
	enough = g->by_hold && !g->all;
	if (!enough && g->escort_min != 0) {
		out.member.escort = true;
		out.member.escort_from = INT32_MIN;
		out.member.escort_to = INT32_MAX;
		enough = !g->all;
	}
	if (!enough && (g->age_from >= 0 || g->age_to >= 0)) {
		out.member.birth = birth_for(g->age_from >= 0 ? g->age_from : g->age_to, day);
		out.member.home = g->home;
		enough = !g->all;
	}
	if (!enough && g->card_classes != 0) {
		out.card_class = (uint8_t)__builtin_ctz(g->card_classes);
		enough = !g->all;
	}
	if (!enough && g->product_count != 0)
		out.product = t->text + t->list[g->product];
	*ret_group = out;
	return true;
}

uint8_t tariff_granted_quotas(const struct tariff *t, uint32_t units, struct grant ret_grant[RIDER_GRANTS_MAX])
{
	uint8_t n = 0;

	for (uint32_t i = 0; i < t->quota_count && n < RIDER_GRANTS_MAX; i++)
		if (t->quota[i].granted != 0)
			ret_grant[n++] = (struct grant){ t->quota[i].per.acc, units };
	return n;
}

/* ---- journeys on a line that have different published fares ---------------------------------------------- */

struct samples { struct tariff_journey *out; size_t count, max; };

static void journey_add(struct samples *s, const struct tariff_journey *j)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->out[i].text, j->text) == 0)
			return;
	if (s->count < s->max)
		s->out[s->count++] = *j;
}

static void journeys_of_sections(const struct tariff *t, const struct row_line *l, struct samples *s)
{
	for (uint32_t i = 0; i < l->section_count; i++) {
		const struct row_section *row = &t->section[l->section + i];
		struct tariff_journey j = { .kind = JOURNEY_SECTION, .stop_on = row->from_stop, .stop_off = row->to_stop };

		snprintf(j.text, sizeof(j.text), "分段 %d.%02d", (int)row->fen / 100, (int)row->fen % 100);
		journey_add(s, &j);
	}
}

static void journeys_of_steps(const struct tariff *t, const struct row_fare *f, struct samples *s)
{
	uint32_t from = 0;

	for (uint32_t i = 0; i < f->step_count; i++) {
		const struct row_fare_step *row = &t->fare_step[f->step + i];
		uint32_t at = row->upto != UINT32_MAX ? row->upto : from + (row->each != 0 ? row->each : 1);
		struct tariff_journey j = { .kind = JOURNEY_STEP };

		if (f->by == BY_METRES)
			j.distance_m = at;
		else
			*(f->by == BY_STOPS ? &j.stops : &j.zones) = (uint16_t)(at < UINT16_MAX ? at : UINT16_MAX);
		snprintf(j.text, sizeof(j.text), f->by == BY_METRES ? "%u 米" : f->by == BY_STOPS ? "%u 站" : "%u 区", at);
		journey_add(s, &j);
		from = row->upto;
	}
}

static bool listed(const struct tariff *t, uint32_t first, uint32_t count, const char *line)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(t->text + t->list[first + i], line) == 0)
			return true;
	return false;
}

static bool fare_is_of(const struct tariff *t, const struct row_cond *c, const struct row_line *l, const char *line)
{
	return (c->class_mask >> l->class_index & 1) != 0 && (c->line_count == 0 || listed(t, c->line, c->line_count, line)) &&
	       !listed(t, c->not_line, c->not_line_count, line);
}

size_t tariff_journeys(const struct tariff *t, const char *line, int64_t at_ms, struct tariff_journey *ret_journey, size_t max)
{
	const struct row_line *l = line_at(t, line, at_ms);
	struct samples s = { ret_journey, 0, max };
	struct tariff_journey whole = { .list_fen = 200 };

	if (l == NULL)
		return 0;
	if (l->fare_kind == FARE_TAP) {
		whole.kind = JOURNEY_TAP;
		snprintf(whole.text, sizeof(whole.text), "机具价 2.00");
	}
	if (l->fare_kind == FARE_SECTION)
		journeys_of_sections(t, l, &s);
	for (uint32_t i = 0; l->fare_kind == FARE_CLASS && i < t->fare_count; i++)
		if (t->fare[i].by != BY_FLAT && fare_is_of(t, &t->cond[t->fare[i].cond], l, line))
			journeys_of_steps(t, &t->fare[i], &s);
	if (s.count == 0)
		journey_add(&s, &whole);
	return s.count;
}

bool tariff_section_at(const struct tariff *t, const char *line, int64_t at_ms, size_t i, struct tariff_section *ret_section)
{
	const struct row_line *l = line_at(t, line, at_ms);
	const struct row_section *s;

	if (l == NULL || l->fare_kind != FARE_SECTION || i >= l->section_count)
		return false;
	s = &t->section[l->section + i];
	*ret_section = (struct tariff_section){ s->from_stop, s->to_stop, s->fen };
	return true;
}

bool tariff_transfer_at(const struct tariff *t, size_t i, struct tariff_transfer *ret_transfer)
{
	const struct row_transfer *x = &t->transfer[i];
	struct tariff_transfer out;

	if (i >= t->transfer_count)
		return false;
	out = (struct tariff_transfer){ .rule = x->rule,
				       .uses = x->uses,
				       .window_s = x->window_ms / 1000,
				       .gap_s = x->gap_ms / 1000,
				       .endless = x->window_ms == WINDOW_NONE,
				       .of_first = x->of_first != 0,
				       .from_ride_end = x->end_modes != 0,
				       .same_line = x->same_line == SAME_YES,
				       .by_hour = x->hour_count > 0,
				       .amounts = true };
	for (uint32_t k = 0; k < x->price_count; k++) {
		out.amounts &= t->transfer_price[x->price + k].effect != EFFECT_DEAREST;
		out.by_price |= t->transfer_price[x->price + k].within_ms != 0;
	}
	*ret_transfer = out;
	return true;
}

static bool takes_from(const struct row_concession *c, uint32_t quota)
{
	bool takes = c->quota == quota + 1;

	for (size_t i = 0; i < CONCESSION_QUOTAS_MAX - 1; i++)
		takes = takes || c->also[i] == quota + 1;
	return takes;
}

static bool of_one_slot(const struct tariff *t, const struct row_concession *of, uint32_t quota)
{
	bool shared = false;

	for (uint32_t i = 0; i < t->concession_count; i++)
		shared = shared || (&t->concession[i] != of && takes_from(&t->concession[i], quota));
	return t->quota[quota].per.period == PERIOD_DAY && t->cond[of->cond].slots.count == 1 && !shared;
}

size_t tariff_quotas_of(const struct tariff *t, uint16_t rule, struct tariff_quota ret_quota[CONCESSION_QUOTAS_MAX])
{
	static const char *const periods[PERIOD_COUNT_] = { "day", "month", "year", "card-year", "hours" };
	size_t n = 0;

	for (uint32_t i = 0; i < t->concession_count; i++)
		for (uint32_t k = 0; k < t->quota_count && n < CONCESSION_QUOTAS_MAX && t->concession[i].rule == rule; k++) {
			const struct row_quota *q = &t->quota[k];

			if (takes_from(&t->concession[i], k))
				ret_quota[n++] = (struct tariff_quota){ q->rule, t->concession[i].takes, q->limit, q->granted != 0,
									!q->granted && of_one_slot(t, &t->concession[i], k) ? "slot" : periods[q->per.period] };
		}
	return n;
}

/* ---- minutes of the day at which a rule begins or ends ----------------------------------------------------- */

struct minutes { uint8_t at[1441]; };

static void slots_mark(struct minutes *m, const struct row_slots *s)
{
	for (uint8_t i = 0; i < s->count && i < SLOTS_MAX; i++) {
		m->at[s->from[i] % 1440] = 1;
		m->at[s->to[i] % 1440] = 1;
	}
}

size_t tariff_minutes(const struct tariff *t, uint16_t *ret_minute, size_t max)
{
	struct minutes m = { .at = { 1 } };
	size_t n = 0;

	for (uint32_t i = 0; i < t->cond_count; i++)
		slots_mark(&m, &t->cond[i].slots);
	for (uint32_t i = 0; i < t->concession_count; i++)
		slots_mark(&m, &t->concession[i].shut);
	for (unsigned i = 0; i < 1440 && n < max; i++)
		if (m.at[i])
			ret_minute[n++] = (uint16_t)i;
	return n;
}

/* ---- kinds of days ------------------------------------------------------------------------------------------- */

struct kinds { bool work, school; };		/* which differences between days some rule looks at */

static void kinds_look(struct kinds *k, const struct row_slots *s)
{
	k->work |= s->days != DAYS_ALL;
	k->school |= s->days == DAYS_SCHOOL;
}

static struct kinds kinds_asked(const struct tariff *t)
{
	struct kinds k = { 0 };

	for (uint32_t i = 0; i < t->cond_count; i++)
		kinds_look(&k, &t->cond[i].slots);
	for (uint32_t i = 0; i < t->concession_count; i++)
		kinds_look(&k, &t->concession[i].shut);
	return k;
}

static uint32_t seasons_on(const struct tariff *t, int32_t day)
{
	struct civil c = civil_of_ms((int64_t)day * 86400000 - CIVIL_OFFSET_MS);
	uint32_t mmdd = c.month * 100u + c.day, mask = 0;

	for (uint32_t i = 0; i < t->season_count; i++)
		for (uint32_t k = 0; k < t->season[i].range_count; k++) {
			uint32_t range = t->list[t->season[i].range + k], from = range >> 16, to = range & 0xFFFF;

			if (from <= to ? mmdd >= from && mmdd <= to : mmdd >= from || mmdd <= to)
				mask |= 1u << i;
		}
	return mask;
}

static void date_add(int32_t *date, size_t *count, int32_t after, int64_t ms)
{
	int32_t day;
	size_t at = 0;

	if (ms <= -(1LL << 55) || ms >= 1LL << 55)
		return;
	day = day_of_ms(ms);
	while (at < *count && date[at] < day)
		at++;
	if (day <= after || *count == DATES_MAX || (at < *count && date[at] == day))
		return;
	memmove(date + at + 1, date + at, (*count - at) * sizeof(*date));
	date[at] = day;
	++*count;
}

/* Days after the first on which some rule or line begins or ends, rising. */
static size_t dates_of(const struct tariff *t, int32_t first, int32_t date[DATES_MAX])
{
	size_t n = 0;

	for (uint32_t i = 0; i < t->cond_count; i++) {
		date_add(date, &n, first, t->cond[i].from_ms);
		date_add(date, &n, first, t->cond[i].to_ms);
	}
	for (uint32_t i = 0; i < t->line_count; i++) {
		date_add(date, &n, first, t->line[i].from_ms);
		date_add(date, &n, first, t->line[i].to_ms);
	}
	return n;
}

/* Words for a kind of day; since and until bound the time in which the rules stay, DAY_NONE: no bound. */
static void day_text(const struct tariff *t, struct kinds k, uint8_t kind, uint32_t seasons, int32_t since, int32_t until,
		     struct tariff_day *ret)
{
	const char *name = since == DAY_NONE && until == DAY_NONE ? "每天" : "";
	char date[11];
	size_t n;

	if (k.work)
		name = (kind & DAY_REST) != 0 ? "休息日" : k.school && (kind & DAY_NO_SCHOOL) != 0 ? "无课工作日" : "工作日";
	n = (size_t)snprintf(ret->text, sizeof(ret->text), "%s", name);
	for (uint32_t i = 0; i < t->season_count && n < sizeof(ret->text) - 48; i++)
		if ((seasons >> i & 1) != 0)
			n += (size_t)snprintf(ret->text + n, sizeof(ret->text) - n, "%s%.40s", n > 0 ? " " : "",
					      t->text + t->season[i].name);
	if (since != DAY_NONE && n < sizeof(ret->text) - 24) {
		day_format(since, date);
		n += (size_t)snprintf(ret->text + n, sizeof(ret->text) - n, "%s%s起", n > 0 ? " " : "", date);
	}
	if (until != DAY_NONE && n < sizeof(ret->text) - 24) {
		day_format(until, date);
		snprintf(ret->text + n, sizeof(ret->text) - n, "%s%s前", n > 0 ? " " : "", date);
	}
}

void tariff_day_of(const struct tariff *t, int32_t first, int32_t day, struct tariff_day *ret_day)
{
	int32_t date[DATES_MAX], since = DAY_NONE, until = DAY_NONE;
	size_t dates = dates_of(t, first, date);

	for (size_t i = 0; i < dates; i++) {
		if (date[i] <= day)
			since = date[i];
		else if (until == DAY_NONE)
			until = date[i];
	}
	ret_day->day = day;
	day_text(t, kinds_asked(t), day_kind_of(t, day), seasons_on(t, day), since, until, ret_day);
}

size_t tariff_days(const struct tariff *t, int32_t first, struct tariff_day *ret_day, size_t max)
{
	int32_t date[DATES_MAX], from = first, since = DAY_NONE;
	size_t dates = dates_of(t, first, date), n = 0;
	struct kinds k = kinds_asked(t);

	for (size_t era = 0; era <= dates; era++) {
		int32_t to = from + DAYS_AHEAD;

		if (era < dates && date[era] < to)
			to = date[era];
		for (int32_t day = from; day < to; day++) {
			struct tariff_day d = { .day = day };
			size_t i = 0;

			day_text(t, k, day_kind_of(t, day), seasons_on(t, day), since, era < dates ? date[era] : DAY_NONE, &d);
			while (i < n && strcmp(ret_day[i].text, d.text) != 0)
				i++;
			if (i == n && n < max)
				ret_day[n++] = d;
		}
		if (era < dates)
			since = from = date[era];
	}
	return n;
}
