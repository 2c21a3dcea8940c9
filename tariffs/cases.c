/*
 * cases - a pack carries its own examples: cases.csv, rides of one rider in order with the fare that must
 * come out. A pack whose cases fail is not published.
 */
#include "tariffs/tariffs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { C_CASE, C_TIME, C_LINE, C_FARE, C_SUBSIDY, C_ABSORBED, C_REJECTED, C_EVENT, C_IN_TIME, C_OUT_TIME, C_PRODUCT, C_OPERATOR, C_LIST, C_MEDIUM, C_CLASS,
	C_GROUPS, C_VERIFIED, C_BIRTH, C_ISSUED, C_HOME, C_ISSUER, C_VEHICLE, C_STOP_ON, C_STOP_OFF, C_DISTANCE, C_FAR, C_STOPS, C_ZONES, C_INSIDE, C_ESCORT,
	C_GRANTED, C_KNOWN, C_FUNDERS, C_REFUND, C_TIMES, C_STEP, C_NOTE, C_COUNT };
static const char *const names[C_COUNT] = { "case", "time", "line", "fare_fen", "subsidy_fen", "absorbed_fen", "rejected", "event", "in_time", "out_time", "product",
	"operator", "list_fen", "medium", "class", "groups", "verified_to", "birth", "issued", "home", "issuer", "vehicle", "stop_on", "stop_off",
	"distance_m", "far_m", "stops", "zones", "inside", "escort", "granted", "known", "funders", "refund_fen", "times", "step_min", "note" };
#define REQUIRED_COUNT (C_REJECTED + 1)

struct run {
	const struct tariff *t;
	const char *path;
	tariff_report_fn report;
	void *arg;
	struct csv *csv;
	int column[C_COUNT];
	const char *const *field;
	unsigned line;
	int failed;
};

static const char *cell(const struct run *r, int i) { return r->column[i] >= 0 ? r->field[r->column[i]] : ""; }

static void say(struct run *r, int i, const char *what)
{
	char text[512];

	snprintf(text, sizeof(text), "%s:%u:%u: case %s: %s", r->path, r->line, r->column[i] >= 0 ? csv_field_column(r->csv, (size_t)r->column[i]) : 1,
		 cell(r, C_CASE), what);
	r->report(r->arg, text);
	r->failed++;
}

static int64_t number(struct run *r, int i, int64_t fallback)
{
	char *end;
	long long v = strtoll(cell(r, i), &end, 10);

	if (cell(r, i)[0] == '\0')
		return fallback;
	if (*end != '\0')
		say(r, i, "not a whole number");
	return v;
}

static int32_t date(struct run *r, int i, const char *text, int32_t fallback)
{
	int32_t day = fallback;

	if (text[0] != '\0' && !day_parse(text, &day))
		say(r, i, "not a date YYYY-MM-DD that exists");
	return day;
}

/* group[:grade][@from..to] */
static void hold_read(struct run *r, char *word, struct hold *h)
{
	char *dates = strchr(word, '@'), *to = dates != NULL ? strstr(dates, "..") : NULL, *grade;

	*h = (struct hold){ .from = INT32_MIN + 1, .to = INT32_MAX, .verified_to = date(r, C_VERIFIED, cell(r, C_VERIFIED), INT32_MAX) };
	if (dates != NULL) {
		*dates = '\0';
		if (to != NULL)
			*to = '\0';
		h->from = date(r, C_GROUPS, dates + 1, h->from);
		h->to = date(r, C_GROUPS, to != NULL ? to + 2 : "", h->to);
	}
	grade = strchr(word, ':');
	if (grade != NULL)
		*grade++ = '\0';
	h->grade = (uint8_t)(grade != NULL ? strtol(grade, NULL, 10) : 0);
	h->group = tariff_group_code(r->t, word);
	if (h->group == 0)
		say(r, C_GROUPS, "no such group");
}

/* Index of a word; the first is the default of an empty cell. */
static int word(struct run *r, int i, const char *const *words, int count)
{
	for (int k = 0; k < count; k++)
		if (strcmp(cell(r, i), words[k]) == 0)
			return k;
	if (cell(r, i)[0] != '\0')
		say(r, i, "not one of the known words");
	return 0;
}

static const char *const yes[] = { "no", "yes" };

