/*
 * signed_call - a request to the daemon that a person signs: begun with its command, filled with what it says by the
 * caller (json), ended with the person's name (--by) and signature (--key) and sent.
 */
#ifndef TOOLS_SIGNED_CALL_H
#define TOOLS_SIGNED_CALL_H

#include "clearing/clearing.h"
#include "tools/tools.h"

struct signed_call { struct jsonw json; FILE *out; char *text; size_t bytes; };
/* EXIT_OK, or EXIT_STORE and nothing to send. */
int signed_begin(struct signed_call *c, const char *cmd);
/* text: what is signed. bulk follows the request; NULL: nothing does. An exit code; the call is done with in any case. */
int signed_send(struct signed_call *c, const struct options *o, const char *text, size_t n, const void *bulk, size_t bulk_bytes);

#endif
