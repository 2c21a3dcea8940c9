/*
 * qfval.h - libqfval (机具接入库), the library that terminal makers link: the purchase between card and PSAM at the clearing
 * house's own price, the tap record, the spool that survives power loss, and the conversation with clearingd.
 *
 * This header is the whole manual; libqfval(3) is its index, docs/terminal-integration.md the way through it in order,
 * docs/example-terminal.c a complete program, tests/vectors the bytes a port can be compared with.
 *
 * What stays with the terminal: reader and PSAM slot (two callbacks that exchange APDUs), the socket and TLS 1.3 with the
 * device's certificate (the library makes and reads bytes), and the clock (times are arguments).
 *
 * Memory. Every object lies in memory of the caller. NAME_size() tells the bytes, NAME_init(mem, n, ..., &handle) makes the
 * object there; mem is aligned to 16 bytes, as malloc's is, and stays the caller's, who frees or reuses it when the object
 * is no longer used. No function of this library, init included, takes memory from the C library or from libcrypto; none
 * needs more than 64 KiB of stack. Only a spool holds something else, a directory, and is given back by qfv_spool_done.
 *
 * Threads. An object is used by one thread at a time; different objects by different threads at once. There are no
 * variables outside the objects. Callbacks run in the thread of the call that caused them, before it returns.
 *
 * Arguments. Handles are those an init gave; a NULL handle, output or text is the caller's mistake and is not looked for,
 * unless said otherwise. Texts are UTF-8 and end in NUL. Sizes are bytes. Money is fen (0.01 yuan). Times are milliseconds
 * since 1970-01-01 UTC; where a rule says local, it is Asia/Shanghai (+08:00). Numbers of cards, terminals and institutions
 * are BCD, two digits a byte; bytes of one number go most significant first.
 *
 * Results. int functions return 0, a count or a length; negative is an enum qfv_error, and then the outputs (ret...) are
 * as they were. qfv_strerror has a sentence for each.
 *
 * Compatibility. A program runs with every later libqfval.so.1: functions, fields and error numbers are added and never
 * change; structures the caller fills begin with their size and grow at the end.
 */
#ifndef QFVAL_H
#define QFVAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define QFV_API __attribute__((visibility("default")))
#else
#define QFV_API
#endif

#define QFV_VERSION_MAJOR 1		/* of the interface, as in libqfval.so.1 */
#define QFV_VERSION_MINOR 2		/* rises when something is added */
QFV_API int qfv_version(void);			/* of the library that runs: major * 1000 + minor */
QFV_API const char *qfv_version_text(void);	/* "1.0" */

enum qfv_error {			/* numbers never move */
	QFV_E_TRUNCATED = -1001,	/* a length runs past the end */
	QFV_E_SYNTAX = -1002,		/* not the type the format asks for */
	QFV_E_RECORD_VERSION = -1003,	/* a record version this library does not read */
	QFV_E_RANGE = -1004,		/* a value outside its bounds */
	QFV_E_TRAILING = -1005,		/* bytes after the record */
	QFV_E_DEPTH = -1006,		/* nested too deep, or more elements than bytes */
	QFV_E_COUNT = -1007,		/* batch: count differs from the taps present */
	QFV_E_TOTAL = -1008,		/* batch: amount total differs */
	QFV_E_DIGEST = -1009,		/* batch: digest differs */
	QFV_E_SERIALS = -1010,		/* batch: first or last serial differs */
	QFV_E_SPACE = -1011,		/* the output buffer given is too small */
	QFV_E_FRAME = -1012,		/* bytes that are no frame, or one out of turn: hang up */
	QFV_E_SPOOL = -1013,		/* spool damaged before its tail: keep the directory and call for help */
	QFV_E_MEMORY = -1101,		/* the object's memory is missing, too small or not aligned */
	QFV_E_ARGUMENT = -1102,		/* an argument that makes no sense, or not now */
	QFV_E_BUSY = -1103,		/* another process holds the spool */
	QFV_E_IO = -1104,		/* disk or PSAM does not answer */
	QFV_E_FULL = -1105,		/* no space on the disk, or more than the memory given holds */
	QFV_E_TARIFF = -1106,		/* bytes that are no tariff of this library's version, or damaged */
	QFV_E_CRYPTO = -1107		/* libcrypto refused */
};
/* A sentence for people, static; of an unknown number too. */
QFV_API const char *qfv_strerror(int error);

