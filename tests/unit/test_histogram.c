/* What the simulators' histogram promises about waiting times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tools/sim/histogram.h"

#include "tools/sim/histogram.c"

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void test_percentiles_are_right_to_a_sixty_fourth(void **state)
{
	static const uint32_t share[] = { 1, 100, 5000, 9000, 9900, 9990, 9999, 10000 };
	static uint64_t us[20000];
	static struct histogram h;
	size_t n = sizeof(us) / sizeof(us[0]);
	uint64_t x = 88172645463325252ULL;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		us[i] = (x >> 40) >> (x & 15);	/* from none to 16 s, small ones as well */
		histogram_add(&h, us[i]);
	}
	qsort(us, n, sizeof(us[0]), compare);
	for (size_t i = 0; i < sizeof(share) / sizeof(share[0]); i++) {
		uint64_t exact = us[(n * share[i] + 9999) / 10000 - 1], told = histogram_at(&h, share[i]);

		assert_true(told >= exact && told <= exact + exact / 64 + 1);
	}
	assert_int_equal(histogram_at(&h, 10000), us[n - 1]);
}

static void test_an_hour_has_a_place_and_more_is_told_as_the_longest(void **state)
{
	static struct histogram h;

	(void)state;
	assert_int_equal(histogram_at(&h, 5000), 0);
	histogram_add(&h, 3600ull * 1000000);
	assert_int_equal(histogram_at(&h, 5000), 3600ull * 1000000);
	histogram_add(&h, UINT64_MAX);
	assert_true(histogram_at(&h, 10000) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percentiles_are_right_to_a_sixty_fourth),
		cmocka_unit_test(test_an_hour_has_a_place_and_more_is_told_as_the_longest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
