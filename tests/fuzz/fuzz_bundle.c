/* A bundle: whatever it says, nothing beyond it is read; and any bytes cut into parts come out as they went in. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct bundler *bundler;
static struct unbundler *unbundler;

/* The seal would refuse all that is not a bundle: it is made right, so that what lies behind it is tried. */
static void unpack(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n + 1);
	struct bundle *b = NULL;

	assert(copy != NULL);
	memcpy(copy, p, n);
	if (n >= BUNDLE_HEAD_BYTES)
		bundle_seal(copy, n, copy + BUNDLE_HEAD_BYTES - DIGEST_BYTES);
	if (bundle_unpack(unbundler, copy, n, &b) == 0)
		for (uint32_t i = 0; i < b->parts; i++)
			assert(b->part[i].n <= BUNDLE_BYTES_MAX && (b->part[i].n == 0 || b->part[i].p[b->part[i].n - 1] <= 255));
	free(b);
	free(copy);
}

/* A byte says how long each part is, in steps of sixteen. */
static void pack(const uint8_t *p, size_t n)
{
	static struct bundle_part part[256];
	struct bundle *b = NULL;
	const void *packed;
	size_t bytes, parts = 0;

	for (size_t at = 0; at < n && n <= BUNDLE_BYTES_MAX && parts < 256; parts++) {
		size_t left = n - at - 1, length = 16u * p[at] < left ? 16u * p[at] : left;

		part[parts] = (struct bundle_part){ .seq = p[at] * 7919u, .p = p + at + 1, .n = (uint32_t)length };
		at += 1 + length;
	}
	if (parts == 0)
		return;
	assert(bundle_pack(bundler, part, parts, &packed, &bytes) == 0 && bundle_unpack(unbundler, packed, bytes, &b) == 0 && b->parts == parts);
	for (size_t i = 0; i < parts; i++)
		assert(b->part[i].seq == part[i].seq && b->part[i].n == part[i].n && memcmp(b->part[i].p, part[i].p, part[i].n) == 0);
	free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (bundler == NULL)
		assert(bundler_new(&bundler) == 0 && unbundler_new(&unbundler) == 0);
	if (n > 0 && p[0] == BUNDLE_VERSION)
		unpack(p, n);
	else
		pack(p, n);
	return 0;
}
