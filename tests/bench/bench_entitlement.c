/*
 * bench_entitlement - whose card is this and what may he: looked up among five million persons in random order with the
 * store's pages mapped. One JSON line each for cards of persons (hit) and cards nobody registered (miss), then a day as
 * ingest asks: three million taps of 1.2 million cards, half of them registered, through what the writer remembers.
 *
 * bench_entitlement [PERSONS]: the store is made in a folder of its own and removed.
 */
#include "tests/bench/bench.h"

#include <string.h>
#include <unistd.h>

#include "clearing/clearing.h"

#define ROUNDS 5
#define ASKED 200000
#define DAY_TAPS 3000000
#define DAY_CARDS 1200000
#define PLACES (1u << 23)	/* as clearing/live.c */
#define PART 500000

/* Even numbers are persons' cards, odd ones nobody's. */
static void pan_of(uint32_t i, uint8_t pan[10])
{
	memcpy(pan, (const uint8_t[]){ 0x03, 0x10, 0x47, 0x30, 0x15, 0 }, 6);
	for (unsigned at = 9; at > 5; at--, i /= 100)
		pan[at] = (uint8_t)((i / 10 % 10) << 4 | i % 10);
}

static uint32_t random_below(uint64_t *seed, uint32_t n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((*seed >> 33) % n);
}

/* A part of the persons, as a file of theirs would bring it. */
static size_t part_write(char *csv, uint32_t from, uint32_t to)
{
	size_t n = (size_t)sprintf(csv, "pan,person,birth,issued,home,group,grade,from,to,verified_to\n");

	for (uint32_t i = from; i < to; i++) {
		char digits[21];
		uint8_t pan[10];

		pan_of(2 * i, pan);
		pan_digits(pan, digits);
		n += (size_t)sprintf(csv + n, "%s,%u,1950-01-01,2020-01-01,360702,,,,,\n", digits, i + 1);
	}
	return n;
}

static void persons_load(struct store *s, uint32_t persons)
{
	char *csv = malloc(96ull * PART), error[256];
	struct refdata *ref;

	must(csv != NULL && refdata_new(&ref) == 0);
	for (uint32_t at = 0, seq = 1; at < persons; at += PART, seq++) {
		size_t n = part_write(csv, at, at + PART < persons ? at + PART : persons);
		struct event e = { .seq = seq, .type = EVENT_RIDERS, .body = (const uint8_t *)csv, .bytes = n };
		struct txn t;

		must(txn_begin(s, true, &t) == 0 && refdata_apply(ref, &e, &t, error, sizeof(error)) == 0 && txn_commit(&t) == 0);
	}
	refdata_free(ref);
	free(csv);
}

/* Every row once, so that no page is met for the first time while measuring. */
static void pages_map(struct txn *t)
{
	static const enum db both[] = { DB_PERSON, DB_RIDER };
	uint64_t sum = 0;

	for (size_t i = 0; i < 2; i++) {
		struct iter it;

		iter_open(t, both[i], NULL, 0, &it);
		while (iter_next(&it))
			sum += it.val[0];
		iter_close(&it);
	}
	must(sum > 0);
}

static void bench_find(struct txn *t, uint32_t persons, bool hit)
{
	double round[ROUNDS], start = cpu_now();
	uint64_t seed = 1;
	char name[64];

	for (int r = 0; r < ROUNDS; r++) {
		double from = cpu_now();
		uint32_t found = 0;

		for (uint32_t i = 0; i < ASKED; i++) {
			struct rider rider;
			uint8_t pan[10];

			pan_of(2 * random_below(&seed, persons) + !hit, pan);
			found += rider_find(t, pan, UINT64_MAX, &rider) >> 63;
		}
		must(found == (hit ? ASKED : 0));
		round[r] = (cpu_now() - from) * 1e9 / ASKED;
	}
	snprintf(name, sizeof(name), "entitlement-%s-%um-persons", hit ? "hit" : "miss", persons / 1000000);
	line(name, "ns/op", median(round, ROUNDS), cpu_now() - start, (uint64_t)ROUNDS * ASKED, hit ? ",\"hit_percent\":100" : ",\"hit_percent\":0");
}

