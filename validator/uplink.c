/*
 * uplink - the validator's side of the conversation as a state machine over bytes. It owns no socket and no
 * clock; what it must never do is forget a batch before its receipt, so it holds no batch at all: the owner
 * hands out the same one until the receipt callback.
 */
#include "validator/validator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct bytes { uint8_t *p; size_t n, space; bool fixed; };	/* fixed: memory of the owner, never more */
#define IN_BYTES (FRAME_HEAD_BYTES + FRAME_BYTES_MAX)
#define OUT_BYTES (FRAME_HEAD_BYTES + BATCH_BYTES_MAX + 8 * SMALL_MESSAGE_BYTES)
#define SMALL_MESSAGE_BYTES 512

struct uplink {
	struct hello hello;
	struct uplink_events on;
	enum uplink_state state;
	uint32_t file_serial;		/* of the batch that waits for its answer */
	uint32_t asked;			/* gets without their part or refusal yet */
	struct bytes in, out;
};

int uplink_new(const struct hello *hello, const struct uplink_events *events, struct uplink **ret_uplink)
{
	struct uplink *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return -ENOMEM;
	u->hello = *hello;
	u->on = *events;
	*ret_uplink = u;
	return 0;
}

size_t uplink_size(void) { return sizeof(struct uplink) + IN_BYTES + OUT_BYTES; }

void uplink_init(struct uplink *u, const struct hello *hello, const struct uplink_events *events)
{
	uint8_t *p = (uint8_t *)(u + 1);

	*u = (struct uplink){ .hello = *hello, .on = *events };
	u->in = (struct bytes){ .p = p, .space = IN_BYTES, .fixed = true };
	u->out = (struct bytes){ .p = p + IN_BYTES, .space = OUT_BYTES, .fixed = true };
}

static void bytes_reset(struct bytes *b)
{
	b->n = 0;
	if (b->fixed)
		return;
	free(b->p);
	*b = (struct bytes){ 0 };
}

void uplink_free(struct uplink *u)
{
	if (u == NULL)
		return;
	bytes_reset(&u->in);
	bytes_reset(&u->out);
	free(u);
}

static uint8_t *bytes_room(struct bytes *b, size_t n)
{
	if (b->space - b->n < n) {
		size_t space = b->n + n + b->space / 2;
		uint8_t *p = b->fixed ? NULL : realloc(b->p, space);

		if (p == NULL)
			return NULL;
		b->p = p;
		b->space = space;
	}
	return b->p + b->n;
}

static void bytes_drop(struct bytes *b, size_t n)
{
	b->n -= n;
	if (b->n == 0)
		bytes_reset(b);
	else
		memmove(b->p, b->p + n, b->n);
}

static void batch_send(struct uplink *u)
{
	const uint8_t *p;
	uint8_t *room;
	size_t n;

	u->state = UPLINK_IDLE;
	if (u->on.next(u->on.arg, &p, &n, &u->file_serial) != 1 || n > BATCH_BYTES_MAX)
		return;
	room = bytes_room(&u->out, FRAME_HEAD_BYTES + n);
	if (room == NULL)
		return;		/* idle: uplink_retry looks again */
	frame_head(FRAME_BATCH, (uint32_t)n, room);
	memcpy(room + FRAME_HEAD_BYTES, p, n);
	u->out.n += FRAME_HEAD_BYTES + n;
	u->state = UPLINK_WAITING;
}

void uplink_connected(struct uplink *u)
{
	uint8_t *room;
	int n;

	uplink_lost(u);
	room = bytes_room(&u->out, SMALL_MESSAGE_BYTES);
	n = room != NULL ? hello_encode(&u->hello, room, SMALL_MESSAGE_BYTES) : -ENOMEM;
	if (n > 0)
		u->out.n += (size_t)n;
	u->state = UPLINK_HELLO;
}

void uplink_lost(struct uplink *u)
{
	bytes_reset(&u->in);
	bytes_reset(&u->out);
	u->asked = 0;
	u->state = UPLINK_NEW;
}

void uplink_clock(struct uplink *u, int64_t clock_ms) { u->hello.clock_ms = clock_ms; }

void uplink_ping(struct uplink *u)
{
	uint8_t *room = bytes_room(&u->out, FRAME_HEAD_BYTES + 1);

	if (room == NULL)
		return;
	frame_head(FRAME_PING, 1, room);
	room[FRAME_HEAD_BYTES] = 0x90;		/* an empty array */
	u->out.n += FRAME_HEAD_BYTES + 1;
}

void uplink_retry(struct uplink *u)
{
	if (u->state == UPLINK_BUSY || u->state == UPLINK_IDLE)
		batch_send(u);
}

int uplink_ask(struct uplink *u, const char *what, uint32_t version, uint32_t offset)
{
	struct get m = { .version = version, .offset = offset };
	uint8_t *room = bytes_room(&u->out, SMALL_MESSAGE_BYTES);
	int n;

	strncpy(m.what, what, sizeof(m.what) - 1);
	n = room != NULL ? get_encode(&m, room, SMALL_MESSAGE_BYTES) : -ENOMEM;
	if (n <= 0)
		return n;
	u->out.n += (size_t)n;
	u->asked++;
	return 0;
}

