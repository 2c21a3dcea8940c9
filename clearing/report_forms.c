/*
 * report_forms - the forms of a day, all folds over the same cubes: D-01 day summary, D-02 lines, D-03 card classes
 * and concessions, D-04 subsidies, D-05 exceptions, M-02 statement per operator, S-01 claim per treasury.
 */
#include "clearing/report.h"

#include <string.h>

/* ---- names ------------------------------------------------------------------------------------------------ */

const struct tariff *tariff_of(const struct report *r, const struct cube *c)
{
	const struct tariff *t = refdata_tariff_version(r->ref, c->tariff_version);

	return t != NULL ? t : refdata_tariff(r->ref, INT64_MAX / 4);
}

void operator_text(const struct report *r, const struct cube *c, char text[96])
{
	const struct tariff *t = tariff_of(r, c);
	struct tariff_operator o;

	if (t != NULL && tariff_operator(t, c->operator_id, &o))
		snprintf(text, 96, "%s", o.title);
	else
		snprintf(text, 96, "%u", c->operator_id);
}

static void line_text(const struct report *r, const struct cube *c, char county[48])
{
	const struct tariff *t = tariff_of(r, c);
	struct tariff_line l;

	snprintf(county, 48, "%s", t != NULL && tariff_line_find(t, c->line, (int64_t)r->day.day * 86400000, &l) ? l.county : "");
}

static bool rule_of(const struct report *r, const struct cube *c, uint16_t rule, struct tariff_rule *ret)
{
	const struct tariff *t = tariff_of(r, c);

	return t != NULL && rule != 0 && tariff_rule(t, rule, ret);
}

static bool is_money(const struct cube *c) { return verdict_info((enum verdict)c->verdict)->money; }

static int64_t subsidy_of(const struct cube *c)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < c->funder_count; i++)
		sum += c->funder[i].fen;
	return sum;
}

/* Columns every money table ends with, and how a cube adds to them. */
enum { M_TAPS, M_TRANSFERS, M_PUBLISHED, M_CHARGED, M_RATED, M_SUBSIDY, M_ABSORBED, M_OVER, M_UNDER, M_HOLD, M_COUNT };

static void money_columns(struct report *r)
{
	column(r, "taps", "笔数", false);
	column(r, "transfers", "换乘笔数", false);
	column(r, "published_fen", "应收票价(分)", false);
	column(r, "charged_fen", "实收(分)", false);
	column(r, "rated_fen", "规则应付(分)", false);
	column(r, "subsidy_fen", "财政补贴(分)", false);
	column(r, "absorbed_fen", "企业承担(分)", false);
	column(r, "overcharge_fen", "多扣(分)", false);
	column(r, "undercharge_fen", "少扣(分)", false);
	column(r, "hold_fen", "上车预扣增减(分)", false);
}

static void money_add_cube(int64_t *n, const struct cube *c)
{
	n[M_TAPS] += (int64_t)c->taps;
	n[M_TRANSFERS] += (int64_t)c->transfers;
	n[M_PUBLISHED] += c->published_fen;
	n[M_CHARGED] += c->charged_fen;
	n[M_RATED] += c->rated_fen;
	n[M_SUBSIDY] += subsidy_of(c);
	n[M_ABSORBED] += c->absorbed_fen;
	n[M_OVER] += c->overcharge_fen;
	n[M_UNDER] += c->undercharge_fen;
	n[M_HOLD] += c->hold_fen;
}

/* Postings of the day by account class of the debit and of the credit, reason, and a party of the debit above: 0 any. */
static int64_t postings_sum(struct report *r, unsigned debit_class, unsigned credit_class, uint8_t reason, unsigned party_above)
{
	struct posting_row p;
	struct iter it;
	int64_t sum = 0;

	postings_open(r, &it);
	while (postings_next(&it, &p))
		if ((debit_class == 0 || ACCOUNT_CLASS(p.debit) == debit_class) && (credit_class == 0 || ACCOUNT_CLASS(p.credit) == credit_class) &&
		    (reason == 0 || p.reason == reason) && (party_above == 0 || ACCOUNT_PARTY(p.debit) > party_above))
			sum += p.sum_fen;
	iter_close(&it);
	return sum;
}

