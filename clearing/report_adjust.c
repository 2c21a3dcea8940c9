/*
 * report_adjust - what a day books about rides of earlier days: D-06 by cause, settled day and operator, and the rows
 * that D-04 and S-01 get by it, so that a treasury's claims over all days are what it owes.
 */
#include "clearing/report.h"

#include <string.h>

typedef void (*adjust_fn)(struct report *r, const struct adjustment *a, void *arg);

static void each_adjustment(struct report *r, adjust_fn fn, void *arg)
{
	uint8_t prefix[4];
	struct adjustment a;
	struct iter it;

	be32_put(prefix, (uint32_t)r->day.day ^ 0x80000000u);
	iter_open(&r->t, DB_ADJUST, prefix, sizeof(prefix), &it);
	while (iter_next(&it)) {
		if (adjust_decode(it.key, it.key_bytes, it.val, it.val_bytes, &a))
			fn(r, &a, arg);
		else if (r->t.error == 0)
			r->t.error = CLEARING_E_STORE;
	}
	iter_close(&it);
}

static int64_t credited(const struct adjustment *a, unsigned account_class)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < a->posting_count; i++) {
		sum += ACCOUNT_CLASS(a->posting[i].credit) == account_class ? a->posting[i].amount.fen : 0;
		sum -= ACCOUNT_CLASS(a->posting[i].debit) == account_class ? a->posting[i].amount.fen : 0;
	}
	return sum;
}

int64_t ledger_adjust(struct report *r, unsigned account_class)
{
	struct posting_row p;
	int64_t sum = 0;
	struct iter it;

	postings_open(r, &it);
	while (postings_next(&it, &p)) {
		if (p.reason < POST_ADJUST_FARE || p.reason > POST_ADJUST_REFUND)
			continue;
		sum += ACCOUNT_CLASS(p.credit) == account_class ? p.sum_fen : 0;
		sum -= ACCOUNT_CLASS(p.debit) == account_class ? p.sum_fen : 0;
	}
	iter_close(&it);
	return sum;
}

/* ---- D-06 ----------------------------------------------------------------------------------------------- */

enum { A_RIDES = 3, A_BEFORE, A_AFTER, A_RIDER, A_SUBSIDY, A_OPERATOR };

static void d06_add(struct report *r, const struct adjustment *a, void *arg)
{
	struct cube c = { .operator_id = a->operator_id, .tariff_version = a->tariff_version };
	char settled[11], name[96];
	const char *text[3] = { adjust_cause_zh((enum adjust_cause)a->cause), settled, name };
	struct row *row;

	(void)arg;
	day_format(a->settled_day, settled);
	operator_text(r, &c, name);
	row = row_of(r, text, 3);
	row->number[A_RIDES]++;
	row->number[A_BEFORE] += verdict_info((enum verdict)a->was)->money ? a->before.paid.fen : 0;
	row->number[A_AFTER] += verdict_info((enum verdict)a->verdict)->money ? a->fare.paid.fen : 0;
	row->number[A_RIDER] += credited(a, ACCOUNT_RIDER_REFUND);
	row->number[A_SUBSIDY] -= credited(a, ACCOUNT_TREASURY);
	row->number[A_OPERATOR] += credited(a, ACCOUNT_OPERATOR);
}

void form_d06(struct report *r)
{
	int64_t rider = 0, subsidy = 0, operator = 0;

	r->title = "调整汇总表";
	column(r, "cause", "原因", true);
	column(r, "settled", "原结算日", true);
	column(r, "operator", "运营企业", true);
	column(r, "rides", "调整笔数", false);
	column(r, "before_fen", "原规则应付(分)", false);
	column(r, "after_fen", "调整后规则应付(分)", false);
	column(r, "rider_fen", "应退乘客增减(分)", false);
	column(r, "subsidy_fen", "财政补贴增减(分)", false);
	column(r, "operator_fen", "应付企业增减(分)", false);
	each_adjustment(r, d06_add, NULL);
	for (size_t i = 0; i < r->rows; i++) {
		rider += r->row[i].number[A_RIDER];
		subsidy += r->row[i].number[A_SUBSIDY];
		operator += r->row[i].number[A_OPERATOR];
	}
	relation(r, "应退乘客增减 = 调整分录", rider, ledger_adjust(r, ACCOUNT_RIDER_REFUND));
	relation(r, "财政补贴增减 = 调整分录", subsidy, -ledger_adjust(r, ACCOUNT_TREASURY));
	relation(r, "应付企业增减 = 调整分录", operator, ledger_adjust(r, ACCOUNT_OPERATOR));
}

/* ---- claims ---------------------------------------------------------------------------------------------------- */

/* Line of the adjusted ride, from its row. */
static void ride_line(struct report *r, const struct adjustment *a, char line[LINE_BYTES_MAX + 1])
{
	uint8_t key[CLEARED_KEY_BYTES];
	struct cleared row;
	const char *field;
	struct tap tap;

	line[0] = '\0';
	row_key(a->settled_day, CLEARED_RIDE, a->key, a->nth, key);
	if (row_get(&r->t, key, &row) && tap_decode(row.raw, row.raw_bytes, &tap, &field) == 0)
		memcpy(line, tap.line, sizeof(tap.line));
}

/* One side of an adjustment into the claims: sign -1 takes back what was claimed for it. */
static int64_t side_add(struct report *r, const struct adjustment *a, const struct fare *f, uint32_t version, int sign)
{
	struct cube c = { .operator_id = a->operator_id, .tariff_version = version };
	const struct tariff *t = tariff_of(r, &c);
	struct tariff_rule rule = { .title = "", .basis = "" }, fund = { .title = "" };
	char name[96], line[LINE_BYTES_MAX + 1];
	int64_t sum = 0;

	if (t != NULL && f->rule != 0)
		tariff_rule(t, f->rule, &rule);
	if (t != NULL && f->fund_rule != 0)
		tariff_rule(t, f->fund_rule, &fund);
	operator_text(r, &c, name);
	ride_line(r, a, line);
	for (uint8_t i = 0; i < f->funder_count; i++) {
		struct tariff_treasury treasury = { .title = "?" };
		const char *text[6] = { NULL, rule.title, rule.basis, fund.title, name, line };

		if (t != NULL)
			tariff_treasury(t, f->funder[i].treasury, &treasury);
		text[0] = treasury.title;
		row_of(r, text, 6)->number[8] += sign * f->funder[i].amount.fen;
		sum += sign * f->funder[i].amount.fen;
	}
	return sum;
}

static void claim_add(struct report *r, const struct adjustment *a, void *arg)
{
	int64_t *sum = arg;

	if (verdict_info((enum verdict)a->was)->money)
		*sum += side_add(r, a, &a->before, a->was_version, -1);
	if (verdict_info((enum verdict)a->verdict)->money)
		*sum += side_add(r, a, &a->fare, a->tariff_version, 1);
}

int64_t claims_adjust(struct report *r)
{
	int64_t sum = 0;

	each_adjustment(r, claim_add, &sum);
	return sum;
}
