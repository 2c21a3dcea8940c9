/* Key devices: the backends answer as the software does, and one that is slow, absent or lying answers nothing. */
#include "keys/keyring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <dlfcn.h>
#include <pthread.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"
#define CARDS 40

static struct mac_engine *engine;
static char dir[] = "/tmp/qingfen-device-XXXXXX", mode_path[64], stub_path[256];
static const uint8_t kek_one[16] = { 0x4B, 0x45, 0x4B, 0x31, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

static void hex(const char *text, uint8_t *p) { assert_true(hex_decode(text, p, strlen(text) / 2)); }

static void mode(const char *text)
{
	FILE *f = fopen(mode_path, "w");

	assert_non_null(f);
	fprintf(f, "%s\n", text);
	fclose(f);
}

static void wait_ms(int64_t ms) { nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL); }

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int set_up(void **state)
{
	const char *built = getenv("O");

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(mode_path, sizeof(mode_path), "%s/mode", dir);
	setenv("QINGFEN_SDF_MODE", mode_path, 1);
	snprintf(stub_path, sizeof(stub_path), "%s/%s/tests/sdf_stub.so", built != NULL && built[0] == '/' ? "" : ".", built != NULL ? built : "build/gcc");
	return mac_engine_new(&engine);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	mac_engine_free(engine);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* ---- a ring for a device, and records of its cards ---------------------------------------------- */

struct cards { uint8_t issuer[4], pan[CARDS][10], tac[CARDS][4]; struct purchase purchase[CARDS]; struct tac_question q[CARDS]; };

/* Records under a card-level parent; each fifth code is wrong. */
static void cards_make(struct cards *c, enum key_alg alg, const uint8_t parent[KEY_BYTES])
{
	memset(c, 0, sizeof(*c));
	hex("02184280", c->issuer);
	for (unsigned i = 0; i < CARDS; i++) {
		uint8_t key[KEY_BYTES];

		hex("03104730100000000000", c->pan[i]);
		c->pan[i][9] = (uint8_t)i;
		c->purchase[i] = (struct purchase){ .amount_fen = 200 + i, .txn_type = 9, .terminal_serial = i };
		c->q[i] = (struct tac_question){ .purchase = &c->purchase[i], .issuer = c->issuer, .pan = c->pan[i], .tac = c->tac[i], .key_version = 1,
						 .alg_id = (uint8_t)alg, .at_ms = 1500 };
		assert_int_equal(key_diversify(engine, alg, parent, c->pan[i] + 2, key), 0);
		assert_int_equal(mac_purchase_tac(engine, alg, key, &c->purchase[i], c->tac[i]), 0);
		c->tac[i][3] ^= i % 5 == 4;
	}
}

static void known_set(struct key_entry *e, const uint8_t parent[KEY_BYTES])
{
	uint8_t card[KEY_BYTES];

	hex("03104730100000000077", e->known_pan);
	assert_int_equal(key_diversify(engine, e->alg, parent, e->known_pan + 2, card), 0);
	assert_int_equal(key_check_value(engine, e->alg, card, e->known_kcv), 0);
}

static struct keyring *sdf_ring(struct cards *c)
{
	struct key_entry e = { .purpose = KEY_TAC, .alg = KEY_ALG_SM4, .version = 1, .levels = 1, .flags = KEY_FLAG_IN_DEVICE, .valid_from_ms = 0, .valid_to_ms = 9000 };
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t parent[KEY_BYTES], wrapped[2 * KEY_BYTES];
	struct keyring *ring;
	int n = 0;

	hex("A1B2C3D4E5F60718293A4B5C6D7E8F90", parent);
	assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_sm4_ecb(), NULL, kek_one, NULL), 1);
	assert_int_equal(EVP_EncryptUpdate(ctx, wrapped, &n, parent, KEY_BYTES), 1);
	EVP_CIPHER_CTX_free(ctx);
	hex("02184280", e.issuer);
	known_set(&e, parent);
	cards_make(c, KEY_ALG_SM4, parent);
	assert_int_equal(keyring_new(&ring), 0);
	assert_int_equal(keyring_add(ring, &e, wrapped), 0);
	return ring;
}

