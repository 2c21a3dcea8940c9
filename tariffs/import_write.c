/*
 * import_write - the files of a pack made of a terminals' table. What the table cannot know is a plain default with a
 * comment where it stands, and a line of the list that the operator settles; every row of the table is a case, so that
 * tariff check proves the pack against it.
 */
#include "tariffs/params.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE "# 待定 to be settled by you: "
#define DAYS_TRIED 800

struct writing { struct import *im; FILE *out, *unsettled; };

static void settle(struct writing *w, const char *file, const char *what)
{
	fprintf(w->out, SETTLE "%s\n", what);
	fprintf(w->unsettled, "%s: %s\n", file, what);
}

/* ---- pack.yaml ------------------------------------------------------------------------------------------------------ */

static void head_write(struct writing *w)
{
	static const char *const modes[] = { "half-up", "half-down", "half-even", "floor", "ceil" };
	const struct import *im = w->im;
	char date[11];

	day_format(im->first_day, date);
	fputs("# 由机具参数表生成 made of a terminals' table: ", w->out);
	for (const char *p = strrchr(im->table.name, '/') != NULL ? strrchr(im->table.name, '/') + 1 : im->table.name; *p != '\0'; p++)
		fputc(*(const unsigned char *)p < 0x20 ? '?' : *p, w->out);
	fputs("\n# 表中没有的内容取默认值, 均注明 \"待定\" what the table does not say has a default and is marked\n", w->out);
	settle(w, "pack.yaml", "名称、标题、文号与起止日期 name, title, document, first day and day of publication");
	fputs("name: ", w->out);
	import_scalar(w->out, im->name);
	fprintf(w->out, "\ntitle: \"机具参数表\"\nversion: 1\nvalid_from: %s\npublished_on: %s\nbasis: \"机具参数表, 文号待定\"\n", date, date);
	settle(w, "pack.yaml", "换乘、累计、封顶、连刷、上下车刷卡: 表中没有, 均不写 transfers, ladders, caps, repeat taps, tap-off: none, as no table tells them");
	fputs("order: [concession]\n", w->out);
	if (!im->round_told)
		settle(w, "pack.yaml", "取整方式: 表中各价恰为整分 rounding: every price of the table is exact, half-up to the fen is written");
	fprintf(w->out, "rounding: {mode: %s, unit_fen: %d}\n", modes[im->round_mode], (int)im->round_unit);
	settle(w, "pack.yaml", "一人属于两类时取便宜的 who is in two groups pays the cheaper");
	fputs("stacking: cheapest\n", w->out);
	if (im->table.has[PARAMS_GUESTS] == false)
		settle(w, "pack.yaml", "外地卡与本地卡同价: 表中没有卡归属 cards of other cities pay as local ones, as the table has no column guests");
	settle(w, "pack.yaml", "本地发卡机构与区域名单 home_issuer and regions: absent, so no issuer is local by its number");
}

static void seasons_write(struct writing *w)
{
	const struct import *im = w->im;

	if (im->seasons == 0)
		return;
	settle(w, "pack.yaml", "各季节的起止日期: 表中没有, 全年按月均分 dates of the seasons: the table has none, the months are dealt out");
	fputs("seasons:\n", w->out);
	for (size_t i = 0; i < im->seasons; i++) {
		unsigned from = (unsigned)(i * 12 / im->season_places), to = (unsigned)((i + 1) * 12 / im->season_places);
		static const char *const last[] = { "31", "28", "31", "30", "31", "30", "31", "31", "30", "31", "30", "31" };

		fputs("  - {name: ", w->out);
		import_scalar(w->out, im->season[i]);
		fprintf(w->out, ", title: ");
		import_scalar(w->out, im->season[i]);
		fprintf(w->out, ", dates: [%02u-01..%02u-%s]%s}\n", from + 1, to, last[to - 1], to == 2 ? ", feb29: in" : "");
	}
}

/* Homes of cards for which a type pays another price than everybody: marks on such cards are believed. */
static unsigned guests_of(const struct import *im, size_t type)
{
	unsigned guests = 0;

	for (size_t i = 0; i < im->families; i++) {
		const struct import_family *f = &im->family[i];
		size_t part = f->journeys * im->days * im->slots * SIDES;

		for (size_t k = 0; k < part; k++) {
			uint16_t mine = f->cell[type * part + k], everybody = f->cell[k];

			if (mine != 0 && (everybody == 0 || im->row_spec[mine - 1] != im->row_spec[everybody - 1]))
				guests |= 1u << k % GUEST_COUNT;
		}
	}
	return guests;
}

