/*
 * codes - a T-Union code platform in a box: an authority, an issuer and the accounts of passengers, kept in a
 * folder, and codes for any moment. What the gate and the clearing house need of it is written beside: the
 * authority's public key and the list of institutions. Its faults are those that platforms have had.
 *
 * DIR/platform.key holds the secrets of a simulated platform, as hex: never a real one's.
 */
#include "tools/tools.h"

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

#define CA_INDEX 7
#define SECRET_BYTES 32
#define COUNT_MAX 100000

enum fault { FAULT_NONE, FAULT_LOCAL_TIME, FAULT_WRONG_USER, FAULT_WRONG_ISSUER, FAULT_WRONG_CA, FAULT_LAPSED, FAULT_REPEAT, FAULT_COUNT };
static const char *const fault_names[FAULT_COUNT] = { "none", "local-time", "wrong-user", "wrong-issuer", "wrong-ca", "lapsed", "repeat" };

struct platform {
	const char *dir;
	uint8_t ca_secret[SECRET_BYTES], issuer_secret[SECRET_BYTES];
	struct qr_key *ca, *issuer;
	uint8_t issuer_number[4], platform_number[4], cert[117];
};
struct wanted {
	const char *dir, *issuer, *platform;
	bool init;
	uint8_t pan[10];
	bool has_pan;
	int64_t at_s;
	uint32_t validity_s, limit_fen, count, days;
	enum fault fault;
};

static void usage(FILE *out)
{
	fputs("用法 usage: qingfen sim codes --dir DIR --init [--issuer 02184280] [--platform 03664530]\n"
	      "            qingfen sim codes --dir DIR --pan PAN [--at UNIX] [--validity 60] [--limit FEN] [--days 30] [--count N] [--fault NAME]\n"
	      "  init: 建立模拟发码平台; DIR/ca.txt 与 DIR/codes.txt 供机具与清分使用\n"
	      "  每行一个乘车码 (十六进制); --count: 每秒一个\n"
	      "  faults: local-time (平台写成本地时间), wrong-user, wrong-issuer, wrong-ca (签名密钥不对), lapsed (授权过期), repeat (同一秒的码)\n",
	      out);
}

static bool path_make(const struct platform *p, const char *name, char *ret, size_t n) { return snprintf(ret, n, "%s/%s", p->dir, name) < (int)n; }

/* ---- the folder ------------------------------------------------------------------------------------------- */

static int text_write(const struct platform *p, const char *name, mode_t mode, const char *text)
{
	char path[4096];
	int fd = path_make(p, name, path, sizeof(path)) ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode) : -1;
	size_t n = strlen(text);
	bool good = fd >= 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;

	if (fd >= 0 && close(fd) != 0)
		good = false;
	if (!good)
		complain("sim codes: %s/%s: %s", p->dir, name, strerror(errno));
	return good ? 0 : -EIO;
}

static int secret_draw(uint8_t secret[SECRET_BYTES])
{
	if (getrandom(secret, SECRET_BYTES, 0) != SECRET_BYTES)
		return -EIO;
	secret[0] &= 0x7F;	/* below the order of the curve */
	return 0;
}

static int keys_open(struct platform *p)
{
	static const uint8_t expiry_mmyy[2] = { 0x12, 0x45 };
	int ret = qr_key_of_secret(p->ca_secret, &p->ca);

	if (ret == 0)
		ret = qr_key_of_secret(p->issuer_secret, &p->issuer);
	return ret != 0 ? ret : qr_make_cert(p->ca, CA_INDEX, p->issuer_number, expiry_mmyy, p->issuer, p->cert);
}

