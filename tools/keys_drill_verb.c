/*
 * qingfen keys compromise, drill - a key is said to be compromised by one person's signature; and what that touches, from
 * the store, before it is said or after. A drill changes nothing.
 */
#include "tools/keys.h"
#include "tools/signed_call.h"
#include "tools/tariff.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char compromise_usage[] =
	"用法 usage: qingfen keys compromise KEY --from TIME --by NAME --key FILE [--socket PATH] [--json]\n"
	"  KEY: --alg 3des|sm4 --issuer HEX8 --version N [--index N] [--scheme N]   TAC 密钥 a TAC key\n"
	"  登记密钥泄露: 自该时刻起用它验证的刷卡一律待确认, 不自动结算; 已清分的结算日不变\n"
	"  from then on what the key verified waits for a person; cleared days stay as they are\n";
static const char drill_usage[] =
	"用法 usage: qingfen keys drill KEY --from TIME [--store DIR] [--taps] [--json]\n"
	"                        [--ring FILE --passphrase-file FILE]   KEY: as for keys compromise\n"
	"  演练: 该密钥若自该时刻起泄露, 涉及哪些刷卡、卡、金额、结算日和企业, 以及怎么办; 不改动任何数据\n"
	"  what its compromise would touch and what to do; --taps lists each tap; nothing is changed\n";

static const char *const standing_zh[] = { "", "已结算", "未清分", "待确认", "验证码错误" };
static const char *const standing_names[] = { "", "settled", "open", "waiting", "wrong-code" };

static int key_read(struct ring_options *o, const char *usage, struct distrust *ret)
{
	struct key_entry e;
	int code;

	if (o->purpose != NULL && strcmp(o->purpose, "tac") != 0) {
		complain("keys: only TAC keys verify taps here; another key is retired in the ring and replaced in cards and terminals");
		return EXIT_USAGE;
	}
	o->purpose = "tac";
	if (o->from == NULL) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	code = ring_entry_read(o, &e);
	if (code != EXIT_OK)
		return code;
	*ret = (struct distrust){ .scheme = e.scheme, .alg = (uint8_t)e.alg, .version = e.version, .index = e.index, .from_ms = e.valid_from_ms };
	memcpy(ret->issuer, e.issuer, sizeof(ret->issuer));
	return EXIT_OK;
}

/* ---- compromise ------------------------------------------------------------------------------------------ */

static int compromise_send(const struct ring_options *o, const struct distrust *d)
{
	const struct options person = { .socket = o->socket, .json = o->json, .by = o->by[0], .key = o->key[0] };
	char text[PUBLISH_TEXT_BYTES], issuer[9];
	struct signed_call c;
	int ret = signed_begin(&c, "key-compromise");

	if (ret != EXIT_OK)
		return ret;
	hex_encode(d->issuer, 4, issuer);
	jsonw_kstr(&c.json, "issuer", issuer);
	jsonw_kint(&c.json, "scheme", d->scheme);
	jsonw_kstr(&c.json, "alg", d->alg == KEY_ALG_SM4 ? "sm4" : "3des");
	jsonw_kint(&c.json, "version", d->version);
	jsonw_kint(&c.json, "index", d->index);
	jsonw_kint(&c.json, "from", d->from_ms);
	return signed_send(&c, &person, text, distrust_text(d, text), NULL, 0);
}

int keys_compromise(int argc, char **argv)
{
	struct ring_options o;
	struct distrust d;
	int ret = ring_options_read(argc, argv, compromise_usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first != argc || o.by_count != 1 || o.key_count != 1) {
		fputs(compromise_usage, stderr);
		return EXIT_USAGE;
	}
	ret = key_read(&o, compromise_usage, &d);
	return ret != EXIT_OK ? ret : compromise_send(&o, &d);
}

/* ---- drill ------------------------------------------------------------------------------------------------- */

struct sums { uint64_t taps, cards; int64_t charged_fen, subsidy_fen; };
struct answer {
	const struct distrust *key;
	struct distrust told; bool is_told;	/* the event that is there already */
	struct drill drill;
	struct sums total[5]; uint64_t cards; int32_t days;	/* by standing; distinct cards and days of all but wrong codes */
	bool ring; char ready[64];		/* versions that can take over, "" none */
};

static int pan_compare(const void *a, const void *b) { return memcmp(a, b, 10); }

