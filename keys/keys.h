/*
 * keys - secrets in, codes out.
 *
 * Everything cryptographic that a fare needs: the keyring (root keys with issuer, version and
 * validity), key diversification, the PBOC purse codes MAC1, MAC2 and TAC in 3DES and SM4, the
 * SM2 signatures of T-Union QR codes, the certificates of bank cards, and digests. This folder uses
 * nothing else of ours: bytes come in, codes and answers go out. It never logs and never reads the
 * time of day; "now" is an argument.
 *
 * Layouts: JT/T 978 purse application as restated in docs/keys.md; MACs ISO/IEC 9797-1.
 * Times are int64 milliseconds since 1970-01-01 UTC. All multi-byte integers are big-endian.
 *
 * Errors: 0 is good; negative KEYS_E_* (-2xxx) or -errno otherwise; outputs named ret_* are
 * untouched on failure.
 */
#ifndef KEYS_KEYS_H
#define KEYS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define KEYS_MUST_CHECK __attribute__((warn_unused_result))

#define KEY_BYTES	16	/* a double-length 3DES key and an SM4 key are both 16 bytes */
#define KEY_FACTOR_BYTES 8	/* one diversification factor */
#define MAC_BYTES	4	/* MAC1, MAC2 and TAC: leftmost 4 bytes of the last block */

enum keys_error {
	KEYS_E_CRYPTO = -2001,		/* the library refused an operation it must support */
	KEYS_E_FORMAT = -2002,		/* keyring file is not one, or is of a newer version */
	KEYS_E_PASSPHRASE = -2003,	/* wrong passphrase, or the file was changed */
	KEYS_E_NOT_FOUND = -2004,	/* no key for this issuer, version, algorithm and time */
	KEYS_E_CHECK_VALUE = -2005,	/* the check value does not match the key */
	KEYS_E_FULL = -2006,		/* more than KEYRING_ENTRIES_MAX keys */
	KEYS_E_DUPLICATE = -2007,	/* same purpose, issuer, version and algorithm twice */
	KEYS_E_BLOCK = -2008,		/* a key block was changed, or is of another storage key */
	KEYS_E_WEAK = -2009,		/* a component or key that protects nothing, or a published test key */
	KEYS_E_ANSWER = -2010,		/* the known answer differs: this is not the key it is said to be */
	KEYS_E_DEVICE = -2011,		/* the key device is absent, refuses, or does not hold the key */
};

/* A sentence for a KEYS_E_* code; NULL when the code is not of this folder. */
const char *keys_strerror(int code);

/* ---- algorithms -------------------------------------------------------------------------- */

enum key_alg {
	KEY_ALG_3DES = 0,	/* international set */
	KEY_ALG_SM4 = 1,	/* domestic set */
};

/* The algorithm id byte on cards and in records (00 = 3DES, 01 = SM4 by our profile). The byte is
 * data: an unknown value is "cannot verify", never "TAC wrong". False when unknown. */
bool key_alg_of_id(uint8_t alg_id, enum key_alg *ret_alg);

/*
 * One thread's cryptographic workspace: ciphers fetched once, contexts reused. Never shared between
 * threads. The caller frees it with mac_engine_free (NULL is fine).
 */
struct mac_engine;
int mac_engine_new(struct mac_engine **ret_engine) KEYS_MUST_CHECK;
void mac_engine_free(struct mac_engine *engine);

/* One level of key diversification. 3DES: E_K(X) | E_K(~X). SM4: one block over X | ~X. */
int key_diversify(struct mac_engine *engine, enum key_alg alg, const uint8_t parent[KEY_BYTES],
		  const uint8_t factor[KEY_FACTOR_BYTES], uint8_t ret_key[KEY_BYTES]) KEYS_MUST_CHECK;

/* Key check value: 3DES the first 3 bytes of E(0), SM4 the first 3 bytes of CMAC over 16 zeros. */
int key_check_value(struct mac_engine *engine, enum key_alg alg, const uint8_t key[KEY_BYTES],
		    uint8_t ret_kcv[3]) KEYS_MUST_CHECK;

