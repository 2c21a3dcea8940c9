/*
 * Persons' days in the store: a person's rows are found, newest or one after the other, whether they lie together, each by itself or by person;
 * and what lies together is what was put, whatever was there before.
 */
#include "tests/unit/old_formats.h"

#include "clearing/clear.h"

#define PERSONS 60
#define SOME_DAYS 30
#define DAYS_OF_5 8
#define DAYS_OF_6 16
struct books { bool rode[PERSONS][SOME_DAYS]; size_t rows, persons; uint64_t person; int32_t day, stop; };

/* Rising; from the middle on they are registered persons' handles. */
static uint64_t handle(unsigned i) { return (uint64_t)(i + 1) * 0x0123456789ABCDu | (uint64_t)(i >= PERSONS / 2) << 63; }

static void rows_end(struct txn *t, struct person_block *b, int32_t day)
{
	uint8_t at[RIDDEN_KEY_BYTES];

	if (b->rows == 0)
		return;
	ridden_key(b->first, day, at);
	txn_put(t, DB_PERSON_DAY, at, sizeof(at), b->p, b->n);
	person_block_empty(b);
}

/* Days in turn, as clears make them; up to DAYS_OF_5, and from there to DAYS_OF_6, as those of these formats did. */
static void books_write(struct txn *t, struct books *b)
{
	struct person_block block = { 0 };

	for (int32_t d = 0; d < SOME_DAYS; d++) {
		struct newest newest[PERSONS];
		size_t count = 0;

		for (unsigned i = 0; i < PERSONS; i++) {
			struct ridden_ride ride = { .time_ms = ridden_near_ms(DAY0 + d), .flags = RIDDEN_RATED };
			struct ridden_row row = { .person = handle(i), .day = DAY0 + d, .before = DAY_NONE, .ride = &ride, .rides = 1 };
			struct ridden before;
			uint8_t bytes[1024];
			size_t n;

			b->rode[i][d] = i > 0 && sample_below(1 + i % 30) < 8;	/* some seldom, one never */
			if (!b->rode[i][d])
				continue;
			be64_put(ride.key + 10, (uint64_t)ride.time_ms);
			if (ridden_before(t, handle(i), DAY0 + d - 1, &before))
				row.before = before.day;
			n = ridden_encode(&row, bytes);
			if (d < DAYS_OF_6) {
				row_put_as_format(t, d < DAYS_OF_5 ? 5 : 6, handle(i), DAY0 + d, bytes, n);
				continue;
			}
			if (!person_block_takes(&block, handle(i), n) || block.rows == 7)
				rows_end(t, &block, DAY0 + d);
			assert_int_equal(person_block_add(&block, handle(i), bytes, n), 0);
			newest[count++] = (struct newest){ handle(i), DAY0 + d };
		}
		rows_end(t, &block, DAY0 + d);
		newest_put(t, newest, count);
		free(block.p);
		block = (struct person_block){ 0 };
	}
}

static int row_seen(void *arg, struct ridden *row)
{
	struct books *b = arg;
	unsigned i = 0;

	while (i < PERSONS && handle(i) != row->person)
		i++;
	assert_true(i < PERSONS && row->day >= DAY0 && row->day < DAY0 + SOME_DAYS && b->rode[i][row->day - DAY0]);
	assert_true(b->person != row->person || row->day > b->day);	/* one after the other */
	b->persons += b->person != row->person;
	b->person = row->person;
	b->day = row->day;
	b->rows++;
	return row->day == b->stop ? 7 : 0;
}

static void person_asked(struct txn *t, struct books *b, unsigned i, int32_t d)
{
	int32_t newest = d;
	struct ridden row;
	size_t rows = 0;

	while (newest >= 0 && !b->rode[i][newest])
		newest--;
	assert_int_equal(ridden_before(t, handle(i), DAY0 + d, &row), newest >= 0);
	if (newest >= 0)
		assert_true(row.person == handle(i) && row.day == DAY0 + newest);
	for (int32_t k = 0; k <= d; k++)
		rows += b->rode[i][k];
	b->rows = 0;
	b->person = 0;
	b->stop = DAY_NONE;
	assert_int_equal(ridden_each(t, handle(i), DAY0 + d, row_seen, b), 0);
	assert_int_equal(b->rows, rows);
	b->rows = 0;
	b->person = 0;
	b->stop = newest >= 0 ? DAY0 + newest : DAY_NONE;
	assert_int_equal(ridden_each(t, handle(i), INT32_MAX, row_seen, b), newest >= 0 ? 7 : 0);
	assert_true(newest < 0 || b->rows == rows);
}

