/*
 * front_batch - a batch's way through its front: out of the connection's buffer, decoded once, verified, to the writer;
 * and back with its receipt. What a batch needs is used again for the next one.
 */
#include "clearing/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clearing/blocks.h"
#include "clearing/brief.h"
#include "clearing/kerb.h"

static void send_busy(struct conn *c)
{
	struct busy m = { .retry_ms = 200 };

	stage_count(&c->front->counts.busy, 1);
	conn_send(c, busy_encode(&m, c->front->out, sizeof(c->front->out)));
}

/* Its bytes and its briefs stay with it when they are blocks; a large batch's go. */
static void item_free(struct front *f, struct item *item)
{
	block_give(item->beside);
	item->beside = NULL;
	if (item->bytes_space > BLOCK_BYTES_MAX) {
		block_give(item->bytes);
		item->bytes = NULL;
		item->bytes_space = 0;
	}
	if (item->briefs_space > BLOCK_BYTES_MAX) {
		block_give(item->briefs);
		item->briefs = NULL;
		item->briefs_space = 0;
	}
	item->next = f->spare;
	f->spare = item;
}

/* An item with room for so many bytes; NULL: no memory. */
static struct item *item_new(struct front *f, size_t bytes)
{
	struct item *item = f->spare;
	uint8_t *wide;

	if (item != NULL) {
		f->spare = item->next;
	} else {
		item = block_take(sizeof(*item));
		if (item != NULL)
			memset(item, 0, sizeof(*item));
	}
	if (item == NULL || bytes <= item->bytes_space)
		return item;
	wide = block_take(bytes);
	if (wide == NULL) {
		item_free(f, item);
		return NULL;
	}
	block_give(item->bytes);
	item->bytes = wide;
	item->bytes_space = bytes;
	return item;
}

/* As it will lie in the inbox: the thread that appends has less to copy. Mostly there is room for it behind what it was made of. */
static void batch_thin(struct front *f, struct item *item)
{
	uint8_t head[EVENT_BATCH_HEAD_BYTES], *to = item->bytes + item->bytes_count;
	const struct thin_of of = { head, sizeof(head), item->marks, item->bytes, item->bytes_count, &item->batch };
	size_t n;

	event_batch_head(item->device, item->batch.file_serial, (uint16_t)item->batch.count, head);
	n = thin_make(&of, f->thin);
	if (n > item->bytes_space - item->bytes_count)
		to = item->beside = block_take(n);
	if (to != NULL)
		memcpy(to, f->thin, n);
	item->thin = to;
	item->thin_bytes = to != NULL ? n : 0;
}

/* Their room stays with the item as its bytes do. */
static void batch_brief(struct front *f, struct item *item)
{
	size_t n = briefs_bytes(item->batch.count);

	if (n > item->briefs_space) {
		block_give(item->briefs);
		item->briefs = block_take(n);
		item->briefs_space = item->briefs != NULL ? n : 0;
	}
	if (item->briefs != NULL)
		briefs_make(&item->batch, &f->taps, item->briefs);
}

/* 0, or why the batch is refused. */
static int batch_read(struct conn *c, struct item *item, uint64_t began)
{
	struct front *f = c->front;
	struct stages *s = &f->counts.stages;
	int ret = batch_decode(item->bytes, item->bytes_count, &item->batch);

	if (ret == 0 && strcmp(item->batch.device, c->device) != 0)
		ret = TAP_E_RANGE;
	if (ret != 0)
		return ret;
	batch_taps_decode(&item->batch, &f->taps);
	began = stage_end(s, STAGE_DECODE, began, clock_ns());
	ret = batch_check_taps(&item->batch, &f->taps);
	began = stage_end(s, STAGE_CHECK, began, clock_ns());
	if (ret != 0)
		return ret;
	verifier_marks(f->verifier, &f->taps, item->batch.count, item->received_ms, item->marks);
	began = stage_end(s, STAGE_VERIFY, began, clock_ns());
	batch_brief(f, item);
	batch_thin(f, item);
	item->queued_ns = stage_end(s, STAGE_DECODE, began, clock_ns());
	stage_count(&s->batches, 1);
	stage_count(&s->taps, item->batch.count);
	return 0;
}

