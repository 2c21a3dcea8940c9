/*
 * import_axes - what a terminals' table tells apart of riders, days and hours: its types; kinds of days by workday, season
 * and date; the minutes at which some row begins or ends.
 */
#include "tariffs/params.h"

#include <stdlib.h>
#include <string.h>

/* What the days of a row say, one kind after the other. */
struct kind { enum import_base base; bool plain, dated; size_t season; int32_t since, until; };	/* season: seasons: none said */
struct days_said { struct kind kind[IMPORT_DAYS_MAX]; size_t count; };

/* ---- types --------------------------------------------------------------------------------------------------------- */

static bool plain_word(const char *text)
{
	return text[0] != '\0' && text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_")] == '\0';
}

static bool name_taken(const struct import *im, const char *name)
{
	for (size_t i = 0; i < im->types; i++)
		if (strcmp(im->type[i].name, name) == 0)
			return true;
	return false;
}

static bool type_is(const struct import *im, size_t i, const struct params_row *row)
{
	if (row->code != 0 || im->type[i].code != 0)
		return row->code == im->type[i].code;
	return strcmp(row->text[PARAMS_TYPE], im->type[i].name) == 0 || strcmp(row->text[PARAMS_TYPE], im->type[i].title) == 0;
}

static bool type_add(struct import *im, const struct params_row *row)
{
	const char *said = row->text[PARAMS_TYPE], *title = row->text[PARAMS_TITLE][0] != '\0' ? row->text[PARAMS_TITLE] : said;
	struct import_type *t = &im->type[im->types];
	const struct params_type *of = params_type_of(row->code);

	if (im->types > IMPORT_TYPES_MAX) {
		params_problem(&im->table, row, PARAMS_TYPE, "more than %d types", IMPORT_TYPES_MAX);
		return false;
	}
	*t = (struct import_type){ .name = said, .title = title, .code = row->code };
	if (of != NULL) {
		t->name = of->name;
		if (row->text[PARAMS_TITLE][0] == '\0')
			t->title = of->title;
	}
	if (!plain_word(t->name) || name_taken(im, t->name)) {
		snprintf(t->made, sizeof(t->made), "type%zu", im->types);
		t->name = t->made;
	}
	im->types++;
	return true;
}

bool import_types_lay(struct import *im)
{
	im->type[im->types++] = (struct import_type){ .name = "ordinary", .title = "普通乘客", .code = 1 };
	for (size_t i = 0; i < im->table.count; i++) {
		const struct params_row *row = &im->table.row[i];
		size_t k = params_type_everybody(row->text[PARAMS_TYPE]) ? 0 : 1;

		while (k > 0 && k < im->types && !type_is(im, k, row))
			k++;
		if (k == im->types && !type_add(im, row))
			return false;
		im->row_type[i] = k;
	}
	return true;
}

/* ---- days --------------------------------------------------------------------------------------------------------------- */

/* "2025-01-01起", "2025-01-01前" */
static bool date_word(const char *word, const char *end, int32_t *ret_day)
{
	char date[11];

	if (strlen(word) != 10 + strlen(end) || strcmp(word + 10, end) != 0)
		return false;
	memcpy(date, word, 10);
	date[10] = '\0';
	return day_parse(date, ret_day);
}

