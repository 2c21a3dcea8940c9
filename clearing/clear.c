/*
 * clear - stage B: a day that was cut becomes rows, states, postings and cubes.
 *
 * The result is a function of the inbox up to the cut: every record of the day is judged again, in canonical
 * order, with the reference data as of the cut and the states of the last close. Arrival order, batching and
 * restarts leave no trace. Records lie in the store's map and are decoded where they are needed.
 */
#include "clearing/fold.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROWS_PER_CHECKPOINT 20000
#define ROW_BYTES_MAX (2048 + TAP_ENCODED_BYTES_MAX)
#define ARENA_CHUNK_BYTES (4u << 20)

struct work {				/* one record of the day */
	const uint8_t *raw; uint32_t raw_bytes;
	uint8_t check, bits, verdict;
	bool keyed;			/* takes part in the search for duplicates, under its business key */
	uint8_t key[TAP_KEY_BYTES];	/* business key; else digest of the content */
	uint8_t pan[10]; uint16_t counter; uint8_t tac[4];
	int64_t time_ms;
	uint64_t person, seq;
	const char *device;
	const uint8_t *row; uint32_t row_bytes;	/* encoded result, in the arena */
	uint16_t nth;			/* among records of one key */
};
struct arena { uint8_t **chunk; size_t count, used; };
struct job {
	struct store *store;
	struct txn txn;			/* read only, one snapshot for the whole clear */
	struct day_row day;
	struct refdata *ref;
	struct work *work; size_t count, space;
	struct work **order;
	struct partner_event { char partner[17], name[65]; const uint8_t *p; size_t n; } *partner; size_t partner_count;
	struct arena arena;
	struct fold *fold;
	struct sink *sink;
	struct clear_stats stats;
	struct { uint64_t person; uint8_t bytes[RIDER_STATE_BYTES]; } *state; size_t state_count, state_space;
};

static const uint8_t *arena_copy(struct arena *a, const uint8_t *p, size_t n)
{
	uint8_t *to;

	if (a->count == 0 || a->used + n > ARENA_CHUNK_BYTES) {
		uint8_t **chunk = realloc(a->chunk, (a->count + 1) * sizeof(*chunk));

		if (chunk == NULL)
			return NULL;
		a->chunk = chunk;
		chunk[a->count] = malloc(ARENA_CHUNK_BYTES);
		if (chunk[a->count] == NULL)
			return NULL;
		a->count++;
		a->used = 0;
	}
	to = a->chunk[a->count - 1] + a->used;
	memcpy(to, p, n);
	a->used += n;
	return to;
}

static void job_done(struct job *j)
{
	for (size_t i = 0; i < j->arena.count; i++)
		free(j->arena.chunk[i]);
	free(j->arena.chunk);
	free(j->work);
	free(j->order);
	free(j->partner);
	free(j->state);
	fold_free(j->fold);
	refdata_free(j->ref);
	txn_abort(&j->txn);
}

/* ---- collect ------------------------------------------------------------------------------------------ */

static bool work_tap(const struct work *w, struct tap *ret)
{
	const char *field;

	return tap_decode(w->raw, w->raw_bytes, ret, &field) == 0;
}

