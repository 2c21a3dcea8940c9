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

enum { C_CASE, C_TIME, C_LINE, C_FARE, C_SUBSIDY, C_ABSORBED, C_REJECTED, C_EVENT, C_PRODUCT, C_OPERATOR, C_LIST, C_MEDIUM, C_CLASS,
	C_GROUPS, C_BIRTH, C_HOME, C_ISSUER, C_VEHICLE, C_STOP_ON, C_STOP_OFF, C_NOTE, C_COUNT };
static const char *const names[C_COUNT] = { "case", "time", "line", "fare_fen", "subsidy_fen", "absorbed_fen", "rejected", "event", "product",
	"operator", "list_fen", "medium", "class", "groups", "birth", "home", "issuer", "vehicle", "stop_on", "stop_off", "note" };
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

/* "elder65 disabled:2": groups held from always to always, with a grade where given. */
static void holds_read(struct run *r, struct rider *rider)
{
	char copy[128], *save = NULL;

	rider->hold_count = 0;
	snprintf(copy, sizeof(copy), "%s", cell(r, C_GROUPS));
	for (char *word = strtok_r(copy, " ", &save); word != NULL && rider->hold_count < RIDER_HOLDS_MAX; word = strtok_r(NULL, " ", &save)) {
		char *grade = strchr(word, ':');
		struct hold *h = &rider->hold[rider->hold_count++];

		if (grade != NULL)
			*grade++ = '\0';
		*h = (struct hold){ .group = tariff_group_code(r->t, word), .grade = (uint8_t)(grade != NULL ? atoi(grade) : 0), .from = INT32_MIN + 1,
				    .to = INT32_MAX, .verified_to = INT32_MAX };
		if (h->group == 0)
			say(r, C_GROUPS, "no such group");
	}
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

static void ride_read(struct run *r, struct ride *ride)
{
	static const char *const media[] = { "", "card", "ssc", "qr", "bank", "bank-qr", "manual" };

	*ride = (struct ride){ .event = RIDE_SINGLE, .medium = MEDIUM_PURSE, .card_class = (uint8_t)number(r, C_CLASS, 1) };
	if (!time_parse(cell(r, C_TIME), &ride->time_ms))
		say(r, C_TIME, "not a time");
	if (strcmp(cell(r, C_EVENT), "on") == 0)
		ride->event = RIDE_ON;
	else if (strcmp(cell(r, C_EVENT), "off") == 0)
		ride->event = RIDE_OFF;
	for (int i = 1; i < 7; i++)
		if (strcmp(cell(r, C_MEDIUM), media[i]) == 0)
			ride->medium = (enum ride_medium)i;
	snprintf(ride->line, sizeof(ride->line), "%.47s", cell(r, C_LINE));
	snprintf(ride->vehicle, sizeof(ride->vehicle), "%.15s", cell(r, C_VEHICLE));
	snprintf(ride->product, sizeof(ride->product), "%.15s", cell(r, C_PRODUCT));
	ride->operator_id = operator_of(r, cell(r, C_OPERATOR));
	ride->list = money_of_fen(number(r, C_LIST, 0));
	ride->stop_on = (uint16_t)number(r, C_STOP_ON, 0);
	ride->stop_off = (uint16_t)number(r, C_STOP_OFF, 0);
	ride->issuer = (uint32_t)strtoul(cell(r, C_ISSUER), NULL, 16);
	ride->guest = cell(r, C_ISSUER)[0] != '\0' ? tariff_guest_of(r->t, ride->issuer) : GUEST_LOCAL;
}

static void row_run(struct run *r, struct rider *rider, struct rider_state *state)
{
	bool rejected = strcmp(cell(r, C_REJECTED), "yes") == 0;
	int64_t subsidy = 0;
	struct ride ride;
	struct fare fare;
	char text[256];

	rider->birth = DAY_NONE;
	if (cell(r, C_BIRTH)[0] != '\0' && !day_parse(cell(r, C_BIRTH), &rider->birth))
		say(r, C_BIRTH, "not a date");
	rider->home = (uint32_t)number(r, C_HOME, 0);
	holds_read(r, rider);
	ride_read(r, &ride);
	rate(r->t, rider, state, &ride, state, &fare, NULL);
	for (uint8_t i = 0; i < fare.funder_count; i++)
		subsidy += fare.funder[i].amount.fen;
	if (rejected != (fare.reject != FARE_OK)) {
		snprintf(text, sizeof(text), "expected %s, got %s", rejected ? "a refusal" : "a fare", fare_reject_name(fare.reject));
		say(r, C_REJECTED, text);
	} else if (!rejected && (fare.paid.fen != number(r, C_FARE, 0) || subsidy != number(r, C_SUBSIDY, 0) || fare.absorbed.fen != number(r, C_ABSORBED, 0))) {
		snprintf(text, sizeof(text), "expected fare %s subsidy %s absorbed %s, got %lld %lld %lld", cell(r, C_FARE), cell(r, C_SUBSIDY), cell(r, C_ABSORBED),
			 (long long)fare.paid.fen, (long long)subsidy, (long long)fare.absorbed.fen);
		say(r, C_FARE, text);
	}
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
	struct rider rider = { 0 };
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
		row_run(&r, &rider, &state);
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
