/*
 * sm4_block - SM4 (GB/T 32907) of single blocks in plain C, for a key that is used once: a library whose contexts are made
 * for many blocks takes longer to set it than to use it. Private to keys/. It looks things up by secret bytes, as OpenSSL's
 * own does. Nothing makes codes with it: it serves verifying, after mac_engine_new has compared it with OpenSSL.
 */
#ifndef KEYS_SM4_BLOCK_H
#define KEYS_SM4_BLOCK_H

#include "keys/keys.h"

struct sm4_key { uint32_t round[32]; };		/* the caller wipes it */
void sm4_block_set(const uint8_t key[KEY_BYTES], struct sm4_key *ret_key);
void sm4_block(const struct sm4_key *k, const uint8_t in[KEY_BYTES], uint8_t out[KEY_BYTES]);	/* in may be out */

#endif
