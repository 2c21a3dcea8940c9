/*
 * blob - the compiled pack: one header and tables of fixed-width little-endian rows behind it, every
 * reference an index or an offset, so the bytes mean the same wherever they lie. Private to tariffs/.
 *
 * rate() indexes these tables without looking again, therefore tariff_open checks every index once.
 */
#ifndef TARIFFS_BLOB_H
#define TARIFFS_BLOB_H

#include <assert.h>

#include "tariffs/tariffs.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blob rows are read in place; a big-endian port copies them at open");

#define BLOB_MAGIC "QFTARIF1"
#define BLOB_BYTES_MAX (64u << 20)

enum blob_table { T_TEXT, T_LIST, T_RULE, T_OPERATOR, T_TREASURY, T_CLASS, T_LINE, T_LINE_HASH, T_SECTION, T_GROUP, T_CONCESSION,
	T_BAND, T_TRANSFER, T_QUOTA, T_FUND, T_CALENDAR, T_REGION, T_COUNT_ };

struct blob_span { uint32_t offset, count; };
struct blob_head {
	char magic[8];
	uint64_t checksum;			/* XXH3 over everything after this field */
	uint32_t bytes, version;
	int64_t valid_from_ms, published_ms;
	uint32_t name, title;			/* text offsets */
	uint16_t card_price;			/* concession index + 1 that is the ordinary card price; 0 none */
	uint8_t round_mode, guest_default;	/* enum money_round; guest class of an unlisted issuer */
	uint32_t round_unit_fen;
	uint32_t home_issuer;			/* issuer that is local */
	uint32_t lock_ms;			/* repeat tap within this is a lock matter; 0 no lock */
	uint16_t lock_rule; uint8_t lock_same_vehicle; uint8_t lock_pad;
	uint64_t lock_concessions;		/* concessions whose riders may not repeat */
	struct blob_span table[T_COUNT_];
};

