/* Packed days: fewer bytes, and otherwise the same store; killed in the middle, damaged, late, waiting or asked about. */
#include "tests/unit/house.h"

#include <signal.h>
#include <sys/wait.h>

#define TAPS 400

static void seq_of_last(struct house *h, uint64_t *ret)
{
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	*ret = inbox_last(&t);
	txn_abort(&t);
}

static void batch_add(struct txn *t, const struct tap *tap, const char *device, enum key_check check)
{
	static uint8_t record[TAP_ENCODED_BYTES_MAX], out[BATCH_BYTES_MAX];
	struct batch b = { .file_serial = ++serials, .count = 1 };
	uint8_t head[EVENT_BATCH_HEAD_BYTES + 2] = { [21] = 1, [22] = (uint8_t)check };
	int n = tap_encode(tap, record, sizeof(record));

	assert_true(n > 0);
	snprintf(b.device, sizeof(b.device), "%s", device);
	memcpy(head, b.device, sizeof(b.device));
	be32_put(head + 16, b.file_serial);
	b.tap[0].p = record;
	b.tap[0].n = (uint32_t)n;
	assert_int_equal(batch_seal(&b), 0);
	n = batch_encode(&b, out, sizeof(out));
	assert_true(n > 0);
	inbox_append(t, EVENT_BATCH, tap->time_ms, (const void *[]){ head, out }, (const size_t[]){ sizeof(head), (size_t)n }, 2);
}

/* Taps of ninety cards over a day, from three devices, each in a batch of its own; every eleventh comes twice. */
static void day_fill(struct house *h, unsigned taps)
{
	static const char *const device[] = { "V-1", "V-2", "V-3" };
	struct txn txn;

	assert_int_equal(txn_begin(h->store, true, &txn), 0);
	for (unsigned i = 0; i < taps; i++) {
		struct tap t = tap_at(1 + i * 7 % 89, h->open, 360 + (int)(i * 900 / taps), i % 3 == 0 ? "A" : i % 3 == 1 ? "B" : "K", i % 5 == 0 ? 200 : 300);

		be32_put(t.tac, i * 2654435761u);
		batch_add(&txn, &t, device[i % 3], i % 50 == 7 ? KEY_CHECK_BAD : KEY_CHECK_GOOD);
		if (i % 11 == 0)
			batch_add(&txn, &t, "V-1", KEY_CHECK_GOOD);
	}
	assert_int_equal(txn_commit(&txn), 0);
}

/* Everything the store says of its days and inbox, one SHA-256. */
static void store_digest(struct house *h, uint8_t ret[DIGEST_BYTES])
{
	struct inbox_iter it;
	struct digest *d;
	struct event e;
	char *text = NULL;
	size_t n = 0;
	struct txn t;
	FILE *f = open_memstream(&text, &n);

	assert_int_equal(dump_canonical(h->store, DAY_NONE, f), 0);
	fclose(f);
	assert_int_equal(digest_new(&d), 0);
	digest_add(d, text, n);
	free(text);
	assert_int_equal(txn_begin(h->store, false, &t), 0);
	inbox_open(&t, 1, UINT64_MAX, &it);
	while (inbox_next(&it, &e)) {
		const uint64_t head[3] = { e.seq, e.type, (uint64_t)e.received_ms };

		digest_add(d, head, sizeof(head));
		digest_add(d, e.body, e.bytes);
	}
	inbox_close(&it);
	assert_int_equal(t.error, 0);
	txn_abort(&t);
	digest_end(d, ret);
	digest_free(d);
}

static struct packed packed_of(struct house *h, int32_t day)
{
	struct packed p = { 0 };
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	day_packed(&t, day, &p);
	txn_abort(&t);
	return p;
}

static char *explained(struct house *h, const struct tap *tap, bool json)
{
	uint8_t id[TAP_KEY_BYTES];
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	tap_key(tap, id);
	assert_int_equal(explain_tap(h->store, id, json, f), 0);
	fclose(f);
	return text;
}

