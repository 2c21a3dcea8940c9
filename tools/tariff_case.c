/*
 * tariff_case - see tariff_case.h. Words of a case that the pack's reading.yaml does not translate mean what they
 * say; a word that means nothing to the pack is refused with its reason, never guessed.
 */
#include "tools/tariff_case.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- reading.yaml ---------------------------------------------------------------------------------------- */

static const char *const sections[] = { "policies", "lines", "cards", "settings", "modes", "media", "parts", "city" };
#define SECTIONS (sizeof(sections) / sizeof(sections[0]))

static int keys_known(const struct reading *r, const struct node *map, const char *const *known, size_t count)
{
	int ret = 0;

	for (size_t i = 0; i < map->count; i++) {
		const char *near = word_suggest(map->key[i], known, count);

		if (near != NULL && strcmp(near, map->key[i]) == 0)
			continue;
		fprintf(stderr, "%s:%u:%u: unknown key \"%s\"%s%s\n", r->path, map->key_line[i], map->key_column[i], map->key[i],
			near != NULL ? ", did you mean " : "", near != NULL ? near : "");
		ret = EXIT_CONFIG;
	}
	return ret;
}

static int entries_known(const struct reading *r, const char *section, const char *const *known, size_t count)
{
	const struct node *list = node_get(yaml_root(r->doc), section);
	int ret = 0;

	for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->count; i++)
		if (list->item[i]->kind == NODE_MAP && keys_known(r, list->item[i], known, count) != 0)
			ret = EXIT_CONFIG;
	return ret;
}

int reading_open(const char *pack_dir, struct reading *ret)
{
	static const char *const line_keys[] = { "if", "class", "mode", "operator", "county", "fare" };
	static const char *const card_keys[] = { "if", "hold", "home", "guest", "product", "medium" };
	struct reading r = { 0 };
	char error[512];

	snprintf(r.path, sizeof(r.path), "%s/reading.yaml", pack_dir);
	if (access(r.path, F_OK) == 0) {
		if (yaml_open(r.path, &r.doc, error, sizeof(error)) != 0) {
			fprintf(stderr, "%s\n", error);
			return EXIT_CONFIG;
		}
		if (yaml_root(r.doc) == NULL || yaml_root(r.doc)->kind != NODE_MAP || keys_known(&r, yaml_root(r.doc), sections, SECTIONS) != 0 ||
		    entries_known(&r, "lines", line_keys, 6) != 0 || entries_known(&r, "cards", card_keys, 6) != 0) {
			yaml_close(r.doc);
			return EXIT_CONFIG;
		}
	}
	*ret = r;
	return 0;
}

void reading_close(struct reading *r)
{
	if (r->doc != NULL)
		yaml_close(r->doc);
}

static const struct node *section(const struct reading *r, const char *name) { return r->doc != NULL ? node_get(yaml_root(r->doc), name) : NULL; }

static bool listed(const struct node *n, const char *text)
{
	if (n->kind == NODE_SCALAR)
		return strcmp(n->text, text) == 0;
	for (size_t i = 0; n->kind == NODE_LIST && i < n->count; i++)
		if (n->item[i]->kind == NODE_SCALAR && strcmp(n->item[i]->text, text) == 0)
			return true;
	return false;
}

bool reading_answers(const struct reading *r, const char *pack_dir, const char *policy)
{
	const struct node *policies = section(r, "policies");
	const char *base;
	size_t n = strlen(pack_dir);

	if (policies != NULL)
		return listed(policies, policy);
	while (n > 0 && pack_dir[n - 1] == '/')
		n--;
	for (base = pack_dir + n; base > pack_dir && base[-1] != '/'; base--)
		;
	return (size_t)(pack_dir + n - base) == strlen(policy) && strncasecmp(base, policy, strlen(policy)) == 0;
}

