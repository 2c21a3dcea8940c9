/*
 * qingfen keys - derive test keys and make the purse's codes. Secrets on the command line are for test keys; keyrings
 * (keys_ring_verb.c) and ceremonies (keys_ceremony_verb.c) take theirs from files, descriptors and terminals.
 */
#include "tools/keys.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen keys derive --alg 3des|sm4 --root HEX --factor HEX [--factor HEX...] [--json]\n"
	"            qingfen keys tac|mac1|mac2 --alg 3des|sm4 --key HEX --amount FEN --type HH --terminal HEX12\n"
	"                        --serial HEX8 --time YYYYMMDDhhmmss [--random HEX8] [--counter HEX4] [--json]\n"
	"            qingfen keys ring create|list|add|retire --help\n"
	"            qingfen keys ceremony component|load|activate --help\n"
	"            qingfen keys compromise --help     qingfen keys drill --help     qingfen keys confirm --help\n"
	"            qingfen keys reload [--socket PATH] [--json]\n"
	"  reload: 运行中的清分服务重新装载密钥环, 不停机; 不合格的环被拒绝, 原环继续使用\n"
	"  derive tac mac1 mac2: 仅用于测试密钥 test keys only; --amount 为分, 可用 0x 前缀写十六进制\n";

#define FACTORS_MAX 3
struct keys_options {
	const char *alg, *root, *key, *amount, *type, *terminal, *serial, *time, *random, *counter, *factor[FACTORS_MAX];
	size_t factors;
	bool json;
};

static int keys_options_read(int argc, char **argv, struct keys_options *ret)
{
	static const char *const names[] = { "alg", "root", "key", "amount", "type", "terminal", "serial", "time", "random", "counter", "factor", "json", "help" };
	struct option longs[14] = { 0 };
	const char **field[] = { &ret->alg, &ret->root, &ret->key, &ret->amount, &ret->type, &ret->terminal, &ret->serial, &ret->time, &ret->random,
		&ret->counter };
	int c;

	for (int i = 0; i < 13; i++)
		longs[i] = (struct option){ names[i], i < 11 ? required_argument : no_argument, NULL, 256 + i };
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c >= 256 && c < 256 + 10) {
			*field[c - 256] = optarg;
		} else if (c == 256 + 10 && ret->factors < FACTORS_MAX) {
			ret->factor[ret->factors++] = optarg;
		} else if (c == 256 + 11) {
			ret->json = true;
		} else if (c == 256 + 12 || c == 'h') {
			fputs(usage, stdout);
			return -1;
		} else {
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	return 0;
}

static int usage_of(const char *what)
{
	complain("keys: %s", what);
	return EXIT_USAGE;
}

static bool alg_of(const char *text, enum key_alg *ret)
{
	*ret = text != NULL && strcmp(text, "sm4") == 0 ? KEY_ALG_SM4 : KEY_ALG_3DES;
	return text != NULL && (strcmp(text, "sm4") == 0 || strcmp(text, "3des") == 0);
}

static void answer(const struct keys_options *o, const char *what, const uint8_t *p, size_t n)
{
	char hex[2 * KEY_BYTES + 1];

	hex_encode(p, n, hex);
	if (o->json)
		printf("{\"schema\":\"qingfen.keys\",\"version\":1,\"%s\":\"%s\"}\n", what, hex);
	else
		printf("%s\n", hex);
	key_wipe(hex, sizeof(hex));
}

static int do_derive(const struct keys_options *o)
{
	uint8_t key[KEY_BYTES], factor[KEY_FACTOR_BYTES];
	struct mac_engine *engine;
	enum key_alg alg;
	int ret;

	if (!alg_of(o->alg, &alg))
		return usage_of("--alg 3des or sm4 is needed");
	if (o->root == NULL || !hex_decode(o->root, key, KEY_BYTES))
		return usage_of("--root: 32 hex digits are needed");
	if (o->factors == 0)
		return usage_of("--factor: at least one of 16 hex digits is needed");
	ret = mac_engine_new(&engine);
	for (size_t i = 0; ret == 0 && i < o->factors; i++) {
		if (!hex_decode(o->factor[i], factor, KEY_FACTOR_BYTES)) {
			mac_engine_free(engine);
			return usage_of("--factor: 16 hex digits are needed");
		}
		ret = key_diversify(engine, alg, key, factor, key);
	}
	mac_engine_free(engine);
	if (ret == 0)
		answer(o, "key", key, KEY_BYTES);
	key_wipe(key, sizeof(key));
	return exit_of_error(ret);
}

