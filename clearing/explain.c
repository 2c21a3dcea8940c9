/*
 * explain - why this fare: one tap, the rules that priced it with their documents, the rules that did not apply
 * and why, who pays, the key check, where it lies in the inbox. The fare is computed again from the state before
 * the ride, so the explanation is the calculation and not a story about it.
 */
#include "clearing/clear.h"
#include "clearing/settle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/code_route.h"
#include "clearing/explain.h"
#include "clearing/unproven.h"

struct case_file {			/* everything about one row */
	struct txn t;
	int32_t day;
	struct cleared row; uint16_t nth; uint8_t row_key[TAP_KEY_BYTES];
	struct tap tap; bool decoded;
	struct day_row day_row;
	struct refdata *ref;
	struct card_life life; enum card_standing card;	/* at the tap's time, as known at the cut */
	const struct distrust *distrust;
	const struct tariff *tariff;
	struct rate_notes notes;
	struct fare again; bool rated_again;
	struct tariff_counter counter[8]; size_t counter_count;	/* of rated_again */
	struct difference differs;	/* of rated_again */
	uint64_t again_seq;		/* event of the check that took the place of the one on arrival; 0: none did */
};

static bool row_find(struct case_file *f, const uint8_t key[TAP_KEY_BYTES])
{
	struct iter days;
	bool found = false;

	iter_open(&f->t, DB_DAY, NULL, 0, &days);
	while (iter_next(&days)) {
		uint8_t prefix[CLEARED_KEY_BYTES];
		struct row_iter it;
		struct day_row day;

		if (!day_decode(days.val, days.val_bytes, &day))
			continue;
		row_key(day.day, CLEARED_RIDE, key, 0, prefix);
		rows_open(&f->t, prefix, 5 + TAP_KEY_BYTES, &it);
		while (rows_next(&it)) {
			/* the row that is money explains the tap; else its first row that is more than a wait for a key device */
			if (found && f->row.verdict != VERDICT_PENDING_TAC && !verdict_info((enum verdict)it.row.verdict)->money)
				continue;
			f->row = it.row;
			f->nth = be16_get(it.key + 23);
			f->day = day.day;
			f->day_row = day;
			found = true;
		}
		rows_close(&it);
	}
	iter_close(&days);
	return found;
}

/* The answer that came after the record. Answers of one batch lie together, so its bytes are read once. */
static int again_find(struct case_file *f)
{
	struct records *records;
	struct inbox_iter it;
	struct event e;
	struct record r;
	int ret = records_new(&f->t, &records);

	if (ret != 0)
		return ret;
	inbox_open_others(&f->t, f->row.seq + 1, f->day_row.cut_seq, &it);
	while (f->again_seq == 0 && inbox_next(&it, &e))
		for (int64_t i = 0, n = rechecks_count(&e); i < n; i++) {
			const struct recheck k = recheck_at(&e, (size_t)i);

			if (k.seq == f->row.seq && records_get(records, k.seq, k.nth, &r) && r.raw_bytes == f->row.raw_bytes &&
			    memcmp(r.raw, f->row.raw, r.raw_bytes) == 0)
				f->again_seq = e.seq;
		}
	inbox_close(&it);
	records_free(records);
	return f->t.error;
}

struct ride_list { int64_t time_ms; uint8_t key[TAP_KEY_BYTES], pan[10]; struct ride ride; };

static int ride_order(const void *pa, const void *pb)
{
	const struct ride_list *a = pa, *b = pb;

	return a->time_ms != b->time_ms ? (a->time_ms < b->time_ms ? -1 : 1) : memcmp(a->key, b->key, TAP_KEY_BYTES);
}