static int work_add(struct job *j, const struct event *e, const uint8_t *raw, uint32_t n, uint8_t check, uint8_t bits)
{
	uint8_t digest[DIGEST_BYTES];
	struct work *w;
	struct tap tap;

	if (j->count == j->space) {
		size_t space = j->space ? j->space * 2 : 4096;
		struct work *wide = realloc(j->work, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		j->work = wide;
		j->space = space;
	}
	w = &j->work[j->count++];
	*w = (struct work){ .raw = raw, .raw_bytes = n, .check = check, .bits = bits, .seq = e->seq, .device = (const char *)e->body };
	if (!work_tap(w, &tap)) {
		int ret = digest_sha256(raw, n, digest);

		memcpy(w->key, digest, TAP_KEY_BYTES);
		w->verdict = VERDICT_MALFORMED;
		return ret;
	}
	tap_key(&tap, w->key);
	memcpy(w->pan, tap.pan, sizeof(w->pan));
	memcpy(w->tac, tap.tac, sizeof(w->tac));
	w->counter = tap.kind <= TAP_PRODUCT ? (uint16_t)tap.card_counter : 0;
	w->time_ms = tap.time_ms;
	return 0;
}

static int batch_collect(struct job *j, const struct event *e)
{
	static _Thread_local struct batch batch;
	struct event_batch b;
	int ret = 0;

	if (!event_batch_read(e, &b) || batch_decode(b.batch, b.batch_bytes, &batch) != 0 || batch.count != b.count)
		return CLEARING_E_STORE;
	for (uint32_t i = 0; ret == 0 && i < batch.count; i++)
		ret = work_add(j, e, batch.tap[i].p, batch.tap[i].n, b.marks[2 * i], b.marks[2 * i + 1]);
	return ret;
}

static int partner_collect(struct job *j, const struct event *e)
{
	struct partner_event *wide = realloc(j->partner, (j->partner_count + 1) * sizeof(*wide)), *p;

	if (wide == NULL)
		return -ENOMEM;
	j->partner = wide;
	if (e->bytes < 80)
		return CLEARING_E_STORE;
	p = &wide[j->partner_count++];
	*p = (struct partner_event){ .p = e->body + 80, .n = e->bytes - 80 };
	memcpy(p->partner, e->body, 16);
	memcpy(p->name, e->body + 16, 64);
	return 0;
}

static int collect(struct job *j)
{
	struct inbox_iter it;
	struct event e;
	int ret = 0;

	inbox_open(&j->txn, j->day.first_seq + 1, j->day.cut_seq, &it);
	while (ret == 0 && inbox_next(&it, &e)) {
		if (e.type == EVENT_BATCH)
			ret = batch_collect(j, &e);
		else if (e.type == EVENT_PARTNER)
			ret = partner_collect(j, &e);
	}
	inbox_close(&it);
	if (ret == 0 && j->count > 0) {
		j->order = malloc(j->count * sizeof(struct work *));
		ret = j->order == NULL ? -ENOMEM : 0;
	}
	for (size_t i = 0; ret == 0 && i < j->count; i++)
		j->order[i] = &j->work[i];
	return ret != 0 ? ret : j->txn.error;
}

/* ---- judge ------------------------------------------------------------------------------------------------ */

static enum verdict judge_work(const struct job *j, const struct work *w, const struct tap *tap, enum seen_before seen)
{
	struct judge_input in = { .tap = tap, .check = (enum key_check)w->check, .device = w->device, .seen = seen,
				  .future = (w->bits & EVENT_BIT_FUTURE) != 0, .open_day = j->day.day, .cut_s = DAY_CUT_S_DEFAULT,
				  .limits = &judge_limits_default };

	in.terminal = refdata_terminal(j->ref, tap->terminal, tap->time_ms);
	in.issuer = refdata_issuer(j->ref, tap->issuer, tap->time_ms);
	in.blacklisted = refdata_blacklisted(j->ref, tap->pan, tap->time_ms);
	return judge(&in);
}

/* Verdicts that stand before the search for duplicates: such a record never speaks for its business key. */
static bool speaks_for_key(enum verdict v)
{
	return v != VERDICT_MALFORMED && v != VERDICT_TERMINAL_UNKNOWN && v != VERDICT_TERMINAL_MISMATCH && v != VERDICT_TEST && v != VERDICT_BAD_MAC;
}

static void judge_alone(struct job *j)
{
	for (size_t i = 0; i < j->count; i++) {
		struct work *w = &j->work[i];
		struct tap tap;

		if (w->verdict == VERDICT_MALFORMED || !work_tap(w, &tap))
			continue;
		w->verdict = (uint8_t)judge_work(j, w, &tap, SEEN_NO);
		w->keyed = speaks_for_key((enum verdict)w->verdict);
	}
}

/* Records of other days with this business key. The day itself does not count: a clear may run twice. */
static bool key_of_earlier_day(struct job *j, const uint8_t key[TAP_KEY_BYTES])
{
	const void *val;
	size_t n;

	return txn_get(&j->txn, DB_TAPKEY, key, TAP_KEY_BYTES, &val, &n) && n >= 4 && (int32_t)be32_get(val) < j->day.day;
}

static int content_compare(const struct work *a, const struct work *b)
{
	size_t n = a->raw_bytes < b->raw_bytes ? a->raw_bytes : b->raw_bytes;
	int order = memcmp(a->raw, b->raw, n);

	return order != 0 ? order : a->raw_bytes < b->raw_bytes ? -1 : a->raw_bytes > b->raw_bytes;
}

/* Canonical order: class, key, spokesmen first, the verified before the grey, then content. Two records that
 * still compare equal are equal in everything but their arrival, which is the last resort. */
static int canonical_compare(const void *pa, const void *pb)
{
	const struct work *a = *(struct work *const *)pa, *b = *(struct work *const *)pb;
	bool a_grey = a->check == KEY_CHECK_GREY, b_grey = b->check == KEY_CHECK_GREY;
	int order;

	if ((a->verdict == VERDICT_MALFORMED) != (b->verdict == VERDICT_MALFORMED))
		return a->verdict == VERDICT_MALFORMED ? 1 : -1;
	order = memcmp(a->key, b->key, TAP_KEY_BYTES);
	if (order != 0)
		return order;
	if (a->keyed != b->keyed)
		return a->keyed ? -1 : 1;
	if (a_grey != b_grey)
		return a_grey ? 1 : -1;
	order = content_compare(a, b);
	return order != 0 ? order : a->seq < b->seq ? -1 : a->seq > b->seq;
}

static enum seen_before seen_in_group(struct job *j, const struct work *first, const struct work *w, bool earlier)
{
	bool grey = w->check == KEY_CHECK_GREY;

	(void)j;
	if (w == first)
		return !earlier ? SEEN_NO : grey ? SEEN_GREY_RECOVERED : SEEN_SAME;
	if (grey && first->check != KEY_CHECK_GREY)
		return SEEN_GREY_RECOVERED;
	return content_compare(first, w) == 0 || earlier ? SEEN_SAME : SEEN_OTHER;
}

static void judge_groups(struct job *j)
{
	for (size_t i = 0, n; i < j->count; i += n) {
		struct work *first = j->order[i];
		bool earlier;

		for (n = 1; i + n < j->count && memcmp(j->order[i + n]->key, first->key, TAP_KEY_BYTES) == 0 &&
			    (j->order[i + n]->verdict == VERDICT_MALFORMED) == (first->verdict == VERDICT_MALFORMED); n++)
			j->order[i + n]->nth = (uint16_t)n;
		if (!first->keyed)
			continue;
		earlier = key_of_earlier_day(j, first->key);
		for (size_t k = 0; (n > 1 || earlier) && k < n && j->order[i + k]->keyed; k++) {
			struct work *w = j->order[i + k];
			struct tap tap;

			if (work_tap(w, &tap))
				w->verdict = (uint8_t)judge_work(j, w, &tap, seen_in_group(j, first, w, earlier));
		}
	}
}

static bool counts_for_counter(const struct work *w)
{
	return w->counter != 0 && w->keyed && w->check != KEY_CHECK_GREY && w->verdict != VERDICT_DUPLICATE && w->verdict != VERDICT_CONFLICT &&
	       w->verdict != VERDICT_EVENT;
}

static int counter_compare(const void *pa, const void *pb)
{
	const struct work *a = *(struct work *const *)pa, *b = *(struct work *const *)pb;
	int order = memcmp(a->pan, b->pan, sizeof(a->pan));

	if (order == 0 && a->counter != b->counter)
		order = a->counter < b->counter ? -1 : 1;
	if (order == 0 && a->time_ms != b->time_ms)
		order = a->time_ms < b->time_ms ? -1 : 1;
	return order != 0 ? order : memcmp(a->key, b->key, TAP_KEY_BYTES);
}

/* The card's counter was used on an earlier day with another TAC. */
static bool counter_of_earlier_day(struct job *j, const struct work *w)
{
	uint8_t prefix[12];
	struct iter it;
	bool found = false;

	memcpy(prefix, w->pan, 10);
	be16_put(prefix + 10, w->counter);
	iter_open(&j->txn, DB_COUNTER, prefix, sizeof(prefix), &it);
	while (!found && iter_next(&it))
		found = it.key_bytes == 16 && it.val_bytes >= 4 && (int32_t)be32_get(it.val) < j->day.day && memcmp(it.key + 12, w->tac, 4) != 0;
	iter_close(&it);
	return found;
}

/* The second key: card and counter. The first in time speaks for it, another TAC under it is a clone's. */
static int judge_counters(struct job *j)
{
	struct work **list = malloc((j->count + 1) * sizeof(struct work *)), *first = NULL;
	size_t n = 0;

	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < j->count; i++)
		if (counts_for_counter(&j->work[i]))
			list[n++] = &j->work[i];
	if (n > 1)
		qsort(list, n, sizeof(struct work *), counter_compare);
	for (size_t i = 0; i < n; i++) {
		struct work *w = list[i];
		struct tap tap;
		bool again = first != NULL && first->counter == w->counter && memcmp(first->pan, w->pan, sizeof(w->pan)) == 0;

		if (!again)
			first = w;
		if ((again ? memcmp(first->tac, w->tac, 4) != 0 : counter_of_earlier_day(j, w)) && work_tap(w, &tap))
			w->verdict = (uint8_t)judge_work(j, w, &tap, SEEN_COUNTER);
	}
	free(list);
	return j->txn.error;
}

