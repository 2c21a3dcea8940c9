/* bench - what the benchmark programs share: processor time, the median of rounds, one JSON line a figure. */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void must(bool holds)
{
	if (!holds)
		abort();
}

/* What is wrong with a tariff pack, or that there is none: programs are called in the project's folder. */
static inline void fault_tell(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static inline int double_compare(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b;
}

static inline double median(double *round, size_t n)
{
	qsort(round, n, sizeof(*round), double_compare);
	return round[n / 2];
}

/* more: further members, each with a comma before it, or "". */
static inline void line(const char *name, const char *unit, double value, double cpu_s, uint64_t n, const char *more)
{
	printf("{\"bench\":\"%s\",\"unit\":\"%s\",\"value\":%.0f,\"cpu_s\":%.3f,\"n\":%llu%s}\n", name, unit, value, cpu_s, (unsigned long long)n, more);
	fflush(stdout);
}

#endif
