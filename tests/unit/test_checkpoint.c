/* Images of the writer's memory: what a start has from one is what it has from the whole inbox, and a bad one is refused. */
#include <fcntl.h>
#include <sys/stat.h>

#include "clearing/checkpoint.h"
#include "clearing/live.h"

#define event_add house_event_add	/* libevent has one too */
#include "tests/unit/house.h"

#include <xxhash.h>

#define STEPS 150

/* ---- a writer without threads ------------------------------------------------------------------------------- */

static void daemon_begin(struct daemon *d, struct house *h, bool images)
{
	*d = (struct daemon){ .store = h->store, .conf = { .open_day = DAY_NONE, .checkpoint_taps = images ? 1 : 0 } };
	snprintf(d->conf.store, sizeof(d->conf.store), "%s", h->dir);
	pthread_rwlock_init(&d->ref_lock, NULL);
	pthread_mutex_init(&d->told_lock, NULL);
	queue_init(&d->queue);
	assert_int_equal(append_open(d), 0);
	assert_int_equal(checkpoint_open(d), 0);
	assert_int_equal(writer_open(d), 0);
}

static void daemon_end(struct daemon *d)
{
	checkpoint_close(d);
	append_close(d);
	live_free(d->live);
	refdata_free(d->ref);
}

/* ---- what it remembers, as a number: every row once, in no order ------------------------------------------------ */

struct rows { struct image_out out; uint8_t *p; size_t space; };

static bool sink_more(struct image_out *o)
{
	struct rows *s = (struct rows *)(void *)o;

	s->p = realloc(s->p, s->space = s->space * 2);
	assert_non_null(s->p);
	o->p = s->p;
	o->space = s->space;
	return true;
}

static void sink_open(struct rows *s, int32_t day)
{
	*s = (struct rows){ .space = 1 << 16 };
	s->p = malloc(s->space);
	assert_non_null(s->p);
	s->out = (struct image_out){ .p = s->p, .space = s->space, .more = sink_more, .day = day };
}

static uint64_t row_number(uint16_t kind, const uint8_t *p, size_t n) { return XXH3_64bits_withSeed(p, n, kind); }

static uint64_t marks_number(const uint8_t *p)
{
	uint64_t used, grey, sum = 0;
	uint32_t serial;
	int64_t time_ms;

	memcpy(&serial, p + 6, 4);
	memcpy(&used, p + 10, 8);
	memcpy(&grey, p + 18, 8);
	for (const uint8_t *m = p + 26; used != 0; used &= used - 1, m += 16) {
		uint8_t mark[TAP_KEY_BYTES + 9];
		int bit = __builtin_ctzll(used);

		memcpy(mark, p, 6);
		be32_put(mark + 6, serial + (uint32_t)bit);
		memcpy(&time_ms, m, 8);
		be64_put(mark + 10, (uint64_t)time_ms);
		memcpy(mark + TAP_KEY_BYTES, m + 8, 8);
		mark[TAP_KEY_BYTES + 8] = grey >> bit & 1;
		sum += row_number(IMAGE_MARK, mark, sizeof(mark));
	}
	return sum;
}

/* Repeated batches are counted by the running daemon only: a replay has no event of them. Nor does it know which records of
 * days before the last two still wait for their platform, until their day is settled: asks false leaves them out. */
