/*
 * import - a terminals' table laid over the axes of a price book. Each row fills the cells it is about; two rows that fill
 * one cell contradict each other or say a thing twice, and are refused with both places. Cells no row fills stay empty, and
 * are told.
 */
#include "tariffs/params.h"

#include <stdlib.h>
#include <string.h>

bool import_no_memory(struct import *im)
{
	params_problem(&im->table, &im->table.row[0], PARAMS_TYPE, "out of memory");
	return false;
}

/* ---- cells ------------------------------------------------------------------------------------------------------------------------ */

size_t import_cell(const struct import *im, const struct import_family *f, size_t type, size_t journey, size_t day, size_t slot)
{
	return (((type * f->journeys + journey) * im->days + day) * im->slots + slot) * SIDES;
}

size_t import_price(const struct import *im, size_t journey, size_t day, size_t slot) { return ((journey * im->days + day) * im->slots + slot) * SIDES; }

static bool cells_get(struct import *im, struct import_family *f)
{
	size_t prices = f->journeys * im->days * im->slots * SIDES, cells = prices * im->types;

	im->cells += cells;
	if (im->cells > IMPORT_CELLS_MAX) {
		params_problem(&im->table, &im->table.row[0], PARAMS_TYPE, "types, lines, days and hours make more than %u prices", IMPORT_CELLS_MAX);
		return false;
	}
	f->cell = calloc(cells, sizeof(*f->cell));
	f->published = malloc(prices * sizeof(*f->published));
	if (f->cell == NULL || f->published == NULL)
		return import_no_memory(im);
	memset(f->published, 0xFF, prices * sizeof(*f->published));
	return true;
}

/* One cell for a row. False: it was taken. */
static bool cell_fill(struct import *im, struct import_family *f, size_t r, size_t cell, size_t price, unsigned side)
{
	const struct params_row *row = &im->table.row[r];
	uint16_t *at = &f->cell[cell + side];
	int32_t *published = &f->published[price + side];

	if (*at != 0) {
		const struct params_row *other = &im->table.row[*at - 1];

		params_problem(&im->table, row, row->hours > 0 && other->hours > 0 ? PARAMS_HOURS : PARAMS_TYPE,
			       "overlaps line %u, which is about %.60s on line %s as well: same hours, days, medium and card", other->line, im->type[im->row_type[r]].title,
			       im->line[f->first].name);
		return false;
	}
	*at = (uint16_t)(r + 1);
	f->taken |= 1u << side;
	if (row->published >= 0 && *published >= 0 && *published != row->published) {
		params_problem(&im->table, row, PARAMS_PUBLISHED, "%d, and another row says %d for the same ride on line %s", row->published, *published,
			       im->line[f->first].name);
		return false;
	}
	if (row->published >= 0)
		*published = row->published;
	return true;
}

static bool row_fill(struct import *im, struct import_family *f, size_t r, size_t journey)
{
	const struct params_row *row = &im->table.row[r];

	for (size_t day = 0; day < im->days; day++)
		for (size_t slot = 0; slot < im->slots && (im->row_days[r] >> day & 1) != 0; slot++)
			for (unsigned side = 0; side < SIDES && import_row_at(im, row, slot); side++)
				if ((row->media >> side / GUEST_COUNT & 1) != 0 && (row->guests >> side % GUEST_COUNT & 1) != 0 &&
				    !cell_fill(im, f, r, import_cell(im, f, im->row_type[r], journey, day, slot), import_price(im, journey, day, slot), side))
					return false;
	return true;
}

static bool family_fill(struct import *im, struct import_family *f)
{
	bool good = true;

	for (size_t r = 0; r < im->table.count; r++) {
		struct import_journey j;

		if (!import_row_names(im, &im->table.row[r], &im->line[f->first]) || !import_journey_read(im->table.row[r].text[PARAMS_JOURNEY], &j))
			continue;
		for (size_t k = 0; k < f->journeys && good; k++)
			if (j.text[0] == '\0' || f->journey[k].at == j.at)
				good = row_fill(im, f, r, k);
	}
	return good;
}

/* Published fares that no row tells: where prices are told, the dearest of the journey; what a section costs is in its name;
 * the rest stays untold, and the terminal's own price counts. */
