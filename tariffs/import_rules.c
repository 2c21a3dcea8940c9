/*
 * import_rules - the rules that give the prices of a terminals' table: cells with one price joined into boxes of days,
 * hours, media and cards' homes, boxes of the same form joined over lines. What a member of a group pays as anybody does
 * needs no rule of its own; where days are those that others leave, every cell has one, and the rules stand in layers.
 */
#include "tariffs/params.h"

#include <stdlib.h>
#include <string.h>

#define QUOTAS_MAX 10			/* RIDER_ACC_MAX: accounts of a rider */

/* ---- concessions -------------------------------------------------------------------------------------------------------- */

struct quota { size_t type; enum limit_of of; int32_t limit; uint16_t from, to; };
struct rules {
	struct import *im;
	FILE *out;
	struct quota quota[QUOTAS_MAX]; size_t quotas;
	size_t type, spec, count, of_type;	/* count: concessions; of_type: of this type */
	const bool *family;
	int32_t fare;			/* published fare the rule is about; -1: any */
	const struct import_family *first;	/* one of the families, for the place */
	unsigned line;			/* of the table */
	bool full;
};

static bool quota_same(const struct quota *a, const struct quota *b)
{
	return a->type == b->type && a->of == b->of && a->limit == b->limit && a->from == b->from && a->to == b->to;
}

static void quota_id(const struct import *im, const struct quota *q, char ret[96])
{
	static const char *const of[LIMITS] = { "slot", "day", "month" };
	int n = snprintf(ret, 96, "%.60s-%s%d", im->type[q->type].name, of[q->of], q->limit);

	if (q->of == LIMIT_SLOT)
		snprintf(ret + n, 96 - (size_t)n, "-%02u%02u", q->from / 60, q->from % 60);
}

static void rules_full(struct rules *x, enum params_column c, const char *what)
{
	if (!x->full)
		params_problem(&x->im->table, &x->im->table.row[0], c, "%s", what);
	x->full = true;
}

/* The accounts of the rule's limits by name, each noted for the list of quotas. */
static void limits_write(struct rules *x)
{
	const struct import_spec *s = &x->im->spec[x->spec];
	size_t n = 0;
	char id[96];

	for (int i = 0; i < LIMITS; i++) {
		struct quota q = { x->type, (enum limit_of)i, s->limit[i], i == LIMIT_SLOT ? s->from : 0, i == LIMIT_SLOT ? s->to : 0 };
		size_t k = 0;

		if (s->limit[i] < 0)
			continue;
		while (k < x->quotas && !quota_same(&x->quota[k], &q))
			k++;
		if (k == QUOTAS_MAX) {
			rules_full(x, PARAMS_LIMIT_DAY, "more than 10 different limits of types: a pack counts at most 10");
			return;
		}
		x->quota[k] = q;
		x->quotas += k == x->quotas;
		quota_id(x->im, &q, id);
		fputs(n++ == 0 ? "    quota: [" : ", ", x->out);
		import_scalar(x->out, id);
	}
	if (n > 0)
		fputs("]\n    quota_empty: other	# 待定 to be settled by you: 次数用完后按下一条规则 the next rule when rides are used up\n", x->out);
}

static void price_write(const struct import_spec *s, FILE *out)
{
	if (s->fixed)
		fprintf(out, "    price: {fixed_fen: %d}\n", s->value);
	else if (s->value == 0 || s->value == 100)
		fprintf(out, "    price: %s\n", s->value == 0 ? "free" : "published");
	else
		fprintf(out, "    price: %d%%\n", s->value);
}

static void price_title(const struct import_spec *s, char *ret, size_t bytes)
{
	if (s->fixed)
		snprintf(ret, bytes, "%d.%02d 元", s->value / 100, s->value % 100);
	else if (s->value == 0 || s->value == 100)
		snprintf(ret, bytes, "%s", s->value == 0 ? "免费" : "票面价");
	else
		snprintf(ret, bytes, "票面价的 %d%%", s->value);
}

