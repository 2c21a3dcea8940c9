/* Bureaus' batches: the reader's two forms and refusals, what a full one and an increment do, what earlier positions still know, whom an event touched. */
#include "clearing/clearing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DAY(y, m, d) day_of_civil(y, m, d)
#define COLUMNS "handle,group,grade,from,to,verified_to,withdrawn\n"
#define ANNA "00000000000000A1"
#define BEN "00000000000000B1"
static const uint64_t anna = 0xA1, ben = 0xB1;

static char dir[64];
static struct store *store;
static struct txn t;
static struct refdata *ref;
static struct qr_key *key[2];
static uint64_t seq;
static char error[512];
static int64_t now_ms;

static void told(void *arg, const char *text) { (void)arg; print_message("%s\n", text); }

static int apply(uint8_t type, const void *body, size_t n)
{
	struct event e = { .seq = ++seq, .type = type, .received_ms = now_ms, .body = body, .bytes = n };

	error[0] = '\0';
	return refdata_apply(ref, &e, &t, error, sizeof(error));
}

static int tariff_load(void)
{
	void *blob;
	uint8_t *body;
	size_t n;
	int ret;

	if (tariff_compile("tariffs/packs/ganzhou", told, NULL, &blob, &n) != 0)
		return -1;
	body = malloc(n + 8);
	be64_put(body, 0);
	memcpy(body + 8, blob, n);
	ret = apply(EVENT_TARIFF, body, n + 8);
	free(blob);
	free(body);
	return ret;
}

static int bureaus_load(void)
{
	char csv[1024], hex[2][131];
	uint8_t point[65];

	for (int i = 0; i < 2; i++) {
		qr_key_point(key[i], point);
		hex_encode(point, sizeof(point), hex[i]);
	}
	snprintf(csv, sizeof(csv), "bureau,title,key,groups,facts,withdraw_max,late_holds\nedu,教育局,%s,pupil student,no,50,from-receipt\nsoc,人社局,%s,elder65 pupil,yes,50,adjust\n", hex[0], hex[1]);
	return apply(EVENT_BUREAUS, csv, strlen(csv));
}

static int house_open(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/qingfen-feed-XXXXXX");
	seq = 0;
	now_ms = (int64_t)DAY(2026, 1, 1) * 86400000;
	if (mkdtemp(dir) == NULL || store_open(dir, false, 64u << 20, &store) != 0 || txn_begin(store, true, &t) != 0 || refdata_new(&ref) != 0)
		return -1;
	return qr_key_new(&key[0]) != 0 || qr_key_new(&key[1]) != 0 || tariff_load() != 0 || bureaus_load() != 0;
}

