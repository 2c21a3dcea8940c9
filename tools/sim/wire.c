#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/util.h>
#include <openssl/err.h>

#include "tools/tools.h"

/* ---- TLS over the shared buffers ------------------------------------------------------------------ */

static int on_read(BIO *bio, char *p, int n)
{
	struct wire_host *h = ((struct wire *)BIO_get_data(bio))->host;
	size_t take = h->in_bytes < (size_t)n ? h->in_bytes : (size_t)n;

	BIO_clear_retry_flags(bio);
	if (take == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(p, h->in, take);
	h->in += take;
	h->in_bytes -= take;
	return (int)take;
}

static int on_write(BIO *bio, const char *p, int n)
{
	struct wire_host *h = ((struct wire *)BIO_get_data(bio))->host;

	BIO_clear_retry_flags(bio);
	if ((size_t)n > sizeof(h->out) - h->out_bytes)
		return -1;
	memcpy(h->out + h->out_bytes, p, (size_t)n);
	h->out_bytes += (size_t)n;
	return n;
}

static long on_ctrl(BIO *bio, int what, long number, void *p)
{
	(void)bio;
	(void)number;
	(void)p;
	return what == BIO_CTRL_FLUSH;
}

int wire_host_open(struct wire_host *h, const char *address, const char *ca)
{
	h->address_bytes = sizeof(h->address);
	if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&h->address,
				       &h->address_bytes) != 0) {
		complain("sim validators: %s: not ADDRESS:PORT", address);
		return -EINVAL;
	}
	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	h->tls = SSL_CTX_new(TLS_client_method());
	h->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
	if (h->epoll < 0 || h->tls == NULL || h->method == NULL)
		return -ENOMEM;
	BIO_meth_set_read(h->method, on_read);
	BIO_meth_set_write(h->method, on_write);
	BIO_meth_set_ctrl(h->method, on_ctrl);
	SSL_CTX_set_min_proto_version(h->tls, TLS1_3_VERSION);
	SSL_CTX_set_verify(h->tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(h->tls, SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_load_verify_locations(h->tls, ca, NULL) == 1)
		return 0;
	complain("sim validators: %s: not a certificate authority", ca);
	return -EINVAL;
}

void wire_host_close(struct wire_host *h)
{
	SSL_CTX_free(h->tls);
	BIO_meth_free(h->method);
	if (h->epoll >= 0)
		close(h->epoll);
}

/* ---- the socket ----------------------------------------------------------------------------------- */

static void watch(struct wire *w, int how, bool writing)
{
	struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = w};

	epoll_ctl(w->host->epoll, how, w->fd, &e);
	w->writing = writing;
}

static bool tls_open(struct wire *w, const char *pem)
{
	BIO *bio;

	w->ssl = SSL_new(w->host->tls);
	bio = w->ssl != NULL ? BIO_new(w->host->method) : NULL;
	if (bio == NULL)
		return false;
	BIO_set_data(bio, w);
	BIO_set_init(bio, 1);
	SSL_set_bio(w->ssl, bio, bio);
	SSL_set_connect_state(w->ssl);
	if (SSL_use_certificate_file(w->ssl, pem, SSL_FILETYPE_PEM) == 1 &&
	    SSL_use_PrivateKey_file(w->ssl, pem, SSL_FILETYPE_PEM) == 1)
		return true;
	complain("sim validators: %s: no usable certificate and key", pem);
	return false;
}

bool wire_open(struct wire_host *h, struct wire *w, const char *pem)
{
	int one = 1;

	*w = (struct wire){.host = h};
	w->fd = socket(h->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->fd < 0 || !tls_open(w, pem)) {
		wire_close(w);
		return false;
	}
	setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(w->fd, (struct sockaddr *)&h->address, (socklen_t)h->address_bytes) != 0 &&
	    errno != EINPROGRESS) {
		wire_close(w);
		return false;
	}
	watch(w, EPOLL_CTL_ADD, true);
	return true;
}

void wire_close(struct wire *w)
{
	SSL_free(w->ssl);
	if (w->fd >= 0)
		close(w->fd);
	free(w->left);
	free(w->part);
	*w = (struct wire){.host = w->host, .fd = -1};
}

