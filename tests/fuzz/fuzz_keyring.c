/*
 * A keyring file under a storage key that is known: what is changed anywhere is refused, and so is what only its maker could
 * have sealed: with the first bit set, the seal over the whole is made good again, so that what lies below it is reached.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "keys/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t storage[2 * STORAGE_KEY_BYTES] = { 1, 2, 3 };
	struct keyring *ring;
	uint8_t *file;
	size_t at;
	int ret;

	if (n == 0 || keyring_new(&ring) != 0)
		return 0;
	file = malloc(n);
	if (file == NULL)
		abort();
	memcpy(file, p + 1, n - 1);
	if ((p[0] & 1) != 0 && n - 1 > 32)
		HMAC(EVP_sha256(), storage + STORAGE_KEY_BYTES, STORAGE_KEY_BYTES, file, n - 33, file + n - 33, NULL);
	ret = key_file_open(storage, file, n - 1, ring);
	assert(keyring_count(ring) <= KEYRING_ENTRIES_MAX);
	if (ret == 0)
		assert(keyring_count(ring) == (n - 1 - KEY_FILE_HEAD_BYTES - 32) / KEY_BLOCK_BYTES && keyring_prove(ring, &at) <= 0);
	keyring_free(ring);
	free(file);
	return 0;
}
