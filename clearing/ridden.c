#include "clearing/ridden.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/grown.h"

#define RIDDEN_VERSION 2
#define RIDDEN_VERSION_5 1	/* of days cleared up to format 5 of the store */
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
	if (row->state != NULL)
		p += rider_state_pack(row->state, after, p);
	p += varnum_put(p, row->cards);
	for (size_t i = 0; i < row->cards; i++)
		p = card_put(p, row, &row->card[i], &own);
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

static bool cards_check(struct ridden *r, size_t at)
{
	struct ridden_card card;
	const uint8_t *pan;

	r->count_at = at;
	if (!count_get(r, &at, 3, &r->cards))
		return false;
	r->card_at = at;
	for (uint32_t i = 0; i < r->cards; i++)
		if (!card_read(r, &at, &card, &pan))
			return false;
	r->ride_at = at;
	return true;
}

/* The records, which are then asked for in turn. */
static bool rides_check(struct ridden *r)
{
	int64_t after = ridden_near_ms(r->day);
	struct ridden_ride ride;
	size_t at = r->ride_at;

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
	struct rider_state state;
	size_t at = 1, used;

	*ret = (struct ridden){ .person = person, .day = day, .val = val, .bytes = n };
	ret->version = n > 0 ? val[0] & (uint8_t)~RIDDEN_NO_STATE : 0;
	if ((ret->version != RIDDEN_VERSION && ret->version != RIDDEN_VERSION_5) || !before_get(ret, &at))
		return false;
	if ((val[0] & RIDDEN_NO_STATE) == 0) {
		used = rider_state_unpack(val + at, n - at, ridden_near_ms(day), &state);
		if (used == 0)
			return false;
		ret->state_at = at;
		at += used;
	}
	return cards_check(ret, at);
}

bool ridden_open(uint64_t person, int32_t day, const uint8_t *val, size_t n, struct ridden *ret)
{
	return ridden_open_head(person, day, val, n, ret) && rides_check(ret);
}

struct ridden ridden_again(uint64_t person, int32_t day, const uint8_t *val, size_t n, size_t count_at)
{
	struct ridden r = { .person = person, .day = day, .version = val[0] & (uint8_t)~RIDDEN_NO_STATE, .val = val, .bytes = n, .count_at = count_at };
	size_t at = 1;
	bool known = before_get(&r, &at);

	r.state_at = (val[0] & RIDDEN_NO_STATE) == 0 ? at : 0;
	at = count_at;
	known = known && count_get(&r, &at, 3, &r.cards);
	assert(known);
	r.card_at = at;
	return r;
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
	const uint8_t *found;
	uint8_t key[8];
	const void *val;
	size_t n;

	be64_put(key, person);
	if (!txn_any(t, DB_PERSON_LAST) || !txn_get_last_at(t, DB_PERSON_LAST, key, sizeof(key), sizeof(key), &found, &val, &n))
		return false;
	if (n != 4)
		t->error = CLEARING_E_STORE;
	*ret = n == 4 ? row_day(val) : DAY_NONE;
	return n == 4;
}

/* The row of just that day, which many have of the day before a clear's; false: he has none among those by day. */
static bool row_on(struct txn *t, uint64_t person, int32_t day, struct ridden *ret)
{
	uint8_t key[RIDDEN_KEY_BYTES];
	const void *val;
	size_t n;

	ridden_key(person, day, key);
	return txn_any(t, DB_PERSON_DAY) && txn_get_rising(t, DB_PERSON_DAY, key, sizeof(key), &val, &n) && row_take(t, person, day, val, n, ret);
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
		ret = rides_check(&list[--count]) ? fn(arg, &list[count]) : (t->error = CLEARING_E_STORE);
	free(list);
	return ret;
}

int ridden_everyone(struct txn *t, int32_t day, ridden_fn fn, void *arg)
{
	static const enum db by_person[] = { DB_PERSON_LAST, DB_RIDDEN };
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < sizeof(by_person) / sizeof(by_person[0]); i++) {
		uint64_t last = 0;
		bool any = false;
		struct iter it;

		if (!txn_any(t, by_person[i]))
			continue;
		iter_open(t, by_person[i], NULL, 0, &it);
		while (ret == 0 && iter_next(&it)) {
			uint64_t person = it.key_bytes >= 8 ? be64_get(it.key) : 0;
			int32_t newest;

			if ((any && person == last) || (by_person[i] == DB_RIDDEN && last_day(t, person, &newest)))
				continue;	/* he was one already */
			any = true;
			last = person;
			ret = ridden_each(t, person, day, fn, arg);
		}
		iter_close(&it);
	}
	return ret != 0 ? ret : t->error;
}

/* A row but for its version, and for which row is before it. */
static bool rest_of(const uint8_t *p, size_t n, size_t *ret_at)
{
	uint64_t ago;

	*ret_at = n > 0 && (p[0] & ~RIDDEN_NO_STATE) == RIDDEN_VERSION_5 ? 1 : n > 1 ? 1 + varnum_get(p + 1, n - 1, &ago) : 0;
	return *ret_at > 0;
}

bool ridden_stored(struct txn *t, const uint8_t key[RIDDEN_KEY_BYTES], const void *val, size_t n)
{
	uint8_t old[RIDDEN_KEY_BYTES];
	const uint8_t *p = val;
	const void *stored;
	size_t bytes, at, at_stored;

	if (txn_any(t, DB_PERSON_LAST) && txn_get(t, DB_PERSON_DAY, key, RIDDEN_KEY_BYTES, &stored, &bytes))
		return bytes == n && memcmp(stored, val, n) == 0;
	key_5(be64_get(key + 4), row_day(key), old);
	return t->error == 0 && txn_get(t, DB_RIDDEN, old, sizeof(old), &stored, &bytes) && rest_of(stored, bytes, &at_stored) && rest_of(val, n, &at) &&
	       bytes - at_stored == n - at && memcmp((const uint8_t *)stored + at_stored, p + at, n - at) == 0 &&
	       ((*(const uint8_t *)stored ^ p[0]) & RIDDEN_NO_STATE) == 0;
}

int ridden_state(struct txn *t, uint64_t person, int32_t day, struct rider_state *ret_state)
{
	int before = t->error, ret;	/* what is damaged here is the caller's to judge, not the end of his transaction */
	struct ridden row;

	*ret_state = (struct rider_state){ 0 };
	while (ridden_before(t, person, day, &row)) {
		if (row.state_at != 0) {
			rider_state_unpack(row.val + row.state_at, row.bytes - row.state_at, ridden_near_ms(row.day), ret_state);
			return 0;
		}
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
