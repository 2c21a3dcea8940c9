/* evidence - the pack of a closed day that is checked without a store. docs/evidence.md numbers the checks. */
#ifndef CLEARING_EVIDENCE_H
#define CLEARING_EVIDENCE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct store;
struct qr_key;
/* A deterministic tar: MANIFEST.json, day.json, taps.ndjson, reports, sm2.sig when key is given. */
int evidence_write(struct store *s, int32_t day, const struct qr_key *key, FILE *out);
/* Numbered checks on out, one line each. 0: all hold; CLEARING_E_DIFFERS: the first that does not was named. point
 * (65 bytes, may be NULL): the signer to trust. */
int evidence_verify(const uint8_t *p, size_t n, const uint8_t *point, FILE *out);
/* RFC 6962 tree head over lines ('\n' not part of a leaf). */
int merkle_root(const char *p, size_t n, uint8_t ret_root[32], uint64_t *ret_leaves);

#endif
