/*
 * probe - one validator that speaks badly on purpose, one fault a run, and prints what it was answered. The e2e
 * test asks it for every kind of bad input and looks that the daemon is alive after each.
 */
#include "tools/tools.h"

#include "tools/sim/sim.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define ANSWER_S 3

static const char usage[] =
	"usage: qingfen sim probe --connect HOST:PORT --ca FILE [--cert FILE --key FILE] --device NAME --terminal HEX12\n"
	"         [--pan DIGITS [--serial N] [--later MINUTES]\n"
	"          [--ring FILE --passphrase-file FILE --key-version N [--alg sm4] [--counter N]]] CASE\n"
	"  with a ring the record is a purchase whose TAC is of that key; without, one taken by hand\n"
	"  CASE: good bad-record wrong-count wrong-digest wrong-total wrong-serials other-device truncated bomb oversize no-hello\n"
	"        unknown-frame later-field\n";

struct probe { const char *host_port, *ca, *cert, *key, *device, *what, *ring, *passphrase_file; uint8_t terminal[6], pan[10], key_version, alg_id; uint16_t counter; bool carded; uint32_t serial; int64_t later_ms; SSL *ssl; uint8_t in[FRAME_BYTES_MAX + 16]; size_t got; };

static int socket_open(const char *host_port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *a = NULL;
	struct timeval wait = { .tv_sec = ANSWER_S };
	const char *colon = strrchr(host_port, ':');
	char host[64];
	int fd = -1;

	if (colon == NULL)
		return -1;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - host_port), host_port);
	if (getaddrinfo(host, colon + 1, &hints, &a) != 0)
		return -1;
	fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(a);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static int tls_open(struct probe *p)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int fd = socket_open(p->host_port), ok;

	if (ctx == NULL || fd < 0)
		return -ECONNREFUSED;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	ok = SSL_CTX_load_verify_locations(ctx, p->ca, NULL);
	if (p->cert != NULL)
		ok = ok == 1 && SSL_CTX_use_certificate_chain_file(ctx, p->cert) == 1 && SSL_CTX_use_PrivateKey_file(ctx, p->key, SSL_FILETYPE_PEM) == 1;
	p->ssl = ok == 1 ? SSL_new(ctx) : NULL;
	SSL_CTX_free(ctx);
	if (p->ssl == NULL || SSL_set_fd(p->ssl, fd) != 1 || SSL_connect(p->ssl) != 1)
		return -EPROTO;
	return 0;
}

/* The next frame, or 0 when the connection ended or nothing came in time. */
static int frame_read(struct probe *p, struct frame *ret)
{
	size_t used;

	for (;;) {
		int n, got = frame_next(p->in, p->got, ret, &used);

		if (got != 0)
			return got;
		n = SSL_read(p->ssl, p->in + p->got, (int)(sizeof(p->in) - p->got));
		if (n <= 0)
			return 0;
		p->got += (size_t)n;
	}
}

static void tap_fill(const struct probe *p, uint32_t serial, struct tap *ret)
{
	struct tap t = { .version = TAP_VERSION, .kind = TAP_MANUAL, .medium = MEDIUM_MANUAL, .card_class = 1, .terminal_serial = serial, .time_ms = 1762131600000LL,
			 .txn_type = 6 };

	memcpy(t.terminal, p->terminal, 6);
	memcpy(t.psam, p->terminal, 6);
	strcpy(t.line, "18");
	if (p->carded) {
		t.medium = MEDIUM_SSC;
		memcpy(t.pan, p->pan, sizeof(t.pan));
		memcpy(t.issuer, "\x02\x18\x42\x80", 4);
		t.card_city = t.accept_city = 0x4280;
		t.time_ms += p->later_ms;
	}
	*ret = t;
}

