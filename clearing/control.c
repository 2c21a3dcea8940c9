/*
 * control - the Unix socket through which people's tools change anything: load reference data, cut and settle
 * days. One thread a connection, a handful at most; every change goes through the writer as an inbox event.
 * Requests and answers: docs/control.md.
 */
#include "clearing/control.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clearing/code_route.h"
#include "clearing/kerb.h"

#define REQUEST_BYTES_MAX 8192
#define BULK_BYTES_MAX (256u << 20)
#define SETTLE_ROUNDS_MAX 50
#define SETTLE_PAUSE_MS 200
#define SETTLE_FAILS_MAX 10		/* rounds in a row with a partner out: the rest waits in the outbox */

struct session { struct daemon *daemon; int fd; };

const char *request_text(const struct request *q, const char *key)
{
	const char *text = json_string_value(json_object_get(q->root, key));

	return text != NULL ? text : "";
}

int64_t request_number(const struct request *q, const char *key) { return json_integer_value(json_object_get(q->root, key)); }

void answer_error(FILE *out, int code, const char *text)
{
	struct jsonw j;

	jsonw_init(&j, out, false);
	jsonw_object(&j);
	jsonw_kbool(&j, "ok", false);
	jsonw_kint(&j, "code", code);
	jsonw_kstr(&j, "error", text[0] != '\0' ? text : clearing_strerror(code));
	jsonw_object_end(&j);
}

void answer_begin(struct jsonw *j, FILE *out)
{
	jsonw_init(j, out, false);
	jsonw_object(j);
	jsonw_kbool(j, "ok", true);
}

/* ---- load ------------------------------------------------------------------------------------------ */

int load_call(struct txn *t, void *arg)
{
	struct load *l = arg;
	const void *part[2] = { l->head, l->body };
	const size_t bytes[2] = { l->head_bytes, l->bytes };
	size_t n = l->head_bytes + l->bytes;
	struct event e = { .type = l->type, .received_ms = clock_ms(), .bytes = n };
	uint8_t *whole = malloc(n + 1);
	int ret;

	if (whole == NULL)
		return -ENOMEM;
	memcpy(whole, l->head, l->head_bytes);
	memcpy(whole + l->head_bytes, l->body, l->bytes);
	e.body = whole;
	ret = refdata_check(l->daemon->ref, l->type, whole, n, l->error, sizeof(l->error));
	if (ret == 0) {
		e.seq = l->seq = inbox_append(t, l->type, e.received_ms, part, bytes, 2);
		ret = t->error != 0 ? t->error : refdata_apply(l->daemon->ref, &e, t, l->error, sizeof(l->error));
	}
	free(whole);
	return ret;
}

static void do_load(struct daemon *d, const struct request *q, FILE *out)
{
	static const struct { const char *what; uint8_t type; size_t head; } kinds[] = { { "terminals", EVENT_TERMINALS, 0 }, { "issuers", EVENT_ISSUERS, 0 },
		{ "blacklist", EVENT_BLACKLIST, 4 }, { "riders", EVENT_RIDERS, 0 }, { "persons", EVENT_PERSONS, 0 },
		{ "bureaus", EVENT_BUREAUS, 0 }, { "media", EVENT_MEDIA, 0 }, { "cards", EVENT_CARDS, 0 },
		{ "contract", EVENT_RISK, CONTRACT_HEAD_BYTES }, { "tariff", EVENT_TARIFF, 8 } };
	struct load l = { .daemon = d, .body = q->bulk, .bytes = q->bulk_bytes };
	uint8_t head[8];
	struct jsonw j;
	int ret;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].what, request_text(q, "what")) == 0) {
			l.type = kinds[i].type;
			l.head_bytes = kinds[i].head;
		}
	if (l.type == 0) {
		answer_error(out, CLEARING_E_REFERENCE, "terminals, issuers, blacklist, riders, bureaus, media, cards, contract, persons and tariff can be loaded");
		return;
	}
	if (l.type == EVENT_TARIFF && control_signs(d)) {
		answer_error(out, CLEARING_E_REFERENCE, "tariff: this house has persons who publish; qingfen tariff publish");
		return;
	}
	if (l.type == EVENT_BLACKLIST)
		be32_put(head, (uint32_t)request_number(q, "version"));
	else
		be64_put(head, (uint64_t)request_number(q, "version"));
	if (l.type == EVENT_RISK)
		contract_head(head);
	l.head = head;
	ret = writer_call(d, load_call, &l);
	if (ret != 0) {
		answer_error(out, ret, l.error);
		return;
	}
	log_event("loaded", "what=%s bytes=%zu seq=%llu", request_text(q, "what"), l.bytes, (unsigned long long)l.seq);
	answer_begin(&j, out);
	jsonw_kint(&j, "seq", (int64_t)l.seq);
	jsonw_object_end(&j);
}

