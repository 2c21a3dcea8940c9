/*
 * bank_kernel - one reading of a bank card: PPSE, application, GPO, records, authentication, cryptogram (EMV Book 1
 * section 12, Book 3 section 10, Book 2 sections 5 and 6; the fast DDA of the contactless application).
 *
 * The invariant: BANK_GOOD means that the card number is the one an issuer certified under a scheme key we hold, and, for
 * DDA and CDA, that the card in the field holds the private key and signed over a number drawn for this tap.
 */
#include "validator/emv.h"

#include "keys/octets.h"

#include <errno.h>
#include <string.h>

#define RECORDS_MAX 32
#define AIP_SDA 0x40
#define AIP_DDA 0x20
#define AIP_CDA 0x01
#define CID_KIND 0xC0
#define CID_AAC 0x00
#define CID_ARQC 0x80
#define AC_ARQC 0x80			/* P1 of GENERATE AC: to be authorised online, which we do later */
#define AC_CDA 0x10

struct kernel {
	struct reader *reader;
	const struct bank_terminal *t;
	struct bank_card *card;
	struct emv own, emv;
	uint8_t pdol[EMV_DOL_BYTES_MAX]; size_t pdol_bytes;
	uint8_t in[264]; size_t n;	/* last answer without its status */
	bool fast;			/* the signature came with GPO */
};

static enum bank_answer refuse(struct kernel *k, enum bank_answer answer, const char *what)
{
	k->card->what = what;
	return answer;
}

/* Status word; -EIO when the card left. */
static int send(struct kernel *k, const uint8_t head[4], const uint8_t *data, size_t n)
{
	uint8_t out[5 + 255];
	int got;

	memcpy(out, head, 4);
	out[4] = (uint8_t)n;
	if (n > 0)
		memcpy(out + 5, data, n);
	got = k->reader->transmit(k->reader, out, 5 + n, k->in, sizeof(k->in));
	if (got < 2 || (size_t)got > sizeof(k->in))
		return -EIO;
	k->n = (size_t)got - 2;
	return k->in[k->n] << 8 | k->in[k->n + 1];
}

static enum bank_answer sent(struct kernel *k, int status, enum bank_answer otherwise, const char *what)
{
	return status == 0x9000 ? BANK_GOOD : refuse(k, status < 0 ? BANK_GONE : otherwise, what);
}

/* The whole answer is one object of this tag. */
static bool whole(const struct kernel *k, uint32_t tag, struct tlv *ret)
{
	struct tlv_reader r = { k->in, k->in + k->n };

	return tlv_next(&r, ret) == 1 && ret->tag == tag && ret->p + ret->n == k->in + k->n;
}

/* ---- choosing ----------------------------------------------------------------------------------------------- */

/* Of the directory entries with a RID we hold keys for, the one with the highest priority (1 first, 0 last). */
static bool entry_choose(struct kernel *k, struct tlv directory)
{
	struct tlv_reader r = { directory.p, directory.p + directory.n };
	unsigned best = 17;
	struct tlv t, aid, priority;

	while (tlv_next(&r, &t) == 1) {
		unsigned rank = 16;

		if (t.tag != 0x61 || !tlv_find(t.p, t.n, 0x4F, &aid) || aid.n < 5 || aid.n > 16 || !oda_keys_has_rid(k->t->keys, aid.p))
			continue;
		if (tlv_find(t.p, t.n, 0x87, &priority) && priority.n == 1 && (priority.p[0] & 15) != 0)
			rank = priority.p[0] & 15;
		if (rank >= best)
			continue;
		best = rank;
		k->card->aid_bytes = (uint8_t)aid.n;
		memcpy(k->card->aid, aid.p, aid.n);
	}
	return best < 17;
}

static enum bank_answer application_select(struct kernel *k)
{
	static const uint8_t select_head[4] = { 0x00, 0xA4, 0x04, 0x00 };
	enum bank_answer answer = sent(k, send(k, select_head, (const uint8_t *)"2PAY.SYS.DDF01", 14), BANK_NOT_TAKEN, "PPSE");
	struct tlv fci, found;
	int n;

