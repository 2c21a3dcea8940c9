/* waiting_list - records of cleared days that wait for what a person says, listed. */
#ifndef TOOLS_WAITING_LIST_H
#define TOOLS_WAITING_LIST_H

#include "clearing/clearing.h"
#include "tools/tools.h"

struct waiting_list { struct txn *t; const struct refdata *ref; bool json; uint64_t count; int64_t fen; };
struct waiting_kind {
	enum verdict verdict;		/* days whose cubes have none of it are passed by */
	bool (*waits)(const struct refdata *ref, const uint8_t key[TAP_KEY_BYTES], const struct cleared *row);
	/* One record on standard output: a line, or an object of one. id and date are its own, as text. */
	void (*print)(const struct waiting_list *l, const char *id, const char *date, const uint8_t key[TAP_KEY_BYTES], const struct cleared *row);
	const char *total;		/* after their number */
	const char *end;		/* after their amount */
};
/* All of the store, or of one day (--date). An exit code. */
int waiting_list(const struct options *o, const char *usage, const struct waiting_kind *kind);

#endif
