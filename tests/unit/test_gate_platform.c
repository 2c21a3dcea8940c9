/* Codes at the gate that only their platform can judge: taken by format, within their time, once, and within what may be at risk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/tap_sample.h"

#define NOW_MS SAMPLE_TIME_MS
#define NOW_S (NOW_MS / 1000)

static struct keyring *ring;
static struct soft_psam *psam;
static struct gate *gate;
static struct tariff *tariff;
static void *blob;
static struct gate_setting setting;
static struct qr_key *key, *stranger;
static struct code_formats formats;
static struct platform_gate *platforms;
static char code[400];
static struct tap tap;

static void fault(void *arg, const char *text)
{
	(void)arg;
	print_error("%s\n", text);
}

static int formats_try(const char *text, char *error, size_t n) { return code_formats_parse("formats.txt", text, strlen(text), &formats, error, n); }

static void ride_code(const struct qr_key *by, const char *number, int64_t at_s)
{
	uint8_t signature[64];
	char hex[129];

	snprintf(code, sizeof(code), "UPR1%19s%010lld", number, (long long)at_s);
	assert_int_equal(sm2_sign(by, code, strlen(code), signature), 0);
	hex_encode(signature, sizeof(signature), hex);
	strcat(code, hex);
}

static enum gate_answer show(int64_t at_ms) { return platform_gate_show(platforms, &setting, (const uint8_t *)code, strlen(code), 78, at_ms, &tap); }

static int group_setup(void **state)
{
	struct key_entry e = { .purpose = KEY_PURCHASE, .issuer = { 2, 0x18, 0x42, 0x80 }, .version = 1, .levels = 2, .valid_to_ms = INT64_MAX };
	static const uint8_t root[KEY_BYTES] = { 1 }, terminal[6] = { 0x42, 0x80, 0, 0, 0, 0x17 };
	size_t n;

	(void)state;
	assert_int_equal(keyring_new(&ring) | keyring_add(ring, &e, root) | soft_psam_new(ring, terminal, 1, &psam), 0);
	assert_int_equal(gate_new(soft_psam_reader(psam), &gate), 0);
	assert_int_equal(tariff_compile("tariffs/packs/ganzhou", fault, NULL, &blob, &n), 0);
	assert_int_equal(tariff_open(blob, n, &tariff), 0);
	return qr_key_new(&key) | qr_key_new(&stranger);
}

static int group_teardown(void **state)
{
	(void)state;
	gate_free(gate);
	soft_psam_free(psam);
	keyring_free(ring);
	tariff_close(tariff);
	free(blob);
	qr_key_free(key);
	qr_key_free(stranger);
	return 0;
}

static int set_up(void **state)
{
	char text[600], point_text[131], error[300] = "";
	uint8_t point[65];

	(void)state;
	setting = (struct gate_setting){ .tariff = tariff, .operator_id = 101, .city = 0x4280, .stop = 1, .line = "18", .vehicle = "B1" };
	qr_key_point(key, point);
	hex_encode(point, sizeof(point), point_text);
	snprintf(text, sizeof(text), "# 码制\nride-code,UPR1,161,4,19,23,120,100,3,,%s\nidentity,SSC1,44,0,0,0,300,500,50,02184280\n", point_text);
	assert_int_equal(formats_try(text, error, sizeof(error)), 0);
	assert_int_equal(formats.count, 2);
	return platform_gate_new(gate, &formats, 0, &platforms);
}

static int tear_down(void **state)
{
	(void)state;
	platform_gate_free(platforms);
	return 0;
}

static void a_ride_code_rides_once_within_its_time(void **state)
{
	uint8_t number[10];

	(void)state;
	ride_code(key, "6217990000000000123", NOW_S);
	assert_int_equal(show(NOW_MS - 121000), GATE_CODE_EXPIRED);
	assert_int_equal(show(NOW_MS + 121000), GATE_CODE_EXPIRED);
	assert_int_equal(show(NOW_MS + 120000), GATE_GO);
	assert_int_equal(tap.kind, TAP_BANK_QR);
	assert_int_equal(tap.medium, MEDIUM_BANK_QR);
	assert_int_equal(tap.amount_fen, 100);
	assert_int_equal(tap.terminal_serial, 78);
	assert_true(pan_parse("6217990000000000123", number));
	assert_memory_equal(tap.pan, number, 10);
	assert_ptr_equal(tap.qr.p, code);
	assert_int_equal(show(NOW_MS + 120000), GATE_CODE_USED);
	assert_int_equal(show(NOW_MS), GATE_CODE_USED);
}

static void a_ride_code_changed_anywhere_or_of_another_key_is_refused(void **state)
{
	(void)state;
	ride_code(stranger, "6217990000000000123", NOW_S);
	assert_int_equal(show(NOW_MS), GATE_CODE_REFUSED);
	for (size_t at = 0; at < 161; at++) {
		ride_code(key, "6217990000000000123", NOW_S);
		code[at] ^= at % 2 == 0 ? 1 : 2;
		assert_int_not_equal(show(NOW_MS), GATE_GO);
	}
}

static void no_more_rides_wait_than_the_format_allows_and_a_receipt_makes_room(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		ride_code(key, "6217990000000000123", NOW_S + i);
		assert_int_equal(show(NOW_MS), GATE_GO);
	}
	ride_code(key, "6217990000000000123", NOW_S + 3);
	assert_int_equal(show(NOW_MS), GATE_FIRST_RIDES);
	snprintf(code, sizeof(code), "SSC1%040d", 7);		/* another format has its own count */
	assert_int_equal(show(NOW_MS), GATE_GO);
	platform_gate_free(platforms);		/* restarted with a spool that was not brought yet: as before */
	assert_int_equal(platform_gate_new(gate, &formats, 3, &platforms), 0);
	ride_code(key, "6217990000000000123", NOW_S + 3);
	assert_int_equal(show(NOW_MS), GATE_FIRST_RIDES);
	platform_gate_receipted(platforms);
	assert_int_equal(show(NOW_MS), GATE_GO);
}

