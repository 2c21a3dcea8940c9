/*
 * kerb - codes asked about while the rider stands at the gate (docs/codes.md). Threads of their own ask the platform, so that
 * neither a front nor the writer waits for it; what it said is remembered for the record that comes. Private to clearing/.
 *
 * The invariant: of two gates that ask about one code one is told that it is good.
 */
#ifndef CLEARING_KERB_H
#define CLEARING_KERB_H

#include "clearing/code_talk.h"

struct kerb;
/* d->kerb; it stays NULL when gates are not answered: no platform that can be asked, or kerb_ask_ms 0. */
int kerb_start(struct daemon *d) CLEARING_MUST_CHECK;
void kerb_stop(struct daemon *d);	/* no front gets an answer after this */
void kerb_close(struct daemon *d);	/* after the fronts, which may still ask */
/* A question of a gate, ITEM_ASK with its code in bytes: handed back by front_answer with said, at once when k is NULL. */
void kerb_take(struct kerb *k, struct item *item);
/* A record has come: its code rode. True: it was asked about at its gate, and *ret_answer is what was said, bound to the record. k
 * NULL: false. */
bool kerb_rode(struct kerb *k, const struct question *q, struct code_answer *ret_answer);
void kerb_status(struct kerb *k, struct jsonw *j);	/* k NULL: all zero */

#endif
