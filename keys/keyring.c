/*
 * keyring - root keys with what they are for, in memory and in an encrypted file.
 *
 * A loaded ring never changes, so threads share it without locks. The file is AES-256-GCM under a key
 * from PBKDF2-HMAC-SHA256; the head is authenticated too, so any changed byte is a wrong passphrase.
 * Software custody is meant for tests and small systems and says so when a program loads it.
 */
#include "keys/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#define FILE_MAGIC "QFKEYS01"
#define SALT_BYTES 16
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define PBKDF2_ROUNDS 200000
#define HEAD_BYTES (8 + 4 + SALT_BYTES + NONCE_BYTES)
#define ENTRY_BYTES (1 + 1 + 4 + 1 + 1 + 1 + 8 + 8 + KEY_BYTES)
#define FILE_BYTES_MAX (HEAD_BYTES + 2 + KEYRING_ENTRIES_MAX * ENTRY_BYTES + TAG_BYTES)

struct slot {
	struct key_entry entry;
	uint8_t key[KEY_BYTES];
};
struct keyring {
	size_t count;
	struct slot slot[KEYRING_ENTRIES_MAX];
};

int keyring_new(struct keyring **ret_ring)
{
	struct keyring *ring = calloc(1, sizeof(*ring));

	if (ring == NULL)
		return -ENOMEM;
	*ret_ring = ring;
	return 0;
}

void keyring_free(struct keyring *ring)
{
	if (ring == NULL)
		return;
	key_wipe(ring, sizeof(*ring));
	free(ring);
}

size_t keyring_count(const struct keyring *ring) { return ring->count; }

const struct key_entry *keyring_entry(const struct keyring *ring, size_t i) { return &ring->slot[i].entry; }

static bool entry_is_sane(const struct key_entry *e)
{
	return e->purpose >= KEY_PURCHASE && e->purpose <= KEY_UPDATE && e->levels >= 1 && e->levels <= KEY_LEVELS_MAX &&
	       (e->alg == KEY_ALG_3DES || e->alg == KEY_ALG_SM4) && e->valid_from_ms < e->valid_to_ms;
}

static bool entry_overlaps(const struct key_entry *a, const struct key_entry *b)
{
	return a->purpose == b->purpose && a->alg == b->alg && a->version == b->version &&
	       memcmp(a->issuer, b->issuer, 4) == 0 && a->valid_from_ms < b->valid_to_ms && b->valid_from_ms < a->valid_to_ms;
}

int keyring_add(struct keyring *ring, struct key_entry *entry, const uint8_t key[KEY_BYTES])
{
	struct mac_engine *engine = NULL;
	int ret;

	if (!entry_is_sane(entry))
		return KEYS_E_FORMAT;
	if (ring->count == KEYRING_ENTRIES_MAX)
		return KEYS_E_FULL;
	for (size_t i = 0; i < ring->count; i++)
		if (entry_overlaps(&ring->slot[i].entry, entry))
			return KEYS_E_DUPLICATE;
	ret = mac_engine_new(&engine);
	if (ret == 0)
		ret = key_check_value(engine, entry->alg, key, entry->kcv);
	mac_engine_free(engine);
	if (ret != 0)
		return ret;
	ring->slot[ring->count].entry = *entry;
	memcpy(ring->slot[ring->count].key, key, KEY_BYTES);
	ring->count++;
	return 0;
}

/* ---- the file ---------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	return p + n;
}

static uint64_t get(const uint8_t **p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | *(*p)++;
	return v;
}

static uint8_t *slot_put(uint8_t *p, const struct slot *s)
{
	p = put(p, s->entry.purpose, 1);
	p = put(p, s->entry.alg, 1);
	memcpy(p, s->entry.issuer, 4);
	p = put(p + 4, s->entry.version, 1);
	p = put(p, s->entry.index, 1);
	p = put(p, s->entry.levels, 1);
	p = put(p, (uint64_t)s->entry.valid_from_ms, 8);
	p = put(p, (uint64_t)s->entry.valid_to_ms, 8);
	memcpy(p, s->key, KEY_BYTES);
	return p + KEY_BYTES;
}

static const uint8_t *slot_get(const uint8_t *p, struct slot *ret)
{
	ret->entry.purpose = (enum key_purpose)get(&p, 1);
	ret->entry.alg = (enum key_alg)get(&p, 1);
	memcpy(ret->entry.issuer, p, 4);
	p += 4;
	ret->entry.version = (uint8_t)get(&p, 1);
	ret->entry.index = (uint8_t)get(&p, 1);
	ret->entry.levels = (uint8_t)get(&p, 1);
	ret->entry.valid_from_ms = (int64_t)get(&p, 8);
	ret->entry.valid_to_ms = (int64_t)get(&p, 8);
	memcpy(ret->key, p, KEY_BYTES);
	return p + KEY_BYTES;
}

static int file_key(const char *passphrase, const uint8_t *salt, uint32_t rounds, uint8_t ret_key[32])
{
	if (rounds < 1000 || rounds > 10000000)
		return KEYS_E_FORMAT;
	if (PKCS5_PBKDF2_HMAC(passphrase, (int)strlen(passphrase), salt, SALT_BYTES, (int)rounds, EVP_sha256(), 32, ret_key) != 1)
		return KEYS_E_CRYPTO;
	return 0;
}

/* Seal or open body in place under the head as additional data. */
static int gcm(bool seal, const uint8_t key[32], const uint8_t *head, uint8_t *body, size_t n, uint8_t tag[TAG_BYTES])
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int got, ret = KEYS_E_CRYPTO;

	if (ctx == NULL)
		return -ENOMEM;
	if (EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), key, head + HEAD_BYTES - NONCE_BYTES, seal, NULL) != 1 ||
	    EVP_CipherUpdate(ctx, NULL, &got, head, HEAD_BYTES) != 1 || EVP_CipherUpdate(ctx, body, &got, body, (int)n) != 1)
		goto out;
	if (!seal && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) != 1)
		goto out;
	ret = EVP_CipherFinal_ex(ctx, body + n, &got) == 1 ? 0 : KEYS_E_PASSPHRASE;
	if (ret == 0 && seal && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) != 1)
		ret = KEYS_E_CRYPTO;