static struct kerb_said said_back(enum kerb_answer answer)
{
	struct kerb_said m = { .number = 7, .answer = (uint8_t)answer, .reason = "余额不足" }, back;
	uint8_t out[128];
	size_t used;
	struct frame f;
	int n = kerb_said_encode(&m, out, sizeof(out));

	assert_int_equal(frame_next(out, (size_t)n, &f, &used), 1);
	assert_int_equal(kerb_said_decode(&f, &back), 0);
	return back;
}

static void what_its_platform_says_while_the_rider_stands_there_decides(void **state)
{
	static const struct { enum kerb_answer said; bool unasked, room; enum gate_answer answer; uint32_t flags; } cases[] = {
		{ KERB_GOOD, false, false, GATE_GO, TAP_ASKED }, { KERB_REFUSED, true, true, GATE_PLATFORM_REFUSED, 0 }, { KERB_REPEATED, true, true, GATE_CODE_USED, 0 },
		{ KERB_NOT_REACHED, true, true, GATE_GO, TAP_OFFLINE }, { KERB_NOT_REACHED, true, false, GATE_FIRST_RIDES, TAP_OFFLINE },
		{ KERB_NOT_REACHED, false, true, GATE_NOT_REACHED, TAP_OFFLINE },
	};
	struct platform_ride ride;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(code, sizeof(code), "SSC1%040zu", i);
		assert_int_equal(platform_gate_look(platforms, &setting, (const uint8_t *)code, strlen(code), 78, NOW_MS, &ride), GATE_GO);
		assert_true(ride.room);
		ride.room = cases[i].room;
		assert_int_equal(platform_gate_asked(&ride, (enum kerb_answer)said_back(cases[i].said).answer, cases[i].unasked), cases[i].answer);
		assert_int_equal(ride.tap.flags, cases[i].flags);
	}
}

static void a_ride_its_platform_vouched_for_is_none_of_those_at_risk(void **state)
{
	struct platform_ride ride;

	(void)state;
	formats.row[1].waiting_max = 1;
	for (int i = 0; i < 3; i++) {
		snprintf(code, sizeof(code), "SSC1%040d", i);
		assert_int_equal(platform_gate_look(platforms, &setting, (const uint8_t *)code, strlen(code), 78, NOW_MS, &ride), GATE_GO);
		assert_true(ride.room);
		platform_gate_ride(platforms, &ride, NOW_MS, false);
		assert_int_equal(show(NOW_MS), GATE_CODE_USED);
	}
	snprintf(code, sizeof(code), "SSC1%040d", 3);
	assert_int_equal(show(NOW_MS), GATE_GO);
	snprintf(code, sizeof(code), "SSC1%040d", 4);
	assert_int_equal(show(NOW_MS), GATE_FIRST_RIDES);
	assert_int_equal(platform_gate_look(platforms, &setting, (const uint8_t *)code, strlen(code), 78, NOW_MS, &ride), GATE_GO);
	assert_false(ride.room);
	assert_int_equal(platform_gate_asked(&ride, KERB_GOOD, true), GATE_GO);
}