	if (answer != BANK_GOOD)
		return answer;
	if (!whole(k, 0x6F, &fci) || !tlv_sound(fci.p, fci.n) || !tlv_find(fci.p, fci.n, 0xBF0C, &found) || !entry_choose(k, found))
		return refuse(k, BANK_NOT_TAKEN, "directory");
	answer = sent(k, send(k, select_head, k->card->aid, k->card->aid_bytes), BANK_NOT_TAKEN, "SELECT");
	if (answer != BANK_GOOD)
		return answer;
	if (!whole(k, 0x6F, &fci) || !tlv_sound(fci.p, fci.n))
		return refuse(k, BANK_INCOMPLETE, "FCI");
	if (!tlv_find(fci.p, fci.n, 0x9F38, &found))
		found.n = 0;
	n = emv_dol(&k->own, &k->emv, (struct oda_bytes){ found.n > 0 ? found.p : k->in, found.n }, k->pdol, sizeof(k->pdol));
	if (n < 0)
		return refuse(k, BANK_INCOMPLETE, "PDOL");
	k->pdol_bytes = (size_t)n;
	return BANK_GOOD;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

/* AIP and AFL, in either form. */
static bool options_take(struct kernel *k)
{
	struct tlv t;

	if (whole(k, 0x80, &t))
		return t.n >= 6 && emv_put(&k->emv, 0x82, t.p, 2, false) && emv_put(&k->emv, 0x94, t.p + 2, t.n - 2, false);
	return whole(k, 0x77, &t) && emv_take(&k->emv, t.p, t.n, false) && emv_get(&k->emv, 0x82).n == 2;
}

static enum bank_answer options_get(struct kernel *k)
{
	uint8_t data[EMV_DOL_BYTES_MAX + 3] = { 0x83 };
	size_t head = k->pdol_bytes > 0x7F ? 3 : 2;
	enum bank_answer answer;

	data[1] = head == 3 ? 0x81 : (uint8_t)k->pdol_bytes;
	if (head == 3)
		data[2] = (uint8_t)k->pdol_bytes;
	memcpy(data + head, k->pdol, k->pdol_bytes);
	answer = sent(k, send(k, (const uint8_t[]){ 0x80, 0xA8, 0x00, 0x00 }, data, head + k->pdol_bytes), BANK_NOT_TAKEN, "GPO");
	if (answer != BANK_GOOD)
		return answer;
	if (!options_take(k))
		return refuse(k, BANK_INCOMPLETE, "GPO");
	memcpy(k->card->aip, emv_get(&k->emv, 0x82).p, 2);
	k->fast = emv_get(&k->emv, 0x9F4B).n > 0;
	return BANK_GOOD;
}

static enum bank_answer record_read(struct kernel *k, uint8_t sfi, uint8_t number, bool fixed)
{
	enum bank_answer answer = sent(k, send(k, (const uint8_t[]){ 0x00, 0xB2, number, (uint8_t)(sfi << 3 | 4) }, NULL, 0), BANK_INCOMPLETE, "READ RECORD");
	struct tlv t;

	if (answer != BANK_GOOD)
		return answer;
	if (!whole(k, 0x70, &t) || !emv_take(&k->emv, t.p, t.n, fixed))
		return refuse(k, BANK_INCOMPLETE, "record");
	/* Book 3, 10.3: of files 1 to 10 what is inside the template, of others the template too */
	if (fixed && !(sfi <= 10 ? emv_fix(&k->emv, t.p, t.n) : emv_fix(&k->emv, k->in, k->n)))
		return refuse(k, BANK_INCOMPLETE, "records too long");
	return BANK_GOOD;
}

static enum bank_answer records_read(struct kernel *k)
{
	struct oda_bytes afl = emv_get(&k->emv, 0x94);
	enum bank_answer answer = BANK_GOOD;
	uint8_t copy[252];
	unsigned records = 0;

