/*
 * host - qingfen sim host --conformance: options, the course of a run, what is printed, and the certificate.
 */
#include "tools/sim/host.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/sim/conformance.h"
#include "tools/sim/sim.h"

static const char usage[] =
	"用法 usage: qingfen sim host --conformance (--listen ADDRESS:PORT | --port N) --cert FILE --key FILE --client-ca FILE\n"
	"       [--city DIR] [--tariff PACK] [--vectors DIR] [--run COMMAND] [--wait SECONDS] [--only RULE,...] [--out FILE] [--sign FILE] [--json]\n"
	"       qingfen sim host --list\n"
	"  机具符合性测试: 扮演清分中心, 制造各种异常, 判定机具是否遵守协议, 出具证书\n";

static const char *const outcome_name[] = { [HOST_NOT_SEEN] = "not-seen", [HOST_PASSED] = "passed", [HOST_FAILED] = "failed", [HOST_NOT_RUN] = "not-run" };
static const char *const outcome_zh[] = { [HOST_NOT_SEEN] = "未见", [HOST_PASSED] = "通过", [HOST_FAILED] = "不通过", [HOST_NOT_RUN] = "未做" };

enum host_outcome host_fault(struct host *h, enum host_rule rule, const char *format, ...)
{
	va_list args;

	if (h->outcome[rule] == HOST_FAILED)
		return HOST_FAILED;
	h->outcome[rule] = HOST_FAILED;
	va_start(args, format);
	vsnprintf(h->finding[rule], sizeof(h->finding[rule]), format, args);
	va_end(args);
	fprintf(stderr, "sim host: %s: %s\n", host_rules[rule].name, h->finding[rule]);
	return HOST_FAILED;
}

void host_seen_good(struct host *h, enum host_rule rule)
{
	if (h->outcome[rule] != HOST_FAILED)
		h->outcome[rule] = HOST_PASSED;
}

enum host_outcome host_verdict(const struct host *h)
{
	bool partly = false;

	for (int i = 0; i < HOST_RULE_COUNT; i++) {
		if (h->outcome[i] == HOST_FAILED)
			return HOST_FAILED;
		partly = partly || (h->outcome[i] != HOST_PASSED && !host_rules[i].optional);
	}
	return partly ? HOST_NOT_SEEN : HOST_PASSED;
}

/* ---- the terminal's program ------------------------------------------------------------------------------------ */

void host_child_start(struct host *h)
{
	h->child = fork();
	if (h->child != 0)
		return;
	setpgid(0, 0);
	execl("/bin/sh", "sh", "-c", h->run, (char *)NULL);
	_exit(127);
}

void host_child_kill(struct host *h)
{
	if (h->child <= 0)
		return;
	kill(-h->child, SIGKILL);
	kill(h->child, SIGKILL);
	waitpid(h->child, NULL, 0);
	h->child = 0;
}

/* ---- the run ------------------------------------------------------------------------------------------------------ */

static bool chosen(const struct host *h, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = h->only; p != NULL; p = strchr(p, ',') != NULL ? strchr(p, ',') + 1 : NULL)
		if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == '\0'))
			return true;
	return h->only == NULL;
}

/* A terminal that does not come back, or has nothing left to send, cannot be asked more. */
static bool gone(struct host *h, enum host_outcome last, bool optional)
{
	if (last == HOST_NOT_SEEN)
		return !optional;
	return last == HOST_FAILED && h->ssl == NULL && host_link_open(h, host_now_ms() + h->wait_ms) == 0;
}

static void scenarios_run(struct host *h)
{
	bool over = false;

	for (int i = HOST_FIRST; i < HOST_RULE_COUNT; i++) {
		const struct host_rule_info *rule = &host_rules[i];
		enum host_outcome outcome;

		if (over || !chosen(h, rule->name)) {
			h->outcome[i] = HOST_NOT_RUN;
			continue;
		}
		outcome = rule->run(h);
		if (h->outcome[i] != HOST_FAILED)
			h->outcome[i] = outcome;
		fprintf(stderr, "sim host: %-18s %s\n", rule->name, outcome_name[h->outcome[i]]);
		over = gone(h, h->outcome[i], rule->optional);
	}
}

