/*
 * bank_house - a house whose rides are bank cards': rides, the bank's file of a day and the bank's answer to it, events of
 * cards. A test's own house is h.
 */
#ifndef TESTS_UNIT_BANK_HOUSE_H
#define TESTS_UNIT_BANK_HOUSE_H

#include <stddef.h>
#include <stdint.h>

#include <errno.h>

#include "tests/unit/house.h"

#include "clearing/settle.h"

static struct house h;

static inline int open_house(void **state) { (void)state; house_open(&h); return 0; }
static inline int close_house(void **state) { (void)state; house_close(&h); return 0; }

static uint32_t counters;

static inline struct tap bank_at(unsigned card, int32_t day, int minute, const char *line, uint32_t shown)
{
	struct tap t = tap_at(card, day, minute, line, shown);

	t.kind = TAP_BANK;
	t.medium = MEDIUM_BANK;
	t.oda = ODA_CDA;
	t.balance_before = t.balance_after = 0;
	t.card_counter = ++counters;
	memcpy(t.pan, "\x00\x62\x17\x99\x99\x00\x00\x00\x00", 9);
	t.pan[9] = (uint8_t)(card / 10 << 4 | card % 10);
	return t;
}

static inline void send(const struct tap *t) { tap_send_as(&h, t, "V-1", KEY_CHECK_DEVICE); }

static inline void build(int32_t day) { assert_int_equal(day_build(h.store, day), 0); }

static inline void name_of(int32_t day, const char *kind, char ret[32])
{
	char text[11];

	day_format(day, text);
	snprintf(ret, 32, "%.4s%.4s%.2s%.2s%08u", kind, text, text + 5, text + 8, strcmp(kind, "DSPY") == 0 || strlen(kind) > 4 ? 2u : 1u);
}

/* The bank's file of a day: its D lines. */
static inline unsigned lines_of_kind(int32_t day, const char *kind, char ret[8][LAYOUT_BYTES_MAX + 1])
{
	unsigned count = 0;
	const void *p;
	char name[32];
	struct txn t;
	size_t n;

	assert_int_equal(txn_begin(h.store, false, &t), 0);
	name_of(day, kind, name);
	assert_true(file_get(&t, day, name, &p, &n));
	for (const char *at = p, *end = at + n; at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		assert_non_null(stop);
		if (*at == 'D' && count < 8)
			snprintf(ret[count++], LAYOUT_BYTES_MAX + 1, "%.*s", (int)(stop - at - 1), at);
		at = stop + 1;
	}
	txn_abort(&t);
	return count;
}

static inline unsigned lines_of(int32_t day, char ret[8][LAYOUT_BYTES_MAX + 1]) { return lines_of_kind(day, "DSCL", ret); }

static inline uint64_t amount_of(const char *line) { return layout_get_number(layout_of("bank", "DSCL"), line, "amount"); }
static inline void item_of(const char *line, char ret[36]) { layout_get_text(layout_of("bank", "DSCL"), line, "item", ret, 36); }

/* The bank's answer to a day's file: every item with one result. */
static inline void answer_kind(int32_t day, const char *kind, const char *result)
{
	const struct layout *hd = layout_of("bank", "header"), *from = layout_of("bank", "DSCL"), *to = layout_of("bank", "DSRT"), *x = layout_of("bank", "trailer");
	static char in[8][LAYOUT_BYTES_MAX + 1];
	char line[LAYOUT_BYTES_MAX + 1], text[40], hex[65], name[64] = "", partner[16] = "bank", error[256] = "", *whole = NULL;
	const void *part[3] = { partner, name, NULL };
	size_t bytes[3] = { 16, 64, 0 }, n = 0;
	unsigned count = lines_of_kind(day, kind, in);
	uint8_t digest[DIGEST_BYTES];
	uint64_t sum = 0;
	FILE *f = open_memstream(&whole, &n);
	struct txn t;

	assert_non_null(f);
	layout_blank(hd, line);
	layout_text(hd, line, "kind", "H");
	layout_text(hd, line, "file_type", "DSRT");
	fprintf(f, "%s\r\n", line);
	for (unsigned i = 0; i < count; i++) {
		bool good = strcmp(result, "0000") == 0;

		layout_blank(to, line);
		layout_text(to, line, "kind", "D");
		layout_number(to, line, "line", i + 1);
		layout_get_text(from, in[i], "item", text, sizeof(text));
		layout_text(to, line, "item", text);
		layout_number(to, line, "amount", amount_of(in[i]));
		layout_text(to, line, "result", result);
		layout_number(to, line, "booked", good ? amount_of(in[i]) : 0);
		sum += amount_of(in[i]);
		fprintf(f, "%s\r\n", line);
	}
	fflush(f);
	assert_int_equal(digest_sha256(whole, n, digest), 0);
	hex_encode(digest, DIGEST_BYTES, hex);
	layout_blank(x, line);
	layout_text(x, line, "kind", "T");
	layout_number(x, line, "count", count);
	layout_number(x, line, "amount", sum);
	layout_text(x, line, "digest", hex);
	fprintf(f, "%s\r\n", line);
	fclose(f);
	name_of(day, strcmp(kind, "DSPY") == 0 ? "DSRT2" : "DSRT", name);
	part[2] = whole;
	bytes[2] = n;
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	if (partner_file_check(&t, partner, name, whole, n, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	inbox_append(&t, EVENT_PARTNER, 0, part, bytes, 3);
	assert_int_equal(partner_file_apply(&t, partner, name, whole, n), 0);
	assert_int_equal(txn_commit(&t), 0);
	free(whole);
}

static inline void answer(int32_t day, const char *result) { answer_kind(day, "DSCL", result); }

static inline int event_of_cards(const char *csv, char error[256])
{
	const void *part = csv;
	size_t n = strlen(csv);
	struct txn t;
	int ret;

	error[0] = '\0';
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	ret = bank_event_check(&t, csv, n, error, 256);
	if (ret != 0) {
		txn_abort(&t);
		return ret;
	}
	inbox_append(&t, EVENT_BANK, 0, &part, &n, 1);
	assert_int_equal(bank_event_apply(&t, csv, n), 0);
	assert_int_equal(txn_commit(&t), 0);
	return 0;
}

static inline unsigned denied(struct denied ret[8], uint64_t *ret_version)
{
	unsigned count = 0;
	struct iter it;
	struct txn t;

	assert_int_equal(txn_begin(h.store, false, &t), 0);
	iter_open(&t, DB_DENY, NULL, 0, &it);
	while (count < 8 && denied_next(&it, &ret[count]))
		count++;
	iter_close(&it);
	*ret_version = deny_table_version(&t);
	txn_abort(&t);
	return count;
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_house, close_house)

#endif
