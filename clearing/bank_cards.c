/*
 * bank_cards - which bank cards ride no more: what the bank's lists say, and whose debit the bank refused, until it is
 * paid. What stands in the table follows from the inbox: an answer of the bank or an event of bank cards, in the
 * transaction that appends it.
 */
#include "clearing/settle.h"

#include "clearing/refdata.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 4096			/* of one file; a bank's daily changes are some hundred */
#define DENY_KEY_BYTES_MAX (10 + 1 + DEBIT_ID_BYTES)
#define DENY_VALUE_BYTES 16
#define VERSION_KEY "deny"

/* ---- the table ------------------------------------------------------------------------------------------- */

static size_t deny_key(const uint8_t pan[10], enum deny_reason reason, const char *item, uint8_t key[DENY_KEY_BYTES_MAX])
{
	size_t n = strlen(item);

	memcpy(key, pan, 10);
	key[10] = (uint8_t)reason;
	memcpy(key + 11, item, n);
	return 11 + n;
}

/* The list's version is the event that changed it last. */
static void version_set(struct txn *t)
{
	uint8_t version[8];

	be64_put(version, inbox_last(t));
	txn_put(t, DB_META, VERSION_KEY, strlen(VERSION_KEY), version, sizeof(version));
}

uint64_t deny_table_version(struct txn *t)
{
	const void *val;
	size_t n;

	return txn_get(t, DB_META, VERSION_KEY, strlen(VERSION_KEY), &val, &n) && n == 8 ? be64_get(val) : 0;
}

static void deny_put(struct txn *t, const uint8_t pan[10], enum deny_reason reason, const char *item, int64_t fen)
{
	uint8_t key[DENY_KEY_BYTES_MAX], value[DENY_VALUE_BYTES];

	be64_put(value, inbox_last(t));
	be64_put(value + 8, (uint64_t)fen);
	txn_put(t, DB_DENY, key, deny_key(pan, reason, item, key), value, sizeof(value));
	version_set(t);
}

static void deny_remove(struct txn *t, const uint8_t pan[10], enum deny_reason reason, const char *item)
{
	uint8_t key[DENY_KEY_BYTES_MAX];

	txn_del(t, DB_DENY, key, deny_key(pan, reason, item, key));
	version_set(t);
}

void bank_refused(struct txn *t, const struct item_row *item)
{
	struct adjustment a;
	struct risk r;
	struct tap tap;
	int64_t fen;

	if (debit_adjustment(t, item->cleared_key, &a, &fen) && fen < 0)
		return;			/* what the rider is owed, not what he owes */
	if (!debit_card(t, item, &tap) || tap.kind != TAP_BANK)
		return;
	if (risk_of(t, item, &r) != 0)
		t->error = t->error != 0 ? t->error : CLEARING_E_STORE;
	deny_put(t, tap.pan, r.rides > 0 ? DENY_RISK : DENY_ARREARS, item->id, item->amount_fen);
	risk_done(&r);
}

bool denied_next(struct iter *it, struct denied *ret)
{
	if (!iter_next(it))
		return false;
	if (it->key_bytes < 11 || it->key_bytes >= DENY_KEY_BYTES_MAX || it->val_bytes != DENY_VALUE_BYTES) {
		it->txn->error = CLEARING_E_STORE;
		return false;
	}
	*ret = (struct denied){ .reason = (enum deny_reason)it->key[10], .seq = be64_get(it->val), .fen = (int64_t)be64_get(it->val + 8) };
	memcpy(ret->pan, it->key, 10);
	memcpy(ret->item, it->key + 11, it->key_bytes - 11);
	return true;
}

/* The first row of a card and reason. */
static bool denied_first(struct txn *t, const uint8_t pan[10], enum deny_reason reason, struct denied *ret)
{
	uint8_t prefix[11];
	struct iter it;
	bool found;

	memcpy(prefix, pan, 10);
	prefix[10] = (uint8_t)reason;
	iter_open(t, DB_DENY, prefix, sizeof(prefix), &it);
	found = denied_next(&it, ret);
	iter_close(&it);
	return found;
}

