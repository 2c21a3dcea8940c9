/*
 * Bank cards at the kerb: who rides, and who does not and why. The cards sign with keys made here; a middleman between
 * card and gate changes, withholds and replays what they say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tests/unit/bank_scheme.h"
#include "tests/unit/tap_sample.h"

#define NOW_MS SAMPLE_TIME_MS

static struct scheme scheme;
static struct keyring *ring;
static struct soft_psam *psam;
static struct gate *gate;
static struct tariff *tariff;
static void *blob;
static struct gate_setting setting;
static struct bank_policy policy;
static struct bank_risk *risk;
static struct bank_gate *bank;
static struct deny_list *deny;
static struct qr_key *centre;
static struct tap tap;
static struct bank_card seen;
static uint32_t next_serial;

/* Between card and gate: changes one byte of the answer number at, or replays answers taken before. */
struct middleman { struct reader reader, *card; unsigned count, at; size_t byte; uint8_t mask; bool keep, replay; uint8_t kept[16][264]; int kept_n[16]; };

static int middle_transmit(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct middleman *m = (struct middleman *)(void *)r;
	unsigned i = m->count++;
	int got;

	if (m->replay) {
		memcpy(ret, m->kept[i], 264);
		return m->kept_n[i];
	}
	got = m->card->transmit(m->card, apdu, n, ret, ret_bytes);
	if (m->keep && i < 16) {
		memcpy(m->kept[i], ret, got > 0 ? (size_t)got : 0);
		m->kept_n[i] = got;
	}
	if (i == m->at && got > 2 && m->byte < (size_t)got)
		ret[m->byte] ^= m->mask;
	return got;
}

static struct middleman middleman_of(struct soft_bank *c) { return (struct middleman){ .reader.transmit = middle_transmit, .card = soft_bank_reader(c), .at = UINT32_MAX }; }

static void fault(void *arg, const char *text)
{
	(void)arg;
	print_error("%s\n", text);
}

static int group_setup(void **state)
{
	struct key_entry e = { .purpose = KEY_PURCHASE, .issuer = { 2, 0x18, 0x42, 0x80 }, .version = 1, .levels = 2, .valid_to_ms = INT64_MAX };
	static const uint8_t root[KEY_BYTES] = { 1 }, terminal[6] = { 0x42, 0x80, 0, 0, 0, 0x17 };
	size_t n;

	(void)state;
	assert_int_equal(scheme_make(&scheme, "# test\n"), 0);
	assert_int_equal(keyring_new(&ring) | keyring_add(ring, &e, root) | soft_psam_new(ring, terminal, 1, &psam), 0);
	assert_int_equal(gate_new(soft_psam_reader(psam), &gate), 0);
	assert_int_equal(tariff_compile("tariffs/packs/ganzhou", fault, NULL, &blob, &n), 0);
	assert_int_equal(tariff_open(blob, n, &tariff), 0);
	return qr_key_new(&centre);
}

static int group_teardown(void **state)
{
	(void)state;
	gate_free(gate);
	soft_psam_free(psam);
	keyring_free(ring);
	tariff_close(tariff);
	free(blob);
	qr_key_free(centre);
	scheme_done(&scheme);
	return 0;
}

static void gate_make(void)
{
	bank_gate_free(bank);
	assert_int_equal(bank_gate_new(gate, scheme.keys, &policy, risk, &bank), 0);
}

static int set_up(void **state)
{
	(void)state;
	setting = (struct gate_setting){ .tariff = tariff, .operator_id = 101, .city = 0x4280, .stop = 1, .line = "18", .vehicle = "B1" };
	policy = (struct bank_policy){ .least = ODA_SDA, .first_fen = 500, .card_fen = 2000, .country = 0x0156, .currency = 0x0156, .token_key = { 7 } };
	assert_int_equal(bank_risk_new(&risk), 0);
	gate_make();
	next_serial = 100;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	bank_gate_free(bank);
	bank_risk_free(risk);
	deny_free(deny);
	bank = NULL;
	deny = NULL;
	return 0;
}

static struct soft_bank *card_of(const struct bank_issue *issue)
{
	struct soft_bank *c;

	assert_int_equal(soft_bank_new(issue, &c), 0);
	return c;
}

static struct soft_bank *card(unsigned number, enum oda_method method, bool fast)
{
	struct bank_issue issue = scheme_issue(&scheme, number, method, fast);

	return card_of(&issue);
}

static enum gate_answer present(struct reader *r, int64_t at_ms) { return bank_gate_tap(bank, r, &setting, deny, next_serial++, at_ms, &tap, &seen); }

