#include "clearing/ridden.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/grown.h"
#include "clearing/person_blocks.h"

#define RIDDEN_VERSION 3
#define RIDDEN_VERSION_6 2	/* of days cleared up to format 6 of the store: the state before the card numbers */
#define RIDDEN_VERSION_5 1	/* up to format 5: and no day of the row before */
#define RIDDEN_NO_STATE 0x80
#define FLAGS_KNOWN (RIDDEN_RATED | RIDDEN_ALONE | RIDDEN_COUNTS | RIDDEN_NTH | RIDDEN_OTHER_CARD)
#define CARD_BYTES_MAX (VARNUM_BYTES_MAX + 12)
#define RIDE_BYTES_MAX (1 + MOMENT_BYTES_MAX + 10 + 3 * VARNUM_BYTES_MAX)

/* Noon of the day: what is ridden on a settlement day lies around it. */
int64_t ridden_near_ms(int32_t day) { return (int64_t)day * 86400000 - CIVIL_OFFSET_MS + 12 * 3600000LL; }

void ridden_key(uint64_t person, int32_t day, uint8_t ret_key[RIDDEN_KEY_BYTES])
{
	be32_put(ret_key, (uint32_t)day ^ 0x80000000u);
	be64_put(ret_key + 4, person);
}

/* A card number: its first four digits and the other sixteen, four bits each. */
struct digits { uint16_t first; uint64_t rest; };

/* Of numbers below 100, one in every two bytes, the two digits. */
static uint64_t digits_two(uint64_t v) { return v + (v * 103 >> 10 & 0x000F000F000F000F) * 6; }

/* The card number that is its own person's handle, if it is one. The digits are parted together: by fours, then by twos. */
static struct digits digits_of_person(uint64_t person)
{
	uint64_t first = person / 10000000000000000, rest = person % 10000000000000000, high = rest / 100000000, low = rest % 100000000;
	uint64_t even = high % 10000 << 32 | low % 10000, odd = high / 10000 << 32 | low / 10000;
	uint64_t hundreds = (even * 5243 >> 19 & 0x0000007F0000007F) | (odd * 5243 >> 19 & 0x0000007F0000007F) << 16;
	uint64_t others = (even | odd << 16) - hundreds * 100;

	return (struct digits){ (uint16_t)(digits_two(first / 100) << 8 | digits_two(first % 100)), digits_two(hundreds) << 8 | digits_two(others) };
}

static bool pan_is(const uint8_t pan[10], const struct digits *d) { return be16_get(pan) == d->first && be64_get(pan + 2) == d->rest; }

static void pan_put(uint8_t pan[10], const struct digits *d)
{
	be16_put(pan, d->first);
	be64_put(pan + 2, d->rest);
}

/* ---- to bytes ------------------------------------------------------------------------------------------------ */

size_t ridden_bytes_max(const struct ridden_row *row)
{
	return 1 + RIDER_STATE_BYTES_MAX + 3 * VARNUM_BYTES_MAX + row->cards * CARD_BYTES_MAX + row->rides * RIDE_BYTES_MAX;
}

static uint8_t *card_put(uint8_t *p, const struct ridden_row *row, const struct ridden_card *c, const struct digits *own)
{
	bool listed = !pan_is(c->pan, own);

	assert(c->day <= row->day);
	p += varnum_put(p, (uint64_t)((int64_t)row->day - c->day) << 1 | listed);
	if (listed) {
		memcpy(p, c->pan, sizeof(c->pan));
		p += sizeof(c->pan);
	}
	be16_put(p, c->highest);
	return p + 2;
}

static uint8_t *ride_put(uint8_t *p, const struct ridden_row *row, const struct ridden_ride *r, int64_t after_ms)
{
	bool counts = (r->flags & RIDDEN_COUNTS) != 0;

	assert((int64_t)be64_get(r->key + 10) == r->time_ms && (!counts || r->card < row->cards));
	*p++ = (uint8_t)(r->flags | (r->nth != 0 ? RIDDEN_NTH : 0) | (counts && r->card != 0 ? RIDDEN_OTHER_CARD : 0));
	p += moment_put(p, r->time_ms, after_ms);
	memcpy(p, r->key, 10);
	p += 10;
	if (r->nth != 0)
		p += varnum_put(p, r->nth);
	if (counts)
		p += varnum_put(p, zigzag((int64_t)row->card[r->card].highest - r->counter));
	if (counts && r->card != 0)
		p += varnum_put(p, r->card);
	return p;
}

