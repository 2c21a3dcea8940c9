/* Cleared rows in blocks: what is written is read, and nothing that was not. */
#include "tests/unit/house.h"

#include <stdio.h>
#include <time.h>

#define ROWS 1700	/* four blocks, the last one not full */
#define EVENTS 40

static uint64_t draws;

static uint64_t draw(uint64_t below)
{
	draws = draws * 6364136223846793005u + 1442695040888963407u;
	return (draws >> 20) % below;
}

#define EVENT_BYTES 1000
struct book { struct house house; struct txn txn; struct row_packer *packer; struct results *results; size_t event, nexts;	/* of the row drawn last; rows behind another */
	      struct { uint8_t key[CLEARED_KEY_BYTES]; struct cleared row; } row[ROWS]; };
struct book_sink { struct sink sink; struct book *book; };

static int put_row(struct sink *sink, enum db db, const void *at, size_t at_bytes, const void *val, size_t val_bytes)
{
	struct book *b = ((struct book_sink *)(void *)sink)->book;

	if (db == DB_CLEARED)
		assert_int_equal(row_pack(b->packer, val, val_bytes, &val, &val_bytes), 0);
	txn_put(&b->txn, db, at, at_bytes, val, val_bytes);
	return b->txn.error;
}

static void row_draw(struct book *b, size_t i, const uint8_t *const body[EVENTS], const uint64_t seq[EVENTS], struct row_new *row)
{
	static char device[ROWS][DEVICE_BYTES_MAX + 1];
	const struct cleared *before = i > 0 ? &b->row[i - 1].row : NULL;
	size_t event = draw(EVENTS);
	bool next = i % 7 != 0 && draw(2) != 0 && before->raw + 2 * before->raw_bytes + ROW_GAP_BYTES <= body[b->event] + EVENT_BYTES;
	struct row_result *result;
	uint8_t business[TAP_KEY_BYTES];
	struct cleared c = { .verdict = (uint8_t)draw(VERDICT_COUNT), .check = (uint8_t)draw(3), .operator_id = 1001 + (uint32_t)draw(2),
			     .person = draw(2) ? draw(1000) | 1ULL << 63 : draw(1u << 30) * draw(1u << 30), .seq = seq[event],
			     .raw = body[event] + draw(100), .raw_bytes = (uint32_t)draw(draw(2) != 0 ? 50 : 900), .decides = draw(4) != 0 };

	if (next) {		/* behind the row before in its batch, mostly as its next serial */
		event = b->event;
		c.seq = seq[event];
		c.raw_bytes = before->raw_bytes;
		c.raw = before->raw + c.raw_bytes + ROW_GAP_BYTES;
	}
	b->event = event;
	b->nexts += next;
	c.fare.published = c.priced.published = money_of_fen((int64_t)draw(3) * 100);
	be64_put(business, draw(1ULL << 40));
	be32_put(business + 6, (uint32_t)draw(1u << 30));
	be64_put(business + 10, draw(1ULL << 43));
	business[0] = (uint8_t)(i >> 8);
	business[1] = (uint8_t)i;
	if (i % 7 != 0) {		/* of the same terminal */
		memcpy(business, b->row[i - 1].key + 5, 6);
		be32_put(business + 6, be32_get(b->row[i - 1].key + 11) + 1 + (uint32_t)draw(next ? 2 : 3));
	}
	snprintf(device[i], sizeof(device[i]), "D%d", (int)draw(4));
	memcpy(c.device, device[i], sizeof(c.device));
	*row = (struct row_new){ .person = c.person, .seq = draw(5) != 0 ? c.seq : c.seq + 1000, .raw_seq = c.seq, .device = device[i],
				 .raw_at = (uint32_t)(c.raw - body[event]), .raw_bytes = c.raw_bytes, .decides = c.decides };
	c.seq = row->seq;
	row_new_key(row, DAY0, i < ROWS - 21 ? CLEARED_RIDE : CLEARED_OTHER, business, draw(9) == 0 ? (uint16_t)draw(65536) : 0);
	memcpy(b->row[i].key, row->key, sizeof(row->key));
	assert_int_equal(results_add(b->results, &c, NULL, &result), 0);
	row->result = result;
	b->row[i].row = c;
}

static void block_put(struct block_writer *w, struct sink *sink, const uint8_t first[CLEARED_KEY_BYTES])
{
	size_t n = block_bytes(w);
	uint8_t *block = malloc(n);

	assert_non_null(block);
	block_end(w, block);
	assert_int_equal(sink->put(sink, DB_CLEARED, first, CLEARED_KEY_BYTES, block, n), 0);
	free(block);
}

