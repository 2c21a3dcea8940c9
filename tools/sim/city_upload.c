/*
 * Records become sealed batches, device by device, and the batches one file. A batch that is sent
 * again as it was is an entry marked so; one sent again under a new file serial is a batch like any
 * other, whose records are all duplicates.
 */
#include "city.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tools.h"

#include "upload.h"

struct upload_job {
	struct city *c;
	FILE *f;
	uint32_t again_left, new_left;
	struct city_lot lot; /* being written */
	uint8_t out[BATCH_BYTES_MAX];
};

static int batch_write(struct upload_job *j, struct city_device *d, struct batch *b, bool resent)
{
	struct upload_entry e = {.resent = resent, .taps = b->count, .batch = j->out};
	int n = batch_encode(b, j->out, sizeof(j->out));

	if (n < 0)
		return n;
	memcpy(e.device, d->name, sizeof(e.device));
	memcpy(e.terminal, d->terminal, sizeof(e.terminal));
	e.bytes = (size_t)n;
	if (!upload_write(j->f, &e))
		return -EIO;
	j->c->plan.batches += !resent;
	j->c->plan.resent_batches += resent;
	j->c->plan.resent_taps += resent ? b->count : 0;
	return 0;
}

/* The batch's plain records once more under a new file serial: duplicates, all of them. */
static int batch_again_new(struct upload_job *j, struct city_device *d, struct batch *b,
			   const struct city_tap *from)
{
	uint32_t kept = 0;
	int ret;

	for (uint32_t i = 0; i < b->count; i++) {
		const char *field;
		struct tap tap;

		if (!from[i].plain || tap_decode(b->tap[i].p, b->tap[i].n, &tap, &field) != 0)
			continue;
		city_plan_fault(&j->c->plan, FAULT_BATCH_NEW_SERIAL, &tap);
		b->tap[kept++] = b->tap[i];
	}
	if (kept == 0)
		return 0;
	j->new_left--;
	b->count = kept;
	b->file_serial = d->file_serial++;
	j->c->plan.sent += kept;
	j->c->plan.verdict[VERDICT_DUPLICATE] += kept;
	ret = batch_seal(b);
	return ret != 0 ? ret : batch_write(j, d, b, false);
}

/* Spread over the devices: every n-th one's first batches until there were enough. */
static bool batch_due(const struct upload_job *j, const struct city_device *d,
		      enum city_fault fault)
{
	uint32_t step = j->c->device_count / fault_wanted(j->c, fault);

	return (uint32_t)(d - j->c->device) % (step > 0 ? step : 1) == 0;
}

static int batch_send(struct upload_job *j, struct city_device *d, const struct city_taps *list,
		      uint32_t from)
{
	static struct batch b; /* large; one job at a time */
	int ret;

	memset(&b, 0, sizeof(b));
	memcpy(b.device, d->name, sizeof(b.device));
	b.file_serial = d->file_serial++;
	for (uint32_t i = from; i < list->count && b.count < j->c->batch_taps; i++, b.count++) {
		b.tap[b.count].p = j->lot.arena + list->tap[i].at;
		b.tap[b.count].n = list->tap[i].bytes;
	}
	ret = batch_seal(&b);
	if (ret == 0)
		ret = batch_write(j, d, &b, false);
	if (ret == 0 && j->again_left > 0 && batch_due(j, d, FAULT_BATCH_AGAIN)) {
		j->again_left--;
		j->c->plan.fault[FAULT_BATCH_AGAIN]++;
		ret = batch_write(j, d, &b, true);
	}
	if (ret == 0 && j->new_left > 0 && batch_due(j, d, FAULT_BATCH_NEW_SERIAL))
		ret = batch_again_new(j, d, &b, list->tap + from);
	return ret;
}

static int device_send(struct upload_job *j, struct city_device *d, const struct city_taps *now,
		       const struct city_taps *later)
{
	int ret = 0;

	for (uint32_t at = 0; at < now->count && ret == 0; at += j->c->batch_taps)
		ret = batch_send(j, d, now, at);
	for (uint32_t at = 0; at < later->count && ret == 0; at += j->c->batch_taps)
		ret = batch_send(j, d, later, at);
	return ret;
}

static int lot_send(struct upload_job *j, struct city_writers *w)
{
	struct city_lot *l = &j->lot;
	int ret = city_writers_next(w, l);

	if (ret != 0)
		return ret;
	for (uint32_t i = 0; i < l->count && ret == 0; i++)
		ret = device_send(j, &j->c->device[l->first + i], &l->now[i], &l->later[i]);
	city_lot_done(l);
	return ret;
}

static int lots_send(struct upload_job *j)
{
	struct city_writers *w = NULL;
	int ret = city_writers_start(j->c, &w);

	for (uint32_t i = 0; i < city_lots(j->c) && ret == 0; i++)
		ret = lot_send(j, w);
	city_writers_stop(w);
	return ret;
}

/* The plan's lines of records that come again stand before those of batches that do, which are known first. */
static int planted_write(struct upload_job *j)
{
	struct city *c = j->c;
	FILE *planted = c->plan.planted;
	char *later = NULL;
	size_t later_bytes;
	int ret;

	c->plan.planted = open_memstream(&later, &later_bytes);
	ret = c->plan.planted == NULL ? -ENOMEM : lots_send(j);
	if (c->plan.planted != NULL && fclose(c->plan.planted) != 0 && ret == 0)
		ret = -ENOMEM;
	c->plan.planted = planted;
	for (uint32_t i = 0; i < c->again_count && ret == 0; i++)
		city_plan_line(&c->plan, FAULT_DUPLICATE, c->again[i].key);
	if (ret == 0)
		fwrite(later, 1, later_bytes, planted);
	free(later);
	return ret;
}

int city_upload_write(struct city *c)
{
	static struct upload_job j;
	int ret = 0;

	j = (struct upload_job){.c = c,
				.f = city_create(c, "upload.qfu"),
				.again_left = fault_wanted(c, FAULT_BATCH_AGAIN),
				.new_left = fault_wanted(c, FAULT_BATCH_NEW_SERIAL)};
	if (j.f == NULL)
		return -EIO;
	if (!upload_write_head(j.f))
		ret = -EIO;
	if (ret == 0)
		ret = planted_write(&j);
	if (!city_close(c, "upload.qfu", j.f) && ret == 0)
		ret = -EIO;
	if (ret != 0)
		complain("sim city: upload.qfu: %s", clearing_strerror(ret));
	return ret;
}
