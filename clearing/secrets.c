/*
 * secrets - the keyring in force and whoever keeps its secrets: this process, which is said loudly, or a key device behind
 * its worker. An absent device is no reason not to start: records are receipted and wait for it.
 *
 * The ring can be taken again while the house runs. A new one is opened, proven and put beside the old first; then it is in
 * force at once, for every batch that begins. Who still uses the old one gives it back, and it is wiped when the last has.
 * A ring that may not take the place of the old one changes nothing.
 */
#include "clearing/daemon.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE_BYTES 256
#define UNSENT_MS (60 * 86400000LL)	/* what terminals may still bring: a key retired longer ago may leave the ring */
#define DEVICE_WAIT_MS 5000		/* for a device to show its known answers with the new ring; more when its deadline is longer */
#define WIPE_WAIT_S 5			/* for the batches and questions in progress; then the next reload looks again */

struct held { struct secrets s; struct keyring *ring; unsigned users; struct held *older; };
struct vault {
	pthread_mutex_t lock;		/* current, users, counts */
	pthread_cond_t given;
	struct held *current, *old;	/* old: no longer in force, not yet wiped */
	_Atomic uint64_t generation;
	uint64_t refused, left_behind;
	int64_t taken_ms;
	pthread_mutex_t reloading;	/* one at a time */
	bool closed;
};

/* ---- a ring and its device ------------------------------------------------------------------------------ */

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

