/*
 * What a town pays under every pack of this repository: the same in whatever order its rides arrive, by other numbers
 * of cards and vehicles, a week later, after a restart, and with a rule more that is for nobody; twice as much when everyone
 * has a twin; and rider, treasuries and operator have what is published.
 */
#include "tests/unit/town.h"

#define SEED 20250603u
#define TOWNS 4				/* towns a pack */

static struct town town, other;
static struct fare fares[TOWN_RIDES], again[TOWN_RIDES];
static size_t rides_seen, fares_seen, reduced_seen;
static unsigned kinds_seen;		/* bits of enum fare_step_kind */
static const char *pack_now;
static unsigned seed_now;

typedef void (*law_fn)(const struct tariff *t, unsigned *seed);

static void holds_everywhere(law_fn law)
{
	rides_seen = fares_seen = reduced_seen = kinds_seen = 0;
	print_message("# seed %u\n", SEED);
	for (size_t i = 0; i < pack_count; i++)
		for (unsigned n = 0; n < TOWNS; n++) {
			unsigned seed = SEED + n * 1000 + (unsigned)i;

			pack_now = packs[i].name;
			seed_now = seed;
			town_make(packs[i].t, seed, &town);
			town_rate(packs[i].t, &town, fares, NULL);
			for (size_t k = 0; k < town.count; k++) {
				rides_seen++;
				fares_seen += fares[k].reject == FARE_OK;
				reduced_seen += fares[k].published.fen > fares[k].paid.fen;
				for (uint8_t j = 0; j < fares[k].step_count; j++)
					kinds_seen |= 1u << fares[k].step[j].kind;
			}
			law(packs[i].t, &seed);
		}
	/* A law that no ride could break proves nothing. */
	assert_true(rides_seen > 200 * pack_count && fares_seen * 2 > rides_seen && reduced_seen * 4 > fares_seen);
	for (unsigned k = FARE_STEP_PUBLISHED; k <= FARE_STEP_LOCK; k++)
		if (k != 6)	/* no step has this number */
			assert_true(kinds_seen & 1u << k);
}

static void same_fare(const struct fare *first, const struct fare *second, size_t ride)
{
	if (memcmp(first, second, sizeof(*first)) == 0)
		return;
	print_error("pack %s, town of seed %u, ride %zu on line %s: published %lld and %lld, paid %lld and %lld\n", pack_now, seed_now, ride,
		    town.ride[ride].line, (long long)first->published.fen, (long long)second->published.fen, (long long)first->paid.fen,
		    (long long)second->paid.fen);
	fail();
}

static void same_fares(const struct fare *first, const struct fare *second, size_t n)
{
	for (size_t i = 0; i < n; i++)
		same_fare(&first[i], &second[i], i);
}

static void parts_sum(const struct tariff *t, unsigned *seed)
{
	(void)t, (void)seed;
	for (size_t i = 0; i < town.count; i++) {
		int64_t funded = 0;

		for (uint8_t k = 0; k < fares[i].funder_count; k++)
			funded += fares[i].funder[k].amount.fen;
		assert_int_equal(fares[i].published.fen, fares[i].paid.fen + funded + fares[i].absorbed.fen);
		assert_in_range(fares[i].paid.fen, 0, fares[i].published.fen);
	}
}

static void rider_treasuries_and_operator_have_the_published_fare(void **state) { (void)state, holds_everywhere(parts_sum); }

/* Every state goes to the store and comes back before the ride. A refused ride leaves it as it was. */
static void restarted(const struct tariff *t, unsigned *seed)
{
	uint8_t stored[TOWN_PEOPLE][RIDER_STATE_BYTES_MAX] = { 0 }, before[RIDER_STATE_BYTES_MAX];
	struct rider_state empty = { 0 };

	(void)seed;
	for (size_t who = 0; who < TOWN_PEOPLE; who++)
		rider_state_pack(&empty, 0, stored[who]);
	for (size_t i = 0; i < town.count; i++) {
		unsigned who = town.who[i];
		struct ride early = town.ride[i];	/* before any pack is in force: refused */
		struct rider_state s, left;
		struct fare none;

		early.time_ms = 0;
		memcpy(before, stored[who], sizeof(before));
		assert_true(rider_state_unpack(stored[who], sizeof(stored[who]), 0, &s) > 0);
		rate(t, &town.rider[who], &s, &early, &left, &none, NULL);
		assert_int_equal(none.reject, FARE_NOT_IN_FORCE);
		assert_memory_equal(&left, &s, sizeof(s));
		rate(t, &town.rider[who], &s, &town.ride[i], &s, &again[i], NULL);
		rider_state_pack(&s, 0, stored[who]);
		if (again[i].reject != FARE_OK)
			assert_memory_equal(before, stored[who], sizeof(before));
	}
	same_fares(fares, again, town.count);
}

