/*
 * judge - the verdict about one tap, everything except its fare. The order of the questions is the order of
 * precedence in core.h: the first that applies is the answer. docs/verdicts.md says where each comes from.
 */
#include "clearing/core/core.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

const struct judge_limits judge_limits_default = {
	.future_ms_max = 5 * 60 * 1000,	/* reliability B2: more is a wrong clock, not a delay */
	.late_days = 10,		/* UnionPay's rule for offline records: upload within 10 calendar days */
	.too_old_days = 30,		/* default of city systems (chk.time.maxbeforeday) */
	.amount_fen_max = 50000,	/* 500.00, purse limit of city systems */
	.balance_fen_max = 100000,	/* 1,000.00, purse limit of the T-Union card */
};

static bool is_purse(const struct tap *tap) { return tap->kind >= TAP_PURCHASE && tap->kind <= TAP_PRODUCT; }

static bool amounts_possible(const struct tap *tap, const struct judge_limits *limits)
{
	if (tap->amount_fen > limits->amount_fen_max || tap->list_fen > limits->amount_fen_max)
		return false;
	if (!is_purse(tap))
		return true;
	if (tap->balance_before > limits->balance_fen_max || tap->balance_after > limits->balance_fen_max)
		return false;
	/* a grey record copies no balance after; every other purse record keeps its own chain */
	return tap->balance_before - (int64_t)tap->amount_fen == tap->balance_after;
}

static enum verdict judge_seen(enum seen_before seen)
{
	switch (seen) {
	case SEEN_SAME: return VERDICT_DUPLICATE;
	case SEEN_OTHER: return VERDICT_CONFLICT;
	case SEEN_COUNTER: return VERDICT_COUNTER_REPEATED;
	case SEEN_GREY_RECOVERED: return VERDICT_GREY_SUPERSEDED;
	case SEEN_CODE: return VERDICT_CODE_REPEATED;
	case SEEN_NO: break;
	}
	return VERDICT_ACCEPTED;
}

static enum verdict judge_age(const struct judge_input *in)
{
	if (in->future)
		return VERDICT_FUTURE;
	return in->tap->time_ms < service_day_ms((int64_t)in->open_day - in->limits->too_old_days, in->cut_s) ? VERDICT_TOO_OLD : VERDICT_ACCEPTED;
}

static bool needs_issuer(const struct tap *tap)
{
	return tap->kind != TAP_BANK && tap->kind != TAP_BANK_QR && tap->kind != TAP_MANUAL && tap->kind != TAP_IDENTITY;
}

static bool terminal_matches(const struct judge_input *in)
{
	return strcmp(in->terminal->device, in->device) == 0 && memcmp(in->terminal->psam, in->tap->psam, sizeof(in->tap->psam)) == 0;
}

/* Money only for what was verified or carries no code. A check that is added has to say here which it is. */
static bool check_settles(enum key_check check)
{
	switch (check) {
	case KEY_CHECK_NONE: case KEY_CHECK_GOOD: case KEY_CHECK_DEVICE: return true;
	case KEY_CHECK_BAD: case KEY_CHECK_GREY: case KEY_CHECK_FOREIGN: case KEY_CHECK_NO_KEY: case KEY_CHECK_UNAVAILABLE: case KEY_CHECK_DISTRUSTED: break;
	}
	return false;
}

static bool card_stopped(enum card_standing s)
{
	switch (s) {
	case CARD_STANDS_REFUNDED: case CARD_STANDS_LOST: case CARD_STANDS_OLD: return true;
	case CARD_UNKNOWN: case CARD_GOOD: case CARD_STANDS_EXPIRED: break;
	}
	return false;
}

enum verdict judge(const struct judge_input *in)
{
	const struct tap *tap = in->tap;
	enum verdict v;

	assert(in->limits != NULL);
	if (tap == NULL)
		return VERDICT_MALFORMED;
	if (in->terminal == NULL)
		return VERDICT_TERMINAL_UNKNOWN;
	if (!terminal_matches(in))
		return VERDICT_TERMINAL_MISMATCH;
	if (!tap_kind_is_ride((uint8_t)tap->kind))
		return in->seen == SEEN_SAME ? VERDICT_DUPLICATE : VERDICT_EVENT;
	if ((tap->flags & TAP_TEST) != 0 || tap->card_class == 4)
		return VERDICT_TEST;
	if (in->check == KEY_CHECK_BAD)
		return VERDICT_BAD_MAC;
	if (in->check == KEY_CHECK_UNAVAILABLE)
		return VERDICT_PENDING_TAC;	/* may be a forgery: says nothing about its business key, and posts nothing */
	if (in->check == KEY_CHECK_GREY)
		return in->seen == SEEN_NO ? VERDICT_GREY : in->seen == SEEN_GREY_RECOVERED ? VERDICT_GREY_SUPERSEDED : VERDICT_DUPLICATE;
	v = judge_seen(in->seen);
	if (v != VERDICT_ACCEPTED)
		return v;
	if (needs_issuer(tap) && in->issuer == NULL)
		return VERDICT_ISSUER_UNKNOWN;
	if (in->card == CARD_STANDS_EXPIRED)
		return VERDICT_CARD_EXPIRED;
	v = judge_age(in);
	if (v != VERDICT_ACCEPTED)
		return v;
	if (!amounts_possible(tap, in->limits))
		return VERDICT_AMOUNT;
	if (in->blacklisted || card_stopped(in->card))
		return VERDICT_BLACKLISTED;
	if (in->refused)
		return VERDICT_PLATFORM_REFUSED;
	return judge_released(in->check);
}

enum verdict judge_released(enum key_check check) { return check_settles(check) ? VERDICT_ACCEPTED : VERDICT_PENDING; }

/* A device can make each of these by what it writes: no code, its own word, a foreign issuer, a key that is not there.
 * That our key device is out, or a key is distrusted, it cannot; a grey record is no money. */
bool check_unproven(enum key_check check)
{
	switch (check) {
	case KEY_CHECK_NONE: case KEY_CHECK_DEVICE: case KEY_CHECK_FOREIGN: case KEY_CHECK_NO_KEY: return true;
	case KEY_CHECK_GOOD: case KEY_CHECK_BAD: case KEY_CHECK_GREY: case KEY_CHECK_UNAVAILABLE: case KEY_CHECK_DISTRUSTED: break;
	}
	return false;
}

enum scheme scheme_of_tap(const struct tap *tap, bool issuer_ours)
{
	if (tap->kind == TAP_BANK)
		return SCHEME_BANK;
	if (tap->kind == TAP_BANK_QR)
		return SCHEME_RIDE_CODE;
	if (tap->kind == TAP_IDENTITY)
		return SCHEME_IDENTITY;
	if (tap->kind == TAP_MANUAL)
		return SCHEME_NONE;
	return issuer_ours ? SCHEME_PURSE : SCHEME_TUNION;
}

const char *scheme_name(enum scheme s)
{
	switch (s) {
	case SCHEME_PURSE: return "purse";
	case SCHEME_TUNION: return "tunion";
	case SCHEME_BANK: return "bank";
	case SCHEME_NONE: return "none";
	case SCHEME_RIDE_CODE: return "ride-code";
	case SCHEME_IDENTITY: return "identity";
	}
	return "?";
}
