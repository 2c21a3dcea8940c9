/*
 * import_boxes - sets of days, hours, media and cards' homes cut into boxes, each the conditions of one entry of a pack, and
 * how conditions are written. Days that others leave are in the layer behind: a rule for them says nothing of the others.
 */
#include "tariffs/params.h"

#include <stdlib.h>
#include <string.h>

/* ---- boxes -------------------------------------------------------------------------------------------------------- */

struct boxing { const struct import *im; import_box_fn each; void *arg; struct import_box box; };

/* Sides as media that go with the same homes, or as homes that go with the same media: the fewer. */
static void sides_box(struct boxing *b, uint32_t sides)
{
	uint8_t guests_of[MEDIA_COUNT], media_of[GUEST_COUNT] = { 0 };
	size_t by_media = 0, by_guests = 0;

	for (unsigned m = 0; m < MEDIA_COUNT; m++) {
		bool new = true;

		guests_of[m] = (uint8_t)(sides >> m * GUEST_COUNT & PARAMS_GUESTS_ALL);
		for (unsigned g = 0; g < GUEST_COUNT; g++)
			media_of[g] |= (uint8_t)((guests_of[m] >> g & 1) << m);
		for (unsigned k = 0; k < m; k++)
			new = new && guests_of[k] != guests_of[m];
		by_media += new && guests_of[m] != 0;
	}
	for (unsigned g = 0; g < GUEST_COUNT; g++) {
		bool new = true;

		for (unsigned k = 0; k < g; k++)
			new = new && media_of[k] != media_of[g];
		by_guests += new && media_of[g] != 0;
	}
	for (unsigned i = 0; i < (by_media <= by_guests ? MEDIA_COUNT : GUEST_COUNT); i++) {
		uint8_t mine = by_media <= by_guests ? guests_of[i] : media_of[i], same = 0;
		bool first = mine != 0;

		for (unsigned k = 0; k < (by_media <= by_guests ? MEDIA_COUNT : GUEST_COUNT); k++)
			if ((by_media <= by_guests ? guests_of[k] : media_of[k]) == mine) {
				same |= (uint8_t)(1u << k);
				first = first && k >= i;
			}
		if (!first)
			continue;
		b->box.media = by_media <= by_guests ? same : mine;
		b->box.guests = by_media <= by_guests ? mine : same;
		b->each(b->arg, &b->box);
	}
}

/* Slots that lie together are one; an entry has four at most. */
static void slots_box(struct boxing *b, uint64_t slots, uint32_t sides)
{
	const struct import *im = b->im;
	bool all = (size_t)__builtin_popcountll(slots) == im->slots;

	b->box.hours = 0;
	for (size_t i = 0; i < im->slots && !all; i++) {
		size_t from = i;

		if ((slots >> i & 1) == 0)
			continue;
		while (i + 1 < im->slots && (slots >> (i + 1) & 1) != 0)
			i++;
		if (b->box.hours == 4) {
			sides_box(b, sides);
			b->box.hours = 0;
		}
		b->box.from[b->box.hours] = im->minute[from];
		b->box.to[b->box.hours++] = im->minute[i + 1];
	}
	if (all || b->box.hours > 0)
		sides_box(b, sides);
}

/* Bases of one era and of a set of seasons as words: 工作日 without its days off school stands behind 学校日. */
static void bases_box(struct boxing *b, unsigned bases, uint64_t slots, uint32_t sides)
{
	static const struct { unsigned bases; const char *days; unsigned rank; } words[] = {
		{ 1u << BASE_WORK | 1u << BASE_NO_SCHOOL, "workday", 1 }, { 1u << BASE_WORK, "school", 2 }, { 1u << BASE_REST, "restday", 0 }, { 1u << BASE_NO_SCHOOL, "workday", 0 } };
	unsigned rank = b->box.rank;

	if (bases == (1u << b->im->bases) - 1) {
		b->box.days = NULL;
		b->box.rank = rank + (b->im->no_school ? 2 : 0);
		slots_box(b, slots, sides);
		b->box.rank = rank;
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if ((bases & words[i].bases) != words[i].bases)
			continue;
		bases &= ~words[i].bases;
		b->box.days = !b->im->no_school && words[i].bases == 1u << BASE_WORK ? "workday" : words[i].days;
		b->box.rank = rank + (b->im->no_school ? words[i].rank : 0);
		slots_box(b, slots, sides);
	}
	b->box.rank = rank;
}

