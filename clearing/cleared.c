/*
 * cleared - the bytes of what a clear writes: results of taps, adjustments, postings, cubes. Fixed order, big-endian, so
 * that a row is the same on every machine.
 */
#include "clearing/clearing.h"

#include <string.h>

struct out { uint8_t *p, *end; bool full; };
struct in { const uint8_t *p, *end; bool short_; };

/* The last n bytes of v, 1 to 8. */
static void put(struct out *o, uint64_t v, unsigned n)
{
	if ((size_t)(o->end - o->p) < n) {
		o->full = true;
		return;
	}
	if (o->end - o->p >= 8) {	/* whatever is behind them is written later */
		be64_put(o->p, v << (64 - 8 * n));
		o->p += n;
		return;
	}
	for (unsigned i = 0; i < n; i++)
		*o->p++ = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static void put_bytes(struct out *o, const void *from, size_t n)
{
	if ((size_t)(o->end - o->p) < n) {
		o->full = true;
		return;
	}
	memcpy(o->p, from, n);
	o->p += n;
}

static uint64_t get(struct in *i, unsigned n)
{
	uint64_t v = 0;

	if ((size_t)(i->end - i->p) < n) {
		i->short_ = true;
		return 0;
	}
	for (unsigned k = 0; k < n; k++)
		v = v << 8 | *i->p++;
	return v;
}

static void get_bytes(struct in *i, void *to, size_t n)
{
	if ((size_t)(i->end - i->p) < n) {
		i->short_ = true;
		return;
	}
	memcpy(to, i->p, n);
	i->p += n;
}

#define CLEARED_VERSION 1
#define CLEARED_VERSION_HOLD 2		/* the same with a hold after the postings */
#define CLEARED_VERSION_DIFFERENCE 3	/* and with the reason of a difference and what of it stays with the operator */

static void put_fare(struct out *o, const struct fare *f)
{
	put(o, f->reject, 1);
	put(o, (uint64_t)f->published.fen, 8);
	put(o, (uint64_t)f->paid.fen, 8);
	put(o, (uint64_t)f->absorbed.fen, 8);
	put(o, f->line, 2);
	put(o, f->group, 2);
	put(o, f->rule, 2);
	put(o, f->fund_rule, 2);
	put(o, f->transfer, 1);
	put(o, f->funder_count, 1);
	for (uint8_t i = 0; i < f->funder_count; i++) {
		put(o, f->funder[i].treasury, 2);
		put(o, (uint64_t)f->funder[i].amount.fen, 8);
	}
	put(o, f->step_count, 1);
	for (uint8_t i = 0; i < f->step_count; i++) {
		put(o, f->step[i].kind, 1);
		put(o, f->step[i].rule, 2);
		put(o, (uint32_t)f->step[i].delta_fen, 4);
	}
}

static void get_fare(struct in *i, struct fare *f)
{
	f->reject = (enum fare_reject)get(i, 1);
	f->published.fen = (int64_t)get(i, 8);
	f->paid.fen = (int64_t)get(i, 8);
	f->absorbed.fen = (int64_t)get(i, 8);
	f->line = (uint16_t)get(i, 2);
	f->group = (uint16_t)get(i, 2);
	f->rule = (uint16_t)get(i, 2);
	f->fund_rule = (uint16_t)get(i, 2);
	f->transfer = get(i, 1) != 0;
	f->funder_count = (uint8_t)get(i, 1);
	i->short_ = i->short_ || f->funder_count > FARE_FUNDERS_MAX;
	for (uint8_t k = 0; !i->short_ && k < f->funder_count; k++) {
		f->funder[k].treasury = (uint16_t)get(i, 2);
		f->funder[k].amount.fen = (int64_t)get(i, 8);
	}
	f->step_count = (uint8_t)get(i, 1);
	i->short_ = i->short_ || f->step_count > FARE_STEPS_MAX;
	for (uint8_t k = 0; !i->short_ && k < f->step_count; k++) {
		f->step[k].kind = (uint8_t)get(i, 1);
		f->step[k].rule = (uint16_t)get(i, 2);
		f->step[k].delta_fen = (int32_t)get(i, 4);
	}
}

static void put_postings(struct out *o, const struct posting *p, uint8_t count)
{
	put(o, count, 1);
	for (uint8_t i = 0; i < count; i++) {
		put(o, p[i].debit, 4);
		put(o, p[i].credit, 4);
		put(o, (uint64_t)p[i].amount.fen, 8);
		put(o, p[i].reason, 1);
		put(o, p[i].rule, 2);
	}
}

static uint8_t get_postings(struct in *i, struct posting *p, uint8_t max)
{
	uint8_t count = (uint8_t)get(i, 1);

	i->short_ = i->short_ || count > max;
	for (uint8_t k = 0; !i->short_ && k < count; k++) {
		p[k].debit = (account_t)get(i, 4);
		p[k].credit = (account_t)get(i, 4);
		p[k].amount.fen = (int64_t)get(i, 8);
		p[k].reason = (uint8_t)get(i, 1);
		p[k].rule = (uint16_t)get(i, 2);
	}
	return count;
}

static void put_priced(struct out *o, const struct priced *p)
{
	put(o, (uint64_t)p->charged.fen, 8);
	put(o, (uint64_t)p->overcharge.fen, 8);
	put(o, (uint64_t)p->undercharge.fen, 8);
	put(o, p->difference, 1);
	put_postings(o, p->posting, p->posting_count);
}

static void get_priced(struct in *i, struct priced *p)
{
	p->charged.fen = (int64_t)get(i, 8);
	p->overcharge.fen = (int64_t)get(i, 8);
	p->undercharge.fen = (int64_t)get(i, 8);
	p->difference = (enum fare_difference)get(i, 1);
	p->posting_count = get_postings(i, p->posting, POSTINGS_PER_TAP_MAX);
}

int cleared_encode(const struct cleared *c, uint8_t *out, size_t out_bytes)
{
	struct out o = { out, out + out_bytes, false };
	uint8_t version = c->priced.reason != 0 ? CLEARED_VERSION_DIFFERENCE : c->priced.hold.fen != 0 ? CLEARED_VERSION_HOLD : CLEARED_VERSION;

	put(&o, version, 1);
	put(&o, c->verdict, 1);
	put(&o, c->check, 1);
	put(&o, c->scheme, 1);
	put(&o, c->pending, 1);
	put(&o, c->operator_id, 4);
	put(&o, c->tariff_version, 4);
	put_fare(&o, &c->fare);
	put_priced(&o, &c->priced);
	if (version >= CLEARED_VERSION_HOLD)
		put(&o, (uint64_t)c->priced.hold.fen, 8);
	if (version >= CLEARED_VERSION_DIFFERENCE) {
		put(&o, c->priced.reason, 1);
		put(&o, (uint64_t)c->priced.kept.fen, 8);
	}
	return o.full ? TAP_E_SPACE : (int)(o.p - out);
}

static bool fare_same(const struct fare *a, const struct fare *b)
{
	bool same = a->reject == b->reject && a->published.fen == b->published.fen && a->paid.fen == b->paid.fen && a->absorbed.fen == b->absorbed.fen &&
		    a->line == b->line && a->group == b->group && a->rule == b->rule && a->fund_rule == b->fund_rule && a->transfer == b->transfer &&
		    a->funder_count == b->funder_count && a->step_count == b->step_count;

	for (uint8_t i = 0; same && i < a->funder_count; i++)
		same = a->funder[i].treasury == b->funder[i].treasury && a->funder[i].amount.fen == b->funder[i].amount.fen;
	for (uint8_t i = 0; same && i < a->step_count; i++)
		same = a->step[i].kind == b->step[i].kind && a->step[i].rule == b->step[i].rule && a->step[i].delta_fen == b->step[i].delta_fen;
	return same;
}

static bool priced_same(const struct priced *a, const struct priced *b)
{
	bool same = a->charged.fen == b->charged.fen && a->overcharge.fen == b->overcharge.fen && a->undercharge.fen == b->undercharge.fen &&
		    a->difference == b->difference && a->posting_count == b->posting_count && a->hold.fen == b->hold.fen && a->reason == b->reason &&
		    a->kept.fen == b->kept.fen;

	for (uint8_t i = 0; same && i < a->posting_count; i++)
		same = a->posting[i].debit == b->posting[i].debit && a->posting[i].credit == b->posting[i].credit &&
		       a->posting[i].amount.fen == b->posting[i].amount.fen && a->posting[i].reason == b->posting[i].reason &&
		       a->posting[i].rule == b->posting[i].rule;
	return same;
}

static bool judged_same(const struct cleared *a, const struct cleared *b)
{
	return a->verdict == b->verdict && a->check == b->check && a->scheme == b->scheme && a->pending == b->pending && a->operator_id == b->operator_id &&
	       a->tariff_version == b->tariff_version && fare_same(&a->fare, &b->fare);
}

bool cleared_same(const struct cleared *a, const struct cleared *b) { return judged_same(a, b) && priced_same(&a->priced, &b->priced); }

bool cleared_rated_same(const struct cleared *a, const struct cleared *b) { return judged_same(a, b) && a->fare.moved.fen == b->fare.moved.fen; }

bool cleared_decode(const uint8_t *p, size_t n, struct cleared *ret)
{
	struct in i = { p, p + n, false };
	struct cleared c = { 0 };
	uint8_t version = (uint8_t)get(&i, 1);

	if (version < CLEARED_VERSION || version > CLEARED_VERSION_DIFFERENCE)
		return false;
	c.verdict = (uint8_t)get(&i, 1);
	c.check = (uint8_t)get(&i, 1);
	c.scheme = (uint8_t)get(&i, 1);
	c.pending = get(&i, 1) != 0;
	c.operator_id = (uint32_t)get(&i, 4);
	c.tariff_version = (uint32_t)get(&i, 4);
	get_fare(&i, &c.fare);
	get_priced(&i, &c.priced);
	if (version >= CLEARED_VERSION_HOLD)
		c.priced.hold.fen = (int64_t)get(&i, 8);
	if (version >= CLEARED_VERSION_DIFFERENCE) {
		c.priced.reason = (uint8_t)get(&i, 1);
		c.priced.kept.fen = (int64_t)get(&i, 8);
	}
	c.priced.published = c.fare.published;
	c.priced.rated = c.fare.paid;
	c.priced.absorbed = c.fare.absorbed;
	c.fare.moved = money_add(c.fare.paid, c.priced.hold);
	if (i.short_ || i.p != i.end || c.verdict >= VERDICT_COUNT || c.priced.reason >= DIFFERENCE_COUNT)
		return false;
	*ret = c;
	return true;
}

void adjust_key(const struct adjustment *a, uint8_t out[ADJUST_KEY_BYTES])
{
	be32_put(out, (uint32_t)a->day ^ 0x80000000u);
	memcpy(out + 4, a->key, TAP_KEY_BYTES);
	be16_put(out + 4 + TAP_KEY_BYTES, a->nth);
}

#define ADJUST_VERSION 1

int adjust_encode(const struct adjustment *a, uint8_t *out, size_t out_bytes)
{
	struct out o = { out, out + out_bytes, false };

	put(&o, ADJUST_VERSION, 1);
	put(&o, (uint32_t)a->settled_day, 4);
	put(&o, a->cause, 1);
	put_bytes(&o, a->cause_key, TAP_KEY_BYTES);
	put(&o, a->was, 1);
	put(&o, a->verdict, 1);
	put(&o, a->scheme, 1);
	put(&o, a->operator_id, 4);
	put(&o, a->was_version, 4);
	put(&o, a->tariff_version, 4);
	put(&o, (uint64_t)a->charged_fen, 8);
	put(&o, (uint64_t)a->refund_fen, 8);
	put_fare(&o, &a->before);
	put(&o, (uint64_t)a->before.moved.fen, 8);
	put_fare(&o, &a->fare);
	put(&o, (uint64_t)a->fare.moved.fen, 8);
	put_postings(&o, a->posting, a->posting_count);
	return o.full ? TAP_E_SPACE : (int)(o.p - out);
}

bool adjust_decode(const uint8_t *key, size_t key_bytes, const uint8_t *val, size_t val_bytes, struct adjustment *ret)
{
	struct in i = { val, val + val_bytes, false };
	struct adjustment a = { 0 };

	if (key_bytes != ADJUST_KEY_BYTES || get(&i, 1) != ADJUST_VERSION)
		return false;
	a.day = (int32_t)(be32_get(key) ^ 0x80000000u);
	memcpy(a.key, key + 4, TAP_KEY_BYTES);
	a.nth = be16_get(key + 4 + TAP_KEY_BYTES);
	a.settled_day = (int32_t)get(&i, 4);
	a.cause = (uint8_t)get(&i, 1);
	get_bytes(&i, a.cause_key, TAP_KEY_BYTES);
	a.was = (uint8_t)get(&i, 1);
	a.verdict = (uint8_t)get(&i, 1);
	a.scheme = (uint8_t)get(&i, 1);
	a.operator_id = (uint32_t)get(&i, 4);
	a.was_version = (uint32_t)get(&i, 4);
	a.tariff_version = (uint32_t)get(&i, 4);
	a.charged_fen = (int64_t)get(&i, 8);
	a.refund_fen = (int64_t)get(&i, 8);
	get_fare(&i, &a.before);
	a.before.moved.fen = (int64_t)get(&i, 8);
	get_fare(&i, &a.fare);
	a.fare.moved.fen = (int64_t)get(&i, 8);
	a.posting_count = get_postings(&i, a.posting, ADJUST_POSTINGS_MAX);
	if (i.short_ || i.p != i.end || a.was >= VERDICT_COUNT || a.verdict >= VERDICT_COUNT)
		return false;
	*ret = a;
	return true;
}

size_t cube_key(const struct cube *c, uint8_t out[CUBE_KEY_BYTES_MAX])
{
	struct out o = { out, out + CUBE_KEY_BYTES_MAX, false };

	put(&o, (uint32_t)c->day ^ 0x80000000u, 4);
	put(&o, c->verdict, 1);
	put(&o, c->operator_id, 4);
	put(&o, c->scheme, 1);
	put(&o, c->medium, 1);
	put(&o, c->card_class, 1);
	put(&o, c->group, 2);
	put(&o, c->rule, 2);
	put(&o, c->fund_rule, 2);
	put(&o, c->tariff_version, 4);
	put_bytes(&o, c->line, strlen(c->line));
	if (c->reason != 0) {	/* behind the end of the line, so that cubes without a difference lie as they always did */
		put(&o, 0, 1);
		put(&o, c->reason, 1);
	}
	return (size_t)(o.p - out);
}

size_t cube_value(const struct cube *c, uint8_t out[CUBE_VALUE_BYTES_MAX])
{
	struct out o = { out, out + CUBE_VALUE_BYTES_MAX, false };

	put(&o, c->taps, 8);
	put(&o, c->transfers, 8);
	put(&o, (uint64_t)c->published_fen, 8);
	put(&o, (uint64_t)c->charged_fen, 8);
	put(&o, (uint64_t)c->rated_fen, 8);
	put(&o, (uint64_t)c->absorbed_fen, 8);
	put(&o, (uint64_t)c->overcharge_fen, 8);
	put(&o, (uint64_t)c->undercharge_fen, 8);
	put(&o, c->funder_count, 1);
	for (uint8_t i = 0; i < c->funder_count; i++) {
		put(&o, c->funder[i].treasury, 2);
		put(&o, (uint64_t)c->funder[i].fen, 8);
	}
	if (c->hold_fen != 0 || c->kept_fen != 0)
		put(&o, (uint64_t)c->hold_fen, 8);
	if (c->kept_fen != 0)
		put(&o, (uint64_t)c->kept_fen, 8);
	return (size_t)(o.p - out);
}

bool cube_decode(const uint8_t *key, size_t key_bytes, const uint8_t *val, size_t val_bytes, struct cube *ret)
{
	struct in k = { key, key + key_bytes, false }, v = { val, val + val_bytes, false };
	struct cube c = { 0 };
	size_t line;

	c.day = (int32_t)((uint32_t)get(&k, 4) ^ 0x80000000u);
	c.verdict = (uint8_t)get(&k, 1);
	c.operator_id = (uint32_t)get(&k, 4);
	c.scheme = (uint8_t)get(&k, 1);
	c.medium = (uint8_t)get(&k, 1);
	c.card_class = (uint8_t)get(&k, 1);
	c.group = (uint16_t)get(&k, 2);
	c.rule = (uint16_t)get(&k, 2);
	c.fund_rule = (uint16_t)get(&k, 2);
	c.tariff_version = (uint32_t)get(&k, 4);
	line = (size_t)(k.end - k.p);
	if (line >= 2 && k.end[-2] == '\0') {
		c.reason = k.end[-1];
		line -= 2;
	}
	if (k.short_ || line > LINE_BYTES_MAX || c.verdict >= VERDICT_COUNT || c.reason >= DIFFERENCE_COUNT)
		return false;
	memcpy(c.line, k.p, line);
	c.taps = get(&v, 8);
	c.transfers = get(&v, 8);
	c.published_fen = (int64_t)get(&v, 8);
	c.charged_fen = (int64_t)get(&v, 8);
	c.rated_fen = (int64_t)get(&v, 8);
	c.absorbed_fen = (int64_t)get(&v, 8);
	c.overcharge_fen = (int64_t)get(&v, 8);
	c.undercharge_fen = (int64_t)get(&v, 8);
	c.funder_count = (uint8_t)get(&v, 1);
	if (c.funder_count > FARE_FUNDERS_MAX)
		return false;
	for (uint8_t i = 0; i < c.funder_count; i++) {
		c.funder[i].treasury = (uint16_t)get(&v, 2);
		c.funder[i].fen = (int64_t)get(&v, 8);
	}
	if (!v.short_ && v.p != v.end)
		c.hold_fen = (int64_t)get(&v, 8);
	if (!v.short_ && v.p != v.end)
		c.kept_fen = (int64_t)get(&v, 8);
	if (v.short_ || v.p != v.end)
		return false;
	*ret = c;
	return true;
}

void posting_key(const struct posting_row *r, uint8_t out[POSTING_KEY_BYTES])
{
	struct out o = { out, out + POSTING_KEY_BYTES, false };

	put(&o, (uint32_t)r->day ^ 0x80000000u, 4);
	put(&o, r->debit, 4);
	put(&o, r->credit, 4);
	put(&o, r->scheme, 1);
	put(&o, r->reason, 1);
	put(&o, r->rule, 2);
	put(&o, r->tariff_version, 4);
}

void posting_value(const struct posting_row *r, uint8_t out[POSTING_VALUE_BYTES])
{
	struct out o = { out, out + POSTING_VALUE_BYTES, false };

	put(&o, r->count, 8);
	put(&o, (uint64_t)r->sum_fen, 8);
	put_bytes(&o, r->digest, DIGEST_BYTES);
}

bool posting_decode(const uint8_t *key, size_t key_bytes, const uint8_t *val, size_t val_bytes, struct posting_row *ret)
{
	struct in k = { key, key + key_bytes, false }, v = { val, val + val_bytes, false };

	if (key_bytes != POSTING_KEY_BYTES || val_bytes != POSTING_VALUE_BYTES)
		return false;
	ret->day = (int32_t)((uint32_t)get(&k, 4) ^ 0x80000000u);
	ret->debit = (account_t)get(&k, 4);
	ret->credit = (account_t)get(&k, 4);
	ret->scheme = (uint8_t)get(&k, 1);
	ret->reason = (uint8_t)get(&k, 1);
	ret->rule = (uint16_t)get(&k, 2);
	ret->tariff_version = (uint32_t)get(&k, 4);
	ret->count = get(&v, 8);
	ret->sum_fen = (int64_t)get(&v, 8);
	get_bytes(&v, ret->digest, DIGEST_BYTES);
	return true;
}
