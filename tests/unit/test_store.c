/* The store and the inbox: one writer, sticky errors, what was committed survives a kill, versions by position. */
#include "clearing/ridden.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <lmdb.h>

#define MAP_BYTES (64u << 20)
static char dir[64];
static struct store *store;

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/qingfen-store-XXXXXX");
	return mkdtemp(dir) == NULL || store_open(dir, false, MAP_BYTES, &store) != 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	store_close(store);
	store = NULL;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static uint64_t append(struct txn *t, uint8_t type, const char *body)
{
	const void *part = body;
	size_t n = strlen(body);

	return inbox_append(t, type, 1000, &part, &n, 1);
}

static void events_keep_their_order_and_their_bytes(void **state)
{
	struct inbox_iter it;
	struct event e;
	struct txn t;

	(void)state;
	assert_int_equal(txn_begin(store, true, &t), 0);
	assert_int_equal(append(&t, EVENT_DECISION, "one"), 1);
	assert_int_equal(append(&t, EVENT_DECISION, "two"), 2);
	assert_int_equal(append(&t, EVENT_DECISION, "three"), 3);
	assert_int_equal(txn_commit(&t), 0);
	assert_int_equal(txn_begin(store, false, &t), 0);
	inbox_open(&t, 2, 3, &it);
	assert_true(inbox_next(&it, &e));
	assert_int_equal(e.seq, 2);
	assert_memory_equal(e.body, "two", 3);
	assert_true(inbox_next(&it, &e));
	assert_int_equal(e.bytes, 5);
	assert_false(inbox_next(&it, &e));
	inbox_close(&it);
	assert_int_equal(inbox_last(&t), 3);
	txn_abort(&t);
}

static void a_transaction_remembers_its_first_error(void **state)
{
	static uint8_t big[600];
	struct txn t;

	(void)state;
	assert_int_equal(txn_begin(store, true, &t), 0);
	txn_put(&t, DB_META, "a", 1, "1", 1);
	txn_put(&t, DB_META, big, sizeof(big), "x", 1);		/* a key too long */
	txn_put(&t, DB_META, "b", 1, "2", 1);
	assert_int_equal(txn_commit(&t), MDB_BAD_VALSIZE);
	assert_int_equal(txn_begin(store, false, &t), 0);
	const void *val;
	size_t n;
	assert_false(txn_get(&t, DB_META, "a", 1, &val, &n));
	txn_abort(&t);
}

static void a_second_writer_is_refused(void **state)
{
	struct store *other;
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		_exit(store_open(dir, false, MAP_BYTES, &other) == CLEARING_E_BUSY ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void the_latest_version_at_a_position_is_found(void **state)
{
	const uint8_t *key;
	const void *val;
	uint8_t k[12];
	struct txn t;
	size_t n;

	(void)state;
	assert_int_equal(txn_begin(store, true, &t), 0);
	for (uint32_t v = 10; v <= 30; v += 10) {
		be64_put(k, 7);
		be32_put(k + 8, v);
		txn_put(&t, DB_RIDDEN, k, 12, &v, 4);
	}
	be64_put(k, 7);
	be32_put(k + 8, 25);
	assert_true(txn_get_last_at(&t, DB_RIDDEN, k, 12, 8, &key, &val, &n));
	assert_int_equal(*(const uint32_t *)val, 20);
	be32_put(k + 8, 30);
	assert_true(txn_get_last_at(&t, DB_RIDDEN, k, 12, 8, &key, &val, &n));
	assert_int_equal(*(const uint32_t *)val, 30);
	be32_put(k + 8, 9);
	assert_false(txn_get_last_at(&t, DB_RIDDEN, k, 12, 8, &key, &val, &n));
	be64_put(k, 8);
	be32_put(k + 8, 99);
	assert_false(txn_get_last_at(&t, DB_RIDDEN, k, 12, 8, &key, &val, &n));
	txn_abort(&t);
}

static void begin_again(void **state)
{
	assert_int_equal(tear_down(state), 0);
	assert_int_equal(set_up(state), 0);
}

static int reopened(uint32_t format, bool read_only)
{
	uint8_t bytes[4];
	struct txn t;
	int ret;

	be32_put(bytes, format);
	assert_int_equal(txn_begin(store, true, &t), 0);
	txn_put(&t, DB_META, "format", 6, bytes, sizeof(bytes));
	assert_int_equal(txn_commit(&t), 0);
	store_close(store);
	ret = store_open(dir, read_only, MAP_BYTES, &store);
	if (ret != 0)
		store = NULL;
	return ret;
}

/* As the one before left it: what came with format 6 is not there. */
static void databases_of_format_6_drop(void)
{
	static const char *const name[] = { "person_day", "person_last" };
	MDB_env *env;
	MDB_txn *t;
	MDB_dbi dbi;

	store_close(store);
	store = NULL;
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 64), 0);
	assert_int_equal(mdb_env_open(env, dir, 0, 0640), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &t), 0);
	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		assert_int_equal(mdb_dbi_open(t, name[i], 0, &dbi), 0);
		assert_int_equal(mdb_drop(t, dbi, 1), 0);
	}
	assert_int_equal(mdb_txn_commit(t), 0);
	mdb_env_close(env);
}

