/*
 * qingfen sim <part>: finds the part and runs it. The table is the list of parts; help is made from
 * it.
 */
#include <stdio.h>
#include <string.h>

#include "tools/tools.h"

#include "sim.h"

static const struct verb parts[] = {
	{"city", sim_city, "生成演示城市", "make a demonstration city from a seed"},
	{"taps", sim_taps, "演示城市的刷卡记录, CSV", "a city's tap records as CSV"},
	{"validators", sim_validators, "机具上传演示城市的刷卡",
	 "upload a city's taps as its devices"},
	{"tunion", sim_tunion, "交通联合清分中心", "the T-Union centre"},
	{"bank", sim_bank, "代收银行", "a collecting bank"},
	{"codes", sim_codes, "交通联合发码平台", "a T-Union code platform"},
	{"ridecode", sim_ridecode, "银联乘车码平台", "a ride-code platform"},
	{"identity", sim_identity, "电子社保卡身份码平台", "an identity-code platform"},
	{"host", sim_host, "机具符合性测试", "test a maker's terminal, write a certificate"},
	{"bankcards", sim_bankcards, "银行卡体系与卡片", "a bank card scheme and its cards"},
	{"probe", sim_probe, "异常输入探测", "send bad input, show the answer"},
};

static void sim_help(FILE *out)
{
	fputs("用法 usage: qingfen sim <part> [--help] ...\n\n", out);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i].run != NULL)
			fprintf(out, "  %-11s %s  %s\n", parts[i].name, parts[i].zh, parts[i].en);
}

int verb_sim(int argc, char **argv)
{
	if (argc < 2) {
		sim_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0) {
		sim_help(stdout);
		return EXIT_OK;
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcmp(argv[1], parts[i].name) == 0 && parts[i].run != NULL)
			return parts[i].run(argc - 1, argv + 1);
	complain("sim %s: no such part; qingfen sim --help lists them", argv[1]);
	return EXIT_USAGE;
}
