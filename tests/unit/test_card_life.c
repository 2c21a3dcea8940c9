/* The life of a card number: lost, found, replaced keeping the number, refunded, expired; judged as of the tap. */
#include "tests/unit/house.h"

#include "clearing/core/core.h"

static int64_t moment(int32_t day, int minute) { return (int64_t)day * 86400000 - CIVIL_OFFSET_MS + minute * 60000LL; }

/* Rows for card 1: "state,at,valid_to,counter" each, ';' between. */
static int cards_try(struct house *h, const char *rows)
{
	char csv[8192] = "pan,state,at,valid_to,counter\n";

	for (const char *p = rows; *p != '\0';) {
		size_t n = strcspn(p, ";");

		snprintf(csv + strlen(csv), sizeof(csv) - strlen(csv), "03104730150000000001,%.*s\n", (int)n, p);
		p += n + (p[n] == ';');
	}
	return event_try(h, EVENT_CARDS, "", 0, csv, strlen(csv));
}

static void cards_add(struct house *h, const char *rows) { assert_int_equal(cards_try(h, rows), 0); }

static enum verdict verdict_of(struct house *h, const struct tap *tap)
{
	struct cleared row;
	int32_t day = 0;
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	row_of(&t, tap, &row, &day);
	txn_abort(&t);
	return (enum verdict)row.verdict;
}

static struct tap ride_at(int32_t day, int minute, uint16_t counter)
{
	struct tap t = tap_at(1, day, minute, "A", 200);

	t.card_counter = counter;
	t.tac[0] = (uint8_t)t.terminal_serial;
	t.tac[1] = (uint8_t)(t.terminal_serial >> 8);
	return t;
}

static void a_lost_card_is_refused_from_its_loss_until_it_is_found(void **state)
{
	struct tap before = ride_at(DAY0, 599, 10), at = ride_at(DAY0, 600, 11), last = ride_at(DAY0, 719, 12), found = ride_at(DAY0, 720, 13),
		   other = tap_at(2, DAY0, 630, "A", 200);
	struct house h;

	(void)state;
	house_open(&h);
	cards_add(&h, "found,2025-11-03T12:00:00,,;lost,2025-11-03T10:00:00,,;issued,2025-01-01,,");	/* in any order */
	tap_send(&h, &before);
	tap_send(&h, &at);
	tap_send(&h, &last);
	tap_send(&h, &found);
	tap_send(&h, &other);
	day_end(&h);
	assert_int_equal(verdict_of(&h, &before), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &at), VERDICT_BLACKLISTED);
	assert_int_equal(verdict_of(&h, &last), VERDICT_BLACKLISTED);
	assert_int_equal(verdict_of(&h, &found), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &other), VERDICT_ACCEPTED);
	all_holds(&h);
	house_close(&h);
}

static void a_refunded_card_is_refused_and_a_card_expires_with_its_last_day(void **state)
{
	struct tap last = ride_at(DAY0, 1439, 10), expired = ride_at(DAY0 + 1, 0, 11), prolonged = ride_at(DAY0 + 1, 600, 12), refunded = ride_at(DAY0 + 1, 720, 13);
	struct house h;

	(void)state;
	house_open(&h);
	cards_add(&h, "issued,2024-01-01,2025-11-03,;prolonged,2025-11-04T10:00:00,2026-12-31,;refunded,2025-11-04T12:00:00,,");
	tap_send(&h, &last);
	tap_send(&h, &expired);
	tap_send(&h, &prolonged);
	tap_send(&h, &refunded);
	day_end(&h);
	assert_int_equal(verdict_of(&h, &last), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &expired), VERDICT_CARD_EXPIRED);
	assert_int_equal(verdict_of(&h, &prolonged), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &refunded), VERDICT_BLACKLISTED);
	all_holds(&h);
	house_close(&h);
}

