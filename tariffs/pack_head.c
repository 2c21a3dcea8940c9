/*
 * pack_head - the files of a pack and what rules build on: the head, seasons, groups, treasuries and funding,
 * line classes.
 */
#include "tariffs/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const guests[] = { "local", "region", "other" };
static const char *const sections[] = { "settings", "seasons", "groups", "treasuries", "funding", "classes", "fares", "quotas", "concessions", "transfers",
	"ladders", "caps", "refunds", "locks", "open_rides",
	"differences" };
static const char *const head_keys[] = { "name", "title", "version", "valid_from", "published_on", "basis", "order", "rounding", "stacking", "card_price",
	"home_issuer", "guest_default", "regions", "birthdays", "fare_day_cut", "late" };
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- files ----------------------------------------------------------------------------------------------- */

static void top_keys(struct pack *p, int slot)
{
	const struct node *root = yaml_root(p->doc[slot]);
	const char *known[COUNT(sections) + COUNT(head_keys)];
	size_t n = 0;

	for (size_t i = 0; i < COUNT(sections); i++)
		known[n++] = sections[i];
	for (size_t i = 0; slot == FILE_PACK && i < COUNT(head_keys); i++)
		known[n++] = head_keys[i];
	if (root->kind != NODE_MAP) {
		problem(p, p->path[slot], 1, 1, "a mapping is needed");
		return;
	}
	for (size_t i = 0; i < root->count; i++) {
		const char *near;
		size_t k = 0;

		while (k < n && strcmp(known[k], root->key[i]) != 0)
			k++;
		if (k < n)
			continue;
		near = word_suggest(root->key[i], known, n);
		problem(p, p->path[slot], root->key_line[i], root->key_column[i], "unknown key \"%s\"%s%s%s", root->key[i], near ? ", did you mean \"" : "",
			near ? near : "", near ? "\"?" : "");
	}
}

void pack_read_files(struct pack *p)
{
	static const char *const names[FILE_COUNT_] = { "pack.yaml", "groups.yaml", "funding.yaml", "rules.yaml", "(overlay)" };
	char error[512];

	for (int i = 0; i < FILE_COUNT_; i++) {
		int ret;

		if (i == FILE_OVERLAY) {
			snprintf(p->path[i], PATH_MAX, "%s", names[i]);
			if (p->overlay == NULL || p->overlay->yaml == NULL)
				continue;
			ret = yaml_parse(names[i], p->overlay->yaml, strlen(p->overlay->yaml), &p->doc[i], error, sizeof(error));
		} else {
			path_of(p, names[i], p->path[i], PATH_MAX);
			if (i != FILE_PACK && access(p->path[i], F_OK) != 0)
				continue;
			ret = yaml_open(p->path[i], &p->doc[i], error, sizeof(error));
		}
		if (ret != 0) {
			p->doc[i] = NULL;
			p->problems++;
			p->report(p->arg, error);
			continue;
		}
		if (yaml_root(p->doc[i]) != NULL) {
			top_keys(p, i);
			continue;
		}
		if (i != FILE_OVERLAY)
			problem(p, p->path[i], 1, 1, "the file is empty");
		yaml_close(p->doc[i]);
		p->doc[i] = NULL;
	}
}

/* ---- the head ----------------------------------------------------------------------------------------------- */

static uint32_t issuer_of(struct fields *f, const struct node *n)
{
	char *end;
	unsigned long v = n->kind == NODE_SCALAR ? strtoul(n->text, &end, 16) : 0;

	if (n->kind != NODE_SCALAR || strlen(n->text) != 8 || *end != '\0')
		problem(f->pack, f->file, n->line, n->column, "an institution number of eight digits is needed");
	return (uint32_t)v;
}

static int region_compare(const void *a, const void *b)
{
	const struct row_region *x = a, *y = b;

	return x->issuer < y->issuer ? -1 : x->issuer > y->issuer;
}

static void read_regions(struct fields *f)
{
	const struct node *list = field(f, "regions");

	for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->count; i++) {
		struct row_region row = { 0 };
		struct fields r;

		fields_open(&r, f->pack, f->file, list->item[i]);
		if (field(&r, "issuer") != NULL)
			row.issuer = issuer_of(&r, field(&r, "issuer"));
		else
			field_text(&r, "issuer", NULL);
		row.guest = (uint32_t)field_word(&r, "guest", guests, 3, -1);
		field_text(&r, "title", "");
		fields_close(&r);
		row_add(f->pack, T_REGION, &row, sizeof(row));
	}
	if (f->pack->table[T_REGION].count > 0)
		qsort(f->pack->table[T_REGION].p, f->pack->table[T_REGION].count, sizeof(struct row_region), region_compare);
}

