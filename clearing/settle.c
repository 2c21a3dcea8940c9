/*
 * settle - stage C: from a cleared day's rows to what partners are sent, and the day's way through its states.
 *
 * Everything built is a function of the rows, so building twice gives the same bytes. Each claim at a partner is
 * an item with an id for ever; the partner's answer names the item.
 */
#include "clearing/settle.h"

#include "clearing/code_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACQUIRER "12184280"	/* our institution in the demo city; carried by the records themselves where present */

size_t item_key(uint8_t scheme, const char *id, uint8_t key[ITEM_KEY_BYTES_MAX])
{
	key[0] = scheme;
	return 1 + (size_t)snprintf((char *)key + 1, ITEM_KEY_BYTES_MAX - 1, "%s", id);
}

void item_put(struct txn *t, const struct item_row *row)
{
	uint8_t key[ITEM_KEY_BYTES_MAX], val[ITEM_VALUE_BYTES];
	size_t n = item_key(row->scheme, row->id, key);

	val[0] = row->state;
	be32_put(val + 1, (uint32_t)row->day);
	be64_put(val + 5, (uint64_t)row->amount_fen);
	memcpy(val + 13, row->cleared_key, CLEARED_KEY_BYTES);
	txn_put(t, DB_ITEM, key, n, val, sizeof(val));
}

bool item_get(struct txn *t, uint8_t scheme, const char *id, struct item_row *ret)
{
	uint8_t key[ITEM_KEY_BYTES_MAX];
	const void *val;
	const uint8_t *p;
	size_t n, key_bytes = item_key(scheme, id, key);

	if (!txn_get(t, DB_ITEM, key, key_bytes, &val, &n) || n != ITEM_VALUE_BYTES)
		return false;
	p = val;
	*ret = (struct item_row){ .scheme = scheme, .state = p[0], .day = (int32_t)be32_get(p + 1), .amount_fen = (int64_t)be64_get(p + 5) };
	snprintf(ret->id, sizeof(ret->id), "%s", id);
	memcpy(ret->cleared_key, p + 13, CLEARED_KEY_BYTES);
	return true;
}

static size_t file_key(int32_t day, const char *name, uint8_t key[128])
{
	be32_put(key, (uint32_t)day ^ 0x80000000u);
	return 4 + (size_t)snprintf((char *)key + 4, 124, "%s", name);
}

void file_put(struct txn *t, int32_t day, const char *name, const void *p, size_t n)
{
	uint8_t key[128];

	txn_put(t, DB_FILE, key, file_key(day, name, key), p, n);
}

bool file_get(struct txn *t, int32_t day, const char *name, const void **ret_p, size_t *ret_n)
{
	uint8_t key[128];

	return txn_get(t, DB_FILE, key, file_key(day, name, key), ret_p, ret_n);
}

/* ---- outbox --------------------------------------------------------------------------------------- */

#define OUTBOX_BYTES (4 + 16 + 64 + 1 + 4)

void outbox_put(struct txn *t, const struct outbox_row *row)
{
	uint8_t key[8], val[OUTBOX_BYTES] = { 0 };

	be64_put(key, row->id);
	be32_put(val, (uint32_t)row->day);
	memcpy(val + 4, row->partner, sizeof(row->partner));
	memcpy(val + 20, row->name, sizeof(row->name));
	val[84] = row->state;
	be32_put(val + 85, row->tries);
	txn_put(t, DB_OUTBOX, key, sizeof(key), val, sizeof(val));
}

bool outbox_next(struct txn *t, uint64_t after_id, struct outbox_row *ret_row)
{
	struct iter it;
	uint8_t key[8];
	bool found;

	be64_put(key, after_id + 1);
	iter_open(t, DB_OUTBOX, NULL, 0, &it);
	found = iter_seek(&it, key, sizeof(key)) && it.val_bytes == OUTBOX_BYTES && it.key_bytes == 8;
	if (found) {
		*ret_row = (struct outbox_row){ .id = be64_get(it.key), .day = (int32_t)be32_get(it.val), .state = it.val[84], .tries = be32_get(it.val + 85) };
		memcpy(ret_row->partner, it.val + 4, sizeof(ret_row->partner));
		memcpy(ret_row->name, it.val + 20, sizeof(ret_row->name));
	}
	iter_close(&it);
	return found;
}