/* ---- the tap record ---------------------------------------------------------------------------------------- */

/*
 * One record for every medium, and for the events of a shift: a msgpack array, docs/tap-format.md. A field is reached by
 * its number, which is its place in the array and never moves; later versions append. What follows each name: u is a
 * number from 0 to the bound, i a signed one, b so many bytes exactly, v up to so many, t a text of up to so many.
 */
enum qfv_field {
	QFV_TAP_VERSION = 0,		/* u 255: record version, set by qfv_tap_init */
	QFV_TAP_KIND = 1,		/* u: enum qfv_kind */
	QFV_TAP_MEDIUM = 2,		/* u: enum qfv_medium */
	QFV_TAP_FLAGS = 3,		/* u 65535: enum qfv_flag, added */
	QFV_TAP_PAN = 4,		/* b 10 BCD: card number, 19 digits behind a 0; bank cards right aligned */
	QFV_TAP_ISSUER = 5,		/* b 4 BCD: institution that issued the card */
	QFV_TAP_CARD_CITY = 6,		/* u 65535: city of the card, BCD as hex, 0x4280 */
	QFV_TAP_CARD_CLASS = 7,		/* u 255: byte 10 of card file 17: 1 ordinary, 2 student, 3 elderly, 4 test, 5 soldier */
	QFV_TAP_CARD_SUBTYPE = 8,	/* u 65535: bytes 28-29 of card file 15 */
	QFV_TAP_CARD_COUNTER = 9,	/* u 65535: the card's offline transaction counter, as INIT answered it */
	QFV_TAP_BALANCE_BEFORE = 10,	/* i, fen */
	QFV_TAP_BALANCE_AFTER = 11,	/* i, fen: before less amount */
	QFV_TAP_LIST_FEN = 12,		/* u 2^31-1, fen: published fare */
	QFV_TAP_AMOUNT_FEN = 13,	/* u 2^31-1, fen: debited */
	QFV_TAP_TXN_TYPE = 14,		/* u 255: type byte the TAC covers: 0x06 simple, 0x09 composite purchase */
	QFV_TAP_TERMINAL = 15,		/* b 6 BCD: terminal number, as in the PSAM */
	QFV_TAP_TERMINAL_SERIAL = 16,	/* u 2^32-1: the PSAM's transaction serial; for events the terminal's own */
	QFV_TAP_PSAM = 17,		/* b 6: PSAM number */
	QFV_TAP_KEY_VERSION = 18,	/* u 255: as the card answered */
	QFV_TAP_KEY_INDEX = 19,		/* u 255: as in the INIT command */
	QFV_TAP_ALG_ID = 20,		/* u 255: as the card answered: 0 3DES, 1 SM4 */
	QFV_TAP_RANDOM = 21,		/* b 4: the card's random */
	QFV_TAP_TAC = 22,		/* b 4: code of the purchase; FFFFFFFF when grey */
	QFV_TAP_TIME_MS = 23,		/* i, ms UTC, 2000 to 2099: the TAC covers its local second */
	QFV_TAP_OPERATOR_ID = 24,	/* u 2^32-1: operator of the vehicle, number of the clearing house */
	QFV_TAP_LINE = 25,		/* t 47: line, spelled as in the tariff */
	QFV_TAP_DIRECTION = 26,		/* u 255: 0 up, 1 down */
	QFV_TAP_VEHICLE = 27,		/* t 15: plate or fleet number */
	QFV_TAP_STOP = 28,		/* u 65535: stop now, from 1; 0 unknown */
	QFV_TAP_STOP_ON = 29,		/* u 65535: boarding stop, in a record made at the end of a ride */
	QFV_TAP_DRIVER = 30,		/* u 2^32-1 */
	QFV_TAP_PREV_COUNTER = 31,	/* u 65535: the newest entry of card file 18 before this purchase: counter */
	QFV_TAP_PREV_AMOUNT_FEN = 32,	/* u 2^31-1, fen */
	QFV_TAP_PREV_TYPE = 33,		/* u 255 */
	QFV_TAP_PREV_TERMINAL = 34,	/* b 6 */
	QFV_TAP_PREV_TIME_MS = 35,	/* i, ms UTC */
	QFV_TAP_ACQUIRER = 36,		/* b 4 BCD: acceptance institution */
	QFV_TAP_ACCEPT_CITY = 37,	/* u 65535: acceptance city, BCD as hex */
	QFV_TAP_LIST_VERSION = 38,	/* u 2^32-1: black list in force here */
	QFV_TAP_TARIFF_VERSION = 39,	/* u 2^32-1: tariff in force here */
	QFV_TAP_PRODUCT = 40,		/* u 255: count or period product; 0 none */
	QFV_TAP_PRODUCT_LEFT = 41,	/* u 65535: rides left after this one */
	QFV_TAP_DISTANCE_M = 42,	/* u 2^32-1, metres, where the medium says */
	QFV_TAP_ODA = 43,		/* u 255: bank card: 0 none, 1 SDA, 2 DDA, 3 CDA passed */
	QFV_TAP_CRYPTOGRAM = 44,	/* b 8: bank card's application cryptogram */
	QFV_TAP_QR = 45,		/* v 588: the code as scanned */
	QFV_TAP_SERIES = 46,		/* t 15: card series by its scheme's own name; empty when it has none */
	QFV_TAP_START_MS = 47,		/* i, ms UTC: record made at the end of a ride: when it began, at most a day before; 0 not told */
	QFV_TAP_END_MS = 48		/* i, ms UTC: record made at the start of a ride: when it ended, at most a day later; 0 not told */
};
enum qfv_kind {
	QFV_KIND_PURCHASE = 1,		/* boarding at a single fare */
	QFV_KIND_BOARD = 2, QFV_KIND_ALIGHT = 3,	/* entry and exit where the fare depends on both */
	QFV_KIND_PRODUCT = 4,		/* monthly or count product of the card */
	QFV_KIND_QR = 5,		/* T-Union QR code */
	QFV_KIND_BANK = 6,		/* bank card, offline data authentication */
	QFV_KIND_BANK_QR = 7,		/* UnionPay ride code */
	QFV_KIND_MANUAL = 8,		/* papers shown to the driver, no card */
	QFV_KIND_LOCK = 9,		/* a black-listed card was locked */
	QFV_KIND_SIGN_ON = 16, QFV_KIND_SIGN_OFF = 17,	/* the driver's shift */
	QFV_KIND_LINE_ON = 18		/* line and direction set */
};
enum qfv_medium {
	QFV_MEDIUM_NONE = 0,		/* events */
	QFV_MEDIUM_PURSE = 1, QFV_MEDIUM_SSC = 2,	/* T-Union purse on a transit card; on a social security card */
	QFV_MEDIUM_QR = 3, QFV_MEDIUM_BANK = 4, QFV_MEDIUM_BANK_QR = 5, QFV_MEDIUM_MANUAL = 6
};
enum qfv_flag {
	QFV_FLAG_GREY = 1,		/* the card left before its answer: it may have paid; TAC is FFFFFFFF */
	QFV_FLAG_RECOVERED = 2,		/* the same purchase, confirmed by the card when it came back */
	QFV_FLAG_TEST = 4, QFV_FLAG_TRANSFER_MARK = 8, QFV_FLAG_OFFLINE = 16,
	QFV_FLAG_INSIDE = 32		/* the rider changed here without leaving the paid area */
};
#define QFV_TAP_BYTES_MAX 1024		/* of an encoded record */
struct qfv_tap;
QFV_API size_t qfv_tap_size(void);
/* An empty record: QFV_TAP_VERSION is set, all else 0 or empty. QFV_E_MEMORY. */
QFV_API int qfv_tap_init(void *mem, size_t n, struct qfv_tap **ret);
QFV_API int qfv_tap_field_count(void);			/* fields this library writes; at least those named above */
QFV_API const char *qfv_tap_field_name(int field);	/* "amount_fen", static; NULL: no such field */
/* QFV_E_ARGUMENT: not a field of this type. QFV_E_RANGE: past its bound. v bytes are borrowed until the record has been
 * encoded; all else is copied. */
