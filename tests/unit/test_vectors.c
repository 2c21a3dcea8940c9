/* The vectors of tests/vectors, which a maker checks a port against: what they say is what this code makes and reads.
 * QINGFEN_VECTORS=DIR writes them anew, for a version of the protocol that is meant to differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "clearing/clearing.h"
#include "tests/unit/tap_sample.h"

#define LINE_BYTES 4096

static FILE *file;
static bool writing;

static void vectors_open(const char *name, const char *remark)
{
	const char *dir = getenv("QINGFEN_VECTORS");
	char path[256];

	writing = dir != NULL;
	snprintf(path, sizeof(path), "%s/%s.hex", writing ? dir : "tests/vectors", name);
	file = fopen(path, writing ? "we" : "re");
	assert_non_null(file);
	if (writing)
		fprintf(file, "# %s\n", remark);
}

static void vectors_close(void)
{
	char line[LINE_BYTES];

	if (!writing)
		assert_null(fgets(line, sizeof(line), file));	/* nothing is left that nobody checked */
	fclose(file);
}

/* The next line is "name hex"; or it is written so. */
static void vector(const char *name, const uint8_t *p, size_t n)
{
	static char hex[LINE_BYTES], line[LINE_BYTES], expected[LINE_BYTES + 64];

	assert_true(2 * n < sizeof(hex));
	hex_encode(p, n, hex);
	snprintf(expected, sizeof(expected), "%s %s\n", name, hex);
	if (writing) {
		fputs(expected, file);
		return;
	}
	do
		assert_non_null(fgets(line, sizeof(line), file));
	while (line[0] == '#');
	assert_string_equal(line, expected);
}

static void vector_int(const char *name, int value)
{
	uint8_t b[4] = { (uint8_t)((uint32_t)value >> 24), (uint8_t)((uint32_t)value >> 16), (uint8_t)((uint32_t)value >> 8), (uint8_t)value };

	vector(name, b, sizeof(b));
}

/* ---- records -------------------------------------------------------------------------------------------------- */

static struct tap sign_on(void)
{
	struct tap t = sample_tap();
	struct tap e = { .version = TAP_VERSION, .kind = TAP_SIGN_ON, .terminal_serial = 7, .time_ms = SAMPLE_TIME_MS, .operator_id = 101, .driver = 7001 };

	memcpy(e.terminal, t.terminal, sizeof(e.terminal));
	memcpy(e.psam, t.psam, sizeof(e.psam));
	strcpy(e.line, "1");
	return e;
}

static struct tap grey(void)
{
	struct tap t = sample_tap();

	t.flags = TAP_GREY;
	memset(t.tac, 0xFF, sizeof(t.tac));
	return t;
}

static struct tap edge(void)
{
	struct tap t = sample_tap();

	t.balance_before = -0x7fffffffLL;
	t.balance_after = 0x7fffffffLL;
	t.amount_fen = 0x7fffffff;
	t.terminal_serial = 0xffffffff;
	memset(t.line, 'x', 47);
	memset(t.vehicle, 'y', 15);
	t.distance_m = 65536;
	return t;
}

static void records_have_these_bytes(void **state)
{
	const struct { const char *name; struct tap tap; } rows[] = {
		{ "boarding", sample_tap() }, { "grey", grey() }, { "sign-on", sign_on() }, { "bounds", edge() } };
	uint8_t out[TAP_ENCODED_BYTES_MAX], again[TAP_ENCODED_BYTES_MAX];
	const char *field;
	struct tap t;

	(void)state;
	vectors_open("record", "tap records, docs/tap-format.md: tests/unit/tap_sample.h has the boarding's fields");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n = sample_encode(&rows[i].tap, out);

		assert_true(n > 0);
		vector(rows[i].name, out, (size_t)n);
		assert_int_equal(tap_decode(out, (size_t)n, &t, &field), 0);
		assert_int_equal(sample_encode(&t, again), n);
		assert_memory_equal(out, again, (size_t)n);
	}
	vectors_close();
}

