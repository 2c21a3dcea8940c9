/* What the writer remembers of a day, against plain arrays that remember the same. Random; the seed is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/house.h"

#include "clearing/answers.h"
#include "clearing/blocks.h"
#include "clearing/pages.h"
#include "clearing/riding.h"
#include "clearing/seen.h"
#include "clearing/table.h"

static uint64_t seed, x;

static uint64_t draw(uint64_t below)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x % below;
}

struct item { uint8_t key[5], used; uint64_t value; };

static void test_a_table_finds_what_was_put_and_nothing_else(void **state)
{
	static uint64_t plain[60000];
	struct table t;
	size_t at = 0, kept = 0;
	uint64_t sum = 0, seen = 0;
	struct item *i;
	bool new;

	(void)state;
	assert_int_equal(table_open(&t, sizeof(i->key), sizeof(*i)), 0);
	for (int round = 0; round < 2; round++) {
		memset(plain, 0, sizeof(plain));
		for (int n = 0; n < 100000; n++) {
			uint64_t k = draw(60000);
			uint8_t k5[5] = { 0, (uint8_t)(k >> 16), 0, (uint8_t)(k >> 8), (uint8_t)k };

			i = table_find(&t, k5);
			assert_int_equal(i != NULL, plain[k] != 0);
			assert_true(i == NULL || i->value == plain[k]);
			assert_int_equal(table_room(&t, 1), 0);
			i = table_at(&t, k5, &new);
			assert_int_equal(new, plain[k] == 0);
			i->value = plain[k] = draw(1000000) + 1;
		}
		for (size_t k = 0; k < 60000; k++)
			kept += plain[k] != 0, sum += plain[k];
		assert_int_equal(t.count, kept);
		for (at = 0; (i = table_next(&t, &at)) != NULL;)
			seen += i->value;
		assert_int_equal(seen, sum);
		table_clear(&t);
		assert_int_equal(t.count, 0);
		kept = 0;
		sum = seen = 0;
	}
	table_close(&t);
}

/* An image of the memory is made while taps come in. Missing: entries of before the walk that it did not come to. */
static uint64_t walked(uint64_t before, bool cuts_seen)
{
	static uint8_t came[100000];
	struct table_walk w = { 0 };
	struct table t;
	struct item *i;
	uint64_t missing = 0;
	bool new;

	memset(came, 0, sizeof(came));
	assert_int_equal(table_open(&t, sizeof(i->key), sizeof(*i)), 0);
	for (uint64_t n = 0; n < before || !w.ended; n++) {
		uint8_t k5[5] = { 0, (uint8_t)(n >> 16), 0, (uint8_t)(n >> 8), (uint8_t)n };

		assert_true(n < sizeof(came));
		assert_int_equal(table_room(&t, 1), 0);
		((struct item *)table_at(&t, k5, &new))->value = n;
		w.budget = n < before ? 0 : draw(8);
		while ((i = table_walk(&t, &w)) != NULL)
			came[i->value] = 1;
	}
	assert_true(t.parts > 1 || !cuts_seen);
	for (uint64_t k = 0; k < before; k++)
		missing += came[k] == 0;
	table_close(&t);
	return missing;
}

static void test_a_walk_a_few_at_a_time_comes_to_every_entry_while_others_come_in(void **state)
{
	(void)state;
	assert_int_equal(walked(20000, true), 0);
	for (int round = 0; round < 60; round++)
		assert_int_equal(walked(1000 + draw(1500), false), 0);
}

/* A table of numbers, and the nth of them put into it: all differ. */
static void numbers_open(struct table *t) { assert_int_equal(table_open(t, sizeof(uint64_t), sizeof(uint64_t) + 8), 0); }

static uint64_t number_of(uint64_t n) { return n * 0x9E3779B97F4A7C15u; }

static void *number_add(struct table *t, uint64_t n)
{
	const uint64_t number = number_of(n);
	void *at;
	bool new;

	assert_int_equal(table_room(t, 1), 0);
	at = table_at(t, &number, &new);
	assert_true(new);
	return at;
}