static const struct { enum oda_method method; bool fast; } kinds[] = { { ODA_SDA, false }, { ODA_DDA, false }, { ODA_DDA, true }, { ODA_CDA, false } };
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void a_card_of_each_method_rides_with_its_proof(void **state)
{
	uint8_t bytes[TAP_ENCODED_BYTES_MAX], rid[5], index;
	const char *field;
	struct tap back;

	(void)state;
	for (size_t i = 0; i < KINDS; i++) {
		struct soft_bank *c = card(i + 1, kinds[i].method, kinds[i].fast);
		int n;

		assert_int_equal(present(soft_bank_reader(c), NOW_MS + (int64_t)i * 3600000), GATE_GO);
		assert_int_equal(tap.kind, TAP_BANK);
		assert_int_equal(tap.medium, MEDIUM_BANK);
		assert_int_equal(tap.oda, kinds[i].method);
		assert_int_equal(tap.card_counter, 1);
		assert_int_equal(tap.key_index, 8);
		assert_memory_equal(tap.pan, scheme_issue(&scheme, i + 1, ODA_CDA, false).pan, 10);
		assert_memory_equal(tap.issuer, "\x62\x17\x99\x99", 4);
		assert_true(tap.amount_fen > 0 && tap.amount_fen <= tap.list_fen);
		n = tap_encode(&tap, bytes, sizeof(bytes));
		assert_true(n > 0);
		assert_int_equal(tap_decode(bytes, (size_t)n, &back, &field), 0);
		assert_null(bank_proof_fault(&back, rid, &index));
		assert_memory_equal(rid, scheme_rid, 5);
		assert_int_equal(index, 8);
		soft_bank_free(c);
	}
}

static void a_proof_is_of_its_own_tap_and_whole(void **state)
{
	struct soft_bank *c = card(5, ODA_CDA, false);
	uint8_t proof[BANK_PROOF_BYTES_MAX];
	struct tap other;

	(void)state;
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_GO);
	assert_null(bank_proof_fault(&tap, NULL, NULL));
	other = tap;
	other.card_counter++;
	assert_string_equal(bank_proof_fault(&other, NULL, NULL), "9F36");
	other = tap;
	other.random[0] ^= 1;
	assert_string_equal(bank_proof_fault(&other, NULL, NULL), "9F37");
	other = tap;
	other.cryptogram[7] ^= 1;
	assert_string_equal(bank_proof_fault(&other, NULL, NULL), "9F26");
	other = tap;
	other.time_ms += 86400000;
	assert_string_equal(bank_proof_fault(&other, NULL, NULL), "9A");
	other = tap;
	other.oda = 0;
	assert_string_equal(bank_proof_fault(&other, NULL, NULL), "oda");
	other = tap;
	other.qr.n = 0;
	assert_string_equal(bank_proof_fault(&other, NULL, NULL), "proof");
	/* any one object cut away, or cut in the middle */
	for (uint32_t n = 0; n < tap.qr.n; n++) {
		other = tap;
		other.qr.n = n;
		assert_non_null(bank_proof_fault(&other, NULL, NULL));
	}
	memcpy(proof, tap.qr.p, tap.qr.n);
	memcpy(proof + tap.qr.n, "\x8F\x01\x08", 3);	/* an object twice */
	other = tap;
	other.qr.p = proof;
	other.qr.n += 3;
	assert_string_equal(bank_proof_fault(&other, NULL, NULL), "9F06 and 8F");
	soft_bank_free(c);
}

static void every_tap_has_a_number_of_its_own(void **state)
{
	struct soft_bank *c = card(6, ODA_CDA, false);
	uint8_t random[8][4];

	(void)state;
	policy.first_fen = 100000;
	gate_make();
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(present(soft_bank_reader(c), NOW_MS + (int64_t)i * 3600000), GATE_GO);
		memcpy(random[i], tap.random, 4);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(random[i], random[k], 4);
	}
	soft_bank_free(c);
}

static void answers_recorded_from_a_card_do_not_ride_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < KINDS; i++) {
		struct soft_bank *c = card(10 + i, kinds[i].method, kinds[i].fast);
		struct middleman m = middleman_of(c);

		m.keep = true;
		assert_int_equal(present(&m.reader, NOW_MS + (int64_t)i * 3600000), GATE_GO);
		m.keep = false;
		m.replay = true;
		m.count = 0;
		assert_int_equal(present(&m.reader, NOW_MS + (int64_t)i * 3600000 + 1800000), GATE_FORGED);
		/* also where the card was never seen: its signature was over another number. Static data alone cannot tell. */
		bank_risk_free(risk);
		assert_int_equal(bank_risk_new(&risk), 0);
		gate_make();
		m.count = 0;
		assert_int_equal(present(&m.reader, NOW_MS + (int64_t)i * 3600000 + 1800000), kinds[i].method == ODA_SDA ? GATE_GO : GATE_FORGED);
		soft_bank_free(c);
	}
}