static void a_restart_before_any_ride_changes_no_fare_and_a_refused_ride_no_state(void **state)
{
	(void)state;
	holds_everywhere(restarted);
}

/* As the clear rates: the state before is kept, and that after written elsewhere. */
static void beside(const struct tariff *t, unsigned *seed)
{
	struct rider_state s[TOWN_PEOPLE] = { 0 }, after, in_place[TOWN_PEOPLE];

	(void)seed;
	for (size_t i = 0; i < town.count; i++) {
		struct rider_state *before = &s[town.who[i]], kept = *before;

		rate(t, &town.rider[town.who[i]], before, &town.ride[i], &after, &again[i], NULL);
		assert_memory_equal(before, &kept, sizeof(kept));
		*before = after;
	}
	same_fares(fares, again, town.count);
	town_rate(t, &town, again, in_place);
	assert_memory_equal(s, in_place, sizeof(s));
}

static void a_state_written_in_place_and_one_written_beside_are_the_same(void **state) { (void)state, holds_everywhere(beside); }

static void steps_lead(const struct tariff *t, unsigned *seed)
{
	(void)t, (void)seed;
	for (size_t i = 0; i < town.count; i++) {
		int64_t sum = 0, held = 0;

		for (uint8_t k = 0; k < fares[i].step_count; k++)
			switch (fares[i].step[k].kind) {
			case FARE_STEP_PUBLISHED: case FARE_STEP_CONCESSION: case FARE_STEP_TRANSFER: case FARE_STEP_LADDER:
			case FARE_STEP_CAP: case FARE_STEP_UNFINISHED:
				sum += fares[i].step[k].delta_fen;
				break;
			case FARE_STEP_HOLD: case FARE_STEP_SETTLE:
				held += fares[i].step[k].delta_fen;
				break;
			default:
				break;
			}
		assert_int_equal(sum, fares[i].paid.fen);
		assert_int_equal(sum + held, fares[i].moved.fen);
	}
}

static void the_steps_of_every_fare_lead_from_the_published_to_the_paid_and_with_holds_to_the_moved(void **state) { (void)state, holds_everywhere(steps_lead); }

static int by_rider_and_time(const void *a, const void *b)
{
	size_t i = *(const size_t *)a, j = *(const size_t *)b;

	if (town.who[i] != town.who[j])
		return town.who[i] < town.who[j] ? -1 : 1;
	return town.ride[i].time_ms < town.ride[j].time_ms ? -1 : town.ride[i].time_ms > town.ride[j].time_ms;
}