static int house_close(void **state)
{
	char command[128];

	(void)state;
	refdata_free(ref);
	txn_abort(&t);
	store_close(store);
	qr_key_free(key[0]);
	qr_key_free(key[1]);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static uint8_t body[FEED_EVENT_HEAD_BYTES + 65536];

/* A batch of a bureau with its own key; rows as CSV lines. */
static int feed(int who, uint32_t sequence, const char *kind, const char *issued, const char *rows)
{
	char *text = (char *)body + FEED_EVENT_HEAD_BYTES;
	uint8_t signature[64];
	unsigned count = 0;
	size_t n;
	int ret;

	for (const char *p = rows; (p = strchr(p, '\n')) != NULL; p++)
		count++;
	n = (size_t)snprintf(text, sizeof(body) - FEED_EVENT_HEAD_BYTES, "qingfen.entitlements,1,%s,%u,%s,%s,%u\n" COLUMNS "%s",
			     who == 0 ? "edu" : "soc", sequence, kind, issued, count, rows);
	assert_int_equal(sm2_sign(key[who], text, n, signature), 0);
	error[0] = '\0';
	ret = feed_event_head("t", text, n, signature, false, body, error, sizeof(error));
	return ret != 0 ? ret : apply(EVENT_FEED, body, FEED_EVENT_HEAD_BYTES + n);
}

static struct rider rider_at(uint64_t handle, uint64_t at)
{
	struct rider r = { 0 };

	rider_of(&t, handle, at, &r);
	return r;
}

struct touch { uint64_t person; int32_t first; };
struct touches { struct touch list[8]; int count; };

static int touch_take(void *arg, uint64_t person, int32_t first)
{
	struct touches *all = arg;

	all->list[all->count++] = (struct touch){ person, first };
	return 0;
}

static struct touches touched(uint64_t event)
{
	struct touches all = { .count = 0 };

	assert_int_equal(entitlement_touched(&t, event, touch_take, &all), 0);
	return all;
}

/* ---- what batches do ------------------------------------------------------------------------------------ */

static void a_full_batch_ends_what_it_does_not_name_the_day_before_its_issue(void **state)
{
	struct rider r;

	(void)state;
	assert_int_equal(feed(0, 1, "full", "2025-10-01", ANNA ",pupil,,2025-09-01,,,\n" BEN ",pupil,,2025-09-01,,,\n"), 0);
	assert_int_equal(feed(0, 2, "full", "2025-11-01", ANNA ",pupil,,2025-09-01,,,\n"), 0);
	r = rider_at(ben, seq);
	assert_int_equal(r.hold[0].to, DAY(2025, 10, 31));
	assert_int_equal(rider_at(anna, seq).hold[0].to, INT32_MAX);
	assert_int_equal(rider_at(anna, seq).hold[0].batch, seq - 1);	/* unchanged: still of the batch that brought it */
}

static void an_earlier_position_still_knows_what_was_known_then(void **state)
{
	uint64_t first;

	(void)state;
	assert_int_equal(feed(0, 1, "increment", "2025-10-01", ANNA ",pupil,,2025-09-01,,,\n"), 0);
	first = seq;
	assert_int_equal(feed(0, 2, "increment", "2025-11-01", ANNA ",pupil,,2025-09-01,,,2025-10-15\n"), 0);
	assert_int_equal(rider_at(anna, first).hold[0].to, INT32_MAX);
	assert_int_equal(rider_at(anna, seq).hold[0].to, DAY(2025, 10, 14));
	assert_int_equal(rider_at(anna, first - 1).hold_count, 0);
}

static void a_bureau_changes_only_what_it_granted(void **state)
{
	struct rider r;

	(void)state;
	assert_int_equal(feed(0, 1, "increment", "2025-10-01", ANNA ",pupil,,2025-09-01,,,\n"), 0);
	assert_int_equal(feed(1, 1, "increment", "2025-10-01", ANNA ",pupil,,2025-09-01,2025-12-31,,\n"), 0);
	assert_int_equal(feed(1, 2, "increment", "2025-10-02", BEN ",pupil,,2025-09-01,,,2025-10-02\n"), CLEARING_E_REFERENCE);
	assert_string_equal(error, "feed:3:1: nothing to withdraw: this bureau granted no such hold");
	assert_int_equal(feed(1, 2, "full", "2025-11-01", BEN ",elder65,,2025-09-01,,,\n"), CLEARING_E_REFERENCE);
	assert_string_equal(error, "feed:1:1: 1 of 1 holders would lose all this bureau granted, more than 50 %; if that is meant, load it with --force");
	r = rider_at(anna, seq - 2);
	assert_int_equal(r.hold_count, 2);
	assert_int_equal(r.hold[0].to, INT32_MAX);
}

static void a_second_bureaus_equal_hold_stands_on_its_own(void **state)
{
	(void)state;
	assert_int_equal(feed(0, 1, "increment", "2025-10-01", ANNA ",pupil,,2025-09-01,,,\n"), 0);
	assert_int_equal(feed(1, 1, "increment", "2025-10-01", ANNA ",pupil,,2025-09-01,,,\n"), 0);
	assert_int_equal(feed(0, 2, "increment", "2025-11-01", ANNA ",pupil,,2025-09-01,,,2025-11-01\n"), 0);
	assert_int_equal(rider_at(anna, seq).hold_count, 2);
	assert_int_equal(rider_at(anna, seq).hold[1].to, INT32_MAX);
}

static void a_ninth_hold_is_refused_unless_one_ended_long_ago(void **state)
{
	char rows[1024] = "";

	(void)state;
	for (int i = 1; i <= 8; i++)
		snprintf(rows + strlen(rows), sizeof(rows) - strlen(rows), ANNA ",pupil,,2025-0%d-01,%s,,\n", i, i == 3 ? "2025-03-31" : "");
	assert_int_equal(feed(0, 1, "increment", "2025-06-30", rows), 0);
	assert_int_equal(feed(0, 2, "increment", "2025-07-01", ANNA ",pupil,,2025-09-01,,,\n"), CLEARING_E_REFERENCE);
	assert_string_equal(error, "feed:3:1: more than 8 entitlements for one person");
	assert_int_equal(feed(0, 2, "increment", "2025-07-02", ANNA ",pupil,,2025-09-01,,,\n"), 0);
	assert_int_equal(rider_at(anna, seq).hold_count, 8);
}

static void one_person_group_and_day_stands_once_in_a_batch(void **state)
{
	(void)state;
	assert_int_equal(feed(0, 1, "increment", "2025-10-01", ANNA ",pupil,,2025-09-01,,,\n" BEN ",pupil,,2025-09-01,,,\n" ANNA ",pupil,,2025-09-01,2026-01-01,,\n"), CLEARING_E_REFERENCE);
	assert_string_equal(error, "feed:5:1: the same person, group and first day as in an earlier line");
}

static void batches_come_in_order_and_the_first_is_one_or_full(void **state)
{
	(void)state;
	assert_int_equal(feed(0, 7, "increment", "2025-10-01", ANNA ",pupil,,2025-09-01,,,\n"), CLEARING_E_REFERENCE);
	assert_int_equal(feed(0, 7, "full", "2025-10-01", ANNA ",pupil,,2025-09-01,,,\n"), 0);
	assert_int_equal(feed(0, 8, "increment", "2025-09-30", BEN ",pupil,,2025-09-01,,,\n"), CLEARING_E_REFERENCE);
	assert_string_equal(error, "feed:1:1: the day of issue lies before the last batch's");
	assert_int_equal(feed(0, 8, "increment", "2026-01-02", BEN ",pupil,,2025-09-01,,,\n"), CLEARING_E_REFERENCE);
	assert_int_equal(feed(0, 8, "increment", "2026-01-01", BEN ",pupil,,2025-09-01,,,\n"), 0);
	assert_int_equal(refdata_feed_count(ref), 2);
}

static void a_replay_without_writing_knows_the_same_batches(void **state)
{
	struct refdata *again;
	struct event e = { .type = EVENT_FEED, .received_ms = now_ms };
	struct txn reading = { 0 };

	(void)state;
	assert_int_equal(feed(0, 1, "full", "2025-10-01", ANNA ",pupil,,2025-09-01,,,\n"), 0);
	again = NULL;
	e = (struct event){ .seq = seq, .type = EVENT_FEED, .received_ms = now_ms, .body = body, .bytes = FEED_EVENT_HEAD_BYTES };
	assert_int_equal(refdata_new(&again), 0);
	assert_int_equal(refdata_apply(again, &e, &reading, error, sizeof(error)), 0);
	assert_memory_equal(refdata_feed_at(again, 0), refdata_feed_at(ref, 0), sizeof(struct feed_batch));
	refdata_free(again);
}

/* ---- whom an event touched ---------------------------------------------------------------------------------- */

static void an_event_names_each_person_it_touched_and_the_first_day(void **state)
{
	static const struct { const char *row; int32_t first; } change[] = {
		{ ANNA ",pupil,,2025-09-01,2025-12-31,2025-12-31,\n", 0 },	/* new: its first day */
		{ ANNA ",pupil,,2025-09-01,2026-08-31,2025-12-31,\n", 0 },	/* longer: the day after the old end */
		{ ANNA ",pupil,,2025-09-01,2026-08-31,2025-11-30,\n", 0 },	/* verified less: the day after that */
		{ ANNA ",pupil,,2025-09-01,2026-08-31,2025-11-30,2025-10-10\n", 0 },	/* withdrawn: that day */
		{ ANNA ",pupil,2,2025-09-01,2026-08-31,2025-11-30,\n", 0 },	/* another grade: the first day */
	};
	const int32_t first[] = { DAY(2025, 9, 1), DAY(2026, 1, 1), DAY(2025, 12, 1), DAY(2025, 10, 10), DAY(2025, 9, 1) };

	(void)state;
	for (uint32_t i = 0; i < 5; i++) {
		struct touches all;

		assert_int_equal(feed(0, i + 1, "increment", "2025-11-01", change[i].row), 0);
		all = touched(seq);
		assert_int_equal(all.count, 1);
		assert_int_equal(all.list[0].person, anna | 1ULL << 63);
		assert_int_equal(all.list[0].first, first[i]);
	}
	assert_int_equal(feed(0, 6, "increment", "2025-11-01", change[4].row), 0);
	assert_int_equal(touched(seq).count, 0);		/* nothing new: nobody touched */
}

static void a_card_that_becomes_a_persons_touches_both(void **state)
{
	static const char csv[] = "pan,person,medium,from,to\n31047301000000000017," ANNA ",ssc,2025-11-03,\n";
	struct touches all;
	struct rider r;
	uint8_t pan[10];
	uint64_t before;

	(void)state;
	assert_true(pan_parse("31047301000000000017", pan));
	before = rider_find(&t, pan, seq, &r);
	assert_int_equal(apply(EVENT_MEDIA, csv, strlen(csv)), 0);
	all = touched(seq);
	assert_int_equal(all.count, 2);
	assert_int_equal(all.list[0].person, before);
	assert_int_equal(all.list[1].person, anna | 1ULL << 63);
	assert_int_equal(all.list[1].first, DAY(2025, 11, 3));
	assert_int_equal(rider_find(&t, pan, seq, &r), anna | 1ULL << 63);
	assert_int_equal(apply(EVENT_MEDIA, csv, strlen(csv)), 0);
	assert_int_equal(touched(seq).count, 0);
}

static void every_card_of_a_person_finds_the_same_record(void **state)
{
	static const char csv[] = "pan,person,medium,from,to\n31047301000000000017," ANNA ",ssc,,2025-11-02\n31047301000000000025," ANNA ",ssc,2025-11-03,\n6222020000000000017," ANNA ",bank,,\n";
	static const char *const pans[] = { "31047301000000000017", "31047301000000000025", "6222020000000000017" };
	struct rider r;
	uint8_t pan[10];

	(void)state;
	assert_int_equal(feed(0, 1, "increment", "2025-10-01", ANNA ",pupil,,2025-09-01,,,\n"), 0);
	assert_int_equal(apply(EVENT_MEDIA, csv, strlen(csv)), 0);
	for (int i = 0; i < 3; i++) {
		assert_true(pan_parse(pans[i], pan));
		assert_int_equal(rider_find(&t, pan, seq, &r), anna | 1ULL << 63);
		assert_int_equal(r.hold_count, 1);
	}
}

/* Followed: changes are found by known_follow, nobody tells of them, and some are looked up ahead. */
static void remembered_as_the_store_has_it(bool followed)
{
	static const char *const groups[] = { "pupil", "student" };
	uint32_t random = 11, remembered = 0;
	struct known *known;

	print_message("# seed %u\n", random);
	assert_int_equal(known_new(followed ? 16 : 8, &known), 0);	/* few places: some cards take each other's */
	for (uint32_t i = 0, taken = 0; i < 4000; i++) {
		struct rider a, b;
		char csv[256];
		uint8_t pan[10];

		random = random * 1664525u + 1013904223u;
		if (i % 40 == 0) {	/* another record of a person, or another person of a card */
			const char *who = (random >> 9 & 1) != 0 ? ANNA : BEN;

			if ((random >> 10 & 1) != 0) {
				snprintf(csv, sizeof(csv), "%s,%s,,2025-%02u-01,,,\n", who, groups[random >> 11 & 1], 1 + (random >> 12) % 3);
				assert_int_equal(feed(0, ++taken, "increment", "2025-10-01", csv), 0);
			} else {
				snprintf(csv, sizeof(csv), "pan,person,medium,from,to\n310473010000000000%02u,%s,ssc,,\n", 10 + (random >> 12) % 16, who);
				assert_int_equal(apply(EVENT_MEDIA, csv, strlen(csv)), 0);
			}
			if (!followed)
				known_forget(known);
		}
		if (followed)
			assert_int_equal(known_follow(known, &t), 0);
		if (followed && i % 3 == 0)
			known_warm(known, &t, 2);
		snprintf(csv, sizeof(csv), "310473010000000000%02u", 10 + (random >> 20) % 16);
		assert_true(pan_parse(csv, pan));
		assert_true(rider_find(&t, pan, seq, &a) == known_rider(known, &t, pan, seq, &b));
		assert_true(a.birth == b.birth && a.issued == b.issued && a.home == b.home && a.hold_count == b.hold_count && a.grant_count == b.grant_count);
		for (uint8_t h = 0; h < a.hold_count; h++)
			assert_true(a.hold[h].group == b.hold[h].group && a.hold[h].grade == b.hold[h].grade && a.hold[h].from == b.hold[h].from && a.hold[h].to == b.hold[h].to &&
				    a.hold[h].verified_to == b.hold[h].verified_to && a.hold[h].batch == b.hold[h].batch);
		remembered += a.hold_count > 0;
	}
	assert_true(remembered > 0);
	known_free(known);
}

static void a_rider_looked_up_before_is_as_the_store_has_it(void **state)
{
	(void)state;
	remembered_as_the_store_has_it(false);
}

static void a_rider_looked_up_ahead_is_as_the_store_has_it(void **state)
{
	(void)state;
	remembered_as_the_store_has_it(true);
}

/* More cards than the filter had room for at first, registered one event after the other. */
static void every_card_that_becomes_somebodys_is_found_from_the_next_question_on(void **state)
{
	enum { CARDS = 9000, BATCH_CARDS = 3000 };
	char *csv = malloc(BATCH_CARDS * 64);
	uint32_t passed = 0, ahead = 0;
	struct known *known;
	struct rider r;
	uint8_t pan[10];

	(void)state;
	assert_int_equal(known_new(16384, &known), 0);
	for (uint32_t from = 0; from < CARDS; from += BATCH_CARDS) {
		size_t n = (size_t)sprintf(csv, "pan,person,medium,from,to\n");

		assert_int_equal(known_follow(known, &t), 0);
		for (uint32_t i = from; i < from + BATCH_CARDS; i++) {
			n += (size_t)sprintf(csv + n, "3104730200000%07u,%s,ssc,,\n", i, ANNA);
			snprintf(csv + n, 24, "3104730200000%07u", i);
			assert_true(pan_parse(csv + n, pan));
			assert_int_equal(known_rider(known, &t, pan, seq, &r), card_person(pan));
		}
		csv[n] = '\0';
		assert_int_equal(apply(EVENT_MEDIA, csv, n), 0);
	}
	assert_int_equal(known_follow(known, &t), 0);
	while (known_warm(known, &t, 100))
		passed++;
	assert_in_range(passed, CARDS / 100 - 1, CARDS / 100 + 1);
	for (uint32_t i = 0; i < CARDS; i++) {
		struct known_card card;
		char text[32];

		snprintf(text, sizeof(text), "3104730200000%07u", i);
		assert_true(pan_parse(text, pan));
		card = known_card(known, pan);
		known_prefetch(known, &card);
		ahead += known_person_by(known, &card, pan) == (anna | 1ULL << 63);
		assert_int_equal(known_rider(known, &t, pan, seq, &r), anna | 1ULL << 63);
	}
	assert_in_range(ahead, CARDS * 95 / 100, CARDS);	/* the others found their places taken */
	known_free(known);
	free(csv);
}

static void a_card_number_is_its_own_persons_number(void **state)
{
	uint64_t random = 17;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		uint64_t person = 0;
		uint8_t pan[10];

		for (size_t k = 0; k < sizeof(pan); k++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			pan[k] = (uint8_t)((random >> 33) % 10 << 4 | (random >> 43) % 10);
			person = person * 100 + (pan[k] >> 4) * 10u + (pan[k] & 15);
		}
		assert_true(card_person(pan) == (person & ~(1ULL << 63)));
	}
}

