#include "clearing/device.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static const char head[] = "urn:qingfen:terminal:", middle[] = ":psam:";

/* ---- the binding ------------------------------------------------------------------------------------- */

void device_uri_format(const uint8_t terminal[6], const uint8_t psam[6], char ret_uri[DEVICE_URI_BYTES + 1])
{
	char t[13], p[13];

	hex_encode(terminal, 6, t);
	hex_encode(psam, 6, p);
	snprintf(ret_uri, DEVICE_URI_BYTES + 1, "%s%s%s%s", head, t, middle, p);
}

static bool digits_read(const char *p, uint8_t ret[6])
{
	char text[13];

	memcpy(text, p, 12);
	text[12] = '\0';
	return strspn(text, "0123456789") == 12 && hex_decode(text, ret, 6);
}

bool device_uri_parse(const void *p, size_t n, uint8_t ret_terminal[6], uint8_t ret_psam[6])
{
	const char *text = p;
	uint8_t terminal[6], psam[6];

	static_assert(sizeof(head) - 1 + 12 + sizeof(middle) - 1 + 12 == DEVICE_URI_BYTES, "the URI's parts make its length");
	if (n != DEVICE_URI_BYTES || memcmp(text, head, sizeof(head) - 1) != 0 || memcmp(text + sizeof(head) - 1 + 12, middle, sizeof(middle) - 1) != 0)
		return false;
	if (!digits_read(text + sizeof(head) - 1, terminal) || !digits_read(text + DEVICE_URI_BYTES - 12, psam))
		return false;
	memcpy(ret_terminal, terminal, 6);
	memcpy(ret_psam, psam, 6);
	return true;
}

/* Of the URIs, ours: one at most, and whole. */
static const char *binding_read(const GENERAL_NAMES *names, struct device_id *id)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const unsigned char *p;
		size_t n;

		if (name->type != GEN_URI)
			continue;
		p = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
		n = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
		if (n < 12 || memcmp(p, head, 12) != 0)
			continue;
		if (id->bound)
			return "certificate binds two terminals";
		if (!device_uri_parse(p, n, id->terminal, id->psam))
			return "certificate's terminal binding cannot be read";
		id->bound = true;
	}
	return NULL;
}

const char *device_of_certificate(X509 *cert, struct device_id *ret_id)
{
	struct device_id id = { 0 };
	char name[DEVICE_BYTES_MAX + 2];
	int n = cert != NULL ? X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof(name)) : -1;
	GENERAL_NAMES *names;
	const char *why;

	if (n < 1 || n > DEVICE_BYTES_MAX || strlen(name) != (size_t)n)
		return "certificate names no device";
	memcpy(id.name, name, (size_t)n + 1);
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	why = binding_read(names, &id);
	GENERAL_NAMES_free(names);
	if (why == NULL)
		*ret_id = id;
	return why;
}

const char *device_binding_check(const struct refdata *ref, const struct device_id *id, int64_t at_ms, bool need_binding)
{
	const struct terminal_row *row;

	if (!id->bound)
		return need_binding ? "certificate binds no terminal" : NULL;
	row = refdata_terminal(ref, id->terminal, at_ms);
	if (row == NULL)
		return "certificate's terminal is not in the register now";
	if (strcmp(row->device, id->name) != 0)
		return "register gives the certificate's terminal to another device";
	return memcmp(row->psam, id->psam, 6) != 0 ? "register gives the certificate's terminal another PSAM" : NULL;
}

/* ---- revocation ------------------------------------------------------------------------------------------ */

#define CRLS_MAX 16
struct authority { X509 *cert; uint8_t digest[DIGEST_BYTES]; };
struct device_crls {
	X509_CRL *list[CRLS_MAX]; int64_t next_ms[CRLS_MAX]; struct crl_number number[CRLS_MAX]; size_t count, revoked;
	struct authority authority[CRLS_MAX]; size_t authorities;
};

int64_t device_time_ms(const ASN1_TIME *t)
{
	struct tm tm;

	return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : INT64_MIN;
}

void device_crls_close(struct device_crls *c)
{
	for (size_t i = 0; c != NULL && i < c->count; i++)
		X509_CRL_free(c->list[i]);
	for (size_t i = 0; c != NULL && i < c->authorities; i++)
		X509_free(c->authority[i].cert);
	free(c);
}

/* The certificates of ca_path; what cannot be read ends the list, as it does for TLS. */
static const char *authorities_read(FILE *f, struct device_crls *c)
{
	const char *why = NULL;
	X509 *cert;

	while (why == NULL && (cert = PEM_read_X509(f, NULL, NULL, NULL)) != NULL) {
		struct authority *a = &c->authority[c->authorities];
		unsigned char *der = NULL;
		int n = c->authorities < CRLS_MAX ? i2d_PUBKEY(X509_get0_pubkey(cert), &der) : 0;

		if (n > 0 && digest_sha256(der, (size_t)n, a->digest) == 0) {
			a->cert = cert;
			c->authorities++;
		} else {
			X509_free(cert);
			why = "more than 16 CAs in tls_client_ca, or one without a key";
		}
		OPENSSL_free(der);
	}
	ERR_clear_error();
	return why;
}

