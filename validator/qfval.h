/*
 * qfval - the library that terminal makers link: a purchase at the gate with the clearing house's own fare
 * calculation, the record, the spool that survives power loss, and the conversation with clearingd.
 * libqfval(3) and docs/terminal-integration.md are the manual.
 *
 * Every object lies in memory of the caller: NAME_size() tells the bytes, which are aligned as malloc's are.
 * After NAME_init nothing takes memory (init of a spool may, for the digest and the directory). No globals that
 * change, no threads, no socket, no clock: bytes and times come as arguments. One object is used by one thread
 * at a time. C99. Times are ms UTC, money is fen, numbers of cards and terminals are BCD as bytes.
 *
 * Functions return 0 or a count, or an enum qfv_error. Outputs are untouched on failure.
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
#define QFV_VERSION_MINOR 0		/* rises when functions are added */
QFV_API int qfv_version(void);		/* of the library that runs: major * 1000 + minor */
QFV_API const char *qfv_version_text(void);	/* "1.0" */

enum qfv_error {			/* numbers never move */
	QFV_E_TRUNCATED = -1001,	/* a length runs past the end */
	QFV_E_SYNTAX = -1002,		/* not the type the format asks for */
	QFV_E_RECORD_VERSION = -1003,
	QFV_E_RANGE = -1004,		/* a value outside its bounds */
	QFV_E_TRAILING = -1005,
	QFV_E_DEPTH = -1006,
	QFV_E_COUNT = -1007,
	QFV_E_TOTAL = -1008,
	QFV_E_DIGEST = -1009,
	QFV_E_SERIALS = -1010,
	QFV_E_SPACE = -1011,		/* the buffer given is too small */
	QFV_E_FRAME = -1012,		/* bytes that are no frame, or one out of turn: hang up */
	QFV_E_SPOOL = -1013,		/* spool damaged beyond its tail: keep it and call for help */
	QFV_E_MEMORY = -1101,		/* object's memory missing, too small or not aligned */
	QFV_E_ARGUMENT = -1102,		/* an argument that makes no sense, or not now */
	QFV_E_BUSY = -1103,		/* another process holds the spool */
	QFV_E_IO = -1104,		/* disk, card or PSAM does not answer */
	QFV_E_FULL = -1105,		/* no space on the disk, or more entries than the memory holds */
	QFV_E_TARIFF = -1106,		/* bytes that are no tariff of this version */
	QFV_E_CRYPTO = -1107
};
/* A sentence for people; of an unknown number too. */
QFV_API const char *qfv_strerror(int error);

/* ---- the tap record (docs/tap-format.md) --------------------------------------------------------- */

/* Numbers are the places in the record on the wire; later versions append. */
enum qfv_field {
	QFV_TAP_VERSION, QFV_TAP_KIND, QFV_TAP_MEDIUM, QFV_TAP_FLAGS, QFV_TAP_PAN, QFV_TAP_ISSUER, QFV_TAP_CARD_CITY,
	QFV_TAP_CARD_CLASS, QFV_TAP_CARD_SUBTYPE, QFV_TAP_CARD_COUNTER, QFV_TAP_BALANCE_BEFORE, QFV_TAP_BALANCE_AFTER,
	QFV_TAP_LIST_FEN, QFV_TAP_AMOUNT_FEN, QFV_TAP_TXN_TYPE, QFV_TAP_TERMINAL, QFV_TAP_TERMINAL_SERIAL, QFV_TAP_PSAM,
	QFV_TAP_KEY_VERSION, QFV_TAP_KEY_INDEX, QFV_TAP_ALG_ID, QFV_TAP_RANDOM, QFV_TAP_TAC, QFV_TAP_TIME_MS,
	QFV_TAP_OPERATOR_ID, QFV_TAP_LINE, QFV_TAP_DIRECTION, QFV_TAP_VEHICLE, QFV_TAP_STOP, QFV_TAP_STOP_ON, QFV_TAP_DRIVER,
	QFV_TAP_PREV_COUNTER, QFV_TAP_PREV_AMOUNT_FEN, QFV_TAP_PREV_TYPE, QFV_TAP_PREV_TERMINAL, QFV_TAP_PREV_TIME_MS,
	QFV_TAP_ACQUIRER, QFV_TAP_ACCEPT_CITY, QFV_TAP_LIST_VERSION, QFV_TAP_TARIFF_VERSION, QFV_TAP_PRODUCT,
	QFV_TAP_PRODUCT_LEFT, QFV_TAP_DISTANCE_M, QFV_TAP_ODA, QFV_TAP_CRYPTOGRAM, QFV_TAP_QR, QFV_TAP_SERIES,
	QFV_TAP_FIELD_COUNT
};
#define QFV_TAP_BYTES_MAX 1024		/* of an encoded record */
struct qfv_tap;
QFV_API size_t qfv_tap_size(void);
/* An empty record of the version this library writes. */
QFV_API int qfv_tap_init(void *mem, size_t n, struct qfv_tap **ret);
QFV_API const char *qfv_tap_field_name(int field);	/* "amount_fen"; NULL: no such field */
/* Numbers: fields of numbers and times. Bytes: BCD, codes and QR (exact length, QR up to its bound; QR is borrowed until
 * the record is encoded). Text: line, vehicle, series. QFV_E_ARGUMENT: not a field of that kind; QFV_E_RANGE. */
