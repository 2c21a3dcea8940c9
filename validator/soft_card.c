/*
 * soft_card - a T-Union card in software behind the reader interface, good enough for the whole purchase flow and
 * for tearing it at any step: what the card committed stays, what it did not is gone, as on silicon.
 */
#include "validator/validator.h"

#include "keys/octets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_18 10
#define LOG_1E 30

struct soft_card {
	struct reader reader;
	struct mac_engine *engine;
	enum key_alg alg;
	uint8_t alg_id, key_version;
	uint8_t dpk[KEY_BYTES], dtk[KEY_BYTES], lock_key[KEY_BYTES];
	bool has_lock_key, locked, challenged;
	uint8_t challenge[4];
	uint8_t file15[30], file17[60];
	uint8_t log18[LOG_18][23], log1e[LOG_1E][48];	/* newest first */
	uint32_t balance, random_state;
	uint16_t counter;
	uint64_t seed;
	unsigned left;				/* APDUs until the card leaves the field; 0 never */
	bool selected, init, composite, cached;	/* state of the session */
	struct purchase purchase;
	uint8_t cache1e[48];
	uint16_t proven_counter; uint8_t proven_mac2[4], proven_tac[4];	/* last committed, for recovery */
};

static int status(uint8_t *ret, uint16_t sw)
{
	ret[0] = (uint8_t)(sw >> 8);
	ret[1] = (uint8_t)sw;
	return 2;
}

