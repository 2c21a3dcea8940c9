/*
 * agent_link - the connection to clearingd: TLS 1.3 with the device's certificate, the uplink's conversation
 * over it, reconnects with growing pauses, and the download of lists. A tap leaves the spool in one place
 * only, on_receipt; whatever else happens here, it is sent again.
 */
#include "validator/agent_bank.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#define TICK_MS 200
#define BACK_OFF_MS_FIRST 1000		/* docs/protocol.md */
#define REFUSED_PAUSE_MS 60000		/* a batch refused for good: kept, and tried again at this pace */
#define PING_AFTER_MS 60000		/* clearingd closes after 300 s without a frame */

struct download { const char *what; bool active; uint32_t version; size_t at, total; uint8_t *p; };
struct agent_link {
	struct agent *agent;
	SSL_CTX *tls, *tls_next;	/* with the pair in use; with a new one that the daemon has not welcomed yet */
	bool next_on, next_met;		/* this connection is the new pair's; and the daemon has seen it, without a welcome so far */
	struct uplink *uplink;
	struct bufferevent *bev;
	struct event *tick;
	struct batch batch;
	uint8_t bytes[BATCH_BYTES_MAX];
	uint32_t taps_max;
	int64_t connect_at_ms, send_at_ms, heard_ms;	/* steady clock */
	int64_t back_off_ms;
	bool broken;			/* said in a callback: hang up when it is safe */
	struct download list, tariff, deny, certificate;
	bool renewals;			/* the daemon takes requests for certificates */
	bool welcomed, tried, asks;	/* by the daemon, on this connection; one was lost or failed; it answers questions about codes */
	uint32_t asking;		/* number of the question that waits */
	bool answered;
	struct kerb_said said;
	int64_t renew_at_ms;		/* steady clock: look at the certificate again */
	uint64_t jitter;
};

static void end(struct agent_link *l, int result)
{
	l->agent->result = result;
	l->agent->ended = true;
	event_base_loopbreak(l->agent->base);
}

/* ---- certificates ----------------------------------------------------------------------------------- */

static SSL_CTX *tls_new(const struct agent_conf *c, const char *cert, const char *key)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (tls == NULL)
		return NULL;
	SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_use_certificate_chain_file(tls, cert) == 1 && SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_check_private_key(tls) == 1 && SSL_CTX_load_verify_locations(tls, c->tls_ca, NULL) == 1)
		return tls;
	agent_log("tls-files", "cert=%s key=%s ca=%s reason=\"%s\"", cert, key, c->tls_ca,
		  ERR_reason_error_string(ERR_peek_last_error()));
	SSL_CTX_free(tls);
	return NULL;
}

/* A new pair is tried at the next connection. */
static void next_open(struct agent_link *l)
{
	char cert[PATH_MAX], key[PATH_MAX];

	if (l->tls_next == NULL && agent_next_ready(&l->agent->conf, cert, key))
		l->tls_next = tls_new(&l->agent->conf, cert, key);
}

/* ---- downloads ------------------------------------------------------------------------------------- */

static void download_reset(struct download *d)
{
	free(d->p);
	d->p = NULL;
	d->active = false;
	d->at = d->total = 0;
}

static void download_start(struct agent_link *l, struct download *d, uint32_t version)
{
	download_reset(d);
	d->active = true;
	d->version = version;
	uplink_ask(l->uplink, d->what, version, 0);
}

/* Nothing yet, or the next certificate: it is tried once the line is quiet. */
static void certificate_end(struct agent_link *l, struct download *d)
{
	char *text = malloc(d->total + 1);
	const char *why;

	if (text != NULL && d->total > 0) {
		memcpy(text, d->p, d->total);
		text[d->total] = '\0';
		why = agent_certificate_take(&l->agent->conf, text);
		agent_log("certificate", "version=%u %s%s%s", d->version, why == NULL ? "taken=1" : "reason=\"", why == NULL ? "" : why, why == NULL ? "" : "\"");
		next_open(l);
	}
	free(text);
	download_reset(d);
}

static void download_end(struct agent_link *l, struct download *d)
{
	struct agent *a = l->agent;
	int ret;

	if (d == &l->certificate) {
		certificate_end(l, d);
		return;
	}
	ret = d == &l->list ? agent_list_take(&a->conf, &a->lists, d->version, d->p, d->total)
		: d == &l->deny ? agent_bank_take(a, d->version, d->p, d->total)
				: agent_tariff_take(&a->conf, &a->lists, d->p, d->total);

	agent_log("list-taken", "what=%s version=%u bytes=%zu code=%d", d->what, d->version, d->total, ret);
	download_reset(d);
}

