/*
 * blob - opening a compiled pack, and what callers may ask it. Every index and offset is checked here, so
 * that a damaged or hostile blob is refused and rate() never reads outside of it.
 */
#include "tariffs/blob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

const uint32_t blob_row_bytes[T_COUNT_] = {
	[T_TEXT] = 1, [T_LIST] = 4, [T_RULE] = sizeof(struct row_rule), [T_OPERATOR] = sizeof(struct row_operator),
	[T_TREASURY] = sizeof(struct row_treasury), [T_CLASS] = sizeof(struct row_class), [T_LINE] = sizeof(struct row_line),
	[T_LINE_HASH] = 4, [T_SECTION] = sizeof(struct row_section), [T_GROUP] = sizeof(struct row_group),
	[T_CONCESSION] = sizeof(struct row_concession), [T_BAND] = sizeof(struct row_band), [T_TRANSFER] = sizeof(struct row_transfer),
	[T_QUOTA] = sizeof(struct row_quota), [T_FUND] = sizeof(struct row_fund), [T_CALENDAR] = sizeof(struct row_calendar),
	[T_REGION] = sizeof(struct row_region),
};

static bool spans_ok(const struct blob_head *h, size_t bytes)
{
	for (int i = 0; i < T_COUNT_; i++) {
		uint64_t end = h->table[i].offset + (uint64_t)h->table[i].count * blob_row_bytes[i];

		if (h->table[i].offset < sizeof(*h) || h->table[i].offset % 8 != 0 || end > bytes)
			return false;
	}
	return true;
}

static void views(struct tariff *t, const uint8_t *p)
{
	const struct blob_span *s = t->head->table;

	t->text = (const char *)p + s[T_TEXT].offset; t->text_bytes = s[T_TEXT].count;
	t->list = (const void *)(p + s[T_LIST].offset); t->list_count = s[T_LIST].count;
	t->rule = (const void *)(p + s[T_RULE].offset); t->rule_count = s[T_RULE].count;
	t->op = (const void *)(p + s[T_OPERATOR].offset); t->op_count = s[T_OPERATOR].count;
	t->treasury = (const void *)(p + s[T_TREASURY].offset); t->treasury_count = s[T_TREASURY].count;
	t->class = (const void *)(p + s[T_CLASS].offset); t->class_count = s[T_CLASS].count;
	t->line = (const void *)(p + s[T_LINE].offset); t->line_count = s[T_LINE].count;
	t->line_hash = (const void *)(p + s[T_LINE_HASH].offset); t->line_hash_count = s[T_LINE_HASH].count;
	t->section = (const void *)(p + s[T_SECTION].offset); t->section_count = s[T_SECTION].count;
	t->group = (const void *)(p + s[T_GROUP].offset); t->group_count = s[T_GROUP].count;
	t->concession = (const void *)(p + s[T_CONCESSION].offset); t->concession_count = s[T_CONCESSION].count;
	t->band = (const void *)(p + s[T_BAND].offset); t->band_count = s[T_BAND].count;
	t->transfer = (const void *)(p + s[T_TRANSFER].offset); t->transfer_count = s[T_TRANSFER].count;
	t->quota = (const void *)(p + s[T_QUOTA].offset); t->quota_count = s[T_QUOTA].count;
	t->fund = (const void *)(p + s[T_FUND].offset); t->fund_count = s[T_FUND].count;
	t->calendar = (const void *)(p + s[T_CALENDAR].offset); t->calendar_count = s[T_CALENDAR].count;
	t->region = (const void *)(p + s[T_REGION].offset); t->region_count = s[T_REGION].count;
}

static bool text_ok(const struct tariff *t, uint32_t offset) { return offset < t->text_bytes; }

static bool range_ok(uint32_t first, uint32_t count, uint32_t all) { return first <= all && count <= all - first; }

