/*
 * clear_ridden - the persons of a day's card numbers: what their rows before say of counters, and their rows of this day.
 *
 * A counter above all that were seen of its number is new; only for one that is not, the records before are looked at.
 * The highest is carried in the rows of the number's person. When a number becomes another person's, the new person's
 * first row takes it over from all the handles the number had.
 */
#include "clearing/clear.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/ridden.h"

/* ---- a card number and whose it is ---------------------------------------------------------------------------- */

static int seq_at_cut(struct job *j, int32_t day, uint64_t *ret_seq)
{
	struct day_row row;

	if (j->cut_seq == 0 || j->cut_day != day) {
		if (!day_get(&j->txn, day, &row))
			return CLEARING_E_STORE;
		j->cut_day = day;
		j->cut_seq = row.cut_seq;
	}
	*ret_seq = j->cut_seq;
	return 0;
}

/* Some registration since that day's cut made the number another person's, though it may be his again. Mostly the newest is older. */
static int moved_since(struct job *j, const struct bearer *b, int32_t day, bool *ret_moved)
{
	uint8_t key[18];
	struct iter it;
	uint64_t seq;
	int ret = seq_at_cut(j, day, &seq);

	*ret_moved = false;
	if (ret != 0 || b->registered_seq <= seq)
		return ret;
	memcpy(key, b->pan, 10);
	be64_put(key + 10, seq + 1);
	iter_open(&j->txn, DB_PERSON, b->pan, 10, &it);
	for (bool on = iter_seek(&it, key, sizeof(key)); on && !*ret_moved; on = iter_next(&it))
		*ret_moved = it.key_bytes == 18 && it.val_bytes >= 8 && be64_get(it.key + 10) <= j->day.cut_seq &&
			     (be64_get(it.val) | 1ULL << 63) != b->person;
	iter_close(&it);
	return j->txn.error;
}

struct highest { struct job *j; struct bearer *bearer; };

static int highest_of(void *arg, uint64_t handle)
{
	const struct highest *h = arg;
	struct ridden_card card;
	struct ridden row;

	if (ridden_before(&h->j->txn, handle, h->j->day.day - 1, &row) && ridden_card_of(&row, h->bearer->pan, &card) && card.highest > h->bearer->highest)
		h->bearer->highest = card.highest;
	return h->j->txn.error;
}

static int bearer_before(struct job *j, struct bearer *b)
{
	bool registered = b->person >> 63 != 0, known = false, moved = false;
	struct ridden_card card;
	struct ridden row;
	int ret = 0;

	if (ridden_before(&j->txn, b->person, j->day.day - 1, &row)) {
		b->day = row.day;
		b->val = row.val;
		b->val_bytes = (uint32_t)row.bytes;
		known = ridden_card_of(&row, b->pan, &card);
	}
	if (known)
		b->highest = card.highest;
	if (known && registered)
		ret = moved_since(j, b, card.day, &moved);
	if (ret == 0 && registered && (moved || !known))
		ret = card_handles(&j->txn, b->pan, j->day.cut_seq, highest_of, &(struct highest){ j, b });
	return ret != 0 ? ret : j->txn.error;
}

/* The person's row before this day; false: none, or txn.error is set. */
static bool bearer_row(struct job *j, const struct work *w, struct ridden *ret)
{
	const struct bearer *b = w->bearer != 0 ? &j->bearer[w->bearer - 1] : NULL;

	if (b == NULL)
		return ridden_before(&j->txn, w->person, j->day.day - 1, ret);
	return b->val != NULL && ridden_open_head(b->person, b->day, b->val, b->val_bytes, ret);	/* it was whole before */
}

int bearer_state(struct job *j, const struct work *w, struct rider_state *ret)
{
	struct ridden row;

	*ret = (struct rider_state){ 0 };
	if (!bearer_row(j, w, &row))
		return j->txn.error;
	if (row.state_at != 0)
		return ridden_row_state(&row, ret) ? 0 : CLEARING_E_STORE;
	state_load(j, w->person, row.day - 1, ret);
	return j->txn.error;
}

/* ---- a counter that may have been used ------------------------------------------------------------------------ */

struct look { struct job *j; const struct bearer *bearer; struct work *const *list; size_t count; };

/* The record as its day keeps it. */
static int record_of(struct txn *t, int32_t day, const struct ridden_ride *ride, struct tap *ret)
{
	uint8_t key[CLEARED_KEY_BYTES];
	struct cleared row;
	const char *field;

	row_key(day, CLEARED_RIDE, ride->key, ride->nth, key);
	if (!row_get(t, key, &row) || tap_decode(row.raw, row.raw_bytes, ret, &field) != 0)
		return CLEARING_E_STORE;
	return 0;
}

