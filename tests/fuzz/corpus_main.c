/*
 * corpus_main - runs a fuzz target without a fuzzer: every file of the seed corpus, then deterministic
 * mutations of each (bytes set, flipped, cut, repeated, lengths made huge). The same input on every machine,
 * so that a failure of the ordinary test run can be repeated. usage: fuzz_NAME CORPUS_DIR
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES_MAX (1 << 20)
#define MUTATIONS 2000

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static uint64_t state = 0x9E3779B97F4A7C15;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static size_t mutate(uint8_t *p, size_t n)
{
	static const uint8_t heads[] = { 0xDD, 0xDF, 0xC6, 0xDB, 0xC1, 0xFF, 0x00, 0x80 };

	for (unsigned k = 1 + (unsigned)(rnd() % 4); k > 0 && n > 0; k--) {
		size_t at = rnd() % n, many = rnd() % (n - at) + 1;

		switch (rnd() % 6) {
		case 0: p[at] ^= (uint8_t)(1u << rnd() % 8); break;
		case 1: p[at] = (uint8_t)rnd(); break;
		case 2: p[at] = heads[rnd() % sizeof(heads)]; break;
		case 3: n = at; break;
		case 4: memset(p + at, 0xFF, many > 4 ? 4 : many); break;
		default:
			if (n + many <= INPUT_BYTES_MAX) {
				memmove(p + at + many, p + at, n - at);
				n += many;
			}
		}
	}
	return n;
}

/* The target gets exactly its bytes on the heap, so that a sanitizer sees a read past them. */
static void run(const uint8_t *p, size_t n)
{
	uint8_t *exact = malloc(n > 0 ? n : 1);

	if (exact == NULL)
		abort();
	memcpy(exact, p, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

static unsigned run_file(const char *path)
{
	static uint8_t seed[INPUT_BYTES_MAX], work[INPUT_BYTES_MAX];
	FILE *f = fopen(path, "re");
	size_t n;

	if (f == NULL)
		return 0;
	n = fread(seed, 1, sizeof(seed), f);
	fclose(f);
	run(seed, n);
	for (unsigned i = 0; i < MUTATIONS; i++) {
		memcpy(work, seed, n);
		run(work, mutate(work, n));
	}
	return 1 + MUTATIONS;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	struct dirent **entry = NULL;
	unsigned inputs = 0;
	char path[4096];
	int files;

	name = name != NULL ? name + 1 : argv[0];
	files = argc == 2 ? scandir(argv[1], &entry, NULL, alphasort) : -1;
	for (int i = 0; i < files; i++) {
		if (entry[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", argv[1], entry[i]->d_name);
			inputs += run_file(path);
		}
		free(entry[i]);
	}
	free(entry);
	run((const uint8_t *)"", 0);
	printf("%s - %s survives its corpus and mutations of it (%u inputs)\n", inputs > 0 ? "ok" : "not ok", name, inputs);
	return inputs > 0 ? 0 : 1;
}
