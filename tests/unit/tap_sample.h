/*
 * tap_sample - the records the tests of validator/ share: the worked example of docs/tap-format.md, and
 * sane random records from a seed that is printed.
 */
#ifndef TESTS_UNIT_TAP_SAMPLE_H
#define TESTS_UNIT_TAP_SAMPLE_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "validator/validator.h"

#define SAMPLE_TIME_MS 1762125330000LL	/* 2025-11-03 07:15:30 +08:00 */

/* xorshift64*; the seed comes from SEED in the environment or is fixed, and is printed once. */
static uint64_t sample_state;

static inline uint64_t sample_random(void)
{
	if (sample_state == 0) {
		const char *text = getenv("SEED");

		sample_state = text != NULL ? strtoull(text, NULL, 0) | 1 : 20251103;
		fprintf(stderr, "seed=%" PRIu64 "\n", sample_state);
	}
	sample_state ^= sample_state >> 12;
	sample_state ^= sample_state << 25;
	sample_state ^= sample_state >> 27;
	return sample_state * 2685821657736338717ULL;
}

static inline uint32_t sample_below(uint32_t n) { return (uint32_t)(sample_random() % n); }

static inline void sample_bcd(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(sample_below(10) << 4 | sample_below(10));
}

/* The boarding of docs/tap-format.md: 2.00 yuan less 10 % on line 1. */
static inline struct tap sample_tap(void)
{
	struct tap t = {
		.version = TAP_VERSION, .kind = TAP_PURCHASE, .medium = MEDIUM_PURSE, .issuer = { 0x02, 0x18, 0x42, 0x80 },
		.pan = { 0x03, 0x10, 0x47, 0x30, 0x15, 0x00, 0x00, 0x00, 0x00, 0x17 },
		.card_city = 0x4280, .card_class = 1, .card_subtype = 0x0114, .card_counter = 42,
		.balance_before = 5000, .balance_after = 4820, .list_fen = 200, .amount_fen = 180, .txn_type = 9,
		.terminal = { 0x42, 0x80, 0, 0, 0, 0x17 }, .terminal_serial = 0xABCD, .psam = { 0x42, 0x80, 0, 0, 0, 0x17 },
		.key_version = 1, .key_index = 1, .random = { 0xDE, 0xAD, 0xBE, 0xEF }, .tac = { 0x12, 0x34, 0x56, 0x78 },
		.time_ms = SAMPLE_TIME_MS, .operator_id = 101, .line = "1", .vehicle = "赣B12345", .stop = 3, .driver = 7001,
		.prev_counter = 41, .prev_amount_fen = 200, .prev_type = 9, .prev_terminal = { 0x42, 0x80, 0, 0, 0, 0x09 },
		.prev_time_ms = SAMPLE_TIME_MS - 50400000, .acquirer = { 0x12, 0x18, 0x42, 0x80 }, .accept_city = 0x4280,
		.list_version = 1, .tariff_version = 1,
	};
	return t;
}

static inline struct tap sample_random_tap(void)
{
	static const char *const lines[] = { "1", "105区间", "Z9", "" };
	struct tap t = sample_tap();

	t.kind = 1 + sample_below(8);
	t.medium = 1 + sample_below(6);
	t.flags = sample_below(65536);
	sample_bcd(t.pan, sizeof(t.pan));
	sample_bcd(t.issuer, sizeof(t.issuer));
	t.card_counter = sample_below(65536);
	t.balance_before = (int64_t)sample_below(200000) - 100000;
	t.balance_after = (int64_t)sample_below(200000) - 100000;
	t.amount_fen = sample_below(10000);
	t.terminal_serial = (uint32_t)sample_random();
	t.time_ms += sample_below(86400000);
	t.distance_m = (uint32_t)sample_random();
	snprintf(t.line, sizeof(t.line), "%s", lines[sample_below(4)]);
	return t;
}

static inline int sample_encode(const struct tap *t, uint8_t out[TAP_ENCODED_BYTES_MAX])
{
	return tap_encode(t, out, TAP_ENCODED_BYTES_MAX);
}

/* The hex of the fenced block that follows a line with this heading in a document; the count of bytes. */
static inline size_t sample_document_hex(const char *path, const char *heading, uint8_t *out, size_t out_bytes)
{
	char line[512];
	FILE *f = fopen(path, "re");
	bool found = false, inside = false;
	size_t n = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		found = found || strstr(line, heading) != NULL;
		if (!found)
			continue;
		if (strncmp(line, "```", 3) == 0) {
			if (inside)
				break;
			inside = true;
			continue;
		}
		line[strcspn(line, ";\n")] = '\0';	/* what follows a semicolon is remark */
		for (const char *p = line; inside && *p != '\0'; p++)
			if (strchr("0123456789ABCDEFabcdef", *p) != NULL && n < out_bytes) {
				char pair[3] = { p[0], p[1], '\0' };

				out[n++] = (uint8_t)strtoul(pair, NULL, 16);
				p++;
			}
	}
	if (f != NULL)
		fclose(f);
	return n;
}

#endif
