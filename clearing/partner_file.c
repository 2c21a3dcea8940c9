/*
 * partner_file - the answers of partners: T-Union LD, FB, CR, BP, CL and the bank's return DSRT.
 *
 * A file is checked whole before anything follows from it: form, counts, totals, and that every line answers an
 * item that is open. Refused, it changes nothing and the reason names the line. Accepted, it becomes an inbox
 * event; its postings follow from the file and the items' fixed part alone, so a recompute sees the same.
 */
#include "clearing/settle.h"

#include "clearing/code_route.h"

#include <stdlib.h>
#include <string.h>

#define LINES_MAX 2000000

struct file {
	struct txn *t;
	const char *partner, *name, *p, *end;
	unsigned line;
	char *error; size_t error_bytes;
};

static int refuse(struct file *f, const char *reason)
{
	snprintf(f->error, f->error_bytes, "%s:%u:1: %s", f->name, f->line, reason);
	return CLEARING_E_PARTNER_FILE;
}

/* The next line without its CRLF; false at the end. A line without CRLF is refused by its length later. */
static bool line_next(struct file *f, const char **ret_line, size_t *ret_n)
{
	const char *stop;

	if (f->p >= f->end)
		return false;
	stop = memchr(f->p, '\n', (size_t)(f->end - f->p));
	*ret_line = f->p;
	*ret_n = (size_t)((stop != NULL ? stop : f->end) - f->p);
	if (*ret_n > 0 && f->p[*ret_n - 1] == '\r')
		--*ret_n;
	f->p = stop != NULL ? stop + 1 : f->end;
	f->line++;
	return true;
}

struct visit {			/* what a line means; called for each record line */
	int (*line)(struct file *f, const struct layout *l, const char *line, void *arg);
	void *arg;
};

/* ---- T-Union family -------------------------------------------------------------------------------- */

static int tunion_header(struct file *f, const struct layout *record, uint64_t *ret_count)
{
	const struct layout *h = layout_of("tunion", "header");
	const char *line, *field;
	size_t n;

	if (!line_next(f, &line, &n) || n != 2 || memcmp(line, "01", 2) != 0)
		return refuse(f, "version 01 is needed in the first line");
	if (!line_next(f, &line, &n) || !layout_check(h, line, n, &field))
		return refuse(f, "the header has another form");
	if (layout_get_number(h, line, "length") != record->width + 2)
		return refuse(f, "the header's record length is not that of its records");
	*ret_count = layout_get_number(h, line, "count");
	return *ret_count <= LINES_MAX ? 0 : refuse(f, "too many records");
}

static int tunion_walk(struct file *f, const char *kind, const struct visit *v)
{
	const struct layout *l = layout_of("tunion", kind);
	uint64_t count = 0, seen = 0;
	const char *line, *field;
	size_t n;
	int ret = tunion_header(f, l, &count);

	while (ret == 0 && line_next(f, &line, &n)) {
		if (!layout_check(l, line, n, &field)) {
			char reason[64];

			snprintf(reason, sizeof(reason), "field %s has another form", field);
			return refuse(f, reason);
		}
		seen++;
		ret = v->line != NULL ? v->line(f, l, line, v->arg) : 0;
	}
	if (ret == 0 && seen != count)
		ret = refuse(f, "the header's count is not the number of records");
	return ret;
}

/* ---- the bank's return ---------------------------------------------------------------------------------- */

static int bank_trailer(struct file *f, const char *whole, const char *line, size_t n, uint64_t count, uint64_t amount)
{
	const struct layout *x = layout_of("bank", "trailer");
	char text[2 * DIGEST_BYTES + 1], stated[2 * DIGEST_BYTES + 1];
	uint8_t digest[DIGEST_BYTES];
	const char *field;

	if (!layout_check(x, line, n, &field))
		return refuse(f, "the trailer has another form");
	if (layout_get_number(x, line, "count") != count)
		return refuse(f, "the trailer's count is not the number of items");
	if (layout_get_number(x, line, "amount") != amount)
		return refuse(f, "the trailer's amount is not the sum of the items");
	if (digest_sha256(whole, (size_t)(line - whole), digest) != 0)
		return KEYS_E_CRYPTO;
	hex_encode(digest, DIGEST_BYTES, text);
	layout_get_text(x, line, "digest", stated, sizeof(stated));
	return strcmp(text, stated) == 0 ? 0 : refuse(f, "the trailer's digest is not that of the file");
}

