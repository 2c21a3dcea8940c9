/*
 * A measured run: every device on a connection of its own, one thread; what is sent lies in the mapped file as it goes
 * out, in memory as a whole before the clock starts when there is room. What it costs is the daemon's loss, since both
 * share the machine.
 */
#include "validators.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "tools/tools.h"

#include "wire.h"

#define SHAKING_MAX	    64 /* handshakes at once: the daemon has a time limit for each */
#define AGAIN_US	    200000 /* after a busy answer or a broken connection */
#define REFUSED_RETRIES_MAX 20
#define EVENTS		    256
#define FILES_MORE	    64 /* descriptors that are no connections */

enum step { OFF, SHAKING, GREETING, FREE, WAITING, AGAIN };
struct conn {
	struct wire wire; /* first: a wire is its connection */
	struct loading *loading;
	struct fleet_device *device;
	struct conn *again; /* the next one that waits to try again */
	int64_t again_us, due_us, free_us, sent_us;
	uint32_t due, refused; /* so many of its batches have come due */
	enum step step, then;  /* then: after the wait */
	bool greeted;
	struct upload_row row; /* of its device's batches, in the file */
};
struct turn { int64_t at_us; uint32_t conn; };
struct loading {
	struct load *load;
	struct fleet *fleet;
	struct wire_host host;
	struct conn *conn, *again, **again_last;
	uint32_t opened, shaking, greeted;
	struct turn *turn; /* batches in the order they come due */
	size_t turns, turn_at;
	int64_t started_us, limit_us;
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static int64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000LL + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

/* Memory of its own, now: nothing is given back before the end. */
static int64_t anon_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	long long kib = 0;
	char line[128];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL && sscanf(line, "RssAnon: %lld", &kib) != 1)
		;
	if (f != NULL)
		fclose(f);
	return kib;
}

/* ---- before the clock starts ---------------------------------------------------------------------- */

/* Half of what the system could give, unless told. */
static size_t room(const struct load *l)
{
	size_t kib = 0;
	char line[128];
	FILE *f;

	if (l->memory_mib >= 0)
		return (size_t)l->memory_mib << 20;
	f = fopen("/proc/meminfo", "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL && sscanf(line, "MemAvailable: %zu", &kib) != 1)
		;
	if (f != NULL)
		fclose(f);
	return kib * 1024 / 2;
}

static int rows_begin(struct loading *g)
{
	const struct fleet_batch *batch = g->fleet->batch;
	int ret = upload_ready(g->fleet->upload, room(g->load));

	for (uint32_t i = 0; i < g->load->connections; i++) {
		const struct fleet_device *d = g->conn[i].device;
		const uint8_t *from = batch[d->first].p, *end = from;

		for (uint32_t k = d->first; k < d->first + d->count; k++) { /* they may be shuffled */
			from = batch[k].p < from ? batch[k].p : from;
			end = batch[k].p + batch[k].n > end ? batch[k].p + batch[k].n : end;
		}
		g->conn[i].row = upload_row_of(g->fleet->upload, from - FRAME_HEAD_BYTES, end);
	}
	return ret;
}

static int turn_compare(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	return x->at_us != y->at_us ? (x->at_us < y->at_us ? -1 : 1)
				    : (x->conn > y->conn) - (x->conn < y->conn);
}

/* When a connection's k-th batch comes due, from the start: its device's batches lie evenly over the time that the pace
 * gives the day, each device at a phase of its own. */
static int64_t due_us(const struct loading *g, const struct conn *c, uint32_t k)
{
	int64_t all_us = (int64_t)(g->fleet->sent * 1000000 / g->load->taps_per_s);
	int64_t each_us = all_us / c->device->count;

	return k * each_us + (int64_t)((uint64_t)(c - g->conn) * 0x9E3779B9u % 1000) * each_us / 1000;
}

static void turns_make(struct loading *g)
{
	g->turn = city_grow(NULL, sizeof(*g->turn), g->fleet->batch_count + 1);
	for (uint32_t i = 0; i < g->load->connections; i++)
		for (uint32_t k = 0; k < g->conn[i].device->count; k++)
			g->turn[g->turns++] = (struct turn){due_us(g, &g->conn[i], k), i};
	qsort(g->turn, g->turns, sizeof(*g->turn), turn_compare);
}

/* A descriptor each; more than the soft limit allows when the hard one does. */
static int files_allow(uint32_t connections)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur >= connections + FILES_MORE)
		return 0;
	l.rlim_cur = connections + FILES_MORE;
	if (l.rlim_max < l.rlim_cur)
		l.rlim_max = l.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &l) == 0)
		return 0;
	complain("sim validators: %u connections need as many open files: raise the limit (ulimit -n)",
		 connections);
	return -EINVAL;
}

