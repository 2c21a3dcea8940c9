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

#define BLOB_MAGIC "QFTARIF4"
#define BLOB_BYTES_MAX (64u << 20)

enum blob_table { T_TEXT, T_LIST, T_RULE, T_OPERATOR, T_TREASURY, T_CLASS, T_LINE, T_LINE_HASH, T_SECTION, T_GROUP, T_SEASON, T_COND, T_CELL,
	T_FARE, T_FARE_STEP, T_CONCESSION, T_BAND, T_QUOTA, T_TRANSFER, T_TRANSFER_PRICE, T_LADDER, T_LADDER_STEP, T_CAP, T_CAP_LIMIT, T_REFUND,
	T_LOCK, T_OPEN, T_FUND, T_CALENDAR, T_REGION, T_STOP, T_DIFFERENCE, T_COUNT_ };

/* Steps after the published fare, in the order the pack declares. */
enum order_step { ORDER_END = 0, ORDER_CONCESSION = 1, ORDER_TRANSFER = 2, ORDER_LADDER = 3, ORDER_CAP = 4, ORDER_ROUND = 5 };
#define ORDER_MAX 8

struct blob_span { uint32_t offset, count; };
struct blob_head {
	char magic[8];
	uint64_t checksum;			/* XXH3 over everything after this field */
	uint32_t bytes, version;
	int64_t valid_from_ms, published_ms;
	uint32_t name, title;			/* text offsets */
	uint32_t card_price, card_price_count;	/* concession indexes in T_LIST: the first that holds is the ordinary card price */
	uint8_t round_mode, guest_default;	/* enum money_round; guest class of an unlisted issuer */
	uint8_t birthday_after, feb29_feb28;	/* settings of ages: the day after the birthday; 29 February falls on 28 */
	uint32_t round_unit_fen;
	uint32_t home_issuer;			/* issuer that is local */
	uint32_t fare_day_cut_s;
	uint16_t late_window_days, late_hard_days;
	uint8_t order[ORDER_MAX];		/* enum order_step, ends with ORDER_END */
	uint32_t late_refund_from_fen;		/* UINT32_MAX: never */
	uint64_t everyone;			/* concessions that ask for no group */
	struct blob_span table[T_COUNT_];
};

/* Row 0 of T_RULE is the published fare itself, so a rule number of 0 means "no rule" everywhere. */
struct row_rule { uint32_t id, title, basis, kind, file, line; };
struct row_operator { uint32_t id, code, title; };
struct row_treasury { uint32_t name, title; };
struct row_class { uint32_t name, title; };
enum fare_kind { FARE_FLAT = 0, FARE_SECTION = 1, FARE_TAP = 2, FARE_CLASS = 3 };
enum ride_mode { MODE_BUS = 0, MODE_METRO = 1, MODE_BRT = 2, MODE_FERRY = 3, MODE_COUNT_ };
struct row_line {			/* sorted by name, then from */
	uint32_t name, title, county, operator_id;
	uint8_t class_index, mode, fare_kind, pad;
	uint16_t county_treasury, pad1;	/* 1-based; pays shares of "county" */
	int32_t fare_fen;		/* flat; section: price when the other stop is unknown */
	int32_t own_fen, hold_fen;	/* operator's own concession fare, highest fare held; 0 none */
	uint32_t section, section_count;
	uint32_t stop, stop_count;
	int64_t from_ms, to_ms;
};
struct row_section { uint16_t from_stop, to_stop; int32_t fen; };	/* sorted by stops within a line */
struct row_stop { uint16_t stop, zone; uint32_t m; };	/* from the first stop, both rising within a line; zone 0: not told */

enum group_end { END_BIRTHDAY = 0, END_YEAR = 1, END_DATE = 2 };
#define THEN_OTHER (-1)			/* what else: the next rule that applies */
#define THEN_PUBLISHED (-2)		/* the published fare; 0 and above: that concession */
struct row_group {
	uint32_t name, title;
	uint16_t code; int16_t age_from, age_to; uint16_t card_classes;	/* ages -1: none; bit n = class n */
	uint32_t product, product_count;	/* texts in T_LIST */
	uint8_t by_hold, checked, grade_min, grade_max; uint32_t home;	/* region prefix, 0 any */
	uint8_t all, ends; uint16_t ends_mmdd; uint8_t marks_of, escort_min; int16_t lapsed;	/* escort_min: minutes after the person's tap; 0: no group of escorts */
	uint64_t concessions;			/* those that name this group */
};
struct row_season { uint32_t name, range, range_count; };	/* ranges in T_LIST: from mmdd << 16 | to mmdd */

