/*
 * house - a small clearing house in a directory of its own for tests: one operator's tariff with two versions, days
 * that are ended by hand, and what stands in its books. A test that defines HOUSE_RULES has those rules besides.
 */
#ifndef TESTS_UNIT_HOUSE_H
#define TESTS_UNIT_HOUSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clearing/packed.h"
#include "clearing/rows.h"
#include "tests/unit/dir_remove.h"
#include "tests/unit/tap_sample.h"

#define DAY0 20395			/* 2025-11-03 */
#define DAYS_MAX 64

static const char pack_yaml[] =
	"name: adjust\ntitle: 调整\nversion: %d\nvalid_from: 2025-01-01\npublished_on: 2025-01-01\nbasis: 例\n"
	"home_issuer: \"02184280\"\norder: [concession, transfer, ladder]\nrounding: {mode: half-up, unit_fen: 1}\nstacking: unique\n"
	"groups:\n  - {name: elder, title: 老年, code: 1, source: 民政, hold: yes}\n"
	"treasuries:\n  - {name: city, title: 市财政}\n  - {name: district, title: 区财政}\n"
	"funding:\n  - {id: discount, title: 企业让利, basis: 例, gap: none}\n"
	"  - {id: shared, title: 市县分担, basis: 例, gap: published, share: {city: 60, district: 40}}\n"
	"classes:\n  - {name: flat, title: 一票制}\n  - {name: far, title: 里程}\n"
	"fares:\n  - {id: by-way, title: 里程, basis: 例, class: [far], by: m, steps: [{upto: 5000, fen: 200}, {each: 5000, fen: 100}]}\n"
	"concessions:\n  - {id: elder, title: 老年半价, basis: 例, from: 2025-01-01, who: [elder], price: %d%%, fund: shared}\n"
	"transfers:\n  - {id: city, title: 换乘, basis: 例, class: [flat, far], minutes: 90, included: yes, same_line: no, uses: 2, minus_fen: 100, fund: shared}\n"
	"ladders:\n  - {id: month, title: 月累计, basis: 例, count: rides, per: month, reading: before, steps: [{from: 0, rate: 100%%}, {from: 6, rate: 50%%}], fund: discount}\n"
	"locks:\n  - {id: lock, title: 连刷, basis: 例, minutes: 5, same_vehicle: yes, with: [elder], then: refuse}\n"
	"open_rides:\n  - {id: open, title: 未刷下车, basis: 例, class: [far], hold: 300, unfinished: 400, same_line: yes}\n"
	"late: {window_days: 10, hard_days: 30}\n";
static const char lines_csv[] = "line,class,fare\nA,flat,flat:200\nB,flat,flat:300\nC,flat,flat:200\nK,far,class\nR,flat,flat:206\n";

struct house { char dir[32]; struct store *store; struct refdata *ref; int32_t open; };
static struct { void *p; size_t n; } blob[2];	/* half price; 40 %, the higher version */
static struct qr_key *key[2];

/* ---- a house ------------------------------------------------------------------------------------------------ */

static inline void problem_told(void *arg, const char *text) { (void)arg; print_message("%s\n", text); }

static inline void file_write(const char *dir, const char *name, const char *format, int a, int b)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, format, a, b);
	fclose(f);
}

static inline int packs_make(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		char dir[] = "/tmp/adjust.XXXXXX";

		if (mkdtemp(dir) == NULL || qr_key_new(&key[i]) != 0)
			return -1;
		file_write(dir, "pack.yaml", pack_yaml, i + 1, i == 0 ? 50 : 40);
		file_write(dir, "lines.csv", lines_csv, 0, 0);
#ifdef HOUSE_RULES
		file_write(dir, "rules.yaml", HOUSE_RULES, 0, 0);
#endif
		if (tariff_compile(dir, problem_told, NULL, &blob[i].p, &blob[i].n) != 0)
			return -1;
		dir_remove(dir);
	}
	return 0;
}

