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

#include "clearing/clearing.h"
#include "tests/bench/bench.h"
#include "tests/unit/tap_sample.h"

#define DAY 20395		/* 2025-11-03 */
#define DAYS 2
#define TERMINALS 500
#define RECORDS 100		/* of a batch */

struct terminal { struct batch batch; uint32_t serial; uint8_t record[RECORDS][192]; };
struct card { uint16_t counter; int32_t balance; uint8_t terminal[6]; int64_t time_ms; };
struct city { struct store *store; struct txn txn; struct tariff *tariff; struct terminal terminal[TERMINALS]; struct card *card; uint64_t cards, batches; char line[LINE_BYTES_MAX + 1]; };

static uint64_t ns_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void commit(struct city *c) { must(txn_commit(&c->txn) == 0 && txn_begin(c->store, true, &c->txn) == 0); }

static void event_put(struct city *c, uint8_t type, const void *head, size_t head_bytes, const void *body, size_t n)
{
	must(inbox_append(&c->txn, type, (int64_t)DAY * 86400000, (const void *[]){ head, body }, (const size_t[]){ head_bytes, n }, 2) > 0);
}

static void reference_put(struct city *c)
{
	static const char issuers[] = "issuer,ours,valid_from,valid_to,name\n02184280,yes,2000-01-01,,ours\n";
	struct tariff_line where;
	uint8_t head[8];
	char *csv = NULL;
	size_t n = 0, bytes = 0;
	void *blob = NULL;
	FILE *f = open_memstream(&csv, &n);

	must(f != NULL && tariff_compile("tariffs/packs/ganzhou", NULL, NULL, &blob, &bytes) == 0 && tariff_open(blob, bytes, &c->tariff) == 0);
	be64_put(head, (uint64_t)tariff_valid_from_ms(c->tariff));
	event_put(c, EVENT_TARIFF, head, sizeof(head), blob, bytes);
	fprintf(f, "terminal,psam,device,operator,valid_from,valid_to\n");
	for (int i = 0; i < TERMINALS; i++)
		fprintf(f, "42800000%04d,42800000%04d,V-%04d,101,2000-01-01,\n", i, i, i);
	must(fclose(f) == 0);
	event_put(c, EVENT_TERMINALS, "", 0, csv, n);
	event_put(c, EVENT_ISSUERS, "", 0, issuers, strlen(issuers));
	must(tariff_line_at(c->tariff, 0, (int64_t)DAY * 86400000, &where));
	snprintf(c->line, sizeof(c->line), "%s", where.line);
	free(csv);
}

static void batch_put(struct city *c, struct terminal *t)
{
	static uint8_t out[BATCH_BYTES_MAX];
	uint8_t head[EVENT_BATCH_HEAD_BYTES + 2 * RECORDS] = "";
	int n;

	t->batch.file_serial++;
	must(batch_seal(&t->batch) == 0 && (n = batch_encode(&t->batch, out, sizeof(out))) > 0);
	memcpy(head, t->batch.device, sizeof(t->batch.device));
	be32_put(head + 16, t->batch.file_serial);
	be16_put(head + 20, (uint16_t)t->batch.count);
	for (uint32_t i = 0; i < t->batch.count; i++)
		head[EVENT_BATCH_HEAD_BYTES + 2 * i] = KEY_CHECK_GOOD;
	event_put(c, EVENT_BATCH, head, EVENT_BATCH_HEAD_BYTES + 2 * t->batch.count, out, (size_t)n);
	t->batch.count = 0;
	if (++c->batches % 256 == 0)
		commit(c);
}

/* What the terminal takes, which knows of no earlier ride. */
static void price_put(const struct city *c, struct tap *tap)
{
	const struct rider rider = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct rider_state state = { 0 };
	struct ride ride;
	struct fare fare;

	tap_ride(tap, c->tariff, &ride);
	rate(c->tariff, &rider, &state, &ride, &state, &fare, NULL);
	tap->list_fen = (uint32_t)fare.published.fen;
	tap->amount_fen = (uint32_t)fare.paid.fen;
	tap->balance_after = tap->balance_before - fare.paid.fen;
}

