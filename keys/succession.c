/*
 * succession - may this ring take the place of that one in a house that is running. A ring proves itself by its known
 * answers, and lacks no key that records may still name: what was good under the old one is never refused under the new.
 */
#include "keys/keyring.h"

#include <string.h>

/* The check value of the key, and of the known card's key when a ceremony left one. */
static int slot_prove(const struct keyring *ring, size_t i, struct mac_engine *engine)
{
	static const uint8_t nobody[10];
	const struct slot *s = &ring->slot[i];
	uint8_t key[KEY_BYTES], kcv[3];
	int ret = key_check_value(engine, s->entry.alg, s->key, kcv);

	if (ret == 0 && !mac_equal(kcv, s->entry.kcv, sizeof(kcv)))
		ret = KEYS_E_CHECK_VALUE;
	if (ret != 0 || memcmp(s->entry.known_pan, nobody, sizeof(nobody)) == 0)
		return ret;
	ret = keyring_parent(ring, i, engine, key);
	if (ret == 0)
		ret = key_diversify(engine, s->entry.alg, key, s->entry.known_pan + 2, key);
	if (ret == 0)
		ret = key_check_value(engine, s->entry.alg, key, kcv);
	key_wipe(key, sizeof(key));
	return ret != 0 || mac_equal(kcv, s->entry.known_kcv, sizeof(kcv)) ? ret : KEYS_E_ANSWER;
}

int keyring_prove(const struct keyring *ring, size_t *ret_i)
{
	struct mac_engine *engine;
	int ret = mac_engine_new(&engine);

	if (ret != 0)
		return ret;
	for (size_t i = 0; ret == 0 && i < ring->count; i++) {
		*ret_i = i;
		if ((ring->slot[i].entry.flags & (KEY_FLAG_INACTIVE | KEY_FLAG_IN_DEVICE)) == 0)
			ret = slot_prove(ring, i, engine);
	}
	mac_engine_free(engine);
	return ret;
}

/* ---- what a ring must bring along ----------------------------------------------------------------------- */

static bool name_same(const struct key_entry *a, const struct key_entry *b)
{
	return a->purpose == b->purpose && a->alg == b->alg && a->scheme == b->scheme && a->version == b->version && a->index == b->index &&
	       memcmp(a->issuer, b->issuer, sizeof(a->issuer)) == 0;
}

static bool key_same(const struct key_entry *a, const struct key_entry *b)
{
	char of_a[KEY_FACTORS_TEXT_BYTES], of_b[KEY_FACTORS_TEXT_BYTES];

	key_factors_text(a, of_a);
	key_factors_text(b, of_b);
	return memcmp(a->kcv, b->kcv, sizeof(a->kcv)) == 0 && strcmp(of_a, of_b) == 0;
}

static bool trust_kept(const struct key_entry *before, const struct key_entry *now)
{
	return (before->flags & KEY_FLAG_DISTRUSTED) == 0 || ((now->flags & KEY_FLAG_DISTRUSTED) != 0 && now->distrust_from_ms <= before->distrust_from_ms);
}

/* The entry that comes nearest decides what is said: a key of another content, then one not active, and so on. */
static const char *entry_lacks(const struct keyring *ring, const struct key_entry *before)
{
	const char *why = "is in force and not in the new ring";

	for (size_t i = 0; i < ring->count; i++) {
		const struct key_entry *now = &ring->slot[i].entry;

		if (!name_same(now, before))
			continue;
		if (!key_same(now, before))
			why = "is in force and another key in the new ring";
		else if ((now->flags & KEY_FLAG_INACTIVE) != 0)
			why = "is in force and inactive in the new ring";
		else if (now->valid_from_ms > before->valid_from_ms)
			why = "is in force and begins later in the new ring";
		else if (!trust_kept(before, now))
			why = "is distrusted, which the new ring does not know";
		else
			return NULL;
	}
	return why;
}

const char *keyring_lacks(const struct keyring *ring, const struct keyring *before, int64_t from_ms, size_t *ret_i)
{
	for (size_t i = 0; i < before->count; i++) {
		const struct key_entry *e = &before->slot[i].entry;
		const char *why = e->purpose == KEY_TAC && (e->flags & KEY_FLAG_INACTIVE) == 0 && e->valid_to_ms > from_ms ? entry_lacks(ring, e) : NULL;

		if (why != NULL) {
			*ret_i = i;
			return why;
		}
	}
	return NULL;
}
