/* Persons' days in the store: a person's rows are found, newest or one after the other, whether they lie by day or by person. */
#include "tests/unit/format_5.h"

#define PERSONS 40
#define SOME_DAYS 30
#define OLD_DAYS 12
struct books { bool rode[PERSONS][SOME_DAYS]; size_t rows, persons; uint64_t person; int32_t day, stop; };

/* Each second is a registered person's handle. */
static uint64_t handle(unsigned i) { return (uint64_t)(i + 1) * 0x0123456789ABCDu | (uint64_t)(i % 2) << 63; }

/* Days in turn, as clears make them; up to OLD_DAYS as those of format 5 did. */
static void books_write(struct txn *t, struct books *b)
{
	for (int32_t d = 0; d < SOME_DAYS; d++)
		for (unsigned i = 0; i < PERSONS; i++) {
			struct ridden_ride ride = { .time_ms = ridden_near_ms(DAY0 + d), .flags = RIDDEN_RATED };
			struct ridden_row row = { .person = handle(i), .day = DAY0 + d, .before = DAY_NONE, .ride = &ride, .rides = 1 };
			uint8_t at[RIDDEN_KEY_BYTES], bytes[1024], last[8], day[4];
			struct ridden before;
			size_t n;

			b->rode[i][d] = i > 0 && sample_below(i) < 8;		/* some seldom, one never */
			if (!b->rode[i][d])
				continue;
			be64_put(ride.key + 10, (uint64_t)ride.time_ms);
			if (ridden_before(t, handle(i), DAY0 + d - 1, &before))
				row.before = before.day;
			n = ridden_encode(&row, bytes);
			if (d < OLD_DAYS) {
				key_before_format_6(handle(i), DAY0 + d, at);
				txn_put(t, DB_RIDDEN, at, sizeof(at), bytes, bytes_before_format_6(bytes, n));
				continue;
			}
			ridden_key(handle(i), DAY0 + d, at);
			txn_put(t, DB_PERSON_DAY, at, sizeof(at), bytes, n);
			be64_put(last, handle(i));
			be32_put(day, (uint32_t)(DAY0 + d) ^ 0x80000000u);
			txn_put(t, DB_PERSON_LAST, last, sizeof(last), day, sizeof(day));
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

static void a_persons_days_are_found_whether_they_lie_by_day_or_by_person(void **state)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_persons_days_are_found_whether_they_lie_by_day_or_by_person),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
