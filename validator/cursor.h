/*
 * cursor - reading and writing msgpack inside given bounds, without allocation. Private to validator/.
 *
 * The readers take every msgpack width of a type, so that another encoder's bytes are read as well; the
 * writers emit the shortest form, as msgpack-c does. A fault is sticky: straight code, one look at the end.
 */
#ifndef VALIDATOR_CURSOR_H
#define VALIDATOR_CURSOR_H

#include "validator/validator.h"

struct reader_cursor { const uint8_t *p, *end; int error; };
struct writer_cursor { uint8_t *p, *end; int error; };

uint32_t cursor_array(struct reader_cursor *c);			/* element count; bounded by the bytes left */
uint64_t cursor_uint(struct reader_cursor *c, uint64_t max);
int64_t cursor_int(struct reader_cursor *c);
const uint8_t *cursor_bin(struct reader_cursor *c, uint32_t *ret_bytes, uint32_t max);
void cursor_bin_exact(struct reader_cursor *c, uint8_t *out, uint32_t n);
void cursor_str(struct reader_cursor *c, char *out, uint32_t bytes_max);	/* NUL-terminated, valid UTF-8 */
void cursor_skip(struct reader_cursor *c);			/* one value of any kind, depth <= 8 */
bool cursor_bool(struct reader_cursor *c);

void put_array(struct writer_cursor *c, uint32_t count);
void put_uint(struct writer_cursor *c, uint64_t v);
void put_int(struct writer_cursor *c, int64_t v);
void put_bin(struct writer_cursor *c, const void *p, uint32_t n);
void put_str(struct writer_cursor *c, const char *text);
void put_bool(struct writer_cursor *c, bool v);

#endif
