/* One tap record. What decodes must encode, and decode to the same bytes again. */
#include <assert.h>
#include <string.h>

#include "validator/validator.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* The version in two bytes is not read the usual way: what the other says is the same. */
static void widened_says_the_same(const uint8_t *p, size_t n, int code, const char *field)
{
	uint8_t wide[TAP_ENCODED_BYTES_MAX + 1];
	const char *wide_field = NULL;
	struct tap tap;

	if (n < 3 + TAP_FIELD_COUNT || n > TAP_ENCODED_BYTES_MAX || p[0] != 0xDC || p[1] != 0 || p[2] != TAP_FIELD_COUNT || p[3] > 0x7F)
		return;
	memcpy(wide, p, 3);
	wide[3] = 0xCC;
	memcpy(wide + 4, p + 3, n - 3);
	assert(tap_decode(wide, n + 1, &tap, &wide_field) == code && (code == 0 || strcmp(field, wide_field) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t once[TAP_ENCODED_BYTES_MAX], twice[TAP_ENCODED_BYTES_MAX], key[TAP_KEY_BYTES];
	const char *field = NULL;
	struct tap tap, again;
	char id[TAP_ID_BYTES];
	int bytes;

	(void)msgpack_walk(p, n, 8);
	bytes = tap_decode(p, n, &tap, &field);
	widened_says_the_same(p, n, bytes, field);
	if (bytes != 0) {
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