/* Their word in ours, by a mapping of the reading file; itself when it is not mapped. */
static const char *translated(const struct reading *r, const char *name, const char *word)
{
	const struct node *map = section(r, name), *n = map != NULL && map->kind == NODE_MAP ? node_get(map, word) : NULL;

	return n != NULL && n->kind == NODE_SCALAR ? n->text : word;
}

/* ---- words of a case ------------------------------------------------------------------------------------------ */

/* A JSON value as the word it is. */
static const char *word_of(const json_t *v, char *space, size_t bytes)
{
	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_integer(v))
		snprintf(space, bytes, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(space, bytes, "%.10g", json_real_value(v));	/* 67.5 is the word "67.5"; the pack reads it exactly */
	else
		snprintf(space, bytes, "%s", json_is_true(v) ? "true" : json_is_false(v) ? "false" : "");
	return space;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text != NULL ? text : "";
}

static int64_t number_of(const json_t *o, const char *key, int64_t fallback)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : fallback;
}

/* A word may stand on the tap or on the card. */
static const json_t *either(const json_t *tap, const json_t *card, const char *key)
{
	const json_t *v = json_object_get(tap, key);

	return v != NULL ? v : json_object_get(card, key);
}

/* All of an entry's "if" must hold; a word that is not there is "". "cat" stands for any hold's category. */
static bool entry_holds(const struct node *entry, const json_t *object, const json_t *more, const char *cat)
{
	const struct node *cond = node_get(entry, "if");
	char space[32];

	for (size_t i = 0; cond != NULL && cond->kind == NODE_MAP && i < cond->count; i++) {
		const char *word = strcmp(cond->key[i], "cat") == 0 && cat != NULL ? cat : word_of(either(more, object, cond->key[i]), space, sizeof(space));

		if (!listed(cond->item[i], word))
			return false;
	}
	return true;
}

/* ---- the overlay -------------------------------------------------------------------------------------------------- */

static const char *line_word(const struct reading *r, const json_t *line, const json_t *name, const char *key)
{
	const struct node *list = section(r, "lines");

	for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->count; i++) {
		const struct node *n = node_get(list->item[i], key);

		if (n != NULL && n->kind == NODE_SCALAR && entry_holds(list->item[i], line, name, NULL))
			return n->text;
	}
	return "";
}

static bool prices_on_taps(const json_t *scenario, const char *line)
{
	const json_t *taps = json_object_get(scenario, "taps"), *tap;
	size_t i;

	json_array_foreach(taps, i, tap)
		if (strcmp(text_of(tap, "line"), line) == 0 && json_object_get(tap, "price") != NULL)
			return true;
	return false;
}

static void line_print(const struct reading *r, const json_t *scenario, const char *name, const json_t *line, bool part, FILE *out)
{
	static const char *const known_modes[] = { "bus", "metro", "brt", "ferry" };
	json_t *named = json_pack("{s:s}", "line", name);
	const char *mode = line_word(r, line, named, "mode"), *fare = line_word(r, line, named, "fare");
	int64_t base = number_of(line, "base", number_of(line, "adult", -1)), own = number_of(line, "elder", number_of(line, "own", 0));
	int64_t hold = number_of(line, "max", 0);
	size_t k = 0;

	if (mode[0] == '\0')
		mode = translated(r, "modes", text_of(line, "mode"));
	while (k < 4 && strcmp(known_modes[k], mode) != 0)
		k++;
	if (k == 4)
		mode = strcmp(mode, "rail") == 0 || strcmp(mode, "subway") == 0 ? "metro" : "bus";
	fprintf(out, "\"%s\",%s,", name, line_word(r, line, named, "class"));
	if (fare[0] != '\0')
		fprintf(out, "%s", fare);
	else if (part || (base < 0 && prices_on_taps(scenario, name)))
		fprintf(out, "tap");
	else if (base > 0)
		fprintf(out, "flat:%lld", (long long)base);
	else
		fprintf(out, "class");
	fprintf(out, ",%s,%s,%s", mode, line_word(r, line, named, "operator"), line_word(r, line, named, "county"));
	fprintf(out, own > 0 ? ",%lld" : ",", (long long)own);
	fprintf(out, hold > 0 ? ",%lld\n" : ",\n", (long long)hold);
	json_decref(named);
}

