/* Thin batches in a store: whoever reads, clears, packs or asks again finds them as they were received. */
#include "tests/unit/house.h"

#include "clearing/rows.h"

#define TAPS 12		/* of a batch */

static void row_get_of(struct txn *t, uint64_t seq, const uint8_t **ret, size_t *ret_bytes)
{
	const void *val;
	uint8_t number[8];

	be64_put(number, seq);
	assert_true(txn_get(t, DB_INBOX, number, sizeof(number), &val, ret_bytes));
	*ret = val;
}

static uint64_t last_of(struct house *h)
{
	struct txn t;
	uint64_t seq;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	seq = inbox_last(&t);
	txn_abort(&t);
	return seq;
}

/* Every thin batch as an older version would have kept it; how many. */
static unsigned plain_make(struct house *h)
{
	uint64_t last = last_of(h);
	unsigned thin = 0;
	struct txn t;

	assert_int_equal(txn_begin(h->store, true, &t), 0);
	for (uint64_t seq = 1; seq <= last; seq++) {
		const uint8_t *row;
		uint8_t number[8], *whole;
		struct event e;
		size_t n;

		row_get_of(&t, seq, &row, &n);
		if (row[0] != EVENT_BATCH || row[1] != BATCH_THIN)
			continue;
		assert_true(inbox_get(&t, seq, &e));
		assert_true(n < EVENT_HEAD_BYTES + e.bytes);
		whole = calloc(1, EVENT_HEAD_BYTES + e.bytes);
		assert_non_null(whole);
		memcpy(whole, row, EVENT_HEAD_BYTES);
		whole[1] = BATCH_PLAIN;
		memset(whole + 2, 0, 6);
		memcpy(whole + EVENT_HEAD_BYTES, e.body, e.bytes);
		be64_put(number, seq);
		txn_put(&t, DB_INBOX, number, sizeof(number), whole, EVENT_HEAD_BYTES + e.bytes);
		free(whole);
		thin++;
	}
	assert_int_equal(txn_commit(&t), 0);
	return thin;
}

/* A day of batches: cards in turn, records twice, other ones under the same key, some not answered, one that cannot be read. */
static void day_send(struct house *h, uint64_t ret_unanswered[2])
{
	for (unsigned k = 0; k < 20; k++) {
		struct tap list[TAPS];

		for (unsigned i = 0; i < TAPS; i++) {
			unsigned at = k * TAPS + i;

			list[i] = tap_at(1 + at * 7 % 89, h->open, 360 + (int)at * 3, at % 2 ? "A" : "B", at % 5 ? 300 : 200);
			list[i].card_counter = (uint16_t)(at % 4 == 3 ? 0 : 100 + at);
			be32_put(list[i].tac, at * 2654435761u);
			list[i].balance_before = (int32_t)(at * 37 % 400);
			list[i].balance_after = list[i].balance_before;
		}
		if (k % 4 == 1)
			snprintf(list[5].vehicle, sizeof(list[5].vehicle), "another");
		taps_send(h, list, TAPS, "V-1", k % 9 == 7 ? KEY_CHECK_UNAVAILABLE : KEY_CHECK_GOOD);
		if (k % 9 == 7) {
			uint8_t marks[2 * TAPS] = { 0 };
			struct txn t;

			for (unsigned i = 0; i < TAPS; i++)
				marks[2 * i] = KEY_CHECK_UNAVAILABLE;
			ret_unanswered[k / 9] = last_of(h);
			assert_int_equal(txn_begin(h->store, true, &t), 0);
			waiting_add(&t, ret_unanswered[k / 9], marks, TAPS);
			assert_int_equal(txn_commit(&t), 0);
		}
		if (k % 3 == 0)
			taps_send(h, list, TAPS, "V-1", KEY_CHECK_GOOD);
		list[3].amount_fen++;
		list[4].tac[0]++;
		memset(list[5].pan, 0xAA, sizeof(list[5].pan));
		taps_send(h, list + 2, 5, "V-1", KEY_CHECK_GOOD);
	}
}

