/*
 * pack_differ - "differences": what becomes of what a terminal charged otherwise than is rated, by the reason of it.
 */
#include "tariffs/pack.h"

#include <string.h>

/* Places are enum difference_reason; those no pack decides about are empty. */
static const char *const reasons[DIFFERENCE_COUNT] = { "", "manual", "old-parameters", "guest", "rounding", "unknown-hold", "transfer-unmarked",
	"transfer-not-given", "undiscounted", "as-ordinary", "", "other", "", "late-tap", "rerate", "late-hold" };

/* A reason, or the rest, has one policy. */
static void check_taken(struct fields *f, uint32_t mask)
{
	struct pack *p = f->pack;

	for (uint32_t i = 0; i < p->table[T_DIFFERENCE].count; i++) {
		const struct row_difference *row = ROW(p, T_DIFFERENCE, struct row_difference, i);
		uint32_t both = row->reasons & mask;
		const struct row_rule *rule = ROW(p, T_RULE, struct row_rule, row->rule);
		const struct node *at = field(f, "reason");

		if (both == 0 && (row->reasons != 0 || mask != 0))
			continue;
		at = at != NULL ? at : f->map;
		problem(p, f->file, at->line, at->column, "reason: %s has its policy in \"%s\" already (%s:%u)",
			both != 0 ? reasons[__builtin_ctz(both)] : "every reason not named", text_at(p, rule->id), text_at(p, rule->file), rule->line);
		return;
	}
}

static void read_difference(struct pack *p, const char *path, const struct node *n)
{
	static const char *const owed[] = { "refund", "absorb" };
	struct row_difference row = { 0 };
	const char *id, *title, *basis;
	const struct node *from;
	struct fields f;

	fields_open(&f, p, path, n);
	id = field_text(&f, "id", NULL);
	title = field_text(&f, "title", NULL);
	basis = field_text(&f, "basis", NULL);
	row.reasons = word_mask(&f, "reason", reasons, DIFFERENCE_COUNT, 0);
	row.absorb = field_word(&f, "owed", owed, 2, 0) == 1;
	row.refund_from_fen = (uint32_t)field_int(&f, "refund_from_fen", 0, 1000000, 0);
	from = field(&f, "refund_from_fen");
	if (row.absorb && from != NULL)
		problem(p, path, from->line, from->column, "refund_from_fen: nothing is refunded where owed is absorb; leave one of them out");
	check_taken(&f, row.reasons);
	fields_close(&f);
	row.rule = rule_add(p, id, title, basis, "difference", path, n->line);
	row_add(p, T_DIFFERENCE, &row, sizeof(row));
}

void pack_read_differences(struct pack *p) { each_entry(p, "differences", read_difference); }