QFV_API int qfv_tap_set_number(struct qfv_tap *t, int field, int64_t value);
QFV_API int qfv_tap_set_bytes(struct qfv_tap *t, int field, const void *p, size_t n);
QFV_API int qfv_tap_set_text(struct qfv_tap *t, int field, const char *text);
/* QFV_E_ARGUMENT. Bytes and text point into the record; v bytes to where they were set or decoded from. */
QFV_API int qfv_tap_number(const struct qfv_tap *t, int field, int64_t *ret);
QFV_API int qfv_tap_bytes(const struct qfv_tap *t, int field, const uint8_t **ret_p, size_t *ret_n);
QFV_API int qfv_tap_text(const struct qfv_tap *t, int field, const char **ret);
/* The length of the bytes in out, at most QFV_TAP_BYTES_MAX; QFV_E_SPACE. Encoding judges no values: a record with, say,
 * an unknown kind or a time of 0 is written, and refused by whoever decodes it. */
QFV_API int qfv_tap_encode(const struct qfv_tap *t, uint8_t *out, size_t n);
/* Everything is checked; p is borrowed as long as the record's v bytes are looked at. QFV_E_TRUNCATED to QFV_E_DEPTH,
 * and then the record is as it was. */
QFV_API int qfv_tap_decode(struct qfv_tap *t, const uint8_t *p, size_t n);