static bool text_list_ok(const struct tariff *t, uint32_t first, uint32_t count)
{
	if (!range_ok(first, count, t->list_count))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!text_ok(t, t->list[first + i]))
			return false;
	return true;
}

static bool names_ok(const struct tariff *t)
{
	for (uint32_t i = 0; i < t->rule_count; i++)
		if (!text_ok(t, t->rule[i].id) || !text_ok(t, t->rule[i].title) || !text_ok(t, t->rule[i].basis) ||
		    !text_ok(t, t->rule[i].kind) || !text_ok(t, t->rule[i].file))
			return false;
	for (uint32_t i = 0; i < t->op_count; i++)
		if (!text_ok(t, t->op[i].code) || !text_ok(t, t->op[i].title))
			return false;
	for (uint32_t i = 0; i < t->treasury_count; i++)
		if (!text_ok(t, t->treasury[i].name) || !text_ok(t, t->treasury[i].title))
			return false;
	for (uint32_t i = 0; i < t->class_count; i++)
		if (!text_ok(t, t->class[i].name) || !text_ok(t, t->class[i].title))
			return false;
	return text_ok(t, t->head->name) && text_ok(t, t->head->title);
}

static bool lines_ok(struct tariff *t)
{
	uint32_t size = t->line_hash_count;

	if (size == 0 || (size & (size - 1)) != 0 || size <= t->line_count)
		return false;
	for (uint32_t i = 0; i < size; i++)
		if (t->line_hash[i] > t->line_count)
			return false;
	for (uint32_t i = 0; i < t->line_count; i++) {
		const struct row_line *l = &t->line[i];

		if (l->county_treasury < 1 || l->county_treasury > t->treasury_count)
			return false;
		if (!text_ok(t, l->name) || !text_ok(t, l->title) || !text_ok(t, l->county) || l->class_index >= t->class_count ||
		    l->mode >= MODE_COUNT_ || l->fare_kind > FARE_TAP || l->fare_fen < 0 || l->fare_fen > 1000000 ||
		    !range_ok(l->section, l->section_count, t->section_count))
			return false;
		if (strcmp(t->text + l->name, "*") == 0)
			t->any_line = i + 1;
	}
	for (uint32_t i = 0; i < t->section_count; i++)
		if (t->section[i].fen < 0 || t->section[i].fen > 1000000)
			return false;
	return true;
}

static bool groups_ok(const struct tariff *t)
{
	if (t->group_count > 64)
		return false;
	for (uint32_t i = 0; i < t->group_count; i++)
		if (!text_ok(t, t->group[i].name) || !text_ok(t, t->group[i].title) ||
		    !text_list_ok(t, t->group[i].product, t->group[i].product_count))
			return false;
	return true;
}

static bool concession_ok(const struct tariff *t, const struct row_concession *c)
{
	if (c->rule >= t->rule_count || c->fund >= t->fund_count || c->quota > t->quota_count)
		return false;
	if (!text_list_ok(t, c->line, c->line_count) || !text_list_ok(t, c->not_line, c->not_line_count))
		return false;
	if (!range_ok(c->operators, c->operator_count, t->list_count) || !range_ok(c->not_operator, c->not_operator_count, t->list_count))
		return false;
	if (c->price > PRICE_PUBLISHED || c->shut_count > SLOTS_MAX || !range_ok(c->band, c->band_count, t->band_count))
		return false;
	if (c->shut_price > PRICE_PUBLISHED && c->shut_price != 255)
		return false;
	return c->price_num >= 0 && c->price_num <= 1000000;
}

