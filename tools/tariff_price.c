/*
 * tariff_price - the prices of a price book: every first ride that a pack tells apart, asked of rate() and of
 * nothing else, so the book cannot disagree with what is charged. Lines of a class with the same prices are one
 * family; cells of a family that cost the same are joined into rows.
 */
#include "tools/tariff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const book_media_names[BOOK_MEDIA] = { "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" };
const char *const book_guest_names[BOOK_GUESTS] = { "local", "region", "other" };

/* ---- axes -------------------------------------------------------------------------------------------- */

static size_t group_of(const struct book_axes *a, const char *name)
{
	size_t i = 0;

	while (i < a->groups && strcmp(a->group[i].name, name) != 0)
		i++;
	return i;
}

/* The adders answer false when there was no room for all. */
static bool groups_add(struct book_axes *a, const struct tariff *t, int32_t day)
{
	struct tariff_group g;

	for (size_t i = 0; tariff_group_at(t, i, day, &g); i++) {
		if (group_of(a, g.name) < a->groups)
			continue;
		if (a->groups > BOOK_GROUPS_MAX)
			return false;
		a->group[a->groups].name = g.name;
		a->group[a->groups++].title = g.title;
	}
	return true;
}

/* What both packs call a day: each kind of the one may meet each kind of the other. */
static void day_join(const struct book *b, int32_t first, int32_t day, struct tariff_day *ret)
{
	struct tariff_day other;

	tariff_day_of(b->pack[0], first, day, ret);
	if (b->pack[1] == NULL)
		return;
	tariff_day_of(b->pack[1], first, day, &other);
	if (strcmp(ret->text, "每天") == 0)
		*ret = other;
	else if (strcmp(other.text, "每天") != 0 && strcmp(other.text, ret->text) != 0)
		snprintf(ret->text + strlen(ret->text), sizeof(ret->text) - strlen(ret->text), " / %.40s", other.text);
}

/* The kinds of days of a year from a day on. */
static bool year_add(struct book *b, int32_t first, int32_t from)
{
	struct book_axes *a = &b->axes;

	for (int32_t day = from; day < from + 366; day++) {
		struct tariff_day d;
		size_t k = 0;

		day_join(b, first, day, &d);
		while (k < a->days && strcmp(a->day[k].text, d.text) != 0)
			k++;
		if (k < a->days)
			continue;
		if (a->days == BOOK_DAYS_MAX)
			return false;
		a->day[a->days++] = d;
	}
	return true;
}

/* A year from the first day, and from each day beyond it on which one of the packs begins a kind of its own. */
static bool days_add(struct book *b, int32_t first)
{
	bool all = year_add(b, first, first);

	for (int p = 0; p < 2 && b->pack[p] != NULL; p++) {
		struct tariff_day day[BOOK_DAYS_MAX];
		size_t n = tariff_days(b->pack[p], first, day, BOOK_DAYS_MAX);

		all &= n < BOOK_DAYS_MAX;
		for (size_t i = 0; i < n; i++)
			if (day[i].day >= first + 366)
				all &= year_add(b, first, day[i].day);
	}
	return all;
}

static int minute_compare(const void *pa, const void *pb) { return *(const uint16_t *)pa - *(const uint16_t *)pb; }

static bool slots_add(struct book_axes *a, const struct tariff *t)
{
	uint16_t minute[BOOK_SLOTS_MAX];
	size_t n = tariff_minutes(t, minute, BOOK_SLOTS_MAX);

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < a->slots && a->minute[k] != minute[i])
			k++;
		if (k == a->slots && k < BOOK_SLOTS_MAX)
			a->minute[a->slots++] = minute[i];
	}
	qsort(a->minute, a->slots, sizeof(a->minute[0]), minute_compare);
	a->minute[a->slots] = 1440;
	return n < BOOK_SLOTS_MAX && a->slots < BOOK_SLOTS_MAX;
}

