/*
 * A compiled pack as a terminal gets it over the line: what is opened is whole, so that any ride is rated from it without
 * looking past it. The input is changes of a real pack, three bytes each (place, byte), after which its checksum is made
 * good again; a first byte of 0 gives the bytes as they are.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "tariffs/tariffs.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void rides(const struct tariff *t)
{
	static const char *const lines[] = { "1", "105区间", "none", "M1" };
	struct rider rider = { 0 };
	struct rider_state state = { 0 };
	uint64_t seed = 88172645463325252u;

	for (unsigned i = 0; i < 40; i++) {
		struct ride ride = { .time_ms = 1762125330000LL + (int64_t)i * 1700000, .operator_id = 101, .list = { 200 } };
		struct fare fare;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		ride.event = (enum ride_event)(RIDE_SINGLE + seed % 3);
		ride.direction = (uint8_t)(seed >> 4 & 1);
		ride.stop_on = (uint16_t)(seed >> 8) % 40;
		ride.stop_off = (uint16_t)(seed >> 16) % 40;
		strcpy(ride.line, lines[seed >> 30 & 3]);
		strcpy(ride.vehicle, seed >> 33 & 1 ? "A" : "B");
		rate(t, &rider, &state, &ride, &state, &fare, NULL);
	}
}

static void report(void *arg, const char *text) { (void)arg; (void)text; }

/* 0: as the input has it, aligned as the store and the agent hold it. */
static uint8_t *blob_make(const uint8_t *p, size_t n, size_t *ret_n)
{
	static void *real;
	static size_t real_bytes;
	bool raw = n == 0 || p[0] == 0;
	uint64_t checksum;
	uint8_t *blob;

	if (real == NULL && tariff_compile("tariffs/packs/ganzhou", report, NULL, &real, &real_bytes) != 0)
		abort();
	*ret_n = raw ? n - (n > 0) : real_bytes;
	blob = malloc(*ret_n + 8);
	if (blob == NULL)
		abort();
	if (raw) {
		memcpy(blob, p + 1, *ret_n);
		return blob;
	}
	memcpy(blob, real, real_bytes);
	for (size_t i = 1; i + 2 < n; i += 3)
		blob[((size_t)p[i] << 8 | p[i + 1]) % real_bytes] = p[i + 2];
	checksum = XXH3_64bits(blob + 16, real_bytes - 16);
	memcpy(blob + 8, &checksum, sizeof(checksum));
	return blob;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct tariff *t = NULL;
	uint16_t minute[64];
	size_t bytes;
	uint8_t *blob = blob_make(p, n, &bytes);

	if (tariff_open(blob, bytes, &t) != 0) {
		assert(t == NULL);
		free(blob);
		return 0;
	}
	assert(strlen(tariff_name(t)) < bytes);
	(void)tariff_guest_of(t, 0x02184280);
	(void)tariff_minutes(t, minute, 64);
	rides(t);
	tariff_close(t);
	free(blob);
	return 0;
}