static void a_question_about_a_code_comes_over_the_wire_as_it_was_asked(void **state)
{
	static const uint8_t terminal[6] = { 0x42, 0x80, 0, 0, 0, 0x17 };
	struct kerb_ask m = { .number = 78, .kind = TAP_IDENTITY, .serial = 78, .time_ms = NOW_MS, .within_ms = 400, .p = (const uint8_t *)code }, back;
	uint8_t out[1024];
	size_t used;
	struct frame f;
	int n;

	(void)state;
	memcpy(m.terminal, terminal, 6);
	m.n = (uint32_t)snprintf(code, sizeof(code), "SSC1%040d", 9);
	n = kerb_ask_encode(&m, out, sizeof(out));
	assert_int_equal(frame_next(out, (size_t)n, &f, &used), 1);
	assert_int_equal(kerb_ask_decode(&f, &back), 0);
	assert_int_equal(back.number, 78);
	assert_int_equal(back.kind, TAP_IDENTITY);
	assert_memory_equal(back.terminal, terminal, 6);
	assert_int_equal(back.serial, 78);
	assert_int_equal(back.time_ms, NOW_MS);
	assert_int_equal(back.within_ms, 400);
	assert_int_equal(back.n, m.n);
	assert_memory_equal(back.p, code, m.n);
	for (size_t cut = 0; cut < f.bytes; cut++)
		assert_int_not_equal(kerb_ask_decode(&(struct frame){ FRAME_ASK, f.body, (uint32_t)cut }, &back), 0);
}

static void a_fare_above_the_limit_and_a_black_listed_number_are_refused(void **state)
{
	struct hotlist *list;
	char error[200];

	(void)state;
	formats.row[0].limit_fen = 99;
	ride_code(key, "6217990000000000123", NOW_S);
	assert_int_equal(show(NOW_MS), GATE_CODE_LIMIT);
	formats.row[0].limit_fen = 100;
	assert_int_equal(hotlist_parse("list", "6217990000000000123\n", 20, &list, error, sizeof(error)), 0);
	setting.hotlist = list;
	assert_int_equal(show(NOW_MS), GATE_BLACKLISTED);
	setting.hotlist = NULL;
	assert_int_equal(show(NOW_MS), GATE_GO);
	hotlist_free(list);
}

static void an_identity_code_says_nothing_and_its_record_has_a_stand_in_number(void **state)
{
	uint8_t first[10];

	(void)state;
	snprintf(code, sizeof(code), "SSC1%040d", 1);
	assert_int_equal(show(NOW_MS), GATE_GO);
	assert_int_equal(tap.kind, TAP_IDENTITY);
	assert_int_equal(tap.medium, MEDIUM_QR);
	assert_int_equal(tap.pan[0], 0x09);
	assert_int_equal(tap.pan[1] >> 4, 9);
	assert_memory_equal(tap.issuer, "\x02\x18\x42\x80", 4);
	memcpy(first, tap.pan, 10);
	assert_int_equal(show(NOW_MS + 1000), GATE_CODE_USED);
	snprintf(code, sizeof(code), "SSC1%040d", 2);
	assert_int_equal(show(NOW_MS), GATE_GO);
	assert_memory_not_equal(first, tap.pan, 10);
	strcat(code, "0");		/* another length is another format */
	assert_int_equal(show(NOW_MS), GATE_CODE_REFUSED);
}

static void a_list_of_formats_with_a_mistake_is_refused_whole_with_its_place(void **state)
{
	static const struct { const char *text, *place; } wrong[] = {
		{ "ride,UPR1,161,4,19,23,120,100,3,\n", "formats.txt:1:1:" },
		{ "identity,SSC1,44,0,0,0,300,500,50,\nidentity,S,44,0,0,0,300,500,50,\n", "formats.txt:2:10:" },
		{ "identity,SSC1,44,0,0,0,0,500,50,\n", "formats.txt:1:24:" },
		{ "identity,SSC1,44,0,0,0,300,500,50,0218428\n", "formats.txt:1:35:" },
		{ "ride-code,UPR1,161,4,0,23,120,100,3,\n", "formats.txt:1:16:" },	/* without a number */
		{ "ride-code,UPR1,24,4,21,0,120,100,3,\n", "formats.txt:1:21:" },
		{ "ride-code,UPR1,24,6,19,0,120,100,3,\n", "formats.txt:1:16:" },	/* the number runs over the end */
		{ "ride-code,UPR1,161,4,19,23,120,100,3,,04AB\n", "formats.txt:1:39:" },
		{ "ride-code,UPR1,161\n", "formats.txt:1:1:" },
	};
	struct code_formats before = formats;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char error[400] = "";

		assert_int_not_equal(formats_try(wrong[i].text, error, sizeof(error)), 0);
		assert_memory_equal(error, wrong[i].place, strlen(wrong[i].place));
		assert_memory_equal(&before, &formats, sizeof(formats));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_ride_code_rides_once_within_its_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_ride_code_changed_anywhere_or_of_another_key_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_more_rides_wait_than_the_format_allows_and_a_receipt_makes_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_its_platform_says_while_the_rider_stands_there_decides, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_ride_its_platform_vouched_for_is_none_of_those_at_risk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_question_about_a_code_comes_over_the_wire_as_it_was_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_fare_above_the_limit_and_a_black_listed_number_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_identity_code_says_nothing_and_its_record_has_a_stand_in_number, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_list_of_formats_with_a_mistake_is_refused_whole_with_its_place, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
