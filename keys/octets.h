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

/* Where a nibble is above 9. Such a one has its top bit and one of the two below it: eight bytes are looked at together. */
static inline uint64_t bcd_faults(uint64_t v) { return v & (v << 1 | v << 2) & 0x8888888888888888u; }

/* Every nibble is 0 to 9. The last bytes are looked at twice where n is no multiple. */
static inline bool bcd_valid(const uint8_t *p, size_t n)
{
	uint64_t bad = 0, v = 0;
	uint32_t half[2];

	for (size_t i = 0; i + sizeof(v) <= n; i += sizeof(v)) {
		memcpy(&v, p + i, sizeof(v));
		bad |= bcd_faults(v);
	}
	if (n % sizeof(v) == 0)
		return bad == 0;
	if (n > sizeof(v)) {
		memcpy(&v, p + n - sizeof(v), sizeof(v));
	} else if (n >= sizeof(half[0])) {
		memcpy(&half[0], p, sizeof(half[0]));
		memcpy(&half[1], p + n - sizeof(half[1]), sizeof(half[1]));
		v = half[0] | (uint64_t)half[1] << 32;
	} else {
		for (size_t i = 0; i < n; i++)
			v = v << 8 | p[i];
	}
	return (bad | bcd_faults(v)) == 0;
}

#endif