static void a_copy_without_the_private_key_is_forged(void **state)
{
	(void)state;
	for (size_t i = 1; i < KINDS; i++) {
		struct bank_issue issue = scheme_issue(&scheme, 20 + i, kinds[i].method, kinds[i].fast);
		struct soft_bank *c;

		issue.clone = true;
		c = card_of(&issue);
		assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_FORGED);
		assert_int_equal(seen.verdict, ODA_DYNAMIC);
		assert_true(seen.pan[2] == 0 && seen.pan[9] == 0);
		soft_bank_free(c);
	}
}

static void static_data_can_be_copied_and_is_taken_only_where_allowed(void **state)
{
	struct bank_issue issue = scheme_issue(&scheme, 25, ODA_SDA, false);
	struct soft_bank *c;

	(void)state;
	issue.clone = true;
	c = card_of(&issue);
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_GO);
	policy.least = ODA_DDA;
	gate_make();
	assert_int_equal(present(soft_bank_reader(c), NOW_MS + 3600000), GATE_FORGED);
	assert_string_equal(seen.what, "method");
	soft_bank_free(c);
}

/* Whatever one bit changes between card and gate: never another ride than the card's own. */
static void a_changed_answer_never_rides_as_somebody_else(void **state)
{
	unsigned refused = 0, went = 0;

	(void)state;
	policy.first_fen = 1000000000;
	gate_make();
	for (size_t i = 0; i < KINDS; i++) {
		struct soft_bank *c = card(30 + i, kinds[i].method, kinds[i].fast);
		uint8_t pan[10];

		memcpy(pan, scheme_issue(&scheme, 30 + i, ODA_CDA, false).pan, 10);
		for (unsigned at = 0; at < 9; at++)
			for (size_t byte = 0; byte < 250; byte += 1 + sample_below(3)) {
				struct middleman m = middleman_of(c);
				enum gate_answer answer;

				m.at = at;
				m.byte = byte;
				m.mask = (uint8_t)(1u << sample_below(8));
				bank_risk_free(risk);
				assert_int_equal(bank_risk_new(&risk), 0);
				gate_make();
				answer = present(&m.reader, NOW_MS);
				if (answer == GATE_GO) {
					assert_memory_equal(tap.pan, pan, 10);
					assert_int_equal(tap.oda, kinds[i].method);
					went++;
				} else {
					refused++;
				}
			}
		soft_bank_free(c);
	}
	assert_true(refused > 1000 && went > 0);
}

static void a_card_that_leaves_makes_no_record_and_rides_when_it_is_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < KINDS; i++) {
		static const unsigned all[KINDS] = { 8, 10, 8, 9 };
		unsigned apdus = all[i];

		for (unsigned at = 1; at <= apdus; at++) {
			struct soft_bank *c = card(100 + i * 10 + at, kinds[i].method, kinds[i].fast);

			soft_bank_tear_after(c, at);
			assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_TAP_AGAIN);
			soft_bank_tear_after(c, 0);
			assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_GO);
			assert_int_equal(bank_risk_count(risk), 1);
			bank_risk_free(risk);
			assert_int_equal(bank_risk_new(&risk), 0);
			gate_make();
			soft_bank_free(c);
		}
	}
}

static void expired_cards_and_cards_of_other_schemes_are_refused(void **state)
{
	struct bank_issue issue = scheme_issue(&scheme, 50, ODA_CDA, false);
	struct soft_bank *c;

	(void)state;
	memcpy(issue.expiry, "\x25\x11\x02", 3);	/* yesterday */
	c = card_of(&issue);
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_EXPIRED);
	soft_bank_free(c);
	memcpy(issue.expiry, "\x25\x11\x03", 3);	/* today */
	c = card_of(&issue);
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_GO);
	soft_bank_free(c);
	issue.aid[4] = 0x04;
	c = card_of(&issue);
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_CARD_REFUSED);
	assert_string_equal(seen.what, "directory");
	soft_bank_free(c);
	issue.aid[4] = 0x33;
	issue.ca_index = 9;
	c = card_of(&issue);
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_FORGED);
	assert_int_equal(seen.verdict, ODA_CA_UNKNOWN);
	soft_bank_free(c);
}

