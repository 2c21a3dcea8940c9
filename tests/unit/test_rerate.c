/* Rules changed back in time, and how adjustments are told: explanation, reports, dump, evidence. */
#include "tests/unit/house.h"

/* ---- rules changed back in time ------------------------------------------------------------------------------------------- */

static void persons_add(struct house *h)
{
	char csv[512] = "name,title,key\n", hex[131];
	uint8_t point[65];

	for (int i = 0; i < 2; i++) {
		qr_key_point(key[i], point);
		hex_encode(point, sizeof(point), hex);
		snprintf(csv + strlen(csv), sizeof(csv) - strlen(csv), "%s,,%s\n", i == 0 ? "zhang" : "li", hex);
	}
	event_add(h, EVENT_PERSONS, "", 0, csv, strlen(csv));
}

static int rerate_ask(struct house *h, int who, int32_t from, int32_t to)
{
	uint8_t head[RERATE_BYTES] = { 0 };
	char text[PUBLISH_TEXT_BYTES];

	be32_put(head, (uint32_t)from);
	be32_put(head + 4, (uint32_t)to);
	strcpy((char *)head + 8, who == 0 ? "zhang" : "li");
	be32_put(head + 104, (uint32_t)h->open);
	assert_int_equal(sm2_sign(key[who], text, rerate_text(from, to, h->open, text), head + 40), 0);
	return event_try(h, EVENT_RERATE, head, sizeof(head), "", 0);
}

static void a_change_back_in_time_is_booked_when_two_persons_ask_for_it(void **state)
{
	struct tap before = tap_at(1, DAY0, 480, "A", 100), after = tap_at(1, DAY0 + 1, 480, "A", 100), late = tap_at(1, DAY0 + 1, 300, "A", 100);
	uint8_t rows[DIGEST_BYTES], again[DIGEST_BYTES];
	struct rerate_effect e;
	struct adjustment a;
	struct house h;
	struct fare f;

	(void)state;
	house_open(&h);
	elders_add(&h);
	persons_add(&h);
	tap_send(&h, &before);
	day_end(&h);
	tap_send(&h, &after);
	day_end(&h);
	rows_digest(&h, DAY0 + 1, rows);
	tariff_add(&h, 1, DAY0 + 1);
	tap_send(&h, &late);		/* a replay by itself does not bring the new rule in */
	day_end(&h);
	assert_int_equal(paid_of(&h, &late), 80);
	assert_int_equal(stands(&h, &after, &f, NULL), 0);

	assert_int_equal(rerate_try(h.store, 0, DAY0, DAY0 + 1, &e), 0);
	assert_int_equal(e.rides, 1);
	assert_int_equal(e.cards, 1);
	assert_int_equal(e.rider_fen, 20);
	assert_int_equal(e.treasuries, 2);
	assert_int_equal(e.treasury[0].fen + e.treasury[1].fen, 20);
	assert_int_equal(e.operator_fen, 0);
	assert_int_equal(rerate_ask(&h, 0, DAY0, DAY0 + 1), 0);
	assert_int_equal(rerate_ask(&h, 0, DAY0, DAY0 + 1), CLEARING_E_REFERENCE);
	day_end(&h);
	assert_int_equal(stands(&h, &after, &f, NULL), 0);	/* one signature, and that for another day */
	assert_int_equal(rerate_ask(&h, 1, DAY0, DAY0 + 1), 0);
	assert_int_equal(rerate_ask(&h, 0, DAY0, DAY0 + 1), 0);
	day_end(&h);
	assert_int_equal(stands(&h, &after, &f, &a), 1);
	assert_int_equal(f.paid.fen, 80);
	assert_int_equal(a.cause, ADJUST_RERATE);
	assert_int_equal(a.was_version, 1);
	assert_int_equal(a.tariff_version, 2);
	assert_int_equal(stands(&h, &before, &f, NULL), 0);
	rows_digest(&h, DAY0 + 1, again);
	assert_memory_equal(rows, again, DIGEST_BYTES);
	all_holds(&h);
	house_close(&h);
}

static void a_ride_rated_again_keeps_the_new_rule_when_a_late_tap_moves_it(void **state)
{
	struct tap ride_b = tap_at(1, DAY0, 480, "B", 150), late = tap_at(1, DAY0, 440, "A", 100);
	struct house h;
	struct fare f;

	(void)state;
	house_open(&h);
	elders_add(&h);
	persons_add(&h);
	tap_send(&h, &ride_b);
	day_end(&h);
	tariff_add(&h, 1, DAY0);
	assert_int_equal(rerate_ask(&h, 0, DAY0, DAY0), 0);
	assert_int_equal(rerate_ask(&h, 1, DAY0, DAY0), 0);
	day_end(&h);
	assert_int_equal(paid_of(&h, &ride_b), 120);
	tap_send(&h, &late);
	day_end(&h);
	assert_int_equal(stands(&h, &ride_b, &f, NULL), 2);
	assert_int_equal(f.paid.fen, 20);	/* 40 % of 3.00 less the transfer's 1.00 */
	all_holds(&h);
	house_close(&h);
}