/* The person's rated rides of the day up to and including this one, rated in order once more. */
static int rate_again(struct case_file *f, const uint8_t tap_key_bytes[TAP_KEY_BYTES])
{
	struct ride_list *list = NULL;
	size_t n = 0, space = 0;
	struct rider_state state;
	struct rider rider;
	struct row_iter it;

	rows_open_day(&f->t, f->day, &it);
	while (rows_next(&it)) {
		const struct cleared row = it.row;
		const char *field;
		struct tap tap;

		if (row.person != f->row.person || !verdict_info((enum verdict)row.verdict)->money ||
		    tap_decode(row.raw, row.raw_bytes, &tap, &field) != 0)
			continue;
		if (n == space) {
			struct ride_list *wide = realloc(list, (space = space ? space * 2 : 16) * sizeof(*wide));

			if (wide == NULL) {
				rows_close(&it);
				free(list);
				return -ENOMEM;
			}
			list = wide;
		}
		list[n].time_ms = tap.time_ms;
		memcpy(list[n].pan, tap.pan, sizeof(list[n].pan));
		memcpy(list[n].key, it.key + 5, TAP_KEY_BYTES);
		list[n++].ride = ride_of(&tap, f->tariff, row.operator_id, f->day);
	}
	rows_close(&it);
	if (n > 1)
		qsort(list, n, sizeof(list[0]), ride_order);
	if (ridden_state(&f->t, f->row.person, f->day - 1, &state) != 0)
		state = (struct rider_state){ 0 };
	for (size_t i = 0; i < n && !f->rated_again; i++) {
		const struct tariff *t = refdata_tariff(f->ref, list[i].time_ms);
		struct rider_state before = state;

		if (t == NULL)
			continue;
		rider_find(&f->t, list[i].pan, f->day_row.cut_seq, &rider);	/* by the card: it may be an escort's */
		rate(t, &rider, &before, &list[i].ride, &state, &f->again, &f->notes);
		f->counter_count = tariff_counters(t, &rider, &list[i].ride, &before, &state, f->counter, sizeof(f->counter) / sizeof(f->counter[0]));
		f->rated_again = memcmp(list[i].key, tap_key_bytes, TAP_KEY_BYTES) == 0;
		if (f->rated_again)
			f->differs = tap_differ(f->ref, &f->tap, &(struct difference_ask){ .t = t, .rider = &rider, .state = &before, .ride = &list[i].ride,
											   .charged_fen = f->row.priced.charged.fen });
	}
	/* a late tap was rated among rides of other days: what is said of rules here would be of another calculation */
	f->rated_again = f->rated_again && f->again.paid.fen == f->row.fare.paid.fen && f->again.published.fen == f->row.fare.published.fen;
	free(list);
	return f->t.error;
}

static const char *step_name(uint8_t kind)
{
	switch ((enum fare_step_kind)kind) {
	case FARE_STEP_PUBLISHED: return "票面价";
	case FARE_STEP_CONCESSION: return "优待";
	case FARE_STEP_TRANSFER: return "换乘";
	case FARE_STEP_LADDER: return "累计";
	case FARE_STEP_CAP: return "封顶";
	case FARE_STEP_HOLD: return "上车, 下车时计价";
	case FARE_STEP_SETTLE: return "退回上车预扣";
	case FARE_STEP_QUOTA: return "次数";
	case FARE_STEP_UNFINISHED: return "前程未刷下车";
	case FARE_STEP_REFUND: return "月后返还";
	case FARE_STEP_LOCK: return "连刷";
	}
	return "?";
}

static void yuan(int64_t fen, char ret[32])
{
	snprintf(ret, 32, "%s%" PRId64 ".%02d", fen < 0 ? "-" : "+", (fen < 0 ? -fen : fen) / 100, (int)((fen < 0 ? -fen : fen) % 100));
}

static void print_steps(const struct case_file *f, FILE *out)
{
	for (uint8_t i = 0; i < f->row.fare.step_count; i++) {
		const struct fare_step *s = &f->row.fare.step[i];
		struct tariff_rule rule = { 0 };
		char amount[32];

		yuan(s->delta_fen, amount);
		if (f->tariff != NULL && s->rule != 0 && tariff_rule(f->tariff, s->rule, &rule))
			fprintf(out, "  %-8s %10s  %s  依据: %s  (%s %s:%u)\n", step_name(s->kind), amount, rule.title, rule.basis, tariff_name(f->tariff), rule.file, rule.line);
		else
			fprintf(out, "  %-8s %10s\n", step_name(s->kind), amount);
	}
}

/* A tap that a rule refused takes no step: the rule itself. */
static bool refusal(const struct case_file *f, struct tariff_rule *ret)
{
	return f->tariff != NULL && f->row.fare.reject != FARE_OK && f->row.fare.rule != 0 && tariff_rule(f->tariff, f->row.fare.rule, ret);
}