static void read_order(struct fields *f)
{
	static const char *const words[] = { "", "concession", "transfer", "ladder", "cap", "round" };
	const struct node *n = field(f, "order");
	size_t at = 0;

	if (n == NULL || n->kind != NODE_LIST) {
		problem(f->pack, f->file, f->map->line, f->map->column, "\"order\" is missing: the steps after the published fare, such as [concession, transfer]");
		return;
	}
	for (size_t i = 0; i < n->count; i++) {
		size_t k = 1;

		while (k < COUNT(words) && (n->item[i]->kind != NODE_SCALAR || strcmp(words[k], n->item[i]->text) != 0))
			k++;
		if (k == COUNT(words) || (k != ORDER_ROUND && memchr(f->pack->head.order, (int)k, at) != NULL) || at == ORDER_MAX - 1)
			problem(f->pack, f->file, n->item[i]->line, n->item[i]->column, "order: concession, transfer, ladder, cap once each, and round");
		else
			f->pack->head.order[at++] = (uint8_t)k;
	}
}

static void read_birthdays(struct fields *f)
{
	static const char *const counts[] = { "same-day", "day-after" }, *const feb29[] = { "mar-1", "feb-28" };
	const struct node *n = field(f, "birthdays");
	struct fields b;

	if (n == NULL)
		return;
	fields_open(&b, f->pack, f->file, n);
	f->pack->head.birthday_after = (uint8_t)field_word(&b, "counts", counts, 2, 0);
	f->pack->head.feb29_feb28 = (uint8_t)field_word(&b, "feb29", feb29, 2, 0);
	fields_close(&b);
}

static void read_late(struct fields *f)
{
	static const char *const owed[] = { "refund", "absorb" };
	const struct node *n = field(f, "late");
	struct fields l;

	f->pack->head.late_window_days = 10;
	f->pack->head.late_hard_days = 30;
	if (n == NULL)
		return;
	fields_open(&l, f->pack, f->file, n);
	f->pack->head.late_window_days = (uint16_t)field_int(&l, "window_days", 0, 365, 10);
	f->pack->head.late_hard_days = (uint16_t)field_int(&l, "hard_days", 0, 365, 30);
	f->pack->head.late_refund_from_fen = (uint32_t)field_int(&l, "refund_from_fen", 0, 1000000, 0);
	if (field_word(&l, "owed", owed, 2, 0) == 1)
		f->pack->head.late_refund_from_fen = UINT32_MAX;
	fields_close(&l);
}

bool cut_read(struct fields *f, uint32_t *ret_s)
{
	const char *text = field_text(f, "fare_day_cut", "");
	unsigned hour, minute;
	char rest;

	if (text[0] == '\0')
		return false;
	if (sscanf(text, "%2u:%2u%c", &hour, &minute, &rest) != 2 || hour > 12 || minute > 59) {
		problem(f->pack, f->file, field(f, "fare_day_cut")->line, field(f, "fare_day_cut")->column, "fare_day_cut: a time from 00:00 to 12:59 is needed");
		return false;
	}
	*ret_s = (hour * 60 + minute) * 60;
	return true;
}

static void read_card_price(struct fields *f)
{
	struct pack *p = f->pack;

	p->head.card_price = (uint32_t)p->table[T_LIST].count;
	for (size_t i = 0; i < field_list(f, "card_price"); i++) {
		const struct node *n = field_item(f, "card_price", i);
		int at = n->kind == NODE_SCALAR ? concession_find(p, n->text) : -1;
		uint32_t index = (uint32_t)at;

		if (at < 0) {
			problem(p, f->file, n->line, n->column, "card_price: no concession is called \"%s\"", n->kind == NODE_SCALAR ? n->text : "");
			continue;
		}
		row_add(p, T_LIST, &index, 4);
		p->head.card_price_count++;
	}
}

