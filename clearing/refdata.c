/*
 * refdata - terminals, issuers, black list and tariff packs as of a position in the inbox: built by applying
 * its events in order, so two machines with one inbox hold the same. Persons and riders are many and stay in
 * LMDB, versioned by position (refdata_rider.c).
 *
 * Look-ups are on the ingest path: terminals and black list are hash tables, the rest is short.
 */
#include "clearing/refdata.h"

#include "clearing/code_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

static uint64_t hash6(const uint8_t *p) { return XXH3_64bits(p, 6); }
static uint64_t hash10(const uint8_t *p) { return XXH3_64bits(p, 10); }

int refdata_new(struct refdata **ret)
{
	struct refdata *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	*ret = r;
	return 0;
}

static void blacklist_reset(struct blacklist *b)
{
	free(b->row);
	free(b->slot);
	free(b->text);
	*b = (struct blacklist){ 0 };
}

void refdata_free(struct refdata *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->pack_count; i++) {
		tariff_close(r->pack[i].tariff);
		free(r->pack[i].blob);
	}
	for (size_t i = 0; i < r->proposal_count; i++)
		free(r->proposal[i].blob);
	free(r->terminal.row);
	free(r->terminal.slot);
	free(r->bureau);
	free(r->feed);
	free(r->release);
	table_close(&r->confirm);
	free(r->issuer);
	blacklist_reset(&r->blacklist);
	free(r);
}

/* ---- reading CSV bodies -------------------------------------------------------------------- */

int ref_refuse(const struct ref_reading *r, int column, const char *reason)
{
	snprintf(r->error, r->error_bytes, "%s:%u:%u: %s: \"%s\"", r->name, r->line, csv_field_column(r->csv, (size_t)r->column[column]), reason,
		 r->field[r->column[column]]);
	return CLEARING_E_REFERENCE;
}

int ref_refuse_unquoted(const struct ref_reading *r, int column, const char *reason)
{
	snprintf(r->error, r->error_bytes, "%s:%u:%u: %s", r->name, r->line, csv_field_column(r->csv, (size_t)r->column[column]), reason);
	return CLEARING_E_REFERENCE;
}

const char *ref_cell(const struct ref_reading *r, int column) { return r->field[r->column[column]]; }

int ref_open(struct ref_reading *r, const char *name, const void *p, size_t n, const char *const *names, int count, char *error, size_t error_bytes)
{
	*r = (struct ref_reading){ .name = name, .error = error, .error_bytes = error_bytes };
	if (csv_parse(name, p, n, &r->csv, error, error_bytes) != 0)
		return CLEARING_E_REFERENCE;
	for (int i = 0; i < count; i++) {
		r->column[i] = csv_column(r->csv, names[i]);
		if (r->column[i] >= 0)
			continue;
		snprintf(error, error_bytes, "%s:1:1: column \"%s\" is missing", name, names[i]);
		csv_close(r->csv);
		return CLEARING_E_REFERENCE;
	}
	return 0;
}

int ref_next(struct ref_reading *r)
{
	int ret = csv_next(r->csv, &r->field, &r->line, r->error, r->error_bytes);

	return ret < 0 ? CLEARING_E_REFERENCE : ret;
}

/* Start of a day, or of the day after for an end that is included; empty: the fallback. */
static int cell_day(const struct ref_reading *r, int column, bool end, int64_t fallback_ms, int64_t *ret_ms)
{
	int32_t day;

	*ret_ms = fallback_ms;
	if (ref_cell(r, column)[0] == '\0')
		return 0;
	if (!day_parse(ref_cell(r, column), &day))
		return ref_refuse(r, column, "a date YYYY-MM-DD that exists is needed");
	*ret_ms = ((int64_t)day + end) * 86400000 - CIVIL_OFFSET_MS;
	return 0;
}

static int cell_time(const struct ref_reading *r, int column, int64_t fallback_ms, int64_t *ret_ms)
{
	if (ref_cell(r, column)[0] != '\0' && time_parse(ref_cell(r, column), ret_ms))
		return 0;
	return cell_day(r, column, false, fallback_ms, ret_ms);
}

/* ---- terminals ------------------------------------------------------------------------------------ */

