/*
 * tac_batch - TACs of a batch of records: sorted out by the key they ask for, then verified in lanes where there
 * are enough of one key, else one by one.
 *
 * The lanes answer only whether a code is right. Before they are believed, a known-answer test compares them with
 * OpenSSL on right and wrong codes; the differential test does so on millions.
 */
#include "keys/keyring.h"
#include "keys/lanes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 1024		/* records sorted out at a time */
#define SELF_TEST_RECORDS 71	/* more than one register of SM4, part of one of DES */

static_assert(offsetof(struct lane, tac) == offsetof(struct lane, text) + 6 * sizeof(uint32_t), "lanes_des reads the code behind the text");

struct tac_batch {
	struct mac_engine *engine;
	bool lanes;				/* false: OpenSSL alone */
	enum lanes_kind kind[2];		/* by algorithm */
	bool failed[2];
	const struct keyring *ring;		/* whose parents are kept */
	bool known[KEYRING_ENTRIES_MAX];
	uint8_t parent[KEYRING_ENTRIES_MAX][KEY_BYTES];
	uint16_t key_of[CHUNK];
	struct lane lane[CHUNK];
	uint16_t at[CHUNK];			/* question of each lane */
	uint8_t good[CHUNK];
};

static enum lanes_kind kind_of_cpu(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("gfni"))
		return LANES_AVX512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes"))
		return LANES_AVX2;
	return LANES_NONE;
}