static void read_head(struct pack *p)
{
	static const char *const stacking[] = { "unique", "cheapest" };
	struct fields f;
	uint8_t mode;

	if (p->doc[FILE_PACK] == NULL)
		return;
	fields_open(&f, p, p->path[FILE_PACK], yaml_root(p->doc[FILE_PACK]));
	p->head.name = text_add(p, field_text(&f, "name", NULL));
	p->head.title = text_add(p, field_text(&f, "title", NULL));
	p->head.version = (uint32_t)field_int(&f, "version", 1, UINT32_MAX, INT64_MIN);
	p->head.valid_from_ms = field_day(&f, "valid_from", INT64_MIN);
	p->head.published_ms = field_day(&f, "published_on", INT64_MIN);
	field_text(&f, "basis", NULL);
	if (field(&f, "home_issuer") != NULL)
		p->head.home_issuer = issuer_of(&f, field(&f, "home_issuer"));
	p->head.guest_default = (uint8_t)field_word(&f, "guest_default", guests, 3, GUEST_OTHER);
	p->cheapest = field_word(&f, "stacking", stacking, 2, 0) == 1;
	rounding_read(&f, &mode, &p->head.round_unit_fen);
	if (mode == ROUND_OF_PACK)
		problem(p, f.file, f.map->line, f.map->column, "\"rounding\" is missing: {mode: half-up, unit_fen: 1}");
	p->head.round_mode = mode;
	read_order(&f);
	read_regions(&f);
	read_birthdays(&f);
	read_late(&f);
	cut_read(&f, &p->head.fare_day_cut_s);
	read_card_price(&f);
}

/* ---- seasons, groups ------------------------------------------------------------------------------------------ */

static bool mmdd_parse(const char *text, size_t n, uint32_t *ret)
{
	int32_t day;
	char date[16];

	if (n != 5)
		return false;
	snprintf(date, sizeof(date), "2000-%.5s", text);
	if (!day_parse(date, &day))
		return false;
	*ret = (uint32_t)(atoi(date + 5) * 100 + atoi(date + 8));
	return true;
}

static void read_season(struct pack *p, const char *path, const struct node *n)
{
	static const char *const inout[] = { "out", "in" };
	struct row_season row = { 0 };
	bool feb29;
	struct fields f;

	fields_open(&f, p, path, n);
	row.name = text_add(p, field_text(&f, "name", NULL));
	field_text(&f, "title", "");
	feb29 = field_word(&f, "feb29", inout, 2, 0) == 1;
	row.range = (uint32_t)p->table[T_LIST].count;
	for (size_t i = 0; i < field_list(&f, "dates"); i++) {
		const struct node *d = field_item(&f, "dates", i);
		uint32_t from, to, range;

		if (d->kind != NODE_SCALAR || strlen(d->text) != 12 || memcmp(d->text + 5, "..", 2) != 0 || !mmdd_parse(d->text, 5, &from) ||
		    !mmdd_parse(d->text + 7, 5, &to)) {
			problem(p, path, d->line, d->column, "dates: ranges such as 06-01..09-30 are needed");
			continue;
		}
		if (to == 228 && feb29)
			to = 229;
		range = from << 16 | to;
		row_add(p, T_LIST, &range, 4);
		row.range_count++;
	}
	if (row.range_count == 0)
		problem(p, path, n->line, n->column, "\"dates\" is missing");
	fields_close(&f);
	if (row_add(p, T_SEASON, &row, sizeof(row)) >= 32)
		problem(p, path, n->line, n->column, "more than 32 seasons");
}

static void read_age(struct fields *f, struct row_group *g)
{
	const struct node *n = field(f, "age");
	const char *ends = field_text(f, "ends", "birthday");
	int64_t from = -1, to = -1;
	uint32_t mmdd;

	g->age_from = g->age_to = -1;
	if (strcmp(ends, "year-end") == 0)
		g->ends = END_YEAR;
	else if (mmdd_parse(ends, strlen(ends), &mmdd))
		g->ends = END_DATE, g->ends_mmdd = (uint16_t)mmdd;
	else if (strcmp(ends, "birthday") != 0)
		problem(f->pack, f->file, field(f, "ends")->line, field(f, "ends")->column, "ends: birthday, year-end or MM-DD is needed");
	if (n == NULL)
		return;
	if (n->kind != NODE_LIST || n->count != 2 || n->item[0]->kind != NODE_SCALAR || n->item[1]->kind != NODE_SCALAR ||
	    (n->item[0]->text[0] != '\0' && !node_int(n->item[0], &from)) || (n->item[1]->text[0] != '\0' && !node_int(n->item[1], &to)) || from > 150 ||
	    to > 150 || (from >= 0 && to >= 0 && from > to))
		problem(f->pack, f->file, n->line, n->column, "age: [from, to] in whole years is needed, either may be \"\"");
	g->age_from = (int16_t)from;
	g->age_to = (int16_t)to;
}

static void read_card_classes(struct fields *f, struct row_group *g)
{
	for (size_t i = 0; i < field_list(f, "class"); i++) {
		const struct node *n = field_item(f, "class", i);
		int64_t v = 0;

		if (!node_int(n, &v) || v < 1 || v > 15)
			problem(f->pack, f->file, n->line, n->column, "class: card class numbers from 1 to 15 are needed");
		g->card_classes |= (uint16_t)(1u << (v & 15));
	}
}