static int terminal_read(const struct ref_reading *r, struct terminal_row *ret)
{
	struct terminal_row row = { 0 };
	char *end;
	int code;

	if (!hex_decode(ref_cell(r, 0), row.terminal, 6) || strspn(ref_cell(r, 0), "0123456789") != 12)
		return ref_refuse(r, 0, "a terminal number of 12 digits is needed");
	if (!hex_decode(ref_cell(r, 1), row.psam, 6))
		return ref_refuse(r, 1, "a PSAM number of 12 digits is needed");
	if (ref_cell(r, 2)[0] == '\0' || strlen(ref_cell(r, 2)) > DEVICE_BYTES_MAX)
		return ref_refuse(r, 2, "a device name of 1 to 15 bytes is needed");
	strcpy(row.device, ref_cell(r, 2));
	row.operator_id = (uint32_t)strtoul(ref_cell(r, 3), &end, 10);
	if (*end != '\0' || row.operator_id > 999999)
		return ref_refuse(r, 3, "an operator number up to 999999 is needed");
	code = cell_day(r, 4, false, 0, &row.valid_from_ms);
	if (code == 0)
		code = cell_day(r, 5, true, INT64_MAX, &row.valid_to_ms);
	if (code == 0 && row.valid_from_ms >= row.valid_to_ms)
		code = ref_refuse(r, 5, "the end is not after the start");
	if (code == 0)
		*ret = row;
	return code;
}

static int terminal_compare(const void *pa, const void *pb)
{
	const struct terminal_row *a = pa, *b = pb;
	int order = memcmp(a->terminal, b->terminal, 6);

	return order != 0 ? order : a->valid_from_ms < b->valid_from_ms ? -1 : a->valid_from_ms > b->valid_from_ms;
}

/* Sort, drop rows that a later file gives again (same terminal and start), build the hash of first rows. */
static int terminals_settle(struct terminals *t)
{
	size_t kept = 0, size = 16;

	if (t->count > 1)
		qsort(t->row, t->count, sizeof(t->row[0]), terminal_compare);
	for (size_t i = 0; i < t->count; i++) {
		if (kept > 0 && terminal_compare(&t->row[kept - 1], &t->row[i]) == 0)
			kept--;
		t->row[kept++] = t->row[i];
	}
	t->count = kept;
	while (size < 2 * t->count)
		size *= 2;
	free(t->slot);
	t->slot = calloc(size, sizeof(t->slot[0]));
	if (t->slot == NULL)
		return -ENOMEM;
	t->slot_mask = size - 1;
	for (size_t i = 0; i < t->count; i++) {
		size_t at = hash6(t->row[i].terminal) & t->slot_mask;

		if (i > 0 && memcmp(t->row[i - 1].terminal, t->row[i].terminal, 6) == 0)
			continue;
		while (t->slot[at] != 0)
			at = (at + 1) & t->slot_mask;
		t->slot[at] = (uint32_t)i + 1;
	}
	return 0;
}

static const char *const terminal_columns[] = { "terminal", "psam", "device", "operator", "valid_from", "valid_to" };

static int terminals_apply(struct refdata *ref, const void *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	struct terminals t = ref->terminal;
	struct terminal_row row;
	struct ref_reading r;
	size_t space = t.count;
	int ret = ref_open(&r, "terminals.csv", p, n, terminal_columns, 6, error, error_bytes);

	if (ret != 0)
		return ret;
	t.row = malloc((space + 1) * sizeof(t.row[0]));
	t.slot = NULL;
	if (t.row != NULL && t.count > 0)
		memcpy(t.row, ref->terminal.row, t.count * sizeof(t.row[0]));
	while (t.row != NULL && (ret = ref_next(&r)) == 1 && (ret = terminal_read(&r, &row)) == 0) {
		if (t.count >= space) {
			struct terminal_row *wide = realloc(t.row, (space = space * 2 + 256) * sizeof(*wide));

			if (wide == NULL) {
				ret = -ENOMEM;
				break;
			}
			t.row = wide;
		}
		t.row[t.count++] = row;
	}
	csv_close(r.csv);
	if (ret == 0)
		ret = t.row == NULL ? -ENOMEM : terminals_settle(&t);
	if (ret != 0 || dry) {
		free(t.row);
		free(t.slot);
		return ret;
	}
	free(ref->terminal.row);
	free(ref->terminal.slot);
	ref->terminal = t;
	return 0;
}

/* Of a terminal; the number of all rows: it has none. */
static size_t terminal_first(const struct terminals *t, const uint8_t terminal[6])
{
	if (t->count == 0)
		return 0;
	for (size_t at = hash6(terminal) & t->slot_mask; t->slot[at] != 0; at = (at + 1) & t->slot_mask)
		if (memcmp(t->row[t->slot[at] - 1].terminal, terminal, 6) == 0)
			return t->slot[at] - 1;
	return t->count;
}

