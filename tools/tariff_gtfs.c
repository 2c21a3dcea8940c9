/*
 * qingfen tariff gtfs - the part of a pack that GTFS Fares v2 can carry, for journey planners, and a list of the rest.
 * Every amount is a price of the price book, percentages become amounts of each class of lines; transfer discounts
 * are what the second of two rides really costs less. Networks are the book's families of lines, areas the stops of
 * lines with section fares, timeframes the hours and kinds of days in which prices differ.
 *
 * All leg rules have a rule_priority, so that an empty field means "any"; what would have to be guessed stays out and
 * stands in NOT_CARRIED.txt with the rule's id and the reason.
 */
#include "tools/tariff_gtfs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DAYS_EXPORTED 366

static const char usage[] =
	"用法 usage: qingfen tariff gtfs PACK --to DIR [--date D]\n"
	"  GTFS Fares v2 票价导出 (自 D 起一年), NOT_CARRIED.txt 列出不能表达的规则\n";

/* ---- files -------------------------------------------------------------------------------------------- */

static const struct { const char *name, *header; } files[GTFS_FILE_COUNT] = {
	[GTFS_AGENCY] = { "agency.txt", "agency_id,agency_name,agency_url,agency_timezone" },
	[GTFS_ROUTES] = { "routes.txt", "route_id,agency_id,route_short_name,route_long_name,route_type" },
	[GTFS_NETWORKS] = { "networks.txt", "network_id,network_name" },
	[GTFS_ROUTE_NETWORKS] = { "route_networks.txt", "network_id,route_id" },
	[GTFS_AREAS] = { "areas.txt", "area_id,area_name" },
	[GTFS_CALENDAR_DATES] = { "calendar_dates.txt", "service_id,date,exception_type" },
	[GTFS_TIMEFRAMES] = { "timeframes.txt", "timeframe_group_id,start_time,end_time,service_id" },
	[GTFS_CATEGORIES] = { "rider_categories.txt", "rider_category_id,rider_category_name,is_default_fare_category,eligibility_url" },
	[GTFS_MEDIA] = { "fare_media.txt", "fare_media_id,fare_media_name,fare_media_type" },
	[GTFS_PRODUCTS] = { "fare_products.txt", "fare_product_id,fare_product_name,rider_category_id,fare_media_id,amount,currency" },
	[GTFS_LEG_RULES] = { "fare_leg_rules.txt", "leg_group_id,network_id,from_area_id,to_area_id,from_timeframe_group_id,to_timeframe_group_id,fare_product_id,rule_priority" },
	[GTFS_TRANSFER_RULES] = { "fare_transfer_rules.txt", "from_leg_group_id,to_leg_group_id,transfer_count,duration_limit,duration_limit_type,fare_transfer_type,fare_product_id" },
	[GTFS_NOT_CARRIED] = { "NOT_CARRIED.txt", NULL },
};

static int files_open(struct gtfs *g, const char *dir)
{
	char path[4096];

	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		return -errno;
	for (int i = 0; i < GTFS_FILE_COUNT; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
		g->file[i] = fopen(path, "we");
		if (g->file[i] == NULL)
			return -errno;
		if (files[i].header != NULL)
			fprintf(g->file[i], "%s\n", files[i].header);
	}
	return 0;
}

static int files_close(struct gtfs *g)
{
	int ret = 0;

	for (int i = 0; i < GTFS_FILE_COUNT; i++)
		if (g->file[i] != NULL && (ferror(g->file[i]) | fclose(g->file[i])) != 0)
			ret = -EIO;
	return ret;
}

void gtfs_row(struct gtfs *g, enum gtfs_file file, size_t fields, ...)
{
	va_list ap;

	va_start(ap, fields);
	for (size_t i = 0; i < fields; i++)
		csv_print(g->file[file], va_arg(ap, const char *), i + 1 == fields);
	va_end(ap);
}

void gtfs_not_carried(struct gtfs *g, const char *id, const char *reason)
{
	fprintf(g->file[GTFS_NOT_CARRIED], "%s\t%s\n", id, reason);
}

/* ---- agencies, lines, networks -------------------------------------------------------------------------- */

static const char *route_type(const char *mode)
{
	return strcmp(mode, "metro") == 0 ? "1" : strcmp(mode, "ferry") == 0 ? "4" : "3";
}