size_t ridden_encode(const struct ridden_row *row, uint8_t *out)
{
	int64_t after = ridden_near_ms(row->day);
	struct digits own = digits_of_person(row->person);
	uint8_t *p = out;

	assert(row->before < row->day);
	*p++ = row->state != NULL ? RIDDEN_VERSION : RIDDEN_VERSION | RIDDEN_NO_STATE;
	p += varnum_put(p, row->before == DAY_NONE ? 0 : (uint64_t)((int64_t)row->day - row->before));
	p += varnum_put(p, row->cards);
	for (size_t i = 0; i < row->cards; i++)
		p = card_put(p, row, &row->card[i], &own);
	if (row->state != NULL)
		p += rider_state_pack(row->state, after, p);
	p += varnum_put(p, row->rides);
	for (size_t i = 0; i < row->rides; i++) {
		p = ride_put(p, row, &row->ride[i], after);
		after = row->ride[i].time_ms;
	}
	assert((size_t)(p - out) <= ridden_bytes_max(row));
	return (size_t)(p - out);
}

/* ---- from bytes ---------------------------------------------------------------------------------------------- */

static bool number(const struct ridden *r, size_t *at, uint64_t max, uint64_t *ret)
{
	size_t n = varnum_get(r->val + *at, r->bytes - *at, ret);

	*at += n;
	return n > 0 && *ret <= max;
}

/* A card number but for its digits; *ret_pan: where they are, NULL: they are the person's handle. */
static bool card_read(const struct ridden *r, size_t *at, struct ridden_card *ret, const uint8_t **ret_pan)
{
	uint64_t head;

	if (!number(r, at, UINT32_MAX, &head) || (int64_t)r->day - (int64_t)(head >> 1) < INT32_MIN)
		return false;
	ret->day = (int32_t)((int64_t)r->day - (int64_t)(head >> 1));
	if (r->bytes - *at < (head & 1 ? 12 : 2))
		return false;
	*ret_pan = head & 1 ? r->val + *at : NULL;
	*at += head & 1 ? sizeof(ret->pan) : 0;
	ret->highest = be16_get(r->val + *at);
	*at += 2;
	return true;
}

static bool card_get(const struct ridden *r, size_t *at, struct ridden_card *ret)
{
	const uint8_t *pan;
	struct digits own;

	if (!card_read(r, at, ret, &pan))
		return false;
	if (pan != NULL) {
		memcpy(ret->pan, pan, sizeof(ret->pan));
	} else {
		own = digits_of_person(r->person);
		pan_put(ret->pan, &own);
	}
	return true;
}

static uint16_t highest_at(const struct ridden *r, uint32_t i)
{
	struct ridden_card card = { 0 };
	size_t at = r->card_at;
	const uint8_t *pan;

	for (uint32_t k = 0; k <= i; k++)
		card_read(r, &at, &card, &pan);
	return card.highest;
}

static bool counter_get(const struct ridden *r, size_t *at, bool other, struct ridden_ride *ret)
{
	uint64_t below, card = 0;
	int64_t counter;

	if (!number(r, at, UINT32_MAX, &below) || (other && (!number(r, at, UINT32_MAX, &card) || card == 0)) || card >= r->cards)
		return false;
	ret->card = (uint32_t)card;
	counter = highest_at(r, ret->card) - zigzag_back(below);
	ret->counter = (uint16_t)counter;
	return counter > 0 && counter <= UINT16_MAX;
}

