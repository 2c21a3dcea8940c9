/*
 * tap_like - tap records of one form, read by moving their bytes. A form is what a record looks like: which of its bytes are of msgpack, and
 * say types and lengths, or of texts, and are to be the same in the next; and where each byte of a value goes in struct tap, of which sixteen
 * are moved at a time. Forms are made of records that tap_read() took and that are as our encoder writes them. Of another record that has
 * these bytes every value begins and ends where this one's did; what more tap_read() asks of values is asked of it too.
 *
 * What is otherwise is left to tap_read(), and so is all on processors that have no such move (x86's is PSHUFB, of 2006).
 */
#include "validator/validator.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "keys/octets.h"

#include "validator/cursor.h"
#include "validator/tap_sane.h"

/* ---- a form is made -------------------------------------------------------------------------------------------- */

/* In the making: of p, n bytes, up to at; fits: so far it is as our encoder writes it. */
struct making { struct tap_form *form; const uint8_t *p; unsigned n, at; bool fits; };

static void move_open(struct making *m, unsigned to, unsigned at)
{
	struct tap_move *move = &m->form->move[m->form->moves];

	m->fits = m->form->moves < TAP_FORM_MOVES_MAX - 1 && to + sizeof(move->from) <= sizeof(struct tap);
	if (!m->fits)
		return;
	memset(move->from, 0x80, sizeof(move->from));
	move->to = (uint16_t)to;
	move->at = (uint16_t)(at + sizeof(move->from) <= m->n ? at : m->n - sizeof(move->from));
	m->form->moves++;
}

/* The move for a field of so many bytes, and a value of so many at at: the last one, or one more. NULL: there is no room for it. What it
 * puts behind its own fields is put right by the next. */
static struct tap_move *move_for(struct making *m, unsigned to, unsigned bytes, unsigned at, unsigned value)
{
	const struct tap_move *last = &m->form->move[m->form->moves > 0 ? m->form->moves - 1 : 0];

	if (m->form->moves == 0 || to + bytes > last->to + sizeof(last->from) || at + value > last->at + sizeof(last->from))
		move_open(m, to, at);
	return m->fits ? &m->form->move[m->form->moves - 1] : NULL;
}

/* Its bytes from the last on, width of them, and zeros; all at once. */
static void number_from(uint8_t *from, unsigned bytes, unsigned last, unsigned width)
{
	uint64_t used = UINT64_MAX >> (64 - 8 * width), back = last * 0x0101010101010101 - 0x0706050403020100;
	uint64_t all = (back & used) | (0x8080808080808080 & ~used);
	uint32_t half = (uint32_t)all;

	if (bytes == sizeof(half))
		memcpy(from, &half, sizeof(half));
	else
		memcpy(from, &all, sizeof(all));
}

/* A number goes with its last byte first into a field of so many bytes, as little-endian machines have it: others do not come here. What it is at
 * most is all its bytes can say, or all but the first bits, which then are to be zero. */
static void number_make(struct making *m, unsigned to, unsigned bytes, uint64_t max)
{
	uint8_t type = m->p[m->at];
	unsigned head = type > 0x7F, value = m->at + head, width = head ? 1u << type % 4 : 1;
	uint64_t says = head && width <= bytes ? UINT64_MAX >> (64 - 8 * width) : 0;
	struct tap_move *move;
	uint8_t low = 0x7F;

	while (low > max)
		low >>= 1;
	m->fits = head ? type >= 0xCC && type <= 0xCF && width <= bytes && says / 2 <= max : type <= low;
	if (!m->fits)
		return;
	m->form->mask[m->at] = head ? 0xFF : (uint8_t)~low;
	if (says > max)
		m->form->mask[value] = 0x80;
	m->at = value + width;
	move = move_for(m, to, bytes, value, width);
	if (move != NULL)
		number_from(move->from + (to - move->to), bytes, m->at - 1 - move->at, width);
}

