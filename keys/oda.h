/*
 * oda - offline data authentication of bank cards: is this card what its scheme's key says, without asking anybody.
 *
 * EMV Book 2, section 5 (static, SDA), 6.5 (dynamic, DDA) and 6.6 (with the application cryptogram, CDA); the same in
 * JR/T 0025.7. RSA signatures with message recovery (Annex A2.1) over SHA-1, as these documents demand: SHA-1 serves
 * nothing else here. Every length is exact, every padding byte is looked at, a signature not below its modulus is
 * refused. docs/bank-cards.md shows how the pieces meet.
 *
 * Included by keys/keys.h. Bytes belong to the caller; nothing is kept but what a list of scheme keys copies.
 */
#ifndef KEYS_ODA_H
#define KEYS_ODA_H

#define ODA_KEY_BYTES_MAX 248		/* Book 2, 5.1: no modulus is longer */
#define ODA_KEY_BYTES_MIN 96		/* 768 bits: the shortest card key still issued; scheme keys from 1024 */
#define ODA_STATIC_BYTES_MAX 2048	/* records to be authenticated of one card, all together */

enum oda_verdict {
	ODA_GOOD = 0,
	ODA_MISSING,			/* the card lacks a data object that this needs */
	ODA_FORM,			/* a length, exponent or tag list that the book does not allow */
	ODA_CA_UNKNOWN,			/* no scheme key of this RID and index */
	ODA_CA_EXPIRED,
	ODA_ISSUER_CERT,		/* the issuer's certificate does not come from that scheme key */
	ODA_ISSUER_EXPIRED,
	ODA_ISSUER_REVOKED,
	ODA_ISSUER_PAN,			/* the certificate is of another bank than the card number says */
	ODA_CARD_CERT,			/* the card's certificate does not come from its issuer, or its records were changed */
	ODA_CARD_EXPIRED,
	ODA_CARD_PAN,			/* the certificate is of another card number */
	ODA_STATIC,			/* signed static data: forged, or the records were changed */
	ODA_DYNAMIC,			/* the card does not hold the key of its certificate: a copy */
	ODA_CRYPTOGRAM,			/* the signature is over another transaction or another answer */
	ODA_FAILED,			/* the library failed: never good */
};
const char *oda_verdict_name(enum oda_verdict v);	/* good, ca-unknown ... */

enum oda_method { ODA_NONE = 0, ODA_SDA = 1, ODA_DDA = 2, ODA_CDA = 3 };	/* as in tap records */
const char *oda_method_name(enum oda_method m);

/*
 * Scheme keys and revoked issuer certificates. Text, '#' comments, one a line:
 *   key,RID 10 hex,index 2 hex,exponent 03 or 010001,modulus hex,last day YYYY-MM-DD,checksum 40 hex
 *   revoked,RID,index,certificate serial 6 hex
 * The checksum is SHA-1 of RID, index, modulus, exponent (Book 2, 11.2.1): a key mistyped anywhere is refused. Refused
 * whole with name:line:column. Free with oda_keys_free (NULL is fine).
 */
#define ODA_KEYS_MAX 64
#define ODA_REVOKED_MAX 4096
struct oda_keys;
int oda_keys_parse(const char *name, const void *p, size_t n, struct oda_keys **ret_keys, char *ret_error, size_t error_bytes) KEYS_MUST_CHECK;
void oda_keys_free(struct oda_keys *k);
size_t oda_keys_count(const struct oda_keys *k);
bool oda_keys_has_rid(const struct oda_keys *k, const uint8_t rid[5]);

/* A public key: of a scheme, an issuer or a card. serial is of the certificate it came from. */
struct oda_key { uint8_t modulus[ODA_KEY_BYTES_MAX]; size_t bytes; uint32_t exponent; uint8_t serial[3]; };
bool oda_keys_has(const struct oda_keys *k, const uint8_t rid[5], uint8_t index, int64_t at_ms);	/* known and not expired then */
/* "key,..." line of a scheme key, with its checksum; for lists that are made. */
#define ODA_LINE_BYTES (64 + 2 * ODA_KEY_BYTES_MAX + 64)
int oda_key_line(const uint8_t rid[5], uint8_t index, const struct oda_key *key, const char *last_day, char ret_line[ODA_LINE_BYTES]) KEYS_MUST_CHECK;

