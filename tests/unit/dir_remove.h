/* dir_remove - a folder of a test's or a benchmark's own, with the files in it. */
#ifndef TESTS_DIR_REMOVE_H
#define TESTS_DIR_REMOVE_H

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

static inline void dir_remove(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[320];

	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	if (d != NULL)
		closedir(d);
	rmdir(dir);
}

#endif
