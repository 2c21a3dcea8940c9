/*
 * daemon - what the files of clearingd share: configuration, the queue from fronts to the one writer, live
 * state. Private to clearing/. Threads: fronts (TLS, decode, verify), one writer (judge), one that rates provisionally
 * behind it, one that makes durable what it judged (append, commit, receipts), one for delivery, one per control connection; main waits for signals.
 */
#ifndef CLEARING_DAEMON_H
#define CLEARING_DAEMON_H

#include <limits.h>
#include <pthread.h>

#include <event2/event.h>

#include "clearing/clearing.h"
#include "clearing/stages.h"

/* ---- configuration -------------------------------------------------------------------------- */

#define PARTNERS_MAX 8
#define THREADS_MAX 16
struct partner_conf { char name[16], url[256], ca[PATH_MAX]; };
struct conf {
	char listen_host[64]; int64_t listen_port;
	char store[PATH_MAX], tls_cert[PATH_MAX], tls_key[PATH_MAX], tls_client_ca[PATH_MAX], keyring[PATH_MAX],
		passphrase_file[PATH_MAX], qr_ca[PATH_MAX], code_formats[PATH_MAX], bank_scheme_keys[PATH_MAX], bank_token_key[PATH_MAX], bank_list_key[PATH_MAX], control_socket[PATH_MAX], tls_client_crl[PATH_MAX], renewals[PATH_MAX];
	int64_t threads, clear_threads, clear_memory_mib, map_mib, connections_max, handshake_s, idle_s, queue_mib, memory_ready_mib, commit_batches, pack_after_days, poll_ms, verify_lanes,
		test_keys, device_binding, unproven_fen_max, crl_sweep_s, crl_grace_h, crl_stale_accept, key_kek, key_deadline_ms,
		key_retry_ms, kerb_ask_ms, checkpoint_taps;
	char key_backend[16], key_module[PATH_MAX], key_token[33], key_pin_file[PATH_MAX];
	int32_t open_day;
	struct partner_conf partner[PARTNERS_MAX]; size_t partner_count;
};
/* Every problem goes to stderr as file:line:column: reason; TARIFF_E_SYNTAX when there was one. */
int conf_read(const char *path, struct conf *ret_conf);
/* The options as a table, for the manual and its test: name, default, sentence. */
void conf_print_options(FILE *out);

/* ---- log: one line an event, fixed words first ------------------------------------------------- */

