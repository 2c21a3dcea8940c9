/*
 * tap - what the rest of the house asks of a tap record: its key, its rating view, the text forms of its
 * numbers, and the sentences of the folder's error codes.
 */
#include "validator/validator.h"

#include "keys/octets.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool tap_kind_is_ride(uint8_t kind) { return (kind >= TAP_PURCHASE && kind <= TAP_MANUAL) || kind == TAP_IDENTITY; }

bool tap_has_counter(const struct tap *tap) { return (tap->kind <= TAP_PRODUCT || tap->kind == TAP_BANK) && tap->card_counter != 0; }

void tap_purchase(const struct tap *tap, struct purchase *ret_purchase)
{
	struct purchase p = { .amount_fen = tap->amount_fen, .txn_type = (uint8_t)tap->txn_type,
			      .terminal_serial = tap->terminal_serial, .time = mac_time_of_ms(tap->time_ms),
			      .card_counter = (uint16_t)tap->card_counter };

	memcpy(p.terminal, tap->terminal, sizeof(p.terminal));
	memcpy(p.random, tap->random, sizeof(p.random));
	*ret_purchase = p;
}

/* FNV-1a of the number, never 0 but where there is none. */
uint32_t pan_hash(const uint8_t pan[10])
{
	static const uint8_t none[10];
	uint32_t h = 2166136261u;

	if (memcmp(pan, none, sizeof(none)) == 0)
		return 0;
	for (size_t i = 0; i < 10; i++)
		h = (h ^ pan[i]) * 16777619u;
	return h != 0 ? h : 1;
}

/* At the end of a ride: the stop is where it ended, stop_on where it began. */
static bool made_at_end(const struct tap *tap) { return tap->kind == TAP_ALIGHT || tap->start_ms != 0; }

static uint16_t stops_ridden(const struct tap *tap)
{
	uint32_t a = (uint32_t)tap->stop_on, b = (uint32_t)tap->stop;

	return !made_at_end(tap) || a == 0 || b == 0 ? 0 : (uint16_t)(a > b ? a - b : b - a);
}

void tap_ride_told(const struct tap *tap, struct ride *ride)
{
	bool end = made_at_end(tap);

	ride->list = money_of_fen(tap->list_fen);
	ride->stop_on = (uint16_t)(end ? tap->stop_on : tap->stop);
	ride->stop_off = (uint16_t)(end ? tap->stop : 0);
	ride->stops = stops_ridden(tap);
}

void tap_ride(const struct tap *tap, const struct tariff *t, struct ride *ret_ride)
{
	struct ride *r = ret_ride;

	*r = (struct ride){
		.time_ms = tap->time_ms, .medium = (enum ride_medium)tap->medium, .issuer = be32_get(tap->issuer),
		.event = tap->kind == TAP_BOARD ? RIDE_ON : tap->kind == TAP_ALIGHT ? RIDE_OFF : RIDE_SINGLE,
		.card_class = (uint8_t)tap->card_class, .card_subtype = (uint16_t)tap->card_subtype,
		.operator_id = tap->operator_id, .direction = (uint8_t)tap->direction, .distance_m = tap->distance_m,
		.card = pan_hash(tap->pan), .in_ms = tap->start_ms, .out_ms = tap->end_ms, .inside = (tap->flags & TAP_INSIDE) != 0,
	};
	tap_ride_told(tap, r);
	r->guest = tariff_guest_of(t, r->issuer);
	memcpy(r->line, tap->line, sizeof(r->line));
	memcpy(r->vehicle, tap->vehicle, sizeof(r->vehicle));
	memcpy(r->product, tap->series, sizeof(r->product));
}

void pan_digits(const uint8_t pan[10], char ret_text[21]) { hex_encode(pan, 10, ret_text); }

void pan_masked(const uint8_t pan[10], char ret_text[24])
{
	char digits[21];
	const char *p = digits;
	size_t n;

	pan_digits(pan, digits);
	while (*p == '0' && p[1] != '\0')
		p++;
	n = strlen(p);
	memcpy(ret_text, p, n + 1);
	for (size_t i = 6; i + 4 < n; i++)
		ret_text[i] = '*';
}

bool pan_parse(const char *digits, uint8_t ret_pan[10])
{
	size_t n = strlen(digits);
	char text[21];

	if (n < 1 || n > 20 || strspn(digits, "0123456789") != n)
		return false;
	memset(text, '0', 20);
	memcpy(text + 20 - n, digits, n + 1);
	return hex_decode(text, ret_pan, 10);
}

void tap_key(const struct tap *tap, uint8_t ret_key[TAP_KEY_BYTES])
{
	memcpy(ret_key, tap->terminal, 6);
	be32_put(ret_key + 6, tap->terminal_serial);
	be64_put(ret_key + 10, (uint64_t)tap->time_ms);
}

