/* The black list: single cards and ranges found, neighbours not, wrong text refused with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/tap_sample.h"

static char error[256];

static int parse(const char *text, struct hotlist **ret) { return hotlist_parse("list", text, strlen(text), ret, error, sizeof(error)); }

static bool has(const struct hotlist *h, const char *digits)
{
	uint8_t pan[10];

	assert_true(pan_parse(digits, pan));
	return hotlist_has(h, pan);
}

static void cards_and_ranges_are_found_and_their_neighbours_are_not(void **state)
{
	struct hotlist *h;

	(void)state;
	assert_int_equal(parse("# list\r\n3104730150000000017\r\n3104730150000000100,3104730150000000199\n3104730150000000001", &h), 0);
	assert_int_equal(hotlist_count(h), 3);
	assert_true(has(h, "3104730150000000017"));
	assert_true(has(h, "3104730150000000001"));
	assert_true(has(h, "3104730150000000100"));
	assert_true(has(h, "3104730150000000150"));
	assert_true(has(h, "3104730150000000199"));
	assert_false(has(h, "3104730150000000099"));
	assert_false(has(h, "3104730150000000200"));
	assert_false(has(h, "3104730150000000016"));
	assert_false(has(h, "0"));
	assert_false(has(h, "99999999999999999999"));
	hotlist_free(h);
}

static void an_empty_list_has_nobody(void **state)
{
	struct hotlist *h;

	(void)state;
	assert_int_equal(parse("", &h), 0);
	assert_false(has(h, "1"));
	hotlist_free(h);
}

static void a_random_list_answers_like_a_plain_search(void **state)
{
	static char text[400 * 16];
	static uint32_t listed[400];
	size_t n = 0;
	struct hotlist *h;
	char digits[16];

	(void)state;
	for (size_t i = 0; i < 400; i++) {
		listed[i] = sample_below(2000);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%u\n", listed[i]);
	}
	assert_int_equal(parse(text, &h), 0);
	for (uint32_t v = 0; v < 2000; v++) {
		bool there = false;

		for (size_t i = 0; i < 400; i++)
			there = there || listed[i] == v;
		snprintf(digits, sizeof(digits), "%u", v);
		assert_int_equal(has(h, digits), there);
	}
	hotlist_free(h);
}

static void wrong_lines_are_refused_with_their_number(void **state)
{
	static const char *const wrong[] = { "1\nx\n", "1\n123456789012345678901\n", "1\n9,8\n", "1\n 2\n", "1\n-2\n" };
	struct hotlist *h = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_true(parse(wrong[i], &h) < 0);
		assert_int_equal(strncmp(error, "list:2:1: ", 10), 0);
	}
	assert_true(parse("1,5\n4,9\n", &h) < 0);
	assert_non_null(strstr(error, "overlap"));
	assert_true(hotlist_parse("list", "1\0002", 3, &h, error, sizeof(error)) < 0);
	assert_null(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cards_and_ranges_are_found_and_their_neighbours_are_not),
		cmocka_unit_test(an_empty_list_has_nobody),
		cmocka_unit_test(a_random_list_answers_like_a_plain_search),
		cmocka_unit_test(wrong_lines_are_refused_with_their_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
