/*
 * front - the side that faces validators: TLS 1.3 with client certificates and frames; batches go on in front_batch.c.
 * Each front is a thread with its own event base and verifier; nothing here touches money or the store. A connection has
 * one batch on its way at a time: what follows waits until that is answered.
 *
 * What arrives is bounded before it is believed: frame length, batch size, queue bytes, connections, and the
 * time each phase may take.
 */
#include "clearing/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "clearing/deny_list.h"
#include "clearing/device.h"
#include "clearing/renewal.h"
#include "clearing/trust.h"

#define ACCEPT_PAUSE_MS 100
#define INPUT_BYTES_MAX (FRAME_BYTES_MAX + FRAME_HEAD_BYTES)	/* that wait here */
#define SEND_NOW_BYTES_MAX 4096	/* one TLS record: the socket takes all of it or is offered all of it again */

/* ---- connections ------------------------------------------------------------------------------- */

static void conn_close(struct conn *c, const char *reason)
{
	struct front *f = c->front;

	if (reason != NULL)
		log_event("connection-closed", "device=%s reason=\"%s\"", c->device[0] != '\0' ? c->device : "-", reason);
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		f->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	if (c->item != NULL)
		c->item->conn = NULL;
	if (c->ask != NULL)
		c->ask->conn = NULL;
	event_free(c->deadline);
	bufferevent_free(c->bev);
	stage_count(&f->count, UINT64_MAX);	/* one less */
	free(c);
}

static void deadline_set(struct conn *c, int64_t seconds)
{
	struct timeval tv = { .tv_sec = seconds };

	event_add(c->deadline, &tv);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	conn_close(c, c->greeted ? "idle" : "no hello in time");
}

/* What is short at once when nothing waits before it, which spares the loop a turn; what the socket does not take waits. */
void conn_send(struct conn *c, int n)
{
	struct evbuffer *waits = bufferevent_get_output(c->bev);
	int sent = 0;

	if (n <= 0)
		return;
	if (n <= SEND_NOW_BYTES_MAX && evbuffer_get_length(waits) == 0) {
		ERR_clear_error();
		sent = SSL_write(bufferevent_openssl_get_ssl(c->bev), c->front->out, n);
	}
	sent = sent > 0 ? sent : 0;
	if (sent < n)
		bufferevent_write(c->bev, c->front->out + sent, (size_t)(n - sent));
}

void send_refuse(struct conn *c, uint32_t file_serial, int code, const char *text, bool retry)
{
	struct refuse m = { .file_serial = file_serial, .code = code, .retry = retry };

	snprintf(m.text, sizeof(m.text), "%s", text);
	conn_send(c, refuse_encode(&m, c->front->out, sizeof(c->front->out)));
}

/* What the terminal register says about the certificate's terminal now. */
static const char *front_binding_check(struct daemon *d, const struct device_id *id)
{
	const char *why;

	pthread_rwlock_rdlock(&d->ref_lock);
	why = device_binding_check(d->ref, id, clock_ms(), d->conf.device_binding != 0);
	pthread_rwlock_unlock(&d->ref_lock);
	return why;
}

/* ---- frames ----------------------------------------------------------------------------------------- */

static bool on_hello(struct conn *c, const struct frame *f)
{
	struct daemon *d = c->front->daemon;
	struct welcome w = { .protocol = 1, .clock_ms = clock_ms(), .batch_taps_max = BATCH_TAPS_MAX };
	struct hello m;
	char *certificate;
	size_t bytes;

	if (hello_decode(f, &m) != 0) {
		send_refuse(c, 0, TAP_E_SYNTAX, "hello cannot be read", false);
		return false;
	}
	if (m.protocol != 1) {
		send_refuse(c, 0, TAP_E_VERSION, "protocol 1 is spoken here", false);
		return false;
	}
	if (strcmp(m.device, c->device) != 0) {
		send_refuse(c, 0, TAP_E_RANGE, "device differs from the certificate", false);
		return false;
	}
	pthread_rwlock_rdlock(&d->ref_lock);
	w.list_version = refdata_list_version(d->ref);
	refdata_tariff_blob_at(d->ref, clock_ms(), &w.tariff_version, &bytes);
	deny_list_text(d, &w.deny_version, &bytes);
	pthread_rwlock_unlock(&d->ref_lock);
	w.asks = d->kerb != NULL;
	w.renewals = d->conf.renewals[0] != '\0';
	if (w.renewals && renewal_certificate(d->conf.renewals, c->device, &certificate, &bytes, &w.certificate) == 0)
		free(certificate);
	c->greeted = true;
	conn_send(c, welcome_encode(&w, c->front->out, sizeof(c->front->out)));
	return true;
}

