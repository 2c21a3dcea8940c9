/*
 * card_more - what else of a card a transit house may see: the answer to SELECT (FCI), who the holder is in kind
 * (0x16, without the person), journeys in progress (0x1A), and the public part of the social security application.
 *
 * Cities differ: a version of one or two bytes, spare bytes after an object, records of other kinds. Those are
 * taken as they are; a date that does not exist or digits that are none are refused. docs/card.md has the offsets.
 */
#include "validator/card_read.h"

#include <string.h>

/* ---- FCI ------------------------------------------------------------------------------------------------- */

int card_parse_fci(const uint8_t *p, size_t n, struct card_fci *ret, const char **ret_reason)
{
	struct card_fci c = { 0 };
	struct tlv t;

	if (!tlv_sound(p, n))
		return fault(ret_reason, "an object runs past the end of the one around it");
	if (!tlv_find(p, n, 0x6F, &t))
		return fault(ret_reason, "no FCI template (6F)");
	p = t.p;
	n = t.n;
	if (!tlv_find(p, n, 0x84, &t) || t.n < 5 || t.n > sizeof(c.aid))
		return fault(ret_reason, "no application identifier (84) of 5 to 16 bytes");
	memcpy(c.aid, t.p, t.n);
	c.aid_bytes = (uint8_t)t.n;
	if (tlv_find(p, n, 0x9F08, &t)) {
		if (t.n < 1 || t.n > 2)
			return fault(ret_reason, "version (9F08) is not of one or two bytes");
		c.version = (uint16_t)be_read(t.p, t.n);
		c.has_version = true;
	}
	if (tlv_find(p, n, 0x9F0C, &t)) {
		c.issuer_data = t.p;
		c.issuer_data_bytes = (uint8_t)(t.n < 255 ? t.n : 255);
	}
	*ret = c;
	return 0;
}

/* ---- 0x16 -------------------------------------------------------------------------------------------------- */

int card_parse_16(const uint8_t *p, size_t n, struct card_holder *ret, const char **ret_reason)
{
	if (n != 55)
		return fault(ret_reason, "55 bytes are needed");
	ret->card_type = p[0];
	ret->employee = p[1];
	ret->document_type = p[54];
	ret->named = !octets_all(p + 2, 20, 0) && !octets_all(p + 2, 20, 0xFF) && !octets_all(p + 2, 20, ' ');
	ret->documented = !octets_all(p + 22, 32, 0) && !octets_all(p + 22, 32, 0xFF) && !octets_all(p + 22, 32, ' ');
	return 0;
}

/* ---- 0x1A ---------------------------------------------------------------------------------------------------- */

#define RECORD_BUS 0x2702
#define RECORD_METRO 0x2701

/* Seven bytes of BCD; all zero or all FF: never written. */
static bool time_read(const uint8_t *p, int64_t *ret_ms)
{
	struct mac_time t;

	*ret_ms = 0;
	if (octets_all(p, 7, 0) || octets_all(p, 7, 0xFF))
		return true;
	memcpy(t.bcd, p, 7);
	return mac_time_to_ms(&t, ret_ms);
}

/* One end of a journey: its fields stand at other places in the two kinds of record. */
static int bus_read(const uint8_t *p, struct card_journey *c, const char **ret_reason)
{
	c->on = (struct card_journey_end){ .city = (uint16_t)be_read(p + 15, 2), .operator_id = (uint16_t)be_read(p + 25, 2), .line = (uint16_t)be_read(p + 27, 2), .station = p[29] };
	c->off = (struct card_journey_end){ .city = (uint16_t)be_read(p + 58, 2), .operator_id = (uint16_t)be_read(p + 68, 2), .line = (uint16_t)be_read(p + 70, 2), .station = p[72] };
	memcpy(c->on.institution, p + 17, 8);
	memcpy(c->on.vehicle, p + 30, 8);
	memcpy(c->on.terminal, p + 38, 8);
	memcpy(c->off.institution, p + 60, 8);
	memcpy(c->off.vehicle, p + 73, 8);
	memcpy(c->off.terminal, p + 81, 8);
	c->held_fen = be_read(p + 53, 4);
	c->direction = p[57];
	c->amount_fen = be_read(p + 96, 4);
	c->mileage = (uint16_t)be_read(p + 100, 2);
	if (!time_read(p + 46, &c->on.time_ms) || !time_read(p + 89, &c->off.time_ms))
		return fault(ret_reason, "boarding or alighting time does not exist");
	return 0;
}