/* ---- days ------------------------------------------------------------------------------------------- */

struct cut { struct daemon *daemon; int32_t day; };

static int cut_call(struct txn *t, void *arg)
{
	struct cut *c = arg;
	int ret = day_cut(t, c->day, clock_ms());

	if (ret == 0) {
		c->daemon->open_day = c->day + 1;
		live_reset_day(c->daemon->live);
	}
	return ret;
}

static bool day_of(const struct request *q, FILE *out, int32_t *ret_day)
{
	if (day_parse(request_text(q, "day"), ret_day))
		return true;
	answer_error(out, CLEARING_E_NO_DAY, "day: YYYY-MM-DD is needed");
	return false;
}

static int day_row_read(struct daemon *d, int32_t day, struct day_row *ret)
{
	struct txn t;
	int code = txn_begin(d->store, false, &t);

	if (code != 0)
		return code;
	code = day_get(&t, day, ret) ? 0 : CLEARING_E_NO_DAY;
	txn_abort(&t);
	return code;
}

static void answer_stats(struct jsonw *j, const struct clear_stats *s)
{
	jsonw_kint(j, "taps", (int64_t)s->taps);
	jsonw_kint(j, "charged_fen", s->charged_fen);
	jsonw_kint(j, "published_fen", s->published_fen);
	jsonw_kint(j, "subsidy_fen", s->subsidy_fen);
	jsonw_kint(j, "absorbed_fen", s->absorbed_fen);
	jsonw_kint(j, "adjustments", (int64_t)s->adjustments);
	jsonw_kint(j, "ms", (int64_t)(s->ns / 1000000));
	jsonw_key(j, "verdicts");
	jsonw_object(j);
	for (int v = 0; v < VERDICT_COUNT; v++)
		if (s->verdict[v] != 0)
			jsonw_kint(j, verdict_info((enum verdict)v)->name, (int64_t)s->verdict[v]);
	jsonw_object_end(j);
}

static void do_day_close(struct daemon *d, const struct request *q, FILE *out)
{
	struct cut cut = { .daemon = d };
	struct clear_stats stats = { 0 };
	struct day_row row;
	struct jsonw j;
	int ret;

	if (!day_of(q, out, &cut.day))
		return;
	ret = day_row_read(d, cut.day, &row);
	if (ret == 0 && row.state == DAY_OPEN)
		ret = writer_call(d, cut_call, &cut);
	if (ret == 0)
		ret = day_clear(d->store, cut.day, &stats);
	if (ret != 0) {
		answer_error(out, ret, "");
		return;
	}
	log_event("day-cleared", "day=%s taps=%llu ms=%llu", request_text(q, "day"), (unsigned long long)stats.taps, (unsigned long long)(stats.ns / 1000000));
	answer_begin(&j, out);
	answer_stats(&j, &stats);
	jsonw_object_end(&j);
}

struct advance { int32_t day; enum day_state state; };

static int advance_call(struct txn *t, void *arg)
{
	struct advance *a = arg;

	return day_advance(t, a->day, &a->state);
}

/* A code record that looked set aside on arrival, and that the clear by time let stand, is asked about from now on. */
struct built { struct daemon *daemon; uint64_t cut_seq; };

static int built_call(struct txn *t, void *arg)
{
	struct built *b = arg;

	return code_asks_built(live_asks(b->daemon->live), t, b->cut_seq);
}

