/*
 * clear_collect - the events of a day as a list of records, each judged by itself. Records stay in the store's map, thin as they
 * lie there, and are decoded where they are needed; what sorting needs of them is copied out. The events are listed first: then it is known
 * where each one's records go, and they are read by several threads.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/ridden.h"

struct collecting {
	struct job *job;
	struct source *source; size_t count, space;		/* batches so far */
	struct release *release; size_t releases;
};

bool work_tap(const struct work *w, uint8_t room[THIN_RECORD_ROOM], struct tap *ret)
{
	const char *field;

	return tap_read(work_raw(w, room), work_lie(w)->raw_bytes, ret, &field) == 0;
}

/* ---- a record ----------------------------------------------------------------------------------------------- */

/* Of from, r's bytes at raw_at in its body, at thin_at where that is thin. Not judged yet; says: what it says, NULL: it cannot be read, and its verdict is that. */
static int work_fill(struct work *w, const struct source *from, const struct record *r, uint32_t raw_at, uint16_t thin_at, const struct tap *says)
{
	uint8_t digest[DIGEST_BYTES], code[TAP_CODE_BYTES];
	int ret;

	*w = (struct work){ .from = from, .check = r->check, .future = (r->bits & EVENT_BIT_FUTURE) != 0 };
	*work_lie(w) = (struct lie){ .raw_at = raw_at, .raw_bytes = (uint16_t)r->raw_bytes, .thin_at = thin_at };
	if (says == NULL) {
		ret = digest_sha256(r->raw, r->raw_bytes, digest);
		memcpy(w->key, digest, TAP_KEY_BYTES);
		w->verdict = VERDICT_MALFORMED;
		return ret;
	}
	tap_key(says, w->key);
	memcpy(w->pan, says->pan, sizeof(w->pan));
	w->counter = tap_has_counter(says) ? (uint16_t)says->card_counter : 0;
	w->coded = tap_code_key(says, code);
	return 0;
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

static bool source_read(const struct event *e, struct source *ret)
{
	struct event_batch b;

	*ret = (struct source){ .seq = e->seq, .raw_seq = e->seq, .body = e->body, .thin = e->thin, .thin_bytes = e->thin_bytes };
	if (e->thin != NULL) {
		ret->device = (const char *)thin_head(e->thin, e->thin_bytes, EVENT_BATCH_HEAD_BYTES);
		ret->count = e->taps;
		return ret->device != NULL && ret->device[DEVICE_BYTES_MAX] == '\0' && ret->count <= BATCH_TAPS_MAX;
	}
	if (!event_batch_read(e, &b))
		return false;
	ret->device = (const char *)e->body;
	ret->count = b.count;
	ret->marks = b.marks;
	ret->batch = b.batch;
	ret->batch_bytes = b.batch_bytes;
	return true;
}

static int batch_list(struct collecting *c, const struct event *e)
{
	struct source *wide = grown(c->source, &c->space, c->count + 1, sizeof(*wide)), *s;

	if (wide == NULL)
		return -ENOMEM;
	c->source = wide;
	s = &c->source[c->count++];
	if (!source_read(e, s))
		return CLEARING_E_STORE;
	s->arrived = c->job->day.day;
	s->first = c->job->count;
	c->job->count += s->count;
	return 0;
}

/* What a record says, read like those before, until the next; NULL: it cannot be read. */
static const struct tap *record_tap(const struct record *r)
{
	static _Thread_local struct tap_forms forms;
	static _Thread_local struct tap tap;
	const char *field;

	return tap_like_read(&forms, r->raw, r->raw_bytes, &tap, &field) == 0 ? &tap : NULL;
}

static int record_read(struct job *own, const struct source *s, const struct record *r, uint32_t raw_at, uint16_t thin_at, uint16_t i,
		       struct alikes *alikes)
{
	const struct tap *says = record_tap(r);
	struct work *w = &own->work[s->first + i];
	int ret = work_fill(w, s, r, raw_at, thin_at, says);

	if (says == NULL)
		return ret;
	ret = alike_find(own, alikes, says, w);
	judge_alone(own, w, says);
	return ret;
}

static int thin_read(struct job *own, const struct source *s, struct alikes *alikes)
{
	static _Thread_local struct thin thin;
	static _Thread_local struct thin_rows rows;
	int ret = 0;

	if (!thin_open(s->thin, s->thin_bytes, &thin) || thin.head_bytes != EVENT_BATCH_HEAD_BYTES || thin.count != s->count)
		return CLEARING_E_STORE;
	thin_rows_start(&thin, &rows);
	for (uint16_t i = 0; ret == 0 && i < thin.count; i++) {
		const struct thin_place *place = &thin.record[i];
		const struct record r = { .raw = thin_rows_read(&rows, place->at), .raw_bytes = place->bytes, .check = place->marks[0], .bits = place->marks[1] };

		ret = record_read(own, s, &r, place->body_at, place->at, i, alikes);
	}
	return ret;
}

static int batch_read(struct job *own, const struct source *s, struct alikes *alikes)
{
	static _Thread_local struct batch batch;
	int ret = 0;

	if (s->thin != NULL)
		return thin_read(own, s, alikes);
	if (batch_decode(s->batch, s->batch_bytes, &batch) != 0 || batch.count != s->count)
		return CLEARING_E_STORE;
	for (uint16_t i = 0; ret == 0 && i < batch.count; i++) {
		const struct record r = { .raw = batch.tap[i].p, .raw_bytes = batch.tap[i].n, .check = s->marks[2 * i], .bits = s->marks[2 * i + 1] };

		ret = record_read(own, s, &r, (uint32_t)(r.raw - s->body), 0, i, alikes);
	}
	return ret;
}

/* The first batch whose records begin there or behind: they follow each other. */
static size_t source_from(const struct job *j, size_t count, size_t first)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (j->source[mid].first < first)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Of the batches, by their records: a part each. */
static int batches_part(struct job *own, void *arg, unsigned part)
{
	const struct collecting *c = arg;
	unsigned parts = parts_wanted(own->count, PART_RECORDS_MIN);
	size_t from = slice(own->count, parts, part), to = slice(own->count, parts, part + 1);
	int ret = 0;

	for (size_t i = source_from(own, c->count, from); ret == 0 && i < c->count && own->source[i].first < to; i++)
		ret = batch_read(own, &own->source[i], own->alikes[own->thread]);
	return ret != 0 ? ret : own->txn.error;
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

static struct source *source_of(struct job *j, uint64_t seq)
{
	size_t low = 0, high = j->sources;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (j->source[mid].seq == seq)
			return &j->source[mid];
		if (j->source[mid].seq < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* Of a record of this day: the answer takes the mark's place. */
static int recheck_mark(struct job *j, const struct recheck *r)
{
	const struct source *s = source_of(j, r->seq);
	struct work *w = s != NULL && r->nth < s->count ? &j->work[s->first + r->nth] : NULL;
	uint8_t room[THIN_RECORD_ROOM];
	struct tap tap;

	if (w == NULL || w->check != KEY_CHECK_UNAVAILABLE || !work_tap(w, room, &tap))
		return CLEARING_E_STORE;
	w->check = r->check;
	judge_alone(j, w, &tap);
	return 0;
}

/* ---- records of earlier days ---------------------------------------------------------------------------------- */

/* One more record, of an event of its own: the places are there. Not judged yet. */
static int work_add(struct collecting *c, const struct source *from, const struct record *r, struct work **ret)
{
	struct job *j = c->job;
	struct source *s = &j->source[c->count++];

	*s = *from;
	s->work = &j->work[j->count];
	s->lie = &j->lie[j->count++];
	*ret = s->work;
	return work_fill(s->work, s, r, (uint32_t)(r->raw - from->body), 0, record_tap(r));
}

/* The body of the event that brought a record, and the device's name in it. */
static bool body_of(struct job *j, uint64_t seq, struct source *ret)
{
	struct inbox_iter it;
	struct event_batch b;
	struct event e = { 0 };
	bool found;

	inbox_open(&j->txn, seq, seq, &it);
	found = inbox_next(&it, &e) && event_batch_read(&e, &b);
	inbox_close(&it);
	*ret = (struct source){ .raw_seq = seq, .body = e.body, .device = (const char *)e.body };
	return found;
}

/* Its key was asked again: it is taken in, now that something is known of its code. */
static int recheck_take(struct collecting *c, struct records *records, const struct recheck *k)
{
	uint8_t room[THIN_RECORD_ROOM];
	struct source from;
	struct record r;
	struct work *w;
	struct tap tap;
	int ret;

	if (!records_get(records, k->seq, k->nth, &r) || r.check != KEY_CHECK_UNAVAILABLE || !body_of(c->job, k->seq, &from))
		return c->job->txn.error != 0 ? c->job->txn.error : CLEARING_E_STORE;
	r.check = k->check;
	from.seq = k->seq;
	from.arrived = r.day;
	ret = work_add(c, &from, &r, &w);
	if (ret == 0 && work_tap(w, room, &tap))
		judge_alone(c->job, w, &tap);
	return ret;
}

static int rechecks_apply(struct collecting *c)
{
	struct job *j = c->job;
	struct records *records;
	int ret = j->recheck_count > 0 ? records_new(&j->txn, &records) : 0;

	if (ret != 0 || j->recheck_count == 0)
		return ret;
	qsort(j->recheck, j->recheck_count, sizeof(j->recheck[0]), recheck_compare);
	for (size_t i = 0; ret == 0 && i < j->recheck_count; i++)
		ret = j->recheck[i].seq > j->day.first_seq ? recheck_mark(j, &j->recheck[i]) : recheck_take(c, records, &j->recheck[i]);
	records_free(records);
	return ret;
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

/* ---- what people released ---------------------------------------------------------------------------------- */

static int release_list(struct collecting *c, const struct event *e)
{
	struct release *wide, r;

	if (!release_read(e, &r))
		return 0;
	wide = realloc(c->release, (c->releases + 1) * sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	c->release = wide;
	c->release[c->releases++] = r;
	return 0;
}

/* A person released a record that an earlier day set aside: it settles in this one. Its keys stay that day's. */
static int release_take(struct collecting *c, const struct release *r)
{
	struct job *j = c->job;
	struct cleared row;
	struct source from;
	struct record record;
	struct work *w;
	int32_t day;
	int ret;

	if (!set_aside_find(&j->txn, r->key, &day, &row) || day != r->day || day >= j->day.day || !body_of(j, row.seq, &from))
		return CLEARING_E_STORE;
	record = (struct record){ .raw = row.raw, .raw_bytes = row.raw_bytes, .check = row.check };
	from.seq = r->seq;
	from.arrived = j->day.day;
	ret = work_add(c, &from, &record, &w);
	if (ret != 0)
		return ret;
	w->verdict = (uint8_t)judge_released((enum key_check)row.check);
	w->keyed = w->released = true;
	w->counter = 0;
	return 0;
}

/* ---- the day -------------------------------------------------------------------------------------------------- */

static int events_list(struct collecting *c)
{
	struct job *j = c->job;
	struct inbox_iter it;
	struct event e;
	int ret = 0;

	inbox_open_stored(&j->txn, j->day.first_seq + 1, j->day.cut_seq, &it);
	while (ret == 0 && inbox_next(&it, &e)) {
		if (e.type == EVENT_BATCH)
			ret = batch_list(c, &e);
		else if (e.type == EVENT_PARTNER || e.type == EVENT_BANK)
			ret = partner_collect(j, &e);
		else if (e.type == EVENT_CODE_ANSWER)
			ret = answers_collect(j, &e);
		else if (e.type == EVENT_DEVICE)
			ret = release_list(c, &e);
		else if (e.type == EVENT_RECHECK)
			ret = recheck_collect(j, &e);
	}
	inbox_close(&it);
	return ret != 0 ? ret : j->txn.error;
}

/* For all records that will be: those of the batches, those that come from earlier days. */
static int memory_take(struct collecting *c)
{
	struct job *j = c->job;
	size_t more = c->releases + j->recheck_count, count = j->count + more;
	struct source *wide = realloc(c->source, (c->count + more + 1) * sizeof(*wide));
	int ret = wide == NULL ? -ENOMEM : span_new(j, count * sizeof(struct work), &j->works);

	if (ret == 0)
		ret = span_new(j, count * sizeof(struct lie), &j->lies);
	if (wide != NULL)
		c->source = wide;
	j->source = c->source;
	j->sources = c->count;
	j->work = j->works.p;
	j->lie = j->lies.p;
	for (size_t i = 0; ret == 0 && i < c->count; i++) {
		j->source[i].work = j->work + j->source[i].first;
		j->source[i].lie = j->lie + j->source[i].first;
	}
	return ret;
}

static int alikes_take(struct job *j)
{
	unsigned threads = parts_threads(parts_wanted(j->count, PART_RECORDS_MIN));
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < threads; i++)
		ret = alikes_new(j->count / threads, &j->alikes[i]);
	return ret;
}

int clear_collect(struct job *j)
{
	struct collecting c = { .job = j };
	int ret;

	j->cards = txn_any(&j->txn, DB_CARD);
	j->ridden = ridden_any(&j->txn);
	j->txn.keep = true;		/* records are read where they lie until the clear ends */
	ret = events_list(&c);
	if (ret == 0)
		ret = memory_take(&c);
	j->source = c.source;		/* the job's to free */
	if (ret == 0)
		ret = alikes_take(j);
	if (ret == 0)
		ret = parts_run(j, parts_wanted(j->count, PART_RECORDS_MIN), batches_part, &c);
	if (ret == 0)
		ret = rechecks_apply(&c);
	for (size_t i = 0; ret == 0 && i < c.releases; i++)
		ret = release_take(&c, &c.release[i]);
	j->txn.keep = false;
	free(c.release);
	return ret != 0 ? ret : j->txn.error;
}