static int bank_walk(struct file *f, const struct visit *v)
{
	const struct layout *h = layout_of("bank", "header"), *l = layout_of("bank", "DSRT");
	const char *whole = f->p, *line, *field;
	uint64_t count = 0, amount = 0;
	char type[8];
	size_t n;
	int ret = 0;

	if (!line_next(f, &line, &n) || !layout_check(h, line, n, &field) || line[0] != 'H')
		return refuse(f, "the header has another form");
	layout_get_text(h, line, "file_type", type, sizeof(type));
	if (strcmp(type, "DSRT") != 0)
		return refuse(f, "file type DSRT is needed");
	while (ret == 0 && line_next(f, &line, &n)) {
		if (n > 0 && line[0] == 'T') {
			ret = bank_trailer(f, whole, line, n, count, amount);
			return ret == 0 && f->p != f->end ? refuse(f, "lines after the trailer") : ret;
		}
		if (!layout_check(l, line, n, &field) || line[0] != 'D')
			return refuse(f, "an item has another form");
		if (layout_get_number(l, line, "line") != ++count)
			return refuse(f, "items are not numbered in order");
		amount += layout_get_number(l, line, "amount");
		ret = v->line != NULL ? v->line(f, l, line, v->arg) : 0;
	}
	return ret != 0 ? ret : refuse(f, "the trailer is missing");
}

static int walk(struct file *f, const struct visit *v)
{
	static const char *const kinds[] = { "FB", "LD", "CR", "BP", "CL" };

	if (strcmp(f->partner, "bank") == 0 && strncmp(f->name, "DSRT", 4) == 0)
		return bank_walk(f, v);
	for (size_t i = 0; strcmp(f->partner, "tunion") == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(f->name, kinds[i], 2) == 0)
			return tunion_walk(f, kinds[i], v);
	f->line = 1;
	return refuse(f, "this kind of file is not known");
}

static bool kind_is(const char *name, const char *kind) { return strncmp(name, kind, strlen(kind)) == 0; }

/* Item, its answer, and the amount of one FB or DSRT line. */
struct answer { struct item_row item; bool accepted; uint64_t fee_fen; };

static int answer_read(struct file *f, const struct layout *l, const char *line, struct answer *ret)
{
	bool bank = strcmp(f->partner, "bank") == 0;
	char id[36], code[16];

	layout_get_text(l, line, bank ? "item" : "ref", id, sizeof(id));
	layout_get_text(l, line, bank ? "result" : "error_code", code, sizeof(code));
	if (!item_get(f->t, bank ? SCHEME_BANK : SCHEME_TUNION, id, &ret->item))
		return refuse(f, "no item of ours has this number");
	if (layout_get_number(l, line, "amount") != (uint64_t)ret->item.amount_fen)
		return refuse(f, "the amount is not that of the item");
	ret->accepted = strcmp(code, bank ? "0000" : "000000") == 0;
	ret->fee_fen = bank ? 0 : layout_get_number(l, line, "fee");
	if (bank && layout_get_number(l, line, "booked") != (ret->accepted ? (uint64_t)ret->item.amount_fen : 0))
		return refuse(f, "the booked amount does not fit the result");
	return ret->fee_fen <= (uint64_t)ret->item.amount_fen ? 0 : refuse(f, "the fee is larger than the amount");
}

/* ---- check -------------------------------------------------------------------------------------------------- */

struct checking { char (*id)[36]; size_t count, space; };

static int check_answer(struct file *f, const struct layout *l, const char *line, void *arg)
{
	struct checking *c = arg;
	struct answer a;
	int ret = answer_read(f, l, line, &a);

	if (ret != 0)
		return ret;
	if (a.item.state != ITEM_OPEN)
		return refuse(f, "this item was answered before");
	if (c->count == c->space) {
		size_t space = c->space ? c->space * 2 : 1024;
		void *wide = realloc(c->id, space * sizeof(c->id[0]));

		if (wide == NULL)
			return CLEARING_E_STORE;
		c->id = wide;
		c->space = space;
	}
	memcpy(c->id[c->count++], a.item.id, sizeof(a.item.id));
	return 0;
}

static int id_compare(const void *a, const void *b) { return strcmp(a, b); }

/* acquirer + centre - issuer = 0 holds for each fee of a summary line. */
static int check_summary(struct file *f, const struct layout *l, const char *line, void *arg)
{
	(void)arg;
	if (layout_get_number(l, line, "acquirer_fee") + layout_get_number(l, line, "centre_fee") != layout_get_number(l, line, "issuer_fee"))
		return refuse(f, "acquirer fee + centre fee is not the issuer fee");
	return 0;
}