static void agencies_write(struct gtfs *g)
{
	struct tariff_operator op;

	for (size_t i = 0; tariff_operator_at(g->t, i, &op); i++)
		gtfs_row(g, GTFS_AGENCY, 4, op.code, op.title, "", "Asia/Shanghai");
	if (tariff_operator_count(g->t) == 0)
		gtfs_row(g, GTFS_AGENCY, 4, "operator", tariff_name(g->t), "", "Asia/Shanghai");
	gtfs_not_carried(g, "(agency_url)", "票价包没有企业网址, 由发布方填写 to be filled in by the publisher");
}

static void lines_write(struct gtfs *g, const struct book_family *f, const char *network)
{
	struct tariff_operator op = { .code = "operator" };
	struct tariff_line line;

	for (size_t i = 0; i < f->line_count; i++) {
		if (!tariff_line_find(g->t, f->lines[i], gtfs_noon(g, g->first), &line))
			line = f->line;
		tariff_operator(g->t, line.operator_id, &op);
		gtfs_row(g, GTFS_ROUTES, 5, f->lines[i], op.code, f->lines[i], line.title, route_type(line.mode));
		gtfs_row(g, GTFS_ROUTE_NETWORKS, 2, network, f->lines[i]);
	}
}

/* A family that cannot be exported, with the reason. */
static const char *family_unfit(const struct book_family *f)
{
	for (size_t i = 0; i < f->line_count; i++)
		if (strcmp(f->lines[i], "*") == 0)
			return "未列名的线路 (line *) 没有 route_id";
	for (size_t i = 0; i < f->journeys; i++) {
		if (f->journey[i].kind == JOURNEY_TAP)
			return "票价由机具给出 (fare tap), 票价包中没有金额";
		if (f->journey[i].kind == JOURNEY_STEP)
			return "按里程、站数或分区计价, 需要站点表才能写成区域 (areas)";
	}
	return NULL;
}

static void networks_name(struct gtfs *g)
{
	for (size_t i = 0; i < g->book.count; i++) {
		unsigned nth = 1;

		for (size_t k = 0; k < i; k++)
			nth += strcmp(g->book.family[k].line.class_name, g->book.family[i].line.class_name) == 0;
		snprintf(g->network[i].id, sizeof(g->network[i].id), nth > 1 ? "%s-%u" : "%s",
			 g->book.family[i].line.class_name, nth);
		g->network[i].unfit = family_unfit(&g->book.family[i]);
	}
}

static void networks_write(struct gtfs *g)
{
	for (size_t i = 0; i < g->book.count; i++) {
		const struct book_family *f = &g->book.family[i];

		if (g->network[i].unfit != NULL) {
			gtfs_not_carried(g, g->network[i].id, g->network[i].unfit);
			continue;
		}
		gtfs_row(g, GTFS_NETWORKS, 2, g->network[i].id, f->class_title);
		lines_write(g, f, g->network[i].id);
	}
}

/* ---- riders and media --------------------------------------------------------------------------------------- */

const char *gtfs_category(const struct gtfs *g, size_t group) { return group == 0 ? "everyone" : g->book.axes.group[group].name; }

static void categories_write(struct gtfs *g)
{
	for (size_t i = 0; i < g->book.axes.groups; i++)
		gtfs_row(g, GTFS_CATEGORIES, 4, gtfs_category(g, i), g->book.axes.group[i].title, i == 0 ? "1" : "0", "");
	if (g->book.axes.groups > 1)
		gtfs_not_carried(g, "(groups)", "人群的条件 (年龄、户籍、年审) 只有名称, eligibility_url 由发布方填写");
}

const char *gtfs_medium(size_t medium, size_t guest, char ret[24])
{
	snprintf(ret, 24, "%s%s%s", book_media_names[medium], guest > 0 ? "-" : "", guest > 0 ? book_guest_names[guest] : "");
	return ret;
}

