/*
 * debit - the rides of one bank card in one fare day as one item of the bank's file. Each ride keeps its row, its fare
 * and its postings; the debit is their sum, and leads to them as they lead to it.
 *
 * The invariant: a ride that is charged is in exactly one debit, of the settlement day that booked it. A ride that came
 * after its card's debit of that fare day was sent makes a debit of its own; nothing that was sent changes.
 */
#include "clearing/settle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int debits_add(struct debits *d, const uint8_t cleared_key[CLEARED_KEY_BYTES], const struct tap *tap, int64_t fen)
{
	struct debit_ride *r;

	if (d->count == d->space) {
		size_t space = d->space ? d->space * 2 : 256;
		struct debit_ride *wide = realloc(d->ride, space * sizeof(*wide));

		if (wide == NULL)
			return -ENOMEM;
		d->ride = wide;
		d->space = space;
	}
	r = &d->ride[d->count++];
	*r = (struct debit_ride){ .fare_day = service_day_of_ms(tap->time_ms, DAY_CUT_S_DEFAULT), .single = tap->kind != TAP_BANK || cleared_key[4] == CLEARED_ADJUSTMENT,
				    .fen = fen };
	memcpy(r->pan, tap->pan, sizeof(r->pan));
	memcpy(r->cleared_key, cleared_key, CLEARED_KEY_BYTES);
	return 0;
}

void debits_done(struct debits *d) { free(d->ride); }

/* Rides of one debit lie together; those that are debited alone each by itself. */
static int group_compare(const void *pa, const void *pb)
{
	const struct debit_ride *a = pa, *b = pb;
	int order = memcmp(a->pan, b->pan, sizeof(a->pan));

	if (order == 0 && a->fare_day != b->fare_day)
		order = a->fare_day < b->fare_day ? -1 : 1;
	if (order == 0 && a->single != b->single)
		order = a->single ? 1 : -1;
	return order != 0 ? order : memcmp(a->cleared_key, b->cleared_key, CLEARED_KEY_BYTES);
}

static bool same_debit(const struct debit_ride *a, const struct debit_ride *b)
{
	return !a->single && !b->single && a->fare_day == b->fare_day && memcmp(a->pan, b->pan, sizeof(a->pan)) == 0;
}

static int first_compare(const void *pa, const void *pb)
{
	const struct debit *a = pa, *b = pb;

	return memcmp(a->ride[0].cleared_key, b->ride[0].cleared_key, CLEARED_KEY_BYTES);
}

/* A debit is called by its first ride: terminal and serial. A terminal that began its serials anew on the day can give
 * one twice; the later in canonical order gets a number behind. */
static void debit_name(const char yymmdd[7], bool refunds, struct debit *list, size_t i)
{
	const char *prefix = list[i].ride[0].cleared_key[4] != CLEARED_ADJUSTMENT ? "QF" : refunds ? "QR" : "QA";
	struct debit *d = &list[i];
	char terminal[13];
	size_t twins = 0;

	while (twins < i && memcmp(list[i - twins - 1].ride[0].cleared_key + 5, d->ride[0].cleared_key + 5, 10) == 0)
		twins++;
	hex_encode(d->ride[0].cleared_key + 5, 6, terminal);
	snprintf(d->id, sizeof(d->id), "%s%s%s%08X", prefix, yymmdd, terminal, be32_get(d->ride[0].cleared_key + 11));
	if (twins > 0)
		snprintf(d->id + strlen(d->id), sizeof(d->id) - strlen(d->id), "%02X", (unsigned)(twins & 0xFF));
}

int debits_make(struct debits *d, const char yymmdd[7], struct debit **ret_list, size_t *ret_count)
{
	struct debit *list = malloc((d->count + 1) * sizeof(*list));
	size_t count = 0;

	if (list == NULL)
		return -ENOMEM;
	if (d->count > 1)
		qsort(d->ride, d->count, sizeof(d->ride[0]), group_compare);
	for (size_t i = 0; i < d->count; i++) {
		if (count == 0 || !same_debit(&d->ride[i - 1], &d->ride[i]))
			list[count++] = (struct debit){ .ride = &d->ride[i] };
		list[count - 1].rides++;
		list[count - 1].fen += d->ride[i].fen;
	}
	if (count > 1)
		qsort(list, count, sizeof(list[0]), first_compare);
	for (size_t i = 0; i < count; i++)
		debit_name(yymmdd, d->refunds, list, i);
	*ret_list = list;
	*ret_count = count;
	return 0;
}

/* ---- from the debit to its rides and back ------------------------------------------------------------------ */

#define DEBIT_KEY_BYTES_MAX (40 + CLEARED_KEY_BYTES)

static size_t debit_key(const char *id, uint8_t key[DEBIT_KEY_BYTES_MAX]) { return (size_t)snprintf((char *)key, 40, "%s", id) + 1; }

