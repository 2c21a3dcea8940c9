/*
 * key_file - a ring at rest: key blocks under a storage key that comes from a passphrase.
 *
 * Each key is bound to what it is for: the entry is the authenticated data of its block, so a TAC key cannot be made a
 * load key, nor an old version a new one, by changing bytes. The whole is bound too, so that no block can be taken out,
 * doubled or put into another ring. Every save draws a new salt, hence new keys, and new nonces.
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
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#define FILE_MAGIC "QFKEYS02"
#define BLOCK_MAGIC "QKB1"
#define SALT_BYTES 16
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define MAC_WHOLE_BYTES 32
#define SCRYPT_LOG2_N 15	/* 32 MiB and about 0.1 s a guess; r 8, p 1 */
#define SCRYPT_LOG2_N_MIN 10
#define SCRYPT_LOG2_N_MAX 20

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

static uint8_t *put_bytes(uint8_t *p, const void *from, size_t n)
{
	memcpy(p, from, n);
	return p + n;
}

static void get_bytes(const uint8_t **p, void *to, size_t n)
{
	memcpy(to, *p, n);
	*p += n;
}

/* ---- one block ------------------------------------------------------------------------------------ */

static void head_put(const struct key_entry *e, uint8_t head[KEY_BLOCK_HEAD_BYTES])
{
	uint8_t *p = put_bytes(head, BLOCK_MAGIC, 4);

	memset(p, 0, KEY_BLOCK_HEAD_BYTES - 4);
	p = put(p, e->purpose, 1);
	p = put(p, e->alg, 1);
	p = put(p, e->scheme, 1);
	p = put_bytes(p, e->issuer, 4);
	p = put(p, e->version, 1);
	p = put(p, e->index, 1);
	p = put(p, e->flags, 1);
	p = put(p, e->levels, 1);
	p = put_bytes(p, e->factor, sizeof(e->factor));
	p = put_bytes(p, e->constant, sizeof(e->constant));
	p = put(p, (uint64_t)e->valid_from_ms, 8);
	p = put(p, (uint64_t)e->valid_to_ms, 8);
	p = put(p, (uint64_t)e->distrust_from_ms, 8);
	p = put_bytes(p, e->kcv, sizeof(e->kcv));
	p = put_bytes(p, e->known_pan, sizeof(e->known_pan));
	p = put_bytes(p, e->known_kcv, sizeof(e->known_kcv));
	put_bytes(p, e->act, sizeof(e->act));
}

static void head_get(const uint8_t *head, struct key_entry *ret)
{
	const uint8_t *p = head + 4;

	ret->purpose = (enum key_purpose)get(&p, 1);
	ret->alg = (enum key_alg)get(&p, 1);
	ret->scheme = (uint8_t)get(&p, 1);
	get_bytes(&p, ret->issuer, 4);
	ret->version = (uint8_t)get(&p, 1);
	ret->index = (uint8_t)get(&p, 1);
	ret->flags = (uint8_t)get(&p, 1);
	ret->levels = (uint8_t)get(&p, 1);
	get_bytes(&p, ret->factor, sizeof(ret->factor));
	get_bytes(&p, ret->constant, sizeof(ret->constant));
	ret->valid_from_ms = (int64_t)get(&p, 8);
	ret->valid_to_ms = (int64_t)get(&p, 8);
	ret->distrust_from_ms = (int64_t)get(&p, 8);
	get_bytes(&p, ret->kcv, sizeof(ret->kcv));
	get_bytes(&p, ret->known_pan, sizeof(ret->known_pan));
	get_bytes(&p, ret->known_kcv, sizeof(ret->known_kcv));
	get_bytes(&p, ret->act, sizeof(ret->act));
}

