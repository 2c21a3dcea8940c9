/* control - what the control files share: a request, its answer, one event appended. Private to clearing/. */
#ifndef CLEARING_CONTROL_H
#define CLEARING_CONTROL_H

#include <jansson.h>

#include "clearing/daemon.h"

struct request { json_t *root; void *bulk; size_t bulk_bytes; };
const char *request_text(const struct request *q, const char *key);	/* "" when absent */
int64_t request_number(const struct request *q, const char *key);	/* 0 when absent */
void answer_error(FILE *out, int code, const char *text);		/* text "": the code's own */
void answer_begin(struct jsonw *j, FILE *out);				/* an open object with ok: true */

void metric(FILE *f, const char *name, const char *type, uint64_t v);	/* one of Prometheus */

/* Check, append and apply one event of reference data, as a call of the writer; arg is a struct load. */
struct load { struct daemon *daemon; uint8_t type; const void *head; size_t head_bytes; const void *body; size_t bytes; uint64_t seq; char error[512]; };
int load_call(struct txn *t, void *arg);

/* control_tariff.c */
bool control_signs(struct daemon *d);		/* persons and a tariff are there: tariffs are signed from now on */
void control_publish(struct daemon *d, const struct request *q, FILE *out);
void control_withdraw(struct daemon *d, const struct request *q, FILE *out);
void control_tariffs(struct daemon *d, FILE *out);
/* from, name and signature, as signed events begin; the rest of head is zero. False: answered. */
bool signed_head(const struct request *q, FILE *out, uint8_t *head, size_t head_bytes);
/* control_rerate.c */
void control_rerate(struct daemon *d, const struct request *q, FILE *out);

/* control_keys.c */
void control_compromise(struct daemon *d, const struct request *q, FILE *out);
void control_keys_reload(struct daemon *d, FILE *out);
void control_keys_status(struct daemon *d, struct jsonw *j);
void control_keys_metrics(struct daemon *d, FILE *f);
/* control_ingest.c: where the time of a tap goes */
void control_ingest_metrics(struct daemon *d, const struct told *told, FILE *f);
/* control_confirm.c */
void control_confirm(struct daemon *d, const struct request *q, FILE *out);
/* control_device.c */
void control_device_release(struct daemon *d, const struct request *q, FILE *out);

/* pack_run.c */
void control_pack(struct daemon *d, const struct request *q, FILE *out);
void control_pack_status(struct daemon *d, struct jsonw *j);
void control_pack_metrics(struct daemon *d, FILE *f);
/* control_bank.c */
void control_bank(struct daemon *d, const struct request *q, FILE *out);
/* control_feed.c */
void control_entitlements(struct daemon *d, const struct request *q, FILE *out);

#endif
