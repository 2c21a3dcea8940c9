/*
 * report - the forms of a day, all folds over the same cubes: D-01 day summary, D-02 lines, D-03 card classes and
 * concessions, D-04 subsidies, D-05 exceptions, M-02 statement per operator, S-01 claim per treasury. Each is a
 * table of rows built once and written as JSON or CSV, with the balance relations (审核关系) that tie it to the
 * others and to the ledger. docs/reports.md defines every column.
 */
#include "clearing/clearing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16
#define ROWS_MAX 200000

struct report {
	struct txn t;
	struct refdata *ref;
	struct day_row day;
	struct cube *cube; size_t cube_count, cube_space;
	const char *title;
	struct { const char *key, *zh; bool text; } column[COLUMNS_MAX]; size_t columns;
	struct row { char *text[COLUMNS_MAX]; int64_t number[COLUMNS_MAX]; } *row; size_t rows, space;
	struct { const char *zh; int64_t left, right; } relation[8]; size_t relations;
};

/* ---- the table --------------------------------------------------------------------------------------- */

static void column(struct report *r, const char *key, const char *zh, bool text)
{
	r->column[r->columns].key = key;
	r->column[r->columns].zh = zh;
	r->column[r->columns++].text = text;
}

/* The row whose texts are these, made when new. Rows are few: lines x rules of one city. */
static struct row *row_of(struct report *r, const char *const *text, size_t count)
{
	struct row *row;

	for (size_t i = r->rows; i-- > 0;) {
		size_t k = 0;

		while (k < count && strcmp(r->row[i].text[k], text[k]) == 0)
			k++;
		if (k == count)
			return &r->row[i];
	}
	if (r->rows == r->space) {
		size_t space = r->space ? r->space * 2 : 64;
		struct row *wide = realloc(r->row, space * sizeof(*wide));

		if (wide == NULL || space > ROWS_MAX)
			abort();
		r->row = wide;
		r->space = space;
	}
	row = &r->row[r->rows++];
	*row = (struct row){ 0 };
	for (size_t k = 0; k < count; k++)
		if ((row->text[k] = strdup(text[k])) == NULL)
			abort();
	return row;
}

static void relation(struct report *r, const char *zh, int64_t left, int64_t right)
{
	r->relation[r->relations].zh = zh;
	r->relation[r->relations].left = left;
	r->relation[r->relations++].right = right;
}

static void report_done(struct report *r)
{
	for (size_t i = 0; i < r->rows; i++)
		for (size_t k = 0; k < COLUMNS_MAX; k++)
			free(r->row[i].text[k]);
	free(r->row);
	free(r->cube);
	refdata_free(r->ref);
	txn_abort(&r->t);
}

static int report_open(struct store *s, int32_t day, struct report *r)
{
	uint8_t prefix[4];
	struct iter it;
	int ret = txn_begin(s, false, &r->t);

	if (ret != 0)
		return ret;
	if (!day_get(&r->t, day, &r->day))
		return CLEARING_E_NO_DAY;
	if (r->day.state < DAY_CLEARED)
		return CLEARING_E_STATE;
	ret = refdata_new(&r->ref);
	if (ret == 0)
		ret = refdata_replay(r->ref, &r->t, r->day.cut_seq);
	be32_put(prefix, (uint32_t)day ^ 0x80000000u);
	iter_open(&r->t, DB_CUBE, prefix, sizeof(prefix), &it);
	while (ret == 0 && iter_next(&it)) {
		if (r->cube_count == r->cube_space) {
			size_t space = r->cube_space ? r->cube_space * 2 : 256;
			struct cube *wide = realloc(r->cube, space * sizeof(*wide));

			if (wide == NULL) {
				ret = -ENOMEM;
				break;
			}
			r->cube = wide;
			r->cube_space = space;
		}
		if (!cube_decode(it.key, it.key_bytes, it.val, it.val_bytes, &r->cube[r->cube_count++]))
			ret = CLEARING_E_STORE;
	}
	iter_close(&it);
	return ret != 0 ? ret : r->t.error;
}

