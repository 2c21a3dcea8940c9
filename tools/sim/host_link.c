/*
 * host_link - the host's side of the wire: TLS 1.3 with the terminal's certificate, frames with a deadline, and the two
 * servers a terminal must not speak to: one of another authority, one with TLS 1.2.
 */
#include "tools/sim/host.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#define TURN_MS 50
#define HANDSHAKE_MS 20000
#define SPEAK_MS 5000		/* a terminal that trusts anyone speaks within that; one that does not hangs up at once */

int64_t host_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t host_clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- contexts ------------------------------------------------------------------------------------------------ */

static SSL_CTX *tls_own(const struct host *h, int version)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	if (tls != NULL && SSL_CTX_set_min_proto_version(tls, version) == 1 && SSL_CTX_set_max_proto_version(tls, version) == 1 &&
	    SSL_CTX_use_certificate_chain_file(tls, h->cert) == 1 && SSL_CTX_use_PrivateKey_file(tls, h->key, SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_load_verify_locations(tls, h->client_ca, NULL) == 1) {
		SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		SSL_CTX_set_num_tickets(tls, 0);
		return tls;
	}
	SSL_CTX_free(tls);
	return NULL;
}

static bool name_copy(X509 *to, X509 *from)
{
	STACK_OF(GENERAL_NAME) *names = X509_get_ext_d2i(from, NID_subject_alt_name, NULL, NULL);
	bool ok = X509_set_subject_name(to, X509_get_subject_name(from)) == 1 && X509_set_issuer_name(to, X509_get_subject_name(from)) == 1;

	if (ok && names != NULL)
		ok = X509_add1_ext_i2d(to, NID_subject_alt_name, names, 0, 0) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

/* The host's own names in a certificate nobody signed. */
static SSL_CTX *tls_impostor(const struct host *h)
{
	X509 *real = SSL_CTX_get0_certificate(h->tls), *x = X509_new();
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	bool ok = real != NULL && x != NULL && tls != NULL && key != NULL;

	ok = ok && X509_set_version(x, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 && name_copy(x, real) &&
	     X509_gmtime_adj(X509_getm_notBefore(x), -86400) != NULL && X509_gmtime_adj(X509_getm_notAfter(x), 86400) != NULL &&
	     X509_set_pubkey(x, key) == 1 && X509_sign(x, key, EVP_sha256()) > 0;
	ok = ok && SSL_CTX_use_certificate(tls, x) == 1 && SSL_CTX_use_PrivateKey(tls, key) == 1;
	X509_free(x);
	EVP_PKEY_free(key);
	if (ok)
		return tls;
	SSL_CTX_free(tls);
	return NULL;
}

static int listen_open(const char *host_port)
{
	const char *colon = strrchr(host_port, ':');
	struct sockaddr_in a = { .sin_family = AF_INET };
	char host[64];
	int fd, on = 1;

	if (colon == NULL || (size_t)(colon - host_port) >= sizeof(host))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - host_port), host_port);
	a.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		return -EINVAL;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 4) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -errno;
}

int host_link_start(struct host *h)
{
	h->fd = -1;
	h->tls = tls_own(h, TLS1_3_VERSION);
	if (h->tls == NULL) {
		complain("sim host: %s, %s, %s: certificate, key or authority cannot be used", h->cert, h->key, h->client_ca);
		return EXIT_CONFIG;
	}
	h->old_tls = tls_own(h, TLS1_2_VERSION);
	h->impostor = tls_impostor(h);
	if (h->old_tls == NULL || h->impostor == NULL)
		return EXIT_CONFIG;
	h->listen_fd = listen_open(h->listen);
	if (h->listen_fd < 0) {
		complain("sim host: %s: cannot listen: %s; ADDRESS:PORT is needed", h->listen, strerror(-h->listen_fd));
		return EXIT_UNREACHABLE;
	}
	return 0;
}

void host_link_stop(struct host *h)
{
	host_link_close(h);
	if (h->listen_fd >= 0)
		close(h->listen_fd);
	SSL_CTX_free(h->tls);
	SSL_CTX_free(h->old_tls);
	SSL_CTX_free(h->impostor);
}

void host_link_close(struct host *h)
{
	SSL_free(h->ssl);
	if (h->fd >= 0)
		close(h->fd);
	h->ssl = NULL;
	h->fd = -1;
	h->pending = false;
	h->got = h->used = 0;
}

/* ---- connections --------------------------------------------------------------------------------------------- */

static int socket_accept(struct host *h, int64_t until_ms)
{
	struct pollfd p = { .fd = h->listen_fd, .events = POLLIN };
	struct timeval turn = { .tv_usec = TURN_MS * 1000 };
	int64_t left;
	int one = 1, fd;

	while ((left = until_ms - host_now_ms()) > 0)
		if (poll(&p, 1, (int)left) == 1) {
			fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC);
			if (fd < 0)
				continue;
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &turn, sizeof(turn));
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			return fd;
		}
	return -1;
}

/* TLS on an accepted socket. */
static bool tls_accept(struct host *h, SSL_CTX *tls, int fd)
{
	int64_t until = host_now_ms() + HANDSHAKE_MS;
	int ret = -1;

	h->fd = fd;
	h->ssl = SSL_new(tls);
	if (h->ssl == NULL || SSL_set_fd(h->ssl, fd) != 1)
		return false;
	while (host_now_ms() < until) {
		ERR_clear_error();		/* an old error would be taken for this call's */
		ret = SSL_accept(h->ssl);
		if (ret == 1 || SSL_get_error(h->ssl, ret) != SSL_ERROR_WANT_READ)
			break;
	}
	return ret == 1;
}

