/* qingfen entitlements status, show - what each bureau sent last and who holds what, read from the store. */
#include "tools/entitlements.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GROUPS_MAX 256

struct looking { struct store *store; struct txn t; struct refdata *ref; uint64_t seq; const struct tariff *tariff; };

static int look_begin(const struct entitlement_options *o, struct looking *l)
{
	const struct options store = { .store = o->store };
	int ret = store_open_reading(&store, &l->store);

	if (ret != 0)
		return exit_of_error(ret);
	ret = txn_begin(l->store, false, &l->t);
	if (ret == 0)
		ret = refdata_new(&l->ref);
	if (ret == 0) {
		l->seq = inbox_last(&l->t);
		ret = refdata_replay(l->ref, &l->t, l->seq);
	}
	if (ret != 0) {
		complain("%s: %s", store_dir(o->store), clearing_strerror(ret));
		return exit_of_error(ret);
	}
	l->tariff = refdata_tariff(l->ref, (int64_t)time(NULL) * 1000);
	return EXIT_OK;
}

static void look_end(struct looking *l)
{
	if (l->t.mdb != NULL)
		txn_abort(&l->t);
	refdata_free(l->ref);
	if (l->store != NULL)
		store_close(l->store);
}

static const char *group_name(const struct looking *l, uint16_t code, char space[8])
{
	const char *name = l->tariff != NULL ? tariff_group_name(l->tariff, code) : NULL;

	snprintf(space, 8, "%u", code);
	return name != NULL ? name : space;
}

static void day_text(int32_t day, char ret[11])
{
	ret[0] = '\0';
	if (day != DAY_NONE && day != INT32_MIN && day != INT32_MIN + 1 && day != INT32_MAX)
		day_format(day, ret);
}

/* ---- status ------------------------------------------------------------------------------------------- */

struct tally { uint64_t holders, group[GROUPS_MAX], batches; };

static void holders_count(struct looking *l, const char *bureau, int32_t day, struct tally *ret)
{
	char prefix[BUREAU_NAME_BYTES_MAX + 1] = "";
	struct rider r;
	struct iter it;

	strcpy(prefix, bureau);
	iter_open(&l->t, DB_HOLDER, prefix, sizeof(prefix), &it);
	while (iter_next(&it)) {
		bool holds = false;

		if (it.key_bytes != sizeof(prefix) + 8 || !rider_of(&l->t, be64_get(it.key + sizeof(prefix)), l->seq, &r))
			continue;
		for (uint8_t i = 0; i < r.hold_count; i++) {
			const struct feed_batch *b = refdata_feed_of(l->ref, r.hold[i].batch);

			if (b == NULL || strcmp(b->head.bureau, bureau) != 0 || day < r.hold[i].from || day > r.hold[i].to)
				continue;
			holds = true;
			if (r.hold[i].group < GROUPS_MAX)
				ret->group[r.hold[i].group]++;
		}
		ret->holders += holds;
	}
	iter_close(&it);
}

/* Sequence numbers between the first taken and the last that are not there: none, unless the store is damaged. */
static uint64_t gaps_count(const struct looking *l, const char *bureau, struct tally *tally)
{
	uint32_t last = 0;
	uint64_t gaps = 0;

	for (size_t i = 0; i < refdata_feed_count(l->ref); i++) {
		const struct feed_batch *b = refdata_feed_at(l->ref, i);

		if (strcmp(b->head.bureau, bureau) != 0)
			continue;
		gaps += last != 0 && b->head.sequence != last + 1;
		last = b->head.sequence;
		tally->batches++;
	}
	return gaps;
}

