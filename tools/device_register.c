/*
 * device_register - what a device CA has done, line by line: one JSON object a line, signed by the person who did it and
 * holding the SHA-256 of the line before, so that nothing in it is changed, taken out or put in unseen. It is written
 * first and is the truth: certificates and lists can be written again from it.
 */
#include "tools/device.h"
#include "tools/keys.h"
#include "tools/tariff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

/* An act reads the chain of digests whole, which the newest signatures cover, and so many of these: a revocation does not
 * wait for the signatures of years. list and show check every one. */
#define SIGNATURES_OF_AN_ACT 1000
#define SIGNATURE_MARK ",\"signature\":\""

int64_t device_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000;
}

void register_close(struct device_register *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->certs; i++)
		free(r->cert[i].pem);
	free(r->cert);
	free(r->invite);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

/* ---- acts as they change the register ------------------------------------------------------------- */

static const char *text(const json_t *o, const char *key)
{
	const char *value = json_string_value(json_object_get(o, key));

	return value != NULL ? value : "";
}

static int64_t number(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }

static void *row_new(void *rows, size_t *count, size_t *space, size_t bytes)
{
	void **list = rows;

	if (*count == *space) {
		size_t wide_space = *space ? *space * 2 : 64;
		void *wide = realloc(*list, wide_space * bytes);

		if (wide == NULL)
			return NULL;
		*list = wide;
		*space = wide_space;
	}
	return memset((char *)*list + (*count)++ * bytes, 0, bytes);
}

static bool binding_read(const json_t *o, char device[DEVICE_BYTES_MAX + 1], uint8_t terminal[6], uint8_t psam[6])
{
	size_t n = strlen(text(o, "device"));

	if (n < 1 || n > DEVICE_BYTES_MAX || !hex_decode(text(o, "terminal"), terminal, 6) || !hex_decode(text(o, "psam"), psam, 6))
		return false;
	memcpy(device, text(o, "device"), n + 1);
	return true;
}

static bool invite_take(struct device_register *r, const json_t *o)
{
	struct device_invite *row;

	for (size_t i = 0; i < r->invites; i++)		/* a new code ends the ones before */
		if (strcmp(r->invite[i].device, text(o, "device")) == 0)
			r->invite[i].used = true;
	row = row_new(&r->invite, &r->invites, &r->invite_space, sizeof(*row));
	if (row == NULL || !binding_read(o, row->device, row->terminal, row->psam) || !hex_decode(text(o, "code_key_sha256"), row->digest, DIGEST_BYTES))
		return false;
	row->until_ms = number(o, "until_ms");
	snprintf(row->by, sizeof(row->by), "%s", text(o, "by"));
	return true;
}

static bool issue_take(struct device_register *r, const json_t *o)
{
	struct device_cert *row = row_new(&r->cert, &r->certs, &r->cert_space, sizeof(*row));

	if (row == NULL || !binding_read(o, row->device, row->terminal, row->psam) || strlen(text(o, "serial")) != SERIAL_TEXT_BYTES)
		return false;
	for (size_t i = 0; strcmp(text(o, "how"), "code") == 0 && i < r->invites; i++)
		if (strcmp(r->invite[i].device, row->device) == 0)
			r->invite[i].used = true;
	memcpy(row->serial, text(o, "serial"), sizeof(row->serial));
	row->from_ms = number(o, "from_ms");
	row->until_ms = number(o, "until_ms");
	snprintf(row->by, sizeof(row->by), "%s", text(o, "by"));
	row->pem = strdup(text(o, "certificate"));
	return row->pem != NULL;
}

static bool revoke_take(struct device_register *r, const json_t *o)
{
	for (size_t i = 0; i < r->certs; i++) {
		struct device_cert *c = &r->cert[i];

		if (strcmp(c->serial, text(o, "serial")) != 0 || c->revoked_ms != 0)
			continue;
		c->revoked_ms = number(o, "at_ms");
		snprintf(c->reason, sizeof(c->reason), "%s", text(o, "reason"));
		snprintf(c->revoked_by, sizeof(c->revoked_by), "%s", text(o, "by"));
		return true;
	}
	return false;
}

