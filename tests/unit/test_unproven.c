/* The cap on what a device may bring unproven: what counts, in which order, and a person's release. */
#include "clearing/unproven.h"

#include "tests/unit/house.h"

static void cap_set(struct house *h, int64_t fen)
{
	uint8_t body[DEVICE_CAP_BYTES];

	device_cap_event(fen, body);
	event_add(h, EVENT_DEVICE, body, sizeof(body), "", 0);
}

/* A record of the driver's console: it says of itself that nothing was taken, whatever the line costs. */
static struct tap manual_at(unsigned card, int32_t day, int minute)
{
	struct tap t = tap_at(card, day, minute, "A", 0);

	t.kind = TAP_MANUAL;
	t.medium = MEDIUM_MANUAL;
	t.list_fen = 0;
	return t;
}

static uint8_t verdict_on(struct house *h, const struct tap *tap, int32_t day)
{
	uint8_t business[TAP_KEY_BYTES], at[CLEARED_KEY_BYTES], verdict = 255;
	struct cleared row;
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	tap_key(tap, business);
	row_key(day, CLEARED_RIDE, business, 0, at);
	if (row_get(&t, at, &row))
		verdict = row.verdict;
	txn_abort(&t);
	return verdict;
}

static void persons_add(struct house *h)
{
	char csv[256], hex[131];
	uint8_t point[65];

	qr_key_point(key[0], point);
	hex_encode(point, sizeof(point), hex);
	snprintf(csv, sizeof(csv), "name,title,key\nzhang,,%s\n", hex);
	event_add(h, EVENT_PERSONS, "", 0, csv, strlen(csv));
}

static int release(struct house *h, const struct tap *tap, const struct qr_key *by)
{
	uint8_t id[TAP_KEY_BYTES], digest[DIGEST_BYTES], signature[64], body[DEVICE_RELEASE_BYTES];
	char text[PUBLISH_TEXT_BYTES];
	struct cleared row;
	int32_t day;
	struct txn t;

	tap_key(tap, id);
	assert_int_equal(txn_begin(h->store, false, &t), 0);
	assert_true(set_aside_find(&t, id, &day, &row));
	assert_int_equal(digest_sha256(row.raw, row.raw_bytes, digest), 0);
	txn_abort(&t);
	assert_int_equal(sm2_sign(by, text, release_text(id, day, digest, text), signature), 0);
	release_event(id, day, digest, "zhang", signature, body);
	return event_try(h, EVENT_DEVICE, body, sizeof(body), "", 0);
}

/* ---- what counts ------------------------------------------------------------------------------------------ */

static void what_a_device_can_say_by_itself_is_unproven_and_nothing_else_is(void **state)
{
	static const bool unproven[] = { [KEY_CHECK_NONE] = true, [KEY_CHECK_GOOD] = false, [KEY_CHECK_BAD] = false, [KEY_CHECK_GREY] = false,
		[KEY_CHECK_FOREIGN] = true, [KEY_CHECK_NO_KEY] = true, [KEY_CHECK_DEVICE] = true, [KEY_CHECK_UNAVAILABLE] = false,
		[KEY_CHECK_DISTRUSTED] = false };

	(void)state;
	for (size_t i = 0; i < sizeof(unproven) / sizeof(unproven[0]); i++)
		assert_int_equal(check_unproven((enum key_check)i), unproven[i]);
	assert_true(unproven_counts(VERDICT_PENDING, KEY_CHECK_FOREIGN));
	assert_false(unproven_counts(VERDICT_GREY, KEY_CHECK_FOREIGN));
	assert_false(unproven_counts(VERDICT_ACCEPTED, KEY_CHECK_GOOD));
}

static void a_record_is_worth_what_it_says_or_what_its_line_costs_whichever_is_more(void **state)
{
	struct tap tap = manual_at(1, DAY0, 480);
	const struct tariff *t;
	struct house h;

	(void)state;
	house_open(&h);
	t = refdata_tariff(h.ref, tap.time_ms);
	assert_non_null(t);
	assert_int_equal(unproven_value(&tap, t, 101, DAY0), 200);
	tap.list_fen = 450;
	assert_int_equal(unproven_value(&tap, t, 101, DAY0), 450);
	tap.amount_fen = 600;
	assert_int_equal(unproven_value(&tap, t, 101, DAY0), 600);
	assert_int_equal(unproven_value(&tap, NULL, 101, DAY0), 600);
	tap.amount_fen = tap.list_fen = 0;
	snprintf(tap.line, sizeof(tap.line), "nowhere");
	assert_int_equal(unproven_value(&tap, t, 101, DAY0), 0);
	house_close(&h);
}

/* ---- the clear --------------------------------------------------------------------------------------------- */

