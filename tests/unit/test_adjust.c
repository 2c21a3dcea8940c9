/* Corrections: whatever day a tap arrives on, rows and adjustments together are what one rating in order gives. */
#include "clearing/clearing.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

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
	"open_rides:\n  - {id: open, title: 未刷下车, basis: 例, class: [far], hold: none, unfinished: 400, same_line: yes}\n"
	"late: {window_days: 10, hard_days: 30}\n";
static const char lines_csv[] = "line,class,fare\nA,flat,flat:200\nB,flat,flat:300\nC,flat,flat:200\nK,far,class\n";

struct house { char dir[32]; struct store *store; struct refdata *ref; int32_t open; };
static struct { void *p; size_t n; } blob[2];	/* half price; 40 %, the higher version */
static struct qr_key *key[2];

/* ---- a house ------------------------------------------------------------------------------------------------ */

static void told(void *arg, const char *text) { (void)arg; print_message("%s\n", text); }

static void file_write(const char *dir, const char *name, const char *format, int a, int b)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, format, a, b);
	fclose(f);
}

static void dir_remove(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[320];

	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	if (d != NULL)
		closedir(d);
	rmdir(dir);
}

static int packs_make(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		char dir[] = "/tmp/adjust.XXXXXX";

		if (mkdtemp(dir) == NULL || qr_key_new(&key[i]) != 0)
			return -1;
		file_write(dir, "pack.yaml", pack_yaml, i + 1, i == 0 ? 50 : 40);
		file_write(dir, "lines.csv", lines_csv, 0, 0);
		if (tariff_compile(dir, told, NULL, &blob[i].p, &blob[i].n) != 0)
			return -1;
		dir_remove(dir);
	}
	return 0;
}

static int packs_free(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		free(blob[i].p);
		qr_key_free(key[i]);
	}
	return 0;
}

static int event_try(struct house *h, uint8_t type, const void *head, size_t head_bytes, const void *body, size_t n)
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

static void event_add(struct house *h, uint8_t type, const void *head, size_t head_bytes, const void *body, size_t n)
{
	assert_int_equal(event_try(h, type, head, head_bytes, body, n), 0);
}

static void tariff_add(struct house *h, int which, int32_t from)
{
	uint8_t head[8];

	be64_put(head, (uint64_t)((int64_t)from * 86400000 - CIVIL_OFFSET_MS));
	event_add(h, EVENT_TARIFF, head, 8, blob[which].p, blob[which].n);
}

static void house_open(struct house *h)
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

static void house_close(struct house *h)
{
	refdata_free(h->ref);
	store_close(h->store);
	dir_remove(h->dir);
}

/* ---- taps ------------------------------------------------------------------------------------------------------ */

static uint32_t serials;

static struct tap tap_at(unsigned card, int32_t day, int minute, const char *line, uint32_t charged)
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

static void tap_send(struct house *h, const struct tap *t)
{
	static uint8_t record[TAP_ENCODED_BYTES_MAX], out[BATCH_BYTES_MAX];
	struct batch b = { .device = "V-1", .file_serial = ++serials, .count = 1 };
	uint8_t head[EVENT_BATCH_HEAD_BYTES + 2] = "V-1";
	int n = tap_encode(t, record, sizeof(record));

	assert_true(n > 0);
	b.tap[0].p = record;
	b.tap[0].n = (uint32_t)n;
	assert_int_equal(batch_seal(&b), 0);
	n = batch_encode(&b, out, sizeof(out));
	assert_true(n > 0);
	be32_put(head + 16, b.file_serial);
	be16_put(head + 20, 1);
	head[22] = KEY_CHECK_GOOD;
	event_add(h, EVENT_BATCH, head, sizeof(head), out, (size_t)n);
}

static void day_end(struct house *h)
{
	struct clear_stats stats;
	struct txn t;

	assert_int_equal(txn_begin(h->store, true, &t), 0);
	assert_int_equal(day_cut(&t, h->open, 0), 0);
	assert_int_equal(txn_commit(&t), 0);
	assert_int_equal(day_clear(h->store, h->open++, &stats), 0);
}

static void days_end(struct house *h, int32_t until)
{
	while (h->open <= until)
		day_end(h);
}

