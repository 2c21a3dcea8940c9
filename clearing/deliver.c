/*
 * deliver - files out to partners and their answers back in, by libcurl over https. A file is sent with its own
 * name as idempotency key on a fresh connection, so that a lost answer costs a question and never a second
 * effect. An answer is checked whole before it becomes an event; a refused one changes nothing and is logged.
 */
#include "clearing/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#define ANSWER_BYTES_MAX (64u << 20)

struct body { char *p; size_t n; };
struct upload { const uint8_t *p; size_t n, at; };

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
	struct body *b = arg;
	char *wide;

	(void)one;
	if (b->n + n > ANSWER_BYTES_MAX || (wide = realloc(b->p, b->n + n + 1)) == NULL)
		return 0;
	b->p = wide;
	memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
	return n;
}

static size_t on_upload(char *p, size_t one, size_t n, void *arg)
{
	struct upload *u = arg;
	size_t k = u->n - u->at < n ? u->n - u->at : n;

	(void)one;
	memcpy(p, u->p + u->at, k);
	u->at += k;
	return k;
}

static CURL *request_new(const struct partner_conf *p, const char *path, struct body *answer)
{
	CURL *c = curl_easy_init();
	char url[512];

	if (c == NULL)
		return NULL;
	snprintf(url, sizeof(url), "%s%s", p->url, path);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(c, CURLOPT_CAINFO, p->ca);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 5L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 60L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 100L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 20L);
	curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)ANSWER_BYTES_MAX);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
	return c;
}

/* HTTP status, or -ECONNREFUSED. */
static int request_run(CURL *c)
{
	long status = 0;
	CURLcode code = curl_easy_perform(c);

	if (code == CURLE_OK)
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	return code == CURLE_OK ? (int)status : -ECONNREFUSED;
}

static int partner_get(const struct partner_conf *p, const char *path, struct body *ret)
{
	CURL *c = request_new(p, path, ret);
	int status = c != NULL ? request_run(c) : -ENOMEM;

	curl_easy_cleanup(c);
	return status == 200 ? 0 : status < 0 ? status : -EPROTO;
}

int partner_post(const struct partner_conf *p, const char *path, const void *bytes, size_t n, long ms, char **ret_answer, size_t *ret_bytes)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	struct body answer = { 0 };
	CURL *c = request_new(p, path, &answer);
	int status = -ENOMEM;

	if (c != NULL && headers != NULL) {
		curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, bytes);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
		curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, ms);
		status = request_run(c);
	}
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	if (status != 200 || answer.p == NULL) {
		free(answer.p);
		return status < 0 ? status : -EPROTO;
	}
	*ret_answer = answer.p;
	*ret_bytes = answer.n;
	return 0;
}

static int partner_put(const struct partner_conf *p, const char *name, const void *bytes, size_t n)
{
	struct upload u = { .p = bytes, .n = n };
	struct curl_slist *headers = NULL;
	struct body ignored = { 0 };
	char path[128], key[128];
	CURL *c;
	int status;

	snprintf(path, sizeof(path), "/in/%s", name);
	snprintf(key, sizeof(key), "Idempotency-Key: %s", name);
	c = request_new(p, path, &ignored);
	if (c == NULL)
		return -ENOMEM;
	headers = curl_slist_append(headers, key);
	headers = curl_slist_append(headers, "Expect:");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c, CURLOPT_READFUNCTION, on_upload);
	curl_easy_setopt(c, CURLOPT_READDATA, &u);
	curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)n);
	status = request_run(c);
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	free(ignored.p);
	return status == 200 || status == 201 ? 0 : status < 0 ? status : -EPROTO;
}

const struct partner_conf *partner_find(const struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->conf.partner_count; i++)
		if (strcmp(d->conf.partner[i].name, name) == 0)
			return &d->conf.partner[i];
	return NULL;
}

/* ---- out --------------------------------------------------------------------------------------------- */

static int sent_call(struct txn *t, void *arg)
{
	struct outbox_row *row = arg;

	row->state = OUTBOX_SENT;
	outbox_put(t, row);
	return t->error;
}

static int send_one(struct daemon *d, struct outbox_row *row)
{
	const struct partner_conf *p = partner_find(d, row->partner);
	const void *bytes;
	struct txn t;
	size_t n;
	int ret;

	if (p == NULL)
		return -ECONNREFUSED;
	ret = txn_begin(d->store, false, &t);
	if (ret != 0)
		return ret;
	ret = file_get(&t, row->day, row->name, &bytes, &n) ? partner_put(p, row->name, bytes, n) : CLEARING_E_STORE;
	txn_abort(&t);
	row->tries++;
	log_event(ret == 0 ? "file-sent" : "file-not-sent", "partner=%s name=%s tries=%u code=%d", row->partner, row->name, row->tries, ret);
	return ret == 0 ? writer_call(d, sent_call, row) : ret;
}

