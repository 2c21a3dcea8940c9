/*
 * qingfen tariff - for the person who edits fares: check a pack and run its cases, rate made-up taps without a
 * daemon, compile. docs/tariff.5 describes packs and the taps that rate reads.
 */
#include "tools/tariff_case.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/tariff.h"

static const char usage[] =
	"用法 usage: qingfen tariff check PACK [--json]            检查并运行票价包自带的例子\n"
	"            qingfen tariff rate PACK [TAPS.ndjson] [--json] 计价, 每行一笔\n"
	"            qingfen tariff rate --cases FILE.csv PACK|DIR [--json] 运行案例文件, DIR 下按政策找票价包\n"
	"            qingfen tariff compile PACK --to FILE          编译\n"
	"            qingfen tariff price-book | diff | what-if ... 票价表, 两包之差, 草案试算 (--help)\n"
	"            qingfen tariff publish | withdraw | versions | person ... 两人签名发布, 撤回\n"
	"            qingfen tariff gtfs | params ...               GTFS Fares v2, 机具参数表\n";

/* The editor's tools, each in a file of its own. */
static const struct { const char *name; int (*run)(int argc, char **argv); } subs[] = {
	{ "price-book", tariff_book },
	{ "diff", tariff_diff },
	{ "what-if", tariff_whatif },
	{ "gtfs", tariff_gtfs },
	{ "params", tariff_params },
	{ "publish", tariff_publish }, { "withdraw", tariff_publish }, { "versions", tariff_publish }, { "person", tariff_publish },
};

struct printing { bool json; unsigned problems; struct jsonw j; };

static void report(void *arg, const char *text)
{
	struct printing *p = arg;

	p->problems++;
	if (p->json)
		jsonw_str(&p->j, text);
	else
		fprintf(stderr, "%s\n", text);
}

static int pack_open(const char *dir, struct printing *p, void **ret_blob, size_t *ret_n, struct tariff **ret_t)
{
	int ret = tariff_compile(dir, report, p, ret_blob, ret_n);

	if (ret == 0)
		ret = tariff_open(*ret_blob, *ret_n, ret_t);
	return ret;
}

static int pack_check(const struct options *o, const char *dir)
{
	struct printing p = { .json = o->json };
	struct tariff *t = NULL;
	void *blob = NULL;
	size_t n = 0;
	int run = 0, failed = 0, ret;

	jsonw_init(&p.j, stdout, false);
	if (o->json) {
		jsonw_object(&p.j);
		jsonw_kstr(&p.j, "schema", "qingfen.tariff-check");
		jsonw_kint(&p.j, "version", 1);
		jsonw_key(&p.j, "problems");
		jsonw_array(&p.j);
	}
	ret = pack_open(dir, &p, &blob, &n, &t);
	if (ret == 0)
		failed = tariff_run_cases(dir, t, report, &p, &run);
	if (o->json) {
		jsonw_array_end(&p.j);
		jsonw_kint(&p.j, "cases", run);
		jsonw_kint(&p.j, "failed", failed);
		jsonw_kint(&p.j, "bytes", (int64_t)n);
		jsonw_object_end(&p.j);
		putchar('\n');
	} else if (ret == 0 && failed == 0) {
		printf("%s 版本 %u: %zu 字节, %d 个例子全部通过 compiled, all cases pass\n", tariff_name(t), tariff_version(t), n, run);
	} else if (failed > 0) {
		complain("%s: %d of %d cases fail", dir, failed, run);
	}
	tariff_close(t);
	free(blob);
	return ret == 0 && failed == 0 ? EXIT_OK : EXIT_CONFIG;
}

/* ---- rate ------------------------------------------------------------------------------------------- */

struct rider_slot { char card[64]; struct rider_state state; };
struct rating { const struct tariff *t; struct rider_slot *slot; size_t count, space; unsigned line; };

static const char *text_of(const json_t *tap, const char *key)
{
	const char *text = json_string_value(json_object_get(tap, key));

	return text != NULL ? text : "";
}

static int64_t number_of(const json_t *tap, const char *key, int64_t fallback)
{
	const json_t *v = json_object_get(tap, key);

	return json_is_integer(v) ? json_integer_value(v) : fallback;
}