void batch_arrived(struct conn *c, struct evbuffer *in, size_t bytes)
{
	struct front *f = c->front;
	struct daemon *d = f->daemon;
	uint64_t began = clock_ns();
	struct item *item = queue_bytes(&d->queue) <= (size_t)d->conf.queue_mib << 20 ? item_new(f, bytes + bytes / 3) : NULL;
	int ret;

	if (item == NULL) {
		evbuffer_drain(in, bytes);
		send_busy(c);
		return;
	}
	evbuffer_remove(in, item->bytes, bytes);
	item->bytes_count = bytes;
	item->kind = ITEM_BATCH;
	item->front = f;
	item->conn = c;
	item->refused = item->busy = false;
	item->received_ms = clock_ms();
	item->batch.file_serial = 0;
	memcpy(item->device, c->device, sizeof(item->device));
	ret = batch_read(c, item, began);
	if (ret == 0 && queue_put(&d->queue, item)) {
		c->item = item;
		return;
	}
	if (ret != 0) {
		log_event("batch-refused", "device=%s file_serial=%u code=%d reason=\"%s\"", c->device, item->batch.file_serial, ret, tap_strerror(ret));
		send_refuse(c, item->batch.file_serial, ret, tap_strerror(ret), false);
	}
	item_free(f, item);
}

void items_free(struct front *f)
{
	for (struct item *item = f->spare, *next; item != NULL; item = next) {
		next = item->next;
		block_give(item->bytes);
		block_give(item->briefs);
		block_give(item);
	}
}

/* ---- questions about codes ------------------------------------------------------------------------------------- */

/* One at a time: a gate has one rider before it. */
bool ask_arrived(struct conn *c, const struct frame *f)
{
	struct kerb_said busy = { .answer = KERB_NOT_REACHED, .reason = "one question at a time" };
	struct item *item;
	struct kerb_ask m;

	if (kerb_ask_decode(f, &m) != 0)
		return false;
	item = c->ask == NULL ? item_new(c->front, (size_t)m.n + 1) : NULL;
	if (item == NULL) {
		busy.number = m.number;
		conn_send(c, kerb_said_encode(&busy, c->front->out, sizeof(c->front->out)));
		return true;
	}
	memcpy(item->bytes, m.p, m.n);
	item->bytes_count = m.n;
	item->kind = ITEM_ASK;
	item->front = c->front;
	item->conn = c;
	item->received_ms = clock_ms();
	item->ask = m;
	item->ask.p = item->bytes;
	memcpy(item->device, c->device, sizeof(item->device));
	c->ask = item;
	kerb_take(c->front->daemon->kerb, item);
	return true;
}

static void said_send(struct front *f, const struct item *item)
{
	struct conn *c = item->conn;

	if (c == NULL)
		return;
	c->ask = NULL;
	conn_send(c, kerb_said_encode(&item->said, f->out, sizeof(f->out)));
}

/* ---- answers from the writer ------------------------------------------------------------------------------ */

void front_answer(struct item *first, struct item *last)
{
	struct front *f = first->front;
	uint64_t one = 1;
	bool awake;

	pthread_mutex_lock(&f->lock);
	awake = f->answered != NULL;
	last->next = f->answered;
	f->answered = first;
	pthread_mutex_unlock(&f->lock);
	if (!awake && write(f->wake_fd, &one, sizeof(one)) < 0)
		return;		/* the counter is full: the front is awake anyway */
}

/* The connection, which may be read from again; NULL: it went, and sends again and gets the same receipt. */
static struct conn *answer_send(struct front *f, const struct item *item)
{
	struct conn *c = item->conn;
	uint64_t began = clock_ns();

	if (item->kind == ITEM_ASK) {
		said_send(f, item);
		return NULL;
	}
	if (c == NULL)
		return NULL;
	if (item->busy)
		send_busy(c);
	else if (item->refused)
		send_refuse(c, item->refuse.file_serial, item->refuse.code, item->refuse.text, item->refuse.retry);
	else
		conn_send(c, receipt_encode(&item->receipt, f->out, sizeof(f->out)));
	stage_end(&f->counts.stages, STAGE_RECEIPT, began, clock_ns());
	if (item->conn == NULL)
		return NULL;	/* while it was written to */
	c->item = NULL;
	return c;
}

void batches_answered(evutil_socket_t fd, short what, void *arg)
{
	struct front *f = arg;
	struct item *item, *next;
	uint64_t count;

	(void)what;
	if (read((int)fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	pthread_mutex_lock(&f->lock);
	item = f->answered;
	f->answered = NULL;
	pthread_mutex_unlock(&f->lock);
	verifier_follow(f->verifier);
	for (; item != NULL; item = next) {
		struct conn *c = answer_send(f, item);

		next = item->next;
		item_free(f, item);
		if (c != NULL)
			conn_read(c);
	}
	if (__atomic_load_n(&f->stopping, __ATOMIC_RELAXED))
		event_base_loopbreak(f->base);
}