static void rider_read(struct run *r, struct rider *rider)
{
	char copy[256], *save = NULL;
	int64_t granted = number(r, C_GRANTED, 0);

	*rider = (struct rider){ .birth = date(r, C_BIRTH, cell(r, C_BIRTH), DAY_NONE), .issued = date(r, C_ISSUED, cell(r, C_ISSUED), DAY_NONE),
				 .home = (uint32_t)number(r, C_HOME, 0), .escort = word(r, C_ESCORT, yes, 2) == 1, .escort_from = INT32_MIN,
				 .escort_to = INT32_MAX };
	if (granted > 0)
		rider->grant[rider->grant_count++] = (struct grant){ tariff_quota_code(r->t, NULL), (uint32_t)granted };
	snprintf(copy, sizeof(copy), "%s", cell(r, C_GROUPS));
	for (char *word = strtok_r(copy, " ", &save); word != NULL && rider->hold_count < RIDER_HOLDS_MAX; word = strtok_r(NULL, " ", &save))
		hold_read(r, word, &rider->hold[rider->hold_count++]);
}

static uint32_t operator_of(const struct run *r, const char *code)
{
	for (size_t i = 0; i < tariff_operator_count(r->t); i++) {
		struct tariff_operator o;

		if (tariff_operator_at(r->t, i, &o) && strcmp(o.code, code) == 0)
			return o.id;
	}
	return 0;
}

static int64_t moment(struct run *r, int i)
{
	int64_t ms = 0;
	int32_t day;

	if (cell(r, i)[0] == '\0')
		return 0;
	if (day_parse(cell(r, i), &day))
		return (int64_t)day * 86400000 - CIVIL_OFFSET_MS;
	if (!time_parse(cell(r, i), &ms))
		say(r, i, "not a time");
	return ms;
}

static void ride_read(struct run *r, struct ride *ride)
{
	static const char *const media[] = { "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" }, *const events[] = { "single", "on", "off" };

	*ride = (struct ride){ .time_ms = moment(r, C_TIME), .in_ms = moment(r, C_IN_TIME), .out_ms = moment(r, C_OUT_TIME), .known_ms = moment(r, C_KNOWN),
			       .event = (enum ride_event)(RIDE_SINGLE + word(r, C_EVENT, events, 3)),
			       .medium = (enum ride_medium)(MEDIUM_PURSE + word(r, C_MEDIUM, media, 7)), .card_class = (uint8_t)number(r, C_CLASS, 1),
			       .operator_id = operator_of(r, cell(r, C_OPERATOR)), .list = money_of_fen(number(r, C_LIST, 0)),
			       .stop_on = (uint16_t)number(r, C_STOP_ON, 0), .stop_off = (uint16_t)number(r, C_STOP_OFF, 0),
			       .distance_m = (uint32_t)number(r, C_DISTANCE, 0), .far_m = (uint32_t)number(r, C_FAR, 0),
			       .stops = (uint16_t)number(r, C_STOPS, 0), .zones = (uint16_t)number(r, C_ZONES, 0), .inside = word(r, C_INSIDE, yes, 2) == 1,
			       .card = word(r, C_ESCORT, yes, 2) == 1 };	/* an escort's card is another than the rider's */
	snprintf(ride->line, sizeof(ride->line), "%.47s", cell(r, C_LINE));
	snprintf(ride->vehicle, sizeof(ride->vehicle), "%.15s", cell(r, C_VEHICLE));
	snprintf(ride->product, sizeof(ride->product), "%.15s", cell(r, C_PRODUCT));
	ride->issuer = (uint32_t)strtoul(cell(r, C_ISSUER), NULL, 16);
	ride->guest = cell(r, C_ISSUER)[0] != '\0' ? tariff_guest_of(r->t, ride->issuer) : GUEST_LOCAL;
}

/* "city:42 district:28" against the fare's funders. */
static void funders_compare(struct run *r, const struct fare *fare)
{
	char copy[256], text[320], *save = NULL;
	int matched = 0;

	snprintf(copy, sizeof(copy), "%s", cell(r, C_FUNDERS));
	for (char *item = strtok_r(copy, " ", &save); item != NULL; item = strtok_r(NULL, " ", &save)) {
		char *fen = strchr(item, ':');
		bool found = false;

		for (uint8_t i = 0; fen != NULL && i < fare->funder_count; i++) {
			struct tariff_treasury treasury;

			found = found || (tariff_treasury(r->t, fare->funder[i].treasury, &treasury) && strncmp(treasury.name, item, (size_t)(fen - item)) == 0 &&
					  treasury.name[fen - item] == '\0' && fare->funder[i].amount.fen == strtoll(fen + 1, NULL, 10));
		}
		matched += found;
		if (found)
			continue;
		snprintf(text, sizeof(text), "no funder has %s", item);
		say(r, C_FUNDERS, text);
	}
	if (cell(r, C_FUNDERS)[0] != '\0' && matched != fare->funder_count)
		say(r, C_FUNDERS, "the fare has other funders as well");
}

