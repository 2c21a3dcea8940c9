/*
 * post - one priced tap to balanced postings. Every posting is a debit and a credit of the same amount, so the
 * sum of all legs is zero by construction; what must be proven is that they cover the fare, and that is asserted.
 */
#include "clearing/core/core.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

account_t receivable_of(enum scheme scheme)
{
	switch (scheme) {
	case SCHEME_PURSE: return ACCOUNT(ACCOUNT_PURSE, 1);
	case SCHEME_TUNION: return ACCOUNT(ACCOUNT_TUNION, 1);
	case SCHEME_BANK: return ACCOUNT(ACCOUNT_BANK, 1);
	case SCHEME_RIDE_CODE: case SCHEME_IDENTITY: return ACCOUNT(ACCOUNT_CODE, scheme);
	case SCHEME_NONE: break;
	}
	return ACCOUNT(ACCOUNT_CASH, 1);
}

static void post(struct priced *p, account_t debit, account_t credit, int64_t fen, enum posting_reason reason, uint16_t rule)
{
	assert(fen >= 0 && debit != credit);
	if (fen == 0)
		return;
	assert(p->posting_count < POSTINGS_PER_TAP_MAX);
	p->posting[p->posting_count++] = (struct posting){ debit, credit, money_of_fen(fen), (uint8_t)reason, rule };
}

static int64_t posted_to(const struct priced *p, account_t credit)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < p->posting_count; i++)
		if (p->posting[i].credit == credit)
			sum += p->posting[i].amount.fen;
	return sum;
}

#define PENDING_TREASURY 100	/* party of a treasury's pending share: 100 + treasury */

/* A purse has paid what its record says, a ride code is debited it. A bank card authenticated at the kerb and the holder of an
 * identity code have paid nothing yet: they are debited what is due, never more than the rider was shown. */
static int64_t charged_of(const struct tap *tap, int64_t due)
{
	if ((tap->kind != TAP_BANK && tap->kind != TAP_IDENTITY) || tap->amount_fen <= due)
		return tap->amount_fen;
	return due > 0 ? due : 0;
}

/* Of what was charged too much: all of it, or what is too little to return. */
static int64_t kept_of(const struct charge_policy *policy, int64_t over_fen)
{
	return policy != NULL && (policy->absorb || over_fen < policy->refund_from_fen) ? over_fen : 0;
}

void post_fare(const struct fare *fare, const struct tap *tap, enum scheme scheme, bool pending, uint32_t operator_id,
	       const struct charge_policy *policy, struct priced *ret_priced)
{
	account_t payee = ACCOUNT(pending ? ACCOUNT_OPERATOR_PENDING : ACCOUNT_OPERATOR, operator_id);
	account_t payer = pending ? ACCOUNT(ACCOUNT_PENDING, scheme) : receivable_of(scheme);
	int64_t rated = fare->paid.fen, due = fare->moved.fen, charged = charged_of(tap, due), back, kept, subsidy = 0;
	struct priced *p = ret_priced;

	memset(p, 0, sizeof(*p));
	p->published = fare->published;
	p->charged = money_of_fen(charged);
	p->rated = fare->paid;
	p->absorbed = fare->absorbed;
	p->hold = money_of_fen((pending && due < 0 ? 0 : due) - rated);
	if (pending && due < 0)
		due = 0;	/* what another centre's card is owed is not in our hands */
	back = due < 0 ? -due : 0;
	p->overcharge = money_of_fen(charged > due ? charged - due : 0);
	p->undercharge = money_of_fen(charged < due ? due - charged : 0);
	p->difference = charged > due ? DIFF_OVERCHARGE : charged < due ? DIFF_UNDERCHARGE : DIFF_NONE;
	if (p->difference != DIFF_NONE && policy != NULL)
		p->reason = policy->reason;
	kept = kept_of(policy, p->overcharge.fen - back);
	p->kept = money_of_fen(kept);
	post(p, payer, payee, charged + back - p->overcharge.fen + (pending ? kept : 0), pending ? POST_PENDING : POST_FARE, fare->rule);
	post(p, payer, payee, pending ? 0 : kept, POST_KEPT, fare->rule);
	post(p, payer, ACCOUNT(ACCOUNT_RIDER_REFUND, scheme), p->overcharge.fen - back - kept, pending ? POST_PENDING : POST_OVERCHARGE, fare->rule);
	post(p, payee, ACCOUNT(ACCOUNT_RIDER_REFUND, scheme), back, POST_HOLD_BACK, fare->rule);
	for (uint8_t i = 0; i < fare->funder_count; i++) {
		account_t treasury = pending ? ACCOUNT(ACCOUNT_PENDING, PENDING_TREASURY + fare->funder[i].treasury)
					     : ACCOUNT(ACCOUNT_TREASURY, fare->funder[i].treasury);

		subsidy += fare->funder[i].amount.fen;
		post(p, treasury, payee, fare->funder[i].amount.fen, pending ? POST_PENDING : POST_SUBSIDY, fare->fund_rule);
	}
	assert(fare->published.fen == rated + subsidy + fare->absorbed.fen);
	assert(posted_to(p, payee) == charged + back - p->overcharge.fen + kept + subsidy);
}

uint8_t post_resolve(const struct priced *p, enum scheme scheme, bool good, struct posting ret_posting[RESOLVE_POSTINGS_MAX])
{
	uint8_t n = 0;

	for (uint8_t i = 0; i < p->posting_count; i++) {
		const struct posting *q = &p->posting[i];
		uint32_t party = ACCOUNT_PARTY(q->debit);
		account_t firm = party > PENDING_TREASURY ? ACCOUNT(ACCOUNT_TREASURY, party - PENDING_TREASURY) : receivable_of(scheme);

		if (!good) {
			ret_posting[n++] = (struct posting){ q->credit, q->debit, q->amount, POST_REFUSED, 0 };
			continue;
		}
		ret_posting[n++] = (struct posting){ firm, q->debit, q->amount, POST_CONFIRMED, 0 };
		if (ACCOUNT_CLASS(q->credit) == ACCOUNT_OPERATOR_PENDING)
			ret_posting[n++] = (struct posting){ q->credit, ACCOUNT(ACCOUNT_OPERATOR, ACCOUNT_PARTY(q->credit)), q->amount, POST_CONFIRMED, 0 };
	}
	return n;
}

const char *account_class_name(unsigned account_class)
{
	switch (account_class) {
	case ACCOUNT_PURSE: return "应收本地电子钱包资金";
	case ACCOUNT_TUNION: return "应收交通联合清分中心";
	case ACCOUNT_BANK: return "应收银行代收款";
	case ACCOUNT_PENDING: return "待确认应收";
	case ACCOUNT_TREASURY: return "应收财政补贴";
	case ACCOUNT_OPERATOR: return "应付运营企业";
	case ACCOUNT_OPERATOR_PENDING: return "待确认应付运营企业";
	case ACCOUNT_RIDER_REFUND: return "应退乘客多扣款";
	case ACCOUNT_FEE: return "应付手续费";
	case ACCOUNT_CASH: return "银行存款";
	case ACCOUNT_CODE: return "应收扫码平台代收款";
	default: return "?";
	}
}
