/*
 * clear_judge - the final verdict of every record, in an order that has nothing of their arrival: each alone, then
 * those of one business key, then those of one card's counter.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum verdict judge_work(const struct job *j, const struct work *w, const struct tap *tap, enum seen_before seen)
{
	const struct tariff *t = service_day_of_ms(tap->time_ms, DAY_CUT_S_DEFAULT) < w->arrived ? refdata_tariff(j->ref, tap->time_ms) : NULL;
	struct judge_limits limits = judge_limits_default;
	struct judge_input in = { .tap = tap, .check = (enum key_check)w->check, .device = w->device, .seen = seen,
				  .future = (w->bits & EVENT_BIT_FUTURE) != 0, .refused = w->refused,
				  .card = (enum card_standing)w->card, .open_day = w->arrived, .cut_s = DAY_CUT_S_DEFAULT,
				  .limits = &limits };

	if (t != NULL)
		limits.too_old_days = tariff_late(t).hard_days;
	in.terminal = refdata_terminal(j->ref, tap->terminal, tap->time_ms);
	in.issuer = refdata_issuer(j->ref, tap->issuer, tap->time_ms);
	in.blacklisted = refdata_blacklisted(j->ref, tap->pan, tap->time_ms);
	return judge(&in);
}

/* Verdicts that stand before the search for duplicates: such a record never speaks for its business key. */
static bool speaks_for_key(enum verdict v)
{
	return v != VERDICT_MALFORMED && v != VERDICT_TERMINAL_UNKNOWN && v != VERDICT_TERMINAL_MISMATCH && v != VERDICT_TEST && v != VERDICT_BAD_MAC &&
	       v != VERDICT_PENDING_TAC;
}

static void card_look(struct job *j, struct work *w, const struct tap *tap)
{
	struct card_life life;

	if (!j->cards || !card_life_at(&j->txn, tap->pan, j->day.cut_seq, tap->time_ms, &life))
		return;
	w->card = (uint8_t)card_stands(&life, tap);
	w->generation = life.generation;
}

static void judge_alone(struct job *j)
{
	for (size_t i = 0; i < j->count; i++) {
		struct work *w = &j->work[i];
		struct tap tap;

		if (w->verdict == VERDICT_MALFORMED || w->released || !work_tap(w, &tap))
			continue;
		card_look(j, w, &tap);
		w->check = (uint8_t)refdata_check_of(j->ref, &tap, (enum key_check)w->check);
		w->verdict = (uint8_t)judge_work(j, w, &tap, SEEN_NO);
		w->keyed = speaks_for_key((enum verdict)w->verdict);
	}
}

/* Records of other days with this business key. The day itself does not count: a clear may run twice. */
static bool key_of_earlier_day(struct job *j, const uint8_t key[TAP_KEY_BYTES])
{
	int32_t day;

	return key_decided(&j->txn, key, j->day.day, &day);
}

static int content_compare(const struct work *a, const struct work *b)
{
	size_t n = a->raw_bytes < b->raw_bytes ? a->raw_bytes : b->raw_bytes;
	int order = memcmp(a->raw, b->raw, n);

	return order != 0 ? order : a->raw_bytes < b->raw_bytes ? -1 : a->raw_bytes > b->raw_bytes;
}

/* Canonical order: class, key, the released one and spokesmen first, the verified before the grey, then content. Two records that
 * still compare equal are equal in everything but their arrival, which is the last resort. */
static int canonical_compare(const void *pa, const void *pb)
{
	const struct work *a = *(struct work *const *)pa, *b = *(struct work *const *)pb;
	bool a_grey = a->check == KEY_CHECK_GREY, b_grey = b->check == KEY_CHECK_GREY;
	int order;

	if ((a->verdict == VERDICT_MALFORMED) != (b->verdict == VERDICT_MALFORMED))
		return a->verdict == VERDICT_MALFORMED ? 1 : -1;
	order = memcmp(a->key, b->key, TAP_KEY_BYTES);
	if (order != 0)
		return order;
	if (a->released != b->released)
		return a->released ? -1 : 1;
	if (a->keyed != b->keyed)
		return a->keyed ? -1 : 1;
	if (a_grey != b_grey)
		return a_grey ? 1 : -1;
	order = content_compare(a, b);
	if (order != 0)
		return order;
	return a->seq != b->seq ? (a->seq < b->seq ? -1 : 1) : (int)a->at - (int)b->at;
}

static struct rank key_rank(const struct work *w)
{
	return w->verdict == VERDICT_MALFORMED ? (struct rank){ UINT64_MAX, UINT64_MAX } : (struct rank){ be64_get(w->key), be64_get(w->key + 8) };
}

