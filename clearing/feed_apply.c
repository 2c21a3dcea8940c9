/*
 * feed_apply - a bureau's batch into the riders' records. Whole or not at all: every rule is asked before or inside
 * the transaction, and a refusal aborts it. Each person it changes gets a new version under the batch's inbox
 * position; earlier ones stay, so a day already cut is priced with what was known at its cut. A hold is known by
 * bureau, group and first day.
 */
#include "clearing/refdata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENDED_LONG_AGO_DAYS 92		/* no tap that old is still rated: a hold ended before may make room */

struct entry { uint64_t handle; struct hold hold; int32_t withdrawn, birth; uint32_t home; unsigned line; };
struct entries { struct entry *list; size_t count, space; };
struct applying {
	struct refdata *ref; struct txn *t; const struct bureau *bureau; struct feed_head head; uint64_t seq;
	struct feed_reader reader; const char *name; struct feed_counts counts; uint64_t holders, lost; char *error; size_t error_bytes;
};

static int refuse_line(const char *name, unsigned line, char *error, size_t error_bytes, const char *reason)
{
	snprintf(error, error_bytes, "%s:%u:1: %s", name, line, reason);
	return CLEARING_E_REFERENCE;
}

/* ---- rules that need no store -------------------------------------------------------------------------- */

static int sequence_check(const struct refdata *ref, const struct feed_head *h, const uint8_t *digest, const char *name, bool *ret_repeated,
			  char *error, size_t error_bytes)
{
	const struct feed_batch *last = refdata_feed_last(ref, h->bureau);

	if (last == NULL && (h->sequence == 1 || h->kind == FEED_FULL))
		return 0;
	if (last == NULL)
		return refuse_line(name, 1, error, error_bytes, "a bureau's first batch is number 1 or a full one");
	for (size_t i = ref->feed_count; h->sequence <= last->head.sequence && i-- > 0;)
		if (strcmp(ref->feed[i].head.bureau, h->bureau) == 0 && ref->feed[i].head.sequence == h->sequence &&
		    memcmp(ref->feed[i].digest, digest, DIGEST_BYTES) == 0) {
			*ret_repeated = true;
			return 0;
		}
	if (h->sequence != last->head.sequence + 1) {
		snprintf(error, error_bytes, h->sequence <= last->head.sequence ?
			 "%s:1:1: batch %u was taken before with other content; batch %u comes next" :
			 "%s:1:1: batch %u leaves a gap; batch %u comes next, send it first", name, h->sequence, last->head.sequence + 1);
		return CLEARING_E_REFERENCE;
	}
	if (h->issued < last->head.issued)
		return refuse_line(name, 1, error, error_bytes, "the day of issue lies before the last batch's");
	return 0;
}

