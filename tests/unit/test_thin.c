/* Batches made thin: the exact bytes come back, of all or of one record, in less room; what is damaged is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clearing/clear.h"
#include "keys/octets.h"
#include "tests/unit/tap_sample.h"

#define HEAD_BYTES 22

static struct {
	struct batch batch;
	uint8_t record[BATCH_TAPS_MAX][TAP_ENCODED_BYTES_MAX], marks[2 * BATCH_TAPS_MAX], head[HEAD_BYTES];
	uint8_t frame[BATCH_TAPS_MAX * (TAP_ENCODED_BYTES_MAX + 3) + 200]; size_t frame_bytes;
	uint8_t body[sizeof(uint8_t[BATCH_TAPS_MAX * (TAP_ENCODED_BYTES_MAX + 5) + 300])]; size_t body_bytes;	/* as it is to come back */
	uint8_t out[sizeof(uint8_t[BATCH_TAPS_MAX * (TAP_ENCODED_BYTES_MAX + 5) + 400])]; size_t n;		/* thin */
	struct thin thin;
	struct thin_rows rows;
} x;

static void begin(void)
{
	memset(&x.batch, 0, sizeof(x.batch));
	memset(x.marks, 0, sizeof(x.marks));
	strcpy(x.batch.device, "V-00017");
	for (size_t i = 0; i < HEAD_BYTES; i++)
		x.head[i] = (uint8_t)(i * 7);
}

static void add(const void *p, size_t n)
{
	uint32_t i = x.batch.count++;

	memcpy(x.record[i], p, n);
	x.batch.tap[i].p = x.record[i];
	x.batch.tap[i].n = (uint32_t)n;
	x.marks[2 * i] = 1;
}

static void add_tap(const struct tap *t)
{
	uint8_t record[TAP_ENCODED_BYTES_MAX];
	int n = tap_encode(t, record, sizeof(record));

	assert_true(n > 0);
	add(record, (size_t)n);
}

/* The records lie in the frame from here on. */
static void frame_end(void)
{
	const uint8_t *end = x.frame + x.frame_bytes;

	for (uint32_t i = x.batch.count; i > 0; i--) {
		x.batch.tap[i - 1].p = end - x.batch.tap[i - 1].n;
		end = x.batch.tap[i - 1].p - thin_length_bytes(x.batch.tap[i - 1].n);
	}
}

static bool make(void)
{
	int n = batch_encode(&x.batch, x.frame, sizeof(x.frame));
	const struct thin_of of = { x.head, HEAD_BYTES, x.marks, x.frame, (size_t)n, &x.batch };

	assert_true(n > 0);
	x.frame_bytes = (size_t)n;
	frame_end();
	memcpy(x.body, x.head, HEAD_BYTES);
	memcpy(x.body + HEAD_BYTES, x.marks, 2 * x.batch.count);
	memcpy(x.body + HEAD_BYTES + 2 * x.batch.count, x.frame, x.frame_bytes);
	x.body_bytes = HEAD_BYTES + 2 * x.batch.count + x.frame_bytes;
	memset(x.out, 0xEE, thin_room(x.body_bytes) + 16);
	x.n = thin_make(&of, x.out);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(x.out[thin_room(x.body_bytes) + i], 0xEE);
	return x.n > 0;
}

/* Read in turn, and then from the last on, they are what they are one by one. */
static void rows_are_the_records(const uint8_t *p)
{
	uint8_t record[THIN_RECORD_ROOM];

	thin_rows_start(&x.thin, &x.rows);
	for (uint32_t k = 0; k < 2u * x.thin.count; k++) {
		const struct thin_place *at = &x.thin.record[k < x.thin.count ? k : 2u * x.thin.count - 1 - k];

		thin_record(p, at->at, record);
		assert_memory_equal(thin_rows_read(&x.rows, at->at), record, at->bytes);
	}
}

/* Of exactly its bytes, so that a sanitizer sees a read past them. */
static void comes_back(void)
{
	uint8_t *exact = malloc(x.n), *body, record[THIN_RECORD_ROOM];

	assert_non_null(exact);
	memcpy(exact, x.out, x.n);
	assert_true(x.n < x.body_bytes && x.n <= THIN_BYTES_MAX);
	assert_true(thin_open(exact, x.n, &x.thin));
	assert_int_equal(x.thin.count, x.batch.count);
	assert_int_equal(x.thin.body_bytes, x.body_bytes);
	assert_memory_equal(x.thin.head, x.head, HEAD_BYTES);
	body = malloc(x.body_bytes + THIN_SLACK);
	assert_non_null(body);
	thin_body(&x.thin, body);
	assert_memory_equal(body, x.body, x.body_bytes);
	for (uint32_t k = 0; k < x.batch.count; k++) {
		uint32_t i = (k * 37 + 5) % x.batch.count;	/* in no order */
		const struct thin_place *at = &x.thin.record[i];

		assert_int_equal(at->bytes, x.batch.tap[i].n);
		assert_int_equal(thin_record(exact, at->at, record), at->bytes);
		assert_memory_equal(record, x.batch.tap[i].p, at->bytes);
		assert_memory_equal(body + at->body_at, record, at->bytes);
		assert_memory_equal(at->marks, x.marks + 2 * i, 2);
	}
	rows_are_the_records(exact);
	free(body);
	free(exact);
}

