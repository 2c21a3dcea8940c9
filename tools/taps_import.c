/*
 * taps_import - foreign rows become tap records in a store: the same inbox events a daemon would have
 * written, so that clearing, reports and recompute work on them unchanged. The store must not be open in a
 * daemon. Card numbers are digits of a hash of the file's own card column; terminal serials count each
 * device's rows in time order. KEY_CHECK_DEVICE records that the source's devices did the key check.
 */
#include "tools/taps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define EVENT_BATCHES_PER_TXN 64

static const uint8_t issuer_acquirer_prefix = 0x10;	/* role digit 1: acquirer, same sequence and city */

struct import {
	const struct taps_map *map;
	const struct tariff *t;
	struct store *store;
	struct txn txn;
	unsigned batches;			/* in this transaction */
	uint64_t taps, events;
	uint8_t record[BATCH_TAPS_MAX][TAP_ENCODED_BYTES_MAX];
	uint8_t frame[BATCH_TAPS_MAX * 400];
	uint8_t marks[BATCH_TAPS_MAX * 2];
};

/* Device text to a 12-digit terminal number: its digits when it has at most 12 and nothing else, else a
 * number made from its hash. */
static void terminal_of(const char *device, uint8_t ret_terminal[6])
{
	uint8_t digits[10];
	char text[16];

	if (strlen(device) > 12 || !pan_parse(device, digits)) {
		snprintf(text, sizeof(text), "9%011llu", (unsigned long long)XXH3_64bits(device, strlen(device)) % 100000000000ULL);
		if (!pan_parse(text, digits))
			memset(digits, 0, sizeof(digits));
	}
	memcpy(ret_terminal, digits + 4, 6);
}

static void pan_of(const char *card, uint8_t ret_pan[10])
{
	char text[24];

	snprintf(text, sizeof(text), "9%018llu", (unsigned long long)XXH3_64bits(card, strlen(card)) % 1000000000000000000ULL);
	if (!pan_parse(text, ret_pan))
		memset(ret_pan, 0, 10);
}

static void record_of(const struct import *im, const struct taps_row *row, uint32_t serial, struct tap *ret_tap)
{
	struct tap tap = {
		.version = TAP_VERSION, .medium = MEDIUM_PURSE, .flags = (row->mark ? TAP_TRANSFER_MARK : 0) | (row->inside ? TAP_INSIDE : 0),
		.start_ms = row->start_ms, .end_ms = row->end_ms,
		.kind = row->event == RIDE_SINGLE ? TAP_PURCHASE : row->event == RIDE_ON ? TAP_BOARD : TAP_ALIGHT,
		.card_city = im->map->city, .card_class = 1, .balance_before = row->charged_fen,
		.list_fen = (uint32_t)row->list_fen, .amount_fen = (uint32_t)row->charged_fen,
		.txn_type = row->event == RIDE_SINGLE ? 0x06 : 0x09, .terminal_serial = serial,
		.time_ms = row->time_ms, .operator_id = taps_operator_id(im->t, row->operator),
		.accept_city = im->map->city,
	};

	pan_of(row->card, tap.pan);
	be32_put(tap.issuer, im->map->issuer);
	be32_put(tap.acquirer, im->map->issuer);
	tap.acquirer[0] |= issuer_acquirer_prefix;
	terminal_of(row->device, tap.terminal);
	memcpy(tap.psam, tap.terminal, sizeof(tap.psam));
	snprintf(tap.line, sizeof(tap.line), "%s", row->line);
	snprintf(tap.vehicle, sizeof(tap.vehicle), "%.15s", row->vehicle);
	snprintf(tap.series, sizeof(tap.series), "%.15s", row->product);
	*ret_tap = tap;
}

static int commit(struct import *im, bool again)
{
	int ret = txn_commit(&im->txn);

	im->batches = 0;
	return ret == 0 && again ? txn_begin(im->store, true, &im->txn) : ret;
}

static void event_append(struct import *im, uint8_t type, int64_t at_ms, const void *head, size_t head_bytes,
			 const void *body, size_t body_bytes)
{
	const void *part[2] = { head, body };
	const size_t bytes[2] = { head_bytes, body_bytes };

	inbox_append(&im->txn, type, at_ms, part, bytes, 2);
	im->events++;
}

