/*
 * pack_rules - the rules of a pack: published fares, quotas, concessions, transfers, ladders, caps, refunds,
 * locks, open rides. Each function reads one kind of entry into its row.
 */
#include "tariffs/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry { struct fields f; const char *id, *title, *basis; };

static void entry_open(struct entry *e, struct pack *p, const char *path, const struct node *n)
{
	fields_open(&e->f, p, path, n);
	e->id = field_text(&e->f, "id", NULL);
	e->title = field_text(&e->f, "title", NULL);
	e->basis = field_text(&e->f, "basis", NULL);
}

static uint16_t entry_close(struct entry *e, const char *kind)
{
	fields_close(&e->f);
	return rule_add(e->f.pack, e->id, e->title, e->basis, kind, e->f.file, e->f.map->line);
}

static void entry_problem(struct entry *e, const char *text) { problem(e->f.pack, e->f.file, e->f.map->line, e->f.map->column, "%s", text); }

/* A step must be named in the order, or its rules would never happen. */
static void entry_step(struct entry *e, enum order_step step, const char *name)
{
	if (memchr(e->f.pack->head.order, (int)step, ORDER_MAX) == NULL)
		problem(e->f.pack, e->f.file, e->f.map->line, e->f.map->column, "order in pack.yaml does not name \"%s\", so this rule would never happen", name);
}

/* ---- published fares ------------------------------------------------------------------------------------ */

static void read_fare_step(struct fields *f, const struct node *n, struct row_fare *row)
{
	struct row_fare_step s = { 0 };
	struct fields b;

	fields_open(&b, f->pack, f->file, n);
	s.upto = (uint32_t)field_int(&b, "upto", 1, 10000000, UINT32_MAX);
	s.each = (uint32_t)field_int(&b, "each", 1, 10000000, 0);
	s.fen = (int32_t)field_int(&b, "fen", 0, 1000000, INT64_MIN);
	fields_close(&b);
	if (row->step_count > 0 && ROW(f->pack, T_FARE_STEP, struct row_fare_step, row->step + row->step_count - 1)->upto >= s.upto)
		problem(f->pack, f->file, n->line, n->column, "steps: upto must rise, and only the last step may have none");
	row_add(f->pack, T_FARE_STEP, &s, sizeof(s));
	row->step_count++;
}

static void read_fare(struct pack *p, const char *path, const struct node *n)
{
	static const char *const by[] = { "", "m", "stops", "zones" };
	struct row_fare row = { 0 };
	const struct node *steps;
	struct entry e;

	entry_open(&e, p, path, n);
	row.cond = cond_read(&e.f, GUESTS_ALL);
	rounding_read(&e.f, &row.round_mode, &row.round_unit_fen);
	row.flat_fen = (int32_t)field_int(&e.f, "flat_fen", 0, 1000000, -1);
	row.by = (uint8_t)field_word(&e.f, "by", by, 4, 0);
	steps = field(&e.f, "steps");
	row.step = (uint32_t)p->table[T_FARE_STEP].count;
	for (size_t i = 0; steps != NULL && steps->kind == NODE_LIST && i < steps->count; i++)
		read_fare_step(&e.f, steps->item[i], &row);
	if ((row.flat_fen >= 0) == (row.step_count > 0) || (row.by != BY_FLAT) != (row.step_count > 0))
		entry_problem(&e, "flat_fen, or by and steps are needed");
	if (row.flat_fen < 0)
		row.flat_fen = 0;
	row.rule = entry_close(&e, "fare");
	row_add(p, T_FARE, &row, sizeof(row));
}

/* ---- quotas and periods ------------------------------------------------------------------------------------ */