/* Distinct cards of a standing; 0: of every tap that is or may become money. */
static int cards_count(const struct drill *d, uint8_t standing, uint64_t *ret)
{
	uint8_t (*pan)[10] = malloc((d->count + 1) * 10);
	uint64_t n = 0, cards = 0;

	if (pan == NULL)
		return EXIT_STORE;
	for (size_t i = 0; i < d->count; i++)
		if (standing != 0 ? d->row[i].standing == standing : d->row[i].standing != DRILL_WRONG)
			memcpy(pan[n++], d->row[i].pan, 10);
	if (n > 1)
		qsort(pan, n, 10, pan_compare);
	for (uint64_t i = 0; i < n; i++)
		cards += i == 0 || memcmp(pan[i], pan[i - 1], 10) != 0;
	free(pan);
	*ret = cards;
	return EXIT_OK;
}

static void sums_add(struct sums *s, const struct drill_row *r)
{
	s->taps++;
	s->charged_fen += r->charged_fen;
	s->subsidy_fen += r->subsidy_fen;
}

static int totals_make(struct answer *a)
{
	int32_t last = INT32_MIN;
	int ret = cards_count(&a->drill, 0, &a->cards);

	for (uint8_t s = DRILL_SETTLED; ret == EXIT_OK && s <= DRILL_WRONG; s++)
		ret = cards_count(&a->drill, s, &a->total[s].cards);
	for (size_t i = 0; i < a->drill.count; i++) {
		const struct drill_row *r = &a->drill.row[i];

		sums_add(&a->total[r->standing], r);
		a->days += r->standing != DRILL_WRONG && r->day != last;
		last = r->standing != DRILL_WRONG ? r->day : last;
	}
	return ret;
}

/* Rows i.. of one day, operator and standing, and what they come to. */
static size_t group_read(const struct drill *d, size_t i, struct sums *ret)
{
	const struct drill_row *first = &d->row[i];
	size_t n = 0;

	*ret = (struct sums){ 0 };
	for (; i + n < d->count; n++) {
		const struct drill_row *r = &d->row[i + n];

		if (r->day != first->day || r->operator_id != first->operator_id || r->standing != first->standing)
			break;
		ret->cards += n == 0 || memcmp(r->pan, r[-1].pan, 10) != 0;
		sums_add(ret, r);
	}
	return n;
}

static void key_text(const struct distrust *d, char ret[96])
{
	char issuer[9];

	hex_encode(d->issuer, 4, issuer);
	snprintf(ret, 96, "%s 发卡机构 issuer %s 方案 %u 版本 version %u 索引 index %u", d->alg == KEY_ALG_SM4 ? "SM4" : "3DES", issuer, d->scheme, d->version, d->index);
}

static void print_taps(const struct answer *a)
{
	for (size_t i = 0; i < a->drill.count; i++) {
		const struct drill_row *r = &a->drill.row[i];
		char id[TAP_ID_BYTES], pan[24], day[11];

		tap_id_format(r->key, id);
		pan_masked(r->pan, pan);
		day_format(r->day, day);
		printf("  %s  %s  企业 %u  %s  %s  %" PRId64 " 分\n", day, id, r->operator_id, pan, standing_zh[r->standing], r->charged_fen);
	}
}

/* What to do, in its order; a step that is done says so. */
static void print_steps(const struct answer *a)
{
	const struct sums *t = a->total;
	char from[32];
	int n = 0;

	time_format(a->key->from_ms, from);
	fputs("怎么办 what to do\n", stdout);
	if (a->is_told)
		printf("  %d. 已登记泄露 (登记人 %s), 后到的刷卡自动待确认\n", ++n, a->told.by);
	else
		printf("  %d. 由一名授权人签名登记: qingfen keys compromise ... --from %s\n", ++n, from);
	if (!a->ring)
		printf("  %d. 查备用版本: 带 --ring 再演练一次; 没有则举行密钥仪式 (keys ceremony)\n", ++n);
	else if (a->ready[0] != '\0')
		printf("  %d. 备用版本 %s 已启用: 新卡和补卡按它个人化\n", ++n, a->ready);
	else
		printf("  %d. 没有已启用的备用版本: 立即举行密钥仪式 (keys ceremony load, activate)\n", ++n);
	printf("  %d. 定停用日期: qingfen keys ring retire ... --at 日期\n", ++n);
	printf("  %d. 换卡 %" PRIu64 " 张 (保号补卡, 人员权益与额度不变), 先换最近刷卡的\n", ++n, a->cards);
	printf("  %d. 已结算 %" PRIu64 " 笔 %" PRId64 " 分: 用 --taps 列出, 交企业与发卡机构逐笔核对; 原账不改\n", ++n, t[DRILL_SETTLED].taps, t[DRILL_SETTLED].charged_fen);
	printf("  %d. 未清分 %" PRIu64 " 笔、待确认 %" PRIu64 " 笔: 由两人签名复核 (keys waiting, keys confirm), 不自动结算\n", ++n, t[DRILL_OPEN].taps, t[DRILL_WAITING].taps);
	if (t[DRILL_WRONG].taps > 0)
		printf("  %d. 验证码错误 %" PRIu64 " 笔, %" PRIu64 " 张卡: 可能是伪造的尝试, 一并交查\n", ++n, t[DRILL_WRONG].taps, t[DRILL_WRONG].cards);
}

