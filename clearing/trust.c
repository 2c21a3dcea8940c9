#include "clearing/trust.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "clearing/crl_seen.h"

#define HOUR_MS 3600000LL
#define READ_AHEAD_BYTES 36000	/* a usual batch; with what TLS adds a block of blocks.c */

/* A file as it was when read: replaced by rename, or written again. */
struct stamp { ino_t inode; off_t bytes; struct timespec changed; };
struct trust {
	struct daemon *daemon;
	const struct conf *conf;
	SSL_CTX *tls;
	struct device_crls *crls;
	struct stamp cert, key, ca, crl;
	bool speaks;
};

static struct stamp stamp_of(const char *path)
{
	struct stamp s = { 0 };
	struct stat st;

	if (path[0] != '\0' && stat(path, &st) == 0)
		s = (struct stamp){ st.st_ino, st.st_size, st.st_mtim };
	return s;
}

static bool stamp_same(const struct stamp *a, const struct stamp *b)
{
	return a->inode == b->inode && a->bytes == b->bytes && a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static SSL_CTX *tls_new(const struct conf *conf)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	if (tls == NULL)
		return NULL;
	SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
	SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_num_tickets(tls, 0);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(tls, 1);		/* a batch in one call of the system, not two for each TLS record */
	SSL_CTX_set_default_read_buffer_len(tls, READ_AHEAD_BYTES);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	if (SSL_CTX_use_certificate_chain_file(tls, conf->tls_cert) == 1 && SSL_CTX_use_PrivateKey_file(tls, conf->tls_key, SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_load_verify_locations(tls, conf->tls_client_ca, NULL) == 1) {
		SSL_CTX_set_client_CA_list(tls, SSL_load_client_CA_file(conf->tls_client_ca));
		return tls;
	}
	log_event("tls-files", "cert=%s key=%s ca=%s reason=\"%s\"", conf->tls_cert, conf->tls_key, conf->tls_client_ca, ERR_reason_error_string(ERR_peek_last_error()));
	ERR_clear_error();
	SSL_CTX_free(tls);
	return NULL;
}

static int seen_call(struct txn *t, void *arg)
{
	crl_seen_put(arg, t);
	return t->error;
}

/* In force at once, also when it cannot be kept: it revokes more than the one before, not less. */
static void seen_keep(struct trust *t, const struct device_crls *crls)
{
	int ret;

	if (!crl_seen_raise(t->daemon->crl_seen, crls))
		return;
	ret = writer_call(t->daemon, seen_call, t->daemon->crl_seen);
	if (ret != 0)
		log_event("crl-number-lost", "alarm=1 code=%d reason=\"%s\"", ret, clearing_strerror(ret));
}

static void crls_refused(const struct trust *t, const char *path, const char *why)
{
	if (t->speaks)
		log_event("crl-unusable", "alarm=1 reason=\"%s%s%s\" note=\"%s\"", path, path[0] != '\0' ? ": " : "", why,
			  t->crls != NULL ? "the list read before stays in force" : "no device is let in without its list");
}

static int crls_load(struct trust *t)
{
	const char *path = t->conf->tls_client_crl, *why;
	struct device_crls *fresh;
	struct stamp now = stamp_of(path);
	char error[PATH_MAX + 80];
	int ret = device_crls_open(path, t->conf->tls_client_ca, &fresh, error, sizeof(error));

	if (ret != 0) {
		crls_refused(t, "", error);
		return ret;
	}
	why = crl_seen_refuses(t->daemon->crl_seen, fresh);
	if (why != NULL) {
		crls_refused(t, path, why);
		device_crls_close(fresh);
		return -EINVAL;
	}
	seen_keep(t, fresh);
	device_crls_close(t->crls);
	t->crls = fresh;
	t->crl = now;
	if (t->speaks)
		log_event("crl-loaded", "file=%s revoked=%zu", path, device_crls_revoked(fresh));
	return 0;
}

void trust_close(struct trust *t)
{
	if (t == NULL)
		return;
	SSL_CTX_free(t->tls);
	device_crls_close(t->crls);
	free(t);
}

int trust_open(struct daemon *d, bool speaks, struct trust **ret_trust)
{
	struct trust *t = calloc(1, sizeof(*t));
	const struct conf *conf = &d->conf;
	int ret = 0;

	if (t == NULL)
		return -ENOMEM;
	t->daemon = d;
	t->conf = conf;
	t->speaks = speaks;
	t->cert = stamp_of(conf->tls_cert);
	t->key = stamp_of(conf->tls_key);
	t->ca = stamp_of(conf->tls_client_ca);
	t->tls = tls_new(conf);
	if (t->tls == NULL)
		ret = -EINVAL;
	if (ret == 0 && conf->tls_client_crl[0] != '\0')
		ret = crls_load(t);
	if (ret == 0) {
		*ret_trust = t;
		t = NULL;
	}
	trust_close(t);
	return ret;
}

SSL_CTX *trust_tls(const struct trust *t) { return t->tls; }

/* Connections that live keep the context they began with: OpenSSL counts who uses it. */
static bool tls_refresh(struct trust *t)
{
	struct stamp cert = stamp_of(t->conf->tls_cert), key = stamp_of(t->conf->tls_key), ca = stamp_of(t->conf->tls_client_ca);
	bool authorities = !stamp_same(&ca, &t->ca);
	SSL_CTX *tls;

	if (!authorities && stamp_same(&cert, &t->cert) && stamp_same(&key, &t->key))
		return false;
	tls = tls_new(t->conf);
	if (tls == NULL) {
		if (t->speaks)
			log_event("tls-unusable", "alarm=1 note=\"the certificates read before stay in force\"");
		return false;
	}
	SSL_CTX_free(t->tls);
	t->tls = tls;
	t->cert = cert;
	t->key = key;
	t->ca = ca;
	if (t->speaks)
		log_event("tls-loaded", "cert=%s ca=%s", t->conf->tls_cert, t->conf->tls_client_ca);
	return authorities;
}

static void age_alarm(const struct trust *t, int64_t now_ms)
{
	int64_t grace = t->conf->crl_grace_h * HOUR_MS;
	enum crl_age age = device_crls_age(t->crls, NULL, now_ms, grace);

	if (age == CRL_GRACE)
		log_event("crl-expired", "alarm=1 file=%s note=\"still used; in its grace of %d hours\"", t->conf->tls_client_crl, (int)t->conf->crl_grace_h);
	if (age == CRL_STALE)
		log_event("crl-stale", "alarm=1 file=%s note=\"past its grace; new connections are %s\"", t->conf->tls_client_crl, t->conf->crl_stale_accept != 0 ? "accepted" : "refused");
}

void trust_refresh(struct trust *t, int64_t now_ms, bool *ret_authorities)
{
	struct stamp crl = stamp_of(t->conf->tls_client_crl);

	*ret_authorities = tls_refresh(t);
	if (t->conf->tls_client_crl[0] == '\0')
		return;
	if (*ret_authorities || !stamp_same(&crl, &t->crl))
		crls_load(t);
	if (t->speaks)
		age_alarm(t, now_ms);
}

/* A CA that was retired no longer vouches for the connections it let in. */
static const char *authority_refuses(const struct trust *t, X509 *cert)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	const char *why = NULL;

	if (ctx == NULL || X509_STORE_CTX_init(ctx, SSL_CTX_get_cert_store(t->tls), cert, NULL) != 1) {
		X509_STORE_CTX_free(ctx);
		return "certificate cannot be checked";
	}
	X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
	if (X509_verify_cert(ctx) != 1)
		why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return why;
}

const char *trust_refuses_live(const struct trust *t, X509 *cert, int64_t now_ms, bool authorities)
{
	if (cert == NULL)
		return "no certificate";
	if (device_time_ms(X509_get0_notAfter(cert)) <= now_ms)
		return "certificate expired";
	if (device_revoked(t->crls, cert))
		return "certificate revoked";
	return authorities ? authority_refuses(t, cert) : NULL;
}

const char *trust_refuses_new(const struct trust *t, SSL *ssl, int64_t now_ms)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	const char *why = trust_refuses_live(t, cert, now_ms, SSL_get_SSL_CTX(ssl) != t->tls);
	enum crl_age age;

	if (why != NULL || t->conf->tls_client_crl[0] == '\0' || t->conf->crl_stale_accept != 0)
		return why;
	age = device_crls_age(t->crls, X509_get_issuer_name(cert), now_ms, t->conf->crl_grace_h * HOUR_MS);
	return age == CRL_NONE ? "no revocation list of its CA" : age == CRL_STALE ? "revocation list of its CA is past its grace" : NULL;
}
