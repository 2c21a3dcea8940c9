/*
 * batch - taps of one device sealed together: serial range, count, total and digest, so that a receiver
 * can tell a damaged batch from a bad record. Records stay opaque slices: one bad record harms only itself.
 */
#include "validator/cursor.h"

#include <string.h>

#define BATCH_FIELDS 9

int batch_encode(const struct batch *b, uint8_t *out, size_t out_bytes)
{
	struct writer_cursor c = { out, out + out_bytes, 0 };

	if (b->count > BATCH_TAPS_MAX)
		return TAP_E_RANGE;
	put_array(&c, BATCH_FIELDS);
	put_uint(&c, 1);
	put_str(&c, b->device);
	put_uint(&c, b->file_serial);
	put_uint(&c, b->first_serial);
	put_uint(&c, b->last_serial);
	put_uint(&c, b->count);
	put_uint(&c, b->amount_total_fen);
	put_bin(&c, b->digest, DIGEST_BYTES);
	put_array(&c, b->count);
	for (uint32_t i = 0; i < b->count; i++)
		put_bin(&c, b->tap[i].p, b->tap[i].n);
	return c.error != 0 ? c.error : (int)(c.p - out);
}

int batch_decode(const uint8_t *p, size_t n, struct batch *ret_batch)
{
	struct reader_cursor c = { p, p + n, 0 };
	struct batch *b = ret_batch;
	uint32_t fields, taps;

	if (n > BATCH_BYTES_MAX)
		return TAP_E_RANGE;
	fields = cursor_array(&c);
	if (c.error == 0 && fields < BATCH_FIELDS)
		return TAP_E_SYNTAX;
	if (cursor_uint(&c, 255) != 1 && c.error == 0)
		return TAP_E_VERSION;
	cursor_str(&c, b->device, DEVICE_BYTES_MAX);
	b->file_serial = (uint32_t)cursor_uint(&c, UINT32_MAX);
	b->first_serial = (uint32_t)cursor_uint(&c, UINT32_MAX);
	b->last_serial = (uint32_t)cursor_uint(&c, UINT32_MAX);
	b->count = (uint32_t)cursor_uint(&c, UINT32_MAX);
	b->amount_total_fen = cursor_uint(&c, INT64_MAX);
	cursor_bin_exact(&c, b->digest, DIGEST_BYTES);
	taps = cursor_array(&c);
	if (c.error != 0)
		return c.error;
	if (taps > BATCH_TAPS_MAX)
		return TAP_E_RANGE;
	if (taps != b->count)
		return TAP_E_COUNT;
	for (uint32_t i = 0; i < taps; i++)
		b->tap[i].p = cursor_bin(&c, &b->tap[i].n, TAP_ENCODED_BYTES_MAX);
	for (uint32_t i = BATCH_FIELDS; c.error == 0 && i < fields; i++)
		cursor_skip(&c);
	return c.error != 0 ? c.error : c.p == c.end ? 0 : TAP_E_TRAILING;
}

/* First and last serial and amount total over the records that decode; the digest over all bytes. */
static void measure_record(struct batch *ret, const struct tap *tap, bool *first)
{
	if (*first)
		ret->first_serial = tap->terminal_serial;
	*first = false;
	ret->last_serial = tap->terminal_serial;
	ret->amount_total_fen += tap->amount_fen;
}

static void measure_bytes(const struct batch *b, uint8_t ret_digest[DIGEST_BYTES])
{
	struct digest d;

	digest_reset(&d);
	for (uint32_t i = 0; i < b->count; i++)
		digest_add(&d, b->tap[i].p, b->tap[i].n);
	digest_end(&d, ret_digest);
}

static void batch_measure(const struct batch *b, struct batch *ret)
{
	bool first = true;

	measure_bytes(b, ret->digest);
	ret->first_serial = ret->last_serial = 0;
	ret->amount_total_fen = 0;
	for (uint32_t i = 0; i < b->count; i++) {
		const char *field;
		struct tap tap;

		if (tap_read(b->tap[i].p, b->tap[i].n, &tap, &field) == 0)
			measure_record(ret, &tap, &first);
	}
}

int batch_seal(struct batch *b)
{
	if (b->count > BATCH_TAPS_MAX)
		return TAP_E_RANGE;
	batch_measure(b, b);
	return 0;
}

static int batch_compare(const struct batch *b, const struct batch *measured)
{
	if (!mac_equal(measured->digest, b->digest, DIGEST_BYTES))
		return TAP_E_DIGEST;
	if (measured->first_serial != b->first_serial || measured->last_serial != b->last_serial)
		return TAP_E_SERIALS;
	return measured->amount_total_fen == b->amount_total_fen ? 0 : TAP_E_TOTAL;
}

int batch_check(const struct batch *b)
{
	static _Thread_local struct batch measured;

	if (b->count > BATCH_TAPS_MAX)
		return TAP_E_COUNT;
	batch_measure(b, &measured);
	return batch_compare(b, &measured);
}

int batch_check_taps(const struct batch *b, const struct batch_taps *taps)
{
	static _Thread_local struct batch measured;
	bool first = true;

	measured.first_serial = measured.last_serial = 0;
	measured.amount_total_fen = 0;
	measure_bytes(b, measured.digest);
	for (uint32_t i = 0; i < b->count; i++)
		if (taps->good[i])
			measure_record(&measured, &taps->tap[i], &first);
	return batch_compare(b, &measured);
}
