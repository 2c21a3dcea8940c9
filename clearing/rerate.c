/*
 * rerate - the dry run: what rating settled rides again would book. The same replay as the clear's, over a snapshot
 * of the store as if the open day were cut now, summed up instead of written.
 */
#include "clearing/clear.h"

#include <stdlib.h>
#include <string.h>

static int pan_compare(const void *pa, const void *pb)
{
	return memcmp(((const struct adjustment *)pa)->pan, ((const struct adjustment *)pb)->pan, 10);
}

static int treasury_add(struct rerate_effect *e, uint16_t treasury, int64_t fen)
{
	for (size_t i = 0; i < e->treasuries; i++)
		if (e->treasury[i].treasury == treasury) {
			e->treasury[i].fen += fen;
			return 0;
		}
	if (e->treasuries == RERATE_TREASURIES_MAX)
		return CLEARING_E_STORE;
	e->treasury[e->treasuries].treasury = treasury;
	e->treasury[e->treasuries++].fen = fen;
	return 0;
}

static int effect_add(struct rerate_effect *e, const struct adjustment *a)
{
	int ret = 0;

	e->rides++;
	for (uint8_t i = 0; ret == 0 && i < a->posting_count; i++) {
		const struct posting *p = &a->posting[i];
		int64_t fen = p->amount.fen;

		e->rider_fen += ACCOUNT_CLASS(p->credit) == ACCOUNT_RIDER_REFUND ? fen : ACCOUNT_CLASS(p->debit) == ACCOUNT_RIDER_REFUND ? -fen : 0;
		e->operator_fen += ACCOUNT_CLASS(p->credit) == ACCOUNT_OPERATOR ? fen : ACCOUNT_CLASS(p->debit) == ACCOUNT_OPERATOR ? -fen : 0;
		if (ACCOUNT_CLASS(p->debit) == ACCOUNT_TREASURY)
			ret = treasury_add(e, (uint16_t)ACCOUNT_PARTY(p->debit), fen);
		else if (ACCOUNT_CLASS(p->credit) == ACCOUNT_TREASURY)
			ret = treasury_add(e, (uint16_t)ACCOUNT_PARTY(p->credit), -fen);
	}
	return ret;
}

static int effect_of(struct job *j, struct rerate_effect *ret_effect)
{
	struct rerate_effect e = { 0 };
	int ret = 0;

	if (j->adjust_count > 1)
		qsort(j->adjust, j->adjust_count, sizeof(j->adjust[0]), pan_compare);
	for (size_t i = 0; ret == 0 && i < j->adjust_count; i++) {
		e.cards += i == 0 || memcmp(j->adjust[i].pan, j->adjust[i - 1].pan, 10) != 0;
		ret = effect_add(&e, &j->adjust[i]);
	}
	if (ret == 0)
		*ret_effect = e;
	return ret;
}

int rerate_try(struct store *s, uint64_t person, int32_t from, int32_t to, struct rerate_effect *ret_effect)
{
	struct job j = { .store = s };
	int ret = txn_begin(s, false, &j.txn);

	if (ret != 0)
		return ret;
	if (!day_get(&j.txn, day_open_get(&j.txn), &j.day))
		ret = j.txn.error != 0 ? j.txn.error : CLEARING_E_NO_DAY;
	j.day.cut_seq = inbox_last(&j.txn);
	if (ret == 0)
		ret = refdata_new(&j.ref);
	if (ret == 0)
		ret = refdata_replay(j.ref, &j.txn, j.day.cut_seq);
	if (ret == 0)
		ret = rerates_add(&j.rerates, person, from, to, person == 0 ? ADJUST_RERATE : ADJUST_LATE_HOLD);
	if (ret == 0)
		ret = clear_rate(&j);
	if (ret == 0)
		ret = effect_of(&j, ret_effect);
	job_done(&j);
	return ret;
}
