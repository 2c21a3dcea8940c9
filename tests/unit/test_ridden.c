/* A person's settlement day as one row: its bytes, and what it says of counters, against all records of all days. */
#include "tests/unit/house.h"

#include <time.h>

#include "clearing/core/core.h"
#include "clearing/ridden.h"
#include "tests/unit/old_formats.h"

static uint64_t seed, rolling;

static uint64_t roll(void)
{
	rolling += 0x9E3779B97F4A7C15u;
	uint64_t z = (rolling ^ rolling >> 30) * 0xBF58476D1CE4E5B9u;

	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t n) { return roll() % n; }
/* Often nothing, often usual, sometimes anything. */
static int64_t any(uint64_t usual) { return below(3) == 0 ? 0 : below(8) == 0 ? (int64_t)roll() : (int64_t)below(usual); }

static int seed_take(void **state)
{
	const char *given = getenv("QINGFEN_SEED");

	seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	print_message("QINGFEN_SEED=%llu\n", (unsigned long long)seed);
	rolling = seed;
	return packs_make(state);
}

/* ---- bytes --------------------------------------------------------------------------------------------------- */

static void state_roll(struct rider_state *s, int64_t near)
{
	memset(s, 0, sizeof(*s));
	s->last_ms = below(2) ? near + (int64_t)below(86400) * 1000 : any(1000);
	s->last_vehicle = (uint32_t)roll();
	s->window_rule = (uint16_t)any(65536);
	s->window_ms = below(2) ? s->last_ms : any(1ULL << 41);
	s->window_vehicle = below(2) ? s->last_vehicle : (uint32_t)any(UINT32_MAX);
	s->prev_vehicle = below(2) ? s->last_vehicle : (uint32_t)any(UINT32_MAX);
	s->window_dearest_fen = any(1000);
	s->window_uses = (uint16_t)any(3);
	s->prev_line = (uint32_t)any(UINT32_MAX);
	s->prev_mode = (uint8_t)any(3);
	s->prev_flags = (uint8_t)any(2);
	s->prev_published_fen = -any(1000);
	s->other_ms = any(1ULL << 41);
	s->other_vehicle = (uint32_t)any(UINT32_MAX);
	s->open_ms = any(1ULL << 41);
	s->open_line = (uint32_t)any(UINT32_MAX);
	s->open_stop = (uint16_t)any(40);
	s->open_hold_fen = any(1000);
	s->open_unfinished_fen = any(1000);
	s->escorted_ms = any(1ULL << 41);
	for (size_t i = below(RIDER_ACC_MAX + 1); i-- > 0;)
		s->acc[i] = (struct rider_acc){ (uint16_t)any(65536), (uint32_t)any(UINT32_MAX), (uint32_t)any(UINT32_MAX), any(100) };
}

struct made { struct rider_state state; struct ridden_row row; struct ridden_card card[4]; struct ridden_ride ride[12]; };

static void cards_roll(struct made *m)
{
	m->row.cards = below(5);
	for (size_t i = 0; i < m->row.cards; i++) {
		struct ridden_card *c = &m->card[i];

		*c = (struct ridden_card){ .highest = (uint16_t)(1 + below(UINT16_MAX)), .day = m->row.day - (int32_t)below(below(2) ? 2 : 4000) };
		for (size_t k = 0; k < 10; k++)
			c->pan[k] = (uint8_t)(below(10) << 4 | below(10));
		c->pan[0] = (uint8_t)i;		/* each another number */
	}
	m->row.person = m->row.cards > 0 && below(2) ? card_person(m->card[0].pan) : roll();
}

