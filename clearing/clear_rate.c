/*
 * clear_rate - the fares of a person's rides of a day, by tap time, each rated against the state the person had after the one
 * before.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/ridden.h"

void state_load(struct job *j, uint64_t person, int32_t day, struct rider_state *ret)
{
	int error = ridden_state(&j->txn, person, day, ret);

	if (error != 0)
		j->txn.error = error;
}

/* All but fare and price, which are as they were. */
static void row_head(const struct job *j, const struct work *w, const struct tap *tap, struct cleared *ret)
{
	memset(ret, 0, offsetof(struct cleared, fare));
	ret->raw = NULL;
	ret->raw_bytes = 0;
	ret->decides = false;
	ret->verdict = w->verdict;
	ret->check = w->check;
	if (tap != NULL)
		work_whose(j, w, tap, &ret->operator_id, &ret->scheme);
}

static void price_none(struct priced *p, const struct tap *tap)
{
	*p = (struct priced){ .charged = money_of_fen(tap != NULL ? tap->amount_fen : 0) };
}

void row_start(const struct job *j, const struct work *w, const struct tap *tap, struct cleared *ret)
{
	row_head(j, w, tap, ret);
	ret->fare = (struct fare){ 0 };
	price_none(&ret->priced, tap);
}

/* Rules published after the day, and after the ride, are not known to it. */
static void ride_settle(struct ride *ride, uint32_t operator_id, int32_t known_day)
{
	int64_t end_ms = service_day_ms((int64_t)known_day + 1, DAY_CUT_S_DEFAULT);

	ride->operator_id = operator_id;
	ride->known_ms = ride->time_ms > end_ms ? ride->time_ms : end_ms;
}

struct ride ride_of(const struct tap *tap, const struct tariff *t, uint32_t operator_id, int32_t known_day)
{
	struct ride ride;

	tap_ride(tap, t, &ride);
	ride_settle(&ride, operator_id, known_day);
	return ride;
}

struct difference tap_differ(const struct refdata *ref, const struct tap *tap, const struct difference_ask *ask)
{
	struct difference_ask whole = *ask;
	bool other = tap->tariff_version != 0 && tap->tariff_version != tariff_version(ask->t);

	whole.terminal = other ? refdata_tariff_version(ref, tap->tariff_version) : NULL;
	whole.terminal_unknown = other && whole.terminal == NULL;
	return tariff_differ(&whole);
}

enum verdict verdict_of_fare(const struct fare *fare, enum verdict rated)
{
	return fare->reject == FARE_OK ? rated : fare->reject == FARE_REPEAT_TAP ? VERDICT_REPEAT_TAP : VERDICT_NO_TARIFF;
}

/* Posted once more when the terminal charged otherwise: by the reason of it, and what the pack makes of that. */
static void difference_post(const struct refdata *ref, const struct tap *tap, const struct difference_ask *ask, struct cleared *c)
{
	struct difference d = tap_differ(ref, tap, ask);
	struct tariff_policy p = tariff_policy(ask->t, d.reason);
	struct charge_policy policy = { .reason = (uint8_t)d.reason, .absorb = p.absorb, .refund_from_fen = p.refund_from_fen };

	post_fare(&c->fare, tap, (enum scheme)c->scheme, c->pending, c->operator_id, &policy, &c->priced);
}

/* That of a ride before with the same fare that was charged the same, but a bank card's and an identity code's, which are charged what is due. */
static struct row_result *result_known(const struct job *j, const struct tap *tap, struct cleared *c)
{
	c->priced.charged = money_of_fen(tap->amount_fen);
	return tap->kind == TAP_BANK || tap->kind == TAP_IDENTITY ? NULL : results_recent(j->results, c, tap);
}

/* By the pack of its time. NULL: *c is what the row says; else a result that says it. */
static struct row_result *ride_price(struct job *j, struct work *w, const struct tap *tap, const struct difference_ask *ask, struct rider_state *ret_state, struct cleared *c)
{
	struct row_result *known;
	struct difference_ask whole;
	struct ride ride;

	work_ride(w, tap, ask->t, &ride);
	ride_settle(&ride, c->operator_id, j->day.day);
	c->tariff_version = tariff_version(ask->t);
	rate(ask->t, ask->rider, ask->state, &ride, ret_state, &c->fare, NULL);
	c->verdict = w->verdict = (uint8_t)verdict_of_fare(&c->fare, (enum verdict)w->verdict);
	if (!rateable(w)) {
		price_none(&c->priced, tap);
		return NULL;
	}
	c->pending = w->verdict == VERDICT_PENDING;
	known = result_known(j, tap, c);
	if (known != NULL)
		return known;
	post_fare(&c->fare, tap, (enum scheme)c->scheme, c->pending, c->operator_id, NULL, &c->priced);
	if (c->priced.difference == DIFF_NONE)
		return NULL;
	whole = *ask;
	whole.ride = &ride;
	whole.charged_fen = c->priced.charged.fen;
	difference_post(j->ref, tap, &whole, c);
	return NULL;
}