QFV_API int qfv_tap_set_number(struct qfv_tap *t, int field, int64_t value);
QFV_API int qfv_tap_set_bytes(struct qfv_tap *t, int field, const void *p, size_t n);
QFV_API int qfv_tap_set_text(struct qfv_tap *t, int field, const char *text);
QFV_API int qfv_tap_number(const struct qfv_tap *t, int field, int64_t *ret);
QFV_API int qfv_tap_bytes(const struct qfv_tap *t, int field, const uint8_t **ret_p, size_t *ret_n);
QFV_API int qfv_tap_text(const struct qfv_tap *t, int field, const char **ret);
QFV_API int qfv_tap_encode(const struct qfv_tap *t, uint8_t *out, size_t n);	/* the record's length */
QFV_API int qfv_tap_decode(struct qfv_tap *t, const uint8_t *p, size_t n);	/* QR points into p */

/* ---- tariff and black list ------------------------------------------------------------------------- */

/* The compiled pack as clearingd hands it out ("tariff"); the blob stays with the caller, aligned to 8. */
struct qfv_tariff;
QFV_API size_t qfv_tariff_size(void);
QFV_API int qfv_tariff_init(void *mem, size_t n, const void *blob, size_t blob_bytes, struct qfv_tariff **ret);
QFV_API uint32_t qfv_tariff_version(const struct qfv_tariff *t);

/* The list as clearingd hands it out ("blacklist"): "pan[,pan_to]" a line. It is copied; ret_reason tells line and
 * fault of a list that is refused, and may be NULL. */
struct qfv_blacklist;
QFV_API size_t qfv_blacklist_size(size_t lines);
QFV_API int qfv_blacklist_init(void *mem, size_t n, const char *text, size_t text_bytes, char *ret_reason, size_t reason_bytes,
			       struct qfv_blacklist **ret);
QFV_API int qfv_blacklist_has(const struct qfv_blacklist *l, const uint8_t pan[10]);	/* 1 or 0 */

/* ---- gate ------------------------------------------------------------------------------------------------ */

/* Exchange one APDU: the length of the answer with its status, or negative when the card left the field. */
typedef int (*qfv_transmit_fn)(void *arg, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes);

enum qfv_answer {			/* numbers never move */
	QFV_GO = 0, QFV_TAP_AGAIN = 1, QFV_LOW_BALANCE = 2, QFV_BLACKLISTED = 3, QFV_CARD_REFUSED = 4, QFV_EXPIRED = 5,
	QFV_NO_PRICE = 6, QFV_REPEAT = 7, QFV_CARD_ERROR = 8
};
QFV_API const char *qfv_answer_name(int answer);

struct qfv_place {			/* where the bus is; set size to sizeof, later versions append members */
	uint32_t size;
	uint32_t operator_id, driver, list_version;
	uint16_t city, stop;		/* city: BCD as hex, 0x4280; stop: 1-based, 0 unknown */
	uint8_t direction, acquirer[4];
	const char *line, *vehicle;	/* UTF-8, copied */
};
struct qfv_gate;
QFV_API size_t qfv_gate_size(void);
/* Asks the PSAM for its terminal number. */
QFV_API int qfv_gate_init(void *mem, size_t n, qfv_transmit_fn psam, void *psam_arg, struct qfv_gate **ret);
QFV_API int qfv_gate_place(struct qfv_gate *g, const struct qfv_place *place);
/* Borrowed until replaced; the list may be NULL. */
QFV_API int qfv_gate_lists(struct qfv_gate *g, const struct qfv_tariff *tariff, const struct qfv_blacklist *list);
/* The whole purchase with this card. enum qfv_answer, whatever *ret_count records (0..2) there are: each of them goes into
 * the spool before the door opens, also when the answer is not QFV_GO. */
QFV_API int qfv_gate_tap(struct qfv_gate *g, qfv_transmit_fn card, void *card_arg, int64_t now_ms, unsigned *ret_count);
/* Record i of the last tap, valid until the next; NULL: none. */
QFV_API const struct qfv_tap *qfv_gate_record(const struct qfv_gate *g, unsigned i);

