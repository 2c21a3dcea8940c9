/*
 * pack - the batches of a closed day into bundles. A day's batches are packed device by device, the devices in the order of their
 * terminals, so that its rows, which lie in that order, find the records of neighbours in one bundle, and so that what is
 * alike lies together.
 *
 * Nothing is edited: a bundle is read back from the store, unpacked and compared with the batches, in the transaction in
 * which these give up their bytes. The work of packing is done before it, beside whatever else goes on. What is committed
 * is whole at any moment, so a process that was killed goes on where it was.
 */
#include "clearing/packed.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/grown.h"

/* A batch that is not packed yet; terminal: the lowest that a batch of its device begins with. */
struct todo { uint8_t terminal[6]; char device[DEVICE_BYTES_MAX]; uint64_t seq; uint32_t bytes; };
struct packing {
	struct store *store;
	int32_t day;
	struct todo *todo; size_t count, space, done;
	struct bundler *bundler;
	struct unbundler *unbundler;
	struct bundle_part part[BUNDLE_PARTS_MAX]; size_t parts;
	const void *packed; size_t packed_bytes;	/* the bundler's */
	size_t page, most;		/* of the store; bytes of a bundle */
};

/* What a row takes in the store: its place in a page of many, or pages of its own. */
static uint64_t row_bytes(size_t page, size_t key_bytes, size_t val_bytes)
{
	size_t in_page = key_bytes + 10;	/* LMDB's node and its place */

	if (in_page + val_bytes <= (page - 16) / 2)
		return in_page + val_bytes;
	return in_page + 8 + (val_bytes + 16 + page - 1) / page * page;
}

/* ---- what is to be packed ------------------------------------------------------------------------------------------- */

/* Of the first record; all zero when it cannot be read. */
static void terminal_of(const struct event *e, uint8_t ret[6])
{
	static _Thread_local struct batch batch;
	struct event_batch b;
	const char *field;
	struct tap tap;

	memset(ret, 0, 6);
	if (event_batch_read(e, &b) && batch_decode(b.batch, b.batch_bytes, &batch) == 0 && batch.count > 0 &&
	    tap_decode(batch.tap[0].p, batch.tap[0].n, &tap, &field) == 0)
		memcpy(ret, tap.terminal, 6);
}

