/* What holds for every pack the project ships, whatever its rules: random riders ride its own lines. */
#include "tariffs/tariffs.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RIDERS 12
#define RIDES 1500

struct shipped {
	struct tariff *tariff;
	void *blob;
	char line[64][LINE_BYTES_MAX + 1];
	size_t line_count;
};
static struct shipped shipped[80];
static size_t shipped_count;

static void to_message(void *arg, const char *text)
{
	(void)arg;
	print_message("# %s\n", text);
}

/* First column of lines.csv. */
static void read_lines(struct shipped *p, const char *folder)
{
	char path[256], row[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/lines.csv", folder);
	f = fopen(path, "r");
	if (f == NULL)
		return;
	for (bool head = true; p->line_count < 64 && fgets(row, sizeof(row), f) != NULL; head = false)
		if (!head && row[0] != '#')
			snprintf(p->line[p->line_count++], sizeof(p->line[0]), "%.*s", (int)strcspn(row, ",\r\n"), row);
	fclose(f);
}

static int set_up(void **state)
{
	glob_t found;

	(void)state;
	if (glob("tariffs/packs/*", GLOB_ONLYDIR, NULL, &found) != 0)
		return -1;
	for (size_t i = 0; i < found.gl_pathc && shipped_count < 80; i++) {
		struct shipped *p = &shipped[shipped_count++];
		size_t bytes;

		if (tariff_compile(found.gl_pathv[i], to_message, NULL, &p->blob, &bytes) != 0 || tariff_open(p->blob, bytes, &p->tariff) != 0)
			return -1;
		read_lines(p, found.gl_pathv[i]);
	}
	globfree(&found);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < shipped_count; i++) {
		tariff_close(shipped[i].tariff);
		free(shipped[i].blob);
	}
	return 0;
}

static void random_rider(unsigned *seed, struct rider *r)
{
	*r = (struct rider){ .birth = rand_r(seed) % 3 == 0 ? DAY_NONE : day_of_civil(1940 + rand_r(seed) % 80, 1 + (unsigned)rand_r(seed) % 12, 1), .issued = DAY_NONE,
			     .home = 360702, .hold_count = (uint8_t)(rand_r(seed) % 3), .grant_count = 1, .grant = { { 0, 20 } } };
	for (uint8_t i = 0; i < r->hold_count; i++)
		r->hold[i] = (struct hold){ .group = (uint16_t)(1 + rand_r(seed) % 12), .grade = (uint8_t)(rand_r(seed) % 4), .from = 0, .to = INT32_MAX, .verified_to = INT32_MAX };
}

static void random_ride(unsigned *seed, const struct shipped *p, int64_t ms, struct ride *r)
{
	*r = (struct ride){ .time_ms = ms, .event = (enum ride_event)(1 + rand_r(seed) % 3), .medium = (enum ride_medium)(1 + rand_r(seed) % 6), .guest = (enum guest_class)(rand_r(seed) % 3),
			    .card_class = (uint8_t)(rand_r(seed) % 6), .stop_on = (uint16_t)(rand_r(seed) % 14), .stop_off = (uint16_t)(rand_r(seed) % 14) };
	snprintf(r->line, sizeof(r->line), "%s", p->line_count == 0 || rand_r(seed) % 50 == 0 ? "no line" : p->line[(size_t)rand_r(seed) % p->line_count]);
	snprintf(r->vehicle, sizeof(r->vehicle), "V%d", rand_r(seed) % 3);
}

typedef void (*law)(const struct shipped *p, const struct rider *rider, const struct ride *ride, const struct rider_state *before, const struct rider_state *after, const struct fare *fare);

static void hold_everywhere(law holds)
{
	unsigned seed = 20251103;
	size_t taken = 0;

	print_message("# seed %u\n", seed);
	assert_true(shipped_count >= 45);
	for (size_t k = 0; k < shipped_count; k++) {
		struct rider rider[RIDERS];
		struct rider_state states[RIDERS] = { 0 };
		int64_t ms = 1738368000000LL;	/* 2025-02-01 */

		for (int i = 0; i < RIDERS; i++)
			random_rider(&seed, &rider[i]);
		for (int i = 0; i < RIDES; i++) {
			int who = rand_r(&seed) % RIDERS;
			struct rider_state after;
			struct ride ride;
			struct fare fare;

			ms += (int64_t)1000 * (int64_t[]){ 1, 60, 900, 3600, 7200, 40000 }[rand_r(&seed) % 6];
			random_ride(&seed, &shipped[k], ms, &ride);
			rate(shipped[k].tariff, &rider[who], &states[who], &ride, &after, &fare, NULL);
			holds(&shipped[k], &rider[who], &ride, &states[who], &after, &fare);
			taken += fare.reject == FARE_OK;
			states[who] = after;
		}
	}
	assert_true(taken > shipped_count * RIDES / 3);
}

static void parts_sum(const struct shipped *p, const struct rider *rider, const struct ride *ride, const struct rider_state *before, const struct rider_state *after, const struct fare *fare)
{
	int64_t funded = 0;

	(void)p, (void)rider, (void)ride, (void)before, (void)after;
	for (uint8_t i = 0; i < fare->funder_count; i++)
		funded += fare->funder[i].amount.fen;
	assert_int_equal(fare->published.fen, fare->paid.fen + funded + fare->absorbed.fen);
	assert_in_range(fare->paid.fen, 0, fare->published.fen);
}

static void refusal_changes_nothing(const struct shipped *p, const struct rider *rider, const struct ride *ride, const struct rider_state *before, const struct rider_state *after, const struct fare *fare)
{
	(void)p, (void)rider, (void)ride;
	if (fare->reject != FARE_OK)
		assert_memory_equal(before, after, sizeof(*before));
}

/* The state goes to the store and comes back before the ride, as after a restart: everything is the same bytes. */
static void uncut(const struct shipped *p, const struct rider *rider, const struct ride *ride, const struct rider_state *before, const struct rider_state *after, const struct fare *fare)
{
	uint8_t stored[RIDER_STATE_BYTES], first[RIDER_STATE_BYTES], again[RIDER_STATE_BYTES];
	struct rider_state back, then;
	struct fare same;

	rider_state_pack(before, stored);
	assert_true(rider_state_unpack(stored, &back));
	rate(p->tariff, rider, &back, ride, &then, &same, NULL);
	assert_memory_equal(fare, &same, sizeof(same));
	rider_state_pack(after, first);
	rider_state_pack(&then, again);
	assert_memory_equal(first, again, sizeof(first));
}

static void in_every_pack_rider_treasuries_and_operator_have_the_published_fare(void **state) { (void)state; hold_everywhere(parts_sum); }
static void in_every_pack_a_refused_ride_leaves_the_state_alone(void **state) { (void)state; hold_everywhere(refusal_changes_nothing); }
static void in_every_pack_a_restart_before_any_ride_changes_no_byte(void **state) { (void)state; hold_everywhere(uncut); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_every_pack_rider_treasuries_and_operator_have_the_published_fare),
		cmocka_unit_test(in_every_pack_a_refused_ride_leaves_the_state_alone),
		cmocka_unit_test(in_every_pack_a_restart_before_any_ride_changes_no_byte),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
