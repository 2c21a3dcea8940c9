/*
 * qingfen status, report, explain, check, dump, recompute - the answers: each opens the store for reading beside
 * the daemon, asks the library one question and prints what it says.
 */
#include "tools/tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int verb_status(int argc, char **argv)
{
	static const char usage[] = "用法 usage: qingfen status [--socket PATH] [--json]\n  清分服务状态 state of the running daemon\n";
	struct options o;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	return daemon_call(&o, "{\"cmd\":\"status\"}", NULL, 0, false);
}

/* ---- report ------------------------------------------------------------------------------------------- */

struct report_days { int32_t first, last; bool month; };

/* YYYY-MM-DD is a day, YYYY-MM the month. */
static bool report_days_parse(const char *text, struct report_days *ret)
{
	char day[16];

	ret->month = strlen(text) == 7;
	if (!ret->month)
		return day_parse(text, &ret->first);
	snprintf(day, sizeof(day), "%s-01", text);
	if (!day_parse(day, &ret->first))
		return false;
	ret->last = ret->first;
	for (int n = 31; n > 28; n--) {
		snprintf(day, sizeof(day), "%s-%d", text, n);
		if (day_parse(day, &ret->last))
			return true;
	}
	ret->last = ret->first + 27;
	return true;
}

static int report_one(struct store *s, const struct report_days *days, const char *form, const char *format, const char *dir, uint32_t *ret_open)
{
	char path[4096];
	FILE *out = stdout;
	int ret;

	if (dir != NULL) {
		snprintf(path, sizeof(path), "%s/%s.%s", dir, form, format);
		out = fopen(path, "we");
		if (out == NULL)
			return -errno;
	}
	ret = days->month ? report_month(s, days->first, days->last, form, format, out, ret_open) : report_write(s, days->first, form, format, out);
	if (out != stdout && fclose(out) != 0 && ret == 0)
		ret = -EIO;
	return ret;
}

int verb_report(int argc, char **argv)
{
	static const char usage[] =
		"用法 usage: qingfen report DATE|MONTH [--form D-01] [--format json|csv] [--out DIR] [--store DIR]\n"
		"  D-01 日清分汇总  D-02 线路明细  D-03 卡种及优惠  D-04 财政补贴  D-05 差错  D-06 调整  D-07 差异  D-08 首乘损失  M-02 企业结算单  S-01 补贴申领单\n"
		"  without --form: all of them\n";
	struct options o;
	struct store *s;
	struct report_days days;
	uint32_t open = 0;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 1 != argc || !report_days_parse(argv[o.first], &days)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (o.format == NULL || o.json)
		o.format = "json";
	if (strcmp(o.format, "json") != 0 && strcmp(o.format, "csv") != 0) {
		complain("%s: this version writes json and csv", o.format);
		return EXIT_USAGE;
	}
	if (store_open_reading(&o, &s) != 0)
		return EXIT_STORE;
	if (o.out != NULL)
		mkdir(o.out, 0755);
	for (size_t i = 0; ret == 0 && i < report_form_count; i++)
		if (o.form == NULL || strcmp(o.form, report_forms[i]) == 0)
			ret = report_one(s, &days, report_forms[i], o.format, o.out, &open);
	if (ret == 0 && o.form != NULL) {
		size_t i = 0;

		while (i < report_form_count && strcmp(o.form, report_forms[i]) != 0)
			i++;
		ret = i == report_form_count ? -ENOENT : 0;
	}
	store_close(s);
	if (ret == 0 && open > 0)
		fprintf(stderr, "%s: 尚有 %u 日未清分, 不在其内 (days not cleared yet are left out)\n", argv[o.first], open);
	if (ret != 0)
		complain("%s %s: %s", argv[o.first], o.form != NULL ? o.form : "", ret == -ENOENT ? "no such form" : clearing_strerror(ret));
	return exit_of_error(ret);
}

/* ---- explain ----------------------------------------------------------------------------------------------- */

