/*
 * qingfen keys ring - an encrypted keyring: create, list, add test keys, retire. A list tells what each key is for and
 * its check value, never the key. Keys for production come in by a ceremony (keys_ceremony_verb.c).
 */
#include "tools/keys.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"用法 usage: qingfen keys ring create|list --ring FILE --passphrase-file FILE [--json]\n"
	"            qingfen keys ring add --ring FILE --passphrase-file FILE KEY --root-file FILE\n"
	"            qingfen keys ring device --ring FILE --passphrase-file FILE KEY --label TEXT|--wrapped HEX32\n"
	"                        --kcv HEX6 --pan HEX20 --card-kcv HEX6 [--test]\n"
	"            qingfen keys ring retire --ring FILE --passphrase-file FILE KEY --at TIME\n"
	"  KEY: --purpose tac|purchase|load|lock|unlock|update --alg 3des|sm4 --issuer HEX8 --version N [--index N] [--scheme N]\n"
	"       [--factors issuer,card] [--from TIME] [--to TIME]   factors: issuer, area=HEX16, line=HEX16, card last\n"
	"  add: 只用于测试密钥, 生产密钥用 keys ceremony  test keys only\n"
	"  device: 密钥在密钥设备中, --label 为 PKCS#11 标签, --wrapped 为 SDF 设备 KEK 下的密文; 已知答案用来识别说谎的设备\n"
	"  retire: 到期停用, 该时刻之前的刷卡仍可验证\n";

/* ---- options ------------------------------------------------------------------------------------------- */

#define TEXT(field) offsetof(struct ring_options, field)
static const struct { const char *name; size_t offset; } texts[] = {
	{ "ring", TEXT(ring) }, { "passphrase-file", TEXT(passphrase_file) }, { "purpose", TEXT(purpose) }, { "alg", TEXT(alg) }, { "issuer", TEXT(issuer) },
	{ "version", TEXT(version) }, { "index", TEXT(index) }, { "scheme", TEXT(scheme) }, { "factors", TEXT(factors) }, { "from", TEXT(from) },
	{ "to", TEXT(to) }, { "root-file", TEXT(root_file) }, { "at", TEXT(at) }, { "persons", TEXT(persons) }, { "kcv", TEXT(kcv) }, { "pan", TEXT(pan) },
	{ "card-kcv", TEXT(card_kcv) }, { "date", TEXT(date) }, { "minutes", TEXT(minutes) }, { "label", TEXT(label) }, { "wrapped", TEXT(wrapped) }, { "store", TEXT(store) },
	{ "socket", TEXT(socket) }, { "out", TEXT(out) },
};
#define TEXT_COUNT (sizeof(texts) / sizeof(texts[0]))
enum { OPTION_BY = 512, OPTION_KEY, OPTION_FD, OPTION_TEST, OPTION_TAPS, OPTION_JSON };

static bool custodian_add(const char **list, size_t *count)
{
	if (*count == CUSTODIANS_MAX)
		return false;
	list[(*count)++] = optarg;
	return true;
}

static bool option_take(int c, struct ring_options *o)
{
	if (c >= 256 && c < 256 + (int)TEXT_COUNT) {
		memcpy((char *)o + texts[c - 256].offset, &optarg, sizeof(optarg));
		return true;
	}
	switch (c) {
	case OPTION_BY: return custodian_add(o->by, &o->by_count);
	case OPTION_KEY: return custodian_add(o->key, &o->key_count);
	case OPTION_FD: return custodian_add(o->fd, &o->fd_count);
	case OPTION_TEST: o->test = true; return true;
	case OPTION_TAPS: o->taps = true; return true;
	case OPTION_JSON: o->json = true; return true;
	default: return false;
	}
}

int ring_options_read(int argc, char **argv, const char *text, struct ring_options *ret)
{
	struct option longs[TEXT_COUNT + 8] = { 0 };
	int c;

	for (size_t i = 0; i < TEXT_COUNT; i++)
		longs[i] = (struct option){ texts[i].name, required_argument, NULL, 256 + (int)i };
	longs[TEXT_COUNT] = (struct option){ "by", required_argument, NULL, OPTION_BY };
	longs[TEXT_COUNT + 1] = (struct option){ "key", required_argument, NULL, OPTION_KEY };
	longs[TEXT_COUNT + 2] = (struct option){ "fd", required_argument, NULL, OPTION_FD };
	longs[TEXT_COUNT + 3] = (struct option){ "test", no_argument, NULL, OPTION_TEST };
	longs[TEXT_COUNT + 4] = (struct option){ "json", no_argument, NULL, OPTION_JSON };
	longs[TEXT_COUNT + 5] = (struct option){ "taps", no_argument, NULL, OPTION_TAPS };
	longs[TEXT_COUNT + 6] = (struct option){ "help", no_argument, NULL, 'h' };
	*ret = (struct ring_options){ 0 };
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h') {
			fputs(text, stdout);
			return -1;
		}
		if (!option_take(c, ret)) {
			fputs(text, stderr);
			return EXIT_USAGE;
		}
	}
	ret->first = optind;
	return 0;
}

