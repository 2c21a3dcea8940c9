/*
 * sdf - key devices by GM/T 0018 (SDF), the interface of Chinese cipher machines and cards. The vendor's library is
 * loaded by its path; what is called of it is written down here by the standard's names.
 *
 * A key of the ring is the issuer's own SM4 key encrypted under a key-encrypting key of the device, which imports it
 * into a session and encrypts card factors with it. SDF has no derivation that keeps its result inside, so a key with
 * levels above the card is refused: the level between would leave the device.
 */
#include "keys/backend.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SDR_OK 0
#define SGD_SM4_ECB 0x00000401u		/* GM/T 0006 */

struct sdf_device_info {
	unsigned char issuer[40], name[16], serial[16];
	unsigned version, standard, asymmetric[2], symmetric, hash, buffer;
};
struct sdf_functions {
	int (*open_device)(void **device);
	int (*close_device)(void *device);
	int (*open_session)(void *device, void **session);
	int (*close_session)(void *session);
	int (*device_info)(void *session, struct sdf_device_info *info);
	int (*import_with_kek)(void *session, unsigned alg, unsigned kek, unsigned char *key, unsigned key_bytes, void **handle);
	int (*destroy_key)(void *session, void *handle);
	int (*encrypt)(void *session, void *handle, unsigned alg, unsigned char *iv, unsigned char *in, unsigned in_bytes, unsigned char *out, unsigned *out_bytes);
};
struct sdf {
	const struct keyring *ring;
	struct mac_engine *engine;
	void *library, *device, *session;
	struct sdf_functions call;
	void *handle[KEYRING_ENTRIES_MAX];
	unsigned wanted, found;		/* keys of the ring | of them taken by the device */
};

static int library_load(struct sdf *s, const char *path)
{
	static const char *const names[] = { "SDF_OpenDevice", "SDF_CloseDevice", "SDF_OpenSession", "SDF_CloseSession", "SDF_GetDeviceInfo",
		"SDF_ImportKeyWithKEK", "SDF_DestroyKey", "SDF_Encrypt" };
	void *found[8];

	static_assert(sizeof(found) == sizeof(s->call), "one pointer a function, in the order of the struct");
	s->library = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;	/* as in pkcs11.c */
	for (size_t i = 0; s->library != NULL && i < 8; i++)
		if ((found[i] = dlsym(s->library, names[i])) == NULL)
			return KEYS_E_DEVICE;
	if (s->library == NULL)
		return KEYS_E_DEVICE;
	memcpy(&s->call, found, sizeof(found));
	return 0;
}

static bool is_ours(const struct key_entry *e)
{
	return e->purpose == KEY_TAC && e->alg == KEY_ALG_SM4 && (e->flags & KEY_FLAG_IN_DEVICE) != 0 && e->levels == 1;
}

static int keys_import(struct sdf *s, uint32_t kek)
{
	for (size_t i = 0; i < s->ring->count; i++) {
		uint8_t wrapped[KEY_BYTES];

		if (!is_ours(&s->ring->slot[i].entry))
			continue;
		memcpy(wrapped, s->ring->slot[i].key, KEY_BYTES);
		s->wanted++;
		if (s->call.import_with_kek(s->session, SGD_SM4_ECB, kek, wrapped, KEY_BYTES, &s->handle[i]) != SDR_OK)
			s->handle[i] = NULL;
		s->found += s->handle[i] != NULL;
	}
	return s->found > 0 ? 0 : KEYS_E_DEVICE;
}

static void sdf_close(void *arg)
{
	struct sdf *s = arg;

	if (s == NULL)
		return;
	for (size_t i = 0; s->session != NULL && i < KEYRING_ENTRIES_MAX; i++)
		if (s->handle[i] != NULL)
			s->call.destroy_key(s->session, s->handle[i]);
	if (s->session != NULL)
		s->call.close_session(s->session);
	if (s->device != NULL)
		s->call.close_device(s->device);
	if (s->library != NULL)
		dlclose(s->library);
	mac_engine_free(s->engine);
	free(s);
}

static int sdf_open(const struct key_backend_conf *conf, const struct keyring *ring, void **ret_self)
{
	struct sdf *s = calloc(1, sizeof(*s));
	int ret = s == NULL ? -ENOMEM : mac_engine_new(&s->engine);

	if (ret == 0) {
		s->ring = ring;
		ret = library_load(s, conf->module);
	}
	if (ret == 0 && (s->call.open_device(&s->device) != SDR_OK || s->call.open_session(s->device, &s->session) != SDR_OK))
		ret = KEYS_E_DEVICE;
	if (ret == 0)
		ret = keys_import(s, conf->kek);
	if (ret == 0) {
		*ret_self = s;
		s = NULL;
	}
	sdf_close(s);
	return ret;
}

static int sdf_find(void *arg, const struct tac_question *q, size_t *ret_key)
{
	const struct sdf *s = arg;
	size_t key;
	int ret = device_find(s->ring, q, &key);

	if (ret != 0 || s->handle[key] == NULL)
		return KEYS_E_NOT_FOUND;
	*ret_key = key;
	return 0;
}

static int sdf_encrypt(void *arg, size_t key, const uint8_t *in, uint8_t *out, size_t n)
{
	struct sdf *s = arg;
	unsigned got = (unsigned)n;

	if (s->handle[key] == NULL || s->call.encrypt(s->session, s->handle[key], SGD_SM4_ECB, NULL, (unsigned char *)(uintptr_t)in, (unsigned)n, out, &got) != SDR_OK ||
	    got != n)
		return KEYS_E_DEVICE;
	return 0;
}

static int sdf_tacs(void *arg, size_t key, const struct tac_question *const *q, size_t n, uint8_t (*ret_tac)[MAC_BYTES])
{
	struct sdf *s = arg;

	return device_tacs(s->engine, KEY_ALG_SM4, sdf_encrypt, s, key, q, n, ret_tac);
}

static int sdf_card_check(void *arg, size_t key, const uint8_t pan[10], uint8_t ret_kcv[3])
{
	struct sdf *s = arg;

	return device_card_check(s->engine, KEY_ALG_SM4, sdf_encrypt, s, key, pan, ret_kcv);
}

static void sdf_status(void *arg, char *ret_text, size_t bytes)
{
	struct sdf *s = arg;
	struct sdf_device_info info = { .issuer = "" };

	if (s->call.device_info(s->session, &info) != SDR_OK)
		snprintf(ret_text, bytes, "%u of %u keys; the device gives no account of itself", s->found, s->wanted);
	else
		snprintf(ret_text, bytes, "%u of %u keys; %.40s %.16s %.16s", s->found, s->wanted, (const char *)info.issuer, (const char *)info.name,
			 (const char *)info.serial);
}

const struct key_backend key_backend_sdf = { "sdf", sdf_open, sdf_find, sdf_tacs, sdf_card_check, sdf_status, sdf_close };