static struct key_device *device_of(const struct keyring *ring)
{
	const struct key_device_conf conf = { .backend = &key_backend_sdf, .at = { .module = stub_path, .kek = 1 }, .deadline_ms = 150, .retry_ms = 40 };
	struct key_device *d;

	assert_int_equal(key_device_new(&conf, ring, &d), 0);
	return d;
}

static bool up(struct key_device *d)
{
	struct key_device_status s;

	key_device_status(d, &s);
	return s.up;
}

static void wait_up(struct key_device *d)
{
	for (int i = 0; i < 300 && !up(d); i++)
		wait_ms(10);
	assert_true(up(d));
}

/* What n records were found to be: how many good, bad, unanswered. Good and bad only where they are. */
static void ask(struct key_device *d, const struct cards *c, unsigned *good, unsigned *bad, unsigned *open)
{
	enum key_check check[CARDS];

	for (unsigned i = 0; i < CARDS; i++)
		check[i] = KEY_CHECK_UNAVAILABLE;
	key_device_verify(d, c->q, CARDS, 150, check);
	*good = *bad = *open = 0;
	for (unsigned i = 0; i < CARDS; i++) {
		*good += check[i] == KEY_CHECK_GOOD;
		*bad += check[i] == KEY_CHECK_BAD;
		*open += check[i] == KEY_CHECK_UNAVAILABLE;
		if (check[i] == KEY_CHECK_GOOD)
			assert_true(i % 5 != 4);
		if (check[i] == KEY_CHECK_BAD)
			assert_true(i % 5 == 4);
	}
}

static void answers_all(struct key_device *d, const struct cards *c)
{
	unsigned good, bad, open = CARDS;

	for (int i = 0; i < 100 && open > 0; i++) {	/* on a busy machine the deadline may pass a good device by */
		ask(d, c, &good, &bad, &open);
		if (open > 0)
			wait_ms(50);
	}
	assert_int_equal(good, CARDS - CARDS / 5);
	assert_int_equal(bad, CARDS / 5);
}

static void answers_nothing(struct key_device *d, const struct cards *c)
{
	unsigned good, bad, open;

	ask(d, c, &good, &bad, &open);
	assert_int_equal(open, CARDS);
}

/* ---- SDF --------------------------------------------------------------------------------------------- */

static void an_sdf_device_verifies_sm4_as_the_software_does(void **state)
{
	struct cards c;
	struct keyring *ring = sdf_ring(&c);
	struct key_device *d;

	(void)state;
	mode("good");
	d = device_of(ring);
	wait_up(d);
	answers_all(d, &c);
	assert_int_equal(tac_verify(engine, ring, &c.q[0]), KEY_CHECK_UNAVAILABLE);
	assert_true(key_device_free(d));
	keyring_free(ring);
}

static void an_absent_device_answers_nothing_and_everything_when_it_comes_back(void **state)
{
	struct cards c;
	struct keyring *ring = sdf_ring(&c);
	struct key_device *d;

	(void)state;
	mode("absent");
	d = device_of(ring);
	wait_ms(100);
	assert_false(up(d));
	answers_nothing(d, &c);
	mode("good");
	wait_up(d);
	answers_all(d, &c);
	mode("absent");
	answers_nothing(d, &c);
	assert_false(up(d));
	mode("good");
	wait_up(d);
	answers_all(d, &c);
	assert_true(key_device_free(d));
	keyring_free(ring);
}

static void a_device_that_goes_away_is_missed_before_it_is_asked(void **state)
{
	struct cards c;
	struct keyring *ring = sdf_ring(&c);
	struct key_device *d;

	(void)state;
	mode("good");
	d = device_of(ring);
	wait_up(d);
	mode("absent");
	for (int i = 0; i < 300 && up(d); i++)
		wait_ms(10);
	assert_false(up(d));
	assert_true(key_device_free(d));
	keyring_free(ring);
}

