/*
 * clear_alike - what many records of a day say alike. Of what rating asks of a record most is said by many: the terminal, its
 * vehicle and line, the kind of card. It is kept once, found by its bytes while records are collected in the order they lie in;
 * stops and amounts lie with each record. Rating, which takes them by person, puts a record together from both and does not read it a
 * second time. Where records say little alike, all are read again.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/keyed.h"
#include "clearing/pages.h"

#define RECORDS_PER_ALIKE 8		/* on the average at least: those beyond are read again */
#define ALIKES_MIN 1024
#define TRIED 16384			/* records after which it is known whether they say much alike */
#define TRIED_PER_ALIKE 4		/* by then, or none is looked for again: they would be made and hardly found */

struct alike {
	struct keyed head;
	struct span_ms stays; const struct terminal_row *terminal; const struct issuer_row *issuer;	/* in force for taps of these times */
	uint32_t operator_id; uint8_t scheme;	/* by them */
	const struct tariff *tariff; struct ride ride;	/* how that pack sees it; NULL: there is none */
	bool brief;				/* its line's name is shorter than BRIEF bytes */
	struct tap tap;				/* without what is its own: the card, the times, counters and codes; stops and amounts of the first */
};
#define BRIEF 16
#define RECENT_BITS 8
struct alikes { struct keyed_list list; size_t max, tried; struct alike *recent[1 << RECENT_BITS]; };	/* recent: by recent_at() the last found there */

int alikes_new(size_t records, struct alikes **ret)
{
	struct alikes *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return -ENOMEM;
	a->max = records / RECORDS_PER_ALIKE + ALIKES_MIN;
	*ret = a;
	return 0;
}

void alikes_free(struct alikes *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->list.count; i++)
		free(a->list.item[i]);
	keyed_done(&a->list);
	free(a);
}

#define FIELDS_UINT(X) X(kind) X(medium) X(flags) X(card_class) X(card_subtype) X(operator_id) X(direction) X(tariff_version) X(distance_m)
#define FIELDS_TOLD(X) X(stop) X(stop_on) X(amount_fen) X(list_fen)	/* each record's own */
#define FIELDS_BIN(X) X(terminal) X(issuer)
#define FIELDS_STR(X) X(line) X(vehicle) X(series)
#define KEY_BYTES_MAX sizeof(struct tap)

/* What rating asks of a record, as bytes; the texts with their ends. */
static uint32_t key_make(const struct tap *tap, uint8_t *out)
{
	uint8_t *p = out;

#define UINT(name) memcpy(p, &tap->name, sizeof(tap->name)); p += sizeof(tap->name);
#define STR(name) p = (uint8_t *)stpcpy((char *)p, tap->name) + 1;
	FIELDS_UINT(UINT)
	FIELDS_BIN(UINT)
	FIELDS_STR(STR)
#undef STR
#undef UINT
	return (uint32_t)(p - out);
}

static uint32_t operator_of(const struct tap *tap, const struct terminal_row *terminal) { return terminal != NULL ? terminal->operator_id : tap->operator_id; }

static uint8_t scheme_by(const struct tap *tap, const struct issuer_row *issuer) { return (uint8_t)scheme_of_tap(tap, issuer != NULL && issuer->ours); }

static struct alike *alike_new(const struct refdata *ref, const struct tap *tap, const struct keyed *key)
{
	struct alike *a = calloc(1, sizeof(*a) + key->key_bytes);