static bool ride_get(const struct ridden *r, size_t *at, int64_t after_ms, struct ridden_ride *ret)
{
	struct ridden_ride ride = { 0 };
	uint64_t nth = 0;
	uint8_t flags;
	size_t n;

	if (r->bytes - *at < 1)
		return false;
	flags = r->val[(*at)++];
	n = moment_get(r->val + *at, r->bytes - *at, after_ms, &ride.time_ms);
	*at += n;
	if ((flags & ~FLAGS_KNOWN) != 0 || n == 0 || r->bytes - *at < 10)
		return false;
	memcpy(ride.key, r->val + *at, 10);
	be64_put(ride.key + 10, (uint64_t)ride.time_ms);
	*at += 10;
	if ((flags & RIDDEN_NTH) && (!number(r, at, UINT16_MAX, &nth) || nth == 0))
		return false;
	ride.nth = (uint16_t)nth;
	if ((flags & RIDDEN_COUNTS) ? !counter_get(r, at, (flags & RIDDEN_OTHER_CARD) != 0, &ride) : (flags & RIDDEN_OTHER_CARD) != 0)
		return false;
	ride.flags = flags & (RIDDEN_RATED | RIDDEN_ALONE | RIDDEN_COUNTS);
	*ret = ride;
	return true;
}

