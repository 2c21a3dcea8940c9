/*
 * rows_write - results that are the same said once, and rows in key order made into blocks.
 */
#include "clearing/rows.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RESULT_BYTES_MAX 1024
#define ROW_BYTES_MAX (1 + 3 + TAP_KEY_BYTES + 2 * 10 + 3 + DEVICE_BYTES_MAX + 5 * 10)

/* ---- results ---------------------------------------------------------------------------------------------------- */

struct results { struct keyed_list list; };

int results_new(struct results **ret)
{
	struct results *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	*ret = r;
	return 0;
}

void results_free(struct results *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->list.count; i++)
		free(r->list.item[i]);
	keyed_done(&r->list);
	free(r);
}

/* What the cube of a record has beside its result. */
static uint32_t summed_with(const struct tap *tap, uint8_t ret[2 + LINE_BYTES_MAX])
{
	uint32_t n = tap != NULL ? (uint32_t)strnlen(tap->line, LINE_BYTES_MAX) : 0;

	if (tap == NULL)
		return 0;
	ret[0] = (uint8_t)tap->medium;
	ret[1] = (uint8_t)tap->card_class;
	memcpy(ret + 2, tap->line, n);
	return 2 + n;
}

/* key: n bytes of the result, then the rest. */
static int result_of(struct results *r, const struct keyed *key, uint32_t n, const struct cleared *c, struct row_result **ret)
{
	struct row_result *new;
	uint8_t *bytes;
	int code;

	*ret = (struct row_result *)keyed_find(&r->list, key->key, key->key_bytes, key->hash);
	if (*ret != NULL)
		return 0;
	new = malloc(sizeof(*new) + key->key_bytes);
	if (new == NULL)
		return -ENOMEM;
	bytes = (uint8_t *)(new + 1);
	memcpy(bytes, key->key, key->key_bytes);
	*new = (struct row_result){ .head = { bytes, key->key_bytes, key->hash }, .n = n, .row = *c };
	code = keyed_add(&r->list, &new->head);
	if (code != 0)
		free(new);
	else
		*ret = new;
	return code;
}

int results_add(struct results *r, const struct cleared *c, const struct tap *tap, struct row_result **ret)
{
	uint8_t bytes[RESULT_BYTES_MAX + 2 + LINE_BYTES_MAX];
	int n = cleared_encode(c, bytes, RESULT_BYTES_MAX);
	struct keyed key = { .key = bytes };

	if (n < 0)
		return n;
	key.key_bytes = (uint32_t)n + summed_with(tap, bytes + n);
	key.hash = keyed_hash(bytes, key.key_bytes);
	return result_of(r, &key, (uint32_t)n, c, ret);
}

