/*
 * live - what the writer remembers of the open day: which taps it has seen, by both keys, and which receipt it
 * gave for which batch. All of it is a function of the inbox and is rebuilt by replay.
 *
 * The verdicts here are provisional: they go into receipts. The final ones are decided by the clear.
 */
#include "clearing/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "clearing/clear.h"

#define KNOWN_PLACES (1u << 23)	/* riders of a city of ten million; 64 bytes for each registered card, 512 MB at most */
#define WARM_CARDS 256		/* looked up ahead at once: half a millisecond that a batch may have to wait */

int live_new(struct live **ret)
{
	struct live *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->briefs = malloc(briefs_bytes(BATCH_TAPS_MAX));
	if (l->briefs == NULL || seen_new(&l->seen) != 0 || riding_new(&l->riding) != 0 || table_open(&l->counted, COUNTER_BYTES, sizeof(struct counted)) != 0 ||
	    table_open(&l->coded, TAP_CODE_BYTES, sizeof(struct coded)) != 0 ||
	    answers_open(&l->answer[0]) != 0 || answers_open(&l->answer[1]) != 0 || known_new(KNOWN_PLACES, &l->known) != 0 ||
	    rater_new(l->riding, l->known, &l->rater) != 0 || unproven_new(&l->unproven) != 0 || code_asks_new(&l->asks) != 0) {
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
	for (size_t i = 0; i < 2; i++) {
		answers_drop(&l->answer[i]);
		table_close(&l->answer[i]);
	}
	rater_free(l->rater);
	seen_free(l->seen);
	riding_free(l->riding);
	table_close(&l->counted);
	table_close(&l->coded);
	known_free(l->known);
	unproven_free(l->unproven);
	code_asks_free(l->asks);
	free(l->briefs);
	free(l);
}

void live_reset_day(struct live *l)
{
	struct table before = l->answer[1];

	rater_wait(l->rater);
	rater_sums_set(l->rater, 0, 0, 0);
	seen_reset(l->seen);
	riding_reset(l->riding);
	table_clear(&l->counted);
	table_clear(&l->coded);
	answers_drop(&before);
	table_clear(&before);
	l->answer[1] = l->answer[0];
	l->answer[0] = before;
	unproven_reset(l->unproven);
	l->totals = (struct live_totals){ 0 };
}

const struct live_totals *live_totals(const struct live *l) { return &l->totals; }

int live_start(struct live *l, struct store *s, rater_told *told, void *arg) { return rater_start(l->rater, s, told, arg); }

struct rated live_rated(const struct live *l) { return rater_sums(l->rater); }

uint64_t live_rated_due(const struct live *l) { return rater_handed(l->rater); }

void live_wait(struct live *l) { rater_wait(l->rater); }

bool live_idle(struct live *l) { return rater_idle(l->rater); }

void live_entitlements_changed(struct live *l) { known_forget(l->known); }

bool live_warm(struct live *l, struct txn *t) { return known_follow(l->known, t) == 0 && known_warm(l->known, t, WARM_CARDS); }

void live_note_repeated(struct live *l) { l->totals.repeated++; }

struct code_asks *live_asks(struct live *l) { return l->asks; }

/* ---- answers given ----------------------------------------------------------------------------- */

bool live_answer(const struct live *l, const char *device, const struct batch *b, struct receipt *ret_receipt, bool *ret_differs)
{
	const struct answer key = answer_key(device, b->file_serial), *a = table_find(&l->answer[0], &key);

	if (a == NULL)
		a = table_find(&l->answer[1], &key);
	*ret_differs = a != NULL && memcmp(a->digest, b->digest, DIGEST_BYTES) != 0;
	if (a == NULL || *ret_differs)
		return false;
	answer_receipt(a, ret_receipt);
	return true;
}

/* ---- judging -------------------------------------------------------------------------------------- */

static enum seen_before seen_tap(struct live *l, struct txn *t, int32_t open_day, const struct tap *tap, enum key_check check, uint64_t content,
				 struct seen_mark **ret_mark)
{
	struct seen_mark *m = *ret_mark = seen_at(l->seen, tap);
	bool grey = check == KEY_CHECK_GREY;

	if (!m->used)
		return !seen_earlier(l->seen, t, tap, open_day) ? SEEN_NO : grey ? SEEN_GREY_RECOVERED : SEEN_SAME;
	if (grey)
		return m->grey ? SEEN_SAME : SEEN_GREY_RECOVERED;
	if (m->grey)
		return SEEN_NO;		/* its recovery */
	return m->content == content ? SEEN_SAME : SEEN_OTHER;
}

static void counter_key(const uint8_t pan[10], uint16_t counter, uint8_t generation, uint8_t key[COUNTER_BYTES])
{
	memcpy(key, pan, 10);
	key[10] = generation;
	be16_put(key + 11, counter);
}

static uint64_t counter_hash(const struct live *l, const uint8_t pan[10], uint16_t counter)
{
	uint8_t key[COUNTER_BYTES];

	counter_key(pan, counter, 0, key);
	return table_hash(&l->counted, key);
}

/* hash: of the card's first generation, as nearly all are. */
static bool counter_taken(struct live *l, const struct tap *tap, uint8_t generation, uint64_t hash)
{
	uint8_t key[COUNTER_BYTES];
	struct counted *c;
	bool new;

	if (!tap_has_counter(tap))
		return false;
	counter_key(tap->pan, (uint16_t)tap->card_counter, generation, key);
	c = table_at_by(&l->counted, generation == 0 ? hash : table_hash(&l->counted, key), key, &new);
	if (!new)
		return memcmp(c->tac, tap->tac, 4) != 0;
	memcpy(c->tac, tap->tac, 4);
	image_counter(l->image, c);
	return false;
}

/* The code of this record rode before, as far as is known on arrival. */
static bool code_taken(struct live *l, struct txn *t, int32_t open_day, const struct tap *tap, enum key_check check)
{
	bool verified = check == KEY_CHECK_GOOD, new;
	uint8_t code[TAP_CODE_BYTES], key[TAP_KEY_BYTES];
	struct coded *c;

	if (!tap_code_key(tap, code))
		return false;
	c = table_at(&l->coded, code, &new);
	if (!new && (c->verified || !verified))
		return true;
	c->verified = verified;
	image_code(l->image, c);
	tap_key(tap, key);
	return code_taken_before(t, code, key, (uint8_t)check, open_day);
}

/* The device's sum so far, in the order of arrival: the clear takes them by time. */
static bool beyond_cap(struct live *l, const struct refdata *ref, int32_t open_day, const char *device, const struct tap *tap, uint32_t operator_id)
{
	int64_t cap = refdata_cap_fen(ref), fen, sum;

	if (cap == 0)
		return false;
	fen = unproven_value(tap, refdata_tariff(ref, tap->time_ms), operator_id, open_day);
	sum = unproven_add(l->unproven, device, fen);
	image_device(l->image, device, sum);
	l->totals.unproven_fen += fen;
	l->totals.devices_beyond += sum > cap && sum - fen <= cap;
	return sum > cap;
}

/* Its platform is asked about it. */
static void ask_note(struct live *l, const struct tap *tap, uint64_t seq)
{
	const struct code_route *r = code_route_of_kind(tap->kind);
	struct code_waiting w = { .scheme = r != NULL ? (uint8_t)r->scheme : 0, .seq = seq };

	if (r == NULL)
		return;
	tap_key(tap, w.key);
	code_asks_add(l->asks, &w);
	image_ask(l->image, &w);
}

/* The reference data may be others now. */
static void recent_forget(struct live *l)
{
	l->terminal.stays = l->issuer.stays = (struct span_ms){ 0, 0 };
}

/* It is that of the record before, as long as that stays as it is. False: it has to be looked up, and is remembered from now on. */
static bool recent_is(struct recent *r, const uint8_t *number, size_t bytes, int64_t time_ms)
{
	if (time_ms >= r->stays.from_ms && time_ms < r->stays.to_ms && memcmp(r->number, number, bytes) == 0)
		return true;
	r->stays = (struct span_ms){ INT64_MIN, INT64_MAX };
	memcpy(r->number, number, bytes);
	return false;
}

static const struct terminal_row *terminal_of(struct live *l, const struct refdata *ref, const struct tap *tap)
{
	struct recent *r = &l->terminal;

	if (!recent_is(r, tap->terminal, sizeof(tap->terminal), tap->time_ms))
		r->row = refdata_terminal_while(ref, tap->terminal, tap->time_ms, &r->stays);
	return r->row;
}

static const struct issuer_row *issuer_of(struct live *l, const struct refdata *ref, const struct tap *tap)
{
	struct recent *r = &l->issuer;

	if (!recent_is(r, tap->issuer, sizeof(tap->issuer), tap->time_ms))
		r->row = refdata_issuer_while(ref, tap->issuer, tap->time_ms, &r->stays);
	return r->row;
}

/* What it looks like on arrival; without a tariff in force nothing. */
static void fare_ask(struct live *l, const struct refdata *ref, const struct tap *tap, uint32_t operator_id, uint64_t seq)
{
	const struct tariff *tariff = refdata_tariff(ref, tap->time_ms);

	if (tariff != NULL)
		rater_add(l->rater, tap, tariff, operator_id, seq);
}

/* A record as it is judged: with what is known of its code now, in which event. tap NULL: it cannot be read. Of its bytes and of its counter
 * only the hash is asked for. */
struct told_tap { const char *device; int32_t day; uint8_t check, bits; const struct tap *tap; uint64_t content, hash, seq; };

static enum verdict judge_tap(struct live *l, const struct refdata *ref, struct txn *t, int32_t open_day, const struct told_tap *r)
{
	const struct tap *tap = r->tap;
	struct judge_limits limits = judge_limits_default;
	struct judge_input in = { .check = (enum key_check)r->check, .device = r->device, .future = (r->bits & EVENT_BIT_FUTURE) != 0, .open_day = r->day,
				  .cut_s = DAY_CUT_S_DEFAULT, .limits = &limits, .tap = tap };
	struct card_life life = { 0 };
	struct seen_mark *mark;
	enum verdict v;

	if (tap == NULL)
		return judge(&in);
	in.check = refdata_check_of(ref, tap, in.check);
	if (service_day_of_ms(tap->time_ms, DAY_CUT_S_DEFAULT) < r->day && refdata_tariff(ref, tap->time_ms) != NULL)
		limits.too_old_days = tariff_late(refdata_tariff(ref, tap->time_ms)).hard_days;
	in.terminal = terminal_of(l, ref, tap);
	in.issuer = issuer_of(l, ref, tap);
	in.blacklisted = refdata_blacklisted(ref, tap->pan, tap->time_ms);
	if (txn_any(t, DB_CARD) && card_life_at(t, tap->pan, r->seq, tap->time_ms, &life))
		in.card = card_stands(&life, tap);
	v = judge(&in);
	l->totals.amount_fen += tap->amount_fen;
	if (v == VERDICT_TERMINAL_UNKNOWN || v == VERDICT_TERMINAL_MISMATCH || v == VERDICT_TEST || v == VERDICT_BAD_MAC || v == VERDICT_PENDING_TAC)
		return v;
	in.seen = seen_tap(l, t, open_day, tap, in.check, r->content, &mark);
	if (in.seen == SEEN_NO) {
		mark->used = true;
		mark->grey = in.check == KEY_CHECK_GREY;
		mark->content = r->content;
		image_mark(l->image, tap, mark);
		if (in.check != KEY_CHECK_GREY && v != VERDICT_EVENT && counter_taken(l, tap, life.generation, r->hash))
			in.seen = SEEN_COUNTER;
		if (in.seen == SEEN_NO && code_taken(l, t, open_day, tap, in.check))
			in.seen = SEEN_CODE;
	}
	v = in.seen != SEEN_NO ? judge(&in) : v;
	if (unproven_counts(v, in.check) && beyond_cap(l, ref, open_day, r->device, tap, in.terminal->operator_id))
		v = VERDICT_QUARANTINED;
	if (v == VERDICT_PENDING)
		ask_note(l, tap, r->seq);
	if (v == VERDICT_ACCEPTED || v == VERDICT_PENDING)
		fare_ask(l, ref, tap, in.terminal->operator_id, r->seq);
	return v;
}

static int remember(struct live *l, const char *device, const struct batch *b, const struct receipt *r)
{
	struct answer key = answer_key(device, b->file_serial);
	int ret;

	memcpy(key.digest, b->digest, DIGEST_BYTES);
	ret = answer_put(&l->answer[0], &key, r);
	if (ret == 0)
		image_answer(l->image, 0, table_find(&l->answer[0], &key));
	return ret;
}

/* For the records of a batch, which one device brought, so that none of it is half remembered. */
static int tables_room(struct live *l, size_t records)
{
	int ret = seen_room(l->seen, records);

	if (ret == 0)
		ret = unproven_room(l->unproven);
	if (ret == 0)
		ret = table_room(&l->counted, records);
	return ret == 0 ? table_room(&l->coded, records) : ret;
}

/* Where counters of the batch will go is fetched from memory before the first of them is looked at. */
static void counters_fetch(struct live *l, const struct briefs *briefs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct brief *b = &briefs->brief[i];

		l->hash[i] = b->form != BRIEF_NONE ? counter_hash(l, b->pan, b->card_counter) : 0;
	}
	for (uint32_t i = 0; i < count; i++)
		if (briefs->brief[i].form != BRIEF_NONE)
			table_prefetch_by(&l->counted, l->hash[i]);
}

