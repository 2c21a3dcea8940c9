/*
 * taps_map - reads map.yaml: which column of a foreign file means what. Strict: an unknown key, a
 * missing column name or an impossible value is refused with file:line:column.
 */
#include "tools/taps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const column_names[COL_COUNT_] = {
	[COL_ORDER] = "order", [COL_TIME] = "time", [COL_SETTLEMENT_DAY] = "settlement_day",
	[COL_CARD] = "card", [COL_PRODUCT] = "product", [COL_MODE] = "mode", [COL_EVENT] = "event",
	[COL_DEVICE] = "device", [COL_OPERATOR] = "operator", [COL_LINE] = "line", [COL_STOP] = "stop",
	[COL_VEHICLE] = "vehicle", [COL_LIST_FEN] = "list_fen", [COL_CHARGED_FEN] = "charged_fen",
	[COL_TRANSFER_MARK] = "transfer_mark", [COL_START_TIME] = "start_time", [COL_END_TIME] = "end_time", [COL_INSIDE] = "inside",
};
static const enum taps_column column_required[] = { COL_TIME, COL_CARD, COL_MODE, COL_EVENT, COL_DEVICE,
	COL_LINE, COL_LIST_FEN, COL_CHARGED_FEN };
static const char *const top_keys[] = { "pack", "source", "columns", "events", "transfer_mark", "card" };

struct reading {
	const char *path;
	char *error;
	size_t error_bytes;
};

static int refuse(const struct reading *r, unsigned line, unsigned column, const char *what, const char *word)
{
	snprintf(r->error, r->error_bytes, "%s:%u:%u: %s%s%s", r->path, line, column, what,
		 word != NULL ? ": " : "", word != NULL ? word : "");
	return TARIFF_E_SYNTAX;
}

static int refuse_key(const struct reading *r, const struct node *map, size_t i, const char *const *known, size_t count)
{
	const char *near = word_suggest(map->key[i], known, count);
	char text[160];

	snprintf(text, sizeof(text), "unknown key \"%s\"%s%s%s", map->key[i], near != NULL ? ", did you mean \"" : "",
		 near != NULL ? near : "", near != NULL ? "\"?" : "");
	return refuse(r, map->key_line[i], map->key_column[i], text, NULL);
}

static int read_columns(const struct reading *r, const struct node *n, struct taps_map *map)
{
	if (n == NULL || n->kind != NODE_MAP)
		return refuse(r, n != NULL ? n->line : 1, n != NULL ? n->column : 1, "columns: a mapping is needed", NULL);
	for (size_t i = 0; i < n->count; i++) {
		size_t c = 0;

		while (c < COL_COUNT_ && strcmp(column_names[c], n->key[i]) != 0)
			c++;
		if (c == COL_COUNT_)
			return refuse_key(r, n, i, column_names, COL_COUNT_);
		if (n->item[i]->kind != NODE_SCALAR || n->item[i]->text[0] == '\0')
			return refuse(r, n->item[i]->line, n->item[i]->column, "a column name is needed", n->key[i]);
		map->column[c] = n->item[i]->text;
	}
	for (size_t i = 0; i < sizeof(column_required) / sizeof(column_required[0]); i++)
		if (map->column[column_required[i]] == NULL)
			return refuse(r, n->line, n->column, "column missing", column_names[column_required[i]]);
	return 0;
}

static bool event_of_word(const char *word, enum ride_event *ret_event)
{
	if (strcmp(word, "single") == 0)
		*ret_event = RIDE_SINGLE;
	else if (strcmp(word, "on") == 0)
		*ret_event = RIDE_ON;
	else if (strcmp(word, "off") == 0)
		*ret_event = RIDE_OFF;
	else
		return false;
	return true;
}

/* events: mode -> { event: single|on|off } */
static int read_events(const struct reading *r, const struct node *n, struct taps_map *map)
{
	if (n == NULL || n->kind != NODE_MAP)
		return refuse(r, n != NULL ? n->line : 1, n != NULL ? n->column : 1, "events: a mapping is needed", NULL);
	for (size_t i = 0; i < n->count; i++) {
		const struct node *inner = n->item[i];

		if (inner->kind != NODE_MAP)
			return refuse(r, inner->line, inner->column, "a mapping of events is needed", n->key[i]);
		for (size_t k = 0; k < inner->count; k++) {
			struct taps_event *e = &map->event[map->event_count];

			if (map->event_count == TAPS_EVENTS_MAX)
				return refuse(r, inner->line, inner->column, "more than 16 events", NULL);
			if (inner->item[k]->kind != NODE_SCALAR || !event_of_word(inner->item[k]->text, &e->ride))
				return refuse(r, inner->item[k]->line, inner->item[k]->column,
					      "single, on or off is needed", inner->key[k]);
			e->mode = n->key[i];
			e->event = inner->key[k];
			map->event_count++;
		}
	}
	return 0;
}

