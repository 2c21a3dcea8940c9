/*
 * https - see https.h. Files lie in DIR/in and DIR/out; a file that comes again is not taken twice. Faults:
 * down (503 to everything), slow (2 s), reset-after-accept (takes the file, then drops the connection once), lost-answer (the
 * same with a question). Others are a partner's own.
 */
#include "tools/tools.h"

#include "tools/sim/https.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <openssl/ssl.h>

struct server { struct partner *partner; SSL_CTX *tls; char dir[3072]; };

static bool name_is_plain(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < 64 && name[0] != '.' && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static int file_write(const char *dir, const char *sub, const char *name, const void *p, size_t n)
{
	char path[4096], temp[4096];
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s/%s", dir, sub, name) >= (int)sizeof(path) || snprintf(temp, sizeof(temp), "%s/%s.new", dir, sub) >= (int)sizeof(temp))
		return -ENAMETOOLONG;
	f = fopen(temp, "we");
	if (f == NULL)
		return -errno;
	fwrite(p, 1, n, f);
	if (fclose(f) != 0 || rename(temp, path) != 0)
		return -EIO;
	return 0;
}

int partner_answer(struct partner *p, const char *name, const void *bytes, size_t n) { return file_write(p->dir, "out", name, bytes, n); }

static void reply(struct evhttp_request *req, int code, const char *text)
{
	struct evbuffer *b = evbuffer_new();

	if (text != NULL)
		evbuffer_add(b, text, strlen(text));
	evhttp_send_reply(req, code, "", b);
	evbuffer_free(b);
}

static void on_put(struct server *s, struct evhttp_request *req, const char *name)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	size_t n = evbuffer_get_length(in);
	const char *text = (const char *)evbuffer_pullup(in, -1);
	char path[4096];

	snprintf(path, sizeof(path), "%s/in/%s", s->dir, name);
	if (access(path, F_OK) == 0) {
		reply(req, 200, "had it\n");
		return;
	}
	if (text == NULL || !s->partner->take(s->partner, name, text, n)) {
		reply(req, 400, "refused\n");
		return;
	}
	if (file_write(s->dir, "in", name, text, n) != 0) {
		reply(req, 500, NULL);
		return;
	}
	if (s->partner->fault != NULL && strcmp(s->partner->fault, "reset-after-accept") == 0) {
		s->partner->fault = NULL;
		evhttp_connection_free(evhttp_request_get_connection(req));
		return;
	}
	reply(req, 201, NULL);
}

static int name_compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void on_list(struct server *s, struct evhttp_request *req)
{
	struct evbuffer *b = evbuffer_new();
	char path[4096], *name[1024];
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/out", s->dir);
	d = opendir(path);
	while (d != NULL && n < 1024 && (e = readdir(d)) != NULL)
		if (name_is_plain(e->d_name))
			name[n++] = strdup(e->d_name);
	if (d != NULL)
		closedir(d);
	if (n > 1)
		qsort(name, n, sizeof(char *), name_compare);
	for (size_t i = 0; i < n; i++) {
		evbuffer_add_printf(b, "%s\n", name[i]);
		free(name[i]);
	}
	evhttp_send_reply(req, 200, "", b);
	evbuffer_free(b);
}

static void on_get(struct server *s, struct evhttp_request *req, const char *name)
{
	struct evbuffer *b = evbuffer_new();
	char path[4096], buffer[65536];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/out/%s", s->dir, name);
	f = fopen(path, "re");
	while (f != NULL && (n = fread(buffer, 1, sizeof(buffer), f)) > 0)
		evbuffer_add(b, buffer, n);
	evhttp_send_reply(req, f != NULL ? 200 : 404, "", b);
	if (f != NULL)
		fclose(f);
	evbuffer_free(b);
}

static void on_ask(struct server *s, struct evhttp_request *req)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	size_t n = evbuffer_get_length(in);
	const char *text = (const char *)evbuffer_pullup(in, -1);
	char *answer = text != NULL ? s->partner->ask(s->partner, text, n) : NULL;

	if (answer != NULL && s->partner->fault != NULL && strcmp(s->partner->fault, "lost-answer") == 0) {
		s->partner->fault = NULL;
		evhttp_connection_free(evhttp_request_get_connection(req));
	} else {
		reply(req, answer != NULL ? 200 : 400, answer);
	}
	free(answer);
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct server *s = arg;
	const char *uri = evhttp_request_get_uri(req), *fault = s->partner->fault;

	if (fault != NULL && strcmp(fault, "down") == 0) {
		reply(req, 503, NULL);
		return;
	}
	if (fault != NULL && strcmp(fault, "slow") == 0)
		sleep(2);
	if (evhttp_request_get_command(req) == EVHTTP_REQ_PUT && strncmp(uri, "/in/", 4) == 0 && name_is_plain(uri + 4))
		on_put(s, req, uri + 4);
	else if (evhttp_request_get_command(req) == EVHTTP_REQ_GET && strcmp(uri, "/out/") == 0)
		on_list(s, req);
	else if (evhttp_request_get_command(req) == EVHTTP_REQ_GET && strncmp(uri, "/out/", 5) == 0 && name_is_plain(uri + 5))
		on_get(s, req, uri + 5);
	else if (evhttp_request_get_command(req) == EVHTTP_REQ_POST && strcmp(uri, "/ask") == 0 && s->partner->ask != NULL)
		on_ask(s, req);
	else
		reply(req, 404, NULL);
}

