/*
 * platforms - the ride-code platform and the identity-code platform in a box (docs/codes.md): they issue codes, answer
 * questions about records, and settle the claims of a day. DIR holds what they know: platform.key (a simulated platform's
 * secret, never a real one's), issued (code and number), debit/ID (one file a question answered: asked again, the same answer).
 *
 * Their faults are those that platforms have: an answer that is lost after the debit, given twice, of another amount, and a
 * result file that pays less than was claimed.
 */
#include "tools/tools.h"

#include "tools/sim/https.h"
#include "tools/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#define FEE_PER_10000 38
#define RIDE_PREFIX "UPR1"
#define IDENTITY_PREFIX "SSC1"
#define NUMBER_DIGITS 19
#define OPAQUE_BYTES 20
#define LINE_BYTES 1400

struct kind { const char *name, *prefix, *claim, *result; bool debits; };
static const struct kind ridecode = { "ridecode", RIDE_PREFIX, "RCCL", "RCRS", true }, identity = { "identity", IDENTITY_PREFIX, "IDCL", "IDRS", false };
static const struct kind *serving;

static bool path_make(const char *dir, const char *name, char *ret, size_t n) { return snprintf(ret, n, "%s/%s", dir, name) < (int)n; }

static int text_write(const char *dir, const char *name, int flags, mode_t mode, const char *text)
{
	char path[4096];
	int fd = path_make(dir, name, path, sizeof(path)) ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode) : -1;
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0 && close(fd) != 0)
		good = false;
	if (!good)
		complain("sim: %s/%s: %s", dir, name, strerror(errno));
	return good ? 0 : -EIO;
}

static FILE *text_open(const char *dir, const char *name)
{
	char path[4096];

	return path_make(dir, name, path, sizeof(path)) ? fopen(path, "re") : NULL;
}

/* ---- issuing --------------------------------------------------------------------------------------------------- */

