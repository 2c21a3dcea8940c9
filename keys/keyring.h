/* keyring - what the files that keep, seal and use keys share. Private to keys/. */
#ifndef KEYS_KEYRING_H
#define KEYS_KEYRING_H

#include "keys/keys.h"

struct slot {
	struct key_entry entry;
	uint8_t key[KEY_BYTES];		/* the secret; of one in a device, its reference */
};
struct keyring {
	size_t count;
	struct slot slot[KEYRING_ENTRIES_MAX];
};

/* Which key a record names. index -1: any. */
struct key_name { enum key_purpose purpose; uint8_t scheme; const uint8_t *issuer; uint8_t version; int index; uint8_t alg_id; int64_t at_ms; };
/* Number of the active key of this name that is valid then; KEYS_E_NOT_FOUND. */
int keyring_find(const struct keyring *ring, const struct key_name *name, size_t *ret_i) KEYS_MUST_CHECK;
/* The key above the card's: one diversification by the card's factor is left to do. KEYS_E_NOT_FOUND: in a device. */
int keyring_parent(const struct keyring *ring, size_t i, struct mac_engine *engine, uint8_t ret_key[KEY_BYTES]) KEYS_MUST_CHECK;
/* As key_diversify, remembered by the engine: for the levels above the card, where few keys serve all cards. */
int key_diversify_kept(struct mac_engine *engine, enum key_alg alg, const uint8_t parent[KEY_BYTES], const uint8_t factor[KEY_FACTOR_BYTES],
		       uint8_t ret_key[KEY_BYTES]) KEYS_MUST_CHECK;
/* Wipes what it remembers: keys, contexts that are keyed. It is as new. */
void mac_engine_forget(struct mac_engine *engine);
/* As mac_purchase_tac, for a key that is used once, and for verifying only. SM4 goes by sm4_block.c, unless its known answers
 * differed from OpenSSL's when the engine was made; all else as mac_purchase_tac does. */
int mac_tac_once(struct mac_engine *engine, enum key_alg alg, const uint8_t dtk[KEY_BYTES], const struct purchase *p, uint8_t ret_tac[MAC_BYTES]) KEYS_MUST_CHECK;
/* KEY_CHECK_NONE and the key's number when there is a code to verify, else the answer. The number that lies there is looked at first, as
 * that of the record before mostly is it; any will do. */
enum key_check tac_classify(const struct keyring *ring, const struct tac_question *q, size_t *io_i);

/* A factor of a level above the card. */
void key_factor_bytes(const struct key_entry *e, size_t level, uint8_t ret_factor[KEY_FACTOR_BYTES]);
bool key_entry_sane(const struct key_entry *e);
/* As keyring_add, the check value being there already: for what comes out of a sealed file. */
int keyring_put(struct keyring *ring, const struct key_entry *entry, const uint8_t key[KEY_BYTES]) KEYS_MUST_CHECK;

/* One key block: entry in clear and authenticated, secret sealed. */
#define KEY_BLOCK_HEAD_BYTES 114
#define KEY_BLOCK_BYTES (KEY_BLOCK_HEAD_BYTES + 12 + KEY_BYTES + 16)
#define STORAGE_KEY_BYTES 32
int key_block_seal(const uint8_t storage[STORAGE_KEY_BYTES], const struct slot *s, uint8_t ret_block[KEY_BLOCK_BYTES]) KEYS_MUST_CHECK;
int key_block_open(const uint8_t storage[STORAGE_KEY_BYTES], const uint8_t block[KEY_BLOCK_BYTES], struct slot *ret_slot) KEYS_MUST_CHECK;

/* The file's bytes under a storage key already derived: 32 for the blocks, 32 for the whole. */
#define KEY_FILE_HEAD_BYTES (8 + 4 + 16 + 2)
#define KEY_FILE_BYTES_MAX (KEY_FILE_HEAD_BYTES + KEYRING_ENTRIES_MAX * KEY_BLOCK_BYTES + 32)
int key_file_open(const uint8_t storage[2 * STORAGE_KEY_BYTES], const uint8_t *file, size_t n, struct keyring *ring) KEYS_MUST_CHECK;
int key_file_seal(const uint8_t storage[2 * STORAGE_KEY_BYTES], const struct keyring *ring, uint8_t *file, size_t *ret_n) KEYS_MUST_CHECK;

#endif