static void test_a_packed_day_says_the_same_byte_for_byte_is_cleared_again_to_the_same_and_is_smaller(void **state)
{
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
	struct packed p;
	struct house h;
	char *said[2], *again[2];
	struct tap late;

	(void)state;
	house_open(&h);
	late = tap_at(5, h.open, 700, "A", 200);
	tap_send(&h, &late);
	day_fill(&h, TAPS);
	day_end(&h);
	days_end(&h, DAY0 + 1);
	store_digest(&h, before);
	said[0] = explained(&h, &late, false);
	said[1] = explained(&h, &late, true);
	day_pack_small(&h, DAY0);
	store_digest(&h, after);
	assert_memory_equal(before, after, DIGEST_BYTES);
	for (int i = 0; i < 2; i++) {
		again[i] = explained(&h, &late, i);
		assert_string_equal(said[i], again[i]);
		free(said[i]);
		free(again[i]);
	}
	p = packed_of(&h, DAY0);
	assert_true(p.whole && p.bundles > 20);
	assert_int_equal(p.batches, 1 + TAPS + (TAPS + 10) / 11);
	assert_true(p.bytes_after < p.bytes_before);
	all_holds(&h);
	day_pack_small(&h, DAY0);		/* again: nothing is left to do */
	assert_int_equal(packed_of(&h, DAY0).bundles, p.bundles);
	house_close(&h);
}

static bool lies_packed(struct txn *t, uint64_t seq)
{
	struct inbox_iter it;
	struct event e;
	bool packed;

	inbox_open_heads(t, seq, seq, &it);
	packed = inbox_next(&it, &e) && e.packed;
	inbox_close(&it);
	return packed;
}

/* Two houses with the same history, one of which is packed as it goes. */
static void test_late_taps_repeated_taps_answers_and_changed_rules_find_packed_days_as_they_were(void **state)
{
	struct house h[2];
	uint8_t digest[2][DIGEST_BYTES];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct tap waits, late, known;
		struct recheck answer = { .check = KEY_CHECK_GOOD };
		struct event e;
		struct txn t;

		serials = 0;
		house_open(&h[i]);
		elders_add(&h[i]);
		known = tap_at(1, DAY0, 500, "A", 200);
		tap_send(&h[i], &known);
		waits = tap_at(2, DAY0, 505, "B", 300);
		tap_send_as(&h[i], &waits, "V-1", KEY_CHECK_UNAVAILABLE);
		seq_of_last(&h[i], &answer.seq);
		day_fill(&h[i], 60);
		days_end(&h[i], DAY0 + 1);
		if (i == 1)
			day_pack_small(&h[i], DAY0);
		assert_int_equal(txn_begin(h[i].store, true, &t), 0);
		assert_false(lies_packed(&t, answer.seq));	/* it waits */
		assert_true(recheck_append(&t, 0, &answer, 1, &e));
		assert_int_equal(txn_commit(&t), 0);
		late = tap_at(1, DAY0, 470, "B", 300);	/* before the ride that is settled: that one is rated again */
		tap_send(&h[i], &late);
		tap_send(&h[i], &known);
		days_end(&h[i], DAY0 + 4);
		if (i == 1) {
			for (int32_t day = DAY0; day < DAY0 + 4; day++)
				day_pack_small(&h[i], day);
			assert_int_equal(txn_begin(h[i].store, false, &t), 0);
			assert_true(lies_packed(&t, answer.seq));
			txn_abort(&t);
		}
		store_digest(&h[i], digest[i]);
		all_holds(&h[i]);
	}
	assert_memory_equal(digest[0], digest[1], DIGEST_BYTES);
	same_books(&h[0], &h[1]);
	house_close(&h[0]);
	house_close(&h[1]);
}

/* Several devices in a bundle, whose names are in no order of their terminals: a walk over the rows unpacks each bundle once. */
static void test_a_walk_over_a_packed_day_unpacks_each_bundle_once(void **state)
{
	struct house h;
	struct row_iter it;
	struct txn t;
	uint64_t rows = 0;

	(void)state;
	house_open(&h);
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	for (unsigned i = 0; i < 24 * 5; i++) {
		struct tap tap = tap_at(1 + i % 89, h.open, 360 + (int)i, "A", 200);
		char device[8];

		tap.terminal[5] = (uint8_t)(i % 24 / 10 << 4 | i % 24 % 10);
		snprintf(device, sizeof(device), "V-%u", 10 + i % 24 * 7 % 24);
		batch_add(&t, &tap, device, KEY_CHECK_GOOD);
	}
	assert_int_equal(txn_commit(&t), 0);
	days_end(&h, DAY0 + 1);
	day_pack_small(&h, DAY0);
	assert_true(packed_of(&h, DAY0).bundles >= 6);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	for (rows_open_day(&t, DAY0, &it); rows_next(&it); rows++)
		;
	rows_close(&it);
	assert_int_equal(rows, 24 * 5);
	assert_true(packed_gone(&t) < packed_of(&h, DAY0).bundles);
	txn_abort(&t);
	house_close(&h);
}