/* ---- the certificate ---------------------------------------------------------------------------------------------------- */

static void kbytes(struct jsonw *j, const char *name, const uint8_t *p, size_t n)
{
	char hex[2 * DIGEST_BYTES + 1];

	hex_encode(p, n, hex);
	jsonw_kstr(j, name, hex);
}

static void ktime(struct jsonw *j, const char *name, int64_t ms)
{
	time_t s = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&s, &tm));
	jsonw_kstr(j, name, text);
}

static int hex_file(const struct dirent *e) { return strlen(e->d_name) > 4 && strcmp(e->d_name + strlen(e->d_name) - 4, ".hex") == 0; }

/* SHA-256 over the vector files, one after the other in the order of their names: cat *.hex | sha256sum. */
static int vectors_digest(const char *dir, uint8_t ret_digest[DIGEST_BYTES])
{
	struct dirent **names = NULL;
	struct digest d;
	char path[4096], line[4096];
	int count = scandir(dir, &names, hex_file, alphasort), ret = count > 0 ? 0 : -ENOENT;

	digest_reset(&d);
	for (int i = 0; i < count; i++) {
		FILE *f = NULL;
		size_t n;

		if (snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name) < (int)sizeof(path))
			f = fopen(path, "re");
		if (f == NULL)
			ret = -EIO;
		while (f != NULL && (n = fread(line, 1, sizeof(line), f)) > 0)
			digest_add(&d, line, n);
		if (f != NULL)
			fclose(f);
		free(names[i]);
	}
	free(names);
	digest_end(&d, ret_digest);
	return ret;
}

static void rules_write(struct jsonw *j, const struct host *h)
{
	jsonw_key(j, "rules");
	jsonw_array(j);
	for (int i = 0; i < HOST_RULE_COUNT; i++) {
		jsonw_object(j);
		jsonw_kstr(j, "name", host_rules[i].name);
		jsonw_kstr(j, "title", host_rules[i].zh);
		jsonw_kbool(j, "optional", host_rules[i].optional);
		jsonw_kstr(j, "result", outcome_name[h->outcome[i]]);
		if (h->outcome[i] == HOST_FAILED)
			jsonw_kstr(j, "finding", h->finding[i]);
		jsonw_object_end(j);
	}
	jsonw_array_end(j);
}

static void certificate_write(struct jsonw *j, const struct host *h, const struct host_paper *p, const uint8_t *vectors)
{
	enum host_outcome verdict = host_verdict(h);

	jsonw_object(j);
	jsonw_kstr(j, "schema", "qingfen.conformance");
	jsonw_kint(j, "version", 1);
	jsonw_kint(j, "protocol", 1);
	jsonw_kint(j, "record_version", TAP_VERSION);
	jsonw_kstr(j, "software", h->hello.software);
	jsonw_kstr(j, "device", h->hello.device);
	kbytes(j, "terminal", h->hello.terminal, sizeof(h->hello.terminal));
	kbytes(j, "device_certificate_sha256", h->peer, sizeof(h->peer));
	ktime(j, "started", p->started_ms);
	ktime(j, "ended", p->ended_ms);
	jsonw_kint(j, "batches", (int64_t)h->book.count);
	jsonw_kint(j, "records", (int64_t)h->book.records);
	if (vectors != NULL)
		kbytes(j, "vectors_sha256", vectors, DIGEST_BYTES);
	jsonw_kstr(j, "result", verdict == HOST_NOT_SEEN ? "incomplete" : outcome_name[verdict]);
	rules_write(j, h);
	jsonw_object_end(j);
}