/* Days of one stretch of eras: seasons whose bases are the same together; what is in no season stands behind them. */
static void seasons_box(struct boxing *b, uint32_t era_days, uint64_t slots, uint32_t sides)
{
	const struct import *im = b->im;
	unsigned all = (1u << im->bases) - 1, bases_of[IMPORT_SEASONS_MAX + 1];
	bool same = true;

	for (size_t s = 0; s < im->season_places; s++) {
		bases_of[s] = era_days >> s * im->bases & all;
		same = same && bases_of[s] == bases_of[0];
	}
	b->box.seasons = 0;
	b->box.rank = im->seasons > 0 ? 3 : 0;
	if (same) {
		bases_box(b, bases_of[0], slots, sides);
		return;
	}
	for (size_t s = 0; s < im->seasons; s++) {
		bool first = bases_of[s] != 0;

		b->box.seasons = 0;
		for (size_t k = 0; k < im->seasons; k++)
			if (bases_of[k] == bases_of[s]) {
				b->box.seasons |= 1u << k;
				first = first && k >= s;
			}
		if (first)
			bases_box(b, bases_of[s], slots, sides);
	}
	b->box.seasons = 0;
	b->box.rank = 0;
	if (im->season_places > im->seasons && bases_of[im->seasons] != 0)
		bases_box(b, bases_of[im->seasons], slots, sides);
}

/* A set of days with the same hours: eras in a row whose days are the same together. */
static void days_box(struct boxing *b, uint32_t days, uint64_t slots, uint32_t sides)
{
	const struct import *im = b->im;
	size_t per_era = im->season_places * im->bases;
	uint32_t whole = (uint32_t)((1ULL << per_era) - 1);

	for (size_t era = 0; era <= im->dates; era++) {
		uint32_t mine = days >> era * per_era & whole;

		if (mine == 0)
			continue;
		b->box.since = era > 0 ? im->date[era - 1] : DAY_NONE;
		while (era < im->dates && (days >> (era + 1) * per_era & whole) == mine)
			era++;
		b->box.until = era < im->dates ? im->date[era] : DAY_NONE;
		seasons_box(b, mine, slots, sides);
	}
}

/* Cells with one mask of sides: days that have it at the same hours together. */
static void mask_box(struct boxing *b, const uint32_t *grid, uint32_t sides)
{
	const struct import *im = b->im;
	uint64_t slots[IMPORT_DAYS_MAX] = { 0 };

	for (size_t i = 0; i < im->days * im->slots; i++)
		if (grid[i] == sides)
			slots[i / im->slots] |= 1ULL << i % im->slots;
	for (size_t day = 0; day < im->days; day++) {
		uint32_t days = 0;
		bool first = slots[day] != 0;

		for (size_t k = 0; k < im->days; k++)
			if (slots[k] == slots[day]) {
				days |= 1u << k;
				first = first && k >= day;
			}
		if (first)
			days_box(b, days, slots[day], sides);
	}
}

void import_boxes(const struct import *im, const uint32_t *grid, import_box_fn each, void *arg)
{
	struct boxing b = { .im = im, .each = each, .arg = arg };

	for (size_t i = 0; i < im->days * im->slots; i++) {
		size_t k = 0;

		while (k < i && grid[k] != grid[i])
			k++;
		if (k == i && grid[i] != 0)
			mask_box(&b, grid, grid[i]);
	}
}

