#include "clearing/crl_seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "crl/";
#define PREFIX_BYTES (sizeof(prefix) - 1)

static struct crl_number *row_of(struct crl_seen *s, const uint8_t authority[DIGEST_BYTES])
{
	for (size_t i = 0; i < s->count; i++)
		if (memcmp(s->row[i].authority, authority, DIGEST_BYTES) == 0)
			return &s->row[i];
	return NULL;
}

static int rows_load(struct txn *t, struct crl_seen *s)
{
	struct iter it;
	int ret = 0;

	iter_open(t, DB_META, prefix, PREFIX_BYTES, &it);
	while (ret == 0 && iter_next(&it)) {
		if (it.key_bytes != PREFIX_BYTES + DIGEST_BYTES || it.val_bytes != CRL_NUMBER_BYTES || s->count == CRL_SEEN_MAX) {
			ret = CLEARING_E_STORE;
			break;
		}
		memcpy(s->row[s->count].authority, it.key + PREFIX_BYTES, DIGEST_BYTES);
		memcpy(s->row[s->count++].number, it.val, CRL_NUMBER_BYTES);
	}
	iter_close(&it);
	return ret != 0 ? ret : t->error;
}

int crl_seen_new(struct store *store, struct crl_seen **ret_seen)
{
	struct crl_seen *s = calloc(1, sizeof(*s));
	struct txn t;
	int ret = s == NULL ? -ENOMEM : txn_begin(store, false, &t);

	if (ret == 0) {
		pthread_mutex_init(&s->lock, NULL);
		ret = rows_load(&t, s);
		txn_abort(&t);
	}
	if (ret != 0) {
		free(s);
		return ret;
	}
	*ret_seen = s;
	return 0;
}

void crl_seen_free(struct crl_seen *s) { free(s); }

static bool has_list(const struct crl_number *list, size_t n, const uint8_t authority[DIGEST_BYTES])
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(list[i].authority, authority, DIGEST_BYTES) == 0)
			return true;
	return false;
}

const char *crl_seen_refuses(struct crl_seen *s, const struct device_crls *c)
{
	const struct crl_number *list, *row;
	size_t n = device_crls_numbers(c, &list);
	const char *why = NULL;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++) {
		row = row_of(s, list[i].authority);
		if (row != NULL && memcmp(list[i].number, row->number, CRL_NUMBER_BYTES) < 0)
			why = "a list has a lower number than one used before: an older list was put back";
	}
	for (size_t i = 0; why == NULL && i < s->count; i++)
		if (device_crls_trusts(c, s->row[i].authority) && !has_list(list, n, s->row[i].authority))
			why = "the list of a CA that had one before is missing";
	pthread_mutex_unlock(&s->lock);
	return why;
}

bool crl_seen_raise(struct crl_seen *s, const struct device_crls *c)
{
	const struct crl_number *list;
	size_t n = device_crls_numbers(c, &list);
	bool rose = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++) {
		struct crl_number *row = row_of(s, list[i].authority);

		if (row == NULL && s->count < CRL_SEEN_MAX) {
			s->row[s->count++] = list[i];
			rose = true;
		} else if (row != NULL && memcmp(list[i].number, row->number, CRL_NUMBER_BYTES) > 0) {
			*row = list[i];
			rose = true;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return rose;
}

void crl_seen_put(struct crl_seen *s, struct txn *t)
{
	uint8_t key[PREFIX_BYTES + DIGEST_BYTES];

	memcpy(key, prefix, PREFIX_BYTES);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->count; i++) {
		memcpy(key + PREFIX_BYTES, s->row[i].authority, DIGEST_BYTES);
		txn_put(t, DB_META, key, sizeof(key), s->row[i].number, CRL_NUMBER_BYTES);
	}
	pthread_mutex_unlock(&s->lock);
}