/* ---- rate --------------------------------------------------------------------------------------------------- */

static int ride_compare(const void *pa, const void *pb)
{
	const struct work *a = *(struct work *const *)pa, *b = *(struct work *const *)pb;

	if (a->person != b->person)
		return a->person < b->person ? -1 : 1;
	if (a->time_ms != b->time_ms)
		return a->time_ms < b->time_ms ? -1 : 1;
	return memcmp(a->key, b->key, TAP_KEY_BYTES);
}

static bool rateable(const struct work *w) { return w->verdict == VERDICT_ACCEPTED || w->verdict == VERDICT_PENDING; }

static void state_load(struct job *j, uint64_t person, struct rider_state *ret)
{
	const uint8_t *found;
	uint8_t key[12];
	const void *val;
	size_t n;

	*ret = (struct rider_state){ 0 };
	be64_put(key, person);
	be32_put(key + 8, (uint32_t)(j->day.day - 1) ^ 0x80000000u);
	if (txn_get_last_at(&j->txn, DB_STATE, key, sizeof(key), 8, &found, &val, &n) && (n != RIDER_STATE_BYTES || !rider_state_unpack(val, ret)))
		j->txn.error = CLEARING_E_STORE;
}

static int state_keep(struct job *j, uint64_t person, const struct rider_state *s)
{
	if (j->state_count == j->state_space) {
		size_t space = j->state_space ? j->state_space * 2 : 4096;
		void *wide = realloc(j->state, space * sizeof(j->state[0]));

		if (wide == NULL)
			return -ENOMEM;
		j->state = wide;
		j->state_space = space;
	}
	j->state[j->state_count].person = person;
	rider_state_pack(s, j->state[j->state_count++].bytes);
	return 0;
}

