/*
 * thin_form - what the two halves of thin agree about: the layout (docs/store.md, "Thin batches"). Private to thin_make.c and
 * thin_read.c.
 */
#ifndef CLEARING_CORE_THIN_FORM_H
#define CLEARING_CORE_THIN_FORM_H

#include <string.h>

#include "keys/octets.h"

#include "clearing/core/thin.h"

/* version 1, groups 1, records 2, bytes of what went in 4, odd records at 2, rest at 2, frame before its records 2, head 1, zero 1 */
#define THIN_VERSION 1
#define FORM_HEAD_BYTES 16
/* A group: runs at 2, alike at 2, rows at 2, rows 2, bytes of a record 2, of a row 2, marks 2, bytes of a row before its own 1, zero 1.
 * A run: bytes alike 1, bytes that differ 1, each RUN_MAX at most, so that one move of sixteen bytes copies it. A row: [place 2, but
 * for the first group's,] [marks 2, when they differ,] what differs. */
#define GROUP_BYTES 16
#define GROUPS_MAX THIN_GROUPS_MAX
#define RUN_MAX 16
struct group { uint16_t runs, same, rows, count, length, stride; uint8_t marks[2], lead; };
/* An odd record: place 2, bytes 2, marks 2, then as of a row of the first group what differs, then until it is whole: bytes of that row's
 * record to take 1, bytes that follow here instead of its next ones 1, how many of its next ones those are 1, the bytes. */
#define ODD_HEAD_BYTES 6
#define EDIT_BYTES 3

static inline struct group group_read(const uint8_t *p, unsigned k)
{
	const uint8_t *g = p + FORM_HEAD_BYTES + k * GROUP_BYTES;

	return (struct group){ .runs = be16_get(g), .same = be16_get(g + 2), .rows = be16_get(g + 4), .count = be16_get(g + 6),
			       .length = be16_get(g + 8), .stride = be16_get(g + 10), .marks = { g[12], g[13] }, .lead = g[14] };
}

/* n bytes by sixteens: up to fifteen more are read and written. */
static inline void copy_wide(uint8_t *to, const uint8_t *from, size_t n)
{
	memcpy(to, from, 16);
	for (size_t i = 16; i < n; i += 16)
		memcpy(to + i, from + i, 16);
}

#endif
