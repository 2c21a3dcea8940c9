/*
 * blob - opening a compiled pack, and what callers may ask it. blob_check looks at every index and offset once,
 * so that a damaged or hostile blob is refused and rate() never reads outside of it.
 */
#include "tariffs/blob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

const uint32_t blob_row_bytes[T_COUNT_] = {
	[T_TEXT] = 1,
#define X(table, member, type) [table] = sizeof(type),
	BLOB_VIEWS(X)
#undef X
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

	t->text = (const char *)p + s[T_TEXT].offset;
	t->text_bytes = s[T_TEXT].count;
#define X(table, member, type) t->member = (const void *)(p + s[table].offset); t->member##_count = s[table].count;
	BLOB_VIEWS(X)
#undef X
	for (uint32_t i = 0; i < t->line_count; i++)
		if (t->line[i].name < t->text_bytes && strcmp(t->text + t->line[i].name, "*") == 0)
			t->any_line = i + 1;
}

/* ---- what rate() asks again and again, of a pack that was checked ---------------------------------------- */

static void groups_list(struct tariff *t)
{
	for (uint32_t i = 0; i < t->group_count; i++) {
		const struct row_group *g = &t->group[i];
		uint64_t bit = 1ULL << i;

		t->groups_by.hold[g->code % HOLD_CODES] |= g->by_hold ? bit : 0;
		for (unsigned class = 0; class < CARD_CLASSES; class++)
			t->groups_by.class[class] |= (g->card_classes >> class & 1) != 0 ? bit : 0;
		t->groups_by.age |= g->age_from >= 0 || g->age_to >= 0 ? bit : 0;
		t->groups_by.product |= g->product_count != 0 ? bit : 0;
	}
}

static bool order_two_steps(const struct tariff *t)
{
	const uint8_t *order = t->head->order;

	for (size_t i = 2; i < ORDER_MAX && order[i] != ORDER_END; i++)
		if (!(order[i] == ORDER_LADDER && t->ladder_count == 0) && !(order[i] == ORDER_CAP && t->cap_count == 0))
			return false;
	return order[0] == ORDER_CONCESSION && order[1] == ORDER_TRANSFER;
}

static void conds_list(struct tariff *t)
{
	for (uint32_t i = 0; i < t->cond_count && i < CONDS_TOLD; i++) {
		const struct row_cond *c = &t->cond[i];
		bool named = c->line_count != 0 || c->not_line_count != 0 || c->op_count != 0 || c->not_op_count != 0 || c->product_count != 0;
		bool timed = c->season_mask != 0 || c->slots.days != DAYS_ALL || c->slots.count != 0;

		if (!named && !timed && c->fare_min <= 0 && c->fare_max <= 0)
			t->plain[i / 64] |= 1ULL << i % 64;
	}
}

static void days_list(struct tariff *t)
{
	t->listed_from = t->calendar_count > 0 ? t->calendar[0].day : 0;
	for (uint32_t i = 0; i < t->calendar_count; i++) {
		int64_t at = (int64_t)t->calendar[i].day - t->calendar[0].day;

		if (at >= 0 && at < DAYS_TOLD)
			t->listed[at / 64] |= 1ULL << at % 64;
	}
}

size_t tariff_size(void) { return sizeof(struct tariff); }

int tariff_init(struct tariff *t, const void *blob, size_t bytes)
{
	const struct blob_head *h = blob;

	if (bytes < sizeof(*h) || bytes > BLOB_BYTES_MAX || (uintptr_t)blob % 8 != 0 || memcmp(h->magic, BLOB_MAGIC, 8) != 0 ||
	    h->bytes != bytes || h->checksum != XXH3_64bits((const uint8_t *)blob + 16, bytes - 16) || !spans_ok(h, bytes))
		return TARIFF_E_BLOB;
	memset(t, 0, sizeof(*t));
	t->head = h;
	if (h->table[T_TEXT].count == 0 || ((const char *)blob)[h->table[T_TEXT].offset + h->table[T_TEXT].count - 1] != '\0')
		return TARIFF_E_BLOB;
	views(t, blob);
	if (!blob_check(t))
		return TARIFF_E_BLOB;
	t->two_steps = order_two_steps(t);
	groups_list(t);
	conds_list(t);
	days_list(t);
	return 0;
}

