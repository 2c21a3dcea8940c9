/*
 * soft_psam - a PSAM in software behind the reader interface: makes MAC1 for a purchase and checks MAC2 of it,
 * with the purchase roots of a keyring. One purchase at a time, as the real one.
 */
#include "validator/validator.h"

#include "keys/octets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct soft_psam {
	struct reader reader;
	const struct keyring *ring;
	struct mac_engine *engine;
	uint8_t terminal[6];
	uint32_t serial;
	bool open;			/* MAC1 given, MAC2 awaited */
	enum key_alg alg;
	uint8_t dpk[KEY_BYTES];
	struct purchase purchase;
	bool has_lock_key;		/* delivered for one MAC */
	enum key_alg lock_alg;
	uint8_t lock_key[KEY_BYTES];
};

static int status(uint8_t *ret, uint16_t sw)
{
	ret[0] = (uint8_t)(sw >> 8);
	ret[1] = (uint8_t)sw;
	return 2;
}

/* 80 70 00 00 24: random 4, counter 2, amount 4, type 1, time 7, key version 1, algorithm 1, serial number 8,
 * issuer 8 -> terminal serial 4, MAC1 4. */
static int init_sam(struct soft_psam *p, const uint8_t *d, size_t n, uint8_t *ret)
{
	uint8_t pan[10] = { 0 }, mac[MAC_BYTES];
	struct purchase *q = &p->purchase;
	int64_t ms;

	if (n != 0x24)
		return status(ret, 0x6700);
	*q = (struct purchase){ .card_counter = (uint16_t)be_read(d + 4, 2), .amount_fen = be_read(d + 6, 4), .txn_type = d[10], .terminal_serial = p->serial };
	memcpy(q->random, d, 4);
	memcpy(q->time.bcd, d + 11, 7);
	memcpy(q->terminal, p->terminal, 6);
	memcpy(pan + 2, d + 20, 8);
	if (!key_alg_of_id(d[19], &p->alg) || !mac_time_to_ms(&q->time, &ms))
		return status(ret, 0x6A80);
	if (keyring_card_key(p->ring, p->engine, KEY_PURCHASE, d + 28, d[18], d[19], ms, pan, p->dpk) != 0)
		return status(ret, 0x9403);
	if (mac_purchase_mac1(p->engine, p->alg, p->dpk, q, mac) != 0)
		return status(ret, 0x6F00);
	ret[0] = (uint8_t)(p->serial >> 24);
	ret[1] = (uint8_t)(p->serial >> 16);
	ret[2] = (uint8_t)(p->serial >> 8);
	ret[3] = (uint8_t)p->serial;
	memcpy(ret + 4, mac, MAC_BYTES);
	p->serial++;
	p->open = true;
	return 8 + status(ret + 8, 0x9000);
}

/* 80 72 00 00 04: MAC2 -> 9000, or 9302. */
static int credit_sam(struct soft_psam *p, const uint8_t *d, size_t n, uint8_t *ret)
{
	uint8_t mac[MAC_BYTES];

	if (n != MAC_BYTES || !p->open)
		return status(ret, n != MAC_BYTES ? 0x6700 : 0x6901);
	p->open = false;
	if (mac_purchase_mac2(p->engine, p->alg, p->dpk, &p->purchase, mac) != 0)
		return status(ret, 0x6F00);
	key_wipe(p->dpk, sizeof(p->dpk));
	return status(ret, mac_equal(mac, d, MAC_BYTES) ? 0x9000 : 0x9302);
}

/* 80 1A 45 02 10: serial number 8, issuer 8: the card's lock key is made ready. Version 1; the algorithm of whichever set
 * holds a lock root for the issuer, the domestic one first. */
static int deliver_key(struct soft_psam *p, const uint8_t *d, size_t n, uint8_t *ret)
{
	uint8_t pan[10] = { 0 };

	if (n != 16)
		return status(ret, 0x6700);
	memcpy(pan + 2, d, 8);
	p->has_lock_key = false;
	for (int alg = KEY_ALG_SM4; alg >= KEY_ALG_3DES && !p->has_lock_key; alg--) {
		p->lock_alg = (enum key_alg)alg;
		p->has_lock_key = keyring_card_key(p->ring, p->engine, KEY_LOCK, d + 8, 1, (uint8_t)alg, 0, pan, p->lock_key) == 0;
	}
	return status(ret, p->has_lock_key ? 0x9000 : 0x9403);
}

/* 80 FA 05 00 10: challenge 4, zeros 4, the command 84 1E 00 00 04, 80 00 00 -> MAC 4. No other command gets one. */
static int lock_mac(struct soft_psam *p, const uint8_t *d, size_t n, uint8_t *ret)
{
	static const uint8_t tail[12] = { 0, 0, 0, 0, 0x84, 0x1E, 0x00, 0x00, 0x04, 0x80, 0x00, 0x00 };
	uint8_t mac[MAC_BYTES];
	int code;

	if (n != 16 || memcmp(d + 4, tail, sizeof(tail)) != 0)
		return status(ret, n != 16 ? 0x6700 : 0x6A80);
	if (!p->has_lock_key)
		return status(ret, 0x6985);
	p->has_lock_key = false;
	code = mac_command(p->engine, p->lock_alg, p->lock_key, d, d + 8, 5, mac);
	key_wipe(p->lock_key, sizeof(p->lock_key));
	if (code != 0)
		return status(ret, 0x6F00);
	memcpy(ret, mac, MAC_BYTES);
	return MAC_BYTES + status(ret + MAC_BYTES, 0x9000);
}

static int psam_transmit(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct soft_psam *p = (struct soft_psam *)(void *)r;
	size_t lc = n > 5 ? apdu[4] : 0;

	if (ret_bytes < 32 || n < 5)
		return -EINVAL;
	if (lc > n - 5)
		return status(ret, 0x6700);
	if (apdu[0] == 0x00 && apdu[1] == 0xB0 && apdu[2] == (0x80 | 0x16)) {
		memcpy(ret, p->terminal, 6);
		return 6 + status(ret + 6, 0x9000);
	}
	if (apdu[0] == 0x80 && apdu[1] == 0x70)
		return init_sam(p, apdu + 5, lc, ret);
	if (apdu[0] == 0x80 && apdu[1] == 0x72)
		return credit_sam(p, apdu + 5, lc, ret);
	if (apdu[0] == 0x80 && apdu[1] == 0x1A && apdu[2] == 0x45)
		return deliver_key(p, apdu + 5, lc, ret);
	if (apdu[0] == 0x80 && apdu[1] == 0xFA && apdu[2] == 0x05)
		return lock_mac(p, apdu + 5, lc, ret);
	return status(ret, 0x6D00);
}

int soft_psam_new(const struct keyring *ring, const uint8_t terminal[6], uint32_t first_serial, struct soft_psam **ret)
{
	struct soft_psam *p = calloc(1, sizeof(*p));
	int code;

	if (p == NULL)
		return -ENOMEM;
	p->reader.transmit = psam_transmit;
	p->ring = ring;
	p->serial = first_serial;
	memcpy(p->terminal, terminal, 6);
	code = mac_engine_new(&p->engine);
	if (code != 0) {
		soft_psam_free(p);
		return code;
	}
	*ret = p;
	return 0;
}

void soft_psam_free(struct soft_psam *p)
{
	if (p == NULL)
		return;
	mac_engine_free(p->engine);
	key_wipe(p, sizeof(*p));
	free(p);
}

struct reader *soft_psam_reader(struct soft_psam *p) { return &p->reader; }
