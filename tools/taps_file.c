/*
 * taps_file - a foreign tap file in memory: CSV, plain or zstd, read through a map. Every row is kept or
 * the whole file is refused with its position; rows that repeat another exactly are marked, not dropped.
 */
#include "tools/taps.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define FILE_BYTES_MAX (4ULL << 30)	/* a prefecture's year of taps, unpacked */
#define CHUNK_BYTES (1u << 20)

static int file_read(const char *path, char **ret_p, size_t *ret_n)
{
	FILE *f = fopen(path, "rb");
	char *p = NULL;
	size_t n = 0, space = 0;
	int ret = 0;

	if (f == NULL)
		return -errno;
	for (;;) {
		size_t got;

		if (n == space) {
			char *q = space >= FILE_BYTES_MAX ? NULL : realloc(p, space = space ? space * 2 : 1 << 20);

			if (q == NULL) {
				ret = -EFBIG;
				goto out;
			}
			p = q;
		}
		got = fread(p + n, 1, space - n, f);
		if (got == 0)
			break;
		n += got;
	}
	if (ferror(f)) {
		ret = -EIO;
		goto out;
	}
	*ret_p = p;
	*ret_n = n;
	p = NULL;
out:
	free(p);
	fclose(f);
	return ret;
}

/* Unpack zstd in a bounded buffer; the frame's own size is not believed. */
static int unpack(const char *in, size_t in_bytes, char **ret_p, size_t *ret_n)
{
	ZSTD_DStream *z = ZSTD_createDStream();
	ZSTD_inBuffer src = { in, in_bytes, 0 };
	size_t space = 1 << 22, left = 1;
	char *p = malloc(space);
	ZSTD_outBuffer dst = { p, space, 0 };
	int ret = -ENOMEM;

	if (z == NULL || p == NULL)
		goto out;
	while (src.pos < src.size || dst.pos == dst.size) {
		if (dst.pos == dst.size) {
			char *q = space >= FILE_BYTES_MAX ? NULL : realloc(p, space *= 2);

			ret = -EFBIG;
			if (q == NULL)
				goto out;
			p = q;
			dst.dst = p;
			dst.size = space;
		}
		left = ZSTD_decompressStream(z, &dst, &src);
		ret = -EBADMSG;
		if (ZSTD_isError(left))
			goto out;
		if (left == 0 && src.pos == src.size)
			break;
	}
	if (left != 0)
		goto out;
	*ret_p = p;
	*ret_n = dst.pos;
	p = NULL;
	ret = 0;
out:
	free(p);
	ZSTD_freeDStream(z);
	return ret;
}

static const char *arena_copy(struct taps_file *file, const char *text)
{
	size_t n = strlen(text) + 1;
	char *p;

	if (n == 1)
		return "";
	if (file->chunk_count == 0 || file->chunk_used + n > CHUNK_BYTES) {
		char **chunks = realloc(file->chunk, (file->chunk_count + 1) * sizeof(*chunks));

		if (chunks == NULL)
			return NULL;
		file->chunk = chunks;
		chunks[file->chunk_count] = malloc(n > CHUNK_BYTES ? n : CHUNK_BYTES);
		if (chunks[file->chunk_count] == NULL)
			return NULL;
		file->chunk_count++;
		file->chunk_used = 0;
	}
	p = file->chunk[file->chunk_count - 1] + file->chunk_used;
	memcpy(p, text, n);
	file->chunk_used += n;
	return p;
}

struct reading {
	const char *path;
	const struct taps_map *map;
	struct csv *csv;
	int column[COL_COUNT_];
	const char *const *field;
	unsigned line;
	char *error;
	size_t error_bytes;
};

static int refuse(struct reading *r, enum taps_column c, const char *reason)
{
	snprintf(r->error, r->error_bytes, "%s:%u:%u: %s: \"%s\"", r->path, r->line,
		 csv_field_column(r->csv, (size_t)r->column[c]), reason, r->field[r->column[c]]);
	return TARIFF_E_SYNTAX;
}

static const char *text_of(const struct reading *r, enum taps_column c)
{
	return r->column[c] >= 0 ? r->field[r->column[c]] : "";
}

static bool fen_of(const char *text, int64_t *ret_fen)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || v < 0 || v > INT32_MAX)
		return false;
	*ret_fen = v;
	return true;
}

