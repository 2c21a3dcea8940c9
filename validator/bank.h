/*
 * bank - bank cards at the kerb: a subset of an EMV contactless kernel that authenticates offline and lets the centre
 * authorise later, the deny list, the risk of cards nobody has answered for, and a bank card in software.
 *
 * docs/bank-cards.md is the design. Included by validator/validator.h; errors and ownership as there.
 */
#ifndef VALIDATOR_BANK_H
#define VALIDATOR_BANK_H

/* ---- token: a card without its number -------------------------------------------------------------- */

#define BANK_TOKEN_BYTES 16
#define BANK_TOKEN_KEY_BYTES 16
/* HMAC-SM3 of the ten bytes of a tap's pan under the city's token key, its first half. */
int bank_token(const uint8_t key[BANK_TOKEN_KEY_BYTES], const uint8_t pan[10], uint8_t ret_token[BANK_TOKEN_BYTES]) VALIDATOR_MUST_CHECK;

/* ---- kernel ------------------------------------------------------------------------------------------ */

enum bank_answer { BANK_GOOD = 0, BANK_GONE, BANK_NOT_TAKEN, BANK_INCOMPLETE, BANK_EXPIRED, BANK_FORGED, BANK_DECLINED };
#define BANK_ISSUER_DATA_MAX 32
struct bank_terminal { const struct oda_keys *keys; uint16_t country, currency; enum oda_method least; int64_t now_ms; uint8_t random[4]; };
struct bank_card {			/* what one reading found; the number only after authentication */
	uint8_t aid[16], aid_bytes, ca_index, aip[2], psn;
	uint8_t pan[10];		/* as in a tap: BCD, right aligned */
	enum oda_method method; enum oda_verdict verdict;
	uint8_t issuer_serial[3], card_serial[3];
	uint16_t atc; uint8_t cid, cryptogram[8], issuer_data[BANK_ISSUER_DATA_MAX], issuer_data_bytes;
	const char *what;		/* of a refusal: which object or step, static text */
};
/* SELECT PPSE and application, GPO, READ RECORD, authentication, cryptogram: one card, one answer. terminal->random is
 * fresh for each call. *ret_card is filled as far as it came. */
enum bank_answer bank_read(struct reader *card, const struct bank_terminal *terminal, struct bank_card *ret_card);

/* ---- proof: what the record carries for the issuer and the centre ---------------------------------- */

#define BANK_PROOF_BYTES_MAX 256
/* BER-TLV of docs/bank-cards.md; the length, or TAP_E_SPACE. tap: time and what gate put into it. */
int bank_proof_put(const struct bank_card *card, const struct bank_terminal *terminal, const struct tap *tap, uint8_t *out, size_t out_bytes) VALIDATOR_MUST_CHECK;
/* The proof in tap->qr is whole and of this tap: method, counter, random, cryptogram and day agree. NULL: it is; else
 * the object at fault. ret_rid and ret_index name the scheme key (may be NULL). */
const char *bank_proof_fault(const struct tap *tap, uint8_t ret_rid[5], uint8_t *ret_index);

/* ---- deny list --------------------------------------------------------------------------------------- */

/*
 * Text: "qingfen-deny 1 VERSION COUNT", one "TOKEN,reason" a line in rising order, "signature HEX128" of the centre
 * (SM2 over everything before). Reasons: bank, arrears, risk. Refused whole with name:line:column.
 */
enum deny_reason { DENY_BANK = 1, DENY_ARREARS = 2, DENY_RISK = 3 };
const char *deny_reason_name(enum deny_reason r);
struct deny_row { uint8_t token[BANK_TOKEN_BYTES]; uint8_t reason; };
#define DENY_ROWS_MAX 4000000
struct deny_list;
int deny_parse(const char *name, const void *p, size_t n, const uint8_t point[65], struct deny_list **ret_list, char *ret_error, size_t error_bytes) VALIDATOR_MUST_CHECK;
void deny_free(struct deny_list *d);	/* NULL is fine */
uint32_t deny_version(const struct deny_list *d);
size_t deny_count(const struct deny_list *d);
bool deny_has(const struct deny_list *d, const uint8_t token[BANK_TOKEN_BYTES], enum deny_reason *ret_reason);
/* The centre's side: sorts row, drops what stands twice; *ret_text is malloc'ed. */
int deny_seal(const struct qr_key *key, uint32_t version, struct deny_row *row, size_t count, char **ret_text, size_t *ret_n) VALIDATOR_MUST_CHECK;

/* ---- risk: rides nobody has answered for yet ----------------------------------------------------------- */

#define BANK_RISK_CARDS_MAX 4096	/* cards between two uploads of one vehicle; more new ones are refused */
struct bank_policy { enum oda_method least; uint32_t first_fen, card_fen; uint16_t country, currency; uint8_t token_key[BANK_TOKEN_KEY_BYTES]; };
struct bank_risk;
int bank_risk_new(struct bank_risk **ret_risk) VALIDATOR_MUST_CHECK;
void bank_risk_free(struct bank_risk *r);
/* The centre has receipted this tap: its fare is no longer unanswered; good: the card is known from now on. */
void bank_risk_answered(struct bank_risk *r, const struct bank_policy *policy, const struct tap *tap, bool good);
/* For keeping over a restart: bytes with a check sum; *ret_p is malloc'ed. False: not such bytes, nothing was changed. */
int bank_risk_save(const struct bank_risk *r, uint8_t **ret_p, size_t *ret_n) VALIDATOR_MUST_CHECK;
bool bank_risk_load(struct bank_risk *r, const uint8_t *p, size_t n);
size_t bank_risk_count(const struct bank_risk *r);

/* ---- the bank side of a gate ---------------------------------------------------------------------------- */

struct bank_gate;
/* Everything is borrowed. */
int bank_gate_new(struct gate *g, const struct oda_keys *keys, const struct bank_policy *policy, struct bank_risk *risk, struct bank_gate **ret_gate) VALIDATOR_MUST_CHECK;
void bank_gate_free(struct bank_gate *b);
/* serial: the terminal's own. GATE_GO: *ret_tap is the record, its proof valid until the next tap here. *ret_card: what
 * was read, whatever the answer. deny: the list in force, NULL none. */
enum gate_answer bank_gate_tap(struct bank_gate *b, struct reader *card, const struct gate_setting *s, const struct deny_list *deny, uint32_t serial,
			       int64_t now_ms, struct tap *ret_tap, struct bank_card *ret_card);

/* ---- a bank card in software ------------------------------------------------------------------------------ */

/* It signs with its keys like silicon; certificates are made when it is. clone: the records of a true card without its
 * private key. fast: the signature comes with GPO (fast DDA). */
struct bank_issue {
	uint8_t aid[16], aid_bytes, ca_index;
	const struct oda_signer *ca, *issuer, *card;	/* borrowed while made; card while it lives */
	uint8_t pan[10]; uint8_t expiry[3];		/* as in a tap | YYMMDD BCD */
	enum oda_method method; bool fast, clone; uint16_t atc;
};
struct soft_bank;
int soft_bank_new(const struct bank_issue *issue, struct soft_bank **ret_card) VALIDATOR_MUST_CHECK;
void soft_bank_free(struct soft_bank *c);
struct reader *soft_bank_reader(struct soft_bank *c);
void soft_bank_tear_after(struct soft_bank *c, unsigned apdus);	/* as soft_card_tear_after */
uint16_t soft_bank_atc(const struct soft_bank *c);

#endif
