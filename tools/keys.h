/* keys - what the files of qingfen keys share: options that name a key, the ring they are about. Private to tools/. */
#ifndef TOOLS_KEYS_H
#define TOOLS_KEYS_H

#include "tools/tools.h"

#define CUSTODIANS_MAX 3
struct ring_options {
	const char *ring, *passphrase_file, *purpose, *alg, *issuer, *version, *index, *scheme, *factors, *from, *to, *root_file, *at, *persons, *kcv,
		*pan, *card_kcv, *date, *minutes, *label, *wrapped, *store, *socket, *out;
	const char *by[CUSTODIANS_MAX], *key[CUSTODIANS_MAX], *fd[CUSTODIANS_MAX];	/* one of each a custodian, in order */
	size_t by_count, key_count, fd_count;
	bool test, taps, json;
	int first;
};
/* 0: go on; -1: help was printed; else an exit code. */
int ring_options_read(int argc, char **argv, const char *usage, struct ring_options *ret);
/* The key that --purpose --alg --issuer --version --index --scheme name, with --factors --from --to. Complains. */
int ring_entry_read(const struct ring_options *o, struct key_entry *ret);
/* Its number in a ring; KEYS_E_NOT_FOUND. */
int ring_entry_find(const struct keyring *ring, const struct key_entry *name, size_t *ret_i);
/* The ring of --ring and --passphrase-file, whose first line goes to passphrase (wipe it). Complains. */
#define PASSPHRASE_BYTES 256
int ring_load(const struct ring_options *o, bool create, char passphrase[PASSPHRASE_BYTES], struct keyring **ret);
int ring_store(const struct ring_options *o, const struct keyring *ring, const char *passphrase);
int ring_complain(const struct ring_options *o, int code);	/* exit code of a library error, said in one line */
int line_read(const char *path, char *ret, size_t n);
/* The public key of a person of a CSV name,title,key. Complains. keys_ceremony_verb.c */
bool person_key(const char *path, const char *name, uint8_t ret_point[65]);
/* "2026-01-01" (midnight at home) or a time. */
bool ring_moment(const char *text, int64_t *ret_ms);

int keys_ring(int argc, char **argv);
int keys_ceremony(int argc, char **argv);
int keys_compromise(int argc, char **argv);
int keys_drill(int argc, char **argv);
int keys_confirm(int argc, char **argv);	/* waiting, confirm, refuse */

#endif