/* The device's own; no bytes while there is none. */
static void certificate_send(struct conn *c)
{
	struct part m = { .what = "certificate" };
	char *p = NULL;
	size_t n = 0;

	if (renewal_certificate(c->front->daemon->conf.renewals, c->device, &p, &n, &m.version) == 0) {
		m.total = m.n = (uint32_t)n;
		m.p = (const uint8_t *)p;
	}
	conn_send(c, part_encode(&m, c->front->out, sizeof(c->front->out)));
	free(p);
}

static void on_certify(struct conn *c, const struct frame *f)
{
	const char *dir = c->front->daemon->conf.renewals, *why = "requests are not taken here";
	struct certify m;

	if (certify_decode(f, &m) != 0)
		why = "the request cannot be read";
	else if (dir[0] != '\0')
		why = renewal_keep(dir, c->device, SSL_get0_peer_certificate(bufferevent_openssl_get_ssl(c->bev)), m.p, m.n);
	log_event(why == NULL ? "renewal-asked" : "renewal-refused", "device=%s%s%s%s", c->device, why == NULL ? "" : " reason=\"", why == NULL ? "" : why,
		  why == NULL ? "" : "\"");
	if (why == NULL)
		certificate_send(c);
	else
		send_refuse(c, 0, TAP_E_RANGE, why, true);
}

static void on_get(struct conn *c, const struct frame *f)
{
	struct daemon *d = c->front->daemon;
	struct part m = { 0 };
	struct get g;
	const uint8_t *p = NULL;
	size_t n = 0;

	if (get_decode(f, &g) != 0) {
		send_refuse(c, 0, TAP_E_SYNTAX, "get cannot be read", false);
		return;
	}
	if (strcmp(g.what, "certificate") == 0 && d->conf.renewals[0] != '\0') {
		certificate_send(c);
		return;
	}
	pthread_rwlock_rdlock(&d->ref_lock);
	if (strcmp(g.what, "blacklist") == 0) {
		p = refdata_blacklist_text(d->ref, &n);
		m.version = refdata_list_version(d->ref);
	} else if (strcmp(g.what, "denylist") == 0) {
		p = deny_list_text(d, &m.version, &n);
	} else if (strcmp(g.what, "tariff") == 0) {
		p = refdata_tariff_blob_at(d->ref, clock_ms(), &m.version, &n);
	}
	if (p != NULL && g.offset <= n) {
		memcpy(m.what, g.what, sizeof(m.what));
		m.offset = g.offset;
		m.total = (uint32_t)n;
		m.p = p + g.offset;
		m.n = (uint32_t)(n - g.offset < PART_BYTES_MAX ? n - g.offset : PART_BYTES_MAX);
		conn_send(c, part_encode(&m, c->front->out, sizeof(c->front->out)));
	}
	pthread_rwlock_unlock(&d->ref_lock);
	if (p == NULL || g.offset > n)
		send_refuse(c, 0, TAP_E_RANGE, "blacklist, denylist and tariff can be asked for", false);
}

/* False: the connection must go. */
static bool on_frame(struct conn *c, const struct frame *f)
{
	uint8_t pong[FRAME_HEAD_BYTES + 1];

	if (!c->greeted && f->type != FRAME_HELLO) {
		send_refuse(c, 0, TAP_E_FRAME, "hello comes first", false);
		return false;
	}
	switch (f->type) {
	case FRAME_HELLO: return on_hello(c, f);
	case FRAME_GET: on_get(c, f); return true;
	case FRAME_CERTIFY: on_certify(c, f); return true;
	case FRAME_ASK: return ask_arrived(c, f);
	case FRAME_PING:
		frame_head(FRAME_PONG, 1, pong);
		pong[FRAME_HEAD_BYTES] = 0x90;
		bufferevent_write(c->bev, pong, sizeof(pong));
		return true;
	default:
		send_refuse(c, 0, TAP_E_FRAME, "a validator does not send this frame", false);
		return false;
	}
}