static void check_account(struct pack *p, const struct entry *e, uint16_t acc)
{
	size_t count = p->table[T_QUOTA].count + p->table[T_LADDER].count + p->table[T_CAP].count;
	bool twice = false;

	for (uint32_t i = 0; i < p->table[T_QUOTA].count; i++)
		twice = twice || ROW(p, T_QUOTA, struct row_quota, i)->per.acc == acc;
	for (uint32_t i = 0; i < p->table[T_LADDER].count; i++)
		twice = twice || ROW(p, T_LADDER, struct row_ladder, i)->per.acc == acc;
	for (uint32_t i = 0; i < p->table[T_CAP].count; i++)
		twice = twice || ROW(p, T_CAP, struct row_cap, i)->per.acc == acc;
	if (twice)
		problem(p, e->f.file, e->f.map->line, e->f.map->column, "the account of \"%s\" has the number of another one; choose another id", e->id);
	if (count >= RIDER_ACC_MAX)
		problem(p, e->f.file, e->f.map->line, e->f.map->column, "more than %d quotas, ladders and caps", RIDER_ACC_MAX);
}

/* per: day | month | year | card-year | 168h; of: person | card; fare_day_cut: of a day */
static void read_period(struct entry *e, struct row_period *ret)
{
	static const char *const words[] = { "day", "month", "year", "card-year" }, *const of[] = { "person", "card" };
	const struct node *n = field(&e->f, "per");
	uint32_t cut_s;
	char *end = NULL;
	long hours;
	bool cut;

	*ret = (struct row_period){ .acc = id_hash(e->id) };
	ret->of_card = (uint8_t)field_word(&e->f, "of", of, 2, 0);
	check_account(e->f.pack, e, ret->acc);
	cut = cut_read(&e->f, &cut_s);
	hours = n != NULL && n->kind == NODE_SCALAR ? strtol(n->text, &end, 10) : 0;
	if (end != NULL && end != n->text && strcmp(end, "h") == 0 && hours >= 1 && hours <= 8784) {
		ret->period = PERIOD_HOURS;
		ret->length = (uint32_t)hours;
	} else {
		ret->period = (uint8_t)field_word(&e->f, "per", words, 4, -1);
	}
	if (cut && ret->period == PERIOD_DAY)
		ret->length = 1 + cut_s;
	else if (cut)
		problem(e->f.pack, e->f.file, field(&e->f, "fare_day_cut")->line, field(&e->f, "fare_day_cut")->column,
			"fare_day_cut: only accounts per: day have a fare day; take it away, or say per: day");
}

static void read_quota(struct pack *p, const char *path, const struct node *n)
{
	struct row_quota row = { 0 };
	const struct node *limit;
	struct entry e;

	entry_open(&e, p, path, n);
	limit = field(&e.f, "limit");
	row.granted = limit != NULL && limit->kind == NODE_SCALAR && strcmp(limit->text, "granted") == 0;
	if (!row.granted)
		row.limit = (uint32_t)field_int(&e.f, "limit", 1, 1000000, INT64_MIN);
	row.unit_fen = (int32_t)field_int(&e.f, "unit_fen", 0, 1000000, 0);
	read_period(&e, &row.per);
	row.rule = entry_close(&e, "quota");
	row_add(p, T_QUOTA, &row, sizeof(row));
}

/* ---- concessions --------------------------------------------------------------------------------------------- */

/* A quota by name, or up to three of which a ride takes from each. */
static void read_quota_names(struct entry *e, struct row_concession *c)
{
	char hint[HINT_BYTES];

	for (size_t i = 0; i < field_list(&e->f, "quota"); i++) {
		const struct node *n = field_item(&e->f, "quota", i);
		int at = n->kind == NODE_SCALAR ? quota_find(e->f.pack, n->text) : -1;

		if (at < 0)
			problem(e->f.pack, e->f.file, n->line, n->column, "quota: no quota is called \"%s\"%s", n->kind == NODE_SCALAR ? n->text : "",
				name_hint(e->f.pack, quota_find, n->kind == NODE_SCALAR ? n->text : "", hint, sizeof(hint)));
		else if (i >= CONCESSION_QUOTAS_MAX)
			problem(e->f.pack, e->f.file, n->line, n->column, "quota: more than %d", CONCESSION_QUOTAS_MAX);
		else if (at + 1 == c->quota || at + 1 == c->also[0])
			problem(e->f.pack, e->f.file, n->line, n->column, "quota: \"%s\" twice", n->text);
		else if (i == 0)
			c->quota = (uint16_t)(at + 1);
		else
			c->also[i - 1] = (uint8_t)(at + 1);
	}
}

