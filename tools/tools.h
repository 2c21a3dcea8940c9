/*
 * tools - the front door for people: qingfen <verb>. Each verb is one file; the library does the work.
 */
#ifndef TOOLS_TOOLS_H
#define TOOLS_TOOLS_H

#include "clearing/clearing.h"

/* Exit codes, the same for every verb (docs/qingfen.1). */
enum { EXIT_OK = 0, EXIT_NO = 1, EXIT_USAGE = 2, EXIT_CONFIG = 3, EXIT_STORE = 4, EXIT_ABSENT = 5, EXIT_BUSY = 6,
	EXIT_UNREACHABLE = 7, EXIT_PARTLY = 8, EXIT_RULE = 9 };

/* A verb gets argv with argv[0] = its own name. */
struct verb { const char *name; int (*run)(int argc, char **argv); const char *zh; const char *en; };

int verb_keys(int argc, char **argv);
int verb_card(int argc, char **argv);
int verb_qr(int argc, char **argv);
int verb_tariff(int argc, char **argv);
int verb_taps(int argc, char **argv);
int verb_day(int argc, char **argv);
int verb_report(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_dump(int argc, char **argv);
int verb_recompute(int argc, char **argv);
int verb_rerate(int argc, char **argv);
int verb_verify(int argc, char **argv);
int verb_evidence(int argc, char **argv);
int verb_backup(int argc, char **argv);
int verb_restore(int argc, char **argv);
int verb_load(int argc, char **argv);
int verb_entitlements(int argc, char **argv);
int verb_bank(int argc, char **argv);
int verb_device(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_sim(int argc, char **argv);

/* The options verbs share; a verb names in its usage the ones it takes. Words that are not options follow in
 * argv from first on. 0: go on; -1: help was printed; else an exit code. */
struct options { const char *store, *socket, *form, *format, *out, *date, *to, *from, *key, *trust, *who, *cases, *taps, *by, *day, *live, *at, *import; int64_t version; bool json, csv, canonical, dry_run;
	int first; };
int options_read(int argc, char **argv, const char *usage, struct options *ret);
/* Send a request to the daemon and print its answer (JSON with --json, else as lines); exit code. */
int daemon_call(const struct options *o, const char *request, const void *bulk, size_t bulk_bytes, bool quiet);
/* The store of --store, opened for reading; complains. */
int store_open_reading(const struct options *o, struct store **ret_store);

/* One line on stderr: "qingfen: what: where: what to do". */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Exit code of a library error. */
int exit_of_error(int code);
/* Store directory: --store, else $QINGFEN_STORE, else "store". Control socket likewise, QINGFEN_SOCKET. */
const char *store_dir(const char *option);
const char *socket_path(const char *option);

#endif
