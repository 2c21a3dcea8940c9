/*
 * lanes_sm4 - SM4 (GB/T 32907) in vector lanes, one 32-bit word of one record in each.
 *
 * The S-box is a field inversion between two affine maps, and GF(2^8) of SM4 is isomorphic to that of AES: so the
 * inversion is the processor's. With GFNI it is one instruction with the maps folded in; without, the last round
 * of AES does it on 16 bytes, and its shifted rows are put back by a shuffle. The maps were computed from the
 * isomorphism; the self-test and the differential test against OpenSSL prove them.
 */
#include "keys/lanes.h"

#include <string.h>

#include <immintrin.h>
#include <openssl/crypto.h>

#define FK0 0xA3B1BAC6u
#define FK1 0x56AA3350u
#define FK2 0x677D9197u
#define FK3 0xB27022DCu

/* CK of round i: bytes (4i + j) * 7. */
static inline uint32_t ck(unsigned i)
{
	uint32_t word = 0;

	for (unsigned j = 0; j < 4; j++)
		word = word << 8 | ((4 * i + j) * 7 & 0xFF);
	return word;
}

static inline uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

/* ---- 16 lanes: AVX-512 and GFNI ------------------------------------------------------------------------- */

#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,gfni")))
#define V __m512i
#define LANES 16
#define ALL(w) _mm512_set1_epi32((int)(w))
#define XOR(a, b) _mm512_xor_si512(a, b)
#define ROTL(a, n) _mm512_rol_epi32(a, n)

TARGET static inline __m512i sbox_avx512(__m512i x)
{
	const __m512i before = _mm512_set1_epi64(0x4C287DB91A22505D), after = _mm512_set1_epi64((long long)0xF3AB34A974A6B589);

	return _mm512_gf2p8affineinv_epi64_epi8(_mm512_gf2p8affine_epi64_epi8(x, before, 0x3E), after, 0xD3);
}

#include "keys/lanes_sm4_body.h"

/* ---- 8 lanes: AVX2 and AES-NI ------------------------------------------------------------------------------ */

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,aes")))
#define V __m256i
#define LANES 8
#define ALL(w) _mm256_set1_epi32((int)(w))
#define XOR(a, b) _mm256_xor_si256(a, b)
#define ROTL(a, n) _mm256_or_si256(_mm256_slli_epi32(a, n), _mm256_srli_epi32(a, 32 - (n)))

/* A linear map of bytes as two look-ups of half bytes; the constant is in the low table. */
TARGET static inline __m256i map_avx2(__m256i x, __m256i low, __m256i high)
{
	const __m256i half = _mm256_set1_epi8(15);

	return _mm256_xor_si256(_mm256_shuffle_epi8(low, _mm256_and_si256(x, half)),
				_mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(x, 4), half)));
}

static const uint8_t before_low[16] = { 0x3E, 0xB2, 0x0E, 0x82, 0xBB, 0x37, 0x8B, 0x07, 0xA1, 0x2D, 0x91, 0x1D, 0x24, 0xA8, 0x14, 0x98 };
static const uint8_t before_high[16] = { 0x00, 0xDC, 0x2E, 0xF2, 0xC5, 0x19, 0xEB, 0x37, 0x08, 0xD4, 0x26, 0xFA, 0xCD, 0x11, 0xE3, 0x3F };
static const uint8_t after_low[16] = { 0x6C, 0xD4, 0xA6, 0x1E, 0x52, 0xEA, 0x98, 0x20, 0x0B, 0xB3, 0xC1, 0x79, 0x35, 0x8D, 0xFF, 0x47 };
static const uint8_t after_high[16] = { 0x00, 0xE0, 0x50, 0xB0, 0x9D, 0x7D, 0xCD, 0x2D, 0xC0, 0x20, 0x90, 0x70, 0x5D, 0xBD, 0x0D, 0xED };
/* AESENCLAST shifts the rows; this order of bytes beforehand makes that a copy. */
static const uint8_t unshift[16] = { 0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3 };

TARGET static inline __m256i both_avx2(const uint8_t table[16])
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
}

TARGET static inline __m256i sbox_avx2(__m256i x)
{
	const __m128i zero = _mm_setzero_si128();
	__m128i low, high;

	x = _mm256_shuffle_epi8(map_avx2(x, both_avx2(before_low), both_avx2(before_high)), both_avx2(unshift));
	low = _mm_aesenclast_si128(_mm256_castsi256_si128(x), zero);
	high = _mm_aesenclast_si128(_mm256_extracti128_si256(x, 1), zero);
	return map_avx2(_mm256_set_m128i(high, low), both_avx2(after_low), both_avx2(after_high));
}

#include "keys/lanes_sm4_body.h"

void lanes_sm4_tac(enum lanes_kind kind, const uint8_t parent[16], const struct lane *lane, size_t n, uint8_t *ret_good)
{
	if (kind == LANES_AVX512)
		tacs_avx512(parent, lane, n, ret_good);
	else
		tacs_avx2(parent, lane, n, ret_good);
}