int64_t ledger_sum(struct report *r, unsigned debit_class, uint8_t reason) { return postings_sum(r, debit_class, 0, reason, 0); }

int64_t credit_sum(struct report *r, unsigned credit_class, uint8_t reason) { return postings_sum(r, 0, credit_class, reason, 0); }

/* Pending shares of treasuries: the accounts whose party is 100 + treasury. */
static int64_t pending_subsidy(struct report *r) { return postings_sum(r, ACCOUNT_PENDING, 0, POST_PENDING, 100); }

static void money_relations(struct report *r, const int64_t *n)
{
	relation(r, "应收票价 = 规则应付 + 财政补贴 + 企业承担", n[M_PUBLISHED], n[M_RATED] + n[M_SUBSIDY] + n[M_ABSORBED]);
	relation(r, "实收 = 规则应付 + 上车预扣增减 + 多扣 - 少扣", n[M_CHARGED], n[M_RATED] + n[M_HOLD] + n[M_OVER] - n[M_UNDER]);
	relation(r, "实收 + 财政补贴 = 当日入账分录 (票款、补贴、多扣、待确认)", n[M_CHARGED] + n[M_SUBSIDY],
		 ledger_sum(r, 0, POST_FARE) + ledger_sum(r, 0, POST_SUBSIDY) + ledger_sum(r, 0, POST_OVERCHARGE) + ledger_sum(r, 0, POST_PENDING) +
			 ledger_sum(r, 0, POST_KEPT));
}

/* ---- the forms -------------------------------------------------------------------------------------------------- */

static void total_relations(struct report *r)
{
	int64_t n[M_COUNT] = { 0 };

	for (size_t i = 0; i < r->cube_count; i++)
		if (is_money(&r->cube[i]))
			money_add_cube(n, &r->cube[i]);
	money_relations(r, n);
}

void form_d01(struct report *r)
{
	static const char *const schemes[SCHEME_COUNT] = { "", "本地电子钱包", "交通联合异地卡", "银行账户", "司机录入", "银联乘车码", "电子社保卡身份码" };

	r->title = "日清分汇总表";
	column(r, "operator", "运营企业", true);
	column(r, "scheme", "结算方案", true);
	column(r, "state", "状态", true);
	money_columns(r);
	for (size_t i = 0; i < r->cube_count; i++) {
		const struct cube *c = &r->cube[i];
		char name[96];
		const char *text[3] = { name, schemes[c->scheme % SCHEME_COUNT], c->verdict == VERDICT_PENDING ? "待确认" : "已确认" };

		if (!is_money(c))
			continue;
		operator_text(r, c, name);
		money_add_cube(row_of(r, text, 3)->number + 3, c);
	}
	total_relations(r);
}

void form_d02(struct report *r)
{
	r->title = "线路日结算明细表";
	column(r, "operator", "运营企业", true);
	column(r, "county", "县区", true);
	column(r, "line", "线路", true);
	money_columns(r);
	for (size_t i = 0; i < r->cube_count; i++) {
		const struct cube *c = &r->cube[i];
		char name[96], county[48];
		const char *text[3] = { name, county, c->line };

		if (!is_money(c))
			continue;
		operator_text(r, c, name);
		line_text(r, c, county);
		money_add_cube(row_of(r, text, 3)->number + 3, c);
	}
	total_relations(r);
}

void form_d03(struct report *r)
{
	static const char *const classes[] = { "", "普通卡", "学生卡", "老人卡", "测试卡", "军人卡" };
	static const char *const media[] = { "", "交通卡", "社保卡", "二维码", "银行卡", "银行乘车码", "司机录入", "" };

	r->title = "卡种及优惠明细表";
	column(r, "medium", "介质", true);
	column(r, "card_class", "卡种", true);
	column(r, "group", "优待人群", true);
	column(r, "rule", "规则", true);
	money_columns(r);
	for (size_t i = 0; i < r->cube_count; i++) {
		const struct cube *c = &r->cube[i];
		const struct tariff *t = tariff_of(r, c);
		const char *group = t != NULL && c->group != 0 ? tariff_group_title(t, c->group) : "";
		struct tariff_rule rule = { .title = "票面价" };
		const char *text[4] = { media[c->medium & 7], c->card_class < 6 ? classes[c->card_class] : "", group != NULL ? group : "", NULL };

		if (!is_money(c))
			continue;
		rule_of(r, c, c->rule, &rule);
		text[3] = rule.title;
		money_add_cube(row_of(r, text, 4)->number + 4, c);
	}
	total_relations(r);
}