/* How many of so many bytes the system took; -1: the connection is gone. */
static ssize_t bytes_give(struct wire *w, const uint8_t *p, size_t n)
{
	ssize_t sent = send(w->fd, p, n, MSG_NOSIGNAL);

	return sent >= 0 ? sent : errno == EAGAIN ? 0 : -1;
}

static bool left_add(struct wire *w, const uint8_t *p, size_t n)
{
	uint8_t *wide = n > 0 ? realloc(w->left, w->left_bytes + n) : NULL;

	if (n == 0)
		return true;
	if (wide == NULL)
		return false;
	memcpy(wide + w->left_bytes, p, n);
	w->left = wide;
	w->left_bytes += n;
	if (!w->writing)
		watch(w, EPOLL_CTL_MOD, true);
	return true;
}

/* What TLS wrote. */
static bool out_flush(struct wire *w)
{
	struct wire_host *h = w->host;
	size_t n = h->out_bytes;
	ssize_t sent = n > 0 && w->left_bytes == 0 ? bytes_give(w, h->out, n) : 0;

	h->out_bytes = 0;
	return sent >= 0 && left_add(w, h->out + sent, n - (size_t)sent);
}

static bool left_flush(struct wire *w)
{
	ssize_t sent = w->left_bytes > 0 ? bytes_give(w, w->left, w->left_bytes) : 0;

	if (sent < 0)
		return false;
	w->left_bytes -= (size_t)sent;
	if (w->left_bytes > 0) {
		memmove(w->left, w->left + sent, w->left_bytes);
		return true;
	}
	free(w->left);
	w->left = NULL;
	watch(w, EPOLL_CTL_MOD, false);
	return true;
}

bool wire_send(struct wire *w, const uint8_t *p, size_t n)
{
	ERR_clear_error();
	return SSL_write(w->ssl, p, (int)n) == (int)n && out_flush(w);
}

/* ---- what comes ----------------------------------------------------------------------------------- */

/* Whole frames are told, the rest is kept. */
static bool frames_take(struct wire *w, const uint8_t *p, size_t n)
{
	struct frame f;
	size_t used, at = 0;
	uint8_t *wide;
	int ret = 0;

	while (at < n && (ret = frame_next(p + at, n - at, &f, &used)) == 1) {
		at += used;
		if (!w->host->frame(w, &f))
			return false;
	}
	if (ret < 0)
		return false;
	w->part_bytes = n - at;
	if (at == n)
		return true;
	wide = malloc(n - at);
	if (wide == NULL)
		return false;
	memcpy(wide, p + at, n - at);
	free(w->part);
	w->part = wide;
	return true;
}

static bool plain_take(struct wire *w)
{
	struct wire_host *h = w->host;
	size_t n = w->part_bytes;
	int more = 1;

	if (n > 0)
		memcpy(h->plain, w->part, n);
	while (n < sizeof(h->plain) &&
	       (more = SSL_read(w->ssl, h->plain + n, (int)(sizeof(h->plain) - n))) > 0)
		n += (size_t)more;
	if (more <= 0 && SSL_get_error(w->ssl, more) != SSL_ERROR_WANT_READ)
		return false;
	return h->in_bytes == 0 && frames_take(w, h->plain, n);
}

static bool shake(struct wire *w)
{
	int ret = SSL_do_handshake(w->ssl);

	if (!out_flush(w))
		return false;
	if (ret != 1)
		return SSL_get_error(w->ssl, ret) == SSL_ERROR_WANT_READ;
	w->shaken = true;
	return w->host->ready(w);
}

bool wire_event(struct wire *w, uint32_t events)
{
	struct wire_host *h = w->host;
	ssize_t n = 0;

	ERR_clear_error();
	h->in_bytes = 0;
	if ((events & EPOLLOUT) != 0 && !left_flush(w))
		return false;
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
		n = recv(w->fd, h->raw, sizeof(h->raw), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		h->in = h->raw;
		h->in_bytes = n > 0 ? (size_t)n : 0;
	}
	if (!w->shaken && !shake(w))
		return false;
	return !w->shaken || h->in_bytes == 0 || plain_take(w);
}
