/*
 * inbox - everything that ever changed the state of the house, in one order, appended and never edited.
 * The sequence number is the key; reading a range in order is reading the history.
 */
#include "clearing/packed.h"

#include <stdlib.h>
#include <string.h>

uint64_t inbox_last(struct txn *t)
{
	static const uint8_t last[8] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };
	const uint8_t *key;
	const void *val;
	size_t n;

	return txn_get_last_at(t, DB_INBOX, last, 8, 0, &key, &val, &n) ? be64_get(key) : 0;
}

/* The next event, with room for a body of so many bytes; NULL: the error is set. */
static uint8_t *event_reserve(struct txn *t, uint8_t type, enum batch_version version, int64_t received_ms, size_t n, uint64_t *ret_seq)
{
	uint8_t key[8], *p;

	*ret_seq = inbox_last(t) + 1;
	be64_put(key, *ret_seq);
	p = txn_reserve_append(t, DB_INBOX, key, sizeof(key), EVENT_HEAD_BYTES + n);
	if (p == NULL)
		return NULL;
	memset(p, 0, EVENT_HEAD_BYTES);
	p[0] = type;
	p[1] = (uint8_t)version;
	be64_put(p + 8, (uint64_t)received_ms);
	return p;
}

static uint64_t plain_append(struct txn *t, uint8_t type, int64_t received_ms, const void *const *part, const size_t *part_bytes, size_t parts)
{
	size_t n = 0;
	uint64_t seq;
	uint8_t *p;

	for (size_t i = 0; i < parts; i++)
		n += part_bytes[i];
	p = event_reserve(t, type, BATCH_PLAIN, received_ms, n, &seq);
	if (p == NULL)
		return 0;
	p += EVENT_HEAD_BYTES;
	for (size_t i = 0; i < parts; i++) {
		if (part_bytes[i] > 0)
			memcpy(p, part[i], part_bytes[i]);
		p += part_bytes[i];
	}
	inbox_list(t, seq, type);
	return seq;
}

static uint16_t unanswered_count(const uint8_t *marks, uint16_t count)
{
	uint16_t unanswered = 0;

	for (uint16_t i = 0; i < count; i++)
		unanswered += marks[2 * i] == KEY_CHECK_UNAVAILABLE;
	return unanswered;
}

uint64_t inbox_append_batch(struct txn *t, int64_t received_ms, const struct batch_parts *b, const void *thin, size_t thin_bytes)
{
	const void *part[3] = { b->head, b->marks, b->frame };
	const size_t bytes[3] = { EVENT_BATCH_HEAD_BYTES, 2u * b->count, b->frame_bytes };
	uint64_t seq;
	uint8_t *p;

	if (thin_bytes == 0)
		return plain_append(t, EVENT_BATCH, received_ms, part, bytes, 3);
	p = event_reserve(t, EVENT_BATCH, BATCH_THIN, received_ms, thin_bytes, &seq);
	if (p == NULL)
		return 0;
	be16_put(p + 2, b->count);
	be16_put(p + 4, unanswered_count(b->marks, b->count));
	memcpy(p + EVENT_HEAD_BYTES, thin, thin_bytes);
	return seq;
}

/* Of whoever has no thread to make it thin before: body is all of it, n bytes, with as much room behind it and THIN_SLACK. */
static uint64_t batch_append(struct txn *t, int64_t received_ms, uint8_t *body, size_t n)
{
	static _Thread_local struct batch batch;
	const struct event e = { .type = EVENT_BATCH, .body = body, .bytes = n };
	const void *part = body;
	struct event_batch b;

	if (event_batch_read(&e, &b) && batch_decode(b.batch, b.batch_bytes, &batch) == 0 && batch.count == b.count) {
		const struct thin_of of = { body, EVENT_BATCH_HEAD_BYTES, b.marks, b.batch, b.batch_bytes, &batch };

		return inbox_append_batch(t, received_ms, &(const struct batch_parts){ body, b.marks, b.batch, b.batch_bytes, b.count }, body + n,
					  thin_make(&of, body + n));
	}
	return plain_append(t, EVENT_BATCH, received_ms, &part, &n, 1);
}

