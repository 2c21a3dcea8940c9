/* libqfval through its public header: a tap from gate to receipt without memory, and what it refuses. The allocator is ours
 * here and counts; what the reader and the PSAM of a terminal do is theirs and does not count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "validator/qfval.h"
#include "tests/unit/tap_sample.h"

static volatile size_t allocations;	/* the compiler believes that malloc reads none of ours */
static volatile bool counting;

#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n)
{
	allocations += counting;
	return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
	allocations += counting;
	return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
	allocations += counting;
	return __libc_realloc(p, n);
}
void *__libc_memalign(size_t alignment, size_t n);
void *aligned_alloc(size_t alignment, size_t n)
{
	allocations += counting;
	return __libc_memalign(alignment, n);
}
#endif

static const uint8_t terminal[6] = { 0x42, 0x80, 0, 0, 0, 0x17 };
static char dir[64];
static struct keyring *ring;
static struct soft_psam *psam;
static struct soft_card *card;
static void *blob;
static size_t blob_bytes;

static int transmit(void *arg, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct reader *r = arg;
	bool before = counting;
	int got;

	counting = false;
	got = r->transmit(r, apdu, n, ret, ret_bytes);
	counting = before;
	return got;
}

static void fault(void *arg, const char *text)
{
	(void)arg;
	print_error("%s\n", text);
}

static int setup(void **state)
{
	struct card_info info = { .issuer = { 0x02, 0x18, 0x42, 0x80 }, .app_type = 2, .app_version = 1, .pan = { 0x03, 0x10, 0x47, 0x30, 0x15, 0, 0, 0, 0, 0x17 },
				  .start = day_of_civil(2020, 1, 1), .expiry = day_of_civil(2040, 12, 31), .city = 0x4280, .interop = 1, .card_class = 1 };

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_qfval.%d", (int)getpid());
	assert_int_equal(keyring_new(&ring), 0);
	for (int purpose = KEY_PURCHASE; purpose <= KEY_TAC; purpose++) {
		struct key_entry e = { .purpose = (enum key_purpose)purpose, .alg = KEY_ALG_3DES, .issuer = { 0x02, 0x18, 0x42, 0x80 }, .version = 1, .levels = 2, .valid_to_ms = INT64_MAX };
		uint8_t key[KEY_BYTES];

		memset(key, purpose * 16 + 1, sizeof(key));
		assert_int_equal(keyring_add(ring, &e, key), 0);
	}
	assert_int_equal(soft_psam_new(ring, terminal, 100, &psam), 0);
	assert_int_equal(soft_card_new(ring, &info, 1, 0, 50000, 7, &card), 0);
	return tariff_compile("tariffs/packs/ganzhou", fault, NULL, &blob, &blob_bytes);
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	soft_card_free(card);
	soft_psam_free(psam);
	keyring_free(ring);
	free(blob);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) == 0 ? 0 : -1;
}

static void *memory(size_t n)
{
	void *p = malloc(n);

	assert_non_null(p);
	memset(p, 0xA5, n);		/* init leaves nothing to chance */
	return p;
}

/* ---- the day ------------------------------------------------------------------------------------------------ */

#define DAY_TAPS 400			/* one every two and a half minutes from six in the morning */
#define DAY_CARDS 20
#define DAY_START_MS (SAMPLE_TIME_MS - 4530000)

static const char black_list[] = "# version 5\n3104730150000000300\n3104730150000000017\n3104730150000000100,3104730150000000199\n";
static struct soft_card *rider[DAY_CARDS];

struct day {
	struct qfv_spool *spool;
	struct qfv_download *download;
	struct qfv_uplink *uplink;
	struct qfv_gate *gate;
	struct qfv_tariff *tariff;
	struct qfv_blacklist *list;
	void *list_memory;
	uint8_t batch[QFV_BATCH_BYTES_MAX], list_bytes[256];
	uint32_t taps, made, list_version;
	unsigned receipts;
};
struct centre { uint32_t taps, file_serial; unsigned silent; };	/* silent: so many batches are not answered */

static int on_next(void *arg, const uint8_t **ret_p, size_t *ret_n, uint32_t *ret_file_serial)
{
	struct day *d = arg;
	int n = qfv_spool_next(d->spool, "V-00017", 16, d->batch, sizeof(d->batch), ret_file_serial, &d->taps);

	assert_true(n >= 0);
	*ret_p = d->batch;
	*ret_n = (size_t)n;
	return n > 0;
}

