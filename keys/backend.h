/* backend - what the drivers of key devices share. Private to keys/. */
#ifndef KEYS_BACKEND_H
#define KEYS_BACKEND_H

#include "keys/keyring.h"

/* Encrypt n whole blocks by ECB under a key of the device, the one above the card's. */
typedef int (*device_encrypt)(void *self, size_t key, const uint8_t *in, uint8_t *out, size_t n);
/* Card keys of the device, then their codes here: the device gives one card's key at a time and never the one above. */
int device_tacs(struct mac_engine *engine, enum key_alg alg, device_encrypt encrypt, void *self, size_t key, const struct tac_question *const *q, size_t n,
		uint8_t (*ret_tac)[MAC_BYTES]) KEYS_MUST_CHECK;
int device_card_check(struct mac_engine *engine, enum key_alg alg, device_encrypt encrypt, void *self, size_t key, const uint8_t pan[10],
		      uint8_t ret_kcv[3]) KEYS_MUST_CHECK;
/* The TAC key a record names, when it is in a device. */
int device_find(const struct keyring *ring, const struct tac_question *q, size_t *ret_key) KEYS_MUST_CHECK;

#endif