	if (a == NULL)
		return NULL;
	a->head = (struct keyed){ memcpy(a + 1, key->key, key->key_bytes), key->key_bytes, key->hash };
#define UINT(name) a->tap.name = tap->name;
#define BIN(name) memcpy(a->tap.name, tap->name, sizeof(tap->name));
#define STR(name) strcpy(a->tap.name, tap->name);
	FIELDS_UINT(UINT)
	FIELDS_TOLD(UINT)
	FIELDS_BIN(BIN)
	FIELDS_STR(STR)
#undef STR
#undef BIN
#undef UINT
	a->brief = strlen(tap->line) < BRIEF;
	a->stays = (struct span_ms){ INT64_MIN, INT64_MAX };
	a->terminal = refdata_terminal_while(ref, tap->terminal, tap->time_ms, &a->stays);
	a->issuer = refdata_issuer_while(ref, tap->issuer, tap->time_ms, &a->stays);
	a->operator_id = operator_of(tap, a->terminal);
	a->scheme = scheme_by(tap, a->issuer);
	a->tariff = refdata_tariff(ref, tap->time_ms);
	if (a->tariff != NULL)
		tap_ride(&a->tap, a->tariff, &a->ride);
	return a;
}

/* Of what tells most of them from each other: the terminal, the kind of card, the way it goes. */
static size_t recent_at(const struct tap *tap)
{
	const uint64_t odd = 0x9E3779B97F4A7C15;
	uint64_t card = tap->card_class | (uint64_t)tap->card_subtype << 8 | (uint64_t)be32_get(tap->issuer) << 24;
	uint64_t ride = be32_get(tap->terminal + 2) ^ (uint64_t)tap->kind << 32 ^ (uint64_t)tap->direction << 40 ^ (uint64_t)tap->medium << 48 ^ (uint64_t)tap->flags << 52;

	return ((card * odd ^ ride) * odd) >> (64 - RECENT_BITS);
}

/* Whether they differ, of n bytes, without a branch: mostly they do not. */
static inline uint64_t differ(const void *a, const void *b, size_t n)
{
	uint64_t x = 0, y = 0, d = 0;

	for (size_t i = 0; i + sizeof(x) <= n; i += sizeof(x)) {
		memcpy(&x, (const char *)a + i, sizeof(x));
		memcpy(&y, (const char *)b + i, sizeof(y));
		d |= x ^ y;
	}
	if (n % sizeof(x) != 0) {
		x = y = 0;
		memcpy(&x, (const char *)a + n / sizeof(x) * sizeof(x), n % sizeof(x));
		memcpy(&y, (const char *)b + n / sizeof(x) * sizeof(x), n % sizeof(x));
		d |= x ^ y;
	}
	return d;
}

/* A text that is read the usual way has zeros behind it; one that was not is found by its bytes. */
static bool alike_is(const struct alike *a, const struct tap *tap)
{
	uint64_t d = 0;

#define UINT(name) d |= a->tap.name ^ tap->name;
#define BIN(name) d |= differ(a->tap.name, tap->name, sizeof(tap->name));
#define STR(name) d |= differ(a->tap.name, tap->name, BRIEF);
	FIELDS_UINT(UINT)
	FIELDS_BIN(BIN)
	FIELDS_STR(STR)
#undef STR
#undef BIN
#undef UINT
	return d == 0 && a->brief;
}

static int alike_look(const struct job *j, struct alikes *l, const struct tap *tap, struct alike **ret)
{
	uint8_t bytes[KEY_BYTES_MAX];
	struct keyed key = { .key = bytes };
	struct alike *a;
	int code;

	key.key_bytes = key_make(tap, bytes);
	key.hash = keyed_hash(bytes, key.key_bytes);
	*ret = (struct alike *)keyed_find(&l->list, key.key, key.key_bytes, key.hash);
	if (*ret != NULL || l->list.count >= l->max)
		return 0;
	a = alike_new(j->ref, tap, &key);
	code = a == NULL ? -ENOMEM : keyed_add(&l->list, &a->head);
	if (code == 0)
		*ret = a;
	else
		free(a);
	return code;
}