	if (afl.n == 0 || afl.n % 4 != 0 || afl.n > sizeof(copy))
		return refuse(k, BANK_INCOMPLETE, "AFL");
	memcpy(copy, afl.p, afl.n);
	for (size_t i = 0; i < afl.n; i += 4) {
		uint8_t sfi = copy[i] >> 3, first = copy[i + 1], last = copy[i + 2], fixed = copy[i + 3];

		if ((copy[i] & 7) != 0 || sfi < 1 || sfi > 30 || first < 1 || last < first || fixed > last - first + 1)
			return refuse(k, BANK_INCOMPLETE, "AFL");
		for (unsigned number = first; answer == BANK_GOOD && number <= last; number++) {
			if (++records > RECORDS_MAX)
				return refuse(k, BANK_INCOMPLETE, "AFL");
			answer = record_read(k, sfi, (uint8_t)number, number < (unsigned)first + fixed);
		}
	}
	return answer;
}

/* ---- what the records say ------------------------------------------------------------------------------------- */

/* Digits up to the first nibble that is none, which has to be this one or the end. */
static bool digits_read(struct oda_bytes v, char stop, char ret_text[41])
{
	char text[41];
	size_t n;

	if (v.n > 20)
		return false;
	hex_encode(v.p, v.n, text);
	n = strspn(text, "0123456789");
	if (n < 12 || n > 19 || (text[n] != '\0' && text[n] != stop) || (stop == 'F' && strspn(text + n, "F") != strlen(text + n)))
		return false;
	text[n] = '\0';
	memcpy(ret_text, text, n + 1);
	return true;
}

/* The card number from 5A, or from 57 before its separator; from the left filled with F. When both are there they agree. */
static bool number_read(struct kernel *k, uint8_t ret_left[10])
{
	struct oda_bytes number = emv_get(&k->emv, 0x5A), track = emv_get(&k->emv, 0x57);
	char digits[41], other[41];

	if (number.n == 0 && track.n == 0)
		return false;
	if (!(number.n > 0 ? digits_read(number, 'F', digits) : digits_read(track, 'D', digits)))
		return false;
	if (number.n > 0 && track.n > 0 && (!digits_read(track, 'D', other) || strcmp(digits, other) != 0))
		return false;
	memset(ret_left, 0xFF, 10);
	for (size_t i = 0; digits[i] != '\0'; i++)
		ret_left[i / 2] &= (uint8_t)(i % 2 == 0 ? (digits[i] - '0') << 4 | 15 : 0xF0 | (digits[i] - '0'));
	return pan_parse(digits, k->card->pan);
}

static bool day_read(struct oda_bytes v, int32_t *ret)
{
	struct mac_time t = { { 0x20, 0, 0, 0, 0, 0, 0 } };
	int64_t ms;

	if (v.n != 3)
		return false;
	memcpy(t.bcd + 1, v.p, 3);
	if (!mac_time_to_ms(&t, &ms))
		return false;
	*ret = day_of_ms(ms);
	return true;
}

/* Expiry must be authenticated data: a card prolonged by hand is none. */
static enum bank_answer days_check(struct kernel *k)
{
	struct oda_bytes from = emv_get(&k->emv, 0x5F25);
	int32_t today = day_of_ms(k->t->now_ms), day;

	if (!emv_is_fixed(&k->emv, 0x5F24) || !day_read(emv_get(&k->emv, 0x5F24), &day))
		return refuse(k, BANK_INCOMPLETE, "5F24");
	if (today > day)
		return refuse(k, BANK_EXPIRED, "5F24");
	if (from.n > 0 && (!day_read(from, &day) || today < day))
		return refuse(k, BANK_EXPIRED, "5F25");
	return BANK_GOOD;
}

static bool card_view(struct kernel *k, struct oda_card *ret)
{
	struct oda_bytes index = emv_get(&k->emv, 0x8F), tags = emv_get(&k->emv, 0x9F4A), psn = emv_get(&k->emv, 0x5F34);

	*ret = (struct oda_card){ .issuer_cert = emv_get(&k->emv, 0x90), .issuer_remainder = emv_get(&k->emv, 0x92), .issuer_exponent = emv_get(&k->emv, 0x9F32),
				  .card_cert = emv_get(&k->emv, 0x9F46), .card_remainder = emv_get(&k->emv, 0x9F48), .card_exponent = emv_get(&k->emv, 0x9F47),
				  .static_signature = emv_get(&k->emv, 0x93), .at_ms = k->t->now_ms };
	if (index.n != 1 || !number_read(k, ret->pan))
		return false;
	if (tags.n > 0 && (tags.n != 1 || tags.p[0] != 0x82 || !emv_fix(&k->emv, k->card->aip, 2)))
		return false;	/* Book 2, 5.4: the list may name the AIP and nothing else */
	ret->static_data = (struct oda_bytes){ k->emv.fixed, k->emv.fixed_bytes };
	ret->ca_index = k->card->ca_index = index.p[0];
	memcpy(ret->rid, k->card->aid, 5);
	k->card->psn = psn.n == 1 ? psn.p[0] : 0;
	return true;
}

/* ---- authentication -------------------------------------------------------------------------------------------- */

static enum oda_method method_of(const struct kernel *k)
{
	uint8_t aip = k->card->aip[0];