/* Word of a part that names its line, such as the rounding of an undertaking. */
static const char *part_line(const struct reading *r, const json_t *part, char *space, size_t bytes)
{
	const struct node *word = section(r, "parts");

	return word != NULL && word->kind == NODE_SCALAR ? word_of(json_object_get(part, word->text), space, bytes) : "";
}

static void parts_print(const struct reading *r, const json_t *scenario, FILE *out)
{
	const json_t *tap, *part;
	char seen[512] = " ", space[32], spaced[64];
	size_t i, k;

	json_array_foreach(json_object_get(scenario, "taps"), i, tap)
		json_array_foreach(json_object_get(tap, "parts"), k, part) {
			const char *name = part_line(r, part, space, sizeof(space));

			snprintf(spaced, sizeof(spaced), " %.60s ", name);
			if (name[0] == '\0' || strstr(seen, spaced) != NULL || strlen(seen) + strlen(name) + 2 >= sizeof(seen))
				continue;
			snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s ", name);
			line_print(r, scenario, name, part, true, out);
		}
}

static void lines_print(const struct reading *r, json_t *scenario, FILE *out)
{
	const char *name;
	json_t *line;

	fprintf(out, "line,class,fare,mode,operator,county,own_fen,hold_fen\n");
	json_object_foreach(json_object_get(scenario, "lines"), name, line)
		line_print(r, scenario, name, line, false, out);
	parts_print(r, scenario, out);
}

/* {setting: word}, or {setting: {word: W, suffix: "%", values: {theirs: ours}}} */
static void setting_print(const struct node *n, const char *name, const json_t *scenario, const json_t *tap, unsigned *count, FILE *out)
{
	const struct node *word = n->kind == NODE_MAP ? node_get(n, "word") : n, *suffix = n->kind == NODE_MAP ? node_get(n, "suffix") : NULL;
	const struct node *values = n->kind == NODE_MAP ? node_get(n, "values") : NULL, *ours;
	const json_t *v;
	char space[32], *text;

	if (word == NULL || word->kind != NODE_SCALAR)
		return;
	v = either(tap, json_object_get(scenario, "card"), word->text);
	if (v == NULL)
		v = json_object_get(scenario, word->text);
	if (v == NULL)
		return;
	fprintf(out, "%s\"%s\": ", (*count)++ > 0 ? ", " : "", name);
	if (json_is_array(v) || json_is_object(v)) {
		text = json_dumps(v, JSON_COMPACT);
		fprintf(out, "%s", text != NULL ? text : "[]");
		free(text);
		return;
	}
	ours = values != NULL && values->kind == NODE_MAP ? node_get(values, word_of(v, space, sizeof(space))) : NULL;
	fprintf(out, "\"%s%s\"", ours != NULL ? ours->text : word_of(v, space, sizeof(space)), suffix != NULL ? suffix->text : "");
}

static void settings_print(const struct reading *r, const json_t *scenario, const json_t *tap, FILE *out)
{
	const struct node *map = section(r, "settings");
	unsigned count = 0;

	fprintf(out, "settings: {");
	for (size_t i = 0; map != NULL && map->kind == NODE_MAP && i < map->count; i++)
		setting_print(map->item[i], map->key[i], scenario, tap, &count, out);
	fprintf(out, "}\n");
}

static void treasuries_print(const json_t *scenario, FILE *out)
{
	const json_t *shares = json_object_get(scenario, "shares"), *share;
	size_t i;

	if (!json_is_array(shares) || json_array_size(shares) == 0)
		return;
	fprintf(out, "treasuries:\n");
	json_array_foreach(shares, i, share) {
		const char *name = json_string_value(json_array_get(share, 0));

		fprintf(out, "  - {name: \"%s\", title: \"%s\"}\n", name != NULL ? name : "", name != NULL ? name : "");
	}
}

