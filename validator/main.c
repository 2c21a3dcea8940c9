/*
 * validatord - the agent on the bus: configuration, spool, lists, then taps in and batches out until told to
 * stop. What was opened is closed once, in reverse. Exit codes as in validatord(8).
 */
#include "validator/agent_bank.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define CONNECT_WAIT_MS 5000			/* for the first connection, before the first code is shown */
#define SERIAL_EPOCH_MS 1577836800000LL		/* 2020-01-01 UTC */

static const char usage[] = "usage: validatord -c FILE [--check-config] [--once] [--wait SECONDS]\n"
			    "                  [--simulate TAPS] [--seed N] [--codes FILE] [--options]\n"
			    "                  [--bank-cards DIR --present CARD[x][@SECONDS],...]\n"
			    "       validatord -c FILE --enrol CODEFILE | --renew | --certificate FILE\n"
			    "  车载机代理. 说明见 validatord(8), 配置见 validatord.conf(5)\n";

struct options { const char *conf, *codes, *enrol, *certificate, *cards, *present; bool check, once, renew; unsigned taps, wait_s; uint64_t seed; };

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *ret <= max;
}

/* 0: go on; 1: done, exit 0; 2: usage. */
static int options_read(int argc, char **argv, struct options *ret)
{
	static const struct option longs[] = {
		{ "check-config", no_argument, NULL, 'k' }, { "once", no_argument, NULL, 'o' },
		{ "wait", required_argument, NULL, 'w' }, { "simulate", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' }, { "codes", required_argument, NULL, 'q' }, { "options", no_argument, NULL, 'p' },
		{ "enrol", required_argument, NULL, 'e' }, { "renew", no_argument, NULL, 'n' },
		{ "certificate", required_argument, NULL, 't' },
		{ "bank-cards", required_argument, NULL, 'b' }, { "present", required_argument, NULL, 'a' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	uint64_t n = 0;
	bool good = true;
	int c;

	while (good && (c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		switch (c) {
		case 'c': ret->conf = optarg; break;
		case 'q': ret->codes = optarg; break;
		case 'k': ret->check = true; break;
		case 'o': ret->once = true; break;
		case 'w': good = number(optarg, 86400, &n); ret->wait_s = (unsigned)n; break;
		case 's': good = number(optarg, 1000000, &n); ret->taps = (unsigned)n; break;
		case 'r': good = number(optarg, UINT64_MAX, &ret->seed); break;
		case 'e': ret->enrol = optarg; break;
		case 'n': ret->renew = true; break;
		case 't': ret->certificate = optarg; break;
		case 'b': ret->cards = optarg; break;
		case 'a': ret->present = optarg; break;
		case 'p': agent_conf_print(stdout); return 1;
		case 'h': fputs(usage, stdout); return 1;
		default: good = false; break;
		}
	}
	if (good && ret->conf != NULL && optind == argc && (ret->cards == NULL) == (ret->present == NULL))
		return 0;
	fputs(usage, stderr);
	return 2;
}

static void failed(const char *what, const char *where, int code)
{
	const char *text = tap_strerror(code) != NULL ? tap_strerror(code) : keys_strerror(code);

	agent_log(what, "at=%s code=%d reason=\"%s\"", where, code, text != NULL ? text : strerror(code > -1000 ? -code : EINVAL));
}

/* Minutes since 2020: above every file serial of a spool that was lost, as no validator sends a batch a
 * minute for years. 1 when the clock was never set. */
static uint32_t first_file_serial(void)
{
	int64_t minutes = (agent_clock_ms() - SERIAL_EPOCH_MS) / 60000;

	return minutes < 1 || minutes > UINT32_MAX / 2 ? 1 : (uint32_t)minutes;
}

static int agent_open(struct agent *a)
{
	int ret = spool_open_from(a->conf.spool, first_file_serial(), &a->spool);

	if (ret != 0) {
		failed("spool", a->conf.spool, ret);
		return ret == -EBUSY ? 6 : 4;
	}
	if (spool_cut_bytes(a->spool) != 0)
		agent_log("spool-cut", "bytes=%llu note=\"a record that was being written when the power went\"",
			  (unsigned long long)spool_cut_bytes(a->spool));
	ret = agent_serial_load(a);
	if (ret == 0)
		ret = agent_lists_open(&a->conf, &a->lists);
	if (ret == 0)
		ret = agent_bank_open(a, &a->bank);
	if (ret != 0)
		failed("lists", a->conf.spool, ret);
	return ret != 0 ? 4 : 0;
}

/* Codes are shown once there is a connection to ask over. */
static bool shift_scans(const struct agent *a, const struct options *o) { return o->codes != NULL && a->conf.code_formats[0] != '\0' && a->conf.code_ask_ms > 0; }

/* Sign on, line, and the simulated passengers if any. */
static int shift_start(struct agent *a, const struct options *o)
{
	int ret = 0;

	if ((o->taps > 0 || o->codes != NULL || o->present != NULL) && a->lists.tariff == NULL) {
		agent_log("simulate", "reason=\"no tariff yet; run validatord --once first, it is downloaded\"");
		return 3;
	}
	if (a->once && o->taps == 0 && o->codes == NULL && o->present == NULL)
		return 0;		/* only to bring what waits */
	ret = agent_event(a, TAP_SIGN_ON);
	if (ret == 0)
		ret = agent_event(a, TAP_LINE_ON);
	if (ret == 0 && o->taps > 0)
		ret = agent_simulate(a, o->taps, o->seed);
	if (ret == 0 && o->codes != NULL && !shift_scans(a, o))
		ret = agent_codes(a, o->codes);
	if (ret == 0 && o->present != NULL)
		ret = agent_bank_present(a, o->cards, o->present);
	if (ret == 0 && a->once && !shift_scans(a, o))
		ret = agent_event(a, TAP_SIGN_OFF);
	if (ret != 0)
		failed("shift", a->conf.spool, ret);
	return ret != 0 ? 4 : 0;
}

/* The rest of a shift whose codes are asked about. */
static int shift_scan(struct agent *a, const struct options *o)
{
	int ret;

	a->scanning = true;
	agent_link_wait(a->link, CONNECT_WAIT_MS);
	ret = agent_codes(a, o->codes);
	if (ret == 0 && a->once)
		ret = agent_event(a, TAP_SIGN_OFF);
	a->scanning = false;
	if (ret != 0)
		failed("shift", a->conf.spool, ret);
	return ret != 0 ? 4 : 0;
}

static void on_signal(evutil_socket_t number_of, short what, void *arg)
{
	struct agent *a = arg;

	(void)what;
	agent_log("stopping", "signal=%d waiting=%llu", (int)number_of, (unsigned long long)spool_waiting(a->spool));
	a->ended = true;
	event_base_loopbreak(a->base);
}

static void on_waited(evutil_socket_t fd, short what, void *arg)
{
	struct agent *a = arg;

	(void)fd;
	(void)what;
	agent_log("gave-up", "waiting=%llu", (unsigned long long)spool_waiting(a->spool));
	a->result = 7;
	a->ended = true;
	event_base_loopbreak(a->base);
}

static int agent_run(struct agent *a, const struct options *o)
{
	struct timeval wait = { .tv_sec = o->wait_s };
	struct agent_link *link = NULL;
	struct event *term = NULL, *interrupt = NULL, *limit = NULL;
	int ret = 4;

	a->base = event_base_new();
	if (a->base == NULL)
		return ret;
	term = evsignal_new(a->base, SIGTERM, on_signal, a);
	interrupt = evsignal_new(a->base, SIGINT, on_signal, a);
	limit = evtimer_new(a->base, on_waited, a);
	if (term == NULL || interrupt == NULL || limit == NULL)
		goto out;
	event_add(term, NULL);
	event_add(interrupt, NULL);
	if (o->once)
		event_add(limit, &wait);
	if (agent_link_new(a, &link) != 0) {
		ret = 3;
		goto out;
	}
	a->link = link;
	ret = shift_scans(a, o) ? shift_scan(a, o) : 0;
	if (ret == 0 && !a->ended)
		event_base_dispatch(a->base);
	ret = ret != 0 ? ret : a->result;
	if (!o->once && ret == 0 && agent_event(a, TAP_SIGN_OFF) != 0)
		ret = 4;
out:
	a->link = NULL;
	agent_link_free(link);
	if (limit != NULL)
		event_free(limit);
	if (interrupt != NULL)
		event_free(interrupt);
	if (term != NULL)
		event_free(term);
	event_base_free(a->base);
	return ret;
}

int main(int argc, char **argv)
{
	static struct agent a;
	struct options o = { .wait_s = 60, .seed = 1 };
	const struct rlimit no_core = { 0, 0 };		/* it would hold keys */
	int ret = options_read(argc, argv, &o);

	if (ret != 0)
		return ret == 1 ? 0 : 2;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_CORE, &no_core);
	if (agent_conf_read(o.conf, &a.conf) != 0)
		return 3;
	if (o.check)
		return 0;
	if (o.enrol != NULL || o.renew || o.certificate != NULL)
		return o.enrol != NULL ? agent_enrol(&a.conf, o.enrol) : o.renew ? agent_renew(&a.conf) : agent_certificate(&a.conf, o.certificate);
	agent_pair_repair(&a.conf);
	a.once = o.once;
	ret = agent_open(&a);
	if (ret == 0)
		ret = shift_start(&a, &o);
	if (ret == 0)
		ret = agent_run(&a, &o);
	agent_bank_close(a.bank);
	agent_lists_done(&a.lists);
	spool_close(a.spool);
	return ret;
}