int feed_check(const struct refdata *ref, const char *name, const uint8_t *body, size_t n, int64_t received_ms, bool *ret_repeated,
	       char *error, size_t error_bytes)
{
	const uint8_t *file = body + FEED_EVENT_HEAD_BYTES;
	uint8_t head[FEED_EVENT_HEAD_BYTES];
	const struct bureau *bureau;
	struct feed_reader r;
	int ret;

	if (n < FEED_EVENT_HEAD_BYTES)
		return refuse_line(name, 1, error, error_bytes, "the event is too short");
	n -= FEED_EVENT_HEAD_BYTES;
	ret = feed_open(&r, name, file, n, error, error_bytes);
	if (ret == 0)
		ret = feed_event_head(name, file, n, body + 64, body[21] != 0, head, error, error_bytes);
	if (ret != 0)
		return ret;
	if (memcmp(head, body, sizeof(head)) != 0)
		return refuse_line(name, 1, error, error_bytes, "the head is not this file's");
	bureau = refdata_bureau(ref, r.head.bureau);
	if (bureau == NULL)
		return refuse_line(name, 1, error, error_bytes, "the bureau is not registered; qingfen load bureaus registers it");
	if (!sm2_verify(bureau->key, file, n, body + 64))
		return refuse_line(name, 1, error, error_bytes, "the signature is not this bureau's over this file");
	if (r.head.issued > day_of_ms(received_ms))
		return refuse_line(name, 1, error, error_bytes, "the day of issue lies in the future");
	return sequence_check(ref, &r.head, body + 32, name, ret_repeated, error, error_bytes);
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

static bool group_granted(const struct bureau *b, const char *group)
{
	size_t n = strlen(group);

	for (const char *p = b->groups; *p != '\0'; p += strcspn(p, " ") + 1)
		if (strncmp(p, group, n) == 0 && p[n] == ' ')
			return true;
	return false;
}

static int entry_make(const struct applying *a, const struct feed_row *row, struct entry *ret)
{
	const struct tariff *t = a->ref->pack_count > 0 ? a->ref->pack[a->ref->pack_count - 1].tariff : NULL;
	uint16_t group;

	if (!group_granted(a->bureau, row->group))
		return feed_refuse(&a->reader, FEED_GROUP, "this bureau may not grant this group");
	group = t != NULL ? tariff_group_code(t, row->group) : 0;
	if (group == 0)
		return feed_refuse(&a->reader, FEED_GROUP, "the newest tariff pack has no such group");
	if (!a->bureau->facts && (row->birth != DAY_NONE || row->home != 0))
		return feed_refuse(&a->reader, row->birth != DAY_NONE ? FEED_BIRTH : FEED_HOME, "this bureau may not tell birth and home");
	if (row->birth != DAY_NONE && row->birth > a->head.issued)
		return feed_refuse(&a->reader, FEED_BIRTH, "the birth lies behind the day of issue");
	if (row->withdrawn != DAY_NONE && row->withdrawn < row->from)
		return feed_refuse(&a->reader, FEED_WITHDRAWN, "withdrawn before it began; its first day withdraws it whole");
	*ret = (struct entry){ .handle = row->handle, .withdrawn = row->withdrawn, .birth = row->birth, .home = row->home,
			       .line = a->reader.line };
	ret->hold = (struct hold){ .group = group, .grade = row->grade, .from = row->from, .to = row->to,
				   .verified_to = row->verified_to, .batch = (uint32_t)a->seq };
	if (row->withdrawn != DAY_NONE && row->withdrawn <= row->to)
		ret->hold.to = row->withdrawn - 1;
	return 0;
}

static struct entry *entry_space(struct entries *e)
{
	if (e->count == e->space) {
		size_t space = e->space * 2 + 1024;
		struct entry *wide = realloc(e->list, space * sizeof(*wide));

		if (wide == NULL)
			return NULL;
		e->list = wide;
		e->space = space;
	}
	return &e->list[e->count];
}

static int entry_compare(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;

	if (a->handle != b->handle)
		return a->handle < b->handle ? -1 : 1;
	if (a->hold.group != b->hold.group)
		return a->hold.group < b->hold.group ? -1 : 1;
	if (a->hold.from != b->hold.from)
		return a->hold.from < b->hold.from ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

static int entries_read(struct applying *a, struct entries *e)
{
	struct feed_row row;
	struct entry *next;
	int ret;

	while ((ret = feed_next(&a->reader, &row)) == 1) {
		next = e->count < FEED_ROWS_MAX ? entry_space(e) : NULL;
		ret = next == NULL ? -ENOMEM : entry_make(a, &row, next);
		if (ret != 0)
			return ret;
		e->count++;
	}
	if (ret == 0 && e->count != a->head.count) {
		snprintf(a->error, a->error_bytes, "%s:1:1: the head counts %u rows, the file has %zu", a->name, a->head.count, e->count);
		return CLEARING_E_REFERENCE;
	}
	if (e->count > 1)
		qsort(e->list, e->count, sizeof(e->list[0]), entry_compare);
	for (size_t i = 1; ret == 0 && i < e->count; i++) {
		const struct entry *x = &e->list[i - 1], *y = &e->list[i];

		if (x->handle == y->handle && x->hold.group == y->hold.group && x->hold.from == y->hold.from)
			ret = refuse_line(a->name, y->line, a->error, a->error_bytes,
					  "the same person, group and first day as in an earlier line");
	}
	return ret;
}

/* ---- one person ------------------------------------------------------------------------------------------------ */

static bool hold_is_ours(const struct applying *a, const struct hold *h)
{
	const struct feed_batch *b = refdata_feed_of(a->ref, h->batch);

	return h->batch == (uint32_t)a->seq || (b != NULL && strcmp(b->head.bureau, a->bureau->name) == 0);
}

static bool holds_from_us(const struct applying *a, const struct rider *r, int32_t day)
{
	for (uint8_t i = 0; i < r->hold_count; i++)
		if (r->hold[i].to >= day && hold_is_ours(a, &r->hold[i]))
			return true;
	return false;
}

static void hold_drop(struct rider *r, uint8_t i) { memmove(&r->hold[i], &r->hold[i + 1], (size_t)(--r->hold_count - i) * sizeof(r->hold[0])); }

static bool room_make(const struct applying *a, struct rider *r)
{
	uint8_t oldest = 0;

	if (r->hold_count < RIDER_HOLDS_MAX)
		return true;
	for (uint8_t i = 1; i < r->hold_count; i++)
		if (r->hold[i].to < r->hold[oldest].to)
			oldest = i;
	if (r->hold[oldest].to >= a->head.issued - ENDED_LONG_AGO_DAYS)
		return false;
	hold_drop(r, oldest);
	return true;
}

static int entry_merge(struct applying *a, struct rider *r, const struct entry *e)
{
	uint8_t i = 0;

	while (i < r->hold_count && (r->hold[i].group != e->hold.group || r->hold[i].from != e->hold.from || !hold_is_ours(a, &r->hold[i])))
		i++;
	if (e->birth != DAY_NONE)
		r->birth = e->birth;
	if (e->home != 0)
		r->home = e->home;
	if (i == r->hold_count) {
		if (e->withdrawn != DAY_NONE && a->head.kind == FEED_INCREMENT)
			return refuse_line(a->name, e->line, a->error, a->error_bytes, "nothing to withdraw: this bureau granted no such hold");
		if (e->hold.to < e->hold.from)
			return 0;
		if (!room_make(a, r))
			return refuse_line(a->name, e->line, a->error, a->error_bytes, "more than 8 entitlements for one person");
		r->hold[r->hold_count++] = e->hold;
		a->counts.added++;
		return 0;
	}
	if (r->hold[i].grade == e->hold.grade && r->hold[i].to == e->hold.to && r->hold[i].verified_to == e->hold.verified_to)
		return 0;		/* as it was: no new version for it */
	if (e->withdrawn != DAY_NONE)
		a->counts.withdrawn++;
	else
		a->counts.changed++;
	r->hold[i] = e->hold;
	if (e->hold.to < e->hold.from)
		hold_drop(r, i);
	return 0;
}

/* A full batch: what this bureau granted and does not name again ends the day before its issue. */
static void missing_withdraw(struct applying *a, struct rider *r, const struct entry *e, size_t n)
{
	for (uint8_t i = r->hold_count; i-- > 0;) {
		bool named = !hold_is_ours(a, &r->hold[i]) || r->hold[i].to < a->head.issued;

		for (size_t k = 0; !named && k < n; k++)
			named = e[k].hold.group == r->hold[i].group && e[k].hold.from == r->hold[i].from;
		if (named)
			continue;
		a->counts.withdrawn++;
		r->hold[i].to = a->head.issued - 1;
		r->hold[i].batch = (uint32_t)a->seq;
		if (r->hold[i].to < r->hold[i].from)
			hold_drop(r, i);
	}
}

static void holder_note(struct applying *a, uint64_t handle, bool holds)
{
	uint8_t key[BUREAU_NAME_BYTES_MAX + 1 + 8] = { 0 }, seq[8];

	memcpy(key, a->bureau->name, strlen(a->bureau->name));
	be64_put(key + BUREAU_NAME_BYTES_MAX + 1, handle);
	be64_put(seq, a->seq);
	if (holds)
		txn_put(a->t, DB_HOLDER, key, sizeof(key), seq, sizeof(seq));
	else
		txn_del(a->t, DB_HOLDER, key, sizeof(key));
}

/* n rows of one person; n 0: a holder whom a full batch does not name. */
static int person_apply(struct applying *a, uint64_t handle, const struct entry *e, size_t n)
{
	struct rider before = { .birth = DAY_NONE, .issued = DAY_NONE }, after;
	bool held, holds;
	int ret = 0;

	rider_of(a->t, handle, a->seq, &before);
	after = before;
	if (a->head.kind == FEED_FULL)
		missing_withdraw(a, &after, e, n);
	for (size_t i = 0; ret == 0 && i < n; i++)
		ret = entry_merge(a, &after, &e[i]);
	held = holds_from_us(a, &before, a->head.issued);
	holds = holds_from_us(a, &after, a->head.issued);
	a->holders += held;
	a->lost += held && !holds;
	if (ret != 0 || rider_same(&before, &after))
		return ret;
	a->counts.persons++;
	rider_write(a->t, handle, a->seq, &after);
	touched_put(a->t, a->seq, handle | 1ULL << 63, rider_first_difference(&before, &after));
	holder_note(a, handle, holds);
	return a->t->error;
}

/* ---- the batch ----------------------------------------------------------------------------------------------------- */

/* Everyone who holds something of the bureau, rising; the caller frees it. */
static int holders_list(const struct applying *a, uint64_t **ret, size_t *ret_count)
{
	char prefix[BUREAU_NAME_BYTES_MAX + 1] = "";
	uint64_t *list = NULL;
	size_t count = 0, space = 0;
	struct iter it;

	strcpy(prefix, a->bureau->name);
	iter_open(a->t, DB_HOLDER, prefix, sizeof(prefix), &it);
	while (iter_next(&it) && it.key_bytes == sizeof(prefix) + 8) {
		if (count == space) {
			uint64_t *wide = realloc(list, (space = space * 2 + 1024) * sizeof(*wide));

			if (wide == NULL) {
				iter_close(&it);
				free(list);
				return -ENOMEM;
			}
			list = wide;
		}
		list[count++] = be64_get(it.key + sizeof(prefix));
	}
	iter_close(&it);
	*ret = list;
	*ret_count = count;
	return a->t->error;
}

/* Rows and, for a full batch, holders walked together by rising handle. */
static int persons_apply_all(struct applying *a, const struct entries *e, const uint64_t *holder, size_t holders)
{
	size_t i = 0, h = 0;
	int ret = 0;

	while (ret == 0 && (i < e->count || h < holders)) {
		uint64_t handle = i == e->count || (h < holders && holder[h] < e->list[i].handle) ? holder[h] : e->list[i].handle;
		size_t n = 0;

		while (i + n < e->count && e->list[i + n].handle == handle)
			n++;
		ret = person_apply(a, handle, e->list + i, n);
		i += n;
		h += h < holders && holder[h] == handle;
	}
	return ret;
}

static int share_check(const struct applying *a, bool forced)
{
	if (a->head.kind != FEED_FULL || forced || a->lost * 100 <= a->holders * a->bureau->withdraw_max)
		return 0;
	snprintf(a->error, a->error_bytes,
		 "%s:1:1: %llu of %llu holders would lose all this bureau granted, more than %u %%; if that is meant, load it with --force", a->name,
		 (unsigned long long)a->lost, (unsigned long long)a->holders, a->bureau->withdraw_max);
	return CLEARING_E_REFERENCE;
}

int feed_apply(struct refdata *ref, struct txn *t, const struct event *e, const char *name, struct feed_counts *ret_counts,
	       char *error, size_t error_bytes)
{
	struct applying a = { .ref = ref, .t = t, .seq = e->seq, .name = name, .error = error, .error_bytes = error_bytes };
	struct entries entries = { 0 };
	uint64_t *holder = NULL;
	size_t holders = 0;
	bool repeated = false;
	int ret = feed_check(ref, name, e->body, e->bytes, e->received_ms, &repeated, error, error_bytes);

	if (ret == 0 && repeated)
		ret = refuse_line(name, 1, error, error_bytes, "already taken");
	if (ret != 0)
		return ret;
	ret = feed_open(&a.reader, name, e->body + FEED_EVENT_HEAD_BYTES, e->bytes - FEED_EVENT_HEAD_BYTES, error, error_bytes);
	a.head = a.reader.head;
	a.bureau = refdata_bureau(ref, a.head.bureau);
	if (ret == 0)
		ret = entries_read(&a, &entries);
	if (ret == 0 && a.head.kind == FEED_FULL)
		ret = holders_list(&a, &holder, &holders);
	if (ret == 0)
		ret = persons_apply_all(&a, &entries, holder, holders);
	if (ret == 0)
		ret = share_check(&a, e->body[21] != 0);
	if (ret == 0)
		ret = t->error != 0 ? t->error : feed_note(ref, e->seq, e->received_ms, e->body, e->bytes);
	if (ret == 0 && ret_counts != NULL)
		*ret_counts = a.counts;
	free(entries.list);
	free(holder);
	return ret;
}
