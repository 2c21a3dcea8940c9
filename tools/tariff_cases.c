/*
 * tariff_cases - runs a case file against a pack, or against the pack of each policy in a directory: every tap's
 * fare, subsidy, operator's part and funders, and what is due after the period. A difference is told per tap.
 * The pack is compiled for every case with the case's own lines and settings laid over it.
 */
#include "tools/tariff_case.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TARIFFS_MAX 32
#define ITEMS_MAX 20000

/* A compiled pack for one overlay; taps of a case may name other settings. */
struct compiled { char *yaml; void *blob; struct tariff *t; };
struct item { int64_t ms; int64_t index; const json_t *tap; };	/* index of the tap; -1: of "pre", not looked at */
struct result { bool seen; int64_t fare, subsidy, absorbed; bool rejected; json_t *funders; int64_t month, refund, due; };
struct running {
	const struct options *o;
	struct reading reading;
	const char *dir;
	json_t *scenario, *expected;
	struct compiled compiled[TARIFFS_MAX];
	size_t compiled_count;
	struct item *item;
	size_t item_count;
	struct result *result, *later;		/* as settled; rated again when everything is known */
	size_t tap_count;
	char fault[768];			/* first difference or reason */
	struct { int64_t month, fen, due; } refund[36];
	size_t refund_count;
};
struct totals { int run, passed, skipped; };

static void differ(struct running *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void differ(struct running *r, const char *format, ...)
{
	size_t used = strlen(r->fault);
	va_list ap;

	va_start(ap, format);
	if (used + 4 < sizeof(r->fault)) {
		if (used > 0)
			used += (size_t)snprintf(r->fault + used, sizeof(r->fault) - used, "; ");
		vsnprintf(r->fault + used, sizeof(r->fault) - used, format, ap);
	}
	va_end(ap);
}

static void report(void *arg, const char *text) { differ(arg, "%s", text); }

/* ---- the pack with the case laid over it ------------------------------------------------------------------- */

static struct tariff *tariff_for(struct running *r, const json_t *tap)
{
	struct case_overlay overlay = { 0 };
	struct compiled *c = &r->compiled[r->compiled_count];
	size_t n;

	if (case_overlay_make(&r->reading, r->scenario, tap, &overlay) != 0)
		return NULL;
	for (size_t i = 0; i < r->compiled_count; i++)
		if (strcmp(r->compiled[i].yaml, overlay.yaml) == 0) {
			case_overlay_free(&overlay);
			return r->compiled[i].t;
		}
	if (r->compiled_count == TARIFFS_MAX) {
		differ(r, "more than %d different settings in one case", TARIFFS_MAX);
	} else if (tariff_compile_with(r->dir, &(struct tariff_overlay){ overlay.yaml, overlay.lines_csv, overlay.calendar_csv }, report, r, &c->blob, &n) == 0) {
		if (tariff_open(c->blob, n, &c->t) == 0) {
			c->yaml = strdup(overlay.yaml);
			r->compiled_count++;
			case_overlay_free(&overlay);
			return c->t;
		}
		free(c->blob);
	}
	case_overlay_free(&overlay);
	return NULL;
}

/* ---- the taps in the order of their time ---------------------------------------------------------------------- */

/* Of one terminal by serial number, else by the terminals' names; 0 where a tap names none. */
static int terminal_compare(const struct item *x, const struct item *y)
{
	const char *a = json_string_value(json_object_get(x->tap, "term")), *b = json_string_value(json_object_get(y->tap, "term"));
	json_int_t p = json_integer_value(json_object_get(x->tap, "seq")), q = json_integer_value(json_object_get(y->tap, "seq"));
	int by_name = a != NULL && b != NULL ? strcmp(a, b) : 0;

	if (a == NULL || b == NULL || by_name != 0)
		return by_name;
	return p < q ? -1 : p > q;
}

static int item_compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int by_terminal;

	if (x->ms != y->ms)
		return x->ms < y->ms ? -1 : 1;
	by_terminal = terminal_compare(x, y);
	if (by_terminal != 0)
		return by_terminal;
	return x->index < y->index ? -1 : x->index > y->index;
}

static bool item_add(struct running *r, int64_t ms, int64_t index, const json_t *tap)
{
	if (r->item_count == ITEMS_MAX)
		return false;
	r->item[r->item_count++] = (struct item){ ms, index, tap };
	return true;
}

/* The same terminal and serial number twice is one tap; the later of them yields nothing. */
static bool repeated(const json_t *taps, size_t at)
{
	const json_t *now = json_array_get(taps, at), *term = json_object_get(now, "term"), *seq = json_object_get(now, "seq");

	for (size_t i = 0; i < at && term != NULL && seq != NULL; i++)
		if (json_equal(json_object_get(json_array_get(taps, i), "term"), term) && json_equal(json_object_get(json_array_get(taps, i), "seq"), seq))
			return true;
	return false;
}