/* A purchase with the code its card would make: the ring's TAC key of this version. */
static int purse_fill(const struct probe *p, struct tap *t)
{
	struct mac_engine *engine = NULL;
	struct keyring *ring = NULL;
	struct purchase purchase;
	char passphrase[256] = "";
	uint8_t dtk[KEY_BYTES];
	FILE *f = fopen(p->passphrase_file, "re");
	int ret = f == NULL || fgets(passphrase, sizeof(passphrase), f) == NULL ? -ENOENT : 0;

	if (f != NULL)
		fclose(f);
	passphrase[strcspn(passphrase, "\n")] = '\0';
	t->kind = TAP_PURCHASE;
	t->medium = MEDIUM_PURSE;
	t->key_version = p->key_version;
	t->alg_id = p->alg_id;
	t->card_counter = p->counter;
	t->amount_fen = t->list_fen = 200;
	t->balance_before = 5000;
	t->balance_after = 4800;
	tap_purchase(t, &purchase);
	if (ret == 0)
		ret = keyring_open(p->ring, passphrase, &ring);
	if (ret == 0)
		ret = mac_engine_new(&engine);
	if (ret == 0)
		ret = keyring_card_key(ring, engine, KEY_TAC, t->issuer, p->key_version, p->alg_id, t->time_ms, t->pan, dtk);
	if (ret == 0)
		ret = mac_purchase_tac(engine, p->alg_id == 1 ? KEY_ALG_SM4 : KEY_ALG_3DES, dtk, &purchase, t->tac);
	mac_engine_free(engine);
	keyring_free(ring);
	key_wipe(dtk, sizeof(dtk));
	key_wipe(passphrase, sizeof(passphrase));
	if (ret != 0)
		complain("sim probe: %s: %s", p->ring, clearing_strerror(ret));
	return ret;
}

/* A batch of three taps; the case decides what is wrong with it. */
static int batch_make(const struct probe *p, uint8_t *out, size_t space)
{
	static uint8_t record[3][TAP_ENCODED_BYTES_MAX];
	static struct batch b;
	struct tap t;
	int n;

	b = (struct batch){ .file_serial = 900000000u + (uint32_t)(strlen(p->what) * 1000 + (uint8_t)p->what[0]) + p->serial * 100000, .count = p->carded ? 1 : 3 };
	snprintf(b.device, sizeof(b.device), "%.15s", strcmp(p->what, "other-device") == 0 ? "somebody-else" : p->device);
	for (uint32_t i = 0; i < b.count; i++) {
		tap_fill(p, 0xF0000000u + b.file_serial * 4 + i, &t);
		n = p->ring != NULL ? purse_fill(p, &t) : 0;
		if (n == 0)
			n = tap_encode(&t, record[i], sizeof(record[i]));
		if (n < 0)
			return n;
		b.tap[i].p = record[i];
		b.tap[i].n = (uint32_t)n;
	}
	if (strcmp(p->what, "bad-record") == 0)
		memset(record[1], 0xC1, b.tap[1].n);
	if (strcmp(p->what, "later-field") == 0) {
		record[1][2]++;			/* array16: one field more than we know */
		record[1][b.tap[1].n++] = 0x07;
	}
	n = batch_seal(&b);
	if (n != 0)
		return n;
	if (strcmp(p->what, "wrong-digest") == 0)
		b.digest[5] ^= 1;
	if (strcmp(p->what, "wrong-total") == 0)
		b.amount_total_fen += 1;
	if (strcmp(p->what, "wrong-serials") == 0)
		b.last_serial += 1;
	n = batch_encode(&b, out, space);
	if (n > 0 && strcmp(p->what, "wrong-count") == 0)
		for (int i = 0; i + 1 < n; i++)		/* the count stands right before the amount total 0 and the digest */
			if (out[i] == 3 && out[i + 1] == 0 && out[i + 2] == 0xC4) {
				out[i] = 4;
				break;
			}
	return n;
}

static void send_frame(struct probe *p, uint8_t type, const uint8_t *body, size_t n, size_t cut)
{
	uint8_t head[FRAME_HEAD_BYTES];

	frame_head(type, (uint32_t)n, head);
	SSL_write(p->ssl, head, sizeof(head));
	if (n > cut)
		SSL_write(p->ssl, body, (int)(n - cut));
}

static void send_case(struct probe *p)
{
	static uint8_t body[BATCH_BYTES_MAX];
	static const uint8_t bomb[] = { 0xdd, 0x0f, 0xff, 0xff, 0xff };
	int n;

	if (strcmp(p->what, "bomb") == 0) {
		send_frame(p, FRAME_BATCH, bomb, sizeof(bomb), 0);
		return;
	}
	if (strcmp(p->what, "oversize") == 0) {
		SSL_write(p->ssl, "\x7f\xff\xff\xff\x03", 5);
		return;
	}
	if (strcmp(p->what, "unknown-frame") == 0) {
		SSL_write(p->ssl, "\x00\x00\x00\x02\x63\x90", 6);
		return;
	}
	n = batch_make(p, body, sizeof(body));
	if (n < 0)
		return;
	if (strcmp(p->what, "truncated") == 0) {
		send_frame(p, FRAME_BATCH, body, (size_t)n, 40);
		SSL_shutdown(p->ssl);
		return;
	}
	send_frame(p, FRAME_BATCH, body, (size_t)n, 0);
}