static bool act_take(struct device_register *r, const json_t *o)
{
	const char *act = text(o, "act");

	if (strcmp(act, "ca") == 0)
		return r->lines == 0;
	if (r->lines == 0)
		return false;
	if (strcmp(act, "invite") == 0)
		return invite_take(r, o);
	if (strcmp(act, "issue") == 0)
		return issue_take(r, o);
	if (strcmp(act, "revoke") == 0)
		return revoke_take(r, o);
	if (strcmp(act, "crl") != 0 || number(o, "number") <= (int64_t)r->crl_number)
		return false;
	r->crl_number = (uint64_t)number(o, "number");
	r->crl_next_ms = number(o, "next_ms");
	return true;
}

/* ---- lines ------------------------------------------------------------------------------------------ */

static bool signature_good(const json_t *o, const char *line)
{
	const char *mark = strstr(line, SIGNATURE_MARK), *next;
	uint8_t point[65], signature[64];

	while (mark != NULL && (next = strstr(mark + 1, SIGNATURE_MARK)) != NULL)
		mark = next;
	return mark != NULL && hex_decode(text(o, "point"), point, 65) && hex_decode(text(o, "signature"), signature, 64) &&
	       sm2_verify(point, line, (size_t)(mark - line), signature);
}

/* NULL: taken. */
static const char *line_take(struct device_register *r, const char *line, size_t n, bool signature)
{
	uint8_t before[DIGEST_BYTES];
	json_error_t error;
	json_t *o = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
	const char *why = NULL;

	if (!json_is_object(o))
		why = "not a JSON object";
	else if (number(o, "n") != (int64_t)r->lines + 1 || !hex_decode(text(o, "prev"), before, DIGEST_BYTES) || memcmp(before, r->last, DIGEST_BYTES) != 0)
		why = "does not follow the line before: something was changed, taken out or put in";
	else if (signature && !signature_good(o, line))
		why = "its signature does not hold";
	else if (!act_take(r, o))
		why = "an act that cannot follow the ones before";
	json_decref(o);
	if (why == NULL && digest_sha256(line, n, r->last) != 0)
		why = "SHA-256 failed";
	r->lines += why == NULL;
	return why;
}

static int lines_read(struct device_register *r, bool writing)
{
	size_t n = 0, count = 0;
	char *all = device_file_get(r->path, &n), *line, *end;
	const char *why = NULL;

	if (all == NULL) {
		complain("%s: %s; qingfen device init-ca makes a CA", r->path, strerror(errno));
		return errno == ENOENT ? EXIT_ABSENT : EXIT_STORE;
	}
	for (size_t i = 0; i < n; i++)
		count += all[i] == '\n';
	for (line = all; why == NULL && line < all + n; line = end + 1) {
		end = memchr(line, '\n', (size_t)(all + n - line));
		if (end == NULL) {
			why = "is not whole: the power went while it was written; keep a copy and take it off";
			break;
		}
		*end = '\0';
		why = line_take(r, line, (size_t)(end - line), !writing || r->lines + SIGNATURES_OF_AN_ACT >= count);
	}
	free(all);
	if (why == NULL)
		return EXIT_OK;
	complain("%s:%llu:1: %s", r->path, (unsigned long long)r->lines + 1, why);
	return EXIT_STORE;
}

