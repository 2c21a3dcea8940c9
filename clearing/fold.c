/*
 * fold - the day's rows summed up twice: into postings (the general ledger) and into cubes (what reports are
 * made of). Reports, ledger and partner files agree because they are folds over the same rows.
 */
#include "clearing/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/keyed.h"

#define TAIL_KEYS 64

struct cell {
	struct keyed head;
	uint8_t key[CUBE_KEY_BYTES_MAX];
	struct digest *digest;			/* postings only */
	uint8_t (*tail)[TAP_KEY_BYTES]; size_t tails;	/* keys that are not in it yet */
	union { struct cube cube; struct posting_row posting; } sum;
};
struct fold { int32_t day; struct keyed_list posting, cube; };

int fold_new(int32_t day, struct fold **ret)
{
	struct fold *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -ENOMEM;
	f->day = day;
	*ret = f;
	return 0;
}

static void cells_done(struct keyed_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct cell *cell = (struct cell *)l->item[i];

		digest_free(cell->digest);
		free(cell->tail);
		free(cell);
	}
	keyed_done(l);
}

void fold_free(struct fold *f)
{
	if (f == NULL)
		return;
	cells_done(&f->posting);
	cells_done(&f->cube);
	free(f);
}

/* The cell of a key, made when it is new (*ret_new). NULL: out of memory. */
static struct cell *cell_of(struct keyed_list *l, const uint8_t *key, size_t n, bool *ret_new)
{
	uint64_t hash = keyed_hash(key, n);
	struct cell *cell = (struct cell *)keyed_find(l, key, n, hash);

	*ret_new = cell == NULL;
	if (cell != NULL)
		return cell;
	cell = calloc(1, sizeof(*cell));
	if (cell == NULL)
		return NULL;
	memcpy(cell->key, key, n);
	cell->head = (struct keyed){ cell->key, (uint32_t)n, hash };
	if (keyed_add(l, &cell->head) != 0) {
		free(cell);
		return NULL;
	}
	return cell;
}

static int posting_cell(struct fold *f, const struct posting *p, enum scheme scheme, uint32_t tariff_version, struct cell **ret)
{
	struct posting_row row = { .day = f->day, .debit = p->debit, .credit = p->credit, .scheme = (uint8_t)scheme, .reason = p->reason, .rule = p->rule,
				   .tariff_version = tariff_version };
	uint8_t bytes[POSTING_KEY_BYTES];
	bool new;

	posting_key(&row, bytes);
	*ret = cell_of(&f->posting, bytes, sizeof(bytes), &new);
	if (*ret == NULL)
		return -ENOMEM;
	if (!new)
		return 0;
	(*ret)->sum.posting = row;
	(*ret)->tail = malloc(TAIL_KEYS * sizeof((*ret)->tail[0]));
	return (*ret)->tail == NULL ? -ENOMEM : digest_new(&(*ret)->digest);
}

/* So much, so many times; abort() as money_add does. */
static int64_t times_add(int64_t sum, int64_t fen, uint64_t times)
{
	int64_t product;

	if (__builtin_mul_overflow(fen, times, &product))
		abort();
	return money_add(money_of_fen(sum), money_of_fen(product)).fen;
}

static void posting_count(struct cell *cell, const struct posting *p, uint64_t times)
{
	cell->sum.posting.count += times;
	cell->sum.posting.sum_fen = times_add(cell->sum.posting.sum_fen, p->amount.fen, times);
}

static void tail_digest(struct cell *cell)
{
	digest_add(cell->digest, cell->tail, cell->tails * sizeof(cell->tail[0]));
	cell->tails = 0;
}

static void posting_key_add(struct cell *cell, const uint8_t key[TAP_KEY_BYTES])
{
	memcpy(cell->tail[cell->tails++], key, TAP_KEY_BYTES);
	if (cell->tails == TAIL_KEYS)
		tail_digest(cell);
}

int fold_posting(struct fold *f, const struct posting *p, enum scheme scheme, uint32_t tariff_version, const uint8_t key[TAP_KEY_BYTES])
{
	struct cell *cell;
	int ret = posting_cell(f, p, scheme, tariff_version, &cell);

	if (ret == 0) {
		posting_count(cell, p, 1);
		posting_key_add(cell, key);
	}
	return ret;
}

