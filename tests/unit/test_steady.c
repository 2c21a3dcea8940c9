/* In the steady state rating takes no memory: the allocator is ours here and counts. */
#include "tariffs/tariffs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RIDES 50000

static size_t allocations;

#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}
#endif

static void fault(void *arg, const char *text)
{
	(void)arg;
	print_error("%s\n", text);
}

static uint32_t rnd(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

typedef void (*rate_fn)(const struct tariff *t, const struct rider *rider, const struct ride *ride, struct rider_state *state, bool with_notes);

/* Rides of every kind on every line of packs that between them use the whole vocabulary. */
static void rides_rate(rate_fn fn)
{
	static const char *const packs[] = { "ganzhou", "nyc", "lz", "cd-count", "xm-brt", "bj-rail-split", "gz-low", "fund", "tlk", "hk2" };
	static struct rider_state rider_state[64];
	uint64_t seed = 5;

	print_message("# seed 5\n");
	for (size_t p = 0; p < sizeof(packs) / sizeof(packs[0]); p++) {
		char dir[128];
		struct tariff *t;
		size_t bytes, before;
		void *blob;

		snprintf(dir, sizeof(dir), "tariffs/packs/%s", packs[p]);
		assert_int_equal(tariff_compile(dir, fault, NULL, &blob, &bytes), 0);
		assert_int_equal(tariff_open(blob, bytes, &t), 0);
		memset(rider_state, 0, sizeof(rider_state));
		before = allocations;
		for (unsigned i = 0; i < RIDES / 10; i++) {
			struct rider rider = { .birth = rnd(&seed) % 2 == 0 ? DAY_NONE : day_of_civil(1950 + (int)(rnd(&seed) % 70), 1, 1), .issued = DAY_NONE, .hold_count = 1,
					       .hold = { { .group = (uint16_t)(rnd(&seed) % 6), .to = INT32_MAX, .verified_to = INT32_MAX } }, .grant_count = 1,
					       .grant = { { .quota = tariff_quota_code(t, NULL), .units = 50 } } };
			struct ride ride = { .time_ms = 1780000000000LL + (int64_t)i * 97000, .event = (enum ride_event)(1 + rnd(&seed) % 3), .medium = (enum ride_medium)(1 + rnd(&seed) % 7),
					     .guest = (enum guest_class)(rnd(&seed) % 3), .card_class = 1, .stop_on = (uint16_t)(rnd(&seed) % 9), .stops = (uint16_t)(rnd(&seed) % 30),
					     .zones = (uint16_t)(rnd(&seed) % 4), .distance_m = rnd(&seed) % 40000, .far_m = 40000, .list = { rnd(&seed) % 1000 }, .card = 1 + i % 64 };
			struct tariff_line line;

			if (!tariff_line_at(t, rnd(&seed) % tariff_line_count(t), ride.time_ms, &line))
				continue;
			snprintf(ride.line, sizeof(ride.line), "%s", line.line);
			snprintf(ride.vehicle, sizeof(ride.vehicle), "V%u", rnd(&seed) % 3);
			fn(t, &rider, &ride, &rider_state[i % 64], i % 2 == 0);
		}
		assert_int_equal(allocations, before);
		tariff_close(t);
		free(blob);
	}
}

static void rate_in_place(const struct tariff *t, const struct rider *rider, const struct ride *ride, struct rider_state *state, bool with_notes)
{
	struct rate_notes notes;
	struct fare fare;

	rate(t, rider, state, ride, state, &fare, with_notes ? &notes : NULL);
}

static void rating_allocates_nothing(void **state)
{
	(void)state;
	rides_rate(rate_in_place);
#ifndef __SANITIZE_ADDRESS__
	assert_true(allocations > 0);		/* compiling does allocate: the counter counts */
#endif
}

static size_t refused;

static void rate_both_ways(const struct tariff *t, const struct rider *rider, const struct ride *ride, struct rider_state *state, bool with_notes)
{
	uint8_t was[RIDER_STATE_BYTES_MAX] = { 0 }, left[sizeof(was)] = { 0 }, a[sizeof(was)] = { 0 }, b[sizeof(was)] = { 0 };
	struct rider_state beside;
	struct fare fa, fb;

	(void)with_notes;
	memset(&beside, 0xA5, sizeof(beside));
	rider_state_pack(state, ride->time_ms, was);
	rate(t, rider, state, ride, &beside, &fa, NULL);
	rider_state_pack(state, ride->time_ms, left);
	rate(t, rider, state, ride, state, &fb, NULL);
	rider_state_pack(&beside, ride->time_ms, a);
	rider_state_pack(state, ride->time_ms, b);
	assert_memory_equal(was, left, sizeof(was));	/* the state that was given is only read */
	assert_memory_equal(a, b, sizeof(a));
	assert_true(fa.reject == fb.reject && fa.paid.fen == fb.paid.fen && fa.absorbed.fen == fb.absorbed.fen && fa.step_count == fb.step_count);
	if (fa.reject != FARE_OK) {
		assert_memory_equal(a, was, sizeof(a));
		refused++;
	}
}

static void a_state_written_in_place_is_the_one_written_beside_and_stays_when_refused(void **state)
{
	(void)state;
	refused = 0;
	rides_rate(rate_both_ways);
	assert_true(refused > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(rating_allocates_nothing), cmocka_unit_test(a_state_written_in_place_is_the_one_written_beside_and_stays_when_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