/* A record to be refused, and with which code. */
static void refused(const char *name, const uint8_t *p, size_t n, int code)
{
	const char *field;
	char text[64];
	struct tap t;

	assert_int_equal(tap_decode(p, n, &t, &field), code);
	vector(name, p, n);
	snprintf(text, sizeof(text), "%s.code", name);
	vector_int(text, code);
}

static void records_that_are_refused_have_these_codes(void **state)
{
	static const uint8_t bomb[] = { 0xDD, 0x0F, 0xFF, 0xFF, 0xFF };
	uint8_t out[TAP_ENCODED_BYTES_MAX];
	struct tap t = sample_tap();
	int n = sample_encode(&t, out);

	(void)state;
	vectors_open("refused", "records no reader takes; .code is the error, 4 bytes two's complement");
	refused("truncated", out, (size_t)n - 1, TAP_E_TRUNCATED);
	out[n] = 0xC0;
	refused("trailing", out, (size_t)n + 1, TAP_E_TRAILING);
	refused("bomb", bomb, sizeof(bomb), TAP_E_DEPTH);
	out[3] = 0;
	refused("version-0", out, (size_t)n, TAP_E_VERSION);
	out[3] = TAP_VERSION;
	out[4] = 77;
	refused("kind-77", out, (size_t)n, TAP_E_RANGE);
	out[4] = 1;
	out[9] = 0xA0;
	refused("pan-not-bcd", out, (size_t)n, TAP_E_RANGE);
	vectors_close();
}

/* ---- batch and frames ------------------------------------------------------------------------------------------- */

static void batches_and_frames_have_these_bytes(void **state)
{
	static uint8_t record[2][TAP_ENCODED_BYTES_MAX], body[BATCH_BYTES_MAX], out[2048];
	struct hello hello = { .protocol = 1, .device = "V-00017", .terminal = { 0x42, 0x80, 0, 0, 0, 0x17 }, .software = "maker 1.0", .clock_ms = SAMPLE_TIME_MS };
	struct welcome welcome = { .protocol = 1, .clock_ms = SAMPLE_TIME_MS + 90000, .list_version = 3, .tariff_version = 202501, .batch_taps_max = 512 };
	struct receipt receipt = { .file_serial = 7, .inbox_seq = 1000, .accepted = 2, .count = 2, .verdict = { 0, 20 } };
	struct refuse refuse = { .file_serial = 7, .code = TAP_E_DIGEST, .text = "digest differs", .retry = false };
	struct get get = { .what = "blacklist", .version = 3, .offset = 131072 };
	struct part part = { .what = "blacklist", .version = 3, .offset = 0, .total = 4, .p = (const uint8_t *)"123\n", .n = 4 };
	struct busy busy = { .retry_ms = 200 };
	struct tap boarding = sample_tap(), event = sign_on();
	static struct batch b;
	int n;

	(void)state;
	b = (struct batch){ .device = "V-00017", .file_serial = 7, .count = 2 };
	b.tap[0].p = record[0];
	b.tap[0].n = (uint32_t)sample_encode(&boarding, record[0]);
	b.tap[1].p = record[1];
	b.tap[1].n = (uint32_t)sample_encode(&event, record[1]);
	assert_int_equal(batch_seal(&b), 0);
	vectors_open("frame", "frames, docs/protocol.md; the batch holds boarding and sign-on of record.hex");
	n = hello_encode(&hello, out, sizeof(out));
	vector("hello", out, (size_t)n);
	n = welcome_encode(&welcome, out, sizeof(out));
	vector("welcome", out, (size_t)n);
	n = batch_encode(&b, body, sizeof(body));
	assert_true(n > 0 && n < 1024);
	frame_head(FRAME_BATCH, (uint32_t)n, out);
	memcpy(out + FRAME_HEAD_BYTES, body, (size_t)n);
	vector("batch.digest", b.digest, sizeof(b.digest));
	vector("batch", out, FRAME_HEAD_BYTES + (size_t)n);
	n = receipt_encode(&receipt, out, sizeof(out));
	vector("receipt", out, (size_t)n);
	n = refuse_encode(&refuse, out, sizeof(out));
	vector("refuse", out, (size_t)n);
	n = get_encode(&get, out, sizeof(out));
	vector("get", out, (size_t)n);
	n = part_encode(&part, out, sizeof(out));
	vector("part", out, (size_t)n);
	n = busy_encode(&busy, out, sizeof(out));
	vector("busy", out, (size_t)n);
	vector("ping", (const uint8_t[]){ 0, 0, 0, 2, FRAME_PING, 0x90 }, 6);
	vectors_close();
}