static void print_refusal(const struct case_file *f, FILE *out)
{
	struct tariff_rule rule;

	if (refusal(f, &rule))
		fprintf(out, "  拒绝依规则 %s  依据: %s  (%s %s:%u)\n", rule.title, rule.basis, tariff_name(f->tariff), rule.file, rule.line);
}

static void print_money(const struct case_file *f, FILE *out)
{
	char charged[32], rated[32], amount[32];

	yuan(f->row.priced.charged.fen, charged);
	yuan(f->row.fare.paid.fen, rated);
	fprintf(out, "  实收 %s  规则应付 %s\n", charged, rated);
	difference_print(&(struct difference_told){ &f->row, &f->tap, f->tariff, f->rated_again ? &f->differs : NULL }, out);
	for (uint8_t i = 0; i < f->row.fare.funder_count; i++) {
		struct tariff_treasury treasury = { .title = "?" };

		if (f->tariff != NULL)
			tariff_treasury(f->tariff, f->row.fare.funder[i].treasury, &treasury);
		yuan(f->row.fare.funder[i].amount.fen, amount);
		fprintf(out, "  补贴 %s  %s\n", amount, treasury.title);
	}
	yuan(f->row.fare.absorbed.fen, amount);
	fprintf(out, "  企业承担 %s\n", amount);
}

static void print_counters(const struct case_file *f, FILE *out)
{
	if (!f->rated_again || f->counter_count == 0)
		return;
	fputs("  计次与累计:\n", out);
	for (size_t i = 0; i < f->counter_count; i++) {
		const struct tariff_counter *c = &f->counter[i];
		int64_t unit = c->fen ? 100 : 1;
		struct tariff_rule rule;

		if (!tariff_rule(f->tariff, c->rule, &rule))
			continue;
		fprintf(out, "    %s: ", rule.title);
		for (int k = 0; k < (c->limit > 0 ? 3 : 2); k++) {
			int64_t n = k == 0 ? c->before : k == 1 ? c->after : c->limit;

			fprintf(out, "%s%" PRId64, k == 0 ? "乘前 " : k == 1 ? " 乘后 " : " 上限 ", n / unit);
			if (c->fen)
				fprintf(out, ".%02d 元", (int)(n % 100));
		}
		fputc('\n', out);
	}
}

static void print_misses(const struct case_file *f, FILE *out)
{
	if (!f->rated_again || f->notes.count == 0)
		return;
	fputs("  未适用的规则:\n", out);
	for (size_t i = 0; i < f->notes.count; i++) {
		struct tariff_rule rule;

		if (tariff_rule(f->tariff, f->notes.note[i].rule, &rule))
			fprintf(out, "    %s: %s\n", rule.title, rule_miss_text(f->notes.note[i].miss));
	}
}

static void print_postings(const struct posting *posting, uint8_t count, FILE *out)
{
	for (uint8_t i = 0; i < count; i++) {
		const struct posting *p = &posting[i];
		char amount[32];

		yuan(p->amount.fen, amount);
		fprintf(out, "  分录 %s  借 %s %u  贷 %s %u\n", amount, account_class_name(ACCOUNT_CLASS(p->debit)), ACCOUNT_PARTY(p->debit), account_class_name(ACCOUNT_CLASS(p->credit)),
			ACCOUNT_PARTY(p->credit));
	}
}

/* Each correction of this ride, in the order of the days that booked them. */
typedef void (*adjust_fn)(const struct case_file *f, const struct adjustment *a, void *arg);

static void each_adjustment(struct case_file *f, const uint8_t key[TAP_KEY_BYTES], adjust_fn fn, void *arg)
{
	uint8_t prefix[TAP_KEY_BYTES + 2], row[ADJUST_KEY_BYTES];
	struct adjustment a;
	struct iter it;

	memcpy(prefix, key, TAP_KEY_BYTES);
	be16_put(prefix + TAP_KEY_BYTES, f->nth);
	iter_open(&f->t, DB_ADJUSTED, prefix, sizeof(prefix), &it);
	while (iter_next(&it)) {
		const void *val;
		size_t n;

		memcpy(row, it.key + TAP_KEY_BYTES + 2, 4);
		memcpy(row + 4, it.key, TAP_KEY_BYTES + 2);
		if (txn_get(&f->t, DB_ADJUST, row, sizeof(row), &val, &n) && adjust_decode(row, sizeof(row), val, n, &a))
			fn(f, &a, arg);
		else if (f->t.error == 0)
			f->t.error = CLEARING_E_STORE;
	}
	iter_close(&it);
}