	if (k->fast)
		return (aip & AIP_DDA) != 0 ? ODA_DDA : ODA_NONE;
	return (aip & AIP_CDA) != 0 ? ODA_CDA : (aip & AIP_DDA) != 0 ? ODA_DDA : (aip & AIP_SDA) != 0 ? ODA_SDA : ODA_NONE;
}

static enum bank_answer judged(struct kernel *k, enum oda_verdict v, const char *what)
{
	k->card->verdict = v;
	return v == ODA_GOOD ? BANK_GOOD : refuse(k, BANK_FORGED, what);
}

/* What the fast signature is over (version 01): number, amount, currency, and the card's own 9F69. */
static enum bank_answer fast_check(struct kernel *k, const struct oda_key *key)
{
	struct oda_bytes own = emv_get(&k->emv, 0x9F69);
	struct oda_answer a;
	uint8_t data[4 + 6 + 2 + 16];

	if (own.n < 5 || own.n > 16 || own.p[0] != 0x01)
		return judged(k, ODA_FORM, "9F69");
	memcpy(data, k->t->random, 4);
	memcpy(data + 4, emv_get(&k->own, 0x9F02).p, 6);
	memcpy(data + 10, emv_get(&k->own, 0x5F2A).p, 2);
	memcpy(data + 12, own.p, own.n);
	return judged(k, oda_dynamic(key, emv_get(&k->emv, 0x9F4B), (struct oda_bytes){ data, 12 + own.n }, &a), "9F4B");
}

static enum bank_answer internal_authenticate(struct kernel *k, const struct oda_key *key)
{
	static const uint8_t default_dol[] = { 0x9F, 0x37, 0x04 };
	struct oda_bytes dol = emv_get(&k->emv, 0x9F49);
	uint8_t data[EMV_DOL_BYTES_MAX];
	struct tlv t, signature;
	struct oda_answer a;
	enum bank_answer answer;
	int n;

	if (dol.n == 0)
		dol = (struct oda_bytes){ default_dol, sizeof(default_dol) };
	n = emv_dol(&k->own, &k->emv, dol, data, sizeof(data));
	if (n < 0 || !emv_dol_asks(dol, 0x9F37, 4))
		return judged(k, ODA_FORM, "9F49");	/* a signature that is not over our number proves nothing */
	answer = sent(k, send(k, (const uint8_t[]){ 0x00, 0x88, 0x00, 0x00 }, data, (size_t)n), BANK_FORGED, "INTERNAL AUTHENTICATE");
	if (answer != BANK_GOOD)
		return answer;
	if (whole(k, 0x80, &t))
		signature = t;
	else if (!whole(k, 0x77, &t) || !tlv_find(t.p, t.n, 0x9F4B, &signature))
		return judged(k, ODA_FORM, "INTERNAL AUTHENTICATE");
	return judged(k, oda_dynamic(key, (struct oda_bytes){ signature.p, signature.n }, (struct oda_bytes){ data, (size_t)n }, &a), "9F4B");
}

/* ---- cryptogram --------------------------------------------------------------------------------------------------- */

static enum bank_answer cryptogram_keep(struct kernel *k, const uint8_t *cid, struct oda_bytes atc, const uint8_t *cryptogram, struct oda_bytes issuer_data)
{
	struct bank_card *c = k->card;

	if (atc.n != 2 || cryptogram == NULL || issuer_data.n > BANK_ISSUER_DATA_MAX)
		return refuse(k, BANK_INCOMPLETE, "cryptogram");
	c->cid = cid != NULL ? *cid : CID_ARQC;
	c->atc = (uint16_t)be_read(atc.p, 2);
	memcpy(c->cryptogram, cryptogram, 8);
	c->issuer_data_bytes = (uint8_t)issuer_data.n;
	if (issuer_data.n > 0)
		memcpy(c->issuer_data, issuer_data.p, issuer_data.n);
	return (c->cid & CID_KIND) == CID_AAC ? refuse(k, BANK_DECLINED, "AAC") : BANK_GOOD;
}

static enum bank_answer fast_cryptogram(struct kernel *k)
{
	struct oda_bytes cid = emv_get(&k->emv, 0x9F27), ac = emv_get(&k->emv, 0x9F26);