/* Which physical card of the number rode at a time: a new one counts anew. */
static uint8_t generation_at(struct job *j, const uint8_t pan[10], int64_t at_ms)
{
	struct card_life life = { 0 };

	if (j->cards)
		card_life_at(&j->txn, pan, j->day.cut_seq, at_ms, &life);
	return life.generation;
}

static bool asks_for(const struct work *w, uint16_t counter) { return w->counter == counter && !w->repeated && counts_for_counter(w); }

/* A record of an earlier day: which of the new ones have its counter, of the same physical card, with another TAC. */
static int record_look(const struct look *l, int32_t day, const struct ridden_ride *ride)
{
	uint8_t room[THIN_RECORD_ROOM];
	struct tap tap, own;
	bool read = false;

	for (size_t i = 0; i < l->count; i++) {
		struct work *w = l->list[i];

		if (!asks_for(w, ride->counter))
			continue;
		if (!read && record_of(&l->j->txn, day, ride, &tap) != 0)
			return l->j->txn.error != 0 ? l->j->txn.error : CLEARING_E_STORE;
		read = true;
		w->repeated = work_tap(w, room, &own) && memcmp(tap.tac, own.tac, sizeof(own.tac)) != 0 && memcmp(tap.pan, w->pan, sizeof(w->pan)) == 0 &&
			      generation_at(l->j, w->pan, tap.time_ms) == w->generation;
	}
	return 0;
}

static int row_look(void *arg, struct ridden *row)
{
	const struct look *l = arg;
	struct ridden_ride ride;
	int ret = 0;

	while (ret == 0 && ridden_next(row, &ride))
		if ((ride.flags & RIDDEN_COUNTS) != 0 && memcmp(ridden_card_at(row, ride.card).pan, l->bearer->pan, 10) == 0)
			ret = record_look(l, row->day, &ride);
	return ret;
}

static int handle_look(void *arg, uint64_t handle)
{
	struct look *l = arg;

	return ridden_each(&l->j->txn, handle, l->j->day.day - 1, row_look, l);
}

int bearer_find(struct job *j, struct work *const *list, size_t count, uint32_t place)
{
	struct bearer *b = &j->bearer[place - 1];
	struct registration r;

	*b = (struct bearer){ .person = card_bearer(&j->txn, list[0]->pan, j->day.cut_seq, &r) };
	if (r.bytes > UINT16_MAX)	/* none of ours is that long */
		return CLEARING_E_STORE;
	b->registration = r.val;
	b->registration_bytes = (uint16_t)r.bytes;
	b->registered_seq = r.seq;
	memcpy(b->pan, list[0]->pan, sizeof(b->pan));
	for (size_t i = 0; i < count; i++) {
		list[i]->bearer = place;
		list[i]->person = b->person;
	}
	return j->txn.error;
}

int bearer_look(struct job *j, struct work *const *list, size_t count)
{
	struct bearer *b = &j->bearer[list[0]->bearer - 1];
	struct look l = { j, b, list, count };
	bool low = false;
	int ret = j->ridden ? bearer_before(j, b) : 0;

	for (size_t i = 0; i < count; i++)
		low = low || (list[i]->counter <= b->highest && counts_for_counter(list[i]));
	if (ret == 0 && low)
		ret = card_handles(&j->txn, b->pan, j->day.cut_seq, handle_look, &l);
	return ret != 0 ? ret : j->txn.error;
}

/* ---- a person's row of the day --------------------------------------------------------------------------------- */

struct ridden_maker {			/* memory that is used again */
	struct ridden_card *card; size_t cards, card_space;
	struct ridden_ride *ride; size_t ride_space;
};

int ridden_maker_new(struct ridden_maker **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret == NULL ? -ENOMEM : 0;
}

void ridden_maker_free(struct ridden_maker *m)
{
	if (m == NULL)
		return;
	free(m->card);
	free(m->ride);
	free(m);
}

static bool holds_counter(const struct work *w) { return counts_for_counter(w) && w->verdict != VERDICT_COUNTER_REPEATED; }

static int cards_carry(struct ridden_maker *m, const struct ridden *before)
{
	struct ridden_card *wide = grown(m->card, &m->card_space, before != NULL ? before->cards + 1u : 1, sizeof(*wide));

	if (wide == NULL)
		return -ENOMEM;
	m->card = wide;
	m->cards = 0;
	for (uint32_t i = 0; before != NULL && i < before->cards; i++)
		m->card[m->cards++] = ridden_card_at(before, i);
	return 0;
}