static int row_make(struct job *j, struct work *w, const struct cleared *c)
{
	uint8_t bytes[ROW_BYTES_MAX];
	int n = cleared_encode(c, bytes, sizeof(bytes));

	if (n < 0)
		return n;
	w->row = arena_copy(&j->arena, bytes, (size_t)n);
	w->row_bytes = (uint32_t)n;
	return w->row == NULL ? -ENOMEM : 0;
}

static struct cleared row_start(const struct job *j, const struct work *w, const struct tap *tap)
{
	struct cleared c = { .verdict = w->verdict, .check = w->check, .seq = w->seq, .person = w->person, .raw = w->raw, .raw_bytes = w->raw_bytes };
	const struct terminal_row *terminal;
	const struct issuer_row *issuer;

	memcpy(c.device, w->device, sizeof(c.device));
	c.device[DEVICE_BYTES_MAX] = '\0';
	if (tap == NULL)
		return c;
	terminal = refdata_terminal(j->ref, tap->terminal, tap->time_ms);
	issuer = refdata_issuer(j->ref, tap->issuer, tap->time_ms);
	c.operator_id = terminal != NULL ? terminal->operator_id : tap->operator_id;
	c.scheme = (uint8_t)scheme_of_tap(tap, issuer != NULL && issuer->ours);
	c.priced.charged = money_of_fen(tap->amount_fen);
	return c;
}

