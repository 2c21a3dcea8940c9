/*
 * clear_adjust - rides of earlier days rated again with the new ones between them. A person's rides are taken in
 * canonical order from the last close that none of the changes lies before; every ride is rated with what was known
 * when it was settled, or by a later request to rate it again; what comes out other than it was becomes an adjustment
 * of the day. Only rows of days before this one are looked at, so that a recompute of any day sees what it saw.
 */
#include "clearing/clear.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/ridden.h"

struct past {				/* one ride of the replay: settled on an earlier day, or new */
	int64_t time_ms;
	uint8_t key[TAP_KEY_BYTES]; uint16_t nth;
	int32_t day;			/* settled */
	int32_t known;			/* the day whose knowledge it is rated with */
	int32_t newest;			/* the newest knowledge in the rides before it */
	uint8_t cause;			/* of the request that asked for it, 0 none */
	struct work *work;		/* NULL: settled */
};
struct replay {
	struct job *job;
	uint64_t person;
	struct past *ride; size_t count, space;
	struct rerates asked;		/* of this person on earlier days */
	struct rider rider; uint8_t pan[10]; uint64_t rider_seq;	/* the last one looked up; seq 0: none */
	int32_t known; uint64_t known_seq;
	const uint8_t *late_key;	/* the new ride before the one being rated */
	uint8_t asked_cause;
};

/* ---- the rides of earlier days ------------------------------------------------------------------------------ */

typedef int (*past_fn)(void *arg, uint64_t person, const struct past *p);

struct passing { past_fn fn; void *arg; };

static int past_of(void *arg, struct ridden *row)
{
	const struct passing *s = arg;
	struct ridden_ride ride;
	int ret = 0;

	while (ret == 0 && ridden_next(row, &ride)) {
		struct past p = { .time_ms = ride.time_ms, .nth = ride.nth, .day = row->day };

		if ((ride.flags & (RIDDEN_RATED | RIDDEN_ALONE)) != RIDDEN_RATED)
			continue;
		memcpy(p.key, ride.key, TAP_KEY_BYTES);
		ret = s->fn(s->arg, row->person, &p);
	}
	return ret;
}

/* What was rated on days before this one among others: of a person, in the order of their settlement; NULL: of everyone. */
static int past_each(struct job *j, const uint64_t *person, past_fn fn, void *arg)
{
	struct passing s = { fn, arg };

	return person != NULL ? ridden_each(&j->txn, *person, j->day.day - 1, past_of, &s) : ridden_everyone(&j->txn, j->day.day - 1, past_of, &s);
}

static int past_add(struct replay *r, const struct past *p)
{
	struct past *wide = grown(r->ride, &r->space, r->count + 1, sizeof(*wide));

	if (wide == NULL)
		return -ENOMEM;
	r->ride = wide;
	r->ride[r->count++] = *p;
	return 0;
}

static int past_compare(const void *pa, const void *pb)
{
	const struct past *a = pa, *b = pb;

	return a->time_ms != b->time_ms ? (a->time_ms < b->time_ms ? -1 : 1) : memcmp(a->key, b->key, TAP_KEY_BYTES);
}

/* ---- what is known of a ride ------------------------------------------------------------------------------------- */

/* Requests of earlier days to rate a person's rides again; person 0: everyone's. */
static int rerates_read(struct job *j, uint64_t person, struct rerates *to)
{
	uint8_t prefix[8];
	struct iter it;
	int ret = 0;

	be64_put(prefix, person);
	iter_open(&j->txn, DB_RERATE, prefix, sizeof(prefix), &it);
	while (ret == 0 && iter_next(&it)) {
		int32_t day;

		if (it.key_bytes != 16 || it.val_bytes != 5) {
			ret = CLEARING_E_STORE;
			break;
		}
		day = (int32_t)(be32_get(it.key + 8) ^ 0x80000000u);
		if (day >= j->day.day)
			break;
		ret = rerates_add(to, person, (int32_t)(be32_get(it.key + 12) ^ 0x80000000u), (int32_t)(be32_get(it.val) ^ 0x80000000u),
				  (enum adjust_cause)it.val[4]);
		if (ret == 0)
			to->list[to->count - 1].day = day;
	}
	iter_close(&it);
	return ret;
}

