/* What the inbox keeps beside its events: which of them are no batches, so that nobody looks at the others for them. */
#include "tests/unit/house.h"

#define BATCHES 300

/* Batches of a day, and in their middle reference data. The events that are no batches, so far. */
static uint64_t day_fill(struct house *h, uint64_t seq[], uint64_t others)
{
	static const char issuers[] = "issuer,ours,valid_from,valid_to,name\n02184280,yes,2000-01-01,,again\n";

	for (unsigned i = 0; i < BATCHES; i++) {
		struct tap t = tap_at(i % 90, h->open, 400, "A", 200);
		struct txn txn;

		if (i == BATCHES / 2)
			event_add(h, EVENT_ISSUERS, "", 0, issuers, strlen(issuers));
		tap_send(h, &t);
		assert_int_equal(txn_begin(h->store, false, &txn), 0);
		seq[i] = inbox_last(&txn);
		txn_abort(&txn);
	}
	return others + 1;
}

static uint64_t others_counted(struct txn *t, uint64_t to)
{
	struct inbox_iter it;
	struct event e;
	uint64_t n = 0;

	inbox_open_others(t, 1, to, &it);
	for (; inbox_next(&it, &e); n++)
		assert_int_not_equal(e.type, EVENT_BATCH);
	inbox_close(&it);
	return n;
}

/* Each batch is made such that whoever looks at it stops. */
static void test_reference_data_is_read_again_without_a_look_at_any_batch(void **state)
{
	static uint64_t seq[BATCHES];
	struct refdata *ref;
	struct inbox_iter it;
	struct house h;
	struct event e;
	struct txn t;
	uint8_t number[8];

	(void)state;
	house_open(&h);
	assert_int_equal(day_fill(&h, seq, 3), 4);
	assert_int_equal(txn_begin(h.store, true, &t), 0);
	assert_int_equal(others_counted(&t, UINT64_MAX), 4);
	assert_int_equal(others_counted(&t, 3), 3);
	for (unsigned i = 0; i < BATCHES; i++) {
		be64_put(number, seq[i]);
		txn_put(&t, DB_INBOX, number, sizeof(number), "", 1);
	}
	assert_int_equal(refdata_new(&ref), 0);
	assert_int_equal(refdata_replay(ref, &t, UINT64_MAX), 0);
	assert_int_equal(refdata_terminal_count(ref), 2);
	refdata_free(ref);
	inbox_open(&t, 1, UINT64_MAX, &it);
	while (inbox_next(&it, &e))
		;
	inbox_close(&it);
	assert_int_equal(t.error, CLEARING_E_STORE);
	txn_abort(&t);
	house_close(&h);
}

static void list_drop(struct house *h, uint64_t from, uint32_t format)
{
	struct txn t;
	uint8_t number[8];

	assert_int_equal(txn_begin(h->store, true, &t), 0);
	for (uint64_t last = inbox_last(&t); from <= last; from++) {
		be64_put(number, from);
		txn_del(&t, DB_OTHER, number, sizeof(number));
	}
	be32_put(number, format);
	txn_put(&t, DB_META, "format", 6, number, 4);
	assert_int_equal(txn_commit(&t), 0);
}

static void test_a_store_of_format_2_is_listed_when_it_is_opened_to_be_written(void **state)
{
	static uint64_t seq[BATCHES];
	struct house h;
	struct txn t;

	(void)state;
	house_open(&h);
	day_fill(&h, seq, 3);
	day_end(&h);
	list_drop(&h, 1, 2);
	store_close(h.store);
	h.store = NULL;
	assert_int_equal(store_open(h.dir, true, 0, &h.store), CLEARING_E_OLDER);
	assert_int_equal(store_open(h.dir, false, 64u << 20, &h.store), 0);
	assert_int_equal(txn_begin(h.store, false, &t), 0);
	assert_int_equal(others_counted(&t, UINT64_MAX), 5);		/* the day's cut too */
	txn_abort(&t);
	all_holds(&h);
	store_close(h.store);
	assert_int_equal(store_open(h.dir, true, 0, &h.store), 0);
	house_close(&h);
}

static void test_an_event_that_is_not_listed_breaks_the_inbox(void **state)
{
	static uint64_t seq[BATCHES];
	char *text = NULL;
	struct house h;
	size_t n = 0;
	FILE *out;

	(void)state;
	house_open(&h);
	day_fill(&h, seq, 3);
	day_end(&h);
	out = open_memstream(&text, &n);
	assert_int_equal(check_run(h.store, "inbox", out), 0);
	list_drop(&h, seq[0], 3);
	assert_int_equal(check_run(h.store, "inbox", out), 1);
	fclose(out);
	assert_non_null(strstr(text, "of 5 events that are no batches 3 are listed"));
	free(text);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference_data_is_read_again_without_a_look_at_any_batch),
		cmocka_unit_test(test_a_store_of_format_2_is_listed_when_it_is_opened_to_be_written),
		cmocka_unit_test(test_an_event_that_is_not_listed_breaks_the_inbox),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
