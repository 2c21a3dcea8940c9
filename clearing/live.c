/*
 * live - what the writer remembers of the open day: which taps it has seen, by both keys, and which receipt it
 * gave for which batch. All of it is a function of the inbox and is rebuilt by replay.
 *
 * The verdicts here are provisional: they go into receipts. The final ones are decided by the clear.
 */
#include "clearing/clear.h"
#include "clearing/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "clearing/unproven.h"

#define SLOTS_FIRST 4096
#define KNOWN_PLACES (1u << 20)	/* riders of a large city within some hours; 64 MB */

struct seen { uint8_t key[TAP_KEY_BYTES]; uint8_t used, grey; uint64_t content; };
struct counted { uint8_t key[13], tac[4]; bool used; };	/* card number, generation, counter */
struct coded { uint8_t code[TAP_CODE_BYTES]; bool used, verified; };
struct answer { char device[DEVICE_BYTES_MAX + 1]; uint32_t file_serial; uint8_t digest[DIGEST_BYTES]; struct receipt *receipt; };
struct riding { uint64_t person; bool used; struct rider_state state; };	/* a person's rides of the open day so far */
struct live {
	struct riding *riding; size_t riding_count, riding_mask;
	struct seen *seen; size_t seen_count, seen_mask;
	struct counted *counted; size_t counted_count, counted_mask;
	struct coded *coded; size_t coded_count, coded_mask;
	struct answer *answer; size_t answer_count, answer_mask;
	struct known *known;
	struct unproven *unproven;
	struct live_totals totals;
};

int live_new(struct live **ret)
{
	struct live *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->riding_mask = l->seen_mask = l->counted_mask = l->coded_mask = l->answer_mask = SLOTS_FIRST - 1;
	l->riding = calloc(SLOTS_FIRST, sizeof(*l->riding));
	l->seen = calloc(SLOTS_FIRST, sizeof(*l->seen));
	l->counted = calloc(SLOTS_FIRST, sizeof(*l->counted));
	l->coded = calloc(SLOTS_FIRST, sizeof(*l->coded));
	l->answer = calloc(SLOTS_FIRST, sizeof(*l->answer));
	if (l->riding == NULL || l->seen == NULL || l->counted == NULL || l->coded == NULL || l->answer == NULL || known_new(KNOWN_PLACES, &l->known) != 0 ||
	    unproven_new(&l->unproven) != 0) {
		live_free(l);
		return -ENOMEM;
	}
	*ret = l;
	return 0;
}

void live_free(struct live *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; l->answer != NULL && i <= l->answer_mask; i++)
		free(l->answer[i].receipt);
	free(l->riding);
	free(l->seen);
	free(l->counted);
	free(l->coded);
	free(l->answer);
	known_free(l->known);
	unproven_free(l->unproven);
	free(l);
}

void live_reset_day(struct live *l)
{
	memset(l->seen, 0, (l->seen_mask + 1) * sizeof(*l->seen));
	memset(l->counted, 0, (l->counted_mask + 1) * sizeof(*l->counted));
	memset(l->coded, 0, (l->coded_mask + 1) * sizeof(*l->coded));
	memset(l->riding, 0, (l->riding_mask + 1) * sizeof(*l->riding));
	l->seen_count = l->counted_count = l->coded_count = l->riding_count = 0;
	unproven_reset(l->unproven);
	l->totals = (struct live_totals){ 0 };
}

const struct live_totals *live_totals(const struct live *l) { return &l->totals; }

void live_entitlements_changed(struct live *l) { known_forget(l->known); }

void live_note_repeated(struct live *l) { l->totals.repeated++; }

/* ---- tables ------------------------------------------------------------------------------------ */

static struct seen *seen_slot(struct seen *table, size_t mask, const uint8_t key[TAP_KEY_BYTES])
{
	size_t at = XXH3_64bits(key, TAP_KEY_BYTES) & mask;

	while (table[at].used && memcmp(table[at].key, key, TAP_KEY_BYTES) != 0)
		at = (at + 1) & mask;
	return &table[at];
}