static void do_day_settle(struct daemon *d, const struct request *q, FILE *out)
{
	struct advance a = { 0 };
	struct day_row row;
	struct jsonw j;
	int ret;

	if (!day_of(q, out, &a.day))
		return;
	ret = day_row_read(d, a.day, &row);
	if (ret == 0 && row.state < DAY_CLEARED)
		ret = CLEARING_E_STATE;
	if (ret == 0 && row.state == DAY_CLEARED) {
		ret = day_build(d->store, a.day);
		if (ret == 0)
			ret = writer_call(d, built_call, &(struct built){ d, row.cut_seq });
	}
	for (int i = 0, fails = 0; ret == 0 && i < SETTLE_ROUNDS_MAX && !daemon_stopping(d); i++) {
		int round;

		ret = writer_call(d, advance_call, &a);
		if (ret != 0 || a.state == DAY_RECONCILED)
			break;
		round = deliver_round(d);
		fails = round != 0 ? fails + 1 : 0;
		if (fails == SETTLE_FAILS_MAX)
			ret = round;
		usleep(SETTLE_PAUSE_MS * 1000);
	}
	if (ret != 0) {
		answer_error(out, ret, "");
		return;
	}
	answer_begin(&j, out);
	jsonw_kstr(&j, "state", day_state_name(a.state));
	jsonw_object_end(&j);
}

/* ---- status -------------------------------------------------------------------------------------------- */

static void do_status(struct daemon *d, FILE *out)
{
	const struct live_totals *l;
	int64_t cap_fen, terminals, list_version;
	struct told told;
	char day[11];
	struct jsonw j;

	writer_told(d, &told);
	l = &told.totals;
	day_format(told.open_day, day);
	pthread_rwlock_rdlock(&d->ref_lock);
	cap_fen = refdata_cap_fen(d->ref);
	terminals = (int64_t)refdata_terminal_count(d->ref);
	list_version = (int64_t)refdata_list_version(d->ref);
	pthread_rwlock_unlock(&d->ref_lock);
	answer_begin(&j, out);
	jsonw_kstr(&j, "schema", "qingfen.status");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "open_day", day);
	jsonw_kint(&j, "connections", (int64_t)fronts_connections(d));
	jsonw_kint(&j, "batches", (int64_t)l->batches);
	jsonw_kint(&j, "repeated_batches", (int64_t)l->repeated);
	jsonw_kint(&j, "refused_batches", (int64_t)told.stat.refused_batches);
	jsonw_kint(&j, "taps", (int64_t)l->taps);
	jsonw_kint(&j, "amount_fen", l->amount_fen);
	jsonw_kint(&j, "provisional_published_fen", l->published_fen);
	jsonw_kint(&j, "provisional_rated_fen", l->rated_fen);
	jsonw_kint(&j, "provisional_subsidy_fen", l->subsidy_fen);
	jsonw_kint(&j, "unproven_cap_fen", cap_fen);
	jsonw_kint(&j, "unproven_fen", l->unproven_fen);
	jsonw_kint(&j, "devices_beyond_cap", (int64_t)l->devices_beyond);
	jsonw_key(&j, "verdicts");
	jsonw_object(&j);
	for (int v = 0; v < VERDICT_COUNT; v++)
		if (l->verdict[v] != 0)
			jsonw_kint(&j, verdict_info((enum verdict)v)->name, (int64_t)l->verdict[v]);
	jsonw_object_end(&j);
	jsonw_kint(&j, "commits", (int64_t)told.stat.commits);
	jsonw_kint(&j, "commit_us_mean", told.stat.commits != 0 ? (int64_t)(told.stat.commit_ns / told.stat.commits / 1000) : 0);
	jsonw_kint(&j, "commit_us_max", (int64_t)(told.stat.commit_ns_max / 1000));
	jsonw_kint(&j, "queue_items", (int64_t)queue_count(&d->queue));
	jsonw_kint(&j, "replayed_events", (int64_t)told.stat.replay_events);
	jsonw_kint(&j, "replay_ms", (int64_t)(told.stat.replay_ns / 1000000));
	jsonw_kint(&j, "replayed_taps", (int64_t)told.stat.replay_taps);
	kerb_status(d->kerb, &j);
	jsonw_kint(&j, "terminals", terminals);
	jsonw_kint(&j, "list_version", list_version);
	jsonw_kint(&j, "store_bytes", (int64_t)store_used_bytes(d->store));
	control_pack_status(d, &j);
	control_keys_status(d, &j);
	jsonw_object_end(&j);
}