static struct bufferevent *on_connect(struct event_base *base, void *arg)
{
	struct server *s = arg;

	return bufferevent_openssl_socket_new(base, -1, SSL_new(s->tls), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
}

static void on_term(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static int serve(struct server *s, const char *listen)
{
	struct event_base *base = event_base_new();
	struct evhttp *http = base != NULL ? evhttp_new(base) : NULL;
	const char *colon = strrchr(listen, ':');
	struct event *term;
	char host[64];

	if (http == NULL || colon == NULL)
		return EXIT_USAGE;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_PUT | EVHTTP_REQ_POST);
	evhttp_set_max_headers_size(http, 8192);
	evhttp_set_max_body_size(http, 256 << 20);
	evhttp_set_timeout(http, 30);
	evhttp_set_bevcb(http, on_connect, s);
	evhttp_set_gencb(http, on_request, s);
	if (evhttp_bind_socket(http, host, (uint16_t)atoi(colon + 1)) != 0) {
		complain("sim %s: %s: cannot listen", s->partner->name, listen);
		return EXIT_UNREACHABLE;
	}
	term = evsignal_new(base, SIGTERM, on_term, base);
	event_add(term, NULL);
	fprintf(stderr, "sim %s: ready on %s\n", s->partner->name, listen);
	event_base_dispatch(base);
	event_free(term);
	evhttp_free(http);
	event_base_free(base);
	return EXIT_OK;
}

int partner_serve(struct partner *p, int argc, char **argv)
{
	static const struct option longs[] = { { "city", required_argument, NULL, 'c' }, { "cert", required_argument, NULL, 'e' }, { "key", required_argument, NULL, 'k' },
		{ "listen", required_argument, NULL, 'l' }, { "dir", required_argument, NULL, 'd' }, { "fault", required_argument, NULL, 'f' },
		{ "refuse-percent", required_argument, NULL, 'r' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	char cert[3072] = "", key[3072] = "", path[4096];
	const char *listen = NULL;
	struct server s = { .partner = p };
	int c, ret;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			snprintf(cert, sizeof(cert), "%.2000s/%s.crt", optarg, p->name);
			snprintf(key, sizeof(key), "%.2000s/%s.key", optarg, p->name);
			snprintf(s.dir, sizeof(s.dir), "%.2000s/%s", optarg, p->name);
			break;
		case 'e': snprintf(cert, sizeof(cert), "%s", optarg); break;
		case 'k': snprintf(key, sizeof(key), "%s", optarg); break;
		case 'l': listen = optarg; break;
		case 'd': snprintf(s.dir, sizeof(s.dir), "%s", optarg); break;
		case 'f': p->fault = optarg; break;
		case 'r': p->refuse_percent = (unsigned)atoi(optarg); break;
		default:
			fprintf(c == 'h' ? stdout : stderr, "usage: qingfen sim %s --listen HOST:PORT (--city DIR | --cert FILE --key FILE --dir DIR)\n"
				"       [--fault down|slow|reset-after-accept%s] [--refuse-percent N]\n", p->name, p->ask != NULL ? "|lost-answer|duplicate|wrong-amount|short" : "");
			return c == 'h' ? EXIT_OK : EXIT_USAGE;
		}
	}
	if (listen == NULL || s.dir[0] == '\0') {
		complain("sim %s: --listen and --city, or --cert, --key and --dir, are needed", p->name);
		return EXIT_USAGE;
	}
	p->dir = s.dir;
	mkdir(s.dir, 0755);
	snprintf(path, sizeof(path), "%s/in", s.dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/out", s.dir);
	mkdir(path, 0755);
	signal(SIGPIPE, SIG_IGN);
	s.tls = SSL_CTX_new(TLS_server_method());
	if (s.tls == NULL || SSL_CTX_use_certificate_chain_file(s.tls, cert) != 1 || SSL_CTX_use_PrivateKey_file(s.tls, key, SSL_FILETYPE_PEM) != 1) {
		complain("sim %s: %s, %s: certificate or key cannot be used", p->name, cert, key);
		SSL_CTX_free(s.tls);
		return EXIT_CONFIG;
	}
	ret = serve(&s, listen);
	SSL_CTX_free(s.tls);
	return ret;
}