const struct terminal_row *refdata_terminal(const struct refdata *r, const uint8_t terminal[6], int64_t at_ms)
{
	const struct terminals *t = &r->terminal;

	for (size_t i = terminal_first(t, terminal); i < t->count && memcmp(t->row[i].terminal, terminal, 6) == 0; i++)
		if (at_ms >= t->row[i].valid_from_ms && at_ms < t->row[i].valid_to_ms)
			return &t->row[i];
	return NULL;
}

/* Whether a row of these dates is in force, and until when, before and after, that stays so. */
static bool in_force(int64_t from_ms, int64_t to_ms, int64_t at_ms, struct span_ms *stays)
{
	bool is = at_ms >= from_ms && at_ms < to_ms;
	int64_t after = is ? from_ms : at_ms >= to_ms ? to_ms : INT64_MIN, before = is ? to_ms : at_ms >= to_ms ? INT64_MAX : from_ms;

	if (after > stays->from_ms)
		stays->from_ms = after;
	if (before < stays->to_ms)
		stays->to_ms = before;
	return is;
}

const struct terminal_row *refdata_terminal_while(const struct refdata *r, const uint8_t terminal[6], int64_t at_ms, struct span_ms *stays)
{
	const struct terminals *t = &r->terminal;

	for (size_t i = terminal_first(t, terminal); i < t->count && memcmp(t->row[i].terminal, terminal, 6) == 0; i++)
		if (in_force(t->row[i].valid_from_ms, t->row[i].valid_to_ms, at_ms, stays))
			return &t->row[i];
	return NULL;
}

size_t refdata_terminal_count(const struct refdata *r) { return r->terminal.count; }
const struct terminal_row *refdata_terminal_at(const struct refdata *r, size_t i) { return &r->terminal.row[i]; }

/* ---- issuers ------------------------------------------------------------------------------------------ */

static int issuer_compare(const void *pa, const void *pb)
{
	const struct issuer_row *a = pa, *b = pb;

	return a->issuer != b->issuer ? (a->issuer < b->issuer ? -1 : 1) : a->valid_from_ms < b->valid_from_ms ? -1 : a->valid_from_ms > b->valid_from_ms;
}

static int issuer_read(const struct ref_reading *r, struct issuer_row *ret)
{
	struct issuer_row row = { 0 };
	uint8_t bytes[4];
	int code;

	if (!hex_decode(ref_cell(r, 0), bytes, 4) || strspn(ref_cell(r, 0), "0123456789") != 8)
		return ref_refuse(r, 0, "an institution number of eight digits is needed");
	row.issuer = be32_get(bytes);
	row.ours = strcmp(ref_cell(r, 1), "yes") == 0;
	if (!row.ours && strcmp(ref_cell(r, 1), "no") != 0)
		return ref_refuse(r, 1, "yes or no is needed");
	code = cell_day(r, 2, false, 0, &row.valid_from_ms);
	if (code == 0)
		code = cell_day(r, 3, true, INT64_MAX, &row.valid_to_ms);
	if (code == 0)
		*ret = row;
	return code;
}

static const char *const issuer_columns[] = { "issuer", "ours", "valid_from", "valid_to", "name" };

static int issuers_apply(struct refdata *ref, const void *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	struct issuer_row *rows = NULL, row;
	size_t count = 0, space = 0;
	struct ref_reading r;
	int ret = ref_open(&r, "issuers.csv", p, n, issuer_columns, 5, error, error_bytes);

	if (ret != 0)
		return ret;
	while ((ret = ref_next(&r)) == 1 && (ret = issuer_read(&r, &row)) == 0) {
		if (count == space) {
			struct issuer_row *wide = realloc(rows, (space = space * 2 + 64) * sizeof(*wide));

			if (wide == NULL) {
				ret = -ENOMEM;
				break;
			}
			rows = wide;
		}
		rows[count++] = row;
	}
	csv_close(r.csv);
	if (ret != 0 || dry) {
		free(rows);
		return ret;
	}
	if (count > 1)
		qsort(rows, count, sizeof(rows[0]), issuer_compare);
	free(ref->issuer);
	ref->issuer = rows;
	ref->issuer_count = count;
	return 0;
}

