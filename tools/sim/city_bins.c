/*
 * Bins of bytes on the disk: what is put into a bin comes out of it in the same order, all at once and once. They lie in one
 * file without a name, in chunks, so that a program that ends leaves nothing; a bin that never filled a chunk is never
 * written. Memory: a chunk a bin in use. Different bins may be taken by different threads, once nothing is put any more.
 */
#include "city.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES (64u << 10)

struct bin {
	uint8_t *open; /* the chunk that fills; NULL: nothing yet */
	size_t open_bytes;
	uint32_t *chunk; /* the full ones, by their place in the file */
	uint32_t chunks, room;
};
struct bins {
	int fd, error; /* of the first write that failed */
	uint32_t count, chunks;
	struct bin bin[];
};

int bins_open(const char *dir, uint32_t count, struct bins **ret_bins)
{
	struct bins *b = calloc(1, sizeof(*b) + count * sizeof(b->bin[0]));
	char path[512];

	if (b == NULL)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/bins.XXXXXX", dir);
	b->count = count;
	b->fd = mkostemp(path, O_CLOEXEC);
	if (b->fd < 0 || unlink(path) != 0) {
		int ret = -errno;

		bins_close(b);
		return ret;
	}
	*ret_bins = b;
	return 0;
}

void bins_close(struct bins *b)
{
	if (b == NULL)
		return;
	for (uint32_t i = 0; i < b->count; i++) {
		free(b->bin[i].open);
		free(b->bin[i].chunk);
	}
	if (b->fd >= 0)
		close(b->fd);
	free(b);
}

int bins_error(const struct bins *b)
{
	return b->error;
}

static void chunk_write(struct bins *b, struct bin *bin)
{
	off_t at = (off_t)b->chunks * CHUNK_BYTES;

	for (size_t done = 0; done < CHUNK_BYTES && b->error == 0;) {
		ssize_t n = pwrite(b->fd, bin->open + done, CHUNK_BYTES - done, at + (off_t)done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			b->error = n == 0 ? -ENOSPC : -errno;
	}
	if (bin->chunks == bin->room) {
		bin->room = bin->room * 2 + 16;
		bin->chunk = city_grow(bin->chunk, sizeof(*bin->chunk), bin->room);
	}
	bin->chunk[bin->chunks++] = b->chunks++;
	bin->open_bytes = 0;
}

void bins_put(struct bins *b, uint32_t i, const void *p, size_t n)
{
	struct bin *bin = &b->bin[i];
	const uint8_t *from = p;

	if (bin->open == NULL)
		bin->open = city_grow(NULL, 1, CHUNK_BYTES);
	while (n > 0) {
		size_t left = CHUNK_BYTES - bin->open_bytes, take = n < left ? n : left;

		memcpy(bin->open + bin->open_bytes, from, take);
		bin->open_bytes += take;
		from += take;
		n -= take;
		if (bin->open_bytes == CHUNK_BYTES)
			chunk_write(b, bin);
	}
}

/* The chunk's room goes back to the disk as soon as it is read. */
static int chunk_read(const struct bins *b, uint32_t chunk, uint8_t *out)
{
	off_t at = (off_t)chunk * CHUNK_BYTES;

	for (size_t done = 0; done < CHUNK_BYTES;) {
		ssize_t n = pread(b->fd, out + done, CHUNK_BYTES - done, at + (off_t)done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			return n == 0 ? -EIO : -errno;
	}
	(void)fallocate(b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, CHUNK_BYTES);
	return 0;
}

int bins_take(struct bins *b, uint32_t i, uint8_t **ret_p, size_t *ret_bytes)
{
	struct bin *bin = &b->bin[i];
	size_t n = (size_t)bin->chunks * CHUNK_BYTES + bin->open_bytes;
	uint8_t *p = malloc(n + 1);
	int ret = b->error;

	if (p == NULL)
		return -ENOMEM;
	for (uint32_t k = 0; k < bin->chunks && ret == 0; k++)
		ret = chunk_read(b, bin->chunk[k], p + (size_t)k * CHUNK_BYTES);
	if (bin->open_bytes > 0)
		memcpy(p + n - bin->open_bytes, bin->open, bin->open_bytes);
	free(bin->open);
	free(bin->chunk);
	*bin = (struct bin){.open = NULL};
	if (ret != 0) {
		free(p);
		return ret;
	}
	*ret_p = p;
	*ret_bytes = n;
	return 0;
}
