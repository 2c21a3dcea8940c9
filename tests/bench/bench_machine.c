/*
 * bench_machine - what the machine itself costs, beside which other figures are read: memory that the system gives for the
 * first time, in small and in large pages, and the same memory written again; SHA-256 as one stream.
 */
#include <string.h>
#include <sys/mman.h>

#include "keys/keys.h"
#include "tests/bench/bench.h"

#define BYTES ((size_t)256 << 20)
#define ROUNDS 5

static double ns_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Megabytes a second: the first byte of each small page, then every byte. */
static void memory_round(bool large, double *ret_new, double *ret_again)
{
	uint8_t *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double start, between;

	must(p != MAP_FAILED);
	madvise(p, BYTES, large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	start = ns_now();
	for (size_t at = 0; at < BYTES; at += 4096)
		((volatile uint8_t *)p)[at] = 1;
	between = ns_now();
	memset(p, 2, BYTES);
	*ret_again = (double)BYTES * 1e3 / (ns_now() - between);
	*ret_new = (double)BYTES * 1e3 / (between - start);
	must(p[BYTES - 1] == 2 && munmap(p, BYTES) == 0);
}

static double digest_round(void)
{
	static uint8_t text[1 << 20];
	uint8_t digest[DIGEST_BYTES];
	struct digest d;
	double start = ns_now();

	digest_reset(&d);
	for (int i = 0; i < 64; i++)
		digest_add(&d, text, sizeof(text));
	digest_end(&d, digest);
	return 64.0 * sizeof(text) * 1e3 / (ns_now() - start);
}

int main(void)
{
	static const char *const name[2][2] = { { "memory-new-small-pages", "memory-again-small-pages" }, { "memory-new-large-pages", "memory-again-large-pages" } };
	double round[5][ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		memory_round(false, &round[0][i], &round[1][i]);
		memory_round(true, &round[2][i], &round[3][i]);
		round[4][i] = digest_round();
	}
	for (int i = 0; i < 4; i++)
		line(name[i / 2][i % 2], "MB/s", median(round[i], ROUNDS), 0, BYTES, "");
	line("sha256-stream", "MB/s", median(round[4], ROUNDS), 0, 64u << 20, "");
	return 0;
}