int tariff_open(const void *blob, size_t bytes, struct tariff **ret_tariff)
{
	struct tariff *t = malloc(sizeof(*t));
	int ret = t != NULL ? tariff_init(t, blob, bytes) : -ENOMEM;

	if (ret != 0) {
		free(t);
		return ret;
	}
	*ret_tariff = t;
	return 0;
}

void tariff_close(struct tariff *t) { free(t); }

uint16_t id_hash(const char *id)
{
	uint32_t h = text_hash(id);
	uint16_t narrow = (uint16_t)(h ^ h >> 16);

	return narrow != 0 ? narrow : 1;
}

static inline bool row_in_force(const struct row_line *l, int64_t at_ms) { return at_ms >= l->from_ms && at_ms < l->to_ms; }

__attribute__((noinline)) static const struct row_line *rows_after(const struct tariff *t, uint32_t first, int64_t at_ms)
{
	for (uint32_t i = first + 1; i < t->line_count && t->line[i].name == t->line[first].name; i++)
		if (row_in_force(&t->line[i], at_ms))
			return &t->line[i];
	return NULL;
}

/* Most lines have one row. */
static inline const struct row_line *rows_in_force(const struct tariff *t, uint32_t first, int64_t at_ms)
{
	return row_in_force(&t->line[first], at_ms) ? &t->line[first] : rows_after(t, first, at_ms);
}

/* Names are a few bytes long: sooner compared than a function is called for it. */
static inline bool text_same(const char *a, const char *b)
{
	for (; *a == *b; a++, b++)
		if (*a == '\0')
			return true;
	return false;
}

const struct row_line *line_hashed(const struct tariff *t, const char *name, uint32_t hash, int64_t at_ms)
{
	uint32_t mask = t->line_hash_count - 1, i = hash & mask;

	for (uint32_t steps = 0; steps <= mask && t->line_hash[i] != 0; steps++, i = (i + 1) & mask) {
		if (text_same(t->text + t->line[t->line_hash[i] - 1].name, name))
			return rows_in_force(t, t->line_hash[i] - 1, at_ms);
	}
	return t->any_line != 0 && name[0] != '\0' ? rows_in_force(t, t->any_line - 1, at_ms) : NULL;
}

const struct row_line *line_at(const struct tariff *t, const char *name, int64_t at_ms) { return line_hashed(t, name, text_hash(name), at_ms); }

uint8_t calendar_kind(const struct tariff *t, int32_t day)
{
	uint32_t low = 0, high = t->calendar_count;

	while (low < high) {
		uint32_t mid = (low + high) / 2;	/* far from overflow: BLOB_BYTES_MAX */

		if (t->calendar[mid].day < day)
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->calendar_count && t->calendar[low].day == day ? (uint8_t)t->calendar[low].kind : 0;
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

struct tariff_late tariff_late(const struct tariff *t)
{
	bool absorb = t->head->late_refund_from_fen == UINT32_MAX;

	return (struct tariff_late){ .window_days = t->head->late_window_days, .hard_days = t->head->late_hard_days, .absorb = absorb,
				     .refund_from_fen = absorb ? 0 : t->head->late_refund_from_fen };
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

uint16_t tariff_quota_code(const struct tariff *t, const char *id)
{
	for (uint32_t i = 0; i < t->quota_count; i++)
		if (id != NULL ? strcmp(t->text + t->rule[t->quota[i].rule].id, id) == 0 : t->quota[i].granted != 0)
			return t->quota[i].per.acc;
	return 0;
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