static bool greet(struct probe *p)
{
	struct hello m = { .protocol = 1, .software = "probe" };
	uint8_t out[512];
	struct frame f;
	int n;

	snprintf(m.device, sizeof(m.device), "%.15s", p->device);
	memcpy(m.terminal, p->terminal, 6);
	n = hello_encode(&m, out, sizeof(out));
	if (n < 0 || SSL_write(p->ssl, out, n) != n || frame_read(p, &f) != 1 || f.type != FRAME_WELCOME)
		return false;
	p->got = 0;
	return true;
}

static int answer_print(struct probe *p)
{
	struct receipt r;
	struct refuse m;
	struct frame f;
	struct jsonw j;

	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "case", p->what);
	if (frame_read(p, &f) != 1) {
		jsonw_kstr(&j, "answer", "closed");
	} else if (f.type == FRAME_REFUSE && refuse_decode(&f, &m) == 0) {
		jsonw_kstr(&j, "answer", "refuse");
		jsonw_kint(&j, "code", m.code);
		jsonw_kstr(&j, "text", m.text);
	} else if (f.type == FRAME_RECEIPT && receipt_decode(&f, &r) == 0) {
		jsonw_kstr(&j, "answer", "receipt");
		jsonw_kbool(&j, "repeated", r.repeated);
		jsonw_key(&j, "verdicts");
		jsonw_array(&j);
		for (uint32_t i = 0; i < r.count; i++)
			jsonw_str(&j, verdict_info((enum verdict)(r.verdict[i] % VERDICT_COUNT))->name);
		jsonw_array_end(&j);
	} else {
		jsonw_kstr(&j, "answer", "other");
		jsonw_kint(&j, "type", f.type);
	}
	jsonw_object_end(&j);
	putchar('\n');
	return EXIT_OK;
}

int sim_probe(int argc, char **argv)
{
	static const struct option longs[] = { { "connect", required_argument, NULL, 'c' }, { "ca", required_argument, NULL, 'a' }, { "cert", required_argument, NULL, 'e' },
		{ "key", required_argument, NULL, 'k' }, { "device", required_argument, NULL, 'd' }, { "terminal", required_argument, NULL, 't' },
		{ "pan", required_argument, NULL, 'p' }, { "serial", required_argument, NULL, 's' }, { "later", required_argument, NULL, 'l' },
		{ "ring", required_argument, NULL, 'r' }, { "passphrase-file", required_argument, NULL, 'P' }, { "key-version", required_argument, NULL, 'v' },
		{ "alg", required_argument, NULL, 'A' }, { "counter", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	static struct probe p;
	int c, ret;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'c': p.host_port = optarg; break;
		case 'a': p.ca = optarg; break;
		case 'e': p.cert = optarg; break;
		case 'k': p.key = optarg; break;
		case 'd': p.device = optarg; break;
		case 't':
			if (!hex_decode(optarg, p.terminal, 6))
				return EXIT_USAGE;
			break;
		case 'p':
			p.carded = pan_parse(optarg, p.pan);
			break;
		case 's': p.serial = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'r': p.ring = optarg; break;
		case 'P': p.passphrase_file = optarg; break;
		case 'v': p.key_version = (uint8_t)strtoul(optarg, NULL, 10); break;
		case 'A': p.alg_id = strcmp(optarg, "sm4") == 0; break;
		case 'n': p.counter = (uint16_t)strtoul(optarg, NULL, 10); break;
		case 'l': p.later_ms = strtoll(optarg, NULL, 10) * 60000; break;
		default: fputs(usage, c == 'h' ? stdout : stderr); return c == 'h' ? EXIT_OK : EXIT_USAGE;
		}
	}
	if (optind + 1 != argc || p.host_port == NULL || p.ca == NULL || p.device == NULL || (p.ring != NULL && (p.passphrase_file == NULL || !p.carded))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	p.what = argv[optind];
	ret = tls_open(&p);
	if (ret == -ECONNREFUSED)
		return EXIT_UNREACHABLE;
	if (ret != 0 || (strcmp(p.what, "no-hello") != 0 && !greet(&p))) {
		printf("{\"case\":\"%s\",\"answer\":\"closed\"}\n", p.what);
		return EXIT_OK;
	}
	send_case(&p);
	return answer_print(&p);
}
