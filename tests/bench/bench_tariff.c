/*
 * bench_tariff - the tariff engine on one core: a ride rated in the steady state for the Ganzhou pack with transfer and
 * a quota in play, a pack of 500 lines and 60 rules compiled, an entitlement looked up among millions of persons as
 * ingest does it. One JSON line each; times are processor time, rate is the median of rounds.
 *
 * bench_tariff calls N: rates N rides and prints nothing, for counting instructions.
 */
#include "clearing/clearing.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/stat.h>

#define ROUNDS 9
#define RIDERS 4096
#define RIDES 200000

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(bool holds)
{
	if (!holds)
		abort();
}

static int double_compare(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b; }

static void line(const char *name, const char *unit, double value, double cpu_s, uint64_t n)
{
	printf("{\"bench\":\"%s\",\"unit\":\"%s\",\"value\":%.0f,\"cpu_s\":%.3f,\"n\":%llu}\n", name, unit, value, cpu_s, (unsigned long long)n);
	fflush(stdout);
}

static void to_stderr(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

/* ---- rate ---------------------------------------------------------------------------------------------- */

/* A quota beside the pack's own rules, so that one is counted: elders ride free 120 times a month, then half. */
static const char quota_yaml[] =
	"quotas:\n"
	"  - {id: bench-month, title: 每月 120 次, basis: 性能测试, limit: 120, per: month, of: person}\n"
	"concessions:\n"
	"  - {id: bench-free, title: 每月 120 次免费, basis: 性能测试, from: 2020-01-01, precedence: 90, who: [elder65], not_class: [express], price: free, "
	"quota: bench-month, quota_empty: published, fund: full-gap}\n";

static struct tariff *ganzhou(void **ret_blob)
{
	const struct tariff_overlay with = { .yaml = quota_yaml };
	struct tariff *t = NULL;
	size_t bytes;

	must(tariff_compile_with("tariffs/packs/ganzhou", &with, to_stderr, NULL, ret_blob, &bytes) == 0 && tariff_open(*ret_blob, bytes, &t) == 0);
	return t;
}

struct stream { struct ride ride[RIDERS]; struct rider rider[RIDERS]; struct rider_state state[RIDERS]; };

/* Ordinary cards, elders with the quota, pupils with a yearly check, on flat, section and express lines; each rider
 * comes again every few minutes, so that windows open and transfers happen. */
static void stream_fill(struct stream *s)
{
	static const char *const lines[] = { "18", "101", "S1", "N1", "D1", "7" };

	for (size_t i = 0; i < RIDERS; i++) {
		s->rider[i] = (struct rider){ .birth = i % 3 == 1 ? day_of_civil(1950, 1, 1) : DAY_NONE, .issued = DAY_NONE, .home = 360702 };
		if (i % 3 == 2)
			s->rider[i].hold[s->rider[i].hold_count++] = (struct hold){ .group = 2, .to = INT32_MAX, .verified_to = INT32_MAX };
		s->ride[i] = (struct ride){ .event = RIDE_SINGLE, .medium = i % 5 == 0 ? MEDIUM_QR : MEDIUM_PURSE, .card_class = 1, .stop_on = 3, .card = (uint32_t)i + 1 };
		strcpy(s->ride[i].line, lines[i % 6]);
		strcpy(s->ride[i].vehicle, i & 1 ? "B12345" : "B67890");
	}
}

static uint64_t rate_many(const struct tariff *t, struct stream *s, int64_t from_ms, unsigned n)
{
	uint64_t paid = 0;
	struct fare fare;

	for (unsigned i = 0; i < n; i++) {
		size_t at = i % RIDERS;
		struct ride *ride = &s->ride[(at + i / RIDERS) % RIDERS];

		ride->time_ms = from_ms + (int64_t)(i / RIDERS) * 1200000 + (int64_t)at;
		rate(t, &s->rider[at], &s->state[at], ride, &s->state[at], &fare, NULL);
		paid += (uint64_t)fare.paid.fen;
	}
	return paid;
}

static void bench_rate(void)
{
	struct stream *s = calloc(1, sizeof(*s));
	double ns[ROUNDS], start = cpu_now();
	struct tariff *t = NULL;
	void *blob;

	must(s != NULL);
	t = ganzhou(&blob);
	stream_fill(s);
	for (int i = 0; i < ROUNDS; i++) {
		double from = cpu_now();

		must(rate_many(t, s, 1762131600000LL + (int64_t)i * 86400000, RIDES) > 0);
		ns[i] = (cpu_now() - from) * 1e9 / RIDES;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), double_compare);
	line("rate", "ns/op", ns[ROUNDS / 2], cpu_now() - start, (uint64_t)ROUNDS * RIDES);
	tariff_close(t);
	free(blob);
	free(s);
}

