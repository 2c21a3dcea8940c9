/*
 * The upload file: written once in order, read through a map. Every length is compared with the
 * bytes that are there before it is used.
 */
#include "upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clearing/clearing.h"

#define UPLOAD_HEAD_BYTES 8
#define ENTRY_HEAD_BYTES  32
static const uint8_t upload_magic[UPLOAD_HEAD_BYTES] = {'Q', 'F', 'U', 'P', 0, 0, 0, 1};

struct upload {
	const uint8_t *p;
	size_t n;
};

bool upload_write_head(FILE *f)
{
	return fwrite(upload_magic, sizeof(upload_magic), 1, f) == 1;
}

bool upload_write(FILE *f, const struct upload_entry *e)
{
	uint8_t head[ENTRY_HEAD_BYTES] = {0};

	memcpy(head, e->device, strnlen(e->device, DEVICE_BYTES_MAX));
	memcpy(head + 16, e->terminal, sizeof(e->terminal));
	head[22] = e->resent;
	be32_put(head + 24, e->taps);
	be32_put(head + 28, (uint32_t)e->bytes);
	return fwrite(head, sizeof(head), 1, f) == 1 && fwrite(e->batch, e->bytes, 1, f) == 1;
}

static int upload_map(int fd, struct upload *u)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (st.st_size < UPLOAD_HEAD_BYTES)
		return -EINVAL;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	u->p = p;
	u->n = (size_t)st.st_size;
	return memcmp(p, upload_magic, sizeof(upload_magic)) == 0 ? 0 : -EINVAL;
}

int upload_open(const char *path, struct upload **ret_upload)
{
	struct upload *u = calloc(1, sizeof(*u));
	int fd = -1, ret = -ENOMEM;

	if (u == NULL)
		return ret;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ret = fd < 0 ? -errno : upload_map(fd, u);
	if (ret == 0) {
		*ret_upload = u;
		u = NULL;
	}
	if (fd >= 0)
		close(fd);
	upload_close(u);
	return ret;
}

void upload_close(struct upload *u)
{
	if (u == NULL)
		return;
	if (u->p != NULL)
		munmap((void *)(uintptr_t)u->p, u->n);
	free(u);
}

int upload_next(const struct upload *u, size_t *at, struct upload_entry *ret_entry)
{
	size_t from = *at == 0 ? UPLOAD_HEAD_BYTES : *at, left = u->n - from;
	const uint8_t *head = u->p + from;
	struct upload_entry e = {.taps = 0};

	if (left == 0)
		return 0;
	if (left < ENTRY_HEAD_BYTES)
		return -EINVAL;
	e.bytes = be32_get(head + 28);
	if (e.bytes > left - ENTRY_HEAD_BYTES || head[15] != 0)
		return -EINVAL;
	memcpy(e.device, head, sizeof(e.device));
	memcpy(e.terminal, head + 16, sizeof(e.terminal));
	e.resent = head[22] != 0;
	e.taps = be32_get(head + 24);
	e.batch = head + ENTRY_HEAD_BYTES;
	*at = from + ENTRY_HEAD_BYTES + e.bytes;
	*ret_entry = e;
	return 1;
}
