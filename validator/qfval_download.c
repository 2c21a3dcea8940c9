/*
 * qfval_download - a list or the tariff put together from its parts, in a buffer of the caller. The first part of a
 * version fixes the size; parts come in order, and what does not fit the ones before ends the conversation.
 */
#include "validator/qfval_inner.h"

#include <string.h>

struct qfv_download { const char *what; uint8_t *buffer; size_t space, at, total; uint32_t version; bool active; };

size_t qfv_download_size(void) { return sizeof(struct qfv_download); }

int qfv_download_init(void *mem, size_t n, const char *what, void *buffer, size_t buffer_bytes, struct qfv_download **ret)
{
	struct qfv_download *d = mem;

	if (!qfval_memory_good(mem, n, sizeof(*d)))
		return QFV_E_MEMORY;
	if (what == NULL || what[0] == '\0' || strlen(what) > 15 || (buffer == NULL && buffer_bytes > 0))
		return QFV_E_ARGUMENT;
	*d = (struct qfv_download){ .what = what, .buffer = buffer, .space = buffer_bytes };
	*ret = d;
	return 0;
}

int qfv_download_start(struct qfv_download *d, struct qfv_uplink *u, uint32_t version)
{
	int ret = qfv_uplink_ask(u, d->what, version, 0);

	if (ret != 0)
		return ret;
	d->active = true;
	d->version = version;
	d->at = d->total = 0;
	return 0;
}

void qfv_download_stop(struct qfv_download *d) { d->active = false; }
int qfv_download_active(const struct qfv_download *d) { return d->active; }
uint32_t qfv_download_version(const struct qfv_download *d) { return d->version; }

static int give_up(struct qfv_download *d, int code)
{
	d->active = false;
	return code;
}

int qfv_download_part(struct qfv_download *d, struct qfv_uplink *u, const struct qfv_part *m, size_t *ret_bytes)
{
	int ret;

	if (!d->active || strcmp(m->what, d->what) != 0)
		return 0;
	if (m->version != d->version)		/* replaced while we were reading it */
		return qfv_download_start(d, u, m->version);
	if (d->at == 0)
		d->total = m->total;
	if (m->total != d->total || m->offset != d->at || m->n > d->total - d->at || (m->n == 0 && d->total > d->at))
		return give_up(d, QFV_E_FRAME);
	if (d->total > d->space)
		return give_up(d, QFV_E_FULL);
	memcpy(d->buffer + d->at, m->p, m->n);
	d->at += m->n;
	if (d->at == d->total) {
		d->active = false;
		*ret_bytes = d->total;
		return 1;
	}
	ret = qfv_uplink_ask(u, d->what, d->version, (uint32_t)d->at);
	return ret != 0 ? give_up(d, ret) : 0;
}