static void read_concession_quota(struct entry *e, struct row_concession *c)
{
	read_quota_names(e, c);
	if (field(&e->f, "quota") != NULL && field(&e->f, "quota_empty") == NULL)
		entry_problem(e, "\"quota_empty\" is missing: what is paid when the quota is used up (a concession's id, published, other)");
	c->takes = (uint16_t)field_int(&e->f, "takes", 1, 1000, 1);
	c->quota_then = then_read(&e->f, "quota_empty", THEN_OTHER);
	if (c->price.kind == PRICE_UNITS && c->quota == 0)
		entry_problem(e, "price: units are units of a quota, and there is none");
	if (c->price.kind == PRICE_UNITS)
		c->takes = (uint16_t)c->price.num;
}

static void read_concession(struct pack *p, const char *path, const struct node *n)
{
	struct row_concession c = { 0 };
	struct entry e;

	if (p->table[T_CONCESSION].count >= 64)
		return;
	entry_open(&e, p, path, n);
	entry_step(&e, ORDER_CONCESSION, "concession");
	if (field(&e.f, "from") == NULL)
		entry_problem(&e, "\"from\" is missing: the first day of the rule");
	c.cond = cond_read(&e.f, GUESTS_LOCAL);
	c.precedence = (int16_t)field_int(&e.f, "precedence", 0, 1000, 0);
	price_read(&e.f, "price", &c.price);
	slots_read(&e.f, "shut", "shut_days", &c.shut);
	if (c.shut.count > 0 && field(&e.f, "shut_price") == NULL)
		entry_problem(&e, "\"shut_price\" is missing: what is paid in the shut hours (a concession's id, published, other)");
	c.shut_then = then_read(&e.f, "shut_price", THEN_OTHER);
	read_concession_quota(&e, &c);
	c.fallback_only = field_bool(&e.f, "fallback_only", false);
	c.fund = fund_read(&e.f);
	c.rule = entry_close(&e, "concession");
	row_add(p, T_CONCESSION, &c, sizeof(c));
}

/* ---- transfers -------------------------------------------------------------------------------------------------- */

static uint16_t read_pairs(struct fields *f)
{
	uint16_t mask = 0;

	if (field(f, "pairs") == NULL)
		return 0xFFFF;
	for (size_t i = 0; i < field_list(f, "pairs"); i++) {
		const struct node *n = field_item(f, "pairs", i);
		bool found = false;

		for (unsigned k = 0; k < MODE_COUNT_ * MODE_COUNT_ && n->kind == NODE_SCALAR; k++) {
			char pair[16];

			snprintf(pair, sizeof(pair), "%s-%s", mode_words[k / MODE_COUNT_], mode_words[k % MODE_COUNT_]);
			if (strcmp(pair, n->text) == 0) {
				mask |= (uint16_t)(1u << k);
				found = true;
			}
		}
		if (!found)
			problem(f->pack, f->file, n->line, n->column, "pairs: \"%s\" is not a pair such as bus-metro", n->kind == NODE_SCALAR ? n->text : "");
	}
	return mask;
}

/* minus_fen: 40, or {least: [200, previous, own]} */
static void read_minus(struct fields *f, struct row_transfer_price *x)
{
	const struct node *n = field(f, "minus_fen"), *least;
	struct fields m;

	if (n->kind == NODE_SCALAR) {
		x->minus_fen = (int32_t)field_int(f, "minus_fen", 1, 1000000, 1);
		return;
	}
	x->minus_fen = 1000000;
	fields_open(&m, f->pack, f->file, n);
	least = field(&m, "least");
	for (size_t i = 0; least != NULL && least->kind == NODE_LIST && i < least->count; i++) {
		const struct node *word = least->item[i];
		int64_t fen;

		if (node_int(word, &fen) && fen > 0 && fen < 1000000)
			x->minus_fen = (int32_t)fen;
		else if (word->kind == NODE_SCALAR && strcmp(word->text, "previous") == 0)
			x->least_previous = 1;
		else if (word->kind == NODE_SCALAR && strcmp(word->text, "own") == 0)
			x->least_own = 1;
		else
			problem(f->pack, f->file, word->line, word->column, "least: fen, previous or own is needed");
	}
	if (least == NULL)
		problem(f->pack, f->file, n->line, n->column, "minus_fen: fen, or {least: [200, previous, own]} is needed");
	fields_close(&m);
}