void metric(FILE *f, const char *name, const char *type, uint64_t v) { fprintf(f, "# TYPE %s %s\n%s %llu\n", name, type, name, (unsigned long long)v); }

static void do_metrics(struct daemon *d, FILE *out)
{
	const struct live_totals *l;
	struct told told;
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	struct jsonw j;

	if (f == NULL) {
		answer_error(out, -ENOMEM, "");
		return;
	}
	writer_told(d, &told);
	l = &told.totals;
	metric(f, "qingfen_taps_received_total", "counter", l->taps);
	fprintf(f, "# TYPE qingfen_taps_verdict_total counter\n");
	for (int v = 0; v < VERDICT_COUNT; v++)
		if (strcmp(verdict_info((enum verdict)v)->name, "unassigned") != 0)
			fprintf(f, "qingfen_taps_verdict_total{verdict=\"%s\"} %llu\n", verdict_info((enum verdict)v)->name, (unsigned long long)l->verdict[v]);
	metric(f, "qingfen_batches_total", "counter", l->batches);
	metric(f, "qingfen_batches_repeated_total", "counter", l->repeated);
	metric(f, "qingfen_batches_refused_total", "counter", told.stat.refused_batches);
	metric(f, "qingfen_commits_total", "counter", told.stat.commits);
	metric(f, "qingfen_unproven_fen", "gauge", (uint64_t)l->unproven_fen);
	metric(f, "qingfen_devices_beyond_cap", "gauge", l->devices_beyond);
	metric(f, "qingfen_connections", "gauge", fronts_connections(d));
	control_ingest_metrics(d, &told, f);
	metric(f, "qingfen_queue_items", "gauge", queue_count(&d->queue));
	metric(f, "qingfen_store_used_bytes", "gauge", store_used_bytes(d->store));
	control_pack_metrics(d, f);
	control_keys_metrics(d, f);
	fclose(f);
	answer_begin(&j, out);
	jsonw_kstr(&j, "text", text);
	jsonw_object_end(&j);
	free(text);
}

/* ---- sessions ---------------------------------------------------------------------------------------------- */

static void dispatch(struct daemon *d, const struct request *q, FILE *out)
{
	const char *cmd = request_text(q, "cmd");

	if (strcmp(cmd, "status") == 0)
		do_status(d, out);
	else if (strcmp(cmd, "metrics") == 0)
		do_metrics(d, out);
	else if (strcmp(cmd, "load") == 0)
		do_load(d, q, out);
	else if (strcmp(cmd, "bank") == 0)
		control_bank(d, q, out);
	else if (strcmp(cmd, "entitlements") == 0)
		control_entitlements(d, q, out);
	else if (strcmp(cmd, "publish") == 0)
		control_publish(d, q, out);
	else if (strcmp(cmd, "withdraw") == 0)
		control_withdraw(d, q, out);
	else if (strcmp(cmd, "rerate") == 0)
		control_rerate(d, q, out);
	else if (strcmp(cmd, "key-compromise") == 0)
		control_compromise(d, q, out);
	else if (strcmp(cmd, "keys-reload") == 0)
		control_keys_reload(d, out);
	else if (strcmp(cmd, "tap-confirm") == 0)
		control_confirm(d, q, out);
	else if (strcmp(cmd, "device-release") == 0)
		control_device_release(d, q, out);
	else if (strcmp(cmd, "tariffs") == 0)
		control_tariffs(d, out);
	else if (strcmp(cmd, "day-close") == 0)
		do_day_close(d, q, out);
	else if (strcmp(cmd, "day-settle") == 0)
		do_day_settle(d, q, out);
	else if (strcmp(cmd, "day-pack") == 0)
		control_pack(d, q, out);
	else if (strcmp(cmd, "stop") == 0) {
		fputs("{\"ok\":true}", out);
		kill(getpid(), SIGTERM);
	} else {
		answer_error(out, -EINVAL, "status, metrics, load, bank, entitlements, tariffs, publish, withdraw, rerate, key-compromise, keys-reload, tap-confirm, device-release, day-close, day-settle, day-pack and stop are known");
	}
}