static uint64_t memory_number(struct daemon *d, bool asks)
{
	struct live_totals totals = *live_totals(d->live);
	struct live_walk w;
	struct rated rated;
	struct rows s;
	uint16_t head[2];
	uint64_t sum;

	totals.repeated = 0;
	sum = XXH3_64bits(&totals, sizeof(totals)) + (uint64_t)d->open_day;
	sink_open(&s, d->open_day);
	live_image_start(d->live, &s.out, &s.out, &w);
	while (live_image_walk(d->live, &w, 1000))
		;
	live_image_stop(d->live);
	rated = live_rated(d->live);
	sum += XXH3_64bits(&rated.published_fen, 3 * sizeof(rated.published_fen));
	for (size_t at = 0; at < s.out.n; at += sizeof(head) + head[1]) {
		memcpy(head, s.out.p + at, sizeof(head));
		if (head[0] == IMAGE_BLOCK)
			sum += marks_number(s.out.p + at + sizeof(head));
		else if (head[0] != IMAGE_SIZES && (asks || head[0] != IMAGE_ASK))
			sum += row_number(head[0], s.out.p + at + sizeof(head), head[1]);
	}
	free(s.p);
	return sum;
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

static struct tap random_tap(int32_t day)
{
	static const enum { USUAL, USUAL2, AGAIN, OTHER_TIME, CODE, FOREIGN } kinds[] = { USUAL, USUAL, USUAL2, USUAL, AGAIN, OTHER_TIME, CODE, FOREIGN };
	static uint8_t codes[400];
	struct tap t = tap_at(sample_below(60), day, (int)sample_below(1080) + 240, sample_below(2) ? "A" : "B", 200);

	t.terminal[5] = t.psam[5] = (uint8_t)(1 + sample_below(2));
	t.card_counter = 1 + sample_below(400);
	switch (kinds[sample_below(8)]) {
	case USUAL:
	case USUAL2: break;
	case AGAIN:
		t.terminal_serial = sample_below(40);
		t.time_ms = (int64_t)day * 86400000 + 3600000;
		break;
	case OTHER_TIME: t.terminal_serial = sample_below(90); break;
	case CODE:
		t.kind = TAP_IDENTITY;
		t.medium = MEDIUM_QR;
		t.balance_before = t.balance_after = 0;
		for (size_t i = sizeof(codes); codes[0] == 0 && i-- > 0;)
			codes[i] = (uint8_t)(1 + sample_below(255));
		t.qr.p = codes + sample_below(sizeof(codes) - 16);
		t.qr.n = 16;
		break;
	case FOREIGN: t.issuer[0] = 0x09; break;
	}
	return t;
}

static enum key_check random_check(void)
{
	static const enum key_check checks[] = { KEY_CHECK_GOOD, KEY_CHECK_GOOD, KEY_CHECK_GOOD, KEY_CHECK_GREY, KEY_CHECK_NO_KEY, KEY_CHECK_FOREIGN,
		KEY_CHECK_UNAVAILABLE, KEY_CHECK_BAD, KEY_CHECK_DEVICE };

	return checks[sample_below(9)];
}

struct post { struct batch batch; uint8_t record[24][TAP_ENCODED_BYTES_MAX], marks[48], bytes[BATCH_BYTES_MAX]; size_t n; };

static void post_make(struct post *p, int32_t day)
{
	int n;

	p->batch = (struct batch){ .device = "V-1", .file_serial = ++serials, .count = 1 + sample_below(24) };
	for (uint32_t i = 0; i < p->batch.count; i++) {
		struct tap t = random_tap(day - (sample_below(8) == 0));

		n = tap_encode(&t, p->record[i], sizeof(p->record[i]));
		assert_true(n > 0);
		p->batch.tap[i].p = p->record[i];
		p->batch.tap[i].n = (uint32_t)n;
		p->marks[2 * i] = (uint8_t)random_check();
		p->marks[2 * i + 1] = 0;
	}
	assert_int_equal(batch_seal(&p->batch), 0);
	n = batch_encode(&p->batch, p->bytes, sizeof(p->bytes));
	assert_true(n > 0);
	p->n = (size_t)n;
}

/* In a transaction's end: what is in the inbox is in the memory. */
static void durable(struct daemon *d, struct txn *t)
{
	uint64_t seq = inbox_last(t);

	assert_int_equal(txn_commit(t), 0);
	d->seq = seq;
}

static void batch_add(struct daemon *d, const struct post *p)
{
	uint8_t head[EVENT_BATCH_HEAD_BYTES] = "V-1";
	const void *part[3] = { head, p->marks, p->bytes };
	const size_t bytes[3] = { sizeof(head), 2u * p->batch.count, p->n };
	struct receipt r;
	struct txn t;
	uint64_t seq;

	be32_put(head + 16, p->batch.file_serial);
	be16_put(head + 20, (uint16_t)p->batch.count);
	assert_int_equal(txn_begin(d->store, true, &t), 0);
	seq = inbox_append(&t, EVENT_BATCH, 0, part, bytes, 3);
	waiting_add(&t, seq, p->marks, (uint16_t)p->batch.count);
	assert_int_equal(live_judge(d->live, d->ref, &t, d->open_day, "V-1", &p->batch, NULL, p->marks, seq, &r), 0);
	durable(d, &t);
}

static void reference_add(struct daemon *d, uint8_t type, const void *p, size_t n)
{
	struct event e = { .type = type, .body = p, .bytes = n };
	char error[256] = "";
	struct txn t;

	assert_int_equal(txn_begin(d->store, true, &t), 0);
	e.seq = inbox_append(&t, type, 0, &p, &n, 1);
	assert_int_equal(refdata_apply(d->ref, &e, &t, error, sizeof(error)), 0);
	durable(d, &t);
}

static void day_over(struct daemon *d)
{
	struct clear_stats stats;
	struct txn t;

	assert_int_equal(txn_begin(d->store, true, &t), 0);
	assert_int_equal(day_cut(&t, d->open_day, 0), 0);
	durable(d, &t);
	live_reset_day(d->live);
	assert_int_equal(day_clear(d->store, d->open_day++, &stats), 0);
}

/* Some records whose key device did not answer are answered. */
static void rechecked(struct daemon *d)
{
	struct recheck after = { 0 }, list[6];
	struct event e;
	struct txn t;
	size_t n;

	assert_int_equal(txn_begin(d->store, true, &t), 0);
	n = waiting_next(&t, &after, list, 6);
	for (size_t i = 0; i < n; i++)
		list[i].check = sample_below(4) ? KEY_CHECK_GOOD : KEY_CHECK_BAD;
	if (recheck_append(&t, 0, list, n, &e))
		assert_int_equal(live_recheck(d->live, d->ref, &t, d->open_day, &e), 0);
	durable(d, &t);
}

static void riders_add(struct daemon *d)
{
	char csv[512];
	int n = snprintf(csv, sizeof(csv), "pan,person,birth,issued,home,group,grade,from,to,verified_to\n"
			 "031047301500000000%02u,%u,1950-01-01,,,elder,,2025-01-01,,\n", sample_below(60), 9000 + sample_below(30));

	reference_add(d, EVENT_RIDERS, csv, (size_t)n);
}

static void blacklist_add(struct daemon *d)
{
	static uint32_t version;
	char csv[128];
	int n;

	be32_put((uint8_t *)csv, ++version);
	n = snprintf(csv + 4, sizeof(csv) - 4, "pan,from,to,action\n031047301500000000%02u,,,refuse\n", sample_below(60));
	reference_add(d, EVENT_BLACKLIST, csv, (size_t)n + 4);
}

static void something(struct daemon *d, bool days)
{
	static struct post post;
	unsigned what = sample_below(40);

	if (what < 4)
		live_wait(d->live);
	switch (what) {
	case 0: riders_add(d); break;
	case 1: blacklist_add(d); break;
	case 2: rechecked(d); break;
	case 3:
		if (days) {
			day_over(d);
			break;
		}
		/* fall through */
	default:
		post_make(&post, d->open_day);
		batch_add(d, &post);
	}
}

static void house_begin(struct house *h)
{
	static const char bodies[] = "\1\0\0\0\0\0\0\0\0\0\0\0\0\1\x86\xA0";	/* 1000 yuan a device */

	house_open(h);
	event_add(h, EVENT_DEVICE, "", 0, bodies, 16);
}

/* ---- images ---------------------------------------------------------------------------------------------------------- */

static void image_path(const struct house *h, char path[64]) { snprintf(path, 64, "%s/live.image", h->dir); }

static void file_put(const struct house *h, const void *p, size_t n)
{
	char path[64];
	FILE *f;

	image_path(h, path);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	fclose(f);
}

/* Head and digest around rows. */
static size_t image_whole(struct daemon *d, const struct rows *s, uint8_t *out)
{
	struct image_head head = { .day = s->out.day };
	XXH128_canonical_t digest;
	const void *val;
	struct txn t;
	size_t n;

	assert_int_equal(txn_begin(d->store, false, &t), 0);
	assert_true(txn_get(&t, DB_META, "identity", 8, &val, &n));
	memcpy(head.identity, val, sizeof(head.identity));
	txn_abort(&t);
	image_head_put(&head, out);
	memcpy(out + IMAGE_HEAD_BYTES, s->out.p, s->out.n);
	n = IMAGE_HEAD_BYTES + s->out.n;
	XXH128_canonicalFromHash(&digest, XXH3_128bits(out, n));
	memcpy(out + n, &digest, sizeof(digest));
	return n + sizeof(digest);
}

/* The event's digest as docs/store.md has it. */
static uint64_t image_end(struct daemon *d)
{
	uint8_t told[25];
	XXH128_canonical_t digest;
	struct event e;
	struct txn t;
	uint64_t seq;

	assert_int_equal(txn_begin(d->store, false, &t), 0);
	seq = inbox_last(&t);
	assert_true(inbox_get(&t, seq, &e));
	told[0] = e.type;
	be64_put(told + 1, (uint64_t)e.received_ms);
	XXH128_canonicalFromHash(&digest, XXH3_128bits(e.body, e.bytes));
	memcpy(told + 9, &digest, sizeof(digest));
	XXH128_canonicalFromHash(&digest, XXH3_128bits(told, sizeof(told)));
	memcpy(live_image_end(d->live, seq), &digest, IMAGE_DIGEST_BYTES);
	txn_abort(&t);
	live_image_stop(d->live);
	return seq;
}

/* In steps of a few places, with events in between; the event it stands at. The riders' rows may come to lie before all others. */
static uint64_t image_made(struct daemon *d, struct rows *s)
{
	struct rows others;
	struct live_walk w;
	uint64_t seq;

	sink_open(s, d->open_day);
	sink_open(&others, d->open_day);
	live_image_start(d->live, &others.out, &s->out, &w);
	while (live_image_walk(d->live, &w, 1 + sample_below(4000)))
		something(d, false);
	for (int i = 0; i < 20; i++)	/* of what changes behind the walk nothing is missing either */
		something(d, false);
	seq = image_end(d);
	while (s->space - s->out.n < others.out.n)
		assert_true(sink_more(&s->out));
	memcpy(s->p + s->out.n, others.p, others.out.n);
	s->out.n += others.out.n;
	free(others.p);
	return seq;
}

static void image_put(struct daemon *d, struct house *h, const struct rows *s)
{
	uint8_t *whole = malloc(s->out.n + 100);

	assert_non_null(whole);
	file_put(h, whole, image_whole(d, s, whole));
	free(whole);
}

/* ---- the tests --------------------------------------------------------------------------------------------------------- */

static void same_answers(struct daemon *a, struct daemon *b)
{
	static struct post post;

	for (int i = 0; i < 20; i++) {
		struct receipt one, two;
		struct txn t;

		post_make(&post, a->open_day);
		assert_int_equal(txn_begin(a->store, false, &t), 0);
		assert_int_equal(live_judge(a->live, a->ref, &t, a->open_day, "V-1", &post.batch, NULL, post.marks, UINT64_MAX, &one), 0);
		assert_int_equal(live_judge(b->live, b->ref, &t, b->open_day, "V-1", &post.batch, NULL, post.marks, UINT64_MAX, &two), 0);
		txn_abort(&t);
		assert_memory_equal(one.verdict, two.verdict, one.count);
		assert_int_equal(one.accepted, two.accepted);
	}
}

static void a_start_from_an_image_remembers_what_a_replay_of_the_inbox_does(void **state)
{
	static struct daemon live, replayed, imaged;
	struct house h;

	(void)state;
	for (int round = 0; round < 5; round++) {
		struct rows s;
		uint64_t seq;

		house_begin(&h);
		daemon_begin(&live, &h, true);
		if (round % 2 == 1)
			assert_int_equal(live_start(live.live, live.store, NULL, NULL), 0);
		for (unsigned i = sample_below(STEPS); i > 0; i--)
			something(&live, true);
		seq = image_made(&live, &s);
		image_put(&live, &h, &s);
		for (unsigned i = sample_below(STEPS); i > 0; i--)
			something(&live, round % 2 == 0 && live.open_day < DAY0 + 12);
		daemon_begin(&replayed, &h, false);
		daemon_begin(&imaged, &h, true);
		assert_true(imaged.stat.replay_from == seq || live.open_day > s.out.day + 1);
		assert_true(imaged.stat.replay_taps <= replayed.stat.replay_taps);
		assert_int_equal(memory_number(&replayed, false), memory_number(&live, false));
		assert_int_equal(memory_number(&imaged, false), memory_number(&live, false));
		if (imaged.stat.replay_from == seq)
			assert_int_equal(memory_number(&imaged, true), memory_number(&live, true));
		same_answers(&imaged, &replayed);
		daemon_end(&live);
		daemon_end(&replayed);
		daemon_end(&imaged);
		free(s.p);
		house_close(&h);
	}
}

static void fares_rated_behind_the_writer_are_those_it_rates_itself(void **state)
{
	static struct daemon behind, itself;
	struct house h;

	(void)state;
	for (int round = 0; round < 3; round++) {
		house_begin(&h);
		daemon_begin(&behind, &h, false);
		assert_int_equal(live_start(behind.live, behind.store, NULL, NULL), 0);
		for (unsigned i = 0; i < STEPS; i++)
			something(&behind, true);
		live_wait(behind.live);
		daemon_begin(&itself, &h, false);
		assert_true(live_rated(behind.live).records > 0);
		assert_int_equal(live_rated(behind.live).records, live_rated_due(behind.live));
		assert_int_equal(memory_number(&behind, false), memory_number(&itself, false));
		daemon_end(&behind);
		daemon_end(&itself);
		house_close(&h);
	}
}

/* A start with that file: whether it was taken; a refused one leaves a memory as from the inbox. */
static bool taken(struct house *h, uint64_t number)
{
	static struct daemon d;
	struct checkpoint_stat told;

	daemon_begin(&d, h, true);
	checkpoint_told(&d, &told);
	assert_int_equal(memory_number(&d, true), number);
	daemon_end(&d);
	return told.loaded_seq != 0;
}

static void no_byte_of_an_image_can_be_another_and_none_can_be_missing(void **state)
{
	static struct daemon d;
	struct house h;
	struct rows s;
	uint8_t *whole;
	uint64_t number;
	size_t n, step;

	(void)state;
	house_begin(&h);
	daemon_begin(&d, &h, true);
	for (int i = 0; i < 6; i++)
		something(&d, false);
	image_made(&d, &s);
	whole = malloc(s.out.n + 100);
	assert_non_null(whole);
	n = image_whole(&d, &s, whole);
	file_put(&h, whole, n);
	number = memory_number(&d, true);
	assert_true(taken(&h, number));
	step = n / 60 + 1;
	for (size_t at = 0; at < n; at += at < IMAGE_HEAD_BYTES + 80 || at + 400 > n ? 7 : step) {
		const uint8_t was = whole[at];

		whole[at] ^= (uint8_t)(1u << sample_below(8));
		file_put(&h, whole, n);
		assert_false(taken(&h, number));
		whole[at] = was;
	}
	for (size_t at = 0; at < n; at += step) {
		file_put(&h, whole, at);
		assert_false(taken(&h, number));
	}
	whole[n] = 0;
	file_put(&h, whole, n + 1);
	assert_false(taken(&h, number));
	file_put(&h, whole, n);
	assert_true(taken(&h, number));
	free(whole);
	free(s.p);
	daemon_end(&d);
	house_close(&h);
}

/* With a digest that is right. */
static void an_image_of_another_store_format_or_history_is_refused(void **state)
{
	static struct daemon d;
	struct house h;
	struct rows s;
	uint8_t whole[1 << 18];
	uint64_t number;
	size_t n;

	(void)state;
	house_begin(&h);
	daemon_begin(&d, &h, true);
	for (int i = 0; i < 10; i++)
		something(&d, false);
	image_made(&d, &s);
	number = memory_number(&d, true);
	for (int what = 0; what < 6; what++) {
		XXH128_canonical_t digest;
		uint8_t *end;

		n = image_whole(&d, &s, whole) - sizeof(digest);
		end = whole + n - 8 - IMAGE_DIGEST_BYTES - sizeof(struct live_totals);
		switch (what) {
		case 0: break;
		case 1: whole[8]++; break;					/* format */
		case 2: whole[24] ^= 1; break;					/* store */
		case 3: end[0]--; break;					/* the event before: another digest */
		case 4: end[1]++; break;					/* ahead of the inbox */
		case 5: whole[16]++; break;					/* day */
		}
		XXH128_canonicalFromHash(&digest, XXH3_128bits(whole, n));
		memcpy(whole + n, &digest, sizeof(digest));
		file_put(&h, whole, n + sizeof(digest));
		assert_int_equal(taken(&h, number), what == 0);
	}
	free(s.p);
	daemon_end(&d);
	house_close(&h);
}

/* Through threads and the disk, as the daemon does it: riders' states come from the rater's while the writer walks. */
static void images_of(bool rater, unsigned events)
{
	static struct daemon d;
	struct checkpoint_stat told;
	uint64_t number, seq;
	struct house h;
	struct txn t;
	char path[64];
	struct stat st;

	house_begin(&h);
	daemon_begin(&d, &h, true);
	if (rater)
		assert_int_equal(live_start(d.live, d.store, NULL, NULL), 0);
	assert_int_equal(checkpoint_start(&d), 0);
	for (unsigned i = 0; i < events; i++) {
		something(&d, i % 3 == 0);
		d.stages.taps += 10;
		checkpoint_step(&d, 0);
	}
	while (checkpoint_idle(&d))
		;
	checkpoint_stop(&d);
	checkpoint_told(&d, &told);
	assert_true(told.count > 1);
	assert_int_equal(txn_begin(d.store, false, &t), 0);
	seq = inbox_last(&t);
	txn_abort(&t);
	assert_int_equal(told.seq, seq);
	number = memory_number(&d, true);
	daemon_end(&d);
	assert_true(taken(&h, number));
	image_path(&h, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, told.bytes);
	strcat(path, ".new");
	assert_int_not_equal(access(path, F_OK), 0);
	house_close(&h);
}

static void images_are_made_as_taps_come_and_at_the_end_and_the_last_one_is_the_end(void **state)
{
	(void)state;
	images_of(false, STEPS);
}

static void images_made_while_fares_are_rated_behind_the_writer_have_them_all(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 12; round++)
		images_of(true, 20 + sample_below(60));
}