static void recheck_one(struct house *h, uint64_t seq, uint16_t nth)
{
	const struct recheck answer = { .seq = seq, .nth = nth, .check = KEY_CHECK_GOOD };
	struct event e;
	struct txn t;

	assert_int_equal(txn_begin(h->store, true, &t), 0);
	assert_true(recheck_append(&t, 0, &answer, 1, &e));
	assert_int_equal(txn_commit(&t), 0);
}

/* Every row of every table but the inbox and what names the store. */
static void tables_digest(struct house *h, uint8_t ret[DIGEST_BYTES])
{
	static const enum db db[] = { DB_DAY, DB_TAPKEY, DB_CLEARED, DB_POSTING, DB_CUBE, DB_ITEM, DB_ADJUST, DB_WAITING, DB_RIDDEN, DB_OTHER };
	struct digest *d;
	struct txn t;

	assert_int_equal(digest_new(&d), 0);
	assert_int_equal(txn_begin(h->store, false, &t), 0);
	for (size_t i = 0; i < sizeof(db) / sizeof(db[0]); i++) {
		struct iter it;

		iter_open(&t, db[i], NULL, 0, &it);
		while (iter_next(&it)) {
			digest_add(d, it.key, it.key_bytes);
			digest_add(d, it.val, it.val_bytes);
		}
		iter_close(&it);
	}
	txn_abort(&t);
	digest_end(d, ret);
	digest_free(d);
}

/* Two houses with the same history; in one, batches lie as they were received. */
static void test_days_of_thin_batches_are_cleared_to_the_same_bytes_as_those_of_plain_ones(void **state)
{
	uint8_t digest[2][DIGEST_BYTES];
	struct house h[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint64_t unanswered[3] = { 0 };
		unsigned thin;
		struct tap late;

		serials = 0;
		house_open(&h[i]);
		elders_add(&h[i]);
		for (int day = 0; day < 3; day++) {
			day_send(&h[i], unanswered);
			recheck_one(&h[i], unanswered[0], 3);	/* before the cut; the others of it later */
			late = tap_at(8, DAY0, 361 + day, "A", 300);
			tap_send(&h[i], &late);
			thin = i == 1 ? plain_make(&h[i]) : 0;
			assert_true(i == 0 || thin >= 40);
			day_end(&h[i]);
			for (uint16_t nth = 4; nth < TAPS; nth++)
				recheck_one(&h[i], unanswered[nth % 2], nth);
		}
		days_end(&h[i], DAY0 + 4);
		tables_digest(&h[i], digest[i]);
		all_holds(&h[i]);
	}
	assert_memory_equal(digest[0], digest[1], DIGEST_BYTES);
	for (int i = 0; i < 2; i++) {		/* packed from either they are the same again */
		for (int32_t day = DAY0; day < DAY0 + 3; day++)
			day_pack_small(&h[i], day);
		all_holds(&h[i]);
	}
	house_close(&h[0]);
	house_close(&h[1]);
}

