/* text - whole text files in memory, for yaml.c and csv.c. Private to tariffs/. */
#ifndef TARIFFS_TEXT_H
#define TARIFFS_TEXT_H

#include "tariffs/tariffs.h"

/* At most max bytes; *ret_p is malloc'ed. The error text is "path: reason". */
int text_file_read(const char *path, size_t max, char **ret_p, size_t *ret_n, char *ret_error, size_t error_bytes);

/* A table's text, malloc'ed, as UTF-8: unchanged when it is, else from GB18030. On failure it is still the caller's. */
int text_to_utf8(const char *name, char **text, size_t *n, char *ret_error, size_t error_bytes);

bool text_printable(const char *text);	/* UTF-8 without control characters: may stand in YAML and CSV */

#endif
