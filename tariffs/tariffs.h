/*
 * tariffs - money, civil days, tariff packs and the one pure rate().
 *
 * A pack is what an operator edits: strict YAML rules and CSV tables (docs/tariff.5). It is compiled
 * into one position-independent blob which is stored in LMDB and used, byte for byte the same, by the
 * validator, the ingest and the clear. rate() reads its arguments and writes its results: no clock, no
 * store, no allocation, bounded steps.
 *
 * This folder uses nothing else of ours. Money is int64 fen in a struct; times are int64 ms UTC;
 * civil time (fixed +08:00) exists only here. Rates are 1/10000. Errors: 0 good, negative
 * TARIFF_E_* (-3xxx) or -errno; for files people write, the text is "file:line:column: reason".
 */
#ifndef TARIFFS_TARIFFS_H
#define TARIFFS_TARIFFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TARIFFS_MUST_CHECK __attribute__((warn_unused_result))

enum tariff_error {
	TARIFF_E_PACK = -3001,		/* the pack has errors; see the problem list */
	TARIFF_E_BLOB = -3002,		/* not a compiled pack, damaged, or of a newer version */
	TARIFF_E_SYNTAX = -3003,	/* YAML or CSV text refused */
};

/* ---- money ------------------------------------------------------------------------------- */

struct money { int64_t fen; };
static inline struct money money_of_fen(int64_t fen) { return (struct money){ fen }; }
/* Checked: an overflow is a programmer error (limits make it impossible) and stops the program. */
struct money money_add(struct money a, struct money b);
struct money money_sub(struct money a, struct money b);
enum money_round { ROUND_HALF_UP, ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_FLOOR, ROUND_CEIL };
/* a * num / den, rounded to a multiple of unit_fen (1, 10, 50 ...). den > 0. */
struct money money_scale(struct money a, int64_t num, int64_t den, enum money_round mode, int64_t unit_fen);
/* Split whole over n weights by largest remainder, ties to the first; parts sum to the whole. */
void money_split(struct money whole, const uint32_t *weight, size_t n, struct money *ret_part);

/* ---- civil days (fixed +08:00) ------------------------------------------------------------ */

#define CIVIL_OFFSET_MS (8 * 3600 * 1000LL)
#define DAY_NONE INT32_MIN
/* Days are int32: days since 1970-01-01 of the local civil calendar. */
struct civil { int32_t year; uint8_t month, day, hour, minute, second; };
int32_t day_of_civil(int32_t year, unsigned month, unsigned day);
struct civil civil_of_ms(int64_t time_ms);
int64_t ms_of_civil(const struct civil *c);
/* A time as far from 1970 as days go; strangers' bytes say any. */
static inline int64_t time_bounded(int64_t time_ms)
{
	const int64_t most = INT64_C(86400000) * INT32_MAX;

	return time_ms < -most ? -most : time_ms > most ? most : time_ms;
}
static inline int32_t day_of_ms(int64_t time_ms)		/* calendar day */
{
	const int64_t ms = time_bounded(time_ms) + CIVIL_OFFSET_MS, day_ms = 86400000;

	return (int32_t)(ms >= 0 ? (int64_t)((uint64_t)ms / day_ms) : ms / day_ms - (ms % day_ms < 0));
}
int32_t service_day_of_ms(int64_t time_ms, int32_t cut_s);/* day that starts cut_s after midnight */
static inline int64_t service_day_ms(int64_t day, int32_t cut_s)	/* when it starts: a time is of an earlier one if it is below */
{
	return day * 86400000 - CIVIL_OFFSET_MS + (int64_t)cut_s * 1000;
}
unsigned day_of_week(int32_t day);			/* 1 Monday .. 7 Sunday */
bool day_parse(const char *yyyy_mm_dd, int32_t *ret_day);	/* strict, the date must exist */
void day_format(int32_t day, char ret_text[11]);		/* YYYY-MM-DD */
/* RFC 3339 with offset, or local "YYYY-MM-DDThh:mm:ss" read as +08:00. */
bool time_parse(const char *text, int64_t *ret_ms);
void time_format(int64_t time_ms, char ret_text[32]);	/* YYYY-MM-DDThh:mm:ss+08:00 */