/* Is month * 100 + day in the range, both ends included, over the year's end where the second lies before the first? */
static inline bool season_range_holds(uint32_t range, uint32_t mmdd)
{
	uint32_t from = range >> 16, to = range & 0xFFFF;

	return from <= to ? mmdd >= from && mmdd <= to : mmdd >= from || mmdd <= to;
}

enum day_kind { DAY_WORK = 1, DAY_REST = 2, DAY_NO_SCHOOL = 4 };	/* a workday may be without school */
enum days_wanted { DAYS_ALL = 0, DAYS_WORK = 1, DAYS_REST = 2, DAYS_SCHOOL = 3 };
#define SLOTS_MAX 4
struct row_slots { uint8_t days, count; uint16_t from[SLOTS_MAX], to[SLOTS_MAX]; };	/* minutes, [from, to); from > to: over midnight */
struct row_cond {			/* what a rule asks of rider, ride and time; one row for each rule */
	int64_t from_ms, to_ms, published_ms;
	uint64_t who, who_not;		/* bits are group indexes; who 0: everyone */
	uint64_t class_mask;
	uint32_t line, line_count, not_line, not_line_count;	/* texts; count 0: any */
	uint32_t op, op_count, not_op, not_op_count;		/* operator ids */
	uint32_t product, product_count;			/* texts */
	uint32_t season_mask;		/* 0: any */
	int32_t fare_min, fare_max;	/* of the published fare; 0: any */
	uint8_t medium_mask, guest_mask, mode_mask, pad;
	struct row_slots slots;		/* only in these, when any */
	uint8_t pad1[2];
};

enum fare_by { BY_FLAT = 0, BY_METRES = 1, BY_STOPS = 2, BY_ZONES = 3 };
struct row_fare { uint16_t rule, cond; uint8_t by, round_mode; uint16_t pad; int32_t flat_fen; uint32_t round_unit_fen, step, step_count; };
struct row_fare_step { uint32_t upto, each; int32_t fen; };	/* upto UINT32_MAX: no end; each 0: once */

enum price_kind { PRICE_FREE = 0, PRICE_RATE = 1, PRICE_FIXED = 2, PRICE_MINUS = 3, PRICE_BANDS = 4, PRICE_PUBLISHED = 5, PRICE_OWN = 6, PRICE_UNITS = 7,
	PRICE_COUNT_ };
#define ROUND_OF_PACK 255
struct row_price { uint8_t kind, at_most_own, round_mode, pad; int32_t num; uint32_t band, band_count, round_unit_fen; };
struct row_concession {
	uint16_t rule, fund, cond, quota;	/* fund, cond: indexes; quota: index + 1 */
	int16_t precedence, shut_then, quota_then; uint16_t takes;
	struct row_price price;
	struct row_slots shut;
	uint8_t fallback_only, also[CONCESSION_QUOTAS_MAX - 1], pad[3];	/* also: further quotas, index + 1; 0 where there is none */
};
struct row_band { int32_t upto_fen, rate; };	/* upto INT32_MAX: the rest */

enum period { PERIOD_DAY = 0, PERIOD_MONTH = 1, PERIOD_YEAR = 2, PERIOD_CARD_YEAR = 3, PERIOD_HOURS = 4, PERIOD_COUNT_ };
/* acc: hash of the rule's id, the same in every version. length: hours of PERIOD_HOURS; of PERIOD_DAY 1 + the second at which it
 * begins, 0 as the pack's fare day. */
struct row_period { uint16_t acc; uint8_t period, of_card; uint32_t length; };
struct row_quota { uint16_t rule, granted; uint32_t limit; int32_t unit_fen; struct row_period per; };

enum transfer_action { ACTION_RESTART = 0, ACTION_IGNORE = 1, ACTION_CLOSE = 2 };
enum same_line { SAME_NO = 0, SAME_YES = 1, SAME_AFTER = 2 };
#define WINDOW_NONE UINT32_MAX
struct row_transfer {
	uint16_t rule, cond, fund, scheme;	/* scheme: hash of the id */
	uint32_t window_ms, gap_ms, same_line_ms;
	uint8_t included, of_first, end_modes, same_line; uint8_t same_vehicle, too_soon, miss, used_up;
	uint16_t uses; uint8_t starts_paid, both_taps; uint32_t price, price_count;
	uint64_t starts, not_with;		/* concession bits; starts_published beside them */
	uint8_t starts_published, not_with_published, hour_count, pad;
	uint16_t hour_from[SLOTS_MAX], hour_to[SLOTS_MAX], hour_minutes[SLOTS_MAX]; uint8_t pad1[4];
};
enum transfer_effect { EFFECT_MINUS = 0, EFFECT_PRICE = 1, EFFECT_DEAREST = 2 };
struct row_transfer_price {
	uint16_t cond, pairs; uint32_t use_mask;	/* pairs: bit before * 4 + now; use_mask: bit n - 1, 0 any */
	uint64_t with; uint8_t with_any, with_published, inside, effect;
	uint8_t instead, least_previous, least_own, moves_window; int32_t minus_fen; uint32_t within_ms;	/* 0: as long as the window is open */
	struct row_price price; uint32_t pad1;
};

