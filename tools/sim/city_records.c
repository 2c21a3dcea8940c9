/*
 * Records between the ride that made them and the batch that carries them. They wait on the disk in bins, one for a row of
 * devices (a lot), in the order made: a plain record of a purse as a note of what its card and its device do not tell
 * anyway, any other one as it is encoded. A lot that is made has the bytes of all its devices' records.
 */
#include "city.h"

#include <stdlib.h>
#include <string.h>

#include "tools/tools.h"

#define LOTS_MAX 512

enum { HEAD_NOTE = 1, HEAD_PLAIN = 2, HEAD_LATER = 4 };
struct head {
	uint32_t device;
	uint16_t bytes;
	uint8_t is;
};
struct note {
	int64_t time_ms, prev_time_ms;
	uint32_t card, serial, list_fen, amount_fen;
	int32_t balance_before, balance_after;
	uint32_t prev_amount_fen, prev_device;
	uint16_t counter, prev_counter, stop, stop_on;
	uint8_t kind, direction, prev_type, random[4], tac[4];
};

uint32_t city_lots(const struct city *c)
{
	return c->device_count < LOTS_MAX ? c->device_count : LOTS_MAX;
}

static uint32_t lot_of(const struct city *c, uint32_t device)
{
	return (uint32_t)((uint64_t)device * city_lots(c) / c->device_count);
}

static uint32_t lot_first(const struct city *c, uint32_t lot)
{
	return (uint32_t)(((uint64_t)lot * c->device_count + city_lots(c) - 1) / city_lots(c));
}

int city_records_open(struct city *c)
{
	return bins_open(c->dir, city_lots(c), &c->records);
}

/* ---- put aside ---------------------------------------------------------------------------------- */

static void plain_note(struct city_device *d, bool plain)
{
	uint32_t word = d->now / 64;

	if (word == d->plain_room) {
		d->plain_room = d->plain_room * 2 + 2;
		d->plain = city_grow(d->plain, sizeof(*d->plain), d->plain_room);
	}
	if (d->now % 64 == 0)
		d->plain[word] = 0;
	d->plain[word] |= (uint64_t)plain << d->now % 64;
	d->now++;
}

static void record_put(struct city *c, struct head head, const void *p, enum verdict verdict)
{
	struct city_device *d = &c->device[head.device];
	uint32_t lot = lot_of(c, head.device);

	bins_put(c->records, lot, &head, sizeof(head));
	bins_put(c->records, lot, p, head.bytes);
	if ((head.is & HEAD_LATER) != 0)
		d->later++;
	else
		plain_note(d, (head.is & HEAD_PLAIN) != 0);
	c->plan.sent++;
	c->plan.verdict[verdict]++;
}

void city_emit_bytes(struct city *c, uint32_t device, const uint8_t *p, size_t n,
		     enum verdict verdict, bool plain, enum city_when when)
{
	struct head head = {.device = device, .bytes = (uint16_t)n};

	head.is = (uint8_t)((plain ? HEAD_PLAIN : 0) | (when == SEND_LATER ? HEAD_LATER : 0));
	record_put(c, head, p, verdict);
}

static void charged_add(struct city *c, const struct tap *tap, enum verdict verdict)
{
	if (verdict == VERDICT_ACCEPTED || verdict == VERDICT_PENDING)
		c->plan.charged_fen += tap->amount_fen;
}

void city_emit(struct city *c, uint32_t device, const struct tap *tap, enum verdict verdict,
	       bool plain, enum city_when when)
{
	uint8_t out[TAP_ENCODED_BYTES_MAX];
	int n = tap_encode(tap, out, sizeof(out));

	if (n < 0) { /* our own record: a mistake of this program */
		complain("sim city: a record does not encode: %s", tap_strerror(n));
		return;
	}
	charged_add(c, tap, verdict);
	city_emit_bytes(c, device, out, (size_t)n, verdict, plain, when);
}

void city_emit_note(struct city *c, const struct city_ride *ride, const struct tap *tap, uint32_t prev_device,
		    enum verdict verdict)
{
	struct head head = {.device = ride->device, .bytes = sizeof(struct note), .is = HEAD_NOTE | HEAD_PLAIN};
	struct note n = {.time_ms = tap->time_ms,
			 .prev_time_ms = tap->prev_time_ms,
			 .card = ride->card,
			 .serial = tap->terminal_serial,
			 .list_fen = tap->list_fen,
			 .amount_fen = tap->amount_fen,
			 .balance_before = (int32_t)tap->balance_before,
			 .balance_after = (int32_t)tap->balance_after,
			 .prev_amount_fen = tap->prev_amount_fen,
			 .prev_device = prev_device,
			 .counter = (uint16_t)tap->card_counter,
			 .prev_counter = (uint16_t)tap->prev_counter,
			 .stop = ride->stop,
			 .stop_on = ride->stop_on,
			 .kind = ride->kind,
			 .direction = ride->direction,
			 .prev_type = (uint8_t)tap->prev_type};

	memcpy(n.random, tap->random, sizeof(n.random));
	memcpy(n.tac, tap->tac, sizeof(n.tac));
	charged_add(c, tap, verdict);
	record_put(c, head, &n, verdict);
}

/* ---- made ----------------------------------------------------------------------------------------- */

