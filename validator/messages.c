/*
 * messages - the bodies of frames: each a msgpack array whose trailing fields a reader may not know.
 */
#include "validator/cursor.h"

#include <string.h>

/* Leave room for the head, write it when the body's length is known. */
static struct writer_cursor body_start(uint8_t *out, size_t n)
{
	return (struct writer_cursor){ out + (n < FRAME_HEAD_BYTES ? n : FRAME_HEAD_BYTES), out + n, n < FRAME_HEAD_BYTES ? TAP_E_SPACE : 0 };
}

static int body_end(const struct writer_cursor *c, uint8_t type, uint8_t *out)
{
	size_t n = (size_t)(c->p - out);

	if (c->error != 0)
		return c->error;
	frame_head(type, (uint32_t)(n - FRAME_HEAD_BYTES), out);
	return (int)n;
}

static uint32_t body_open(const struct frame *f, uint8_t type, uint32_t fields, struct reader_cursor *ret)
{
	uint32_t count;

	*ret = (struct reader_cursor){ f->body, f->body + f->bytes, f->type == type ? 0 : TAP_E_FRAME };
	count = cursor_array(ret);
	if (ret->error == 0 && count < fields)
		ret->error = TAP_E_SYNTAX;
	return count;
}

static int body_close(struct reader_cursor *c, uint32_t count, uint32_t fields)
{
	for (uint32_t i = fields; c->error == 0 && i < count; i++)
		cursor_skip(c);
	return c->error != 0 ? c->error : c->p == c->end ? 0 : TAP_E_TRAILING;
}

int hello_encode(const struct hello *m, uint8_t *out, size_t n)
{
	struct writer_cursor c = body_start(out, n);

	put_array(&c, 5);
	put_uint(&c, m->protocol);
	put_str(&c, m->device);
	put_bin(&c, m->terminal, sizeof(m->terminal));
	put_str(&c, m->software);
	put_int(&c, m->clock_ms);
	return body_end(&c, FRAME_HELLO, out);
}

int hello_decode(const struct frame *f, struct hello *ret)
{
	struct reader_cursor c;
	uint32_t count = body_open(f, FRAME_HELLO, 5, &c);

	ret->protocol = (uint32_t)cursor_uint(&c, 255);
	cursor_str(&c, ret->device, DEVICE_BYTES_MAX);
	cursor_bin_exact(&c, ret->terminal, sizeof(ret->terminal));
	cursor_str(&c, ret->software, sizeof(ret->software) - 1);
	ret->clock_ms = cursor_int(&c);
	return body_close(&c, count, 5);
}

int welcome_encode(const struct welcome *m, uint8_t *out, size_t n)
{
	struct writer_cursor c = body_start(out, n);

	put_array(&c, 9);
	put_uint(&c, m->protocol);
	put_int(&c, m->clock_ms);
	put_uint(&c, m->list_version);
	put_uint(&c, m->tariff_version);
	put_uint(&c, m->batch_taps_max);
	put_uint(&c, m->renewals);
	put_uint(&c, m->certificate);
	put_uint(&c, m->deny_version);
	put_uint(&c, m->asks);
	return body_end(&c, FRAME_WELCOME, out);
}

int welcome_decode(const struct frame *f, struct welcome *ret)
{
	struct reader_cursor c;
	uint32_t count = body_open(f, FRAME_WELCOME, 5, &c);

	ret->protocol = (uint32_t)cursor_uint(&c, 255);
	ret->clock_ms = cursor_int(&c);
	ret->list_version = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->tariff_version = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->batch_taps_max = (uint32_t)cursor_uint(&c, BATCH_TAPS_MAX);
	ret->renewals = count >= 7 && cursor_uint(&c, 1) == 1;		/* a daemon before this version ends here */
	ret->certificate = count >= 7 ? (uint32_t)cursor_uint(&c, UINT32_MAX) : 0;
	ret->deny_version = count >= 8 ? (uint32_t)cursor_uint(&c, UINT32_MAX) : 0;
	ret->asks = count >= 9 && cursor_uint(&c, 1) == 1;
	return body_close(&c, count, count >= 9 ? 9 : count >= 8 ? 8 : count >= 7 ? 7 : 5);
}

int receipt_encode(const struct receipt *m, uint8_t *out, size_t n)
{
	struct writer_cursor c = body_start(out, n);

	put_array(&c, 8);
	put_uint(&c, m->file_serial);
	put_uint(&c, m->inbox_seq);
	put_uint(&c, m->accepted);
	put_uint(&c, m->pending);
	put_uint(&c, m->duplicate);
	put_uint(&c, m->refused);
	put_bin(&c, m->verdict, m->count);
	put_bool(&c, m->repeated);
	return body_end(&c, FRAME_RECEIPT, out);
}

int receipt_decode(const struct frame *f, struct receipt *ret)
{
	struct reader_cursor c;
	uint32_t count = body_open(f, FRAME_RECEIPT, 8, &c);
	const uint8_t *verdict;

	ret->file_serial = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->inbox_seq = cursor_uint(&c, INT64_MAX);
	ret->accepted = (uint32_t)cursor_uint(&c, BATCH_TAPS_MAX);
	ret->pending = (uint32_t)cursor_uint(&c, BATCH_TAPS_MAX);
	ret->duplicate = (uint32_t)cursor_uint(&c, BATCH_TAPS_MAX);
	ret->refused = (uint32_t)cursor_uint(&c, BATCH_TAPS_MAX);
	verdict = cursor_bin(&c, &ret->count, BATCH_TAPS_MAX);
	if (c.error == 0)
		memcpy(ret->verdict, verdict, ret->count);
	ret->repeated = cursor_bool(&c);
	return body_close(&c, count, 8);
}

