/* Frames, messages there and back, and the client's conversation byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/tap_sample.h"

static uint8_t out[FRAME_BYTES_MAX + 8];

static struct frame frame_of(int n)
{
	struct frame f;
	size_t used;

	assert_true(n > 0);
	assert_int_equal(frame_next(out, (size_t)n, &f, &used), 1);
	assert_int_equal(used, n);
	return f;
}

static void a_frame_needs_all_its_bytes(void **state)
{
	struct frame f;
	size_t used;

	(void)state;
	frame_head(FRAME_PING, 3, out);
	for (size_t n = 0; n < 8; n++)
		assert_int_equal(frame_next(out, n, &f, &used), 0);
	assert_int_equal(frame_next(out, 8, &f, &used), 1);
	assert_int_equal(used, 8);
	assert_int_equal(f.bytes, 3);
}

static void impossible_lengths_and_types_are_refused_at_once(void **state)
{
	struct frame f;
	size_t used;

	(void)state;
	memset(out, 0, 5);
	assert_int_equal(frame_next(out, 4, &f, &used), TAP_E_FRAME);		/* length 0 */
	frame_head(FRAME_BATCH, FRAME_BYTES_MAX, out);
	assert_int_equal(frame_next(out, 4, &f, &used), TAP_E_FRAME);		/* one past the bound */
	frame_head(FRAME_BATCH, FRAME_BYTES_MAX - 1, out);
	assert_int_equal(frame_next(out, 5, &f, &used), 0);
	assert_int_equal(frame_next(out, FRAME_BYTES_MAX + 4, &f, &used), 1);	/* at the bound */
	frame_head(0, 1, out);
	assert_int_equal(frame_next(out, 5, &f, &used), TAP_E_FRAME);
	frame_head(FRAME_SAID + 1, 1, out);
	assert_int_equal(frame_next(out, 5, &f, &used), TAP_E_FRAME);
}

static void messages_there_and_back(void **state)
{
	struct hello hello = { .protocol = 1, .device = "V-00017", .terminal = { 0x42, 0x80 }, .software = "t", .clock_ms = SAMPLE_TIME_MS }, h;
	struct welcome welcome = { .protocol = 1, .clock_ms = -5, .list_version = 7, .tariff_version = 9, .batch_taps_max = 512,
		.renewals = true, .certificate = 77, .deny_version = 11, .asks = true }, w;
	struct get get = { .what = "blacklist", .version = 3, .offset = 70000 }, g;
	struct part part = { .what = "tariff", .version = 3, .offset = 5, .total = 9, .p = (const uint8_t *)"abcd", .n = 4 }, p;
	struct refuse refuse = { .file_serial = 4, .code = TAP_E_DIGEST, .text = "摘要不符", .retry = true }, r;
	struct busy busy = { .retry_ms = 200 }, b;
	struct certify certify = { .p = (const uint8_t *)"PEM", .n = 3 }, c;
	struct frame f;

	(void)state;
	f = frame_of(hello_encode(&hello, out, sizeof(out)));
	assert_int_equal(hello_decode(&f, &h), 0);
	assert_string_equal(h.device, hello.device);
	assert_int_equal(h.clock_ms, hello.clock_ms);
	f = frame_of(welcome_encode(&welcome, out, sizeof(out)));
	assert_int_equal(welcome_decode(&f, &w), 0);
	assert_int_equal(w.deny_version, 11);
	assert_int_equal(w.clock_ms, -5);
	assert_int_equal(w.tariff_version, 9);
	assert_true(w.renewals);
	assert_int_equal(w.certificate, 77);
	assert_true(w.asks);
	out[FRAME_HEAD_BYTES] = 0x98;			/* as a daemon that answers no gates sent it */
	f.bytes--;
	assert_int_equal(welcome_decode(&f, &w), 0);
	assert_int_equal(w.deny_version, 11);
	assert_false(w.asks);
	out[FRAME_HEAD_BYTES] = 0x97;			/* as a daemon before deny lists sent it */
	f.bytes--;
	assert_int_equal(welcome_decode(&f, &w), 0);
	assert_int_equal(w.certificate, 77);
	assert_int_equal(w.deny_version, 0);
	out[FRAME_HEAD_BYTES] = 0x95;			/* as a daemon before renewals sent it: five members */
	f.bytes -= 2;
	assert_int_equal(welcome_decode(&f, &w), 0);
	assert_false(w.renewals);
	assert_int_equal(w.certificate, 0);
	f = frame_of(certify_encode(&certify, out, sizeof(out)));
	assert_int_equal(certify_decode(&f, &c), 0);
	assert_memory_equal(c.p, "PEM", 3);
	f = frame_of(get_encode(&get, out, sizeof(out)));
	assert_int_equal(get_decode(&f, &g), 0);
	assert_int_equal(g.offset, 70000);
	f = frame_of(part_encode(&part, out, sizeof(out)));
	assert_int_equal(part_decode(&f, &p), 0);
	assert_memory_equal(p.p, "abcd", 4);
	f = frame_of(refuse_encode(&refuse, out, sizeof(out)));
	assert_int_equal(refuse_decode(&f, &r), 0);
	assert_string_equal(r.text, refuse.text);
	assert_true(r.retry);
	f = frame_of(busy_encode(&busy, out, sizeof(out)));
	assert_int_equal(busy_decode(&f, &b), 0);
	assert_int_equal(b.retry_ms, 200);
	assert_int_equal(hello_decode(&f, &h), TAP_E_FRAME);		/* another type */
}

