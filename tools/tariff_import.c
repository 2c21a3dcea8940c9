/*
 * qingfen tariff params --import - a first pack written from a terminals' table. The pack is made beside its place, compiled,
 * run through its cases and compared with the table it came from; only then is it moved there. What is there already stays.
 */
#include "tools/tariff.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void report(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static const char *const files[] = { "pack.yaml", "lines.csv", "sections.csv", "calendar.csv", "cases.csv" };
#define FILES (sizeof(files) / sizeof(files[0]))

static const char *text_of(const struct tariff_import *made, size_t file)
{
	const char *const texts[FILES] = { made->pack_yaml, made->lines_csv, made->sections_csv, made->calendar_csv, made->cases_csv };

	return texts[file];
}

/* The directory's last part in letters that a pack's name may have. */
static void name_of(const char *dir, char ret_name[64])
{
	size_t n = strlen(dir), from;

	while (n > 1 && dir[n - 1] == '/')
		n--;
	for (from = n; from > 0 && dir[from - 1] != '/';)
		from--;
	snprintf(ret_name, 64, "%.*s", (int)(n - from < 60 ? n - from : 60), dir + from);
	for (char *p = ret_name; *p != '\0'; p++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *p) == NULL)
			*p = '-';
}

static bool text_write(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX + 32];
	FILE *f;
	bool good;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "we");
	good = f != NULL && fputs(text, f) >= 0;
	if (f != NULL && fclose(f) != 0)
		good = false;
	if (!good)
		complain("%s: %s", path, strerror(errno));
	return good;
}

static void dir_remove(const char *dir)
{
	char path[PATH_MAX + 32];

	for (size_t i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

/* Does the pack compile, do its cases hold, is it what the table says? EXIT_PARTLY: it is a pack, and not all of the table. */
static int pack_prove(const char *dir, const char *table, int32_t day)
{
	struct open_pack pack;
	struct book book = { 0 };
	int run = 0, failed, ret = open_pack_read(dir, &pack);

	if (ret != EXIT_OK)
		return ret;
	failed = tariff_run_cases(dir, pack.tariff, report, NULL, &run);
	ret = book_make(pack.tariff, NULL, day, &book);
	if (ret != 0)
		complain("%s: %s", table, strerror(-ret));
	ret = ret == 0 ? params_compare(table, &book) : EXIT_STORE;
	printf("%d 个例子, %d 个不符 cases, failed\n", run, failed > 0 ? failed : 0);
	book_free(&book);
	open_pack_done(&pack);
	return ret == EXIT_STORE ? ret : ret == EXIT_OK && failed == 0 ? EXIT_OK : EXIT_PARTLY;
}

static void unsettled_print(const char *text)
{
	puts("待定 to be settled by you:");
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");

		printf("  %.*s\n", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static int made_write(const struct tariff_import *made, const char *table, const char *dir)
{
	char beside[PATH_MAX];
	int ret = EXIT_OK;

	if (snprintf(beside, sizeof(beside), "%s.XXXXXX", dir) >= (int)sizeof(beside) || mkdtemp(beside) == NULL) {
		complain("%s: %s", dir, strerror(errno));
		return EXIT_STORE;
	}
	if (chmod(beside, 0755) != 0)
		ret = EXIT_STORE;
	for (size_t i = 0; ret == EXIT_OK && i < FILES; i++)
		if (text_of(made, i) != NULL && !text_write(beside, files[i], text_of(made, i)))
			ret = EXIT_STORE;
	if (ret == EXIT_OK)
		ret = pack_prove(beside, table, made->first_day);
	if ((ret == EXIT_OK || ret == EXIT_PARTLY) && renameat2(AT_FDCWD, beside, AT_FDCWD, dir, RENAME_NOREPLACE) != 0) {
		complain("%s: %s; nothing there is replaced", dir, strerror(errno));
		ret = EXIT_STORE;
	}
	if (ret != EXIT_OK && ret != EXIT_PARTLY) {
		dir_remove(beside);
		return ret;
	}
	printf("%s: 票价包已写出%s the pack is written%s\n", dir, ret == EXIT_OK ? ", 与参数表一致" : ", 与参数表有上列不同",
	       ret == EXIT_OK ? " and says what the table says" : ", and differs from the table where listed above");
	unsettled_print(made->unsettled);
	return ret;
}

int params_import(const char *path, const char *dir, int32_t day)
{
	struct tariff_import made;
	struct stat st;
	char name[64];
	int ret;

	if (lstat(dir, &st) == 0) {
		complain("%s: is there already; nothing is replaced, name another directory", dir);
		return EXIT_RULE;
	}
	name_of(dir, name);
	ret = tariff_import(path, name, day, day_of_ms((int64_t)time(NULL) * 1000), report, NULL, &made);
	if (ret != 0) {
		complain("%s: no pack was written", path);
		return EXIT_CONFIG;
	}
	ret = made_write(&made, path, dir);
	tariff_import_done(&made);
	return ret;
}
