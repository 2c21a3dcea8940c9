/*
 * bench_cards - what a card stands at, looked up in a register of a million lives in random order, the store's pages mapped:
 * cards that are there and cards nobody told of.
 *
 * bench_cards [CARDS]: the store is made in a folder of its own and removed.
 */
#include "tests/bench/bench.h"

#include <string.h>
#include <unistd.h>

#include "clearing/clearing.h"

#define ROUNDS 5
#define ASKED 200000
#define PART 250000

/* Even numbers are registered, odd ones are not. */
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

static size_t part_write(char *csv, uint32_t from, uint32_t to)
{
	size_t n = (size_t)sprintf(csv, "pan,state,at,valid_to,counter\n");

	for (uint32_t i = from; i < to; i++) {
		char digits[21];
		uint8_t pan[10];

		pan_of(2 * i, pan);
		pan_digits(pan, digits);
		n += (size_t)sprintf(csv + n, "%s,issued,2020-01-01,2030-12-31,\n", digits);
	}
	return n;
}

static void cards_load(struct store *s, uint32_t cards)
{
	char *csv = malloc(64ull * PART), error[256];
	double start = cpu_now();
	struct refdata *ref;

	must(csv != NULL && refdata_new(&ref) == 0);
	for (uint32_t at = 0, seq = 1; at < cards; at += PART, seq++) {
		size_t n = part_write(csv, at, at + PART < cards ? at + PART : cards);
		struct event e = { .seq = seq, .type = EVENT_CARDS, .body = (const uint8_t *)csv, .bytes = n };
		struct txn t;

		must(txn_begin(s, true, &t) == 0 && refdata_apply(ref, &e, &t, error, sizeof(error)) == 0 && txn_commit(&t) == 0);
	}
	line("cards-load", "ns/card", (cpu_now() - start) * 1e9 / cards, cpu_now() - start, cards, "");
	refdata_free(ref);
	free(csv);
}

/* Every row once, so that no page is met for the first time while measuring. */
static void pages_map(struct txn *t, uint32_t cards)
{
	struct iter it;
	uint32_t rows = 0;

	iter_open(t, DB_CARD, NULL, 0, &it);
	while (iter_next(&it))
		rows += it.val[8] == CARD_ISSUED;
	iter_close(&it);
	must(rows == cards);
}

static void bench_stand(struct txn *t, uint32_t cards, bool hit)
{
	double round[ROUNDS], start = cpu_now();
	uint64_t seed = 1;

	for (int r = 0; r < ROUNDS; r++) {
		double from = cpu_now();
		uint32_t found = 0;

		for (uint32_t i = 0; i < ASKED; i++) {
			struct card_life life;
			uint8_t pan[10];

			pan_of(2 * random_below(&seed, cards) + !hit, pan);
			found += card_life_at(t, pan, UINT64_MAX, 1762131600000LL, &life);
		}
		must(found == (hit ? ASKED : 0));
		round[r] = (cpu_now() - from) * 1e9 / ASKED;
	}
	line(hit ? "card-life-hit" : "card-life-miss", "ns/op", median(round, ROUNDS), cpu_now() - start, (uint64_t)ROUNDS * ASKED, "");
}

int main(int argc, char **argv)
{
	uint32_t cards = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	char dir[] = "/tmp/bench_cards.XXXXXX", path[64];
	struct store *s;
	struct txn t;

	must(mkdtemp(dir) != NULL);
	must(store_open(dir, false, 0, &s) == 0);
	cards_load(s, cards);
	must(txn_begin(s, false, &t) == 0);
	pages_map(&t, cards);
	bench_stand(&t, cards, true);
	bench_stand(&t, cards, false);
	txn_abort(&t);
	store_close(s);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, i == 0 ? "data.mdb" : i == 1 ? "lock.mdb" : "writer.lock");
		unlink(path);
	}
	rmdir(dir);
	return 0;
}