static void a_slow_device_holds_nobody_longer_than_the_deadline(void **state)
{
	struct cards c;
	struct keyring *ring = sdf_ring(&c);
	struct key_device *d;
	int64_t start;

	(void)state;
	mode("good");
	d = device_of(ring);
	wait_up(d);
	mode("slow 400");
	start = now_ms();
	answers_nothing(d, &c);
	assert_in_range(now_ms() - start, 100, 390);
	start = now_ms();
	answers_nothing(d, &c);	/* left alone now: no wait at all */
	assert_in_range(now_ms() - start, 0, 90);
	mode("good");
	wait_up(d);
	answers_all(d, &c);
	assert_true(key_device_free(d));
	keyring_free(ring);
}

static void a_lying_device_is_found_and_gives_no_verdict(void **state)
{
	static const char *const lies[] = { "lying", "flip" };
	struct cards c;
	struct keyring *ring = sdf_ring(&c);
	struct key_device_status s;
	struct key_device *d;

	(void)state;
	mode("good");
	d = device_of(ring);
	for (size_t i = 0; i < 2; i++) {
		wait_up(d);
		mode(lies[i]);
		answers_nothing(d, &c);
		mode("good");
	}
	wait_up(d);
	mode("sly");	/* right when asked for one, wrong in a batch */
	answers_nothing(d, &c);
	key_device_status(d, &s);
	assert_true(s.lies >= 3);
	assert_non_null(strstr(s.text, "known answer"));
	assert_true(key_device_free(d));
	keyring_free(ring);
}

static void a_device_with_another_key_than_the_ring_says_is_not_believed(void **state)
{
	struct cards c;
	struct keyring *ring = sdf_ring(&c);
	struct key_device *d;

	(void)state;
	ring->slot[0].key[5] ^= 1;
	mode("good");
	d = device_of(ring);
	wait_ms(100);
	assert_false(up(d));
	answers_nothing(d, &c);
	assert_true(key_device_free(d));
	keyring_free(ring);
}

struct asker { pthread_t thread; struct key_device *device; const struct cards *cards; atomic_uint answered; atomic_bool stop; };

static void *asker_main(void *arg)
{
	struct asker *a = arg;

	while (!a->stop) {
		enum key_check check[CARDS];

		wait_ms(1);	/* one that is away answers at once */
		for (unsigned k = 0; k < CARDS; k++)
			check[k] = KEY_CHECK_UNAVAILABLE;
		key_device_verify(a->device, a->cards->q, CARDS, 150, check);
		for (unsigned k = 0; k < CARDS; k++) {
			a->answered += check[k] != KEY_CHECK_UNAVAILABLE;
			if (check[k] == (k % 5 == 4 ? KEY_CHECK_GOOD : KEY_CHECK_BAD))
				abort();	/* cmocka asserts in the main thread alone */
		}
	}
	return NULL;
}

static void threads_that_ask_at_once_get_their_own_answers_whatever_the_device_does(void **state)
{
	static const char *const modes[] = { "good", "lying", "good", "absent", "good", "flip", "slow 30", "good", "sly", "good" };
	struct cards c;
	struct keyring *ring = sdf_ring(&c);
	struct asker asker[4];
	struct key_device *d;

	(void)state;
	mode("good");
	d = device_of(ring);
	wait_up(d);
	for (unsigned i = 0; i < 4; i++) {
		asker[i] = (struct asker){ .device = d, .cards = &c };
		assert_int_equal(pthread_create(&asker[i].thread, NULL, asker_main, &asker[i]), 0);
	}
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		mode(modes[i]);
		wait_ms(10);
	}
	for (unsigned i = 0; i < 4; i++) {	/* good in the end: each gets answers, however busy the machine is */
		for (int k = 0; k < 1000 && asker[i].answered == 0; k++)
			wait_ms(10);
		asker[i].stop = true;
		assert_int_equal(pthread_join(asker[i].thread, NULL), 0);
		assert_true(asker[i].answered > 0);
	}
	assert_true(key_device_free(d));
	keyring_free(ring);
}

