/* A stream of frames: every message decoder, and the client's conversation fed in pieces. */
#include <assert.h>

#include "validator/validator.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void decode(const struct frame *f)
{
	static struct { struct hello hello; struct welcome welcome; struct receipt receipt; struct refuse refuse; struct get get;
		struct part part; struct busy busy; struct certify certify; struct kerb_ask ask; struct kerb_said said; } m;

	(void)(hello_decode(f, &m.hello) + welcome_decode(f, &m.welcome) + refuse_decode(f, &m.refuse) + get_decode(f, &m.get) +
	       busy_decode(f, &m.busy) + certify_decode(f, &m.certify) + kerb_ask_decode(f, &m.ask) + kerb_said_decode(f, &m.said));
	if (receipt_decode(f, &m.receipt) == 0)
		assert(m.receipt.count <= BATCH_TAPS_MAX);
	if (part_decode(f, &m.part) == 0)
		assert(m.part.p >= f->body && m.part.p + m.part.n <= f->body + f->bytes);
}

static int next(void *arg, const uint8_t **ret_p, size_t *ret_n, uint32_t *ret_file_serial)
{
	(void)arg;
	*ret_p = (const uint8_t *)"\x90";
	*ret_n = 1;
	*ret_file_serial = 1;
	return 1;
}

static void converse(const uint8_t *p, size_t n)
{
	struct uplink_events on = { .next = next };
	struct hello hello = { .protocol = 1, .device = "V" };
	struct uplink *u;

	if (uplink_new(&hello, &on, &u) != 0)
		return;
	uplink_connected(u);
	for (size_t at = 0, step = 1; at < n; at += step, step = step * 2 + 1) {
		const uint8_t *out;
		size_t many = n - at < step ? n - at : step;

		if (uplink_feed(u, p + at, many) != 0)
			break;
		uplink_sent(u, uplink_output(u, &out));
		uplink_retry(u);
	}
	uplink_free(u);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct frame f;
	size_t used, at = 0;

	while (frame_next(p + at, n - at, &f, &used) == 1) {
		assert(used >= FRAME_HEAD_BYTES && used <= n - at && f.body + f.bytes == p + at + used);
		decode(&f);
		at += used;
	}
	converse(p, n);
	return 0;
}
