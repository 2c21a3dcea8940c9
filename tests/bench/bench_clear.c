/*
 * bench_clear [TAPS [CARDS [DAYS]]] - a day or more of so many taps (a million) of so many cards (half as many), put into the inbox of
 * a store of its own as if received and verified, then cut and cleared: taps a second, CPU nanoseconds and bytes a tap, and
 * what each stage took of the clock.
 * CLEAR_THREADS says how many threads clear, else one a processor does; CLEAR_MEMORY_MIB what memory records may take; CLEAR_READY_MIB
 * how much memory lies ready, of which the clear has half, as a daemon's memory_ready_mib does.
 * bench_clear STORE DAY - the same of the open day of a store that is there. It is written to: give a copy.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clearing/pages.h"
#include "tests/bench/bench_city.h"
#include "tests/unit/dir_remove.h"
#include "tests/unit/tap_sample.h"

struct making { struct city city; uint16_t *counter; };

static void card_number(uint64_t card, uint8_t pan[10])
{
	char text[24];

	snprintf(text, sizeof(text), "031047%014" PRIu64, card * 2654435761u % 100000000000000u);
	must(pan_parse(text, pan));
}

/* Every fourth card is an old person's. */
static void riders_put(struct city *c, uint64_t cards)
{
	for (uint64_t card = 0; card < cards; ) {
		char *csv = NULL;
		size_t n = 0;
		FILE *f = open_memstream(&csv, &n);

		must(f != NULL);
		fprintf(f, "pan,person,birth,issued,home,group,grade,from,to,verified_to\n");
		for (uint64_t end = card + 400000; card < cards && card < end; card += 4)
			fprintf(f, "031047%014" PRIu64 ",%" PRIu64 ",1950-01-01,,360702,elder65,0,2025-01-01,,\n", card * 2654435761u % 100000000000000u, card + 1);
		must(fclose(f) == 0);
		city_event(c, EVENT_RIDERS, "", 0, csv, n);
		free(csv);
	}
}

static void price_put(const struct city *c, uint64_t card, struct tap *tap)
{
	struct rider rider = { .birth = DAY_NONE, .issued = DAY_NONE };

	if (card % 4 == 0) {
		rider = (struct rider){ .birth = -7305, .issued = DAY_NONE, .home = 360702, .hold_count = 1 };
		rider.hold[0] = (struct hold){ .group = tariff_group_code(c->tariff, "elder65"), .from = 20089, .to = INT32_MAX, .verified_to = INT32_MAX };
	}
	city_price(c, &rider, tap);
}

/* From six to twenty-two, the cards at random, each with its counter. */
static void taps_put(struct making *m, uint64_t taps, uint64_t cards)
{
	struct city *c = &m->city;

	for (uint64_t i = 0; i < taps; i++) {
		uint64_t card = sample_random() % cards;
		struct tap tap = sample_tap();

		card_number(card, tap.pan);
		tap.card_counter = ++m->counter[card];
		be32_put(tap.tac, (uint32_t)sample_random());
		tap.time_ms = (int64_t)c->day * 86400000 - CIVIL_OFFSET_MS + 6 * 3600000 + (int64_t)(i * (16.0 * 3600000) / (double)taps);
		snprintf(tap.line, sizeof(tap.line), "%s", c->line);
		price_put(c, card, &tap);
		city_tap(c, (unsigned)(i % TERMINALS), &tap, RECORDS);
	}
	city_send(c);
}

/* Waits until it is there, as it is in a daemon by the time a day is cut. */
static void memory_make_ready(void)
{
	const char *mib = getenv("CLEAR_READY_MIB");
	size_t chunks = mib != NULL ? strtoull(mib, NULL, 10) * 1048576 / CHUNK_BYTES : 0;

	if (chunks == 0)
		return;
	must(chunks_ready(chunks) == 0);
	while (chunks_ready_now() < chunks && chunks < CHUNKS_READY_MAX)
		usleep(10000);
}

static void cleared(struct store *s, int32_t day, uint64_t cards, uint64_t taps_before)
{
	static const char *const stage[CLEAR_STAGES] = { "collect", "judge", "rate", "write" };
	struct clear_stats stats;
	size_t n;
	char more[400];
	struct txn t;
	uint64_t before, all;
	double cpu;

	memory_make_ready();
	must(txn_begin(s, true, &t) == 0 && day_cut(&t, day, (int64_t)(day + 1) * 86400000) == 0 && txn_commit(&t) == 0);
	before = store_used_bytes(s);
	cpu = cpu_now();
	must(day_clear(s, day, &stats) == 0 && stats.verdict[VERDICT_ACCEPTED] > 0);
	cpu = cpu_now() - cpu;
	chunks_ready_stop();
	all = stats.taps + taps_before;
	n = (size_t)snprintf(more, sizeof(more), ",\"cards\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"cpu_ns_per_tap\":%.0f,\"bytes_before_per_tap\":%" PRIu64 ",\"bytes_per_tap\":%" PRIu64, cards, stats.verdict[VERDICT_ACCEPTED],
		 cpu * 1e9 / (double)stats.taps, before / all, store_used_bytes(s) / all);
	for (int i = 0; i < CLEAR_STAGES; i++)
		n += (size_t)snprintf(more + n, sizeof(more) - n, ",\"%s_ns\":%" PRIu64, stage[i], stats.stage_ns[i] / stats.taps);
	line("clear", "taps/s", (double)stats.taps * 1e9 / (double)stats.ns, cpu, stats.taps, more);
}

int main(int argc, char **argv)
{
	char dir[] = P_tmpdir "/bench_clear.XXXXXX";
	uint64_t taps = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000, cards = argc > 2 ? strtoull(argv[2], NULL, 10) : taps / 2;
	int32_t days = argc > 3 ? atoi(argv[3]) : 1, day;
	struct making m = { 0 };
	struct store *s;

	if (getenv("CLEAR_THREADS") != NULL)
		clear_threads((unsigned)atoi(getenv("CLEAR_THREADS")));
	if (getenv("CLEAR_MEMORY_MIB") != NULL)
		clear_memory(strtoull(getenv("CLEAR_MEMORY_MIB"), NULL, 10) << 20);
	if (argc == 3 && day_parse(argv[2], &day)) {
		must(store_open(argv[1], false, 128ULL << 30, &s) == 0);
		cleared(s, day, 0, 0);
		store_close(s);
		return 0;
	}
	if (taps == 0 || cards == 0 || days < 1 || mkdtemp(dir) == NULL) {
		fprintf(stderr, "usage: bench_clear [TAPS [CARDS [DAYS]]] | STORE YYYY-MM-DD\n");
		return 2;
	}
	m.counter = calloc(cards, sizeof(m.counter[0]));
	must(m.counter != NULL);
	city_open(&m.city, dir, taps * (uint64_t)days);
	riders_put(&m.city, cards);
	for (; m.city.day < DAY + days; m.city.day++) {
		taps_put(&m, taps, cards);
		cleared(m.city.store, m.city.day, cards, (uint64_t)(m.city.day - DAY) * taps);
	}
	city_close(&m.city);
	free(m.counter);
	dir_remove(dir);
	return 0;
}
