/*
 * core - the decisions of the clearing house, and nothing else.
 *
 * No I/O, no clock, no allocation, no failure: values in, values out. Everything here could run in a
 * simulator unchanged. tests/layers.sh refuses <stdio.h>, <time.h>, <sys/...>, <lmdb.h>, <event2/...>,
 * <openssl/...>, <curl/...> and malloc in this folder.
 */
#ifndef CLEARING_CORE_H
#define CLEARING_CORE_H

#include "keys/keys.h"
#include "tariffs/tariffs.h"
#include "validator/validator.h"

/* ---- verdict ------------------------------------------------------------------------------ */

/*
 * Listed in order of precedence: the first that applies is the answer. Numbers are on disk and on the
 * wire and never change. Codes in comments: T-Union error families as restated in docs/verdicts.md.
 */
enum verdict {
	VERDICT_ACCEPTED = 0,		/* becomes money on its day (000000/FF) */
	VERDICT_MALFORMED = 1,		/* the bytes are not a tap record (F4) */
	VERDICT_TERMINAL_UNKNOWN = 2,	/* terminal not in the register, or not valid then (2001) */
	VERDICT_TERMINAL_MISMATCH = 3,	/* terminal belongs to another device or PSAM (43) */
	VERDICT_TEST = 4,		/* test card or test flag: totalled apart (2003) */
	VERDICT_BAD_MAC = 5,		/* TAC or QR signature wrong (04) */
	VERDICT_GREY = 6,		/* TAC all F: waits for its recovery (2002) */
	VERDICT_DUPLICATE = 7,		/* same business key, same content (02) */
	VERDICT_CONFLICT = 8,		/* same business key, other content: suspicious */
	VERDICT_COUNTER_REPEATED = 9,	/* card and card counter seen with another TAC: suspicious, clone */
	VERDICT_ISSUER_UNKNOWN = 10,	/* issuer or IIN not in the white list (06/10/13) */
	VERDICT_CARD_EXPIRED = 11,	/* by the card register (F6) */
	VERDICT_FUTURE = 12,		/* more than 5 min ahead of our clock at arrival (75) */
	VERDICT_TOO_OLD = 13,		/* beyond the hard limit (05) */
	VERDICT_LATE = 14,		/* of old stores: beyond the late window, in suspense (05); such taps are rated alone now */
	VERDICT_AMOUNT = 15,		/* amount, balance or their chain impossible (26) */
	VERDICT_BLACKLISTED = 16,	/* on the black list, lost, refunded or replaced at tap time (09/47) */
	VERDICT_NO_TARIFF = 17,		/* no fare rule: line unknown or no price (11) */
	VERDICT_REPEAT_TAP = 18,	/* refused by the tariff's lock (repeat tap of a concession) */
	VERDICT_PENDING = 19,		/* another city's card, or key missing: money when its answer comes (F0/FA) */
	VERDICT_EVENT = 20,		/* sign-on record: kept, no money */
	VERDICT_GREY_SUPERSEDED = 21,	/* grey, and its recovery is here */
	VERDICT_QUARANTINED = 22,	/* beyond its device's cap on value no key has proven: set aside until a person releases it */
	VERDICT_CODE_REPEATED = 23,	/* the code rode before, here or at another gate: suspicious */
	VERDICT_PENDING_TAC = 25,	/* the key device did not answer: posts nothing until it was asked again (FA) */
	VERDICT_PLATFORM_REFUSED = 26,	/* its platform said no before the day was closed */
};
#define VERDICT_COUNT 27
struct verdict_info {
	const char *name;		/* accepted, bad-mac ... */
	const char *zh;			/* sentence for people */
	const char *en;
	const char *code;		/* six-digit interface code, "000000" */
	bool money;			/* becomes or may become money */
	bool resend_helps;		/* a resend could change it */
};
const struct verdict_info *verdict_info(enum verdict v);	/* name "unassigned" for a number below VERDICT_COUNT that none has */

/* ---- the life of a card --------------------------------------------------------------------- */

/* What happened to a card number, as the issuer reports it (docs/card.md). Numbers are on disk. */
enum card_change { CARD_ISSUED = 1, CARD_LOST = 2, CARD_FOUND = 3, CARD_REPLACED = 4, CARD_REFUNDED = 5, CARD_EXPIRED = 6, CARD_PROLONGED = 7 };
/* valid_to: first moment no longer good, INT64_MAX none. counted: replaced, and the new card's first counter is told. */
struct card_event { int64_t at_ms, valid_to_ms; enum card_change change; bool counted; uint16_t counter; };
/* After the changes so far, in order of time, then of arrival; all zero: nothing is known. A generation is one physical card. */
struct card_life { enum card_change last; uint8_t generation; int64_t since_ms, valid_to_ms; bool counted; uint16_t counter; int64_t counter_from_ms; };
void card_life_step(struct card_life *l, const struct card_event *e);
/* In order of precedence. OLD: the piece that a replacement took out of use, known by its counter. */
enum card_standing { CARD_UNKNOWN = 0, CARD_GOOD, CARD_STANDS_EXPIRED, CARD_STANDS_REFUNDED, CARD_STANDS_LOST, CARD_STANDS_OLD };
enum card_standing card_stands(const struct card_life *l, const struct tap *tap);
const char *card_change_name(enum card_change c);	/* issued, lost ... as in cards.csv */
const char *card_change_zh(enum card_change c);
const char *card_standing_name(enum card_standing s);
const char *card_standing_zh(enum card_standing s);

