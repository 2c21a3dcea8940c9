/*
 * pack_cond - what the entries of several lists have in common: conditions, hours, prices, rounding, and lists
 * of names as masks. What is wrong is reported with its place and reading goes on.
 */
#include "tariffs/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALWAYS_MS (INT64_MAX / 2)

static const char *const media[CELL_MEDIA] = { "", "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" };
static const char *const guests[] = { "local", "region", "other" };
const char *const mode_words[MODE_COUNT_] = { "bus", "metro", "brt", "ferry" };

static const char *node_word(const struct node *n) { return n->kind == NODE_SCALAR ? n->text : ""; }

/* Words of a list to bits; absent: all bits. */
uint32_t word_mask(struct fields *f, const char *key, const char *const *words, size_t count, uint32_t all)
{
	uint32_t mask = 0;

	if (field(f, key) == NULL)
		return all;
	for (size_t i = 0; i < field_list(f, key); i++) {
		const struct node *n = field_item(f, key, i);
		size_t k = 0;

		while (k < count && (words[k][0] == '\0' || n->kind != NODE_SCALAR || strcmp(n->text, words[k]) != 0))
			k++;
		if (k < count) {
			mask |= 1u << k;
		} else {
			char hint[HINT_BYTES];

			problem(f->pack, f->file, n->line, n->column, "%s: \"%s\" is not known%s", key, node_word(n),
				word_hint(node_word(n), words, count, hint, sizeof(hint)));
		}
	}
	return mask;
}

/* Names found by a finder to bits. */
uint64_t name_mask(struct fields *f, const char *key, name_find find, const char *what)
{
	uint64_t mask = 0;
	char hint[HINT_BYTES];

	if (field(f, key) == NULL)
		return 0;
	for (size_t i = 0; i < field_list(f, key); i++) {
		const struct node *n = field_item(f, key, i);
		const char *word = node_word(n);
		int at = find(f->pack, word);

		if (at < 0 || at > 63)
			problem(f->pack, f->file, n->line, n->column, "%s: no %s is called \"%s\"%s", key, what, word,
				name_hint(f->pack, find, word, hint, sizeof(hint)));
		else
			mask |= 1ULL << at;
	}
	return mask;
}

uint64_t concession_mask(struct fields *f, const char *key, uint64_t absent, bool *ret_published)
{
	const struct node *n = field(f, key);
	uint64_t mask = 0;
	char hint[HINT_BYTES];

	if (n == NULL || (n->kind == NODE_SCALAR && strcmp(n->text, "all") == 0)) {
		*ret_published = n != NULL || absent != 0;
		return n != NULL ? ~0ULL : absent;
	}
	*ret_published = false;
	for (size_t i = 0; i < field_list(f, key); i++) {
		const struct node *item = field_item(f, key, i);
		int at = item->kind == NODE_SCALAR ? concession_find(f->pack, item->text) : -1;

		if (at >= 0)
			mask |= 1ULL << at;
		else if (item->kind == NODE_SCALAR && strcmp(item->text, "published") == 0)
			*ret_published = true;
		else
			problem(f->pack, f->file, item->line, item->column, "%s: no concession is called \"%s\"%s", key, node_word(item),
				name_hint(f->pack, concession_find, node_word(item), hint, sizeof(hint)));
	}
	return mask;
}

int16_t then_read(struct fields *f, const char *key, int16_t absent)
{
	const struct node *n = field(f, key);
	char hint[HINT_BYTES];
	int at;

	if (n == NULL)
		return absent;
	if (n->kind == NODE_SCALAR && strcmp(n->text, "other") == 0)
		return THEN_OTHER;
	if (n->kind == NODE_SCALAR && strcmp(n->text, "published") == 0)
		return THEN_PUBLISHED;
	at = n->kind == NODE_SCALAR ? concession_find(f->pack, n->text) : -1;
	if (at < 0)
		problem(f->pack, f->file, n->line, n->column, "%s: published, other (the next rule that applies) or the id of a concession is needed%s", key,
			name_hint(f->pack, concession_find, node_word(n), hint, sizeof(hint)));
	return (int16_t)at;
}

uint16_t fund_read(struct fields *f)
{
	const char *id = field_text(f, "fund", NULL);
	int at = id[0] != '\0' ? fund_find(f->pack, id) : 0;
	char hint[HINT_BYTES];

	if (at < 0)
		problem(f->pack, f->file, field(f, "fund")->line, field(f, "fund")->column, "fund: no funding is called \"%s\"%s", id,
			name_hint(f->pack, fund_find, id, hint, sizeof(hint)));
	return (uint16_t)(at < 0 ? 0 : at);
}