/* ---- tariff and black list ----------------------------------------------------------------------------------- */

/*
 * The tariff in force, compiled, as clearingd hands it out under "tariff": keep the bytes as they came. The blob stays the
 * caller's, aligned to 8, unchanged while the tariff is used. It is checked completely before it is believed:
 * QFV_E_TARIFF, QFV_E_MEMORY. To change it in service: init the new one in other memory, qfv_gate_lists, then reuse the old.
 */
struct qfv_tariff;
QFV_API size_t qfv_tariff_size(void);
QFV_API int qfv_tariff_init(void *mem, size_t n, const void *blob, size_t blob_bytes, struct qfv_tariff **ret);
QFV_API uint32_t qfv_tariff_version(const struct qfv_tariff *t);

/*
 * The black list as clearingd hands it out under "blacklist": lines of "pan" or "pan,pan_to", up to 20 digits each, "#"
 * begins a remark. It is copied. qfv_blacklist_size(lines) holds that many entries, 20 bytes each. QFV_E_FULL: more lines
 * than fit; QFV_E_SYNTAX: a line that is none, or ranges that overlap; ret_reason, which may be NULL, then says
 * "blacklist:line:column: what". A list that is refused is refused whole: the old one stays in force.
 */
struct qfv_blacklist;
QFV_API size_t qfv_blacklist_size(size_t lines);
QFV_API int qfv_blacklist_init(void *mem, size_t n, const char *text, size_t text_bytes, char *ret_reason, size_t reason_bytes,
			       struct qfv_blacklist **ret);
QFV_API int qfv_blacklist_has(const struct qfv_blacklist *l, const uint8_t pan[10]);	/* 1 or 0 */

/* ---- gate ------------------------------------------------------------------------------------------------------- */

/* Exchange one APDU with the card, or with the PSAM: the length of the answer with its two status bytes, at most ret_bytes
 * (160 are enough); negative when there is no answer, for a card: it left the field. Calls nothing of the same gate. */
typedef int (*qfv_transmit_fn)(void *arg, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes);

enum qfv_answer {			/* what to show and do; numbers never move */
	QFV_GO = 0,			/* paid: let the passenger in */
	QFV_TAP_AGAIN = 1,		/* the card left too early: show 请再刷 and wait for the same card */
	QFV_LOW_BALANCE = 2,		/* 余额不足 */
	QFV_BLACKLISTED = 3,		/* and locked where the PSAM holds the key for it */
	QFV_CARD_REFUSED = 4,		/* no card that is taken here */
	QFV_EXPIRED = 5,		/* before its first or past its last day */
	QFV_NO_PRICE = 6,		/* the tariff has no fare for this line and time */
	QFV_REPEAT = 7,			/* the tariff lets this card not ride twice so soon */
	QFV_CARD_ERROR = 8		/* the card answered what it should not; with a record, it has paid */
};
QFV_API const char *qfv_answer_name(int answer);	/* "go", "tap-again"; "?" for no answer */