/* ---- PKCS#11 --------------------------------------------------------------------------------------------- */

/* A root in the token that cannot be read and may derive; left, right, left is two-key triple DES as a three-key object. */
static void root_put(const uint8_t root[KEY_BYTES])
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_DES3;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	unsigned char value[24], label[] = "tac-1", pin[] = "1234";
	CK_ATTRIBUTE made[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_KEY_TYPE, &type, sizeof(type) }, { CKA_TOKEN, &yes, sizeof(yes) },
		{ CKA_PRIVATE, &yes, sizeof(yes) }, { CKA_SENSITIVE, &yes, sizeof(yes) }, { CKA_EXTRACTABLE, &no, sizeof(no) }, { CKA_DERIVE, &yes, sizeof(yes) },
		{ CKA_ENCRYPT, &no, sizeof(no) }, { CKA_LABEL, label, 5 }, { CKA_VALUE, value, sizeof(value) } };
	CK_C_GetFunctionList list;
	CK_FUNCTION_LIST *call;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE object;
	CK_SLOT_ID slots[8];
	CK_ULONG n = 8;
	void *library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE), *symbol = dlsym(library, "C_GetFunctionList");

	memcpy(value, root, KEY_BYTES);
	memcpy(value + KEY_BYTES, root, 8);
	memcpy(&list, &symbol, sizeof(list));
	assert_int_equal(list(&call), CKR_OK);
	assert_int_equal(call->C_Initialize(NULL), CKR_OK);
	assert_int_equal(call->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
	assert_int_equal(call->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), CKR_OK);
	assert_int_equal(call->C_Login(session, CKU_USER, pin, 4), CKR_OK);
	assert_int_equal(call->C_CreateObject(session, made, sizeof(made) / sizeof(made[0]), &object), CKR_OK);
	assert_int_equal(call->C_Finalize(NULL), CKR_OK);
}

static void token_make(const char *root)
{
	char command[512], path[128];
	uint8_t key[KEY_BYTES];
	FILE *f;

	snprintf(path, sizeof(path), "%s/softhsm2.conf", dir);
	f = fopen(path, "w");
	fprintf(f, "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", dir);
	fclose(f);
	setenv("SOFTHSM2_CONF", path, 1);
	snprintf(command, sizeof(command), "mkdir -p %s/tokens && softhsm2-util --init-token --free --label fares --so-pin 87654321 --pin 1234 >/dev/null", dir);
	assert_int_equal(system(command), 0);
	hex(root, key);
	root_put(key);
}

static void a_pkcs11_token_derives_inside_and_verifies_3des_as_the_software_does(void **state)
{
	struct key_entry e = { .purpose = KEY_TAC, .alg = KEY_ALG_3DES, .version = 1, .levels = 2, .flags = KEY_FLAG_IN_DEVICE, .valid_from_ms = 0, .valid_to_ms = 9000 };
	struct key_device_conf conf = { .backend = &key_backend_pkcs11, .at = { .module = SOFTHSM, .token = "fares", .pin = "1234" }, .deadline_ms = 2000, .retry_ms = 50 };
	uint8_t parent[KEY_BYTES], label[KEY_BYTES] = "tac-1", gone[KEY_BYTES] = "tac-0";
	struct key_entry old;
	struct keyring *ring;
	struct key_device *d, *next;
	struct key_device_status s;
	struct cards c;

	(void)state;
	token_make("404142434445464748494A4B4C4D4E4F");
	hex("2BCD6E98205EBE58F4EB4CC93B945D3F", parent);	/* issuer level of that root */
	hex("02184280", e.issuer);
	known_set(&e, parent);
	cards_make(&c, KEY_ALG_3DES, parent);
	assert_int_equal(keyring_new(&ring), 0);
	assert_int_equal(keyring_add(ring, &e, label), 0);
	old = e;
	old.version = 0;	/* its secret is no longer in the token: the others are used as before */
	assert_int_equal(keyring_add(ring, &old, gone), 0);
	assert_int_equal(key_device_new(&conf, ring, &d), 0);
	wait_up(d);
	answers_all(d, &c);
	key_device_status(d, &s);
	assert_non_null(strstr(s.text, "1 of 2 keys; SoftHSM"));
	assert_int_equal(key_device_new(&conf, ring, &next), 0);	/* a ring takes the place of another: both use the module */
	assert_true(key_device_wait(next, 2000));
	answers_all(d, &c);
	assert_true(key_device_free(d));
	answers_all(next, &c);
	assert_true(key_device_free(next));
	conf.at.pin = "9999";
	assert_int_equal(key_device_new(&conf, ring, &d), 0);
	assert_false(key_device_wait(d, 2000));
	answers_nothing(d, &c);
	assert_true(key_device_free(d));
	keyring_free(ring);
}