/* ---- what came of them -------------------------------------------------------------------------------------------- */

static void row_of(struct txn *t, const struct tap *tap, struct cleared *ret, int32_t *ret_day)
{
	uint8_t at[CLEARED_KEY_BYTES];
	const void *val;
	size_t n;

	for (int32_t day = DAY0; day < DAY0 + DAYS_MAX; day++) {
		be32_put(at, (uint32_t)day ^ 0x80000000u);
		at[4] = CLEARED_RIDE;
		tap_key(tap, at + 5);
		be16_put(at + 23, 0);
		if (txn_get(t, DB_CLEARED, at, sizeof(at), &val, &n)) {
			assert_true(cleared_decode(val, n, ret));
			*ret_day = day;
			return;
		}
	}
	fail_msg("no row of a tap");
}

/* The fare as it stands after every day so far; how often it was adjusted. */
static int stands(struct house *h, const struct tap *tap, struct fare *ret_fare, struct adjustment *ret_last)
{
	uint8_t id[TAP_KEY_BYTES];
	struct adjustment a;
	struct cleared row;
	int32_t day;
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

static int64_t paid_of(struct house *h, const struct tap *tap)
{
	struct fare f;

	stands(h, tap, &f, NULL);
	return f.paid.fen;
}

/* Credits less debits of an account over all days. */
static int64_t balance_of(struct house *h, account_t account)
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

static void same_books(struct house *a, struct house *b)
{
	for (size_t i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++)
		assert_int_equal(balance_of(a, accounts[i]), balance_of(b, accounts[i]));
}

static void all_holds(struct house *h)
{
	FILE *out = fopen("/dev/null", "we");

	assert_int_equal(check_run(h->store, NULL, stdout), 0);
	for (int32_t day = DAY0; day < h->open; day++)
		assert_int_equal(day_recompute(h->store, day, out), 0);
	fclose(out);
}

/* SHA-256 over the rows of a day as they lie in the store. */
static void rows_digest(struct house *h, int32_t day, uint8_t ret[DIGEST_BYTES])
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

/* ---- late taps ------------------------------------------------------------------------------------------------------- */

static void a_late_tap_makes_the_ride_after_it_a_transfer_by_an_adjustment(void **state)
{
	struct tap first = tap_at(1, DAY0, 480, "A", 200), middle = tap_at(1, DAY0, 560, "B", 300), last = tap_at(1, DAY0, 640, "A", 200);
	struct house late, ordered;
	struct adjustment a;
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES], id[TAP_KEY_BYTES];
	struct fare f;

	(void)state;
	house_open(&late);
	tap_send(&late, &first);
	tap_send(&late, &last);
	day_end(&late);
	assert_int_equal(paid_of(&late, &last), 200);
	rows_digest(&late, DAY0, before);
	tap_send(&late, &middle);
	day_end(&late);
	assert_int_equal(stands(&late, &last, &f, &a), 1);
	assert_int_equal(f.paid.fen, 100);
	tap_key(&middle, id);
	assert_int_equal(a.cause, ADJUST_LATE_TAP);
	assert_memory_equal(a.cause_key, id, TAP_KEY_BYTES);
	assert_int_equal(a.day, DAY0 + 1);
	assert_int_equal(stands(&late, &first, &f, NULL), 0);
	assert_int_equal(paid_of(&late, &middle), 200);
	rows_digest(&late, DAY0, after);
	assert_memory_equal(before, after, DIGEST_BYTES);

	house_open(&ordered);
	tap_send(&ordered, &first);
	tap_send(&ordered, &middle);
	tap_send(&ordered, &last);
	day_end(&ordered);
	day_end(&ordered);
	same_books(&late, &ordered);
	assert_int_equal(balance_of(&late, ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_PURSE)), 200);
	all_holds(&late);
	all_holds(&ordered);
	house_close(&late);
	house_close(&ordered);
}

