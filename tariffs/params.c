/*
 * params - the table a terminals' maker hands over: type, percent or price, limits, and what else it has of lines, media,
 * days and hours. Columns stand in any order under English or Chinese headings. A column that nobody knows, a code that no
 * card has or a limit that cannot be is refused with its place: a table half understood is a wrong fare.
 */
#include "tariffs/params.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tariffs/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PRICE_FEN_MAX 100000
#define LIMIT_MAX 1000000
#define PROBLEMS_MAX 50		/* a table of another kind has one in every row */

static const struct { const char *name, *zh[5]; } columns[PARAMS_COLUMNS] = {
	[PARAMS_TYPE] = { "type", { "类型", "卡类型", "类型代码", "票种" } },
	[PARAMS_TITLE] = { "title", { "名称", "类型名称", "卡类型名称" } },
	[PARAMS_CLASS] = { "class", { "线路类别" } },
	[PARAMS_LINES] = { "lines", { "线路" } },
	[PARAMS_JOURNEY] = { "journey", { "行程" } },
	[PARAMS_MEDIA] = { "media", { "介质", "支付介质" } },
	[PARAMS_GUESTS] = { "guests", { "卡归属", "归属" } },
	[PARAMS_DAYS] = { "days", { "日期", "日期类别" } },
	[PARAMS_HOURS] = { "hours", { "时段" } },
	[PARAMS_PUBLISHED] = { "published_fen", { "票面价", "票面价(分)", "票价", "票价(分)" } },
	[PARAMS_PERCENT] = { "percent", { "折扣", "折扣率", "折扣(%)", "折扣率(%)" } },
	[PARAMS_PRICE] = { "price_fen", { "实收", "实收(分)", "扣款额", "扣款额(分)" } },
	[PARAMS_LIMIT_SLOT] = { "limit_slot", { "时段次数", "每时段次数", "每时段限次" } },
	[PARAMS_LIMIT_DAY] = { "limit_day", { "日次数", "每日次数", "每日限次" } },
	[PARAMS_LIMIT_MONTH] = { "limit_month", { "月次数", "每月次数", "每月限次" } },
	[PARAMS_RULE] = { "rule", { "规则" } },
	[PARAMS_NOTE] = { "note", { "备注", "序号" } },
};

const char *params_column_name(enum params_column c) { return columns[c].name; }

static bool heading_is(enum params_column c, const char *heading)
{
	if (strcmp(heading, columns[c].name) == 0)
		return true;
	for (size_t k = 0; k < COUNT(columns[c].zh) && columns[c].zh[k] != NULL; k++)
		if (strcmp(heading, columns[c].zh[k]) == 0)
			return true;
	return false;
}

int params_column(const struct csv *csv, enum params_column c)
{
	for (size_t i = 0; i < csv_columns(csv); i++)
		if (heading_is(c, csv_header(csv, i)))
			return (int)i;
	return -1;
}

int params_medium(const char *word)
{
	static const char *const names[MEDIA_COUNT] = { "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" };
	static const char *const zh[MEDIA_COUNT] = { "公交卡", "社保卡", "乘车码", "银行卡", "银联码", "司机录入", "现金" };

	for (int i = 0; i < MEDIA_COUNT; i++)
		if (strcmp(word, names[i]) == 0 || strcmp(word, zh[i]) == 0)
			return i;
	return -1;
}

int params_guest(const char *word)
{
	static const char *const names[GUEST_COUNT] = { "local", "region", "other" }, *const zh[GUEST_COUNT] = { "本地卡", "区域卡", "外地卡" };

	for (int i = 0; i < GUEST_COUNT; i++)
		if (strcmp(word, names[i]) == 0 || strcmp(word, zh[i]) == 0)
			return i;
	return -1;
}

/* T-Union's classes of cards, as data/tunion_card_types.csv of the open data lists them. */
const struct params_type *params_type_of(int code)
{
	static const struct params_type types[] = { { "ordinary", "普通卡" }, { "student", "学生卡" }, { "elder", "老人卡" }, { "test", "测试卡" }, { "soldier", "军人卡" } };

	return code >= 1 && code <= (int)COUNT(types) ? &types[code - 1] : NULL;
}

int params_type_code(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || text[digits] != '\0')
		return 0;
	return digits <= 3 && atoi(text) > 0 ? atoi(text) : -1;
}

