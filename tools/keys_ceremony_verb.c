/*
 * qingfen keys ceremony - a key comes into a ring: components of two or three custodians, each read without echo or
 * from a descriptor of its own, signed for by each; then its known answer, seen by two of them, and only then is it
 * used. What is printed and kept as minutes has names, check values and signatures, and nothing of the key.
 */
#include "tools/keys.h"
#include "tools/tariff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

static const char usage[] =
	"用法 usage: qingfen keys ceremony component --alg 3des|sm4 [--fd N]\n"
	"            qingfen keys ceremony load --ring FILE --passphrase-file FILE KEY --persons CSV --date YYYY-MM-DD --minutes FILE\n"
	"                        --by NAME --key FILE [--fd N]  (两名或三名保管人, 依次重复 two or three custodians) [--kcv HEX6] [--test]\n"
	"            qingfen keys ceremony activate --ring FILE --passphrase-file FILE KEY --persons CSV --date YYYY-MM-DD --minutes FILE\n"
	"                        --by NAME --key FILE --by NAME --key FILE --pan HEX20 --card-kcv HEX6\n"
	"  KEY: 同 keys ring --help  as keys ring\n"
	"  component: 生成一个分量, 只显示在终端或写入描述符  load: 各保管人不回显地输入自己的分量 (32 位十六进制 [空格 校验值])\n"
	"  activate: 已知答案 (该卡卡片密钥的校验值) 相符后启用  --test: 测试密钥\n";

#define LINE_BYTES 128
#define TEXT_BYTES 2048

struct custodian { const char *name; uint8_t signature[64]; uint8_t kcv[3]; };
struct ceremony {
	const struct ring_options *o;
	struct mac_engine *engine;
	struct custodian custodian[CUSTODIANS_MAX];
	char text[TEXT_BYTES];	/* what each of them signs */
	size_t text_bytes;
};

/* ---- secrets come in ------------------------------------------------------------------------------------------ */

/* A line from a descriptor, byte by byte: nothing of it stays in a buffer of the library. */
static int line_of_fd(int fd, char ret[LINE_BYTES])
{
	size_t n = 0;
	ssize_t got;
	char c;

	while ((got = read(fd, &c, 1)) == 1 && c != '\n')
		if (n + 1 < LINE_BYTES)
			ret[n++] = c;
	ret[n] = '\0';
	return got < 0 || n == 0 ? -EIO : 0;
}

static int line_of_terminal(const char *prompt, char ret[LINE_BYTES])
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC), code;
	struct termios as_was, silent;

	if (fd < 0 || tcgetattr(fd, &as_was) != 0) {
		if (fd >= 0)
			close(fd);
		return -ENOTTY;
	}
	silent = as_was;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	dprintf(fd, "%s", prompt);
	tcsetattr(fd, TCSAFLUSH, &silent);
	code = line_of_fd(fd, ret);
	tcsetattr(fd, TCSAFLUSH, &as_was);
	dprintf(fd, "\n");
	close(fd);
	return code;
}

/* "32 hex digits", and after a blank the check value the custodian's sheet has. */
static bool part_of_line(const char *line, uint8_t ret_part[KEY_BYTES], uint8_t ret_kcv[3], bool *ret_checked)
{
	size_t n = strcspn(line, " \t\r");
	const char *rest = line + n + strspn(line + n, " \t\r");
	char hex[2 * KEY_BYTES + 1], kcv[7];
	bool good = n == 2 * KEY_BYTES;

	snprintf(hex, sizeof(hex), "%.32s", line);
	good = good && hex_decode(hex, ret_part, KEY_BYTES);
	key_wipe(hex, sizeof(hex));
	*ret_checked = *rest != '\0';
	snprintf(kcv, sizeof(kcv), "%.6s", rest);
	return good && (!*ret_checked || hex_decode(kcv, ret_kcv, 3));
}