static int base_word(const char *word)
{
	static const char *const words[] = { [BASE_WORK] = "工作日", [BASE_REST] = "休息日", [BASE_NO_SCHOOL] = "无课工作日", [BASE_ALL] = "每天" };

	for (int i = 0; i <= BASE_ALL; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

static size_t season_place(struct import *im, const struct params_row *row, const char *word)
{
	size_t i = 0;

	while (i < im->seasons && strcmp(im->season[i], word) != 0)
		i++;
	if (i < im->seasons)
		return i;
	if (im->seasons == IMPORT_SEASONS_MAX || strlen(word) >= sizeof(im->season[0])) {
		params_problem(&im->table, row, PARAMS_DAYS, "more than %d seasons, or a name above 43 bytes: \"%.50s\"", IMPORT_SEASONS_MAX, word);
		return 0;
	}
	memcpy(im->season[im->seasons], word, strlen(word) + 1);
	return im->seasons++;
}

static struct kind *kind_new(struct import *im, struct days_said *d, const struct params_row *row)
{
	if (d->count == IMPORT_DAYS_MAX) {
		params_problem(&im->table, row, PARAMS_DAYS, "more than %d kinds of days", IMPORT_DAYS_MAX);
		return NULL;
	}
	d->kind[d->count] = (struct kind){ .base = BASE_ALL, .season = SIZE_MAX, .since = DAY_NONE, .until = DAY_NONE };
	return &d->kind[d->count++];
}

/* A kind is: base, season, since, until, each at most once and in this order; a word out of it begins the next. */
static bool kind_word(struct import *im, struct days_said *d, const struct params_row *row, const char *word)
{
	struct kind *k = d->count > 0 ? &d->kind[d->count - 1] : NULL;
	int base = base_word(word);
	int32_t day;

	if (base >= 0) {
		if ((k = kind_new(im, d, row)) == NULL)
			return false;
		k->base = (enum import_base)base;
		k->plain = true;
	} else if (date_word(word, "起", &day)) {
		if ((k == NULL || k->dated) && (k = kind_new(im, d, row)) == NULL)
			return false;
		k->since = day;
		k->dated = true;
	} else if (date_word(word, "前", &day)) {
		if ((k == NULL || k->until != DAY_NONE) && (k = kind_new(im, d, row)) == NULL)
			return false;
		k->until = day;
		k->dated = true;
	} else {
		if (k != NULL && !k->dated && k->season != SIZE_MAX) {
			params_problem(&im->table, row, PARAMS_DAYS, "two seasons at once, \"%.40s\" and \"%.40s\": a rule of a pack is for one; write those rows by hand",
				       im->season[k->season], word);
			return false;
		}
		if ((k == NULL || k->dated) && (k = kind_new(im, d, row)) == NULL)
			return false;
		k->season = season_place(im, row, word);
	}
	return true;
}

/* No kinds: every day. */
static bool days_said_read(struct import *im, const struct params_row *row, struct days_said *ret)
{
	const char *at = row->text[PARAMS_DAYS];
	char word[64];

	ret->count = 0;
	if (strcmp(at, "全年") == 0)
		return true;
	while (params_word_next(&at, word, sizeof(word)))
		if (!kind_word(im, ret, row, word))
			return false;
	if (at[strspn(at, " ")] != '\0') {
		params_problem(&im->table, row, PARAMS_DAYS, "a word of at most 63 bytes is needed");
		return false;
	}
	for (size_t i = 0; i < ret->count; i++)
		if (ret->kind[i].since != DAY_NONE && ret->kind[i].until != DAY_NONE && ret->kind[i].since >= ret->kind[i].until) {
			params_problem(&im->table, row, PARAMS_DAYS, "it ends before it begins");
			return false;
		}
	return true;
}

static void date_add(struct import *im, const struct params_row *row, int32_t day)
{
	size_t at = 0;

	while (at < im->dates && im->date[at] < day)
		at++;
	if (day == DAY_NONE || (at < im->dates && im->date[at] == day))
		return;
	if (im->dates == IMPORT_DATES_MAX) {
		params_problem(&im->table, row, PARAMS_DAYS, "more than %d dates", IMPORT_DATES_MAX);
		return;
	}
	memmove(im->date + at + 1, im->date + at, (im->dates - at) * sizeof(im->date[0]));
	im->date[at] = day;
	im->dates++;
}

static bool hours_meet(const struct params_row *a, const struct params_row *b)
{
	bool meet = a->hours == 0 || b->hours == 0;

	for (uint8_t i = 0; i < a->hours; i++)
		for (uint8_t k = 0; k < b->hours; k++)
			meet = meet || (a->hour[i].from < b->hour[k].to && b->hour[k].from < a->hour[i].to);
	return meet;
}

static bool same_text(const struct params_row *a, const struct params_row *b, enum params_column c) { return strcmp(a->text[c], b->text[c]) == 0; }

/* 每天 alone is what no season has, where 全年 is said as well, or where a row of some 每天 with a season would say the same
 * thing otherwise; else it is every day. */
static bool everyday_is_plain(const struct import *im, const struct days_said *said)
{
	for (size_t i = 0; i < im->table.count; i++) {
		const struct params_row *a = &im->table.row[i];

		if (strcmp(a->text[PARAMS_DAYS], "全年") == 0)
			return true;
		for (size_t k = 0; k < im->table.count && strcmp(a->text[PARAMS_DAYS], "每天") == 0; k++) {
			const struct params_row *b = &im->table.row[k];

			if (said[k].count > 0 && said[k].kind[0].season != SIZE_MAX && im->row_type[i] == im->row_type[k] && same_text(a, b, PARAMS_LINES) &&
			    same_text(a, b, PARAMS_CLASS) && same_text(a, b, PARAMS_JOURNEY) && (a->media & b->media) != 0 && (a->guests & b->guests) != 0 &&
			    hours_meet(a, b))
				return true;
		}
	}
	return false;
}

static bool is_everyday(const struct days_said *d, bool seasonal)
{
	return d->count == 0 || (d->count == 1 && d->kind[0].base == BASE_ALL && d->kind[0].season == SIZE_MAX && !d->kind[0].dated && !seasonal);
}

static uint32_t kind_mask(const struct import *im, const struct kind *k)
{
	uint32_t mask = 0;

	for (size_t day = 0; day < im->days; day++) {
		size_t base = import_base_of(im, day), season = import_season_of(im, day), era = import_era_of(im, day);
		bool since = k->since == DAY_NONE || (era > 0 && im->date[era - 1] >= k->since), until = k->until == DAY_NONE || (era < im->dates && im->date[era] <= k->until);

		if ((k->base == BASE_ALL || !im->by_work || (size_t)k->base == base) && season == (k->season == SIZE_MAX ? im->seasons : k->season) && since && until)
			mask |= 1u << day;
	}
	return mask;
}

size_t import_base_of(const struct import *im, size_t day) { return day % im->bases; }
size_t import_season_of(const struct import *im, size_t day)
{
	size_t place = day / im->bases % im->season_places;

	return im->seasons == 0 ? 0 : place;
}
size_t import_era_of(const struct import *im, size_t day) { return day / im->bases / im->season_places; }
bool import_layered(const struct import *im) { return im->no_school || (im->plain_season && im->seasons > 0); }

bool import_days_lay(struct import *im)
{
	struct days_said *said = calloc(im->table.count, sizeof(*said));
	bool good = said != NULL || import_no_memory(im), seasonal = false;

	for (size_t i = 0; good && i < im->table.count; i++) {
		good = days_said_read(im, &im->table.row[i], &said[i]);
		for (size_t k = 0; good && k < said[i].count; k++) {
			const struct kind *kind = &said[i].kind[k];

			date_add(im, &im->table.row[i], kind->since);
			date_add(im, &im->table.row[i], kind->until);
			im->by_work = im->by_work || kind->base != BASE_ALL;
			im->no_school = im->no_school || kind->base == BASE_NO_SCHOOL;
		}
	}
	seasonal = good && im->seasons > 0 && everyday_is_plain(im, said);
	for (size_t i = 0; good && i < im->table.count; i++)
		for (size_t k = 0; k < said[i].count && !is_everyday(&said[i], seasonal); k++)
			im->plain_season = im->plain_season || said[i].kind[k].season == SIZE_MAX;
	im->bases = im->by_work ? im->no_school ? 3 : 2 : 1;
	im->season_places = im->seasons == 0 ? 1 : im->seasons + (im->plain_season ? 1 : 0);
	im->days = (im->dates + 1) * im->season_places * im->bases;
	if (good && im->days > IMPORT_DAYS_MAX) {
		params_problem(&im->table, &im->table.row[0], PARAMS_DAYS, "%zu kinds of days, more than %d", im->days, IMPORT_DAYS_MAX);
		good = false;
	}
	for (size_t i = 0; good && i < im->table.count; i++) {
		im->row_days[i] = is_everyday(&said[i], seasonal) ? (uint32_t)((1ULL << im->days) - 1) : 0;
		for (size_t k = 0; k < said[i].count && !is_everyday(&said[i], seasonal); k++)
			im->row_days[i] |= kind_mask(im, &said[i].kind[k]);
	}
	free(said);
	return good && im->table.problems == 0;
}

/* ---- hours ------------------------------------------------------------------------------------------------------------------- */

bool import_hours_lay(struct import *im)
{
	bool cut[1441] = { true };

	for (size_t i = 0; i < im->table.count; i++)
		for (uint8_t k = 0; k < im->table.row[i].hours; k++)
			cut[im->table.row[i].hour[k].from] = cut[im->table.row[i].hour[k].to] = true;
	cut[1440] = false;
	for (unsigned m = 0; m < 1440; m++) {
		if (!cut[m])
			continue;
		if (im->slots == IMPORT_SLOTS_MAX) {
			params_problem(&im->table, &im->table.row[0], PARAMS_HOURS, "more than %d different hours", IMPORT_SLOTS_MAX);
			return false;
		}
		im->minute[im->slots++] = (uint16_t)m;
	}
	im->minute[im->slots] = 1440;
	return true;
}

bool import_row_at(const struct import *im, const struct params_row *row, size_t slot)
{
	for (uint8_t i = 0; i < row->hours; i++)
		if (row->hour[i].from <= im->minute[slot] && im->minute[slot] < row->hour[i].to)
			return true;
	return row->hours == 0;
}

/* The pack begins before the first date the table names, or the days before it would be in no pack. */
bool import_first_day_lay(struct import *im)
{
	char date[11];

	if (im->first_day == DAY_NONE)
		im->first_day = im->dates == 0 ? im->today : im->date[0];
	else if (im->dates == 0 || im->first_day < im->date[0])
		return true;
	else
		for (size_t i = 0; i < im->table.count; i++)
			if (strstr(im->table.row[i].text[PARAMS_DAYS], "起") != NULL || strstr(im->table.row[i].text[PARAMS_DAYS], "前") != NULL) {
				day_format(im->date[0], date);
				params_problem(&im->table, &im->table.row[i], PARAMS_DAYS,
					       "the table has prices from before %s, and the pack begins later: name an earlier first day", date);
				return false;
			}
	im->first_day = day_of_civil(civil_of_ms((int64_t)im->first_day * 86400000 - CIVIL_OFFSET_MS).year - (im->dates > 0 ? 1 : 0), 1, 1);
	return true;
}