static void bureau_json(struct looking *l, struct jsonw *j, const struct bureau *b, int32_t day)
{
	const struct feed_batch *last = refdata_feed_last(l->ref, b->name);
	static struct tally tally;
	char text[32] = "", space[8];

	tally = (struct tally){ 0 };
	holders_count(l, b->name, day, &tally);
	jsonw_object(j);
	jsonw_kstr(j, "bureau", b->name);
	jsonw_kstr(j, "title", b->title);
	jsonw_kint(j, "gaps", (int64_t)gaps_count(l, b->name, &tally));
	jsonw_kint(j, "batches", (int64_t)tally.batches);
	if (last != NULL) {
		jsonw_kint(j, "sequence", last->head.sequence);
		jsonw_kstr(j, "kind", last->head.kind == FEED_FULL ? "full" : "increment");
		day_text(last->head.issued, text);
		jsonw_kstr(j, "issued", text);
		jsonw_kint(j, "age_days", (int64_t)day - last->head.issued);
		time_format(last->received_ms, text);
		jsonw_kstr(j, "received", text);
		jsonw_kint(j, "rows", last->head.count);
		jsonw_kbool(j, "forced", last->forced);
	}
	jsonw_kint(j, "holders", (int64_t)tally.holders);
	jsonw_key(j, "groups");
	jsonw_object(j);
	for (uint16_t g = 0; g < GROUPS_MAX; g++)
		if (tally.group[g] != 0)
			jsonw_kint(j, group_name(l, g, space), (int64_t)tally.group[g]);
	jsonw_object_end(j);
	jsonw_object_end(j);
}

static void bureau_line(struct looking *l, const struct bureau *b, int32_t day)
{
	const struct feed_batch *last = refdata_feed_last(l->ref, b->name);
	static struct tally tally;
	char issued[11] = "", space[8];
	uint64_t gaps;

	tally = (struct tally){ 0 };
	holders_count(l, b->name, day, &tally);
	gaps = gaps_count(l, b->name, &tally);
	if (last == NULL) {
		printf("%s %s: 尚无批次\n", b->name, b->title);
		return;
	}
	day_text(last->head.issued, issued);
	printf("%s %s: 第 %" PRIu32 " 批 (%s, %" PRIu32 " 行%s), 签发 %s, 距今 %" PRId64 " 天, 断号 %" PRIu64 ", 在册 %" PRIu64 " 人",
	       b->name, b->title,
	       last->head.sequence, last->head.kind == FEED_FULL ? "全量" : "增量", last->head.count, last->forced ? ", 强制" : "", issued,
	       (int64_t)day - last->head.issued, gaps, tally.holders);
	for (uint16_t g = 0; g < GROUPS_MAX; g++)
		if (tally.group[g] != 0)
			printf(" %s=%" PRIu64, group_name(l, g, space), tally.group[g]);
	putchar('\n');
}

int entitlements_status(const struct entitlement_options *o)
{
	int32_t day = day_of_ms((int64_t)time(NULL) * 1000);
	struct looking l = { 0 };
	struct jsonw j;
	int ret = o->words == 1 && (o->date == NULL || day_parse(o->date, &day)) ? look_begin(o, &l) : EXIT_USAGE;

	if (ret == EXIT_OK && o->json) {
		jsonw_init(&j, stdout, false);
		jsonw_object(&j);
		jsonw_kstr(&j, "schema", "qingfen.entitlements.status");
		jsonw_kint(&j, "version", 1);
		jsonw_key(&j, "bureaus");
		jsonw_array(&j);
		for (size_t i = 0; i < refdata_bureau_count(l.ref); i++)
			bureau_json(&l, &j, refdata_bureau_at(l.ref, i), day);
		jsonw_array_end(&j);
		jsonw_object_end(&j);
		putchar('\n');
	}
	for (size_t i = 0; ret == EXIT_OK && !o->json && i < refdata_bureau_count(l.ref); i++)
		bureau_line(&l, refdata_bureau_at(l.ref, i), day);
	look_end(&l);
	return ret;
}

/* ---- show ------------------------------------------------------------------------------------------------- */

