/* card_read - what the readers of card files share. Private to validator/card*.c. */
#ifndef VALIDATOR_CARD_READ_H
#define VALIDATOR_CARD_READ_H

#include "keys/octets.h"
#include "validator/validator.h"

static inline int fault(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return TAP_E_RANGE;
}

/* YYYYMMDD in BCD; false: no such day. */
static inline bool day_of_bcd(const uint8_t p[4], int32_t *ret)
{
	struct mac_time t = { { p[0], p[1], p[2], p[3], 0, 0, 0 } };
	int64_t ms;

	if (!mac_time_to_ms(&t, &ms))
		return false;
	*ret = day_of_ms(ms);
	return true;
}

#endif