int register_open(const struct device_options *o, bool writing, struct device_register **ret_register)
{
	struct device_register *r = calloc(1, sizeof(*r));
	int ret = EXIT_STORE;

	if (r == NULL)
		return ret;
	device_path(o, "register.jsonl", r->path);
	r->fd = open(r->path, writing ? O_RDWR | O_APPEND | O_CLOEXEC : O_RDONLY | O_CLOEXEC);
	if (r->fd < 0) {
		complain("%s: %s; qingfen device init-ca makes a CA", r->path, strerror(errno));
		ret = EXIT_ABSENT;
	} else if (flock(r->fd, (writing ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
		complain("%s: another qingfen device is at work; try again", r->path);
		ret = EXIT_BUSY;
	} else {
		ret = lines_read(r, writing);
	}
	if (ret != EXIT_OK) {
		register_close(r);
		return ret;
	}
	*ret_register = r;
	return EXIT_OK;
}

/* The line up to the signature. */
static char *line_begin(const struct device_register *r, const struct device_options *o, const char *act, const uint8_t point[65],
			void (*fields)(struct jsonw *, void *), void *arg, size_t *ret_n)
{
	int64_t now = device_now_ms();
	char *line = NULL, at[40], hex[131], prev[2 * DIGEST_BYTES + 1];
	FILE *f = open_memstream(&line, ret_n);
	struct jsonw j;

	if (f == NULL)
		return NULL;
	time_format(now, at);
	hex_encode(point, 65, hex);
	hex_encode(r->last, DIGEST_BYTES, prev);
	jsonw_init(&j, f, false);
	jsonw_object(&j);
	jsonw_kint(&j, "n", (int64_t)r->lines + 1);
	jsonw_kstr(&j, "at", at);
	jsonw_kint(&j, "at_ms", now);
	jsonw_kstr(&j, "by", o->by);
	jsonw_kstr(&j, "point", hex);
	jsonw_kstr(&j, "act", act);
	fields(&j, arg);
	jsonw_kstr(&j, "prev", prev);
	fclose(f);
	return line;
}

static int line_append(struct device_register *r, const char *line, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = write(r->fd, line + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -errno;
		done += (size_t)got;
	}
	return fsync(r->fd) != 0 ? -errno : 0;
}

/* The person is on the list, with the key that signs. */
static int person_check(const struct device_options *o, const uint8_t point[65])
{
	char path[PATH_MAX];
	uint8_t listed[65];

	device_path(o, "persons.csv", path);
	if (o->persons != NULL)
		snprintf(path, sizeof(path), "%s", o->persons);
	if (!person_key(path, o->by, listed))
		return EXIT_RULE;
	if (memcmp(listed, point, sizeof(listed)) == 0)
		return EXIT_OK;
	complain("%s: not the key of %s in %s", o->key, o->by, path);
	return EXIT_RULE;
}

int register_add(struct device_register *r, const struct device_options *o, const char *act, void (*fields)(struct jsonw *j, void *arg), void *arg)
{
	uint8_t point[65], signature[64];
	char *line = NULL, *whole = NULL, hex[129];
	size_t n = 0;
	const char *why;
	int ret = secret_sign(o->key, "", 0, signature, point);	/* whose key it is goes into the line that is signed */

	if (ret == EXIT_OK)
		ret = person_check(o, point);
	if (ret != EXIT_OK)
		return ret;
	line = line_begin(r, o, act, point, fields, arg, &n);
	ret = line == NULL ? EXIT_STORE : secret_sign(o->key, line, n, signature, NULL);
	if (ret == EXIT_OK) {
		hex_encode(signature, sizeof(signature), hex);
		if (asprintf(&whole, "%s" SIGNATURE_MARK "%s\"}\n", line, hex) < 0) {
			whole = NULL;
			ret = EXIT_STORE;
		}
	}
	if (ret == EXIT_OK && line_append(r, whole, strlen(whole)) != 0) {
		complain("%s: %s", r->path, strerror(errno));
		ret = EXIT_STORE;
	}
	if (ret == EXIT_OK) {
		whole[strlen(whole) - 1] = '\0';
		why = line_take(r, whole, strlen(whole), true);
		if (why != NULL) {
			complain("%s:%llu:1: %s", r->path, (unsigned long long)r->lines + 1, why);
			ret = EXIT_STORE;
		}
	}
	free(whole);
	free(line);
	return ret;
}

/* ---- looked up ------------------------------------------------------------------------------------------ */

struct device_cert *register_current(struct device_register *r, const char *device, int64_t now_ms)
{
	for (size_t i = r->certs; i-- > 0;)
		if (strcmp(r->cert[i].device, device) == 0 && r->cert[i].revoked_ms == 0 && r->cert[i].until_ms > now_ms)
			return &r->cert[i];
	return NULL;
}

struct device_invite *register_invite(struct device_register *r, const char *device, int64_t now_ms)
{
	for (size_t i = r->invites; i-- > 0;)
		if (strcmp(r->invite[i].device, device) == 0 && !r->invite[i].used && r->invite[i].until_ms > now_ms)
			return &r->invite[i];
	return NULL;
}