static int send_waiting(struct daemon *d)
{
	uint64_t after = 0;
	int ret = 0, worst = 0;

	for (;;) {
		struct outbox_row row;
		struct txn t;
		bool found;

		ret = txn_begin(d->store, false, &t);
		if (ret != 0)
			return ret;
		while ((found = outbox_next(&t, after, &row)) && row.state != OUTBOX_WAITING)
			after = row.id;
		txn_abort(&t);
		if (!found)
			return worst;
		after = row.id;
		ret = send_one(d, &row);
		worst = ret != 0 ? ret : worst;
	}
}

/* ---- back in -------------------------------------------------------------------------------------------- */

struct answer_file { const char *partner, *name; const void *p; size_t n; char error[512]; bool known; };

static size_t answer_key(const struct answer_file *a, char key[128]) { return (size_t)snprintf(key, 128, "in/%s/%s", a->partner, a->name); }

static int answer_call(struct txn *t, void *arg)
{
	struct answer_file *a = arg;
	char key[128], partner[16] = "", name[64] = "";
	const void *part[3] = { partner, name, a->p }, *val;
	const size_t bytes[3] = { sizeof(partner), sizeof(name), a->n };
	size_t key_bytes = answer_key(a, key), n;
	uint8_t seq[8];
	int ret;

	a->known = txn_get(t, DB_META, key, key_bytes, &val, &n);
	if (a->known)
		return 0;
	snprintf(partner, sizeof(partner), "%s", a->partner);
	snprintf(name, sizeof(name), "%s", a->name);
	ret = partner_file_check(t, a->partner, a->name, a->p, a->n, a->error, sizeof(a->error));
	be64_put(seq, 0);	/* refused files are remembered too: they are not fetched for ever */
	if (ret == 0) {
		be64_put(seq, inbox_append(t, EVENT_PARTNER, clock_ms(), part, bytes, 3));
		ret = t->error != 0 ? t->error : partner_file_apply(t, a->partner, a->name, a->p, a->n);
	} else if (ret == CLEARING_E_PARTNER_FILE) {
		ret = 0;
	}
	txn_put(t, DB_META, key, key_bytes, seq, sizeof(seq));
	return ret != 0 ? ret : t->error;
}

static bool answer_known(struct daemon *d, const struct answer_file *a)
{
	char key[128];
	size_t n, key_bytes = answer_key(a, key);
	const void *val;
	struct txn t;
	bool known;

	if (txn_begin(d->store, false, &t) != 0)
		return false;
	known = txn_get(&t, DB_META, key, key_bytes, &val, &n);
	txn_abort(&t);
	return known;
}

static bool name_is_safe(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < 64 && name[0] != '.' && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static int fetch_one(struct daemon *d, const struct partner_conf *p, const char *name)
{
	struct answer_file a = { .partner = p->name, .name = name };
	struct body body = { 0 };
	char path[128];
	int ret;

	if (!name_is_safe(name)) {
		log_event("answer-refused", "partner=%s reason=\"file name is not plain\"", p->name);
		return 0;
	}
	if (answer_known(d, &a))
		return 0;
	snprintf(path, sizeof(path), "/out/%s", name);
	ret = partner_get(p, path, &body);
	a.p = body.p != NULL ? body.p : "";
	a.n = body.n;
	if (ret == 0)
		ret = writer_call(d, answer_call, &a);
	if (ret == 0 && a.error[0] != '\0')
		log_event("answer-refused", "partner=%s name=%s reason=\"%s\"", p->name, name, a.error);
	else if (ret == 0 && !a.known)
		log_event("answer-taken", "partner=%s name=%s bytes=%zu", p->name, name, a.n);
	free(body.p);
	return ret;
}

static int fetch_all(struct daemon *d, const struct partner_conf *p)
{
	struct body list = { 0 };
	char *save = NULL;
	int ret = partner_get(p, "/out/", &list);

	for (char *name = ret == 0 && list.p != NULL ? strtok_r(list.p, "\r\n", &save) : NULL; ret == 0 && name != NULL; name = strtok_r(NULL, "\r\n", &save))
		ret = fetch_one(d, p, name);
	free(list.p);
	return ret;
}

static pthread_mutex_t round_lock = PTHREAD_MUTEX_INITIALIZER;

int deliver_round(struct daemon *d)
{
	int ret, worst;

	pthread_mutex_lock(&round_lock);
	worst = send_waiting(d);
	for (size_t i = 0; i < d->conf.partner_count; i++) {
		ret = fetch_all(d, &d->conf.partner[i]);
		worst = ret != 0 ? ret : worst;
	}
	pthread_mutex_unlock(&round_lock);
	return worst;
}

static void *deliver_main(void *arg)
{
	struct daemon *d = arg;
	bool out = false;

	while (!daemon_stopping(d)) {
		int ret = deliver_round(d);

		if ((ret != 0) != out)
			log_event(ret != 0 ? "partner-out" : "partner-back", "code=%d", ret);
		out = ret != 0;
		for (int64_t waited = 0; waited < d->conf.poll_ms && !daemon_stopping(d); waited += 50)
			usleep(50000);
	}
	return NULL;
}

int deliver_start(struct daemon *d)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	return -pthread_create(&d->deliver, NULL, deliver_main, d);
}