/* By the bank's list, or in spite of a lost first ride: who bears that has borne it. Arrears stay until they are paid. */
static void card_allow(struct txn *t, const uint8_t pan[10])
{
	struct denied d;

	deny_remove(t, pan, DENY_BANK, "");
	while (denied_first(t, pan, DENY_RISK, &d))
		deny_remove(t, pan, DENY_RISK, d.item);
}

/* ---- an event of bank cards ----------------------------------------------------------------------------------- */

enum { C_ACTION, C_PAN, C_ITEM, C_FEN, C_COUNT };
static const char *const columns[C_COUNT] = { "action", "pan", "item", "fen" };

enum action { ACTION_DENY, ACTION_ALLOW, ACTION_PAID };
struct order { enum action action; uint8_t pan[10]; struct item_row item; };

static bool empty(const struct ref_reading *r, int column) { return ref_cell(r, column)[0] == '\0'; }

static int card_order(const struct ref_reading *r, struct order *ret)
{
	if (!pan_parse(ref_cell(r, C_PAN), ret->pan))
		return ref_refuse_unquoted(r, C_PAN, "a card number of at most 20 digits is needed");
	if (!empty(r, C_ITEM) || !empty(r, C_FEN))
		return ref_refuse(r, C_ITEM, "deny and allow name a card and no debit");
	return 0;
}

static int paid_order(const struct ref_reading *r, struct txn *t, struct order *ret)
{
	struct adjustment a;
	char fen[24];
	struct tap tap;
	int64_t owed;

	if (!empty(r, C_PAN))
		return ref_refuse_unquoted(r, C_PAN, "what is paid is a debit, not a card");
	if (strlen(ref_cell(r, C_ITEM)) >= sizeof(ret->item.id) || !item_get(t, SCHEME_BANK, ref_cell(r, C_ITEM), &ret->item))
		return ref_refuse(r, C_ITEM, "no debit of ours has this number");
	snprintf(fen, sizeof(fen), "%" PRId64, ret->item.amount_fen);
	if (strcmp(ref_cell(r, C_FEN), fen) != 0)
		return ref_refuse(r, C_FEN, "the amount is not that of the debit");
	if (debit_adjustment(t, ret->item.cleared_key, &a, &owed) && owed < 0)
		return ref_refuse(r, C_ITEM, "this is a refund: what is paid is a debit");
	if (!debit_card(t, &ret->item, &tap))
		return CLEARING_E_STORE;
	memcpy(ret->pan, tap.pan, 10);
	return 0;
}

static int order_read(const struct ref_reading *r, struct txn *t, struct order *ret)
{
	static const char *const names[] = { "deny", "allow", "paid" };

	*ret = (struct order){ 0 };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(ref_cell(r, C_ACTION), names[i]) == 0) {
			ret->action = (enum action)i;
			return ret->action == ACTION_PAID ? paid_order(r, t, ret) : card_order(r, ret);
		}
	return ref_refuse(r, C_ACTION, "deny, allow or paid is needed");
}

typedef int (*order_fn)(const struct ref_reading *r, struct txn *t, const struct order *o, void *arg);

static int orders_walk(struct txn *t, const void *p, size_t n, order_fn fn, void *arg, char *error, size_t error_bytes)
{
	struct ref_reading r;
	struct order o;
	unsigned rows = 0;
	int ret = ref_open(&r, "bank.csv", p, n, columns, C_COUNT, error, error_bytes);

	if (ret != 0)
		return ret;
	while ((ret = ref_next(&r)) == 1) {
		ret = ++rows > ROWS_MAX ? ref_refuse(&r, C_ACTION, "at most 4096 rows in one file") : order_read(&r, t, &o);
		if (ret == 0)
			ret = fn(&r, t, &o, arg);
		if (ret != 0)
			break;
	}
	csv_close(r.csv);
	return ret;
}

struct paid_items { char id[ROWS_MAX][36]; size_t count; };