static void concession_write(void *arg, const struct import_box *box)
{
	struct rules *x = arg;
	const struct import *im = x->im;
	const struct import_spec *s = &im->spec[x->spec];
	char text[200], price[40];

	if (x->count++ == IMPORT_RULES_MAX) {
		rules_full(x, PARAMS_TYPE, "the prices of the table need more than 64 rules, and a pack has at most 64: split it by operator or class of lines");
		return;
	}
	x->of_type++;
	snprintf(text, sizeof(text), x->of_type == 1 ? "%s" : "%s_%zu", im->type[x->type].name, x->of_type);
	fputs("  - id: ", x->out);
	import_scalar(x->out, text);
	price_title(s, price, sizeof(price));
	snprintf(text, sizeof(text), "%.120s %s", im->type[x->type].title, price);
	fputs("\n    title: ", x->out);
	import_scalar(x->out, text);
	fprintf(x->out, "\n    basis: \"机具参数表第 %u 行\"\n", x->line);
	import_date_write(x->out, "from", box->since != DAY_NONE ? box->since : im->first_day);
	fprintf(x->out, "    precedence: %u\n", (x->type > 0 ? 100 : 0) + box->rank);
	if (x->type > 0) {
		fputs("    who: [", x->out);
		import_scalar(x->out, im->type[x->type].name);
		fputs("]\n", x->out);
	}
	import_lines_write(im, x->out, x->family);
	if (x->fare > 0)
		fprintf(x->out, "    fare_fen_min: %d\n    fare_fen_max: %d\n", x->fare, x->fare);
	import_box_write(im, x->out, box, false);
	price_write(s, x->out);
	limits_write(x);
	fputs("    fund: operator\n", x->out);
}

/* Does the row say what the rider pays without any rule for the type? */
static bool as_anybody(const struct import *im, const struct import_family *f, size_t type, size_t cell, size_t everybody)
{
	const struct import_spec *s;
	uint16_t row = f->cell[cell], other = f->cell[everybody];

	if (import_layered(im))
		return false;
	if (type > 0 && other != 0)
		return im->row_spec[row - 1] == im->row_spec[other - 1];
	s = &im->spec[im->row_spec[row - 1]];
	return !s->fixed && s->value == 100 && s->limit[0] < 0 && s->limit[1] < 0 && s->limit[2] < 0;
}

/* Sides of each moment at which the type pays by the spec on this journey; false: none. */
static bool unit_grid(const struct rules *x, const struct import_family *f, size_t journey, uint32_t *grid)
{
	const struct import *im = x->im;
	bool any = false;

	for (size_t i = 0; i < im->days * im->slots; i++) {
		size_t cell = import_cell(im, f, x->type, journey, 0, 0) + i * SIDES, everybody = import_cell(im, f, 0, journey, 0, 0) + i * SIDES;

		grid[i] = 0;
		for (unsigned side = 0; side < SIDES; side++)
			if (f->cell[cell + side] != 0 && im->row_spec[f->cell[cell + side] - 1] == x->spec && !as_anybody(im, f, x->type, cell + side, everybody + side))
				grid[i] |= 1u << side;
		any = any || grid[i] != 0;
	}
	return any;
}

/* One journey of a family; its grid; whether a rule has been written for it. */
struct unit { size_t family, journey; uint32_t *grid; bool done; };

/* Families all of whose journeys are in the units like this one. */
static void whole_families(const struct rules *x, const struct unit *unit, size_t units, const struct unit *like, bool *family, bool *partly)
{
	size_t bytes = x->im->days * x->im->slots * sizeof(*like->grid);

	for (size_t f = 0; f < x->im->families; f++) {
		size_t journeys = 0;

		for (size_t u = 0; u < units; u++)
			journeys += unit[u].family == f && memcmp(unit[u].grid, like->grid, bytes) == 0;
		family[f] = journeys == x->im->family[f].journeys;
		partly[f] = journeys > 0 && !family[f];
	}
}

/* Journeys of lines of which the rule is not about all: by their published fare. */
static void fares_apart(struct rules *x, struct unit *unit, size_t units, const struct unit *like, const bool *partly, bool *family)
{
	const struct import *im = x->im;
	size_t bytes = im->days * im->slots * sizeof(*like->grid);
	int32_t last = -1;

	for (;;) {
		int32_t fen = INT32_MAX;

		memset(family, 0, im->families * sizeof(*family));
		for (size_t pass = 0; pass < 2; pass++)
			for (size_t u = 0; u < units; u++) {
				const struct import_family *f = &im->family[unit[u].family];

				if (!partly[unit[u].family] || memcmp(unit[u].grid, like->grid, bytes) != 0)
					continue;
				for (size_t i = 0; i < im->days * im->slots * SIDES; i++) {
					int32_t here = f->published[import_price(im, unit[u].journey, 0, 0) + i];

					if ((like->grid[i / SIDES] >> i % SIDES & 1) == 0 || here <= last)
						continue;
					if (pass == 0 && here < fen)
						fen = here;
					else if (pass == 1 && here == fen)
						family[unit[u].family] = true;
				}
			}
		if (fen == INT32_MAX)
			return;
		x->fare = last = fen;
		import_boxes(im, like->grid, concession_write, x);
	}
}