static void read_effect(struct fields *f, struct row_transfer_price *x)
{
	static const char *const dearer[] = { "stays", "moves-window" };
	bool dearest = field_bool(f, "up_to_dearest", false);
	const struct node *minus = field(f, "minus_fen"), *price = field(f, "price");

	x->instead = field_bool(f, "instead", false);
	x->moves_window = (uint8_t)field_word(f, "dearer", dearer, 2, 0);
	x->price.round_mode = ROUND_OF_PACK;
	if ((minus != NULL) + (price != NULL) + dearest != 1)
		problem(f->pack, f->file, f->map->line, f->map->column, "one of minus_fen, price, up_to_dearest is needed");
	else if (minus != NULL)
		x->effect = EFFECT_MINUS, read_minus(f, x);
	else if (price != NULL)
		x->effect = EFFECT_PRICE, price_read(f, "price", &x->price);
	else
		x->effect = EFFECT_DEAREST;
}

/* One entry of prices, or the transfer itself when it has only one price. Conditions are read by the caller. */
static void read_transfer_price(struct fields *f, uint16_t cond, int64_t minutes)
{
	struct row_transfer_price x = { .cond = cond, .pairs = read_pairs(f), .within_ms = (uint32_t)minutes * 60000 };
	bool published;

	x.with = concession_mask(f, "with", ~0ULL, &published);
	x.with_any = field(f, "with") == NULL;
	x.with_published = published;
	x.inside = field_bool(f, "inside", false);
	for (size_t i = 0; i < field_list(f, "use"); i++) {
		const struct node *n = field_item(f, "use", i);
		int64_t v = 0;

		if (!node_int(n, &v) || v < 1 || v > 32)
			problem(f->pack, f->file, n->line, n->column, "use: the number of the transfer in its window, from 1 to 32");
		else
			x.use_mask |= 1u << (v - 1);
	}
	read_effect(f, &x);
	row_add(f->pack, T_TRANSFER_PRICE, &x, sizeof(x));
}

static void read_prices(struct entry *e, struct row_transfer *x)
{
	struct pack *p = e->f.pack;
	const struct node *list = field(&e->f, "prices");

	x->price = (uint32_t)p->table[T_TRANSFER_PRICE].count;
	if (list == NULL) {
		struct row_cond any = { .to_ms = INT64_MAX / 2, .class_mask = ~0ULL, .medium_mask = 0xFE, .guest_mask = 7, .mode_mask = 0xF };

		read_transfer_price(&e->f, (uint16_t)row_add(p, T_COND, &any, sizeof(any)), 0);
	}
	for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->count; i++) {
		uint16_t cond;
		struct fields f;

		fields_open(&f, p, e->f.file, list->item[i]);
		cond = cond_read(&f, GUESTS_ALL);	/* the scheme's own condition decides */
		read_transfer_price(&f, cond, field_int(&f, "minutes", 1, 10080, 0));
		fields_close(&f);
	}
	x->price_count = (uint32_t)p->table[T_TRANSFER_PRICE].count - x->price;
}

/* no | yes | {after: 15} */
static void read_same_line(struct entry *e, struct row_transfer *x)
{
	static const char *const words[] = { "no", "yes" };
	const struct node *n = field(&e->f, "same_line");
	struct fields m;

	if (n == NULL || n->kind == NODE_SCALAR) {
		x->same_line = (uint8_t)field_word(&e->f, "same_line", words, 2, SAME_NO);
		return;
	}
	fields_open(&m, e->f.pack, e->f.file, n);
	x->same_line = SAME_AFTER;
	x->same_line_ms = (uint32_t)field_int(&m, "after", 1, 1440, INT64_MIN) * 60000;
	fields_close(&m);
}

