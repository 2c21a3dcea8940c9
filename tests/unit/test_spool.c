/* The spool: nothing that was synced is lost, whatever is cut or killed, and a file serial is one batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/tap_sample.h"

static char dir[64];
static struct batch batch;

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_spool.XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static struct spool *opened(void)
{
	struct spool *s = NULL;

	assert_int_equal(spool_open(dir, &s), 0);
	return s;
}

static int append_serial(struct spool *s, uint32_t serial, bool sync)
{
	uint8_t bytes[TAP_ENCODED_BYTES_MAX];
	struct tap tap = sample_tap();

	tap.terminal_serial = serial;
	return spool_append(s, bytes, (size_t)sample_encode(&tap, bytes), sync);
}

static void append(struct spool *s, uint32_t serial) { assert_int_equal(append_serial(s, serial, true), 0); }

static uint32_t serial_of(uint32_t i)
{
	const char *field;
	struct tap tap;

	assert_int_equal(tap_decode(batch.tap[i].p, batch.tap[i].n, &tap, &field), 0);
	return tap.terminal_serial;
}

static void path_of(const char *name, char ret[128]) { snprintf(ret, 128, "%s/%s", dir, name); }

static off_t size_of(const char *name)
{
	struct stat st;
	char path[128];

	path_of(name, path);
	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void records_come_back_in_order_and_only_release_forgets_them(void **state)
{
	struct spool *s = opened();

	(void)state;
	assert_int_equal(spool_next(s, 10, &batch), 0);
	for (uint32_t i = 1; i <= 25; i++)
		append(s, i);
	for (uint32_t round = 1; round <= 3; round++) {
		uint32_t taps = round < 3 ? 10 : 5;

		for (int again = 0; again < 2; again++) {
			assert_int_equal(spool_next(s, 10, &batch), 1);
			assert_int_equal(batch.file_serial, round);
			assert_int_equal(batch.count, taps);
			assert_int_equal(batch_check(&batch), 0);
			for (uint32_t i = 0; i < taps; i++)
				assert_int_equal(serial_of(i), (round - 1) * 10 + i + 1);
		}
		assert_int_equal(spool_release(s, round + 1), -EINVAL);
		assert_int_equal(spool_release(s, round), 0);
		assert_int_equal(spool_release(s, round), -EINVAL);
	}
	assert_int_equal(spool_waiting(s), 0);
	assert_int_equal(spool_next(s, 10, &batch), 0);
	spool_close(s);
}

static void a_file_serial_is_the_same_batch_after_a_restart(void **state)
{
	struct spool *s = opened();
	uint8_t digest[DIGEST_BYTES];

	(void)state;
	for (uint32_t i = 1; i <= 4; i++)
		append(s, i);
	assert_int_equal(spool_next(s, 100, &batch), 1);
	memcpy(digest, batch.digest, sizeof(digest));
	for (uint32_t i = 5; i <= 9; i++)
		append(s, i);			/* after the batch was fixed: the next one's */
	spool_close(s);
	s = opened();
	assert_int_equal(spool_waiting(s), 9);
	assert_int_equal(spool_release(s, 1), -EINVAL);	/* nobody was shown it since the restart */
	assert_int_equal(spool_next(s, 512, &batch), 1);
	assert_int_equal(batch.count, 4);
	assert_memory_equal(batch.digest, digest, sizeof(digest));
	assert_int_equal(spool_release(s, 1), 0);
	spool_close(s);
	s = opened();
	assert_int_equal(spool_next(s, 512, &batch), 1);
	assert_int_equal(batch.file_serial, 2);
	assert_int_equal(batch.count, 5);
	assert_int_equal(serial_of(0), 5);
	spool_close(s);
}

static void segments_roll_over_and_go_when_released(void **state)
{
	struct spool *s = opened();
	uint32_t next = 1;

	(void)state;
	for (uint32_t i = 1; i <= 4000; i++)
		assert_int_equal(append_serial(s, i, false), 0);
	append(s, 4001);
	assert_true(size_of("segment-0000000003") > 0);
	spool_close(s);
	s = opened();
	assert_int_equal(spool_waiting(s), 4001);
	while (spool_next(s, 512, &batch) == 1) {
		for (uint32_t i = 0; i < batch.count; i++)
			assert_int_equal(serial_of(i), next++);
		assert_int_equal(spool_release(s, batch.file_serial), 0);
	}
	assert_int_equal(next, 4002);
	assert_int_equal(size_of("segment-0000000001"), -1);
	assert_int_equal(size_of("segment-0000000002"), -1);
	spool_close(s);
}

