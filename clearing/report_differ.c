/*
 * report_differ - D-07: what terminals charged otherwise than is rated, by the reason of it and operator, and what became
 * of it. Tied to the day's overcharges and undercharges, and to the ledger.
 */
#include "clearing/report.h"

#include <string.h>

enum { F_TAPS = 5, F_CHARGED, F_DUE, F_OVER, F_UNDER, F_KEPT, F_REFUND };

/* Days cleared by old versions say only over or under. */
static const char *reason_name(uint8_t reason) { return reason != 0 ? difference_info((enum difference_reason)reason)->name : "unstated"; }
static const char *reason_zh(uint8_t reason) { return reason != 0 ? difference_info((enum difference_reason)reason)->zh : "旧版清分未记原因"; }

static struct row *row_for(struct report *r, const struct cube *c)
{
	const struct tariff *t = tariff_of(r, c);
	struct tariff_policy policy = t != NULL ? tariff_policy(t, (enum difference_reason)c->reason) : (struct tariff_policy){ 0 };
	struct tariff_rule rule = { .title = "全部退还", .basis = "" };
	char name[96];
	const char *text[5] = { reason_name(c->reason), reason_zh(c->reason), NULL, NULL, name };

	if (t != NULL && c->reason != DIFFER_HOLD_BACK)
		tariff_rule(t, policy.rule, &rule);
	text[2] = rule.title;
	text[3] = rule.basis;
	operator_text(r, c, name);
	return row_of(r, text, 5);
}

static void d07_add(struct report *r, const struct cube *c)
{
	struct row *row = row_for(r, c);

	row->number[F_TAPS] += c->reason != 0 ? (int64_t)c->taps : 0;
	row->number[F_CHARGED] += c->charged_fen;
	row->number[F_DUE] += c->rated_fen + c->hold_fen;
	row->number[F_OVER] += c->overcharge_fen;
	row->number[F_UNDER] += c->undercharge_fen;
	row->number[F_KEPT] += c->kept_fen;
	row->number[F_REFUND] += c->overcharge_fen - c->kept_fen;
}

/* What the day's own taps credit riders with. */
static int64_t refunds_posted(struct report *r)
{
	return credit_sum(r, ACCOUNT_RIDER_REFUND, POST_OVERCHARGE) + credit_sum(r, ACCOUNT_RIDER_REFUND, POST_PENDING) +
	       credit_sum(r, ACCOUNT_RIDER_REFUND, POST_HOLD_BACK);
}

void form_d07(struct report *r)
{
	int64_t over = 0, under = 0, kept_firm = 0, listed[F_REFUND + 1] = { 0 };

	r->title = "差异汇总表";
	column(r, "reason", "原因代码", true);
	column(r, "text", "原因", true);
	column(r, "policy", "处理办法", true);
	column(r, "basis", "文件依据", true);
	column(r, "operator", "运营企业", true);
	column(r, "taps", "笔数", false);
	column(r, "charged_fen", "实收(分)", false);
	column(r, "due_fen", "应收取(分)", false);
	column(r, "overcharge_fen", "多扣(分)", false);
	column(r, "undercharge_fen", "少扣(分)", false);
	column(r, "kept_fen", "多扣留企业(分)", false);
	column(r, "refund_fen", "应退乘客(分)", false);
	for (size_t i = 0; i < r->cube_count; i++) {
		const struct cube *c = &r->cube[i];

		if (!verdict_info((enum verdict)c->verdict)->money)
			continue;
		over += c->overcharge_fen;
		under += c->undercharge_fen;
		kept_firm += c->verdict == VERDICT_ACCEPTED ? c->kept_fen : 0;
		if (c->reason != 0 || c->overcharge_fen != 0 || c->undercharge_fen != 0)
			d07_add(r, c);
	}
	for (size_t i = 0; i < r->rows; i++)
		for (int k = F_TAPS; k <= F_REFUND; k++)
			listed[k] += r->row[i].number[k];
	relation(r, "各原因多扣之和 = 日清分汇总表多扣", listed[F_OVER], over);
	relation(r, "各原因少扣之和 = 日清分汇总表少扣", listed[F_UNDER], under);
	relation(r, "实收 = 应收取 + 多扣 - 少扣", listed[F_CHARGED], listed[F_DUE] + listed[F_OVER] - listed[F_UNDER]);
	relation(r, "应退乘客 = 当日退款分录", listed[F_REFUND], refunds_posted(r));
	relation(r, "已确认的多扣留企业 = 留企业分录", kept_firm, ledger_sum(r, 0, POST_KEPT));
}
