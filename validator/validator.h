/*
 * validator - the tap record, the batch and frame on the wire, and the agent on the bus.
 *
 * One record serves all media. It is a msgpack positional array; the table below gives order, name and
 * type of every field and is the only place that knows them (docs/tap-format.md shows the bytes).
 * Later versions append fields; a reader skips trailing fields it does not know. A record is decoded
 * only after a bounds walk that allocates nothing.
 *
 * Uses keys and tariffs. Times int64 ms UTC, money in fen, BCD as bytes. Errors: 0 good, negative
 * TAP_E_* (-1xxx) or -errno.
 */
#ifndef VALIDATOR_VALIDATOR_H
#define VALIDATOR_VALIDATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys/keys.h"
#include "tariffs/tariffs.h"

#define VALIDATOR_MUST_CHECK __attribute__((warn_unused_result))

enum tap_error {
	TAP_E_TRUNCATED = -1001,	/* a length runs past the end */
	TAP_E_SYNTAX = -1002,		/* not the msgpack type the table asks for */
	TAP_E_VERSION = -1003,		/* a record version we do not read */
	TAP_E_RANGE = -1004,		/* a value outside its field's bounds */
	TAP_E_TRAILING = -1005,		/* bytes after the record */
	TAP_E_DEPTH = -1006,		/* nested deeper than allowed, or more elements than bytes */
	TAP_E_COUNT = -1007,		/* batch: count differs from the taps present */
	TAP_E_TOTAL = -1008,		/* batch: amount total differs */
	TAP_E_DIGEST = -1009,		/* batch: digest differs */
	TAP_E_SERIALS = -1010,		/* batch: first/last serial differ from the taps */
	TAP_E_SPACE = -1011,		/* output buffer too small */
	TAP_E_FRAME = -1012,		/* frame length or type impossible */
	TAP_E_SPOOL = -1013,		/* spool file damaged beyond its tail */
};
const char *tap_strerror(int code);	/* NULL when the code is not of this folder */

/* ---- the tap record --------------------------------------------------------------------- */

enum tap_kind {				/* numbers are on the wire and on disk */
	TAP_PURCHASE = 1,		/* T-Union purse, single purchase (type 06) */
	TAP_BOARD = 2,			/* composite purchase: boarding, entry (type 09) */
	TAP_ALIGHT = 3,			/* composite purchase: alighting, exit */
	TAP_PRODUCT = 4,		/* monthly or count product inside the purse */
	TAP_QR = 5,			/* T-Union QR code, payload attached */
	TAP_BANK = 6,			/* bank card, offline data authentication */
	TAP_BANK_QR = 7,		/* UnionPay ride code */
	TAP_MANUAL = 8,			/* driver's console: papers shown, no card */
	TAP_LOCK = 9,			/* black-listed card locked */
	TAP_IDENTITY = 10,		/* identity code of the electronic social security card: only its platform can tell whose (docs/codes.md) */
	TAP_SIGN_ON = 16,		/* driver signs on */
	TAP_SIGN_OFF = 17,
	TAP_LINE_ON = 18,		/* line and direction set */
};
bool tap_kind_is_ride(uint8_t kind);	/* kinds 1-8 and 10 */

/* TAP_INSIDE: the rider changed at this gate without leaving the paid area. TAP_OFFLINE: its platform was to be asked at the gate and was
 * not reached. TAP_ASKED: it was, and said good; the device's word, which proves nothing. */
enum tap_flag { TAP_GREY = 1, TAP_RECOVERED = 2, TAP_TEST = 4, TAP_TRANSFER_MARK = 8, TAP_OFFLINE = 16, TAP_INSIDE = 32, TAP_ASKED = 64 };

#define TAP_QR_BYTES_MAX QR_BYTES_MAX
#define TAP_ENCODED_BYTES_MAX 1024
#define TAP_VERSION 2
#define TAP_RIDE_MS_MAX 86400000LL	/* between the ends of a ride that one record tells */

/*
 * X(name, type, argument, sentence). Types: UINT max; INT min (i64); BIN exact length; VAR max length
 * (bin); STR max bytes. Order is the wire order; numbers never move. Version 1 ends with series; version 2 appends.
 */