static void axes_make(struct book *b, int32_t day)
{
	b->axes.group[0].name = "";
	b->axes.group[0].title = "普通乘客";
	b->axes.groups = 1;
	b->cut |= !days_add(b, day);
	for (int p = 0; p < 2 && b->pack[p] != NULL; p++) {
		b->cut |= !groups_add(&b->axes, b->pack[p], day);
		b->cut |= !slots_add(&b->axes, b->pack[p]);
	}
}

/* ---- cells ---------------------------------------------------------------------------------------------- */

struct asking { const struct tariff *t; struct rider rider; struct ride ride; bool known; };

bool book_member(const struct book *b, const struct tariff *t, size_t group, int32_t day, struct rider *ret_rider,
		 struct ride *ret_ride)
{
	struct tariff_group g = { .member = { .birth = DAY_NONE }, .card_class = 1, .product = "" };
	bool known = group == 0;

	for (size_t i = 0; !known && tariff_group_at(t, i, day, &g); i++)
		known = strcmp(g.name, b->axes.group[group].name) == 0;
	*ret_rider = g.member;
	ret_rider->issued = day - 1;
	ret_rider->grant_count = tariff_granted_quotas(t, 1000, ret_rider->grant);
	ret_ride->card_class = g.card_class;
	snprintf(ret_ride->product, sizeof(ret_ride->product), "%.15s", g.product);
	snprintf(ret_ride->vehicle, sizeof(ret_ride->vehicle), "%s", g.member.escort ? "1" : "");
	return known;
}

static struct book_price price_ask(const struct asking *q)
{
	struct book_price p = { .state = BOOK_PRICED };
	struct rider_state before = { 0 }, after;
	struct fare fare;

	if (q->rider.escort)
		tariff_beside(&q->ride, &before);
	rate(q->t, &q->rider, &before, &q->ride, &after, &fare, NULL);
	if (fare.reject != FARE_OK)
		return (struct book_price){ .state = fare.reject == FARE_LINE_UNKNOWN ? BOOK_ABSENT : BOOK_REFUSED,
					   .reject = (uint8_t)fare.reject };
	p.rule = fare.rule;
	for (uint8_t i = 0; p.rule == 0 && i < fare.step_count; i++)		/* a ladder, say */
		if (fare.step[i].delta_fen != 0)
			p.rule = fare.step[i].rule;
	p.published = (int32_t)fare.published.fen;
	p.paid = (int32_t)fare.paid.fen;
	for (uint8_t i = 0; i < fare.funder_count; i++)
		p.subsidy += (int32_t)fare.funder[i].amount.fen;
	return p;
}

void book_journey(struct ride *r, const struct tariff_journey *j)
{
	r->stop_on = j->stop_on;
	r->stop_off = j->stop_off;
	r->stops = j->stops;
	r->zones = j->zones;
	r->distance_m = j->distance_m;
	r->list = money_of_fen(j->list_fen);
}

size_t book_cell(const struct book *b, size_t journey, size_t group, size_t day, size_t slot, size_t medium, size_t guest)
{
	const struct book_axes *a = &b->axes;

	return ((((journey * a->groups + group) * a->days + day) * a->slots + slot) * BOOK_MEDIA + medium) * BOOK_GUESTS + guest;
}

/* Cells of one pack for one line, in the order journey, group, day, slot, medium, guest. */
static void cells_fill(const struct book *b, const struct tariff *t, const char *line, const struct book_family *f,
		       struct book_price *out)
{
	const struct book_axes *a = &b->axes;
	struct asking q = { .t = t, .ride = { .event = RIDE_SINGLE } };

	snprintf(q.ride.line, sizeof(q.ride.line), "%s", line);
	for (size_t j = 0; j < f->journeys; j++) {
		book_journey(&q.ride, &f->journey[j]);
		for (size_t g = 0; g < a->groups; g++)
			for (size_t d = 0; d < a->days; d++) {
				q.known =
					book_member(b, t, g, a->day[d].day, &q.rider, &q.ride); /* else the cell is absent */
				for (size_t i = 0; i < a->slots * BOOK_MEDIA * BOOK_GUESTS; i++) {
					q.ride.guest = (enum guest_class)(i % BOOK_GUESTS);
					q.ride.medium = (enum ride_medium)(1 + i / BOOK_GUESTS % BOOK_MEDIA);
					q.ride.time_ms = (int64_t)a->day[d].day * 86400000 - CIVIL_OFFSET_MS +
							 a->minute[i / (BOOK_GUESTS * BOOK_MEDIA)] * 60000LL;
					*out++ = q.known ? price_ask(&q) : (struct book_price){ .state = BOOK_ABSENT };
				}
			}
	}
}