static void book_write(struct book *b, uint8_t version)
{
	struct book_sink sink = { .sink = { .put = put_row }, .book = b };
	const uint8_t *body[EVENTS];
	uint64_t seq[EVENTS];
	uint8_t first[CLEARED_KEY_BYTES];
	struct decided_list decided = { 0 };
	struct block_writer *writer;

	house_open(&b->house);
	assert_int_equal(txn_begin(b->house.store, true, &b->txn), 0);
	assert_int_equal(row_packer_new(&b->packer), 0);
	assert_int_equal(results_new(&b->results), 0);
	for (size_t i = 0; i < EVENTS; i++) {
		static uint8_t bytes[EVENT_BYTES];
		const void *part = bytes;
		size_t n = sizeof(bytes);

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)draw(256);
		seq[i] = inbox_append(&b->txn, EVENT_BATCH, 0, &part, &n, 1);
	}
	for (size_t i = 0; i < EVENTS; i++) {
		const void *val;
		uint8_t number[8];
		size_t n;

		be64_put(number, seq[i]);
		assert_true(txn_get(&b->txn, DB_INBOX, number, sizeof(number), &val, &n));
		body[i] = (const uint8_t *)val + EVENT_HEAD_BYTES;
	}
	assert_int_equal(block_writer_new(version, &writer), 0);
	for (size_t i = 0; i < ROWS; i++) {
		struct row_new row;

		row_draw(b, i, body, seq, &row);
		if (i > 0 && i % ROWS_PER_BLOCK == 0)
			block_put(writer, &sink.sink, first);
		if (i % ROWS_PER_BLOCK == 0)
			memcpy(first, row.key, sizeof(first));
		assert_int_equal(block_add(writer, &row), 0);
		if (row.decides)
			assert_int_equal(decided_add(&decided, row.key + 5), 0);
	}
	block_put(writer, &sink.sink, first);
	assert_int_equal(decided_write(&decided, &sink.sink, DAY0), 0);
	free(decided.list);
	block_writer_free(writer);
	assert_int_equal(b->txn.error, 0);
}

static void book_close(struct book *b)
{
	results_free(b->results);
	row_packer_free(b->packer);
	txn_abort(&b->txn);
	house_close(&b->house);
}

static void same_row(const struct cleared *a, const struct cleared *b)
{
	assert_int_equal(a->verdict, b->verdict);
	assert_int_equal(a->check, b->check);
	assert_int_equal(a->operator_id, b->operator_id);
	assert_true(a->person == b->person && a->seq == b->seq && a->decides == b->decides);
	assert_int_equal(a->fare.published.fen, b->fare.published.fen);
	assert_string_equal(a->device, b->device);
	assert_true(a->raw == b->raw && a->raw_bytes == b->raw_bytes);
}

static void rows_are_read(uint8_t version)
{
	static struct book b;
	struct cleared row;
	struct row_iter it;
	uint8_t other[CLEARED_KEY_BYTES];
	size_t i = 0;
	int32_t day;

	book_write(&b, version);
	assert_true(b.nexts > ROWS / 10);
	for (rows_open_day(&b.txn, DAY0, &it); rows_next(&it); i++) {
		assert_memory_equal(it.key, b.row[i].key, CLEARED_KEY_BYTES);
		same_row(&it.row, &b.row[i].row);
	}
	rows_close(&it);
	assert_int_equal(i, ROWS);
	for (unsigned n = 0; n < 500; n++) {
		i = draw(ROWS);
		assert_true(row_get(&b.txn, b.row[i].key, &row));
		same_row(&row, &b.row[i].row);
		memcpy(other, b.row[i].key, sizeof(other));
		other[22] ^= 0x40;
		assert_false(row_get(&b.txn, other, &row));
		rows_open(&b.txn, b.row[i].key, 5 + TAP_KEY_BYTES, &it);
		assert_true(rows_next(&it));
		assert_memory_equal(it.key, b.row[i].key, CLEARED_KEY_BYTES);
		assert_false(rows_next(&it));
		rows_close(&it);
		if (b.row[i].key[4] == CLEARED_RIDE && be16_get(b.row[i].key + 23) == 0) {
			assert_int_equal(key_decided(&b.txn, b.row[i].key + 5, DAY0 + 1, &day), b.row[i].row.decides);
			assert_false(key_decided(&b.txn, b.row[i].key + 5, DAY0, &day));
		}
	}
	assert_int_equal(b.txn.error, 0);
	rows_open_day(&b.txn, DAY0 + 1, &it);
	assert_false(rows_next(&it));
	rows_close(&it);
	book_close(&b);
}

