#include "clearing/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "clearing/packed.h"

#include "clearing/grown.h"

/* ---- keys ---------------------------------------------------------------------------------------------------- */

void row_key(int32_t day, enum cleared_class class, const uint8_t key[TAP_KEY_BYTES], uint16_t nth, uint8_t ret[CLEARED_KEY_BYTES])
{
	be32_put(ret, (uint32_t)day ^ 0x80000000u);
	ret[4] = (uint8_t)class;
	memcpy(ret + 5, key, TAP_KEY_BYTES);
	be16_put(ret + 5 + TAP_KEY_BYTES, nth);
}

int32_t row_day(const uint8_t key[4]) { return (int32_t)(be32_get(key) ^ 0x80000000u); }

/* ---- packed ---------------------------------------------------------------------------------------------------- */

#define PACKED_HEAD_BYTES 5	/* how it is packed 1: 1 zstd, 2 not; bytes unpacked 4 */
enum block_packing { PACKED_ZSTD = 1, PACKED_PLAIN = 2 };
#define PACK_LEVEL (-1)	/* a block takes as many pages of the store at any */
#define BLOCK_BYTES_MAX (1u << 20)
#define PAGES_BYTES(pages) ((pages) * 4096u - 16)	/* what a value of so many pages of its own has room for */

struct row_packer { ZSTD_CCtx *compress; ZSTD_DCtx *expand; uint8_t *out; size_t space; };

int row_packer_new(struct row_packer **ret)
{
	struct row_packer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	*ret = p;
	return 0;
}

void row_packer_free(struct row_packer *p)
{
	if (p == NULL)
		return;
	ZSTD_freeCCtx(p->compress);
	ZSTD_freeDCtx(p->expand);
	free(p->out);
	free(p);
}

static int packer_room(struct row_packer *p, size_t n)
{
	uint8_t *wide;

	if (n <= p->space)
		return 0;
	wide = realloc(p->out, n);
	if (wide == NULL)
		return -ENOMEM;
	p->out = wide;
	p->space = n;
	return 0;
}

static int zstd_pack(struct row_packer *p, const void *block, size_t n, size_t *ret_bytes)
{
	if (p->compress == NULL)
		p->compress = ZSTD_createCCtx();
	if (p->compress == NULL || packer_room(p, PACKED_HEAD_BYTES + ZSTD_compressBound(n)) != 0)
		return -ENOMEM;
	*ret_bytes = ZSTD_compressCCtx(p->compress, p->out + PACKED_HEAD_BYTES, p->space - PACKED_HEAD_BYTES, block, n, PACK_LEVEL);
	return ZSTD_isError(*ret_bytes) ? CLEARING_E_STORE : 0;
}

/* A block of most days has room in two pages as it is, and packed it would not go into one. */
int row_pack(struct row_packer *p, const void *block, size_t n, const void **ret, size_t *ret_bytes)
{
	bool plain = n + PACKED_HEAD_BYTES > PAGES_BYTES(1) && n + PACKED_HEAD_BYTES <= PAGES_BYTES(2);
	int code = plain ? packer_room(p, PACKED_HEAD_BYTES + n) : zstd_pack(p, block, n, ret_bytes);

	if (code != 0)
		return code;
	if (plain)
		memcpy(p->out + PACKED_HEAD_BYTES, block, *ret_bytes = n);
	p->out[0] = plain ? PACKED_PLAIN : PACKED_ZSTD;
	be32_put(p->out + 1, (uint32_t)n);
	*ret = p->out;
	*ret_bytes += PACKED_HEAD_BYTES;
	return 0;
}