bool ring_moment(const char *text, int64_t *ret_ms)
{
	int32_t day;

	if (day_parse(text, &day)) {
		*ret_ms = (int64_t)day * 86400000 - CIVIL_OFFSET_MS;
		return true;
	}
	return time_parse(text, ret_ms);
}

static bool byte_read(const char *text, uint8_t *ret)
{
	char *end;
	unsigned long v;

	if (text == NULL)
		return true;
	v = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || v > 255)
		return false;
	*ret = (uint8_t)v;
	return true;
}

static const char *entry_read(const struct ring_options *o, struct key_entry *e)
{
	if (o->purpose == NULL || !key_purpose_of(o->purpose, &e->purpose))
		return "--purpose: tac, purchase, load, lock, unlock or update is needed";
	if (o->alg == NULL || (strcmp(o->alg, "sm4") != 0 && strcmp(o->alg, "3des") != 0))
		return "--alg 3des or sm4 is needed";
	e->alg = strcmp(o->alg, "sm4") == 0 ? KEY_ALG_SM4 : KEY_ALG_3DES;
	if (o->issuer == NULL || !hex_decode(o->issuer, e->issuer, 4))
		return "--issuer: 8 hex digits are needed";
	if (o->version == NULL || !byte_read(o->version, &e->version) || !byte_read(o->index, &e->index) || !byte_read(o->scheme, &e->scheme))
		return "--version is needed; --version, --index and --scheme are numbers from 0 to 255";
	if (o->factors != NULL && !key_factors_of(o->factors, e))
		return "--factors: up to three of issuer, area=HEX16, line=HEX16, with card last";
	if ((o->from != NULL && !ring_moment(o->from, &e->valid_from_ms)) || (o->to != NULL && !ring_moment(o->to, &e->valid_to_ms)))
		return "--from, --to: a date or a time is needed";
	return e->valid_from_ms < e->valid_to_ms ? NULL : "--to must come after --from";
}

int ring_entry_read(const struct ring_options *o, struct key_entry *ret)
{
	struct key_entry e = { .levels = 2, .valid_from_ms = INT64_MIN, .valid_to_ms = INT64_MAX };
	const char *fault = entry_read(o, &e);

	if (fault != NULL) {
		complain("keys: %s", fault);
		return EXIT_USAGE;
	}
	*ret = e;
	return EXIT_OK;
}

int ring_entry_find(const struct keyring *ring, const struct key_entry *name, size_t *ret_i)
{
	for (size_t i = 0; i < keyring_count(ring); i++) {
		const struct key_entry *e = keyring_entry(ring, i);

		if (e->purpose == name->purpose && e->alg == name->alg && e->scheme == name->scheme && memcmp(e->issuer, name->issuer, 4) == 0 &&
		    e->version == name->version && e->index == name->index) {
			*ret_i = i;
			return 0;
		}
	}
	return KEYS_E_NOT_FOUND;
}

/* ---- the ring ------------------------------------------------------------------------------------------- */

int line_read(const char *path, char *ret, size_t n)
{
	FILE *f = path != NULL ? fopen(path, "re") : NULL;
	int code = -ENOENT;

	if (f != NULL) {
		setvbuf(f, NULL, _IONBF, 0);	/* no copy of a secret in the library's buffer */
		code = fgets(ret, (int)n, f) != NULL ? 0 : -ENOENT;
		fclose(f);
	}
	if (code == 0)
		ret[strcspn(ret, "\r\n")] = '\0';
	return code;
}

int ring_complain(const struct ring_options *o, int code)
{
	if (code == 0)
		return EXIT_OK;
	complain("%s: %s", o->ring, clearing_strerror(code));
	switch (code) {
	case KEYS_E_PASSPHRASE:
	case KEYS_E_ANSWER:
	case KEYS_E_CHECK_VALUE: return EXIT_NO;
	case KEYS_E_NOT_FOUND: return EXIT_ABSENT;
	case KEYS_E_WEAK:
	case KEYS_E_DUPLICATE: return EXIT_RULE;
	default: return exit_of_error(code);
	}
}

