/* The ring in force: what may take its place while the house runs, who uses which, and when the old one is wiped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "clearing/daemon.h"
#include "keys/keyring.h"
#include "tests/unit/tap_sample.h"

#define TAPS 60
#define DAY_MS 86400000LL

static char dir[] = "/tmp/qingfen-secrets-XXXXXX";
static struct mac_engine *engine;
static const uint8_t root_of[4][KEY_BYTES] = { { 0 }, { 0x40, 0x41, 0x42, 0x43, 1 }, { 0x50, 0x51, 0x52, 0x53, 2 }, { 0x60, 0x61, 0x62, 0x63, 3 } };

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL ? -1 : mac_engine_new(&engine);
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	mac_engine_free(engine);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* ---- rings -------------------------------------------------------------------------------------------- */

static struct key_entry entry_of(uint8_t version)
{
	return (struct key_entry){ .purpose = KEY_TAC, .alg = KEY_ALG_3DES, .issuer = { 0x02, 0x18, 0x42, 0x80 }, .version = version, .levels = 2,
				   .flags = KEY_FLAG_TEST, .valid_to_ms = INT64_MAX };
}

static struct keyring *ring_of(const struct key_entry *e, size_t n)
{
	struct keyring *ring;

	assert_int_equal(keyring_new(&ring), 0);
	for (size_t i = 0; i < n; i++) {
		struct key_entry one = e[i];

		assert_int_equal(keyring_add(ring, &one, root_of[one.version]), 0);
	}
	return ring;
}

/* As keyring_save does, with a scrypt that costs a thirtieth: this file is about what becomes of rings, not of guesses. */
static void ring_save(const struct daemon *d, const struct keyring *ring)
{
	static uint8_t file[KEY_FILE_BYTES_MAX] = "QFKEYS02\0\0\0\012";
	uint8_t storage[2 * STORAGE_KEY_BYTES];
	FILE *f = fopen(d->conf.passphrase_file, "w");
	size_t n = 0;

	assert_non_null(f);
	fputs("sesame\n", f);
	fclose(f);
	assert_int_equal(EVP_PBE_scrypt("sesame", 6, file + 12, 16, 1 << 10, 8, 1, 64 << 20, storage, sizeof(storage)), 1);
	assert_int_equal(key_file_seal(storage, ring, file, &n), 0);
	f = fopen(d->conf.keyring, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(file, 1, n, f), n);
	fclose(f);
}

static void house_ring(const struct daemon *d, const struct key_entry *e, size_t n)
{
	struct keyring *ring = ring_of(e, n);

	ring_save(d, ring);
	keyring_free(ring);
}

static void house_open(struct daemon *d)
{
	*d = (struct daemon){ .conf = { .test_keys = 1, .key_backend = "software", .key_deadline_ms = 100, .key_retry_ms = 50, .verify_lanes = 1 } };
	snprintf(d->conf.keyring, sizeof(d->conf.keyring), "%s/ring", dir);
	snprintf(d->conf.passphrase_file, sizeof(d->conf.passphrase_file), "%s/pass", dir);
	house_ring(d, (struct key_entry[]){ entry_of(1) }, 1);
	assert_int_equal(secrets_open(d), 0);
}

/* ---- taps ---------------------------------------------------------------------------------------------- */

struct taps { uint8_t bytes[TAPS][TAP_ENCODED_BYTES_MAX]; struct batch batch; };

static void taps_make(struct taps *t, uint8_t version)
{
	struct keyring *ring = ring_of((struct key_entry[]){ entry_of(version) }, 1);

	memset(&t->batch, 0, sizeof(t->batch));
	for (unsigned i = 0; i < TAPS; i++) {
		struct tap tap = sample_tap();
		struct purchase p;
		uint8_t dtk[KEY_BYTES];
		int n;

		tap.key_version = version;
		tap.pan[9] = (uint8_t)(i / 10 << 4 | i % 10);
		tap_purchase(&tap, &p);
		assert_int_equal(keyring_card_key(ring, engine, KEY_TAC, tap.issuer, version, 0, tap.time_ms, tap.pan, dtk), 0);
		assert_int_equal(mac_purchase_tac(engine, KEY_ALG_3DES, dtk, &p, tap.tac), 0);
		n = tap_encode(&tap, t->bytes[i], sizeof(t->bytes[i]));
		assert_true(n > 0);
		t->batch.tap[i].p = t->bytes[i];
		t->batch.tap[i].n = (uint32_t)n;
	}
	t->batch.count = TAPS;
	keyring_free(ring);
}