enum host_came host_link_frame(struct host *h, struct frame *ret, int64_t until_ms)
{
	if (h->ssl == NULL)
		return CAME_END;
	memmove(h->in, h->in + h->used, h->got - h->used);
	h->got -= h->used;
	h->used = 0;
	for (;;) {
		int n, whole = frame_next(h->in, h->got, ret, &h->used);

		if (whole == 1)
			return CAME_FRAME;
		if (whole < 0) {
			host_fault(h, HOST_TURN, "bytes that are no frame");
			host_link_close(h);
			return CAME_END;
		}
		ERR_clear_error();
		n = SSL_read(h->ssl, h->in + h->got, (int)(sizeof(h->in) - h->got));
		if (n > 0) {
			h->got += (size_t)n;
			continue;
		}
		if (SSL_get_error(h->ssl, n) != SSL_ERROR_WANT_READ) {
			host_link_close(h);
			return CAME_END;
		}
		if (host_now_ms() >= until_ms)
			return CAME_NOTHING;
	}
}

void host_link_send(struct host *h, const uint8_t *p, size_t n)
{
	if (h->ssl != NULL && n > 0)
		SSL_write(h->ssl, p, (int)n);
}

int host_link_later(struct host *h, int n)
{
	static const uint8_t more[] = { 0x92, 0x01, 0xA3, 'n', 'e', 'w', 0xC0 };

	h->out[FRAME_HEAD_BYTES] += 2;		/* a short array: its length is in the low bits */
	memcpy(h->out + n, more, sizeof(more));
	frame_head(h->out[4], (uint32_t)n - FRAME_HEAD_BYTES + (uint32_t)sizeof(more), h->out);
	return n + (int)sizeof(more);
}

static void peer_note(struct host *h)
{
	X509 *x = SSL_get1_peer_certificate(h->ssl);
	unsigned bytes = 0;

	if (x == NULL)
		return;
	X509_digest(x, EVP_sha256(), h->peer, &bytes);
	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, h->common_name, sizeof(h->common_name));
	X509_free(x);
}

/* False: this is no hello to be welcomed. */
static bool hello_judge(struct host *h, const struct frame *f)
{
	static const uint8_t nothing[6];
	struct hello m;

	if (f->type != FRAME_HELLO || hello_decode(f, &m) != 0) {
		host_fault(h, HOST_HELLO, "the first frame of a connection is no hello, or one that cannot be read");
		return false;
	}
	if (m.protocol != 1)
		host_fault(h, HOST_HELLO, "protocol %u; 1 is spoken here", m.protocol);
	else if (strcmp(m.device, h->common_name) != 0)
		host_fault(h, HOST_HELLO, "device %s is not the common name of the certificate, %s", m.device, h->common_name);
	else if (memcmp(m.terminal, nothing, sizeof(nothing)) == 0)
		host_fault(h, HOST_HELLO, "no terminal number");
	else if (m.software[0] == '\0')
		host_fault(h, HOST_HELLO, "software has no name and version");
	else
		host_seen_good(h, HOST_HELLO);
	m.clock_ms -= host_clock_ms();		/* from here on: how far the terminal's own clock is from ours */
	if (!h->greeted)
		h->skew_ms = m.clock_ms + HOST_SKEW_MS;
	h->hello = m;
	return true;
}

static bool greet(struct host *h)
{
	struct welcome w = { .protocol = 1, .batch_taps_max = HOST_BATCH_TAPS, .list_version = h->blacklist.version, .tariff_version = h->tariff.version };
	struct frame f;
	int n;

	peer_note(h);
	if (host_link_frame(h, &f, host_now_ms() + HANDSHAKE_MS) != CAME_FRAME || !hello_judge(h, &f))
		return false;
	w.clock_ms = host_clock_ms() + h->skew_ms;
	n = welcome_encode(&w, h->out, sizeof(h->out));
	if (n > 0 && h->later)
		n = host_link_later(h, n);
	if (n <= 0)
		return false;
	host_link_send(h, h->out, (size_t)n);
	if (!h->greeted)
		h->welcomed_ms = host_clock_ms();
	h->greeted = true;
	return true;
}

int host_link_open(struct host *h, int64_t until_ms)
{
	while (h->ssl == NULL) {
		int fd = socket_accept(h, until_ms);

		if (fd < 0)
			return 0;
		h->conn++;
		if (!tls_accept(h, h->tls, fd) || !greet(h))
			host_link_close(h);
	}
	return 1;
}

int64_t host_link_drop(struct host *h, int64_t until_ms)
{
	int fd;

	host_link_close(h);
	fd = socket_accept(h, until_ms);
	if (fd < 0)
		return 0;
	close(fd);
	return host_now_ms();
}

int host_link_tempt(struct host *h, SSL_CTX *other, int64_t until_ms)
{
	struct frame f;
	int fd, spoke = 0;

	host_link_close(h);
	fd = socket_accept(h, until_ms);
	if (fd < 0)
		return -1;
	h->conn++;
	/* The server's handshake may be done before the terminal has looked at the certificate: only bytes of it count. */
	if (tls_accept(h, other, fd) && host_link_frame(h, &f, host_now_ms() + SPEAK_MS) == CAME_FRAME)
		spoke = 1;
	host_link_close(h);
	return spoke;
}
