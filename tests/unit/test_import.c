/*
 * A pack made of a terminals' table, against the table: rate() gives every price of every row. Random tables over types,
 * lines, days, hours, media and homes of cards; the seed is printed.
 */
#include "tariffs/tariffs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS_MAX 1200
#define TABLES 60

static const char *const media[] = { "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" }, *const guests[] = { "local", "region", "other" };
static const struct { const char *said, *name; int code; } types[] = { { "ordinary", "", 1 }, { "退役军人", "type1", 0 }, { "2", "student", 2 }, { "donor", "donor", 0 } };
static const struct { const char *text; int from, to; } hours[] = { { "", 0, 1440 }, { "07:00-09:00", 420, 540 }, { "00:00-07:00 09:00-24:00", 540, 1440 } };
static const char *const days[] = { "", "工作日", "休息日" };

/* What a row says, beside its text. */
struct said { int type, lines, day, hour, percent, price; unsigned media, guests; };
struct table { char text[ROWS_MAX * 200]; size_t bytes; struct said row[ROWS_MAX]; size_t rows; int published[4]; unsigned problems; };

static unsigned seed;

static unsigned draw(unsigned below) { return (unsigned)rand_r(&seed) % below; }

static void told(void *arg, const char *text)
{
	struct table *t = arg;

	t->problems++;
	if (strstr(text, "more than 64 rules") == NULL)
		print_message("# %s\n", text);
}

static void words(char *out, size_t bytes, const char *const *names, unsigned bits)
{
	size_t n = 0;

	out[0] = '\0';
	for (unsigned i = 0; bits >> i != 0; i++)
		if ((bits >> i & 1) != 0)
			n += (size_t)snprintf(out + n, bytes - n, "%s%s", n > 0 ? " " : "", names[i]);
}

static void row_add(struct table *t, const struct said *s)
{
	char m[80], g[40], percent[12] = "", price[8] = "";

	words(m, sizeof(m), media, s->media);
	words(g, sizeof(g), guests, s->guests);
	if (s->percent >= 0)
		snprintf(percent, sizeof(percent), "%d", s->percent);
	else
		snprintf(price, sizeof(price), "%d", s->price);
	t->row[t->rows++] = *s;
	t->bytes += (size_t)snprintf(t->text + t->bytes, sizeof(t->text) - t->bytes, "%s,%d,%s,%s,%s,%s,%s,%d,%s\n", price, s->lines, types[s->type].said, m, g, days[s->day],
				     hours[s->hour].text, t->published[s->lines], percent);
}

/* The cells of a type on a line, cut at random along each axis; every part has a price of its own or that of others. */
static void type_add(struct table *t, int type, int line, bool by_day, bool by_hour)
{
	unsigned cut_media = draw(3) == 0 ? 1 + draw(126) : 0, cut_guests = draw(3) == 0 ? 1 + draw(6) : 0;

	for (int day = by_day ? 1 : 0; day <= (by_day ? 2 : 0); day++)
		for (int hour = by_hour ? 1 : 0; hour <= (by_hour ? 2 : 0); hour++)
			for (int part = 0; part < 4; part++) {
				struct said s = { .type = type, .lines = line, .day = day, .hour = hour, .percent = (int)draw(4) * 25, .media = 0x7F, .guests = 7 };

				if ((part & 1 && cut_media == 0) || (part & 2 && cut_guests == 0))
					continue;
				if (cut_media != 0)
					s.media = part & 1 ? cut_media : 0x7F & ~cut_media;
				if (cut_guests != 0)
					s.guests = part & 2 ? cut_guests : 7 & ~cut_guests;
				if (draw(4) == 0)
					s = (struct said){ .type = type, .lines = line, .day = day, .hour = hour, .percent = -1, .price = 10 + (int)draw(3) * 40, .media = s.media, .guests = s.guests };
				row_add(t, &s);
			}
}

static void table_make(struct table *t)
{
	bool by_day = draw(2) == 0, by_hour = draw(2) == 0;
	int lines = 1 + (int)draw(3), count = 1 + (int)draw(4);

	*t = (struct table){ .bytes = 0 };
	t->bytes = (size_t)sprintf(t->text, "price_fen,lines,type,media,guests,days,hours,published_fen,percent\n");
	for (int line = 0; line < lines; line++) {
		t->published[line] = 100 + 100 * (int)draw(3);
		for (int type = 0; type < count; type++)
			type_add(t, type, line, by_day && draw(2) == 0, by_hour && draw(2) == 0);
	}
}

static void file_write(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	if (text == NULL)
		return;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_non_null(f = fopen(path, "we"));
	fputs(text, f);
	fclose(f);
}

