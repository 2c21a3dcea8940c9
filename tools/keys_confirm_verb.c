/*
 * qingfen keys waiting, confirm - taps that wait because their key is distrusted: listed, and decided by two persons, each of
 * whom signs the record, the day that left it waiting, and what becomes of it.
 */
#include "tools/keys.h"
#include "tools/signed_call.h"
#include "tools/waiting_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen keys waiting [--date DATE] [--store DIR] [--json]\n"
	"            qingfen keys confirm|refuse ID... --by NAME --key FILE [--store DIR] [--socket PATH] [--json]\n"
	"  waiting: 因密钥泄露待复核的刷卡  taps of a distrusted key that wait\n"
	"  confirm, refuse: 两人先后签名确认入账或不予入账, 计入当前结算日, 仅一次\n"
	"                   two persons sign for it; it settles, or goes back, on the open day, once\n";

static bool waits(const struct refdata *ref, const uint8_t key[TAP_KEY_BYTES], const struct cleared *row)
{
	const struct confirm *c = refdata_confirm(ref, key);

	return row->pending && row->check == KEY_CHECK_DISTRUSTED && row->scheme == SCHEME_PURSE && (c == NULL || c->seq == 0);
}

static void print(const struct waiting_list *l, const char *id, const char *date, const uint8_t key[TAP_KEY_BYTES], const struct cleared *row)
{
	const struct confirm *first = refdata_confirm(l->ref, key);
	struct jsonw j;

	if (!l->json) {
		printf("%s  %s  企业 %u  %8" PRId64 " 分  %s%s\n", date, id, row->operator_id, row->priced.charged.fen, first != NULL ? "已签 " : "", first != NULL ? first->by[0] : "");
		return;
	}
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.keys.waiting");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "day", date);
	jsonw_kstr(&j, "tap", id);
	jsonw_kint(&j, "operator", row->operator_id);
	jsonw_kint(&j, "charged_fen", row->priced.charged.fen);
	jsonw_kstr(&j, "decision", first == NULL ? "" : first->decision == CONFIRM_GOOD ? "good" : "refused");
	jsonw_kstr(&j, "signed_by", first != NULL ? first->by[0] : "");
	jsonw_object_end(&j);
	putchar('\n');
}

static const struct waiting_kind kind = { VERDICT_PENDING, waits, print, "笔待复核, 记录金额", "分 taps wait" };

/* ---- deciding ------------------------------------------------------------------------------------------------ */

static int confirm_of(const struct options *o, const char *id, struct confirm *c)
{
	struct cleared row;
	struct store *s;
	struct txn t;
	int ret;

	if (!tap_id_parse(id, c->key)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(o, &s) != 0)
		return EXIT_STORE;
	ret = txn_begin(s, false, &t);
	if (ret == 0) {
		ret = distrusted_find(&t, c->key, &c->day, &row) ? digest_sha256(row.raw, row.raw_bytes, c->digest) : -ENOENT;
		txn_abort(&t);
	}
	store_close(s);
	if (ret != 0)
		complain("%s: %s", id, ret == -ENOENT ? "no cleared day has left this tap waiting for its key; qingfen keys waiting lists them" : clearing_strerror(ret));
	return exit_of_error(ret);
}

static int decide(const struct options *o, const char *id, enum confirm_decision decision)
{
	struct confirm what = { .decision = (uint8_t)decision };
	char text[PUBLISH_TEXT_BYTES];
	struct signed_call c;
	int ret = confirm_of(o, id, &what);

	if (ret == EXIT_OK)
		ret = signed_begin(&c, "tap-confirm");
	if (ret != EXIT_OK)
		return ret;
	jsonw_kstr(&c.json, "tap", id);
	jsonw_kstr(&c.json, "decision", decision == CONFIRM_GOOD ? "good" : "refused");
	return signed_send(&c, o, text, confirm_text(&what, text), NULL, 0);
}

/* One after another; the first that is refused ends it, what went before stays. */
int keys_confirm(int argc, char **argv)
{
	enum confirm_decision decision = strcmp(argv[0], "refuse") == 0 ? CONFIRM_REFUSED : CONFIRM_GOOD;
	struct options o;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (strcmp(argv[0], "waiting") == 0 && o.first == argc)
		return waiting_list(&o, usage, &kind);
	if (strcmp(argv[0], "waiting") == 0 || o.first == argc || o.by == NULL || o.key == NULL) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	for (int i = o.first; ret == 0 && i < argc; i++)
		ret = decide(&o, argv[i], decision);
	return ret;
}