/* ---- families ----------------------------------------------------------------------------------------------- */

static void family_done(struct book_family *f)
{
	free(f->lines);
	free(f->price[0]);
	free(f->price[1]);
}

void book_free(struct book *b)
{
	for (size_t i = 0; i < b->count; i++)
		family_done(&b->family[i]);
	free(b->family);
	*b = (struct book){ 0 };
}

void book_warn(const struct book *b)
{
	if (b->cut)
		complain(
			"注意: 人群、日期、时段或票价种类超出上限, 未全部列出 more groups, days, hours or fares than a book holds (%d, %d, %d, %d): not all are listed",
			BOOK_GROUPS_MAX, BOOK_DAYS_MAX - 1, BOOK_SLOTS_MAX - 1, BOOK_JOURNEYS_MAX - 1);
}

static const char *class_title(const struct tariff *t, const char *name)
{
	struct tariff_class c;

	for (size_t i = 0; tariff_class_at(t, i, &c); i++)
		if (strcmp(c.name, name) == 0)
			return c.title;
	return name;
}

static void journeys_join(struct book_family *f, const struct tariff *t, const char *line, int64_t at_ms)
{
	struct tariff_journey j[BOOK_JOURNEYS_MAX];
	size_t n = tariff_journeys(t, line, at_ms, j, BOOK_JOURNEYS_MAX);

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < f->journeys && strcmp(f->journey[k].text, j[i].text) != 0)
			k++;
		if (k == f->journeys && k < BOOK_JOURNEYS_MAX)
			f->journey[f->journeys++] = j[i];
	}
}

static int family_make(struct book *b, const struct tariff_line *line, const struct tariff *of, struct book_family *ret)
{
	struct book_family f = { .line = *line, .class_title = class_title(of, line->class_name) };

	for (int p = 0; p < 2 && b->pack[p] != NULL; p++)
		for (size_t d = 0; d < b->axes.days; d++)
			journeys_join(&f, b->pack[p], line->line, (int64_t)b->axes.day[d].day * 86400000 - CIVIL_OFFSET_MS);
	f.cells = f.journeys * b->axes.groups * b->axes.days * b->axes.slots * BOOK_MEDIA * BOOK_GUESTS;
	b->cut |= f.journeys == BOOK_JOURNEYS_MAX;
	if (f.cells > BOOK_CELLS_MAX)
		return -E2BIG;
	for (int p = 0; p < 2 && b->pack[p] != NULL; p++) {
		f.price[p] = calloc(f.cells + 1, sizeof(struct book_price));
		if (f.price[p] == NULL) {
			family_done(&f);
			return -ENOMEM;
		}
		cells_fill(b, b->pack[p], line->line, &f, f.price[p]);
	}
	*ret = f;
	return 0;
}

static bool family_same(const struct book *b, const struct book_family *x, const struct book_family *y)
{
	if (x->cells != y->cells || x->journeys != y->journeys || strcmp(x->line.class_name, y->line.class_name) != 0)
		return false;
	for (size_t i = 0; i < x->journeys; i++)
		if (strcmp(x->journey[i].text, y->journey[i].text) != 0)
			return false;
	for (int p = 0; p < 2 && b->pack[p] != NULL; p++)
		if (memcmp(x->price[p], y->price[p], x->cells * sizeof(struct book_price)) != 0)
			return false;
	return true;
}

static int line_add(struct book_family *f, const char *line)
{
	const char **wide = realloc(f->lines, (f->line_count + 1) * sizeof(*wide));

	if (wide == NULL)
		return -ENOMEM;
	f->lines = wide;
	f->lines[f->line_count++] = line;
	return 0;
}