static const char *scalar_of(const struct node *map, const char *key)
{
	const struct node *n = node_get(map, key);

	return n != NULL && n->kind == NODE_SCALAR ? n->text : NULL;
}

static int read_mark(const struct reading *r, const struct node *n, struct taps_map *map)
{
	static const char *const known[] = { "value", "assume_line", "assume_minutes_before" };
	int64_t minutes = 1;
	const struct node *m;

	if (n == NULL)
		return 0;
	if (n->kind != NODE_MAP)
		return refuse(r, n->line, n->column, "transfer_mark: a mapping is needed", NULL);
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->key[i], known[0]) != 0 && strcmp(n->key[i], known[1]) != 0 && strcmp(n->key[i], known[2]) != 0)
			return refuse_key(r, n, i, known, 3);
	map->mark_value = scalar_of(n, "value");
	map->assumed_line = scalar_of(n, "assume_line");
	if (map->mark_value == NULL || map->assumed_line == NULL)
		return refuse(r, n->line, n->column, "value and assume_line are needed", NULL);
	m = node_get(n, "assume_minutes_before");
	if (m != NULL && (!node_int(m, &minutes) || minutes < 1 || minutes > 600))
		return refuse(r, m->line, m->column, "minutes between 1 and 600 are needed", NULL);
	map->assumed_before_ms = minutes * 60000;
	return 0;
}

static int read_card(const struct reading *r, const struct node *n, struct taps_map *map)
{
	static const char *const known[] = { "city", "issuer" };
	uint8_t bytes[4];

	if (n == NULL || n->kind != NODE_MAP)
		return refuse(r, n != NULL ? n->line : 1, 1, "card: a mapping with city and issuer is needed", NULL);
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->key[i], known[0]) != 0 && strcmp(n->key[i], known[1]) != 0)
			return refuse_key(r, n, i, known, 2);
	if (scalar_of(n, "city") == NULL || !hex_decode(scalar_of(n, "city"), bytes, 2))
		return refuse(r, n->line, n->column, "city: four digits are needed", NULL);
	map->city = (uint32_t)bytes[0] << 8 | bytes[1];
	if (scalar_of(n, "issuer") == NULL || !hex_decode(scalar_of(n, "issuer"), bytes, 4))
		return refuse(r, n->line, n->column, "issuer: eight digits are needed", NULL);
	map->issuer = be32_get(bytes);
	return 0;
}

static int read_top(const struct reading *r, const struct node *root, struct taps_map *map)
{
	const char *pack, *slash = strrchr(r->path, '/');
	int ret;

	if (root == NULL || root->kind != NODE_MAP)
		return refuse(r, 1, 1, "a mapping is needed", NULL);
	for (size_t i = 0; i < root->count; i++) {
		size_t k = 0;

		while (k < sizeof(top_keys) / sizeof(top_keys[0]) && strcmp(top_keys[k], root->key[i]) != 0)
			k++;
		if (k == sizeof(top_keys) / sizeof(top_keys[0]))
			return refuse_key(r, root, i, top_keys, k);
	}
	pack = scalar_of(root, "pack");
	if (pack == NULL)
		return refuse(r, root->line, root->column, "pack: the tariff pack's directory is needed", NULL);
	if (pack[0] == '/' || slash == NULL)
		map->pack_dir = strdup(pack);
	else if (asprintf(&map->pack_dir, "%.*s/%s", (int)(slash - r->path), r->path, pack) < 0)
		map->pack_dir = NULL;
	if (map->pack_dir == NULL)
		return -ENOMEM;
	map->source = scalar_of(root, "source");
	ret = read_columns(r, node_get(root, "columns"), map);
	if (ret == 0)
		ret = read_events(r, node_get(root, "events"), map);
	if (ret == 0)
		ret = read_mark(r, node_get(root, "transfer_mark"), map);
	if (ret == 0)
		ret = read_card(r, node_get(root, "card"), map);
	return ret;
}

int taps_map_open(const char *path, struct taps_map *ret_map, char *ret_error, size_t error_bytes)
{
	struct reading r = { .path = path, .error = ret_error, .error_bytes = error_bytes };
	struct taps_map map = { 0 };
	int ret = yaml_open(path, &map.doc, ret_error, error_bytes);

	if (ret == 0)
		ret = read_top(&r, yaml_root(map.doc), &map);
	if (ret != 0) {
		taps_map_close(&map);
		return ret;
	}
	*ret_map = map;
	return 0;
}

void taps_map_close(struct taps_map *map)
{
	yaml_close(map->doc);
	free(map->pack_dir);
	*map = (struct taps_map){ 0 };
}
