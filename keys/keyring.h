/* keyring - what the two ways of verifying share: which key a question asks for. Private to keys/. */
#ifndef KEYS_KEYRING_H
#define KEYS_KEYRING_H

#include "keys/keys.h"

/* Number of the key of this purpose in force; KEYS_E_NOT_FOUND. */
int keyring_find(const struct keyring *ring, enum key_purpose purpose, const uint8_t issuer[4], uint8_t version, uint8_t alg_id, int64_t at_ms,
		 size_t *ret_i) KEYS_MUST_CHECK;
/* The key above the card's: one diversification by the card's factor is left to do. */
int keyring_parent(const struct keyring *ring, size_t i, struct mac_engine *engine, uint8_t ret_key[KEY_BYTES]) KEYS_MUST_CHECK;
/* KEY_CHECK_NONE and the key's number when there is a code to verify, else the answer. */
enum key_check tac_classify(const struct keyring *ring, const struct tac_question *q, size_t *ret_i);

#endif