void outbox_add(struct txn *t, int32_t day, const char *partner, const char *name)
{
	struct outbox_row row = { .day = day }, other;
	uint64_t after = 0;

	while (outbox_next(t, after, &other)) {
		if (other.day == day && strcmp(other.name, name) == 0)
			return;
		after = other.id;
	}
	row.id = after + 1;
	snprintf(row.partner, sizeof(row.partner), "%s", partner);
	snprintf(row.name, sizeof(row.name), "%s", name);
	outbox_put(t, &row);
}

/* ---- T-Union consumption file and bank collection file --------------------------------------------------- */

struct text { char *p; size_t n; FILE *f; };

struct build {
	struct txn *t;
	int32_t day;
	char date[9], yymmdd[7];	/* YYYYMMDD */
	struct text tunion;
	uint32_t tunion_count;
	struct bank_list { struct debits debits; struct text text; uint32_t count; uint64_t fen, account_sum; } collect, pay;	/* from cards, to cards */
};

static void hex_field(const struct layout *l, char *line, const char *field, const uint8_t *p, size_t n)
{
	char text[64];

	hex_encode(p, n, text);
	layout_text(l, line, field, text);
}

static void tap_time_text(const struct tap *tap, char ret[15])
{
	struct mac_time time = mac_time_of_ms(tap->time_ms);

	hex_encode(time.bcd, 7, ret);
}

static void tunion_line(struct build *b, const uint8_t *cleared_key, const struct tap *tap, const struct cleared *c)
{
	const struct layout *l = layout_of("tunion", "CD");
	struct item_row item = { .scheme = SCHEME_TUNION, .day = b->day, .amount_fen = tap->amount_fen };
	char line[LAYOUT_BYTES_MAX + 1], time[15], digits[21], number[16];

	(void)c;
	snprintf(item.id, sizeof(item.id), "%s%06u", b->yymmdd, ++b->tunion_count);
	memcpy(item.cleared_key, cleared_key, CLEARED_KEY_BYTES);
	item_put(b->t, &item);
	layout_blank(l, line);
	layout_text(l, line, "ref", item.id);
	layout_text(l, line, "acquirer_serial", item.id);
	layout_text(l, line, "accept_date", b->date);
	layout_number(l, line, "type", 8451);
	pan_digits(tap->pan, digits);
	layout_text(l, line, "pan", digits);
	hex_field(l, line, "issuer", tap->issuer, 4);
	hex_field(l, line, "acquirer", tap->acquirer, 4);
	layout_number(l, line, "counter", tap->card_counter);
	layout_number(l, line, "balance_before", tap->balance_before > 0 ? (uint64_t)tap->balance_before : 0);
	layout_number(l, line, "amount", tap->amount_fen);
	layout_number(l, line, "list_fare", tap->list_fen);
	tap_time_text(tap, time);
	layout_text(l, line, "datetime", time);
	hex_field(l, line, "terminal", tap->terminal, 6);
	snprintf(number, sizeof(number), "%08X", tap->terminal_serial);
	layout_text(l, line, "terminal_serial", number);
	snprintf(number, sizeof(number), "%02X", tap->txn_type & 0xFF);
	layout_text(l, line, "txn_type", number);
	hex_field(l, line, "tac", tap->tac, 4);
	snprintf(number, sizeof(number), "%02X%02X%02X", tap->key_version & 0xFF, tap->key_index & 0xFF, tap->alg_id & 0xFF);
	layout_text(l, line, "key_version", (char[]){ number[0], number[1], '\0' });
	layout_text(l, line, "key_index", (char[]){ number[2], number[3], '\0' });
	layout_text(l, line, "algorithm", (char[]){ number[4], number[5], '\0' });
	hex_field(l, line, "random", tap->random, 4);
	snprintf(number, sizeof(number), "%04X", tap->accept_city & 0xFFFF);
	layout_text(l, line, "city", number);
	layout_text(l, line, "line", tap->line);
	fprintf(b->tunion.f, "%s\r\n", line);
}

