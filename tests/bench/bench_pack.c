/*
 * bench_pack [TAPS [CARDS]] - two days of so many taps each (200,000) of so many cards (half as many) in a store of its own, cleared,
 * then packed: what a tap takes in the store before and after packing, in a compacted copy; nanoseconds of packing; how long
 * others wait for a commit meanwhile; and clearing both days again, before and after. Records differ from each other as those of a city do.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench_city.h"
#include "tests/unit/dir_remove.h"
#include "tests/unit/tap_sample.h"

#define DAYS 2
#define BUSES 500
#define BATCH_RECORDS 100

struct card { uint16_t counter; int32_t balance; uint8_t terminal[6]; int64_t time_ms; };
struct making { struct city city; struct card *card; uint64_t cards; };

static uint64_t ns_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void tap_make(struct making *m, int32_t day, unsigned at, int64_t time_ms, struct tap *tap)
{
	uint64_t number = sample_random() % m->cards;
	struct card *card = &m->card[number];
	char text[24];

	*tap = sample_tap();
	snprintf(text, sizeof(text), "031047%014" PRIu64, number * 2654435761u % 100000000000000u);
	must(pan_parse(text, tap->pan));
	if (card->counter == 0)
		*card = (struct card){ (uint16_t)(1 + sample_below(4000)), (int32_t)sample_below(20000), { 0x42, 0x80, 0, 0, (uint8_t)(sample_below(5) << 4), (uint8_t)(sample_below(10) << 4) },
				       (int64_t)day * 86400000 - (int64_t)sample_below(5 * 86400) * 1000 };
	city_terminal(at, tap);
	tap->prev_counter = card->counter;
	tap->card_counter = ++card->counter;
	tap->prev_time_ms = card->time_ms;
	memcpy(tap->prev_terminal, card->terminal, 6);
	tap->balance_before = card->balance = card->balance < 1000 ? 20000 : card->balance;
	be32_put(tap->random, (uint32_t)sample_random());
	be32_put(tap->tac, (uint32_t)sample_random());
	tap->time_ms = time_ms;
	tap->stop = 1 + at % 7 + sample_below(20);
	tap->driver = 7000 + at;
	snprintf(tap->vehicle, sizeof(tap->vehicle), "赣B%05u", at * 37);
	snprintf(tap->line, sizeof(tap->line), "%s", m->city.line);
	city_price(&m->city, &(const struct rider){ .birth = DAY_NONE, .issued = DAY_NONE }, tap);
	card->balance = (int32_t)tap->balance_after;
	card->time_ms = time_ms;
	memcpy(card->terminal, tap->terminal, 6);
}

/* From six to twenty-two. */
static void taps_put(struct making *m, uint64_t taps)
{
	struct city *c = &m->city;

	for (uint64_t i = 0; i < taps; i++) {
		unsigned at = sample_below(BUSES);
		struct tap tap;

		tap_make(m, c->day, at, (int64_t)c->day * 86400000 - CIVIL_OFFSET_MS + 6 * 3600000 + (int64_t)(i * (16.0 * 3600) / (double)taps) * 1000, &tap);
		city_tap(c, at, &tap, BATCH_RECORDS);
	}
	city_send(c);
}

static void day_end(struct city *c)
{
	struct clear_stats stats;

	must(txn_begin(c->store, true, &c->txn) == 0 && day_cut(&c->txn, c->day, (int64_t)(c->day + 1) * 86400000) == 0);
	city_commit(c);
	must(day_clear(c->store, c->day++, &stats) == 0);
}

/* ---- measured ---------------------------------------------------------------------------------------------------------- */

/* Bytes of the store when nothing is free in it. */
static uint64_t copied_bytes(struct store *s)
{
	char dir[] = P_tmpdir "/bench_pack.XXXXXX";
	struct store *copy = NULL;
	uint64_t bytes;

	must(mkdtemp(dir) != NULL && store_copy(s, dir) == 0 && store_open(dir, true, 64ULL << 30, &copy) == 0);
	bytes = store_used_bytes(copy);
	store_close(copy);
	dir_remove(dir);
	return bytes;
}

static double recompute_rate(struct store *s, uint64_t taps)
{
	FILE *out = fopen("/dev/null", "we");
	uint64_t start = ns_now();

	for (int32_t day = DAY; day < DAY + DAYS; day++)
		must(day_recompute(s, day, out) == 0);
	fclose(out);
	return (double)(DAYS * taps) * 1e9 / (double)(ns_now() - start);
}