static bool rules_ok(const struct tariff *t)
{
	const struct blob_head *h = t->head;

	if (t->concession_count > 64 || h->card_price > t->concession_count || h->lock_rule >= t->rule_count || t->rule_count == 0)
		return false;
	for (uint32_t i = 0; i < t->concession_count; i++)
		if (!concession_ok(t, &t->concession[i]))
			return false;
	for (uint32_t i = 0; i < t->band_count; i++)
		if (t->band[i].upto_fen <= 0 || t->band[i].rate < 0 || t->band[i].rate > 20000)
			return false;
	for (uint32_t i = 0; i < t->transfer_count; i++) {
		const struct row_transfer *x = &t->transfer[i];

		if (x->rule >= t->rule_count || x->fund >= t->fund_count || x->minus_fen < 0 || x->minus_fen > 1000000 ||
		    !range_ok(x->not_operator, x->not_operator_count, t->list_count))
			return false;
	}
	for (uint32_t i = 0; i < t->quota_count; i++)
		if (t->quota[i].rule >= t->rule_count || t->quota[i].period > PERIOD_YEAR)
			return false;
	for (uint32_t i = 0; i < t->fund_count; i++) {
		const struct row_fund *f = &t->fund[i];
		uint64_t weight = f->operator_weight;

		if (f->rule >= t->rule_count || f->gap > GAP_UNIT || f->share_count > FARE_FUNDERS_MAX || f->unit_fen < 0)
			return false;
		for (uint32_t k = 0; k < f->share_count; k++) {
			if (f->treasury[k] < 1 || (f->treasury[k] > t->treasury_count && f->treasury[k] != TREASURY_OF_COUNTY) || f->weight[k] > 10000)
				return false;
			weight += f->weight[k];
		}
		if (f->gap != GAP_NONE && (weight == 0 || f->share_count == 0 || weight > 100000))
			return false;
	}
	return h->round_mode <= ROUND_CEIL && h->round_unit_fen >= 1 && h->round_unit_fen <= 1000 && h->guest_default <= GUEST_OTHER;
}

int tariff_open(const void *blob, size_t bytes, struct tariff **ret_tariff)
{
	const struct blob_head *h = blob;
	struct tariff *t;

	if (bytes < sizeof(*h) || bytes > BLOB_BYTES_MAX || (uintptr_t)blob % 8 != 0 || memcmp(h->magic, BLOB_MAGIC, 8) != 0 ||
	    h->bytes != bytes || h->checksum != XXH3_64bits((const uint8_t *)blob + 16, bytes - 16) || !spans_ok(h, bytes))
		return TARIFF_E_BLOB;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->head = h;
	views(t, blob);
	if (t->text_bytes == 0 || t->text[t->text_bytes - 1] != '\0' || !names_ok(t) || !lines_ok(t) || !groups_ok(t) || !rules_ok(t)) {
		free(t);
		return TARIFF_E_BLOB;
	}
	*ret_tariff = t;
	return 0;
}

void tariff_close(struct tariff *t) { free(t); }

uint32_t text_hash(const char *text)
{
	uint32_t h = 2166136261u;

	for (; *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * 16777619u;
	return h != 0 ? h : 1;
}

static const struct row_line *rows_in_force(const struct tariff *t, uint32_t first, int64_t at_ms)
{
	for (uint32_t i = first; i < t->line_count && t->line[i].name == t->line[first].name; i++)
		if (at_ms >= t->line[i].from_ms && at_ms < t->line[i].to_ms)
			return &t->line[i];
	return NULL;
}

const struct row_line *line_at(const struct tariff *t, const char *name, int64_t at_ms)
{
	uint32_t mask = t->line_hash_count - 1, i = text_hash(name) & mask;

	for (uint32_t steps = 0; steps <= mask && t->line_hash[i] != 0; steps++, i = (i + 1) & mask) {
		if (strcmp(t->text + t->line[t->line_hash[i] - 1].name, name) == 0)
			return rows_in_force(t, t->line_hash[i] - 1, at_ms);
	}
	return t->any_line != 0 && name[0] != '\0' ? rows_in_force(t, t->any_line - 1, at_ms) : NULL;
}

uint8_t day_kind_of(const struct tariff *t, int32_t day)
{
	uint32_t low = 0, high = t->calendar_count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (t->calendar[mid].day < day)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < t->calendar_count && t->calendar[low].day == day)
		return (uint8_t)t->calendar[low].kind;
	return day_of_week(day) <= 5 ? DAY_WORK : DAY_REST;
}

