/* sm2 - what qr.c needs of sm2.c: public keys as OpenSSL objects. Private to keys/. */
#ifndef KEYS_SM2_H
#define KEYS_SM2_H

#include "keys/keys.h"

#include <openssl/evp.h>

/* Compressed (33) or uncompressed (65) point; NULL: not on the curve. The caller frees it. */
EVP_PKEY *sm2_public(const uint8_t *point, size_t n);
bool sm2_verify_key(EVP_PKEY *pkey, const void *p, size_t n, const uint8_t sig[64]);

#endif
