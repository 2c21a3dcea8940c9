/*
 * qingfen tariff what-if - past rides under a draft pack beside the live one: from a file of taps, or from cleared
 * days of a store, which is only read (a backup will do, and no daemon is needed). Totals by rule, group, treasury
 * and operator; riders touched, and who pays more.
 */
#include "tools/tariff_trial.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen tariff what-if DRAFT --taps FILE.ndjson|- --live PACK [--date D] [--out FILE.csv] [--json]\n"
	"            qingfen tariff what-if DRAFT --db STORE --day D [--to D] [--live PACK] [--date D] [--out FILE.csv] [--json]\n"
	"  历史刷卡按草案与现行票价包各计一遍; --date: 假设第一笔发生在 D (按整周移动, 星期不变); --out: 逐笔列出变化\n"
	"  without --live the packs the store had in force; --date moves the rides by whole weeks to D\n";

/* ---- from a store -------------------------------------------------------------------------------------- */

/* What the clear rated or refused by tariff; the rest (bad codes, duplicates) is no ride under any pack. */
static bool was_rated(uint8_t verdict)
{
	return verdict == VERDICT_ACCEPTED || verdict == VERDICT_PENDING || verdict == VERDICT_REPEAT_TAP ||
	       verdict == VERDICT_NO_TARIFF;
}

static int row_add(struct trial *t, const struct cleared *row)
{
	struct trial_tap out = { .known_day = DAY_NONE,
				.order = (uint32_t)t->count,
				.person = (int64_t)row->person,
				.operator_id = row->operator_id,
				.has_issuer = 1 };
	const struct tariff *any = refdata_tariff_version(t->ref, row->tariff_version);
	struct ride ride;
	const char *field;
	struct tap tap;
	int ret = tap_decode(row->raw, row->raw_bytes, &tap, &field);

	if (ret != 0 || any == NULL)
		return ret;		/* no pack was in force: there is none beside the draft */
	tap_ride(&tap, any, &ride);
	out.stored_fen = row->fare.reject == FARE_OK ? (int32_t)row->fare.paid.fen : -1;
	memcpy(out.pan, tap.pan, sizeof(out.pan));
	out.time_ms = ride.time_ms;
	out.in_ms = ride.in_ms;
	out.out_ms = ride.out_ms;
	out.inside = ride.inside;
	out.stops = ride.stops;
	out.event = (uint8_t)ride.event;
	out.medium = (uint8_t)ride.medium;
	out.class = ride.card_class;
	out.subtype = ride.card_subtype;
	out.issuer = ride.issuer;
	out.card = ride.card;
	out.stop_on = ride.stop_on;
	out.stop_off = ride.stop_off;
	out.distance_m = ride.distance_m;
	out.list_fen = (int32_t)ride.list.fen;
	ret = texts_add(&t->texts, ride.line, &out.line);
	if (ret == 0)
		ret = texts_add(&t->texts, ride.vehicle, &out.vehicle);
	if (ret == 0)
		ret = texts_add(&t->texts, ride.product, &out.product);
	return ret != 0 ? ret : trial_add(t, &out);
}

static int day_add(struct trial *t, int32_t day)
{
	struct day_row row;
	struct row_iter it;
	int ret = 0;

	if (!day_get(&t->txn, day, &row))
		return CLEARING_E_NO_DAY;
	if (row.state < DAY_CLEARED)
		return CLEARING_E_STATE;
	rows_open_day(&t->txn, day, &it);
	while (ret == 0 && rows_next(&it)) {
		if (was_rated(it.row.verdict))
			ret = row_add(t, &it.row);
		if ((t->count & 0x3FFF) == 0)
			progress_at(&t->progress, t->count);
	}
	progress_at(&t->progress, t->count);
	rows_close(&it);
	return ret != 0 ? ret : t->txn.error;
}

int trial_read_store(struct store *s, int32_t from, int32_t to, struct trial **ret)
{
	struct trial *t = calloc(1, sizeof(*t));
	struct day_row last;
	int code = t == NULL ? -ENOMEM : txn_begin(s, false, &t->txn);

	if (code != 0) {
		free(t);
		return code;
	}
	t->from_store = true;
	t->first_day = from;
	if (!day_get(&t->txn, to, &last))
		code = CLEARING_E_NO_DAY;
	t->cut_seq = last.cut_seq;
	if (code == 0)
		code = refdata_new(&t->ref);
	if (code == 0)
		code = refdata_replay(t->ref, &t->txn, t->cut_seq);
	progress_stage(&t->progress, 1, 2, "读入", "笔", 1, 0);
	for (int32_t day = from; code == 0 && day <= to; day++)
		code = day_add(t, day);
	if (code != 0)
		progress_end(&t->progress);
	if (code != 0) {
		trial_free(t);
		return code;
	}
	*ret = t;
	return 0;
}