static void read_check(struct fields *f, struct row_group *g)
{
	static const char *const checks[] = { "none", "yearly" };

	g->checked = (uint8_t)field_word(f, "check", checks, 2, 0);
	if (g->checked && field(f, "lapsed") == NULL)
		problem(f->pack, f->file, f->map->line, f->map->column, "\"lapsed\" is missing: what a rider pays whose yearly check has lapsed (a concession's id, published, other)");
	g->lapsed = then_read(f, "lapsed", THEN_OTHER);
}

static void read_group(struct pack *p, const char *path, const struct node *n)
{
	struct row_group g = { 0 };
	struct fields f;

	fields_open(&f, p, path, n);
	g.name = text_add(p, field_text(&f, "name", NULL));
	g.title = text_add(p, field_text(&f, "title", NULL));
	g.code = (uint16_t)field_int(&f, "code", 1, 65535, INT64_MIN);
	field_text(&f, "source", NULL);
	g.by_hold = field_bool(&f, "hold", false);
	g.all = field_bool(&f, "all", false);
	g.grade_min = (uint8_t)field_int(&f, "grade_min", 1, 10, 0);
	g.grade_max = (uint8_t)field_int(&f, "grade_max", 1, 10, 0);
	g.home = (uint32_t)field_int(&f, "home", 10, 999999, 0);
	g.escort_min = (uint8_t)field_int(&f, "escort", 1, 240, 0);
	g.marks_of = (uint8_t)word_mask(&f, "marks_of", guests, 3, 1u << GUEST_LOCAL);
	read_check(&f, &g);
	read_age(&f, &g);
	read_card_classes(&f, &g);
	g.product = text_list(&f, "product", &g.product_count);
	fields_close(&f);
	for (uint32_t i = 0; i < p->table[T_GROUP].count; i++)
		if (ROW(p, T_GROUP, struct row_group, i)->code == g.code || ROW(p, T_GROUP, struct row_group, i)->name == g.name)
			problem(p, path, n->line, n->column, "a group of this name or code exists already");
	if (!g.by_hold && g.age_from < 0 && g.age_to < 0 && g.card_classes == 0 && g.product_count == 0 && g.escort_min == 0)
		problem(p, path, n->line, n->column, "nobody can be in this group: give hold, age, class, product or escort");
	if (g.all && g.escort_min != 0 && (g.by_hold || g.age_from >= 0 || g.age_to >= 0))
		problem(p, path, n->line, n->column, "nobody can be in this group: holds and age are the person's, an escort's card has neither; take them away, or all: yes");
	if (row_add(p, T_GROUP, &g, sizeof(g)) >= 64)
		problem(p, path, n->line, n->column, "more than 64 groups");
}

/* ---- treasuries and funding -------------------------------------------------------------------------------------- */

static void share_add(struct fields *f, struct row_fund *row, const struct node *name, const char *key, const struct node *weight_node)
{
	unsigned line = name != NULL ? name->line : weight_node->line, column = name != NULL ? name->column : weight_node->column;
	int at = treasury_find(f->pack, key);
	int64_t weight = 0;

	if (at < 0 && strcmp(key, "county") == 0)
		at = TREASURY_OF_COUNTY - 1;
	if (at < 0)
		problem(f->pack, f->file, line, column, "share: no treasury is called \"%s\"", key);
	if (!node_int(weight_node, &weight) || weight < 1 || weight > 10000)
		problem(f->pack, f->file, weight_node->line, weight_node->column, "share: a weight from 1 to 10000 is needed");
	if (row->share_count == FARE_FUNDERS_MAX) {
		problem(f->pack, f->file, line, column, "share: more than %d treasuries", FARE_FUNDERS_MAX);
		return;
	}
	f->pack->uses_county = f->pack->uses_county || at == TREASURY_OF_COUNTY - 1;
	row->treasury[row->share_count] = (uint16_t)(at + 1);
	row->weight[row->share_count++] = (uint32_t)weight;
}

/* {city: 60, county: 40} or [[city, 60], [county, 40]] */
static void read_shares(struct fields *f, struct row_fund *row)
{
	const struct node *n = field(f, "share");

	for (size_t i = 0; n != NULL && n->kind == NODE_MAP && i < n->count; i++)
		share_add(f, row, NULL, n->key[i], n->item[i]);
	for (size_t i = 0; n != NULL && n->kind == NODE_LIST && i < n->count; i++) {
		const struct node *pair = n->item[i];

		if (pair->kind != NODE_LIST || pair->count != 2 || pair->item[0]->kind != NODE_SCALAR)
			problem(f->pack, f->file, pair->line, pair->column, "share: pairs such as [city, 60] are needed");
		else
			share_add(f, row, pair->item[0], pair->item[0]->text, pair->item[1]);
	}
}