static size_t issuer_first(const struct refdata *r, uint32_t number)
{
	size_t low = 0, high = r->issuer_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->issuer[mid].issuer < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct issuer_row *refdata_issuer(const struct refdata *r, const uint8_t issuer[4], int64_t at_ms)
{
	uint32_t number = be32_get(issuer);

	for (size_t i = issuer_first(r, number); i < r->issuer_count && r->issuer[i].issuer == number; i++)
		if (at_ms >= r->issuer[i].valid_from_ms && at_ms < r->issuer[i].valid_to_ms)
			return &r->issuer[i];
	return NULL;
}

const struct issuer_row *refdata_issuer_while(const struct refdata *r, const uint8_t issuer[4], int64_t at_ms, struct span_ms *stays)
{
	uint32_t number = be32_get(issuer);

	for (size_t i = issuer_first(r, number); i < r->issuer_count && r->issuer[i].issuer == number; i++)
		if (in_force(r->issuer[i].valid_from_ms, r->issuer[i].valid_to_ms, at_ms, stays))
			return &r->issuer[i];
	return NULL;
}

/* ---- black list --------------------------------------------------------------------------------------------- */

static const char *const blacklist_columns[] = { "pan", "from", "to", "action" };

static int black_read(const struct ref_reading *r, struct black_row *ret)
{
	struct black_row row = { 0 };
	int code;

	if (!pan_parse(ref_cell(r, 0), row.pan))
		return ref_refuse_unquoted(r, 0, "a card number of at most 20 digits is needed");
	code = cell_time(r, 1, 0, &row.from_ms);
	if (code == 0)
		code = cell_time(r, 2, INT64_MAX, &row.to_ms);
	if (code == 0 && strcmp(ref_cell(r, 3), "refuse") != 0 && strcmp(ref_cell(r, 3), "lock") != 0)
		code = ref_refuse(r, 3, "refuse or lock is needed");
	if (code == 0)
		*ret = row;
	return code;
}

static int black_compare(const void *pa, const void *pb)
{
	const struct black_row *a = pa, *b = pb;
	int order = memcmp(a->pan, b->pan, 10);

	return order != 0 ? order : a->from_ms < b->from_ms ? -1 : a->from_ms > b->from_ms;
}

static int blacklist_settle(struct blacklist *b)
{
	size_t size = 16, bytes = 0;
	char digits[21];
	FILE *f;

	while (size < 2 * b->count)
		size *= 2;
	b->slot = calloc(size, sizeof(b->slot[0]));
	f = open_memstream(&b->text, &bytes);
	if (b->slot == NULL || f == NULL)
		return -ENOMEM;
	b->slot_mask = size - 1;
	if (b->count > 1)
		qsort(b->row, b->count, sizeof(b->row[0]), black_compare);
	for (size_t i = 0; i < b->count; i++) {
		size_t at = hash10(b->row[i].pan) & b->slot_mask;

		if (i > 0 && memcmp(b->row[i - 1].pan, b->row[i].pan, 10) == 0)
			continue;
		while (b->slot[at] != 0)
			at = (at + 1) & b->slot_mask;
		b->slot[at] = (uint32_t)i + 1;
		pan_digits(b->row[i].pan, digits);
		fprintf(f, "%s\n", digits);
	}
	fclose(f);
	b->text_bytes = bytes;
	return 0;
}

static int blacklist_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	struct blacklist b = { 0 };
	struct ref_reading r;
	struct black_row row;
	size_t space = 0;
	int ret = CLEARING_E_REFERENCE;

	snprintf(error, error_bytes, "blacklist: the version is missing");
	if (n >= 4)
		ret = ref_open(&r, "blacklist.csv", p + 4, n - 4, blacklist_columns, 4, error, error_bytes);
	if (ret != 0)
		return ret;
	b.version = be32_get(p);
	if (b.version <= ref->blacklist.version && ref->blacklist.version != 0) {
		snprintf(error, error_bytes, "blacklist: version %u is not above version %u in force", b.version, ref->blacklist.version);
		csv_close(r.csv);
		return CLEARING_E_REFERENCE;
	}
	while ((ret = ref_next(&r)) == 1 && (ret = black_read(&r, &row)) == 0) {
		if (b.count == space) {
			struct black_row *wide = realloc(b.row, (space = space * 2 + 256) * sizeof(*wide));

			if (wide == NULL) {
				ret = -ENOMEM;
				break;
			}
			b.row = wide;
		}
		b.row[b.count++] = row;
	}
	csv_close(r.csv);
	if (ret == 0)
		ret = blacklist_settle(&b);
	if (ret != 0 || dry) {
		blacklist_reset(&b);
		return ret;
	}
	blacklist_reset(&ref->blacklist);
	ref->blacklist = b;
	return 0;
}

