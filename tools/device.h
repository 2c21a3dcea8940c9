/*
 * device - qingfen device: what the files of this verb share. A folder holds a device CA: ca.crt, ca.key (encrypted),
 * register.jsonl, crl.pem, and codes/ with what proofs of enrolment codes not used yet are checked with. docs/devices.md.
 */
#ifndef TOOLS_DEVICE_H
#define TOOLS_DEVICE_H

#include <limits.h>

#include "tools/tools.h"

struct device_options {
	const char *ca, *passphrase_file, *persons, *by, *key, *device, *terminal, *psam, *name, *csr, *in, *out, *reason, *with, *days;
	bool json;
	int first;
};
/* 0: go on; -1: help was printed; else an exit code. */
int device_options_read(int argc, char **argv, const char *usage, struct device_options *ret);
/* PATH_MAX bytes: a file of the CA's folder. */
void device_path(const struct device_options *o, const char *name, char ret_path[PATH_MAX]);
/* Beside the target, synced, renamed. mode as open. -errno. */
int device_file_put(const char *path, const void *p, size_t n, unsigned mode);
/* Whole, NUL behind it; at most 64 MiB. NULL: errno. */
char *device_file_get(const char *path, size_t *ret_n);

/* ---- the register: every act, in order, signed by a person, each line over the one before ---------------- */

#define SERIAL_BYTES 16
#define SERIAL_TEXT_BYTES (2 * SERIAL_BYTES)
struct device_cert { char device[DEVICE_BYTES_MAX + 1]; uint8_t terminal[6], psam[6]; char serial[SERIAL_TEXT_BYTES + 1];
	int64_t from_ms, until_ms, revoked_ms; char reason[24], by[PERSON_NAME_BYTES_MAX + 1], revoked_by[PERSON_NAME_BYTES_MAX + 1];
	char *pem; };			/* revoked_ms 0: not revoked */
struct device_invite { char device[DEVICE_BYTES_MAX + 1]; uint8_t terminal[6], psam[6], digest[DIGEST_BYTES]; int64_t until_ms; bool used;
	char by[PERSON_NAME_BYTES_MAX + 1]; };
struct device_register {
	int fd;				/* locked while open */
	uint64_t lines, crl_number;
	int64_t crl_next_ms;
	uint8_t last[DIGEST_BYTES];	/* of the last line */
	struct device_cert *cert; size_t certs, cert_space;
	struct device_invite *invite; size_t invites, invite_space;
	char path[PATH_MAX];
};
/* Reads it all: an edited, missing or moved line is refused with its number. writing: locked for this one; of the signatures
 * the newest thousand are checked, which cover all lines before. */
int register_open(const struct device_options *o, bool writing, struct device_register **ret_register);
void register_close(struct device_register *r);		/* NULL is fine */
/* One act: fields writes its members into an open object. Signed, appended, synced, and taken into the register. */
int register_add(struct device_register *r, const struct device_options *o, const char *act, void (*fields)(struct jsonw *j, void *arg), void *arg);
/* Newest certificate of a device that is neither revoked nor past its end; NULL. */
struct device_cert *register_current(struct device_register *r, const char *device, int64_t now_ms);
struct device_invite *register_invite(struct device_register *r, const char *device, int64_t now_ms);	/* NULL: none that is open */

/* ---- the CA ------------------------------------------------------------------------------------------------- */

struct device_ca;
int ca_open(const struct device_options *o, struct device_ca **ret_ca);	/* complains */
void ca_close(struct device_ca *ca);					/* NULL is fine */
/* Key and self-signed certificate into the folder; *ret_pem is the certificate. */
int ca_make(const struct device_options *o, char **ret_pem);
/* A certificate for the key of a request; serial, times and PEM into *cert, whose device and binding are given. */
int ca_issue(struct device_ca *ca, const struct enrol_request *request, int days, struct device_cert *cert);
/* The list of what the register has revoked and is not past its end; PEM. */
int ca_list(struct device_ca *ca, const struct device_register *r, uint64_t number, int64_t next_ms, char **ret_pem);
bool ca_has_key(const char *pem, const struct enrol_request *request);	/* the certificate is of the request's key */
bool ca_reason(const char *name, int *ret_code);	/* RFC 5280, 5.3.1; code may be NULL */

int device_ca_verb(int argc, char **argv);	/* init-ca, revoke, crl */
int device_enrol_verb(int argc, char **argv);	/* enrol, renew */
int device_list_verb(int argc, char **argv);	/* list, show */
int device_aside(int argc, char **argv);	/* aside, release */
/* A new list: written to crl.pem and --out, told in the register. */
int device_list_issue(const struct device_options *o, struct device_ca *ca, struct device_register *r);
int64_t device_now_ms(void);
/* --days, or the fallback; 0: not 1 to 3650, told. */
int device_days(const struct device_options *o, int fallback);
/* Revoke every certificate of a device that holds, but for one serial (NULL: all). How many; negative: an exit code, negated. */
int device_revoke(const struct device_options *o, struct device_register *r, const char *device, const char *but_serial, const char *reason);
bool device_name_good(const char *name);	/* letters, digits, dash, dot and underscore; also a file's name */

#endif
