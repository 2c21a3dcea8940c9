/*
 * clear_persons - the persons of a day, some hundred records a piece: rated, and their rows of the day made. A person's rides
 * are rated one after the other, and no person's with another's; so pieces are made side by side by whichever thread is free, and what
 * they leave is taken in their order. A record is looked at by all of this while it is in the processor's cache.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>

#define RECORDS_PER_PIECE 512		/* more of one person stay together */

/* The records by person and time, and those asked for, cut into pieces between persons. */
struct persons { struct job *job; struct { size_t list, asked; } *cut; size_t pieces; };
struct person_tool { struct results *results; struct ridden_maker *maker; };	/* results: the job's to free */
struct person_piece { struct ridden_rows rows; struct adjustment *adjust; size_t adjusts, adjust_space; };

/* ---- made --------------------------------------------------------------------------------------------------------- */

static int tool_new(const struct job *own, void *arg, void **ret)
{
	struct persons *p = arg;
	struct person_tool *t = calloc(1, sizeof(*t));
	int code = t == NULL ? -ENOMEM : results_new(&t->results);

	*ret = t;
	if (code != 0)
		return code;
	p->job->part[own->thread] = t->results;
	return ridden_maker_new(&t->maker);
}

static void tool_free(void *tool)
{
	struct person_tool *t = tool;

	if (t != NULL)
		ridden_maker_free(t->maker);
	free(t);
}

static void piece_done(void *piece)
{
	struct person_piece *p = piece;

	free(p->rows.p);
	free(p->adjust);
}

/* What the row says of a record that is no ride. */
static int other_say(struct job *own, struct work *w)
{
	const struct tap *tap = NULL;
	uint8_t room[THIN_RECORD_ROOM];
	struct cleared row;
	struct tap read;

	if (work_tap(w, room, &read))
		tap = &read;
	row_start(own, w, tap, &row);
	return results_add(own->results, &row, tap, &w->result);
}

/* Those that are in no list by person: any part of the records as they were collected. */
static int others_say(struct job *own, size_t from, size_t end)
{
	int ret = 0;

	for (size_t i = from; ret == 0 && i < end; i++)
		if (!own->work[i].keyed)
			ret = other_say(own, &own->work[i]);
	return ret;
}

/* Which of a person's records are rides, and which of those come too late for others to be rated with them. */
static int rides_mark(struct job *own, struct work *const *list, size_t count)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < count; i++) {
		struct work *w = list[i];

		w->rated = rateable(w);
		if (w->rated)
			w->alone = is_alone(own, w);
		else
			ret = other_say(own, w);
	}
	return ret;
}

/* The next person's records from i on, and that he is asked for; with no more records, or a lower handle, asked alone. */
struct next { uint64_t person; size_t count; bool asked; };

static struct next person_next(const struct job *own, size_t i, size_t end, size_t asked, size_t asked_end)
{
	struct next n = { .person = i < end ? own->number[i]->person : UINT64_MAX };

	if (asked < asked_end && (i == end || own->asked[asked] <= n.person)) {
		n.person = own->asked[asked];
		n.asked = true;
	}
	while (i + n.count < end && own->number[i + n.count]->person == n.person)
		n.count++;
	return n;
}

static int person_make(struct job *own, struct person_tool *t, struct work *const *list, const struct next *n, struct ridden_rows *rows)
{
	struct rider_state state;
	bool has;
	int ret = rides_mark(own, list, n->count);

	if (ret == 0)
		ret = n->count > 0 ? person_rate(own, list, n->count, n->asked, &state, &has) : asked_rate(own, n->person, &state, &has);
	return ret == 0 ? ridden_make(own, t->maker, n->person, list, n->count, has ? &state : NULL, rows) : ret;
}

static int piece_make(struct job *own, void *arg, void *tool, size_t nth, void *piece)
{
	const struct persons *p = arg;
	struct person_tool *t = tool;
	struct person_piece *made = piece;
	size_t i = p->cut[nth].list, end = p->cut[nth + 1].list, asked = p->cut[nth].asked, asked_end = p->cut[nth + 1].asked;
	size_t share = own->count / p->pieces, touched = i;
	int ret = 0;

	own->results = t->results;
	own->adjust = made->adjust;
	own->adjust_space = made->adjust_space;
	own->adjust_count = made->rows.n = 0;
	for (struct next n; ret == 0 && (i < end || asked < asked_end); i += n.count, asked += n.asked) {
		if (i >= touched && i < end)
			touched = i + rides_touch(own, own->number + i, end - i < TOUCHED ? end - i : TOUCHED);
		n = person_next(own, i, end, asked, asked_end);
		ret = person_make(own, t, n.count > 0 ? own->number + i : NULL, &n, &made->rows);	/* in a trial there may be no list */
	}
	if (ret == 0)
		ret = others_say(own, share * nth, nth + 1 == p->pieces ? own->count : share * (nth + 1));
	made->adjust = own->adjust;
	made->adjusts = own->adjust_count;
	made->adjust_space = own->adjust_space;
	return ret != 0 ? ret : own->txn.error;
}

/* ---- taken -------------------------------------------------------------------------------------------------------- */

static int piece_take(void *arg, void *piece)
{
	struct persons *p = arg;
	struct person_piece *made = piece;
	struct job *j = p->job;

	for (size_t i = 0; i < made->adjusts; i++) {
		struct adjustment *wide = grown(j->adjust, &j->adjust_space, j->adjust_count + 1, sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		j->adjust = wide;
		wide[j->adjust_count++] = made->adjust[i];
	}
	return ridden_put(j, &made->rows);
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

static size_t asked_from(const struct job *j, uint64_t person)
{
	size_t low = 0, high = j->asked_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (j->asked[mid] < person)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Those asked for who have no records go with the piece before the next person that has some. */
static int persons_cut(const struct job *j, struct persons *p)
{
	p->cut = malloc((j->number_count / RECORDS_PER_PIECE + 3) * sizeof(p->cut[0]));
	if (p->cut == NULL)
		return -ENOMEM;
	p->cut[0].list = p->cut[0].asked = 0;
	for (size_t i = 0; i < j->number_count || p->pieces == 0; p->pieces++) {
		i = i + RECORDS_PER_PIECE < j->number_count ? i + RECORDS_PER_PIECE : j->number_count;
		while (i > 0 && i < j->number_count && j->number[i]->person == j->number[i - 1]->person)
			i++;
		p->cut[p->pieces + 1].list = i;
		p->cut[p->pieces + 1].asked = i < j->number_count ? asked_from(j, j->number[i]->person) : j->asked_count;
	}
	return 0;
}

int clear_rate(struct job *j)
{
	static const struct pieces pieces = { tool_new, tool_free, piece_make, piece_take, sizeof(struct person_piece), piece_done };
	struct persons p = { .job = j };
	int ret = clear_asked(j);

	if (ret == 0)
		ret = persons_cut(j, &p);
	if (ret == 0)
		ret = pieces_run(j, &pieces, &p, p.pieces);
	if (ret == 0)
		ret = ridden_put_end(j);
	for (unsigned i = 0; ret == 0 && i < CLEAR_THREADS_MAX && j->part[i] != NULL; i++)
		ret = results_join(j->results, j->part[i]);
	free(p.cut);
	return ret;
}