/* ---- strict YAML and CSV ------------------------------------------------------------------ */

/* Strict subset of YAML read through libyaml events: every scalar stays text with its position;
 * anchors, aliases, tags, duplicate keys and several documents are errors. Also used for the
 * configuration files of the programs. */
enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };
struct node {
	enum node_kind kind;
	const char *text;		/* scalar: NUL-terminated UTF-8 */
	size_t count;			/* list items or map pairs */
	struct node **item;		/* list: items; map: values */
	const char **key;		/* map: keys, in file order */
	unsigned *key_line, *key_column;
	unsigned line, column;		/* 1-based */
	bool quoted;
};
struct yaml_doc;
/* Bounded: file <= 8 MiB, depth <= 16. ret_error gets "path:line:column: reason". */
int yaml_open(const char *path, struct yaml_doc **ret_doc, char *ret_error, size_t error_bytes) TARIFFS_MUST_CHECK;
int yaml_parse(const char *name, const void *p, size_t n, struct yaml_doc **ret_doc, char *ret_error,
	       size_t error_bytes) TARIFFS_MUST_CHECK;
const struct node *yaml_root(const struct yaml_doc *doc);
void yaml_close(struct yaml_doc *doc);
const struct node *node_get(const struct node *map, const char *key);	/* NULL: absent */
bool node_int(const struct node *n, int64_t *ret_value);			/* plain decimal */
/* The known word nearest to a misspelt one (edit distance <= 2), or NULL: for suggestions. */
const char *word_suggest(const char *word, const char *const *known, size_t count);

/* RFC 4180 reader: UTF-8 with or without BOM, CRLF or LF, header row required, every row as wide as
 * the header. Reads from memory; fields are NUL-terminated copies valid until the next row. */
struct csv;
int csv_open(const char *path, struct csv **ret_csv, char *ret_error, size_t error_bytes) TARIFFS_MUST_CHECK;
int csv_parse(const char *name, const void *p, size_t n, struct csv **ret_csv, char *ret_error,
	      size_t error_bytes) TARIFFS_MUST_CHECK;	/* copies p */
/* csv_open also takes a file in GB18030, as Chinese spreadsheets save it; what is neither is refused with its line. */
int csv_column(const struct csv *csv, const char *name);	/* index, or -1 */
size_t csv_columns(const struct csv *csv);
const char *csv_header(const struct csv *csv, size_t i);
/* 1 a row, 0 end, negative: error text set. Line is that of the row's first field. */
int csv_next(struct csv *csv, const char *const **ret_fields, unsigned *ret_line, char *ret_error, size_t error_bytes);
unsigned csv_field_column(const struct csv *csv, size_t i);	/* 1-based byte column in its line */
void csv_close(struct csv *csv);

/* ---- the rider, the ride, the state -------------------------------------------------------- */

enum ride_medium {			/* numbers are on disk */
	MEDIUM_PURSE = 1,		/* T-Union purse on a transit card */
	MEDIUM_SSC = 2,			/* T-Union purse on the third-generation social security card */
	MEDIUM_QR = 3,			/* T-Union QR code, electronic social security card included */
	MEDIUM_BANK = 4,		/* bank card by ODA */
	MEDIUM_BANK_QR = 5,		/* UnionPay ride code */
	MEDIUM_MANUAL = 6,		/* driver's console: papers shown */
	MEDIUM_CASH = 7,		/* single ticket */
};
enum ride_event { RIDE_SINGLE = 1, RIDE_ON = 2, RIDE_OFF = 3 };
enum guest_class { GUEST_LOCAL = 0, GUEST_REGION = 1, GUEST_OTHER = 2 };

#define LINE_BYTES_MAX 47
#define RIDER_HOLDS_MAX 8
#define RIDER_GRANTS_MAX 2