static void note_tap(const struct city *c, const struct head *head, const struct note *n, struct tap *tap)
{
	const struct city_card *card = &c->card[n->card];
	struct city_ride ride = {.time_ms = n->time_ms,
				 .card = n->card,
				 .device = head->device,
				 .kind = n->kind,
				 .direction = n->direction,
				 .stop = n->stop,
				 .stop_on = n->stop_on};

	city_tap_device(c, &ride, tap);
	city_tap_card(c, card, &ride, tap);
	tap->card_counter = n->counter;
	tap->terminal_serial = n->serial;
	tap->list_fen = n->list_fen;
	tap->amount_fen = n->amount_fen;
	tap->balance_before = n->balance_before;
	tap->balance_after = n->balance_after;
	tap->prev_counter = n->prev_counter;
	tap->prev_amount_fen = n->prev_amount_fen;
	tap->prev_type = n->prev_type;
	if (n->prev_type != 0)
		memcpy(tap->prev_terminal, c->device[n->prev_device].terminal, sizeof(tap->prev_terminal));
	tap->prev_time_ms = n->prev_time_ms;
	memcpy(tap->random, n->random, sizeof(tap->random));
	memcpy(tap->tac, n->tac, sizeof(tap->tac));
}

static void taps_add(struct city_taps *list, struct city_tap tap)
{
	if (list->count == list->room) {
		list->room = list->room * 2 + 64;
		list->tap = city_grow(list->tap, sizeof(*list->tap), list->room);
	}
	list->tap[list->count++] = tap;
}

static uint8_t *arena_room(struct city_lot *lot, size_t n)
{
	if (lot->arena_room - lot->arena_used < n) {
		lot->arena_room = lot->arena_room * 2 + (1u << 20);
		lot->arena = city_grow(lot->arena, 1, lot->arena_room);
	}
	return lot->arena + lot->arena_used;
}

/* A note's record with its code, in the arena; its bytes, or an error. */
static int note_make(const struct city *c, struct mac_engine *mac, const struct head *head, const uint8_t *p,
		     struct city_lot *lot)
{
	uint8_t *out = arena_room(lot, TAP_ENCODED_BYTES_MAX);
	struct tap tap = {.version = TAP_VERSION};
	struct note n;
	int ret = 0;

	memcpy(&n, p, sizeof(n));
	note_tap(c, head, &n, &tap);
	if (city_tac_due(&c->card[n.card], &tap))
		ret = city_tac_make(c, mac, &c->card[n.card], &tap);
	return ret != 0 ? ret : tap_encode(&tap, out, TAP_ENCODED_BYTES_MAX);
}

static int record_make(const struct city *c, struct mac_engine *mac, const struct head *head, const uint8_t *p,
		       struct city_lot *lot)
{
	uint32_t i = head->device - lot->first;
	struct city_tap tap = {.at = lot->arena_used, .bytes = head->bytes, .plain = (head->is & HEAD_PLAIN) != 0};

	if ((head->is & HEAD_NOTE) != 0) {
		int n = note_make(c, mac, head, p, lot);

		if (n < 0)
			return n;
		tap.bytes = (uint32_t)n;
	} else {
		memcpy(arena_room(lot, head->bytes), p, head->bytes);
	}
	lot->arena_used += tap.bytes;
	taps_add((head->is & HEAD_LATER) != 0 ? &lot->later[i] : &lot->now[i], tap);
	return 0;
}

/* Records that come again lie behind those of the end of the day, as they were drawn; the plan is told which they are. */
static int again_make(const struct city *c, struct city_lot *lot)
{
	for (uint32_t i = 0; i < lot->count; i++)
		for (uint32_t k = c->device[lot->first + i].again; k != 0; k = c->again[k - 1].next) {
			struct city_again *a = &c->again[k - 1];
			struct city_tap *t = &lot->now[i].tap[a->index];
			const char *field;
			struct tap tap;
			int ret = tap_decode(lot->arena + t->at, t->bytes, &tap, &field);

			if (ret != 0)
				return ret;
			tap_key(&tap, a->key);
			t->plain = false;
			taps_add(&lot->later[i], *t);
		}
	return 0;
}

int city_lot_make(struct city *c, struct mac_engine *mac, uint32_t lot, struct city_lot *ret_lot)
{
	struct city_lot l = {.first = lot_first(c, lot)};
	struct head head;
	uint8_t *p = NULL;
	size_t n = 0;
	int ret = bins_take(c->records, lot, &p, &n);

	l.count = lot_first(c, lot + 1) - l.first;
	l.now = city_grow(NULL, sizeof(*l.now), l.count);
	l.later = city_grow(NULL, sizeof(*l.later), l.count);
	for (size_t at = 0; ret == 0 && at < n; at += sizeof(head) + head.bytes) {
		memcpy(&head, p + at, sizeof(head));
		ret = record_make(c, mac, &head, p + at + sizeof(head), &l);
	}
	free(p);
	if (ret == 0)
		ret = again_make(c, &l);
	if (ret != 0)
		city_lot_done(&l);
	else
		*ret_lot = l;
	return ret;
}

void city_lot_done(struct city_lot *lot)
{
	for (uint32_t i = 0; i < lot->count; i++) {
		free(lot->now[i].tap);
		free(lot->later[i].tap);
	}
	free(lot->now);
	free(lot->later);
	free(lot->arena);
	*lot = (struct city_lot){.first = 0};
}
