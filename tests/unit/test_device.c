/* Who a validator is by its certificate, and which lists take that away: in process, no socket. */
#include "clearing/crl_seen.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define HOUR_MS 3600000LL
static const uint8_t terminal[6] = { 0x42, 0x80, 0, 0, 0, 0x17 }, psam[6] = { 0x42, 0x80, 0, 0, 0, 0x18 };
static const char uri[] = "urn:qingfen:terminal:428000000017:psam:428000000018";
static char dir[] = "/tmp/qingfen-device-XXXXXX", ca_path[64], crl_path[64];
static EVP_PKEY *ca_key, *other_key;
static X509 *ca;

static X509 *cert_new(const char *common, long serial, const char *names)
{
	X509 *x = X509_new();
	X509V3_CTX ctx;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)common, -1, -1, 0);
	X509_set_issuer_name(x, ca != NULL ? X509_get_subject_name(ca) : X509_get_subject_name(x));
	X509_set_pubkey(x, ca_key);
	if (names != NULL) {
		X509_EXTENSION *e;

		X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
		e = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, names);
		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
	}
	X509_sign(x, ca_key, EVP_sha256());
	return x;
}

static const char *read_names(const char *names, struct device_id *ret)
{
	X509 *x = cert_new("V-00001", 7, names);
	const char *why = device_of_certificate(x, ret);

	X509_free(x);
	return why;
}

/* number 0: the list has none, as lists of version 1 */
static void list_write(long next_s, long serial, EVP_PKEY *key, long crl_number)
{
	X509_CRL *crl = X509_CRL_new();
	X509_REVOKED *row = X509_REVOKED_new();
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	ASN1_TIME *t = ASN1_TIME_new();
	FILE *f = fopen(crl_path, "we");

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca));
	X509_gmtime_adj(t, -7200);
	X509_CRL_set1_lastUpdate(crl, t);
	X509_gmtime_adj(t, next_s);
	X509_CRL_set1_nextUpdate(crl, t);
	ASN1_INTEGER_set(number, serial);
	X509_REVOKED_set_serialNumber(row, number);
	X509_gmtime_adj(t, 0);
	X509_REVOKED_set_revocationDate(row, t);
	X509_CRL_add0_revoked(crl, row);
	ASN1_INTEGER_set(number, crl_number);
	if (crl_number != 0)
		X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0);
	X509_CRL_sign(crl, key, EVP_sha256());
	PEM_write_X509_CRL(f, crl);
	fclose(f);
	ASN1_INTEGER_free(number);
	ASN1_TIME_free(t);
	X509_CRL_free(crl);
}

static int authority_make(void **state)
{
	FILE *f;

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(ca_path, sizeof(ca_path), "%s/ca.crt", dir);
	snprintf(crl_path, sizeof(crl_path), "%s/crl.pem", dir);
	ca_key = EVP_EC_gen("P-256");
	other_key = EVP_EC_gen("P-256");
	ca = cert_new("CA", 1, NULL);
	f = fopen(ca_path, "we");
	if (f == NULL || PEM_write_X509(f, ca) != 1)
		return -1;
	return fclose(f);
}

static int authority_free(void **state)
{
	(void)state;
	unlink(ca_path);
	unlink(crl_path);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(other_key);
	return rmdir(dir);
}

static void the_uri_is_read_back_as_written_and_nothing_near_it(void **state)
{
	char text[DEVICE_URI_BYTES + 1], near[DEVICE_URI_BYTES + 1];
	uint8_t t[6], p[6];

	(void)state;
	device_uri_format(terminal, psam, text);
	assert_string_equal(text, uri);
	assert_true(device_uri_parse(uri, strlen(uri), t, p));
	assert_memory_equal(t, terminal, 6);
	assert_memory_equal(p, psam, 6);
	for (size_t i = 0; i < DEVICE_URI_BYTES; i++) {
		memcpy(near, uri, sizeof(near));
		near[i] = 'x';
		assert_false(device_uri_parse(near, DEVICE_URI_BYTES, t, p));
		assert_false(device_uri_parse(uri, i, t, p));
	}
}

