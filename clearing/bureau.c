/*
 * bureau - which offices may grant entitlements, with the key they sign by and the groups each may grant; and the
 * batches taken from them. Both are a function of the inbox: a list is an event, so is a batch.
 */
#include "clearing/refdata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { B_NAME, B_TITLE, B_KEY, B_GROUPS, B_FACTS, B_WITHDRAW, B_LATE, B_COUNT };
static const char *const bureau_columns[B_COUNT] = { "bureau", "title", "key", "groups", "facts", "withdraw_max", "late_holds" };

/* The pack that holds may change; that a group exists is asked of it when a batch comes. */
static int groups_read(const struct ref_reading *r, struct bureau *row)
{
	const char *p = ref_cell(r, B_GROUPS);
	size_t at = 0;

	while (*(p += strspn(p, " ")) != '\0') {
		size_t n = strcspn(p, " ");

		if (n > GROUP_NAME_BYTES_MAX || at + n + 2 > sizeof(row->groups))
			return ref_refuse(r, B_GROUPS, "names of groups with spaces between, 510 bytes at most, are needed");
		memcpy(row->groups + at, p, n);
		row->groups[at + n] = ' ';
		at += n + 1;
		p += n;
	}
	row->groups[at] = '\0';
	return at > 0 ? 0 : ref_refuse(r, B_GROUPS, "at least one group is needed");
}

