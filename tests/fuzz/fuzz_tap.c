/* One tap record. What decodes must encode, and decode to the same bytes again. */
#include <assert.h>
#include <string.h>

#include "validator/validator.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t once[TAP_ENCODED_BYTES_MAX], twice[TAP_ENCODED_BYTES_MAX], key[TAP_KEY_BYTES];
	const char *field = NULL;
	struct tap tap, again;
	char id[TAP_ID_BYTES];
	int bytes;

	(void)msgpack_walk(p, n, 8);
	if (tap_decode(p, n, &tap, &field) != 0) {
		assert(field != NULL);
		return 0;
	}
	assert(msgpack_walk(p, n, 8) == 0);
	tap.version = TAP_VERSION;	/* a later record, read as ours */
	bytes = tap_encode(&tap, once, sizeof(once));
	assert(bytes > 0 && tap_decode(once, (size_t)bytes, &again, &field) == 0);
	assert(tap_encode(&again, twice, sizeof(twice)) == bytes && memcmp(once, twice, (size_t)bytes) == 0);
	tap_key(&tap, key);
	tap_id_format(key, id);
	return 0;
}
