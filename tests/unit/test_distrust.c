/* A compromised key: what it verified from its time on waits for a person, days cleared before keep their bytes. */
#include "tests/unit/house.h"

static void persons_add(struct house *h)
{
	char csv[256], hex[131];
	uint8_t point[65];

	qr_key_point(key[0], point);
	hex_encode(point, sizeof(point), hex);
	snprintf(csv, sizeof(csv), "name,title,key\nzhang,,%s\n", hex);
	event_add(h, EVENT_PERSONS, "", 0, csv, strlen(csv));
}

static int64_t moment(int32_t day, int minute) { return (int64_t)day * 86400000 - CIVIL_OFFSET_MS + minute * 60000LL; }

/* The key that the sample's records name. */
static struct distrust key_of(int64_t from_ms)
{
	struct tap t = sample_tap();
	struct distrust d = { .alg = (uint8_t)t.alg_id, .version = (uint8_t)t.key_version, .index = (uint8_t)t.key_index, .from_ms = from_ms, .by = "zhang" };

	memcpy(d.issuer, t.issuer, 4);
	return d;
}

static int tell(struct house *h, const struct distrust *d, int who)
{
	uint8_t body[DISTRUST_BYTES];
	char text[PUBLISH_TEXT_BYTES];

	distrust_encode(d, body);
	assert_int_equal(sm2_sign(key[who], text, distrust_text(d, text), body + 40), 0);
	return event_try(h, EVENT_DISTRUST, body, sizeof(body), "", 0);
}

static void verdict_is(struct house *h, const struct tap *tap, enum verdict v, enum key_check check)
{
	struct cleared row;
	int32_t day = 0;
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	row_of(&t, tap, &row, &day);
	assert_int_equal(row.verdict, v);
	assert_int_equal(row.check, check);
	txn_abort(&t);
}

static void what_a_compromised_key_verified_waits_from_its_time_on(void **state)
{
	struct tap before = tap_at(1, DAY0, 480, "A", 200), after = tap_at(2, DAY0, 600, "A", 200), other = tap_at(3, DAY0, 610, "A", 200);
	struct distrust d = key_of(moment(DAY0, 600));
	struct house h;

	(void)state;
	house_open(&h);
	persons_add(&h);
	other.key_version++;
	tap_send(&h, &before);
	tap_send(&h, &after);
	tap_send(&h, &other);
	assert_int_equal(tell(&h, &d, 0), 0);
	day_end(&h);
	verdict_is(&h, &before, VERDICT_ACCEPTED, KEY_CHECK_GOOD);
	verdict_is(&h, &after, VERDICT_PENDING, KEY_CHECK_DISTRUSTED);
	verdict_is(&h, &other, VERDICT_ACCEPTED, KEY_CHECK_GOOD);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_OPERATOR, 101)), 400);
	assert_int_equal(balance_of(&h, ACCOUNT(ACCOUNT_OPERATOR_PENDING, 101)), 200);
	all_holds(&h);
	house_close(&h);
}

static void a_day_cleared_before_keeps_its_bytes(void **state)
{
	struct tap settled = tap_at(1, DAY0, 600, "A", 200), late = tap_at(2, DAY0, 610, "A", 200);
	uint8_t rows[DIGEST_BYTES], again[DIGEST_BYTES];
	struct distrust d = key_of(moment(DAY0, 0));
	struct house h;

	(void)state;
	house_open(&h);
	persons_add(&h);
	tap_send(&h, &settled);
	day_end(&h);
	rows_digest(&h, DAY0, rows);
	assert_int_equal(tell(&h, &d, 0), 0);
	tap_send(&h, &late);
	day_end(&h);
	verdict_is(&h, &settled, VERDICT_ACCEPTED, KEY_CHECK_GOOD);
	verdict_is(&h, &late, VERDICT_PENDING, KEY_CHECK_DISTRUSTED);
	rows_digest(&h, DAY0, again);
	assert_memory_equal(rows, again, DIGEST_BYTES);
	all_holds(&h);			/* recomputes every day */
	house_close(&h);
}