/* {"2024-05-01": "holiday"}, or {"holidays": [...], "workdays": [...]} */
static void calendar_print(json_t *calendar, FILE *out)
{
	const char *key;
	json_t *value, *date;
	size_t i;

	fprintf(out, "date,kind\n");
	json_object_foreach(calendar, key, value) {
		if (json_is_string(value))
			fprintf(out, "%s,%s\n", key, json_string_value(value));
		json_array_foreach(value, i, date)
			if (json_is_string(date))
				fprintf(out, "%s,%.7s\n", json_string_value(date), key);	/* holidays: holiday, workdays: workday */
	}
}

int case_overlay_make(const struct reading *r, const json_t *scenario, const json_t *tap, struct case_overlay *ret)
{
	json_t *calendar = json_object_get(scenario, "calendar"), *mutable = (json_t *)(uintptr_t)scenario;
	struct case_overlay o = { 0 };
	size_t n;
	FILE *f = open_memstream(&o.yaml, &n);

	if (f == NULL)
		return EXIT_STORE;
	settings_print(r, scenario, tap, f);
	treasuries_print(scenario, f);
	fclose(f);
	f = open_memstream(&o.lines_csv, &n);
	if (f != NULL) {
		lines_print(r, mutable, f);
		fclose(f);
	}
	f = json_is_object(calendar) ? open_memstream(&o.calendar_csv, &n) : NULL;
	if (f != NULL) {
		calendar_print(calendar, f);
		fclose(f);
	}
	*ret = o;
	return 0;
}

void case_overlay_free(struct case_overlay *o)
{
	free(o->yaml);
	free(o->lines_csv);
	free(o->calendar_csv);
	*o = (struct case_overlay){ 0 };
}

/* ---- the rider ---------------------------------------------------------------------------------------------------- */

static int32_t day_of(const json_t *o, const char *key, int32_t fallback)
{
	int32_t day;

	return day_parse(text_of(o, key), &day) ? day : fallback;
}

static void hold_add(struct rider *rider, uint16_t group, const json_t *from, const json_t *card)
{
	if (group == 0 || rider->hold_count == RIDER_HOLDS_MAX)
		return;
	rider->hold[rider->hold_count++] = (struct hold){
		.group = group, .grade = (uint8_t)number_of(from, "grade", 0), .from = day_of(from, "from", INT32_MIN + 1), .to = day_of(from, "to", INT32_MAX),
		.verified_to = day_of(from, "verified_to", day_of(card, "verified_to", INT32_MAX)),
	};
}

/* Entries of "cards" for one hold of the card (cat), or for the card itself (cat NULL). Said: one tells what the hold is,
 * which may be "none", nothing that this pack knows a benefit for. */
static const char *card_entries(const struct reading *r, const struct tariff *t, const json_t *card, const json_t *hold, const json_t *tap,
				struct rider *rider, bool *ret_said)
{
	const struct node *list = section(r, "cards");
	const char *cat = hold != NULL ? text_of(hold, "cat") : NULL;

	for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->count; i++) {
		const struct node *entry = list->item[i], *cond = node_get(entry, "if"), *group = node_get(entry, "hold"), *home = node_get(entry, "home");
		bool of_hold = cond != NULL && cond->kind == NODE_MAP && node_get(cond, "cat") != NULL;
		int64_t number;

		if (of_hold != (hold != NULL) || !entry_holds(entry, hold != NULL ? hold : card, hold != NULL ? card : tap, cat))
			continue;
		if (home != NULL && node_int(home, &number))
			rider->home = (uint32_t)number;
		if (group == NULL)
			continue;
		*ret_said = true;
		if (strcmp(group->text, "none") == 0)
			continue;
		if (tariff_group_code(t, group->text) == 0)
			return "reading.yaml names a group that the pack does not have";
		hold_add(rider, tariff_group_code(t, group->text), hold, card);
	}
	return NULL;
}

