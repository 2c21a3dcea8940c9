/*
 * octets - numbers and digits as cards, codes and messages hold them: most significant byte first, BCD two digits a
 * byte. For whatever reads or writes bytes; nothing here allocates or fails.
 */
#ifndef KEYS_OCTETS_H
#define KEYS_OCTETS_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void be16_put(uint8_t *p, uint16_t v) { v = htobe16(v); memcpy(p, &v, sizeof(v)); }
static inline void be32_put(uint8_t *p, uint32_t v) { v = htobe32(v); memcpy(p, &v, sizeof(v)); }
static inline void be64_put(uint8_t *p, uint64_t v) { v = htobe64(v); memcpy(p, &v, sizeof(v)); }
static inline uint16_t be16_get(const uint8_t *p) { uint16_t v; memcpy(&v, p, sizeof(v)); return be16toh(v); }
static inline uint32_t be32_get(const uint8_t *p) { uint32_t v; memcpy(&v, p, sizeof(v)); return be32toh(v); }
static inline uint64_t be64_get(const uint8_t *p) { uint64_t v; memcpy(&v, p, sizeof(v)); return be64toh(v); }

/* n bytes, 1 to 4. */
static inline uint32_t be_read(const uint8_t *p, size_t n)
{
	uint32_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static inline bool octets_all(const uint8_t *p, size_t n, uint8_t b)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != b)
			return false;
	return true;
}

/* Every nibble is 0 to 9. One above has its top bit and one of the two below it: eight bytes are looked at together. */
static inline bool bcd_valid(const uint8_t *p, size_t n)
{
	const uint64_t tops = 0x8888888888888888u;
	uint64_t bad = 0;
	size_t i = 0;

	for (; i + sizeof(uint64_t) <= n; i += sizeof(uint64_t)) {
		uint64_t v;

		memcpy(&v, p + i, sizeof(v));
		bad |= v & (v << 1 | v << 2) & tops;
	}
	for (; i < n; i++)
		bad |= p[i] & ((uint64_t)p[i] << 1 | (uint64_t)p[i] << 2) & 0x88;
	return bad == 0;
}

#endif