/* Date and time as the card and the terminal put it into MACs: BCD YYYYMMDDhhmmss, local time. */
struct mac_time { uint8_t bcd[7]; };
/* Convert at the edge; offset is fixed +08:00 (Asia/Shanghai keeps no summer time). */
struct mac_time mac_time_of_ms(int64_t time_ms);
/* Strict: every nibble <= 9 and a date that exists, else false. */
bool mac_time_to_ms(const struct mac_time *t, int64_t *ret_ms);

/* Everything that enters MAC1, MAC2 and TAC of a purchase. Amount in fen. */
struct purchase {
	uint32_t amount_fen;		/* debited, not the list fare; 0 for a free ride */
	uint8_t txn_type;		/* 06 single purchase, 09 composite purchase */
	uint8_t terminal[6];		/* terminal number = PSAM number, BCD */
	uint32_t terminal_serial;
	struct mac_time time;
	uint8_t random[4];		/* card's random, for the session key */
	uint16_t card_counter;		/* offline counter, for the session key */
};

/* Session key, MAC1 and MAC2 with a card-level purchase key (DPK); TAC with a card-level TAC key
 * (DTK: for 3DES the two halves are folded, for SM4 all 16 bytes are used). */
int mac_purchase_mac1(struct mac_engine *engine, enum key_alg alg, const uint8_t dpk[KEY_BYTES],
		      const struct purchase *p, uint8_t ret_mac[MAC_BYTES]) KEYS_MUST_CHECK;
int mac_purchase_mac2(struct mac_engine *engine, enum key_alg alg, const uint8_t dpk[KEY_BYTES],
		      const struct purchase *p, uint8_t ret_mac[MAC_BYTES]) KEYS_MUST_CHECK;
int mac_purchase_tac(struct mac_engine *engine, enum key_alg alg, const uint8_t dtk[KEY_BYTES],
		     const struct purchase *p, uint8_t ret_tac[MAC_BYTES]) KEYS_MUST_CHECK;

/* MAC of a card command under secure messaging (application lock, file update): card-level key, the card's challenge as
 * initial value, header and data as sent. 3DES by ISO/IEC 9797-1 algorithm 3, SM4 by CBC (assumption). n <= 40. */
int mac_command(struct mac_engine *engine, enum key_alg alg, const uint8_t key[KEY_BYTES], const uint8_t random[4], const uint8_t *in, size_t n,
		uint8_t ret_mac[MAC_BYTES]) KEYS_MUST_CHECK;

/* Constant-time comparison. */
bool mac_equal(const uint8_t *a, const uint8_t *b, size_t n);
/* Overwrite a secret; never optimised away. */
void key_wipe(void *p, size_t n);

/* ---- keyring ----------------------------------------------------------------------------- */

#define KEYRING_ENTRIES_MAX 256
#define KEY_LEVELS_MAX 3

enum key_purpose { KEY_PURCHASE = 1, KEY_LOAD = 2, KEY_TAC = 3, KEY_LOCK = 4, KEY_UPDATE = 5, KEY_UNLOCK = 6 };
const char *key_purpose_name(enum key_purpose purpose);		/* purchase, load, tac, lock, update, unlock */
bool key_purpose_of(const char *name, enum key_purpose *ret_purpose);

/*
 * How a card's key comes from the one we hold: one diversification a level, from the top down. The last is always
 * the card. An entry of root -> issuer -> card has issuer, card; an issuer's own key has card alone; a metro's
 * three levels are line, area, card. Area and line are constants of the key.
 */
