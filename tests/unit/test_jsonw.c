/* What is written as JSON: exact integers, characters that need it escaped, nothing else touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "clearing/clearing.h"

static char *text;
static size_t bytes;

static FILE *memory(void)
{
	FILE *out = open_memstream(&text, &bytes);

	assert_non_null(out);
	return out;
}

static void is(FILE *out, const char *expected)
{
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, expected);
	free(text);
}

static void test_integers_are_exact_to_both_ends(void **state)
{
	static const int64_t number[] = { 0, -1, 9, 10, -10, INT32_MIN, INT64_MAX, INT64_MIN };
	FILE *out = memory();
	struct jsonw j;

	(void)state;
	jsonw_init(&j, out, false);
	jsonw_array(&j);
	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		jsonw_int(&j, number[i]);
	jsonw_array_end(&j);
	is(out, "[0,-1,9,10,-10,-2147483648,9223372036854775807,-9223372036854775808]");
}

static void test_only_quotes_backslashes_and_controls_are_escaped(void **state)
{
	FILE *out = memory();
	struct jsonw j;

	(void)state;
	jsonw_init(&j, out, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "", "");
	jsonw_kstr(&j, "a\"b", "\"\\\"");
	jsonw_kstr(&j, "控", "清分\n\x01结算\x1f\x7f");
	jsonw_object_end(&j);
	is(out, "{\"\":\"\",\"a\\\"b\":\"\\\"\\\\\\\"\",\"控\":\"清分\\u000a\\u0001结算\\u001f\x7f\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers_are_exact_to_both_ends),
		cmocka_unit_test(test_only_quotes_backslashes_and_controls_are_escaped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