/* ---- spool ------------------------------------------------------------------------------------------------ */

#define QFV_BATCH_TAPS_MAX 512
#define QFV_BATCH_BYTES_MAX (192 * 1024)
struct qfv_spool;
QFV_API size_t qfv_spool_size(void);
/* dir is made when missing. A new spool numbers batches from first_file_serial: 1 for a new terminal, the minutes since
 * 2020 for one that lost its spool. Close with qfv_spool_done. */
QFV_API int qfv_spool_init(void *mem, size_t n, const char *dir, uint32_t first_file_serial, struct qfv_spool **ret);
QFV_API void qfv_spool_done(struct qfv_spool *s);
QFV_API int qfv_spool_append(struct qfv_spool *s, const uint8_t *record, size_t n);	/* durable on return */
/* The next batch, sealed and encoded into out: its length, 0 when nothing waits. The same bytes until released. */
QFV_API int qfv_spool_next(struct qfv_spool *s, const char *device, uint32_t taps_max, uint8_t *out, size_t n,
			   uint32_t *ret_file_serial, uint32_t *ret_taps);
/* Only after its receipt: forget the batch. */
QFV_API int qfv_spool_release(struct qfv_spool *s, uint32_t file_serial);
QFV_API uint64_t qfv_spool_waiting(const struct qfv_spool *s);

/* Seal and encode records without a spool; scratch memory comes from the C library. The batch's length. */
struct qfv_slice { const uint8_t *p; size_t n; };
QFV_API int qfv_batch_seal(const char *device, uint32_t file_serial, const struct qfv_slice *record, uint32_t count, uint8_t *out,
			   size_t n);

/* ---- uplink: docs/protocol.md without a socket ---------------------------------------------------------------- */

enum qfv_uplink_state { QFV_UPLINK_NEW = 0, QFV_UPLINK_HELLO = 1, QFV_UPLINK_WAITING = 2, QFV_UPLINK_BUSY = 3, QFV_UPLINK_IDLE = 4 };
struct qfv_welcome { int64_t clock_ms; uint32_t list_version, tariff_version, batch_taps_max; };
struct qfv_receipt { uint64_t inbox_seq; uint32_t file_serial, accepted, pending, duplicate, refused, count; const uint8_t *verdict;
	int repeated; };
struct qfv_refuse { uint32_t file_serial; int32_t code; const char *text; int retry; };
struct qfv_part { const char *what; uint32_t version, offset, total; const uint8_t *p; size_t n; };
/* Set size to sizeof; later versions append. Any but next may be NULL. They may call qfv_uplink_ask and _ping of the
 * uplink, nothing else of it. What they are given lives until they return. */
struct qfv_uplink_events {
	size_t size;
	/* The batch to send, as qfv_spool_next made it: 1, or 0 for none. The bytes stay until receipt or refusal. */
	int (*next)(void *arg, const uint8_t **ret_p, size_t *ret_n, uint32_t *ret_file_serial);
	void (*welcome)(void *arg, const struct qfv_welcome *m);
	void (*receipt)(void *arg, const struct qfv_receipt *m);
	void (*refused)(void *arg, const struct qfv_refuse *m);
	void (*part)(void *arg, const struct qfv_part *m);
	void (*busy)(void *arg, uint32_t retry_ms);
	void *arg;
};
struct qfv_uplink;
QFV_API size_t qfv_uplink_size(void);
/* device: at most 15 bytes, as in the certificate; software: at most 31. */
QFV_API int qfv_uplink_init(void *mem, size_t n, const char *device, const uint8_t terminal[6], const char *software,
			    const struct qfv_uplink_events *events, struct qfv_uplink **ret);
QFV_API void qfv_uplink_connected(struct qfv_uplink *u, int64_t clock_ms);	/* TLS is up: queues the hello */
QFV_API void qfv_uplink_lost(struct qfv_uplink *u);
QFV_API int qfv_uplink_feed(struct qfv_uplink *u, const uint8_t *p, size_t n);	/* what arrived; on failure hang up */
QFV_API size_t qfv_uplink_output(struct qfv_uplink *u, const uint8_t **ret_p);	/* what is to go out */
QFV_API void qfv_uplink_sent(struct qfv_uplink *u, size_t n);			/* so much of it went */
QFV_API void qfv_uplink_retry(struct qfv_uplink *u);	/* busy or idle: send what there is */
QFV_API void qfv_uplink_ping(struct qfv_uplink *u);
QFV_API int qfv_uplink_ask(struct qfv_uplink *u, const char *what, uint32_t version, uint32_t offset);
QFV_API int qfv_uplink_state(const struct qfv_uplink *u);

#ifdef __cplusplus
}
#endif
#endif