static void print_text(const struct answer *a, bool taps)
{
	char from[32], text[96];
	struct sums s;

	key_text(a->key, text);
	time_format(a->key->from_ms, from);
	printf("密钥泄露演练 key compromise drill (不改动任何数据 nothing is changed)\nTAC 密钥 %s\n自 from %s 起", text, from);
	if (a->is_told) {
		time_format(a->told.from_ms, from);
		printf("  已登记泄露 told: 自 %s, 登记人 %s", from, a->told.by);
	}
	printf("\n涉及 %" PRId32 " 个结算日 days, %" PRIu64 " 张卡 cards\n\n结算日      企业    状态          笔数 taps  卡数 cards    扣款(分)    补贴(分)\n", a->days, a->cards);
	for (size_t i = 0; i < a->drill.count;) {
		const struct drill_row *r = &a->drill.row[i];
		char day[11];

		i += group_read(&a->drill, i, &s);
		day_format(r->day, day);
		printf("%s  %6u  %s%*s %10" PRIu64 "  %10" PRIu64 "  %10" PRId64 "  %10" PRId64 "\n", day, r->operator_id, standing_zh[r->standing],
		       r->standing == DRILL_WRONG ? 1 : 5, "", s.taps, s.cards, s.charged_fen, s.subsidy_fen);
	}
	for (int i = DRILL_SETTLED; i <= DRILL_WRONG; i++)
		if (a->total[i].taps > 0)
			printf("合计 total          %s%*s %10" PRIu64 "  %10" PRIu64 "  %10" PRId64 "  %10" PRId64 "\n", standing_zh[i], i == DRILL_WRONG ? 1 : 5, "", a->total[i].taps,
			       a->total[i].cards, a->total[i].charged_fen, a->total[i].subsidy_fen);
	putchar('\n');
	print_steps(a);
	if (taps) {
		fputs("\n刷卡 taps\n", stdout);
		print_taps(a);
	}
}

static void json_sums(struct jsonw *j, const struct sums *s)
{
	jsonw_kint(j, "taps", (int64_t)s->taps);
	jsonw_kint(j, "cards", (int64_t)s->cards);
	jsonw_kint(j, "charged_fen", s->charged_fen);
	jsonw_kint(j, "subsidy_fen", s->subsidy_fen);
}

static void json_taps(struct jsonw *j, const struct drill *d)
{
	jsonw_key(j, "taps");
	jsonw_array(j);
	for (size_t i = 0; i < d->count; i++) {
		char id[TAP_ID_BYTES], pan[24];

		tap_id_format(d->row[i].key, id);
		pan_masked(d->row[i].pan, pan);
		jsonw_object(j);
		jsonw_kstr(j, "tap", id);
		jsonw_kstr(j, "pan", pan);
		jsonw_kint(j, "operator", d->row[i].operator_id);
		jsonw_kstr(j, "standing", standing_names[d->row[i].standing]);
		jsonw_kint(j, "charged_fen", d->row[i].charged_fen);
		jsonw_object_end(j);
	}
	jsonw_array_end(j);
}

static void json_groups(struct jsonw *j, const struct drill *d)
{
	struct sums s;

	jsonw_key(j, "groups");
	jsonw_array(j);
	for (size_t i = 0; i < d->count;) {
		const struct drill_row *r = &d->row[i];
		char day[11];

		i += group_read(d, i, &s);
		day_format(r->day, day);
		jsonw_object(j);
		jsonw_kstr(j, "day", day);
		jsonw_kint(j, "operator", r->operator_id);
		jsonw_kstr(j, "standing", standing_names[r->standing]);
		json_sums(j, &s);
		jsonw_object_end(j);
	}
	jsonw_array_end(j);
}