static void rides_roll(struct made *m)
{
	int64_t at = ridden_near_ms(m->row.day) - (int64_t)below(50000000);

	m->row.rides = below(13);
	for (size_t i = 0; i < m->row.rides; i++) {
		struct ridden_ride *r = &m->ride[i];

		at += (int64_t)(below(4) == 0 ? below(100000) : below(5000) * 1000);
		*r = (struct ridden_ride){ .time_ms = at, .nth = below(5) == 0 ? (uint16_t)below(65536) : 0, .flags = (uint8_t)below(4) };
		for (size_t k = 0; k < 10; k++)
			r->key[k] = (uint8_t)roll();
		be64_put(r->key + 10, (uint64_t)at);
		if (m->row.cards == 0 || below(4) == 0)
			continue;
		r->flags |= RIDDEN_COUNTS;
		r->card = (uint32_t)below(m->row.cards);
		r->counter = (uint16_t)(1 + below(UINT16_MAX));
	}
}

static void made_roll(struct made *m)
{
	memset(m, 0, sizeof(*m));
	m->row.day = DAY0 + (int32_t)below(10000) - 5000;
	m->row.before = below(3) == 0 ? DAY_NONE : m->row.day - 1 - (int32_t)below(below(2) ? 3 : 4000);
	cards_roll(m);
	rides_roll(m);
	state_roll(&m->state, ridden_near_ms(m->row.day));
	m->row.state = below(5) == 0 ? NULL : &m->state;
	m->row.card = m->card;
	m->row.ride = m->ride;
}

static void same_row(struct made *m, struct ridden *r)
{
	struct ridden_ride ride;
	struct rider_state back;
	struct ridden head;

	assert_int_equal(r->before, m->row.before);
	assert_int_equal(r->cards, m->row.cards);
	assert_true(ridden_open_head(r->person, r->day, r->val, r->bytes, &head));
	assert_true(head.before == r->before && head.cards == r->cards && head.card_at == r->card_at && head.state_at == r->state_at);
	for (uint32_t i = 0; i < r->cards; i++) {
		struct ridden_card c = ridden_card_at(r, i), found;

		assert_memory_equal(c.pan, m->card[i].pan, 10);
		assert_int_equal(c.highest, m->card[i].highest);
		assert_int_equal(c.day, m->card[i].day);
		assert_true(ridden_card_of(r, c.pan, &found) && found.highest == c.highest);
	}
	assert_int_equal(r->rides, m->row.rides);
	for (size_t i = 0; i < r->rides; i++) {
		const struct ridden_ride *was = &m->ride[i];

		assert_true(ridden_next(r, &ride));
		assert_memory_equal(ride.key, was->key, TAP_KEY_BYTES);
		assert_true(ride.time_ms == was->time_ms && ride.nth == was->nth && ride.flags == was->flags && ride.counter == was->counter &&
			    ride.card == was->card);
	}
	assert_false(ridden_next(r, &ride));
	assert_int_equal(r->state_at != 0, m->row.state != NULL);
	if (r->state_at == 0)
		return;
	assert_true(ridden_row_state(r, &back));
	assert_memory_equal(&back, &m->state, sizeof(back));
}

static void a_row_comes_back_as_it_was_and_a_cut_one_is_refused(void **state)
{
	static struct made m;
	struct ridden r;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		uint8_t *bytes, *exact;
		size_t n;

		made_roll(&m);
		bytes = malloc(ridden_bytes_max(&m.row));
		assert_non_null(bytes);
		n = ridden_encode(&m.row, bytes);
		assert_true(ridden_open(m.row.person, m.row.day, bytes, n, &r));
		same_row(&m, &r);
		for (size_t cut = 0; cut < n; cut++) {	/* in memory of that size, so that a byte beyond is seen */
			exact = malloc(cut + 1);
			assert_non_null(exact);
			memcpy(exact + 1, bytes, cut);
			assert_false(ridden_open(m.row.person, m.row.day, exact + 1, cut, &r));
			free(exact);
		}
		row_as_format_6(m.row.person, m.row.day, bytes, n);	/* as older formats have it */
		assert_true(ridden_open(m.row.person, m.row.day, bytes, n, &r));
		same_row(&m, &r);
		n = row_as_format_5(bytes, n);
		m.row.before = DAY_NONE;
		assert_true(ridden_open(m.row.person, m.row.day, bytes, n, &r));
		same_row(&m, &r);
		free(bytes);
	}
}

