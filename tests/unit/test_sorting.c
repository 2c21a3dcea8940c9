/* Records put in order by their numbers, against qsort: numbers spread evenly, in crowds, all of them one, at both ends of what there is. */
#include "tests/unit/house.h"

#include <time.h>

#include "clearing/clear.h"

#define RECORDS 30000

static uint64_t rolling;
static struct store *store;
static char dir[] = "/tmp/test_sorting.XXXXXX";

static uint64_t roll(void)
{
	rolling += 0x9E3779B97F4A7C15u;
	uint64_t z = (rolling ^ rolling >> 30) * 0xBF58476D1CE4E5B9u;

	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

static uint64_t evenly(void) { return roll(); }
static uint64_t few(void) { return roll() % 50; }
static uint64_t one(void) { return 7; }
static uint64_t in_crowds(void) { return (roll() % 3 << 61) + roll() % 1000; }
static uint64_t at_the_ends(void) { return roll() % 2 ? UINT64_MAX - roll() % 20 : roll() % 20; }
static uint64_t ever_rarer(void) { return roll() >> roll() % 64; }
static uint64_t rising_next(void)
{
	static uint64_t last;

	return last += roll() % 3;
}

static int by_all(const void *pa, const void *pb)
{
	const struct work *a = *(struct work *const *)pa, *b = *(struct work *const *)pb;

	if (a->person != b->person)
		return a->person < b->person ? -1 : 1;
	if (a->bearer != b->bearer)
		return a->bearer < b->bearer ? -1 : 1;
	return key_order(a->key, b->key);
}

static struct rank by_numbers(const struct work *w) { return (struct rank){ w->person, w->bearer }; }

static void records_roll(struct job *j, uint64_t (*number)(void), size_t count)
{
	j->count = count;
	for (size_t i = 0; i < count; i++) {
		j->work[i].person = number();
		j->work[i].bearer = (uint32_t)(roll() % 3);
		be64_put(j->work[i].key, roll());
		j->order[i] = &j->work[i];
	}
}

static void test_any_numbers_of_any_count_come_in_the_order_that_comparing_all_gives(void **state)
{
	static uint64_t (*const number[])(void) = { evenly, few, one, in_crowds, at_the_ends, ever_rarer, rising_next };
	static const size_t count[] = { 0, 1, 2, 16, 17, 100, 4096, 4097, 9000, RECORDS };
	struct work **expected = malloc(RECORDS * sizeof(*expected));
	struct job j = { .store = store, .work = calloc(RECORDS, sizeof(struct work)), .order = malloc(RECORDS * sizeof(struct work *)) };

	(void)state;
	assert_true(expected != NULL && j.work != NULL && j.order != NULL);
	for (size_t n = 0; n < sizeof(number) / sizeof(number[0]); n++)
		for (size_t c = 0; c < sizeof(count) / sizeof(count[0]); c++)
			for (unsigned threads = 1; threads <= 8; threads += 7) {
				clear_threads(threads);
				records_roll(&j, number[n], count[c]);
				memcpy(expected, j.order, count[c] * sizeof(*expected));
				qsort(expected, count[c], sizeof(*expected), by_all);
				assert_int_equal(works_sort(&j, j.order, count[c], by_numbers, by_all), 0);
				assert_memory_equal(j.order, expected, count[c] * sizeof(*expected));
			}
	clear_threads(0);
	spares_free(&j);
	free(expected);
	free(j.order);
	free(j.work);
}

static int setup(void **state)
{
	const char *given = getenv("QINGFEN_SEED");

	(void)state;
	rolling = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	print_message("QINGFEN_SEED=%llu\n", (unsigned long long)rolling);
	return mkdtemp(dir) == NULL ? -1 : store_open(dir, false, 64 << 20, &store);
}

static int teardown(void **state)
{
	(void)state;
	store_close(store);
	dir_remove(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_numbers_of_any_count_come_in_the_order_that_comparing_all_gives),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
