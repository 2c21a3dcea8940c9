/*
 * device - who a validator is by its certificate, and which certificates are no longer good. The common name is the
 * device; a URI in the subjectAltName binds it to one terminal number and its PSAM:
 *
 *	urn:qingfen:terminal:428000000017:psam:428000000017
 *
 * Certificates and revocation lists are read by OpenSSL; only that URI is read here. Nothing here opens a socket.
 */
#ifndef CLEARING_DEVICE_H
#define CLEARING_DEVICE_H

#include <openssl/x509.h>

#include "clearing/clearing.h"

struct device_id { char name[DEVICE_BYTES_MAX + 1]; bool bound; uint8_t terminal[6], psam[6]; };

/* NULL: read. Else why not: no usable common name, a broken binding, two bindings. */
const char *device_of_certificate(X509 *cert, struct device_id *ret_id);
/* NULL: the register agrees. need_binding: a certificate without the URI is refused too. */
const char *device_binding_check(const struct refdata *ref, const struct device_id *id, int64_t at_ms, bool need_binding);

/* ---- revocation: the CRLs of all our CAs, one PEM file; each checked against its CA's key ------------- */

enum crl_age { CRL_NONE, CRL_FRESH, CRL_GRACE, CRL_STALE };	/* in the order of getting worse, but for NONE */
struct device_crls;
/* Both are PEM files. -ENOENT, -EINVAL (no list, or one whose signature is not of a CA in ca_path): error says why. */
int device_crls_open(const char *crl_path, const char *ca_path, struct device_crls **ret_crls, char *error, size_t error_bytes);
void device_crls_close(struct device_crls *c);
/*
 * Each list has a number that its CA counts up (RFC 5280, 5.2.3), and belongs to the CA whose key signed it. A house that
 * remembers the highest number of each is not deceived by an older list that is still validly signed: see crl_seen.h.
 */
#define CRL_NUMBER_BYTES 20	/* RFC 5280: at most 20 octets; here right aligned, so that memcmp compares */
struct crl_number { uint8_t authority[DIGEST_BYTES], number[CRL_NUMBER_BYTES]; };	/* SHA-256 of the CA's public key */
size_t device_crls_numbers(const struct device_crls *c, const struct crl_number **ret_numbers);	/* one a list */
bool device_crls_trusts(const struct device_crls *c, const uint8_t authority[DIGEST_BYTES]);	/* ca_path has this CA */
bool device_revoked(const struct device_crls *c, X509 *cert);	/* c NULL: no */
size_t device_crls_revoked(const struct device_crls *c);
int64_t device_crls_next_ms(const struct device_crls *c, X509_NAME *issuer);	/* nextUpdate of the CA's list; INT64_MIN: it has none */
/* How old the list of this issuer is; grace_ms after its nextUpdate it is stale. issuer NULL: the worst of all lists. */
enum crl_age device_crls_age(const struct device_crls *c, X509_NAME *issuer, int64_t now_ms, int64_t grace_ms);

int64_t device_time_ms(const ASN1_TIME *t);	/* INT64_MIN: not a time */

#endif