static void a_receipt_of_every_size_there_and_back(void **state)
{
	static struct receipt a, b;
	struct frame f;

	(void)state;
	for (uint32_t count = 0; count <= BATCH_TAPS_MAX; count += 64) {
		a = (struct receipt){ .file_serial = 9, .inbox_seq = 1ULL << 40, .accepted = count, .count = count, .repeated = true };
		memset(a.verdict, 3, count);
		f = frame_of(receipt_encode(&a, out, sizeof(out)));
		memset(&b, 0, sizeof(b));
		assert_int_equal(receipt_decode(&f, &b), 0);
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

static void a_message_cut_anywhere_or_with_bytes_after_is_refused(void **state)
{
	struct hello hello = { .protocol = 1, .device = "V-00017", .software = "t", .clock_ms = SAMPLE_TIME_MS }, h;
	int n = hello_encode(&hello, out, sizeof(out));
	struct frame f = frame_of(n);

	(void)state;
	for (uint32_t cut = 0; cut < f.bytes; cut++) {
		uint8_t *exact = malloc(cut + 1);
		struct frame part = { .type = f.type, .body = exact, .bytes = cut };

		memcpy(exact, f.body, cut);
		assert_true(hello_decode(&part, &h) < 0);
		free(exact);
	}
	f.bytes++;
	assert_true(hello_decode(&f, &h) < 0);
	for (int room = 0; room < n; room++)
		assert_int_equal(hello_encode(&hello, out, (size_t)room), TAP_E_SPACE);
}

/* ---- the conversation ---------------------------------------------------------------------------- */

struct owner { unsigned batches, at, welcomes, refused, parts, busy; uint32_t receipts[8]; };

static int owner_next(void *arg, const uint8_t **ret_p, size_t *ret_n, uint32_t *ret_file_serial)
{
	struct owner *o = arg;

	*ret_p = (const uint8_t *)"\x90";
	*ret_n = 1;
	*ret_file_serial = o->at + 1;
	return o->at < o->batches;
}
static void owner_welcome(void *arg, const struct welcome *m) { (void)m; ((struct owner *)arg)->welcomes++; }
static void owner_receipt(void *arg, const struct receipt *m)
{
	struct owner *o = arg;

	o->receipts[o->at++] = m->file_serial;
}
static void owner_refused(void *arg, const struct refuse *m) { (void)m; ((struct owner *)arg)->refused++; }
static void owner_part(void *arg, const struct part *m) { (void)m; ((struct owner *)arg)->parts++; }
static void owner_busy(void *arg, uint32_t retry_ms) { (void)retry_ms; ((struct owner *)arg)->busy++; }

static struct uplink *client(struct owner *o)
{
	struct uplink_events on = { owner_next, owner_welcome, owner_receipt, owner_refused, owner_part, owner_busy, o };
	struct hello hello = { .protocol = 1, .device = "V-00017", .software = "t" };
	struct uplink *u;

	assert_int_equal(uplink_new(&hello, &on, &u), 0);
	return u;
}

/* Takes the frame that waits to go out; its type. */
static unsigned taken(struct uplink *u)
{
	const uint8_t *p;
	size_t n = uplink_output(u, &p), used;
	struct frame f;
	unsigned type;

	if (n == 0)
		return 0;
	assert_int_equal(frame_next(p, n, &f, &used), 1);
	type = f.type;
	uplink_sent(u, used);
	return type;
}

static int answer_welcome(void) { struct welcome m = { .protocol = 1 }; return welcome_encode(&m, out, sizeof(out)); }
static int answer_receipt(uint32_t serial) { struct receipt m = { .file_serial = serial }; return receipt_encode(&m, out, sizeof(out)); }
static int answer_busy(void) { struct busy m = { 5 }; return busy_encode(&m, out, sizeof(out)); }
static int answer_part(void) { struct part m = { .what = "tariff" }; return part_encode(&m, out, sizeof(out)); }
static int answer_refuse(uint32_t serial)
{
	struct refuse m = { .file_serial = serial, .code = TAP_E_DIGEST };

	return refuse_encode(&m, out, sizeof(out));
}

static int fed(struct uplink *u, int n) { return uplink_feed(u, out, (size_t)n); }

static void batches_go_one_at_a_time_each_after_its_receipt(void **state)
{
	struct owner o = { .batches = 3 };
	struct uplink *u = client(&o);

	(void)state;
	uplink_connected(u);
	assert_int_equal(taken(u), FRAME_HELLO);
	assert_int_equal(taken(u), 0);				/* nothing before the welcome */
	assert_int_equal(fed(u, answer_welcome()), 0);
	for (uint32_t serial = 1; serial <= 3; serial++) {
		assert_int_equal(taken(u), FRAME_BATCH);
		assert_int_equal(taken(u), 0);
		assert_int_equal(uplink_state(u), UPLINK_WAITING);
		assert_int_equal(fed(u, answer_receipt(serial)), 0);
		assert_int_equal(o.receipts[serial - 1], serial);
	}
	assert_int_equal(uplink_state(u), UPLINK_IDLE);
	o.batches = 4;
	uplink_retry(u);
	assert_int_equal(taken(u), FRAME_BATCH);
	uplink_free(u);
}

static void an_answer_cut_into_single_bytes_is_understood(void **state)
{
	struct owner o = { .batches = 1 };
	struct uplink *u = client(&o);
	int n;

	(void)state;
	uplink_connected(u);
	taken(u);
	n = answer_welcome();
	for (int i = 0; i < n; i++)
		assert_int_equal(uplink_feed(u, out + i, 1), 0);
	assert_int_equal(o.welcomes, 1);
	assert_int_equal(taken(u), FRAME_BATCH);
	n = answer_receipt(1);
	for (int i = 0; i < n; i++)
		assert_int_equal(uplink_feed(u, out + i, 1), 0);
	assert_int_equal(o.at, 1);
	uplink_free(u);
}

static void an_unanswered_batch_is_sent_again_after_a_reconnect(void **state)
{
	struct owner o = { .batches = 1 };
	struct uplink *u = client(&o);
	int n;

	(void)state;
	for (int round = 0; round < 3; round++) {
		uplink_connected(u);
		assert_int_equal(taken(u), FRAME_HELLO);
		assert_int_equal(fed(u, answer_welcome()), 0);
		assert_int_equal(taken(u), FRAME_BATCH);
		n = answer_receipt(1);
		assert_int_equal(uplink_feed(u, out, (size_t)n - 1), 0);	/* all but its last byte */
		uplink_lost(u);
	}
	assert_int_equal(o.at, 0);
	uplink_free(u);
}

static void busy_waits_for_a_retry(void **state)
{
	struct owner o = { .batches = 1 };
	struct uplink *u = client(&o);

	(void)state;
	uplink_connected(u);
	taken(u);
	assert_int_equal(fed(u, answer_welcome()), 0);
	taken(u);
	assert_int_equal(fed(u, answer_busy()), 0);
	assert_int_equal(uplink_state(u), UPLINK_BUSY);
	assert_int_equal(taken(u), 0);
	uplink_retry(u);
	assert_int_equal(taken(u), FRAME_BATCH);
	assert_int_equal(o.busy, 1);
	uplink_free(u);
}

static void a_refused_batch_is_kept_and_a_refused_get_leaves_it_waiting(void **state)
{
	struct owner o = { .batches = 1 };
	struct uplink *u = client(&o);

	(void)state;
	uplink_connected(u);
	taken(u);
	assert_int_equal(fed(u, answer_welcome()), 0);
	taken(u);
	uplink_ask(u, "tariff", 1, 0);
	assert_int_equal(taken(u), FRAME_GET);
	assert_int_equal(fed(u, answer_refuse(0)), 0);
	assert_int_equal(uplink_state(u), UPLINK_WAITING);
	assert_int_equal(fed(u, answer_refuse(1)), 0);
	assert_int_equal(uplink_state(u), UPLINK_IDLE);
	assert_int_equal(o.refused, 2);
	uplink_retry(u);
	assert_int_equal(taken(u), FRAME_BATCH);
	uplink_free(u);
}

static void answers_nobody_asked_for_break_the_connection(void **state)
{
	struct owner o = { .batches = 1 };
	struct uplink *u = client(&o);
	static const uint8_t garbage[] = { 0, 0, 0, 0, 0 };

	(void)state;
	uplink_connected(u);
	assert_true(fed(u, answer_receipt(1)) < 0);		/* before any batch */
	uplink_connected(u);
	assert_int_equal(fed(u, answer_welcome()), 0);
	assert_true(fed(u, answer_receipt(2)) < 0);		/* of another batch */
	uplink_connected(u);
	assert_true(fed(u, answer_part()) < 0);
	uplink_connected(u);
	uplink_ask(u, "tariff", 1, 0);
	assert_int_equal(fed(u, answer_part()), 0);
	assert_int_equal(o.parts, 1);
	uplink_connected(u);
	assert_true(uplink_feed(u, garbage, sizeof(garbage)) < 0);
	assert_int_equal(o.at, 0);
	uplink_free(u);
}

static void a_ping_is_an_empty_array(void **state)
{
	struct owner o = { 0 };
	struct uplink *u = client(&o);

	(void)state;
	uplink_ping(u);
	assert_int_equal(taken(u), FRAME_PING);
	frame_head(FRAME_PONG, 1, out);
	out[5] = 0x90;
	assert_int_equal(uplink_feed(u, out, 6), 0);
	uplink_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_needs_all_its_bytes),
		cmocka_unit_test(impossible_lengths_and_types_are_refused_at_once),
		cmocka_unit_test(messages_there_and_back),
		cmocka_unit_test(a_receipt_of_every_size_there_and_back),
		cmocka_unit_test(a_message_cut_anywhere_or_with_bytes_after_is_refused),
		cmocka_unit_test(batches_go_one_at_a_time_each_after_its_receipt),
		cmocka_unit_test(an_answer_cut_into_single_bytes_is_understood),
		cmocka_unit_test(an_unanswered_batch_is_sent_again_after_a_reconnect),
		cmocka_unit_test(busy_waits_for_a_retry),
		cmocka_unit_test(a_refused_batch_is_kept_and_a_refused_get_leaves_it_waiting),
		cmocka_unit_test(answers_nobody_asked_for_break_the_connection),
		cmocka_unit_test(a_ping_is_an_empty_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
