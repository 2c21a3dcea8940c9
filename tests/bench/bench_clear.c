/*
 * bench_clear [TAPS [CARDS [DAYS]]] - a day or more of so many taps (a million) of so many cards (half as many), put into the inbox of
 * a store of its own as if received and verified, then cut and cleared: taps a second, CPU nanoseconds and bytes a tap, and
 * what each stage took of the clock.
 * CLEAR_THREADS says how many threads clear, else one a processor does; CLEAR_MEMORY_MIB what memory records may take.
 * bench_clear STORE DAY - the same of the open day of a store that is there. It is written to: give a copy.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clearing/clearing.h"
#include "tests/bench/bench.h"
#include "tests/unit/tap_sample.h"

#define DAY 20395		/* 2025-11-03 */
#define TERMINALS 1000
#define RECORDS 128		/* of a batch */
#define EVENTS_PER_COMMIT 512

struct terminal { struct batch batch; uint32_t serial; uint8_t record[RECORDS][192]; };
struct making { int32_t day; struct terminal *terminal; uint16_t *counter; struct store *store; struct refdata *ref; struct txn txn; struct tariff *tariff; size_t events; };

static void event_put(struct making *m, uint8_t type, const void *head, size_t head_bytes, const void *body, size_t n)
{
	const void *part[2] = { head, body };
	const size_t bytes[2] = { head_bytes, n };
	char error[256] = "";

	if (m->txn.mdb == NULL)
		must(txn_begin(m->store, true, &m->txn) == 0);
	must(inbox_append(&m->txn, type, (int64_t)m->day * 86400000, part, bytes, 2) > 0);
	if (type != EVENT_BATCH) {
		char *whole = malloc(head_bytes + n + 1);
		struct event e = { .seq = inbox_last(&m->txn), .type = type, .body = (const uint8_t *)whole, .bytes = head_bytes + n };

		must(whole != NULL);
		memcpy(whole, head, head_bytes);
		memcpy(whole + head_bytes, body, n);
		must(refdata_apply(m->ref, &e, &m->txn, error, sizeof(error)) == 0);
		free(whole);
	}
	if (++m->events % EVENTS_PER_COMMIT == 0)
		must(txn_commit(&m->txn) == 0);
}

static void card_number(uint64_t card, uint8_t pan[10])
{
	char text[24];

	snprintf(text, sizeof(text), "031047%014" PRIu64, card * 2654435761u % 100000000000000u);
	must(pan_parse(text, pan));
}

/* Every fourth card is an old person's. */
static void riders_put(struct making *m, uint64_t cards)
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
		event_put(m, EVENT_RIDERS, "", 0, csv, n);
		free(csv);
	}
}

static void city_put(struct making *m, uint64_t cards)
{
	static const char issuers[] = "issuer,ours,valid_from,valid_to,name\n02184280,yes,2000-01-01,,ours\n";
	uint8_t head[8];
	char *csv = NULL;
	size_t n = 0, bytes = 0;
	void *blob = NULL;
	FILE *f = open_memstream(&csv, &n);

	must(f != NULL && tariff_compile("tariffs/packs/ganzhou", NULL, NULL, &blob, &bytes) == 0 && tariff_open(blob, bytes, &m->tariff) == 0);
	be64_put(head, (uint64_t)tariff_valid_from_ms(m->tariff));
	event_put(m, EVENT_TARIFF, head, sizeof(head), blob, bytes);
	fprintf(f, "terminal,psam,device,operator,valid_from,valid_to\n");
	for (int i = 0; i < TERMINALS; i++)
		fprintf(f, "42800000%04d,42800000%04d,V-%04d,101,2000-01-01,\n", i, i, i);
	must(fclose(f) == 0);
	event_put(m, EVENT_TERMINALS, "", 0, csv, n);
	event_put(m, EVENT_ISSUERS, "", 0, issuers, strlen(issuers));
	free(csv);
	riders_put(m, cards);
}

static void batch_put(struct making *m, struct terminal *t)
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
	event_put(m, EVENT_BATCH, head, EVENT_BATCH_HEAD_BYTES + 2 * t->batch.count, out, (size_t)n);
	t->batch.count = 0;
}

/* What the terminal takes, which knows of no earlier ride: the clear seldom finds another fare. */
static void price_put(const struct making *m, uint64_t card, struct tap *tap)
{
	struct rider rider = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct rider_state state = { 0 };
	struct ride ride;
	struct fare fare;

	if (card % 4 == 0) {
		rider = (struct rider){ .birth = -7305, .issued = DAY_NONE, .home = 360702, .hold_count = 1 };
		rider.hold[0] = (struct hold){ .group = tariff_group_code(m->tariff, "elder65"), .from = 20089, .to = INT32_MAX, .verified_to = INT32_MAX };
	}
	tap_ride(tap, m->tariff, &ride);
	rate(m->tariff, &rider, &state, &ride, &state, &fare, NULL);
	tap->list_fen = (uint32_t)fare.published.fen;
	tap->amount_fen = (uint32_t)fare.paid.fen;
	tap->balance_after = tap->balance_before - fare.paid.fen;
}

