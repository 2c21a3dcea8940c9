/*
 * agent_file - black list, tariff and serial as files on the validator: replaced whole, never half there,
 * and put in force only after they were checked and stored. Also the agent's clocks and its log.
 */
#include "validator/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int64_t agent_clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t agent_steady_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void agent_log(const char *event, const char *format, ...)
{
	char now[32], line[1024];
	va_list ap;
	int n;

	time_format(agent_clock_ms(), now);
	n = snprintf(line, sizeof(line), "%s event=%s ", now, event);
	va_start(ap, format);
	vsnprintf(line + n, sizeof(line) - (size_t)n, format, ap);
	va_end(ap);
	fprintf(stderr, "%s\n", line);
}

/* ---- whole files -------------------------------------------------------------------------------- */

static int read_whole(int fd, size_t n, uint8_t *p)
{
	size_t at = 0;

	while (at < n) {
		ssize_t got = read(fd, p + at, n - at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		at += (size_t)got;
	}
	return 0;
}

int agent_file_load(const char *path, uint8_t **ret_p, size_t *ret_n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;
	uint8_t *p = NULL;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		ret = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > AGENT_FILE_BYTES_MAX)
		ret = -EFBIG;
	else if ((p = malloc((size_t)st.st_size + 1)) == NULL)
		ret = -ENOMEM;
	if (ret == 0)
		ret = read_whole(fd, (size_t)st.st_size, p);
	close(fd);
	if (ret != 0) {
		free(p);
		return ret;
	}
	*ret_p = p;
	*ret_n = (size_t)st.st_size;
	return 0;
}

