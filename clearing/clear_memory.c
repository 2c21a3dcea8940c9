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

int span_new(struct store *s, size_t bytes, struct span *ret)
{
	size_t whole = (bytes + LARGE_PAGE) / LARGE_PAGE * LARGE_PAGE;
	bool on_file = bytes_set > 0 && atomic_load(&bytes_held) + whole > bytes_set;
	void *p = on_file ? file_map(store_path(s), whole) : MAP_FAILED;

	*ret = (struct span){ 0 };
	if (p == MAP_FAILED) {		/* as well where no file can be made */
		on_file = false;
		p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p != MAP_FAILED)
			madvise(p, whole, MADV_HUGEPAGE);	/* without, it is only slower */
	}
	if (p == MAP_FAILED)
		return -ENOMEM;
	if (!on_file)
		atomic_fetch_add(&bytes_held, whole);
	*ret = (struct span){ .p = p, .bytes = whole, .on_file = on_file };
	return 0;
}

void span_free(struct span *s)
{
	if (s->p == NULL)
		return;
	munmap(s->p, s->bytes);
	if (!s->on_file)
		atomic_fetch_sub(&bytes_held, s->bytes);
	*s = (struct span){ 0 };
}