/* A bus's taps: other cards, times, counters of one, two and three bytes. */
static void taps_draw(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct tap t = sample_tap();

		sample_bcd(t.pan + 3, 7);
		be32_put(t.tac, (uint32_t)sample_random());
		be32_put(t.random, (uint32_t)sample_random());
		t.time_ms += (int64_t)i * 31000 + (int64_t)sample_below(20000);
		t.terminal_serial += i;
		t.card_counter = 1 + sample_below(sample_below(10) == 0 ? 300 : 60000);
		t.prev_counter = (uint16_t)(t.card_counter - 1);
		t.balance_before = sample_below(20000);
		t.balance_after = t.balance_before - 180;
		add_tap(&t);
	}
}

static void test_the_exact_bytes_of_a_bus_come_back_and_take_a_third(void **state)
{
	(void)state;
	for (uint32_t count = 20; count <= 500; count += 40) {
		begin();
		taps_draw(count);
		assert_true(make());
		comes_back();
		assert_true(3 * x.n < x.body_bytes);
	}
}

static void test_records_of_any_kind_in_any_order_come_back(void **state)
{
	(void)state;
	for (int run = 0; run < 300; run++) {
		uint32_t count = 2 + sample_below(60);

		begin();
		for (uint32_t i = 0; i < count; i++) {
			struct tap t = sample_random_tap();

			if (sample_below(3) == 0)
				taps_draw(1);
			else
				add_tap(&t);
			x.marks[2 * i] = (uint8_t)sample_below(run % 3 == 0 ? 4 : 1);
			x.marks[2 * i + 1] = (uint8_t)(sample_below(9) == 0);
		}
		if (make())
			comes_back();
	}
}

/* Bytes that mean nothing: a text, of which pieces are cut out, put in and changed. */
static void test_bytes_that_are_no_records_come_back(void **state)
{
	unsigned thin = 0;

	(void)state;
	for (int run = 0; run < 400; run++) {
		size_t n = 16 + sample_below(run % 20 == 0 ? 1000 : 200);
		uint8_t like[TAP_ENCODED_BYTES_MAX];
		uint32_t count = 2 + sample_below(40);

		begin();
		for (size_t i = 0; i < n; i++)
			like[i] = (uint8_t)sample_random();
		for (uint32_t i = 0; i < count; i++) {
			uint8_t p[TAP_ENCODED_BYTES_MAX];
			size_t cut = sample_below(4) == 0 ? sample_below((uint32_t)n) : 0, at = sample_below((uint32_t)(n - cut + 1));

			memcpy(p, like, at);
			memcpy(p + at, like + at + cut, n - cut - at);
			for (uint32_t k = sample_below(20); k > 0 && n > cut; k--)
				p[sample_below((uint32_t)(n - cut))] = (uint8_t)sample_random();
			add(p, n - cut);
		}
		if (make()) {
			comes_back();
			thin++;
		}
	}
	assert_true(thin > 200);
}

static void test_records_that_are_all_equal_come_back(void **state)
{
	struct tap t = sample_tap();

	(void)state;
	begin();
	for (int i = 0; i < BATCH_TAPS_MAX; i++)
		add_tap(&t);
	assert_true(make());
	comes_back();
	assert_true(x.n < 1000);
}

static void test_records_as_long_as_records_may_be_come_back(void **state)
{
	uint8_t p[TAP_ENCODED_BYTES_MAX];

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)(i * 31 >> 3);
	for (int i = 0; i < 30; i++) {
		be32_put(p + 700, (uint32_t)sample_random());
		add(p, sizeof(p) - (i % 7 == 3 ? 1u + (unsigned)i : 0));
	}
	assert_true(make());
	comes_back();
	assert_true(x.n < 3000);
}

static void test_what_a_later_version_puts_behind_the_records_comes_back(void **state)
{
	struct thin_of of = { x.head, HEAD_BYTES, x.marks, x.frame, 0, &x.batch };

	(void)state;
	begin();
	taps_draw(50);
	assert_true(make());
	assert_int_equal(x.frame[0], 0x99);
	x.frame[0] = 0x9A;
	memcpy(x.frame + x.frame_bytes, (const uint8_t[]){ 0xA5, 'l', 'a', 't', 'e', 'r' }, 6);
	of.frame_bytes = x.frame_bytes + 6;
	memcpy(x.body + x.body_bytes, x.frame + x.frame_bytes, 6);
	x.body[HEAD_BYTES + 100] = 0x9A;
	x.body_bytes += 6;
	x.n = thin_make(&of, x.out);
	assert_true(x.n > 0);
	comes_back();
}

