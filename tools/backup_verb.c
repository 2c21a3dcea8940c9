/*
 * qingfen backup, restore - a compacted snapshot beside the running daemon, with its digest; and back, only into
 * an empty place and only when the digest holds.
 */
#include "tools/tools.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA_FILE "data.mdb"
#define MANIFEST "MANIFEST"

static int file_digest(const char *path, uint8_t ret_digest[DIGEST_BYTES])
{
	static uint8_t buffer[1 << 20];
	struct digest *d = NULL;
	FILE *f = fopen(path, "re");
	size_t n;
	int ret = f == NULL ? -errno : digest_new(&d);

	while (ret == 0 && (n = fread(buffer, 1, sizeof(buffer), f)) > 0)
		digest_add(d, buffer, n);
	if (ret == 0)
		digest_end(d, ret_digest);
	if (f != NULL)
		fclose(f);
	digest_free(d);
	return ret;
}

static int sync_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return ret;
}

static int manifest_write(const char *dir)
{
	char data[4096], path[4096], hex[2 * DIGEST_BYTES + 1];
	uint8_t digest[DIGEST_BYTES];
	FILE *f;
	int ret;

	snprintf(data, sizeof(data), "%s/" DATA_FILE, dir);
	snprintf(path, sizeof(path), "%s/" MANIFEST, dir);
	ret = file_digest(data, digest);
	if (ret != 0)
		return ret;
	hex_encode(digest, DIGEST_BYTES, hex);
	f = fopen(path, "we");
	if (f == NULL)
		return -errno;
	fprintf(f, "qingfen-backup 1\n%s " DATA_FILE "\n", hex);
	if (fclose(f) != 0)
		return -EIO;
	ret = sync_path(data, O_RDONLY);
	if (ret == 0)
		ret = sync_path(path, O_RDONLY);
	return ret != 0 ? ret : sync_path(dir, O_RDONLY | O_DIRECTORY);
}

static bool dir_is_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool empty = true;

	if (d == NULL)
		return errno == ENOENT;
	while ((e = readdir(d)) != NULL)
		empty = empty && e->d_name[0] == '.';
	closedir(d);
	return empty;
}

int verb_backup(int argc, char **argv)
{
	static const char usage[] = "用法 usage: qingfen backup --to DIR [--store DIR] [--json]\n  在线备份 snapshot beside the running daemon; DIR must be empty\n";
	struct options o;
	struct store *s;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.to == NULL || o.first != argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (!dir_is_empty(o.to)) {
		complain("%s: is not empty; a backup never overwrites one", o.to);
		return EXIT_RULE;
	}
	if (store_open_reading(&o, &s) != 0)
		return EXIT_STORE;
	ret = mkdir(o.to, 0750) != 0 && errno != EEXIST ? -errno : store_copy(s, o.to);
	store_close(s);
	if (ret == 0)
		ret = manifest_write(o.to);
	if (ret != 0)
		complain("%s: %s", o.to, clearing_strerror(ret));
	else if (o.json)
		printf("{\"schema\":\"qingfen.backup\",\"version\":1,\"to\":\"%s\"}\n", o.to);
	return exit_of_error(ret);
}

static int manifest_check(const char *dir)
{
	char path[4096], data[4096], stated[2 * DIGEST_BYTES + 2] = "", hex[2 * DIGEST_BYTES + 1];
	uint8_t digest[DIGEST_BYTES];
	FILE *f;
	int ret, got;

	snprintf(path, sizeof(path), "%s/" MANIFEST, dir);
	snprintf(data, sizeof(data), "%s/" DATA_FILE, dir);
	f = fopen(path, "re");
	if (f == NULL)
		return -ENOENT;
	got = fscanf(f, "qingfen-backup 1 %65s", stated);
	fclose(f);
	ret = file_digest(data, digest);
	if (ret != 0)
		return ret;
	hex_encode(digest, DIGEST_BYTES, hex);
	return got == 1 && strcmp(hex, stated) == 0 ? 0 : CLEARING_E_DIFFERS;
}

static int file_copy(const char *from, const char *to)
{
	static uint8_t buffer[1 << 20];
	FILE *in = fopen(from, "re"), *out = in != NULL ? fopen(to, "we") : NULL;
	size_t n;
	int ret = out == NULL ? -errno : 0;

	while (ret == 0 && (n = fread(buffer, 1, sizeof(buffer), in)) > 0)
		if (fwrite(buffer, 1, n, out) != n)
			ret = -EIO;
	if (in != NULL)
		fclose(in);
	if (out != NULL && fclose(out) != 0 && ret == 0)
		ret = -EIO;
	return ret;
}

int verb_restore(int argc, char **argv)
{
	static const char usage[] = "用法 usage: qingfen restore --from DIR --to STORE [--json]\n  校验摘要后恢复到空目录 checks the digest, then restores into an empty directory\n";
	char from[4096], to[4096];
	struct options o;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.from == NULL || o.to == NULL || o.first != argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret = manifest_check(o.from);
	if (ret != 0) {
		complain("%s: %s", o.from, ret == CLEARING_E_DIFFERS ? "the backup is not what was written: its digest differs" : clearing_strerror(ret));
		return ret == CLEARING_E_DIFFERS ? EXIT_NO : exit_of_error(ret);
	}
	if (!dir_is_empty(o.to)) {
		complain("%s: is not empty; restore elsewhere and compare", o.to);
		return EXIT_RULE;
	}
	snprintf(from, sizeof(from), "%s/" DATA_FILE, o.from);
	snprintf(to, sizeof(to), "%s/" DATA_FILE, o.to);
	ret = mkdir(o.to, 0750) != 0 && errno != EEXIST ? -errno : file_copy(from, to);
	if (ret == 0)
		ret = sync_path(to, O_RDONLY);
	if (ret != 0)
		complain("%s: %s", o.to, clearing_strerror(ret));
	else if (o.json)
		printf("{\"schema\":\"qingfen.restore\",\"version\":1,\"to\":\"%s\"}\n", o.to);
	return exit_of_error(ret);
}