static void a_batch_never_outgrows_its_frame(void **state)
{
	static uint8_t out[FRAME_BYTES_MAX];
	struct spool *s = opened();
	uint8_t record[TAP_ENCODED_BYTES_MAX];
	uint32_t total = 0;

	(void)state;
	memset(record, 0xC0, sizeof(record));
	for (uint32_t i = 0; i < 600; i++)
		assert_int_equal(spool_append(s, record, sizeof(record), i == 599), 0);
	while (spool_next(s, 512, &batch) == 1) {
		int n = batch_encode(&batch, out, BATCH_BYTES_MAX);

		assert_true(n > 0);
		total += batch.count;
		assert_int_equal(spool_release(s, batch.file_serial), 0);
	}
	assert_int_equal(total, 600);
	assert_int_equal(spool_append(s, record, sizeof(record) + 1, true), TAP_E_RANGE);
	assert_int_equal(spool_append(s, record, 0, true), TAP_E_RANGE);
	spool_close(s);
}

/* Every length the tail can be left with: all whole records stay, the torn one goes, appending goes on. */
static void a_tail_torn_at_any_byte_is_cut_to_the_last_whole_record(void **state)
{
	const char *name = "segment-0000000001";
	struct spool *s = opened();
	off_t before, after;
	char path[128];

	(void)state;
	append(s, 1);
	append(s, 2);
	before = size_of(name);
	append(s, 3);
	after = size_of(name);
	spool_close(s);
	path_of(name, path);
	for (off_t cut = after - 1; cut >= before; cut--) {
		assert_int_equal(truncate(path, cut), 0);
		s = opened();
		assert_int_equal(spool_waiting(s), 2);
		assert_int_equal(spool_cut_bytes(s), cut - before);
		assert_int_equal(size_of(name), before);
		append(s, 3);
		assert_int_equal(spool_next(s, 2, &batch), 1);
		assert_int_equal(serial_of(0), 1);
		spool_close(s);
		s = opened();
		assert_int_equal(spool_waiting(s), 3);
		spool_close(s);
	}
}

static void a_tail_of_zeros_or_noise_is_cut(void **state)
{
	uint8_t noise[300];
	char path[128];
	struct spool *s = opened();
	int fd;

	(void)state;
	append(s, 1);
	spool_close(s);
	path_of("segment-0000000001", path);
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = round == 0 ? 0 : (uint8_t)sample_random();
		fd = open(path, O_WRONLY | O_APPEND);
		assert_int_equal(write(fd, noise, sizeof(noise)), sizeof(noise));
		close(fd);
		s = opened();
		assert_int_equal(spool_waiting(s), 1);
		assert_int_equal(spool_cut_bytes(s), sizeof(noise));
		spool_close(s);
	}
}

static void damage_before_the_tail_is_refused_and_left_alone(void **state)
{
	const char *name = "segment-0000000001";
	struct spool *s = opened();
	off_t size;
	char path[128];
	uint8_t b;
	int fd;

	(void)state;
	for (uint32_t i = 1; i <= 3; i++)
		append(s, i);
	spool_close(s);
	size = size_of(name);
	path_of(name, path);
	fd = open(path, O_RDWR);
	for (off_t at = 0; at < size * 2 / 3; at++) {
		assert_int_equal(pread(fd, &b, 1, at), 1);
		b ^= 0x40;
		assert_int_equal(pwrite(fd, &b, 1, at), 1);
		assert_int_equal(spool_open(dir, &s), TAP_E_SPOOL);
		assert_int_equal(size_of(name), size);
		b ^= 0x40;
		assert_int_equal(pwrite(fd, &b, 1, at), 1);
	}
	close(fd);
	s = opened();
	assert_int_equal(spool_waiting(s), 3);
	spool_close(s);
}

static void a_damaged_state_or_a_missing_segment_is_refused(void **state)
{
	struct spool *s = opened();
	char path[128], saved[128];
	uint8_t b[33];
	ssize_t n;
	int fd;

	(void)state;
	append(s, 1);
	spool_close(s);
	path_of("state", path);
	fd = open(path, O_RDWR);
	n = read(fd, b, sizeof(b));
	assert_int_equal(n, 32);
	for (off_t at = 0; at < n; at++) {
		uint8_t flipped = b[at] ^ 1;

		assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
		assert_int_equal(spool_open(dir, &s), TAP_E_SPOOL);
		assert_int_equal(pwrite(fd, &b[at], 1, at), 1);
	}
	close(fd);
	path_of("segment-0000000001", path);
	path_of("elsewhere", saved);
	assert_int_equal(rename(path, saved), 0);
	assert_int_equal(spool_open(dir, &s), TAP_E_SPOOL);
	assert_int_equal(rename(saved, path), 0);
	s = opened();
	assert_int_equal(spool_waiting(s), 1);
	spool_close(s);
}