static void bank_note(const struct debit *d, char ret[48])
{
	char fare_day[11];

	day_format(d->ride[0].fare_day, fare_day);
	if (d->ride[0].cleared_key[4] == CLEARED_ADJUSTMENT)
		snprintf(ret, 48, "RIDE OF %s ADJUSTED", fare_day);
	else
		snprintf(ret, 48, "RIDES %zu OF %s", d->rides, fare_day);
}

static void bank_line(struct build *b, struct bank_list *list, const struct debit *d)
{
	const struct layout *l = layout_of("bank", list->debits.refunds ? "DSPY" : "DSCL");
	struct item_row item = { .scheme = SCHEME_BANK, .day = b->day, .amount_fen = d->fen };
	char line[LAYOUT_BYTES_MAX + 1], digits[21], text[48];
	const char *account = digits;

	snprintf(item.id, sizeof(item.id), "%s", d->id);
	memcpy(item.cleared_key, d->ride[0].cleared_key, CLEARED_KEY_BYTES);
	item_put(b->t, &item);
	debit_link(b->t, d);
	pan_digits(d->ride[0].pan, digits);
	while (*account == '0' && account[1] != '\0')
		account++;
	layout_blank(l, line);
	layout_text(l, line, "kind", "D");
	layout_number(l, line, "line", ++list->count);
	layout_text(l, line, "item", item.id);
	layout_text(l, line, "account", account);
	layout_number(l, line, "amount", (uint64_t)d->fen);
	layout_text(l, line, "value_date", b->date);
	layout_text(l, line, "purpose", "TRAN");
	bank_note(d, text);
	layout_text(l, line, "note", text);
	snprintf(text, sizeof(text), "BUS%s", b->date);
	layout_text(l, line, "window", text);
	fprintf(list->text.f, "%s\r\n", line);
	list->fen += (uint64_t)d->fen;
	list->account_sum = (list->account_sum + strtoull(strlen(account) > 10 ? account + strlen(account) - 10 : account, NULL, 10)) % 10000000000ULL;
}

static int bank_lines(struct build *b, struct bank_list *to)
{
	struct debit *list;
	size_t count;
	int ret = debits_make(&to->debits, b->yymmdd, &list, &count);

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < count; i++)
		bank_line(b, to, &list[i]);
	free(list);
	return b->t->error;
}

/* Rides of bank cards that became another amount since they were settled: debited further, or given back. */
static int adjustments_collect(struct build *b)
{
	uint8_t prefix[4], key[CLEARED_KEY_BYTES];
	struct iter it;
	int ret = 0;

	be32_put(prefix, (uint32_t)b->day ^ 0x80000000u);
	iter_open(b->t, DB_ADJUST, prefix, sizeof(prefix), &it);
	while (ret == 0 && iter_next(&it)) {
		struct adjustment a;
		const char *field;
		struct cleared c;
		struct tap tap;
		int64_t fen;

		if (!adjust_decode(it.key, it.key_bytes, it.val, it.val_bytes, &a)) {
			ret = CLEARING_E_STORE;
			break;
		}
		fen = a.scheme == SCHEME_BANK ? adjust_collect_fen(a.posting, a.posting_count, SCHEME_BANK) : 0;
		if (fen == 0)
			continue;
		debit_adjust_key(&a, key);
		if (!debit_row(b->t, key, &c) || tap_decode(c.raw, c.raw_bytes, &tap, &field) != 0)
			ret = CLEARING_E_STORE;
		else
			ret = fen > 0 ? debits_add(&b->collect.debits, key, &tap, fen) : debits_add(&b->pay.debits, key, &tap, -fen);
	}
	iter_close(&it);
	return ret != 0 ? ret : b->t->error;
}

static int rows_collect(struct build *b)
{
	struct row_iter it;
	int ret = 0;

	rows_open_day(b->t, b->day, &it);
	while (ret == 0 && rows_next(&it)) {
		const uint8_t *key = it.key;
		const struct cleared c = it.row;
		const char *field;
		struct tap tap;

		if (!verdict_info((enum verdict)c.verdict)->money || tap_decode(c.raw, c.raw_bytes, &tap, &field) != 0)
			continue;
		if (c.verdict == VERDICT_PENDING && c.scheme == SCHEME_TUNION)
			tunion_line(b, key, &tap, &c);
		else if (c.scheme == SCHEME_BANK && c.priced.charged.fen > 0)
			ret = debits_add(&b->collect.debits, key, &tap, c.priced.charged.fen);
		if (ret == 0)
			ret = b->t->error;
	}
	rows_close(&it);
	return ret != 0 ? ret : b->t->error;
}

