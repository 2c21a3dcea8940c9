/*
 * fold - the day's rows summed up twice: into postings (the general ledger) and into cubes (what reports are
 * made of). Reports, ledger and partner files agree because they are folds over the same rows.
 */
#include "clearing/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/keyed.h"

struct cell {
	struct keyed head;
	uint8_t key[CUBE_KEY_BYTES_MAX];
	struct digest *digest;			/* postings only */
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
	if (new)
		(*ret)->sum.posting = row;
	return new ? digest_new(&(*ret)->digest) : 0;
}

static void posting_count(struct cell *cell, const struct posting *p, const uint8_t key[TAP_KEY_BYTES])
{
	cell->sum.posting.count++;
	cell->sum.posting.sum_fen = money_add(money_of_fen(cell->sum.posting.sum_fen), p->amount).fen;
	digest_add(cell->digest, key, TAP_KEY_BYTES);
}

int fold_posting(struct fold *f, const struct posting *p, enum scheme scheme, uint32_t tariff_version, const uint8_t key[TAP_KEY_BYTES])
{
	struct cell *cell;
	int ret = posting_cell(f, p, scheme, tariff_version, &cell);

	if (ret == 0)
		posting_count(cell, p, key);
	return ret;
}

static void cube_add(struct cube *c, const struct cleared *row)
{
	c->taps++;
	c->transfers += row->fare.transfer;
	c->published_fen += row->priced.published.fen;
	c->charged_fen += row->priced.charged.fen;
	c->rated_fen += row->priced.rated.fen;
	c->absorbed_fen += row->priced.absorbed.fen;
	c->overcharge_fen += row->priced.overcharge.fen;
	c->undercharge_fen += row->priced.undercharge.fen;
	c->hold_fen += row->priced.hold.fen;
	c->kept_fen += row->priced.kept.fen;
	for (uint8_t i = 0; i < row->fare.funder_count; i++) {
		uint8_t k = 0;

		while (k < c->funder_count && c->funder[k].treasury != row->fare.funder[i].treasury)
			k++;
		if (k == c->funder_count) {
			if (k == FARE_FUNDERS_MAX)
				abort();	/* one fund rule has at most that many treasuries, and the key holds the rule and the line */
			c->funder[c->funder_count++].treasury = row->fare.funder[i].treasury;
		}
		c->funder[k].fen += row->fare.funder[i].amount.fen;
	}
}

int fold_cells(struct fold *f, const struct cleared *c, const struct tap *tap, struct fold_cells *ret)
{
	struct cube cube = { .day = f->day, .verdict = c->verdict, .operator_id = c->operator_id, .scheme = c->scheme, .group = c->fare.group,
			     .rule = c->fare.rule, .fund_rule = c->fare.fund_rule, .tariff_version = c->tariff_version, .reason = c->priced.reason };
	uint8_t bytes[CUBE_KEY_BYTES_MAX];
	int code = 0;
	bool new;

	if (tap != NULL) {
		cube.medium = (uint8_t)tap->medium;
		cube.card_class = (uint8_t)tap->card_class;
		memcpy(cube.line, tap->line, sizeof(cube.line));
	}
	ret->cube = cell_of(&f->cube, bytes, cube_key(&cube, bytes), &new);
	if (ret->cube == NULL)
		return -ENOMEM;
	if (new)
		ret->cube->sum.cube = cube;
	for (uint8_t i = 0; code == 0 && i < c->priced.posting_count; i++)
		code = posting_cell(f, &c->priced.posting[i], (enum scheme)c->scheme, c->tariff_version, &ret->posting[i]);
	return code;
}

void fold_count(const struct fold_cells *cells, const struct cleared *c, const uint8_t key[TAP_KEY_BYTES])
{
	cube_add(&cells->cube->sum.cube, c);
	for (uint8_t i = 0; i < c->priced.posting_count; i++)
		posting_count(cells->posting[i], &c->priced.posting[i], key);
}

int fold_row(struct fold *f, const struct cleared *c, const struct tap *tap, const uint8_t key[TAP_KEY_BYTES])
{
	struct fold_cells cells;
	int ret = fold_cells(f, c, tap, &cells);

	if (ret == 0)
		fold_count(&cells, c, key);
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