static void put(uint8_t *p, uint32_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static int give(uint8_t *ret, const uint8_t *p, size_t n)
{
	memcpy(ret, p, n);
	return (int)n + status(ret + n, 0x9000);
}

static int read_binary(struct soft_card *c, uint8_t p1, uint8_t *ret)
{
	if (p1 == (0x80 | 0x15))
		return give(ret, c->file15, sizeof(c->file15));
	if (p1 == (0x80 | 0x17))
		return give(ret, c->file17, sizeof(c->file17));
	return status(ret, 0x6A82);
}

static int read_record(struct soft_card *c, uint8_t number, uint8_t p2, uint8_t *ret)
{
	if (p2 == 0xC4 && number >= 1 && number <= LOG_18)
		return give(ret, c->log18[number - 1], 23);
	if (p2 == 0xF4 && number >= 1 && number <= LOG_1E)
		return give(ret, c->log1e[number - 1], 48);
	return status(ret, p2 == 0xC4 || p2 == 0xF4 ? 0x6A83 : 0x6A82);
}

static void random_draw(struct soft_card *c) { c->random_state = c->random_state * 1664525u + 1013904223u + (uint32_t)c->seed; }

/* 00 84 00 00 04 */
static int challenge(struct soft_card *c, uint8_t *ret)
{
	random_draw(c);
	put(c->challenge, c->random_state, 4);
	c->challenged = true;
	return give(ret, c->challenge, 4);
}

/* 84 1E 00 00 04: MAC under the lock key -> the application is locked for good */
static int lock(struct soft_card *c, const uint8_t *a, const uint8_t *d, size_t n, uint8_t *ret)
{
	uint8_t mac[4];

	if (n != 4)
		return status(ret, 0x6700);
	if (!c->challenged || !c->has_lock_key)
		return status(ret, 0x6985);
	c->challenged = false;
	if (mac_command(c->engine, c->alg, c->lock_key, c->challenge, a, 5, mac) != 0)
		return status(ret, 0x6F00);
	if (!mac_equal(mac, d, 4))
		return status(ret, 0x6988);
	c->locked = true;
	return status(ret, 0x9000);
}

/* 80 50 (01|03) 02 0B: key index 1, amount 4, terminal 6 -> balance 4, counter 2, overdraft 3, version 1, alg 1, random 4 */
static int init_purchase(struct soft_card *c, uint8_t p1, const uint8_t *d, size_t n, uint8_t *ret)
{
	uint32_t amount;

	if (n != 11)
		return status(ret, 0x6700);
	amount = be_read(d + 1, 4);
	if (amount > c->balance)
		return status(ret, 0x9401);
	random_draw(c);
	c->purchase = (struct purchase){ .amount_fen = amount, .card_counter = c->counter, .txn_type = p1 == 3 ? 0x09 : 0x06 };
	memcpy(c->purchase.terminal, d + 5, 6);
	put(c->purchase.random, c->random_state, 4);
	c->init = true;
	c->composite = p1 == 3;
	c->cached = false;
	put(ret, c->balance, 4);
	put(ret + 4, c->counter, 2);
	put(ret + 6, 0, 3);
	ret[9] = c->key_version;
	ret[10] = c->alg_id;
	memcpy(ret + 11, c->purchase.random, 4);
	return 15 + status(ret + 15, 0x9000);
}

static int update_cache(struct soft_card *c, uint8_t p2, const uint8_t *d, size_t n, uint8_t *ret)
{
	if (!c->init || !c->composite)
		return status(ret, 0x6901);
	if (p2 == 0xF0 && n == 48) {
		memcpy(c->cache1e, d, 48);
		c->cached = true;
	}
	return status(ret, 0x9000);
}

/* Everything a debit changes, together. */
static void commit(struct soft_card *c, const uint8_t mac2[4], const uint8_t tac[4])
{
	const struct purchase *p = &c->purchase;

	c->balance -= p->amount_fen;
	memmove(c->log18[1], c->log18[0], sizeof(c->log18[0]) * (LOG_18 - 1));
	put(c->log18[0], c->counter, 2);
	put(c->log18[0] + 2, 0, 3);
	put(c->log18[0] + 5, p->amount_fen, 4);
	c->log18[0][9] = p->txn_type;
	memcpy(c->log18[0] + 10, p->terminal, 6);
	memcpy(c->log18[0] + 16, p->time.bcd, 7);
	if (c->cached) {
		memmove(c->log1e[1], c->log1e[0], sizeof(c->log1e[0]) * (LOG_1E - 1));
		memcpy(c->log1e[0], c->cache1e, 48);
	}
	c->counter++;
	c->proven_counter = c->counter;
	memcpy(c->proven_mac2, mac2, 4);
	memcpy(c->proven_tac, tac, 4);
	c->init = false;
}

/* 80 54 01 00 0F: terminal serial 4, time 7, MAC1 4 -> TAC 4, MAC2 4 */
static int debit(struct soft_card *c, const uint8_t *d, size_t n, uint8_t *ret)
{
	uint8_t mac1[4], mac2[4], tac[4];
	struct purchase *p = &c->purchase;

	if (n != 15 || !c->init)
		return status(ret, n != 15 ? 0x6700 : 0x6901);
	p->terminal_serial = be_read(d, 4);
	memcpy(p->time.bcd, d + 4, 7);
	if (mac_purchase_mac1(c->engine, c->alg, c->dpk, p, mac1) != 0 || mac_purchase_mac2(c->engine, c->alg, c->dpk, p, mac2) != 0 ||
	    mac_purchase_tac(c->engine, c->alg, c->dtk, p, tac) != 0)
		return status(ret, 0x6F00);
	if (!mac_equal(mac1, d + 11, 4)) {
		c->init = false;
		return status(ret, 0x9302);
	}
	commit(c, mac2, tac);
	memcpy(ret, tac, 4);
	memcpy(ret + 4, mac2, 4);
	return 8 + status(ret + 8, 0x9000);
}

/* 80 5A 00 type 02: counter after the purchase -> MAC2 4, TAC 4, when that purchase committed */
static int prove(struct soft_card *c, const uint8_t *d, size_t n, uint8_t *ret)
{
	if (n != 2)
		return status(ret, 0x6700);
	if (c->proven_counter == 0 || be_read(d, 2) != c->proven_counter)
		return status(ret, 0x9406);
	memcpy(ret, c->proven_mac2, 4);
	memcpy(ret + 4, c->proven_tac, 4);
	return 8 + status(ret + 8, 0x9000);
}

static int answer(struct soft_card *c, const uint8_t *a, size_t n, uint8_t *ret)
{
	size_t lc = n > 5 ? a[4] : 0;

	if (lc > n - 5)
		return status(ret, 0x6700);
	if (c->locked)
		return status(ret, 0x6A81);
	if (a[0] == 0x00 && a[1] == 0xA4) {
		c->selected = true;
		c->init = false;
		return status(ret, 0x9000);
	}
	if (!c->selected)
		return status(ret, 0x6901);
	if (a[0] == 0x00 && a[1] == 0xB0)
		return read_binary(c, a[2], ret);
	if (a[0] == 0x00 && a[1] == 0xB2)
		return read_record(c, a[2], a[3], ret);
	if (a[0] == 0x00 && a[1] == 0x84)
		return challenge(c, ret);
	if (a[0] == 0x84 && a[1] == 0x1E)
		return lock(c, a, a + 5, lc, ret);
	if (a[0] != 0x80)
		return status(ret, 0x6E00);
	switch (a[1]) {
	case 0x5C:
		put(ret, c->balance, 4);
		return 4 + status(ret + 4, 0x9000);
	case 0x50: return init_purchase(c, a[2], a + 5, lc, ret);
	case 0xDC: return update_cache(c, a[3], a + 5, lc, ret);
	case 0x54: return debit(c, a + 5, lc, ret);
	case 0x5A: return prove(c, a + 5, lc, ret);
	default: return status(ret, 0x6D00);
	}
}

/* The last APDU before a tear is carried out by the card, its answer is lost: the harder of the two cases. */
static int card_transmit(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct soft_card *c = (struct soft_card *)(void *)r;
	int got;

	if (n < 5 || ret_bytes < 64)
		return -EINVAL;
	got = answer(c, apdu, n, ret);
	if (c->left != 0 && --c->left == 0) {
		c->selected = c->init = false;
		return -EIO;
	}
	return got;
}

static int card_keys(struct soft_card *c, const struct keyring *ring, const struct card_info *info, uint8_t alg_id)
{
	int ret = key_alg_of_id(alg_id, &c->alg) ? mac_engine_new(&c->engine) : KEYS_E_NOT_FOUND;

	if (ret == 0)
		ret = keyring_card_key(ring, c->engine, KEY_PURCHASE, info->issuer, c->key_version, alg_id, 0, info->pan, c->dpk);
	if (ret == 0)
		ret = keyring_card_key(ring, c->engine, KEY_TAC, info->issuer, c->key_version, alg_id, 0, info->pan, c->dtk);
	c->has_lock_key = ret == 0 && keyring_card_key(ring, c->engine, KEY_LOCK, info->issuer, c->key_version, alg_id, 0, info->pan, c->lock_key) == 0;
	return ret;
}

static void date_put(uint8_t p[4], int32_t day)
{
	struct mac_time t = mac_time_of_ms((int64_t)day * 86400000 - CIVIL_OFFSET_MS);

	memcpy(p, t.bcd, 4);
}

int soft_card_new(const struct keyring *ring, const struct card_info *info, uint8_t key_version, uint8_t alg_id, uint32_t balance_fen, uint64_t seed,
		  struct soft_card **ret_card)
{
	struct soft_card *c = calloc(1, sizeof(*c));
	int ret;

	if (c == NULL)
		return -ENOMEM;
	*c = (struct soft_card){ .reader.transmit = card_transmit, .alg_id = alg_id, .key_version = key_version, .balance = balance_fen, .seed = seed,
				 .random_state = (uint32_t)seed, .counter = 1 };
	memset(c->log18, 0xFF, sizeof(c->log18));
	memset(c->log1e, 0xFF, sizeof(c->log1e));
	memcpy(c->file15, info->issuer, 4);
	memset(c->file15 + 4, 0xFF, 4);
	c->file15[8] = info->app_type != 0 ? info->app_type : 2;
	c->file15[9] = info->app_version != 0 ? info->app_version : 1;
	memcpy(c->file15 + 10, info->pan, 10);
	date_put(c->file15 + 20, info->start);
	date_put(c->file15 + 24, info->expiry);
	put(c->file15 + 28, info->subtype, 2);
	put(c->file17, 0x156, 4);
	put(c->file17 + 4, info->province, 2);
	put(c->file17 + 6, info->city, 2);
	put(c->file17 + 8, info->interop, 2);
	c->file17[10] = info->card_class;
	ret = card_keys(c, ring, info, alg_id);
	if (ret != 0) {
		soft_card_free(c);
		return ret;
	}
	*ret_card = c;
	return 0;
}

void soft_card_free(struct soft_card *c)
{
	if (c == NULL)
		return;
	mac_engine_free(c->engine);
	key_wipe(c, sizeof(*c));
	free(c);
}

struct reader *soft_card_reader(struct soft_card *c) { return &c->reader; }
void soft_card_tear_after(struct soft_card *c, unsigned apdus) { c->left = apdus; }
uint32_t soft_card_balance(const struct soft_card *c) { return c->balance; }
bool soft_card_locked(const struct soft_card *c) { return c->locked; }
uint16_t soft_card_counter(const struct soft_card *c) { return c->counter; }