/* How many were found to be this. */
static unsigned found(struct verifier *v, const struct taps *t, enum key_check check)
{
	static _Thread_local struct batch_taps taps;
	uint8_t marks[2 * BATCH_TAPS_MAX];
	unsigned n = 0;

	batch_taps_decode(&t->batch, &taps);
	verifier_marks(v, &taps, t->batch.count, SAMPLE_TIME_MS, marks);
	for (unsigned i = 0; i < TAPS; i++)
		n += marks[2 * i] == check;
	return n;
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void refused(struct daemon *d, const char *said)
{
	struct secrets_state before, after;
	char error[640] = "";

	secrets_state(d, &before);
	assert_int_not_equal(secrets_reload(d, NULL, error, sizeof(error)), 0);
	if (strstr(error, said) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", error, said);
	assert_non_null(strstr(error, "; the ring read before stays in force"));
	secrets_state(d, &after);
	assert_int_equal(after.generation, before.generation);
	assert_int_equal(after.refused, before.refused + 1);
}

static void a_ring_that_lacks_something_in_force_is_refused_and_the_one_before_stays(void **state)
{
	struct key_entry first = entry_of(1), second = entry_of(2), changed;
	struct secrets_state s;
	struct verifier *v;
	struct taps taps;
	struct daemon d;

	(void)state;
	house_open(&d);
	taps_make(&taps, 1);
	assert_int_equal(verifier_new(&d, &v), 0);
	house_ring(&d, &second, 1);
	refused(&d, "tac 3des scheme 0 02184280 version 1 index 0 is in force and not in the new ring");
	changed = first;
	changed.flags |= KEY_FLAG_INACTIVE;
	house_ring(&d, &changed, 1);
	refused(&d, "version 1 index 0 is in force and inactive");
	changed = first;
	changed.valid_from_ms = SAMPLE_TIME_MS;
	house_ring(&d, &changed, 1);
	refused(&d, "version 1 index 0 is in force and begins later");
	changed = first;
	changed.levels = 1;
	house_ring(&d, &changed, 1);
	refused(&d, "version 1 index 0 is in force and another key");
	assert_int_equal(truncate(d.conf.keyring, 100), 0);
	refused(&d, "/ring: ");
	assert_int_equal(unlink(d.conf.keyring), 0);
	refused(&d, "/ring: ");
	assert_int_equal(found(v, &taps, KEY_CHECK_GOOD), TAPS);
	verifier_free(v);

	first.flags |= KEY_FLAG_DISTRUSTED;
	first.distrust_from_ms = SAMPLE_TIME_MS + 1;
	house_ring(&d, &first, 1);
	assert_int_equal(secrets_reload(&d, &s, NULL, 0), 0);
	changed = first;
	changed.flags &= (uint8_t)~KEY_FLAG_DISTRUSTED;
	house_ring(&d, &changed, 1);
	refused(&d, "version 1 index 0 is distrusted, which the new ring does not know");
	first.valid_to_ms = clock_ms() - 61 * DAY_MS;	/* retired, and long ago: then it may leave */
	house_ring(&d, &first, 1);
	assert_int_equal(secrets_reload(&d, &s, NULL, 0), 0);
	house_ring(&d, &second, 1);
	assert_int_equal(secrets_reload(&d, &s, NULL, 0), 0);
	assert_int_equal(s.generation, 4);
	assert_true(secrets_close(&d));
}

static void a_ring_that_fails_its_known_answer_is_refused(void **state)
{
	struct key_entry list[2] = { entry_of(1), entry_of(2) };
	struct keyring *ring;
	struct daemon d;
	size_t i = 9;

	(void)state;
	house_open(&d);
	memset(list[1].known_pan, 0x31, sizeof(list[1].known_pan));
	memset(list[1].known_kcv, 0xAB, sizeof(list[1].known_kcv));
	ring = ring_of(list, 2);
	assert_int_equal(keyring_prove(ring, &i), KEYS_E_ANSWER);
	assert_int_equal(i, 1);
	ring_save(&d, ring);
	refused(&d, "version 2 index 0: the known answer differs");
	assert_int_equal(keyring_activate(ring, 1, list[1].known_pan, list[1].known_kcv), KEYS_E_ANSWER);
	keyring_free(ring);
	d.conf.test_keys = 0;
	house_ring(&d, list, 1);
	refused(&d, "1 test keys are refused");
	assert_true(secrets_close(&d));
}

static void *reload_main(void *arg)
{
	struct secrets_state s;

	return secrets_reload(arg, &s, NULL, 0) == 0 && s.unwiped == 0 ? arg : NULL;
}

/* The keys change places: what a verifier remembers by place would answer wrong. */
static void a_verifier_that_has_seen_the_old_ring_uses_no_key_of_it_under_the_new(void **state)
{
	struct secrets_state s = { 0 };
	struct verifier *v;
	struct taps of[3];
	struct daemon d;
	pthread_t thread;
	void *good;

	(void)state;
	house_open(&d);
	taps_make(&of[1], 1);
	taps_make(&of[2], 2);
	assert_int_equal(verifier_new(&d, &v), 0);
	assert_int_equal(found(v, &of[1], KEY_CHECK_GOOD), TAPS);
	assert_int_equal(found(v, &of[2], KEY_CHECK_NO_KEY), TAPS);
	house_ring(&d, (struct key_entry[]){ entry_of(2), entry_of(3), entry_of(1) }, 3);
	assert_int_equal(pthread_create(&thread, NULL, reload_main, &d), 0);
	while (s.generation != 2) {
		secrets_state(&d, &s);
		usleep(1000);
	}
	assert_int_equal(s.unwiped, 1);		/* held by the verifier until its next batch; the reload waits for it */
	assert_int_equal(found(v, &of[1], KEY_CHECK_GOOD), TAPS);
	assert_int_equal(found(v, &of[2], KEY_CHECK_GOOD), TAPS);
	pthread_join(thread, &good);
	assert_non_null(good);
	verifier_free(v);
	assert_true(secrets_close(&d));
}

struct runner { struct daemon *daemon; const struct taps *taps; atomic_bool *stop; unsigned batches, wrong; };

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	struct verifier *v;

	if (verifier_new(r->daemon, &v) != 0)
		return NULL;
	while (!atomic_load(r->stop) || r->batches < 10) {
		r->wrong += TAPS - found(v, r->taps, KEY_CHECK_GOOD);
		r->batches++;
		usleep(500);
	}
	verifier_free(v);
	return NULL;
}

static void taps_in_flight_are_good_under_one_ring_or_the_other_through_many_reloads(void **state)
{
	struct runner runner[3];
	pthread_t thread[3];
	struct secrets_state s;
	atomic_bool stop = false;
	struct taps taps;
	struct daemon d;

	(void)state;
	house_open(&d);
	taps_make(&taps, 1);
	for (unsigned i = 0; i < 3; i++) {
		runner[i] = (struct runner){ .daemon = &d, .taps = &taps, .stop = &stop };
		assert_int_equal(pthread_create(&thread[i], NULL, runner_main, &runner[i]), 0);
	}
	for (unsigned i = 0; i < 6; i++) {
		const struct key_entry list[2][3] = { { entry_of(2), entry_of(1), entry_of(3) }, { entry_of(1), entry_of(3), entry_of(2) } };

		house_ring(&d, list[i % 2], 3);
		assert_int_equal(secrets_reload(&d, &s, NULL, 0), 0);
		assert_int_equal(s.unwiped, 0);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(thread[i], NULL);
		assert_true(runner[i].batches >= 10);
		assert_int_equal(runner[i].wrong, 0);
	}
	assert_int_equal(s.generation, 7);
	assert_true(secrets_close(&d));
}

static bool lies_in(const void *p, size_t n, const uint8_t key[KEY_BYTES])
{
	return memmem(p, n, key, KEY_BYTES) != NULL;
}

/* White box: the batch verifier's own memory, its engine's first. */
static void what_was_derived_of_a_ring_is_wiped_when_it_is_forgotten(void **state)
{
	static const uint8_t factor[KEY_FACTOR_BYTES] = { 0x02, 0x18, 0x42, 0x80, 0xFF, 0xFF, 0xFF, 0xFF };
	struct keyring *ring = ring_of((struct key_entry[]){ entry_of(1) }, 1);
	struct tac_question q[40];
	struct purchase p = { .amount_fen = 200 };
	enum key_check check[40];
	uint8_t parent[KEY_BYTES], tac[4] = { 1, 2, 3, 4 }, pan[10] = { 3 };
	struct tac_batch *b;
	const void *inner;

	(void)state;
	assert_int_equal(key_diversify(engine, KEY_ALG_3DES, root_of[1], factor, parent), 0);
	assert_int_equal(tac_batch_new(true, &b), 0);
	for (unsigned i = 0; i < 40; i++)
		q[i] = (struct tac_question){ .purchase = &p, .issuer = keyring_entry(ring, 0)->issuer, .pan = pan, .key_version = 1, .at_ms = 1, .tac = tac };
	tac_batch_verify(b, ring, q, 40, check);
	tac_batch_verify(b, ring, q, 1, check);
	memcpy(&inner, b, sizeof(inner));
	assert_true(lies_in(b, 8192, parent));
	assert_true(lies_in(inner, 512, parent));
	assert_true(lies_in(inner, 512, root_of[1]));
	tac_batch_forget(b);
	assert_false(lies_in(b, 8192, parent));
	assert_false(lies_in(inner, 512, parent));
	assert_false(lies_in(inner, 512, root_of[1]));
	tac_batch_verify(b, ring, q, 40, check);
	assert_int_equal(check[39], KEY_CHECK_BAD);
	tac_batch_free(b);
	keyring_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_that_lacks_something_in_force_is_refused_and_the_one_before_stays),
		cmocka_unit_test(a_ring_that_fails_its_known_answer_is_refused),
		cmocka_unit_test(a_verifier_that_has_seen_the_old_ring_uses_no_key_of_it_under_the_new),
		cmocka_unit_test(taps_in_flight_are_good_under_one_ring_or_the_other_through_many_reloads),
		cmocka_unit_test(what_was_derived_of_a_ring_is_wiped_when_it_is_forgotten),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
