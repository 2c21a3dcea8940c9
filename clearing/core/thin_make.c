/*
 * thin_make - a batch made thin, in the thread that received it: records are compared with one of their length, sixteen bytes at
 * a time, and then only what differs anywhere is copied.
 */
#include "clearing/core/thin.h"

#include <assert.h>

#include "clearing/core/thin_form.h"

#define LENGTHS_MAX 8		/* different ones of a batch that are counted */
#define GROUP_ROWS_MIN 9	/* of a further group: fewer take less room as odd ones */
#define ROWS_FEW 4		/* a group of fewer does not yet know where its records differ */
#define NEW_MAX 16		/* places at which only one record differs from all before: more make it odd */
#define ODD 0xFF
#define PIECE_MAX 255
#define EDIT_MAX 8		/* bytes of a record that stand for other ones, at most, where it can be helped */
#define EVERY_OTHER 0x00FF00FF00FF00FFu
#define AHEAD 16		/* bytes that must fit behind an edit: of these, eight from EDIT_MAX on whatever it stands for */

static_assert(EDIT_MAX == 8 && AHEAD >= EDIT_MAX + 8, "see shifts_find");

typedef uint8_t lane __attribute__((vector_size(16)));

/* Records of one length, all near the first of them; alike: 0xFF where none of them differs, else 0; own: how many bytes do. */
struct kin {
	const uint8_t *first; uint32_t length, count;
	size_t own;
	uint8_t marks[2]; bool marks_differ;
	uint8_t alike[TAP_ENCODED_BYTES_MAX];
};
struct making {
	const struct thin_of *of;
	uint8_t *out; size_t used, limit;
	struct kin group[GROUPS_MAX]; unsigned groups;
	uint8_t of_group[BATCH_TAPS_MAX];
	/* odd ones: what the first group's records have alike and where; the runs of it; a record, and what it has in the places of that group's */
	uint8_t like[TAP_ENCODED_BYTES_MAX + AHEAD], fixed[TAP_ENCODED_BYTES_MAX + AHEAD];
	const uint8_t *run, *run_end;
	uint8_t record[TAP_ENCODED_BYTES_MAX + AHEAD], as[TAP_ENCODED_BYTES_MAX + AHEAD];
};

