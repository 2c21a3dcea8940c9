/*
 * qingfen tariff params - parameters for terminals. The project's own validator takes the compiled pack and asks the
 * same rate() as the clearing house, so nothing is lost; a terminal that reads tables gets rows of card type, line
 * class, hours and percent with limits a day and a month, and beside them a list of what such a table cannot say.
 *
 * A percentage stands only where it gives the price to the fen; else the price itself stands alone.
 */
#include "tools/tariff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen tariff params PACK --to FILE [--key FILE]      编译后的票价包, 本项目终端直接使用; 签名写入 FILE.sig\n"
	"            qingfen tariff params PACK --to FILE.csv [--date D]    表格: 类型、折扣、每日每月次数; FILE.csv.NOT_CARRIED.txt 列出不能表达的规则\n"
	"            qingfen tariff params PACK --from FILE.csv [--date D]  机具的参数表与票价包逐格比较, 不同之处列出 文件:行:列; 相同 0, 不同 1, 不能读 3\n"
	"            qingfen tariff params --import FILE.csv --out DIR [--date D]   由参数表写出第一份票价包, 自 D 起 (默认今年元旦); DIR 须不存在\n";

/* ---- the compiled pack ---------------------------------------------------------------------------------- */

static int file_write(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "we");
	bool good = f != NULL && fwrite(p, 1, n, f) == n;

	if (f != NULL && fclose(f) != 0)
		good = false;
	if (!good)
		complain("%s: %s", path, strerror(errno));
	return good ? EXIT_OK : EXIT_STORE;
}

/* SM2 over the file's bytes, as two lines: the signer's public key and r|s. */
static int signature_write(const struct options *o, const void *p, size_t n)
{
	char path[4096], text[512], point_hex[131], signature_hex[129];
	uint8_t point[65], signature[64];
	int ret = secret_sign(o->key, p, n, signature, point);

	if (ret != EXIT_OK)
		return ret;
	hex_encode(point, sizeof(point), point_hex);
	hex_encode(signature, sizeof(signature), signature_hex);
	snprintf(path, sizeof(path), "%s.sig", o->to);
	return file_write(path, text, (size_t)snprintf(text, sizeof(text), "%s\n%s\n", point_hex, signature_hex));
}

/* ---- the table -------------------------------------------------------------------------------------------- */

/* Whole percent that gives the price exactly; negative: none does. */
static int percent_of(const struct book_price *p)
{
	if (p->published <= 0 || p->paid * 100LL % p->published != 0)
		return p->published == p->paid ? 100 : -1;
	return (int)(p->paid * 100LL / p->published);
}

static void limits_print(FILE *out, const struct tariff *t, const struct book_price *p)
{
	static const char *const periods[] = { "slot", "day", "month" };
	struct tariff_quota q[CONCESSION_QUOTAS_MAX];
	size_t n = p->rule != 0 ? tariff_quotas_of(t, p->rule, q) : 0;

	fputc(',', out);
	for (size_t k = 0; k < 3; k++) {
		for (size_t i = 0; i < n; i++)
			if (!q[i].granted && strcmp(q[i].period, periods[k]) == 0) {
				fprintf(out, "%u", q[i].limit / (q[i].takes > 0 ? q[i].takes : 1));
				break;
			}
		fputc(',', out);
	}
}

static void row_write(FILE *out, const struct book *b, const struct book_family *f, const struct book_row *row,
		      const struct book_words *w)
{
	const struct book_price *p = &row->price[0];
	int percent = percent_of(p);
	size_t group = (size_t)__builtin_ctzll(row->groups);

	csv_print(out, group == 0 ? "ordinary" : b->axes.group[group].name, false);
	csv_print(out, b->axes.group[group].title, false);
	csv_print(out, f->line.class_name, false);
	for (size_t i = 0; i < f->line_count; i++)
		fprintf(out, "%s%s", i > 0 ? " " : "", f->lines[i]);
	fputc(',', out);
	csv_print(out, f->journey[row->journey].text, false);
	for (int i = 0, n = 0; i < BOOK_MEDIA; i++)
		if ((row->media >> i & 1) != 0)
			fprintf(out, "%s%s", n++ > 0 ? " " : "", book_media_names[i]);
	fputc(',', out);
	for (int i = 0, n = 0; i < BOOK_GUESTS; i++)
		if ((row->guests >> i & 1) != 0)
			fprintf(out, "%s%s", n++ > 0 ? " " : "", book_guest_names[i]);
	fputc(',', out);
	csv_print(out, w->days, false);
	csv_print(out, w->slots, false);
	fprintf(out, "%d,", p->published);
	if (percent >= 0)
		fprintf(out, "%d", percent);
	fprintf(out, ",%d", p->paid);
	limits_print(out, b->pack[0], p);
	csv_print(out, book_rule_id(b->pack[0], p), true);
}