static uint32_t word(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

static void lane_fill(const struct tac_question *q, struct lane *ret)
{
	const struct purchase *p = q->purchase;
	uint8_t text[24] = { 0 };

	text[0] = (uint8_t)(p->amount_fen >> 24);
	text[1] = (uint8_t)(p->amount_fen >> 16);
	text[2] = (uint8_t)(p->amount_fen >> 8);
	text[3] = (uint8_t)p->amount_fen;
	text[4] = p->txn_type;
	memcpy(text + 5, p->terminal, 6);
	text[11] = (uint8_t)(p->terminal_serial >> 24);
	text[12] = (uint8_t)(p->terminal_serial >> 16);
	text[13] = (uint8_t)(p->terminal_serial >> 8);
	text[14] = (uint8_t)p->terminal_serial;
	memcpy(text + 15, p->time.bcd, 7);
	text[22] = 0x80;
	for (unsigned i = 0; i < 6; i++)
		ret->text[i] = word(text + 4 * i);
	ret->factor[0] = word(q->pan + 2);
	ret->factor[1] = word(q->pan + 6);
	ret->tac = word(q->tac);
}

static void lanes_tac(enum lanes_kind kind, enum key_alg alg, const uint8_t parent[KEY_BYTES], const struct lane *lane, size_t n, uint8_t *ret_good)
{
	if (alg == KEY_ALG_SM4)
		lanes_sm4_tac(kind, parent, lane, n, ret_good);
	else
		lanes_des_tac(kind, parent, lane, n, ret_good);
}

/* One by one: the key is there, only the code is in question. */
static enum key_check verify_one(struct tac_batch *b, enum key_alg alg, const uint8_t parent[KEY_BYTES], const struct tac_question *q)
{
	uint8_t dtk[KEY_BYTES], tac[MAC_BYTES];
	int ret = key_diversify(b->engine, alg, parent, q->pan + 2, dtk);

	if (ret == 0)
		ret = b->lanes ? mac_tac_once(b->engine, alg, dtk, q->purchase, tac) : mac_purchase_tac(b->engine, alg, dtk, q->purchase, tac);
	key_wipe(dtk, sizeof(dtk));
	if (ret != 0)
		return KEY_CHECK_NO_KEY;
	return mac_equal(tac, q->tac, MAC_BYTES) ? KEY_CHECK_GOOD : KEY_CHECK_BAD;
}

/* ---- known answers ----------------------------------------------------------------------------------------- */

/* Records from a small generator; every third code has one bit wrong, at another place each time. */
static bool self_test(struct tac_batch *b, enum key_alg alg)
{
	uint8_t parent[KEY_BYTES], pan[10], dtk[KEY_BYTES], tac[MAC_BYTES];
	struct purchase p = { .txn_type = 0x09 };
	struct tac_question q = { .purchase = &p, .pan = pan, .tac = tac };
	uint32_t seed = 20250101;
	bool good = true;

	for (size_t i = 0; i < sizeof(parent); i++)
		parent[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
	for (size_t i = 0; i < SELF_TEST_RECORDS; i++) {
		for (size_t k = 0; k < sizeof(pan); k++)
			pan[k] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
		p.amount_fen = seed;
		p.terminal_serial = seed ^ (uint32_t)i << 20;
		memcpy(p.terminal, pan, sizeof(p.terminal));
		memcpy(p.time.bcd, pan + 3, sizeof(p.time.bcd));
		if (key_diversify(b->engine, alg, parent, pan + 2, dtk) != 0 || mac_purchase_tac(b->engine, alg, dtk, &p, tac) != 0)
			return false;
		if (i % 3 == 2)
			tac[i / 3 % 4] ^= (uint8_t)(1u << i / 12 % 8);
		lane_fill(&q, &b->lane[i]);
	}
	lanes_tac(b->kind[alg], alg, parent, b->lane, SELF_TEST_RECORDS, b->good);
	for (size_t i = 0; i < SELF_TEST_RECORDS; i++)
		good = good && b->good[i] == (i % 3 != 2);
	return good;
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

int tac_batch_new(bool lanes, struct tac_batch **ret_batch)
{
	struct tac_batch *b = calloc(1, sizeof(*b));
	int ret = b == NULL ? -ENOMEM : mac_engine_new(&b->engine);

	if (ret != 0) {
		free(b);
		return ret;
	}
	b->lanes = lanes;
	for (int alg = KEY_ALG_3DES; lanes && alg <= KEY_ALG_SM4; alg++) {
		b->kind[alg] = kind_of_cpu();
		b->failed[alg] = b->kind[alg] != LANES_NONE && !self_test(b, (enum key_alg)alg);
		if (b->failed[alg])
			b->kind[alg] = LANES_NONE;
	}
	*ret_batch = b;
	return 0;
}

void tac_batch_forget(struct tac_batch *b)
{
	mac_engine_forget(b->engine);
	key_wipe(b->parent, sizeof(b->parent));
	memset(b->known, 0, sizeof(b->known));
	b->ring = NULL;
}

void tac_batch_free(struct tac_batch *b)
{
	if (b == NULL)
		return;
	tac_batch_forget(b);
	mac_engine_free(b->engine);
	free(b);
}

const char *tac_batch_path(const struct tac_batch *b, enum key_alg alg)
{
	if (b->failed[alg])
		return "self-test-failed";
	switch (b->kind[alg]) {
	case LANES_NONE: return "openssl";
	case LANES_AVX2: return "avx2";
	case LANES_AVX512: return "avx512";
	}
	return "unknown";
}

/* ---- a batch ------------------------------------------------------------------------------------------------------- */

static const uint8_t *parent_of(struct tac_batch *b, const struct keyring *ring, size_t key)
{
	if (b->ring != ring) {
		tac_batch_forget(b);
		b->ring = ring;
	}
	if (!b->known[key])
		b->known[key] = keyring_parent(ring, key, b->engine, b->parent[key]) == 0;
	return b->known[key] ? b->parent[key] : NULL;
}

/* All questions of the chunk that ask for one key, from the first of them on. */
static void verify_key(struct tac_batch *b, const struct keyring *ring, const struct tac_question *q, size_t first, size_t n, enum key_check *ret)
{
	uint16_t key = b->key_of[first];
	enum key_alg alg = keyring_entry(ring, key)->alg;
	bool in_device = (keyring_entry(ring, key)->flags & KEY_FLAG_IN_DEVICE) != 0;
	const uint8_t *parent = in_device ? NULL : parent_of(b, ring, key);
	size_t least = alg == KEY_ALG_SM4 ? LANES_SM4_MIN : LANES_DES_MIN, count = 0;

	for (size_t i = first; i < n; i++)
		if (ret[i] == KEY_CHECK_NONE && b->key_of[i] == key)
			b->at[count++] = (uint16_t)i;
	if (parent == NULL || b->kind[alg] == LANES_NONE || count < least) {
		for (size_t i = 0; i < count; i++)
			ret[b->at[i]] = in_device ? KEY_CHECK_UNAVAILABLE : parent == NULL ? KEY_CHECK_NO_KEY : verify_one(b, alg, parent, &q[b->at[i]]);
		return;
	}
	for (size_t i = 0; i < count; i++)
		lane_fill(&q[b->at[i]], &b->lane[i]);
	lanes_tac(b->kind[alg], alg, parent, b->lane, count, b->good);
	for (size_t i = 0; i < count; i++)
		ret[b->at[i]] = b->good[i] != 0 ? KEY_CHECK_GOOD : KEY_CHECK_BAD;
}

static void verify_chunk(struct tac_batch *b, const struct keyring *ring, const struct tac_question *q, size_t n, enum key_check *ret)
{
	size_t key = 0;

	for (size_t i = 0; i < n; i++) {
		ret[i] = tac_classify(ring, &q[i], &key);
		b->key_of[i] = (uint16_t)key;
	}
	for (size_t i = 0; i < n; i++)
		if (ret[i] == KEY_CHECK_NONE)
			verify_key(b, ring, q, i, n, ret);
}

void tac_batch_verify(struct tac_batch *b, const struct keyring *ring, const struct tac_question *q, size_t n, enum key_check *ret_check)
{
	for (size_t i = 0; i < n; i += CHUNK)
		verify_chunk(b, ring, q + i, n - i < CHUNK ? n - i : CHUNK, ret_check + i);
}
