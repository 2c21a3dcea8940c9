/*
 * qingfen rerate - settled rides rated again after rules changed back in time: a dry run that shows what it would
 * book, and the signatures of the two persons who ask for it. Booked as adjustments when the open day is cleared.
 */
#include "tools/signed_call.h"
#include "tools/tariff.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen rerate --from DATE --to DATE --dry-run [--store DIR] [--json]\n"
	"            qingfen rerate --from DATE --to DATE --by NAME --key FILE [--store DIR] [--socket PATH] [--json]\n"
	"  按现行规则重算已结算的乘次: 先试算, 再由两人签名; 差额在当前结算日清分时以调整分录入账, 原记录不变\n"
	"  what it would book, then the signatures of two persons; booked when the open day is cleared\n";

static void effect_json(const struct rerate_effect *e, const struct tariff *t)
{
	struct jsonw j;

	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.rerate");
	jsonw_kint(&j, "version", 1);
	jsonw_kint(&j, "rides", (int64_t)e->rides);
	jsonw_kint(&j, "cards", (int64_t)e->cards);
	jsonw_kint(&j, "rider_fen", e->rider_fen);
	jsonw_kint(&j, "operator_fen", e->operator_fen);
	jsonw_key(&j, "treasuries");
	jsonw_array(&j);
	for (size_t i = 0; i < e->treasuries; i++) {
		struct tariff_treasury treasury = { .name = "?", .title = "?" };

		if (t != NULL)
			tariff_treasury(t, e->treasury[i].treasury, &treasury);
		jsonw_object(&j);
		jsonw_kint(&j, "treasury", e->treasury[i].treasury);
		jsonw_kstr(&j, "title", treasury.title);
		jsonw_kint(&j, "fen", e->treasury[i].fen);
		jsonw_object_end(&j);
	}
	jsonw_array_end(&j);
	jsonw_object_end(&j);
	putchar('\n');
}

static void effect_text(const struct rerate_effect *e, const struct tariff *t)
{
	printf("调整 %" PRIu64 " 笔, 涉及 %" PRIu64 " 张卡 rides adjusted, cards\n", e->rides, e->cards);
	printf("应退乘客 to riders   %12" PRId64 " 分 fen\n应付企业 to operators %11" PRId64 " 分\n", e->rider_fen, e->operator_fen);
	for (size_t i = 0; i < e->treasuries; i++) {
		struct tariff_treasury treasury = { .title = "?" };

		if (t != NULL)
			tariff_treasury(t, e->treasury[i].treasury, &treasury);
		printf("财政 treasury        %12" PRId64 " 分  %s\n", e->treasury[i].fen, treasury.title);
	}
}

/* Treasury names are of the newest pack. */
static int effect_print(struct store *s, const struct rerate_effect *e, bool json)
{
	struct refdata *ref = NULL;
	const struct tariff *t;
	struct txn txn;
	int ret = txn_begin(s, false, &txn);

	if (ret == 0)
		ret = refdata_new(&ref);
	if (ret == 0)
		ret = refdata_replay(ref, &txn, inbox_last(&txn));
	if (ret == 0) {
		t = refdata_tariff(ref, INT64_MAX / 4);
		if (json)
			effect_json(e, t);
		else
			effect_text(e, t);
	}
	refdata_free(ref);
	txn_abort(&txn);
	return ret;
}

static int dry_run(struct store *s, int32_t from, int32_t to, bool json)
{
	struct rerate_effect e;
	int ret = rerate_try(s, 0, from, to, &e);

	if (ret == 0)
		ret = effect_print(s, &e, json);
	if (ret != 0)
		complain("%s", clearing_strerror(ret));
	return exit_of_error(ret);
}

static int32_t open_day_of(struct store *s)
{
	struct txn t;
	int32_t day = DAY_NONE;

	if (txn_begin(s, false, &t) == 0) {
		day = day_open_get(&t);
		txn_abort(&t);
	}
	return day;
}

static int ask(const struct options *o, int32_t from, int32_t to, int32_t day)
{
	char text[PUBLISH_TEXT_BYTES], open_day[11];
	struct signed_call c;
	int ret = signed_begin(&c, "rerate");

	if (ret != EXIT_OK)
		return ret;
	day_format(day, open_day);
	jsonw_kstr(&c.json, "from", o->from);
	jsonw_kstr(&c.json, "to", o->to);
	jsonw_kstr(&c.json, "open_day", open_day);
	return signed_send(&c, o, text, rerate_text(from, to, day, text), NULL, 0);
}

int verb_rerate(int argc, char **argv)
{
	struct options o;
	struct store *s;
	int32_t from, to, day;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first != argc || o.from == NULL || o.to == NULL || !day_parse(o.from, &from) || !day_parse(o.to, &to) || from > to ||
	    o.dry_run == (o.by != NULL && o.key != NULL)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(&o, &s) != 0)
		return EXIT_STORE;
	day = open_day_of(s);
	if (day == DAY_NONE || to >= day) {
		complain("--to %s: the day must lie before the open settlement day", o.to);
		ret = EXIT_RULE;
	} else if (o.dry_run) {
		ret = dry_run(s, from, to, o.json);
	}
	store_close(s);
	return ret != EXIT_OK || o.dry_run ? ret : ask(&o, from, to, day);
}