struct hold {				/* one entitlement of a person */
	uint16_t group;			/* numeric code of the group in the pack's groups file */
	uint8_t grade;			/* 0: none; disability 1-4 */
	int32_t from, to;		/* days, both included; to = INT32_MAX: open */
	int32_t verified_to;		/* yearly check done up to this day; INT32_MAX: not needed */
	uint32_t batch;			/* entitlement batch it came with, for the explanation */
};
struct grant { uint16_t quota; uint32_t units; };	/* units put on a card for a quota "granted"; quota: tariff_quota_code */
struct rider {
	int32_t birth;			/* day, DAY_NONE when unknown */
	int32_t issued;			/* card's issue day, DAY_NONE when unknown */
	bool escort;			/* the card is an escort's, tied to this person: on days escort_from to escort_to */
	int32_t escort_from, escort_to;
	uint32_t home;			/* GB/T 2260 region, 0 unknown */
	uint8_t hold_count;
	struct hold hold[RIDER_HOLDS_MAX];
	uint8_t grant_count;
	struct grant grant[RIDER_GRANTS_MAX];
};
struct ride {				/* what rating needs to know of one tap */
	int64_t time_ms;
	int64_t in_ms, out_ms;		/* told by one record: where made at the end (metro exit), the start; at the start, the end; 0: not told */
	int64_t known_ms;		/* rules published later are not known yet; 0: all are */
	uint32_t card;			/* hash of the card or code, for accounts "of card"; 0 unknown */
	enum ride_event event;
	enum ride_medium medium;
	enum guest_class guest;		/* see tariff_guest_of */
	uint32_t issuer;		/* 8 BCD digits as a number's hex, e.g. 0x02184280 */
	uint8_t card_class;		/* T-Union 0x17[10]: 01 ordinary 02 student 03 elderly ... */
	uint16_t card_subtype;
	char line[LINE_BYTES_MAX + 1];	/* UTF-8, exactly as in lines.csv */
	char vehicle[16];
	char product[16];		/* card product or series; "" when the scheme has none */
	uint32_t operator_id;		/* of the vehicle; 0: take the line's */
	uint16_t stop_on, stop_off;	/* numbers on the line, 1-based; 0: unknown */
	uint8_t direction;
	struct money list;		/* price the terminal showed; used where the pack says fare "tap" */
	uint32_t distance_m, far_m;	/* ridden; from the tap-on to the farther end of the line; 0 unknown */
	uint16_t stops, zones;		/* ridden, where fares go by them; 0 unknown */
	bool inside;			/* changed without leaving the paid area */
};

/* All that rating remembers of a person between rides. Plain data of fixed layout; zero is "no ride
 * yet". Stored through rider_state_pack so that the bytes are the same on every machine. */
struct rider_acc { uint16_t id; uint32_t stamp, card; int64_t value; };	/* period stamp; card 0: the person's; count or fen */
#define RIDER_ACC_MAX 10
struct rider_state {
	int64_t last_ms;		/* last ride of any kind, for locks */
	uint32_t last_vehicle;		/* hash */
	int64_t other_ms;		/* last ride in the vehicle before that one, for locks on a vehicle */
	uint32_t other_vehicle;
	uint16_t window_rule, window_uses;	/* transfer scheme by hash; 0: no window */
	int64_t window_ms;		/* what the limit counts from */
	uint32_t window_vehicle;	/* of the ride that started it */
	int64_t window_dearest_fen;
	uint32_t prev_line, prev_vehicle;	/* ride before in the window: hashes */
	uint8_t prev_mode, prev_flags;
	int64_t prev_published_fen;
	int64_t open_ms;		/* ride waiting for its tap-off, 0 none */
	uint32_t open_line;
	uint16_t open_stop;
	int64_t open_hold_fen;		/* taken at its tap-on */
	int64_t open_unfinished_fen;	/* owed if no tap-off comes */
	int64_t escorted_ms;		/* last_ms of the ride that an escort has come along with; 0 none */
	struct rider_acc acc[RIDER_ACC_MAX];
};
#define RIDER_PREV_COMPLETE 1		/* prev_flags: its tap-off is known */
/* A state as bytes: some thirty for a rider with a transfer window, two with nothing. Times are stored by their distance from
 * near_ms, which both must be given; any will do, one close to the last ride makes them short. pack: bytes taken, the same for
 * equal states. unpack: bytes read; 0: cut, damaged or of a newer version. */