/* The first part of a version fixes its size; a part that does not fit the ones before is a fault. */
static bool part_fits(struct download *d, const struct part *m)
{
	if (m->offset != d->at || m->total > AGENT_FILE_BYTES_MAX || m->n > m->total - d->at || (m->n == 0 && m->total > d->at))
		return false;
	if (d->at == 0 && d->p == NULL) {
		d->p = malloc((size_t)m->total + 1);
		d->total = m->total;
	}
	return d->p != NULL && m->total == d->total;
}

static void on_part(void *arg, const struct part *m)
{
	struct agent_link *l = arg;
	struct download *d = strcmp(m->what, l->list.what) == 0 ? &l->list : strcmp(m->what, l->tariff.what) == 0 ? &l->tariff
			   : strcmp(m->what, l->deny.what) == 0 ? &l->deny : &l->certificate;

	if (!d->active || strcmp(m->what, d->what) != 0)
		return;
	if (m->version != d->version) {
		download_start(l, d, m->version);	/* replaced while we were reading it */
		return;
	}
	if (!part_fits(d, m)) {
		l->broken = true;
		return;
	}
	memcpy(d->p + d->at, m->p, m->n);
	d->at += m->n;
	if (d->at == d->total)
		download_end(l, d);
	else
		uplink_ask(l->uplink, d->what, d->version, (uint32_t)d->at);
}

/* ---- what the uplink asks and tells ------------------------------------------------------------------ */

static int on_next(void *arg, const uint8_t **ret_p, size_t *ret_n, uint32_t *ret_file_serial)
{
	struct agent_link *l = arg;
	int n = l->broken ? 0 : spool_next(l->agent->spool, l->taps_max, &l->batch);

	if (n == 1) {
		memcpy(l->batch.device, l->agent->conf.device, sizeof(l->batch.device));
		n = batch_encode(&l->batch, l->bytes, sizeof(l->bytes));
	}
	if (n < 0) {
		agent_log("spool", "code=%d reason=\"%s\"", n, tap_strerror(n) != NULL ? tap_strerror(n) : strerror(-n));
		end(l, 4);
	}
	if (n <= 0)
		return 0;
	*ret_p = l->bytes;
	*ret_n = (size_t)n;
	*ret_file_serial = l->batch.file_serial;
	return 1;
}

static void next_welcome(struct agent_link *l)
{
	agent_next_commit(&l->agent->conf);
	SSL_CTX_free(l->tls);
	l->tls = l->tls_next;
	l->tls_next = NULL;
	l->next_on = l->next_met = false;
}

/* Now and then: is the certificate's end near? The request is answered with the certificate as soon as there is one. */
static void renewal_look(struct agent_link *l)
{
	const struct agent_conf *c = &l->agent->conf;
	char *request = NULL;

	if (!l->renewals || c->renew_days == 0 || l->tls_next != NULL || l->certificate.active || agent_steady_ms() < l->renew_at_ms)
		return;
	l->renew_at_ms = agent_steady_ms() + c->renew_check_s * 1000;
	if (agent_certificate_end(c) - agent_clock_ms() > c->renew_days * 86400000 || agent_renewal(c, &request) != 0)
		return;
	if (uplink_certify(l->uplink, request) == 0) {
		download_reset(&l->certificate);
		l->certificate.active = true;
		l->certificate.version = 0;
		agent_log("renewal-asked", "device=%s", c->device);
	}
	free(request);
}

static void on_welcome(void *arg, const struct welcome *m)
{
	struct agent_link *l = arg;
	struct agent *a = l->agent;
	uint32_t tariff = a->lists.tariff != NULL ? tariff_version(a->lists.tariff) : 0;

	if (l->next_on)
		next_welcome(l);
	a->offset_ms = m->clock_ms - agent_clock_ms();
	l->taps_max = m->batch_taps_max != 0 && m->batch_taps_max < a->conf.batch_taps ? m->batch_taps_max : (uint32_t)a->conf.batch_taps;
	l->back_off_ms = BACK_OFF_MS_FIRST;
	agent_log("connected", "host=%s port=%d offset_ms=%lld list=%u tariff=%u waiting=%llu", a->conf.host, (int)a->conf.port,
		  (long long)a->offset_ms, m->list_version, m->tariff_version, (unsigned long long)spool_waiting(a->spool));
	if (m->list_version != 0 && m->list_version != a->lists.list_version)
		download_start(l, &l->list, m->list_version);
	if (m->tariff_version != 0 && m->tariff_version != tariff)
		download_start(l, &l->tariff, m->tariff_version);
	if (a->bank != NULL && m->deny_version != 0 && m->deny_version != agent_bank_version(a->bank))
		download_start(l, &l->deny, m->deny_version);
	l->renewals = m->renewals;
	l->welcomed = true;
	l->asks = m->asks;
	if (m->certificate != 0 && l->tls_next == NULL && agent_next_waits(&a->conf))
		download_start(l, &l->certificate, m->certificate);
	else
		renewal_look(l);
}