/* Refusal first, then close: what is written is flushed before the connection goes. */
static void on_flushed(struct bufferevent *bev, void *arg)
{
	(void)bev;
	conn_close(arg, NULL);
}

static void on_end(struct bufferevent *bev, short what, void *arg);

static void conn_close_after_flush(struct conn *c, const char *reason)
{
	log_event("connection-refused", "device=%s reason=\"%s\"", c->device[0] != '\0' ? c->device : "-", reason);
	bufferevent_disable(c->bev, EV_READ);
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
		conn_close(c, NULL);
	else
		bufferevent_setcb(c->bev, NULL, on_flushed, on_end, c);
}

/* The bytes of the frame that begins in: 0 it is not whole yet, negative no frame. */
static ssize_t frame_whole(struct evbuffer *in, uint8_t head[FRAME_HEAD_BYTES])
{
	size_t n = evbuffer_get_length(in), whole, used;
	struct frame frame;
	int ret;

	if (n < FRAME_HEAD_BYTES)
		return 0;
	evbuffer_copyout(in, head, FRAME_HEAD_BYTES);
	ret = frame_next(head, FRAME_HEAD_BYTES, &frame, &used);
	if (ret < 0)
		return ret;
	whole = 4 + ((size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]);
	return n >= whole ? (ssize_t)whole : 0;
}

/* A whole frame of so many bytes. False: the connection must go. */
static bool frame_take(struct conn *c, struct evbuffer *in, const uint8_t head[FRAME_HEAD_BYTES], size_t whole)
{
	struct frame frame;
	size_t used;
	bool go;

	if (c->greeted && head[4] == FRAME_BATCH) {
		evbuffer_drain(in, FRAME_HEAD_BYTES);
		batch_arrived(c, in, whole - FRAME_HEAD_BYTES);
		return true;
	}
	if (frame_next(evbuffer_pullup(in, (ev_ssize_t)whole), whole, &frame, &used) != 1)
		return false;
	go = on_frame(c, &frame);
	if (go)
		evbuffer_drain(in, used);
	return go;
}

/* What TLS has read ahead, which the socket will not tell of again: libevent takes one record at a time. An end or an error
 * of the connection libevent finds too. False: there was nothing. */
static bool pending_take(struct conn *c, struct evbuffer *in)
{
	SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
	struct evbuffer_iovec space;
	bool any = false;
	int n = 1;

	while (n > 0 && SSL_has_pending(ssl) && evbuffer_get_length(in) < INPUT_BYTES_MAX) {
		if (evbuffer_reserve_space(in, SSL3_RT_MAX_PLAIN_LENGTH, &space, 1) != 1)
			return any;
		ERR_clear_error();
		n = SSL_read(ssl, space.iov_base, SSL3_RT_MAX_PLAIN_LENGTH);
		space.iov_len = n > 0 ? (size_t)n : 0;
		any = any || n > 0;
		if (n > 0)
			evbuffer_commit_space(in, &space, 1);
	}
	return any;
}

/* While a batch is with the writer what follows waits, here up to a frame, beyond it at the sender. */
void conn_read(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	uint8_t head[FRAME_HEAD_BYTES];
	ssize_t whole;

	do {
		while (c->item == NULL && (whole = frame_whole(in, head)) != 0) {
			if (whole < 0) {
				send_refuse(c, 0, TAP_E_FRAME, tap_strerror(TAP_E_FRAME), false);
				conn_close_after_flush(c, "impossible frame");
				return;
			}
			deadline_set(c, c->front->daemon->conf.idle_s);
			if (!frame_take(c, in, head, (size_t)whole)) {
				conn_close_after_flush(c, "frame refused");
				return;
			}
		}
	} while (pending_take(c, in));
}

static void on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	conn_read(arg);
}

/* The device is who the certificate says, and the register agrees. NULL: it may go on. */
static const char *device_refused(struct conn *c, SSL *ssl)
{
	struct device_id id;
	const char *why = device_of_certificate(SSL_get0_peer_certificate(ssl), &id);

	if (why != NULL)
		return why;
	memcpy(c->device, id.name, sizeof(c->device));
	why = trust_refuses_new(c->front->trust, ssl, clock_ms());
	return why != NULL ? why : front_binding_check(c->front->daemon, &id);
}