void log_event(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- queue: what waits for the writer -------------------------------------------------------------- */

struct front;
struct conn;
struct briefs;
enum item_kind { ITEM_BATCH, ITEM_CALL, ITEM_ASK };
struct item {
	struct item *next;
	enum item_kind kind;
	/* a batch: bytes as received and what the front found */
	struct front *front; struct conn *conn;	/* the front's; NULL: gone since */
	uint8_t *bytes; size_t bytes_count, bytes_space;
	const uint8_t *thin; size_t thin_bytes;	/* as the inbox is to have it, behind them or beside; 0 bytes: as it was received */
	uint8_t *beside;		/* a block; NULL: none is needed */
	struct batch batch;
	struct briefs *briefs; size_t briefs_space;	/* what the writer asks of its records; NULL: there was no room */
	char device[DEVICE_BYTES_MAX + 1];	/* of the certificate */
	int64_t received_ms; uint64_t queued_ns;
	uint8_t marks[2 * BATCH_TAPS_MAX];
	uint64_t seq;			/* its place in the inbox, by the writer; 0: it gets none */
	/* the answer */
	bool refused, busy; struct refuse refuse; struct receipt receipt;
	/* a question of a gate, its code in bytes, and what it is told: kerb.c */
	struct kerb_ask ask; struct kerb_said said;
	/* a call run by the writer in its write transaction; the caller waits on done */
	int (*call)(struct txn *t, void *arg); void *arg; int result;
	pthread_mutex_t *lock; pthread_cond_t *signal; bool done;
};
struct queue { pthread_mutex_t lock; pthread_cond_t signal; struct item *first, **last; size_t bytes, count; bool stopping; };
void queue_init(struct queue *q);
bool queue_put(struct queue *q, struct item *item);	/* false: stopping */
struct item *queue_take(struct queue *q, size_t items_max);	/* waits; NULL: stopping and empty */
bool queue_idle(struct queue *q);	/* nothing waits */
size_t queue_bytes(struct queue *q); size_t queue_count(struct queue *q);	/* what waits, for any thread */
void queue_stop(struct queue *q);

/* ---- key checks of a batch: verify.c. One verifier a thread ---------------------------------------------- */

struct daemon;
struct verifier;
int verifier_new(struct daemon *d, struct verifier **ret_verifier);
void verifier_free(struct verifier *v);
/* Takes the ring in force now and forgets what it derived of the one before; every batch begins with it. */
void verifier_follow(struct verifier *v);
const char *verifier_path(const struct verifier *v, enum key_alg alg);	/* as tac_batch_path */
/* Marks beside each record, as EVENT_BATCH carries them: key check, bits. */
void verifier_marks(struct verifier *v, const struct batch_taps *taps, uint32_t count, int64_t received_ms, uint8_t *ret_marks);

/* ---- live state: provisional verdicts and the answers already given ---------------------------------- */

struct live;
int live_new(struct live **ret);
void live_free(struct live *l);
void live_reset_day(struct live *l);
void live_entitlements_changed(struct live *l);	/* in a replay, where rows of the store are ahead of it: what was looked up of riders is forgotten */
/* Looks up some riders ahead of their first ride, while it is idle. False: nothing more to look up. */
bool live_warm(struct live *l, struct txn *t);
/* Provisional fares by a thread from now on (rater.h). rated: by it, what was rated so far. live_wait: until it has nothing in
 * hand, before anything but a batch is done with live, the reference data or the store's day. */
struct rated { uint64_t records, ns, cpu_ns; int64_t published_fen, rated_fen, subsidy_fen; };	/* counted since the start; sums of the open day */
typedef void rater_told(void *arg, const struct rated *now);
int live_start(struct live *l, struct store *s, rater_told *told, void *arg);
void live_wait(struct live *l);
bool live_idle(struct live *l);		/* it has nothing in hand, nor will have before the next batch */
uint64_t live_rated_due(const struct live *l);	/* rated.records once all is rated */
struct rated live_rated(const struct live *l);		/* while nothing is in hand */
/* The receipt given for this batch before; false: none. *ret_differs: same serial, other digest. */
bool live_answer(const struct live *l, const char *device, const struct batch *b, struct receipt *ret_receipt, bool *ret_differs);
/* Judge a batch and remember it. Deterministic: replaying the inbox gives the same receipts. briefs: of its records, by who has decoded
 * them; NULL: they are decoded here. */
int live_judge(struct live *l, const struct refdata *ref, struct txn *t, int32_t open_day, const char *device, const struct batch *b,
	       const struct briefs *briefs, const uint8_t *marks, uint64_t seq, struct receipt *ret_receipt);
/* What a key device said later (EVENT_RECHECK): verdicts again, receipts stay as they were given. */
int live_recheck(struct live *l, const struct refdata *ref, struct txn *t, int32_t open_day, const struct event *e);
/* A record that was set aside is released (EVENT_DEVICE): a code's platform is asked about it from now on. */
int live_released(struct live *l, struct txn *t, const struct event *e);
struct live_totals { uint64_t batches, repeated, taps, verdict[VERDICT_COUNT]; int64_t amount_fen;
	int64_t published_fen, rated_fen, subsidy_fen;		/* provisional fares: only in what writer_told gives */
	int64_t unproven_fen; uint64_t devices_beyond; };	/* while there is a cap: value no key has proven; devices that brought more */
const struct live_totals *live_totals(const struct live *l);
void live_note_repeated(struct live *l);
struct code_asks;
struct code_asks *live_asks(struct live *l);	/* records that wait for their platform's word; the writer's */

/* ---- the daemon ------------------------------------------------------------------------------------------ */

struct writer_stat { uint64_t commits, commit_ns, commit_ns_max, commits_slow, commit_batches, commit_batches_max, replay_events, replay_taps, replay_ns, replay_from,
	refused_batches, busy; };
/* What the writer tells other threads: as of its last commit, before anybody has a receipt of it. */
struct told { struct live_totals totals; struct writer_stat stat; struct stages stages; int32_t open_day; uint64_t rated_due; struct rated rated; };

struct daemon {
	struct conf conf;
	struct store *store;
	struct vault *vault;		/* the ring in force, and whoever keeps its secrets */
	struct recheck_run *recheck;
	struct pack_run *pack;
	struct refdata *ref; pthread_rwlock_t ref_lock;	/* the writer changes it, fronts read versions and lists */
	struct live *live;
	struct checkpoint *checkpoint;	/* NULL: no images are made or read */
	struct deny_served *deny;	/* deny_list.c; NULL: this house has no deny list of bank cards */
	struct kerb *kerb;		/* NULL: gates are not answered about codes */
	struct crl_seen *crl_seen;	/* numbers of revocation lists used so far; has its own lock */
	struct queue queue;
	struct append *append;
	uint64_t seq;			/* of the last event of the inbox, those included that are not durable yet; the writer's */
	int32_t open_day;
	struct front *front[THREADS_MAX];
	pthread_t writer, deliver, control, code_ask;
	int control_fd;
	struct { pthread_mutex_t lock; pthread_cond_t none; unsigned count; bool closed; } asked;	/* requests of people in hand */
	bool stopping;			/* atomic: daemon_stopping */
	struct writer_stat stat; struct stages stages;	/* the writer's */
	uint64_t codes_waiting;		/* records that wait for a platform's word; atomic */
	pthread_mutex_t told_lock; struct told told;	/* but for its rated, which is: */
	struct rated rated; pthread_cond_t rated_more;
};
static inline bool daemon_stopping(const struct daemon *d) { return __atomic_load_n(&d->stopping, __ATOMIC_RELAXED); }
int64_t clock_ms(void);		/* wall clock; the only reader besides log.c */
uint64_t clock_ns(void);	/* monotonic */
uint64_t thread_cpu_ns(pthread_t thread);	/* processor time of a thread that is not joined yet */

int fronts_start(struct daemon *d);
void fronts_stop(struct daemon *d);
/* Hand answered items of one front back to it, chained by next; the front takes them over. */
void front_answer(struct item *first, struct item *last);
void fronts_wake(struct daemon *d);	/* another ring is in force: the old one is let go */
uint64_t fronts_connections(const struct daemon *d);
struct front_counts { struct stages stages; uint64_t busy, handshakes; };
void fronts_counts(const struct daemon *d, struct front_counts *ret);	/* of all of them */
uint64_t front_cpu_ns(const struct daemon *d, size_t i);	/* of its thread so far */

int writer_open(struct daemon *d);	/* replays the inbox */
int writer_start(struct daemon *d);
void writer_told(struct daemon *d, struct told *ret);	/* waits until what it tells of is rated */
/* Run a call in the writer's next transaction and wait for it to be durable. */
int writer_call(struct daemon *d, int (*call)(struct txn *, void *), void *arg);

/* append.c: what the writer judged becomes durable, its receipts go. All but the last two are for the writer's thread. */
bool space_is_short(int code);	/* of a commit: nothing is lost, later it may be better */
void storage_failed(const char *what, int code) __attribute__((noreturn));
int append_open(struct daemon *d);
int append_start(struct daemon *d);
void append_stop(struct daemon *d);	/* when everything handed over is answered */
void append_close(struct daemon *d);
void append_hand(struct daemon *d, struct item *group, const struct told *told);	/* waits while another group waits */
bool append_failed(struct daemon *d);	/* groups are sent back until append_wait was asked */
int append_wait(struct daemon *d);	/* until nothing is in hand. 0, or why something was not durable */
void append_tell(struct daemon *d, const struct told *told);	/* for other threads, with what append.c counts */
uint64_t append_cpu_ns(const struct daemon *d);

/* The configured cap becomes an event when another is in force, so that a day is cleared with it anywhere. control_device.c */
int device_cap_start(struct daemon *d);

/* secrets.c: the ring, and the device that keeps its secrets when one is configured; says loudly when none is. */
#define SECRETS_WARNING "SOFTWARE KEYRING: the keys are in the memory of this process; production wants a key device"
struct secrets {
	const struct keyring *ring;
	struct key_device *device;	/* NULL: every key is in this process */
	uint64_t generation;		/* 1 the ring of the start; one more each time a ring is taken again */
};
int secrets_open(struct daemon *d);
/* The ring in force; it stays what it is until it is given back. NULL given back is fine. */
const struct secrets *secrets_take(struct daemon *d);
void secrets_give(struct daemon *d, const struct secrets *s);
bool secrets_in_force(const struct daemon *d, const struct secrets *s);	/* still; one atomic look */
/* Reads ring, passphrase and PIN again and opens the device again. In force at once, and the old one wiped, when the new one
 * proves itself and lacks nothing; else why, one line, and nothing has changed. Any thread but a front, which it waits for.
 * ret_* may be NULL. */
struct secrets_state { uint64_t generation, keys, refused, unwiped; int64_t taken_ms; };	/* refused: reloads | unwiped: older rings somebody still uses */
int secrets_reload(struct daemon *d, struct secrets_state *ret_state, char *ret_error, size_t error_bytes);
void secrets_state(struct daemon *d, struct secrets_state *ret_state);
void secrets_stop(struct daemon *d);	/* no reload from here on; one that runs is waited for */
/* After the last verifier. False: somebody still uses a ring, or a call hangs in the device; the process has to end
 * without tidying up around it. */
bool secrets_close(struct daemon *d);

/* recheck.c: a thread that asks again about records whose key device did not answer, and hands what it says to the writer. */
int recheck_start(struct daemon *d);
void recheck_stop(struct daemon *d);	/* before the writer stops */
void recheck_wake(struct daemon *d);	/* another ring is in force: what waits is asked about again at once */
uint64_t recheck_waiting(struct daemon *d);	/* how many records wait */

/* pack_run.c: a thread that packs closed days while nothing waits for the writer. */
int pack_start(struct daemon *d);
void pack_stop(struct daemon *d);

int control_start(struct daemon *d);
void control_stop(struct daemon *d);

int deliver_start(struct daemon *d);
const struct partner_conf *partner_find(const struct daemon *d, const char *name);	/* NULL: not configured */
/* POST and the answer's body, which the caller frees. 0 on status 200; -ECONNREFUSED, -EPROTO. */
int partner_post(const struct partner_conf *p, const char *path, const void *bytes, size_t n, long ms, char **ret_answer, size_t *ret_bytes);
/* Asks code platforms about records that wait: a thread of its own, since a platform may be slow. */
int code_ask_start(struct daemon *d);
/* One round: send what waits, fetch answers. 0 good, -ECONNREFUSED when a partner is out. */
int deliver_round(struct daemon *d);

#endif