static void known_by(struct past *p, const struct rerates *list, uint64_t person)
{
	int32_t service = service_day_of_ms(p->time_ms, DAY_CUT_S_DEFAULT);

	for (size_t i = 0; i < list->count; i++) {
		const struct rerate *r = &list->list[i];

		if ((r->person != 0 && r->person != person) || service < r->from || service > r->to || r->day <= p->known)
			continue;
		p->known = r->day;
		p->cause = r->cause;
	}
}

/* Those of one person, of a list sorted by person. */
static struct rerates rerates_of(const struct rerates *all, uint64_t person)
{
	size_t low = 0, high = all->count, n = 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (all->list[mid].person < person)
			low = mid + 1;
		else
			high = mid;
	}
	while (low + n < all->count && all->list[low + n].person == person)
		n++;
	return (struct rerates){ .list = n > 0 ? all->list + low : NULL, .count = n };
}

static int known_all(struct replay *r)
{
	const struct rerates everyones = rerates_of(&r->job->rerates, 0), persons = rerates_of(&r->job->rerates, r->person);
	int ret = rerates_read(r->job, r->person, &r->asked);

	for (size_t i = 0; ret == 0 && i < r->count; i++) {
		struct past *p = &r->ride[i];

		p->known = p->day;
		known_by(p, &r->job->everyone, r->person);
		known_by(p, &r->asked, r->person);
		known_by(p, &everyones, r->person);
		known_by(p, &persons, r->person);
	}
	return ret;
}

/* ---- where to begin -------------------------------------------------------------------------------------------------- */

static bool is_change(const struct replay *r, const struct past *p) { return p->work != NULL || p->known == r->job->day.day; }

/*
 * The latest close to begin at: all rides before are in it as they are known now, and none of those after is. The
 * first change lies after it. *ret_day is that close.
 */
static size_t begin_at(struct replay *r, int32_t *ret_day)
{
	int32_t after = r->job->day.day, newest = INT32_MIN;
	size_t first = 0, begin = r->count;

	for (size_t i = 0; i < r->count; i++) {
		r->ride[i].newest = newest;
		if (r->ride[i].known > newest)
			newest = r->ride[i].known;
	}
	while (first < r->count && !is_change(r, &r->ride[first]))
		first++;
	assert(first < r->count);
	do {
		begin--;
		if (r->ride[begin].day < after)
			after = r->ride[begin].day;
	} while (begin > 0 && (begin > first || r->ride[begin].newest >= after));
	*ret_day = after - 1;
	return begin;
}

/* ---- one ride ------------------------------------------------------------------------------------------------------------ */

static int seq_known(struct replay *r, int32_t day, uint64_t *ret_seq)
{
	struct day_row row;

	if (day != r->known || r->known_seq == 0) {
		if (!day_get(&r->job->txn, day, &row))
			return CLEARING_E_STORE;
		r->known = day;
		r->known_seq = day == r->job->day.day ? r->job->day.cut_seq : row.cut_seq;
	}
	*ret_seq = r->known_seq;
	return 0;
}

static const struct rider *rider_known(struct replay *r, const uint8_t pan[10], uint64_t seq)
{
	if (seq != r->rider_seq || memcmp(pan, r->pan, sizeof(r->pan)) != 0) {
		rider_find(&r->job->txn, pan, seq, &r->rider);
		memcpy(r->pan, pan, sizeof(r->pan));
		r->rider_seq = seq;
	}
	return &r->rider;
}

static bool same_parts(const struct fare *a, const struct fare *b)
{
	if (a->funder_count != b->funder_count)
		return false;
	for (uint8_t i = 0; i < a->funder_count; i++)
		if (a->funder[i].treasury != b->funder[i].treasury || a->funder[i].amount.fen != b->funder[i].amount.fen)
			return false;
	return true;
}

static bool same_fare(const struct adjustment *a)
{
	const struct fare *x = &a->before, *y = &a->fare;

	return a->was == a->verdict && x->published.fen == y->published.fen && x->paid.fen == y->paid.fen && x->moved.fen == y->moved.fen &&
	       x->absorbed.fen == y->absorbed.fen && same_parts(x, y);
}

