/*
 * clear_memory - what is as large as the day: its records, the lists of them, its persons' states. Up to a bound it is
 * memory, in large pages, for it is walked in no order of addresses; beyond the bound it lies in files without a name
 * beside the store, so that the system can put away what is not looked at just now.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clearing/pages.h"

#define LARGE_PAGE ((size_t)2 << 20)

static uint64_t bytes_set;
static _Atomic uint64_t bytes_held;		/* by memory, of all clears of the process */

void clear_memory(uint64_t bytes) { bytes_set = bytes; }

/* A file that is gone when it is unmapped. */
static int file_nameless(const char *dir)
{
	char path[PATH_MAX];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	if (snprintf(path, sizeof(path), "%s/clear.XXXXXX", dir) >= (int)sizeof(path))
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static size_t whole_of(size_t bytes, size_t unit) { return (bytes + unit) / unit * unit; }

static void *file_map(const char *dir, size_t bytes)
{
	int fd = file_nameless(dir);
	void *p = MAP_FAILED;

	if (fd >= 0 && posix_fallocate(fd, 0, (off_t)bytes) == 0)	/* a full disk is told now, not by a signal later */
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	return p;
}

static bool is_above_bound(size_t bytes) { return bytes_set > 0 && atomic_load(&bytes_held) + bytes > bytes_set; }

/* What is large is cut from memory that lies ready, and goes back to it. */
static int span_map(struct job *j, size_t bytes, struct span *ret)
{
	*ret = (struct span){ .bytes = whole_of(bytes, LARGE_PAGE) };
	if (is_above_bound(ret->bytes)) {
		ret->p = file_map(store_path(j->store), ret->bytes);
		ret->on_file = ret->p != MAP_FAILED;
		if (ret->on_file)
			return 0;	/* where no file can be made it is memory as well */
	}
	ret->in_chunks = bytes >= CHUNK_BYTES / 2;
	if (ret->in_chunks)
		ret->bytes = whole_of(bytes, CHUNK_BYTES);
	ret->p = ret->in_chunks ? chunks_take(ret->bytes / CHUNK_BYTES) : pages_take(ret->bytes);
	if (ret->p == NULL)
		return -ENOMEM;
	atomic_fetch_add(&bytes_held, ret->bytes);
	return 0;
}

static void span_unmap(struct span *s)
{
	if (s->p == NULL)
		return;
	for (size_t at = 0; s->in_chunks && at < s->bytes; at += CHUNK_BYTES)
		chunk_give((uint8_t *)s->p + at);
	if (!s->in_chunks)
		munmap(s->p, s->bytes);
	if (!s->on_file)
		atomic_fetch_sub(&bytes_held, s->bytes);
	*s = (struct span){ 0 };
}

/* The smallest that is large enough: a page the system gives anew costs more than all that is done with it. */
int span_new(struct job *j, size_t bytes, struct span *ret)
{
	struct span *best = NULL;

	*ret = (struct span){ 0 };
	for (size_t i = 0; i < SPARES; i++)
		if (j->spare[i].p != NULL && j->spare[i].bytes >= bytes && (best == NULL || j->spare[i].bytes < best->bytes))
			best = &j->spare[i];
	if (best == NULL)
		return span_map(j, bytes, ret);
	*ret = *best;
	*best = (struct span){ 0 };
	return 0;
}

/* The smallest goes. */
void span_free(struct job *j, struct span *s)
{
	for (size_t i = 0; i < SPARES && s->p != NULL; i++)
		if (j->spare[i].bytes < s->bytes) {
			struct span smaller = j->spare[i];

			j->spare[i] = *s;
			*s = smaller;
		}
	span_unmap(s);
}

void spares_free(struct job *j)
{
	for (size_t i = 0; i < SPARES; i++)
		span_unmap(&j->spare[i]);
}