/* Damage is refused, or what is read of it is within its bounds. */
static void a_damaged_row_never_reads_beyond_itself(void **state)
{
	static struct made m;
	size_t refused = 0;

	(void)state;
	for (int i = 0; i < 30000; i++) {
		struct ridden_ride ride;
		uint8_t *bytes, *exact;
		struct ridden r;
		size_t n;

		made_roll(&m);
		bytes = malloc(ridden_bytes_max(&m.row));
		assert_non_null(bytes);
		n = ridden_encode(&m.row, bytes);
		exact = malloc(n);
		assert_non_null(exact);
		memcpy(exact, bytes, n);
		for (uint64_t k = 1 + below(3); k-- > 0;)
			exact[below(2) ? below(n) : below(n < 8 ? n : 8)] ^= (uint8_t)(1 + below(255));
		if (!ridden_open(m.row.person, m.row.day, exact, n, &r))
			refused++;
		else
			for (uint32_t at = r.rides; at-- > 0;) {
				assert_true(ridden_next(&r, &ride));
				assert_true((ride.flags & RIDDEN_COUNTS) == 0 || (ride.card < r.cards && ride.counter != 0));
			}
		free(bytes);
		free(exact);
	}
	assert_true(refused > 1000);
}

/* The twenty digits of a handle, one after the other. */
static void digits_plain(uint64_t person, uint8_t ret_pan[10])
{
	for (size_t i = 10; i-- > 0; person /= 100)
		ret_pan[i] = (uint8_t)(person % 100 / 10 << 4 | person % 10);
}

/* Its bytes tell whether the number is taken for its person's handle; what is not said in them is made of the handle. */
static void own_number(uint64_t person)
{
	struct ridden_card card = { .highest = 7, .day = DAY0 }, back;
	struct ridden_row row = { .person = person, .day = DAY0, .before = DAY_NONE, .card = &card, .cards = 1 };
	uint8_t bytes[512];
	struct ridden r;
	size_t n;

	digits_plain(person, card.pan);
	n = ridden_encode(&row, bytes);
	assert_int_equal(n, 7);
	assert_true(ridden_open(person, DAY0, bytes, n, &r));
	back = ridden_card_at(&r, 0);
	assert_memory_equal(back.pan, card.pan, sizeof(card.pan));
	card.pan[below(10)] ^= (uint8_t)(1u << below(8));	/* no digit, maybe: another number */
	assert_int_equal(ridden_encode(&row, bytes), 17);
}

static void a_number_that_is_its_persons_handle_is_known_by_all_its_digits(void **state)
{
	uint64_t ten = 1;

	(void)state;
	for (int i = 0; i < 20; i++, ten *= 10)		/* up to 10^19, which is above 2^63 */
		for (uint64_t times = 1; times < 10 && times <= UINT64_MAX / ten; times++)
			for (uint64_t near = 0; near < 3; near++)
				own_number(times * ten + near - 1);
	for (int i = 0; i < 64; i++)
		for (uint64_t near = 0; near < 3; near++)
			own_number((1ULL << i) + near - 1);
	own_number(UINT64_MAX);
	for (uint64_t four = 0; four < 10000; four++)
		own_number(four * 1000100010001 + four % 1845 * 10000000000000000);	/* all that four digits may be, at each place */
	for (int i = 0; i < 200000; i++)
		own_number(roll() >> below(64));
}