/* ---- names ------------------------------------------------------------------------------------------------ */

static const struct tariff *tariff_of(const struct report *r, const struct cube *c)
{
	const struct tariff *t = refdata_tariff_version(r->ref, c->tariff_version);

	return t != NULL ? t : refdata_tariff(r->ref, INT64_MAX / 4);
}

static void operator_text(const struct report *r, const struct cube *c, char text[96])
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
enum { M_TAPS, M_TRANSFERS, M_PUBLISHED, M_CHARGED, M_RATED, M_SUBSIDY, M_ABSORBED, M_OVER, M_UNDER, M_COUNT };

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
}

static int64_t ledger_sum(struct report *r, unsigned debit_class, uint8_t reason)
{
	uint8_t prefix[4];
	struct iter it;
	int64_t sum = 0;

	be32_put(prefix, (uint32_t)r->day.day ^ 0x80000000u);
	iter_open(&r->t, DB_POSTING, prefix, sizeof(prefix), &it);
	while (iter_next(&it)) {
		struct posting_row p;

		if (posting_decode(it.key, it.key_bytes, it.val, it.val_bytes, &p) && (debit_class == 0 || ACCOUNT_CLASS(p.debit) == debit_class) &&
		    (reason == 0 || p.reason == reason))
			sum += p.sum_fen;
	}
	iter_close(&it);
	return sum;
}

/* Pending shares of treasuries: the accounts whose party is 100 + treasury. */
static int64_t pending_subsidy(struct report *r)
{
	uint8_t prefix[4];
	struct iter it;
	int64_t sum = 0;

	be32_put(prefix, (uint32_t)r->day.day ^ 0x80000000u);
	iter_open(&r->t, DB_POSTING, prefix, sizeof(prefix), &it);
	while (iter_next(&it)) {
		struct posting_row p;

		if (posting_decode(it.key, it.key_bytes, it.val, it.val_bytes, &p) && p.reason == POST_PENDING && ACCOUNT_CLASS(p.debit) == ACCOUNT_PENDING &&
		    ACCOUNT_PARTY(p.debit) > 100)
			sum += p.sum_fen;
	}
	iter_close(&it);
	return sum;
}

static void money_relations(struct report *r, const int64_t *n)
{
	relation(r, "应收票价 = 规则应付 + 财政补贴 + 企业承担", n[M_PUBLISHED], n[M_RATED] + n[M_SUBSIDY] + n[M_ABSORBED]);
	relation(r, "实收 = 规则应付 + 多扣 - 少扣", n[M_CHARGED], n[M_RATED] + n[M_OVER] - n[M_UNDER]);
	relation(r, "实收 + 财政补贴 = 当日入账分录 (票款、补贴、多扣、待确认)", n[M_CHARGED] + n[M_SUBSIDY],
		 ledger_sum(r, 0, POST_FARE) + ledger_sum(r, 0, POST_SUBSIDY) + ledger_sum(r, 0, POST_OVERCHARGE) + ledger_sum(r, 0, POST_PENDING));
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

static void form_d01(struct report *r)
{
	static const char *const schemes[] = { "", "本地电子钱包", "交通联合异地卡", "银行账户", "司机录入" };

	r->title = "日清分汇总表";
	column(r, "operator", "运营企业", true);
	column(r, "scheme", "结算方案", true);
	column(r, "state", "状态", true);
	money_columns(r);
	for (size_t i = 0; i < r->cube_count; i++) {
		const struct cube *c = &r->cube[i];
		char name[96];
		const char *text[3] = { name, schemes[c->scheme % 5], c->verdict == VERDICT_PENDING ? "待确认" : "已确认" };

		if (!is_money(c))
			continue;
		operator_text(r, c, name);
		money_add_cube(row_of(r, text, 3)->number + 3, c);
	}
	total_relations(r);
}

static void form_d02(struct report *r)
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

static void form_d03(struct report *r)
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
static void form_d04(struct report *r, const char *title)
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
	relation(r, "补贴合计 = 应收财政补贴分录 + 待确认补贴分录", claimed, ledger_sum(r, ACCOUNT_TREASURY, POST_SUBSIDY) + pending_subsidy(r));
}