/* From six to twenty-two, the cards at random, each with its counter. */
static void taps_put(struct making *m, uint64_t taps, uint64_t cards)
{
	struct terminal *list = m->terminal;
	struct tariff_line where;

	must(tariff_line_at(m->tariff, 0, (int64_t)m->day * 86400000, &where));
	for (uint64_t i = 0; i < taps; i++) {
		struct terminal *t = &list[i % TERMINALS];
		uint64_t card = sample_random() % cards;
		struct tap tap = sample_tap();
		char text[16];
		int n;

		snprintf(text, sizeof(text), "V-%04d", (int)(i % TERMINALS));
		memcpy(t->batch.device, text, strlen(text) + 1);
		card_number(card, tap.pan);
		tap.terminal[4] = tap.psam[4] = (uint8_t)(i % TERMINALS / 1000 << 4 | i % TERMINALS / 100 % 10);
		tap.terminal[5] = tap.psam[5] = (uint8_t)(i % 100 / 10 << 4 | i % 10);
		tap.terminal_serial = ++t->serial;
		tap.card_counter = ++m->counter[card];
		be32_put(tap.tac, (uint32_t)sample_random());
		tap.time_ms = (int64_t)m->day * 86400000 - CIVIL_OFFSET_MS + 6 * 3600000 + (int64_t)(i * (16.0 * 3600000) / (double)taps);
		snprintf(tap.line, sizeof(tap.line), "%s", where.line);
		price_put(m, card, &tap);
		n = tap_encode(&tap, t->record[t->batch.count], sizeof(t->record[0]));
		must(n > 0);
		t->batch.tap[t->batch.count].p = t->record[t->batch.count];
		t->batch.tap[t->batch.count++].n = (uint32_t)n;
		if (t->batch.count == RECORDS)
			batch_put(m, t);
	}
	for (int i = 0; i < TERMINALS; i++)
		if (list[i].batch.count > 0)
			batch_put(m, &list[i]);
	must(m->txn.mdb == NULL || txn_commit(&m->txn) == 0);
}

static void store_make(struct making *m, const char *dir, uint64_t cards)
{
	m->terminal = calloc(TERMINALS, sizeof(m->terminal[0]));
	m->counter = calloc(cards, sizeof(m->counter[0]));
	m->day = DAY;
	must(m->terminal != NULL && m->counter != NULL);
	must(store_open(dir, false, 128ULL << 30, &m->store) == 0 && refdata_new(&m->ref) == 0 && txn_begin(m->store, true, &m->txn) == 0);
	day_open_init(&m->txn, DAY);
	city_put(m, cards);
}

static void store_done(struct making *m)
{
	refdata_free(m->ref);
	tariff_close(m->tariff);
	store_close(m->store);
	free(m->terminal);
	free(m->counter);
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

	must(txn_begin(s, true, &t) == 0 && day_cut(&t, day, (int64_t)(day + 1) * 86400000) == 0 && txn_commit(&t) == 0);
	before = store_used_bytes(s);
	cpu = cpu_now();
	must(day_clear(s, day, &stats) == 0 && stats.verdict[VERDICT_ACCEPTED] > 0);
	cpu = cpu_now() - cpu;
	all = stats.taps + taps_before;
	n = (size_t)snprintf(more, sizeof(more), ",\"cards\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"cpu_ns_per_tap\":%.0f,\"bytes_before_per_tap\":%" PRIu64 ",\"bytes_per_tap\":%" PRIu64, cards, stats.verdict[VERDICT_ACCEPTED],
		 cpu * 1e9 / (double)stats.taps, before / all, store_used_bytes(s) / all);
	for (int i = 0; i < CLEAR_STAGES; i++)
		n += (size_t)snprintf(more + n, sizeof(more) - n, ",\"%s_ns\":%" PRIu64, stage[i], stats.stage_ns[i] / stats.taps);
	line("clear", "taps/s", (double)stats.taps * 1e9 / (double)stats.ns, cpu, stats.taps, more);
}

int main(int argc, char **argv)
{
	char dir[] = P_tmpdir "/bench_clear.XXXXXX", path[64];
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
	store_make(&m, dir, cards);
	for (; m.day < DAY + days; m.day++) {
		taps_put(&m, taps, cards);
		cleared(m.store, m.day, cards, (uint64_t)(m.day - DAY) * taps);
	}
	store_done(&m);
	for (size_t i = 0; i < 3; i++) {
		static const char *const file[] = { "data.mdb", "lock.mdb", "writer.lock" };

		snprintf(path, sizeof(path), "%s/%s", dir, file[i]);
		unlink(path);
	}
	rmdir(dir);
	return 0;
}