/* Cards of other places are media of their own where some price differs. */
static void media_write(struct gtfs *g)
{
	static const char *const titles[BOOK_MEDIA] = { "公交卡", "社会保障卡", "交通联合乘车码", "银行卡", "银联乘车码", "司机录入证件", "现金" };
	static const char *const homes[BOOK_GUESTS] = { "", " (区域卡)", " (外地卡)" };
	static const char *const types[BOOK_MEDIA] = { "2", "2", "4", "3", "4", "0", "0" };
	char id[24], title[64];

	for (size_t m = 0; m < BOOK_MEDIA; m++)
		for (size_t k = 0; k < BOOK_GUESTS; k++) {
			for (size_t i = 0; k > 0 && i < g->book.count; i++)
				for (size_t c = m * BOOK_GUESTS; c < g->book.family[i].cells; c += BOOK_MEDIA * BOOK_GUESTS)
					g->apart[m][k] |=
						g->book.family[i].price[0][c].paid != g->book.family[i].price[0][c + k].paid;
			g->apart[m][k] |= k == 0;
			snprintf(title, sizeof(title), "%s%s", titles[m], homes[k]);
			if (g->apart[m][k])
				gtfs_row(g, GTFS_MEDIA, 3, gtfs_medium(m, k, id), title, types[m]);
		}
}

/* ---- days and hours ---------------------------------------------------------------------------------------------- */

int64_t gtfs_noon(const struct gtfs *g, int32_t day)
{
	(void)g;
	return (int64_t)day * 86400000 - CIVIL_OFFSET_MS + 43200000;
}

static void calendar_write(struct gtfs *g)
{
	for (int32_t day = g->first; day < g->first + DAYS_EXPORTED; day++) {
		struct civil c = civil_of_ms(gtfs_noon(g, day));
		struct tariff_day kind;
		char service[32], date[16];

		tariff_day_of(g->t, g->first, day, &kind);
		for (size_t d = 0; d < g->book.axes.days; d++) {
			if (strcmp(kind.text, g->book.axes.day[d].text) != 0)
				continue;
			g->day_met[d] = true;
			snprintf(service, sizeof(service), "day%zu", d + 1);
			snprintf(date, sizeof(date), "%04d%02u%02u", c.year, c.month, c.day);
			gtfs_row(g, GTFS_CALENDAR_DATES, 3, service, date, "1");
		}
	}
}

static void frame_write(struct gtfs *g, const uint8_t *in, const char *id)
{
	const struct book_axes *a = &g->book.axes;

	for (size_t d = 0; d < a->days; d++)
		for (size_t s = 0; s < a->slots; s++) {
			char from[16], to[16], service[32];
			size_t first = s;

			if (!g->day_met[d] || !in[d * a->slots + s])
				continue;
			while (s + 1 < a->slots && in[d * a->slots + s + 1])
				s++;
			snprintf(from, sizeof(from), "%02u:%02u:00", a->minute[first] / 60, a->minute[first] % 60);
			snprintf(to, sizeof(to), "%02u:%02u:00", a->minute[s + 1] / 60, a->minute[s + 1] % 60);
			snprintf(service, sizeof(service), "day%zu", d + 1);
			gtfs_row(g, GTFS_TIMEFRAMES, 4, id, from, to, service);
		}
}

/* Number of the timeframe group with these cells of day and slot; 0: always. Negative error. */
static int frame_of(struct gtfs *g, const uint8_t *in)
{
	size_t cells = g->book.axes.days * g->book.axes.slots;
	uint8_t *wide;
	char id[16];

	if (memchr(in, 0, cells) == NULL)
		return 0;
	for (size_t i = 0; i < g->frames; i++)
		if (memcmp(g->frame + i * cells, in, cells) == 0)
			return (int)i + 1;
	wide = realloc(g->frame, (g->frames + 1) * cells);
	if (wide == NULL)
		return -ENOMEM;
	g->frame = wide;
	memcpy(g->frame + g->frames++ * cells, in, cells);
	snprintf(id, sizeof(id), "t%zu", g->frames);
	frame_write(g, in, id);
	return (int)g->frames;
}

/* ---- products and leg rules ---------------------------------------------------------------------------------------- */

static bool moment_same(const struct gtfs *g, const struct book_family *f, size_t j, size_t a, size_t b)
{
	size_t slots = g->book.axes.slots;

	for (size_t group = 0; group < g->book.axes.groups; group++)
		for (size_t i = 0; i < BOOK_MEDIA * BOOK_GUESTS; i++) {
			const struct book_price *x = &f->price[0][book_cell(&g->book, j, group, a / slots, a % slots, 0, 0) + i];
			const struct book_price *y = &f->price[0][book_cell(&g->book, j, group, b / slots, b % slots, 0, 0) + i];

			if (x->state != y->state || x->paid != y->paid)
				return false;
		}
	return true;
}