struct qfv_place {			/* where the vehicle is */
	uint32_t size;			/* sizeof(struct qfv_place); later versions append members */
	uint32_t operator_id, driver;
	uint32_t list_version;		/* of the black list given to qfv_gate_lists */
	uint16_t city;			/* acceptance city, BCD as hex, 0x4280 */
	uint16_t stop;			/* from 1; 0 unknown */
	uint8_t direction;		/* 0 up, 1 down */
	uint8_t acquirer[4];		/* BCD */
	const char *line, *vehicle;	/* at most 47 and 15 bytes; copied */
	uint8_t inside;			/* 1: riders change here without leaving the paid area; since 1.1, 0 where size ends before it */
	uint8_t none[7];		/* of 1.1, where these bytes lay behind the members: never read */
	uint32_t ride;			/* of a card: 0 one tap a ride; where both ends are tapped 1 an entry, 2 an exit; since 1.2 */
};
/*
 * The gate remembers the last 256 riders, for transfers and repeated taps, and 64 torn purchases, to complete them when
 * their card comes back. After a restart it has forgotten both: the clearing house prices transfers itself, and a torn
 * purchase then stays grey.
 */
struct qfv_gate;
QFV_API size_t qfv_gate_size(void);
/* Reads the terminal number from the PSAM, whose APDUs must be in order before: QFV_E_IO; QFV_E_MEMORY, QFV_E_ARGUMENT. */
QFV_API int qfv_gate_init(void *mem, size_t n, qfv_transmit_fn psam, void *psam_arg, struct qfv_gate **ret);
/* At the start, and whenever something of it changes, between two taps. QFV_E_ARGUMENT: size, line or vehicle missing;
 * QFV_E_RANGE. */
QFV_API int qfv_gate_place(struct qfv_gate *g, const struct qfv_place *place);
/* Borrowed until replaced. The list may be NULL: none. QFV_E_ARGUMENT: no tariff. */
QFV_API int qfv_gate_lists(struct qfv_gate *g, const struct qfv_tariff *tariff, const struct qfv_blacklist *list);
/*
 * The whole purchase with the card in the field: read it, price the ride as the clearing house will (rule: the tariff
 * pack), and debit it (JT/T 978 composite purchase: select, files 15, 17, 18, INIT, PSAM, UPDATE CAPP, DEBIT, CREDIT;
 * docs/card.md). now_ms is the terminal's clock, kept within a minute of the daemon's by qfv_welcome.clock_ms.
 *
 * Returns an enum qfv_answer, or QFV_E_ARGUMENT before place and lists are set. *ret_count (0 to 2) records were made,
 * whatever the answer: append each to the spool before the passenger passes, since the card may have paid.
 */
QFV_API int qfv_gate_tap(struct qfv_gate *g, qfv_transmit_fn card, void *card_arg, int64_t now_ms, unsigned *ret_count);
/* Record i of the last tap, the gate's, until the next; NULL: none. */
QFV_API const struct qfv_tap *qfv_gate_record(const struct qfv_gate *g, unsigned i);
/* A record of an event (QFV_KIND_SIGN_ON, _SIGN_OFF, _LINE_ON) or of papers shown (QFV_KIND_MANUAL) at the gate's place
 * into *t. serial is the terminal's own: never used twice in the same second, and never one the PSAM uses in it. A tariff
 * is not needed: a shift may begin before the first download. QFV_E_ARGUMENT: another kind, or no place set. */
QFV_API int qfv_gate_event(const struct qfv_gate *g, int kind, uint32_t serial, int64_t now_ms, struct qfv_tap *t);

/* ---- spool ------------------------------------------------------------------------------------------------------- */

#define QFV_BATCH_TAPS_MAX 512		/* docs/protocol.md */
#define QFV_BATCH_BYTES_MAX (192 * 1024)
/*
 * Store and forward in one directory that belongs to the spool alone: what was appended is there after power loss, until
 * it is released. The next batch is fixed on disk before it is handed out, so a file serial names the same bytes for ever.
 * After QFV_E_IO or QFV_E_FULL of append, next or release nothing is believed: qfv_spool_done, and init again in the same
 * memory.
 */
struct qfv_spool;
QFV_API size_t qfv_spool_size(void);
/* dir is made when missing, not its parents. A new spool numbers batches from first_file_serial (above 0): 1 for a new
 * terminal, the minutes since 2020-01-01 for one whose spool was lost, so that no number is used twice. QFV_E_BUSY,
 * QFV_E_SPOOL, QFV_E_IO, QFV_E_MEMORY, QFV_E_ARGUMENT. */