static void a_compromise_is_told_by_a_person_of_the_list_and_never_moved_later(void **state)
{
	struct distrust d = key_of(moment(DAY0, 600)), earlier = key_of(moment(DAY0, 300)), later = key_of(moment(DAY0, 700));
	struct tap t = tap_at(1, DAY0, 400, "A", 200);
	struct house h;

	(void)state;
	house_open(&h);
	assert_int_equal(tell(&h, &d, 0), CLEARING_E_REFERENCE);	/* no list yet */
	persons_add(&h);
	assert_int_equal(tell(&h, &d, 1), CLEARING_E_REFERENCE);	/* another's key */
	assert_int_equal(tell(&h, &d, 0), 0);
	assert_int_equal(tell(&h, &d, 0), CLEARING_E_REFERENCE);
	assert_int_equal(tell(&h, &later, 0), CLEARING_E_REFERENCE);
	assert_null(refdata_distrust(h.ref, &t));
	assert_int_equal(tell(&h, &earlier, 0), 0);
	assert_non_null(refdata_distrust(h.ref, &t));
	house_close(&h);
}

static void a_key_is_known_by_issuer_algorithm_version_and_index(void **state)
{
	struct distrust d = key_of(1000);
	struct tap t = sample_tap(), other = t;

	(void)state;
	t.time_ms = other.time_ms = 1000;
	assert_true(distrust_names(&d, &t));
	other.time_ms = 999;
	assert_false(distrust_names(&d, &other));
	other = t;
	other.issuer[3] ^= 1;
	assert_false(distrust_names(&d, &other));
	other = t;
	other.alg_id ^= 1;
	assert_false(distrust_names(&d, &other));
	other = t;
	other.key_version++;
	assert_false(distrust_names(&d, &other));
	other = t;
	d.index = 7;
	other.key_index = 8;
	assert_false(distrust_names(&d, &other));
	d.index = 0;
	assert_true(distrust_names(&d, &other));
	other.kind = TAP_QR;
	assert_false(distrust_names(&d, &other));
	d.scheme = 1;
	assert_false(distrust_names(&d, &t));
}

static size_t count_of(const struct drill *d, enum drill_standing standing, int64_t *ret_fen)
{
	size_t n = 0;

	*ret_fen = 0;
	for (size_t i = 0; i < d->count; i++)
		if (d->row[i].standing == standing) {
			n++;
			*ret_fen += d->row[i].charged_fen;
		}
	return n;
}

static void a_drill_tells_what_would_be_touched_and_touches_nothing(void **state)
{
	struct tap early = tap_at(1, DAY0, 300, "A", 200), settled = tap_at(1, DAY0, 600, "A", 200), open = tap_at(2, DAY0 + 1, 480, "B", 300), twice, other;
	struct distrust d = key_of(moment(DAY0, 600));
	struct drill drill;
	uint64_t last;
	struct house h;
	struct txn t;
	int64_t fen;

	(void)state;
	house_open(&h);
	persons_add(&h);
	tap_send(&h, &early);
	tap_send(&h, &settled);
	day_end(&h);
	tap_send(&h, &open);
	twice = open;			/* the same record again is no second tap */
	tap_send(&h, &twice);
	other = tap_at(3, DAY0 + 1, 490, "A", 200);
	other.key_version++;
	tap_send(&h, &other);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	last = inbox_last(&t);
	txn_abort(&t);
	assert_int_equal(key_drill(h.store, &d, &drill), 0);
	assert_int_equal(drill.count, 2);
	assert_int_equal(count_of(&drill, DRILL_SETTLED, &fen), 1);
	assert_int_equal(fen, 200);
	assert_int_equal(drill.row[0].operator_id, 101);
	assert_int_equal(count_of(&drill, DRILL_OPEN, &fen), 1);
	assert_int_equal(fen, 300);
	assert_int_equal(drill.row[1].day, DAY0 + 1);
	free(drill.row);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	assert_int_equal(inbox_last(&t), last);
	txn_abort(&t);

	assert_int_equal(tell(&h, &d, 0), 0);
	day_end(&h);
	assert_int_equal(key_drill(h.store, &d, &drill), 0);
	assert_int_equal(count_of(&drill, DRILL_SETTLED, &fen), 1);
	assert_int_equal(count_of(&drill, DRILL_OPEN, &fen), 0);
	assert_int_equal(count_of(&drill, DRILL_WAITING, &fen), 1);
	assert_int_equal(fen, 300);
	free(drill.row);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_compromised_key_verified_waits_from_its_time_on),
		cmocka_unit_test(a_day_cleared_before_keeps_its_bytes),
		cmocka_unit_test(a_compromise_is_told_by_a_person_of_the_list_and_never_moved_later),
		cmocka_unit_test(a_key_is_known_by_issuer_algorithm_version_and_index),
		cmocka_unit_test(a_drill_tells_what_would_be_touched_and_touches_nothing),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
