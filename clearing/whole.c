/*
 * whole - bodies of thin batches, put together again. A transaction has those asked for last; a hundred records take three
 * microseconds, so few are kept.
 */
#include "clearing/packed.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW 32
#define CHAINS 1024

struct whole { uint64_t seq, used; uint8_t *p; size_t n, space; bool kept; struct whole *next; };
struct wholes {
	struct whole *chain[CHAINS];
	struct whole *window[WINDOW]; size_t windowed;	/* those that are not kept to the end */
	uint64_t clock, gone;
	struct thin thin;
};

static size_t window = WINDOW;

void wholes_window(size_t bodies) { window = bodies; }

static struct whole **chain_of(struct wholes *w, uint64_t seq) { return &w->chain[seq % CHAINS]; }

static void unchain(struct wholes *w, const struct whole *b)
{
	struct whole **at = chain_of(w, b->seq);

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
}

/* One to put a body into: a new one while few are there, then that used longest ago. NULL: no memory. */
static struct whole *place_find(struct wholes *w)
{
	size_t oldest = 0;
	struct whole *b;

	if (w->windowed < window) {
		b = calloc(1, sizeof(*b));
		if (b != NULL)
			w->window[w->windowed++] = b;
		return b;
	}
	for (size_t i = 1; i < w->windowed; i++)
		if (w->window[i]->used < w->window[oldest]->used)
			oldest = i;
	b = w->window[oldest];
	if (b->n > 0) {
		unchain(w, b);
		w->gone++;
	}
	b->n = 0;
	return b;
}

static void keep(struct wholes *w, struct whole *b)
{
	for (size_t i = 0; !b->kept && i < w->windowed; i++)
		if (w->window[i] == b) {
			w->window[i] = w->window[--w->windowed];
			b->kept = true;
		}
}

static int put_together(struct wholes *w, uint64_t seq, const uint8_t *thin, size_t n, struct whole **ret)
{
	struct whole *b;

	if (!thin_open(thin, n, &w->thin) || w->thin.head_bytes != EVENT_BATCH_HEAD_BYTES)
		return CLEARING_E_STORE;
	b = place_find(w);
	if (b == NULL)
		return -ENOMEM;
	if (b->space < w->thin.body_bytes + THIN_SLACK) {
		free(b->p);
		b->space = w->thin.body_bytes + THIN_SLACK;
		b->p = malloc(b->space);
	}
	if (b->p == NULL) {
		b->space = 0;
		return -ENOMEM;
	}
	thin_body(&w->thin, b->p);
	b->n = w->thin.body_bytes;
	b->seq = seq;
	b->next = *chain_of(w, seq);
	*chain_of(w, seq) = b;
	*ret = b;
	return 0;
}

bool whole_body(struct txn *t, uint64_t seq, const uint8_t *thin, size_t n, const uint8_t **ret, size_t *ret_bytes)
{
	struct wholes *w = t->wholes;
	struct whole *b;

	if (t->error == 0 && w == NULL) {
		w = t->wholes = calloc(1, sizeof(*w));
		t->error = w == NULL ? -ENOMEM : 0;
	}
	if (t->error != 0)
		return false;
	for (b = *chain_of(w, seq); b != NULL && b->seq != seq; b = b->next)
		;
	if (b == NULL)
		t->error = put_together(w, seq, thin, n, &b);
	if (t->error != 0)
		return false;
	b->used = ++w->clock;
	if (t->keep)
		keep(w, b);
	*ret = b->p;
	*ret_bytes = b->n;
	return true;
}

uint64_t wholes_gone(const struct wholes *w) { return w != NULL ? w->gone : 0; }

static void whole_free(struct whole *b)
{
	free(b->p);
	free(b);
}

void wholes_free(struct wholes *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->windowed; i++)
		if (w->window[i]->n == 0)	/* in no chain */
			whole_free(w->window[i]);
	for (size_t i = 0; i < CHAINS; i++)
		for (struct whole *b = w->chain[i], *next; b != NULL; b = next) {
			next = b->next;
			whole_free(b);
		}
	free(w);
}
