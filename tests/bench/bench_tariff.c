/*
 * bench_tariff - the tariff engine on one core: a ride rated in the steady state for the Ganzhou pack with transfer and
 * a quota in play, and a pack of 500 lines and 60 rules compiled. One JSON line each; times are processor time, medians of
 * rounds.
 *
 * bench_tariff calls N: rates N rides and prints nothing, for counting instructions.
 */
#include "tests/bench/bench.h"

#include <string.h>
#include <unistd.h>

#include "tariffs/tariffs.h"

#define ROUNDS 9
#define RIDERS 4096
#define RIDES 200000

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

	must(tariff_compile_with("tariffs/packs/ganzhou", &with, fault_tell, NULL, ret_blob, &bytes) == 0 && tariff_open(*ret_blob, bytes, &t) == 0);
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
	line("rate", "ns/op", median(ns, ROUNDS), cpu_now() - start, (uint64_t)ROUNDS * RIDES, "");
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

/* 16 groups: by age, by hold with a yearly check, by the card's class, by hold. */
static void groups_write(FILE *f)
{
	fprintf(f, "groups:\n");
	for (int i = 0; i < 16; i++) {
		fprintf(f, "  - {name: g%d, title: 人群%d, code: %d, source: 局, ", i, i, i + 1);
		switch (i % 4) {
		case 0: fprintf(f, "age: [%d, %d]}\n", 60 + i, 63 + i); break;
		case 1: fprintf(f, "hold: yes, check: yearly, lapsed: ordinary}\n"); break;
		case 2: fprintf(f, "class: [%d]}\n", i % 10 + 2); break;
		default: fprintf(f, "hold: yes}\n"); break;
		}
	}
}

/* 60 rules: 53 concessions, a third of them counted by one of two quotas, 4 transfers, 2 caps, 1 lock. */
static void rules_write(FILE *f)
{
	fprintf(f, "quotas:\n  - {id: month, title: 每月, basis: 测试, limit: 100, per: month, of: person}\n  - {id: day, title: 每日, basis: 测试, limit: 4, per: day, of: card}\n");
	fprintf(f, "concessions:\n  - {id: ordinary, title: 普通卡, basis: 测试, from: 2025-01-01, price: 90%%, fund: none}\n");
	for (int i = 0; i < 52; i++)
		fprintf(f, "  - {id: r%d, title: 规则%d, basis: 测试, from: 2025-01-01, precedence: %d, who: [g%d], class: [c%d], price: %d%%, shut: [\"07:00-08:30\"], shut_days: workday, shut_price: ordinary, %sfund: gap}\n",
			i, i, 10 + i % 4, i % 16, i / 7, 10 + i, i % 3 != 0 ? "" : i % 2 == 0 ? "quota: month, quota_empty: ordinary, " : "quota: day, quota_empty: ordinary, ");
	fprintf(f, "transfers:\n");
	for (int i = 0; i < 4; i++)
		fprintf(f, "  - {id: t%d, title: 换乘%d, basis: 测试, class: [c%d, c%d], minutes: %d, minus_fen: 50, fund: none}\n", i, i, 2 * i, 2 * i + 1, 60 + 10 * i);
	fprintf(f, "caps:\n");
	for (int i = 0; i < 2; i++)
		fprintf(f, "  - {id: cap%d, title: 封顶%d, basis: 测试, class: [c%d], per: %s, of: card, limits: [{from: 2025-01-01, fen: 10000}], fund: none}\n", i, i, i,
			i == 0 ? "day" : "month");
	fprintf(f, "locks:\n  - {id: twice, title: 重复刷卡, basis: 测试, with: [ordinary], minutes: 1, same_vehicle: yes, then: passenger}\n");
}

static void pack_yaml_write(const char *dir)
{
	FILE *f = file_in(dir, "pack.yaml");

	fprintf(f, "name: large\ntitle: 大城市\nversion: 1\nvalid_from: 2025-01-01\npublished_on: 2025-01-01\nbasis: 性能测试\n"
		   "order: [concession, transfer, cap]\nrounding: {mode: half-up, unit_fen: 1}\nstacking: cheapest\ncard_price: ordinary\n"
		   "treasuries: [{name: city, title: 市财政}, {name: district, title: 区财政}]\n"
		   "funding:\n  - {id: none, title: 企业, basis: 测试, gap: none}\n  - {id: gap, title: 财政, basis: 测试, gap: published, share: {city: 60, district: 40}}\n"
		   "classes:\n");
	for (int i = 0; i < 8; i++)
		fprintf(f, "  - {name: c%d, title: 类别%d}\n", i, i);
	groups_write(f);
	rules_write(f);
	fclose(f);
}

/* 500 lines, a fifth of them with the prices between 20 stops; two years of holidays; a case. */
static void tables_write(const char *dir)
{
	FILE *f = file_in(dir, "lines.csv");

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
	fprintf(f, "date,kind,note\n");
	for (int year = 2025; year < 2027; year++)
		fprintf(f, "%d-01-01,holiday,元旦\n%d-02-08,workday,调休\n%d-05-01,holiday,劳动节\n%d-10-01,holiday,国庆节\n%d-10-02,holiday,国庆节\n", year, year, year, year, year);
	fclose(f);
	f = file_in(dir, "cases.csv");
	fprintf(f, "case,time,line,fare_fen,subsidy_fen,absorbed_fen,rejected\na,2025-03-03T10:00:00,L1,180,0,20,no\n");
	fclose(f);
}

static void bench_compile(void)
{
	char dir[] = "/tmp/qingfen-bench-XXXXXX", command[64], more[96];
	double ms[ROUNDS], start = cpu_now();
	struct tariff *t = NULL;
	size_t bytes = 0;

	must(mkdtemp(dir) != NULL);
	pack_yaml_write(dir);
	tables_write(dir);
	for (int i = 0; i < ROUNDS; i++) {
		double from = cpu_now();
		int run = 0;
		void *blob;

		must(tariff_compile(dir, fault_tell, NULL, &blob, &bytes) == 0);
		ms[i] = (cpu_now() - from) * 1e3;
		must(tariff_open(blob, bytes, &t) == 0 && tariff_run_cases(dir, t, fault_tell, NULL, &run) == 0 && run == 1);
		snprintf(more, sizeof(more), ",\"lines\":%zu,\"rules\":%zu,\"bytes\":%zu", tariff_line_count(t), tariff_rule_count(t) - 1, bytes);
		tariff_close(t);
		free(blob);
	}
	line("tariff-compile-500-lines-60-rules", "ms", median(ms, ROUNDS), cpu_now() - start, ROUNDS, more);
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
	return 0;
}
