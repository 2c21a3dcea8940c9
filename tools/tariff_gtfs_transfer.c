/*
 * tariff_gtfs_transfer - transfer rules of the GTFS export. For two networks the discount is asked of rate(): a ride
 * on the one, then a ride on the other, less what that would cost alone; it becomes a product with negative amounts
 * (A + AB + B). Carried is a scheme whose window runs from the first ride, or that gives one transfer, at a discount
 * that does not depend on hour or section; the others are listed.
 */
#include "tools/tariff_gtfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE_MS 60000LL

struct pairing {
	struct gtfs *g;
	const struct tariff_transfer *scheme;
	const struct book_family *from, *to;
	int32_t *off;
	size_t offs;
	const char *second_line;
};
struct products { int32_t *off; size_t count; };	/* discounts by category, medium and home, one row for each product */

/* fen off by the scheme for the second of two rides; 0 none. */
static int32_t off_ask(const struct pairing *p, size_t group, size_t medium, size_t guest, size_t journey, int64_t at_ms)
{
	struct ride first = { .event = RIDE_SINGLE,
			     .medium = (enum ride_medium)(medium + 1),
			     .guest = (enum guest_class)guest,
			     .time_ms = at_ms,
			     .vehicle = "A"},
		    second;
	struct rider_state fresh = { 0 }, between, after;
	struct rider rider;
	struct fare fare, alone;

	book_member(&p->g->book, p->g->t, group, day_of_ms(at_ms), &rider, &first);
	second = first;
	strcpy(second.vehicle, "B");
	second.time_ms += (p->scheme->gap_s / 60 + 5) * MINUTE_MS;
	book_journey(&first, &p->from->journey[0]);
	book_journey(&second, &p->to->journey[journey]);
	snprintf(first.line, sizeof(first.line), "%s", p->from->lines[0]);
	snprintf(second.line, sizeof(second.line), "%s", p->second_line);
	rate(p->g->t, &rider, &fresh, &first, &between, &fare, NULL);
	rate(p->g->t, &rider, &between, &second, &after, &fare, NULL);
	rate(p->g->t, &rider, &fresh, &second, &after, &alone, NULL);
	for (uint8_t i = 0; fare.transfer && fare.reject == FARE_OK && alone.reject == FARE_OK && i < fare.step_count; i++)
		if (fare.step[i].kind == FARE_STEP_TRANSFER && fare.step[i].rule == p->scheme->rule)
			return (int32_t)(alone.paid.fen - fare.paid.fen);
	return 0;
}

/* The discounts at one moment; with compare only whether they are the same. */
static bool offs_take(struct pairing *p, size_t journey, int64_t at_ms, bool compare)
{
	size_t n = 0;

	for (size_t group = 0; group < p->g->book.axes.groups; group++)
		for (size_t i = 0; i < BOOK_MEDIA * BOOK_GUESTS; i++, n++) {
			int32_t off = off_ask(p, group, i / BOOK_GUESTS, i % BOOK_GUESTS, journey, at_ms);

			if (compare && off != p->off[n])
				return false;
			p->off[n] = off;
		}
	return true;
}

/* The discount must be one, whatever hour, day and section. */
static bool offs_same(struct pairing *p)
{
	const struct book_axes *a = &p->g->book.axes;
	bool first = true;

	for (size_t j = 0; j < p->to->journeys; j++)
		for (size_t d = 0; d < a->days; d++)
			for (size_t s = 0; s < a->slots; s++) {
				if (!offs_take(p, j,
					       (int64_t)a->day[d].day * 86400000 - CIVIL_OFFSET_MS +
						       a->minute[s] * MINUTE_MS,
					       !first))
					return false;
				first = false;
			}
	return true;
}

static bool offs_any(const struct pairing *p)
{
	for (size_t i = 0; i < p->offs; i++)
		if (p->off[i] != 0)
			return true;
	return false;
}