static inline int packs_free(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		free(blob[i].p);
		qr_key_free(key[i]);
	}
	return 0;
}

static inline int event_try(struct house *h, uint8_t type, const void *head, size_t head_bytes, const void *body, size_t n)
{
	const void *part[2] = { head, body };
	size_t bytes[2] = { head_bytes, n };
	uint8_t *whole = malloc(head_bytes + n + 1);
	struct event e = { .type = type, .body = whole, .bytes = head_bytes + n };
	char error[512] = "";
	struct txn t;
	int ret;

	assert_non_null(whole);
	memcpy(whole, head, head_bytes);
	memcpy(whole + head_bytes, body, n);
	assert_int_equal(txn_begin(h->store, true, &t), 0);
	e.seq = inbox_append(&t, type, 0, part, bytes, 2);
	ret = refdata_apply(h->ref, &e, &t, error, sizeof(error));
	if (ret == 0)
		assert_int_equal(txn_commit(&t), 0);
	else
		txn_abort(&t);
	free(whole);
	return ret;
}

static inline void event_add(struct house *h, uint8_t type, const void *head, size_t head_bytes, const void *body, size_t n)
{
	assert_int_equal(event_try(h, type, head, head_bytes, body, n), 0);
}

static inline void tariff_add(struct house *h, int which, int32_t from)
{
	uint8_t head[8];

	be64_put(head, (uint64_t)((int64_t)from * 86400000 - CIVIL_OFFSET_MS));
	event_add(h, EVENT_TARIFF, head, 8, blob[which].p, blob[which].n);
}

static inline void house_open(struct house *h)
{
	static const char terminals[] = "terminal,psam,device,operator,valid_from,valid_to\n428000000001,428000000001,V-1,101,2000-01-01,\n"
					"428000000002,428000000002,V-1,102,2000-01-01,\n";
	static const char issuers[] = "issuer,ours,valid_from,valid_to,name\n02184280,yes,2000-01-01,,ours\n";
	struct txn t;

	*h = (struct house){ .dir = "/tmp/adjust.XXXXXX", .open = DAY0 };
	assert_non_null(mkdtemp(h->dir));
	assert_int_equal(store_open(h->dir, false, 64u << 20, &h->store), 0);
	assert_int_equal(refdata_new(&h->ref), 0);
	assert_int_equal(txn_begin(h->store, true, &t), 0);
	day_open_init(&t, DAY0);
	assert_int_equal(txn_commit(&t), 0);
	tariff_add(h, 0, 20089);
	event_add(h, EVENT_TERMINALS, "", 0, terminals, strlen(terminals));
	event_add(h, EVENT_ISSUERS, "", 0, issuers, strlen(issuers));
}

static inline void house_close(struct house *h)
{
	refdata_free(h->ref);
	store_close(h->store);
	dir_remove(h->dir);
}

/* ---- taps ------------------------------------------------------------------------------------------------------ */

static uint32_t serials;

static inline struct tap tap_at(unsigned card, int32_t day, int minute, const char *line, uint32_t charged)
{
	struct tap t = sample_tap();

	t.pan[9] = (uint8_t)(card / 10 << 4 | card % 10);
	t.time_ms = (int64_t)day * 86400000 - CIVIL_OFFSET_MS + minute * 60000LL;
	t.amount_fen = charged;
	t.balance_after = t.balance_before - charged;
	t.terminal_serial = ++serials;
	t.card_counter = 0;
	memcpy(t.terminal, "\x42\x80\0\0\0\1", 6);
	memcpy(t.psam, t.terminal, 6);
	snprintf(t.line, sizeof(t.line), "%s", line);
	snprintf(t.vehicle, sizeof(t.vehicle), "V%s", line);
	return t;
}

#define SENT_MAX 16

