/*
 * clear_confirm - distrusted taps that two persons have decided about, in the clear of the day that has the second signature:
 * the pending row stays as its day closed it, this day books it firm or back.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int key_compare(const void *pa, const void *pb)
{
	const struct confirm *a = *(const struct confirm *const *)pa, *b = *(const struct confirm *const *)pb;

	return memcmp(a->key, b->key, TAP_KEY_BYTES);
}

/* Those of this day, by business key. */
static int confirms_list(const struct job *j, const struct confirm ***ret_list, size_t *ret_count)
{
	const struct confirm **list = NULL, *c;
	size_t count = 0, space = 0;

	for (size_t at = 0; (c = refdata_confirm_next(j->ref, &at)) != NULL;) {
		const struct confirm **wide;

		if (c->seq <= j->day.first_seq || c->seq > j->day.cut_seq)
			continue;
		wide = grown(list, &space, count + 1, sizeof(*list));
		if (wide == NULL) {
			free(list);
			return -ENOMEM;
		}
		list = wide;
		list[count++] = c;
	}
	if (count > 1)
		qsort(list, count, sizeof(*list), key_compare);
	*ret_list = list;
	*ret_count = count;
	return 0;
}

static int confirm_book(struct job *j, const struct confirm *c, posting_fn emit, void *arg)
{
	struct posting p[RESOLVE_POSTINGS_MAX];
	uint8_t val[CONFIRMED_BYTES], n;
	struct cleared row;
	int32_t day;

	/* the control socket let no other in: an event that names no waiting tap is damage */
	if (!distrusted_find(&j->txn, c->key, &day, &row) || day != c->day || day >= j->day.day)
		return CLEARING_E_STORE;
	n = post_resolve(&row.priced, (enum scheme)row.scheme, c->decision == CONFIRM_GOOD, p);
	for (uint8_t i = 0; i < n; i++)
		emit(arg, &p[i], (enum scheme)row.scheme, c->key);
	confirmed_put(c, j->day.day, val);
	return j->sink->put(j->sink, DB_CONFIRMED, c->key, TAP_KEY_BYTES, val, sizeof(val));
}

int confirms_write(struct job *j, posting_fn emit, void *arg)
{
	const struct confirm **list;
	size_t count;
	int ret = confirms_list(j, &list, &count);

	if (ret != 0)
		return ret;
	for (size_t i = 0; ret == 0 && i < count; i++)
		ret = confirm_book(j, list[i], emit, arg);
	free(list);
	return ret != 0 ? ret : j->txn.error;
}
