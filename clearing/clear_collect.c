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

static int work_room(struct job *j)
{
	size_t space = j->space ? j->space * 2 : 4096;
	struct work *wide;

	if (j->count < j->space)
		return 0;
	wide = realloc(j->work, space * sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	j->work = wide;
	j->space = space;
	return 0;
}

static int work_add(struct job *j, const struct record *r, uint64_t seq, uint16_t at)
{
	uint8_t digest[DIGEST_BYTES];
	int ret = work_room(j);
	struct work *w;
	struct tap tap;

	if (ret != 0)
		return ret;
	w = &j->work[j->count++];
	*w = (struct work){ .raw = r->raw, .raw_bytes = r->raw_bytes, .check = r->check, .bits = r->bits, .seq = seq, .raw_seq = seq, .at = at, .arrived = r->day, .device = r->device };
	if (!work_tap(w, &tap)) {
		ret = digest_sha256(r->raw, r->raw_bytes, digest);
		memcpy(w->key, digest, TAP_KEY_BYTES);
		w->verdict = VERDICT_MALFORMED;
		return ret;
	}
	tap_key(&tap, w->key);
	memcpy(w->pan, tap.pan, sizeof(w->pan));
	memcpy(w->tac, tap.tac, sizeof(w->tac));
	w->counter = tap_has_counter(&tap) ? (uint16_t)tap.card_counter : 0;
	w->time_ms = tap.time_ms;
	w->coded = tap_code_key(&tap, w->code);
	return 0;
}

static int batch_collect(struct job *j, const struct event *e)
{
	static _Thread_local struct batch batch;
	struct event_batch b;
	int ret = 0;

	if (!event_batch_read(e, &b) || batch_decode(b.batch, b.batch_bytes, &batch) != 0 || batch.count != b.count)
		return CLEARING_E_STORE;
	for (uint16_t i = 0; ret == 0 && i < batch.count; i++) {
		const struct record r = { .raw = batch.tap[i].p, .raw_bytes = batch.tap[i].n, .device = (const char *)e->body, .day = j->day.day,
					  .check = b.marks[2 * i], .bits = b.marks[2 * i + 1] };

		ret = work_add(j, &r, e->seq, i);
	}
	return ret;
}

/* ---- answers that came later than their records ------------------------------------------------------------- */

static int recheck_collect(struct job *j, const struct event *e)
{
	int64_t n = rechecks_count(e);
	struct recheck *wide = n < 0 ? NULL : realloc(j->recheck, (j->recheck_count + (size_t)n + 1) * sizeof(*wide));

	if (wide == NULL)
		return n < 0 ? CLEARING_E_STORE : -ENOMEM;
	j->recheck = wide;
	for (int64_t i = 0; i < n; i++)
		wide[j->recheck_count++] = recheck_at(e, (size_t)i);
	return 0;
}

/* Of a record of this day: the answer takes the mark's place. Both lists rise. */
static int rechecks_mark(struct job *j, size_t from)
{
	size_t i = 0;

	for (; from < j->recheck_count; from++) {
		const struct recheck *r = &j->recheck[from];

		while (i < j->count && (j->work[i].seq < r->seq || (j->work[i].seq == r->seq && j->work[i].at < r->nth)))
			i++;
		if (i == j->count || j->work[i].seq != r->seq || j->work[i].at != r->nth || j->work[i].check != KEY_CHECK_UNAVAILABLE)
			return CLEARING_E_STORE;
		j->work[i].check = r->check;
	}
	return 0;
}

/* Of a record of an earlier day: it is taken in again, now that something is known of its code. */
static int rechecks_take(struct job *j, size_t count)
{
	struct records *records;
	int ret = records_new(&j->txn, &records);

	if (ret != 0)
		return ret;
	for (size_t i = 0; ret == 0 && i < count; i++) {
		const struct recheck *k = &j->recheck[i];
		struct record r;

		if (!records_get(records, k->seq, k->nth, &r) || r.check != KEY_CHECK_UNAVAILABLE)
			ret = j->txn.error != 0 ? j->txn.error : CLEARING_E_STORE;
		r.check = k->check;
		if (ret == 0)
			ret = work_add(j, &r, k->seq, k->nth);
	}
	records_free(records);
	return ret;
}

static int rechecks_apply(struct job *j)
{
	size_t before = 0;
	int ret;

	if (j->recheck_count == 0)
		return 0;
	qsort(j->recheck, j->recheck_count, sizeof(j->recheck[0]), recheck_compare);
	while (before < j->recheck_count && j->recheck[before].seq <= j->day.first_seq)
		before++;
	ret = rechecks_mark(j, before);
	return ret == 0 ? rechecks_take(j, before) : ret;
}

static int partner_collect(struct job *j, const struct event *e)
{
	struct partner_event *wide = realloc(j->partner, (j->partner_count + 1) * sizeof(*wide)), *p;

	if (wide == NULL)
		return -ENOMEM;
	j->partner = wide;
	if (e->type == EVENT_BANK) {
		wide[j->partner_count++] = (struct partner_event){ .bank_cards = true, .p = e->body, .n = e->bytes };
		return 0;
	}
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
	struct record record;
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
	record = (struct record){ .raw = row.raw, .raw_bytes = row.raw_bytes, .device = device, .day = j->day.day, .check = row.check };
	ret = device == NULL ? CLEARING_E_STORE : work_add(j, &record, e->seq, 0);
	if (ret != 0)
		return ret;
	w = &j->work[j->count - 1];
	w->raw_seq = row.seq;
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
		else if (e.type == EVENT_PARTNER || e.type == EVENT_BANK)
			ret = partner_collect(j, &e);
		else if (e.type == EVENT_CODE_ANSWER)
			ret = answers_collect(j, &e);
		else if (e.type == EVENT_DEVICE)
			ret = release_collect(j, &e);
		else if (e.type == EVENT_RECHECK)
			ret = recheck_collect(j, &e);
	}
	inbox_close(&it);
	if (ret == 0)
		ret = rechecks_apply(j);
	if (ret == 0 && j->count > 0) {
		j->order = malloc(j->count * sizeof(struct work *));
		ret = j->order == NULL ? -ENOMEM : 0;
	}
	for (size_t i = 0; ret == 0 && i < j->count; i++)
		j->order[i] = &j->work[i];
	return ret != 0 ? ret : j->txn.error;
}