static struct rider_state *state_of(struct rating *r, const char *card)
{
	for (size_t i = r->count; i-- > 0;)
		if (strcmp(r->slot[i].card, card) == 0)
			return &r->slot[i].state;
	if (r->count == r->space) {
		struct rider_slot *wide = realloc(r->slot, (r->space = r->space ? r->space * 2 : 16) * sizeof(*wide));

		if (wide == NULL)
			return NULL;
		r->slot = wide;
	}
	r->slot[r->count] = (struct rider_slot){ 0 };
	snprintf(r->slot[r->count].card, sizeof(r->slot[0].card), "%.63s", card);
	return &r->slot[r->count++].state;
}

static const char *hold_read(const struct rating *r, const json_t *h, struct hold *ret)
{
	struct hold hold = { .from = INT32_MIN + 1, .to = INT32_MAX, .verified_to = INT32_MAX, .grade = (uint8_t)number_of(h, "grade", 0) };

	hold.group = tariff_group_code(r->t, json_is_string(h) ? json_string_value(h) : text_of(h, "group"));
	if (hold.group == 0)
		return "holds: the pack has no such group";
	if (text_of(h, "from")[0] != '\0' && !day_parse(text_of(h, "from"), &hold.from))
		return "holds: from is not a date";
	if (text_of(h, "to")[0] != '\0' && !day_parse(text_of(h, "to"), &hold.to))
		return "holds: to is not a date";
	if (text_of(h, "verified_to")[0] != '\0' && !day_parse(text_of(h, "verified_to"), &hold.verified_to))
		return "holds: verified_to is not a date";
	*ret = hold;
	return NULL;
}

static const char *rider_read(const struct rating *r, const json_t *tap, struct rider *ret)
{
	const json_t *holds = json_object_get(tap, "holds");

	*ret = (struct rider){ .birth = DAY_NONE, .issued = DAY_NONE, .home = (uint32_t)number_of(tap, "home", 0),
			       .escort = json_is_true(json_object_get(tap, "escort")), .escort_from = INT32_MIN, .escort_to = INT32_MAX };
	if (text_of(tap, "birth")[0] != '\0' && !day_parse(text_of(tap, "birth"), &ret->birth))
		return "birth is not a date";
	if (text_of(tap, "issued")[0] != '\0' && !day_parse(text_of(tap, "issued"), &ret->issued))
		return "issued is not a date";
	for (size_t i = 0; i < json_array_size(holds); i++) {
		const char *fault;

		if (ret->hold_count == RIDER_HOLDS_MAX)
			return "holds: at most 8";
		fault = hold_read(r, json_array_get(holds, i), &ret->hold[ret->hold_count++]);
		if (fault != NULL)
			return fault;
	}
	if (number_of(tap, "granted", 0) > 0)
		ret->grant[ret->grant_count++] = (struct grant){ tariff_quota_code(r->t, NULL), (uint32_t)number_of(tap, "granted", 0) };
	return NULL;
}

/* Accounts of a card are told apart by a hash of its number. */
static uint32_t card_hash(const char *card)
{
	uint32_t h = 2166136261u;

	for (; *card != '\0'; card++)
		h = (h ^ (uint8_t)*card) * 16777619u;
	return h != 0 ? h : 1;
}