static void a_certificate_names_one_device_and_at_most_one_terminal(void **state)
{
	struct device_id id;
	char names[256];

	(void)state;
	assert_null(read_names(NULL, &id));
	assert_string_equal(id.name, "V-00001");
	assert_false(id.bound);
	snprintf(names, sizeof(names), "DNS:localhost,URI:https://example.org/,URI:%s", uri);
	assert_null(read_names(names, &id));
	assert_true(id.bound);
	assert_memory_equal(id.terminal, terminal, 6);
	assert_memory_equal(id.psam, psam, 6);
	snprintf(names, sizeof(names), "URI:%s,URI:%s", uri, uri);
	assert_string_equal(read_names(names, &id), "certificate binds two terminals");
	assert_string_equal(read_names("URI:urn:qingfen:terminal:1:psam:2", &id), "certificate's terminal binding cannot be read");
}

static void the_register_decides_whether_the_binding_holds(void **state)
{
	static const char rows[] = "terminal,psam,device,operator,valid_from,valid_to\n428000000017,428000000018,V-00001,1,2026-01-01,2026-06-30\n";
	struct event e = { .seq = 1, .type = EVENT_TERMINALS, .body = (const uint8_t *)rows, .bytes = sizeof(rows) - 1 };
	struct device_id id = { .name = "V-00001", .bound = true };
	const int64_t at = 1772323200000LL;		/* 2026-03-01 */
	struct refdata *ref;
	char error[256];

	(void)state;
	memcpy(id.terminal, terminal, 6);
	memcpy(id.psam, psam, 6);
	assert_int_equal(refdata_new(&ref), 0);
	assert_int_equal(refdata_apply(ref, &e, NULL, error, sizeof(error)), 0);
	assert_null(device_binding_check(ref, &id, at, true));
	assert_non_null(device_binding_check(ref, &id, at + 200 * 24 * HOUR_MS, false));
	id.psam[5] ^= 1;
	assert_string_equal(device_binding_check(ref, &id, at, false), "register gives the certificate's terminal another PSAM");
	id.psam[5] ^= 1;
	strcpy(id.name, "V-00002");
	assert_string_equal(device_binding_check(ref, &id, at, false), "register gives the certificate's terminal to another device");
	id.bound = false;
	assert_null(device_binding_check(ref, &id, at, false));
	assert_string_equal(device_binding_check(ref, &id, at, true), "certificate binds no terminal");
	refdata_free(ref);
}

static void a_list_revokes_its_serials_and_ages_into_grace_then_stale(void **state)
{
	X509 *bad = cert_new("V-00001", 7, NULL), *good = cert_new("V-00001", 8, NULL);
	X509_NAME *issuer = X509_get_subject_name(ca);
	struct device_crls *c = NULL;
	char error[256] = "";
	int64_t next;

	(void)state;
	list_write(3600, 7, ca_key, 1);
	assert_int_equal(device_crls_open(crl_path, ca_path, &c, error, sizeof(error)), 0);
	assert_true(device_revoked(c, bad));
	assert_false(device_revoked(c, good));
	assert_false(device_revoked(NULL, bad));
	next = device_crls_next_ms(c, issuer);
	assert_true(next > (int64_t)time(NULL) * 1000);
	assert_int_equal(device_crls_age(c, issuer, next - 1, HOUR_MS), CRL_FRESH);
	assert_int_equal(device_crls_age(c, issuer, next, HOUR_MS), CRL_GRACE);
	assert_int_equal(device_crls_age(c, issuer, next + HOUR_MS - 1, HOUR_MS), CRL_GRACE);
	assert_int_equal(device_crls_age(c, issuer, next + HOUR_MS, HOUR_MS), CRL_STALE);
	assert_int_equal(device_crls_age(c, NULL, next, 0), CRL_STALE);
	assert_int_equal(device_crls_age(NULL, issuer, next, 0), CRL_NONE);
	device_crls_close(c);
	X509_free(bad);
	X509_free(good);
}

static void a_list_of_another_key_or_no_list_is_refused_with_its_reason(void **state)
{
	struct device_crls *c = NULL;
	char error[256] = "";

	(void)state;
	list_write(3600, 7, other_key, 1);
	assert_int_equal(device_crls_open(crl_path, ca_path, &c, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "not signed by a CA"));
	assert_int_equal(device_crls_open(ca_path, ca_path, &c, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "no list in the file"));
	assert_int_equal(device_crls_open("/nonexistent/crl", ca_path, &c, error, sizeof(error)), -ENOENT);
	assert_null(c);
}