static void test_rows_are_read_as_they_were_written_one_by_one_by_day_and_by_the_beginning_of_a_key(void **state)
{
	(void)state;
	draws = (uint64_t)time(NULL);
	printf("# seed %llu\n", (unsigned long long)draws);
	rows_are_read(BLOCK_VERSION);
	rows_are_read(BLOCK_VERSION_4);
}

/* Each byte of a packed and of an unpacked block, cut and changed: read as an error or as rows, never beyond the bytes. */
static void test_a_damaged_block_is_refused_or_read_as_rows_and_nothing_is_read_beyond_it(void **state)
{
	static struct book b;
	struct row_iter it;
	const void *val, *block;
	uint8_t *copy;
	size_t n, refused = 0;

	(void)state;
	draws = 7;
	book_write(&b, BLOCK_VERSION);
	assert_true(txn_get(&b.txn, DB_CLEARED, b.row[0].key, CLEARED_KEY_BYTES, &val, &n));
	assert_int_equal(row_unpack(b.packer, val, n, &block, &n), 0);
	copy = malloc(n);
	memcpy(copy, block, n);
	for (unsigned round = 0; round < 3000; round++) {
		size_t at = draw(n), cut = round % 3 == 0 ? draw(n) : n, rows = 0;
		uint8_t was = copy[at];
		const void *packed;
		size_t packed_bytes;

		copy[at] = (uint8_t)draw(256);
		assert_int_equal(row_pack(b.packer, copy, cut, &packed, &packed_bytes), 0);
		txn_put(&b.txn, DB_CLEARED, b.row[0].key, CLEARED_KEY_BYTES, packed, packed_bytes);
		for (rows_open_day(&b.txn, DAY0, &it); rows_next(&it) && rows < ROWS_PER_BLOCK; rows++)
			assert_true(it.row.raw_bytes == 0 || it.row.raw[it.row.raw_bytes - 1] <= 255);
		rows_close(&it);
		refused += b.txn.error == CLEARING_E_STORE;
		assert_true(b.txn.error == 0 || b.txn.error == CLEARING_E_STORE);
		b.txn.error = 0;
		copy[at] = was;
	}
	assert_true(refused > 1000);
	free(copy);
	book_close(&b);
}

/* One with something in every field of its bytes. */
static struct cleared full_row(void)
{
	struct cleared c = { .verdict = VERDICT_ACCEPTED, .check = 1, .scheme = SCHEME_PURSE, .operator_id = 1001, .tariff_version = 7 };

	c.fare = (struct fare){ .published = { 500 }, .paid = { 200 }, .absorbed = { 100 }, .line = 3, .group = 4, .rule = 5, .fund_rule = 6, .transfer = true,
				.funder_count = FARE_FUNDERS_MAX, .step_count = FARE_STEPS_MAX };
	for (int i = 0; i < FARE_FUNDERS_MAX; i++)
		c.fare.funder[i].treasury = (uint16_t)(i + 1);
	for (int i = 0; i < FARE_STEPS_MAX; i++)
		c.fare.step[i] = (struct fare_step){ .kind = 1, .rule = (uint16_t)i, .delta_fen = -i };
	c.priced = (struct priced){ .charged = { 250 }, .overcharge = { 50 }, .undercharge = { 1 }, .hold = { 9 }, .difference = DIFF_OVERCHARGE, .reason = 1,
				    .kept = { 2 }, .posting_count = POSTINGS_PER_TAP_MAX };
	for (int i = 0; i < POSTINGS_PER_TAP_MAX; i++)
		c.priced.posting[i] = (struct posting){ 1, 2, { i }, 3, 4 };
	return c;
}

static void test_rows_are_the_same_when_their_bytes_are_and_another_byte_is_another_row(void **state)
{
	uint8_t bytes[1024], other[1024];
	struct cleared c = full_row(), d;
	int n = cleared_encode(&c, bytes, sizeof(bytes)), read = 0;

	(void)state;
	assert_true(n > 200 && cleared_decode(bytes, (size_t)n, &c) && cleared_same(&c, &c));
	for (int i = 0; i < n * 8; i++) {
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		if (cleared_decode(bytes, (size_t)n, &d)) {
			int m = cleared_encode(&d, other, sizeof(other));

			bytes[i / 8] ^= (uint8_t)(1 << i % 8);
			assert_int_equal(cleared_same(&c, &d), m == n && memcmp(bytes, other, (size_t)n) == 0);
			read++;
		} else {
			bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		}
	}
	assert_true(read > n * 7);
}

