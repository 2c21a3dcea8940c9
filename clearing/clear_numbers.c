/*
 * clear_numbers - the records of each card number: judged by its counter, and laid by whose they are. What has to be known of a
 * number, whose it is and its highest counter, is looked up once for all its records. They lie all over memory, and finding a line of it
 * takes longer than judging it: so all that is asked of a record beside others of its number is done while it is at hand.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/pages.h"

bool counts_for_counter(const struct work *w)
{
	return w->counter != 0 && w->keyed && w->check != KEY_CHECK_GREY && w->verdict != VERDICT_DUPLICATE && w->verdict != VERDICT_CONFLICT &&
	       w->verdict != VERDICT_EVENT;
}

/* A number without its first digit, then what orders the records of one. */
struct ranked number_ranked(const struct job *j, const struct work *w)
{
	return (struct ranked){ card_person(w->pan), (uint32_t)w->generation << 16 | w->counter, (uint32_t)(w - j->work) };
}

static int counter_compare(const void *pa, const void *pb)
{
	const struct work *a = *(struct work *const *)pa, *b = *(struct work *const *)pb;
	int order = memcmp(a->pan, b->pan, sizeof(a->pan));

	if (order == 0 && a->generation != b->generation)
		order = a->generation < b->generation ? -1 : 1;
	if (order == 0 && a->counter != b->counter)
		order = a->counter < b->counter ? -1 : 1;
	if (order == 0 && work_time(a) != work_time(b))
		order = work_time(a) < work_time(b) ? -1 : 1;
	return order != 0 ? order : key_order(a->key, b->key);
}

static bool tacs_differ(const struct work *a, const struct work *b)
{
	uint8_t room[2][THIN_RECORD_ROOM];
	struct tap x, y;

	return work_tap(a, room[0], &x) && work_tap(b, room[1], &y) && memcmp(x.tac, y.tac, sizeof(x.tac)) != 0;
}

/* The records of one card number, in order. The first in time speaks for its counter, another TAC under it is a clone's. */
static void judge_number(struct job *j, struct work *const *list, size_t count)
{
	const struct work *first = NULL;

	for (size_t i = 0; i < count; i++) {
		struct work *w = list[i];
		uint8_t room[THIN_RECORD_ROOM];
		struct tap tap;
		bool again = first != NULL && first->counter == w->counter && first->generation == w->generation;

		if (!counts_for_counter(w))
			continue;
		if (!again)
			first = w;
		if ((again ? tacs_differ(first, w) : w->repeated) && work_tap(w, room, &tap))
			w->verdict = (uint8_t)judge_work(j, w, &tap, SEEN_COUNTER);
	}
}

/* ---- by person ---------------------------------------------------------------------------------------------------- */

static int ride_compare(const void *pa, const void *pb)
{
	const struct work *a = *(struct work *const *)pa, *b = *(struct work *const *)pb;

	if (a->person != b->person)
		return a->person < b->person ? -1 : 1;
	if (work_time(a) != work_time(b))
		return work_time(a) < work_time(b) ? -1 : 1;
	return key_order(a->key, b->key);
}

static struct rank person_rank(const struct work *w) { return (struct rank){ w->person, (uint32_t)(work_time(w) / 1000) }; }

static int rides_sort(struct job *j, struct work **list, size_t count) { return works_sort(j, list, count, person_rank, ride_compare); }

/* The records of one card number lie in the order of its counter, which is that of time but for clocks that differ. */
static int number_sort(struct job *j, struct work **list, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (ride_compare(&list[i - 1], &list[i]) > 0)
			return rides_sort(j, list, count);
	return 0;
}

/* A part of the numbers: how many records of cards that nobody registered lie at its beginning then, and how many of others beside it. */
struct sifting { struct cut cut; struct work **others; size_t own[PARTS_MAX], registered[PARTS_MAX]; };

static bool same_number(const struct work *a, const struct work *b) { return pan_same(a->pan, b->pan); }

static bool same_handle(const struct work *a, const struct work *b) { return card_person(a->pan) == card_person(b->pan); }

/* How many of a list are of its first one's number; those ahead of it are on their way. */
static size_t number_count(struct work *const *list, size_t i, size_t end, size_t *touched)
{
	size_t n = 0;

	do {
		n++;
		if (i + n >= *touched)
			*touched = works_touch(list, i + n, TOUCHED, end);
	} while (i + n < end && same_number(list[i], list[i + n]));
	return n;
}

static int number_judge(struct job *j, struct work *const *list, size_t count)
{
	int ret = bearer_look(j, list, count);

	if (ret == 0)
		judge_number(j, list, count);
	return ret;
}