#define RIDER_STATE_BYTES_MAX 384
size_t rider_state_pack(const struct rider_state *s, int64_t near_ms, uint8_t ret_bytes[RIDER_STATE_BYTES_MAX]);
unsigned rider_state_accounts(const struct rider_state *s);	/* up to the last that is not zero */
size_t rider_state_unpack(const uint8_t *bytes, size_t n, int64_t near_ms, struct rider_state *ret_state);
/* Numbers in as few bytes as they need. Bytes written; bytes read, 0: cut or not in the one form that a number has.
 * A moment is a distance in whole seconds, with two bytes more where it is none. */
#define VARNUM_BYTES_MAX 10
size_t varnum_put_long(uint8_t *p, uint64_t v);	/* of 0x80 and above: most are smaller */
static inline size_t varnum_put(uint8_t *p, uint64_t v)
{
	if (v >= 0x80)
		return varnum_put_long(p, v);
	*p = (uint8_t)v;
	return 1;
}
size_t varnum_get_long(const uint8_t *p, size_t n, uint64_t *ret);
static inline size_t varnum_get(const uint8_t *p, size_t n, uint64_t *ret)
{
	if (n == 0 || p[0] >= 0x80)
		return varnum_get_long(p, n, ret);
	*ret = p[0];
	return 1;
}
/* Small numbers of either sign as small ones, and back. */
static inline uint64_t zigzag(int64_t v) { return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0); }
static inline int64_t zigzag_back(uint64_t v) { return (int64_t)(v >> 1 ^ (0 - (v & 1))); }
#define MOMENT_BYTES_MAX (VARNUM_BYTES_MAX + 2)
size_t moment_put(uint8_t *p, int64_t ms, int64_t from_ms);
size_t moment_get(const uint8_t *p, size_t n, int64_t from_ms, int64_t *ret_ms);

/* ---- packs --------------------------------------------------------------------------------- */

/* A compiled pack over a blob that the caller keeps; free with tariff_close. Shared for reading. */
struct tariff;
/* Compile a pack directory. On TARIFF_E_PACK every problem was given to report(arg, text), each
 * "file:line:column: reason". *ret_blob is malloc'ed, the caller frees it. */
typedef void (*tariff_report_fn)(void *arg, const char *text);
int tariff_compile(const char *pack_dir, tariff_report_fn report, void *arg, void **ret_blob,
		   size_t *ret_bytes) TARIFFS_MUST_CHECK;
/* Checks structure and bounds of the blob completely, then points into it. */
int tariff_open(const void *blob, size_t bytes, struct tariff **ret_tariff) TARIFFS_MUST_CHECK;
void tariff_close(struct tariff *t);
/* The same in the caller's memory of tariff_size bytes: takes no memory, needs no closing. */
size_t tariff_size(void);
int tariff_init(struct tariff *t, const void *blob, size_t bytes) TARIFFS_MUST_CHECK;
/* The same with things of a case laid over the pack: YAML with settings and further list entries, and tables
 * instead of the pack's. NULL members leave the pack as it is. Used for case files and trials. */
struct tariff_overlay { const char *yaml, *lines_csv, *calendar_csv; };
int tariff_compile_with(const char *pack_dir, const struct tariff_overlay *overlay, tariff_report_fn report, void *arg, void **ret_blob,
			size_t *ret_bytes) TARIFFS_MUST_CHECK;
/* Run the pack's own cases.csv; returns the number that failed, each given to report. Negative: error. */
int tariff_run_cases(const char *pack_dir, const struct tariff *t, tariff_report_fn report, void *arg, int *ret_run);

