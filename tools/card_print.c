/*
 * card_print - each file of a T-Union card as JSON fields with names. A part that cannot be read is named with its
 * reason; the others are printed all the same. Nothing of the person is printed, whatever the card holds.
 */
#include "tools/card.h"

#include <string.h>

static void fault(struct parsing *p, const char *file, size_t index, const char *reason)
{
	if (p->faults == CARD_FAULTS_MAX)
		return;
	p->file[p->faults] = file;
	p->index[p->faults] = index;
	p->reason[p->faults++] = reason;
}

/* Hex text to bytes; -1 when it is none. */
static int bytes_of(const json_t *v, uint8_t *ret, size_t space)
{
	const char *text = json_string_value(v);
	size_t n = text != NULL ? strlen(text) / 2 : 0;

	return text != NULL && n <= space && hex_decode(text, ret, n) ? (int)n : -1;
}

static void hex_key(struct jsonw *j, const char *key, const uint8_t *p, size_t n)
{
	char text[2 * 32 + 1];

	hex_encode(p, n, text);
	jsonw_kstr(j, key, text);
}

static void time_key(struct jsonw *j, const char *key, int64_t ms)
{
	char text[32];

	time_format(ms, text);
	jsonw_kstr(j, key, text);
}

/* Applications a transit reader meets; instance identifiers are longer and begin with these. */
static const char *aid_name(const uint8_t *aid, size_t n)
{
	static const struct { uint8_t bytes[8]; const char *name; } known[] = {
		{ { 0xA0, 0, 0, 6, 0x32, 1, 1, 5 }, "t-union-purse" }, { { 0xA0, 0, 0, 6, 0x32, 1, 1, 6 }, "t-union-cash" },
		{ { 0xA0, 0, 0, 0, 3, 0x86, 0x98, 7 }, "city-union" }, { { 's', 'x', '1', '.', 's', 'h', '.', 0xC9 }, "social-security" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (n >= 8 && memcmp(aid, known[i].bytes, 8) == 0)
			return known[i].name;
	return "other";
}

void card_print_info(struct parsing *p, const json_t *root)
{
	static const char *const classes[] = { "unknown", "ordinary", "student", "elderly", "test", "soldier" };
	struct card_info c = { 0 };
	const char *reason;
	uint8_t bytes[128];
	char text[24];
	int n = bytes_of(json_object_get(root, "15"), bytes, sizeof(bytes));

	if (json_object_get(root, "15") != NULL && (n < 0 || card_parse_15(bytes, (size_t)n, &c, &reason) != 0)) {
		fault(p, "15", 0, n < 0 ? "not hex" : reason);
	} else if (n >= 0) {
		hex_key(p->j, "issuer", c.issuer, 4);
		jsonw_kint(p->j, "application_type", c.app_type);
		jsonw_kint(p->j, "application_version", c.app_version);
		hex_encode(c.pan, 10, text);
		jsonw_kstr(p->j, "pan", text + (text[0] == '0'));
		day_format(c.start, text);
		jsonw_kstr(p->j, "start", text);
		day_format(c.expiry, text);
		jsonw_kstr(p->j, "expiry", text);
		hex_key(p->j, "subtype", (uint8_t[]){ (uint8_t)(c.subtype >> 8), (uint8_t)c.subtype }, 2);
	}
	n = bytes_of(json_object_get(root, "17"), bytes, sizeof(bytes));
	if (json_object_get(root, "17") != NULL && (n < 0 || card_parse_17(bytes, (size_t)n, &c, &reason) != 0)) {
		fault(p, "17", 0, n < 0 ? "not hex" : reason);
	} else if (n >= 0) {
		snprintf(text, sizeof(text), "%08X", c.country);
		jsonw_kstr(p->j, "country", text);
		snprintf(text, sizeof(text), "%04X", c.province);
		jsonw_kstr(p->j, "province", text);
		snprintf(text, sizeof(text), "%04X", c.city);
		jsonw_kstr(p->j, "city", text);
		jsonw_kbool(p->j, "interoperable", c.interop == 1);
		jsonw_kint(p->j, "card_class", c.card_class);
		jsonw_kstr(p->j, "card_class_name", c.card_class < 6 ? classes[c.card_class] : "unknown");
	}
}

static const char *purse_type(uint8_t type)
{
	switch (type) {
	case 0x01: return "ed-load";
	case 0x02: return "load";
	case 0x05: return "ed-purchase";
	case 0x06: return "purchase";
	case 0x09: return "composite-purchase";
	default: return "other";
	}
}

bool card_print_18(struct parsing *p, const json_t *v, size_t i)
{
	struct card_log c;
	const char *reason;
	uint8_t bytes[64];
	int n = bytes_of(v, bytes, sizeof(bytes));

	if (n < 0 || card_parse_18(bytes, (size_t)n, &c, &reason) != 0) {
		fault(p, "18", i, n < 0 ? "not hex" : reason);
		return false;
	}
	jsonw_object(p->j);
	jsonw_kint(p->j, "counter", c.counter);
	jsonw_kint(p->j, "overdraft_fen", c.overdraft_fen);
	jsonw_kint(p->j, "amount_fen", c.amount_fen);
	jsonw_kint(p->j, "type", c.type);
	jsonw_kstr(p->j, "type_name", purse_type(c.type));
	hex_key(p->j, "terminal", c.terminal, 6);
	time_key(p->j, "time", c.time_ms);
	jsonw_object_end(p->j);
	return true;
}

bool card_print_1e(struct parsing *p, const json_t *v, size_t i)
{
	static const char *const types[] = { "initial", "ec-board", "ec-alight", "ep-board", "ep-alight", "ec-single", "ep-single", "ec-make-up", "ep-make-up", "ec-load", "ep-load" };
	static const char *const industries[] = { "", "metro", "bus", "water-bus", "taxi", "rental-car", "public-bike", "parking", "coach", "ferry", "intercity-rail", "aviation",
		"expressway", "", "suburban-rail" };
	struct card_transit c;
	const char *reason;
	uint8_t bytes[64];
	char city[8];
	int n = bytes_of(v, bytes, sizeof(bytes));

	if (n < 0 || card_parse_1e(bytes, (size_t)n, &c, &reason) != 0) {
		fault(p, "1E", i, n < 0 ? "not hex" : reason);
		return false;
	}
	snprintf(city, sizeof(city), "%04X", c.city);
	jsonw_object(p->j);
	jsonw_kint(p->j, "type", c.type);
	jsonw_kstr(p->j, "type_name", c.type < 11 ? types[c.type] : "other");
	hex_key(p->j, "terminal", c.terminal, 8);
	jsonw_kint(p->j, "industry", c.industry);
	jsonw_kstr(p->j, "industry_name", c.industry < 15 ? industries[c.industry] : "other");
	hex_key(p->j, "place", c.place, 7);
	jsonw_kint(p->j, "amount_fen", c.amount_fen);
	jsonw_kint(p->j, "balance_fen", c.balance_fen);
	time_key(p->j, "time", c.time_ms);
	jsonw_kstr(p->j, "city", city);
	hex_key(p->j, "acquirer", c.acquirer, 8);
	jsonw_object_end(p->j);
	return true;
}

/* ---- answers and records beside the four files ------------------------------------------------------------- */

bool card_print_fci(struct parsing *p, const json_t *v, size_t i)
{
	struct card_fci c;
	const char *reason;
	uint8_t bytes[256];
	int n = bytes_of(v, bytes, sizeof(bytes));

	if (n < 0 || card_parse_fci(bytes, (size_t)n, &c, &reason) != 0) {
		fault(p, "fci", i, n < 0 ? "not hex" : reason);
		return false;
	}
	jsonw_object(p->j);
	hex_key(p->j, "aid", c.aid, c.aid_bytes);
	jsonw_kstr(p->j, "application", aid_name(c.aid, c.aid_bytes));
	if (c.has_version)
		jsonw_kint(p->j, "version", c.version);
	if (c.issuer_data_bytes > 0 && c.issuer_data_bytes <= 32)
		hex_key(p->j, "issuer_data", c.issuer_data, c.issuer_data_bytes);
	jsonw_object_end(p->j);
	return true;
}

bool card_print_16(struct parsing *p, const json_t *v, size_t i)
{
	struct card_holder c;
	const char *reason;
	uint8_t bytes[64];
	int n = bytes_of(v, bytes, sizeof(bytes));

	if (n < 0 || card_parse_16(bytes, (size_t)n, &c, &reason) != 0) {
		fault(p, "16", i, n < 0 ? "not hex" : reason);
		return false;
	}
	jsonw_object(p->j);
	jsonw_kint(p->j, "card_type", c.card_type);
	jsonw_kint(p->j, "employee", c.employee);
	jsonw_kint(p->j, "document_type", c.document_type);
	jsonw_kbool(p->j, "name_present", c.named);
	jsonw_kbool(p->j, "document_present", c.documented);
	jsonw_object_end(p->j);
	return true;
}

/* A vehicle number is text where it is printable, else shown as it is. */
static void vehicle_key(struct jsonw *j, const uint8_t p[8])
{
	char text[9] = { 0 };
	size_t n = 8;

	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == 0))
		n--;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < ' ' || p[i] > 0x7E) {
			hex_key(j, "vehicle", p, 8);
			return;
		}
		text[i] = (char)p[i];
	}
	jsonw_kstr(j, "vehicle", text);
}

