/* Requests for a device's certificate: what proves the code, what renews, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "validator/validator.h"

static char *key, *other;
static uint8_t code_key[ENROL_PROOF_BYTES];

static int keys_make(void **state)
{
	char code[ENROL_CODE_BYTES + 1];

	(void)state;
	return enrol_key_new(&key) != 0 || enrol_key_new(&other) != 0 || enrol_code_new(code) != 0 || !enrol_code_key(code, code_key) ? -1 : 0;
}

static int keys_free(void **state)
{
	(void)state;
	free(key);
	free(other);
	return 0;
}

static void a_code_is_read_however_it_is_typed_and_never_another(void **state)
{
	uint8_t a[ENROL_PROOF_BYTES], b[ENROL_PROOF_BYTES];
	char code[ENROL_CODE_BYTES + 1], again[ENROL_CODE_BYTES + 1];

	(void)state;
	assert_int_equal(enrol_code_new(code), 0);
	assert_int_equal(enrol_code_new(again), 0);
	assert_int_equal(strlen(code), ENROL_CODE_BYTES);
	assert_string_not_equal(code, again);
	assert_true(enrol_code_key("ABCD-EFGH-JKMN-PQRS-TVWX", a));
	assert_true(enrol_code_key("abcdefghjkmn pqrstvwx\r\n", b));
	assert_memory_equal(a, b, sizeof(a));
	assert_true(enrol_code_key("ABCD-EFGH-JKMN-PQRS-TVWY", b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_false(enrol_code_key("ABCD-EFGH-JKMN-PQRS-TVW", b));	/* 19 */
	assert_false(enrol_code_key("ABCD-EFGH-JKMN-PQRS-TVWXY", b));	/* 21 */
	assert_false(enrol_code_key("ABCD-EFGH-JKMN-PQRS-TVWU", b));	/* no U in it */
	assert_false(enrol_code_key("", b));
}

static void a_request_proves_its_own_code_for_its_own_device_only(void **state)
{
	uint8_t wrong[ENROL_PROOF_BYTES];
	struct enrol_request r;
	char *text;

	(void)state;
	assert_int_equal(enrol_request_new("V-00017", key, code_key, &text), 0);
	assert_null(strstr(text, "PRIVATE"));
	assert_null(enrol_request_read(text, strlen(text), &r));
	assert_string_equal(r.device, "V-00017");
	assert_true(enrol_proved(&r, code_key));
	memcpy(wrong, code_key, sizeof(wrong));
	wrong[31] ^= 1;
	assert_false(enrol_proved(&r, wrong));
	strcpy(r.device, "V-00018");
	assert_false(enrol_proved(&r, code_key));
	enrol_request_done(&r);
	free(text);
	assert_int_equal(enrol_renewal_new("V-00017", other, key, &text), 0);
	assert_null(enrol_request_read(text, strlen(text), &r));
	assert_false(enrol_proved(&r, code_key));	/* a renewal has no proof */
	enrol_request_done(&r);
	free(text);
	assert_int_equal(enrol_request_new("V-00017", "no key", code_key, &text), KEYS_E_CRYPTO);
}

/* A character anywhere: refused, or it says and proves what it said before (the line ends of PEM). */
static void no_request_with_a_character_changed_proves_anything_else(void **state)
{
	struct enrol_request r, true_one;
	size_t n, bad = 0;
	char *text;

	(void)state;
	assert_int_equal(enrol_request_new("V-00017", key, code_key, &text), 0);
	n = strlen(text);
	assert_null(enrol_request_read(text, n, &true_one));
	for (size_t i = 0; i < 8 * n; i++) {
		text[i / 8] ^= (char)(1 << i % 8);
		if (enrol_request_read(text, n, &r) == NULL) {
			bad += r.key_bytes != true_one.key_bytes || memcmp(r.key, true_one.key, r.key_bytes) != 0 || strcmp(r.device, true_one.device) != 0;
			enrol_request_done(&r);
		}
		text[i / 8] ^= (char)(1 << i % 8);
	}
	enrol_request_done(&true_one);
	assert_int_equal(bad, 0);
	free(text);
}

static void what_is_no_request_is_refused_with_its_reason(void **state)
{
	static char big[ENROL_REQUEST_BYTES_MAX + 1];
	struct enrol_request r;
	char *text;

	(void)state;
	memset(big, 'A', sizeof(big));
	assert_string_equal(enrol_request_read(big, sizeof(big), &r), "more than 4096 bytes");
	assert_string_equal(enrol_request_read(big, sizeof(big) - 1, &r), "not a certificate request in PEM");
	assert_string_equal(enrol_request_read("", 0, &r), "not a certificate request in PEM");
	assert_int_equal(enrol_request_new("a-name-of-more-than-15-bytes", key, code_key, &text), 0);
	assert_string_equal(enrol_request_read(text, strlen(text), &r), "the request names no device");
	free(text);
}

static void a_certificate_that_cannot_be_read_fits_nothing(void **state)
{
	struct enrol_request r;
	int64_t end = 7;
	char *text;

	(void)state;
	assert_string_equal(enrol_certificate_fits("nothing", key, "V-00017", 0, &end), "the certificate cannot be read");
	assert_int_equal(end, 7);
	assert_int_equal(enrol_renewal_new("V-00017", other, key, &text), 0);
	assert_null(enrol_request_read(text, strlen(text), &r));
	assert_int_not_equal(r.signature_bytes, 0);
	assert_false(enrol_renews(&r, "nothing"));
	enrol_request_done(&r);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_code_is_read_however_it_is_typed_and_never_another),
		cmocka_unit_test(a_request_proves_its_own_code_for_its_own_device_only),
		cmocka_unit_test(no_request_with_a_character_changed_proves_anything_else),
		cmocka_unit_test(what_is_no_request_is_refused_with_its_reason),
		cmocka_unit_test(a_certificate_that_cannot_be_read_fits_nothing),
	};

	return cmocka_run_group_tests(tests, keys_make, keys_free);
}
