/*
 * tlv - BER-TLV as cards write it (ISO/IEC 7816-4, section 5.2.2): tags of one to three bytes, lengths of one to
 * three. Nothing is copied and no length is believed before it is compared with the bytes that are there.
 */
#include "validator/validator.h"

#include <string.h>

static bool tag_read(const uint8_t **p, const uint8_t *end, uint32_t *ret)
{
	uint32_t tag;

	if (*p == end)
		return false;
	tag = *(*p)++;
	if ((tag & 0x1F) != 0x1F) {
		*ret = tag;
		return true;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (*p == end)
			return false;
		tag = tag << 8 | **p;
		if ((*(*p)++ & 0x80) == 0) {
			*ret = tag;
			return true;
		}
	}
	return false;
}

static bool length_read(const uint8_t **p, const uint8_t *end, size_t *ret)
{
	size_t n, bytes;

	if (*p == end)
		return false;
	n = *(*p)++;
	bytes = n & 0x7F;
	if (n > 0x7F) {
		if (bytes == 0 || bytes > 2 || (size_t)(end - *p) < bytes)
			return false;
		for (n = 0; bytes > 0; bytes--)
			n = n << 8 | *(*p)++;
	}
	*ret = n;
	return n <= (size_t)(end - *p);
}

int tlv_next(struct tlv_reader *r, struct tlv *ret)
{
	const uint8_t *p = r->p;
	struct tlv t;

	while (p < r->end && (*p == 0x00 || *p == 0xFF))	/* padding between objects */
		p++;
	if (p == r->end) {
		r->p = p;
		return 0;
	}
	if (!tag_read(&p, r->end, &t.tag) || !length_read(&p, r->end, &t.n))
		return TAP_E_TRUNCATED;
	t.p = p;
	r->p = p + t.n;
	*ret = t;
	return 1;
}

/* Constructed: bit 6 of the first tag byte. */
static bool constructed(uint32_t tag)
{
	while (tag > 0xFF)
		tag >>= 8;
	return (tag & 0x20) != 0;
}

static bool find(const uint8_t *p, size_t n, uint32_t tag, unsigned depth, struct tlv *ret)
{
	struct tlv_reader r = { p, p + n };
	struct tlv t;

	while (tlv_next(&r, &t) == 1) {
		if (t.tag == tag) {
			*ret = t;
			return true;
		}
		if (constructed(t.tag) && depth > 1 && find(t.p, t.n, tag, depth - 1, ret))
			return true;
	}
	return false;
}

static bool sound(const uint8_t *p, size_t n, unsigned depth)
{
	struct tlv_reader r = { p, p + n };
	struct tlv t;
	int ret;

	while ((ret = tlv_next(&r, &t)) == 1)
		if (constructed(t.tag) && (depth == 1 || !sound(t.p, t.n, depth - 1)))
			return false;
	return ret == 0;
}

bool tlv_sound(const uint8_t *p, size_t n) { return sound(p, n, TLV_DEPTH_MAX); }

bool tlv_find(const uint8_t *p, size_t n, uint32_t tag, struct tlv *ret) { return find(p, n, tag, TLV_DEPTH_MAX, ret); }