static bool items_read(struct running *r)
{
	const json_t *taps = json_object_get(r->scenario, "taps"), *pre = json_object_get(r->scenario, "pre"), *tap;
	int64_t ms;
	size_t i;

	json_array_foreach(pre, i, tap) {
		const json_t *n = json_object_get(tap, "n"), *step_min = json_object_get(tap, "step_min");

		if (!time_parse(json_string_value(json_object_get(tap, "t")) ? json_string_value(json_object_get(tap, "t")) : "", &ms))
			return false;
		for (int64_t k = 0; k < json_integer_value(n); k++)
			if (!item_add(r, ms + k * json_integer_value(step_min) * 60000, -1, tap))
				return false;
	}
	json_array_foreach(taps, i, tap) {
		if (!time_parse(json_string_value(json_object_get(tap, "t")) ? json_string_value(json_object_get(tap, "t")) : "", &ms))
			return false;
		if (!repeated(taps, i) && !item_add(r, ms, (int64_t)i, tap))
			return false;
	}
	qsort(r->item, r->item_count, sizeof(*r->item), item_compare);
	r->tap_count = json_array_size(taps);
	return true;
}

/* ---- rating ------------------------------------------------------------------------------------------------------ */

static void result_add(const struct tariff *t, const struct fare *fare, struct result *to)
{
	to->seen = true;
	to->rejected = to->rejected || fare->reject != FARE_OK;
	to->fare += fare->moved.fen;
	to->absorbed += fare->absorbed.fen;
	to->refund += fare->refund.fen;
	to->due = fare->refund_due;
	if (to->funders == NULL)
		to->funders = json_object();
	for (uint8_t i = 0; i < fare->funder_count; i++) {
		struct tariff_treasury treasury;

		to->subsidy += fare->funder[i].amount.fen;
		if (tariff_treasury(t, fare->funder[i].treasury, &treasury))
			json_object_set_new(to->funders, treasury.name,
					    json_integer(json_integer_value(json_object_get(to->funders, treasury.name)) + fare->funder[i].amount.fen));
	}
}

static void refund_keep(struct running *r, int64_t ms, const struct fare *fare)
{
	struct civil c = civil_of_ms(ms);
	int64_t month = (int64_t)c.year * 12 + c.month - 1;
	size_t i = 0;

	if (fare->refund.fen == 0)
		return;
	while (i < r->refund_count && r->refund[i].month != month)
		i++;
	if (i == sizeof(r->refund) / sizeof(r->refund[0]))
		return;
	if (i == r->refund_count) {
		r->refund_count++;
		r->refund[i].month = month;
	}
	r->refund[i].fen += fare->refund.fen;
	r->refund[i].due = fare->refund_due;
}

/* One pass over the card's life. With known_later the rules published since are known to every tap. */
static bool rate_all(struct running *r, struct result *to, bool known_later)
{
	struct rider_state state = { 0 };

	for (size_t i = 0; i < r->item_count; i++) {
		const struct item *item = &r->item[i];
		struct tariff *t = tariff_for(r, item->tap);
		struct ride ride[CASE_PARTS_MAX];
		struct rider rider;
		const char *fault;
		size_t count = 0;

		if (t == NULL)
			return false;
		fault = case_rider_read(&r->reading, t, r->scenario, item->tap, &rider);
		if (fault == NULL)
			fault = case_rides_read(&r->reading, r->scenario, item->tap, ride, &count);
		if (fault != NULL) {
			differ(r, "tap %lld: %s", (long long)item->index + 1, fault);
			return false;
		}
		for (size_t k = 0; k < count; k++) {
			struct fare fare;

			ride[k].out_ms = item->index < 0 && ride[k].out_ms != 0 ? ride[k].out_ms + item->ms - ride[k].time_ms : ride[k].out_ms;
			ride[k].in_ms = item->index < 0 && ride[k].in_ms != 0 ? ride[k].in_ms + item->ms - ride[k].time_ms : ride[k].in_ms;
			ride[k].time_ms = item->ms;
			ride[k].known_ms = known_later ? 0 : ride[k].known_ms;
			rate(t, &rider, &state, &ride[k], &state, &fare, NULL);
			if (item->index >= 0)
				result_add(t, &fare, &to[item->index]);
			if (!known_later)
				refund_keep(r, item->ms, &fare);
		}
	}
	return true;
}

/* ---- against what is expected --------------------------------------------------------------------------------------- */

