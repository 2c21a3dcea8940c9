/*
 * code_file - stage C of the code routes: what a platform owes for a day goes to it as a file of claims, one item a record,
 * and its result file says what it paid. Layouts are the route's profile (clearing/profiles/NAME.yaml).
 *
 * A record is claimed in the day its money became firm: accepted, or pending from an earlier day and answered in this one.
 * One that still waits is an item that waits, so that its day is not done before it is decided.
 */
#include "clearing/code_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/settle.h"

#define SENDER "12184280"	/* our institution in the demo city, as in settle.c */
#define LINES_MAX 2000000

/* ---- claims ------------------------------------------------------------------------------------------------ */

struct claims {
	struct txn *t;
	int32_t day;
	const struct code_route *route;
	char date[9];
	char *text; size_t n; FILE *out;
	uint32_t count;
	uint64_t fen;
};

static uint64_t subsidy_of(const struct cleared *row)
{
	int64_t sum = 0;

	for (uint8_t i = 0; i < row->fare.funder_count; i++)
		sum += row->fare.funder[i].amount.fen;
	return (uint64_t)sum;
}

static void item_write(struct claims *c, const uint8_t *cleared_key, const struct cleared *row, uint8_t state)
{
	struct item_row item = { .scheme = (uint8_t)c->route->scheme, .state = state, .day = c->day, .amount_fen = row->priced.charged.fen };

	code_id(cleared_key + 5, item.id);
	memcpy(item.cleared_key, cleared_key, CLEARED_KEY_BYTES);
	item_put(c->t, &item);
}

/* One claim: fields that the route's layout does not have are left out of it. */
static void claim_line(struct claims *c, const uint8_t *cleared_key, const struct cleared *row, const struct code_answer *a)
{
	const struct layout *l = layout_of(c->route->name, c->route->claim);
	char line[LAYOUT_BYTES_MAX + 1], id[CODE_ID_BYTES], digits[21], terminal[13], time[15];
	struct mac_time when;
	const char *field;
	struct tap tap;

	if (tap_decode(row->raw, row->raw_bytes, &tap, &field) != 0) {
		c->t->error = CLEARING_E_STORE;
		return;
	}
	when = mac_time_of_ms(tap.time_ms);
	hex_encode(when.bcd, 7, time);
	hex_encode(tap.terminal, 6, terminal);
	pan_digits(tap.pan, digits);
	code_id(cleared_key + 5, id);
	layout_blank(l, line);
	layout_text(l, line, "kind", "D");
	layout_number(l, line, "line", ++c->count);
	layout_text(l, line, "item", id);
	layout_text(l, line, "reference", a->reference);
	layout_number(l, line, "amount", (uint64_t)row->priced.charged.fen);
	layout_text(l, line, "time", time);
	layout_text(l, line, "terminal", terminal);
	if (layout_has(l, "number"))
		layout_text(l, line, "number", digits);
	if (layout_has(l, "published"))
		layout_number(l, line, "published", (uint64_t)row->fare.published.fen);
	if (layout_has(l, "subsidy"))
		layout_number(l, line, "subsidy", subsidy_of(row));
	fprintf(c->out, "%s\r\n", line);
	c->fen += (uint64_t)row->priced.charged.fen;
	item_write(c, cleared_key, row, ITEM_OPEN);
}

static int rows_claim(struct claims *c)
{
	struct row_iter it;
	int ret = 0;

	rows_open_day(c->t, c->day, &it);
	while (ret == 0 && rows_next(&it)) {
		const uint8_t *key = it.key;
		const struct cleared row = it.row;
		struct code_answer a;
		int32_t day;

		if (row.scheme != c->route->scheme || !verdict_info((enum verdict)row.verdict)->money)
			continue;
		if (row.pending)
			item_write(c, key, &row, ITEM_WAITING);
		else if (code_answer_find(c->t, key + 5, &a, &day))
			claim_line(c, key, &row, &a);
		ret = c->t->error;
	}
	rows_close(&it);
	return ret != 0 ? ret : c->t->error;
}