void debit_link(struct txn *t, const struct debit *d)
{
	uint8_t key[DEBIT_KEY_BYTES_MAX], fen[8];
	size_t n = debit_key(d->id, key);

	for (size_t i = 0; i < d->rides; i++) {
		memcpy(key + n, d->ride[i].cleared_key, CLEARED_KEY_BYTES);
		be64_put(fen, (uint64_t)d->ride[i].fen);
		txn_put(t, DB_DEBIT, key, n + CLEARED_KEY_BYTES, fen, sizeof(fen));
		txn_put(t, DB_DEBITED, d->ride[i].cleared_key, CLEARED_KEY_BYTES, d->id, strlen(d->id));
	}
}

bool debit_of_ride(struct txn *t, const uint8_t cleared_key[CLEARED_KEY_BYTES], char ret_id[DEBIT_ID_BYTES])
{
	const void *val;
	size_t n;

	if (!txn_get(t, DB_DEBITED, cleared_key, CLEARED_KEY_BYTES, &val, &n) || n >= DEBIT_ID_BYTES)
		return false;
	memcpy(ret_id, val, n);
	ret_id[n] = '\0';
	return true;
}

void debit_rides_open(struct txn *t, const char *id, struct iter *ret_iter)
{
	uint8_t key[DEBIT_KEY_BYTES_MAX];

	iter_open(t, DB_DEBIT, key, debit_key(id, key), ret_iter);
}

bool debit_rides_next(struct iter *it, uint8_t ret_cleared_key[CLEARED_KEY_BYTES], int64_t *ret_fen)
{
	if (!iter_next(it) || it->key_bytes != it->prefix_bytes + CLEARED_KEY_BYTES || it->val_bytes != 8)
		return false;
	memcpy(ret_cleared_key, it->key + it->prefix_bytes, CLEARED_KEY_BYTES);
	*ret_fen = (int64_t)be64_get(it->val);
	return true;
}

/* ---- of an adjustment ------------------------------------------------------------------------------------------- */

void debit_adjust_key(const struct adjustment *a, uint8_t ret_cleared_key[CLEARED_KEY_BYTES])
{
	uint8_t key[ADJUST_KEY_BYTES];

	adjust_key(a, key);
	memcpy(ret_cleared_key, key, 4);
	ret_cleared_key[4] = CLEARED_ADJUSTMENT;
	memcpy(ret_cleared_key + 5, key + 4, TAP_KEY_BYTES + 2);
}

bool debit_adjustment(struct txn *t, const uint8_t cleared_key[CLEARED_KEY_BYTES], struct adjustment *ret, int64_t *ret_fen)
{
	uint8_t key[ADJUST_KEY_BYTES];
	const void *val;
	size_t n;

	if (cleared_key[4] != CLEARED_ADJUSTMENT)
		return false;
	memcpy(key, cleared_key, 4);
	memcpy(key + 4, cleared_key + 5, TAP_KEY_BYTES + 2);
	if (!txn_get(t, DB_ADJUST, key, sizeof(key), &val, &n) || !adjust_decode(key, sizeof(key), val, n, ret))
		return false;
	*ret_fen = adjust_collect_fen(ret->posting, ret->posting_count, (enum scheme)ret->scheme);
	return true;
}

bool debit_row(struct txn *t, const uint8_t cleared_key[CLEARED_KEY_BYTES], struct cleared *ret)
{
	uint8_t key[CLEARED_KEY_BYTES];
	struct adjustment a;
	int64_t fen;

	memcpy(key, cleared_key, sizeof(key));
	if (debit_adjustment(t, cleared_key, &a, &fen))
		row_key(a.settled_day, CLEARED_RIDE, a.key, a.nth, key);
	return row_get(t, key, ret);
}

/* ---- explained ----------------------------------------------------------------------------------------------- */

static const char *state_text(uint8_t state)
{
	switch ((enum item_state)state) {
	case ITEM_OPEN: return "等待银行";
	case ITEM_CONFIRMED: return "已入账";
	case ITEM_REFUSED: return "银行拒付, 欠费";
	case ITEM_PAID: return "欠费已付";
	case ITEM_WAITING: return "等待平台应答";
	}
	return "?";
}

