/* device_file - options of qingfen device, and files of a CA's folder that are written whole or not at all. */
#include "tools/device.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (64 << 20)

int device_options_read(int argc, char **argv, const char *usage, struct device_options *ret)
{
	static const char *const names[] = { "ca", "passphrase-file", "persons", "by", "key", "device", "terminal", "psam", "name", "csr", "in", "out",
		"reason", "with", "days" };
	enum { WORDS = sizeof(names) / sizeof(names[0]) };
	const char **field[WORDS] = { &ret->ca, &ret->passphrase_file, &ret->persons, &ret->by, &ret->key, &ret->device, &ret->terminal, &ret->psam,
		&ret->name, &ret->csr, &ret->in, &ret->out, &ret->reason, &ret->with, &ret->days };
	struct option longs[WORDS + 3] = { [WORDS] = { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' } };
	int c;

	*ret = (struct device_options){ .ca = getenv("QINGFEN_DEVICE_CA") };
	for (int i = 0; i < WORDS; i++)
		longs[i] = (struct option){ names[i], required_argument, NULL, 256 + i };
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c >= 256) {
			*field[c - 256] = optarg;
		} else if (c == 'j') {
			ret->json = true;
		} else {
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? -1 : EXIT_USAGE;
		}
	}
	ret->first = optind;
	if (ret->ca == NULL)
		ret->ca = "device-ca";
	return 0;
}

void device_path(const struct device_options *o, const char *name, char ret_path[PATH_MAX]) { snprintf(ret_path, PATH_MAX, "%s/%s", o->ca, name); }

static int bytes_write(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t got = write(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -errno;
		p += got;
		n -= (size_t)got;
	}
	return fsync(fd) != 0 ? -errno : 0;
}

/* The name is durable too. */
static int folder_sync(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	int fd, ret;

	snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path) + (slash == path), slash == NULL ? "." : path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = fsync(fd) != 0 ? -errno : 0;
	close(fd);
	return ret;
}

int device_file_put(const char *path, const void *p, size_t n, unsigned mode)
{
	char beside[PATH_MAX + 8];
	int fd, ret;

	snprintf(beside, sizeof(beside), "%s.new", path);
	unlink(beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	ret = bytes_write(fd, p, n);
	close(fd);
	if (ret == 0 && rename(beside, path) != 0)
		ret = -errno;
	if (ret != 0)
		unlink(beside);
	return ret != 0 ? ret : folder_sync(path);
}

char *device_file_get(const char *path, size_t *ret_n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *p = NULL;
	ssize_t got = 1;
	size_t n = 0;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && st.st_size > FILE_BYTES_MAX)
		errno = EFBIG;
	else if (st.st_size <= FILE_BYTES_MAX)
		p = malloc((size_t)st.st_size + 1);
	while (p != NULL && n < (size_t)st.st_size && got > 0) {
		got = read(fd, p + n, (size_t)st.st_size - n);
		n += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	if (p != NULL)
		p[n] = '\0';
	*ret_n = n;
	return p;
}
