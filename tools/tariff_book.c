/*
 * qingfen tariff price-book - what every first ride costs: group, medium, card's home, kind of day, hours, on each
 * family of lines; who pays the rest and by which rule. A table to read, or CSV and JSON to work with.
 *
 * Rules that need past rides (transfers, ladders, caps, used-up quotas, locks) cannot show in a first ride; the
 * book lists them by name at its end, so that nobody believes it tells everything.
 */
#include "tools/tariff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] =
	"用法 usage: qingfen tariff price-book PACK [--date D] [--csv | --json]\n"
	"  票价表: 人群、介质、卡归属、日期与时段、线路 -> 票面、实付、补贴、规则; D 之后生效的规则分列\n"
	"  every price of a first ride from day D on (first day of the pack)\n";

/* ---- packs ------------------------------------------------------------------------------------------- */

static void report(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static int blob_read(const char *path, size_t n, void **ret_blob)
{
	FILE *f = fopen(path, "re");
	void *p = f != NULL ? malloc(n + 1) : NULL;
	bool good = p != NULL && fread(p, 1, n, f) == n;

	if (f != NULL)
		fclose(f);
	if (!good) {
		free(p);
		return -EIO;
	}
	*ret_blob = p;
	return 0;
}

int open_pack_read(const char *path, struct open_pack *ret)
{
	struct open_pack p = { .dir = path };
	struct stat st;
	int code;

	if (stat(path, &st) != 0) {
		complain("%s: %s", path, strerror(errno));
		return EXIT_ABSENT;
	}
	p.bytes = (size_t)st.st_size;
	code = S_ISDIR(st.st_mode) ? tariff_compile(path, report, NULL, &p.blob, &p.bytes) : blob_read(path, p.bytes, &p.blob);
	if (code == 0)
		code = tariff_open(p.blob, p.bytes, &p.tariff);
	if (code != 0) {
		complain("%s: %s", path,
			 S_ISDIR(st.st_mode) ? "the pack has mistakes"
					     : "not a compiled pack, damaged, or of a newer version");
		free(p.blob);
		return EXIT_CONFIG;
	}
	*ret = p;
	return EXIT_OK;
}

void open_pack_done(struct open_pack *p)
{
	tariff_close(p->tariff);
	free(p->blob);
	*p = (struct open_pack){ 0 };
}

/* ---- small words --------------------------------------------------------------------------------------- */

/* Columns on a terminal: characters of three bytes and more are Chinese here, two columns wide. */
static unsigned columns_of(const char *text)
{
	unsigned n = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
		if ((*p & 0xC0) != 0x80)
			n += *p >= 0xE0 ? 2 : 1;
	return n;
}

void columns_print(FILE *out, const char *text, unsigned columns)
{
	unsigned n = columns_of(text);

	fputs(text, out);
	for (; n < columns; n++)
		fputc(' ', out);
}

void columns_print_right(FILE *out, const char *text, unsigned columns)
{
	for (unsigned n = columns_of(text); n < columns; n++)
		fputc(' ', out);
	fputs(text, out);
}

const char *yuan_text(int64_t fen, char ret[24])
{
	snprintf(ret, 24, "%s%lld.%02d", fen < 0 ? "-" : "", (long long)(fen < 0 ? -fen : fen) / 100,
		 (int)((fen < 0 ? -fen : fen) % 100));
	return ret;
}

void csv_print(FILE *out, const char *text, bool last)
{
	bool quote = strpbrk(text, ",\"\r\n") != NULL;

	if (quote)
		fputc('"', out);
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '"')
			fputc('"', out);
		fputc(*p, out);
	}
	if (quote)
		fputc('"', out);
	fputc(last ? '\n' : ',', out);
}

/* Words of the set bits, or one word when all are set. */
static char *words_of(uint64_t bits, size_t count, const char *all, const char *between,
		      const char *(*word)(const void *arg, size_t i), const void *arg)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	bool first = true;

	if (f == NULL)
		return NULL;
	if (all != NULL && (uint64_t)__builtin_popcountll(bits) == count) {
		fputs(all, f);
		bits = 0;
	}
	for (size_t i = 0; i < count; i++)
		if ((bits >> i & 1) != 0) {
			fprintf(f, "%s%s", first ? "" : between, word(arg, i));
			first = false;
		}
	fclose(f);
	return text;
}

static const char *group_word(const void *b, size_t i) { return ((const struct book *)b)->axes.group[i].title; }
static const char *day_word(const void *b, size_t i) { return ((const struct book *)b)->axes.day[i].text; }

static const char *medium_word(const void *b, size_t i)
{
	static const char *const zh[BOOK_MEDIA] = { "公交卡", "社保卡", "乘车码", "银行卡", "银联码", "司机录入", "现金" };

	(void)b;
	return zh[i];
}

static const char *guest_word(const void *b, size_t i)
{
	static const char *const zh[BOOK_GUESTS] = { "本地卡", "区域卡", "外地卡" };

	(void)b;
	return zh[i];
}