static void one_process_holds_a_spool(void **state)
{
	struct spool *s = opened(), *second = NULL;

	(void)state;
	assert_int_equal(spool_open(dir, &second), -EBUSY);
	assert_null(second);
	spool_close(s);
}

static void a_new_spool_counts_from_where_it_is_told_and_an_old_one_goes_on(void **state)
{
	struct spool *s;

	(void)state;
	for (uint32_t round = 0; round < 3; round++) {
		assert_int_equal(spool_open_from(dir, 5000 + 100 * round, &s), 0);
		append(s, round);
		assert_int_equal(spool_next(s, 10, &batch), 1);
		assert_int_equal(batch.file_serial, 5000 + round);
		assert_int_equal(spool_release(s, batch.file_serial), 0);
		spool_close(s);
	}
}

/* A child appends and releases, telling each thing done through a pipe; it is killed at a random moment. */
static void child_work(int to_parent, uint32_t first_serial)
{
	static struct batch b;
	struct spool *s;
	char word[2] = { 0 };

	if (spool_open(dir, &s) != 0)
		_exit(3);
	for (uint32_t serial = first_serial;; serial++) {
		if (append_serial(s, serial, true) != 0)
			_exit(4);
		word[0] = 'a';
		if (write(to_parent, word, 1) != 1)
			_exit(5);
		if (serial % 3 != 0 || spool_next(s, 7, &b) != 1)
			continue;
		word[0] = 'r';
		word[1] = (char)b.count;
		if (write(to_parent, word, 2) != 2 || spool_release(s, b.file_serial) != 0 || write(to_parent, "d", 1) != 1)
			_exit(6);
	}
}

static void killed_at_any_moment_every_synced_record_is_there_once(void **state)
{
	uint32_t appended = 0, released = 0, file_serial = 0;

	(void)state;
	for (int round = 0; round < 40; round++) {
		uint32_t maybe = 0, told = appended;
		struct spool *s;
		uint64_t waiting;
		char word;
		int pipes[2];
		pid_t child;

		assert_int_equal(pipe(pipes), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0)
			child_work(pipes[1], appended + 1);
		close(pipes[1]);
		usleep(1000 + sample_below(20000));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		while (read(pipes[0], &word, 1) == 1) {
			char count = 0;

			if (word == 'a')
				told++;
			else if (word == 'r' && read(pipes[0], &count, 1) == 1)
				maybe = (uint32_t)count;
			else if (word == 'd') {
				released += maybe;
				maybe = 0;
			}
		}
		close(pipes[0]);
		s = opened();
		waiting = spool_waiting(s);
		/* One call was in progress: the release that was announced, or else an append. It may or may not have
		   happened; nothing else may differ. */
		if (maybe != 0 && waiting + maybe == told - released)
			released += maybe;
		else if (maybe == 0 && waiting == told - released + 1)
			told++;
		assert_int_equal(waiting, told - released);
		appended = told;
		if (spool_next(s, 512, &batch) == 1) {
			assert_true(batch.file_serial > file_serial || (round > 0 && batch.file_serial == file_serial));
			file_serial = batch.file_serial;
			for (uint32_t i = 0; i < batch.count; i++)
				assert_int_equal(serial_of(i), released + 1 + i);
			assert_int_equal(spool_release(s, batch.file_serial), 0);
			released += batch.count;
		}
		spool_close(s);
	}
	assert_true(appended > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(records_come_back_in_order_and_only_release_forgets_them),
		TEST(a_file_serial_is_the_same_batch_after_a_restart),
		TEST(segments_roll_over_and_go_when_released),
		TEST(a_batch_never_outgrows_its_frame),
		TEST(a_tail_torn_at_any_byte_is_cut_to_the_last_whole_record),
		TEST(a_tail_of_zeros_or_noise_is_cut),
		TEST(damage_before_the_tail_is_refused_and_left_alone),
		TEST(a_damaged_state_or_a_missing_segment_is_refused),
		TEST(one_process_holds_a_spool),
		TEST(a_new_spool_counts_from_where_it_is_told_and_an_old_one_goes_on),
		TEST(killed_at_any_moment_every_synced_record_is_there_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
