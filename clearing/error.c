/* error - a sentence for every code of every folder; the ranges do not overlap. */
#include "clearing/clearing.h"

#include <string.h>

static const char *clearing_own(int code)
{
	switch (code) {
	case CLEARING_E_STORE: return "the store is damaged: a record does not hold what its kind demands";
	case CLEARING_E_NEWER: return "the store was written by a newer version";
	case CLEARING_E_STATE: return "the settlement day is not in a state that allows this";
	case CLEARING_E_NO_DAY: return "no such settlement day";
	case CLEARING_E_BUSY: return "another process has the store open for writing";
	case CLEARING_E_REFERENCE: return "reference data refused";
	case CLEARING_E_DIFFERS: return "clearing again gave other bytes";
	case CLEARING_E_PARTNER_FILE: return "partner file refused";
	case CLEARING_E_NO_TARIFF: return "no tariff pack is in force";
	case CLEARING_E_PACKED:
		return "the store is damaged: packed batches of a closed day do not unpack to the bytes that were packed; restore a backup and compare";
	case CLEARING_E_OLDER:
		return "the store was written by an older version in a format that this one does not read: clearingd brings one of format 2 up "
		       "to date when it starts; of format 1 nothing converts it, go on with the version that wrote it, or begin an empty store in "
		       "another directory";
	default: return NULL;
	}
}

static const char *tariff_own(int code)
{
	switch (code) {
	case TARIFF_E_PACK: return "the tariff pack has errors";
	case TARIFF_E_BLOB: return "not a compiled tariff pack, damaged, or of a newer version";
	case TARIFF_E_SYNTAX: return "the text was refused";
	default: return NULL;
	}
}

const char *clearing_strerror(int code)
{
	const char *text = clearing_own(code);

	if (code == 0)
		return "good";
	if (text == NULL)
		text = tariff_own(code);
	if (text == NULL)
		text = keys_strerror(code);
	if (text == NULL)
		text = tap_strerror(code);
	if (text != NULL)
		return text;
	return code <= MDB_KEYEXIST && code >= MDB_LAST_ERRCODE - 100 ? mdb_strerror(code) : strerror(code < 0 ? -code : code);
}
