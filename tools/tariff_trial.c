/*
 * tariff_trial - past rides under two packs at once: each person's rides in order, from the state before them, rated
 * by the same rate() that clears; what differs is summed by rule, group, treasury and operator. Nothing is allocated
 * for a ride while rating.
 *
 * Names join the two sides: rule ids, group names, treasuries and operators' codes mean the same in both packs.
 */
#include "tools/tariff_trial.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS 86400000LL
#define PACKS_SEEN_MAX 66
#define LINE_NONE UINT32_MAX

int trial_add(struct trial *t, const struct trial_tap *tap)
{
	if (t->count == t->space) {
		size_t space = t->space ? t->space * 2 : 4096;
		struct trial_tap *wide = realloc(t->tap, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		t->tap = wide;
		t->space = space;
	}
	t->tap[t->count++] = *tap;
	return 0;
}

void trial_free(struct trial *t)
{
	if (t == NULL)
		return;
	for (int k = 0; k < TRIAL_KIND_COUNT; k++)
		free(t->table[k].line);
	texts_free(&t->texts);
	refdata_free(t->ref);
	if (t->from_store)
		txn_abort(&t->txn);
	free(t->rider);
	free(t->rider_slot);
	free(t->tap);
	free(t);
}

/* ---- order ---------------------------------------------------------------------------------------------------- */

static int tap_compare(const void *pa, const void *pb)
{
	const struct trial_tap *a = pa, *b = pb;

	if (a->person != b->person)
		return a->person < b->person ? -1 : 1;
	if (a->time_ms != b->time_ms)
		return a->time_ms < b->time_ms ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* Whole weeks, so that weekdays stay what they were. */
void trial_shift(struct trial *t, int32_t day)
{
	int64_t first = INT64_MAX;
	int32_t days;

	for (size_t i = 0; i < t->count; i++)
		if (t->tap[i].time_ms < first)
			first = t->tap[i].time_ms;
	if (t->count == 0)
		return;
	days = day - day_of_ms(first);
	t->shift_ms = (days > 0 ? (days + 6) / 7 : -(-days / 7)) * 7 * DAY_MS;
}

/* ---- what a pack calls things: numbers of the pack to lines of the tables ----------------------------------------- */

struct names { const struct tariff *t; uint32_t *rule, *treasury; uint32_t *group; uint32_t *op; };
struct run { struct trial *trial; const struct tariff *live, *draft; struct names seen[PACKS_SEEN_MAX]; size_t seen_count; };

static uint32_t line_of(struct trial_table *t, const char *name, const char *title)
{
	struct trial_line *wide;

	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->line[i].name, name) == 0)
			return (uint32_t)i;
	wide = realloc(t->line, (t->count + 1) * sizeof(*wide));
	if (wide == NULL)
		return LINE_NONE;
	t->line = wide;
	t->line[t->count] = (struct trial_line){ .name = name, .title = title };
	return (uint32_t)t->count++;
}

static void names_done(struct names *n)
{
	free(n->rule);
	free(n->treasury);
	free(n->group);
	free(n->op);
}

static bool names_make(struct trial *x, const struct tariff *t, struct names *ret)
{
	size_t rules = tariff_rule_count(t), treasuries = tariff_treasury_count(t), groups = tariff_group_count(t),
	       ops = tariff_operator_count(t);
	struct names n = { .t = t,
			  .rule = malloc((rules + 1) * sizeof(uint32_t)),
			  .treasury = malloc((treasuries + 1) * sizeof(uint32_t)),
			  .group = malloc((groups + 1) * sizeof(uint32_t)),
			  .op = malloc((ops + 1) * sizeof(uint32_t)) };
	struct tariff_rule r;
	struct tariff_treasury tr;
	struct tariff_operator op;

	if (n.rule == NULL || n.treasury == NULL || n.group == NULL || n.op == NULL) {
		names_done(&n);
		return false;
	}
	for (size_t i = 0; i < rules; i++)
		n.rule[i] = tariff_rule(t, (uint16_t)i, &r) ? line_of(&x->table[TRIAL_RULE], r.id, r.title) : LINE_NONE;
	for (size_t i = 0; i <= treasuries; i++)
		n.treasury[i] = tariff_treasury(t, (uint16_t)i, &tr) ? line_of(&x->table[TRIAL_TREASURY], tr.name, tr.title)
								     : LINE_NONE;
	for (size_t i = 0; i < groups; i++) {
		struct tariff_group g = { 0 };

		n.group[i] = tariff_group_at(t, i, 0, &g) ? line_of(&x->table[TRIAL_GROUP], g.name, g.title) : LINE_NONE;
	}
	n.group[groups] = line_of(&x->table[TRIAL_GROUP], "", "无优待");
	for (size_t i = 0; i < ops; i++)
		n.op[i] = tariff_operator_at(t, i, &op) ? line_of(&x->table[TRIAL_OPERATOR], op.code, op.title) : LINE_NONE;
	n.op[ops] = line_of(&x->table[TRIAL_OPERATOR], "", "(未列企业)");
	*ret = n;
	return true;
}