static int directory_sync(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	int fd, ret;

	snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 1 : (int)(slash - path) + (slash == path), slash == NULL ? "." : path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = fsync(fd) != 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int write_synced(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t got = write(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ENOSPC;
		p += got;
		n -= (size_t)got;
	}
	return fsync(fd) != 0 ? -errno : 0;
}

int agent_file_store(const char *path, const void *p, size_t n)
{
	char beside[PATH_MAX + 8];
	int fd, ret;

	snprintf(beside, sizeof(beside), "%s.new", path);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	ret = write_synced(fd, p, n);
	if (close(fd) != 0 && ret == 0)
		ret = -errno;
	if (ret == 0 && rename(beside, path) != 0)
		ret = -errno;
	if (ret != 0)
		unlink(beside);
	return ret != 0 ? ret : directory_sync(path);
}

/* ---- lists --------------------------------------------------------------------------------------- */

#define LIST_HEAD "# version "		/* first line of the stored list: a comment to its parser */

static int list_parse(const struct agent_conf *conf, const void *p, size_t n, struct hotlist **ret)
{
	char error[256];
	int code = hotlist_parse(conf->blacklist, p, n, ret, error, sizeof(error));

	if (code != 0)
		agent_log("blacklist-refused", "reason=\"%s\"", error);
	return code;
}

static uint32_t list_version(const uint8_t *p, size_t n)
{
	char head[32] = "";
	size_t skip = strlen(LIST_HEAD);

	memcpy(head, p, n < sizeof(head) - 1 ? n : sizeof(head) - 1);
	return strncmp(head, LIST_HEAD, skip) == 0 ? (uint32_t)strtoul(head + skip, NULL, 10) : 0;
}

static int list_open(const struct agent_conf *conf, struct agent_lists *l)
{
	uint8_t *p;
	size_t n;
	int ret = agent_file_load(conf->blacklist, &p, &n);

	if (ret != 0)
		return ret == -ENOENT ? 0 : ret;
	ret = list_parse(conf, p, n, &l->hotlist);
	if (ret == 0)
		l->list_version = list_version(p, n);
	free(p);
	return ret;
}

static int tariff_load(const struct agent_conf *conf, struct agent_lists *l)
{
	uint8_t *p;
	size_t n;
	int ret = agent_file_load(conf->tariff, &p, &n);

	if (ret != 0)
		return ret == -ENOENT ? 0 : ret;
	ret = tariff_open(p, n, &l->tariff);
	if (ret != 0) {
		agent_log("tariff-refused", "file=%s reason=\"not a compiled tariff, or damaged\"", conf->tariff);
		free(p);
		return ret;
	}
	l->blob = p;
	return 0;
}

/* A damaged file is as good as none: the daemon has the true one. */
int agent_lists_open(const struct agent_conf *conf, struct agent_lists *ret_lists)
{
	struct agent_lists l = { 0 };
	int ret = list_open(conf, &l);

	if (ret == 0 || ret == -EINVAL)
		ret = tariff_load(conf, &l);
	if (ret != 0 && ret != TARIFF_E_BLOB) {
		agent_lists_done(&l);
		return ret;
	}
	*ret_lists = l;
	return 0;
}

void agent_lists_done(struct agent_lists *l)
{
	hotlist_free(l->hotlist);
	tariff_close(l->tariff);
	free(l->blob);
	*l = (struct agent_lists){ 0 };
}

int agent_list_take(const struct agent_conf *conf, struct agent_lists *l, uint32_t version, const void *p, size_t n)
{
	struct hotlist *h = NULL;
	char *text = malloc(n + 64);
	int head, ret;

	if (text == NULL)
		return -ENOMEM;
	head = snprintf(text, 64, LIST_HEAD "%u\n", version);
	memcpy(text + head, p, n);
	ret = list_parse(conf, text, (size_t)head + n, &h);
	if (ret == 0)
		ret = agent_file_store(conf->blacklist, text, (size_t)head + n);
	free(text);
	if (ret != 0) {
		hotlist_free(h);
		return ret;
	}
	hotlist_free(l->hotlist);
	l->hotlist = h;
	l->list_version = version;
	return 0;
}

int agent_tariff_take(const struct agent_conf *conf, struct agent_lists *l, const void *p, size_t n)
{
	struct tariff *t = NULL;
	uint8_t *blob = malloc(n + 1);
	int ret;

	if (blob == NULL)
		return -ENOMEM;
	memcpy(blob, p, n);
	ret = tariff_open(blob, n, &t);
	if (ret == 0)
		ret = agent_file_store(conf->tariff, blob, n);
	if (ret != 0) {
		tariff_close(t);
		free(blob);
		return ret;
	}
	tariff_close(l->tariff);
	free(l->blob);
	l->tariff = t;
	l->blob = blob;
	return 0;
}

/* ---- serials and events ---------------------------------------------------------------------------- */

static void serial_path(const struct agent *a, char ret[PATH_MAX + 16]) { snprintf(ret, PATH_MAX + 16, "%s/serial", a->conf.spool); }

int agent_serial_load(struct agent *a)
{
	char path[PATH_MAX + 16];
	uint8_t *p;
	size_t n;
	int ret;

	serial_path(a, path);
	a->serial = 1;
	ret = agent_file_load(path, &p, &n);
	if (ret != 0)
		return ret == -ENOENT ? 0 : ret;
	p[n] = '\0';
	a->serial = (uint32_t)strtoul((char *)p, NULL, 10);
	free(p);
	return a->serial != 0 ? 0 : TAP_E_SPOOL;
}

int agent_serial_save(struct agent *a, uint32_t reserve)
{
	char path[PATH_MAX + 16], text[16];

	serial_path(a, path);
	return agent_file_store(path, text, (size_t)snprintf(text, sizeof(text), "%u\n", a->serial + reserve));
}

int agent_record(struct agent *a, const struct tap *tap)
{
	uint8_t bytes[TAP_ENCODED_BYTES_MAX];
	int n = tap_encode(tap, bytes, sizeof(bytes));

	return n < 0 ? n : spool_append(a->spool, bytes, (size_t)n, true);
}

int agent_event(struct agent *a, enum tap_kind kind)
{
	const struct agent_conf *c = &a->conf;
	struct tap t = { .version = TAP_VERSION, .kind = kind, .terminal_serial = a->serial++,
			 .time_ms = agent_clock_ms() + a->offset_ms, .operator_id = (uint32_t)c->operator_id,
			 .direction = (uint32_t)c->direction, .stop = (uint32_t)c->stop, .driver = (uint32_t)c->driver,
			 .accept_city = (uint32_t)c->city[0] << 8 | c->city[1], .list_version = a->lists.list_version,
			 .tariff_version = a->lists.tariff != NULL ? tariff_version(a->lists.tariff) : 0 };
	int ret = agent_serial_save(a, 0);

	memcpy(t.terminal, c->terminal, sizeof(t.terminal));
	memcpy(t.psam, c->terminal, sizeof(t.psam));
	memcpy(t.acquirer, c->acquirer, sizeof(t.acquirer));
	memcpy(t.line, c->line, sizeof(t.line));
	memcpy(t.vehicle, c->vehicle, sizeof(t.vehicle));
	return ret != 0 ? ret : agent_record(a, &t);
}