static void tap_compare(struct running *r, size_t i)
{
	static const char *const names[] = { "fare", "subsidy", "absorbed" };
	const json_t *want = json_array_get(json_object_get(r->expected, "taps"), i), *funders = json_object_get(want, "funders"), *fen;
	const struct result *got = &r->result[i];
	const int64_t figures[] = { got->fare, got->subsidy, got->absorbed };
	const char *name;

	if (json_is_true(json_object_get(want, "rejected")) != got->rejected)
		differ(r, "tap %zu: %s", i + 1, got->rejected ? "refused, a fare is expected" : "a fare, a refusal is expected");
	for (size_t k = 0; k < 3; k++) {
		fen = json_object_get(want, names[k]);
		if (json_is_integer(fen) && json_integer_value(fen) != figures[k])
			differ(r, "tap %zu: %s %lld, expected %lld", i + 1, names[k], (long long)figures[k], (long long)json_integer_value(fen));
	}
	json_object_foreach((json_t *)(uintptr_t)funders, name, fen)
		if (json_integer_value(fen) != json_integer_value(json_object_get(got->funders, name)))
			differ(r, "tap %zu: %s owes %lld, expected %lld", i + 1, name, (long long)json_integer_value(json_object_get(got->funders, name)),
			       (long long)json_integer_value(fen));
}

static json_t *post_refunds(const struct running *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->refund_count; i++) {
		int64_t month = r->refund[i].month, next = month + 1;
		char for_month[64], by[64];

		snprintf(for_month, sizeof(for_month), "%04lld-%02lld", (long long)month / 12, (long long)month % 12 + 1);
		snprintf(by, sizeof(by), "%04lld-%02lld-%02lld", (long long)next / 12, (long long)next % 12 + 1, (long long)r->refund[i].due);
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "by", by, "for", for_month, "fare", (json_int_t)-r->refund[i].fen, "subsidy",
						      (json_int_t)r->refund[i].fen));
	}
	return list;
}

/* Adjustment lines for taps that were settled before a rule was known; the old lines stay as they are. */
static bool post_adjustments(struct running *r, json_t *list)
{
	const json_t *taps = json_object_get(r->scenario, "taps"), *tap;
	bool wanted = false;
	size_t i;

	json_array_foreach(taps, i, tap)
		wanted = wanted || json_object_get(tap, "known") != NULL;
	if (!wanted)
		return true;
	r->later = calloc(r->tap_count + 1, sizeof(*r->later));
	if (r->later == NULL || !rate_all(r, r->later, true))
		return false;
	json_array_foreach(taps, i, tap) {
		int64_t fare = r->later[i].fare - r->result[i].fare, subsidy = r->later[i].subsidy - r->result[i].subsidy;
		json_t *id = json_object_get(tap, "id");

		if (fare != 0 || subsidy != 0)
			json_array_append_new(list, json_pack("{s:O?, s:I, s:I}", "adjust", id, "fare", (json_int_t)fare, "subsidy", (json_int_t)subsidy));
	}
	return true;
}

static bool post_matches(const json_t *want, const json_t *got)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)want, key, value) {
		const json_t *have = json_object_get(got, key);

		if (have != NULL ? !json_equal(value, have) : strcmp(key, "absorbed") != 0 || json_integer_value(value) != 0)
			return false;
	}
	return true;
}

static void posts_compare(struct running *r, const json_t *got)
{
	const json_t *want = json_object_get(r->expected, "post"), *one;
	char *text;
	size_t i;

	json_array_foreach(want, i, one) {
		bool found = false;

		for (size_t k = 0; k < json_array_size(got); k++)
			found = found || post_matches(one, json_array_get(got, k));
		text = found ? NULL : json_dumps(one, JSON_COMPACT);
		if (!found)
			differ(r, "after the period: %s is expected", text != NULL ? text : "?");
		free(text);
	}
	if (json_array_size(got) == json_array_size(want))
		return;
	text = json_dumps(got, JSON_COMPACT);
	differ(r, "after the period: %s", text != NULL ? text : "?");
	free(text);
}

/* ---- one case --------------------------------------------------------------------------------------------------------- */

static void running_close(struct running *r)
{
	for (size_t i = 0; i < r->compiled_count; i++) {
		tariff_close(r->compiled[i].t);
		free(r->compiled[i].blob);
		free(r->compiled[i].yaml);
	}
	for (size_t i = 0; i < r->tap_count; i++) {
		if (r->result != NULL)
			json_decref(r->result[i].funders);
		if (r->later != NULL)
			json_decref(r->later[i].funders);
	}
	free(r->item);
	free(r->result);
	free(r->later);
	json_decref(r->scenario);
	json_decref(r->expected);
	reading_close(&r->reading);
}

static void case_rate(struct running *r)
{
	json_t *post;

	r->item = calloc(ITEMS_MAX, sizeof(*r->item));
	if (r->item == NULL || !items_read(r)) {
		differ(r, "taps: t is not a time, or more than %d taps", ITEMS_MAX);
		return;
	}
	r->result = calloc(r->tap_count + 1, sizeof(*r->result));
	if (r->result == NULL || !rate_all(r, r->result, false))
		return;
	post = post_refunds(r);
	if (json_array_size(json_object_get(r->expected, "taps")) != r->tap_count)
		differ(r, "expected_json has another number of taps");
	for (size_t i = 0; i < r->tap_count; i++)
		tap_compare(r, i);
	if (post_adjustments(r, post))
		posts_compare(r, post);
	json_decref(post);
}