#define TAP_FIELDS(X) TAP_FIELDS_1(X) TAP_FIELDS_2(X)
#define TAP_FIELDS_1(X) \
	X(version,        UINT, 255,        "record version, 2") \
	X(kind,           UINT, 255,        "enum tap_kind") \
	X(medium,         UINT, 15,         "enum ride_medium") \
	X(flags,          UINT, 65535,      "enum tap_flag bits") \
	X(pan,            BIN,  10,         "application serial number, 19 digits BCD with leading 0; bank cards: BCD right aligned") \
	X(issuer,         BIN,  4,          "issuer institution, BCD") \
	X(card_city,      UINT, 0xffff,     "city code of the card, BCD as hex, 0x4280") \
	X(card_class,     UINT, 255,        "file 0x17 byte 10: 01 ordinary 02 student 03 elderly 04 test 05 soldier") \
	X(card_subtype,   UINT, 0xffff,     "file 0x15 bytes 28-29") \
	X(card_counter,   UINT, 0xffff,     "offline transaction counter") \
	X(balance_before, INT,  0,          "fen") \
	X(balance_after,  INT,  0,          "fen") \
	X(list_fen,       UINT, 0x7fffffff, "list fare shown, fen") \
	X(amount_fen,     UINT, 0x7fffffff, "debited, fen") \
	X(txn_type,       UINT, 255,        "type byte the card used: 06, 09") \
	X(terminal,       BIN,  6,          "terminal number, BCD") \
	X(terminal_serial, UINT, 0xffffffff, "terminal transaction serial") \
	X(psam,           BIN,  6,          "PSAM number, BCD") \
	X(key_version,    UINT, 255,        "") \
	X(key_index,      UINT, 255,        "") \
	X(alg_id,         UINT, 255,        "algorithm id as the card answered") \
	X(random,         BIN,  4,          "card's random") \
	X(tac,            BIN,  4,          "transaction authentication code; FFFFFFFF grey") \
	X(time_ms,        INT,  0,          "validator's clock, ms UTC; the TAC covers its local seconds") \
	X(operator_id,    UINT, 0xffffffff, "operator of the vehicle") \
	X(line,           STR,  47,         "line, as in lines.csv") \
	X(direction,      UINT, 255,        "0 up, 1 down") \
	X(vehicle,        STR,  15,         "plate or fleet number") \
	X(stop,           UINT, 0xffff,     "stop now, 1-based; 0 unknown") \
	X(stop_on,        UINT, 0xffff,     "boarding stop of a record made at the end of a ride") \
	X(driver,         UINT, 0xffffffff, "driver number") \
	X(prev_counter,   UINT, 0xffff,     "previous transaction, copied from card file 0x18") \
	X(prev_amount_fen, UINT, 0x7fffffff, "") \
	X(prev_type,      UINT, 255,        "") \
	X(prev_terminal,  BIN,  6,          "") \
	X(prev_time_ms,   INT,  0,          "") \
	X(acquirer,       BIN,  4,          "acceptance institution, BCD") \
	X(accept_city,    UINT, 0xffff,     "acceptance city, BCD as hex") \
	X(list_version,   UINT, 0xffffffff, "black list in force on the validator") \
	X(tariff_version, UINT, 0xffffffff, "tariff pack in force on the validator") \
	X(product,        UINT, 255,        "product type, 0 none") \
	X(product_left,   UINT, 0xffff,     "rides left after this one") \
	X(distance_m,     UINT, 0xffffffff, "") \
	X(oda,            UINT, 255,        "bank card: 0 none, 1 SDA, 2 DDA, 3 CDA passed") \
	X(cryptogram,     BIN,  8,          "bank card application cryptogram") \
	X(qr,             VAR,  588,        "the code as scanned: T-Union QR payload, ride code, identity code; bank card: proof, docs/bank-cards.md") \
	X(series,         STR,  15,         "card product or series by its scheme's own name; empty when it has none")
#define TAP_FIELDS_2(X) \
	X(start_ms,       INT,  0,          "record made at the end of a ride: when it began, ms UTC; 0 not told") \
	X(end_ms,         INT,  0,          "record made at the start of a ride: when it ended, ms UTC; 0 not told")

#define TAP_STRUCT_UINT(name, arg)	uint32_t name;
#define TAP_STRUCT_INT(name, arg)	int64_t name;
#define TAP_STRUCT_BIN(name, arg)	uint8_t name[arg];
#define TAP_STRUCT_VAR(name, arg)	struct { const uint8_t *p; uint32_t n; } name;	/* borrowed */
#define TAP_STRUCT_STR(name, arg)	char name[(arg) + 1];
#define TAP_STRUCT_FIELD(name, type, arg, text) TAP_STRUCT_##type(name, arg)
struct tap { TAP_FIELDS(TAP_STRUCT_FIELD) };

#define TAP_COUNT_FIELD(name, type, arg, text) + 1
enum { TAP_FIELD_COUNT = 0 TAP_FIELDS(TAP_COUNT_FIELD), TAP_FIELD_COUNT_1 = 0 TAP_FIELDS_1(TAP_COUNT_FIELD) };

/* Encode into out; returns the length, TAP_E_SPACE, or TAP_E_RANGE when the QR payload is too long. */
int tap_encode(const struct tap *tap, uint8_t *out, size_t out_bytes) VALIDATOR_MUST_CHECK;
/* Decode one record; *ret_tap.qr points into p. Checks every type, bound, BCD nibble of pan, issuer and
 * terminal, and that nothing follows. On failure *ret_field names the field (static text). */
int tap_decode(const uint8_t *p, size_t n, struct tap *ret_tap, const char **ret_field) VALIDATOR_MUST_CHECK;
/* As tap_decode(), for those who read many: *ret_tap is filled as it is read, and means nothing after a failure. */
int tap_read(const uint8_t *p, size_t n, struct tap *ret_tap, const char **ret_field) VALIDATOR_MUST_CHECK;
/*
 * For those who read many records: most look like one that was read before, each value in as many bytes as there. What was found out about
 * that one, its form, is used again, and no byte of msgpack is looked at but whether it is the same. The result is that of tap_read(), of any
 * bytes, and it takes little longer where records do not look alike. Nothing is borrowed.
 *
 * The forms are in their user's memory, some 200 KB, one user's at a time, all zeros at first.
 */