int ring_load(const struct ring_options *o, bool create, char passphrase[PASSPHRASE_BYTES], struct keyring **ret)
{
	if (o->ring == NULL || line_read(o->passphrase_file, passphrase, PASSPHRASE_BYTES) != 0) {
		complain("keys: --ring and a readable --passphrase-file are needed");
		return EXIT_USAGE;
	}
	return ring_complain(o, create ? keyring_new(ret) : keyring_open(o->ring, passphrase, ret));
}

int ring_store(const struct ring_options *o, const struct keyring *ring, const char *passphrase)
{
	return ring_complain(o, keyring_save(ring, o->ring, passphrase));
}

/* ---- list -------------------------------------------------------------------------------------------------- */

static void moment_text(int64_t ms, char ret[32])
{
	struct civil c;

	snprintf(ret, 32, "%s", "-");
	if (ms == INT64_MIN || ms == INT64_MAX)
		return;
	c = civil_of_ms(ms);
	snprintf(ret, 32, "%04d-%02u-%02uT%02u:%02u:%02u", c.year, c.month, c.day, c.hour, c.minute, c.second);
}

static const char *state_of(const struct key_entry *e)
{
	if ((e->flags & KEY_FLAG_DISTRUSTED) != 0)
		return "distrusted";
	return (e->flags & KEY_FLAG_INACTIVE) != 0 ? "inactive" : "active";
}

static void entry_json(const struct key_entry *e)
{
	char issuer[9], kcv[7], from[32], to[32], distrust[32], factors[KEY_FACTORS_TEXT_BYTES];
	struct jsonw j;

	hex_encode(e->issuer, 4, issuer);
	hex_encode(e->kcv, 3, kcv);
	moment_text(e->valid_from_ms, from);
	moment_text(e->valid_to_ms, to);
	moment_text((e->flags & KEY_FLAG_DISTRUSTED) != 0 ? e->distrust_from_ms : INT64_MAX, distrust);
	key_factors_text(e, factors);
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.key");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "purpose", key_purpose_name(e->purpose));
	jsonw_kstr(&j, "alg", e->alg == KEY_ALG_SM4 ? "sm4" : "3des");
	jsonw_kint(&j, "scheme", e->scheme);
	jsonw_kstr(&j, "issuer", issuer);
	jsonw_kint(&j, "key_version", e->version);
	jsonw_kint(&j, "key_index", e->index);
	jsonw_kstr(&j, "kcv", kcv);
	jsonw_kstr(&j, "factors", factors);
	jsonw_kstr(&j, "from", from);
	jsonw_kstr(&j, "to", to);
	jsonw_kstr(&j, "state", state_of(e));
	jsonw_kstr(&j, "distrusted_from", distrust);
	jsonw_kbool(&j, "test", (e->flags & KEY_FLAG_TEST) != 0);
	jsonw_kbool(&j, "in_device", (e->flags & KEY_FLAG_IN_DEVICE) != 0);
	jsonw_object_end(&j);
	putchar('\n');
}

static void ring_print(const struct keyring *ring, bool json)
{
	for (size_t i = 0; i < keyring_count(ring); i++) {
		const struct key_entry *e = keyring_entry(ring, i);
		char issuer[9], kcv[7], from[32], to[32];

		if (json) {
			entry_json(e);
			continue;
		}
		hex_encode(e->issuer, 4, issuer);
		hex_encode(e->kcv, 3, kcv);
		moment_text(e->valid_from_ms, from);
		moment_text(e->valid_to_ms, to);
		printf("%-9s %-5s issuer %s version %u check value %s  index %u  %s to %s  %s%s%s\n", key_purpose_name(e->purpose),
		       e->alg == KEY_ALG_SM4 ? "sm4" : "3des", issuer, e->version, kcv, e->index, from, to, state_of(e),
		       (e->flags & KEY_FLAG_TEST) != 0 ? " test" : "", (e->flags & KEY_FLAG_IN_DEVICE) != 0 ? " in-device" : "");
	}
}

/* ---- verbs --------------------------------------------------------------------------------------------------- */