static void what_was_looked_up_is_kept_until_it_is_forgotten(void **state)
{
	static const char csv[] = "pan,person,medium,from,to\n31047301000000000017," ANNA ",ssc,,\n";
	struct known *known;
	uint64_t before;
	struct rider r;
	uint8_t pan[10];

	(void)state;
	assert_true(pan_parse("31047301000000000017", pan));
	assert_int_equal(known_new(8, &known), 0);
	before = known_rider(known, &t, pan, seq, &r);
	assert_int_equal(before, card_person(pan));
	assert_int_equal(apply(EVENT_MEDIA, csv, strlen(csv)), 0);
	assert_int_equal(known_rider(known, &t, pan, seq, &r), before);
	known_forget(known);
	assert_int_equal(known_rider(known, &t, pan, seq, &r), anna | 1ULL << 63);
	known_free(known);
}

/* ---- the reader ------------------------------------------------------------------------------------------------ */

static void both_forms_give_the_same_rows(void **state)
{
	static const char csv[] = "qingfen.entitlements,1,edu,3,full,2025-10-01,1\r\nfrom,handle,group,to,grade\r\n2025-09-01," ANNA ",pupil,2026-08-31,2\r\n";
	static const char json[] = "{\"schema\":\"qingfen.entitlements\",\"version\":1,\"bureau\":\"edu\",\"sequence\":3,\"kind\":\"full\",\"issued\":\"2025-10-01\",\"count\":1}\n"
		"{\"from\":\"2025-09-01\", \"handle\":\"" ANNA "\", \"group\":\"pupil\", \"to\":\"2026-08-31\", \"grade\":2, \"birth\":null}\n";
	struct feed_row a, b;
	struct feed_reader r, s;

	(void)state;
	assert_int_equal(feed_open(&r, "a", csv, sizeof(csv) - 1, error, sizeof(error)), 0);
	assert_int_equal(feed_open(&s, "b", json, sizeof(json) - 1, error, sizeof(error)), 0);
	assert_memory_equal(&r.head, &s.head, sizeof(r.head));
	assert_int_equal(feed_next(&r, &a), 1);
	assert_int_equal(feed_next(&s, &b), 1);
	assert_int_equal(a.handle, b.handle);
	assert_string_equal(a.group, b.group);
	assert_int_equal(a.grade, 2);
	assert_int_equal(b.grade, 2);
	assert_int_equal(a.from, b.from);
	assert_int_equal(a.to, b.to);
	assert_int_equal(b.withdrawn, DAY_NONE);
	assert_int_equal(feed_next(&r, &a), 0);
	assert_int_equal(feed_next(&s, &b), 0);
}