int ride_rate(struct job *j, struct work *w, const struct rider *rider, const struct rider_state *state, struct rider_state *ret_state)
{
	struct difference_ask ask = { .rider = rider, .state = state };
	struct tap room;
	const struct tap *tap = work_ride_tap(j, w, &room);
	struct row_result *known = NULL;
	struct cleared c;

	if (tap == NULL)
		return CLEARING_E_STORE;
	ask.t = refdata_tariff(j->ref, work_time(w));
	if (ask.t != NULL) {
		row_head(j, w, tap, &c);
		known = ride_price(j, w, tap, &ask, ret_state, &c);
	} else {
		row_start(j, w, tap, &c);
		*ret_state = *state;
		c.verdict = w->verdict = VERDICT_NO_TARIFF;
	}
	if (known == NULL)
		return results_add(j->results, &c, tap, &w->result);
	w->result = known;
	return 0;
}

/* ---- a person's rides of the day ------------------------------------------------------------------------------- */

/* Nothing of the day itself or after is: a batch belongs to the day that is cleared or an earlier one. */
bool is_alone(const struct job *j, const struct work *w)
{
	int32_t age = work_time(w) >= service_day_ms(j->day.day, DAY_CUT_S_DEFAULT) ? 0 : w->from->arrived - service_day_of_ms(work_time(w), DAY_CUT_S_DEFAULT);
	const struct tariff *t = age > 0 ? refdata_tariff(j->ref, work_time(w)) : NULL;

	return age > (t != NULL ? tariff_late(t).window_days : judge_limits_default.late_days);
}

/* With the state of its day, and into none. */
static int alone_rate(struct job *j, struct work *w, const struct rider *rider)
{
	struct rider_state state, after;

	state_load(j, w->person, service_day_of_ms(work_time(w), DAY_CUT_S_DEFAULT) - 1, &state);
	return ride_rate(j, w, rider, &state, &after);
}

/* A settled ride may lie behind the first new one. */
static bool may_be_late(const struct job *j, const struct work *w, const struct rider_state *state)
{
	return work_time(w) < service_day_ms(j->day.day, DAY_CUT_S_DEFAULT) || work_time(w) <= state->last_ms || work_time(w) <= state->open_ms;
}

/* Of a person's cards one may be an escort's: a rider is looked up by the card's registration, again when it is another. A card
 * nobody registered is its own person, of whom nothing is known. */
static void rider_of_card(struct job *j, const struct work *w, const struct work **last, struct rider *rider)
{
	const struct bearer *b = &j->bearer[w->bearer - 1];

	if (w->person >> 63 == 0)
		*rider = (struct rider){ .birth = DAY_NONE, .issued = DAY_NONE };
	else if (*last == NULL || (*last)->bearer != w->bearer)
		rider_registered(&j->txn, b->person, b->registration, b->registration_bytes, j->day.cut_seq, rider);
	*last = w;
}

int person_rate(struct job *j, struct work *const *list, size_t count, bool asked, struct rider_state *ret_state, bool *ret_has)
{
	const struct work *last = NULL;
	struct work *first = NULL;
	struct rider_state other, *now = ret_state, *after = &other;
	struct rider rider;
	bool done = false;
	int ret = 0;

	*ret_has = false;
	for (size_t i = 0; ret == 0 && i < count; i++) {
		if (!list[i]->rated)
			continue;
		if (!list[i]->alone) {
			first = first == NULL ? list[i] : first;
			continue;
		}
		rider_of_card(j, list[i], &last, &rider);
		ret = alone_rate(j, list[i], &rider);
	}
	if (ret != 0 || (first == NULL && !asked))
		return ret;
	ret = bearer_state(j, list[0], now);
	if (ret != 0)
		return ret;
	if (asked || may_be_late(j, first, now))
		ret = clear_replay(j, list[0]->person, list, count, now, &done);
	for (size_t i = 0; !done && ret == 0 && i < count; i++)
		if (list[i]->rated && !list[i]->alone) {
			struct rider_state *before = now;

			rider_of_card(j, list[i], &last, &rider);
			ret = ride_rate(j, list[i], &rider, before, after);
			now = after;
			after = before;
		}
	if (now != ret_state)
		*ret_state = *now;
	*ret_has = first != NULL || done;
	return ret;
}

int asked_rate(struct job *j, uint64_t person, struct rider_state *ret_state, bool *ret_has)
{
	return clear_replay(j, person, NULL, 0, ret_state, ret_has);
}