/* ---- one connection ----------------------------------------------------------------------------------- */

static bool paced(const struct loading *g) { return g->load->taps_per_s > 0; }
static bool over(const struct conn *c) { return c->device->at >= c->device->count; }

static void wait_again(struct conn *c, enum step then)
{
	struct loading *g = c->loading;

	c->step = AGAIN;
	c->then = then;
	c->again = NULL;
	c->again_us = now_us() + AGAIN_US;
	*g->again_last = c;
	g->again_last = &c->again;
}

static void conn_broken(struct conn *c)
{
	struct loading *g = c->loading;

	g->shaking -= c->step == SHAKING || c->step == GREETING;
	wire_close(&c->wire);
	g->fleet->reconnects++;
	if (c->step != AGAIN)
		wait_again(c, OFF);
	c->then = OFF;
}

static void conn_open(struct conn *c)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/devices/%s.pem", c->loading->load->dir, c->device->name);
	c->step = SHAKING;
	c->loading->shaking++;
	if (!wire_open(&c->loading->host, &c->wire, path))
		conn_broken(c);
}

static bool conn_send(struct conn *c)
{
	struct loading *g = c->loading;
	const struct fleet_batch *b = &g->fleet->batch[c->device->first + c->device->at];
	const uint8_t *frame = upload_row_read(g->fleet->upload, &c->row, b->p - FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + b->n);

	c->sent_us = now_us();
	if (c->refused == 0 && paced(g)) {
		int64_t from = c->free_us > c->due_us ? c->free_us : c->due_us;

		histogram_add(&g->load->late, (uint64_t)(c->sent_us > from ? c->sent_us - from : 0));
	}
	c->step = WAITING;
	return frame != NULL && wire_send(&c->wire, frame, FRAME_HEAD_BYTES + b->n);
}

/* It may send, and does when there is something to be sent. */
static bool conn_free(struct conn *c)
{
	struct loading *g = c->loading;

	c->step = FREE;
	if (g->started_us == 0 || over(c))
		return true;
	if (!paced(g))
		return conn_send(c);
	c->due_us = g->started_us + due_us(g, c, c->device->at);
	return c->device->at >= c->due || conn_send(c);
}

static bool on_ready(struct wire *w)
{
	struct conn *c = (struct conn *)w;
	struct hello hello = {.protocol = 1, .software = "qingfen sim"};
	uint8_t out[512];
	struct timespec t;
	int n;

	clock_gettime(CLOCK_REALTIME, &t);
	hello.clock_ms = t.tv_sec * 1000LL + t.tv_nsec / 1000000;
	memcpy(hello.device, c->device->name, sizeof(hello.device));
	memcpy(hello.terminal, c->device->terminal, sizeof(hello.terminal));
	n = hello_encode(&hello, out, sizeof(out));
	c->step = GREETING;
	return n > 0 && wire_send(w, out, (size_t)n);
}

static bool on_receipt(struct conn *c, const struct frame *f)
{
	static struct receipt m; /* large */
	struct loading *g = c->loading;
	int64_t from = paced(g) ? c->due_us : c->sent_us;

	if (receipt_decode(f, &m) != 0)
		return false;
	c->free_us = now_us();
	c->refused = 0;
	fleet_receipted(g->fleet, c->device, &m, (uint32_t)(c->free_us - from));
	g->load->progress(g->load->arg);
	return conn_free(c);
}

static bool on_refused(struct conn *c, const struct frame *f)
{
	struct loading *g = c->loading;
	struct refuse m;

	if (refuse_decode(f, &m) != 0)
		return false;
	if (m.retry && c->refused++ < REFUSED_RETRIES_MAX) {
		wait_again(c, FREE);
		return true;
	}
	complain("sim validators: %s: batch %u refused: %s", c->device->name, m.file_serial, m.text);
	c->refused = 0;
	fleet_refused(g->fleet, c->device);
	g->load->progress(g->load->arg);
	return conn_free(c);
}

static bool on_welcome(struct conn *c)
{
	struct loading *g = c->loading;

	g->shaking--;
	g->greeted += !c->greeted;
	c->greeted = true;
	c->free_us = now_us();
	return conn_free(c);
}

static bool on_frame(struct wire *w, const struct frame *f)
{
	struct conn *c = (struct conn *)w;

	if (f->type == FRAME_WELCOME && c->step == GREETING)
		return on_welcome(c);
	if (c->step != WAITING)
		return false;
	switch (f->type) {
	case FRAME_RECEIPT:
		return on_receipt(c, f);
	case FRAME_REFUSE:
		return on_refused(c, f);
	case FRAME_BUSY:
		c->refused++;
		wait_again(c, FREE);
		return true;
	default:
		return false;
	}
}

