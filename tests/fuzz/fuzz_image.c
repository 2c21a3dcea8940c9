/*
 * Images of the writer's memory, as foreign bytes: a whole file, or (first byte odd) rows that get a head and a right digest, so
 * that they are looked into. Refused, there is a reason; taken, the memory is sound: all of it goes into an image again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xxhash.h>

#include "clearing/live.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool emptied(struct image_out *o)
{
	o->n = 0;
	return true;
}

static void walk(struct live *l)
{
	static uint8_t space[IMAGE_ROW_BYTES_MAX * 4];
	struct image_out o = { .p = space, .space = sizeof(space), .more = emptied, .day = 20395 };
	struct live_walk w;

	live_image_start(l, &o, &o, &w);
	while (live_image_walk(l, &w, 100000))
		;
	live_image_stop(l);
}

static void put(int fd, const void *p, size_t n)
{
	if (write(fd, p, n) != (ssize_t)n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct image_head head = { .day = 20395 };
	uint8_t bytes[IMAGE_HEAD_BYTES], event[IMAGE_DIGEST_BYTES];
	struct image_head told;
	struct image_in *in;
	static struct live *l;	/* emptied between inputs */
	const char *why;
	uint64_t seq;
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0 || (l == NULL && live_new(&l) != 0))
		abort();
	live_reset_day(l);
	live_reset_day(l);
	if (n > 0 && p[0] % 2 == 1) {
		XXH3_state_t *state = XXH3_createState();
		XXH128_canonical_t digest;

		image_head_put(&head, bytes);
		put(fd, bytes, sizeof(bytes));
		put(fd, p + 1, n - 1);
		XXH3_128bits_reset(state);
		XXH3_128bits_update(state, bytes, sizeof(bytes));
		XXH3_128bits_update(state, p + 1, n - 1);
		XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state));
		XXH3_freeState(state);
		put(fd, &digest, sizeof(digest));
	} else if (n > 0) {
		put(fd, p + 1, n - 1);
	}
	lseek(fd, 0, SEEK_SET);
	why = image_open(fd, &told, &in);
	if (why == NULL) {
		why = live_image_read(l, in, told.day, &seq, event);
		assert(why == NULL || why[0] != '\0');
		image_close(in);
		if (why == NULL)
			walk(l);
	}
	close(fd);
	return 0;
}