int host_certificate_write(const struct host *h, const struct host_paper *p)
{
	uint8_t vectors[DIGEST_BYTES];
	char *object = NULL;
	size_t bytes = 0;
	FILE *memory = open_memstream(&object, &bytes), *f;
	struct jsonw j;
	int ret;

	if (memory == NULL)
		return -ENOMEM;
	if (p->vectors != NULL && vectors_digest(p->vectors, vectors) != 0) {
		complain("sim host: %s: no .hex files of test vectors", p->vectors);
		fclose(memory);
		free(object);
		return -ENOENT;
	}
	jsonw_init(&j, memory, false);
	certificate_write(&j, h, p, p->vectors != NULL ? vectors : NULL);
	fclose(memory);
	f = fopen(p->out, "we");
	ret = f == NULL ? -errno : conformance_sign(f, object, p->key);
	if (f != NULL && fclose(f) != 0 && ret == 0)
		ret = -EIO;
	if (ret != 0)
		complain("sim host: %s: the certificate could not be written", p->out);
	free(object);
	return ret;
}

/* ---- printing ------------------------------------------------------------------------------------------------------------ */

static void print_text(const struct host *h)
{
	enum host_outcome verdict = host_verdict(h);

	for (int i = 0; i < HOST_RULE_COUNT; i++) {
		printf("%-18s %s %-9s %s  %s\n", host_rules[i].name, outcome_zh[h->outcome[i]], outcome_name[h->outcome[i]], host_rules[i].zh, host_rules[i].en);
		if (h->outcome[i] == HOST_FAILED)
			printf("%-18s   %s\n", "", h->finding[i]);
	}
	printf("%s: device %s, software %s, %zu batches, %zu records\n",
	       verdict == HOST_PASSED ? "符合 passed" : verdict == HOST_FAILED ? "不符合 failed" : "不完整 incomplete", h->hello.device, h->hello.software,
	       h->book.count, h->book.records);
}

static void print_json(const struct host *h)
{
	struct jsonw j;

	for (int i = 0; i < HOST_RULE_COUNT; i++) {
		jsonw_init(&j, stdout, false);
		jsonw_object(&j);
		jsonw_kstr(&j, "schema", "qingfen.conformance.rule");
		jsonw_kint(&j, "version", 1);
		jsonw_kstr(&j, "name", host_rules[i].name);
		jsonw_kstr(&j, "result", outcome_name[h->outcome[i]]);
		if (h->outcome[i] == HOST_FAILED)
			jsonw_kstr(&j, "finding", h->finding[i]);
		jsonw_object_end(&j);
		putchar('\n');
	}
}

static void rules_list(void)
{
	for (int i = 0; i < HOST_RULE_COUNT; i++)
		printf("%-18s %s  %s%s\n", host_rules[i].name, host_rules[i].zh, host_rules[i].en, host_rules[i].run == NULL ? " (always)" : "");
}

/* ---- options --------------------------------------------------------------------------------------------------------------- */

struct host_options { struct host_paper paper; const char *sign; char listen[64], cert[4096], key[4096], ca[4096]; bool conformance, json, list; };

static void city_paths(struct host_options *o, const char *dir)
{
	snprintf(o->cert, sizeof(o->cert), "%.4000s/server.crt", dir);
	snprintf(o->key, sizeof(o->key), "%.4000s/server.key", dir);
	snprintf(o->ca, sizeof(o->ca), "%.4000s/ca.crt", dir);
}

