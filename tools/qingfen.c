/*
 * qingfen - the front door: finds the verb, runs it. The table is the one list of verbs; help, and the
 * test that walks it, are made from it.
 */
#include "tools/tools.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct verb verbs[] = {
	{ "keys", verb_keys, "密钥: 派生、MAC、TAC、密钥环", "derive keys, make MACs and TACs, keyrings" },
	{ "card", verb_card, "解析交通联合卡文件, 卡的生命周期", "parse T-Union card files, lives of cards" },
	{ "qr", verb_qr, "验证交通联合二维码", "verify T-Union QR codes" },
	{ "tariff", verb_tariff, "票价包: 检查、计价", "check a tariff pack, rate taps" },
	{ "taps", verb_taps, "导入与比对外部刷卡数据", "import and compare foreign taps" },
	{ "load", verb_load, "装入终端、名单、权益、票价包", "load terminals, lists, entitlements, tariffs" },
	{ "entitlements", verb_entitlements, "权益: 委办局签名批次、人员权益", "entitlements: bureaus' signed batches" },
	{ "bank", verb_bank, "银行卡: 拒付名单、银行名单、欠费", "bank cards: deny list, the bank's list, arrears" },
	{ "device", verb_device, "终端设备: 证书、吊销、限额外记录的放行", "devices: certificates, revocation, records beyond their cap" },
	{ "status", verb_status, "清分服务状态", "state of the clearing daemon" },
	{ "day", verb_day, "结算日: 列表、切日、清分、结算", "settlement days: list, show, close, settle" },
	{ "report", verb_report, "结算报表", "settlement reports" },
	{ "explain", verb_explain, "解释一笔刷卡的每一分钱", "why this fare" },
	{ "check", verb_check, "资金不变量", "money invariants" },
	{ "dump", verb_dump, "规范化导出", "canonical dump" },
	{ "recompute", verb_recompute, "重新清分并逐字节比较", "clear a closed day again and compare bytes" },
	{ "rerate", verb_rerate, "追溯调价: 试算与两人签名", "settled rides rated again: dry run, two signatures" },
	{ "evidence", verb_evidence, "生成证据包", "write an evidence pack" },
	{ "verify", verb_verify, "离线验证证据包", "verify an evidence pack" },
	{ "backup", verb_backup, "备份", "back up a store" },
	{ "restore", verb_restore, "恢复", "restore a store" },
	{ "sim", verb_sim, "模拟: 城市、终端、交通联合、银行", "counterparts in a box" },
};

void complain(const char *format, ...)
{
	va_list ap;

	fputs("qingfen: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int exit_of_error(int code)
{
	if (code == 0)
		return EXIT_OK;
	if (code <= -3001 && code >= -3999)
		return EXIT_CONFIG;
	switch (code) {
	case CLEARING_E_NO_DAY:
	case -ENOENT:
		return EXIT_ABSENT;
	case CLEARING_E_BUSY:
	case -EBUSY:
		return EXIT_BUSY;
	case CLEARING_E_STATE:
	case CLEARING_E_REFERENCE:
	case CLEARING_E_PARTNER_FILE:
		return EXIT_RULE;
	case CLEARING_E_NO_TARIFF:
		return EXIT_CONFIG;
	case CLEARING_E_DIFFERS:
		return EXIT_NO;
	case -ECONNREFUSED:
	case -ETIMEDOUT:
		return EXIT_UNREACHABLE;
	default:
		return EXIT_STORE;
	}
}

const char *store_dir(const char *option)
{
	const char *env = getenv("QINGFEN_STORE");

	return option != NULL ? option : env != NULL ? env : "store";
}

const char *socket_path(const char *option)
{
	const char *env = getenv("QINGFEN_SOCKET");

	return option != NULL ? option : env != NULL ? env : "clearingd.sock";
}

static void help(FILE *out)
{
	fputs("用法 usage: qingfen <verb> [--help] [--json] ...\n\n", out);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		fprintf(out, "  %-10s %s\n             %s\n", verbs[i].name, verbs[i].zh, verbs[i].en);
	fputs("\n退出码 exit codes: 0 ok, 1 answered no, 2 usage, 3 configuration or tariff invalid,\n"
	      "4 store damaged or newer, 5 no such object, 6 busy, 7 counterpart unreachable,\n"
	      "8 partly done, 9 refused by rule. See qingfen(1).\n", out);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		help(stdout);
		return EXIT_OK;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	complain("%s: no such verb; qingfen --help lists them", argv[1]);
	return EXIT_USAGE;
}