/* ---- software ------------------------------------------------------------------------- */

static void the_software_backend_gives_the_codes_of_the_published_example(void **state)
{
	struct key_entry e = { .purpose = KEY_TAC, .alg = KEY_ALG_3DES, .version = 1, .levels = 2, .valid_from_ms = 0, .valid_to_ms = 9000 };
	struct purchase p = { .amount_fen = 0x8C, .txn_type = 9, .terminal_serial = 0xABCD };
	uint8_t root[KEY_BYTES], pan[10], kcv[3], expected[3], tac[1][4], dtk[KEY_BYTES];
	struct tac_question q = { .purchase = &p, .issuer = e.issuer, .pan = pan, .key_version = 1, .at_ms = 1, .tac = tac[0] };
	const struct tac_question *one = &q;
	const struct key_backend *b = key_backend_of("software");
	struct keyring *ring;
	size_t key;
	void *self;

	(void)state;
	assert_null(key_backend_of("hardware"));
	hex("404142434445464748494A4B4C4D4E4F", root);
	hex("02184280", e.issuer);
	hex("428000000017", p.terminal);
	hex("20250308071530", p.time.bcd);
	hex("03104730100000000017", pan);
	assert_int_equal(keyring_new(&ring), 0);
	assert_int_equal(keyring_add(ring, &e, root), 0);
	assert_int_equal(b->open(NULL, ring, &self), 0);
	assert_int_equal(b->find(self, &q, &key), 0);
	assert_int_equal(b->tacs(self, key, &one, 1, tac), 0);
	assert_memory_equal(tac[0], ((uint8_t[]){ 0x8F, 0xE7, 0x75, 0xD7 }), 4);
	hex("3B60BE32A72E38AA38D58A1C5A98EC05", dtk);
	assert_int_equal(key_check_value(engine, KEY_ALG_3DES, dtk, expected), 0);
	assert_int_equal(b->card_check(self, key, pan, kcv), 0);
	assert_memory_equal(kcv, expected, 3);
	q.key_version = 2;
	assert_int_equal(b->find(self, &q, &key), KEYS_E_NOT_FOUND);
	b->close(self);
	keyring_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_sdf_device_verifies_sm4_as_the_software_does),
		cmocka_unit_test(an_absent_device_answers_nothing_and_everything_when_it_comes_back),
		cmocka_unit_test(a_device_that_goes_away_is_missed_before_it_is_asked),
		cmocka_unit_test(a_slow_device_holds_nobody_longer_than_the_deadline),
		cmocka_unit_test(a_lying_device_is_found_and_gives_no_verdict),
		cmocka_unit_test(threads_that_ask_at_once_get_their_own_answers_whatever_the_device_does),
		cmocka_unit_test(a_device_with_another_key_than_the_ring_says_is_not_believed),
		cmocka_unit_test(a_pkcs11_token_derives_inside_and_verifies_3des_as_the_software_does),
		cmocka_unit_test(the_software_backend_gives_the_codes_of_the_published_example),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
