/*
 * explain_differ - the part of an explanation about a difference between charged and rated: the reason with what proves
 * it, and the policy of the pack with its document.
 */
#include "clearing/explain.h"

#include <inttypes.h>

static bool differs(const struct difference_told *d) { return d->row->priced.overcharge.fen > 0 || d->row->priced.undercharge.fen > 0; }

static enum difference_reason reason_of(const struct difference_told *d) { return (enum difference_reason)d->row->priced.reason; }

static const char *rounding_zh(uint8_t mode)
{
	switch ((enum money_round)mode) {
	case ROUND_HALF_UP: return "四舍五入";
	case ROUND_HALF_DOWN: return "五舍六入";
	case ROUND_HALF_EVEN: return "四舍六入五成双";
	case ROUND_FLOOR: return "舍去尾数";
	case ROUND_CEIL: return "进一";
	}
	return "?";
}

/* What shows the reason: only as the calculation gives it again. */
static void proof_text(const struct difference_told *d, char text[160])
{
	const struct difference *a = d->again;
	const char *group = a != NULL && a->group != 0 ? tariff_group_title(d->tariff, a->group) : NULL;

	text[0] = '\0';
	if (a == NULL || a->reason != reason_of(d))
		return;
	if (a->reason == DIFFER_OLD_PARAMETERS)
		snprintf(text, 160, a->proven ? "按终端版本 %u 计价即为实收" : "终端版本 %u 未知, 不能核对", d->tap->tariff_version);
	else if (a->reason == DIFFER_ROUNDING)
		snprintf(text, 160, "按%s取整即为实收", rounding_zh(a->round_mode));
	else if (a->reason == DIFFER_UNKNOWN_HOLD)
		snprintf(text, 160, "不计%s即为实收", group != NULL ? group : "其权益与年龄");
}

static bool policy_rule(const struct difference_told *d, struct tariff_rule *ret)
{
	return d->tariff != NULL && reason_of(d) != DIFFER_HOLD_BACK && d->row->priced.overcharge.fen > 0 &&
	       tariff_rule(d->tariff, tariff_policy(d->tariff, reason_of(d)).rule, ret);
}

static void fen_print(FILE *out, const char *word, int64_t fen)
{
	if (fen != 0)
		fprintf(out, "  %s %" PRId64 ".%02d", word, fen / 100, (int)(fen % 100));
}

void difference_print(const struct difference_told *d, FILE *out)
{
	const struct priced *p = &d->row->priced;
	struct tariff_rule rule;
	char proof[160];

	if (!differs(d))
		return;
	proof_text(d, proof);
	fputs("  差异", out);
	fen_print(out, "多扣", p->overcharge.fen);
	fen_print(out, "少扣, 企业承担, 不追", p->undercharge.fen);
	fen_print(out, "应退乘客", p->overcharge.fen - p->kept.fen);
	fen_print(out, "留企业", p->kept.fen);
	fputc('\n', out);
	if (p->reason != 0)
		fprintf(out, "    原因 %s (%s)%s%s\n", difference_info(reason_of(d))->zh, difference_info(reason_of(d))->name, proof[0] != '\0' ? ": " : "", proof);
	if (policy_rule(d, &rule))
		fprintf(out, "    处理 %s  依据: %s  (%s %s:%u)\n", rule.title, rule.basis, tariff_name(d->tariff), rule.file, rule.line);
}

void difference_json(const struct difference_told *d, struct jsonw *j)
{
	const struct priced *p = &d->row->priced;
	struct tariff_rule rule = { .id = "" };
	char proof[160];

	if (!differs(d))
		return;
	proof_text(d, proof);
	policy_rule(d, &rule);
	jsonw_key(j, "difference");
	jsonw_object(j);
	jsonw_kstr(j, "reason", p->reason != 0 ? difference_info(reason_of(d))->name : "unstated");
	jsonw_kstr(j, "proof", proof);
	jsonw_kint(j, "overcharge_fen", p->overcharge.fen);
	jsonw_kint(j, "undercharge_fen", p->undercharge.fen);
	jsonw_kint(j, "refund_fen", p->overcharge.fen - p->kept.fen);
	jsonw_kint(j, "kept_fen", p->kept.fen);
	jsonw_kstr(j, "policy", rule.id);
	jsonw_object_end(j);
}
