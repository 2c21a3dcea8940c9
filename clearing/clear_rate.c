/*
 * clear_rate - the fares of a day: rides sorted by person and tap time, each rated against the state its person had
 * after the one before.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROW_BYTES_MAX (2048 + TAP_ENCODED_BYTES_MAX)
#define ARENA_CHUNK_BYTES (4u << 20)

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

int row_make(struct job *j, struct work *w, const struct cleared *c)
{
	uint8_t bytes[ROW_BYTES_MAX];
	int n = cleared_encode(c, bytes, sizeof(bytes));

	if (n < 0)
		return n;
	w->row = arena_copy(&j->arena, bytes, (size_t)n);
	w->row_bytes = (uint32_t)n;
	return w->row == NULL ? -ENOMEM : 0;
}

struct cleared row_start(const struct job *j, const struct work *w, const struct tap *tap)
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

int clear_rate(struct job *j)
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