static struct device_crls *list_open(void)
{
	struct device_crls *c = NULL;
	char error[256];

	assert_int_equal(device_crls_open(crl_path, ca_path, &c, error, sizeof(error)), 0);
	return c;
}

static void a_list_without_a_number_is_refused(void **state)
{
	struct device_crls *c = NULL;
	char error[256] = "";

	(void)state;
	list_write(3600, 7, ca_key, 0);
	assert_int_equal(device_crls_open(crl_path, ca_path, &c, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "has no number"));
}

static void numbers_keep(struct store *store, struct crl_seen *seen)
{
	struct txn t;

	assert_int_equal(txn_begin(store, true, &t), 0);
	crl_seen_put(seen, &t);
	assert_int_equal(txn_commit(&t), 0);
}

static const char *list_refused(struct crl_seen *seen, long number)
{
	struct device_crls *c;
	const char *why;

	list_write(3600, 7, ca_key, number);
	c = list_open();
	why = crl_seen_refuses(seen, c);
	if (why == NULL)
		crl_seen_raise(seen, c);
	device_crls_close(c);
	return why;
}

static void an_older_list_put_back_is_refused_also_after_a_restart(void **state)
{
	char path[] = "/tmp/qingfen-seen-XXXXXX", file[64];
	struct crl_seen *seen = NULL;
	struct store *store = NULL;

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(store_open(path, false, 16 << 20, &store), 0);
	assert_int_equal(crl_seen_new(store, &seen), 0);
	assert_null(list_refused(seen, 255));
	assert_null(list_refused(seen, 255));	/* the same again */
	assert_null(list_refused(seen, 256));	/* longer by an octet, and above */
	assert_non_null(strstr(list_refused(seen, 255), "older list was put back"));
	numbers_keep(store, seen);
	crl_seen_free(seen);
	assert_int_equal(crl_seen_new(store, &seen), 0);
	assert_non_null(strstr(list_refused(seen, 255), "older list was put back"));
	assert_null(list_refused(seen, 256));
	crl_seen_free(seen);
	store_close(store);
	for (int i = 0; i < 3; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, (const char *const[]){ "data.mdb", "lock.mdb", "writer.lock" }[i]);
		unlink(file);
	}
	rmdir(path);
}

/* A bit anywhere: the DER cannot be read, or the CA's key does not vouch for it. */
static void no_certificate_with_a_bit_flipped_is_vouched_for(void **state)
{
	unsigned char *der = NULL;
	X509 *cert, *flipped;
	char names[128];
	int n, bad = 0;

	(void)state;
	snprintf(names, sizeof(names), "URI:%s", uri);
	cert = cert_new("V-00001", 7, names);
	n = i2d_X509(cert, &der);
	assert_true(n > 200 && X509_verify(cert, ca_key) == 1);
	for (int i = 0; i < 8 * n; i++) {
		const unsigned char *p = der;

		der[i / 8] ^= (unsigned char)(1 << i % 8);
		flipped = d2i_X509(NULL, &p, n);
		bad += flipped != NULL && p == der + n && X509_verify(flipped, ca_key) == 1;
		X509_free(flipped);
		der[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	OPENSSL_free(der);
	X509_free(cert);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_uri_is_read_back_as_written_and_nothing_near_it),
		cmocka_unit_test(a_certificate_names_one_device_and_at_most_one_terminal),
		cmocka_unit_test(the_register_decides_whether_the_binding_holds),
		cmocka_unit_test(a_list_revokes_its_serials_and_ages_into_grace_then_stale),
		cmocka_unit_test(a_list_of_another_key_or_no_list_is_refused_with_its_reason),
		cmocka_unit_test(a_list_without_a_number_is_refused),
		cmocka_unit_test(an_older_list_put_back_is_refused_also_after_a_restart),
		cmocka_unit_test(no_certificate_with_a_bit_flipped_is_vouched_for),
	};

	return cmocka_run_group_tests(tests, authority_make, authority_free);
}