static int order_check(const struct ref_reading *r, struct txn *t, const struct order *o, void *arg)
{
	struct paid_items *seen = arg;
	struct denied d;

	if (o->action == ACTION_ALLOW && !denied_first(t, o->pan, DENY_BANK, &d) && !denied_first(t, o->pan, DENY_RISK, &d))
		return ref_refuse_unquoted(r, C_PAN, "neither the bank's list nor a lost first ride denies this card");
	if (o->action != ACTION_PAID)
		return 0;
	if (o->item.state != ITEM_REFUSED)
		return ref_refuse(r, C_ITEM, o->item.state == ITEM_PAID ? "this debit was paid before" : "the bank has not refused this debit");
	for (size_t i = 0; i < seen->count; i++)
		if (strcmp(seen->id[i], o->item.id) == 0)
			return ref_refuse(r, C_ITEM, "this debit stands here twice");
	memcpy(seen->id[seen->count++], o->item.id, sizeof(o->item.id));
	return 0;
}

int bank_event_check(struct txn *t, const void *p, size_t n, char *ret_error, size_t error_bytes)
{
	struct paid_items *seen = calloc(1, sizeof(*seen));
	int ret = seen == NULL ? -ENOMEM : orders_walk(t, p, n, order_check, seen, ret_error, error_bytes);

	free(seen);
	return ret != 0 ? ret : t->error;
}

static int order_apply(const struct ref_reading *r, struct txn *t, const struct order *o, void *arg)
{
	struct item_row item = o->item;

	(void)r;
	(void)arg;
	switch (o->action) {
	case ACTION_DENY: deny_put(t, o->pan, DENY_BANK, "", 0); break;
	case ACTION_ALLOW: card_allow(t, o->pan); break;
	case ACTION_PAID:
		item.state = ITEM_PAID;
		item_put(t, &item);
		deny_remove(t, o->pan, DENY_ARREARS, item.id);
		deny_remove(t, o->pan, DENY_RISK, item.id);
		break;
	}
	return t->error;
}

int bank_event_apply(struct txn *t, const void *p, size_t n)
{
	char error[256];

	return orders_walk(t, p, n, order_apply, NULL, error, sizeof(error));
}

struct posting_to { posting_fn emit; void *arg; };

static int order_post(const struct ref_reading *r, struct txn *t, const struct order *o, void *arg)
{
	struct posting_to *to = arg;
	struct posting p = { ACCOUNT(ACCOUNT_CASH, 1), ACCOUNT(ACCOUNT_BANK, 2), money_of_fen(o->item.amount_fen), POST_ARREARS_PAID, 0 };

	struct risk risk;
	int ret;

	(void)r;
	if (o->action != ACTION_PAID || p.amount.fen <= 0)
		return 0;
	ret = risk_of(t, &o->item, &risk);
	if (ret == 0 && risk.rides > 0)
		risk_post(&risk, true, to->emit, to->arg);
	else if (ret == 0)
		to->emit(to->arg, &p, SCHEME_BANK, o->item.cleared_key + 5);
	risk_done(&risk);
	return ret;
}

int bank_event_post(struct txn *t, const void *p, size_t n, posting_fn emit, void *arg)
{
	struct posting_to to = { emit, arg };
	char error[256];

	return orders_walk(t, p, n, order_post, &to, error, sizeof(error));
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

static const char *reason_text(enum deny_reason r)
{
	switch (r) {
	case DENY_BANK: return "银行名单";
	case DENY_ARREARS: return "欠费";
	case DENY_RISK: return "首乘风险";
	}
	return "?";
}

static void denied_print(const struct denied *d, bool json, FILE *out)
{
	struct jsonw j;
	char card[24];

	pan_masked(d->pan, card);
	if (!json) {
		fprintf(out, "%s  %s  %s  %" PRId64 ".%02d\n", card, reason_text(d->reason), d->item[0] != '\0' ? d->item : "-", d->fen / 100, (int)(d->fen % 100));
		return;
	}
	jsonw_init(&j, out, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.denied");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "card", card);
	jsonw_kstr(&j, "reason", deny_reason_name(d->reason));
	jsonw_kstr(&j, "debit", d->item);
	jsonw_kint(&j, "fen", d->fen);
	jsonw_kint(&j, "since_seq", (int64_t)d->seq);
	jsonw_object_end(&j);
	fputc('\n', out);
}

int denied_list(struct store *s, bool json, FILE *out)
{
	struct denied d;
	struct iter it;
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	iter_open(&t, DB_DENY, NULL, 0, &it);
	while (denied_next(&it, &d))
		denied_print(&d, json, out);
	iter_close(&it);
	ret = t.error;
	txn_abort(&t);
	return ret;
}