static int product_of(struct pairing *p, struct products *list, char ret_id[32])
{
	struct tariff_rule rule = { .title = "" };
	char medium[24], amount[24];
	int32_t *wide;

	for (size_t i = 0; i < list->count; i++)
		if (memcmp(list->off + i * p->offs, p->off, p->offs * sizeof(*p->off)) == 0) {
			snprintf(ret_id, 32, "transfer%zu", i + 1);
			return 0;
		}
	wide = realloc(list->off, (list->count + 1) * p->offs * sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	list->off = wide;
	memcpy(list->off + list->count++ * p->offs, p->off, p->offs * sizeof(*p->off));
	snprintf(ret_id, 32, "transfer%zu", list->count);
	tariff_rule(p->g->t, p->scheme->rule, &rule);
	for (size_t i = 0; i < p->offs; i++) {
		size_t m = i / BOOK_GUESTS % BOOK_MEDIA, k = i % BOOK_GUESTS;

		if (p->g->apart[m][k])
			gtfs_row(p->g, GTFS_PRODUCTS, 6, ret_id, rule.title,
				 gtfs_category(p->g, i / (BOOK_GUESTS * BOOK_MEDIA)), gtfs_medium(m, k, medium),
				 yuan_text(-p->off[i], amount), "CNY");
	}
	return 0;
}

static int pair_write(struct pairing *p, struct products *list, const char *from, const char *to)
{
	char product[32], count[16] = "", seconds[16] = "", reason[256];
	struct tariff_rule rule = { .id = "transfer" };
	bool at_end = p->scheme->from_ride_end &&
		      strcmp(p->from->line.mode, "bus") != 0; /* one tap on a bus: its end is its tap */
	int ret;

	/* from a line to another one: the next of the network where it is the same network */
	p->second_line = p->from == p->to && p->to->line_count > 1 ? p->to->lines[1] : p->to->lines[0];
	tariff_rule(p->g->t, p->scheme->rule, &rule);
	if (!offs_same(p)) {
		snprintf(reason, sizeof(reason), "%s 换 %s: 优惠随时段或分段不同", from, to);
		gtfs_not_carried(p->g, rule.id, reason);
		return 0;
	}
	if (!offs_any(p))
		return 0;
	ret = product_of(p, list, product);
	if (ret != 0)
		return ret;
	if (p->from == p->to)
		snprintf(count, sizeof(count), "%d", p->scheme->uses != 0 ? p->scheme->uses : -1);
	if (!p->scheme->endless)
		snprintf(seconds, sizeof(seconds), "%u", p->scheme->window_s);
	gtfs_row(p->g, GTFS_TRANSFER_RULES, 7, from, to, count, seconds,
		 p->scheme->endless ? ""
		 : at_end	    ? "2"
				    : "1",
		 "1", product);
	return 0;
}

/* NULL: it can be carried. */
static const char *scheme_unfit(const struct tariff_transfer *x)
{
	if (!x->of_first && x->uses != 1)
		return "换乘: 时限从前一程起算, GTFS 从首程起算";
	if (!x->amounts)
		return "换乘: 补足到最贵一程, 金额随前程变化";
	if (x->by_hour)
		return "换乘: 时限随时段变化";
	if (x->by_price)
		return "换乘: 时限随前后方式变化";
	return NULL;
}

static int scheme_write(struct gtfs *g, const struct tariff_transfer *x, struct products *list)
{
	struct pairing p = { .g = g, .scheme = x, .offs = g->book.axes.groups * BOOK_MEDIA * BOOK_GUESTS };
	struct tariff_rule rule = { .id = "transfer" };
	int ret = 0;

	p.off = calloc(p.offs, sizeof(*p.off));
	if (p.off == NULL)
		return -ENOMEM;
	tariff_rule(g->t, x->rule, &rule);
	for (size_t i = 0; ret == 0 && i < g->book.count; i++)
		for (size_t k = 0; ret == 0 && k < g->book.count; k++) {
			p.from = &g->book.family[i];
			p.to = &g->book.family[k];
			if (g->network[i].unfit == NULL && g->network[k].unfit == NULL)
				ret = pair_write(&p, list, g->network[i].id, g->network[k].id);
		}
	if (!x->same_line)
		gtfs_not_carried(g, rule.id, "部分: 同一线路不算换乘, GTFS 的线网内换乘不区分线路");
	if (x->uses > 0 && g->book.count > 1)
		gtfs_not_carried(g, rule.id, "部分: 换乘次数只在同一线网内限制, GTFS 不限不同线网之间");
	if (x->gap_s > 0)
		gtfs_not_carried(g, rule.id, "部分: GTFS 没有最短间隔");
	free(p.off);
	return ret;
}

int gtfs_transfers_write(struct gtfs *g)
{
	struct products list = { 0 };
	struct tariff_transfer x;
	int ret = 0;

	for (size_t i = 0; ret == 0 && tariff_transfer_at(g->t, i, &x); i++) {
		const char *unfit = scheme_unfit(&x);
		struct tariff_rule rule = { .id = "transfer" };

		tariff_rule(g->t, x.rule, &rule);
		if (unfit != NULL)
			gtfs_not_carried(g, rule.id, unfit);
		else
			ret = scheme_write(g, &x, &list);
	}
	free(list.off);
	return ret;
}