/* Row 0 of T_RULE is the published fare itself, so a rule number of 0 means "no rule" everywhere. */
struct row_rule { uint32_t id, title, basis, kind, file, line; };
struct row_operator { uint32_t id, code, title; };
struct row_treasury { uint32_t name, title; };
struct row_class { uint32_t name, title; };
enum fare_kind { FARE_FLAT = 0, FARE_SECTION = 1, FARE_TAP = 2 };
enum ride_mode { MODE_BUS = 0, MODE_METRO = 1, MODE_BRT = 2, MODE_FERRY = 3, MODE_COUNT_ };
struct row_line {			/* sorted by name, then from */
	uint32_t name, title, county, operator_id;
	uint8_t class_index, mode, fare_kind, pad;
	uint16_t county_treasury, pad1;	/* 1-based; pays shares of "county" */
	int32_t fare_fen;		/* flat; section: price when the other stop is unknown */
	uint32_t section, section_count, pad2;
	int64_t from_ms, to_ms;
};
struct row_section { uint16_t from_stop, to_stop; int32_t fen; };	/* sorted by stops within a line */
struct row_group {
	uint32_t name, title;
	uint16_t code; int16_t age_from, age_to; uint16_t card_classes;	/* ages -1: none; bit n = class n */
	uint32_t product, product_count;	/* texts in T_LIST */
	uint8_t by_hold, checked, grade_max, pad; uint32_t home;	/* region prefix, 0 any */
};
enum price_kind { PRICE_FREE = 0, PRICE_RATE = 1, PRICE_FIXED = 2, PRICE_MINUS = 3, PRICE_BANDS = 4, PRICE_PUBLISHED = 5 };
enum day_kind { DAY_WORK = 1, DAY_REST = 2 };
#define SLOTS_MAX 3
struct row_concession {
	uint16_t rule, fund, quota, pad0;	/* fund: index; quota: index + 1 */
	int16_t precedence; uint8_t medium_mask, guest_mask;
	uint64_t group_mask, absent_mask;	/* bits are group indexes; group_mask 0: everyone */
	uint64_t class_mask;
	uint32_t line, line_count;		/* only these lines, when any (texts) */
	uint32_t not_line, not_line_count;
	uint32_t operators, operator_count;	/* only these vehicle operators, when any (ids in T_LIST) */
	uint32_t not_operator, not_operator_count;
	int64_t from_ms, to_ms;
	int32_t list_fen_max;			/* only where the published fare is at most this; 0 any */
	uint8_t price, shut_days, shut_count, shut_price; /* shut_price: enum price_kind, or 255: next candidate */
	uint16_t shut_from[SLOTS_MAX], shut_to[SLOTS_MAX];	/* minutes, [from, to) */
	uint16_t mode_mask, pad1;
	int32_t price_num;			/* 1/10000 or fen */
	uint32_t band, band_count;
};
struct row_band { int32_t upto_fen, rate; };	/* upto INT32_MAX: the rest */
enum too_soon { SOON_IGNORE = 0, SOON_RESTART = 1, SOON_CLOSE = 2 };
struct row_transfer {
	uint16_t rule, fund; uint16_t pairs, uses;	/* pairs: bit prev * 4 + now */
	uint32_t window_ms, gap_ms;
	uint8_t included, same_line, same_vehicle, of_first; uint8_t too_soon, before_rate, medium_mask, guest_mask;
	int32_t minus_fen;
	uint64_t not_with;			/* concession indexes it does not go with */
	int64_t from_ms, to_ms;
	uint32_t not_operator, not_operator_count;
};
enum period { PERIOD_DAY = 0, PERIOD_MONTH = 1, PERIOD_YEAR = 2 };
struct row_quota { uint16_t rule, acc; uint32_t limit; uint8_t period, pad[3]; };
enum gap_kind { GAP_NONE = 0, GAP_PUBLISHED = 1, GAP_CARD_PRICE = 2, GAP_UNIT = 3 };
#define TREASURY_OF_COUNTY 0xFFFE	/* the treasury of the line's county */
struct row_fund { uint16_t rule; uint8_t gap, share_count; int32_t unit_fen; uint16_t treasury[FARE_FUNDERS_MAX]; uint32_t weight[FARE_FUNDERS_MAX]; uint32_t operator_weight; };
struct row_calendar { int32_t day; uint32_t kind; };	/* sorted by day */
struct row_region { uint32_t issuer, guest; };		/* sorted by issuer */

struct tariff {				/* an opened blob: typed views into it */
	const struct blob_head *head;
	const char *text; uint32_t text_bytes;
	const uint32_t *list; uint32_t list_count;
	const struct row_rule *rule; uint32_t rule_count;
	const struct row_operator *op; uint32_t op_count;
	const struct row_treasury *treasury; uint32_t treasury_count;
	const struct row_class *class; uint32_t class_count;
	const struct row_line *line; uint32_t line_count;
	const uint32_t *line_hash; uint32_t line_hash_count;	/* power of two; index + 1 of a name's first row */
	const struct row_section *section; uint32_t section_count;
	const struct row_group *group; uint32_t group_count;
	const struct row_concession *concession; uint32_t concession_count;
	const struct row_band *band; uint32_t band_count;
	const struct row_transfer *transfer; uint32_t transfer_count;
	const struct row_quota *quota; uint32_t quota_count;
	const struct row_fund *fund; uint32_t fund_count;
	const struct row_calendar *calendar; uint32_t calendar_count;
	const struct row_region *region; uint32_t region_count;
	uint32_t any_line;			/* index + 1 of the line "*" */
};

extern const uint32_t blob_row_bytes[T_COUNT_];	/* size of one row of each table */
uint32_t text_hash(const char *text);
/* Row in force at a time: exact name, else the wildcard line "*". NULL: unknown. */
const struct row_line *line_at(const struct tariff *t, const char *name, int64_t at_ms);
uint8_t day_kind_of(const struct tariff *t, int32_t day);

#endif
