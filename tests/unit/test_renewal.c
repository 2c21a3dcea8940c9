/* Requests that devices send over their connection: kept for whom they are, and for nobody else. */
#include "clearing/renewal.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>

static char dir[] = "/tmp/qingfen-renewal-XXXXXX";
static char *in_use, *next, *request;
static X509 *shown, *other;

static X509 *certificate_of_key(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
	X509 *x = X509_new();

	X509_set_version(x, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_sign(x, key, EVP_sha256());
	EVP_PKEY_free(key);
	BIO_free(b);
	return x;
}

static int requests_make(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL || enrol_key_new(&in_use) != 0 || enrol_key_new(&next) != 0 || enrol_renewal_new("V-00017", next, in_use, &request) != 0)
		return -1;
	shown = certificate_of_key(in_use);
	other = certificate_of_key(next);
	return 0;
}

static int requests_free(void **state)
{
	(void)state;
	X509_free(shown);
	X509_free(other);
	free(in_use);
	free(next);
	free(request);
	return rmdir(dir);
}

static unsigned files(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;

	while (d != NULL && (e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void a_request_is_kept_for_the_device_that_shows_the_certificate_it_is_signed_with(void **state)
{
	char path[128];

	(void)state;
	assert_string_equal(renewal_keep(dir, "V-00018", shown, request, strlen(request)), "the request is of another device");
	assert_string_equal(renewal_keep(dir, "V-00017", other, request, strlen(request)), "the request is not signed with the key of the certificate shown");
	assert_non_null(renewal_keep(dir, "V-00017", shown, request, strlen(request) / 2));
	assert_non_null(renewal_keep(dir, "V-00017", shown, "", 0));
	assert_int_equal(files(), 0);
	assert_null(renewal_keep(dir, "V-00017", shown, request, strlen(request)));
	assert_null(renewal_keep(dir, "V-00017", shown, request, strlen(request)));	/* again: the same file */
	assert_int_equal(files(), 1);
	snprintf(path, sizeof(path), "%s/V-00017.request", dir);
	assert_int_equal(unlink(path), 0);
}

static void a_first_request_with_a_code_is_not_a_renewal(void **state)
{
	uint8_t code_key[ENROL_PROOF_BYTES] = { 1 };
	char *first;

	(void)state;
	assert_int_equal(enrol_request_new("V-00017", next, code_key, &first), 0);
	assert_string_equal(renewal_keep(dir, "V-00017", shown, first, strlen(first)), "the request is not signed with the key of the certificate shown");
	assert_int_equal(files(), 0);
	free(first);
}

static void no_name_of_a_device_leads_out_of_the_folder(void **state)
{
	static const char *const names[] = { "../V-00017", "..", "a/b", "", ".hidden", "a\nb" };
	uint32_t version;
	char *p;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_string_equal(renewal_keep(dir, names[i], shown, request, strlen(request)), "the device's name cannot be a file's");
		assert_int_equal(renewal_certificate(dir, names[i], &p, &n, &version), -ENOENT);
	}
	assert_int_equal(files(), 0);
}

static void a_certificate_is_given_whole_with_a_version_of_its_bytes(void **state)
{
	static const char text[] = "a certificate";
	uint32_t version = 0, again = 0;
	char path[128], *p;
	size_t n = 0;
	FILE *f;

	(void)state;
	assert_int_equal(renewal_certificate(dir, "V-00017", &p, &n, &version), -ENOENT);
	snprintf(path, sizeof(path), "%s/V-00017.crt", dir);
	f = fopen(path, "we");
	fputs(text, f);
	fclose(f);
	assert_int_equal(renewal_certificate(dir, "V-00017", &p, &n, &version), 0);
	assert_int_equal(n, sizeof(text) - 1);
	assert_memory_equal(p, text, n);
	assert_int_not_equal(version, 0);
	free(p);
	f = fopen(path, "ae");
	fputs("x", f);
	fclose(f);
	assert_int_equal(renewal_certificate(dir, "V-00017", &p, &n, &again), 0);
	assert_int_not_equal(again, version);
	free(p);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_kept_for_the_device_that_shows_the_certificate_it_is_signed_with),
		cmocka_unit_test(a_first_request_with_a_code_is_not_a_renewal),
		cmocka_unit_test(no_name_of_a_device_leads_out_of_the_folder),
		cmocka_unit_test(a_certificate_is_given_whole_with_a_version_of_its_bytes),
	};

	return cmocka_run_group_tests(tests, requests_make, requests_free);
}