const char *tariff_name(const struct tariff *t);		/* e.g. ganzhou-2025-01 */
uint32_t tariff_version(const struct tariff *t);		/* pack's number, rises */
int64_t tariff_valid_from_ms(const struct tariff *t);
/* Guest class of an issuer by the pack's regions list. */
enum guest_class tariff_guest_of(const struct tariff *t, uint32_t issuer);
/* What becomes of taps that come late and of rides rated anew; the pack's "late". Days are service days. */
struct tariff_late {
	int32_t window_days;		/* a tap later than this is rated alone and changes no other ride */
	int32_t hard_days;		/* later than this it is not rated */
	bool absorb;			/* what a rider is owed by an adjustment stays with the operator */
	int64_t refund_from_fen;	/* smaller amounts stay there too */
};
struct tariff_late tariff_late(const struct tariff *t);
/* Group code of a category name ("elder65"); 0 unknown. And back; NULL unknown. */
uint16_t tariff_group_code(const struct tariff *t, const char *name);
const char *tariff_group_name(const struct tariff *t, uint16_t code);
const char *tariff_group_title(const struct tariff *t, uint16_t code);	/* Chinese */

/* Code of a quota by its id, for grants; 0: none of that id. NULL: the first quota that is granted. */
uint16_t tariff_quota_code(const struct tariff *t, const char *id);

struct tariff_rule { const char *id, *title, *basis, *kind; const char *file; unsigned line; };
bool tariff_rule(const struct tariff *t, uint16_t rule, struct tariff_rule *ret_rule);
struct tariff_line { const char *line, *title, *class_name; uint32_t operator_id; const char *county; const char *mode; };
bool tariff_line_find(const struct tariff *t, const char *line, int64_t at_ms, struct tariff_line *ret_line);
struct tariff_operator { uint32_t id; const char *code, *title; };
bool tariff_operator(const struct tariff *t, uint32_t id, struct tariff_operator *ret_operator);
size_t tariff_operator_count(const struct tariff *t);
bool tariff_operator_at(const struct tariff *t, size_t i, struct tariff_operator *ret_operator);
/* Treasury by number (1-based); name such as "city", title in Chinese. */
struct tariff_treasury { const char *name, *title; };
bool tariff_treasury(const struct tariff *t, uint16_t treasury, struct tariff_treasury *ret_treasury);
size_t tariff_treasury_count(const struct tariff *t);

/* ---- what a pack holds, for price books: enumerate.c ---------------------------------------- */

size_t tariff_rule_count(const struct tariff *t);	/* rule numbers are below this; 0 is no rule */
struct tariff_class { const char *name, *title; };
size_t tariff_class_count(const struct tariff *t);
bool tariff_class_at(const struct tariff *t, size_t i, struct tariff_class *ret_class);
/* A group and how a made-up rider belongs to it on a day: rider, card class and product of the ride. */
struct tariff_group { const char *name, *title; uint16_t code; struct rider member; uint8_t card_class; const char *product; };
/* Of a group of escorts the member's card is an escort's: tariff_beside makes the state of the person who has just tapped in
 * the ride's vehicle, beside whom it rides. */
void tariff_beside(const struct ride *ride, struct rider_state *ret_state);
size_t tariff_group_count(const struct tariff *t);
bool tariff_group_at(const struct tariff *t, size_t i, int32_t day, struct tariff_group *ret_group);
/* So many units for each quota that is granted; the number of grants written. */
uint8_t tariff_granted_quotas(const struct tariff *t, uint32_t units, struct grant ret_grant[RIDER_GRANTS_MAX]);
size_t tariff_line_count(const struct tariff *t);	/* rows of lines.csv; false below: row i is not in force then */
bool tariff_line_at(const struct tariff *t, size_t i, int64_t at_ms, struct tariff_line *ret_line);
/* Journeys on a line with different published fares: one of each section fare, one to the end of each step. */
enum journey_kind { JOURNEY_FLAT = 0, JOURNEY_SECTION = 1, JOURNEY_STEP = 2, JOURNEY_TAP = 3 };	/* tap: the price is the terminal's */
struct tariff_journey { enum journey_kind kind; uint16_t stop_on, stop_off, stops, zones; uint32_t distance_m; int64_t list_fen; char text[32]; };
size_t tariff_journeys(const struct tariff *t, const char *line, int64_t at_ms, struct tariff_journey *ret_journey, size_t max);
struct tariff_section { uint16_t from_stop, to_stop; int64_t fen; };
bool tariff_section_at(const struct tariff *t, const char *line, int64_t at_ms, size_t i, struct tariff_section *ret_section);
/* A transfer scheme in outline. by_hour, by_price: the window has other lengths by the hour, by the price. amounts: every price of it is an amount, a free ride or a part of the fare. */
struct tariff_transfer { uint16_t rule, uses; uint32_t window_s, gap_s; bool endless, of_first, from_ride_end, same_line, by_hour, by_price, amounts; };
bool tariff_transfer_at(const struct tariff *t, size_t i, struct tariff_transfer *ret_transfer);
/* What a concession counts, by its rule; how many quotas it takes from. period: slot (per day, of a concession that holds in
 * one slot of hours and shares it with no other), day, month, year, card-year or hours. */
