/*
 * clear_answers - what platforms said of records (docs/codes.md), in the clear of the day the answer came in. Of a record
 * of the same day it decides the verdict; a record that an earlier day left pending becomes firm or is reversed, as postings
 * of this day. Of two answers about one record the first in the inbox counts, for ever.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/code_route.h"

struct said { struct code_answer answer; const struct code_route *route; uint64_t seq; uint16_t nth; bool counts; };

int answers_collect(struct job *j, const struct event *e)
{
	const struct code_route *r;
	struct code_answer a;

	for (size_t i = 0; code_event_answer(e->body, e->bytes, i, &a, &r); i++) {
		struct said *wide = grown(j->said, &j->said_space, j->said_count + 1, sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		j->said = wide;
		j->said[j->said_count++] = (struct said){ .answer = a, .route = r, .seq = e->seq, .nth = (uint16_t)i };
	}
	return 0;
}

static int said_compare(const void *pa, const void *pb)
{
	const struct said *a = pa, *b = pb;
	int order = memcmp(a->answer.key, b->answer.key, TAP_KEY_BYTES);

	if (order == 0 && a->seq != b->seq)
		order = a->seq < b->seq ? -1 : 1;
	return order != 0 ? order : (int)a->nth - (int)b->nth;
}

static struct said *said_of(const struct job *j, const uint8_t key[TAP_KEY_BYTES])
{
	size_t low = 0, high = j->said_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = memcmp(j->said[mid].answer.key, key, TAP_KEY_BYTES);

		if (order == 0)
			return &j->said[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* One answer a record, and none that an earlier day has taken. */
static void said_settle(struct job *j)
{
	size_t kept = 0;

	if (j->said_count > 1)
		qsort(j->said, j->said_count, sizeof(j->said[0]), said_compare);
	for (size_t i = 0; i < j->said_count; i++) {
		struct code_answer before;
		int32_t day;

		if (kept > 0 && memcmp(j->said[kept - 1].answer.key, j->said[i].answer.key, TAP_KEY_BYTES) == 0)
			continue;
		if (code_answer_find(&j->txn, j->said[i].answer.key, &before, &day) && day < j->day.day)
			continue;
		j->said[kept++] = j->said[i];
	}
	j->said_count = kept;
}

/* Of records of this day: verified by their platform, or refused. A record that failed another check stays what it is. */
int answers_apply(struct job *j)
{
	said_settle(j);
	for (size_t i = 0; j->said_count > 0 && i < j->count; i++) {
		struct work *w = &j->work[i];
		uint8_t room[THIN_RECORD_ROOM];
		uint8_t cleared_key[CLEARED_KEY_BYTES];
		struct cleared row;
		struct said *s;
		struct tap tap;

		if (!w->coded || w->check != KEY_CHECK_FOREIGN || (s = said_of(j, w->key)) == NULL || !work_tap(w, room, &tap) ||
		    !code_answer_fits(s->route, &s->answer, &tap) || code_pending_row(&j->txn, s->route, w->key, j->day.day, &row, cleared_key))
			continue;
		s->counts = true;
		w->refused = s->answer.result == CODE_REFUSED;
		if (!w->refused)
			w->check = KEY_CHECK_GOOD;
		if (!w->released)
			judge_alone(j, w, &tap);
		else			/* judged by whoever released it */
			w->verdict = (uint8_t)(w->refused ? VERDICT_PLATFORM_REFUSED : judge_released(KEY_CHECK_GOOD));
	}
	return j->txn.error;
}

/* Answers that count, and the postings of those about earlier days; in the order of the records. */
int answers_write(struct job *j, posting_fn emit, void *arg)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < j->said_count; i++) {
		struct said *s = &j->said[i];
		uint8_t cleared_key[CLEARED_KEY_BYTES], val[4 + CODE_ANSWER_BYTES];
		struct cleared row;

		if (!s->counts && code_pending_row(&j->txn, s->route, s->answer.key, j->day.day, &row, cleared_key)) {
			const char *field;
			struct tap tap;

			s->counts = tap_decode(row.raw, row.raw_bytes, &tap, &field) == 0 && code_answer_fits(s->route, &s->answer, &tap);
			if (s->counts)
				code_answer_post(s->route, &s->answer, &row, emit, arg);
		}
		if (!s->counts)
			continue;
		be32_put(val, (uint32_t)j->day.day);
		code_answer_put(&s->answer, val + 4);
		ret = j->sink->put(j->sink, DB_ANSWER, s->answer.key, TAP_KEY_BYTES, val, sizeof(val));
	}
	return ret != 0 ? ret : j->txn.error;
}