int results_same(struct results *r, struct row_result *other, struct row_result **ret)
{
	int code = other->same != NULL ? 0 : result_of(r, &other->head, other->n, &other->row, &other->same);

	*ret = other->same;
	return code;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

struct decided_serials { uint8_t terminal[6]; uint32_t serial_min, serial_max; };
struct row_writer {
	struct sink *sink; int32_t day;
	uint32_t mark;				/* of this block; results of another one have another */
	uint8_t first[CLEARED_KEY_BYTES];
	uint16_t rows, results;
	uint8_t *result; size_t result_bytes, result_space;
	uint8_t row[ROWS_PER_BLOCK * ROW_BYTES_MAX]; size_t row_bytes;
	struct { uint8_t key[CLEARED_KEY_BYTES]; const char *device; uint64_t person, seq; uint32_t at, bytes; } before;
	struct decided_serials *decided; size_t decided_count, decided_space;
};

int row_writer_new(struct sink *sink, int32_t day, struct row_writer **ret)
{
	struct row_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->sink = sink;
	w->day = day;
	w->mark = 1;
	*ret = w;
	return 0;
}

void row_writer_free(struct row_writer *w)
{
	if (w == NULL)
		return;
	free(w->result);
	free(w->decided);
	free(w);
}

static uint8_t *varint_put(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t *differs_put(uint8_t *p, uint64_t v, uint64_t before)
{
	uint64_t d = v - before;

	return varint_put(p, d << 1 ^ (0 - (d >> 63)));
}

/* Differences of 32 bits are small both ways. */
static uint8_t *differs32_put(uint8_t *p, uint32_t v, uint32_t before) { return differs_put(p, (uint64_t)(int64_t)(int32_t)(v - before), 0); }

static int result_place(struct row_writer *w, struct row_result *r)
{
	size_t need = w->result_bytes + 2 + r->n;

	if (r->mark == w->mark)
		return 0;
	if (need > w->result_space) {
		size_t space = need * 2;
		uint8_t *wide = realloc(w->result, space);

		if (wide == NULL)
			return -ENOMEM;
		w->result = wide;
		w->result_space = space;
	}
	be16_put(w->result + w->result_bytes, (uint16_t)r->n);
	memcpy(w->result + w->result_bytes + 2, r->head.key, r->n);
	w->result_bytes = need;
	r->mark = w->mark;
	r->at = w->results++;
	return 0;
}

static int decided_add(struct row_writer *w, const uint8_t key[TAP_KEY_BYTES])
{
	struct decided_serials *last = w->decided_count > 0 ? &w->decided[w->decided_count - 1] : NULL;
	uint32_t serial = be32_get(key + 6);

	if (last != NULL && memcmp(last->terminal, key, 6) == 0) {
		last->serial_max = serial;		/* rows rise by serial within a terminal */
		return 0;
	}
	if (w->decided_count == w->decided_space) {
		size_t space = w->decided_space ? w->decided_space * 2 : 256;
		struct decided_serials *wide = realloc(w->decided, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		w->decided = wide;
		w->decided_space = space;
	}
	last = &w->decided[w->decided_count++];
	*last = (struct decided_serials){ .serial_min = serial, .serial_max = serial };
	memcpy(last->terminal, key, 6);
	return 0;
}

static int block_end(struct row_writer *w)
{
	size_t n = BLOCK_HEAD_BYTES + w->result_bytes + w->row_bytes;
	uint8_t *block;
	int ret;

	if (w->rows == 0)
		return 0;
	block = malloc(n);
	if (block == NULL)
		return -ENOMEM;
	block[0] = BLOCK_VERSION;
	be16_put(block + 1, w->rows);
	be16_put(block + 3, w->results);
	memcpy(block + BLOCK_HEAD_BYTES, w->result, w->result_bytes);
	memcpy(block + BLOCK_HEAD_BYTES + w->result_bytes, w->row, w->row_bytes);
	ret = w->sink->put(w->sink, DB_CLEARED, w->first, sizeof(w->first), block, n);
	free(block);
	w->rows = w->results = 0;
	w->row_bytes = w->result_bytes = 0;
	w->mark++;
	memset(&w->before, 0, sizeof(w->before));
	return ret;
}

static uint8_t has_of(const struct row_writer *w, const struct row_new *row)
{
	bool other = row->key[4] == CLEARED_OTHER;

	return (uint8_t)((other ? ROW_OTHER : memcmp(w->before.key + 5, row->key + 5, 6) != 0 ? ROW_TERMINAL : 0) |
			 (be16_get(row->key + 23) != 0 ? ROW_NTH : 0) |
			 (w->before.device == NULL || strncmp(w->before.device, row->device, DEVICE_BYTES_MAX) != 0 ? ROW_DEVICE : 0) |
			 (row->raw_seq != row->seq ? ROW_ELSEWHERE : 0) | (row->decides ? ROW_DECIDES : 0));
}

static uint8_t *key_put(uint8_t *p, const struct row_writer *w, const struct row_new *row, uint8_t has)
{
	size_t n = has & ROW_OTHER ? TAP_KEY_BYTES : has & ROW_TERMINAL ? 6 : 0;

	memcpy(p, row->key + 5, n);
	p += n;
	if ((has & ROW_OTHER) == 0) {
		p = differs32_put(p, be32_get(row->key + 11), be32_get(w->before.key + 11));
		p = differs_put(p, be64_get(row->key + 15), be64_get(w->before.key + 15));
	}
	return has & ROW_NTH ? varint_put(p, be16_get(row->key + 23)) : p;
}

static void row_put(struct row_writer *w, const struct row_new *row)
{
	uint8_t *p = w->row + w->row_bytes, has = has_of(w, row);

	*p++ = has;
	p = varint_put(p, row->result->at);
	p = key_put(p, w, row, has);
	if (has & ROW_DEVICE) {
		memset(p, 0, DEVICE_BYTES_MAX);
		memcpy(p, row->device, strnlen(row->device, DEVICE_BYTES_MAX));
		p += DEVICE_BYTES_MAX;
	}
	p = differs_put(p, row->person << 1 | row->person >> 63, w->before.person << 1 | w->before.person >> 63);
	p = differs_put(p, row->seq, w->before.seq);
	if (has & ROW_ELSEWHERE)
		p = differs_put(p, row->raw_seq, row->seq);
	p = differs32_put(p, row->raw_at, w->before.at);
	p = differs32_put(p, row->raw_bytes, w->before.bytes);
	w->row_bytes = (size_t)(p - w->row);
	memcpy(w->before.key, row->key, sizeof(w->before.key));
	w->before.device = row->device;
	w->before.person = row->person;
	w->before.seq = row->seq;
	w->before.at = row->raw_at;
	w->before.bytes = row->raw_bytes;
}

int row_writer_add(struct row_writer *w, const struct row_new *row)
{
	int ret = w->rows == ROWS_PER_BLOCK ? block_end(w) : 0;

	if (ret == 0)
		ret = result_place(w, row->result);
	if (ret == 0 && row->decides)
		ret = decided_add(w, row->key + 5);
	if (ret != 0)
		return ret;
	if (w->rows == 0)
		memcpy(w->first, row->key, sizeof(w->first));
	assert(w->row_bytes + ROW_BYTES_MAX <= sizeof(w->row));
	row_put(w, row);
	w->rows++;
	return 0;
}

int row_writer_end(struct row_writer *w)
{
	int ret = block_end(w);

	for (size_t i = 0; ret == 0 && i < w->decided_count; i++) {
		uint8_t key[10], value[8];

		memcpy(key, w->decided[i].terminal, 6);
		be32_put(key + 6, (uint32_t)w->day ^ 0x80000000u);
		be32_put(value, w->decided[i].serial_min);
		be32_put(value + 4, w->decided[i].serial_max);
		ret = w->sink->put(w->sink, DB_TAPKEY, key, sizeof(key), value, sizeof(value));
	}
	return ret;
}