static void on_receipt(void *arg, const struct receipt *m)
{
	struct agent_link *l = arg;
	int ret;

	if (m->count != l->batch.count) {
		agent_log("receipt-odd", "file_serial=%u taps=%u verdicts=%u", m->file_serial, l->batch.count, m->count);
		l->broken = true;	/* not about our batch: nothing is forgotten */
		return;
	}
	agent_bank_receipt(l->agent, &l->batch, m);
	ret = spool_release(l->agent->spool, m->file_serial);
	if (ret != 0) {
		agent_log("spool", "code=%d reason=\"a release failed; the taps are sent again\"", ret);
		end(l, 4);
		return;
	}
	agent_log("receipt", "file_serial=%u taps=%u accepted=%u pending=%u duplicate=%u refused=%u repeated=%d", m->file_serial,
		  m->count, m->accepted, m->pending, m->duplicate, m->refused, m->repeated);
}

static void on_refused(void *arg, const struct refuse *m)
{
	struct agent_link *l = arg;

	agent_log("refused", "file_serial=%u code=%d retry=%d reason=\"%s\"", m->file_serial, m->code, m->retry, m->text);
	if (m->file_serial == 0) {
		download_reset(&l->list);
		download_reset(&l->tariff);
		download_reset(&l->deny);
		download_reset(&l->certificate);
	}
	l->send_at_ms = agent_steady_ms() + (m->retry ? 1000 : REFUSED_PAUSE_MS);
	if (!m->retry && l->agent->once)
		end(l, 9);
}

static void on_busy(void *arg, uint32_t retry_ms)
{
	struct agent_link *l = arg;

	l->send_at_ms = agent_steady_ms() + (retry_ms < REFUSED_PAUSE_MS ? retry_ms : REFUSED_PAUSE_MS);
}

static void on_said(void *arg, const struct kerb_said *m)
{
	struct agent_link *l = arg;

	if (m->number != l->asking || l->answered)
		return;			/* of a question that nobody waits for any more */
	l->said = *m;
	l->answered = true;
	event_base_loopbreak(l->agent->base);
}

/* ---- the socket ------------------------------------------------------------------------------------------ */

/* The house may not trust the new pair yet: the one before goes on, and the new one is tried again at the next start. */
static void next_refused(struct agent_link *l, const char *reason)
{
	agent_log("certificate-not-welcome", "alarm=1 reason=\"%s\" note=\"the one before is used\"", reason);
	SSL_CTX_free(l->tls_next);
	l->tls_next = NULL;
	l->next_on = l->next_met = false;
}

/* Gone: come back after a pause that doubles, with a random part so that a fleet does not return at once. */
static void link_lost(struct agent_link *l, const char *reason)
{
	int64_t longest = l->agent->conf.back_off_s * 1000;

	if (l->next_met)
		next_refused(l, reason);
	if (l->bev != NULL)
		bufferevent_free(l->bev);
	l->bev = NULL;
	l->broken = l->welcomed = l->asks = false;
	l->tried = true;
	uplink_lost(l->uplink);
	download_reset(&l->list);
	download_reset(&l->tariff);
	download_reset(&l->deny);
	download_reset(&l->certificate);
	l->jitter = l->jitter * 6364136223846793005ULL + 1442695040888963407ULL;
	l->connect_at_ms = agent_steady_ms() + l->back_off_ms + (int64_t)(l->jitter >> 33) % (l->back_off_ms / 2 + 1);
	agent_log("disconnected", "reason=\"%s\" back_off_ms=%lld", reason, (long long)l->back_off_ms);
	l->back_off_ms = l->back_off_ms * 2 < longest ? l->back_off_ms * 2 : longest;
}