/* One batch event of rows of one device. */
static int batch_append(struct import *im, const char *device, struct taps_row *const *row, const uint32_t *serial, size_t count, uint32_t file_serial)
{
	struct batch batch = { .file_serial = file_serial };
	uint8_t head[16 + 4 + 2] = { 0 };
	const void *part[3] = { head, im->marks, im->frame };
	size_t bytes[3] = { sizeof(head), count * 2, 0 };
	int n;

	snprintf(batch.device, sizeof(batch.device), "%.15s", device);
	for (size_t i = 0; i < count; i++) {
		struct tap tap;

		record_of(im, row[i], serial[i], &tap);
		n = tap_encode(&tap, im->record[i], sizeof(im->record[i]));
		if (n < 0)
			return n;
		batch.tap[i].p = im->record[i];
		batch.tap[i].n = (uint32_t)n;
		im->marks[2 * i] = KEY_CHECK_DEVICE;
		im->marks[2 * i + 1] = 0;
	}
	batch.count = (uint32_t)count;
	n = batch_seal(&batch);
	if (n == 0)
		n = batch_encode(&batch, im->frame, sizeof(im->frame));
	if (n < 0)
		return n;
	bytes[2] = (size_t)n;
	memcpy(head, batch.device, strlen(batch.device));
	be32_put(head + 16, file_serial);
	be16_put(head + 20, (uint16_t)count);
	inbox_append(&im->txn, EVENT_BATCH, row[count - 1]->time_ms, part, bytes, 3);
	im->events++;
	im->taps += count;
	return ++im->batches == EVENT_BATCHES_PER_TXN ? commit(im, true) : 0;
}

static int device_compare(const void *pa, const void *pb)
{
	const struct taps_row *a = *(struct taps_row *const *)pa, *b = *(struct taps_row *const *)pb;
	int order = strcmp(a->device, b->device);

	if (order == 0 && a->time_ms != b->time_ms)
		order = a->time_ms < b->time_ms ? -1 : 1;
	return order != 0 ? order : strcmp(a->id, b->id);
}

/* Terminal register and issuer list that make the file's own devices and cards known. */
static int reference_append(struct import *im, const void *blob, size_t blob_bytes, struct taps_row *const *row, size_t count)
{
	char *text = NULL, issuers[160];
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);
	uint8_t from[8];

	if (f == NULL)
		return -errno;
	fputs("terminal,psam,device,operator,valid_from,valid_to\n", f);
	for (size_t i = 0; i < count; i++) {
		uint8_t terminal[6];
		char hex[13];

		if (i > 0 && strcmp(row[i]->device, row[i - 1]->device) == 0)
			continue;
		terminal_of(row[i]->device, terminal);
		hex_encode(terminal, 6, hex);
		fprintf(f, "%s,%s,%.15s,%u,2000-01-01,\n", hex, hex, row[i]->device, taps_operator_id(im->t, row[i]->operator));
	}
	fclose(f);
	be64_put(from, (uint64_t)tariff_valid_from_ms(im->t));
	event_append(im, EVENT_TARIFF, row[0]->time_ms, from, sizeof(from), blob, blob_bytes);
	event_append(im, EVENT_TERMINALS, row[0]->time_ms, NULL, 0, text, bytes);
	snprintf(issuers, sizeof(issuers), "issuer,ours,valid_from,valid_to,name\n%08X,yes,2000-01-01,,%s\n", im->map->issuer, "imported");
	event_append(im, EVENT_ISSUERS, row[0]->time_ms, NULL, 0, issuers, strlen(issuers));
	free(text);
	return 0;
}

/* Batches of one settlement day: rows of each device together, serials counting on over the days. */
static int day_append(struct import *im, struct taps_row **row, size_t count, int32_t day)
{
	uint32_t serial[BATCH_TAPS_MAX], file_serial = 0;
	int ret = 0;

	for (size_t i = 0, n; ret == 0 && i < count; i += n) {
		struct taps_row *chosen[BATCH_TAPS_MAX];
		size_t used = 0;

		for (n = 0; i + n < count && used < BATCH_TAPS_MAX && strcmp(row[i + n]->device, row[i]->device) == 0; n++) {
			if (row[i + n]->settlement_day != day || row[i + n]->repeated)
				continue;
			serial[used] = (uint32_t)(i + n + 1);
			chosen[used++] = row[i + n];
		}
		if (used > 0)
			ret = batch_append(im, row[i]->device, chosen, serial, used, (uint32_t)day * 1000 + file_serial++ % 1000);
	}
	return ret;
}