	return cryptogram_keep(k, cid.n == 1 ? cid.p : NULL, emv_get(&k->emv, 0x9F36), ac.n == 8 ? ac.p : NULL, emv_get(&k->emv, 0x9F10));
}

/* Answer 80: CID 1, ATC 2, cryptogram 8, issuer's data; 77: objects. */
static enum bank_answer generated_keep(struct kernel *k, const struct emv *answer, struct tlv form1)
{
	struct oda_bytes cid = emv_get(answer, 0x9F27), ac = emv_get(answer, 0x9F26);

	if (form1.n > 0)
		return form1.n < 11 ? refuse(k, BANK_INCOMPLETE, "GENERATE AC")
				    : cryptogram_keep(k, form1.p, (struct oda_bytes){ form1.p + 1, 2 }, form1.p + 3, (struct oda_bytes){ form1.p + 11, form1.n - 11 });
	return cid.n != 1 ? refuse(k, BANK_INCOMPLETE, "9F27") : cryptogram_keep(k, cid.p, emv_get(answer, 0x9F36), ac.n == 8 ? ac.p : NULL, emv_get(answer, 0x9F10));
}

/* CDA: the hash inside the signature covers what we sent for PDOL and CDOL1 and all the card answered but the signature. */
static enum bank_answer combined_check(struct kernel *k, const struct oda_key *key, const struct emv *answer, struct tlv body, const uint8_t *cdol, size_t cdol_bytes)
{
	uint8_t data[2 * EMV_DOL_BYTES_MAX + 264];
	struct oda_bytes cid = emv_get(answer, 0x9F27), signature = emv_get(answer, 0x9F4B);
	struct tlv_reader r = { body.p, body.p + body.n };
	size_t n = k->pdol_bytes;
	struct oda_answer a;
	enum oda_verdict v;
	struct tlv t;

	if (cid.n != 1)
		return refuse(k, BANK_INCOMPLETE, "9F27");
	if ((cid.p[0] & CID_KIND) == CID_AAC)
		return refuse(k, BANK_DECLINED, "AAC");
	memcpy(data, k->pdol, n);
	memcpy(data + n, cdol, cdol_bytes);
	n += cdol_bytes;
	for (const uint8_t *from = r.p; tlv_next(&r, &t) == 1; from = r.p)
		if (t.tag != 0x9F4B) {
			memcpy(data + n, from, (size_t)(r.p - from));
			n += (size_t)(r.p - from);
		}
	v = oda_combined(key, signature, k->t->random, (struct oda_bytes){ data, n }, cid.p[0], &a);
	if (v != ODA_GOOD)
		return judged(k, v, "9F4B");
	return cryptogram_keep(k, &a.cid, emv_get(answer, 0x9F36), a.cryptogram, emv_get(answer, 0x9F10));
}

static enum bank_answer generate(struct kernel *k, const struct oda_key *key)
{
	bool combined = k->card->method == ODA_CDA;
	struct emv objects = { .count = 0 };
	uint8_t data[EMV_DOL_BYTES_MAX];
	struct tlv t = { 0 };
	enum bank_answer answer;
	int n = emv_get(&k->emv, 0x8C).n > 0 ? emv_dol(&k->own, &k->emv, emv_get(&k->emv, 0x8C), data, sizeof(data)) : -1;

	if (n < 0)
		return refuse(k, BANK_INCOMPLETE, "CDOL1");
	answer = sent(k, send(k, (const uint8_t[]){ 0x80, 0xAE, (uint8_t)(AC_ARQC | (combined ? AC_CDA : 0)), 0x00 }, data, (size_t)n), BANK_DECLINED, "GENERATE AC");
	if (answer != BANK_GOOD)
		return answer;
	if (!combined && whole(k, 0x80, &t))
		return generated_keep(k, &objects, t);
	if (!whole(k, 0x77, &t) || !emv_take(&objects, t.p, t.n, false))
		return combined ? judged(k, ODA_FORM, "GENERATE AC") : refuse(k, BANK_INCOMPLETE, "GENERATE AC");
	return combined ? combined_check(k, key, &objects, t, data, (size_t)n) : generated_keep(k, &objects, (struct tlv){ 0 });
}

/* Static data is as good as what it covers: the number has to be in it. */
static enum bank_answer static_check(struct kernel *k, const struct oda_key *issuer, const struct oda_card *view)
{
	uint8_t code[2];

