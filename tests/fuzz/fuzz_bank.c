/*
 * A bank card that answers with anything: what the kernel reads, certificates and lists of objects in it. The input is
 * a first byte that chooses, then the key list, the deny list, a proof, or the card's answers, each with a length of
 * two bytes before it. The scheme key is public here: whose card is believed is not this test's question.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "validator/validator.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct card { struct reader reader; const uint8_t *p, *end; };

static int transmit(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct card *c = (struct card *)(void *)r;
	size_t bytes;

	assert(n >= 5 && n <= 260 && (n == 5 || apdu[4] == n - 5));
	if (c->end - c->p < 2)
		return -5;
	bytes = (size_t)c->p[0] << 8 | c->p[1];
	c->p += 2;
	if (bytes > (size_t)(c->end - c->p))
		bytes = (size_t)(c->end - c->p);
	if (bytes > ret_bytes)
		bytes = ret_bytes;
	memcpy(ret, c->p, bytes);
	c->p += bytes;
	return (int)bytes;
}

/* A list with one key whose modulus is not secret, made once. */
static struct oda_keys *keys_of(void)
{
	static struct oda_keys *keys;
	static const uint8_t rid[5] = { 0xA0, 0x00, 0x00, 0x03, 0x33 };
	struct oda_key key = { .bytes = 144, .exponent = 3 };
	char line[ODA_LINE_BYTES], error[256];

	if (keys != NULL)
		return keys;
	for (size_t i = 0; i < key.bytes; i++)
		key.modulus[i] = (uint8_t)(0xC1 + 37 * i) | 1;
	if (oda_key_line(rid, 8, &key, "2049-12-31", line) != 0 || oda_keys_parse("keys", line, strlen(line), &keys, error, sizeof(error)) != 0)
		abort();
	return keys;
}

static void read_card(const uint8_t *p, size_t n)
{
	struct bank_terminal t = { .keys = keys_of(), .country = 0x0156, .currency = 0x0156, .least = ODA_SDA, .now_ms = 1762125330000LL, .random = { 1, 2, 3, 4 } };
	struct card c = { .reader.transmit = transmit, .p = p, .end = p + n };
	struct bank_card card;
	enum bank_answer a = bank_read(&c.reader, &t, &card);

	assert(card.aid_bytes <= 16 && card.issuer_data_bytes <= BANK_ISSUER_DATA_MAX);
	if (a == BANK_GOOD)
		assert(card.verdict == ODA_GOOD && card.method >= ODA_SDA);
	else
		assert(card.what != NULL);
}

/* A certificate chain of which every part is the input's. */
static void open_chain(const uint8_t *p, size_t n)
{
	struct oda_card c = { .ca_index = 8, .rid = { 0xA0, 0x00, 0x00, 0x03, 0x33 }, .at_ms = 1762125330000LL };
	struct oda_bytes *part[] = { &c.issuer_cert, &c.issuer_remainder, &c.issuer_exponent, &c.card_cert, &c.card_remainder, &c.card_exponent, &c.static_signature, &c.static_data };
	struct oda_key issuer = { .bytes = 128, .exponent = 3 }, card;
	struct oda_answer answer;
	uint8_t code[2];

	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]) && n > 0; i++) {
		size_t k = p[0] < n - 1 ? p[0] : n - 1;

		*part[i] = (struct oda_bytes){ p + 1, k };
		p += 1 + k;
		n -= 1 + k;
	}
	memset(issuer.modulus, 0xFD, sizeof(issuer.modulus));
	(void)oda_issuer_key(keys_of(), &c, &card);
	(void)oda_static(&issuer, &c, code);
	(void)oda_card_key(&issuer, &c, &card);
	(void)oda_dynamic(&issuer, c.static_signature, c.static_data, &answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t point[65] = { 4 };
	struct oda_keys *keys = NULL;
	struct deny_list *deny = NULL;
	struct tap tap = { .oda = 3 };
	char error[256] = "";

	if (n == 0)
		return 0;
	switch (p[0] % 5) {
	case 0: read_card(p + 1, n - 1); break;
	case 1: open_chain(p + 1, n - 1); break;
	case 2:
		if (oda_keys_parse("keys", p + 1, n - 1, &keys, error, sizeof(error)) == 0)
			oda_keys_free(keys);
		else
			assert(strncmp(error, "keys:", 5) == 0);
		break;
	case 3:
		assert(deny_parse("deny", p + 1, n - 1, point, &deny, error, sizeof(error)) != 0 && strncmp(error, "deny:", 5) == 0);
		break;
	default:
		tap.qr.p = p + 1;
		tap.qr.n = (uint32_t)(n - 1);
		(void)bank_proof_fault(&tap, NULL, NULL);
	}
	return 0;
}