static struct names *names_of(struct run *r, const struct tariff *t)
{
	for (size_t i = 0; i < r->seen_count; i++)
		if (r->seen[i].t == t)
			return &r->seen[i];
	if (r->seen_count == PACKS_SEEN_MAX || !names_make(r->trial, t, &r->seen[r->seen_count]))
		return NULL;
	return &r->seen[r->seen_count++];
}

static size_t group_at(const struct tariff *t, uint16_t code)
{
	struct tariff_group g;
	size_t i = 0;

	if (code == 0)
		return tariff_group_count(t);
	while (tariff_group_at(t, i, 0, &g) && g.code != code)
		i++;
	return i;
}

static size_t operator_at(const struct tariff *t, uint32_t id)
{
	struct tariff_operator op;
	size_t i = 0;

	while (tariff_operator_at(t, i, &op) && op.id != id)
		i++;
	return i;
}

/* ---- one ride on one side -------------------------------------------------------------------------------------------- */

struct side { const struct tariff *t; struct names *names; struct rider rider; uint8_t pan[10]; struct rider_state state; struct fare fare; };

static uint32_t operator_id(const struct tariff *t, const char *code)
{
	struct tariff_operator op;

	for (size_t i = 0; code[0] != '\0' && tariff_operator_at(t, i, &op); i++)
		if (strcmp(op.code, code) == 0)
			return op.id;
	return 0;
}

static void ride_make(const struct trial *x, const struct trial_tap *tap, const struct tariff *t, struct ride *ret)
{
	struct ride r = {
		.time_ms = tap->time_ms + x->shift_ms,
		.in_ms = tap->in_ms != 0 ? tap->in_ms + x->shift_ms : 0,
		.out_ms = tap->out_ms != 0 ? tap->out_ms + x->shift_ms : 0,
		.card = tap->card,
		.event = (enum ride_event)tap->event,
		.medium = (enum ride_medium)tap->medium,
		.issuer = tap->issuer,
		.card_class = tap->class,
		.card_subtype = tap->subtype,
		.operator_id = tap->operator_id,
		.stop_on = tap->stop_on,
		.stop_off = tap->stop_off,
		.list = money_of_fen(tap->list_fen),
		.distance_m = tap->distance_m,
		.far_m = tap->far_m,
		.stops = tap->stops,
		.zones = tap->zones,
		.inside = tap->inside != 0,
		.known_ms =
			tap->known_day != DAY_NONE ? (int64_t)tap->known_day * DAY_MS - CIVIL_OFFSET_MS + x->shift_ms : 0,
	};

	if (tap->operator != 0)
		r.operator_id = operator_id(t, texts_get(&x->texts, tap->operator));
	r.guest = tap->has_issuer ? tariff_guest_of(t, tap->issuer) : GUEST_LOCAL;
	memccpy(r.line, texts_get(&x->texts, tap->line), '\0', sizeof(r.line) - 1);
	memccpy(r.vehicle, texts_get(&x->texts, tap->vehicle), '\0', sizeof(r.vehicle) - 1);
	memccpy(r.product, texts_get(&x->texts, tap->product), '\0', sizeof(r.product) - 1);
	*ret = r;
}

/* The rider in the words of the side's pack. */
static void rider_make(const struct trial *x, const struct trial_tap *tap, struct side *s)
{
	s->rider = x->rider[tap->rider];
	for (uint8_t i = 0; !x->from_store && i < s->rider.hold_count; i++)
		s->rider.hold[i].group = tariff_group_code(s->t, texts_get(&x->texts, s->rider.hold[i].group));
	if (!x->from_store && s->rider.grant_count > 0)
		s->rider.grant[0].quota = tariff_quota_code(s->t, NULL);
}