/* Why not, for the log and for who asked. */
struct why { const char *event; char text[512]; };
static int why_not(struct why *w, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int why_not(struct why *w, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(w->text, sizeof(w->text), format, args);
	va_end(args);
	return code;
}

static const char *key_text(const struct key_entry *e, char ret[96])
{
	snprintf(ret, 96, "%s %s scheme %u %02X%02X%02X%02X version %u index %u", key_purpose_name(e->purpose), e->alg == KEY_ALG_SM4 ? "sm4" : "3des", e->scheme,
		 e->issuer[0], e->issuer[1], e->issuer[2], e->issuer[3], e->version, e->index);
	return ret;
}

static int ring_read(const struct conf *conf, struct keyring **ret_ring, struct why *w)
{
	char line[LINE_BYTES] = "";
	int ret = secret_read(conf->passphrase_file, line);

	if (ret != 0)
		return why_not(w, ret, "%s: the passphrase cannot be read: %s", conf->passphrase_file, clearing_strerror(ret));
	ret = keyring_open(conf->keyring, line, ret_ring);
	key_wipe(line, sizeof(line));
	return ret == 0 ? 0 : why_not(w, ret, "%s: %s", conf->keyring, clearing_strerror(ret));
}

static int ring_good(const struct conf *conf, const struct keyring *ring, struct why *w)
{
	size_t n = keyring_test_count(ring), i = 0;
	char text[96];
	int ret = keyring_prove(ring, &i);

	if (ret != 0)
		return why_not(w, ret, "%s: %s: %s", conf->keyring, i < keyring_count(ring) ? key_text(keyring_entry(ring, i), text) : "", clearing_strerror(ret));
	if (n == 0 || conf->test_keys != 0)
		return 0;
	w->event = "test-keys";
	return why_not(w, CLEARING_E_REFERENCE, "%s: %zu test keys are refused: bring keys in by qingfen keys ceremony, or say test_keys: 1", conf->keyring, n);
}

static int device_open(const struct conf *conf, const struct key_backend *backend, const struct keyring *ring, struct key_device **ret_device, struct why *w)
{
	struct key_device_conf c = { .backend = backend, .deadline_ms = conf->key_deadline_ms, .retry_ms = conf->key_retry_ms,
				     .at = { .module = conf->key_module, .kek = (uint32_t)conf->key_kek } };
	char pin[LINE_BYTES] = "";
	int ret = 0;

	if (conf->key_token[0] != '\0')
		c.at.token = conf->key_token;
	if (conf->key_pin_file[0] != '\0') {
		ret = secret_read(conf->key_pin_file, pin);
		c.at.pin = pin;
	}
	if (ret != 0)
		ret = why_not(w, ret, "%s: the PIN cannot be read: %s", conf->key_pin_file, clearing_strerror(ret));
	else
		ret = key_device_new(&c, ring, ret_device);
	key_wipe(pin, sizeof(pin));
	return ret;
}

/* False: a call hangs in the device and still reads the ring; both end with the process. */
static bool held_free(struct held *h)
{
	if (h == NULL)
		return true;
	if (!key_device_free(h->s.device)) {
		log_event("key-device", "state=hanging action=\"left behind\"");
		return false;
	}
	keyring_free(h->ring);
	free(h);
	return true;
}

static int held_open(const struct conf *conf, struct held **ret_held, struct why *w)
{
	const struct key_backend *backend = key_backend_of(conf->key_backend);
	struct held *h = calloc(1, sizeof(*h));
	int ret = h == NULL ? why_not(w, -ENOMEM, "no memory") : ring_read(conf, &h->ring, w);

	if (ret == 0)
		ret = ring_good(conf, h->ring, w);
	if (ret == 0 && backend != &key_backend_software)
		ret = device_open(conf, backend, h->ring, &h->s.device, w);
	if (ret == 0) {
		h->s.ring = h->ring;
		*ret_held = h;
		h = NULL;
	}
	held_free(h);
	return ret;
}

static size_t in_device_count(const struct keyring *ring)
{
	size_t n = 0;

	for (size_t i = 0; i < keyring_count(ring); i++)
		n += (keyring_entry(ring, i)->flags & KEY_FLAG_IN_DEVICE) != 0;
	return n;
}

static void held_tell(const struct conf *conf, const struct held *h)
{
	size_t tests = keyring_test_count(h->ring), outside = in_device_count(h->ring);

	if (tests > 0)
		log_event("test-keys", "file=%s keys=%zu warning=\"TEST KEYS IN USE: anybody can make good codes; not for production\"", conf->keyring, tests);
	if (h->s.device != NULL) {
		log_event("keyring", "backend=%s generation=%llu keys=%zu in_device=%zu", conf->key_backend, (unsigned long long)h->s.generation, keyring_count(h->ring), outside);
		return;
	}
	log_event("keyring", "backend=software generation=%llu keys=%zu warning=\"" SECRETS_WARNING "\"", (unsigned long long)h->s.generation, keyring_count(h->ring));
	if (outside > 0)
		log_event("keyring", "in_device=%zu warning=\"no key device is configured: the taps of these keys wait\"", outside);
}

/* ---- use ------------------------------------------------------------------------------------------------- */

const struct secrets *secrets_take(struct daemon *d)
{
	struct vault *v = d->vault;
	struct held *h;

	pthread_mutex_lock(&v->lock);
	h = v->current;
	h->users++;
	pthread_mutex_unlock(&v->lock);
	return &h->s;
}

void secrets_give(struct daemon *d, const struct secrets *s)
{
	struct vault *v = d->vault;

	if (s == NULL)
		return;
	pthread_mutex_lock(&v->lock);
	for (struct held *h = v->current; h != NULL; h = h == v->current ? v->old : h->older)
		if (&h->s == s)
			h->users--;
	pthread_cond_broadcast(&v->given);
	pthread_mutex_unlock(&v->lock);
}

bool secrets_in_force(const struct daemon *d, const struct secrets *s) { return atomic_load(&d->vault->generation) == s->generation; }

void secrets_state(struct daemon *d, struct secrets_state *ret)
{
	struct vault *v = d->vault;

	pthread_mutex_lock(&v->lock);
	*ret = (struct secrets_state){ .generation = v->current->s.generation, .keys = keyring_count(v->current->ring), .refused = v->refused,
				       .unwiped = v->left_behind, .taken_ms = v->taken_ms };
	for (const struct held *h = v->old; h != NULL; h = h->older)
		ret->unwiped++;
	pthread_mutex_unlock(&v->lock);
}

/* ---- one ring in the place of another ---------------------------------------------------------------------- */

static int may_follow(const struct conf *conf, const struct held *now, const struct held *before, struct why *w)
{
	int64_t wait_ms = conf->key_deadline_ms * 2 > DEVICE_WAIT_MS ? conf->key_deadline_ms * 2 : DEVICE_WAIT_MS;
	struct key_device_status s;
	char text[96];
	size_t i = 0;
	const char *why = keyring_lacks(now->ring, before->ring, clock_ms() - UNSENT_MS, &i);

	if (why != NULL)
		return why_not(w, CLEARING_E_REFERENCE, "%s: %s %s", conf->keyring, key_text(keyring_entry(before->ring, i), text), why);
	if (now->s.device == NULL || key_device_wait(now->s.device, wait_ms))
		return 0;
	key_device_status(now->s.device, &s);
	return why_not(w, KEYS_E_DEVICE, "%s: the key device with this ring: %s", s.backend, s.text);
}

static void in_force(struct vault *v, struct held *h)
{
	pthread_mutex_lock(&v->lock);
	h->s.generation = atomic_load(&v->generation) + 1;
	if (v->current != NULL) {
		v->current->older = v->old;
		v->old = v->current;
	}
	v->current = h;
	v->taken_ms = clock_ms();
	atomic_store(&v->generation, h->s.generation);
	pthread_mutex_unlock(&v->lock);
}

/* Under the lock: those nobody uses any more, taken out. */
static struct held *unused_take(struct vault *v)
{
	struct held *gone = NULL;

	for (struct held **at = &v->old; *at != NULL;) {
		struct held *h = *at;

		if (h->users > 0) {
			at = &h->older;
			continue;
		}
		*at = h->older;
		h->older = gone;
		gone = h;
	}
	return gone;
}

/* Rings no longer in force are wiped as they come back, as long as wait_s allows. */
static void old_wipe(struct vault *v, int wait_s)
{
	struct timespec until;
	struct held *gone, *next;
	uint64_t hanging = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_s;
	pthread_mutex_lock(&v->lock);
	do {
		gone = unused_take(v);
		pthread_mutex_unlock(&v->lock);
		for (; gone != NULL; gone = next) {
			next = gone->older;
			hanging += !held_free(gone);
		}
		pthread_mutex_lock(&v->lock);
	} while (v->old != NULL && (v->old->users == 0 || pthread_cond_timedwait(&v->given, &v->lock, &until) == 0));
	v->left_behind += hanging;
	pthread_mutex_unlock(&v->lock);
}

static int reload(struct daemon *d, struct why *w)
{
	struct vault *v = d->vault;
	struct held *h = NULL;
	int ret = v->closed ? why_not(w, -ESHUTDOWN, "the daemon is stopping") : held_open(&d->conf, &h, w);

	if (ret == 0)
		ret = may_follow(&d->conf, h, v->current, w);	/* current: changed by a reload only, and this is one */
	if (ret != 0) {
		held_free(h);
		return ret;
	}
	in_force(v, h);
	held_tell(&d->conf, h);
	fronts_wake(d);
	recheck_wake(d);
	old_wipe(v, WIPE_WAIT_S);
	return 0;
}

int secrets_reload(struct daemon *d, struct secrets_state *ret_state, char *ret_error, size_t error_bytes)
{
	struct vault *v = d->vault;
	struct why w = { "keyring", "" };
	int ret;

	pthread_mutex_lock(&v->reloading);
	ret = reload(d, &w);
	if (ret != 0) {
		pthread_mutex_lock(&v->lock);
		v->refused++;
		pthread_mutex_unlock(&v->lock);
		log_event("keyring-refused", "alarm=1 generation=%llu reason=\"%s\" note=\"the ring read before stays in force\"", (unsigned long long)v->current->s.generation,
			  w.text);
		if (ret_error != NULL)
			snprintf(ret_error, error_bytes, "%s; the ring read before stays in force", w.text);
	} else if (ret_state != NULL) {
		secrets_state(d, ret_state);
	}
	pthread_mutex_unlock(&v->reloading);
	return ret;
}

/* ---- life --------------------------------------------------------------------------------------------------- */

int secrets_open(struct daemon *d)
{
	struct vault *v = calloc(1, sizeof(*v));
	struct why w = { "keyring", "" };
	struct held *h;
	int ret;

	if (v == NULL)
		return -ENOMEM;
	ret = held_open(&d->conf, &h, &w);
	if (ret != 0) {
		log_event(w.event, "reason=\"%s\"", w.text);
		free(v);
		return ret;
	}
	pthread_mutex_init(&v->lock, NULL);
	pthread_mutex_init(&v->reloading, NULL);
	pthread_cond_init(&v->given, NULL);
	in_force(v, h);
	d->vault = v;
	held_tell(&d->conf, h);
	return 0;
}

void secrets_stop(struct daemon *d)
{
	pthread_mutex_lock(&d->vault->reloading);
	d->vault->closed = true;
	pthread_mutex_unlock(&d->vault->reloading);
}

bool secrets_close(struct daemon *d)
{
	struct vault *v = d->vault;
	bool good;

	if (v == NULL)
		return true;
	old_wipe(v, 0);
	good = v->old == NULL && v->current->users == 0 && held_free(v->current) && v->left_behind == 0;
	if (!good)
		return false;
	pthread_cond_destroy(&v->given);
	pthread_mutex_destroy(&v->reloading);
	pthread_mutex_destroy(&v->lock);
	free(v);
	d->vault = NULL;
	return true;
}
