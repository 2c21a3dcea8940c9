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

static void read_alike(struct tap_forms *forms, const uint8_t *p, size_t n)
{
	const char *field = NULL, *like_field = NULL;
	uint8_t a[TAP_ENCODED_BYTES_MAX], b[TAP_ENCODED_BYTES_MAX];
	struct tap tap, like;
	int code = tap_read(p, n, &tap, &field), bytes;

	assert(tap_like_read(forms, p, n, &like, &like_field) == code && (code == 0 || strcmp(field, like_field) == 0));
	if (code != 0)
		return;
	bytes = tap_encode(&tap, a, sizeof(a));
	assert(bytes > 0 && tap_encode(&like, b, sizeof(b)) == bytes && memcmp(a, b, (size_t)bytes) == 0);
}

/* A record with a byte changed is read by the form of what it was as it is without one. */
static void changed_says_the_same(const uint8_t *p, size_t n)
{
	static struct tap_forms forms;
	uint8_t changed[TAP_ENCODED_BYTES_MAX];

	if (n > sizeof(changed))
		return;
	memset(&forms, 0, sizeof(forms));
	for (int i = 0; i < 20; i++)
		read_alike(&forms, p, n);
	memcpy(changed, p, n);
	for (size_t i = 0; i < n; i++) {
		changed[i] ^= (uint8_t)(1 << (i + p[n - 1]) % 8);
		read_alike(&forms, changed, n);
		changed[i] = p[i];
	}
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
	changed_says_the_same(p, n);
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
