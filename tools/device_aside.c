/*
 * qingfen device aside, release - records beyond their device's cap: listed as they wait, and released one by one by
 * the signature of a person, who has seen why the device brought so much.
 */
#include "tools/device.h"
#include "tools/signed_call.h"
#include "tools/waiting_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen device aside [--date DATE] [--store DIR] [--json]\n"
	"            qingfen device release ID --by NAME --key FILE [--store DIR] [--socket PATH] [--json]\n"
	"  aside: 超过设备限额、被隔离且未放行的记录  records set aside and not released\n"
	"  release: 人员核实后签名放行一笔, 计入当前结算日, 仅一次  one record settles on the open day, once\n";

static bool waits(const struct refdata *ref, const uint8_t key[TAP_KEY_BYTES], const struct cleared *row)
{
	return row->verdict == VERDICT_QUARANTINED && refdata_release(ref, key) == NULL;
}

static void print(const struct waiting_list *l, const char *id, const char *date, const uint8_t key[TAP_KEY_BYTES], const struct cleared *row)
{
	struct jsonw j;

	(void)key;
	if (!l->json) {
		printf("%s  %-15s  %s  %8" PRId64 " 分  %s\n", date, row->device, id, row->priced.charged.fen, key_check_name((enum key_check)row->check));
		return;
	}
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.device.aside");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "day", date);
	jsonw_kstr(&j, "device", row->device);
	jsonw_kstr(&j, "tap", id);
	jsonw_kstr(&j, "check", key_check_name((enum key_check)row->check));
	jsonw_kint(&j, "amount_fen", row->priced.charged.fen);
	jsonw_object_end(&j);
	putchar('\n');
}

static const struct waiting_kind kind = { VERDICT_QUARANTINED, waits, print, "笔待放行, 记录金额", "分 records wait" };

/* What is signed: the record, the day that set it aside, and what it holds. */
static int text_of(const struct options *o, const char *id, char ret_text[PUBLISH_TEXT_BYTES], size_t *ret_bytes)
{
	uint8_t key[TAP_KEY_BYTES], digest[DIGEST_BYTES];
	struct cleared row;
	struct store *s;
	struct txn t;
	int32_t day;
	int ret;

	if (!tap_id_parse(id, key)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(o, &s) != 0)
		return EXIT_STORE;
	ret = txn_begin(s, false, &t);
	if (ret == 0) {
		ret = set_aside_find(&t, key, &day, &row) ? digest_sha256(row.raw, row.raw_bytes, digest) : -ENOENT;
		if (ret == 0)
			*ret_bytes = release_text(key, day, digest, ret_text);
		txn_abort(&t);
	}
	store_close(s);
	if (ret != 0)
		complain("%s: %s", id, ret == -ENOENT ? "no cleared day has set this record aside; qingfen device aside lists them" : clearing_strerror(ret));
	return exit_of_error(ret);
}

static int release(const struct options *o, const char *id)
{
	char text[PUBLISH_TEXT_BYTES];
	struct signed_call c;
	size_t n = 0;
	int ret = text_of(o, id, text, &n);

	if (ret == EXIT_OK)
		ret = signed_begin(&c, "device-release");
	if (ret != EXIT_OK)
		return ret;
	jsonw_kstr(&c.json, "tap", id);
	return signed_send(&c, o, text, n, NULL, 0);
}

int device_aside(int argc, char **argv)
{
	struct options o;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (strcmp(argv[0], "aside") == 0 && o.first == argc)
		return waiting_list(&o, usage, &kind);
	if (strcmp(argv[0], "release") == 0 && o.first + 1 == argc && o.by != NULL && o.key != NULL)
		return release(&o, argv[o.first]);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