int verb_explain(int argc, char **argv)
{
	static const char usage[] = "用法 usage: qingfen explain tap ID | debit ITEM [--store DIR] [--json]\n"
				    "  ID: 终端-流水-时间 terminal-serial-time, e.g. 428000000017-0000ABCD-20251103071530\n"
				    "  ITEM: 银行扣款编号 number of a debit at the bank\n";
	struct options o;
	struct store *s;
	uint8_t key[TAP_KEY_BYTES];
	bool debit;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	debit = o.first + 2 == argc && strcmp(argv[o.first], "debit") == 0;
	if (!debit && (o.first + 2 != argc || strcmp(argv[o.first], "tap") != 0 || !tap_id_parse(argv[o.first + 1], key))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(&o, &s) != 0)
		return EXIT_STORE;
	ret = debit ? explain_debit(s, argv[o.first + 1], o.json, stdout) : explain_tap(s, key, o.json, stdout);
	store_close(s);
	if (ret != 0)
		complain("%s: %s", argv[o.first + 1], ret == -ENOENT ? (debit ? "no debit has this number" : "no cleared tap has this id") : clearing_strerror(ret));
	return exit_of_error(ret);
}

/* ---- check ---------------------------------------------------------------------------------------------------- */

static int check_names(struct store *s, int argc, char **argv, int first, FILE *out)
{
	int total = 0;

	if (first == argc)
		return check_run(s, NULL, out);
	for (int i = first; i < argc; i++) {
		int ret = check_run(s, argv[i], out);

		if (ret < 0)
			return ret;
		total += ret;
	}
	return total;
}

int verb_check(int argc, char **argv)
{
	static const char usage[] = "用法 usage: qingfen check [NAME...] [--store DIR] [--json]\n"
				    "  资金不变量; 全部成立时无输出, 退出码 0. 名称 names: legs fare-split once received folds digest inbox reports\n";
	struct options o;
	struct store *s;
	char *text = NULL;
	size_t n = 0;
	FILE *out;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (store_open_reading(&o, &s) != 0)
		return EXIT_STORE;
	out = o.json ? open_memstream(&text, &n) : stdout;
	ret = out == NULL ? -ENOMEM : check_names(s, argc, argv, o.first, out);
	store_close(s);
	if (o.json && out != NULL) {
		struct jsonw j;
		char *save = NULL;

		fclose(out);
		jsonw_init(&j, stdout, false);
		jsonw_object(&j);
		jsonw_kstr(&j, "schema", "qingfen.check");
		jsonw_kint(&j, "version", 1);
		jsonw_kint(&j, "broken", ret);
		jsonw_key(&j, "lines");
		jsonw_array(&j);
		for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
			jsonw_str(&j, line);
		jsonw_array_end(&j);
		jsonw_object_end(&j);
		putchar('\n');
		free(text);
	}
	if (ret < 0)
		complain("%s", ret == -ENOENT ? "no such check; qingfen check --help lists them" : clearing_strerror(ret));
	return ret < 0 ? exit_of_error(ret) : ret > 0 ? EXIT_NO : EXIT_OK;
}

/* ---- dump, recompute ---------------------------------------------------------------------------------------------- */

int verb_dump(int argc, char **argv)
{
	static const char usage[] = "用法 usage: qingfen dump --canonical [--date DATE] [--store DIR]\n"
				    "  业务行按业务键排序, 不含到达信息; 每行一个 JSON business rows, one JSON object a line\n";
	struct options o;
	struct store *s;
	int32_t day = DAY_NONE;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (!o.canonical || o.first != argc || (o.date != NULL && !day_parse(o.date, &day))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(&o, &s) != 0)
		return EXIT_STORE;
	ret = dump_canonical(s, day, stdout);
	store_close(s);
	if (ret != 0)
		complain("%s", clearing_strerror(ret));
	return exit_of_error(ret);
}

int verb_recompute(int argc, char **argv)
{
	static const char usage[] = "用法 usage: qingfen recompute DATE [--store DIR] [--json]\n"
				    "  重新清分已清分日, 逐字节比较; 一致退出码 0, 不一致 1\n";
	struct options o;
	struct store *s;
	int32_t day;
	FILE *out;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 1 != argc || !day_parse(argv[o.first], &day)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(&o, &s) != 0)
		return EXIT_STORE;
	out = o.json ? fopen("/dev/null", "we") : stdout;
	ret = out == NULL ? -errno : day_recompute(s, day, out);
	if (o.json && out != NULL)
		fclose(out);
	store_close(s);
	if (o.json)
		printf("{\"schema\":\"qingfen.recompute\",\"version\":1,\"day\":\"%s\",\"identical\":%s}\n", argv[o.first], ret == 0 ? "true" : "false");
	if (ret != 0)
		complain("%s: %s", argv[o.first], clearing_strerror(ret));
	return exit_of_error(ret);
}