static void on_welcome(void *arg, const struct qfv_welcome *m)
{
	struct day *d = arg;

	if (m->list_version != d->list_version)
		assert_int_equal(qfv_download_start(d->download, d->uplink, m->list_version), 0);
}

static void on_part(void *arg, const struct qfv_part *m)
{
	struct day *d = arg;
	size_t n;
	int ret = qfv_download_part(d->download, d->uplink, m, &n);

	assert_true(ret >= 0);
	if (ret == 0)
		return;
	assert_int_equal(qfv_blacklist_init(d->list_memory, qfv_blacklist_size(8), (const char *)d->list_bytes, n, NULL, 0, &d->list), 0);
	assert_int_equal(qfv_gate_lists(d->gate, d->tariff, d->list), 0);
	d->list_version = qfv_download_version(d->download);
}

static void on_receipt(void *arg, const struct qfv_receipt *m)
{
	struct day *d = arg;

	assert_int_equal(m->count, d->taps);
	assert_int_equal(qfv_spool_release(d->spool, m->file_serial), 0);
	d->receipts++;
}

/* The daemon's side, with the daemon's decoder: whatever was sent is sound; 0: no answer. */
static int answer(struct centre *c, const struct frame *f, uint8_t *out, size_t space)
{
	static struct batch b;
	struct welcome w = { .protocol = 1, .clock_ms = SAMPLE_TIME_MS, .batch_taps_max = 512, .list_version = 5 };
	struct part m = { .what = "blacklist", .version = 5, .total = sizeof(black_list) - 1 };
	struct receipt r = { 0 };
	struct get g;

	if (f->type == FRAME_HELLO)
		return welcome_encode(&w, out, space);
	if (f->type == FRAME_GET) {
		assert_int_equal(get_decode(f, &g), 0);
		m.offset = g.offset;
		m.p = (const uint8_t *)black_list + g.offset;
		m.n = m.total - g.offset < 30 ? m.total - g.offset : 30;
		return part_encode(&m, out, space);
	}
	assert_int_equal(f->type, FRAME_BATCH);
	assert_int_equal(batch_decode(f->body, f->bytes, &b), 0);
	assert_int_equal(batch_check(&b), 0);
	assert_string_equal(b.device, "V-00017");
	if (c->silent > 0) {
		c->silent--;
		return 0;
	}
	assert_true(b.file_serial > c->file_serial);
	c->file_serial = b.file_serial;
	c->taps += b.count;
	r = (struct receipt){ .file_serial = b.file_serial, .accepted = b.count, .count = b.count };
	return receipt_encode(&r, out, space);
}

/* Everything that is to go out is answered, a byte at a time: a frame counts when it is whole. */
static void centre_turn(struct day *d, struct centre *c)
{
	static uint8_t in[QFV_BATCH_BYTES_MAX + 8192], out[4096];
	const uint8_t *p;
	size_t n = qfv_uplink_output(d->uplink, &p), at = 0, used;
	struct frame f;

	assert_true(n <= sizeof(in));
	memcpy(in, p, n);
	qfv_uplink_sent(d->uplink, n);
	while (at < n) {
		int length;

		assert_int_equal(frame_next(in + at, n - at, &f, &used), 1);
		at += used;
		length = answer(c, &f, out, sizeof(out));
		assert_true(length >= 0);
		for (int i = 0; i < length; i++)
			assert_int_equal(qfv_uplink_feed(d->uplink, out + i, 1), 0);
	}
}

/* A connection that is lost before the first answer to a batch, and one that brings all there is. */
static void upload(struct day *d, struct centre *c)
{
	const uint8_t *p;

	c->silent = 1;
	for (int i = 0; i < 100; i++) {
		if (qfv_uplink_state(d->uplink) == QFV_UPLINK_NEW)
			qfv_uplink_connected(d->uplink, SAMPLE_TIME_MS);
		centre_turn(d, c);
		if (qfv_uplink_output(d->uplink, &p) > 0)
			continue;
		if (qfv_uplink_state(d->uplink) == QFV_UPLINK_IDLE)
			break;
		if (qfv_uplink_state(d->uplink) == QFV_UPLINK_WAITING)
			qfv_uplink_lost(d->uplink);
	}
	qfv_uplink_ping(d->uplink);
	assert_int_equal(qfv_spool_waiting(d->spool), 0);
	qfv_uplink_lost(d->uplink);
}