/* Settings that judge and clear share; defaults in verdict.c, origin of each number beside it. */
struct judge_limits {
	int64_t future_ms_max;		/* 5 min */
	int32_t late_days, too_old_days;/* 10, 30: the pack in force at tap time may say others */
	uint32_t amount_fen_max;	/* 50000 */
	int64_t balance_fen_max;	/* 100000 */
};
extern const struct judge_limits judge_limits_default;

/* What the shell looked up about one tap. Pointers are NULL when nothing was found. */
struct terminal_row { uint8_t terminal[6]; uint8_t psam[6]; char device[DEVICE_BYTES_MAX + 1]; uint32_t operator_id;
	int64_t valid_from_ms, valid_to_ms; };
struct issuer_row { uint32_t issuer; bool ours; int64_t valid_from_ms, valid_to_ms; };
enum seen_before { SEEN_NO = 0, SEEN_SAME, SEEN_OTHER, SEEN_COUNTER, SEEN_GREY_RECOVERED, SEEN_CODE };
struct judge_input {
	const struct tap *tap;		/* NULL: did not decode */
	enum key_check check;
	const char *device;		/* device whose certificate sent it */
	const struct terminal_row *terminal;
	const struct issuer_row *issuer;
	enum seen_before seen;
	bool blacklisted;		/* by the list in force at tap time */
	enum card_standing card;	/* at tap time */
	bool future;			/* stamped at arrival: recorded in the inbox event */
	bool refused;			/* its platform answered no */
	int32_t open_day;		/* settlement day being filled */
	int32_t cut_s;			/* service day starts this many seconds after midnight */
	const struct judge_limits *limits;
};
/* Everything except the fare. ACCEPTED or PENDING means: go on to rate it. */
enum verdict judge(const struct judge_input *in);
/* What a record set aside becomes when a person releases it; all else was answered on its own day. */
enum verdict judge_released(enum key_check check);
/* No key has vouched for such a record and none of ours will without a person: its value counts for the cap of the
 * device that brought it. docs/devices.md says why each. */
bool check_unproven(enum key_check check);

/* ---- accounts and postings ----------------------------------------------------------------- */

/* Chart of accounts, docs/ledger.md. An account is class * 1000000 + party (operator, treasury, bank...). */
enum account_class {			/* on disk */
	ACCOUNT_PURSE = 1,		/* asset: own issuer's purse pool owes us what cards were debited */
	ACCOUNT_TUNION = 2,		/* asset: T-Union centre owes us for other cities' cards */
	ACCOUNT_BANK = 3,		/* asset: card bank owes us what it collects */
	ACCOUNT_PENDING = 4,		/* asset: waiting for somebody's verdict */
	ACCOUNT_TREASURY = 5,		/* asset: treasury owes the subsidy */
	ACCOUNT_OPERATOR = 6,		/* liability: we owe the operator */
	ACCOUNT_OPERATOR_PENDING = 7,	/* liability: owed once the answer comes */
	ACCOUNT_RIDER_REFUND = 8,	/* liability: charged more than rated */
	ACCOUNT_FEE = 9,		/* liability: fee of the T-Union centre or bank */
	ACCOUNT_CASH = 10,		/* asset: booked at the bank */
	ACCOUNT_CODE = 11,		/* asset: a code platform owes us what it debits; party: scheme, 100 + scheme: arrears */
};
typedef uint32_t account_t;
#define ACCOUNT(class, party) ((account_t)(class) * 1000000u + (account_t)(party))
#define ACCOUNT_CLASS(a) ((a) / 1000000u)
#define ACCOUNT_PARTY(a) ((a) % 1000000u)
const char *account_class_name(unsigned account_class);	/* Chinese */