static void what_comes_beyond_the_cap_is_set_aside_in_the_order_of_time(void **state)
{
	struct tap first = manual_at(1, DAY0, 480), second = manual_at(2, DAY0, 481), third = manual_at(3, DAY0, 482), proven = tap_at(4, DAY0, 490, "A", 200);
	struct tap next = manual_at(1, DAY0 + 1, 480);
	uint8_t there[DIGEST_BYTES], back[DIGEST_BYTES];
	struct house h, mirror;

	(void)state;
	house_open(&h);
	house_open(&mirror);
	cap_set(&h, 400);
	tap_send_as(&h, &first, "V-1", KEY_CHECK_DEVICE);
	tap_send_as(&h, &second, "V-1", KEY_CHECK_DEVICE);
	tap_send_as(&h, &third, "V-1", KEY_CHECK_DEVICE);
	tap_send(&h, &proven);
	day_end(&h);
	assert_int_equal(verdict_on(&h, &first, DAY0), VERDICT_ACCEPTED);
	assert_int_equal(verdict_on(&h, &second, DAY0), VERDICT_ACCEPTED);	/* exactly at the cap */
	assert_int_equal(verdict_on(&h, &third, DAY0), VERDICT_QUARANTINED);
	assert_int_equal(verdict_on(&h, &proven, DAY0), VERDICT_ACCEPTED);
	tap_send(&mirror, &proven);
	tap_send_as(&mirror, &third, "V-1", KEY_CHECK_DEVICE);
	tap_send_as(&mirror, &second, "V-1", KEY_CHECK_DEVICE);
	cap_set(&mirror, 400);		/* in force at the cut is what counts */
	tap_send_as(&mirror, &first, "V-1", KEY_CHECK_DEVICE);
	day_end(&mirror);
	assert_int_equal(day_digest(h.store, DAY0, there), 0);
	assert_int_equal(day_digest(mirror.store, DAY0, back), 0);
	assert_memory_equal(there, back, DIGEST_BYTES);

	tap_send_as(&h, &next, "V-1", KEY_CHECK_DEVICE);	/* another day, another sum */
	cap_set(&h, 100);
	day_end(&h);
	assert_int_equal(verdict_on(&h, &next, DAY0 + 1), VERDICT_QUARANTINED);
	cap_set(&h, 0);
	all_holds(&h);			/* the first day is cleared again with the cap of its time */
	house_close(&h);
	house_close(&mirror);
}

static void random_records_are_set_aside_as_a_plain_sum_says(void **state)
{
	static const enum key_check checks[] = { KEY_CHECK_GOOD, KEY_CHECK_DEVICE, KEY_CHECK_FOREIGN, KEY_CHECK_NO_KEY, KEY_CHECK_GREY, KEY_CHECK_UNAVAILABLE };
	static const char more[] = "terminal,psam,device,operator,valid_from,valid_to\n428000000003,428000000003,V-2,101,2000-01-01,\n";
	enum { N = 120 };
	struct tap tap[N];
	uint32_t order[N];
	enum key_check check[N];
	bool second[N];
	int64_t sum[2] = { 0 }, cap = 3000 + sample_below(4000);
	struct house h;
	int aside = 0;

	(void)state;
	house_open(&h);
	event_add(&h, EVENT_TERMINALS, "", 0, more, strlen(more));
	cap_set(&h, cap);
	for (uint32_t i = 0; i < N; i++) {
		tap[i] = tap_at(1 + i % 90, DAY0, 300 + (int)i, "A", 100 + sample_below(300));
		tap[i].time_ms += (i / 90) * 1000;
		second[i] = sample_below(2) == 1;
		check[i] = checks[sample_below(sizeof(checks) / sizeof(checks[0]))];
		if (second[i]) {
			tap[i].terminal[5] = 3;
			memcpy(tap[i].psam, tap[i].terminal, 6);
		}
		order[i] = i;
	}
	for (uint32_t i = N - 1; i > 0; i--) {
		uint32_t k = sample_below(i + 1), was = order[i];

		order[i] = order[k];
		order[k] = was;
	}
	for (uint32_t i = 0; i < N; i++)
		tap_send_as(&h, &tap[order[i]], second[order[i]] ? "V-2" : "V-1", check[order[i]]);
	day_end(&h);
	for (uint32_t i = 0; i < N; i++) {
		bool counts = check[i] == KEY_CHECK_DEVICE || check[i] == KEY_CHECK_FOREIGN || check[i] == KEY_CHECK_NO_KEY;
		int64_t value = tap[i].amount_fen > 200 ? tap[i].amount_fen : 200;

		sum[second[i]] += counts ? value : 0;
		assert_int_equal(verdict_on(&h, &tap[i], DAY0) == VERDICT_QUARANTINED, counts && sum[second[i]] > cap);
		aside += counts && sum[second[i]] > cap;
	}
	assert_in_range(aside, 1, N - 1);
	all_holds(&h);
	house_close(&h);
}

