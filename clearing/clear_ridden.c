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

/* Some registration since that day's cut made the number another person's, though it may be his again. */
static int moved_since(struct job *j, const struct bearer *b, int32_t day, bool *ret_moved)
{
	uint8_t key[18];
	struct iter it;
	uint64_t seq;
	int ret = seq_at_cut(j, day, &seq);

	*ret_moved = false;
	if (ret != 0)
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
	return b->val != NULL && ridden_open(b->person, b->day, b->val, b->val_bytes, ret);
}

int bearer_state(struct job *j, const struct work *w, struct rider_state *ret)
{
	struct ridden row;

	*ret = (struct rider_state){ 0 };
	if (!bearer_row(j, w, &row))
		return j->txn.error;
	if (row.state_at != 0)
		rider_state_unpack(row.val + row.state_at, row.bytes - row.state_at, ridden_near_ms(row.day), ret);
	else
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
	struct tap tap, own;
	bool read = false;

	for (size_t i = 0; i < l->count; i++) {
		struct work *w = l->list[i];

		if (!asks_for(w, ride->counter))
			continue;
		if (!read && record_of(&l->j->txn, day, ride, &tap) != 0)
			return l->j->txn.error != 0 ? l->j->txn.error : CLEARING_E_STORE;
		read = true;
		w->repeated = work_tap(w, &own) && memcmp(tap.tac, own.tac, sizeof(own.tac)) != 0 && memcmp(tap.pan, w->pan, sizeof(w->pan)) == 0 &&
			      generation_at(l->j, w->pan, tap.time_ms) == w->generation;
	}
	return 0;
}

static int handle_look(void *arg, uint64_t handle)
{
	const struct look *l = arg;
	struct ridden_ride ride;
	struct ridden row;
	uint8_t prefix[8];
	struct iter it;
	int ret = 0;

	be64_put(prefix, handle);
	iter_open(&l->j->txn, DB_RIDDEN, prefix, sizeof(prefix), &it);
	while (ret == 0 && iter_next(&it)) {
		if (!ridden_read(&it, &row))
			ret = CLEARING_E_STORE;
		while (ret == 0 && row.day < l->j->day.day && ridden_next(&row, &ride))
			if ((ride.flags & RIDDEN_COUNTS) != 0 && memcmp(ridden_card_at(&row, ride.card).pan, l->bearer->pan, 10) == 0)
				ret = record_look(l, row.day, &ride);
	}
	iter_close(&it);
	return ret != 0 ? ret : l->j->txn.error;
}

int bearer_look(struct job *j, struct work *const *list, size_t count, uint32_t place)
{
	struct bearer *b = &j->bearer[place - 1];
	struct look l = { j, b, list, count };
	bool low = false;
	size_t n = 0;
	int ret = 0;

	*b = (struct bearer){ 0 };
	b->person = card_bearer(&j->txn, list[0]->pan, j->day.cut_seq, &b->registration, &n);
	b->registration_bytes = (uint32_t)n;
	memcpy(b->pan, list[0]->pan, sizeof(b->pan));
	if (j->txn.error == 0 && j->ridden)
		ret = bearer_before(j, b);
	for (size_t i = 0; i < count; i++) {
		list[i]->bearer = place;
		list[i]->person = b->person;
		low = low || (list[i]->counter <= b->highest && counts_for_counter(list[i]));
	}
	if (ret == 0 && low)
		ret = card_handles(&j->txn, b->pan, j->day.cut_seq, handle_look, &l);
	return ret != 0 ? ret : j->txn.error;
}

/* ---- the rows of the day -------------------------------------------------------------------------------------- */

#define LIST_PER_PIECE 512	/* records; more of one person stay together */

/* What was rated or counts, by person, time and key; the states of persons; both cut into pieces between persons. */
struct writing { struct job *j; struct work **list; size_t count; struct { size_t list, state; } *cut; size_t pieces; };
struct maker {				/* a thread's own */
	struct job *j;
	struct ridden_card *card; size_t cards, card_space;
	struct ridden_ride *ride; size_t ride_space;
};
struct ridden_piece { uint8_t *p; size_t n, space; };	/* rows: key, length 4, value */