/* ---- compile --------------------------------------------------------------------------------------------- */

static FILE *file_in(const char *dir, const char *name)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	must(f != NULL);
	return f;
}

/* 500 lines, a fifth of them with 20 stops of sections; 60 rules over 16 groups. */
static void pack_write(const char *dir)
{
	FILE *f = file_in(dir, "pack.yaml");

	fprintf(f, "name: large\ntitle: 大城市\nversion: 1\nvalid_from: 2025-01-01\npublished_on: 2025-01-01\nbasis: 性能测试\n"
		   "order: [concession, transfer, cap]\nrounding: {mode: half-up, unit_fen: 1}\nstacking: cheapest\ncard_price: ordinary\n"
		   "treasuries: [{name: city, title: 市财政}, {name: district, title: 区财政}]\n"
		   "funding:\n  - {id: none, title: 企业, basis: 测试, gap: none}\n  - {id: gap, title: 财政, basis: 测试, gap: published, share: {city: 60, district: 40}}\n"
		   "classes:\n");
	for (int i = 0; i < 8; i++)
		fprintf(f, "  - {name: c%d, title: 类别%d}\n", i, i);
	fprintf(f, "groups:\n");
	for (int i = 0; i < 16; i++)
		fprintf(f, "  - {name: g%d, title: 人群%d, code: %d, source: 局, hold: yes}\n", i, i, i + 1);
	fprintf(f, "quotas:\n  - {id: month, title: 每月, basis: 测试, limit: 100, per: month, of: person}\n"
		   "concessions:\n  - {id: ordinary, title: 普通卡, basis: 测试, from: 2025-01-01, price: 90%%, fund: none}\n");
	for (int i = 0; i < 52; i++)
		fprintf(f, "  - {id: r%d, title: 规则%d, basis: 测试, from: 2025-01-01, precedence: %d, who: [g%d], class: [c%d], price: %d%%, shut: [\"07:00-08:30\"], shut_days: workday, shut_price: ordinary, fund: gap}\n",
			i, i, 10 + i % 4, i % 16, i / 7, 10 + i);
	fprintf(f, "transfers:\n");
	for (int i = 0; i < 4; i++)
		fprintf(f, "  - {id: t%d, title: 换乘%d, basis: 测试, class: [c%d, c%d], minutes: 90, minus_fen: 50, fund: none}\n", i, i, 2 * i, 2 * i + 1);
	fprintf(f, "caps:\n");
	for (int i = 0; i < 2; i++)
		fprintf(f, "  - {id: cap%d, title: 封顶%d, basis: 测试, class: [c%d], per: %s, of: card, limits: [{from: 2025-01-01, fen: 10000}], fund: none}\n", i, i, i,
			i == 0 ? "day" : "month");
	fclose(f);
	f = file_in(dir, "lines.csv");
	fprintf(f, "line,class,fare\n");
	for (int i = 0; i < 500; i++)
		fprintf(f, "L%d,c%d,%s\n", i, i % 8, i % 5 == 0 ? "section:500" : "flat:200");
	fclose(f);
	f = file_in(dir, "sections.csv");
	fprintf(f, "line,from_stop,to_stop,fen\n");
	for (int i = 0; i < 500; i += 5)
		for (int a = 1; a <= 20; a++)
			for (int b = a + 1; b <= 20; b++)
				fprintf(f, "L%d,%d,%d,%d\n", i, a, b, 100 + 25 * (b - a));
	fclose(f);
	f = file_in(dir, "calendar.csv");
	fprintf(f, "date,kind\n2025-01-01,holiday\n2026-01-01,holiday\n");
	fclose(f);
	f = file_in(dir, "cases.csv");
	fprintf(f, "case,time,line,fare_fen,subsidy_fen,absorbed_fen,rejected\na,2025-03-03T10:00:00,L1,180,0,20,no\n");
	fclose(f);
}

