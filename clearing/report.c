/*
 * report - the forms of a day, and of a month as the sum of its days: a table of rows built once from the day's cubes, written as JSON or CSV, with the
 * balance relations (审核关系) that tie it to the others and to the ledger. docs/reports.md defines every column.
 */
#include "clearing/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 200000

/* ---- the table --------------------------------------------------------------------------------------- */

void column(struct report *r, const char *key, const char *zh, bool text)
{
	r->column[r->columns].key = key;
	r->column[r->columns].zh = zh;
	r->column[r->columns++].text = text;
}

/* The row whose texts are these, made when new. Rows are few: lines x rules of one city. */
struct row *row_of(struct report *r, const char *const *text, size_t count)
{
	struct row *row;

	for (size_t i = r->rows; i-- > 0;) {
		size_t k = 0;

		while (k < count && strcmp(r->row[i].text[k], text[k]) == 0)
			k++;
		if (k == count)
			return &r->row[i];
	}
	if (r->rows == r->space) {
		size_t space = r->space ? r->space * 2 : 64;
		struct row *wide = realloc(r->row, space * sizeof(*wide));

		if (wide == NULL || space > ROWS_MAX)
			abort();
		r->row = wide;
		r->space = space;
	}
	row = &r->row[r->rows++];
	*row = (struct row){ 0 };
	for (size_t k = 0; k < count; k++)
		if ((row->text[k] = strdup(text[k])) == NULL)
			abort();
	return row;
}

void relation(struct report *r, const char *zh, int64_t left, int64_t right)
{
	r->relation[r->relations].zh = zh;
	r->relation[r->relations].left = left;
	r->relation[r->relations++].right = right;
}

void postings_open(struct report *r, struct iter *ret)
{
	uint8_t prefix[4];

	be32_put(prefix, (uint32_t)r->day.day ^ 0x80000000u);
	iter_open(&r->t, DB_POSTING, prefix, sizeof(prefix), ret);
}

bool postings_next(struct iter *it, struct posting_row *ret)
{
	if (!iter_next(it))
		return false;
	if (posting_decode(it->key, it->key_bytes, it->val, it->val_bytes, ret))
		return true;
	it->txn->error = CLEARING_E_STORE;
	return false;
}

static void report_done(struct report *r)
{
	for (size_t i = 0; i < r->rows; i++)
		for (size_t k = 0; k < COLUMNS_MAX; k++)
			free(r->row[i].text[k]);
	free(r->row);
	free(r->cube);
	refdata_free(r->ref);
	txn_abort(&r->t);
}

