/*
 * bench_clear STORE DAY - cuts the day of a store that was filled by an upload, and clears it: wall and CPU
 * nanoseconds a tap, bytes of the store a tap. The store is written to: give a copy.
 */
#include "clearing/clearing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int cut(struct store *s, int32_t day)
{
	struct txn t;
	int ret = txn_begin(s, true, &t);

	if (ret == 0)
		ret = day_cut(&t, day, (int64_t)(day + 1) * 86400000);
	if (ret == 0)
		return txn_commit(&t);
	txn_abort(&t);
	return ret;
}

int main(int argc, char **argv)
{
	struct clear_stats stats = { 0 };
	struct store *s;
	uint64_t before;
	int64_t cpu;
	int32_t day;
	int ret;

	if (argc != 3 || !day_parse(argv[2], &day)) {
		fprintf(stderr, "usage: bench_clear STORE YYYY-MM-DD\n");
		return 2;
	}
	ret = store_open(argv[1], false, 64ULL << 30, &s);
	if (ret == 0)
		ret = cut(s, day);
	before = ret == 0 ? store_used_bytes(s) : 0;
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (ret == 0)
		ret = day_clear(s, day, &stats);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	if (ret != 0 || stats.taps == 0) {
		fprintf(stderr, "bench_clear: %s\n", clearing_strerror(ret));
		return 1;
	}
	printf("{\"bench\":\"clear\",\"taps\":%" PRIu64 ",\"ms\":%" PRIu64 ",\"taps_per_second\":%" PRIu64 ",\"cpu_ns_per_tap\":%" PRIu64
	       ",\"bytes_before_per_tap\":%" PRIu64 ",\"bytes_per_tap\":%" PRIu64 "}\n", stats.taps, stats.ns / 1000000,
	       (uint64_t)((double)stats.taps * 1e9 / (double)stats.ns), (uint64_t)cpu / stats.taps, before / stats.taps, store_used_bytes(s) / stats.taps);
	store_close(s);
	return 0;
}