static int part_read(struct ceremony *c, enum key_alg alg, size_t i, uint8_t ret_part[KEY_BYTES])
{
	const char *fd = i < c->o->fd_count ? c->o->fd[i] : NULL, *name = c->custodian[i].name;
	char line[LINE_BYTES] = "", prompt[160], hex[7];
	uint8_t said[3];
	bool checked = false;
	int ret;

	snprintf(prompt, sizeof(prompt), "%s: 请输入分量 (不回显) component, not echoed: ", name);
	ret = fd != NULL ? line_of_fd(atoi(fd), line) : line_of_terminal(prompt, line);
	if (ret != 0 || !part_of_line(line, ret_part, said, &checked)) {
		key_wipe(line, sizeof(line));
		complain("component of %s: 32 hex digits are needed, on a terminal or from --fd", name);
		return EXIT_USAGE;
	}
	key_wipe(line, sizeof(line));
	ret = key_check_value(c->engine, alg, ret_part, c->custodian[i].kcv);
	if (ret == 0 && checked && memcmp(said, c->custodian[i].kcv, 3) != 0) {
		complain("component of %s: its check value differs from the sheet's: read it again", name);
		return EXIT_NO;
	}
	hex_encode(c->custodian[i].kcv, 3, hex);
	fprintf(stderr, "%s: 分量校验值 component check value %s\n", name, hex);
	return ring_complain(c->o, ret);
}

static int component_make(const struct ring_options *o)
{
	bool sm4 = o->alg != NULL && strcmp(o->alg, "sm4") == 0;
	struct mac_engine *engine = NULL;
	uint8_t part[KEY_BYTES], kcv[3];
	char hex[2 * KEY_BYTES + 1], check[7];
	int ret, fd;

	if (o->alg == NULL || (!sm4 && strcmp(o->alg, "3des") != 0)) {
		complain("keys ceremony component: --alg 3des or sm4 is needed");
		return EXIT_USAGE;
	}
	fd = o->fd_count > 0 ? atoi(o->fd[0]) : open("/dev/tty", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		complain("keys ceremony component: a terminal or --fd is needed: a component is shown to one person");
		return EXIT_USAGE;
	}
	ret = mac_engine_new(&engine);
	if (ret == 0)
		ret = key_part_new(part);
	if (ret == 0)
		ret = key_check_value(engine, sm4 ? KEY_ALG_SM4 : KEY_ALG_3DES, part, kcv);
	if (ret == 0) {
		hex_encode(part, KEY_BYTES, hex);
		hex_encode(kcv, 3, check);
		ret = dprintf(fd, "%s %s\n", hex, check) > 0 ? 0 : -EIO;
	}
	key_wipe(part, sizeof(part));
	key_wipe(hex, sizeof(hex));
	mac_engine_free(engine);
	if (o->fd_count == 0)
		close(fd);
	return exit_of_error(ret);
}

/* ---- who is there ------------------------------------------------------------------------------------------------ */

bool person_key(const char *path, const char *name, uint8_t ret_point[65])
{
	const char *const *field;
	struct csv *csv = NULL;
	char error[256];
	unsigned line;
	bool found = false;

	if (csv_open(path, &csv, error, sizeof(error)) != 0) {
		complain("%s", error);
		return false;
	}
	if (csv_column(csv, "name") >= 0 && csv_column(csv, "key") >= 0)
		while (!found && csv_next(csv, &field, &line, error, sizeof(error)) == 1)
			found = strcmp(field[csv_column(csv, "name")], name) == 0 && hex_decode(field[csv_column(csv, "key")], ret_point, 65);
	csv_close(csv);
	if (!found)
		complain("%s: %s is not a person with a key there", path, name);
	return found;
}

/* Distinct by name and by key: one person with two names is one person. */
static int custodians_read(struct ceremony *c, size_t least)
{
	const struct ring_options *o = c->o;
	uint8_t point[CUSTODIANS_MAX][65];

	if (o->by_count < least || o->by_count != o->key_count || o->persons == NULL || o->date == NULL || o->minutes == NULL) {
		complain("keys ceremony: --persons, --date, --minutes and a --by with its --key for each of at least two persons are needed");
		return o->by_count < 2 && o->by_count == o->key_count ? EXIT_RULE : EXIT_USAGE;
	}
	for (size_t i = 0; i < o->by_count; i++) {
		c->custodian[i].name = o->by[i];
		if (!person_key(o->persons, o->by[i], point[i]))
			return EXIT_RULE;
		for (size_t k = 0; k < i; k++)
			if (strcmp(o->by[i], o->by[k]) == 0 || memcmp(point[i], point[k], 65) == 0) {
				complain("keys ceremony: %s and %s are one person: two distinct ones are needed", o->by[k], o->by[i]);
				return EXIT_RULE;
			}
	}
	return EXIT_OK;
}