#define TAP_FORM_BYTES_MAX 192		/* longer ones are read in full: without a code few are */
#define TAP_FORM_MOVES_MAX 32		/* of the 49 fields some go together: 20 are usual */
#define TAP_FORM_TEXTS_MAX 3
struct tap_move { _Alignas(16) uint8_t from[16]; uint16_t at, to; };	/* of bytes from at on, into the struct from to on; 0x80: zero */
struct tap_text { uint16_t at, bytes; };
struct tap_form {
	_Alignas(16) uint8_t mask[TAP_FORM_BYTES_MAX], want[TAP_FORM_BYTES_MAX], text[TAP_FORM_BYTES_MAX];	/* bits that are to be so; those of texts */
	struct tap_move move[TAP_FORM_MOVES_MAX];
	struct tap_text texts[TAP_FORM_TEXTS_MAX];
	uint16_t bytes, code_at;	/* of the record; where its empty code lies */
	uint8_t moves, text_count;
};
#define TAP_FORM_SETS 8			/* by length; a city's taps have 205 forms of 27 lengths, and one of a hundred taps is of none of the last 128 */
#define TAP_FORMS_OF_SET 16
struct tap_set { uint16_t bytes[TAP_FORMS_OF_SET]; uint8_t order[TAP_FORMS_OF_SET], count, credit; struct tap_form form[TAP_FORMS_OF_SET]; };	/* bytes of a record; 0: none */
struct tap_forms { struct tap_set set[TAP_FORM_SETS]; };
/* As tap_read(). */
int tap_like_read(struct tap_forms *forms, const uint8_t *p, size_t n, struct tap *ret_tap, const char **ret_field) VALIDATOR_MUST_CHECK;
/* Bounds walk over any msgpack value without allocating: depth and element count against the bytes
 * there are. 0 when exactly one value fills n bytes. */
int msgpack_walk(const uint8_t *p, size_t n, unsigned depth_max);

/* A card's counter makes it one of a kind with its code (tac; of bank cards four bytes of the cryptogram): the same
 * counter with another code is a copy's. */
bool tap_has_counter(const struct tap *tap);
/* What enters the TAC; what rating sees. */
void tap_purchase(const struct tap *tap, struct purchase *ret_purchase);
void tap_ride(const struct tap *tap, const struct tariff *t, struct ride *ret_ride);
void tap_ride_told(const struct tap *tap, struct ride *ride);	/* of that, what its stops and its list fare say; the rest is left as it is */
uint32_t pan_hash(const uint8_t pan[10]);	/* struct ride's card: accounts of one card beside those of its person; 0: no card */
/* PAN as digits (20 bytes buffer), and masked 6+4 for people: "310473*********0017". */
void pan_digits(const uint8_t pan[10], char ret_text[21]);
void pan_masked(const uint8_t pan[10], char ret_text[24]);
/* Digits to BCD, right aligned, zero filled. False when not 1..20 digits. */
bool pan_parse(const char *digits, uint8_t ret_pan[10]);

/* Business key: the same tap, whichever way and however often it arrives. */
#define TAP_KEY_BYTES 18		/* terminal 6 | serial 4 | time 8, big-endian */
void tap_key(const struct tap *tap, uint8_t ret_key[TAP_KEY_BYTES]);
/* "428000000017-0000ABCD-20251103071530" and back. */
#define TAP_ID_BYTES 40
/* What makes a code one of a kind, whatever record it stands in: kind | account and second of generation of a T-Union code
 * (qr_replay_key), of another the SHA-256 of its bytes, cut. False: the record carries no code. */
#define TAP_CODE_BYTES (1 + QR_REPLAY_BYTES)
bool tap_code_key(const struct tap *tap, uint8_t ret_code[TAP_CODE_BYTES]);
void tap_id_format(const uint8_t key[TAP_KEY_BYTES], char ret_text[TAP_ID_BYTES]);
bool tap_id_parse(const char *text, uint8_t ret_key[TAP_KEY_BYTES]);

/* ---- batch ------------------------------------------------------------------------------- */

#define BATCH_TAPS_MAX 512
#define BATCH_BYTES_MAX (192 * 1024)
#define DEVICE_BYTES_MAX 15

/* msgpack array: [version, device str, file_serial, first_serial, last_serial, count, amount_total,
 * digest bin32, taps: array of bin]. digest = SHA-256 over the concatenated tap records. */
struct batch {
	char device[DEVICE_BYTES_MAX + 1];
	uint32_t file_serial;
	uint32_t first_serial, last_serial;	/* terminal serials of the first and last tap */
	uint32_t count;
	uint64_t amount_total_fen;		/* over records that decode */
	uint8_t digest[DIGEST_BYTES];
	struct { const uint8_t *p; uint32_t n; } tap[BATCH_TAPS_MAX];	/* borrowed */
};
int batch_encode(const struct batch *b, uint8_t *out, size_t out_bytes) VALIDATOR_MUST_CHECK;
/* Structure only: header and slices. On failure what was read of the header stays in *ret_batch, so that
 * the refusal can name the file serial; its taps are then not to be used. */
int batch_decode(const uint8_t *p, size_t n, struct batch *ret_batch) VALIDATOR_MUST_CHECK;
/* Fill count, serials, total and digest of encoded taps. A record that does not decode counts as
 * amount 0, serial ignored. */
int batch_seal(struct batch *b) VALIDATOR_MUST_CHECK;
/* Compare header with content: TAP_E_COUNT, TAP_E_DIGEST, TAP_E_SERIALS, TAP_E_TOTAL in this order. */
int batch_check(const struct batch *b) VALIDATOR_MUST_CHECK;
/* The records of a decoded batch, each decoded once for whoever looks at them; good: it could be. */
struct batch_taps { struct tap tap[BATCH_TAPS_MAX]; bool good[BATCH_TAPS_MAX]; };
void batch_taps_decode(const struct batch *b, struct batch_taps *ret);
int batch_check_taps(const struct batch *b, const struct batch_taps *taps) VALIDATOR_MUST_CHECK;	/* as batch_check */

/* ---- frames ------------------------------------------------------------------------------- */

