/*
 * One connection at a time, for one device after the other: TLS 1.3 with the device's certificate,
 * the uplink's conversation over it. When the daemon goes away the device comes back with growing
 * pauses and sends its unanswered batch again; nothing counts before its receipt.
 */
#include "validators.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>

#include "tools/tools.h"

#define BACK_OFF_MS_FIRST   50
#define BACK_OFF_MS_MAX	    1000
#define REFUSED_RETRIES_MAX 20
#define ANSWER_S_MAX	    20 /* no answer for so long: connect again */

struct link {
	struct link_host *host;
	struct fleet_device *device;
	struct uplink *uplink;
	struct bufferevent *bev;
	struct event *timer;
	uint32_t back_off_ms, refused_tries;
	int64_t sent_us;
};

static int64_t now_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void link_wait(struct link *l, uint32_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	event_add(l->timer, &tv);
}

static void link_hang_up(struct link *l)
{
	if (l->bev != NULL)
		bufferevent_free(l->bev);
	l->bev = NULL;
}

/* The connection is gone before the device was done. */
static void link_broken(struct link *l)
{
	link_hang_up(l);
	uplink_lost(l->uplink);
	l->host->fleet->reconnects++;
	link_wait(l, l->back_off_ms);
	l->back_off_ms =
		l->back_off_ms * 2 < BACK_OFF_MS_MAX ? l->back_off_ms * 2 : BACK_OFF_MS_MAX;
}

static void link_flush(struct link *l)
{
	const uint8_t *p;
	size_t n = uplink_output(l->uplink, &p);

	if (l->bev == NULL || n == 0)
		return;
	bufferevent_write(l->bev, p, n);
	uplink_sent(l->uplink, n);
}

/* ---- what the uplink asks and tells
 * -------------------------------------------------------------- */

static int on_next(void *arg, const uint8_t **ret_p, size_t *ret_n, uint32_t *ret_file_serial)
{
	struct link *l = arg;
	const struct fleet_device *d = l->device;
	const struct fleet_batch *b = &l->host->fleet->batch[d->first + d->at];

	if (d->at >= d->count)
		return 0;
	l->sent_us = now_us(CLOCK_MONOTONIC);
	*ret_p = b->p;
	*ret_n = b->n;
	*ret_file_serial = b->file_serial;
	return 1;
}

static void on_receipt(void *arg, const struct receipt *m)
{
	struct link *l = arg;

	l->back_off_ms = BACK_OFF_MS_FIRST;
	l->refused_tries = 0;
	fleet_receipted(l->host->fleet, l->device, m,
			(uint32_t)(now_us(CLOCK_MONOTONIC) - l->sent_us));
	l->host->progress(l->host->arg);
}

static void on_refused(void *arg, const struct refuse *m)
{
	struct link *l = arg;

	if (m->retry && l->refused_tries++ < REFUSED_RETRIES_MAX)
		return;
	complain("sim validators: %s: batch %u refused: %s", l->device->name, m->file_serial,
		 m->text);
	l->refused_tries = 0;
	fleet_refused(l->host->fleet, l->device);
	l->host->progress(l->host->arg);
}

static void on_busy(void *arg, uint32_t retry_ms)
{
	link_wait(arg, retry_ms < BACK_OFF_MS_MAX ? retry_ms : BACK_OFF_MS_MAX);
}

/* ---- the socket
 * ---------------------------------------------------------------------------------- */

static void link_next_device(struct link *l);

static void link_look(struct link *l)
{
	if (l->device->at >= l->device->count) {
		link_hang_up(l);
		link_next_device(l);
		return;
	}
	if (uplink_state(l->uplink) == UPLINK_IDLE) /* refused for now: once more */
		link_wait(l, BACK_OFF_MS_FIRST);
	link_flush(l);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct link *l = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t n = evbuffer_get_length(in);
	const uint8_t *p = evbuffer_pullup(in, -1);

	if (p == NULL || uplink_feed(l->uplink, p, n) != 0) {
		complain("sim validators: %s: the answer is no frame of ours", l->device->name);
		link_broken(l);
		return;
	}
	evbuffer_drain(in, n);
	link_look(l);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct link *l = arg;
	int one = 1;

	if ((what & BEV_EVENT_CONNECTED) == 0) {
		link_broken(l);
		return;
	}
	setsockopt(bufferevent_getfd(bev), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	uplink_connected(l->uplink);
	link_flush(l);
}

static SSL *link_tls(const struct link *l)
{
	char path[512];
	SSL *ssl = SSL_new(l->host->tls);

	snprintf(path, sizeof(path), "%s/devices/%s.pem", l->host->dir, l->device->name);
	if (ssl != NULL && SSL_use_certificate_file(ssl, path, SSL_FILETYPE_PEM) == 1 &&
	    SSL_use_PrivateKey_file(ssl, path, SSL_FILETYPE_PEM) == 1)
		return ssl;
	complain("sim validators: %s: no usable certificate and key", path);
	SSL_free(ssl);
	return NULL;
}

static void link_connect(struct link *l)
{
	struct timeval limit = {.tv_sec = ANSWER_S_MAX};
	SSL *ssl = link_tls(l);

	if (ssl == NULL) {
		link_wait(l, BACK_OFF_MS_MAX);
		return;
	}
	l->bev = bufferevent_openssl_socket_new(l->host->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING,
						BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (l->bev == NULL) {
		SSL_free(ssl);
		link_wait(l, BACK_OFF_MS_MAX);
		return;
	}
	bufferevent_openssl_set_allow_dirty_shutdown(l->bev, 1);
	bufferevent_setcb(l->bev, on_read, NULL, on_event, l);
	bufferevent_set_timeouts(l->bev, &limit, &limit);
	bufferevent_enable(l->bev, EV_READ | EV_WRITE);
	if (bufferevent_socket_connect(l->bev, (struct sockaddr *)l->host->address,
				       l->host->address_bytes) != 0)
		link_broken(l);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd;
	(void)what;
	if (l->bev == NULL) {
		link_connect(l);
		return;
	}
	uplink_retry(l->uplink);
	link_look(l);
}

static void link_next_device(struct link *l)
{
	struct uplink_events on = {.next = on_next,
				   .receipt = on_receipt,
				   .refused = on_refused,
				   .busy = on_busy,
				   .arg = l};
	struct hello hello = {.protocol = 1,
			      .software = "qingfen sim",
			      .clock_ms = now_us(CLOCK_REALTIME) / 1000};

	uplink_free(l->uplink);
	l->uplink = NULL;
	l->device = fleet_take(l->host->fleet);
	if (l->device == NULL)
		return;
	memcpy(hello.device, l->device->name, sizeof(hello.device));
	memcpy(hello.terminal, l->device->terminal, sizeof(hello.terminal));
	if (uplink_new(&hello, &on, &l->uplink) != 0) {
		complain("sim validators: out of memory");
		event_base_loopbreak(l->host->base);
		return;
	}
	l->back_off_ms = BACK_OFF_MS_FIRST;
	link_wait(l, 0);
}

int link_new(struct link_host *host, struct link **ret_link)
{
	struct link *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->host = host;
	l->timer = evtimer_new(host->base, on_timer, l);
	if (l->timer == NULL) {
		free(l);
		return -ENOMEM;
	}
	link_next_device(l);
	*ret_link = l;
	return 0;
}

void link_free(struct link *l)
{
	if (l == NULL)
		return;
	link_hang_up(l);
	uplink_free(l->uplink);
	event_free(l->timer);
	free(l);
}