/* One who commits a little every two milliseconds. */
struct beside { struct store *store; bool done; double ms[1 << 16]; size_t count; };

static void *beside_run(void *arg)
{
	struct beside *b = arg;

	while (!__atomic_load_n(&b->done, __ATOMIC_RELAXED) && b->count < sizeof(b->ms) / sizeof(b->ms[0])) {
		uint64_t start = ns_now();
		struct txn t;

		must(txn_begin(b->store, true, &t) == 0);
		txn_put(&t, DB_META, "beside", 6, &start, sizeof(start));
		must(txn_commit(&t) == 0);
		b->ms[b->count++] = (double)(ns_now() - start) / 1e6;
		usleep(2000);
	}
	return NULL;
}

/* Median and 99th of a hundred of its commits, in microseconds. */
static void beside_measure(struct store *s, bool pack, double *ret_cpu, uint64_t ret_us[2])
{
	static struct beside b;
	pthread_t thread;
	double cpu = cpu_now();

	b = (struct beside){ .store = s };
	must(pthread_create(&thread, NULL, beside_run, &b) == 0);
	for (int32_t day = DAY; pack && day < DAY + DAYS; day++)
		must(day_pack(s, day) == 0);
	if (!pack)
		usleep(1000000);
	*ret_cpu = cpu_now() - cpu;
	__atomic_store_n(&b.done, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	must(b.count > 0);
	ret_us[0] = (uint64_t)(median(b.ms, b.count) * 1000);
	ret_us[1] = (uint64_t)(b.ms[b.count * 99 / 100] * 1000);
}

static void measure(struct store *s, uint64_t taps, const uint64_t day_bytes[DAYS], uint64_t loaded)
{
	uint64_t before = copied_bytes(s), after, alone[2], beside[2], n = DAYS * taps;
	double cpu, rate = recompute_rate(s, taps);
	struct packed p;
	struct txn t;
	char more[600];

	beside_measure(s, false, &cpu, alone);
	beside_measure(s, true, &cpu, beside);
	after = copied_bytes(s);
	must(txn_begin(s, false, &t) == 0);
	days_packed(&t, &p);
	txn_abort(&t);
	snprintf(more, sizeof(more),
		 ",\"first_day_bytes_per_tap\":%" PRIu64 ",\"second_day_bytes_per_tap\":%" PRIu64 ",\"bytes_before_per_tap\":%.1f,\"bytes_after_per_tap\":%.1f,\"inbox_before_per_tap\":%.1f,\"inbox_after_per_tap\":%.1f,"
		 "\"pack_ns_per_tap\":%.0f,\"bundles\":%u,\"commit_us\":%" PRIu64 ",\"commit_p99_us\":%" PRIu64 ",\"commit_beside_us\":%" PRIu64 ",\"commit_beside_p99_us\":%" PRIu64 ",\"recompute_before\":%.0f,\"recompute_after\":%.0f",
		 day_bytes[0] / taps, day_bytes[1] / taps, (double)(before - loaded) / (double)n, (double)(after - loaded) / (double)n, (double)p.bytes_before / (double)n, (double)p.bytes_after / (double)n,
		 cpu * 1e9 / (double)n, p.bundles, alone[0], alone[1], beside[0], beside[1], rate, recompute_rate(s, taps));
	line("pack", "bytes/tap", (double)(after - loaded) / (double)n, cpu, n, more);
}

int main(int argc, char **argv)
{
	char dir[] = P_tmpdir "/bench_pack.XXXXXX";
	uint64_t taps = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000, loaded, day_bytes[DAYS];
	struct making m = { .cards = argc > 2 ? strtoull(argv[2], NULL, 10) : taps / 2 };

	if (taps == 0 || m.cards == 0 || mkdtemp(dir) == NULL) {
		fprintf(stderr, "usage: bench_pack [TAPS [CARDS]]\n");
		return 2;
	}
	m.card = calloc(m.cards, sizeof(*m.card));
	must(m.card != NULL);
	city_open(&m.city, dir, taps * DAYS);
	city_commit(&m.city);
	loaded = copied_bytes(m.city.store);
	for (int i = 0; i < DAYS; i++) {
		uint64_t used = store_used_bytes(m.city.store);

		taps_put(&m, taps);
		day_end(&m.city);
		day_bytes[i] = store_used_bytes(m.city.store) - used;
	}
	day_end(&m.city);	/* nothing: the days before it may be packed */
	measure(m.city.store, taps, day_bytes, loaded);
	city_close(&m.city);
	dir_remove(dir);
	free(m.card);
	return 0;
}
