/*
 * conformance - the certificate of a terminal that was tested: one line of JSON, the signed part in the middle as it
 * stands: {"certificate":{...},"signer":"<130 hex>","signature":"<128 hex>"}. docs/conformance.md.
 */
#ifndef TOOLS_SIM_CONFORMANCE_H
#define TOOLS_SIM_CONFORMANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct qr_key;
/* The certificate (a JSON object) into out, signed when key is not NULL. 0, or -EIO. */
int conformance_sign(FILE *out, const char *object, const struct qr_key *key);
/* Is this file one? */
bool conformance_is(const void *p, size_t n);
/* Numbered checks on out. point (65 bytes, may be NULL): the signer to trust. 0: they hold and the terminal passed;
 * CLEARING_E_DIFFERS: the first that does not was named. */
int conformance_verify(const void *p, size_t n, const uint8_t *point, FILE *out);

#endif
