/* report_risk - D-08: first rides that banks did not pay, by who bears them, and what of them was paid after all. From the postings. */
#include "clearing/report.h"

#include <stdio.h>

enum { L_RIDES = 3, L_LOST, L_PAID };

static void bearer_row(struct report *r, const struct posting_row *p, account_t bearer, int column_of)
{
	char account[16], title[96], contract[64];
	const char *text[3] = { account, "企业承担", title };
	struct row *row;

	snprintf(account, sizeof(account), "%u", bearer);
	operator_text(r, &(struct cube){ .operator_id = ACCOUNT_PARTY(bearer), .tariff_version = p->tariff_version }, title);
	if (contract_title(&r->t, r->day.cut_seq, bearer, contract)) {
		text[1] = "合同承担";
		snprintf(title, sizeof(title), "%s", contract);
	}
	row = row_of(r, text, 3);
	row->number[L_RIDES] += column_of == L_LOST ? (int64_t)p->count : 0;
	row->number[column_of] += p->sum_fen;
}

void form_d08(struct report *r)
{
	struct posting_row p;
	int64_t lost = 0;
	struct iter it;

	r->title = "首乘损失表";
	column(r, "account", "科目", true);
	column(r, "kind", "承担", true);
	column(r, "bearer", "承担方", true);
	column(r, "rides", "乘车次数", false);
	column(r, "lost_fen", "损失(分)", false);
	column(r, "paid_fen", "后付清退还(分)", false);
	postings_open(r, &it);
	while (postings_next(&it, &p)) {
		if (p.reason == POST_RISK)
			bearer_row(r, &p, p.debit, L_LOST);
		else if (p.reason == POST_ARREARS_PAID && p.credit != ACCOUNT(ACCOUNT_BANK, 2))
			bearer_row(r, &p, p.credit, L_PAID);
	}
	iter_close(&it);
	for (size_t i = 0; i < r->rows; i++)
		lost += r->row[i].number[L_LOST];
	relation(r, "损失合计 = 转出欠费的首乘损失分录", lost, credit_sum(r, ACCOUNT_BANK, POST_RISK));
}