static void print_side(const char *word, uint8_t verdict, const struct fare *fare, FILE *out)
{
	char rated[32];

	yuan(fare->paid.fen, rated);
	if (verdict_info((enum verdict)verdict)->money)
		fprintf(out, "%s %s", word, rated);
	else
		fprintf(out, "%s %s", word, verdict_info((enum verdict)verdict)->zh);
}

/* What moves the difference at the bank; false: nothing, or the day is not built yet. */
static bool adjust_item(const struct case_file *f, const struct adjustment *a, char ret_id[DEBIT_ID_BYTES])
{
	uint8_t key[CLEARED_KEY_BYTES];

	debit_adjust_key(a, key);
	return debit_of_ride((struct txn *)(uintptr_t)&f->t, key, ret_id);
}

static void print_adjustment(const struct case_file *f, const struct adjustment *a, void *arg)
{
	char day[11], cause[TAP_ID_BYTES] = "", refund[32], item[DEBIT_ID_BYTES];
	FILE *out = arg;

	day_format(a->day, day);
	if (a->cause == ADJUST_LATE_TAP)
		tap_id_format(a->cause_key, cause);
	fprintf(out, "  调整 %s  原因 %s %s\n    ", day, adjust_cause_zh((enum adjust_cause)a->cause), cause);
	print_side("规则应付", a->was, &a->before, out);
	print_side(" 改为", a->verdict, &a->fare, out);
	yuan(a->refund_fen < 0 ? -a->refund_fen : a->refund_fen, refund);
	fprintf(out, "  累计%s乘客 %s  票价版本 %u\n", a->refund_fen < 0 ? "补扣" : "应退", refund, a->tariff_version);
	print_postings(a->posting, a->posting_count, out);
	if (adjust_item(f, a, item))
		fprintf(out, "  银行%s %s  (qingfen explain debit)\n", item[1] == 'A' ? "补扣" : "退款", item);
}

/* Why a record was set aside, and that a person released it. */
static void print_device(struct case_file *f, FILE *out)
{
	const struct release *release = refdata_release(f->ref, f->row_key);
	char sum[32], cap[32], value[32], day[11];
	struct cap_reached r;

	if (f->row.verdict == VERDICT_QUARANTINED && cap_explain(&f->t, f->ref, &f->day_row, f->row.device, &f->tap, f->row_key, &r) == 0) {
		yuan(r.sum_fen, sum);
		yuan(r.value_fen, value);
		yuan(r.cap_fen, cap);
		fprintf(out, "  隔离: 设备 %s 当日未经密钥鉴别的金额至本笔累计 %s (本笔 %s), 超过限额 %s; 由人员核实后放行\n", f->row.device, sum, value, cap);
	}
	if (release == NULL)
		return;
	day_format(release->day, day);
	fprintf(out, "  放行: 于 %s 隔离, 由 %s 签名放行  收件箱 #%" PRIu64 "\n", day, release->by, release->seq);
}

static void json_device(struct jsonw *j, struct case_file *f)
{
	const struct release *release = refdata_release(f->ref, f->row_key);
	struct cap_reached r;

	if (f->row.verdict == VERDICT_QUARANTINED && cap_explain(&f->t, f->ref, &f->day_row, f->row.device, &f->tap, f->row_key, &r) == 0) {
		jsonw_kint(j, "unproven_fen", r.sum_fen);
		jsonw_kint(j, "unproven_cap_fen", r.cap_fen);
	}
	if (release != NULL)
		jsonw_kstr(j, "released_by", release->by);
}

