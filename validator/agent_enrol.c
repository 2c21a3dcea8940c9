/*
 * agent_enrol - the device's key and certificate: a key made here and never shown, a request for the centre, a certificate
 * taken. A renewal has a key of its own beside the one in use; key and certificate change places only when the daemon has
 * welcomed the new pair. A power cut between the two renames is put right at the next start.
 */
#include "validator/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CODE_BYTES_MAX 64

static void beside(const char *path, const char *what, char ret_path[PATH_MAX]) { snprintf(ret_path, PATH_MAX, "%.*s.%s", PATH_MAX - 16, path, what); }

/* NULL: cannot be read. */
static char *text_load(const char *path)
{
	uint8_t *p = NULL;
	size_t n = 0;

	if (agent_file_load(path, &p, &n) != 0)
		return NULL;
	p[n] = '\0';
	return (char *)p;
}

static void text_wipe(char *text)
{
	if (text != NULL)
		key_wipe(text, strlen(text));
	free(text);
}

/* A new key in a file that only its owner reads. */
static char *key_make(const char *path)
{
	char *key = NULL;
	int fd = -1;
	bool good = enrol_key_new(&key) == 0;

	if (good) {
		unlink(path);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		good = fd >= 0 && write(fd, key, strlen(key)) == (ssize_t)strlen(key) && fsync(fd) == 0;
	}
	if (fd >= 0)
		close(fd);
	if (good)
		return key;
	agent_log("key", "file=%s reason=\"%s\"", path, strerror(errno));
	text_wipe(key);
	return NULL;
}

static bool request_store(const struct agent_conf *c, const char *request)
{
	char path[PATH_MAX];
	int ret;

	beside(c->tls_cert, "request", path);
	ret = agent_file_store(path, request, strlen(request));
	if (ret == 0)
		agent_log("request", "device=%s file=%s", c->device, path);
	else
		agent_log("request", "device=%s file=%s reason=\"%s\"", c->device, path, strerror(-ret));
	return ret == 0;
}

/* ---- the first certificate ---------------------------------------------------------------------------- */

static bool code_read(const char *path, uint8_t ret_key[ENROL_PROOF_BYTES])
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char line[CODE_BYTES_MAX] = "";
	bool good = f != NULL && fgets(line, sizeof(line), f) != NULL && enrol_code_key(line, ret_key);

	if (f != NULL && f != stdin)
		fclose(f);
	key_wipe(line, sizeof(line));
	return good;
}

int agent_enrol(const struct agent_conf *c, const char *code_path)
{
	uint8_t code_key[ENROL_PROOF_BYTES];
	char *key, *request = NULL;
	bool good = false;

	if (access(c->tls_cert, F_OK) == 0) {
		agent_log("enrol", "reason=\"%s is there: this device has a certificate; --renew asks for the next\"", c->tls_cert);
		return 9;
	}
	if (!code_read(code_path, code_key)) {
		agent_log("enrol", "reason=\"%s: a line with the enrolment code is needed, 20 letters and digits\"", code_path);
		return 2;
	}
	key = text_load(c->tls_key);		/* of a request before this one: the key stays */
	if (key == NULL)
		key = key_make(c->tls_key);
	if (key != NULL && enrol_request_new(c->device, key, code_key, &request) == 0)
		good = request_store(c, request);
	else if (key != NULL)
		agent_log("enrol", "file=%s reason=\"not a key; take it away to have a new one made\"", c->tls_key);
	key_wipe(code_key, sizeof(code_key));
	text_wipe(key);
	free(request);
	return good ? 0 : 3;
}

/* ---- the next one --------------------------------------------------------------------------------------- */

int agent_renewal(const struct agent_conf *c, char **ret_request)
{
	char path[PATH_MAX], *in_use = text_load(c->tls_key), *key, *request = NULL;
	int ret = KEYS_E_CRYPTO;

	beside(c->tls_key, "next", path);
	key = text_load(path);
	if (in_use != NULL && key != NULL)
		ret = enrol_renewal_new(c->device, key, in_use, &request);
	if (in_use != NULL && ret != 0) {	/* none yet, or one that was cut short */
		text_wipe(key);
		key = key_make(path);
		ret = key != NULL ? enrol_renewal_new(c->device, key, in_use, &request) : -EIO;
	}
	text_wipe(key);
	text_wipe(in_use);
	if (ret == 0)
		*ret_request = request;
	return ret;
}

