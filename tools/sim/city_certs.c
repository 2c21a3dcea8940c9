/*
 * Certificates of the demonstration: one authority, the server, the partners, and one
 * certificate a device whose common name is the device (P-256, made in process: a thousand take a
 * tenth of a second). Each goes into one PEM file, certificate then key, mode 0600.
 */
#include "city.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tools/tools.h"

#define VALID_DAYS 3650
struct authority {
	X509 *cert;
	EVP_PKEY *key;
	long serial;
};

static bool extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool name_fill(X509_NAME *name, const char *common)
{
	return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
					  (const unsigned char *)"qingfen demo", -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common,
					  -1, -1, 0) == 1;
}

/* A certificate for key, signed by ca; self-signed when ca holds none yet. usage: NULL for the CA.
 */
static X509 *cert_make(struct authority *ca, const char *common, EVP_PKEY *key, const char *usage)
{
	X509 *x = X509_new(), *issuer = ca->cert != NULL ? ca->cert : x;
	bool ok = x != NULL && X509_set_version(x, 2) == 1 &&
		  ASN1_INTEGER_set(X509_get_serialNumber(x), ++ca->serial) == 1 &&
		  X509_gmtime_adj(X509_getm_notBefore(x), -86400L) != NULL &&
		  X509_gmtime_adj(X509_getm_notAfter(x), 86400L * VALID_DAYS) != NULL &&
		  X509_set_pubkey(x, key) == 1 && name_fill(X509_get_subject_name(x), common) &&
		  X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1 &&
		  extension_add(x, issuer, NID_basic_constraints,
				usage == NULL ? "critical,CA:TRUE" : "CA:FALSE");

	if (ok && usage == NULL)
		ok = extension_add(x, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
	if (ok && usage != NULL)
		ok = extension_add(x, issuer, NID_ext_key_usage, usage) &&
		     extension_add(x, issuer, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
	if (ok && X509_sign(x, ca->key != NULL ? ca->key : key, EVP_sha256()) > 0)
		return x;
	X509_free(x);
	return NULL;
}

static FILE *secret_create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	return fd < 0 ? NULL : fdopen(fd, "w");
}

static bool pem_write(const struct city *c, const char *name, X509 *cert, EVP_PKEY *key)
{
	char path[512];
	FILE *f;
	bool ok;

	city_path(c, name, path, sizeof(path));
	f = secret_create(path);
	if (f == NULL)
		return false;
	ok = (cert == NULL || PEM_write_X509(f, cert) == 1) &&
	     (key == NULL || PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
	return fclose(f) == 0 && ok;
}

/* One leaf; as NAME.pem, and as NAME.crt and NAME.key when split. */
static bool leaf_make(const struct city *c, struct authority *ca, const char *name,
		      const char *common, bool split)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key == NULL ? NULL : cert_make(ca, common, key, "clientAuth,serverAuth");
	char file[64];
	bool ok = cert != NULL;

	snprintf(file, sizeof(file), "%s.pem", name);
	ok = ok && pem_write(c, file, cert, key);
	snprintf(file, sizeof(file), "%s.crt", name);
	ok = ok && (!split || pem_write(c, file, cert, NULL));
	snprintf(file, sizeof(file), "%s.key", name);
	ok = ok && (!split || pem_write(c, file, NULL, key));
	X509_free(cert);
	EVP_PKEY_free(key);
	return ok;
}

static bool authority_make(const struct city *c, struct authority *ca)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key == NULL ? NULL : cert_make(ca, "qingfen demo CA", key, NULL);

	ca->key = key;
	ca->cert = cert;
	return cert != NULL && pem_write(c, "ca.crt", cert, NULL) &&
	       pem_write(c, "ca.key", NULL, key);
}

int city_certs_make(const struct city *c)
{
	struct authority ca = {.serial = 0};
	char path[512], name[64];
	bool ok;

	city_path(c, "devices", path, sizeof(path));
	ok = city_mkdir(path) == 0 && authority_make(c, &ca) &&
	     leaf_make(c, &ca, "server", "clearingd", true) &&
	     leaf_make(c, &ca, "tunion", "tunion", true) &&
	     leaf_make(c, &ca, "bank", "bank", true) &&
	     leaf_make(c, &ca, "ridecode", "ridecode", true) &&
	     leaf_make(c, &ca, "identity", "identity", true) &&
	     leaf_make(c, &ca, "partner", "clearingd-partner", true);
	for (uint32_t i = 0; ok && i < c->device_count; i++) {
		snprintf(name, sizeof(name), "devices/%s", c->device[i].name);
		ok = leaf_make(c, &ca, name, c->device[i].name, false);
	}
	X509_free(ca.cert);
	EVP_PKEY_free(ca.key);
	if (ok)
		return 0;
	complain("sim city: certificates under %s could not be made", c->dir);
	return -EIO;
}