static void print_json(const struct answer *a, bool taps)
{
	char from[32], issuer[9];
	struct jsonw j;

	time_format(a->key->from_ms, from);
	hex_encode(a->key->issuer, 4, issuer);
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.keys.drill");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "alg", a->key->alg == KEY_ALG_SM4 ? "sm4" : "3des");
	jsonw_kint(&j, "scheme", a->key->scheme);
	jsonw_kstr(&j, "issuer", issuer);
	jsonw_kint(&j, "key_version", a->key->version);
	jsonw_kint(&j, "key_index", a->key->index);
	jsonw_kstr(&j, "from", from);
	jsonw_kstr(&j, "told_by", a->is_told ? a->told.by : "");
	jsonw_kint(&j, "days", a->days);
	jsonw_kint(&j, "cards", (int64_t)a->cards);
	if (a->ring)
		jsonw_kstr(&j, "ready_versions", a->ready);
	for (int i = DRILL_SETTLED; i <= DRILL_WRONG; i++) {
		jsonw_key(&j, standing_names[i]);
		jsonw_object(&j);
		json_sums(&j, &a->total[i]);
		jsonw_object_end(&j);
	}
	json_groups(&j, &a->drill);
	if (taps)
		json_taps(&j, &a->drill);
	jsonw_object_end(&j);
	putchar('\n');
}

/* Other versions of this issuer's TAC keys that are in use today: "2 3". */
static int ring_look(const struct ring_options *o, struct answer *a)
{
	char passphrase[PASSPHRASE_BYTES];
	int64_t now_ms = (int64_t)time(NULL) * 1000;
	struct keyring *ring = NULL;
	int ret = o->ring != NULL ? ring_load(o, false, passphrase, &ring) : EXIT_OK;

	if (o->ring == NULL || ret != EXIT_OK)
		return ret;
	a->ring = true;
	for (size_t i = 0; i < keyring_count(ring); i++) {
		const struct key_entry *e = keyring_entry(ring, i);
		size_t n = strlen(a->ready);

		if (e->purpose == KEY_TAC && e->scheme == a->key->scheme && memcmp(e->issuer, a->key->issuer, 4) == 0 && e->version != a->key->version &&
		    (e->flags & (KEY_FLAG_INACTIVE | KEY_FLAG_DISTRUSTED)) == 0 && e->valid_to_ms > now_ms)
			snprintf(a->ready + n, sizeof(a->ready) - n, "%s%s/%u", n > 0 ? " " : "", e->alg == KEY_ALG_SM4 ? "SM4" : "3DES", e->version);
	}
	key_wipe(passphrase, sizeof(passphrase));
	keyring_free(ring);
	return EXIT_OK;
}

static int told_look(struct store *s, struct answer *a)
{
	const struct distrust *told;
	struct refdata *ref = NULL;
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret == 0)
		ret = refdata_new(&ref);
	if (ret == 0)
		ret = refdata_replay(ref, &t, inbox_last(&t));
	told = ret == 0 ? refdata_distrust_of(ref, a->key) : NULL;
	a->is_told = told != NULL;
	if (told != NULL)
		a->told = *told;
	refdata_free(ref);
	txn_abort(&t);
	return ret;
}

static int drill_answer(const struct ring_options *o, struct answer *a)
{
	const struct options options = { .store = o->store };
	struct store *s;
	int ret;

	if (store_open_reading(&options, &s) != 0)
		return EXIT_STORE;
	ret = told_look(s, a);
	if (ret == 0)
		ret = key_drill(s, a->key, &a->drill);
	store_close(s);
	if (ret != 0)
		complain("%s: %s", store_dir(o->store), clearing_strerror(ret));
	return exit_of_error(ret);
}

int keys_drill(int argc, char **argv)
{
	struct ring_options o;
	struct distrust key;
	struct answer a = { .key = &key };
	int ret = ring_options_read(argc, argv, drill_usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first != argc) {
		fputs(drill_usage, stderr);
		return EXIT_USAGE;
	}
	ret = key_read(&o, drill_usage, &key);
	if (ret == EXIT_OK)
		ret = ring_look(&o, &a);
	if (ret == EXIT_OK)
		ret = drill_answer(&o, &a);
	if (ret == EXIT_OK)
		ret = totals_make(&a);
	if (ret == EXIT_OK && o.json)
		print_json(&a, o.taps);
	else if (ret == EXIT_OK)
		print_text(&a, o.taps);
	free(a.drill.row);
	return ret;
}
