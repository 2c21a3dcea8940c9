/*
 * inbox - everything that ever changed the state of the house, in one order, appended and never edited.
 * The sequence number is the key; reading a range in order is reading the history.
 */
#include "clearing/packed.h"

#include <string.h>

uint64_t inbox_last(struct txn *t)
{
	static const uint8_t last[8] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };
	const uint8_t *key;
	const void *val;
	size_t n;

	return txn_get_last_at(t, DB_INBOX, last, 8, 0, &key, &val, &n) ? be64_get(key) : 0;
}

uint64_t inbox_append(struct txn *t, uint8_t type, int64_t received_ms, const void *const *part, const size_t *part_bytes, size_t parts)
{
	uint64_t seq = inbox_last(t) + 1;
	size_t n = EVENT_HEAD_BYTES;
	uint8_t key[8], *p;

	for (size_t i = 0; i < parts; i++)
		n += part_bytes[i];
	be64_put(key, seq);
	p = txn_reserve_append(t, DB_INBOX, key, sizeof(key), n);
	if (p == NULL)
		return 0;
	memset(p, 0, EVENT_HEAD_BYTES);
	p[0] = type;
	p[1] = 1;
	be64_put(p + 8, (uint64_t)received_ms);
	p += EVENT_HEAD_BYTES;
	for (size_t i = 0; i < parts; i++) {
		if (part_bytes[i] > 0)
			memcpy(p, part[i], part_bytes[i]);
		p += part_bytes[i];
	}
	inbox_list(t, seq, type);
	return seq;
}

void inbox_list(struct txn *t, uint64_t seq, uint8_t type)
{
	uint8_t key[8];

	be64_put(key, seq);
	if (type != EVENT_BATCH)
		txn_append(t, DB_OTHER, key, sizeof(key), &type, 1);
}

static void open_in(struct txn *t, enum db db, uint64_t from, uint64_t to, struct inbox_iter *ret)
{
	*ret = (struct inbox_iter){ .from = from, .to = to, .others = db == DB_OTHER };
	iter_open(t, db, NULL, 0, &ret->it);
}

void inbox_open(struct txn *t, uint64_t from, uint64_t to, struct inbox_iter *ret) { open_in(t, DB_INBOX, from, to, ret); }
void inbox_open_others(struct txn *t, uint64_t from, uint64_t to, struct inbox_iter *ret) { open_in(t, DB_OTHER, from, to, ret); }

void inbox_open_heads(struct txn *t, uint64_t from, uint64_t to, struct inbox_iter *ret)
{
	open_in(t, DB_INBOX, from, to, ret);
	ret->heads = true;
}

/* A row of DB_INBOX as the event it is, wherever its body lies. False: the error is set. */
static bool event_read(struct txn *t, uint64_t seq, const void *val, size_t n, bool heads, struct event *ret)
{
	const uint8_t *p = val;
	struct packed_at at;

	if (t->error == 0 && (n < EVENT_HEAD_BYTES || (packed_is(val, n) && !packed_at_read(val, n, &at))))
		t->error = CLEARING_E_STORE;
	if (t->error != 0)
		return false;
	*ret = (struct event){ .seq = seq, .type = p[0], .received_ms = (int64_t)be64_get(p + 8) };
	if (!packed_is(val, n)) {
		ret->body = p + EVENT_HEAD_BYTES;
		ret->bytes = n - EVENT_HEAD_BYTES;
		return true;
	}
	if (!heads)
		return packed_body(t, seq, &at, &ret->body, &ret->bytes);
	ret->headed = true;
	ret->taps = at.taps;
	ret->unanswered = at.unanswered;
	return true;
}

bool inbox_get(struct txn *t, uint64_t seq, struct event *ret_event)
{
	uint8_t key[8];
	const void *val;
	size_t n;

	be64_put(key, seq);
	return txn_get(t, DB_INBOX, key, sizeof(key), &val, &n) && event_read(t, seq, val, n, false, ret_event);
}

/* A listed one is there and is what the list says. */
static bool other_read(struct inbox_iter *it, struct event *ret_event)
{
	struct txn *t = it->it.txn;

	if (inbox_get(t, be64_get(it->it.key), ret_event) && it->it.val_bytes == 1 && ret_event->type == it->it.val[0])
		return true;
	t->error = t->error != 0 ? t->error : CLEARING_E_STORE;
	return false;
}

bool inbox_next(struct inbox_iter *it, struct event *ret_event)
{
	uint8_t key[8];

	be64_put(key, it->from);
	if (!(it->started ? iter_next(&it->it) : iter_seek(&it->it, key, sizeof(key))))
		return false;
	it->started = true;
	if (it->it.key_bytes != 8 || be64_get(it->it.key) > it->to)
		return false;
	if (it->others)
		return other_read(it, ret_event);
	return event_read(it->it.txn, be64_get(it->it.key), it->it.val, it->it.val_bytes, it->heads, ret_event);
}

void inbox_close(struct inbox_iter *it) { iter_close(&it->it); }

bool event_batch_read(const struct event *e, struct event_batch *ret)
{
	if (e->type != EVENT_BATCH || e->bytes < EVENT_BATCH_HEAD_BYTES || e->body[DEVICE_BYTES_MAX] != '\0')
		return false;
	memcpy(ret->device, e->body, sizeof(ret->device));
	ret->file_serial = be32_get(e->body + 16);
	ret->count = be16_get(e->body + 20);
	if (ret->count > BATCH_TAPS_MAX || e->bytes < EVENT_BATCH_HEAD_BYTES + 2u * ret->count)
		return false;
	ret->marks = e->body + EVENT_BATCH_HEAD_BYTES;
	ret->batch = ret->marks + 2u * ret->count;
	ret->batch_bytes = e->bytes - EVENT_BATCH_HEAD_BYTES - 2u * ret->count;
	return true;
}

bool event_batch_count(const struct event *e, uint16_t *ret_taps, uint16_t *ret_unanswered)
{
	uint16_t unanswered = 0;
	struct event_batch b;

	if (e->headed) {
		*ret_taps = e->taps;
		*ret_unanswered = e->unanswered;
		return true;
	}
	if (!event_batch_read(e, &b))
		return false;
	for (uint16_t i = 0; i < b.count; i++)
		unanswered += b.marks[2 * i] == KEY_CHECK_UNAVAILABLE;
	*ret_taps = b.count;
	*ret_unanswered = unanswered;
	return true;
}
