#include "clearing/person_blocks.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/grown.h"

#define DAY_BLOCK_VERSION 4	/* above those of a row, which a value was up to format 6 */
#define LAST_BLOCK_VERSION 1
#define LAST_HEAD_BYTES 5

/* ---- read --------------------------------------------------------------------------------------------------------- */

static bool is_alone(enum db db, const uint8_t *p, size_t n) { return db == DB_PERSON_LAST ? n == 4 : n > 0 && p[0] != DAY_BLOCK_VERSION; }

void persons_open(enum db db, uint64_t first, const void *val, size_t n, struct block_persons *ret)
{
	*ret = (struct block_persons){ .db = db, .p = val, .n = n, .person = first, .alone = is_alone(db, val, n) };
	if (ret->alone)
		return;
	ret->next = db == DB_PERSON_LAST ? LAST_HEAD_BYTES : 1;
	ret->damaged = n <= ret->next || ret->p[0] != (db == DB_PERSON_LAST ? LAST_BLOCK_VERSION : DAY_BLOCK_VERSION);
	if (!ret->damaged && db == DB_PERSON_LAST)
		ret->base = row_day(ret->p + 1);
}

static bool alone_next(struct block_persons *w)
{
	if (w->next != 0)
		return false;
	w->next = w->n;
	w->row = w->p;
	w->row_bytes = w->n;
	w->day = w->db == DB_PERSON_LAST ? row_day(w->p) : 0;
	return true;
}

/* What a person's number says: how long the row behind it is, or how old his newest day. */
static bool number_take(struct block_persons *w, uint64_t number)
{
	if (w->db == DB_PERSON_LAST) {
		w->day = (int32_t)((int64_t)w->base - (int64_t)number);
		return number <= UINT32_MAX && (int64_t)w->base - (int64_t)number >= INT32_MIN;
	}
	w->row = w->p + w->next;
	w->row_bytes = (size_t)number;
	if (number > w->n - w->next)
		return false;
	w->next += (size_t)number;
	return true;
}

bool persons_next(struct block_persons *w)
{
	bool first = w->next == (w->db == DB_PERSON_LAST ? LAST_HEAD_BYTES : 1);
	uint64_t step, number;
	size_t used, bytes;

	if (w->alone)
		return alone_next(w);
	if (w->damaged || w->next >= w->n)
		return false;
	used = varnum_get(w->p + w->next, w->n - w->next, &step);
	bytes = used > 0 ? varnum_get(w->p + w->next + used, w->n - w->next - used, &number) : 0;
	w->next += used + bytes;
	w->damaged = bytes == 0 || first != (step == 0) || step > UINT64_MAX - w->person;
	w->person += step;
	w->damaged = w->damaged || !number_take(w, number);
	return !w->damaged;
}

bool block_find(struct txn *t, enum db db, int32_t day, uint64_t person, struct block_persons *ret)
{
	size_t prefix = db == DB_PERSON_DAY ? 4 : 0, n;
	uint8_t key[RIDDEN_KEY_BYTES];
	const uint8_t *found;
	const void *val;
	struct entry_note at;
	bool on;

	ridden_key(person, day, key);
	if (!txn_any(t, db) || !txn_get_last_at(t, db, key + 4 - prefix, 8 + prefix, prefix, &found, &val, &n))
		return false;
	persons_open(db, be64_get(found + prefix), val, n, ret);
	if (t->note->next > 0 && t->note->person < person) {	/* those before were gone by already */
		ret->person = t->note->person;
		ret->next = t->note->next;
	}
	do {
		at = (struct entry_note){ ret->person, ret->next };
		on = persons_next(ret);
	} while (on && ret->person < person);
	if (ret->damaged)
		t->error = CLEARING_E_STORE;
	else if (!ret->alone)
		*t->note = at;
	return on && ret->person == person;
}

/* ---- rows of a day ------------------------------------------------------------------------------------------------ */

static size_t varnum_bytes(uint64_t v)
{
	size_t n = 1;

	while ((v >>= 7) != 0)
		n++;
	return n;
}