static void fare_compare(struct run *r, const struct fare *fare)
{
	bool rejected = strcmp(cell(r, C_REJECTED), "yes") == 0;
	int64_t subsidy = 0;
	char text[256];

	for (uint8_t i = 0; i < fare->funder_count; i++)
		subsidy += fare->funder[i].amount.fen;
	if (rejected != (fare->reject != FARE_OK)) {
		snprintf(text, sizeof(text), "expected %s, got %s", rejected ? "a refusal" : "a fare", fare_reject_name(fare->reject));
		say(r, C_REJECTED, text);
	} else if (!rejected && (fare->moved.fen != number(r, C_FARE, 0) || subsidy != number(r, C_SUBSIDY, 0) || fare->absorbed.fen != number(r, C_ABSORBED, 0))) {
		snprintf(text, sizeof(text), "expected fare %s subsidy %s absorbed %s, got %lld %lld %lld", cell(r, C_FARE), cell(r, C_SUBSIDY), cell(r, C_ABSORBED),
			 (long long)fare->moved.fen, (long long)subsidy, (long long)fare->absorbed.fen);
		say(r, C_FARE, text);
	}
	if (cell(r, C_REFUND)[0] != '\0' && number(r, C_REFUND, 0) != fare->refund.fen) {
		snprintf(text, sizeof(text), "expected refund %s, got %lld", cell(r, C_REFUND), (long long)fare->refund.fen);
		say(r, C_REFUND, text);
	}
	funders_compare(r, fare);
}

static void row_run(struct run *r, struct rider_state *state)
{
	int64_t times = number(r, C_TIMES, 1), step_ms = number(r, C_STEP, 0) * 60000;
	struct rider rider;
	struct ride ride;
	struct fare fare = { 0 };

	rider_read(r, &rider);
	ride_read(r, &ride);
	for (int64_t i = 0; i < times && i < 10000; i++, ride.time_ms += step_ms)
		rate(r->t, &rider, state, &ride, state, &fare, NULL);
	fare_compare(r, &fare);
}

static int columns_find(struct run *r)
{
	char text[512];

	for (int i = 0; i < C_COUNT; i++) {
		r->column[i] = csv_column(r->csv, names[i]);
		if (r->column[i] < 0 && i < REQUIRED_COUNT) {
			snprintf(text, sizeof(text), "%s:1:1: column \"%s\" is missing", r->path, names[i]);
			r->report(r->arg, text);
			return TARIFF_E_SYNTAX;
		}
	}
	for (size_t i = 0; i < csv_columns(r->csv); i++) {
		const char *near = word_suggest(csv_header(r->csv, i), names, C_COUNT);

		if (near == NULL || strcmp(near, csv_header(r->csv, i)) != 0) {
			snprintf(text, sizeof(text), "%s:1:1: unknown column \"%s\"%s%s", r->path, csv_header(r->csv, i), near ? ", did you mean " : "", near ? near : "");
			r->report(r->arg, text);
			return TARIFF_E_SYNTAX;
		}
	}
	return 0;
}

int tariff_run_cases(const char *pack_dir, const struct tariff *t, tariff_report_fn report, void *arg, int *ret_run)
{
	struct run r = { .t = t, .report = report, .arg = arg };
	char path[PATH_MAX], error[512], last[64] = "";
	struct rider_state state = { 0 };
	int ret, count = 0;

	snprintf(path, sizeof(path), "%s/cases.csv", pack_dir);
	r.path = path;
	ret = csv_open(path, &r.csv, error, sizeof(error));
	if (ret != 0) {
		report(arg, error);
		return ret;
	}
	ret = columns_find(&r);
	while (ret == 0 && (ret = csv_next(r.csv, &r.field, &r.line, error, sizeof(error))) == 1) {
		if (strcmp(last, cell(&r, C_CASE)) != 0)
			state = (struct rider_state){ 0 };
		snprintf(last, sizeof(last), "%.63s", cell(&r, C_CASE));
		row_run(&r, &state);
		count++;
		ret = 0;
	}
	csv_close(r.csv);
	if (ret < 0) {
		report(arg, error);
		return ret;
	}
	*ret_run = count;
	return r.failed;
}
