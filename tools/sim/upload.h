/*
 * upload - the sealed batches of a generated city, as one indexed file between "sim city" that
 * writes it and "sim validators" that sends it.
 *
 * Layout: "QFUP" | version u32 = 2, then entries to the end of the file: device 16 (NUL filled) |
 * terminal 6 | resent u8 | taps u32 | the batch's whole frame (docs/protocol.md): length u32 | type u8 |
 * batch. Integers big-endian. An entry with resent = 1 repeats an earlier entry of the same device.
 * What is sent lies in the file as it goes out, so that a load generator need not copy it.
 */
#ifndef TOOLS_SIM_UPLOAD_H
#define TOOLS_SIM_UPLOAD_H

#include <stdbool.h>
#include <stdio.h>

#include "validator/validator.h"

struct upload_entry {
	char device[DEVICE_BYTES_MAX + 1];
	uint8_t terminal[6];
	bool resent;
	uint32_t taps;
	const uint8_t *batch; /* its frame begins FRAME_HEAD_BYTES before it, where the entry was read */
	size_t bytes; /* borrowed from the map while reading */
};

/* Start a file; then one call an entry. False: the disk refused, errno tells. */
bool upload_write_head(FILE *f);
bool upload_write(FILE *f, const struct upload_entry *e);

/* The whole file mapped. upload_close unmaps; NULL is fine. */
struct upload;
int upload_open(const char *path, struct upload **ret_upload);
void upload_close(struct upload *u);
/* 1: *ret_entry filled and *at moved behind it; 0: end; -EINVAL: damaged. Start with *at = 0. */
int upload_next(const struct upload *u, size_t *at, struct upload_entry *ret_entry);

/* ---- sending it: many devices' rows of entries, in turn ---- */

struct upload_row { /* places in the file */
	size_t end, asked, kept;
};
/* The whole file comes into memory when it takes no more than room bytes, and is sent from the map. Else nothing of it stays
 * mapped, and each row is read as it goes, asked for a little ahead and given back behind. 0, -ENOMEM. Then begin each row. */
int upload_ready(struct upload *u, size_t room);
struct upload_row upload_row_of(const struct upload *u, const uint8_t *from, const uint8_t *end);
/* These bytes of the map, or as they were read, until the next call; NULL: the disk refused. */
const uint8_t *upload_row_read(const struct upload *u, struct upload_row *row, const uint8_t *p, size_t bytes);

#endif
