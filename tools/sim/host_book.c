/*
 * host_book - what holds at every moment, whatever the scenario: a file serial names the same bytes for ever, serials rise
 * by one, no batch is dropped before its receipt and none comes again after it. Every batch that arrives is entered here.
 */
#include "tools/sim/host.h"

#include <stdlib.h>
#include <string.h>

static struct host_seen *seen_find(const struct host_book *b, uint32_t serial)
{
	for (size_t i = b->count; i-- > 0;)
		if (b->seen[i].serial == serial)
			return &b->seen[i];
	return NULL;
}

static void same_judge(struct host *h, const struct host_seen *s, const uint8_t digest[DIGEST_BYTES])
{
	if (memcmp(s->digest, digest, DIGEST_BYTES) != 0)
		host_fault(h, HOST_SAME, "file serial %u came again with other content", s->serial);
	else
		host_seen_good(h, HOST_SAME);
}

/* The newest batch once more: in order without a receipt, or when the receipt may have been lost with its connection. */
static void again_judge(struct host *h, struct host_seen *s)
{
	s->again++;
	if (s->state != SEEN_MAYBE)
		return;
	if (s->conn == h->conn)
		host_fault(h, HOST_ONCE, "file serial %u came again after its receipt", s->serial);
	else if (s->again > 4)
		host_fault(h, HOST_ONCE, "file serial %u comes again on every connection, though it has its receipt", s->serial);
}

static void order_judge(struct host *h, struct host_seen *last, uint32_t serial)
{
	if (last->state == SEEN_SENT)
		host_fault(h, HOST_ORDER, "file serial %u came while %u had no receipt: its records would be lost", serial, last->serial);
	else if (serial != last->serial + 1)
		host_fault(h, HOST_ORDER, "file serial %u follows %u: it rises by one a batch", serial, last->serial);
	else
		host_seen_good(h, HOST_ORDER);
	if (last->state == SEEN_MAYBE)
		last->state = SEEN_DONE;
}

static void record_once(struct host *h, const uint8_t *p, size_t n)
{
	struct host_book *b = &h->book;
	struct host_record r = { .serial = h->batch.file_serial }, *more;

	if (digest_sha256(p, n, r.digest) != 0)
		return;
	for (size_t i = 0; i < b->records; i++)
		if (memcmp(b->record[i].digest, r.digest, DIGEST_BYTES) == 0) {
			host_fault(h, HOST_ONCE, "a record of file serial %u came again in file serial %u", b->record[i].serial, r.serial);
			return;
		}
	more = realloc(b->record, (b->records + 1) * sizeof(*more));
	if (more == NULL)
		return;
	b->record = more;
	b->record[b->records++] = r;
}

/*
 * The clock, counted from the first welcome on the terminal's own clock (hello.clock_ms holds its offset): a record ahead of
 * the moment it arrives shows the host's time; one between welcome and that moment was made since, by the own clock.
 */
static void clock_judge(struct host *h, int64_t time_ms)
{
	int64_t made = time_ms - (h->welcomed_ms + h->hello.clock_ms), now = host_clock_ms() - h->welcomed_ms;

	if (made > now + 5000)
		host_seen_good(h, HOST_CLOCK);
	else if (made > 5000 && made < HOST_SKEW_MS - 5000)
		host_fault(h, HOST_CLOCK, "a record made after welcome has the terminal's own clock, %d s behind the host's", HOST_SKEW_MS / 1000);
}

static void records_judge(struct host *h)
{
	for (uint32_t i = 0; i < h->batch.count; i++) {
		const char *field = "";
		struct tap t;
		int ret = tap_decode(h->batch.tap[i].p, h->batch.tap[i].n, &t, &field);

		if (ret != 0)
			host_fault(h, HOST_RECORD, "record %u of file serial %u: %s: %s", i, h->batch.file_serial, field, tap_strerror(ret));
		else if (memcmp(t.terminal, h->hello.terminal, sizeof(t.terminal)) != 0)
			host_fault(h, HOST_RECORD, "record %u of file serial %u: terminal differs from the one in hello", i, h->batch.file_serial);
		else
			host_seen_good(h, HOST_RECORD);
		if (ret == 0 && !h->powered)
			clock_judge(h, t.time_ms);
	}
}

static void batch_judge(struct host *h, int decoded)
{
	int ret = decoded != 0 ? decoded : batch_check(&h->batch);

	if (ret != 0)
		host_fault(h, HOST_BATCH, "file serial %u: %s", h->batch.file_serial, tap_strerror(ret));
	else if (strcmp(h->batch.device, h->hello.device) != 0)
		host_fault(h, HOST_BATCH, "file serial %u: device %s is not the one in hello", h->batch.file_serial, h->batch.device);
	else if (h->batch.count == 0)
		host_fault(h, HOST_BATCH, "file serial %u: a batch without records", h->batch.file_serial);
	else if (h->batch.count > HOST_BATCH_TAPS && h->book.count > 0)	/* the first may have been fixed before welcome */
		host_fault(h, HOST_BATCH, "file serial %u: %u records, welcome allows %d", h->batch.file_serial, h->batch.count, HOST_BATCH_TAPS);
	else
		host_seen_good(h, HOST_BATCH);
}

static void seen_add(struct host *h, const uint8_t digest[DIGEST_BYTES])
{
	struct host_book *b = &h->book;
	struct host_seen *more = realloc(b->seen, (b->count + 1) * sizeof(*more));

	if (more == NULL)
		return;
	b->seen = more;
	b->seen[b->count] = (struct host_seen){ .serial = h->batch.file_serial, .conn = h->conn };
	memcpy(b->seen[b->count++].digest, digest, DIGEST_BYTES);
}

void host_book_batch(struct host *h, const uint8_t *bytes, size_t n)
{
	struct host_book *b = &h->book;
	struct host_seen *last = b->count > 0 ? &b->seen[b->count - 1] : NULL, *old;
	uint8_t digest[DIGEST_BYTES];
	int decoded;

	memcpy(h->bytes, bytes, n < sizeof(h->bytes) ? n : sizeof(h->bytes));
	decoded = n > sizeof(h->bytes) ? TAP_E_RANGE : batch_decode(h->bytes, n, &h->batch);
	if (digest_sha256(bytes, n, digest) != 0)
		return;
	old = decoded == 0 ? seen_find(b, h->batch.file_serial) : NULL;
	if (old == NULL)
		batch_judge(h, decoded);
	if (decoded != 0)
		return;
	if (old != NULL) {
		same_judge(h, old, digest);
		if (old == last)
			again_judge(h, old);
		else
			host_fault(h, HOST_ONCE, "file serial %u came again long after its receipt", old->serial);
		return;
	}
	if (last != NULL)
		order_judge(h, last, h->batch.file_serial);
	records_judge(h);
	for (uint32_t i = 0; i < h->batch.count; i++)
		record_once(h, h->batch.tap[i].p, h->batch.tap[i].n);
	if (last != NULL)
		host_seen_good(h, HOST_ONCE);
	seen_add(h, digest);
}

void host_book_receipt(struct host *h)
{
	struct host_seen *s = seen_find(&h->book, h->batch.file_serial);

	if (s == NULL)
		return;
	s->state = SEEN_MAYBE;
	s->conn = h->conn;
}

void host_book_done(struct host_book *b)
{
	free(b->seen);
	free(b->record);
}