uint32_t text_list(struct fields *f, const char *key, uint32_t *ret_count)
{
	uint32_t first = (uint32_t)f->pack->table[T_LIST].count;

	*ret_count = 0;
	for (size_t i = 0; i < field_list(f, key); i++) {
		const struct node *n = field_item(f, key, i);
		uint32_t text = text_add(f->pack, n->kind == NODE_SCALAR ? n->text : "");

		row_add(f->pack, T_LIST, &text, sizeof(text));
		++*ret_count;
	}
	return first;
}

static uint32_t operator_list(struct fields *f, const char *key, uint32_t *ret_count)
{
	uint32_t first = (uint32_t)f->pack->table[T_LIST].count;

	*ret_count = 0;
	for (size_t i = 0; i < field_list(f, key); i++) {
		const struct node *n = field_item(f, key, i);
		int at = n->kind == NODE_SCALAR ? operator_find(f->pack, n->text) : -1;

		if (at < 0) {
			problem(f->pack, f->file, n->line, n->column, "%s: operators.csv has no operator \"%s\"", key, n->kind == NODE_SCALAR ? n->text : "");
			continue;
		}
		row_add(f->pack, T_LIST, &ROW(f->pack, T_OPERATOR, struct row_operator, at)->id, 4);
		++*ret_count;
	}
	return first;
}

/* Percent text "90%" or "45.5%" to 1/10000, exactly. */
bool percent_parse(const char *text, int32_t *ret)
{
	char *end;
	long whole = strtol(text, &end, 10), part = 0;

	if (end == text || text[0] < '0' || text[0] > '9' || whole > 100)
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
	if (strcmp(end, "%") != 0 || whole * 100 + part > 10000)
		return false;
	*ret = (int32_t)(whole * 100 + part);
	return true;
}

/* "07:00-08:30" to minutes, 24:00 allowed as an end; over midnight where the end lies before the start. */
bool slot_parse(const char *text, uint16_t *ret_from, uint16_t *ret_to)
{
	unsigned a, b, c, d;
	char rest;

	if (sscanf(text, "%2u:%2u-%2u:%2u%c", &a, &b, &c, &d, &rest) != 4 || b > 59 || d > 59 || a > 23 || c > 24 || (c == 24 && d > 0))
		return false;
	*ret_from = (uint16_t)(a * 60 + b);
	*ret_to = (uint16_t)(c * 60 + d);
	return *ret_from != *ret_to;
}

void slots_read(struct fields *f, const char *key, const char *days_key, struct row_slots *ret)
{
	static const char *const days[] = { "all", "workday", "restday", "school" };

	for (size_t i = 0; i < field_list(f, key); i++) {
		const struct node *n = field_item(f, key, i);

		if (i >= SLOTS_MAX || n->kind != NODE_SCALAR || !slot_parse(n->text, &ret->from[i], &ret->to[i]))
			problem(f->pack, f->file, n->line, n->column, "%s: at most %d slots like 07:00-08:30", key, SLOTS_MAX);
		else
			ret->count = (uint8_t)(i + 1);
	}
	ret->days = (uint8_t)field_word(f, days_key, days, 4, 0);
	f->pack->uses_calendar = f->pack->uses_calendar || ret->days != DAYS_ALL;
}

uint16_t cond_read(struct fields *f, enum guests_absent guests_absent)
{
	struct row_cond c = { 0 };
	struct pack *p = f->pack;

	c.from_ms = field_day(f, "from", 0);
	c.to_ms = field_day(f, "to", ALWAYS_MS);
	c.published_ms = field_day(f, "published_on", 0);
	c.who = name_mask(f, "who", group_find, "group");
	c.who_not = name_mask(f, "who_not", group_find, "group");
	c.class_mask = field(f, "class") != NULL ? name_mask(f, "class", class_find, "line class") : ~0ULL;
	c.class_mask &= ~name_mask(f, "not_class", class_find, "line class");
	c.line = text_list(f, "line", &c.line_count);
	c.not_line = text_list(f, "not_line", &c.not_line_count);
	c.op = operator_list(f, "operator", &c.op_count);
	c.not_op = operator_list(f, "not_operator", &c.not_op_count);
	c.product = text_list(f, "product", &c.product_count);
	c.medium_mask = (uint8_t)word_mask(f, "medium", media, CELL_MEDIA, 0xFE);
	c.guest_mask = (uint8_t)word_mask(f, "guest", guests, 3, guests_absent);
	c.mode_mask = (uint8_t)word_mask(f, "mode", mode_words, MODE_COUNT_, 0xF);
	c.season_mask = (uint32_t)name_mask(f, "season", season_find, "season");
	c.fare_min = (int32_t)field_int(f, "fare_fen_min", 1, 1000000, 0);
	c.fare_max = (int32_t)field_int(f, "fare_fen_max", 1, 1000000, 0);
	slots_read(f, "hours", "days", &c.slots);
	return (uint16_t)row_add(p, T_COND, &c, sizeof(c));
}

