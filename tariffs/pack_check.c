/*
 * pack_check - what needs the whole pack: rules that can meet, rules nobody can reach, calendar years that are
 * missing; and the decision table that rate() starts from.
 */
#include "tariffs/pack.h"

#include <stdio.h>
#include <string.h>

static bool lists_apart(const struct pack *p, uint32_t a, uint32_t a_count, uint32_t b, uint32_t b_count)
{
	if (a_count == 0 || b_count == 0)
		return false;
	for (uint32_t i = 0; i < a_count; i++)
		for (uint32_t k = 0; k < b_count; k++)
			if (*ROW(p, T_LIST, uint32_t, a + i) == *ROW(p, T_LIST, uint32_t, b + k))
				return false;
	return true;
}

/* Lists of one rule that the other excludes wholly. */
static bool excluded(const struct pack *p, uint32_t only, uint32_t only_count, uint32_t not, uint32_t not_count)
{
	for (uint32_t i = 0; i < only_count; i++) {
		bool found = false;

		for (uint32_t k = 0; k < not_count; k++)
			found = found || *ROW(p, T_LIST, uint32_t, only + i) == *ROW(p, T_LIST, uint32_t, not + k);
		if (!found)
			return false;
	}
	return only_count > 0;
}

bool slots_minute_in(const struct row_slots *s, unsigned minute)
{
	for (uint8_t i = 0; i < s->count; i++)
		if (s->from[i] > s->to[i] ? minute >= s->from[i] || minute < s->to[i] : minute >= s->from[i] && minute < s->to[i])
			return true;
	return s->count == 0;
}

static bool slots_apart(const struct row_slots *a, const struct row_slots *b)
{
	bool work_rest = (a->days == DAYS_REST && (b->days == DAYS_WORK || b->days == DAYS_SCHOOL)) ||
			 (b->days == DAYS_REST && (a->days == DAYS_WORK || a->days == DAYS_SCHOOL));

	if (work_rest)
		return true;
	for (unsigned minute = 0; minute < 1440; minute++)
		if (slots_minute_in(a, minute) && slots_minute_in(b, minute))
			return false;
	return true;
}

static bool has_age(const struct row_group *g) { return g->age_from >= 0 || g->age_to >= 0; }
static bool only_product(const struct row_group *g) { return !g->by_hold && !has_age(g) && g->card_classes == 0 && g->escort_min == 0; }
static bool only_class(const struct row_group *g) { return !g->by_hold && !has_age(g) && g->product_count == 0 && g->escort_min == 0; }
static bool only_age(const struct row_group *g) { return !g->by_hold && g->product_count == 0 && g->card_classes == 0 && g->escort_min == 0; }
static bool only_escort(const struct row_group *g) { return g->escort_min != 0 && !g->by_hold && !has_age(g) && g->product_count == 0 && g->card_classes == 0; }
static bool only_person(const struct row_group *g) { return g->escort_min == 0 && g->product_count == 0 && g->card_classes == 0; }

/* Nobody can be in both: cards have one product and one class, people one age, an escort's card no age and no hold. Holds can
 * always meet. */
static bool two_apart(const struct pack *p, const struct row_group *a, const struct row_group *b)
{
	if ((only_escort(a) && only_person(b)) || (only_escort(b) && only_person(a)))
		return true;
	if (only_product(a) && only_product(b))
		return lists_apart(p, a->product, a->product_count, b->product, b->product_count);
	if (only_class(a) && only_class(b))
		return (a->card_classes & b->card_classes) == 0;
	if (!only_age(a) || !only_age(b) || a->ends != END_BIRTHDAY || b->ends != END_BIRTHDAY)
		return false;
	return (a->age_to >= 0 && b->age_from > a->age_to) || (b->age_to >= 0 && a->age_from > b->age_to);
}

static bool groups_apart(const struct pack *p, uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return false;
	for (uint32_t i = 0; i < p->table[T_GROUP].count; i++)
		for (uint32_t k = 0; k < p->table[T_GROUP].count; k++)
			if ((a >> i & 1) != 0 && (b >> k & 1) != 0 &&
			    (i == k || !two_apart(p, ROW(p, T_GROUP, struct row_group, i), ROW(p, T_GROUP, struct row_group, k))))
				return false;
	return true;
}