static void sum_add(struct trial_sum *s, const struct fare *f, int64_t subsidy)
{
	s->rides++;
	s->off += f->published.fen - f->paid.fen;
	s->paid += f->paid.fen;
	s->subsidy += subsidy;
	s->absorbed += f->absorbed.fen;
}

static struct trial_sum *sum_of(struct trial *x, enum trial_kind kind, uint32_t line, int side)
{
	return line != LINE_NONE ? &x->table[kind].line[line].side[side] : NULL;
}

static void fare_count(struct trial *x, const struct side *s, const struct ride *ride, int side)
{
	const struct fare *f = &s->fare;
	struct tariff_line line;
	int64_t subsidy = 0;
	struct trial_sum *sum;

	if (f->reject != FARE_OK) {
		x->refused[side]++;
		return;
	}
	for (uint8_t i = 0; i < f->funder_count; i++) {
		subsidy += f->funder[i].amount.fen;
		sum = sum_of(x, TRIAL_TREASURY, s->names->treasury[f->funder[i].treasury], side);
		if (sum != NULL) {
			sum->rides++;
			sum->subsidy += f->funder[i].amount.fen;
		}
	}
	sum_add(&x->all[side], f, subsidy);
	for (uint8_t i = 0; i < f->step_count; i++) {
		sum = sum_of(x, TRIAL_RULE, s->names->rule[f->step[i].rule], side);
		if (sum != NULL) {
			sum->rides++;
			sum->off -= f->step[i].delta_fen;
		}
	}
	sum = sum_of(x, TRIAL_GROUP, s->names->group[group_at(s->t, f->group)], side);
	if (sum != NULL)
		sum_add(sum, f, subsidy);
	if (ride->operator_id == 0 && !tariff_line_find(s->t, ride->line, ride->time_ms, &line))
		line.operator_id = 0;
	sum = sum_of(x, TRIAL_OPERATOR,
		     s->names->op[operator_at(s->t, ride->operator_id != 0 ? ride->operator_id : line.operator_id)], side);
	if (sum != NULL)
		sum_add(sum, f, subsidy);
}

static bool fares_same(const struct side *a, const struct side *b)
{
	if (a->fare.reject != b->fare.reject || a->fare.paid.fen != b->fare.paid.fen ||
	    a->fare.absorbed.fen != b->fare.absorbed.fen || a->fare.funder_count != b->fare.funder_count)
		return false;
	for (uint8_t i = 0; i < a->fare.funder_count; i++)
		if (a->names->treasury[a->fare.funder[i].treasury] != b->names->treasury[b->fare.funder[i].treasury] ||
		    a->fare.funder[i].amount.fen != b->fare.funder[i].amount.fen)
			return false;
	return true;
}

static int64_t paid_of(const struct fare *f) { return f->reject == FARE_OK ? f->paid.fen : 0; }

/* ---- the list of differences ---------------------------------------------------------------------------------------- */

void trial_list(struct trial *x, FILE *list)
{
	x->list = list;
	fputs("time,card,line,old_fen,new_fen,old_subsidy_fen,new_subsidy_fen,old_rule,new_rule\n", list);
}

/* The last rule that had a say, or why there is no fare. */
static const char *rule_said(const struct side *s)
{
	struct tariff_rule rule = { .id = "published" };

	if (s->fare.reject != FARE_OK)
		return fare_reject_name(s->fare.reject);
	for (uint8_t i = 0; i < s->fare.step_count; i++)
		tariff_rule(s->t, s->fare.step[i].rule, &rule);
	return rule.id;
}

static int64_t subsidy_of(const struct fare *f)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < f->funder_count; i++)
		sum += f->funder[i].amount.fen;
	return sum;
}

/* Card numbers of a store are masked. */
static void difference_list(const struct trial *x, const struct trial_tap *tap, const struct side side[2])
{
	char time[32], pan[24];

	time_format(tap->time_ms + x->shift_ms, time);
	if (x->from_store)
		pan_masked(tap->pan, pan);
	csv_print(x->list, time, false);
	csv_print(x->list, x->from_store ? pan : texts_get(&x->texts, (uint32_t)tap->person), false);
	csv_print(x->list, texts_get(&x->texts, tap->line), false);
	fprintf(x->list, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",", paid_of(&side[0].fare), paid_of(&side[1].fare),
		subsidy_of(&side[0].fare), subsidy_of(&side[1].fare));
	csv_print(x->list, rule_said(&side[0]), false);
	csv_print(x->list, rule_said(&side[1]), true);
}

