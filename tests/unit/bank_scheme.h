/* bank_scheme - a test scheme that tests of bank cards share: its key list, a bank, and cards of every method. */
#ifndef TESTS_UNIT_BANK_SCHEME_H
#define TESTS_UNIT_BANK_SCHEME_H

#include <string.h>

#include "validator/validator.h"

static const uint8_t scheme_rid[5] = { 0xA0, 0x00, 0x00, 0x03, 0x33 };
struct scheme { struct oda_signer *ca, *issuer, *card; struct oda_keys *keys; char text[2 * ODA_LINE_BYTES]; };

/* more: lines behind the key's, such as revoked ones */
static inline int scheme_make(struct scheme *s, const char *more)
{
	struct oda_key key;
	char error[256];
	int ret = oda_signer_new(144, 3, &s->ca);

	ret = ret != 0 ? ret : oda_signer_new(128, 3, &s->issuer);
	ret = ret != 0 ? ret : oda_signer_new(96, 3, &s->card);
	if (ret != 0)
		return ret;
	oda_signer_key(s->ca, &key);
	ret = oda_key_line(scheme_rid, 8, &key, "2049-12-31", s->text);
	strcat(s->text, "\n");
	strcat(s->text, more);
	return ret != 0 ? ret : oda_keys_parse("keys.txt", s->text, strlen(s->text), &s->keys, error, sizeof(error));
}

static inline void scheme_done(struct scheme *s)
{
	oda_signer_free(s->ca);
	oda_signer_free(s->issuer);
	oda_signer_free(s->card);
	oda_keys_free(s->keys);
}

static inline struct bank_issue scheme_issue(const struct scheme *s, unsigned number, enum oda_method method, bool fast)
{
	struct bank_issue i = { .aid = { 0xA0, 0x00, 0x00, 0x03, 0x33, 0x01, 0x01, 0x01 }, .aid_bytes = 8, .ca_index = 8, .ca = s->ca, .issuer = s->issuer, .card = s->card,
				.pan = { 0, 0, 0x62, 0x17, 0x99, 0x99, 0, 0, 0, 0 }, .expiry = { 0x30, 0x12, 0x31 }, .method = method, .fast = fast };

	i.pan[8] = (uint8_t)(number / 100 % 10 << 4 | number / 10 % 10);
	i.pan[9] = (uint8_t)(number % 10 << 4 | 7);
	return i;
}

#endif
