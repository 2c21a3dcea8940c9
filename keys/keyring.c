/*
 * keyring - keys with what they are for, in memory.
 *
 * A loaded ring never changes while it is used, so threads share it without locks. It lies in pages of its own, locked
 * against swap where the system allows and left out of core files, and is wiped before they are given back.
 */
#include "keys/keyring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int keyring_new(struct keyring **ret_ring)
{
	struct keyring *ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ring == MAP_FAILED)
		return -ENOMEM;
	mlock(ring, sizeof(*ring));	/* beyond the limit of locked memory: swap is the administrator's to forbid */
	madvise(ring, sizeof(*ring), MADV_DONTDUMP);
	*ret_ring = ring;
	return 0;
}

void keyring_free(struct keyring *ring)
{
	if (ring == NULL)
		return;
	key_wipe(ring, sizeof(*ring));
	munmap(ring, sizeof(*ring));
}

size_t keyring_count(const struct keyring *ring) { return ring->count; }

const struct key_entry *keyring_entry(const struct keyring *ring, size_t i) { return &ring->slot[i].entry; }

size_t keyring_test_count(const struct keyring *ring)
{
	size_t n = 0;

	for (size_t i = 0; i < ring->count; i++)
		n += (ring->slot[i].entry.flags & KEY_FLAG_TEST) != 0;
	return n;
}

static bool bytes_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

/* Levels above the card, then the card: no card before the end, nothing after it. */
static bool factors_sane(const struct key_entry *e)
{
	if (e->levels < 1 || e->levels > KEY_LEVELS_MAX)
		return false;
	if (bytes_zero(e->factor, sizeof(e->factor)))
		return e->levels <= 2;
	for (size_t i = 0; i < KEY_LEVELS_MAX; i++) {
		uint8_t f = e->factor[i];

		if (i + 1 < e->levels ? f < KEY_FACTOR_ISSUER || f > KEY_FACTOR_LINE : f != (i + 1 == e->levels ? KEY_FACTOR_CARD : 0))
			return false;
	}
	return true;
}

bool key_entry_sane(const struct key_entry *e)
{
	return e->purpose >= KEY_PURCHASE && e->purpose <= KEY_UNLOCK && factors_sane(e) && (e->alg == KEY_ALG_3DES || e->alg == KEY_ALG_SM4) &&
	       e->valid_from_ms < e->valid_to_ms && ((e->flags & KEY_FLAG_IN_DEVICE) == 0 || !bytes_zero(e->known_pan, sizeof(e->known_pan)));
}

/* Two keys that one record could mean. */
static bool entry_overlaps(const struct key_entry *a, const struct key_entry *b)
{
	return a->purpose == b->purpose && a->alg == b->alg && a->scheme == b->scheme && a->version == b->version &&
	       (a->index == b->index || a->index == 0 || b->index == 0) && memcmp(a->issuer, b->issuer, 4) == 0 &&
	       a->valid_from_ms < b->valid_to_ms && b->valid_from_ms < a->valid_to_ms;
}

int keyring_put(struct keyring *ring, const struct key_entry *entry, const uint8_t key[KEY_BYTES])
{
	if (!key_entry_sane(entry))
		return KEYS_E_FORMAT;
	if (ring->count == KEYRING_ENTRIES_MAX)
		return KEYS_E_FULL;
	for (size_t i = 0; i < ring->count; i++)
		if (entry_overlaps(&ring->slot[i].entry, entry))
			return KEYS_E_DUPLICATE;
	ring->slot[ring->count].entry = *entry;
	memcpy(ring->slot[ring->count].key, key, KEY_BYTES);
	ring->count++;
	return 0;
}

int keyring_add(struct keyring *ring, struct key_entry *entry, const uint8_t key[KEY_BYTES])
{
	struct mac_engine *engine = NULL;
	uint8_t kcv[3];
	int ret = 0;

	if (!key_entry_sane(entry))
		return KEYS_E_FORMAT;
	if ((entry->flags & KEY_FLAG_IN_DEVICE) == 0) {
		ret = mac_engine_new(&engine);
		if (ret == 0)
			ret = key_check_value(engine, entry->alg, key, kcv);
		mac_engine_free(engine);
		if (ret == 0)
			memcpy(entry->kcv, kcv, sizeof(kcv));
	}
	return ret != 0 ? ret : keyring_put(ring, entry, key);
}

