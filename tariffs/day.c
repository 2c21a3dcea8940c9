/*
 * day - civil days and times at the fixed offset +08:00 (Asia/Shanghai keeps no summer time). The only place
 * where local time exists; no time zone database is read.
 */
#include "tariffs/tariffs.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS 86400000LL

int32_t day_of_civil(int32_t year, unsigned month, unsigned day)
{
	int64_t y = (int64_t)year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400;
	unsigned yoe = (unsigned)(y - era * 400), doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return (int32_t)(era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468);
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

int32_t service_day_of_ms(int64_t time_ms, int32_t cut_s) { return day_of_ms(time_bounded(time_ms) - (int64_t)cut_s * 1000); }

static void civil_of_day(int32_t day, struct civil *ret)
{
	int64_t z = (int64_t)day + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	ret->day = (uint8_t)(doy - (153 * mp + 2) / 5 + 1);
	ret->month = (uint8_t)(mp < 10 ? mp + 3 : mp - 9);
	ret->year = (int32_t)(yoe + era * 400) + (ret->month <= 2);
}

struct civil civil_of_ms(int64_t time_ms)
{
	int32_t day = day_of_ms(time_ms);
	int64_t s = floor_div(time_bounded(time_ms) + CIVIL_OFFSET_MS - day * DAY_MS, 1000);
	struct civil c;

	civil_of_day(day, &c);
	c.hour = (uint8_t)(s / 3600);
	c.minute = (uint8_t)(s / 60 % 60);
	c.second = (uint8_t)(s % 60);
	return c;
}

int64_t ms_of_civil(const struct civil *c)
{
	return day_of_civil(c->year, c->month, c->day) * DAY_MS + (c->hour * 3600 + c->minute * 60 + c->second) * 1000LL - CIVIL_OFFSET_MS;
}

unsigned day_of_week(int32_t day)
{
	int64_t rest = ((int64_t)day + 3) % 7;

	return (unsigned)(rest < 0 ? rest + 7 : rest) + 1;
}

static bool digits(const char *p, size_t n, unsigned *ret)
{
	unsigned v = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (unsigned)(p[i] - '0');
	}
	*ret = v;
	return true;
}

/* YYYY-MM-DD at the start of text, the date must exist. */
static bool day_scan(const char *p, int32_t *ret_day)
{
	unsigned year, month, day;
	struct civil back;
	int32_t d;

	if (strnlen(p, 10) < 10 || !digits(p, 4, &year) || p[4] != '-' || !digits(p + 5, 2, &month) || p[7] != '-' || !digits(p + 8, 2, &day))
		return false;
	if (year < 1800 || month < 1 || month > 12 || day < 1 || day > 31)
		return false;
	d = day_of_civil((int32_t)year, month, day);
	civil_of_day(d, &back);
	if (back.month != month)
		return false;
	*ret_day = d;
	return true;
}

bool day_parse(const char *text, int32_t *ret_day) { return strlen(text) == 10 && day_scan(text, ret_day); }

void day_format(int32_t day, char ret_text[11])
{
	struct civil c = { 0 };

	civil_of_day(day, &c);
	ret_text[0] = '\0';
	if (c.year >= 0 && c.year <= 9999)
		snprintf(ret_text, 11, "%04u-%02u-%02u", (unsigned)c.year % 10000, c.month % 100u, c.day % 100u);
}

/* Z, or +hh:mm, -hh:mm; nothing means local. */
static bool offset_scan(const char *p, int64_t *ret_ms)
{
	unsigned hour, minute;

	*ret_ms = CIVIL_OFFSET_MS;
	if (*p == '\0')
		return true;
	*ret_ms = 0;
	if (strcmp(p, "Z") == 0)
		return true;
	if ((*p != '+' && *p != '-') || strlen(p) != 6 || !digits(p + 1, 2, &hour) || p[3] != ':' || !digits(p + 4, 2, &minute) || hour > 14 || minute > 59)
		return false;
	*ret_ms = (int64_t)(hour * 60 + minute) * 60000 * (*p == '+' ? 1 : -1);
	return true;
}

bool time_parse(const char *text, int64_t *ret_ms)
{
	unsigned hour, minute, second, ms = 0;
	const char *p = text + 19;
	int64_t offset_ms;
	int32_t day;

	if (strlen(text) < 19 || !day_scan(text, &day) || (text[10] != 'T' && text[10] != ' '))
		return false;
	if (!digits(text + 11, 2, &hour) || text[13] != ':' || !digits(text + 14, 2, &minute) || text[16] != ':' || !digits(text + 17, 2, &second))
		return false;
	if (hour > 23 || minute > 59 || second > 59)
		return false;
	if (*p == '.') {
		if (strlen(p) < 4 || !digits(p + 1, 3, &ms))
			return false;
		p += 4;
	}
	if (!offset_scan(p, &offset_ms))
		return false;
	*ret_ms = day * DAY_MS + (int64_t)(hour * 3600 + minute * 60 + second) * 1000 + ms - offset_ms;
	return true;
}

void time_format(int64_t time_ms, char ret_text[32])
{
	struct civil c = civil_of_ms(time_ms);
	unsigned ms = (unsigned)((time_ms % 1000 + 1000) % 1000);
	int n;

	n = snprintf(ret_text, 32, "%04u-%02u-%02uT%02u:%02u:%02u", (unsigned)c.year % 10000, c.month, c.day, c.hour, c.minute, c.second);
	snprintf(ret_text + n, 32 - (size_t)n, ms != 0 ? ".%03u+08:00" : "+08:00", ms);
}