QFV_API int qfv_spool_init(void *mem, size_t n, const char *dir, uint32_t first_file_serial, struct qfv_spool **ret);
QFV_API void qfv_spool_done(struct qfv_spool *s);	/* NULL is fine */
/* An encoded record, 1 to QFV_TAP_BYTES_MAX bytes: QFV_E_RANGE. On disk when it returns 0 (fdatasync). */
QFV_API int qfv_spool_append(struct qfv_spool *s, const uint8_t *record, size_t n);
/* The next batch, of at most taps_max records, sealed and encoded into out (QFV_BATCH_BYTES_MAX are always enough): its
 * length, or 0 when nothing waits. The same bytes until released, whatever taps_max and however often the power fails.
 * device: 1 to 15 bytes, the common name of the certificate. QFV_E_ARGUMENT, QFV_E_SPACE, QFV_E_SPOOL, QFV_E_IO. */
QFV_API int qfv_spool_next(struct qfv_spool *s, const char *device, uint32_t taps_max, uint8_t *out, size_t n,
			   uint32_t *ret_file_serial, uint32_t *ret_taps);
/* For a receipt of this file serial, and for nothing else: forget the batch, durably. QFV_E_ARGUMENT: it is not the batch
 * that qfv_spool_next handed out since init; nothing is forgotten. */
QFV_API int qfv_spool_release(struct qfv_spool *s, uint32_t file_serial);
QFV_API uint64_t qfv_spool_waiting(const struct qfv_spool *s);	/* records not released */

/* Seal and encode a batch for a terminal that keeps its records in a store of its own: the length. The records are
 * borrowed for the call. It is then the terminal that gives a file serial to the same bytes for ever. QFV_E_ARGUMENT:
 * device; QFV_E_RANGE: more than QFV_BATCH_TAPS_MAX, or a record's size; QFV_E_SPACE. */
struct qfv_slice { const uint8_t *p; size_t n; };
QFV_API int qfv_batch_seal(const char *device, uint32_t file_serial, const struct qfv_slice *record, uint32_t count, uint8_t *out,
			   size_t n);

/* ---- uplink: docs/protocol.md without a socket ----------------------------------------------------------------------- */

enum qfv_uplink_state {
	QFV_UPLINK_NEW = 0,		/* not connected */
	QFV_UPLINK_HELLO = 1,		/* hello sent */
	QFV_UPLINK_WAITING = 2,		/* batch sent, no answer yet */
	QFV_UPLINK_BUSY = 3,		/* the daemon asked to wait: qfv_uplink_retry sends again */
	QFV_UPLINK_IDLE = 4		/* nothing to send, or a batch refused: qfv_uplink_retry looks again */
};
struct qfv_welcome {
	int64_t clock_ms;		/* the daemon's clock: the terminal's offset is this less its own */
	uint32_t list_version, tariff_version;	/* in force there; 0: none. Another than yours: download it */
	uint32_t batch_taps_max;	/* for qfv_spool_next, from now on */
};
struct qfv_receipt {			/* everything in the batch is durable at the clearing house: release it */
	uint64_t inbox_seq;		/* where it lies there */
	uint32_t file_serial;
	uint32_t accepted, pending, duplicate, refused;	/* records, by verdict */
	uint32_t count;			/* records in the batch. Another count than was sent: do not release, hang up */
	const uint8_t *verdict;		/* count numbers, docs/verdicts.md; for people, nothing depends on them */
	int repeated;			/* 1: the batch had come before */
};
struct qfv_refuse {			/* the batch is not taken and stays in the spool */
	uint32_t file_serial;		/* 0: a question of qfv_uplink_ask, or the hello, was refused */
	int32_t code;			/* docs/protocol.md */
	const char *text;
	int retry;			/* 1: retry after a second. 0: raise an alarm and retry each minute */
};
struct qfv_part { const char *what; uint32_t version, offset, total; const uint8_t *p; size_t n; };
/* Any but next may be NULL. Callbacks may call qfv_uplink_ask, qfv_uplink_ping and qfv_download functions with the uplink,
 * nothing else of it. What they are given lives until they return. */
struct qfv_uplink_events {
	size_t size;			/* sizeof(struct qfv_uplink_events); later versions append members */
	/* The batch to send, as qfv_spool_next made it: 1, or 0 for none. Its bytes stay until receipt or refusal. */
	int (*next)(void *arg, const uint8_t **ret_p, size_t *ret_n, uint32_t *ret_file_serial);
	void (*welcome)(void *arg, const struct qfv_welcome *m);
	void (*receipt)(void *arg, const struct qfv_receipt *m);	/* qfv_spool_release goes here; then next is called */
	void (*refused)(void *arg, const struct qfv_refuse *m);
	void (*part)(void *arg, const struct qfv_part *m);
	void (*busy)(void *arg, uint32_t retry_ms);	/* call qfv_uplink_retry after so long */
	void *arg;
};
/*
 * One conversation after the other: hello, welcome, then one batch at a time until there is none. After a lost connection
 * wait 1 s, doubling up to 60 s, with a random part, then connect again: the same batch is sent again.
 */