static int card_count(struct job *j, struct ridden_maker *m, const struct work *w, uint32_t *ret_card)
{
	uint16_t before = j->bearer[w->bearer - 1].highest, highest = before > w->counter ? before : w->counter;
	struct ridden_card *wide;
	size_t i = 0;

	while (i < m->cards && !pan_same(m->card[i].pan, w->pan))
		i++;
	if (i == m->cards) {
		wide = grown(m->card, &m->card_space, i + 1, sizeof(*wide));
		if (wide == NULL)
			return -ENOMEM;
		m->card = wide;
		m->card[m->cards++] = (struct ridden_card){ 0 };
		memcpy(m->card[i].pan, w->pan, sizeof(w->pan));
	}
	m->card[i].day = j->day.day;
	if (m->card[i].highest < highest)
		m->card[i].highest = highest;
	*ret_card = (uint32_t)i;
	return 0;
}

/* What was rated or counts, of a person's records. */
static int rides_make(struct job *j, struct ridden_maker *m, struct work *const *list, size_t count, size_t *ret_rides)
{
	struct ridden_ride *wide = grown(m->ride, &m->ride_space, count + 1, sizeof(*wide));
	int ret = 0;

	*ret_rides = 0;
	if (wide == NULL)
		return -ENOMEM;
	m->ride = wide;
	for (size_t i = 0; ret == 0 && i < count; i++) {
		const struct work *w = list[i];
		bool counts = holds_counter(w);
		struct ridden_ride *r;

		if (!w->rated && !counts)
			continue;
		r = &m->ride[(*ret_rides)++];
		*r = (struct ridden_ride){ .time_ms = work_time(w), .nth = w->nth, .counter = w->counter };
		memcpy(r->key, w->key, TAP_KEY_BYTES);
		r->flags = (uint8_t)((w->rated ? RIDDEN_RATED : 0) | (w->rated && w->alone ? RIDDEN_ALONE : 0) | (counts ? RIDDEN_COUNTS : 0));
		if (counts)
			ret = card_count(j, m, w, &r->card);
	}
	return ret;
}

#define ROW_HEAD_BYTES 12	/* of struct ridden_rows */

static int row_add(struct ridden_rows *to, const struct ridden_row *row)
{
	uint8_t *wide = grown(to->p, &to->space, to->n + ROW_HEAD_BYTES + ridden_bytes_max(row), 1), *at;
	size_t n;

	if (wide == NULL)
		return -ENOMEM;
	to->p = wide;
	at = to->p + to->n;
	n = ridden_encode(row, at + ROW_HEAD_BYTES);
	be64_put(at, row->person);
	be32_put(at + 8, (uint32_t)n);
	to->n += ROW_HEAD_BYTES + n;
	return 0;
}

int ridden_make(struct job *j, struct ridden_maker *m, uint64_t person, struct work *const *list, size_t count, const struct rider_state *state,
		struct ridden_rows *to)
{
	struct ridden_row row = { .person = person, .day = j->day.day, .before = DAY_NONE, .state = state };
	struct ridden before;
	bool any = count > 0 ? bearer_row(j, list[0], &before) : ridden_before(&j->txn, person, j->day.day - 1, &before);
	int ret = j->txn.error;

	if (ret == 0)
		ret = cards_carry(m, any ? &before : NULL);
	if (ret == 0)
		ret = rides_make(j, m, list, count, &row.rides);
	if (ret != 0 || (row.rides == 0 && state == NULL))
		return ret;
	if (any)
		row.before = before.day;
	row.card = m->card;
	row.cards = m->cards;
	row.ride = m->ride;
	return row_add(to, &row);
}

int ridden_put_end(struct job *j)
{
	uint8_t key[RIDDEN_KEY_BYTES];
	size_t rows = j->persons.rows;
	int ret;

	if (rows == 0)
		return 0;
	ridden_key(j->persons.first, j->day.day, key);
	ret = j->sink->put(j->sink, DB_PERSON_DAY, key, sizeof(key), j->persons.p, j->persons.n);
	person_block_empty(&j->persons);
	return ret != 0 ? ret : rows_put(j, rows);
}

int ridden_put(struct job *j, const struct ridden_rows *rows)
{
	int ret = 0;

	for (size_t at = 0, n; ret == 0 && j->sink != NULL && at < rows->n; at += ROW_HEAD_BYTES + n) {
		uint64_t person = be64_get(rows->p + at);

		n = be32_get(rows->p + at + 8);
		if (!person_block_takes(&j->persons, person, n))
			ret = ridden_put_end(j);
		if (ret == 0)
			ret = person_block_add(&j->persons, person, rows->p + at + ROW_HEAD_BYTES, n);
	}
	return ret;
}
