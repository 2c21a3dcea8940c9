/* tariff_words - the values two pack directories hold, by path; used by tariff diff. */
#ifndef TOOLS_TARIFF_WORDS_H
#define TOOLS_TARIFF_WORDS_H

#include "tools/tools.h"

struct word { char *path, *value; unsigned nth; };	/* nth: place in its pack, orders equal paths */
struct words { struct word *word; size_t count, space; };
/* Sorted by path. The pack compiles, so its files can be read; a negative error otherwise. */
int words_read(const char *dir, struct words *ret);
void words_free(struct words *w);
/* Each difference; old or new is NULL where only one pack has the path. The number of them. */
size_t words_differ(const struct words *a, const struct words *b, void (*found)(void *arg, const char *path, const char *old, const char *new), void *arg);

#endif