bool tap_code_key(const struct tap *tap, uint8_t ret_code[TAP_CODE_BYTES])
{
	uint8_t digest[DIGEST_BYTES];
	struct qr_code code;
	const char *reason;

	if (tap->qr.n == 0 || (tap->kind != TAP_QR && tap->kind != TAP_BANK_QR && tap->kind != TAP_IDENTITY))
		return false;
	ret_code[0] = (uint8_t)tap->kind;
	if (tap->kind == TAP_QR) {
		if (!qr_parse(tap->qr.p, tap->qr.n, &code, &reason))
			return false;
		qr_replay_key(&code, ret_code + 1);
		return true;
	}
	if (digest_sha256(tap->qr.p, tap->qr.n, digest) != 0)
		return false;
	memcpy(ret_code + 1, digest, QR_REPLAY_BYTES);
	return true;
}

static char *two_digits(char *p, unsigned v)
{
	p[0] = (char)('0' + v / 10);
	p[1] = (char)('0' + v % 10);
	return p + 2;
}

#define DAY_MS 86400000

/* A civil day's beginning and its eight digits. */
struct day_digits { int64_t from_ms; char text[8]; };

static void day_digits_of(int64_t ms, struct day_digits *ret)
{
	struct civil c = civil_of_ms(ms);
	unsigned year = (unsigned)c.year % 10000;

	ret->from_ms = (int64_t)day_of_ms(ms) * DAY_MS - CIVIL_OFFSET_MS;
	two_digits(two_digits(two_digits(two_digits(ret->text, year / 100), year % 100), c.month), c.day);
}

void tap_id_format(const uint8_t key[TAP_KEY_BYTES], char ret_text[TAP_ID_BYTES])
{
	static _Thread_local struct day_digits day = { .from_ms = INT64_MIN };	/* names are made day by day */
	char hex[2 * TAP_KEY_BYTES + 1], *p = ret_text + 30;
	int64_t ms = time_bounded((int64_t)be64_get(key + 10));
	uint32_t s, rest;

	if (ms < day.from_ms || ms >= day.from_ms + DAY_MS)
		day_digits_of(ms, &day);
	s = (uint32_t)(ms - day.from_ms) / 1000;
	rest = (uint32_t)(ms - day.from_ms) % 1000;
	hex_encode(key, 16, hex);
	memcpy(ret_text, hex, 12);
	ret_text[12] = '-';
	memcpy(ret_text + 13, hex + 12, 8);
	ret_text[21] = '-';
	memcpy(ret_text + 22, day.text, 8);
	p = two_digits(two_digits(two_digits(p, s / 3600), s / 60 % 60), s % 60);
	/* milliseconds that a second cannot say are appended, so that the id names one key */
	if (rest != 0) {
		*p++ = (char)('0' + rest / 100);
		p = two_digits(p, rest % 100);
	}
	*p = '\0';
}

bool tap_id_parse(const char *text, uint8_t ret_key[TAP_KEY_BYTES])
{
	char part[16];
	struct mac_time time;
	uint8_t key[TAP_KEY_BYTES];
	size_t n = strlen(text);
	unsigned extra = 0;
	int64_t ms;

	if ((n != 36 && n != 39) || text[12] != '-' || text[21] != '-')
		return false;
	memcpy(part, text, 12);
	part[12] = '\0';
	if (!hex_decode(part, key, 6))
		return false;
	memcpy(part, text + 13, 8);
	part[8] = '\0';
	if (!hex_decode(part, key + 6, 4))
		return false;
	memcpy(part, text + 22, 14);
	part[14] = '\0';
	if (!hex_decode(part, time.bcd, 7) || !mac_time_to_ms(&time, &ms))
		return false;
	if (n == 39 && (strspn(text + 36, "0123456789") != 3 || sscanf(text + 36, "%3u", &extra) != 1))
		return false;
	ms += extra;
	for (unsigned i = 0; i < 8; i++)
		key[10 + i] = (uint8_t)((uint64_t)ms >> (56 - 8 * i));
	memcpy(ret_key, key, sizeof(key));
	return true;
}

const char *tap_strerror(int code)
{
	switch (code) {
	case TAP_E_TRUNCATED: return "a length runs past the end";
	case TAP_E_SYNTAX: return "another msgpack type than the table asks for";
	case TAP_E_VERSION: return "record version not read here";
	case TAP_E_RANGE: return "a value outside its bounds";
	case TAP_E_TRAILING: return "bytes after the record";
	case TAP_E_DEPTH: return "nested too deep, or more elements than bytes";
	case TAP_E_COUNT: return "batch count differs from the taps in it";
	case TAP_E_TOTAL: return "batch amount total differs from its taps";
	case TAP_E_DIGEST: return "batch digest differs from its taps";
	case TAP_E_SERIALS: return "batch first or last serial differs from its taps";
	case TAP_E_SPACE: return "output buffer too small";
	case TAP_E_FRAME: return "impossible frame length or type";
	case TAP_E_SPOOL: return "spool damaged before its tail";
	default: return NULL;
	}
}
