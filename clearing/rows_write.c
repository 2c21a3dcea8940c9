/*
 * rows_write - results that are the same said once, and rows in key order made into blocks.
 */
#include "clearing/rows.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/grown.h"

#define RESULT_BYTES_MAX 1024
#define ROW_BYTES_MAX (1 + 3 + TAP_KEY_BYTES + 2 * 10 + 3 + DEVICE_BYTES_MAX + 5 * 10)

/* ---- results ---------------------------------------------------------------------------------------------------- */

#define RECENT_BITS 12
struct results { struct keyed_list list; struct row_result *recent[1 << RECENT_BITS]; };	/* recent: by recent_at() the last one found there */

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
static uint32_t summed_put(const struct tap *tap, uint8_t ret[2 + LINE_BYTES_MAX])
{
	struct summed_with with = summed_of(tap);
	uint32_t n = (uint32_t)strnlen(with.line, LINE_BYTES_MAX);

	if (!with.any)
		return 0;
	ret[0] = with.medium;
	ret[1] = with.card_class;
	memcpy(ret + 2, with.line, n);
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
	*new = (struct row_result){ .head = { bytes, key->key_bytes, key->hash }, .n = n, .place = (uint32_t)r->list.count, .row = *c };
	code = keyed_add(&r->list, &new->head);
	if (code != 0)
		free(new);
	else
		*ret = new;
	return code;
}

/* By their bytes. */
static int results_look(struct results *r, const struct cleared *c, const struct tap *tap, struct row_result **ret)
{
	uint8_t bytes[RESULT_BYTES_MAX + 2 + LINE_BYTES_MAX];
	int n = cleared_encode(c, bytes, RESULT_BYTES_MAX);
	struct keyed key = { .key = bytes };

	if (n < 0)
		return n;
	key.key_bytes = (uint32_t)n + summed_put(tap, bytes + n);
	key.hash = keyed_hash(bytes, key.key_bytes);
	return result_of(r, &key, (uint32_t)n, c, ret);
}

/* Of what tells most results from each other. */
static size_t recent_at(const struct cleared *c, const struct tap *tap)
{
	const uint64_t odd = 0x9E3779B97F4A7C15;
	uint64_t said = c->verdict | (uint64_t)c->check << 8 | (uint64_t)c->scheme << 16 | (uint64_t)c->fare.rule << 32 | (uint64_t)c->fare.fund_rule << 48;
	uint64_t fen = (uint64_t)c->priced.charged.fen << 32 ^ (uint64_t)c->fare.paid.fen ^ (uint64_t)c->fare.published.fen << 16, line = 0;

	if (tap != NULL)
		line = (uint64_t)tap->medium << 56 ^ (uint64_t)tap->card_class << 48 ^ (uint64_t)(uint8_t)tap->line[0] << 16 ^
		       (uint64_t)(uint8_t)tap->line[tap->line[0] != '\0'] << 8;
	return (((said * odd ^ fen) * odd ^ c->operator_id ^ line ^ (uint64_t)c->fare.line << 24) * odd) >> (64 - RECENT_BITS);
}

static bool summed_same(const struct row_result *r, const struct tap *tap)
{
	const uint8_t *rest = r->head.key + r->n;
	size_t n = r->head.key_bytes - r->n;

	if (tap == NULL || n == 0)
		return tap == NULL && n == 0;
	return rest[0] == (uint8_t)tap->medium && rest[1] == (uint8_t)tap->card_class && strnlen(tap->line, LINE_BYTES_MAX) == n - 2 &&
	       memcmp(rest + 2, tap->line, n - 2) == 0;
}

int results_add(struct results *r, const struct cleared *c, const struct tap *tap, struct row_result **ret)
{
	struct row_result **recent = &r->recent[recent_at(c, tap)];
	int code = 0;

	if (*recent == NULL || !cleared_same(&(*recent)->row, c) || !summed_same(*recent, tap))
		code = results_look(r, c, tap, recent);
	if (code == 0)
		*ret = *recent;
	return code;
}

struct row_result *results_recent(const struct results *r, const struct cleared *c, const struct tap *tap)
{
	struct row_result *recent = r->recent[recent_at(c, tap)];

	return recent != NULL && recent->row.priced.difference == DIFF_NONE && recent->row.priced.charged.fen == c->priced.charged.fen &&
	       cleared_rated_same(&recent->row, c) && summed_same(recent, tap) ? recent : NULL;
}

size_t results_count(const struct results *r) { return r->list.count; }

struct row_result *results_at(const struct results *r, size_t i) { return (struct row_result *)r->list.item[i]; }

int results_join(struct results *r, struct results *from)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < from->list.count; i++) {
		struct row_result *other = results_at(from, i);

		ret = result_of(r, &other->head, other->n, &other->row, &other->same);
	}
	return ret;
}

