/*
 * vicc - a software card for a virtual reader: the conversation of vsmartcard's vpcd over a socket. Messages are a
 * length of two bytes, big-endian, and that many bytes; a single byte is the reader's: 0 power off, 1 power on, 2
 * reset, 4 asks for the ATR; all else is an APDU.
 */
#include "validator/validator.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { VPCD_OFF = 0, VPCD_ON = 1, VPCD_RESET = 2, VPCD_ATR = 4 };

/* Contactless card as PC/SC part 3 shows one, T=1. */
static const uint8_t atr[] = { 0x3B, 0x80, 0x80, 0x01, 0x01 };

static int whole_read(int fd, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0 ? -EPIPE : -errno;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

static int message_write(int fd, const uint8_t *p, size_t n)
{
	uint8_t out[2 + 512];
	size_t at = 0;

	if (n > sizeof(out) - 2)
		return -EMSGSIZE;
	out[0] = (uint8_t)(n >> 8);
	out[1] = (uint8_t)n;
	memcpy(out + 2, p, n);
	for (n += 2; at < n;) {
		ssize_t put = write(fd, out + at, n - at);

		if (put < 0 && errno != EINTR)
			return -errno;
		at += put > 0 ? (size_t)put : 0;
	}
	return 0;
}

/* A length of the answer behind the data is the reader's business, not this card's. */
static int apdu_answer(int fd, struct reader *card, const uint8_t *apdu, size_t n)
{
	uint8_t ret[300];
	int got;

	if (n > 6 && n == 6u + apdu[4])
		n--;
	got = card->transmit(card, apdu, n, ret, sizeof(ret));
	return got < 0 ? got : message_write(fd, ret, (size_t)got);
}

int vicc_serve(int fd, struct reader *card)
{
	uint8_t head[2], message[512];
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (;;) {
		int ret = whole_read(fd, head, 2);
		size_t n = (size_t)head[0] << 8 | head[1];

		/* length and message come in two segments: the second waits for our acknowledgement of the first */
		setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));

		if (ret == 0 && n > sizeof(message))
			ret = -EMSGSIZE;
		if (ret == 0)
			ret = whole_read(fd, message, n);
		if (ret == 0 && n == 1 && message[0] == VPCD_ATR)
			ret = message_write(fd, atr, sizeof(atr));
		else if (ret == 0 && n > 1)
			ret = apdu_answer(fd, card, message, n);
		if (ret != 0)
			return ret == -EPIPE ? 0 : ret;
	}
}