/* length u32 BE of what follows | type u8 | msgpack array body. docs/protocol.md. */
#define FRAME_HEAD_BYTES 5
#define FRAME_BYTES_MAX (256 * 1024)
enum frame_type {
	FRAME_HELLO = 1, FRAME_WELCOME = 2, FRAME_BATCH = 3, FRAME_RECEIPT = 4, FRAME_REFUSE = 5,
	FRAME_GET = 6, FRAME_PART = 7, FRAME_PING = 8, FRAME_PONG = 9, FRAME_BUSY = 10, FRAME_CERTIFY = 11,
	FRAME_ASK = 12, FRAME_SAID = 13,
};
struct frame { uint8_t type; const uint8_t *body; uint32_t bytes; };
/* 1: a frame lies in p, *ret_used bytes of it; 0: more bytes needed; TAP_E_FRAME: impossible. */
int frame_next(const uint8_t *p, size_t n, struct frame *ret_frame, size_t *ret_used) VALIDATOR_MUST_CHECK;
void frame_head(uint8_t type, uint32_t body_bytes, uint8_t ret_head[FRAME_HEAD_BYTES]);

struct hello { uint32_t protocol; char device[DEVICE_BYTES_MAX + 1]; uint8_t terminal[6]; char software[32]; int64_t clock_ms; };
/* renewals: requests for certificates are taken; certificate: version of one that waits for this device, 0 none. */
struct welcome { uint32_t protocol; int64_t clock_ms; uint32_t list_version, tariff_version; uint32_t batch_taps_max; bool renewals; uint32_t certificate;
	uint32_t deny_version;		/* of the deny list of bank cards; 0: none yet, or a daemon that has none */
	bool asks; };			/* codes may be asked about while the rider stands there (FRAME_ASK) */
/* Receipt: everything in it is durable. verdict[i] belongs to tap i (enum verdict of clearing/). */
struct receipt { uint32_t file_serial; uint64_t inbox_seq; uint32_t accepted, pending, duplicate, refused;
	uint32_t count; uint8_t verdict[BATCH_TAPS_MAX]; bool repeated; };
struct refuse { uint32_t file_serial; int32_t code; char text[128]; bool retry; };
struct get { char what[16]; uint32_t version; uint32_t offset; };	/* "blacklist", "tariff" */
struct part { char what[16]; uint32_t version, offset, total; const uint8_t *p; uint32_t n; };
struct busy { uint32_t retry_ms; };
struct certify { const uint8_t *p; uint32_t n; };	/* for a certificate, PEM (enrol_renewal_new); answered by the part "certificate" */
/* May this code ride? Of the record it would make: kind, terminal, serial, time. The answer has the question's number; none comes later
 * than within_ms that is worth anything. */
struct kerb_ask { uint32_t number; uint8_t kind, terminal[6]; uint32_t serial; int64_t time_ms; uint32_t within_ms; const uint8_t *p; uint32_t n; };
enum kerb_answer { KERB_NOT_REACHED = 0, KERB_GOOD = 1, KERB_REFUSED = 2, KERB_REPEATED = 3 };	/* on the wire; repeated: another gate has it */
struct kerb_said { uint32_t number; uint8_t answer; char reason[48]; };
const char *kerb_answer_name(enum kerb_answer a);
/* Each encode returns the whole frame's length (head included) or TAP_E_SPACE. */
int hello_encode(const struct hello *m, uint8_t *out, size_t n) VALIDATOR_MUST_CHECK;
int hello_decode(const struct frame *f, struct hello *ret) VALIDATOR_MUST_CHECK;
int welcome_encode(const struct welcome *m, uint8_t *out, size_t n) VALIDATOR_MUST_CHECK;
int welcome_decode(const struct frame *f, struct welcome *ret) VALIDATOR_MUST_CHECK;
int receipt_encode(const struct receipt *m, uint8_t *out, size_t n) VALIDATOR_MUST_CHECK;
int receipt_decode(const struct frame *f, struct receipt *ret) VALIDATOR_MUST_CHECK;
int refuse_encode(const struct refuse *m, uint8_t *out, size_t n) VALIDATOR_MUST_CHECK;
int refuse_decode(const struct frame *f, struct refuse *ret) VALIDATOR_MUST_CHECK;
int get_encode(const struct get *m, uint8_t *out, size_t n) VALIDATOR_MUST_CHECK;
int get_decode(const struct frame *f, struct get *ret) VALIDATOR_MUST_CHECK;
int part_encode(const struct part *m, uint8_t *out, size_t n) VALIDATOR_MUST_CHECK;
int part_decode(const struct frame *f, struct part *ret) VALIDATOR_MUST_CHECK;	/* p borrowed */
int certify_encode(const struct certify *m, uint8_t *out, size_t n) VALIDATOR_MUST_CHECK;
int certify_decode(const struct frame *f, struct certify *ret) VALIDATOR_MUST_CHECK;	/* p borrowed */
int kerb_ask_encode(const struct kerb_ask *m, uint8_t *out, size_t n) VALIDATOR_MUST_CHECK;
int kerb_ask_decode(const struct frame *f, struct kerb_ask *ret) VALIDATOR_MUST_CHECK;	/* p borrowed */
int kerb_said_encode(const struct kerb_said *m, uint8_t *out, size_t n) VALIDATOR_MUST_CHECK;
int kerb_said_decode(const struct frame *f, struct kerb_said *ret) VALIDATOR_MUST_CHECK;
int busy_encode(const struct busy *m, uint8_t *out, size_t n) VALIDATOR_MUST_CHECK;
int busy_decode(const struct frame *f, struct busy *ret) VALIDATOR_MUST_CHECK;

/* ---- spool: store and forward, survives power loss ---------------------------------------- */

/* Append-only segments of [length u32 | crc32c u32 | record]; a torn tail is cut at open. A record is
 * gone only after spool_release, which follows the receipt. One process per spool (flock). */
struct spool;
int spool_open(const char *dir, struct spool **ret_spool) VALIDATOR_MUST_CHECK;
/* The same; a new spool numbers its batches from here, so that one that replaces a lost one does not use
 * the lost one's file serials again: the daemon would refuse them as changed. */