static int host_options_read(int argc, char **argv, struct host *h, struct host_options *o)
{
	static const struct option longs[] = { { "conformance", no_argument, NULL, 'C' }, { "listen", required_argument, NULL, 'l' }, { "port", required_argument, NULL, 'p' },
		{ "cert", required_argument, NULL, 'e' }, { "key", required_argument, NULL, 'k' }, { "client-ca", required_argument, NULL, 'a' }, { "city", required_argument, NULL, 'c' },
		{ "tariff", required_argument, NULL, 't' }, { "vectors", required_argument, NULL, 'v' }, { "run", required_argument, NULL, 'r' }, { "wait", required_argument, NULL, 'w' },
		{ "only", required_argument, NULL, 'O' }, { "out", required_argument, NULL, 'o' }, { "sign", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
		{ "list", no_argument, NULL, 'L' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'C': o->conformance = true; break;
		case 'l': snprintf(o->listen, sizeof(o->listen), "%s", optarg); break;
		case 'p': snprintf(o->listen, sizeof(o->listen), "127.0.0.1:%s", optarg); break;
		case 'e': snprintf(o->cert, sizeof(o->cert), "%s", optarg); break;
		case 'k': snprintf(o->key, sizeof(o->key), "%s", optarg); break;
		case 'a': snprintf(o->ca, sizeof(o->ca), "%s", optarg); break;
		case 'c': city_paths(o, optarg); break;
		case 't': h->pack = optarg; break;
		case 'v': o->paper.vectors = optarg; break;
		case 'r': h->run = optarg; break;
		case 'w': h->wait_ms = strtoll(optarg, NULL, 10) * 1000; break;
		case 'O': h->only = optarg; break;
		case 'o': o->paper.out = optarg; break;
		case 's': o->sign = optarg; break;
		case 'j': o->json = true; break;
		case 'L': o->list = true; break;
		case 'h': fputs(usage, stdout); return -1;
		default: fputs(usage, stderr); return EXIT_USAGE;
		}
	}
	if (o->list)
		return 0;
	if (optind != argc || !o->conformance || o->listen[0] == '\0' || o->cert[0] == '\0' || o->key[0] == '\0' || o->ca[0] == '\0' || h->wait_ms < 1000) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	h->listen = o->listen;
	h->cert = o->cert;
	h->key = o->key;
	h->client_ca = o->ca;
	return 0;
}

static int only_check(const struct host *h)
{
	const char *p = h->only;

	while (p != NULL) {
		size_t n = strcspn(p, ",");
		bool known = false;

		for (int i = HOST_FIRST; i < HOST_RULE_COUNT; i++)
			known = known || (strlen(host_rules[i].name) == n && strncmp(host_rules[i].name, p, n) == 0);
		if (!known) {
			complain("sim host: --only %.*s: no such scenario; --list names them", (int)n, p);
			return EXIT_USAGE;
		}
		p = p[n] == ',' ? p + n + 1 : NULL;
	}
	return 0;
}

static int secret_read(const char *path, struct qr_key **ret_key)
{
	FILE *f = fopen(path, "re");
	uint8_t secret[32];
	char hex[80] = "";
	bool ok = f != NULL && fscanf(f, "%64s", hex) == 1 && hex_decode(hex, secret, 32) && qr_key_of_secret(secret, ret_key) == 0;

	if (f != NULL)
		fclose(f);
	key_wipe(secret, sizeof(secret));
	key_wipe(hex, sizeof(hex));
	if (ok)
		return 0;
	complain("%s: an SM2 secret of 64 hex digits is needed", path);
	return EXIT_CONFIG;
}

static int host_run(struct host *h, struct host_options *o)
{
	enum host_outcome verdict;
	int ret = host_lists_open(h);

	if (ret == 0)
		ret = host_link_start(h);
	if (ret != 0)
		return ret;
	fprintf(stderr, "sim host: ready on %s\n", h->listen);
	o->paper.started_ms = host_clock_ms();
	if (h->run != NULL)
		host_child_start(h);
	scenarios_run(h);
	host_child_kill(h);
	o->paper.ended_ms = host_clock_ms();
	if (o->json)
		print_json(h);
	else
		print_text(h);
	verdict = host_verdict(h);
	if (o->paper.out != NULL && host_certificate_write(h, &o->paper) != 0)
		return EXIT_CONFIG;
	return verdict == HOST_PASSED ? EXIT_OK : verdict == HOST_FAILED ? EXIT_NO : EXIT_PARTLY;
}

int sim_host(int argc, char **argv)
{
	static struct host h = { .wait_ms = 120000, .listen_fd = -1, .fd = -1 };
	struct host_options o = { .conformance = false };
	struct qr_key *key = NULL;
	int ret = host_options_read(argc, argv, &h, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.list) {
		rules_list();
		return EXIT_OK;
	}
	signal(SIGPIPE, SIG_IGN);
	ret = only_check(&h);
	if (ret == 0 && o.sign != NULL)
		ret = secret_read(o.sign, &key);
	o.paper.key = key;
	if (ret == 0)
		ret = host_run(&h, &o);
	host_link_stop(&h);
	host_book_done(&h.book);
	free(h.tariff_blob);
	qr_key_free(key);
	return ret;
}