static int ride_rate(struct job *j, struct work *w, const struct rider *rider, struct rider_state *state)
{
	const struct tariff *t;
	struct ride ride;
	struct cleared c;
	struct tap tap;

	if (!work_tap(w, &tap))
		return CLEARING_E_STORE;
	t = refdata_tariff(j->ref, tap.time_ms);
	if (t == NULL)
		w->verdict = VERDICT_NO_TARIFF;
	c = row_start(j, w, &tap);
	if (t != NULL) {
		tap_ride(&tap, t, &ride);
		ride.operator_id = c.operator_id;
		c.tariff_version = tariff_version(t);
		rate(t, rider, state, &ride, state, &c.fare, NULL);
		if (c.fare.reject != FARE_OK)
			c.verdict = w->verdict = c.fare.reject == FARE_REPEAT_TAP ? VERDICT_REPEAT_TAP : VERDICT_NO_TARIFF;
	}
	c.verdict = w->verdict;
	if (rateable(w)) {
		c.pending = w->verdict == VERDICT_PENDING;
		post_fare(&c.fare, &tap, (enum scheme)c.scheme, c.pending, c.operator_id, &c.priced);
	}
	return row_make(j, w, &c);
}

static int rate_all(struct job *j)
{
	struct work **list = malloc((j->count + 1) * sizeof(struct work *));
	struct rider_state state;
	struct rider rider;
	size_t n = 0;
	int ret = list == NULL ? -ENOMEM : 0;

	for (size_t i = 0; ret == 0 && i < j->count; i++) {
		struct work *w = &j->work[i];

		if (!rateable(w))
			continue;
		w->person = rider_find(&j->txn, w->pan, j->day.cut_seq, &rider);
		list[n++] = w;
	}
	if (n > 1)
		qsort(list, n, sizeof(struct work *), ride_compare);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		if (i == 0 || list[i]->person != list[i - 1]->person) {
			rider_find(&j->txn, list[i]->pan, j->day.cut_seq, &rider);
			state_load(j, list[i]->person, &state);
		}
		ret = ride_rate(j, list[i], &rider, &state);
		if (ret == 0 && (i + 1 == n || list[i + 1]->person != list[i]->person))
			ret = state_keep(j, list[i]->person, &state);
	}
	free(list);
	return ret != 0 ? ret : j->txn.error;
}

/* ---- write ------------------------------------------------------------------------------------------------------ */

static void row_key(const struct job *j, const struct work *w, uint8_t key[CLEARED_KEY_BYTES])
{
	be32_put(key, (uint32_t)j->day.day ^ 0x80000000u);
	key[4] = w->verdict == VERDICT_MALFORMED ? CLEARED_OTHER : CLEARED_RIDE;
	memcpy(key + 5, w->key, TAP_KEY_BYTES);
	be16_put(key + 23, w->nth);
}

static void count_row(struct clear_stats *s, const struct cleared *c)
{
	s->taps++;
	s->verdict[c->verdict]++;
	if (!verdict_info((enum verdict)c->verdict)->money)
		return;
	s->charged_fen += c->priced.charged.fen;
	s->published_fen += c->priced.published.fen;
	s->absorbed_fen += c->priced.absorbed.fen;
	for (uint8_t i = 0; i < c->fare.funder_count; i++)
		s->subsidy_fen += c->fare.funder[i].amount.fen;
}