#define CONCESSION_QUOTAS_MAX 3		/* as terminals' tables have them: of a slot, a day, a month */
struct tariff_quota { uint16_t rule, takes; uint32_t limit; bool granted; const char *period; };
size_t tariff_quotas_of(const struct tariff *t, uint16_t rule, struct tariff_quota ret_quota[CONCESSION_QUOTAS_MAX]);
/* Minutes of the day at which some rule begins or ends, rising from 0. */
size_t tariff_minutes(const struct tariff *t, uint16_t *ret_minute, size_t max);
/* One day for every kind of day that the rules tell apart, from a first day on: kind, seasons, dates of rules. */
struct tariff_day { int32_t day; char text[96]; };
void tariff_day_of(const struct tariff *t, int32_t first, int32_t day, struct tariff_day *ret_day);	/* what kind a day is */
size_t tariff_days(const struct tariff *t, int32_t first, struct tariff_day *ret_day, size_t max);

/* ---- rate ----------------------------------------------------------------------------------- */

#define FARE_STEPS_MAX 12
#define FARE_FUNDERS_MAX 4		/* of one funding rule, and of one fare */

enum fare_step_kind {			/* numbers are on disk */
	FARE_STEP_PUBLISHED = 1, FARE_STEP_CONCESSION = 2, FARE_STEP_TRANSFER = 3, FARE_STEP_LADDER = 4,
	FARE_STEP_CAP = 5, FARE_STEP_HOLD = 7, FARE_STEP_SETTLE = 8, FARE_STEP_QUOTA = 9,	/* settle: less the hold; 6 never was */
	FARE_STEP_UNFINISHED = 10, FARE_STEP_REFUND = 11, FARE_STEP_LOCK = 12,
};
struct fare_step { uint8_t kind; uint16_t rule; int32_t delta_fen; };	/* published: delta = the fare */
enum fare_reject {			/* why a ride is refused at the gate */
	FARE_OK = 0, FARE_LINE_UNKNOWN = 1, FARE_NO_PRICE = 2, FARE_REPEAT_TAP = 3, FARE_NOT_IN_FORCE = 4,
};
const char *fare_reject_name(enum fare_reject reject);
struct fare {
	enum fare_reject reject;
	struct money published;		/* notice-board fare (应收 before concessions), an unfinished ride before included */
	struct money paid;		/* what the rider owes by the rules (rated) */
	struct money absorbed;		/* the operator's part */
	struct money moved;		/* taken from the rider by this tap: a hold at tap-on, less the hold at tap-off */
	struct money unfinished;	/* of paid: for the ride before that had no tap-off */
	struct money refund;		/* to be returned after the period by refund_rule */
	uint16_t refund_rule, refund_due;	/* due: day of the month after */
	uint8_t funder_count;
	struct { uint16_t treasury; struct money amount; } funder[FARE_FUNDERS_MAX];
	uint16_t line;			/* index into the pack's lines + 1; 0 unknown */
	uint16_t group;			/* group whose concession won; 0 none */
	uint16_t rule;			/* concession that won; 0 none */
	uint16_t fund_rule;
	bool transfer;			/* a transfer rule applied */
	bool companion;			/* a companion's ride under a lock, or an escort's: leaves the rider's rides and windows alone */
	uint8_t step_count;
	struct fare_step step[FARE_STEPS_MAX];
};
/* published = paid + sum(funder) + absorbed always holds, asserted before return. */

