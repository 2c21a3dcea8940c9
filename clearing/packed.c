#include "clearing/packed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 128			/* bundles kept: 64 MB at most, the rides of a row's neighbours among them */
#define CHAINS 1024
#define PACKED_VALUE_BYTES (4 + 8 + 8 + 8 + 1)

/* ---- rows -------------------------------------------------------------------------------------------------------- */

bool packed_at_read(const void *val, size_t n, struct packed_at *ret)
{
	const uint8_t *p = val;

	if (n != PACKED_BYTES || p[0] != EVENT_BATCH || p[1] != BATCH_PACKED)
		return false;
	*ret = (struct packed_at){ .taps = be16_get(p + 2), .unanswered = be16_get(p + 4), .day = (int32_t)be32_get(p + 16),
				   .bundle = be32_get(p + 20), .place = be16_get(p + 24) };
	return true;
}

void packed_at_write(const struct packed_at *at, int64_t received_ms, uint8_t out[PACKED_BYTES])
{
	memset(out, 0, PACKED_BYTES);
	out[0] = EVENT_BATCH;
	out[1] = BATCH_PACKED;
	be16_put(out + 2, at->taps);
	be16_put(out + 4, at->unanswered);
	be64_put(out + 8, (uint64_t)received_ms);
	be32_put(out + 16, (uint32_t)at->day);
	be32_put(out + 20, at->bundle);
	be16_put(out + 24, at->place);
}

void bundle_key(int32_t day, uint32_t bundle, uint8_t ret[BUNDLE_KEY_BYTES])
{
	be32_put(ret, (uint32_t)day ^ 0x80000000u);
	be32_put(ret + 4, bundle);
}

void packed_put(struct txn *t, int32_t day, const struct packed *p)
{
	uint8_t key[BUNDLE_KEY_BYTES], val[PACKED_VALUE_BYTES];

	bundle_key(day, 0, key);
	be32_put(val, p->bundles);
	be64_put(val + 4, p->batches);
	be64_put(val + 12, p->bytes_before);
	be64_put(val + 20, p->bytes_after);
	val[28] = p->whole;
	txn_put(t, DB_BUNDLE, key, sizeof(key), val, sizeof(val));
}

static bool packed_decode(const uint8_t *p, size_t n, struct packed *ret)
{
	if (n != PACKED_VALUE_BYTES)
		return false;
	*ret = (struct packed){ .bundles = be32_get(p), .batches = be64_get(p + 4), .bytes_before = be64_get(p + 12), .bytes_after = be64_get(p + 20),
				.whole = p[28] != 0, .days = 1 };
	return true;
}

bool day_packed(struct txn *t, int32_t day, struct packed *ret)
{
	uint8_t key[BUNDLE_KEY_BYTES];
	const void *val;
	size_t n;

	bundle_key(day, 0, key);
	return txn_get(t, DB_BUNDLE, key, sizeof(key), &val, &n) && packed_decode(val, n, ret);
}

void days_packed(struct txn *t, struct packed *ret)
{
	uint8_t key[BUNDLE_KEY_BYTES];
	struct packed sum = { .whole = true }, p;
	struct iter it;
	bool on;

	iter_open(t, DB_BUNDLE, NULL, 0, &it);
	for (on = iter_next(&it); on && it.key_bytes == BUNDLE_KEY_BYTES; on = iter_seek(&it, key, sizeof(key))) {
		if (be32_get(it.key + 4) == 0 && packed_decode(it.val, it.val_bytes, &p)) {
			sum.days++;
			sum.bundles += p.bundles;
			sum.batches += p.batches;
			sum.bytes_before += p.bytes_before;
			sum.bytes_after += p.bytes_after;
			sum.whole = sum.whole && p.whole;
		}
		memcpy(key, it.key, 4);
		memset(key + 4, 0xFF, 4);	/* no day has so many: the next day's first */
	}
	iter_close(&it);
	*ret = sum;
}

static size_t window = WINDOW;

void packed_window(size_t many)
{
	window = many;
	wholes_window(many);
}

/* ---- unpacked ------------------------------------------------------------------------------------------------------- */

struct slot { uint8_t key[BUNDLE_KEY_BYTES]; struct bundle *bundle; uint64_t used; bool kept; struct slot *next; };
struct unpacked {
	struct unbundler *unbundler;
	struct slot *chain[CHAINS], *last;
	struct slot *window[WINDOW]; size_t windowed;	/* those that are not kept to the end */
	uint64_t clock, gone;
	uint8_t *room;			/* for the parts of a bundle while they are made thin */
};

static struct slot **chain_of(struct unpacked *u, const uint8_t key[BUNDLE_KEY_BYTES])
{
	return &u->chain[(be32_get(key) * 31 + be32_get(key + 4)) % CHAINS];
}

static void slot_drop(struct unpacked *u, struct slot *s)
{
	struct slot **at = chain_of(u, s->key);

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (u->last == s)
		u->last = NULL;
	free(s->bundle);
	free(s);
	u->gone++;
}

/* Room for one more that is not kept: the one used longest ago goes. */
static size_t window_place(struct unpacked *u)
{
	size_t oldest = 0;

	if (u->windowed < window)
		return u->windowed++;
	for (size_t i = 1; i < u->windowed; i++)
		if (u->window[i]->used < u->window[oldest]->used)
			oldest = i;
	slot_drop(u, u->window[oldest]);
	return oldest;
}