static void keep(struct day *d, const struct qfv_tap *t)
{
	uint8_t record[QFV_TAP_BYTES_MAX];
	int n = qfv_tap_encode(t, record, sizeof(record));

	assert_true(n > 0);
	assert_int_equal(qfv_spool_append(d->spool, record, (size_t)n), 0);
	d->made++;
}

static void event(struct day *d, int kind, int64_t now_ms, struct qfv_tap *t)
{
	assert_int_equal(qfv_gate_event(d->gate, kind, (uint32_t)(now_ms / 1000), now_ms, t), 0);
	keep(d, t);
}

/* Tap i; every eleventh is torn at the debit and comes back. The answer of the last presentation. */
static int ride(struct day *d, int i, int64_t now_ms)
{
	struct soft_card *c = rider[i % DAY_CARDS];
	bool torn = i % 11 == 5, before = counting;
	unsigned count;
	int got;

	for (int turn = torn ? 0 : 1; turn < 2; turn++) {
		counting = false;
		soft_card_tear_after(c, turn == 0 ? 7 : 0);
		counting = before;
		got = qfv_gate_tap(d->gate, transmit, soft_card_reader(c), now_ms + turn * 400, &count);
		for (unsigned k = 0; k < count; k++)
			keep(d, qfv_gate_record(d->gate, k));
		assert_null(qfv_gate_record(d->gate, count));
		assert_int_equal(got, turn == 0 ? QFV_TAP_AGAIN : QFV_GO);
	}
	return got;
}

static void riders_new(void)
{
	struct card_info info = { .issuer = { 0x02, 0x18, 0x42, 0x80 }, .app_type = 2, .app_version = 1, .pan = { 0x03, 0x10, 0x47, 0x30, 0x15, 0, 0, 0, 0x05 },
				  .start = day_of_civil(2020, 1, 1), .expiry = day_of_civil(2040, 12, 31), .city = 0x4280, .interop = 1, .card_class = 1 };

	for (uint8_t i = 0; i < DAY_CARDS; i++) {
		info.pan[9] = (uint8_t)(i / 10 << 4 | i % 10);
		assert_int_equal(soft_card_new(ring, &info, 1, 0, 50000, 100u + i, &rider[i]), 0);
	}
}