int row_unpack(struct row_packer *p, const void *packed, size_t n, const void **ret, size_t *ret_bytes)
{
	const uint8_t *in = packed;
	size_t bytes;

	if (n < PACKED_HEAD_BYTES || be32_get(in + 1) > BLOCK_BYTES_MAX)
		return CLEARING_E_STORE;
	if (in[0] == PACKED_PLAIN) {
		*ret = in + PACKED_HEAD_BYTES;
		*ret_bytes = n - PACKED_HEAD_BYTES;
		return be32_get(in + 1) == *ret_bytes ? 0 : CLEARING_E_STORE;
	}
	if (in[0] != PACKED_ZSTD)
		return CLEARING_E_STORE;
	if (p->expand == NULL)
		p->expand = ZSTD_createDCtx();
	bytes = be32_get(in + 1);
	if (p->expand == NULL || packer_room(p, bytes + 1) != 0)
		return -ENOMEM;
	if (ZSTD_decompressDCtx(p->expand, p->out, bytes, in + PACKED_HEAD_BYTES, n - PACKED_HEAD_BYTES) != bytes)
		return CLEARING_E_STORE;
	*ret = p->out;
	*ret_bytes = bytes;
	return 0;
}

size_t block_rows(const void *block, size_t n) { return n < BLOCK_HEAD_BYTES ? 0 : be16_get((const uint8_t *)block + 1); }

/* ---- a block, read ----------------------------------------------------------------------------------------------- */

struct place { uint64_t seq, person, raw_seq; uint32_t at, bytes; uint16_t result; bool decides; const char *device; uint8_t key[CLEARED_KEY_BYTES]; };
struct row_block {
	struct row_packer *packer;
	struct cleared *result; size_t results, space;
	struct place row[ROWS_PER_BLOCK]; size_t rows;
	char device[ROWS_PER_BLOCK][DEVICE_BYTES_MAX + 1];
	uint8_t key[CLEARED_KEY_BYTES];		/* of the block; all zero: nothing is read */
	struct event event; uint64_t gone;	/* the one looked up last; bundles let go by then */
};
struct cursor_in { const uint8_t *p, *end; bool bad; };

static uint64_t varint(struct cursor_in *in)
{
	uint64_t v = 0;

	for (unsigned shift = 0; in->p < in->end && shift < 64; shift += 7) {
		uint8_t b = *in->p++;

		v |= (uint64_t)(b & 0x7F) << shift;
		if ((b & 0x80) == 0)
			return v;
	}
	in->bad = true;
	return 0;
}

static uint64_t differs(struct cursor_in *in)
{
	uint64_t v = varint(in);

	return v >> 1 ^ (0 - (v & 1));
}

static const uint8_t *bytes_in(struct cursor_in *in, size_t n)
{
	const uint8_t *p = in->p;

	if (in->bad || (size_t)(in->end - in->p) < n) {
		in->bad = true;
		return NULL;
	}
	in->p += n;
	return p;
}