static void a_replaced_card_rides_on_as_its_person_and_the_old_one_is_refused(void **state)
{
	struct tap old = ride_at(DAY0, 480, 300), lost = ride_at(DAY0, 610, 301), stray = ride_at(DAY0, 710, 302), fresh = ride_at(DAY0, 720, 1),
		   transfer = ride_at(DAY0, 760, 2), tomorrow = ride_at(DAY0 + 1, 480, 49), stray_again = ride_at(DAY0 + 1, 500, 303);
	struct house h;

	(void)state;
	house_open(&h);
	elders_add(&h);
	snprintf(transfer.line, sizeof(transfer.line), "B");
	snprintf(transfer.vehicle, sizeof(transfer.vehicle), "VB");
	cards_add(&h, "lost,2025-11-03T10:00:00,,;replaced,2025-11-03T11:00:00,,1");
	tap_send(&h, &old);
	tap_send(&h, &lost);
	tap_send(&h, &stray);
	tap_send(&h, &fresh);
	tap_send(&h, &transfer);
	day_end(&h);
	tap_send(&h, &tomorrow);
	tap_send(&h, &stray_again);
	day_end(&h);
	assert_int_equal(verdict_of(&h, &old), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &lost), VERDICT_BLACKLISTED);
	assert_int_equal(verdict_of(&h, &stray), VERDICT_BLACKLISTED);
	assert_int_equal(verdict_of(&h, &stray_again), VERDICT_BLACKLISTED);
	assert_int_equal(verdict_of(&h, &tomorrow), VERDICT_ACCEPTED);
	assert_int_equal(paid_of(&h, &old), 100);
	assert_int_equal(paid_of(&h, &fresh), 100);	/* the person's hold goes on */
	assert_int_equal(paid_of(&h, &transfer), 50);	/* and his transfer: half of 3.00 less 1.00 */
	all_holds(&h);
	house_close(&h);
}

static void a_new_card_may_count_anew_but_no_counter_serves_twice(void **state)
{
	struct tap first = ride_at(DAY0, 480, 5), fresh = ride_at(DAY0, 720, 5), clone = ride_at(DAY0, 730, 5), again = ride_at(DAY0 + 1, 480, 6),
		   old_six = ride_at(DAY0, 490, 6), clone_again = ride_at(DAY0 + 1, 490, 5);
	struct house h;

	(void)state;
	house_open(&h);
	cards_add(&h, "replaced,2025-11-03T11:00:00,,0");
	tap_send(&h, &first);
	tap_send(&h, &old_six);
	tap_send(&h, &fresh);
	tap_send(&h, &clone);
	day_end(&h);
	tap_send(&h, &again);
	tap_send(&h, &clone_again);
	day_end(&h);
	assert_int_equal(verdict_of(&h, &first), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &old_six), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &fresh), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &clone), VERDICT_COUNTER_REPEATED);
	assert_int_equal(verdict_of(&h, &again), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &clone_again), VERDICT_COUNTER_REPEATED);
	all_holds(&h);
	house_close(&h);
}

static void what_is_learned_after_the_cut_leaves_the_day_as_it_was(void **state)
{
	struct tap t = ride_at(DAY0, 700, 10), late = ride_at(DAY0, 710, 11);
	uint8_t rows[DIGEST_BYTES], again[DIGEST_BYTES];
	struct house h;

	(void)state;
	house_open(&h);
	tap_send(&h, &t);
	day_end(&h);
	rows_digest(&h, DAY0, rows);
	cards_add(&h, "lost,2025-11-03T10:00:00,,");
	tap_send(&h, &late);
	day_end(&h);
	assert_int_equal(verdict_of(&h, &t), VERDICT_ACCEPTED);
	assert_int_equal(verdict_of(&h, &late), VERDICT_BLACKLISTED);
	rows_digest(&h, DAY0, again);
	assert_memory_equal(rows, again, DIGEST_BYTES);
	all_holds(&h);
	house_close(&h);
}