/* A rule that was looked at and did not apply, with the reason as a word of fixed vocabulary. */
enum rule_miss {
	MISS_GROUP = 1, MISS_AGE, MISS_CLASS, MISS_LINE, MISS_OPERATOR, MISS_MEDIUM, MISS_GUEST, MISS_DATE,
	MISS_HOURS, MISS_CHECK_LAPSED, MISS_QUOTA, MISS_WINDOW, MISS_SAME_LINE, MISS_SAME_VEHICLE, MISS_PAIR,
	MISS_USES, MISS_OUTRANKED, MISS_FIRST_RIDE, MISS_NOT_FOR, MISS_FARE, MISS_SEASON, MISS_UNPUBLISHED, MISS_PRODUCT, MISS_GAP, MISS_FALLBACK,
	MISS_NOT_GROUP, MISS_ESCORT,
};
const char *rule_miss_text(enum rule_miss miss);	/* Chinese sentence */
struct rate_notes {			/* filled when wanted; pass NULL on the fast path */
	size_t count;
	struct { uint16_t rule; enum rule_miss miss; } note[64];
};

/*
 * The fare of one ride. Pure: reads its arguments, writes *ret_state, *ret_fare and *notes, nothing
 * else. state and ret_state may be the same object. A refused ride leaves the state unchanged.
 */
void rate(const struct tariff *t, const struct rider *rider, const struct rider_state *state,
	  const struct ride *ride, struct rider_state *ret_state, struct fare *ret_fare,
	  struct rate_notes *notes);

/* ---- terminals' tables: params.c, import.c ------------------------------------------------------------ */

/* Columns of a table that a maker of terminals hands over: type and percent or price, limits, and what else there is. */
enum params_column { PARAMS_TYPE, PARAMS_TITLE, PARAMS_CLASS, PARAMS_LINES, PARAMS_JOURNEY, PARAMS_MEDIA, PARAMS_GUESTS, PARAMS_DAYS, PARAMS_HOURS,
	PARAMS_PUBLISHED, PARAMS_PERCENT, PARAMS_PRICE, PARAMS_LIMIT_SLOT, PARAMS_LIMIT_DAY, PARAMS_LIMIT_MONTH, PARAMS_RULE, PARAMS_NOTE, PARAMS_COLUMNS };
const char *params_column_name(enum params_column c);
int params_column(const struct csv *csv, enum params_column c);	/* by its English or a Chinese heading; -1: none */
int params_medium(const char *word);	/* 0 card .. 6 cash, English or Chinese; -1: none */
int params_guest(const char *word);	/* enum guest_class; -1: none */
int params_type_code(const char *text);	/* the card class where the text is a number, -1 where it is too large; 0: a word */
bool params_type_everybody(const char *text);	/* ordinary, 普通卡 or card class 1 */
struct params_type { const char *name, *title; };
const struct params_type *params_type_of(int code);	/* T-Union's card classes; NULL: none of them */

/*
 * A first pack made of such a table: the texts of its files, free with tariff_import_done. What a table cannot know stands
 * in them as a plain default under a comment, and in unsettled, one line each: "file: what is to be settled". What is no
 * such table, or cannot be said in a pack, goes to report as "file:line:column: reason" and TARIFF_E_SYNTAX is returned.
 */
struct tariff_import {
	char *pack_yaml, *lines_csv, *cases_csv;
	char *sections_csv, *calendar_csv;	/* NULL: not needed */
	char *unsettled;
	int32_t first_day;
};
/* first_day: of the pack; the caller's choice, and it is listed as unsettled. */
int tariff_import(const char *path, const char *pack_name, int32_t first_day, int32_t today, tariff_report_fn report, void *arg,
		  struct tariff_import *ret_import) TARIFFS_MUST_CHECK;