/* What the ride was last said to be: by its newest adjustment, else by its row. */
static void settled_before(struct job *j, const struct past *p, const struct cleared *row, struct adjustment *ret)
{
	struct adjustment last;

	*ret = (struct adjustment){ .day = j->day.day, .settled_day = p->day, .nth = p->nth, .scheme = row->scheme, .operator_id = row->operator_id,
				    .charged_fen = row->priced.charged.fen };
	memcpy(ret->key, p->key, TAP_KEY_BYTES);
	if (adjust_before(&j->txn, p->key, p->nth, j->day.day, &last)) {
		ret->was = last.verdict;
		ret->was_version = last.tariff_version;
		ret->before = last.fare;
		ret->refund_fen = last.refund_fen;
		return;
	}
	ret->was = row->verdict;
	ret->was_version = row->tariff_version;
	ret->before = row->fare;
	ret->refund_fen = verdict_info((enum verdict)row->verdict)->money ? row->priced.overcharge.fen - row->priced.kept.fen : 0;
}

static bool is_money(uint8_t verdict) { return verdict_info((enum verdict)verdict)->money; }

/* The pack's policy for rides rated anew by this cause. */
static struct adjust_policy policy_of(const struct tariff *t, enum adjust_cause cause)
{
	enum difference_reason reason = cause == ADJUST_RERATE ? DIFFER_RERATE : cause == ADJUST_LATE_HOLD ? DIFFER_LATE_HOLD : DIFFER_LATE_TAP;
	struct tariff_policy p = t != NULL ? tariff_policy(t, reason) : (struct tariff_policy){ 0 };

	return (struct adjust_policy){ p.absorb, p.refund_from_fen };
}