static void a_store_of_format_5_is_read_without_the_databases_that_came_later(void **state)
{
	struct ridden row;
	struct txn t;

	(void)state;
	assert_int_equal(reopened(5, true), 0);		/* told so; what it lacks is taken from it now */
	databases_of_format_6_drop();
	assert_int_equal(store_open(dir, true, MAP_BYTES, &store), 0);
	assert_int_equal(txn_begin(store, false, &t), 0);
	assert_false(txn_any(&t, DB_PERSON_DAY) || txn_any(&t, DB_PERSON_LAST) || ridden_any(&t));
	assert_false(ridden_before(&t, 1, INT32_MAX, &row));
	assert_int_equal(t.error, 0);
	txn_abort(&t);
	store_close(store);
	assert_int_equal(store_open(dir, false, MAP_BYTES, &store), 0);	/* written again, it has them */
	assert_int_equal(txn_begin(store, true, &t), 0);
	txn_put(&t, DB_PERSON_DAY, "key", 3, "", 0);
	assert_int_equal(txn_commit(&t), 0);
}

static void a_store_of_another_format_is_refused_and_told_which_way(void **state)
{
	(void)state;
	assert_int_equal(reopened(1, false), CLEARING_E_OLDER);
	begin_again(state);
	assert_int_equal(reopened(1, true), CLEARING_E_OLDER);
	begin_again(state);
	assert_int_equal(reopened(2, true), CLEARING_E_OLDER);
	begin_again(state);
	assert_int_equal(reopened(8, false), CLEARING_E_NEWER);
	begin_again(state);
	assert_int_equal(reopened(2, false), 0);
	assert_int_equal(reopened(6, true), 0);
	begin_again(state);
	assert_int_equal(reopened(6, false), 0);
	assert_int_equal(reopened(5, false), 0);
	assert_int_equal(reopened(4, false), 0);
	assert_int_equal(reopened(3, false), 0);
	assert_int_equal(reopened(3, true), 0);
	assert_non_null(strstr(clearing_strerror(CLEARING_E_OLDER), "of format 1 nothing converts it"));
}

/* A child appends and reports each committed number through a pipe; it is killed at a random moment; what it
 * reported must be there. */
static void what_was_committed_survives_kill_9(void **state)
{
	unsigned seed = 3;
	uint64_t reported = 0;
	bool told = false;

	(void)state;
	print_message("# seed %u\n", seed);
	store_close(store);
	store = NULL;
	for (int round = 0; round < 20; round++) {
		struct txn t;
		uint64_t seq;
		int fd[2];
		pid_t pid;

		assert_int_equal(pipe(fd), 0);
		pid = fork();
		if (pid == 0) {
			close(fd[0]);
			if (store_open(dir, false, MAP_BYTES, &store) != 0)
				_exit(1);
			for (;;) {
				if (txn_begin(store, true, &t) != 0)
					_exit(2);
				seq = append(&t, EVENT_DECISION, "a decision that must not be lost");
				if (txn_commit(&t) != 0 || write(fd[1], &seq, sizeof(seq)) != sizeof(seq))
					_exit(3);
			}
		}
		close(fd[1]);
		if (!told && read(fd[0], &seq, sizeof(seq)) == sizeof(seq))	/* a busy machine: the first is not killed before it wrote */
			reported = seq;
		usleep(1000 + (useconds_t)rand_r(&seed) % 20000);
		kill(pid, SIGKILL);
		while (read(fd[0], &seq, sizeof(seq)) == sizeof(seq))
			reported = seq;
		close(fd[0]);
		waitpid(pid, NULL, 0);
		assert_int_equal(store_open(dir, false, MAP_BYTES, &store), 0);
		assert_int_equal(txn_begin(store, false, &t), 0);
		assert_true(inbox_last(&t) >= reported && inbox_last(&t) <= reported + 1);
		told = told || reported > 0;
		reported = inbox_last(&t);	/* a commit killed before its report counts for the next round */
		txn_abort(&t);
		store_close(store);
		store = NULL;
	}
	assert_true(told);
}