static char *slots_text(const struct book_axes *a, uint64_t slots, const char *between)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	bool first = true;

	if (f == NULL)
		return NULL;
	if ((size_t)__builtin_popcountll(slots) == a->slots)
		fputs("全天", f);
	for (size_t i = 0; i < a->slots && (size_t)__builtin_popcountll(slots) < a->slots; i++) {
		size_t from = i;

		if ((slots >> i & 1) == 0)
			continue;
		while (i + 1 < a->slots && (slots >> (i + 1) & 1) != 0)
			i++;
		fprintf(f, "%s%02u:%02u-%02u:%02u", first ? "" : between, a->minute[from] / 60, a->minute[from] % 60,
			a->minute[i + 1] / 60, a->minute[i + 1] % 60);
		first = false;
	}
	fclose(f);
	return text;
}

/* Where one kind of day is called 每天 (and another 每天 with a season), all of them are 全年. */
const char *book_days_all(const struct book *b)
{
	for (size_t i = 0; i < b->axes.days && b->axes.days > 1; i++)
		if (strcmp(b->axes.day[i].text, "每天") == 0)
			return "全年";
	return "每天";
}

int book_words_make(const struct book *b, const struct book_row *row, const char *between, struct book_words *ret)
{
	struct book_words w = {
		.groups = words_of(row->groups, b->axes.groups, b->axes.groups > 1 ? "所有乘客" : NULL, between, group_word, b),
		.media = words_of(row->media, BOOK_MEDIA, "各种介质", between, medium_word, b),
		.guests = words_of(row->guests, BOOK_GUESTS, "各地卡", between, guest_word, b),
		.days = words_of(row->days, b->axes.days, book_days_all(b), between, day_word, b),
		.slots = slots_text(&b->axes, row->slots, between),
	};

	if (w.groups == NULL || w.media == NULL || w.guests == NULL || w.days == NULL || w.slots == NULL) {
		book_words_free(&w);
		return -ENOMEM;
	}
	*ret = w;
	return 0;
}

void book_words_free(struct book_words *w)
{
	free(w->groups);
	free(w->media);
	free(w->guests);
	free(w->days);
	free(w->slots);
	*w = (struct book_words){ 0 };
}

/* ---- the book, three ways ---------------------------------------------------------------------------------- */

static void family_heading(const struct book_family *f)
{
	printf("\n%s (%s)  %zu 条线路:", f->class_title, f->line.class_name, f->line_count);
	for (size_t i = 0; i < f->line_count; i++)
		printf(" %s", f->lines[i]);
	putchar('\n');
}

static void row_text(const struct book *b, const struct book_family *f, const struct book_row *row, const struct book_words *w)
{
	const struct book_price *p = &row->price[0];
	char published[24], paid[24], subsidy[24];
	const char *first = f->journey[row->journey].text;

	fputs("  ", stdout);
	if (f->journeys > 1 || first[0] != '\0')
		columns_print(stdout, first, 14);
	columns_print(stdout, w->groups, 26);
	putchar(' ');
	columns_print(stdout, w->media, 22);
	putchar(' ');
	columns_print(stdout, w->guests, 14);
	putchar(' ');
	columns_print(stdout, w->days, 10);
	putchar(' ');
	columns_print(stdout, w->slots, 12);
	if (p->state == BOOK_REFUSED)
		printf(" %7s %7s %7s  ", "-", "-", "-");
	else
		printf(" %7s %7s %7s  ", yuan_text(p->published, published), yuan_text(p->paid, paid),
		       yuan_text(p->subsidy, subsidy));
	printf("%s [%s]\n", book_rule_title(b->pack[0], p), book_rule_id(b->pack[0], p));
}

static void row_csv(const struct book *b, const struct book_family *f, const struct book_row *row, const struct book_words *w)
{
	const struct book_price *p = &row->price[0];

	csv_print(stdout, f->line.class_name, false);
	for (size_t i = 0; i < f->line_count; i++)
		printf("%s%s", i > 0 ? " " : "", f->lines[i]);
	putchar(',');
	csv_print(stdout, f->journey[row->journey].text, false);
	csv_print(stdout, row->groups == 1 ? "" : b->axes.group[__builtin_ctzll(row->groups)].name, false);
	csv_print(stdout, w->groups, false);
	csv_print(stdout, w->media, false);
	csv_print(stdout, w->guests, false);
	csv_print(stdout, w->days, false);
	csv_print(stdout, w->slots, false);
	if (p->state == BOOK_REFUSED)
		printf(",,,");
	else
		printf("%d,%d,%d,", p->published, p->paid, p->subsidy);
	csv_print(stdout, book_rule_id(b->pack[0], p), false);
	csv_print(stdout, book_rule_title(b->pack[0], p), true);
}

static void bits_json(struct jsonw *j, const char *key, uint64_t bits, const char *const *names, size_t count)
{
	jsonw_key(j, key);
	jsonw_array(j);
	for (size_t i = 0; i < count; i++)
		if ((bits >> i & 1) != 0)
			jsonw_str(j, names[i]);
	jsonw_array_end(j);
}