static void end_print(struct jsonw *j, const char *key, const struct card_journey_end *e, bool metro)
{
	char text[8];

	jsonw_key(j, key);
	jsonw_object(j);
	snprintf(text, sizeof(text), "%04X", e->city);
	jsonw_kstr(j, "city", text);
	hex_key(j, "institution", e->institution, 8);
	hex_key(j, "terminal", e->terminal, 8);
	jsonw_kint(j, "line", e->line);
	if (metro) {
		hex_key(j, "station", e->place, 8);
	} else {
		jsonw_kint(j, "station", e->station);
		jsonw_kint(j, "operator", e->operator_id);
		vehicle_key(j, e->vehicle);
	}
	if (e->time_ms != 0)
		time_key(j, "time", e->time_ms);
	jsonw_object_end(j);
}

bool card_print_1a(struct parsing *p, const json_t *v, size_t i)
{
	static const char *const states[] = { "initial", "boarded", "alighted", "entry-updated", "exit-updated" };
	struct card_journey c;
	const char *reason;
	uint8_t bytes[160];
	char id[8];
	int n = bytes_of(v, bytes, sizeof(bytes));
	bool metro;

	if (n < 0 || card_parse_1a(bytes, (size_t)n, &c, &reason) != 0) {
		fault(p, "1A", i, n < 0 ? "not hex" : reason);
		return false;
	}
	metro = c.record_id == 0x2701;
	snprintf(id, sizeof(id), "%04X", c.record_id);
	jsonw_object(p->j);
	jsonw_kstr(p->j, "record_id", id);
	jsonw_kstr(p->j, "kind", metro ? "metro" : c.record_id == 0x2702 ? "bus" : "other");
	jsonw_kbool(p->j, "valid", c.valid);
	if (metro || c.record_id == 0x2702) {
		jsonw_kint(p->j, "application", c.application);
		jsonw_kbool(p->j, "locked", c.locked);
		hex_key(p->j, "serial", c.serial, 8);
		jsonw_kint(p->j, "state", c.state);
		jsonw_kstr(p->j, "state_name", c.state < 5 ? states[c.state] : "other");
		end_print(p->j, metro ? "entry" : "boarding", &c.on, metro);
		end_print(p->j, metro ? "exit" : "alighting", &c.off, metro);
		jsonw_kint(p->j, "unfinished_fen", c.held_fen);
		jsonw_kint(p->j, "amount_fen", c.amount_fen);
	}
	if (metro) {
		jsonw_kint(p->j, "entry_fen", c.entry_fen);
		jsonw_kint(p->j, "entry_balance_fen", c.entry_balance_fen);
	} else if (c.record_id == 0x2702) {
		jsonw_kint(p->j, "direction", c.direction);
		jsonw_kint(p->j, "mileage", c.mileage);
	}
	jsonw_object_end(p->j);
	return true;
}