int spool_open_from(const char *dir, uint32_t first_file_serial, struct spool **ret_spool) VALIDATOR_MUST_CHECK;
void spool_close(struct spool *s);
/* The same in the caller's memory of spool_size bytes; nothing here takes any other. */
size_t spool_size(void);
int spool_init(struct spool *s, const char *dir, uint32_t first_file_serial) VALIDATOR_MUST_CHECK;
void spool_done(struct spool *s);
/* Durable on return (fdatasync) when sync is true. */
int spool_append(struct spool *s, const uint8_t *record, size_t n, bool sync) VALIDATOR_MUST_CHECK;
/* Next batch of unreleased records, at most taps_max, the same one until released: file_serial rises by
 * one a batch and survives restarts. 1 a batch, 0 nothing to send. Slices live until the next call. All but
 * the device is filled in, and sealed. */
int spool_next(struct spool *s, uint32_t taps_max, struct batch *ret_batch) VALIDATOR_MUST_CHECK;
/* The batch of this file serial, handed out by spool_next since the spool was opened, is receipted: forget
 * it, durably. -EINVAL: another one. After -EIO or another write error only spool_open helps. */
int spool_release(struct spool *s, uint32_t file_serial) VALIDATOR_MUST_CHECK;
uint64_t spool_waiting(const struct spool *s);
uint64_t spool_cut_bytes(const struct spool *s);	/* of a torn record, cut away at open */

/* ---- card files (docs/card.md) ------------------------------------------------------------- */

struct card_info {			/* file 0x15 and 0x17 */
	uint8_t issuer[4]; uint8_t app_type, app_version; uint8_t pan[10];
	int32_t start, expiry;		/* days */
	uint16_t subtype; uint32_t country; uint16_t province, city; uint16_t interop; uint8_t card_class;
	bool has_17;
};
int card_parse_15(const uint8_t *p, size_t n, struct card_info *ret, const char **ret_reason) VALIDATOR_MUST_CHECK;
int card_parse_17(const uint8_t *p, size_t n, struct card_info *ret, const char **ret_reason) VALIDATOR_MUST_CHECK;
struct card_log { uint16_t counter; uint32_t overdraft_fen, amount_fen; uint8_t type; uint8_t terminal[6]; int64_t time_ms; };
int card_parse_18(const uint8_t *p, size_t n, struct card_log *ret, const char **ret_reason) VALIDATOR_MUST_CHECK;
struct card_transit { uint8_t type; uint8_t terminal[8]; uint8_t industry; uint8_t place[7]; uint32_t amount_fen, balance_fen;
	int64_t time_ms; uint16_t city; uint8_t acquirer[8]; };
int card_parse_1e(const uint8_t *p, size_t n, struct card_transit *ret, const char **ret_reason) VALIDATOR_MUST_CHECK;
/* What follows is for looking at a card (tools), not for the gate: docs/card.md. */
struct card_fci {			/* answer to SELECT; issuer_data (9F0C) points into it: the content of file 0x15 */
	uint8_t aid[16], aid_bytes; bool has_version; uint16_t version; const uint8_t *issuer_data; uint8_t issuer_data_bytes;
};
int card_parse_fci(const uint8_t *p, size_t n, struct card_fci *ret, const char **ret_reason) VALIDATOR_MUST_CHECK;
/* File 0x16 without the person: only whether a name and a document are on the card. */
struct card_holder { uint8_t card_type, employee, document_type; bool named, documented; };
int card_parse_16(const uint8_t *p, size_t n, struct card_holder *ret, const char **ret_reason) VALIDATOR_MUST_CHECK;
/* File 0x1A: a journey with two ends, bus (2702) or metro (2701). Of another record_id only id and valid are filled. */
struct card_journey_end {
	uint16_t city, operator_id, line; uint8_t station; uint8_t institution[8], terminal[8], place[8], vehicle[8];
	int64_t time_ms;		/* 0: not written */
};
struct card_journey {
	uint16_t record_id; bool valid; uint8_t application, state; bool locked; uint8_t serial[8], direction; uint16_t mileage;
	struct card_journey_end on, off; uint32_t held_fen, amount_fen, entry_fen, entry_balance_fen;
};
int card_parse_1a(const uint8_t *p, size_t n, struct card_journey *ret, const char **ret_reason) VALIDATOR_MUST_CHECK;
/* Public part of the social security application, file EF05 record by record (1 to 6). */
struct card_ssse {
	uint8_t identification[16]; bool has_identification; char kind[16], version[8]; uint8_t institution[12], institution_bytes;
	int32_t issued, expiry;		/* days; 0: not read */
};
int card_parse_ssse(unsigned record, const uint8_t *p, size_t n, struct card_ssse *ret, const char **ret_reason) VALIDATOR_MUST_CHECK;

/* ---- BER-TLV --------------------------------------------------------------------------------- */

#define TLV_DEPTH_MAX 6
struct tlv { uint32_t tag; const uint8_t *p; size_t n; };	/* value points into what is read */
struct tlv_reader { const uint8_t *p, *end; };
/* 1: the next object; 0: none is left; TAP_E_TRUNCATED. Padding of 00 and FF between objects is passed over. */
int tlv_next(struct tlv_reader *r, struct tlv *ret);
/* Every object ends inside the one around it, at most TLV_DEPTH_MAX deep. */
bool tlv_sound(const uint8_t *p, size_t n);
/* First object of this tag, inside constructed ones too. Tags as numbers, such as 0x9F0C. */
bool tlv_find(const uint8_t *p, size_t n, uint32_t tag, struct tlv *ret);

/* ---- a device asks for its certificate (docs/devices.md) ------------------------------------------- */

