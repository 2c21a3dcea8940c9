/*
 * qingfen tariff diff - what changes for whom between two packs: prices of first rides that differ, then everything
 * the files say differently, then, with past taps, riders touched and fen by treasury.
 *
 * What only one pack has is said so and never passed over. Cases and readings of a pack are not compared: they change
 * no fare.
 */
#include "tools/tariff.h"
#include "tools/tariff_words.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] =
	"用法 usage: qingfen tariff diff A B [--date D] [--taps FILE.ndjson] [--json]\n"
	"  A (现行) 与 B (新) 的差别: 首乘票价, 规则与表格文字; 给出历史刷卡时再算涉及人数与各财政金额\n"
	"  1: they differ, 0: they do not\n";

struct diff { const struct options *o; struct book book; struct jsonw j; size_t cells, words; };

static void price_text(const struct book *b, int pack, const struct book_price *p, char *ret, size_t bytes)
{
	char paid[24], subsidy[24];

	if (p->state != BOOK_PRICED)
		snprintf(ret, bytes, "%s", book_rule_title(b->pack[pack], p));
	else
		snprintf(ret, bytes, "%s (补贴 %s, %s)", yuan_text(p->paid, paid), yuan_text(p->subsidy, subsidy),
			 book_rule_id(b->pack[pack], p));
}

static void row_text(const struct diff *d, const struct book_family *f, const struct book_row *row, const struct book_words *w)
{
	char old[160], new[160];

	price_text(&d->book, 0, &row->price[0], old, sizeof(old));
	price_text(&d->book, 1, &row->price[1], new, sizeof(new));
	printf("  %s%s%s, %s, %s, %s %s: ", f->journey[row->journey].text,
	       f->journey[row->journey].text[0] != '\0' ? ", " : "", w->groups, w->media, w->guests, w->days, w->slots);
	if (row->price[0].state == BOOK_ABSENT || row->price[1].state == BOOK_ABSENT)
		printf("%s", row->price[0].state == BOOK_ABSENT ? "仅新包有 only in B: " : "仅旧包有 only in A: ");
	printf("%s -> %s\n", old, new);
}

static void price_json(struct jsonw *j, const struct book *b, int pack, const struct book_price *p)
{
	jsonw_key(j, pack == 0 ? "old" : "new");
	if (p->state == BOOK_ABSENT) {
		jsonw_null(j);
		return;
	}
	jsonw_object(j);
	jsonw_kbool(j, "refused", p->state == BOOK_REFUSED);
	jsonw_kint(j, "published_fen", p->published);
	jsonw_kint(j, "paid_fen", p->paid);
	jsonw_kint(j, "subsidy_fen", p->subsidy);
	jsonw_kstr(j, "rule", book_rule_id(b->pack[pack], p));
	jsonw_object_end(j);
}

static void names_json(struct jsonw *j, const char *key, const char *const *names, size_t count, uint64_t bits)
{
	jsonw_key(j, key);
	jsonw_array(j);
	for (size_t i = 0; i < count; i++)
		if (bits == UINT64_MAX || (bits >> i & 1) != 0)
			jsonw_str(j, names[i]);
	jsonw_array_end(j);
}

static void row_json(struct diff *d, const struct book_family *f, const struct book_row *row, const struct book_words *w)
{
	struct jsonw *j = &d->j;

	jsonw_object(j);
	jsonw_kstr(j, "class", f->line.class_name);
	names_json(j, "lines", f->lines, f->line_count, UINT64_MAX);
	jsonw_kstr(j, "journey", f->journey[row->journey].text);
	jsonw_key(j, "groups");
	jsonw_array(j);
	for (size_t i = 0; i < d->book.axes.groups; i++)
		if ((row->groups >> i & 1) != 0)
			jsonw_str(j, d->book.axes.group[i].name);
	jsonw_array_end(j);
	names_json(j, "media", book_media_names, BOOK_MEDIA, row->media);
	names_json(j, "guests", book_guest_names, BOOK_GUESTS, row->guests);
	jsonw_kstr(j, "days", w->days);
	jsonw_kstr(j, "hours", w->slots);
	price_json(j, &d->book, 0, &row->price[0]);
	price_json(j, &d->book, 1, &row->price[1]);
	jsonw_object_end(j);
}

static int family_differ(struct diff *d, const struct book_family *f)
{
	struct book_row *row;
	size_t n;
	int ret = book_rows(&d->book, f, BOOK_JOIN_GROUPS | BOOK_DIFFERING, &row, &n);

	if (ret != 0)
		return ret;
	if (n > 0 && !d->o->json) {
		printf("%s (%s)  线路:", f->class_title, f->line.class_name);
		for (size_t i = 0; i < f->line_count; i++)
			printf(" %s", f->lines[i]);
		putchar('\n');
	}
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct book_words w;

		ret = book_words_make(&d->book, &row[i], "、", &w);
		if (ret != 0)
			break;
		if (d->o->json)
			row_json(d, f, &row[i], &w);
		else
			row_text(d, f, &row[i], &w);
		book_words_free(&w);
	}
	d->cells += n;
	free(row);
	return ret;
}