enum key_factor {
	KEY_FACTOR_ISSUER = 1,		/* institution number 4 | FFFFFFFF */
	KEY_FACTOR_AREA = 2,		/* area code, 8 bytes as the issuer pads it */
	KEY_FACTOR_LINE = 3,		/* line constant, 8 bytes */
	KEY_FACTOR_CARD = 4,		/* the rightmost 16 digits of the application serial number */
};
/* "issuer,card" or "line=00000000000000A1,area=0791FFFFFFFFFFFF,card". False: not so. */
struct key_entry;
bool key_factors_of(const char *text, struct key_entry *ret_entry);
#define KEY_FACTORS_TEXT_BYTES 96
void key_factors_text(const struct key_entry *entry, char ret_text[KEY_FACTORS_TEXT_BYTES]);

#define KEY_FLAG_TEST 1			/* a test key: a production ring or daemon takes it only when told so */
#define KEY_FLAG_INACTIVE 2		/* loaded, its known answer not yet seen: used for nothing */
#define KEY_FLAG_DISTRUSTED 4		/* compromised: proves nothing about taps from distrust_from_ms on */
#define KEY_FLAG_IN_DEVICE 8		/* the secret is in a key device; the ring holds a reference to it */

/* What a key is for. The secret itself is not in here. */
struct key_entry {
	enum key_purpose purpose;
	enum key_alg alg;
	uint8_t scheme;			/* 0 T-Union; others are the city's own numbers of older card systems */
	uint8_t issuer[4];		/* BCD institution number, e.g. 02184280 */
	uint8_t version;
	uint8_t index;			/* key index as taps name it; 0: every index */
	uint8_t flags;
	uint8_t levels;			/* how many factors; factor[] all 0: 1 is card, 2 is issuer and card */
	uint8_t factor[KEY_LEVELS_MAX], constant[KEY_LEVELS_MAX][KEY_FACTOR_BYTES];
	int64_t valid_from_ms, valid_to_ms; /* of the tap's time, [from, to): to is the retirement; INT64_MAX: open */
	int64_t distrust_from_ms;
	uint8_t kcv[3];
	uint8_t known_pan[10], known_kcv[3]; /* the known answer: check value of this card's key; pan all 0: none */
	uint8_t act[32];		/* SHA-256 of what the custodians signed; 0: no ceremony */
};

/* Loaded keys, immutable after load, shared by threads for reading. */
struct keyring;
int keyring_new(struct keyring **ret_ring) KEYS_MUST_CHECK;
void keyring_free(struct keyring *ring);	/* wipes; NULL is fine */
/* Adds a key; entry->kcv is computed and filled in. With KEY_FLAG_IN_DEVICE key is the device's reference (key_backend
 * below) and kcv, known_pan and known_kcv must be there: they are how a device that lies is found. */
int keyring_add(struct keyring *ring, struct key_entry *entry, const uint8_t key[KEY_BYTES]) KEYS_MUST_CHECK;
/* Changes of a key's life, i as keyring_entry. Activation asks for the known answer: the check value of the key of the
 * card pan; KEYS_E_ANSWER when it differs. Retirement ends validity, distrust makes taps from a time on pending. */
int keyring_activate(struct keyring *ring, size_t i, const uint8_t pan[10], const uint8_t kcv[3]) KEYS_MUST_CHECK;
int keyring_retire(struct keyring *ring, size_t i, int64_t at_ms) KEYS_MUST_CHECK;
void keyring_distrust(struct keyring *ring, size_t i, int64_t from_ms);
size_t keyring_test_count(const struct keyring *ring);	/* of KEY_FLAG_TEST */
/* One ring in the place of another, in a house that is running. keyring_prove: every active key whose secret is here has its
 * check value, and its known answer when a ceremony left one; KEYS_E_CHECK_VALUE or KEYS_E_ANSWER and the key. keyring_lacks:
 * what a TAC key of before, active and valid at from_ms or later, lacks in ring, as a clause, and its number in before; NULL:
 * nothing. A key may be retired earlier and distrusted earlier, nothing else. */
