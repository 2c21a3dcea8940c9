#include "clearing/answers.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRETCH_MAX 256u	/* records of one verdict beside each other that two bytes tell: the verdict, how many less one */

int answers_open(struct table *t) { return table_open(t, offsetof(struct answer, used), sizeof(struct answer)); }

void answers_drop(struct table *t)
{
	struct answer *a;

	for (size_t at = 0; t->place != NULL && (a = table_next(t, &at)) != NULL;)
		free(a->told);
}

struct answer answer_key(const char *device, uint32_t file_serial)
{
	struct answer key = { .device = "" };

	snprintf(key.device, sizeof(key.device), "%.15s", device);
	be32_put(key.file_serial, file_serial);
	return key;
}

void receipt_count(struct receipt *r, enum verdict v)
{
	if (v == VERDICT_ACCEPTED || v == VERDICT_EVENT)
		r->accepted++;
	else if (v == VERDICT_PENDING || v == VERDICT_PENDING_TAC || v == VERDICT_GREY)
		r->pending++;
	else if (v == VERDICT_DUPLICATE || v == VERDICT_GREY_SUPERSEDED)
		r->duplicate++;
	else
		r->refused++;
}

static uint32_t stretch(const struct receipt *r, uint32_t from)
{
	uint32_t n = 1;

	while (n < STRETCH_MAX && from + n < r->count && r->verdict[from + n] == r->verdict[from])
		n++;
	return n;
}

/* *ret: free it; NULL: all were accepted. */
static int stretches(const struct receipt *r, uint8_t **ret)
{
	uint8_t bytes[2 * BATCH_TAPS_MAX];
	size_t n = 0, others = 0;

	assert(r->count <= BATCH_TAPS_MAX);
	for (uint32_t i = 0, records; i < r->count; i += records) {
		records = stretch(r, i);
		others += r->verdict[i] != VERDICT_ACCEPTED;
		bytes[n++] = r->verdict[i];
		bytes[n++] = (uint8_t)(records - 1);
	}
	*ret = NULL;
	if (others == 0)
		return 0;
	*ret = malloc(n);
	if (*ret == NULL)
		return -ENOMEM;
	memcpy(*ret, bytes, n);
	return 0;
}

int answer_put(struct table *t, const struct answer *key, const struct receipt *r)
{
	struct answer *a;
	uint8_t *told;
	int ret = table_room(t, 1);
	bool new;

	if (ret == 0)
		ret = stretches(r, &told);
	if (ret != 0)
		return ret;
	a = table_at(t, key, &new);
	free(a->told);
	a->told = told;
	a->count = (uint16_t)r->count;
	a->seq = r->inbox_seq;
	memcpy(a->digest, key->digest, DIGEST_BYTES);
	return 0;
}

void answer_receipt(const struct answer *a, struct receipt *ret_receipt)
{
	struct receipt r = { .file_serial = be32_get(a->file_serial), .inbox_seq = a->seq };

	for (const uint8_t *p = a->told; r.count < a->count; p = p != NULL ? p + 2 : NULL)
		for (uint32_t left = p != NULL ? p[1] + 1u : a->count; left > 0; left--) {
			r.verdict[r.count] = p != NULL ? p[0] : VERDICT_ACCEPTED;
			receipt_count(&r, (enum verdict)r.verdict[r.count++]);
		}
	*ret_receipt = r;
}