/* docs/store.md has these bytes. */
static void the_example_of_the_manual_is_such_a_row(void **state)
{
	static const char want[] = "03010100012CFF5FB8C9055BF33B9D9D03B401320CA3F601C801A6B80312805F59010802BE87A813040205A6B8034280000000010000ABCD"
				   "0205E081094280000000010000ABCE00";
	struct made m = { .row = { .day = DAY0, .before = DAY0 - 1, .cards = 1, .rides = 2, .state = &m.state, .card = m.card, .ride = m.ride } };
	struct rider_state s = { .last_vehicle = 0x5BF33B9D, .window_rule = 0x9D03, .window_dearest_fen = 90, .prev_line = 0x320CA3F6, .prev_flags = 1,
				 .prev_published_fen = 100, .other_vehicle = 0x12805F59, .acc = { { 0x0802, 20251103, 0, 2 } } };
	char text[1024];
	uint8_t out[512];
	size_t n;

	(void)state;
	assert_true(pan_parse("03104730150000000001", m.card[0].pan));
	m.card[0].highest = 300;
	m.card[0].day = DAY0;
	m.row.person = card_person(m.card[0].pan);
	for (size_t i = 0; i < 2; i++) {	/* 08:05:10 and 18:20:30 of the day */
		struct tap t = tap_at(1, DAY0, 0, "A", 200);

		t.time_ms += i == 0 ? (8 * 3600 + 5 * 60 + 10) * 1000LL : (18 * 3600 + 20 * 60 + 30) * 1000LL;
		t.terminal_serial = 0xABCD + (uint32_t)i;
		m.ride[i] = (struct ridden_ride){ .time_ms = t.time_ms, .flags = RIDDEN_RATED | RIDDEN_COUNTS, .counter = (uint16_t)(299 + i) };
		tap_key(&t, m.ride[i].key);
	}
	s.last_ms = s.window_ms = m.ride[1].time_ms;
	s.prev_vehicle = s.window_vehicle = s.last_vehicle;
	s.other_ms = m.ride[0].time_ms;
	m.state = s;
	n = ridden_encode(&m.row, out);
	hex_encode(out, n, text);
	assert_string_equal(text, want);
}

/* ---- counters ------------------------------------------------------------------------------------------------ */

#define CARDS 4
#define DAYS 10
#define TAPS_MAX 600

struct sent { struct tap tap; unsigned card; uint8_t generation; int32_t day; bool repeated; };
struct city { struct house h; struct sent sent[TAPS_MAX]; size_t count; int64_t replaced_ms[CARDS][DAYS]; };

static void moved(struct house *h, unsigned card, unsigned person)
{
	char csv[256];

	snprintf(csv, sizeof(csv), "pan,person,birth,issued,home,group,grade,from,to,verified_to\n031047301500000000%02u,%u,1950-01-01,,,,,,,\n", card, person);
	event_add(h, EVENT_RIDERS, "", 0, csv, strlen(csv));
}

static void replaced(struct city *c, unsigned card, int32_t day)
{
	char csv[256];

	snprintf(csv, sizeof(csv), "pan,state,at,valid_to,counter\n031047301500000000%02u,replaced,2025-11-%02uT00:00:00,,\n", card, 3 + (unsigned)(day - DAY0));
	event_add(&c->h, EVENT_CARDS, "", 0, csv, strlen(csv));
	c->replaced_ms[card - 1][day - DAY0] = (int64_t)day * 86400000 - CIVIL_OFFSET_MS;
}

static struct tap counted_tap(unsigned card, int32_t day, int minute, uint16_t counter, uint8_t tac)
{
	struct tap t = tap_at(card, day, minute, "A", 200);

	t.card_counter = counter;
	memset(t.tac, tac, sizeof(t.tac));
	return t;
}

static void city_send(struct city *c, unsigned card, int minute)
{
	int32_t late = below(6) == 0 && c->h.open > DAY0 ? 1 : 0;
	struct sent *s = &c->sent[c->count++];

	*s = (struct sent){ .card = card, .day = c->h.open };
	s->tap = counted_tap(card, c->h.open - late, minute, (uint16_t)(1 + below(9)), (uint8_t)(1 + below(3)));
	for (int i = 0; i < DAYS; i++)
		s->generation = (uint8_t)(s->generation + (c->replaced_ms[card - 1][i] != 0 && c->replaced_ms[card - 1][i] <= s->tap.time_ms));
	tap_send(&c->h, &s->tap);
}

static bool before(const struct sent *a, const struct sent *b)
{
	uint8_t ka[TAP_KEY_BYTES], kb[TAP_KEY_BYTES];

	if (a->tap.time_ms != b->tap.time_ms)
		return a->tap.time_ms < b->tap.time_ms;
	tap_key(&a->tap, ka);
	tap_key(&b->tap, kb);
	return memcmp(ka, kb, TAP_KEY_BYTES) < 0;
}