int keyring_prove(const struct keyring *ring, size_t *ret_i) KEYS_MUST_CHECK;
const char *keyring_lacks(const struct keyring *ring, const struct keyring *before, int64_t from_ms, size_t *ret_i);
/*
 * Encrypted file of key blocks: each key under AES-256-GCM with its purpose, algorithm, scheme, issuer, version, index,
 * levels, validity and state as authenticated data, the whole under HMAC-SHA256, both keys from the passphrase by scrypt.
 * Layout in docs/keys.md. Mode 0600, written beside the target, synced, renamed. A bit changed anywhere is refused.
 */
int keyring_save(const struct keyring *ring, const char *path, const char *passphrase) KEYS_MUST_CHECK;
int keyring_open(const char *path, const char *passphrase, struct keyring **ret_ring) KEYS_MUST_CHECK;
size_t keyring_count(const struct keyring *ring);
const struct key_entry *keyring_entry(const struct keyring *ring, size_t i);

/* Card-level key of this purpose for a card. pan is the 10-byte BCD application serial number; the
 * card factor is its last 8 bytes (JT/T 978 as restated in docs/keys.md). KEYS_E_NOT_FOUND when we
 * hold no root for this issuer, version, algorithm id at that time. */
int keyring_card_key(const struct keyring *ring, struct mac_engine *engine, enum key_purpose purpose,
		     const uint8_t issuer[4], uint8_t version, uint8_t alg_id, int64_t at_ms,
		     const uint8_t pan[10], uint8_t ret_key[KEY_BYTES]) KEYS_MUST_CHECK;

/* ---- ceremonies: a key from components --------------------------------------------------------- */

#define KEY_PARTS_MAX 3
/* The exclusive or of two or three components, none of which tells anything of the key. KEYS_E_WEAK: fewer than two,
 * one that is all zero or stands there twice, a result whose halves are equal (3DES), or a key that was published. */
int key_parts_combine(enum key_alg alg, const uint8_t (*part)[KEY_BYTES], size_t parts, uint8_t ret_key[KEY_BYTES]) KEYS_MUST_CHECK;
/* A random component; KEYS_E_CRYPTO. */
int key_part_new(uint8_t ret_part[KEY_BYTES]) KEYS_MUST_CHECK;
bool key_published(const uint8_t key[KEY_BYTES]);	/* a test key of a public document or of this project */

/* ---- answers about a tap ----------------------------------------------------------------- */

/* What the key check of a record found. Numbers are on disk and never change. */
enum key_check {
	KEY_CHECK_NONE = 0,		/* record kind carries no code (sign-on events) */
	KEY_CHECK_GOOD = 1,		/* TAC or signature verified by us */
	KEY_CHECK_BAD = 2,		/* verified and wrong */
	KEY_CHECK_GREY = 3,		/* TAC all F or all 0: waiting for recovery, never a failure */
	KEY_CHECK_FOREIGN = 4,		/* another issuer's card: its centre judges, pending */
	KEY_CHECK_NO_KEY = 5,		/* our issuer, but no key of this version or algorithm: pending */
	KEY_CHECK_DEVICE = 6,		/* bank card: offline data authentication done by the validator */
	KEY_CHECK_UNAVAILABLE = 7,	/* our key, but the key device did not answer in time or not truly: asked again */
	KEY_CHECK_DISTRUSTED = 8,	/* the code is of a key compromised before the tap: a person reviews it */
};
const char *key_check_name(enum key_check check);

struct tac_question {
	const struct purchase *purchase;
	const uint8_t *issuer;		/* 4 bytes */
	const uint8_t *pan;		/* 10 bytes */
	uint8_t scheme, key_version, key_index, alg_id;
	int64_t at_ms;
	const uint8_t *tac;		/* 4 bytes */
};
/* Judge one TAC: GREY, FOREIGN (no root of any version for this issuer), NO_KEY, DISTRUSTED, UNAVAILABLE (the
 * secret is in a device, which tac_verify does not ask), GOOD or BAD.
 * Compares in constant time. A library failure answers NO_KEY (pending), never GOOD or BAD. */
