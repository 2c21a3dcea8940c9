/*
 * The generated city and its upload file: same seed same city, every batch whole, every code as
 * planned, and the plan's counts equal to what lies in the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/sim/city.h"

#include "tools/sim/city_bins.c"
#include "tools/sim/city_random.c"
#include "tools/sim/city_states.c"
#include "tools/sim/upload.c"

#define TAPS "2000"

static char dir[64];

void *city_grow(void *p, size_t item_bytes, size_t count)
{
	void *q = reallocarray(p, count, item_bytes);

	assert_non_null(q);
	if (p == NULL)
		memset(q, 0, item_bytes * count);
	return q;
}

static int run(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *bin(void)
{
	return getenv("B") != NULL ? getenv("B") : "bin";
}

static int city_generate(const char *name, int seed)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "%s/qingfen sim city --out %s/%s --seed %d --lines 8 --devices 16 --taps " TAPS
		 " >/dev/null",
		 bin(), dir, name, seed);
	return run(command);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_city.XXXXXX");
	return mkdtemp(dir) == NULL || city_generate("a", 7) != 0 || city_generate("b", 7) != 0 ? -1
												: 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return run(command);
}

static struct upload *upload_of(const char *name)
{
	struct upload *u = NULL;
	char path[128];

	snprintf(path, sizeof(path), "%s/%s/upload.qfu", dir, name);
	assert_int_equal(upload_open(path, &u), 0);
	return u;
}

/* The whole plan as text; the caller frees it. */
static char *plan_text(void)
{
	char path[128], *text = calloc(1, 65536);
	FILE *f;

	assert_non_null(text);
	snprintf(path, sizeof(path), "%s/a/plan.json", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

/* The number behind "name": in the text, or -1; *ret_rest is behind it. */
static long long number_in(const char *text, const char *name, const char **ret_rest)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(text, key);
	if (at == NULL)
		return -1;
	*ret_rest = at + strlen(key);
	return strtoll(*ret_rest, NULL, 10);
}

/* A number of the plan, looked for behind the group's key when there is one. */
static long long plan_number(const char *group, const char *name)
{
	char *text = plan_text();
	const char *from = group == NULL ? text : strstr(text, group), *rest;
	long long n;

	assert_non_null(from);
	n = number_in(from, name, &rest);
	assert_true(n >= 0);
	free(text);
	return n;
}

static void one_seed_gives_one_city(void **state)
{
	char command[512];

	(void)state;
	snprintf(
		command, sizeof(command),
		"cd %s && for f in terminals.csv issuers.csv blacklist.csv riders.csv planted.csv "
		"plan.json; do cmp a/$f b/$f || exit 1; done",
		dir);
	assert_int_equal(run(command), 0);
}

/* No signature is in it, which are random; two threads made it. */
static void a_city_of_purses_is_the_same_byte_for_byte(void **state)
{
	char command[512];

	(void)state;
	for (const char *name = "pq"; *name != '\0'; name++) {
		snprintf(command, sizeof(command),
			 "%s/qingfen sim city --out %s/%c --purse sm4 --lines 8 --devices 700 --taps 20000 --cards 6000 >/dev/null",
			 bin(), dir, *name);
		assert_int_equal(run(command), 0);
	}
	snprintf(command, sizeof(command), "cd %s && cmp p/upload.qfu q/upload.qfu && cmp p/planted.csv q/planted.csv", dir);
	assert_int_equal(run(command), 0);
	snprintf(command, sizeof(command), "test -z \"$(ls -A %s/p | grep bins)\"", dir);
	assert_int_equal(run(command), 0);
}

static void every_batch_is_whole_and_the_plan_counts_them(void **state)
{
	static struct batch b;
	struct upload *u = upload_of("a");
	long long sent = 0, batches = 0, resent = 0;
	struct upload_entry e;
	size_t at = 0;
	int ret;

	(void)state;
	while ((ret = upload_next(u, &at, &e)) == 1) {
		assert_int_equal(batch_decode(e.batch, e.bytes, &b), 0);
		assert_int_equal(batch_check(&b), 0);
		assert_int_equal(b.count, e.taps);
		assert_string_equal(b.device, e.device);
		sent += e.resent ? 0 : b.count;
		batches += !e.resent;
		resent += e.resent;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(sent, plan_number(NULL, "sent"));
	assert_int_equal(batches, plan_number(NULL, "batches"));
	assert_int_equal(resent, plan_number(NULL, "resent_batches"));
	upload_close(u);
}

static void every_fault_is_planted_at_least_once(void **state)
{
	char *text = plan_text();
	const char *rest = strstr(text, "\"faults\"");
	int faults = 0;

	(void)state;
	assert_non_null(rest);
	for (long long n; (n = number_in(rest, "planted", &rest)) >= 0; faults++)
		assert_true(n > 0);
	assert_int_equal(faults, FAULT_COUNT_ - 1);
	free(text);
}

/* ---- every code in the file -------------------------------------------------------------------
 */

struct tally {
	long long grey, bad, foreign, good, malformed, qr_good, qr_bad;
};
struct judges {
	struct mac_engine *mac;
	struct keyring *ring;
	struct qr_verifier *qr;
};

static void judges_open(struct judges *j)
{
	char path[128], pass[64] = "", error[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/a/keyring.pass", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(pass, sizeof(pass), f));
	fclose(f);
	pass[strcspn(pass, "\n")] = '\0';
	snprintf(path, sizeof(path), "%s/a/keyring.qfk", dir);
	assert_int_equal(keyring_open(path, pass, &j->ring), 0);
	assert_int_equal(mac_engine_new(&j->mac), 0);
	assert_int_equal(qr_verifier_new(&j->qr), 0);
	snprintf(path, sizeof(path), "%s/a/qr-ca.txt", dir);
	assert_int_equal(qr_verifier_load_ca(j->qr, path, error, sizeof(error)), 0);
}

static void tap_tally(struct tally *t, const struct judges *j, const struct tap *tap)
{
	struct purchase p;
	struct qr_code code;
	struct tac_question q = {.purchase = &p,
				 .issuer = tap->issuer,
				 .pan = tap->pan,
				 .key_version = (uint8_t)tap->key_version,
				 .alg_id = (uint8_t)tap->alg_id,
				 .at_ms = tap->time_ms,
				 .tac = tap->tac};
	enum key_check check;

	if (tap->kind == TAP_QR) {
		bool good = qr_verify(j->qr, tap->qr.p, tap->qr.n, tap->time_ms / 1000, &code) ==
			    QR_GOOD;

		t->qr_good += good;
		t->qr_bad += !good;
		return;
	}
	if (!tap_kind_is_ride((uint8_t)tap->kind) || tap->kind == TAP_BANK ||
	    tap->kind == TAP_MANUAL)
		return;
	tap_purchase(tap, &p);
	check = tac_verify(j->mac, j->ring, &q);
	t->grey += check == KEY_CHECK_GREY;
	t->bad += check == KEY_CHECK_BAD;
	t->foreign += check == KEY_CHECK_FOREIGN;
	t->good += check == KEY_CHECK_GOOD;
}

static void codes_verify_exactly_as_planned(void **state)
{
	static struct batch b;
	struct upload *u = upload_of("a");
	struct judges j = {NULL, NULL, NULL};
	struct tally t = {0};
	struct upload_entry e;
	const char *field;
	struct tap tap;

	(void)state;
	judges_open(&j);
	for (size_t at = 0; upload_next(u, &at, &e) == 1;) {
		assert_int_equal(batch_decode(e.batch, e.bytes, &b), 0);
		for (uint32_t i = 0; i < b.count && !e.resent; i++)
			if (tap_decode(b.tap[i].p, b.tap[i].n, &tap, &field) != 0)
				t.malformed++;
			else
				tap_tally(&t, &j, &tap);
	}
	assert_int_equal(t.malformed, plan_number("\"verdicts\"", "malformed"));
	assert_int_equal(t.bad + t.qr_bad, plan_number("\"verdicts\"", "bad-mac"));
	assert_int_equal(t.grey, plan_number("\"verdicts\"", "grey") +
					 plan_number("\"verdicts\"", "grey-superseded"));
	assert_true(t.qr_good > 0 && t.foreign > 0 && t.good > t.foreign);
	qr_verifier_free(j.qr);
	mac_engine_free(j.mac);
	keyring_free(j.ring);
	upload_close(u);
}

/* ---- bad input ---------------------------------------------------------------------------------
 */

static void a_cut_upload_file_is_refused(void **state)
{
	struct upload *u = NULL;
	struct upload_entry e;
	char command[256], path[128];
	size_t at = 0;
	int ret;

	(void)state;
	snprintf(path, sizeof(path), "%s/cut", dir);
	snprintf(command, sizeof(command), "head -c 5000 %s/a/upload.qfu >%s", dir, path);
	assert_int_equal(run(command), 0);
	assert_int_equal(upload_open(path, &u), 0);
	while ((ret = upload_next(u, &at, &e)) == 1)
		;
	assert_int_equal(ret, -EINVAL);
	upload_close(u);
	u = NULL;
	snprintf(command, sizeof(command), "printf nonsense >%s", path);
	assert_int_equal(run(command), 0);
	assert_int_equal(upload_open(path, &u), -EINVAL);
	assert_null(u);
}

/* Of a map, and with no room for it. */
static void an_upload_is_read_as_frames_whether_it_fits_into_memory_or_not(void **state)
{
	static struct batch b;
	uint8_t head[FRAME_HEAD_BYTES];

	(void)state;
	for (int mapped = 0; mapped < 2; mapped++) {
		struct upload *u = upload_of("a");
		struct upload_row row = upload_row_of(u, u->p + UPLOAD_HEAD_BYTES, u->p + u->n);
		struct upload_entry e;
		const uint8_t *p;

		assert_true(u->n > 4 * ROW_STEP_BYTES / 2);
		assert_int_equal(upload_ready(u, mapped ? u->n : u->n - 1), 0);
		for (size_t at = 0; upload_next(u, &at, &e) == 1;) {
			p = upload_row_read(u, &row, e.batch - FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + e.bytes);
			assert_non_null(p);
			assert_true((p == e.batch - FRAME_HEAD_BYTES) == mapped);
			frame_head(FRAME_BATCH, (uint32_t)e.bytes, head);
			assert_memory_equal(p, head, sizeof(head));
			assert_memory_equal(p + FRAME_HEAD_BYTES, e.batch, e.bytes);
			assert_int_equal(batch_decode(p + FRAME_HEAD_BYTES, e.bytes, &b), 0);
		}
		assert_true(mapped || row.asked >= u->n);
		upload_close(u);
	}
}

/* ---- what waits ---------------------------------------------------------------------------------
 */

static void bins_give_back_in_order_what_was_put(void **state)
{
	struct city_rng r = {.s = 5};
	uint32_t put[3] = {0}, bytes = 3 * CHUNK_BYTES + 1000;
	struct bins *b = NULL;
	uint8_t one[1000], *p;
	size_t n;

	(void)state;
	assert_int_equal(bins_open(dir, 4, &b), 0);
	while (put[0] < bytes || put[1] < bytes) { /* two that go to the disk, in turn; one that does not */
		uint32_t i = city_below(&r, 2), k = city_below(&r, sizeof(one));

		for (uint32_t x = 0; x < k; x++)
			one[x] = (uint8_t)((put[i] + x) * 7 + i);
		bins_put(b, i, one, k);
		put[i] += k;
	}
	bins_put(b, 2, "small", 5);
	put[2] = 5;
	assert_int_equal(bins_error(b), 0);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(bins_take(b, i, &p, &n), 0);
		assert_int_equal(n, put[i]);
		for (uint32_t x = 0; x < n && i < 2; x++)
			assert_int_equal(p[x], (uint8_t)(x * 7 + i));
		assert_true(i < 2 || memcmp(p, "small", 5) == 0);
		free(p);
	}
	for (uint32_t i = 2; i < 4; i++) { /* taken, and never used */
		assert_int_equal(bins_take(b, i, &p, &n), 0);
		assert_int_equal(n, 0);
		free(p);
	}
	bins_close(b);
}

static void a_state_that_outgrows_its_place_keeps_its_bytes_and_leaves_its_place(void **state)
{
	enum { RIDERS = 500 };
	struct city_states *s = city_states_new();
	uint32_t place[RIDERS] = {0};
	uint16_t bytes[RIDERS] = {0};
	struct city_rng r = {.s = 6};
	uint8_t text[RIDER_STATE_BYTES_MAX];
	const uint8_t *p;
	size_t n, used;

	(void)state;
	for (int k = 0; k < 20000; k++) {
		uint32_t i = city_below(&r, RIDERS);

		bytes[i] = (uint16_t)city_between(&r, 1, RIDER_STATE_BYTES_MAX);
		memset(text, (uint8_t)(i * 3 + bytes[i]), sizeof(text));
		city_state_put(s, &place[i], text, bytes[i]);
	}
	for (uint32_t i = 0; i < RIDERS; i++) {
		p = city_state_at(s, place[i], &n);
		assert_int_equal(n, bytes[i]);
		for (size_t x = 0; x < n; x++)
			assert_int_equal(p[x], (uint8_t)(i * 3 + bytes[i]));
	}
	memset(text, 0, sizeof(text));
	for (uint32_t i = 0; i < 2; i++) { /* the second climbs over places that the first left */
		used = s->used;
		place[i] = 0;
		for (int k = 1; k <= RIDER_STATE_BYTES_MAX; k++)
			city_state_put(s, &place[i], text, (size_t)k);
	}
	assert_true(s->used <= used + UNITS_MAX);
	city_states_free(s);
}

static void random_draws_stay_in_bounds(void **state)
{
	struct city_rng r = {.s = 1};

	(void)state;
	for (int i = 0; i < 10000; i++) {
		assert_in_range(city_between(&r, -3, 4) + 3, 0, 7);
		assert_in_range(city_below(&r, 5), 0, 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_seed_gives_one_city),
		cmocka_unit_test(a_city_of_purses_is_the_same_byte_for_byte),
		cmocka_unit_test(every_batch_is_whole_and_the_plan_counts_them),
		cmocka_unit_test(every_fault_is_planted_at_least_once),
		cmocka_unit_test(codes_verify_exactly_as_planned),
		cmocka_unit_test(a_cut_upload_file_is_refused),
		cmocka_unit_test(an_upload_is_read_as_frames_whether_it_fits_into_memory_or_not),
		cmocka_unit_test(bins_give_back_in_order_what_was_put),
		cmocka_unit_test(a_state_that_outgrows_its_place_keeps_its_bytes_and_leaves_its_place),
		cmocka_unit_test(random_draws_stay_in_bounds),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