/* Records of earlier days that this day's answers decided. Each has one stored answer, so a repeated one claims nothing. */
static int late_claim(struct claims *c, const struct code_answer *said, const struct code_route *r)
{
	uint8_t key[CLEARED_KEY_BYTES];
	struct code_answer a;
	struct item_row item;
	struct cleared row;
	char id[CODE_ID_BYTES];
	int32_t day;

	if (r != c->route || !code_answer_find(c->t, said->key, &a, &day) || day != c->day || !code_pending_row(c->t, r, said->key, c->day, &row, key))
		return c->t->error;
	code_id(said->key, id);
	if (item_get(c->t, (uint8_t)r->scheme, id, &item) && item.state != ITEM_WAITING)
		return 0;
	if (a.result == CODE_GOOD)
		claim_line(c, key, &row, &a);
	else
		item_write(c, key, &row, ITEM_REFUSED);
	return c->t->error;
}

static int answers_claim(struct claims *c)
{
	struct inbox_iter it;
	struct day_row day;
	struct event e;
	int ret = 0;

	if (!day_get(c->t, c->day, &day))
		return CLEARING_E_NO_DAY;
	inbox_open_others(c->t, day.first_seq + 1, day.cut_seq, &it);
	while (ret == 0 && inbox_next(&it, &e)) {
		const struct code_route *r;
		struct code_answer a;

		for (size_t i = 0; ret == 0 && e.type == EVENT_CODE_ANSWER && code_event_answer(e.body, e.bytes, i, &a, &r); i++)
			ret = late_claim(c, &a, r);
	}
	inbox_close(&it);
	return ret;
}

static void head_write(const struct claims *c, const char *name, FILE *f)
{
	const struct layout *h = layout_of(c->route->name, "header");
	char line[LAYOUT_BYTES_MAX + 1];

	layout_blank(h, line);
	layout_text(h, line, "kind", "H");
	layout_number(h, line, "version", 1);
	layout_text(h, line, "file_type", c->route->claim);
	layout_text(h, line, "sender", SENDER);
	layout_text(h, line, "receiver", c->route->receiver);
	layout_text(h, line, "date", c->date);
	layout_text(h, line, "name", name);
	fprintf(f, "%s\r\n", line);
}

static int trailer_write(const struct claims *c, const char *whole, size_t n, FILE *f)
{
	const struct layout *x = layout_of(c->route->name, "trailer");
	char line[LAYOUT_BYTES_MAX + 1], text[2 * DIGEST_BYTES + 1];
	uint8_t digest[DIGEST_BYTES];
	int ret = digest_sha256(whole, n, digest);

	hex_encode(digest, DIGEST_BYTES, text);
	layout_blank(x, line);
	layout_text(x, line, "kind", "T");
	layout_number(x, line, "count", c->count);
	layout_number(x, line, "amount", c->fen);
	layout_text(x, line, "digest", text);
	fprintf(f, "%s\r\n", line);
	return ret;
}

static int file_write(struct claims *c)
{
	char name[64], *whole = NULL;
	size_t n = 0;
	FILE *f;
	int ret;

	if (c->count == 0)
		return c->t->error;
	f = open_memstream(&whole, &n);
	if (f == NULL)
		return -errno;
	snprintf(name, sizeof(name), "%s%s%08u", c->route->claim, c->date, 1u);
	head_write(c, name, f);
	fflush(c->out);
	fwrite(c->text, 1, c->n, f);
	fflush(f);
	ret = trailer_write(c, whole, n, f);
	fclose(f);
	if (ret == 0) {
		file_put(c->t, c->day, name, whole, n);
		outbox_add(c->t, c->day, c->route->name, name);
	}
	free(whole);
	return ret != 0 ? ret : c->t->error;
}

int code_files_build(struct txn *t, int32_t day)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < code_route_count; i++) {
		struct claims c = { .t = t, .day = day, .route = &code_routes[i] };
		char text[11];

		day_format(day, text);
		snprintf(c.date, sizeof(c.date), "%.4s%.2s%.2s", text, text + 5, text + 8);
		c.out = open_memstream(&c.text, &c.n);
		if (c.out == NULL)
			return -errno;
		ret = rows_claim(&c);
		if (ret == 0)
			ret = answers_claim(&c);
		if (ret == 0)
			ret = file_write(&c);
		fclose(c.out);
		free(c.text);
	}
	return ret;
}

/* ---- results -------------------------------------------------------------------------------------------------- */

