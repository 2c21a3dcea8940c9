/*
 * backend - the software backend, and what drivers of devices share: a device encrypts factors, which are the card
 * keys, and the codes are computed here.
 */
#include "keys/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CARDS_AT_ONCE 256

const struct key_backend *key_backend_of(const char *name)
{
	static const struct key_backend *const known[] = { &key_backend_software, &key_backend_pkcs11, &key_backend_sdf };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i]->name, name) == 0)
			return known[i];
	return NULL;
}

/* ---- devices ---------------------------------------------------------------------------------- */

static void factor_text(const uint8_t pan[10], uint8_t text[KEY_BYTES])
{
	for (size_t i = 0; i < KEY_FACTOR_BYTES; i++) {
		text[i] = pan[2 + i];
		text[KEY_FACTOR_BYTES + i] = (uint8_t)~pan[2 + i];
	}
}

int device_tacs(struct mac_engine *engine, enum key_alg alg, device_encrypt encrypt, void *self, size_t key, const struct tac_question *const *q, size_t n,
		uint8_t (*ret_tac)[MAC_BYTES])
{
	uint8_t in[CARDS_AT_ONCE * KEY_BYTES], out[CARDS_AT_ONCE * KEY_BYTES];
	int ret = 0;

	for (size_t done = 0, some; ret == 0 && done < n; done += some) {
		some = n - done < CARDS_AT_ONCE ? n - done : CARDS_AT_ONCE;
		for (size_t i = 0; i < some; i++)
			factor_text(q[done + i]->pan, in + i * KEY_BYTES);
		ret = encrypt(self, key, in, out, some * KEY_BYTES);
		for (size_t i = 0; ret == 0 && i < some; i++)
			ret = mac_tac_once(engine, alg, out + i * KEY_BYTES, q[done + i]->purchase, ret_tac[done + i]);
	}
	key_wipe(out, sizeof(out));
	return ret;
}

int device_card_check(struct mac_engine *engine, enum key_alg alg, device_encrypt encrypt, void *self, size_t key, const uint8_t pan[10], uint8_t ret_kcv[3])
{
	uint8_t in[KEY_BYTES], out[KEY_BYTES];
	int ret;

	factor_text(pan, in);
	ret = encrypt(self, key, in, out, sizeof(in));
	if (ret == 0)
		ret = key_check_value(engine, alg, out, ret_kcv);
	key_wipe(out, sizeof(out));
	return ret;
}

static int named_find(const struct keyring *ring, const struct tac_question *q, bool in_device, size_t *ret_key)
{
	const struct key_name name = { .purpose = KEY_TAC, .scheme = q->scheme, .issuer = q->issuer, .version = q->key_version, .index = q->key_index,
				       .alg_id = q->alg_id, .at_ms = q->at_ms };
	size_t i;

	if (keyring_find(ring, &name, &i) != 0 || ((ring->slot[i].entry.flags & KEY_FLAG_IN_DEVICE) != 0) != in_device)
		return KEYS_E_NOT_FOUND;
	*ret_key = i;
	return 0;
}

int device_find(const struct keyring *ring, const struct tac_question *q, size_t *ret_key) { return named_find(ring, q, true, ret_key); }

/* ---- software -------------------------------------------------------------------------------------- */

struct software { const struct keyring *ring; struct mac_engine *engine; };

static void software_close(void *arg)
{
	struct software *s = arg;

	if (s == NULL)
		return;
	mac_engine_free(s->engine);
	free(s);
}

static int software_open(const struct key_backend_conf *conf, const struct keyring *ring, void **ret_self)
{
	struct software *s = calloc(1, sizeof(*s));
	int ret = s == NULL ? -ENOMEM : mac_engine_new(&s->engine);

	(void)conf;
	if (ret != 0) {
		free(s);
		return ret;
	}
	s->ring = ring;
	*ret_self = s;
	return 0;
}

static int software_find(void *arg, const struct tac_question *q, size_t *ret_key)
{
	const struct software *s = arg;

	return named_find(s->ring, q, false, ret_key);
}

static int software_tacs(void *arg, size_t key, const struct tac_question *const *q, size_t n, uint8_t (*ret_tac)[MAC_BYTES])
{
	const struct software *s = arg;
	enum key_alg alg = s->ring->slot[key].entry.alg;
	uint8_t parent[KEY_BYTES], card[KEY_BYTES];
	int ret = keyring_parent(s->ring, key, s->engine, parent);

	for (size_t i = 0; ret == 0 && i < n; i++) {
		ret = key_diversify(s->engine, alg, parent, q[i]->pan + 2, card);
		if (ret == 0)
			ret = mac_purchase_tac(s->engine, alg, card, q[i]->purchase, ret_tac[i]);
	}
	key_wipe(parent, sizeof(parent));
	key_wipe(card, sizeof(card));
	return ret;
}

static int software_card_check(void *arg, size_t key, const uint8_t pan[10], uint8_t ret_kcv[3])
{
	const struct software *s = arg;
	enum key_alg alg = s->ring->slot[key].entry.alg;
	uint8_t card[KEY_BYTES];
	int ret = keyring_parent(s->ring, key, s->engine, card);

	if (ret == 0)
		ret = key_diversify(s->engine, alg, card, pan + 2, card);
	if (ret == 0)
		ret = key_check_value(s->engine, alg, card, ret_kcv);
	key_wipe(card, sizeof(card));
	return ret;
}

static void software_status(void *arg, char *ret_text, size_t bytes)
{
	static const char text[] = "keys are in this process; production wants a key device";

	(void)arg;
	if (bytes > 0) {
		strncpy(ret_text, text, bytes - 1);
		ret_text[bytes - 1] = '\0';
	}
}

const struct key_backend key_backend_software = { "software", software_open, software_find, software_tacs, software_card_check, software_status, software_close };
