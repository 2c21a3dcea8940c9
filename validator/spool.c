/*
 * spool - store and forward on the bus: records wait in append-only segment files until the daemon's receipt,
 * through power loss at any moment. The next batch is a function of the files alone, so the same file serial
 * names the same bytes after every restart.
 *
 * A directory holds: "lock"; "state" (32 bytes: where the first unreleased record lies, and the serial of the
 * batch that starts there); "segment-%010u", each a row of [length u32 | crc32c u32 | record]. A segment is
 * closed at SEGMENT_BYTES_MAX and removed when everything in it is released.
 *
 * The invariant: a record whose append returned with sync is on disk before, and until, a state that says it is
 * released is on disk. The batch that was handed out is fixed ("sealed" in the state) before anyone sees it.
 */
#include "validator/validator.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_HEAD_BYTES 8
#define SEGMENT_BYTES_MAX (256 * 1024)
#define STATE_BYTES 32
#define BATCH_HEAD_BYTES 128		/* more than a batch's own fields and array heads need */
#define SEGMENTS_MAX 65536		/* 16 GiB of taps: far past any card of a bus */

struct position { uint32_t segment, offset; };
struct spool {
	int dir_fd, lock_fd, tail_fd;
	struct position first, tail;	/* first unreleased record; where the next goes */
	uint32_t file_serial;		/* of the batch that starts at first */
	uint32_t sealed;		/* taps in it once handed out; 0: not yet */
	struct position after;		/* behind the batch handed out */
	uint64_t waiting, cut_bytes;
	bool failed;			/* a write or sync went wrong: nothing is believed until reopened */
	uint8_t *batch_bytes;
	uint8_t *segment;		/* the segment being read, whole */
};

/* ---- bytes ------------------------------------------------------------------------------------- */

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* CRC-32C (Castagnoli), reflected polynomial 82F63B78. Nibble table: records are short. */
static uint32_t crc32c(const uint8_t *p, size_t n)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
		0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
	};
	uint32_t crc = 0xFFFFFFFF;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		crc = table[crc & 15] ^ crc >> 4;
		crc = table[crc & 15] ^ crc >> 4;
	}
	return ~crc;
}