int tariff_import_parse(const char *name, const void *p, size_t n, const char *pack_name, int32_t first_day, int32_t today,
			tariff_report_fn report, void *arg, struct tariff_import *ret_import) TARIFFS_MUST_CHECK;
void tariff_import_done(struct tariff_import *import);

/* ---- differences: differ.c ------------------------------------------------------------------- */

/*
 * Why a terminal charged another amount than is rated (fares.md R61), in the order they are looked for: the first that
 * gives exactly what was charged is the reason. Numbers are on disk.
 */
enum difference_reason {
	DIFFER_NONE = 0,
	DIFFER_MANUAL = 1,		/* a person entered the amount */
	DIFFER_OLD_PARAMETERS = 2,	/* the pack the record names gives it; or that pack is not known and nothing else gives it */
	DIFFER_GUEST = 3,		/* another city's card, taken for another class of guests */
	DIFFER_ROUNDING = 4,		/* rounded another way */
	DIFFER_UNKNOWN_HOLD = 5,	/* an entitlement, or the rider's age, not known to the terminal */
	DIFFER_TRANSFER_UNMARKED = 6,	/* as a transfer from a ride that is not among ours */
	DIFFER_TRANSFER_NOT_GIVEN = 7,	/* as a first ride */
	DIFFER_UNDISCOUNTED = 8,	/* the list price */
	DIFFER_AS_ORDINARY = 9,		/* as an ordinary card, without class and product */
	DIFFER_REJECTED = 10,		/* the rules refuse the ride: taps compare only */
	DIFFER_OTHER = 11,
	DIFFER_HOLD_BACK = 12,		/* more was held at the tap-on than the ride costs; no terminal can give back */
	DIFFER_LATE_TAP = 13,		/* why a settled ride is rated anew: for policies only */
	DIFFER_RERATE = 14,
	DIFFER_LATE_HOLD = 15,
};
#define DIFFERENCE_COUNT 16
struct difference_info { const char *name, *zh, *en; };	/* rounding; sentences */
const struct difference_info *difference_info(enum difference_reason reason);

struct difference_ask {
	const struct tariff *t;		/* the rules the ride is rated by */
	const struct rider *rider;
	const struct rider_state *state;/* before the ride */
	const struct ride *ride;
	int64_t charged_fen;
	bool whole;			/* charged is the fare of the ride, not what is taken by this tap beside a hold */
	const struct tariff *terminal;	/* the pack the record names, where that is another one and known; NULL */
	bool terminal_unknown;		/* the record names a pack that is not known */
	const struct rider_state *assumed;	/* as if a ride had just been before it; NULL: not asked */
};
struct difference {
	enum difference_reason reason;
	uint16_t group;			/* of an unknown hold; 0: all of them, or age and home */
	uint8_t round_mode;		/* enum money_round, of a rounding */
	bool proven;			/* of old parameters: the pack the record names is known and gives the amount */
};
/* Rates at most 30 alternatives with the same rate(); no allocation. DIFFER_NONE: rated is what was charged. */
struct difference tariff_differ(const struct difference_ask *ask);

/* What becomes of an overcharge of this reason (fares.md R62); what was charged short is never chased. */
struct tariff_policy {
	bool absorb;			/* stays with the operator */
	int64_t refund_from_fen;	/* smaller amounts stay there too */
	uint16_t rule;			/* the entry of "differences" that says so; 0: none does */
};
struct tariff_policy tariff_policy(const struct tariff *t, enum difference_reason reason);

/*
 * What the counters of a rider stood at before and after a ride that rate() took from before to after: one entry each
 * quota, ladder and cap that is not zero on both sides, in the order of the pack, at most max. Returns how many.
 * limit: rides, units or fen; 0 where there is none (ladders). fen: the three are money.
 */
struct tariff_counter { uint16_t rule; bool fen; int64_t before, after, limit; };
size_t tariff_counters(const struct tariff *t, const struct rider *rider, const struct ride *ride, const struct rider_state *before,
		       const struct rider_state *after, struct tariff_counter *ret_counter, size_t max);

#endif