static void test_whoever_reads_an_event_a_record_or_a_head_gets_what_was_received(void **state)
{
	static uint8_t record[TAPS][TAP_ENCODED_BYTES_MAX], body[BATCH_BYTES_MAX];
	struct batch b = { .device = "V-1", .file_serial = 77, .count = TAPS };
	struct records *records;
	struct inbox_iter it;
	const uint8_t *row;
	struct event e;
	struct record r;
	struct house h;
	struct txn t;
	uint64_t seq;
	size_t n, row_bytes;
	const void *part = body;

	(void)state;
	house_open(&h);
	event_batch_head(b.device, b.file_serial, TAPS, body);
	for (uint32_t i = 0; i < TAPS; i++) {
		struct tap tap = tap_at(i, h.open, 400 + (int)i, "A", 200);

		n = (size_t)tap_encode(&tap, record[i], sizeof(record[i]));
		b.tap[i].p = record[i];
		b.tap[i].n = (uint32_t)n;
		body[EVENT_BATCH_HEAD_BYTES + 2 * i] = i % 5 == 2 ? KEY_CHECK_UNAVAILABLE : KEY_CHECK_GOOD;
		body[EVENT_BATCH_HEAD_BYTES + 2 * i + 1] = i == 4;
	}
	assert_int_equal(batch_seal(&b), 0);
	n = EVENT_BATCH_HEAD_BYTES + 2 * TAPS;
	n += (size_t)batch_encode(&b, body + n, sizeof(body) - n);
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	seq = inbox_append(&t, EVENT_BATCH, 12345, &part, &n, 1);
	assert_int_equal(txn_commit(&t), 0);

	assert_int_equal(txn_begin(h.store, false, &t), 0);
	row_get_of(&t, seq, &row, &row_bytes);
	assert_true(row[1] == BATCH_THIN && 2 * row_bytes < n);
	assert_true(inbox_get(&t, seq, &e) && e.received_ms == 12345 && e.bytes == n && !e.packed && !e.headed);
	assert_memory_equal(e.body, body, n);
	inbox_open_heads(&t, seq, seq, &it);
	assert_true(inbox_next(&it, &e) && e.headed && !e.packed && e.body == NULL && e.taps == TAPS && e.unanswered == 2);
	inbox_close(&it);
	inbox_open_stored(&t, seq, seq, &it);
	assert_true(inbox_next(&it, &e) && e.body == NULL && e.thin == row + EVENT_HEAD_BYTES && e.thin_bytes == row_bytes - EVENT_HEAD_BYTES);
	inbox_close(&it);
	assert_int_equal(records_new(&t, &records), 0);
	for (uint16_t i = 0; i < TAPS; i++) {
		assert_true(records_get(records, seq, (uint16_t)(TAPS - 1 - i), &r) && r.raw_bytes == b.tap[TAPS - 1 - i].n);
		assert_memory_equal(r.raw, record[TAPS - 1 - i], r.raw_bytes);
	}
	records_free(records);
	txn_abort(&t);
	house_close(&h);
}

static void test_a_body_that_is_to_be_kept_stays_where_it_is_and_others_are_let_go(void **state)
{
	uint64_t unanswered[2], last;
	const uint8_t *kept;
	struct event e;
	struct house h;
	struct txn t;
	size_t n;

	(void)state;
	house_open(&h);
	day_send(&h, unanswered);
	last = last_of(&h);
	packed_window(1);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	t.keep = true;
	assert_true(inbox_get(&t, unanswered[0], &e));
	kept = e.body;
	n = e.bytes;
	t.keep = false;
	for (int run = 0; run < 3; run++)
		for (uint64_t seq = 1; seq <= last; seq++)
			assert_true(inbox_get(&t, seq, &e));
	assert_true(packed_gone(&t) > 60);
	assert_true(inbox_get(&t, unanswered[0], &e));
	assert_true(e.body == kept && e.bytes == n && kept[n - 1] <= 255 && memcmp(kept, "V-1", 4) == 0);
	txn_abort(&t);
	packed_window(32);
	house_close(&h);
}