/* A batch's records, of a device, each with what the key check found on arrival. */
static inline void batch_send(struct house *h, struct batch *b, const char *device, enum key_check check)
{
	static uint8_t out[BATCH_BYTES_MAX];
	uint8_t head[EVENT_BATCH_HEAD_BYTES + 2 * SENT_MAX] = "";
	int n;

	b->file_serial = ++serials;
	snprintf(b->device, sizeof(b->device), "%s", device);
	memcpy(head, b->device, sizeof(b->device));
	for (uint32_t i = 0; i < b->count; i++)
		head[EVENT_BATCH_HEAD_BYTES + 2 * i] = check;
	assert_int_equal(batch_seal(b), 0);
	n = batch_encode(b, out, sizeof(out));
	assert_true(n > 0);
	be32_put(head + 16, b->file_serial);
	be16_put(head + 20, (uint16_t)b->count);
	event_add(h, EVENT_BATCH, head, EVENT_BATCH_HEAD_BYTES + 2 * b->count, out, (size_t)n);
}

static inline void taps_send(struct house *h, const struct tap *list, uint32_t count, const char *device, enum key_check check)
{
	static uint8_t record[SENT_MAX][TAP_ENCODED_BYTES_MAX];
	struct batch b = { .count = count };

	assert_true(count <= SENT_MAX);
	for (uint32_t i = 0; i < count; i++) {
		int n = tap_encode(&list[i], record[i], sizeof(record[i]));

		assert_true(n > 0);
		b.tap[i].p = record[i];
		b.tap[i].n = (uint32_t)n;
	}
	batch_send(h, &b, device, check);
}

/* One record; an unanswered one waits. */
static inline void tap_send_as(struct house *h, const struct tap *t, const char *device, enum key_check check)
{
	const uint8_t mark[2] = { check };

	taps_send(h, t, 1, device, check);
	if (check == KEY_CHECK_UNAVAILABLE) {
		struct txn txn;

		assert_int_equal(txn_begin(h->store, true, &txn), 0);
		waiting_add(&txn, inbox_last(&txn), mark, 1);
		assert_int_equal(txn_commit(&txn), 0);
	}
}

static inline void tap_send(struct house *h, const struct tap *t) { tap_send_as(h, t, "V-1", KEY_CHECK_GOOD); }

/* In bundles of a few batches, of which a transaction remembers one. */
static inline void day_pack_small(struct house *h, int32_t day)
{
	struct packing *p;
	int ret;

	assert_int_equal(packing_open(h->store, day, &p), 0);
	packing_limit(p, 3000);
	do
		ret = packing_step(p);
	while (ret > 0);
	assert_int_equal(ret, 0);
	packing_close(p);
	packed_window(1);
}

static inline void day_end(struct house *h)
{
	struct clear_stats stats;
	struct txn t;

	assert_int_equal(txn_begin(h->store, true, &t), 0);
	assert_int_equal(day_cut(&t, h->open, 0), 0);
	assert_int_equal(txn_commit(&t), 0);
	assert_int_equal(day_clear(h->store, h->open++, &stats), 0);
	if (getenv("HOUSE_PACKED") != NULL && h->open >= DAY0 + 2)	/* tests/e2e/packed.sh */
		day_pack_small(h, h->open - 2);
}

static inline void days_end(struct house *h, int32_t until)
{
	while (h->open <= until)
		day_end(h);
}

/* ---- what came of them -------------------------------------------------------------------------------------------- */

static inline void row_of(struct txn *t, const struct tap *tap, struct cleared *ret, int32_t *ret_day)
{
	uint8_t business[TAP_KEY_BYTES], at[CLEARED_KEY_BYTES];

	tap_key(tap, business);
	for (int32_t day = DAY0; day < DAY0 + DAYS_MAX; day++) {
		row_key(day, CLEARED_RIDE, business, 0, at);
		if (row_get(t, at, ret)) {
			*ret_day = day;
			return;
		}
	}
	fail_msg("no row of a tap");
}