static void bench_compile(void)
{
	char dir[] = "/tmp/qingfen-bench-XXXXXX", command[64];
	double start;
	size_t bytes;
	void *blob;

	must(mkdtemp(dir) != NULL);
	pack_write(dir);
	start = cpu_now();
	must(tariff_compile(dir, to_stderr, NULL, &blob, &bytes) == 0);
	line("tariff-compile-500-lines-60-rules", "ms", (cpu_now() - start) * 1e3, cpu_now() - start, 1);
	free(blob);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	must(system(command) == 0);
}

/* ---- entitlements ------------------------------------------------------------------------------------------ */

static void pan_of(uint32_t i, uint8_t pan[10])
{
	memcpy(pan, (const uint8_t[]){ 0x03, 0x10, 0x47, 0x30, 0x15, 0 }, 6);
	for (unsigned at = 9; at > 5; at--, i /= 100)
		pan[at] = (uint8_t)((i / 10 % 10) << 4 | i % 10);
}

/* A tenth of the persons at a time, as a bureau's batch of theirs would. */
static void persons_load(struct store *s, uint32_t persons)
{
	const uint32_t part = 500000;
	char *csv = malloc(96ull * part);
	struct refdata *ref;
	char error[256];
	struct txn t;

	must(csv != NULL && refdata_new(&ref) == 0);
	for (uint32_t at = 0, seq = 1; at < persons; at += part, seq++) {
		size_t n = (size_t)sprintf(csv, "pan,person,birth,issued,home,group,grade,from,to,verified_to\n");
		struct event e = { .seq = seq, .type = EVENT_RIDERS, .body = (const uint8_t *)csv };

		for (uint32_t i = at; i < persons && i < at + part; i++) {
			char digits[21];
			uint8_t pan[10];

			pan_of(2 * i, pan);
			pan_digits(pan, digits);
			n += (size_t)sprintf(csv + n, "%s,%u,1950-01-01,2020-01-01,360702,,,,,\n", digits, i + 1);
		}
		e.bytes = n;
		must(txn_begin(s, true, &t) == 0 && refdata_apply(ref, &e, &t, error, sizeof(error)) == 0 && txn_commit(&t) == 0);
	}
	refdata_free(ref);
	free(csv);
}

static void bench_entitlement(uint32_t persons)
{
	char dir[] = "/tmp/qingfen-bench-XXXXXX", command[64], name[64];
	const unsigned n = 200000;
	uint64_t random = 1;
	struct store *s = NULL;
	struct rider rider;
	struct txn t;

	must(mkdtemp(dir) != NULL && store_open(dir, false, (size_t)16 << 30, &s) == 0);
	persons_load(s, persons);
	must(txn_begin(s, false, &t) == 0);
	for (int hit = 1; hit >= 0; hit--) {
		double start = cpu_now();
		unsigned found = 0;

		for (unsigned i = 0; i < n; i++) {
			uint8_t pan[10];

			random = random * 6364136223846793005u + 1442695040888963407u;
			pan_of(2 * (uint32_t)((random >> 33) % persons) + (hit == 0), pan);
			found += rider_find(&t, pan, UINT64_MAX, &rider) >> 63;
		}
		must(found == (hit != 0 ? n : 0));
		snprintf(name, sizeof(name), "entitlement-%s-%um-persons", hit != 0 ? "hit" : "miss", persons / 1000000);
		line(name, "ns/op", (cpu_now() - start) * 1e9 / n, cpu_now() - start, n);
	}
	line("entitlement-store", "bytes/person", (double)store_used_bytes(s) / persons, 0, persons);
	txn_abort(&t);
	store_close(s);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	must(system(command) == 0);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "calls") == 0) {
		struct stream *s = calloc(1, sizeof(*s));
		void *blob;
		struct tariff *t = ganzhou(&blob);

		must(s != NULL);
		stream_fill(s);
		rate_many(t, s, 1762131600000LL, (unsigned)atoi(argv[2]));
		tariff_close(t);
		free(blob);
		free(s);
		return 0;
	}
	bench_rate();
	bench_compile();
	bench_entitlement(argc == 2 ? (uint32_t)atoi(argv[1]) : 5000000);
	return 0;
}
