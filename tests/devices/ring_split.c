/*
 * ring_split - puts TAC keys of a test ring where a key device keeps them, for the tests of devices:
 *   ring_split pkcs11 MODULE TOKEN PIN-FILE RING PASSPHRASE-FILE OUT	3DES roots into the token
 *   ring_split sdf RING PASSPHRASE-FILE OUT				SM4 issuer keys under KEK 1 of the stub
 * OUT is the ring with references in their place and known answers of one card. A house in earnest brings its keys into
 * the device by the vendor's ceremony and enters them by qingfen keys ring device; nothing reads a ring's secrets there.
 */
#include "keys/keyring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dlfcn.h>
#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>

static const uint8_t kek_one[16] = { 0x4B, 0x45, 0x4B, 0x31, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
static const uint8_t known_pan[10] = { 0x03, 0x10, 0x47, 0x30, 0x10, 0, 0, 0, 0, 0x77 };

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "ring_split: %s\n", what);
	exit(1);
}

static void line_read(const char *path, char text[128])
{
	FILE *f = fopen(path, "re");

	must(f != NULL && fgets(text, 128, f) != NULL, path);
	fclose(f);
	text[strcspn(text, "\r\n")] = '\0';
}

/* ---- PKCS#11 ------------------------------------------------------------------------------------------- */

static CK_FUNCTION_LIST *call;
static CK_SESSION_HANDLE session;

static void token_open(const char *module, const char *token, char *pin)
{
	void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL), *symbol = library != NULL ? dlsym(library, "C_GetFunctionList") : NULL;
	CK_C_GetFunctionList list;
	CK_SLOT_ID slots[16];
	CK_ULONG n = 16;
	CK_TOKEN_INFO info;

	must(symbol != NULL, "no PKCS#11 module there");
	memcpy(&list, &symbol, sizeof(list));
	must(list(&call) == CKR_OK && call->C_Initialize(NULL) == CKR_OK && call->C_GetSlotList(CK_TRUE, slots, &n) == CKR_OK, "the module does not start");
	for (CK_ULONG i = 0; i < n; i++)
		if (call->C_GetTokenInfo(slots[i], &info) == CKR_OK && strncmp((const char *)info.label, token, strlen(token)) == 0) {
			must(call->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session) == CKR_OK &&
			     call->C_Login(session, CKU_USER, (unsigned char *)pin, strlen(pin)) == CKR_OK, "the token lets nobody in");
			return;
		}
	must(false, "no token of this label");
}

/* Sensitive, not extractable, good for deriving alone. Two-key 3DES as a DES3 object is left, right, left. */
static void root_put(char *label, const uint8_t root[KEY_BYTES])
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_DES3;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	uint8_t value[24];
	CK_ATTRIBUTE made[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_KEY_TYPE, &type, sizeof(type) }, { CKA_TOKEN, &yes, sizeof(yes) },
		{ CKA_PRIVATE, &yes, sizeof(yes) }, { CKA_SENSITIVE, &yes, sizeof(yes) }, { CKA_EXTRACTABLE, &no, sizeof(no) }, { CKA_DERIVE, &yes, sizeof(yes) },
		{ CKA_ENCRYPT, &no, sizeof(no) }, { CKA_LABEL, label, strlen(label) }, { CKA_VALUE, value, sizeof(value) } };
	CK_OBJECT_HANDLE object;

	memcpy(value, root, KEY_BYTES);
	memcpy(value + KEY_BYTES, root, 8);
	must(call->C_CreateObject(session, made, sizeof(made) / sizeof(made[0]), &object) == CKR_OK, "the token does not take a key");
}

/* ---- the ring -------------------------------------------------------------------------------------------- */

static void known_answer(struct mac_engine *engine, const struct keyring *ring, struct slot *s)
{
	uint8_t card[KEY_BYTES];

	memcpy(s->entry.known_pan, known_pan, sizeof(known_pan));
	must(keyring_card_key(ring, engine, KEY_TAC, s->entry.issuer, s->entry.version, (uint8_t)s->entry.alg, s->entry.valid_from_ms, known_pan, card) == 0 &&
	     key_check_value(engine, s->entry.alg, card, s->entry.known_kcv) == 0, "no known answer");
	s->entry.flags |= KEY_FLAG_IN_DEVICE;
}

static void to_token(struct mac_engine *engine, const struct keyring *ring, struct slot *s)
{
	char label[KEY_BYTES + 1];

	known_answer(engine, ring, s);
	snprintf(label, sizeof(label), "tac-%u", s->entry.version);
	root_put(label, s->key);
	memset(s->key, 0, KEY_BYTES);
	memcpy(s->key, label, strlen(label));
}

static void to_machine(struct mac_engine *engine, const struct keyring *ring, size_t i, struct slot *s)
{
	uint8_t parent[KEY_BYTES], wrapped[2 * KEY_BYTES];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;

	known_answer(engine, ring, s);
	must(keyring_parent(ring, i, engine, parent) == 0 && EVP_EncryptInit_ex(ctx, EVP_sm4_ecb(), NULL, kek_one, NULL) == 1 &&
	     EVP_EncryptUpdate(ctx, wrapped, &n, parent, KEY_BYTES) == 1, "no SM4");
	EVP_CIPHER_CTX_free(ctx);
	memcpy(s->key, wrapped, KEY_BYTES);
	memset(s->entry.factor, 0, sizeof(s->entry.factor));
	s->entry.levels = 1;
}

int main(int argc, char **argv)
{
	bool token = argc == 8 && strcmp(argv[1], "pkcs11") == 0;
	char passphrase[128], pin[128];
	struct mac_engine *engine;
	struct keyring *ring = NULL, *out = NULL;

	must(token || (argc == 5 && strcmp(argv[1], "sdf") == 0), "usage: pkcs11 MODULE TOKEN PIN-FILE RING PASSPHRASE-FILE OUT | sdf RING PASSPHRASE-FILE OUT");
	line_read(argv[argc - 2], passphrase);
	must(mac_engine_new(&engine) == 0 && keyring_open(argv[argc - 3], passphrase, &ring) == 0 && keyring_new(&out) == 0, argv[argc - 3]);
	if (token) {
		line_read(argv[4], pin);
		token_open(argv[2], argv[3], pin);
	}
	for (size_t i = 0; i < ring->count; i++) {
		struct slot s = ring->slot[i];

		if (token && s.entry.purpose == KEY_TAC && s.entry.alg == KEY_ALG_3DES)
			to_token(engine, ring, &s);
		else if (!token && s.entry.purpose == KEY_TAC && s.entry.alg == KEY_ALG_SM4)
			to_machine(engine, ring, i, &s);
		must(keyring_put(out, &s.entry, s.key) == 0, "the new ring takes no key");
	}
	must(keyring_save(out, argv[argc - 1], passphrase) == 0, argv[argc - 1]);
	if (token)
		call->C_Finalize(NULL);
	keyring_free(ring);
	keyring_free(out);
	mac_engine_free(engine);
	return 0;
}