static int check_position(struct file *f, const struct layout *l, const char *line, void *arg)
{
	uint64_t income = layout_get_number(l, line, "income"), payable = layout_get_number(l, line, "payable");
	uint64_t net = income > payable ? income - payable : payable - income;

	(void)arg;
	if (net != layout_get_number(l, line, "net"))
		return refuse(f, "the net figure is not income minus payable");
	return 0;
}

int partner_file_check(struct txn *t, const char *partner, const char *name, const void *p, size_t n, char *ret_error, size_t error_bytes)
{
	const struct code_route *route = code_route_of_name(partner);
	struct file f = { .t = t, .partner = partner, .name = name, .p = p, .end = (const char *)p + n, .error = ret_error, .error_bytes = error_bytes };
	struct checking c = { 0 };
	struct visit v = { .arg = &c };
	int ret;

	if (route != NULL)
		return code_file_check(t, route, name, p, n, ret_error, error_bytes);
	if (kind_is(name, "FB") || kind_is(name, "DSRT"))
		v.line = check_answer;
	else if (kind_is(name, "CR"))
		v.line = check_summary;
	else if (kind_is(name, "BP"))
		v.line = check_position;
	ret = walk(&f, &v);
	if (ret == 0 && c.count > 1) {
		qsort(c.id, c.count, sizeof(c.id[0]), id_compare);
		for (size_t i = 1; ret == 0 && i < c.count; i++)
			if (strcmp(c.id[i - 1], c.id[i]) == 0)
				ret = refuse(&f, "one item is answered twice");
	}
	free(c.id);
	return ret;
}

/* ---- apply: items change state, files are acknowledged ---------------------------------------------------------- */

void outbox_ack(struct txn *t, const char *name)
{
	struct outbox_row row;
	uint64_t after = 0;

	while (outbox_next(t, after, &row)) {
		if (strcmp(row.name, name) == 0) {
			row.state = OUTBOX_ACKED;
			outbox_put(t, &row);
		}
		after = row.id;
	}
}

static int apply_answer(struct file *f, const struct layout *l, const char *line, void *arg)
{
	struct answer a;
	int ret = answer_read(f, l, line, &a);

	(void)arg;
	if (ret != 0)
		return ret;
	a.item.state = a.accepted ? ITEM_CONFIRMED : ITEM_REFUSED;
	item_put(f->t, &a.item);
	if (!a.accepted && a.item.scheme == SCHEME_BANK)
		bank_refused(f->t, &a.item);
	return f->t->error;
}

static int apply_processed(struct file *f, const struct layout *l, const char *line, void *arg)
{
	char name[64], code[8];

	(void)arg;
	layout_get_text(l, line, "file_name", name, sizeof(name));
	layout_get_text(l, line, "error_code", code, sizeof(code));
	if (strcmp(code, "000000") == 0)
		outbox_ack(f->t, name);
	return f->t->error;
}

int partner_file_apply(struct txn *t, const char *partner, const char *name, const void *p, size_t n)
{
	const struct code_route *route = code_route_of_name(partner);
	char error[256];
	struct file f = { .t = t, .partner = partner, .name = name, .p = p, .end = (const char *)p + n, .error = error, .error_bytes = sizeof(error) };
	struct visit v = { 0 };
	char sent[64];
	int ret;

	if (route != NULL)
		return code_file_apply(t, route, name, p, n);
	if (kind_is(name, "FB") || kind_is(name, "DSRT"))
		v.line = apply_answer;
	else if (kind_is(name, "LD"))
		v.line = apply_processed;
	ret = walk(&f, &v);
	if (ret == 0 && kind_is(name, "DSRT")) {
		snprintf(sent, sizeof(sent), "DSCL%s", name + 4);	/* of the two one has this number */
		outbox_ack(t, sent);
		snprintf(sent, sizeof(sent), "DSPY%s", name + 4);
		outbox_ack(t, sent);
	}
	return ret != 0 ? ret : t->error;
}

/* ---- post ------------------------------------------------------------------------------------------------------------ */

struct emitting { posting_fn emit; void *arg; };

static void emit(struct emitting *e, account_t debit, account_t credit, int64_t fen, enum posting_reason reason, enum scheme scheme, const uint8_t *tap_key_bytes)
{
	struct posting p = { debit, credit, money_of_fen(fen), (uint8_t)reason, 0 };

	if (fen > 0)
		e->emit(e->arg, &p, scheme, tap_key_bytes);
}

/* What an adjustment left to collect or to give back moves at the bank; a debit that is refused is arrears, a refund that cannot be paid
 * stays owed. */