/* One row for each treasury, rule, operator and line: what is claimed, and by which document. */
void form_d04(struct report *r, const char *title)
{
	int64_t claimed = 0;

	r->title = title;
	column(r, "treasury", "财政", true);
	column(r, "rule", "优待规则", true);
	column(r, "basis", "文件依据", true);
	column(r, "funding", "补贴办法", true);
	column(r, "operator", "运营企业", true);
	column(r, "line", "线路", true);
	column(r, "taps", "笔数", false);
	column(r, "published_fen", "应收票价(分)", false);
	column(r, "claim_fen", "补贴(分)", false);
	for (size_t i = 0; i < r->cube_count; i++) {
		const struct cube *c = &r->cube[i];

		for (uint8_t k = 0; is_money(c) && k < c->funder_count; k++) {
			struct tariff_rule rule = { .title = "", .basis = "" }, fund = { .title = "" };
			struct tariff_treasury treasury = { .title = "?" };
			char name[96];
			const char *text[6];
			struct row *row;

			rule_of(r, c, c->rule, &rule);
			rule_of(r, c, c->fund_rule, &fund);
			tariff_treasury(tariff_of(r, c), c->funder[k].treasury, &treasury);
			operator_text(r, c, name);
			text[0] = treasury.title;
			text[1] = rule.title;
			text[2] = rule.basis;
			text[3] = fund.title;
			text[4] = name;
			text[5] = c->line;
			row = row_of(r, text, 6);
			row->number[6] += (int64_t)c->taps;
			row->number[7] += c->published_fen;
			row->number[8] += c->funder[k].fen;
			claimed += c->funder[k].fen;
		}
	}
	claimed += claims_adjust(r);
	relation(r, "补贴合计 = 应收财政补贴分录 + 待确认补贴分录 + 补贴调整分录", claimed,
		 ledger_sum(r, ACCOUNT_TREASURY, POST_SUBSIDY) + pending_subsidy(r) - ledger_adjust(r, ACCOUNT_TREASURY));
}

/* Records of other days that settle in this one by a person's signature: told here, counted as money above. */
static void released_rows(struct report *r)
{
	const struct release *release;

	for (size_t i = 0; (release = refdata_release_at(r->ref, i)) != NULL; i++) {
		uint8_t key[CLEARED_KEY_BYTES];
		char name[96];
		const char *text[4] = { "released", "隔离后由人员签名放行, 计入本日", "000000", name };
		struct cleared c;
		struct row *row;

		if (release->seq <= r->day.first_seq || release->seq > r->day.cut_seq)
			continue;
		row_key(r->day.day, CLEARED_RIDE, release->key, 0, key);
		if (!row_get(&r->t, key, &c))
			continue;
		operator_text(r, &(struct cube){ .operator_id = c.operator_id, .tariff_version = c.tariff_version }, name);
		row = row_of(r, text, 4);
		row->number[4]++;
		row->number[5] += c.priced.charged.fen;
	}
}

/* Taps of other days that two persons decided about in this one. */
static void confirmed_rows(struct report *r)
{
	const struct confirm *c;

	for (size_t at = 0; (c = refdata_confirm_next(r->ref, &at)) != NULL;) {
		const char *text[4] = { c->decision == CONFIRM_GOOD ? "confirmed" : "confirm-refused",
					c->decision == CONFIRM_GOOD ? "密钥泄露, 经两人签名确认入账" : "密钥泄露, 经两人签名不予入账", "000000", NULL };
		struct cleared row;
		char name[96];
		int32_t day;
		struct row *line;

		if (c->seq <= r->day.first_seq || c->seq > r->day.cut_seq || !distrusted_find(&r->t, c->key, &day, &row))
			continue;
		operator_text(r, &(struct cube){ .operator_id = row.operator_id, .tariff_version = row.tariff_version }, name);
		text[3] = name;
		line = row_of(r, text, 4);
		line->number[4]++;
		line->number[5] += row.priced.charged.fen;
	}
}