static void published_guess(const struct import *im, struct import_family *f)
{
	size_t part = im->days * im->slots * SIDES;

	for (size_t j = 0; j < f->journeys; j++) {
		int32_t dearest = f->journey[j].kind == JOURNEY_SECTION ? (int32_t)f->journey[j].at : -1;
		int32_t *published = f->published + j * part;

		for (size_t type = 0; type < im->types; type++)
			for (size_t i = 0; i < part; i++) {
				uint16_t row = f->cell[(type * f->journeys + j) * part + i];

				if (row != 0 && f->journey[j].kind != JOURNEY_SECTION && im->table.row[row - 1].price > dearest)
					dearest = im->table.row[row - 1].price;
			}
		for (size_t i = 0; i < part; i++)
			if (published[i] < 0 && dearest > 0 && f->journey[j].kind != JOURNEY_TAP && (f->taken >> i % SIDES & 1) != 0)
				published[i] = dearest;
	}
}

/* What a journey costs by this medium and card where no row is about the moment: as at another moment, else as by another. */
static int32_t published_else(const struct import *im, const struct import_family *f, size_t journey, unsigned side)
{
	const int32_t *published = f->published + import_price(im, journey, 0, 0);
	int32_t other = -1;

	for (size_t i = 0; i < im->days * im->slots * SIDES; i++) {
		if (published[i] >= 0 && i % SIDES == side)
			return published[i];
		if (published[i] >= 0 && other < 0)
			other = published[i];
	}
	return other;
}

static void published_spread(const struct import *im, struct import_family *f)
{
	for (size_t j = 0; j < f->journeys; j++)
		for (unsigned side = 0; side < SIDES; side++) {
			int32_t known = (f->taken >> side & 1) != 0 ? published_else(im, f, j, side) : -1;

			for (size_t i = 0; i < im->days * im->slots; i++) {
				int32_t *published = &f->published[import_price(im, j, 0, 0) + i * SIDES + side];

				if (*published < 0)
					*published = known;
			}
		}
}

/* A fare by sections, stops, metres or zones needs the prices; one that no row tells at all is the terminal's. */
static bool published_check(struct import *im, const struct import_family *f)
{
	for (size_t i = 0; i < f->journeys * im->days * im->slots * SIDES; i++) {
		const struct import_journey *j = &f->journey[i / (im->days * im->slots * SIDES)];
		const char *fault = NULL;

		if ((f->taken >> i % SIDES & 1) == 0)
			continue;
		if (j->kind == JOURNEY_STEP && f->published[i] < 0)
			fault = "a published_fen or a price_fen is needed for it";
		else if (j->kind == JOURNEY_SECTION && f->published[i] != (int32_t)j->at)
			fault = "the published_fen of a section is its price, at any time and by any medium";
		if (fault == NULL)
			continue;
		for (size_t r = 0; r < im->table.count; r++)
			if (strcmp(im->table.row[r].text[PARAMS_JOURNEY], j->text) == 0) {
				params_problem(&im->table, &im->table.row[r], PARAMS_JOURNEY, "%s", fault);
				return false;
			}
	}
	return true;
}

static void eras_find(const struct import *im, struct import_family *f)
{
	size_t per_day = im->slots * SIDES;

	f->era_from = (int)im->dates + 1;
	for (size_t i = 0; i < im->types * f->journeys * im->days * per_day; i++) {
		int era = (int)import_era_of(im, i / per_day % im->days);

		if (f->cell[i] == 0)
			continue;
		if (era < f->era_from)
			f->era_from = era;
		if (era >= f->era_to)
			f->era_to = era + 1;
	}
}

static bool cells_lay(struct import *im)
{
	for (size_t i = 0; i < im->families; i++) {
		struct import_family *f = &im->family[i];

		if (!import_journeys_lay(im, f) || !cells_get(im, f) || !family_fill(im, f))
			return false;
		eras_find(im, f);
		published_guess(im, f);
		published_spread(im, f);
		if (!published_check(im, f))
			return false;
	}
	return true;
}

/* ---- what rows say ------------------------------------------------------------------------------------------------------------------ */

int64_t import_round(const struct import *im, int64_t fen, int64_t percent)
{
	return money_scale(money_of_fen(fen), percent, 100, im->round_mode, im->round_unit).fen;
}

