/* entitlements - what the files of qingfen entitlements share. */
#ifndef TOOLS_ENTITLEMENTS_H
#define TOOLS_ENTITLEMENTS_H

#include "tools/tools.h"

struct entitlement_options { const char *sig, *key, *city_key, *to, *bureau, *sequence, *kind, *issued, *pan, *date, *store, *socket;
	bool force, birth, ndjson, json; const char *word[2]; int words; };
/* Whole file; complains. Free *ret_p. */
int bytes_read(const char *path, char **ret_p, size_t *ret_n);
int entitlements_prepare(const struct entitlement_options *o);
int entitlements_handle(const struct entitlement_options *o);
int entitlements_sign(const struct entitlement_options *o);
int entitlements_status(const struct entitlement_options *o);
int entitlements_show(const struct entitlement_options *o);

#endif