out:
	EVP_CIPHER_CTX_free(ctx);
	return ret;
}

static int dir_sync(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, ret;

	snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(slash - path + 1) : 1, slash != NULL ? path : ".");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return ret;
}

/* Beside the target, synced, renamed: a reader sees the old file or the new one. */
static int file_replace(const char *path, const uint8_t *p, size_t n)
{
	char temp[PATH_MAX];
	int fd, ret = 0;

	if (snprintf(temp, sizeof(temp), "%s.new", path) >= (int)sizeof(temp))
		return -ENAMETOOLONG;
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, p, n) != (ssize_t)n || fsync(fd) != 0)
		ret = -EIO;
	close(fd);
	if (ret == 0 && rename(temp, path) != 0)
		ret = -errno;
	if (ret != 0)
		unlink(temp);
	return ret != 0 ? ret : dir_sync(path);
}

int keyring_save(const struct keyring *ring, const char *path, const char *passphrase)
{
	uint8_t file[FILE_BYTES_MAX + KEY_BYTES], key[32], *p = file;
	uint8_t *body = file + HEAD_BYTES;
	size_t n;
	int ret;

	memcpy(p, FILE_MAGIC, 8);
	p = put(p + 8, PBKDF2_ROUNDS, 4);
	if (RAND_bytes(p, SALT_BYTES + NONCE_BYTES) != 1)
		return KEYS_E_CRYPTO;
	ret = file_key(passphrase, p, PBKDF2_ROUNDS, key);
	p = put(body, ring->count, 2);
	for (size_t i = 0; i < ring->count; i++)
		p = slot_put(p, &ring->slot[i]);
	n = (size_t)(p - body);
	if (ret == 0)
		ret = gcm(true, key, file, body, n, body + n);
	if (ret == 0)
		ret = file_replace(path, file, HEAD_BYTES + n + TAG_BYTES);
	key_wipe(file, sizeof(file));
	key_wipe(key, sizeof(key));
	return ret;
}

static int file_read(const char *path, uint8_t *ret_p, size_t space, size_t *ret_n)
{
	FILE *f = fopen(path, "rbe");
	size_t n;

	if (f == NULL)
		return -errno;
	setvbuf(f, NULL, _IONBF, 0);
	n = fread(ret_p, 1, space, f);
	fclose(f);
	if (n == space)
		return KEYS_E_FORMAT;
	*ret_n = n;
	return 0;
}

static int body_read(const uint8_t *body, size_t n, struct keyring *ring)
{
	const uint8_t *p = body;
	size_t count = n >= 2 ? (size_t)get(&p, 2) : SIZE_MAX;
	int ret = 0;

	if (count > KEYRING_ENTRIES_MAX || n != 2 + count * ENTRY_BYTES)
		return KEYS_E_FORMAT;
	for (size_t i = 0; ret == 0 && i < count; i++) {
		struct slot s;

		p = slot_get(p, &s);
		ret = keyring_add(ring, &s.entry, s.key);
		key_wipe(&s, sizeof(s));
	}
	return ret;
}

