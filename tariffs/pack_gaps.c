/*
 * pack_gaps - what a pack leaves out or says in vain: moments without a published fare, pairs of stops without a
 * price, and concessions that another one always outranks.
 *
 * A line that never has a price for a medium or a class of guests is one that does not take them; a gap is a price
 * that is there at one time and missing at another.
 */
#include "tariffs/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOMENTS_MAX 512
#define MINUTES_MAX 64
#define MEDIA_ALL 0xFE
#define DAY_MS 86400000LL

static const char *const media[CELL_MEDIA] = { NULL, "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" };
static const char *const guests[CELL_GUESTS] = { "local", "region", "other" };

/* Row of a table that begins with this name, for a position; 1 when it cannot be found. */
static unsigned row_line_of(const struct pack *p, const char *file, const char *name)
{
	char path[PATH_MAX], error[256];
	const char *const *field;
	struct csv *csv;
	unsigned line;

	path_of(p, file, path, sizeof(path));
	if (csv_open(path, &csv, error, sizeof(error)) != 0)
		return 1;
	while (csv_next(csv, &field, &line, error, sizeof(error)) == 1)
		if (strcmp(field[0], name) == 0) {
			csv_close(csv);
			return line;
		}
	csv_close(csv);
	return 1;
}

void line_problem(struct pack *p, const char *file, const char *name, const char *text)
{
	char path[PATH_MAX];

	path_of(p, file, path, sizeof(path));
	problem(p, path, row_line_of(p, file, name), 1, "line \"%s\": %s", name, text);
}

/* ---- pairs of stops ------------------------------------------------------------------------------------- */

static int stop_compare(const void *a, const void *b) { return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b; }

static bool pair_priced(const struct pack *p, const struct row_line *line, uint16_t a, uint16_t b)
{
	for (uint32_t i = 0; i < line->section_count; i++) {
		const struct row_section *s = ROW(p, T_SECTION, struct row_section, line->section + i);

		if ((s->from_stop == a && s->to_stop == b) || (s->from_stop == b && s->to_stop == a))
			return true;
	}
	return false;
}

static void check_sections(struct pack *p, const struct row_line *line)
{
	uint16_t *stop = malloc(2 * sizeof(stop[0]) * (line->section_count + 1));
	size_t count = 0, missing = 0;
	char text[128], first[48] = "";

	if (stop == NULL)
		abort();
	for (uint32_t i = 0; i < line->section_count; i++) {
		const struct row_section *s = ROW(p, T_SECTION, struct row_section, line->section + i);

		stop[count++] = s->from_stop;
		stop[count++] = s->to_stop;
	}
	qsort(stop, count, sizeof(stop[0]), stop_compare);
	for (size_t i = 0; i < count; i++)
		for (size_t k = i + 1; k < count; k++) {
			if (stop[i] == stop[k] || (i > 0 && stop[i] == stop[i - 1]) || stop[k] == stop[k - 1] || pair_priced(p, line, stop[i], stop[k]))
				continue;
			if (missing++ == 0)
				snprintf(first, sizeof(first), "from stop %u to stop %u", stop[i], stop[k]);
		}
	free(stop);
	snprintf(text, sizeof(text), "no fare %s%s; add the pairs to sections.csv", first, missing > 1 ? " and for other pairs" : "");
	if (missing > 0)
		line_problem(p, "sections.csv", text_at(p, line->name), text);
}

/* ---- moments ------------------------------------------------------------------------------------------------ */

/* Days and minutes at which some fare begins or ends to hold: between two of them nothing changes. */
struct moments { int32_t day[MOMENTS_MAX]; size_t days; uint16_t minute[MINUTES_MAX]; size_t minutes; };

static void day_note(struct moments *m, int32_t day)
{
	for (size_t i = 0; i < m->days; i++)
		if (m->day[i] == day)
			return;
	if (m->days < MOMENTS_MAX)
		m->day[m->days++] = day;
}

static void minute_note(struct moments *m, uint16_t minute)
{
	for (size_t i = 0; i < m->minutes; i++)
		if (m->minute[i] == minute)
			return;
	if (minute < 1440 && m->minutes < MINUTES_MAX)
		m->minute[m->minutes++] = minute;
}

static void seasons_note(struct moments *m, const struct pack *p, int32_t year)
{
	for (uint32_t i = 0; i < p->table[T_SEASON].count; i++) {
		const struct row_season *s = ROW(p, T_SEASON, struct row_season, i);

		for (uint32_t k = 0; k < s->range_count; k++) {
			uint32_t range = *ROW(p, T_LIST, uint32_t, s->range + k), from = range >> 16, to = range & 0xFFFF;

			day_note(m, day_of_civil(year, from / 100, from % 100));
			day_note(m, day_of_civil(year, to / 100, to % 100) + 1);
		}
	}
}