/*
 * Numbers of registered persons. What days before left lies by person, which is no order of numbers; so it is looked up when all of a part are
 * known, one person after the other.
 */
struct laters { struct ranked *list; size_t count, space; };	/* of a number: its person, where its records begin among the others, how many */
#define LATER_TOUCHED 64

static int later_add(struct laters *l, uint64_t person, size_t at, size_t count)
{
	struct ranked *wide = grown(l->list, &l->space, l->count + 1, sizeof(*wide));

	if (wide == NULL)
		return -ENOMEM;
	l->list = wide;
	l->list[l->count++] = (struct ranked){ person, (uint32_t)at, (uint32_t)count };
	return 0;
}

static int laters_judge(struct job *own, struct work *const *others, const struct laters *l)
{
	struct ranked *room = malloc((l->count + 1) * sizeof(*room));
	const struct ranked *sorted;
	int ret = room == NULL ? -ENOMEM : 0;

	if (ret != 0)
		return ret;
	sorted = ranks_sort(l->list, room, l->count);
	for (size_t i = 0; ret == 0 && i < l->count; i++) {
		for (size_t k = i; i % LATER_TOUCHED == 0 && k < l->count && k < i + LATER_TOUCHED; k++)
			touch(others[sorted[k].low]);
		ret = number_judge(own, others + sorted[i].low, sorted[i].place);
	}
	free(room);
	return ret;
}

/* The numbers of a part have their places side by side. */
static int numbers_part(struct job *own, void *arg, unsigned part)
{
	struct sifting *s = arg;
	struct work **list = own->number + s->cut.at[part], **others = s->others + s->cut.at[part];
	size_t end = s->cut.at[part + 1] - s->cut.at[part], touched = works_touch(list, 0, TOUCHED, end), from = 0, count = 0, registered = 0;
	uint32_t place = (uint32_t)s->cut.at[part];
	struct laters laters = { 0 };
	int ret = 0;

	for (size_t i = 0, n; ret == 0 && i < end; i += n) {
		n = number_count(list, i, end, &touched);
		ret = bearer_find(own, list + i, n, ++place);
		if (ret == 0 && list[i]->person >> 63 != 0) {
			memcpy(others + registered, list + i, n * sizeof(*list));
			ret = later_add(&laters, list[i]->person, registered, n);
			registered += n;
			continue;
		}
		if (ret == 0)
			ret = number_judge(own, list + i, n);
		if (ret == 0 && from < count && list[from]->person != list[i]->person) {
			ret = number_sort(own, list + from, count - from);
			from = count;
		}
		memmove(list + count, list + i, n * sizeof(*list));
		count += n;
	}
	if (ret == 0)
		ret = laters_judge(own, others, &laters);
	free(laters.list);
	s->own[part] = count;
	s->registered[part] = registered;
	return ret != 0 ? ret : number_sort(own, list + from, count - from);
}

/* A card that nobody registered is its own person: its records, by card number, are by person already, and stay where their numbers
 * lie. Those of registered persons, whose handles are above, are sorted behind them. */
static int persons_lay(struct job *j, const struct sifting *s)
{
	size_t own = 0, count;

	for (unsigned i = 0; i < s->cut.parts; own += s->own[i++])
		memmove(j->number + own, j->number + s->cut.at[i], s->own[i] * sizeof(*s->others));
	count = own;
	for (unsigned i = 0; i < s->cut.parts; count += s->registered[i++])
		memcpy(j->number + count, s->others + s->cut.at[i], s->registered[i] * sizeof(*s->others));
	return rides_sort(j, j->number + own, count - own);
}

int numbers_judge(struct job *j)
{
	struct sifting s = { 0 };
	struct span memory;
	int ret;

	j->number = j->numbers.p;
	ret = ranked_sort(j, j->ranked, j->number_count, counter_compare, j->number);
	if (ret == 0)
		ret = span_new(j, j->number_count * sizeof(struct bearer), &j->bearers);
	if (ret == 0)
		ret = span_new(j, j->number_count * sizeof(*s.others), &memory);
	if (ret != 0)
		return ret;
	j->bearer = j->bearers.p;
	s.others = memory.p;
	list_cut(j->number, j->number_count, parts_wanted(j->number_count, PART_RECORDS_MIN), same_handle, &s.cut);
	ret = parts_run(j, s.cut.parts, numbers_part, &s);
	if (ret == 0)
		ret = persons_lay(j, &s);
	span_free(j, &memory);
	return ret;
}
