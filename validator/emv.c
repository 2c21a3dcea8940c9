/* emv - see emv.h. Everything is copied out of the answers, bounded, and refused rather than cut. */
#include "validator/emv.h"

#include <string.h>

static bool constructed(uint32_t tag)
{
	while (tag > 0xFF)
		tag >>= 8;
	return (tag & 0x20) != 0;
}

struct oda_bytes emv_get(const struct emv *e, uint32_t tag)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->object[i].tag == tag)
			return (struct oda_bytes){ e->bytes + e->object[i].at, e->object[i].n };
	return (struct oda_bytes){ NULL, 0 };
}

bool emv_is_fixed(const struct emv *e, uint32_t tag)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->object[i].tag == tag)
			return e->object[i].fixed;
	return false;
}

static bool has(const struct emv *e, uint32_t tag)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->object[i].tag == tag)
			return true;
	return false;
}

bool emv_put(struct emv *e, uint32_t tag, const uint8_t *p, size_t n, bool fixed)
{
	if (e->count == EMV_OBJECTS_MAX || n > sizeof(e->bytes) - e->used || has(e, tag))
		return false;
	e->object[e->count++] = (struct emv_object){ tag, (uint16_t)e->used, (uint16_t)n, fixed };
	if (n > 0)
		memcpy(e->bytes + e->used, p, n);
	e->used += n;
	return true;
}

static bool take(struct emv *e, const uint8_t *p, size_t n, bool fixed, unsigned depth)
{
	struct tlv_reader r = { p, p + n };
	struct tlv t;
	int ret;

	while ((ret = tlv_next(&r, &t)) == 1) {
		if (constructed(t.tag) ? depth == 0 || !take(e, t.p, t.n, fixed, depth - 1) : !emv_put(e, t.tag, t.p, t.n, fixed))
			return false;
	}
	return ret == 0;
}

bool emv_take(struct emv *e, const uint8_t *p, size_t n, bool fixed) { return take(e, p, n, fixed, TLV_DEPTH_MAX); }

bool emv_fix(struct emv *e, const uint8_t *p, size_t n)
{
	if (n > sizeof(e->fixed) - e->fixed_bytes)
		return false;
	memcpy(e->fixed + e->fixed_bytes, p, n);
	e->fixed_bytes += n;
	return true;
}

/* Numeric objects grow and shrink at the left, the others at the right. */
static bool numeric(uint32_t tag)
{
	static const uint32_t tags[] = { 0x9F02, 0x9F03, 0x9F1A, 0x5F2A, 0x9A, 0x9F21, 0x9C, 0x9F35 };

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (tags[i] == tag)
			return true;
	return false;
}

static void fit(uint32_t tag, struct oda_bytes v, uint8_t *out, size_t n)
{
	size_t k = v.n < n ? v.n : n;

	memset(out, 0, n);
	if (k == 0)
		return;
	if (numeric(tag))
		memcpy(out + n - k, v.p + v.n - k, k);
	else
		memcpy(out, v.p, k);
}

/* One tag and length of a list. False: malformed. */
static bool dol_next(const uint8_t **p, const uint8_t *end, uint32_t *ret_tag, size_t *ret_n)
{
	uint32_t tag = *(*p)++;

	for (unsigned i = 0; (tag & 0x1F) == 0x1F || i > 0; i++) {
		if (*p == end || i == 2)
			return false;
		tag = tag << 8 | **p;
		if ((*(*p)++ & 0x80) == 0)
			break;
	}
	if (*p == end || **p > 0x7F)
		return false;
	*ret_tag = tag;
	*ret_n = *(*p)++;
	return true;
}

bool emv_dol_asks(struct oda_bytes dol, uint32_t tag, size_t n)
{
	const uint8_t *p = dol.p, *end = dol.p + dol.n;
	uint32_t t;
	size_t k;

	while (p < end && dol_next(&p, end, &t, &k))
		if (t == tag && k == n)
			return true;
	return false;
}

int emv_dol(const struct emv *terminal, const struct emv *card, struct oda_bytes dol, uint8_t *out, size_t out_bytes)
{
	const uint8_t *p = dol.p, *end = dol.p + dol.n;
	size_t used = 0, n;
	uint32_t tag;

	while (p < end) {
		struct oda_bytes v;

		if (!dol_next(&p, end, &tag, &n) || n > out_bytes - used)
			return -1;
		v = emv_get(terminal, tag);
		fit(tag, v.n > 0 ? v : emv_get(card, tag), out + used, n);
		used += n;
	}
	return (int)used;
}