/* AES-256-GCM of one key; block is head, nonce, text, tag. */
static int gcm(bool seal, const uint8_t storage[STORAGE_KEY_BYTES], const uint8_t *block, const uint8_t *in, uint8_t *out, uint8_t *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int got, ret = KEYS_E_CRYPTO;

	if (ctx == NULL)
		return -ENOMEM;
	if (EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), storage, block + KEY_BLOCK_HEAD_BYTES, seal, NULL) != 1 ||
	    EVP_CipherUpdate(ctx, NULL, &got, block, KEY_BLOCK_HEAD_BYTES) != 1 || EVP_CipherUpdate(ctx, out, &got, in, KEY_BYTES) != 1)
		goto out;
	if (!seal && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) != 1)
		goto out;
	ret = EVP_CipherFinal_ex(ctx, out + KEY_BYTES, &got) == 1 ? 0 : KEYS_E_BLOCK;
	if (ret == 0 && seal && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) != 1)
		ret = KEYS_E_CRYPTO;
out:
	EVP_CIPHER_CTX_free(ctx);
	return ret;
}

int key_block_seal(const uint8_t storage[STORAGE_KEY_BYTES], const struct slot *s, uint8_t ret_block[KEY_BLOCK_BYTES])
{
	uint8_t *nonce = ret_block + KEY_BLOCK_HEAD_BYTES, *text = nonce + NONCE_BYTES;

	head_put(&s->entry, ret_block);
	if (RAND_bytes(nonce, NONCE_BYTES) != 1)
		return KEYS_E_CRYPTO;
	return gcm(true, storage, ret_block, s->key, text, text + KEY_BYTES);
}