static int checkpoint_at(struct job *j, size_t i) { return i % ROWS_PER_CHECKPOINT == ROWS_PER_CHECKPOINT - 1 ? j->sink->checkpoint(j->sink) : 0; }

static int rows_write(struct job *j)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < j->count; i++) {
		struct work *w = j->order[i];
		uint8_t key[CLEARED_KEY_BYTES];
		struct cleared c;
		struct tap tap;
		bool decoded = work_tap(w, &tap);

		if (w->row == NULL) {
			c = row_start(j, w, decoded ? &tap : NULL);
			ret = row_make(j, w, &c);
		}
		if (ret == 0 && !cleared_decode(w->row, w->row_bytes, &c))
			ret = CLEARING_E_STORE;
		if (ret == 0)
			ret = fold_row(j->fold, &c, decoded ? &tap : NULL, w->key);
		row_key(j, w, key);
		if (ret == 0)
			ret = j->sink->put(j->sink, DB_CLEARED, key, sizeof(key), w->row, w->row_bytes);
		count_row(&j->stats, &c);
		if (ret == 0)
			ret = checkpoint_at(j, i);
	}
	return ret;
}

static int keys_write(struct job *j)
{
	uint8_t day[4 + TAP_KEY_BYTES];
	int ret = 0;

	be32_put(day, (uint32_t)j->day.day);
	for (size_t i = 0; ret == 0 && i < j->count; i++) {
		struct work *w = j->order[i];

		if (w->nth == 0 && w->keyed && w->check != KEY_CHECK_GREY && w->verdict != VERDICT_DUPLICATE)
			ret = j->sink->put(j->sink, DB_TAPKEY, w->key, TAP_KEY_BYTES, day, 4);
		if (ret == 0)
			ret = checkpoint_at(j, i);
	}
	if (j->count > 1)
		qsort(j->order, j->count, sizeof(struct work *), counter_compare);
	for (size_t i = 0; ret == 0 && i < j->count; i++) {
		struct work *w = j->order[i];
		uint8_t key[16];

		if (!counts_for_counter(w) || w->verdict == VERDICT_COUNTER_REPEATED)
			continue;
		memcpy(key, w->pan, 10);
		be16_put(key + 10, w->counter);
		memcpy(key + 12, w->tac, 4);
		memcpy(day + 4, w->key, TAP_KEY_BYTES);
		ret = j->sink->put(j->sink, DB_COUNTER, key, sizeof(key), day, sizeof(day));
		if (ret == 0)
			ret = checkpoint_at(j, i);
	}
	return ret;
}

static int states_write(struct job *j)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < j->state_count; i++) {
		uint8_t key[12];

		be64_put(key, j->state[i].person);
		be32_put(key + 8, (uint32_t)j->day.day ^ 0x80000000u);
		ret = j->sink->put(j->sink, DB_STATE, key, sizeof(key), j->state[i].bytes, RIDER_STATE_BYTES);
		if (ret == 0)
			ret = checkpoint_at(j, i);
	}
	return ret;
}

struct partner_arg { struct fold *fold; int error; };

static void partner_emit(void *arg, const struct posting *p, enum scheme scheme, const uint8_t tap_key_bytes[TAP_KEY_BYTES])
{
	struct partner_arg *a = arg;

	if (a->error == 0)
		a->error = fold_posting(a->fold, p, scheme, 0, tap_key_bytes);
}

