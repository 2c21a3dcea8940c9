/*
 * bench_core - one operation at a time on one core: TAC verified with the card key derived, a record encoded and
 * decoded. One JSON line each; the cost is processor time.
 */
#include "clearing/clearing.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void line(const char *name, double cpu_s, unsigned n)
{
	printf("{\"bench\":\"%s\",\"unit\":\"ns/op\",\"value\":%.0f,\"cpu_s\":%.3f,\"n\":%u}\n", name, cpu_s * 1e9 / n, cpu_s, n);
	fflush(stdout);
}

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void record(struct tap *t, uint8_t alg_id)
{
	*t = (struct tap){ .version = TAP_VERSION, .kind = TAP_PURCHASE, .medium = MEDIUM_PURSE, .card_city = 0x4280, .card_class = 1, .card_counter = 77,
			   .balance_before = 5000, .balance_after = 4910, .list_fen = 100, .amount_fen = 90, .txn_type = 9, .terminal_serial = 12345, .key_version = 1,
			   .alg_id = alg_id, .time_ms = 1762131600000LL, .operator_id = 101 };
	must(hex_decode("03104730100000000017", t->pan, 10) && hex_decode("02184280", t->issuer, 4) && hex_decode("428000000017", t->terminal, 6));
	strcpy(t->line, "18");
	strcpy(t->vehicle, "B12345");
}

static void bench_tac(enum key_alg alg, const char *name)
{
	struct key_entry e = { .purpose = KEY_TAC, .alg = alg, .version = 1, .levels = 2, .valid_to_ms = INT64_MAX };
	const unsigned n = 100000;
	struct mac_engine *engine;
	struct purchase purchase;
	struct keyring *ring;
	uint8_t root[16] = { 1, 2, 3 }, dtk[16];
	struct tap t;
	double start;

	record(&t, (uint8_t)alg);
	memcpy(e.issuer, t.issuer, 4);
	must(mac_engine_new(&engine) == 0 && keyring_new(&ring) == 0 && keyring_add(ring, &e, root) == 0);
	tap_purchase(&t, &purchase);
	must(keyring_card_key(ring, engine, KEY_TAC, t.issuer, 1, (uint8_t)alg, t.time_ms, t.pan, dtk) == 0 && mac_purchase_tac(engine, alg, dtk, &purchase, t.tac) == 0);
	start = cpu_now();
	for (unsigned i = 0; i < n; i++) {
		struct tac_question q = { .purchase = &purchase, .issuer = t.issuer, .pan = t.pan, .key_version = 1, .alg_id = (uint8_t)alg, .at_ms = t.time_ms, .tac = t.tac };

		must(tac_verify(engine, ring, &q) == KEY_CHECK_GOOD);
	}
	line(name, cpu_now() - start, n);
	keyring_free(ring);
	mac_engine_free(engine);
}

static void bench_codec(void)
{
	const unsigned n = 1000000;
	uint8_t bytes[TAP_ENCODED_BYTES_MAX];
	const char *field;
	struct tap t, back;
	double start;
	int size;

	record(&t, 1);
	start = cpu_now();
	for (unsigned i = 0; i < n; i++)
		must((size = tap_encode(&t, bytes, sizeof(bytes))) > 0);
	line("tap-encode", cpu_now() - start, n);
	start = cpu_now();
	for (unsigned i = 0; i < n; i++)
		must(tap_decode(bytes, (size_t)size, &back, &field) == 0);
	line("tap-decode", cpu_now() - start, n);
	printf("{\"bench\":\"tap-bytes\",\"unit\":\"bytes\",\"value\":%d,\"cpu_s\":0,\"n\":1}\n", size);
}

int main(void)
{
	bench_tac(KEY_ALG_SM4, "tac-verify-sm4");
	bench_tac(KEY_ALG_3DES, "tac-verify-3des");
	bench_codec();
	return 0;
}