static int metro_read(const uint8_t *p, struct card_journey *c, const char **ret_reason)
{
	c->on = (struct card_journey_end){ .city = (uint16_t)be_read(p + 15, 2), .line = p[85] };
	c->off = (struct card_journey_end){ .city = (uint16_t)be_read(p + 17, 2), .line = p[86] };
	memcpy(c->on.institution, p + 19, 8);
	memcpy(c->off.institution, p + 27, 8);
	memcpy(c->on.place, p + 35, 8);
	memcpy(c->off.place, p + 43, 8);
	memcpy(c->on.terminal, p + 51, 8);
	memcpy(c->off.terminal, p + 59, 8);
	c->held_fen = be_read(p + 81, 4);
	c->entry_fen = be_read(p + 87, 4);
	c->entry_balance_fen = be_read(p + 91, 4);
	c->amount_fen = be_read(p + 95, 4);
	if (!time_read(p + 67, &c->on.time_ms) || !time_read(p + 74, &c->off.time_ms))
		return fault(ret_reason, "entry or exit time does not exist");
	return 0;
}

int card_parse_1a(const uint8_t *p, size_t n, struct card_journey *ret, const char **ret_reason)
{
	struct card_journey c = { 0 };
	int code = 0;

	if (n != 128)
		return fault(ret_reason, "128 bytes are needed");
	if (octets_all(p, n, 0xFF) || octets_all(p, n, 0))
		return fault(ret_reason, "empty record");
	c.record_id = (uint16_t)be_read(p, 2);
	c.valid = p[3] == 1;
	c.application = p[4];
	c.locked = p[5] != 0;
	memcpy(c.serial, p + 6, 8);
	c.state = p[14];
	if (c.record_id == RECORD_BUS)
		code = bus_read(p, &c, ret_reason);
	else if (c.record_id == RECORD_METRO)
		code = metro_read(p, &c, ret_reason);
	if (code == 0)
		*ret = c;
	return code;
}

/* ---- social security application ------------------------------------------------------------------------------ */

static void text_copy(const struct tlv *t, char *ret, size_t space)
{
	size_t n = t->n < space - 1 ? t->n : space - 1;

	for (size_t i = 0; i < n; i++)
		ret[i] = t->p[i] >= ' ' && t->p[i] < 0x7F ? (char)t->p[i] : '?';
	ret[n] = '\0';
}

/* Record number of file EF05; each record is one object, whatever its tag. */
int card_parse_ssse(unsigned record, const uint8_t *p, size_t n, struct card_ssse *ret, const char **ret_reason)
{
	struct tlv_reader r = { p, p + n };
	struct tlv t;

	if (tlv_next(&r, &t) != 1)
		return fault(ret_reason, "not one object of tag, length and value");
	switch (record) {
	case 1:
		if (t.n != sizeof(ret->identification))
			return fault(ret_reason, "the identification code has 16 bytes");
		memcpy(ret->identification, t.p, t.n);
		ret->has_identification = true;
		return 0;
	case 2: text_copy(&t, ret->kind, sizeof(ret->kind)); return 0;
	case 3: text_copy(&t, ret->version, sizeof(ret->version)); return 0;
	case 4:
		if (t.n > sizeof(ret->institution))
			return fault(ret_reason, "the institution has at most 12 bytes");
		memcpy(ret->institution, t.p, t.n);
		ret->institution_bytes = (uint8_t)t.n;
		return 0;
	case 5: return t.n == 4 && day_of_bcd(t.p, &ret->issued) ? 0 : fault(ret_reason, "issue date is not a date");
	case 6: return t.n == 4 && day_of_bcd(t.p, &ret->expiry) ? 0 : fault(ret_reason, "expiry is not a date");
	default: return fault(ret_reason, "records 1 to 6 are public; others are the person's and not read here");
	}
}