void form_d05(struct report *r)
{
	int64_t all = 0, listed = 0, money = 0;

	r->title = "差错报表";
	column(r, "verdict", "判定", true);
	column(r, "text", "说明", true);
	column(r, "code", "错误码", true);
	column(r, "operator", "运营企业", true);
	column(r, "taps", "笔数", false);
	column(r, "charged_fen", "记录金额(分)", false);
	for (size_t i = 0; i < r->cube_count; i++) {
		const struct cube *c = &r->cube[i];
		const struct verdict_info *v = verdict_info((enum verdict)c->verdict);
		char name[96];
		const char *text[4] = { v->name, v->zh, v->code, name };
		struct row *row;

		all += (int64_t)c->taps;
		money += v->money ? (int64_t)c->taps : 0;
		if (c->verdict == VERDICT_ACCEPTED)
			continue;
		operator_text(r, c, name);
		row = row_of(r, text, 4);
		row->number[4] += (int64_t)c->taps;
		row->number[5] += c->charged_fen;
		listed += v->money ? 0 : (int64_t)c->taps;
	}
	released_rows(r);
	confirmed_rows(r);
	relation(r, "收到笔数 = 计入清分 + 差错各类", (int64_t)r->day.tap_count, money + listed);
	relation(r, "收到笔数 = 各类判定之和", (int64_t)r->day.tap_count, all);
}

/* What a day books about earlier ones: rides rated anew, first rides lost, losses paid after all. */
static bool is_adjustment(const struct posting_row *p)
{
	return (p->reason >= POST_ADJUST_FARE && p->reason <= POST_ADJUST_REFUND) || p->reason == POST_RISK || p->reason == POST_ARREARS_PAID;
}

/* A posting into the row of the operator it concerns. */
static void m02_add(struct report *r, const struct posting_row *p)
{
	bool debit = p->reason == POST_FEE || p->reason == POST_HOLD_BACK || (is_adjustment(p) && ACCOUNT_CLASS(p->debit) == ACCOUNT_OPERATOR);
	account_t account = debit ? p->debit : p->credit;
	bool firm = ACCOUNT_CLASS(account) == ACCOUNT_OPERATOR;
	struct cube c = { .operator_id = ACCOUNT_PARTY(account), .tariff_version = p->tariff_version };
	int64_t fen = debit && p->reason != POST_FEE ? -p->sum_fen : p->sum_fen;
	const char *text[1];
	char name[96];
	struct row *row;

	if (!firm && ACCOUNT_CLASS(account) != ACCOUNT_OPERATOR_PENDING)
		return;
	operator_text(r, &c, name);
	text[0] = name;
	row = row_of(r, text, 1);
	row->number[is_adjustment(p) ? 6 : p->reason == POST_FEE ? 5 : !firm ? 3 : p->reason == POST_SUBSIDY ? 2 : p->reason == POST_CONFIRMED ? 4 : 1] += fen;
	row->number[7] += p->reason == POST_FEE ? -fen : firm ? fen : 0;
}

/* What each operator is owed: fares, subsidies, pending, corrections; from the postings, beside the taps. */
void form_m02(struct report *r)
{
	struct posting_row p;
	struct iter it;
	int64_t payable = 0, ledger = 0;

	r->title = "运营企业结算单";
	column(r, "operator", "运营企业", true);
	column(r, "fare_fen", "票款(分)", false);
	column(r, "subsidy_fen", "财政补贴(分)", false);
	column(r, "pending_fen", "待确认(分)", false);
	column(r, "confirmed_fen", "本日确认的以前待确认(分)", false);
	column(r, "fee_fen", "手续费(分)", false);
	column(r, "adjust_fen", "以前日调整(分)", false);
	column(r, "payable_fen", "本日应付(分)", false);
	postings_open(r, &it);
	while (postings_next(&it, &p)) {
		m02_add(r, &p);
		ledger += ACCOUNT_CLASS(p.credit) == ACCOUNT_OPERATOR ? p.sum_fen : 0;
		ledger -= ACCOUNT_CLASS(p.debit) == ACCOUNT_OPERATOR ? p.sum_fen : 0;
	}
	iter_close(&it);
	for (size_t i = 0; i < r->rows; i++)
		payable += r->row[i].number[7];
	relation(r, "应付合计 = 应付运营企业科目贷方 - 借方", payable, ledger);
}
