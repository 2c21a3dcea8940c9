/*
 * trust - which device certificates a front takes, now: our own certificate, the CAs, the revocation lists, from files that
 * are read again when they change. Each front has its own and uses it from its thread only. Private to clearing/.
 */
#ifndef CLEARING_TRUST_H
#define CLEARING_TRUST_H

#include <openssl/ssl.h>

#include "clearing/daemon.h"

struct trust;
/* speaks: this one logs loads and alarms, the others would only repeat it. Says on the log why not. The writer runs:
 * it keeps the numbers of lists that are loaded. */
int trust_open(struct daemon *d, bool speaks, struct trust **ret_trust);
void trust_close(struct trust *t);
SSL_CTX *trust_tls(const struct trust *t);	/* for the next connection; valid until trust_refresh */
/* Read what changed; what cannot be read leaves the old in force, with an alarm. *ret_authorities: other CAs than before. */
void trust_refresh(struct trust *t, int64_t now_ms, bool *ret_authorities);
/* NULL: go on. Of a connection that lives: it ended, it is revoked. authorities: whether its CA is still ours as well. */
const char *trust_refuses_live(const struct trust *t, X509 *cert, int64_t now_ms, bool authorities);
/* Of a new connection, whose chain TLS has checked (perhaps with CAs that have changed since): as above, and the age
 * of its CA's list. */
const char *trust_refuses_new(const struct trust *t, SSL *ssl, int64_t now_ms);

#endif
