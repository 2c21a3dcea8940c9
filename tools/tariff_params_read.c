/*
 * qingfen tariff params --from - a terminals' table read back: every row is asked of the pack's price book, and what the
 * terminals would charge otherwise is listed with the place in the table. Columns that a table does not have mean any;
 * type and percent, or a price, are enough. Prices of the pack that no row has are told as well.
 */
#include "tools/tariff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reading {
	const char *path;
	struct csv *csv;
	int column[PARAMS_COLUMNS];
	const char *const *field; unsigned line;
	const struct book *book;
	uint8_t **covered;		/* by family: its cells, then its lines */
	size_t refused, differing;	/* rows that cannot be read; rows and prices that differ */
};
/* What a row is about, and what it says; negative: it does not say. */
struct table_row { uint64_t groups, slots; uint32_t days; uint8_t media, guests; int64_t published, percent, price, limit[3]; };	/* limits of a slot, a day, a month */

static const char *cell(const struct reading *r, int c)
{
	return r->column[c] >= 0 ? r->field[r->column[c]] : "";
}

static void place_print(const struct reading *r, int c)
{
	fprintf(stdout, "%s:%u:%u: ", r->path, r->line, r->column[c] >= 0 ? csv_field_column(r->csv, (size_t)r->column[c]) : 1);
}

/* ---- a row ------------------------------------------------------------------------------------------------------ */

static size_t blanks(const char *at)
{
	size_t n = 0;

	while (at[n] == ' ' || strncmp(at + n, "、", 3) == 0)
		n += at[n] == ' ' ? 1 : 3;
	return n;
}

/* The next word of a list separated by spaces or 、; false: no more. */
static bool word_next(const char **at, char ret_word[64])
{
	size_t n = 0;

	*at += blanks(*at);
	while ((*at)[n] != '\0' && blanks(*at + n) == 0)
		n++;
	if (n == 0)
		return false;
	snprintf(ret_word, 64, "%.*s", (int)(n < 63 ? n : 63), *at);
	*at += n;
	return true;
}

static void unknown(struct reading *r, int c, const char *word, const char *const *known, size_t count)
{
	const char *near = word_suggest(word, known, count);

	place_print(r, c);
	printf("%s: \"%s\" is not in the pack%s%s%s\n", params_column_name((enum params_column)c), word, near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
	r->refused++;
}

/* The longest known word here: a kind of day may be several words. count: none. */
static size_t known_at(const char *at, const char *const *known, size_t count)
{
	size_t best = count;

	for (size_t k = 0; k < count; k++) {
		size_t n = strlen(known[k]);

		if (strncmp(at, known[k], n) == 0 && (blanks(at + n) > 0 || at[n] == '\0') && (best == count || n > strlen(known[best])))
			best = k;
	}
	return best;
}

/* A word that tells days apart in the table and alone is no kind of the pack: the kinds it is part of; a date or 工作日 that
 * is part of none is one the pack makes no difference by. False: no word for days. */
static bool word_kinds(const char *word, const char *const *known, size_t count, uint32_t *mask)
{
	static const char *const bases[] = { "每天", "工作日", "休息日", "无课工作日" };
	size_t n = strlen(word);
	char date[11];
	int32_t day;
	bool found = false;

	for (size_t k = 0; k < count; k++)
		for (const char *at = known[k]; *at != '\0'; at += strcspn(at, " "), at += strspn(at, " "))
			if (strncmp(at, word, n) == 0 && (at[n] == ' ' || at[n] == '\0')) {
				*mask |= 1u << k;
				found = true;
			}
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++)
		found = found || strcmp(word, bases[i]) == 0;
	snprintf(date, sizeof(date), "%.10s", word);
	return found || (n == 13 && day_parse(date, &day) && (strcmp(word + 10, "起") == 0 || strcmp(word + 10, "前") == 0));
}

static uint32_t days_mask(struct reading *r)
{
	const struct book_axes *a = &r->book->axes;
	const char *at = cell(r, PARAMS_DAYS), *known[BOOK_DAYS_MAX];
	uint32_t mask = 0;
	char word[64];

	if (*at == '\0' || strcmp(at, book_days_all(r->book)) == 0)
		return ~0u;
	for (size_t i = 0; i < a->days; i++)
		known[i] = a->day[i].text;
	for (at += blanks(at); *at != '\0'; at += blanks(at)) {
		size_t k = known_at(at, known, a->days);

		if (k < a->days) {
			mask |= 1u << k;
			at += strlen(known[k]);
		} else if (word_next(&at, word) && !word_kinds(word, known, a->days, &mask)) {
			unknown(r, PARAMS_DAYS, word, known, a->days);
		}
	}
	return mask != 0 ? mask : ~0u;
}