static int custodians_sign(struct ceremony *c)
{
	for (size_t i = 0; i < c->o->by_count; i++) {
		uint8_t point[65], own[65];
		int ret = secret_sign(c->o->key[i], c->text, c->text_bytes, c->custodian[i].signature, own);

		if (ret != EXIT_OK)
			return ret;
		if (!person_key(c->o->persons, c->o->by[i], point) || memcmp(point, own, sizeof(own)) != 0 ||
		    !sm2_verify(point, c->text, c->text_bytes, c->custodian[i].signature)) {
			complain("%s: not the key of %s in %s", c->o->key[i], c->o->by[i], c->o->persons);
			return EXIT_RULE;
		}
	}
	return EXIT_OK;
}

/* ---- minutes ------------------------------------------------------------------------------------------------------- */

static void entry_text(const struct key_entry *e, FILE *f)
{
	char issuer[9], kcv[7], factors[KEY_FACTORS_TEXT_BYTES], from[32] = "-", to[32] = "-";

	hex_encode(e->issuer, 4, issuer);
	hex_encode(e->kcv, 3, kcv);
	key_factors_text(e, factors);
	if (e->valid_from_ms != INT64_MIN)
		time_format(e->valid_from_ms, from);
	if (e->valid_to_ms != INT64_MAX)
		time_format(e->valid_to_ms, to);
	fprintf(f, "密钥用途 purpose:        %s\n算法 algorithm:          %s\n体系 scheme:             %u\n发行机构 issuer:         %s\n"
		   "版本 version:            %u\n索引 index:              %u\n分散级 factors:          %s\n有效期 valid:            %s / %s\n"
		   "密钥校验值 check value:  %s\n测试密钥 test key:       %s\n",
		key_purpose_name(e->purpose), e->alg == KEY_ALG_SM4 ? "SM4" : "3DES", e->scheme, issuer, e->version, e->index, factors, from, to, kcv,
		(e->flags & KEY_FLAG_TEST) != 0 ? "是 YES" : "否 no");
}

/* What is signed is the minutes' own first part, so that a reader verifies what he reads. */
static int act_write(struct ceremony *c, const char *title, const struct key_entry *e, bool parts)
{
	FILE *f = fmemopen(c->text, sizeof(c->text), "w");

	if (f == NULL)
		return -ENOMEM;
	fprintf(f, "%s\n日期 date:               %s\n", title, c->o->date);
	entry_text(e, f);
	if (c->o->pan != NULL)
		fprintf(f, "已知答案 known answer:   %s %s 相符 agrees\n", c->o->pan, c->o->card_kcv);
	for (size_t i = 0; i < c->o->by_count; i++) {
		char kcv[7] = "";

		hex_encode(c->custodian[i].kcv, 3, kcv);
		fprintf(f, "%s %zu:           %s%s%s\n", parts ? "保管人 custodian" : "见证人 present  ", i + 1, c->custodian[i].name,
			parts ? "  分量校验值 component check value " : "", parts ? kcv : "");
	}
	c->text_bytes = (size_t)ftell(f);
	return fclose(f) == 0 && c->text_bytes + 1 < sizeof(c->text) ? 0 : -ENOMEM;
}