static void a_persons_days_are_found_however_their_rows_lie(void **state)
{
	static struct books b;
	size_t rows = 0, persons = 0;
	struct house h;
	struct txn t;

	(void)state;
	house_open(&h);
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	books_write(&t, &b);
	assert_int_equal(txn_commit(&t), 0);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	for (int round = 0; round < 3; round++) {
		t.rising = round == 2;		/* places are kept */
		for (unsigned i = 0; i < PERSONS; i++)
			for (int32_t d = round == 0 ? 0 : SOME_DAYS - 2; d < SOME_DAYS; d++)
				person_asked(&t, &b, i, d);
	}
	for (unsigned i = 0; i < PERSONS; i++) {
		bool any = false;

		for (int32_t d = 0; d < SOME_DAYS; d++) {
			rows += b.rode[i][d];
			any = any || b.rode[i][d];
		}
		persons += any;
	}
	b.rows = b.persons = 0;
	b.person = 0;
	b.stop = DAY_NONE;
	assert_int_equal(ridden_everyone(&t, INT32_MAX, row_seen, &b), 0);
	assert_int_equal(b.rows, rows);
	assert_int_equal(b.persons, persons);
	assert_int_equal(t.error, 0);
	txn_abort(&t);
	house_close(&h);
}

/* ---- the list of newest days ------------------------------------------------------------------------------------ */

#define LISTED 3000
struct listed { uint64_t person; int32_t day; bool known; };

static int listed_compare(const void *pa, const void *pb)
{
	const struct listed *a = pa, *b = pb;

	return (a->person > b->person) - (a->person < b->person);
}

/* All that is in the store, in its order: the same persons and days; no block is beyond its bytes. */
static void list_is(struct txn *t, const struct listed *l)
{
	size_t i = 0, blocks = 0, known = 0;
	struct iter it;

	iter_open(t, DB_PERSON_LAST, NULL, 0, &it);
	for (; iter_next(&it); blocks++) {
		struct block_persons w;

		assert_true(it.val_bytes <= PERSON_LAST_BYTES);
		for (persons_open(DB_PERSON_LAST, be64_get(it.key), it.val, it.val_bytes, &w); persons_next(&w); i++, known++) {
			while (i < LISTED && !l[i].known)
				i++;
			assert_true(i < LISTED && l[i].person == w.person && l[i].day == w.day);
		}
		assert_false(w.damaged);
	}
	iter_close(&it);
	while (i < LISTED && !l[i].known)
		i++;
	assert_int_equal(i, LISTED);
	assert_true(blocks <= known / 20 + 2);		/* they are put together, also those that were alone */
}

static void list_found(struct txn *t, const struct listed *l)
{
	for (size_t i = 0; i < LISTED; i++) {
		struct block_persons w;

		assert_int_equal(block_find(t, DB_PERSON_LAST, 0, l[i].person, &w), l[i].known);
		assert_true(!l[i].known || w.day == l[i].day);
		assert_false(l[i].person > 0 && (i == 0 || l[i - 1].person != l[i].person - 1) && block_find(t, DB_PERSON_LAST, 0, l[i].person - 1, &w));
	}
	assert_int_equal(t->error, 0);
}

