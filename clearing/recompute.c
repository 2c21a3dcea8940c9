/*
 * recompute - a closed day cleared again beside the store, every row compared byte for byte, and counted, so
 * that nothing is missing and nothing is there besides. A reviewer need not believe the stored rows.
 */
#include "clearing/ridden.h"
#include "clearing/rows.h"

#include <inttypes.h>
#include <string.h>

struct compare_sink {
	struct sink sink;
	struct txn *txn;
	struct row_packer *packer;
	uint64_t same[DB_COUNT_];
	bool differs;
	enum db db;
	char key[2 * 64 + 1];
};

static int compare_put(struct sink *sink, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes)
{
	struct compare_sink *s = (struct compare_sink *)(void *)sink;
	const void *stored;
	uint64_t rows;
	size_t n;
	bool found;
	int ret = 0;

	if (db == DB_PERSON_DAY && ridden_stored(s->txn, key, val, val_bytes, &rows)) {
		s->same[db] += rows;
		return 0;
	}
	found = db != DB_PERSON_DAY && txn_get(s->txn, db, key, key_bytes, &stored, &n);
	if (found && db == DB_CLEARED)
		ret = row_unpack(s->packer, stored, n, &stored, &n);
	if (found && ret == 0 && n == val_bytes && memcmp(stored, val, n) == 0) {
		s->same[db] += db == DB_CLEARED ? block_rows(val, val_bytes) : 1;
		return 0;
	}
	if (ret != 0 || s->txn->error != 0)
		return ret != 0 ? ret : s->txn->error;
	s->differs = true;
	s->db = db;
	hex_encode(key, key_bytes < 64 ? key_bytes : 64, s->key);
	return CLEARING_E_DIFFERS;
}

static int compare_checkpoint(struct sink *sink)
{
	(void)sink;
	return 0;
}

/* Rows that the store has for this day in a database whose keys start with the day. */
static uint64_t rows_of_day(struct txn *t, enum db db, int32_t day)
{
	uint8_t prefix[4];
	struct row_iter row;
	struct iter it;
	uint64_t n = 0;

	if (db == DB_CLEARED) {
		for (rows_open_day(t, day, &row); rows_next(&row); )
			n++;
		rows_close(&row);
		return n;
	}

	be32_put(prefix, (uint32_t)day ^ 0x80000000u);
	iter_open(t, db, prefix, sizeof(prefix), &it);
	while (iter_next(&it))
		n++;
	iter_close(&it);
	return n;
}

/* Of a day cleared up to format 5 none lies by day, and each was looked for where it lies. */
static bool persons_counted(struct compare_sink *s, int32_t day)
{
	uint64_t stored = ridden_count(s->txn, day);

	return stored == 0 || stored == s->same[DB_PERSON_DAY];
}

static int compare_counts(struct compare_sink *s, int32_t day, FILE *out)
{
	static const struct { enum db db; const char *name; } table[] = { { DB_CLEARED, "cleared" }, { DB_POSTING, "posting" }, { DB_CUBE, "cube" },
		{ DB_ADJUST, "adjust" } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t stored = rows_of_day(s->txn, table[i].db, day);

		fprintf(out, "%-8s %12" PRIu64 " 行一致 rows equal\n", table[i].name, s->same[table[i].db]);
		if (stored != s->same[table[i].db]) {
			fprintf(out, "%-8s %12" PRIu64 " 行在存储中, 数目不符 rows stored: another number\n", table[i].name, stored);
			return CLEARING_E_DIFFERS;
		}
	}
	fprintf(out, "%-8s %12" PRIu64 " 行一致 rows equal\n", "ridden", s->same[DB_PERSON_DAY]);
	return persons_counted(s, day) ? s->txn->error : CLEARING_E_DIFFERS;
}

int day_recompute(struct store *s, int32_t day, FILE *out)
{
	struct compare_sink sink = { .sink = { compare_put, compare_checkpoint } };
	uint8_t digest[DIGEST_BYTES];
	char text[2 * DIGEST_BYTES + 1];
	struct clear_stats stats;
	struct day_row row;
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	sink.txn = &t;
	if (!day_get(&t, day, &row))
		ret = CLEARING_E_NO_DAY;
	else if (row.state < DAY_CLEARED)
		ret = CLEARING_E_STATE;
	if (ret == 0)
		ret = row_packer_new(&sink.packer);
	if (ret == 0)
		ret = clear_day(s, day, &sink.sink, &stats);
	if (sink.differs)
		fprintf(out, "不一致 differs: database %d, key %s\n", (int)sink.db, sink.key);
	if (ret == 0)
		ret = compare_counts(&sink, day, out);
	if (ret == 0)
		ret = day_digest(s, day, digest);
	if (ret == 0 && memcmp(digest, row.digest, DIGEST_BYTES) != 0) {
		fprintf(out, "日摘要不符 the day's digest differs\n");
		ret = CLEARING_E_DIFFERS;
	}
	if (ret == 0) {
		hex_encode(row.digest, DIGEST_BYTES, text);
		fprintf(out, "%" PRIu64 " 笔重新清分, 字节一致 taps cleared again, byte-identical; sha256 %s\n", stats.taps, text);
	}
	row_packer_free(sink.packer);
	txn_abort(&t);
	return ret;
}