#define HEAD "qingfen.entitlements,1,edu,3,full,2025-10-01,1\n"
#define JSON_HEAD "{\"schema\":\"qingfen.entitlements\",\"version\":1,\"bureau\":\"edu\",\"sequence\":3,\"kind\":\"full\",\"issued\":\"2025-10-01\",\"count\":1}\n"
static void a_refusal_has_line_and_column_and_no_identity_number(void **state)
{
	static const struct { const char *text, *error; } row[] = {
		{ "", "t:1:1: the file is empty" },
		{ "qingfen.entitlements,1,edu,3,full,2025-10-01,1", "t:1:1: the file ends inside this line; is it complete?" },
		{ "entitlements,1,edu,3,full,2025-10-01,1\n", "t:1:1: qingfen.entitlements is needed: this is another kind of file: \"entitlements\"" },
		{ "qingfen.entitlements,2,edu,3,full,2025-10-01,1\n", "t:1:22: format version 1 is needed: \"2\"" },
		{ "qingfen.entitlements,1,edu,0,full,2025-10-01,1\n", "t:1:28: a sequence number from 1 on is needed: \"0\"" },
		{ "qingfen.entitlements,1,edu,3,delta,2025-10-01,1\n", "t:1:30: full or increment is needed: \"delta\"" },
		{ "qingfen.entitlements,1,edu,3,full,2025-02-30,1\n", "t:1:35: a date YYYY-MM-DD that exists is needed: \"2025-02-30\"" },
		{ "qingfen.entitlements,1,edu,3,full,2025-10-01,2000001\n", "t:1:46: a whole number in range is needed: \"2000001\"" },
		{ "qingfen.entitlements,1,edu,3,full,2025-10-01\n", "t:1:35: cells are missing behind this one" },
		{ HEAD, "t:1:1: a line of column names is needed behind this one" },
		{ HEAD "handle,from,name\n", "t:2:13: no such column is known: \"name\"" },
		{ HEAD "handle,from\n", "t:2:1: column \"group\" is missing" },
		{ HEAD "handle,group,from\n360702201209013410,pupil,2025-09-01\n", "t:3:1: a handle of 16 hex digits, as qingfen entitlements prepare makes it, is needed" },
		{ HEAD "handle,group,from\n8000000000000000,pupil,2025-09-01\n", "t:3:1: a handle of 16 hex digits, as qingfen entitlements prepare makes it, is needed" },
		{ HEAD "handle,group,from\n" ANNA ",,2025-09-01\n", "t:3:18: a group's name is needed" },
		{ HEAD "handle,group,from\n" ANNA ",pupil\n", "t:3:18: cells are missing behind this one" },
		{ HEAD "handle,group,from\n" ANNA ",\"pupil\",2025-09-01\n", "t:3:18: no quotes are needed in this file" },
		{ HEAD "handle,group,from,to\n" ANNA ",pupil,2025-09-01,2025-08-31\n", "t:3:35: the end lies before the start: \"2025-08-31\"" },
		{ JSON_HEAD "[]\n", "t:2:1: one JSON object a line is needed" },
		{ JSON_HEAD "{\"handle\":\"" ANNA "\",\"handle\":1}\n", "t:2:30: the member stands here twice: \"handle\"" },
		{ JSON_HEAD "{\"name\":\"x\"}\n", "t:2:2: no such member is known: \"name\"" },
		{ JSON_HEAD "{\"group\":\"pu\\u0070il\"}\n", "t:2:10: a text without \\, a whole number or null is needed" },
		{ JSON_HEAD "{\"group\":\"pupil\"} x\n", "t:2:17: the object's end } and nothing behind it is needed" },
	};
	struct feed_reader r;
	struct feed_row got;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		int ret = feed_open(&r, "t", row[i].text, strlen(row[i].text), error, sizeof(error));

		if (ret == 0)
			ret = feed_next(&r, &got);
		assert_int_equal(ret, CLEARING_E_REFERENCE);
		assert_string_equal(error, row[i].error);
	}
}

