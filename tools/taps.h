/*
 * taps - foreign historical taps: a map says which column means what, rows become rides (compare) or
 * tap records in a store (import). Private to tools/taps_*.c; docs/taps-map.5 describes the map file.
 */
#ifndef TOOLS_TAPS_H
#define TOOLS_TAPS_H

#include "tools/tools.h"

/* What a column of the foreign file can mean to us. */
enum taps_column {
	COL_ORDER, COL_TIME, COL_SETTLEMENT_DAY, COL_CARD, COL_PRODUCT, COL_MODE, COL_EVENT, COL_DEVICE,
	COL_OPERATOR, COL_LINE, COL_STOP, COL_VEHICLE, COL_LIST_FEN, COL_CHARGED_FEN, COL_TRANSFER_MARK, COL_START_TIME,
	COL_END_TIME, COL_INSIDE,
	COL_COUNT_
};
#define TAPS_EVENTS_MAX 16

struct taps_event { const char *mode, *event; enum ride_event ride; };
struct taps_map {
	struct yaml_doc *doc;			/* owns every text below */
	char *pack_dir;				/* owned */
	const char *source;
	const char *column[COL_COUNT_];		/* NULL: the file has no such column */
	struct taps_event event[TAPS_EVENTS_MAX];
	size_t event_count;
	const char *mark_value;			/* value of COL_TRANSFER_MARK that means "transfer" */
	const char *assumed_line;		/* line of the ride that a mark lets us assume */
	int64_t assumed_before_ms;
	uint32_t city, issuer;			/* BCD as hex, for imported records */
};
int taps_map_open(const char *path, struct taps_map *ret_map, char *ret_error, size_t error_bytes);
void taps_map_close(struct taps_map *map);

/* One row, texts in the file's arena. */
struct taps_row {
	unsigned line_no;
	const char *id, *card, *product, *device, *operator, *line, *stop, *vehicle, *mode;
	int64_t time_ms, start_ms, end_ms;	/* start or end of a ride that this row tells whole; 0: not told */
	int32_t settlement_day;
	enum ride_event event;
	int64_t list_fen, charged_fen;
	bool mark, inside;
	bool repeated;				/* an earlier row of the file says exactly the same */
};
struct taps_file { struct taps_row *row; size_t count; char **chunk; size_t chunk_count; size_t chunk_used; };
/* Reads CSV, plain or zstd. A row that cannot be read refuses the file with file:line:column: reason. */
int taps_file_open(const char *path, const struct taps_map *map, struct taps_file *ret_file, char *ret_error,
		   size_t error_bytes);
void taps_file_close(struct taps_file *file);
/* Sort by card, time, order in the file's own id; marks repeated rows. */
void taps_file_sort(struct taps_file *file);

/* The ride a row describes. Operators are known by code or title in the pack. */
void taps_ride(const struct tariff *t, const struct taps_row *row, struct ride *ret_ride);
uint32_t taps_operator_id(const struct tariff *t, const char *name);

int taps_compare(const struct taps_map *map, const struct tariff *t, const struct taps_file *file, bool json);
int taps_import(const struct taps_map *map, const void *blob, size_t blob_bytes, const struct tariff *t,
		const struct taps_file *file, const char *dir, bool close_days, bool json);

#endif