int key_block_open(const uint8_t storage[STORAGE_KEY_BYTES], const uint8_t block[KEY_BLOCK_BYTES], struct slot *ret_slot)
{
	const uint8_t *text = block + KEY_BLOCK_HEAD_BYTES + NONCE_BYTES;
	uint8_t key[2 * KEY_BYTES], tag[TAG_BYTES];
	struct slot s = { 0 };
	int ret;

	if (memcmp(block, BLOCK_MAGIC, 4) != 0)
		return KEYS_E_BLOCK;
	memcpy(tag, text + KEY_BYTES, sizeof(tag));
	ret = gcm(false, storage, block, text, key, tag);
	head_get(block, &s.entry);
	if (ret == 0 && !key_entry_sane(&s.entry))
		ret = KEYS_E_BLOCK;
	if (ret == 0) {
		memcpy(s.key, key, KEY_BYTES);
		*ret_slot = s;
	}
	key_wipe(key, sizeof(key));
	key_wipe(&s, sizeof(s));
	return ret;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

static int whole_mac(const uint8_t storage[2 * STORAGE_KEY_BYTES], const uint8_t *file, size_t n, uint8_t ret_mac[MAC_WHOLE_BYTES])
{
	unsigned got = 0;

	return HMAC(EVP_sha256(), storage + STORAGE_KEY_BYTES, STORAGE_KEY_BYTES, file, n, ret_mac, &got) != NULL && got == MAC_WHOLE_BYTES ? 0 : KEYS_E_CRYPTO;
}

int key_file_seal(const uint8_t storage[2 * STORAGE_KEY_BYTES], const struct keyring *ring, uint8_t *file, size_t *ret_n)
{
	size_t n = KEY_FILE_HEAD_BYTES;
	int ret = 0;

	put(file + KEY_FILE_HEAD_BYTES - 2, ring->count, 2);
	for (size_t i = 0; ret == 0 && i < ring->count; i++, n += KEY_BLOCK_BYTES)
		ret = key_block_seal(storage, &ring->slot[i], file + n);
	if (ret == 0)
		ret = whole_mac(storage, file, n, file + n);
	*ret_n = n + MAC_WHOLE_BYTES;
	return ret;
}

int key_file_open(const uint8_t storage[2 * STORAGE_KEY_BYTES], const uint8_t *file, size_t n, struct keyring *ring)
{
	const uint8_t *p = file + KEY_FILE_HEAD_BYTES - 2;
	uint8_t mac[MAC_WHOLE_BYTES];
	struct slot s;
	size_t count;
	int ret;

	if (n < KEY_FILE_HEAD_BYTES + MAC_WHOLE_BYTES)
		return KEYS_E_FORMAT;
	count = (size_t)get(&p, 2);
	if (memcmp(file, FILE_MAGIC, 8) != 0 || count > KEYRING_ENTRIES_MAX || n != KEY_FILE_HEAD_BYTES + count * KEY_BLOCK_BYTES + MAC_WHOLE_BYTES)
		return KEYS_E_FORMAT;
	ret = whole_mac(storage, file, n - MAC_WHOLE_BYTES, mac);
	if (ret == 0 && !mac_equal(mac, file + n - MAC_WHOLE_BYTES, MAC_WHOLE_BYTES))
		ret = KEYS_E_PASSPHRASE;
	for (size_t i = 0; ret == 0 && i < count; i++, p += KEY_BLOCK_BYTES) {
		ret = key_block_open(storage, p, &s);
		if (ret == 0)
			ret = keyring_put(ring, &s.entry, s.key);
		key_wipe(&s, sizeof(s));
	}
	return ret;
}

static int storage_key(const char *passphrase, const uint8_t *salt, uint64_t log2_n, uint8_t ret_key[2 * STORAGE_KEY_BYTES])
{
	if (log2_n < SCRYPT_LOG2_N_MIN || log2_n > SCRYPT_LOG2_N_MAX)
		return KEYS_E_FORMAT;
	return EVP_PBE_scrypt(passphrase, strlen(passphrase), salt, SALT_BYTES, 1ull << log2_n, 8, 1, 1100u << 20, ret_key, 2 * STORAGE_KEY_BYTES) == 1
		       ? 0 : KEYS_E_CRYPTO;
}

/* ---- on disk -------------------------------------------------------------------------------------------- */

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
	uint8_t file[KEY_FILE_BYTES_MAX], key[2 * STORAGE_KEY_BYTES], *p = put_bytes(file, FILE_MAGIC, 8);
	size_t n = 0;
	int ret;

	p = put(p, SCRYPT_LOG2_N, 4);
	if (RAND_bytes(p, SALT_BYTES) != 1)
		return KEYS_E_CRYPTO;
	ret = storage_key(passphrase, p, SCRYPT_LOG2_N, key);
	if (ret == 0)
		ret = key_file_seal(key, ring, file, &n);
	if (ret == 0)
		ret = file_replace(path, file, n);
	key_wipe(key, sizeof(key));
	return ret;
}

static int file_read(const char *path, uint8_t *ret_p, size_t space, size_t *ret_n)
{
	FILE *f = fopen(path, "rbe");
	size_t n;

	if (f == NULL)
		return -errno;
	n = fread(ret_p, 1, space, f);
	fclose(f);
	if (n == space)
		return KEYS_E_FORMAT;
	*ret_n = n;
	return 0;
}

int keyring_open(const char *path, const char *passphrase, struct keyring **ret_ring)
{
	uint8_t file[KEY_FILE_BYTES_MAX + 1], key[2 * STORAGE_KEY_BYTES] = { 0 };
	const uint8_t *p = file + 8;
	struct keyring *ring = NULL;
	size_t n = 0;
	int ret = file_read(path, file, sizeof(file), &n);

	if (ret == 0 && (n < KEY_FILE_HEAD_BYTES + MAC_WHOLE_BYTES || memcmp(file, FILE_MAGIC, 8) != 0))
		ret = KEYS_E_FORMAT;
	if (ret == 0)
		ret = storage_key(passphrase, file + 12, get(&p, 4), key);
	if (ret == 0)
		ret = keyring_new(&ring);
	if (ret == 0)
		ret = key_file_open(key, file, n, ring);
	if (ret == 0) {
		*ret_ring = ring;
		ring = NULL;
	}
	keyring_free(ring);
	key_wipe(key, sizeof(key));
	return ret;
}