/* ---- the loop --------------------------------------------------------------------------------------- */

static void start(struct loading *g, int64_t opened_us)
{
	struct load *l = g->load;

	g->started_us = now_us();
	l->handshakes_ms = (g->started_us - opened_us) / 1000;
	l->cpu_us = cpu_us();
	l->progress(l->arg);
	for (uint32_t i = 0; i < l->connections; i++)
		if (g->conn[i].step == FREE && !conn_free(&g->conn[i]))
			conn_broken(&g->conn[i]);
}

static void again_run(struct loading *g, int64_t now)
{
	while (g->again != NULL && g->again->again_us <= now) {
		struct conn *c = g->again;

		g->again = c->again;
		if (g->again == NULL)
			g->again_last = &g->again;
		if (c->then == OFF)
			conn_open(c);
		else if (!conn_free(c))
			conn_broken(c);
	}
}

static void turns_run(struct loading *g, int64_t now)
{
	for (; g->turn_at < g->turns && g->started_us + g->turn[g->turn_at].at_us <= now; g->turn_at++) {
		struct conn *c = &g->conn[g->turn[g->turn_at].conn];

		c->due++;
		g->load->held += c->step != FREE;
		if (c->step == FREE && !conn_free(c))
			conn_broken(c);
	}
}

/* Until something is due; at most a tenth of a second. */
static struct timespec pause_until_due(const struct loading *g, int64_t now)
{
	int64_t us = 100000;

	if (g->again != NULL && g->again->again_us - now < us)
		us = g->again->again_us - now;
	if (g->turn_at < g->turns && g->started_us + g->turn[g->turn_at].at_us - now < us)
		us = g->started_us + g->turn[g->turn_at].at_us - now;
	us = us > 0 ? us : 0;
	return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
}

static int events_run(struct loading *g, int64_t now)
{
	struct timespec pause = pause_until_due(g, now);
	struct epoll_event event[EVENTS];
	int n = epoll_pwait2(g->host.epoll, event, EVENTS, &pause, NULL);

	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++) {
		struct wire *w = event[i].data.ptr;

		if (w->fd >= 0 && !wire_event(w, event[i].events))
			conn_broken((struct conn *)w);
	}
	return 0;
}

static int loop(struct loading *g)
{
	struct load *l = g->load;
	int64_t opened_us = now_us(), now;
	bool started = false;
	int ret = 0;

	while (ret == 0 && g->fleet->over < g->fleet->device_count) {
		now = now_us();
		l->timed_out = now - opened_us > (int64_t)l->limit_s * 1000000;
		if (l->timed_out)
			break;
		while (g->opened < l->connections && g->shaking < SHAKING_MAX)
			conn_open(&g->conn[g->opened++]);
		if (!started && g->greeted == l->connections) {
			started = true;
			start(g, opened_us);
		}
		again_run(g, now);
		if (started)
			turns_run(g, now_us());
		ret = events_run(g, now_us());
	}
	l->took_ms = (now_us() - (started ? g->started_us : opened_us)) / 1000;
	l->cpu_us = cpu_us() - l->cpu_us;
	l->anon_kib = anon_kib();
	return ret;
}

static int loading_open(struct loading *g)
{
	struct load *l = g->load;
	char ca[512];
	int ret = files_allow(l->connections);

	snprintf(ca, sizeof(ca), "%s/ca.crt", l->dir);
	g->again_last = &g->again;
	g->conn = city_grow(NULL, sizeof(*g->conn), l->connections + 1);
	for (uint32_t i = 0; i < l->connections; i++)
		g->conn[i] = (struct conn){.loading = g,
					   .device = &g->fleet->device[g->fleet->order[i]],
					   .wire = {.fd = -1, .host = &g->host}};
	if (ret == 0)
		ret = wire_host_open(&g->host, l->connect, ca);
	if (ret == 0)
		ret = rows_begin(g);
	if (ret == 0 && paced(g))
		turns_make(g);
	return ret;
}

int load_run(struct load *l, struct fleet *f)
{
	static struct loading g;
	int ret;

	l->connections = f->device_count;
	g = (struct loading){.load = l, .fleet = f, .host = {.epoll = -1, .ready = on_ready, .frame = on_frame}};
	ret = loading_open(&g);
	if (ret == 0)
		ret = loop(&g);
	for (uint32_t i = 0; i < l->connections; i++)
		wire_close(&g.conn[i].wire);
	wire_host_close(&g.host);
	free(g.turn);
	free(g.conn);
	return ret;
}
