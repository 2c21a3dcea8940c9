/*
 * Lines come from the tariff pack's own lines.csv, so that every generated ride has a fare;
 * vehicles are dealt onto them in turn, one validator each. A terminal's number is also its PSAM's.
 */
#include "city.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tools.h"

#define STOPS_DEFAULT 12
#define LINES_MAX     4096

/* Stops of the section lines, from the pack's sections.csv when it has one. */
static uint16_t line_stops(const struct city *c, const char *name)
{
	char path[512], error[256];
	const char *const *field;
	struct csv *csv = NULL;
	uint16_t stops = 0;
	unsigned row;

	snprintf(path, sizeof(path), "%s/sections.csv", c->pack);
	if (csv_open(path, &csv, error, sizeof(error)) != 0)
		return STOPS_DEFAULT;
	while (csv_next(csv, &field, &row, error, sizeof(error)) == 1) {
		int line = csv_column(csv, "line"), to = csv_column(csv, "to_stop");

		if (line >= 0 && to >= 0 && strcmp(field[line], name) == 0 &&
		    atoi(field[to]) > stops)
			stops = (uint16_t)atoi(field[to]);
	}
	csv_close(csv);
	return stops >= 2 ? stops : STOPS_DEFAULT;
}

static void line_add(struct city *c, const char *name, const char *fare)
{
	struct tariff_line found;
	struct city_line *l;

	for (uint32_t i = 0; i < c->line_count; i++)
		if (strcmp(c->line[i].name, name) == 0)
			return; /* a later fare of the same line */
	if (!tariff_line_find(c->tariff, name, c->midnight_ms + 12 * 3600000LL, &found))
		return;
	l = &c->line[c->line_count++];
	*l = (struct city_line){.operator_id = found.operator_id,
				.section = strstr(fare, "section") != NULL,
				.express = strcmp(found.class_name, "express") == 0};
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->stops = l->section ? line_stops(c, name) : STOPS_DEFAULT;
}

int city_lines_read(struct city *c)
{
	char path[512], error[256] = "";
	const char *const *field;
	struct csv *csv = NULL;
	int line, fare, ret;
	unsigned row;

	snprintf(path, sizeof(path), "%s/lines.csv", c->pack);
	ret = csv_open(path, &csv, error, sizeof(error));
	if (ret != 0) {
		complain("sim city: %s", error);
		return ret;
	}
	line = csv_column(csv, "line");
	fare = csv_column(csv, "fare");
	c->line = city_grow(NULL, sizeof(*c->line), LINES_MAX);
	while (line >= 0 && c->line_count < LINES_MAX &&
	       csv_next(csv, &field, &row, error, sizeof(error)) == 1)
		line_add(c, field[line], fare >= 0 ? field[fare] : "");
	csv_close(csv);
	if (c->line_count < c->lines_wanted) {
		complain("sim city: %s: %u lines in force, %u wanted; use --lines", path,
			 c->line_count, c->lines_wanted);
		return -ERANGE;
	}
	for (uint32_t i = 0; i < c->lines_wanted; i++) /* of every class some */
		c->line[i] = c->line[(uint64_t)i * c->line_count / c->lines_wanted];
	c->line_count = c->lines_wanted;
	return 0;
}

/* 4280 and eight digits. */
static void terminal_number(uint32_t n, uint8_t ret_terminal[6])
{
	ret_terminal[0] = 0x42;
	ret_terminal[1] = 0x80;
	for (int i = 5; i >= 2; i--, n /= 100)
		ret_terminal[i] = (uint8_t)((n / 10 % 10) << 4 | n % 10);
}

void city_devices_make(struct city *c)
{
	c->device_count = c->devices_wanted;
	c->device = city_grow(NULL, sizeof(*c->device), c->device_count);
	for (uint32_t i = 0; i < c->device_count; i++) {
		struct city_device *d = &c->device[i];

		*d = (struct city_device){.line = i % c->line_count,
					  .driver = 100000 + i,
					  .serial = (uint32_t)city_between(&c->rng, 1000, 90000),
					  .file_serial = 1};
		snprintf(d->name, sizeof(d->name), "V-%05u", i + 1);
		snprintf(d->vehicle, sizeof(d->vehicle), "赣B%05u", (i + 10000) % 100000);
		terminal_number(i + 1, d->terminal);
		memcpy(d->psam, d->terminal, sizeof(d->psam));
	}
	for (uint32_t l = 0; l < c->line_count; l++) {
		c->line[l].first_device = l;
		c->line[l].device_count = (c->device_count - l + c->line_count - 1) / c->line_count;
	}
}

int city_terminals_write(const struct city *c)
{
	FILE *f = city_create(c, "terminals.csv");
	char text[13];

	if (f == NULL)
		return -1;
	fputs("terminal,psam,device,operator,valid_from,valid_to\n", f);
	for (uint32_t i = 0; i < c->device_count; i++) {
		const struct city_device *d = &c->device[i];

		hex_encode(d->terminal, sizeof(d->terminal), text);
		fprintf(f, "%s,%s,%s,%u,2025-01-01,\n", text, text, d->name,
			c->line[d->line].operator_id);
	}
	return city_close(c, "terminals.csv", f) ? 0 : -1;
}