static bool event_find(const struct taps_map *map, const char *mode, const char *event, enum ride_event *ret_event)
{
	for (size_t i = 0; i < map->event_count; i++)
		if (strcmp(map->event[i].mode, mode) == 0 && strcmp(map->event[i].event, event) == 0) {
			*ret_event = map->event[i].ride;
			return true;
		}
	return false;
}

static int row_texts(struct reading *r, struct taps_file *file, struct taps_row *row)
{
	const struct { enum taps_column column; const char **text; } part[] = {
		{ COL_ORDER, &row->id }, { COL_CARD, &row->card }, { COL_PRODUCT, &row->product },
		{ COL_DEVICE, &row->device }, { COL_OPERATOR, &row->operator }, { COL_LINE, &row->line },
		{ COL_STOP, &row->stop }, { COL_VEHICLE, &row->vehicle }, { COL_MODE, &row->mode },
	};

	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		*part[i].text = arena_copy(file, text_of(r, part[i].column));
		if (*part[i].text == NULL)
			return -ENOMEM;
	}
	if (strlen(row->line) > LINE_BYTES_MAX)
		return refuse(r, COL_LINE, "line name longer than 47 bytes");
	if (strlen(row->product) > 15)
		return refuse(r, COL_PRODUCT, "product longer than 15 bytes");
	return 0;
}

/* The other end of a ride that a row tells whole: empty, or a time on the right side of the row's own, at most a day away. */
static int other_end(struct reading *r, enum taps_column c, int64_t from_ms, int64_t to_ms, int64_t *ret_ms)
{
	if (text_of(r, c)[0] == '\0')
		return 0;
	if (!time_parse(text_of(r, c), ret_ms))
		return refuse(r, c, "not a time");
	return *ret_ms >= from_ms && *ret_ms <= to_ms ? 0 : refuse(r, c, c == COL_START_TIME ? "not within the day before the row's time" : "not within the day after the row's time");
}

static int inside_read(struct reading *r, struct taps_row *row)
{
	const char *text = text_of(r, COL_INSIDE);

	row->inside = strcmp(text, "yes") == 0 || strcmp(text, "1") == 0;
	return row->inside || text[0] == '\0' || strcmp(text, "no") == 0 || strcmp(text, "0") == 0 ? 0 : refuse(r, COL_INSIDE, "yes, no, 1 or 0 is needed");
}

static int ride_read(struct reading *r, struct taps_row *row)
{
	int ret = other_end(r, COL_START_TIME, row->time_ms - TAP_RIDE_MS_MAX, row->time_ms, &row->start_ms);

	if (ret == 0)
		ret = other_end(r, COL_END_TIME, row->time_ms, row->time_ms + TAP_RIDE_MS_MAX, &row->end_ms);
	return ret != 0 ? ret : inside_read(r, row);
}

static int row_read(struct reading *r, struct taps_file *file, struct taps_row *row)
{
	row->line_no = r->line;
	if (!time_parse(text_of(r, COL_TIME), &row->time_ms))
		return refuse(r, COL_TIME, "not a time");
	row->settlement_day = day_of_ms(row->time_ms);
	if (r->column[COL_SETTLEMENT_DAY] >= 0 && !day_parse(text_of(r, COL_SETTLEMENT_DAY), &row->settlement_day))
		return refuse(r, COL_SETTLEMENT_DAY, "not a day");
	if (!event_find(r->map, text_of(r, COL_MODE), text_of(r, COL_EVENT), &row->event))
		return refuse(r, COL_EVENT, "mode and event are not in the map");
	if (!fen_of(text_of(r, COL_LIST_FEN), &row->list_fen))
		return refuse(r, COL_LIST_FEN, "not an amount in fen");
	if (!fen_of(text_of(r, COL_CHARGED_FEN), &row->charged_fen))
		return refuse(r, COL_CHARGED_FEN, "not an amount in fen");
	row->mark = r->map->mark_value != NULL && strcmp(text_of(r, COL_TRANSFER_MARK), r->map->mark_value) == 0;
	if (ride_read(r, row) != 0)
		return TARIFF_E_SYNTAX;
	return row_texts(r, file, row);
}

static int columns_find(struct reading *r)
{
	for (int c = 0; c < COL_COUNT_; c++) {
		r->column[c] = r->map->column[c] != NULL ? csv_column(r->csv, r->map->column[c]) : -1;
		if (r->map->column[c] != NULL && r->column[c] < 0) {
			snprintf(r->error, r->error_bytes, "%s:1:1: column \"%s\" that the map names is not in the file",
				 r->path, r->map->column[c]);
			return TARIFF_E_SYNTAX;
		}
	}
	return 0;
}