/*
 * The key is made on the device and stays there; a request goes out, a certificate comes back. A first request proves the
 * enrolment code, which was given for this device once; a renewal is signed with the key in use. Nothing of a request is
 * believed but the new public key and the device's name: the binding is what the code was given for.
 * Keys, certificates and requests are PEM text, malloc'ed where returned, NUL-terminated.
 */
#define ENROL_CODE_BYTES 24		/* "ABCD-EFGH-JKMN-PQRS-TVWX": 100 bits, without the NUL */
#define ENROL_PROOF_BYTES 32
int enrol_code_new(char ret_code[ENROL_CODE_BYTES + 1]) VALIDATOR_MUST_CHECK;
/* What is kept of a code to check a proof of it. Case and dashes do not matter; false: not 20 characters of a code. */
bool enrol_code_key(const char *code, uint8_t ret_key[ENROL_PROOF_BYTES]);
int enrol_key_new(char **ret_key) VALIDATOR_MUST_CHECK;		/* P-256; wipe before free */
/* KEYS_E_CRYPTO: a key or certificate that cannot be read. */
int enrol_request_new(const char *device, const char *key, const uint8_t code_key[ENROL_PROOF_BYTES], char **ret_request) VALIDATOR_MUST_CHECK;
int enrol_renewal_new(const char *device, const char *key, const char *key_in_use, char **ret_request) VALIDATOR_MUST_CHECK;
#define ENROL_REQUEST_BYTES_MAX 4096
struct enrol_request { char device[DEVICE_BYTES_MAX + 1]; uint8_t *key; size_t key_bytes;	/* SubjectPublicKeyInfo, DER */
	uint8_t *der; size_t der_bytes; uint8_t proof[ENROL_PROOF_BYTES]; bool proves; uint8_t *signature; size_t signature_bytes; };
/* NULL: read, a P-256 key that signed its own request. Else why not. Free with enrol_request_done. */
const char *enrol_request_read(const char *text, size_t n, struct enrol_request *ret_request);
void enrol_request_done(struct enrol_request *r);
bool enrol_proved(const struct enrol_request *r, const uint8_t code_key[ENROL_PROOF_BYTES]);
bool enrol_renews(const struct enrol_request *r, const char *certificate);	/* signed by the key of this certificate */
/* A certificate for this key and device, valid at a time. NULL: it is. Else why not. */
const char *enrol_certificate_fits(const char *certificate, const char *key, const char *device, int64_t at_ms, int64_t *ret_end_ms);

/* ---- reader, software card and PSAM -------------------------------------------------------- */

/* A contactless reader: exchange one APDU. The simulator or pcsc-lite stand behind it. Returns the
 * response length, or -EIO when the card left the field (torn tap). */
struct reader { int (*transmit)(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes); };
/* A reader of pcsc-lite (needs pcscd): contactless, or the slot of a PSAM. name_part: the first reader whose name contains
 * it. -ECONNREFUSED: no pcscd; -ENODEV: no such reader. */
struct pcsc_reader;
int pcsc_reader_open(const char *name_part, struct pcsc_reader **ret_reader) VALIDATOR_MUST_CHECK;
void pcsc_reader_close(struct pcsc_reader *r);	/* NULL is fine */
int pcsc_reader_wait(struct pcsc_reader *r, uint32_t wait_ms);	/* 1: a card is here and connected; 0: none came; -ENODEV: reader gone */
bool pcsc_reader_gone(struct pcsc_reader *r, uint32_t wait_ms);	/* no card is there any more */
void pcsc_reader_release(struct pcsc_reader *r);	/* done with this card */
struct reader *pcsc_reader_of(struct pcsc_reader *r);
/* Answer a virtual reader (vsmartcard's vpcd) on a connected socket with this card, until the reader closes (0) or the
 * card leaves the field (-EIO): then the caller closes the socket, and the card is gone for the reader. */
int vicc_serve(int fd, struct reader *card);
/* Software T-Union card; holds its keys. Personalise from a keyring. */
struct soft_card;
int soft_card_new(const struct keyring *ring, const struct card_info *info, uint8_t key_version, uint8_t alg_id,
		  uint32_t balance_fen, uint64_t seed, struct soft_card **ret_card) VALIDATOR_MUST_CHECK;
void soft_card_free(struct soft_card *c);
struct reader *soft_card_reader(struct soft_card *c);
/* Leave the field after this many more APDUs, before (-) the answer is delivered; 0: never. */
void soft_card_tear_after(struct soft_card *c, unsigned apdus);
uint32_t soft_card_balance(const struct soft_card *c);
uint16_t soft_card_counter(const struct soft_card *c);
bool soft_card_locked(const struct soft_card *c);
/* Software PSAM: same interface, purchase root keys inside. */
struct soft_psam;
int soft_psam_new(const struct keyring *ring, const uint8_t terminal[6], uint32_t first_serial, struct soft_psam **ret) VALIDATOR_MUST_CHECK;
void soft_psam_free(struct soft_psam *p);
struct reader *soft_psam_reader(struct soft_psam *p);

/* ---- gate: one tap at the kerb ------------------------------------------------------------- */

enum gate_answer { GATE_GO = 0, GATE_TAP_AGAIN, GATE_LOW_BALANCE, GATE_BLACKLISTED, GATE_CARD_REFUSED, GATE_EXPIRED,
	GATE_NO_PRICE, GATE_REPEAT, GATE_CARD_ERROR, GATE_CODE_REFUSED, GATE_CODE_EXPIRED, GATE_CODE_USED, GATE_CODE_LIMIT,
	GATE_FORGED, GATE_DENIED, GATE_FIRST_RIDES,	/* bank cards: not authentic | on the deny list | unanswered rides at their limit */
	GATE_PLATFORM_REFUSED, GATE_NOT_REACHED };	/* the code's platform said no | did not answer in time, and unasked codes do not ride */
