/*
 * import_fares - how the lines of a terminals' table are priced: one price, the terminal's own, sections, or entries of
 * fares where the price goes by stops, metres or zones, or by time, medium and card.
 */
#include "tariffs/params.h"

#include <stdlib.h>
#include <string.h>

#define RANKS 6		/* layers: days of a season before those of none, school days before workdays */

/* ---- published fares ------------------------------------------------------------------------------------------------------ */

enum import_fare import_fare_of(const struct import *im, const struct import_family *f, int32_t *ret_fen)
{
	size_t count = f->journeys * im->days * im->slots * SIDES;
	bool same = true, told = false;

	if (f->journey[0].kind == JOURNEY_TAP)
		return IMPORT_TAP;
	for (size_t i = 0; i < count; i++) {
		same = same && f->published[i] == f->published[0];
		told = told || f->published[i] >= 0;
	}
	*ret_fen = f->published[0];
	if (f->journey[0].kind == JOURNEY_SECTION) {
		*ret_fen = (int32_t)f->journey[f->journeys - 1].at;
		return IMPORT_SECTION;
	}
	if (f->journey[0].kind == JOURNEY_FLAT && !told)
		return IMPORT_TAP;
	return f->journey[0].kind == JOURNEY_FLAT && same && *ret_fen > 0 ? IMPORT_FLAT : IMPORT_CLASS;
}

struct fares { struct import *im; FILE *out[RANKS]; const struct import_family *f; const bool *family; size_t cell; unsigned count; };	/* out: by rank, written highest first */

static void steps_write(const struct import *im, FILE *out, const struct import_family *f, size_t cell)
{
	static const struct { char unit; const char *word; } units[] = { { 'm', "m" }, { 's', "stops" }, { 'z', "zones" } };
	size_t part = im->days * im->slots * SIDES;
	int32_t before = 0;

	for (size_t i = 0; i < 3; i++)
		if (units[i].unit == f->journey[0].unit)
			fprintf(out, "    by: %s\n    steps: [", units[i].word);
	for (size_t j = 0; j < f->journeys; j++) {
		int32_t fen = f->published[j * part + cell];

		if (j > 0 && j + 1 == f->journeys)
			fprintf(out, "{each: %u, fen: %d}", f->journey[j].at - f->journey[j - 1].at, fen - before);
		else
			fprintf(out, "{upto: %u, fen: %d}%s", f->journey[j].at, fen - before, j + 1 < f->journeys ? ", " : "");
		before = fen;
	}
	fputs("]", out);
	fputs(f->journeys > 1 ? "	# 待定 to be settled by you: 末段以远的票价 what is paid beyond the last step\n" : "\n", out);
}

static void fare_write(void *arg, const struct import_box *box)
{
	struct fares *x = arg;
	FILE *out = x->out[box->rank];

	fprintf(out, "  - id: fare_%u\n    title: ", ++x->count);
	import_scalar(out, x->im->class[x->f->class]);
	fputs("\n    basis: \"机具参数表\"\n", out);
	if (box->since != DAY_NONE)
		import_date_write(out, "from", box->since);
	import_lines_write(x->im, out, x->family);
	import_box_write(x->im, out, box, true);
	if (x->f->journey[0].kind == JOURNEY_STEP)
		steps_write(x->im, out, x->f, x->cell);
	else
		fprintf(out, "    flat_fen: %d\n", x->f->published[x->cell]);
}

/* Do two places of a family have the same fares of all journeys? */
static bool same_fares(const struct import *im, const struct import_family *f, size_t a, size_t b)
{
	size_t part = im->days * im->slots * SIDES;

	for (size_t j = 0; j < f->journeys; j++)
		if (f->published[j * part + a] != f->published[j * part + b])
			return false;
	return true;
}

static bool fares_rise(struct import *im, const struct import_family *f, size_t cell)
{
	size_t part = im->days * im->slots * SIDES;

	for (size_t j = 1; j < f->journeys; j++)
		if (f->published[j * part + cell] < f->published[(j - 1) * part + cell]) {
			for (size_t r = 0; r < im->table.count; r++)
				if (strcmp(im->table.row[r].text[PARAMS_JOURNEY], f->journey[j].text) == 0) {
					params_problem(&im->table, &im->table.row[r], PARAMS_PUBLISHED, "the longer journey %s costs less than %s; a fare by steps rises",
						       f->journey[j].text, f->journey[j - 1].text);
					break;
				}
			return false;
		}
	return true;
}

static bool family_fares(struct fares *x)
{
	const struct import_family *f = x->f;
	struct import *im = x->im;
	size_t part = im->days * im->slots * SIDES;
	uint32_t *grid = calloc(im->days * im->slots, sizeof(*grid));
	bool good = grid != NULL;

	for (size_t a = 0; good && a < part; a++) {
		size_t b = 0;

		while (b < a && !same_fares(im, f, a, b))
			b++;
		if (b < a || f->published[a] < 0)
			continue;
		good = fares_rise(im, f, a);
		for (size_t i = 0; i < part / SIDES; i++) {
			grid[i] = 0;
			for (unsigned side = 0; side < SIDES; side++)
				grid[i] |= same_fares(im, f, a, i * SIDES + side) ? 1u << side : 0;
		}
		x->cell = a;
		if (good)
			import_boxes(im, grid, fare_write, x);
	}
	free(grid);
	return good;
}

static bool families_alike(const struct import *im, const struct import_family *a, const struct import_family *b)
{
	if (a->class != b->class || a->journeys != b->journeys)
		return false;
	for (size_t j = 0; j < a->journeys; j++)
		if (strcmp(a->journey[j].text, b->journey[j].text) != 0)
			return false;
	return memcmp(a->published, b->published, a->journeys * im->days * im->slots * SIDES * sizeof(*a->published)) == 0;
}

static bool families_fares(struct fares *x, bool *family, bool *done)
{
	struct import *im = x->im;
	int32_t unused;

	for (size_t i = 0; i < im->families; i++) {
		if (done[i] || import_fare_of(im, &im->family[i], &unused) != IMPORT_CLASS)
			continue;
		memset(family, 0, im->families * sizeof(*family));
		for (size_t k = i; k < im->families; k++)
			if (families_alike(im, &im->family[i], &im->family[k]))
				family[k] = done[k] = true;
		x->f = &im->family[i];
		x->family = family;
		if (!family_fares(x))
			return false;
	}
	return true;
}

bool import_fares_write(struct import *im, FILE *out)
{
	struct fares x = { .im = im };
	char *text[RANKS] = { NULL };
	size_t n[RANKS];
	bool *family = calloc(im->families, 2 * sizeof(*family)), good = family != NULL;

	for (int i = 0; i < RANKS; i++)
		good = good && (x.out[i] = open_memstream(&text[i], &n[i])) != NULL;
	good = good && families_fares(&x, family, family + im->families);
	for (int i = 0; i < RANKS; i++)
		if (x.out[i] != NULL)
			fclose(x.out[i]);
	if (good && x.count > 0) {
		fputs("fares:\n", out);
		for (int i = RANKS - 1; i >= 0; i--)
			fputs(text[i], out);
	}
	for (int i = 0; i < RANKS; i++)
		free(text[i]);
	free(family);
	return good;
}