static unsigned first_line(const struct rules *x, const struct unit *u)
{
	const struct import_family *f = &x->im->family[u->family];
	size_t cell = import_cell(x->im, f, x->type, u->journey, 0, 0);

	for (size_t i = 0; i < x->im->days * x->im->slots * SIDES; i++)
		if ((u->grid[i / SIDES] >> i % SIDES & 1) != 0)
			return x->im->table.row[f->cell[cell + i] - 1].line;
	return 1;
}

static bool spec_rules(struct rules *x, struct unit *unit, uint32_t *grids)
{
	struct import *im = x->im;
	size_t moments = im->days * im->slots, units = 0;
	bool *family = calloc(im->families, 2 * sizeof(*family)), *partly = family + im->families, any;

	if (family == NULL)
		return false;
	for (size_t f = 0; f < im->families; f++)
		for (size_t j = 0; j < im->family[f].journeys; j++) {
			unit[units] = (struct unit){ f, j, grids + units * moments, false };
			units += unit_grid(x, &im->family[f], j, unit[units].grid);
		}
	for (size_t u = 0; u < units && !x->full; u++) {
		if (unit[u].done)
			continue;
		whole_families(x, unit, units, &unit[u], family, partly);
		x->family = family;
		x->fare = -1;
		x->line = first_line(x, &unit[u]);
		any = false;
		for (size_t f = 0; f < im->families; f++)
			any = any || family[f];
		if (any)
			import_boxes(im, unit[u].grid, concession_write, x);
		fares_apart(x, unit, units, &unit[u], partly, family);
		for (size_t k = u + 1; k < units; k++)
			unit[k].done = unit[k].done || memcmp(unit[k].grid, unit[u].grid, moments * sizeof(*grids)) == 0;
	}
	free(family);
	return !x->full;
}

static bool concessions_write(struct rules *x)
{
	struct import *im = x->im;
	size_t units = 0;
	struct unit *unit;
	uint32_t *grids;
	bool good;

	for (size_t f = 0; f < im->families; f++)
		units += im->family[f].journeys;
	unit = calloc(units + 1, sizeof(*unit));
	grids = calloc((units + 1) * im->days * im->slots, sizeof(*grids));
	good = unit != NULL && grids != NULL;
	for (x->type = 0; good && x->type < im->types; x->type++) {
		x->of_type = 0;
		for (x->spec = 0; good && x->spec < im->specs; x->spec++)
			good = spec_rules(x, unit, grids);
	}
	free(unit);
	free(grids);
	return good;
}

static void quotas_write(const struct rules *x, FILE *out)
{
	static const char *const of[LIMITS] = { "每时段", "每日", "每月" };

	if (x->quotas == 0)
		return;
	fputs("# 待定 to be settled by you: 次数按人合计 (卡与乘车码一起), 同类型同限次的各行合计\n"
	      "# rides are counted by person over all media, and together over the rows of a type with the same limit\n"
	      "quotas:\n", out);
	for (size_t i = 0; i < x->quotas; i++) {
		const struct quota *q = &x->quota[i];
		char text[300], id[96];

		quota_id(x->im, q, id);
		fputs("  - {id: ", out);
		import_scalar(out, id);
		snprintf(text, sizeof(text), "%.120s%s %d 次", x->im->type[q->type].title, of[q->of], q->limit);
		fputs(", title: ", out);
		import_scalar(out, text);
		fprintf(out, ", basis: \"机具参数表\", limit: %d, per: %s, of: person}\n", q->limit, q->of == LIMIT_MONTH ? "month" : "day");
	}
}

bool import_rules_write(struct import *im, FILE *out)
{
	struct rules x = { .im = im };
	char *text = NULL;
	size_t n = 0;
	bool good;

	x.out = open_memstream(&text, &n);
	if (x.out == NULL)
		return false;
	good = concessions_write(&x);
	fclose(x.out);
	if (good) {
		quotas_write(&x, out);
		if (x.count > 0)
			fprintf(out, "concessions:\n%s", text);
	}
	free(text);
	return good;
}