/* However large the table: else growing is a stop that every receipt waits for. */
static void test_growing_moves_a_few_thousand_entries_at_most(void **state)
{
	enum { ENTRIES = 100000 };
	static void *at[ENTRIES];
	struct table t;

	(void)state;
	numbers_open(&t);
	for (uint64_t n = 0; n < ENTRIES; n++) {
		size_t parts = t.parts, moved = 0;

		at[n] = number_add(&t, n);
		for (uint64_t i = 0; t.parts != parts && i < n; i++) {
			void *now = table_find(&t, &(uint64_t){ number_of(i) });

			moved += now != at[i];
			at[i] = now;
		}
		assert_in_range(moved, 0, 4096);
	}
	assert_true(t.parts > ENTRIES / 4096);
	table_close(&t);
}

/* Else all parts are cut within a few hundredths of the entries, and receipts notice that too. */
static void test_parts_are_not_cut_all_at_once(void **state)
{
	enum { ENTRIES = 400000, WINDOW = ENTRIES / 40 };
	struct table t;
	size_t parts = 0, most = 0;

	(void)state;
	numbers_open(&t);
	for (uint64_t n = 0; n < ENTRIES; n++) {
		number_add(&t, n);
		if (n % WINDOW != WINDOW - 1)
			continue;
		if (n > ENTRIES / 4 && t.parts - parts > most)
			most = t.parts - parts;
		parts = t.parts;
	}
	assert_in_range(most, 1, t.parts / 8);
	table_close(&t);
}

static void test_a_table_of_any_size_takes_at_most_six_bytes_beside_an_entry(void **state)
{
	enum { ENTRIES = 1200000, MANY = 300000 };
	struct table t;
	double most = 0, now;

	(void)state;
	numbers_open(&t);
	for (uint64_t n = 0; n < ENTRIES; n++) {
		number_add(&t, n);
		now = (double)table_bytes(&t) / (double)t.count - (double)t.entry_bytes;
		most = n >= MANY && now > most ? now : most;
	}
	print_message("# %.3f bytes at most\n", most);
	assert_true(most < 6);
	table_close(&t);
}

/* All of them together, as a start from an image asks for it: no more is set aside than a few times what they take. */
static void test_room_for_many_is_room_for_each_and_not_many_times_as_much(void **state)
{
	enum { ENTRIES = 3000000 };
	struct table t;
	size_t chunks;
	bool new;

	(void)state;
	numbers_open(&t);
	assert_int_equal(table_room(&t, ENTRIES), 0);
	chunks = t.chunks;
	for (uint64_t n = 0; n < ENTRIES; n++) {
		const uint64_t number = number_of(n);

		table_at(&t, &number, &new);
		assert_true(new);
	}
	assert_int_equal(t.chunks, chunks);
	assert_true(chunks * CHUNK_BYTES < 3 * table_bytes(&t));
	table_close(&t);
}

/* Its reader asks whether it is used and has the key. */
static void test_an_address_kept_while_a_part_was_cut_shows_the_entry_or_none(void **state)
{
	enum { ENTRIES = 20000 };
	static struct item *kept[ENTRIES];
	struct table t;
	bool new;

	(void)state;
	assert_int_equal(table_open(&t, sizeof(kept[0]->key), sizeof(*kept[0])), 0);
	for (uint32_t n = 0; n < ENTRIES; n++) {
		uint8_t k5[5] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 7 };

		assert_int_equal(table_room(&t, 1), 0);
		kept[n] = table_at(&t, k5, &new);
		kept[n]->value = n;
		for (uint32_t i = n % 64; i <= n; i += 64) {
			uint8_t of_i[5] = { (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 7 };
			const struct item *at = kept[i];

			assert_true(at->used == 0 || memcmp(at->key, of_i, sizeof(of_i)) != 0 || at == table_find(&t, of_i));
		}
	}
	table_close(&t);
}

