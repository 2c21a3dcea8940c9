/* Money and days: rounding table, splits that sum, civil dates, strict parsing. */
#include "tariffs/tariffs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void halves_round_as_the_mode_says(void **state)
{
	static const struct { int64_t fen, num, den; enum money_round mode; int64_t unit, expected; } row[] = {
		{ 135, 1, 2, ROUND_HALF_UP, 1, 68 }, { 135, 1, 2, ROUND_HALF_DOWN, 1, 67 }, { 135, 1, 2, ROUND_HALF_EVEN, 1, 68 }, { 133, 1, 2, ROUND_HALF_EVEN, 1, 66 },
		{ 135, 1, 2, ROUND_FLOOR, 1, 67 }, { 135, 1, 2, ROUND_CEIL, 1, 68 }, { -135, 1, 2, ROUND_FLOOR, 1, -68 }, { -135, 1, 2, ROUND_HALF_UP, 1, -68 },
		{ 225, 1, 1, ROUND_HALF_UP, 50, 250 }, { 224, 1, 1, ROUND_HALF_UP, 50, 200 }, { 101, 1, 1, ROUND_CEIL, 50, 150 }, { 7500000, 7500, 10000, ROUND_HALF_UP, 1, 5625000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		assert_int_equal(money_scale(money_of_fen(row[i].fen), row[i].num, row[i].den, row[i].mode, row[i].unit).fen, row[i].expected);
}

static void parts_always_sum_to_the_whole(void **state)
{
	unsigned seed = 7;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int i = 0; i < 200000; i++) {
		size_t n = 1 + (size_t)rand_r(&seed) % 6;
		uint32_t weight[6];
		struct money part[6], whole = money_of_fen(rand_r(&seed) % 100000);
		int64_t sum = 0;

		for (size_t k = 0; k < n; k++)
			weight[k] = (uint32_t)rand_r(&seed) % 100;
		weight[0]++;
		money_split(whole, weight, n, part);
		for (size_t k = 0; k < n; k++) {
			assert_true(part[k].fen >= 0);
			sum += part[k].fen;
		}
		assert_int_equal(sum, whole.fen);
	}
}

static void ties_of_a_split_go_to_the_first(void **state)
{
	struct money part[3];

	(void)state;
	money_split(money_of_fen(100), (uint32_t[]){ 1, 1, 1 }, 3, part);
	assert_int_equal(part[0].fen, 34);
	assert_int_equal(part[1].fen, 33);
	assert_int_equal(part[2].fen, 33);
}

static void every_day_of_four_centuries_goes_there_and_back(void **state)
{
	int32_t day = day_of_civil(1900, 1, 1);
	char text[11];

	(void)state;
	for (int i = 0; i < 146097; i++, day++) {
		int32_t back;

		day_format(day, text);
		assert_true(day_parse(text, &back));
		assert_int_equal(back, day);
	}
	assert_int_equal(day_of_week(day_of_civil(2025, 11, 3)), 1);
}

static void dates_and_times_that_do_not_exist_are_refused(void **state)
{
	static const char *const bad[] = { "2025-02-29", "2025-13-01", "2025-00-10", "2025-1-1", "2025-04-31", "20250401", "" };
	static const char *const bad_time[] = { "2025-02-29T00:00:00", "2025-03-01T24:00:00", "2025-03-01T23:60:00", "2025-03-01 12:00", "2025-03-01T12:00:00+0800", "2025-03-01T12:00:00x" };
	int32_t day;
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(day_parse(bad[i], &day));
	for (size_t i = 0; i < sizeof(bad_time) / sizeof(bad_time[0]); i++)
		assert_false(time_parse(bad_time[i], &ms));
	assert_true(time_parse("2025-03-08T07:15:30", &ms));
	assert_int_equal(ms, 1741389330000LL);
	assert_true(time_parse("2025-03-07T23:15:30Z", &ms));
	assert_int_equal(ms, 1741389330000LL);
}

static void a_service_day_starts_at_the_cut(void **state)
{
	int64_t ms;

	(void)state;
	assert_true(time_parse("2025-11-04T02:59:59", &ms));
	assert_int_equal(service_day_of_ms(ms, 3 * 3600), day_of_civil(2025, 11, 3));
	assert_int_equal(service_day_of_ms(ms + 1000, 3 * 3600), day_of_civil(2025, 11, 4));
}

/* As they stand in keys that a stranger made up. */
static void times_beyond_all_days_have_a_day_and_a_clock(void **state)
{
	static const int64_t beyond[] = { INT64_MIN, INT64_MIN + 1, INT64_MIN / 2, INT64_MAX / 2, INT64_MAX - 1, INT64_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		struct civil c = civil_of_ms(beyond[i]);

		assert_int_equal(day_of_ms(beyond[i]) < 0, beyond[i] < 0);
		assert_int_equal(service_day_of_ms(beyond[i], 3 * 3600) < 0, beyond[i] < 0);
		assert_true(c.hour < 24 && c.minute < 60 && c.second < 60);
	}
}

static void yaml_refuses_what_is_treacherous_with_its_place(void **state)
{
	static const struct { const char *text, *error; } row[] = {
		{ "a: 1\na: 2\n", "x:2:1: duplicate key: a" }, { "a: &b 1\n", "x:1:4: anchors and tags are not allowed" }, { "a: !!int 1\n", "x:1:4: anchors and tags are not allowed" },
		{ "a: 1\n---\nb: 2\n", "x:2:1: a second document is not allowed" }, { "a: *b\n", "x:1:4: aliases are not allowed" },
	};
	struct yaml_doc *doc;
	char error[256];

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(yaml_parse("x", row[i].text, strlen(row[i].text), &doc, error, sizeof(error)), TARIFF_E_SYNTAX);
		assert_string_equal(error, row[i].error);
	}
	assert_int_equal(yaml_parse("x", "t: 07:30\nn: no\n", 15, &doc, error, sizeof(error)), 0);
	assert_string_equal(node_get(yaml_root(doc), "t")->text, "07:30");
	assert_string_equal(node_get(yaml_root(doc), "n")->text, "no");
	yaml_close(doc);
}