/* Can one ride of one rider meet both conditions? */
static bool conds_meet(const struct pack *p, const struct row_cond *a, const struct row_cond *b)
{
	if (groups_apart(p, a->who, b->who))
		return false;
	if ((a->who != 0 && (a->who & ~b->who_not) == 0) || (b->who != 0 && (b->who & ~a->who_not) == 0))
		return false;
	if ((a->class_mask & b->class_mask) == 0 || (a->medium_mask & b->medium_mask) == 0 || (a->guest_mask & b->guest_mask) == 0 ||
	    (a->mode_mask & b->mode_mask) == 0 || a->from_ms >= b->to_ms || b->from_ms >= a->to_ms)
		return false;
	if (a->season_mask != 0 && b->season_mask != 0 && (a->season_mask & b->season_mask) == 0)
		return false;
	if ((a->fare_max != 0 && b->fare_min > a->fare_max) || (b->fare_max != 0 && a->fare_min > b->fare_max))
		return false;
	if (lists_apart(p, a->line, a->line_count, b->line, b->line_count) || lists_apart(p, a->op, a->op_count, b->op, b->op_count) ||
	    lists_apart(p, a->product, a->product_count, b->product, b->product_count))
		return false;
	if (excluded(p, a->line, a->line_count, b->not_line, b->not_line_count) || excluded(p, b->line, b->line_count, a->not_line, a->not_line_count) ||
	    excluded(p, a->op, a->op_count, b->not_op, b->not_op_count) || excluded(p, b->op, b->op_count, a->not_op, a->not_op_count))
		return false;
	return !slots_apart(&a->slots, &b->slots);
}

static const struct row_cond *cond_of(const struct pack *p, const struct row_concession *c) { return ROW(p, T_COND, struct row_cond, c->cond); }

/* Two rules of equal precedence that one ride of one rider can hit. */
static bool overlap(const struct pack *p, const struct row_concession *a, const struct row_concession *b)
{
	return a->precedence == b->precedence && !a->fallback_only && !b->fallback_only && conds_meet(p, cond_of(p, a), cond_of(p, b));
}

static void check_overlaps(struct pack *p)
{
	size_t n = p->table[T_CONCESSION].count;

	for (uint32_t i = 0; i < n && !p->cheapest; i++)
		for (uint32_t k = i + 1; k < n; k++) {
			const struct row_concession *a = ROW(p, T_CONCESSION, struct row_concession, i), *b = ROW(p, T_CONCESSION, struct row_concession, k);

			if (overlap(p, a, b))
				problem(p, p->at_concession[k].file, p->at_concession[k].line, p->at_concession[k].column,
					"\"%s\" and \"%s\" (line %u) have equal precedence and can apply to one ride; give one a higher precedence, or say stacking: cheapest in pack.yaml",
					text_at(p, ROW(p, T_RULE, struct row_rule, b->rule)->id), text_at(p, ROW(p, T_RULE, struct row_rule, a->rule)->id),
					p->at_concession[i].line);
		}
}

static bool line_known(const struct pack *p, const char *line)
{
	for (uint32_t i = 0; i < p->table[T_LINE].count; i++)
		if (strcmp(text_at(p, ROW(p, T_LINE, struct row_line, i)->name), line) == 0)
			return true;
	return false;
}

bool concession_named(const struct pack *p, int16_t index)
{
	for (uint32_t i = 0; i < p->table[T_CONCESSION].count; i++) {
		const struct row_concession *c = ROW(p, T_CONCESSION, struct row_concession, i);

		if (c->shut_then == index || c->quota_then == index)
			return true;
	}
	for (uint32_t i = 0; i < p->table[T_GROUP].count; i++)
		if (ROW(p, T_GROUP, struct row_group, i)->lapsed == index)
			return true;
	for (uint32_t i = 0; i < p->head.card_price_count; i++)
		if (*ROW(p, T_LIST, uint32_t, p->head.card_price + i) == (uint32_t)index)
			return true;
	return false;
}

