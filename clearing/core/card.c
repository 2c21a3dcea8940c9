/*
 * card - the life of one card number: issued, lost, found, replaced keeping the number, refunded, expired, prolonged. What
 * a tap's card stands at is the fold of the changes up to the tap's time, so a loss reported today leaves yesterday's taps.
 */
#include "clearing/core/core.h"

#define DAY_MS 86400000LL
#define COUNTS_A_DAY 50		/* boardings and alightings of one card in a day: far above any rider's */
#define COUNTER_RANGE 65536

void card_life_step(struct card_life *l, const struct card_event *e)
{
	switch (e->change) {
	case CARD_ISSUED:
		*l = (struct card_life){ .generation = (uint8_t)(l->generation + 1), .valid_to_ms = e->valid_to_ms };
		break;
	case CARD_REPLACED:		/* the same number, person and rights; another piece of plastic */
		*l = (struct card_life){ .generation = (uint8_t)(l->generation + 1), .valid_to_ms = e->valid_to_ms != INT64_MAX ? e->valid_to_ms : l->valid_to_ms,
					 .counted = e->counted, .counter = e->counter, .counter_from_ms = e->at_ms };
		break;
	case CARD_EXPIRED:
		l->valid_to_ms = e->at_ms;
		break;
	case CARD_PROLONGED:
		l->valid_to_ms = e->valid_to_ms;
		break;
	case CARD_LOST:
	case CARD_FOUND:
	case CARD_REFUNDED:
		break;
	}
	if (e->change != CARD_EXPIRED && e->change != CARD_PROLONGED) {
		l->last = e->change;
		l->since_ms = e->at_ms;
	}
}

/* The new card counts on from its first counter; what it cannot have reached by now is the old one's. */
static bool counter_is_old(const struct card_life *l, uint16_t counter, int64_t at_ms)
{
	int64_t reached = ((at_ms - l->counter_from_ms) / DAY_MS + 1) * COUNTS_A_DAY;

	return (uint16_t)(counter - l->counter) >= (reached < COUNTER_RANGE ? reached : COUNTER_RANGE);
}

enum card_standing card_stands(const struct card_life *l, const struct tap *tap)
{
	bool purse = tap->kind >= TAP_PURCHASE && tap->kind <= TAP_PRODUCT && tap->card_counter != 0;

	if (l->last == 0)
		return CARD_UNKNOWN;
	if (tap->time_ms >= l->valid_to_ms)
		return CARD_STANDS_EXPIRED;
	if (l->last == CARD_REFUNDED)
		return CARD_STANDS_REFUNDED;
	if (l->last == CARD_LOST)
		return CARD_STANDS_LOST;
	return purse && l->counted && counter_is_old(l, (uint16_t)tap->card_counter, tap->time_ms) ? CARD_STANDS_OLD : CARD_GOOD;
}

static const char *const change_names[] = { "", "issued", "lost", "found", "replaced", "refunded", "expired", "prolonged" };
static const char *const change_zh[] = { "", "发卡", "挂失", "解挂", "补卡(保号)", "退卡", "到期", "延期" };

const char *card_change_name(enum card_change c) { return c <= CARD_PROLONGED ? change_names[c] : ""; }
const char *card_change_zh(enum card_change c) { return c <= CARD_PROLONGED ? change_zh[c] : ""; }

const char *card_standing_name(enum card_standing s)
{
	switch (s) {
	case CARD_UNKNOWN: return "unknown";
	case CARD_GOOD: return "good";
	case CARD_STANDS_EXPIRED: return "expired";
	case CARD_STANDS_REFUNDED: return "refunded";
	case CARD_STANDS_LOST: return "lost";
	case CARD_STANDS_OLD: return "replaced";
	}
	return "?";
}

const char *card_standing_zh(enum card_standing s)
{
	switch (s) {
	case CARD_UNKNOWN: return "未登记";
	case CARD_GOOD: return "正常";
	case CARD_STANDS_EXPIRED: return "已过期";
	case CARD_STANDS_REFUNDED: return "已退卡";
	case CARD_STANDS_LOST: return "挂失中";
	case CARD_STANDS_OLD: return "已被补卡取代的旧卡";
	}
	return "?";
}