static bool holds_counter(const struct work *w) { return counts_for_counter(w) && w->verdict != VERDICT_COUNTER_REPEATED; }

/* How many rides, of so many, come before w: from the last on in steps that double, then halved. */
static size_t rides_before(struct work *const *ride, size_t count, struct work *w)
{
	size_t low = 0, high = count;

	for (size_t step = 1; step <= high; step *= 2)
		if (ride_compare(&ride[high - step], &w) < 0) {
			low = high - step + 1;
			break;
		} else {
			high -= step;
		}
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ride_compare(&ride[mid], &w) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* What is no ride but counts comes between the rides, whose memory has room for all that are keyed. Its row in the day's list names no person. */
static int list_make(struct writing *m)
{
	struct job *j = m->j;
	size_t n = 0, rides = j->ride_count, most = j->number_count - rides;	/* what counts has a number */
	struct work **more;
	struct span memory;
	int ret = span_new(j, most * sizeof(*more), &memory);

	if (ret != 0)
		return ret;
	more = memory.p;
	for (size_t i = 0; i < j->count && n < most; i++)
		if (!j->work[i].rated && holds_counter(&j->work[i]))
			more[n++] = &j->work[i];
	ret = rides_sort(j, more, n);
	m->list = j->ride;
	m->count = rides + n;
	for (; ret == 0 && n > 0; n--) {
		size_t before = rides_before(m->list, rides, more[n - 1]);

		memmove(m->list + before + n, m->list + before, (rides - before) * sizeof(*m->list));
		m->list[before + n - 1] = more[n - 1];
		rides = before;
	}
	span_free(j, &memory);
	return ret;
}

static size_t state_from(const struct job *j, uint64_t person)
{
	size_t low = 0, high = j->state_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (j->state[mid]->person < person)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* A person's records and state come into one piece; a state without records goes with what is before the next person that has some. */
static int pieces_cut(struct writing *m)
{
	m->cut = malloc((m->count / LIST_PER_PIECE + 3) * sizeof(m->cut[0]));
	if (m->cut == NULL)
		return -ENOMEM;
	m->cut[0].list = m->cut[0].state = 0;
	for (size_t i = 0; i < m->count || m->pieces == 0; m->pieces++) {
		i = i + LIST_PER_PIECE < m->count ? i + LIST_PER_PIECE : m->count;
		while (i < m->count && m->list[i]->person == m->list[i - 1]->person)
			i++;
		m->cut[m->pieces + 1].list = i;
		m->cut[m->pieces + 1].state = i < m->count ? state_from(m->j, m->list[i]->person) : m->j->state_count;
	}
	return 0;
}

static int cards_carry(struct maker *m, const struct ridden *before)
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

static int card_count(struct maker *m, const struct work *w, uint32_t *ret_card)
{
	uint16_t before = m->j->bearer[w->bearer - 1].highest, highest = before > w->counter ? before : w->counter;
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
	m->card[i].day = m->j->day.day;
	if (m->card[i].highest < highest)
		m->card[i].highest = highest;
	*ret_card = (uint32_t)i;
	return 0;
}

static int rides_make(struct maker *m, struct work *const *list, size_t count)
{
	struct ridden_ride *wide = grown(m->ride, &m->ride_space, count + 1, sizeof(*wide));
	int ret = 0;

	if (wide == NULL)
		return -ENOMEM;
	m->ride = wide;
	for (size_t i = 0; ret == 0 && i < count; i++) {
		const struct work *w = list[i];
		struct ridden_ride *r = &m->ride[i];
		bool counts = holds_counter(w);

		*r = (struct ridden_ride){ .time_ms = work_time(w), .nth = w->nth, .counter = w->counter };
		memcpy(r->key, w->key, TAP_KEY_BYTES);
		r->flags = (uint8_t)((w->rated ? RIDDEN_RATED : 0) | (w->rated && w->alone ? RIDDEN_ALONE : 0) | (counts ? RIDDEN_COUNTS : 0));
		if (counts)
			ret = card_count(m, w, &r->card);
	}
	return ret;
}

/* Of a person: some records, a state (0 bytes: none), or both. */
static int person_make(struct maker *m, uint64_t person, struct work *const *list, size_t count, const uint8_t *state, size_t state_bytes,
		       struct ridden_piece *p)
{
	struct job *j = m->j;
	struct ridden before;
	bool any = count > 0 ? bearer_row(j, list[0], &before) : ridden_before(&j->txn, person, j->day.day - 1, &before);
	struct ridden_row row = { .person = person, .day = j->day.day, .state = state, .state_bytes = state_bytes, .rides = count };
	int ret = j->txn.error;
	uint8_t *wide;
	size_t n;

	if (ret == 0)
		ret = cards_carry(m, any ? &before : NULL);
	if (ret == 0)
		ret = rides_make(m, list, count);
	row.card = m->card;
	row.cards = m->cards;
	row.ride = m->ride;
	if (ret != 0)
		return ret;
	wide = grown(p->p, &p->space, p->n + RIDDEN_KEY_BYTES + 4 + ridden_bytes_max(&row), 1);
	if (wide == NULL)
		return -ENOMEM;
	p->p = wide;
	ridden_key(person, j->day.day, p->p + p->n);
	n = ridden_encode(&row, p->p + p->n + RIDDEN_KEY_BYTES + 4);
	be32_put(p->p + p->n + RIDDEN_KEY_BYTES, (uint32_t)n);
	p->n += RIDDEN_KEY_BYTES + 4 + n;
	return 0;
}

static int piece_make(struct job *own, void *arg, void *tool, size_t nth, void *piece)
{
	const struct writing *w = arg;
	struct maker *m = tool;
	struct ridden_piece *p = piece;
	size_t state = w->cut[nth].state, end = w->cut[nth + 1].list, state_end = w->cut[nth + 1].state;
	int ret = 0;

	m->j = own;
	p->n = 0;
	for (size_t i = w->cut[nth].list, n; ret == 0 && (i < end || state < state_end); i += n) {
		uint64_t person = i < end ? w->list[i]->person : UINT64_MAX;
		bool has;

		if (state < state_end && own->state[state]->person < person)
			person = own->state[state]->person;
		for (n = 0; i + n < end && w->list[i + n]->person == person; n++)
			persons_prefetch(own, w->list, i + n, end);
		has = state < state_end && own->state[state]->person == person;
		ret = person_make(m, person, n > 0 ? &w->list[i] : NULL, n, has ? own->state[state]->p : NULL, has ? own->state[state]->n : 0, p);
		state += has;
	}
	return ret;
}

static int piece_take(void *arg, void *piece)
{
	struct writing *w = arg;
	const struct ridden_piece *p = piece;
	struct sink *sink = w->j->sink;
	int ret = 0;

	for (size_t at = 0, n; ret == 0 && at < p->n; at += RIDDEN_KEY_BYTES + 4 + n) {
		n = be32_get(p->p + at + RIDDEN_KEY_BYTES);
		ret = sink->put(sink, DB_RIDDEN, p->p + at, RIDDEN_KEY_BYTES, p->p + at + RIDDEN_KEY_BYTES + 4, n);
		if (ret == 0)
			ret = rows_put(w->j, 1);
	}
	return ret;
}

static int maker_new(void *arg, void **ret)
{
	(void)arg;
	*ret = calloc(1, sizeof(struct maker));
	return *ret == NULL ? -ENOMEM : 0;
}

static void maker_free(void *tool)
{
	struct maker *m = tool;

	if (m == NULL)
		return;
	free(m->card);
	free(m->ride);
	free(m);
}

static void piece_done(void *piece) { free(((struct ridden_piece *)piece)->p); }

int ridden_begin(struct job *j, struct piecework *ret)
{
	static const struct pieces pieces = { maker_new, maker_free, piece_make, piece_take, sizeof(struct ridden_piece), piece_done };
	struct writing *w = calloc(1, sizeof(*w));
	int code;

	*ret = (struct piecework){ .by = &pieces, .arg = w };
	if (w == NULL)
		return -ENOMEM;
	w->j = j;
	code = list_make(w);
	if (code == 0)
		code = pieces_cut(w);
	ret->count = w->pieces;
	return code;
}

void ridden_end(struct piecework *work)
{
	struct writing *w = work->arg;

	if (w != NULL)
		free(w->cut);
	free(w);
}