static int platform_init(const struct kind *k, const char *dir)
{
	char secret_text[65], point_text[131], line[400];
	uint8_t secret[32], point[65];
	struct qr_key *key = NULL;
	int ret = mkdir(dir, 0755) == 0 || errno == EEXIST ? 0 : -errno;

	if (ret == 0 && getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		ret = -EIO;
	secret[0] &= 0x7F;
	if (ret == 0)
		ret = qr_key_of_secret(secret, &key);
	if (ret == 0) {
		qr_key_point(key, point);
		hex_encode(secret, sizeof(secret), secret_text);
		hex_encode(point, sizeof(point), point_text);
		snprintf(line, sizeof(line), "%s\n", secret_text);
		ret = text_write(dir, "platform.key", O_TRUNC, 0600, line);
	}
	/* kind, prefix, bytes, number at, digits, time at, validity s, limit fen, waiting, issuer, key */
	if (k == &ridecode)
		snprintf(line, sizeof(line), "ride-code,%s,%d,4,%d,%d,120,1000,200,,%s\n", RIDE_PREFIX, 4 + NUMBER_DIGITS + 10 + 128, NUMBER_DIGITS, 4 + NUMBER_DIGITS,
			 ret == 0 ? point_text : "");
	else
		snprintf(line, sizeof(line), "identity,%s,%d,0,0,0,300,500,50,02184280,\n", IDENTITY_PREFIX, 4 + 2 * OPAQUE_BYTES);
	if (ret == 0)
		ret = text_write(dir, "formats.txt", O_TRUNC, 0644, line);
	qr_key_free(key);
	key_wipe(secret, sizeof(secret));
	key_wipe(secret_text, sizeof(secret_text));
	return ret;
}

static int key_open(const char *dir, struct qr_key **ret)
{
	char text[80] = "";
	uint8_t secret[32];
	FILE *f = text_open(dir, "platform.key");
	bool good = f != NULL && fscanf(f, "%79s", text) == 1 && hex_decode(text, secret, sizeof(secret));

	if (f != NULL)
		fclose(f);
	if (!good)
		complain("sim: %s/platform.key: no simulated platform here; make one with --init", dir);
	return good ? qr_key_of_secret(secret, ret) : -ENOENT;
}

static int code_make(const struct kind *k, const struct qr_key *key, const char *number, int64_t at_s, char *ret_text)
{
	uint8_t random[OPAQUE_BYTES], signature[64];
	char hex[129];
	int ret;

	if (k == &identity) {
		if (getrandom(random, sizeof(random), 0) != sizeof(random))
			return -EIO;
		hex_encode(random, sizeof(random), hex);
		sprintf(ret_text, "%s%s", k->prefix, hex);
		return 0;
	}
	sprintf(ret_text, "%s%0*lld%010lld", k->prefix, NUMBER_DIGITS, strtoll(number, NULL, 10), (long long)at_s);
	ret = sm2_sign(key, ret_text, strlen(ret_text), signature);
	hex_encode(signature, sizeof(signature), hex);
	strcat(ret_text, hex);
	return ret;
}

static int codes_issue(const struct kind *k, const char *dir, const char *number, int64_t at_s, unsigned count)
{
	char text[LINE_BYTES], hex[2 * LINE_BYTES + 1], line[3 * LINE_BYTES];
	struct qr_key *key = NULL;
	int ret = key_open(dir, &key);

	for (unsigned i = 0; ret == 0 && i < count; i++) {
		ret = code_make(k, key, number, at_s + i, text);
		hex_encode((const uint8_t *)text, strlen(text), hex);
		snprintf(line, sizeof(line), "%s %s\n", hex, number);
		if (ret == 0)
			ret = text_write(dir, "issued", O_APPEND, 0644, line);
		if (ret == 0)
			puts(hex);
	}
	qr_key_free(key);
	return ret;
}

/* Whose code it is; false: never issued. */
static bool code_owner(const char *dir, const char *code, char ret_number[32])
{
	char hex[2 * LINE_BYTES], number[32];
	FILE *f = text_open(dir, "issued");
	bool found = false;

	while (f != NULL && !found && fscanf(f, "%2799s %31s", hex, number) == 2)
		found = strcmp(hex, code) == 0;
	if (f != NULL)
		fclose(f);
	if (found)
		memcpy(ret_number, number, 32);
	return found;
}

/* ---- questions ------------------------------------------------------------------------------------------------------ */

static bool unlucky(const struct partner *p, const char *id)
{
	uint8_t digest[DIGEST_BYTES];

	return digest_sha256(id, strlen(id), digest) == 0 && be32_get(digest) % 100 < p->refuse_percent;
}

/* The answer to a question is made once and kept: a debit is not made again by asking again. */
static json_t *answer_of(const struct partner *p, const char *id, const char *code, json_int_t amount)
{
	char name[64], number[32] = "", *text;
	const char *reason = !code_owner(p->dir, code, number) ? "UNKNOWN" : unlucky(p, id) ? "FUNDS" : NULL;
	json_t *a = NULL;
	FILE *f;

	snprintf(name, sizeof(name), "debit/%.35s", id);
	f = text_open(p->dir, name);
	if (f != NULL) {
		a = json_loadf(f, 0, NULL);
		fclose(f);
		return a;
	}
	a = json_pack("{s:s, s:s, s:I, s:s+, s:s, s:s}", "id", id, "result", reason == NULL ? "good" : "refused", "amount_fen",
		      (json_int_t)(reason == NULL && serving->debits ? amount : 0), "reference", serving->debits ? "UP" : "SS", id + 14,
		      "reason", reason != NULL ? reason : "", "number", reason == NULL ? number : "");
	text = json_dumps(a, JSON_COMPACT);
	if (text == NULL || text_write(p->dir, name, O_TRUNC, 0644, text) != 0) {
		json_decref(a);
		a = NULL;
	}
	free(text);
	return a;
}

static bool id_is_plain(const char *id) { return strlen(id) == 34 && strspn(id, "0123456789ABCDEF") == 34; }

static char *platform_ask(struct partner *p, const char *text, size_t n)
{
	json_t *whole = json_loadb(text, n, 0, NULL), *asks = json_object_get(whole, "asks"), *list = json_array(), *row;
	bool wrong = p->fault != NULL && strcmp(p->fault, "wrong-amount") == 0, twice = p->fault != NULL && strcmp(p->fault, "duplicate") == 0;
	char *answer = NULL;
	bool good = json_is_array(asks);
	size_t i;

	json_array_foreach(asks, i, row) {
		const char *id = NULL, *code = NULL;
		json_int_t amount = 0;
		json_t *a = NULL;

		if (json_unpack(row, "{s:s, s:s, s:I}", "id", &id, "code", &code, "amount_fen", &amount) == 0 && id_is_plain(id))
			a = answer_of(p, id, code, amount);
		good = good && a != NULL;
		if (wrong && a != NULL)
			json_object_set_new(a, "amount_fen", json_integer(amount + 100));
		if (twice && a != NULL)
			json_array_append(list, a);
		if (a != NULL)
			json_array_append_new(list, a);
	}
	if (good) {
		json_t *out = json_pack("{s:O}", "answers", list);

		answer = json_dumps(out, JSON_COMPACT);
		json_decref(out);
	}
	json_decref(list);
	json_decref(whole);
	return answer;
}

/* ---- claims ------------------------------------------------------------------------------------------------------- */

static void result_line(const struct layout *from, const char *in, bool less, uint64_t number, FILE *f)
{
	const struct layout *l = layout_of(serving->name, serving->result);
	uint64_t amount = layout_get_number(from, in, "amount");
	char line[LAYOUT_BYTES_MAX + 1], item[40];

	layout_get_text(from, in, "item", item, sizeof(item));
	layout_blank(l, line);
	layout_text(l, line, "kind", "D");
	layout_number(l, line, "line", number);
	layout_text(l, line, "item", item);
	layout_number(l, line, "amount", amount);
	layout_number(l, line, "fee", amount * FEE_PER_10000 / 10000);
	layout_text(l, line, "result", "0000");
	layout_number(l, line, "booked", less && amount > 0 ? amount - 1 : amount);
	fprintf(f, "%s\r\n", line);
}

struct claim_file { const char *line, *end; uint64_t count, amount; };

static bool claim_next(struct claim_file *c, size_t *ret_n, const char **ret_line)
{
	const char *stop = c->line < c->end ? memchr(c->line, '\n', (size_t)(c->end - c->line)) : NULL;

	if (stop == NULL)
		return false;
	*ret_line = c->line;
	*ret_n = (size_t)(stop - c->line) - (stop > c->line && stop[-1] == '\r');
	c->line = stop + 1;
	return true;
}

static bool claims_answer(struct partner *p, struct claim_file *c, FILE *f)
{
	const struct layout *from = layout_of(serving->name, serving->claim), *h = layout_of(serving->name, "header"), *x = layout_of(serving->name, "trailer");
	char head[LAYOUT_BYTES_MAX + 1];
	bool less = p->fault != NULL && strcmp(p->fault, "short") == 0;
	const char *line, *field;
	size_t n;

	if (!claim_next(c, &n, &line) || !layout_check(h, line, n, &field))
		return false;
	memcpy(head, line, n);
	head[n] = '\0';
	layout_text(h, head, "file_type", serving->result);
	fprintf(f, "%s\r\n", head);
	while (claim_next(c, &n, &line) && n > 0 && line[0] == 'D') {
		if (!layout_check(from, line, n, &field))
			return false;
		c->count++;
		result_line(from, line, less && c->amount == 0, c->count, f);	/* the first that has an amount */
		c->amount += layout_get_number(from, line, "amount");
	}
	return layout_check(x, line, n, &field) && layout_get_number(x, line, "count") == c->count && layout_get_number(x, line, "amount") == c->amount;
}

static bool platform_take(struct partner *p, const char *name, const char *text, size_t n)
{
	const struct layout *x = layout_of(serving->name, "trailer");
	struct claim_file c = { .line = text, .end = text + n };
	char line[LAYOUT_BYTES_MAX + 1], digest_text[2 * DIGEST_BYTES + 1], answer_name[64], *whole = NULL;
	uint8_t digest[DIGEST_BYTES];
	size_t bytes = 0;
	FILE *f = open_memstream(&whole, &bytes);
	bool good = f != NULL && strncmp(name, serving->claim, 4) == 0 && claims_answer(p, &c, f);

	if (good) {
		fflush(f);
		good = digest_sha256(whole, bytes, digest) == 0;
		hex_encode(digest, DIGEST_BYTES, digest_text);
		layout_blank(x, line);
		layout_text(x, line, "kind", "T");
		layout_number(x, line, "count", c.count);
		layout_number(x, line, "amount", c.amount);
		layout_text(x, line, "digest", digest_text);
		fprintf(f, "%s\r\n", line);
		fflush(f);
		snprintf(answer_name, sizeof(answer_name), "%s%.40s", serving->result, name + 4);
		good = good && partner_answer(p, answer_name, whole, bytes) == 0;
	}
	if (f != NULL)
		fclose(f);
	free(whole);
	return good;
}

/* ---- options ---------------------------------------------------------------------------------------------------------- */

static void usage(const struct kind *k, FILE *out)
{
	fprintf(out, "用法 usage: qingfen sim %s --dir DIR --init\n            qingfen sim %s --dir DIR --issue NUMBER [--at UNIX] [--count N]\n"
		     "            qingfen sim %s --listen HOST:PORT ... (--help --listen: 服务选项)\n"
		     "  --init: 建立模拟平台, DIR/formats.txt 是其码制; --issue: 每行一个码 (十六进制)\n", k->name, k->name, k->name);
}

static int platform_serve(const struct kind *k, int argc, char **argv)
{
	struct partner p = { .name = k->name, .take = platform_take, .ask = platform_ask };
	char path[4096];

	serving = k;
	for (int i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--dir") == 0 && path_make(argv[i + 1], "debit", path, sizeof(path)))
			mkdir(path, 0755);
		if (strcmp(argv[i], "--city") == 0 && snprintf(path, sizeof(path), "%.2000s/%s", argv[i + 1], k->name) < (int)sizeof(path)) {
			mkdir(path, 0755);
			strcat(path, "/debit");
			mkdir(path, 0755);
		}
	}
	return partner_serve(&p, argc, argv);
}

static int platform_run(const struct kind *k, int argc, char **argv)
{
	static const struct option longs[] = { { "dir", 1, NULL, 'd' }, { "init", 0, NULL, 'i' }, { "issue", 1, NULL, 's' }, { "at", 1, NULL, 'a' },
		{ "count", 1, NULL, 'c' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	const char *dir = NULL, *number = NULL;
	long long at_s = (long long)time(NULL), count = 1;
	bool init = false;
	int c, ret;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--listen") == 0)
			return platform_serve(k, argc, argv);
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'd': dir = optarg; break;
		case 'i': init = true; break;
		case 's': number = optarg; break;
		case 'a': at_s = strtoll(optarg, NULL, 10); break;
		case 'c': count = strtoll(optarg, NULL, 10); break;
		default:
			usage(k, c == 'h' ? stdout : stderr);
			return c == 'h' ? EXIT_OK : EXIT_USAGE;
		}
	}
	if (dir == NULL || init == (number != NULL) || (number != NULL && (strlen(number) > NUMBER_DIGITS || strspn(number, "0123456789") != strlen(number))) ||
	    count < 1 || count > 100000) {
		complain("sim %s: --dir with --init, or with --issue and a number of at most %d digits, is needed", k->name, NUMBER_DIGITS);
		return EXIT_USAGE;
	}
	ret = init ? platform_init(k, dir) : codes_issue(k, dir, number, at_s, (unsigned)count);
	return ret == 0 ? EXIT_OK : exit_of_error(ret);
}

int sim_ridecode(int argc, char **argv) { return platform_run(&ridecode, argc, argv); }
int sim_identity(int argc, char **argv) { return platform_run(&identity, argc, argv); }