struct result { struct item_row item; bool paid; uint64_t fee_fen; };
struct reading {
	struct txn *t;
	const struct code_route *route;
	const char *name, *p, *end;
	unsigned line;
	char *error; size_t error_bytes;
	int (*each)(struct reading *r, const struct result *result);
	posting_fn emit; void *arg;
	char (*id)[CODE_ID_BYTES]; size_t count, space;		/* of a check: every item once */
};

static int refuse(struct reading *r, const char *reason)
{
	snprintf(r->error, r->error_bytes, "%s:%u:1: %s", r->name, r->line, reason);
	return CLEARING_E_PARTNER_FILE;
}

static bool line_next(struct reading *r, const char **ret_line, size_t *ret_n)
{
	const char *stop;

	if (r->p >= r->end)
		return false;
	stop = memchr(r->p, '\n', (size_t)(r->end - r->p));
	*ret_line = r->p;
	*ret_n = (size_t)((stop != NULL ? stop : r->end) - r->p);
	if (*ret_n > 0 && r->p[*ret_n - 1] == '\r')
		--*ret_n;
	r->p = stop != NULL ? stop + 1 : r->end;
	r->line++;
	return true;
}

static int result_read(struct reading *r, const char *line, struct result *ret)
{
	const struct layout *l = layout_of(r->route->name, r->route->result);
	char id[CODE_ID_BYTES], code[8];

	layout_get_text(l, line, "item", id, sizeof(id));
	layout_get_text(l, line, "result", code, sizeof(code));
	if (!item_get(r->t, (uint8_t)r->route->scheme, id, &ret->item))
		return refuse(r, "no item of ours has this number");
	if (layout_get_number(l, line, "amount") != (uint64_t)ret->item.amount_fen)
		return refuse(r, "the amount is not that of the item");
	ret->paid = strcmp(code, "0000") == 0;
	ret->fee_fen = layout_get_number(l, line, "fee");
	if (layout_get_number(l, line, "booked") != (ret->paid ? (uint64_t)ret->item.amount_fen : 0))
		return refuse(r, "the booked amount does not fit the result");
	return ret->fee_fen <= (ret->paid ? (uint64_t)ret->item.amount_fen : 0) ? 0 : refuse(r, "the fee is larger than what was booked");
}

static int trailer_read(struct reading *r, const char *whole, const char *line, size_t n, uint64_t count, uint64_t amount)
{
	const struct layout *x = layout_of(r->route->name, "trailer");
	char text[2 * DIGEST_BYTES + 1], stated[2 * DIGEST_BYTES + 1];
	uint8_t digest[DIGEST_BYTES];
	const char *field;

	if (!layout_check(x, line, n, &field))
		return refuse(r, "the trailer has another form");
	if (layout_get_number(x, line, "count") != count)
		return refuse(r, "the trailer's count is not the number of items");
	if (layout_get_number(x, line, "amount") != amount)
		return refuse(r, "the trailer's amount is not the sum of the items");
	if (digest_sha256(whole, (size_t)(line - whole), digest) != 0)
		return KEYS_E_CRYPTO;
	hex_encode(digest, DIGEST_BYTES, text);
	layout_get_text(x, line, "digest", stated, sizeof(stated));
	if (strcmp(text, stated) != 0)
		return refuse(r, "the trailer's digest is not that of the file");
	return r->p == r->end ? 0 : refuse(r, "lines after the trailer");
}

static int head_read(struct reading *r)
{
	const struct layout *h = layout_of(r->route->name, "header");
	const char *line, *field;
	char type[8];
	size_t n;

	if (!line_next(r, &line, &n) || !layout_check(h, line, n, &field) || line[0] != 'H')
		return refuse(r, "the header has another form");
	layout_get_text(h, line, "file_type", type, sizeof(type));
	return strcmp(type, r->route->result) == 0 ? 0 : refuse(r, "the header names another kind of file");
}

