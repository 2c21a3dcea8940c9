/* What a pack holds, one by one: a price book made from this leaves nothing out. */
#include "tariffs/tariffs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct opened { void *blob; struct tariff *t; };

static void told(void *arg, const char *text) { (void)arg; print_message("%s\n", text); }

static struct opened open_pack(const char *dir)
{
	struct opened p;
	size_t n;

	assert_int_equal(tariff_compile(dir, told, NULL, &p.blob, &n), 0);
	assert_int_equal(tariff_open(p.blob, n, &p.t), 0);
	return p;
}

static void close_pack(struct opened *p)
{
	tariff_close(p->t);
	free(p->blob);
}

static int32_t day(const char *text)
{
	int32_t d;

	assert_true(day_parse(text, &d));
	return d;
}

static int64_t noon(const char *text) { return (int64_t)day(text) * 86400000 - CIVIL_OFFSET_MS + 43200000; }

static void minutes_are_where_some_rule_begins_or_ends(void **state)
{
	static const uint16_t want[] = { 0, 420, 510, 1020, 1110 };
	struct opened p = open_pack("tariffs/packs/nc-bus");
	uint16_t minute[64];

	(void)state;
	assert_int_equal(tariff_minutes(p.t, minute, 64), 5);
	assert_memory_equal(minute, want, sizeof(want));
	assert_int_equal(tariff_minutes(p.t, minute, 3), 3);
	close_pack(&p);
}

static void days_are_told_apart_only_where_a_rule_asks(void **state)
{
	struct opened plain = open_pack("tariffs/packs/ganzhou"), asked = open_pack("tariffs/packs/nc-bus");
	struct tariff_day d[16];

	(void)state;
	assert_int_equal(tariff_days(plain.t, day("2025-01-01"), d, 16), 1);
	assert_string_equal(d[0].text, "每天");
	assert_int_equal(tariff_days(asked.t, day("2011-05-02"), d, 16), 2);
	for (int i = 0; i < 2; i++) {
		struct tariff_day same;

		tariff_day_of(asked.t, day("2011-05-02"), d[i].day, &same);
		assert_string_equal(same.text, d[i].text);
	}
	assert_string_not_equal(d[0].text, d[1].text);
	close_pack(&plain);
	close_pack(&asked);
}

static void a_member_of_every_group_gets_into_it(void **state)
{
	static const char *const packs[] = { "ganzhou", "nc-bus", "bj-bus", "gz-low", "gz-vet", "jdz", "pa-ssc", "sr", "sz" };
	size_t groups = 0, met = 0;

	(void)state;
	for (size_t k = 0; k < sizeof(packs) / sizeof(packs[0]); k++) {
		struct opened p;
		char dir[64];
		struct tariff_group g;

		snprintf(dir, sizeof(dir), "tariffs/packs/%s", packs[k]);
		p = open_pack(dir);
		for (size_t i = 0; tariff_group_at(p.t, i, day("2025-01-06"), &g); i++) {
			bool in = false;

			groups++;
			for (size_t l = 0; !in && l < tariff_line_count(p.t); l++)
				for (unsigned medium = 1; !in && medium <= 7; medium++) {
					struct ride ride = { .time_ms = noon("2025-01-06"), .event = RIDE_SINGLE, .medium = (enum ride_medium)medium, .card_class = g.card_class };
					struct rider_state fresh = { 0 }, after;
					struct tariff_line line;
					struct tariff_journey j;
					struct fare fare;

					if (!tariff_line_at(p.t, l, ride.time_ms, &line) || tariff_journeys(p.t, line.line, ride.time_ms, &j, 1) == 0)
						continue;
					strcpy(ride.line, line.line);
					snprintf(ride.product, sizeof(ride.product), "%s", g.product);
					ride.stop_on = j.stop_on;
					ride.stop_off = j.stop_off;
					ride.distance_m = j.distance_m;
					ride.list = money_of_fen(j.list_fen);
					g.member.grant_count = tariff_granted_quotas(p.t, 100, g.member.grant);
					rate(p.t, &g.member, &fresh, &ride, &after, &fare, NULL);
					in = fare.reject == FARE_OK && fare.group == g.code;
				}
			met += in;
			if (!in)
				print_message("%s: no concession of its own for group %s\n", packs[k], g.name);
		}
		close_pack(&p);
	}
	assert_true(groups >= 15 && met * 10 >= groups * 8);	/* a group may have no rule, or one that others outrank */
}

static void every_section_fare_has_a_journey(void **state)
{
	struct opened p = open_pack("tariffs/packs/ganzhou");
	struct tariff_journey j[64];
	struct tariff_section s;
	size_t n = tariff_journeys(p.t, "S1", noon("2025-01-06"), j, 64);

	(void)state;
	assert_true(n >= 3);
	for (size_t i = 0; tariff_section_at(p.t, "S1", noon("2025-01-06"), i, &s); i++) {
		char text[32];
		size_t k = 0;

		snprintf(text, sizeof(text), "分段 %d.%02d", (int)s.fen / 100, (int)s.fen % 100);
		while (k < n && strcmp(j[k].text, text) != 0)
			k++;
		assert_true(k < n);
	}
	assert_false(tariff_section_at(p.t, "18", noon("2025-01-06"), 0, &s));
	assert_int_equal(tariff_journeys(p.t, "no such line", noon("2025-01-06"), j, 64), 0);
	close_pack(&p);
}

static void transfers_and_quotas_are_told_in_outline(void **state)
{
	struct opened p = open_pack("tariffs/packs/ganzhou");
	struct tariff_transfer x;
	struct tariff_quota q[CONCESSION_QUOTAS_MAX];
	struct tariff_rule r;

	(void)state;
	assert_true(tariff_transfer_at(p.t, 0, &x));
	assert_true(tariff_rule(p.t, x.rule, &r));
	assert_string_equal(r.id, "transfer");
	assert_int_equal(x.window_s, 3600);
	assert_int_equal(x.uses, 2);
	assert_true(x.amounts && !x.of_first && !x.same_line);
	assert_false(tariff_transfer_at(p.t, 1, &x));
	assert_int_equal(tariff_quotas_of(p.t, x.rule, q), 0);
	close_pack(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(minutes_are_where_some_rule_begins_or_ends),
		cmocka_unit_test(days_are_told_apart_only_where_a_rule_asks),
		cmocka_unit_test(a_member_of_every_group_gets_into_it),
		cmocka_unit_test(every_section_fare_has_a_journey),
		cmocka_unit_test(transfers_and_quotas_are_told_in_outline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