static void moments_find(const struct pack *p, struct moments *m)
{
	int32_t first = day_of_ms(p->head.valid_from_ms), year = civil_of_ms(p->head.valid_from_ms).year;

	*m = (struct moments){ .days = 1, .day = { first }, .minutes = 1 };
	for (uint32_t i = 0; i < p->table[T_FARE].count; i++) {
		const struct row_cond *c = ROW(p, T_COND, struct row_cond, ROW(p, T_FARE, struct row_fare, i)->cond);

		if (c->from_ms > p->head.valid_from_ms)
			day_note(m, day_of_ms(c->from_ms));
		if (c->to_ms > p->head.valid_from_ms && c->to_ms < INT64_MAX / 4)
			day_note(m, day_of_ms(c->to_ms));
		for (uint8_t k = 0; k < c->slots.count; k++) {
			minute_note(m, c->slots.from[k]);
			minute_note(m, c->slots.to[k]);
		}
	}
	seasons_note(m, p, year + 1);
}

struct asked { const struct row_line *line; int32_t day; uint16_t minute; bool rest; uint32_t seasons; uint8_t medium, guest; };

static uint32_t seasons_on(const struct pack *p, int32_t day)
{
	struct civil c = civil_of_ms(day * DAY_MS - CIVIL_OFFSET_MS);
	uint32_t mmdd = c.month * 100u + c.day, mask = 0;

	for (uint32_t i = 0; i < p->table[T_SEASON].count; i++) {
		const struct row_season *s = ROW(p, T_SEASON, struct row_season, i);

		for (uint32_t k = 0; k < s->range_count; k++)
			mask |= season_range_holds(*ROW(p, T_LIST, uint32_t, s->range + k), mmdd) ? 1u << i : 0;
	}
	return mask;
}

static bool names_line(const struct pack *p, uint32_t first, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(text_at(p, *ROW(p, T_LIST, uint32_t, first + i)), name) == 0)
			return true;
	return false;
}

/* Does a fare hold for an ordinary passenger: in no group, with no special product? */
static bool fare_holds(const struct pack *p, const struct row_cond *c, const struct asked *a)
{
	const char *name = text_at(p, a->line->name);
	int64_t at_ms = a->day * DAY_MS - CIVIL_OFFSET_MS + a->minute * 60000LL;
	bool days = c->slots.days == DAYS_ALL || (a->rest ? c->slots.days == DAYS_REST : c->slots.days != DAYS_REST);

	if (c->who != 0 || c->product_count > 0 || !days || !slots_minute_in(&c->slots, a->minute))
		return false;
	if ((c->class_mask >> a->line->class_index & 1) == 0 || (c->mode_mask >> a->line->mode & 1) == 0 || (c->medium_mask >> a->medium & 1) == 0 ||
	    (c->guest_mask >> a->guest & 1) == 0 || at_ms < c->from_ms || at_ms >= c->to_ms)
		return false;
	if (c->season_mask != 0 && (c->season_mask & a->seasons) == 0)
		return false;
	return (c->line_count == 0 || names_line(p, c->line, c->line_count, name)) && !names_line(p, c->not_line, c->not_line_count, name);
}

static bool priced(const struct pack *p, const struct asked *a)
{
	for (uint32_t i = 0; i < p->table[T_FARE].count; i++)
		if (fare_holds(p, ROW(p, T_COND, struct row_cond, ROW(p, T_FARE, struct row_fare, i)->cond), a))
			return true;
	return false;
}

/* One medium and guest class on one line over all moments: prices at some of them and not at others are a gap. */
static bool gap_tell(struct pack *p, const struct moments *m, struct asked a)
{
	struct asked gap = { 0 };
	bool some = false;
	char text[160], day[11];

	for (size_t i = 0; i < m->days; i++)
		for (size_t k = 0; k < 2 * m->minutes; k++) {
			int64_t at_ms = m->day[i] * DAY_MS - CIVIL_OFFSET_MS;

			a.day = m->day[i];
			a.minute = m->minute[k / 2];
			a.rest = k % 2 == 1;
			a.seasons = seasons_on(p, a.day);
			if (at_ms < a.line->from_ms || at_ms >= a.line->to_ms || at_ms < p->head.valid_from_ms)
				continue;
			if (priced(p, &a))
				some = true;
			else if (gap.line == NULL)
				gap = a;
		}
	if (!some || gap.line == NULL)
		return false;
	day_format(gap.day, day);
	snprintf(text, sizeof(text), "no published fare on %s %s from %02u:%02u for %s of %s guests; no entry of fares holds then",
		 gap.rest ? "a rest day like" : "a workday like", day, gap.minute / 60, gap.minute % 60, media[gap.medium], guests[gap.guest]);
	line_problem(p, "lines.csv", text_at(p, gap.line->name), text);
	return true;
}

/* Lines of one class differ only where a fare names lines. */
static bool fares_name_lines(const struct pack *p)
{
	for (uint32_t i = 0; i < p->table[T_FARE].count; i++) {
		const struct row_cond *c = ROW(p, T_COND, struct row_cond, ROW(p, T_FARE, struct row_fare, i)->cond);

		if (c->line_count + c->not_line_count > 0)
			return true;
	}
	return false;
}