/* known NULL: each time from the store. */
static void bench_day(struct txn *t, uint32_t persons, struct known *known, const char *name)
{
	uint32_t found = 0, *card = malloc(DAY_CARDS * sizeof(*card));
	uint64_t seed = 2;
	char more[64];
	double start;

	must(card != NULL);
	for (uint32_t i = 0; i < DAY_CARDS; i++)
		card[i] = random_below(&seed, 2 * persons);
	start = cpu_now();
	for (uint32_t i = 0; i < DAY_TAPS; i++) {
		struct rider rider;
		uint8_t pan[10];

		pan_of(card[random_below(&seed, DAY_CARDS)], pan);
		found += (known != NULL ? known_rider(known, t, pan, UINT64_MAX, &rider) : rider_find(t, pan, UINT64_MAX, &rider)) >> 63;
	}
	snprintf(more, sizeof(more), ",\"hit_percent\":%u", found / (DAY_TAPS / 100));
	line(name, "ns/op", (cpu_now() - start) * 1e9 / DAY_TAPS, cpu_now() - start, DAY_TAPS, more);
	free(card);
}

/* The same cards over and over: all are remembered. */
static void bench_known(struct txn *t, uint32_t persons, struct known *known)
{
	double round[ROUNDS], start = cpu_now();
	uint64_t seed = 3;

	for (int r = 0; r < ROUNDS; r++) {
		double from = cpu_now();

		for (uint32_t i = 0; i < ASKED; i++) {
			struct rider rider;
			uint8_t pan[10];

			pan_of(2 * random_below(&seed, persons < 50000 ? persons : 50000), pan);
			must(known_rider(known, t, pan, UINT64_MAX, &rider) >> 63 == 1);
		}
		round[r] = (cpu_now() - from) * 1e9 / ASKED;
	}
	line("entitlement-remembered", "ns/op", median(round, ROUNDS), cpu_now() - start, (uint64_t)ROUNDS * ASKED, ",\"hit_percent\":100");
}

/* The start, and what the writer does when nothing waits. */
static void bench_warm(struct txn *t, uint32_t persons, struct known *known)
{
	double start = cpu_now(), after;

	must(known_follow(known, t) == 0);
	after = cpu_now();
	line("entitlement-filter", "ns/card", (after - start) * 1e9 / persons, after - start, persons, "");
	while (known_warm(known, t, 256))
		;
	line("entitlement-ahead", "ns/card", (cpu_now() - after) * 1e9 / persons, cpu_now() - after, persons, "");
}

int main(int argc, char **argv)
{
	uint32_t persons = argc == 2 ? (uint32_t)atoi(argv[1]) : 5000000;
	char dir[] = "/tmp/qingfen-bench-XXXXXX", command[64];
	struct known *known = NULL;
	struct store *s = NULL;
	double start = cpu_now();
	struct txn t;

	must(persons > 0 && mkdtemp(dir) != NULL && store_open(dir, false, (size_t)16 << 30, &s) == 0);
	persons_load(s, persons);
	line("entitlement-load", "ns/op", (cpu_now() - start) * 1e9 / persons, cpu_now() - start, persons, "");
	line("entitlement-store", "bytes/person", (double)store_used_bytes(s) / persons, 0, persons, "");
	must(txn_begin(s, false, &t) == 0 && known_new(PLACES, &known) == 0);
	pages_map(&t);
	bench_find(&t, persons, true);
	bench_find(&t, persons, false);
	bench_day(&t, persons, NULL, "entitlement-day-from-store");
	bench_warm(&t, persons, known);
	bench_day(&t, persons, known, "entitlement-day-as-ingest");
	bench_known(&t, persons, known);
	known_free(known);
	txn_abort(&t);
	store_close(s);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	must(system(command) == 0);
	return 0;
}