static int family_add(struct book *b, const struct tariff_line *line, const struct tariff *of)
{
	struct book_family f = { 0 }, *wide;
	int ret = family_make(b, line, of, &f);

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < b->count; i++)
		if (family_same(b, &b->family[i], &f)) {
			family_done(&f);
			return line_add(&b->family[i], line->line);
		}
	wide = realloc(b->family, (b->count + 1) * sizeof(*wide));
	if (wide == NULL) {
		family_done(&f);
		return -ENOMEM;
	}
	b->family = wide;
	b->family[b->count++] = f;
	return line_add(&b->family[b->count - 1], line->line);
}

static bool line_seen(const struct book *b, const char *name)
{
	for (size_t i = 0; i < b->count; i++)
		for (size_t k = 0; k < b->family[i].line_count; k++)
			if (strcmp(b->family[i].lines[k], name) == 0)
				return true;
	return false;
}

static int lines_add(struct book *b, const struct tariff *t, int64_t at_ms)
{
	struct tariff_line line;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < tariff_line_count(t); i++)
		if (tariff_line_at(t, i, at_ms, &line) && !line_seen(b, line.line))
			ret = family_add(b, &line, t);
	return ret;
}

static int title_compare(const void *pa, const void *pb)
{
	const struct book_family *a = pa, *b = pb;
	int order = strcmp(a->line.class_name, b->line.class_name);

	return order != 0 ? order : strcmp(a->lines[0], b->lines[0]);
}

int book_make(const struct tariff *a, const struct tariff *b, int32_t day, struct book *ret)
{
	struct book book = { .pack = { a, b } };
	int ret_code = 0;

	axes_make(&book, day);
	for (size_t d = 0; ret_code == 0 && d < book.axes.days; d++)
		for (int p = 0; ret_code == 0 && p < 2 && book.pack[p] != NULL; p++)
			ret_code = lines_add(&book, book.pack[p], (int64_t)book.axes.day[d].day * 86400000 - CIVIL_OFFSET_MS);
	if (ret_code != 0) {
		book_free(&book);
		return ret_code;
	}
	if (book.count > 1)
		qsort(book.family, book.count, sizeof(book.family[0]), title_compare);
	*ret = book;
	return 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

const char *book_rule_id(const struct tariff *t, const struct book_price *p)
{
	struct tariff_rule r;

	if (p->state == BOOK_REFUSED)
		return fare_reject_name((enum fare_reject)p->reject);
	return p->state == BOOK_ABSENT ? "absent" : tariff_rule(t, p->rule, &r) ? r.id : "published";
}

const char *book_rule_title(const struct tariff *t, const struct book_price *p)
{
	struct tariff_rule r;

	if (p->state == BOOK_REFUSED)
		return "不计价";
	return p->state == BOOK_ABSENT ? "无此线路或人群" : tariff_rule(t, p->rule, &r) ? r.title : "票面价";
}

bool book_same(const struct book *b, const struct book_price *x, const struct book_price *y)
{
	return x->state == y->state && x->published == y->published && x->paid == y->paid && x->subsidy == y->subsidy &&
	       strcmp(book_rule_id(b->pack[0], x), book_rule_id(b->pack[1], y)) == 0;
}

enum axis { AXIS_SLOT, AXIS_MEDIUM, AXIS_GUEST, AXIS_DAY, AXIS_GROUP };

static int mask_compare(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

/* Order in which rows that may be joined on an axis lie side by side: everything but that axis, then it. */
static int row_order(const struct book_row *a, const struct book_row *b, int axis, bool whole)
{
	int order = a->journey - b->journey;

	if (order == 0 && axis != AXIS_GROUP)
		order = mask_compare(a->groups, b->groups);
	if (order == 0 && axis != AXIS_GUEST)
		order = a->guests - b->guests;
	if (order == 0 && axis != AXIS_MEDIUM)
		order = a->media - b->media;
	if (order == 0 && axis != AXIS_DAY)
		order = mask_compare(a->days, b->days);
	if (order == 0 && axis != AXIS_SLOT)
		order = mask_compare(a->slots, b->slots);
	if (order == 0)
		order = memcmp(a->price, b->price, sizeof(a->price));
	if (order == 0 && whole)
		order = mask_compare(a->groups + a->guests + a->media + a->days + a->slots,
				     b->groups + b->guests + b->media + b->days + b->slots);
	return order;
}

static int row_compare(const void *pa, const void *pb, void *axis) { return row_order(pa, pb, *(const int *)axis, true); }

static size_t rows_join(struct book_row *row, size_t n, int axis)
{
	size_t kept = 0;

	if (n > 1)
		qsort_r(row, n, sizeof(*row), row_compare, &axis);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && row_order(&row[kept - 1], &row[i], axis, false) == 0) {
			row[kept - 1].groups |= row[i].groups;
			row[kept - 1].guests |= row[i].guests;
			row[kept - 1].media |= row[i].media;
			row[kept - 1].days |= row[i].days;
			row[kept - 1].slots |= row[i].slots;
		} else {
			row[kept++] = row[i];
		}
	}
	return kept;
}

