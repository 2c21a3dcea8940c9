/*
 * clear_judge - the final verdict of every record, in an order that has nothing of their arrival: each alone, then
 * those of one business key; those of one card's counter are judged by clear_numbers.c.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum verdict judge_work(const struct job *j, const struct work *w, const struct tap *tap, enum seen_before seen)
{
	const struct tariff *t = tap->time_ms < service_day_ms(w->from->arrived, DAY_CUT_S_DEFAULT) ? refdata_tariff(j->ref, tap->time_ms) : NULL;
	struct judge_limits limits;
	struct judge_input in = { .tap = tap, .check = (enum key_check)w->check, .device = w->from->device, .seen = seen,
				  .future = w->future, .refused = w->refused,
				  .card = (enum card_standing)w->card, .open_day = w->from->arrived, .cut_s = DAY_CUT_S_DEFAULT,
				  .limits = &judge_limits_default };

	if (t != NULL) {
		limits = judge_limits_default;
		limits.too_old_days = tariff_late(t).hard_days;
		in.limits = &limits;
	}
	work_reference(j, w, tap, &in.terminal, &in.issuer);
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

void judge_alone(struct job *j, struct work *w, const struct tap *tap)
{
	card_look(j, w, tap);
	w->check = (uint8_t)refdata_check_of(j->ref, tap, (enum key_check)w->check);
	w->verdict = (uint8_t)judge_work(j, w, tap, SEEN_NO);
	w->keyed = speaks_for_key((enum verdict)w->verdict);
}

/* ---- records of one business key -------------------------------------------------------------------------------- */

static int content_compare(const struct work *a, const struct work *b)
{
	size_t a_bytes = work_lie(a)->raw_bytes, b_bytes = work_lie(b)->raw_bytes, n = a_bytes < b_bytes ? a_bytes : b_bytes;
	uint8_t room[2][THIN_RECORD_ROOM];
	int order = memcmp(work_raw(a, room[0]), work_raw(b, room[1]), n);

	return order != 0 ? order : a_bytes < b_bytes ? -1 : a_bytes > b_bytes;
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
	order = key_order(a->key, b->key);
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
	return a->from->seq != b->from->seq ? (a->from->seq < b->from->seq ? -1 : 1) : a < b ? -1 : a > b;	/* those of one event lie in its order */
}

static struct rank key_rank(const struct work *w)
{
	return w->verdict == VERDICT_MALFORMED ? (struct rank){ UINT64_MAX, UINT32_MAX } : (struct rank){ be64_get(w->key), be32_get(w->key + 8) };
}

static enum seen_before seen_in_group(const struct work *first, const struct work *w, bool earlier)
{
	bool grey = w->check == KEY_CHECK_GREY;

	if (w == first)
		return !earlier ? SEEN_NO : grey ? SEEN_GREY_RECOVERED : SEEN_SAME;
	if (grey && first->check != KEY_CHECK_GREY)
		return SEEN_GREY_RECOVERED;
	return content_compare(first, w) == 0 || earlier ? SEEN_SAME : SEEN_OTHER;
}

static bool same_key(const struct work *a, const struct work *b)
{
	return key_same(a->key, b->key) && (a->verdict == VERDICT_MALFORMED) == (b->verdict == VERDICT_MALFORMED);
}

static void judge_group(struct job *j, struct work *const *list, size_t n, bool earlier)
{
	for (size_t k = 0; (n > 1 || earlier) && k < n && list[k]->keyed; k++) {
		struct work *w = list[k];
		uint8_t room[THIN_RECORD_ROOM];
		struct tap tap;

		if (!w->released && work_tap(w, room, &tap))
			w->verdict = (uint8_t)judge_work(j, w, &tap, seen_in_group(list[0], w, earlier));
	}
}

/* Those of a part that are keyed, from the place in the list of numbers at which the part begins. */
struct groups { struct cut cut; size_t keyed[PARTS_MAX]; };

static size_t keyed_list(struct job *own, size_t from, size_t end, size_t to)
{
	for (size_t i = from; i < end; i++)
		if (own->order[i]->keyed)
			own->ranked[to++] = number_ranked(own, own->order[i]);
	return to;
}

/* Records of other days with the key count, the day itself does not: a clear may run twice. */
static int groups_part(struct job *own, void *arg, unsigned part)
{
	struct groups *g = arg;
	const struct cut *c = &g->cut;
	struct decided days = { 0 };
	size_t to = c->at[part];

	for (size_t i = c->at[part], n, end = c->at[part + 1]; i < end; i += n) {
		struct work *first = own->order[i];
		int32_t day;

		for (n = 1; i + n < end && same_key(own->order[i + n], first); n++)
			own->order[i + n]->nth = (uint16_t)n;
		to = keyed_list(own, i, i + n, to);
		if (first->keyed)
			judge_group(own, own->order + i, n, decided_before(&own->txn, &days, first->key, own->day.day, &day));
	}
	decided_done(&days);
	g->keyed[part] = to - c->at[part];
	return own->txn.error;
}

static int judge_keys(struct job *j)
{
	struct groups g = { 0 };
	int ret = span_new(j, j->count * sizeof(struct ranked), &j->numbers);

	if (ret != 0)
		return ret;
	j->ranked = j->numbers.p;
	list_cut(j->order, j->count, parts_wanted(j->count, PART_RECORDS_MIN), same_key, &g.cut);
	ret = parts_run(j, g.cut.parts, groups_part, &g);
	for (unsigned i = 0; i < g.cut.parts; i++) {
		memmove(j->ranked + j->number_count, j->ranked + g.cut.at[i], g.keyed[i] * sizeof(struct ranked));
		j->number_count += g.keyed[i];
	}
	return ret;
}

int clear_judge(struct job *j)
{
	int ret = span_new(j, j->count * sizeof(struct work *), &j->orders);

	if (ret != 0)
		return ret;
	j->order = j->orders.p;
	ret = works_order(j, key_rank, canonical_compare);
	if (ret == 0)
		ret = judge_keys(j);
	return ret == 0 ? numbers_judge(j) : ret;
}