/* What the platform of a code said, once; nothing when nobody was asked or none has answered. */
static void print_platform(struct case_file *f, FILE *out)
{
	const struct code_route *r = code_route_of_kind(f->tap.kind);
	struct code_answer a;
	uint8_t key[TAP_KEY_BYTES];
	char text[11];
	int32_t day;

	if (r == NULL)
		return;
	tap_key(&f->tap, key);
	if (!code_answer_find(&f->t, key, &a, &day)) {
		fprintf(out, "  平台 %s 尚未应答\n", r->name);
		return;
	}
	day_format(day, text);
	fprintf(out, "  平台 %s %s, 平台流水 %s%s%s, 应答记入 %s\n", r->name, a.result == CODE_GOOD ? r->debits ? "已扣款" : "已核验" : "拒绝", a.reference,
		a.reason[0] != '\0' ? ", 原因 " : "", a.reason, text);
}

static void print_text(struct case_file *f, const char *id, FILE *out)
{
	const struct verdict_info *v = verdict_info((enum verdict)f->row.verdict);
	char time[32], pan[24], day[11];

	time_format(f->tap.time_ms, time);
	pan_masked(f->tap.pan, pan);
	day_format(f->day, day);
	fprintf(out, "%s\n%s  线路 %s  车辆 %s  终端设备 %s  卡 %s\n", id, time, f->tap.line, f->tap.vehicle[0] != '\0' ? f->tap.vehicle : "-", f->row.device, pan);
	fprintf(out, "  判定 %s (%s)  结算日 %s\n", v->zh, v->name, day);
	if (v->money) {
		print_steps(f, out);
		print_money(f, out);
		print_counters(f, out);
		print_misses(f, out);
		print_postings(f->row.priced.posting, f->row.priced.posting_count, out);
	} else {
		print_refusal(f, out);
		fprintf(out, "  不入账%s\n", v->resend_helps ? "; 补传正确的记录后可重新判定" : "");
	}
	if (f->card > CARD_GOOD) {
		time_format(f->card == CARD_STANDS_EXPIRED ? f->life.valid_to_ms : f->life.since_ms, time);
		fprintf(out, "  卡状态 %s, 自 %s\n", card_standing_zh(f->card), time);
	}
	if (f->row.check == KEY_CHECK_DISTRUSTED && f->distrust != NULL) {
		time_format(f->distrust->from_ms, time);
		fprintf(out, "  密钥自 %s 起已登记泄露, 登记人 %s; 由人复核\n", time, f->distrust->by);
	}
	if (f->row.check == KEY_CHECK_DISTRUSTED)
		confirmed_print(&f->t, f->row_key, out);
	print_device(f, out);
	if (f->again_seq != 0)
		fprintf(out, "  鉴别 收到时 %s (收件箱 #%" PRIu64 "), 补验 %s (收件箱 #%" PRIu64 ")\n", key_check_name(KEY_CHECK_UNAVAILABLE), f->row.seq,
			key_check_name((enum key_check)f->row.check), f->again_seq);
	print_platform(f, out);
	fprintf(out, "  鉴别 %s (密钥版本 %u, 算法 %u)  票价版本 %u  收件箱 #%" PRIu64 "\n", key_check_name((enum key_check)f->row.check), f->tap.key_version, f->tap.alg_id,
		f->row.tariff_version, f->row.seq);
}

static void json_rules(struct jsonw *j, const struct case_file *f)
{
	struct tariff_rule refused;

	jsonw_key(j, "steps");
	jsonw_array(j);
	for (uint8_t i = 0; i < f->row.fare.step_count; i++) {
		struct tariff_rule rule = { .id = "published", .title = "票面价", .basis = "" };

		if (f->tariff != NULL)
			tariff_rule(f->tariff, f->row.fare.step[i].rule, &rule);
		jsonw_object(j);
		jsonw_kstr(j, "rule", rule.id);
		jsonw_kstr(j, "title", rule.title);
		jsonw_kstr(j, "basis", rule.basis);
		jsonw_kint(j, "delta_fen", f->row.fare.step[i].delta_fen);
		jsonw_object_end(j);
	}
	jsonw_array_end(j);
	if (refusal(f, &refused)) {
		jsonw_key(j, "refused_by");
		jsonw_object(j);
		jsonw_kstr(j, "rule", refused.id);
		jsonw_kstr(j, "title", refused.title);
		jsonw_kstr(j, "basis", refused.basis);
		jsonw_object_end(j);
	}
	jsonw_key(j, "counters");
	jsonw_array(j);
	for (size_t i = 0; f->rated_again && i < f->counter_count; i++) {
		const struct tariff_counter *c = &f->counter[i];
		struct tariff_rule rule;

		if (!tariff_rule(f->tariff, c->rule, &rule))
			continue;
		jsonw_object(j);
		jsonw_kstr(j, "rule", rule.id);
		jsonw_kstr(j, "unit", c->fen ? "fen" : "count");
		jsonw_kint(j, "before", c->before);
		jsonw_kint(j, "after", c->after);
		jsonw_kint(j, "limit", c->limit);
		jsonw_object_end(j);
	}
	jsonw_array_end(j);
	jsonw_key(j, "not_applied");
	jsonw_array(j);
	for (size_t i = 0; f->rated_again && i < f->notes.count; i++) {
		struct tariff_rule rule;

		if (!tariff_rule(f->tariff, f->notes.note[i].rule, &rule))
			continue;
		jsonw_object(j);
		jsonw_kstr(j, "rule", rule.id);
		jsonw_kstr(j, "why", rule_miss_text(f->notes.note[i].miss));
		jsonw_object_end(j);
	}
	jsonw_array_end(j);
}