static void groups_write(struct writing *w)
{
	static const char *const guests[] = { "local", "region", "other" };
	const struct import *im = w->im;

	if (im->types == 1)
		return;
	settle(w, "pack.yaml", "各类乘客如何认定 (发放机构、年龄、年审): 按权益名单, 数字类型按卡类型 how one belongs to a group: an entitlement, or the card class where the type is a number; no age, no yearly check");
	fputs("groups:\n", w->out);
	for (size_t i = 1; i < im->types; i++) {
		fputs("  - {name: ", w->out);
		import_scalar(w->out, im->type[i].name);
		fputs(", title: ", w->out);
		import_scalar(w->out, im->type[i].title);
		fprintf(w->out, ", code: %zu, source: \"待定\"", i);
		if (im->type[i].code == 0) {
			fputs(", hold: yes}\n", w->out);
			continue;
		}
		fprintf(w->out, ", class: [%d]", im->type[i].code);
		if ((guests_of(im, i) & ~1u) != 0) {
			fputs(", marks_of: [local", w->out);
			for (unsigned g = 1; g < GUEST_COUNT; g++)
				if ((guests_of(im, i) >> g & 1) != 0)
					fprintf(w->out, ", %s", guests[g]);
			fputs("]", w->out);
		}
		fputs("}\n", w->out);
	}
}

static void funding_write(struct writing *w)
{
	settle(w, "pack.yaml", "优惠由谁承担: 暂由企业承担 who bears the reductions: the operator, no treasury pays");
	fputs("funding:\n  - {id: operator, title: \"企业让利\", basis: \"待定\", gap: none}\n", w->out);
}

static void classes_write(struct writing *w)
{
	const struct import *im = w->im;

	fputs("classes:\n", w->out);
	for (size_t i = 0; i < im->classes; i++) {
		fputs("  - {name: ", w->out);
		import_scalar(w->out, im->class[i]);
		fputs(", title: ", w->out);
		import_scalar(w->out, im->class_made && i + 1 == im->classes ? "全部线路" : im->class[i]);
		fputs("}\n", w->out);
	}
}

/* ---- what no row is about ---------------------------------------------------------------------------------------------- */

static void uncovered_tell(struct writing *w)
{
	const struct import *im = w->im;

	for (size_t i = 0; i < im->families; i++) {
		const struct import_family *f = &im->family[i];
		size_t part = f->journeys * im->days * im->slots * SIDES;

		for (size_t type = 0; type < im->types; type++) {
			size_t missing = 0;

			for (size_t k = 0; k < part; k++) {
				int era = (int)import_era_of(im, k / (im->slots * SIDES) % im->days);

				missing += f->cell[type * part + k] == 0 && (f->taken >> k % SIDES & 1) != 0 && era >= f->era_from && era < f->era_to;
			}
			if (missing > 0)
				fprintf(w->unsettled, "pack.yaml: 线路 line %s: 表中没有 %s 的 %zu 个票价, 按%s no row has them, %s\n", im->line[f->first].name, im->type[type].title,
					missing, type == 0 ? "票面价" : "普通乘客", type == 0 ? "the published fare is paid" : "they pay as anybody does");
		}
		if (f->taken != (1u << SIDES) - 1 && import_fare_of(im, f, &(int32_t){ 0 }) != IMPORT_CLASS)
			fprintf(w->unsettled, "lines.csv: 线路 line %s: 表中没有的介质或卡归属也按此票价 media and cards that no row is about pay the same published fare\n",
				im->line[f->first].name);
	}
}

