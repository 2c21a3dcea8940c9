/*
 * verdict - the one table about verdicts: name, sentence, interface code, whether money follows and whether a
 * resend could change it. docs/verdicts.md shows the same table.
 */
#include "clearing/core/core.h"

#include <assert.h>
#include <stddef.h>

static const struct verdict_info table[VERDICT_COUNT] = {
	[VERDICT_ACCEPTED] = { "accepted", "正常", "accepted", "000000", true, false },
	[VERDICT_MALFORMED] = { "malformed", "记录格式错误", "not a tap record", "0000F4", false, true },
	[VERDICT_TERMINAL_UNKNOWN] = { "terminal-unknown", "终端未登记或不在有效期", "terminal not in the register at tap time", "002001", false, true },
	[VERDICT_TERMINAL_MISMATCH] = { "terminal-mismatch", "终端与上传设备不符", "terminal belongs to another device", "000043", false, true },
	[VERDICT_TEST] = { "test", "测试卡或测试数据", "test card, totalled apart", "002003", false, false },
	[VERDICT_BAD_MAC] = { "bad-mac", "TAC 或签名校验失败", "TAC or signature wrong", "000004", false, true },
	[VERDICT_GREY] = { "grey", "灰记录, 等待恢复", "grey record, waits for its recovery", "002002", false, true },
	[VERDICT_DUPLICATE] = { "duplicate", "重复记录", "the same tap again", "000002", false, false },
	[VERDICT_CONFLICT] = { "conflict", "同一流水内容不同, 可疑", "same serial, other content: suspicious", "000008", false, false },
	[VERDICT_COUNTER_REPEATED] = { "counter-repeated", "卡交易序号重复且 TAC 不同, 可疑", "card counter seen with another TAC: suspicious", "000025", false, false },
	[VERDICT_ISSUER_UNKNOWN] = { "issuer-unknown", "发卡机构不在白名单", "issuer not in the white list", "000013", false, false },
	[VERDICT_CARD_EXPIRED] = { "card-expired", "卡已过期", "card expired", "0000F6", false, false },
	[VERDICT_FUTURE] = { "future", "交易时间晚于当前时间", "tap ahead of our clock at arrival", "000075", false, false },
	[VERDICT_TOO_OLD] = { "too-old", "超过受理期限", "beyond the hard limit", "000005", false, false },
	[VERDICT_LATE] = { "late", "逾期, 待人工处理", "late, in suspense", "000005", false, false },
	[VERDICT_AMOUNT] = { "amount", "金额或余额异常", "amount, balance or their chain impossible", "000026", false, false },
	[VERDICT_BLACKLISTED] = { "blacklisted", "黑名单、挂失、退卡或旧卡", "card black-listed, lost, refunded or replaced at tap time", "000009", false, false },
	[VERDICT_NO_TARIFF] = { "no-tariff", "无适用票价", "no fare rule", "000011", false, false },
	[VERDICT_REPEAT_TAP] = { "repeat-tap", "优待不得连刷", "repeat tap refused by the tariff", "000011", false, false },
	[VERDICT_PENDING] = { "pending", "待对方清分中心确认", "waits for its centre", "0000F0", true, false },
	[VERDICT_EVENT] = { "event", "签到签退等事件", "sign-on event, no money", "000000", false, false },
	[VERDICT_GREY_SUPERSEDED] = { "grey-superseded", "灰记录, 已由恢复记录取代", "grey record whose recovery is here", "002002", false, false },
	[VERDICT_QUARANTINED] = { "quarantined", "隔离, 需人工检查", "beyond its device's cap on value no key has proven", "0000F9", false, false },
	[VERDICT_CODE_REPEATED] = { "code-repeated", "乘车码已使用过, 可疑", "the code rode before: suspicious", "000029", false, false },
	[VERDICT_PENDING_TAC] = { "pending-tac", "待验 TAC, 密钥设备恢复后补验", "key device did not answer: checked again, no money until then", "0000FA", false, false },
	[VERDICT_PLATFORM_REFUSED] = { "platform-refused", "扫码平台拒绝", "its platform refused it", "0000F1", false, false },
};

const struct verdict_info *verdict_info(enum verdict v)
{
	static const struct verdict_info unassigned = { "unassigned", "未定义", "a number no verdict has", "0000F9", false, false };

	assert((unsigned)v < VERDICT_COUNT);
	return table[v].name != NULL ? &table[v] : &unassigned;
}

const char *day_state_name(enum day_state s)
{
	switch (s) {
	case DAY_OPEN: return "OPEN";
	case DAY_CUT: return "CUT";
	case DAY_CLEARED: return "CLEARED";
	case DAY_BUILT: return "BUILT";
	case DAY_APPROVED: return "APPROVED";
	case DAY_SENT: return "SENT";
	case DAY_ACKED: return "ACKED";
	case DAY_RECONCILED: return "RECONCILED";
	}
	return "?";
}

/* One step at a time, never back. */
bool day_may_move(enum day_state from, enum day_state to) { return to == from + 1 && to <= DAY_RECONCILED; }