static void check_moments(struct pack *p)
{
	bool each_line = fares_name_lines(p);
	uint64_t seen = 0;
	struct moments m;

	moments_find(p, &m);
	for (uint32_t i = 0; i < p->table[T_LINE].count; i++) {
		struct asked a = { .line = ROW(p, T_LINE, struct row_line, i) };
		bool told = false;

		if (a.line->fare_kind != FARE_CLASS || (!each_line && (seen >> a.line->class_index & 1) != 0))
			continue;
		seen |= 1ULL << a.line->class_index;
		for (a.medium = 1; a.medium < CELL_MEDIA && !told; a.medium++)
			for (a.guest = 0; a.guest < CELL_GUESTS && !told; a.guest++)
				told = gap_tell(p, &m, a);
	}
}

/* ---- rules in vain ---------------------------------------------------------------------------------------------- */

static bool list_within(const struct pack *p, uint32_t a, uint32_t a_count, uint32_t b, uint32_t b_count)
{
	for (uint32_t i = 0; i < a_count; i++) {
		bool found = false;

		for (uint32_t k = 0; k < b_count; k++)
			found = found || *ROW(p, T_LIST, uint32_t, a + i) == *ROW(p, T_LIST, uint32_t, b + k);
		if (!found)
			return false;
	}
	return true;
}

/* Everything that meets the narrow condition meets the wide one. */
static bool cond_within(const struct pack *p, const struct row_cond *narrow, const struct row_cond *wide)
{
	if (wide->who != 0 && (narrow->who == 0 || (narrow->who & ~wide->who) != 0))
		return false;
	if ((wide->who_not & ~narrow->who_not) != 0 || (narrow->class_mask & ~wide->class_mask) != 0 || (narrow->medium_mask & ~wide->medium_mask) != 0 ||
	    (narrow->guest_mask & ~wide->guest_mask) != 0 || (narrow->mode_mask & ~wide->mode_mask) != 0)
		return false;
	if (wide->from_ms > narrow->from_ms || wide->to_ms < narrow->to_ms || wide->published_ms > narrow->published_ms)
		return false;
	if (wide->season_mask != 0 && (narrow->season_mask == 0 || (narrow->season_mask & ~wide->season_mask) != 0))
		return false;
	if (wide->fare_min > narrow->fare_min || (wide->fare_max != 0 && (narrow->fare_max == 0 || narrow->fare_max > wide->fare_max)))
		return false;
	if ((wide->line_count > 0 && (narrow->line_count == 0 || !list_within(p, narrow->line, narrow->line_count, wide->line, wide->line_count))) ||
	    (wide->op_count > 0 && (narrow->op_count == 0 || !list_within(p, narrow->op, narrow->op_count, wide->op, wide->op_count))) ||
	    (wide->product_count > 0 &&
	     (narrow->product_count == 0 || !list_within(p, narrow->product, narrow->product_count, wide->product, wide->product_count))))
		return false;
	return list_within(p, wide->not_line, wide->not_line_count, narrow->not_line, narrow->not_line_count) &&
	       list_within(p, wide->not_op, wide->not_op_count, narrow->not_op, narrow->not_op_count) && wide->slots.count == 0 && wide->slots.days == DAYS_ALL;
}

/* A rule without closed hours and quota, so nothing makes it give way. */
static bool gives_way(const struct row_concession *c) { return c->fallback_only || c->quota != 0 || c->shut.count > 0; }

static void check_outranked(struct pack *p)
{
	size_t n = p->table[T_CONCESSION].count;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < n; k++) {
			const struct row_concession *low = ROW(p, T_CONCESSION, struct row_concession, i), *high = ROW(p, T_CONCESSION, struct row_concession, k);

			if (low->fallback_only || concession_named(p, (int16_t)i) || gives_way(high) || high->precedence <= low->precedence ||
			    !cond_within(p, ROW(p, T_COND, struct row_cond, low->cond), ROW(p, T_COND, struct row_cond, high->cond)))
				continue;
			problem(p, p->at_concession[i].file, p->at_concession[i].line, p->at_concession[i].column,
				"\"%s\" can never apply: \"%s\" (line %u) has a higher precedence and holds for all of its rides",
				text_at(p, ROW(p, T_RULE, struct row_rule, low->rule)->id), text_at(p, ROW(p, T_RULE, struct row_rule, high->rule)->id),
				p->at_concession[k].line);
			break;
		}
}

void pack_gaps(struct pack *p)
{
	check_outranked(p);
	if (p->overlay != NULL && p->overlay->lines_csv != NULL)
		return;
	check_moments(p);
	for (uint32_t i = 0; i < p->table[T_LINE].count; i++)
		if (ROW(p, T_LINE, struct row_line, i)->fare_kind == FARE_SECTION && ROW(p, T_LINE, struct row_line, i)->section_count > 0)
			check_sections(p, ROW(p, T_LINE, struct row_line, i));
}