static void on_end(struct bufferevent *bev, short what, void *arg)
{
	struct conn *c = arg;
	const char *why;
	unsigned long code;

	if ((what & BEV_EVENT_CONNECTED) != 0) {
		why = device_refused(c, bufferevent_openssl_get_ssl(bev));
		stage_count(&c->front->counts.handshakes, 1);
		if (why != NULL)
			conn_close(c, why);
		else
			conn_read(c);	/* the hello may have come with the end of the handshake */
		return;
	}
	code = bufferevent_get_openssl_error(bev);
	if (code != 0 && ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
		conn_close(c, ERR_reason_error_string(code) != NULL ? ERR_reason_error_string(code) : "TLS error");
	else
		conn_close(c, NULL);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int bytes, void *arg)
{
	struct front *f = arg;
	struct conn *c;
	SSL *ssl;
	int one = 1;

	(void)listener;
	(void)address;
	(void)bytes;
	ERR_clear_error();
	if (f->count * (size_t)f->daemon->conf.threads >= (size_t)f->daemon->conf.connections_max) {
		close(fd);
		return;
	}
	c = calloc(1, sizeof(*c));
	ssl = c != NULL ? SSL_new(trust_tls(f->trust)) : NULL;
	if (ssl != NULL)
		c->bev = bufferevent_openssl_socket_new(f->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (ssl == NULL || c->bev == NULL) {
		SSL_free(ssl);
		free(c);
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->front = f;
	c->deadline = evtimer_new(f->base, on_deadline, c);
	c->next = f->conns;
	if (c->next != NULL)
		c->next->prev = c;
	f->conns = c;
	stage_count(&f->count, 1);
	bufferevent_setcb(c->bev, on_read, NULL, on_end, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, INPUT_BYTES_MAX);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	deadline_set(c, f->daemon->conf.handshake_s);
}

/* Out of descriptors: give the reserve one to the next in the backlog so that it is closed and not left
 * hanging, then pause accepting instead of spinning. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct front *f = arg;
	struct timeval pause = { .tv_usec = ACCEPT_PAUSE_MS * 1000 };

	if (f->reserve_fd >= 0) {
		close(f->reserve_fd);
		f->reserve_fd = accept(evconnlistener_get_fd(listener), NULL, NULL);
		if (f->reserve_fd >= 0)
			close(f->reserve_fd);
		f->reserve_fd = dup(STDERR_FILENO);
	}
	evconnlistener_disable(listener);
	event_add(f->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct front *f = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(f->listener);
}

/* ---- sweep: what changed since the handshake ------------------------------------------------------------ */

/* NULL: nothing is known against it. A binding the register no longer bears ends the connection too. */
static const char *conn_refused(struct conn *c, int64_t now_ms, bool authorities)
{
	X509 *cert = SSL_get0_peer_certificate(bufferevent_openssl_get_ssl(c->bev));
	const char *why = trust_refuses_live(c->front->trust, cert, now_ms, authorities);
	struct device_id id;

	return why != NULL || device_of_certificate(cert, &id) != NULL ? why : front_binding_check(c->front->daemon, &id);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct front *f = arg;
	struct conn *next;
	bool authorities;
	const char *why;

	(void)fd;
	(void)what;
	trust_refresh(f->trust, clock_ms(), &authorities);
	for (struct conn *c = f->conns; c != NULL; c = next) {
		next = c->next;
		why = c->device[0] != '\0' ? conn_refused(c, clock_ms(), authorities) : NULL;
		if (why != NULL)
			conn_close(c, why);
	}
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

static int listen_on(struct front *f)
{
	const struct conf *conf = &f->daemon->conf;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)conf->listen_port) };

	if (inet_pton(AF_INET, conf->listen_host, &a.sin_addr) != 1)
		return -EINVAL;
	f->listener = evconnlistener_new_bind(f->base, on_accept, f, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE | LEV_OPT_REUSEABLE_PORT, 4096,
					      (struct sockaddr *)&a, sizeof(a));
	if (f->listener == NULL)
		return -errno;
	evconnlistener_set_error_cb(f->listener, on_accept_error);
	return 0;
}

static void *front_main(void *arg)
{
	struct front *f = arg;

	pthread_setname_np(pthread_self(), "front");
	event_base_dispatch(f->base);
	while (f->conns != NULL)
		conn_close(f->conns, NULL);
	return NULL;
}

static void front_free(struct front *f)
{
	if (f == NULL)
		return;
	if (f->listener != NULL)
		evconnlistener_free(f->listener);
	if (f->wake != NULL)
		event_free(f->wake);
	if (f->resume != NULL)
		event_free(f->resume);
	if (f->sweep != NULL)
		event_free(f->sweep);
	if (f->base != NULL)
		event_base_free(f->base);
	if (f->wake_fd >= 0)
		close(f->wake_fd);
	if (f->reserve_fd >= 0)
		close(f->reserve_fd);
	items_free(f);
	trust_close(f->trust);
	verifier_free(f->verifier);
	free(f);
}

static int front_open(struct daemon *d, bool first, struct front **ret)
{
	struct front *f = calloc(1, sizeof(*f));
	struct timeval pause = { .tv_sec = d->conf.crl_sweep_s };
	int code = 0;

	if (f == NULL)
		return -ENOMEM;
	f->daemon = d;
	pthread_mutex_init(&f->lock, NULL);
	f->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	f->reserve_fd = dup(STDERR_FILENO);
	f->base = event_base_new();
	if (f->wake_fd < 0 || f->base == NULL)
		code = -EINVAL;
	if (code == 0)
		code = trust_open(d, first, &f->trust);
	if (code == 0)
		code = verifier_new(d, &f->verifier);
	if (code == 0) {
		f->wake = event_new(f->base, f->wake_fd, EV_READ | EV_PERSIST, batches_answered, f);
		f->resume = evtimer_new(f->base, on_resume, f);
		f->sweep = event_new(f->base, -1, EV_PERSIST, on_sweep, f);
		event_add(f->wake, NULL);
		event_add(f->sweep, &pause);
		code = listen_on(f);
	}
	if (code != 0) {
		front_free(f);
		return code;
	}
	*ret = f;
	return 0;
}

int fronts_start(struct daemon *d)
{
	int ret = 0;

	for (int64_t i = 0; ret == 0 && i < d->conf.threads; i++) {
		ret = front_open(d, i == 0, &d->front[i]);
		if (ret == 0 && i == 0)
			log_event("verify-paths", "tac_3des=%s tac_sm4=%s", verifier_path(d->front[0]->verifier, KEY_ALG_3DES),
				  verifier_path(d->front[0]->verifier, KEY_ALG_SM4));
		if (ret == 0)
			ret = -pthread_create(&d->front[i]->thread, NULL, front_main, d->front[i]);
	}
	return ret;
}

void fronts_stop(struct daemon *d)
{
	uint64_t one = 1;

	for (int i = 0; i < THREADS_MAX; i++) {
		struct front *f = d->front[i];

		if (f == NULL)
			continue;
		__atomic_store_n(&f->stopping, true, __ATOMIC_RELAXED);
		if (write(f->wake_fd, &one, sizeof(one)) == sizeof(one))
			pthread_join(f->thread, NULL);
		front_free(f);
		d->front[i] = NULL;
	}
}

void fronts_wake(struct daemon *d)
{
	uint64_t one = 1;

	for (int i = 0; i < THREADS_MAX; i++)
		if (d->front[i] != NULL && write(d->front[i]->wake_fd, &one, sizeof(one)) < 0)
			return;		/* the counter is full: the front is awake anyway */
}

uint64_t fronts_connections(const struct daemon *d)
{
	uint64_t n = 0;

	for (int i = 0; i < THREADS_MAX; i++)
		n += d->front[i] != NULL ? stage_read(&d->front[i]->count) : 0;
	return n;
}

void fronts_counts(const struct daemon *d, struct front_counts *ret)
{
	*ret = (struct front_counts){ 0 };
	for (int i = 0; i < THREADS_MAX; i++) {
		const struct front_counts *c = d->front[i] != NULL ? &d->front[i]->counts : NULL;

		if (c == NULL)
			continue;
		for (int k = 0; k < STAGE_COUNT; k++)
			ret->stages.ns[k] += stage_read(&c->stages.ns[k]);
		ret->stages.batches += stage_read(&c->stages.batches);
		ret->stages.taps += stage_read(&c->stages.taps);
		ret->busy += stage_read(&c->busy);
		ret->handshakes += stage_read(&c->handshakes);
	}
}

uint64_t front_cpu_ns(const struct daemon *d, size_t i) { return thread_cpu_ns(d->front[i]->thread); }
