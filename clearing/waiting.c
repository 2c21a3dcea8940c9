/*
 * waiting - records that were receipted while their key device did not answer, and what it said of them later.
 *
 * The batch's mark and the answer's event are the truth; DB_WAITING is the difference of the two, kept so that the next
 * ones are found and a second answer is refused. All three change in one transaction.
 */
#include "clearing/packed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_KEY_BYTES 10

static void waiting_key(uint64_t seq, uint16_t nth, uint8_t key[WAITING_KEY_BYTES])
{
	be64_put(key, seq);
	be16_put(key + 8, nth);
}

static bool waits(struct txn *t, uint64_t seq, uint16_t nth)
{
	uint8_t key[WAITING_KEY_BYTES];
	const void *val;
	size_t n;

	waiting_key(seq, nth, key);
	return txn_get(t, DB_WAITING, key, sizeof(key), &val, &n);
}

void waiting_add(struct txn *t, uint64_t seq, const uint8_t *marks, uint16_t count)
{
	uint8_t key[WAITING_KEY_BYTES];

	for (uint16_t i = 0; i < count; i++)
		if (marks[2 * i] == KEY_CHECK_UNAVAILABLE) {
			waiting_key(seq, i, key);
			txn_append(t, DB_WAITING, key, sizeof(key), "", 0);
		}
}

size_t waiting_next(struct txn *t, const struct recheck *after, struct recheck *ret, size_t max)
{
	uint8_t key[WAITING_KEY_BYTES];
	struct iter it;
	size_t n = 0;
	bool on;

	waiting_key(after->nth == UINT16_MAX ? after->seq + 1 : after->seq, (uint16_t)(after->nth + 1), key);
	iter_open(t, DB_WAITING, NULL, 0, &it);
	for (on = iter_seek(&it, key, sizeof(key)); on && n < max; on = iter_next(&it)) {
		if (it.key_bytes != WAITING_KEY_BYTES) {
			t->error = CLEARING_E_STORE;
			break;
		}
		ret[n++] = (struct recheck){ .seq = be64_get(it.key), .nth = be16_get(it.key + 8), .check = KEY_CHECK_UNAVAILABLE };
	}
	iter_close(&it);
	return n;
}

/* ---- the event ------------------------------------------------------------------------------------------- */

int64_t rechecks_count(const struct event *e) { return e->type == EVENT_RECHECK && e->bytes % RECHECK_BYTES == 0 ? (int64_t)(e->bytes / RECHECK_BYTES) : -1; }

struct recheck recheck_at(const struct event *e, size_t i)
{
	const uint8_t *p = e->body + i * RECHECK_BYTES;

	return (struct recheck){ .seq = be64_get(p), .nth = be16_get(p + 8), .check = p[10] };
}

bool recheck_append(struct txn *t, int64_t at_ms, const struct recheck *answer, size_t n, struct event *ret_event)
{
	uint8_t *body = malloc(n * RECHECK_BYTES + 1), key[WAITING_KEY_BYTES];
	const void *part = body;
	struct inbox_iter it;
	size_t bytes = 0;
	uint64_t seq;
	bool found;

	if (body == NULL)
		t->error = t->error != 0 ? t->error : -ENOMEM;
	for (size_t i = 0; body != NULL && i < n; i++) {
		if (answer[i].check == KEY_CHECK_UNAVAILABLE || answer[i].check == KEY_CHECK_NONE || !waits(t, answer[i].seq, answer[i].nth))
			continue;
		waiting_key(answer[i].seq, answer[i].nth, key);
		txn_del(t, DB_WAITING, key, sizeof(key));
		memcpy(body + bytes, key, sizeof(key));
		body[bytes + sizeof(key)] = answer[i].check;
		bytes += RECHECK_BYTES;
	}
	seq = bytes > 0 ? inbox_append(t, EVENT_RECHECK, at_ms, &part, &bytes, 1) : 0;
	free(body);
	if (seq == 0)
		return false;
	inbox_open(t, seq, seq, &it);	/* as it lies there: the caller's bytes are gone */
	found = inbox_next(&it, ret_event);
	inbox_close(&it);
	return found;
}

/* ---- single records ------------------------------------------------------------------------------------------ */

struct records { struct txn *t; uint64_t seq, gone; struct event event; struct event_batch head; int32_t day; struct batch batch; };

int records_new(struct txn *t, struct records **ret)
{
	struct records *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->t = t;
	*ret = r;
	return 0;
}

void records_free(struct records *r) { free(r); }

static bool batch_load(struct records *r, uint64_t seq)
{
	r->seq = 0;
	if (!inbox_get(r->t, seq, &r->event) || !event_batch_read(&r->event, &r->head) || batch_decode(r->head.batch, r->head.batch_bytes, &r->batch) != 0 ||
	    r->batch.count != r->head.count)
		return false;
	r->day = day_of_seq(r->t, seq);
	r->seq = seq;
	r->gone = packed_gone(r->t);
	return r->day != DAY_NONE;
}