enum key_check tac_verify(struct mac_engine *engine, const struct keyring *ring,
			  const struct tac_question *q);

/*
 * Many TACs at once, with the same answers: where the processor can, SM4 in vector lanes and 3DES bitsliced, else
 * and for a few records one by one through OpenSSL. One per thread; the caller frees it. lanes false: OpenSSL only.
 * A known-answer test at the start decides; a path that fails it is not used.
 */
struct tac_batch;
int tac_batch_new(bool lanes, struct tac_batch **ret_batch) KEYS_MUST_CHECK;
void tac_batch_free(struct tac_batch *b);	/* wipes; NULL is fine */
const char *tac_batch_path(const struct tac_batch *b, enum key_alg alg);	/* openssl, avx2, avx512 or self-test-failed */
/* An answer for each of n questions, in any order of issuers and algorithms. The ring is remembered between calls:
 * before another one is used, tac_batch_forget; it wipes every key that was derived of the old, ready contexts included. */
void tac_batch_verify(struct tac_batch *b, const struct keyring *ring, const struct tac_question *q, size_t n, enum key_check *ret_check);
void tac_batch_forget(struct tac_batch *b);

/* ---- key backends -------------------------------------------------------------------------- */

/*
 * Who keeps the secrets. The ring is the directory in every case: what a key is for, how long, and its known answer; the
 * backend has the secret and makes codes with it. software: the ring's own keys, in this process. pkcs11: 3DES keys of a
 * token, the reference being the label of a CKO_SECRET_KEY object; keys between it and the card's are derived inside
 * (CKM_DES3_ECB_ENCRYPT_DATA) and stay there. sdf: SM4 keys by GM/T 0018, the reference being the key encrypted under a
 * key-encrypting key of the device; one factor only, since SDF derives nothing inside. Neither does the other's algorithm.
 * A backend is used by one thread. Calls may take as long as the device takes: key_device below bounds them.
 */
struct key_backend_conf {
	const char *module;		/* vendor's library, loaded by its path */
	const char *token, *pin;	/* pkcs11: label of the token, the user's PIN */
	uint32_t kek;			/* sdf: number of the key-encrypting key */
};
struct key_backend {
	const char *name;
	/* Keeps ring, not conf. A key the device does not have is no error, since another may be loaded before it and one
	 * retired be gone from it; none at all is. */
	int (*open)(const struct key_backend_conf *conf, const struct keyring *ring, void **ret_self);
	/* Number of the ring's TAC key a record names, when it is this backend's; KEYS_E_NOT_FOUND. */
	int (*find)(void *self, const struct tac_question *q, size_t *ret_key);
	/* The codes of n records under the card keys of one key: derived and computed together. */
	int (*tacs)(void *self, size_t key, const struct tac_question *const *q, size_t n, uint8_t (*ret_tac)[MAC_BYTES]);
	/* Check value of one card's key: the known answer. */
	int (*card_check)(void *self, size_t key, const uint8_t pan[10], uint8_t ret_kcv[3]);
	void (*status)(void *self, char *ret_text, size_t bytes);	/* who the device says it is, how many keys it has */
	void (*close)(void *self);	/* NULL is fine */
};
extern const struct key_backend key_backend_software, key_backend_pkcs11, key_backend_sdf;
const struct key_backend *key_backend_of(const char *name);	/* software, pkcs11, sdf; NULL */

/*
 * A device behind a worker thread and a deadline, shared by all threads. It is believed only while its known answers
 * come back right and in time: they are asked for before and after the keys of each batch, and every retry_ms when
 * nothing else is; a code found wrong is computed twice, the second time among others. Slow, absent or lying, it is left
 * alone for retry_ms and every question meanwhile answered at once by KEY_CHECK_UNAVAILABLE, which is no verdict: the
 * record is asked about again.
 */