/* The fare as it stands after every day so far; how often it was adjusted. */
static inline int stands(struct house *h, const struct tap *tap, struct fare *ret_fare, struct adjustment *ret_last)
{
	uint8_t id[TAP_KEY_BYTES];
	struct adjustment a;
	struct cleared row;
	int32_t day = DAY0;
	struct txn t;
	int count = 0;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	row_of(&t, tap, &row, &day);
	*ret_fare = verdict_info((enum verdict)row.verdict)->money ? row.fare : (struct fare){ 0 };
	tap_key(tap, id);
	for (int32_t at = day + 1; at <= h->open; at++)
		if (adjust_before(&t, id, 0, at, &a) && a.day == at - 1) {
			*ret_fare = verdict_info((enum verdict)a.verdict)->money ? a.fare : (struct fare){ 0 };
			if (ret_last != NULL)
				*ret_last = a;
			count++;
		}
	txn_abort(&t);
	return count;
}

static inline int64_t paid_of(struct house *h, const struct tap *tap)
{
	struct fare f;

	stands(h, tap, &f, NULL);
	return f.paid.fen;
}

/* Credits less debits of an account over all days. */
static inline int64_t balance_of(struct house *h, account_t account)
{
	int64_t sum = 0;
	struct iter it;
	struct txn t;

	assert_int_equal(txn_begin(h->store, false, &t), 0);
	iter_open(&t, DB_POSTING, NULL, 0, &it);
	while (iter_next(&it)) {
		struct posting_row p;

		assert_true(posting_decode(it.key, it.key_bytes, it.val, it.val_bytes, &p));
		sum += p.credit == account ? p.sum_fen : 0;
		sum -= p.debit == account ? p.sum_fen : 0;
	}
	iter_close(&it);
	txn_abort(&t);
	return sum;
}

static const account_t accounts[] = { ACCOUNT(ACCOUNT_PURSE, 1), ACCOUNT(ACCOUNT_OPERATOR, 101), ACCOUNT(ACCOUNT_OPERATOR, 102),
	ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_PURSE), ACCOUNT(ACCOUNT_TREASURY, 1), ACCOUNT(ACCOUNT_TREASURY, 2) };

static inline void same_books(struct house *a, struct house *b)
{
	for (size_t i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++)
		assert_int_equal(balance_of(a, accounts[i]), balance_of(b, accounts[i]));
}

static inline void all_holds(struct house *h)
{
	FILE *out = fopen("/dev/null", "we");

	assert_int_equal(check_run(h->store, NULL, stdout), 0);
	for (int32_t day = DAY0; day < h->open; day++)
		assert_int_equal(day_recompute(h->store, day, out), 0);
	fclose(out);
}

/* SHA-256 over the rows of a day as they lie in the store. */
static inline void rows_digest(struct house *h, int32_t day, uint8_t ret[DIGEST_BYTES])
{
	struct digest *d;
	uint8_t prefix[4];
	struct iter it;
	struct txn t;

	assert_int_equal(digest_new(&d), 0);
	assert_int_equal(txn_begin(h->store, false, &t), 0);
	be32_put(prefix, (uint32_t)day ^ 0x80000000u);
	iter_open(&t, DB_CLEARED, prefix, 4, &it);
	while (iter_next(&it))
		digest_add(d, it.val, it.val_bytes);
	iter_close(&it);
	txn_abort(&t);
	digest_end(d, ret);
	digest_free(d);
}

/* ---- reference data ------------------------------------------------------------------------------------------------- */

static inline void elders_add(struct house *h)
{
	static const char riders[] = "pan,person,birth,issued,home,group,grade,from,to,verified_to\n"
				     "03104730150000000001,9001,1950-01-01,,,elder,,2025-01-01,,\n"
				     "03104730150000000002,9001,1950-01-01,,,elder,,2025-01-01,,\n";

	event_add(h, EVENT_RIDERS, "", 0, riders, strlen(riders));
}

#endif