static void word_found(void *arg, const char *path, const char *old, const char *new)
{
	struct diff *d = arg;

	if (!d->o->json) {
		printf("  %s: %s -> %s\n", path, old != NULL ? old : "(旧包没有 not in A)",
		       new != NULL ? new : "(新包没有 not in B)");
		return;
	}
	jsonw_object(&d->j);
	jsonw_kstr(&d->j, "path", path);
	jsonw_key(&d->j, "old");
	old != NULL ? jsonw_str(&d->j, old) : jsonw_null(&d->j);
	jsonw_key(&d->j, "new");
	new != NULL ? jsonw_str(&d->j, new) : jsonw_null(&d->j);
	jsonw_object_end(&d->j);
}

static void section(struct diff *d, const char *key, const char *zh)
{
	if (d->o->json) {
		jsonw_key(&d->j, key);
		jsonw_array(&d->j);
	} else {
		printf("== %s\n", zh);
	}
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int words_section(struct diff *d, const char *a, const char *b)
{
	struct words wa = { 0 }, wb = { 0 };
	int ret;

	if (!is_directory(a) || !is_directory(b)) {
		if (!d->o->json)
			puts("== 文字未比较: 编译后的票价包没有原文 words not compared: a compiled pack has none");
		return 0;
	}
	ret = words_read(a, &wa);
	if (ret == 0)
		ret = words_read(b, &wb);
	if (ret == 0) {
		section(d, "words", "规则与表格 (cases.csv 与 reading.yaml 不影响票价, 未比较)");
		d->words = words_differ(&wa, &wb, word_found, d);
		if (d->o->json)
			jsonw_array_end(&d->j);
	}
	words_free(&wa);
	words_free(&wb);
	return ret;
}

static int taps_section(struct diff *d, const struct tariff *a, const struct tariff *b, int32_t day)
{
	struct trial *t = NULL;
	int ret = trial_read(d->o->taps, &t);

	if (ret != 0)
		return ret;
	if (day != DAY_NONE)
		trial_shift(t, day);
	ret = trial_run(t, a, b);
	if (ret == 0 && d->o->json) {
		jsonw_key(&d->j, "taps");
		trial_json(t, &d->j);
	} else if (ret == 0) {
		puts("== 历史刷卡");
		trial_print(t, stdout);
	}
	trial_free(t);
	return ret;
}

static int diff_print(struct diff *d, const struct open_pack *a, const struct open_pack *b, int32_t day)
{
	char date[11];
	int ret = 0;

	day_format(day, date);
	jsonw_init(&d->j, stdout, false);
	if (d->o->json) {
		jsonw_object(&d->j);
		jsonw_kstr(&d->j, "schema", "qingfen.tariff-diff");
		jsonw_kint(&d->j, "version", 1);
		jsonw_kstr(&d->j, "from", date);
	} else {
		printf("%s 版本 %u -> %s 版本 %u, 自 %s 起\n", tariff_name(a->tariff), tariff_version(a->tariff),
		       tariff_name(b->tariff), tariff_version(b->tariff), date);
	}
	section(d, "prices", "首乘票价 (元)");
	for (size_t i = 0; ret == 0 && i < d->book.count; i++)
		ret = family_differ(d, &d->book.family[i]);
	if (d->o->json)
		jsonw_array_end(&d->j);
	else if (d->cells == 0)
		puts("  无差别 none");
	if (ret == 0)
		ret = words_section(d, a->dir, b->dir);
	if (ret == 0 && d->o->taps != NULL)
		ret = taps_section(d, a->tariff, b->tariff, d->o->date != NULL ? day : DAY_NONE);
	if (d->o->json) {
		jsonw_object_end(&d->j);
		putchar('\n');
	}
	return ret;
}

int tariff_diff(int argc, char **argv)
{
	struct open_pack a = { 0 }, b = { 0 };
	struct diff d = { 0 };
	struct options o;
	int32_t day = DAY_NONE;
	int ret = options_read(argc, argv, usage, &o), code = 0;

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 2 != argc || (o.date != NULL && !day_parse(o.date, &day))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	d.o = &o;
	ret = open_pack_read(argv[o.first], &a);
	if (ret == EXIT_OK)
		ret = open_pack_read(argv[o.first + 1], &b);
	if (ret == EXIT_OK) {
		int64_t later = tariff_valid_from_ms(a.tariff) > tariff_valid_from_ms(b.tariff)
					? tariff_valid_from_ms(a.tariff)
					: tariff_valid_from_ms(b.tariff);

		if (day == DAY_NONE)
			day = day_of_ms(later);
		code = book_make(a.tariff, b.tariff, day, &d.book);
		if (code == 0)
			code = diff_print(&d, &a, &b, day);
		if (code < 0)
			complain("%s", clearing_strerror(code));
		ret = code > 0 ? code : code < 0 ? EXIT_STORE : d.cells + d.words > 0 ? EXIT_NO : EXIT_OK;
	}
	book_warn(&d.book);
	book_free(&d.book);
	open_pack_done(&a);
	open_pack_done(&b);
	return ret;
}