static enum seen_before seen_in_group(struct job *j, const struct work *first, const struct work *w, bool earlier)
{
	bool grey = w->check == KEY_CHECK_GREY;

	(void)j;
	if (w == first)
		return !earlier ? SEEN_NO : grey ? SEEN_GREY_RECOVERED : SEEN_SAME;
	if (grey && first->check != KEY_CHECK_GREY)
		return SEEN_GREY_RECOVERED;
	return content_compare(first, w) == 0 || earlier ? SEEN_SAME : SEEN_OTHER;
}

static void judge_groups(struct job *j)
{
	for (size_t i = 0, n; i < j->count; i += n) {
		struct work *first = j->order[i];
		bool earlier;

		for (n = 1; i + n < j->count && memcmp(j->order[i + n]->key, first->key, TAP_KEY_BYTES) == 0 &&
			    (j->order[i + n]->verdict == VERDICT_MALFORMED) == (first->verdict == VERDICT_MALFORMED); n++)
			j->order[i + n]->nth = (uint16_t)n;
		if (!first->keyed)
			continue;
		earlier = key_of_earlier_day(j, first->key);
		for (size_t k = 0; (n > 1 || earlier) && k < n && j->order[i + k]->keyed; k++) {
			struct work *w = j->order[i + k];
			struct tap tap;

			if (!w->released && work_tap(w, &tap))
				w->verdict = (uint8_t)judge_work(j, w, &tap, seen_in_group(j, first, w, earlier));
		}
	}
}

bool counts_for_counter(const struct work *w)
{
	return w->counter != 0 && w->keyed && w->check != KEY_CHECK_GREY && w->verdict != VERDICT_DUPLICATE && w->verdict != VERDICT_CONFLICT &&
	       w->verdict != VERDICT_EVENT;
}

/* By card number, though in no order of them that a person would see: the last digits tell most apart. */
static struct rank number_rank(const struct work *w)
{
	return (struct rank){ be64_get(w->pan), (uint64_t)be16_get(w->pan + 8) << 48 | (uint64_t)w->generation << 40 | (uint64_t)w->counter << 24 };
}

static int counter_compare(const void *pa, const void *pb)
{
	const struct work *a = *(struct work *const *)pa, *b = *(struct work *const *)pb;
	int order = memcmp(a->pan, b->pan, sizeof(a->pan));

	if (order == 0 && a->generation != b->generation)
		order = a->generation < b->generation ? -1 : 1;
	if (order == 0 && a->counter != b->counter)
		order = a->counter < b->counter ? -1 : 1;
	if (order == 0 && a->time_ms != b->time_ms)
		order = a->time_ms < b->time_ms ? -1 : 1;
	return order != 0 ? order : memcmp(a->key, b->key, TAP_KEY_BYTES);
}

/* The records of one card number, in order. The first in time speaks for its counter, another TAC under it is a clone's. */
static void judge_number(struct job *j, struct work *const *list, size_t count)
{
	const struct work *first = NULL;

	for (size_t i = 0; i < count; i++) {
		struct work *w = list[i];
		struct tap tap;
		bool again = first != NULL && first->counter == w->counter && first->generation == w->generation;

		if (!counts_for_counter(w))
			continue;
		if (!again)
			first = w;
		if ((again ? memcmp(first->tac, w->tac, 4) != 0 : w->repeated) && work_tap(w, &tap))
			w->verdict = (uint8_t)judge_work(j, w, &tap, SEEN_COUNTER);
	}
}

/* The second key: card and counter. */
static int judge_counters(struct job *j)
{
	struct work **list = malloc((j->count + 1) * sizeof(struct work *));
	size_t count = 0;
	int ret = 0;

	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < j->count; i++)
		if (j->work[i].keyed)
			list[count++] = &j->work[i];
	ret = works_sort(list, count, number_rank, counter_compare);
	for (size_t i = 0, n; ret == 0 && i < count; i += n) {
		for (n = 1; i + n < count && memcmp(list[i + n]->pan, list[i]->pan, sizeof(list[i]->pan)) == 0; n++)
			;
		ret = bearer_add(j, list[i]->pan);
		if (ret == 0)
			ret = counters_look(j, &list[i], n);
		if (ret == 0)
			judge_number(j, &list[i], n);
	}
	free(list);
	return ret != 0 ? ret : j->txn.error;
}

int clear_judge(struct job *j)
{
	int ret;

	j->cards = txn_any(&j->txn, DB_CARD);
	j->ridden = txn_any(&j->txn, DB_RIDDEN);
	judge_alone(j);
	ret = works_sort(j->order, j->count, key_rank, canonical_compare);
	if (ret != 0)
		return ret;
	judge_groups(j);
	return judge_counters(j);
}