static void case_print(const struct running *r, const char *id, const char *note, bool passed)
{
	struct jsonw j;

	if (!r->o->json) {
		printf("%s %s %s%s%s\n", passed ? "ok" : "not ok", id, note, passed ? "" : ": ", r->fault);
		return;
	}
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.tariff-case");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "case", id);
	jsonw_kbool(&j, "pass", passed);
	if (!passed)
		jsonw_kstr(&j, "difference", r->fault);
	jsonw_object_end(&j);
	putchar('\n');
}

static void case_run(const struct options *o, const char *dir, const char *const *field, const int *column, struct totals *totals)
{
	struct running r = { .o = o, .dir = dir };
	json_error_t error;

	totals->run++;
	r.scenario = json_loads(field[column[1]], JSON_REJECT_DUPLICATES, &error);
	r.expected = json_loads(field[column[2]], JSON_REJECT_DUPLICATES, &error);
	if (dir[0] == '\0')
		differ(&r, "no pack answers to this policy");
	else if (!json_is_object(r.scenario) || !json_is_object(r.expected))
		differ(&r, "tap_sequence_json or expected_json is not JSON: %s", error.text);
	else if (reading_open(dir, &r.reading) != 0)
		differ(&r, "reading.yaml has mistakes");
	else
		case_rate(&r);
	totals->passed += r.fault[0] == '\0';
	case_print(&r, field[column[0]], field[column[3]], r.fault[0] == '\0');
	running_close(&r);
}

/* ---- which pack ----------------------------------------------------------------------------------------------------------- */

static bool is_pack(const char *dir)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/pack.yaml", dir);
	return access(path, F_OK) == 0;
}

static bool answers(const char *dir, const char *policy)
{
	struct reading r;
	bool yes;

	if (!is_pack(dir) || reading_open(dir, &r) != 0)
		return false;
	yes = reading_answers(&r, dir, policy);
	reading_close(&r);
	return yes;
}

/* The pack of a directory that answers to a policy; "" when none does. */
static void pack_find(const char *dir, const char *policy, char *ret, size_t bytes)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[4096];

	ret[0] = '\0';
	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.' && answers(path, policy))
			snprintf(ret, bytes, "%s", path);
	}
	if (d != NULL)
		closedir(d);
}

/* The name in brackets that a note begins with. */
static void policy_of(const char *note, char *ret, size_t bytes)
{
	const char *open = strchr(note, '['), *close = open != NULL ? strchr(open, ']') : NULL;

	snprintf(ret, bytes, "%.*s", close != NULL ? (int)(close - open - 1) : 0, close != NULL ? open + 1 : "");
}

static int columns_find(const struct csv *csv, const char *file, int *column)
{
	static const char *const names[] = { "case_id", "tap_sequence_json", "expected_json", "note" };

	for (size_t i = 0; i < 4; i++) {
		column[i] = csv_column(csv, names[i]);
		if (column[i] < 0) {
			complain("%s:1:1: column \"%s\" is missing", file, names[i]);
			return EXIT_USAGE;
		}
	}
	return EXIT_OK;
}

int tariff_cases_run(const struct options *o, const char *file, const char *dir)
{
	struct totals totals = { 0 };
	char error[512], policy[64], pack[4096];
	const char *const *field;
	struct csv *csv;
	unsigned line;
	int column[4], ret, got;

	if (csv_open(file, &csv, error, sizeof(error)) != 0) {
		complain("%s", error);
		return EXIT_USAGE;
	}
	ret = columns_find(csv, file, column);
	while (ret == EXIT_OK && (got = csv_next(csv, &field, &line, error, sizeof(error))) != 0) {
		if (got < 0) {
			complain("%s", error);
			ret = EXIT_USAGE;
			break;
		}
		policy_of(field[column[3]], policy, sizeof(policy));
		if (!is_pack(dir)) {
			pack_find(dir, policy, pack, sizeof(pack));
		} else if (policy[0] == '\0' || answers(dir, policy)) {
			snprintf(pack, sizeof(pack), "%s", dir);
		} else {
			totals.skipped++;
			continue;
		}
		case_run(o, pack, field, column, &totals);
	}
	csv_close(csv);
	if (ret != EXIT_OK)
		return ret;
	if (!o->json)
		printf("cases: %d of %d pass%s\n", totals.passed, totals.run, totals.skipped > 0 ? ", those of other policies left out" : "");
	return totals.passed == totals.run ? EXIT_OK : EXIT_NO;
}