bool params_type_everybody(const char *text)
{
	return strcmp(text, "ordinary") == 0 || strcmp(text, "普通乘客") == 0 || strcmp(text, "普通卡") == 0 || params_type_code(text) == 1;
}

/* ---- problems and words ------------------------------------------------------------------------------------------- */

void params_problem(struct params *p, const struct params_row *row, enum params_column c, const char *format, ...)
{
	char text[400], place[800];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(place, sizeof(place), "%s:%u:%u: %s: %s", p->name, row->line, row->column[c], columns[c].name, text);
	p->problems++;
	p->report(p->arg, place);
}

static size_t blanks(const char *at)
{
	size_t n = 0;

	while (at[n] == ' ' || strncmp(at + n, "、", 3) == 0)
		n += at[n] == ' ' ? 1 : 3;
	return n;
}

bool params_word_next(const char **at, char *ret_word, size_t bytes)
{
	size_t n = 0;

	*at += blanks(*at);
	while ((*at)[n] != '\0' && blanks(*at + n) == 0)
		n++;
	if (n == 0 || n >= bytes)
		return false;
	memcpy(ret_word, *at, n);
	ret_word[n] = '\0';
	*at += n;
	return true;
}

/* ---- cells ------------------------------------------------------------------------------------------------------------ */

static int32_t number(struct params *p, const struct params_row *row, enum params_column c, int32_t min, int32_t max)
{
	const char *said = row->text[c];
	char *end;
	long long v;

	if (said[0] == '\0')
		return -1;
	v = strtoll(said, &end, 10);
	if (said[0] >= '0' && said[0] <= '9' && *end == '\0' && v >= min && v <= max)
		return (int32_t)v;
	params_problem(p, row, c, "a whole number from %d to %d is needed, not \"%.40s\"", min, max, said);
	return -1;
}

static uint8_t words_read(struct params *p, const struct params_row *row, enum params_column c, int (*find)(const char *word), uint8_t all, const char *known)
{
	const char *at = row->text[c];
	uint8_t bits = 0;
	char word[48];

	if (at[blanks(at)] == '\0' || strcmp(at, "*") == 0)
		return all;
	while (params_word_next(&at, word, sizeof(word))) {
		int i = find(word);

		if (i < 0)
			params_problem(p, row, c, "\"%s\" is none of %s", word, known);
		else
			bits |= (uint8_t)(1u << i);
	}
	if (at[0] != '\0')
		params_problem(p, row, c, "words such as %s are needed", known);
	return bits;
}

static void hour_add(struct params *p, struct params_row *row, unsigned from, unsigned to)
{
	for (uint8_t i = 0; i < row->hours; i++)
		if (from < row->hour[i].to && row->hour[i].from < to) {
			params_problem(p, row, PARAMS_HOURS, "%02u:%02u-%02u:%02u overlaps %02u:%02u-%02u:%02u of the same row", from / 60, from % 60, to / 60, to % 60,
				       row->hour[i].from / 60, row->hour[i].from % 60, row->hour[i].to / 60, row->hour[i].to % 60);
			return;
		}
	if (row->hours == PARAMS_HOURS_MAX) {
		params_problem(p, row, PARAMS_HOURS, "more than %d hours in one row; make it two rows", PARAMS_HOURS_MAX);
		return;
	}
	row->hour[row->hours].from = (uint16_t)from;
	row->hour[row->hours++].to = (uint16_t)to;
}

static void hours_read(struct params *p, struct params_row *row)
{
	const char *at = row->text[PARAMS_HOURS];
	char word[16];

	if (at[blanks(at)] == '\0' || strcmp(at, "全天") == 0)
		return;
	while (params_word_next(&at, word, sizeof(word))) {
		unsigned h1, m1, h2, m2;
		char rest;

		if (sscanf(word, "%2u:%2u-%2u:%2u%c", &h1, &m1, &h2, &m2, &rest) != 4 || h1 > 23 || h2 > 24 || m1 > 59 || m2 > 59 || (h2 == 24 && m2 > 0) ||
		    h1 * 60 + m1 == h2 * 60 + m2) {
			params_problem(p, row, PARAMS_HOURS, "such as 07:00-08:30, or 全天; \"%s\" is neither", word);
		} else if (h1 * 60 + m1 < h2 * 60 + m2) {
			hour_add(p, row, h1 * 60 + m1, h2 * 60 + m2);
		} else {
			row->over_midnight = true;
			hour_add(p, row, h1 * 60 + m1, 1440);
			if (h2 * 60 + m2 > 0)
				hour_add(p, row, 0, h2 * 60 + m2);
		}
	}
	if (at[0] != '\0')
		params_problem(p, row, PARAMS_HOURS, "such as 07:00-08:30, or 全天; \"%.20s\" is neither", at);
}

