/*
 * pack_rules - the YAML files of a pack: pack.yaml, groups.yaml, funding.yaml, rules.yaml. Each function reads
 * one kind of entry into its row; what is wrong is reported with its place and reading goes on.
 */
#include "tariffs/pack.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALWAYS_MS (INT64_MAX / 2)

static const char *const media[] = { "", "card", "ssc", "qr", "bank", "bank-qr", "manual" };
static const char *const guests[] = { "local", "region", "other" };
static const char *const modes[] = { "bus", "metro", "brt", "ferry" };

static const struct node *file_open(struct pack *p, int slot, const char *file, char *path, size_t bytes)
{
	char error[512];

	path_of(p, file, path, bytes);
	if (yaml_open(path, &p->doc[slot], error, sizeof(error)) != 0) {
		p->problems++;
		p->report(p->arg, error);
		return NULL;
	}
	if (yaml_root(p->doc[slot]) == NULL)
		problem(p, path, 1, 1, "the file is empty");
	return yaml_root(p->doc[slot]);
}

/* ---- lists of names to masks and table ranges ----------------------------------------------------------- */

/* Words of a list to bits; absent: all bits. */
static uint32_t word_mask(struct fields *f, const char *key, const char *const *words, size_t count, uint32_t all)
{
	uint32_t mask = 0;

	if (field(f, key) == NULL)
		return all;
	for (size_t i = 0; i < field_list(f, key); i++) {
		const struct node *n = field_item(f, key, i);
		size_t k = 0;

		while (k < count && (words[k][0] == '\0' || strcmp(n->text, words[k]) != 0))
			k++;
		if (k < count) {
			mask |= 1u << k;
		} else {
			const char *near = word_suggest(n->text, words, count);

			problem(f->pack, f->file, n->line, n->column, "%s: \"%s\" is not known%s%s", key, n->text, near ? ", did you mean " : "", near ? near : "");
		}
	}
	return mask;
}

/* Names found by a finder to bits. */
static uint64_t name_mask(struct fields *f, const char *key, int (*find)(const struct pack *, const char *), const char *what)
{
	uint64_t mask = 0;

	if (field(f, key) == NULL)
		return 0;
	for (size_t i = 0; i < field_list(f, key); i++) {
		const struct node *n = field_item(f, key, i);
		int at = find(f->pack, n->text);

		if (at < 0 || at > 63)
			problem(f->pack, f->file, n->line, n->column, "%s: no %s is called \"%s\"", key, what, n->text);
		else
			mask |= 1ULL << at;
	}
	return mask;
}

static uint32_t text_list(struct fields *f, const char *key, uint32_t *ret_count)
{
	uint32_t first = (uint32_t)f->pack->table[T_LIST].count;

	field(f, key);
	*ret_count = 0;
	for (size_t i = 0; i < field_list(f, key); i++) {
		uint32_t text = text_add(f->pack, field_item(f, key, i)->text);

		row_add(f->pack, T_LIST, &text, sizeof(text));
		++*ret_count;
	}
	return first;
}

static uint32_t operator_list(struct fields *f, const char *key, uint32_t *ret_count)
{
	uint32_t first = (uint32_t)f->pack->table[T_LIST].count;

	field(f, key);
	*ret_count = 0;
	for (size_t i = 0; i < field_list(f, key); i++) {
		const struct node *n = field_item(f, key, i);
		int at = operator_find(f->pack, n->text);

		if (at < 0) {
			problem(f->pack, f->file, n->line, n->column, "%s: operators.csv has no operator \"%s\"", key, n->text);
			continue;
		}
		row_add(f->pack, T_LIST, &ROW(f->pack, T_OPERATOR, struct row_operator, at)->id, 4);
		++*ret_count;
	}
	return first;
}

/* Percent text "90%" or "45.5%" to 1/10000, exactly. */
static bool percent_parse(const char *text, int32_t *ret)
{
	char *end;
	long whole = strtol(text, &end, 10), part = 0;

	if (end == text || whole < 0 || whole > 100)
		return false;
	if (*end == '.') {
		const char *p = end + 1;

		for (int k = 0; k < 2; k++) {
			part = part * 10 + (*p >= '0' && *p <= '9' ? *p - '0' : 0);
			if (*p >= '0' && *p <= '9')
				p++;
		}
		end = (char *)(uintptr_t)p;
	}
	if (strcmp(end, "%") != 0)
		return false;
	*ret = (int32_t)(whole * 100 + part);
	return true;
}