static int results_walk(struct reading *r)
{
	const struct layout *l = layout_of(r->route->name, r->route->result);
	const char *whole = r->p, *line, *field;
	uint64_t count = 0, amount = 0;
	size_t n;
	int ret;

	if (strncmp(r->name, r->route->result, strlen(r->route->result)) != 0) {
		r->line = 1;
		return refuse(r, "this kind of file is not known");
	}
	ret = head_read(r);
	while (ret == 0 && line_next(r, &line, &n)) {
		struct result result;

		if (n > 0 && line[0] == 'T')
			return trailer_read(r, whole, line, n, count, amount);
		if (!layout_check(l, line, n, &field) || line[0] != 'D')
			return refuse(r, "an item has another form");
		if (layout_get_number(l, line, "line") != ++count || count > LINES_MAX)
			return refuse(r, "items are not numbered in order");
		amount += layout_get_number(l, line, "amount");
		ret = result_read(r, line, &result);
		if (ret == 0)
			ret = r->each(r, &result);
	}
	return ret != 0 ? ret : refuse(r, "the trailer is missing");
}

static int check_each(struct reading *r, const struct result *result)
{
	if (result->item.state != ITEM_OPEN)
		return refuse(r, result->item.state == ITEM_WAITING ? "this item was not claimed yet" : "this item was answered before");
	if (r->count == r->space) {
		size_t space = r->space ? r->space * 2 : 1024;
		void *wide = realloc(r->id, space * sizeof(r->id[0]));

		if (wide == NULL)
			return -ENOMEM;
		r->id = wide;
		r->space = space;
	}
	memcpy(r->id[r->count++], result->item.id, sizeof(r->id[0]));
	return 0;
}

static int apply_each(struct reading *r, const struct result *result)
{
	struct item_row item = result->item;

	item.state = result->paid ? ITEM_CONFIRMED : ITEM_REFUSED;
	item_put(r->t, &item);
	return r->t->error;
}

static int post_each(struct reading *r, const struct result *result)
{
	const enum scheme scheme = r->route->scheme;
	const uint8_t *key = result->item.cleared_key + 5;
	const struct posting booked = { result->paid ? ACCOUNT(ACCOUNT_CASH, 1) : ACCOUNT(ACCOUNT_CODE, 100 + scheme), receivable_of(scheme),
					money_of_fen(result->item.amount_fen), result->paid ? POST_COLLECTED : POST_RETURNED, 0 };
	struct posting fee = { 0, ACCOUNT(ACCOUNT_FEE, 1), money_of_fen((int64_t)result->fee_fen), POST_FEE, 0 };
	struct cleared row;

	if (booked.amount.fen > 0)
		r->emit(r->arg, &booked, scheme, key);
	if (result->fee_fen == 0)
		return 0;
	if (!row_get(r->t, result->item.cleared_key, &row))
		return CLEARING_E_STORE;
	fee.debit = ACCOUNT(ACCOUNT_OPERATOR, row.operator_id);
	r->emit(r->arg, &fee, scheme, key);
	return 0;
}

static int id_compare(const void *a, const void *b) { return strcmp(a, b); }

int code_file_check(struct txn *t, const struct code_route *route, const char *name, const void *p, size_t n, char *ret_error, size_t error_bytes)
{
	struct reading r = { .t = t, .route = route, .name = name, .p = p, .end = (const char *)p + n, .error = ret_error, .error_bytes = error_bytes,
			     .each = check_each };
	int ret = results_walk(&r);

	if (ret == 0 && r.count > 1) {
		qsort(r.id, r.count, sizeof(r.id[0]), id_compare);
		for (size_t i = 1; ret == 0 && i < r.count; i++)
			if (strcmp(r.id[i - 1], r.id[i]) == 0)
				ret = refuse(&r, "one item is answered twice");
	}
	free(r.id);
	return ret;
}

int code_file_apply(struct txn *t, const struct code_route *route, const char *name, const void *p, size_t n)
{
	char error[256], sent[64];
	struct reading r = { .t = t, .route = route, .name = name, .p = p, .end = (const char *)p + n, .error = error, .error_bytes = sizeof(error),
			     .each = apply_each };
	int ret = results_walk(&r);

	if (ret == 0) {
		snprintf(sent, sizeof(sent), "%s%.40s", route->claim, name + strlen(route->result));
		outbox_ack(t, sent);
	}
	return ret != 0 ? ret : t->error;
}

int code_file_post(struct txn *t, const struct code_route *route, const char *name, const void *p, size_t n, posting_fn emit, void *arg)
{
	char error[256];
	struct reading r = { .t = t, .route = route, .name = name, .p = p, .end = (const char *)p + n, .error = error, .error_bytes = sizeof(error),
			     .each = post_each, .emit = emit, .arg = arg };

	return results_walk(&r);
}