static int minutes_write(const struct ceremony *c)
{
	int fd = open(c->o->minutes, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	uint8_t digest[DIGEST_BYTES];
	char hex[2 * 64 + 1];
	int ret;

	if (f == NULL) {
		complain("%s: %s; minutes are written once", c->o->minutes, strerror(errno));
		return EXIT_STORE;
	}
	fwrite(c->text, 1, c->text_bytes, f);
	ret = digest_sha256(c->text, c->text_bytes, digest);
	hex_encode(digest, sizeof(digest), hex);
	fprintf(f, "----\n以上内容 SHA-256 of the above: %s\n", hex);
	for (size_t i = 0; i < c->o->by_count; i++) {
		hex_encode(c->custodian[i].signature, 64, hex);
		fprintf(f, "%s SM2 签名 signature: %s\n签字 sign here: ____________________\n", c->custodian[i].name, hex);
	}
	if (ret == 0 && (fflush(f) != 0 || fsync(fileno(f)) != 0))
		ret = -EIO;
	fclose(f);
	return exit_of_error(ret);
}

/* ---- acts ------------------------------------------------------------------------------------------------------------ */

static int key_assemble(struct ceremony *c, struct key_entry *e, uint8_t ret_key[KEY_BYTES])
{
	uint8_t part[CUSTODIANS_MAX][KEY_BYTES] = { 0 }, said[3];
	int ret = EXIT_OK;

	for (size_t i = 0; ret == EXIT_OK && i < c->o->by_count; i++)
		ret = part_read(c, e->alg, i, part[i]);
	if (ret == EXIT_OK) {
		int code = key_parts_combine(e->alg, (const uint8_t (*)[KEY_BYTES])part, c->o->by_count, ret_key);

		if (code == KEYS_E_WEAK && c->o->test)	/* a published key is what tests are made with */
			for (size_t k = (code = 0); k < KEY_BYTES; k++)
				ret_key[k] = part[0][k] ^ part[1][k] ^ part[2][k];
		ret = ring_complain(c->o, code);
	}
	key_wipe(part, sizeof(part));
	if (ret == EXIT_OK)
		ret = ring_complain(c->o, key_check_value(c->engine, e->alg, ret_key, e->kcv));
	if (ret == EXIT_OK && c->o->kcv != NULL && (!hex_decode(c->o->kcv, said, 3) || memcmp(said, e->kcv, 3) != 0))
		ret = ring_complain(c->o, KEYS_E_CHECK_VALUE);
	return ret;
}

static int load(struct ceremony *c, struct keyring *ring)
{
	uint8_t key[KEY_BYTES] = { 0 };
	struct key_entry e;
	int ret = ring_entry_read(c->o, &e);

	if (ret == EXIT_OK)
		ret = custodians_read(c, 2);
	if (ret != EXIT_OK)
		return ret;
	e.flags = (uint8_t)(KEY_FLAG_INACTIVE | (c->o->test ? KEY_FLAG_TEST : 0));
	ret = key_assemble(c, &e, key);
	if (ret == EXIT_OK)
		ret = ring_complain(c->o, act_write(c, "密钥导入记录 Minutes of loading a key", &e, true));
	if (ret == EXIT_OK)
		ret = custodians_sign(c);
	if (ret == EXIT_OK)
		ret = ring_complain(c->o, digest_sha256(c->text, c->text_bytes, e.act));
	if (ret == EXIT_OK)
		ret = ring_complain(c->o, keyring_add(ring, &e, key));
	key_wipe(key, sizeof(key));
	return ret;
}

static int activate(struct ceremony *c, struct keyring *ring)
{
	uint8_t pan[10], kcv[3];
	struct key_entry e;
	size_t i = 0;
	int ret = ring_entry_read(c->o, &e);

	if (ret == EXIT_OK)
		ret = custodians_read(c, 2);
	if (ret != EXIT_OK)
		return ret;
	if (c->o->pan == NULL || c->o->card_kcv == NULL || !hex_decode(c->o->pan, pan, 10) || !hex_decode(c->o->card_kcv, kcv, 3)) {
		complain("keys ceremony activate: --pan HEX20 and --card-kcv HEX6, the known answer, are needed");
		return EXIT_USAGE;
	}
	ret = ring_complain(c->o, ring_entry_find(ring, &e, &i));
	if (ret == EXIT_OK)
		ret = ring_complain(c->o, keyring_activate(ring, i, pan, kcv));
	if (ret == EXIT_OK)
		ret = ring_complain(c->o, act_write(c, "密钥启用记录 Minutes of activating a key", keyring_entry(ring, i), false));
	return ret == EXIT_OK ? custodians_sign(c) : ret;
}

int keys_ceremony(int argc, char **argv)
{
	struct ring_options o;
	struct ceremony c = { .o = &o };
	char passphrase[PASSPHRASE_BYTES];
	struct keyring *ring = NULL;
	const struct rlimit none = { 0, 0 };
	const char *what;
	int ret = ring_options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	setrlimit(RLIMIT_CORE, &none);	/* a core would hold components */
	what = o.first + 1 == argc ? argv[o.first] : "";
	if (strcmp(what, "component") == 0)
		return component_make(&o);
	if (strcmp(what, "load") != 0 && strcmp(what, "activate") != 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret = ring_load(&o, false, passphrase, &ring);
	if (ret == EXIT_OK)
		ret = exit_of_error(mac_engine_new(&c.engine));
	if (ret == EXIT_OK)
		ret = strcmp(what, "load") == 0 ? load(&c, ring) : activate(&c, ring);
	if (ret == EXIT_OK)
		ret = minutes_write(&c);
	if (ret == EXIT_OK && (ret = ring_store(&o, ring, passphrase)) != EXIT_OK)
		unlink(o.minutes);	/* nothing happened: there are no minutes of it */
	if (ret == EXIT_OK)
		fwrite(c.text, 1, c.text_bytes, stdout);
	key_wipe(passphrase, sizeof(passphrase));
	mac_engine_free(c.engine);
	keyring_free(ring);
	return ret;
}