#define GATE_ANSWER_COUNT (GATE_NOT_REACHED + 1)
const char *gate_answer_name(enum gate_answer a);
const char *gate_answer_text(enum gate_answer a);	/* what the rider is shown */
struct gate_setting {			/* where the bus is and what is in force; borrowed */
	const struct tariff *tariff;
	bool inside;			/* riders change here without leaving the paid area */
	enum ride_event event;		/* of a card: RIDE_ON, RIDE_OFF where both ends are tapped; else a single tap */
	uint32_t operator_id; char line[LINE_BYTES_MAX + 1]; uint8_t direction; char vehicle[16]; uint16_t stop; uint32_t driver;
	uint8_t acquirer[4]; uint16_t city; uint32_t list_version;
	const struct hotlist *hotlist;
};
struct gate;
int gate_new(struct reader *psam, struct gate **ret_gate) VALIDATOR_MUST_CHECK;
void gate_free(struct gate *g);
/* The same in the caller's memory of gate_size bytes. */
size_t gate_size(void);
int gate_init(struct gate *g, struct reader *psam) VALIDATOR_MUST_CHECK;
/* The purchase flow (INIT, SAM, UPDATE CAPP, DEBIT, CREDIT); a torn tap gives a grey record now and the
 * recovered one when the card comes back; a black-listed card is locked for good where the PSAM holds the issuer's lock
 * key, with a record of it. ret_tap[] gets 0..2 records, *ret_count says how many. */
enum gate_answer gate_tap(struct gate *g, struct reader *card, const struct gate_setting *s, int64_t now_ms,
			  struct tap ret_tap[2], unsigned *ret_count);

/* Institutions whose T-Union codes are taken: text "issuer|platform,NUMBER[,from,to]" a line, NUMBER of eight digits,
 * dates YYYY-MM-DD, both included; '#' comments. Refused whole with name:line:column. */
struct code_list;
enum code_role { CODE_ISSUER, CODE_PLATFORM };
int code_list_parse(const char *name, const void *p, size_t n, struct code_list **ret_list, char *ret_error, size_t error_bytes) VALIDATOR_MUST_CHECK;
void code_list_free(struct code_list *l);
bool code_list_has(const struct code_list *l, enum code_role role, const uint8_t number[4], int32_t day);

/*
 * Codes that only their platform can judge (docs/codes.md): one format a line,
 * kind,prefix,bytes,number_at,number_digits,time_at,validity_s,limit_fen,waiting_max,issuer[,key] with kind ride-code or identity,
 * places from 0 in the text of the code, 0 digits or 0 time_at: it has none; issuer: the institution whose cards
 * the fares take it for, eight digits, or empty: nobody's; key: SM2 point 04|x|y as hex, whose signature
 * r|s as hex ends the code; '#' comments. What a platform has not answered for is a risk: limit_fen bounds the fare of such
 * a ride, waiting_max how many of one gate wait for their receipt. Refused whole with name:line:column.
 */
#define CODE_FORMATS_MAX 8
struct code_format { uint8_t kind; char prefix[9]; uint16_t bytes, number_at, number_digits, time_at, validity_s, waiting_max; uint32_t limit_fen;
	uint8_t issuer[4]; bool has_key; uint8_t key[65]; };
struct code_formats { size_t count; struct code_format row[CODE_FORMATS_MAX]; };
int code_formats_parse(const char *name, const void *p, size_t n, struct code_formats *ret, char *ret_error, size_t error_bytes) VALIDATOR_MUST_CHECK;
const struct code_format *code_format_of(const struct code_formats *all, const uint8_t *p, size_t n);	/* by prefix and length; NULL: none of them */
/* What can be known without asking, of f->bytes bytes: its time against at_s (Unix seconds UTC), its signature, its number. *ret_pan: the
 * number, or 99 and seventeen digits of its SHA-256 when the code is opaque. */
enum code_fault { CODE_SOUND = 0, CODE_EXPIRED, CODE_WRONG };
enum code_fault code_format_check(const struct code_format *f, const uint8_t *p, int64_t at_s, uint8_t ret_pan[10]);

/* The code side of a gate: certificate, issuer's and user's signature, windows in UTC, lists, black list, and each code
 * once. The verifier and the list are borrowed. Codes used are remembered until they are no longer valid; while more
 * than CODES_USED_MAX are, new ones are refused, since one forgotten could ride again. */
#define CODES_USED_MAX 4096
struct code_gate;
int code_gate_new(struct gate *g, struct qr_verifier *v, const struct code_list *list, struct code_gate **ret_gate) VALIDATOR_MUST_CHECK;
void code_gate_free(struct code_gate *c);
/* The same in the caller's memory of code_gate_size bytes. */
size_t code_gate_size(void);
void code_gate_init(struct code_gate *c, struct gate *g, struct qr_verifier *v, const struct code_list *list);
/* serial: the terminal's own, for the record. GATE_GO: *ret_tap is the record, its qr points into p. *ret_verdict says
 * what the check of the code found, whatever the answer. */
enum gate_answer code_gate_show(struct code_gate *c, const struct gate_setting *s, const uint8_t *p, size_t n, uint32_t serial, int64_t now_ms,
				struct tap *ret_tap, enum qr_verdict *ret_verdict);

/* The side of a gate for codes of code_formats: recognised by format, its time and signature looked at, black list, price, each code
 * once, and no more rides at the operator's risk than the format allows (GATE_FIRST_RIDES). Formats are borrowed. waiting: records the
 * spool holds from before, each of which may be such a ride. */