/* How many follow, each of at least so many bytes. */
static bool count_get(const struct ridden *r, size_t *at, size_t bytes_min, uint32_t *ret)
{
	uint64_t n;

	if (!number(r, at, UINT32_MAX, &n) || n > (r->bytes - *at) / bytes_min)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool cards_check(struct ridden *r, size_t *at)
{
	struct ridden_card card;
	const uint8_t *pan;

	r->count_at = *at;
	if (!count_get(r, at, 3, &r->cards))
		return false;
	r->card_at = *at;
	for (uint32_t i = 0; i < r->cards; i++)
		if (!card_read(r, at, &card, &pan))
			return false;
	r->card_end = *at;
	return true;
}

static bool state_check(struct ridden *r, size_t *at)
{
	struct rider_state state;

	if ((r->val[0] & RIDDEN_NO_STATE) != 0)
		return true;
	r->state_at = *at;
	r->state_bytes = rider_state_unpack(r->val + *at, r->bytes - *at, ridden_near_ms(r->day), &state);
	*at += r->state_bytes;
	return r->state_bytes > 0;
}

/* What is behind the head: the records, which are then asked for in turn, and before them the state if it was not in front. */
static bool rest_check(struct ridden *r)
{
	int64_t after = ridden_near_ms(r->day);
	size_t at = r->card_end;
	struct ridden_ride ride;

	if (r->version == RIDDEN_VERSION && !state_check(r, &at))
		return false;
	r->ride_at = at;
	if (!count_get(r, &at, 12, &r->rides))
		return false;
	r->next = at;
	r->left = r->rides;
	r->time_ms = after;
	for (uint32_t i = 0; i < r->rides; i++, after = ride.time_ms)
		if (!ride_get(r, &at, after, &ride))
			return false;
	return at == r->bytes;
}

static bool before_get(struct ridden *r, size_t *at)
{
	uint64_t ago = 0;

	if (r->version != RIDDEN_VERSION_5 && (!number(r, at, UINT32_MAX, &ago) || (int64_t)r->day - (int64_t)ago <= DAY_NONE))
		return false;
	r->before = ago > 0 ? (int32_t)((int64_t)r->day - (int64_t)ago) : DAY_NONE;
	return true;
}

bool ridden_open_head(uint64_t person, int32_t day, const uint8_t *val, size_t n, struct ridden *ret)
{
	size_t at = 1;

	*ret = (struct ridden){ .person = person, .day = day, .val = val, .bytes = n };
	ret->version = n > 0 ? val[0] & (uint8_t)~RIDDEN_NO_STATE : 0;
	if (ret->version < RIDDEN_VERSION_5 || ret->version > RIDDEN_VERSION || !before_get(ret, &at))
		return false;
	if (ret->version != RIDDEN_VERSION)
		return state_check(ret, &at) && cards_check(ret, &at);
	if (!cards_check(ret, &at))
		return false;
	ret->state_at = (val[0] & RIDDEN_NO_STATE) == 0 ? at : 0;
	return true;
}

bool ridden_open(uint64_t person, int32_t day, const uint8_t *val, size_t n, struct ridden *ret)
{
	return ridden_open_head(person, day, val, n, ret) && rest_check(ret);
}

bool ridden_row_state(const struct ridden *r, struct rider_state *ret)
{
	return rider_state_unpack(r->val + r->state_at, r->bytes - r->state_at, ridden_near_ms(r->day), ret) > 0;
}

struct ridden_card ridden_card_at(const struct ridden *r, uint32_t i)
{
	struct ridden_card card = { 0 };
	size_t at = r->card_at;

	for (uint32_t k = 0; k <= i && k < r->cards; k++)
		card_get(r, &at, &card);
	return card;
}

bool ridden_card_of(const struct ridden *r, const uint8_t pan[10], struct ridden_card *ret)
{
	size_t at = r->card_at;

	for (uint32_t k = 0; k < r->cards; k++)
		if (card_get(r, &at, ret) && memcmp(ret->pan, pan, sizeof(ret->pan)) == 0)
			return true;
	return false;
}

bool ridden_next(struct ridden *r, struct ridden_ride *ret)
{
	if (r->left == 0 || !ride_get(r, &r->next, r->time_ms, ret))
		return false;
	r->left--;
	r->time_ms = ret->time_ms;
	return true;
}

/* ---- in the store -------------------------------------------------------------------------------------------- */

static bool row_take(struct txn *t, uint64_t person, int32_t day, const void *val, size_t n, struct ridden *ret)
{
	bool sound = ridden_open_head(person, day, val, n, ret);

	if (!sound)
		t->error = CLEARING_E_STORE;
	return sound;
}

/* Of days cleared up to format 5: by person, then day. */
static void key_5(uint64_t person, int32_t day, uint8_t ret_key[RIDDEN_KEY_BYTES])
{
	be64_put(ret_key, person);
	be32_put(ret_key + 8, (uint32_t)day ^ 0x80000000u);
}

static bool before_5(struct txn *t, uint64_t person, int32_t day, struct ridden *ret)
{
	uint8_t key[RIDDEN_KEY_BYTES];
	const uint8_t *found;
	const void *val;
	size_t n;

	key_5(person, day, key);
	return txn_any(t, DB_RIDDEN) && txn_get_last_at(t, DB_RIDDEN, key, sizeof(key), 8, &found, &val, &n) &&
	       row_take(t, person, row_day(found + 8), val, n, ret);
}

/* The day of the person's newest row; false: none, or only of days up to format 5. */
static bool last_day(struct txn *t, uint64_t person, int32_t *ret)
{
	struct block_persons w;
	bool found = block_find(t, DB_PERSON_LAST, 0, person, &w);

	if (found)
		*ret = w.day;
	return found;
}

/* The row of just that day, which many have of the day before a clear's; false: he has none among those by day. */
static bool row_on(struct txn *t, uint64_t person, int32_t day, struct ridden *ret)
{
	struct block_persons w;

	return block_find(t, DB_PERSON_DAY, day, person, &w) && row_take(t, person, day, w.row, w.row_bytes, ret);
}

/* The row of a day that another row or the list of newest ones names: it is there. */
static bool row_named(struct txn *t, uint64_t person, int32_t day, struct ridden *ret)
{
	if (row_on(t, person, day, ret))
		return true;
	if (t->error == 0 && before_5(t, person, day, ret) && ret->day == day)
		return true;
	t->error = t->error != 0 ? t->error : CLEARING_E_STORE;
	return false;
}

/* The row before a row. */
static bool row_before(struct txn *t, const struct ridden *row, struct ridden *ret)
{
	if (row->version == RIDDEN_VERSION_5)
		return row->day > DAY_NONE && before_5(t, row->person, row->day - 1, ret);
	return row->before != DAY_NONE && row_named(t, row->person, row->before, ret);
}

bool ridden_before(struct txn *t, uint64_t person, int32_t day, struct ridden *ret)
{
	struct ridden row;
	int32_t last;
	bool found;

	if (row_on(t, person, day, ret))
		return true;
	if (t->error != 0)
		return false;
	found = last_day(t, person, &last) ? row_named(t, person, last, &row) : t->error == 0 && before_5(t, person, day, &row);
	while (found && row.day > day) {
		const struct ridden later = row;

		found = row_before(t, &later, &row);
	}
	if (found)
		*ret = row;
	return found;
}

bool ridden_any(struct txn *t) { return txn_any(t, DB_PERSON_LAST) || txn_any(t, DB_RIDDEN); }

int ridden_each(struct txn *t, uint64_t person, int32_t day, ridden_fn fn, void *arg)
{
	struct ridden *list = NULL, row;
	size_t count = 0, space = 0;
	int ret = 0;

	for (bool found = ridden_before(t, person, day, &row); ret == 0 && found; ) {
		struct ridden *wide = grown(list, &space, count + 1, sizeof(*wide));

		if (wide == NULL) {
			ret = -ENOMEM;
			break;
		}
		list = wide;
		list[count] = row;
		found = row_before(t, &list[count++], &row);
	}
	ret = ret != 0 ? ret : t->error;
	while (ret == 0 && count > 0)
		ret = rest_check(&list[--count]) ? fn(arg, &list[count]) : (t->error = CLEARING_E_STORE);
	free(list);
	return ret;
}

struct met { bool any; uint64_t person; };	/* with the row before, where rows lie by person */

/* The persons of an entry: of the list of newest days, or whose row lies by person, if he is not in that list. */
static int entry_each(struct txn *t, enum db db, const struct iter *it, struct met *met, int32_t day, ridden_fn fn, void *arg)
{
	uint64_t person = it->key_bytes >= 8 ? be64_get(it->key) : 0;
	struct block_persons w;
	int32_t newest;
	int ret = 0;

	if (db == DB_RIDDEN) {
		bool again = (met->any && person == met->person) || last_day(t, person, &newest);

		*met = (struct met){ true, person };
		return again ? 0 : ridden_each(t, person, day, fn, arg);
	}
	persons_open(db, person, it->val, it->val_bytes, &w);
	while (ret == 0 && persons_next(&w))
		ret = ridden_each(t, w.person, day, fn, arg);
	return ret == 0 && w.damaged ? CLEARING_E_STORE : ret;
}

int ridden_everyone(struct txn *t, int32_t day, ridden_fn fn, void *arg)
{
	static const enum db by_person[] = { DB_PERSON_LAST, DB_RIDDEN };
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < sizeof(by_person) / sizeof(by_person[0]); i++) {
		struct met met = { 0 };
		struct iter it;

		if (!txn_any(t, by_person[i]))
			continue;
		iter_open(t, by_person[i], NULL, 0, &it);
		while (ret == 0 && iter_next(&it))
			ret = entry_each(t, by_person[i], &it, &met, day, fn, arg);
		iter_close(&it);
	}
	return ret != 0 ? ret : t->error;
}