static int todo_add(struct packing *p, const struct event *e)
{
	struct todo *wide;

	if (e->bytes < EVENT_BATCH_HEAD_BYTES || e->bytes > BUNDLE_BYTES_MAX)
		return 0;
	wide = grown(p->todo, &p->space, p->count + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	p->todo = wide;
	p->todo[p->count] = (struct todo){ .seq = e->seq, .bytes = (uint32_t)e->bytes };
	memcpy(p->todo[p->count].device, e->body, DEVICE_BYTES_MAX);
	terminal_of(e, p->todo[p->count++].terminal);
	return 0;
}

static int device_compare(const void *pa, const void *pb)
{
	const struct todo *a = pa, *b = pb;

	return memcmp(a->device, b->device, DEVICE_BYTES_MAX);
}

static int todo_compare(const void *pa, const void *pb)
{
	const struct todo *a = pa, *b = pb;
	int order = memcmp(a->terminal, b->terminal, sizeof(a->terminal));

	if (order == 0)
		order = device_compare(a, b);
	return order != 0 ? order : a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* A device that speaks for many terminals is one place in the order. */
static void todo_sort(struct packing *p)
{
	if (p->count < 2)
		return;
	qsort(p->todo, p->count, sizeof(p->todo[0]), device_compare);
	for (size_t from = 0, end; from < p->count; from = end) {
		const struct todo *lowest = &p->todo[from];

		for (end = from + 1; end < p->count && device_compare(&p->todo[from], &p->todo[end]) == 0; end++)
			if (memcmp(p->todo[end].terminal, lowest->terminal, sizeof(lowest->terminal)) < 0)
				lowest = &p->todo[end];
		for (size_t i = from; i < end; i++)
			memmove(p->todo[i].terminal, lowest->terminal, sizeof(lowest->terminal));
	}
	qsort(p->todo, p->count, sizeof(p->todo[0]), todo_compare);
}

/* Its records are asked about again, and answers come through the writer, which has no time to unpack. */
static bool waits(struct txn *t, uint64_t seq)
{
	uint8_t prefix[8];
	struct iter it;
	bool found;

	be64_put(prefix, seq);
	iter_open(t, DB_WAITING, prefix, sizeof(prefix), &it);
	found = iter_next(&it);
	iter_close(&it);
	return found;
}

static int todo_find(struct packing *p, struct txn *t, const struct day_row *day)
{
	bool any = txn_any(t, DB_WAITING);
	struct inbox_iter it;
	struct event e;
	int ret = 0;

	inbox_open_heads(t, day->first_seq + 1, day->cut_seq, &it);
	while (ret == 0 && inbox_next(&it, &e))
		if (e.type == EVENT_BATCH && !e.packed && !(any && waits(t, e.seq)))
			ret = !e.headed || inbox_get(t, e.seq, &e) ? todo_add(p, &e) : t->error;
	inbox_close(&it);
	todo_sort(p);
	return ret != 0 ? ret : t->error;
}

static int day_find(struct packing *p, struct txn *t)
{
	int32_t open_day = day_open_get(t);
	struct day_row row;

	if (!day_get(t, p->day, &row))
		return t->error != 0 ? t->error : CLEARING_E_NO_DAY;
	if (row.state < DAY_CLEARED || open_day == DAY_NONE || p->day >= open_day - 1)
		return CLEARING_E_STATE;
	return todo_find(p, t, &row);
}

int packing_open(struct store *s, int32_t day, struct packing **ret)
{
	struct packing *p = calloc(1, sizeof(*p));
	struct txn t;
	int code = p == NULL ? -ENOMEM : txn_begin(s, false, &t);

	if (code == 0) {
		p->store = s;
		p->day = day;
		p->page = store_page_bytes(s);
		p->most = BUNDLE_BYTES_MAX;
		code = day_find(p, &t);
		txn_abort(&t);
	}
	if (code == 0)
		code = bundler_new(&p->bundler);
	if (code == 0)
		code = unbundler_new(&p->unbundler);
	if (code == 0)
		*ret = p;
	else
		packing_close(p);
	return code;
}

void packing_limit(struct packing *p, size_t bytes) { p->most = bytes; }

void packing_close(struct packing *p)
{
	if (p == NULL)
		return;
	bundler_free(p->bundler);
	unbundler_free(p->unbundler);
	free(p->todo);
	free(p);
}

/* ---- a bundle, beside everything else ---------------------------------------------------------------------------------- */

/* The next batches that are not packed yet, as many as go into one bundle. */
static int parts_take(struct packing *p, struct txn *t, size_t *ret_next)
{
	size_t bytes = 0, i = p->done;

	for (p->parts = 0; i < p->count && p->parts < BUNDLE_PARTS_MAX && (p->parts == 0 || bytes + p->todo[i].bytes <= p->most); i++) {
		struct event e;

		if (!inbox_get(t, p->todo[i].seq, &e))
			return t->error != 0 ? t->error : CLEARING_E_STORE;
		if (e.packed || e.bytes != p->todo[i].bytes)
			continue;
		p->part[p->parts++] = (struct bundle_part){ e.seq, e.body, p->todo[i].bytes };
		bytes += p->todo[i].bytes;
	}
	*ret_next = i;
	return 0;
}

static int bundle_make(struct packing *p, size_t *ret_next)
{
	struct txn t;
	int ret = txn_begin(p->store, false, &t);

	if (ret != 0)
		return ret;
	t.keep = true;
	ret = parts_take(p, &t, ret_next);
	if (ret == 0 && p->parts > 0)
		ret = bundle_pack(p->bundler, p->part, p->parts, &p->packed, &p->packed_bytes);
	txn_abort(&t);
	return ret;
}

/* ---- and into the store -------------------------------------------------------------------------------------------------- */

/* The batch as it lies there is the part that came out of the bundle; now it says where its bytes are. */
static int batch_give_up(struct packing *p, struct txn *t, const struct bundle_part *part, uint32_t bundle, uint16_t place, struct packed *sum)
{
	uint8_t key[8], row[PACKED_BYTES];
	struct packed_at at = { .day = p->day, .bundle = bundle, .place = place };
	const void *val;
	struct event e;
	size_t n;

	be64_put(key, part->seq);
	if (part->seq != p->part[place].seq || !txn_get(t, DB_INBOX, key, sizeof(key), &val, &n) || !inbox_get(t, part->seq, &e) || e.bytes != part->n || memcmp(e.body, part->p, part->n) != 0)
		return t->error != 0 ? t->error : CLEARING_E_DIFFERS;
	if (!event_batch_count(&e, &at.taps, &at.unanswered))
		return CLEARING_E_STORE;
	packed_at_write(&at, e.received_ms, row);
	sum->batches++;
	sum->bytes_before += row_bytes(p->page, sizeof(key), n);
	sum->bytes_after += row_bytes(p->page, sizeof(key), sizeof(row));
	txn_put(t, DB_INBOX, key, sizeof(key), row, sizeof(row));
	return t->error;
}

/* What the store holds now is unpacked, not what was to be written. */
static int bundle_compare(struct packing *p, struct txn *t, uint32_t bundle, struct packed *sum)
{
	struct bundle *b = NULL;
	uint8_t key[BUNDLE_KEY_BYTES];
	const void *val;
	size_t n;
	int ret;

	bundle_key(p->day, bundle, key);
	if (!txn_get(t, DB_BUNDLE, key, sizeof(key), &val, &n))
		return t->error != 0 ? t->error : CLEARING_E_STORE;
	ret = bundle_unpack(p->unbundler, val, n, &b);
	if (ret == 0 && b->parts != p->parts)
		ret = CLEARING_E_DIFFERS;
	sum->bytes_after += row_bytes(p->page, sizeof(key), n);
	for (size_t i = 0; ret == 0 && i < p->parts; i++)
		ret = batch_give_up(p, t, &b->part[i], bundle, (uint16_t)i, sum);
	free(b);
	return ret;
}

static int bundle_write(struct packing *p, struct txn *t, bool last)
{
	uint8_t key[BUNDLE_KEY_BYTES];
	struct packed sum = { 0 };
	int ret = 0;

	day_packed(t, p->day, &sum);
	if (p->parts > 0) {
		bundle_key(p->day, ++sum.bundles, key);
		txn_put(t, DB_BUNDLE, key, sizeof(key), p->packed, p->packed_bytes);
		ret = t->error != 0 ? t->error : bundle_compare(p, t, sum.bundles, &sum);
	}
	sum.whole = last;
	if (ret == 0)
		packed_put(t, p->day, &sum);
	return ret != 0 ? ret : t->error;
}

int packing_step(struct packing *p)
{
	struct txn t;
	size_t next = p->done;
	int ret = bundle_make(p, &next);

	if (ret == 0)
		ret = txn_begin(p->store, true, &t);
	if (ret != 0)
		return ret;
	ret = bundle_write(p, &t, next == p->count);
	if (ret != 0)
		txn_abort(&t);
	else
		ret = txn_commit(&t);
	if (ret != 0)
		return ret;
	p->done = next;
	return next < p->count;
}

int day_pack(struct store *s, int32_t day)
{
	struct packing *p;
	int ret = packing_open(s, day, &p);

	if (ret != 0)
		return ret;
	do
		ret = packing_step(p);
	while (ret > 0);
	packing_close(p);
	return ret;
}

/* ---- do they agree ---------------------------------------------------------------------------------------------------------- */

/* The rows that name a bundle's parts. Number broken. */
static int parts_check(struct txn *t, const struct bundle *b, int32_t day, uint32_t number, FILE *out)
{
	int broken = 0;

	for (uint32_t i = 0; i < b->parts; i++) {
		struct event e = { .seq = b->part[i].seq, .type = EVENT_BATCH, .body = b->part[i].p, .bytes = b->part[i].n };
		uint16_t taps, unanswered;
		struct packed_at at = { 0 };
		const void *val;
		uint8_t key[8];
		size_t n;

		be64_put(key, e.seq);
		if (!txn_get(t, DB_INBOX, key, sizeof(key), &val, &n) || !packed_at_read(val, n, &at) || at.day != day || at.bundle != number || at.place != i ||
		    !event_batch_count(&e, &taps, &unanswered) || taps != at.taps || unanswered != at.unanswered)
			broken += fprintf(out, "packed: inbox event %" PRIu64 " is not what lies packed of it\n", e.seq) > 0;
	}
	return broken;
}

static int bundles_check(struct txn *t, struct unbundler *u, FILE *out, uint64_t *ret_parts)
{
	struct iter it;
	int broken = 0;

	iter_open(t, DB_BUNDLE, NULL, 0, &it);
	while (iter_next(&it)) {
		int32_t day = it.key_bytes == BUNDLE_KEY_BYTES ? (int32_t)(be32_get(it.key) ^ 0x80000000u) : DAY_NONE;
		uint32_t number = day != DAY_NONE ? be32_get(it.key + 4) : 1;
		struct bundle *b = NULL;
		char text[11];
		int ret;

		if (number == 0)
			continue;
		ret = day != DAY_NONE ? bundle_unpack(u, it.val, it.val_bytes, &b) : CLEARING_E_PACKED;
		if (ret != 0) {
			day_format(day != DAY_NONE ? day : 0, text);
			broken += fprintf(out, "packed: bundle %" PRIu32 " of %s: %s\n", number, text, clearing_strerror(ret)) > 0;
			continue;
		}
		broken += parts_check(t, b, day, number, out);
		*ret_parts += b->parts;
		free(b);
	}
	iter_close(&it);
	return broken;
}

/* A thin batch comes back, and has what its event's head says of it. */
static int thin_check(struct txn *t, const struct event *head, FILE *out)
{
	static _Thread_local struct batch batch;
	uint16_t taps, unanswered;
	struct event_batch b;
	struct event e;

	if (inbox_get(t, head->seq, &e) && event_batch_count(&e, &taps, &unanswered) && taps == head->taps && unanswered == head->unanswered &&
	    event_batch_read(&e, &b) && batch_decode(b.batch, b.batch_bytes, &batch) == 0 && batch.count == taps)
		return 0;
	if (t->error == CLEARING_E_STORE)
		t->error = 0;		/* told here; the others are looked at too */
	return fprintf(out, "packed: inbox event %" PRIu64 " is not a batch that was made thin\n", head->seq) > 0;
}

int packed_check(struct txn *t, FILE *out)
{
	uint64_t parts = 0, rows = 0;
	struct unbundler *u;
	struct inbox_iter it;
	struct event e;
	int broken, ret = unbundler_new(&u);

	if (ret != 0)
		return ret;
	broken = bundles_check(t, u, out, &parts);
	unbundler_free(u);
	inbox_open_heads(t, 1, UINT64_MAX, &it);
	while (inbox_next(&it, &e)) {
		rows += e.packed;
		if (e.headed && !e.packed)
			broken += thin_check(t, &e, out);
	}
	inbox_close(&it);
	if (broken == 0 && rows != parts)
		broken += fprintf(out, "packed: %" PRIu64 " events say that they lie packed, and %" PRIu64 " do\n", rows, parts) > 0;
	return broken;
}
