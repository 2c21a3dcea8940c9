/*
 * qingfen sim validators: the devices of a generated city upload their day, thousands of them in
 * one process over a bounded number of connections. Succeeds only when every record has its receipt
 * and every receipt that came twice said the same.
 */
#include "validators.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/tools.h"

#include "sim.h"

#define PARALLEL_MAX 20000
#define PACE_MAX     10000000

struct run {
	const char *dir, *connect, *mark;
	uint32_t devices, parallel, mark_at, limit_s;
	uint64_t shuffle;
	bool shuffled, json, timed_out, bench;
	struct fleet fleet;
	struct link_host host;
	struct link **link;
	struct sockaddr_storage address;
	struct load load;
	int64_t started_ms, took_ms;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Somebody waits for a share of the batches to be through: tell it by a file. */
static void mark_when_due(struct run *r)
{
	FILE *f;

	if (r->mark == NULL ||
	    r->fleet.batches_through * 100 < (uint64_t)r->fleet.batch_count * r->mark_at)
		return;
	f = fopen(r->mark, "we");
	if (f != NULL)
		fclose(f);
	r->mark = NULL;
}

static void on_progress(void *arg)
{
	struct run *r = arg;

	mark_when_due(r);
	if (r->fleet.over == r->fleet.device_count && !r->bench)
		event_base_loopexit(r->host.base, NULL);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct run *r = arg;

	(void)fd;
	(void)what;
	r->timed_out = true;
	event_base_loopbreak(r->host.base);
}

static int host_open(struct run *r)
{
	char path[512];

	r->host = (struct link_host){.dir = r->dir,
				     .address = &r->address,
				     .fleet = &r->fleet,
				     .progress = on_progress,
				     .arg = r,
				     .address_bytes = sizeof(r->address)};
	if (evutil_parse_sockaddr_port(r->connect, (struct sockaddr *)&r->address,
				       &r->host.address_bytes) != 0) {
		complain("sim validators: %s: not ADDRESS:PORT", r->connect);
		return -EINVAL;
	}
	r->host.base = event_base_new();
	r->host.tls = SSL_CTX_new(TLS_client_method());
	if (r->host.base == NULL || r->host.tls == NULL)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/ca.crt", r->dir);
	SSL_CTX_set_min_proto_version(r->host.tls, TLS1_3_VERSION);
	SSL_CTX_set_verify(r->host.tls, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_load_verify_locations(r->host.tls, path, NULL) == 1)
		return 0;
	complain("sim validators: %s: not a certificate authority", path);
	return -EINVAL;
}

static int links_run(struct run *r)
{
	struct timeval limit = {.tv_sec = r->limit_s};
	uint32_t wanted = r->parallel < r->fleet.device_count ? r->parallel : r->fleet.device_count;
	struct event *timer = evtimer_new(r->host.base, on_limit, r);
	int ret = timer == NULL ? -ENOMEM : 0;

	r->link = city_grow(NULL, sizeof(struct link *), wanted + 1);
	for (uint32_t i = 0; i < wanted && ret == 0; i++)
		ret = link_new(&r->host, &r->link[i]);
	if (ret == 0) {
		evtimer_add(timer, &limit);
		event_base_dispatch(r->host.base);
	}
	for (uint32_t i = 0; i < wanted; i++)
		link_free(r->link[i]);
	free(r->link);
	if (timer != NULL)
		event_free(timer);
	return ret;
}

static void run_json(struct run *r)
{
	const struct fleet *f = &r->fleet;
	struct jsonw j;

	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.sim.validators/1");
	jsonw_kint(&j, "devices", f->device_count);
	jsonw_kint(&j, "batches", f->batch_count);
	jsonw_kint(&j, "sent", (int64_t)f->sent);
	jsonw_kint(&j, "receipted", (int64_t)f->receipted);
	jsonw_kint(&j, "refused_batches", (int64_t)f->refused_batches);
	jsonw_kint(&j, "repeated_receipts", (int64_t)f->repeated);
	jsonw_kint(&j, "different_receipts", (int64_t)f->mismatched);
	jsonw_kint(&j, "reconnects", (int64_t)f->reconnects);
	jsonw_key(&j, "verdicts");
	jsonw_object(&j);
	for (int v = 0; v < VERDICT_COUNT; v++)
		if (f->verdict[v] > 0)
			jsonw_kint(&j, verdict_info((enum verdict)v)->name, (int64_t)f->verdict[v]);
	jsonw_object_end(&j);
	jsonw_kint(&j, "receipt_us_p50", (int64_t)histogram_at(&f->wait, 5000));
	jsonw_kint(&j, "receipt_us_p99", (int64_t)histogram_at(&f->wait, 9900));
	jsonw_kint(&j, "receipt_us_p999", (int64_t)histogram_at(&f->wait, 9990));
	jsonw_kint(&j, "receipt_us_max", (int64_t)f->wait.max);
	if (r->bench) {
		jsonw_kint(&j, "connections", r->load.connections);
		jsonw_kint(&j, "handshakes_ms", r->load.handshakes_ms);
		jsonw_kint(&j, "pace_taps_per_s", r->load.taps_per_s);
		jsonw_kint(&j, "own_cpu_us", r->load.cpu_us);
		jsonw_kint(&j, "own_anon_kib", r->load.anon_kib);
		jsonw_kint(&j, "held_batches", (int64_t)r->load.held);
		jsonw_kint(&j, "own_late_us_p50", (int64_t)histogram_at(&r->load.late, 5000));
		jsonw_kint(&j, "own_late_us_p99", (int64_t)histogram_at(&r->load.late, 9900));
		jsonw_kint(&j, "own_late_us_max", (int64_t)r->load.late.max);
	}
	jsonw_kint(&j, "ms", r->took_ms);
	jsonw_object_end(&j);
	putchar('\n');
}

static void run_print(struct run *r)
{
	const struct fleet *f = &r->fleet;

	printf("机具 %u  发送 %llu 笔  回执 %llu 笔  批次 %u  重复回执 %llu (不一致 %llu)  重连 %llu  %lld.%lld s\n",
	       f->device_count, (unsigned long long)f->sent, (unsigned long long)f->receipted,
	       f->batch_count, (unsigned long long)f->repeated, (unsigned long long)f->mismatched,
	       (unsigned long long)f->reconnects, (long long)r->took_ms / 1000,
	       (long long)r->took_ms / 100 % 10);
	printf("回执等待 p50 %llu us  p99 %llu us  p99.9 %llu us  最长 %llu us\n",
	       (unsigned long long)histogram_at(&f->wait, 5000),
	       (unsigned long long)histogram_at(&f->wait, 9900),
	       (unsigned long long)histogram_at(&f->wait, 9990), (unsigned long long)f->wait.max);
	if (r->bench)
		printf("连接 %u 条, 握手 %lld ms; 本程序用 CPU %lld ms, 自身迟发 p99 %llu us 最长 %llu us\n",
		       r->load.connections, (long long)r->load.handshakes_ms,
		       (long long)r->load.cpu_us / 1000,
		       (unsigned long long)histogram_at(&r->load.late, 9900),
		       (unsigned long long)r->load.late.max);
	for (int v = 0; v < VERDICT_COUNT; v++)
		if (f->verdict[v] > 0)
			printf("  %-20s %10llu  %s\n", verdict_info((enum verdict)v)->name,
			       (unsigned long long)f->verdict[v],
			       verdict_info((enum verdict)v)->zh);
}

/* A connection a device, measured. */
static int load_all(struct run *r)
{
	int ret;

	r->load.dir = r->dir;
	r->load.connect = r->connect;
	r->load.limit_s = r->limit_s;
	r->load.progress = on_progress;
	r->load.arg = r;
	ret = load_run(&r->load, &r->fleet);
	r->timed_out = r->load.timed_out;
	r->took_ms = r->load.took_ms;
	return ret;
}

static int links_all(struct run *r)
{
	int ret = host_open(r);

	r->started_ms = now_ms();
	if (ret == 0)
		ret = links_run(r);
	r->took_ms = now_ms() - r->started_ms;
	SSL_CTX_free(r->host.tls);
	if (r->host.base != NULL)
		event_base_free(r->host.base);
	return ret;
}

static int run_all(struct run *r)
{
	int ret = fleet_open(r->dir, r->devices, &r->fleet);

	if (ret != 0)
		return exit_of_error(ret);
	if (r->shuffled)
		fleet_shuffle(&r->fleet, r->shuffle);
	ret = r->bench ? load_all(r) : links_all(r);
	if (ret == 0 && r->json)
		run_json(r);
	else if (ret == 0)
		run_print(r);
	if (ret != 0)
		ret = EXIT_USAGE;
	else if (r->timed_out)
		ret = r->fleet.receipted == 0 ? EXIT_UNREACHABLE : EXIT_PARTLY;
	else if (r->fleet.receipted != r->fleet.sent || r->fleet.mismatched != 0)
		ret = EXIT_PARTLY;
	fleet_close(&r->fleet);
	return ret;
}

static void validators_help(FILE *out)
{
	fputs("用法 usage: qingfen sim validators --city DIR --connect ADDRESS:PORT [--devices N]\n"
	      "       [--parallel 64] [--shuffle SEED] [--limit SECONDS]\n"
	      "       [--mark FILE --mark-at PERCENT] [--json] [--bench [--pace TAPS_PER_S] [--memory MIB]]\n"
	      "全部机具按各自证书上传, 收到全部回执才成功\n"
	      "--bench: 每台机具一条连接, 全部握手后一起开始计时; --pace: 按此速率定时发送, 各机具的批次均匀分布\n"
	      "--memory: 上传文件不大于此值时先整个读入内存, 否则边发边读; 缺省为可用内存的一半\n",
	      out);
}

static bool count_read(const char *text, uint32_t from, uint32_t to, uint32_t *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || v < from || v > to)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool option_read(struct run *r, int option, const char *value)
{
	char *end;

	switch (option) {
	case 'c':
		r->dir = value;
		return true;
	case 't':
		r->connect = value;
		return true;
	case 'm':
		r->mark = value;
		return true;
	case 'j':
		return r->json = true;
	case 'b':
		return r->bench = true;
	case 'r':
		return count_read(value, 1, PACE_MAX, &r->load.taps_per_s);
	case 'e':
		r->load.memory_mib = (int32_t)strtol(value, &end, 10);
		return *value >= '0' && *value <= '9' && *end == '\0' && r->load.memory_mib >= 0;
	case 'd':
		return count_read(value, 1, UINT32_MAX, &r->devices);
	case 'p':
		return count_read(value, 1, PARALLEL_MAX, &r->parallel);
	case 'a':
		return count_read(value, 0, 100, &r->mark_at);
	case 'l':
		return count_read(value, 1, 86400, &r->limit_s);
	case 's':
		r->shuffled = true;
		r->shuffle = strtoull(value, &end, 10);
		return *value != '\0' && *end == '\0';
	default:
		return false;
	}
}

int sim_validators(int argc, char **argv)
{
	static const struct option options[] = {
		{"city", required_argument, NULL, 'c'},
		{"connect", required_argument, NULL, 't'},
		{"devices", required_argument, NULL, 'd'},
		{"parallel", required_argument, NULL, 'p'},
		{"shuffle", required_argument, NULL, 's'},
		{"limit", required_argument, NULL, 'l'},
		{"mark", required_argument, NULL, 'm'},
		{"mark-at", required_argument, NULL, 'a'},
		{"bench", no_argument, NULL, 'b'},
		{"pace", required_argument, NULL, 'r'},
		{"memory", required_argument, NULL, 'e'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static struct run r = {.parallel = 64, .limit_s = 300, .mark_at = 50, .load.memory_mib = -1};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h') {
			validators_help(stdout);
			return EXIT_OK;
		}
		if (!option_read(&r, option, optarg)) {
			validators_help(stderr);
			return EXIT_USAGE;
		}
	}
	if (r.dir == NULL || r.connect == NULL) {
		complain("sim validators: needs --city DIR and --connect ADDRESS:PORT");
		return EXIT_USAGE;
	}
	if (r.load.taps_per_s > 0 && !r.bench) {
		complain("sim validators: --pace goes with --bench");
		return EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN); /* a killed daemon is an ordinary event here */
	return run_all(&r);
}