static void test_a_chunk_is_zeroed_whether_one_was_ready_or_not(void **state)
{
	static const uint8_t zero[4096];
	uint8_t *chunk[6];

	(void)state;
	assert_int_equal(chunks_ready(2), 0);
	for (int i = 0; i < 6; i++) {
		chunk[i] = chunk_take();
		assert_non_null(chunk[i]);
		for (size_t at = 0; at < CHUNK_BYTES; at += sizeof(zero))
			assert_memory_equal(chunk[i] + at, zero, sizeof(zero));
		memset(chunk[i], 0xFF, sizeof(zero));
		for (int before = 0; before < i; before++)
			assert_ptr_not_equal(chunk[i], chunk[before]);
		if (i == 3)
			chunks_ready_stop();
	}
	for (int i = 0; i < 6; i++)
		pages_give(chunk[i], CHUNK_BYTES);
}

static void chunks_wait(size_t count)
{
	for (int i = 0; i < 5000 && chunks_ready_now() < count; i++)
		usleep(1000);
	assert_int_equal(chunks_ready_now(), count);
}

static void test_chunks_are_made_ready_again_once_half_of_them_are_taken(void **state)
{
	void *chunk[3];

	(void)state;
	assert_int_equal(chunks_ready(4), 0);
	chunks_wait(4);
	chunk[0] = chunk_take();
	chunk[1] = chunk_take();
	usleep(50000);	/* time enough for two */
	assert_int_equal(chunks_ready_now(), 2);
	chunk[2] = chunk_take();
	chunks_wait(4);
	for (int i = 0; i < 3; i++)
		pages_give(chunk[i], CHUNK_BYTES);
	chunks_ready_stop();
}

static void test_chunks_beside_each_other_are_of_those_ready_but_half_of_them_and_go_back_one_by_one(void **state)
{
	uint8_t *chunks;

	(void)state;
	assert_int_equal(chunks_ready(4), 0);
	chunks_wait(4);
	chunks = chunks_take(3);
	assert_non_null(chunks);
	assert_int_equal((uintptr_t)chunks % CHUNK_BYTES, 0);
	assert_int_equal(chunks_ready_now(), 2);
	memset(chunks, 0xFF, 3 * CHUNK_BYTES);
	for (size_t i = 0; i < 3; i++)
		chunk_give(chunks + i * CHUNK_BYTES);
	chunks_wait(4);
	chunks_ready_stop();
	chunks = chunks_take(2);	/* with none ready */
	assert_non_null(chunks);
	memset(chunks, 0xFF, 2 * CHUNK_BYTES);
	for (size_t i = 0; i < 2; i++)
		chunk_give(chunks + i * CHUNK_BYTES);
}

static void test_a_chunk_that_was_given_back_is_zeroed_before_it_is_taken_again(void **state)
{
	static const uint8_t zero[4096];
	uint8_t *chunk[3] = { NULL };
	bool again = false;

	(void)state;
	assert_int_equal(chunks_ready(3), 0);
	for (int round = 0; round < 20 || (!again && round < 2000); round++) {	/* which comes back, and when, is the thread's affair */
		uint8_t *before[3];

		memcpy(before, chunk, sizeof(before));
		for (int i = 0; i < 3; i++) {
			chunk[i] = chunk_take();
			assert_non_null(chunk[i]);
			again |= chunk[i] == before[0] || chunk[i] == before[1] || chunk[i] == before[2];
			for (size_t at = 0; at < CHUNK_BYTES; at += CHUNK_BYTES / 64)
				assert_memory_equal(chunk[i] + at, zero, sizeof(zero));
			for (size_t at = 0; at < CHUNK_BYTES; at += CHUNK_BYTES / 64)
				memset(chunk[i] + at, 0xFF, sizeof(zero));
		}
		for (int i = 0; i < 3; i++)
			chunk_give(chunk[i]);
	}
	assert_true(again);
	chunks_ready_stop();
}

static void *blocks_give(void *arg)
{
	void **block = arg;

	for (int i = 0; i < 1000; i++)
		block_give(block[i]);
	return NULL;
}