static const char *state_name(uint8_t state)
{
	static const char *const names[] = { "open", "collected", "arrears", "paid", "waiting" };

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

/* What it is to the rider: of rides, or of what became of one since. */
enum what { WHAT_DEBIT, WHAT_FURTHER, WHAT_REFUND };
static const char *const what_zh[] = { "扣款", "补扣, 以前乘车的调整", "退款, 以前乘车的调整" }, *const what_name[] = { "debit", "further-debit", "refund" };

static enum what what_of(struct txn *t, const struct item_row *item)
{
	struct adjustment a;
	int64_t fen;

	return !debit_adjustment(t, item->cleared_key, &a, &fen) ? WHAT_DEBIT : fen > 0 ? WHAT_FURTHER : WHAT_REFUND;
}

static const char *state_zh(const struct item_row *item, enum what what)
{
	return what != WHAT_REFUND ? state_text(item->state) : item->state == ITEM_CONFIRMED ? "已退" : item->state == ITEM_REFUSED ? "银行未能退付, 仍应退" : state_text(item->state);
}

struct telling { FILE *out; struct jsonw json; bool as_json; int64_t sum; unsigned rides; };

static void ride_tell(struct telling *w, const uint8_t cleared_key[CLEARED_KEY_BYTES], int64_t fen, const struct cleared *c, const struct tap *tap)
{
	char id[TAP_ID_BYTES], time[32];

	tap_id_format(cleared_key + 5, id);
	time_format(tap->time_ms, time);
	w->sum += fen;
	w->rides++;
	if (!w->as_json) {
		fprintf(w->out, "  %s  %s  线路 %s  票面 %" PRId64 ".%02d  应付 %" PRId64 ".%02d%s\n", id, time, tap->line, c->fare.published.fen / 100,
			(int)(c->fare.published.fen % 100), fen / 100, (int)(fen % 100), c->fare.transfer ? "  换乘" : "");
		return;
	}
	jsonw_object(&w->json);
	jsonw_kstr(&w->json, "tap", id);
	jsonw_kstr(&w->json, "time", time);
	jsonw_kstr(&w->json, "line", tap->line);
	jsonw_kint(&w->json, "published_fen", c->fare.published.fen);
	jsonw_kint(&w->json, "charged_fen", fen);
	jsonw_kbool(&w->json, "transfer", c->fare.transfer);
	jsonw_object_end(&w->json);
}

static int rides_tell(struct txn *t, const char *id, struct telling *w)
{
	uint8_t key[CLEARED_KEY_BYTES];
	struct iter it;
	int64_t fen;
	int ret = 0;

	debit_rides_open(t, id, &it);
	while (ret == 0 && debit_rides_next(&it, key, &fen)) {
		const char *field;
		struct cleared c;
		struct tap tap;

		if (debit_row(t, key, &c) && tap_decode(c.raw, c.raw_bytes, &tap, &field) == 0)
			ride_tell(w, key, fen, &c, &tap);
		else
			ret = CLEARING_E_STORE;
	}
	iter_close(&it);
	return ret;
}

static void head_tell(struct telling *w, const struct item_row *item, const char *card, enum what what)
{
	char day[11];

	day_format(item->day, day);
	if (!w->as_json) {
		fprintf(w->out, "%s\n%s  结算日 %s  卡 %s  金额 %" PRId64 ".%02d 元  %s\n", item->id, what_zh[what], day, card, item->amount_fen / 100,
			(int)(item->amount_fen % 100), state_zh(item, what));
		return;
	}
	jsonw_init(&w->json, w->out, false);
	jsonw_object(&w->json);
	jsonw_kstr(&w->json, "schema", "qingfen.debit");
	jsonw_kint(&w->json, "version", 1);
	jsonw_kstr(&w->json, "debit", item->id);
	jsonw_kstr(&w->json, "what", what_name[what]);
	jsonw_kstr(&w->json, "day", day);
	jsonw_kstr(&w->json, "card", card);
	jsonw_kint(&w->json, "amount_fen", item->amount_fen);
	jsonw_kstr(&w->json, "state", state_name(item->state));
	jsonw_key(&w->json, "rides");
	jsonw_array(&w->json);
}

bool debit_card(struct txn *t, const struct item_row *item, struct tap *ret_tap)
{
	const char *field;
	struct cleared c;

	return debit_row(t, item->cleared_key, &c) && tap_decode(c.raw, c.raw_bytes, ret_tap, &field) == 0;
}

int explain_debit(struct store *s, const char *id, bool json, FILE *out)
{
	struct telling w = { .out = out, .as_json = json };
	struct item_row item;
	char card[24];
	struct tap tap;
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	if (!item_get(&t, SCHEME_BANK, id, &item))
		ret = t.error != 0 ? t.error : -ENOENT;
	if (ret == 0 && !debit_card(&t, &item, &tap))
		ret = CLEARING_E_STORE;
	if (ret == 0) {
		pan_masked(tap.pan, card);
		head_tell(&w, &item, card, what_of(&t, &item));
		ret = rides_tell(&t, id, &w);
	}
	if (ret == 0 && json) {
		jsonw_array_end(&w.json);
		jsonw_object_end(&w.json);
		fputc('\n', out);
	} else if (ret == 0) {
		fprintf(out, "  共 %u 次乘车, 合计 %" PRId64 ".%02d 元\n", w.rides, w.sum / 100, (int)(w.sum % 100));
	}
	txn_abort(&t);
	return ret;
}