struct key_device;
struct key_device_conf { const struct key_backend *backend; struct key_backend_conf at; int64_t deadline_ms, retry_ms; };
struct key_device_status { const char *backend; bool up; char text[160]; uint64_t asked, unanswered, opened, lies; };	/* records asked about | of them without answer | times it came up | known answers or codes that contradicted */
/* Starts the worker; an absent device is no error. ring outlives it. pin is copied and wiped in the end. */
int key_device_new(const struct key_device_conf *conf, const struct keyring *ring, struct key_device **ret_device) KEYS_MUST_CHECK;
/* After the last key_device_verify has returned. False: a call of the device has not returned and was left behind with its
 * thread, which still reads the ring. NULL is fine. */
bool key_device_free(struct key_device *device);
/* Answers those of n questions whose check is KEY_CHECK_UNAVAILABLE, within deadline_ms or not at all. */
void key_device_verify(struct key_device *device, const struct tac_question *q, size_t n, int64_t deadline_ms, enum key_check *io_check);
/* Waits until the worker has looked at the device once, wait_ms at most. True: it is up; the status says why it is not. */
bool key_device_wait(struct key_device *device, int64_t wait_ms) KEYS_MUST_CHECK;
void key_device_status(struct key_device *device, struct key_device_status *ret_status);

/* ---- T-Union QR code (JT/T 1179 family, as restated in docs/keys.md) ---------------------- */

#define QR_BYTES_MAX 588		/* 332 fixed + 255 custom + 1 spare */

enum qr_verdict {
	QR_GOOD = 0, QR_MALFORMED, QR_VERSION, QR_CERT_EXPIRED, QR_CERT_SIGNATURE, QR_UNKNOWN_CA,
	QR_AUTH_EXPIRED, QR_CODE_EXPIRED, QR_ISSUER_SIGNATURE, QR_USER_SIGNATURE, QR_ACCOUNT_TYPE,
};
const char *qr_verdict_name(enum qr_verdict verdict);

struct qr_code {			/* fields in clear; pointers into the payload */
	uint8_t version;
	uint8_t cert_issuer[4];
	uint8_t ca_index;
	char pay_account[17];
	uint8_t pan[10];
	uint8_t issuer[4], platform[4];
	uint8_t account_type;
	uint32_t ride_limit_fen;
	uint8_t user_key[33];
	uint32_t auth_expiry_s;		/* Unix seconds UTC */
	uint16_t validity_s;
	uint32_t generated_s;		/* Unix seconds UTC */
	const uint8_t *custom; uint8_t custom_bytes;
};
/* Parse only. False: malformed, with ret_reason set to a static sentence. */
bool qr_parse(const uint8_t *p, size_t n, struct qr_code *ret_code, const char **ret_reason);

/* CA public keys by index; and a cache of verified issuer certificates and user authorisations.
 * One per thread. */
struct qr_verifier;
int qr_verifier_new(struct qr_verifier **ret_verifier) KEYS_MUST_CHECK;
void qr_verifier_free(struct qr_verifier *v);
/* CA file: lines "index hex65" (04|x|y); '#' comments. */
int qr_verifier_load_ca(struct qr_verifier *v, const char *path, char *ret_error, size_t error_bytes) KEYS_MUST_CHECK;
int qr_verifier_add_ca(struct qr_verifier *v, uint8_t index, const uint8_t point[65]) KEYS_MUST_CHECK;
/* at_s: the moment the code was shown, Unix seconds UTC. */
enum qr_verdict qr_verify(struct qr_verifier *v, const uint8_t *p, size_t n, int64_t at_s,
			  struct qr_code *ret_code);

/* What makes a code one of a kind: card account and second of generation. Not its signature: SM2 signs the same bytes
 * differently each time, and one code signed twice is still one. Two records of one key are one code shown twice. */
#define QR_REPLAY_BYTES 14
void qr_replay_key(const struct qr_code *code, uint8_t ret_key[QR_REPLAY_BYTES]);