enum posting_reason {			/* on disk */
	POST_FARE = 1,			/* debited from the card, up to the rated fare */
	POST_SUBSIDY = 2,
	POST_OVERCHARGE = 3,
	POST_PENDING = 4,		/* as POST_FARE, awaiting an answer */
	POST_CONFIRMED = 5,		/* pending becomes firm */
	POST_REFUSED = 6,		/* pending reversed */
	POST_FEE = 7,
	POST_COLLECTED = 8,		/* bank or centre paid */
	POST_RETURNED = 9,		/* bank could not collect */
	POST_ADJUST_FARE = 10,		/* a settled ride refused now, or the other way: its charge moves */
	POST_ADJUST_SUBSIDY = 11,	/* a treasury's part of a settled ride became another */
	POST_ADJUST_REFUND = 12,	/* what the rider is owed of a settled ride became another */
	POST_HOLD_BACK = 13,		/* a hold that was more than the fare: the operator owes the rider the rest */
	POST_ARREARS_PAID = 16,		/* a debit the bank had refused was paid otherwise */
	POST_RISK = 27,			/* lost with a card's first rides: from arrears to who bears it */
	POST_KEPT = 18,			/* charged beyond what is due, left with the operator by the pack's policy */
};
/* One leg pair: debit account, credit account, amount > 0. */
struct posting { account_t debit, credit; struct money amount; uint8_t reason; uint16_t rule; };
#define POSTINGS_PER_TAP_MAX 8
enum scheme { SCHEME_PURSE = 1, SCHEME_TUNION = 2, SCHEME_BANK = 3, SCHEME_NONE = 4, SCHEME_RIDE_CODE = 5, SCHEME_IDENTITY = 6 };
#define SCHEME_COUNT 7
enum scheme scheme_of_tap(const struct tap *tap, bool issuer_ours);
const char *scheme_name(enum scheme s);

/* Whether the charged amount differs from the rated one; why, is enum difference_reason. */
enum fare_difference { DIFF_NONE = 0, DIFF_OVERCHARGE = 1, DIFF_UNDERCHARGE = 2 };
struct priced {				/* what became of one accepted or pending tap */
	struct money published, charged, rated, absorbed, overcharge, undercharge;
	struct money hold;		/* taken at a tap-on for the ride to come; negative: of one taken before, at its end */
	enum fare_difference difference;
	uint8_t reason;			/* enum difference_reason; 0 where there is none, or an old store did not say */
	struct money kept;		/* of the overcharge: stays with the operator */
	uint8_t posting_count;
	struct posting posting[POSTINGS_PER_TAP_MAX];
};
/*
 * Fare -> balanced postings. charged is what the record debited, due = rated + hold what it should have. The
 * operator gets min(charged, due) plus the subsidies; what was charged beyond is owed to the rider, or stays with the
 * operator where the policy of its reason says so (fares R62); what was charged short is the operator's (listed, not
 * chased). A hold that exceeds the fare at the tap-off makes due negative: the operator owes the rider that too,
 * whatever the policy. Pending taps post to the pending accounts, subsidies included. policy NULL: all is owed.
 */
struct charge_policy { uint8_t reason; bool absorb; int64_t refund_from_fen; };	/* enum difference_reason | as struct tariff_policy */
void post_fare(const struct fare *fare, const struct tap *tap, enum scheme scheme, bool pending,
	       uint32_t operator_id, const struct charge_policy *policy, struct priced *ret_priced);

/* What was posted as pending becomes firm (good) or goes back, once somebody has decided; how many postings. */
#define RESOLVE_POSTINGS_MAX (2 * POSTINGS_PER_TAP_MAX)
uint8_t post_resolve(const struct priced *p, enum scheme scheme, bool good, struct posting ret_posting[RESOLVE_POSTINGS_MAX]);

/*
 * A settled ride that is rated anew: the postings that lead from what was booked to what should have been. NULL
 * fare: refused, so nothing of it is due. What the card was charged stays a fact; a lower fare is owed to the rider
 * by the operator unless the policy keeps it there (fares R62), a higher one is never chased; but of a bank card, which paid nothing
 * at the kerb, up to what its rider was shown. Then refund_fen falls below 0: debited further.
 */
#define ADJUST_POSTINGS_MAX (4 + 2 * FARE_FUNDERS_MAX)
struct adjust_policy { bool absorb; int64_t refund_from_fen; };	/* keep what the rider is owed | smaller amounts are kept */
struct adjust_input { const struct fare *before, *after; int64_t charged_fen, refund_fen, kept_fen, shown_fen; enum scheme scheme; uint32_t operator_id;
	struct adjust_policy policy; };	/* refund_fen: owed to the rider as booked so far; kept_fen: left with the operator when the ride was settled, and for good; shown_fen: the most that may be
				 * debited, 0: nothing further */
uint8_t post_adjust(const struct adjust_input *in, struct posting ret_posting[ADJUST_POSTINGS_MAX], int64_t *ret_refund_fen);
/* What a bank has yet to collect by such postings, or to give back (below 0). */
int64_t adjust_collect_fen(const struct posting *p, uint8_t count, enum scheme scheme);
account_t receivable_of(enum scheme scheme);	/* who owes us what cards of a scheme were debited */

/* ---- settlement day ------------------------------------------------------------------------- */

enum day_state { DAY_OPEN = 0, DAY_CUT, DAY_CLEARED, DAY_BUILT, DAY_APPROVED, DAY_SENT, DAY_ACKED, DAY_RECONCILED };
const char *day_state_name(enum day_state s);
/* Compare-and-set rule: may the day go from -> to. */
bool day_may_move(enum day_state from, enum day_state to);

#endif
