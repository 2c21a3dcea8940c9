/*
 * report - what the files of the reports share: a day's cubes read in, and the table a form fills. Private to
 * clearing/.
 */
#ifndef CLEARING_REPORT_H
#define CLEARING_REPORT_H

#include "clearing/clearing.h"

#define COLUMNS_MAX 16

struct report {
	struct txn t;
	struct refdata *ref;
	struct day_row day;
	struct cube *cube; size_t cube_count, cube_space;
	const char *title;
	uint32_t days, open_days;	/* of a month: told by it; with taps and not cleared yet */
	struct { const char *key, *zh; bool text; } column[COLUMNS_MAX]; size_t columns;
	struct row { char *text[COLUMNS_MAX]; int64_t number[COLUMNS_MAX]; } *row; size_t rows, space;
	struct { const char *zh; int64_t left, right; } relation[8]; size_t relations;
};

/* report.c: the table. Texts first, then numbers, in the order of the columns. */
void column(struct report *r, const char *key, const char *zh, bool text);
struct row *row_of(struct report *r, const char *const *text, size_t count);	/* made when new */
void relation(struct report *r, const char *zh, int64_t left, int64_t right);	/* must be equal */
/* report.c: the postings of the day; close the iterator after the last. */
void postings_open(struct report *r, struct iter *ret);
bool postings_next(struct iter *it, struct posting_row *ret);	/* false: no more, or the transaction's error is set */
/* report_forms.c */
const struct tariff *tariff_of(const struct report *r, const struct cube *c);
void operator_text(const struct report *r, const struct cube *c, char text[96]);
int64_t ledger_sum(struct report *r, unsigned debit_class, uint8_t reason);	/* 0: any */
int64_t credit_sum(struct report *r, unsigned credit_class, uint8_t reason);	/* the same by what is credited */
void form_d01(struct report *r);
void form_d02(struct report *r);
void form_d03(struct report *r);
void form_d04(struct report *r, const char *title);
void form_d05(struct report *r);
void form_m02(struct report *r);
void form_d07(struct report *r);	/* report_differ.c */
void form_d08(struct report *r);	/* report_risk.c */
/* report_adjust.c: adjustments booked in the day. */
void form_d06(struct report *r);
int64_t claims_adjust(struct report *r);	/* rows of D-04 that take claims of other days back or add to them; their sum */
int64_t ledger_adjust(struct report *r, unsigned account_class);	/* credits less debits by adjustments */

#endif
