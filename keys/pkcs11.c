/*
 * pkcs11 - key devices by PKCS#11, called directly; the module is loaded by its path.
 *
 * A key of the ring is a secret key object of the token, found by its label, for 3DES: the root stays inside, each level
 * above the card is derived inside into a session object that cannot be read (CKM_DES3_ECB_ENCRYPT_DATA over a factor and
 * its complement is the diversification of T-Union), and only the card's own key comes out, as the encryption of its
 * factor. PKCS#11 2.40 has no SM4: such keys are another backend's.
 */
#include "keys/backend.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

#define SLOTS_MAX 64

struct pkcs11 {
	const struct keyring *ring;
	struct mac_engine *engine;
	void *library;
	CK_FUNCTION_LIST *call;
	bool counted;			/* among the users of the module */
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE parent[KEYRING_ENTRIES_MAX];	/* the key above the card's; CK_INVALID_HANDLE 0 */
	unsigned wanted, found;				/* keys of the ring | of them in the token */
};

/*
 * A module is initialized once a process, and ending it ends everybody's sessions. While one ring takes another's place
 * both use it: the last one ends it. A module that somebody else initialized is not ours to end.
 */
static struct { pthread_mutex_t lock; CK_FUNCTION_LIST *call; unsigned users; } ours = { .lock = PTHREAD_MUTEX_INITIALIZER };

static CK_RV module_begin(CK_FUNCTION_LIST *call, bool *ret_counted)
{
	CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
	CK_RV rv;

	pthread_mutex_lock(&ours.lock);
	rv = call->C_Initialize(&args);
	*ret_counted = rv == CKR_OK ? ours.users == 0 : rv == CKR_CRYPTOKI_ALREADY_INITIALIZED && ours.users > 0 && ours.call == call;
	if (*ret_counted) {
		ours.call = call;
		ours.users++;
	}
	pthread_mutex_unlock(&ours.lock);
	return rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? CKR_OK : rv;
}

static void module_end(CK_FUNCTION_LIST *call)
{
	pthread_mutex_lock(&ours.lock);
	if (--ours.users == 0)
		call->C_Finalize(NULL);
	pthread_mutex_unlock(&ours.lock);
}

static int code_of(CK_RV rv) { return rv == CKR_OK ? 0 : KEYS_E_DEVICE; }

static int library_load(struct pkcs11 *p, const char *path)
{
	CK_C_GetFunctionList list;
	void *symbol;

	/* the module stays mapped after a close: some do not survive being unloaded and loaded again */
	p->library = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
	symbol = p->library != NULL ? dlsym(p->library, "C_GetFunctionList") : NULL;
	if (symbol == NULL)
		return KEYS_E_DEVICE;
	memcpy(&list, &symbol, sizeof(list));
	if (list(&p->call) != CKR_OK)
		return KEYS_E_DEVICE;
	return code_of(module_begin(p->call, &p->counted));
}

/* Labels are padded with blanks. */
static bool label_is(const unsigned char *label, size_t n, const char *text)
{
	size_t used = strlen(text);

	if (used > n || memcmp(label, text, used) != 0)
		return false;
	while (used < n && label[used] == ' ')
		used++;
	return used == n;
}

static int token_find(struct pkcs11 *p, const char *label)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX;

	if (label == NULL || p->call->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
		return KEYS_E_DEVICE;
	for (CK_ULONG i = 0; i < n; i++) {
		CK_TOKEN_INFO info;

		if (p->call->C_GetTokenInfo(slots[i], &info) == CKR_OK && label_is(info.label, sizeof(info.label), label)) {
			p->slot = slots[i];
			return 0;
		}
	}
	return KEYS_E_DEVICE;
}

static int session_open(struct pkcs11 *p, const char *pin)
{
	CK_RV rv = p->call->C_OpenSession(p->slot, CKF_SERIAL_SESSION, NULL, NULL, &p->session);

	if (rv == CKR_OK && pin != NULL)
		rv = p->call->C_Login(p->session, CKU_USER, (unsigned char *)(uintptr_t)pin, strlen(pin));
	return rv == CKR_USER_ALREADY_LOGGED_IN ? 0 : code_of(rv);
}

static int object_find(struct pkcs11 *p, const uint8_t reference[KEY_BYTES], CK_OBJECT_HANDLE *ret)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	char label[KEY_BYTES + 1] = "";
	CK_ATTRIBUTE match[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_LABEL, label, 0 } };
	CK_ULONG n = 0;
	CK_RV rv;

	memcpy(label, reference, KEY_BYTES);
	match[1].ulValueLen = strlen(label);
	rv = p->call->C_FindObjectsInit(p->session, match, 2);
	if (rv != CKR_OK)
		return code_of(rv);
	rv = p->call->C_FindObjects(p->session, ret, 1, &n);
	p->call->C_FindObjectsFinal(p->session);
	return rv == CKR_OK && n == 1 ? 0 : KEYS_E_DEVICE;
}

