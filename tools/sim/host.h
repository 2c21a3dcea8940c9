/*
 * host - a centre that tests a terminal: it plays clearingd's side of docs/protocol.md with scripted disturbances, watches
 * what the terminal does, and writes a certificate. Shared by host.c (options, course), host_link.c (TLS and frames),
 * host_book.c (what holds at every moment), host_scenes.c and host_lists.c (the scenarios). Private to tools/sim.
 *
 * One terminal, one connection at a time, blocking: a scenario reads as the conversation it is.
 */
#ifndef TOOLS_SIM_HOST_H
#define TOOLS_SIM_HOST_H

#include <openssl/ssl.h>

#include "tools/tools.h"

#define HOST_FINDING_BYTES 240
#define HOST_BATCH_TAPS 4		/* what welcome allows a batch: a few records last for many scenarios */
#define HOST_SKEW_MS 90000		/* the host's clock is that much ahead of the terminal's */

/* Rules: the first ones hold at every moment, each of the others is a scenario, in this order. */
enum host_rule {
	HOST_HELLO, HOST_BATCH, HOST_RECORD, HOST_SAME, HOST_ORDER, HOST_ONCE, HOST_TURN, HOST_CLOCK,
	HOST_FIRST, HOST_TARIFF, HOST_LIST, HOST_SPLIT, HOST_LATER, HOST_BUSY, HOST_REFUSE_RETRY, HOST_REFUSE_KEPT, HOST_CUT,
	HOST_CUT_RECEIPT, HOST_OTHER_RECEIPT, HOST_WRONG_COUNT, HOST_TWICE, HOST_GARBAGE, HOST_IMPOSTOR, HOST_OLD_TLS, HOST_PACE,
	HOST_RESTART, HOST_RULE_COUNT
};
enum host_outcome { HOST_NOT_SEEN = 0, HOST_PASSED, HOST_FAILED, HOST_NOT_RUN };
struct host;
struct host_rule_info {
	const char *name, *zh, *en;
	enum host_outcome (*run)(struct host *h);	/* NULL: holds at every moment */
	bool optional;				/* not seen is no fault: the terminal gave no occasion */
};
extern const struct host_rule_info host_rules[HOST_RULE_COUNT];

/* ---- the book of batches ------------------------------------------------------------------------------------ */

/* SENT: no receipt written; MAYBE: one was, and whether it arrived is not known; DONE: the terminal went on. */
struct host_seen { uint32_t serial; uint8_t digest[DIGEST_BYTES]; enum { SEEN_SENT, SEEN_MAYBE, SEEN_DONE } state; uint64_t conn; unsigned again; };
struct host_record { uint8_t digest[DIGEST_BYTES]; uint32_t serial; };
struct host_book { struct host_seen *seen; size_t count; struct host_record *record; size_t records; };

/* A batch as it came: judged, entered. */
void host_book_batch(struct host *h, const uint8_t *bytes, size_t n);
/* A receipt for the current batch has been written. */
void host_book_receipt(struct host *h);
void host_book_done(struct host_book *b);

/* ---- the host -------------------------------------------------------------------------------------------------- */

struct host_list { const char *what; uint32_t version; const uint8_t *p; size_t n, part, next; unsigned asked, parts; bool damage, replace, whole; };
struct host {
	/* options */
	const char *listen, *cert, *key, *client_ca, *pack, *run, *only;
	int64_t wait_ms;
	/* the link */
	int listen_fd, fd;
	SSL_CTX *tls, *impostor, *old_tls;
	SSL *ssl;
	uint64_t conn;
	uint8_t in[FRAME_HEAD_BYTES + FRAME_BYTES_MAX], out[FRAME_HEAD_BYTES + FRAME_BYTES_MAX];
	size_t got, used;
	bool later;			/* answers carry fields of a later version */
	uint8_t peer[DIGEST_BYTES];	/* SHA-256 of the terminal's certificate */
	char common_name[64];
	/* the terminal */
	struct hello hello;
	bool greeted;
	int64_t skew_ms, welcomed_ms;	/* added to our clock in welcome; when the first one was sent */
	pid_t child;
	bool powered;			/* it lost its power once: its first records then have its own clock */
	/* what came */
	struct batch batch;		/* the newest; slices point into bytes */
	uint8_t bytes[BATCH_BYTES_MAX];
	bool pending;			/* it waits for an answer on this connection */
	struct host_book book;
	struct host_list tariff, blacklist;
	uint8_t *tariff_blob;
	uint32_t tariff_version;	/* of the blob; announced in its scenario */
	char blacklist_text[2048];
	/* what is thought of it */
	enum host_outcome outcome[HOST_RULE_COUNT];
	char finding[HOST_RULE_COUNT][HOST_FINDING_BYTES];
};

int64_t host_now_ms(void);		/* monotonic */
int64_t host_clock_ms(void);		/* of the wall, UTC */
/* The first fault against a rule stays; it is printed when it is found. */
enum host_outcome host_fault(struct host *h, enum host_rule rule, const char *format, ...) __attribute__((format(printf, 3, 4)));
void host_seen_good(struct host *h, enum host_rule rule);	/* kept so far */

/* ---- the link: host_link.c --------------------------------------------------------------------------------------- */

int host_link_start(struct host *h);	/* certificates and the listening socket; complains */
void host_link_stop(struct host *h);
void host_link_close(struct host *h);	/* at once, as a network does */
/* A greeted connection before the moment: 1; 0: none came. */
int host_link_open(struct host *h, int64_t until_ms);
/* A connection accepted and dropped; its moment, or 0. */
int64_t host_link_drop(struct host *h, int64_t until_ms);
/* A connection that is offered another context: 1 when the terminal spoke on it, 0 when it did not, -1 when none came. */
int host_link_tempt(struct host *h, SSL_CTX *other, int64_t until_ms);
enum host_came { CAME_NOTHING = 0, CAME_FRAME = 1, CAME_END = 2 };
enum host_came host_link_frame(struct host *h, struct frame *ret, int64_t until_ms);
void host_link_send(struct host *h, const uint8_t *p, size_t n);
/* The encoded frame in h->out with two fields of a later version behind it; the new length. */
int host_link_later(struct host *h, int n);

/* ---- conversation: host_scenes.c ------------------------------------------------------------------------------------ */

/* The next batch, on whatever connection: true, and h->batch is it. Pings and gets are answered on the way. */
bool host_batch_next(struct host *h, int64_t wait_ms);
/* A batch that waits for an answer, new or still open. */
bool host_batch_have(struct host *h);
/* The batch of this file serial comes again, or the rule is broken. */
bool host_batch_again(struct host *h, enum host_rule rule, uint32_t serial, const char *after);
void host_receipt(struct host *h, bool repeated);
/* Why nothing came: quiet with a good connection is a terminal without taps; else it is at fault. */
enum host_outcome host_dry(struct host *h, enum host_rule rule);

/* Answer a get; judge its offset against the list's rule. */
void host_list_get(struct host *h, const struct frame *f);
int host_lists_open(struct host *h);
enum host_outcome host_scene_list(struct host *h);
enum host_outcome host_scene_tariff(struct host *h);

/* The terminal's own program, when --run gave it. */
void host_child_start(struct host *h);
void host_child_kill(struct host *h);

/* ---- certificate: host.c ---------------------------------------------------------------------------------------- */

/* One line of JSON to the file, signed when there is a key. */
struct host_paper { const char *out, *vectors; const struct qr_key *key; int64_t started_ms, ended_ms; };
int host_certificate_write(const struct host *h, const struct host_paper *p);
enum host_outcome host_verdict(const struct host *h);

#endif