static void row_json(struct jsonw *j, const struct book *b, const struct book_family *f, const struct book_row *row,
		     const struct book_words *w)
{
	const struct book_price *p = &row->price[0];

	jsonw_object(j);
	jsonw_kstr(j, "class", f->line.class_name);
	jsonw_key(j, "lines");
	jsonw_array(j);
	for (size_t i = 0; i < f->line_count; i++)
		jsonw_str(j, f->lines[i]);
	jsonw_array_end(j);
	jsonw_kstr(j, "journey", f->journey[row->journey].text);
	jsonw_kstr(j, "group", b->axes.group[__builtin_ctzll(row->groups)].name);
	bits_json(j, "media", row->media, book_media_names, BOOK_MEDIA);
	bits_json(j, "guests", row->guests, book_guest_names, BOOK_GUESTS);
	jsonw_kstr(j, "days", w->days);
	jsonw_kstr(j, "hours", w->slots);
	jsonw_kbool(j, "refused", p->state == BOOK_REFUSED);
	jsonw_kint(j, "published_fen", p->published);
	jsonw_kint(j, "paid_fen", p->paid);
	jsonw_kint(j, "subsidy_fen", p->subsidy);
	jsonw_kstr(j, "rule", book_rule_id(b->pack[0], p));
	jsonw_object_end(j);
}

static int family_print(const struct book *b, const struct book_family *f, const struct options *o, struct jsonw *j)
{
	struct book_row *row;
	size_t n;
	int ret = book_rows(b, f, o->csv || o->json ? 0 : BOOK_JOIN_GROUPS | BOOK_SHORT, &row, &n);

	if (ret != 0)
		return ret;
	if (!o->csv && !o->json)
		family_heading(f);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct book_words w;

		ret = book_words_make(b, &row[i], o->csv ? " " : "、", &w);
		if (ret != 0)
			break;
		if (o->csv)
			row_csv(b, f, &row[i], &w);
		else if (o->json)
			row_json(j, b, f, &row[i], &w);
		else
			row_text(b, f, &row[i], &w);
		book_words_free(&w);
	}
	free(row);
	return ret;
}

/* Rules of kinds that a first ride cannot show. */
static bool needs_past(const char *kind)
{
	static const char *const kinds[] = { "transfer", "ladder", "cap", "quota", "lock", "refund", "open" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(kind, kinds[i], strlen(kinds[i])) == 0)
			return true;
	return false;
}

static void past_print(const struct tariff *t)
{
	struct tariff_rule r;
	bool any = false;

	for (size_t i = 1; i < tariff_rule_count(t); i++) {
		if (!tariff_rule(t, (uint16_t)i, &r) || !needs_past(r.kind))
			continue;
		if (!any)
			puts("\n另有与前程、次数、累计有关的规则, 上表未含 rules that need past rides, not in the table:");
		any = true;
		printf("  %s [%s]  依据: %s\n", r.title, r.id, r.basis);
	}
}

static int book_print(const struct book *b, const struct options *o, int32_t day)
{
	struct jsonw j;
	char date[11];
	int ret = 0;

	day_format(day, date);
	jsonw_init(&j, stdout, false);
	if (o->json) {
		jsonw_object(&j);
		jsonw_kstr(&j, "schema", "qingfen.price-book");
		jsonw_kint(&j, "version", 1);
		jsonw_kstr(&j, "pack", tariff_name(b->pack[0]));
		jsonw_kint(&j, "pack_version", tariff_version(b->pack[0]));
		jsonw_kstr(&j, "from", date);
		jsonw_key(&j, "rows");
		jsonw_array(&j);
	} else if (o->csv) {
		puts("class,lines,journey,group,group_title,media,guests,days,hours,published_fen,paid_fen,subsidy_fen,rule,rule_title");
	} else {
		printf("%s 版本 %u  自 %s 起的票价表 (元): 人群, 介质, 卡归属, 日期, 时段, 票面, 实付, 补贴, 规则\n"
		       "未列出的人群与普通乘客同价 groups not listed pay what anybody pays\n", tariff_name(b->pack[0]), tariff_version(b->pack[0]), date);
	}
	for (size_t i = 0; ret == 0 && i < b->count; i++)
		ret = family_print(b, &b->family[i], o, &j);
	if (o->json) {
		jsonw_array_end(&j);
		jsonw_object_end(&j);
		putchar('\n');
	} else if (!o->csv) {
		past_print(b->pack[0]);
	}
	return ret;
}

int tariff_book(int argc, char **argv)
{
	struct open_pack pack = { 0 };
	struct book book = { 0 };
	struct options o;
	int32_t day = DAY_NONE;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 1 != argc || (o.date != NULL && !day_parse(o.date, &day))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret = open_pack_read(argv[o.first], &pack);
	if (ret != EXIT_OK)
		return ret;
	if (day == DAY_NONE)
		day = day_of_ms(tariff_valid_from_ms(pack.tariff));
	ret = book_make(pack.tariff, NULL, day, &book);
	if (ret == 0)
		ret = book_print(&book, &o, day);
	if (ret != 0)
		complain("%s: %s", argv[o.first], strerror(-ret));
	book_warn(&book);
	book_free(&book);
	open_pack_done(&pack);
	return ret == 0 ? EXIT_OK : EXIT_STORE;
}