static int by_group(const void *pa, const void *pb)
{
	const struct book_row *a = pa, *b = pb;
	int order = a->journey - b->journey;

	if (order == 0)
		order = mask_compare((uint64_t)__builtin_ctzll(a->groups), (uint64_t)__builtin_ctzll(b->groups));
	if (order == 0)
		order = __builtin_ctz(a->guests) - __builtin_ctz(b->guests);
	if (order == 0)
		order = __builtin_ctz(a->media) - __builtin_ctz(b->media);
	if (order == 0)
		order = mask_compare(a->days, b->days);
	return order != 0 ? order : mask_compare(a->slots, b->slots);
}

static struct book_row cell_row(const struct book *b, const struct book_family *f, size_t i)
{
	const struct book_axes *a = &b->axes;
	struct book_row row = { .price[0] = f->price[0][i] };
	size_t left = i;

	if (b->pack[1] != NULL)
		row.price[1] = f->price[1][i];
	row.guests = (uint8_t)(1u << left % BOOK_GUESTS);
	left /= BOOK_GUESTS;
	row.media = (uint8_t)(1u << left % BOOK_MEDIA);
	left /= BOOK_MEDIA;
	row.slots = 1ULL << left % a->slots;
	left /= a->slots;
	row.days = 1u << left % a->days;
	left /= a->days;
	row.groups = 1ULL << left % a->groups;
	row.journey = (uint16_t)(left / a->groups);
	return row;
}

/* A member of a group who pays what anybody pays, by the same rule. */
static bool as_ordinary(const struct book *b, const struct book_family *f, size_t i)
{
	size_t of_group = b->axes.days * b->axes.slots * BOOK_MEDIA * BOOK_GUESTS, group = i / of_group % b->axes.groups;

	return group != 0 && memcmp(&f->price[0][i], &f->price[0][i - group * of_group], sizeof(struct book_price)) == 0;
}

int book_rows(const struct book *b, const struct book_family *f, unsigned how, struct book_row **ret_row, size_t *ret_count)
{
	struct book_row *row = malloc((f->cells + 1) * sizeof(*row));
	size_t n = 0;

	if (row == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < f->cells; i++) {
		bool absent = f->price[0][i].state == BOOK_ABSENT && (b->pack[1] == NULL || f->price[1][i].state == BOOK_ABSENT);

		if ((how & BOOK_SHORT) != 0 && as_ordinary(b, f, i))
			continue;
		if (!absent && ((how & BOOK_DIFFERING) == 0 || !book_same(b, &f->price[0][i], &f->price[1][i])))
			row[n++] = cell_row(b, f, i);
	}
	for (int axis = AXIS_SLOT; axis <= (how & BOOK_JOIN_GROUPS ? AXIS_GROUP : AXIS_DAY); axis++)
		n = rows_join(row, n, axis);
	if (n > 1)
		qsort(row, n, sizeof(*row), by_group);
	*ret_row = row;
	*ret_count = n;
	return 0;
}
