/*
 * Certificates, revocation lists and renewals of devices as they come from outside. The first byte chooses: a list or a
 * certificate of a CA in PEM, a device's certificate in DER, a certificate that comes over the line, a request for a renewal.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "clearing/device.h"
#include "clearing/renewal.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int memory_file(const void *p, size_t n, char ret_path[32])
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n)
		abort();
	snprintf(ret_path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

/* A list and the CAs that may have signed it in one file, as a house could have it. */
static void lists_read(const uint8_t *p, size_t n)
{
	struct device_crls *crls = NULL;
	const struct crl_number *numbers;
	char path[32], error[128] = "";
	int fd = memory_file(p, n, path);

	if (device_crls_open(path, path, &crls, error, sizeof(error)) != 0)
		assert(crls == NULL && strncmp(error, path, strlen(path)) == 0);
	else
		assert(device_crls_numbers(crls, &numbers) >= 1 && device_crls_trusts(crls, numbers[0].authority) && device_crls_age(crls, NULL, 0, 0) != CRL_NONE);
	device_crls_close(crls);
	close(fd);
}

static void device_read(const uint8_t *p, size_t n)
{
	const unsigned char *at = p;
	X509 *cert = d2i_X509(NULL, &at, (long)n);
	struct device_id id;

	if (cert != NULL && device_of_certificate(cert, &id) == NULL)
		assert(strlen(id.name) >= 1 && strlen(id.name) <= DEVICE_BYTES_MAX);
	X509_free(cert);
}

/* A request, then the certificate shown, in PEM. Kept it is not: the folder is none. */
static void renewal_read(const char *text, size_t n)
{
	BIO *b = BIO_new_mem_buf(text, (int)n);
	X509 *shown = PEM_read_bio_X509(b, NULL, NULL, NULL);

	if (shown != NULL)
		assert(renewal_keep("/nonexistent", "V-00001", shown, text, n) != NULL);
	X509_free(shown);
	BIO_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	int64_t end_ms;
	char *text;

	if (n == 0)
		return 0;
	text = malloc(n);
	if (text == NULL)
		abort();
	memcpy(text, p + 1, n - 1);
	text[n - 1] = '\0';
	switch (p[0] % 4) {
	case 0: lists_read(p + 1, n - 1); break;
	case 1: device_read(p + 1, n - 1); break;
	case 2: (void)enrol_certificate_fits(text, text, "V-00001", 1762125330000LL, &end_ms); break;
	default: renewal_read(text, n - 1);
	}
	free(text);
	return 0;
}