static void a_service_day_from_gate_to_receipt_takes_no_memory(void **state)
{
	static struct day d;
	struct qfv_uplink_events on = { .size = sizeof(on), .next = on_next, .welcome = on_welcome, .receipt = on_receipt, .part = on_part, .arg = &d };
	struct qfv_place place = { .size = sizeof(place), .operator_id = 101, .city = 0x4280, .stop = 1, .acquirer = { 0x12, 0x18, 0x42, 0x80 }, .line = "1", .vehicle = "赣B12345" };
	void *mem[8] = { memory(qfv_tariff_size()), memory(qfv_gate_size()), memory(qfv_spool_size()), memory(qfv_uplink_size()), memory(qfv_download_size()),
			 memory(qfv_tap_size()), memory(qfv_blacklist_size(8)), memory(qfv_tariff_size()) };
	struct centre c = { 0 };
	struct qfv_slice slice;
	struct qfv_tap *t;
	unsigned count;
	int n;

	(void)state;
	riders_new();
	d.list_memory = mem[6];
	allocations = 0;
	counting = true;
	assert_int_equal(qfv_tap_init(mem[5], qfv_tap_size(), &t), 0);
	assert_int_equal(qfv_tariff_init(mem[0], qfv_tariff_size(), blob, blob_bytes, &d.tariff), 0);
	assert_int_equal(qfv_gate_init(mem[1], qfv_gate_size(), transmit, soft_psam_reader(psam), &d.gate), 0);
	assert_int_equal(qfv_gate_tap(d.gate, transmit, soft_card_reader(card), DAY_START_MS, &count), QFV_E_ARGUMENT);
	assert_int_equal(qfv_gate_event(d.gate, QFV_KIND_SIGN_ON, 1, DAY_START_MS, t), QFV_E_ARGUMENT);
	assert_int_equal(qfv_gate_place(d.gate, &place), 0);
	assert_int_equal(qfv_spool_init(mem[2], qfv_spool_size(), dir, 1, &d.spool), 0);
	assert_int_equal(qfv_download_init(mem[4], qfv_download_size(), "blacklist", d.list_bytes, sizeof(d.list_bytes), &d.download), 0);
	assert_int_equal(qfv_uplink_init(mem[3], qfv_uplink_size(), "V-00017", terminal, "test", &on, &d.uplink), 0);
	event(&d, QFV_KIND_SIGN_ON, DAY_START_MS, t);	/* before there is any tariff */
	assert_int_equal(qfv_gate_lists(d.gate, d.tariff, NULL), 0);
	for (int i = 0; i < DAY_TAPS; i++) {
		int64_t now_ms = DAY_START_MS + (i + 1) * 150000LL;

		ride(&d, i, now_ms);
		if (i == DAY_TAPS / 2) {		/* the terminal starts again, and a new tariff comes into force */
			qfv_spool_done(d.spool);
			assert_int_equal(qfv_spool_init(mem[2], qfv_spool_size(), dir, 1, &d.spool), 0);
			assert_int_equal(qfv_tariff_init(mem[7], qfv_tariff_size(), blob, blob_bytes, &d.tariff), 0);
			assert_int_equal(qfv_gate_lists(d.gate, d.tariff, d.list), 0);
		}
		if (i % 100 == 99)
			upload(&d, &c);
	}
	assert_int_equal(qfv_gate_tap(d.gate, transmit, soft_card_reader(card), DAY_START_MS + 61000000, &count), QFV_BLACKLISTED);
	event(&d, QFV_KIND_SIGN_OFF, DAY_START_MS + 62000000, t);
	n = qfv_tap_encode(t, d.batch, sizeof(d.batch));
	assert_true(n > 0);
	slice = (struct qfv_slice){ d.batch, (size_t)n };
	assert_true(qfv_batch_seal("V-00017", 9, &slice, 1, d.batch + 1024, sizeof(d.batch) - 1024) > n);
	upload(&d, &c);
	qfv_spool_done(d.spool);
	counting = false;
	assert_int_equal(allocations, 0);
	assert_int_equal(c.taps, d.made);		/* each record once, whatever was lost on the way */
	assert_true(d.made >= DAY_TAPS + DAY_TAPS / 11 + 2);
	assert_int_equal(d.list_version, 5);
	for (size_t i = 0; i < 8; i++)
		free(mem[i]);
	for (size_t i = 0; i < DAY_CARDS; i++)
		soft_card_free(rider[i]);
}

#ifndef __SANITIZE_ADDRESS__
static void the_counter_counts(void **state)
{
	size_t before = allocations;
	void *volatile p;

	(void)state;
	counting = true;
	p = malloc(1);
	counting = false;
	free(p);
	assert_int_equal(allocations, before + 1);
}
#endif

/* ---- what it refuses ------------------------------------------------------------------------------------------- */

static void memory_that_is_small_or_odd_is_refused(void **state)
{
	size_t n = qfv_gate_size();
	uint8_t *p = memory(n + 16);
	struct qfv_gate *g = NULL;

	(void)state;
	assert_int_equal(qfv_gate_init(NULL, n, transmit, soft_psam_reader(psam), &g), QFV_E_MEMORY);
	assert_int_equal(qfv_gate_init(p, n - 1, transmit, soft_psam_reader(psam), &g), QFV_E_MEMORY);
	assert_int_equal(qfv_gate_init(p + 1, n, transmit, soft_psam_reader(psam), &g), QFV_E_MEMORY);
	assert_null(g);
	assert_int_equal(qfv_gate_init(p, n, transmit, soft_psam_reader(psam), &g), 0);
	free(p);
}