static bool same_counter(const struct sent *a, const struct sent *b)
{
	return a->card == b->card && a->generation == b->generation && a->tap.card_counter == b->tap.card_counter;
}

/* By all records there are: the first of the day yields to an earlier day's with another TAC, the others to the first. */
static bool is_repeated(const struct city *c, const struct sent *s)
{
	const struct sent *first = s;

	for (size_t i = 0; i < c->count; i++)
		if (c->sent[i].day == s->day && same_counter(&c->sent[i], s) && before(&c->sent[i], first))
			first = &c->sent[i];
	if (first != s)
		return memcmp(first->tap.tac, s->tap.tac, 4) != 0;
	for (size_t i = 0; i < c->count; i++)
		if (c->sent[i].day < s->day && !c->sent[i].repeated && same_counter(&c->sent[i], s) && memcmp(c->sent[i].tap.tac, s->tap.tac, 4) != 0)
			return true;
	return false;
}

static size_t city_verdicts(struct city *c, int32_t day)
{
	size_t repeated = 0;
	struct txn t;

	assert_int_equal(txn_begin(c->h.store, false, &t), 0);
	for (size_t i = 0; i < c->count; i++) {
		struct sent *s = &c->sent[i];
		struct cleared row;
		int32_t at;

		if (s->day != day)
			continue;
		row_of(&t, &s->tap, &row, &at);
		s->repeated = row.verdict == VERDICT_COUNTER_REPEATED;
		assert_int_equal(s->repeated, is_repeated(c, s));
		repeated += s->repeated;
	}
	txn_abort(&t);
	return repeated;
}

/* What card show says of it. */
static void city_counters(struct city *c)
{
	struct txn t;

	assert_int_equal(txn_begin(c->h.store, false, &t), 0);
	for (unsigned card = 1; card <= CARDS; card++) {
		uint16_t counter, want = 0;
		int32_t day, newest = 0;
		struct tap of;

		for (size_t i = 0; i < c->count; i++) {
			const struct sent *s = &c->sent[i];

			if (s->card != card || s->repeated || s->day < newest)
				continue;
			want = s->day > newest || s->tap.card_counter > want ? (uint16_t)s->tap.card_counter : want;
			newest = s->day;
		}
		of = tap_at(card, DAY0, 0, "A", 200);
		assert_int_equal(card_counted(&t, of.pan, &counter, &day), want != 0);
		if (want != 0)
			assert_true(counter == want && day == newest);
	}
	txn_abort(&t);
}

static void no_counter_serves_twice_whatever_person_and_plastic_the_number_had_between(void **state)
{
	static struct city c;
	size_t repeated = 0;

	(void)state;
	for (int round = 0; round < 6; round++) {
		memset(&c, 0, sizeof(c));
		house_open(&c.h);
		for (int32_t day = DAY0; day < DAY0 + DAYS; day++) {
			for (unsigned card = 1; card <= CARDS; card++) {
				if (below(4) == 0)
					moved(&c.h, card, 9001 + (unsigned)below(2));
				if (below(8) == 0)
					replaced(&c, card, day);
				for (uint64_t n = below(5); n-- > 0;)
					city_send(&c, card, 480 + (int)below(600));
			}
			day_end(&c.h);
			repeated += city_verdicts(&c, day);
		}
		if (c.count > 0)
			city_counters(&c);
		all_holds(&c.h);
		house_close(&c.h);
	}
	print_message("%zu counters repeated\n", repeated);
	assert_true(repeated > 50);
}

static void sent_and_judged(struct house *h, uint16_t counter, uint8_t tac, enum verdict want)
{
	struct tap t = counted_tap(1, h->open, 600, counter, tac);
	struct cleared row;
	int32_t day;
	struct txn txn;

	tap_send(h, &t);
	day_end(h);
	assert_int_equal(txn_begin(h->store, false, &txn), 0);
	row_of(&txn, &t, &row, &day);
	txn_abort(&txn);
	assert_int_equal(row.verdict, want);
}