static const char *ride_read(const struct rating *r, const json_t *tap, struct ride *ret)
{
	static const char *const media[] = { "", "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" };
	static const char *const events[] = { "", "single", "on", "off" };
	struct tariff_operator op;
	size_t m = 1, e = 1;
	int32_t known;

	*ret = (struct ride){ .card_class = (uint8_t)number_of(tap, "class", 1), .list = money_of_fen(number_of(tap, "list_fen", 0)),
			      .stop_on = (uint16_t)number_of(tap, "stop_on", 0), .stop_off = (uint16_t)number_of(tap, "stop_off", 0),
			      .distance_m = (uint32_t)number_of(tap, "distance_m", 0), .far_m = (uint32_t)number_of(tap, "far_m", 0),
			      .stops = (uint16_t)number_of(tap, "stops", 0), .zones = (uint16_t)number_of(tap, "zones", 0),
			      .inside = json_is_true(json_object_get(tap, "inside")) };
	if (!time_parse(text_of(tap, "time"), &ret->time_ms))
		return "time: RFC 3339 or local YYYY-MM-DDThh:mm:ss is needed";
	if (text_of(tap, "in_time")[0] != '\0' && !time_parse(text_of(tap, "in_time"), &ret->in_ms))
		return "in_time: RFC 3339 or local YYYY-MM-DDThh:mm:ss is needed";
	if (text_of(tap, "out_time")[0] != '\0' && !time_parse(text_of(tap, "out_time"), &ret->out_ms))
		return "out_time: RFC 3339 or local YYYY-MM-DDThh:mm:ss is needed";
	if (day_parse(text_of(tap, "known"), &known))
		ret->known_ms = (int64_t)known * 86400000 - CIVIL_OFFSET_MS;
	ret->card = card_hash(text_of(tap, "number")[0] != '\0' ? text_of(tap, "number") : text_of(tap, "card"));
	if (text_of(tap, "line")[0] == '\0' || strlen(text_of(tap, "line")) > LINE_BYTES_MAX)
		return "line is missing or too long";
	while (text_of(tap, "medium")[0] != '\0' && m < 8 && strcmp(media[m], text_of(tap, "medium")) != 0)
		m++;
	while (text_of(tap, "event")[0] != '\0' && e < 4 && strcmp(events[e], text_of(tap, "event")) != 0)
		e++;
	if (m == 8 || e == 4)
		return m == 8 ? "medium: card, ssc, qr, bank, bank-qr, manual or cash" : "event: single, on or off";
	ret->medium = (enum ride_medium)m;
	ret->event = (enum ride_event)e;
	snprintf(ret->line, sizeof(ret->line), "%s", text_of(tap, "line"));
	snprintf(ret->vehicle, sizeof(ret->vehicle), "%.15s", text_of(tap, "vehicle"));
	snprintf(ret->product, sizeof(ret->product), "%.15s", text_of(tap, "product"));
	for (size_t i = 0; tariff_operator_at(r->t, i, &op); i++)
		if (strcmp(op.code, text_of(tap, "operator")) == 0)
			ret->operator_id = op.id;
	ret->issuer = (uint32_t)strtoul(text_of(tap, "issuer"), NULL, 16);
	ret->guest = text_of(tap, "issuer")[0] != '\0' ? tariff_guest_of(r->t, ret->issuer) : GUEST_LOCAL;
	return NULL;
}

static void rule_print(struct jsonw *j, const struct rating *r, uint16_t number, int64_t delta_fen)
{
	struct tariff_rule rule;

	if (!tariff_rule(r->t, number, &rule))
		return;
	jsonw_object(j);
	jsonw_kstr(j, "id", rule.id);
	jsonw_kstr(j, "title", rule.title);
	jsonw_kstr(j, "basis", rule.basis);
	jsonw_kint(j, "delta_fen", delta_fen);
	jsonw_object_end(j);
}

static void rules_print(struct jsonw *j, const struct rating *r, const struct fare *fare)
{
	jsonw_key(j, "rules");
	jsonw_array(j);
	for (uint8_t i = 0; i < fare->step_count; i++)
		rule_print(j, r, fare->step[i].rule, fare->step[i].delta_fen);
	if (fare->reject != FARE_OK && fare->rule != 0)		/* a refused tap takes no step: the rule that refused it */
		rule_print(j, r, fare->rule, 0);
	jsonw_array_end(j);
}

static void fare_print(const struct rating *r, const json_t *tap, const struct fare *fare)
{
	int64_t subsidy = 0;
	struct jsonw j;

	for (uint8_t i = 0; i < fare->funder_count; i++)
		subsidy += fare->funder[i].amount.fen;
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.fare");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "card", text_of(tap, "card"));
	jsonw_kstr(&j, "time", text_of(tap, "time"));
	jsonw_kbool(&j, "rejected", fare->reject != FARE_OK);
	if (fare->reject != FARE_OK)
		jsonw_kstr(&j, "reason", fare_reject_name(fare->reject));
	jsonw_kint(&j, "published_fen", fare->published.fen);
	jsonw_kint(&j, "fare_fen", fare->moved.fen);
	jsonw_kint(&j, "paid_fen", fare->paid.fen);
	jsonw_kint(&j, "subsidy_fen", subsidy);
	jsonw_kint(&j, "absorbed_fen", fare->absorbed.fen);
	jsonw_kint(&j, "refund_fen", fare->refund.fen);
	jsonw_kbool(&j, "transfer", fare->transfer);
	rules_print(&j, r, fare);
	jsonw_key(&j, "funders");
	jsonw_object(&j);
	for (uint8_t i = 0; i < fare->funder_count; i++) {
		struct tariff_treasury treasury;

		if (tariff_treasury(r->t, fare->funder[i].treasury, &treasury))
			jsonw_kint(&j, treasury.name, fare->funder[i].amount.fen);
	}
	jsonw_object_end(&j);
	jsonw_object_end(&j);
	putchar('\n');
}