/* ---- words ------------------------------------------------------------------------------------------------------------ */

void import_scalar(FILE *out, const char *text)
{
	bool plain = text[0] != '\0' && text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';

	if (plain) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text != '\0'; text++)
		fprintf(out, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
	fputc('"', out);
}

static void words_write(FILE *out, const char *key, const char *const *words, unsigned bits)
{
	bool first = true;

	fprintf(out, "    %s: [", key);
	for (unsigned i = 0; bits >> i != 0; i++)
		if ((bits >> i & 1) != 0) {
			fprintf(out, "%s%s", first ? "" : ", ", words[i]);
			first = false;
		}
	fputs("]\n", out);
}

void import_date_write(FILE *out, const char *key, int32_t day)
{
	char date[11];

	day_format(day, date);
	fprintf(out, "    %s: %s\n", key, date);
}

/* Conditions of a box but its first day. */
void import_box_write(const struct import *im, FILE *out, const struct import_box *box, bool all_guests)
{
	static const char *const media[] = { "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" }, *const guests[] = { "local", "region", "other" };
	bool first = true;

	if (box->until != DAY_NONE)
		import_date_write(out, "to", box->until);
	if (box->media != PARAMS_MEDIA_ALL)
		words_write(out, "medium", media, box->media);
	if (box->guests != (all_guests ? PARAMS_GUESTS_ALL : 1))
		words_write(out, "guest", guests, box->guests);
	for (size_t i = 0; i < im->seasons; i++)
		if ((box->seasons >> i & 1) != 0) {
			fputs(first ? "    season: [" : ", ", out);
			import_scalar(out, im->season[i]);
			first = false;
		}
	if (!first)
		fputs("]\n", out);
	if (box->days != NULL)
		fprintf(out, "    days: %s\n", box->days);
	for (uint8_t i = 0; i < box->hours; i++)
		fprintf(out, "%s\"%02u:%02u-%02u:%02u\"%s", i == 0 ? "    hours: [" : ", ", box->from[i] / 60, box->from[i] % 60, box->to[i] / 60, box->to[i] % 60,
			i + 1 == box->hours ? "]\n" : "");
}

/* ---- lines ------------------------------------------------------------------------------------------------------------- */

static bool line_in(const struct import *im, const bool *family, size_t i) { return family[im->line[i].family]; }

static void names_write(const struct import *im, FILE *out, const char *key, const bool *family, bool wanted, uint64_t of_classes)
{
	bool first = true;

	for (size_t i = 0; i < im->lines; i++)
		if (line_in(im, family, i) == wanted && (of_classes >> im->line[i].class & 1) != 0) {
			fprintf(out, "%s%s%s", first ? "    " : "", first ? key : ", ", first ? ": [" : "");
			import_scalar(out, im->line[i].name);
			first = false;
		}
	if (!first)
		fputs("]\n", out);
}

/* Lines of these families: nothing where they are all, classes where they are whole, else by name. */
void import_lines_write(const struct import *im, FILE *out, const bool *family)
{
	uint64_t some = 0, rest = 0;
	bool any_line = false, first = true;

	for (size_t i = 0; i < im->lines; i++) {
		*(line_in(im, family, i) ? &some : &rest) |= 1ULL << im->line[i].class;
		any_line = any_line || (line_in(im, family, i) && strcmp(im->line[i].name, "*") == 0);
	}
	if (rest == 0)
		return;
	if ((some & rest) != 0 && !any_line) {
		names_write(im, out, "line", family, true, ~0ULL);
		return;
	}
	for (size_t c = 0; c < im->classes; c++)
		if ((some >> c & 1) != 0) {
			fputs(first ? "    class: [" : ", ", out);
			import_scalar(out, im->class[c]);
			first = false;
		}
	fputs("]\n", out);
	names_write(im, out, "not_line", family, false, some);
}