static void slot_keep(struct unpacked *u, struct slot *s)
{
	for (size_t i = 0; !s->kept && i < u->windowed; i++)
		if (u->window[i] == s) {
			u->window[i] = u->window[--u->windowed];
			s->kept = true;
		}
}

/* ---- held thin ------------------------------------------------------------------------------------------------------ */

static uint32_t part_thin(const struct bundle_part *part, uint8_t *out)
{
	static _Thread_local struct batch batch;
	const struct event e = { .seq = part->seq, .type = EVENT_BATCH, .body = part->p, .bytes = part->n };
	struct event_batch b;

	if (!event_batch_read(&e, &b) || batch_decode(b.batch, b.batch_bytes, &batch) != 0 || batch.count != b.count)
		return 0;
	return (uint32_t)thin_make(&(const struct thin_of){ part->p, EVENT_BATCH_HEAD_BYTES, b.marks, b.batch, b.batch_bytes, &batch }, out);
}

/* A bundle whose parts are thin, those that can be, instead of this one, which is freed. NULL: no memory. */
static struct bundle *bundle_thin(struct unpacked *u, struct bundle *b)
{
	size_t heads = sizeof(*b) + b->parts * sizeof(b->part[0]), used = 0;
	struct bundle *lean;
	uint8_t *at;

	if (u->room == NULL)
		u->room = malloc(BUNDLE_BYTES_MAX + THIN_SLACK);
	for (uint32_t i = 0; u->room != NULL && i < b->parts; i++) {
		uint32_t thin = part_thin(&b->part[i], u->room + used);

		if (thin == 0)
			memcpy(u->room + used, b->part[i].p, b->part[i].n);
		b->part[i].n = thin != 0 ? thin : b->part[i].n;
		b->part[i].thin = thin != 0;
		used += b->part[i].n;
	}
	lean = u->room != NULL ? malloc(heads + used) : NULL;
	if (lean != NULL) {
		memcpy(lean, b, heads);
		at = memcpy((uint8_t *)lean + heads, u->room, used);
		for (uint32_t i = 0; i < lean->parts; at += lean->part[i++].n)
			lean->part[i].p = at;
	}
	free(b);
	return lean;
}

/* ---- found ------------------------------------------------------------------------------------------------------------ */

static int slot_add(struct txn *t, const uint8_t key[BUNDLE_KEY_BYTES], struct slot **ret)
{
	struct unpacked *u = t->unpacked;
	struct slot *s = calloc(1, sizeof(*s));
	const void *val;
	size_t n;
	int code;

	if (s == NULL)
		return -ENOMEM;
	code = txn_get(t, DB_BUNDLE, key, BUNDLE_KEY_BYTES, &val, &n) ? bundle_unpack(u->unbundler, val, n, &s->bundle) :
	       t->error != 0					      ? t->error :
									CLEARING_E_PACKED;
	if (code != 0) {
		free(s);
		return code;
	}
	if (t->keep)
		s->bundle = bundle_thin(u, s->bundle);
	if (s->bundle == NULL) {
		free(s);
		return -ENOMEM;
	}
	memcpy(s->key, key, BUNDLE_KEY_BYTES);
	s->next = *chain_of(u, key);
	*chain_of(u, key) = s;
	u->window[window_place(u)] = s;
	*ret = s;
	return 0;
}

static int unpacked_new(struct unpacked **ret)
{
	struct unpacked *u = calloc(1, sizeof(*u));
	int code = u != NULL ? unbundler_new(&u->unbundler) : -ENOMEM;

	if (code != 0) {
		free(u);
		return code;
	}
	*ret = u;
	return 0;
}

void unpacked_free(struct unpacked *u)
{
	if (u == NULL)
		return;
	for (size_t i = 0; i < CHAINS; i++)
		while (u->chain[i] != NULL) {
			struct slot *s = u->chain[i];

			u->chain[i] = s->next;
			free(s->bundle);
			free(s);
		}
	unbundler_free(u->unbundler);
	free(u->room);
	free(u);
}

uint64_t packed_gone(const struct txn *t) { return (t->unpacked != NULL ? t->unpacked->gone : 0) + wholes_gone(t->wholes); }

static int bundle_find(struct txn *t, const uint8_t key[BUNDLE_KEY_BYTES], struct slot **ret)
{
	struct unpacked *u = t->unpacked;
	struct slot *s = u->last != NULL && memcmp(u->last->key, key, BUNDLE_KEY_BYTES) == 0 ? u->last : *chain_of(u, key);
	int code = 0;

	while (s != NULL && memcmp(s->key, key, BUNDLE_KEY_BYTES) != 0)
		s = s->next;
	if (s == NULL)
		code = slot_add(t, key, &s);
	if (code != 0)
		return code;
	s->used = ++u->clock;
	u->last = s;
	if (t->keep)
		slot_keep(u, s);
	*ret = s;
	return 0;
}

const struct bundle_part *packed_part(struct txn *t, uint64_t seq, const struct packed_at *at)
{
	uint8_t key[BUNDLE_KEY_BYTES];
	const struct bundle_part *part;
	struct slot *s = NULL;

	if (t->error == 0 && t->unpacked == NULL)
		t->error = unpacked_new(&t->unpacked);
	bundle_key(at->day, at->bundle, key);
	if (t->error == 0)
		t->error = bundle_find(t, key, &s);
	if (t->error != 0)
		return NULL;
	part = at->place < s->bundle->parts ? &s->bundle->part[at->place] : NULL;
	if (part == NULL || part->seq != seq) {
		t->error = CLEARING_E_PACKED;
		return NULL;
	}
	return part;
}