struct summed_with result_summed(const struct row_result *r)
{
	const uint8_t *rest = r->head.key + r->n;
	uint32_t n = r->head.key_bytes - r->n;
	struct summed_with with = { .any = n >= 2 };

	if (n >= 2) {
		with.medium = rest[0];
		with.card_class = rest[1];
		memcpy(with.line, rest + 2, n - 2);
	}
	return with;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

struct block_writer {
	uint8_t version;
	uint32_t mark;				/* of this block; results of another one have another */
	struct { uint32_t mark, at; } *said; size_t said_space;	/* by the result's place */
	uint16_t rows, results;
	uint8_t *result; size_t result_bytes, result_space;
	uint8_t row[ROWS_PER_BLOCK * ROW_BYTES_MAX]; size_t row_bytes;
	struct { uint64_t terminal, time; uint32_t serial; const char *device; uint64_t person, seq; uint32_t at, bytes; } before;
};

/* The numbers are read where the record has them: a key that was just written here is read in other pieces than it was written in, for
 * which a processor waits until all that was written before is out. */
void row_new_key(struct row_new *row, int32_t day, enum cleared_class class, const uint8_t key[TAP_KEY_BYTES], uint16_t nth)
{
	row_key(day, class, key, nth, row->key);
	row->terminal = (uint64_t)be32_get(key) << 16 | be16_get(key + 4);
	row->serial = be32_get(key + 6);
	row->time = be64_get(key + 10);
}

int block_writer_new(uint8_t version, struct block_writer **ret)
{
	struct block_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->version = version;
	w->mark = 1;
	*ret = w;
	return 0;
}

void block_writer_free(struct block_writer *w)
{
	if (w == NULL)
		return;
	free(w->said);
	free(w->result);
	free(w);
}

static uint8_t *number_put(uint8_t *p, uint64_t v) { return p + varnum_put(p, v); }

static uint8_t *differs_put(uint8_t *p, uint64_t v, uint64_t before) { return number_put(p, zigzag((int64_t)(v - before))); }

/* Differences of 32 bits are small both ways. */
static uint8_t *differs32_put(uint8_t *p, uint32_t v, uint32_t before) { return differs_put(p, (uint64_t)(int64_t)(int32_t)(v - before), 0); }

static int said_room(struct block_writer *w, uint32_t place)
{
	size_t before = w->said_space;
	void *wide;

	if (place < before)
		return 0;
	wide = grown(w->said, &w->said_space, place + 1u, sizeof(w->said[0]));
	if (wide == NULL)
		return -ENOMEM;
	w->said = wide;
	memset(w->said + before, 0, (w->said_space - before) * sizeof(w->said[0]));
	return 0;
}

static int result_say(struct block_writer *w, const struct row_result *r, uint32_t *ret_at)
{
	size_t need = w->result_bytes + 2 + r->n;
	int ret = said_room(w, r->place);

	if (ret != 0)
		return ret;
	if (w->said[r->place].mark != w->mark) {
		uint8_t *wide = grown(w->result, &w->result_space, need, 1);

		if (wide == NULL)
			return -ENOMEM;
		w->result = wide;
		be16_put(w->result + w->result_bytes, (uint16_t)r->n);
		memcpy(w->result + w->result_bytes + 2, r->head.key, r->n);
		w->result_bytes = need;
		w->said[r->place].mark = w->mark;
		w->said[r->place].at = w->results++;
	}
	*ret_at = w->said[r->place].at;
	return 0;
}

/* Behind the row before, in its batch and among the terminal's. */
static bool is_next(const struct block_writer *w, const struct row_new *row)
{
	return w->version >= BLOCK_VERSION && row->key[4] == CLEARED_RIDE && w->before.device != NULL && w->before.terminal == row->terminal &&
	       row->serial == w->before.serial + 1 && row->seq == w->before.seq && row->raw_seq == row->seq && row->raw_bytes == w->before.bytes &&
	       row->raw_at == w->before.at + w->before.bytes + ROW_GAP_BYTES;
}

/* Names of one batch lie at one place. */
static bool device_is_before(const struct block_writer *w, const char *device)
{
	return w->before.device == device || (w->before.device != NULL && strncmp(w->before.device, device, DEVICE_BYTES_MAX) == 0);
}

static uint8_t has_of(const struct block_writer *w, const struct row_new *row)
{
	bool other = row->key[4] == CLEARED_OTHER;

	return (uint8_t)((is_next(w, row) ? ROW_NEXT : 0) | (other ? ROW_OTHER : w->before.terminal != row->terminal ? ROW_TERMINAL : 0) |
			 (be16_get(row->key + 23) != 0 ? ROW_NTH : 0) |
			 (device_is_before(w, row->device) ? 0 : ROW_DEVICE) |
			 (row->raw_seq != row->seq ? ROW_ELSEWHERE : 0) | (row->decides ? ROW_DECIDES : 0));
}

static uint8_t *key_put(uint8_t *p, const struct block_writer *w, const struct row_new *row, uint8_t has)
{
	size_t n = has & ROW_OTHER ? TAP_KEY_BYTES : has & ROW_TERMINAL ? 6 : 0;

	memcpy(p, row->key + 5, n);
	p += n;
	if ((has & (ROW_OTHER | ROW_NEXT)) == 0)
		p = differs32_put(p, row->serial, w->before.serial);
	if ((has & ROW_OTHER) == 0)
		p = differs_put(p, row->time, w->before.time);
	return has & ROW_NTH ? number_put(p, be16_get(row->key + 23)) : p;
}

/* Where its record lies. */
static uint8_t *place_put(uint8_t *p, const struct block_writer *w, const struct row_new *row, uint8_t has)
{
	p = differs_put(p, row->seq, w->before.seq);
	if (has & ROW_ELSEWHERE)
		p = differs_put(p, row->raw_seq, row->seq);
	p = differs32_put(p, row->raw_at, w->before.at);
	return differs32_put(p, row->raw_bytes, w->before.bytes);
}

static void row_put(struct block_writer *w, const struct row_new *row, uint32_t result)
{
	uint8_t *p = w->row + w->row_bytes, has = has_of(w, row);

	*p++ = has;
	p = number_put(p, result);
	p = key_put(p, w, row, has);
	if (has & ROW_DEVICE) {
		memset(p, 0, DEVICE_BYTES_MAX);
		memcpy(p, row->device, strnlen(row->device, DEVICE_BYTES_MAX));
		p += DEVICE_BYTES_MAX;
	}
	p = differs_put(p, row->person << 1 | row->person >> 63, w->before.person << 1 | w->before.person >> 63);
	if ((has & ROW_NEXT) == 0)
		p = place_put(p, w, row, has);
	w->row_bytes = (size_t)(p - w->row);
	w->before.terminal = row->terminal;
	w->before.serial = row->serial;
	w->before.time = row->time;
	w->before.device = row->device;
	w->before.person = row->person;
	w->before.seq = row->seq;
	w->before.at = row->raw_at;
	w->before.bytes = row->raw_bytes;
}

int block_add(struct block_writer *w, const struct row_new *row)
{
	uint32_t result;
	int ret = result_say(w, row->result, &result);

	if (ret != 0)
		return ret;
	assert(w->rows < ROWS_PER_BLOCK && w->row_bytes + ROW_BYTES_MAX <= sizeof(w->row));
	row_put(w, row, result);
	w->rows++;
	return 0;
}

size_t block_bytes(const struct block_writer *w) { return BLOCK_HEAD_BYTES + w->result_bytes + w->row_bytes; }

void block_end(struct block_writer *w, uint8_t *out)
{
	out[0] = w->version;
	be16_put(out + 1, w->rows);
	be16_put(out + 3, w->results);
	memcpy(out + BLOCK_HEAD_BYTES, w->result, w->result_bytes);
	memcpy(out + BLOCK_HEAD_BYTES + w->result_bytes, w->row, w->row_bytes);
	w->rows = w->results = 0;
	w->row_bytes = w->result_bytes = 0;
	w->mark++;
	memset(&w->before, 0, sizeof(w->before));
}

/* ---- what was decided ------------------------------------------------------------------------------------------- */

struct decided_serials { uint8_t terminal[6]; uint32_t serial_min, serial_max; };

int decided_add(struct decided_list *d, const uint8_t key[TAP_KEY_BYTES])
{
	struct decided_serials *last = d->count > 0 ? &d->list[d->count - 1] : NULL;
	uint32_t serial = be32_get(key + 6);

	if (last != NULL && memcmp(last->terminal, key, 6) == 0) {
		last->serial_max = serial;		/* rows rise by serial within a terminal */
		return 0;
	}
	last = grown(d->list, &d->space, d->count + 1, sizeof(*last));
	if (last == NULL)
		return -ENOMEM;
	d->list = last;
	last = &d->list[d->count++];
	*last = (struct decided_serials){ .serial_min = serial, .serial_max = serial };
	memcpy(last->terminal, key, 6);
	return 0;
}

int decided_write(const struct decided_list *d, struct sink *sink, int32_t day)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < d->count; i++) {
		uint8_t key[10], value[8];

		memcpy(key, d->list[i].terminal, 6);
		be32_put(key + 6, (uint32_t)day ^ 0x80000000u);
		be32_put(value, d->list[i].serial_min);
		be32_put(value + 4, d->list[i].serial_max);
		ret = sink->put(sink, DB_TAPKEY, key, sizeof(key), value, sizeof(value));
	}
	return ret;
}