static const uint8_t places[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

/* bytes of a field are n of the record's, in order. */
static void bytes_make(struct making *m, unsigned to, unsigned bytes, unsigned at, unsigned n)
{
	struct tap_move *move = move_for(m, to, bytes, at, n);

	if (move != NULL)
		memcpy(move->from + (to - move->to), places + (at - move->at), n);
}

static void bin_make(struct making *m, unsigned to, unsigned bytes)
{
	m->fits = be16_get(m->p + m->at) == (0xC400 | bytes);
	if (!m->fits)
		return;
	memset(m->form->mask + m->at, 0xFF, 2);
	bytes_make(m, to, bytes, m->at + 2, bytes);
	m->at += 2 + bytes;
}

/* A text of up to 31 bytes, and the zero behind it. */
static void str_make(struct making *m, unsigned to)
{
	unsigned n = m->p[m->at] & 0x1F, at = m->at + 1;

	m->fits = (m->p[m->at] & 0xE0) == 0xA0;
	if (!m->fits)
		return;
	memset(m->form->mask + m->at, 0xFF, 1 + n);
	memset(m->form->text + at, 0xFF, n);
	m->form->texts[m->form->text_count++] = (struct tap_text){ (uint16_t)at, (uint16_t)n };
	bytes_make(m, to, 16, at, n < 16 ? n : 16);
	if (n >= 16)
		bytes_make(m, to + 16, 16, at + 16, n - 16);
	m->at = at + n;
}

/* A code is read in full: here there is none. */
static void var_make(struct making *m)
{
	m->fits = be16_get(m->p + m->at) == 0xC400;
	if (!m->fits)
		return;
	memset(m->form->mask + m->at, 0xFF, 2);
	m->at += 2;
	m->form->code_at = (uint16_t)m->at;
}

#define MAKE_UINT(name, arg)	number_make(m, offsetof(struct tap, name), sizeof(uint32_t), arg);
#define MAKE_INT(name, arg)	number_make(m, offsetof(struct tap, name), sizeof(int64_t), INT64_MAX);
#define MAKE_BIN(name, arg)	static_assert((arg) <= 16, "one move"); bin_make(m, offsetof(struct tap, name), arg);
#define MAKE_VAR(name, arg)	var_make(m);
#define MAKE_STR(name, arg)	str_make(m, offsetof(struct tap, name));
#define MAKE_FIELD(name, type, arg, text) if (!m->fits) return; MAKE_##type(name, arg)

#define TEXT_UINT
#define TEXT_INT
#define TEXT_BIN
#define TEXT_VAR
#define TEXT_STR		+ 1
#define TEXT_FIELD(name, type, arg, text) TEXT_##type
static_assert(0 TAP_FIELDS(TEXT_FIELD) == TAP_FORM_TEXTS_MAX, "one for each");

/* Each field is a value further on, until one does not fit. */
static void fields_make(struct making *m)
{
	TAP_FIELDS(MAKE_FIELD)
}

/* Of a record that tap_read() took, of TAP_FORM_BYTES_MAX at most. False: it is otherwise than our encoder writes it. */
static bool form_make(struct tap_form *f, const uint8_t *p, size_t n)
{
	struct making m = { .form = f, .p = p, .n = (unsigned)n, .at = 3, .fits = true };

	if (p[0] != 0xDC || be16_get(p + 1) != TAP_FIELD_COUNT || p[3] != TAP_VERSION)
		return false;
	memset(f, 0, offsetof(struct tap_form, move));
	memcpy(f->want, p, n);
	f->bytes = (uint16_t)n;
	f->moves = f->text_count = 0;
	fields_make(&m);
	if (!m.fits)
		return false;
	assert(m.at == n);
	memset(f->mask, 0xFF, 4);	/* the fields there are, the version */
	for (unsigned i = 0; i < TAP_FORM_BYTES_MAX; i++)
		f->want[i] &= f->mask[i];
	if (f->moves % 2 != 0) {	/* they are done by twos, and the last may be done twice */
		f->move[f->moves] = f->move[f->moves - 1];
		f->moves++;
	}
	return true;
}

/* ---- a record of a form ------------------------------------------------------------------------------------------ */

#ifdef __x86_64__
#include <tmmintrin.h>

static bool moves_bytes(void) { return __builtin_cpu_supports("ssse3"); }

#define VECTORS __attribute__((target("ssse3")))

static inline VECTORS __m128i piece(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline VECTORS __m128i piece_of_form(const uint8_t *p) { return _mm_load_si128((const __m128i *)p); }	/* at a sixteenth byte */

/* What bits of sixteen bytes are others than those to be there; at is a multiple of sixteen. */
static inline VECTORS __m128i others(const struct tap_form *f, const uint8_t *p, size_t at)
{
	return _mm_xor_si128(_mm_and_si128(piece(p + at), piece_of_form(f->mask + at)), piece_of_form(f->want + at));
}

/* Of the last sixteen bytes. */
static inline VECTORS __m128i others_last(const struct tap_form *f, const uint8_t *p)
{
	size_t at = f->bytes - 16u;

	return _mm_xor_si128(_mm_and_si128(piece(p + at), piece(f->mask + at)), piece(f->want + at));
}

static inline VECTORS bool none(__m128i bits) { return _mm_movemask_epi8(_mm_cmpeq_epi8(bits, _mm_setzero_si128())) == 0xFFFF; }

/* The types that are most often others, of a counter and of amounts, are here when what is before them is as usual; and no text is. */
static inline VECTORS bool mostly_same(const struct tap_form *f, const uint8_t *p) { return none(others(f, p, 32)); }

static inline VECTORS bool all_same(const struct tap_form *f, const uint8_t *p)
{
	size_t last = f->bytes - 16u, at = 0;
	__m128i found = others_last(f, p);

	for (; at + 32 <= last; at += 32)
		found = _mm_or_si128(found, _mm_or_si128(others(f, p, at), others(f, p, at + 16)));
	for (; at < last; at += 16)
		found = _mm_or_si128(found, others(f, p, at));
	return none(found);
}

/* Mostly they are not, when all is not. */
static VECTORS bool all_but_texts_same(const struct tap_form *f, const uint8_t *p)
{
	size_t last = f->bytes - 16u;
	__m128i found = _mm_andnot_si128(piece(f->text + last), others_last(f, p));

	for (size_t at = 0; at < last; at += 16)
		found = _mm_or_si128(found, _mm_andnot_si128(piece_of_form(f->text + at), others(f, p, at)));
	return none(found);
}

static inline VECTORS void move_do(const struct tap_move *m, const uint8_t *p, struct tap *t)
{
	_mm_storeu_si128((__m128i *)((uint8_t *)t + m->to), _mm_shuffle_epi8(piece(p + m->at), piece_of_form(m->from)));
}

static inline VECTORS void moves_do(const struct tap_form *f, const uint8_t *p, struct tap *t)
{
	for (const struct tap_move *m = f->move, *end = m + f->moves; m < end; m += 2) {
		move_do(m, p, t);
		move_do(m + 1, p, t);
	}
}
#else
#define VECTORS
static bool moves_bytes(void) { return false; }
static bool mostly_same(const struct tap_form *f, const uint8_t *p) { (void)f; (void)p; return false; }
static bool all_same(const struct tap_form *f, const uint8_t *p) { (void)f; (void)p; return false; }
static bool all_but_texts_same(const struct tap_form *f, const uint8_t *p) { (void)f; (void)p; return false; }
static void moves_do(const struct tap_form *f, const uint8_t *p, struct tap *t) { (void)f; (void)p; (void)t; }
#endif

/* Other texts, as long as those before, as another device has them, and all else the same: they are to be so from now on, if they are texts. */
static __attribute__((noinline)) bool texts_take(struct tap_form *f, const uint8_t *p)
{
	if (!all_but_texts_same(f, p))
		return false;
	for (unsigned i = 0; i < f->text_count; i++) {
		if (!utf8_valid(p + f->texts[i].at, f->texts[i].bytes))
			return false;
		memcpy(f->want + f->texts[i].at, p + f->texts[i].at, f->texts[i].bytes);
	}
	return true;
}

static inline VECTORS bool form_read(struct tap_form *f, const uint8_t *p, struct tap *t)
{
	if (!mostly_same(f, p) || (!all_same(f, p) && !texts_take(f, p)))
		return false;
	moves_do(f, p, t);
	t->qr.p = p + f->code_at;
	t->qr.n = 0;
	return tap_fault(t) == NULL;
}

static void form_first(struct tap_set *s, unsigned i)
{
	uint8_t k = s->order[i];

	memmove(s->order + 1, s->order, i);
	s->order[0] = k;
}

/* Those that were of use lately are tried first. */
static VECTORS bool forms_read(struct tap_set *s, const uint8_t *p, size_t n, struct tap *t)
{
	for (unsigned i = 0; i < s->count; i++) {
		unsigned k = s->order[i];

		if (n != s->bytes[k] || !form_read(&s->form[k], p, t))
			continue;
		if (i > 0)
			form_first(s, i);
		return true;
	}
	return false;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

#define CREDIT_MAX 24
#define FORM_COSTS 12		/* records read, for each form made: so what it takes to make one is small beside what they take */

/* In the place of the one that was of no use for longest. */
static void form_take(struct tap_set *s, const uint8_t *p, size_t n)
{
	unsigned last = s->count < TAP_FORMS_OF_SET ? s->count : TAP_FORMS_OF_SET - 1u;

	if (s->count < TAP_FORMS_OF_SET)
		s->order[s->count++] = (uint8_t)last;
	form_first(s, last);
	s->bytes[s->order[0]] = form_make(&s->form[s->order[0]], p, n) ? (uint16_t)n : 0;
}

/* In full; what it looks like for the next, where that may pay. */
static int full_read(struct tap_set *s, const uint8_t *p, size_t n, struct tap *t, const char **ret_field)
{
	int ret = tap_read(p, n, t, ret_field);

	if (ret != 0 || s->credit < FORM_COSTS || n > TAP_FORM_BYTES_MAX || t->qr.n > 0 || !moves_bytes())
		return ret;
	s->credit -= FORM_COSTS;
	form_take(s, p, n);
	return 0;
}

int tap_like_read(struct tap_forms *forms, const uint8_t *p, size_t n, struct tap *t, const char **ret_field)
{
	struct tap_set *s = &forms->set[n % TAP_FORM_SETS];

	if (s->credit < CREDIT_MAX)
		s->credit++;
	return s->count > 0 && n > 0 && forms_read(s, p, n, t) ? 0 : full_read(s, p, n, t, ret_field);
}

void batch_taps_decode(const struct batch *b, struct batch_taps *ret)
{
	static _Thread_local struct tap_forms forms;
	const char *field;

	for (uint32_t i = 0; i < b->count; i++)
		ret->good[i] = tap_like_read(&forms, b->tap[i].p, b->tap[i].n, &ret->tap[i], &field) == 0;
}