static void a_late_tap_off_takes_back_what_was_charged_as_unfinished(void **state)
{
	struct tap on = tap_at(2, DAY0, 480, "K", 0), off = tap_at(2, DAY0, 500, "K", 200), next = tap_at(2, DAY0 + 1, 480, "A", 400);
	struct house h;
	struct fare f;
	int64_t unfinished;

	(void)state;
	on.kind = TAP_BOARD;
	on.stop = 1;
	off.kind = TAP_ALIGHT;
	off.stop_on = 1;
	off.stop = 5;
	off.distance_m = 3000;
	house_open(&h);
	tap_send(&h, &on);
	day_end(&h);
	tap_send(&h, &next);
	day_end(&h);
	unfinished = paid_of(&h, &next) - 200;
	tap_send(&h, &off);
	day_end(&h);
	assert_int_equal(paid_of(&h, &off), 200);
	assert_int_equal(stands(&h, &next, &f, NULL), unfinished != 0);
	assert_int_equal(f.paid.fen, 200);
	all_holds(&h);
	house_close(&h);
}

static void a_tap_beyond_the_window_is_rated_alone_and_changes_nothing(void **state)
{
	struct tap last = tap_at(1, DAY0, 600, "A", 200), late = tap_at(1, DAY0, 560, "B", 300), next = tap_at(1, DAY0 + 11, 640, "A", 200);
	struct house h;
	struct fare f;

	(void)state;
	house_open(&h);
	tap_send(&h, &last);
	days_end(&h, DAY0 + 10);
	tap_send(&h, &late);
	tap_send(&h, &next);
	day_end(&h);
	assert_int_equal(paid_of(&h, &late), 300);
	assert_int_equal(stands(&h, &last, &f, NULL), 0);
	assert_int_equal(f.paid.fen, 200);
	all_holds(&h);
	house_close(&h);
}

static void the_last_day_of_the_window_still_adjusts(void **state)
{
	struct tap last = tap_at(1, DAY0, 600, "A", 200), late = tap_at(1, DAY0, 560, "B", 300);
	struct house h;

	(void)state;
	house_open(&h);
	tap_send(&h, &last);
	days_end(&h, DAY0 + 9);
	tap_send(&h, &late);
	day_end(&h);
	assert_int_equal(paid_of(&h, &last), 100);
	all_holds(&h);
	house_close(&h);
}

static void a_tap_beyond_the_hard_limit_is_kept_with_its_verdict(void **state)
{
	struct tap last = tap_at(1, DAY0, 600, "A", 200), late = tap_at(1, DAY0, 560, "B", 300);
	struct cleared row;
	struct house h;
	struct fare f;
	struct txn t;
	int32_t day;

	(void)state;
	house_open(&h);
	tap_send(&h, &last);
	days_end(&h, DAY0 + 30);
	tap_send(&h, &late);
	day_end(&h);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	row_of(&t, &late, &row, &day);
	assert_int_equal(row.verdict, VERDICT_TOO_OLD);
	assert_int_equal(day, DAY0 + 31);
	txn_abort(&t);
	assert_int_equal(stands(&h, &last, &f, NULL), 0);
	all_holds(&h);
	house_close(&h);
}

/* ---- any order ---------------------------------------------------------------------------------------------------------- */

#define RIDES_MAX 160
static struct { struct tap tap; int32_t service, arrives; } ride[RIDES_MAX];

static void rides_make(size_t count)
{
	static const char *const lines[] = { "A", "B", "C", "K" };

	for (size_t i = 0; i < count; i++) {
		int32_t service = DAY0 + (int32_t)sample_below(5);
		const char *line = lines[sample_below(4)];

		ride[i].tap = tap_at(1 + sample_below(6), service, 360 + (int)sample_below(200), line, 100 * sample_below(4));
		ride[i].tap.terminal[5] = ride[i].tap.psam[5] = (uint8_t)(1 + sample_below(2));
		if (line[0] == 'K') {
			ride[i].tap.kind = sample_below(2) != 0 ? TAP_BOARD : TAP_ALIGHT;
			ride[i].tap.distance_m = sample_below(20000);
			ride[i].tap.stop_on = 1;
			ride[i].tap.stop = ride[i].tap.kind == TAP_BOARD ? 1 : 7;
		}
		ride[i].service = service;
		ride[i].arrives = service + (sample_below(3) == 0 ? (int32_t)sample_below(6) : 0);
	}
}