bool person_block_takes(const struct person_block *b, uint64_t person, size_t row_bytes)
{
	return b->rows == 0 || (person > b->last && b->n + varnum_bytes(person - b->last) + varnum_bytes(row_bytes) + row_bytes <= PERSON_DAY_BYTES);
}

int person_block_add(struct person_block *b, uint64_t person, const uint8_t *row, size_t row_bytes)
{
	uint8_t *wide = grown(b->p, &b->space, b->n + 1 + 2 * VARNUM_BYTES_MAX + row_bytes, 1);

	assert(b->p == NULL || person > b->last);
	if (wide == NULL)
		return -ENOMEM;
	b->p = wide;
	if (b->rows == 0) {
		b->first = b->last = person;
		b->p[b->n++] = DAY_BLOCK_VERSION;
	}
	b->n += varnum_put(b->p + b->n, person - b->last);
	b->n += varnum_put(b->p + b->n, row_bytes);
	memcpy(b->p + b->n, row, row_bytes);
	b->n += row_bytes;
	b->last = person;
	b->rows++;
	return 0;
}

void person_block_empty(struct person_block *b) { b->rows = b->n = 0; }

void person_days_del(struct txn *t, const uint8_t above[RIDDEN_KEY_BYTES], const uint8_t below[RIDDEN_KEY_BYTES])
{
	uint8_t key[RIDDEN_KEY_BYTES];

	for (bool on = true; on && t->error == 0; ) {
		struct iter it;

		iter_open(t, DB_PERSON_DAY, above, 4, &it);
		on = iter_seek(&it, above, sizeof(key)) && (memcmp(it.key, above, sizeof(key)) != 0 || iter_next(&it)) && memcmp(it.key, below, sizeof(key)) < 0;
		if (on)
			memcpy(key, it.key, sizeof(key));
		iter_close(&it);
		if (on)
			txn_del(t, DB_PERSON_DAY, key, sizeof(key));
	}
}

/* ---- the list of newest days --------------------------------------------------------------------------------------- */

/* The part of the list that one block has, or a few that are small: where they began, what they say, and what they are to say. */
struct stretch { struct newest *before, *after; uint64_t *first; size_t count, before_space, after_count, after_space, firsts, first_space; };

static bool person_add(struct txn *t, struct newest **list, size_t *space, size_t *count, const struct newest *n)
{
	struct newest *wide = grown(*list, space, *count + 1, sizeof(*wide));

	if (wide == NULL) {
		t->error = -ENOMEM;
		return false;
	}
	*list = wide;
	wide[(*count)++] = *n;
	return true;
}

static bool block_take(struct txn *t, struct stretch *p, const uint8_t *key, const void *val, size_t n)
{
	uint64_t *wide = grown(p->first, &p->first_space, p->firsts + 1, sizeof(*wide));
	struct block_persons w;

	if (wide == NULL) {
		t->error = -ENOMEM;
		return false;
	}
	p->first = wide;
	wide[p->firsts++] = be64_get(key);
	for (persons_open(DB_PERSON_LAST, be64_get(key), val, n, &w); persons_next(&w); )
		if (!person_add(t, &p->before, &p->before_space, &p->count, &(struct newest){ w.person, w.day }))
			return false;
	if (w.damaged)
		t->error = CLEARING_E_STORE;
	return !w.damaged;
}

/* What the store has where this person belongs; *ret_last: the last who would belong there too. */
static void stretch_take(struct txn *t, struct stretch *p, uint64_t person, uint64_t *ret_last)
{
	const uint8_t *found;
	uint8_t key[8];
	const void *val;
	size_t n, bytes = 0;
	struct iter it;

	p->count = p->firsts = 0;
	*ret_last = UINT64_MAX;
	be64_put(key, person);
	if (txn_get_last_at(t, DB_PERSON_LAST, key, sizeof(key), 0, &found, &val, &n)) {
		bytes = n;
		if (!block_take(t, p, found, val, n))
			return;
	}
	if (person == UINT64_MAX)
		return;
	be64_put(key, person + 1);
	iter_open(t, DB_PERSON_LAST, NULL, 0, &it);
	for (bool on = iter_seek(&it, key, sizeof(key)); on && t->error == 0; on = iter_next(&it)) {
		bytes += it.val_bytes;
		if (bytes > PERSON_LAST_BYTES / 2) {
			*ret_last = be64_get(it.key) - 1;
			break;
		}
		block_take(t, p, it.key, it.val, it.val_bytes);
	}
	iter_close(&it);
}