static int platform_init(struct platform *p, const struct wanted *w)
{
	char text[512], ca[2 * SECRET_BYTES + 1], issuer[2 * SECRET_BYTES + 1], point[131];
	uint8_t bytes[65];
	int ret = mkdir(p->dir, 0755) == 0 || errno == EEXIST ? 0 : -errno;

	if (ret == 0)
		ret = secret_draw(p->ca_secret);
	if (ret == 0)
		ret = secret_draw(p->issuer_secret);
	if (ret == 0)
		ret = keys_open(p);
	if (ret != 0)
		return ret;
	hex_encode(p->ca_secret, SECRET_BYTES, ca);
	hex_encode(p->issuer_secret, SECRET_BYTES, issuer);
	snprintf(text, sizeof(text), "%s %s %s %s\n", ca, issuer, w->issuer, w->platform);
	ret = text_write(p, "platform.key", 0600, text);
	key_wipe(ca, sizeof(ca));
	key_wipe(issuer, sizeof(issuer));
	qr_key_point(p->ca, bytes);
	hex_encode(bytes, sizeof(bytes), point);
	snprintf(text, sizeof(text), "# simulated certificate authority\n%d %s\n", CA_INDEX, point);
	if (ret == 0)
		ret = text_write(p, "ca.txt", 0644, text);
	snprintf(text, sizeof(text), "# institutions of the simulated platform\nissuer,%s\nplatform,%s\n", w->issuer, w->platform);
	return ret == 0 ? text_write(p, "codes.txt", 0644, text) : ret;
}

static int platform_open(struct platform *p)
{
	char path[4096], ca[80], issuer[80], number[2][12];
	FILE *f = path_make(p, "platform.key", path, sizeof(path)) ? fopen(path, "re") : NULL;
	bool good = f != NULL && fscanf(f, "%79s %79s %11s %11s", ca, issuer, number[0], number[1]) == 4 && hex_decode(ca, p->ca_secret, SECRET_BYTES) &&
		    hex_decode(issuer, p->issuer_secret, SECRET_BYTES) && hex_decode(number[0], p->issuer_number, 4) && hex_decode(number[1], p->platform_number, 4);

	if (f != NULL)
		fclose(f);
	if (!good)
		complain("sim codes: %s: no simulated platform here; make one with --init", p->dir);
	return good ? keys_open(p) : -ENOENT;
}

/* ---- codes ----------------------------------------------------------------------------------------------------- */

/* A passenger's key follows from the platform's secret and the account: the same app, the same key. */
static int user_key(const struct platform *p, const uint8_t pan[10], struct qr_key **ret)
{
	uint8_t text[SECRET_BYTES + 10], secret[SECRET_BYTES];
	int code;

	memcpy(text, p->issuer_secret, SECRET_BYTES);
	memcpy(text + SECRET_BYTES, pan, 10);
	code = digest_sm3(text, sizeof(text), secret);
	secret[0] &= 0x7F;
	if (code == 0)
		code = qr_key_of_secret(secret, ret);
	key_wipe(text, sizeof(text));
	key_wipe(secret, sizeof(secret));
	return code;
}

static int codes_print(const struct platform *p, const struct wanted *w)
{
	struct qr_account a = { .pay_account = "4280000000000001", .account_type = 1, .ride_limit_fen = w->limit_fen, .validity_s = (uint16_t)w->validity_s };
	uint8_t auth[QR_BYTES_MAX], code[QR_BYTES_MAX], cert[117];
	char text[2 * QR_BYTES_MAX + 1];
	struct qr_key *user = NULL, *stranger = NULL;
	size_t auth_bytes, n;
	int ret = user_key(p, w->pan, &user);

	if (ret == 0)
		ret = qr_key_new(&stranger);
	memcpy(cert, p->cert, sizeof(cert));
	if (ret == 0 && w->fault == FAULT_WRONG_CA)
		ret = qr_make_cert(stranger, CA_INDEX, p->issuer_number, (const uint8_t[]){ 0x12, 0x45 }, p->issuer, cert);
	memcpy(a.pan, w->pan, 10);
	memcpy(a.issuer, p->issuer_number, 4);
	memcpy(a.platform, p->platform_number, 4);
	a.auth_expiry_s = (uint32_t)(w->fault == FAULT_LAPSED ? w->at_s - 1 : w->at_s + (int64_t)w->days * 86400);
	if (ret == 0)
		ret = qr_make_auth(cert, w->fault == FAULT_WRONG_ISSUER ? stranger : p->issuer, &a, user, auth, &auth_bytes);
	for (uint32_t i = 0; ret == 0 && i < w->count; i++) {
		int64_t at_s = w->at_s + (w->fault == FAULT_REPEAT ? 0 : i) + (w->fault == FAULT_LOCAL_TIME ? CIVIL_OFFSET_MS / 1000 : 0);

		ret = qr_make_code(auth, auth_bytes, w->fault == FAULT_WRONG_USER ? stranger : user, (uint32_t)at_s, code, &n);
		hex_encode(code, n, text);
		if (ret == 0)
			puts(text);
	}
	qr_key_free(user);
	qr_key_free(stranger);
	return ret;
}