/* Making codes (simulated code platform and tests). A signing key pair on SM2. */
struct qr_key;
int qr_key_new(struct qr_key **ret_key) KEYS_MUST_CHECK;		/* random */
int qr_key_of_secret(const uint8_t d[32], struct qr_key **ret_key) KEYS_MUST_CHECK;
void qr_key_free(struct qr_key *key);
void qr_key_point(const struct qr_key *key, uint8_t ret_point[65]);	/* 04|x|y */
void qr_key_compressed(const struct qr_key *key, uint8_t ret_point[33]);
/* A 117-byte issuer certificate signed by ca; expiry as MMYY. */
int qr_make_cert(const struct qr_key *ca, uint8_t ca_index, const uint8_t issuer[4],
		 const uint8_t expiry_mmyy[2], const struct qr_key *issuer_key, uint8_t ret_cert[117]) KEYS_MUST_CHECK;
struct qr_account {
	const char *pay_account; uint8_t pan[10], issuer[4], platform[4];
	uint8_t account_type; uint32_t ride_limit_fen; uint32_t auth_expiry_s; uint16_t validity_s;
	const uint8_t *custom; uint8_t custom_bytes;
};
/* Issuer-signed part (fields 1-15) once per user and validity; ret_auth has QR_BYTES_MAX bytes. */
int qr_make_auth(const uint8_t cert[117], const struct qr_key *issuer_key, const struct qr_account *account,
		 const struct qr_key *user_key, uint8_t *ret_auth, size_t *ret_bytes) KEYS_MUST_CHECK;
/* The whole code for one moment; ret_code has QR_BYTES_MAX bytes. */
int qr_make_code(const uint8_t *auth, size_t auth_bytes, const struct qr_key *user_key, uint32_t generated_s,
		 uint8_t *ret_code, size_t *ret_bytes) KEYS_MUST_CHECK;

/* ---- digests and signatures -------------------------------------------------------------- */

#define DIGEST_BYTES 32
int digest_sha256(const void *p, size_t n, uint8_t ret_digest[DIGEST_BYTES]) KEYS_MUST_CHECK;
void digest_once(const void *p, size_t n, uint8_t ret_digest[DIGEST_BYTES]);	/* the same: it cannot fail and takes no memory */
int digest_sm3(const void *p, size_t n, uint8_t ret_digest[DIGEST_BYTES]) KEYS_MUST_CHECK;
/* Keyed hash HMAC (RFC 2104) with SM3; any key length. */
int hmac_sm3(const void *key, size_t key_bytes, const void *p, size_t n, uint8_t ret_digest[DIGEST_BYTES]) KEYS_MUST_CHECK;
/* SHA-256 over pieces, a value that may lie anywhere and takes no memory; its words are digest.c's business. digest_end
 * leaves it ready for digest_reset. */
struct digest { uint64_t words[14]; };
void digest_reset(struct digest *d);
void digest_add(struct digest *d, const void *p, size_t n);
void digest_end(struct digest *d, uint8_t ret_digest[DIGEST_BYTES]);
/* The same on the heap; free with digest_free (NULL is fine). */
int digest_new(struct digest **ret_digest) KEYS_MUST_CHECK;
void digest_free(struct digest *d);
/* Raw SM2 signature r|s (64 bytes) over a message with the default id 1234567812345678. */
int sm2_sign(const struct qr_key *key, const void *p, size_t n, uint8_t ret_sig[64]) KEYS_MUST_CHECK;
bool sm2_verify(const uint8_t point[65], const void *p, size_t n, const uint8_t sig[64]);

#include "keys/oda.h"	/* bank cards */

/* Hex text to bytes: exactly n bytes, no separators. False otherwise. */
bool hex_decode(const char *text, uint8_t *ret_bytes, size_t n);
/* Bytes to upper-case hex; ret_text has 2n+1 bytes. */
void hex_encode(const uint8_t *p, size_t n, char *ret_text);

#endif