int keyring_open(const char *path, const char *passphrase, struct keyring **ret_ring)
{
	uint8_t file[FILE_BYTES_MAX + KEY_BYTES], key[32] = { 0 };
	const uint8_t *p = file + 8;
	struct keyring *ring = NULL;
	size_t n = 0;
	int ret = file_read(path, file, sizeof(file), &n);

	if (ret == 0 && (n < HEAD_BYTES + 2 + TAG_BYTES || memcmp(file, FILE_MAGIC, 8) != 0))
		ret = KEYS_E_FORMAT;
	if (ret == 0)
		ret = file_key(passphrase, file + 12, (uint32_t)get(&p, 4), key);
	if (ret == 0) {
		n -= HEAD_BYTES + TAG_BYTES;
		ret = gcm(false, key, file, file + HEAD_BYTES, n, file + HEAD_BYTES + n);
	}
	if (ret == 0)
		ret = keyring_new(&ring);
	if (ret == 0)
		ret = body_read(file + HEAD_BYTES, n, ring);
	if (ret == 0) {
		*ret_ring = ring;
		ring = NULL;
	}
	keyring_free(ring);
	key_wipe(file, sizeof(file));
	key_wipe(key, sizeof(key));
	return ret;
}

/* ---- card keys ------------------------------------------------------------------------------- */

static const struct slot *slot_find(const struct keyring *ring, enum key_purpose purpose, const uint8_t issuer[4],
				    uint8_t version, enum key_alg alg, int64_t at_ms)
{
	for (size_t i = 0; i < ring->count; i++) {
		const struct key_entry *e = &ring->slot[i].entry;

		if (e->purpose == purpose && e->version == version && e->alg == alg && memcmp(e->issuer, issuer, 4) == 0 &&
		    at_ms >= e->valid_from_ms && at_ms < e->valid_to_ms)
			return &ring->slot[i];
	}
	return NULL;
}

static int slot_parent(const struct slot *s, struct mac_engine *engine, uint8_t ret_key[KEY_BYTES])
{
	uint8_t factor[KEY_FACTOR_BYTES] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };

	memcpy(ret_key, s->key, KEY_BYTES);
	if (s->entry.levels < 2)
		return 0;
	memcpy(factor, s->entry.issuer, 4);
	return key_diversify(engine, s->entry.alg, s->key, factor, ret_key);
}

int keyring_parent(const struct keyring *ring, size_t i, struct mac_engine *engine, uint8_t ret_key[KEY_BYTES])
{
	return i < ring->count ? slot_parent(&ring->slot[i], engine, ret_key) : KEYS_E_NOT_FOUND;
}

int keyring_find(const struct keyring *ring, enum key_purpose purpose, const uint8_t issuer[4], uint8_t version, uint8_t alg_id, int64_t at_ms,
		 size_t *ret_i)
{
	const struct slot *s;
	enum key_alg alg;

	if (!key_alg_of_id(alg_id, &alg))
		return KEYS_E_NOT_FOUND;
	s = slot_find(ring, purpose, issuer, version, alg, at_ms);
	if (s == NULL)
		return KEYS_E_NOT_FOUND;
	*ret_i = (size_t)(s - ring->slot);
	return 0;
}

int keyring_card_key(const struct keyring *ring, struct mac_engine *engine, enum key_purpose purpose,
		     const uint8_t issuer[4], uint8_t version, uint8_t alg_id, int64_t at_ms,
		     const uint8_t pan[10], uint8_t ret_key[KEY_BYTES])
{
	uint8_t level[KEY_BYTES];
	size_t i;
	int ret = keyring_find(ring, purpose, issuer, version, alg_id, at_ms, &i);

	if (ret != 0)
		return ret;
	ret = slot_parent(&ring->slot[i], engine, level);
	if (ret == 0)
		ret = key_diversify(engine, ring->slot[i].entry.alg, level, pan + 2, ret_key);
	key_wipe(level, sizeof(level));
	return ret;
}

static bool ring_has_issuer(const struct keyring *ring, const uint8_t issuer[4])
{
	for (size_t i = 0; i < ring->count; i++)
		if (ring->slot[i].entry.purpose == KEY_TAC && memcmp(ring->slot[i].entry.issuer, issuer, 4) == 0)
			return true;
	return false;
}

enum key_check tac_classify(const struct keyring *ring, const struct tac_question *q, size_t *ret_i)
{
	static const uint8_t all_f[MAC_BYTES] = { 0xFF, 0xFF, 0xFF, 0xFF }, all_0[MAC_BYTES];

	if (memcmp(q->tac, all_f, MAC_BYTES) == 0 || memcmp(q->tac, all_0, MAC_BYTES) == 0)
		return KEY_CHECK_GREY;
	if (keyring_find(ring, KEY_TAC, q->issuer, q->key_version, q->alg_id, q->at_ms, ret_i) == 0)
		return KEY_CHECK_NONE;
	return ring_has_issuer(ring, q->issuer) ? KEY_CHECK_NO_KEY : KEY_CHECK_FOREIGN;
}

enum key_check tac_verify(struct mac_engine *engine, const struct keyring *ring, const struct tac_question *q)
{
	uint8_t dtk[KEY_BYTES], tac[MAC_BYTES];
	enum key_check check;
	size_t i;
	int ret;

	check = tac_classify(ring, q, &i);
	if (check != KEY_CHECK_NONE)
		return check;
	ret = slot_parent(&ring->slot[i], engine, dtk);
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
	default: return NULL;
	}
}