static void a_revoked_issuer_certificate_is_refused(void **state)
{
	struct soft_bank *c = card(51, ODA_DDA, false);
	char text[3 * ODA_LINE_BYTES], error[256];
	struct oda_keys *keys, *kept = scheme.keys;

	(void)state;
	snprintf(text, sizeof(text), "%srevoked,A000000333,08,000001\n", scheme.text);
	assert_int_equal(oda_keys_parse("keys.txt", text, strlen(text), &keys, error, sizeof(error)), 0);
	scheme.keys = keys;
	gate_make();
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_FORGED);
	assert_int_equal(seen.verdict, ODA_ISSUER_REVOKED);
	scheme.keys = kept;
	oda_keys_free(keys);
	soft_bank_free(c);
}

/* ---- deny list ------------------------------------------------------------------------------------------------ */

static char *list_of(const uint8_t (*pan)[10], size_t count, uint32_t version, size_t *ret_n)
{
	struct deny_row row[8] = { 0 };
	char *text;

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(bank_token(policy.token_key, pan[i], row[i].token), 0);
		row[i].reason = DENY_ARREARS;
	}
	assert_int_equal(deny_seal(centre, version, row, count, &text, ret_n), 0);
	return text;
}

static int list_parse(const char *text, size_t n, char error[256])
{
	uint8_t point[65];

	qr_key_point(centre, point);
	deny_free(deny);
	deny = NULL;
	return deny_parse("deny.txt", text, n, point, &deny, error, 256);
}

static void a_denied_card_is_refused_and_others_are_not(void **state)
{
	struct soft_bank *c = card(60, ODA_CDA, false), *other = card(61, ODA_CDA, false);
	uint8_t pan[3][10];
	char error[256], *text, digits[21];
	size_t n;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		memcpy(pan[i], scheme_issue(&scheme, i == 2 ? 60 : 70 + i, ODA_CDA, false).pan, 10);
	text = list_of(pan, 3, 9, &n);
	assert_int_equal(list_parse(text, n, error), 0);
	assert_int_equal(deny_count(deny), 3);
	assert_int_equal(deny_version(deny), 9);
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_DENIED);
	assert_int_equal(present(soft_bank_reader(other), NOW_MS), GATE_GO);
	pan_digits(pan[2], digits);
	assert_null(strstr(text, digits + 4));	/* the list names nobody */
	free(text);
	soft_bank_free(c);
	soft_bank_free(other);
}

static void a_deny_list_changed_anywhere_is_refused(void **state)
{
	const uint8_t pan[2][10] = { { 1 }, { 2 } };
	char error[256], *text;
	size_t n;

	(void)state;
	text = list_of(pan, 2, 3, &n);
	for (size_t at = 0; at < n; at++) {
		char kept = text[at];

		/* hex of either case is the same token */
		text[at] = kept == '7' ? '8' : '7';
		assert_int_not_equal(list_parse(text, n, error), 0);
		assert_int_equal(strncmp(error, "deny.txt:", 9), 0);
		text[at] = kept;
		if (at > 0)
			assert_int_not_equal(list_parse(text, at, error), 0);
	}
	assert_int_equal(list_parse(text, n, error), 0);
	free(text);
	text = list_of(pan, 0, 4, &n);
	assert_int_equal(list_parse(text, n, error), 0);
	assert_int_equal(deny_count(deny), 0);
	free(text);
	assert_int_not_equal(list_parse("qingfen-deny 1 1 3999999\n", 25, error), 0);
	assert_string_equal(error, "deny.txt:1:1: fewer lines than the count says");
}

/* ---- risk ---------------------------------------------------------------------------------------------------------- */

static void a_new_card_rides_up_to_its_limit_and_on_after_the_answer(void **state)
{
	struct soft_bank *c = card(80, ODA_CDA, false);
	struct tap taken[8];
	unsigned rides = 0;
	enum gate_answer answer;

	(void)state;
	policy.first_fen = 3 * 100;
	gate_make();
	while ((answer = present(soft_bank_reader(c), NOW_MS + (int64_t)rides * 7200000)) == GATE_GO && rides < 8)
		taken[rides++] = tap;
	assert_int_equal(answer, GATE_FIRST_RIDES);
	assert_true(rides >= 1 && rides * taken[0].amount_fen <= 300 && (rides + 1) * taken[0].amount_fen > 300);
	for (unsigned i = 0; i < rides; i++)
		bank_risk_answered(risk, &policy, &taken[i], false);	/* taken, but not good */
	assert_int_equal(present(soft_bank_reader(c), NOW_MS + 8 * 7200000LL), GATE_GO);
	bank_risk_answered(risk, &policy, &tap, true);
	for (rides = 0; present(soft_bank_reader(c), NOW_MS + (10 + (int64_t)rides) * 7200000) == GATE_GO; rides++)
		assert_true(rides < 50);
	assert_true(rides * taken[0].amount_fen <= policy.card_fen && (rides + 1) * taken[0].amount_fen > policy.card_fen);
	soft_bank_free(c);
}