/* ---- a person ------------------------------------------------------------------------------------------------ */

static void a_released_record_settles_once_on_the_day_of_its_release(void **state)
{
	struct tap first = manual_at(1, DAY0, 480), aside = manual_at(2, DAY0, 482), after = tap_at(2, DAY0, 500, "B", 300);
	struct house h;
	struct fare f;

	(void)state;
	house_open(&h);
	persons_add(&h);
	cap_set(&h, 200);
	tap_send_as(&h, &first, "V-1", KEY_CHECK_DEVICE);
	tap_send_as(&h, &aside, "V-1", KEY_CHECK_DEVICE);
	tap_send(&h, &after);
	day_end(&h);
	assert_int_equal(verdict_on(&h, &aside, DAY0), VERDICT_QUARANTINED);
	assert_int_equal(paid_of(&h, &after), 300);
	assert_int_equal(release(&h, &aside, key[1]), CLEARING_E_REFERENCE);	/* somebody else's signature */
	assert_int_equal(release(&h, &aside, key[0]), 0);
	assert_int_equal(release(&h, &aside, key[0]), CLEARING_E_REFERENCE);
	tap_send_as(&h, &aside, "V-1", KEY_CHECK_DEVICE);	/* sent again on that day */
	day_end(&h);
	assert_int_equal(verdict_on(&h, &aside, DAY0), VERDICT_QUARANTINED);	/* nothing is edited */
	assert_int_equal(verdict_on(&h, &aside, DAY0 + 1), VERDICT_ACCEPTED);
	assert_int_equal(stands(&h, &after, &f, NULL), 1);	/* it is a transfer now: 3.00 less 1.00 */
	assert_int_equal(f.paid.fen, 200);
	tap_send_as(&h, &aside, "V-1", KEY_CHECK_DEVICE);
	day_end(&h);
	assert_int_equal(verdict_on(&h, &aside, DAY0 + 2), VERDICT_DUPLICATE);
	assert_int_equal(release(&h, &aside, key[0]), CLEARING_E_REFERENCE);
	all_holds(&h);
	house_close(&h);
}

static void only_what_was_set_aside_can_be_released(void **state)
{
	struct tap tap = manual_at(1, DAY0, 480);
	uint8_t id[TAP_KEY_BYTES];
	struct cleared row;
	struct house h;
	int32_t day;
	struct txn t;

	(void)state;
	house_open(&h);
	tap_send_as(&h, &tap, "V-1", KEY_CHECK_DEVICE);
	day_end(&h);
	tap_key(&tap, id);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	assert_false(set_aside_find(&t, id, &day, &row));
	id[0] ^= 1;
	assert_false(set_aside_find(&t, id, &day, &row));
	txn_abort(&t);
	house_close(&h);
}

static char *explained(struct house *h, const struct tap *tap)
{
	uint8_t id[TAP_KEY_BYTES];
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	tap_key(tap, id);
	assert_int_equal(explain_tap(h->store, id, false, f), 0);
	fclose(f);
	return text;
}

static void it_is_explained_with_the_sum_the_cap_and_who_released_it(void **state)
{
	struct tap first = manual_at(1, DAY0, 480), aside = manual_at(2, DAY0, 482);
	struct house h;
	char *text;

	(void)state;
	house_open(&h);
	persons_add(&h);
	cap_set(&h, 250);
	tap_send_as(&h, &first, "V-1", KEY_CHECK_DEVICE);
	tap_send_as(&h, &aside, "V-1", KEY_CHECK_DEVICE);
	day_end(&h);
	text = explained(&h, &aside);
	assert_non_null(strstr(text, "至本笔累计 +4.00 (本笔 +2.00), 超过限额 +2.50"));
	free(text);
	assert_int_equal(release(&h, &aside, key[0]), 0);
	day_end(&h);
	text = explained(&h, &aside);
	assert_non_null(strstr(text, "于 2025-11-03 隔离, 由 zhang 签名放行"));
	free(text);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_device_can_say_by_itself_is_unproven_and_nothing_else_is),
		cmocka_unit_test(a_record_is_worth_what_it_says_or_what_its_line_costs_whichever_is_more),
		cmocka_unit_test(what_comes_beyond_the_cap_is_set_aside_in_the_order_of_time),
		cmocka_unit_test(random_records_are_set_aside_as_a_plain_sum_says),
		cmocka_unit_test(a_released_record_settles_once_on_the_day_of_its_release),
		cmocka_unit_test(only_what_was_set_aside_can_be_released),
		cmocka_unit_test(it_is_explained_with_the_sum_the_cap_and_who_released_it),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