static void test_a_batch_that_would_not_become_smaller_stays_as_it_is(void **state)
{
	uint8_t p[100];

	(void)state;
	begin();
	for (int i = 0; i < 40; i++) {
		for (size_t k = 0; k < sizeof(p); k++)
			p[k] = (uint8_t)sample_random();
		add(p, sizeof(p));
	}
	assert_false(make());
	begin();
	taps_draw(1);
	assert_false(make());
	begin();
	assert_false(make());
	for (int i = 0; i < 300; i++)
		add("short", 5);
	assert_false(make());
}

static void test_a_batch_of_which_the_thin_form_would_have_no_places_stays_as_it_is(void **state)
{
	uint8_t p[400] = { 0 };

	(void)state;
	begin();
	for (int i = 0; i < 400; i++) {
		for (size_t k = 0; k < 200; k++)
			p[k] = (uint8_t)sample_random();
		add(p, sizeof(p));
	}
	assert_false(make());
	x.batch.count = 300;		/* some 61,000 bytes */
	assert_true(make());
	comes_back();
}

static void test_records_whose_lengths_are_not_in_the_shortest_form_stay_as_they_are(void **state)
{
	struct thin_of of = { x.head, HEAD_BYTES, x.marks, x.frame, 0, &x.batch };
	uint8_t *last;

	(void)state;
	begin();
	taps_draw(30);
	assert_true(make());
	last = x.frame + x.frame_bytes - x.batch.tap[29].n;
	memmove(last + 1, last, x.batch.tap[29].n);
	last[-2] = 0xC5;
	last[0] = last[-1];
	last[-1] = 0;
	of.frame_bytes = x.frame_bytes + 1;
	assert_int_equal(batch_decode(x.frame, of.frame_bytes, &x.batch), 0);
	assert_int_equal(thin_make(&of, x.out), 0);
}

/* What is taken of it lies within it and is as long as it says; a sanitizer sees the rest. */
static bool taken(const uint8_t *p, size_t n)
{
	uint8_t *exact = malloc(n > 0 ? n : 1), record[THIN_RECORD_ROOM], *body;
	bool good;

	assert_non_null(exact);
	memcpy(exact, p, n);
	good = thin_open(exact, n, &x.thin);
	if (good) {
		body = malloc(x.thin.body_bytes + THIN_SLACK);
		assert_non_null(body);
		thin_body(&x.thin, body);
		for (uint32_t i = 0; i < x.thin.count; i++) {
			assert_int_equal(thin_record(exact, x.thin.record[i].at, record), x.thin.record[i].bytes);
			assert_memory_equal(body + x.thin.record[i].body_at, record, x.thin.record[i].bytes);
		}
		rows_are_the_records(exact);
		free(body);
	}
	free(exact);
	return good;
}

static void test_damaged_bytes_are_refused_or_lead_nowhere_else(void **state)
{
	static uint8_t damaged[THIN_BYTES_MAX + 16];
	unsigned refused = 0;

	(void)state;
	begin();
	taps_draw(60);
	x.marks[11] = 1;
	assert_true(make() && taken(x.out, x.n));
	for (size_t cut = 0; cut < x.n; cut++)
		assert_false(taken(x.out, cut));
	memcpy(damaged, x.out, x.n);
	assert_false(taken(damaged, x.n + 1));
	for (size_t i = 0; i < x.n; i++)
		for (int k = 0; k < 3; k++) {
			damaged[i] = k == 0 ? (uint8_t)(x.out[i] ^ 1 << sample_below(8)) : k == 1 ? 0xFF : (uint8_t)sample_random();
			refused += damaged[i] != x.out[i] && !taken(damaged, x.n);
			damaged[i] = x.out[i];
		}
	assert_true(refused > 200);	/* the others are other bytes of a record */
}

