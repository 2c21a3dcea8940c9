/*
 * clear_collect - the events of a day as a list of records. Records stay in the store's map and are decoded where
 * they are needed; what sorting needs of them is copied out.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool work_tap(const struct work *w, struct tap *ret)
{
	const char *field;

	return tap_decode(w->raw, w->raw_bytes, ret, &field) == 0;
}

static int work_add(struct job *j, const struct event *e, const uint8_t *raw, uint32_t n, uint8_t check, uint8_t bits)
{
	uint8_t digest[DIGEST_BYTES];
	struct work *w;
	struct tap tap;

	if (j->count == j->space) {
		size_t space = j->space ? j->space * 2 : 4096;
		struct work *wide = realloc(j->work, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		j->work = wide;
		j->space = space;
	}
	w = &j->work[j->count++];
	*w = (struct work){ .raw = raw, .raw_bytes = n, .check = check, .bits = bits, .seq = e->seq, .device = (const char *)e->body };
	if (!work_tap(w, &tap)) {
		int ret = digest_sha256(raw, n, digest);

		memcpy(w->key, digest, TAP_KEY_BYTES);
		w->verdict = VERDICT_MALFORMED;
		return ret;
	}
	tap_key(&tap, w->key);
	memcpy(w->pan, tap.pan, sizeof(w->pan));
	memcpy(w->tac, tap.tac, sizeof(w->tac));
	w->counter = tap.kind <= TAP_PRODUCT ? (uint16_t)tap.card_counter : 0;
	w->time_ms = tap.time_ms;
	return 0;
}

static int batch_collect(struct job *j, const struct event *e)
{
	static _Thread_local struct batch batch;
	struct event_batch b;
	int ret = 0;

	if (!event_batch_read(e, &b) || batch_decode(b.batch, b.batch_bytes, &batch) != 0 || batch.count != b.count)
		return CLEARING_E_STORE;
	for (uint32_t i = 0; ret == 0 && i < batch.count; i++)
		ret = work_add(j, e, batch.tap[i].p, batch.tap[i].n, b.marks[2 * i], b.marks[2 * i + 1]);
	return ret;
}

static int partner_collect(struct job *j, const struct event *e)
{
	struct partner_event *wide = realloc(j->partner, (j->partner_count + 1) * sizeof(*wide)), *p;

	if (wide == NULL)
		return -ENOMEM;
	j->partner = wide;
	if (e->bytes < 80)
		return CLEARING_E_STORE;
	p = &wide[j->partner_count++];
	*p = (struct partner_event){ .p = e->body + 80, .n = e->bytes - 80 };
	memcpy(p->partner, e->body, 16);
	memcpy(p->name, e->body + 16, 64);
	return 0;
}

/* The device's name, as the event that brought the record has it. */
static const char *device_of_event(struct job *j, uint64_t seq)
{
	struct inbox_iter it;
	struct event_batch b;
	struct event e = { 0 };
	bool found;

	inbox_open(&j->txn, seq, seq, &it);
	found = inbox_next(&it, &e) && event_batch_read(&e, &b);
	inbox_close(&it);
	return found ? (const char *)e.body : NULL;
}

/* A person released a record that an earlier day set aside: it settles in this one. Its keys stay that day's. */
static int release_collect(struct job *j, const struct event *e)
{
	struct release r;
	struct cleared row;
	struct work *w;
	const char *device;
	int32_t day;
	int ret;

	if (!release_read(e, &r))
		return 0;
	if (!set_aside_find(&j->txn, r.key, &day, &row) || day != r.day || day >= j->day.day)
		return CLEARING_E_STORE;
	device = device_of_event(j, row.seq);
	ret = device == NULL ? CLEARING_E_STORE : work_add(j, e, row.raw, row.raw_bytes, row.check, 0);
	if (ret != 0)
		return ret;
	w = &j->work[j->count - 1];
	w->device = device;
	w->verdict = (uint8_t)judge_released((enum key_check)row.check);
	w->keyed = w->released = true;
	w->counter = 0;
	return 0;
}

int clear_collect(struct job *j)
{
	struct inbox_iter it;
	struct event e;
	int ret = 0;

	inbox_open(&j->txn, j->day.first_seq + 1, j->day.cut_seq, &it);
	while (ret == 0 && inbox_next(&it, &e)) {
		if (e.type == EVENT_BATCH)
			ret = batch_collect(j, &e);
		else if (e.type == EVENT_PARTNER)
			ret = partner_collect(j, &e);
		else if (e.type == EVENT_DEVICE)
			ret = release_collect(j, &e);
	}
	inbox_close(&it);
	if (ret == 0 && j->count > 0) {
		j->order = malloc(j->count * sizeof(struct work *));
		ret = j->order == NULL ? -ENOMEM : 0;
	}
	for (size_t i = 0; ret == 0 && i < j->count; i++)
		j->order[i] = &j->work[i];
	return ret != 0 ? ret : j->txn.error;
}