/* Rows written; none where nobody may ride. */
static size_t product_write(struct gtfs *g, const struct book_family *f, size_t j, size_t moment, const char *id)
{
	size_t slots = g->book.axes.slots;
	char medium[24], amount[24];
	size_t rows = 0;

	for (size_t group = 0; group < g->book.axes.groups; group++)
		for (size_t m = 0; m < BOOK_MEDIA; m++)
			for (size_t k = 0; k < BOOK_GUESTS; k++) {
				const struct book_price *p =
					&f->price[0][book_cell(&g->book, j, group, moment / slots, moment % slots, m, k)];

				if (!g->apart[m][k] || p->state != BOOK_PRICED)
					continue;
				rows++;
				gtfs_row(g, GTFS_PRODUCTS, 6, id, book_rule_title(g->t, p), gtfs_category(g, group),
					 gtfs_medium(m, k, medium), yuan_text(p->paid, amount), "CNY");
			}
	return rows;
}

/* Each pair of stops with this fare, both ways. */
static void sections_write(struct gtfs *g, const struct book_family *f, int64_t fen, const char *network, const char *frame,
			   const char *product)
{
	for (size_t i = 0; i < f->line_count; i++) {
		struct tariff_section s;

		for (size_t k = 0; tariff_section_at(g->t, f->lines[i], gtfs_noon(g, g->first), k, &s); k++) {
			char from[64], to[64];

			if (s.fen != fen)
				continue;
			snprintf(from, sizeof(from), "%s:%u", f->lines[i], s.from_stop);
			snprintf(to, sizeof(to), "%s:%u", f->lines[i], s.to_stop);
			gtfs_row(g, GTFS_LEG_RULES, 8, network, network, from, to, frame, "", product, "1");
			if (s.from_stop != s.to_stop)
				gtfs_row(g, GTFS_LEG_RULES, 8, network, network, to, from, frame, "", product, "1");
		}
	}
}

static void areas_write(struct gtfs *g, const struct book_family *f)
{
	for (size_t i = 0; i < f->line_count; i++) {
		struct tariff_section s;
		unsigned last = 0;

		for (size_t k = 0; tariff_section_at(g->t, f->lines[i], gtfs_noon(g, g->first), k, &s); k++) {
			last = s.from_stop > last ? s.from_stop : last;
			last = s.to_stop > last ? s.to_stop : last;
		}
		for (unsigned stop = 1; stop <= last; stop++) {
			char id[64], title[96];

			snprintf(id, sizeof(id), "%s:%u", f->lines[i], stop);
			snprintf(title, sizeof(title), "%s 第 %u 站", f->lines[i], stop);
			gtfs_row(g, GTFS_AREAS, 2, id, title);
		}
	}
}

/* One product for each set of days and hours that cost the same, and its leg rules. */
static int journey_write(struct gtfs *g, const struct book_family *f, size_t j, const char *network)
{
	size_t moments = g->book.axes.days * g->book.axes.slots;
	uint8_t *done = calloc(2, moments), *in = done + moments;
	int ret = done == NULL ? -ENOMEM : 0;

	for (size_t a = 0; ret == 0 && a < moments; a++) {
		char product[160], section[24] = "", frame[16] = "";
		int number;

		if (done[a] || !g->day_met[a / g->book.axes.slots])
			continue;
		for (size_t b = 0; b < moments;
		     b++) { /* a day that does not come does not keep a price from being for always */
			in[b] = !g->day_met[b / g->book.axes.slots] || (!done[b] && moment_same(g, f, j, a, b));
			done[b] |= in[b];
		}
		number = frame_of(g, in);
		if (number < 0) {
			ret = number;
			break;
		}
		if (number > 0)
			snprintf(frame, sizeof(frame), "t%d", number);
		if (f->journeys > 1)
			snprintf(section, sizeof(section), "-s%zu", j + 1);
		snprintf(product, sizeof(product), "%s%s%s%s", network, section, number > 0 ? "-" : "", frame);
		if (product_write(g, f, j, a, product) == 0)
			gtfs_not_carried(g, product, "此线网此时段不计价 no price here");
		else if (f->journey[j].kind == JOURNEY_SECTION)
			sections_write(
				g, f,
				f->price[0][book_cell(&g->book, j, 0, a / g->book.axes.slots, a % g->book.axes.slots, 0, 0)]
					.published,
				network, frame, product);
		else
			gtfs_row(g, GTFS_LEG_RULES, 8, network, network, "", "", frame, "", product, "1");
	}
	free(done);
	return ret;
}