int refuse_encode(const struct refuse *m, uint8_t *out, size_t n)
{
	struct writer_cursor c = body_start(out, n);

	put_array(&c, 4);
	put_uint(&c, m->file_serial);
	put_int(&c, m->code);
	put_str(&c, m->text);
	put_bool(&c, m->retry);
	return body_end(&c, FRAME_REFUSE, out);
}

int refuse_decode(const struct frame *f, struct refuse *ret)
{
	struct reader_cursor c;
	uint32_t count = body_open(f, FRAME_REFUSE, 4, &c);

	ret->file_serial = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->code = (int32_t)cursor_int(&c);
	cursor_str(&c, ret->text, sizeof(ret->text) - 1);
	ret->retry = cursor_bool(&c);
	return body_close(&c, count, 4);
}

int get_encode(const struct get *m, uint8_t *out, size_t n)
{
	struct writer_cursor c = body_start(out, n);

	put_array(&c, 3);
	put_str(&c, m->what);
	put_uint(&c, m->version);
	put_uint(&c, m->offset);
	return body_end(&c, FRAME_GET, out);
}

int get_decode(const struct frame *f, struct get *ret)
{
	struct reader_cursor c;
	uint32_t count = body_open(f, FRAME_GET, 3, &c);

	cursor_str(&c, ret->what, sizeof(ret->what) - 1);
	ret->version = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->offset = (uint32_t)cursor_uint(&c, UINT32_MAX);
	return body_close(&c, count, 3);
}

int part_encode(const struct part *m, uint8_t *out, size_t n)
{
	struct writer_cursor c = body_start(out, n);

	put_array(&c, 5);
	put_str(&c, m->what);
	put_uint(&c, m->version);
	put_uint(&c, m->offset);
	put_uint(&c, m->total);
	put_bin(&c, m->p, m->n);
	return body_end(&c, FRAME_PART, out);
}

int part_decode(const struct frame *f, struct part *ret)
{
	struct reader_cursor c;
	uint32_t count = body_open(f, FRAME_PART, 5, &c);

	cursor_str(&c, ret->what, sizeof(ret->what) - 1);
	ret->version = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->offset = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->total = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->p = cursor_bin(&c, &ret->n, FRAME_BYTES_MAX);
	return body_close(&c, count, 5);
}

int busy_encode(const struct busy *m, uint8_t *out, size_t n)
{
	struct writer_cursor c = body_start(out, n);

	put_array(&c, 1);
	put_uint(&c, m->retry_ms);
	return body_end(&c, FRAME_BUSY, out);
}

int busy_decode(const struct frame *f, struct busy *ret)
{
	struct reader_cursor c;
	uint32_t count = body_open(f, FRAME_BUSY, 1, &c);

	ret->retry_ms = (uint32_t)cursor_uint(&c, UINT32_MAX);
	return body_close(&c, count, 1);
}

int certify_encode(const struct certify *m, uint8_t *out, size_t n)
{
	struct writer_cursor c = body_start(out, n);

	put_array(&c, 1);
	put_bin(&c, m->p, m->n);
	return body_end(&c, FRAME_CERTIFY, out);
}

int certify_decode(const struct frame *f, struct certify *ret)
{
	struct reader_cursor c;
	uint32_t count = body_open(f, FRAME_CERTIFY, 1, &c);

	ret->p = cursor_bin(&c, &ret->n, ENROL_REQUEST_BYTES_MAX);
	return body_close(&c, count, 1);
}

const char *kerb_answer_name(enum kerb_answer a)
{
	switch (a) {
	case KERB_NOT_REACHED: return "not-reached";
	case KERB_GOOD: return "good";
	case KERB_REFUSED: return "refused";
	case KERB_REPEATED: return "repeated";
	}
	return "?";
}

int kerb_ask_encode(const struct kerb_ask *m, uint8_t *out, size_t n)
{
	struct writer_cursor c = body_start(out, n);

	put_array(&c, 7);
	put_uint(&c, m->number);
	put_uint(&c, m->kind);
	put_bin(&c, m->terminal, sizeof(m->terminal));
	put_uint(&c, m->serial);
	put_int(&c, m->time_ms);
	put_uint(&c, m->within_ms);
	put_bin(&c, m->p, m->n);
	return body_end(&c, FRAME_ASK, out);
}

int kerb_ask_decode(const struct frame *f, struct kerb_ask *ret)
{
	struct reader_cursor c;
	uint32_t count = body_open(f, FRAME_ASK, 7, &c);

	ret->number = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->kind = (uint8_t)cursor_uint(&c, UINT8_MAX);
	cursor_bin_exact(&c, ret->terminal, sizeof(ret->terminal));
	ret->serial = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->time_ms = cursor_int(&c);
	ret->within_ms = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->p = cursor_bin(&c, &ret->n, TAP_QR_BYTES_MAX);
	return body_close(&c, count, 7);
}

int kerb_said_encode(const struct kerb_said *m, uint8_t *out, size_t n)
{
	struct writer_cursor c = body_start(out, n);

	put_array(&c, 3);
	put_uint(&c, m->number);
	put_uint(&c, m->answer);
	put_str(&c, m->reason);
	return body_end(&c, FRAME_SAID, out);
}

int kerb_said_decode(const struct frame *f, struct kerb_said *ret)
{
	struct reader_cursor c;
	uint32_t count = body_open(f, FRAME_SAID, 3, &c);

	ret->number = (uint32_t)cursor_uint(&c, UINT32_MAX);
	ret->answer = (uint8_t)cursor_uint(&c, KERB_REPEATED);
	cursor_str(&c, ret->reason, sizeof(ret->reason) - 1);
	return body_close(&c, count, 3);
}