static int text_open(struct text *x)
{
	x->f = open_memstream(&x->p, &x->n);
	return x->f == NULL ? -errno : 0;
}

static void text_done(struct text *x)
{
	if (x->f != NULL)
		fclose(x->f);
	free(x->p);
}

static int tunion_file(struct build *b)
{
	const struct layout *h = layout_of("tunion", "header"), *l = layout_of("tunion", "CD");
	char line[LAYOUT_BYTES_MAX + 1], name[64];
	char *p = NULL;
	size_t n;
	FILE *f = open_memstream(&p, &n);

	if (f == NULL)
		return -errno;
	layout_blank(h, line);
	layout_number(h, line, "count", b->tunion_count);
	layout_text(h, line, "date", b->date);
	layout_text(h, line, "receiver", "30000000");
	layout_number(h, line, "length", l->width + 2);
	fprintf(f, "01\r\n%s\r\n", line);
	fflush(b->tunion.f);
	fwrite(b->tunion.p, 1, b->tunion.n, f);
	fclose(f);
	snprintf(name, sizeof(name), "CD%s000000%s%010u", b->yymmdd, ACQUIRER, 1u);
	file_put(b->t, b->day, name, p, n);
	free(p);
	if (b->tunion_count > 0)
		outbox_add(b->t, b->day, "tunion", name);
	return b->t->error;
}

/* Collection is the first file of a day, payment the second, so that their returns have names of their own. */
static int bank_file(struct build *b, struct bank_list *list)
{
	const char *kind = list->debits.refunds ? "DSPY" : "DSCL";
	const struct layout *h = layout_of("bank", "header"), *x = layout_of("bank", "trailer");
	char line[LAYOUT_BYTES_MAX + 1], name[64], digest_text[2 * DIGEST_BYTES + 1];
	uint8_t digest[DIGEST_BYTES];
	char *p = NULL;
	size_t n;
	FILE *f = open_memstream(&p, &n);
	int ret;

	if (f == NULL)
		return -errno;
	snprintf(name, sizeof(name), "%s%s%08u", kind, b->date, list->debits.refunds ? 2u : 1u);
	layout_blank(h, line);
	layout_text(h, line, "kind", "H");
	layout_number(h, line, "version", 1);
	layout_text(h, line, "file_type", kind);
	layout_text(h, line, "sender", ACQUIRER);
	layout_text(h, line, "receiver", "CARDBANK");
	layout_text(h, line, "date", b->date);
	layout_text(h, line, "batch", name);
	layout_text(h, line, "created", b->date);
	layout_text(h, line, "currency", "CNY");
	layout_text(h, line, "charset", "UTF-8");
	fprintf(f, "%s\r\n", line);
	fflush(list->text.f);
	fwrite(list->text.p, 1, list->text.n, f);
	fflush(f);
	ret = digest_sha256(p, n, digest);
	hex_encode(digest, DIGEST_BYTES, digest_text);
	layout_blank(x, line);
	layout_text(x, line, "kind", "T");
	layout_number(x, line, "count", list->count);
	layout_number(x, line, "amount", list->fen);
	layout_number(x, line, "account_sum", list->account_sum);
	layout_text(x, line, "digest", digest_text);
	fprintf(f, "%s\r\n", line);
	fclose(f);
	if (ret == 0) {
		file_put(b->t, b->day, name, p, n);
		if (list->count > 0)
			outbox_add(b->t, b->day, "bank", name);
	}
	free(p);
	return ret != 0 ? ret : b->t->error;
}