static void csv_keeps_quotes_and_refuses_crooked_rows(void **state)
{
	static const char good[] = "\xEF\xBB\xBF" "a,b\r\n\"x,\"\"y\"\"\",05\r\n", bad[] = "a,b\n1,2\n1\n";
	const char *const *f;
	struct csv *csv;
	char error[256];
	unsigned line;

	(void)state;
	assert_int_equal(csv_parse("g", good, sizeof(good) - 1, &csv, error, sizeof(error)), 0);
	assert_int_equal(csv_next(csv, &f, &line, error, sizeof(error)), 1);
	assert_string_equal(f[0], "x,\"y\"");
	assert_string_equal(f[1], "05");
	assert_int_equal(csv_next(csv, &f, &line, error, sizeof(error)), 0);
	csv_close(csv);
	assert_int_equal(csv_parse("b", bad, sizeof(bad) - 1, &csv, error, sizeof(error)), 0);
	assert_int_equal(csv_next(csv, &f, &line, error, sizeof(error)), 1);
	assert_int_equal(csv_next(csv, &f, &line, error, sizeof(error)), TARIFF_E_SYNTAX);
	assert_string_equal(error, "b:3:1: fewer fields than the header");
	csv_close(csv);
}

/* Both numbers a million million times larger leave the short way of computing and must give the same. */
static void a_ratio_is_the_same_however_it_is_written(void **state)
{
	static const int64_t unit[] = { 1, 10, 50, 100 };
	const int64_t large = 1000000000000;
	unsigned seed = 17;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int i = 0; i < 200000; i++) {
		int64_t fen = rand_r(&seed) % 200001 - 100000, num = rand_r(&seed) % 20001, den = 1 + rand_r(&seed) % 20000, step = unit[rand_r(&seed) % 4];
		enum money_round mode = (enum money_round)(rand_r(&seed) % 5);

		assert_int_equal(money_scale(money_of_fen(fen), num, den, mode, step).fen,
				 money_scale(money_of_fen(fen), num * (large / 10), den * (large / 10), mode, step).fen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(halves_round_as_the_mode_says),
		cmocka_unit_test(parts_always_sum_to_the_whole),
		cmocka_unit_test(ties_of_a_split_go_to_the_first),
		cmocka_unit_test(every_day_of_four_centuries_goes_there_and_back),
		cmocka_unit_test(dates_and_times_that_do_not_exist_are_refused),
		cmocka_unit_test(a_service_day_starts_at_the_cut),
		cmocka_unit_test(times_beyond_all_days_have_a_day_and_a_clock),
		cmocka_unit_test(yaml_refuses_what_is_treacherous_with_its_place),
		cmocka_unit_test(csv_keeps_quotes_and_refuses_crooked_rows),
		cmocka_unit_test(a_ratio_is_the_same_however_it_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