int agent_renew(const struct agent_conf *c)
{
	char *request = NULL;
	bool good = agent_renewal(c, &request) == 0 && request_store(c, request);

	if (request == NULL)
		agent_log("renew", "reason=\"the key in use, %s, cannot be read; an enrolment code is needed\"", c->tls_key);
	free(request);
	return good ? 0 : 3;
}

/* ---- a certificate is taken ------------------------------------------------------------------------------- */

static bool fits(const struct agent_conf *c, const char *certificate, const char *key_path, const char **ret_why)
{
	char *key = text_load(key_path);
	int64_t end;

	*ret_why = key != NULL ? enrol_certificate_fits(certificate, key, c->device, agent_clock_ms(), &end) : "no key was made for it";
	text_wipe(key);
	return *ret_why == NULL;
}

const char *agent_certificate_take(const struct agent_conf *c, const char *certificate)
{
	char next_key[PATH_MAX], next[PATH_MAX];
	const char *why;
	int ret;

	beside(c->tls_key, "next", next_key);
	beside(c->tls_cert, "next", next);
	if (fits(c, certificate, next_key, &why))
		ret = agent_file_store(next, certificate, strlen(certificate));
	else if (access(c->tls_cert, F_OK) != 0 && fits(c, certificate, c->tls_key, &why))
		ret = agent_file_store(c->tls_cert, certificate, strlen(certificate));
	else
		return why;
	return ret == 0 ? NULL : "it cannot be stored";
}

int agent_certificate(const struct agent_conf *c, const char *path)
{
	char *certificate = text_load(path);
	const char *why = certificate == NULL ? "cannot be read" : agent_certificate_take(c, certificate);

	free(certificate);
	agent_log("certificate", "file=%s %s%s%s", path, why == NULL ? "taken=1" : "reason=\"", why == NULL ? "" : why, why == NULL ? "" : "\"");
	return why == NULL ? 0 : 9;
}

/* ---- the pair in use ------------------------------------------------------------------------------------------ */

bool agent_next_ready(const struct agent_conf *c, char ret_cert[PATH_MAX], char ret_key[PATH_MAX])
{
	char *certificate;
	const char *why;
	bool ready;

	beside(c->tls_cert, "next", ret_cert);
	beside(c->tls_key, "next", ret_key);
	certificate = text_load(ret_cert);
	ready = certificate != NULL && fits(c, certificate, ret_key, &why);
	free(certificate);
	return ready;
}

bool agent_next_waits(const struct agent_conf *c)
{
	char key[PATH_MAX];

	beside(c->tls_key, "next", key);
	return access(key, F_OK) == 0;
}

void agent_next_commit(const struct agent_conf *c)
{
	char cert[PATH_MAX], key[PATH_MAX], request[PATH_MAX];

	beside(c->tls_cert, "next", cert);
	beside(c->tls_key, "next", key);
	beside(c->tls_cert, "request", request);
	if (rename(cert, c->tls_cert) != 0 || rename(key, c->tls_key) != 0) {
		agent_log("certificate", "alarm=1 reason=\"%s\"", strerror(errno));
		return;
	}
	unlink(request);
	agent_log("certificate-renewed", "device=%s file=%s", c->device, c->tls_cert);
}

void agent_pair_repair(const struct agent_conf *c)
{
	char *certificate = text_load(c->tls_cert), key[PATH_MAX];
	const char *why;

	beside(c->tls_key, "next", key);
	if (certificate != NULL && !fits(c, certificate, c->tls_key, &why) && fits(c, certificate, key, &why) && rename(key, c->tls_key) == 0)
		agent_log("certificate-repaired", "file=%s note=\"the power went while the new pair was put in place\"", c->tls_key);
	free(certificate);
}

int64_t agent_certificate_end(const struct agent_conf *c)
{
	char *certificate = text_load(c->tls_cert), *key = text_load(c->tls_key);
	int64_t end = 0;

	if (certificate != NULL && key != NULL && enrol_certificate_fits(certificate, key, c->device, agent_clock_ms(), &end) != NULL)
		end = 0;
	text_wipe(key);
	free(certificate);
	return end;
}