static void what_is_unanswered_survives_a_restart(void **state)
{
	struct soft_bank *c = card(81, ODA_CDA, false), *other = card(82, ODA_CDA, false);
	uint8_t *p;
	size_t n;

	(void)state;
	policy.first_fen = 150;
	gate_make();
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_GO);
	assert_int_equal(present(soft_bank_reader(other), NOW_MS), GATE_GO);
	assert_int_equal(bank_risk_save(risk, &p, &n), 0);
	bank_risk_free(risk);
	assert_int_equal(bank_risk_new(&risk), 0);
	for (size_t at = 0; at < n; at++) {
		p[at] ^= 4;
		assert_false(bank_risk_load(risk, p, n));
		p[at] ^= 4;
		assert_false(bank_risk_load(risk, p, at));
	}
	assert_int_equal(bank_risk_count(risk), 0);
	assert_true(bank_risk_load(risk, p, n));
	assert_int_equal(bank_risk_count(risk), 2);
	gate_make();
	assert_int_equal(present(soft_bank_reader(c), NOW_MS + 7200000), GATE_FIRST_RIDES);
	free(p);
	soft_bank_free(c);
	soft_bank_free(other);
}

static void a_full_memory_forgets_no_card_with_unanswered_rides(void **state)
{
	struct soft_bank *c = card(83, ODA_SDA, false);
	struct tap first = { .kind = TAP_BANK };
	uint8_t *p, *at;
	size_t n;

	(void)state;
	/* a memory full of cards with a fen each, by way of its own saved form */
	n = 8 + (size_t)BANK_RISK_CARDS_MAX * 23 + DIGEST_BYTES;
	p = calloc(1, n);
	assert_non_null(p);
	memcpy(p, "\x51\x46\x52\x42\x00\x00\x10\x00", 8);
	for (unsigned i = 0; i < BANK_RISK_CARDS_MAX; i++) {
		at = p + 8 + i * 23;
		first.pan[0] = (uint8_t)(i >> 8);
		first.pan[1] = (uint8_t)i;
		assert_int_equal(bank_token(policy.token_key, first.pan, at), 0);
		at[19] = 1;
	}
	assert_int_equal(digest_sha256(p, n - DIGEST_BYTES, p + n - DIGEST_BYTES), 0);
	assert_true(bank_risk_load(risk, p, n));
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_FIRST_RIDES);
	first.amount_fen = 1;
	bank_risk_answered(risk, &policy, &first, true);
	assert_int_equal(present(soft_bank_reader(c), NOW_MS), GATE_GO);
	assert_int_equal(bank_risk_count(risk), BANK_RISK_CARDS_MAX);
	free(p);
	soft_bank_free(c);
}

static void every_answer_has_words_for_the_rider(void **state)
{
	(void)state;
	for (int a = 0; a < GATE_ANSWER_COUNT; a++) {
		assert_string_not_equal(gate_answer_name((enum gate_answer)a), "?");
		assert_string_not_equal(gate_answer_text((enum gate_answer)a), "?");
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_card_of_each_method_rides_with_its_proof),
		T(a_proof_is_of_its_own_tap_and_whole),
		T(every_tap_has_a_number_of_its_own),
		T(answers_recorded_from_a_card_do_not_ride_again),
		T(a_copy_without_the_private_key_is_forged),
		T(static_data_can_be_copied_and_is_taken_only_where_allowed),
		T(a_changed_answer_never_rides_as_somebody_else),
		T(a_card_that_leaves_makes_no_record_and_rides_when_it_is_back),
		T(expired_cards_and_cards_of_other_schemes_are_refused),
		T(a_revoked_issuer_certificate_is_refused),
		T(a_denied_card_is_refused_and_others_are_not),
		T(a_deny_list_changed_anywhere_is_refused),
		T(a_new_card_rides_up_to_its_limit_and_on_after_the_answer),
		T(what_is_unanswered_survives_a_restart),
		T(a_full_memory_forgets_no_card_with_unanswered_rides),
		T(every_answer_has_words_for_the_rider),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
