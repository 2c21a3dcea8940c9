/* keyed - things found by some bytes of theirs, and listed in the order they came. Private to clearing/. */
#ifndef CLEARING_KEYED_H
#define CLEARING_KEYED_H

#include <stddef.h>
#include <stdint.h>

/* First in what is kept; the bytes are the thing's own and do not change. */
struct keyed { const uint8_t *key; uint32_t key_bytes; uint64_t hash; };
struct keyed_list { struct keyed **item; size_t count, space; uint32_t *slot; size_t mask; };	/* zero: empty */
uint64_t keyed_hash(const uint8_t *key, size_t n);
/* The thing with these bytes; NULL: there is none. */
struct keyed *keyed_find(const struct keyed_list *l, const uint8_t *key, size_t n, uint64_t hash);
/* One that is not there yet, key, length and hash set. 0, or -ENOMEM and it is not taken. */
int keyed_add(struct keyed_list *l, struct keyed *item);
void keyed_done(struct keyed_list *l);	/* the list's memory; the things are whose they were */

#endif