static void the_list_of_newest_days_is_what_was_put_last_of_each_person(void **state)
{
	static struct listed l[LISTED];
	static struct newest put[LISTED];

	(void)state;
	for (int round = 0; round < 12; round++) {
		int32_t day = DAY0;
		struct house h;
		struct txn t;

		house_open(&h);
		for (size_t i = 0; i < LISTED; i++)	/* far and near, up to the last number there is; no two are the same */
			l[i] = (struct listed){ .person = i < 3 ? UINT64_MAX - i : (uint64_t)i << 40 | (sample_random() >> 24 >> sample_below(40)) };
		qsort(l, LISTED, sizeof(l[0]), listed_compare);
		assert_int_equal(txn_begin(h.store, true, &t), 0);
		for (size_t i = 0; round % 2 != 0 && i < LISTED; i++)
			if (sample_below(3) == 0) {
				uint8_t at[8], val[4];

				be64_put(at, l[i].person);
				be32_put(val, (uint32_t)day ^ 0x80000000u);
				txn_put(&t, DB_PERSON_LAST, at, sizeof(at), val, sizeof(val));
				l[i].day = day;
				l[i].known = true;
			}
		for (int times = 0; times < 20; times++) {
			uint32_t seldom = 1 + sample_below(times < 4 ? 3 : 400);
			size_t count = 0, from = sample_below(LISTED), end = sample_below(2) ? LISTED : from + sample_below(LISTED);

			day += 1 + (int32_t)sample_below(sample_below(4) == 0 ? 4000 : 3);
			for (size_t i = from; i < end && i < LISTED; i++)
				if (sample_below(seldom) == 0) {
					l[i].day = day;
					l[i].known = true;
					put[count++] = (struct newest){ l[i].person, day };
				}
			newest_put(&t, put, count);
			assert_int_equal(t.error, 0);
		}
		for (size_t i = 0; i < LISTED; i++) {	/* then all once more, so that none is alone */
			if (l[i].known)
				l[i].day = day;
			put[i] = (struct newest){ l[i].person, day };
		}
		for (size_t i = 0; i < LISTED; i++)
			if (l[i].known)
				newest_put(&t, &put[i], 1);
		list_is(&t, l);
		list_found(&t, l);
		assert_int_equal(txn_commit(&t), 0);
		assert_int_equal(txn_begin(h.store, false, &t), 0);
		t.rising = true;
		list_found(&t, l);
		list_found(&t, l);		/* from the last place back to the first */
		txn_abort(&t);
		house_close(&h);
	}
}

/* ---- blocks that are no blocks ---------------------------------------------------------------------------------- */

static void a_cut_or_changed_block_is_damaged_or_a_block_and_never_read_beyond(void **state)
{
	static const enum db kind[] = { DB_PERSON_DAY, DB_PERSON_LAST };
	size_t damaged = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		enum db db = kind[i % 2];
		struct person_block b = { 0 };
		size_t n = 0, persons = 0;
		struct block_persons w;
		uint8_t *exact;

		for (uint64_t person = sample_below(1000); persons < 1 + sample_below(20); persons++, person += 1 + sample_below(300))
			assert_int_equal(person_block_add(&b, person, (const uint8_t *)"a row of some forty bytes, or of a few of them", 1 + sample_below(40)), 0);
		if (db == DB_PERSON_LAST) {		/* the same numbers say days */
			b.n = 5;
			b.p[0] = 1;
			for (size_t k = 0; k < 2 * persons; k++)
				b.n += varnum_put(b.p + b.n, k == 0 ? 0 : 1 + sample_below(300));
		}
		n = sample_below(2) ? b.n : sample_below((uint32_t)b.n + 1);
		exact = malloc(n + 1);			/* of that size, so that a byte beyond is seen */
		assert_non_null(exact);
		memcpy(exact + 1, b.p, n);
		for (uint32_t k = sample_below(3); n > 0 && k-- > 0; )
			exact[1 + sample_below((uint32_t)n)] ^= (uint8_t)(1 + sample_below(255));
		persons_open(db, b.first, exact + 1, n, &w);
		for (uint64_t before = 0, first = 1; persons_next(&w); before = w.person, first = 0)
			assert_true((first || w.person > before) && (db == DB_PERSON_LAST || w.row + w.row_bytes <= exact + 1 + n));
		damaged += w.damaged;
		free(exact);
		free(b.p);
	}
	assert_true(damaged > 1000);
}

static int row_any(void *arg, struct ridden *row)
{
	(void)row;
	++*(int *)arg;
	return 0;
}