static void link_flush(struct agent_link *l)
{
	const uint8_t *p;
	size_t n = l->bev != NULL ? uplink_output(l->uplink, &p) : 0;

	if (n == 0)
		return;
	bufferevent_write(l->bev, p, n);
	uplink_sent(l->uplink, n);
}

static bool link_done(const struct agent_link *l)
{
	return l->agent->once && !l->agent->scanning && uplink_state(l->uplink) == UPLINK_IDLE && spool_waiting(l->agent->spool) == 0 && !l->list.active &&
	       !l->tariff.active && !l->deny.active && !l->certificate.active;
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct agent_link *l = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t n = evbuffer_get_length(in);
	const uint8_t *p = evbuffer_pullup(in, -1);
	int ret = p == NULL && n > 0 ? -ENOMEM : uplink_feed(l->uplink, p, n);

	l->heard_ms = agent_steady_ms();
	if (ret != 0 || l->broken) {
		link_lost(l, ret != 0 ? "an answer that is no frame of ours" : "an answer that fits no question");
		return;
	}
	evbuffer_drain(in, n);
	link_flush(l);
	if (link_done(l))
		end(l, 0);
}

static const char *tls_reason(struct bufferevent *bev)
{
	SSL *ssl = bufferevent_openssl_get_ssl(bev);
	unsigned long code = bufferevent_get_openssl_error(bev);
	long verify = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;

	if (verify != X509_V_OK)
		return X509_verify_cert_error_string(verify);
	if (code != 0 && ERR_reason_error_string(code) != NULL)
		return ERR_reason_error_string(code);
	return errno != 0 ? strerror(errno) : "closed by the daemon";
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct agent_link *l = arg;
	int one = 1;

	if ((what & BEV_EVENT_CONNECTED) == 0) {
		link_lost(l, (what & BEV_EVENT_EOF) != 0 ? "closed by the daemon" : tls_reason(bev));
		return;
	}
	l->next_met = l->next_on;
	setsockopt(bufferevent_getfd(bev), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	uplink_clock(l->uplink, agent_clock_ms());
	uplink_connected(l->uplink);
	link_flush(l);
}

static SSL *link_tls(const struct agent_link *l)
{
	const char *name = l->agent->conf.server_name;
	SSL *ssl = SSL_new(l->tls_next != NULL ? l->tls_next : l->tls);
	struct in_addr v4;
	bool ok;

	if (ssl == NULL)
		return NULL;
	if (inet_pton(AF_INET, name, &v4) == 1)
		ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	else
		ok = SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
	if (ok)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static void link_connect(struct agent_link *l)
{
	const struct agent_conf *c = &l->agent->conf;
	SSL *ssl = link_tls(l);

	ERR_clear_error();
	errno = 0;
	if (ssl != NULL)
		l->bev = bufferevent_openssl_socket_new(l->agent->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING,
							BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (l->bev == NULL) {
		SSL_free(ssl);
		link_lost(l, "out of memory");
		return;
	}
	bufferevent_setcb(l->bev, on_read, NULL, on_event, l);
	bufferevent_setwatermark(l->bev, EV_READ, 0, FRAME_BYTES_MAX + FRAME_HEAD_BYTES);
	bufferevent_enable(l->bev, EV_READ | EV_WRITE);
	l->next_on = l->tls_next != NULL;
	l->heard_ms = agent_steady_ms();
	if (bufferevent_socket_connect_hostname(l->bev, NULL, AF_UNSPEC, c->host, (int)c->port) != 0)
		link_lost(l, "the name or address leads nowhere");
}

/* Is an answer due that does not come? */
static bool link_stuck(const struct agent_link *l, int64_t now)
{
	enum uplink_state s = uplink_state(l->uplink);
	bool asking = s == UPLINK_NEW || s == UPLINK_HELLO || s == UPLINK_WAITING || l->list.active || l->tariff.active || l->deny.active || l->certificate.active;

	return asking && now - l->heard_ms > l->agent->conf.answer_s * 1000;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct agent_link *l = arg;
	int64_t now = agent_steady_ms();

	(void)fd;
	(void)what;
	if (l->bev == NULL) {
		if (now >= l->connect_at_ms)
			link_connect(l);
		return;
	}
	if (link_stuck(l, now)) {
		link_lost(l, "no answer in time");
		return;
	}
	if (now >= l->send_at_ms)
		uplink_retry(l->uplink);
	if (uplink_state(l->uplink) == UPLINK_IDLE && l->tls_next != NULL && !l->next_on) {
		link_lost(l, "the next certificate is tried");
		return;
	}
	if (uplink_state(l->uplink) == UPLINK_IDLE)
		renewal_look(l);
	if (uplink_state(l->uplink) == UPLINK_IDLE && now - l->heard_ms > PING_AFTER_MS) {
		uplink_ping(l->uplink);
		l->heard_ms = now;
	}
	link_flush(l);
	if (link_done(l))
		end(l, 0);
}

/* ---- while a rider stands there ------------------------------------------------------------------------------ */

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct agent_link *l = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(l->agent->base);
}

/* The loop goes on until something is there or the time is up. */
static void link_pump(struct agent_link *l, int64_t ms, bool (*there)(const struct agent_link *l))
{
	int64_t until = agent_steady_ms() + ms, left;
	struct event *deadline = evtimer_new(l->agent->base, on_deadline, l);

	while (deadline != NULL && !there(l) && !l->agent->ended && (left = until - agent_steady_ms()) > 0) {
		struct timeval tv = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };

		event_add(deadline, &tv);
		event_base_loop(l->agent->base, EVLOOP_ONCE);
	}
	if (deadline != NULL)
		event_free(deadline);
}

static bool is_settled(const struct agent_link *l) { return l->welcomed || l->tried; }
static bool is_answered(const struct agent_link *l) { return l->answered || !l->asks; }

void agent_link_wait(struct agent_link *l, int64_t ms) { link_pump(l, ms, is_settled); }

enum kerb_answer agent_link_ask(struct agent_link *l, const struct kerb_ask *m, char ret_reason[48])
{
	ret_reason[0] = '\0';
	if (l == NULL || !l->asks || uplink_kerb_ask(l->uplink, m) != 0)
		return KERB_NOT_REACHED;
	l->asking = m->number;
	l->answered = false;
	link_flush(l);
	link_pump(l, m->within_ms, is_answered);
	if (!l->answered)
		return KERB_NOT_REACHED;
	snprintf(ret_reason, 48, "%s", l->said.reason);
	return (enum kerb_answer)l->said.answer;
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static int link_uplink(struct agent_link *l)
{
	struct uplink_events on = { .next = on_next, .welcome = on_welcome, .receipt = on_receipt, .refused = on_refused,
				    .part = on_part, .busy = on_busy, .said = on_said, .arg = l };
	struct hello hello = { .protocol = 1, .software = "validatord" };

	memcpy(hello.device, l->agent->conf.device, sizeof(hello.device));
	memcpy(hello.terminal, l->agent->conf.terminal, sizeof(hello.terminal));
	return uplink_new(&hello, &on, &l->uplink);
}

int agent_link_new(struct agent *a, struct agent_link **ret_link)
{
	struct timeval every = { .tv_usec = TICK_MS * 1000 };
	struct agent_link *l = calloc(1, sizeof(*l));
	int ret = -ENOMEM;

	if (l == NULL)
		return ret;
	l->agent = a;
	l->list.what = "blacklist";
	l->tariff.what = "tariff";
	l->deny.what = "denylist";
	l->certificate.what = "certificate";
	l->taps_max = (uint32_t)a->conf.batch_taps;
	l->back_off_ms = BACK_OFF_MS_FIRST;
	for (const char *p = a->conf.device; *p != '\0'; p++)
		l->jitter = l->jitter * 131 + (uint8_t)*p;
	l->tick = event_new(a->base, -1, EV_PERSIST, on_tick, l);
	l->tls = tls_new(&a->conf, a->conf.tls_cert, a->conf.tls_key);
	next_open(l);
	if (l->tls == NULL)
		ret = -EINVAL;
	else if (l->tick != NULL && event_add(l->tick, &every) == 0)
		ret = link_uplink(l);
	if (ret != 0) {
		agent_link_free(l);
		return ret;
	}
	*ret_link = l;
	return 0;
}

void agent_link_free(struct agent_link *l)
{
	if (l == NULL)
		return;
	if (l->bev != NULL)
		bufferevent_free(l->bev);
	if (l->tick != NULL)
		event_free(l->tick);
	uplink_free(l->uplink);
	download_reset(&l->list);
	download_reset(&l->tariff);
	download_reset(&l->deny);
	download_reset(&l->certificate);
	SSL_CTX_free(l->tls);
	SSL_CTX_free(l->tls_next);
	free(l);
}