static void hold_json(struct looking *l, struct jsonw *j, const struct hold *h)
{
	const struct feed_batch *b = refdata_feed_of(l->ref, h->batch);
	char text[32], space[8];

	jsonw_object(j);
	jsonw_kstr(j, "group", group_name(l, h->group, space));
	jsonw_kint(j, "grade", h->grade);
	day_text(h->from, text);
	jsonw_kstr(j, "from", text);
	day_text(h->to, text);
	jsonw_kstr(j, "to", text);
	day_text(h->verified_to, text);
	jsonw_kstr(j, "verified_to", text);
	jsonw_kstr(j, "source", b != NULL ? b->head.bureau : "riders.csv");
	jsonw_kint(j, "batch", b != NULL ? b->head.sequence : 0);
	jsonw_kint(j, "seq", h->batch);
	text[0] = '\0';
	if (b != NULL)
		time_format(b->received_ms, text);
	jsonw_kstr(j, "received", text);
	jsonw_object_end(j);
}

static void medium_json(struct jsonw *j, const struct medium_row *m)
{
	char text[24];

	jsonw_object(j);
	pan_masked(m->pan, text);
	jsonw_kstr(j, "pan", text);
	jsonw_kstr(j, "medium", medium_name(m->medium));
	day_text(m->from, text);
	jsonw_kstr(j, "from", text);
	day_text(m->to, text);
	jsonw_kstr(j, "to", text);
	jsonw_kint(j, "seq", (int64_t)m->seq);
	jsonw_object_end(j);
}

/* Cards whose newest row is this person's. The whole register is read: a person asks, not a tap. */
static void media_json(struct looking *l, struct jsonw *j, uint64_t handle)
{
	struct medium_row m;
	uint8_t pan[10];
	struct iter it;

	iter_open(&l->t, DB_PERSON, NULL, 0, &it);
	for (bool first = true; iter_next(&it); first = false) {
		if (it.key_bytes != 18 || (!first && memcmp(pan, it.key, 10) == 0))
			continue;
		memcpy(pan, it.key, 10);
		if (medium_find(&l->t, pan, l->seq, &m) && m.handle == handle)
			medium_json(j, &m);
	}
	iter_close(&it);
}

static int person_show(struct looking *l, uint64_t handle)
{
	struct rider r = { .birth = DAY_NONE };
	char text[17];
	struct jsonw j;

	if (!rider_of(&l->t, handle, l->seq, &r)) {
		handle_format(handle, text);
		complain("%s: nothing is known of this person", text);
		return EXIT_ABSENT;
	}
	jsonw_init(&j, stdout, true);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.entitlements.person");
	jsonw_kint(&j, "version", 1);
	handle_format(handle, text);
	jsonw_kstr(&j, "person", text);
	day_text(r.birth, text);
	jsonw_kstr(&j, "birth", text[0] != '\0' ? "known" : "");
	jsonw_kint(&j, "home", r.home);
	jsonw_key(&j, "holds");
	jsonw_array(&j);
	for (uint8_t i = 0; i < r.hold_count; i++)
		hold_json(l, &j, &r.hold[i]);
	jsonw_array_end(&j);
	jsonw_key(&j, "media");
	jsonw_array(&j);
	media_json(l, &j, handle);
	jsonw_array_end(&j);
	jsonw_object_end(&j);
	putchar('\n');
	return EXIT_OK;
}

int entitlements_show(const struct entitlement_options *o)
{
	struct looking l = { 0 };
	struct medium_row m;
	uint64_t handle = 0;
	uint8_t pan[10];
	int ret;

	if ((o->words == 2) == (o->pan != NULL) || (o->pan != NULL ? !pan_parse(o->pan, pan) : !handle_parse(o->word[1], &handle)))
		return EXIT_USAGE;
	ret = look_begin(o, &l);
	if (ret == EXIT_OK && o->pan != NULL) {
		if (medium_find(&l.t, pan, l.seq, &m)) {
			handle = m.handle;
		} else {
			complain("the card is no registered person's");
			ret = EXIT_ABSENT;
		}
	}
	if (ret == EXIT_OK)
		ret = person_show(&l, handle);
	look_end(&l);
	return ret;
}