static void limits_read(struct params *p, struct params_row *row)
{
	int32_t before = -1;

	for (int i = 0; i < LIMITS; i++) {
		enum params_column c = (enum params_column)(PARAMS_LIMIT_SLOT + i);

		row->limit[i] = number(p, row, c, 1, LIMIT_MAX);
		if (row->limit[i] >= 0 && row->limit[i] < before)
			params_problem(p, row, c, "%d is less than the %d before it: limits rise from slot to day to month", row->limit[i], before);
		if (row->limit[i] >= 0)
			before = row->limit[i];
	}
	if (row->limit[LIMIT_SLOT] >= 0 && (row->hours == 0 || row->over_midnight))
		params_problem(p, row, PARAMS_LIMIT_SLOT, "rides of a slot are limited, and the row has %s", row->hours == 0 ? "no hours" : "hours over midnight: make it two rows");
}

static void type_read(struct params *p, struct params_row *row)
{
	row->code = params_type_code(row->text[PARAMS_TYPE]);
	if (row->text[PARAMS_TYPE][0] == '\0')
		params_problem(p, row, PARAMS_TYPE, "a type is needed: a word, or a card class from 1 to 5");
	else if (row->code != 0 && params_type_of(row->code) == NULL)
		params_problem(p, row, PARAMS_TYPE, "\"%.20s\" is no card class: 1 普通卡, 2 学生卡, 3 老人卡, 4 测试卡, 5 军人卡; write others as words", row->text[PARAMS_TYPE]);
}

/* Texts go into YAML and CSV. */
static void texts_check(struct params *p, const struct params_row *row)
{
	for (int c = 0; c < PARAMS_COLUMNS; c++)
		if (!text_printable(row->text[c]))
			params_problem(p, row, (enum params_column)c, "a control character, or no UTF-8");
	if (strlen(row->text[PARAMS_TYPE]) > 60 || strlen(row->text[PARAMS_CLASS]) > 60)
		params_problem(p, row, strlen(row->text[PARAMS_TYPE]) > 60 ? PARAMS_TYPE : PARAMS_CLASS, "at most 60 bytes");
	if (strlen(row->text[PARAMS_TITLE]) > 120)
		params_problem(p, row, PARAMS_TITLE, "at most 120 bytes");
}

static void row_read(struct params *p, struct params_row *row)
{
	texts_check(p, row);
	type_read(p, row);
	row->media = words_read(p, row, PARAMS_MEDIA, params_medium, PARAMS_MEDIA_ALL, "card, ssc, qr, bank, bank-qr, manual, cash");
	row->guests = words_read(p, row, PARAMS_GUESTS, params_guest, PARAMS_GUESTS_ALL, "local, region, other");
	hours_read(p, row);
	row->published = number(p, row, PARAMS_PUBLISHED, 0, PRICE_FEN_MAX);
	row->percent = number(p, row, PARAMS_PERCENT, 0, 100);
	row->price = number(p, row, PARAMS_PRICE, 0, PRICE_FEN_MAX);
	limits_read(p, row);
	if (row->text[PARAMS_PERCENT][0] == '\0' && row->text[PARAMS_PRICE][0] == '\0')
		params_problem(p, row, PARAMS_PERCENT, "a percentage or a price_fen is needed");
	if (row->published >= 0 && row->price > row->published)
		params_problem(p, row, PARAMS_PRICE, "%d is above the published %d", row->price, row->published);
}

/* ---- the table ---------------------------------------------------------------------------------------------------------- */

static void heading_problem(struct params *p, unsigned column, const char *text)
{
	char place[1000];

	snprintf(place, sizeof(place), "%s:1:%u: %s", p->name, column, text);
	p->problems++;
	p->report(p->arg, place);
}

