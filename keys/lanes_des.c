/*
 * lanes_des - DES (FIPS 46-3) bitsliced: each register holds one bit of many records, so permutations cost nothing
 * and the boxes are plain logic. A box's output bit is chosen by its first three inputs from eight functions of
 * its last three; with AVX-512 such a function is one instruction, as is a choice.
 *
 * TAC of a card: key by two-key triple DES over factor and its complement, both halves folded into one DES key,
 * CBC over three blocks, leftmost four bytes (docs/keys.md).
 */
#include "keys/lanes.h"
#include "keys/lanes_des_tables.h"

#include <string.h>

#include <immintrin.h>
#include <openssl/crypto.h>

#define INLINE static inline __attribute__((always_inline))

/* Transpose: bit i of in[k], from the left, becomes bit k, from the right, of in[i]. */
static void transpose(uint64_t row[64])
{
	uint64_t mask = 0xFFFFFFFF;

	for (unsigned j = 32; j != 0; j >>= 1, mask ^= mask << j)
		for (unsigned k = 0; k < 64; k = ((k | j) + 1) & ~j) {
			uint64_t t = (row[k] ^ row[k | j] >> j) & mask;

			row[k] ^= t;
			row[k | j] ^= t << j;
		}
	for (unsigned k = 0; k < 64; k++) {	/* the first record is the rightmost bit */
		uint64_t t = row[k];

		t = (t >> 1 & 0x5555555555555555) | (t & 0x5555555555555555) << 1;
		t = (t >> 2 & 0x3333333333333333) | (t & 0x3333333333333333) << 2;
		t = (t >> 4 & 0x0F0F0F0F0F0F0F0F) | (t & 0x0F0F0F0F0F0F0F0F) << 4;
		row[k] = __builtin_bswap64(t);
	}
}

static inline uint64_t pair(const uint32_t word[2]) { return (uint64_t)word[0] << 32 | word[1]; }

/* ---- 512 lanes: AVX-512 -------------------------------------------------------------------------------- */

#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f")))
#define V __m512i
#define GROUPS 8
#define XOR(a, b) _mm512_xor_si512(a, b)
#define OR(a, b) _mm512_or_si512(a, b)
#define ALL(w) _mm512_set1_epi64((long long)(w))
#define CHOOSE(s, one, zero) _mm512_ternarylogic_epi64(s, one, zero, 0xCA)
#define THREE(a, b, c, f) _mm512_ternarylogic_epi64(a, b, c, f)

#include "keys/lanes_des_body.h"

/* ---- 256 lanes: AVX2 ------------------------------------------------------------------------------------- */

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2")))
#define V __m256i
#define GROUPS 4
#define XOR(a, b) _mm256_xor_si256(a, b)
#define OR(a, b) _mm256_or_si256(a, b)
#define ALL(w) _mm256_set1_epi64x((long long)(w))
#define CHOOSE(s, one, zero) _mm256_xor_si256(zero, _mm256_and_si256(s, _mm256_xor_si256(one, zero)))
#define THREE(a, b, c, f) three_avx2(a, b, c, f)

/* A function of two bits as logic; f is known when this is compiled. */
TARGET INLINE __m256i two_avx2(__m256i b, __m256i c, unsigned f)
{
	const __m256i ones = _mm256_set1_epi64x(-1);

	switch (f & 15) {
	case 0x0: return _mm256_setzero_si256();
	case 0x1: return _mm256_xor_si256(_mm256_or_si256(b, c), ones);
	case 0x2: return _mm256_andnot_si256(b, c);
	case 0x3: return _mm256_xor_si256(b, ones);
	case 0x4: return _mm256_andnot_si256(c, b);
	case 0x5: return _mm256_xor_si256(c, ones);
	case 0x6: return _mm256_xor_si256(b, c);
	case 0x7: return _mm256_xor_si256(_mm256_and_si256(b, c), ones);
	case 0x8: return _mm256_and_si256(b, c);
	case 0x9: return _mm256_xor_si256(_mm256_xor_si256(b, c), ones);
	case 0xA: return c;
	case 0xB: return _mm256_or_si256(_mm256_xor_si256(b, ones), c);
	case 0xC: return b;
	case 0xD: return _mm256_or_si256(b, _mm256_xor_si256(c, ones));
	case 0xE: return _mm256_or_si256(b, c);
	default: return ones;
	}
}

/* f = f0 xor a (f0 xor f1): f0 where a is 0, f1 where it is 1. */
TARGET INLINE __m256i three_avx2(__m256i a, __m256i b, __m256i c, unsigned f)
{
	__m256i zero = two_avx2(b, c, f);

	if (((f >> 4 ^ f) & 15) == 0)
		return zero;
	return _mm256_xor_si256(zero, _mm256_and_si256(a, two_avx2(b, c, f >> 4 ^ f)));
}

#include "keys/lanes_des_body.h"

void lanes_des_tac(enum lanes_kind kind, const uint8_t parent[16], const struct lane *lane, size_t n, uint8_t *ret_good)
{
	if (kind == LANES_AVX512)
		tacs_avx512(parent, lane, n, ret_good);
	else
		tacs_avx2(parent, lane, n, ret_good);
}