static void json_check(struct jsonw *j, enum key_check check, uint64_t seq)
{
	jsonw_object(j);
	jsonw_kstr(j, "check", key_check_name(check));
	jsonw_kint(j, "inbox_seq", (int64_t)seq);
	jsonw_object_end(j);
}

/* On arrival, and later when the key device did not answer then. */
static void json_checks(struct jsonw *j, const struct case_file *f)
{
	jsonw_key(j, "checks");
	jsonw_array(j);
	json_check(j, f->again_seq != 0 ? KEY_CHECK_UNAVAILABLE : (enum key_check)f->row.check, f->row.seq);
	if (f->again_seq != 0)
		json_check(j, (enum key_check)f->row.check, f->again_seq);
	jsonw_array_end(j);
}

static void json_adjustment(const struct case_file *f, const struct adjustment *a, void *arg)
{
	char day[11], cause[TAP_ID_BYTES] = "", item[DEBIT_ID_BYTES];
	struct jsonw *j = arg;

	day_format(a->day, day);
	if (a->cause == ADJUST_LATE_TAP)
		tap_id_format(a->cause_key, cause);
	jsonw_object(j);
	jsonw_kstr(j, "day", day);
	jsonw_kstr(j, "cause", adjust_cause_name((enum adjust_cause)a->cause));
	jsonw_kstr(j, "cause_tap", cause);
	jsonw_kstr(j, "was", verdict_info((enum verdict)a->was)->name);
	jsonw_kstr(j, "verdict", verdict_info((enum verdict)a->verdict)->name);
	jsonw_kint(j, "rated_before_fen", a->before.paid.fen);
	jsonw_kint(j, "rated_fen", a->fare.paid.fen);
	jsonw_kint(j, "published_fen", a->fare.published.fen);
	jsonw_kint(j, "absorbed_fen", a->fare.absorbed.fen);
	jsonw_kint(j, "refund_fen", a->refund_fen);
	if (adjust_item(f, a, item))
		jsonw_kstr(j, "item", item);
	jsonw_kint(j, "tariff_version", a->tariff_version);
	jsonw_object_end(j);
}

static void row_key_of(const struct case_file *f, uint8_t ret[CLEARED_KEY_BYTES])
{
	be32_put(ret, (uint32_t)f->day ^ 0x80000000u);
	ret[4] = CLEARED_RIDE;
	memcpy(ret + 5, f->row_key, TAP_KEY_BYTES);
	be16_put(ret + 5 + TAP_KEY_BYTES, f->nth);
}

static void json_platform(struct jsonw *j, struct case_file *f)
{
	struct code_answer a;
	uint8_t key[TAP_KEY_BYTES];
	int32_t day;

	tap_key(&f->tap, key);
	if (code_route_of_kind(f->tap.kind) == NULL || !code_answer_find(&f->t, key, &a, &day))
		return;
	jsonw_kstr(j, "platform_answer", a.result == CODE_GOOD ? "good" : "refused");
	jsonw_kstr(j, "platform_reference", a.reference);
}