static void a_day_is_cut_once_and_the_next_is_open(void **state)
{
	struct day_row row;
	struct txn t;

	(void)state;
	assert_int_equal(txn_begin(store, true, &t), 0);
	day_open_init(&t, 20000);
	assert_int_equal(day_cut(&t, 20001, 5), CLEARING_E_NO_DAY);
	assert_int_equal(day_cut(&t, 20000, 5), 0);
	assert_int_equal(day_cut(&t, 20000, 6), CLEARING_E_STATE);
	assert_int_equal(day_open_get(&t), 20001);
	assert_true(day_get(&t, 20000, &row));
	assert_int_equal(row.state, DAY_CUT);
	assert_int_equal(row.cut_seq, 1);
	assert_int_equal(txn_commit(&t), 0);
}

static struct event reference(uint8_t type, const char *text, uint64_t seq)
{
	return (struct event){ .seq = seq, .type = type, .body = (const uint8_t *)text, .bytes = strlen(text) };
}

static void terminals_are_known_within_their_dates(void **state)
{
	static const char text[] = "terminal,psam,device,operator,valid_from,valid_to\n428000000001,428000000001,V-1,101,2025-01-01,2025-06-30\n428000000001,428000000001,V-9,102,2025-07-01,\n";
	struct event e = reference(EVENT_TERMINALS, text, 1);
	const struct terminal_row *row;
	struct refdata *r;
	uint8_t terminal[6];
	struct txn t;
	char error[256];
	int64_t ms;

	(void)state;
	assert_int_equal(txn_begin(store, false, &t), 0);
	assert_int_equal(refdata_new(&r), 0);
	assert_int_equal(refdata_apply(r, &e, &t, error, sizeof(error)), 0);
	assert_true(hex_decode("428000000001", terminal, 6));
	assert_true(time_parse("2025-06-30T23:59:59", &ms));
	row = refdata_terminal(r, terminal, ms);
	assert_string_equal(row->device, "V-1");
	row = refdata_terminal(r, terminal, ms + 1000);
	assert_string_equal(row->device, "V-9");
	assert_true(time_parse("2024-12-31T23:59:59", &ms));
	assert_null(refdata_terminal(r, terminal, ms));
	refdata_free(r);
	txn_abort(&t);
}

/* Dates that reach into each other, one within another, a gap. */
static void an_answer_about_a_terminal_or_an_issuer_says_how_long_it_stays(void **state)
{
	static const char terminals[] = "terminal,psam,device,operator,valid_from,valid_to\n428000000001,428000000001,V-1,101,2025-01-10,2025-03-10\n"
		"428000000001,428000000001,V-2,102,2025-02-01,2025-02-05\n428000000001,428000000001,V-3,103,2025-03-01,2025-04-01\n"
		"428000000001,428000000001,V-4,104,2025-05-01,\n428000000002,428000000002,V-5,105,2025-01-01,\n";
	static const char issuers[] = "issuer,ours,valid_from,valid_to,name\n02184280,yes,2025-01-20,2025-04-01,a\n02184280,no,2025-03-01,2025-04-20,b\n";
	struct event e = reference(EVENT_TERMINALS, terminals, 1), f = reference(EVENT_ISSUERS, issuers, 2);
	uint8_t terminal[6], issuer[4];
	size_t within = 0;
	struct refdata *r;
	struct txn t;
	char error[256];
	int64_t ms = 0;

	(void)state;
	assert_int_equal(txn_begin(store, false, &t), 0);
	assert_int_equal(refdata_new(&r), 0);
	assert_int_equal(refdata_apply(r, &e, &t, error, sizeof(error)), 0);
	assert_int_equal(refdata_apply(r, &f, &t, error, sizeof(error)), 0);
	assert_true(hex_decode("428000000001", terminal, 6) && hex_decode("02184280", issuer, 4) && time_parse("2024-12-25T12:00:00", &ms));
	for (int64_t at = ms; at < ms + 150 * 86400000LL; at += 43200000) {
		struct span_ms stays = { INT64_MIN, INT64_MAX };
		const struct terminal_row *row = refdata_terminal_while(r, terminal, at, &stays);
		const struct issuer_row *issued = refdata_issuer_while(r, issuer, at, &stays);

		assert_true(stays.from_ms <= at && at < stays.to_ms);
		for (int64_t other = ms; other < ms + 150 * 86400000LL; other += 43200000) {
			bool same = refdata_terminal(r, terminal, other) == row && refdata_issuer(r, issuer, other) == issued;

			if (other >= stays.from_ms && other < stays.to_ms) {
				assert_true(same);
				within++;
			}
		}
	}
	assert_true(within > 300 * 20);
	refdata_free(r);
	txn_abort(&t);
}