/* tap-on | ride-end | {bus: tap-on, metro: ride-end} */
static uint8_t read_clock(struct entry *e)
{
	static const char *const words[] = { "tap-on", "ride-end" };
	const struct node *n = field(&e->f, "clock");
	uint8_t mask = 0;
	struct fields m;

	if (n == NULL || n->kind == NODE_SCALAR)
		return field_word(&e->f, "clock", words, 2, 1) == 1 ? 0xF : 0;
	fields_open(&m, e->f.pack, e->f.file, n);
	for (int i = 0; i < MODE_COUNT_; i++)
		if (field_word(&m, mode_words[i], words, 2, 1) == 1)
			mask |= (uint8_t)(1u << i);
	fields_close(&m);
	return mask;
}

static void read_minutes(struct entry *e, struct row_transfer *x)
{
	const struct node *n = field(&e->f, "minutes"), *by_hour = field(&e->f, "hours_minutes");

	if (n != NULL && n->kind == NODE_SCALAR && strcmp(n->text, "none") == 0)
		x->window_ms = WINDOW_NONE;
	else
		x->window_ms = (uint32_t)field_int(&e->f, "minutes", 1, 10080, INT64_MIN) * 60000;
	for (size_t i = 0; by_hour != NULL && by_hour->kind == NODE_LIST && i < by_hour->count; i++) {
		struct row_slots slots = { 0 };
		struct fields m;
		int64_t minutes;

		fields_open(&m, e->f.pack, e->f.file, by_hour->item[i]);
		minutes = field_int(&m, "minutes", 1, 1440, INT64_MIN);
		slots_read(&m, "hours", "days", &slots);
		fields_close(&m);
		for (uint8_t k = 0; k < slots.count && x->hour_count < SLOTS_MAX; k++, x->hour_count++) {
			x->hour_from[x->hour_count] = slots.from[k];
			x->hour_to[x->hour_count] = slots.to[k];
			x->hour_minutes[x->hour_count] = (uint16_t)minutes;
		}
	}
}

static void read_transfer(struct pack *p, const char *path, const struct node *n)
{
	static const char *const of[] = { "previous", "first" }, *const actions[] = { "restart", "ignore", "close" };
	struct row_transfer x = { 0 };
	bool published;
	struct entry e;

	entry_open(&e, p, path, n);
	entry_step(&e, ORDER_TRANSFER, "transfer");
	x.cond = cond_read(&e.f, GUESTS_LOCAL);
	x.scheme = id_hash(e.id);
	x.of_first = (uint8_t)field_word(&e.f, "of", of, 2, 0);
	read_minutes(&e, &x);
	x.included = field_bool(&e.f, "included", true);
	x.end_modes = read_clock(&e);
	x.gap_ms = (uint32_t)field_int(&e.f, "least_gap", 0, 600, 0) * 60000;
	x.too_soon = (uint8_t)field_word(&e.f, "too_soon", actions, 3, ACTION_RESTART);
	x.miss = (uint8_t)field_word(&e.f, "miss", actions, 3, ACTION_RESTART);
	x.uses = (uint16_t)field_int(&e.f, "uses", 0, 1000, 0);
	x.used_up = (uint8_t)field_word(&e.f, "used_up", actions, 3, ACTION_RESTART);
	read_same_line(&e, &x);
	x.same_vehicle = field_bool(&e.f, "same_vehicle", false);
	x.starts = concession_mask(&e.f, "starts", ~0ULL, &published);
	x.starts_published = published;
	x.starts_paid = field_bool(&e.f, "starts_paid", false);
	x.both_taps = field_bool(&e.f, "both_taps", false);
	x.not_with = concession_mask(&e.f, "not_with", 0, &published);
	x.not_with_published = published;
	read_prices(&e, &x);
	x.fund = fund_read(&e.f);
	x.rule = entry_close(&e, "transfer");
	row_add(p, T_TRANSFER, &x, sizeof(x));
}

/* ---- ladders, caps, refunds ---------------------------------------------------------------------------------------- */