bool records_get(struct records *r, uint64_t seq, uint16_t nth, struct record *ret)
{
	if (seq == 0 || ((r->seq != seq || r->gone != packed_gone(r->t)) && !batch_load(r, seq)) || nth >= r->batch.count)
		return false;
	*ret = (struct record){ .raw = r->batch.tap[nth].p, .raw_bytes = r->batch.tap[nth].n, .device = (const char *)r->event.body,
				.received_ms = r->event.received_ms, .day = r->day, .check = r->head.marks[2 * nth], .bits = r->head.marks[2 * nth + 1] };
	return true;
}

bool waiting_has(struct txn *t, uint64_t seq, const uint8_t *raw, uint32_t raw_bytes)
{
	struct records *records = NULL;
	uint8_t prefix[8];
	struct record r;
	struct iter it;
	bool found = false;

	t->error = t->error != 0 ? t->error : records_new(t, &records);
	be64_put(prefix, seq);
	iter_open(t, DB_WAITING, prefix, sizeof(prefix), &it);
	while (!found && iter_next(&it))
		found = records_get(records, seq, be16_get(it.key + 8), &r) && r.raw_bytes == raw_bytes && memcmp(r.raw, raw, raw_bytes) == 0;
	iter_close(&it);
	records_free(records);
	return found;
}

/* ---- do they agree ------------------------------------------------------------------------------------------------ */

struct answers { struct recheck *list; size_t count, space; };

int recheck_compare(const void *pa, const void *pb)
{
	const struct recheck *a = pa, *b = pb;

	return a->seq != b->seq ? (a->seq < b->seq ? -1 : 1) : (int)a->nth - (int)b->nth;
}

static int answers_add(struct answers *a, const struct event *e, FILE *out)
{
	int64_t n = rechecks_count(e);
	int broken = 0;

	if (n < 0)
		return fprintf(out, "waiting: inbox event %" PRIu64 " is not a list of answers\n", e->seq) > 0;
	while (a->count + (size_t)n > a->space) {
		size_t space = a->space ? a->space * 2 : 1024;
		struct recheck *wide = realloc(a->list, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		a->list = wide;
		a->space = space;
	}
	for (int64_t i = 0; i < n; i++) {
		struct recheck r = recheck_at(e, (size_t)i);

		if (r.seq >= e->seq || r.check == KEY_CHECK_UNAVAILABLE)
			broken += fprintf(out, "waiting: inbox event %" PRIu64 " answers what had not been asked\n", e->seq) > 0;
		a->list[a->count++] = r;
	}
	return broken;
}

/* Each unanswered mark waits or has its answer, not both. *ret_marks counts them. */
static int marks_check(struct txn *t, const struct event *e, const struct answers *a, uint64_t *ret_marks, FILE *out)
{
	struct event_batch b;
	uint16_t taps, unanswered;
	struct event whole;
	int broken = 0;

	if (!event_batch_count(e, &taps, &unanswered))
		return fprintf(out, "waiting: inbox event %" PRIu64 " is not a batch\n", e->seq) > 0;
	if (unanswered == 0)
		return 0;
	if (!inbox_get(t, e->seq, &whole) || !event_batch_read(&whole, &b))
		return fprintf(out, "waiting: inbox event %" PRIu64 " is not a batch\n", e->seq) > 0;
	for (uint16_t i = 0; i < b.count; i++) {
		const struct recheck r = { .seq = e->seq, .nth = i };
		bool answered;

		if (b.marks[2 * i] != KEY_CHECK_UNAVAILABLE)
			continue;
		++*ret_marks;
		answered = a->count > 0 && bsearch(&r, a->list, a->count, sizeof(a->list[0]), recheck_compare) != NULL;
		if (waits(t, e->seq, i) == answered)
			broken += fprintf(out, "waiting: record %u of inbox event %" PRIu64 " %s\n", i + 1u, e->seq,
					  answered ? "waits although it was checked again" : "was not checked and does not wait") > 0;
	}
	return broken;
}

int waiting_check(struct txn *t, FILE *out)
{
	struct answers a = { .list = NULL };
	uint64_t marks = 0, rows = txn_rows(t, DB_WAITING);
	struct inbox_iter it;
	struct event e;
	int broken = 0;

	inbox_open_others(t, 1, UINT64_MAX, &it);
	while (broken >= 0 && inbox_next(&it, &e))
		if (e.type == EVENT_RECHECK) {
			int more = answers_add(&a, &e, out);

			broken = more < 0 ? more : broken + more;
		}
	inbox_close(&it);
	if (a.count > 1)
		qsort(a.list, a.count, sizeof(a.list[0]), recheck_compare);
	for (size_t i = 1; i < a.count; i++)
		if (recheck_compare(&a.list[i - 1], &a.list[i]) == 0)
			broken += fprintf(out, "waiting: record %u of inbox event %" PRIu64 " was answered twice\n", a.list[i].nth + 1u, a.list[i].seq) > 0;
	inbox_open_heads(t, 1, UINT64_MAX, &it);
	while (broken >= 0 && inbox_next(&it, &e))
		if (e.type == EVENT_BATCH)
			broken += marks_check(t, &e, &a, &marks, out);
	inbox_close(&it);
	if (broken >= 0 && marks != rows + a.count)
		broken += fprintf(out, "waiting: %" PRIu64 " records were not checked on arrival; %" PRIu64 " wait and %zu were answered\n", marks, rows, a.count) > 0;
	free(a.list);
	return broken;
}