int alike_find(const struct job *j, struct alikes *l, const struct tap *tap, struct work *w)
{
	struct alike **recent = &l->recent[recent_at(tap)], *a = *recent;
	struct lie *lie = work_lie(w);
	int ret = 0;

	w->alike = NULL;
	if (tap->start_ms != 0 || tap->end_ms != 0 || (l->tried >= TRIED && l->list.count > l->tried / TRIED_PER_ALIKE))
		return 0;
	if (tap->amount_fen > UINT16_MAX || tap->list_fen > UINT16_MAX)
		return 0;
	l->tried++;
	if (a == NULL || !alike_is(a, tap))
		ret = alike_look(j, l, tap, &a);
	if (ret != 0 || a == NULL)
		return ret;
	*recent = a;
	w->alike = a;
#define TOLD(name) lie->told.name = (uint16_t)tap->name;
	FIELDS_TOLD(TOLD)
#undef TOLD
	return 0;
}

/* Its code is not asked for, and lies nowhere any more. */
static bool ride_tap_read(const struct work *w, struct tap *ret)
{
	uint8_t room[THIN_RECORD_ROOM];
	bool read = work_tap(w, room, ret);

	ret->qr.p = NULL;
	ret->qr.n = 0;
	return read;
}

const struct tap *work_ride_tap(const struct job *j, const struct work *w, struct tap *room)
{
	const struct lie *lie = lie_of(j, w);
	const struct tap *like;

	if (w->alike == NULL)
		return ride_tap_read(w, room) ? room : NULL;
	like = &w->alike->tap;
	if (lie->told.stop == like->stop && lie->told.stop_on == like->stop_on && lie->told.amount_fen == like->amount_fen && lie->told.list_fen == like->list_fen)
		return like;
	*room = *like;
#define TOLD(name) room->name = lie->told.name;
	FIELDS_TOLD(TOLD)
#undef TOLD
	return room;
}

void work_ride(const struct work *w, const struct tap *tap, const struct tariff *t, struct ride *ret)
{
	if (w->alike != NULL && w->alike->tariff == t) {
		*ret = w->alike->ride;
		if (tap != &w->alike->tap)
			tap_ride_told(tap, ret);
	} else {
		tap_ride(tap, t, ret);
	}
	ret->time_ms = work_time(w);
	ret->card = pan_hash(w->pan);
}

static bool stays(const struct work *w) { return w->alike != NULL && work_time(w) >= w->alike->stays.from_ms && work_time(w) < w->alike->stays.to_ms; }

void work_reference(const struct job *j, const struct work *w, const struct tap *tap, const struct terminal_row **ret_terminal,
		    const struct issuer_row **ret_issuer)
{
	*ret_terminal = stays(w) ? w->alike->terminal : refdata_terminal(j->ref, tap->terminal, work_time(w));
	*ret_issuer = stays(w) ? w->alike->issuer : refdata_issuer(j->ref, tap->issuer, work_time(w));
}

void work_whose(const struct job *j, const struct work *w, const struct tap *tap, uint32_t *ret_operator, uint8_t *ret_scheme)
{
	*ret_operator = stays(w) ? w->alike->operator_id : operator_of(tap, refdata_terminal(j->ref, tap->terminal, work_time(w)));
	*ret_scheme = stays(w) ? w->alike->scheme : scheme_by(tap, refdata_issuer(j->ref, tap->issuer, work_time(w)));
}

static void alike_touch(const struct alike *a)
{
	for (size_t at = 0; at < sizeof(*a); at += 64)
		__builtin_prefetch((const char *)a + at);
}

/* Each loop looks at what the one before has fetched, and has many lines on their way at once. */
size_t rides_touch(const struct job *j, struct work *const *list, size_t count)
{
	works_touch(list, 0, count, count);
	for (size_t i = 0; i < count; i++) {
		touch(lie_of(j, list[i]));
		touch(&j->bearer[list[i]->bearer - 1]);
		touch(list[i]->alike != NULL ? (const void *)list[i]->alike : list[i]->from);
	}
	for (size_t i = 0; i < count; i++) {
		const struct bearer *b = &j->bearer[list[i]->bearer - 1];

		touch(b->registration_bytes > REGISTRATION_BYTES_MIN ? b->registration : b);
		touch(b->val != NULL ? (const void *)b->val : b);
		if (list[i]->alike != NULL)
			alike_touch(list[i]->alike);
		else
			touch(work_lies(list[i]));
	}
	return count;
}
