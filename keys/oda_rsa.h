/* oda_rsa - what oda.c and oda_make.c share: SHA-1 over pieces and one modular power. Private to keys/. */
#ifndef KEYS_ODA_RSA_H
#define KEYS_ODA_RSA_H

#include "keys/keys.h"

#include <openssl/bn.h>

#define SHA1_BYTES 20
#define ODA_HEADER 0x6A
#define ODA_TRAILER 0xBC
#define ODA_PAD 0xBB
#define ODA_HASH_SHA1 0x01
#define ODA_RSA 0x01
enum oda_format { ODA_FORMAT_ISSUER = 0x02, ODA_FORMAT_STATIC = 0x03, ODA_FORMAT_CARD = 0x04, ODA_FORMAT_DYNAMIC = 0x05 };

/* SHA-1 over the pieces in order. */
int oda_hash(const struct oda_bytes *piece, size_t count, uint8_t ret[SHA1_BYTES]);
/* The issuer's key under this scheme key; what the lists say of its serial is not asked. */
enum oda_verdict oda_issuer_key_of(const struct oda_key *ca, const struct oda_card *c, struct oda_key *ret_key);
size_t oda_exponent_put(uint32_t exponent, uint8_t ret[3]);	/* 03 or 010001; the length */

#endif
