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
#define ENTRY_TAPS_AT	  23
#define ENTRY_FRAME_AT	  (ENTRY_HEAD_BYTES - FRAME_HEAD_BYTES)
#define ROW_STEP_BYTES	  (128u << 10) /* six batches; twice as much of each row is in memory */
static const uint8_t upload_magic[UPLOAD_HEAD_BYTES] = {'Q', 'F', 'U', 'P', 0, 0, 0, 2};

struct upload {
	int fd;
	const uint8_t *p;
	size_t n;
	uint8_t *frame; /* the one that was read; NULL: all of the file is in memory */
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
	be32_put(head + ENTRY_TAPS_AT, e->taps);
	frame_head(FRAME_BATCH, (uint32_t)e->bytes, head + ENTRY_FRAME_AT);
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
	int ret = -ENOMEM;

	if (u == NULL)
		return ret;
	u->fd = open(path, O_RDONLY | O_CLOEXEC);
	ret = u->fd < 0 ? -errno : upload_map(u->fd, u);
	if (ret == 0) {
		*ret_upload = u;
		u = NULL;
	}
	upload_close(u);
	return ret;
}

void upload_close(struct upload *u)
{
	if (u == NULL)
		return;
	if (u->p != NULL)
		munmap((void *)(uintptr_t)u->p, u->n);
	if (u->fd >= 0)
		close(u->fd);
	free(u->frame);
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
	e.bytes = (uint32_t)(be32_get(head + ENTRY_FRAME_AT) - 1);
	if (e.bytes > left - ENTRY_HEAD_BYTES || head[15] != 0 || head[ENTRY_HEAD_BYTES - 1] != FRAME_BATCH)
		return -EINVAL;
	memcpy(e.device, head, sizeof(e.device));
	memcpy(e.terminal, head + 16, sizeof(e.terminal));
	e.resent = head[22] != 0;
	e.taps = be32_get(head + ENTRY_TAPS_AT);
	e.batch = head + ENTRY_HEAD_BYTES;
	*at = from + ENTRY_HEAD_BYTES + e.bytes;
	*ret_entry = e;
	return 1;
}

/* ---- sending -------------------------------------------------------------------------------------- */

int upload_ready(struct upload *u, size_t room)
{
	if (u->n <= room) {
		(void)madvise((void *)(uintptr_t)u->p, u->n, MADV_POPULATE_READ);
		return 0;
	}
	u->frame = malloc(FRAME_BYTES_MAX);
	(void)madvise((void *)(uintptr_t)u->p, u->n, MADV_DONTNEED);
	(void)posix_fadvise(u->fd, 0, 0, POSIX_FADV_DONTNEED);
	return u->frame != NULL ? 0 : -ENOMEM;
}

static void row_ask(const struct upload *u, struct upload_row *row, size_t until)
{
	for (; row->asked < row->end && row->asked < until; row->asked += ROW_STEP_BYTES)
		(void)posix_fadvise(u->fd, (off_t)row->asked, ROW_STEP_BYTES, POSIX_FADV_WILLNEED);
}

static void row_drop(const struct upload *u, struct upload_row *row, size_t at)
{
	if (at < row->kept || at - row->kept < ROW_STEP_BYTES)
		return;
	(void)posix_fadvise(u->fd, (off_t)row->kept, (off_t)(at - row->kept), POSIX_FADV_DONTNEED);
	row->kept = at;
}

struct upload_row upload_row_of(const struct upload *u, const uint8_t *from, const uint8_t *end)
{
	struct upload_row row = {.end = (size_t)(end - u->p)};

	row.asked = row.kept = (size_t)(from - u->p);
	if (u->frame != NULL)
		row_ask(u, &row, row.kept + ROW_STEP_BYTES);
	return row;
}

const uint8_t *upload_row_read(const struct upload *u, struct upload_row *row, const uint8_t *p, size_t bytes)
{
	size_t at = (size_t)(p - u->p);

	if (u->frame == NULL)
		return p;
	row_ask(u, row, at + bytes + ROW_STEP_BYTES);
	if (bytes > FRAME_BYTES_MAX || pread(u->fd, u->frame, bytes, (off_t)at) != (ssize_t)bytes)
		return NULL;
	row_drop(u, row, at);
	return u->frame;
}