static void test_the_open_day_and_the_one_before_and_a_day_that_is_not_cleared_are_not_packed(void **state)
{
	struct packing *p = NULL;
	struct house h;
	struct txn t;

	(void)state;
	house_open(&h);
	day_fill(&h, 3);
	assert_int_equal(packing_open(h.store, DAY0, &p), CLEARING_E_STATE);
	day_end(&h);
	assert_int_equal(packing_open(h.store, DAY0, &p), CLEARING_E_STATE);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(txn_begin(h.store, true, &t), 0);
		assert_int_equal(day_cut(&t, h.open++, 0), 0);
		assert_int_equal(txn_commit(&t), 0);
	}
	assert_int_equal(packing_open(h.store, DAY0 + 1, &p), CLEARING_E_STATE);
	assert_int_equal(packing_open(h.store, DAY0 - 1, &p), CLEARING_E_NO_DAY);
	assert_null(p);
	assert_int_equal(day_pack(h.store, DAY0), 0);
	assert_true(packed_of(&h, DAY0).whole);
	house_close(&h);
}

/* A child packs and is killed at a random moment, until the day is whole. */
static void test_packing_that_is_killed_goes_on_where_it_was_and_loses_nothing(void **state)
{
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
	unsigned seed = 20251103, middle = 0;
	struct packed p = { 0 };
	struct house h;

	(void)state;
	print_message("# seed %u\n", seed);
	house_open(&h);
	day_fill(&h, TAPS);
	days_end(&h, DAY0 + 1);
	store_digest(&h, before);
	for (unsigned round = 0; round < 40 && !p.whole; round++) {
		int fd[2], steps = rand_r(&seed) % 40;
		char step;
		pid_t pid;

		store_close(h.store);
		h.store = NULL;
		assert_int_equal(pipe(fd), 0);
		pid = fork();
		if (pid == 0) {
			struct packing *packing;

			if (store_open(h.dir, false, 64u << 20, &h.store) != 0 || packing_open(h.store, DAY0, &packing) != 0)
				_exit(1);
			packing_limit(packing, 2000);
			while (packing_step(packing) > 0)
				if (write(fd[1], "s", 1) != 1)
					_exit(2);
			_exit(0);
		}
		close(fd[1]);
		while (steps-- > 0 && read(fd[0], &step, 1) == 1)
			;
		usleep((useconds_t)rand_r(&seed) % 2000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(fd[0]);
		assert_int_equal(store_open(h.dir, false, 64u << 20, &h.store), 0);
		p = packed_of(&h, DAY0);
		middle += p.bundles > 0 && !p.whole;
		store_digest(&h, after);
		assert_memory_equal(before, after, DIGEST_BYTES);
	}
	if (!p.whole)
		day_pack_small(&h, DAY0);
	assert_true(middle > 0);
	all_holds(&h);
	store_digest(&h, after);
	assert_memory_equal(before, after, DIGEST_BYTES);
	house_close(&h);
}

static void bundle_load(struct house *h, uint8_t **ret, size_t *ret_bytes)
{
	uint8_t at[BUNDLE_KEY_BYTES];
	const void *val;
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	bundle_key(DAY0, 1, at);
	assert_true(txn_get(&t, DB_BUNDLE, at, sizeof(at), &val, ret_bytes));
	*ret = malloc(*ret_bytes);
	memcpy(*ret, val, *ret_bytes);
	txn_abort(&t);
}

static void bundle_store(struct house *h, uint32_t number, const uint8_t *p, size_t n)
{
	uint8_t at[BUNDLE_KEY_BYTES];
	struct txn t;

	assert_int_equal(txn_begin(h->store, true, &t), 0);
	bundle_key(DAY0, number, at);
	txn_put(&t, DB_BUNDLE, at, sizeof(at), p, n);
	assert_int_equal(txn_commit(&t), 0);
}

static void test_a_flipped_bit_in_a_packed_value_is_refused_with_a_reason_wherever_it_is(void **state)
{
	struct unbundler *u;
	struct bundle *b = NULL;
	struct house h;
	uint8_t *bytes;
	char *text = NULL;
	size_t n, size = 0;
	FILE *out;

	(void)state;
	house_open(&h);
	day_fill(&h, 60);
	days_end(&h, DAY0 + 1);
	assert_int_equal(day_pack(h.store, DAY0), 0);
	bundle_load(&h, &bytes, &n);
	assert_int_equal(unbundler_new(&u), 0);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (bundle_unpack(u, bytes, n, &b) == 0)
			fail_msg("bit %zu of %zu bytes may be another", bit, n);
		assert_null(b);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(bundle_unpack(u, bytes, n, &b), 0);
	free(b);
	unbundler_free(u);
	bytes[n / 2] ^= 1;
	bundle_store(&h, 1, bytes, n);
	out = open_memstream(&text, &size);
	assert_int_equal(day_recompute(h.store, DAY0, out), CLEARING_E_PACKED);
	assert_int_equal(check_run(h.store, "packed", out), 1);
	fclose(out);
	assert_non_null(strstr(text, "packed: bundle 1 of 2025-11-03: the store is damaged: packed batches"));
	free(text);
	free(bytes);
	house_close(&h);
}

/* A whole bundle in the place of another, as one who can write the file might try. */
static void test_a_bundle_that_is_not_its_batches_is_refused(void **state)
{
	struct house h;
	uint8_t *bytes;
	FILE *out = fopen("/dev/null", "we");
	size_t n;

	(void)state;
	house_open(&h);
	day_fill(&h, 60);
	days_end(&h, DAY0 + 1);
	day_pack_small(&h, DAY0);
	bundle_load(&h, &bytes, &n);
	bundle_store(&h, 2, bytes, n);
	assert_int_equal(day_recompute(h.store, DAY0, out), CLEARING_E_PACKED);
	assert_true(check_run(h.store, "packed", out) > 0);
	fclose(out);
	free(bytes);
	house_close(&h);
}

/* Lengths that no column has room for, no record, records that are none, bytes that are no batch. */
static void test_any_bytes_come_back_as_they_went_in(void **state)
{
	static uint8_t space[BUNDLE_BYTES_MAX];
	static struct bundle_part part[64];
	struct unbundler *u;
	struct bundler *b;

	(void)state;
	assert_int_equal(bundler_new(&b), 0);
	assert_int_equal(unbundler_new(&u), 0);
	for (unsigned round = 0; round < 200; round++) {
		size_t parts = 1 + sample_below(40), at = 0;
		struct bundle *back = NULL;
		const void *packed;
		size_t packed_bytes;

		for (size_t i = 0; i < parts; i++) {
			static uint8_t record[40][TAP_ENCODED_BYTES_MAX], out[BATCH_BYTES_MAX];
			struct batch batch = { .device = "V-1", .file_serial = round, .count = sample_below(round % 4 ? 12 : 1) };
			uint8_t *head = space + at;
			int n;

			for (uint32_t k = 0; k < batch.count; k++) {
				struct tap t = sample_random_tap();

				t.qr.p = space + sizeof(space) - 600;
				t.qr.n = sample_below(588);
				n = tap_encode(&t, record[k], sizeof(record[k]));
				assert_true(n > 0);
				if (sample_below(6) == 0)
					record[k][sample_below((uint32_t)n)] = (uint8_t)sample_random();
				batch.tap[k].p = record[k];
				batch.tap[k].n = sample_below(9) == 0 ? sample_below((uint32_t)n) : (uint32_t)n;
			}
			n = batch_encode(&batch, out, sizeof(out));
			assert_true(n > 0);
			memset(head, 0, EVENT_BATCH_HEAD_BYTES);
			be16_put(head + 20, (uint16_t)batch.count);
			for (size_t k = 0; k < 2u * batch.count; k++)
				head[EVENT_BATCH_HEAD_BYTES + k] = (uint8_t)sample_below(4);
			memcpy(head + EVENT_BATCH_HEAD_BYTES + 2u * batch.count, out, (size_t)n);
			n += EVENT_BATCH_HEAD_BYTES + 2 * (int)batch.count;
			if (sample_below(7) == 0)
				head[sample_below((uint32_t)n)] = (uint8_t)sample_random();
			part[i] = (struct bundle_part){ .seq = sample_random() >> sample_below(64), .p = head, .n = sample_below(20) == 0 ? 0 : (uint32_t)n };
			at += (size_t)n;
			assert_true(at < sizeof(space) - BATCH_BYTES_MAX);
		}
		assert_int_equal(bundle_pack(b, part, parts, &packed, &packed_bytes), 0);
		assert_int_equal(bundle_unpack(u, packed, packed_bytes, &back), 0);
		assert_int_equal(back->parts, parts);
		for (size_t i = 0; i < parts; i++) {
			assert_true(back->part[i].seq == part[i].seq && back->part[i].n == part[i].n);
			assert_memory_equal(back->part[i].p, part[i].p, part[i].n);
		}
		free(back);
	}
	bundler_free(b);
	unbundler_free(u);
}

static void test_the_document_has_these_bytes(void **state)
{
	const struct bundle_part part = { .seq = 5, .p = (const uint8_t *)"abc", .n = 3 };
	FILE *f = fopen("docs/store.md", "re");
	char line[256], hex[2 * 512] = "", ours[2 * 512];
	bool inside = false, found = false;
	struct bundler *b;
	const void *packed;
	size_t n, at = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		found = found || strncmp(line, "The body `616263`", 17) == 0;
		if (found && strncmp(line, "```", 3) == 0) {
			if (inside)
				break;
			inside = true;
		} else if (inside) {
			char *end = strstr(line, "   ");	/* what follows is remark */

			if (end != NULL)
				*end = '\0';
			for (const char *p = line; *p != '\0' && *p != '\n'; p++)
				if (*p != ' ' && at + 1 < sizeof(hex))
					hex[at++] = *p;
		}
	}
	fclose(f);
	assert_int_equal(bundler_new(&b), 0);
	assert_int_equal(bundle_pack(b, &part, 1, &packed, &n), 0);
	assert_true(n < 512);
	hex_encode(packed, n, ours);
	assert_string_equal(hex, ours);
	bundler_free(b);
}