static int bureau_read(const struct ref_reading *r, struct bureau *ret)
{
	const char *name = ref_cell(r, B_NAME), *share = ref_cell(r, B_WITHDRAW);
	struct bureau row = { 0 };
	unsigned long percent;
	char *end;
	int code;

	if (name[0] == '\0' || strlen(name) > BUREAU_NAME_BYTES_MAX || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
		return ref_refuse(r, B_NAME, "a name of 1 to 15 letters a-z, digits and - is needed");
	if (strlen(ref_cell(r, B_KEY)) != 130 || !hex_decode(ref_cell(r, B_KEY), row.key, 65) || row.key[0] != 4)
		return ref_refuse(r, B_KEY, "an SM2 public key 04|x|y of 130 hex digits is needed");
	row.facts = strcmp(ref_cell(r, B_FACTS), "yes") == 0;
	if (!row.facts && strcmp(ref_cell(r, B_FACTS), "no") != 0)
		return ref_refuse(r, B_FACTS, "yes (may tell birth and home) or no is needed");
	percent = strtoul(share, &end, 10);
	if (share[0] < '0' || share[0] > '9' || *end != '\0' || percent > 100)
		return ref_refuse(r, B_WITHDRAW, "a percentage from 0 to 100 is needed");
	row.withdraw_max = (uint8_t)percent;
	row.adjusts = strcmp(ref_cell(r, B_LATE), "adjust") == 0;
	if (!row.adjusts && strcmp(ref_cell(r, B_LATE), "from-receipt") != 0)
		return ref_refuse(r, B_LATE, "from-receipt or adjust is needed");
	strcpy(row.name, name);
	snprintf(row.title, sizeof(row.title), "%s", ref_cell(r, B_TITLE));
	code = groups_read(r, &row);
	if (code == 0)
		*ret = row;
	return code;
}

int bureaus_apply(struct refdata *ref, const void *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	struct bureau *list = calloc(BUREAUS_MAX, sizeof(*list)), row;
	struct ref_reading r;
	size_t count = 0;
	int ret = list == NULL ? -ENOMEM : ref_open(&r, "bureaus.csv", p, n, bureau_columns, B_COUNT, error, error_bytes);

	if (ret != 0) {
		free(list);
		return ret;
	}
	while ((ret = ref_next(&r)) == 1 && (ret = bureau_read(&r, &row)) == 0) {
		for (size_t i = 0; ret == 0 && i < count; i++)
			if (strcmp(list[i].name, row.name) == 0)
				ret = ref_refuse(&r, B_NAME, "the bureau stands here twice");
			else if (memcmp(list[i].key, row.key, 65) == 0)
				ret = ref_refuse(&r, B_KEY, "the key is another bureau's");
		if (ret == 0 && count == BUREAUS_MAX)
			ret = ref_refuse(&r, B_NAME, "more than 64 bureaus");
		if (ret != 0)
			break;
		list[count++] = row;
	}
	csv_close(r.csv);
	if (ret == 0 && !dry) {
		free(ref->bureau);
		ref->bureau = list;
		ref->bureau_count = count;
		list = NULL;
	}
	free(list);
	return ret;
}

size_t refdata_bureau_count(const struct refdata *r) { return r->bureau_count; }
const struct bureau *refdata_bureau_at(const struct refdata *r, size_t i) { return &r->bureau[i]; }

const struct bureau *refdata_bureau(const struct refdata *r, const char *name)
{
	for (size_t i = 0; i < r->bureau_count; i++)
		if (strcmp(r->bureau[i].name, name) == 0)
			return &r->bureau[i];
	return NULL;
}

/* ---- batches taken ------------------------------------------------------------------------------------- */

size_t refdata_feed_count(const struct refdata *r) { return r->feed_count; }
const struct feed_batch *refdata_feed_at(const struct refdata *r, size_t i) { return &r->feed[i]; }

const struct feed_batch *refdata_feed_of(const struct refdata *r, uint64_t seq)
{
	size_t low = 0, high = r->feed_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->feed[mid].seq < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->feed_count && r->feed[low].seq == seq ? &r->feed[low] : NULL;
}

const struct feed_batch *refdata_feed_last(const struct refdata *r, const char *bureau)
{
	for (size_t i = r->feed_count; i-- > 0;)
		if (strcmp(r->feed[i].head.bureau, bureau) == 0)
			return &r->feed[i];
	return NULL;
}

int feed_event_head(const char *name, const void *p, size_t n, const uint8_t signature[64], bool force,
		    uint8_t ret_head[FEED_EVENT_HEAD_BYTES], char *error, size_t error_bytes)
{
	uint8_t head[FEED_EVENT_HEAD_BYTES] = { 0 };
	struct feed_reader r;
	int ret = feed_open(&r, name, p, n, error, error_bytes);

	if (ret == 0)
		ret = digest_sm3(p, n, head + 32);
	if (ret != 0)
		return ret;
	memcpy(head, r.head.bureau, sizeof(r.head.bureau));
	be32_put(head + 16, r.head.sequence);
	head[20] = r.head.kind;
	head[21] = force;
	be32_put(head + 24, (uint32_t)r.head.issued);
	be32_put(head + 28, r.head.count);
	memcpy(head + 64, signature, 64);
	memcpy(ret_head, head, sizeof(head));
	return 0;
}

int feed_note(struct refdata *ref, uint64_t seq, int64_t received_ms, const uint8_t *body, size_t n)
{
	struct feed_batch b = { .seq = seq, .received_ms = received_ms };
	const struct bureau *bureau;

	if (n < FEED_EVENT_HEAD_BYTES || body[BUREAU_NAME_BYTES_MAX] != '\0')
		return CLEARING_E_STORE;
	memcpy(b.head.bureau, body, sizeof(b.head.bureau));
	b.head.sequence = be32_get(body + 16);
	b.head.kind = body[20];
	b.forced = body[21] != 0;
	b.head.issued = (int32_t)be32_get(body + 24);
	b.head.count = be32_get(body + 28);
	memcpy(b.digest, body + 32, DIGEST_BYTES);
	bureau = refdata_bureau(ref, b.head.bureau);
	b.adjusts = bureau != NULL && bureau->adjusts;
	if (ref->feed_count == ref->feed_space) {
		size_t space = ref->feed_space * 2 + 64;
		struct feed_batch *wide = realloc(ref->feed, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		ref->feed = wide;
		ref->feed_space = space;
	}
	ref->feed[ref->feed_count++] = b;
	return 0;
}