/* ---- said ------------------------------------------------------------------------------------------------- */

static const char *const kind_names[TRIAL_KIND_COUNT] = { "rules", "groups", "treasuries", "operators" };
static const char *const kind_titles[TRIAL_KIND_COUNT] = { "按规则 (减免)", "按人群 (实付)", "按财政 (补贴)", "按企业 (实付 + 补贴)" };

static int64_t amount_of(const struct trial_sum *s, int kind)
{
	switch ((enum trial_kind)kind) {
	case TRIAL_RULE: return s->off;
	case TRIAL_GROUP: return s->paid;
	case TRIAL_TREASURY: return s->subsidy;
	case TRIAL_OPERATOR: return s->paid + s->subsidy;
	case TRIAL_KIND_COUNT: break;
	}
	return 0;
}

static void line_print(FILE *out, const char *title, const char *name, uint64_t old_rides, int64_t old_fen, uint64_t rides,
		       int64_t fen)
{
	char a[24], b[24], c[24];

	fputs("  ", out);
	columns_print(out, title, 40);
	fprintf(out, " %10" PRIu64 " %14s %10" PRIu64 " %14s %14s", old_rides, yuan_text(old_fen, a), rides,
		yuan_text(fen, b), yuan_text(fen - old_fen, c));
	fprintf(out, "%s%s%s\n", name[0] != '\0' ? "  [" : "", name, name[0] != '\0' ? "]" : "");
}

static void heading_print(FILE *out)
{
	static const struct {
		const char *text;
		unsigned columns;
	} column[] = {{"现行笔数", 11}, {"现行 (元)", 15}, {"草案笔数", 11}, {"草案 (元)", 15}, {"差 (元)", 15}};

	columns_print(out, "", 42);
	for (size_t i = 0; i < sizeof(column) / sizeof(column[0]); i++)
		columns_print_right(out, column[i].text, column[i].columns);
	fputc('\n', out);
}

void trial_print(const struct trial *t, FILE *out)
{
	static const struct {
		const char *title;
		size_t at;
	} figures[] = {{"实付", offsetof(struct trial_sum, paid)},
		       {"补贴", offsetof(struct trial_sum, subsidy)},
		       {"企业承担", offsetof(struct trial_sum, absorbed)}};
	char more[24], less[24];

	fprintf(out,
		"%zu 笔, %" PRIu64 " 人; 有变化 %" PRIu64 " 笔, %" PRIu64 " 人: 多付 %" PRIu64 " 人 %s 元, 少付 %" PRIu64
		" 人 %s 元\n",
		t->count, t->riders, t->rides_touched, t->riders_touched, t->riders_more, yuan_text(t->fen_more, more),
		t->riders_less, yuan_text(t->fen_less, less));
	if (t->early > 0)
		fprintf(out,
			"注意: %" PRIu64
			" 笔早于草案生效日, 草案不计价; 用 --date 移到生效之后 rides before the draft is valid\n",
			t->early);
	if (t->unlike > 0)
		fprintf(out,
			"注意: %" PRIu64
			" 笔现行重算与库内不同 (跨日迟到的记录) rides cleared in another order than theirs\n",
			t->unlike);
	heading_print(out);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		int64_t old = *(const int64_t *)((const char *)&t->all[0] + figures[i].at),
			new = *(const int64_t *)((const char *)&t->all[1] + figures[i].at);

		line_print(out, figures[i].title, "", t->all[0].rides, old, t->all[1].rides, new);
	}
	line_print(out, "拒绝", "", t->refused[0], 0, t->refused[1], 0);
	for (int k = 0; k < TRIAL_KIND_COUNT; k++) {
		fprintf(out, "%s\n", kind_titles[k]);
		for (size_t i = 0; i < t->table[k].count; i++) {
			const struct trial_line *l = &t->table[k].line[i];

			if (l->side[0].rides + l->side[1].rides > 0)
				line_print(out, l->title, l->name, l->side[0].rides, amount_of(&l->side[0], k),
					   l->side[1].rides, amount_of(&l->side[1], k));
		}
	}
}

static void sum_json(struct jsonw *j, const char *key, const struct trial_sum *s)
{
	jsonw_key(j, key);
	jsonw_object(j);
	jsonw_kint(j, "rides", (int64_t)s->rides);
	jsonw_kint(j, "off_fen", s->off);
	jsonw_kint(j, "paid_fen", s->paid);
	jsonw_kint(j, "subsidy_fen", s->subsidy);
	jsonw_kint(j, "absorbed_fen", s->absorbed);
	jsonw_object_end(j);
}