static int day_cut_append(struct import *im, int32_t day, int64_t at_ms)
{
	int ret = day_cut(&im->txn, day, at_ms);

	im->events++;
	return ret == 0 ? commit(im, true) : ret;
}

static int32_t next_day(struct taps_row *const *row, size_t count, int32_t after)
{
	int32_t day = INT32_MAX;

	for (size_t i = 0; i < count; i++)
		if (row[i]->settlement_day > after && row[i]->settlement_day < day)
			day = row[i]->settlement_day;
	return day;
}

/* The store is its own meanwhile. */
static int import_day_clear(struct import *im, int32_t day)
{
	struct clear_stats stats;
	char text[11];
	int ret;

	txn_abort(&im->txn);
	ret = day_clear(im->store, day, &stats);
	if (ret != 0)
		return ret;
	day_format(day, text);
	fprintf(stderr, "%s: %" PRIu64 " taps cleared\n", text, stats.taps);
	return txn_begin(im->store, true, &im->txn);
}

static int import_days(struct import *im, struct taps_row **row, size_t count, bool clear)
{
	int ret = 0;

	for (int32_t day = next_day(row, count, INT32_MIN); ret == 0 && day != INT32_MAX; day = next_day(row, count, day)) {
		while (ret == 0 && day_open_get(&im->txn) < day)
			ret = day_cut_append(im, day_open_get(&im->txn), row[0]->time_ms);
		if (ret == 0)
			ret = day_append(im, row, count, day);
		if (ret == 0)
			ret = day_cut_append(im, day, row[count - 1]->time_ms);
		if (ret == 0 && clear)
			ret = import_day_clear(im, day);
	}
	return ret;
}

int taps_import(const struct taps_map *map, const void *blob, size_t blob_bytes, const struct tariff *t,
		const struct taps_file *file, const char *dir, bool close_days, bool json)
{
	struct import *im = calloc(1, sizeof(*im));
	struct taps_row **row = calloc(file->count + 1, sizeof(struct taps_row *));
	int ret = -ENOMEM;

	if (im == NULL || row == NULL)
		goto out;
	*im = (struct import){ .map = map, .t = t };
	for (size_t i = 0; i < file->count; i++)
		row[i] = &file->row[i];
	qsort(row, file->count, sizeof(row[0]), device_compare);
	ret = store_open(dir, false, 0, &im->store);
	if (ret == 0)
		ret = txn_begin(im->store, true, &im->txn);
	if (ret != 0 || file->count == 0)
		goto out;
	if (inbox_last(&im->txn) != 0) {
		ret = -EEXIST;
		txn_abort(&im->txn);
		complain("%s: the store already holds events; import into an empty one", dir);
		goto out;
	}
	day_open_init(&im->txn, next_day(row, file->count, INT32_MIN));
	ret = reference_append(im, blob, blob_bytes, row, file->count);
	if (ret == 0)
		ret = import_days(im, row, file->count, close_days);
	if (ret == 0)
		ret = commit(im, false);
	else
		txn_abort(&im->txn);
	if (ret == 0 && json)
		printf("{\"schema\":\"qingfen.taps-import\",\"version\":1,\"taps\":%" PRIu64 ",\"events\":%" PRIu64 "}\n", im->taps, im->events);
	else if (ret == 0)
		printf("%" PRIu64 " taps in %" PRIu64 " events imported into %s\n", im->taps, im->events, dir);
out:
	if (ret != 0 && ret != -EEXIST)
		complain("%s: %s", dir, clearing_strerror(ret));
	store_close(im != NULL ? im->store : NULL);
	free(row);
	free(im);
	return ret == -EEXIST ? EXIT_RULE : exit_of_error(ret);
}