enum ladder_count { COUNT_RIDES = 0, COUNT_PAID = 1, COUNT_PUBLISHED = 2 };
struct row_ladder { uint16_t rule, cond, fund, pad; uint8_t count, split, pad1[6]; uint64_t not_with; uint32_t step, step_count; struct row_period per; };
struct row_ladder_step { int64_t from; int32_t rate; uint32_t pad; };
struct row_cap { uint16_t rule, cond, fund; uint8_t count_unfinished, pad; uint32_t limit, limit_count; struct row_period per; };
struct row_cap_limit { int64_t from_ms, fen; };
struct row_refund { uint16_t rule, cond, fund; uint8_t due, pad; int32_t rate; uint32_t pad1; uint64_t not_with; };
enum lock_then { LOCK_REFUSE = 0, LOCK_OTHER = 1, LOCK_PUBLISHED = 2, LOCK_PASSENGER = 3 };
#define LOCK_WINDOW UINT32_MAX		/* ms of a lock: as long as the rider's transfer window is open */
struct row_lock { uint16_t rule; uint8_t same_vehicle, then; uint32_t ms; uint64_t with; uint8_t with_published, pad[7]; };
enum open_hold { HOLD_NONE = 0, HOLD_MAX = 1, HOLD_FEN = 2 };
enum open_unfinished { UNFINISHED_NONE = 0, UNFINISHED_FAR_END = 1, UNFINISHED_KEEP_HOLD = 2, UNFINISHED_FEN = 3 };
struct row_open { uint16_t rule, cond; uint8_t hold, unfinished, same_line, pad; int32_t hold_fen, unfinished_fen; uint32_t complete_ms, pad1; uint64_t free_with; };

enum gap_kind { GAP_NONE = 0, GAP_PUBLISHED = 1, GAP_CARD_PRICE = 2, GAP_UNIT = 3, GAP_OWN = 4, GAP_LUMP = 5, GAP_COUNT_ };
#define TREASURY_OF_COUNTY 0xFFFE	/* the treasury of the line's county */
struct row_fund {
	uint16_t rule; uint8_t gap, share_count; int32_t unit_fen;
	uint32_t unit, unit_count;		/* pairs of season index and fen in T_LIST, before unit_fen */
	uint16_t treasury[FARE_FUNDERS_MAX]; uint32_t weight[FARE_FUNDERS_MAX]; uint32_t operator_weight;
};
struct row_calendar { int32_t day; uint32_t kind; };	/* sorted by day; kind: day_kind bits */
struct row_region { uint32_t issuer, guest; };		/* sorted by issuer */
struct row_difference { uint16_t rule; uint8_t absorb, pad; uint32_t reasons, refund_from_fen; };	/* bits: enum difference_reason; 0: what no other names */

/* X(table, member, row type): the typed views of an opened blob. */
#define BLOB_VIEWS(X) \
	X(T_LIST, list, uint32_t) X(T_RULE, rule, struct row_rule) X(T_OPERATOR, op, struct row_operator) \
	X(T_TREASURY, treasury, struct row_treasury) X(T_CLASS, class, struct row_class) X(T_LINE, line, struct row_line) \
	X(T_LINE_HASH, line_hash, uint32_t) X(T_SECTION, section, struct row_section) X(T_GROUP, group, struct row_group) \
	X(T_SEASON, season, struct row_season) X(T_COND, cond, struct row_cond) X(T_CELL, cell, uint64_t) X(T_FARE, fare, struct row_fare) \
	X(T_FARE_STEP, fare_step, struct row_fare_step) X(T_CONCESSION, concession, struct row_concession) X(T_BAND, band, struct row_band) \
	X(T_QUOTA, quota, struct row_quota) X(T_TRANSFER, transfer, struct row_transfer) \
	X(T_TRANSFER_PRICE, transfer_price, struct row_transfer_price) X(T_LADDER, ladder, struct row_ladder) \
	X(T_LADDER_STEP, ladder_step, struct row_ladder_step) X(T_CAP, cap, struct row_cap) X(T_CAP_LIMIT, cap_limit, struct row_cap_limit) \
	X(T_REFUND, refund, struct row_refund) X(T_LOCK, lock, struct row_lock) X(T_OPEN, open, struct row_open) X(T_FUND, fund, struct row_fund) \
	X(T_CALENDAR, calendar, struct row_calendar) X(T_REGION, region, struct row_region) \
	X(T_STOP, stop, struct row_stop) X(T_DIFFERENCE, difference, struct row_difference)