/* Characters of a date that the period of a granted quota lasts: those of its month are 7. 0: its units do not lapse by date. */
static size_t period_chars(const struct tariff *t)
{
	struct tariff_quota q[CONCESSION_QUOTAS_MAX];

	for (uint16_t rule = 1; rule < tariff_rule_count(t); rule++)
		for (size_t i = tariff_quotas_of(t, rule, q); i-- > 0;)
			if (q[i].granted)
				return strcmp(q[i].period, "day") == 0 ? 10 : strcmp(q[i].period, "month") == 0 ? 7 : strcmp(q[i].period, "year") == 0 ? 4 : 0;
	return 0;
}

static const char *first_time(const json_t *list, const char *least)
{
	const json_t *tap;
	size_t i;

	json_array_foreach(list, i, tap)
		if (least[0] == '\0' || strcmp(text_of(tap, "t"), least) < 0)
			least = text_of(tap, "t");
	return least;
}

/* Units that were on the card at its first tap are gone with the period of that tap. */
static bool counts_left(const struct tariff *t, const json_t *scenario, const json_t *tap)
{
	const char *first = first_time(json_object_get(scenario, "pre"), first_time(json_object_get(scenario, "taps"), ""));

	return strncmp(first, text_of(tap, "t"), period_chars(t)) == 0;
}

const char *case_rider_read(const struct reading *r, const struct tariff *t, const json_t *scenario, const json_t *tap, struct rider *ret)
{
	const json_t *card = json_object_get(scenario, "card"), *holds = json_object_get(card, "holds"), *hold;
	struct rider rider = { .birth = day_of(card, "birth", DAY_NONE), .issued = day_of(card, "issued", DAY_NONE) };
	int64_t counts = number_of(card, "counts", 0);
	bool said = false;
	const char *fault = card_entries(r, t, card, NULL, tap, &rider, &said);
	size_t i;

	json_array_foreach(holds, i, hold) {
		uint16_t group = tariff_group_code(t, text_of(hold, "cat"));

		said = false;
		if (fault == NULL && rider.hold_count == RIDER_HOLDS_MAX)
			fault = "more holds than a rider can have";
		if (fault == NULL)
			fault = card_entries(r, t, card, hold, tap, &rider, &said);
		if (fault == NULL && !said)
			hold_add(&rider, group, hold, card);
		if (fault == NULL && !said && group == 0)
			fault = "a hold's category is not a group of the pack, and reading.yaml does not say which it is";
	}
	if (counts > 0 && tariff_quota_code(t, NULL) != 0 && counts_left(t, scenario, tap))
		rider.grant[rider.grant_count++] = (struct grant){ tariff_quota_code(t, NULL), (uint32_t)counts };
	if (fault == NULL)
		*ret = rider;
	return fault;
}

/* ---- the rides ------------------------------------------------------------------------------------------------------ */

static enum ride_medium medium_of(const struct reading *r, const json_t *card, const json_t *tap, const char *given)
{
	static const char *const ours[] = { "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" };
	static const char *const theirs[][2] = { { "ssc3", "ssc" }, { "essc_qr", "qr" }, { "bankcard", "bank" }, { "unionpay_qr", "bank-qr" },
		{ "cert_qr", "manual" }, { "code", "qr" } };
	const json_t *v = either(tap, card, "media");
	const char *word = given[0] != '\0' ? given : json_string_value(v != NULL ? v : either(tap, card, "medium"));

	if (word == NULL)
		return strcmp(text_of(tap, "ev"), "cash") == 0 ? MEDIUM_CASH : MEDIUM_PURSE;
	word = translated(r, "media", word);
	for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
		if (strcmp(word, theirs[i][0]) == 0)
			word = theirs[i][1];
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcmp(word, ours[i]) == 0)
			return (enum ride_medium)(MEDIUM_PURSE + i);
	return MEDIUM_PURSE;
}