#define MANY 20000

static void test_a_result_is_found_again_whatever_came_between_and_told_from_those_of_other_lines_and_cards(void **state)
{
	static struct row_result *first[MANY];
	struct results *r;

	(void)state;
	assert_int_equal(results_new(&r), 0);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < MANY; i++) {
			struct tap tap = { .medium = MEDIUM_PURSE, .card_class = 1 + i % 3 };
			struct cleared c = full_row();
			struct row_result *found;

			snprintf(tap.line, sizeof(tap.line), "%s%zu", i % 2 ? "line" : "", i / 6 % 50);
			c.priced.charged = money_of_fen((int64_t)(i / 300));
			assert_int_equal(results_add(r, &c, i % 7 == 0 ? NULL : &tap, &found), 0);
			first[i] = round == 0 ? found : first[i];
			assert_ptr_equal(found, first[i]);
			assert_int_equal(found->row.priced.charged.fen, i / 300);
			if (i % 7 != 0) {
				assert_string_equal(result_summed(found).line, tap.line);
				assert_int_equal(result_summed(found).card_class, tap.card_class);
			}
			assert_int_equal(result_summed(found).any, i % 7 != 0);
		}
	results_free(r);
}

/* What each changes of what a ride came to; -1: nothing. */
static void change(struct cleared *c, struct tap *tap, int what)
{
	switch (what) {
	case 0: c->verdict = VERDICT_PENDING; break;
	case 1: c->check++; break;
	case 2: c->operator_id++; break;
	case 3: c->tariff_version++; break;
	case 4: c->fare.rule++; break;
	case 5: c->fare.paid.fen++; break;
	case 6: c->fare.funder[FARE_FUNDERS_MAX - 1].amount.fen++; break;
	case 7: c->fare.step[FARE_STEPS_MAX - 1].delta_fen--; break;
	case 8: tap->card_class++; break;
	case 9: strcpy(tap->line, "another"); break;
	case 10: c->scheme = SCHEME_TUNION; break;
	case 11: c->pending = true; break;
	case 12: c->fare.moved.fen++; break;
	case 13: c->priced.charged.fen++; break;
	default: break;
	}
}

static void test_a_result_is_taken_before_it_is_posted_only_when_all_that_decides_about_postings_is_the_same(void **state)
{
	(void)state;
	for (int what = -1; what < 14; what++) {
		struct tap tap = { .medium = MEDIUM_PURSE, .card_class = 1, .line = "a line" };
		struct cleared c = full_row(), asked;
		struct row_result *result;
		struct results *r;

		c.priced.difference = DIFF_NONE;
		assert_int_equal(results_new(&r), 0);
		assert_null(results_recent(r, &c, &tap));
		assert_int_equal(results_add(r, &c, &tap, &result), 0);
		asked = c;
		memset(&asked.priced, 0xEE, sizeof(asked.priced));	/* not known yet but for what was charged */
		asked.priced.charged = c.priced.charged;
		change(&asked, &tap, what);
		assert_int_equal(cleared_rated_same(&c, &asked), what < 0 || what == 8 || what == 9 || what == 13);	/* these it does not look at */
		assert_ptr_equal(results_recent(r, &asked, &tap), what < 0 ? result : NULL);
		results_free(r);
	}
}

static void test_a_result_of_a_ride_that_was_charged_otherwise_is_never_taken_for_another(void **state)
{
	struct tap tap = { .medium = MEDIUM_PURSE, .card_class = 1, .line = "a line" };
	struct cleared c = full_row();
	struct row_result *result;
	struct results *r;

	(void)state;
	assert_int_equal(c.priced.difference, DIFF_OVERCHARGE);
	assert_int_equal(results_new(&r), 0);
	assert_int_equal(results_add(r, &c, &tap, &result), 0);
	assert_null(results_recent(r, &c, &tap));
	results_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_read_as_they_were_written_one_by_one_by_day_and_by_the_beginning_of_a_key),
		cmocka_unit_test(test_a_damaged_block_is_refused_or_read_as_rows_and_nothing_is_read_beyond_it),
		cmocka_unit_test(test_rows_are_the_same_when_their_bytes_are_and_another_byte_is_another_row),
		cmocka_unit_test(test_a_result_is_found_again_whatever_came_between_and_told_from_those_of_other_lines_and_cards),
		cmocka_unit_test(test_a_result_is_taken_before_it_is_posted_only_when_all_that_decides_about_postings_is_the_same),
		cmocka_unit_test(test_a_result_of_a_ride_that_was_charged_otherwise_is_never_taken_for_another),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