static char *pack_text(struct writing *w)
{
	char *text = NULL;
	size_t n = 0;
	bool good;

	w->out = open_memstream(&text, &n);
	if (w->out == NULL)
		return NULL;
	head_write(w);
	seasons_write(w);
	groups_write(w);
	funding_write(w);
	classes_write(w);
	good = import_fares_write(w->im, w->out) && import_rules_write(w->im, w->out);
	uncovered_tell(w);
	fclose(w->out);
	if (!good) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- tables ---------------------------------------------------------------------------------------------------------------- */

static void csv_cell(FILE *out, const char *text)
{
	bool quote = strpbrk(text, ",\"\r\n") != NULL;

	if (quote)
		fputc('"', out);
	for (; *text != '\0'; text++)
		fprintf(out, "%s%c", *text == '"' ? "\"" : "", *text);
	if (quote)
		fputc('"', out);
}

static void line_write(const struct import *im, FILE *out, const struct import_line *line)
{
	const struct import_family *f = &im->family[line->family];
	int32_t fen = 0;
	enum import_fare kind = import_fare_of(im, f, &fen);
	char from[11] = "", to[11] = "";

	csv_cell(out, line->name);
	fputc(',', out);
	csv_cell(out, im->class[line->class]);
	if (kind == IMPORT_FLAT || kind == IMPORT_SECTION)
		fprintf(out, ",%s:%d,", kind == IMPORT_FLAT ? "flat" : "section", fen);
	else
		fputs(kind == IMPORT_TAP ? ",tap," : ",class,", out);
	csv_cell(out, line->name);
	if (f->era_from > 0)
		day_format(im->date[f->era_from - 1], from);
	if (f->era_to <= (int)im->dates && f->era_to > 0)
		day_format(im->date[f->era_to - 1], to);
	fprintf(out, ",%s,%s\n", from, to);
}

static char *lines_text(struct writing *w)
{
	const struct import *im = w->im;
	bool taps = false;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	if (out == NULL)
		return NULL;
	fputs("line,class,fare,title,from,to\n", out);
	for (size_t i = 0; i < im->lines; i++) {
		line_write(im, out, &im->line[i]);
		taps = taps || import_fare_of(im, &im->family[im->line[i].family], &(int32_t){ 0 }) == IMPORT_TAP;
	}
	fclose(out);
	if (im->lines_made)
		fputs("lines.csv: 线路: 表中没有, 以 * 或类别名代替 lines: the table names none, * or the class stands for them\n", w->unsettled);
	if (taps)
		fputs("lines.csv: 票面价: 表中没有, 取机具价 published fares: the table has none, the price the terminal showed counts (tap)\n", w->unsettled);
	fputs("lines.csv: 线路名称、经营者、所属县区 titles of lines, operators, counties\n", w->unsettled);
	return text;
}

/* Stops 1 to n + 1, a pair as many stops apart as its price is high: every price of the line is there, every pair has one. */
static char *sections_text(struct writing *w, bool *ret_failed)
{
	const struct import *im = w->im;
	bool any = false;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	*ret_failed = out == NULL;
	if (out == NULL)
		return NULL;
	fputs("line,from_stop,to_stop,fen\n", out);
	for (size_t i = 0; i < im->lines; i++) {
		const struct import_family *f = &im->family[im->line[i].family];

		if (f->journey[0].kind != JOURNEY_SECTION)
			continue;
		any = true;
		for (size_t a = 0; a < f->journeys; a++)
			for (size_t b = a + 1; b <= f->journeys; b++) {
				csv_cell(out, im->line[i].name);
				fprintf(out, ",%zu,%zu,%u\n", a + 1, b + 1, f->journey[b - a - 1].at);
			}
	}
	fclose(out);
	if (any) {
		fputs("sections.csv: 分段的站序: 表中只有票价, 站号为假设 stops of the sections: the table has their prices only, the numbers are made up\n", w->unsettled);
		return text;
	}
	free(text);
	return NULL;
}

static char *calendar_text(struct writing *w, bool *ret_failed)
{
	const struct import *im = w->im;
	int32_t year = civil_of_ms((int64_t)im->first_day * 86400000 - CIVIL_OFFSET_MS).year;
	char *text = NULL;
	size_t n = 0;
	FILE *out;

	*ret_failed = false;
	if (!im->by_work)
		return NULL;
	out = open_memstream(&text, &n);
	*ret_failed = out == NULL;
	if (out == NULL)
		return NULL;
	fputs("date,kind,note,until\n", out);
	for (int32_t y = year; y <= year + 1; y++) {
		fprintf(out, "%d-01-01,holiday,元旦; 其余节假日与调休待定 the other holidays and swapped days are to be settled,\n", (int)y);
		if (im->no_school)
			fprintf(out, "%d-07-01,no-school,暑假起止待定 dates of the summer holidays are to be settled,%d-08-31\n", (int)y, (int)y);
	}
	fclose(out);
	fprintf(w->unsettled, "calendar.csv: %d 与 %d 年的节假日、调休%s: 只有元旦 holidays and swapped days%s: only New Year's Day is there\n", (int)year, (int)year + 1,
		im->no_school ? "、学校假期" : "", im->no_school ? ", school holidays" : "");
	return text;
}

/* ---- cases.csv ------------------------------------------------------------------------------------------------------------- */

/* Is the day of this kind by what was written of seasons and holidays? */
static bool day_is(const struct import *im, int32_t day, size_t kind)
{
	struct civil c = civil_of_ms((int64_t)day * 86400000 - CIVIL_OFFSET_MS);
	size_t era = 0, season = 0, base = day_of_week(day) > 5 || (c.month == 1 && c.day == 1) ? BASE_REST : BASE_WORK;

	while (im->seasons > 0 && (season + 1) * 12 / im->season_places < c.month)
		season++;
	while (era < im->dates && im->date[era] <= day)
		era++;
	if (im->no_school && base == BASE_WORK && (c.month == 7 || c.month == 8))
		base = BASE_NO_SCHOOL;
	return era == import_era_of(im, kind) && season == import_season_of(im, kind) && (!im->by_work || base == import_base_of(im, kind));
}

static int32_t day_of_kind(const struct import *im, size_t kind)
{
	int32_t from = im->first_day;

	if (import_era_of(im, kind) > 0 && im->date[import_era_of(im, kind) - 1] > from)
		from = im->date[import_era_of(im, kind) - 1];
	for (int32_t day = from; day < from + DAYS_TRIED; day++)
		if (day_is(im, day, kind))
			return day;
	return DAY_NONE;
}

static void ride_write(const struct import *im, FILE *out, const struct import_family *f, size_t journey)
{
	const struct import_journey *j = &f->journey[journey];

	/* list_fen, stop_on, stop_off, distance_m, stops, zones */
	if (import_fare_of(im, f, &(int32_t){ 0 }) == IMPORT_TAP)
		fputs("200", out);
	fputc(',', out);
	if (j->kind == JOURNEY_SECTION)
		fprintf(out, "1,%zu", journey + 2);
	else
		fputc(',', out);
	fputc(',', out);
	for (const char *unit = "msz"; *unit != '\0'; unit++) {
		if (j->kind == JOURNEY_STEP && j->unit == *unit)
			fprintf(out, "%u", j->at);
		fputc(',', out);
	}
}

struct place { bool found; size_t family, journey, day, slot; unsigned side; };

/* Of each row the first price it is about, of a local card where there is one. */
static void rows_place(const struct import *im, struct place *at)
{
	for (size_t i = 0; i < im->families; i++) {
		const struct import_family *f = &im->family[i];
		size_t part = f->journeys * im->days * im->slots * SIDES;

		for (size_t k = 0; k < part * im->types; k++) {
			size_t moment = k % part / SIDES;
			struct place *row = f->cell[k] != 0 ? &at[f->cell[k] - 1] : NULL;

			if (row != NULL && (!row->found || (row->side % GUEST_COUNT != 0 && k % GUEST_COUNT == 0)))
				*row = (struct place){ true, i, moment / im->slots / im->days, moment / im->slots % im->days, moment % im->slots, (unsigned)(k % SIDES) };
		}
	}
}

static void case_write(const struct import *im, FILE *out, size_t r, const struct place *at)
{
	static const char *const media[] = { "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" };
	const struct params_row *row = &im->table.row[r];
	const struct import_type *type = &im->type[im->row_type[r]];
	const struct import_family *f;
	const char *name;
	int32_t published, paid, day;
	char date[11];

	if (!at->found || at->side % GUEST_COUNT == GUEST_REGION || (day = day_of_kind(im, at->day)) == DAY_NONE)
		return;
	f = &im->family[at->family];
	published = import_fare_of(im, f, &(int32_t){ 0 }) == IMPORT_TAP ? 200 : f->published[import_price(im, at->journey, at->day, at->slot) + at->side];
	paid = (int32_t)(row->percent >= 0 ? import_round(im, published, row->percent) : row->price);
	name = im->line[f->first].name;
	day_format(day, date);
	fprintf(out, "line%u_%02u%02u,%sT%02u:%02u:00,", row->line, im->minute[at->slot] / 60, im->minute[at->slot] % 60, date, im->minute[at->slot] / 60, im->minute[at->slot] % 60);
	csv_cell(out, strcmp(name, "*") == 0 ? "1" : name);
	fprintf(out, ",%d,0,%d,no,", paid, published - paid);
	ride_write(im, out, f, at->journey);
	fprintf(out, "%s,%d,", media[at->side / GUEST_COUNT], im->row_type[r] > 0 && type->code != 0 ? type->code : 1);
	if (im->row_type[r] > 0 && type->code == 0)
		csv_cell(out, type->name);
	fprintf(out, ",%s,", at->side % GUEST_COUNT == GUEST_OTHER ? "99999999" : "");
	csv_cell(out, type->title);
	fputc('\n', out);
}

static char *cases_text(const struct import *im)
{
	char *text = NULL;
	size_t n = 0;
	struct place *at = calloc(im->table.count, sizeof(*at));
	FILE *out = at != NULL ? open_memstream(&text, &n) : NULL;

	if (out == NULL) {
		free(at);
		return NULL;
	}
	rows_place(im, at);
	fputs("case,time,line,fare_fen,subsidy_fen,absorbed_fen,rejected,list_fen,stop_on,stop_off,distance_m,stops,zones,medium,class,groups,issuer,note\n", out);
	for (size_t r = 0; r < im->table.count; r++)
		case_write(im, out, r, &at[r]);
	fclose(out);
	free(at);
	return text;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------------- */

bool import_texts(struct import *im, struct tariff_import *ret)
{
	struct writing w = { .im = im };
	bool sections, calendar;
	size_t n = 0;

	w.unsettled = open_memstream(&ret->unsettled, &n);
	if (w.unsettled == NULL)
		return false;
	ret->pack_yaml = pack_text(&w);
	ret->lines_csv = lines_text(&w);
	ret->sections_csv = sections_text(&w, &sections);
	ret->calendar_csv = calendar_text(&w, &calendar);
	ret->cases_csv = cases_text(im);
	fclose(w.unsettled);
	return ret->pack_yaml != NULL && ret->lines_csv != NULL && !sections && !calendar && ret->cases_csv != NULL;
}

void tariff_import_done(struct tariff_import *import)
{
	free(import->pack_yaml);
	free(import->lines_csv);
	free(import->sections_csv);
	free(import->calendar_csv);
	free(import->cases_csv);
	free(import->unsettled);
	*import = (struct tariff_import){ 0 };
}

static int import_csv(struct csv *csv, const char *name, const char *pack_name, int32_t first_day, int32_t today, tariff_report_fn report, void *arg,
		      struct tariff_import *ret_import)
{
	struct import *im = calloc(1, sizeof(*im));
	struct tariff_import out = { 0 };
	int ret = im == NULL ? -ENOMEM : 0;

	if (im != NULL) {
		im->table = (struct params){ .name = name, .report = report, .arg = arg };
		im->name = pack_name;
		im->first_day = first_day;
		im->today = today;
		if (!params_read(csv, &im->table) || !import_lay(im) || !import_texts(im, &out))
			ret = im->table.problems > 0 ? TARIFF_E_SYNTAX : -ENOMEM;
		out.first_day = im->first_day;
		import_done(im);
		free(im);
	}
	csv_close(csv);
	if (ret != 0) {
		tariff_import_done(&out);
		return ret;
	}
	*ret_import = out;
	return 0;
}

int tariff_import(const char *path, const char *pack_name, int32_t first_day, int32_t today, tariff_report_fn report, void *arg, struct tariff_import *ret_import)
{
	struct csv *csv;
	char error[512];
	int ret = csv_open(path, &csv, error, sizeof(error));

	if (ret != 0) {
		report(arg, error);
		return ret;
	}
	return import_csv(csv, path, pack_name, first_day, today, report, arg, ret_import);
}

int tariff_import_parse(const char *name, const void *p, size_t n, const char *pack_name, int32_t first_day, int32_t today, tariff_report_fn report, void *arg,
			struct tariff_import *ret_import)
{
	struct csv *csv;
	char error[512];
	int ret = csv_parse(name, p, n, &csv, error, sizeof(error));

	if (ret != 0) {
		report(arg, error);
		return ret;
	}
	return import_csv(csv, name, pack_name, first_day, today, report, arg, ret_import);
}