static int seen_room(struct live *l)
{
	size_t mask = l->seen_mask * 2 + 1;
	struct seen *wide;

	if (l->seen_count * 2 < l->seen_mask)
		return 0;
	wide = calloc(mask + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	for (size_t i = 0; i <= l->seen_mask; i++)
		if (l->seen[i].used)
			*seen_slot(wide, mask, l->seen[i].key) = l->seen[i];
	free(l->seen);
	l->seen = wide;
	l->seen_mask = mask;
	return 0;
}

static struct counted *counted_slot(struct counted *table, size_t mask, const uint8_t key[13])
{
	size_t at = XXH3_64bits(key, 13) & mask;

	while (table[at].used && memcmp(table[at].key, key, 13) != 0)
		at = (at + 1) & mask;
	return &table[at];
}

static int counted_room(struct live *l)
{
	size_t mask = l->counted_mask * 2 + 1;
	struct counted *wide;

	if (l->counted_count * 2 < l->counted_mask)
		return 0;
	wide = calloc(mask + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	for (size_t i = 0; i <= l->counted_mask; i++)
		if (l->counted[i].used)
			*counted_slot(wide, mask, l->counted[i].key) = l->counted[i];
	free(l->counted);
	l->counted = wide;
	l->counted_mask = mask;
	return 0;
}

static struct coded *coded_slot(struct coded *table, size_t mask, const uint8_t code[TAP_CODE_BYTES])
{
	size_t at = XXH3_64bits(code, TAP_CODE_BYTES) & mask;

	while (table[at].used && memcmp(table[at].code, code, TAP_CODE_BYTES) != 0)
		at = (at + 1) & mask;
	return &table[at];
}

static int coded_room(struct live *l)
{
	size_t mask = l->coded_mask * 2 + 1;
	struct coded *wide;

	if (l->coded_count * 2 < l->coded_mask)
		return 0;
	wide = calloc(mask + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	for (size_t i = 0; i <= l->coded_mask; i++)
		if (l->coded[i].used)
			*coded_slot(wide, mask, l->coded[i].code) = l->coded[i];
	free(l->coded);
	l->coded = wide;
	l->coded_mask = mask;
	return 0;
}

static struct riding *riding_slot(struct riding *table, size_t mask, uint64_t person)
{
	size_t at = XXH3_64bits(&person, sizeof(person)) & mask;

	while (table[at].used && table[at].person != person)
		at = (at + 1) & mask;
	return &table[at];
}

static int riding_room(struct live *l)
{
	size_t mask = l->riding_mask * 2 + 1;
	struct riding *wide;

	if (l->riding_count * 2 < l->riding_mask)
		return 0;
	wide = calloc(mask + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	for (size_t i = 0; i <= l->riding_mask; i++)
		if (l->riding[i].used)
			*riding_slot(wide, mask, l->riding[i].person) = l->riding[i];
	free(l->riding);
	l->riding = wide;
	l->riding_mask = mask;
	return 0;
}

static struct answer *answer_slot(struct answer *table, size_t mask, const char *device, uint32_t file_serial)
{
	size_t at = (XXH3_64bits(device, strlen(device)) + file_serial * 0x9E3779B97F4A7C15ULL) & mask;

	while (table[at].receipt != NULL && (table[at].file_serial != file_serial || strcmp(table[at].device, device) != 0))
		at = (at + 1) & mask;
	return &table[at];
}

static int answer_room(struct live *l)
{
	size_t mask = l->answer_mask * 2 + 1;
	struct answer *wide;

	if (l->answer_count * 2 < l->answer_mask)
		return 0;
	wide = calloc(mask + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	for (size_t i = 0; i <= l->answer_mask; i++)
		if (l->answer[i].receipt != NULL)
			*answer_slot(wide, mask, l->answer[i].device, l->answer[i].file_serial) = l->answer[i];
	free(l->answer);
	l->answer = wide;
	l->answer_mask = mask;
	return 0;
}

const struct receipt *live_answer(const struct live *l, const char *device, const struct batch *b, bool *ret_differs)
{
	const struct answer *a = answer_slot(l->answer, l->answer_mask, device, b->file_serial);

	*ret_differs = a->receipt != NULL && memcmp(a->digest, b->digest, DIGEST_BYTES) != 0;
	return *ret_differs ? NULL : a->receipt;
}

/* ---- judging -------------------------------------------------------------------------------------- */

static bool earlier_day(struct txn *t, const uint8_t key[TAP_KEY_BYTES], int32_t open_day)
{
	const void *val;
	size_t n;

	return txn_get(t, DB_TAPKEY, key, TAP_KEY_BYTES, &val, &n) && n >= 4 && (int32_t)be32_get(val) < open_day;
}

static enum seen_before seen_tap(struct live *l, struct txn *t, int32_t open_day, const struct tap *tap, enum key_check check, uint64_t content,
				 struct seen **ret_slot)
{
	uint8_t key[TAP_KEY_BYTES];
	struct seen *s;
	bool grey = check == KEY_CHECK_GREY;

	tap_key(tap, key);
	s = *ret_slot = seen_slot(l->seen, l->seen_mask, key);
	if (!s->used) {
		memcpy(s->key, key, sizeof(key));
		return earlier_day(t, key, open_day) ? (grey ? SEEN_GREY_RECOVERED : SEEN_SAME) : SEEN_NO;
	}
	if (grey)
		return s->grey ? SEEN_SAME : SEEN_GREY_RECOVERED;
	if (s->grey)
		return SEEN_NO;		/* its recovery */
	return s->content == content ? SEEN_SAME : SEEN_OTHER;
}

static bool counter_taken(struct live *l, const struct tap *tap, uint8_t generation)
{
	struct counted *c;
	uint8_t key[13];

	if (!tap_has_counter(tap))
		return false;
	memcpy(key, tap->pan, 10);
	key[10] = generation;
	be16_put(key + 11, (uint16_t)tap->card_counter);
	c = counted_slot(l->counted, l->counted_mask, key);
	if (c->used)
		return memcmp(c->tac, tap->tac, 4) != 0;
	memcpy(c->key, key, sizeof(key));
	memcpy(c->tac, tap->tac, 4);
	c->used = true;
	l->counted_count++;
	return false;
}

/* The code of this record rode before, as far as is known on arrival. */
static bool code_taken(struct live *l, struct txn *t, int32_t open_day, const struct tap *tap, enum key_check check)
{
	bool verified = check == KEY_CHECK_GOOD;
	uint8_t code[TAP_CODE_BYTES], key[TAP_KEY_BYTES];
	struct coded *c;

	if (!tap_code_key(tap, code))
		return false;
	c = coded_slot(l->coded, l->coded_mask, code);
	if (c->used && (c->verified || !verified))
		return true;
	l->coded_count += !c->used;
	memcpy(c->code, code, sizeof(code));
	c->used = true;
	c->verified = verified;
	tap_key(tap, key);
	return code_taken_before(t, code, key, (uint8_t)check, open_day);
}

/* ---- provisional fare ---------------------------------------------------------------------------------- */

static void state_of_last_close(struct txn *t, uint64_t person, int32_t open_day, struct rider_state *ret)
{
	const uint8_t *found;
	uint8_t key[12];
	const void *val;
	size_t n;

	be64_put(key, person);
	be32_put(key + 8, (uint32_t)(open_day - 1) ^ 0x80000000u);
	*ret = (struct rider_state){ 0 };
	if (txn_get_last_at(t, DB_STATE, key, sizeof(key), 8, &found, &val, &n) && n == RIDER_STATE_BYTES && !rider_state_unpack(val, ret))
		*ret = (struct rider_state){ 0 };
}

/* The fare as it looks on arrival, for the running totals: entitlement by look-up, the person's rides so far in
 * memory. Taps out of order make it differ from the clear's; nothing is promised by it. */
static void rate_provisionally(struct live *l, const struct refdata *ref, struct txn *t, int32_t open_day, const struct tap *tap, uint64_t seq, uint32_t operator_id)
{
	const struct tariff *tariff = refdata_tariff(ref, tap->time_ms);
	struct riding *r;
	struct rider rider;
	struct ride ride;
	struct fare fare;
	uint64_t person;

	if (tariff == NULL)
		return;
	person = known_rider(l->known, t, tap->pan, seq, &rider);
	r = riding_slot(l->riding, l->riding_mask, person);
	if (!r->used) {
		*r = (struct riding){ .person = person, .used = true };
		state_of_last_close(t, person, open_day, &r->state);
		l->riding_count++;
	}
	tap_ride(tap, tariff, &ride);
	ride.operator_id = operator_id;
	rate(tariff, &rider, &r->state, &ride, &r->state, &fare, NULL);
	if (fare.reject != FARE_OK)
		return;
	l->totals.published_fen += fare.published.fen;
	l->totals.rated_fen += fare.paid.fen;
	for (uint8_t i = 0; i < fare.funder_count; i++)
		l->totals.subsidy_fen += fare.funder[i].amount.fen;
}

/* The device's sum so far, in the order of arrival: the clear takes them by time. */
static bool beyond_cap(struct live *l, const struct refdata *ref, int32_t open_day, const char *device, const struct tap *tap, uint32_t operator_id)
{
	int64_t cap = refdata_cap_fen(ref), fen, sum;

	if (cap == 0)
		return false;
	fen = unproven_value(tap, refdata_tariff(ref, tap->time_ms), operator_id, open_day);
	sum = unproven_add(l->unproven, device, fen);
	l->totals.unproven_fen += fen;
	l->totals.devices_beyond += sum > cap && sum - fen <= cap;
	return sum > cap;
}

/* The record with what is known of its code now; seq: the event that tells it. */
static enum verdict judge_tap(struct live *l, const struct refdata *ref, struct txn *t, int32_t open_day, const struct record *r, uint64_t seq)
{
	struct judge_limits limits = judge_limits_default;
	struct judge_input in = { .check = (enum key_check)r->check, .device = r->device, .future = (r->bits & EVENT_BIT_FUTURE) != 0, .open_day = r->day,
				  .cut_s = DAY_CUT_S_DEFAULT, .limits = &limits };
	uint64_t content = XXH3_64bits(r->raw, r->raw_bytes);
	struct card_life life = { 0 };
	struct seen *slot;
	const char *field;
	struct tap tap;
	enum verdict v;

	if (tap_decode(r->raw, r->raw_bytes, &tap, &field) != 0)
		return judge(&in);
	in.tap = &tap;
	in.check = refdata_check_of(ref, &tap, in.check);
	if (service_day_of_ms(tap.time_ms, DAY_CUT_S_DEFAULT) < r->day && refdata_tariff(ref, tap.time_ms) != NULL)
		limits.too_old_days = tariff_late(refdata_tariff(ref, tap.time_ms)).hard_days;
	in.terminal = refdata_terminal(ref, tap.terminal, tap.time_ms);
	in.issuer = refdata_issuer(ref, tap.issuer, tap.time_ms);
	in.blacklisted = refdata_blacklisted(ref, tap.pan, tap.time_ms);
	if (txn_any(t, DB_CARD) && card_life_at(t, tap.pan, seq, tap.time_ms, &life))
		in.card = card_stands(&life, &tap);
	v = judge(&in);
	l->totals.amount_fen += tap.amount_fen;
	if (v == VERDICT_TERMINAL_UNKNOWN || v == VERDICT_TERMINAL_MISMATCH || v == VERDICT_TEST || v == VERDICT_BAD_MAC || v == VERDICT_PENDING_TAC)
		return v;
	in.seen = seen_tap(l, t, open_day, &tap, in.check, content, &slot);
	if (in.seen == SEEN_NO) {
		l->seen_count += !slot->used;
		slot->used = 1;
		slot->grey = in.check == KEY_CHECK_GREY;
		slot->content = content;
		if (in.check != KEY_CHECK_GREY && v != VERDICT_EVENT && counter_taken(l, &tap, life.generation))
			in.seen = SEEN_COUNTER;
		if (in.seen == SEEN_NO && code_taken(l, t, open_day, &tap, in.check))
			in.seen = SEEN_CODE;
	}
	v = judge(&in);
	if (unproven_counts(v, in.check) && beyond_cap(l, ref, open_day, r->device, &tap, in.terminal->operator_id))
		v = VERDICT_QUARANTINED;
	if (v == VERDICT_ACCEPTED || v == VERDICT_PENDING)
		rate_provisionally(l, ref, t, open_day, &tap, seq, in.terminal->operator_id);
	return v;
}

static void receipt_count(struct receipt *r, enum verdict v)
{
	if (v == VERDICT_ACCEPTED || v == VERDICT_EVENT)
		r->accepted++;
	else if (v == VERDICT_PENDING || v == VERDICT_PENDING_TAC || v == VERDICT_GREY)
		r->pending++;
	else if (v == VERDICT_DUPLICATE || v == VERDICT_GREY_SUPERSEDED)
		r->duplicate++;
	else
		r->refused++;
}

static int remember(struct live *l, const char *device, const struct batch *b, const struct receipt *r)
{
	struct answer *a = answer_slot(l->answer, l->answer_mask, device, b->file_serial);
	struct receipt *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return -ENOMEM;
	*copy = *r;
	if (a->receipt == NULL)
		l->answer_count++;
	free(a->receipt);
	*a = (struct answer){ .file_serial = b->file_serial, .receipt = copy };
	snprintf(a->device, sizeof(a->device), "%.15s", device);
	memcpy(a->digest, b->digest, DIGEST_BYTES);
	return 0;
}

static int tables_room(struct live *l)
{
	int ret = seen_room(l);

	if (ret == 0)
		ret = counted_room(l);
	if (ret == 0)
		ret = coded_room(l);
	if (ret == 0)
		ret = riding_room(l);
	return ret == 0 ? unproven_room(l->unproven) : ret;
}

int live_judge(struct live *l, const struct refdata *ref, struct txn *t, int32_t open_day, const char *device, const struct batch *b,
	       const uint8_t *marks, uint64_t seq, struct receipt *ret_receipt)
{
	struct receipt r = { .file_serial = b->file_serial, .inbox_seq = seq, .count = b->count };
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < b->count; i++) {
		const struct record record = { .raw = b->tap[i].p, .raw_bytes = b->tap[i].n, .device = device, .day = open_day, .check = marks[2 * i],
					       .bits = marks[2 * i + 1] };
		enum verdict v;

		ret = tables_room(l);
		if (ret != 0)
			break;
		v = judge_tap(l, ref, t, open_day, &record, seq);
		r.verdict[i] = (uint8_t)v;
		receipt_count(&r, v);
		l->totals.verdict[v]++;
		l->totals.taps++;
	}
	if (ret == 0)
		ret = answer_room(l);
	if (ret == 0)
		ret = remember(l, device, b, &r);
	if (ret != 0)
		return ret;
	l->totals.batches++;
	*ret_receipt = r;
	return t->error;
}

/* A record of the open day changes its verdict; one of an earlier day comes in anew. */
static void recheck_count(struct live *l, int32_t open_day, const struct record *r, int64_t amount_before, enum verdict v)
{
	if (r->day != open_day)
		l->totals.taps++;
	else if (l->totals.verdict[VERDICT_PENDING_TAC] > 0)
		l->totals.verdict[VERDICT_PENDING_TAC]--;
	if (r->day == open_day)
		l->totals.amount_fen = amount_before;
	l->totals.verdict[v]++;
}

int live_recheck(struct live *l, const struct refdata *ref, struct txn *t, int32_t open_day, const struct event *e)
{
	struct records *records;
	int ret = records_new(t, &records);

	for (int64_t i = 0, n = rechecks_count(e); ret == 0 && i < n; i++) {
		const struct recheck k = recheck_at(e, (size_t)i);
		int64_t amount = l->totals.amount_fen;
		struct record r;
		enum verdict v;

		ret = tables_room(l);
		if (ret == 0 && !records_get(records, k.seq, k.nth, &r))
			ret = t->error != 0 ? t->error : CLEARING_E_STORE;
		if (ret != 0)
			break;
		r.check = k.check;
		v = judge_tap(l, ref, t, open_day, &r, e->seq);
		recheck_count(l, open_day, &r, amount, v);
	}
	records_free(records);
	return ret != 0 ? ret : t->error;
}
