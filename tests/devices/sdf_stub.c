/*
 * stub - a cipher machine by GM/T 0018 for tests: SM4 keys under KEK 1, in software. It does as the file named by
 * QINGFEN_SDF_MODE says, read at each call: "good" or nothing; "slow MS"; "absent" (every call fails); "lying" (wrong
 * bytes); "sly" (right for one block, wrong for more); "flip" (wrong each second time, of more than one block).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#define SDR_OK 0
#define SDR_COMMFAIL 0x01000003
#define SDR_PARDENY 0x01000007

int SDF_OpenDevice(void **device);
int SDF_CloseDevice(void *device);
int SDF_OpenSession(void *device, void **session);
int SDF_CloseSession(void *session);
int SDF_GetDeviceInfo(void *session, void *info);
int SDF_ImportKeyWithKEK(void *session, unsigned alg, unsigned kek, unsigned char *key, unsigned bytes, void **handle);
int SDF_DestroyKey(void *session, void *handle);
int SDF_Encrypt(void *session, void *handle, unsigned alg, unsigned char *iv, unsigned char *in, unsigned n, unsigned char *out, unsigned *ret_n);

static const unsigned char kek_one[16] = { 0x4B, 0x45, 0x4B, 0x31, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
static unsigned calls;

/* False: the call fails. */
static int mode(char word[16])
{
	const char *path = getenv("QINGFEN_SDF_MODE");
	FILE *f = path != NULL ? fopen(path, "re") : NULL;
	int ms = 0;

	word[0] = '\0';
	if (f != NULL) {
		if (fscanf(f, "%15s %d", word, &ms) < 1)
			word[0] = '\0';
		fclose(f);
	}
	if (ms > 0)
		usleep((unsigned)ms * 1000);
	return strcmp(word, "absent") != 0;
}

static int sm4(const unsigned char key[16], int encrypt, const unsigned char *in, unsigned n, unsigned char *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int got = 0, good;

	good = ctx != NULL && EVP_CipherInit_ex(ctx, EVP_sm4_ecb(), NULL, key, NULL, encrypt) == 1 && EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
	       EVP_CipherUpdate(ctx, out, &got, in, (int)n) == 1 && (unsigned)got == n;
	EVP_CIPHER_CTX_free(ctx);
	return good;
}

int SDF_OpenDevice(void **device)
{
	char word[16];

	if (!mode(word))
		return SDR_COMMFAIL;
	*device = malloc(1);
	return SDR_OK;
}

int SDF_CloseDevice(void *device)
{
	free(device);
	return SDR_OK;
}

int SDF_OpenSession(void *device, void **session)
{
	char word[16];

	if (!mode(word) || device == NULL)
		return SDR_COMMFAIL;
	*session = malloc(1);
	return SDR_OK;
}

int SDF_CloseSession(void *session)
{
	free(session);
	return SDR_OK;
}

int SDF_GetDeviceInfo(void *session, void *info)
{
	if (session == NULL)
		return SDR_COMMFAIL;
	memcpy(info, "qingfen test stub", 18);
	memcpy((char *)info + 40, "sdf-stub", 9);
	memcpy((char *)info + 56, "0001", 5);
	return SDR_OK;
}

int SDF_ImportKeyWithKEK(void *session, unsigned alg, unsigned kek, unsigned char *key, unsigned bytes, void **handle)
{
	unsigned char *kept;
	char word[16];

	if (!mode(word) || session == NULL)
		return SDR_COMMFAIL;
	if (alg != 0x401 || kek != 1 || bytes != 16)
		return SDR_PARDENY;
	kept = malloc(16);
	if (kept == NULL || !sm4(kek_one, 0, key, 16, kept)) {
		free(kept);
		return SDR_COMMFAIL;
	}
	*handle = kept;
	return SDR_OK;
}

int SDF_DestroyKey(void *session, void *handle)
{
	(void)session;
	free(handle);
	return SDR_OK;
}

int SDF_Encrypt(void *session, void *handle, unsigned alg, unsigned char *iv, unsigned char *in, unsigned n, unsigned char *out, unsigned *ret_n)
{
	char word[16];

	(void)iv;
	if (!mode(word) || session == NULL || alg != 0x401 || n % 16 != 0 || !sm4(handle, 1, in, n, out))
		return SDR_COMMFAIL;
	if (strcmp(word, "lying") == 0 || (strcmp(word, "sly") == 0 && n > 16) || (strcmp(word, "flip") == 0 && n > 16 && calls++ % 2 == 0))
		out[n - 16] ^= 1;
	*ret_n = n;
	return SDR_OK;
}