/* Media and homes of cards, in English or Chinese. */
static uint8_t few_mask(struct reading *r, int c, int (*find)(const char *word), const char *const *known, size_t count)
{
	const char *at = cell(r, c);
	uint8_t mask = 0;
	char word[64];

	if (at[blanks(at)] == '\0' || strcmp(at, "*") == 0)
		return 0xFF;
	while (word_next(&at, word)) {
		int i = find(word);

		if (i < 0)
			unknown(r, c, word, known, count);
		else
			mask |= (uint8_t)(1u << i);
	}
	return mask;
}

/* The group whose members have this class of card. */
static size_t group_of_card(const struct reading *r, int code)
{
	const struct book_axes *a = &r->book->axes;
	struct tariff_group g;

	for (size_t i = 0; code > 1 && tariff_group_at(r->book->pack[0], i, a->day[0].day, &g); i++)
		for (size_t k = 1; g.card_class == code && k < a->groups; k++)
			if (strcmp(a->group[k].name, g.name) == 0)
				return k;
	return a->groups;
}

static uint64_t groups_mask(struct reading *r)
{
	const struct book_axes *a = &r->book->axes;
	const char *name[BOOK_GROUPS_MAX + 1], *title[BOOK_GROUPS_MAX + 1], *said = cell(r, PARAMS_TYPE);

	if (params_type_everybody(said))
		return 1;
	if (params_type_code(said) > 0 && group_of_card(r, params_type_code(said)) < a->groups)
		return 1ULL << group_of_card(r, params_type_code(said));
	for (size_t i = 0; i < a->groups; i++) {
		name[i] = i == 0 ? "ordinary" : a->group[i].name;
		title[i] = a->group[i].title;
		if (strcmp(said, name[i]) == 0 || strcmp(said, title[i]) == 0)
			return 1ULL << i;
	}
	if (said[0] == '\0')
		return ~0ULL;
	unknown(r, PARAMS_TYPE, said, name, a->groups);
	return 0;
}

/* Does [from, to), over midnight where to lies before from, touch the slot? */
static bool minutes_touch(unsigned slot_from, unsigned slot_to, unsigned from, unsigned to)
{
	return from < to ? from < slot_to && slot_from < to : from < slot_to || slot_from < to;
}

/* Slots of the book that any of the hours touches. */
static uint64_t hours_mask(struct reading *r)
{
	const struct book_axes *a = &r->book->axes;
	const char *at = cell(r, PARAMS_HOURS);
	uint64_t mask = 0;
	char word[64];

	if (*at == '\0' || strcmp(at, "全天") == 0)
		return ~0ULL;
	while (word_next(&at, word)) {
		unsigned h1, m1, h2, m2;
		char rest;

		if (sscanf(word, "%2u:%2u-%2u:%2u%c", &h1, &m1, &h2, &m2, &rest) != 4 || h1 > 24 || h2 > 24 || m1 > 59 || m2 > 59) {
			place_print(r, PARAMS_HOURS);
			printf("hours: such as 07:00-08:30, or 全天; \"%s\" is neither\n", word);
			r->refused++;
			return 0;
		}
		for (size_t i = 0; i < a->slots; i++)
			if (minutes_touch(a->minute[i], a->minute[i + 1], h1 * 60 + m1, h2 * 60 + m2))
				mask |= 1ULL << i;
	}
	return mask;
}

static int64_t number(struct reading *r, int c, int64_t max)
{
	const char *said = cell(r, c);
	char *end;
	long long v;

	if (said[0] == '\0')
		return -1;
	v = strtoll(said, &end, 10);
	if (*end == '\0' && v >= 0 && v <= max)
		return v;
	place_print(r, c);
	printf("%s: a whole number up to %lld is needed, not \"%s\"\n", params_column_name((enum params_column)c), (long long)max, said);
	r->refused++;
	return -1;
}

/* False: the row cannot be read, which was said. */
static bool row_read(struct reading *r, struct table_row *ret)
{
	size_t before = r->refused;

	*ret = (struct table_row){ .groups = groups_mask(r), .slots = hours_mask(r), .days = days_mask(r),
				   .media = few_mask(r, PARAMS_MEDIA, params_medium, book_media_names, BOOK_MEDIA),
				   .guests = few_mask(r, PARAMS_GUESTS, params_guest, book_guest_names, BOOK_GUESTS), .published = number(r, PARAMS_PUBLISHED, 1000000),
				   .percent = number(r, PARAMS_PERCENT, 100), .price = number(r, PARAMS_PRICE, 1000000),
				   .limit = { number(r, PARAMS_LIMIT_SLOT, 1000000), number(r, PARAMS_LIMIT_DAY, 1000000), number(r, PARAMS_LIMIT_MONTH, 1000000) } };
	if (r->refused == before && ret->percent < 0 && ret->price < 0) {
		place_print(r, PARAMS_PERCENT);
		puts("percent: a percentage or a price_fen is needed");
		r->refused++;
	}
	return r->refused == before;
}