bool refdata_blacklisted(const struct refdata *r, const uint8_t pan[10], int64_t at_ms)
{
	const struct blacklist *b = &r->blacklist;

	if (b->count == 0)
		return false;
	for (size_t at = hash10(pan) & b->slot_mask; b->slot[at] != 0; at = (at + 1) & b->slot_mask)
		if (memcmp(b->row[b->slot[at] - 1].pan, pan, 10) == 0) {
			for (size_t i = b->slot[at] - 1; i < b->count && memcmp(b->row[i].pan, pan, 10) == 0; i++)
				if (at_ms >= b->row[i].from_ms && at_ms < b->row[i].to_ms)
					return true;
			return false;
		}
	return false;
}

uint32_t refdata_list_version(const struct refdata *r) { return r->blacklist.version; }

const void *refdata_blacklist_text(const struct refdata *r, size_t *ret_bytes)
{
	*ret_bytes = r->blacklist.text_bytes;
	return r->blacklist.text != NULL ? r->blacklist.text : "";
}

/* ---- tariffs --------------------------------------------------------------------------------------------------- */

int packs_add(struct refdata *ref, int64_t from_ms, const void *blob, size_t n, bool dry, char *error, size_t error_bytes)
{
	struct ref_pack pack = { .valid_from_ms = from_ms, .to_ms = INT64_MAX, .seq = ref->seq, .bytes = n };
	int ret;

	if (ref->pack_count == PACKS_MAX) {
		snprintf(error, error_bytes, "tariff: more than 64 packs");
		return CLEARING_E_REFERENCE;
	}
	pack.blob = malloc(pack.bytes + 1);
	if (pack.blob == NULL)
		return -ENOMEM;
	memcpy(pack.blob, blob, n);
	ret = tariff_open(pack.blob, pack.bytes, &pack.tariff);
	for (size_t i = 0; ret == 0 && i < ref->pack_count; i++)
		if (tariff_version(ref->pack[i].tariff) >= tariff_version(pack.tariff)) {
			snprintf(error, error_bytes, "tariff: version %u is not above version %u", tariff_version(pack.tariff), tariff_version(ref->pack[i].tariff));
			tariff_close(pack.tariff);
			free(pack.blob);
			return CLEARING_E_REFERENCE;
		}
	if (ret != 0 || dry) {
		snprintf(error, error_bytes, "tariff: not a compiled pack, damaged, or of a newer version");
		if (ret == 0)
			tariff_close(pack.tariff);
		free(pack.blob);
		return ret;
	}
	ref->pack[ref->pack_count++] = pack;
	return 0;
}

static int tariff_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	if (n >= 8)
		return packs_add(ref, (int64_t)be64_get(p), p + 8, n - 8, dry, error, error_bytes);
	snprintf(error, error_bytes, "tariff: the event is too short");
	return CLEARING_E_REFERENCE;
}

/* The pack valid at a time, one not withdrawn: the newest start not after it; of equal starts the later version. */
const struct tariff *refdata_tariff(const struct refdata *r, int64_t at_ms) { return refdata_tariff_known(r, at_ms, UINT64_MAX); }

const struct tariff *refdata_tariff_known(const struct refdata *r, int64_t at_ms, uint64_t seq)
{
	const struct ref_pack *best = NULL;

	for (size_t i = 0; i < r->pack_count; i++)
		if (r->pack[i].seq <= seq && r->pack[i].valid_from_ms <= at_ms && at_ms < r->pack[i].to_ms && (best == NULL || r->pack[i].valid_from_ms >= best->valid_from_ms))
			best = &r->pack[i];
	return best != NULL ? best->tariff : NULL;
}

const void *refdata_tariff_blob(const struct refdata *r, uint32_t *ret_version, size_t *ret_bytes)
{
	const struct ref_pack *newest = r->pack_count > 0 ? &r->pack[r->pack_count - 1] : NULL;

	*ret_version = newest != NULL ? tariff_version(newest->tariff) : 0;
	*ret_bytes = newest != NULL ? newest->bytes : 0;
	return newest != NULL ? newest->blob : NULL;
}

