/* qingfen card show - the life of one card number: what its issuer reported, what it stands at, its person, its counter. */
#include "tools/card.h"
#include "tools/tools.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] = "用法 usage: qingfen card show PAN [--at TIME] [--store DIR] [--json]\n"
			    "  一张卡的生命周期: 发卡、挂失、解挂、补卡、退卡、到期、延期; 卡号只显示首尾\n"
			    "  what its issuer reported and what it stands at, now or at a time; the number is masked\n";

struct looked {
	char pan[24];
	struct card_change_row row[CARD_CHANGES_MAX]; size_t rows;
	struct card_life life; enum card_standing standing;
	int64_t at_ms;
	bool registered;		/* a person's, by the media register or entitlements */
	int32_t counter, counter_day;	/* of the newest day; -1 none seen */
};

/* What a new card of the number has to count on from. */
static void counter_look(struct txn *t, const uint8_t pan[10], struct looked *ret)
{
	uint16_t counter;

	ret->counter = card_counted(t, pan, &counter, &ret->counter_day) ? counter : -1;
}

static int look(struct store *s, const uint8_t pan[10], struct looked *ret)
{
	const struct tap tap = { .kind = TAP_QR, .time_ms = ret->at_ms };	/* no counter: what the number stands at */
	struct rider rider;
	struct txn t;
	uint64_t seq;
	int code = txn_begin(s, false, &t);

	if (code != 0)
		return code;
	seq = inbox_last(&t);
	pan_masked(pan, ret->pan);
	ret->rows = card_changes(&t, pan, seq, ret->row);
	card_life_at(&t, pan, seq, ret->at_ms, &ret->life);
	ret->standing = card_stands(&ret->life, &tap);
	ret->registered = rider_find(&t, pan, seq, &rider) != card_person(pan);
	counter_look(&t, pan, ret);
	code = t.error;
	txn_abort(&t);
	return code;
}

static void moment_text(int64_t ms, char ret[32])
{
	ret[0] = '\0';
	if (ms != INT64_MAX)
		time_format(ms, ret);
}

static void print_json(const struct looked *l)
{
	char text[32];
	struct jsonw j;

	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.card.life");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "pan", l->pan);
	time_format(l->at_ms, text);
	jsonw_kstr(&j, "at", text);
	jsonw_kstr(&j, "standing", card_standing_name(l->standing));
	jsonw_kint(&j, "generation", l->life.generation);
	moment_text(l->life.valid_to_ms, text);
	jsonw_kstr(&j, "valid_until", text);
	jsonw_kbool(&j, "person_known", l->registered);
	jsonw_kint(&j, "counter_seen", l->counter);
	jsonw_key(&j, "changes");
	jsonw_array(&j);
	for (size_t i = 0; i < l->rows; i++) {
		const struct card_event *e = &l->row[i].event;

		jsonw_object(&j);
		jsonw_kstr(&j, "state", card_change_name(e->change));
		time_format(e->at_ms, text);
		jsonw_kstr(&j, "at", text);
		moment_text(e->valid_to_ms, text);
		jsonw_kstr(&j, "valid_until", text);
		if (e->counted)
			jsonw_kint(&j, "counter", e->counter);
		jsonw_kint(&j, "seq", (int64_t)l->row[i].seq);
		jsonw_object_end(&j);
	}
	jsonw_array_end(&j);
	jsonw_object_end(&j);
	putchar('\n');
}

static void print_text(const struct looked *l)
{
	char at[32], until[32];

	time_format(l->at_ms, at);
	printf("卡 %s  %s (%s)  于 %s\n", l->pan, card_standing_zh(l->standing), card_standing_name(l->standing), at);
	moment_text(l->life.valid_to_ms, until);
	printf("  第 %u 张实体卡  有效至 %s  持卡人 %s", l->life.generation, until[0] != '\0' ? until : "不限", l->registered ? "已登记" : "未登记");
	if (l->counter >= 0) {
		char day[11];

		day_format(l->counter_day, day);
		printf("  交易序号 %d (%s)", l->counter, day);
	}
	putchar('\n');
	for (size_t i = 0; i < l->rows; i++) {
		const struct card_event *e = &l->row[i].event;

		time_format(e->at_ms, at);
		moment_text(e->valid_to_ms, until);
		printf("  %s  %s (%s)", at, card_change_zh(e->change), card_change_name(e->change));
		if (until[0] != '\0')
			printf("  有效至 %s", until);
		if (e->counted)
			printf("  新卡序号自 %u", e->counter);
		printf("  收件箱 #%llu\n", (unsigned long long)l->row[i].seq);
	}
}

int card_show(int argc, char **argv)
{
	struct looked l = { .at_ms = (int64_t)time(NULL) * 1000 };
	struct options o;
	struct store *s;
	uint8_t pan[10];
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first + 1 != argc || !pan_parse(argv[o.first], pan) || (o.at != NULL && !time_parse(o.at, &l.at_ms))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(&o, &s) != 0)
		return EXIT_STORE;
	ret = look(s, pan, &l);
	store_close(s);
	if (ret != 0) {
		complain("%s: %s", store_dir(o.store), clearing_strerror(ret));
		return exit_of_error(ret);
	}
	if (l.rows == 0) {
		complain("card show: %s: nothing is known of this card; qingfen load cards FILE brings lives of cards", l.pan);
		return EXIT_ABSENT;
	}
	if (o.json)
		print_json(&l);
	else
		print_text(&l);
	return EXIT_OK;
}