uint64_t ridden_count(struct txn *t, int32_t day)
{
	uint8_t prefix[4];
	struct iter it;
	uint64_t n = 0;

	if (!txn_any(t, DB_PERSON_DAY))
		return 0;
	be32_put(prefix, (uint32_t)day ^ 0x80000000u);
	iter_open(t, DB_PERSON_DAY, prefix, sizeof(prefix), &it);
	while (iter_next(&it)) {
		struct block_persons w;

		persons_open(DB_PERSON_DAY, it.key_bytes == RIDDEN_KEY_BYTES ? be64_get(it.key + 4) : 0, it.val, it.val_bytes, &w);
		while (persons_next(&w))
			n++;
		if (w.damaged)
			t->error = CLEARING_E_STORE;
	}
	iter_close(&it);
	return n;
}

static bool same_bytes(const uint8_t *a, size_t from_a, size_t end_a, const uint8_t *b, size_t from_b, size_t end_b)
{
	return end_a - from_a == end_b - from_b && memcmp(a + from_a, b + from_b, end_a - from_a) == 0;
}

/* Both say the same, of whichever version each is. */
static bool same_row(const struct ridden *a, const struct ridden *b)
{
	if (a->version == b->version)
		return same_bytes(a->val, 0, a->bytes, b->val, 0, b->bytes);
	return (a->before == b->before || a->version == RIDDEN_VERSION_5 || b->version == RIDDEN_VERSION_5) &&
	       same_bytes(a->val, a->count_at, a->card_end, b->val, b->count_at, b->card_end) && (a->state_at == 0) == (b->state_at == 0) &&
	       same_bytes(a->val, a->state_at, a->state_at + a->state_bytes, b->val, b->state_at, b->state_at + b->state_bytes) &&
	       same_bytes(a->val, a->ride_at, a->bytes, b->val, b->ride_at, b->bytes);
}