const void *refdata_tariff_blob_at(const struct refdata *r, int64_t at_ms, uint32_t *ret_version, size_t *ret_bytes)
{
	const struct tariff *now = refdata_tariff(r, at_ms);

	for (size_t i = 0; now != NULL && i < r->pack_count; i++)
		if (r->pack[i].tariff == now) {
			*ret_version = tariff_version(now);
			*ret_bytes = r->pack[i].bytes;
			return r->pack[i].blob;
		}
	return refdata_tariff_blob(r, ret_version, ret_bytes);
}

const struct tariff *refdata_tariff_version(const struct refdata *r, uint32_t version)
{
	for (size_t i = 0; i < r->pack_count; i++)
		if (tariff_version(r->pack[i].tariff) == version)
			return r->pack[i].tariff;
	return NULL;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static int apply(struct refdata *r, uint8_t type, const void *body, size_t n, bool dry, char *error, size_t error_bytes)
{
	switch (type) {
	case EVENT_TERMINALS: return terminals_apply(r, body, n, dry, error, error_bytes);
	case EVENT_ISSUERS: return issuers_apply(r, body, n, dry, error, error_bytes);
	case EVENT_BLACKLIST: return blacklist_apply(r, body, n, dry, error, error_bytes);
	case EVENT_TARIFF: return tariff_apply(r, body, n, dry, error, error_bytes);
	case EVENT_PERSONS: return persons_apply(r, body, n, dry, error, error_bytes);
	case EVENT_PUBLISH: return publish_apply(r, body, n, dry, error, error_bytes);
	case EVENT_RERATE: return rerate_apply(r, body, n, dry, error, error_bytes);
	case EVENT_WITHDRAW: return withdraw_apply(r, body, n, dry, error, error_bytes);
	case EVENT_DISTRUST: return distrust_apply(r, body, n, dry, error, error_bytes);
	case EVENT_BUREAUS: return bureaus_apply(r, body, n, dry, error, error_bytes);
	case EVENT_RISK: return risk_apply(r, body, n, dry, error, error_bytes);
	case EVENT_DEVICE: return device_apply(r, body, n, dry, error, error_bytes);
	default: return 0;
	}
}

int refdata_check(const struct refdata *r, uint8_t type, const void *body, size_t n, char *ret_error, size_t error_bytes)
{
	if (type == EVENT_RIDERS)
		return riders_apply(r, NULL, 0, body, n, ret_error, error_bytes);
	if (type == EVENT_MEDIA)
		return media_apply(NULL, 0, body, n, ret_error, error_bytes);
	if (type == EVENT_CARDS)
		return cards_apply(NULL, 0, body, n, ret_error, error_bytes);
	if (type == EVENT_RISK && contract_is(body, n))
		return contracts_apply(NULL, 0, body, n, ret_error, error_bytes);
	return apply((struct refdata *)(uintptr_t)r, type, body, n, true, ret_error, error_bytes);
}

int refdata_apply(struct refdata *r, const struct event *e, struct txn *t, char *ret_error, size_t error_bytes)
{
	if (e->type == EVENT_RIDERS)
		return t->write ? riders_apply(r, t, e->seq, e->body, e->bytes, ret_error, error_bytes) : 0;
	r->seq = e->seq;
	if (e->type == EVENT_MEDIA)
		return t->write ? media_apply(t, e->seq, e->body, e->bytes, ret_error, error_bytes) : 0;
	if (e->type == EVENT_CARDS)
		return t->write ? cards_apply(t, e->seq, e->body, e->bytes, ret_error, error_bytes) : 0;
	if (e->type == EVENT_RISK && contract_is(e->body, e->bytes))
		return t->write ? contracts_apply(t, e->seq, e->body, e->bytes, ret_error, error_bytes) : 0;
	if (e->type == EVENT_CODE_ANSWER)
		return t->write ? code_answers_apply(t, e->seq, e->body, e->bytes) : 0;
	if (e->type == EVENT_FEED)
		return t->write ? feed_apply(r, t, e, "feed", NULL, ret_error, error_bytes) : feed_note(r, e->seq, e->received_ms, e->body, e->bytes);
	return apply(r, e->type, e->body, e->bytes, false, ret_error, error_bytes);
}

int refdata_replay(struct refdata *r, struct txn *t, uint64_t to_seq)
{
	struct inbox_iter it;
	struct event e;
	char error[256];
	int ret = 0;

	inbox_open_others(t, 1, to_seq, &it);
	while (ret == 0 && inbox_next(&it, &e))
		ret = refdata_apply(r, &e, t, error, sizeof(error));
	inbox_close(&it);
	return ret != 0 ? CLEARING_E_STORE : t->error;
}