static void print_json(struct case_file *f, const char *id, const uint8_t key[TAP_KEY_BYTES], FILE *out)
{
	uint8_t row_key[CLEARED_KEY_BYTES];
	char time[32], pan[24], day[11];
	struct jsonw j;

	time_format(f->tap.time_ms, time);
	pan_masked(f->tap.pan, pan);
	day_format(f->day, day);
	jsonw_init(&j, out, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.explain");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "tap", id);
	jsonw_kstr(&j, "time", time);
	jsonw_kstr(&j, "day", day);
	jsonw_kstr(&j, "line", f->tap.line);
	jsonw_kstr(&j, "card", pan);
	jsonw_kstr(&j, "verdict", verdict_info((enum verdict)f->row.verdict)->name);
	jsonw_kstr(&j, "check", key_check_name((enum key_check)f->row.check));
	jsonw_kstr(&j, "card_standing", card_standing_name(f->card));
	json_platform(&j, f);
	jsonw_kstr(&j, "distrust_told_by", f->row.check == KEY_CHECK_DISTRUSTED && f->distrust != NULL ? f->distrust->by : "");
	jsonw_kint(&j, "published_fen", f->row.fare.published.fen);
	jsonw_kint(&j, "charged_fen", f->row.priced.charged.fen);
	jsonw_kint(&j, "rated_fen", f->row.fare.paid.fen);
	jsonw_kint(&j, "absorbed_fen", f->row.fare.absorbed.fen);
	if (verdict_info((enum verdict)f->row.verdict)->money)
		difference_json(&(struct difference_told){ &f->row, &f->tap, f->tariff, f->rated_again ? &f->differs : NULL }, &j);
	jsonw_kint(&j, "inbox_seq", (int64_t)f->row.seq);
	if (f->row.check == KEY_CHECK_DISTRUSTED)
		confirmed_json(&f->t, f->row_key, &j);
	json_device(&j, f);
	json_checks(&j, f);
	row_key_of(f, row_key);
	debit_json(&f->t, row_key, &j);
	json_rules(&j, f);
	jsonw_key(&j, "adjustments");
	jsonw_array(&j);
	each_adjustment(f, key, json_adjustment, &j);
	jsonw_array_end(&j);
	jsonw_object_end(&j);
	fputc('\n', out);
}

int explain_tap(struct store *s, const uint8_t key[TAP_KEY_BYTES], bool json, FILE *out)
{
	struct case_file *f = calloc(1, sizeof(*f));
	uint8_t row_key[CLEARED_KEY_BYTES];
	char id[TAP_ID_BYTES];
	const char *field;
	int ret = f == NULL ? -ENOMEM : txn_begin(s, false, &f->t);

	if (ret != 0) {
		free(f);
		return ret;
	}
	f->t.keep = true;		/* its record */
	if (!row_find(f, key))
		ret = f->t.error != 0 ? f->t.error : -ENOENT;
	f->t.keep = false;
	memcpy(f->row_key, key, TAP_KEY_BYTES);
	if (ret == 0)
		ret = tap_decode(f->row.raw, f->row.raw_bytes, &f->tap, &field);
	if (ret == 0)
		ret = again_find(f);
	if (ret == 0)
		ret = refdata_new(&f->ref);
	if (ret == 0)
		ret = refdata_replay(f->ref, &f->t, f->day_row.cut_seq);
	if (ret == 0) {
		card_life_at(&f->t, f->tap.pan, f->day_row.cut_seq, f->tap.time_ms, &f->life);
		f->card = card_stands(&f->life, &f->tap);
		f->distrust = refdata_distrust(f->ref, &f->tap);
		f->tariff = refdata_tariff_version(f->ref, f->row.tariff_version);
		if (f->tariff != NULL && verdict_info((enum verdict)f->row.verdict)->money)
			ret = rate_again(f, key);
	}
	if (ret == 0) {
		tap_id_format(key, id);
		if (json)
			print_json(f, id, key, out);
		else
			print_text(f, id, out);
		row_key_of(f, row_key);
		if (!json)
			debit_print(&f->t, row_key, out);
		if (!json)
			each_adjustment(f, key, print_adjustment, out);
		ret = f->t.error;
	}
	refdata_free(f->ref);
	txn_abort(&f->t);
	free(f);
	return ret;
}
