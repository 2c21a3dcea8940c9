/*
 * secrets - the keyring and whoever keeps its secrets: this process, which is said loudly, or a key device behind its
 * worker. An absent device is no reason not to start: records are receipted and wait for it.
 */
#include "clearing/daemon.h"

#include <errno.h>
#include <string.h>

#define LINE_BYTES 256

/* The first line of a file, without a copy in the library's buffer. */
static int secret_read(const char *path, char ret[LINE_BYTES])
{
	FILE *f = fopen(path, "re");
	bool good;

	if (f == NULL)
		return -errno;
	setvbuf(f, NULL, _IONBF, 0);
	good = fgets(ret, LINE_BYTES, f) != NULL;
	fclose(f);
	if (!good)
		return -ENODATA;
	ret[strcspn(ret, "\r\n")] = '\0';
	return 0;
}

static int keyring_load(struct daemon *d)
{
	char line[LINE_BYTES] = "";
	int ret = secret_read(d->conf.passphrase_file, line);

	if (ret != 0) {
		log_event("passphrase", "file=%s reason=\"cannot be read\"", d->conf.passphrase_file);
		return ret;
	}
	ret = keyring_open(d->conf.keyring, line, &d->keyring);
	key_wipe(line, sizeof(line));
	if (ret != 0)
		log_event("keyring", "file=%s reason=\"%s\"", d->conf.keyring, clearing_strerror(ret));
	return ret;
}

static int test_keys_refused(const struct daemon *d)
{
	size_t n = keyring_test_count(d->keyring);

	if (n == 0)
		return 0;
	if (d->conf.test_keys == 0) {
		log_event("test-keys", "file=%s keys=%zu reason=\"test keys are refused: bring keys in by qingfen keys ceremony, or say test_keys: 1\"", d->conf.keyring, n);
		return CLEARING_E_REFERENCE;
	}
	log_event("test-keys", "file=%s keys=%zu warning=\"TEST KEYS IN USE: anybody can make good codes; not for production\"", d->conf.keyring, n);
	return 0;
}

static size_t in_device_count(const struct keyring *ring)
{
	size_t n = 0;

	for (size_t i = 0; i < keyring_count(ring); i++)
		n += (keyring_entry(ring, i)->flags & KEY_FLAG_IN_DEVICE) != 0;
	return n;
}

static int device_open(struct daemon *d, const struct key_backend *backend)
{
	struct key_device_conf conf = { .backend = backend, .deadline_ms = d->conf.key_deadline_ms, .retry_ms = d->conf.key_retry_ms,
					.at = { .module = d->conf.key_module, .kek = (uint32_t)d->conf.key_kek } };
	char pin[LINE_BYTES] = "";
	int ret = 0;

	if (d->conf.key_token[0] != '\0')
		conf.at.token = d->conf.key_token;
	if (d->conf.key_pin_file[0] != '\0') {
		ret = secret_read(d->conf.key_pin_file, pin);
		conf.at.pin = pin;
	}
	if (ret != 0)
		log_event("key-pin", "file=%s reason=\"cannot be read\"", d->conf.key_pin_file);
	else
		ret = key_device_new(&conf, d->keyring, &d->device);
	key_wipe(pin, sizeof(pin));
	return ret;
}

int secrets_open(struct daemon *d)
{
	const struct key_backend *backend = key_backend_of(d->conf.key_backend);
	int ret = keyring_load(d);
	size_t outside;

	if (ret == 0)
		ret = test_keys_refused(d);
	if (ret != 0)
		return ret;
	outside = in_device_count(d->keyring);
	if (backend != &key_backend_software) {
		ret = device_open(d, backend);
		if (ret == 0)
			log_event("keyring", "backend=%s keys=%zu in_device=%zu", backend->name, keyring_count(d->keyring), outside);
		return ret;
	}
	log_event("keyring", "backend=software keys=%zu warning=\"" SECRETS_WARNING "\"", keyring_count(d->keyring));
	if (outside > 0)
		log_event("keyring", "in_device=%zu warning=\"no key device is configured: the taps of these keys wait\"", outside);
	return 0;
}

bool secrets_close(struct daemon *d)
{
	bool gone = key_device_free(d->device);

	d->device = NULL;
	if (!gone) {	/* a call hangs in the device and still reads the ring: it ends with the process */
		log_event("key-device", "state=hanging action=\"left behind\"");
		return false;
	}
	keyring_free(d->keyring);
	d->keyring = NULL;
	return true;
}