/* A record of a city's own file: as it is. */
bool card_print_19(struct parsing *p, const json_t *v, size_t i)
{
	uint8_t bytes[256];
	int n = bytes_of(v, bytes, sizeof(bytes));

	if (n < 0) {
		fault(p, "19", i, "not hex");
		return false;
	}
	jsonw_str(p->j, json_string_value(v));
	return true;
}

static void day_key(struct jsonw *j, const char *key, int32_t day)
{
	char text[16];

	day_format(day, text);
	if (day != 0)
		jsonw_kstr(j, key, text);
}

/* Records 1 to 6 of EF05, in order; those that are not there are null. */
void card_print_ssse(struct parsing *p, const json_t *list)
{
	struct card_ssse c = { 0 };
	uint8_t bytes[64];
	char region[8];

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		const char *reason = "not hex";
		int n = bytes_of(v, bytes, sizeof(bytes));

		if (!json_is_null(v) && (n < 0 || card_parse_ssse((unsigned)i + 1, bytes, (size_t)n, &c, &reason) != 0))
			fault(p, "ssse", i, reason);
	}
	jsonw_object(p->j);
	if (c.has_identification) {
		hex_key(p->j, "identification", c.identification, 16);
		snprintf(region, sizeof(region), "%02X%02X%02X", c.identification[0], c.identification[1], c.identification[2]);
		jsonw_kstr(p->j, "region", region);
	}
	jsonw_kstr(p->j, "card_kind", c.kind);
	jsonw_kstr(p->j, "spec_version", c.version);
	jsonw_kint(p->j, "generation", c.version[0] >= '1' && c.version[0] <= '9' ? c.version[0] - '0' : 0);
	hex_key(p->j, "institution", c.institution, c.institution_bytes);
	day_key(p->j, "issued", c.issued);
	day_key(p->j, "expiry", c.expiry);
	jsonw_object_end(p->j);
}