static int build_files(struct build *b)
{
	char day[11];
	int ret;

	day_format(b->day, day);
	snprintf(b->date, sizeof(b->date), "%.4s%.2s%.2s", day, day + 5, day + 8);
	snprintf(b->yymmdd, sizeof(b->yymmdd), "%s", b->date + 2);
	b->pay.debits.refunds = true;
	ret = text_open(&b->tunion);
	if (ret == 0)
		ret = text_open(&b->collect.text);
	if (ret == 0)
		ret = text_open(&b->pay.text);
	if (ret == 0)
		ret = rows_collect(b);
	if (ret == 0)
		ret = adjustments_collect(b);
	if (ret == 0)
		ret = bank_lines(b, &b->collect);
	if (ret == 0)
		ret = bank_lines(b, &b->pay);
	if (ret == 0)
		ret = tunion_file(b);
	if (ret == 0)
		ret = bank_file(b, &b->collect);
	if (ret == 0)
		ret = bank_file(b, &b->pay);
	text_done(&b->tunion);
	text_done(&b->collect.text);
	text_done(&b->pay.text);
	debits_done(&b->collect.debits);
	debits_done(&b->pay.debits);
	return ret;
}

static int build_reports(struct store *s, struct txn *t, int32_t day)
{
	static const char *const formats[] = { "json", "csv" };
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < report_form_count; i++)
		for (size_t k = 0; ret == 0 && k < 2; k++) {
			char *p = NULL, name[32];
			size_t n = 0;
			FILE *f = open_memstream(&p, &n);

			if (f == NULL)
				return -errno;
			ret = report_write(s, day, report_forms[i], formats[k], f);
			fclose(f);
			snprintf(name, sizeof(name), "%s.%s", report_forms[i], formats[k]);
			if (ret == 0)
				file_put(t, day, name, p, n);
			free(p);
		}
	return ret;
}

int day_build(struct store *s, int32_t day)
{
	struct build b = { .day = day };
	struct day_row row;
	struct txn t;
	int ret = txn_begin(s, true, &t);

	if (ret != 0)
		return ret;
	b.t = &t;
	if (!day_get(&t, day, &row))
		ret = CLEARING_E_NO_DAY;
	else if (row.state != DAY_CLEARED)
		ret = CLEARING_E_STATE;
	if (ret == 0)
		ret = build_files(&b);
	if (ret == 0)
		ret = code_files_build(&t, day);
	if (ret == 0)
		ret = build_reports(s, &t, day);
	if (ret != 0) {
		txn_abort(&t);
		return ret;
	}
	row.state = DAY_BUILT;
	day_put(&t, &row);
	return txn_commit(&t);
}

/* ---- how far the day has come -------------------------------------------------------------------------- */

static uint8_t outbox_least(struct txn *t, int32_t day)
{
	struct outbox_row row;
	uint8_t least = OUTBOX_ACKED;
	uint64_t after = 0;

	while (outbox_next(t, after, &row)) {
		if (row.day == day && row.state < least)
			least = row.state;
		after = row.id;
	}
	return least;
}

static uint64_t items_open(struct txn *t, int32_t day)
{
	struct iter it;
	uint64_t n = 0;

	iter_open(t, DB_ITEM, NULL, 0, &it);
	while (iter_next(&it))
		n += it.val_bytes == ITEM_VALUE_BYTES && (it.val[0] == ITEM_OPEN || it.val[0] == ITEM_WAITING) && (int32_t)be32_get(it.val + 1) == day;
	iter_close(&it);
	return n;
}

static bool fact_holds(struct txn *t, int32_t day, enum day_state next)
{
	switch (next) {
	case DAY_APPROVED: return true;		/* asking to settle is the approval; two persons come with their own issue */
	case DAY_SENT: return outbox_least(t, day) >= OUTBOX_SENT;
	case DAY_ACKED: return outbox_least(t, day) >= OUTBOX_ACKED;
	case DAY_RECONCILED: return items_open(t, day) == 0;
	case DAY_OPEN:
	case DAY_CUT:
	case DAY_CLEARED:
	case DAY_BUILT:
		break;
	}
	return false;
}

int day_advance(struct txn *t, int32_t day, enum day_state *ret_state)
{
	struct day_row row;

	if (!day_get(t, day, &row))
		return CLEARING_E_NO_DAY;
	while (row.state >= DAY_BUILT && row.state < DAY_RECONCILED && fact_holds(t, day, (enum day_state)(row.state + 1))) {
		row.state++;
		day_put(t, &row);
	}
	*ret_state = (enum day_state)row.state;
	return t->error;
}