static const struct briefs *briefs_here(struct live *l, const struct batch *b)
{
	batch_taps_decode(b, &l->taps);
	briefs_make(b, &l->taps, l->briefs);
	return l->briefs;
}

int live_judge(struct live *l, const struct refdata *ref, struct txn *t, int32_t open_day, const char *device, const struct batch *b,
	       const struct briefs *briefs, const uint8_t *marks, uint64_t seq, struct receipt *ret_receipt)
{
	struct receipt r = { .file_serial = b->file_serial, .inbox_seq = seq, .count = b->count };
	int ret = tables_room(l, b->count);

	if (ret != 0)
		return ret;
	if (briefs == NULL)
		briefs = briefs_here(l, b);
	recent_forget(l);
	brief_begin(&l->reader);
	counters_fetch(l, briefs, b->count);
	for (uint32_t i = 0; i < b->count; i++) {
		const struct told_tap tap = { .device = device, .day = open_day, .check = marks[2 * i], .bits = marks[2 * i + 1],
					      .tap = brief_read(&l->reader, briefs, b, i), .content = briefs->brief[i].content,
					      .hash = l->hash[i], .seq = seq };
		enum verdict v;

		ret = code_asks_room(l->asks);
		if (ret != 0)
			break;
		v = judge_tap(l, ref, t, open_day, &tap);
		r.verdict[i] = (uint8_t)v;
		receipt_count(&r, v);
		l->totals.verdict[v]++;
		l->totals.taps++;
	}
	if (ret == 0)
		ret = remember(l, device, b, &r);
	if (ret == 0)
		ret = rater_hand(l->rater, t, open_day);
	if (ret != 0)
		return ret;
	l->totals.batches++;
	*ret_receipt = r;
	return t->error;
}