/* size is what the terminal's own header said: one of 1.0 has no "inside" and one of 1.1 no "ride", whatever lies behind. */
static void a_place_of_an_older_header_is_taken_and_tells_no_paid_area_and_no_end_of_a_ride(void **state)
{
	size_t sizes[] = { offsetof(struct qfv_place, inside), offsetof(struct qfv_place, ride), sizeof(struct qfv_place) };
	void *lists = memory(qfv_tariff_size()), *at = memory(qfv_gate_size());
	struct qfv_tariff *tariff;

	(void)state;
	assert_int_equal(qfv_tariff_init(lists, qfv_tariff_size(), blob, blob_bytes, &tariff), 0);
	for (size_t i = 0; i < 3; i++) {
		struct qfv_place place = { .size = (uint32_t)sizes[i], .acquirer = { 0x12, 0x18, 0x42, 0x80 }, .line = "1", .vehicle = "", .inside = 1, .ride = 1 };
		struct qfv_gate *gate;
		unsigned count;
		int64_t flags, kind;

		assert_int_equal(qfv_gate_init(at, qfv_gate_size(), transmit, soft_psam_reader(psam), &gate), 0);
		assert_int_equal(qfv_gate_place(gate, &place), 0);
		assert_int_equal(qfv_gate_lists(gate, tariff, NULL), 0);
		assert_int_equal(qfv_gate_tap(gate, transmit, soft_card_reader(card), SAMPLE_TIME_MS + 86400000LL * (int64_t)i, &count), QFV_GO);
		assert_int_equal(qfv_tap_number(qfv_gate_record(gate, 0), QFV_TAP_FLAGS, &flags), 0);
		assert_int_equal(flags & QFV_FLAG_INSIDE, i == 0 ? 0 : QFV_FLAG_INSIDE);
		assert_int_equal(qfv_tap_number(qfv_gate_record(gate, 0), QFV_TAP_KIND, &kind), 0);
		assert_int_equal(kind, i == 2 ? QFV_KIND_BOARD : QFV_KIND_PURCHASE);
		place.size = sizeof(place);
		place.ride = 3;
		assert_int_equal(qfv_gate_place(gate, &place), QFV_E_RANGE);
	}
	free(at);
	free(lists);
}

static void a_field_is_reached_by_its_number_and_kind(void **state)
{
	struct qfv_tap *t;
	void *mem = memory(qfv_tap_size());
	uint8_t out[QFV_TAP_BYTES_MAX];
	const char *text;
	int64_t v;

	(void)state;
	assert_string_equal(qfv_tap_field_name(QFV_TAP_AMOUNT_FEN), "amount_fen");
	assert_string_equal(qfv_tap_field_name(QFV_TAP_TIME_MS), "time_ms");
	assert_string_equal(qfv_tap_field_name(QFV_TAP_ACCEPT_CITY), "accept_city");
	assert_string_equal(qfv_tap_field_name(QFV_TAP_SERIES), "series");
	assert_null(qfv_tap_field_name(qfv_tap_field_count()));
	assert_null(qfv_tap_field_name(-1));
	assert_int_equal(qfv_tap_init(mem, qfv_tap_size(), &t), 0);
	assert_int_equal(qfv_tap_set_number(t, QFV_TAP_MEDIUM, 15), 0);
	assert_int_equal(qfv_tap_set_number(t, QFV_TAP_MEDIUM, 16), QFV_E_RANGE);
	assert_int_equal(qfv_tap_set_number(t, QFV_TAP_MEDIUM, 0), 0);
	assert_int_equal(qfv_tap_set_number(t, QFV_TAP_PAN, 1), QFV_E_ARGUMENT);
	assert_int_equal(qfv_tap_set_bytes(t, QFV_TAP_TERMINAL, terminal, 5), QFV_E_RANGE);
	assert_int_equal(qfv_tap_set_bytes(t, QFV_TAP_TERMINAL, terminal, 6), 0);
	assert_int_equal(qfv_tap_set_text(t, QFV_TAP_VEHICLE, "0123456789abcde"), 0);
	assert_int_equal(qfv_tap_set_text(t, QFV_TAP_VEHICLE, "0123456789abcdef"), QFV_E_RANGE);
	assert_int_equal(qfv_tap_set_number(t, QFV_TAP_KIND, TAP_SIGN_ON), 0);
	assert_int_equal(qfv_tap_set_number(t, QFV_TAP_TIME_MS, SAMPLE_TIME_MS), 0);
	int n = qfv_tap_encode(t, out, sizeof(out));
	assert_true(n > 0);
	assert_int_equal(qfv_tap_encode(t, out, (size_t)n - 1), QFV_E_SPACE);
	n = qfv_tap_encode(t, out, sizeof(out));
	assert_int_equal(qfv_tap_decode(t, out, (size_t)n), 0);
	assert_int_equal(qfv_tap_decode(t, out, (size_t)n - 1), QFV_E_TRUNCATED);
	assert_int_equal(qfv_tap_number(t, QFV_TAP_TIME_MS, &v), 0);
	assert_int_equal(v, SAMPLE_TIME_MS);
	assert_int_equal(qfv_tap_text(t, QFV_TAP_VEHICLE, &text), 0);
	assert_string_equal(text, "0123456789abcde");
	free(mem);
}