static void form_d05(struct report *r)
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
	relation(r, "收到笔数 = 计入清分 + 差错各类", (int64_t)r->day.tap_count, money + listed);
	relation(r, "收到笔数 = 各类判定之和", (int64_t)r->day.tap_count, all);
}

/* What each operator is owed: fares, subsidies, pending; from the postings, beside the taps. */
static void form_m02(struct report *r)
{
	uint8_t prefix[4];
	struct iter it;
	int64_t credit = 0, ledger = 0;

	r->title = "运营企业结算单";
	column(r, "operator", "运营企业", true);
	column(r, "fare_fen", "票款(分)", false);
	column(r, "subsidy_fen", "财政补贴(分)", false);
	column(r, "pending_fen", "待确认(分)", false);
	column(r, "confirmed_fen", "本日确认的以前待确认(分)", false);
	column(r, "fee_fen", "手续费(分)", false);
	column(r, "payable_fen", "本日应付(分)", false);
	be32_put(prefix, (uint32_t)r->day.day ^ 0x80000000u);
	iter_open(&r->t, DB_POSTING, prefix, sizeof(prefix), &it);
	while (iter_next(&it)) {
		struct posting_row p;
		struct cube c = { 0 };
		const char *text[1];
		char name[96];
		struct row *row;
		bool fee;

		if (!posting_decode(it.key, it.key_bytes, it.val, it.val_bytes, &p))
			continue;
		fee = p.reason == POST_FEE;
		c.operator_id = fee ? ACCOUNT_PARTY(p.debit) : ACCOUNT_PARTY(p.credit);
		c.tariff_version = p.tariff_version;
		if (!fee && ACCOUNT_CLASS(p.credit) != ACCOUNT_OPERATOR && ACCOUNT_CLASS(p.credit) != ACCOUNT_OPERATOR_PENDING)
			continue;
		operator_text(r, &c, name);
		text[0] = name;
		row = row_of(r, text, 1);
		row->number[fee ? 5 : ACCOUNT_CLASS(p.credit) == ACCOUNT_OPERATOR_PENDING ? 3 : p.reason == POST_SUBSIDY ? 2 : p.reason == POST_CONFIRMED ? 4 : 1] += p.sum_fen;
		row->number[6] += fee ? -p.sum_fen : ACCOUNT_CLASS(p.credit) == ACCOUNT_OPERATOR ? p.sum_fen : 0;
		ledger += fee ? -p.sum_fen : ACCOUNT_CLASS(p.credit) == ACCOUNT_OPERATOR ? p.sum_fen : 0;
	}
	iter_close(&it);
	for (size_t i = 0; i < r->rows; i++)
		credit += r->row[i].number[6];
	relation(r, "应付合计 = 应付运营企业科目贷方 - 手续费", credit, ledger);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static int row_compare(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;

	for (size_t k = 0; k < COLUMNS_MAX && a->text[k] != NULL; k++) {
		int order = strcmp(a->text[k], b->text[k]);

		if (order != 0)
			return order;
	}
	return 0;
}

static void totals_of(const struct report *r, int64_t total[COLUMNS_MAX])
{
	memset(total, 0, COLUMNS_MAX * sizeof(total[0]));
	for (size_t i = 0; i < r->rows; i++)
		for (size_t k = 0; k < r->columns; k++)
			total[k] += r->row[i].number[k];
}

static void write_json(const struct report *r, const char *form, FILE *out)
{
	int64_t total[COLUMNS_MAX];
	char day[11];
	struct jsonw j;

	totals_of(r, total);
	day_format(r->day.day, day);
	jsonw_init(&j, out, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.report");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "form", form);
	jsonw_kstr(&j, "title", r->title);
	jsonw_kstr(&j, "day", day);
	jsonw_key(&j, "rows");
	jsonw_array(&j);
	for (size_t i = 0; i < r->rows; i++) {
		jsonw_object(&j);
		for (size_t k = 0; k < r->columns; k++)
			if (r->column[k].text)
				jsonw_kstr(&j, r->column[k].key, r->row[i].text[k]);
			else
				jsonw_kint(&j, r->column[k].key, r->row[i].number[k]);
		jsonw_object_end(&j);
	}
	jsonw_array_end(&j);
	jsonw_key(&j, "total");
	jsonw_object(&j);
	for (size_t k = 0; k < r->columns; k++)
		if (!r->column[k].text)
			jsonw_kint(&j, r->column[k].key, total[k]);
	jsonw_object_end(&j);
	jsonw_key(&j, "relations");
	jsonw_array(&j);
	for (size_t i = 0; i < r->relations; i++) {
		jsonw_object(&j);
		jsonw_kstr(&j, "text", r->relation[i].zh);
		jsonw_kint(&j, "left", r->relation[i].left);
		jsonw_kint(&j, "right", r->relation[i].right);
		jsonw_kbool(&j, "holds", r->relation[i].left == r->relation[i].right);
		jsonw_object_end(&j);
	}
	jsonw_array_end(&j);
	jsonw_object_end(&j);
	fputc('\n', out);
}

static void csv_text(FILE *out, const char *text)
{
	if (strpbrk(text, ",\"\r\n") == NULL) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

/* UTF-8 with BOM and CRLF: what the spreadsheets of an office open by a double click. */
static void write_csv(const struct report *r, FILE *out)
{
	int64_t total[COLUMNS_MAX];

	totals_of(r, total);
	fputs("\xEF\xBB\xBF", out);
	for (size_t k = 0; k < r->columns; k++) {
		fputs(k > 0 ? "," : "", out);
		csv_text(out, r->column[k].zh);
	}
	fputs("\r\n", out);
	for (size_t i = 0; i < r->rows; i++) {
		for (size_t k = 0; k < r->columns; k++) {
			fputs(k > 0 ? "," : "", out);
			if (r->column[k].text)
				csv_text(out, r->row[i].text[k]);
			else
				fprintf(out, "%" PRId64, r->row[i].number[k]);
		}
		fputs("\r\n", out);
	}
	for (size_t k = 0; k < r->columns; k++) {
		fputs(k > 0 ? "," : "", out);
		if (k == 0)
			fputs("合计", out);
		else if (!r->column[k].text)
			fprintf(out, "%" PRId64, total[k]);
	}
	fputs("\r\n", out);
}

int report_write(struct store *s, int32_t day, const char *form, const char *format, FILE *out)
{
	struct report r = { 0 };
	int ret = report_open(s, day, &r);

	if (ret == 0) {
		if (strcmp(form, "D-01") == 0)
			form_d01(&r);
		else if (strcmp(form, "D-02") == 0)
			form_d02(&r);
		else if (strcmp(form, "D-03") == 0)
			form_d03(&r);
		else if (strcmp(form, "D-04") == 0)
			form_d04(&r, "财政补贴核算表");
		else if (strcmp(form, "S-01") == 0)
			form_d04(&r, "财政补贴申领单");
		else if (strcmp(form, "D-05") == 0)
			form_d05(&r);
		else if (strcmp(form, "M-02") == 0)
			form_m02(&r);
		else
			ret = -EINVAL;
	}
	if (ret == 0) {
		if (r.rows > 1)
			qsort(r.row, r.rows, sizeof(r.row[0]), row_compare);
		if (strcmp(format, "csv") == 0)
			write_csv(&r, out);
		else
			write_json(&r, form, out);
		ret = r.t.error;
	}
	report_done(&r);
	return ret;
}
