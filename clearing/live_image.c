/*
 * live_image - the writer's memory as rows of an image, and back. Rows go in again by the same calls that judging uses, so
 * an image can make a memory wrong but never unsound; its digest says whether it is wrong.
 */
#include "clearing/live.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BLOCK_BYTES 26		/* terminal 6 | serial 4 | used 8 | grey 8 | of each used one time 8, content 8 */
#define MARK_BYTES (TAP_KEY_BYTES + 9)
#define ANSWER_BYTES (1 + DEVICE_BYTES_MAX + 1 + 4 + DIGEST_BYTES + 8 + 5 * 4)	/* and a byte a verdict */
#define END_BYTES (8 + IMAGE_DIGEST_BYTES + sizeof(struct live_totals))
#define SIZES 9
#define FETCH_ROWS 64

static_assert(BLOCK_BYTES + SEEN_RUN_MARKS * 16 <= IMAGE_ROW_BYTES_MAX && ANSWER_BYTES + BATCH_TAPS_MAX <= IMAGE_ROW_BYTES_MAX, "a row holds it");

static uint8_t *put(uint8_t *p, const void *from, size_t n) { return (uint8_t *)memcpy(p, from, n) + n; }

static const uint8_t *get(const uint8_t *p, void *to, size_t n)
{
	memcpy(to, p, n);
	return p + n;
}

/* What times of states are told by their distance from. */
static int64_t noon(int32_t day) { return (int64_t)day * 86400000 + 43200000 - CIVIL_OFFSET_MS; }

/* ---- rows ---------------------------------------------------------------------------------------------------- */

void image_mark(struct image_out *o, const struct tap *tap, const struct seen_mark *mark)
{
	uint8_t *p = o != NULL ? image_row(o, IMAGE_MARK, MARK_BYTES) : NULL;
	uint64_t content = mark->content;

	if (p == NULL)
		return;
	tap_key(tap, p);
	*put(p + TAP_KEY_BYTES, &content, 8) = mark->grey;
}

void image_rider(struct image_out *o, uint64_t person, const struct rider_state *state)
{
	uint8_t packed[RIDER_STATE_BYTES_MAX], *p;
	size_t n;

	if (o == NULL)
		return;
	n = rider_state_pack(state, noon(o->day), packed);
	p = image_row(o, IMAGE_RIDER, sizeof(person) + n);
	if (p != NULL)
		put(put(p, &person, sizeof(person)), packed, n);
}

void image_counter(struct image_out *o, const struct counted *c)
{
	uint8_t *p = o != NULL ? image_row(o, IMAGE_COUNTER, COUNTER_BYTES + 4) : NULL;

	if (p != NULL)
		put(put(p, c->key, COUNTER_BYTES), c->tac, 4);
}

void image_code(struct image_out *o, const struct coded *c)
{
	uint8_t *p = o != NULL ? image_row(o, IMAGE_CODE, TAP_CODE_BYTES + 1) : NULL;

	if (p != NULL)
		*put(p, c->code, TAP_CODE_BYTES) = c->verified;
}

void image_answer(struct image_out *o, unsigned before, const struct answer *a)
{
	uint8_t *p = o != NULL ? image_row(o, IMAGE_ANSWER, ANSWER_BYTES + a->count) : NULL;
	struct receipt r;

	if (p == NULL)
		return;
	answer_receipt(a, &r);
	*p++ = (uint8_t)before;
	p = put(put(put(p, a->device, sizeof(a->device)), &r.file_serial, 4), a->digest, DIGEST_BYTES);
	put(put(put(p, &r.inbox_seq, 8), (const uint32_t[]){ r.accepted, r.pending, r.duplicate, r.refused, r.count }, 20), r.verdict, r.count);
}

void image_device(struct image_out *o, const char *device, int64_t fen)
{
	uint8_t *p = o != NULL ? image_row(o, IMAGE_DEVICE, DEVICE_BYTES_MAX + 1 + 8) : NULL;

	if (p == NULL)
		return;
	memset(p, 0, DEVICE_BYTES_MAX + 1);
	memcpy(p, device, strnlen(device, DEVICE_BYTES_MAX));
	put(p + DEVICE_BYTES_MAX + 1, &fen, 8);
}

