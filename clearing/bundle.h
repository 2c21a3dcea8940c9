/*
 * bundle - batches of a closed day packed together without loss: the same bytes come out of it, or nothing does. Records of
 * one layout differ little, so the pieces they are made of (docs/tap-format.md: elements of a msgpack array) are laid beside
 * those of the other records before they are compressed; card numbers, TACs and what else is random set the floor. Which
 * bytes are a record only decides how small a bundle becomes: any bytes are packed, and unpacking knows no msgpack.
 *
 * Layout: docs/store.md, "Bundles". Private to clearing/.
 */
#ifndef CLEARING_BUNDLE_H
#define CLEARING_BUNDLE_H

#include "clearing/clearing.h"

#define BUNDLE_VERSION 1
#define BUNDLE_HEAD_BYTES (1 + 2 + 4 + DIGEST_BYTES + DIGEST_BYTES)	/* version, parts, their bytes, their digest; digest of the bundle */
#define BUNDLE_PARTS_MAX 32767
#define BUNDLE_BYTES_MAX (512u << 10)	/* of its parts together; what one look at a record unpacks */
#define BUNDLE_COLUMNS_MAX 64		/* pieces of a record; one with more is packed whole */
#define BUNDLE_LENGTHS_MAX 15		/* of the pieces of a column; one with more has them without the order of bytes changed */

/* An event's body; thin: in the form of core/thin.h, as packed.c keeps it. */
struct bundle_part { uint64_t seq; const uint8_t *p; uint32_t n; bool thin; };
struct bundle { uint32_t parts; struct bundle_part part[]; };	/* the bytes lie behind them */

/* How the values of a column are laid out; zstd but for the first two. */
enum bundle_method { BUNDLE_STORED, BUNDLE_SAME, BUNDLE_ROWS, BUNDLE_PLANES, BUNDLE_STEPS, BUNDLE_METHODS };

struct bundler;
int bundler_new(struct bundler **ret) CLEARING_MUST_CHECK;
void bundler_free(struct bundler *b);		/* NULL is fine */
/* 1 to BUNDLE_PARTS_MAX parts of together at most BUNDLE_BYTES_MAX. *ret is b's until its next call. */
int bundle_pack(struct bundler *b, const struct bundle_part *part, size_t parts, const void **ret, size_t *ret_bytes) CLEARING_MUST_CHECK;
/* Who unpacks often keeps one: its memory is used again. */
struct unbundler;
int unbundler_new(struct unbundler **ret) CLEARING_MUST_CHECK;
void unbundler_free(struct unbundler *u);	/* NULL is fine */
/* Free with free(). CLEARING_E_PACKED: not what bundle_pack() made. */
int bundle_unpack(struct unbundler *u, const void *packed, size_t n, struct bundle **ret) CLEARING_MUST_CHECK;
/* SHA-256 over number, length and bytes of each part. */
void bundle_digest(const struct bundle_part *part, size_t parts, uint8_t ret_digest[DIGEST_BYTES]);
/* And over a bundle but for the place of this digest itself: checked before anything of it is believed. */
void bundle_seal(const uint8_t *packed, size_t n, uint8_t ret_digest[DIGEST_BYTES]);

#endif