static bool row_stored(struct txn *t, uint64_t person, int32_t day, const uint8_t *row, size_t n)
{
	uint8_t old[RIDDEN_KEY_BYTES];
	struct ridden made, stored;
	struct block_persons w;
	const void *val;
	size_t bytes;

	if (block_find(t, DB_PERSON_DAY, day, person, &w)) {
		val = w.row;
		bytes = w.row_bytes;
	} else {
		key_5(person, day, old);
		if (t->error != 0 || !txn_get(t, DB_RIDDEN, old, sizeof(old), &val, &bytes))
			return false;
	}
	return ridden_open(person, day, row, n, &made) && ridden_open(person, day, val, bytes, &stored) && same_row(&made, &stored);
}

bool ridden_stored(struct txn *t, const uint8_t key[RIDDEN_KEY_BYTES], const void *val, size_t n, uint64_t *ret_rows)
{
	struct block_persons w;

	persons_open(DB_PERSON_DAY, be64_get(key + 4), val, n, &w);
	for (*ret_rows = 0; persons_next(&w); (*ret_rows)++)
		if (!row_stored(t, w.person, row_day(key), w.row, w.row_bytes))
			return false;
	return !w.damaged;
}

int ridden_state(struct txn *t, uint64_t person, int32_t day, struct rider_state *ret_state)
{
	int before = t->error, ret;	/* what is damaged here is the caller's to judge, not the end of his transaction */
	struct ridden row;

	*ret_state = (struct rider_state){ 0 };
	while (ridden_before(t, person, day, &row)) {
		if (row.state_at != 0)
			return ridden_row_state(&row, ret_state) ? 0 : CLEARING_E_STORE;
		if (row.day == INT32_MIN)
			break;
		day = row.day - 1;
	}
	ret = t->error;
	t->error = before;
	return ret;
}

int card_handles(struct txn *t, const uint8_t pan[10], uint64_t seq, handle_fn fn, void *arg)
{
	uint64_t last = card_person(pan);
	int ret = fn(arg, last);
	struct iter it;

	iter_open(t, DB_PERSON, pan, 10, &it);
	while (ret == 0 && iter_next(&it)) {
		uint64_t handle;

		if (it.key_bytes != 18 || it.val_bytes < 8 || be64_get(it.key + 10) > seq)
			continue;
		handle = be64_get(it.val) | 1ULL << 63;
		if (handle != last)
			ret = fn(arg, handle);
		last = handle;
	}
	iter_close(&it);
	return ret;
}

/* ---- what a card counted ------------------------------------------------------------------------------------- */

struct counted { struct txn *t; const uint8_t *pan; bool seen; uint16_t counter; int32_t day; };

static int counted_in(void *arg, struct ridden *row)
{
	struct counted *c = arg;
	struct ridden_ride ride;

	while (ridden_next(row, &ride)) {
		if ((ride.flags & RIDDEN_COUNTS) == 0 || memcmp(ridden_card_at(row, ride.card).pan, c->pan, 10) != 0 ||
		    (c->seen && (row->day < c->day || (row->day == c->day && ride.counter < c->counter))))
			continue;
		c->seen = true;
		c->day = row->day;
		c->counter = ride.counter;
	}
	return 0;
}

static int counted_of(void *arg, uint64_t handle)
{
	struct counted *c = arg;

	return c->t->error = ridden_each(c->t, handle, INT32_MAX, counted_in, c);
}

bool card_counted(struct txn *t, const uint8_t pan[10], uint16_t *ret_counter, int32_t *ret_day)
{
	struct counted c = { .t = t, .pan = pan };

	if (card_handles(t, pan, UINT64_MAX, counted_of, &c) != 0 || !c.seen)
		return false;
	*ret_counter = c.counter;
	*ret_day = c.day;
	return true;
}