static void a_line_of_512_bytes_is_read_and_one_more_is_refused(void **state)
{
	char text[2048];
	struct feed_reader r;
	struct feed_row row;

	(void)state;
	for (int extra = 0; extra <= 1; extra++) {
		size_t at = (size_t)snprintf(text, sizeof(text), JSON_HEAD "{\"handle\":\"" ANNA "\",\"group\":\"pupil\",\"from\":\"2025-09-01\"}"), head = strlen(JSON_HEAD);

		memset(text + at, ' ', FEED_LINE_BYTES_MAX);
		at = head + FEED_LINE_BYTES_MAX + (size_t)extra;
		text[at++] = '\n';
		assert_int_equal(feed_open(&r, "t", text, at, error, sizeof(error)), 0);
		assert_int_equal(feed_next(&r, &row), extra == 0 ? 1 : CLEARING_E_REFERENCE);
	}
}

static void identity_numbers_are_known_by_their_check_digit(void **state)
{
	char id[19];

	(void)state;
	assert_true(identity_normal("11010519491231002X", id));		/* GB 11643's own examples */
	assert_true(identity_normal("440524188001010014", id));
	assert_true(identity_normal("11010519491231002x", id));
	assert_string_equal(id, "11010519491231002X");
	assert_true(identity_normal("110105491231002", id));		/* the old form of the same person */
	assert_string_equal(id, "11010519491231002X");
	assert_false(identity_normal("110105194912310021", id));
	assert_false(identity_normal("1101051949123100", id));
	assert_false(identity_normal("", id));
}

