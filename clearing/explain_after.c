/*
 * explain_after - what became of a settled ride since: two persons decided about it, a bank was asked to collect it, or did not
 * pay. Told from what later days have written, so that it is true now and not only at the ride's own close.
 */
#include "clearing/explain.h"

#include <inttypes.h>
#include <string.h>

#include "clearing/settle.h"

/* ---- two persons --------------------------------------------------------------------------------------------- */

void confirmed_print(struct txn *t, const uint8_t key[TAP_KEY_BYTES], FILE *out)
{
	struct confirmed c;
	char day[11];

	if (!confirmed_find(t, key, &c))
		return;
	day_format(c.day, day);
	fprintf(out, "  复核: 由 %s、%s 两人签名%s, 记入 %s  收件箱 #%" PRIu64 "\n", c.by[0], c.by[1], c.decision == CONFIRM_GOOD ? "确认入账" : "不予入账, 冲回", day, c.seq);
}

void confirmed_json(struct txn *t, const uint8_t key[TAP_KEY_BYTES], struct jsonw *j)
{
	struct confirmed c;
	char day[11];

	if (!confirmed_find(t, key, &c))
		return;
	day_format(c.day, day);
	jsonw_kstr(j, "decided", c.decision == CONFIRM_GOOD ? "good" : "refused");
	jsonw_kstr(j, "decided_day", day);
	jsonw_key(j, "decided_by");
	jsonw_array(j);
	jsonw_str(j, c.by[0]);
	jsonw_str(j, c.by[1]);
	jsonw_array_end(j);
}

/* ---- the bank ------------------------------------------------------------------------------------------------- */

/* What of this ride was lost as one of its card's first, and who bears it; false: nothing. */
struct lost { struct contract contract; int64_t party_fen, operator_fen; bool paid; };

static bool lost_find(struct txn *t, const char *id, const uint8_t key[TAP_KEY_BYTES], struct lost *ret)
{
	struct item_row item;
	bool found = false;
	struct risk r;

	if (!item_get(t, SCHEME_BANK, id, &item) || (item.state != ITEM_REFUSED && item.state != ITEM_PAID))
		return false;
	if (risk_of(t, &item, &r) == 0)
		for (size_t i = 0; !found && i < r.rides; i++)
			if (memcmp(r.ride[i].key, key, TAP_KEY_BYTES) == 0) {
				*ret = (struct lost){ r.contract, r.ride[i].party_fen, r.ride[i].fen - r.ride[i].party_fen, item.state == ITEM_PAID };
				found = true;
			}
	risk_done(&r);
	return found;
}

void debit_print(struct txn *t, const uint8_t cleared_key[CLEARED_KEY_BYTES], FILE *out)
{
	char id[DEBIT_ID_BYTES];
	struct lost l;

	if (!debit_of_ride(t, cleared_key, id))
		return;
	fprintf(out, "  银行扣款 %s  (qingfen explain debit)\n", id);
	if (lost_find(t, id, cleared_key + 5, &l))
		fprintf(out, "  首乘损失: 该卡首笔扣款被银行拒付, 依合同 %s 由 %s %u 承担 +%" PRId64 ".%02d, 企业承担 +%" PRId64 ".%02d%s\n", l.contract.title,
			account_class_name(ACCOUNT_CLASS(l.contract.account)), ACCOUNT_PARTY(l.contract.account), l.party_fen / 100, (int)(l.party_fen % 100),
			l.operator_fen / 100, (int)(l.operator_fen % 100), l.paid ? "; 后已付清, 退还承担方" : "");
}

void debit_json(struct txn *t, const uint8_t cleared_key[CLEARED_KEY_BYTES], struct jsonw *j)
{
	char id[DEBIT_ID_BYTES] = "";
	struct lost l;
	bool has = debit_of_ride(t, cleared_key, id);

	jsonw_kstr(j, "debit", has ? id : "");
	if (!has || !lost_find(t, id, cleared_key + 5, &l))
		return;
	jsonw_kstr(j, "first_loss_contract", l.contract.title);
	jsonw_kint(j, "first_loss_account", l.contract.account);
	jsonw_kint(j, "first_loss_party_fen", l.party_fen);
	jsonw_kint(j, "first_loss_operator_fen", l.operator_fen);
	jsonw_kbool(j, "first_loss_paid", l.paid);
}
