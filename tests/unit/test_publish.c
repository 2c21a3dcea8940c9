/* Tariffs of two persons: what is signed is what takes effect, nothing less than two persons, and the way back. */
#include "clearing/clearing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DAY_MS 86400000LL
#define BLOB_BYTES_MAX (1u << 20)

static struct qr_key *key[3];
static const char *const name[3] = { "zhang", "li", "wang" };	/* wang is on no list */
static struct { uint64_t bytes[BLOB_BYTES_MAX / 8]; size_t n; } pack[2];	/* the second has the higher version */
static struct refdata *ref;
static uint64_t seq;

static void told(void *arg, const char *text) { (void)arg; print_message("%s\n", text); }

static int packs_make(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		void *blob;
		size_t n;

		if (tariff_compile(i == 0 ? "tariffs/packs/shenzhen" : "tariffs/packs/ganzhou", told, NULL, &blob, &n) != 0 || n > sizeof(pack[i].bytes))
			return -1;
		memcpy(pack[i].bytes, blob, pack[i].n = n);
		free(blob);
	}
	for (int i = 0; i < 3; i++)
		if (qr_key_new(&key[i]) != 0)
			return -1;
	return 0;
}

static int keys_free(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		qr_key_free(key[i]);
	return 0;
}

static uint32_t version_of(int i)
{
	struct tariff *t;
	uint32_t v;

	assert_int_equal(tariff_open(pack[i].bytes, pack[i].n, &t), 0);
	v = tariff_version(t);
	tariff_close(t);
	return v;
}

static int apply(uint8_t type, const void *body, size_t n)
{
	struct event e = { .seq = ++seq, .type = type, .body = body, .bytes = n };
	struct txn t = { 0 };
	char error[512] = "";
	int dry = refdata_check(ref, type, body, n, error, sizeof(error)), ret = refdata_apply(ref, &e, &t, error, sizeof(error));

	assert_int_equal(dry, ret);		/* what the dry look says is what happens */
	return ret;
}

/* The persons first to last with the keys from shift on. */
static int persons_load(int first, int last, int shift)
{
	char csv[1024] = "name,title,key\n", hex[131];
	uint8_t point[65];

	for (int i = first; i <= last; i++) {
		qr_key_point(key[i + shift], point);
		hex_encode(point, sizeof(point), hex);
		snprintf(csv + strlen(csv), sizeof(csv) - strlen(csv), "%s,,%s\n", name[i], hex);
	}
	return apply(EVENT_PERSONS, csv, strlen(csv));
}

static int house_open(void **state)
{
	static uint8_t head[8 + BLOB_BYTES_MAX];

	(void)state;
	if (refdata_new(&ref) != 0)
		return -1;
	be64_put(head, (uint64_t)DAY_MS);
	memcpy(head + 8, pack[0].bytes, pack[0].n);
	return persons_load(0, 1, 0) != 0 || apply(EVENT_TARIFF, head, 8 + pack[0].n) != 0;
}

static int house_close(void **state)
{
	(void)state;
	refdata_free(ref);
	return 0;
}

/* The event of one person's signature over one pack and time; its length. */
static size_t publication(uint8_t *out, int who, int what, int64_t from_ms, bool with_pack)
{
	char text[PUBLISH_TEXT_BYTES];
	size_t n;

	memset(out, 0, PUBLISH_HEAD_BYTES);
	be64_put(out, (uint64_t)from_ms);
	strcpy((char *)out + 8, name[who]);
	assert_int_equal(digest_sha256(pack[what].bytes, pack[what].n, out + 104), 0);
	n = publish_text(out + 104, from_ms, text);
	assert_int_equal(sm2_sign(key[who], text, n, out + 40), 0);
	if (with_pack)
		memcpy(out + PUBLISH_HEAD_BYTES, pack[what].bytes, pack[what].n);
	return PUBLISH_HEAD_BYTES + (with_pack ? pack[what].n : 0);
}

static int withdraw(int who, uint32_t version, int64_t from_ms)
{
	uint8_t body[WITHDRAW_BYTES] = { 0 };
	char text[PUBLISH_TEXT_BYTES];

	be64_put(body, (uint64_t)from_ms);
	strcpy((char *)body + 8, name[who]);
	be32_put(body + 104, version);
	assert_int_equal(sm2_sign(key[who], text, withdraw_text(version, from_ms, text), body + 40), 0);
	return apply(EVENT_WITHDRAW, body, sizeof(body));
}

static uint8_t body[PUBLISH_HEAD_BYTES + BLOB_BYTES_MAX];
#define FROM (21000 * DAY_MS)

static uint32_t in_force(int64_t at_ms)
{
	const struct tariff *t = refdata_tariff(ref, at_ms);

	return t != NULL ? tariff_version(t) : 0;
}

static void two_persons_put_a_tariff_in_force_from_its_time_on(void **state)
{
	uint8_t digest[DIGEST_BYTES];
	uint32_t version;
	size_t bytes;

	(void)state;
	assert_int_equal(digest_sha256(pack[1].bytes, pack[1].n, digest), 0);
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 0, 1, FROM, true)), 0);
	assert_true(refdata_proposed(ref, digest, FROM));
	assert_int_equal(in_force(FROM + 1), version_of(0));
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 1, 1, FROM, false)), 0);
	assert_false(refdata_proposed(ref, digest, FROM));
	assert_int_equal(in_force(FROM - 1), version_of(0));
	assert_int_equal(in_force(FROM), version_of(1));
	assert_non_null(refdata_tariff_blob_at(ref, FROM - 1, &version, &bytes));
	assert_int_equal(version, version_of(0));
	assert_non_null(refdata_tariff_blob_at(ref, FROM, &version, &bytes));
	assert_int_equal(version, version_of(1));
	assert_int_equal(bytes, pack[1].n);
}