static int report_open(struct store *s, int32_t day, struct report *r)
{
	uint8_t prefix[4];
	struct iter it;
	int ret = txn_begin(s, false, &r->t);

	if (ret != 0)
		return ret;
	if (!day_get(&r->t, day, &r->day))
		return CLEARING_E_NO_DAY;
	if (r->day.state < DAY_CLEARED)
		return CLEARING_E_STATE;
	ret = refdata_new(&r->ref);
	if (ret == 0)
		ret = refdata_replay(r->ref, &r->t, r->day.cut_seq);
	be32_put(prefix, (uint32_t)day ^ 0x80000000u);
	iter_open(&r->t, DB_CUBE, prefix, sizeof(prefix), &it);
	while (ret == 0 && iter_next(&it)) {
		if (r->cube_count == r->cube_space) {
			size_t space = r->cube_space ? r->cube_space * 2 : 256;
			struct cube *wide = realloc(r->cube, space * sizeof(*wide));

			if (wide == NULL) {
				ret = -ENOMEM;
				break;
			}
			r->cube = wide;
			r->cube_space = space;
		}
		if (!cube_decode(it.key, it.key_bytes, it.val, it.val_bytes, &r->cube[r->cube_count++]))
			ret = CLEARING_E_STORE;
	}
	iter_close(&it);
	return ret != 0 ? ret : r->t.error;
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static int row_compare(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;

	for (size_t k = 0; k < COLUMNS_MAX && a->text[k] != NULL; k++) {
		int order = strcmp(a->text[k], b->text[k]);

		if (order != 0)
			return order;
	}
	return 0;
}

static void totals_of(const struct report *r, int64_t total[COLUMNS_MAX])
{
	memset(total, 0, COLUMNS_MAX * sizeof(total[0]));
	for (size_t i = 0; i < r->rows; i++)
		for (size_t k = 0; k < r->columns; k++)
			total[k] += r->row[i].number[k];
}

static void write_json(const struct report *r, const char *form, const char *period, FILE *out)
{
	int64_t total[COLUMNS_MAX];
	struct jsonw j;

	totals_of(r, total);
	jsonw_init(&j, out, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.report");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "form", form);
	jsonw_kstr(&j, "title", r->title);
	if (r->days == 0) {
		jsonw_kstr(&j, "day", period);
	} else {
		jsonw_kstr(&j, "month", period);
		jsonw_kint(&j, "days", r->days);
		jsonw_kint(&j, "open_days", r->open_days);
	}
	jsonw_key(&j, "rows");
	jsonw_array(&j);
	for (size_t i = 0; i < r->rows; i++) {
		jsonw_object(&j);
		for (size_t k = 0; k < r->columns; k++)
			if (r->column[k].text)
				jsonw_kstr(&j, r->column[k].key, r->row[i].text[k]);
			else
				jsonw_kint(&j, r->column[k].key, r->row[i].number[k]);
		jsonw_object_end(&j);
	}
	jsonw_array_end(&j);
	jsonw_key(&j, "total");
	jsonw_object(&j);
	for (size_t k = 0; k < r->columns; k++)
		if (!r->column[k].text)
			jsonw_kint(&j, r->column[k].key, total[k]);
	jsonw_object_end(&j);
	jsonw_key(&j, "relations");
	jsonw_array(&j);
	for (size_t i = 0; i < r->relations; i++) {
		jsonw_object(&j);
		jsonw_kstr(&j, "text", r->relation[i].zh);
		jsonw_kint(&j, "left", r->relation[i].left);
		jsonw_kint(&j, "right", r->relation[i].right);
		jsonw_kbool(&j, "holds", r->relation[i].left == r->relation[i].right);
		jsonw_object_end(&j);
	}
	jsonw_array_end(&j);
	jsonw_object_end(&j);
	fputc('\n', out);
}

static void csv_text(FILE *out, const char *text)
{
	if (strpbrk(text, ",\"\r\n") == NULL) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

/* UTF-8 with BOM and CRLF: what the spreadsheets of an office open by a double click. */
static void write_csv(const struct report *r, FILE *out)
{
	int64_t total[COLUMNS_MAX];

	totals_of(r, total);
	fputs("\xEF\xBB\xBF", out);
	for (size_t k = 0; k < r->columns; k++) {
		fputs(k > 0 ? "," : "", out);
		csv_text(out, r->column[k].zh);
	}
	fputs("\r\n", out);
	for (size_t i = 0; i < r->rows; i++) {
		for (size_t k = 0; k < r->columns; k++) {
			fputs(k > 0 ? "," : "", out);
			if (r->column[k].text)
				csv_text(out, r->row[i].text[k]);
			else
				fprintf(out, "%" PRId64, r->row[i].number[k]);
		}
		fputs("\r\n", out);
	}
	for (size_t k = 0; k < r->columns; k++) {
		fputs(k > 0 ? "," : "", out);
		if (k == 0)
			fputs("合计", out);
		else if (!r->column[k].text)
			fprintf(out, "%" PRId64, total[k]);
	}
	fputs("\r\n", out);
}

const char *const report_forms[] = { "D-01", "D-02", "D-03", "D-04", "D-05", "D-06", "D-07", "D-08", "M-02", "S-01" };
const size_t report_form_count = sizeof(report_forms) / sizeof(report_forms[0]);

static int form_fill(struct report *r, const char *form)
{
	if (strcmp(form, "D-01") == 0)
		form_d01(r);
	else if (strcmp(form, "D-02") == 0)
		form_d02(r);
	else if (strcmp(form, "D-03") == 0)
		form_d03(r);
	else if (strcmp(form, "D-04") == 0)
		form_d04(r, "财政补贴核算表");
	else if (strcmp(form, "S-01") == 0)
		form_d04(r, "财政补贴申领单");
	else if (strcmp(form, "D-05") == 0)
		form_d05(r);
	else if (strcmp(form, "D-06") == 0)
		form_d06(r);
	else if (strcmp(form, "D-07") == 0)
		form_d07(r);
	else if (strcmp(form, "D-08") == 0)
		form_d08(r);
	else if (strcmp(form, "M-02") == 0)
		form_m02(r);
	else
		return -EINVAL;
	return r->t.error;
}

static void table_write(struct report *r, const char *form, const char *format, const char *period, FILE *out)
{
	if (r->rows > 1)
		qsort(r->row, r->rows, sizeof(r->row[0]), row_compare);
	if (strcmp(format, "csv") == 0)
		write_csv(r, out);
	else
		write_json(r, form, period, out);
}

int report_write(struct store *s, int32_t day, const char *form, const char *format, FILE *out)
{
	struct report r = { 0 };
	int ret = report_open(s, day, &r);
	char period[11];

	if (ret == 0)
		ret = form_fill(&r, form);
	day_format(day, period);
	if (ret == 0)
		table_write(&r, form, format, period, out);
	report_done(&r);
	return ret;
}

/* ---- a month ------------------------------------------------------------------------------------------------ */

/* Rows with the same texts are one row; every number and both sides of every relation are summed. */
static void table_add(struct report *sum, const struct report *day)
{
	size_t texts = 0;

	while (texts < day->columns && day->column[texts].text)
		texts++;
	sum->title = day->title;
	sum->columns = day->columns;
	memcpy(sum->column, day->column, sizeof(day->column));
	for (size_t i = 0; i < day->rows; i++) {
		struct row *row = row_of(sum, (const char *const *)day->row[i].text, texts);

		for (size_t k = texts; k < day->columns; k++)
			row->number[k] += day->row[i].number[k];
	}
	sum->relations = day->relations;
	for (size_t i = 0; i < day->relations; i++) {
		sum->relation[i].zh = day->relation[i].zh;
		sum->relation[i].left += day->relation[i].left;
		sum->relation[i].right += day->relation[i].right;
	}
	sum->days++;
}

int report_month(struct store *s, int32_t first, int32_t last, const char *form, const char *format, FILE *out, uint32_t *ret_open)
{
	struct report sum = { 0 };
	char period[11];
	int ret = 0;

	for (int32_t day = first; ret == 0 && day <= last; day++) {
		struct report r = { 0 };

		ret = report_open(s, day, &r);
		if (ret == 0)
			ret = form_fill(&r, form);
		if (ret == 0)
			table_add(&sum, &r);
		else if (ret == CLEARING_E_STATE)
			sum.open_days++;
		if (ret == CLEARING_E_STATE || ret == CLEARING_E_NO_DAY)
			ret = 0;
		report_done(&r);
	}
	if (ret == 0 && sum.days == 0)
		ret = CLEARING_E_NO_DAY;
	day_format(first, period);
	period[7] = '\0';
	if (ret == 0)
		table_write(&sum, form, format, period, out);
	*ret_open = sum.open_days;
	report_done(&sum);
	return ret;
}