static int legs_write(struct gtfs *g)
{
	bool sections = false;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < g->book.count; i++) {
		const struct book_family *f = &g->book.family[i];

		if (g->network[i].unfit != NULL)
			continue;
		areas_write(g, f);
		for (size_t j = 0; ret == 0 && j < f->journeys; j++) {
			sections |= f->journey[j].kind == JOURNEY_SECTION;
			ret = journey_write(g, f, j, g->network[i].id);
		}
	}
	for (size_t d = 0; d < g->book.axes.days; d++)
		if (!g->day_met[d])
			gtfs_not_carried(g, g->book.axes.day[d].text, "在导出的一年之后 after the exported year");
	if (g->frames > 0)
		gtfs_not_carried(g, "(calendar_dates.txt)", "日期类别只写到一年, 之后须再导出 one year only");
	if (sections)
		gtfs_not_carried(g, "(stop_areas.txt)", "区域按线路与站序命名, 与站点的对应 (stop_areas.txt) 由发布方补充");
	return ret;
}

/* ---- the verb --------------------------------------------------------------------------------------------------------- */

static const struct { const char *kind, *reason; } unfit_kinds[] = {
	{ "ladder", "累计优惠: GTFS 没有次数或金额累计" }, { "cap", "封顶: fare capping 未被标准采纳" }, { "quota", "次数限制: GTFS 没有次数" },
	{ "lock", "连刷限制不属于票价" }, { "refund", "月后返还: GTFS 没有事后返还" }, { "open", "上下车刷卡的预扣与未完成规则不属于票价" },
	{ "funding", "补贴与分担: GTFS 只有乘客价格" }, { "difference", "多扣少扣的处理不属于票价" },
};

static void rules_not_carried(struct gtfs *g)
{
	struct tariff_rule r;

	for (size_t i = 1; i < tariff_rule_count(g->t); i++) {
		if (!tariff_rule(g->t, (uint16_t)i, &r))
			continue;
		for (size_t k = 0; k < sizeof(unfit_kinds) / sizeof(unfit_kinds[0]); k++)
			if (strcmp(r.kind, unfit_kinds[k].kind) == 0)
				gtfs_not_carried(g, r.id, unfit_kinds[k].reason);
		if (strcmp(r.kind, "concession") == 0)
			gtfs_not_carried(g, r.id, "已换算: 折扣按线路类别与票面价换算为金额 carried as amounts");
	}
}

static int gtfs_write(struct gtfs *g)
{
	int ret;

	fprintf(g->file[GTFS_NOT_CARRIED], "# GTFS Fares v2 不能表达或需补充的内容 what is not carried: rule id, reason\n");
	agencies_write(g);
	networks_name(g);
	networks_write(g);
	categories_write(g);
	media_write(g);
	calendar_write(g);
	ret = legs_write(g);
	if (ret == 0)
		ret = gtfs_transfers_write(g);
	rules_not_carried(g);
	if (g->book.cut)
		gtfs_not_carried(g, "(limits)", "人群、日期、时段或票价种类超出上限, 未全部导出");
	return ret;
}

int tariff_gtfs(int argc, char **argv)
{
	struct open_pack pack = { 0 };
	struct gtfs g = { .first = DAY_NONE };
	struct options o;
	int ret = options_read(argc, argv, usage, &o), code;

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 1 != argc || o.to == NULL || (o.date != NULL && !day_parse(o.date, &g.first))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret = open_pack_read(argv[o.first], &pack);
	if (ret != EXIT_OK)
		return ret;
	g.t = pack.tariff;
	if (g.first == DAY_NONE)
		g.first = day_of_ms(tariff_valid_from_ms(g.t));
	code = book_make(g.t, NULL, g.first, &g.book);
	if (code == 0 && (g.network = calloc(g.book.count + 1, sizeof(*g.network))) == NULL)
		code = -ENOMEM;
	if (code == 0)
		code = files_open(&g, o.to);
	if (code == 0)
		code = gtfs_write(&g);
	ret = files_close(&g);
	if (code == 0)
		code = ret;
	if (code != 0)
		complain("%s: %s", o.to, strerror(-code));
	free(g.network);
	free(g.frame);
	book_warn(&g.book);
	book_free(&g.book);
	open_pack_done(&pack);
	return code == 0 ? EXIT_OK : EXIT_STORE;
}