static void a_list_that_does_not_fit_or_is_wrong_is_refused(void **state)
{
	static const char text[] = "3104730150000000300\n3104730150000000017\n3104730150000000100,3104730150000000199\n";
	static const uint8_t on[10] = { 0x03, 0x10, 0x47, 0x30, 0x15, 0, 0, 0, 0x01, 0x50 }, off[10] = { 0x03, 0x10, 0x47, 0x30, 0x15, 0, 0, 0, 0x02, 0 };
	size_t n = qfv_blacklist_size(3);
	struct qfv_blacklist *l;
	void *mem = memory(n);
	char reason[160];

	(void)state;
	assert_int_equal(qfv_blacklist_init(mem, qfv_blacklist_size(2), text, strlen(text), reason, sizeof(reason), &l), QFV_E_FULL);
	assert_int_equal(qfv_blacklist_init(mem, n, "12x\n", 4, reason, sizeof(reason), &l), QFV_E_SYNTAX);
	assert_non_null(strstr(reason, "blacklist:1:1:"));
	counting = true;
	assert_int_equal(qfv_blacklist_init(mem, n, text, strlen(text), NULL, 0, &l), 0);
	counting = false;
	assert_int_equal(qfv_blacklist_has(l, on), 1);
	assert_int_equal(qfv_blacklist_has(l, off), 0);
	free(mem);
}

static void an_impossible_frame_ends_the_conversation(void **state)
{
	struct qfv_uplink_events on = { .size = sizeof(on), .next = on_next };
	void *mem = memory(qfv_uplink_size());
	static uint8_t zeros[FRAME_BYTES_MAX + 16];
	struct qfv_uplink *u;

	(void)state;
	assert_int_equal(qfv_uplink_init(mem, qfv_uplink_size(), "a-name-of-16-byt", terminal, "test", &on, &u), QFV_E_RANGE);
	on.size = 8;
	assert_int_equal(qfv_uplink_init(mem, qfv_uplink_size(), "V-1", terminal, "test", &on, &u), QFV_E_ARGUMENT);
	on.size = sizeof(on);
	assert_int_equal(qfv_uplink_init(mem, qfv_uplink_size(), "V-1", terminal, "test", &on, &u), 0);
	qfv_uplink_connected(u, 0);
	assert_int_equal(qfv_uplink_feed(u, zeros, sizeof(zeros)), QFV_E_FRAME);
	free(mem);
}

static void every_error_and_answer_has_its_text(void **state)
{
	(void)state;
	for (int e = QFV_E_TRUNCATED; e >= QFV_E_SPOOL; e--)
		assert_string_not_equal(qfv_strerror(e), "an error of a later version");
	for (int e = QFV_E_MEMORY; e >= QFV_E_CRYPTO; e--)
		assert_string_not_equal(qfv_strerror(e), "an error of a later version");
	assert_string_equal(qfv_strerror(-1), "an error of a later version");
	assert_string_equal(qfv_answer_name(QFV_CARD_ERROR), "card-error");
	assert_string_equal(qfv_answer_name(-1), "?");
	assert_int_equal(qfv_version(), 1002);
	assert_string_equal(qfv_version_text(), "1.2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_day_from_gate_to_receipt_takes_no_memory),
		cmocka_unit_test(a_place_of_an_older_header_is_taken_and_tells_no_paid_area_and_no_end_of_a_ride),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(the_counter_counts),
#endif
		cmocka_unit_test(memory_that_is_small_or_odd_is_refused),
		cmocka_unit_test(a_field_is_reached_by_its_number_and_kind),
		cmocka_unit_test(a_list_that_does_not_fit_or_is_wrong_is_refused),
		cmocka_unit_test(an_impossible_frame_ends_the_conversation),
		cmocka_unit_test(every_error_and_answer_has_its_text),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