static int write_all(int fd, const uint8_t *p, size_t n, off_t at)
{
	while (n > 0) {
		ssize_t got = pwrite(fd, p, n, at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ENOSPC;
		p += got;
		n -= (size_t)got;
		at += got;
	}
	return 0;
}

/* ---- the state file ------------------------------------------------------------------------------ */

/* "QFS1" | segment | offset | file serial | sealed | 0 | 0 | crc32c of the 28 bytes before. */
static int state_write(const struct spool *s)
{
	uint8_t b[STATE_BYTES] = { 'Q', 'F', 'S', '1' };
	int fd, ret;

	put32(b + 4, s->first.segment);
	put32(b + 8, s->first.offset);
	put32(b + 12, s->file_serial);
	put32(b + 16, s->sealed);
	put32(b + 28, crc32c(b, 28));
	fd = openat(s->dir_fd, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	ret = write_all(fd, b, sizeof(b), 0);
	if (ret == 0 && fsync(fd) != 0)
		ret = -errno;
	if (close(fd) != 0 && ret == 0)
		ret = -errno;
	if (ret == 0 && renameat(s->dir_fd, "state.new", s->dir_fd, "state") != 0)
		ret = -errno;
	if (ret == 0 && fsync(s->dir_fd) != 0)
		ret = -errno;
	return ret;
}

/* 1: read, 0: a new spool. */
static int state_read(struct spool *s)
{
	int fd = openat(s->dir_fd, "state", O_RDONLY | O_CLOEXEC);
	uint8_t b[STATE_BYTES + 1];
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	n = read(fd, b, sizeof(b));
	close(fd);
	if (n != STATE_BYTES || memcmp(b, "QFS1", 4) != 0 || get32(b + 28) != crc32c(b, 28))
		return TAP_E_SPOOL;
	s->first = (struct position){ get32(b + 4), get32(b + 8) };
	s->file_serial = get32(b + 12);
	s->sealed = get32(b + 16);
	return s->sealed <= BATCH_TAPS_MAX && s->first.offset <= SEGMENT_BYTES_MAX ? 1 : TAP_E_SPOOL;
}

/* ---- segments ------------------------------------------------------------------------------------- */

static void segment_name(uint32_t number, char ret_name[24]) { snprintf(ret_name, 24, "segment-%010u", number); }

static int segment_open(const struct spool *s, uint32_t number, int flags)
{
	char name[24];
	int fd;

	segment_name(number, name);
	fd = openat(s->dir_fd, name, flags | O_CLOEXEC, 0640);
	return fd < 0 ? -errno : fd;
}

/* The whole segment into s->segment; its length, or negative. */
static int segment_load(struct spool *s, uint32_t number)
{
	int fd = segment_open(s, number, O_RDONLY);
	size_t at = 0;
	ssize_t n = 1;

	if (fd < 0)
		return fd == -ENOENT ? TAP_E_SPOOL : fd;
	while (n > 0 && at < SEGMENT_BYTES_MAX) {
		n = pread(fd, s->segment + at, SEGMENT_BYTES_MAX - at, (off_t)at);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			at += (size_t)n;
	}
	close(fd);
	return n < 0 ? -errno : (int)at;
}

/* Length of the record at this offset of the loaded segment; 0: nothing whole and sound there. */
static uint32_t record_at(const struct spool *s, uint32_t offset, uint32_t end)
{
	const uint8_t *p = s->segment + offset;
	uint32_t n;

	if (offset > end || end - offset < RECORD_HEAD_BYTES)
		return 0;
	n = get32(p);
	if (n == 0 || n > TAP_ENCODED_BYTES_MAX || n > end - offset - RECORD_HEAD_BYTES)
		return 0;
	return get32(p + 4) == crc32c(p + RECORD_HEAD_BYTES, n) ? n : 0;
}

/* Counts the records from an offset on; *ret_end is behind the last sound one. */
static uint64_t segment_count(const struct spool *s, uint32_t offset, uint32_t end, uint32_t *ret_end)
{
	uint64_t count = 0;
	uint32_t n;

	while ((n = record_at(s, offset, end)) != 0) {
		offset += RECORD_HEAD_BYTES + n;
		count++;
	}
	*ret_end = offset;
	return count;
}

/* Widens the range by the number of a segment's file; other names are not ours to look at. */
static void segment_seen(const char *name, bool *found, uint32_t *ret_first, uint32_t *ret_last)
{
	unsigned number;

	if (sscanf(name, "segment-%10u", &number) != 1)
		return;
	if (!*found || number < *ret_first)
		*ret_first = number;
	if (!*found || number > *ret_last)
		*ret_last = number;
	*found = true;
}

/* Numbers of the first and last segment file there is. False: none. Reads the directory itself, since opendir takes
 * memory of the C library. */
static bool segments_find(const struct spool *s, uint32_t *ret_first, uint32_t *ret_last, int *ret_error)
{
	int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(struct dirent64) char entries[4096];
	bool found = false;
	ssize_t n = -1;

	while (fd >= 0 && (n = getdents64(fd, entries, sizeof(entries))) > 0)
		for (ssize_t at = 0; at < n; at += ((const struct dirent64 *)(const void *)(entries + at))->d_reclen)
			segment_seen(((const struct dirent64 *)(const void *)(entries + at))->d_name, &found, ret_first, ret_last);
	*ret_error = n < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return found;
}

/* A fresh segment at the tail, its name on disk before anything is in it. */
static int segment_start(struct spool *s, uint32_t number)
{
	int fd = segment_open(s, number, O_RDWR | O_CREAT | O_EXCL);

	if (fd < 0)
		return fd;
	if (fsync(fd) != 0 || fsync(s->dir_fd) != 0) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	if (s->tail_fd >= 0)
		close(s->tail_fd);
	s->tail_fd = fd;
	s->tail = (struct position){ number, 0 };
	return 0;
}

static void segments_remove(const struct spool *s, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		char name[24];

		segment_name(i, name);
		unlinkat(s->dir_fd, name, 0);	/* if it stays it is removed at the next open */
	}
}

/* ---- open ----------------------------------------------------------------------------------------- */

/* A sound record somewhere behind this place: then the place is no torn tail but damage. */
static bool sound_behind(const struct spool *s, uint32_t offset, uint32_t end)
{
	while (++offset < end)
		if (record_at(s, offset, end) != 0)
			return true;
	return false;
}

/* Only the last segment may end in a torn record; it is cut there. One before it that does is damage, and
 * damage is left as it is for someone to look at. */
static int tail_cut(struct spool *s, uint32_t end, int size)
{
	if ((uint32_t)size == end)
		return 0;
	if (sound_behind(s, end, (uint32_t)size))
		return TAP_E_SPOOL;
	s->cut_bytes += (uint32_t)size - end;
	if (ftruncate(s->tail_fd, (off_t)end) != 0 || fsync(s->tail_fd) != 0)
		return -errno;
	return 0;
}

static int segments_check(struct spool *s, uint32_t last)
{
	for (uint32_t i = s->first.segment;; i++) {
		uint32_t from = i == s->first.segment ? s->first.offset : 0, end;
		int size = segment_load(s, i);

		if (size < 0)
			return size;
		if (from > (uint32_t)size)
			return TAP_E_SPOOL;	/* released more than there is */
		s->waiting += segment_count(s, from, (uint32_t)size, &end);
		if (i < last && end != (uint32_t)size)
			return TAP_E_SPOOL;
		if (i < last)
			continue;
		s->tail_fd = segment_open(s, i, O_RDWR);
		s->tail = (struct position){ i, end };
		return s->tail_fd < 0 ? s->tail_fd : tail_cut(s, end, size);
	}
}

/* Nothing there yet, or a first start that was cut before its state was written. */
static int spool_create(struct spool *s, bool segments)
{
	int ret = 0;

	s->first = (struct position){ 1, 0 };
	if (!segments)
		ret = segment_start(s, 1);
	return ret != 0 ? ret : state_write(s);
}

static int spool_recover(struct spool *s)
{
	uint32_t first = 1, last = 1;
	int error, known = state_read(s);
	bool segments = segments_find(s, &first, &last, &error);

	if (known < 0 || error != 0)
		return known < 0 ? known : error;
	if (known == 0) {
		if (segments && (first != 1 || last != 1))
			return TAP_E_SPOOL;
		error = spool_create(s, segments);
		if (error != 0 || !segments)
			return error;
	}
	if (!segments || first > s->first.segment || last < s->first.segment || last - s->first.segment >= SEGMENTS_MAX)
		return TAP_E_SPOOL;
	segments_remove(s, first, s->first.segment);
	error = segments_check(s, last);
	return error != 0 ? error : s->sealed > s->waiting ? TAP_E_SPOOL : 0;
}

static int spool_lock(struct spool *s, const char *dir)
{
	if (mkdir(dir, 0750) != 0 && errno != EEXIST)
		return -errno;
	s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return -errno;
	s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (s->lock_fd < 0)
		return -errno;
	return flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno == EWOULDBLOCK ? -EBUSY : -errno;
}

int spool_open(const char *dir, struct spool **ret_spool) { return spool_open_from(dir, 1, ret_spool); }

int spool_open_from(const char *dir, uint32_t first_file_serial, struct spool **ret_spool)
{
	struct spool *s = malloc(spool_size());
	int ret = s != NULL ? spool_init(s, dir, first_file_serial) : -ENOMEM;

	if (ret != 0) {
		free(s);
		return ret;
	}
	*ret_spool = s;
	return 0;
}

size_t spool_size(void) { return sizeof(struct spool) + SEGMENT_BYTES_MAX + BATCH_BYTES_MAX; }

int spool_init(struct spool *s, const char *dir, uint32_t first_file_serial)
{
	int ret;

	memset(s, 0, sizeof(*s));
	s->file_serial = first_file_serial;	/* until a state says otherwise */
	s->dir_fd = s->lock_fd = s->tail_fd = -1;
	s->segment = (uint8_t *)(s + 1);
	s->batch_bytes = s->segment + SEGMENT_BYTES_MAX;
	ret = spool_lock(s, dir);
	if (ret == 0)
		ret = spool_recover(s);
	if (ret != 0)
		spool_done(s);
	return ret;
}

void spool_close(struct spool *s)
{
	if (s != NULL)
		spool_done(s);
	free(s);
}

void spool_done(struct spool *s)
{
	if (s->tail_fd >= 0)
		close(s->tail_fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
}

/* ---- append, next, release --------------------------------------------------------------------------- */

/* After a failed write or sync the kernel's pages and the disk may differ: only a reopen looks again. */
static int spool_fail(struct spool *s, int ret)
{
	s->failed = true;
	return ret;
}

int spool_append(struct spool *s, const uint8_t *record, size_t n, bool sync)
{
	uint8_t b[RECORD_HEAD_BYTES + TAP_ENCODED_BYTES_MAX];
	int ret;

	if (s->failed)
		return -EIO;
	if (n == 0 || n > TAP_ENCODED_BYTES_MAX)
		return TAP_E_RANGE;
	if (s->tail.offset + RECORD_HEAD_BYTES + n > SEGMENT_BYTES_MAX) {
		ret = fdatasync(s->tail_fd) != 0 ? -errno : segment_start(s, s->tail.segment + 1);
		if (ret != 0)
			return spool_fail(s, ret);
	}
	put32(b, (uint32_t)n);
	put32(b + 4, crc32c(record, n));
	memcpy(b + RECORD_HEAD_BYTES, record, n);
	ret = write_all(s->tail_fd, b, RECORD_HEAD_BYTES + n, (off_t)s->tail.offset);
	if (ret == 0 && sync && fdatasync(s->tail_fd) != 0)
		ret = -errno;
	if (ret != 0)
		return spool_fail(s, ret);
	s->tail.offset += (uint32_t)(RECORD_HEAD_BYTES + n);
	s->waiting++;
	return 0;
}

static bool at_tail(const struct spool *s, const struct position *p)
{
	return p->segment == s->tail.segment && p->offset == s->tail.offset;
}

/* Copies records from the first unreleased one on into the batch, until a bound is met. */
static int batch_gather(struct spool *s, uint32_t taps_max, struct batch *b)
{
	struct position at = s->first;
	size_t used = 0, budget = BATCH_BYTES_MAX - BATCH_HEAD_BYTES;
	int size = segment_load(s, at.segment);

	while (size >= 0 && b->count < taps_max && !at_tail(s, &at)) {
		uint32_t n = record_at(s, at.offset, (uint32_t)size);

		if (n == 0 && (at.offset != (uint32_t)size || at.segment >= s->tail.segment))
			return TAP_E_SPOOL;	/* it was sound when it was opened or written */
		if (n == 0) {
			at = (struct position){ at.segment + 1, 0 };
			size = segment_load(s, at.segment);
			continue;
		}
		if (used + n + 3 > budget)
			break;
		memcpy(s->batch_bytes + used, s->segment + at.offset + RECORD_HEAD_BYTES, n);
		b->tap[b->count].p = s->batch_bytes + used;
		b->tap[b->count++].n = n;
		used += n + 3;			/* 3: the most a bin head of this size takes */
		at.offset += RECORD_HEAD_BYTES + n;
	}
	s->after = at;
	return size < 0 ? size : 0;
}

int spool_next(struct spool *s, uint32_t taps_max, struct batch *ret_batch)
{
	uint32_t taps = s->sealed != 0 ? s->sealed : taps_max < BATCH_TAPS_MAX ? taps_max : BATCH_TAPS_MAX;
	struct batch *b = ret_batch;
	int ret;

	if (s->failed)
		return -EIO;
	if (s->waiting == 0 || taps == 0)
		return 0;
	b->file_serial = s->file_serial;
	b->count = 0;
	ret = batch_gather(s, taps, b);
	if (ret != 0)
		return ret;
	if (s->sealed == 0) {
		/* the content of this file serial is fixed on disk before anyone sees it */
		s->sealed = b->count;
		ret = fdatasync(s->tail_fd) != 0 ? -errno : state_write(s);
		if (ret != 0)
			return spool_fail(s, ret);
	}
	ret = batch_seal(b);
	return ret != 0 ? ret : 1;
}

int spool_release(struct spool *s, uint32_t file_serial)
{
	struct position before = s->first;
	int ret;

	if (s->failed)
		return -EIO;
	if (file_serial != s->file_serial || s->sealed == 0 || s->after.segment == 0)
		return -EINVAL;
	s->waiting -= s->sealed;
	s->first = s->after;
	s->sealed = 0;
	s->file_serial++;
	s->after = (struct position){ 0, 0 };
	ret = state_write(s);
	if (ret != 0)
		return spool_fail(s, ret);
	segments_remove(s, before.segment, s->first.segment);
	return 0;
}

uint64_t spool_waiting(const struct spool *s) { return s->waiting; }
uint64_t spool_cut_bytes(const struct spool *s) { return s->cut_bytes; }
