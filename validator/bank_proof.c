/*
 * bank_proof - what a bank card's record carries beside its fields: the objects from which the issuer checks the
 * cryptogram when it authorises, and the names of the keys the terminal believed. One flat BER-TLV list.
 *
 * The centre takes a record only with its proof, and only when both speak of one tap.
 */
#include "validator/validator.h"

#include "keys/octets.h"

#include <string.h>

enum { TAG_AID = 0x9F06, TAG_INDEX = 0x8F, TAG_ISSUER_SERIAL = 0xDF01, TAG_CARD_SERIAL = 0xDF02, TAG_AIP = 0x82, TAG_ATC = 0x9F36, TAG_RANDOM = 0x9F37,
	TAG_CRYPTOGRAM = 0x9F26, TAG_CID = 0x9F27, TAG_ISSUER_DATA = 0x9F10, TAG_DATE = 0x9A, TAG_AMOUNT = 0x9F02, TAG_CURRENCY = 0x5F2A, TAG_COUNTRY = 0x9F1A,
	TAG_PSN = 0x5F34, TAG_RESULTS = 0x95, TAG_KIND = 0x9C };

struct out { uint8_t *p, *end; bool full; };

static void put(struct out *o, uint32_t tag, const void *p, size_t n)
{
	size_t head = tag > 0xFF ? 3 : 2;

	if (o->full || (size_t)(o->end - o->p) < head + n || n > 0x7F) {
		o->full = true;
		return;
	}
	if (tag > 0xFF)
		*o->p++ = (uint8_t)(tag >> 8);
	*o->p++ = (uint8_t)tag;
	*o->p++ = (uint8_t)n;
	if (n > 0)
		memcpy(o->p, p, n);
	o->p += n;
}

int bank_proof_put(const struct bank_card *c, const struct bank_terminal *terminal, const struct tap *tap, uint8_t *out, size_t out_bytes)
{
	struct mac_time time = mac_time_of_ms(tap->time_ms);
	struct out o = { out, out + out_bytes, false };
	static const uint8_t zeros[6];

	put(&o, TAG_AID, c->aid, c->aid_bytes);
	put(&o, TAG_INDEX, &c->ca_index, 1);
	put(&o, TAG_ISSUER_SERIAL, c->issuer_serial, 3);
	if (c->method != ODA_SDA)
		put(&o, TAG_CARD_SERIAL, c->card_serial, 3);
	put(&o, TAG_AIP, c->aip, 2);
	put(&o, TAG_ATC, (uint8_t[]){ (uint8_t)(c->atc >> 8), (uint8_t)c->atc }, 2);
	put(&o, TAG_RANDOM, terminal->random, 4);
	put(&o, TAG_CRYPTOGRAM, c->cryptogram, 8);
	put(&o, TAG_CID, &c->cid, 1);
	put(&o, TAG_ISSUER_DATA, c->issuer_data, c->issuer_data_bytes);
	put(&o, TAG_RESULTS, zeros, 5);
	put(&o, TAG_DATE, time.bcd + 1, 3);
	put(&o, TAG_KIND, zeros, 1);
	put(&o, TAG_AMOUNT, zeros, 6);
	put(&o, TAG_CURRENCY, (uint8_t[]){ (uint8_t)(terminal->currency >> 8), (uint8_t)terminal->currency }, 2);
	put(&o, TAG_COUNTRY, (uint8_t[]){ (uint8_t)(terminal->country >> 8), (uint8_t)terminal->country }, 2);
	put(&o, TAG_PSN, &c->psn, 1);
	return o.full ? TAP_E_SPACE : (int)(o.p - out);
}

/* Exactly one object of this tag, of min to max bytes. */
static bool one(const struct tap *tap, uint32_t tag, size_t min, size_t max, struct tlv *ret)
{
	struct tlv_reader r = { tap->qr.p, tap->qr.p + tap->qr.n };
	unsigned found = 0;
	struct tlv t;
	int code;

	while ((code = tlv_next(&r, &t)) == 1)
		if (t.tag == tag) {
			*ret = t;
			found++;
		}
	return code == 0 && found == 1 && ret->n >= min && ret->n <= max;
}

const char *bank_proof_fault(const struct tap *tap, uint8_t ret_rid[5], uint8_t *ret_index)
{
	struct mac_time time = mac_time_of_ms(tap->time_ms);
	struct tlv aid, index, t;

	if (tap->oda < ODA_SDA || tap->oda > ODA_CDA)
		return "oda";
	if (tap->qr.n == 0 || tap->qr.n > BANK_PROOF_BYTES_MAX)
		return "proof";
	if (!one(tap, TAG_AID, 5, 16, &aid) || !one(tap, TAG_INDEX, 1, 1, &index))
		return "9F06 and 8F";
	if (!one(tap, TAG_ISSUER_SERIAL, 3, 3, &t) || (tap->oda != ODA_SDA && !one(tap, TAG_CARD_SERIAL, 3, 3, &t)))
		return "certificates";
	if (!one(tap, TAG_AIP, 2, 2, &t) || !one(tap, TAG_ISSUER_DATA, 0, BANK_ISSUER_DATA_MAX, &t) || !one(tap, TAG_AMOUNT, 6, 6, &t) ||
	    !one(tap, TAG_CURRENCY, 2, 2, &t) || !one(tap, TAG_COUNTRY, 2, 2, &t) || !one(tap, TAG_PSN, 1, 1, &t) || !one(tap, TAG_RESULTS, 5, 5, &t) ||
	    !one(tap, TAG_KIND, 1, 1, &t))
		return "82, 9F10, 9F02, 5F2A, 9F1A, 5F34, 95 and 9C";
	if (!one(tap, TAG_CID, 1, 1, &t) || (t.p[0] & 0xC0) == 0)
		return "9F27";
	if (!one(tap, TAG_ATC, 2, 2, &t) || be_read(t.p, 2) != tap->card_counter)
		return "9F36";
	if (!one(tap, TAG_RANDOM, 4, 4, &t) || memcmp(t.p, tap->random, 4) != 0)
		return "9F37";
	if (!one(tap, TAG_CRYPTOGRAM, 8, 8, &t) || memcmp(t.p, tap->cryptogram, 8) != 0 || memcmp(t.p, tap->tac, 4) != 0 || octets_all(t.p, 8, 0))
		return "9F26";
	if (!one(tap, TAG_DATE, 3, 3, &t) || memcmp(t.p, time.bcd + 1, 3) != 0)
		return "9A";
	if (ret_rid != NULL)
		memcpy(ret_rid, aid.p, 5);
	if (ret_index != NULL)
		*ret_index = index.p[0];
	return NULL;
}