void image_ask(struct image_out *o, const struct code_waiting *w)
{
	uint8_t *p = o != NULL ? image_row(o, IMAGE_ASK, TAP_KEY_BYTES + 9) : NULL;

	if (p == NULL)
		return;
	p = put(p, w->key, TAP_KEY_BYTES);
	*p = w->scheme;
	put(p + 1, &w->seq, 8);
}

static void image_run(struct image_out *o, const struct seen_run *run)
{
	uint64_t used = 0, grey = 0;
	uint8_t *p;

	for (uint32_t i = 0; i < run->count; i++) {
		used |= (uint64_t)run->mark[i].used << i;
		grey |= (uint64_t)(run->mark[i].used && run->mark[i].grey) << i;
	}
	p = used != 0 ? image_row(o, IMAGE_BLOCK, BLOCK_BYTES + 16 * (size_t)__builtin_popcountll(used)) : NULL;
	if (p == NULL)
		return;
	p = put(put(put(put(p, run->terminal, 6), &run->serial, 4), &used, 8), &grey, 8);
	for (; used != 0; used &= used - 1) {
		const struct seen_mark *mark = &run->mark[__builtin_ctzll(used)];
		int64_t time_ms = (int64_t)((uint64_t)run->from_ms + mark->since);
		uint64_t content = mark->content;

		p = put(put(p, &time_ms, 8), &content, 8);
	}
}

static void image_single(struct image_out *o, const struct seen_run *run)
{
	static struct tap tap;	/* only what makes its key; the writer's */

	if (!run->mark->used)
		return;
	memcpy(tap.terminal, run->terminal, 6);
	tap.terminal_serial = run->serial;
	tap.time_ms = run->from_ms;
	image_mark(o, &tap, run->mark);
}

/* ---- the walk ------------------------------------------------------------------------------------------------ */

enum section { SECTION_RUNS, SECTION_SINGLE, SECTION_RIDERS, SECTION_COUNTERS, SECTION_CODES, SECTION_ANSWERS, SECTION_BEFORE, SECTION_DEVICES,
	SECTION_ASKS, SECTION_COUNT };

static void sizes_of(const struct live *l, uint64_t n[SIZES])
{
	seen_sizes(l->seen, &n[SECTION_RUNS], &n[SECTION_SINGLE]);
	n[SECTION_RIDERS] = riding_count(l->riding);
	n[SECTION_COUNTERS] = l->counted.count;
	n[SECTION_CODES] = l->coded.count;
	n[SECTION_ANSWERS] = l->answer[0].count;
	n[SECTION_BEFORE] = l->answer[1].count;
	n[SECTION_DEVICES] = n[SECTION_ASKS] = 0;	/* few */
}

void live_image_start(struct live *l, struct image_out *o, struct image_out *riders, struct live_walk *ret_walk)
{
	uint64_t n[SIZES];
	uint8_t *p = image_row(o, IMAGE_SIZES, sizeof(n));

	static_assert(SIZES == SECTION_COUNT, "a size a section");
	rater_image(l->rater, riders);
	sizes_of(l, n);
	if (p != NULL)
		memcpy(p, n, sizeof(n));
	*ret_walk = (struct live_walk){ 0 };
	l->image = o;
	l->riders = riders;
}

/* One thing of the section, if there is one within the budget. */
static bool step(struct live *l, struct live_walk *w)
{
	struct image_out *o = l->image;
	struct code_waiting waiting;
	struct rider_state state;
	struct seen_run run;
	const char *device;
	const void *entry;
	uint64_t person;
	int64_t fen;
	bool on = false;

	switch ((enum section)w->section) {
	case SECTION_RUNS:
		if ((on = seen_walk(l->seen, false, &w->at, &run)))
			image_run(o, &run);
		break;
	case SECTION_SINGLE:
		if ((on = seen_walk(l->seen, true, &w->at, &run)))
			image_single(o, &run);
		break;
	case SECTION_RIDERS:
		if ((on = riding_walk(l->riding, &w->at, &person, &state)))
			image_rider(l->riders, person, &state);
		break;
	case SECTION_COUNTERS:
		if ((on = (entry = table_walk(&l->counted, &w->at)) != NULL))
			image_counter(o, entry);
		break;
	case SECTION_CODES:
		if ((on = (entry = table_walk(&l->coded, &w->at)) != NULL))
			image_code(o, entry);
		break;
	case SECTION_ANSWERS:
	case SECTION_BEFORE:
		if ((on = (entry = table_walk(&l->answer[w->section == SECTION_BEFORE], &w->at)) != NULL))
			image_answer(o, w->section == SECTION_BEFORE, entry);
		break;
	case SECTION_DEVICES:
		if ((on = unproven_walk(l->unproven, &w->at, &device, &fen)))
			image_device(o, device, fen);
		break;
	case SECTION_ASKS:
		if ((on = code_asks_walk(l->asks, &w->at, &waiting)))
			image_ask(o, &waiting);
		break;
	case SECTION_COUNT:
		break;
	}
	return on;
}