static void a_file_of_lives_is_refused_whole_with_its_place(void **state)
{
	static const char *const bad[] = { "stolen,2025-11-03,,", "lost,2025-02-30,,", "lost,,,", "lost,2025-11-03,2026-01-01,", "issued,2025-11-03,2025-11-01,",
		"prolonged,2025-11-03,,", "lost,2025-11-03,,5", "replaced,2025-11-03,,65536", "replaced,2025-11-03,,-1" };
	struct card_life life;
	uint8_t pan[10];
	struct house h;
	struct txn t;

	(void)state;
	house_open(&h);
	assert_true(pan_parse("03104730150000000001", pan));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char rows[128];

		snprintf(rows, sizeof(rows), "issued,2025-01-01,,;%s", bad[i]);
		assert_int_equal(cards_try(&h, rows), CLEARING_E_REFERENCE);
	}
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	assert_false(txn_any(&t, DB_CARD));
	assert_false(card_life_at(&t, pan, UINT64_MAX, INT64_MAX, &life));
	txn_abort(&t);
	house_close(&h);
}

static void sixty_four_changes_of_one_card_are_taken_and_one_more_refused(void **state)
{
	char rows[4096] = "";
	struct card_change_row row[CARD_CHANGES_MAX];
	uint8_t pan[10];
	struct house h;
	struct txn t;

	(void)state;
	house_open(&h);
	assert_true(pan_parse("03104730150000000001", pan));
	for (int i = 0; i < CARD_CHANGES_MAX / 2; i++)
		strcat(rows, "lost,2025-11-03,,;found,2025-11-03,,;");
	cards_add(&h, rows);
	assert_int_equal(cards_try(&h, "lost,2025-11-04,,"), CLEARING_E_REFERENCE);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	assert_int_equal(card_changes(&t, pan, UINT64_MAX, row), CARD_CHANGES_MAX);
	txn_abort(&t);
	house_close(&h);
}

static void the_old_counter_is_known_up_to_what_the_new_card_can_have_reached(void **state)
{
	struct card_life life = { 0 };
	struct tap t = sample_tap();

	(void)state;
	assert_int_equal(card_stands(&life, &t), CARD_UNKNOWN);
	card_life_step(&life, &(struct card_event){ .change = CARD_REPLACED, .at_ms = moment(DAY0, 0), .valid_to_ms = INT64_MAX, .counted = true, .counter = 1000 });
	life.valid_to_ms = INT64_MAX;
	t.time_ms = moment(DAY0, 600);
	t.card_counter = 1000;
	assert_int_equal(card_stands(&life, &t), CARD_GOOD);
	t.card_counter = 999;
	assert_int_equal(card_stands(&life, &t), CARD_STANDS_OLD);
	t.card_counter = 1049;
	assert_int_equal(card_stands(&life, &t), CARD_GOOD);
	t.card_counter = 1050;
	assert_int_equal(card_stands(&life, &t), CARD_STANDS_OLD);
	t.time_ms += 86400000;
	assert_int_equal(card_stands(&life, &t), CARD_GOOD);
	t.time_ms += 4000LL * 86400000;		/* by then it may have counted round */
	t.card_counter = 999;
	assert_int_equal(card_stands(&life, &t), CARD_GOOD);
	life.counter_from_ms = t.time_ms;
	t.kind = TAP_QR;			/* no counter of the card is in it */
	assert_int_equal(card_stands(&life, &t), CARD_GOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_card_is_refused_from_its_loss_until_it_is_found),
		cmocka_unit_test(a_refunded_card_is_refused_and_a_card_expires_with_its_last_day),
		cmocka_unit_test(a_replaced_card_rides_on_as_its_person_and_the_old_one_is_refused),
		cmocka_unit_test(a_new_card_may_count_anew_but_no_counter_serves_twice),
		cmocka_unit_test(what_is_learned_after_the_cut_leaves_the_day_as_it_was),
		cmocka_unit_test(a_file_of_lives_is_refused_whole_with_its_place),
		cmocka_unit_test(sixty_four_changes_of_one_card_are_taken_and_one_more_refused),
		cmocka_unit_test(the_old_counter_is_known_up_to_what_the_new_card_can_have_reached),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