static void test_a_day_that_is_packed_is_held_thin_by_who_keeps_it(void **state)
{
	uint64_t unanswered[2], last, thin = 0, bytes[2] = { 0 };
	struct inbox_iter it;
	struct house h;
	struct event e;
	struct txn t;

	(void)state;
	house_open(&h);
	day_send(&h, unanswered);
	for (uint16_t nth = 0; nth < TAPS; nth++)
		for (int i = 0; i < 2; i++)
			recheck_one(&h, unanswered[i], nth);
	last = last_of(&h);
	days_end(&h, DAY0 + 1);
	day_pack_small(&h, DAY0);
	packed_window(1);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	t.keep = true;
	inbox_open_stored(&t, 1, last, &it);
	while (inbox_next(&it, &e)) {
		struct event whole;
		struct thin form;

		if (e.type != EVENT_BATCH)
			continue;
		assert_true(e.packed && e.thin != NULL && e.body == NULL);
		assert_true(thin_open(e.thin, e.thin_bytes, &form) && form.count == e.taps);
		thin++;
		t.keep = false;
		assert_true(inbox_get(&t, e.seq, &whole) && whole.bytes == form.body_bytes && whole.packed);
		t.keep = true;
		bytes[0] += whole.bytes;
		bytes[1] += e.thin_bytes;
	}
	inbox_close(&it);
	assert_int_equal(t.error, 0);
	assert_true(thin >= 40 && bytes[1] < bytes[0] / 2);
	txn_abort(&t);
	packed_window(32);
	house_close(&h);
}

static void test_a_damaged_thin_batch_is_an_error_of_the_store_of_its_clear_and_told_by_check(void **state)
{
	uint64_t unanswered[2];
	uint8_t number[8], damaged[4096], other[4096];
	size_t said_bytes = 0, damaged_bytes;
	char *said = NULL, line[200];
	FILE *out;
	struct clear_stats stats;
	const uint8_t *row;
	struct event e;
	struct house h;
	struct txn t;
	size_t n;

	(void)state;
	house_open(&h);
	day_send(&h, unanswered);
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	row_get_of(&t, unanswered[0], &row, &damaged_bytes);
	n = damaged_bytes;
	assert_true(n < sizeof(damaged));
	memcpy(damaged, row, n);
	damaged[EVENT_HEAD_BYTES + 20] ^= 0x40;	/* where rows lie */
	be64_put(number, unanswered[0]);
	txn_put(&t, DB_INBOX, number, sizeof(number), damaged, n);
	assert_false(inbox_get(&t, unanswered[0], &e));
	assert_int_equal(t.error, CLEARING_E_STORE);
	t.error = 0;
	be64_put(number, unanswered[1]);
	row_get_of(&t, unanswered[1], &row, &n);
	memcpy(other, row, n);
	be16_put(other + 4, be16_get(other + 4) - 1);	/* one record fewer waits than do */
	txn_put(&t, DB_INBOX, number, sizeof(number), other, n);
	out = open_memstream(&said, &said_bytes);
	assert_int_equal(packed_check(&t, out), 2);
	fclose(out);
	snprintf(line, sizeof(line), "packed: inbox event %" PRIu64 " is not a batch that was made thin\npacked: inbox event %" PRIu64 " is",
		 unanswered[0], unanswered[1]);
	assert_memory_equal(said, line, strlen(line));
	free(said);
	assert_int_equal(day_cut(&t, h.open, 0), 0);
	assert_int_equal(txn_commit(&t), 0);
	assert_int_equal(day_clear(h.store, h.open, &stats), CLEARING_E_STORE);
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	damaged[EVENT_HEAD_BYTES + 20] ^= 0x40;
	damaged[1] = 4;			/* of a version to come */
	be64_put(number, unanswered[0]);
	txn_put(&t, DB_INBOX, number, sizeof(number), damaged, damaged_bytes);
	assert_false(inbox_get(&t, unanswered[0], &e));
	assert_int_equal(t.error, CLEARING_E_STORE);
	txn_abort(&t);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whoever_reads_an_event_a_record_or_a_head_gets_what_was_received),
		cmocka_unit_test(test_days_of_thin_batches_are_cleared_to_the_same_bytes_as_those_of_plain_ones),
		cmocka_unit_test(test_a_body_that_is_to_be_kept_stays_where_it_is_and_others_are_let_go),
		cmocka_unit_test(test_a_day_that_is_packed_is_held_thin_by_who_keeps_it),
		cmocka_unit_test(test_a_damaged_thin_batch_is_an_error_of_the_store_of_its_clear_and_told_by_check),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
