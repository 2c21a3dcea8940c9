/*
 * risk - first rides that nobody pays. A card that never rode here rides on the chance that its bank will pay; when the bank refuses
 * that first debit, a contract says who bears how much of it, and what is beyond is the operators'. The card rides no more
 * until it is allowed, or pays.
 *
 * The invariant: what each ride lost is borne to the fen, once, and what was paid later is given back to those who bore it.
 */
#include "clearing/settle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/ridden.h"

static int32_t fare_day_of(int64_t time_ms) { return service_day_of_ms(time_ms, DAY_CUT_S_DEFAULT); }

/* ---- the card's first? ---------------------------------------------------------------------------------------- */

struct seeking { struct txn *t; const uint8_t *pan; int32_t day, fare_day; };

/* A ride of this card that was money, of an earlier day than the debit's, or of its day and an earlier fare day. */
static bool is_before(const struct seeking *s, const struct ridden *row, const struct ridden_ride *ride)
{
	uint8_t key[CLEARED_KEY_BYTES];
	const char *field;
	struct cleared c;
	struct tap tap;

	if ((ride->flags & RIDDEN_RATED) == 0 || (row->day == s->day && fare_day_of(ride->time_ms) >= s->fare_day))
		return false;
	if ((ride->flags & RIDDEN_COUNTS) != 0 && memcmp(ridden_card_at(row, ride->card).pan, s->pan, 10) != 0)
		return false;
	row_key(row->day, CLEARED_RIDE, ride->key, ride->nth, key);
	return row_get(s->t, key, &c) && c.scheme == SCHEME_BANK && verdict_info((enum verdict)c.verdict)->money &&
	       tap_decode(c.raw, c.raw_bytes, &tap, &field) == 0 && memcmp(tap.pan, s->pan, 10) == 0;
}

static int row_seek(void *arg, struct ridden *row)
{
	const struct seeking *s = arg;
	struct ridden_ride ride;
	bool found = false;

	while (!found && ridden_next(row, &ride))
		found = is_before(s, row, &ride);
	return found;
}

static int handle_seek(void *arg, uint64_t handle)
{
	struct seeking *s = arg;
	int ret = ridden_each(s->t, handle, s->day, row_seek, s);

	if (ret < 0)
		s->t->error = ret;
	return ret;
}

/* Under whichever person the card rode: what was known at the cut of its day says which those are. */
static bool rode_before(struct txn *t, const uint8_t pan[10], const struct day_row *day, int32_t fare_day)
{
	struct seeking s = { t, pan, day->day, fare_day };

	return card_handles(t, pan, day->cut_seq, handle_seek, &s) == 1;
}

/* ---- its rides --------------------------------------------------------------------------------------------------- */

static int ride_compare(const void *pa, const void *pb)
{
	const struct risk_ride *a = pa, *b = pb;

	return a->time_ms != b->time_ms ? (a->time_ms < b->time_ms ? -1 : 1) : memcmp(a->key, b->key, TAP_KEY_BYTES);
}

static int rides_read(struct txn *t, const char *id, struct risk *r)
{
	uint8_t key[CLEARED_KEY_BYTES];
	size_t space = 0;
	struct iter it;
	int64_t fen;
	int ret = 0;

	debit_rides_open(t, id, &it);
	while (ret == 0 && debit_rides_next(&it, key, &fen)) {
		struct cleared row;

		if (r->rides == space) {
			struct risk_ride *wide = realloc(r->ride, (space = space ? space * 2 : 8) * sizeof(*wide));

			if (wide == NULL) {
				ret = -ENOMEM;
				break;
			}
			r->ride = wide;
		}
		if (!debit_row(t, key, &row)) {
			ret = CLEARING_E_STORE;
			break;
		}
		r->ride[r->rides] = (struct risk_ride){ .time_ms = (int64_t)be64_get(key + 15), .fen = fen, .operator_id = row.operator_id };
		memcpy(r->ride[r->rides++].key, key + 5, TAP_KEY_BYTES);
	}
	iter_close(&it);
	return ret != 0 ? ret : t->error;
}

static void rides_cover(struct risk *r)
{
	int64_t left = r->contract.first_fen;

	qsort(r->ride, r->rides, sizeof(r->ride[0]), ride_compare);
	for (size_t i = 0; i < r->rides; i++) {
		struct risk_ride *x = &r->ride[i];

		x->party_fen = x->fen < left ? x->fen : left;
		left -= x->party_fen;
		r->party_fen += x->party_fen;
		r->operator_fen += x->fen - x->party_fen;
	}
}

int risk_of(struct txn *t, const struct item_row *item, struct risk *ret)
{
	struct risk r = { 0 };
	struct day_row day;
	int32_t fare_day;
	struct tap tap;
	int code;

	*ret = r;
	if (item->cleared_key[4] != CLEARED_RIDE || !debit_card(t, item, &tap) || tap.kind != TAP_BANK || !day_get(t, item->day, &day))
		return t->error;
	fare_day = fare_day_of(tap.time_ms);
	if (!contract_at(t, day.cut_seq, tap.pan, fare_day, &r.contract) || rode_before(t, tap.pan, &day, fare_day))
		return t->error;
	code = rides_read(t, item->id, &r);
	if (code != 0) {
		risk_done(&r);
		return code;
	}
	if (r.rides > 0)
		rides_cover(&r);
	*ret = r;
	return 0;
}

void risk_done(struct risk *r) { free(r->ride); }

static void move(const struct risk_ride *x, account_t bearer, int64_t fen, bool back, posting_fn emit, void *arg)
{
	const struct posting p = { back ? ACCOUNT(ACCOUNT_CASH, 1) : bearer, back ? bearer : ACCOUNT(ACCOUNT_BANK, 2), money_of_fen(fen),
				   back ? POST_ARREARS_PAID : POST_RISK, 0 };

	if (fen > 0)
		emit(arg, &p, SCHEME_BANK, x->key);
}

void risk_post(const struct risk *r, bool back, posting_fn emit, void *arg)
{
	for (size_t i = 0; i < r->rides; i++) {
		const struct risk_ride *x = &r->ride[i];

		move(x, r->contract.account, x->party_fen, back, emit, arg);
		move(x, ACCOUNT(ACCOUNT_OPERATOR, x->operator_id), x->fen - x->party_fen, back, emit, arg);
	}
}