int live_released(struct live *l, struct txn *t, const struct event *e)
{
	struct release r;
	struct cleared row;
	const char *field;
	struct tap tap;
	int32_t day;
	int ret;

	if (!release_read(e, &r) || !set_aside_find(t, r.key, &day, &row) || judge_released((enum key_check)row.check) != VERDICT_PENDING ||
	    tap_decode(row.raw, row.raw_bytes, &tap, &field) != 0)
		return t->error;
	ret = code_asks_room(l->asks);
	if (ret == 0)
		ask_note(l, &tap, e->seq);
	return ret;
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

	if (ret != 0)
		return ret;
	recent_forget(l);
	for (int64_t i = 0, n = rechecks_count(e); ret == 0 && i < n; i++) {
		const struct recheck k = recheck_at(e, (size_t)i);
		int64_t amount = l->totals.amount_fen;
		struct told_tap told = { .check = k.check, .seq = e->seq };
		const char *field;
		struct record r;
		struct tap tap;
		enum verdict v;

		ret = tables_room(l, 1);
		if (ret == 0)
			ret = code_asks_room(l->asks);
		if (ret == 0 && !records_get(records, k.seq, k.nth, &r))
			ret = t->error != 0 ? t->error : CLEARING_E_STORE;
		if (ret != 0)
			break;
		told.device = r.device;
		told.day = r.day;
		told.bits = r.bits;
		told.content = XXH3_64bits(r.raw, r.raw_bytes);
		told.tap = tap_decode(r.raw, r.raw_bytes, &tap, &field) == 0 ? &tap : NULL;
		told.hash = told.tap != NULL ? counter_hash(l, tap.pan, (uint16_t)tap.card_counter) : 0;
		v = judge_tap(l, ref, t, open_day, &told);
		recheck_count(l, open_day, &r, amount, v);
		ret = rater_hand(l->rater, t, open_day);
	}
	records_free(records);
	return ret != 0 ? ret : t->error;
}