/* ---- a key's life ------------------------------------------------------------------------------ */

int keyring_activate(struct keyring *ring, size_t i, const uint8_t pan[10], const uint8_t kcv[3])
{
	struct key_entry *e = &ring->slot[i].entry;
	struct mac_engine *engine = NULL;
	uint8_t key[KEY_BYTES], seen[3];
	int ret = mac_engine_new(&engine);

	if (ret == 0)
		ret = keyring_parent(ring, i, engine, key);
	if (ret == 0)
		ret = key_diversify(engine, e->alg, key, pan + 2, key);
	if (ret == 0)
		ret = key_check_value(engine, e->alg, key, seen);
	if (ret == 0 && memcmp(seen, kcv, sizeof(seen)) != 0)
		ret = KEYS_E_ANSWER;
	if (ret == 0) {
		memcpy(e->known_pan, pan, sizeof(e->known_pan));
		memcpy(e->known_kcv, kcv, sizeof(e->known_kcv));
		e->flags &= (uint8_t)~KEY_FLAG_INACTIVE;
	}
	key_wipe(key, sizeof(key));
	mac_engine_free(engine);
	return ret;
}

int keyring_retire(struct keyring *ring, size_t i, int64_t at_ms)
{
	struct key_entry *e = &ring->slot[i].entry;

	if (at_ms <= e->valid_from_ms || at_ms > e->valid_to_ms)
		return KEYS_E_FORMAT;
	e->valid_to_ms = at_ms;
	return 0;
}

void keyring_distrust(struct keyring *ring, size_t i, int64_t from_ms)
{
	struct key_entry *e = &ring->slot[i].entry;

	if ((e->flags & KEY_FLAG_DISTRUSTED) == 0 || from_ms < e->distrust_from_ms)
		e->distrust_from_ms = from_ms;
	e->flags |= KEY_FLAG_DISTRUSTED;
}

/* ---- names of things ------------------------------------------------------------------------------ */

static const char *const purposes[] = { "?", "purchase", "load", "tac", "lock", "update", "unlock" };

const char *key_purpose_name(enum key_purpose purpose) { return purpose <= KEY_UNLOCK ? purposes[purpose] : purposes[0]; }

bool key_purpose_of(const char *name, enum key_purpose *ret_purpose)
{
	for (enum key_purpose p = KEY_PURCHASE; p <= KEY_UNLOCK; p++)
		if (strcmp(name, purposes[p]) == 0) {
			*ret_purpose = p;
			return true;
		}
	return false;
}

static enum key_factor factor_at(const struct key_entry *e, size_t level)
{
	if (e->factor[0] != 0)
		return (enum key_factor)e->factor[level];
	return level + 1 == e->levels ? KEY_FACTOR_CARD : KEY_FACTOR_ISSUER;
}

static const char *const factors[] = { "", "issuer", "area", "line", "card" };

bool key_factors_of(const char *text, struct key_entry *ret_entry)
{
	struct key_entry e = *ret_entry;

	memset(e.factor, 0, sizeof(e.factor));
	memset(e.constant, 0, sizeof(e.constant));
	for (e.levels = 0; *text != '\0'; e.levels++) {
		size_t n = strcspn(text, ",="), kind = KEY_FACTOR_ISSUER;
		bool constant;
		char hex[2 * KEY_FACTOR_BYTES + 1];

		while (kind <= KEY_FACTOR_CARD && (strlen(factors[kind]) != n || strncmp(text, factors[kind], n) != 0))
			kind++;
		constant = kind == KEY_FACTOR_AREA || kind == KEY_FACTOR_LINE;
		if (kind > KEY_FACTOR_CARD || e.levels == KEY_LEVELS_MAX || (text[n] == '=') != constant)
			return false;
		e.factor[e.levels] = (uint8_t)kind;
		text += n + (text[n] != '\0');
		if (!constant)
			continue;
		n = strcspn(text, ",");
		snprintf(hex, sizeof(hex), "%.*s", (int)n, text);
		if (n != 2 * KEY_FACTOR_BYTES || !hex_decode(hex, e.constant[e.levels], KEY_FACTOR_BYTES))
			return false;
		text += n + (text[n] != '\0');
	}
	if (!factors_sane(&e))
		return false;
	*ret_entry = e;
	return true;
}

