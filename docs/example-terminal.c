/*
 * example-terminal - a whole terminal on libqfval: a shift with taps, kept through power loss, brought to clearingd over
 * TLS 1.3. C99; needs libqfval and OpenSSL. One thread, one loop; the memory is taken once, before the first tap.
 *
 *   cc -std=c99 example-terminal.c reader.c $(pkg-config --cflags --libs qfval openssl) -o terminal
 *   terminal HOST PORT SERVER-NAME DEVICE CERT-AND-KEY CA DIRECTORY TAPS
 *
 * reader.c is yours: the contactless reader and the PSAM slot, three functions below. TAPS is how many taps to make before
 * the shift ends and the program with it, when the spool is empty; 0: until SIGTERM.
 */
#define _POSIX_C_SOURCE 200809L
#include <qfval.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

/* ---- yours: reader.c -------------------------------------------------------------------------------------------- */

/* 1: a card is in the field now. */
int reader_card_here(void);
int reader_card_transmit(void *arg, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes);
int reader_psam_transmit(void *arg, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes);

/* ---- the terminal ------------------------------------------------------------------------------------------------- */

#define TARIFF_BYTES (4 * 1024 * 1024)
#define LIST_BYTES (8 * 1024 * 1024)
#define LIST_LINES 400000
#define FIRST_PAUSE_MS 1000
#define LAST_PAUSE_MS 60000
#define QUIET_MS 60000

