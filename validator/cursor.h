/*
 * cursor - reading and writing msgpack inside given bounds, without allocation. Private to validator/.
 *
 * The readers take every msgpack width of a type, so that another encoder's bytes are read as well; the
 * writers emit the shortest form, as msgpack-c does. A fault is sticky: straight code, one look at the end.
 */
#ifndef VALIDATOR_CURSOR_H
#define VALIDATOR_CURSOR_H

#include <endian.h>
#include <string.h>

#include "validator/validator.h"

struct reader_cursor { const uint8_t *p, *end; int error; };
struct writer_cursor { uint8_t *p, *end; int error; };

uint32_t cursor_array(struct reader_cursor *c);			/* element count; bounded by the bytes left */
uint64_t cursor_uint_any(struct reader_cursor *c, uint64_t max);
int64_t cursor_int_any(struct reader_cursor *c);
const uint8_t *cursor_bin(struct reader_cursor *c, uint32_t *ret_bytes, uint32_t max);
void cursor_bin_any(struct reader_cursor *c, uint8_t *out, uint32_t n);
void cursor_str(struct reader_cursor *c, char *out, uint32_t bytes_max);	/* NUL-terminated, valid UTF-8 */
bool utf8_valid(const uint8_t *p, size_t n);			/* well-formed, without NUL (RFC 3629) */
void cursor_skip(struct reader_cursor *c);			/* one value of any kind, depth <= 8 */
bool cursor_bool(struct reader_cursor *c);

/* Most numbers are of one, three or five bytes, moments of nine, and most bins short: those are read in place, the rest by the
 * functions above. */
static inline uint64_t cursor_uint(struct reader_cursor *c, uint64_t max)
{
	const uint8_t *p = c->p;

	if (c->error == 0 && c->end - p >= 3) {
		if (*p <= 0x7F && *p <= max) {
			c->p = p + 1;
			return *p;
		}
		if (*p == 0xCD && max >= 0xFFFF) {
			c->p = p + 3;
			return (uint64_t)p[1] << 8 | p[2];
		}
		if (*p == 0xCE && max >= 0xFFFFFFFF && c->end - p >= 5) {
			c->p = p + 5;
			return (uint64_t)p[1] << 24 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 8 | p[4];
		}
	}
	return cursor_uint_any(c, max);
}

static inline int64_t cursor_int(struct reader_cursor *c)
{
	const uint8_t *p = c->p;
	uint64_t v;

	if (c->error == 0 && c->end - p >= 9) {
		if (*p <= 0x7F) {
			c->p = p + 1;
			return *p;
		}
		if (*p == 0xCD) {
			c->p = p + 3;
			return p[1] << 8 | p[2];
		}
		if (*p == 0xCF && p[1] <= 0x7F) {
			memcpy(&v, p + 1, sizeof(v));
			c->p = p + 9;
			return (int64_t)be64toh(v);
		}
	}
	return cursor_int_any(c);
}

static inline void cursor_bin_exact(struct reader_cursor *c, uint8_t *out, uint32_t n)
{
	if (c->error != 0 || (size_t)(c->end - c->p) < (size_t)n + 2 || c->p[0] != 0xC4 || c->p[1] != n) {
		cursor_bin_any(c, out, n);
		return;
	}
	memcpy(out, c->p + 2, n);
	c->p += n + 2;
}

void put_array(struct writer_cursor *c, uint32_t count);
void put_uint(struct writer_cursor *c, uint64_t v);
void put_int(struct writer_cursor *c, int64_t v);
void put_bin(struct writer_cursor *c, const void *p, uint32_t n);
void put_str(struct writer_cursor *c, const char *text);
void put_bool(struct writer_cursor *c, bool v);

#endif
