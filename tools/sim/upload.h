/*
 * upload - the sealed batches of a generated city, as one indexed file between "sim city" that
 * writes it and "sim validators" that sends it.
 *
 * Layout: "QFUP" | version u32 = 1, then entries to the end of the file: device 16 (NUL filled) |
 * terminal 6 | resent u8 | 0 u8 | taps u32 | bytes u32 | batch bytes as they go into the frame.
 * Integers big-endian. An entry with resent = 1 repeats an earlier entry of the same device.
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
	const uint8_t *batch;
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

#endif