/* Riders are looked at while nobody rates. */
bool live_image_walk(struct live *l, struct live_walk *w, size_t places)
{
	unsigned section = w->section;

	if (section == SECTION_RIDERS)
		rater_wait(l->rater);
	w->at.budget = places;
	while (w->section == section && !l->image->failed && (step(l, w) || w->at.ended))
		if (w->at.ended) {
			w->section++;
			w->at = (struct table_walk){ 0 };
		}
	return w->section < SECTION_COUNT && !l->image->failed;
}

uint8_t *live_image_end(struct live *l, uint64_t seq)
{
	struct live_totals totals = l->totals;
	uint8_t *p = image_row(l->image, IMAGE_END, END_BYTES);
	struct rated rated;

	if (p == NULL)
		return NULL;
	rater_wait(l->rater);
	rated = rater_sums(l->rater);
	totals.published_fen = rated.published_fen;
	totals.rated_fen = rated.rated_fen;
	totals.subsidy_fen = rated.subsidy_fen;
	memset(put(p, &seq, 8), 0, IMAGE_DIGEST_BYTES);
	put(p + 8 + IMAGE_DIGEST_BYTES, &totals, sizeof(totals));
	return p + 8;
}

void live_image_stop(struct live *l)
{
	l->image = l->riders = NULL;
	rater_image(l->rater, NULL);
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

/* A hint: what does not fit into the file cannot be in it. */
static int sizes_read(struct live *l, const uint8_t *p, size_t n, uint64_t file_bytes)
{
	uint64_t size[SIZES];
	int ret;

	if (n != sizeof(size))
		return CLEARING_E_STORE;
	memcpy(size, p, sizeof(size));
	for (size_t i = 0; i < SIZES; i++)
		if (size[i] > file_bytes / 8)
			return CLEARING_E_STORE;
	ret = seen_room_of(l->seen, size[SECTION_RUNS], size[SECTION_SINGLE]);
	if (ret == 0)
		ret = riding_room_of(l->riding, size[SECTION_RIDERS]);
	if (ret == 0)
		ret = table_room(&l->counted, (size_t)size[SECTION_COUNTERS]);
	if (ret == 0)
		ret = table_room(&l->coded, (size_t)size[SECTION_CODES]);
	for (size_t i = 0; ret == 0 && i < 2; i++)
		ret = table_room(&l->answer[i], (size_t)size[SECTION_ANSWERS + i]);
	return ret;
}

/* By the same look-up as a tap's: a serial that has a mark of another time makes it a single one. */
static void mark_read(struct live *l, const struct tap *tap, uint64_t content, bool grey)
{
	struct seen_mark *mark = seen_at(l->seen, tap);

	mark->used = true;
	mark->grey = grey;
	mark->content = content;
}

static int block_read(struct live *l, const uint8_t *p, size_t n)
{
	struct tap tap = { .terminal_serial = 0 };
	uint64_t used, grey, content;
	uint32_t serial;
	int ret;

	if (n < BLOCK_BYTES)
		return CLEARING_E_STORE;
	p = get(get(get(get(p, tap.terminal, 6), &serial, 4), &used, 8), &grey, 8);
	if (serial % SEEN_RUN_MARKS != 0 || (grey & ~used) != 0 || n != BLOCK_BYTES + 16 * (size_t)__builtin_popcountll(used))
		return CLEARING_E_STORE;
	ret = seen_room(l->seen, SEEN_RUN_MARKS);
	for (; ret == 0 && used != 0; used &= used - 1) {
		tap.terminal_serial = serial + (uint32_t)__builtin_ctzll(used);
		p = get(get(p, &tap.time_ms, 8), &content, 8);
		mark_read(l, &tap, content, (grey >> __builtin_ctzll(used) & 1) != 0);
	}
	return ret;
}

static int single_read(struct live *l, const uint8_t *p, size_t n)
{
	struct tap tap = { .terminal_serial = 0 };
	uint64_t content;
	int ret;

	if (n != MARK_BYTES || p[MARK_BYTES - 1] > 1)
		return CLEARING_E_STORE;
	memcpy(tap.terminal, p, 6);
	tap.terminal_serial = be32_get(p + 6);
	tap.time_ms = (int64_t)be64_get(p + 10);
	get(p + TAP_KEY_BYTES, &content, 8);
	ret = seen_room(l->seen, 1);
	if (ret == 0)
		mark_read(l, &tap, content, p[MARK_BYTES - 1] != 0);
	return ret;
}

static int rider_read(struct live *l, const uint8_t *p, size_t n, int32_t day)
{
	struct rider_state state;
	uint64_t person;
	int ret;

	if (n < sizeof(person) || rider_state_unpack(p + 8, n - 8, noon(day), &state) != n - 8)
		return CLEARING_E_STORE;
	get(p, &person, sizeof(person));
	ret = riding_room(l->riding, 1);
	if (ret == 0)
		riding_put(l->riding, riding_key(l->riding, person), &state);
	return ret;
}

static int counter_read(struct live *l, const uint8_t *p, size_t n)
{
	struct counted *c;
	bool new;
	int ret = n == COUNTER_BYTES + 4 ? table_room(&l->counted, 1) : CLEARING_E_STORE;

	if (ret != 0)
		return ret;
	c = table_at(&l->counted, p, &new);
	memcpy(c->tac, p + COUNTER_BYTES, 4);
	return 0;
}

static int code_read(struct live *l, const uint8_t *p, size_t n)
{
	struct coded *c;
	bool new;
	int ret = n == TAP_CODE_BYTES + 1 && p[TAP_CODE_BYTES] <= 1 ? table_room(&l->coded, 1) : CLEARING_E_STORE;

	if (ret != 0)
		return ret;
	c = table_at(&l->coded, p, &new);
	c->verified = p[TAP_CODE_BYTES] != 0;
	return 0;
}

static bool receipt_read(const uint8_t *p, size_t n, struct answer *ret_key, struct receipt *ret)
{
	uint32_t number[5];

	*ret_key = (struct answer){ .used = 0 };
	p = get(get(get(p + 1, ret_key->device, sizeof(ret_key->device)), &ret->file_serial, 4), ret_key->digest, DIGEST_BYTES);
	be32_put(ret_key->file_serial, ret->file_serial);
	p = get(get(p, &ret->inbox_seq, 8), number, sizeof(number));
	*ret = (struct receipt){ .file_serial = ret->file_serial, .inbox_seq = ret->inbox_seq, .accepted = number[0], .pending = number[1],
				 .duplicate = number[2], .refused = number[3], .count = number[4] };
	if (ret->count > BATCH_TAPS_MAX || n != ANSWER_BYTES + ret->count || ret_key->device[DEVICE_BYTES_MAX] != '\0')
		return false;
	for (uint32_t i = 0; i < ret->count; i++)
		if ((ret->verdict[i] = p[i]) >= VERDICT_COUNT)
			return false;
	return true;
}

static int answer_read(struct live *l, const uint8_t *p, size_t n)
{
	struct table *t = n >= ANSWER_BYTES && p[0] <= 1 ? &l->answer[p[0]] : NULL;
	struct answer key;
	struct receipt r;

	if (t == NULL || !receipt_read(p, n, &key, &r))
		return CLEARING_E_STORE;
	return answer_put(t, &key, &r);
}

static int device_read(struct live *l, const uint8_t *p, size_t n)
{
	int64_t fen;
	int ret = n == DEVICE_BYTES_MAX + 1 + 8 && p[DEVICE_BYTES_MAX] == '\0' ? unproven_room(l->unproven) : CLEARING_E_STORE;

	if (ret != 0)
		return ret;
	get(p + DEVICE_BYTES_MAX + 1, &fen, 8);
	unproven_set(l->unproven, (const char *)p, fen);
	return 0;
}

static int ask_read(struct live *l, const uint8_t *p, size_t n)
{
	struct code_waiting w = { .seq = 0 };
	int ret = n == TAP_KEY_BYTES + 9 && code_route_of_scheme(p[TAP_KEY_BYTES]) != NULL ? code_asks_room(l->asks) : CLEARING_E_STORE;

	if (ret != 0)
		return ret;
	memcpy(w.key, p, TAP_KEY_BYTES);
	w.scheme = p[TAP_KEY_BYTES];
	get(p + TAP_KEY_BYTES + 1, &w.seq, 8);
	code_asks_add(l->asks, &w);
	return 0;
}

static int row_read(struct live *l, uint8_t kind, const uint8_t *p, size_t n, int32_t day, uint64_t file_bytes)
{
	switch ((enum image_kind)kind) {
	case IMAGE_SIZES: return sizes_read(l, p, n, file_bytes);
	case IMAGE_BLOCK: return block_read(l, p, n);
	case IMAGE_MARK: return single_read(l, p, n);
	case IMAGE_RIDER: return rider_read(l, p, n, day);
	case IMAGE_COUNTER: return counter_read(l, p, n);
	case IMAGE_CODE: return code_read(l, p, n);
	case IMAGE_ANSWER: return answer_read(l, p, n);
	case IMAGE_DEVICE: return device_read(l, p, n);
	case IMAGE_ASK: return ask_read(l, p, n);
	case IMAGE_END: return n == END_BYTES ? 0 : CLEARING_E_STORE;
	}
	return CLEARING_E_STORE;
}

/* Where a row will go. */
struct soon { const struct table *table; uint64_t hash; struct riding_key rider; };

static struct soon soon_of(const struct live *l, uint8_t kind, const uint8_t *p, size_t n)
{
	struct soon s = { .table = NULL };
	uint64_t person;

	if (kind == IMAGE_RIDER && n >= sizeof(person)) {
		get(p, &person, sizeof(person));
		s.rider = riding_key(l->riding, person);
	} else if (kind == IMAGE_COUNTER && n >= COUNTER_BYTES) {
		s.table = &l->counted;
	} else if (kind == IMAGE_CODE && n >= TAP_CODE_BYTES) {
		s.table = &l->coded;
	}
	if (s.table != NULL)
		s.hash = table_hash(s.table, p);
	return s;
}

/* Where rows further on will go is fetched meanwhile: they come in an order that the tables do not have. Many at a time, with
 * little between them, so that memory answers them together. */
static void fetch_ahead(struct live *l, struct image_in *in)
{
	struct soon soon[FETCH_ROWS];
	size_t rows = 0, bytes;
	const uint8_t *p;
	uint8_t kind;

	if (!image_ahead_due(in))
		return;
	while (rows < FETCH_ROWS && image_ahead(in, &kind, &p, &bytes))
		soon[rows++] = soon_of(l, kind, p, bytes);
	for (size_t i = 0; i < rows; i++)
		if (soon[i].table != NULL)
			table_prefetch_by(soon[i].table, soon[i].hash);
		else if (soon[i].rider.person != 0)
			riding_prefetch(l->riding, soon[i].rider);
	for (size_t i = 0; i < rows; i++)	/* of a change, what it was before */
		if (soon[i].table != NULL)
			table_prefetch_entry_by(soon[i].table, soon[i].hash);
		else if (soon[i].rider.person != 0)
			riding_prefetch_entry(l->riding, soon[i].rider);
}

static void end_read(struct live *l, const uint8_t *p, uint64_t *ret_seq, uint8_t ret_event[IMAGE_DIGEST_BYTES])
{
	struct live_totals *s = &l->totals;

	get(get(get(p, ret_seq, 8), ret_event, IMAGE_DIGEST_BYTES), s, sizeof(*s));
	rater_sums_set(l->rater, s->published_fen, s->rated_fen, s->subsidy_fen);
	s->published_fen = s->rated_fen = s->subsidy_fen = 0;
}

const char *live_image_read(struct live *l, struct image_in *in, int32_t day, uint64_t *ret_seq, uint8_t ret_event[IMAGE_DIGEST_BYTES])
{
	const char *why = NULL;
	const uint8_t *p;
	uint8_t kind;
	size_t n;
	int got, ret;

	while ((got = image_next(in, &kind, &p, &n, &why)) == 1) {
		fetch_ahead(l, in);
		ret = row_read(l, kind, p, n, day, image_bytes(in));
		if (ret != 0)
			return ret == -ENOMEM ? "no memory" : "it has a row that does not hold what its kind demands";
		if (kind == IMAGE_END)
			end_read(l, p, ret_seq, ret_event);
	}
	return got == 0 ? NULL : why;
}