static void a_handle_is_the_keyed_hash_and_needs_the_key(void **state)
{
	uint8_t city[2][32] = { { 1 }, { 2 } }, mac[DIGEST_BYTES], inner[64 + 18], outer[64 + 32];
	uint64_t a, b;

	(void)state;
	assert_int_equal(handle_make(city[0], "11010519491231002X", &a), 0);
	assert_int_equal(handle_make(city[1], "11010519491231002X", &b), 0);
	assert_int_not_equal(a, b);
	memset(inner, 0x36, 64);		/* RFC 2104 written out over SM3 */
	memset(outer, 0x5C, 64);
	inner[0] ^= 1;
	outer[0] ^= 1;
	memcpy(inner + 64, "11010519491231002X", 18);
	assert_int_equal(digest_sm3(inner, sizeof(inner), outer + 64), 0);
	assert_int_equal(digest_sm3(outer, sizeof(outer), mac), 0);
	assert_int_equal(a, be64_get(mac) & ~(1ULL << 63));
}

#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_open, house_close)
int main(void)
{
	const struct CMUnitTest tests[] = {
		HOUSE(a_full_batch_ends_what_it_does_not_name_the_day_before_its_issue),
		HOUSE(an_earlier_position_still_knows_what_was_known_then),
		HOUSE(a_bureau_changes_only_what_it_granted),
		HOUSE(a_second_bureaus_equal_hold_stands_on_its_own),
		HOUSE(a_ninth_hold_is_refused_unless_one_ended_long_ago),
		HOUSE(one_person_group_and_day_stands_once_in_a_batch),
		HOUSE(batches_come_in_order_and_the_first_is_one_or_full),
		HOUSE(a_replay_without_writing_knows_the_same_batches),
		HOUSE(an_event_names_each_person_it_touched_and_the_first_day),
		HOUSE(a_card_that_becomes_a_persons_touches_both),
		HOUSE(every_card_of_a_person_finds_the_same_record),		HOUSE(a_rider_looked_up_before_is_as_the_store_has_it),
		HOUSE(a_rider_looked_up_ahead_is_as_the_store_has_it),
		HOUSE(every_card_that_becomes_somebodys_is_found_from_the_next_question_on),
		cmocka_unit_test(a_card_number_is_its_own_persons_number),		HOUSE(what_was_looked_up_is_kept_until_it_is_forgotten),
		cmocka_unit_test(both_forms_give_the_same_rows),
		cmocka_unit_test(a_refusal_has_line_and_column_and_no_identity_number),
		cmocka_unit_test(a_line_of_512_bytes_is_read_and_one_more_is_refused),
		cmocka_unit_test(identity_numbers_are_known_by_their_check_digit),
		cmocka_unit_test(a_handle_is_the_keyed_hash_and_needs_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
