/* What a day is closed with: it follows from the rows, and from the lines of the dump alone. */
#include "tests/unit/house.h"

#include <stdio.h>
#include <time.h>

#include "clearing/evidence.h"

struct text { char *p; size_t n; };

static struct text dumped(struct house *h, int32_t day)
{
	struct text t = { 0 };
	FILE *out = open_memstream(&t.p, &t.n);

	assert_non_null(out);
	assert_int_equal(dump_canonical(h->store, day, out), 0);
	assert_int_equal(fclose(out), 0);
	return t;
}

static struct day_row row_of_day(struct house *h, int32_t day)
{
	struct day_row row;
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	assert_true(day_get(&t, day, &row));
	txn_abort(&t);
	return row;
}

static void unreadable_send(struct house *h)
{
	static const uint8_t record[] = "no record of a tap";
	struct batch b = { .count = 1 };

	b.tap[0].p = record;
	b.tap[0].n = sizeof(record);
	batch_send(h, &b, "V-1", KEY_CHECK_GOOD);
}

/* Two days: rides, one of them twice, one of a wrong code, one that cannot be read; a late one on the second day, which changes another ride. */
static void days_make(struct house *h)
{
	struct tap tap[] = { tap_at(1, DAY0, 480, "A", 200), tap_at(1, DAY0, 540, "B", 300), tap_at(2, DAY0, 481, "K", 300), tap_at(3, DAY0, 482, "A", 100) }, late = tap_at(1, DAY0, 470, "C", 200);

	house_open(h);
	elders_add(h);
	for (size_t i = 0; i < sizeof(tap) / sizeof(tap[0]); i++)
		tap_send(h, &tap[i]);
	tap_send(h, &tap[0]);
	tap[3].terminal[0] ^= 1;
	tap[3].tac[0] ^= 1;
	tap_send_as(h, &tap[3], "V-1", KEY_CHECK_BAD);
	unreadable_send(h);
	day_end(h);
	tap_send(h, &late);
	day_end(h);
}

static void test_a_days_digest_follows_from_the_lines_of_its_dump(void **state)
{
	struct house h;

	(void)state;
	days_make(&h);
	for (int32_t day = DAY0; day < DAY0 + 2; day++) {
		const struct day_row row = row_of_day(&h, day);
		uint8_t lines[DIGEST_BYTES], rows[DIGEST_BYTES];
		struct text t = dumped(&h, day);

		assert_int_equal(row.seal, DAY_SEAL_ROWS);
		assert_true(seal_of_lines(day, t.p, t.n, lines));
		assert_memory_equal(lines, row.digest, DIGEST_BYTES);
		assert_int_equal(day_digest(h.store, day, rows), 0);
		assert_memory_equal(rows, row.digest, DIGEST_BYTES);
		assert_non_null(strstr(t.p, day == DAY0 ? "\"content\":" : "\"adjusts\":"));
		free(t.p);
	}
	house_close(&h);
}

static void test_no_byte_of_the_dump_can_be_another_under_the_same_digest(void **state)
{
	const struct day_row *row;
	struct day_row rows[2];
	struct house h;

	(void)state;
	days_make(&h);
	for (int32_t day = DAY0; day < DAY0 + 2; day++) {
		struct text t = dumped(&h, day);

		rows[day - DAY0] = row_of_day(&h, day);
		row = &rows[day - DAY0];
		for (size_t i = 0; i < t.n; i++)
			for (int bit = 0; bit < 8; bit++) {
				uint8_t lines[DIGEST_BYTES];

				t.p[i] ^= (char)(1 << bit);
				assert_true(!seal_of_lines(day, t.p, t.n, lines) || memcmp(lines, row->digest, DIGEST_BYTES) != 0);
				t.p[i] ^= (char)(1 << bit);
			}
		for (size_t n = 0; n < t.n; n++) {
			uint8_t lines[DIGEST_BYTES];

			assert_true(!seal_of_lines(day, t.p, n, lines) || memcmp(lines, row->digest, DIGEST_BYTES) != 0);
		}
		free(t.p);
	}
	house_close(&h);
}

struct blocks_sink { struct sink sink; struct txn *txn; struct row_packer *packer; uint8_t version; };