static void cube_add(struct cube *c, const struct cleared *row, uint64_t times)
{
	c->taps += times;
	c->transfers += row->fare.transfer ? times : 0;
	c->published_fen = times_add(c->published_fen, row->priced.published.fen, times);
	c->charged_fen = times_add(c->charged_fen, row->priced.charged.fen, times);
	c->rated_fen = times_add(c->rated_fen, row->priced.rated.fen, times);
	c->absorbed_fen = times_add(c->absorbed_fen, row->priced.absorbed.fen, times);
	c->overcharge_fen = times_add(c->overcharge_fen, row->priced.overcharge.fen, times);
	c->undercharge_fen = times_add(c->undercharge_fen, row->priced.undercharge.fen, times);
	c->hold_fen = times_add(c->hold_fen, row->priced.hold.fen, times);
	c->kept_fen = times_add(c->kept_fen, row->priced.kept.fen, times);
	for (uint8_t i = 0; i < row->fare.funder_count; i++) {
		uint8_t k = 0;

		while (k < c->funder_count && c->funder[k].treasury != row->fare.funder[i].treasury)
			k++;
		if (k == c->funder_count) {
			if (k == FARE_FUNDERS_MAX)
				abort();	/* one fund rule has at most that many treasuries, and the key holds the rule and the line */
			c->funder[c->funder_count++].treasury = row->fare.funder[i].treasury;
		}
		c->funder[k].fen = times_add(c->funder[k].fen, row->fare.funder[i].amount.fen, times);
	}
}

struct summed_with summed_of(const struct tap *tap)
{
	struct summed_with with = { .any = tap != NULL };

	if (tap != NULL) {
		with.medium = (uint8_t)tap->medium;
		with.card_class = (uint8_t)tap->card_class;
		memcpy(with.line, tap->line, sizeof(with.line));
	}
	return with;
}

int fold_cells(struct fold *f, const struct cleared *c, const struct summed_with *with, struct fold_cells *ret)
{
	struct cube cube = { .day = f->day, .verdict = c->verdict, .operator_id = c->operator_id, .scheme = c->scheme, .group = c->fare.group,
			     .rule = c->fare.rule, .fund_rule = c->fare.fund_rule, .tariff_version = c->tariff_version, .reason = c->priced.reason };
	uint8_t bytes[CUBE_KEY_BYTES_MAX];
	int code = 0;
	bool new;

	cube.medium = with->medium;
	cube.card_class = with->card_class;
	memcpy(cube.line, with->line, sizeof(cube.line));
	ret->cube = cell_of(&f->cube, bytes, cube_key(&cube, bytes), &new);
	if (ret->cube == NULL)
		return -ENOMEM;
	if (new)
		ret->cube->sum.cube = cube;
	for (uint8_t i = 0; code == 0 && i < c->priced.posting_count; i++)
		code = posting_cell(f, &c->priced.posting[i], (enum scheme)c->scheme, c->tariff_version, &ret->posting[i]);
	return code;
}

void fold_key(const struct fold_cells *cells, uint8_t postings, const uint8_t key[TAP_KEY_BYTES])
{
	for (uint8_t i = 0; i < postings; i++)
		posting_key_add(cells->posting[i], key);
}

void fold_count(const struct fold_cells *cells, const struct cleared *c, uint64_t rows)
{
	cube_add(&cells->cube->sum.cube, c, rows);
	for (uint8_t i = 0; i < c->priced.posting_count; i++)
		posting_count(cells->posting[i], &c->priced.posting[i], rows);
}

int fold_row(struct fold *f, const struct cleared *c, const struct tap *tap, const uint8_t key[TAP_KEY_BYTES])
{
	const struct summed_with with = summed_of(tap);
	struct fold_cells cells;
	int ret = fold_cells(f, c, &with, &cells);

	if (ret == 0) {
		fold_key(&cells, c->priced.posting_count, key);
		fold_count(&cells, c, 1);
	}
	return ret;
}

int fold_adjustment(struct fold *f, const struct adjustment *a)
{
	int ret = 0;

	for (uint8_t i = 0; ret == 0 && i < a->posting_count; i++)
		ret = fold_posting(f, &a->posting[i], (enum scheme)a->scheme, a->tariff_version, a->key);
	return ret;
}

static int cell_compare(const void *pa, const void *pb)
{
	const struct keyed *a = *(struct keyed *const *)pa, *b = *(struct keyed *const *)pb;
	size_t n = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
	int order = memcmp(a->key, b->key, n);

	return order != 0 ? order : (int)a->key_bytes - (int)b->key_bytes;
}

/* In key order. Nothing is looked up any more after it. */
static void cells_sort(struct keyed_list *l)
{
	if (l->count > 1)
		qsort(l->item, l->count, sizeof(struct keyed *), cell_compare);
}

int fold_write(struct fold *f, struct sink *sink)
{
	int ret = 0;

	cells_sort(&f->posting);
	cells_sort(&f->cube);
	for (size_t i = 0; ret == 0 && i < f->posting.count; i++) {
		struct cell *c = (struct cell *)f->posting.item[i];
		uint8_t value[POSTING_VALUE_BYTES];

		tail_digest(c);
		digest_end(c->digest, c->sum.posting.digest);
		posting_value(&c->sum.posting, value);
		ret = sink->put(sink, DB_POSTING, c->key, c->head.key_bytes, value, sizeof(value));
	}
	for (size_t i = 0; ret == 0 && i < f->cube.count; i++) {
		const struct cell *c = (const struct cell *)f->cube.item[i];
		uint8_t value[CUBE_VALUE_BYTES_MAX];

		ret = sink->put(sink, DB_CUBE, c->key, c->head.key_bytes, value, cube_value(&c->sum.cube, value));
	}
	return ret;
}