static void read_ladder_steps(struct entry *e, struct row_ladder *l)
{
	struct pack *p = e->f.pack;
	const struct node *list = field(&e->f, "steps");

	l->step = (uint32_t)p->table[T_LADDER_STEP].count;
	for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->count; i++) {
		struct row_ladder_step s = { 0 };
		struct fields m;

		fields_open(&m, p, e->f.file, list->item[i]);
		s.from = field_int(&m, "from", 0, 1000000000, INT64_MIN);
		if (!percent_parse(field_text(&m, "rate", NULL), &s.rate))
			problem(p, e->f.file, list->item[i]->line, list->item[i]->column, "rate: a percentage up to 100%% such as 80%% is needed");
		fields_close(&m);
		if (i == 0 ? s.from != 0 : s.from <= ROW(p, T_LADDER_STEP, struct row_ladder_step, l->step + i - 1)->from)
			problem(p, e->f.file, list->item[i]->line, list->item[i]->column, "steps: the first is from 0, and from must rise");
		row_add(p, T_LADDER_STEP, &s, sizeof(s));
		l->step_count++;
	}
	if (l->step_count == 0)
		entry_problem(e, "\"steps\" is missing: [{from: 0, rate: 100%}, {from: 15, rate: 60%}]");
}

static void read_ladder(struct pack *p, const char *path, const struct node *n)
{
	static const char *const counts[] = { "rides", "paid", "published" }, *const readings[] = { "before", "split" };
	struct row_ladder l = { 0 };
	bool published;
	struct entry e;

	entry_open(&e, p, path, n);
	entry_step(&e, ORDER_LADDER, "ladder");
	l.cond = cond_read(&e.f, GUESTS_LOCAL);
	l.count = (uint8_t)field_word(&e.f, "count", counts, 3, -1);
	l.split = (uint8_t)field_word(&e.f, "reading", readings, 2, -1);
	if (l.split && l.count == COUNT_RIDES)
		entry_problem(&e, "reading: a ride over a step can only be split where money is counted");
	l.not_with = concession_mask(&e.f, "not_with", 0, &published);
	read_period(&e, &l.per);
	read_ladder_steps(&e, &l);
	l.fund = fund_read(&e.f);
	l.rule = entry_close(&e, "ladder");
	row_add(p, T_LADDER, &l, sizeof(l));
}

static void read_limits(struct entry *e, struct row_cap *c)
{
	struct pack *p = e->f.pack;
	const struct node *list = field(&e->f, "limits");

	c->limit = (uint32_t)p->table[T_CAP_LIMIT].count;
	for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->count; i++) {
		struct row_cap_limit limit;
		struct fields m;

		fields_open(&m, p, e->f.file, list->item[i]);
		limit.from_ms = field_day(&m, "from", INT64_MIN);
		limit.fen = field_int(&m, "fen", 0, 1000000000, INT64_MIN);
		fields_close(&m);
		if (i > 0 && limit.from_ms <= ROW(p, T_CAP_LIMIT, struct row_cap_limit, c->limit + i - 1)->from_ms)
			problem(p, e->f.file, list->item[i]->line, list->item[i]->column, "limits: from must rise");
		row_add(p, T_CAP_LIMIT, &limit, sizeof(limit));
		c->limit_count++;
	}
	if (c->limit_count == 0)
		entry_problem(e, "\"limits\" is missing: [{from: 2024-01-01, fen: 3400}]");
}

static void read_cap(struct pack *p, const char *path, const struct node *n)
{
	struct row_cap c = { 0 };
	struct entry e;

	entry_open(&e, p, path, n);
	entry_step(&e, ORDER_CAP, "cap");
	c.cond = cond_read(&e.f, GUESTS_LOCAL);
	c.count_unfinished = field_bool(&e.f, "count_unfinished", false);
	read_period(&e, &c.per);
	read_limits(&e, &c);
	c.fund = fund_read(&e.f);
	c.rule = entry_close(&e, "cap");
	row_add(p, T_CAP, &c, sizeof(c));
}

