/*
 * bench_tables - what the writer's tables take. For the two sizes of entries of which there are most: bytes an entry while
 * a table grows to twice its entries. And a calculation: an open day of 100 million taps of 50 million cards, from tables
 * filled with a 32nd of it, which have as full parts as those of the whole day, since parts are cut in two.
 */
#include <assert.h>
#include <malloc.h>
#include <string.h>

#include "clearing/live.h"
#include "tests/bench/bench.h"

#define DAY_TAPS 100000000u
#define DAY_CARDS 50000000u
#define PIECE 32u		/* a power of two */
#define TERMINAL_TAPS 300u	/* a bus's day */
#define BATCH 100u
#define RIDER_BYTES (512.0 * (1 << 20))	/* KNOWN_PLACES of 64 bytes */
#define FILTER_BYTES (32.0 * (1 << 20))	/* of 12.5 million registered cards: clearing/known.c */
#define STORE_BYTES (512.0 * (1 << 20))	/* what LMDB keeps of the pages of its largest transaction, a piece of the register */
#define DAY_MS (INT64_C(20395) * 86400000)

static uint64_t mixed(uint64_t n)
{
	n *= 0x9E3779B97F4A7C15u;
	n ^= n >> 32;
	n *= 0xD6E8FEB86659FD93u;
	return n ^ n >> 32;
}

/* By steps of a sixteenth from a million entries to two: the most, the least and the mean of bytes an entry. */
static void bench_growth(const char *name, size_t key_bytes, size_t entry_bytes)
{
	const uint64_t first = 1000000;
	double start = cpu_now(), most = 0, least = 1e9, sum = 0, now;
	uint8_t key[32] = { 0 };
	struct table t;
	char more[96];
	bool new;

	must(key_bytes <= sizeof(key) && table_open(&t, key_bytes, entry_bytes) == 0);
	for (uint64_t n = 0; n < 2 * first; n++) {
		uint64_t number = mixed(n);

		memcpy(key, &number, sizeof(number));
		must(table_room(&t, 1) == 0);
		table_at(&t, key, &new);
		if (n < first || n % (first / 16) != 0)
			continue;
		now = (double)table_bytes(&t) / (double)t.count;
		most = now > most ? now : most;
		least = now < least ? now : least;
		sum += now / 16;
	}
	table_close(&t);
	snprintf(more, sizeof(more), ",\"entry_bytes\":%zu,\"least\":%.1f,\"mean\":%.1f,\"most\":%.1f", entry_bytes, least, sum, most);
	line(name, "bytes/entry", most, cpu_now() - start, 2 * first, more);
}

/* As rides leave it: a window; after the second ride the one before it as well, and with one in eight that was a transfer. */
static struct rider_state state_after(uint32_t card, bool second)
{
	struct rider_state s = { .last_ms = DAY_MS + card, .last_vehicle = card, .window_rule = 7, .window_uses = 1, .window_ms = DAY_MS + card,
				 .window_vehicle = card, .window_dearest_fen = 200, .prev_line = 9, .prev_vehicle = card, .prev_published_fen = 200 };

	if (second) {
		s.other_ms = DAY_MS - 3600000;
		s.other_vehicle = card + 1;
	}
	if (second && card % 8 == 0) {
		s.window_ms = s.other_ms;
		s.window_vehicle = s.other_vehicle;
	}
	return s;
}

/* One tap of a card, whose counter goes on from any number: judged by the tables, and his state put. */
static void tap_put(struct live *l, struct tap *tap, uint32_t card, bool second)
{
	struct rider_state state = state_after(card, second);
	uint64_t number = mixed(card);
	uint8_t key[COUNTER_BYTES] = { 0 };
	struct seen_mark *mark;
	bool new;

	must(seen_room(l->seen, 1) == 0 && table_room(&l->counted, 1) == 0 && riding_room(l->riding, 1) == 0);
	mark = seen_at(l->seen, tap);
	must(!mark->used);
	mark->used = true;
	memcpy(key, &number, sizeof(number));
	be16_put(key + 11, (uint16_t)((number >> 20) + second));
	table_at(&l->counted, key, &new);
	must(new);
	riding_put(l->riding, riding_key(l->riding, number), &state);
}

/* Receipts of the day and of the one before; in one of five a tap that came twice. */
static void batch_answer(struct live *l, uint32_t batch)
{
	struct receipt r = { .file_serial = batch, .inbox_seq = batch, .count = BATCH };
	struct answer key = answer_key("V-1", batch);

	memset(r.verdict, VERDICT_ACCEPTED, BATCH);
	r.verdict[BATCH / 2] = batch % 5 == 0 ? VERDICT_DUPLICATE : VERDICT_ACCEPTED;
	must(answer_put(&l->answer[0], &key, &r) == 0 && answer_put(&l->answer[1], &key, &r) == 0);
}

static double answer_bytes(struct live *l) { return (double)(table_bytes(&l->answer[0]) + table_bytes(&l->answer[1])); }

/* Cards ride in no order, each twice; terminals send their batches in turn, from any serial on. */
static void bench_day(void)
{
	const uint32_t taps = DAY_TAPS / PIECE, cards = DAY_CARDS / PIECE, terminals = taps / TERMINAL_TAPS;
	double start = cpu_now(), marks, counters, riders, answers, sum;
	bool *rode = calloc(cards, sizeof(*rode));
	struct live *l;
	char more[256];

	must(rode != NULL && live_new(&l) == 0);
	answers = -(double)mallinfo2().uordblks;
	for (uint32_t i = 0; i < taps; i++) {
		uint32_t batch = i / BATCH, terminal = batch % terminals, nth = batch / terminals * BATCH + i % BATCH;
		uint32_t card = (uint32_t)(i * UINT64_C(2654435761) % taps / 2);
		struct tap tap = { .terminal = { 0x42 }, .terminal_serial = (uint32_t)(mixed(terminal) >> 40) + nth, .time_ms = DAY_MS + i };

		be32_put(tap.terminal + 2, terminal);
		tap_put(l, &tap, card, rode[card]);
		rode[card] = true;
		if (i % BATCH == 0)
			batch_answer(l, batch);
	}
	marks = (double)seen_bytes(l->seen);
	counters = (double)table_bytes(&l->counted);
	riders = (double)riding_bytes(l->riding);
	answers += (double)mallinfo2().uordblks + answer_bytes(l);
	sum = (marks + counters + riders + answers) * PIECE + RIDER_BYTES + FILTER_BYTES + STORE_BYTES;
	snprintf(more, sizeof(more), ",\"cards\":%u,\"calculated_from\":%u,\"mark_bytes\":%.1f,\"counter_bytes\":%.1f,\"receipt_bytes\":%.1f,"
		 "\"state_bytes_card\":%.1f,\"register_mb\":%.0f,\"store_mb\":%.0f", DAY_CARDS, taps, marks / taps, counters / taps, answers / taps,
		 riders / cards, (RIDER_BYTES + FILTER_BYTES) / 1e6, STORE_BYTES / 1e6);
	line("day-memory", "MB", sum / 1e6, cpu_now() - start, DAY_TAPS, more);
	live_free(l);
	free(rode);
}

int main(void)
{
	static_assert(DAY_TAPS == 2 * DAY_CARDS, "each card rides twice");
	bench_growth("table-counter", COUNTER_BYTES, sizeof(struct counted));
	bench_growth("table-rider", sizeof(uint64_t), 14);
	bench_day();
	return 0;
}