static void a_damaged_block_or_row_in_the_store_is_told_and_not_taken_for_nothing(void **state)
{
	struct newest one = { handle(1), DAY0 };
	struct ridden_row row = { .person = handle(1), .day = DAY0, .before = DAY_NONE };
	uint8_t at[RIDDEN_KEY_BYTES], bytes[64], last[8];
	struct person_block b = { 0 };
	struct ridden found;
	struct house h;
	struct txn t;
	int rows = 0;
	size_t n;

	(void)state;
	house_open(&h);
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	n = ridden_encode(&row, bytes);
	bytes[n++] = 0;					/* behind its records, where only who asks for these looks */
	assert_int_equal(person_block_add(&b, handle(1), bytes, n), 0);
	ridden_key(handle(1), DAY0, at);
	txn_put(&t, DB_PERSON_DAY, at, sizeof(at), b.p, b.n);
	newest_put(&t, &one, 1);
	assert_true(ridden_before(&t, handle(1), DAY0 + 3, &found));
	assert_int_equal(ridden_each(&t, handle(1), DAY0 + 3, row_any, &rows), CLEARING_E_STORE);
	t.error = 0;
	b.p[b.n - n] = 9;				/* no version of a row */
	txn_put(&t, DB_PERSON_DAY, at, sizeof(at), b.p, b.n);
	assert_false(ridden_before(&t, handle(1), DAY0 + 3, &found));
	assert_int_equal(t.error, CLEARING_E_STORE);
	t.error = 0;
	txn_put(&t, DB_PERSON_DAY, at, sizeof(at), b.p, b.n - 1);
	assert_false(ridden_before(&t, handle(1), DAY0, &found));
	assert_int_equal(t.error, CLEARING_E_STORE);
	t.error = 0;
	assert_int_equal(ridden_count(&t, DAY0), 0);
	assert_int_equal(t.error, CLEARING_E_STORE);
	t.error = 0;
	be64_put(last, handle(1));
	txn_put(&t, DB_PERSON_LAST, last, sizeof(last), "\2\0\0\0\0\0\0", 7);
	assert_false(ridden_before(&t, handle(1), DAY0 + 3, &found));
	assert_int_equal(t.error, CLEARING_E_STORE);
	t.error = 0;
	assert_int_equal(ridden_everyone(&t, DAY0, row_any, &rows), CLEARING_E_STORE);
	t.error = 0;
	newest_put(&t, &one, 1);			/* nor is it written over */
	assert_int_equal(t.error, CLEARING_E_STORE);
	assert_int_equal(rows, 0);
	t.error = 0;
	txn_abort(&t);
	free(b.p);
	house_close(&h);
}

/* ---- a clear that is begun again ---------------------------------------------------------------------------------- */

/* Rows as a clear of format 6 left them when it was interrupted; then those of a clear that puts them together. */
static void what_an_interrupted_clear_left_gives_way_to_the_same_day_cleared_again(void **state)
{
	struct person_block block = { 0 };
	struct store_sink *sink;
	struct digest rows;
	struct house h;
	struct txn t;

	(void)state;
	house_open(&h);
	for (int again = 0; again < 3; again++) {	/* the third time over blocks of this format that began elsewhere */
		struct sink *to = NULL;

		if (again == 0)
			assert_int_equal(txn_begin(h.store, true, &t), 0);
		else
			assert_int_equal(store_sink_open(h.store, DAY0, &sink), 0);
		if (again > 0)
			to = store_sink_of(sink);
		for (unsigned i = 0; i < (again == 0 ? PERSONS / 2 : PERSONS); i++) {
			struct ridden_row row = { .person = handle(i), .day = DAY0, .before = DAY_NONE };
			uint8_t bytes[64], at[RIDDEN_KEY_BYTES];
			size_t n = ridden_encode(&row, bytes);

			if (again == 0) {
				row_put_as_format(&t, 6, handle(i), DAY0, bytes, n);
				continue;
			}
			assert_int_equal(person_block_add(&block, handle(i), bytes, n), 0);
			if (block.rows % (again == 1 ? 7 : 5) != 0 && i + 1 < PERSONS)
				continue;
			ridden_key(block.first, DAY0, at);
			assert_int_equal(to->put(to, DB_PERSON_DAY, at, sizeof(at), block.p, block.n), 0);
			person_block_empty(&block);
			if (i % 3 == 0)
				assert_int_equal(to->checkpoint(to), 0);
		}
		if (again == 0)
			assert_int_equal(txn_commit(&t), 0);
		else
			assert_int_equal(store_sink_close(sink, 0, &rows), 0);
		free(block.p);
		block = (struct person_block){ 0 };
		assert_int_equal(txn_begin(h.store, false, &t), 0);
		assert_int_equal(ridden_count(&t, DAY0), again == 0 ? PERSONS / 2 : PERSONS);
		for (unsigned i = 0; i < (again == 0 ? PERSONS / 2 : PERSONS); i++) {
			struct ridden row;

			assert_true(ridden_before(&t, handle(i), DAY0, &row) && row.day == DAY0);
			assert_true(ridden_before(&t, handle(i), DAY0 + 9, &row) && row.day == DAY0);
		}
		txn_abort(&t);
	}
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_persons_days_are_found_however_their_rows_lie),
		cmocka_unit_test(the_list_of_newest_days_is_what_was_put_last_of_each_person),
		cmocka_unit_test(a_cut_or_changed_block_is_damaged_or_a_block_and_never_read_beyond),
		cmocka_unit_test(a_damaged_block_or_row_in_the_store_is_told_and_not_taken_for_nothing),
		cmocka_unit_test(what_an_interrupted_clear_left_gives_way_to_the_same_day_cleared_again),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