static int results_read(struct row_block *b, struct cursor_in *in, size_t count)
{
	if (count > b->space) {
		struct cleared *wide = realloc(b->result, count * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		b->result = wide;
		b->space = count;
	}
	b->results = count;
	for (size_t i = 0; i < count; i++) {
		const uint8_t *n = bytes_in(in, 2), *p = n == NULL ? NULL : bytes_in(in, be16_get(n));

		if (p == NULL || !cleared_decode(p, be16_get(n), &b->result[i]))
			return CLEARING_E_STORE;
	}
	return 0;
}

static void row_key_read(struct cursor_in *in, uint8_t has, const struct place *before, struct place *row)
{
	const uint8_t *p = (has & (ROW_OTHER | ROW_TERMINAL)) != 0 ? bytes_in(in, has & ROW_OTHER ? TAP_KEY_BYTES : 6) : before->key + 5;

	row->key[4] = has & ROW_OTHER ? CLEARED_OTHER : CLEARED_RIDE;
	if (p == NULL)
		return;
	memcpy(row->key + 5, p, has & ROW_OTHER ? TAP_KEY_BYTES : 6);
	if ((has & ROW_OTHER) == 0) {
		be32_put(row->key + 11, be32_get(before->key + 11) + (has & ROW_NEXT ? 1 : (uint32_t)differs(in)));
		be64_put(row->key + 15, be64_get(before->key + 15) + differs(in));
	}
	be16_put(row->key + 23, has & ROW_NTH ? (uint16_t)varint(in) : 0);
}

/* Where its record lies. */
static void row_place_read(struct cursor_in *in, uint8_t has, const struct place *before, struct place *row)
{
	if (has & ROW_NEXT) {
		row->seq = row->raw_seq = before->seq;
		row->at = before->at + before->bytes + ROW_GAP_BYTES;
		row->bytes = before->bytes;
		return;
	}
	row->seq = before->seq + differs(in);
	row->raw_seq = has & ROW_ELSEWHERE ? row->seq + differs(in) : row->seq;
	row->at = before->at + (uint32_t)differs(in);
	row->bytes = before->bytes + (uint32_t)differs(in);
}

static bool has_is_known(uint8_t has, uint8_t version)
{
	return (has & ~(version == BLOCK_VERSION ? ROW_HAS_ALL : ROW_HAS_ALL_4)) == 0 && ((has & ROW_NEXT) == 0 || (has & (ROW_OTHER | ROW_TERMINAL | ROW_ELSEWHERE)) == 0);
}

/* Rows of a day: before is the row above in the block, zeroes for the first. */
static void row_read(struct row_block *b, struct cursor_in *in, uint8_t version, const struct place *before, struct place *row)
{
	const uint8_t *p = bytes_in(in, 1);
	uint8_t has = p != NULL ? *p : 0;
	uint64_t result = varint(in), v;
	size_t i = (size_t)(row - b->row);

	in->bad = in->bad || !has_is_known(has, version) || result >= b->results;
	row->result = (uint16_t)result;
	row->decides = (has & ROW_DECIDES) != 0;
	memcpy(row->key, b->key, 4);
	row_key_read(in, has, before, row);
	row->device = before->device;
	if (has & ROW_DEVICE) {
		p = bytes_in(in, DEVICE_BYTES_MAX);
		if (p != NULL)
			memcpy(b->device[i], p, DEVICE_BYTES_MAX);
		b->device[i][DEVICE_BYTES_MAX] = '\0';
		row->device = b->device[i];
	}
	v = (before->person << 1 | before->person >> 63) + differs(in);
	row->person = v >> 1 | v << 63;
	row_place_read(in, has, before, row);
	in->bad = in->bad || row->device == NULL;
}

static int block_read(struct row_block *b, const uint8_t key[CLEARED_KEY_BYTES], const void *val, size_t n)
{
	static const struct place none;
	const void *block;
	struct cursor_in in;
	uint8_t version;
	size_t count;
	int ret;

	memset(b->key, 0, sizeof(b->key));
	b->event.seq = 0;
	ret = row_unpack(b->packer, val, n, &block, &n);
	if (ret != 0)
		return ret;
	in = (struct cursor_in){ block, (const uint8_t *)block + n, false };
	if (n < BLOCK_HEAD_BYTES || in.p[0] < BLOCK_VERSION_4 || in.p[0] > BLOCK_VERSION)
		return CLEARING_E_STORE;
	version = in.p[0];
	b->rows = be16_get(in.p + 1);
	count = be16_get(in.p + 3);
	in.p += BLOCK_HEAD_BYTES;
	if (b->rows == 0 || b->rows > ROWS_PER_BLOCK)
		return CLEARING_E_STORE;
	ret = results_read(b, &in, count);
	memcpy(b->key, key, CLEARED_KEY_BYTES);
	for (size_t i = 0; ret == 0 && i < b->rows; i++) {
		row_read(b, &in, version, i > 0 ? &b->row[i - 1] : &none, &b->row[i]);
		if (in.bad || memcmp(b->row[i].key, i > 0 ? b->row[i - 1].key : key, CLEARED_KEY_BYTES) < (i > 0))
			ret = CLEARING_E_STORE;
	}
	if (ret == 0 && (in.p != in.end || memcmp(b->row[0].key, key, CLEARED_KEY_BYTES) != 0))
		ret = CLEARING_E_STORE;
	if (ret != 0)
		memset(b->key, 0, sizeof(b->key));
	return ret;
}

/* The bytes of a row's record, in the inbox. */
static bool raw_find(struct txn *t, struct row_block *b, const struct place *row, struct cleared *ret)
{
	if (b->event.seq != row->raw_seq || b->gone != packed_gone(t)) {
		b->event.seq = 0;
		if (!inbox_get(t, row->raw_seq, &b->event))
			return false;
		b->gone = packed_gone(t);
	}
	if (row->at > b->event.bytes || row->bytes > b->event.bytes - row->at)
		return false;
	ret->raw = b->event.body + row->at;
	ret->raw_bytes = row->bytes;
	return true;
}

static bool row_take(struct txn *t, struct row_block *b, const struct place *row, struct cleared *ret)
{
	*ret = b->result[row->result];
	ret->person = row->person;
	ret->seq = row->seq;
	ret->decides = row->decides;
	memcpy(ret->device, row->device, sizeof(ret->device));
	if (raw_find(t, b, row, ret))
		return true;
	t->error = t->error != 0 ? t->error : CLEARING_E_STORE;
	return false;
}

static struct row_block *block_new(struct txn *t)
{
	struct row_block *b = t->error == 0 ? calloc(1, sizeof(*b)) : NULL;

	if (b != NULL && row_packer_new(&b->packer) != 0) {
		free(b);
		b = NULL;
	}
	if (b == NULL && t->error == 0)
		t->error = -ENOMEM;
	return b;
}

void row_block_free(struct row_block *b)
{
	if (b == NULL)
		return;
	row_packer_free(b->packer);
	free(b->result);
	free(b);
}

/* ---- one row --------------------------------------------------------------------------------------------------- */

/* First row of the block that is not below the key; rows when all are. */
static size_t row_search(const struct row_block *b, const uint8_t *key, size_t n)
{
	size_t low = 0, high = b->rows;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(b->row[mid].key, key, n) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Without a look at its record. NULL: there is none, or the transaction's error says why. */
static const struct place *row_find(struct txn *t, const uint8_t key[CLEARED_KEY_BYTES])
{
	const uint8_t *found;
	const void *val;
	size_t n, i;

	if (!txn_get_last_at(t, DB_CLEARED, key, CLEARED_KEY_BYTES, 4, &found, &val, &n))
		return NULL;
	if (t->block == NULL)
		t->block = block_new(t);
	if (t->block == NULL)
		return NULL;
	if (memcmp(t->block->key, found, CLEARED_KEY_BYTES) != 0)
		t->error = block_read(t->block, found, val, n);
	if (t->error != 0)
		return NULL;
	i = row_search(t->block, key, CLEARED_KEY_BYTES);
	return i < t->block->rows && memcmp(t->block->row[i].key, key, CLEARED_KEY_BYTES) == 0 ? &t->block->row[i] : NULL;
}

bool row_get(struct txn *t, const uint8_t key[CLEARED_KEY_BYTES], struct cleared *ret)
{
	const struct place *row = row_find(t, key);

	return row != NULL && row_take(t, t->block, row, ret);
}

/* ---- many rows ---------------------------------------------------------------------------------------------------- */

void rows_open(struct txn *t, const void *prefix, size_t prefix_bytes, struct row_iter *ret)
{
	*ret = (struct row_iter){ .txn = t, .prefix_bytes = (uint8_t)prefix_bytes, .block = block_new(t) };
	if (prefix_bytes > 0)
		memcpy(ret->prefix, prefix, prefix_bytes);
	iter_open(t, DB_CLEARED, prefix, prefix_bytes < 4 ? prefix_bytes : 4, &ret->it);
}

void rows_open_day(struct txn *t, int32_t day, struct row_iter *ret)
{
	uint8_t prefix[4];

	be32_put(prefix, (uint32_t)day ^ 0x80000000u);
	rows_open(t, prefix, sizeof(prefix), ret);
}

static bool block_take(struct row_iter *it)
{
	int ret = it->it.key_bytes == CLEARED_KEY_BYTES ? block_read(it->block, it->it.key, it->it.val, it->it.val_bytes) : CLEARING_E_STORE;

	it->at = 0;
	it->blocks++;
	if (ret != 0)
		it->txn->error = ret;
	return ret == 0;
}

/* The block that may have the first row of the prefix: the last that begins at it or before, else the next. */
static bool first_find(struct row_iter *it)
{
	const uint8_t *found;
	const void *val;
	size_t n;

	if (it->prefix_bytes > 4 && txn_get_last_at(it->txn, DB_CLEARED, it->prefix, it->prefix_bytes, 4, &found, &val, &n)) {
		uint8_t key[CLEARED_KEY_BYTES];

		memcpy(key, found, sizeof(key));
		return iter_seek(&it->it, key, sizeof(key)) && block_take(it);
	}
	return iter_next(&it->it) && block_take(it);
}

bool rows_next(struct row_iter *it)
{
	if (it->txn->error != 0 || it->block == NULL)
		return false;
	if (!it->on) {
		it->on = true;
		if (!first_find(it))
			return false;
		it->at = it->prefix_bytes > 0 ? row_search(it->block, it->prefix, it->prefix_bytes) : 0;
	} else {
		it->at++;
	}
	if (it->at >= it->block->rows && (!iter_next(&it->it) || !block_take(it)))
		return false;
	if (memcmp(it->block->row[it->at].key, it->prefix, it->prefix_bytes) != 0)
		return false;
	memcpy(it->key, it->block->row[it->at].key, sizeof(it->key));
	it->result = it->block->row[it->at].result;
	return row_take(it->txn, it->block, &it->block->row[it->at], &it->row);
}

void rows_close(struct row_iter *it)
{
	iter_close(&it->it);
	row_block_free(it->block);
	it->block = NULL;
}

/* ---- the days that decided a key --------------------------------------------------------------------------------- */

/* DB_TAPKEY: terminal 6, day 4 -> lowest and highest serial decided. */
#define DECIDED_KEY_BYTES 10
#define DECIDED_VALUE_BYTES 8

static bool days_read(struct txn *t, struct decided *d, const uint8_t terminal[6], int32_t before_day)
{
	struct iter it;

	d->count = 0;
	d->known = false;
	iter_open(t, DB_TAPKEY, terminal, 6, &it);
	while (iter_next(&it) && row_day(it.key + 6) < before_day) {
		void *wide;

		if (it.key_bytes != DECIDED_KEY_BYTES || it.val_bytes != DECIDED_VALUE_BYTES) {
			t->error = CLEARING_E_STORE;
			break;
		}
		wide = grown(d->day, &d->space, d->count + 1, sizeof(d->day[0]));
		if (wide == NULL) {
			t->error = -ENOMEM;
			break;
		}
		d->day = wide;
		d->day[d->count].day = row_day(it.key + 6);
		d->day[d->count].serial_min = be32_get(it.val);
		d->day[d->count++].serial_max = be32_get(it.val + 4);
	}
	iter_close(&it);
	memcpy(d->terminal, terminal, 6);
	d->known = t->error == 0;
	return d->known;
}

bool decided_before(struct txn *t, struct decided *d, const uint8_t key[TAP_KEY_BYTES], int32_t before_day, int32_t *ret_day)
{
	uint32_t serial = be32_get(key + 6);

	if ((!d->known || memcmp(d->terminal, key, 6) != 0) && !days_read(t, d, key, before_day))
		return false;
	for (size_t i = 0; i < d->count; i++) {
		uint8_t at[CLEARED_KEY_BYTES];
		const struct place *row;

		if (serial < d->day[i].serial_min || serial > d->day[i].serial_max)
			continue;
		row_key(d->day[i].day, CLEARED_RIDE, key, 0, at);
		row = row_find(t, at);
		if (row != NULL && row->decides) {
			*ret_day = d->day[i].day;
			return true;
		}
	}
	return false;
}

void decided_done(struct decided *d) { free(d->day); }

bool key_decided(struct txn *t, const uint8_t key[TAP_KEY_BYTES], int32_t before_day, int32_t *ret_day)
{
	struct decided d = { 0 };
	bool found = decided_before(t, &d, key, before_day, ret_day);

	decided_done(&d);
	return found;
}

bool terminal_decided(struct txn *t, const uint8_t terminal[6], uint32_t *ret_serial_max)
{
	bool found = false;
	struct iter it;

	*ret_serial_max = 0;
	iter_open(t, DB_TAPKEY, terminal, 6, &it);
	for (; iter_next(&it); found = true)
		if (it.val_bytes == DECIDED_VALUE_BYTES && be32_get(it.val + 4) > *ret_serial_max)
			*ret_serial_max = be32_get(it.val + 4);
	iter_close(&it);
	return found;
}