struct platform_gate;
int platform_gate_new(struct gate *g, const struct code_formats *formats, uint32_t waiting, struct platform_gate **ret_gate) VALIDATOR_MUST_CHECK;
void platform_gate_free(struct platform_gate *p);
/* As code_gate_show; ret_tap->qr points into p. */
enum gate_answer platform_gate_show(struct platform_gate *g, const struct gate_setting *s, const uint8_t *p, size_t n, uint32_t serial, int64_t now_ms,
				    struct tap *ret_tap);
/* The same in two steps, for a gate that asks the platform in between. look: GATE_GO, the record is in ret->tap; room: it may
 * ride unasked, at the operator's risk. asked: what the answer makes of it, with TAP_ASKED or TAP_OFFLINE in the record; unasked_rides: when
 * nobody answered. ride: it does; unproven: it counts among those that wait. Nothing else is shown to the gate between the steps. */
struct code_used;
struct platform_ride { struct tap tap; struct rider_state after; struct code_used *place; uint8_t digest[DIGEST_BYTES]; const struct code_format *format; bool room; };
enum gate_answer platform_gate_look(struct platform_gate *g, const struct gate_setting *s, const uint8_t *p, size_t n, uint32_t serial, int64_t now_ms,
				    struct platform_ride *ret_ride);
enum gate_answer platform_gate_asked(struct platform_ride *r, enum kerb_answer said, bool unasked_rides);
void platform_gate_ride(struct platform_gate *g, const struct platform_ride *r, int64_t now_ms, bool unproven);
void platform_gate_receipted(struct platform_gate *g);	/* nothing in the spool waits: the centre asks about what it has */

/* Black list: sorted PANs, versioned; text file "pan[,pan_to]" per line. Borrow-free. */
struct hotlist;
int hotlist_parse(const char *name, const void *p, size_t n, struct hotlist **ret_list, char *ret_error, size_t error_bytes) VALIDATOR_MUST_CHECK;
void hotlist_free(struct hotlist *h);
/* The same in the caller's memory, hotlist_size of so many ranges: -ENOBUFS when there are more. */
size_t hotlist_size(size_t ranges);
int hotlist_init(struct hotlist *h, size_t bytes, const char *name, const void *p, size_t n, char *ret_error, size_t error_bytes) VALIDATOR_MUST_CHECK;
bool hotlist_has(const struct hotlist *h, const uint8_t pan[10]);
size_t hotlist_count(const struct hotlist *h);

#include "validator/bank.h"	/* bank cards: kernel, deny list, risk */

/* ---- uplink: the wire client, without a socket of its own ---------------------------------- */

/*
 * One validator's conversation: hello, welcome, then one batch at a time until there is none. The owner
 * moves bytes over TLS: what arrives goes into uplink_feed, what uplink_output shows goes out. A batch is
 * sent again after every reconnect until its receipt comes. Used by validatord and by the simulator for
 * thousands of devices in one process; buffers exist only while they hold something.
 */
enum uplink_state {
	UPLINK_NEW,		/* not connected */
	UPLINK_HELLO,		/* hello sent */
	UPLINK_WAITING,		/* batch sent, no answer yet */
	UPLINK_BUSY,		/* the daemon asked to wait; uplink_retry sends again */
	UPLINK_IDLE,		/* nothing to send; uplink_retry looks again */
};
/* Callbacks; any but next may be NULL. They may call uplink_ask and uplink_ping, nothing else here. */
struct uplink_events {
	/* The batch to send now, encoded: 1, or 0 for none. Bytes stay valid until receipt or refusal. */
	int (*next)(void *arg, const uint8_t **ret_p, size_t *ret_n, uint32_t *ret_file_serial);
	void (*welcome)(void *arg, const struct welcome *m);
	void (*receipt)(void *arg, const struct receipt *m);
	void (*refused)(void *arg, const struct refuse *m);
	void (*part)(void *arg, const struct part *m);
	void (*busy)(void *arg, uint32_t retry_ms);
	void *arg;
	void (*said)(void *arg, const struct kerb_said *m);
};
struct uplink;
int uplink_new(const struct hello *hello, const struct uplink_events *events, struct uplink **ret_uplink) VALIDATOR_MUST_CHECK;
void uplink_free(struct uplink *u);
/* The same in the owner's memory of uplink_size bytes: one frame in, one batch and some small messages out, never more.
 * Needs no freeing. */
size_t uplink_size(void);
void uplink_init(struct uplink *u, const struct hello *hello, const struct uplink_events *events);
void uplink_connected(struct uplink *u);	/* a fresh connection: queues the hello */
void uplink_lost(struct uplink *u);		/* the connection is gone: half frames are dropped */
int uplink_feed(struct uplink *u, const uint8_t *p, size_t n) VALIDATOR_MUST_CHECK;
size_t uplink_output(struct uplink *u, const uint8_t **ret_p);
void uplink_sent(struct uplink *u, size_t n);
void uplink_retry(struct uplink *u);
void uplink_ping(struct uplink *u);		/* keeps an idle connection; the pong needs no callback */
/* The clock the next hello shows. */
void uplink_clock(struct uplink *u, int64_t clock_ms);
/* Ask for a list or the tariff from this offset; the answer comes as part. TAP_E_SPACE or -ENOMEM: not asked. */
int uplink_ask(struct uplink *u, const char *what, uint32_t version, uint32_t offset);
/* Send a request for a certificate; the answer comes as part "certificate", of no bytes while there is none. -ENOMEM. */
int uplink_certify(struct uplink *u, const char *text);
/* Ask about a code, when welcome said so; the answer comes as said. -ENOMEM. */
int uplink_kerb_ask(struct uplink *u, const struct kerb_ask *m);
enum uplink_state uplink_state(const struct uplink *u);

#endif
