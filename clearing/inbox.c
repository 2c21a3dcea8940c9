/*
 * inbox - everything that ever changed the state of the house, in one order, appended and never edited.
 * The sequence number is the key; reading a range in order is reading the history.
 */
#include "clearing/clearing.h"

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

void inbox_open(struct txn *t, uint64_t from, uint64_t to, struct inbox_iter *ret)
{
	*ret = (struct inbox_iter){ .from = from, .to = to };
	iter_open(t, DB_INBOX, NULL, 0, &ret->it);
}

void inbox_open_others(struct txn *t, uint64_t from, uint64_t to, struct inbox_iter *ret)
{
	*ret = (struct inbox_iter){ .from = from, .to = to, .others = true };
	iter_open(t, DB_OTHER, NULL, 0, &ret->it);
}

static bool event_read(const uint8_t key[8], const void *val, size_t n, struct event *ret)
{
	const uint8_t *p = val;

	if (n < EVENT_HEAD_BYTES)
		return false;
	*ret = (struct event){ .seq = be64_get(key), .type = p[0], .received_ms = (int64_t)be64_get(p + 8), .body = p + EVENT_HEAD_BYTES,
			       .bytes = n - EVENT_HEAD_BYTES };
	return true;
}

bool inbox_next(struct inbox_iter *it, struct event *ret_event)
{
	struct txn *t = it->it.txn;
	uint8_t key[8];
	const void *val;
	size_t n;

	be64_put(key, it->from);
	if (!(it->started ? iter_next(&it->it) : iter_seek(&it->it, key, sizeof(key))))
		return false;
	it->started = true;
	if (it->it.key_bytes != 8 || be64_get(it->it.key) > it->to)
		return false;
	val = it->it.val;
	n = it->it.val_bytes;
	if (it->others && !txn_get(t, DB_INBOX, it->it.key, 8, &val, &n))
		n = 0;
	if (event_read(it->it.key, val, n, ret_event) && (!it->others || ret_event->type == it->it.val[0]))
		return true;
	t->error = t->error != 0 ? t->error : CLEARING_E_STORE;
	return false;
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
