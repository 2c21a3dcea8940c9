/*
 * riding - the rider states of the open day, by person. Most of a state is zero, and numbers are small, so that a rider
 * with a transfer window takes 32 bytes, with a transfer or a counter 48. Private to clearing/.
 */
#ifndef CLEARING_RIDING_H
#define CLEARING_RIDING_H

#include "clearing/clearing.h"

struct riding;
struct table_walk;
int riding_new(struct riding **ret_riding) CLEARING_MUST_CHECK;
void riding_free(struct riding *r);	/* NULL is fine */
void riding_reset(struct riding *r);	/* another day */
int riding_room(struct riding *r, size_t puts) CLEARING_MUST_CHECK;	/* for so many riding_put; -ENOMEM */
/* A person, and where he is looked for in it: by the hash, first in the entry where he was found before. */
struct riding_entry;
struct riding_key { uint64_t person, hash; struct riding_entry *entry; };
struct riding_key riding_key(const struct riding *r, uint64_t person);
/* The state last put for a person; false: none was. */
bool riding_get(const struct riding *r, struct riding_key key, struct rider_state *ret_state);
void riding_put(struct riding *r, struct riding_key key, const struct rider_state *state);	/* room was made */
/* Soon asked for: first where the entry is looked for, some time later the entry, again later the state. */
void riding_prefetch(const struct riding *r, struct riding_key key);
void riding_prefetch_entry(const struct riding *r, struct riding_key key);
void riding_prefetch_state(const struct riding *r, struct riding_key *key);
size_t riding_bytes(const struct riding *r);	/* taken so far */
/* The states for an image, as table_walk. */
bool riding_walk(const struct riding *r, struct table_walk *w, uint64_t *ret_person, struct rider_state *ret_state);
size_t riding_count(const struct riding *r);
int riding_room_of(struct riding *r, uint64_t persons) CLEARING_MUST_CHECK;	/* for entries only; -ENOMEM */

#endif