/* The CA of that name whose key signed it; two may share a name. NULL: none of ours. */
static const struct authority *crl_signer(const struct device_crls *c, X509_CRL *crl)
{
	const struct authority *found = NULL;

	for (size_t i = 0; found == NULL && i < c->authorities; i++) {
		X509 *cert = c->authority[i].cert;

		if (X509_NAME_cmp(X509_get_subject_name(cert), X509_CRL_get_issuer(crl)) == 0 && X509_CRL_verify(crl, X509_get0_pubkey(cert)) == 1)
			found = &c->authority[i];
	}
	ERR_clear_error();
	return found;
}

static bool crl_number_read(X509_CRL *crl, uint8_t ret[CRL_NUMBER_BYTES])
{
	ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
	int n = number != NULL ? ASN1_STRING_length(number) : 0;
	bool good = n >= 1 && n <= CRL_NUMBER_BYTES && ASN1_STRING_type(number) == V_ASN1_INTEGER;

	memset(ret, 0, CRL_NUMBER_BYTES);
	if (good)
		memcpy(ret + CRL_NUMBER_BYTES - n, ASN1_STRING_get0_data(number), (size_t)n);
	ASN1_INTEGER_free(number);
	return good;
}

static const char *crl_take(struct device_crls *c, X509_CRL *crl)
{
	int64_t next = device_time_ms(X509_CRL_get0_nextUpdate(crl));
	const struct authority *signer = crl_signer(c, crl);

	if (next == INT64_MIN)
		return "a list has no nextUpdate";
	if (signer == NULL)
		return "a list is not signed by a CA of tls_client_ca";
	if (c->count == CRLS_MAX)
		return "more than 16 lists";
	if (!crl_number_read(crl, c->number[c->count].number))
		return "a list has no number (crlNumber), so an older one could not be told from it";
	memcpy(c->number[c->count].authority, signer->digest, DIGEST_BYTES);
	c->next_ms[c->count] = next;
	c->list[c->count++] = crl;
	X509_CRL_up_ref(crl);
	if (X509_CRL_get_REVOKED(crl) != NULL)
		c->revoked += (size_t)sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl));
	return NULL;
}

static int crls_read(FILE *f, FILE *ca, struct device_crls *c, const char **ret_why)
{
	const char *why = authorities_read(ca, c);
	X509_CRL *crl;

	while (why == NULL && (crl = PEM_read_X509_CRL(f, NULL, NULL, NULL)) != NULL) {
		why = crl_take(c, crl);
		X509_CRL_free(crl);
	}
	if (why == NULL && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		why = "a list cannot be read";
	if (why == NULL && c->count == 0)
		why = "no list in the file";
	ERR_clear_error();
	*ret_why = why;
	return why == NULL ? 0 : -EINVAL;
}

int device_crls_open(const char *crl_path, const char *ca_path, struct device_crls **ret_crls, char *error, size_t error_bytes)
{
	struct device_crls *c = calloc(1, sizeof(*c));
	FILE *f = fopen(crl_path, "re"), *ca = fopen(ca_path, "re");
	const char *why = "cannot be opened";
	int ret = c == NULL ? -ENOMEM : f == NULL || ca == NULL ? -ENOENT : crls_read(f, ca, c, &why);

	if (f != NULL)
		fclose(f);
	if (ca != NULL)
		fclose(ca);
	if (ret != 0) {
		snprintf(error, error_bytes, "%s: %s", crl_path, why);
		device_crls_close(c);
		return ret;
	}
	*ret_crls = c;
	return 0;
}

bool device_revoked(const struct device_crls *c, X509 *cert)
{
	X509_REVOKED *row;

	for (size_t i = 0; c != NULL && i < c->count; i++)
		if (X509_NAME_cmp(X509_CRL_get_issuer(c->list[i]), X509_get_issuer_name(cert)) == 0 &&
		    X509_CRL_get0_by_serial(c->list[i], &row, X509_get0_serialNumber(cert)) == 1)
			return true;
	return false;
}

size_t device_crls_numbers(const struct device_crls *c, const struct crl_number **ret_numbers)
{
	*ret_numbers = c->number;
	return c->count;
}

bool device_crls_trusts(const struct device_crls *c, const uint8_t authority[DIGEST_BYTES])
{
	for (size_t i = 0; i < c->authorities; i++)
		if (memcmp(c->authority[i].digest, authority, DIGEST_BYTES) == 0)
			return true;
	return false;
}

size_t device_crls_revoked(const struct device_crls *c) { return c != NULL ? c->revoked : 0; }

int64_t device_crls_next_ms(const struct device_crls *c, X509_NAME *issuer)
{
	int64_t next = INT64_MIN;

	for (size_t i = 0; c != NULL && i < c->count; i++)
		if (X509_NAME_cmp(X509_CRL_get_issuer(c->list[i]), issuer) == 0 && c->next_ms[i] > next)
			next = c->next_ms[i];
	return next;
}

enum crl_age device_crls_age(const struct device_crls *c, X509_NAME *issuer, int64_t now_ms, int64_t grace_ms)
{
	enum crl_age worst = CRL_NONE;
	int64_t next;

	for (size_t i = 0; issuer == NULL && c != NULL && i < c->count; i++) {
		enum crl_age age = device_crls_age(c, X509_CRL_get_issuer(c->list[i]), now_ms, grace_ms);

		worst = age > worst ? age : worst;
	}
	next = issuer != NULL ? device_crls_next_ms(c, issuer) : INT64_MIN;
	if (next == INT64_MIN)
		return worst;
	return now_ms < next ? CRL_FRESH : now_ms - next < grace_ms ? CRL_GRACE : CRL_STALE;
}
