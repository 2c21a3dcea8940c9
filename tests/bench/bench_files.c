/*
 * bench_files - partners' files of a day: claims of foreign cards at the T-Union centre, debits of bank cards. A day of so many
 * taps, cleared; then it is built: items, files, statements and the day's reports, in one transaction. Lines of the partner's
 * file a second of processor time, median of three days in stores of their own. usage: bench_files [TAPS]
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "clearing/clearing.h"
#include "tests/bench/bench.h"
#include "tests/unit/dir_remove.h"
#include "tests/unit/tap_sample.h"

#define DAY 20395		/* 2025-11-03 */
#define RECORDS 128u
#define ROUNDS 3

static struct tap foreign_tap(uint32_t i)
{
	struct tap t = sample_tap();

	t.issuer[0] = 0x03;
	t.card_city = 0x5840;
	for (unsigned k = 0, n = i; k < 5; k++, n /= 100)
		t.pan[9 - k] = (uint8_t)(n / 10 % 10 << 4 | n % 10);
	t.amount_fen = t.list_fen = 200;
	t.balance_after = t.balance_before - 200;
	return t;
}

static struct tap bank_tap(uint32_t i)
{
	struct tap t = sample_tap();

	t.kind = TAP_BANK;
	t.medium = MEDIUM_BANK;
	t.oda = ODA_CDA;
	t.balance_before = t.balance_after = 0;
	t.amount_fen = t.list_fen = 200;
	memset(t.pan, 0, sizeof(t.pan));
	t.pan[1] = 0x62;
	for (unsigned k = 0, n = i; k < 5; k++, n /= 100)
		t.pan[9 - k] = (uint8_t)(n / 10 % 10 << 4 | n % 10);
	return t;
}

static void event_put(struct txn *t, uint8_t type, const void *head, size_t head_bytes, const void *body, size_t n)
{
	const void *part[2] = { head, body };
	const size_t bytes[2] = { head_bytes, n };

	must(inbox_append(t, type, (int64_t)DAY * 86400000, part, bytes, 2) > 0);
}

static void batch_put(struct txn *txn, uint32_t first, uint32_t taps, struct tap (*make)(uint32_t), enum key_check check)
{
	static uint8_t record[RECORDS][TAP_ENCODED_BYTES_MAX], out[BATCH_BYTES_MAX];
	struct batch b = { .device = "V-1", .file_serial = first + 1 };
	uint8_t head[EVENT_BATCH_HEAD_BYTES + 2 * RECORDS] = "V-1";
	int n;

	for (uint32_t i = first; i < taps && b.count < RECORDS; i++, b.count++) {
		struct tap t = make(i);

		t.terminal_serial = i + 1;
		t.card_counter = 1;
		t.time_ms = (int64_t)DAY * 86400000 - CIVIL_OFFSET_MS + 6 * 3600000 + (int64_t)i * 50400000 / taps;
		snprintf(t.line, sizeof(t.line), "18");
		must((n = tap_encode(&t, record[b.count], sizeof(record[0]))) > 0);
		b.tap[b.count].p = record[b.count];
		b.tap[b.count].n = (uint32_t)n;
		head[EVENT_BATCH_HEAD_BYTES + 2 * b.count] = (uint8_t)check;
	}
	must(batch_seal(&b) == 0 && (n = batch_encode(&b, out, sizeof(out))) > 0);
	be32_put(head + 16, b.file_serial);
	be16_put(head + 20, (uint16_t)b.count);
	event_put(txn, EVENT_BATCH, head, EVENT_BATCH_HEAD_BYTES + 2 * b.count, out, (size_t)n);
}

static void day_made(struct store *s, uint32_t taps, struct tap (*make)(uint32_t), enum key_check check)
{
	static const char terminals[] = "terminal,psam,device,operator,valid_from,valid_to\n428000000017,428000000017,V-1,101,2000-01-01,\n";
	static const char issuers[] = "issuer,ours,valid_from,valid_to,name\n02184280,yes,2000-01-01,,ours\n03184280,no,2000-01-01,,theirs\n";
	struct clear_stats stats;
	void *blob = NULL;
	size_t bytes = 0;
	uint8_t head[8];
	struct tariff *tariff;
	struct txn t;

	must(tariff_compile("tariffs/packs/ganzhou", fault_tell, NULL, &blob, &bytes) == 0 && tariff_open(blob, bytes, &tariff) == 0 && txn_begin(s, true, &t) == 0);
	be64_put(head, (uint64_t)tariff_valid_from_ms(tariff));
	day_open_init(&t, DAY);
	event_put(&t, EVENT_TARIFF, head, sizeof(head), blob, bytes);
	event_put(&t, EVENT_TERMINALS, "", 0, terminals, strlen(terminals));
	event_put(&t, EVENT_ISSUERS, "", 0, issuers, strlen(issuers));
	for (uint32_t i = 0; i < taps; i += RECORDS)
		batch_put(&t, i, taps, make, check);
	must(day_cut(&t, DAY, (int64_t)(DAY + 1) * 86400000) == 0 && txn_commit(&t) == 0);
	must(day_clear(s, DAY, &stats) == 0 && stats.verdict[VERDICT_ACCEPTED] + stats.verdict[VERDICT_PENDING] == taps);
	tariff_close(tariff);
	free(blob);
}

/* Lines and bytes of the day's largest file, which is the partner's. */
static uint64_t lines_of(struct store *s, uint64_t *ret_bytes)
{
	uint64_t lines = 0;
	struct iter it;
	struct txn t;

	*ret_bytes = 0;
	must(txn_begin(s, false, &t) == 0);
	iter_open(&t, DB_FILE, NULL, 0, &it);
	while (iter_next(&it)) {
		if (it.val_bytes <= *ret_bytes)
			continue;
		*ret_bytes = it.val_bytes;
		lines = 0;
		for (size_t i = 0; i < it.val_bytes; i++)
			lines += it.val[i] == '\n';
	}
	iter_close(&it);
	txn_abort(&t);
	return lines;
}

static void bench(const char *name, uint32_t taps, struct tap (*make)(uint32_t), enum key_check check)
{
	double round[ROUNDS], cpu;
	uint64_t lines = 0, bytes = 0;
	char more[96];

	for (int i = 0; i < ROUNDS; i++) {
		char dir[] = P_tmpdir "/bench_files.XXXXXX";
		struct store *s = NULL;

		must(mkdtemp(dir) != NULL && store_open(dir, false, 8ULL << 30, &s) == 0);
		day_made(s, taps, make, check);
		cpu = cpu_now();
		must(day_build(s, DAY) == 0);
		round[i] = cpu_now() - cpu;
		lines = lines_of(s, &bytes);
		store_close(s);
		dir_remove(dir);
	}
	cpu = median(round, ROUNDS);
	snprintf(more, sizeof(more), ",\"lines\":%" PRIu64 ",\"file_bytes\":%" PRIu64 ",\"taps_s\":%.0f", lines, bytes, taps / cpu);
	line(name, "lines/s", (double)lines / cpu, cpu, taps, more);
}

int main(int argc, char **argv)
{
	uint32_t taps = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 50000;

	must(taps > 0);
	bench("tunion-file", taps, foreign_tap, KEY_CHECK_FOREIGN);
	bench("bank-file", taps, bank_tap, KEY_CHECK_DEVICE);
	return 0;
}