/* Does this rounding give every price of the table? told: some price needs it. */
static bool rounding_fits(struct import *im, enum money_round mode, int64_t unit, const struct params_row **ret_first, bool *ret_told)
{
	im->round_mode = mode;
	im->round_unit = unit;
	*ret_told = false;
	for (size_t i = 0; i < im->table.count; i++) {
		const struct params_row *row = &im->table.row[i];

		if (row->price < 0 || row->published < 0)
			continue;
		*ret_first = row;
		if (import_round(im, row->price, 100) != row->price || (row->percent >= 0 && import_round(im, row->published, row->percent) != row->price))
			return false;
		*ret_told = *ret_told || (row->percent >= 0 && (int64_t)row->published * row->percent % (100 * unit) != 0);
	}
	return true;
}

static bool rounding_lay(struct import *im)
{
	static const int64_t units[] = { 1, 10, 50, 100 };
	const struct params_row *first = NULL, *wrong = NULL;
	bool told = false;

	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++)
		for (int mode = ROUND_HALF_UP; mode <= ROUND_CEIL; mode++) {
			if (rounding_fits(im, (enum money_round)mode, units[u], &first, &told)) {
				im->round_told = told;
				return true;
			}
			if (wrong == NULL)
				wrong = first;
		}
	params_problem(&im->table, wrong, PARAMS_PERCENT, "%d percent of %d is not %d, however it is rounded, or other rows need another rounding", wrong->percent,
		       wrong->published, wrong->price);
	return false;
}

static struct import_spec spec_of(const struct params_row *row)
{
	struct import_spec s = { .fixed = row->percent < 0, .value = row->percent >= 0 ? row->percent : row->price };

	if (s.fixed && (row->price == 0 || row->price == row->published))
		s = (struct import_spec){ .value = row->price == 0 ? 0 : 100 };
	memcpy(s.limit, row->limit, sizeof(s.limit));
	if (row->limit[LIMIT_SLOT] >= 0) {
		s.from = row->hour[0].from;
		s.to = row->hour[0].to;
	}
	return s;
}

static bool specs_lay(struct import *im)
{
	im->spec = calloc(im->table.count, sizeof(*im->spec));
	im->row_spec = calloc(im->table.count, sizeof(*im->row_spec));
	if (im->spec == NULL || im->row_spec == NULL)
		return import_no_memory(im);
	for (size_t i = 0; i < im->table.count; i++) {
		struct import_spec s = spec_of(&im->table.row[i]);
		size_t k = 0;

		while (k < im->specs && (im->spec[k].fixed != s.fixed || im->spec[k].value != s.value || memcmp(im->spec[k].limit, s.limit, sizeof(s.limit)) != 0 || im->spec[k].from != s.from))
			k++;
		if (k == IMPORT_RULES_MAX + 1) {	/* all but the published fare need a rule at least */
			params_problem(&im->table, &im->table.row[i], PARAMS_PERCENT, "more than %d different prices: a pack has at most as many rules", IMPORT_RULES_MAX);
			return false;
		}
		if (k == im->specs)
			im->spec[im->specs++] = s;
		im->row_spec[i] = (uint16_t)k;
	}
	return true;
}

bool import_lay(struct import *im)
{
	im->row_days = calloc(im->table.count, sizeof(*im->row_days));
	im->row_type = calloc(im->table.count, sizeof(*im->row_type));
	if (im->row_days == NULL || im->row_type == NULL)
		return import_no_memory(im);
	return import_types_lay(im) && import_days_lay(im) && import_first_day_lay(im) && import_hours_lay(im) && import_lines_lay(im) && rounding_lay(im) && specs_lay(im) && cells_lay(im);
}

void import_done(struct import *im)
{
	for (size_t i = 0; i < im->lines; i++)
		free((char *)(uintptr_t)im->line[i].name);
	for (size_t i = 0; i < im->families; i++) {
		free(im->family[i].cell);
		free(im->family[i].published);
	}
	free(im->line);
	free(im->family);
	free(im->row_days);
	free(im->row_type);
	free(im->spec);
	free(im->row_spec);
	params_done(&im->table);
}