static struct tariff *pack_open(const char *dir, const struct tariff_import *made, struct table *t, void **ret_blob)
{
	const char *const names[] = { "pack.yaml", "lines.csv", "cases.csv", "sections.csv", "calendar.csv" };
	const char *const texts[] = { made->pack_yaml, made->lines_csv, made->cases_csv, made->sections_csv, made->calendar_csv };
	struct tariff *tariff = NULL;
	char path[256];
	size_t n;
	int run = 0;

	for (size_t i = 0; i < 5; i++)
		file_write(dir, names[i], texts[i]);
	assert_int_equal(tariff_compile(dir, told, t, ret_blob, &n), 0);
	assert_int_equal(tariff_open(*ret_blob, n, &tariff), 0);
	assert_int_equal(tariff_run_cases(dir, tariff, told, t, &run), 0);
	assert_true(run > 0);
	for (size_t i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return tariff;
}

static int64_t paid(const struct tariff *t, const struct said *s, int32_t day, int minute, unsigned medium, unsigned guest)
{
	struct rider rider = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct rider_state fresh = { 0 }, after;
	struct ride ride = { .event = RIDE_SINGLE, .medium = (enum ride_medium)(medium + 1), .guest = (enum guest_class)guest, .card_class = 1,
			     .time_ms = (int64_t)day * 86400000 - CIVIL_OFFSET_MS + minute * 60000LL };
	struct fare fare;

	snprintf(ride.line, sizeof(ride.line), "%d", s->lines);
	if (types[s->type].code != 0)
		ride.card_class = (uint8_t)types[s->type].code;
	else
		rider.hold[rider.hold_count++] = (struct hold){ .group = tariff_group_code(t, types[s->type].name), .from = 0, .to = INT32_MAX, .verified_to = INT32_MAX };
	rate(t, &rider, &fresh, &ride, &after, &fare, NULL);
	assert_int_equal(fare.reject, FARE_OK);
	return fare.paid.fen;
}

/* Every medium and home of the row, on a workday or a day of rest, at the first and the last minute of its hours. */
static size_t row_check(const struct tariff *tariff, const struct table *t, const struct said *s)
{
	int32_t first = day_of_civil(2026, 3, s->day == 2 ? 8 : 4);	/* a Sunday; a Wednesday */
	int64_t expect = s->percent >= 0 ? t->published[s->lines] * s->percent / 100 : s->price;
	size_t asked = 0;

	for (unsigned m = 0; m < 7; m++)
		for (unsigned g = 0; g < 3; g++)
			for (int last = 0; last < 2 && (s->media >> m & 1) != 0 && (s->guests >> g & 1) != 0; last++, asked++)
				assert_int_equal(paid(tariff, s, first, last ? hours[s->hour].to - 1 : hours[s->hour].from, m, g), expect);
	return asked;
}

static void rate_gives_every_price_of_a_random_table(void **state)
{
	static struct table t;
	char dir[] = "/tmp/qingfen-import.XXXXXX";
	size_t made_count = 0, asked = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < TABLES; i++) {
		struct tariff_import made = { 0 };
		struct tariff *tariff;
		void *blob;

		table_make(&t);
		if (tariff_import_parse("table", t.text, t.bytes, "made", DAY_NONE, day_of_civil(2026, 3, 1), told, &t, &made) != 0) {
			assert_int_equal(t.problems, 1);
			continue;
		}
		made_count++;
		tariff = pack_open(dir, &made, &t, &blob);
		for (size_t r = 0; r < t.rows; r++)
			asked += row_check(tariff, &t, &t.row[r]);
		tariff_close(tariff);
		free(blob);
		tariff_import_done(&made);
	}
	rmdir(dir);
	print_message("# %zu tables, %zu prices\n", made_count, asked);
	assert_true(made_count > TABLES / 2 && asked > 10000);
}

static void a_pack_begins_before_the_first_date_of_its_table(void **state)
{
	static const char text[] = "type,days,percent\nordinary,2025-03-01前,100\nordinary,2025-03-01起,90\n";
	struct tariff_import made;
	struct table t = { 0 };

	(void)state;
	assert_int_equal(tariff_import_parse("t", text, strlen(text), "made", DAY_NONE, day_of_civil(2026, 3, 1), told, &t, &made), 0);
	assert_int_equal(made.first_day, day_of_civil(2024, 1, 1));
	assert_non_null(strstr(made.pack_yaml, "from: 2025-03-01"));
	tariff_import_done(&made);
	assert_int_equal(tariff_import_parse("t", text, strlen(text), "made", day_of_civil(2025, 3, 1), 0, told, &t, &made), TARIFF_E_SYNTAX);
	assert_int_equal(t.problems, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rate_gives_every_price_of_a_random_table),
		cmocka_unit_test(a_pack_begins_before_the_first_date_of_its_table),
	};

	seed = getenv("QINGFEN_SEED") != NULL ? (unsigned)atoi(getenv("QINGFEN_SEED")) : (unsigned)time(NULL);
	print_message("# seed %u\n", seed);
	return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
