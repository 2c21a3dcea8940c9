/*
 * adjust - from one fare of a settled ride to another, as balanced postings of the day that learned of it. Only
 * differences are posted, in the direction that has a positive amount; the sum of the ride's postings over all days
 * is then that of one rating in order.
 */
#include "clearing/core/core.h"

#include <assert.h>
#include <stddef.h>

struct adjusting { struct posting *posting; uint8_t count; };

/* A difference: what the credit account is owed more, or less. */
static void move(struct adjusting *a, account_t debit, account_t credit, int64_t fen, enum posting_reason reason, uint16_t rule)
{
	if (fen == 0)
		return;
	assert(a->count < ADJUST_POSTINGS_MAX);
	a->posting[a->count++] = fen > 0 ? (struct posting){ debit, credit, money_of_fen(fen), (uint8_t)reason, rule }
					 : (struct posting){ credit, debit, money_of_fen(-fen), (uint8_t)reason, rule };
}

/* Below 0: may be debited further. */
static int64_t due_to_rider(const struct adjust_input *in)
{
	int64_t over = in->after != NULL ? in->charged_fen - in->kept_fen - in->after->moved.fen : 0, most = in->shown_fen - in->charged_fen;

	if (over >= 0 || most <= 0)
		return over > 0 ? over : 0;
	return -over < most ? over : -most;
}

static int64_t part_of(const struct fare *fare, uint16_t treasury)
{
	int64_t sum = 0;

	for (uint8_t i = 0; fare != NULL && i < fare->funder_count; i++)
		if (fare->funder[i].treasury == treasury)
			sum += fare->funder[i].amount.fen;
	return sum;
}

static void subsidies_move(struct adjusting *a, const struct adjust_input *in, account_t payee)
{
	uint8_t before = in->before != NULL ? in->before->funder_count : 0, after = in->after != NULL ? in->after->funder_count : 0;

	for (uint8_t i = 0; i < before; i++) {
		uint16_t treasury = in->before->funder[i].treasury;

		move(a, ACCOUNT(ACCOUNT_TREASURY, treasury), payee, part_of(in->after, treasury) - in->before->funder[i].amount.fen, POST_ADJUST_SUBSIDY,
		     in->after != NULL && part_of(in->after, treasury) != 0 ? in->after->fund_rule : in->before->fund_rule);
	}
	for (uint8_t i = 0; i < after; i++)
		if (part_of(in->before, in->after->funder[i].treasury) == 0)
			move(a, ACCOUNT(ACCOUNT_TREASURY, in->after->funder[i].treasury), payee, in->after->funder[i].amount.fen, POST_ADJUST_SUBSIDY,
			     in->after->fund_rule);
}

uint8_t post_adjust(const struct adjust_input *in, struct posting ret_posting[ADJUST_POSTINGS_MAX], int64_t *ret_refund_fen)
{
	account_t payee = ACCOUNT(ACCOUNT_OPERATOR, in->operator_id), rider = ACCOUNT(ACCOUNT_RIDER_REFUND, in->scheme);
	struct adjusting a = { .posting = ret_posting };
	uint16_t rule = in->after != NULL ? in->after->rule : in->before != NULL ? in->before->rule : 0;
	int64_t more = due_to_rider(in) - in->refund_fen;

	/* the whole charge goes through the operator; what of it is the rider's follows as a refund */
	if ((in->before == NULL) != (in->after == NULL))
		move(&a, receivable_of(in->scheme), payee, in->after != NULL ? in->charged_fen : -in->charged_fen, POST_ADJUST_FARE, rule);
	if (more > 0 && (in->policy.absorb || more < in->policy.refund_from_fen))
		more = 0;
	move(&a, payee, rider, more, POST_ADJUST_REFUND, rule);
	subsidies_move(&a, in, payee);
	*ret_refund_fen = in->refund_fen + more;
	return a.count;
}

int64_t adjust_collect_fen(const struct posting *p, uint8_t count, enum scheme scheme)
{
	const account_t owes = receivable_of(scheme), owed = ACCOUNT(ACCOUNT_RIDER_REFUND, scheme);
	int64_t sum = 0;

	for (uint8_t i = 0; i < count; i++) {
		sum += p[i].debit == owes || p[i].debit == owed ? p[i].amount.fen : 0;
		sum -= p[i].credit == owes || p[i].credit == owed ? p[i].amount.fen : 0;
	}
	return sum;
}