static const char *line_rate(struct rating *r, const char *text)
{
	json_t *tap = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const char *fault = json_is_object(tap) ? NULL : "one JSON object a line is needed";
	struct rider_state *state = NULL;
	struct rider rider;
	struct ride ride;
	struct fare fare;

	if (fault == NULL)
		fault = rider_read(r, tap, &rider);
	if (fault == NULL)
		fault = ride_read(r, tap, &ride);
	if (fault == NULL && (state = state_of(r, text_of(tap, "card"))) == NULL)
		fault = "out of memory";
	if (fault == NULL) {
		rate(r->t, &rider, state, &ride, state, &fare, NULL);
		fare_print(r, tap, &fare);
	}
	json_decref(tap);
	return fault;
}

static int taps_rate(const char *dir, const char *path)
{
	struct printing p = { 0 };
	struct rating r = { 0 };
	struct tariff *t = NULL;
	void *blob = NULL;
	size_t n, space = 0;
	char *line = NULL;
	FILE *in = NULL;
	int ret = pack_open(dir, &p, &blob, &n, &t) == 0 ? EXIT_OK : EXIT_CONFIG;

	if (ret == EXIT_OK) {
		in = path != NULL ? fopen(path, "re") : stdin;
		if (in == NULL) {
			complain("%s: %s", path, strerror(errno));
			ret = EXIT_ABSENT;
		}
	}
	r.t = t;
	while (ret == EXIT_OK && getline(&line, &space, in) > 0) {
		const char *fault;

		r.line++;
		if (line[strspn(line, " \t\r\n")] == '\0')
			continue;
		fault = line_rate(&r, line);
		if (fault != NULL) {
			complain("%s:%u:1: %s", path != NULL ? path : "(stdin)", r.line, fault);
			ret = EXIT_USAGE;
		}
	}
	if (in != NULL && in != stdin)
		fclose(in);
	free(line);
	free(r.slot);
	tariff_close(t);
	free(blob);
	return ret;
}

static int pack_write(const struct options *o, const char *dir)
{
	struct printing p = { 0 };
	struct tariff *t;
	void *blob;
	size_t n;
	FILE *f;
	int ret = EXIT_OK;

	if (pack_open(dir, &p, &blob, &n, &t) != 0)
		return EXIT_CONFIG;
	f = fopen(o->to, "we");
	if (f == NULL || fwrite(blob, 1, n, f) != n)
		ret = EXIT_STORE;
	if (f != NULL && fclose(f) != 0)
		ret = EXIT_STORE;
	if (ret != EXIT_OK)
		complain("%s: cannot be written", o->to);
	tariff_close(t);
	free(blob);
	return ret;
}

int verb_tariff(int argc, char **argv)
{
	struct options o;
	int ret, words;

	for (size_t i = 0; argc > 1 && i < sizeof(subs) / sizeof(subs[0]); i++)
		if (strcmp(subs[i].name, argv[1]) == 0)
			return subs[i].run(argc - 1, argv + 1);
	ret = options_read(argc, argv, usage, &o);
	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	words = argc - o.first;
	if (words == 2 && strcmp(argv[o.first], "check") == 0)
		return pack_check(&o, argv[o.first + 1]);
	if (words == 2 && strcmp(argv[o.first], "rate") == 0 && o.cases != NULL)
		return tariff_cases_run(&o, o.cases, argv[o.first + 1]);
	if ((words == 2 || words == 3) && strcmp(argv[o.first], "rate") == 0)
		return taps_rate(argv[o.first + 1], words == 3 ? argv[o.first + 2] : NULL);
	if (words == 2 && strcmp(argv[o.first], "compile") == 0 && o.to != NULL)
		return pack_write(&o, argv[o.first + 1]);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