static void an_entitlement_learned_of_later_can_be_tried_on_a_persons_rides(void **state)
{
	struct tap ride_a = tap_at(1, DAY0, 480, "A", 200), other = tap_at(3, DAY0, 480, "A", 200);
	struct rerate_effect e;
	struct house h;
	struct fare f;

	(void)state;
	house_open(&h);
	tap_send(&h, &ride_a);
	tap_send(&h, &other);
	day_end(&h);
	elders_add(&h);
	day_end(&h);
	assert_int_equal(stands(&h, &ride_a, &f, NULL), 0);
	assert_int_equal(rerate_try(h.store, card_person(ride_a.pan), DAY0, INT32_MAX, &e), 0);
	assert_int_equal(e.rides, 1);
	assert_int_equal(e.rider_fen, 100);
	assert_int_equal(rerate_try(h.store, card_person(other.pan), DAY0, INT32_MAX, &e), 0);
	assert_int_equal(e.rides, 0);
	house_close(&h);
}

/* ---- told ------------------------------------------------------------------------------------------------------------------- */

static char *told_by(int (*tell)(struct house *, FILE *, void *), struct house *h, void *arg)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	assert_int_equal(tell(h, f, arg), 0);
	fclose(f);
	return text;
}

static int explained(struct house *h, FILE *out, void *arg)
{
	uint8_t id[TAP_KEY_BYTES];

	tap_key(arg, id);
	return explain_tap(h->store, id, false, out);
}

static int explained_json(struct house *h, FILE *out, void *arg)
{
	uint8_t id[TAP_KEY_BYTES];

	tap_key(arg, id);
	return explain_tap(h->store, id, true, out);
}

static int reported(struct house *h, FILE *out, void *form) { return report_write(h->store, DAY0 + 1, form, "json", out); }
static int dumped(struct house *h, FILE *out, void *arg) { (void)arg; return dump_canonical(h->store, DAY0 + 1, out); }
static int proven(struct house *h, FILE *out, void *arg) { (void)arg; return evidence_write(h->store, DAY0 + 1, NULL, out); }

static void says(char *text, const char *what)
{
	if (strstr(text, what) == NULL)
		fail_msg("\"%s\" is not in: %s", what, text);
	free(text);
}

static void explanation_reports_and_evidence_tell_the_adjustment_and_its_cause(void **state)
{
	struct tap late = tap_at(1, DAY0, 560, "B", 300), last = tap_at(1, DAY0, 640, "A", 200);
	char id[TAP_ID_BYTES], cause[256], *pack = NULL;
	uint8_t bytes[TAP_KEY_BYTES];
	struct house h;
	size_t n = 0;
	FILE *f;

	(void)state;
	house_open(&h);
	tap_send(&h, &last);
	day_end(&h);
	tap_send(&h, &late);
	day_end(&h);
	tap_key(&late, bytes);
	tap_id_format(bytes, id);
	snprintf(cause, sizeof(cause), "调整 2025-11-04  原因 迟到记录 %s\n    规则应付 +2.00 改为 +1.00", id);
	says(told_by(explained, &h, &last), cause);
	snprintf(cause, sizeof(cause), "\"cause\":\"late-tap\",\"cause_tap\":\"%s\"", id);
	says(told_by(explained_json, &h, &last), cause);
	says(told_by(dumped, &h, NULL), cause);
	says(told_by(reported, &h, (char *)"D-06"), "\"total\":{\"rides\":1,\"before_fen\":200,\"after_fen\":100,\"rider_fen\":100,\"subsidy_fen\":100,\"operator_fen\":0}");
	says(told_by(reported, &h, (char *)"S-01"), "\"claim_fen\":100}");
	says(told_by(reported, &h, (char *)"M-02"), "\"adjust_fen\":0,\"payable_fen\":300}");
	f = open_memstream(&pack, &n);
	assert_non_null(f);
	assert_int_equal(proven(&h, f, NULL), 0);
	fclose(f);
	f = fopen("/dev/null", "we");
	assert_int_equal(evidence_verify((const uint8_t *)pack, n, NULL, f), 0);
	fclose(f);
	free(pack);
	assert_int_equal(day_build(h.store, DAY0 + 1), 0);	/* its reports are then compared too */
	all_holds(&h);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_back_in_time_is_booked_when_two_persons_ask_for_it),
		cmocka_unit_test(a_ride_rated_again_keeps_the_new_rule_when_a_late_tap_moves_it),
		cmocka_unit_test(an_entitlement_learned_of_later_can_be_tried_on_a_persons_rides),
		cmocka_unit_test(explanation_reports_and_evidence_tell_the_adjustment_and_its_cause),
	};

	return cmocka_run_group_tests_name("rerate", tests, packs_make, packs_free);
}