static void one_person_alone_publishes_nothing(void **state)
{
	(void)state;
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 0, 1, FROM, false)), CLEARING_E_REFERENCE);
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 0, 1, FROM, true)), 0);
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 0, 1, FROM, false)), CLEARING_E_REFERENCE);
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 2, 1, FROM, false)), CLEARING_E_REFERENCE);
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 1, 1, FROM + 1, false)), CLEARING_E_REFERENCE);
	assert_int_equal(in_force(FROM + DAY_MS), version_of(0));
}

static void a_signature_is_for_one_pack_one_time_and_one_person(void **state)
{
	size_t n;

	(void)state;
	for (size_t at = 0; at < PUBLISH_HEAD_BYTES; at++) {
		n = publication(body, 0, 1, FROM, true);
		if (at >= 8 + strlen(name[0]) + 1 && at < 40)
			continue;		/* behind the name's end nothing is read */
		body[at] ^= 1;
		assert_int_not_equal(apply(EVENT_PUBLISH, body, n), 0);
	}
	n = publication(body, 0, 1, FROM, true);
	body[n - 1] ^= 1;
	assert_int_equal(apply(EVENT_PUBLISH, body, n), CLEARING_E_REFERENCE);
	for (size_t cut = 0; cut < PUBLISH_HEAD_BYTES; cut += 7)
		assert_int_not_equal(apply(EVENT_PUBLISH, body, cut), 0);
	assert_int_equal(in_force(FROM + DAY_MS), version_of(0));
}

static void a_version_that_is_there_already_is_not_published_again(void **state)
{
	(void)state;
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 0, 0, FROM, true)), CLEARING_E_REFERENCE);
}

static void a_ninth_proposal_drops_the_oldest(void **state)
{
	uint8_t digest[DIGEST_BYTES];

	(void)state;
	assert_int_equal(digest_sha256(pack[1].bytes, pack[1].n, digest), 0);
	for (int i = 0; i < 9; i++)
		assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 0, 1, FROM + i, true)), 0);
	assert_false(refdata_proposed(ref, digest, FROM));
	for (int i = 1; i < 9; i++)
		assert_true(refdata_proposed(ref, digest, FROM + i));
}

static void a_withdrawal_ends_a_version_and_the_one_before_holds_again(void **state)
{
	(void)state;
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 0, 1, FROM, true)), 0);
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 1, 1, FROM, false)), 0);
	assert_int_equal(withdraw(2, version_of(1), FROM + 10 * DAY_MS), CLEARING_E_REFERENCE);
	assert_int_equal(withdraw(1, version_of(1), FROM + 10 * DAY_MS), 0);
	assert_int_equal(in_force(FROM + 10 * DAY_MS - 1), version_of(1));
	assert_int_equal(in_force(FROM + 10 * DAY_MS), version_of(0));
	assert_non_null(refdata_tariff_version(ref, version_of(1)));	/* what it rated can still be explained */
	assert_int_equal(withdraw(1, version_of(1), FROM + 11 * DAY_MS), CLEARING_E_REFERENCE);
	assert_int_equal(withdraw(1, version_of(0), FROM + 12 * DAY_MS), CLEARING_E_REFERENCE);
	assert_int_equal(in_force(FROM + 12 * DAY_MS), version_of(0));
}

static void a_first_signer_who_left_the_list_does_not_count(void **state)
{
	(void)state;
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 0, 1, FROM, true)), 0);
	assert_int_equal(persons_load(1, 1, 0), 0);
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 1, 1, FROM, false)), CLEARING_E_REFERENCE);
	assert_int_equal(persons_load(0, 1, 1), 0);		/* the name is back, with another key */
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 1, 1, FROM, false)), CLEARING_E_REFERENCE);
	assert_int_equal(in_force(FROM), version_of(0));
}

static void a_list_of_persons_with_a_mistake_changes_nobody(void **state)
{
	static const char *const bad[] = { "name,title,key\nx,,04\n", "name,key\nx,04\n", "name,title,key\n,,04\n", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_not_equal(apply(EVENT_PERSONS, bad[i], strlen(bad[i])), 0);
	assert_int_equal(apply(EVENT_PUBLISH, body, publication(body, 0, 1, FROM, true)), 0);
}

#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_open, house_close)
int main(void)
{
	const struct CMUnitTest tests[] = {
		HOUSE(two_persons_put_a_tariff_in_force_from_its_time_on),
		HOUSE(one_person_alone_publishes_nothing),
		HOUSE(a_signature_is_for_one_pack_one_time_and_one_person),
		HOUSE(a_version_that_is_there_already_is_not_published_again),
		HOUSE(a_ninth_proposal_drops_the_oldest),
		HOUSE(a_withdrawal_ends_a_version_and_the_one_before_holds_again),
		HOUSE(a_first_signer_who_left_the_list_does_not_count),
		HOUSE(a_list_of_persons_with_a_mistake_changes_nobody),
	};

	return cmocka_run_group_tests(tests, packs_make, keys_free);
}