static lane lane_of(const uint8_t *p)
{
	lane v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* ---- which are alike ---------------------------------------------------------------------------------------------------- */

static unsigned lane_sum(lane sum)
{
	uint64_t half[2];

	memcpy(half, &sum, sizeof(half));
	half[0] = (half[0] & EVERY_OTHER) + (half[0] >> 8 & EVERY_OTHER) + (half[1] & EVERY_OTHER) + (half[1] >> 8 & EVERY_OTHER);
	return (unsigned)((half[0] * 0x0001000100010001u) >> 48);
}

/* Not 0 in each of 16 bytes that differs from the group's first record where none did before. */
static lane lane_new(const struct kin *g, const uint8_t *p, size_t i) { return (lane_of(p + i) ^ lane_of(g->first + i)) & lane_of(g->alike + i); }

static bool differ_new(const struct kin *g, const uint8_t *p)
{
	lane any = lane_new(g, p, g->length - 16);
	uint64_t half[2];
	size_t i;

	for (i = 0; i + 32 <= g->length; i += 32)
		any |= lane_new(g, p, i) | lane_new(g, p, i + 16);
	if (i + 16 <= g->length)
		any |= lane_new(g, p, i);
	memcpy(half, &any, sizeof(half));
	return (half[0] | half[1]) != 0;
}

static lane lane_count(const struct kin *g, const uint8_t *p, size_t i) { return (lane)(lane_new(g, p, i) != 0) & 1; }

/* How many there are. Some of the last are counted twice when they fill no sixteen. */
static unsigned differ_count(const struct kin *g, const uint8_t *p)
{
	lane sum = { 0 };
	size_t i;

	for (i = 0; i + 16 <= g->length; i += 16)
		sum += lane_count(g, p, i);
	if (i < g->length)
		sum += lane_count(g, p, g->length - 16);
	return lane_sum(sum);
}

static void lane_differ(struct kin *g, const uint8_t *p, size_t i)
{
	lane v = lane_of(g->alike + i) & (lane)(lane_of(p + i) == lane_of(g->first + i));

	memcpy(g->alike + i, &v, sizeof(v));
}

static void differ_add(struct kin *g, const uint8_t *p)
{
	for (size_t i = 0; i + 16 <= g->length; i += 16)
		lane_differ(g, p, i);
	lane_differ(g, p, g->length - 16);
}

static bool differ_none(const struct kin *g)
{
	return g->alike[0] != 0 && memcmp(g->alike, g->alike + 1, g->length - 1) == 0;
}

/* A group for each of the lengths that most records have. */
static void lengths_find(struct making *m)
{
	struct { uint32_t n, count; } length[LENGTHS_MAX];
	const struct batch *b = m->of->batch;
	unsigned lengths = 0, k;

	for (uint32_t i = 0; i < b->count; i++) {
		for (k = 0; k < lengths && length[k].n != b->tap[i].n; k++)
			;
		if (k < lengths)
			length[k].count++;
		if (k < lengths || lengths == LENGTHS_MAX || b->tap[i].n < 16)
			continue;
		length[lengths].n = b->tap[i].n;
		length[lengths++].count = 1;
	}
	for (m->groups = 0; m->groups < GROUPS_MAX; m->groups++) {
		unsigned most = 0;

		for (k = 1; k < lengths; k++)
			if (length[k].count > length[most].count)
				most = k;
		if (lengths == 0 || length[most].count < (m->groups > 0 ? GROUP_ROWS_MIN : 1))
			break;
		m->group[m->groups].length = length[most].n;
		m->group[m->groups].count = 0;
		length[most].count = 0;
	}
}

static uint8_t group_of(struct making *m, uint32_t i)
{
	const uint8_t *p = m->of->batch->tap[i].p, *marks = m->of->marks + 2 * i;
	uint32_t n = m->of->batch->tap[i].n;
	struct kin *g = m->group;
	unsigned k, more = 0;

	for (k = 0; k < m->groups && g->length != n; k++)
		g++;
	if (k == m->groups)
		return ODD;
	if (g->count == 0) {
		g->first = p;
		memcpy(g->marks, marks, 2);
		g->marks_differ = false;
		memset(g->alike, 0xFF, n);
	}
	if (differ_new(g, p))
		more = differ_count(g, p);
	if (more > (g->count < ROWS_FEW ? n / 2 : NEW_MAX))
		return ODD;
	if (more > 0)
		differ_add(g, p);
	g->marks_differ = g->marks_differ || memcmp(g->marks, marks, 2) != 0;
	g->count++;
	return (uint8_t)k;
}

/* ---- written ------------------------------------------------------------------------------------------------------------ */

static bool room(const struct making *m, size_t n) { return n <= m->limit - m->used; }

/* Runs: bytes that are alike, bytes that differ. */
static bool runs_put(struct making *m, struct kin *g)
{
	g->own = 0;
	for (size_t i = 0; i < g->length;) {
		uint8_t *run = m->out + m->used;

		if (!room(m, 2))
			return false;
		run[0] = run[1] = 0;
		for (; i < g->length && g->alike[i] != 0 && run[0] < RUN_MAX; i++)
			run[0]++;
		for (; i < g->length && g->alike[i] == 0 && run[1] < RUN_MAX; i++)
			run[1]++;
		g->own += run[1];
		m->used += 2;
	}
	return true;
}

static void same_put(struct making *m, const struct kin *g, const uint8_t *run, const uint8_t *end)
{
	for (const uint8_t *p = g->first; run < end; p += run[0] + run[1], run += 2) {
		memcpy(m->out + m->used, p, run[0]);
		m->used += run[0];
	}
}

/* Sixteen bytes behind the record may be read. */
static uint8_t *row_put(uint8_t *to, const uint8_t *p, const uint8_t *run, const uint8_t *end)
{
	for (; run < end; run += 2) {
		p += run[0];
		memcpy(to, p, 16);
		to += run[1];
		p += run[1];
	}
	return to;
}

static uint8_t *row_put_last(uint8_t *to, const uint8_t *p, size_t n, const uint8_t *run, const uint8_t *end)
{
	uint8_t copy[THIN_RECORD_ROOM];

	memcpy(copy, p, n);
	memset(copy + n, 0, 16);
	return row_put(to, copy, run, end);
}

static void rows_put(struct making *m, unsigned k, const uint8_t *run, const uint8_t *end)
{
	const uint8_t *frame_end = m->of->frame + m->of->frame_bytes;
	const struct batch *b = m->of->batch;
	uint8_t *to = m->out + m->used;

	for (uint32_t i = 0; i < b->count; i++) {
		if (m->of_group[i] != k)
			continue;
		if (k > 0) {
			be16_put(to, (uint16_t)i);
			to += 2;
		}
		if (m->group[k].marks_differ) {
			memcpy(to, m->of->marks + 2 * i, 2);
			to += 2;
		}
		if ((size_t)(frame_end - b->tap[i].p) >= b->tap[i].n + 16u)
			to = row_put(to, b->tap[i].p, run, end);
		else
			to = row_put_last(to, b->tap[i].p, b->tap[i].n, run, end);
	}
	m->used = (size_t)(to - m->out);
}

/* One byte differs at least, so that rows can be told from each other by where they lie. */
static bool group_put(struct making *m, unsigned k)
{
	struct kin *g = &m->group[k];
	uint8_t *head = m->out + FORM_HEAD_BYTES + k * GROUP_BYTES;
	size_t runs = m->used, same, rows, lead = (k > 0 ? 2u : 0u) + (g->marks_differ ? 2u : 0u);

	if (differ_none(g))
		g->alike[g->length - 1] = 0;
	if (!runs_put(m, g))
		return false;
	same = m->used;
	rows = same + g->length - g->own;
	if (!room(m, g->length - g->own + g->count * (lead + g->own)))
		return false;
	if (k == 0) {
		m->run = m->out + runs;
		m->run_end = m->out + same;
	}
	same_put(m, g, m->out + runs, m->out + same);
	rows_put(m, k, m->out + runs, m->out + same);
	be16_put(head, (uint16_t)runs);
	be16_put(head + 2, (uint16_t)same);
	be16_put(head + 4, (uint16_t)rows);
	be16_put(head + 6, (uint16_t)g->count);
	be16_put(head + 8, (uint16_t)g->length);
	be16_put(head + 10, (uint16_t)(lead + g->own));
	memcpy(head + 12, g->marks, 2);
	head[14] = (uint8_t)lead;
	head[15] = 0;
	return true;
}

/* ---- odd ones ----------------------------------------------------------------------------------------------------------- */

static uint64_t eight(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Before the first: what it will be compared with. */
static void odds_begin(struct making *m)
{
	const struct kin *g = &m->group[0];

	memcpy(m->like, g->first, g->length);
	memset(m->like + g->length, 0, AHEAD);
	memcpy(m->fixed, g->alike, g->length);
	memset(m->fixed + g->length, 0, AHEAD);
}

/* Not 0 when one of eight bytes from done on is not as the group's from from on, which all have alike. */
static uint64_t unlike(const struct making *m, size_t done, size_t from)
{
	return (eight(m->record + done) ^ eight(m->like + from)) & eight(m->fixed + from);
}

/* How many of the most bytes go on as those of the group do: as all of them, or where they differ anyway. */
static size_t same_count(const struct making *m, size_t done, size_t from, size_t most)
{
	size_t same = 0;

	while (same + 8 <= most && unlike(m, done + same, from + same) == 0)
		same += 8;
	while (same < most && (m->fixed[from + same] == 0 || m->record[done + same] == m->like[from + same]))
		same++;
	return same;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* By how much more or less the record may have than the group before eight bytes that every edit leaves to the group: a bit each, from EDIT_MAX
 * less to EDIT_MAX more. Mostly there is none or one, where to try each edit would be eighty-one comparisons. */
static uint32_t shifts_find(const struct making *m, size_t done, size_t from)
{
	uint32_t shifts = 0;

	for (unsigned i = 0; i <= 2 * EDIT_MAX; i++)
		shifts |= (uint32_t)(unlike(m, done + i, from + EDIT_MAX) == 0) << i;
	return shifts;
}

/* The fewest bytes from done on that stand for the fewest from from on, so that sixteen behind them fit; where none do, the most. */
static void edit_find(const struct making *m, size_t n, size_t done, size_t from, size_t *ret_here, size_t *ret_there)
{
	size_t left = m->group[0].length - from, here_most = least(n - done, left > 0 ? EDIT_MAX : PIECE_MAX), there_most = least(left, EDIT_MAX);
	uint32_t shifts = here_most == EDIT_MAX && there_most == EDIT_MAX ? shifts_find(m, done, from) : UINT32_MAX;

	for (size_t both = 1; left > 0 && shifts != 0 && both <= here_most + there_most; both++)
		for (size_t here = both > there_most ? both - there_most : 0; here <= least(both, here_most); here++)
			if ((shifts >> (EDIT_MAX + 2 * here - both) & 1) != 0 && unlike(m, done + here, from + both - here) == 0 &&
			    unlike(m, done + here + 8, from + both - here + 8) == 0) {
				*ret_here = here;
				*ret_there = both - here;
				return;
			}
	*ret_here = here_most;
	*ret_there = there_most;
}

static bool edits_put(struct making *m, size_t n)
{
	size_t done = 0, from = 0;

	while (done < n) {
		size_t same = same_count(m, done, from, least(PIECE_MAX, least(n - done, m->group[0].length - from))), here = 0, there = 0;

		memcpy(m->as + from, m->record + done, same);
		done += same;
		from += same;
		if (same < PIECE_MAX && done < n)
			edit_find(m, n, done, from, &here, &there);
		if (!room(m, EDIT_BYTES + here))
			return false;
		m->out[m->used++] = (uint8_t)same;
		m->out[m->used++] = (uint8_t)here;
		m->out[m->used++] = (uint8_t)there;
		memcpy(m->out + m->used, m->record + done, here);
		m->used += here;
		done += here;
		from += there;
	}
	return true;
}

/* A record as one of the first group that was edited. */
static bool odd_put(struct making *m, uint32_t i)
{
	size_t own = m->group[0].own, at = m->used + ODD_HEAD_BYTES, n = m->of->batch->tap[i].n;
	uint8_t row[THIN_RECORD_ROOM];

	if (!room(m, ODD_HEAD_BYTES + own))
		return false;
	memcpy(m->record, m->of->batch->tap[i].p, n);
	memset(m->record + n, 0, AHEAD);
	memcpy(m->as, m->like, m->group[0].length + AHEAD);
	be16_put(m->out + m->used, (uint16_t)i);
	be16_put(m->out + m->used + 2, (uint16_t)n);
	memcpy(m->out + m->used + 4, m->of->marks + 2 * i, 2);
	m->used = at + own;
	if (!edits_put(m, n))
		return false;
	row_put(row, m->as, m->run, m->run_end);
	memcpy(m->out + at, row, own);
	return true;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------- */

/* The records stand one behind the other, each behind its length in the shortest form. */
static bool frame_plain(const struct thin_of *of)
{
	const struct batch *b = of->batch;

	for (uint32_t i = 0; i < b->count; i++) {
		const uint8_t *p = b->tap[i].p;
		uint32_t n = b->tap[i].n;

		if (n < 256 ? be16_get(p - 2) != (0xC400 | n) : n > TAP_ENCODED_BYTES_MAX || p[-3] != 0xC5 || be16_get(p - 2) != (uint16_t)n)
			return false;
		if (i > 0 && p != b->tap[i - 1].p + b->tap[i - 1].n + thin_length_bytes(n))
			return false;
	}
	return true;
}

static bool rest_put(struct making *m, size_t odd)
{
	const struct thin_of *of = m->of;
	const struct batch *b = of->batch;
	const uint8_t *first = b->tap[0].p - thin_length_bytes(b->tap[0].n), *end = b->tap[b->count - 1].p + b->tap[b->count - 1].n;
	size_t prefix = (size_t)(first - of->frame), suffix = (size_t)(of->frame + of->frame_bytes - end), rest = m->used;
	uint8_t *head = m->out;

	if (!room(m, of->head_bytes + prefix + suffix))
		return false;
	memcpy(m->out + m->used, of->head, of->head_bytes);
	m->used += of->head_bytes;
	memcpy(m->out + m->used, of->frame, prefix);
	m->used += prefix;
	memcpy(m->out + m->used, end, suffix);
	m->used += suffix;
	head[0] = THIN_VERSION;
	head[1] = (uint8_t)m->groups;
	be16_put(head + 2, (uint16_t)b->count);
	be32_put(head + 4, (uint32_t)(of->head_bytes + 2 * b->count + of->frame_bytes));
	be16_put(head + 8, (uint16_t)odd);
	be16_put(head + 10, (uint16_t)rest);
	be16_put(head + 12, (uint16_t)prefix);
	head[14] = (uint8_t)of->head_bytes;
	head[15] = 0;
	return true;
}

size_t thin_make(const struct thin_of *of, uint8_t *out)
{
	static _Thread_local struct making m;
	const struct batch *b = of->batch;
	size_t bytes = of->head_bytes + 2 * b->count + of->frame_bytes, odd;
	bool good = true;

	if (b->count < 2 || of->head_bytes < THIN_HEAD_BYTES_MIN || of->head_bytes > UINT8_MAX || !frame_plain(of))
		return 0;
	m.of = of;
	m.out = out;
	m.limit = bytes - 1 < THIN_BYTES_MAX ? bytes - 1 : THIN_BYTES_MAX;
	lengths_find(&m);
	m.used = FORM_HEAD_BYTES + m.groups * GROUP_BYTES;
	if (m.groups == 0 || m.used > m.limit)
		return 0;
	for (uint32_t i = 0; i < b->count; i++)
		m.of_group[i] = group_of(&m, i);
	for (unsigned k = 0; good && k < m.groups; k++)
		good = group_put(&m, k);
	odd = m.used;
	odds_begin(&m);
	for (uint32_t i = 0; good && i < b->count; i++)
		if (m.of_group[i] == ODD)
			good = odd_put(&m, i);
	return good && rest_put(&m, odd) ? m.used : 0;
}