static void any_arrival(const struct tariff *t, unsigned *seed)
{
	struct rider_state s[TOWN_PEOPLE] = { 0 };
	size_t order[TOWN_RIDES];

	for (size_t i = 0; i < town.count; i++) {
		size_t j = town_roll(seed, (unsigned)i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	qsort(order, town.count, sizeof(order[0]), by_rider_and_time);
	for (size_t k = 0; k < town.count; k++) {
		unsigned who = town.who[order[k]];

		rate(t, &town.rider[who], &s[who], &town.ride[order[k]], &s[who], &again[order[k]], NULL);
	}
	same_fares(fares, again, town.count);
}

static void rides_that_arrive_in_any_order_and_are_sorted_cost_the_same(void **state) { (void)state, holds_everywhere(any_arrival); }

struct sums { int64_t published, paid, moved, absorbed, refund, treasury[8]; };

static void sum_add(const struct fare *f, struct sums *sums)
{
	sums->published += f->published.fen;
	sums->paid += f->paid.fen;
	sums->moved += f->moved.fen;
	sums->absorbed += f->absorbed.fen;
	sums->refund += f->refund.fen;
	for (uint8_t k = 0; k < f->funder_count; k++)
		sums->treasury[f->funder[k].treasury % 8] += f->funder[k].amount.fen;
}

/* Everyone has a twin with a card of his own who does the same in the same vehicles a second later. */
static void twins(const struct tariff *t, unsigned *seed)
{
	struct rider_state s[2][TOWN_PEOPLE] = { 0 };
	struct sums once = { 0 }, both = { 0 }, twice;

	(void)seed;
	for (size_t i = 0; i < town.count; i++) {
		unsigned who = town.who[i];
		struct ride twin = town.ride[i];
		struct fare f;

		sum_add(&fares[i], &once);
		twin.card ^= 0x40000000u;
		rate(t, &town.rider[who], &s[0][who], &town.ride[i], &s[0][who], &f, NULL);
		sum_add(&f, &both);
		rate(t, &town.rider[who], &s[1][who], &twin, &s[1][who], &f, NULL);
		sum_add(&f, &both);
	}
	twice = once;
	twice.published *= 2, twice.paid *= 2, twice.moved *= 2, twice.absorbed *= 2, twice.refund *= 2;
	for (size_t k = 0; k < 8; k++)
		twice.treasury[k] *= 2;
	assert_memory_equal(&both, &twice, sizeof(twice));
}

static void a_town_doubled_by_twins_costs_everyone_exactly_twice(void **state) { (void)state, holds_everywhere(twins); }

static void other_numbers(const struct tariff *t, unsigned *seed)
{
	(void)seed;
	other = town;
	for (size_t i = 0; i < other.count; i++) {
		other.ride[i].card = other.ride[i].card * 2654435761u | 1;
		snprintf(other.ride[i].vehicle, sizeof(other.ride[i].vehicle), "bus-%c", 'z' - town.ride[i].vehicle[1] + '0');
	}
	town_rate(t, &other, again, NULL);
	same_fares(fares, again, town.count);
}

static void other_numbers_of_cards_and_vehicles_change_no_fare(void **state) { (void)state, holds_everywhere(other_numbers); }

static void week_later(const struct tariff *t, unsigned *seed)
{
	(void)seed;
	other = town;
	for (size_t i = 0; i < other.count; i++) {
		other.ride[i].time_ms += 7 * 86400000LL;
		other.ride[i].out_ms += other.ride[i].out_ms != 0 ? 7 * 86400000LL : 0;
		other.ride[i].in_ms += other.ride[i].in_ms != 0 ? 7 * 86400000LL : 0;
	}
	town_rate(t, &other, again, NULL);
	same_fares(fares, again, town.count);
}

static void a_week_later_in_the_same_month_every_ride_costs_the_same(void **state) { (void)state, holds_everywhere(week_later); }

static const char nobody_yaml[] =
	"groups:\n  - {name: nobody-at-all, title: 无人, code: 63999, source: 例, hold: yes}\n"
	"funding:\n  - {id: nobody-fund, title: 无, basis: 例, gap: none}\n"
	"concessions:\n  - {id: nobody-free, title: 无人免费, basis: 例, from: 2009-01-01, precedence: 99, who: [nobody-at-all], price: free, fund: nobody-fund}\n";
static size_t nobody_packs;

/* Packs without a concession step take no concession, not even this one. */
static void ignored(void *arg, const char *text) { (void)arg, (void)text; }

static void nobody(const struct tariff *t, unsigned *seed)
{
	static const struct tariff_overlay overlay = { .yaml = nobody_yaml };
	char path[sizeof(PACKS_DIR) + sizeof(packs[0].name)];
	struct tariff *more;
	size_t bytes;
	void *blob;

	(void)t, (void)seed;
	strcpy(stpcpy(path, PACKS_DIR "/"), pack_now);
	if (tariff_compile_with(path, &overlay, ignored, NULL, &blob, &bytes) != 0)
		return;
	assert_int_equal(tariff_open(blob, bytes, &more), 0);
	town_rate(more, &town, again, NULL);
	for (size_t i = 0; i < town.count; i++) {
		again[i].rule = fares[i].rule;		/* numbers of rules have moved */
		again[i].fund_rule = fares[i].fund_rule;
		again[i].refund_rule = fares[i].refund_rule;
		memcpy(again[i].step, fares[i].step, sizeof(again[i].step));
		same_fare(&fares[i], &again[i], i);
	}
	nobody_packs++;
	tariff_close(more);
	free(blob);
}

static void a_rule_for_a_group_nobody_is_in_changes_no_fare(void **state)
{
	(void)state;
	nobody_packs = 0;
	holds_everywhere(nobody);
	assert_true(nobody_packs > pack_count * TOWNS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rider_treasuries_and_operator_have_the_published_fare),
		cmocka_unit_test(a_restart_before_any_ride_changes_no_fare_and_a_refused_ride_no_state),
		cmocka_unit_test(a_state_written_in_place_and_one_written_beside_are_the_same),
		cmocka_unit_test(the_steps_of_every_fare_lead_from_the_published_to_the_paid_and_with_holds_to_the_moved),
		cmocka_unit_test(rides_that_arrive_in_any_order_and_are_sorted_cost_the_same),
		cmocka_unit_test(a_town_doubled_by_twins_costs_everyone_exactly_twice),
		cmocka_unit_test(other_numbers_of_cards_and_vehicles_change_no_fare),
		cmocka_unit_test(a_rule_for_a_group_nobody_is_in_changes_no_fare),
		cmocka_unit_test(a_week_later_in_the_same_month_every_ride_costs_the_same),
	};

	return cmocka_run_group_tests(tests, packs_open, packs_close);
}