static void elders_add(struct house *h)
{
	static const char riders[] = "pan,person,birth,issued,home,group,grade,from,to,verified_to\n"
				     "03104730150000000001,9001,1950-01-01,,,elder,,2025-01-01,,\n"
				     "03104730150000000002,9001,1950-01-01,,,elder,,2025-01-01,,\n";

	event_add(h, EVENT_RIDERS, "", 0, riders, strlen(riders));
}

static void any_order_of_arrival_over_days_ends_in_the_same_books(void **state)
{
	int adjusted = 0;

	(void)state;
	for (int round = 0; round < 4; round++) {
		size_t count = 60 + sample_below(100);
		struct house any, ordered;

		rides_make(count);
		house_open(&any);
		house_open(&ordered);
		elders_add(&any);
		elders_add(&ordered);
		for (int32_t day = DAY0; day < DAY0 + 11; day++) {
			for (size_t i = 0; i < count; i++) {
				if (ride[i].arrives == day)
					tap_send(&any, &ride[i].tap);
				if (ride[i].service == day)
					tap_send(&ordered, &ride[i].tap);
			}
			day_end(&any);
			day_end(&ordered);
		}
		for (size_t i = 0; i < count; i++) {
			struct fare x, y;

			adjusted += stands(&any, &ride[i].tap, &x, NULL);
			assert_int_equal(stands(&ordered, &ride[i].tap, &y, NULL), 0);
			assert_int_equal(x.paid.fen, y.paid.fen);
			assert_int_equal(x.published.fen, y.published.fen);
			assert_int_equal(x.absorbed.fen, y.absorbed.fen);
		}
		same_books(&any, &ordered);
		all_holds(&any);
		house_close(&any);
		house_close(&ordered);
	}
	assert_true(adjusted > 20);
}

/* ---- rules changed back in time ------------------------------------------------------------------------------------------- */

static void persons_add(struct house *h)
{
	char csv[512] = "name,title,key\n", hex[131];
	uint8_t point[65];

	for (int i = 0; i < 2; i++) {
		qr_key_point(key[i], point);
		hex_encode(point, sizeof(point), hex);
		snprintf(csv + strlen(csv), sizeof(csv) - strlen(csv), "%s,,%s\n", i == 0 ? "zhang" : "li", hex);
	}
	event_add(h, EVENT_PERSONS, "", 0, csv, strlen(csv));
}

static int rerate_ask(struct house *h, int who, int32_t from, int32_t to)
{
	uint8_t head[RERATE_BYTES] = { 0 };
	char text[PUBLISH_TEXT_BYTES];

	be32_put(head, (uint32_t)from);
	be32_put(head + 4, (uint32_t)to);
	strcpy((char *)head + 8, who == 0 ? "zhang" : "li");
	be32_put(head + 104, (uint32_t)h->open);
	assert_int_equal(sm2_sign(key[who], text, rerate_text(from, to, h->open, text), head + 40), 0);
	return event_try(h, EVENT_RERATE, head, sizeof(head), "", 0);
}

static void a_change_back_in_time_is_booked_when_two_persons_ask_for_it(void **state)
{
	struct tap before = tap_at(1, DAY0, 480, "A", 100), after = tap_at(1, DAY0 + 1, 480, "A", 100), late = tap_at(1, DAY0 + 1, 300, "A", 100);
	uint8_t rows[DIGEST_BYTES], again[DIGEST_BYTES];
	struct rerate_effect e;
	struct adjustment a;
	struct house h;
	struct fare f;

	(void)state;
	house_open(&h);
	elders_add(&h);
	persons_add(&h);
	tap_send(&h, &before);
	day_end(&h);
	tap_send(&h, &after);
	day_end(&h);
	rows_digest(&h, DAY0 + 1, rows);
	tariff_add(&h, 1, DAY0 + 1);
	tap_send(&h, &late);		/* a replay by itself does not bring the new rule in */
	day_end(&h);
	assert_int_equal(paid_of(&h, &late), 80);
	assert_int_equal(stands(&h, &after, &f, NULL), 0);

	assert_int_equal(rerate_try(h.store, 0, DAY0, DAY0 + 1, &e), 0);
	assert_int_equal(e.rides, 1);
	assert_int_equal(e.cards, 1);
	assert_int_equal(e.rider_fen, 20);
	assert_int_equal(e.treasuries, 2);
	assert_int_equal(e.treasury[0].fen + e.treasury[1].fen, 20);
	assert_int_equal(e.operator_fen, 0);
	assert_int_equal(rerate_ask(&h, 0, DAY0, DAY0 + 1), 0);
	assert_int_equal(rerate_ask(&h, 0, DAY0, DAY0 + 1), CLEARING_E_REFERENCE);
	day_end(&h);
	assert_int_equal(stands(&h, &after, &f, NULL), 0);	/* one signature, and that for another day */
	assert_int_equal(rerate_ask(&h, 1, DAY0, DAY0 + 1), 0);
	assert_int_equal(rerate_ask(&h, 0, DAY0, DAY0 + 1), 0);
	day_end(&h);
	assert_int_equal(stands(&h, &after, &f, &a), 1);
	assert_int_equal(f.paid.fen, 80);
	assert_int_equal(a.cause, ADJUST_RERATE);
	assert_int_equal(a.was_version, 1);
	assert_int_equal(a.tariff_version, 2);
	assert_int_equal(stands(&h, &before, &f, NULL), 0);
	rows_digest(&h, DAY0 + 1, again);
	assert_memory_equal(rows, again, DIGEST_BYTES);
	all_holds(&h);
	house_close(&h);
}