static void test_every_length_count_and_place_of_the_layout_is_compared_with_what_is_there(void **state)
{
	uint16_t odd, at;

	(void)state;
	begin();
	taps_draw(60);
	assert_true(make());
	odd = be16_get(x.out + 8);
	for (size_t i = 0; i < 12; i++)		/* the head, but what says where in the rest the frame begins */
		for (int k = 0; k < 8; k++) {
			x.out[i] ^= (uint8_t)(1 << k);
			assert_false(taken(x.out, x.n));
			x.out[i] ^= (uint8_t)(1 << k);
		}
	for (size_t i = 16; i < 28; i++)	/* the first group */
		for (int k = 0; k < 8; k++) {
			x.out[i] ^= (uint8_t)(1 << k);
			assert_false(taken(x.out, x.n));
			x.out[i] ^= (uint8_t)(1 << k);
		}
	at = be16_get(x.out + odd);
	be16_put(x.out + odd, 60);		/* an odd record beyond the last, and one that is there twice */
	assert_false(taken(x.out, x.n));
	be16_put(x.out + odd, at == 0);
	x.out[3]--;
	assert_false(taken(x.out, x.n));
	x.out[3]++;
	be16_put(x.out + odd, at);
	assert_true(taken(x.out, x.n));
}

/* docs/store.md, "Thin batches": a tap of card 1, 2, 33 and 4, one mark that differs. */
static void test_the_document_has_these_bytes(void **state)
{
	static const char *const text[] = { "a tap of card 1 here", "a tap of card 2 here", "a tap of card 33 here", "a tap of card 4 here" };
	static const char hex[] = "01010004000000A3003A0048002C1600"	/* the head */
				  "0020002400370003001400010100"	/* the group */
				  "0000"
				  "0E010500"				/* its runs, what is alike, rows */
				  "6120746170206F662063617264202068657265"
				  "313234"
				  "000200150100"			/* the odd one */
				  "33"
				  "0F010033"
				  "050000"
				  "56000000000000000000000000000000000000000004"	/* the rest */
				  "9901A1560000000400C420"
				  "0000000000000000000000000000000000000000000000000000000000000000"
				  "94";
	char found[2 * 400 + 1];

	(void)state;
	begin();
	strcpy(x.batch.device, "V");
	memset(x.head, 0, HEAD_BYTES);
	x.head[0] = 'V';
	x.head[21] = 4;
	for (size_t i = 0; i < 4; i++)
		add(text[i], strlen(text[i]));
	assert_true(make());
	comes_back();
	for (size_t i = 0; i < x.n; i++)
		sprintf(found + 2 * i, "%02X", x.out[i]);
	assert_string_equal(found, hex);
}

/* Which code it is decides whether it was shown before, so it has to be there as long as who asks for it. */
static void test_a_code_of_a_record_that_was_put_together_lies_in_the_room_of_who_reads_it(void **state)
{
	uint8_t code[8][100];
	struct work work[8];
	struct lie lie[8];
	struct source from = { .thin = x.out, .work = work, .lie = lie };

	(void)state;
	begin();
	for (unsigned i = 0; i < 8; i++) {
		struct tap tap = sample_tap();

		for (size_t k = 0; k < sizeof(code[i]); k++)
			code[i][k] = (uint8_t)sample_below(256);
		tap.qr.p = code[i];
		tap.qr.n = sizeof(code[i]);
		add_tap(&tap);
	}
	assert_true(make());
	assert_true(thin_open(x.out, x.n, &x.thin));
	for (unsigned i = 0; i < 8; i++) {
		uint8_t room[THIN_RECORD_ROOM];
		struct tap tap;

		work[i] = (struct work){ .from = &from };
		lie[i] = (struct lie){ .thin_at = x.thin.record[i].at, .raw_bytes = x.thin.record[i].bytes };
		assert_true(work_tap(&work[i], room, &tap));
		assert_true(tap.qr.p > room && tap.qr.p + tap.qr.n <= room + sizeof(room));
		assert_int_equal(tap.qr.n, sizeof(code[i]));
		assert_memory_equal(tap.qr.p, code[i], sizeof(code[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_exact_bytes_of_a_bus_come_back_and_take_a_third),
		cmocka_unit_test(test_records_of_any_kind_in_any_order_come_back),
		cmocka_unit_test(test_bytes_that_are_no_records_come_back),
		cmocka_unit_test(test_records_that_are_all_equal_come_back),
		cmocka_unit_test(test_records_as_long_as_records_may_be_come_back),
		cmocka_unit_test(test_what_a_later_version_puts_behind_the_records_comes_back),
		cmocka_unit_test(test_a_batch_that_would_not_become_smaller_stays_as_it_is),
		cmocka_unit_test(test_a_batch_of_which_the_thin_form_would_have_no_places_stays_as_it_is),
		cmocka_unit_test(test_records_whose_lengths_are_not_in_the_shortest_form_stay_as_they_are),
		cmocka_unit_test(test_damaged_bytes_are_refused_or_lead_nowhere_else),
		cmocka_unit_test(test_the_document_has_these_bytes),
		cmocka_unit_test(test_a_code_of_a_record_that_was_put_together_lies_in_the_room_of_who_reads_it),
		cmocka_unit_test(test_every_length_count_and_place_of_the_layout_is_compared_with_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