static bool request_read(FILE *in, struct request *ret, FILE *out)
{
	char line[REQUEST_BYTES_MAX];
	json_error_t error;
	int64_t bytes;

	if (fgets(line, sizeof(line), in) == NULL)
		return false;
	ret->root = json_loads(line, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(ret->root)) {
		answer_error(out, -EINVAL, "one JSON object a line is needed");
		return false;
	}
	bytes = request_number(ret, "bytes");
	if (bytes < 0 || bytes > BULK_BYTES_MAX) {
		answer_error(out, -E2BIG, "at most 256 MiB at once");
		return false;
	}
	ret->bulk_bytes = (size_t)bytes;
	ret->bulk = malloc(ret->bulk_bytes + 1);
	return ret->bulk != NULL && fread(ret->bulk, 1, ret->bulk_bytes, in) == ret->bulk_bytes;
}

/* A request is carried out only while all it may touch is there; the daemon goes on closing when none is in hand. */
static bool asked_begin(struct daemon *d)
{
	bool open;

	pthread_mutex_lock(&d->asked.lock);
	open = !d->asked.closed;
	d->asked.count += open;
	pthread_mutex_unlock(&d->asked.lock);
	return open;
}

static void asked_end(struct daemon *d)
{
	pthread_mutex_lock(&d->asked.lock);
	if (--d->asked.count == 0)
		pthread_cond_signal(&d->asked.none);
	pthread_mutex_unlock(&d->asked.lock);
}

static void asked_close(struct daemon *d)
{
	pthread_mutex_lock(&d->asked.lock);
	d->asked.closed = true;
	while (d->asked.count > 0)
		pthread_cond_wait(&d->asked.none, &d->asked.lock);
	pthread_mutex_unlock(&d->asked.lock);
}

#define BULK_BYTES_LARGE ((size_t)1 << 20)

static void *session_main(void *arg)
{
	struct session *s = arg;
	struct request q = { 0 };
	FILE *in = fdopen(s->fd, "r"), *out = in != NULL ? fdopen(dup(s->fd), "w") : NULL;

	if (in != NULL && out != NULL && request_read(in, &q, out) && asked_begin(s->daemon)) {
		dispatch(s->daemon, &q, out);
		asked_end(s->daemon);
	}
	if (out != NULL) {
		fputc('\n', out);
		fclose(out);
	}
	if (in != NULL)
		fclose(in);
	else
		close(s->fd);
	json_decref(q.root);
	free(q.bulk);
	if (q.bulk_bytes >= BULK_BYTES_LARGE)
		malloc_trim(0);		/* what it took, here and in the writer, is not needed again for long */
	free(s);
	return NULL;
}

static void *control_main(void *arg)
{
	struct daemon *d = arg;

	for (;;) {
		struct session *s;
		pthread_t thread;
		int fd = accept4(d->control_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EMFILE)) {
			usleep(100000);
			continue;
		}
		if (fd < 0)
			return NULL;
		s = malloc(sizeof(*s));
		if (s == NULL) {
			close(fd);
			continue;
		}
		*s = (struct session){ d, fd };
		if (pthread_create(&thread, NULL, session_main, s) == 0) {
			pthread_detach(thread);
		} else {
			close(fd);
			free(s);
		}
	}
}

int control_start(struct daemon *d)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	mode_t mask;
	int ret = 0;

	if (strlen(d->conf.control_socket) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	pthread_mutex_init(&d->asked.lock, NULL);
	pthread_cond_init(&d->asked.none, NULL);
	strcpy(a.sun_path, d->conf.control_socket);
	unlink(a.sun_path);
	d->control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mask = umask(0117);
	if (d->control_fd < 0 || bind(d->control_fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(d->control_fd, 16) != 0)
		ret = -errno;
	umask(mask);
	return ret != 0 ? ret : -pthread_create(&d->control, NULL, control_main, d);
}

void control_stop(struct daemon *d)
{
	shutdown(d->control_fd, SHUT_RDWR);
	pthread_join(d->control, NULL);
	asked_close(d);
	close(d->control_fd);
	unlink(d->conf.control_socket);
}