static void a_ride_rated_again_keeps_the_new_rule_when_a_late_tap_moves_it(void **state)
{
	struct tap ride_b = tap_at(1, DAY0, 480, "B", 150), late = tap_at(1, DAY0, 440, "A", 100);
	struct house h;
	struct fare f;

	(void)state;
	house_open(&h);
	elders_add(&h);
	persons_add(&h);
	tap_send(&h, &ride_b);
	day_end(&h);
	tariff_add(&h, 1, DAY0);
	assert_int_equal(rerate_ask(&h, 0, DAY0, DAY0), 0);
	assert_int_equal(rerate_ask(&h, 1, DAY0, DAY0), 0);
	day_end(&h);
	assert_int_equal(paid_of(&h, &ride_b), 120);
	tap_send(&h, &late);
	day_end(&h);
	assert_int_equal(stands(&h, &ride_b, &f, NULL), 2);
	assert_int_equal(f.paid.fen, 20);	/* 40 % of 3.00 less the transfer's 1.00 */
	all_holds(&h);
	house_close(&h);
}

static void an_entitlement_learned_of_later_can_be_tried_on_a_persons_rides(void **state)
{
	struct tap ride_a = tap_at(1, DAY0, 480, "A", 200), other = tap_at(3, DAY0, 480, "A", 200);
	struct rerate_effect e;
	struct house h;
	struct fare f;

	(void)state;
	house_open(&h);
	tap_send(&h, &ride_a);
	tap_send(&h, &other);
	day_end(&h);
	elders_add(&h);
	day_end(&h);
	assert_int_equal(stands(&h, &ride_a, &f, NULL), 0);
	assert_int_equal(rerate_try(h.store, card_person(ride_a.pan), DAY0, INT32_MAX, &e), 0);
	assert_int_equal(e.rides, 1);
	assert_int_equal(e.rider_fen, 100);
	assert_int_equal(rerate_try(h.store, card_person(other.pan), DAY0, INT32_MAX, &e), 0);
	assert_int_equal(e.rides, 0);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_late_tap_makes_the_ride_after_it_a_transfer_by_an_adjustment),
		cmocka_unit_test(a_late_tap_off_takes_back_what_was_charged_as_unfinished),
		cmocka_unit_test(a_tap_beyond_the_window_is_rated_alone_and_changes_nothing),
		cmocka_unit_test(the_last_day_of_the_window_still_adjusts),
		cmocka_unit_test(a_tap_beyond_the_hard_limit_is_kept_with_its_verdict),
		cmocka_unit_test(any_order_of_arrival_over_days_ends_in_the_same_books),
		cmocka_unit_test(a_change_back_in_time_is_booked_when_two_persons_ask_for_it),
		cmocka_unit_test(a_ride_rated_again_keeps_the_new_rule_when_a_late_tap_moves_it),
		cmocka_unit_test(an_entitlement_learned_of_later_can_be_tried_on_a_persons_rides),
	};

	return cmocka_run_group_tests_name("adjust", tests, packs_make, packs_free);
}