void key_factors_text(const struct key_entry *entry, char ret_text[KEY_FACTORS_TEXT_BYTES])
{
	size_t n = 0;

	for (size_t i = 0; i < entry->levels; i++) {
		enum key_factor f = factor_at(entry, i);
		char hex[2 * KEY_FACTOR_BYTES + 1] = "";

		if (f == KEY_FACTOR_AREA || f == KEY_FACTOR_LINE)
			hex_encode(entry->constant[i], KEY_FACTOR_BYTES, hex);
		n += (size_t)snprintf(ret_text + n, KEY_FACTORS_TEXT_BYTES - n, "%s%s%s%s", i > 0 ? "," : "", factors[f], hex[0] != '\0' ? "=" : "", hex);
	}
}

/* ---- card keys ------------------------------------------------------------------------------- */

static bool entry_is(const struct key_entry *e, const struct key_name *name, enum key_alg alg)
{
	return e->purpose == name->purpose && e->version == name->version && e->alg == alg && e->scheme == name->scheme &&
	       memcmp(e->issuer, name->issuer, 4) == 0 && name->at_ms >= e->valid_from_ms && name->at_ms < e->valid_to_ms &&
	       (e->index == 0 || name->index < 0 || e->index == name->index) && (e->flags & KEY_FLAG_INACTIVE) == 0;
}

int keyring_find(const struct keyring *ring, const struct key_name *name, size_t *ret_i)
{
	enum key_alg alg;

	if (!key_alg_of_id(name->alg_id, &alg))
		return KEYS_E_NOT_FOUND;
	for (size_t i = 0; i < ring->count; i++)
		if (entry_is(&ring->slot[i].entry, name, alg)) {
			*ret_i = i;
			return 0;
		}
	return KEYS_E_NOT_FOUND;
}

/* The keys of a ring do not overlap: one index is asked for, so whichever is found is the only one. */
static int find_near(const struct keyring *ring, const struct key_name *name, size_t *io_i)
{
	enum key_alg alg;

	if (*io_i < ring->count && key_alg_of_id(name->alg_id, &alg) && entry_is(&ring->slot[*io_i].entry, name, alg))
		return 0;
	return keyring_find(ring, name, io_i);
}

void key_factor_bytes(const struct key_entry *e, size_t level, uint8_t ret_factor[KEY_FACTOR_BYTES])
{
	if (factor_at(e, level) != KEY_FACTOR_ISSUER) {
		memcpy(ret_factor, e->constant[level], KEY_FACTOR_BYTES);
		return;
	}
	memset(ret_factor, 0xFF, KEY_FACTOR_BYTES);
	memcpy(ret_factor, e->issuer, 4);
}

int keyring_parent(const struct keyring *ring, size_t i, struct mac_engine *engine, uint8_t ret_key[KEY_BYTES])
{
	const struct slot *s = &ring->slot[i];
	uint8_t factor[KEY_FACTOR_BYTES], key[KEY_BYTES];
	int ret = 0;

	if (i >= ring->count || (s->entry.flags & KEY_FLAG_IN_DEVICE) != 0)
		return KEYS_E_NOT_FOUND;
	memcpy(key, s->key, KEY_BYTES);
	for (size_t level = 0; ret == 0 && level + 1 < s->entry.levels; level++) {
		key_factor_bytes(&s->entry, level, factor);
		ret = key_diversify_kept(engine, s->entry.alg, key, factor, key);
	}
	if (ret == 0)
		memcpy(ret_key, key, KEY_BYTES);
	key_wipe(key, sizeof(key));
	return ret;
}

int keyring_card_key(const struct keyring *ring, struct mac_engine *engine, enum key_purpose purpose,
		     const uint8_t issuer[4], uint8_t version, uint8_t alg_id, int64_t at_ms,
		     const uint8_t pan[10], uint8_t ret_key[KEY_BYTES])
{
	const struct key_name name = { .purpose = purpose, .issuer = issuer, .version = version, .index = -1, .alg_id = alg_id, .at_ms = at_ms };
	uint8_t level[KEY_BYTES];
	size_t i;
	int ret = keyring_find(ring, &name, &i);

	if (ret == 0)
		ret = keyring_parent(ring, i, engine, level);
	if (ret == 0)
		ret = key_diversify(engine, ring->slot[i].entry.alg, level, pan + 2, ret_key);
	key_wipe(level, sizeof(level));
	return ret;
}

