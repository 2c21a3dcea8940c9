/*
 * clearingd - the clearing daemon: configuration, keys, store, replay, threads; then wait for a signal.
 * Opened once, closed once, in reverse.
 */
#include "clearing/deny_list.h"
#include "clearing/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clearing/blocks.h"
#include "clearing/checkpoint.h"
#include "clearing/crl_seen.h"
#include "clearing/kerb.h"
#include "clearing/pages.h"

static const char usage[] = "usage: clearingd -c FILE [--check-config]\n"
			    "  清分服务. 说明见 clearingd(8), 配置见 clearing.conf(5)\n";

/* Batches and the store's pages of a commit come and go thousands of times a second: what was given back stays here,
 * or the system would have to zero the same pages for each. */
static void memory_kept(void)
{
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	mallopt(M_TOP_PAD, 4 << 20);
}

static int limits_set(void)
{
	struct rlimit files = { 65536, 65536 }, core = { 0, 0 };

	if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	return setrlimit(RLIMIT_CORE, &core);	/* a core would hold keys */
}

static int options_read(int argc, char **argv, const char **ret_conf, bool *ret_check)
{
	static const struct option longs[] = { { "check-config", no_argument, NULL, 'k' }, { "help", no_argument, NULL, 'h' }, { "options", no_argument, NULL, 'o' }, { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		switch (c) {
		case 'c': *ret_conf = optarg; break;
		case 'k': *ret_check = true; break;
		case 'o': conf_print_options(stdout); return -1;
		case 'h': fputs(usage, stdout); return -1;
		default: fputs(usage, stderr); return 2;
		}
	}
	if (*ret_conf == NULL || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	return 0;
}

static void replayed_tell(struct daemon *d)
{
	struct checkpoint_stat image;
	uint64_t ms = d->stat.replay_ns / 1000000;

	checkpoint_told(d, &image);
	log_event("replayed", "events=%llu taps=%llu ms=%llu taps_s=%llu from=%llu image=%s image_ms=%llu", (unsigned long long)d->stat.replay_events,
		  (unsigned long long)d->stat.replay_taps, (unsigned long long)ms, (unsigned long long)(d->stat.replay_taps * 1000 / (ms + 1)),
		  (unsigned long long)d->stat.replay_from, image.loaded_seq != 0 ? "yes" : "no", (unsigned long long)(image.loaded_ns / 1000000));
}

static int daemon_open(struct daemon *d)
{
	int ret = secrets_open(d);

	if (ret != 0)
		return ret;
	ret = store_open(d->conf.store, false, (size_t)d->conf.map_mib << 20, &d->store);
	if (ret != 0) {
		log_event("store", "dir=%s reason=\"%s\"", d->conf.store, clearing_strerror(ret));
		return ret;
	}
	pthread_rwlock_init(&d->ref_lock, NULL);
	pthread_mutex_init(&d->told_lock, NULL);
	pthread_cond_init(&d->rated_more, NULL);
	queue_init(&d->queue);
	ret = append_open(d);
	if (ret == 0)
		ret = crl_seen_new(d->store, &d->crl_seen);
	if (ret == 0)
		ret = checkpoint_open(d);
	if (ret == 0)
		ret = writer_open(d);
	if (ret == 0)
		ret = deny_list_open(d);
	if (ret != 0) {
		log_event("replay", "reason=\"%s\"", clearing_strerror(ret));
		return ret;
	}
	replayed_tell(d);
	return 0;
}

/* Days that were cut and not cleared when the process ended. */
static void days_resume(struct daemon *d)
{
	struct told told;

	writer_told(d, &told);
	for (int32_t day = told.open_day - 60; day < told.open_day; day++) {
		struct clear_stats stats;
		struct day_row row;
		struct txn t;
		bool cut;

		if (txn_begin(d->store, false, &t) != 0)
			return;
		cut = day_get(&t, day, &row) && row.state == DAY_CUT;
		txn_abort(&t);
		if (cut)
			log_event("day-resumed", "day=%d code=%d", (int)day, day_clear(d->store, day, &stats));
	}
}

static int daemon_run(struct daemon *d)
{
	sigset_t set;
	int ret, caught;

	clear_threads((unsigned)d->conf.clear_threads);
	clear_memory((uint64_t)d->conf.clear_memory_mib << 20);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	ret = chunks_ready(((size_t)d->conf.memory_ready_mib << 20) / CHUNK_BYTES);
	if (ret == 0)
		ret = checkpoint_start(d);
	if (ret == 0)
		ret = writer_start(d);
	if (ret == 0)
		ret = device_cap_start(d);
	if (ret == 0)
		ret = kerb_start(d);
	if (ret == 0)
		ret = fronts_start(d);
	if (ret == 0)
		ret = pack_start(d);
	if (ret == 0)
		ret = control_start(d);
	if (ret == 0)
		ret = deliver_start(d);
	if (ret == 0)
		ret = code_ask_start(d);
	if (ret == 0)
		ret = recheck_start(d);
	if (ret != 0) {
		log_event("start-failed", "reason=\"%s\"", strerror(-ret));
		return ret;
	}
	days_resume(d);
	log_event("ready", "listen=%s:%d store=%s", d->conf.listen_host, (int)d->conf.listen_port, d->conf.store);
	while (sigwait(&set, &caught) == 0 && caught == SIGHUP)
		secrets_reload(d, NULL, NULL, 0);	/* it says itself what came of it */
	log_event("stopping", "signal=%d", caught);
	__atomic_store_n(&d->stopping, true, __ATOMIC_RELAXED);
	control_stop(d);
	secrets_stop(d);
	recheck_stop(d);
	pack_stop(d);
	queue_stop(&d->queue);
	pthread_join(d->writer, NULL);
	chunks_ready_stop();
	kerb_stop(d);
	fronts_stop(d);
	pthread_join(d->deliver, NULL);
	pthread_join(d->code_ask, NULL);
	checkpoint_stop(d);
	kerb_close(d);
	return 0;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	const char *conf = NULL;
	bool check = false;
	int ret = options_read(argc, argv, &conf, &check);

	if (ret != 0)
		return ret < 0 ? 0 : ret;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (conf_read(conf, &d.conf) != 0)
		return 3;
	if (check)
		return 0;
	memory_kept();
	blocks_kept();
	ret = limits_set();
	if (ret == 0)
		ret = daemon_open(&d);
	malloc_trim(0);			/* what opening the keys and reading the inbox again took */
	if (ret == 0)
		ret = daemon_run(&d);
	deny_list_close(&d);
	checkpoint_close(&d);
	live_free(d.live);
	refdata_free(d.ref);
	crl_seen_free(d.crl_seen);
	append_close(&d);
	store_close(d.store);
	ret = ret == 0 ? 0 : ret == CLEARING_E_BUSY ? 6 : 4;
	if (!secrets_close(&d))
		_exit(ret);
	return ret;
}
