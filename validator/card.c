/*
 * card - the files of a T-Union card as fields: 0x15 public information, 0x17 management, 0x18 purse log, 0x1E
 * transit log. Strict about BCD and dates; docs/card.md has the offsets.
 */
#include "validator/card_read.h"

#include <errno.h>
#include <string.h>

int card_parse_15(const uint8_t *p, size_t n, struct card_info *ret, const char **ret_reason)
{
	struct card_info c = *ret;

	if (n != 30)
		return fault(ret_reason, "30 bytes are needed");
	if (!bcd_valid(p, 4))
		return fault(ret_reason, "issuer is not BCD");
	if (!bcd_valid(p + 10, 10))
		return fault(ret_reason, "application serial number is not BCD");
	if (!day_of_bcd(p + 20, &c.start) || !day_of_bcd(p + 24, &c.expiry))
		return fault(ret_reason, "start or expiry is not a date");
	memcpy(c.issuer, p, 4);
	c.app_type = p[8];
	c.app_version = p[9];
	memcpy(c.pan, p + 10, 10);
	c.subtype = (uint16_t)be_read(p + 28, 2);
	*ret = c;
	return 0;
}

int card_parse_17(const uint8_t *p, size_t n, struct card_info *ret, const char **ret_reason)
{
	if (n < 11)
		return fault(ret_reason, "at least 11 bytes are needed");
	if (!bcd_valid(p, 8))
		return fault(ret_reason, "country, province or city is not BCD");
	ret->country = be_read(p, 4);
	ret->province = (uint16_t)be_read(p + 4, 2);
	ret->city = (uint16_t)be_read(p + 6, 2);
	ret->interop = (uint16_t)be_read(p + 8, 2);
	ret->card_class = p[10];
	ret->has_17 = true;
	return 0;
}

int card_parse_18(const uint8_t *p, size_t n, struct card_log *ret, const char **ret_reason)
{
	struct mac_time time;
	struct card_log c = { 0 };

	if (n != 23)
		return fault(ret_reason, "23 bytes are needed");
	if (octets_all(p, n, 0xFF) || octets_all(p, n, 0))
		return fault(ret_reason, "empty record");
	c.counter = (uint16_t)be_read(p, 2);
	c.overdraft_fen = be_read(p + 2, 3);
	c.amount_fen = be_read(p + 5, 4);
	c.type = p[9];
	memcpy(c.terminal, p + 10, 6);
	memcpy(time.bcd, p + 16, 7);
	if (c.amount_fen > 0x7FFFFFFF)	/* a record with it as the previous amount would be refused, and the ride with it */
		return fault(ret_reason, "the amount is none a purse can have moved");
	if (!mac_time_to_ms(&time, &c.time_ms))
		return fault(ret_reason, "date or time does not exist");
	*ret = c;
	return 0;
}

int card_parse_1e(const uint8_t *p, size_t n, struct card_transit *ret, const char **ret_reason)
{
	struct card_transit c = { 0 };
	struct mac_time time;

	if (n != 48)
		return fault(ret_reason, "48 bytes are needed");
	if (octets_all(p, n, 0xFF) || octets_all(p, n, 0))
		return fault(ret_reason, "empty record");
	c.type = p[0];
	memcpy(c.terminal, p + 1, 8);
	c.industry = p[9];
	memcpy(c.place, p + 10, 7);
	c.amount_fen = be_read(p + 17, 4);
	c.balance_fen = be_read(p + 21, 4);
	memcpy(time.bcd, p + 25, 7);
	if (!mac_time_to_ms(&time, &c.time_ms))
		return fault(ret_reason, "date or time does not exist");
	c.city = (uint16_t)be_read(p + 32, 2);
	memcpy(c.acquirer, p + 34, 8);
	*ret = c;
	return 0;
}