static bool ring_has_issuer(const struct keyring *ring, const struct tac_question *q)
{
	for (size_t i = 0; i < ring->count; i++)
		if (ring->slot[i].entry.purpose == KEY_TAC && ring->slot[i].entry.scheme == q->scheme && memcmp(ring->slot[i].entry.issuer, q->issuer, 4) == 0)
			return true;
	return false;
}

enum key_check tac_classify(const struct keyring *ring, const struct tac_question *q, size_t *io_i)
{
	static const uint8_t all_f[MAC_BYTES] = { 0xFF, 0xFF, 0xFF, 0xFF }, all_0[MAC_BYTES];
	const struct key_name name = { .purpose = KEY_TAC, .scheme = q->scheme, .issuer = q->issuer, .version = q->key_version, .index = q->key_index,
				       .alg_id = q->alg_id, .at_ms = q->at_ms };
	const struct key_entry *e;

	if (memcmp(q->tac, all_f, MAC_BYTES) == 0 || memcmp(q->tac, all_0, MAC_BYTES) == 0)
		return KEY_CHECK_GREY;
	if (find_near(ring, &name, io_i) != 0)
		return ring_has_issuer(ring, q) ? KEY_CHECK_NO_KEY : KEY_CHECK_FOREIGN;
	e = &ring->slot[*io_i].entry;
	return (e->flags & KEY_FLAG_DISTRUSTED) != 0 && q->at_ms >= e->distrust_from_ms ? KEY_CHECK_DISTRUSTED : KEY_CHECK_NONE;
}

enum key_check tac_verify(struct mac_engine *engine, const struct keyring *ring, const struct tac_question *q)
{
	uint8_t dtk[KEY_BYTES], tac[MAC_BYTES];
	enum key_check check;
	size_t i = 0;
	int ret;

	check = tac_classify(ring, q, &i);
	if (check != KEY_CHECK_NONE)
		return check;
	if ((ring->slot[i].entry.flags & KEY_FLAG_IN_DEVICE) != 0)
		return KEY_CHECK_UNAVAILABLE;
	ret = keyring_parent(ring, i, engine, dtk);
	if (ret == 0)
		ret = key_diversify(engine, ring->slot[i].entry.alg, dtk, q->pan + 2, dtk);
	if (ret == 0)
		ret = mac_purchase_tac(engine, ring->slot[i].entry.alg, dtk, q->purchase, tac);
	key_wipe(dtk, sizeof(dtk));
	if (ret != 0)
		return KEY_CHECK_NO_KEY;
	return mac_equal(tac, q->tac, MAC_BYTES) ? KEY_CHECK_GOOD : KEY_CHECK_BAD;
}

const char *key_check_name(enum key_check check)
{
	switch (check) {
	case KEY_CHECK_NONE: return "none";
	case KEY_CHECK_GOOD: return "good";
	case KEY_CHECK_BAD: return "bad";
	case KEY_CHECK_GREY: return "grey";
	case KEY_CHECK_FOREIGN: return "foreign";
	case KEY_CHECK_NO_KEY: return "no-key";
	case KEY_CHECK_DEVICE: return "device";
	case KEY_CHECK_UNAVAILABLE: return "unavailable";
	case KEY_CHECK_DISTRUSTED: return "distrusted";
	}
	return "unknown";
}

const char *keys_strerror(int code)
{
	switch (code) {
	case KEYS_E_CRYPTO: return "the cryptographic library refused an operation";
	case KEYS_E_FORMAT: return "not a keyring file, or of a newer version";
	case KEYS_E_PASSPHRASE: return "wrong passphrase, or the keyring file was changed";
	case KEYS_E_NOT_FOUND: return "no key for this issuer, version, algorithm and time";
	case KEYS_E_CHECK_VALUE: return "the check value does not match the key";
	case KEYS_E_FULL: return "the keyring is full (256 keys)";
	case KEYS_E_DUPLICATE: return "a key of this purpose, issuer, version and algorithm is already valid then";
	case KEYS_E_BLOCK: return "a key block was changed, or is of another storage key";
	case KEYS_E_WEAK: return "a component or key that protects nothing, or a published test key";
	case KEYS_E_ANSWER: return "the known answer differs: this is not the key it is said to be";
	case KEYS_E_DEVICE: return "the key device is absent, refuses, or does not hold the key";
	default: return NULL;
	}
}