static void headings_read(struct params *p, const struct csv *csv, int column[PARAMS_COLUMNS])
{
	const char *known[PARAMS_COLUMNS];
	char text[900];

	for (int c = 0; c < PARAMS_COLUMNS; c++) {
		known[c] = columns[c].name;
		column[c] = params_column(csv, (enum params_column)c);
		p->has[c] = column[c] >= 0;
	}
	for (size_t i = 0; i < csv_columns(csv); i++) {
		const char *heading = csv_header(csv, i), *near = word_suggest(heading, known, PARAMS_COLUMNS);
		int c = 0;

		while (c < PARAMS_COLUMNS && !heading_is((enum params_column)c, heading))
			c++;
		snprintf(text, sizeof(text), "unknown column \"%.60s\"%s%s", heading, near != NULL ? ", did you mean " : "", near != NULL ? near : "");
		if (c == PARAMS_COLUMNS)
			heading_problem(p, (unsigned)i + 1, text);
		else if (column[c] != (int)i && c != PARAMS_NOTE)
			heading_problem(p, (unsigned)i + 1, "this column is there twice");
	}
	if (column[PARAMS_TYPE] < 0 || (column[PARAMS_PERCENT] < 0 && column[PARAMS_PRICE] < 0))
		heading_problem(p, 1, "no terminals' table: columns type, and percent or price_fen are needed; optional: title, class, lines, journey, media, guests, "
				      "days, hours, published_fen, limit_slot, limit_day, limit_month, rule, note");
}

static struct params_row *row_new(struct params *p)
{
	struct params_row *wide;

	if (p->count % 256 == 0) {
		wide = realloc(p->row, (p->count + 256) * sizeof(*wide));
		if (wide == NULL)
			return NULL;
		p->row = wide;
	}
	p->row[p->count] = (struct params_row){ 0 };
	return &p->row[p->count++];
}

/* Rides of each slot are counted for themselves: the last row becomes one for each of its hours. */
static bool hours_split(struct params *p)
{
	size_t first = p->count - 1;

	for (uint8_t i = 1; i < p->row[first].hours; i++) {
		struct params_row *row = row_new(p);

		if (row == NULL)
			return false;
		*row = p->row[first];
		row->hours = 1;
		row->hour[0] = p->row[first].hour[i];
		for (int c = 0; c < PARAMS_COLUMNS; c++)
			row->text[c] = NULL;
		for (int c = 0; c < PARAMS_COLUMNS; c++)
			if ((row->text[c] = strdup(p->row[first].text[c])) == NULL)
				return false;
	}
	p->row[first].hours = p->row[first].hours > 0 ? 1 : 0;
	return true;
}

static bool row_add(struct params *p, const struct csv *csv, const char *const *field, unsigned line, const int column[PARAMS_COLUMNS])
{
	struct params_row *row = row_new(p);

	if (row == NULL)
		return false;
	row->line = line;
	for (int c = 0; c < PARAMS_COLUMNS; c++) {
		row->column[c] = column[c] >= 0 ? csv_field_column(csv, (size_t)column[c]) : 1;
		row->text[c] = strdup(column[c] >= 0 ? field[column[c]] : "");
		if (row->text[c] == NULL)
			return false;
	}
	row_read(p, row);
	return row->limit[LIMIT_SLOT] < 0 || hours_split(p);
}

bool params_read(struct csv *csv, struct params *p)
{
	const char *const *field;
	int column[PARAMS_COLUMNS], more = 1;
	char error[512];
	unsigned line;

	headings_read(p, csv, column);
	if (p->problems > 0)
		return false;
	while (p->problems < PROBLEMS_MAX && p->count < PARAMS_ROWS_MAX && (more = csv_next(csv, &field, &line, error, sizeof(error))) > 0)
		if (!row_add(p, csv, field, line, column)) {
			heading_problem(p, 1, "out of memory");
			return false;
		}
	if (more < 0) {
		p->problems++;
		p->report(p->arg, error);
	}
	if (p->problems == 0 && p->count == 0)
		heading_problem(p, 1, "the table has no row");
	if (p->count == PARAMS_ROWS_MAX)
		heading_problem(p, 1, "more than 5000 rows");
	return p->problems == 0;
}

void params_done(struct params *p)
{
	for (size_t i = 0; i < p->count; i++)
		for (int c = 0; c < PARAMS_COLUMNS; c++)
			free(p->row[i].text[c]);
	free(p->row);
	p->row = NULL;
	p->count = 0;
}