/* ---- codes and verdicts --------------------------------------------------------------------------------------------- */

static void tac_row(enum key_alg alg, const char *name)
{
	struct key_entry e = { .purpose = KEY_TAC, .alg = alg, .issuer = { 0x02, 0x18, 0x42, 0x80 }, .version = 1, .levels = 2, .valid_to_ms = INT64_MAX };
	struct mac_engine *engine;
	struct keyring *ring;
	struct purchase purchase;
	struct tap t = sample_tap();
	const struct tac_question q = { .purchase = &purchase, .issuer = t.issuer, .pan = t.pan, .key_version = 1, .key_index = 1, .alg_id = (uint8_t)alg, .at_ms = SAMPLE_TIME_MS, .tac = t.tac };
	uint8_t root[KEY_BYTES], key[KEY_BYTES];
	char text[64];

	for (size_t i = 0; i < KEY_BYTES; i++)
		root[i] = (uint8_t)(0x10 + i);
	tap_purchase(&t, &purchase);
	assert_int_equal(mac_engine_new(&engine), 0);
	assert_int_equal(keyring_new(&ring), 0);
	assert_int_equal(keyring_add(ring, &e, root), 0);
	assert_int_equal(keyring_card_key(ring, engine, KEY_TAC, t.issuer, 1, (uint8_t)alg, SAMPLE_TIME_MS, t.pan, key), 0);
	assert_int_equal(mac_purchase_tac(engine, alg, key, &purchase, t.tac), 0);
	assert_int_equal(tac_verify(engine, ring, &q), KEY_CHECK_GOOD);
	snprintf(text, sizeof(text), "%s.root", name);
	vector(text, root, sizeof(root));
	snprintf(text, sizeof(text), "%s.card-key", name);
	vector(text, key, sizeof(key));
	snprintf(text, sizeof(text), "%s.tac", name);
	vector(text, t.tac, sizeof(t.tac));
	t.tac[3] ^= 1;
	assert_int_equal(tac_verify(engine, ring, &q), KEY_CHECK_BAD);
	mac_engine_free(engine);
	keyring_free(ring);
}

static void codes_of_the_boarding_are_these(void **state)
{
	(void)state;
	vectors_open("tac", "the boarding of record.hex under a root key: the card's TAC key, and the code, docs/keys.md");
	tac_row(KEY_ALG_3DES, "3des");
	tac_row(KEY_ALG_SM4, "sm4");
	vectors_close();
}

static void verdicts_have_these_numbers_and_names(void **state)
{
	(void)state;
	vectors_open("verdict", "verdicts in a receipt, docs/verdicts.md (which may have more by now): the name in ASCII behind the number");
	for (int i = 0; i <= VERDICT_QUARANTINED; i++) {
		const char *name = verdict_info((enum verdict)i)->name;
		uint8_t row[64] = { (uint8_t)i };

		memcpy(row + 1, name, strlen(name));
		vector(name, row, strlen(name) + 1);
	}
	vectors_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_have_these_bytes),
		cmocka_unit_test(records_that_are_refused_have_these_codes),
		cmocka_unit_test(batches_and_frames_have_these_bytes),
		cmocka_unit_test(codes_of_the_boarding_are_these),
		cmocka_unit_test(verdicts_have_these_numbers_and_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