static void read_units(struct fields *f, struct row_fund *row)
{
	const struct node *n = field(f, "unit_fen");

	if (n == NULL || n->kind != NODE_MAP) {
		row->unit_fen = (int32_t)field_int(f, "unit_fen", 1, 1000000, row->gap == GAP_UNIT ? INT64_MIN : 0);
		return;
	}
	row->unit = (uint32_t)f->pack->table[T_LIST].count;
	for (size_t i = 0; i < n->count; i++) {
		int at = season_find(f->pack, n->key[i]);
		uint32_t pair[2] = { (uint32_t)at };
		int64_t fen = 0;

		if (at < 0)
			problem(f->pack, f->file, n->key_line[i], n->key_column[i], "unit_fen: no season is called \"%s\"", n->key[i]);
		if (!node_int(n->item[i], &fen) || fen < 0 || fen > 1000000)
			problem(f->pack, f->file, n->item[i]->line, n->item[i]->column, "unit_fen: whole fen are needed");
		pair[1] = (uint32_t)fen;
		row_add(f->pack, T_LIST, &pair[0], 4);
		row_add(f->pack, T_LIST, &pair[1], 4);
		row->unit_count++;
	}
}

static void read_fund(struct pack *p, const char *path, const struct node *n)
{
	static const char *const gaps[GAP_COUNT_] = { "none", "published", "card-price", "unit", "own", "lump" };
	struct row_fund row = { 0 };
	const char *id, *title, *basis;
	struct fields f;

	fields_open(&f, p, path, n);
	id = field_text(&f, "id", NULL);
	title = field_text(&f, "title", NULL);
	basis = field_text(&f, "basis", NULL);
	row.gap = (uint8_t)field_word(&f, "gap", gaps, GAP_COUNT_, -1);
	read_units(&f, &row);
	row.operator_weight = (uint32_t)field_int(&f, "operator", 0, 10000, 0);
	read_shares(&f, &row);
	if (row.gap != GAP_NONE && row.gap != GAP_LUMP && row.share_count == 0)
		problem(p, path, n->line, n->column, "\"share\" is missing: {city: 60, county: 40}");
	fields_close(&f);
	row.rule = rule_add(p, id, title, basis, "funding", path, n->line);
	row_add(p, T_FUND, &row, sizeof(row));
}

static void read_treasury(struct pack *p, const char *path, const struct node *n)
{
	struct row_treasury row;
	struct fields f;

	fields_open(&f, p, path, n);
	row.name = text_add(p, field_text(&f, "name", NULL));
	row.title = text_add(p, field_text(&f, "title", NULL));
	fields_close(&f);
	if (treasury_find(p, text_at(p, row.name)) < 0)
		row_add(p, T_TREASURY, &row, sizeof(row));
	else if (path != p->path[FILE_OVERLAY])
		problem(p, path, n->line, n->column, "treasury twice");
}

static void read_class(struct pack *p, const char *path, const struct node *n)
{
	struct row_class row;
	struct fields f;

	fields_open(&f, p, path, n);
	row.name = text_add(p, field_text(&f, "name", NULL));
	row.title = text_add(p, field_text(&f, "title", NULL));
	fields_close(&f);
	if (row_add(p, T_CLASS, &row, sizeof(row)) >= 64)
		problem(p, path, n->line, n->column, "more than 64 line classes");
}

static void concession_name(struct pack *p, const char *path, const struct node *n)
{
	const struct node *id = n->kind == NODE_MAP ? node_get(n, "id") : NULL;

	if (p->concession_count == 64) {
		problem(p, path, n->line, n->column, "more than 64 concessions");
		return;
	}
	p->at_concession[p->concession_count] = (struct where){ path, n->line, n->column };
	p->concession_id[p->concession_count++] = id != NULL && id->kind == NODE_SCALAR ? id->text : "";
}

void pack_read_head(struct pack *p)
{
	each_entry(p, "concessions", concession_name);
	read_head(p);
	each_entry(p, "seasons", read_season);
	each_entry(p, "groups", read_group);
	each_entry(p, "treasuries", read_treasury);
	each_entry(p, "funding", read_fund);
	each_entry(p, "classes", read_class);
}