static void check_reach(struct pack *p)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < p->table[T_LINE].count; i++)
		used |= 1ULL << ROW(p, T_LINE, struct row_line, i)->class_index;
	for (uint32_t i = 0; i < p->table[T_CONCESSION].count; i++) {
		const struct row_concession *c = ROW(p, T_CONCESSION, struct row_concession, i);
		const struct row_cond *cond = cond_of(p, c);
		const struct where *at = &p->at_concession[i];
		const char *id = text_at(p, ROW(p, T_RULE, struct row_rule, c->rule)->id);

		if ((cond->class_mask & used) == 0)
			problem(p, at->file, at->line, at->column, "\"%s\" can never apply: no line is of its classes", id);
		if (cond->from_ms >= cond->to_ms)
			problem(p, at->file, at->line, at->column, "\"%s\" can never apply: it ends before it starts", id);
		if (c->fallback_only && !concession_named(p, (int16_t)i))
			problem(p, at->file, at->line, at->column, "\"%s\" can never apply: it is a fallback that no rule names", id);
		for (uint32_t k = 0; k < cond->line_count; k++)
			if (!line_known(p, text_at(p, *ROW(p, T_LIST, uint32_t, cond->line + k))))
				problem(p, at->file, at->line, at->column, "\"%s\" names line \"%s\", which lines.csv does not have", id,
					text_at(p, *ROW(p, T_LIST, uint32_t, cond->line + k)));
	}
}

/* Lines priced by class need a fare that holds for the class on every day of its own. */
static void check_fares(struct pack *p)
{
	for (uint32_t i = 0; i < p->table[T_LINE].count; i++) {
		const struct row_line *line = ROW(p, T_LINE, struct row_line, i);
		bool found = false;

		for (uint32_t k = 0; k < p->table[T_FARE].count; k++)
			found = found || (ROW(p, T_COND, struct row_cond, ROW(p, T_FARE, struct row_fare, k)->cond)->class_mask >> line->class_index & 1) != 0;
		if (line->fare_kind == FARE_CLASS && !found)
			line_problem(p, "lines.csv", text_at(p, line->name), "priced by its class, and no entry of fares has that class");
	}
}

static void check_calendar(struct pack *p)
{
	struct civil from = civil_of_ms(p->head.valid_from_ms);
	char path[PATH_MAX];

	path_of(p, "calendar.csv", path, sizeof(path));
	for (int32_t year = from.year; p->uses_calendar && year <= from.year + 1; year++) {
		bool found = false;

		for (uint32_t i = 0; i < p->table[T_CALENDAR].count; i++) {
			int32_t day = ROW(p, T_CALENDAR, struct row_calendar, i)->day;

			found = found || (day >= day_of_civil(year, 1, 1) && day <= day_of_civil(year, 12, 31));
		}
		if (!found)
			problem(p, path, 1, 1, "the holidays of %d are missing, and a rule asks for workdays", (int)year);
	}
}

void pack_check(struct pack *p)
{
	if (p->table[T_LINE].count == 0)
		problem(p, p->path[FILE_PACK], 1, 1, "lines.csv has no line");
	check_overlaps(p);
	if (p->overlay == NULL || p->overlay->lines_csv == NULL)
		check_reach(p);
	check_fares(p);
	pack_gaps(p);
	if (p->overlay == NULL || p->overlay->calendar_csv == NULL)
		check_calendar(p);
}

/* Cells of line class x medium x guest class, each the concessions that can hold there; and by group. */
void pack_cells(struct pack *p)
{
	size_t classes = p->table[T_CLASS].count;

	for (size_t i = 0; i < classes * CELL_MEDIA * CELL_GUESTS; i++) {
		unsigned guest = i % CELL_GUESTS, medium = i / CELL_GUESTS % CELL_MEDIA;
		size_t class_index = i / (CELL_GUESTS * CELL_MEDIA);
		uint64_t cell = 0;

		for (uint32_t k = 0; k < p->table[T_CONCESSION].count; k++) {
			const struct row_concession *c = ROW(p, T_CONCESSION, struct row_concession, k);
			const struct row_cond *cond = cond_of(p, c);

			if (!c->fallback_only && (cond->class_mask >> class_index & 1) != 0 && (cond->medium_mask >> medium & 1) != 0 &&
			    (cond->guest_mask >> guest & 1) != 0)
				cell |= 1ULL << k;
		}
		row_add(p, T_CELL, &cell, sizeof(cell));
	}
	for (uint32_t k = 0; k < p->table[T_CONCESSION].count; k++) {
		uint64_t who = cond_of(p, ROW(p, T_CONCESSION, struct row_concession, k))->who;

		if (who == 0)
			p->head.everyone |= 1ULL << k;
		for (uint32_t g = 0; g < p->table[T_GROUP].count; g++)
			if ((who >> g & 1) != 0)
				ROW(p, T_GROUP, struct row_group, g)->concessions |= 1ULL << k;
	}
}