static int adjust_add(struct replay *r, const struct past *p, struct adjustment *a, const struct tariff *t, int64_t kept_fen, int64_t shown_fen)
{
	struct adjust_input in = { .before = is_money(a->was) ? &a->before : NULL, .after = is_money(a->verdict) ? &a->fare : NULL,
				   .charged_fen = a->charged_fen, .refund_fen = a->refund_fen, .scheme = (enum scheme)a->scheme,
				   .operator_id = a->operator_id, .kept_fen = kept_fen, .shown_fen = shown_fen };
	struct job *j = r->job;
	struct adjustment *wide;

	a->cause = p->known == j->day.day ? p->cause : r->late_key != NULL ? ADJUST_LATE_TAP : r->asked_cause;
	if (a->cause == ADJUST_LATE_TAP)
		memcpy(a->cause_key, r->late_key, TAP_KEY_BYTES);
	in.policy = policy_of(t, (enum adjust_cause)a->cause);
	a->posting_count = post_adjust(&in, a->posting, &a->refund_fen);
	wide = grown(j->adjust, &j->adjust_space, j->adjust_count + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	j->adjust = wide;
	j->adjust[j->adjust_count++] = *a;
	return 0;
}

/* A ride waiting for another city's centre counts for the rides after it, but its money is what the file sent there
 * says and is not adjusted. */
static int past_rate(struct replay *r, const struct past *p, struct rider_state *state)
{
	struct job *j = r->job;
	uint8_t key[CLEARED_KEY_BYTES];
	const struct tariff *t = NULL;
	struct adjustment a;
	const char *field;
	struct cleared row;
	struct tap tap;
	struct ride ride;
	uint64_t seq;
	int ret;

	row_key(p->day, CLEARED_RIDE, p->key, p->nth, key);
	if (!row_get(&j->txn, key, &row) || tap_decode(row.raw, row.raw_bytes, &tap, &field) != 0)
		return CLEARING_E_STORE;
	ret = seq_known(r, p->known, &seq);
	if (ret != 0)
		return ret;
	settled_before(j, p, &row, &a);
	a.verdict = VERDICT_NO_TARIFF;
	t = refdata_tariff_known(j->ref, tap.time_ms, seq);
	if (t != NULL) {
		ride = ride_of(&tap, t, row.operator_id, p->known);
		a.tariff_version = tariff_version(t);
		rate(t, rider_known(r, tap.pan, seq), state, &ride, state, &a.fare, NULL);
		a.verdict = verdict_of_fare(&a.fare, VERDICT_ACCEPTED);
	}
	if (row.verdict == VERDICT_PENDING || same_fare(&a))
		return j->txn.error;
	memcpy(a.pan, tap.pan, sizeof(a.pan));
	ret = adjust_add(r, p, &a, t, is_money(row.verdict) ? row.priced.kept.fen : 0, tap.kind == TAP_BANK ? tap.amount_fen : 0);
	return ret != 0 ? ret : j->txn.error;
}

static int rides_rate(struct replay *r, size_t begin, struct rider_state *state)
{
	int ret = 0;

	for (size_t i = begin; ret == 0 && i < r->count; i++) {
		struct past *p = &r->ride[i];
		struct rider_state before;
		struct rider rider;

		if (p->work == NULL) {
			if (p->known == r->job->day.day)
				r->asked_cause = p->cause;
			ret = past_rate(r, p, state);
			continue;
		}
		rider_find(&r->job->txn, p->work->pan, r->job->day.cut_seq, &rider);
		before = *state;
		ret = ride_rate(r->job, p->work, &rider, &before, state);
		r->late_key = p->key;
	}
	return ret;
}

/* ---- a person ------------------------------------------------------------------------------------------------------------ */

static int past_keep(void *arg, uint64_t person, const struct past *p)
{
	(void)person;
	return past_add(arg, p);
}

static int rides_load(struct replay *r, struct work *const *list, size_t count)
{
	int ret = past_each(r->job, &r->person, past_keep, r);
	struct past p;

	for (size_t i = 0; ret == 0 && i < count; i++) {
		if (!list[i]->rated || list[i]->alone)
			continue;
		p = (struct past){ .time_ms = work_time(list[i]), .nth = list[i]->nth, .day = r->job->day.day, .work = list[i] };
		memcpy(p.key, list[i]->key, TAP_KEY_BYTES);
		ret = past_add(r, &p);
	}
	if (r->count > 1)
		qsort(r->ride, r->count, sizeof(r->ride[0]), past_compare);
	return ret != 0 ? ret : r->job->txn.error;
}

/* Some settled ride is rated with another past, or asked for. */
static bool is_needed(const struct replay *r)
{
	bool new = false;

	for (size_t i = 0; i < r->count; i++) {
		if (r->ride[i].work == NULL && (new || is_change(r, &r->ride[i])))
			return true;
		new = new || r->ride[i].work != NULL;
	}
	return false;
}

int clear_replay(struct job *j, uint64_t person, struct work *const *list, size_t count, struct rider_state *state, bool *ret_done)
{
	struct replay r = { .job = j, .person = person };
	int ret = rides_load(&r, list, count);

	*ret_done = false;
	if (ret == 0)
		ret = known_all(&r);
	if (ret == 0 && is_needed(&r)) {
		int32_t day;
		size_t begin = begin_at(&r, &day);

		state_load(j, person, day, state);
		ret = rides_rate(&r, begin, state);
		*ret_done = true;
	}
	free(r.ride);
	free(r.asked.list);
	return ret;
}

/* ---- who is asked for ---------------------------------------------------------------------------------------------------- */

static int person_compare(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

	return a < b ? -1 : a > b;
}

static int person_add(struct job *j, uint64_t person)
{
	uint64_t *wide;

	if (j->asked_count > 0 && j->asked[j->asked_count - 1] == person)
		return 0;
	wide = grown(j->asked, &j->asked_space, j->asked_count + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	j->asked = wide;
	j->asked[j->asked_count++] = person;
	return 0;
}

static bool asked_of_everyone(const struct job *j, int64_t time_ms)
{
	int32_t service = service_day_of_ms(time_ms, DAY_CUT_S_DEFAULT);

	for (size_t i = 0; i < j->rerates.count && j->rerates.list[i].person == 0; i++)	/* sorted: everyone's come first */
		if (j->rerates.list[i].from <= service && service <= j->rerates.list[i].to)
			return true;
	return false;
}

static int past_ask(void *arg, uint64_t person, const struct past *p)
{
	return asked_of_everyone(arg, p->time_ms) ? person_add(arg, person) : 0;
}

int clear_asked(struct job *j)
{
	bool all = false;
	int ret = rerates_read(j, 0, &j->everyone);

	for (size_t i = 0; ret == 0 && i < j->rerates.count; i++) {
		j->rerates.list[i].day = j->day.day;
		all = all || j->rerates.list[i].person == 0;
		if (j->rerates.list[i].person != 0)
			ret = person_add(j, j->rerates.list[i].person);
	}
	if (ret == 0 && all)
		ret = past_each(j, NULL, past_ask, j);
	if (j->asked_count > 1) {
		size_t n = 1;

		qsort(j->asked, j->asked_count, sizeof(j->asked[0]), person_compare);
		for (size_t i = 1; i < j->asked_count; i++)
			if (j->asked[i] != j->asked[n - 1])
				j->asked[n++] = j->asked[i];
		j->asked_count = n;
	}
	return ret != 0 ? ret : j->txn.error;
}
