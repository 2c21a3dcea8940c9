/*
 * The fleet: every device's batches and what has been answered. A batch is through when its receipt
 * is here; a receipt that comes again must equal the first, byte for byte.
 */
#include "validators.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tools.h"

/* The entry's file serial, and the receipt slot it shares with an earlier copy of itself. */
static int batch_note(struct fleet *f, struct fleet_device *d, const struct upload_entry *e)
{
	static struct batch header; /* large; the reader is one thread */
	struct fleet_batch *b = &f->batch[f->batch_count];
	int ret = batch_decode(e->batch, e->bytes, &header);

	if (ret != 0)
		return ret;
	*b = (struct fleet_batch){.p = e->batch,
				  .n = e->bytes,
				  .file_serial = header.file_serial,
				  .receipt = f->receipt_count};
	for (uint32_t i = d->first; i < f->batch_count; i++)
		if (f->batch[i].file_serial == b->file_serial)
			b->receipt = f->batch[i].receipt;
	if (b->receipt == f->receipt_count) {
		f->receipt[f->receipt_count++] = (struct fleet_receipt){.taps = e->taps};
		f->sent += e->taps;
	}
	f->batch_count++;
	d->count++;
	return 0;
}

static struct fleet_device *device_note(struct fleet *f, const struct upload_entry *e,
					uint32_t devices_max)
{
	struct fleet_device *d = f->device_count > 0 ? &f->device[f->device_count - 1] : NULL;

	if (d != NULL && strcmp(d->name, e->device) == 0)
		return d;
	if (devices_max > 0 && f->device_count == devices_max)
		return NULL;
	d = &f->device[f->device_count++];
	*d = (struct fleet_device){.first = f->batch_count};
	memcpy(d->name, e->device, sizeof(d->name));
	memcpy(d->terminal, e->terminal, sizeof(d->terminal));
	return d;
}

static int fleet_read(struct fleet *f, uint32_t devices_max)
{
	struct upload_entry e;
	size_t at = 0, entries = 0;
	int ret;

	while ((ret = upload_next(f->upload, &at, &e)) == 1)
		entries++;
	if (ret < 0)
		return ret;
	f->batch = city_grow(NULL, sizeof(*f->batch), entries + 1);
	f->receipt = city_grow(NULL, sizeof(*f->receipt), entries + 1);
	f->device = city_grow(NULL, sizeof(*f->device), entries + 1);
	for (at = 0; upload_next(f->upload, &at, &e) == 1;) {
		struct fleet_device *d = device_note(f, &e, devices_max);

		if (d == NULL)
			break;
		ret = batch_note(f, d, &e);
		if (ret != 0)
			return ret;
	}
	f->order = city_grow(NULL, sizeof(*f->order), f->device_count + 1);
	for (uint32_t i = 0; i < f->device_count; i++)
		f->order[i] = i;
	return 0;
}

int fleet_open(const char *dir, uint32_t devices_max, struct fleet *ret_fleet)
{
	struct fleet f = {.order_at = 0};
	char path[512];
	int ret;

	snprintf(path, sizeof(path), "%s/upload.qfu", dir);
	ret = upload_open(path, &f.upload);
	if (ret == 0)
		ret = fleet_read(&f, devices_max);
	if (ret != 0) {
		complain("sim validators: %s: %s", path, clearing_strerror(ret));
		fleet_close(&f);
		return ret;
	}
	*ret_fleet = f;
	return 0;
}

void fleet_close(struct fleet *f)
{
	for (uint32_t i = 0; i < f->receipt_count; i++)
		free(f->receipt[i].verdict);
	free(f->order);
	free(f->device);
	free(f->receipt);
	free(f->batch);
	upload_close(f->upload);
}

void fleet_shuffle(struct fleet *f, uint64_t seed)
{
	struct city_rng rng = {.s = seed};

	for (uint32_t i = f->device_count; i > 1; i--) {
		uint32_t k = city_below(&rng, i), swap = f->order[i - 1];

		f->order[i - 1] = f->order[k];
		f->order[k] = swap;
	}
	for (uint32_t d = 0; d < f->device_count; d++)
		for (uint32_t i = f->device[d].count; i > 1; i--) {
			struct fleet_batch *list = f->batch + f->device[d].first,
					   swap = list[i - 1];
			uint32_t k = city_below(&rng, i);

			list[i - 1] = list[k];
			list[k] = swap;
		}
}

struct fleet_device *fleet_take(struct fleet *f)
{
	return f->order_at < f->device_count ? &f->device[f->order[f->order_at++]] : NULL;
}

static void device_next(struct fleet *f, struct fleet_device *d)
{
	f->batches_through++;
	if (++d->at < d->count || d->over)
		return;
	d->over = true;
	f->over++;
}

void fleet_receipted(struct fleet *f, struct fleet_device *d, const struct receipt *m,
		     uint32_t wait_us)
{
	struct fleet_receipt *r = &f->receipt[f->batch[d->first + d->at].receipt];

	if (r->got || m->repeated)
		f->repeated++;
	if (r->got) {
		f->mismatched +=
			m->count != r->taps || memcmp(r->verdict, m->verdict, r->taps) != 0;
		device_next(f, d);
		return;
	}
	f->mismatched += m->count != r->taps;
	if (m->count == r->taps) {
		r->got = true;
		r->verdict = city_grow(NULL, 1, r->taps + 1);
		memcpy(r->verdict, m->verdict, r->taps);
		f->receipted += r->taps;
		for (uint32_t i = 0; i < r->taps; i++)
			f->verdict[r->verdict[i] < VERDICT_COUNT ? r->verdict[i]
								 : VERDICT_QUARANTINED]++;
		histogram_add(&f->wait, wait_us);
	}
	device_next(f, d);
}

void fleet_refused(struct fleet *f, struct fleet_device *d)
{
	f->refused_batches++;
	device_next(f, d);
}