struct list { const char *file; uint8_t *buffer; size_t bytes; struct qfv_download *download; };
struct terminal {
	const char *host, *port, *server_name, *device, *directory;
	SSL_CTX *tls;
	SSL *ssl;
	int fd, connected;		/* TLS is up */
	int64_t connect_at, pause, send_at, heard_at;	/* steady clock, ms */
	int64_t offset;			/* the centre's clock less ours */
	uint32_t taps_max, sent_taps;
	int broken;			/* said in a callback: hang up when it is safe */
	uint8_t batch[QFV_BATCH_BYTES_MAX];
	struct qfv_spool *spool;
	struct qfv_uplink *uplink;
	struct qfv_gate *gate;
	struct qfv_tap *event;
	struct qfv_tariff *tariff;
	struct qfv_blacklist *blacklist;
	/* two of each: the new one is checked while the old one is in force */
	void *tariff_memory[2], *list_memory[2];
	uint8_t *tariff_blob[2];
	size_t list_size;
	int tariff_turn, list_turn;
	uint32_t list_version;
	struct list tariff_list, black_list;
	unsigned long taps, records;
	uint32_t event_serial;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static void fail(const char *what, int code)
{
	fprintf(stderr, "terminal: %s: %s\n", what, qfv_strerror(code));
	exit(1);
}

static void check(const char *what, int code)
{
	if (code < 0)
		fail(what, code);
}

static void *memory(size_t n)
{
	void *p = malloc(n);

	if (p == NULL)
		fail("memory", QFV_E_MEMORY);
	return p;
}

static int64_t clock_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t steady(void) { return clock_of(CLOCK_MONOTONIC); }
static int64_t centre_time(const struct terminal *t) { return clock_of(CLOCK_REALTIME) + t->offset; }

/* ---- files that are replaced whole ---------------------------------------------------------------------------------- */

static void file_path(const struct terminal *t, const char *name, const char *more, char ret[512])
{
	snprintf(ret, 512, "%.400s/%s%s", t->directory, name, more);
}

static void file_store(const struct terminal *t, const char *name, const void *p, size_t n)
{
	char path[512], beside[512];
	int fd;

	file_path(t, name, "", path);
	file_path(t, name, ".new", beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC, 0640);
	if (fd < 0 || write(fd, p, n) != (ssize_t)n || fsync(fd) != 0 || close(fd) != 0 || rename(beside, path) != 0)
		fail(path, QFV_E_IO);
}

/* The bytes read; 0: no such file. */
static size_t file_load(const struct terminal *t, const char *name, void *p, size_t n)
{
	char path[512];
	ssize_t got;
	int fd;

	file_path(t, name, "", path);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	got = read(fd, p, n);
	close(fd);
	return got > 0 ? (size_t)got : 0;
}

/* ---- tariff and black list: check, keep, put in force ------------------------------------------------------------------- */

static void in_force(struct terminal *t)
{
	struct qfv_place place = { sizeof(place), 101, 7001, 0, 0x4280, 1, 0, { 0x12, 0x18, 0x42, 0x80 }, "1", "B12345", 0, { 0 }, 0 };

	place.list_version = t->list_version;
	check("place", qfv_gate_place(t->gate, &place));
	if (t->tariff != NULL)
		check("lists", qfv_gate_lists(t->gate, t->tariff, t->blacklist));
}

static int tariff_take(struct terminal *t, const uint8_t *p, size_t n)
{
	int turn = !t->tariff_turn, ret;

	memcpy(t->tariff_blob[turn], p, n);
	ret = qfv_tariff_init(t->tariff_memory[turn], qfv_tariff_size(), t->tariff_blob[turn], n, &t->tariff);
	if (ret != 0)
		return ret;
	t->tariff_turn = turn;
	in_force(t);
	return 0;
}

static int blacklist_take(struct terminal *t, uint32_t version, const uint8_t *p, size_t n)
{
	char reason[160] = "";
	int turn = !t->list_turn, ret;

	ret = qfv_blacklist_init(t->list_memory[turn], t->list_size, (const char *)p, n, reason, sizeof(reason), &t->blacklist);
	if (ret != 0) {
		fprintf(stderr, "terminal: %s\n", reason);
		return ret;
	}
	t->list_turn = turn;
	t->list_version = version;
	in_force(t);
	return 0;
}

/* The list's file: its version in four bytes, then the text. */
static void list_whole(struct terminal *t, struct list *l)
{
	uint32_t version = qfv_download_version(l->download);
	uint8_t *p = l->buffer;		/* eight bytes before it are ours */
	int ret;

	if (l == &t->tariff_list) {
		ret = tariff_take(t, p, l->bytes);
		if (ret == 0)
			file_store(t, l->file, p, l->bytes);
	} else {
		ret = blacklist_take(t, version, p, l->bytes);
		memcpy(p - 8, &version, sizeof(version));
		if (ret == 0)
			file_store(t, l->file, p - 8, l->bytes + 8);
	}
	fprintf(stderr, "terminal: %s version %u: %s\n", l->file, (unsigned)version, ret == 0 ? "in force" : qfv_strerror(ret));
}

static void lists_load(struct terminal *t)
{
	uint32_t version;
	size_t n = file_load(t, t->tariff_list.file, t->tariff_list.buffer, TARIFF_BYTES);

	if (n > 0)
		tariff_take(t, t->tariff_list.buffer, n);
	n = file_load(t, t->black_list.file, t->black_list.buffer - 8, LIST_BYTES);
	if (n > 8) {
		memcpy(&version, t->black_list.buffer - 8, sizeof(version));
		blacklist_take(t, version, t->black_list.buffer, n - 8);
	}
}

/* ---- what the uplink asks and tells ---------------------------------------------------------------------------------------- */

static int on_next(void *arg, const uint8_t **ret_p, size_t *ret_n, uint32_t *ret_file_serial)
{
	struct terminal *t = arg;
	int n = qfv_spool_next(t->spool, t->device, t->taps_max, t->batch, sizeof(t->batch), ret_file_serial, &t->sent_taps);

	check("spool", n);
	*ret_p = t->batch;
	*ret_n = (size_t)n;
	return n > 0;
}

static void on_welcome(void *arg, const struct qfv_welcome *m)
{
	struct terminal *t = arg;

	t->offset = m->clock_ms - clock_of(CLOCK_REALTIME);
	t->taps_max = m->batch_taps_max;
	t->pause = FIRST_PAUSE_MS;
	if (m->list_version != 0 && m->list_version != t->list_version)
		qfv_download_start(t->black_list.download, t->uplink, m->list_version);
	if (m->tariff_version != 0 && (t->tariff == NULL || m->tariff_version != qfv_tariff_version(t->tariff)))
		qfv_download_start(t->tariff_list.download, t->uplink, m->tariff_version);
}

static void on_receipt(void *arg, const struct qfv_receipt *m)
{
	struct terminal *t = arg;

	if (m->count != t->sent_taps) {
		t->broken = 1;		/* not about our batch: nothing is forgotten */
		return;
	}
	check("release", qfv_spool_release(t->spool, m->file_serial));
}

static void on_refused(void *arg, const struct qfv_refuse *m)
{
	struct terminal *t = arg;

	fprintf(stderr, "terminal: refused %u: %d %s\n", (unsigned)m->file_serial, (int)m->code, m->text);
	if (m->file_serial == 0) {
		qfv_download_stop(t->black_list.download);
		qfv_download_stop(t->tariff_list.download);
	}
	t->send_at = steady() + (m->retry ? 1000 : 60000);
}

static void on_busy(void *arg, uint32_t retry_ms)
{
	struct terminal *t = arg;

	t->send_at = steady() + (retry_ms < 60000 ? retry_ms : 60000);
}

static void on_part(void *arg, const struct qfv_part *m)
{
	struct terminal *t = arg;
	struct list *l = strcmp(m->what, "tariff") == 0 ? &t->tariff_list : &t->black_list;
	int ret = qfv_download_part(l->download, t->uplink, m, &l->bytes);

	if (ret == 1)
		list_whole(t, l);
	else if (ret < 0)
		t->broken = 1;
}

/* ---- TLS ---------------------------------------------------------------------------------------------------------------------- */

static void tls_init(struct terminal *t, const char *certificate, const char *authority)
{
	t->tls = SSL_CTX_new(TLS_client_method());
	if (t->tls == NULL || SSL_CTX_set_min_proto_version(t->tls, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_use_certificate_chain_file(t->tls, certificate) != 1 || SSL_CTX_use_PrivateKey_file(t->tls, certificate, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_load_verify_locations(t->tls, authority, NULL) != 1)
		fail("certificate, key or authority", QFV_E_CRYPTO);
	SSL_CTX_set_verify(t->tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(t->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* Come back after a pause that doubles, with a random part, so that a fleet does not return at once. */
static void hang_up(struct terminal *t)
{
	SSL_free(t->ssl);
	t->ssl = NULL;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	t->connected = t->broken = 0;
	qfv_uplink_lost(t->uplink);
	qfv_download_stop(t->tariff_list.download);
	qfv_download_stop(t->black_list.download);
	t->connect_at = steady() + t->pause + rand() % (t->pause / 2);
	t->pause = t->pause * 2 < LAST_PAUSE_MS ? t->pause * 2 : LAST_PAUSE_MS;
}

static void call(struct terminal *t)
{
	struct addrinfo hints, *a = NULL;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	t->heard_at = steady();
	if (getaddrinfo(t->host, t->port, &hints, &a) == 0) {
		t->fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (t->fd >= 0 && connect(t->fd, a->ai_addr, a->ai_addrlen) == 0)
			t->ssl = SSL_new(t->tls);
		freeaddrinfo(a);
	}
	if (t->ssl == NULL || fcntl(t->fd, F_SETFL, O_NONBLOCK) != 0 || SSL_set_fd(t->ssl, t->fd) != 1 || SSL_set1_host(t->ssl, t->server_name) != 1 ||
	    SSL_set_tlsext_host_name(t->ssl, t->server_name) != 1)
		hang_up(t);
}

/* 0: good or not yet; -1: the connection is gone. */
static int tls_result(const struct terminal *t, int ret)
{
	int why = SSL_get_error(t->ssl, ret);

	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static int tls_write(struct terminal *t)
{
	const uint8_t *p;
	size_t n = qfv_uplink_output(t->uplink, &p);
	int sent = n > 0 ? SSL_write(t->ssl, p, (int)n) : 0;

	if (sent > 0)
		qfv_uplink_sent(t->uplink, (size_t)sent);
	return n == 0 || sent > 0 ? 0 : tls_result(t, sent);
}

static int tls_read(struct terminal *t)
{
	static uint8_t buffer[16384];
	int n;

	while ((n = SSL_read(t->ssl, buffer, sizeof(buffer))) > 0) {
		t->heard_at = steady();
		if (qfv_uplink_feed(t->uplink, buffer, (size_t)n) != 0 || t->broken)
			return -1;
	}
	return tls_result(t, n);
}

static int link_turn(struct terminal *t)
{
	if (!t->connected) {
		int ret = SSL_connect(t->ssl);

		if (ret != 1)
			return tls_result(t, ret);
		t->connected = 1;
		qfv_uplink_connected(t->uplink, clock_of(CLOCK_REALTIME));
	}
	if (t->send_at != 0 && steady() >= t->send_at) {
		t->send_at = 0;
		qfv_uplink_retry(t->uplink);
	}
	if (steady() - t->heard_at > QUIET_MS) {
		t->heard_at = steady();
		qfv_uplink_ping(t->uplink);
	}
	return tls_read(t) != 0 || tls_write(t) != 0 ? -1 : 0;
}

/* ---- the gate ------------------------------------------------------------------------------------------------------------------- */

static void record_keep(struct terminal *t, const struct qfv_tap *record)
{
	uint8_t bytes[QFV_TAP_BYTES_MAX];
	int n = qfv_tap_encode(record, bytes, sizeof(bytes));

	check("record", n);
	check("spool", qfv_spool_append(t->spool, bytes, (size_t)n));
	t->records++;
	if (t->send_at == 0 && qfv_uplink_state(t->uplink) == QFV_UPLINK_IDLE)
		qfv_uplink_retry(t->uplink);
}

/* Events have serials of their own, far from the PSAM's, and never one twice: two may fall into one second. */
static void event_keep(struct terminal *t, int kind)
{
	check("event", qfv_gate_event(t->gate, kind, t->event_serial++, centre_time(t), t->event));
	record_keep(t, t->event);
}

static void tap(struct terminal *t)
{
	unsigned count = 0, i;
	int answer = qfv_gate_tap(t->gate, reader_card_transmit, NULL, centre_time(t), &count);

	check("gate", answer);
	for (i = 0; i < count; i++)
		record_keep(t, qfv_gate_record(t->gate, i));
	t->taps++;
	if (answer != QFV_GO)
		fprintf(stderr, "terminal: %s\n", qfv_answer_name(answer));
}

/* ---- start and loop ---------------------------------------------------------------------------------------------------------------- */

static void list_init(struct list *l, const char *what, const char *file, size_t bytes)
{
	void *p = memory(qfv_download_size());

	l->file = file;
	l->buffer = (uint8_t *)memory(bytes + 8) + 8;
	check(what, qfv_download_init(p, qfv_download_size(), what, l->buffer, bytes, &l->download));
}

static void terminal_init(struct terminal *t)
{
	struct qfv_uplink_events on = { sizeof(on), on_next, on_welcome, on_receipt, on_refused, on_part, on_busy, t };
	int64_t minutes = (clock_of(CLOCK_REALTIME) - 1577836800000LL) / 60000;
	const uint8_t *number;
	char path[512];
	size_t n;
	int i;

	t->fd = -1;
	t->pause = FIRST_PAUSE_MS;
	t->taps_max = QFV_BATCH_TAPS_MAX;
	t->event_serial = 0x80000000u + (uint32_t)((clock_of(CLOCK_REALTIME) - 1577836800000LL) / 1000);
	t->list_size = qfv_blacklist_size(LIST_LINES);
	for (i = 0; i < 2; i++) {
		t->tariff_memory[i] = memory(qfv_tariff_size());
		t->tariff_blob[i] = memory(TARIFF_BYTES);
		t->list_memory[i] = memory(t->list_size);
	}
	list_init(&t->tariff_list, "tariff", "tariff.blob", TARIFF_BYTES);
	list_init(&t->black_list, "blacklist", "blacklist", LIST_BYTES);
	check("record", qfv_tap_init(memory(qfv_tap_size()), qfv_tap_size(), &t->event));
	check("PSAM", qfv_gate_init(memory(qfv_gate_size()), qfv_gate_size(), reader_psam_transmit, NULL, &t->gate));
	mkdir(t->directory, 0750);
	file_path(t, "spool", "", path);
	/* A spool that is new because the old one was lost must not use its numbers again: minutes since 2020, not 1. */
	check(path, qfv_spool_init(memory(qfv_spool_size()), qfv_spool_size(), path, minutes > 0 ? (uint32_t)minutes : 1, &t->spool));
	in_force(t);
	lists_load(t);
	/* The terminal's number, for the hello, is in every record of the gate. */
	check("event", qfv_gate_event(t->gate, QFV_KIND_SIGN_ON, 0, centre_time(t), t->event));
	check("terminal", qfv_tap_bytes(t->event, QFV_TAP_TERMINAL, &number, &n));
	check("uplink", qfv_uplink_init(memory(qfv_uplink_size()), qfv_uplink_size(), t->device, number, "example-terminal 1", &on, &t->uplink));
}

static int shift_over(const struct terminal *t, unsigned long taps) { return stopping || (taps > 0 && t->taps >= taps); }

static void turn(struct terminal *t)
{
	struct pollfd p = { t->fd, POLLIN, 0 };

	if (t->ssl == NULL && steady() >= t->connect_at)
		call(t);
	if (t->ssl != NULL && link_turn(t) != 0)
		hang_up(t);
	poll(&p, t->fd >= 0 ? 1 : 0, 20);
}

int main(int argc, char **argv)
{
	static struct terminal t;
	unsigned long taps;

	if (argc != 9) {
		fprintf(stderr, "usage: terminal HOST PORT SERVER-NAME DEVICE CERT-AND-KEY CA DIRECTORY TAPS\n");
		return 2;
	}
	t.host = argv[1];
	t.port = argv[2];
	t.server_name = argv[3];
	t.device = argv[4];
	t.directory = argv[7];
	taps = strtoul(argv[8], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	srand((unsigned)clock_of(CLOCK_REALTIME));
	terminal_init(&t);
	tls_init(&t, argv[5], argv[6]);
	event_keep(&t, QFV_KIND_SIGN_ON);
	event_keep(&t, QFV_KIND_LINE_ON);
	while (!shift_over(&t, taps)) {
		if (t.tariff != NULL && reader_card_here())
			tap(&t);
		turn(&t);
	}
	event_keep(&t, QFV_KIND_SIGN_OFF);
	while (!stopping && qfv_spool_waiting(t.spool) > 0)
		turn(&t);
	fprintf(stderr, "terminal: taps=%lu records=%lu waiting=%lu\n", t.taps, t.records, (unsigned long)qfv_spool_waiting(t.spool));
	qfv_spool_done(t.spool);
	SSL_free(t.ssl);
	SSL_CTX_free(t.tls);
	return 0;
}