/* ---- options ------------------------------------------------------------------------------------------------------ */

static bool number_read(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

static bool institution(const char *text) { return strlen(text) == 8 && strspn(text, "0123456789") == 8; }

static bool option_take(struct wanted *w, int option, const char *value)
{
	int64_t v = 0;
	bool good = true;

	switch (option) {
	case 'd': w->dir = value; break;
	case 'i': w->init = true; break;
	case 's': w->issuer = value; good = institution(value); break;
	case 'p': w->platform = value; good = institution(value); break;
	case 'n': good = w->has_pan = pan_parse(value, w->pan); break;
	case 'a': good = number_read(value, 0, UINT32_MAX, &w->at_s); break;
	case 'v': good = number_read(value, 1, 65535, &v); w->validity_s = (uint32_t)v; break;
	case 'l': good = number_read(value, 0, 0xFFFFFF, &v); w->limit_fen = (uint32_t)v; break;
	case 'y': good = number_read(value, 1, 3650, &v); w->days = (uint32_t)v; break;
	case 'c': good = number_read(value, 1, COUNT_MAX, &v); w->count = (uint32_t)v; break;
	case 'f':
		for (w->fault = FAULT_NONE; w->fault < FAULT_COUNT && strcmp(fault_names[w->fault], value) != 0;)
			w->fault++;
		good = w->fault < FAULT_COUNT;
		break;
	default: return false;
	}
	if (!good)
		complain("sim codes: \"%s\": out of range or not of this form", value);
	return good;
}

int sim_codes(int argc, char **argv)
{
	static const struct option longs[] = { { "dir", 1, NULL, 'd' }, { "init", 0, NULL, 'i' }, { "issuer", 1, NULL, 's' }, { "platform", 1, NULL, 'p' },
		{ "pan", 1, NULL, 'n' }, { "at", 1, NULL, 'a' }, { "validity", 1, NULL, 'v' }, { "limit", 1, NULL, 'l' }, { "days", 1, NULL, 'y' },
		{ "count", 1, NULL, 'c' }, { "fault", 1, NULL, 'f' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	struct wanted w = { .issuer = "02184280", .platform = "03664530", .at_s = time(NULL), .validity_s = 60, .limit_fen = 2000, .count = 1, .days = 30 };
	struct platform p = { 0 };
	int c, ret;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return EXIT_OK;
		}
		if (!option_take(&w, c, optarg)) {
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (w.dir == NULL || w.init == w.has_pan) {
		complain("sim codes: --dir with --init or with --pan is needed");
		return EXIT_USAGE;
	}
	p.dir = w.dir;
	if (w.init && (!hex_decode(w.issuer, p.issuer_number, 4) || !hex_decode(w.platform, p.platform_number, 4)))
		return EXIT_USAGE;
	ret = w.init ? platform_init(&p, &w) : platform_open(&p);
	if (ret == 0 && !w.init)
		ret = codes_print(&p, &w);
	qr_key_free(p.ca);
	qr_key_free(p.issuer);
	key_wipe(&p, sizeof(p));
	return ret == 0 ? EXIT_OK : exit_of_error(ret);
}
