/*
 * renewal - requests for certificates that devices send over their connection, and the certificates that come of them: files
 * of a folder that the CA's keeper fetches and fills (qingfen device renew --in). No key of the CA is here. A request is
 * kept when it is signed with the key of the certificate that the device shows. Private to clearing/.
 */
#ifndef CLEARING_RENEWAL_H
#define CLEARING_RENEWAL_H

#include <openssl/x509.h>

#include "clearing/clearing.h"

/* DEVICE.request, replaced whole. NULL: kept. Else why not. */
const char *renewal_keep(const char *dir, const char *device, X509 *shown, const void *text, size_t n);
/* DEVICE.crt: *ret_p malloc'ed, *ret_version of its bytes, never 0. -ENOENT: none. */
int renewal_certificate(const char *dir, const char *device, char **ret_p, size_t *ret_n, uint32_t *ret_version);

#endif