static void reference_files_are_refused_whole_with_their_place(void **state)
{
	static const struct { uint8_t type; const char *text, *error; } row[] = {
		{ EVENT_TERMINALS, "terminal,psam,device,operator,valid_from,valid_to\n42,428000000001,V,1,,\n", "terminals.csv:2:1: a terminal number of 12 digits is needed: \"42\"" },
		{ EVENT_TERMINALS, "terminal,psam\n", "terminals.csv:1:1: column \"device\" is missing" },
		{ EVENT_ISSUERS, "issuer,ours,valid_from,valid_to,name\n02184280,maybe,,,x\n", "issuers.csv:2:10: yes or no is needed: \"maybe\"" },
		{ EVENT_BLACKLIST, "\0\0\0\1pan,from,to,action\n", NULL },
		{ EVENT_RIDERS, "pan,person,birth,issued,home,group,grade,from,to,verified_to\n1,5,1950-02-30,,,,,,,\n", "riders.csv:2:5: a date YYYY-MM-DD that exists is needed: \"1950-02-30\"" },
	};
	struct refdata *r;
	char error[256];

	(void)state;
	assert_int_equal(refdata_new(&r), 0);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		if (row[i].error == NULL)
			continue;
		assert_int_equal(refdata_check(r, row[i].type, row[i].text, strlen(row[i].text), error, sizeof(error)), CLEARING_E_REFERENCE);
		assert_string_equal(error, row[i].error);
	}
	assert_int_equal(refdata_terminal_count(r), 0);
	refdata_free(r);
}

static void riders_are_known_as_of_a_position(void **state)
{
	static const char first[] = "pan,person,birth,issued,home,group,grade,from,to,verified_to\n0310473010000001,900,1950-01-01,,360702,,,,,\n";
	static const char second[] = "pan,person,birth,issued,home,group,grade,from,to,verified_to\n0310473010000001,900,,,360900,,,,,\n";
	struct event e1 = reference(EVENT_RIDERS, first, 10), e2 = reference(EVENT_RIDERS, second, 20);
	struct rider rider;
	struct refdata *r;
	uint8_t pan[10];
	char error[256] = "";
	struct txn t;

	(void)state;
	assert_true(pan_parse("0310473010000001", pan));
	assert_int_equal(refdata_new(&r), 0);
	assert_int_equal(txn_begin(store, true, &t), 0);
	assert_int_equal(refdata_apply(r, &e1, &t, error, sizeof(error)), 0);
	assert_int_equal(refdata_apply(r, &e2, &t, error, sizeof(error)), 0);
	assert_int_equal(rider_find(&t, pan, 9, &rider) >> 63, 0);
	assert_int_equal(rider.birth, DAY_NONE);
	rider_find(&t, pan, 10, &rider);
	assert_int_equal(rider.home, 360702);
	rider_find(&t, pan, 25, &rider);
	assert_int_equal(rider.home, 360900);
	assert_int_equal(rider.birth, day_of_civil(1950, 1, 1));
	txn_abort(&t);
	refdata_free(r);
}

/* ---- many keys in order ------------------------------------------------------------------------------------------ */

#define KEYS 3000

static uint64_t draws;

static uint32_t draw(uint32_t below)
{
	draws = draws * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(draws >> 33) % below;
}

static void key_of(uint32_t n, uint8_t key[8]) { be32_put(key, n / 4); be32_put(key + 4, n % 4); }