static bool hex_field(const char *text, uint8_t *ret, size_t n) { return text != NULL && hex_decode(text, ret, n); }

static const char *purchase_read(const struct keys_options *o, bool session, struct purchase *ret)
{
	struct purchase p = { 0 };
	uint8_t bytes[4];
	unsigned long amount;
	int64_t ms;
	char *end;

	amount = o->amount != NULL ? strtoul(o->amount, &end, 0) : 0;
	if (o->amount == NULL || *end != '\0' || amount > UINT32_MAX)
		return "--amount: fen is needed";
	p.amount_fen = (uint32_t)amount;
	if (!hex_field(o->type, &p.txn_type, 1))
		return "--type: two hex digits are needed";
	if (!hex_field(o->terminal, p.terminal, 6))
		return "--terminal: 12 hex digits are needed";
	if (!hex_field(o->serial, bytes, 4))
		return "--serial: eight hex digits are needed";
	p.terminal_serial = be32_get(bytes);
	if (!hex_field(o->time, p.time.bcd, 7) || !mac_time_to_ms(&p.time, &ms))
		return "--time: YYYYMMDDhhmmss that exists is needed";
	if (session && (!hex_field(o->random, p.random, 4) || !hex_field(o->counter, bytes, 2)))
		return "--random HEX8 and --counter HEX4 are needed for the session key";
	if (session)
		p.card_counter = be16_get(bytes);
	*ret = p;
	return NULL;
}

static int do_code(const struct keys_options *o, const char *what)
{
	bool tac = strcmp(what, "tac") == 0;
	uint8_t key[KEY_BYTES], code[MAC_BYTES];
	struct mac_engine *engine;
	struct purchase p;
	enum key_alg alg;
	const char *fault;
	int ret;

	if (!alg_of(o->alg, &alg))
		return usage_of("--alg 3des or sm4 is needed");
	if (!hex_field(o->key, key, KEY_BYTES))
		return usage_of("--key: 32 hex digits are needed");
	fault = purchase_read(o, !tac, &p);
	if (fault != NULL)
		return usage_of(fault);
	ret = mac_engine_new(&engine);
	if (ret == 0) {
		ret = tac ? mac_purchase_tac(engine, alg, key, &p, code)
			  : strcmp(what, "mac1") == 0 ? mac_purchase_mac1(engine, alg, key, &p, code) : mac_purchase_mac2(engine, alg, key, &p, code);
		mac_engine_free(engine);
	}
	key_wipe(key, sizeof(key));
	if (ret == 0)
		answer(o, what, code, MAC_BYTES);
	return exit_of_error(ret);
}

/* The running daemon takes its ring again. */
static int do_reload(int argc, char **argv)
{
	struct options socket = { 0 };
	struct ring_options o;
	int ret = ring_options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first != argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	socket.socket = o.socket;
	socket.json = o.json;
	return daemon_call(&socket, "{\"cmd\":\"keys-reload\"}", NULL, 0, false);
}

int verb_keys(int argc, char **argv)
{
	struct keys_options o = { 0 };
	int ret;

	if (argc > 1 && strcmp(argv[1], "ring") == 0)
		return keys_ring(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "ceremony") == 0)
		return keys_ceremony(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "compromise") == 0)
		return keys_compromise(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "drill") == 0)
		return keys_drill(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "reload") == 0)
		return do_reload(argc - 1, argv + 1);
	if (argc > 1 && (strcmp(argv[1], "waiting") == 0 || strcmp(argv[1], "confirm") == 0 || strcmp(argv[1], "refuse") == 0))
		return keys_confirm(argc - 1, argv + 1);
	ret = keys_options_read(argc, argv, &o);
	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (optind + 1 == argc && strcmp(argv[optind], "derive") == 0)
		return do_derive(&o);
	if (optind + 1 == argc && (strcmp(argv[optind], "tac") == 0 || strcmp(argv[optind], "mac1") == 0 || strcmp(argv[optind], "mac2") == 0))
		return do_code(&o, argv[optind]);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