/* ---- questions ------------------------------------------------------------------------------ */

const char *tariff_name(const struct tariff *t) { return t->text + t->head->name; }
uint32_t tariff_version(const struct tariff *t) { return t->head->version; }
int64_t tariff_valid_from_ms(const struct tariff *t) { return t->head->valid_from_ms; }
size_t tariff_operator_count(const struct tariff *t) { return t->op_count; }
size_t tariff_treasury_count(const struct tariff *t) { return t->treasury_count; }

enum guest_class tariff_guest_of(const struct tariff *t, uint32_t issuer)
{
	if (issuer == t->head->home_issuer)
		return GUEST_LOCAL;
	for (uint32_t i = 0; i < t->region_count; i++)
		if (t->region[i].issuer == issuer)
			return (enum guest_class)(t->region[i].guest % 3);
	return (enum guest_class)t->head->guest_default;
}

uint16_t tariff_group_code(const struct tariff *t, const char *name)
{
	for (uint32_t i = 0; i < t->group_count; i++)
		if (strcmp(t->text + t->group[i].name, name) == 0)
			return t->group[i].code;
	return 0;
}

static const struct row_group *group_of(const struct tariff *t, uint16_t code)
{
	for (uint32_t i = 0; i < t->group_count; i++)
		if (t->group[i].code == code)
			return &t->group[i];
	return NULL;
}

const char *tariff_group_name(const struct tariff *t, uint16_t code)
{
	const struct row_group *g = group_of(t, code);

	return g != NULL ? t->text + g->name : NULL;
}

const char *tariff_group_title(const struct tariff *t, uint16_t code)
{
	const struct row_group *g = group_of(t, code);

	return g != NULL ? t->text + g->title : NULL;
}

bool tariff_rule(const struct tariff *t, uint16_t rule, struct tariff_rule *ret_rule)
{
	if (rule == 0 || rule >= t->rule_count)
		return false;
	*ret_rule = (struct tariff_rule){ t->text + t->rule[rule].id, t->text + t->rule[rule].title, t->text + t->rule[rule].basis,
					  t->text + t->rule[rule].kind, t->text + t->rule[rule].file, t->rule[rule].line };
	return true;
}

bool tariff_line_find(const struct tariff *t, const char *line, int64_t at_ms, struct tariff_line *ret_line)
{
	static const char *const modes[MODE_COUNT_] = { "bus", "metro", "brt", "ferry" };
	const struct row_line *l = line_at(t, line, at_ms);

	if (l == NULL)
		return false;
	*ret_line = (struct tariff_line){ t->text + l->name, t->text + l->title, t->text + t->class[l->class_index].name, l->operator_id,
					  t->text + l->county, modes[l->mode] };
	return true;
}

bool tariff_operator_at(const struct tariff *t, size_t i, struct tariff_operator *ret_operator)
{
	if (i >= t->op_count)
		return false;
	*ret_operator = (struct tariff_operator){ t->op[i].id, t->text + t->op[i].code, t->text + t->op[i].title };
	return true;
}

bool tariff_operator(const struct tariff *t, uint32_t id, struct tariff_operator *ret_operator)
{
	for (size_t i = 0; i < t->op_count; i++)
		if (t->op[i].id == id)
			return tariff_operator_at(t, i, ret_operator);
	return false;
}

bool tariff_treasury(const struct tariff *t, uint16_t treasury, struct tariff_treasury *ret_treasury)
{
	if (treasury < 1 || treasury > t->treasury_count)
		return false;
	*ret_treasury = (struct tariff_treasury){ t->text + t->treasury[treasury - 1].name, t->text + t->treasury[treasury - 1].title };
	return true;
}
