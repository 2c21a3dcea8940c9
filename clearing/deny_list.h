/* deny_list - the deny list of bank cards, signed, for validators. Private to clearing/. */
#ifndef CLEARING_DENY_LIST_H
#define CLEARING_DENY_LIST_H

#include "clearing/daemon.h"

int deny_list_open(struct daemon *d) CLEARING_MUST_CHECK;	/* keys from the configuration; after the store */
void deny_list_close(struct daemon *d);
/* Made anew when the table has changed; outside of any transaction and of ref_lock. */
int deny_list_refresh(struct daemon *d) CLEARING_MUST_CHECK;
/* Under ref_lock; version 0: none yet. Valid until the lock is given back. */
const void *deny_list_text(const struct daemon *d, uint32_t *ret_version, size_t *ret_bytes);

#endif