/* One level down, inside: a session object nobody can read. */
static int level_derive(struct pkcs11 *p, const uint8_t factor[KEY_FACTOR_BYTES], CK_OBJECT_HANDLE *io)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_DES2;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE made[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_KEY_TYPE, &type, sizeof(type) }, { CKA_TOKEN, &no, sizeof(no) },
		{ CKA_SENSITIVE, &yes, sizeof(yes) }, { CKA_EXTRACTABLE, &no, sizeof(no) }, { CKA_ENCRYPT, &yes, sizeof(yes) }, { CKA_DERIVE, &yes, sizeof(yes) } };
	unsigned char text[KEY_BYTES];
	CK_KEY_DERIVATION_STRING_DATA data = { text, sizeof(text) };
	CK_MECHANISM mechanism = { CKM_DES3_ECB_ENCRYPT_DATA, &data, sizeof(data) };

	for (size_t i = 0; i < KEY_FACTOR_BYTES; i++) {
		text[i] = factor[i];
		text[KEY_FACTOR_BYTES + i] = (unsigned char)~factor[i];
	}
	return code_of(p->call->C_DeriveKey(p->session, &mechanism, *io, made, sizeof(made) / sizeof(made[0]), io));
}

static int parent_make(struct pkcs11 *p, const struct slot *s, CK_OBJECT_HANDLE *ret)
{
	uint8_t factor[KEY_FACTOR_BYTES];
	CK_OBJECT_HANDLE handle;
	int code = object_find(p, s->key, &handle);

	for (size_t level = 0; code == 0 && level + 1 < s->entry.levels; level++) {
		key_factor_bytes(&s->entry, level, factor);
		code = level_derive(p, factor, &handle);
	}
	if (code == 0)
		*ret = handle;
	return code;
}

static int keys_prepare(struct pkcs11 *p)
{
	for (size_t i = 0; i < p->ring->count; i++) {
		const struct slot *s = &p->ring->slot[i];

		if (s->entry.purpose != KEY_TAC || s->entry.alg != KEY_ALG_3DES || (s->entry.flags & KEY_FLAG_IN_DEVICE) == 0)
			continue;
		p->wanted++;
		p->found += parent_make(p, s, &p->parent[i]) == 0;
	}
	return p->found > 0 ? 0 : KEYS_E_DEVICE;
}

static void pkcs11_close(void *arg)
{
	struct pkcs11 *p = arg;

	if (p == NULL)
		return;
	if (p->session != 0)
		p->call->C_CloseSession(p->session);
	if (p->counted)
		module_end(p->call);
	if (p->library != NULL)
		dlclose(p->library);
	mac_engine_free(p->engine);
	free(p);
}

static int pkcs11_open(const struct key_backend_conf *conf, const struct keyring *ring, void **ret_self)
{
	struct pkcs11 *p = calloc(1, sizeof(*p));
	int ret = p == NULL ? -ENOMEM : mac_engine_new(&p->engine);

	if (ret == 0) {
		p->ring = ring;
		ret = library_load(p, conf->module);
	}
	if (ret == 0)
		ret = token_find(p, conf->token);
	if (ret == 0)
		ret = session_open(p, conf->pin);
	if (ret == 0)
		ret = keys_prepare(p);
	if (ret == 0) {
		*ret_self = p;
		p = NULL;
	}
	pkcs11_close(p);
	return ret;
}

static int pkcs11_find(void *arg, const struct tac_question *q, size_t *ret_key)
{
	const struct pkcs11 *p = arg;
	size_t key;
	int ret = device_find(p->ring, q, &key);

	if (ret != 0 || p->parent[key] == 0)
		return KEYS_E_NOT_FOUND;
	*ret_key = key;
	return 0;
}

static int pkcs11_encrypt(void *arg, size_t key, const uint8_t *in, uint8_t *out, size_t n)
{
	CK_MECHANISM mechanism = { CKM_DES3_ECB, NULL, 0 };
	struct pkcs11 *p = arg;
	CK_ULONG got = n;

	if (p->parent[key] == 0 || p->call->C_EncryptInit(p->session, &mechanism, p->parent[key]) != CKR_OK ||
	    p->call->C_Encrypt(p->session, (unsigned char *)(uintptr_t)in, n, out, &got) != CKR_OK || got != n)
		return KEYS_E_DEVICE;
	return 0;
}

static int pkcs11_tacs(void *arg, size_t key, const struct tac_question *const *q, size_t n, uint8_t (*ret_tac)[MAC_BYTES])
{
	struct pkcs11 *p = arg;

	return device_tacs(p->engine, KEY_ALG_3DES, pkcs11_encrypt, p, key, q, n, ret_tac);
}

static int pkcs11_card_check(void *arg, size_t key, const uint8_t pan[10], uint8_t ret_kcv[3])
{
	struct pkcs11 *p = arg;

	return device_card_check(p->engine, KEY_ALG_3DES, pkcs11_encrypt, p, key, pan, ret_kcv);
}

static void pkcs11_status(void *arg, char *ret_text, size_t bytes)
{
	struct pkcs11 *p = arg;
	CK_TOKEN_INFO info;

	if (p->call->C_GetTokenInfo(p->slot, &info) != CKR_OK)
		snprintf(ret_text, bytes, "%u of %u keys; the token gives no account of itself", p->found, p->wanted);
	else
		snprintf(ret_text, bytes, "%u of %u keys; %.32s %.16s %.16s", p->found, p->wanted, (const char *)info.manufacturerID, (const char *)info.model,
			 (const char *)info.serialNumber);
}

const struct key_backend key_backend_pkcs11 = { "pkcs11", pkcs11_open, pkcs11_find, pkcs11_tacs, pkcs11_card_check, pkcs11_status, pkcs11_close };