/* "07:00-08:30" to minutes, 24:00 allowed as an end. */
static bool slot_parse(const char *text, uint16_t *ret_from, uint16_t *ret_to)
{
	unsigned a, b, c, d;
	char rest;

	if (sscanf(text, "%2u:%2u-%2u:%2u%c", &a, &b, &c, &d, &rest) != 4 || b > 59 || d > 59 || a > 23 || c > 24 || (c == 24 && d > 0))
		return false;
	*ret_from = (uint16_t)(a * 60 + b);
	*ret_to = (uint16_t)(c * 60 + d);
	return *ret_from < *ret_to;
}

/* ---- pack.yaml ------------------------------------------------------------------------------------------------- */

static uint32_t issuer_of(struct fields *f, const struct node *n)
{
	char *end;
	unsigned long v = strtoul(n->text, &end, 16);

	if (strlen(n->text) != 8 || *end != '\0')
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

	for (size_t i = 0; list != NULL && i < list->count; i++) {
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

static void read_rounding(struct fields *f)
{
	static const char *const words[] = { "half-up", "half-down", "half-even", "floor", "ceil" };
	const struct node *n = field(f, "rounding");
	struct fields r;

	f->pack->head.round_unit_fen = 1;
	if (n == NULL) {
		problem(f->pack, f->file, f->map->line, f->map->column, "\"rounding\" is missing: {mode: half-up, unit_fen: 1}");
		return;
	}
	fields_open(&r, f->pack, f->file, n);
	f->pack->head.round_mode = (uint8_t)field_word(&r, "mode", words, 5, -1);
	f->pack->head.round_unit_fen = (uint32_t)field_int(&r, "unit_fen", 1, 1000, 1);
	fields_close(&r);
}

static void read_pack(struct pack *p)
{
	static const char *const stacking[] = { "unique", "cheapest" };
	char path[PATH_MAX];
	const struct node *root = file_open(p, 0, "pack.yaml", path, sizeof(path));
	struct fields f;

	if (root == NULL)
		return;
	fields_open(&f, p, path, root);
	p->head.name = text_add(p, field_text(&f, "name", NULL));
	p->head.title = text_add(p, field_text(&f, "title", NULL));
	p->head.version = (uint32_t)field_int(&f, "version", 1, UINT32_MAX, INT64_MIN);
	p->head.valid_from_ms = field_day(&f, "valid_from", INT64_MIN);
	p->head.published_ms = field_day(&f, "published_on", INT64_MIN);
	field_text(&f, "basis", NULL);
	if (field(&f, "home_issuer") != NULL)
		p->head.home_issuer = issuer_of(&f, field(&f, "home_issuer"));
	p->head.guest_default = (uint8_t)field_word(&f, "guest_default", guests, 3, GUEST_OTHER);
	p->card_price = field_text(&f, "card_price", "");
	p->cheapest = field_word(&f, "stacking", stacking, 2, 0) == 1;
	read_rounding(&f);
	read_regions(&f);
	p->lock_node = field(&f, "lock");
	fields_close(&f);
}

/* Read after the rules, whose names it uses. */
static void read_lock(struct pack *p)
{
	char path[PATH_MAX];
	struct fields f;

	if (p->lock_node == NULL)
		return;
	path_of(p, "pack.yaml", path, sizeof(path));
	fields_open(&f, p, path, p->lock_node);
	p->head.lock_ms = (uint32_t)field_int(&f, "minutes", 1, 1440, INT64_MIN) * 60000;
	p->head.lock_same_vehicle = field_bool(&f, "same_vehicle", true);
	p->head.lock_concessions = name_mask(&f, "with", concession_find, "concession");
	p->head.lock_rule = rule_add(p, "lock", field_text(&f, "title", NULL), field_text(&f, "basis", NULL), "lock", path, p->lock_node->line);
	fields_close(&f);
}

/* ---- groups.yaml ------------------------------------------------------------------------------------------------- */

static void read_age(struct fields *f, struct row_group *g)
{
	const struct node *n = field(f, "age");
	int64_t from = -1, to = -1;

	g->age_from = g->age_to = -1;
	if (n == NULL)
		return;
	if (n->kind != NODE_LIST || n->count != 2 || (n->item[0]->text[0] != '\0' && !node_int(n->item[0], &from)) ||
	    (n->item[1]->text[0] != '\0' && !node_int(n->item[1], &to)) || from > 150 || to > 150)
		problem(f->pack, f->file, n->line, n->column, "age: [from, to] in whole years is needed, either may be \"\"");
	g->age_from = (int16_t)from;
	g->age_to = (int16_t)to;
}

static void read_group(struct pack *p, const char *path, const struct node *n)
{
	static const char *const checks[] = { "none", "yearly" };
	struct row_group g = { 0 };
	struct fields f;

	fields_open(&f, p, path, n);
	g.name = text_add(p, field_text(&f, "name", NULL));
	g.title = text_add(p, field_text(&f, "title", NULL));
	g.code = (uint16_t)field_int(&f, "code", 1, 65535, INT64_MIN);
	field_text(&f, "source", NULL);
	g.by_hold = field_bool(&f, "hold", false);
	g.grade_max = (uint8_t)field_int(&f, "grade_max", 1, 10, 0);
	g.home = (uint32_t)field_int(&f, "home", 10, 999999, 0);
	g.checked = (uint8_t)field_word(&f, "check", checks, 2, 0);
	if (g.checked && field(&f, "lapsed") == NULL)
		problem(p, path, n->line, n->column, "\"lapsed\" is missing: what a rider pays whose yearly check has lapsed (ordinary)");
	field_text(&f, "lapsed", "ordinary");
	read_age(&f, &g);
	field(&f, "class");
	for (size_t i = 0; i < field_list(&f, "class"); i++) {
		int64_t v = 0;

		if (!node_int(field_item(&f, "class", i), &v) || v < 1 || v > 15)
			problem(p, path, n->line, n->column, "class: card class numbers from 1 to 15 are needed");
		g.card_classes |= (uint16_t)(1u << (v & 15));
	}
	g.product = text_list(&f, "product", &g.product_count);
	fields_close(&f);
	for (uint32_t i = 0; i < p->table[T_GROUP].count; i++)
		if (ROW(p, T_GROUP, struct row_group, i)->code == g.code || ROW(p, T_GROUP, struct row_group, i)->name == g.name)
			problem(p, path, n->line, n->column, "a group of this name or code exists already");
	if (!g.by_hold && g.age_from < 0 && g.age_to < 0 && g.card_classes == 0 && g.product_count == 0)
		problem(p, path, n->line, n->column, "nobody can be in this group: give hold, age, class or product");
	row_add(p, T_GROUP, &g, sizeof(g));
}

/* ---- funding.yaml -------------------------------------------------------------------------------------------------- */

static void read_shares(struct fields *f, struct row_fund *row)
{
	const struct node *n = field(f, "share");

	for (size_t i = 0; n != NULL && n->kind == NODE_MAP && i < n->count; i++) {
		int64_t weight;
		int at = strcmp(n->key[i], "county") == 0 ? TREASURY_OF_COUNTY - 1 : treasury_find(f->pack, n->key[i]);

		if (at < 0)
			problem(f->pack, f->file, n->key_line[i], n->key_column[i], "share: no treasury is called \"%s\"", n->key[i]);
		if (!node_int(n->item[i], &weight) || weight < 1 || weight > 10000)
			problem(f->pack, f->file, n->item[i]->line, n->item[i]->column, "share: a weight from 1 to 10000 is needed");
		if (row->share_count == FARE_FUNDERS_MAX) {
			problem(f->pack, f->file, n->line, n->column, "share: more than %d treasuries", FARE_FUNDERS_MAX);
			return;
		}
		f->pack->uses_county = f->pack->uses_county || at == TREASURY_OF_COUNTY - 1;
		row->treasury[row->share_count] = (uint16_t)(at + 1);
		row->weight[row->share_count++] = (uint32_t)weight;
	}
}

static void read_fund(struct pack *p, const char *path, const struct node *n)
{
	static const char *const gaps[] = { "none", "published", "card-price", "unit" };
	struct row_fund row = { 0 };
	const char *id, *title, *basis;
	struct fields f;

	fields_open(&f, p, path, n);
	id = field_text(&f, "id", NULL);
	title = field_text(&f, "title", NULL);
	basis = field_text(&f, "basis", NULL);
	row.gap = (uint8_t)field_word(&f, "gap", gaps, 4, -1);
	row.unit_fen = (int32_t)field_int(&f, "unit_fen", 1, 1000000, row.gap == GAP_UNIT ? INT64_MIN : 0);
	row.operator_weight = (uint32_t)field_int(&f, "operator", 0, 10000, 0);
	read_shares(&f, &row);
	if (row.gap != GAP_NONE && row.share_count == 0)
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
	row_add(p, T_TREASURY, &row, sizeof(row));
}

/* ---- rules.yaml ------------------------------------------------------------------------------------------------------ */

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

static void read_quota(struct pack *p, const char *path, const struct node *n)
{
	static const char *const periods[] = { "day", "month", "year" };
	struct row_quota row = { 0 };
	const char *id, *title, *basis;
	struct fields f;

	fields_open(&f, p, path, n);
	id = field_text(&f, "id", NULL);
	title = field_text(&f, "title", NULL);
	basis = field_text(&f, "basis", NULL);
	row.limit = (uint32_t)field_int(&f, "limit", 1, 1000000, INT64_MIN);
	row.period = (uint8_t)field_word(&f, "per", periods, 3, -1);
	fields_close(&f);
	row.acc = (uint16_t)(p->table[T_QUOTA].count + 1);
	row.rule = rule_add(p, id, title, basis, "quota", path, n->line);
	if (row_add(p, T_QUOTA, &row, sizeof(row)) >= RIDER_ACC_MAX)
		problem(p, path, n->line, n->column, "more than %d quotas", RIDER_ACC_MAX);
}

static void price_bands(struct fields *f, const struct node *n, struct row_concession *c)
{
	c->price = PRICE_BANDS;
	c->band = (uint32_t)f->pack->table[T_BAND].count;
	for (size_t i = 0; i < n->count; i++) {
		struct row_band band = { .upto_fen = INT32_MAX };
		int64_t upto = INT32_MAX;
		struct fields b;

		fields_open(&b, f->pack, f->file, n->item[i]);
		upto = field_int(&b, "upto_fen", 1, 1000000, INT32_MAX);
		band.upto_fen = (int32_t)upto;
		if (!percent_parse(field_text(&b, "rate", NULL), &band.rate))
			problem(f->pack, f->file, n->item[i]->line, n->item[i]->column, "rate: a percentage such as 80%% is needed");
		fields_close(&b);
		row_add(f->pack, T_BAND, &band, sizeof(band));
		c->band_count++;
	}
}

/* price: free | published | 90% | {fixed_fen: 70} | {minus_fen: 100} | {bands: [...]} */
static void read_price(struct fields *f, struct row_concession *c)
{
	const struct node *n = field(f, "price"), *bands = node_get(n, "bands");
	struct fields m;

	if (n == NULL) {
		problem(f->pack, f->file, f->map->line, f->map->column, "\"price\" is missing");
	} else if (n->kind == NODE_SCALAR) {
		c->price = strcmp(n->text, "free") == 0 ? PRICE_FREE : strcmp(n->text, "published") == 0 ? PRICE_PUBLISHED : PRICE_RATE;
		if (c->price == PRICE_RATE && !percent_parse(n->text, &c->price_num))
			problem(f->pack, f->file, n->line, n->column, "price: \"%s\" is not free, published, a percentage such as 90%%, or a mapping", n->text);
	} else if (bands != NULL && bands->kind == NODE_LIST && n->count == 1) {
		price_bands(f, bands, c);
	} else {
		int64_t fixed, minus;

		fields_open(&m, f->pack, f->file, n);
		fixed = field_int(&m, "fixed_fen", 0, 1000000, -1);
		minus = field_int(&m, "minus_fen", 0, 1000000, -1);
		c->price = fixed >= 0 ? PRICE_FIXED : PRICE_MINUS;
		c->price_num = (int32_t)(fixed >= 0 ? fixed : minus);
		if ((fixed >= 0) == (minus >= 0))
			problem(f->pack, f->file, n->line, n->column, "price: one of fixed_fen, minus_fen, bands is needed");
		fields_close(&m);
	}
}

static void read_hours(struct fields *f, struct row_concession *c)
{
	static const char *const days[] = { "all", "workday", "restday" };
	const struct node *price;

	field(f, "shut");
	for (size_t i = 0; i < field_list(f, "shut"); i++) {
		const struct node *n = field_item(f, "shut", i);

		if (i >= SLOTS_MAX || !slot_parse(n->text, &c->shut_from[i], &c->shut_to[i]))
			problem(f->pack, f->file, n->line, n->column, "shut: at most %d slots like 07:00-08:30", SLOTS_MAX);
		else
			c->shut_count = (uint8_t)(i + 1);
	}
	switch (field_word(f, "shut_days", days, 3, 0)) {
	case 1: c->shut_days = 1u << DAY_WORK; f->pack->uses_calendar = true; break;
	case 2: c->shut_days = 1u << DAY_REST; f->pack->uses_calendar = true; break;
	default: c->shut_days = 1u << DAY_WORK | 1u << DAY_REST;
	}
	price = field(f, "shut_price");
	c->shut_price = 255;
	if (price != NULL && strcmp(price->text, "published") == 0)
		c->shut_price = PRICE_PUBLISHED;
	else if (price != NULL && strcmp(price->text, "other") != 0)
		problem(f->pack, f->file, price->line, price->column, "shut_price: published, or other (the next rule that applies) is needed");
	if (c->shut_count > 0 && price == NULL)
		problem(f->pack, f->file, f->map->line, f->map->column, "\"shut_price\" is missing: what is paid in the shut hours");
}

static void read_class_masks(struct fields *f, struct row_concession *c)
{
	uint64_t not_class = name_mask(f, "not_class", class_find, "line class");

	c->class_mask = field(f, "class") != NULL ? name_mask(f, "class", class_find, "line class") : ~0ULL;
	c->class_mask &= ~not_class;
}

static void read_concession(struct pack *p, const char *path, const struct node *n)
{
	struct row_concession c = { 0 };
	const char *id, *title, *basis, *fund, *quota, *empty;
	struct fields f;
	int at;

	fields_open(&f, p, path, n);
	id = field_text(&f, "id", NULL);
	title = field_text(&f, "title", NULL);
	basis = field_text(&f, "basis", NULL);
	c.from_ms = field_day(&f, "from", INT64_MIN);
	c.to_ms = field_day(&f, "to", ALWAYS_MS);
	c.precedence = (int16_t)field_int(&f, "precedence", 0, 1000, 0);
	c.group_mask = name_mask(&f, "who", group_find, "group");
	c.absent_mask = name_mask(&f, "who_not", group_find, "group");
	read_class_masks(&f, &c);
	c.medium_mask = (uint8_t)word_mask(&f, "medium", media, 7, 0x7E);
	c.guest_mask = (uint8_t)word_mask(&f, "guest", guests, 3, 1u << GUEST_LOCAL);
	c.mode_mask = (uint16_t)word_mask(&f, "mode", modes, 4, 0xF);
	c.line = text_list(&f, "line", &c.line_count);
	c.not_line = text_list(&f, "not_line", &c.not_line_count);
	c.operators = operator_list(&f, "operator", &c.operator_count);
	c.not_operator = operator_list(&f, "not_operator", &c.not_operator_count);
	c.list_fen_max = (int32_t)field_int(&f, "fare_fen_max", 1, 1000000, 0);
	read_price(&f, &c);
	read_hours(&f, &c);
	fund = field_text(&f, "fund", NULL);
	at = fund_find(p, fund);
	if (at < 0)
		problem(p, path, n->line, n->column, "fund: funding.yaml has no \"%s\"", fund);
	c.fund = (uint16_t)(at < 0 ? 0 : at);
	quota = field_text(&f, "quota", "");
	empty = field_text(&f, "quota_empty", "");
	at = quota[0] != '\0' ? quota_find(p, quota) : -1;
	if (quota[0] != '\0' && at < 0)
		problem(p, path, n->line, n->column, "quota: no quota is called \"%s\"", quota);
	if (quota[0] != '\0' && strcmp(empty, "other") != 0)
		problem(p, path, n->line, n->column, "\"quota_empty: other\" is missing: the next rule that applies is used when the quota is empty");
	c.quota = (uint16_t)(at + 1);
	fields_close(&f);
	if (p->table[T_CONCESSION].count >= 64) {
		problem(p, path, n->line, n->column, "more than 64 concessions");
		return;
	}
	p->at_concession[p->table[T_CONCESSION].count] = (struct where){ "rules.yaml", n->line, n->column };
	c.rule = rule_add(p, id, title, basis, "concession", path, n->line);
	row_add(p, T_CONCESSION, &c, sizeof(c));
}

static uint16_t read_pairs(struct fields *f)
{
	uint16_t mask = 0;

	if (field(f, "pairs") == NULL)
		return 0xFFFF;
	for (size_t i = 0; i < field_list(f, "pairs"); i++) {
		const struct node *n = field_item(f, "pairs", i);
		bool found = false;

		for (unsigned a = 0; a < 4; a++)
			for (unsigned b = 0; b < 4; b++) {
				char pair[16];

				snprintf(pair, sizeof(pair), "%s-%s", modes[a], modes[b]);
				if (strcmp(pair, n->text) == 0) {
					mask |= (uint16_t)(1u << (a * 4 + b));
					found = true;
				}
			}
		if (!found)
			problem(f->pack, f->file, n->line, n->column, "pairs: \"%s\" is not a pair such as bus-metro", n->text);
	}
	return mask;
}

static void read_transfer(struct pack *p, const char *path, const struct node *n)
{
	static const char *const starts[] = { "previous", "first" };
	static const char *const applied[] = { "after-rate", "before-rate" };
	static const char *const soon[] = { "ignore", "restart", "close" };
	struct row_transfer x = { 0 };
	const char *id, *title, *basis, *fund;
	struct fields f;
	int at;

	fields_open(&f, p, path, n);
	id = field_text(&f, "id", NULL);
	title = field_text(&f, "title", NULL);
	basis = field_text(&f, "basis", NULL);
	x.from_ms = field_day(&f, "from", INT64_MIN);
	x.to_ms = field_day(&f, "to", ALWAYS_MS);
	x.of_first = (uint8_t)field_word(&f, "of", starts, 2, 0);
	x.window_ms = (uint32_t)field_int(&f, "minutes", 1, 1440, INT64_MIN) * 60000;
	x.included = field_bool(&f, "included", true);
	x.gap_ms = (uint32_t)field_int(&f, "least_gap", 0, 600, 0) * 60000;
	x.too_soon = (uint8_t)field_word(&f, "too_soon", soon, 3, SOON_RESTART);
	x.pairs = read_pairs(&f);
	x.same_line = field_bool(&f, "same_line", false);
	x.same_vehicle = field_bool(&f, "same_vehicle", false);
	x.uses = (uint16_t)field_int(&f, "uses", 0, 100, 0);
	x.minus_fen = (int32_t)field_int(&f, "minus_fen", 1, 1000000, INT64_MIN);
	x.before_rate = (uint8_t)field_word(&f, "applied", applied, 2, 0);
	x.medium_mask = (uint8_t)word_mask(&f, "medium", media, 7, 0x7E);
	x.guest_mask = (uint8_t)word_mask(&f, "guest", guests, 3, 1u << GUEST_LOCAL);
	x.not_with = name_mask(&f, "not_with", concession_find, "concession");
	x.not_operator = operator_list(&f, "not_operator", &x.not_operator_count);
	fund = field_text(&f, "fund", NULL);
	at = fund_find(p, fund);
	if (at < 0)
		problem(p, path, n->line, n->column, "fund: funding.yaml has no \"%s\"", fund);
	x.fund = (uint16_t)(at < 0 ? 0 : at);
	fields_close(&f);
	x.rule = rule_add(p, id, title, basis, "transfer", path, n->line);
	row_add(p, T_TRANSFER, &x, sizeof(x));
}

/* Every entry of a list in a file. */
static void each(struct fields *f, const char *key, void (*read)(struct pack *, const char *, const struct node *))
{
	const struct node *list = field(f, key);

	if (list != NULL && list->kind != NODE_LIST)
		problem(f->pack, f->file, list->line, list->column, "%s: a list is needed", key);
	for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->count; i++)
		read(f->pack, f->file, list->item[i]);
}

void pack_read_rules(struct pack *p)
{
	char path[PATH_MAX];
	const struct node *root;
	struct fields f;
	int at;

	read_pack(p);
	root = file_open(p, 1, "groups.yaml", path, sizeof(path));
	if (root != NULL) {
		fields_open(&f, p, path, root);
		each(&f, "groups", read_group);
		fields_close(&f);
	}
	root = file_open(p, 2, "funding.yaml", path, sizeof(path));
	if (root != NULL) {
		fields_open(&f, p, path, root);
		each(&f, "treasuries", read_treasury);
		each(&f, "funding", read_fund);
		fields_close(&f);
	}
	root = file_open(p, 3, "rules.yaml", path, sizeof(path));
	if (root != NULL) {
		fields_open(&f, p, path, root);
		each(&f, "classes", read_class);
		each(&f, "quotas", read_quota);
		each(&f, "concessions", read_concession);
		each(&f, "transfers", read_transfer);
		fields_close(&f);
	}
	read_lock(p);
	at = p->card_price != NULL && p->card_price[0] != '\0' ? concession_find(p, p->card_price) : -1;
	if (p->card_price != NULL && p->card_price[0] != '\0' && at < 0) {
		path_of(p, "pack.yaml", path, sizeof(path));
		problem(p, path, 1, 1, "card_price: no concession is called \"%s\"", p->card_price);
	}
	p->head.card_price = (uint16_t)(at + 1);
}