static void test_blocks_lie_apart_whatever_their_size_and_whoever_gives_them_back(void **state)
{
	enum { BLOCKS = 1000 };
	static struct { uint8_t *p; size_t n; uint8_t mark; } b[BLOCKS];
	static void *others[BLOCKS];
	pthread_t thread;

	(void)state;
	for (int round = 0; round < 30; round++) {
		for (int i = 0; i < BLOCKS; i++) {
			for (size_t at = 0; b[i].p != NULL && at < b[i].n; at += b[i].n / 7 + 1)
				assert_int_equal(b[i].p[at], b[i].mark);
			if (draw(2) == 0)
				continue;
			block_give(b[i].p);
			b[i].n = 1 + draw(draw(2) == 0 ? 60000 : 20000);
			b[i].p = block_take(b[i].n);
			b[i].mark = (uint8_t)draw(256);
			assert_non_null(b[i].p);
			memset(b[i].p, b[i].mark, b[i].n);
		}
		for (int i = 0; i < BLOCKS; i++)
			others[i] = block_take(1 + draw(60000));
		assert_int_equal(pthread_create(&thread, NULL, blocks_give, others), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
	for (int i = 0; i < BLOCKS; i++)
		block_give(b[i].p);
}

static int64_t moment_draw(void)
{
	static const int64_t from[] = { 0, 1, -1, 1420041600000, 1420041600001, 1420041600000 + ((int64_t)1 << 40), 1420041599999 + ((int64_t)1 << 40), 1762140000000 };

	return draw(3) != 0 ? 1762140000000 + (int64_t)draw(86400000) : draw(4) == 0 ? (int64_t)draw(UINT64_MAX) : from[draw(8)];
}

static int64_t fen_draw(void) { return draw(20) != 0 ? (int64_t)draw(2000) : draw(2) == 0 ? -(int64_t)draw(5) : (int64_t)(UINT32_MAX - 2 + draw(4)); }

/* As rides leave it: each part may be there, and the window may be of the last ride. */
static void state_ride(struct rider_state *s)
{
	s->last_ms = moment_draw();
	s->last_vehicle = (uint32_t)draw(UINT32_MAX);
	if (draw(3) != 0) {
		s->window_rule = (uint16_t)draw(UINT16_MAX);
		s->window_uses = (uint16_t)draw(3);
		s->window_ms = draw(2) == 0 ? s->last_ms : moment_draw();
		s->window_vehicle = draw(4) != 0 ? s->last_vehicle : (uint32_t)draw(3);
		s->prev_vehicle = draw(4) != 0 ? s->last_vehicle : (uint32_t)draw(3);
		s->window_dearest_fen = fen_draw();
		s->prev_line = (uint32_t)draw(UINT32_MAX);
		s->prev_mode = (uint8_t)draw(4);
		s->prev_flags = (uint8_t)draw(2);
		s->prev_published_fen = fen_draw();
	}
	if (draw(2) == 0) {
		s->other_ms = moment_draw();
		s->other_vehicle = (uint32_t)draw(UINT32_MAX);
	}
	if (draw(4) == 0) {
		s->open_ms = moment_draw();
		s->open_line = (uint32_t)draw(UINT32_MAX);
		s->open_stop = (uint16_t)draw(40);
		s->open_hold_fen = fen_draw();
		s->open_unfinished_fen = fen_draw();
	}
	s->escorted_ms = draw(8) == 0 ? moment_draw() : 0;
	for (uint64_t n = draw(3) == 0 ? draw(RIDER_ACC_MAX + 1) : 0, i = 0; i < n; i++)
		s->acc[i] = (struct rider_acc){ (uint16_t)draw(UINT16_MAX), (uint32_t)draw(UINT32_MAX), draw(2) == 0 ? (uint32_t)draw(UINT32_MAX) : 0, fen_draw() };
}

/* As rides leave it, or any numbers at all. */
static void state_draw(struct rider_state *s)
{
	uint8_t *p = (uint8_t *)s;

	memset(s, 0, sizeof(*s));
	if (draw(4) != 0)
		state_ride(s);
	else
		for (uint64_t n = draw(60), i = 0; i < n; i++)
			p[draw(sizeof(*s))] = (uint8_t)draw(256);
}

/* Their numbers are; what lies between them is nobody's. */
static bool same_state(const struct rider_state *a, const struct rider_state *b)
{
	uint8_t of_a[RIDER_STATE_BYTES_MAX], of_b[RIDER_STATE_BYTES_MAX];
	size_t n = rider_state_pack(a, 0, of_a);

	return rider_state_pack(b, 0, of_b) == n && memcmp(of_a, of_b, n) == 0;
}

static void test_a_rider_gets_back_the_state_last_put_for_him(void **state)
{
	enum { PEOPLE = 3000 };
	static struct rider_state plain[PEOPLE];
	static bool put[PEOPLE];
	struct rider_state got;
	struct riding *r;
	size_t bytes = 0;

	(void)state;
	assert_int_equal(riding_new(&r), 0);
	for (int n = 0; n < 200000; n++) {
		uint64_t person = draw(PEOPLE);

		assert_int_equal(riding_get(r, riding_key(r, person * 7919), &got), put[person]);
		assert_true(!put[person] || same_state(&got, &plain[person]));
		state_draw(&plain[person]);
		assert_int_equal(riding_room(r, 1), 0);
		riding_put(r, riding_key(r, person * 7919), &plain[person]);
		put[person] = true;
		bytes = n == 100000 ? riding_bytes(r) : bytes;
	}
	assert_true(riding_bytes(r) < bytes + bytes / 4);	/* places given back are used again */
	riding_reset(r);
	assert_false(riding_get(r, riding_key(r, 7919), &got));
	riding_free(r);
}

/* With what they left behind when their states grew. */
static void test_a_rider_of_two_rides_takes_less_than_sixty_bytes(void **state)
{
	enum { PEOPLE = 400000 };
	static uint8_t rides[PEOPLE];
	struct riding *r;

	(void)state;
	assert_int_equal(riding_new(&r), 0);
	for (int n = 0; n < 2 * PEOPLE; n++) {
		uint64_t person = draw(PEOPLE);
		struct rider_state s = { .last_ms = 1762140000000 + n, .last_vehicle = (uint32_t)n, .window_rule = 7, .window_uses = 1, .window_ms = 1762140000000 + n,
					 .window_vehicle = (uint32_t)n, .window_dearest_fen = 200, .prev_line = 9, .prev_vehicle = (uint32_t)n,
					 .prev_mode = 1, .prev_published_fen = 200 };

		if (rides[person]++ > 0) {
			s.other_ms = 1762140000000;
			s.other_vehicle = 8;
		}
		if (rides[person] > 1 && draw(8) == 0)
			s.window_ms = s.other_ms;
		assert_int_equal(riding_room(r, 1), 0);
		riding_put(r, riding_key(r, person), &s);
	}
	print_message("# %.1f bytes\n", (double)riding_bytes(r) / (double)riding_count(r));
	assert_true(riding_bytes(r) < 60 * riding_count(r));
	riding_free(r);
}

static struct receipt receipt_draw(uint32_t file_serial)
{
	struct receipt r = { .file_serial = file_serial, .inbox_seq = draw(UINT64_MAX), .count = (uint32_t)draw(BATCH_TAPS_MAX + 1) };
	uint64_t mostly = draw(3) == 0 ? draw(VERDICT_COUNT) : VERDICT_ACCEPTED, others = draw(3) == 0 ? 2 : draw(1000) + 1;

	for (uint32_t i = 0; i < r.count; i++) {
		r.verdict[i] = (uint8_t)(draw(others) == 1 ? draw(VERDICT_COUNT) : mostly);
		receipt_count(&r, (enum verdict)r.verdict[i]);
	}
	return r;
}

static void test_a_batch_has_again_the_receipt_it_was_given_last(void **state)
{
	enum { BATCHES = 300 };
	static struct receipt plain[BATCHES];
	struct receipt r;
	struct table t;

	(void)state;
	assert_int_equal(answers_open(&t), 0);
	for (int n = 0; n < 5000; n++) {
		uint32_t serial = (uint32_t)draw(BATCHES);
		struct answer name = answer_key("V-1", serial);
		const struct answer *a = table_find(&t, &name);

		assert_int_equal(a != NULL, plain[serial].inbox_seq != 0);
		if (a != NULL) {
			answer_receipt(a, &r);
			assert_memory_equal(&r, &plain[serial], sizeof(r));
		}
		plain[serial] = receipt_draw(serial);
		plain[serial].inbox_seq |= 1;
		assert_int_equal(answer_put(&t, &name, &plain[serial]), 0);
	}
	answers_drop(&t);
	table_close(&t);
}

static void test_a_mark_belongs_to_terminal_serial_and_time(void **state)
{
	enum { TAPS = 4000 };
	static struct tap tap[TAPS];
	static uint64_t content[TAPS];
	struct seen *s;

	(void)state;
	assert_int_equal(seen_new(&s), 0);
	for (int i = 0; i < TAPS; i++) {	/* 5 terminals, 400 serials, 2 times, of some years between them */
		tap[i] = (struct tap){ .terminal = { 0x42, (uint8_t)(i % 5) }, .terminal_serial = (uint32_t)(i / 10) * 3, .time_ms = 1000 + (i / 5 % 2) };
		tap[i].time_ms += i % 7 == 0 ? INT64_C(100000000000) : i % 11 == 0 ? INT64_MAX - 1001 : 0;
	}
	for (int round = 0; round < 2; round++) {
		memset(content, 0, sizeof(content));
		for (int n = 0; n < 40000; n++) {
			uint64_t i = draw(TAPS);
			struct seen_mark *m;

			assert_int_equal(seen_room(s, 1), 0);
			m = seen_at(s, &tap[i]);
			assert_int_equal(m->used, content[i] != 0);
			assert_true(!m->used || m->content == content[i]);
			m->used = true;
			m->content = content[i] = draw(1u << 30) + 1;
		}
		seen_reset(s);
	}
	seen_free(s);
}

static void test_marks_of_a_terminals_day_take_thirteen_bytes(void **state)
{
	enum { TAPS = 64000 };
	struct seen *s;

	(void)state;
	assert_int_equal(seen_new(&s), 0);
	for (uint32_t i = 0; i < TAPS; i++) {
		struct tap tap = { .terminal = { 0x42 }, .terminal_serial = i, .time_ms = 1762140000000 + i * INT64_C(1000) };

		assert_int_equal(seen_room(s, 1), 0);
		seen_at(s, &tap)->used = true;
	}
	assert_true(seen_bytes(s) < 13 * TAPS);
	seen_free(s);
}

struct put_sink { struct sink sink; struct txn *txn; struct row_packer *packer; };

static int put_row(struct sink *sink, enum db db, const void *at, size_t at_bytes, const void *val, size_t val_bytes)
{
	struct put_sink *s = (struct put_sink *)(void *)sink;

	if (db == DB_CLEARED)
		assert_int_equal(row_pack(s->packer, val, val_bytes, &val, &val_bytes), 0);
	txn_put(s->txn, db, at, at_bytes, val, val_bytes);
	return s->txn->error;
}

/* A day whose one row decided this key. */
static void put_key(struct txn *t, const struct tap *tap, int32_t day)
{
	static const char body[] = "a record";
	const void *part = body;
	size_t bytes = sizeof(body);
	struct put_sink sink = { .sink = { .put = put_row }, .txn = t };
	struct row_new row = { .device = "D1", .raw_bytes = 8, .decides = true };
	struct decided_list decided = { 0 };
	struct block_writer *writer;
	struct row_result *result;
	struct results *results;
	uint8_t block[1024];
	size_t n;
	uint8_t business[TAP_KEY_BYTES];

	tap_key(tap, business);
	row_new_key(&row, day, CLEARED_RIDE, business, 0);
	row.seq = row.raw_seq = inbox_append(t, EVENT_BATCH, 0, &part, &bytes, 1);
	assert_int_equal(row_packer_new(&sink.packer), 0);
	assert_int_equal(results_new(&results), 0);
	assert_int_equal(results_add(results, &(struct cleared){ .verdict = VERDICT_ACCEPTED }, NULL, &result), 0);
	row.result = result;
	assert_int_equal(block_writer_new(BLOCK_VERSION, &writer), 0);
	assert_int_equal(block_add(writer, &row), 0);
	n = block_bytes(writer);
	assert_true(n <= sizeof(block));
	block_end(writer, block);
	assert_int_equal(put_row(&sink.sink, DB_CLEARED, row.key, sizeof(row.key), block, n), 0);
	assert_int_equal(decided_add(&decided, business), 0);
	assert_int_equal(decided_write(&decided, &sink.sink, day), 0);
	free(decided.list);
	block_writer_free(writer);
	results_free(results);
	row_packer_free(sink.packer);
}

/* The terminal's highest serial spares the look into the index, and must never hide what a day decided. */
static void test_what_an_earlier_day_decided_is_found_also_when_it_is_decided_meanwhile(void **state)
{
	struct house h;
	struct seen *s;
	struct txn t;

	(void)state;
	house_open(&h);
	assert_int_equal(seen_new(&s), 0);
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	for (uint32_t serial = 1; serial <= 40; serial++) {
		struct tap tap = { .terminal = { 0x42, (uint8_t)(serial % 3) }, .terminal_serial = serial, .time_ms = 5000 };
		struct tap later = tap;

		later.time_ms = 6000;
		assert_int_equal(seen_room(s, 1), 0);
		assert_false(seen_earlier(s, &t, &tap, DAY0));
		put_key(&t, &tap, serial % 2 != 0 ? DAY0 - (int32_t)serial : DAY0);
		assert_int_equal(seen_earlier(s, &t, &tap, DAY0), serial % 2 != 0);	/* what the day itself decided is not earlier */
		assert_false(seen_earlier(s, &t, &later, DAY0));
		tap.terminal_serial = 0;
		assert_false(seen_earlier(s, &t, &tap, DAY0));
	}
	txn_abort(&t);
	seen_free(s);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_table_finds_what_was_put_and_nothing_else),
		cmocka_unit_test(test_a_walk_a_few_at_a_time_comes_to_every_entry_while_others_come_in),
		cmocka_unit_test(test_growing_moves_a_few_thousand_entries_at_most),
		cmocka_unit_test(test_parts_are_not_cut_all_at_once),
		cmocka_unit_test(test_a_table_of_any_size_takes_at_most_six_bytes_beside_an_entry),
		cmocka_unit_test(test_room_for_many_is_room_for_each_and_not_many_times_as_much),
		cmocka_unit_test(test_an_address_kept_while_a_part_was_cut_shows_the_entry_or_none),
		cmocka_unit_test(test_a_chunk_is_zeroed_whether_one_was_ready_or_not),
		cmocka_unit_test(test_blocks_lie_apart_whatever_their_size_and_whoever_gives_them_back),
		cmocka_unit_test(test_chunks_are_made_ready_again_once_half_of_them_are_taken),
		cmocka_unit_test(test_chunks_beside_each_other_are_of_those_ready_but_half_of_them_and_go_back_one_by_one),
		cmocka_unit_test(test_a_chunk_that_was_given_back_is_zeroed_before_it_is_taken_again),
		cmocka_unit_test(test_a_rider_gets_back_the_state_last_put_for_him),
		cmocka_unit_test(test_a_rider_of_two_rides_takes_less_than_sixty_bytes),
		cmocka_unit_test(test_a_batch_has_again_the_receipt_it_was_given_last),
		cmocka_unit_test(test_a_mark_belongs_to_terminal_serial_and_time),
		cmocka_unit_test(test_marks_of_a_terminals_day_take_thirteen_bytes),
		cmocka_unit_test(test_what_an_earlier_day_decided_is_found_also_when_it_is_decided_meanwhile),
	};
	const char *given = getenv("QINGFEN_SEED");

	seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	x = seed * 2 + 88172645463325253ULL;
	print_message("# seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