/* Both lists as one, the new day where a person is in both; how many of the new belonged there. */
static size_t stretch_merge(struct txn *t, struct stretch *p, const struct newest *list, size_t count, uint64_t last)
{
	size_t i = 0, k = 0;

	p->after_count = 0;
	while (t->error == 0 && (i < p->count || (k < count && list[k].person <= last))) {
		bool fresh = k < count && list[k].person <= last && (i == p->count || list[k].person <= p->before[i].person);
		const struct newest *n = fresh ? &list[k] : &p->before[i];

		i += i < p->count && p->before[i].person == n->person;
		k += fresh;
		person_add(t, &p->after, &p->after_space, &p->after_count, n);
	}
	return k;
}

static uint64_t age_of(const struct newest *n, int32_t base) { return (uint64_t)((int64_t)base - n->day); }

static size_t newest_bytes(const struct newest *n, uint64_t before, int32_t base) { return varnum_bytes(n->person - before) + varnum_bytes(age_of(n, base)); }

/* A block of as many as make it that full; how many. */
static size_t block_put(struct txn *t, const struct newest *list, size_t count, int32_t base, size_t full)
{
	uint8_t key[8], val[PERSON_LAST_BYTES];
	uint64_t before = list[0].person;
	size_t n = LAST_HEAD_BYTES, i = 0;

	be64_put(key, before);
	val[0] = LAST_BLOCK_VERSION;
	be32_put(val + 1, (uint32_t)base ^ 0x80000000u);
	for (; i < count && n < full && n + newest_bytes(&list[i], before, base) <= sizeof(val); before = list[i++].person) {
		n += varnum_put(val + n, list[i].person - before);
		n += varnum_put(val + n, age_of(&list[i], base));
	}
	txn_put(t, DB_PERSON_LAST, key, sizeof(key), val, n);
	return i;
}

/* In blocks each as full as the others; the first begins where the first one before did, or ahead of it. */
static void stretch_put(struct txn *t, const struct stretch *p)
{
	int32_t base = INT32_MIN;
	size_t bytes = 0, blocks;
	uint8_t key[8];

	for (size_t i = 0; i < p->after_count; i++)
		base = p->after[i].day > base ? p->after[i].day : base;
	for (size_t i = 0; i < p->after_count; i++)
		bytes += newest_bytes(&p->after[i], p->after[i > 0 ? i - 1 : 0].person, base);
	for (size_t i = 0; i < p->firsts; i++) {
		be64_put(key, p->first[i]);
		if (p->first[i] != p->after[0].person)
			txn_del(t, DB_PERSON_LAST, key, sizeof(key));
	}
	blocks = bytes / (PERSON_LAST_BYTES - LAST_HEAD_BYTES) + 1;
	for (size_t i = 0; t->error == 0 && i < p->after_count; )
		i += block_put(t, p->after + i, p->after_count - i, base, LAST_HEAD_BYTES + bytes / blocks + 1);
}

void newest_put(struct txn *t, const struct newest *list, size_t count)
{
	struct stretch p = { 0 };
	uint64_t last;

	for (size_t i = 0; t->error == 0 && i < count; ) {
		stretch_take(t, &p, list[i].person, &last);
		if (t->error == 0)
			i += stretch_merge(t, &p, list + i, count - i, last);
		if (t->error == 0)
			stretch_put(t, &p);
	}
	free(p.before);
	free(p.after);
	free(p.first);
}