uint64_t inbox_append(struct txn *t, uint8_t type, int64_t received_ms, const void *const *part, const size_t *part_bytes, size_t parts)
{
	size_t n = 0, at = 0;
	uint8_t *body;
	uint64_t seq;

	for (size_t i = 0; i < parts; i++)
		n += part_bytes[i];
	body = type == EVENT_BATCH ? malloc(n + thin_room(n)) : NULL;
	if (body == NULL)
		return plain_append(t, type, received_ms, part, part_bytes, parts);
	for (size_t i = 0; i < parts; at += part_bytes[i], i++)
		if (part_bytes[i] > 0)
			memcpy(body + at, part[i], part_bytes[i]);
	seq = batch_append(t, received_ms, body, n);
	free(body);
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

void inbox_open_stored(struct txn *t, uint64_t from, uint64_t to, struct inbox_iter *ret)
{
	open_in(t, DB_INBOX, from, to, ret);
	ret->stored = true;
}

/* How much of a batch that is not plain is wanted. */
enum wanted { WANT_BODY, WANT_STORED, WANT_HEAD };

static bool thin_get(struct txn *t, const uint8_t *thin, size_t n, enum wanted wanted, struct event *ret)
{
	if (wanted == WANT_BODY)
		return whole_body(t, ret->seq, thin, n, &ret->body, &ret->bytes);
	ret->thin = thin;
	ret->thin_bytes = n;
	return true;
}

static bool batch_get(struct txn *t, const uint8_t *row, size_t n, enum wanted wanted, struct event *ret)
{
	const struct bundle_part *part;
	struct packed_at at;

	ret->packed = row[1] == BATCH_PACKED;
	if ((ret->packed && !packed_at_read(row, n, &at)) || row[1] > BATCH_THIN) {
		t->error = CLEARING_E_STORE;
		return false;
	}
	ret->taps = be16_get(row + 2);
	ret->unanswered = be16_get(row + 4);
	ret->headed = wanted == WANT_HEAD;
	if (wanted == WANT_HEAD)
		return true;
	if (!ret->packed)
		return thin_get(t, row + EVENT_HEAD_BYTES, n - EVENT_HEAD_BYTES, wanted, ret);
	part = packed_part(t, ret->seq, &at);
	if (part == NULL)
		return false;
	if (part->thin)
		return thin_get(t, part->p, part->n, wanted, ret);
	ret->body = part->p;
	ret->bytes = part->n;
	return true;
}

/* A row of DB_INBOX as the event it is, wherever and however its body lies. False: the error is set. */
static bool event_read(struct txn *t, uint64_t seq, const void *val, size_t n, enum wanted wanted, struct event *ret)
{
	const uint8_t *p = val;

	if (t->error == 0 && n < EVENT_HEAD_BYTES)
		t->error = CLEARING_E_STORE;
	if (t->error != 0)
		return false;
	*ret = (struct event){ .seq = seq, .type = p[0], .received_ms = (int64_t)be64_get(p + 8) };
	if (p[0] == EVENT_BATCH && p[1] != BATCH_PLAIN)
		return batch_get(t, p, n, wanted, ret);
	ret->body = p + EVENT_HEAD_BYTES;
	ret->bytes = n - EVENT_HEAD_BYTES;
	return true;
}

bool inbox_get(struct txn *t, uint64_t seq, struct event *ret_event)
{
	uint8_t key[8];
	const void *val;
	size_t n;

	be64_put(key, seq);
	return txn_get(t, DB_INBOX, key, sizeof(key), &val, &n) && event_read(t, seq, val, n, WANT_BODY, ret_event);
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
	return event_read(it->it.txn, be64_get(it->it.key), it->it.val, it->it.val_bytes,
			  it->heads ? WANT_HEAD : it->stored ? WANT_STORED : WANT_BODY, ret_event);
}

void inbox_close(struct inbox_iter *it) { iter_close(&it->it); }

void event_batch_head(const char *device, uint32_t file_serial, uint16_t count, uint8_t out[EVENT_BATCH_HEAD_BYTES])
{
	memset(out, 0, 16);
	memcpy(out, device, strlen(device));
	be32_put(out + 16, file_serial);
	be16_put(out + 20, count);
}

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
	struct event_batch b;

	if (e->headed) {
		*ret_taps = e->taps;
		*ret_unanswered = e->unanswered;
		return true;
	}
	if (!event_batch_read(e, &b))
		return false;
	*ret_taps = b.count;
	*ret_unanswered = unanswered_count(b.marks, b.count);
	return true;
}
