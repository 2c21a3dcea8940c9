/*
 * tap_sane - whether a tap record that is well formed makes sense. Private to tap_codec.c, which names the field at fault, and tap_like.c,
 * which asks only whether there is one.
 */
#ifndef VALIDATOR_TAP_SANE_H
#define VALIDATOR_TAP_SANE_H

#include <assert.h>

#include "validator/validator.h"

#include "keys/octets.h"

#define TIME_MS_MIN 946684800000LL	/* 2000-01-01 */
#define TIME_MS_MAX 4102444800000LL	/* 2100-01-01 */

#define BALANCE_FEN_MAX	0x7fffffffLL	/* a purse answers 4 bytes, the top one is no money */

static inline bool balance_valid(int64_t fen) { return fen >= -BALANCE_FEN_MAX && fen <= BALANCE_FEN_MAX; }

/* As tap_kind_is_ride() has them; and those that are none. */
#define KINDS_RIDE (((2u << TAP_MANUAL) - (1u << TAP_PURCHASE)) | 1u << TAP_IDENTITY)
#define KINDS (KINDS_RIDE | 1u << TAP_LOCK | ((2u << TAP_LINE_ON) - (1u << TAP_SIGN_ON)))
static_assert(TAP_LINE_ON < 31, "a bit each");

static inline bool kind_is_of(uint32_t kind, uint32_t kinds) { return kind < 32 && (kinds >> kind & 1) != 0; }

/* What the types alone cannot say. NULL: sane; else the field at fault. */
static inline const char *tap_fault(const struct tap *t)
{
	if (!kind_is_of(t->kind, KINDS))
		return "kind";
	if (t->medium > MEDIUM_MANUAL || (t->medium == 0 && kind_is_of(t->kind, KINDS_RIDE)))
		return "medium";
	if (!bcd_valid(t->pan, sizeof(t->pan)))
		return "pan";
	if (!bcd_valid(t->issuer, sizeof(t->issuer)))
		return "issuer";
	if (!bcd_valid(t->terminal, sizeof(t->terminal)))
		return "terminal";
	if (!balance_valid(t->balance_before))
		return "balance_before";
	if (!balance_valid(t->balance_after))
		return "balance_after";
	if (t->time_ms < TIME_MS_MIN || t->time_ms >= TIME_MS_MAX)
		return "time_ms";
	if (t->start_ms != 0 && (t->start_ms > t->time_ms || t->start_ms < t->time_ms - TAP_RIDE_MS_MAX))
		return "start_ms";
	if (t->end_ms != 0 && (t->end_ms < t->time_ms || t->end_ms > t->time_ms + TAP_RIDE_MS_MAX))
		return "end_ms";
	return NULL;
}

#endif