static int partners_post(struct job *j)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < j->partner_count; i++) {
		struct partner_arg arg = { .fold = j->fold };
		const struct partner_event *p = &j->partner[i];

		ret = partner_file_post(&j->txn, p->partner, p->name, p->p, p->n, partner_emit, &arg);
		if (ret == 0)
			ret = arg.error;
	}
	return ret;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int clear_run(struct job *j)
{
	int ret = refdata_replay(j->ref, &j->txn, j->day.cut_seq);

	if (ret == 0)
		ret = collect(j);
	if (ret != 0)
		return ret;
	judge_alone(j);
	if (j->count > 1)
		qsort(j->order, j->count, sizeof(struct work *), canonical_compare);
	judge_groups(j);
	ret = judge_counters(j);
	if (ret == 0)
		ret = rate_all(j);
	if (ret == 0)
		ret = rows_write(j);
	if (ret == 0)
		ret = keys_write(j);
	if (ret == 0)
		ret = states_write(j);
	if (ret == 0)
		ret = partners_post(j);
	if (ret == 0)
		ret = fold_write(j->fold, j->sink);
	return ret;
}

int clear_day(struct store *s, int32_t day, struct sink *sink, struct clear_stats *ret_stats)
{
	struct job j = { .store = s, .sink = sink };
	uint64_t start = now_ns();
	int ret = txn_begin(s, false, &j.txn);

	if (ret != 0)
		return ret;
	if (!day_get(&j.txn, day, &j.day))
		ret = j.txn.error != 0 ? j.txn.error : CLEARING_E_NO_DAY;
	else if (j.day.state == DAY_OPEN)
		ret = CLEARING_E_STATE;
	if (ret == 0)
		ret = refdata_new(&j.ref);
	if (ret == 0)
		ret = fold_new(day, &j.fold);
	if (ret == 0)
		ret = clear_run(&j);
	job_done(&j);
	if (ret == 0) {
		*ret_stats = j.stats;
		ret_stats->ns = now_ns() - start;
	}
	return ret;
}

/* ---- into the store ------------------------------------------------------------------------------------------------ */

struct store_sink { struct sink sink; struct store *store; struct txn txn; };

static int store_put(struct sink *sink, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes)
{
	struct store_sink *s = (struct store_sink *)(void *)sink;
	int ret = s->txn.mdb != NULL ? 0 : txn_begin(s->store, true, &s->txn);

	if (ret != 0)
		return ret;
	txn_put(&s->txn, db, key, key_bytes, val, val_bytes);
	return s->txn.error;
}

static int store_checkpoint(struct sink *sink)
{
	struct store_sink *s = (struct store_sink *)(void *)sink;

	return s->txn.mdb != NULL ? txn_commit(&s->txn) : 0;
}

static int state_check(struct store *s, int32_t day)
{
	struct day_row row;
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	if (!day_get(&t, day, &row))
		ret = CLEARING_E_NO_DAY;
	else if (row.state != DAY_CUT)
		ret = CLEARING_E_STATE;
	txn_abort(&t);
	return ret;
}

/* The last transaction flips the state: a clear killed before it is simply run again over its own rows. */
static int state_flip(struct store *s, int32_t day, const struct clear_stats *stats)
{
	struct day_row row;
	struct txn t;
	uint8_t digest[DIGEST_BYTES];
	int ret = dump_digest(s, day, digest);

	if (ret == 0)
		ret = txn_begin(s, true, &t);
	if (ret != 0)
		return ret;
	if (!day_get(&t, day, &row) || row.state != DAY_CUT) {
		txn_abort(&t);
		return CLEARING_E_STATE;
	}
	row.state = DAY_CLEARED;
	row.tap_count = stats->taps;
	memcpy(row.digest, digest, sizeof(row.digest));
	day_put(&t, &row);
	return txn_commit(&t);
}

int day_clear(struct store *s, int32_t day, struct clear_stats *ret_stats)
{
	/* the write transaction opens at the first put and closes at each checkpoint, so that receipts go on meanwhile */
	struct store_sink sink = { .sink = { store_put, store_checkpoint }, .store = s };
	struct clear_stats stats;
	int ret = state_check(s, day);

	if (ret == 0)
		ret = clear_day(s, day, &sink.sink, &stats);
	if (ret == 0)
		ret = store_checkpoint(&sink.sink);
	txn_abort(&sink.txn);
	if (ret == 0)
		ret = state_flip(s, day, &stats);
	if (ret == 0)
		*ret_stats = stats;
	return ret;
}
