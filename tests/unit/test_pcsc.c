/* The gate over PC/SC: pcscd with a virtual reader (vpcd), the software card behind it on the other end of a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/tap_sample.h"

#define NOW_MS SAMPLE_TIME_MS
#define WAIT_MS 15000
#define FARE_FEN 90
#define PCSCD "/usr/sbin/pcscd"
#define DRIVER "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
#define SOCKET "/run/pcscd/pcscd.comm"

/* A passenger: holds a card to the reader, by a thread that serves one connection of the virtual reader. */
struct passenger { pthread_t thread; struct soft_card *card; bool shown; };

static struct keyring *ring;
static struct soft_psam *psam;
static struct gate *gate;
static struct tariff *tariff;
static void *blob;
static struct gate_setting setting;
static struct pcsc_reader *reader;
static char dir[64];
static pid_t pcscd;
static struct passenger passenger;
static struct tap taps[2];
static unsigned count;

/* ---- the virtual reader ------------------------------------------------------------------------------------ */

#define PORT 35963

/* vpcd listens on every address: so it and the card live in a network of their own, with nothing but a loopback. */
static bool network_of_our_own(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;
	bool up;

	if (unshare(CLONE_NEWNET) != 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
	close(fd);
	return up;
}

static void pcscd_start(void)
{
	char config[96], path[128], log[128];
	FILE *f;

	snprintf(dir, sizeof(dir), "/tmp/qingfen-pcsc-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(config, sizeof(config), "%s/readers", dir);	/* alone: pcscd reads every file of the folder */
	assert_int_equal(mkdir(config, 0700), 0);
	snprintf(path, sizeof(path), "%s/vpcd", config);
	snprintf(log, sizeof(log), "%s/log", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "FRIENDLYNAME \"qingfen test\"\nDEVICENAME /dev/null:0x%04X\nLIBPATH %s\nCHANNELID 0x%04X\n", PORT, DRIVER, PORT);
	fclose(f);
	pcscd = fork();
	if (pcscd == 0) {
		int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		dup2(out, 1);
		dup2(out, 2);
		execl(PCSCD, "pcscd", "--foreground", "--debug", "--apdu", "--config", config, (char *)NULL);
		_exit(127);
	}
	assert_true(pcscd > 0);
}

static bool reader_open(void)
{
	for (int i = 0; i < 100; i++) {
		if (pcsc_reader_open("qingfen test", &reader) == 0)
			return true;
		usleep(100000);
	}
	return false;
}

static void *passenger_main(void *arg)
{
	struct passenger *p = arg;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		vicc_serve(fd, soft_card_reader(p->card));
	close(fd);
	return NULL;
}

static void show(struct soft_card *card)
{
	passenger = (struct passenger){ .card = card, .shown = true };
	assert_int_equal(pthread_create(&passenger.thread, NULL, passenger_main, &passenger), 0);
	assert_int_equal(pcsc_reader_wait(reader, WAIT_MS), 1);
}

/* The card leaves by itself when it was torn; else the reader lets it go, and the passenger takes it away. */
static void take_away(bool torn)
{
	if (!torn)
		soft_card_tear_after(passenger.card, 1);
	pcsc_reader_release(reader);
	if (!torn && pcsc_reader_wait(reader, 0) == 1)
		pcsc_reader_of(reader)->transmit(pcsc_reader_of(reader), (const uint8_t[]){ 0, 0xB0, 0x95, 0, 0 }, 5, (uint8_t[300]){ 0 }, 300);
	pthread_join(passenger.thread, NULL);
	pcsc_reader_release(reader);
	assert_true(pcsc_reader_gone(reader, WAIT_MS));
	soft_card_tear_after(passenger.card, 0);
	usleep(450000);		/* pcscd looks every 400 ms: a card exchanged in between is one card to it */
}

/* ---- the gate --------------------------------------------------------------------------------------------------- */

static void key_add(enum key_purpose purpose)
{
	struct key_entry e = { .purpose = purpose, .alg = KEY_ALG_SM4, .issuer = { 2, 0x18, 0x42, 0x80 }, .version = 1, .levels = 2, .valid_to_ms = INT64_MAX };
	uint8_t key[KEY_BYTES];

	memset(key, (int)purpose + 1, sizeof(key));
	assert_int_equal(keyring_add(ring, &e, key), 0);
}

static void fault(void *arg, const char *text)
{
	(void)arg;
	print_error("%s\n", text);
}

static int group_setup(void **state)
{
	static const uint8_t terminal[6] = { 0x42, 0x80, 0, 0, 0, 0x17 };
	size_t n;

	(void)state;
	assert_int_equal(keyring_new(&ring), 0);
	key_add(KEY_PURCHASE);
	key_add(KEY_TAC);
	key_add(KEY_LOCK);
	assert_int_equal(soft_psam_new(ring, terminal, 1, &psam), 0);
	assert_int_equal(gate_new(soft_psam_reader(psam), &gate), 0);
	assert_int_equal(tariff_compile("tariffs/packs/ganzhou", fault, NULL, &blob, &n), 0);
	assert_int_equal(tariff_open(blob, n, &tariff), 0);
	setting = (struct gate_setting){ .tariff = tariff, .operator_id = 101, .city = 0x4280, .stop = 1, .line = "18", .vehicle = "B1" };
	pcscd_start();
	if (!reader_open())
		print_error("pcscd offers no virtual reader\n");
	return reader != NULL ? 0 : -1;
}

static int group_teardown(void **state)
{
	char command[128];

	(void)state;
	pcsc_reader_close(reader);
	if (pcscd > 0) {
		kill(pcscd, SIGTERM);
		waitpid(pcscd, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command) != 0)
		print_error("%s stays\n", dir);
	gate_free(gate);
	soft_psam_free(psam);
	keyring_free(ring);
	tariff_close(tariff);
	free(blob);
	return 0;
}

static struct soft_card *card_new(unsigned number)	/* two digits as BCD */
{
	struct card_info info = { .issuer = { 2, 0x18, 0x42, 0x80 }, .pan = { 3, 0x10, 0x47, 0x30, 0x10, 0, 0, 0, (uint8_t)number, 0x17 }, .city = 0x4280, .interop = 1,
				  .card_class = 1, .start = day_of_civil(2020, 1, 1), .expiry = day_of_civil(2040, 1, 1) };
	struct soft_card *card;

	assert_int_equal(soft_card_new(ring, &info, 1, KEY_ALG_SM4, 1000, number, &card), 0);
	return card;
}

static enum gate_answer tap_at(int64_t at_ms) { return gate_tap(gate, pcsc_reader_of(reader), &setting, at_ms, taps, &count); }

static void a_card_pays_through_the_reader(void **state)
{
	struct soft_card *card = card_new(1);

	(void)state;
	show(card);
	assert_int_equal(tap_at(NOW_MS), GATE_GO);
	assert_int_equal(count, 1);
	assert_int_equal(taps[0].amount_fen, FARE_FEN);
	take_away(false);
	assert_int_equal(soft_card_balance(card), 1000 - FARE_FEN);
	soft_card_free(card);
}

static void no_card_is_no_card(void **state)
{
	(void)state;
	assert_int_equal(pcsc_reader_wait(reader, 300), 0);
	assert_int_equal(tap_at(NOW_MS), GATE_TAP_AGAIN);
	assert_int_equal(count, 0);
}

/* SELECT, 15, 17, 18, INIT, cache, DEBIT: the card carries out the last one it got, and its answer is lost. */
static void a_card_torn_at_any_step_pays_once_when_it_comes_back(void **state)
{
	(void)state;
	for (unsigned step = 1; step <= 7; step++) {
		struct soft_card *card = card_new(0x10 + step);
		unsigned records = 0;

		show(card);
		soft_card_tear_after(card, step);
		assert_int_equal(tap_at(NOW_MS), GATE_TAP_AGAIN);
		records += count;
		assert_int_equal(count, step == 7 ? 1 : 0);
		assert_true(count == 0 || (taps[0].flags & TAP_GREY) != 0);
		take_away(true);
		show(card);
		assert_int_equal(tap_at(NOW_MS + 2000), GATE_GO);
		assert_int_equal(count, 1);
		records += count;
		assert_true(step != 7 || (taps[0].flags & TAP_RECOVERED) != 0);
		take_away(false);
		assert_int_equal(soft_card_balance(card), 1000 - FARE_FEN);
		assert_int_equal(records, step == 7 ? 2 : 1);
		soft_card_free(card);
	}
}

static void a_black_listed_card_is_locked_for_good_with_a_record(void **state)
{
	struct soft_card *card = card_new(0x30);
	struct hotlist *hot;
	char error[100];

	(void)state;
	assert_int_equal(hotlist_parse("black", "3104730100000003017\n", 20, &hot, error, sizeof(error)), 0);
	setting.hotlist = hot;
	show(card);
	assert_int_equal(tap_at(NOW_MS), GATE_BLACKLISTED);
	assert_int_equal(count, 1);
	assert_int_equal(taps[0].kind, TAP_LOCK);
	assert_int_equal(taps[0].amount_fen, 0);
	assert_true(soft_card_locked(card));
	setting.hotlist = NULL;
	assert_int_equal(tap_at(NOW_MS + 1000), GATE_CARD_REFUSED);
	take_away(false);
	assert_int_equal(soft_card_balance(card), 1000);
	hotlist_free(hot);
	soft_card_free(card);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_card_pays_through_the_reader),
		cmocka_unit_test(no_card_is_no_card),
		cmocka_unit_test(a_card_torn_at_any_step_pays_once_when_it_comes_back),
		cmocka_unit_test(a_black_listed_card_is_locked_for_good_with_a_record),
	};

	if (!network_of_our_own()) {
		puts("1..1\nok 1 - the gate over PC/SC # SKIP a network of our own and pcscd need root");
		return 0;
	}
	if (access(SOCKET, F_OK) == 0 && pcsc_reader_open("", &reader) != -ECONNREFUSED) {
		puts("1..1\nok 1 - the gate over PC/SC # SKIP another pcscd runs on this machine");
		return 0;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
