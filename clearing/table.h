/*
 * table - entries of one size, found by the bytes they begin with. It grows by one part of some hundred entries at a
 * time, so that no growth is ever felt, and is emptied as a whole; memory comes in chunks of pages.h. Private to
 * clearing/.
 *
 * An entry is a struct that begins with its key and goes on with one byte "used", not zero, which the table sets; the rest is the
 * owner's, zero when the entry is new. Not for several threads.
 */
#ifndef CLEARING_TABLE_H
#define CLEARING_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_part;
struct table {
	struct table_part **place; size_t places; unsigned bits;	/* parts by the first bits of the hash, room for so many; NULL: not open */
	size_t key_bytes, entry_bytes, count;
	struct table_part **part; size_t parts, part_room;		/* in the order they were made */
	uint8_t **chunk; size_t chunks, lines;	/* parts and runs of entries lie in chunks, of which so many lines are taken */
	size_t run_lines, runs; uint32_t free;	/* of a run; runs in use; the first of those given back, 0: none */
};
int table_open(struct table *t, size_t key_bytes, size_t entry_bytes);	/* -ENOMEM */
void table_close(struct table *t);
void table_clear(struct table *t);
size_t table_bytes(const struct table *t);	/* taken so far, whatever of it has entries */
/* For so many entries more. -ENOMEM: nothing is lost. */
int table_room(struct table *t, size_t entries);
/* The entry of a key; NULL: none. */
void *table_find(const struct table *t, const void *key);
/* The same, made when there is none; room was made. Its address holds until the next one is made. */
void *table_at(struct table *t, const void *key, bool *ret_new);
/* Soon asked for. */
void table_prefetch(const struct table *t, const void *key);
/* The same four for who asks several times: by the key's hash, which is the table's own. */
uint64_t table_hash(const struct table *t, const void *key);
void *table_find_by(const struct table *t, uint64_t hash, const void *key);
void *table_at_by(struct table *t, uint64_t hash, const void *key, bool *ret_new);
void table_prefetch_by(const struct table *t, uint64_t hash);
void table_prefetch_entry_by(const struct table *t, uint64_t hash);	/* some time after: the entry that is most likely the key's, if there is one */
/* The entries in no order; start with *at = 0. NULL: no more. */
void *table_next(const struct table *t, size_t *at);
/*
 * The same a few at a time, while entries come in between: starts with all zero, looks at no more than budget places, and
 * looks again at what moved, so that every entry comes at least once. NULL: the budget is spent, or the end (ended).
 */
struct table_walk { size_t at, bits, budget; bool ended; };
void *table_walk(const struct table *t, struct table_walk *w);

#endif