static void the_highest_counter_goes_along_when_a_card_becomes_anothers_and_his_again(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	sent_and_judged(&h, 7, 1, VERDICT_ACCEPTED);		/* nobody's yet */
	moved(&h, 1, 9001);
	sent_and_judged(&h, 8, 1, VERDICT_ACCEPTED);
	sent_and_judged(&h, 7, 2, VERDICT_COUNTER_REPEATED);
	moved(&h, 1, 9002);
	sent_and_judged(&h, 20, 1, VERDICT_ACCEPTED);
	sent_and_judged(&h, 8, 2, VERDICT_COUNTER_REPEATED);
	moved(&h, 1, 9001);
	day_end(&h);
	sent_and_judged(&h, 20, 2, VERDICT_COUNTER_REPEATED);	/* his own row knows of 8 at most */
	sent_and_judged(&h, 7, 3, VERDICT_COUNTER_REPEATED);
	sent_and_judged(&h, 19, 1, VERDICT_ACCEPTED);
	all_holds(&h);
	house_close(&h);
}

static void the_highest_counter_is_carried_over_days_that_the_card_does_not_see(void **state)
{
	struct tap other = tap_at(2, DAY0 + 1, 700, "B", 300);
	struct ridden_card card;
	struct ridden row;
	struct house h;
	struct txn t;

	(void)state;
	house_open(&h);
	elders_add(&h);				/* cards 1 and 2 are one person's */
	sent_and_judged(&h, 50, 1, VERDICT_ACCEPTED);
	tap_send(&h, &other);
	day_end(&h);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	assert_true(ridden_before(&t, 9001 | 1ULL << 63, DAY0 + 1, &row));
	assert_int_equal(row.day, DAY0 + 1);
	assert_true(ridden_card_of(&row, (const uint8_t *)"\x03\x10\x47\x30\x15\0\0\0\0\1", &card));
	assert_int_equal(card.highest, 50);
	assert_int_equal(card.day, DAY0);
	assert_int_not_equal(row.state_at, 0);
	txn_abort(&t);
	sent_and_judged(&h, 50, 2, VERDICT_COUNTER_REPEATED);
	all_holds(&h);
	house_close(&h);
}

static void days_of_older_formats_are_cleared_after_and_recomputed_as_they_lie(void **state)
{
	(void)state;
	for (int format = 5; format <= 6; format++) {
		struct house h;

		house_open(&h);
		elders_add(&h);
		sent_and_judged(&h, 50, 1, VERDICT_ACCEPTED);
		sent_and_judged(&h, 51, 2, VERDICT_ACCEPTED);
		persons_as_before(&h, format);
		all_holds(&h);
		sent_and_judged(&h, 50, 3, VERDICT_COUNTER_REPEATED);	/* known by a day that lies as it did */
		sent_and_judged(&h, 52, 1, VERDICT_ACCEPTED);
		sent_and_judged(&h, 51, 4, VERDICT_COUNTER_REPEATED);
		sent_and_judged(&h, 53, 1, VERDICT_ACCEPTED);
		all_holds(&h);
		house_close(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days_of_older_formats_are_cleared_after_and_recomputed_as_they_lie),
		cmocka_unit_test(a_row_comes_back_as_it_was_and_a_cut_one_is_refused),
		cmocka_unit_test(a_damaged_row_never_reads_beyond_itself),
		cmocka_unit_test(a_number_that_is_its_persons_handle_is_known_by_all_its_digits),
		cmocka_unit_test(the_example_of_the_manual_is_such_a_row),
		cmocka_unit_test(no_counter_serves_twice_whatever_person_and_plastic_the_number_had_between),
		cmocka_unit_test(the_highest_counter_goes_along_when_a_card_becomes_anothers_and_his_again),
		cmocka_unit_test(the_highest_counter_is_carried_over_days_that_the_card_does_not_see),
	};

	return cmocka_run_group_tests(tests, seed_take, packs_free);
}