int uplink_certify(struct uplink *u, const char *text)
{
	struct certify m = { .p = (const uint8_t *)text, .n = (uint32_t)strlen(text) };
	size_t space = FRAME_HEAD_BYTES + 8 + (size_t)m.n;
	uint8_t *room = bytes_room(&u->out, space);
	int n = room != NULL ? certify_encode(&m, room, space) : -ENOMEM;

	if (n <= 0)
		return n;
	u->out.n += (size_t)n;
	u->asked++;
	return 0;
}

int uplink_kerb_ask(struct uplink *u, const struct kerb_ask *m)
{
	size_t space = FRAME_HEAD_BYTES + 64 + (size_t)m->n;
	uint8_t *room = bytes_room(&u->out, space);
	int n = room != NULL ? kerb_ask_encode(m, room, space) : -ENOMEM;

	if (n <= 0)
		return n;
	u->out.n += (size_t)n;
	return 0;
}

static int on_welcome(struct uplink *u, const struct frame *f)
{
	struct welcome m;
	int ret = welcome_decode(f, &m);

	if (ret != 0)
		return ret;
	if (u->on.welcome != NULL)
		u->on.welcome(u->on.arg, &m);
	if (u->state == UPLINK_HELLO)
		batch_send(u);
	return 0;
}

static int on_receipt(struct uplink *u, const struct frame *f)
{
	struct receipt m;
	int ret = receipt_decode(f, &m);

	if (ret != 0)
		return ret;
	if (u->state != UPLINK_WAITING || m.file_serial != u->file_serial)
		return TAP_E_FRAME;
	if (u->on.receipt != NULL)
		u->on.receipt(u->on.arg, &m);
	batch_send(u);
	return 0;
}

/* A refusal without file serial answers a get when one waits; else it is about the batch, whose header the
 * daemon could not read, or about the hello, and then the daemon hangs up. */
static int on_refuse(struct uplink *u, const struct frame *f)
{
	struct refuse m;
	int ret = refuse_decode(f, &m);

	if (ret != 0)
		return ret;
	if (m.file_serial == 0 && u->asked > 0)
		u->asked--;
	else if (u->state == UPLINK_WAITING)
		u->state = UPLINK_IDLE;
	if (u->on.refused != NULL)
		u->on.refused(u->on.arg, &m);
	return 0;
}

static int on_part(struct uplink *u, const struct frame *f)
{
	struct part m;
	int ret = part_decode(f, &m);

	if (ret != 0)
		return ret;
	if (u->asked == 0)
		return TAP_E_FRAME;
	u->asked--;
	if (u->on.part != NULL)
		u->on.part(u->on.arg, &m);
	return 0;
}

static int on_busy(struct uplink *u, const struct frame *f)
{
	struct busy m;
	int ret = busy_decode(f, &m);

	if (ret != 0)
		return ret;
	if (u->state == UPLINK_WAITING)
		u->state = UPLINK_BUSY;
	if (u->on.busy != NULL)
		u->on.busy(u->on.arg, m.retry_ms);
	return 0;
}

static int on_said(struct uplink *u, const struct frame *f)
{
	struct kerb_said m;
	int ret = kerb_said_decode(f, &m);

	if (ret == 0 && u->on.said != NULL)
		u->on.said(u->on.arg, &m);
	return ret;
}

static int on_frame(struct uplink *u, const struct frame *f)
{
	switch (f->type) {
	case FRAME_WELCOME: return on_welcome(u, f);
	case FRAME_RECEIPT: return on_receipt(u, f);
	case FRAME_REFUSE: return on_refuse(u, f);
	case FRAME_PART: return on_part(u, f);
	case FRAME_BUSY: return on_busy(u, f);
	case FRAME_SAID: return on_said(u, f);
	case FRAME_PONG: return 0;
	default: return TAP_E_FRAME;
	}
}

/* Adds bytes and answers the frames that are whole. */
static int feed(struct uplink *u, const uint8_t *p, size_t n)
{
	uint8_t *room = bytes_room(&u->in, n);
	struct frame frame;
	size_t used, at = 0;
	int ret = 1;

	if (room == NULL)
		return -ENOMEM;
	memcpy(room, p, n);
	u->in.n += n;
	while (ret == 1) {
		ret = frame_next(u->in.p + at, u->in.n - at, &frame, &used);
		if (ret != 1)
			break;
		ret = on_frame(u, &frame) == 0 ? 1 : TAP_E_FRAME;
		if (ret == 1)
			at += used;
		if (at == u->in.n)
			break;
	}
	if (ret >= 0)
		bytes_drop(&u->in, at);
	return ret < 0 ? ret : 0;
}

/* A fixed buffer holds the largest frame: what it takes at a time always leaves room for more, or is refused. */
int uplink_feed(struct uplink *u, const uint8_t *p, size_t n)
{
	int ret = 0;

	while (ret == 0 && n > 0) {
		size_t room = u->in.space - u->in.n, some = u->in.fixed && room < n ? room : n;

		ret = feed(u, p, some);
		p += some;
		n -= some;
	}
	return ret;
}

size_t uplink_output(struct uplink *u, const uint8_t **ret_p)
{
	*ret_p = u->out.p;
	return u->out.n;
}

void uplink_sent(struct uplink *u, size_t n) { bytes_drop(&u->out, n); }

enum uplink_state uplink_state(const struct uplink *u) { return u->state; }