static void read_refund(struct pack *p, const char *path, const struct node *n)
{
	static const char *const per[] = { "month" };
	struct row_refund r = { 0 };
	bool published;
	struct entry e;

	entry_open(&e, p, path, n);
	r.cond = cond_read(&e.f, GUESTS_LOCAL);
	if (!percent_parse(field_text(&e.f, "rate", NULL), &r.rate))
		entry_problem(&e, "rate: a percentage of the published fare is needed, such as 50%");
	field_word(&e.f, "per", per, 1, 0);
	r.due = (uint8_t)field_int(&e.f, "due", 1, 28, INT64_MIN);
	r.not_with = concession_mask(&e.f, "not_with", 0, &published);
	r.fund = fund_read(&e.f);
	r.rule = entry_close(&e, "refund");
	row_add(p, T_REFUND, &r, sizeof(r));
}

/* ---- locks, open rides ----------------------------------------------------------------------------------------------- */

static uint32_t read_lock_ms(struct entry *e)
{
	const struct node *n = field(&e->f, "minutes");

	if (n != NULL && n->kind == NODE_SCALAR && strcmp(n->text, "window") == 0)
		return LOCK_WINDOW;
	return (uint32_t)field_int(&e->f, "minutes", 1, 1440, INT64_MIN) * 60000;
}

static void read_lock(struct pack *p, const char *path, const struct node *n)
{
	static const char *const then[] = { "refuse", "other", "published", "passenger" };
	struct row_lock l = { 0 };
	bool published;
	struct entry e;

	entry_open(&e, p, path, n);
	l.ms = read_lock_ms(&e);
	if (l.ms == LOCK_WINDOW && p->table[T_TRANSFER].count == 0)
		entry_problem(&e, "minutes: window is that of a transfer, and there is none");
	l.same_vehicle = field_bool(&e.f, "same_vehicle", true);
	l.then = (uint8_t)field_word(&e.f, "then", then, 4, LOCK_REFUSE);
	if (field(&e.f, "with") == NULL)
		entry_problem(&e, "\"with\" is missing: the concessions it is about, or all");
	l.with = concession_mask(&e.f, "with", 0, &published);
	l.with_published = published;
	l.rule = entry_close(&e, "lock");
	row_add(p, T_LOCK, &l, sizeof(l));
}

/* A word of a fixed list, or a number of fen behind it. */
static uint8_t word_or_fen(struct entry *e, const char *key, const char *const *words, size_t count, uint8_t fen_word, int32_t *ret_fen)
{
	const struct node *n = field(&e->f, key);
	int64_t v;

	if (n != NULL && node_int(n, &v)) {
		*ret_fen = (int32_t)field_int(&e->f, key, 1, 1000000, 1);
		return fen_word;
	}
	return (uint8_t)field_word(&e->f, key, words, count, 0);
}

static void read_open(struct pack *p, const char *path, const struct node *n)
{
	static const char *const holds[] = { "none", "max" }, *const unfinished[] = { "none", "far-end", "keep-hold" };
	struct row_open o = { 0 };
	bool published;
	struct entry e;

	entry_open(&e, p, path, n);
	o.cond = cond_read(&e.f, GUESTS_ALL);
	o.hold = word_or_fen(&e, "hold", holds, 2, HOLD_FEN, &o.hold_fen);
	o.unfinished = word_or_fen(&e, "unfinished", unfinished, 3, UNFINISHED_FEN, &o.unfinished_fen);
	o.free_with = concession_mask(&e.f, "unfinished_free_with", 0, &published);
	o.complete_ms = (uint32_t)field_int(&e.f, "complete_within", 1, 10080, 0) * 60000;
	o.same_line = field_bool(&e.f, "same_line", false);
	o.rule = entry_close(&e, "open");
	row_add(p, T_OPEN, &o, sizeof(o));
}

void pack_read_rules(struct pack *p)
{
	each_entry(p, "fares", read_fare);
	each_entry(p, "quotas", read_quota);
	each_entry(p, "concessions", read_concession);
	each_entry(p, "transfers", read_transfer);
	each_entry(p, "ladders", read_ladder);
	each_entry(p, "caps", read_cap);
	each_entry(p, "refunds", read_refund);
	each_entry(p, "locks", read_lock);
	each_entry(p, "open_rides", read_open);
}