static const char *card_word(const struct reading *r, const json_t *card, const json_t *tap, const char *key)
{
	const struct node *list = section(r, "cards");

	for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->count; i++) {
		const struct node *n = node_get(list->item[i], key);

		if (n != NULL && n->kind == NODE_SCALAR && entry_holds(list->item[i], card, tap, NULL))
			return n->text;
	}
	return "";
}

/* A card of another city is a guest: of the region where the case lists its city. */
static enum guest_class guest_of(const struct reading *r, const json_t *scenario, const json_t *card, const json_t *tap)
{
	const struct node *local = section(r, "city");
	const char *word = card_word(r, card, tap, "guest"), *city = text_of(card, "city");
	const json_t *one;
	size_t i;

	if (word[0] != '\0')
		return strcmp(word, "region") == 0 ? GUEST_REGION : strcmp(word, "other") == 0 ? GUEST_OTHER : GUEST_LOCAL;
	if (city[0] == '\0' || strcmp(city, "local") == 0 || (local != NULL && listed(local, city)))
		return GUEST_LOCAL;
	json_array_foreach(json_object_get(scenario, "region"), i, one)
		if (json_is_string(one) && strcmp(json_string_value(one), city) == 0)
			return GUEST_REGION;
	return GUEST_OTHER;
}

static const char *ride_read(const struct reading *r, const json_t *scenario, const json_t *tap, struct ride *ret)
{
	const json_t *card = json_object_get(scenario, "card");
	const char *event = text_of(tap, "ev"), *product = card_word(r, card, tap, "product");
	int32_t known;
	struct ride ride = { .event = strcmp(event, "in") == 0 ? RIDE_ON : strcmp(event, "out") == 0 ? RIDE_OFF : RIDE_SINGLE, .card_class = 1,
			     .list = money_of_fen(number_of(tap, "price", 0)), .distance_m = (uint32_t)number_of(tap, "km10", 0) * 100,
			     .far_m = (uint32_t)number_of(tap, "far_km10", 0) * 100, .stops = (uint16_t)number_of(tap, "stops", 0),
			     .zones = (uint16_t)number_of(tap, "zones", 0), .inside = json_is_true(json_object_get(tap, "gate")) };

	if (!time_parse(text_of(tap, "t"), &ride.time_ms))
		return "t is not a time";
	if (text_of(tap, "t_out")[0] != '\0' && !time_parse(text_of(tap, "t_out"), &ride.out_ms))
		return "t_out is not a time";
	if (day_parse(text_of(tap, "known"), &known))
		ride.known_ms = (int64_t)known * 86400000 - CIVIL_OFFSET_MS;
	ride.medium = medium_of(r, card, tap, card_word(r, card, tap, "medium"));
	ride.guest = guest_of(r, scenario, card, tap);
	if (product[0] == '\0')
		product = json_string_value(either(tap, card, "product"));
	snprintf(ride.product, sizeof(ride.product), "%.15s", product != NULL ? product : "");
	snprintf(ride.line, sizeof(ride.line), "%.47s", text_of(tap, "line"));
	snprintf(ride.vehicle, sizeof(ride.vehicle), "%.15s", text_of(tap, "veh"));
	*ret = ride;
	return NULL;
}

const char *case_rides_read(const struct reading *r, const json_t *scenario, const json_t *tap, struct ride *ret,
			    size_t *ret_count)
{
	const json_t *parts = json_object_get(tap, "parts"), *part;
	const char *fault = ride_read(r, scenario, tap, &ret[0]);
	char space[32];
	size_t i;

	*ret_count = 1;
	if (fault != NULL || !json_is_array(parts) || json_array_size(parts) == 0)
		return fault;
	if (json_array_size(parts) > CASE_PARTS_MAX)
		return "more than 8 parts";
	*ret_count = json_array_size(parts);
	json_array_foreach(parts, i, part) {
		ret[i] = ret[0];
		ret[i].list = money_of_fen(number_of(part, "adult", number_of(part, "base", 0)));
		snprintf(ret[i].line, sizeof(ret[i].line), "%.47s", part_line(r, part, space, sizeof(space)));
	}
	return NULL;
}
