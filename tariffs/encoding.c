/*
 * encoding - tables from spreadsheets come in UTF-8 or, from Chinese ones, in GB18030. What is not UTF-8 is taken as
 * GB18030 as a whole or refused with its line: a title or a line's name in the wrong encoding would match nothing and say
 * nothing.
 *
 * Only files read at the desk go through here. What the daemon keeps and replays is never converted.
 */
#include "tariffs/text.h"

#include <errno.h>
#include <iconv.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 character at p, 0: none. No overlong forms, no surrogates, nothing beyond U+10FFFF. */
static size_t utf8_character(const unsigned char *p, size_t left)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xC2 && p[0] < 0xE0 ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : p[0] >= 0xF0 && p[0] < 0xF5 ? 4 : 0;

	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
		return 0;
	return n;
}

/* C0 and C1 controls, line and paragraph separators, marks of byte order: nothing that a title or a name has. */
static bool unprintable(const unsigned char *p, size_t n)
{
	uint32_t c = n == 1 ? p[0] : n == 2 ? (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu) : n == 3 ? (p[0] & 0xFu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu) : 0x10000;

	return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 || c == 0xFEFF || (c >= 0xFFFE && c <= 0xFFFF);
}

bool text_printable(const char *text)
{
	size_t left = strlen(text), n;

	for (; left > 0; text += n, left -= n) {
		n = utf8_character((const unsigned char *)text, left);
		if (n == 0 || unprintable((const unsigned char *)text, n))
			return false;
	}
	return true;
}

/* Bytes before the first that is not UTF-8. */
static size_t utf8_prefix(const char *text, size_t n)
{
	size_t at = 0, more;

	while (at < n && (more = utf8_character((const unsigned char *)text + at, n - at)) > 0)
		at += more;
	return at;
}

/* A character of GB18030 has at least half as many bytes as in UTF-8. NULL: not GB18030, or no memory. */
static char *from_gb18030(char *text, size_t n, size_t *ret_n)
{
	iconv_t cd = iconv_open("UTF-8", "GB18030");
	size_t left = 2 * n, in = n;
	char *out, *to, *from = text;

	if (cd == (iconv_t)-1)
		return NULL;
	out = to = malloc(2 * n + 1);
	if (out != NULL && (iconv(cd, &from, &in, &to, &left) == (size_t)-1 || in != 0)) {
		free(out);
		out = NULL;
	}
	iconv_close(cd);
	if (out != NULL)
		*ret_n = (size_t)(to - out);
	return out;
}

int text_to_utf8(const char *name, char **text, size_t *n, char *ret_error, size_t error_bytes)
{
	size_t at = utf8_prefix(*text, *n), bytes = 0;
	bool marked = *n >= 3 && memcmp(*text, "\xEF\xBB\xBF", 3) == 0;
	unsigned line = 1;
	char *converted;

	if (at == *n)
		return 0;
	converted = marked ? NULL : from_gb18030(*text, *n, &bytes);
	if (converted != NULL) {
		free(*text);
		*text = converted;
		*n = bytes;
		return 0;
	}
	for (size_t i = 0; i < at; i++)
		line += (*text)[i] == '\n';
	snprintf(ret_error, error_bytes, "%s:%u:1: neither UTF-8 nor GB18030; save the table as CSV UTF-8", name, line);
	return TARIFF_E_SYNTAX;
}