/* What a card shows, borrowed. n 0: absent. */
struct oda_bytes { const uint8_t *p; size_t n; };
struct oda_card {
	uint8_t rid[5], ca_index;		/* first five of the AID | tag 8F */
	struct oda_bytes issuer_cert, issuer_remainder, issuer_exponent;	/* 90, 92, 9F32 */
	struct oda_bytes card_cert, card_remainder, card_exponent;		/* 9F46, 9F48, 9F47 */
	struct oda_bytes static_signature;	/* 93 */
	struct oda_bytes static_data;		/* the records the AFL names for it, and the AIP when 9F4A says so */
	uint8_t pan[10];			/* 5A: from the left, filled with F */
	int64_t at_ms;				/* now */
};
/* Issuer's key out of its certificate (5.3, 6.3). */
enum oda_verdict oda_issuer_key(const struct oda_keys *k, const struct oda_card *c, struct oda_key *ret_key);
/* Static data under the issuer's key (5.4): the records are as the issuer signed them. A copy passes too. */
enum oda_verdict oda_static(const struct oda_key *issuer, const struct oda_card *c, uint8_t ret_code[2]);
/* Card's key out of its certificate (6.4), which covers the same records. */
enum oda_verdict oda_card_key(const struct oda_key *issuer, const struct oda_card *c, struct oda_key *ret_key);
/* The card's answer over what the terminal chose (6.5.2). ret_number: ICC dynamic number, 2 to 8 bytes. */
struct oda_answer { uint8_t number[8], number_bytes; uint8_t cid, cryptogram[8]; };	/* the last two: CDA only */
enum oda_verdict oda_dynamic(const struct oda_key *card, struct oda_bytes signature, struct oda_bytes terminal_data, struct oda_answer *ret);
/* The same with the cryptogram inside (6.6.2): cid as the card's answer said it, transaction: the data its hash covers. */
enum oda_verdict oda_combined(const struct oda_key *card, struct oda_bytes signature, const uint8_t random[4], struct oda_bytes transaction, uint8_t cid,
			      struct oda_answer *ret);

/* ---- making cards: tests and the simulator ------------------------------------------------------------ */

struct oda_signer;			/* an RSA key pair */
int oda_signer_new(size_t bytes, uint32_t exponent, struct oda_signer **ret_signer) KEYS_MUST_CHECK;	/* random */
void oda_signer_free(struct oda_signer *s);
void oda_signer_key(const struct oda_signer *s, struct oda_key *ret_key);
/* PEM, for card files of the simulator; as many as were written are read in order. KEYS_E_FORMAT: none is left. */
int oda_signer_write(const struct oda_signer *s, FILE *f) KEYS_MUST_CHECK;
int oda_signer_read(FILE *f, struct oda_signer **ret_signer) KEYS_MUST_CHECK;
struct oda_certificate { uint8_t p[ODA_KEY_BYTES_MAX], remainder[ODA_KEY_BYTES_MAX], exponent[3]; size_t n, remainder_bytes, exponent_bytes; };
int oda_make_issuer(const struct oda_signer *ca, const uint8_t id[4], const uint8_t mmyy[2], const uint8_t serial[3], const struct oda_key *issuer,
		    struct oda_certificate *ret) KEYS_MUST_CHECK;
int oda_make_card(const struct oda_signer *issuer, const uint8_t pan[10], const uint8_t mmyy[2], const uint8_t serial[3], const struct oda_key *card,
		  struct oda_bytes static_data, struct oda_certificate *ret) KEYS_MUST_CHECK;
/* Signatures are as long as the signer's modulus; ret has ODA_KEY_BYTES_MAX bytes. */
int oda_make_static(const struct oda_signer *issuer, const uint8_t code[2], struct oda_bytes static_data, uint8_t *ret) KEYS_MUST_CHECK;
int oda_make_dynamic(const struct oda_signer *card, struct oda_bytes dynamic, struct oda_bytes terminal_data, uint8_t *ret) KEYS_MUST_CHECK;
int digest_sha1(const void *p, size_t n, uint8_t ret_digest[20]) KEYS_MUST_CHECK;	/* only for what EMV hashes */

#endif