void rounding_read(struct fields *f, uint8_t *ret_mode, uint32_t *ret_unit)
{
	static const char *const words[] = { "half-up", "half-down", "half-even", "floor", "ceil" };
	const struct node *n = field(f, "rounding");
	struct fields r;

	*ret_mode = ROUND_OF_PACK;
	*ret_unit = 1;
	if (n == NULL)
		return;
	fields_open(&r, f->pack, f->file, n);
	*ret_mode = (uint8_t)field_word(&r, "mode", words, 5, -1);
	*ret_unit = (uint32_t)field_int(&r, "unit_fen", 1, 1000, 1);
	fields_close(&r);
}

static void rate_read(struct fields *f, const struct node *n, int32_t *ret)
{
	if (n->kind != NODE_SCALAR || !percent_parse(n->text, ret))
		problem(f->pack, f->file, n->line, n->column, "a percentage up to 100%% such as 80%% is needed");
}

static void bands_read(struct fields *f, const struct node *list, struct row_price *ret)
{
	ret->kind = PRICE_BANDS;
	ret->band = (uint32_t)f->pack->table[T_BAND].count;
	for (size_t i = 0; i < list->count; i++) {
		struct row_band band = { .upto_fen = INT32_MAX };
		struct fields b;

		fields_open(&b, f->pack, f->file, list->item[i]);
		band.upto_fen = (int32_t)field_int(&b, "upto_fen", 1, 1000000, INT32_MAX);
		if (field(&b, "rate") != NULL)
			rate_read(&b, field(&b, "rate"), &band.rate);
		else
			field_text(&b, "rate", NULL);
		fields_close(&b);
		row_add(f->pack, T_BAND, &band, sizeof(band));
		ret->band_count++;
	}
}

static void price_map(struct fields *f, const struct node *n, struct row_price *ret)
{
	static const char *const own[] = { "own" };
	const struct node *bands, *rate;
	int64_t fixed, minus, units;
	struct fields m;

	fields_open(&m, f->pack, f->file, n);
	bands = field(&m, "bands");
	rate = field(&m, "rate");
	fixed = field_int(&m, "fixed_fen", 0, 1000000, -1);
	minus = field_int(&m, "minus_fen", 0, 1000000, -1);
	units = field_int(&m, "units", 1, 1000, -1);
	if (field(&m, "at_most") != NULL)
		ret->at_most_own = field_word(&m, "at_most", own, 1, -1) == 0;
	if ((bands != NULL) + (rate != NULL) + (fixed >= 0) + (minus >= 0) + (units >= 0) != 1)
		problem(f->pack, f->file, n->line, n->column, "price: one of fixed_fen, minus_fen, rate, units, bands is needed");
	else if (bands != NULL && bands->kind == NODE_LIST)
		bands_read(f, bands, ret);
	else if (rate != NULL)
		ret->kind = PRICE_RATE, rate_read(f, rate, &ret->num);
	else
		ret->kind = fixed >= 0 ? PRICE_FIXED : minus >= 0 ? PRICE_MINUS : PRICE_UNITS, ret->num = (int32_t)(fixed >= 0 ? fixed : minus >= 0 ? minus : units);
	fields_close(&m);
}

/* free | published | own | 90% | {fixed_fen: 70} | {minus_fen: 100} | {rate: 20%, at_most: own} | {units: 2} | {bands: [...]} */
void price_read(struct fields *f, const char *key, struct row_price *ret)
{
	static const char *const words[] = { "free", "published", "own" };
	static const uint8_t kinds[] = { PRICE_FREE, PRICE_PUBLISHED, PRICE_OWN };
	const struct node *n = field(f, key);

	*ret = (struct row_price){ .kind = PRICE_RATE };
	rounding_read(f, &ret->round_mode, &ret->round_unit_fen);
	if (n == NULL) {
		problem(f->pack, f->file, f->map->line, f->map->column, "\"%s\" is missing", key);
		return;
	}
	if (n->kind == NODE_MAP) {
		price_map(f, n, ret);
		return;
	}
	for (size_t i = 0; n->kind == NODE_SCALAR && i < 3; i++)
		if (strcmp(n->text, words[i]) == 0) {
			ret->kind = kinds[i];
			return;
		}
	if (n->kind != NODE_SCALAR || !percent_parse(n->text, &ret->num))
		problem(f->pack, f->file, n->line, n->column, "%s: \"%s\" is not free, published, own, a percentage such as 90%%, or a mapping", key,
			n->kind == NODE_SCALAR ? n->text : "");
}