static int rows_read(struct reading *r, struct taps_file *file)
{
	size_t space = 0;
	int ret;

	while ((ret = csv_next(r->csv, &r->field, &r->line, r->error, r->error_bytes)) == 1) {
		if (file->count == space) {
			struct taps_row *rows = realloc(file->row, (space = space ? space * 2 : 4096) * sizeof(*rows));

			if (rows == NULL)
				return -ENOMEM;
			file->row = rows;
		}
		file->row[file->count] = (struct taps_row){ 0 };
		ret = row_read(r, file, &file->row[file->count]);
		if (ret != 0)
			return ret;
		file->count++;
	}
	return ret;
}

int taps_file_open(const char *path, const struct taps_map *map, struct taps_file *ret_file, char *ret_error,
		   size_t error_bytes)
{
	struct reading r = { .path = path, .map = map, .error = ret_error, .error_bytes = error_bytes };
	struct taps_file file = { 0 };
	char *p = NULL, *plain = NULL;
	size_t n = 0, len = strlen(path);
	int ret = file_read(path, &p, &n);

	snprintf(ret_error, error_bytes, "%s: cannot be read", path);
	if (ret == 0 && len > 4 && strcmp(path + len - 4, ".zst") == 0) {
		ret = unpack(p, n, &plain, &n);
		if (ret != 0)
			snprintf(ret_error, error_bytes, "%s: not a whole zstd file", path);
	}
	if (ret == 0)
		ret = csv_parse(path, plain != NULL ? plain : p, n, &r.csv, ret_error, error_bytes);
	if (ret == 0)
		ret = columns_find(&r);
	if (ret == 0)
		ret = rows_read(&r, &file);
	csv_close(r.csv);
	free(plain);
	free(p);
	if (ret != 0) {
		taps_file_close(&file);
		return ret;
	}
	*ret_file = file;
	return 0;
}

void taps_file_close(struct taps_file *file)
{
	for (size_t i = 0; i < file->chunk_count; i++)
		free(file->chunk[i]);
	free(file->chunk);
	free(file->row);
	*file = (struct taps_file){ 0 };
}

static int row_content_compare(const struct taps_row *a, const struct taps_row *b)
{
	const char *const x[] = { a->device, a->line, a->mode, a->operator, a->stop, a->vehicle, a->product };
	const char *const y[] = { b->device, b->line, b->mode, b->operator, b->stop, b->vehicle, b->product };

	for (size_t i = 0; i < sizeof(x) / sizeof(x[0]); i++) {
		int order = strcmp(x[i], y[i]);

		if (order != 0)
			return order;
	}
	if (a->event != b->event)
		return a->event < b->event ? -1 : 1;
	if (a->list_fen != b->list_fen)
		return a->list_fen < b->list_fen ? -1 : 1;
	if (a->charged_fen != b->charged_fen)
		return a->charged_fen < b->charged_fen ? -1 : 1;
	if (a->start_ms != b->start_ms)
		return a->start_ms < b->start_ms ? -1 : 1;
	if (a->end_ms != b->end_ms)
		return a->end_ms < b->end_ms ? -1 : 1;
	if (a->inside != b->inside)
		return a->inside ? 1 : -1;
	return a->mark != b->mark ? (a->mark ? 1 : -1) : 0;
}

static int row_compare(const void *pa, const void *pb)
{
	const struct taps_row *a = pa, *b = pb;
	int order = strcmp(a->card, b->card);

	if (order == 0 && a->time_ms != b->time_ms)
		order = a->time_ms < b->time_ms ? -1 : 1;
	if (order == 0)
		order = row_content_compare(a, b);
	return order != 0 ? order : strcmp(a->id, b->id);
}

void taps_file_sort(struct taps_file *file)
{
	qsort(file->row, file->count, sizeof(file->row[0]), row_compare);
	for (size_t i = 1; i < file->count; i++) {
		const struct taps_row *a = &file->row[i - 1], *b = &file->row[i];

		file->row[i].repeated = strcmp(a->card, b->card) == 0 && a->time_ms == b->time_ms &&
					row_content_compare(a, b) == 0;
	}
}