	if (!emv_is_fixed(&k->emv, 0x5A))
		return judged(k, ODA_MISSING, "5A");
	return judged(k, oda_static(issuer, view, code), "93");
}

static enum bank_answer authenticate(struct kernel *k)
{
	struct oda_key issuer, card;
	struct oda_card view;
	enum bank_answer answer;
	enum oda_verdict v;

	k->card->method = method_of(k);
	if (k->card->method == ODA_NONE || k->card->method < k->t->least)
		return judged(k, ODA_MISSING, "method");
	if (!card_view(k, &view))
		return refuse(k, BANK_INCOMPLETE, "card number, key index or tag list");
	v = oda_issuer_key(k->t->keys, &view, &issuer);
	if (v != ODA_GOOD)
		return judged(k, v, "90");
	memcpy(k->card->issuer_serial, issuer.serial, 3);
	if (k->card->method == ODA_SDA) {
		answer = static_check(k, &issuer, &view);
		return answer == BANK_GOOD ? generate(k, NULL) : answer;
	}
	v = oda_card_key(&issuer, &view, &card);
	if (v != ODA_GOOD)
		return judged(k, v, "9F46");
	memcpy(k->card->card_serial, card.serial, 3);
	if (k->card->method == ODA_CDA)
		return generate(k, &card);
	answer = k->fast ? fast_check(k, &card) : internal_authenticate(k, &card);
	if (answer != BANK_GOOD)
		return answer;
	return k->fast ? fast_cryptogram(k) : generate(k, NULL);
}

/* ---- the terminal's own objects -------------------------------------------------------------------------------- */

static bool own_objects(struct kernel *k)
{
	const struct bank_terminal *t = k->t;
	struct mac_time now = mac_time_of_ms(t->now_ms);
	const uint8_t country[2] = { (uint8_t)(t->country >> 8), (uint8_t)t->country }, currency[2] = { (uint8_t)(t->currency >> 8), (uint8_t)t->currency };
	static const uint8_t zeros[6], kind[] = { 0x25 }, capabilities[] = { 0x00, 0x08, 0xC8 };
	/* contactless EMV; authentication offline for what is authorised online; cryptogram to be authorised online */
	static const uint8_t qualifiers[] = { 0x21, 0x80, 0x00, 0x00 };

	return emv_put(&k->own, 0x9F02, zeros, 6, false) && emv_put(&k->own, 0x9F03, zeros, 6, false) && emv_put(&k->own, 0x9F1A, country, 2, false) &&
	       emv_put(&k->own, 0x5F2A, currency, 2, false) && emv_put(&k->own, 0x95, zeros, 5, false) && emv_put(&k->own, 0x9A, now.bcd + 1, 3, false) &&
	       emv_put(&k->own, 0x9F21, now.bcd + 4, 3, false) && emv_put(&k->own, 0x9C, zeros, 1, false) && emv_put(&k->own, 0x9F37, t->random, 4, false) &&
	       emv_put(&k->own, 0x9F35, kind, 1, false) && emv_put(&k->own, 0x9F33, capabilities, 3, false) && emv_put(&k->own, 0x9F66, qualifiers, 4, false);
}

enum bank_answer bank_read(struct reader *card, const struct bank_terminal *terminal, struct bank_card *ret_card)
{
	struct kernel k = { .reader = card, .t = terminal, .card = ret_card };
	enum bank_answer answer;

	*ret_card = (struct bank_card){ .verdict = ODA_MISSING };
	if (!own_objects(&k))
		return refuse(&k, BANK_INCOMPLETE, "terminal");
	answer = application_select(&k);
	if (answer == BANK_GOOD)
		answer = options_get(&k);
	if (answer == BANK_GOOD)
		answer = records_read(&k);
	if (answer == BANK_GOOD)
		answer = days_check(&k);
	if (answer == BANK_GOOD)
		answer = authenticate(&k);
	if (answer == BANK_GOOD)
		return BANK_GOOD;
	memset(ret_card->pan, 0, sizeof(ret_card->pan));	/* a number nobody vouches for goes nowhere */
	return answer;
}