static int ring_add(const struct ring_options *o, struct keyring *ring)
{
	uint8_t root[KEY_BYTES];
	struct key_entry e;
	char text[80];
	int ret = ring_entry_read(o, &e);

	if (ret != EXIT_OK)
		return ret;
	if (line_read(o->root_file, text, sizeof(text)) != 0 || !hex_decode(text, root, KEY_BYTES)) {
		complain("keys ring add: --root-file with 32 hex digits is needed");
		return EXIT_USAGE;
	}
	e.flags = KEY_FLAG_TEST;
	ret = ring_complain(o, keyring_add(ring, &e, root));
	key_wipe(root, sizeof(root));
	key_wipe(text, sizeof(text));
	return ret;
}

/* The reference, and what is known of the key without having it. */
static const char *device_read(const struct ring_options *o, struct key_entry *e, uint8_t ret_reference[KEY_BYTES])
{
	memset(ret_reference, 0, KEY_BYTES);
	if ((o->label == NULL) == (o->wrapped == NULL))
		return "--label or --wrapped is needed";
	if (o->label != NULL && (o->label[0] == '\0' || strlen(o->label) > KEY_BYTES))
		return "--label: 1 to 16 bytes are needed";
	if (o->label != NULL)
		memcpy(ret_reference, o->label, strlen(o->label));
	else if (!hex_decode(o->wrapped, ret_reference, KEY_BYTES))
		return "--wrapped: 32 hex digits are needed";
	if (o->kcv == NULL || o->pan == NULL || o->card_kcv == NULL || !hex_decode(o->kcv, e->kcv, 3) || !hex_decode(o->pan, e->known_pan, 10) ||
	    !hex_decode(o->card_kcv, e->known_kcv, 3))
		return "--kcv HEX6, --pan HEX20 and --card-kcv HEX6 are needed: a device is believed by its known answers";
	if ((o->label != NULL) != (e->alg == KEY_ALG_3DES))
		return "a labelled key is 3des (PKCS#11), a wrapped one is sm4 (SDF)";
	if (o->wrapped != NULL && e->levels != 1)
		return "--wrapped: a key with --factors card is needed, since SDF derives nothing inside";
	e->flags = (uint8_t)(KEY_FLAG_IN_DEVICE | (o->test ? KEY_FLAG_TEST : 0));
	return NULL;
}

static int ring_device(const struct ring_options *o, struct keyring *ring)
{
	uint8_t reference[KEY_BYTES];
	struct key_entry e;
	const char *fault;
	int ret = ring_entry_read(o, &e);

	if (ret != EXIT_OK)
		return ret;
	fault = device_read(o, &e, reference);
	if (fault != NULL) {
		complain("keys ring device: %s", fault);
		return EXIT_USAGE;
	}
	return ring_complain(o, keyring_add(ring, &e, reference));
}

static int ring_retire(const struct ring_options *o, struct keyring *ring)
{
	struct key_entry e;
	int64_t at_ms;
	size_t i;
	int ret = ring_entry_read(o, &e);

	if (ret != EXIT_OK)
		return ret;
	if (o->at == NULL || !ring_moment(o->at, &at_ms)) {
		complain("keys ring retire: --at: a date or a time is needed");
		return EXIT_USAGE;
	}
	ret = ring_entry_find(ring, &e, &i);
	return ring_complain(o, ret != 0 ? ret : keyring_retire(ring, i, at_ms));
}

int keys_ring(int argc, char **argv)
{
	char passphrase[PASSPHRASE_BYTES];
	struct keyring *ring = NULL;
	struct ring_options o;
	const char *what;
	int ret = ring_options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	what = o.first + 1 == argc ? argv[o.first] : "";
	if (strcmp(what, "create") != 0 && strcmp(what, "list") != 0 && strcmp(what, "add") != 0 && strcmp(what, "device") != 0 && strcmp(what, "retire") != 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret = ring_load(&o, strcmp(what, "create") == 0, passphrase, &ring);
	if (ret == EXIT_OK && strcmp(what, "list") == 0)
		ring_print(ring, o.json);
	else if (ret == EXIT_OK && strcmp(what, "add") == 0)
		ret = ring_add(&o, ring);
	else if (ret == EXIT_OK && strcmp(what, "device") == 0)
		ret = ring_device(&o, ring);
	else if (ret == EXIT_OK && strcmp(what, "retire") == 0)
		ret = ring_retire(&o, ring);
	if (ret == EXIT_OK && strcmp(what, "list") != 0)
		ret = ring_store(&o, ring, passphrase);
	key_wipe(passphrase, sizeof(passphrase));
	keyring_free(ring);
	return ret;
}