static void tap_make(struct city *c, int32_t day, unsigned at, int64_t time_ms, struct tap *tap)
{
	uint64_t number = sample_random() % c->cards;
	struct card *card = &c->card[number];
	char text[24];

	*tap = sample_tap();
	snprintf(text, sizeof(text), "031047%014" PRIu64, number * 2654435761u % 100000000000000u);
	must(pan_parse(text, tap->pan));
	if (card->counter == 0)
		*card = (struct card){ (uint16_t)(1 + sample_below(4000)), (int32_t)sample_below(20000), { 0x42, 0x80, 0, 0, (uint8_t)(sample_below(5) << 4), (uint8_t)(sample_below(10) << 4) },
				       (int64_t)day * 86400000 - (int64_t)sample_below(5 * 86400) * 1000 };
	tap->terminal[4] = tap->psam[4] = (uint8_t)(at / 1000 << 4 | at / 100 % 10);
	tap->terminal[5] = tap->psam[5] = (uint8_t)(at % 100 / 10 << 4 | at % 10);
	tap->terminal_serial = ++c->terminal[at].serial;
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
	snprintf(tap->line, sizeof(tap->line), "%s", c->line);
	price_put(c, tap);
	card->balance = (int32_t)tap->balance_after;
	card->time_ms = time_ms;
	memcpy(card->terminal, tap->terminal, 6);
}

/* From six to twenty-two. */
static void taps_put(struct city *c, int32_t day, uint64_t taps)
{
	for (uint64_t i = 0; i < taps; i++) {
		unsigned at = sample_below(TERMINALS);
		struct terminal *t = &c->terminal[at];
		struct tap tap;
		int n;

		tap_make(c, day, at, (int64_t)day * 86400000 - CIVIL_OFFSET_MS + 6 * 3600000 + (int64_t)(i * (16.0 * 3600) / (double)taps) * 1000, &tap);
		snprintf(t->batch.device, sizeof(t->batch.device), "V-%04u", at);
		n = tap_encode(&tap, t->record[t->batch.count], sizeof(t->record[0]));
		must(n > 0);
		t->batch.tap[t->batch.count].p = t->record[t->batch.count];
		t->batch.tap[t->batch.count++].n = (uint32_t)n;
		if (t->batch.count == RECORDS)
			batch_put(c, t);
	}
	for (unsigned at = 0; at < TERMINALS; at++)
		if (c->terminal[at].batch.count > 0)
			batch_put(c, &c->terminal[at]);
}

static void day_end(struct city *c, int32_t day)
{
	struct clear_stats stats;

	must(day_cut(&c->txn, day, (int64_t)(day + 1) * 86400000) == 0 && txn_commit(&c->txn) == 0);
	must(day_clear(c->store, day, &stats) == 0 && txn_begin(c->store, true, &c->txn) == 0);
}

/* ---- measured ---------------------------------------------------------------------------------------------------------- */

/* Bytes of the store when nothing is free in it. */
static uint64_t copied_bytes(struct store *s)
{
	char dir[] = P_tmpdir "/bench_pack.XXXXXX", path[64];
	struct store *copy = NULL;
	uint64_t bytes;

	must(mkdtemp(dir) != NULL && store_copy(s, dir) == 0 && store_open(dir, true, 64ULL << 30, &copy) == 0);
	bytes = store_used_bytes(copy);
	store_close(copy);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, i == 0 ? "data.mdb" : "lock.mdb");
		unlink(path);
	}
	rmdir(dir);
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
	char dir[] = P_tmpdir "/bench_pack.XXXXXX", path[64];
	uint64_t taps = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000, loaded, day_bytes[DAYS];
	static struct city c;

	c.cards = argc > 2 ? strtoull(argv[2], NULL, 10) : taps / 2;
	if (taps == 0 || c.cards == 0 || mkdtemp(dir) == NULL) {
		fprintf(stderr, "usage: bench_pack [TAPS [CARDS]]\n");
		return 2;
	}
	c.card = calloc(c.cards, sizeof(*c.card));
	must(c.card != NULL && store_open(dir, false, 64ULL << 30, &c.store) == 0 && txn_begin(c.store, true, &c.txn) == 0);
	day_open_init(&c.txn, DAY);
	reference_put(&c);
	commit(&c);
	loaded = copied_bytes(c.store);
	for (int32_t day = DAY; day < DAY + DAYS; day++) {
		uint64_t used = store_used_bytes(c.store);

		taps_put(&c, day, taps);
		day_end(&c, day);
		day_bytes[day - DAY] = store_used_bytes(c.store) - used;
	}
	day_end(&c, DAY + DAYS);	/* nothing: the days before it may be packed */
	txn_abort(&c.txn);
	measure(c.store, taps, day_bytes, loaded);
	store_close(c.store);
	for (size_t i = 0; i < 3; i++) {
		static const char *const file[] = { "data.mdb", "lock.mdb", "writer.lock" };

		snprintf(path, sizeof(path), "%s/%s", dir, file[i]);
		unlink(path);
	}
	rmdir(dir);
	tariff_close(c.tariff);
	free(c.card);
	return 0;
}
