/* A thin batch: whatever its bytes say, nothing beyond them is read; and records cut out of any bytes come back as they were,
 * one by one and in turn. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/core/thin.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void read_all(const uint8_t *p, size_t n, const uint8_t *like, size_t like_bytes)
{
	static struct thin_rows rows;
	static struct thin t;
	uint8_t record[THIN_RECORD_ROOM], *body;

	if (!thin_open(p, n, &t)) {
		assert(like == NULL);
		return;
	}
	body = malloc(t.body_bytes + THIN_SLACK);
	assert(body != NULL);
	thin_body(&t, body);
	assert(like == NULL || (t.body_bytes == like_bytes && memcmp(body, like, like_bytes) == 0));
	thin_rows_start(&t, &rows);
	for (uint32_t i = 0; i < t.count; i++) {
		assert(thin_record(p, t.record[i].at, record) == t.record[i].bytes && memcmp(record, body + t.record[i].body_at, t.record[i].bytes) == 0);
		assert(memcmp(thin_rows_read(&rows, t.record[i].at), record, t.record[i].bytes) == 0);
	}
	free(body);
}

/* Two bytes say how long the first record is and how many there are; each begins where the one before ended, or where that began, as a
 * byte of it says. */
static size_t cut(const uint8_t *p, size_t n, struct batch *b)
{
	size_t length = 16 + p[0], at = 2;

	memset(b, 0, sizeof(*b));
	strcpy(b->device, "V-1");
	for (uint32_t i = 0; i < 2u + p[1]; i++) {
		size_t more = length - (at + 1 < n && p[at] < 16 ? p[at] : 0);

		if (at + more > n)
			break;
		b->tap[b->count].p = p + at;
		b->tap[b->count++].n = (uint32_t)more;
		at += at + 2 < n && p[at + 1] < 64 ? p[at + 1] : more;
	}
	return b->count;
}

static void make(const uint8_t *p, size_t n)
{
	static struct batch b, back;
	static uint8_t body[BATCH_BYTES_MAX + 4096], out[BATCH_BYTES_MAX + 4096 + THIN_SLACK];
	uint8_t *frame, *exact;
	size_t marks, made;
	int bytes;

	if (n < 2 || cut(p, n, &b) == 0)
		return;
	marks = 2 * b.count;
	memset(body, 0x17, 22);
	for (size_t i = 0; i < marks; i++)
		body[22 + i] = p[i % n] < 8;
	bytes = batch_encode(&b, body + 22 + marks, BATCH_BYTES_MAX);
	if (bytes <= 0)
		return;
	frame = malloc((size_t)bytes);	/* exactly it */
	assert(frame != NULL);
	memcpy(frame, body + 22 + marks, (size_t)bytes);
	assert(batch_decode(frame, (size_t)bytes, &back) == 0);
	made = thin_make(&(const struct thin_of){ body, 22, body + 22, frame, (size_t)bytes, &back }, out);
	free(frame);
	if (made == 0)
		return;
	exact = malloc(made);
	assert(exact != NULL && made < 22 + marks + (size_t)bytes);
	memcpy(exact, out, made);
	read_all(exact, made, body, 22 + marks + (size_t)bytes);
	free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n > 0 && p[0] == 1)
		read_all(p, n, NULL, 0);
	else
		make(p, n);
	return 0;
}
