/*
 * lanes - TACs of many records at once, each in a lane of a wide register: SM4 word by word, DES bit by bit.
 * Private to keys/. Only for verifying: a lane's answer says whether the code is right, never what it would be.
 *
 * Nothing here branches or indexes memory by a secret. Chosen at start by what the processor has; where it has
 * neither, and for a few records, tac_batch.c goes one by one.
 */
#ifndef KEYS_LANES_H
#define KEYS_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lanes_kind { LANES_NONE = 0, LANES_AVX2 = 1, LANES_AVX512 = 2 };

/* One record: the card's factor, the 22 bytes of the TAC padded with 80 00, the code it carries; words as numbers. */
struct lane { uint32_t factor[2], text[6], tac; };	/* the code stands right behind the text */

#define LANES_DES_MIN 24	/* below this one by one is faster than filling the lanes */
#define LANES_SM4_MIN 3

/* For each of n records under one issuer level key: 1 where the TAC is the right one, else 0. kind is not NONE. */
void lanes_sm4_tac(enum lanes_kind kind, const uint8_t parent[16], const struct lane *lane, size_t n, uint8_t *ret_good);
/* The same for 3DES: card key by two-key EDE, both halves folded, single DES. */
void lanes_des_tac(enum lanes_kind kind, const uint8_t parent[16], const struct lane *lane, size_t n, uint8_t *ret_good);

#endif