/* ---- the run ------------------------------------------------------------------------------------------------------------ */

struct person { bool touched; int64_t change_fen; };

static void person_end(struct trial *x, const struct person *p)
{
	x->riders++;
	x->riders_touched += p->touched;
	x->riders_more += p->change_fen > 0;
	x->riders_less += p->change_fen < 0;
	x->fen_more += p->change_fen > 0 ? p->change_fen : 0;
	x->fen_less += p->change_fen < 0 ? -p->change_fen : 0;
}

/* What a person brings from before the first ride. */
static void person_start(struct trial *x, struct trial_tap *tap, struct side side[2])
{
	struct rider_state state = { 0 };
	struct rider rider = { 0 };

	if (x->from_store) {
		uint64_t person = rider_find(&x->txn, tap->pan, x->cut_seq, &rider);

		if (ridden_state(&x->txn, person, x->first_day - 1, &state) != 0)
			state = (struct rider_state){ 0 };
	}
	for (int i = 0; i < 2; i++) {
		side[i].state = state;
		side[i].rider = rider;
		memcpy(side[i].pan, tap->pan, sizeof(side[i].pan));
	}
}

/* By the card: of a person's cards one may be an escort's. */
static void rider_of_card(struct trial *x, const struct trial_tap *tap, struct side *s)
{
	if (memcmp(s->pan, tap->pan, sizeof(s->pan)) != 0)
		rider_find(&x->txn, tap->pan, x->cut_seq, &s->rider);
	memcpy(s->pan, tap->pan, sizeof(s->pan));
}

static int tap_rate(struct run *r, const struct trial_tap *tap, struct side side[2], struct person *p)
{
	struct trial *x = r->trial;

	side[0].t = r->live != NULL ? r->live : refdata_tariff(x->ref, tap->time_ms + x->shift_ms);
	side[1].t = r->draft;
	x->early += tap->time_ms + x->shift_ms < tariff_valid_from_ms(r->draft);
	for (int i = 0; i < 2; i++) {
		struct ride ride;

		side[i].fare = (struct fare){ .reject = FARE_NOT_IN_FORCE };
		if (side[i].t == NULL) {
			x->refused[i]++;
			continue;
		}
		side[i].names = names_of(r, side[i].t);
		if (side[i].names == NULL)
			return -ENOMEM;
		ride_make(x, tap, side[i].t, &ride);
		if (!x->from_store)
			rider_make(x, tap, &side[i]);
		else
			rider_of_card(x, tap, &side[i]);
		rate(side[i].t, &side[i].rider, &side[i].state, &ride, &side[i].state, &side[i].fare, NULL);
		fare_count(x, &side[i], &ride, i);
	}
	x->unlike += r->live == NULL && x->shift_ms == 0 && tap->stored_fen >= 0 && paid_of(&side[0].fare) != tap->stored_fen;
	p->change_fen += paid_of(&side[1].fare) - paid_of(&side[0].fare);
	if (!fares_same(&side[0], &side[1])) {
		x->rides_touched++;
		p->touched = true;
		if (x->list != NULL)
			difference_list(x, tap, side);
	}
	return 0;
}

int trial_run(struct trial *x, const struct tariff *live, const struct tariff *draft)
{
	struct run *r = calloc(1, sizeof(*r));
	struct side side[2] = { 0 };
	struct person p = { 0 };
	int ret = r == NULL ? -ENOMEM : 0;

	if (ret == 0)
		*r = (struct run){ .trial = x, .live = live, .draft = draft };
	if (x->count > 1)
		qsort(x->tap, x->count, sizeof(x->tap[0]), tap_compare);
	progress_stage(&x->progress, 2, 2, "计价", "笔", 1, x->count);
	for (size_t i = 0; ret == 0 && i < x->count; i++) {
		if (i == 0 || x->tap[i].person != x->tap[i - 1].person) {
			p = (struct person){ 0 };
			person_start(x, &x->tap[i], side);
		}
		ret = tap_rate(r, &x->tap[i], side, &p);
		if (i + 1 == x->count || x->tap[i + 1].person != x->tap[i].person)
			person_end(x, &p);
		if ((i & 0x3FFF) == 0)
			progress_at(&x->progress, i);
	}
	if (ret == 0)
		progress_at(&x->progress, x->count);
	progress_end(&x->progress);
	for (size_t i = 0; r != NULL && i < r->seen_count; i++)
		names_done(&r->seen[i]);
	free(r);
	return ret;
}
