/*
 * agent_bank - bank cards on this validator: scheme keys, deny list and unanswered rides, as files; and software cards
 * held to the gate. Private to validator/.
 */
#ifndef VALIDATOR_AGENT_BANK_H
#define VALIDATOR_AGENT_BANK_H

#include "validator/agent.h"

/* *ret_bank NULL: the configuration names no scheme keys, so no bank card is taken. */
int agent_bank_open(struct agent *a, struct agent_bank **ret_bank);
void agent_bank_close(struct agent_bank *b);
uint32_t agent_bank_version(const struct agent_bank *b);	/* of the deny list; NULL: 0 */
/* A download: the centre's signature, the version asked for, none older than the one in force; stored, then in force. */
int agent_bank_take(struct agent *a, uint32_t version, const void *p, size_t n);
/* The daemon has receipted this batch: its rides are answered. Before the batch leaves the spool. */
void agent_bank_receipt(struct agent *a, const struct batch *batch, const struct receipt *m);
/* Software cards of DIR (qingfen sim bankcards) held to the gate: INDEX[x][@SECONDS],... x: a copy without the key. */
int agent_bank_present(struct agent *a, const char *dir, const char *list);

#endif
