/* qfval_link - spool, batch and uplink of libqfval: the folder's own, in the caller's memory. */
#include "validator/qfval_inner.h"

#include <assert.h>
#include <string.h>

static_assert((int)QFV_UPLINK_IDLE == (int)UPLINK_IDLE && (int)QFV_UPLINK_WAITING == (int)UPLINK_WAITING, "states have one number");

/* ---- spool ------------------------------------------------------------------------------------------------- */

struct qfv_spool { struct spool *spool; struct batch batch; };

size_t qfv_spool_size(void) { return QFVAL_ROUND(sizeof(struct qfv_spool)) + spool_size(); }

int qfv_spool_init(void *mem, size_t n, const char *dir, uint32_t first_file_serial, struct qfv_spool **ret)
{
	struct qfv_spool *s = mem;
	int code;

	if (!qfval_memory_good(mem, n, qfv_spool_size()))
		return QFV_E_MEMORY;
	if (dir == NULL || first_file_serial == 0)
		return QFV_E_ARGUMENT;
	s->spool = (struct spool *)(void *)((char *)mem + QFVAL_ROUND(sizeof(*s)));
	code = qfval_code(spool_init(s->spool, dir, first_file_serial));
	if (code != 0)
		return code;
	*ret = s;
	return 0;
}

void qfv_spool_done(struct qfv_spool *s)
{
	if (s != NULL)
		spool_done(s->spool);
}

int qfv_spool_append(struct qfv_spool *s, const uint8_t *record, size_t n) { return qfval_code(spool_append(s->spool, record, n, true)); }

static bool device_set(struct batch *b, const char *device)
{
	if (device == NULL || device[0] == '\0' || strlen(device) > DEVICE_BYTES_MAX)
		return false;
	memset(b->device, 0, sizeof(b->device));
	memcpy(b->device, device, strlen(device));
	return true;
}

int qfv_spool_next(struct qfv_spool *s, const char *device, uint32_t taps_max, uint8_t *out, size_t n, uint32_t *ret_file_serial,
		   uint32_t *ret_taps)
{
	int code;

	if (!device_set(&s->batch, device))
		return QFV_E_ARGUMENT;
	code = spool_next(s->spool, taps_max, &s->batch);
	if (code == 1)
		code = batch_encode(&s->batch, out, n);
	if (code <= 0)
		return qfval_code(code);
	*ret_file_serial = s->batch.file_serial;
	*ret_taps = s->batch.count;
	return code;
}

int qfv_spool_release(struct qfv_spool *s, uint32_t file_serial) { return qfval_code(spool_release(s->spool, file_serial)); }
uint64_t qfv_spool_waiting(const struct qfv_spool *s) { return spool_waiting(s->spool); }

int qfv_batch_seal(const char *device, uint32_t file_serial, const struct qfv_slice *record, uint32_t count, uint8_t *out, size_t n)
{
	struct batch b = { .file_serial = file_serial, .count = count };
	int code;

	if (!device_set(&b, device))
		return QFV_E_ARGUMENT;
	if (count > BATCH_TAPS_MAX)
		return QFV_E_RANGE;
	for (uint32_t i = 0; i < count; i++) {
		if (record[i].n == 0 || record[i].n > TAP_ENCODED_BYTES_MAX)
			return QFV_E_RANGE;
		b.tap[i].p = record[i].p;
		b.tap[i].n = (uint32_t)record[i].n;
	}
	code = batch_seal(&b);
	return qfval_code(code != 0 ? code : batch_encode(&b, out, n));
}

/* ---- uplink --------------------------------------------------------------------------------------------------- */

struct qfv_uplink { struct qfv_uplink_events on; struct uplink *uplink; };

static int on_next(void *arg, const uint8_t **ret_p, size_t *ret_n, uint32_t *ret_file_serial)
{
	const struct qfv_uplink *u = arg;

	return u->on.next(u->on.arg, ret_p, ret_n, ret_file_serial);
}

