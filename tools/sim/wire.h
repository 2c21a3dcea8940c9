/*
 * wire - one TLS connection of a load generator: what is sent goes out in one call of the system a frame, what comes is
 * taken in one call, and the buffers are shared by all connections, so that ten thousand of them stay in the cache.
 */
#ifndef TOOLS_SIM_WIRE_H
#define TOOLS_SIM_WIRE_H

#include <netinet/in.h>

#include <openssl/ssl.h>

#include "validator/validator.h"

struct wire;
struct wire_host { /* what all of them share */
	SSL_CTX *tls;
	BIO_METHOD *method;
	int epoll;
	struct sockaddr_storage address;
	int address_bytes;
	/* the handshake is over; a frame came, borrowed. False: the connection is no good any more */
	bool (*ready)(struct wire *w);
	bool (*frame)(struct wire *w, const struct frame *f);
	const uint8_t *in; /* came and waits for TLS */
	size_t in_bytes;
	size_t out_bytes;
	uint8_t raw[64 * 1024], plain[FRAME_BYTES_MAX], out[FRAME_BYTES_MAX + 64 * 1024];
};
/* ADDRESS:PORT and the city's authority. 0, -EINVAL (complained), -ENOMEM. */
int wire_host_open(struct wire_host *h, const char *address, const char *ca);
void wire_host_close(struct wire_host *h);

struct wire {
	struct wire_host *host;
	SSL *ssl;
	int fd;
	bool shaken, writing;
	uint8_t *left, *part; /* not sent yet; of a frame that is not whole */
	size_t left_bytes, part_bytes;
};
/* Connects; pem has certificate and key. False: it cannot. */
bool wire_open(struct wire_host *h, struct wire *w, const char *pem);
void wire_close(struct wire *w); /* closed already is fine */
/* What epoll said of it, whose data is the wire. False: gone. */
bool wire_event(struct wire *w, uint32_t events);
/* A whole frame. False: gone. */
bool wire_send(struct wire *w, const uint8_t *p, size_t n);

#endif