#define HOLD_CODES 32			/* places for groups by code, which may share one */
#define CARD_CLASSES 16
#define CONDS_TOLD 256			/* what lies beyond is looked at as if it were not plain */
#define DAYS_TOLD 2048			/* five years and a half */
struct tariff {				/* an opened blob: typed views into it, and what rate() asks of it again and again */
	const struct blob_head *head;
	const char *text; uint32_t text_bytes;
#define X(table, member, type) const type *member; uint32_t member##_count;
	BLOB_VIEWS(X)
#undef X
	uint32_t any_line;			/* index + 1 of the line "*" */
	bool two_steps;				/* of the order: a concession, then a transfer; nothing else changes an amount */
	/* Groups, by what one of their ways of being in them asks for: a hold's code, a card's class, an age, a product. */
	struct { uint64_t hold[HOLD_CODES], class[CARD_CLASSES], age, product; } groups_by;
	uint64_t plain[CONDS_TOLD / 64];	/* conditions, one bit each: those that ask only for rider, kind of line, medium and dates */
	int32_t listed_from; uint64_t listed[DAYS_TOLD / 64];	/* days from the first in the calendar on, one bit each: those that are in it */
};

/* False: it may ask for more. */
static inline bool cond_plain(const struct tariff *t, uint16_t cond)
{
	return cond < CONDS_TOLD && (t->plain[cond / 64] >> cond % 64 & 1) != 0;
}

/* Groups of which one that has a hold of this code may be a member; some others are among them. */
static inline uint64_t groups_by_hold(const struct tariff *t, uint16_t code) { return t->groups_by.hold[code % HOLD_CODES]; }
static inline uint64_t groups_by_class(const struct tariff *t, uint8_t class) { return class < CARD_CLASSES ? t->groups_by.class[class] : 0; }

/* Cell of the decision table: concessions whose class, medium and guest conditions hold together. */
#define CELL_MEDIA 8
#define CELL_GUESTS 3
static inline size_t cell_at(size_t class_index, unsigned medium, unsigned guest)
{
	return (class_index * CELL_MEDIA + (medium & 7)) * CELL_GUESTS + (guest < CELL_GUESTS ? guest : 2);
}

bool blob_check(const struct tariff *t);	/* every index, offset and range; blob_check.c */
extern const uint32_t blob_row_bytes[T_COUNT_];	/* size of one row of each table */
static inline uint32_t text_hash(const char *text)
{
	uint32_t h = 2166136261u;

	for (; *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * 16777619u;
	return h != 0 ? h : 1;
}
uint16_t id_hash(const char *id);	/* never 0 */
/* Row in force at a time: exact name, else the wildcard line "*". NULL: unknown. */
const struct row_line *line_at(const struct tariff *t, const char *name, int64_t at_ms);
const struct row_line *line_hashed(const struct tariff *t, const char *name, uint32_t hash, int64_t at_ms);	/* hash: text_hash of the name */
uint8_t calendar_kind(const struct tariff *t, int32_t day);	/* what the calendar says of a day, 0 nothing */

/* False: the calendar does not have the day. */
static inline bool day_listed(const struct tariff *t, int32_t day)
{
	uint64_t at = (uint64_t)((int64_t)day - t->listed_from);

	return at >= DAYS_TOLD ? t->calendar_count > 0 : (t->listed[at / 64] >> at % 64 & 1) != 0;
}

/* Saturday or Sunday. */
static inline bool week_ends(int32_t day) { return (uint64_t)((int64_t)day + 3 + 7 * (INT64_C(1) << 32)) % 7 >= 5; }

static inline uint8_t day_kind_of(const struct tariff *t, int32_t day)
{
	uint8_t kind = day_listed(t, day) ? calendar_kind(t, day) : 0;

	if ((kind & (DAY_WORK | DAY_REST)) == 0)
		kind |= week_ends(day) ? DAY_REST : DAY_WORK;
	return kind;
}

#endif