static void adjustment_answered(struct emitting *e, const struct answer *a, const struct adjustment *what, int64_t fen)
{
	const account_t owes = receivable_of(SCHEME_BANK), owed = ACCOUNT(ACCOUNT_RIDER_REFUND, SCHEME_BANK);
	const account_t at = a->accepted ? ACCOUNT(ACCOUNT_CASH, 1) : ACCOUNT(ACCOUNT_BANK, 2);
	const enum posting_reason reason = a->accepted ? POST_COLLECTED : POST_RETURNED;

	for (uint8_t i = 0; (a->accepted || fen > 0) && i < what->posting_count; i++) {
		const struct posting *p = &what->posting[i];

		if (p->debit == owes || p->debit == owed)
			emit(e, at, p->debit, p->amount.fen, reason, SCHEME_BANK, what->key);
		if (p->credit == owes || p->credit == owed)
			emit(e, p->credit, at, p->amount.fen, reason, SCHEME_BANK, what->key);
	}
}

/* A card's first debit: who bears it. */
static int first_lost(struct file *f, struct emitting *e, const struct item_row *item)
{
	struct risk r;
	int ret = risk_of(f->t, item, &r);

	if (ret == 0)
		risk_post(&r, false, e->emit, e->arg);
	risk_done(&r);
	return ret;
}

static int post_answer(struct file *f, const struct layout *l, const char *line, void *arg)
{
	struct posting p[RESOLVE_POSTINGS_MAX];
	struct adjustment adjustment;
	struct emitting *e = arg;
	int64_t fen;
	struct cleared c;
	struct answer a;
	uint8_t count;
	int ret = answer_read(f, l, line, &a);

	if (ret != 0)
		return ret;
	if (debit_adjustment(f->t, a.item.cleared_key, &adjustment, &fen)) {
		adjustment_answered(e, &a, &adjustment, fen);
		return 0;
	}
	if (!row_get(f->t, a.item.cleared_key, &c))
		return CLEARING_E_STORE;
	if (a.item.scheme == SCHEME_BANK) {
		emit(e, a.accepted ? ACCOUNT(ACCOUNT_CASH, 1) : ACCOUNT(ACCOUNT_BANK, 2), ACCOUNT(ACCOUNT_BANK, 1), a.item.amount_fen,
		     a.accepted ? POST_COLLECTED : POST_RETURNED, SCHEME_BANK, a.item.cleared_key + 5);
		return a.accepted ? 0 : first_lost(f, e, &a.item);
	}
	count = post_resolve(&c.priced, SCHEME_TUNION, a.accepted, p);
	for (uint8_t i = 0; i < count; i++)
		emit(e, p[i].debit, p[i].credit, p[i].amount.fen, (enum posting_reason)p[i].reason, SCHEME_TUNION, a.item.cleared_key + 5);
	if (a.accepted)
		emit(e, ACCOUNT(ACCOUNT_OPERATOR, c.operator_id), ACCOUNT(ACCOUNT_FEE, 1), (int64_t)a.fee_fen, POST_FEE, SCHEME_TUNION, a.item.cleared_key + 5);
	return 0;
}

/* Our cards elsewhere: the purse pool owes the centre. */
static int post_abroad(struct file *f, const struct layout *l, const char *line, void *arg)
{
	struct emitting *e = arg;
	uint8_t key[TAP_KEY_BYTES] = { 0 };
	char ref[16], code[8];

	(void)f;
	layout_get_text(l, line, "ref", ref, sizeof(ref));
	layout_get_text(l, line, "error_code", code, sizeof(code));
	memcpy(key, ref, strlen(ref) < sizeof(key) ? strlen(ref) : sizeof(key));
	if (strcmp(code, "000000") == 0)
		emit(e, ACCOUNT(ACCOUNT_PURSE, 1), ACCOUNT(ACCOUNT_TUNION, 1), (int64_t)layout_get_number(l, line, "amount"), POST_CONFIRMED, SCHEME_TUNION, key);
	return 0;
}

int partner_file_post(struct txn *t, const char *partner, const char *name, const void *p, size_t n, posting_fn emit_fn, void *arg)
{
	const struct code_route *route = code_route_of_name(partner);
	char error[256];
	struct file f = { .t = t, .partner = partner, .name = name, .p = p, .end = (const char *)p + n, .error = error, .error_bytes = sizeof(error) };
	struct emitting e = { emit_fn, arg };
	struct visit v = { .arg = &e };

	if (route != NULL)
		return code_file_post(t, route, name, p, n, emit_fn, arg);
	if (kind_is(name, "FB") || kind_is(name, "DSRT"))
		v.line = post_answer;
	else if (kind_is(name, "CL"))
		v.line = post_abroad;
	else
		return 0;
	return walk(&f, &v);
}