static void an_image_waits_while_batches_wait_but_not_beyond_twice_its_taps(void **state)
{
	static const struct { uint64_t taps; bool batches, made; } cases[] = {
		{ 99, false, false }, { 100, false, true }, { 100, true, false }, { 199, true, false }, { 200, true, true } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct daemon d;
		static struct post post;
		static struct item waits;
		struct checkpoint_stat told;
		struct house h;

		house_begin(&h);
		daemon_begin(&d, &h, true);
		d.conf.checkpoint_taps = 100;
		post_make(&post, d.open_day);
		batch_add(&d, &post);
		assert_int_equal(checkpoint_start(&d), 0);
		if (cases[i].batches)
			assert_true(queue_put(&d.queue, &waits));
		d.stages.taps = cases[i].taps;
		checkpoint_step(&d, 0);
		while (checkpoint_idle(&d))
			;
		post_make(&post, d.open_day);
		batch_add(&d, &post);
		checkpoint_stop(&d);	/* an image of the end, besides the one that was made before or not */
		checkpoint_told(&d, &told);
		assert_int_equal(told.count, cases[i].made ? 2 : 1);
		daemon_end(&d);
		house_close(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_from_an_image_remembers_what_a_replay_of_the_inbox_does),
		cmocka_unit_test(fares_rated_behind_the_writer_are_those_it_rates_itself),
		cmocka_unit_test(no_byte_of_an_image_can_be_another_and_none_can_be_missing),
		cmocka_unit_test(an_image_of_another_store_format_or_history_is_refused),
		cmocka_unit_test(images_are_made_as_taps_come_and_at_the_end_and_the_last_one_is_the_end),
		cmocka_unit_test(images_made_while_fares_are_rated_behind_the_writer_have_them_all),
		cmocka_unit_test(an_image_waits_while_batches_wait_but_not_beyond_twice_its_taps),
	};

	return cmocka_run_group_tests(tests, packs_make, packs_free);
}
