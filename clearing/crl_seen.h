/*
 * crl_seen - the highest number of each CA's revocation list that this house has used. Kept in the store's meta
 * ("crl/" and the CA's digest), so that an older list put back takes no revocation back, also after a restart.
 * Shared by the fronts. Private to clearing/.
 */
#ifndef CLEARING_CRL_SEEN_H
#define CLEARING_CRL_SEEN_H

#include <pthread.h>

#include "clearing/device.h"

#define CRL_SEEN_MAX 64		/* CAs of a house in all its years */
struct crl_seen { pthread_mutex_t lock; struct crl_number row[CRL_SEEN_MAX]; size_t count; };
/* What the store remembers. CLEARING_E_STORE. Free with crl_seen_free (NULL is fine). */
int crl_seen_new(struct store *store, struct crl_seen **ret_seen) CLEARING_MUST_CHECK;
void crl_seen_free(struct crl_seen *s);
/* NULL: none of the lists is older than one used before, and no CA that had a list is without one. Else why not. */
const char *crl_seen_refuses(struct crl_seen *s, const struct device_crls *c);
/* Remember their numbers. true: some number rose, and crl_seen_put should keep it. */
bool crl_seen_raise(struct crl_seen *s, const struct device_crls *c);
void crl_seen_put(struct crl_seen *s, struct txn *t);

#endif