/* ---- against the book -------------------------------------------------------------------------------------------- */

static bool line_named(const struct reading *r, const struct book_family *f, size_t i)
{
	const char *at = cell(r, PARAMS_LINES);
	char word[64];

	if (*at == '\0')
		return true;
	while (word_next(&at, word))
		if (strcmp(word, f->lines[i]) == 0)
			return true;
	return false;
}

/* Lines of the family that the row names. */
static size_t lines_cover(struct reading *r, const struct book_family *f, uint8_t *line)
{
	const char *class_name = cell(r, PARAMS_CLASS);
	size_t n = 0;

	if (class_name[0] != '\0' && strcmp(class_name, f->line.class_name) != 0 && strcmp(class_name, f->class_title) != 0)
		return 0;
	for (size_t i = 0; i < f->line_count; i++)
		if (line_named(r, f, i)) {
			line[i] = 1;
			n++;
		}
	return n;
}

static const char *const periods[] = { "slot", "day", "month" };

static int64_t limit_of(const struct tariff *t, const struct book_price *p, const char *period)
{
	struct tariff_quota q[CONCESSION_QUOTAS_MAX];
	size_t n = p->rule != 0 ? tariff_quotas_of(t, p->rule, q) : 0;

	for (size_t i = 0; i < n; i++)
		if (!q[i].granted && strcmp(q[i].period, period) == 0)
			return q[i].limit / (q[i].takes > 0 ? q[i].takes : 1);
	return -1;
}

/* The column in which the row says another thing than the price; -1: none. A percentage may be rounded any way. */
static int differs(const struct reading *r, const struct table_row *row, const struct book_price *p)
{
	const struct tariff *t = r->book->pack[0];
	int64_t apart = row->percent * p->published - 100LL * p->paid;

	if (row->published >= 0 && row->published != p->published)
		return PARAMS_PUBLISHED;
	if (row->price >= 0 && row->price != p->paid)
		return PARAMS_PRICE;
	if (row->percent >= 0 && (apart >= 100 || apart <= -100))
		return PARAMS_PERCENT;
	for (int i = 0; i < 3; i++)
		if (r->column[PARAMS_LIMIT_SLOT + i] >= 0 && row->limit[i] != limit_of(t, p, periods[i]))
			return PARAMS_LIMIT_SLOT + i;
	return -1;
}

struct finding { int column; size_t count; const struct book_family *family; size_t journey, group, day, slot, medium, guest; struct book_price price; };

static void finding_print(const struct reading *r, const struct finding *x)
{
	const struct book_axes *a = &r->book->axes;
	const struct tariff *t = r->book->pack[0];
	char limit[64] = "";

	place_print(r, x->column);
	if (x->column >= PARAMS_LIMIT_SLOT && x->column <= PARAMS_LIMIT_MONTH)
		snprintf(limit, sizeof(limit), ", limit %lld (-1: none)", (long long)limit_of(t, &x->price, periods[x->column - PARAMS_LIMIT_SLOT]));
	printf("%s: the table says \"%s\"; by the pack %d of %d%s: %s %s%s%s, %s, %s, %s, %s %02u:%02u, by %s; %zu prices differ\n", params_column_name((enum params_column)x->column),
	       cell(r, x->column), x->price.paid, x->price.published, limit, x->family->lines[0], x->group == 0 ? "ordinary" : a->group[x->group].name,
	       x->family->journey[x->journey].text[0] != '\0' ? " " : "", x->family->journey[x->journey].text, book_media_names[x->medium],
	       book_guest_names[x->guest], a->day[x->day].text, "from", a->minute[x->slot] / 60, a->minute[x->slot] % 60, book_rule_id(t, &x->price), x->count);
}

