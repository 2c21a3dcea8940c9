/*
 * A T-Union card that answers with anything, at a gate with a good PSAM, or with one that answers with anything too (first
 * bit of the first byte). The input is answers, each after its length of two bytes, in the order they are asked for. The gate
 * ends every tap with a word for the rider; a record it makes is one that the centre can read.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "validator/validator.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct answers { struct reader reader; const uint8_t *p, *end; };

static int transmit(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct answers *a = (struct answers *)(void *)r;
	size_t bytes;

	(void)apdu;
	assert(n >= 4 && n <= 261);
	if (a->end - a->p < 2)
		return -5;
	bytes = (size_t)a->p[0] << 8 | a->p[1];
	a->p += 2;
	if (bytes > (size_t)(a->end - a->p))
		bytes = (size_t)(a->end - a->p);
	if (bytes > ret_bytes)
		bytes = ret_bytes;
	memcpy(ret, a->p, bytes);
	a->p += bytes;
	return (int)bytes;
}

static void report(void *arg, const char *text) { (void)arg; (void)text; }

static struct keyring *ring;
static struct tariff *tariff;

static void world_make(void)
{
	static const uint8_t key[KEY_BYTES] = { 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F };
	struct key_entry e = { .purpose = KEY_PURCHASE, .issuer = { 0x02, 0x18, 0x42, 0x80 }, .version = 1, .levels = 2, .valid_to_ms = INT64_MAX };
	void *blob;
	size_t n;

	if (ring != NULL)
		return;
	if (keyring_new(&ring) != 0 || keyring_add(ring, &e, key) != 0 || tariff_compile("tariffs/packs/ganzhou", report, NULL, &blob, &n) != 0 ||
	    tariff_open(blob, n, &tariff) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t terminal[6] = { 0x42, 0x80, 0, 0, 0, 0x17 };
	struct gate_setting setting = { .operator_id = 101, .line = "1", .vehicle = "B12345", .stop = 1, .acquirer = { 0x12, 0x18, 0x42, 0x80 }, .city = 0x4280 };
	struct answers card = { .reader.transmit = transmit };
	struct soft_psam *psam;
	struct gate *gate;
	bool both;

	world_make();
	if (n == 0 || soft_psam_new(ring, terminal, 100, &psam) != 0)
		return 0;
	both = (p[0] & 1) != 0;
	card.p = p + 1;
	card.end = p + n;
	setting.tariff = tariff;
	if (gate_new(both ? &card.reader : soft_psam_reader(psam), &gate) == 0) {
		for (int i = 0; i < 2; i++) {	/* a torn tap, and the card again */
			struct tap taps[2], back;
			uint8_t bytes[TAP_ENCODED_BYTES_MAX];
			const char *field;
			unsigned count = 9;
			enum gate_answer a = gate_tap(gate, &card.reader, &setting, 1762125330000LL + i * 2000, taps, &count);

			assert((unsigned)a < GATE_ANSWER_COUNT && count <= 2 && (a != GATE_GO || count > 0));
			for (unsigned k = 0; k < count; k++) {
				int used = tap_encode(&taps[k], bytes, sizeof(bytes));

				assert(used > 0 && tap_decode(bytes, (size_t)used, &back, &field) == 0);
			}
		}
		gate_free(gate);
	}
	soft_psam_free(psam);
	return 0;
}