/* What packing gives up is filled by the days after it; a compacted copy has none of it. */
static void test_pages_given_up_are_filled_again_and_a_copy_is_small(void **state)
{
	char dir[] = "/tmp/pack.XXXXXX";
	uint64_t full, used;
	struct store *copy;
	struct house h;

	(void)state;
	house_open(&h);
	day_fill(&h, TAPS);
	days_end(&h, DAY0 + 1);
	assert_int_equal(day_pack(h.store, DAY0), 0);
	full = store_used_bytes(h.store);
	assert_true(store_free_bytes(h.store) > packed_of(&h, DAY0).bytes_before / 2);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(store_copy(h.store, dir), 0);
	assert_int_equal(store_open(dir, true, 0, &copy), 0);
	used = store_used_bytes(copy);
	assert_true(used < full - packed_of(&h, DAY0).bytes_before / 2);
	assert_true(store_free_bytes(copy) < used / 8);
	store_close(copy);
	dir_remove(dir);
	day_fill(&h, 1);		/* what a transaction gave up is there for the next but one */
	full = store_used_bytes(h.store);
	day_fill(&h, TAPS);
	assert_int_equal(store_used_bytes(h.store), full);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_bytes_come_back_as_they_went_in),
		cmocka_unit_test(test_a_packed_day_says_the_same_byte_for_byte_is_cleared_again_to_the_same_and_is_smaller),
		cmocka_unit_test(test_late_taps_repeated_taps_answers_and_changed_rules_find_packed_days_as_they_were),
		cmocka_unit_test(test_a_walk_over_a_packed_day_unpacks_each_bundle_once),
		cmocka_unit_test(test_the_open_day_and_the_one_before_and_a_day_that_is_not_cleared_are_not_packed),
		cmocka_unit_test(test_packing_that_is_killed_goes_on_where_it_was_and_loses_nothing),
		cmocka_unit_test(test_a_flipped_bit_in_a_packed_value_is_refused_with_a_reason_wherever_it_is),
		cmocka_unit_test(test_a_bundle_that_is_not_its_batches_is_refused),
		cmocka_unit_test(test_the_document_has_these_bytes),
		cmocka_unit_test(test_pages_given_up_are_filled_again_and_a_copy_is_small),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