/* Every cell of a family that the row is about. Returns how many there are. */
static size_t family_compare(struct reading *r, const struct table_row *row, const struct book_family *f, uint8_t *covered, struct finding *found)
{
	const struct book_axes *a = &r->book->axes;
	const char *journey = cell(r, PARAMS_JOURNEY);
	size_t n = 0;

	for (size_t j = 0; j < f->journeys; j++) {
		if (journey[0] != '\0' && strcmp(journey, f->journey[j].text) != 0)
			continue;
		for (size_t i = 0; i < a->groups * a->days * a->slots * BOOK_MEDIA * BOOK_GUESTS; i++) {
			size_t guest = i % BOOK_GUESTS, medium = i / BOOK_GUESTS % BOOK_MEDIA, slot = i / (BOOK_GUESTS * BOOK_MEDIA) % a->slots;
			size_t day = i / (BOOK_GUESTS * BOOK_MEDIA * a->slots) % a->days, group = i / (BOOK_GUESTS * BOOK_MEDIA * a->slots * a->days);
			size_t at = book_cell(r->book, j, group, day, slot, medium, guest);
			int column;

			if ((row->groups >> group & 1) == 0 || (row->days >> day & 1) == 0 || (row->slots >> slot & 1) == 0 || (row->media >> medium & 1) == 0 ||
			    (row->guests >> guest & 1) == 0 || f->price[0][at].state != BOOK_PRICED)
				continue;
			n++;
			covered[at] = 1;
			column = differs(r, row, &f->price[0][at]);
			if (column >= 0 && found->count++ == 0)
				*found = (struct finding){ column, 1, f, j, group, day, slot, medium, guest, f->price[0][at] };
		}
	}
	return n;
}

static void row_compare(struct reading *r, const struct table_row *row)
{
	struct finding found = { .column = -1 };
	size_t cells = 0;

	for (size_t i = 0; i < r->book->count; i++) {
		const struct book_family *f = &r->book->family[i];

		if (lines_cover(r, f, r->covered[i] + f->cells) > 0)
			cells += family_compare(r, row, f, r->covered[i], &found);
	}
	if (found.count > 0)
		finding_print(r, &found);
	if (cells == 0) {
		place_print(r, PARAMS_LINES);
		puts("lines: the pack has no price for what this row is about");
	}
	r->differing += found.count > 0 || cells == 0;
}

/* What of the pack is in no row. */
static void uncovered_print(struct reading *r)
{
	for (size_t i = 0; i < r->book->count; i++) {
		const struct book_family *f = &r->book->family[i];
		size_t missing = 0;

		for (size_t k = 0; k < f->cells; k++)
			missing += f->price[0][k].state == BOOK_PRICED && r->covered[i][k] == 0;
		if (missing > 0)
			printf("%s: %zu prices of line %s and those like it are in no row\n", r->path, missing, f->lines[0]);
		for (size_t k = 0; k < f->line_count && missing == 0; k++)
			if (r->covered[i][f->cells + k] == 0) {
				printf("%s: line %s is in no row\n", r->path, f->lines[k]);
				r->differing++;
			}
		r->differing += missing > 0;
	}
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

static int covered_make(struct reading *r)
{
	r->covered = calloc(r->book->count + 1, sizeof(*r->covered));
	for (size_t i = 0; r->covered != NULL && i < r->book->count; i++)
		if ((r->covered[i] = calloc(r->book->family[i].cells + r->book->family[i].line_count, 1)) == NULL)
			return -ENOMEM;
	return r->covered == NULL ? -ENOMEM : 0;
}

static void reading_done(struct reading *r)
{
	for (size_t i = 0; r->covered != NULL && i < r->book->count; i++)
		free(r->covered[i]);
	free(r->covered);
	csv_close(r->csv);
}

/* Exit code: 0 every row is what the pack says, 1 something differs, 3 a row cannot be read. */
int params_compare(const char *path, const struct book *book)
{
	struct reading r = { .path = path, .book = book };
	char error[512];
	size_t rows = 0;
	int more = csv_open(path, &r.csv, error, sizeof(error));

	if (more != 0) {
		complain("%s", error);
		return EXIT_CONFIG;
	}
	for (int c = 0; c < PARAMS_COLUMNS; c++)
		r.column[c] = params_column(r.csv, (enum params_column)c);
	if (r.column[PARAMS_TYPE] < 0 || (r.column[PARAMS_PERCENT] < 0 && r.column[PARAMS_PRICE] < 0)) {
		complain("%s:1:1: columns type, and percent or price_fen are needed; optional: class, lines, journey, media, guests, days, hours, "
			 "published_fen, limit_slot, limit_day, limit_month", path);
		csv_close(r.csv);
		return EXIT_CONFIG;
	}
	more = covered_make(&r);
	while (more == 0 && (more = csv_next(r.csv, &r.field, &r.line, error, sizeof(error))) > 0) {
		struct table_row row;

		more = 0;
		rows++;
		if (row_read(&r, &row))
			row_compare(&r, &row);
	}
	if (more < 0)
		complain("%s", more == -ENOMEM ? strerror(ENOMEM) : error);
	else if (r.refused == 0)
		uncovered_print(&r);
	if (more >= 0)
		printf("%zu 行, %zu 处不同, %zu 处不能读 rows, differing, not readable\n", rows, r.differing, r.refused);
	reading_done(&r);
	return more < 0 || r.refused > 0 ? EXIT_CONFIG : r.differing > 0 ? EXIT_NO : EXIT_OK;
}