static int blocks_put(struct sink *sink, enum db db, const void *at, size_t at_bytes, const void *val, size_t n)
{
	struct blocks_sink *s = (struct blocks_sink *)(void *)sink;
	const void *packed;

	if (db != DB_CLEARED)
		return 0;
	s->version = *(const uint8_t *)val;
	assert_int_equal(row_pack(s->packer, val, n, &packed, &n), 0);
	txn_put(s->txn, db, at, at_bytes, packed, n);
	return s->txn->error;
}

static int blocks_checkpoint(struct sink *sink) { (void)sink; return 0; }

/* The blocks of a day as a clear makes them now that its row says how it was closed. */
static uint8_t blocks_again(struct house *h, int32_t day)
{
	struct txn t;
	struct blocks_sink sink = { .sink = { blocks_put, blocks_checkpoint }, .txn = &t };
	struct clear_stats stats;

	assert_int_equal(row_packer_new(&sink.packer), 0);
	assert_int_equal(txn_begin(h->store, true, &t), 0);
	assert_int_equal(clear_day(h->store, day, &sink.sink, &stats), 0);
	assert_int_equal(txn_commit(&t), 0);
	row_packer_free(sink.packer);
	return sink.version;
}

/* As a store of format 4 has its day: one byte less, and the digest is that of the dump's text. */
static void day_as_before(struct house *h, int32_t day)
{
	const void *val;
	uint8_t day_key[4], before[128];
	struct text text = dumped(h, day);
	struct txn t;
	size_t n;

	be32_put(day_key, (uint32_t)day ^ 0x80000000u);
	assert_int_equal(txn_begin(h->store, true, &t), 0);
	assert_true(txn_get(&t, DB_DAY, day_key, sizeof(day_key), &val, &n));
	n--;
	assert_true(n > DIGEST_BYTES && n <= sizeof(before));
	memcpy(before, val, n);
	assert_int_equal(digest_sha256(text.p, text.n, before + n - DIGEST_BYTES), 0);
	txn_put(&t, DB_DAY, day_key, sizeof(day_key), before, n);
	assert_int_equal(txn_commit(&t), 0);
	free(text.p);
}

static struct text packed_evidence(struct house *h, int32_t day)
{
	struct text t = { 0 };
	FILE *out = open_memstream(&t.p, &t.n);

	assert_non_null(out);
	assert_int_equal(evidence_write(h->store, day, NULL, out), 0);
	assert_int_equal(fclose(out), 0);
	return t;
}

static int verified(const struct text *pack)
{
	FILE *out = fopen("/dev/null", "we");
	int ret;

	assert_non_null(out);
	ret = evidence_verify((const uint8_t *)pack->p, pack->n, NULL, out);
	fclose(out);
	return ret;
}

static void test_a_day_closed_by_the_text_of_its_dump_is_checked_by_that(void **state)
{
	struct house h;
	struct text pack;
	FILE *out = fopen("/dev/null", "we");

	(void)state;
	assert_non_null(out);
	days_make(&h);
	pack = packed_evidence(&h, DAY0);
	assert_non_null(memmem(pack.p, pack.n, "\"rows_sha256\"", 13));
	assert_int_equal(verified(&pack), 0);
	free(pack.p);
	assert_int_equal(blocks_again(&h, DAY0), BLOCK_VERSION);
	day_as_before(&h, DAY0);
	assert_int_equal(row_of_day(&h, DAY0).seal, DAY_SEAL_TEXT);
	assert_int_equal(day_recompute(h.store, DAY0, out), CLEARING_E_DIFFERS);	/* its blocks are not of that time */
	assert_int_equal(blocks_again(&h, DAY0), BLOCK_VERSION_4);
	assert_int_equal(day_recompute(h.store, DAY0, out), 0);
	all_holds(&h);
	pack = packed_evidence(&h, DAY0);
	assert_non_null(memmem(pack.p, pack.n, "\"dump_sha256\"", 13));
	assert_int_equal(verified(&pack), 0);
	free(pack.p);
	fclose(out);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_days_digest_follows_from_the_lines_of_its_dump),
		cmocka_unit_test(test_no_byte_of_the_dump_can_be_another_under_the_same_digest),
		cmocka_unit_test(test_a_day_closed_by_the_text_of_its_dump_is_checked_by_that),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