static void same_tables(struct txn *t, enum db a, enum db b)
{
	struct iter x, y;
	bool more;

	iter_open(t, a, NULL, 0, &x);
	iter_open(t, b, NULL, 0, &y);
	while ((more = iter_next(&x)) && iter_next(&y)) {
		assert_int_equal(x.key_bytes, y.key_bytes);
		assert_memory_equal(x.key, y.key, x.key_bytes);
		assert_int_equal(x.val_bytes, y.val_bytes);
		assert_memory_equal(x.val, y.val, x.val_bytes);
	}
	assert_false(more || iter_next(&y));
	iter_close(&x);
	iter_close(&y);
}

/* Rising within a round, as a clear writes; a second round goes between and over the first; some keys fall. */
static void what_is_put_in_order_lies_as_if_each_had_been_looked_for(void **state)
{
	struct txn t;

	(void)state;
	draws = (uint64_t)time(NULL);
	print_message("# seed %llu\n", (unsigned long long)draws);
	for (int round = 0; round < 4; round++) {
		assert_int_equal(txn_begin(store, true, &t), 0);
		for (uint32_t n = draw(9); n < KEYS * 40; n += 1 + draw(40 * (uint32_t)(round + 1))) {
			uint32_t value = draw(1000000);
			uint8_t key[8];

			key_of(draw(200) == 0 ? draw(KEYS * 40) : n, key);
			txn_put_next(&t, DB_RIDDEN, key, sizeof(key), &value, sizeof(value));
			txn_put(&t, DB_CLEARED, key, sizeof(key), &value, sizeof(value));
			if (draw(100) == 0)
				txn_put_next(&t, DB_CUBE, key, sizeof(key), &value, sizeof(value));
			if (draw(500) == 0) {
				assert_int_equal(txn_commit(&t), 0);
				assert_int_equal(txn_begin(store, true, &t), 0);
			}
		}
		same_tables(&t, DB_RIDDEN, DB_CLEARED);
		assert_int_equal(txn_commit(&t), 0);
	}
}

static void the_last_at_a_key_is_the_same_whether_the_place_is_kept_or_not(void **state)
{
	struct txn t, kept;

	(void)state;
	draws = (uint64_t)time(NULL);
	print_message("# seed %llu\n", (unsigned long long)draws);
	assert_int_equal(txn_begin(store, true, &t), 0);
	for (uint32_t n = 40; n < KEYS; n += 1 + draw(30)) {
		uint8_t key[8];

		key_of(n, key);
		txn_put(&t, DB_RIDDEN, key, sizeof(key), &n, sizeof(n));
	}
	assert_int_equal(txn_commit(&t), 0);
	assert_int_equal(txn_begin(store, false, &t), 0);
	assert_int_equal(txn_begin(store, false, &kept), 0);
	kept.rising = true;
	for (int round = 0; round < 3; round++)
		for (uint32_t n = 0; n < KEYS + 100; n += 1 + draw(round == 1 ? 200 : 3)) {	/* a few entries, or many, from one to the next */
			uint8_t key[8];
			const uint8_t *at, *at_kept;
			const void *val, *val_kept;
			size_t bytes, prefix = 4 * draw(3), bytes_kept;
			bool found;

			key_of(draw(50) == 0 ? draw(KEYS) : n, key);	/* now and then not rising */
			found = txn_get_last_at(&t, DB_RIDDEN, key, sizeof(key), prefix, &at, &val, &bytes);
			assert_int_equal(txn_get_last_at(&kept, DB_RIDDEN, key, sizeof(key), prefix, &at_kept, &val_kept, &bytes_kept), found);
			if (found) {
				assert_memory_equal(at, at_kept, sizeof(key));
				assert_int_equal(bytes, bytes_kept);
				assert_memory_equal(val, val_kept, bytes);
			}
		}
	txn_abort(&t);
	txn_abort(&kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(events_keep_their_order_and_their_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_transaction_remembers_its_first_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_second_writer_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_latest_version_at_a_position_is_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_store_of_format_5_is_read_without_the_databases_that_came_later, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_store_of_another_format_is_refused_and_told_which_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_committed_survives_kill_9, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_day_is_cut_once_and_the_next_is_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(terminals_are_known_within_their_dates, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_about_a_terminal_or_an_issuer_says_how_long_it_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reference_files_are_refused_whole_with_their_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(riders_are_known_as_of_a_position, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_put_in_order_lies_as_if_each_had_been_looked_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_last_at_a_key_is_the_same_whether_the_place_is_kept_or_not, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