static void on_welcome(void *arg, const struct welcome *m)
{
	const struct qfv_uplink *u = arg;
	struct qfv_welcome w = { m->clock_ms, m->list_version, m->tariff_version, m->batch_taps_max };

	if (u->on.welcome != NULL)
		u->on.welcome(u->on.arg, &w);
}

static void on_receipt(void *arg, const struct receipt *m)
{
	const struct qfv_uplink *u = arg;
	struct qfv_receipt r = { m->inbox_seq, m->file_serial, m->accepted, m->pending, m->duplicate, m->refused, m->count, m->verdict,
				 m->repeated };

	if (u->on.receipt != NULL)
		u->on.receipt(u->on.arg, &r);
}

static void on_refused(void *arg, const struct refuse *m)
{
	const struct qfv_uplink *u = arg;
	struct qfv_refuse r = { m->file_serial, m->code, m->text, m->retry };

	if (u->on.refused != NULL)
		u->on.refused(u->on.arg, &r);
}

static void on_part(void *arg, const struct part *m)
{
	const struct qfv_uplink *u = arg;
	struct qfv_part p = { m->what, m->version, m->offset, m->total, m->p, m->n };

	if (u->on.part != NULL)
		u->on.part(u->on.arg, &p);
}

static void on_busy(void *arg, uint32_t retry_ms)
{
	const struct qfv_uplink *u = arg;

	if (u->on.busy != NULL)
		u->on.busy(u->on.arg, retry_ms);
}

size_t qfv_uplink_size(void) { return QFVAL_ROUND(sizeof(struct qfv_uplink)) + uplink_size(); }

int qfv_uplink_init(void *mem, size_t n, const char *device, const uint8_t terminal[6], const char *software,
		    const struct qfv_uplink_events *events, struct qfv_uplink **ret)
{
	struct uplink_events on = { .next = on_next, .welcome = on_welcome, .receipt = on_receipt, .refused = on_refused, .part = on_part,
				    .busy = on_busy, .arg = mem };
	struct hello hello = { .protocol = 1 };
	struct qfv_uplink *u = mem;

	if (!qfval_memory_good(mem, n, qfv_uplink_size()))
		return QFV_E_MEMORY;
	if (events->size < sizeof(*events) || events->next == NULL || device[0] == '\0')
		return QFV_E_ARGUMENT;
	if (strlen(device) >= sizeof(hello.device) || strlen(software) >= sizeof(hello.software))
		return QFV_E_RANGE;
	memcpy(hello.device, device, strlen(device));
	memcpy(hello.software, software, strlen(software));
	memcpy(hello.terminal, terminal, sizeof(hello.terminal));
	u->on = *events;
	u->uplink = (struct uplink *)(void *)((char *)mem + QFVAL_ROUND(sizeof(*u)));
	uplink_init(u->uplink, &hello, &on);
	*ret = u;
	return 0;
}

void qfv_uplink_connected(struct qfv_uplink *u, int64_t clock_ms)
{
	uplink_clock(u->uplink, clock_ms);
	uplink_connected(u->uplink);
}

void qfv_uplink_lost(struct qfv_uplink *u) { uplink_lost(u->uplink); }
int qfv_uplink_feed(struct qfv_uplink *u, const uint8_t *p, size_t n) { return qfval_code(uplink_feed(u->uplink, p, n)); }
size_t qfv_uplink_output(struct qfv_uplink *u, const uint8_t **ret_p) { return uplink_output(u->uplink, ret_p); }
void qfv_uplink_sent(struct qfv_uplink *u, size_t n) { uplink_sent(u->uplink, n); }
void qfv_uplink_retry(struct qfv_uplink *u) { uplink_retry(u->uplink); }
void qfv_uplink_ping(struct qfv_uplink *u) { uplink_ping(u->uplink); }

int qfv_uplink_ask(struct qfv_uplink *u, const char *what, uint32_t version, uint32_t offset)
{
	return strlen(what) > 15 ? QFV_E_ARGUMENT : qfval_code(uplink_ask(u->uplink, what, version, offset));
}

int qfv_uplink_state(const struct qfv_uplink *u) { return (int)uplink_state(u->uplink); }
