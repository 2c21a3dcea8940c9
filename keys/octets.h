/*
 * octets - numbers and digits as cards, codes and messages hold them: most significant byte first, BCD two digits a
 * byte. For the parsers of keys/ and validator/; nothing here allocates or fails.
 */
#ifndef KEYS_OCTETS_H
#define KEYS_OCTETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* Every nibble is 0 to 9. A nibble above 9 carries into the next when 6 is added: no branch a byte. */
static inline bool bcd_valid(const uint8_t *p, size_t n)
{
	unsigned bad = 0;

	for (size_t i = 0; i < n; i++)
		bad |= ((p[i] & 0x0Fu) + 6) >> 4 | ((unsigned)p[i] + 0x60) >> 8;
	return bad == 0;
}

#endif
