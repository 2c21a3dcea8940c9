/*
 * agent - what the files of validatord share: configuration, the link to the daemon, lists and tariff as
 * files, simulated taps. Private to validator/. One thread, one event loop; the spool is the only memory
 * that must not be lost.
 */
#ifndef VALIDATOR_AGENT_H
#define VALIDATOR_AGENT_H

#include <limits.h>
#include <stdio.h>

#include <event2/event.h>

#include "validator/validator.h"

/* ---- configuration: validatord.conf(5) ------------------------------------------------------- */

struct agent_conf {
	char device[DEVICE_BYTES_MAX + 1], host[256], server_name[256];
	char spool[PATH_MAX], tls_cert[PATH_MAX], tls_key[PATH_MAX], tls_ca[PATH_MAX];
	char keyring[PATH_MAX], passphrase_file[PATH_MAX], tariff[PATH_MAX], blacklist[PATH_MAX], qr_ca[PATH_MAX],
		code_list[PATH_MAX], code_formats[PATH_MAX];
	char bank_scheme_keys[PATH_MAX], bank_token_key[PATH_MAX], bank_list_point[PATH_MAX], denylist[PATH_MAX];
	char line[LINE_BYTES_MAX + 1], vehicle[16];
	uint8_t terminal[6], acquirer[4], city[2];
	int64_t port, operator_id, direction, stop, inside, ride_end, driver, batch_taps, back_off_s, answer_s, renew_days, renew_check_s, bank_sda,
		bank_first_fen, bank_card_fen, code_ask_ms, code_unasked;
};
/* Every problem goes to stderr as file:line:column: reason; TARIFF_E_SYNTAX when there was one. */
int agent_conf_read(const char *path, struct agent_conf *ret_conf);
/* The options as a table, for the manual and its test: name, default, sentence. */
void agent_conf_print(FILE *out);

/* ---- log and clocks ----------------------------------------------------------------------------- */

void agent_log(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t agent_clock_ms(void);		/* wall clock of this machine */
int64_t agent_steady_ms(void);		/* monotonic */

/* ---- files that are replaced whole ---------------------------------------------------------------- */

#define AGENT_FILE_BYTES_MAX (64 * 1024 * 1024)
/* The file in memory, malloc'ed; -ENOENT: none. */
int agent_file_load(const char *path, uint8_t **ret_p, size_t *ret_n);
/* Beside the target, synced, renamed: a reader sees the old or the new, also after power loss. */
int agent_file_store(const char *path, const void *p, size_t n);

/* What is in force, from the files and from the daemon. */
struct agent_lists {
	struct hotlist *hotlist;
	uint32_t list_version;
	struct tariff *tariff;
	uint8_t *blob;			/* under tariff */
};
int agent_lists_open(const struct agent_conf *conf, struct agent_lists *ret_lists);
void agent_lists_done(struct agent_lists *l);
/* Check a download whole, store it, put it in force. The old one stays on failure. */
int agent_list_take(const struct agent_conf *conf, struct agent_lists *l, uint32_t version, const void *p, size_t n);
int agent_tariff_take(const struct agent_conf *conf, struct agent_lists *l, const void *p, size_t n);

/* ---- key and certificate of the device: agent_enrol.c -------------------------------------------------- */

/* Requests into a file beside tls_cert ("request"), certificates from a file; exit codes. */
int agent_enrol(const struct agent_conf *conf, const char *code_path);	/* with the code in a file; "-": standard input */
int agent_renew(const struct agent_conf *conf);
int agent_certificate(const struct agent_conf *conf, const char *path);
/* A renewal signed with the key in use, of a key beside it ("next") that is made when there is none. */
int agent_renewal(const struct agent_conf *conf, char **ret_request);
/* NULL: taken, beside tls_cert ("next") until the daemon has welcomed it; the first one at once. Else why not. */
const char *agent_certificate_take(const struct agent_conf *conf, const char *certificate);
bool agent_next_ready(const struct agent_conf *conf, char ret_cert[PATH_MAX], char ret_key[PATH_MAX]);	/* a new pair that fits */
bool agent_next_waits(const struct agent_conf *conf);		/* a key that waits for its certificate */
void agent_next_commit(const struct agent_conf *conf);		/* it takes the place of the old */
void agent_pair_repair(const struct agent_conf *conf);		/* at the start */
int64_t agent_certificate_end(const struct agent_conf *conf);	/* ms; 0: none that fits */

/* ---- the agent ---------------------------------------------------------------------------------------- */

struct agent_link;
struct agent_bank;
struct agent {
	struct agent_conf conf;
	struct spool *spool;
	struct agent_lists lists;
	struct agent_bank *bank;	/* NULL: no bank cards here */
	struct event_base *base;
	int64_t offset_ms;		/* daemon's clock minus ours, from the last welcome */
	uint32_t serial;		/* next terminal serial */
	bool once;			/* end when the spool is empty */
	bool scanning;			/* codes are being shown: not the end yet */
	bool ended;			/* told to stop, or cannot go on: result says why */
	struct agent_link *link;	/* NULL: not connected to anybody */
	int result;			/* exit code */
};
/* Next serial from the file in the spool directory; reserve keeps so many for use before the next save. */
int agent_serial_load(struct agent *a);
int agent_serial_save(struct agent *a, uint32_t reserve);
/* A sign-on, sign-off or line record into the spool. */
int agent_event(struct agent *a, enum tap_kind kind);
int agent_record(struct agent *a, const struct tap *tap);

int agent_link_new(struct agent *a, struct agent_link **ret_link);
void agent_link_free(struct agent_link *l);
/* Until the daemon has welcomed us, the first attempt has failed, or so long. */
void agent_link_wait(struct agent_link *l, int64_t ms);
/* Ask about a code and wait for the answer, while everything else goes on; KERB_NOT_REACHED at the latest after m->within_ms, at once
 * when there is nobody to ask. ret_reason: the platform's word for a refusal, else empty. */
enum kerb_answer agent_link_ask(struct agent_link *l, const struct kerb_ask *m, char ret_reason[48]);

/* Where the bus is, for the gate. */
struct gate_setting agent_setting(const struct agent *a);
/* Codes as a scanner would read them, hex, one a line of a file, shown at the gate now; records into the spool, answers into the log. */
int agent_codes(struct agent *a, const char *path);

/* Taps of software cards through the gate into the spool; the PSAM is software too. */
int agent_simulate(struct agent *a, unsigned taps, uint64_t seed);

#endif