struct qfv_uplink;
QFV_API size_t qfv_uplink_size(void);
/* device: 1 to 15 bytes, the common name of the certificate; software: name and version of the terminal's, at most 31.
 * events are copied. QFV_E_MEMORY, QFV_E_ARGUMENT, QFV_E_RANGE. */
QFV_API int qfv_uplink_init(void *mem, size_t n, const char *device, const uint8_t terminal[6], const char *software,
			    const struct qfv_uplink_events *events, struct qfv_uplink **ret);
/* TLS is up: queues the hello, which tells clock_ms, the terminal's clock. */
QFV_API void qfv_uplink_connected(struct qfv_uplink *u, int64_t clock_ms);
/* The connection is gone, whoever ended it: what was half sent or half received is forgotten. */
QFV_API void qfv_uplink_lost(struct qfv_uplink *u);
/* Bytes that arrived, any number at a time. Negative: hang up, then qfv_uplink_lost. */
QFV_API int qfv_uplink_feed(struct qfv_uplink *u, const uint8_t *p, size_t n);
/* Bytes to go out, the uplink's, until the next call: how many, and after writing some, qfv_uplink_sent. Look after
 * connected, feed, retry, ping and ask. */
QFV_API size_t qfv_uplink_output(struct qfv_uplink *u, const uint8_t **ret_p);
QFV_API void qfv_uplink_sent(struct qfv_uplink *u, size_t n);
/* Busy or idle: send what there is. In another state nothing happens. Call it after qfv_spool_append, too. */
QFV_API void qfv_uplink_retry(struct qfv_uplink *u);
/* Once a minute without other traffic; the daemon closes an idle connection after some minutes. */
QFV_API void qfv_uplink_ping(struct qfv_uplink *u);
/* Ask for "blacklist" or "tariff" from an offset; the answer is part, or refused with file serial 0. QFV_E_MEMORY: too
 * much waits to go out; QFV_E_ARGUMENT: what is longer than 15 bytes. */
QFV_API int qfv_uplink_ask(struct qfv_uplink *u, const char *what, uint32_t version, uint32_t offset);
QFV_API int qfv_uplink_state(const struct qfv_uplink *u);	/* enum qfv_uplink_state */

/* ---- download of tariff and black list ----------------------------------------------------------------------------- */

/*
 * The parts of one list put together in a buffer of the caller, who then checks the whole (qfv_tariff_init,
 * qfv_blacklist_init), writes it to a file beside the old one, syncs, renames, and puts it in force. Start from welcome;
 * hand every part to it; stop it when the connection is lost or a refusal with file serial 0 comes.
 */
struct qfv_download;
QFV_API size_t qfv_download_size(void);
/* what: "blacklist" or "tariff", borrowed. The buffer is borrowed; for a tariff align it to 8. */
QFV_API int qfv_download_init(void *mem, size_t n, const char *what, void *buffer, size_t buffer_bytes, struct qfv_download **ret);
QFV_API int qfv_download_start(struct qfv_download *d, struct qfv_uplink *u, uint32_t version);
QFV_API void qfv_download_stop(struct qfv_download *d);
QFV_API int qfv_download_active(const struct qfv_download *d);	/* 1: parts are awaited */
/* 1: whole; its bytes lie at the start of the buffer, their number in *ret_bytes, and it awaits nothing more. 0: the part
 * is another list's, or more has been asked for. QFV_E_FULL: larger than the buffer, given up. QFV_E_FRAME: a part that
 * does not fit the ones before: hang up. When the list is replaced meanwhile, it starts again by itself. */
QFV_API int qfv_download_part(struct qfv_download *d, struct qfv_uplink *u, const struct qfv_part *m, size_t *ret_bytes);
QFV_API uint32_t qfv_download_version(const struct qfv_download *d);	/* of what is or was downloaded */

#ifdef __cplusplus
}
#endif
#endif