static int table_write(const struct book *b, FILE *out)
{
	int ret = 0;

	fputs("type,title,class,lines,journey,media,guests,days,hours,published_fen,percent,price_fen,limit_slot,limit_day,limit_month,rule\n",
	      out);
	for (size_t i = 0; ret == 0 && i < b->count; i++) {
		struct book_row *row;
		size_t n;

		ret = book_rows(b, &b->family[i], 0, &row, &n);
		if (ret != 0)
			return ret;
		for (size_t k = 0; ret == 0 && k < n; k++) {
			struct book_words w;

			if (row[k].price[0].state != BOOK_PRICED)
				continue;
			ret = book_words_make(b, &row[k], " ", &w);
			if (ret != 0)
				break;
			row_write(out, b, &b->family[i], &row[k], &w);
			book_words_free(&w);
		}
		free(row);
	}
	return ret;
}

/* ---- what the table leaves out ------------------------------------------------------------------------------- */

static const struct { const char *kind, *reason; } unfit[] = {
	{ "transfer", "换乘须记住前一程" }, { "ladder", "累计优惠须记住次数或金额" }, { "cap", "封顶须记住已付金额" }, { "refund", "月后返还" },
	{ "lock", "连刷限制" }, { "open", "上下车刷卡的预扣与未完成" }, { "funding", "补贴分担由清分计算, 终端不用" },
	{ "difference", "多扣少扣由清分处理, 终端不用" },
};

static void not_carried_write(const struct tariff *t, FILE *out)
{
	struct tariff_quota q[CONCESSION_QUOTAS_MAX];
	struct tariff_rule r;
	size_t quotas;

	fputs("# 参数表不能表达的规则 what the table cannot carry: rule id, reason\n", out);
	for (size_t i = 1; i < tariff_rule_count(t); i++) {
		if (!tariff_rule(t, (uint16_t)i, &r))
			continue;
		for (size_t k = 0; k < sizeof(unfit) / sizeof(unfit[0]); k++)
			if (strcmp(r.kind, unfit[k].kind) == 0)
				fprintf(out, "%s\t%s\n", r.id, unfit[k].reason);
		quotas = tariff_quotas_of(t, (uint16_t)i, q);
		for (size_t k = 0; k < quotas; k++)
			if (q[k].granted || (strcmp(q[k].period, "slot") != 0 && strcmp(q[k].period, "day") != 0 && strcmp(q[k].period, "month") != 0))
				fprintf(out, "%s\t次数限制不按时段、日或月 (%s)\n", r.id, q[k].granted ? "granted" : q[k].period);
		if (quotas > 0)
			fprintf(out, "%s\t次数用完后的票价\n", r.id);
	}
	fputs("(groups)\t年龄、户籍、权益有效期与年审的判断: 表中只有类型\n(dates)\t表以 --date 起的日期类别为准, 规则变化后须再导出\n",
	      out);
}

static int csv_write(const struct options *o, const struct tariff *t, int32_t day)
{
	char path[4096];
	struct book book = { 0 };
	FILE *out = fopen(o->to, "we"), *not = NULL;
	int ret;

	snprintf(path, sizeof(path), "%s.NOT_CARRIED.txt", o->to);
	not = out != NULL ? fopen(path, "we") : NULL;
	ret = out == NULL || not == NULL ? -errno : book_make(t, NULL, day, &book);
	if (ret == 0)
		ret = table_write(&book, out);
	if (ret == 0)
		not_carried_write(t, not);
	if (out != NULL && fclose(out) != 0 && ret == 0)
		ret = -EIO;
	if (not != NULL && fclose(not) != 0 && ret == 0)
		ret = -EIO;
	book_warn(&book);
	book_free(&book);
	if (ret != 0)
		complain("%s: %s", o->to, strerror(-ret));
	return ret == 0 ? EXIT_OK : EXIT_STORE;
}

static int csv_compare(const char *path, const struct tariff *t, int32_t day)
{
	struct book book = { 0 };
	int ret = book_make(t, NULL, day, &book);

	if (ret != 0)
		complain("%s: %s", path, strerror(-ret));
	ret = ret == 0 ? params_compare(path, &book) : EXIT_STORE;
	book_warn(&book);
	book_free(&book);
	return ret;
}

int tariff_params(int argc, char **argv)
{
	struct open_pack pack = { 0 };
	struct options o;
	int32_t day = DAY_NONE;
	size_t n;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.import != NULL && o.out != NULL && o.first == argc && o.to == NULL && o.from == NULL && (o.date == NULL || day_parse(o.date, &day)))
		return params_import(o.import, o.out, day);
	if (o.import != NULL || o.first + 1 != argc || (o.to == NULL) == (o.from == NULL) || (o.date != NULL && !day_parse(o.date, &day))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret = open_pack_read(argv[o.first], &pack);
	if (ret != EXIT_OK)
		return ret;
	if (day == DAY_NONE)
		day = day_of_ms(tariff_valid_from_ms(pack.tariff));
	n = o.to != NULL ? strlen(o.to) : 0;
	if (o.from != NULL) {
		ret = csv_compare(o.from, pack.tariff, day);
	} else if (n > 4 && strcmp(o.to + n - 4, ".csv") == 0) {
		ret = csv_write(&o, pack.tariff, day);
	} else {
		ret = file_write(o.to, pack.blob, pack.bytes);
		if (ret == EXIT_OK && o.key != NULL)
			ret = signature_write(&o, pack.blob, pack.bytes);
	}
	open_pack_done(&pack);
	return ret;
}