void trial_json(const struct trial *t, struct jsonw *j)
{
	jsonw_object(j);
	jsonw_kint(j, "rides", (int64_t)t->count);
	jsonw_kint(j, "riders", (int64_t)t->riders);
	jsonw_kint(j, "rides_touched", (int64_t)t->rides_touched);
	jsonw_kint(j, "riders_touched", (int64_t)t->riders_touched);
	jsonw_kint(j, "riders_more", (int64_t)t->riders_more);
	jsonw_kint(j, "fen_more", t->fen_more);
	jsonw_kint(j, "riders_less", (int64_t)t->riders_less);
	jsonw_kint(j, "fen_less", t->fen_less);
	jsonw_kint(j, "before_draft", (int64_t)t->early);
	jsonw_kint(j, "unlike_store", (int64_t)t->unlike);
	jsonw_kint(j, "refused_old", (int64_t)t->refused[0]);
	jsonw_kint(j, "refused_new", (int64_t)t->refused[1]);
	sum_json(j, "old", &t->all[0]);
	sum_json(j, "new", &t->all[1]);
	for (int k = 0; k < TRIAL_KIND_COUNT; k++) {
		jsonw_key(j, kind_names[k]);
		jsonw_array(j);
		for (size_t i = 0; i < t->table[k].count; i++) {
			const struct trial_line *l = &t->table[k].line[i];

			if (l->side[0].rides + l->side[1].rides == 0)
				continue;
			jsonw_object(j);
			jsonw_kstr(j, "name", l->name);
			jsonw_kstr(j, "title", l->title);
			sum_json(j, "old", &l->side[0]);
			sum_json(j, "new", &l->side[1]);
			jsonw_object_end(j);
		}
		jsonw_array_end(j);
	}
	jsonw_object_end(j);
}

/* ---- the verb ------------------------------------------------------------------------------------------------ */

static int rides_read(const struct options *o, int32_t from, int32_t to, struct store **ret_store, struct trial **ret)
{
	int code;

	if (o->taps != NULL)
		return trial_read(o->taps, ret);
	if (store_open_reading(o, ret_store) != 0)
		return EXIT_STORE;
	code = trial_read_store(*ret_store, from, to, ret);
	if (code != 0)
		complain("%s: %s", store_dir(o->store),
			 code == CLEARING_E_NO_DAY  ? "a day that is not there"
			 : code == CLEARING_E_STATE ? "a day that is not cleared"
						    : clearing_strerror(code));
	return exit_of_error(code);
}

static void answer(const struct options *o, const struct trial *t)
{
	struct jsonw j;

	if (!o->json) {
		trial_print(t, stdout);
		return;
	}
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.what-if");
	jsonw_kint(&j, "version", 1);
	jsonw_key(&j, "trial");
	trial_json(t, &j);
	jsonw_object_end(&j);
	putchar('\n');
}

int tariff_whatif(int argc, char **argv)
{
	struct open_pack draft = { 0 }, live = { 0 };
	struct store *store = NULL;
	struct trial *t = NULL;
	FILE *list = NULL;
	struct options o;
	int32_t from = DAY_NONE, to = DAY_NONE, day = DAY_NONE;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 1 != argc || (o.taps != NULL) == (o.day != NULL) || (o.taps != NULL && o.live == NULL) ||
	    (o.day != NULL && !day_parse(o.day, &from)) || (o.to != NULL && !day_parse(o.to, &to)) ||
	    (o.date != NULL && !day_parse(o.date, &day))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret = open_pack_read(argv[o.first], &draft);
	if (ret == EXIT_OK && o.live != NULL)
		ret = open_pack_read(o.live, &live);
	if (ret == EXIT_OK)
		ret = rides_read(&o, from, to != DAY_NONE ? to : from, &store, &t);
	if (ret == EXIT_OK && o.out != NULL) {
		list = fopen(o.out, "we");
		if (list != NULL)
			trial_list(t, list);
		else
			ret = EXIT_STORE;
	}
	if (ret == EXIT_OK) {
		if (day != DAY_NONE)
			trial_shift(t, day);
		ret = exit_of_error(trial_run(t, live.tariff, draft.tariff));
	}
	if (list != NULL && (ferror(list) | fclose(list)) != 0)
		ret = EXIT_STORE;
	if (ret == EXIT_STORE && o.out != NULL)
		complain("%s: %s", o.out, strerror(errno));
	if (ret == EXIT_OK)
		answer(&o, t);
	trial_free(t);
	store_close(store);
	open_pack_done(&live);
	open_pack_done(&draft);
	return ret;
}
