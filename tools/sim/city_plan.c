/*
 * The plan: which faults were planted and what must become of every record sent. Each record has
 * one expected final verdict, so sent = the sum over verdicts, and the demo compares class by
 * class.
 */
#include "city.h"

#include <string.h>

const struct fault_info fault_list[FAULT_COUNT_] = {
	[FAULT_NONE] = {"none", "", 0, VERDICT_ACCEPTED},
	[FAULT_DUPLICATE] = {"duplicate", "重复记录", 400, VERDICT_DUPLICATE},
	[FAULT_BATCH_AGAIN] = {"batch-again", "整批重传", 40, VERDICT_ACCEPTED},
	[FAULT_BATCH_NEW_SERIAL] = {"batch-new-serial", "换号重传", 4, VERDICT_DUPLICATE},
	[FAULT_GREY_LOST] = {"grey-lost", "灰记录 (未恢复)", 60, VERDICT_GREY},
	[FAULT_GREY_RECOVERED] = {"grey-recovered", "灰记录 (已恢复)", 60, VERDICT_GREY_SUPERSEDED},
	[FAULT_TAC_ZERO] = {"tac-zero", "TAC 全零", 20, VERDICT_GREY},
	[FAULT_TAC_WRONG] = {"tac-wrong", "TAC 错误", 80, VERDICT_BAD_MAC},
	[FAULT_PAN_ALTERED] = {"pan-altered", "卡号被改", 20, VERDICT_BAD_MAC},
	[FAULT_QR_FORGED] = {"qr-forged", "二维码签名错误", 10, VERDICT_BAD_MAC},
	[FAULT_BLACKLISTED] = {"blacklisted", "黑名单卡", 80, VERDICT_BLACKLISTED},
	[FAULT_LATE_3] = {"late-3-days", "迟到 3 天", 100, VERDICT_ACCEPTED},
	[FAULT_LATE_15] = {"late-15-days", "迟到 15 天", 40, VERDICT_ACCEPTED},
	[FAULT_LATE_40] = {"late-40-days", "迟到 40 天", 20, VERDICT_TOO_OLD},
	[FAULT_FUTURE] = {"future", "未来时间", 20, VERDICT_FUTURE},
	[FAULT_SERIAL_GAP] = {"serial-gap", "终端流水缺号", 50, VERDICT_ACCEPTED},
	[FAULT_TERMINAL_UNKNOWN] = {"terminal-unknown", "终端未登记", 30, VERDICT_TERMINAL_UNKNOWN},
	[FAULT_TERMINAL_OTHER] = {"terminal-other", "终端与机具不符", 20,
				  VERDICT_TERMINAL_MISMATCH},
	[FAULT_TEST_CARD] = {"test-card", "测试卡", 30, VERDICT_TEST},
	[FAULT_CLONE] = {"clone", "克隆卡 (计数器重复)", 20, VERDICT_COUNTER_REPEATED},
	[FAULT_CONFLICT] = {"conflict", "同键异内容", 20, VERDICT_CONFLICT},
	[FAULT_MALFORMED] = {"malformed", "格式错误", 25, VERDICT_MALFORMED},
	[FAULT_ISSUER_UNKNOWN] = {"issuer-unknown", "发卡机构不在白名单", 25,
				  VERDICT_ISSUER_UNKNOWN},
	[FAULT_LINE_UNKNOWN] = {"line-unknown", "线路无票价", 25, VERDICT_NO_TARIFF},
	[FAULT_AMOUNT] = {"amount", "金额不可能", 20, VERDICT_AMOUNT},
	[FAULT_REPEAT_TAP] = {"repeat-tap", "优惠卡重复刷卡", 40, VERDICT_REPEAT_TAP},
	[FAULT_CHARGED_MORE] = {"charged-more", "多扣 10 分", 200, VERDICT_ACCEPTED},
	[FAULT_CHARGED_LESS] = {"charged-less", "少扣 10 分", 150, VERDICT_ACCEPTED},
};

#define PURSE_DUPLICATE_OF 50 /* two in a hundred taps come again */

uint32_t fault_wanted(const struct city *c, enum city_fault fault)
{
	uint64_t n = (uint64_t)fault_list[fault].per_200k * c->taps_wanted / 200000;

	if (c->purses)
		return fault == FAULT_DUPLICATE ? c->taps_wanted / PURSE_DUPLICATE_OF : 0;
	return fault == FAULT_NONE ? 0 : n < 2 ? 2 : (uint32_t)n;
}

void city_plan_line(const struct city_plan *p, enum city_fault fault, const uint8_t *key)
{
	const struct fault_info *info = &fault_list[fault];
	char id[TAP_ID_BYTES] = "";

	if (key != NULL)
		tap_id_format(key, id);
	fprintf(p->planted, "%s,%s,%s\n", info->name, verdict_info(info->verdict)->name, id);
}

void city_plan_fault(struct city_plan *p, enum city_fault fault, const struct tap *tap)
{
	uint8_t key[TAP_KEY_BYTES];

	p->fault[fault]++;
	if (tap != NULL)
		tap_key(tap, key);
	city_plan_line(p, fault, tap != NULL ? key : NULL);
}

static void plan_faults(const struct city_plan *p, struct jsonw *j)
{
	jsonw_key(j, "faults");
	jsonw_array(j);
	for (int f = 1; f < FAULT_COUNT_; f++) {
		jsonw_object(j);
		jsonw_kstr(j, "name", fault_list[f].name);
		jsonw_kstr(j, "title", fault_list[f].zh);
		jsonw_kstr(j, "verdict", verdict_info(fault_list[f].verdict)->name);
		jsonw_kint(j, "planted", (int64_t)p->fault[f]);
		jsonw_object_end(j);
	}
	jsonw_array_end(j);
}

static void plan_verdicts(const struct city_plan *p, struct jsonw *j)
{
	jsonw_key(j, "verdicts");
	jsonw_object(j);
	for (int v = 0; v < VERDICT_COUNT; v++)
		jsonw_kint(j, verdict_info((enum verdict)v)->name, (int64_t)p->verdict[v]);
	jsonw_object_end(j);
}

int city_plan_write(const struct city *c)
{
	FILE *f = city_create(c, "plan.json");
	const struct city_plan *p = &c->plan;
	struct jsonw j;

	if (f == NULL)
		return -1;
	jsonw_init(&j, f, true);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.plan/1");
	jsonw_kint(&j, "seed", (int64_t)c->seed);
	jsonw_kint(&j, "lines", c->line_count);
	jsonw_kint(&j, "devices", c->device_count);
	jsonw_kint(&j, "cards", c->card_count);
	jsonw_kint(&j, "sent", (int64_t)p->sent);
	jsonw_kint(&j, "batches", (int64_t)p->batches);
	jsonw_kint(&j, "resent_batches", (int64_t)p->resent_batches);
	jsonw_kint(&j, "resent_taps", (int64_t)p->resent_taps);
	jsonw_kint(&j, "charged_fen", (int64_t)p->charged_fen);
	plan_verdicts(p, &j);
	plan_faults(p, &j);
	jsonw_object_end(&j);
	fputc('\n', f);
	return city_close(c, "plan.json", f) ? 0 : -1;
}
