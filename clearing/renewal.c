#include "clearing/renewal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <xxhash.h>

#define CERTIFICATE_BYTES_MAX 16384

/* A device's name becomes a file's: nothing that leads out of the folder. */
static bool name_good(const char *device)
{
	return device[0] != '.' && device[0] != '\0' && strspn(device, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") == strlen(device);
}

static bool signed_with(const struct enrol_request *request, X509 *shown)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *pem;
	bool good = false;

	if (b != NULL && PEM_write_bio_X509(b, shown) == 1 && BIO_write(b, "", 1) == 1 && BIO_get_mem_data(b, &pem) > 0)
		good = enrol_renews(request, pem);
	BIO_free(b);
	return good;
}

static const char *request_check(const char *device, X509 *shown, const void *text, size_t n)
{
	struct enrol_request request;
	const char *why = enrol_request_read(text, n, &request);

	if (why != NULL)
		return why;
	if (strcmp(request.device, device) != 0)
		why = "the request is of another device";
	else if (!signed_with(&request, shown))
		why = "the request is not signed with the key of the certificate shown";
	enrol_request_done(&request);
	return why;
}

static const char *file_put(const char *dir, const char *device, const void *p, size_t n)
{
	char path[PATH_MAX], beside[PATH_MAX];
	const char *why = NULL;
	int fd;

	snprintf(path, sizeof(path), "%s/%s.request", dir, device);
	snprintf(beside, sizeof(beside), "%s/%s.new", dir, device);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0)
		return "the request cannot be kept";
	if (write(fd, p, n) != (ssize_t)n || fsync(fd) != 0 || rename(beside, path) != 0)
		why = "the request cannot be kept";
	close(fd);
	if (why != NULL)
		unlink(beside);
	return why;
}

const char *renewal_keep(const char *dir, const char *device, X509 *shown, const void *text, size_t n)
{
	const char *why = !name_good(device) ? "the device's name cannot be a file's" : request_check(device, shown, text, n);

	return why != NULL ? why : file_put(dir, device, text, n);
}

int renewal_certificate(const char *dir, const char *device, char **ret_p, size_t *ret_n, uint32_t *ret_version)
{
	char path[PATH_MAX], *p = name_good(device) ? malloc(CERTIFICATE_BYTES_MAX) : NULL;
	ssize_t n = -1;
	int fd = -1;

	if (p != NULL) {
		snprintf(path, sizeof(path), "%s/%s.crt", dir, device);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd >= 0) {
		n = read(fd, p, CERTIFICATE_BYTES_MAX);
		close(fd);
	}
	if (n <= 0 || n == CERTIFICATE_BYTES_MAX) {
		free(p);
		return -ENOENT;
	}
	*ret_p = p;
	*ret_n = (size_t)n;
	*ret_version = (uint32_t)XXH3_64bits(p, (size_t)n) | 1;
	return 0;
}
